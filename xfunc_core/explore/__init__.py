"""How one paired dataset relates PBE and r²SCAN: everything the Explore page and `correlate` show, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xfunc_core.analysis.correlation import ComponentCorrelation, EnergyCorrelation, correlate_components, correlate_energies
from xfunc_core.data.pairs import Pairs
from xfunc_core.elements import Z_OF
from xfunc_core.quantities import ENERGY, FORCE, MAGMOM, STRESS, correlation_text, count_text
from xfunc_core.references.paired import PairedReferences, PairedScheme, paired_references

COMPONENTS = ((FORCE, "forces"), (STRESS, "stress"), (MAGMOM, "magmoms"))


@dataclass(frozen=True)
class Exploration:
    """Correlations of a paired dataset.

    Attributes:
        energies: total energies per atom, raw and referenced.
        components: force and stress components and magnetic moments, by quantity key; unlabelled ones have n = 0.
        references: what was subtracted.
    """

    energies: EnergyCorrelation
    components: dict[str, ComponentCorrelation]
    references: PairedReferences
    scales: tuple[str, str] = ("", "")
    """What the PBE and the r²SCAN dataset say of their energy scale."""

    def caveats(self) -> list[str]:
        """What a reader must know before quoting a number."""
        n_elements, n = len(self.energies.by_element), self.energies.n_frames
        said = []
        if self.scales[0] != self.scales[1]:
            pbe, r2scan = (scale or "not said" for scale in self.scales)
            said.append(f"The two datasets do not name one energy scale (PBE: {pbe}; r²SCAN: {r2scan}): where codes or potentials differ, so do the energies, and the shift is not that of the functional.")
        if self.references.scheme is PairedScheme.LSTSQ:
            said.append(f"The references are {n_elements} numbers per functional fitted on these same {count_text(n)} frames, so the referenced correlation is in-sample.")
        if self.references.undetermined:
            names = ", ".join(self.references.open_elements)
            said.append(f"{names} occur in fixed ratios only: their shifts are known in sum, not one by one, and are left blank.")
        if self.references.is_exact:
            said.append("There are as many reference energies as frames, so the fit is exact and its referenced correlation says nothing.")
        if self.energies.n_unreferenced:
            said.append(f"{count_text(self.energies.n_unreferenced)} frames hold an element without a reference and are left out of the referenced view.")
        if self.energies.n_left_out:
            said.append(f"{count_text(self.energies.n_left_out)} frames lack one of the two energies and are left out.")
        return said


def explore(pairs: Pairs, scheme: PairedScheme) -> Exploration:
    """Correlate energies, forces, stresses and magnetic moments of paired frames."""
    references = paired_references(pairs, scheme)
    energies = correlate_energies(pairs.energy_pbe, pairs.energy_r2scan, pairs.composition, pairs.frames["material_id"], references.pbe, references.r2scan)
    energies.by_element.loc[energies.by_element.index.isin(references.open_elements), "shift"] = np.nan  # known in sum only
    components = {quantity.key: correlate_components(*pairs.components(name)) for quantity, name in COMPONENTS}
    return Exploration(energies, components, references, (pairs.pbe.info.energy_scale, pairs.r2scan.info.energy_scale))


@dataclass(frozen=True)
class ElementValue:
    """A per-element number the periodic table can be coloured by."""

    label: str
    unit: str
    text: Callable[[float], str]
    diverging: bool = False
    short: Callable[[float], str] | None = None
    """How it is written where there is little room; as ``text`` if None."""


ELEMENT_VALUES = {
    "shift": ElementValue("Reference shift r²SCAN − PBE", ENERGY.unit, ENERGY.value, short=lambda x: f"{x:.1f}".replace("-", "−")),
    "pearson_raw": ElementValue("Correlation, raw", "", correlation_text, diverging=True),
    "pearson_referenced": ElementValue("Correlation, referenced", "", correlation_text, diverging=True),
    "n_frames": ElementValue("Frames", "", lambda n: count_text(int(n))),
}
"""Columns of `EnergyCorrelation.by_element` and how they read on screen."""


def containing(pairs: Pairs, symbols: Sequence[str]) -> np.ndarray | None:
    """Which pairs contain any of the elements, shape (P,); None when no element is given."""
    if not symbols:
        return None
    return (pairs.composition[:, [Z_OF[symbol] - 1 for symbol in symbols]] > 0).any(axis=1)


def hover_names(pairs: Pairs) -> list[str]:
    """Formula and id of every pair."""
    frames = pairs.frames
    return [f"{formula} · {frame_id}" for formula, frame_id in zip(frames["formula"], frames["frame_id"], strict=True)]


def element_table(energies: EnergyCorrelation, symbols: Sequence[str] = ()) -> pd.DataFrame:
    """The per-element table for a reader, formatted; only the given elements if any are given."""
    table = energies.by_element
    table = table[table.index.isin(symbols)] if symbols else table
    return pd.DataFrame(
        {
            "Element": table.index,
            "Frames": [count_text(n) for n in table["n_frames"]],
            f"Shift ({ENERGY.unit})": [ENERGY.value(x) for x in table["shift"]],
            "r raw": [correlation_text(x) for x in table["pearson_raw"]],
            "r referenced": [correlation_text(x) for x in table["pearson_referenced"]],
        }
    )


def component_table(found: Exploration) -> pd.DataFrame:
    """Correlation of forces, stresses and magnetic moments for a reader, formatted; unlabelled ones are left out."""
    rows = [
        {"Quantity": q.label, "N": count_text(c.n), "r": correlation_text(c.pearson), "MAE": q.error_with_unit(c.mae), "RMSE": q.error_with_unit(c.rmse)}
        for q, _ in COMPONENTS
        if (c := found.components[q.key]).n
    ]
    return pd.DataFrame(rows)
