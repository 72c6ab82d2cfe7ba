"""The bundled table against the checkpoints in the chgnet wheel and the MatPES documents it was taken from."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.data.library import open_dataset
from xfunc_core.elements import SYMBOLS, Z_OF
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Functional
from xfunc_core.references.published import ATOMREFS, SILENT_HOLES, atomref, holes, matpes_atoms, matpes_solids, silent_holes_in

CHECKPOINTS = {
    "mptrj": "0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
    "r2scan": "r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
}


def shipped(name: str) -> np.ndarray:
    """The AtomRef of a checkpoint in the wheel, float32, shape (94,)."""
    import torch

    folder = Path(find_spec("chgnet").submodule_search_locations[0]) / "pretrained"
    saved = torch.load(folder / CHECKPOINTS[name], map_location="cpu", weights_only=True)
    return saved.get("model", saved)["state_dict"]["composition_model.fc.weight"].numpy().ravel()


@pytest.mark.parametrize("name", ATOMREFS)
def test_atomref_is_that_of_the_checkpoint_to_the_last_bit(name: str) -> None:
    stored = atomref(name, as_stored=True)
    assert stored.dtype == np.float64
    np.testing.assert_array_equal(stored.astype(np.float32), shipped(name))
    known = ~holes(name)
    np.testing.assert_array_equal(atomref(name)[known], stored[known])
    assert [SYMBOLS[i] for i in np.flatnonzero(np.isnan(atomref(name)))] == sorted(SILENT_HOLES[name], key=Z_OF.__getitem__)


def test_holes_of_r2scan_are_where_the_checkpoint_holds_rounding_noise() -> None:
    assert {SYMBOLS[i] for i in np.flatnonzero(np.abs(shipped("r2scan")) < 1e-6)} == set(SILENT_HOLES["r2scan"])
    fitted = [i for i in range(94) if SYMBOLS[i] not in SILENT_HOLES["mptrj"]]
    hole = np.setdiff1d(np.arange(94), fitted)
    assert np.abs(shipped("mptrj")[fitted]).min() < np.abs(shipped("mptrj")[hole]).min()  # so no threshold could tell those of mptrj


def test_shift_is_that_of_the_paper() -> None:
    shift = atomref("r2scan") - atomref("mptrj")
    found = {symbol: shift[Z_OF[symbol] - 1] for symbol in ("H", "Li", "O", "Fe", "U", "Pu")}
    assert found == pytest.approx({"H": -0.026, "Li": -0.490, "O": -0.738, "Fe": -6.02, "U": -69.89, "Pu": -73.29}, abs=6e-3)
    z = np.flatnonzero(np.isfinite(shift)) + 1
    assert np.polyfit(z, shift[z - 1], 1)[0] == pytest.approx(-0.69, abs=0.02)


def test_isolated_atoms_shift_as_the_fitted_tables_do() -> None:
    """Two sources that know nothing of each other, so a column that were mixed up would show."""
    shift = atomref("r2scan") - atomref("mptrj")
    delta = matpes_atoms(Functional.R2SCAN) - matpes_atoms(Functional.PBE)
    both = np.isfinite(shift) & np.isfinite(delta)
    assert both.sum() == 88
    assert np.corrcoef(shift[both], delta[both])[0, 1] > 0.999
    assert np.abs(shift - delta)[both].mean() < 0.6  # eV/atom, of shifts down to −73


@pytest.mark.parametrize("functional", list(Functional))
def test_matpes_energies_are_those_of_the_bundled_documents(bundled_home: Path, functional: Functional) -> None:
    dataset = open_dataset(bundled_home / "datasets", f"matpes-elements-{functional.value}")
    atoms, solids = matpes_atoms(functional), matpes_solids(functional)
    assert np.isfinite(atoms).sum() == np.isfinite(solids).sum() == 89
    assert {s: atoms[Z_OF[s] - 1] for s in dataset.info.isolated_atoms} == dataset.info.isolated_atoms
    np.testing.assert_array_equal(dataset.energy_per_atom, solids[dataset.composition.argmax(axis=1)])


def test_tables_cannot_be_changed_by_who_looks_them_up() -> None:
    for table in (lambda: atomref("mptrj", as_stored=True), lambda: matpes_atoms(Functional.PBE), lambda: matpes_solids(Functional.R2SCAN)):
        table()[0] = 99.0
        assert table()[0] < 0


def test_holes_in_data_are_named(fractions) -> None:
    x = fractions({"Yb": 2, "O": 3}, {"Ra": 1, "Fe": 1})
    assert silent_holes_in(x) == ("Yb", "Ra")
    assert silent_holes_in(x, "mptrj") == ("Ra",)
    assert silent_holes_in(fractions({"Lu": 1})) == ()


def test_unknown_table_is_refused() -> None:
    with pytest.raises(ConfigError, match="'pbe': choose one of mptrj, r2scan"):
        atomref("pbe")
