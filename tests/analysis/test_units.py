"""Sums of units against sums of their rows, and agreements of units against those of rows one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xfunc_core.analysis.agreement import STATISTICS, GroupedRows, agreements
from xfunc_core.analysis.groups import Attribution, chemistry_groups, element_groups
from xfunc_core.analysis.rows_by_material import RowsByMaterial
from xfunc_core.analysis.units import Units
from xfunc_core.data.library import open_dataset
from xfunc_core.data.pairs import pair_by_id
from xfunc_core.explore.exploration import explore


def test_sums_of_clusters_are_those_of_their_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(-5, 2, 300)
    y = x + 40 + rng.normal(0, 1e-3, 300)  # a large shift, a small difference
    starts = np.concatenate([[0], np.sort(rng.choice(np.arange(1, 300), 80, replace=False))])
    size = np.diff(starts, append=300)
    chosen, clusters, weight = np.arange(10, 60), np.arange(0, 50, 5), rng.uniform(0.5, 2, 50)
    got = Units.of(x, y, starts).cluster_sums(chosen, weight, clusters)
    rows = np.arange(starts[10], starts[60])
    w, cluster = np.repeat(weight, size[10:60]), np.repeat(np.arange(50) // 5, size[10:60])
    d = (y - x)[rows]
    x_c, d_c = x[rows] - np.average(x[rows], weights=w), d - np.average(d, weights=w)
    y_c = x_c + d_c
    columns = [np.ones(rows.size), x_c, d_c, x_c**2, y_c**2, x_c * y_c, x_c * d_c, d_c**2, np.abs(d)]
    expected = [np.bincount(cluster, w * column) for column in columns]
    for one, other in zip(got.columns, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-10 * np.abs(other).max())
    assert got.mean_d == pytest.approx(np.average(d, weights=w), rel=1e-12)


def test_a_side_is_constant_if_all_its_units_are():
    x, y = np.array([1.0, 1.0, 1.0, 1.0, 2.0]), np.array([3.0, 4.0, 3.0, 4.0, 3.0])
    units = Units.of(x, y, np.array([0, 2, 4]))
    both, last = units.cluster_sums(np.arange(2), None, np.arange(2)), units.cluster_sums(np.array([2]), None, np.array([0]))
    assert (both.constant_x, both.constant_y, last.constant_x, last.constant_y) == (True, False, True, True)


@pytest.mark.parametrize("key", ["total", "force", "stress"])
@pytest.mark.parametrize("mixed", [False, True])
def test_what_a_page_shows_is_the_agreement_of_rows_one_by_one(key: str, mixed: bool, bundled_home: Path) -> None:
    """Materials as they are, and materials that mix compositions, whose rows are several units."""
    root = bundled_home / "datasets"
    pairs = pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    if mixed:
        pairs.__dict__["materials"] = np.arange(len(pairs)) % 17
    keep = np.arange(len(pairs)) % 5 > 0
    attributions = [Attribution.CONTAINS, Attribution.WEIGHTED] + [Attribution.OWN] * (key == "force")
    for attribution in attributions:
        found = explore(pairs, key, attribution=attribution, keep=keep)
        x, y, pair = found.rows.x, found.rows.y, found.rows.pair
        elements = element_groups(pairs.composition, pair, attribution, found.rows.element)
        chemistry = chemistry_groups(pairs.composition, pair)
        for got, groups in ((found.by_element, elements), (found.by_chemistry, chemistry)):
            expected = agreements(x, y, pairs.materials[pair], groups)
            assert list(got) == list(expected) and any(one.shift.known for one in expected.values())
            for name, one in expected.items():
                assert (got[name].n, got[name].n_materials, got[name].n_ranked) == (one.n, one.n_materials, one.n_ranked)
                for statistic in STATISTICS:
                    if key == "force" and statistic == "shift":
                        continue  # forces on the atoms of a frame sum to 0, so that its interval is of rounding
                    a, b = getattr(got[name], statistic), getattr(one, statistic)
                    assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), rel=1e-6, abs=1e-9, nan_ok=True)


def test_a_group_that_was_asked_for_less_knows_the_rest():
    rng = np.random.default_rng(1)
    x, materials = rng.normal(size=200), rng.integers(0, 40, 200)
    table = RowsByMaterial.of(x, x + rng.normal(size=200), materials)
    asked, fresh = GroupedRows(table, table.all), GroupedRows(table, table.all)
    without = asked.agreements(ranks=False, intervals=False)["all"]
    assert without.pearson.known and not without.pearson.has_interval and not without.spearman.known
    assert asked.agreements()["all"] == fresh.agreements()["all"]
