"""CHGNet on flat batches: energy as a function of bond vectors, and one gradient for forces and stress.

Upstream's weights and results (chgnet 0.4.2; Deng et al., Nat. Mach. Intell. 5, 1031 (2023)), without its loops over
structures. Everything here is made of shapes known on the host, so that nothing waits for the device within a step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from chgnet.model import CHGNet
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, silu

from xfunc_core.model.basis import angle_basis, expanded, radial_basis
from xfunc_core.model.fused import calls as compiled
from xfunc_core.model.fused import plain
from xfunc_core.model.fused.functions import Call
from xfunc_core.model.fused.library import Loaded, kernels
from xfunc_core.model.fused.on_gpu import why_plain
from xfunc_core.model.graph_batch import GraphBatch
from xfunc_core.model.layers import Angles, Bonds, Weights, angle_update, atom_convolution, bond_convolution
from xfunc_core.model.operations import NORM_EPSILON, WIDTH, Edges, sum_by_owner
from xfunc_core.model.slopes import slopes_only

GPA_PER_EV_PER_A3 = 160.21766208


class Engine(nn.Module):
    """A CHGNet network plus reference energies, for batches of graphs.

    Under ``torch.no_grad`` nothing is kept for a backward pass; otherwise all outputs can be differentiated with respect
    to the parameters. Then call ``loss.backward(inputs=[…parameters that train…])``: without ``inputs`` torch also
    follows the bond vectors, for nothing.

    Attributes:
        network: the weights, in upstream's own module and under its names.
        references: eV/atom, shape (94,), float64 whatever the network is; a parameter if trainable, else a buffer.
        atom_graph_cutoff: how far the bonds of a batch must reach, Å.
        bond_graph_cutoff: how far those that form angles must, Å.
        uses_kernels: whether kernels may be used: compiled ones where `kernels` has them, on a GPU Triton's where `why_plain` is silent.
    """

    def __init__(self, network: CHGNet, references: np.ndarray, trainable_references: bool = False) -> None:
        super().__init__()
        self.network = network
        self.atom_graph_cutoff = float(network.model_args["atom_graph_cutoff"])
        self.bond_graph_cutoff = float(network.model_args["bond_graph_cutoff"])
        self.uses_kernels = True
        self._has_norm = network.model_args["gMLP_norm"] is not None
        self._exponent = int(network.model_args["cutoff_coeff"])
        w = torch.tensor(np.asarray(references), dtype=torch.float64)
        if trainable_references:
            self.references = nn.Parameter(w)
        else:
            self.register_buffer("references", w)

    def forward(self, batch: GraphBatch, task: str = "efsm") -> dict[str, Tensor]:
        """Predict a batch of S structures with A atoms.

        Args:
            batch: graphs with the cut-offs of this network, on its device and of its precision.
            task: which of energy, force, stress, magmom to compute.

        Returns:
            ``e`` eV/atom float64 (S,), ``f`` eV/Å (A, 3), ``s`` GPa (S, 3, 3), ``m`` μB (A,), as asked for.

        Raises:
            ValueError: the task holds another letter, or none.
        """
        if not task or not set(task) <= set("efsm"):
            raise ValueError(f"the engine computes e, f, s and m, not {task!r}")
        keep = torch.is_grad_enabled()
        w = {name: p if keep else p.detach() for name, p in self.network.named_parameters()}
        slopes = "f" in task or "s" in task
        with torch.set_grad_enabled(keep or slopes):
            vectors = batch.bond_vector.detach().requires_grad_(slopes)
            site_energy, magmom = self._sites(w, batch, vectors)
            total = site_energy.sum()
        out = {"m": magmom if keep else magmom.detach()} if "m" in task else {}
        if slopes:
            with slopes_only():
                [slope] = torch.autograd.grad(total, vectors, create_graph=keep)
            out |= _forces_and_stress(batch, vectors.detach(), slope, task)
        if "e" in task:
            energy = site_energy if keep else site_energy.detach()
            summed = sum_by_owner(energy.double(), batch.structure_of_atom, len(batch.n_atoms))
            out["e"] = summed / batch.n_atoms + batch.composition @ (self.references if keep else self.references.detach())
        return out

    @property
    def kernels(self) -> Loaded:
        """The kernels compiled for a processor, or why this network computes there in plain torch in single precision."""
        if not self._has_norm:
            return Loaded(None, "the network has no norm in its gates (0.2.0), which the compiled kernels need: the engine computes in plain torch")
        return kernels()

    def _call(self, vectors: Tensor) -> Call:
        fits = self.uses_kernels and self._has_norm and vectors.dtype == torch.float32
        if fits and vectors.device.type == "cpu" and self.kernels.library:
            return compiled.call
        if fits and vectors.device.type == "cuda" and not why_plain(vectors.device):
            from xfunc_core.model.fused import triton_calls

            return triton_calls.call
        return plain.call

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Engine:
        """What ``to``, ``float`` and ``half`` go through: references follow to a device, and to no other precision."""
        exact = [self.references, self.references.grad]
        return super()._apply(lambda t: t.to(fn(t).device) if any(t is kept for kept in exact) else fn(t), recurse)

    def _sites(self, w: Weights, batch: GraphBatch, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Energy (A,) in eV without references, and magnetic moment (A,) in μB, of each atom."""
        bonds, angles = self._embed(w, batch, vectors)
        call = self._call(vectors)
        edges = Edges(torch.cat([batch.bond_i, batch.bond_j]), torch.cat([batch.bond_j, batch.bond_i]))
        atoms = w["atom_embedding.embedding.weight"].index_select(0, batch.numbers - 1)
        last = len(self.network.atom_conv_layers) - 1
        for i in range(last):
            atoms = atom_convolution(call, w, f"atom_conv_layers.{i}", atoms, bonds, edges)
            if angles is not None:
                bonds = bond_convolution(call, w, f"bond_conv_layers.{i}", atoms, bonds, angles)
                if i < last - 1:  # nothing reads the angles after the last bond convolution
                    angles = angle_update(call, w, f"angle_layers.{i}", atoms, bonds, angles)
        magmom = linear(atoms, w["site_wise.weight"], w["site_wise.bias"]).abs().squeeze(1)
        atoms = atom_convolution(call, w, f"atom_conv_layers.{last}", atoms, bonds, edges)
        return _read_out(w, atoms), magmom

    def _embed(self, w: Weights, batch: GraphBatch, vectors: Tensor) -> tuple[Bonds, Angles | None]:
        length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        short = length[: batch.n_short]
        expansion = "bond_basis_expansion.rbf_expansion"
        basis = radial_basis(length, w[f"{expansion}_ag.frequencies"], self.atom_graph_cutoff, self._exponent)
        near = radial_basis(short, w[f"{expansion}_bg.frequencies"], self.bond_graph_cutoff, self._exponent)
        features = expanded(basis, w["bond_embedding.weight"])
        bonds = Bonds(
            short=features[: batch.n_short],
            long=features[batch.n_short :],
            weight=expanded(basis, w["bond_weights_ag.weight"]),
            damping=expanded(near, w["bond_weights_bg.weight"]),
        )
        if len(batch.angle_first) == 0:
            return bonds, None
        direction = vectors[: batch.n_short] / short
        return bonds, _embed_angles(w, batch, torch.cat([direction, -direction]))


def _embed_angles(w: Weights, batch: GraphBatch, direction: Tensor) -> Angles:
    """Angles between directed short bonds, whose unit vectors have shape (2 K, 3)."""
    cosine = (direction.index_select(0, batch.angle_first) * direction.index_select(0, batch.angle_second)).sum(1)
    edges = Edges(batch.angle_first, batch.angle_second % batch.n_short)
    basis = angle_basis(cosine, w["angle_basis_expansion.fourier_expansion.frequencies"])
    centre = torch.cat([batch.bond_i[: batch.n_short], batch.bond_j[: batch.n_short]])
    return Angles(expanded(basis, w["angle_embedding.weight"]), edges, centre)


def _read_out(w: Weights, atoms: Tensor) -> Tensor:
    """Energy of each atom in eV: (A, 64) to (A,)."""
    if "readout_norm.weight" in w:
        atoms = layer_norm(atoms, (WIDTH,), w["readout_norm.weight"], w["readout_norm.bias"], NORM_EPSILON)
    *hidden, last = [name.removesuffix(".weight") for name in w if name.startswith("mlp.layers.") and name.endswith(".weight")]
    for name in hidden:
        atoms = silu(linear(atoms, w[f"{name}.weight"], w[f"{name}.bias"]))
    return linear(atoms, w[f"{last}.weight"], w[f"{last}.bias"]).squeeze(1)


def _forces_and_stress(batch: GraphBatch, vectors: Tensor, slope: Tensor, task: str) -> dict[str, Tensor]:
    """Forces (A, 3) in eV/Å and stress (S, 3, 3) in GPa from dE/d(bond vector), shape (U, 3)."""
    out = {}
    if "f" in task:  # a bond's vector grows when its end moves along, and shrinks when its start does
        out["f"] = sum_by_owner(torch.cat([slope, -slope]), torch.cat([batch.bond_i, batch.bond_j]), len(batch.numbers))
    if "s" in task:
        virial = vectors[:, :, None] * slope[:, None, :]
        total = sum_by_owner(virial, batch.structure_of_bond, len(batch.volume))
        out["s"] = total * (GPA_PER_EV_PER_A3 / batch.volume).to(total.dtype)[:, None, None]
    return out
