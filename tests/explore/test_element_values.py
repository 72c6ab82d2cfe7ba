"""What a page shows of an exploration: filtered as DuckDB would, coloured by what the full tables say, rows as they are."""

from __future__ import annotations

import numpy as np
import pytest

from xfunc_core.data.library import install_bundled, open_dataset
from xfunc_core.data.pairs import Pairs, pair_by_id
from xfunc_core.data.query import Filter, FrameQuery
from xfunc_core.elements import Z_OF
from xfunc_core.explore.element_values import element_counts, element_values, row_table, rows_of, standing_out, untold_elements
from xfunc_core.explore.exploration import explore
from xfunc_core.explore.selection import kept, queries_of
from xfunc_core.explore.statistics import STATISTICS

FILTERS = [
    Filter(any_of=("O", "Na")),
    Filter(all_of=("Na", "Cl")),
    Filter(only=("Al", "Pt")),
    Filter(without=("O",)),
    Filter(any_of=("Fm",)),
    Filter(all_of=("O", "Fm")),
    Filter(any_of=("O",), ranges=(("n_atoms", 3, 5),)),
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    root = tmp_path_factory.mktemp("explore") / "datasets"
    install_bundled(root)
    return pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan"))


@pytest.mark.parametrize("wanted", FILTERS, ids=Filter.words)
def test_elements_filter_pairs_as_they_filter_frames(pairs, wanted) -> None:
    asked = FrameQuery(pairs.r2scan).rows(wanted)
    np.testing.assert_array_equal(np.flatnonzero(kept(pairs, wanted, queries_of(pairs))), np.flatnonzero(np.isin(pairs.rows_r2scan, asked)))


@pytest.mark.parametrize("key", ["pearson", "slope", "shift", "mae", "rmse", "spread", "n"])
def test_colours_are_the_numbers_of_the_table(pairs, key) -> None:
    found = explore(pairs, "total")
    full = {symbol: STATISTICS[key].of(one).value for symbol, one in found.by_element.items() if STATISTICS[key].of(one).known}
    assert full and element_values(found, STATISTICS[key]) == pytest.approx(full)
    assert element_counts(found) == {symbol: one.n for symbol, one in found.by_element.items()}


@pytest.mark.parametrize("key", ["pearson", "kendall", "n"])
def test_every_element_with_rows_has_a_value_or_a_reason(pairs, key) -> None:
    found = explore(pairs, "total")
    values, reasons = element_values(found, STATISTICS[key]), untold_elements(found, STATISTICS[key])
    materials = {
        symbol: len({pairs.materials[i] for i in np.flatnonzero(pairs.composition[:, Z_OF[symbol] - 1] > 0)})
        for symbol in element_counts(found)
    }
    assert set(reasons) == {symbol for symbol, n in materials.items() if n < 5 and key != "n"}
    assert all(reason.lower().startswith("too few to say") for reason in reasons.values())
    assert set(values) | set(reasons) == set(materials) and not set(values) & set(reasons)


def test_a_filtered_exploration_has_the_groups_of_its_own_rows(pairs) -> None:
    keep = (pairs.composition[:, 7] > 0) & (np.arange(len(pairs)) % 2 == 0)
    found = explore(pairs, "stress", keep=keep)
    expected = {z for z in range(94) if (pairs.composition[keep][:, z] > 0).any()}
    assert len(found.element_groups) == len(expected)
    np.testing.assert_array_equal(found.element_groups.rows_of("O"), np.arange(len(found.rows)))
    nothing = explore(pairs, "stress", keep=np.zeros(len(pairs), dtype=bool))
    assert element_counts(nothing) == {} and nothing.quick.n == 0


def test_chosen_rows_are_counted_in_words(pairs) -> None:
    found = explore(pairs, "total")
    n = {symbol: int((pairs.composition[:, Z_OF[symbol] - 1] > 0).sum()) for symbol in ("O", "Na")}
    both = int((pairs.composition[:, [7, 10]] > 0).any(axis=1).sum())
    assert standing_out(found, ["O"]) == f"O stands out: {n['O']} of {len(pairs)} pairs."
    assert standing_out(found, ["O", "Na"]) == f"O, Na stand out: {both} of {len(pairs)} pairs." and standing_out(found, []) == ""


def test_chosen_rows_contain_the_element(pairs) -> None:
    found = explore(pairs, "force")
    chosen = rows_of(found, ["O", "Na"])
    np.testing.assert_array_equal(chosen, np.isin(found.rows.element, [8, 11]))
    assert rows_of(found, []) is None


def test_rows_as_a_table(pairs) -> None:
    table = row_table(explore(pairs, "total"))
    assert list(table.columns) == ["pair", "PBE (eV/atom)", "r²SCAN (eV/atom)", "difference (eV/atom)"]
    np.testing.assert_allclose(table["difference (eV/atom)"], pairs.energy_r2scan - pairs.energy_pbe)
    assert table["pair"][3].endswith(pairs.frames["frame_id"][3])
    angles = row_table(explore(pairs, "force_angle"))
    assert list(angles.columns) == ["pair", "Z", "Angle between forces (°)"]
