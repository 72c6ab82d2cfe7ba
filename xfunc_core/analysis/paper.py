"""The published values of Huang et al. 2025, to lay beside one's own; never mixed with them.

The points of Fig. 6 were digitised from the vector figure and rounded to 1 meV; a refit for N > 1000
returns the printed slopes. They were measured on the validation set of MP-r2SCAN, one run per size,
with the references of the full data at every size.
"""

from __future__ import annotations

import math

import pandas as pd

from xfunc_core.analysis.scaling import PowerLaw
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import ENERGY, FORCE, Method, Quantity

CITATION = (
    "Huang, Deng, Zhong, Kaplan, Persson, Ceder, Cross-functional transferability in foundation machine "
    "learning interatomic potentials, npj Comput. Mater. 11, 313 (2025), doi:10.1038/s41524-025-01796-y, CC BY 4.0"
)
FIG6_LABEL = "Huang et al. 2025, Fig. 6 (digitised, validation set, MP-r²SCAN)"
TABLE1_LABEL = "Huang et al. 2025, Table 1 (test set of 23,799 frames, MP-r²SCAN)"

FIT_ABOVE = 1000
"""The printed fits use the points with N > 1000."""

PEARSON_RAW, PEARSON_REFERENCED = 0.0917, 0.9250
"""ρ of relaxed entries of the Materials Project, before and after each functional's own AtomRefs are subtracted."""
CROSSOVER = {"energy": 719_996, "force": 317_475}
"""Frames at which the printed fits of scratch and transfer meet."""

_SIZES = (0, 196, 1008, 1987, 4036, 19_350, 38_563, 190_560)
_FIG6 = {
    ("energy", Method.M4): (170, 113, 73, 52, 38, 23, 20, 15),
    ("energy", Method.M1): (None, 542, 482, 354, 228, 71, 49, 22),
    ("force", Method.M4): (108, 72, 72, 67, 62, 50, 45, 36),
    ("force", Method.M1): (None, 267, 287, 305, 192, 95, 73, 44),
}
_PRINTED = {
    ("energy", Method.M1): (-0.615, 4.5447, 0.994),
    ("energy", Method.M4): (-0.301, 2.7078, 0.964),
    ("force", Method.M1): (-0.394, 3.6964, 0.978),
    ("force", Method.M4): (-0.134, 2.2668, 0.997),
}
_TABLE1 = {
    "M1": (27, 45, 0.239, 0.019, 37.44, 43.11, 0.414),
    "M2": (26, 54, 0.266, 0.027, 41.22, 52.43, 0.236),
    "M3": (26, 52, 0.257, 0.026, 38.54, 39.78, 0.240),
    "M4": (17, 38, 0.167, 0.023, 23.66, 29.38, 0.199),
}


def fig6_points(quantity: Quantity) -> pd.DataFrame:
    """The digitised points of Fig. 6 with columns ``method``, ``size``, ``error`` in the quantity's unit.

    Size 0 is the GGA model with the r²SCAN references. Rounding is half a meV either way.

    Raises:
        ConfigError: Fig. 6 has no such quantity.
    """
    _check(quantity)
    rows = [
        {"method": method.value, "size": size, "error": error / quantity.error_scale}
        for (key, method), errors in _FIG6.items()
        if key == quantity.key
        for size, error in zip(_SIZES, errors, strict=True)
        if error is not None
    ]
    return pd.DataFrame(rows)


def printed_law(quantity: Quantity, method: Method) -> PowerLaw:
    """The fit printed in Fig. 6, its intercept moved from meV to the quantity's unit.

    Raises:
        ConfigError: Fig. 6 has no such quantity or method.
    """
    _check(quantity)
    if (quantity.key, method) not in _PRINTED:
        raise ConfigError(f"Fig. 6 of the paper has no curve for {method.value}; it has M1 and M4.")
    slope, intercept, r2 = _PRINTED[quantity.key, method]
    n = sum(size > FIT_ABOVE for size in _SIZES)
    return PowerLaw(slope, intercept - math.log10(quantity.error_scale), r2, n_points=n, n_sizes=n)


def table1() -> pd.DataFrame:
    """Table 1, indexed by method, in the paper's units.

    Columns: ``energy`` meV/atom, ``force`` meV/Å, ``stress`` GPa, ``magmom`` μB (test MAE),
    ``decomposition_energy`` meV/atom, ``formation_energy`` meV/atom, ``density`` g/cm³.
    """
    columns = ["energy", "force", "stress", "magmom", "decomposition_energy", "formation_energy", "density"]
    table = pd.DataFrame.from_dict(_TABLE1, orient="index", columns=columns)
    table.index.name = "method"
    return table


def _check(quantity: Quantity) -> None:
    if quantity not in (ENERGY, FORCE):
        raise ConfigError(f"Fig. 6 of the paper shows energy and force, not {quantity.label.lower()}.")
