"""One scheme's references looked at closely: every number against numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xfunc_core.elements import SYMBOLS
from xfunc_core.lab.diagnosis import diagnose
from xfunc_core.lab.evidence import Evidence
from xfunc_core.lab.results import Comparison


def test_diagnosis_of_the_recommended_scheme(comparison: Comparison, evidence: Evidence) -> None:
    found = diagnose(evidence, comparison, "residual-smooth")
    x = evidence.train.frames.composition.toarray()
    assert (found.rank, found.n_elements) == (np.linalg.matrix_rank(x), 43)
    assert [group.elements for group in found.groups] == [("C", "Si"), ("Al", "Pt"), ("Ti", "Ir"), ("Hf", "Os")]
    assert "C and Si only ever occur 1:1 here: only their sum is determined." in found.sentences
    np.testing.assert_allclose(found.leverages, np.diag(x @ np.linalg.pinv(x)), atol=1e-9)
    sole = {SYMBOLS[i] for i in range(94) if (x[:, i] > 0).sum() == 1}
    assert sole <= set(found.decided_by_one)
    assert (found.leaky, found.external) == (False, False)


def test_residuals_shrink_and_the_gauge_free_error_does_not_move(comparison: Comparison, evidence: Evidence) -> None:
    found = diagnose(evidence, comparison, "residual")
    before, after = (np.array([getattr(r, name) for r in found.residuals])[:, 1] for name in ("before", "after"))
    assert np.abs(before).mean() > 3
    assert np.abs(after).mean() < 0.03
    assert found.gauge_free.n_reactions == 65 - 39
    assert found.gauge_free.largest_change < 1e-9
    frames = evidence.train.frames
    reactions = np.linalg.svd(frames.composition.toarray().T)[2][39:]
    assert found.gauge_free.rmse == pytest.approx(np.sqrt(np.square(reactions @ (frames.energy_per_atom - frames.model_energy)).mean()))
    left = comparison.result("residual").train
    assert left.rmse == pytest.approx(found.gauge_free.rmse * np.sqrt(26 / 65), rel=1e-6)  # least squares leaves nothing else


def test_weighting_by_cell_size_is_compared_with_that_per_atom(comparison: Comparison, evidence: Evidence) -> None:
    found = diagnose(evidence, comparison, "lstsq").weighting
    frames = evidence.train.frames
    x, y, n = frames.composition.toarray(), frames.energy_per_atom, frames.n_atoms[:, None]
    total, per_atom = np.linalg.lstsq(x * n, y * n[:, 0], rcond=None)[0], np.linalg.lstsq(x, y, rcond=None)[0]
    for symbol, change in found.largest:
        assert change == pytest.approx((total - per_atom)[SYMBOLS.index(symbol)], abs=1e-6)
    assert found.test_total == pytest.approx(comparison.result("lstsq-total").test.mae)
    assert found.test_per_atom == pytest.approx(comparison.result("lstsq").test.mae)


def test_leak_is_the_first_thing_said(comparison: Comparison, evidence: Evidence) -> None:
    result = comparison.result("lstsq")
    leaky = replace(result, references=replace(result.references, leaky=True))
    others = tuple(leaky if r.name == "lstsq" else r for r in comparison.results)
    found = diagnose(evidence, replace(comparison, results=others), "lstsq")
    assert found.leaky
    assert "leak" in found.sentences[0]


def test_line_in_z_falls_on_the_gpaw_scale_too(comparison: Comparison, evidence: Evidence) -> None:
    line = diagnose(evidence, comparison, "residual").line
    known = comparison.n_frames > 0
    z = np.flatnonzero(known) + 1
    slope, _ = np.polyfit(z, comparison.result("residual").shift[known], 1)
    assert line.slope == pytest.approx(slope)
    assert (round(line.slope, 2), round(line.pearson, 2)) == (-0.19, -0.83)  # docs/references.md
