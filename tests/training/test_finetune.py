"""One run from settings to errors: the four methods, no leak, and checkpoints on any dataset."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from xfunc_core.analysis.metrics import error_summary
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.importing import import_file
from xfunc_core.errors import DataError, RunError
from xfunc_core.model.initial import load_pretrained, scratch
from xfunc_core.model.predict import Predictions, predict
from xfunc_core.model.samples import build_samples
from xfunc_core.model.weights import load_engine, save_engine
from xfunc_core.quantities import Functional
from xfunc_core.references.published import matpes_atoms
from xfunc_core.references.schemes import SCHEMES, ElementReferences, ReferenceFrames, Scheme, Status
from xfunc_core.references.tables import TableFormat, write_table
from xfunc_core.training import finetune
from xfunc_core.training.settings import FinetuneSettings

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning"),
]

TINY = FinetuneSettings("few", references="residual", epochs=1, batch_size=4, train_size=8)


@pytest.fixture(scope="module")
def trained(few: Dataset) -> dict[str, finetune.Finetuning]:
    """Each of the four methods after one epoch."""
    found = {}
    for method in ("M1", "M2", "M3", "M4"):
        found[method] = finetune.prepare(replace(TINY, method=method), few)
        list(found[method].trainer.epochs())
    return found


@pytest.fixture
def altered(few: Dataset, tmp_path: Path):
    """The dataset with the documents of some rows changed, under another name."""

    def of(rows, change) -> Dataset:
        ids = few.table["frame_id"].tolist()
        content = gzip.decompress((resources.files("xfunc_core.data") / "bundled" / "xfunc-dft-r2SCAN.jsonl.gz").read_bytes())
        documents = {d["matpes_id"]: d for d in map(json.loads, content.splitlines())}
        chosen = {ids[row] for row in rows}
        changed = [change(documents[i]) if i in chosen else documents[i] for i in ids]
        (tmp_path / "altered.jsonl").write_text("\n".join(map(json.dumps, changed)))
        dataset, _ = import_file(tmp_path / "altered.jsonl", tmp_path, name="altered", replace=True)
        assert dataset.table["frame_id"].tolist() == ids
        return dataset

    return of


def fit_residual(dataset: Dataset, rows: np.ndarray, model_energy: np.ndarray, w_gga: np.ndarray) -> ElementReferences:
    return SCHEMES[Scheme.RESIDUAL].fit(
        ReferenceFrames(dataset.composition[rows], dataset.energy_per_atom[rows], model_energy=model_energy, w_gga=w_gga)
    )


# --- the four methods -------------------------------------------------------------------------


def test_every_method_trains_its_network(trained: dict[str, finetune.Finetuning]) -> None:
    for method, job in trained.items():
        before = job.pretrained.network.state_dict()
        after = job.trainer.model.network.state_dict()
        moved = [name for name in before if not torch.equal(before[name], after[name])]
        assert {"atom_embedding.embedding.weight", "mlp.layers.0.weight", "bond_embedding.weight"} <= set(moved), method


def test_m1_starts_from_random_weights_and_fits_its_references(trained, few: Dataset) -> None:
    job = trained["M1"]
    rows, w_gga = job.plan.split.train, job.pretrained.references.numpy()
    np.testing.assert_allclose(job.references.energies, fit_residual(few, rows, few.composition[rows] @ w_gga, w_gga).energies, atol=1e-9)
    assert job.references.scheme is Scheme.RESIDUAL  # as M4, but what it fits on knows no network
    untrained = scratch(job.references.energies, TINY.seed)
    random = job.evaluate()["test"]["start"]
    np.testing.assert_allclose(random.forces, predict(untrained, job.samples["test"]).forces, atol=1e-5)
    step = 2 * TINY.learning_rate  # Adam's two steps can move a weight no further
    start, now = job.pretrained.network.state_dict(), job.trainer.model.network.state_dict()
    assert float((start["mlp.layers.0.weight"] - now["mlp.layers.0.weight"]).abs().max()) > 10 * step
    start = trained["M4"].pretrained.network.state_dict(), trained["M4"].trainer.model.network.state_dict()
    assert float((start[0]["mlp.layers.0.weight"] - start[1]["mlp.layers.0.weight"]).abs().max()) < 1.01 * step


def test_only_the_references_of_m2_move(trained) -> None:
    for method, job in trained.items():
        moved = np.abs(job.final_references().energies - job.references.energies).max()
        assert (moved > 0) == (method == "M2"), method
    assert np.abs(trained["M2"].final_references().energies - trained["M2"].references.energies).max() <= 2.01 * TINY.learning_rate


def test_trainable_references_move_at_their_own_rate_from_their_own_start(few: Dataset) -> None:
    for method in ("M1", "M4"):
        job = finetune.prepare(
            replace(TINY, method=method, references="trainable", reference_start="lstsq", reference_learning_rate=0.2), few
        )
        assert job.references.scheme is Scheme.TRAINABLE
        lstsq = finetune.prepare(replace(TINY, method=method, references="lstsq"), few).references
        seen = lstsq.n_frames > 0
        np.testing.assert_array_equal(job.references.energies[seen], lstsq.energies[seen])
        list(job.trainer.epochs())
        moved = np.abs(job.final_references().energies - job.references.energies)
        # Two Adam steps, at the first and the last rate of the cosine: 0.2 and 0.002 eV/atom.
        assert 0.1 < moved[seen].max() < 0.21
        assert moved[~seen].max() == 0.0  # no frame pulls at them
    before, now = job.pretrained.network.state_dict(), job.trainer.model.network.state_dict()
    assert float((before["mlp.layers.0.weight"] - now["mlp.layers.0.weight"]).abs().max()) < 2.01 * TINY.learning_rate


def test_table_is_what_a_run_starts_from_and_is_marked_external(few: Dataset) -> None:
    table = np.where(np.arange(94) == 7, np.nan, matpes_atoms(Functional.R2SCAN))  # without oxygen
    given = replace(TINY, references="table", reference_table=write_table(table, TableFormat.MACE), reference_table_name="atoms.txt (mace)")
    job = finetune.prepare(given, few)
    known = np.isfinite(table)
    np.testing.assert_array_equal(job.references.energies[known], table[known])
    assert job.references.having(Status.PRIOR)[:1] == ("H",) and job.references.having(Status.UNKNOWN) == ()
    told = job.references.to_json()
    assert (told["scheme"], told["external"], told["leaky"]) == ("table", True, False)
    assert told["source"] == "atoms.txt (mace); unseen elements: The model's residual, smooth in Z"
    smooth = finetune.prepare(replace(TINY, references="residual-smooth"), few).references
    assert job.references.energies[7] == smooth.energies[7]
    np.testing.assert_array_equal(job.trainer.model.references.numpy(), job.references.energies)
    trained_from_it = finetune.prepare(replace(given, references="trainable", reference_start="table"), few)
    np.testing.assert_array_equal(trained_from_it.references.energies[known], table[known])
    assert trained_from_it.references.external and trained_from_it.references.scheme is Scheme.TRAINABLE


def test_unseen_elements_get_the_prior_unless_the_settings_say_otherwise(few: Dataset) -> None:
    settings = replace(TINY, references="lstsq", train_size=4)
    job = finetune.prepare(settings, few)
    unseen = job.references.n_frames == 0
    assert any(np.isin(np.flatnonzero(unseen), np.flatnonzero((few.composition[job.plan.split.test] > 0).any(axis=0))))
    smooth = finetune.prepare(replace(settings, references="residual-smooth"), few).references
    np.testing.assert_array_equal(job.references.energies[unseen], smooth.energies[unseen])
    dropping = finetune.prepare(replace(settings, missing_references="drop"), few)
    assert dropping.left_out == list(dropping.plan.dropped) != []
    assert len(dropping.samples["test"]) == len(job.samples["test"]) - sum(
        f["frame_id"] in job.plan.to_json(few)["test"] for f in dropping.left_out
    )
    assert not dropping.references.energies[unseen].any()


def test_m2_and_m3_start_from_the_gga_references(trained) -> None:
    for method in ("M2", "M3"):
        np.testing.assert_array_equal(trained[method].references.energies, trained[method].pretrained.references.numpy())
        assert trained[method].references.scheme is Scheme.KEEP
    np.testing.assert_array_equal(trained["M3"].trainer.model.references.numpy(), trained["M3"].pretrained.references.numpy())


def test_m4_fits_its_references_on_the_training_frames(trained, few: Dataset) -> None:
    job = trained["M4"]
    rows = job.plan.split.train
    found = predict(job.pretrained, job.samples["train"]).energy
    expected = fit_residual(few, rows, found, job.pretrained.references.numpy())
    np.testing.assert_allclose(job.references.energies, expected.energies, atol=1e-9)
    np.testing.assert_array_equal(job.references.n_frames, (few.composition[rows] > 0).sum(axis=0))
    assert job.references.source == "8 training frames of few"
    again = finetune.prepare(replace(TINY, references="residual"), few).references
    assert again.energies == pytest.approx(job.references.energies, abs=1e-12)


def test_held_out_labels_do_not_reach_references_or_training(trained, few: Dataset, altered) -> None:
    job = trained["M4"]
    held_out = [
        *job.plan.split.test,
        *np.setdiff1d(np.arange(len(few)), np.concatenate([job.plan.split.train, job.plan.split.validation, job.plan.split.test])),
    ]
    other = finetune.prepare(
        TINY, altered(held_out, lambda d: d | {"energy": d["energy"] - 50.0, "forces": (10 * np.array(d["forces"])).tolist()})
    )
    np.testing.assert_array_equal(other.references.energies, job.references.energies)
    list(other.trainer.epochs())
    ours, theirs = job.trainer.model.state_dict(), other.trainer.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    moved = finetune.prepare(TINY, altered(job.plan.split.train[:1], lambda d: d | {"energy": d["energy"] - 5.0}))
    assert np.abs(moved.references.energies - job.references.energies).max() > 0.1  # the test can fail


def test_stages_are_the_pretrained_network_with_old_and_new_references_and_the_trained_model(trained, few: Dataset) -> None:
    job = trained["M4"]
    found = job.evaluate()
    labels = finetune.label_arrays(job.samples["test"])
    rows = job.plan.split.test
    np.testing.assert_array_equal(labels.energy, few.energy_per_atom[rows])
    np.testing.assert_allclose(labels.stress, few.frame_array("stress")[rows], rtol=6e-8)  # float32
    shift = few.composition[rows] @ (job.references.energies - job.pretrained.references.numpy())
    np.testing.assert_allclose(found["test"]["start"].energy, found["test"]["zero_shot"].energy + shift, atol=1e-12)
    np.testing.assert_array_equal(found["test"]["start"].forces, found["test"]["zero_shot"].forces)
    told = finetune.metrics(job, found)
    assert set(told["errors"]["test"]) == set(finetune.STAGES)
    assert told["n_frames"] == {"train": 8, "validation": len(job.samples["validation"]), "test": len(rows)}
    assert told["errors"]["test"]["trained"]["energy"]["mae"] == pytest.approx(
        np.abs(found["test"]["trained"].energy - labels.energy).mean()
    )
    assert json.loads(json.dumps(told)) == told


@pytest.mark.slow
def test_refitted_references_beat_kept_ones_after_equal_training(xfunc_dft: Dataset) -> None:
    errors = {}
    for method in ("M3", "M4"):
        job = finetune.prepare(FinetuneSettings("xfunc-dft-r2scan", method=method, train_size=24, epochs=2, batch_size=4), xfunc_dft)
        list(job.trainer.epochs())
        errors[method] = finetune.metrics(job, job.evaluate())["errors"]["test"]
    assert errors["M4"]["trained"]["energy"]["mae"] < 0.6 * errors["M3"]["trained"]["energy"]["mae"]
    assert errors["M4"]["trained"]["force"]["mae"] < errors["M4"]["zero_shot"]["force"]["mae"]
    assert errors["M3"]["zero_shot"] == errors["M4"]["zero_shot"]


# --- what cannot be trained on ----------------------------------------------------------------


def test_part_without_labels_that_count_is_refused(few: Dataset, altered) -> None:
    settings = replace(TINY, method="M3", energy_weight=0.0, force_weight=0.0, stress_weight=0.0)
    with pytest.raises(DataError, match="No frame of the train part of few has a label that counts in the loss"):
        finetune.prepare(settings, few)  # only magnetic moments would count, and there are none


def test_gpu_that_is_not_there_is_said(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RunError, match="offers no CUDA GPU to PyTorch: choose the CPU"):
        finetune.prepare(replace(TINY, device="cuda"), few)


def test_part_whose_frames_chgnet_cannot_take_is_refused(few: Dataset, altered) -> None:
    def lonely(document: dict) -> dict:
        structure = document["structure"]
        matrix = (10 * np.array(structure["lattice"]["matrix"])).tolist()
        sites = [site | {"xyz": (10 * np.array(site["xyz"])).tolist()} for site in structure["sites"]]
        return document | {"structure": structure | {"lattice": structure["lattice"] | {"matrix": matrix}, "sites": sites}}

    plan = finetune.make_plan(TINY, few)
    with pytest.raises(DataError, match="No frame of the test part can be used by CHGNet.*no neighbour within 6 Å"):
        finetune.prepare(TINY, altered(plan.split.test, lonely))
    job = finetune.prepare(TINY, altered(plan.split.train[:1], lonely))
    assert job.left_out == [
        {"frame_id": few.table["frame_id"].iat[plan.split.train[0]], "reason": "atom 1 has no neighbour within 6 Å, as have 2 more"}
    ]
    assert len(job.samples["train"]) == 7


# --- checkpoints ------------------------------------------------------------------------------


def test_pretrained_model_is_evaluated_on_every_frame(elements: Dataset, few: Dataset) -> None:
    from chgnet.model import CHGNet

    errors, left_out = finetune.evaluate_model(load_pretrained(), few)
    assert left_out == []
    assert set(errors) == {"energy", "force", "stress"}
    assert errors["energy"]["n"] == len(few)
    assert errors["force"]["n"] == 3 * few.info.n_atoms
    found = CHGNet.load(use_device="cpu", verbose=False).predict_structure([few.structure(row) for row in range(len(few))])
    expected = error_summary(few.energy_per_atom, np.array([f["e"] for f in found]))
    assert errors["energy"]["mae"] == pytest.approx(expected.mae, abs=1e-5)  # float32
    assert errors["energy"]["rmse"] == pytest.approx(expected.rmse, abs=1e-5)


def test_dataset_evaluated_piece_by_piece_gives_the_same_errors(elements: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, left_out = finetune.evaluate_model(load_pretrained(), elements)
    monkeypatch.setattr(finetune, "FRAMES_AT_ONCE", 40)
    told: list[tuple[int, int]] = []
    pieces, also_left_out = finetune.evaluate_model(load_pretrained(), elements, lambda *progress: told.append(progress))
    assert also_left_out == left_out
    assert told == [(40, len(elements)), (80, len(elements)), (len(elements), len(elements))]
    for name, errors in whole.items():
        assert pieces[name] == pytest.approx(errors, rel=1e-3)  # float32


def test_graphs_are_taken_from_the_cache_that_is_asked_for(few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = finetune.evaluate_model(load_pretrained(), few)
    monkeypatch.setenv("XFUNC_GRAPH_CACHE", str(tmp_path / "graphs"))
    assert finetune.evaluate_model(load_pretrained(), few) == expected
    [file] = (tmp_path / "graphs").iterdir()
    monkeypatch.setattr("xfunc_core.model.graph_cache.build_graphs", None)  # not needed again
    assert finetune.evaluate_model(load_pretrained(), few) == expected


def test_saved_run_is_evaluated_as_it_was(trained, few: Dataset, tmp_path: Path) -> None:
    job = trained["M2"]
    job.trainer.load_best()
    save_engine(job.trainer.model, tmp_path / "model.pt")
    errors, _ = finetune.evaluate_model(load_engine(tmp_path / "model.pt"), few)
    rows = np.arange(len(few))
    found = predict(job.trainer.model, build_samples(few, rows)[0])
    assert errors["energy"]["mae"] == pytest.approx(np.abs(found.energy - few.energy_per_atom).mean(), abs=1e-5)


def test_quantities_without_labels_are_left_out_of_the_errors() -> None:
    labels = Predictions(np.array([1.0, math.nan]), np.full((2, 3), math.nan), np.full((2, 6), math.nan), np.array([math.nan, 0.5]))
    predicted = Predictions(np.array([2.0, 9.0]), np.zeros((2, 3)), np.zeros((2, 6)), np.array([7.0, 0.0]))
    assert finetune.summarise(labels, predicted) == {
        "energy": {"n": 1, "mae": 1.0, "rmse": 1.0},
        "magmom": {"n": 1, "mae": 0.5, "rmse": 0.5},
    }
