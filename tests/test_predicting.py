"""Predictions of one's own structures into a file: what ASE and pandas read there against chgnet's own calculator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms, units
from ase.build import bulk
from chgnet.model.dynamics import CHGNetCalculator as Upstreams
from chgnet.model.model import CHGNet

from xfunc_core import cli, predicting
from xfunc_core.data import reading
from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.frame import Frame
from xfunc_core.model import frames as model_frames
from xfunc_core.quantities import Functional

Said = tuple[int, str, str]
Call = Callable[..., Said]


def good() -> list[Atoms]:
    magnesia = bulk("MgO", "rocksalt", a=4.3).repeat((2, 1, 1))
    magnesia.rattle(0.05, seed=1)
    iron = bulk("Fe", "bcc", a=2.9, cubic=True)
    iron.rattle(0.05, seed=2)
    return [magnesia, iron, bulk("Cu", a=3.7)]


def bad() -> dict[str, Atoms]:
    """Structures that CHGNet cannot take, by what is said of them."""
    salt = bulk("NaCl", "rocksalt", a=5.6)
    overlapping, americium, lost = salt.copy(), salt.copy(), salt.copy()
    overlapping.positions[1] = overlapping.positions[0] + 0.05
    americium.numbers[0] = 95
    lost.positions[0, 0] = np.nan
    return {
        "atoms 1 and 2 are 0.087 Å apart": overlapping,
        "site 1 holds Am, and CHGNet knows only hydrogen to plutonium": americium,
        "atom 1 has no neighbour within 6 Å": Atoms("He", cell=[20] * 3, pbc=True),
        "its coordinates are not finite": lost,
        "its cell does not repeat in all three directions (pbc)": Atoms("H2", [[0, 0, 0], [0, 0, 0.74]], cell=[5] * 3),
    }


@pytest.fixture(scope="module")
def upstreams() -> dict[str, Upstreams]:
    """chgnet's own calculators by the names of its checkpoints."""
    return {name: Upstreams(CHGNet.load(model_name=name, use_device="cpu", verbose=False), use_device="cpu") for name in ("0.3.0", "r2scan")}


@pytest.fixture
def call(bundled_home: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("XFUNC_HOME", str(bundled_home))

    def run(*words: str | Path) -> Said:
        capsys.readouterr()
        code = cli.main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A file of good frames with bad ones between them; two say that they were computed with functionals that xfunc does not compare."""
    frames = [frame for pair in zip([*good(), *good()[:2]], bad().values(), strict=True) for frame in pair]
    frames[0].info["functional"], frames[2].info["functional"] = "PBEsol", "HSE06"
    ase.io.write(tmp_path / "mixed.extxyz", frames)
    return tmp_path / "mixed.extxyz"


def assert_upstreams(found: Atoms, upstream: Upstreams) -> None:
    """To the rounding of float32, which angles near 180° amplify in forces; as the calculator is tested."""
    theirs = found.copy()
    theirs.calc = upstream
    assert found.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-5 * len(found))
    np.testing.assert_allclose(found.get_forces(), theirs.get_forces(), atol=2e-4)
    np.testing.assert_allclose(found.get_stress(), theirs.get_stress(), atol=1e-5)  # eV/Å³, Voigt, positive under tension
    np.testing.assert_allclose(found.get_magnetic_moments(), theirs.get_magnetic_moments(), atol=1e-5)


@pytest.mark.parametrize("model", ["0.3.0", "r2scan"])
def test_ase_reads_what_upstreams_calculator_gives(call: Call, mixed: Path, tmp_path: Path, upstreams: dict[str, Upstreams], model: str) -> None:
    code, out, err = call("predict", mixed, "--model", model, "--out", tmp_path / "out.extxyz")
    assert code == 0, err
    found = ase.io.read(tmp_path / "out.extxyz", ":")
    assert [atoms.info["source_frame"] for atoms in found] == [1, 3, 5, 7, 9]
    assert {atoms.info["model"] for atoms in found} == {f"chgnet {model}"}
    for atoms, given in zip(found, [*good(), *good()[:2]], strict=True):
        np.testing.assert_allclose(atoms.positions, given.positions, atol=1e-7)  # ASE wrote eight decimals
        assert atoms.pbc.all() and (atoms.numbers == given.numbers).all()
        assert_upstreams(atoms, upstreams[model])
    assert np.abs(found[0].get_stress()).max() > 1e-3 and np.abs(found[1].get_magnetic_moments()).max() > 1
    assert out.startswith(f"Wrote 5 of 10 frames of {mixed}")
    for place, reason in enumerate(bad(), start=1):
        assert f"Left out mixed-{2 * place}: {reason}." in out.splitlines()


def test_json_and_csv_hold_the_same_with_every_frame_that_was_left_out(call: Call, mixed: Path, tmp_path: Path) -> None:
    answers = {}
    for ending in ("extxyz", "json", "csv"):
        code, out, err = call("predict", mixed, "--out", tmp_path / f"out.{ending}", "--json")
        assert code == 0, err
        answers[ending] = json.loads(out)
    read = ase.io.read(tmp_path / "out.extxyz", ":")
    document = json.loads((tmp_path / "out.json").read_text())
    table = pd.read_csv(tmp_path / "out.csv")
    left_out = [{"source_frame": 2 * place, "frame_id": f"mixed-{2 * place}", "reason": reason} for place, reason in enumerate(bad(), start=1)]
    assert document["left_out"] == left_out
    assert all(answer["left_out"] == left_out and answer["n_frames"] == 10 and answer["n_predicted"] == 5 for answer in answers.values())
    assert table["source_frame"].tolist() == list(range(1, 11))
    assert table["left_out"].dropna().tolist() == list(bad())
    kept = table[table["left_out"].isna()]
    for atoms, frame, (_, row) in zip(read, document["frames"], kept.iterrows(), strict=True):
        assert frame["frame_id"] == row["frame_id"] == atoms.info["frame_id"]
        assert frame["energy"] == row["energy (eV)"] == atoms.get_potential_energy()
        assert frame["energy_per_atom"] == row["energy (eV/atom)"] == pytest.approx(atoms.get_potential_energy() / len(atoms), rel=1e-14)
        assert frame["forces"] == atoms.get_forces().tolist()
        assert row["largest force (eV/Å)"] == pytest.approx(np.sqrt((atoms.get_forces() ** 2).sum(1)).max(), rel=1e-12)
        in_gpa = [row[f"stress {component} (GPa)"] for component in ("xx", "yy", "zz", "yz", "xz", "xy")]
        assert frame["stress"] == in_gpa == pytest.approx(atoms.get_stress() / units.GPa, rel=1e-7)  # the constant of another CODATA
        assert frame["magmoms"] == atoms.get_magnetic_moments().tolist() and row["largest moment (μB)"] == max(frame["magmoms"])
    assert kept["formula"].tolist() == ["MgO", "Fe", "Cu", "MgO", "Fe"]


def test_energies_alone_leave_the_rest_out_of_the_file(call: Call, mixed: Path, tmp_path: Path) -> None:
    for task in ("e", "efsm"):
        assert call("predict", mixed, "--out", tmp_path / f"{task}.extxyz", "--task", task)[0] == 0
        assert call("predict", mixed, "--out", tmp_path / f"{task}.csv", "--task", task)[0] == 0
    alone, whole = (ase.io.read(tmp_path / f"{task}.extxyz", ":") for task in ("e", "efsm"))
    assert [set(atoms.calc.results) for atoms in alone] == [{"energy"}] * 5
    assert [a.get_potential_energy() for a in alone] == pytest.approx([a.get_potential_energy() for a in whole], abs=1e-5)
    assert pd.read_csv(tmp_path / "e.csv").filter(regex="force|stress|moment").isna().all(axis=None)


def test_a_dataset_is_predicted_frame_by_frame_whatever_the_blocks(call: Call, few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    energies = []
    for atoms in (reading.BLOCK_ATOMS, 5):
        monkeypatch.setattr(reading, "BLOCK_ATOMS", atoms)
        assert call("predict", "few", "--out", tmp_path / f"{atoms}.json")[0] == 0
        frames = json.loads((tmp_path / f"{atoms}.json").read_text())["frames"]
        assert [frame["frame_id"] for frame in frames] == few.table["frame_id"].tolist()
        energies.append([frame["energy"] for frame in frames])
    assert energies[0] == pytest.approx(energies[1], abs=1e-5)
    upstream = CHGNet.load(use_device="cpu", verbose=False)
    theirs = [float(upstream.predict_structure(few.structure(row), task="e")["e"]) * few.table["n_atoms"][row] for row in range(3)]
    assert energies[0][:3] == pytest.approx(theirs, abs=1e-5)


def test_folders_of_cif_and_poscar_are_read_and_one_bad_file_is_named(call: Call, tmp_path: Path, upstreams: dict[str, Upstreams]) -> None:
    folder = tmp_path / "structures"
    (folder / "deep").mkdir(parents=True)
    magnesia, iron, _ = good()
    ase.io.write(folder / "a.cif", magnesia)
    ase.io.write(folder / "deep" / "POSCAR", iron, format="vasp")
    (folder / "b.vasp").write_text("nothing\n")
    ase.io.write(folder / "deep" / "c.extxyz", iron)
    code, out, err = call("predict", folder, "--out", tmp_path / "out.xyz")
    assert code == 0, err
    found = ase.io.read(tmp_path / "out.xyz", ":", format="extxyz")
    assert [atoms.info["frame_id"] for atoms in found] == ["a", "deep/POSCAR"]
    for atoms in found:
        assert_upstreams(atoms, upstreams["0.3.0"])
    assert "Wrote 2 of 3 frames" in out and "Left out b: " in out
    assert "Only CIF files and POSCARs are read in a folder; passed over: deep/c.extxyz." in out


def test_predictions_are_imported_again_as_they_are(call: Call, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("predict", mixed, "--out", tmp_path / "out.extxyz")[0] == 0
    monkeypatch.setenv("XFUNC_HOME", str(tmp_path / "home"))
    code, _, err = call("import", tmp_path / "out.extxyz")
    assert code == 1 and "does not name its functional" in err  # a model's numbers are not taken for a functional's unasked
    assert call("import", tmp_path / "out.extxyz", "--functional", "pbe", "--name", "again")[0] == 0
    again = Dataset(tmp_path / "home" / "datasets" / "again")
    read = ase.io.read(tmp_path / "out.extxyz", ":")
    assert again.table["energy"].tolist() == [atoms.get_potential_energy() for atoms in read]
    np.testing.assert_allclose(again.frame_array("stress"), [atoms.get_stress() / units.GPa for atoms in read], rtol=1e-7)


def test_the_models_holes_are_told(call: Call, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "polonium.extxyz", [Atoms("Po", cell=[3.3] * 3, pbc=True), *good()])
    code, out, _ = call("predict", tmp_path / "polonium.extxyz", "--out", tmp_path / "out.csv")
    assert code == 0 and "Nothing was fitted for the reference energies of Po in 1 frame:" in out
    data = json.loads(call("predict", tmp_path / "polonium.extxyz", "--out", tmp_path / "out.json", "--json")[1])
    assert data["without_reference"] == {"Po": 1}
    assert data["model"]["functional"] == "pbe" and any("PBE" in note for note in data["notes"])


# --- what is wrong ---------------------------------------------------------------------------------


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(call: Call, mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine")
    code, out, err = call("predict", mixed, "--out", tmp_path / "out.csv")
    assert (code, out) == (1, "") and "give --replace" in err
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert call("predict", mixed, "--out", tmp_path / "out.csv", "--replace")[0] == 0
    assert len(pd.read_csv(tmp_path / "out.csv")) == 10


def test_the_structures_are_never_replaced_by_their_predictions(call: Call, mixed: Path, tmp_path: Path) -> None:
    before = mixed.read_bytes()
    (tmp_path / "link.xyz").symlink_to(mixed)
    for out in (mixed, tmp_path / "link.xyz"):
        code, _, err = call("predict", mixed, "--out", out, "--replace")
        assert code == 1 and "is the file that the structures come from: choose another" in err
    assert mixed.read_bytes() == before and left_in(tmp_path) == {mixed.name, "link.xyz"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_ends_early_leaves_the_old_file_and_nothing_else(call: Call, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    (tmp_path / "out.json").write_text("mine")
    predict, calls = model_frames.predict_frames, []

    def once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) > 1:
            raise error
        return predict(*arguments)

    monkeypatch.setattr(model_frames, "predict_frames", once)
    monkeypatch.setattr(reading, "BLOCK_FRAMES", 2)
    if error is KeyboardInterrupt:
        assert call("predict", mixed, "--out", tmp_path / "out.json", "--replace")[0] == 130
    else:
        with pytest.raises(error):
            call("predict", mixed, "--out", tmp_path / "out.json", "--replace")
    assert len(calls) == 2
    assert (tmp_path / "out.json").read_text() == "mine" and left_in(tmp_path) == {"mixed.extxyz", "out.json"}


def test_a_cut_file_is_said_before_anything_is_predicted(call: Call, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed.write_text("\n".join(mixed.read_text().splitlines()[:-1]))
    monkeypatch.setattr(predicting, "predict_into", lambda *_, **__: pytest.fail("it predicts"))
    code, _, err = call("predict", mixed, "--out", tmp_path / "out.csv")
    assert code == 1 and "the file may be cut" in err and left_in(tmp_path) == {"mixed.extxyz"}


def test_a_file_without_a_usable_frame_gives_no_file(call: Call, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "in.extxyz", list(bad().values()))
    code, _, err = call("predict", tmp_path / "in.extxyz", "--out", tmp_path / "out.csv")
    assert code == 1 and "none of the 5 frames" in err and "atoms 1 and 2 are 0.087 Å apart" in err
    assert left_in(tmp_path) == {"in.extxyz"}


def test_the_only_frame_is_not_counted(call: Call, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "in.extxyz", Atoms("He", cell=[20] * 3, pbc=True))
    code, _, err = call("predict", tmp_path / "in.extxyz", "--out", tmp_path / "out.csv")
    assert code == 1 and "CHGNet cannot take the only frame, so nothing was written: atom 1 has no neighbour within 6 Å." in err


def test_a_dataset_that_hides_a_file_of_its_name_is_said(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ase.io.write("few", bulk("Cu"), format="extxyz")
    said = call("predict", "few", "--out", "a.csv", "--task", "e")[1]
    assert "few is the dataset of that name; write ./few for the file here." in said and len(pd.read_csv("a.csv")) > 1
    assert "is the dataset" not in call("predict", "./few", "--out", "b.csv", "--task", "e")[1] and len(pd.read_csv("b.csv")) == 1


def test_more_than_a_screen_of_frames_left_out_is_counted(call: Call, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "in.extxyz", [bulk("Cu"), *[Atoms("He", cell=[20] * 3, pbc=True)] * 23])
    lines = call("predict", tmp_path / "in.extxyz", "--out", tmp_path / "out.csv")[1].splitlines()
    assert sum(line.startswith("Left out in-") for line in lines) == 20
    assert lines[-1] == "Left out 3 more frames: --json lists all."


MISTAKES = [
    (("nothing", "--out", "a.csv"), "no dataset 'nothing'"),
    (("nothing.cif", "--out", "a.csv"), "There is no nothing.cif"),
    (("few", "--out", "a.txt"), "tells no format"),
    (("few", "--out", "nowhere/a.csv"), "no folder nowhere"),
    (("few", "--out", "a.csv", "--model", "nothing"), "no model 'nothing'"),
    (("few", "--out", "a.csv", "--model", "/nowhere/model.pt"), "no file /nowhere/model.pt"),
    (("few", "--out", "a.csv", "--model", "pyproject.toml"), "pyproject.toml was not written by torch"),
    (("few", "--out", "a.csv", "--format", "extxyz"), "few is a dataset"),
    (("few", "--out", "a.csv", "--background"), "leave out --background"),
    (("few", "--model", "r2scan"), "name it with --out"),
    (("pyproject.toml",), "it is a file, so import it first (`python -m xfunc_core import pyproject.toml`), or have a model predict it (`predict pyproject.toml --out FILE`)"),
]


@pytest.mark.parametrize(("words", "phrase"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_sentence(words: tuple[str, ...], phrase: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]")
    monkeypatch.chdir(tmp_path)
    code, out, err = call("predict", *words)
    said = [line for line in err.splitlines() if not line.endswith("…")]
    assert (code, out) == (1, "") and len(said) == 1 and phrase in said[0]
    assert left_in(tmp_path) == {"pyproject.toml"}


def test_cuda_without_a_gpu_is_refused(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xfunc_core.answers.training.gpu_ids", lambda: ())
    code, _, err = call("predict", "few", "--out", tmp_path / "a.csv", "--device", "cuda")
    assert code == 1 and "no GPU" in err


def test_an_id_that_extended_xyz_cannot_hold_is_said_before_anything_is_predicted(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a\\b.cif").write_text("")
    ase.io.write(tmp_path / "a\\b.cif", bulk("Cu"), format="cif")
    code, _, err = call("predict", tmp_path / "a\\b.cif", "--out", tmp_path / "out.extxyz")
    assert code == 1 and "cannot be written to extended XYZ" in err and "Loading" not in err
    assert call("predict", tmp_path / "a\\b.cif", "--out", tmp_path / "out.csv")[0] == 0


def test_a_number_that_is_not_finite_costs_its_frame_alone(fresh: Callable[[], Any]) -> None:
    engine = fresh()
    engine.references[28] = 1e308  # copper: its two atoms together are beyond float64
    batch = FrameBatch.of([Frame(str(i), str(i), Functional.PBE, a.numbers.astype(np.uint8), np.asarray(a.cell), a.positions) for i, a in enumerate([*good()[:2], bulk("Cu").repeat((2, 1, 1))])])
    taken, kept, reasons = model_frames.predict_frames(engine, batch)
    assert kept.tolist() == [0, 1] and list(taken.frame_ids) == ["0", "1"] and len(taken.forces) == len(taken.numbers) == 6
    assert reasons == {2: "the model gives a number for it that is not finite"}
