"""Structures as pymatgen writes them to JSON: read as plain values, never decoded into objects."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xfunc_core.data.formats.values import Unusable, atomic_number, lattice, moments, positions, shown


class Crystal(NamedTuple):
    """A structure as arrays: atomic numbers (N,), lattice rows (3, 3) and Cartesian positions (N, 3) in Å, moments (N,) in μB or None."""

    numbers: np.ndarray
    lattice: np.ndarray
    positions: np.ndarray
    magmoms: np.ndarray | None


def read_structure(structure: Any, masked: list[str]) -> Crystal:
    """The crystal of a ``Structure.as_dict()``; moments that cannot be used are told in ``masked``.

    Raises:
        Unusable: it is no ordered, three-dimensional crystal of hydrogen to plutonium.
    """
    if not isinstance(structure, dict) or not isinstance(structure.get("sites"), list) or not structure["sites"]:
        raise Unusable("its structure has no sites")
    sites = structure["sites"]
    entry = structure.get("lattice") if isinstance(structure.get("lattice"), dict) else {}
    cell = lattice(entry.get("matrix"), len(sites))
    if entry.get("pbc") not in (None, [True, True, True]):
        raise Unusable("its cell does not repeat in all three directions")
    numbers = np.array([_occupant(site, place) for place, site in enumerate(sites, start=1)], dtype=np.uint8)
    fractional = all("abc" in site for site in sites)
    where = positions([site.get("abc" if fractional else "xyz") for site in sites], len(sites), cell if fractional else None)
    return Crystal(numbers, cell, where, moments([_moment(site) for site in sites], len(sites), masked))


def _occupant(site: Any, place: int) -> int:
    species = site.get("species") if isinstance(site, dict) else None
    if not isinstance(species, list) or len(species) != 1 or not isinstance(species[0], dict):
        raise Unusable(f"site {place} is not occupied by exactly one element (disordered structures have no single energy)")
    number, occupation = atomic_number(species[0].get("element"), place), species[0].get("occu", 1)
    if occupation != 1:
        raise Unusable(f"site {place} is only partly occupied ({shown(occupation)})")
    return number


def _moment(site: dict[str, Any]) -> Any:
    properties = site.get("properties")
    return properties.get("magmom") if isinstance(properties, dict) else None
