"""References of both functionals of the same frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.data.importing import import_file
from xfunc_core.data.pairs import Pairs, pair_by_id
from xfunc_core.elements import Z_OF
from xfunc_core.errors import ConfigError
from xfunc_core.references.paired import PairedScheme, available_schemes, paired_references

CL, NA, K = (Z_OF[s] - 1 for s in ("Cl", "Na", "K"))


def document(frame: str, functional: str, symbols: list[str], energy: float | None) -> dict:
    """A MatPES document of a cubic cell."""
    sites = [{"species": [{"element": s, "occu": 1}], "abc": [i / len(symbols)] * 3} for i, s in enumerate(symbols)]
    structure = {"lattice": {"matrix": (4 * np.eye(3)).tolist()}, "sites": sites}
    return {"matpes_id": frame, "functional": functional, "structure": structure, "energy": energy, "forces": [[0.0] * 3] * len(symbols), "stress": [0.0] * 6}


@pytest.fixture
def paired(tmp_path: Path):
    """Pairs of frames given as (symbols, PBE energy, r²SCAN energy), total eV."""

    def of(*frames: tuple[list[str], float | None, float | None]) -> Pairs:
        for column, name in ((1, "PBE"), (2, "r2SCAN")):
            (tmp_path / f"{name}.json").write_text(json.dumps([document(f"f{i}", name, f[0], f[column]) for i, f in enumerate(frames)]))
        return pair_by_id(*(import_file(tmp_path / f"{name}.json", tmp_path, name=name.lower())[0] for name in ("PBE", "r2SCAN")))

    return of


def test_least_squares_finds_each_functionals_references(paired) -> None:
    pairs = paired((["Na"], -1.0, -2.0), (["Cl", "Cl"], -4.0, -10.0), (["Na", "Cl"], -3.0, -7.0))
    found = paired_references(pairs, PairedScheme.LSTSQ)
    np.testing.assert_allclose(found.pbe[[NA, CL]], [-1.0, -2.0])
    np.testing.assert_allclose(found.r2scan[[NA, CL]], [-2.0, -5.0])
    assert np.isnan(found.pbe[K]) and np.isfinite(found.pbe).sum() == 2
    assert found.undetermined == 0


def test_both_are_fitted_on_the_frames_that_have_both_energies(paired) -> None:
    pairs = paired((["Na"], -1.0, -2.0), (["Na", "Cl"], -3.0, -7.0), (["Cl"], -9.0, None), (["K"], None, -3.0))
    found = paired_references(pairs, PairedScheme.LSTSQ)
    assert found.undetermined == 0
    np.testing.assert_allclose(found.pbe[[NA, CL]], [-1.0, -2.0])  # the −9 eV without a partner does not enter
    assert np.isnan([found.pbe[K], found.r2scan[K]]).all()


def test_fixed_ratios_are_counted(paired) -> None:
    assert paired_references(paired((["Na", "Cl"], -3.0, -7.0)), PairedScheme.LSTSQ).undetermined == 1


def test_no_common_energy_is_said(paired) -> None:
    with pytest.raises(ConfigError, match="no reference energies can be fitted"):
        paired_references(paired((["Na"], -1.0, None), (["Na"], None, -1.0)), PairedScheme.LSTSQ)


def test_isolated_atoms_are_taken_from_the_data(elements, bundled_home: Path) -> None:
    from xfunc_core.data.library import open_dataset

    pairs = pair_by_id(open_dataset(bundled_home / "datasets", "matpes-elements-pbe"), elements)
    assert available_schemes(pairs) == [PairedScheme.LSTSQ, PairedScheme.ISOLATED_ATOMS, PairedScheme.ATOMREF, PairedScheme.MATPES_ATOMS]
    found = paired_references(pairs, PairedScheme.ISOLATED_ATOMS)
    for symbol, energy in elements.info.isolated_atoms.items():
        assert found.r2scan[Z_OF[symbol] - 1] == energy
    assert np.isfinite(found.r2scan).sum() == len(elements.info.isolated_atoms)
    assert found.undetermined == 0


def test_data_without_isolated_atoms_offers_least_squares_only(paired) -> None:
    assert available_schemes(paired((["Na"], -1.0, -2.0))) == [PairedScheme.LSTSQ, PairedScheme.ATOMREF, PairedScheme.MATPES_ATOMS]
