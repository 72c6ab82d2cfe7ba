"""Compile the Triton kernels for a GPU that need not be there, and say what they take of it: registers, spills, shared memory.

::

    python -m benchmarks.triton_compiled                                  # as the engine uses them, for an H100 or H200
    python -m benchmarks.triton_compiled --edges 32 --precision tf32x3    # other blocks, other products

It compiles each variant that a training step and a prediction of CHGNet 0.3.0 ask for. Needs triton (requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from xfunc_core.answers.answer import text_table
from xfunc_core.model.fused import plain, triton_calls, triton_kernels
from xfunc_core.model.fused.calls import Shape
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.graphs import build_graph
from xfunc_core.model.named import shipped_checkpoint
from xfunc_core.model.weights import load_engine

KINDS = {(True, True): "pairs of bonds", (False, True): "angles, messages", (False, False): "angles, update"}


class Variant(NamedTuple):
    """A kernel by what it gets: whether edges come in pairs and have a hidden layer, and which tensors are there."""

    kernel: str
    paired: bool
    linear: bool
    tensors: frozenset[str]


def variants() -> list[Variant]:
    """What a training step and a prediction ask for, in the order they do."""
    seen: dict[Variant, None] = {}

    def call(kernel: str, shape: Shape, dtype: torch.dtype, **tensors: Tensor | None) -> None:
        there = {name for name, tensor in tensors.items() if tensor is not None} | {"first", "second"}
        seen[Variant(kernel, shape.paired, shape.linear, frozenset(there))] = None
        plain.call(kernel, shape, dtype, **tensors)

    model = load_engine(shipped_checkpoint("0.3.0"))
    model._call = lambda vectors: call
    batch = collate([build_graph(np.array([12, 8]), 2.1 * (1 - np.eye(3)), np.array([[0, 0, 0], [2.15, 2.1, 2.1]]))])
    with torch.no_grad():
        model(batch)
    sum(out.abs().sum() for out in model(batch).values()).backward(inputs=list(model.network.parameters()))
    return list(seen)


def compiled(variant: Variant, edges: int, warps: int, precision: str, capability: int) -> dict[str, int]:
    """Registers of a thread, bytes it spills (stores, loads) and bytes of shared memory of a program."""
    function = getattr(triton_kernels, variant.kernel)
    there = variant.tensors | ({"g_own"} if "g_own_weight" in variant.tensors else set())
    fixed = {"EDGES": edges, "SIDES": 2 if variant.paired else 1, "PRECISION": precision}
    signature, constants, aligned = {}, {}, {}
    for place, name in enumerate(function.arg_names):
        if name == "n":
            signature[name] = "i32"
        elif name in there:
            signature[name], aligned[(place,)] = "*i64" if name in ("first", "second") else "*fp32", [["tt.divisibility", 16]]
        else:
            signature[name], constants[(place,)] = "constexpr", fixed.get(name)
    source = ASTSource(function, signature, constants, aligned)
    kernel = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps, "num_stages": 1})
    return _resources(kernel.asm["ptx"], capability) | {"shared": kernel.metadata.shared}


def _resources(ptx: str, capability: int) -> dict[str, int]:
    """As ptxas, which triton brings along, reports them; raises RuntimeError if it does not compile."""
    ptxas = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [str(ptxas), "-v", f"--gpu-name=sm_{capability}{'a' if capability >= 90 else ''}", file.name, "-o", "/dev/null"]
        told = subprocess.run(command, capture_output=True, text=True).stderr
    spilt, used = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", told), re.search(r"Used (\d+) registers", told)
    if spilt is None or used is None:
        raise RuntimeError(f"ptxas says: {told}")
    return {"registers": int(used[1]), "stores": int(spilt[1]), "loads": int(spilt[2])}


def rows(edges: int, warps: int, precision: str, capability: int) -> Iterator[dict[str, str]]:
    """A row for each variant."""
    for variant in variants():
        found = compiled(variant, edges, warps, precision, capability)
        trains = any(name.startswith("g_") and name[2:] in ("linear", "scale", "own_weight") for name in variant.tensors)
        yield {
            "kernel": variant.kernel,
            "of": KINDS[variant.paired, variant.linear],
            "gradients of parameters": "yes" if trains else "no",
            "registers": str(found["registers"]),
            "spilt bytes stored": str(found["stores"]),
            "loaded": str(found["loads"]),
            "shared memory, bytes": str(found["shared"]),
        }


def main() -> None:
    """Compile what is asked for and print it, the command first."""
    parser = argparse.ArgumentParser(description="Compile the Triton kernels and say what they take.")
    parser.add_argument("--edges", type=int, default=triton_calls.EDGES_AT_ONCE)
    parser.add_argument("--warps", type=int, default=triton_calls.WARPS)
    parser.add_argument("--precision", default="ieee", choices=("ieee", "tf32x3", "tf32"))
    parser.add_argument("--capability", type=int, default=90, help="90 is an H100 or H200")
    options = parser.parse_args()
    print(f"$ {' '.join(['python -m benchmarks.triton_compiled', *sys.argv[1:]])}\ntriton {triton.__version__}\n")
    print(text_table(rows(options.edges, options.warps, options.precision, options.capability)))


if __name__ == "__main__":
    main()
