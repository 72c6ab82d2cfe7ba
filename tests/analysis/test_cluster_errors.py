"""Standard errors of clustered least squares against scipy, a closed form and simulation."""

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import sqrtm

from xfunc_core.analysis.cluster_errors import MIN_DEGREES, cluster_errors

pytestmark = pytest.mark.filterwarnings("error")


def written_out(rows, target, clusters):
    """Errors and degrees of freedom with whole matrices: the symmetric root of I − H of each cluster, and G = (I − H)ᵀA X(XᵀX)⁻¹."""
    inverse = np.linalg.inv(rows.T @ rows)
    left = np.eye(len(rows)) - rows @ inverse @ rows.T
    scores, columns = [], []
    for g in np.unique(clusters):
        here = clusters == g
        adjusted = np.linalg.inv(sqrtm(left[np.ix_(here, here)]).real) @ rows[here] @ inverse
        scores.append((left @ target)[here] @ adjusted)
        columns.append(left[:, here] @ adjusted)
    gram = [g.T @ g for g in np.stack(columns).transpose(2, 1, 0)]
    return np.sqrt((np.array(scores) ** 2).sum(axis=0)), [np.trace(g) ** 2 / np.trace(g @ g) for g in gram]


def test_of_one_mean_the_interval_is_students():
    values = np.random.default_rng(0).normal(size=12)
    found = cluster_errors(np.ones((12, 1)), values, np.arange(12))
    student = stats.ttest_1samp(values, 0).confidence_interval()
    assert found.degrees == pytest.approx([11])
    assert found.half() == pytest.approx([(student.high - student.low) / 2])


def test_it_is_the_estimator_of_bell_and_mccaffrey():
    rng = np.random.default_rng(1)
    rows, clusters = rng.normal(size=(40, 3)), rng.permutation(np.repeat(np.arange(16), rng.multinomial(24, np.full(16, 1 / 16)) + 1))
    target = rng.normal(size=40)
    found, (error, degrees) = cluster_errors(rows, target, clusters), written_out(rows, target, clusters)
    assert found.error == pytest.approx(error) and found.degrees == pytest.approx(degrees)


def test_what_one_cluster_or_none_determines_has_no_error():
    rng = np.random.default_rng(2)
    rows = np.zeros((30, 4))
    rows[:, 0], rows[:2, 1] = 1.0, (0.5, 0.7)
    rows[5:, 2] = rows[5:, 3] = rng.uniform(size=25)
    found = cluster_errors(rows, rng.normal(size=30), np.maximum(np.arange(30), 1))
    assert np.isfinite(found.error).tolist() == [True, False, False, False]


def test_there_is_an_interval_only_above_two_degrees_of_freedom():
    """Of groups of one frame a material, of which a mean has one degree of freedom less than materials."""
    sizes = np.array([1, 2, 3, 5, 9])
    rows = np.repeat(np.eye(5), sizes, axis=0)
    found = cluster_errors(rows, np.random.default_rng(4).normal(size=20), np.arange(20))
    assert np.isfinite(found.half()).tolist() == [False, False, False, True, True]
    assert found.degrees[1:] == pytest.approx(sizes[1:] - 1) and MIN_DEGREES == 3


def test_intervals_cover_93_to_97_percent():
    """Coefficients of three clusters and of most, normal errors, those that grow with a column, and tails of Student's t of five degrees."""
    rng = np.random.default_rng(3)
    share = 1 / np.arange(1, 9)
    inside = {"normal": [], "uneven": [], "heavy": []}
    for _ in range(250):
        rows = np.array([(np.arange(8) == rng.choice(8, p=share / share.sum())) + 0.5 * (rng.uniform(size=8) < share) for _ in range(60)])
        clusters = np.minimum(np.arange(60), rng.integers(40, 60))
        for kind, of in inside.items():
            error = rng.standard_t(5, 60) if kind == "heavy" else rng.normal(size=60) * (1 + (kind == "uneven") * rows[:, 0])
            found, fitted = cluster_errors(rows, error, clusters), np.linalg.lstsq(rows, error)[0]
            half = found.half()
            of += (np.abs(fitted) <= half)[np.isfinite(half)].tolist()
    for kind, of in inside.items():
        noise = 2 * np.sqrt(0.05 * 0.95 / len(of))
        assert len(of) > 1000 and 0.93 - noise < np.mean(of) < 0.97 + noise, (kind, np.mean(of))
