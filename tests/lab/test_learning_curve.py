"""Learning curves of the references: nested, ending at the comparison's numbers, and as they must behave."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfunc_core.lab.comparison import compare
from xfunc_core.lab.diagnosis import diagnose
from xfunc_core.lab.evidence import Evidence
from xfunc_core.lab.learning_curve import SMALLEST, reference_curves, sizes_up_to
from xfunc_core.lab.results import Comparison
from xfunc_core.references.schemes import Scheme


def test_curves_end_at_the_comparison_and_begin_worse(evidence: Evidence, comparison: Comparison) -> None:
    told: list[tuple[int, int]] = []
    found = reference_curves(evidence, repeats=3, tell=lambda done, total: told.append((done, total)))
    assert found.sizes == (4, 8, 16, 32, 65)
    assert told[-1] == (15, 15)
    assert (found.n_frames[:, -1] == 65).all()
    assert (np.diff(found.n_elements, axis=1) >= 0).all()
    for curve in found.curves:
        assert curve.test_mae.shape == (3, 5)
        np.testing.assert_allclose(curve.test_mae[:, -1], comparison.result(curve.scheme.value).test.mae, rtol=1e-9)
        if curve.scheme.is_fitted:
            np.testing.assert_allclose(curve.reference_error[:, -1], 0.0, atol=1e-9)
            assert (curve.reference_error[:, 0] > curve.reference_error[:, -1]).all()
        else:
            assert np.isnan(curve.reference_error).all()
            assert np.ptp(curve.test_mae) < 1e-12
    few = {curve.scheme: np.median(curve.test_mae[:, 2]) for curve in found.curves}
    assert min(few, key=few.get) is Scheme.SMOOTH
    assert found.curve(Scheme.LSTSQ).label == "Least squares on the energies (paper)"


def test_reference_error_is_the_distance_the_frames_see(evidence: Evidence) -> None:
    found = reference_curves(evidence, repeats=1)
    from xfunc_core.data.splits import nested_subsets

    x, y = evidence.train.frames.composition.toarray(), evidence.train.frames.energy_per_atom
    [rows] = nested_subsets(np.arange(65), evidence.train.materials, x, [32], 0)
    part, whole = (np.linalg.lstsq(x[r], y[r], rcond=None)[0] for r in (rows, np.arange(65)))
    assert found.curve(Scheme.LSTSQ).reference_error[0, 3] == pytest.approx(np.sqrt(np.square(x @ (part - whole)).mean()))


def test_subsets_that_lack_an_element_are_filled_as_a_run_fills_them(gathered: Callable[..., Evidence]) -> None:
    """16 frames lack Cl, Ga, Ge and Sr, which the test part has; the curve ends where the comparison is."""
    for policy in ("prior", "fail"):
        evidence = gathered(train_size=16, missing_references=policy)
        curves, found = reference_curves(evidence, repeats=1), compare(evidence, n_refits=2)
        for scheme in (Scheme.LSTSQ, Scheme.LSTSQ_TOTAL, Scheme.RIDGE):
            assert curves.curve(scheme).test_mae[0, -1] == pytest.approx(found.result(scheme.value).test.mae)
        weighting = diagnose(evidence, found, "lstsq").weighting
        assert weighting.test_per_atom == pytest.approx(found.result("lstsq").test.mae)


@given(st.integers(1, 500_000))
def test_sizes_halve_down_to_a_few_frames(n: int) -> None:
    sizes = sizes_up_to(n)
    assert sizes[-1] == min(n, 20_000)
    assert all(a == b // 2 for a, b in zip(sizes, sizes[1:], strict=False))
    assert len(sizes) == 1 or sizes[0] >= SMALLEST
    assert sizes[0] < 2 * SMALLEST or len(sizes) == 1
