"""Groups of rows by element and chemistry, by hand-made compositions and pymatgen."""

import numpy as np
import pytest
from pymatgen.core import Composition, Element

from xfunc_core.analysis.groups import CHEMISTRIES, Attribution, Groups, chemistry_groups, element_groups
from xfunc_core.elements import METALLOIDS, METALS, SYMBOLS, Z_OF
from xfunc_core.errors import ConfigError, DataError


def compositions(*formulas):
    """Atomic fractions, shape (P, 94), as pymatgen reads the formulas."""
    fractions = np.zeros((len(formulas), 94))
    for row, formula in enumerate(formulas):
        for element, fraction in Composition(formula).fractional_composition.items():
            fractions[row, element.Z - 1] = fraction
    return fractions


def by_name(groups):
    return {name: groups.rows_of(name).tolist() for name in groups.names}


def test_metals_and_metalloids_are_those_of_pymatgen():
    assert {symbol for symbol in SYMBOLS[:94] if Element(symbol).is_metal} == METALS
    assert {symbol for symbol in SYMBOLS[:94] if Element(symbol).is_metalloid} == METALLOIDS


def test_every_frame_counts_once_for_each_element_in_it():
    groups = element_groups(compositions("Fe2O3", "MgO", "Fe"), np.arange(3), Attribution.CONTAINS)
    assert by_name(groups) == {"O": [0, 1], "Mg": [1], "Fe": [0, 2]}
    assert groups.weights is None and groups.rows_of("Xe").size == 0


def test_frames_count_with_the_fraction_of_the_element():
    groups = element_groups(compositions("Fe2O3", "MgO", "Fe"), np.arange(3), Attribution.WEIGHTED)
    assert by_name(groups) == {"O": [0, 1], "Mg": [1], "Fe": [0, 2]}
    assert groups.weights == pytest.approx([0.6, 0.5, 0.5, 0.4, 1.0])


def test_rows_follow_their_pairs_in_any_order():
    pair_of_row = np.array([2, 0, 0, 1, 2])
    contains = element_groups(compositions("Fe2O3", "MgO", "Fe"), pair_of_row, Attribution.CONTAINS)
    assert by_name(contains) == {"O": [1, 2, 3], "Mg": [3], "Fe": [0, 1, 2, 4]}
    weighted = element_groups(compositions("Fe2O3", "MgO", "Fe"), pair_of_row, Attribution.WEIGHTED)
    assert by_name(weighted) == by_name(contains)
    assert weighted.weights == pytest.approx([0.6, 0.6, 0.5, 0.5, 1.0, 0.4, 0.4, 1.0])


def test_atoms_count_for_their_own_element():
    z = np.array([26, 26, 8, 8, 8, 12, 8])
    pair_of_row = np.array([0, 0, 0, 0, 0, 1, 1])
    groups = element_groups(compositions("Fe2O3", "MgO"), pair_of_row, Attribution.OWN, z)
    assert by_name(groups) == {"O": [2, 3, 4, 6], "Mg": [5], "Fe": [0, 1]}
    with pytest.raises(ConfigError, match="belong to no atom"):
        element_groups(compositions("MgO"), np.arange(1), Attribution.OWN)
    with pytest.raises(DataError, match="6 elements for 7 rows"):
        element_groups(compositions("Fe2O3", "MgO"), pair_of_row, Attribution.OWN, z[1:])


def test_no_pairs_are_no_groups():
    assert element_groups(np.zeros((0, 94)), np.zeros(0, dtype=int), Attribution.CONTAINS).names == ()
    assert by_name(chemistry_groups(np.zeros((0, 94)), np.zeros(0, dtype=int))) == dict.fromkeys(CHEMISTRIES, [])


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("Fe2O3", {"oxides", "3d"}),
        ("CaCO3", {"oxides"}),
        ("LiFePO4", {"oxides", "3d"}),
        ("SiO2", {"oxides"}),
        ("CO2", set()),
        ("O2", set()),
        ("LaOF", {"4f"}),
        ("BaSO4", set()),
        ("LiF", {"fluorides"}),
        ("SF6", set()),
        ("K2PtCl6", {"chlorides", "5d"}),
        ("MoS2", {"sulfides", "4d"}),
        ("TeO2", set()),
        ("GaN", {"nitrides"}),
        ("BN", {"nitrides"}),
        ("Ni3Al", {"intermetallics", "3d"}),
        ("Mg2Si", set()),
        ("Cu", {"3d"}),
        ("LuFe2", {"intermetallics", "3d", "4f"}),
        ("HfZn2", {"intermetallics", "3d", "5d"}),
        ("CeTe", {"4f"}),
    ],
)
def test_chemistries_of_known_compounds(formula, expected):
    groups = chemistry_groups(compositions(formula), np.zeros(3, dtype=int))
    assert groups.names == tuple(CHEMISTRIES)
    assert {name for name in groups.names if groups.rows_of(name).tolist() == [0, 1, 2]} == expected


@pytest.mark.parametrize(("name", "first", "last", "row"), [("3d", "Sc", "Zn", 4), ("4d", "Y", "Cd", 5), ("5d", "Hf", "Hg", 6)])
def test_transition_series_are_the_d_block_of_pymatgen(name, first, last, row):
    symbols = [symbol for symbol in SYMBOLS[:94] if Element(symbol).block == "d" and Element(symbol).row == row and symbol != "Lu"]
    assert symbols == list(SYMBOLS[Z_OF[first] - 1 : Z_OF[last]])
    assert chemistry_groups(compositions(*symbols), np.arange(len(symbols))).rows_of(name).size == len(symbols)


def test_lanthanides_are_those_of_pymatgen():
    symbols = [symbol for symbol in SYMBOLS[:94] if Element(symbol).is_lanthanoid]
    groups = chemistry_groups(compositions(*SYMBOLS[:94]), np.arange(94))
    assert [SYMBOLS[row] for row in groups.rows_of("4f")] == symbols


def test_rows_of_an_unknown_group_are_none():
    assert Groups(("a",), np.array([0, 2]), np.arange(2)).rows_of("b").size == 0
