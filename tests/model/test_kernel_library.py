"""The library of kernels: compiled once, again where it is damaged or cannot be kept, and what happens without a compiler."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from xfunc_core.model.fused.library import kernels
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.graphs import build_graph
from xfunc_core.model.named import shipped_checkpoint
from xfunc_core.model.weights import load_engine

needs_kernels = pytest.mark.skipif(kernels().library is None, reason=kernels().reason)

LOAD = """
import logging, sys
from xfunc_core.model.fused.library import kernels
logging.basicConfig(level=logging.WARNING, format="logged: %(message)s")
print(kernels().reason or "compiled")
print(kernels().reason or "compiled")
"""
COMPUTE = """
import numpy as np, torch
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.graphs import build_graph
from xfunc_core.model.named import shipped_checkpoint
from xfunc_core.model.weights import load_engine
engine = load_engine(shipped_checkpoint("0.3.0"))
graph = build_graph(np.array([11, 17]), np.eye(3) * 3.5, np.array([[0, 0, 0], [1.8, 1.75, 1.75]]))
outs = []
for engine.uses_kernels in (True, False):
    out = engine(collate([graph]))
    out["e"].sum().backward(inputs=[engine.network.mlp.layers[0].weight])
    outs.append(out)
assert all(torch.equal(outs[0][key], outs[1][key]) for key in "efsm"), "not in plain torch"
print("energy", out["e"].item())
"""


def in_new_process(code: str, cache: Path, compiler: str | None = None, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    """What code prints in a process that knows no other cache or compiler."""
    environment = {"HOME": str(cache), "XDG_CACHE_HOME": str(cache), "PATH": path} | ({} if compiler is None else {"CXX": compiler})
    root = Path(__file__).parents[2]
    return subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, timeout=300)


def cached(cache: Path) -> list[Path]:
    return list((cache / "xfunc" / "kernels").iterdir())


@needs_kernels
def test_kernels_are_compiled_once(tmp_path: Path) -> None:
    assert in_new_process(LOAD, tmp_path).stdout.split() == ["compiled", "compiled"]
    [first] = cached(tmp_path)  # nothing else is left
    stamp = first.stat().st_mtime_ns
    assert in_new_process(LOAD, tmp_path).stdout.split() == ["compiled", "compiled"]
    assert cached(tmp_path) == [first] and first.stat().st_mtime_ns == stamp
    assert first.parent.stat().st_mode & 0o077 == 0


@needs_kernels
@pytest.mark.parametrize("kept", [0, 5000])  # what a full disk or a power cut leave; truncated, it would end the process
def test_a_damaged_library_is_compiled_again(kept: int, compiled_cache: Path, tmp_path: Path) -> None:
    shutil.copytree(compiled_cache, tmp_path, dirs_exist_ok=True)
    [library] = cached(tmp_path)
    whole = library.read_bytes()
    library.write_bytes(whole[:kept])
    done = in_new_process(LOAD, tmp_path)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["compiled", "compiled"], "")
    assert cached(tmp_path) == [library] and library.read_bytes() == whole


@pytest.fixture(scope="module")
def compiled_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    in_new_process(LOAD, cache)
    return cache


@needs_kernels
def test_where_the_cache_cannot_be_written_kernels_are_compiled_for_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = in_new_process(LOAD, tmp_path / "file")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["compiled", "compiled"], "")


@needs_kernels
def test_the_compiler_may_come_with_options(tmp_path: Path) -> None:
    done = in_new_process(LOAD, tmp_path, compiler="g++ -DXFUNC='a b'")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["compiled", "compiled"], "")


@pytest.mark.parametrize(
    ("compiler", "path", "reason"),
    [
        ("no-such-compiler", "/usr/bin:/bin", "No such file or directory: 'no-such-compiler'"),
        ("false", "/usr/bin:/bin", "false failed"),
        ("g++ 'half", "/usr/bin:/bin", "No closing quotation"),
        (None, "/nowhere", "no C++ compiler"),
    ],
)
def test_without_a_compiler_the_engine_says_so_once_and_computes_the_same(
    compiler: str | None, path: str, reason: str, tmp_path: Path
) -> None:
    done = in_new_process(LOAD + COMPUTE, tmp_path, compiler, path)
    assert done.returncode == 0, done.stderr
    said, again, energy = done.stdout.splitlines()
    assert said == again and reason in said and "plain torch" in said
    assert done.stderr.count("logged: ") == 1
    exact = load_engine(shipped_checkpoint("0.3.0")).double()
    graph = build_graph(np.array([11, 17]), np.eye(3) * 3.5, np.array([[0, 0, 0], [1.8, 1.75, 1.75]]))
    assert float(energy.removeprefix("energy ")) == pytest.approx(exact(collate([graph], torch.float64), "e")["e"].item(), abs=2e-6)
