"""References that somebody brings along in a file, as something to compare with the schemes: another program's table, or those of a run."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xfunc_core.elements import N_REFERENCED
from xfunc_core.errors import DataError
from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.looked_up import between_neighbours
from xfunc_core.references.scheme import Scheme
from xfunc_core.references.tables import LARGEST_ENERGY, LARGEST_TEXT, Table, read_table
from xfunc_core.runs.behind import frames_behind
from xfunc_core.runs.files import parse_object
from xfunc_core.runs.folder import RunFolder
from xfunc_core.training.settings import FinetuneSettings

_LARGEST_BYTES = 4 * LARGEST_TEXT


@dataclass(frozen=True)
class Brought:
    """References from a file.

    Attributes:
        references: external, unless they are a run's.
        fitted_on: ids of the frames they were fitted on, where a run's split.json beside the file tells.
    """

    references: ElementReferences
    fitted_on: frozenset[str] = frozenset()

    def judged(self, held_back: Collection[str]) -> ElementReferences:
        """The references, marked leaky if they were fitted on frames that are held back here.

        Args:
            held_back: ids of the validation and test frames.
        """
        return replace(self.references, leaky=self.references.leaky or not self.fitted_on.isdisjoint(held_back))


def read_references(path: Path) -> Brought:
    """Read another program's table, or the references.json of a run.

    Raises:
        DataError: the file cannot be read, or holds neither.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DataError(f"{path.name} is far too large for a table of reference energies: choose another file.")
        text = path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise DataError(f"The table {path} cannot be read ({error.strerror or error}): check the path.") from error
    found = references_in(text, path.name)
    if found.scheme is Scheme.TABLE and path.name != RunFolder(path.parent).references.name:
        return Brought(found)
    return Brought(replace(found, source=f"{path.parent.name}/{found.source}"), frames_behind(RunFolder(path.parent)))


def references_in(text: str, name: str) -> ElementReferences:
    """The same of a file's text alone; of a run's references it cannot be told which frames they were fitted on.

    Args:
        text: content of the file.
        name: of the file.

    Raises:
        DataError: it holds neither.
    """
    own = parse_object(text.encode())
    if own is not None and {"scheme", "energies", "n_frames"} <= own.keys():
        return _of_a_run(own, name)
    return of_table(read_table(text, name), name)


def known_energies(references: ElementReferences) -> np.ndarray:
    """The energies, eV/atom, shape (94,), with NaN for what stands in and says nothing."""
    return np.where([status is Status.UNKNOWN for status in references.status], np.nan, references.energies)


def of_table(table: Table, name: str) -> ElementReferences:
    """A table as references: unknown where it has nothing; there the line between its neighbours in Z stands in.

    Args:
        table: as it was read.
        name: of the file, for a reader.
    """
    known = np.isfinite(table.energies)
    return ElementReferences(
        scheme=Scheme.TABLE,
        energies=between_neighbours(table.energies),
        n_frames=np.zeros(N_REFERENCED, dtype=int),
        rank=0,
        source=f"{name} ({table.format.value})",
        status=tuple(Status.PRIOR if k else Status.UNKNOWN for k in known),
        external=True,
    )


def of_settings(settings: FinetuneSettings) -> ElementReferences | None:
    """The table that a run's settings bring along, if any."""
    if not settings.reference_table:
        return None
    name = settings.reference_table_name or "the settings"
    return of_table(read_table(settings.reference_table, name), name)


def _of_a_run(content: dict[str, Any], name: str) -> ElementReferences:
    try:
        found = ElementReferences.from_json(content)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"{name} is no references.json of a run ({json.dumps(str(error))[:80]}): choose another file.") from error
    if found.energies.shape != (N_REFERENCED,) or not (np.abs(found.energies) < LARGEST_ENERGY).all() or (found.n_frames < 0).any():
        raise DataError(f"{name} holds energies in eV/atom or numbers of frames that cannot be: choose another file.")
    return replace(found, source=f"{name} ({found.scheme.label}, {found.source})")

