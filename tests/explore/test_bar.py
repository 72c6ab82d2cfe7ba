"""The real relaxed pairs: the correlations that are known of them, and every statistic against scipy on rows read by csv alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from xfunc_core.analysis.agreement import Agreement
from xfunc_core.data.pair_table import PairTable
from xfunc_core.elements import Z_OF
from xfunc_core.explore.exploration import explore
from xfunc_core.references.paired import PairedScheme

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def rows(real_pairs: PairTable) -> list[dict[str, str]]:
    """The rows as csv reads them."""
    return list(csv.DictReader((DATA / "mp_gga_r2scan_pairs.csv").open()))


@pytest.fixture(scope="module")
def fractions(rows: list[dict[str, str]]) -> np.ndarray:
    table = np.zeros((len(rows), 94))
    for i, row in enumerate(rows):
        counts = json.loads(row["composition"])
        table[i, [Z_OF[s] - 1 for s in counts]] = np.array(list(counts.values())) / sum(counts.values())
    return table


@pytest.fixture(scope="module")
def energies(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([[float(row["e_gga_per_atom"]), float(row["e_r2scan_per_atom"])] for row in rows]).T


def test_raw_energies_hardly_correlate(real_pairs: PairTable) -> None:
    found = explore(real_pairs, "total")
    assert (found.overall.n, found.overall.n_materials) == (1392, 1392)
    assert round(found.overall.pearson.value, 3) == 0.070
    assert {s: round(found.by_element[s].pearson.value, 2) for s in ("O", "Fe", "Na", "Cu")} == {
        "O": 0.24,
        "Fe": 0.20,
        "Na": -0.22,
        "Cu": -0.25,
    }
    assert found.by_element["O"].n == 541


@pytest.mark.parametrize(("scheme", "r"), [(PairedScheme.ATOMREF, 0.953), (PairedScheme.LSTSQ, 0.988)])
def test_referenced_energies_correlate(scheme: PairedScheme, r: float, real_pairs: PairTable) -> None:
    found = explore(real_pairs, "referenced", scheme)
    assert found.overall.n == 1392
    assert round(found.overall.pearson.value, 3) == r
    assert any("in-sample" in s for s in found.caveats) == (scheme is PairedScheme.LSTSQ)


def check(found: Agreement, x: np.ndarray, y: np.ndarray) -> None:
    """Every statistic against scipy and numpy on the same rows."""
    d = y - x
    covariance = np.cov(x, y)
    axis = np.linalg.eigh(covariance)[1][:, -1]
    line = np.polynomial.Polynomial.fit(x, y, 1)
    expected = {
        "pearson": scipy.stats.pearsonr(x, y).statistic,
        "spearman": scipy.stats.spearmanr(x, y).statistic,
        "kendall": scipy.stats.kendalltau(x, y).statistic,
        "slope": axis[1] / axis[0],
        "shift": d.mean(),
        "mae": np.abs(d).mean(),
        "rmse": np.sqrt(np.square(d).mean()),
        "spread": np.sqrt(np.square(y - line(x)).mean()),
    }
    assert found.n == len(x)
    for key, value in expected.items():
        assert getattr(found, key).value == pytest.approx(value, rel=1e-7, abs=1e-9), key


@pytest.mark.parametrize("symbol", ["", "O", "Fe", "Na", "U"])
def test_totals_have_scipys_statistics(symbol: str, real_pairs: PairTable, fractions: np.ndarray, energies: np.ndarray) -> None:
    found = explore(real_pairs, "total")
    has = fractions[:, Z_OF[symbol] - 1] > 0 if symbol else np.ones(len(fractions), dtype=bool)
    check(found.by_element[symbol] if symbol else found.overall, *energies[:, has])


@pytest.mark.parametrize("symbol", ["", "O", "Cu"])
def test_referenced_energies_have_scipys_statistics(
    symbol: str, real_pairs: PairTable, fractions: np.ndarray, energies: np.ndarray
) -> None:
    found = explore(real_pairs, "referenced")
    present = fractions.any(axis=0)
    left = [e - fractions[:, present] @ np.linalg.lstsq(fractions[:, present], e, rcond=None)[0] for e in energies]
    has = fractions[:, Z_OF[symbol] - 1] > 0 if symbol else np.ones(len(fractions), dtype=bool)
    check(found.by_element[symbol] if symbol else found.overall, left[0][has], left[1][has])


def test_formation_energies_are_those_of_the_table(real_pairs: PairTable, rows: list[dict[str, str]]) -> None:
    x, y = np.array([[float(row["hf_gga"]), float(row["hf_r2scan"])] for row in rows]).T
    check(explore(real_pairs, "formation").overall, x, y)


def test_a_filter_is_a_mask_of_pairs(real_pairs: PairTable, fractions: np.ndarray, energies: np.ndarray) -> None:
    keep = (fractions[:, Z_OF["O"] - 1] > 0) & (fractions[:, Z_OF["Fe"] - 1] == 0)
    found = explore(real_pairs, "total", keep=keep)
    check(found.overall, *energies[:, keep])
    np.testing.assert_array_equal(found.rows.pair, np.flatnonzero(keep))
    assert "Fe" not in found.by_element
    left = explore(real_pairs, "referenced", keep=keep)  # the fit stays that of all pairs
    whole = explore(real_pairs, "referenced")
    np.testing.assert_array_equal(left.rows.x, whole.rows.x[keep])
