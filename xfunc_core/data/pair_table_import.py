"""Bring a relaxed-pair table into the data home, list, open and delete those that are there."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from xfunc_core.data.folders import delete_folder, hidden_folder, opened, take_name, taken
from xfunc_core.data.formats.opening import open_file
from xfunc_core.data.importing import ImportReport, check_name
from xfunc_core.data.pair_table import COLUMNS, KIND, PAIRS, PairTable, PairTableInfo
from xfunc_core.data.pair_table_columns import PATTERNS, is_pair_header
from xfunc_core.data.pair_table_reading import read_header, read_pair_rows
from xfunc_core.data.pair_table_rows import LABELS, PairRows
from xfunc_core.data.watching import Reading, Stage, Watch
from xfunc_core.elements import Z_OF
from xfunc_core.errors import ConfigError, DataError

FORMAT = "pair-table"
"""The name of the format where the user says it; beside `xfunc_core.data.importing.READERS`."""
_ROWS = 4096


def parse_columns(said: Sequence[str]) -> dict[str, str]:
    """The user's word for columns, each ``ROLE=NAME``.

    Raises:
        ConfigError: one is written otherwise.
    """
    for part in said:
        if "=" not in part:
            raise ConfigError(f"{part[:40]!r} names no column: write ROLE=NAME, with a role of {', '.join(PATTERNS)}.")
    return {role.strip(): name.strip() for role, _, name in (part.partition("=") for part in said)}


def is_pair_table(path: Path, format: str = "") -> bool:
    """Whether a file is to be read as a relaxed-pair table: because the user says so, or else by its header."""
    if format:
        return format == FORMAT
    try:
        return is_pair_header(read_header(path))
    except DataError:
        return False


def import_pair_table(
    path: Path,
    root: Path,
    *,
    name: str,
    title: str = "",
    columns: Mapping[str, str] | None = None,
    energies: str = "",
    replace: bool = False,
    tell: Callable[[Reading], None] | None = None,
    **described: str,
) -> tuple[PairTable, ImportReport]:
    """Import a table as ``name`` under ``root``, whole or not at all.

    Args:
        path: CSV, TSV or the like, gzipped or not.
        root: where tables lie; made if missing.
        name: of the table, and of its folder.
        title: name on screen; the name if empty.
        columns: the user's word for columns, name by key of `xfunc_core.data.pair_table_columns.PATTERNS`.
        energies: a value of `per_atom.Verdict`, if the user says what the energies are.
        replace: whether a table of that name may be replaced.
        tell: called with how far the import is, as by `import_file`.
        described: energy_scale, licence and citation.

    Raises:
        DataError: the file, its content or the name cannot be used, or the disk is full; then nothing is left behind.
    """
    check_name(name)
    try:
        if not replace and (root / name).exists():
            raise taken(KIND, name)
        watch = Watch(path, tell)
        with open_file(watch.path(Stage.CHECKING)) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        rows = read_pair_rows(path, columns, energies, watch)
        content = arrow_table(rows)
        info = _info(rows, content, name=name, title=title or name, source=path.name, source_sha256=digest, **described)
        _write(
            root,
            info,
            content,
            {"documents": len(rows) + len(rows.dropped), "dropped": rows.dropped, "masked": [], "notes": rows.notes + _missing(info)},
            replace,
        )
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "The disk is full" if full else f"The system refuses ({error.strerror or error})"
        raise DataError(
            f"{what}, so {path.name} was not imported into {root}: free some space, check the permissions, or set XFUNC_HOME to another place."
        ) from error
    return PairTable(root / name), ImportReport(len(rows) + len(rows.dropped), len(rows), rows.dropped, [], rows.notes + _missing(info))


def list_pair_tables(root: Path) -> list[PairTable]:
    """Every readable table, by title; `damaged_pair_tables` names the others.

    Raises:
        DataError: ``root`` is there but cannot be listed.
    """
    return sorted((t for t in opened(root, KIND, PairTable) if isinstance(t, PairTable)), key=lambda t: t.info.title.lower())


def damaged_pair_tables(root: Path) -> list[str]:
    """One sentence for every folder that cannot be opened as a table."""
    return [str(t) for t in opened(root, KIND, PairTable) if isinstance(t, DataError)]


def open_pair_table(root: Path, name: str) -> PairTable:
    """Open a table by name.

    Raises:
        DataError: there is none of that name, or it is damaged.
    """
    check_name(name)
    return PairTable(root / name)


def delete_pair_table(root: Path, name: str) -> None:
    """Delete a table and its folder, damaged or not.

    Raises:
        DataError: there is none of that name, or the system refuses.
    """
    check_name(name)
    delete_folder(root / name, KIND)


def arrow_table(rows: PairRows) -> pa.Table:
    """The rows as columns of `COLUMNS`; elements in order of Z, fractions with the same order."""
    ordered = [sorted(counts.items(), key=lambda item: Z_OF[item[0]]) for counts in rows.counts]
    values = {
        **{name: getattr(rows, name) for name in ("line", "frame_id", "material_id", "formula", "n_atoms")},
        "chemical_system": ["-".join(sorted(symbol for symbol, _ in items)) for items in ordered],
        "elements": [[Z_OF[symbol] for symbol, _ in items] for items in ordered],
        "fractions": [(np.array([n for _, n in items]) / sum(n for _, n in items)).tolist() for items in ordered],
        **rows.labels,
    }
    return pa.table({field.name: pa.array(values[field.name], field.type) for field in COLUMNS}, schema=COLUMNS)


def _info(rows: PairRows, content: pa.Table, **described: str) -> PairTableInfo:
    elements = Counter(symbol for counts in rows.counts for symbol in counts)
    return PairTableInfo(
        n_pairs=len(rows),
        n_materials=len(set(rows.material_id)),
        elements={symbol: elements[symbol] for symbol in sorted(elements, key=Z_OF.__getitem__)},
        labelled={label: int(np.isfinite(rows.labels[label]).sum()) for label in LABELS},
        content_sha256=_hash(content),
        n_dropped=len(rows.dropped),
        **described,
    )


def _missing(info: PairTableInfo) -> list[str]:
    """How many rows lack a label that others have."""
    words = {"energy": "energy", "formation_energy": "formation energy", "volume": "volume"}
    notes = []
    for label, n in info.labelled.items():
        kind, _, functional = label.rpartition("_")
        if n < info.n_pairs and (n or kind == "energy"):
            notes.append(
                f"{info.n_pairs - n:,} of {info.n_pairs:,} rows have no {words[kind]} in {'PBE' if functional == 'pbe' else 'r²SCAN'}."
            )
    return notes


def _hash(content: pa.Table) -> str:
    sink = hashlib.sha256()
    for name in content.column_names:
        sink.update(json.dumps(content[name].to_pylist()).encode())
    return sink.hexdigest()


def _write(root: Path, info: PairTableInfo, content: pa.Table, report: dict[str, object], replace: bool) -> None:
    """A folder under its name only when it is complete."""
    hidden = hidden_folder(root, info.name)
    try:
        with pa.OSFile(str(hidden / PAIRS), "wb") as file, pa.ipc.new_stream(file, COLUMNS) as stream:
            stream.write_table(content, max_chunksize=_ROWS)
        (hidden / "report.json").write_text(json.dumps(report, indent=1))
        (hidden / "table.json").write_text(json.dumps(asdict(info), indent=1))
        take_name(hidden, root / info.name, KIND, replace)
    finally:
        with suppress(OSError):
            shutil.rmtree(hidden)
