"""Two processes against one: started by torchrun, as they are in use, on the CPU with gloo."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xfunc_core.data.library import open_dataset
from xfunc_core.model.initial import load_pretrained
from xfunc_core.model.samples import build_samples
from xfunc_core.training.loop import Trainer
from xfunc_core.training.parallel import ALONE, joined
from xfunc_core.training.settings import FinetuneSettings

ROOT = Path(__file__).resolve().parent.parent.parent
N_TRAIN = 7
"""In batches of three: the last holds one frame, so that one of two processes has none."""


def train(datasets: Path, out: Path, precision: str) -> None:
    """Three epochs on frames of which some lack labels; what came out goes into one file for each process."""
    torch.set_num_threads(1)
    few = open_dataset(datasets, "few")
    samples, _ = build_samples(few, range(11))
    samples[0] = replace(samples[0], energy=math.nan, stress=samples[0].stress * math.nan)
    samples[3] = replace(samples[3], forces=samples[3].forces * math.nan)
    settings = FinetuneSettings("few", epochs=3, batch_size=3, max_gradient_norm=1.0, seed=5)
    with joined("cpu") as processes:
        model = load_pretrained()
        if precision == "double":
            model.network.double()
        model.references += processes.rank  # what process 0 has is what counts
        trainer = Trainer(model, samples[:N_TRAIN], samples[N_TRAIN:], settings, processes=processes)
        records = [
            {k: r[k] for k in ("epoch", "step", "train", "validation", "best_epoch")} for r in trainer.epochs() if r["kind"] == "epoch"
        ]
        weights = torch.cat([p.detach().flatten() for p in model.network.parameters()]).numpy()
    out.mkdir(exist_ok=True)
    np.savez(out / f"{processes.rank}.npz", weights=weights, records=json.dumps(records), size=processes.size)


def by_torchrun(n: int, datasets: Path, out: Path, precision: str = "double") -> list[dict]:
    """What each of n processes found."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}", __file__, str(datasets), str(out), precision]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = [np.load(out / f"{rank}.npz") for rank in range(n)]
    assert [int(each["size"]) for each in found] == [n] * n
    return [{"weights": each["weights"], "records": json.loads(str(each["records"]))} for each in found]


@pytest.fixture(scope="module")
def exactly_one(bundled_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What one process found in double precision."""
    return by_torchrun(1, bundled_home / "datasets", tmp_path_factory.mktemp("one"))[0]


def test_two_processes_take_the_steps_of_one(exactly_one: dict, bundled_home: Path, tmp_path: Path) -> None:
    one = exactly_one
    two = by_torchrun(2, bundled_home / "datasets", tmp_path / "two")
    start = torch.cat([p.detach().flatten() for p in load_pretrained().network.parameters()]).numpy()
    assert np.abs(one["weights"] - start).max() > 1e-3  # it learnt something
    np.testing.assert_array_equal(two[0]["weights"], two[1]["weights"])
    np.testing.assert_allclose(two[0]["weights"], one["weights"], atol=1e-8, rtol=0)
    assert two[0]["records"] == two[1]["records"]
    for ours, alone in zip(two[0]["records"], one["records"], strict=True):
        assert (ours["epoch"], ours["step"], ours["best_epoch"]) == (alone["epoch"], alone["step"], alone["best_epoch"])
        for part in ("train", "validation"):
            assert ours[part] == pytest.approx(alone[part], rel=1e-7)


def test_in_single_precision_they_err_no_more_than_one(exactly_one: dict, bundled_home: Path, tmp_path: Path) -> None:
    """By the compiled kernels where there are any, as in use. What rounding does to Adam's steps has no bound; one process shows how much."""
    datasets = bundled_home / "datasets"
    [one] = by_torchrun(1, datasets, tmp_path / "one", "single")
    two = by_torchrun(2, datasets, tmp_path / "two", "single")
    assert one["weights"].dtype == two[0]["weights"].dtype == np.float32
    np.testing.assert_array_equal(two[0]["weights"], two[1]["weights"])
    assert two[0]["records"] == two[1]["records"]
    error, of_one = (np.linalg.norm(run["weights"] - exactly_one["weights"]) for run in (two[0], one))
    assert 0 < error < 2 * of_one


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as processes:
        assert processes == ALONE
        assert processes.agree(True) and not processes.agree(False)
        assert processes.add_up(torch.ones(2)).tolist() == [1.0, 1.0]


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
