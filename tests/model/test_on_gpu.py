"""The Triton kernels: when the engine takes them, a whole training step with them, and that they compile for a GPU that is not there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from xfunc_core.model.fused import calls, on_gpu, plain
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.named import shipped_checkpoint
from xfunc_core.model.network import Engine
from xfunc_core.model.samples import Sample
from xfunc_core.model.weights import load_engine

ROOT = Path(__file__).resolve().parents[2]
GPU = torch.device("cpu")
"""Stands for one: Triton's interpreter computes on tensors of a processor."""
SHARED_MEMORY = 227 * 1024
"""Bytes that a program on an H100 or H200 may take (CUDA C++ Programming Guide, technical specifications of compute capability 9.0)."""
FEW_SPILLS = 32
"""Bytes of a thread; its registers hold 1,020."""


@pytest.fixture(autouse=True)
def _ask_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(on_gpu.ASKED_FOR, "1")
    on_gpu.why_plain.cache_clear()
    yield
    on_gpu.why_plain.cache_clear()


@pytest.fixture
def triton_calls() -> Any:
    pytest.importorskip("triton", reason="no triton here: make test installs it")
    from xfunc_core.model.fused import triton_calls

    return triton_calls


# --- whether they are used --------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "0"])
def test_they_are_not_used_unasked(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(on_gpu.ASKED_FOR, value)
    monkeypatch.setattr(on_gpu, "_what_is_wrong", lambda device: pytest.fail("checked unasked"))
    assert on_gpu.why_plain(GPU) == "the Triton kernels were not asked for (XFUNC_TRITON=1): the engine computes in plain torch"


def test_kernels_that_are_right_are_used(triton_calls: Any) -> None:
    assert on_gpu.why_plain(GPU) == ""


@pytest.mark.parametrize("kernel", ["forward", "backward", "double_backward"])
def test_kernels_that_err_are_not_used(kernel: str, triton_calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in turn gives one thing that is off by a thousandth."""
    exact, spoilt = triton_calls.call, {"forward": "out", "backward": "g_features", "double_backward": "c_pre"}[kernel]

    def call(name: str, *args: Any, **tensors: Any) -> None:
        exact(name, *args, **tensors)
        if name == kernel:
            tensors[spoilt] *= 1.001

    monkeypatch.setattr(triton_calls, "call", call)
    reason = r"no Triton kernels \(they err by \S+e-0[345] on cpu in pairs of bonds, where 1e-05 is allowed\): the engine computes in plain torch"
    assert re.fullmatch(reason, on_gpu.why_plain(GPU))


def test_numbers_that_are_none_are_no_agreement(triton_calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*args: Any, **tensors: Any) -> None:
        plain.call(*args, **tensors)
        if "g_second" in tensors:
            tensors["g_second"].fill_(float("nan"))

    monkeypatch.setattr(triton_calls, "call", call)
    assert "they err by nan" in on_gpu.why_plain(GPU)


@pytest.mark.parametrize(
    ("error", "said"), [(ImportError("No module named 'triton'"), "No module named 'triton'"), (KeyError(), "KeyError"), (RuntimeError("ptxas failed\nand more"), "ptxas failed")]
)
def test_whatever_fails_is_a_reason_and_said_once(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(device: torch.device) -> str:
        raise error

    monkeypatch.setattr(on_gpu, "_what_is_wrong", fail)
    for _ in range(2):
        assert on_gpu.why_plain(GPU) == f"no Triton kernels ({said}): the engine computes in plain torch"
    assert [record.message for record in caplog.records] == [on_gpu.why_plain(GPU)]


def test_a_processor_is_not_asked_for_them(fresh: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xfunc_core.model.network.why_plain", lambda device: pytest.fail("asked"))
    assert fresh()._call(torch.zeros(1)) in (calls.call, plain.call)


class OnGpu:
    """What `Engine` asks bond vectors for."""

    device, dtype = torch.device("cuda", 0), torch.float32


def test_the_engine_takes_them_on_a_gpu_where_nothing_speaks_against_it(
    fresh: Callable[[], Engine], triton_calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr("xfunc_core.model.network.why_plain", lambda device: asked.append(device) or ("reason" if len(asked) > 1 else ""))
    engine = fresh()
    assert engine._call(OnGpu()) is triton_calls.call
    assert engine._call(OnGpu()) is plain.call and asked == [torch.device("cuda", 0)] * 2
    engine.uses_kernels = False
    assert engine._call(OnGpu()) is plain.call
    assert load_engine(shipped_checkpoint("0.2.0"))._call(OnGpu()) is plain.call and len(asked) == 2


# --- what they compute and take ---------------------------------------------------------------


def test_a_training_step_gives_what_plain_torch_gives(fresh: Callable[[], Engine], mixed: list[Sample], triton_calls: Any) -> None:
    """In Triton's interpreter: outputs and every parameter's gradient; single precision against double, not worse than plain torch."""
    pushed = [sample.graph for sample in mixed if sample.forces.abs().max() > 0.1]  # where symmetry leaves no force there are rounding errors only
    graph = min((graph for graph in pushed if graph.n_angles), key=lambda graph: graph.n_bonds)
    results = {}
    for name, call, dtype in (("triton", triton_calls.call, torch.float32), ("plain", plain.call, torch.float32), ("exact", plain.call, torch.float64)):
        engine = fresh().to(dtype)
        engine._call = lambda vectors, call=call: call
        out = engine(collate([graph], dtype))
        trained = [p for p in engine.parameters() if p.requires_grad]
        sum(value.double().square().sum() for value in out.values()).backward(inputs=trained)
        results[name] = [t.detach().double() for t in out.values()] + [p.grad.double() for p in trained if p.grad is not None]
    errors = {
        name: torch.stack([(found - exact).norm() / exact.norm().clamp(min=1e-6) for found, exact in zip(results[name], results["exact"], strict=True)])
        for name in ("triton", "plain")
    }
    assert len(errors["triton"]) > 50
    assert errors["triton"].median() < 1.5 * errors["plain"].median()
    assert errors["triton"].max() < 2 * errors["plain"].max()


@pytest.mark.slow
def test_they_compile_for_an_h100(triton_calls: Any, tmp_path: Path) -> None:
    """Each variant that a step asks for, to machine code, with the registers, spills and shared memory that ptxas tells."""
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "benchmarks.triton_compiled"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^((?:double_)?(?:forward|backward)) .* (\d+) +(\d+) +(\d+) +(\d+)$", done.stdout, re.M)
    assert {name for name, *_ in rows} == {"forward", "backward", "double_backward"} and len(rows) == 14
    for name, registers, stores, loads, shared in rows:
        assert 0 < int(registers) <= 255 and int(shared) < SHARED_MEMORY
        assert max(int(stores), int(loads)) <= FEW_SPILLS, name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU: the self-check ran in Triton's interpreter only")
def test_they_are_right_on_the_gpu_of_this_machine() -> None:
    code = "import torch; from xfunc_core.model.fused.on_gpu import why_plain; print(repr(why_plain(torch.device('cuda', 0))))"
    environment = os.environ | {"TRITON_INTERPRET": "0", on_gpu.ASKED_FOR: "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "''\n", done.stdout + done.stderr
