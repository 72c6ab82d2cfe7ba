"""The training loop: schedule, best epoch, reproducibility, resuming, and what it refuses."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from xfunc_core.errors import RunError
from xfunc_core.model.samples import Sample
from xfunc_core.training.loop import (
    COST_AT_ONCE,
    FINAL_LR_FRACTION,
    Stopped,
    Trainer,
    cosine,
    epochs_per_validation,
    selection_error,
)
from xfunc_core.training.settings import FinetuneSettings


def run(trainer: Trainer) -> list[dict]:
    """Train to the end; the records of epochs."""
    return [record for record in trainer.epochs() if record["kind"] == "epoch"]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def timeless(records: list[dict]) -> list[dict]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


# --- the schedule -----------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [1, 2, 4, 7, 10])
def test_cosine_reaches_its_end_at_the_last_step_however_few_batches_an_epoch_has(
    trainer, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    used: list[float] = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *rest: (used.append(self.param_groups[0]["lr"]), step(self, *rest)))
    records = run(trainer(n=batches, batch_size=1, epochs=2, learning_rate=2e-4))
    last = 2 * batches - 1
    expected = [2e-4 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * k / last))) for k in range(last + 1)]
    assert used == pytest.approx(expected)
    assert used[0] == 2e-4
    assert used[-1] == pytest.approx(2e-4 * FINAL_LR_FRACTION)
    assert [(r["epoch"], r["step"], r["total_steps"]) for r in records] == [(1, batches, 2 * batches), (2, 2 * batches, 2 * batches)]


def test_cosine_of_a_single_step_does_not_divide_by_nothing() -> None:
    assert cosine(1)(0) == 1.0


@pytest.mark.parametrize(
    ("steps", "epochs", "stride"),
    [(9, 30, 1), (8, 1000, 1), (1, 2, 1), (1, 59, 1), (1, 60, 2), (1, 240, 8), (1, 5000, 8), (3, 300, 3), (1, 1, 1)],
)
def test_short_epochs_share_a_validation_if_there_are_many(steps: int, epochs: int, stride: int) -> None:
    assert epochs_per_validation(steps, epochs) == stride


def test_records_of_shared_validations_cover_every_step(trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xfunc_core.training.loop.FEWEST_VALIDATIONS", 2)
    records = run(trainer(n=2, batch_size=1, epochs=10))
    assert [(r["epoch"], r["step"]) for r in records] == [(4, 8), (8, 16), (10, 20)]
    assert records[-1]["lr"] == pytest.approx(1e-3 * FINAL_LR_FRACTION)


# --- learning ---------------------------------------------------------------------------------


def test_ten_frames_are_learnt(trainer) -> None:
    records = run(trainer(epochs=5))
    first, last = records[0]["train"], records[-1]["train"]
    assert last["force"] < 0.8 * first["force"]
    assert last["energy"] < first["energy"]
    assert "magmom" not in last  # the frames have none


def test_best_epoch_is_the_one_with_the_lowest_validation_energy(trainer) -> None:
    trained = trainer(epochs=4, learning_rate=0.02)  # so fast that it gets worse again
    records, states = [], []
    for record in trained.epochs():
        if record["kind"] == "epoch":
            records.append(record)
            states.append(copy.deepcopy(trained.model.state_dict()))
    errors = [r["validation"]["energy"] for r in records]
    best = int(np.argmin(errors))
    assert best < len(errors) - 1  # or keeping the last weights, as upstream does, would pass
    assert trained.best_epoch == best + 1
    assert [r["best_epoch"] for r in records] == [int(np.argmin(errors[: k + 1])) + 1 for k in range(len(errors))]
    assert not same(trained.model.state_dict(), states[best])
    trained.load_best()
    assert same(trained.model.state_dict(), states[best])


def test_validation_errors_are_those_of_the_model(trainer, samples: dict[str, list[Sample]]) -> None:
    from xfunc_core.model.predict import predict

    trained = trainer(epochs=1)
    [record] = run(trained)
    found = predict(trained.model, samples["validation"])
    labels = np.array([s.energy for s in samples["validation"]])
    assert record["validation"]["energy"] == pytest.approx(np.abs(found.energy - labels).mean(), abs=1e-12)
    forces = np.concatenate([s.forces.numpy() for s in samples["validation"]])
    assert record["validation"]["force"] == pytest.approx(np.abs(found.forces - forces).mean(), abs=1e-7)


def test_without_energies_the_losss_mixture_chooses() -> None:
    settings = FinetuneSettings("few", energy_weight=3.0, force_weight=2.0, stress_weight=0.1)
    assert selection_error({"energy": 0.5, "force": 9.0}, settings) == 0.5
    assert selection_error({"force": 0.2, "stress": 4.0}, settings) == pytest.approx(2 * 0.2 + 0.1 * 4.0)
    assert selection_error({"energy": 0.5, "force": 0.2}, replace(settings, energy_weight=0.0)) == pytest.approx(0.4)


def test_frames_without_energy_are_trained_on_and_the_best_epoch_still_found(trainer, samples, unlabelled) -> None:
    bare = {part: [unlabelled(s, "energy") for s in samples[part]] for part in samples}
    trained = trainer(train=bare["train"], validation=bare["validation"], epochs=3, force_weight=1.0, stress_weight=0.1)
    records = run(trained)
    mixture = [r["validation"]["force"] + 0.1 * r["validation"]["stress"] for r in records]
    assert "energy" not in records[0]["validation"]
    assert trained.best_epoch == int(np.argmin(mixture)) + 1
    assert records[-1]["train"]["force"] < records[0]["train"]["force"]


def test_batch_without_any_label_is_passed_over(trainer, samples, unlabelled) -> None:
    blank = [unlabelled(s, "energy", "forces", "stress") for s in samples["train"][:2]]
    trained = trainer(train=[*blank, *samples["train"][:2]], batch_size=1, epochs=1)
    [record] = run(trained)
    assert math.isfinite(record["train"]["energy"])
    assert record["step"] == 4


# --- reproducible, resumable ------------------------------------------------------------------


def test_same_seed_gives_the_same_model_another_seed_another(trainer) -> None:
    first, again, other = (trainer(epochs=2, seed=seed) for seed in (3, 3, 4))
    records = [timeless(run(t)) for t in (first, again, other)]
    assert same(first.model.state_dict(), again.model.state_dict())
    assert records[0] == records[1]
    assert not same(first.model.state_dict(), other.model.state_dict())


@pytest.mark.parametrize(("shared", "batches"), [(False, "count"), (True, "count"), (False, "cost")])
def test_resumed_training_ends_where_an_uninterrupted_one_does(trainer, monkeypatch: pytest.MonkeyPatch, shared: bool, batches: str) -> None:
    monkeypatch.setattr("xfunc_core.training.loop.FEWEST_VALIDATIONS", 2 if shared else 30)
    whole = trainer(epochs=4, batches=batches)
    expected = timeless(run(whole))
    interrupted = trainer(epochs=4, batches=batches)
    records = interrupted.epochs()
    first = next(r for r in records if r["kind"] == "epoch")
    state = copy.deepcopy(interrupted.state_dict())
    torch.manual_seed(99)  # what happens elsewhere does not matter
    resumed = trainer(epochs=4, batches=batches)
    resumed.load_state_dict(state)
    assert resumed.epoch == first["epoch"] == (2 if shared else 1)
    assert timeless([first, *run(resumed)]) == expected
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert resumed.best_epoch == whole.best_epoch
    resumed.load_best()
    whole.load_best()
    assert same(resumed.model.state_dict(), whole.model.state_dict())


def test_finished_training_does_nothing_more(trainer) -> None:
    done = trainer(n=2, epochs=1)
    run(done)
    assert run(done) == []


def test_stops_at_the_next_step_when_asked(trainer) -> None:
    asked = iter([False, False, False, True])
    stopped = trainer(epochs=3, batch_size=5, should_stop=lambda: next(asked))
    records = []
    with pytest.raises(Stopped):
        for record in stopped.epochs():
            records.append(record)
    assert [r["epoch"] for r in records if r["kind"] == "epoch"] == [1]  # two steps, one more, then the wish


def test_progress_is_reported_within_long_epochs(trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xfunc_core.training.loop.SECONDS_BETWEEN_STEP_RECORDS", 0.0)
    records = list(trainer(n=3, batch_size=1, epochs=2).epochs())
    assert [(r["kind"], r["epoch"], r["step"]) for r in records] == [
        *[("step", 1, k) for k in (1, 2, 3)],
        ("epoch", 1, 3),
        *[("step", 2, k) for k in (4, 5, 6)],
        ("epoch", 2, 6),
    ]
    assert {r["total_steps"] for r in records} == {6}
    assert records[0]["seconds"] <= records[2]["seconds"] <= records[3]["seconds"]


# --- what it refuses --------------------------------------------------------------------------


def test_loss_that_is_no_number_is_said(trainer) -> None:
    broken = trainer(epochs=2)
    with torch.no_grad():
        broken.model.network.mlp.layers[0].weight[0, 0] = math.nan
    with pytest.raises(RunError, match=r"no longer a number in epoch 1: lower the learning rate \(now 0\.001\)"):
        run(broken)


def test_gradient_is_clipped_if_asked(trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    step = torch.optim.Adam.step

    def noted(self: torch.optim.Adam, *rest: Callable) -> None:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
        step(self, *rest)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    run(trainer(epochs=1))
    free = list(norms)
    norms.clear()
    run(trainer(epochs=1, max_gradient_norm=0.01))
    assert min(free) > 0.1
    assert max(norms) <= 0.01 * (1 + 1e-4)


# --- batches in parts -------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_batch_that_is_computed_in_parts_has_the_same_gradient(
    trainer, samples, unlabelled, monkeypatch: pytest.MonkeyPatch, precision: torch.dtype, tolerance: float
) -> None:
    train = [unlabelled(samples["train"][0], "energy"), *samples["train"][1:7], unlabelled(samples["train"][7], "forces")]
    gradients, n_forward = [], []

    def noted(self: torch.optim.Adam, *_: object) -> None:
        gradients.append(torch.cat([p.grad.flatten() for p in self.param_groups[0]["params"] if p.grad is not None]).double())

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    for limit in (1e9, 1.0):
        monkeypatch.setitem(COST_AT_ONCE, "cpu", limit)
        trained = trainer(train=train, batch_size=8, epochs=1)
        trained.model.to(precision)
        trained.model.references = trained.model.references.double()
        grown: list[bool] = []
        trained.model.register_forward_hook(lambda *_, grown=grown: grown.append(torch.is_grad_enabled()))
        run(trained)
        n_forward.append(sum(grown))
    assert n_forward == [1, 8]
    whole, parts = gradients
    assert float((whole - parts).norm()) < tolerance * float(whole.norm())


def test_training_in_parts_drops_no_frame(trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = []
    for limit in (1e9, 700.0):
        monkeypatch.setitem(COST_AT_ONCE, "cpu", limit)
        training = trainer(epochs=1)
        training.model.double()  # in single precision Adam makes steps of the rounding errors of small gradients
        [epoch] = run(training)
        errors.append(epoch["train"] | {f"{key} of validation": error for key, error in epoch["validation"].items()})
    whole, parts = errors
    assert parts == pytest.approx(whole, rel=1e-8)


# --- batches of equal cost --------------------------------------------------------------------


def test_batches_of_equal_cost_hold_every_frame_once_an_epoch(trainer, samples, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[np.ndarray] = []
    step = Trainer._optimise
    monkeypatch.setattr(Trainer, "_optimise", lambda self, batch, errors: (taken.append(batch), step(self, batch, errors)))
    run(trainer(batch_size=4, epochs=2, batches="cost"))
    first, second = taken[:3], taken[3:]
    assert len(second) == 3  # as many steps as by count
    for epoch in (first, second):
        assert sorted(np.concatenate(epoch)) == list(range(10))
    assert [sorted(b) for b in first] != [sorted(b) for b in second]
    size = np.array([3.2 * s.graph.n_atoms + 2 * s.graph.n_bonds + 1.2 * s.graph.n_angles for s in samples["train"]])
    loads = [size[b].sum() for b in first]
    assert max(loads) - min(loads) <= size.max()
