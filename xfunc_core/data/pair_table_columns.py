"""Which column of a relaxed-pair table is what: told by its name, or by the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

_FUNCTIONALS = {Functional.PBE: ("pbe", "gga", "gga_u", "gga_gga_u", "pbe_u"), Functional.R2SCAN: ("r2scan", "r2_scan")}
_OF_BOTH = {
    "id": ("id", "frame_id", "pair_id", "entry_id", "matpes_id"),
    "material_id": ("material_id", "mp_id", "mpid", "material", "materials_id", "materials_project_id"),
    "formula": ("formula", "formula_pretty", "pretty_formula"),
    "composition": ("composition",),
    "n_atoms": ("n_atoms", "natoms", "nsites", "n_sites", "num_atoms", "number_of_atoms"),
}
_OF_ONE = {
    "energy_per_atom": (
        "e_{f}_per_atom",
        "energy_{f}_per_atom",
        "energy_per_atom_{f}",
        "{f}_energy_per_atom",
        "e_per_atom_{f}",
        "{f}_e_per_atom",
    ),
    "energy": ("energy_{f}", "e_{f}", "{f}_energy", "{f}_e", "total_energy_{f}", "{f}_total_energy", "energy_total_{f}", "e_total_{f}"),
    "formation_energy": (
        *("hf_{f}", "formation_energy_{f}", "{f}_formation_energy", "formation_energy_per_atom_{f}", "{f}_formation_energy_per_atom"),
        *("formation_energy_{f}_per_atom", "e_form_{f}", "{f}_e_form", "e_form_{f}_per_atom", "hf_{f}_per_atom"),
    ),
    "volume_per_atom": ("volume_{f}_per_atom", "volume_per_atom_{f}", "{f}_volume_per_atom", "v_{f}_per_atom"),
    "volume": ("volume_{f}", "{f}_volume", "v_{f}"),
}
PATTERNS: dict[str, tuple[str, ...]] = _OF_BOTH | {
    f"{role}_{functional.value}": tuple(pattern.format(f=name) for name in names for pattern in patterns)
    for role, patterns in _OF_ONE.items()
    for functional, names in _FUNCTIONALS.items()
}
"""Names of columns by what they hold; how names are compared is `plain_name`.

Energies and volumes without ``per_atom`` in their name are those of the whole cell (eV, Å³), formation energies are always per atom (eV/atom).
"""
NUMBERS = tuple(role for role in PATTERNS if role not in ("id", "material_id", "formula", "composition"))
ENERGIES = {functional: (f"energy_per_atom_{functional.value}", f"energy_{functional.value}") for functional in Functional}
"""The two columns that may hold the energy of a functional; the first is taken where both are there."""


def plain_name(name: str) -> str:
    """A column's name as names are compared: ``E_r²SCAN (eV/atom)`` is ``e_r2scan_per_atom``, and ``GGA/GGA+U`` ``gga_gga_u``."""
    words = re.sub(r"[^a-z0-9]+", "_", name.casefold().replace("²", "2").replace("³", "3").replace("å", "a")).strip("_")
    words = re.sub(r"_(ev|a3|ang3)(_per)?_atom$", "_per_atom", words)
    return re.sub(r"_(ev|a3|ang3)$", "", words).replace("_per_atom_per_atom", "_per_atom")


def recognise(header: Sequence[str], said: Mapping[str, str] | None = None) -> dict[str, int]:
    """Places of the columns by what they hold, a key of `PATTERNS`.

    Args:
        header: names of the columns.
        said: the user's word for some of them, name of a column by key of `PATTERNS`.

    Raises:
        DataError: ``said`` names what is not there, two columns claim one meaning, or an energy or the composition is missing.
    """
    names = [plain_name(name) for name in header]
    places = _said(header, names, said or {})
    settled = {role for roles in ENERGIES.values() if set(roles) & set(places) for role in roles} | set(places)
    for role in [role for role in PATTERNS if role not in settled]:
        found = [i for i, name in enumerate(names) if name in PATTERNS[role] and i not in places.values()]
        if len(found) > 1:
            raise DataError(
                f"The columns {' and '.join(repr(header[i][:40]) for i in found[:2])} may both be {role}: say which is, with --column {role}=NAME."
            )
        if found:
            places[role] = found[0]
    missing = [functional for functional, roles in ENERGIES.items() if not set(roles) & set(places)]
    if missing:
        raise DataError(
            f"No column holds the energies of {missing[0].label} under a name that xfunc knows: name it with --column {ENERGIES[missing[0]][0]}=NAME "
            f"(or {ENERGIES[missing[0]][1]}=NAME for those of whole cells); the columns are {_listed(header)}."
        )
    if "formula" not in places and "composition" not in places:
        raise DataError(
            f"No column holds formulas or compositions: name one with --column formula=NAME; the columns are {_listed(header)}."
        )
    return places


def is_pair_header(header: Sequence[str]) -> bool:
    """Whether these are the columns of a relaxed-pair table."""
    try:
        return bool(recognise(header))
    except DataError:
        return False


def _said(header: Sequence[str], names: Sequence[str], said: Mapping[str, str]) -> dict[str, int]:
    places = {}
    for role, name in said.items():
        if role not in PATTERNS:
            raise DataError(f"{role[:40]!r} is no column of a pair table: use one of {', '.join(PATTERNS)}.")
        found = [i for i, column in enumerate(header) if column.strip() == name.strip()] or [
            i for i, column in enumerate(names) if column == plain_name(name)
        ]
        if len(found) != 1:
            raise DataError(f"{'Several columns are' if found else 'No column is'} named {name[:40]!r}: the columns are {_listed(header)}.")
        places[role] = found[0]
    return places


def _listed(header: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in header[:30])
