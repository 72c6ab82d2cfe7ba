"""A CHGNet of any checkpoint as an ASE calculator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator, CalculatorSetupError, all_changes

from xfunc_core.data.frame import matrix_to_voigt
from xfunc_core.model.device import usable_device
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.graphs import GraphError, StructureGraph, build_graph
from xfunc_core.model.named import PRETRAINED, named_model
from xfunc_core.model.network import Engine
from xfunc_core.model.packing import structure_costs, threads_for
from xfunc_core.model.weights import load_engine


class CHGNetCalculator(Calculator):
    """Energy (eV), forces (eV/Å), stress (eV/Å³, Voigt, positive under tension) and absolute magnetic moments (μB) of a crystal.

    An atom without neighbour within 6 Å is an error, where chgnet's own calculator warns and goes on: no training data hold
    such an atom, so its energy means nothing, and dynamics that lose one should stop.

    Raises, from any property:
        ase.calculators.calculator.CalculatorSetupError: the atoms are not periodic in all directions, or have no crystal
            graph; the message says why.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress", "magmoms"]

    def __init__(self, model: Engine | Path | str | None = None, device: str = "cpu", **options: Any) -> None:
        """Set up for a model.

        Args:
            model: what computes, CHGNet 0.3.0 if it is None; or its name: one of chgnet's (``0.3.0``, ``r2scan``, ``0.2.0``), a run's
                id or folder, or the path of a checkpoint that chgnet or xfunc wrote.
            device: where: ``cpu``, ``cuda`` or ``cuda:0``.
            options: those of ASE's ``Calculator``.

        Raises:
            DataError: there is no such model, or the checkpoint cannot be used.
            ConfigError: the device is none that CHGNet runs on here.
            RunError: the run has no model yet, or the GPU is not there.
        """
        super().__init__(**options)
        where = usable_device(device)
        self.model = (model if isinstance(model, Engine) else load_engine(named_model(PRETRAINED if model is None else str(model)).path)).to(where)

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] | None = None, system_changes: Sequence[str] = all_changes
    ) -> None:
        """Compute what is asked for into ``results``; ASE calls this. Energies alone take half of the time."""
        super().calculate(atoms, list(properties or self.implemented_properties), list(system_changes))
        slopes = {"forces", "stress"} & set(properties or self.implemented_properties)
        graph = _graph(self.atoms)
        batch = collate([graph], next(self.model.network.parameters()).dtype).to(self.model.references.device)
        with torch.no_grad(), _flushed_denormals(), _threads_worth_using(graph):
            out = {key: value.double().cpu().numpy() for key, value in self.model(batch, "efsm" if slopes else "em").items()}
        energy = float(out["e"][0]) * len(self.atoms)
        self.results = {"energy": energy, "free_energy": energy, "magmoms": out["m"]}
        if slopes:
            self.results |= {"forces": out["f"], "stress": matrix_to_voigt(out["s"])[0] * units.GPa}


@contextlib.contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Some CPU kernels run a hundred times slower on denormals; whoever calls keeps theirs."""
    flushed_before = (torch.tensor(torch.finfo(torch.float32).tiny) / 2).item() == 0  # torch sets the mode, but does not tell it
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)


@contextlib.contextmanager
def _threads_worth_using(graph: StructureGraph) -> Iterator[None]:
    """More threads than a small cell keeps busy wait for each other, longest where others want the processor, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads_for(float(structure_costs([graph])[0]), before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _graph(atoms: Atoms) -> StructureGraph:
    if not np.all(atoms.pbc):
        raise CalculatorSetupError(
            "CHGNet knows only crystals: set atoms.pbc = True, with a cell that leaves a slab or molecule its vacuum."
        )
    try:
        return build_graph(atoms.numbers, np.asarray(atoms.cell), atoms.positions)
    except GraphError as error:
        raise CalculatorSetupError(f"CHGNet cannot take these {len(atoms)} atoms, here counted from 1: {error}.") from error
