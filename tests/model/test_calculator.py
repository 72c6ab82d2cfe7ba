"""The ASE calculator against chgnet's own: single points, a relaxation, and atoms that are no crystal."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import CalculatorSetupError
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from chgnet.model.dynamics import CHGNetCalculator as Upstreams
from chgnet.model.model import CHGNet

from xfunc_core.model.calculator import CHGNetCalculator
from xfunc_core.model.weights import save_engine

pytestmark = pytest.mark.usefixtures("one_thread")


def rattled(atoms: Atoms, seed: int) -> Atoms:
    atoms.rattle(0.08, seed=seed)
    atoms.set_cell(atoms.cell @ (np.eye(3) + np.random.default_rng(seed).normal(0, 0.02, (3, 3))), scale_atoms=True)
    return atoms


CRYSTALS = [
    rattled(bulk("NaCl", "rocksalt", a=5.6).repeat((2, 1, 1)), 1),
    rattled(bulk("Fe", cubic=True), 2),
    rattled(bulk("GaAs", "zincblende", a=5.7, cubic=True), 3),
    bulk("Cu"),
    rattled(bulk("MgO", "rocksalt", a=4.2, cubic=True), 4),
]


@pytest.fixture(scope="module")
def upstream() -> Upstreams:
    return Upstreams(CHGNet.load(use_device="cpu", verbose=False), use_device="cpu")


def with_calculator(atoms: Atoms, calculator) -> Atoms:
    copy = atoms.copy()
    copy.calc = calculator
    return copy


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda atoms: str(atoms.symbols))
def test_single_points_are_upstreams(crystal: Atoms, upstream: Upstreams) -> None:
    ours, theirs = with_calculator(crystal, CHGNetCalculator()), with_calculator(crystal, upstream)
    n = len(crystal)
    assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-5 * n)  # float32 in upstream
    assert ours.get_potential_energy(force_consistent=True) == ours.get_potential_energy()
    np.testing.assert_allclose(ours.get_forces(), theirs.get_forces(), atol=2e-4)  # float32, which angles near 180° amplify
    np.testing.assert_allclose(ours.get_stress(), theirs.get_stress(), atol=1e-5)  # eV/Å³
    np.testing.assert_allclose(ours.get_magnetic_moments(), theirs.get_magnetic_moments(), atol=1e-5)
    assert ours.get_stress().shape == (6,) and np.abs(ours.get_stress()).max() > 1e-4


def test_stress_is_the_slope_of_the_energy_in_ases_units(fresh) -> None:
    atoms = with_calculator(CRYSTALS[0], CHGNetCalculator(fresh().double()))
    analytic, h = atoms.get_stress(voigt=False), 1e-5
    for i, j in ((0, 0), (1, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * h
            strained = atoms.copy()
            strained.set_cell(atoms.cell @ strain, scale_atoms=True)
            energies.append(with_calculator(strained, atoms.calc).get_potential_energy())
        assert analytic[i, j] == pytest.approx((energies[0] - energies[1]) / (2 * h) / atoms.get_volume(), abs=1e-7)


def test_relaxation_ends_where_upstreams_does(upstream: Upstreams) -> None:
    relaxed = []
    for calculator in (CHGNetCalculator(), upstream):
        atoms = with_calculator(CRYSTALS[4], calculator)
        optimizer = BFGS(FrechetCellFilter(atoms), logfile=None)
        assert optimizer.run(fmax=0.02, steps=100)
        relaxed.append((atoms, optimizer.nsteps))
    (ours, n_ours), (theirs, n_theirs) = relaxed
    assert n_ours > 3 and abs(n_ours - n_theirs) <= 1
    assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-3)
    np.testing.assert_allclose(ours.cell.cellpar(), theirs.cell.cellpar(), rtol=2e-3)


def test_checkpoint_is_what_computes(fresh, tmp_path: Path) -> None:
    model = fresh()
    model.references += 1.0
    save_engine(model, tmp_path / "model.pt")
    before, after = (with_calculator(CRYSTALS[0], CHGNetCalculator(m)).get_potential_energy() for m in (None, tmp_path / "model.pt"))
    assert after - before == pytest.approx(len(CRYSTALS[0]), abs=1e-4)


def test_energies_alone_leave_forces_to_be_computed_when_asked_for() -> None:
    atoms = with_calculator(CRYSTALS[0], CHGNetCalculator())
    atoms.get_potential_energy()
    assert "forces" not in atoms.calc.results
    assert atoms.get_forces().shape == (len(atoms), 3)


@pytest.mark.parametrize("flushes", [False, True])
def test_denormals_of_the_caller_stay_as_they_were(flushes: bool) -> None:
    """Python's, numpy's and torch's alike: the mode is one of the thread."""
    atoms = with_calculator(CRYSTALS[3], CHGNetCalculator())
    torch.set_flush_denormal(flushes)
    try:
        atoms.get_potential_energy()
        halves = np.array([np.finfo(np.float64).tiny]) / 2, torch.tensor([torch.finfo(torch.float32).tiny]) / 2
    finally:
        torch.set_flush_denormal(False)
    assert [bool(half[0] == 0) for half in halves] == [flushes, flushes]


@pytest.mark.parametrize(
    ("atoms", "reason"),
    [
        (molecule("H2O"), "knows only crystals: set atoms\\.pbc = True"),
        (Atoms("He", cell=[9, 9, 9], pbc=True), "cannot take these 1 atoms, here counted from 1: atom 1 has no neighbour within 6 Å"),
        (Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.1]], cell=[5, 5, 5], pbc=True), "atoms 1 and 2 are 0.1 Å apart"),
        (Atoms("Cf", cell=[3, 3, 3], pbc=True), "atomic number 98, and CHGNet knows 1 to 94"),
        (Atoms("Cu", positions=[[np.nan, 0, 0]], cell=[3, 3, 3], pbc=True), "the position of atom 1 is not finite"),
        (Atoms("Cu", pbc=True), "its cell has a volume of 0 Å³"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_atoms_that_are_no_crystal_are_refused_with_the_reason(atoms: Atoms, reason: str) -> None:
    atoms.calc = CHGNetCalculator()
    with pytest.raises(CalculatorSetupError, match=reason):
        atoms.get_potential_energy()


def test_snippet_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).resolve().parent.parent.parent / "docs" / "training.md").read_text()
    [snippet] = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "CHGNetCalculator" in block]
    said = []
    for text in (
        snippet,
        snippet.replace("xfunc_core.model.calculator", "chgnet.model.dynamics").replace(
            'CHGNetCalculator("0.3.0", device="cpu")', "CHGNetCalculator(use_device='cpu')"
        ),
    ):
        exec(compile(text, "docs/training.md", "exec"), {})
        said.append(capsys.readouterr().out.splitlines()[-1])
    assert re.fullmatch(r"a = 4\.\d\d Å, -6\.\d\d eV/atom", said[0])
    assert said[0] == said[1]  # chgnet relaxes to the same, to the digits shown


def test_small_cells_take_one_thread_and_leave_the_callers(fresh) -> None:
    before, used = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        model = fresh()
        model.register_forward_hook(lambda *_: used.append(torch.get_num_threads()))
        atoms = bulk("Si")
        atoms.calc = CHGNetCalculator(model)
        atoms.get_forces()
        assert used == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
