"""Tables of a comparison: the numbers are those of the results, formatted as everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from xfunc_core.elements import SYMBOLS
from xfunc_core.lab.diagnosis import diagnose
from xfunc_core.lab.element_overview import (
    element_number_choices,
    element_numbers,
    element_table,
    element_values,
    frame_counts,
    residual_numbers,
    shift_numbers,
)
from xfunc_core.lab.evidence import Evidence
from xfunc_core.lab.learning_curve import reference_curves
from xfunc_core.lab.overview import (
    agreement_table,
    curve_numbers,
    curve_words,
    frames_words,
    headline,
    leaks,
    leverage_words,
    line_words,
    scheme_numbers,
    scheme_table,
    split_words,
    ties,
    weighting_sentence,
)
from xfunc_core.lab.results import Comparison
from xfunc_core.references.published import atomref


def test_schemes_are_ordered_by_their_test_error(comparison: Comparison) -> None:
    numbers, table = scheme_numbers(comparison), scheme_table(comparison)
    assert numbers["test_mae"].is_monotonic_increasing
    assert numbers.index[numbers["recommended"]].tolist() == ["residual-smooth"]
    assert numbers.at["keep", "test_mae"] == pytest.approx(4.5670, abs=1e-4)  # docs/references.md
    assert (numbers["test_mae_low"] <= numbers["test_mae"]).all() and (numbers["test_mae"] <= numbers["test_mae_high"]).all()
    rows = table.set_index("Scheme")
    assert rows.loc["Keep the GGA references", ["Test MAE (meV/atom)", "Test RMSE (meV/atom)", "N test", "95 % over refits"]].tolist() == [
        "4,567.0",
        "5,625.8",
        "14",
        "–",
    ]
    assert rows.loc["The model's residual, smooth in Z", ["Test MAE (meV/atom)", "Test RMSE (meV/atom)", "Note"]].tolist() == [
        "47.9",
        "58.3",
        "recommended",
    ]
    assert rows.loc["Isolated atoms", "Note"] == "another energy scale"
    assert rows.loc["Least squares drawn to a prior", "Note"] == "prior of another energy scale"
    assert not table.isin(["nan"]).any(axis=None)
    assert leaks(comparison) == []


def test_numbers_of_one_scheme_say_what_they_are_of(comparison: Comparison) -> None:
    result = comparison.result("residual-smooth")
    fitted = headline(comparison, result)
    assert [value for _, value, _ in fitted] == ["89.2", "47.9", result.test_interval.text]
    assert [label for label, _, _ in fitted] == ["Held-out MAE (meV/atom)", "Test MAE (meV/atom)", "95 % of the test MAE (meV/atom)"]
    assert [on for _, _, on in fitted][:2] == ["N = 69 frames not fitted to", "N = 14 test frames"]
    assert headline(comparison, comparison.result("keep"))[2][1:] == ("–", "nothing is fitted")
    assert "Test: N = 14 test frames. Held-out: N = 69 training and validation frames" in frames_words(comparison)


def test_trained_references_are_their_start_before_training_and_that_is_said(comparison: Comparison) -> None:
    trained, start = comparison.result("trainable"), comparison.result("residual-smooth")
    np.testing.assert_array_equal(trained.references.energies, start.references.energies)
    assert trained.test == start.test and trained.test_interval == start.test_interval
    [sentence] = ties(comparison.results)
    assert sentence.startswith(f"“{trained.label}” starts from “{start.label}”: before training the two are the same")
    note = scheme_table(comparison).set_index("Name")["Note"]
    assert note["trainable"] == "equals its start before training" and note["residual-smooth"] == "recommended"
    assert f"“{trained.label}” (trainable) starts from it and is the same before training." in comparison.recommendation.on_test
    assert [result.name for result in comparison.results if result.starts_as] == ["trainable"]


def test_numbers_of_the_elements_are_those_of_the_references(comparison: Comparison, evidence: Evidence) -> None:
    result = comparison.result("residual")
    choices = element_number_choices(evidence.train.frames)
    present = [SYMBOLS[i] for i in np.flatnonzero(evidence.train.frames.composition.toarray().any(axis=0))]
    shift = element_values(choices["shift"], comparison, result)
    assert list(shift) == present == list(frame_counts(comparison))
    for symbol in ("Fe", "O"):
        z = SYMBOLS.index(symbol)
        assert shift[symbol] == result.references.energies[z] - comparison.w_gga[z]
        [key] = [key for key, number in choices.items() if "r2scan" in number.label]
        assert element_values(choices[key], comparison, result)[symbol] == result.references.energies[z] - atomref("r2scan")[z]
    assert set(element_values(choices["sigma"], comparison, result)) < set(present)  # none where one material alone holds an element
    numbers = element_numbers(comparison, result)
    assert len(numbers) == 94 and numbers.index[25] == "Fe"
    np.testing.assert_array_equal(numbers["w"], result.references.energies)
    table = element_table(comparison, result)
    assert table["Element"].tolist() == present
    assert not table.isin(["nan"]).any(axis=None)


def test_residuals_and_shifts_are_those_of_the_frames(comparison: Comparison, evidence: Evidence) -> None:
    result = comparison.result("residual-smooth")
    found = diagnose(evidence, comparison, "residual-smooth")
    numbers = residual_numbers(found)
    frames = evidence.train.frames
    x = frames.composition.toarray()
    left = {
        when: frames.energy_per_atom - frames.model_energy - x @ (w - comparison.w_gga)
        for when, w in (("before", comparison.w_gga), ("after", result.references.energies))
    }
    holds = x[:, SYMBOLS.index("O")] > 0
    for when in left:
        assert numbers.loc["O", [f"{when}_low", f"{when}_median", f"{when}_high"]].tolist() == pytest.approx(
            np.quantile(left[when][holds], [0.25, 0.5, 0.75])
        )
    assert numbers.at["O", "n_frames"] == holds.sum()
    shifts = shift_numbers(comparison, result)
    assert np.polyfit(shifts["z"], shifts["shift"], 1)[0] == pytest.approx(found.line.slope)
    assert agreement_table(found)["Elements"].tolist()[0] == 43
    slope, r = np.polyfit(shifts["z"], shifts["shift"], 1)[0], np.corrcoef(shifts["z"], shifts["shift"])[0, 1]
    assert line_words(found.line) == (f"{slope:.2f} eV per Z".replace("-", "−"), f"r = {r:.4f}".replace("-", "−"))
    hat = np.einsum("ij,ji->i", x, np.linalg.pinv(x))  # the diagonal of X X⁺
    assert f"{hat.mean():.2f} on average, 1.00 at most" in leverage_words(found)
    assert f"{(hat > 0.999).sum()} of 65 frames are fitted exactly" in leverage_words(found)
    assert split_words(comparison) == "65 training, 14 validation and 14 test frames, split by material; 43 elements in training."
    assert "moves Fe by 0.389, N by 0.319, V by −0.319 eV/atom most; test MAE 494.4 against 529.6 meV/atom." in weighting_sentence(found)


def test_curves_are_quartiles_over_the_orders(evidence: Evidence) -> None:
    found = reference_curves(evidence, repeats=3)
    numbers = curve_numbers(found, "test_mae").set_index(["scheme", "size"])
    largest = found.sizes[-1]
    assert curve_words(found).startswith("medians, quartiles of 3 orders · ") and "of 43 elements" in curve_words(found)
    assert numbers.at[("residual-smooth", largest), "median"] == pytest.approx(0.0479242, abs=1e-6)  # all frames: every order is the same
    row, values = (
        numbers.loc[("lstsq", found.sizes[1])],
        found.curve(next(c.scheme for c in found.curves if c.scheme.value == "lstsq")).test_mae[:, 1],
    )
    assert row[["low", "median", "high"]].tolist() == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]))
    assert "keep" not in set(curve_numbers(found, "reference_error")["scheme"])  # nothing is fitted
