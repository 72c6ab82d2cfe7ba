"""The datasets in a data home: list, open, delete, and the bundled ones put in place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.description import KIND
from xfunc_core.data.folders import delete_folder, opened
from xfunc_core.data.importing import import_file
from xfunc_core.errors import DataError


@dataclass(frozen=True)
class Bundled:
    """A file that comes with xfunc and is imported like any user's file."""

    name: str
    title: str
    file: str
    energy_scale: str
    licence: str
    citation: str


_GPAW = "GPAW 26.7.0 PAW reference atoms (not the VASP / Materials Project scale)"
_VASP = "VASP, MatPES settings"
_XFUNC = "xfunc-dft: own GPAW calculations, small and not converged to production standard"
_MATPES = "Kaplan et al., MatPES, arXiv 2503.04070; element references as shipped with matcalc"

BUNDLED = (
    Bundled("xfunc-dft-r2scan", "xfunc-dft · r²SCAN", "xfunc-dft-r2SCAN.jsonl.gz", _GPAW, "CC0-1.0", _XFUNC),
    Bundled("xfunc-dft-pbe", "xfunc-dft · PBE", "xfunc-dft-PBE.jsonl.gz", _GPAW, "CC0-1.0", _XFUNC),
    Bundled("matpes-elements-r2scan", "MatPES elements · r²SCAN", "MatPES-r2SCAN-Element-Refs.json.gz", _VASP, "BSD-3-Clause", _MATPES),
    Bundled("matpes-elements-pbe", "MatPES elements · PBE", "MatPES-PBE-Element-Refs.json.gz", _VASP, "BSD-3-Clause", _MATPES),
)
PAIRED = (("xfunc-dft-pbe", "xfunc-dft-r2scan"), ("matpes-elements-pbe", "matpes-elements-r2scan"))
"""Bundled datasets that hold the same frames in PBE and r²SCAN."""


def install_bundled(root: Path) -> None:
    """Import the bundled files that are not there yet, are damaged, or came in another version. Cheap when all are there.

    Raises:
        DataError: ``root`` cannot be written.
    """
    for bundled in BUNDLED:
        if not _is_installed(bundled, root):
            try:
                _install(bundled, root)
            except DataError:
                if not _is_installed(bundled, root):  # otherwise another process was quicker
                    raise


def is_bundled(name: str) -> bool:
    """Whether a dataset came with xfunc; it would be put back if deleted."""
    return any(bundled.name == name for bundled in BUNDLED)


def list_datasets(root: Path) -> list[Dataset]:
    """Every readable dataset, by title; `damaged` names the others.

    Raises:
        DataError: ``root`` is there but cannot be listed.
    """
    return sorted((d for d in opened(root, KIND, Dataset) if isinstance(d, Dataset)), key=lambda d: d.info.title.lower())


def damaged(root: Path) -> list[str]:
    """One sentence for every folder that cannot be opened as a dataset."""
    return [str(d) for d in opened(root, KIND, Dataset) if isinstance(d, DataError)]


def open_dataset(root: Path, name: str) -> Dataset:
    """Open a dataset by name.

    Raises:
        DataError: there is none of that name, or it is damaged.
    """
    return Dataset(_folder(root, name))


def delete_dataset(root: Path, name: str) -> None:
    """Delete a dataset and its folder, damaged or not.

    Raises:
        DataError: there is none of that name, or the system refuses.
    """
    delete_folder(_folder(root, name), KIND)


def _folder(root: Path, name: str) -> Path:
    """The folder of a dataset; a name never leads out of ``root``."""
    if not name or name.startswith(".") or not name.isprintable() or set(name) & set("/\\"):
        raise DataError(f"{name[:70]!r} is no dataset name: choose one of those listed.")
    return root / name


def _install(bundled: Bundled, root: Path) -> None:
    with resources.as_file(resources.files("xfunc_core.data") / "bundled" / bundled.file) as path:
        import_file(
            path,
            root,
            name=bundled.name,
            title=bundled.title,
            replace=(root / bundled.name).exists(),
            energy_scale=bundled.energy_scale,
            licence=bundled.licence,
            citation=bundled.citation,
        )


def _is_installed(bundled: Bundled, root: Path) -> bool:
    try:
        return Dataset(root / bundled.name).info.source_sha256 == _bundled_sha256(bundled.file)
    except DataError:
        return False


@cache
def _bundled_sha256(file: str) -> str:
    return hashlib.sha256((resources.files("xfunc_core.data") / "bundled" / file).read_bytes()).hexdigest()
