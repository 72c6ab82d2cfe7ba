"""What is said before the network is asked: against numpy, and that what needs the network is named."""

from __future__ import annotations

import numpy as np
import pytest

from xfunc_core.data.dataset import Dataset
from xfunc_core.errors import DataError
from xfunc_core.lab.results import Comparison
from xfunc_core.lab.without_model import NEEDS_MODEL, without_model
from xfunc_core.references.schemes import Scheme
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings

SETTINGS = FinetuneSettings("xfunc-dft-r2scan")


def test_references_alone_are_those_of_numpy_and_leave_what_is_left(xfunc_dft: Dataset) -> None:
    found = without_model(SETTINGS, xfunc_dft)
    split = make_plan(SETTINGS, xfunc_dft).split
    x, energy = xfunc_dft.composition, xfunc_dft.energy_per_atom
    expected = np.linalg.lstsq(x[split.train], energy[split.train], rcond=None)[0]
    [lstsq] = [one for one in found.results if one.references.scheme is Scheme.LSTSQ]
    left = energy[split.test] - x[split.test] @ expected
    assert lstsq.left.mae == pytest.approx(np.abs(left).mean(), rel=1e-9)
    assert lstsq.left.rmse == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-9)
    assert lstsq.left.n == found.n_test == len(split.test)
    assert (found.n_elements, found.rank) == (43, np.linalg.matrix_rank(x[split.train]))
    assert "Al and Pt only ever occur 2:1 here: only 2 Al + Pt is determined." in found.sentences


def test_what_needs_the_network_is_named_and_the_rest_agrees_with_the_comparison(xfunc_dft: Dataset, comparison: Comparison) -> None:
    found = without_model(SETTINGS, xfunc_dft)
    needs = {Scheme.MEAN_SHIFT, Scheme.RESIDUAL, Scheme.SMOOTH, Scheme.RIDGE_TO_PRIOR, Scheme.ROBUST, Scheme.TRAINABLE}
    assert {one.scheme for one in found.lacking} == needs
    assert {one.reason for one in found.lacking} == {NEEDS_MODEL}
    assert len(found.results) + len(needs) == len(comparison.results)
    for one in found.results:
        theirs = comparison.result(one.references.scheme.value).references
        seen = theirs.n_frames > 0  # elsewhere the comparison, as a run, fills in what the smooth scheme suggests
        np.testing.assert_allclose(one.references.energies[seen], theirs.energies[seen], atol=1e-5)


def test_frames_with_an_element_that_a_scheme_knows_nothing_of_do_not_count(xfunc_dft: Dataset) -> None:
    settings = FinetuneSettings("xfunc-dft-r2scan", train_size=9)
    split = make_plan(settings, xfunc_dft).split
    x, energy = xfunc_dft.composition, xfunc_dft.energy_per_atom
    unseen = ~(x[split.train] > 0).any(axis=0)
    rows = split.test[~(x[split.test][:, unseen] > 0).any(axis=1)]
    left = {one.references.scheme: one.left for one in without_model(settings, xfunc_dft).results}
    assert 0 < len(rows) < len(split.test)
    w = np.linalg.lstsq(x[split.train], energy[split.train], rcond=None)[0]
    assert (left[Scheme.LSTSQ].n, left[Scheme.LSTSQ].mae) == (len(rows), pytest.approx(np.abs(energy[rows] - x[rows] @ w).mean()))
    assert left[Scheme.KEEP].n == len(split.test)


def test_dataset_without_energies_is_one_sentence(xfunc_dft: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(xfunc_dft), "energy_per_atom", np.full(len(xfunc_dft), np.nan))
    with pytest.raises(DataError, match="No frame of the train part of .* has an energy: choose another dataset or split"):
        without_model(SETTINGS, xfunc_dft)


def test_elements_of_the_other_parts_that_training_lacks_are_named(xfunc_dft: Dataset) -> None:
    settings = FinetuneSettings("xfunc-dft-r2scan", train_size=9)
    split = make_plan(settings, xfunc_dft).split
    held = [set().union(*(xfunc_dft.structure(row).symbol_set for row in rows)) for rows in (split.train, [*split.validation, *split.test])]
    found = without_model(settings, xfunc_dft)
    assert set(found.not_in_training) == held[1] - held[0] != set()
    assert found.sentences[-1].startswith(", ".join(found.not_in_training))
