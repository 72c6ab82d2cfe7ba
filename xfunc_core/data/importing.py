"""Bring a file into the data home as a dataset, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.description import KIND
from xfunc_core.data.folders import taken
from xfunc_core.data.formats.ase_db import read_ase_db
from xfunc_core.data.formats.detection import detect
from xfunc_core.data.formats.extxyz import read_extxyz
from xfunc_core.data.formats.functional_names import Said
from xfunc_core.data.formats.matpes_batches import read_matpes_in_batches
from xfunc_core.data.formats.mptrj import read_mptrj
from xfunc_core.data.formats.opening import open_file
from xfunc_core.data.formats.structures import read_structures, structure_files
from xfunc_core.data.formats.thermo import read_thermo
from xfunc_core.data.formats.vasp import read_vasp, vasp_files
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.data.per_atom import EnergyCheck, Item
from xfunc_core.data.possible import impossible
from xfunc_core.data.watching import Reading, Stage, Watch
from xfunc_core.data.writer import DatasetWriter
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional, count_text, counted, plural

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

Reader = Callable[[Path, Said], Iterator[Item]]
READERS: dict[str, Reader] = {"matpes": read_matpes_in_batches, "mptrj": read_mptrj, "extxyz": read_extxyz, "ase-db": read_ase_db, "vasp": read_vasp, "structures": read_structures, "materials-project": read_thermo}
"""Every format xfunc reads: add a function here and pages, CLI and tests know it."""
FOLDERS: dict[str, Callable[[Path], Iterator[Path]]] = {"vasp": vasp_files, "structures": structure_files}
"""The formats that may be folders, and the files that are read of one."""
WITHOUT_CONVENTION = ("extxyz", "ase-db")
"""The formats in which people also keep energies per atom."""
SCALES = {"mptrj": "VASP, Materials Project settings", "materials-project": "VASP, Materials Project settings"}
"""The energy scale of formats that have but one source."""
MOST_NOTES = 50
"""Notes about one file that are kept."""
MOST_REASONS = 10
"""Sentences that a report spends on one kind of loss; report.json has all of them."""


@dataclass
class ImportReport:
    """What became of every document of a file.

    Attributes:
        n_documents: documents read.
        n_kept: frames kept.
        dropped: documents left out, each ``{"document", "frame_id", "reason"}``.
        masked: labels kept as missing, each ``{"frame_id", "reason"}``.
        notes: what the reader assumed, used or guessed, a sentence each.
    """

    n_documents: int = 0
    n_kept: int = 0
    dropped: list[dict[str, object]] = field(default_factory=list)
    masked: list[dict[str, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """The report for a reader: one sentence on what was kept, one a reason."""
        lines = [f"{count_text(self.n_kept)} of {counted(self.n_documents, 'document')} {plural(self.n_kept, 'was', 'were')} kept."]
        for what, entries in (("left out", self.dropped), ("kept with a missing label", self.masked)):
            counts = Counter(str(entry["reason"]) for entry in entries)
            example = {str(entry["reason"]): entry["frame_id"] or "one without id" for entry in reversed(entries)}
            lines += [f"{count_text(n)} {what}: {reason} (for example {example[reason]})." for reason, n in counts.most_common(MOST_REASONS)]
            rest = counts.most_common()[MOST_REASONS:]
            if rest:
                lines.append(f"{count_text(sum(n for _, n in rest))} {what} for {counted(len(rest), 'other reason')}.")
        return lines + self.notes

    def note(self, sentence: str) -> None:
        """Keep a sentence about the whole file, once, and no more than MOST_NOTES."""
        if sentence and sentence not in self.notes and len(self.notes) < MOST_NOTES:
            self.notes.append(sentence)


def import_file(
    path: Path,
    root: Path,
    *,
    name: str,
    title: str = "",
    format: str = "",
    functional: Functional | None = None,
    energies: str = "",
    replace: bool = False,
    progress: Callable[[int], None] | None = None,
    tell: Callable[[Reading], None] | None = None,
    **described: str,
) -> tuple[Dataset, ImportReport]:
    """Import ``path`` as the dataset ``name`` under ``root``.

    Args:
        path: the file, or a folder where the format allows one.
        root: where datasets lie; made if missing.
        name: of the dataset, and of its folder.
        title: name on screen; the name if empty.
        format: a key of `READERS`; told by the content if empty.
        functional: what the labels are, for files that do not say.
        energies: a value of `per_atom.Verdict`: what the energies of the file are, if the user says so; else
            they are taken for totals, and refused where they look like energies per atom.
        replace: whether a dataset of that name may be replaced; it stays until the new one is complete.
        progress: called with the number of documents read so far, about every 1,000 documents.
        tell: called with how far the import is, at each piece of the file and each frame or batch; what it raises ends the import.
        described: energy_scale, licence and citation for the dataset's description.

    Raises:
        DataError: the file, its content or the name cannot be used, or the disk is full; then
            nothing is left behind.
    """
    check_name(name)
    check = EnergyCheck(energies)
    if format and format not in READERS:
        raise DataError(f"{format[:70]!r} is no format that xfunc reads: use one of {', '.join(READERS)}.")
    report = ImportReport()
    try:
        if not replace and (root / name).exists():
            raise taken(KIND, name)
        format = format or detect(path)
        watch = Watch(path, tell)
        digest = _sha256(watch.path(Stage.CHECKING), format)
        with DatasetWriter(root, name) as writer:
            items = check.watch(READERS[format](watch.path(Stage.READING), functional))
            kept = _write(watch.counted(items), writer, report, progress)
            if kept is None:
                raise DataError(_nothing_kept(path, report))
            if format != "structures" and not writer.has_energies():
                report.note("No frame has an energy that xfunc recognises: such data can be looked at, but neither compared nor trained on.")
            report.note(check.finish(path.name, by_convention=format not in WITHOUT_CONVENTION))
            folder = writer.finish(
                title=title or name,
                functional=kept.value,
                source=path.name,
                source_sha256=digest,
                report={"documents": report.n_documents, "dropped": report.dropped, "masked": report.masked, "notes": report.notes},
                replace=replace,
                **{"energy_scale": SCALES.get(format, ""), **described},
            )
    except OSError as error:
        raise DataError(_os_sentence(error, path, root)) from error
    return Dataset(folder), report


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a dataset and of its folder.

    Raises:
        DataError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise DataError(f"{name[:70]!r} is no dataset name: use lower-case letters, digits, '.', '_' and '-', at most 64, starting with a letter or digit.")


def default_name(path: Path) -> str:
    """A dataset name made from a file name: ``MatPES-PBE-2025.1.json.gz`` → ``matpes-pbe-2025.1``."""
    stem = re.sub(r"\.(json|jsonl|extxyz|xyz|db|xml|cif|txt|csv|tsv)(\.gz)?$|\.gz$", "", path.name.lower())
    return re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:64] or "dataset"


def _write(items: Iterator[Item], writer: DatasetWriter, report: ImportReport, progress: Callable[[int], None] | None) -> Functional | None:
    functional: Functional | None = None
    seen: set[str] = set()
    for item in items:
        if isinstance(item, Note):
            report.note(item.sentence)
            continue
        before = report.n_documents
        if not isinstance(item, Rejected):
            functional = functional or item.functional
        if isinstance(item, FrameBatch) and item.functional is functional and _all_new(item, seen) and not any(impossible(item)):
            seen.update(item.frame_ids)
            report.n_documents += len(item)
            report.n_kept += len(item)
            writer.add_batch(item)
        else:
            for single in item.frames() if isinstance(item, FrameBatch) else (item,):
                _write_one(single, functional, seen, writer, report)
        if progress and report.n_documents // 1000 > before // 1000:
            progress(report.n_documents)
    return functional if report.n_kept else None


def _all_new(batch: FrameBatch, seen: set[str]) -> bool:
    ids = set(batch.frame_ids)
    return len(ids) == len(batch) and ids.isdisjoint(seen)


def _write_one(item: Frame | Rejected, functional: Functional | None, seen: set[str], writer: DatasetWriter, report: ImportReport) -> None:
    report.n_documents += 1
    reason = _reason_to_drop(item, functional, seen)
    if reason or isinstance(item, Rejected):
        report.dropped.append({"document": report.n_documents, "frame_id": item.frame_id, "reason": reason})
        return
    seen.add(item.frame_id)
    report.masked.extend({"frame_id": item.frame_id, "reason": masked} for masked in item.masked)
    report.n_kept += 1
    writer.add(item)


def _reason_to_drop(item: Frame | Rejected, functional: Functional | None, seen: set[str]) -> str:
    if isinstance(item, Rejected):
        return item.reason
    if item.functional is not functional:
        return f"it is labelled with {item.functional.label} in a file that starts with {functional.label if functional else ''}"
    if item.frame_id in seen:
        return "its id occurred before in this file"
    return impossible(FrameBatch.of([item]))[0]


def _nothing_kept(path: Path, report: ImportReport) -> str:
    if not report.n_documents:
        return f"{path.name} holds no frames: choose another file."
    first = report.dropped[0]
    return f"{path.name} holds no usable frame; the first of {count_text(len(report.dropped))} was left out because {first['reason']}: choose another file, or mend it."


def _sha256(path: Path, format: str) -> str:
    """Hash of a file, or of the names and hashes of those files of a folder that the reader takes."""
    if path.is_dir() and format in FOLDERS:
        listed = "".join(f"{_sha256_of_file(file)}  {file.relative_to(path)}\n" for file in FOLDERS[format](path))
        return hashlib.sha256(listed.encode(errors="surrogateescape")).hexdigest()
    with open_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sha256_of_file(file: Path) -> str:
    """Hash of a file of a folder, '' where it cannot be opened: the reader then says why."""
    try:
        return _sha256(file, "")
    except DataError:
        return ""


def _os_sentence(error: OSError, path: Path, root: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk that holds {root} is full, so {path.name} was not imported: free some space or set XFUNC_HOME to another disk."
    return f"{path.name} was not imported ({error.strerror or error}: {error.filename or root}): check the permissions of that place or set XFUNC_HOME to another."
