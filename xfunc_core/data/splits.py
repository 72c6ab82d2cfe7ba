"""Splits by material, never by frame, and nested subsets for scaling laws."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xfunc_core.errors import ConfigError
from xfunc_core.quantities import counted, plural


@dataclass(frozen=True)
class Split:
    """Rows of a dataset by part; no material is in two parts."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def parts(self) -> dict[str, np.ndarray]:
        """Rows by the name of the part."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def split_by_material(material_ids: Sequence[str], composition: np.ndarray, *, validation: float, test: float, seed: int, keep_covered: bool = True) -> Split:
    """Split frames into train, validation and test so that each material is in one part only.

    With ``keep_covered`` a material is taken out of training only while each of its elements stays
    in training through another material: an element seen in the test part alone has no reference
    energy, and its eV-sized error would hide everything else.

    The order in which materials are taken hangs on the seed and their ids alone: a material that is added or removed
    hardly moves the others, and two datasets of the same materials are split alike.

    Args:
        material_ids: one per frame, length F.
        composition: atomic fractions, shape (F, 94).
        validation: fraction of materials to validate on.
        test: fraction of materials to test on.
        seed: of the shuffle.

    Raises:
        ConfigError: the fractions leave a part empty.
    """
    names, owner = np.unique(np.asarray(material_ids, dtype=str), return_inverse=True)
    wanted = {"test": round(test * len(names)), "validation": round(validation * len(names))}
    contains = np.zeros((len(names), composition.shape[1]), dtype=bool)
    np.logical_or.at(contains, owner, composition > 0)
    part = np.full(len(names), "train", dtype="U10")
    left = contains.sum(axis=0)
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(f"{seed} {names[i]}".encode()).digest())
    for name, count in wanted.items():
        for material in order:
            if count and part[material] == "train" and (not keep_covered or (left[contains[material]] > 1).all()):
                part[material] = name
                left = left - contains[material]
                count -= 1
    rows = {name: np.flatnonzero(part[owner] == name) for name in ("train", "validation", "test")}
    for name, chosen in rows.items():
        if not len(chosen):
            advice = "no further material can leave training without taking the last frames of an element along, so use more materials" if keep_covered and wanted.get(name) else "change the fractions or use more frames"
            raise ConfigError(f"The {name} part is empty with {counted(len(names), 'material')}: {advice}.")
    return Split(**rows)


def nested_subsets(rows: np.ndarray, material_ids: Sequence[str], composition: np.ndarray, sizes: Sequence[int], seed: int) -> list[np.ndarray]:
    """Subsets of ``rows`` of about the given numbers of frames, each contained in the next.

    Materials come whole and in random order, but those that bring a new element first: small
    subsets then cover as many elements as they can, which is what a careful user would compute first.

    Raises:
        ConfigError: a size is below one frame or above ``len(rows)``.
    """
    for size in sizes:
        if not 1 <= size <= len(rows):
            raise ConfigError(f"A subset of {size} {plural(size, 'frame')} is not possible: training has {counted(len(rows), 'frame')}.")
    groups = _by_material(rows, np.asarray(material_ids, dtype=str)[rows])
    contains = np.array([(composition[group] > 0).any(axis=0) for group in groups])
    ordered = [groups[i] for i in _covering_order(contains, seed)]
    frames = np.cumsum([len(group) for group in ordered])
    counts = [int(np.abs(frames - size).argmin()) + 1 for size in sizes]
    return [np.sort(np.concatenate(ordered[:count])) for count in counts]


def _by_material(rows: np.ndarray, materials: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(materials, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(np.unique(materials, return_inverse=True)[1][order])) + 1)


def _covering_order(contains: np.ndarray, seed: int) -> list[int]:
    """Indices of the materials, those that add most new elements first, the rest at random."""
    shuffled = np.random.default_rng(seed).permutation(len(contains))
    covered = np.zeros(contains.shape[1], dtype=bool)
    first: list[int] = []
    while True:
        gain = (contains[shuffled] & ~covered).sum(axis=1)
        best = int(gain.argmax())
        if gain[best] == 0:
            break
        first.append(int(shuffled[best]))
        covered |= contains[shuffled[best]]
    taken = set(first)
    return first + [int(i) for i in shuffled if int(i) not in taken]
