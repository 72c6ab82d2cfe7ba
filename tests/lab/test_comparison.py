"""All schemes side by side against numpy, torch, the run itself and published facts; the choice is blind to the test labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from xfunc_core.data.dataset import Dataset
from xfunc_core.elements import SYMBOLS, Z_OF
from xfunc_core.lab.comparison import compare
from xfunc_core.lab.evidence import Evidence
from xfunc_core.lab.measuring import first_loss
from xfunc_core.lab.recommendation import paired_difference, recommend
from xfunc_core.lab.results import Comparison, SchemeResult
from xfunc_core.lab.tables import of_table
from xfunc_core.predictions import predictions
from xfunc_core.references.element_references import Status
from xfunc_core.references.schemes import SCHEMES
from xfunc_core.references.tables import TableFormat, read_table, write_table
from xfunc_core.training.settings import FinetuneSettings

# --- values -----------------------------------------------------------------------------------


def test_every_scheme_is_compared_or_its_lack_is_told(comparison: Comparison) -> None:
    assert [result.scheme for result in comparison.results] == list(SCHEMES)
    assert comparison.unavailable == ()
    assert (comparison.n_train, comparison.n_validation, comparison.n_test) == (65, 14, 14)
    assert (comparison.n_elements, comparison.rank, comparison.n_refits) == (43, 39, 30)


def test_known_test_errors_of_the_bundled_set(comparison: Comparison) -> None:
    """What the worker measured on this split, docs/references.md."""
    published = {
        "keep": (4567.0, 5625.8),
        "mean-shift": (3241.4, 3794.4),
        "lstsq": (529.6, 890.0),
        "residual": (404.2, 747.2),
        "residual-smooth": (47.9, 58.3),
    }
    for name, (mae, rmse) in published.items():
        found = comparison.result(name).test
        assert (found.n, found.mae * 1e3, found.rmse * 1e3) == pytest.approx((14, mae, rmse), abs=0.06)


def test_errors_are_the_networks_part_plus_the_references(comparison: Comparison, evidence: Evidence, xfunc_dft: Dataset) -> None:
    said = predictions(xfunc_dft)
    train, test = evidence.train.rows, evidence.test.rows
    w = np.linalg.lstsq(xfunc_dft.composition[train], xfunc_dft.energy_per_atom[train], rcond=None)[0]
    network = said.energy - xfunc_dft.composition @ said.references
    errors = network[test] + xfunc_dft.composition[test] @ w - xfunc_dft.energy_per_atom[test]
    found = comparison.result("lstsq")
    np.testing.assert_allclose(found.test_errors, errors, atol=1e-8)
    assert found.test.bias == pytest.approx(errors.mean())
    np.testing.assert_allclose(found.shift, found.references.energies - said.references)
    share = xfunc_dft.composition[test]
    by_element = {SYMBOLS[i]: (share[:, i] @ np.abs(errors)) / share[:, i].sum() for i in np.flatnonzero(share.any(axis=0))}
    worst = sorted(by_element, key=by_element.get, reverse=True)[:3]
    assert [w.element for w in found.worst] == worst
    assert [w.mae for w in found.worst] == pytest.approx([by_element[symbol] for symbol in worst])
    assert found.worst[0].n_frames == (share[:, Z_OF[worst[0]] - 1] > 0).sum()


@pytest.mark.parametrize("references", ["lstsq", "residual", "residual-smooth", "delta-gauge", "robust"])
@pytest.mark.parametrize("policy", ["prior", "drop"])
def test_references_are_those_a_run_starts_with(
    gathered: Callable[..., Evidence], xfunc_dft: Dataset, one_thread: None, references: str, policy: str
) -> None:
    """Those of elements that no training frame has (Cl, Ga, Ge, Sr) among them."""
    from xfunc_core.training.finetune import prepare

    settings = FinetuneSettings("xfunc-dft-r2scan", references=references, train_size=16, missing_references=policy)
    run = prepare(settings, xfunc_dft).references
    ours = compare(gathered(references=references, train_size=16, missing_references=policy), n_refits=2).result(references).references
    np.testing.assert_allclose(ours.energies, run.energies, atol=2e-5)  # the model in batches of other sizes, float32
    assert ours.status == run.status


@pytest.mark.parametrize(("weight", "delta"), [(3.0, 0.1), (1.0, 2.0)])
def test_first_loss_is_torchs_huber(comparison: Comparison, weight: float, delta: float) -> None:
    import torch

    errors = comparison.result("residual").test_errors
    theirs = weight * torch.nn.functional.huber_loss(torch.tensor(errors), torch.zeros(len(errors), dtype=torch.float64), delta=delta)
    assert first_loss(errors, weight, delta) == pytest.approx(float(theirs), rel=1e-12)


def test_loss_to_expect_is_over_the_training_frames(comparison: Comparison, evidence: Evidence) -> None:
    errors = evidence.train.frames.model_energy - evidence.train.frames.energy_per_atom
    assert comparison.result("keep").first_loss == pytest.approx(
        3 * np.where(np.abs(errors) < 0.1, errors**2 / 2, 0.1 * (np.abs(errors) - 0.05)).mean()
    )


def test_intervals_hold_the_fit_and_move_with_refits_only(comparison: Comparison, evidence: Evidence) -> None:
    for result in comparison.results:
        for interval, mae in ((result.test_interval, result.test.mae), (result.validation_interval, result.validation.mae)):
            assert interval.low <= mae <= interval.high
        moves = result.test_interval.low < result.test_interval.high
        assert moves == result.scheme.is_fitted, result.name
    again = compare(evidence, n_refits=30)
    assert again.result("residual").test_interval == comparison.result("residual").test_interval
    sigma = comparison.result("residual").sigma
    assert np.isnan(sigma[comparison.n_materials < 2]).all()
    assert (sigma[comparison.n_materials > 1] > 0).all()


def test_tables_of_another_code_are_noticed(comparison: Comparison) -> None:
    assert [r.name for r in comparison.results if r.is_off_scale] == ["isolated-atoms", "elemental-solids", "delta-gauge", "ridge-to-prior"]
    assert len(comparison.off_scale) == 3
    assert all("do not fit the energy scale of these data" in sentence for sentence in comparison.off_scale)


# --- the recommendation -----------------------------------------------------------------------


def test_recommended_scheme_has_the_lowest_test_error_of_the_bundled_set(comparison: Comparison) -> None:
    chosen = comparison.recommendation
    assert chosen.name == "residual-smooth"
    assert chosen.is_lowest_on_test
    assert comparison.by_test_error[0].name == "residual-smooth"
    assert "the lowest test MAE of all schemes: 47.9 meV/atom on 14 frames of 14 materials" in chosen.on_test
    assert comparison.result(chosen.name).held_out.n == 14 + 55
    assert "69 frames: 14 of the validation part and 55 left out in turn of the training subset" in chosen.reason


def test_test_labels_do_not_enter_the_choice_or_any_fit(comparison: Comparison, evidence: Evidence) -> None:
    frames = evidence.test.frames
    garbage = replace(frames, energy_per_atom=frames.energy_per_atom + np.random.default_rng(0).normal(0, 50, 14))
    other = compare(replace(evidence, test=replace(evidence.test, frames=garbage)), n_refits=5)
    assert (other.recommendation.name, other.recommendation.reason) == (comparison.recommendation.name, comparison.recommendation.reason)
    for a, b in zip(other.results, comparison.results, strict=True):
        np.testing.assert_array_equal(a.references.energies, b.references.energies)
        assert (a.held_out, a.validation, a.train) == (b.held_out, b.validation, b.train)
        assert a.test.mae > 10


def made_results(comparison: Comparison, errors: np.ndarray) -> list[SchemeResult]:
    """The two best schemes, the recommended one with other errors on the test part."""
    chosen, other = comparison.result("residual-smooth"), comparison.result("residual")
    return [replace(chosen, test_errors=errors, test=replace(chosen.test, mae=float(np.abs(errors).mean()))), other]


def test_choice_that_is_not_the_best_on_the_test_part_says_why(comparison: Comparison) -> None:
    best = comparison.result("residual").test_errors
    far = recommend(made_results(comparison, np.abs(best) + 0.1 + 0.001 * np.arange(14)), np.arange(14), 14)
    assert not far.is_lowest_on_test
    assert far.name == "residual-smooth"
    assert (
        "On the test part “Least squares on the model's residual” (residual) is lower, 404.2 against 510.7 meV/atom on 14 frames of 14 materials: the difference is 106.5 ± 1.1 meV/atom"
        in far.on_test
    )
    assert "the test frames differ from the 69 frames that the choice was made by" in far.on_test
    near = recommend(made_results(comparison, 1.05 * np.roll(best, 1)), np.arange(14), 14)
    assert "404.2 against 424.4" in near.on_test
    assert "cannot tell the two apart" in near.on_test


def test_paired_difference_takes_materials_for_the_draws() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 40), rng.normal(0, 1, 40)
    gap = np.abs(a) - np.abs(b)
    mean, error = paired_difference(a, b, np.arange(40))
    assert (mean, error) == pytest.approx((gap.mean(), gap.std(ddof=1) / np.sqrt(40)))
    mean, twice = paired_difference(np.repeat(a, 3), np.repeat(b, 3), np.repeat(np.arange(40), 3))
    assert (mean, twice) == pytest.approx((gap.mean(), error))
    assert np.isnan(paired_difference(a, b, np.zeros(40))[1])


# --- elements that somebody lacks, tables that are brought --------------------------------------


def test_elements_without_a_training_frame_are_named_and_filled_as_the_settings_say(gathered: Callable[..., Evidence]) -> None:
    filled = compare(gathered(train_size=16), n_refits=5)
    lacking = ("Cl", "Ga", "Ge", "Sr")
    assert filled.coverage.not_in_training == lacking
    assert "Cl, Ga, Ge, Sr: in the validation or test part, but in no training frame with an energy" in filled.coverage.sentences[0]
    columns = [Z_OF[symbol] - 1 for symbol in lacking]
    np.testing.assert_array_equal(
        filled.result("lstsq").references.energies[columns], filled.result("residual-smooth").references.energies[columns]
    )
    assert filled.result("lstsq").unknown == ()
    bare = compare(gathered(train_size=16, missing_references="fail"), n_refits=5)
    np.testing.assert_array_equal(bare.result("lstsq").references.energies[columns], 0.0)
    assert set(lacking) <= set(bare.result("lstsq").unknown)
    assert bare.result("lstsq").test.mae * 1e3 == pytest.approx(2615.1, abs=0.06)  # docs/references.md


def test_element_that_training_has_and_a_table_lacks_is_filled_in_held_out_frames_too(comparison: Comparison, evidence: Evidence) -> None:
    """Atoms that fit these data to 0.05 eV/atom, but for oxygen, of which they say nothing: 0 eV in its place would cost 5 eV/atom."""
    atoms = comparison.result("residual-smooth").references.energies.copy()
    atoms[Z_OF["O"] - 1] = np.nan

    def with_atoms(part):
        return replace(part, frames=replace(part.frames, own_atoms=atoms))

    found = compare(replace(evidence, **{name: with_atoms(part) for name, part in evidence.parts.items()}), n_refits=2)
    result = found.result("isolated-atoms")
    assert result.references.having(Status.UNKNOWN) == ()
    assert result.test.mae < 0.1
    assert result.held_out.mae < 0.1


def test_silent_holes_of_the_shipped_models_are_flagged(evidence: Evidence) -> None:
    x = evidence.test.frames.composition.toarray()
    x[0] = 0
    x[0, [69, 83]] = 0.5  # Yb, Po
    odd = replace(evidence, test=replace(evidence.test, frames=replace(evidence.test.frames, composition=x)))
    found = compare(odd, n_refits=2).coverage
    assert found.silent_holes == ("Yb", "Po")
    assert found.not_in_network == ("Po",)
    assert any("does not say so" in sentence for sentence in found.sentences)


def test_brought_table_is_measured_but_never_recommended(comparison: Comparison, evidence: Evidence) -> None:
    own = comparison.result("residual-smooth")
    text = write_table(own.references.energies, TableFormat.MACE)
    table = of_table(read_table(text), "E0s.txt")
    found = compare(evidence, table, n_refits=2)
    result = found.result("table")
    assert result.test == own.test
    assert result.held_out.n == own.held_out.n
    assert result.held_out.mae < own.held_out.mae  # it has seen these frames
    assert found.recommendation.name == "residual-smooth"
    assert (result.references.external, result.is_off_scale) == (True, False)
    assert "E0s.txt" in result.label
    by_settings = compare(replace(evidence, settings=replace(evidence.settings, reference_table=text)), n_refits=2)
    assert by_settings.result("table").test == own.test


def test_table_with_gaps_and_of_another_code_is_told(evidence: Evidence) -> None:
    frames = evidence.train.frames
    atoms = np.where(np.arange(94) == 7, np.nan, frames.isolated_atoms[frames.functional])
    table = of_table(SimpleNamespace(energies=atoms, format=TableFormat.MATPES), "atoms.json")
    found = compare(evidence, table, n_refits=2)
    assert found.coverage.off_table == ("O",)
    assert found.result("table").is_off_scale
    assert found.result("table").references.energies[7] == found.result("residual-smooth").references.energies[7]  # as a run fills it
    assert table.having(Status.UNKNOWN) == ("O", "Po", "At", "Rn", "Fr", "Ra")


def test_schemes_the_data_cannot_feed_say_what_is_missing(evidence: Evidence) -> None:
    def poor(part):
        return replace(part, frames=replace(part.frames, isolated_atoms={}, elemental_solids=None))

    found = compare(replace(evidence, **{name: poor(part) for name, part in evidence.parts.items()}), n_refits=2)
    assert [u.scheme.value for u in found.unavailable] == ["isolated-atoms", "elemental-solids", "delta-gauge", "ridge-to-prior"]
    assert "isolated-atom energies in both functionals from one source" in found.unavailable[2].reason
    assert found.off_scale == ()
    assert len(found.results) == len(SCHEMES) - 4
