"""The kernels, compiled and in plain torch, against torch's own layers and derivatives and finite differences, in both precisions.

Those for a GPU run in Triton's interpreter, which computes what they say on the processor, in single precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from xfunc_core.model.fused import calls, plain, plain_rows
from xfunc_core.model.fused.functions import Call, convolve, update
from xfunc_core.model.fused.library import kernels
from xfunc_core.model.operations import Edges, Gate, Own
from xfunc_core.model.slopes import slopes_only

HAS_COMPILED = pytest.mark.skipif(kernels().library is None, reason=kernels().reason)
HAS_TRITON = pytest.mark.skipif(find_spec("triton") is None, reason="no triton here: make test installs it")
KINDS = ("atoms", "angles", "update")
ROUNDING = 2e-6
"""Of single precision, relative to the norm of a result; torch's own layers err by up to 6e-7 on these cases."""


def triton_call(*args: Any, **tensors: Any) -> None:
    """Imports triton, which takes a second, when it is called."""
    from xfunc_core.model.fused import triton_calls

    triton_calls.call(*args, **tensors)


BOTH = {"plain": plain.call, "compiled": pytest.param(calls.call, marks=HAS_COMPILED)}
ALL = BOTH | {"triton": pytest.param(triton_call, marks=HAS_TRITON)}


@pytest.fixture(params=ALL.values(), ids=ALL)
def single(request: pytest.FixtureRequest) -> Call:
    """What computes in single precision."""
    return request.param


@pytest.fixture(params=BOTH.values(), ids=BOTH)
def call(request: pytest.FixtureRequest) -> Iterator[Call]:
    """What computes; the plain kernels in blocks of 96 edges, as the compiled ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_rows, "EDGES_AT_ONCE", 96)
        yield request.param


class Case(NamedTuple):
    """Arguments of an operation on M edges, made up."""

    kind: str
    edges: Edges
    at_first: Tensor
    at_second: Tensor
    own: Own
    weight: Tensor
    gate: Gate

    @property
    def inputs(self) -> list[Tensor]:
        """What slopes are taken of: everything but parameters."""
        return [self.at_first, self.at_second, self.own.features] + ([] if self.kind == "update" else [self.weight])

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {name: p for name, p in {"own": self.own.matrix, **self.gate._asdict()}.items() if p is not None}

    @property
    def everything(self) -> list[Tensor]:
        return self.inputs + list(self.parameters.values())

    def run(self, call: Call | None) -> Tensor:
        """By kernels, or without any by torch's own layers, row by row as upstream has them."""
        if call is None:
            return self._by_torch()
        if self.kind == "update":
            return update(call, self.edges, self.at_first, self.at_second, self.own, self.own.features, self.gate)
        return convolve(call, self.edges, self.at_first, self.at_second, self.own, self.weight, self.gate)

    def _by_torch(self) -> Tensor:
        rows = self.own.features @ self.own.matrix.T
        copies = len(self.edges.first) // len(rows)
        rows = rows.repeat(copies, 1) + self.at_first[self.edges.first] + self.at_second[self.edges.second]
        halves = [rows[:, :64], rows[:, 64:]]
        if self.gate.linear is not None:
            halves = [functional.linear(functional.silu(h), w, b) for h, w, b in zip(halves, self.gate.linear, self.gate.bias, strict=True)]
        if self.gate.scale is not None:
            halves = [functional.layer_norm(h, (64,), w, b) for h, w, b in zip(halves, self.gate.scale, self.gate.shift, strict=True)]
        gated = functional.silu(halves[0]) * torch.sigmoid(halves[1])
        if self.kind == "update":
            return self.own.features + gated
        weights = self.weight.repeat(copies, 1) if self.kind == "atoms" else self.weight[self.edges.second]
        return torch.zeros_like(self.at_first[:, :64]).index_add(0, self.edges.first, gated * weights)

    def as_double(self) -> Case:
        """The same numbers in double precision."""
        rows, matrix = double(self.own.features), double(self.own.matrix)
        return Case(
            self.kind,
            self.edges,
            double(self.at_first),
            double(self.at_second),
            Own(rows, matrix),
            double(self.weight),
            Gate(*map(double, self.gate)),
        )


def double(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().double().requires_grad_()


def case(kind: str, m: int, dtype: torch.dtype, seed: int = 0, norm: bool = True) -> Case:
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.tensor(scale * rng.normal(size=shape), dtype=dtype, requires_grad=True)

    n_first, n_second = (7, 7) if kind == "atoms" else (9, 9)
    if kind == "atoms":
        i, j = rng.integers(0, n_first, (2, m // 2))
        first, second, own, n_weight = np.append(i, j), np.append(j, i), Own(normal(m // 2, 64), normal(128, 64, scale=0.1)), m // 2
    else:
        first, second = np.sort(rng.integers(0, n_first, m)), rng.integers(0, n_second, m)
        own, n_weight = Own(normal(m, 64), normal(128, 64, scale=0.1)), n_second
    linear, bias = (None, None) if kind == "update" else (normal(2, 64, 64, scale=0.2), normal(2, 64))
    gate = Gate(linear, bias, *((normal(2, 64), normal(2, 64)) if norm else (None, None)))
    return Case(
        kind,
        Edges(torch.tensor(first), torch.tensor(second)),
        normal(n_first, 128),
        normal(n_second, 128),
        own,
        normal(n_weight, 64),
        gate,
    )


def training_step(case: Case, call: Call | None, trained: list[Tensor] | None = None, backwards: bool = False) -> list[np.ndarray]:
    """Outputs, their slopes, and the gradients of a loss on both with respect to everything, or to some: as a training step takes them.

    ``backwards`` has the gradient of the output lie column by column in memory.
    """
    rng = np.random.default_rng(1)
    out = case.run(call)
    target = torch.tensor(rng.normal(size=out.shape), dtype=out.dtype)
    if backwards:
        out.register_hook(lambda gradient: gradient.t().contiguous().t())
    with slopes_only():
        slopes = torch.autograd.grad((out * out * target).sum(), case.inputs, create_graph=True)
    loss = sum((s * torch.tensor(rng.normal(size=s.shape), dtype=s.dtype)).sum() for s in slopes) + (out * target).sum()
    gradients = torch.autograd.grad(loss, trained or case.everything)
    return [t.detach().double().numpy() for t in (out, *slopes, *gradients)]


def errors(found: list[np.ndarray], truth: list[np.ndarray]) -> np.ndarray:
    assert len(found) == len(truth)
    return np.array([np.linalg.norm(f - t) / np.linalg.norm(t) for f, t in zip(found, truth, strict=True)])


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


# --- the same as torch's own layers -----------------------------------------------------------


@pytest.mark.parametrize("m", [2, 96, 350])  # less than a block, one, and several with a rest
@pytest.mark.parametrize("kind", KINDS)
def test_double_precision_gives_what_torchs_own_layers_give(kind: str, m: int, threads: int, call: Call) -> None:
    made = case(kind, m, torch.float64)
    assert errors(training_step(made, call), training_step(made, None)).max() < 1e-14


@pytest.mark.parametrize("kind", KINDS)
def test_gates_without_a_norm_give_what_torchs_own_layers_give(kind: str) -> None:
    """Those of 0.2.0, which only the plain kernels compute."""
    made = case(kind, 96, torch.float64, norm=False)
    assert errors(training_step(made, plain.call), training_step(made, None)).max() < 1e-14


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_on_slopes_alone_gives_what_torchs_own_layers_give(kind: str, threads: int, call: Call) -> None:
    """Then nothing comes back for the output itself."""
    made = case(kind, 200, torch.float64)
    for ours, theirs in zip(of_slopes_alone(made, call), of_slopes_alone(made, None), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11 * max(1.0, float(np.abs(theirs).max())))


def of_slopes_alone(made: Case, call: Call | None) -> list[np.ndarray]:
    """Gradients of a loss on slopes; zero where there is none."""
    out = made.run(call)
    with slopes_only():
        slopes = torch.autograd.grad(out.sum(), made.inputs, create_graph=True)
    gradients = torch.autograd.grad(sum((s * s).sum() for s in slopes), made.everything, allow_unused=True)
    return [torch.zeros(1).numpy() if g is None or not g.any() else g.numpy() for g in gradients]


PARAMETERS = ("own", "linear", "bias", "scale", "shift")


ALONE = pytest.mark.parametrize(("kind", "only"), [(k, p) for k in KINDS for p in PARAMETERS if k != "update" or p not in ("linear", "bias")])


@ALONE
def test_each_parameter_trains_alone(kind: str, only: str, call: Call) -> None:
    made = case(kind, 350, torch.float64)
    found, truth = (training_step(made, how, alone(made, only)) for how in (call, None))
    assert errors(found, truth).max() < 1e-14


def alone(made: Case, only: str) -> list[Tensor]:
    """What has gradients when one parameter trains; the others no longer do."""
    for name, parameter in made.parameters.items():
        parameter.requires_grad_(name == only)
    return [*made.inputs, made.parameters[only]]


@pytest.mark.parametrize("kind", KINDS)
def test_threads_may_change_before_the_gradients(kind: str, call: Call) -> None:
    made, found, before = case(kind, 350, torch.float64), [], torch.get_num_threads()
    for later in (2, 1):
        torch.set_num_threads(2)
        try:
            out = made.run(call)
            torch.set_num_threads(later)
            found.append([g.numpy() for g in torch.autograd.grad(out.pow(2).sum(), made.everything)])
        finally:
            torch.set_num_threads(before)
    assert errors(*found).max() < 1e-14


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_errs_no_more_than_torchs_own_layers(kind: str, threads: int, call: Call) -> None:
    made = case(kind, 2000, torch.float32)
    truth = training_step(made.as_double(), None)
    ours, theirs = (errors(training_step(made, how), truth) for how in (call, None))
    assert np.median(ours) < 1.5 * np.median(theirs)
    assert ours.max() < 2 * theirs.max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_threads_give_the_same_bits(kind: str, threads: int, call: Call) -> None:
    made = case(kind, 500, torch.float32)
    for first, again in zip(training_step(made, call), training_step(made, call), strict=True):
        np.testing.assert_array_equal(first, again)


# --- finite differences -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_slopes(kind: str, call: Call) -> None:
    made = case(kind, 50, torch.float64)

    def run(*tensors: Tensor) -> Tensor:
        return rebuilt(made, tensors).run(call)

    assert torch.autograd.gradcheck(run, made.everything, fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_gradients_are_slopes(kind: str, call: Call) -> None:
    """Gradients of the slopes with respect to everything, parameters included, along random directions."""
    made = case(kind, 50, torch.float64)
    rng = np.random.default_rng(2)
    target, *directions = (torch.tensor(rng.normal(size=t.shape)) for t in (made.run(call), *made.inputs))
    steps = [torch.tensor(rng.normal(size=t.shape)) for t in made.everything]

    def along(h: float) -> Tensor:
        """Slopes times directions, after a step of h."""
        moved = rebuilt(made, [t.detach().add(step, alpha=h).requires_grad_() for t, step in zip(made.everything, steps, strict=True)])
        with slopes_only():
            slopes = torch.autograd.grad((moved.run(call) * target).sum(), moved.inputs, create_graph=True)
        along.moved = moved
        return sum((s * d).sum() for s, d in zip(slopes, directions, strict=True))

    gradients = torch.autograd.grad(along(0.0), along.moved.everything, allow_unused=True)
    assert sum(g is None for g in gradients) <= 1  # the bias matters through y only, and y is there
    predicted = sum((g * step).sum().item() for g, step in zip(gradients, steps, strict=True) if g is not None)
    h = 1e-5
    slope = (along(h) - along(-h)).item() / (2 * h)
    assert predicted == pytest.approx(slope, rel=1e-7)


def rebuilt(made: Case, tensors: list[Tensor] | tuple[Tensor, ...]) -> Case:
    """The same case with `Case.everything` replaced."""
    left = list(tensors)
    at_first, at_second, rows = left.pop(0), left.pop(0), left.pop(0)
    weight = made.weight if made.kind == "update" else left.pop(0)
    matrix = None if made.own.matrix is None else left.pop(0)
    gate = Gate(*(None if p is None else left.pop(0) for p in made.gate))
    return Case(made.kind, made.edges, at_first, at_second, Own(rows, matrix), weight, gate)


# --- whatever way the tensors lie in memory ---------------------------------------------------


def transposed(tensor: Tensor) -> Tensor:
    """The same values, column by column."""
    return tensor.detach().t().contiguous().t().requires_grad_()


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_need_not_be_contiguous(kind: str, call: Call) -> None:
    """A transposed gradient of the output included, as a loss on a transposed output sends back."""
    made = case(kind, 200, torch.float64)
    found = training_step(strided(made), call, backwards=True)
    assert errors(found, training_step(made, call)).max() < 1e-14


def strided(made: Case) -> Case:
    """The same numbers, none of them beside the next."""
    edges = Edges(*(torch.stack([owner, owner], dim=1)[:, 0] for owner in made.edges))
    other = made._replace(
        edges=edges,
        at_first=transposed(made.at_first),
        at_second=transposed(made.at_second),
        own=Own(*map(transposed, made.own)),
        weight=transposed(made.weight),
    )
    assert not any(t.is_contiguous() for t in (*edges, *other.inputs))
    return other


@pytest.mark.parametrize("kind", KINDS)
def test_edges_may_be_counted_in_int32(kind: str, single: Call) -> None:
    made = case(kind, 200, torch.float32)
    other = made._replace(edges=Edges(*(owner.int() for owner in made.edges)))
    assert torch.equal(other.run(single), made.run(single))


@pytest.mark.parametrize("owner", [-1, 9])
@pytest.mark.parametrize("end", Edges._fields)
def test_edges_to_nowhere_are_an_error(end: str, owner: int, call: Call) -> None:
    made = case("angles", 200, torch.float32)
    getattr(made.edges, end)[17] = owner
    with pytest.raises(IndexError, match="and there are 9|out of range"):
        made.run(call)


# --- for a GPU, in Triton's interpreter ------------------------------------------------------


@HAS_TRITON
@pytest.mark.parametrize("m", [2, 32, 110])  # less than a block, one or two, and more than there are programs, with a rest
@pytest.mark.parametrize("kind", KINDS)
def test_triton_gives_what_torchs_own_layers_give(kind: str, m: int) -> None:
    made = case(kind, m, torch.float32)
    assert errors(training_step(made, triton_call), training_step(made.as_double(), None)).max() < ROUNDING


@HAS_TRITON
@pytest.mark.parametrize("kind", KINDS)
def test_triton_takes_a_loss_on_slopes_alone(kind: str) -> None:
    made = case(kind, 60, torch.float32)
    for ours, theirs in zip(of_slopes_alone(made, triton_call), of_slopes_alone(made.as_double(), None), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=ROUNDING * max(1.0, float(np.abs(theirs).max())))


@HAS_TRITON
@ALONE
def test_triton_trains_each_parameter_alone(kind: str, only: str) -> None:
    made = case(kind, 40, torch.float32)
    exact = made.as_double()
    found, truth = training_step(made, triton_call, alone(made, only)), training_step(exact, None, alone(exact, only))
    assert errors(found, truth).max() < ROUNDING


@HAS_TRITON
@pytest.mark.parametrize("kind", KINDS)
def test_triton_takes_tensors_that_are_not_contiguous(kind: str) -> None:
    made = case(kind, 40, torch.float32)
    assert errors(training_step(strided(made), triton_call, backwards=True), training_step(made, triton_call)).max() < ROUNDING


@HAS_TRITON
@pytest.mark.parametrize("kind", KINDS)
def test_triton_takes_no_edges(kind: str) -> None:
    found = training_step(case(kind, 0, torch.float32), triton_call)
    assert not any(t.any() for t in found) and found[0].shape == (0 if kind == "update" else 7 if kind == "atoms" else 9, 64)


# --- edges of the numbers ---------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FC00001, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFC00081], ids=hex)
@pytest.mark.parametrize("where", ["at_first", "shift", "scale"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_number_stays_none(kind: str, where: str, bits: int, single: Call) -> None:
    """Whichever of the millions of NaNs it is."""
    made = case(kind, 100, torch.float32)
    spoilt = made.at_first if where == "at_first" else made.parameters[where]
    with torch.no_grad():
        spoilt.view(torch.int32)[1, 5] = np.uint32(bits).view(np.int32).item()
    ours, theirs = made.run(single), made.run(None)
    assert torch.equal(ours.isnan(), theirs.isnan()) and ours.isnan().any() and not ours.isnan().all()


@pytest.mark.parametrize("size", [1e-30, 1e3, 1e6])
def test_extreme_numbers_saturate_as_they_do_in_torch(size: float, single: Call) -> None:
    made = case("angles", 100, torch.float32)
    with torch.no_grad():
        made.at_first.mul_(size)
    np.testing.assert_allclose(made.run(single).detach(), made.run(None).detach(), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("flushes", [False, True])
def test_denormals_of_the_caller_stay_as_they_were(flushes: bool, call: Call) -> None:
    torch.set_flush_denormal(flushes)
    try:
        training_step(case("atoms", 100, torch.float32), call)
        assert (torch.tensor(torch.finfo(torch.float32).tiny) / 2).item() == (0 if flushes else 2.0**-127)
    finally:
        torch.set_flush_denormal(False)


def test_parameter_gradients_are_not_dropped_in_silence(single: Call) -> None:
    made = case("atoms", 10, torch.float32)
    with pytest.raises(RuntimeError, match="within slopes_only"):
        torch.autograd.grad(made.run(single).sum(), made.gate.linear, create_graph=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_third_derivative_is_an_error_and_not_zero(kind: str, call: Call) -> None:
    made = case(kind, 10, torch.float64)
    with slopes_only():
        slopes = torch.autograd.grad(made.run(call).pow(2).sum(), made.inputs, create_graph=True)
        [second] = torch.autograd.grad(slopes[0].pow(2).sum(), made.at_second, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        second.sum().backward()
