"""Frames and datasets as tables for a reader: values formatted, units named."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.pair_table import PairTable
from xfunc_core.elements import Z_OF
from xfunc_core.quantities import ENERGY, FORCE, MAGMOM, MISSING, STRESS, VOIGT, Functional, Quantity, count_text

DIFFERENCE = f"{Functional.R2SCAN.label} − {Functional.PBE.label}"
VOLUME = Quantity("volume", "Volume", "Å³/atom", "Å³/atom", 1.0, 3, 2)


def label_table(frames: list[tuple[Dataset, int]]) -> pd.DataFrame:
    """Energy, largest force, stress components and magnetic moment of ``(dataset, row)`` pairs, formatted: PBE first, and of two
    functionals their difference last."""
    frames = sorted(frames, key=lambda frame: list(Functional).index(frame[0].functional))
    columns = {"Label": [label for label, _, _ in _LABELS], "Unit": [quantity.unit for _, quantity, _ in _LABELS]}
    values = [[read(dataset, row) for _, _, read in _LABELS] for dataset, row in frames]
    written = {dataset.functional.label: column for (dataset, _), column in zip(frames, values, strict=True)}
    if len(written) == 2:
        written[DIFFERENCE] = [r2scan - pbe for pbe, r2scan in zip(*values, strict=True)]
    for name, column in written.items():
        columns[name] = [quantity.value(value) for (_, quantity, _), value in zip(_LABELS, column, strict=True)]
    return pd.DataFrame(columns)


def pair_table_labels(table: PairTable, row: int) -> pd.DataFrame:
    """What a table of relaxed pairs knows of one pair in both functionals, formatted; what it knows of neither is left out."""
    kinds = {"energy": ENERGY, "formation_energy": ENERGY, "volume": VOLUME}
    rows = []
    for kind, quantity in kinds.items():
        values = [float(table.label(f"{kind}_{functional.value}")[row]) for functional in Functional]
        if np.isfinite(values).any():
            written = {functional.label: quantity.value(value) for functional, value in zip(Functional, values, strict=True)}
            rows.append({"Label": kind.replace("_", " ").capitalize(), "Unit": quantity.unit, **written, DIFFERENCE: quantity.value(values[1] - values[0])})
    return pd.DataFrame(rows)


def pair_table_overview(tables: Sequence[PairTable]) -> pd.DataFrame:
    """One row a table of relaxed pairs, for a reader."""
    known = [{label.rpartition("_")[0].replace("_", " ") for label, n in table.info.labelled.items() if n} for table in tables]
    return pd.DataFrame(
        {
            "Title": [table.info.title for table in tables],
            "Pairs": [count_text(len(table)) for table in tables],
            "Materials": [count_text(table.info.n_materials) for table in tables],
            "Elements": [len(table.info.elements) for table in tables],
            "Labels": [", ".join(sorted(labels)) for labels in known],
            "Left out": [count_text(table.info.n_dropped) for table in tables],
            "From": [table.info.source for table in tables],
        }
    )


def _energy(dataset: Dataset, row: int) -> float:
    return float(dataset.energy_per_atom[row])


def _largest_force(dataset: Dataset, row: int) -> float:
    return float(np.linalg.norm(dataset.atom_array("forces")[dataset.atoms_of(row)], axis=1).max())


def _stress(component: int) -> Callable[[Dataset, int], float]:
    return lambda dataset, row: float(dataset.frame_array("stress")[row, component])


def _moment(dataset: Dataset, row: int) -> float:
    moments = dataset.atom_array("magmoms")[dataset.atoms_of(row)]
    return math.nan if np.isnan(moments).all() else float(moments.sum())


_LABELS = (
    (ENERGY.label, ENERGY, _energy),
    ("Largest force", FORCE, _largest_force),
    *((f"Stress {name}", STRESS, _stress(i)) for i, name in enumerate(VOIGT)),
    ("Total moment", MAGMOM, _moment),
)


def dataset_table(datasets: list[Dataset]) -> pd.DataFrame:
    """One row a dataset, for a reader."""
    return pd.DataFrame(
        {
            "Title": [d.info.title for d in datasets],
            "Functional": [d.functional.label for d in datasets],
            "Frames": [count_text(d.info.n_frames) for d in datasets],
            "Materials": [count_text(d.info.n_materials) for d in datasets],
            "Elements": [len(d.info.elements) for d in datasets],
            "Labels": [", ".join(label for label, n in d.info.labelled.items() if n) for d in datasets],
            "Energy scale": [d.info.energy_scale or MISSING for d in datasets],
            "Name": [d.info.name for d in datasets],
        }
    )


def frame_table(dataset: Dataset, symbols: Sequence[str] = ()) -> pd.DataFrame:
    """One row a frame, indexed by its row in the dataset; only frames with any of the elements if some are given."""
    columns = [Z_OF[symbol] - 1 for symbol in symbols]
    rows = np.flatnonzero((dataset.composition[:, columns] > 0).any(axis=1)) if columns else np.arange(len(dataset))
    table = dataset.table.iloc[rows]
    return pd.DataFrame(
        {
            "Formula": table["formula"],
            "Id": table["frame_id"],
            "Material": table["material_id"],
            "Atoms": table["n_atoms"],
            ENERGY.axis: np.round(dataset.energy_per_atom[rows], ENERGY.decimals),
        },
        index=rows,
    )
