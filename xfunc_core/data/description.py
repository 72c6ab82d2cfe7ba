"""What a dataset is: the content of its ``dataset.json``, checked when it is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from xfunc_core.data.folders import read_description, wrong_field
from xfunc_core.elements import Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

SCHEMA_VERSION = 2
KIND = "dataset"
"""What it is called in sentences."""


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset is; the content of ``dataset.json``.

    Attributes:
        name: folder name, unique in the data home.
        title: name on screen.
        functional: value of a `Functional`.
        n_frames: frames kept.
        n_atoms: atoms in all frames.
        n_materials: distinct material ids.
        elements: frames that contain each element, by symbol.
        labelled: frames that have each label, by label.
        source: file name the frames came from.
        source_sha256: hash of that file.
        content_sha256: hash of every column kept.
        energy_scale: which code and potentials the energies refer to.
        licence: licence of the data.
        citation: whom to cite.
        isolated_atoms: energy in eV of isolated atoms, by symbol, when the source has them.
        importer: name and version of the program that wrote it.
        schema_version: layout of the folder.
    """

    name: str
    title: str
    functional: str
    n_frames: int
    n_atoms: int
    n_materials: int
    elements: dict[str, int]
    labelled: dict[str, int]
    source: str
    source_sha256: str
    content_sha256: str
    energy_scale: str = ""
    licence: str = ""
    citation: str = ""
    isolated_atoms: dict[str, float] = field(default_factory=dict)
    importer: str = ""
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def read(cls, folder: Path) -> DatasetInfo:
        """The description of the dataset in ``folder``; a folder that was renamed gives the dataset its new name.

        Raises:
            DataError: there is no dataset, it is of another schema version, or its dataset.json was damaged.
        """
        content = read_description(folder / "dataset.json", KIND, SCHEMA_VERSION, partial(_damaged, folder))
        problem = _problem(content)
        if problem:
            raise _damaged(folder, problem)
        return replace(cls(**content), name=folder.name)


def _damaged(folder: Path, reason: str) -> DataError:
    return DataError(f"Dataset {folder.name!r} cannot be opened, its dataset.json is damaged ({reason}): delete the folder {folder} and import it again.")


def _problem(content: Any) -> str:
    """What is wrong with the content of a dataset.json, '' if nothing."""
    wrong = wrong_field(content, DatasetInfo)
    if wrong:
        return wrong
    if content["functional"] not in {functional.value for functional in Functional}:
        return f"it names no functional that xfunc knows but {content['functional'][:40]!r}"
    if not set(content["elements"]) | set(content.get("isolated_atoms", {})) <= set(Z_OF):
        return "it names what is no element"
    return ""
