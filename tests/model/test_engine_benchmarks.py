"""The benchmark that waits for a GPU: it runs, and what it counts is right."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from benchmarks import engine_gpu
from benchmarks.engine_agreement import geometry, labels_for, varied
from benchmarks.engine_work import Work, work_of_a_step
from xfunc_core.model.fused import plain
from xfunc_core.model.fused.on_gpu import ASKED_FOR
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.named import shipped_checkpoint
from xfunc_core.model.weights import load_engine


def test_it_runs_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv(ASKED_FOR, "0")  # which it sets itself
    monkeypatch.setattr(sys, "argv", ["engine_gpu", "--device", "cpu", "--sizes", "1,2", "--atoms", "2", "4", "--rounds", "1"])
    engine_gpu.main()
    printed = capsys.readouterr().out
    assert len(re.findall(r"^\d × \d atoms, (?:training step|energy)", printed, re.M)) == 4
    assert re.search(r"^plain torch +\d+\.\d+ .* %$", printed, re.M) and re.search(r"^kernels +\d+\.\d+ .* %$", printed, re.M)


def test_work_of_products_is_counted_by_hand() -> None:
    a, b, c = torch.ones(3, 4), torch.ones(4, 5), torch.zeros(3, 5)
    with Work() as work:
        c.addmm_(a, b)  # 3 · 5 sums of 4 products; c is there, and the result
        torch.mm(a, b, out=c)
        torch.bmm(a[None], b[None])
    assert work.flops == 3 * (2 * 3 * 5 * 4)
    assert work.moved == 4 * ((15 + 12 + 20 + 15) + (12 + 20 + 15 + 15) + (12 + 20 + 15))


def test_a_step_in_fused_kernels_has_the_same_arithmetic_and_moves_less() -> None:
    engine, batch = load_engine(shipped_checkpoint("0.3.0")), collate([geometry(s) for s in varied(2, seed=1)])
    labels = labels_for(engine(batch))
    by_itself, fused = (work_of_a_step(engine, batch, labels, whole) for whole in (False, True))
    edges, angles = 2 * len(batch.bond_vector), len(batch.angle_first)
    # Products of a row by 64 × 128 numbers. A message takes one for its hidden layer and one for its own features, which two edges
    # of a bond share; a gate on an angle takes the latter. Forward and the slopes take them once, what differentiates these twice.
    four_on_atoms, three_on_bonds, two_on_angles = 4 * 6 * (edges + edges // 2), 3 * 6 * 2 * angles, 2 * 6 * angles
    in_kernels = 2 * 64 * 128 * (four_on_atoms + three_on_bonds + two_on_angles)
    assert in_kernels < fused.flops < 1.5 * in_kernels and by_itself.flops == fused.flops
    assert fused.moved < by_itself.moved / 2
    assert engine._call(batch.bond_vector) is not plain.call or not engine.kernels.library
    assert all(p.grad is None for p in engine.parameters())
