"""`references` and `predict` as users and scripts meet them: values by numpy, tables that other programs read, one sentence for what is wrong."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xfunc_core import cli
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import open_dataset
from xfunc_core.elements import SYMBOLS
from xfunc_core.prediction_store import PredictionStore
from xfunc_core.predictions import jobs_of, predictions
from xfunc_core.quantities import Functional
from xfunc_core.runs.folder import list_runs
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings

R2SCAN = "xfunc-dft-r2scan"
FAST = ("--refits", "5")
Said = tuple[int, str, str]
Call = Callable[..., Said]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data home for the tests of this file."""
    path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OMP_NUM_THREADS", "1")
        yield path


@pytest.fixture
def call(home: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("XFUNC_HOME", str(home))

    def run(*words: str | Path) -> Said:
        capsys.readouterr()
        code = cli.main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


def answered(said: Said) -> Any:
    """The JSON of a command that went well."""
    code, out, err = said
    assert code == 0, err
    return json.loads(out, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


# --- side by side -----------------------------------------------------------------------------


def test_side_by_side_names_the_recommended_scheme_and_the_scale(call: Call) -> None:
    code, out, err = call("references", R2SCAN, *FAST)
    assert code == 0, err
    assert "Fitted on the 65 training frames of xfunc-dft · r²SCAN" in out
    row = next(line for line in out.splitlines() if line.startswith("residual-smooth "))
    assert row.split()[1:4] == ["47.9", "58.3", "14"]
    assert row.endswith("recommended")
    assert next(line for line in out.splitlines() if line.startswith("keep ")).split()[1:3] == ["4,567.0", "5,625.8"]
    assert "Recommended: residual-smooth." in out
    assert "also has the lowest test MAE of all schemes" in out
    assert "do not fit the energy scale of these data" in out
    assert "nan" not in out


def test_json_has_every_scheme_with_errors_interval_and_worst_elements(call: Call) -> None:
    data = answered(call("references", R2SCAN, *FAST, "--json"))
    assert set(data["schemes"]) >= {"keep", "lstsq", "residual", "residual-smooth", "delta-gauge", "ridge-to-prior", "robust"}
    smooth = data["schemes"]["residual-smooth"]
    assert smooth["test"]["mae"] == pytest.approx(0.0479, abs=5e-5)
    assert smooth["test_interval"]["low"] <= smooth["test"]["mae"] <= smooth["test_interval"]["high"]
    assert len(smooth["worst"]) == 3
    assert data["recommendation"]["name"] == "residual-smooth"
    assert (data["unit"], data["refits"], data["rank"], data["elements"]) == ("eV/atom", 5, 39, 43)


# --- one scheme ---------------------------------------------------------------------------------


def test_one_scheme_by_element_equals_numpy(call: Call, home: Path) -> None:
    data = answered(call("references", R2SCAN, "--scheme", "lstsq", *FAST, "--json"))
    dataset = open_dataset(home / "datasets", R2SCAN)
    train = make_plan(FinetuneSettings(R2SCAN), dataset).split.train
    w = np.linalg.lstsq(dataset.composition[train], dataset.energy_per_atom[train], rcond=None)[0]
    fitted = [symbol for symbol, status in data["status"].items() if status == "fitted"]
    assert fitted == [SYMBOLS[i] for i in np.flatnonzero(dataset.composition[train].any(axis=0))]
    assert [data["energies"][s] for s in fitted] == pytest.approx([w[SYMBOLS.index(s)] for s in fitted], abs=1e-8)
    code, out, _ = call("references", R2SCAN, "--scheme", "lstsq", *FAST)
    assert code == 0
    [row] = [line.split() for line in out.splitlines() if line.startswith("O ")]
    assert row[:3] == ["O", "8", f"{w[7]:.3f}".replace("-", "−")]
    assert "43 elements, rank 39: 4 combinations of their energies are left open" in out


def test_diagnosis_speaks(call: Call) -> None:
    code, out, _ = call("references", R2SCAN, "--diagnose", *FAST)
    assert code == 0
    for phrase in (
        "C and Si only ever occur 1:1 here: only their sum is determined.",
        "Al and Pt only ever occur 2:1 here: only 2 Al + Pt is determined.",
        "26 independent reaction energies",
        "w − w_GGA changes by −0.22 eV per Z",
        "chgnet r2scan (MP-r²SCAN)",
        "Least squares on total energies instead of per atom moves",
    ):
        assert phrase in out, phrase
    data = answered(call("references", R2SCAN, "--diagnose", "--scheme", "residual", *FAST, "--json"))
    assert data["scheme"] == "residual"
    assert sum(data["diagnosis"]["leverages"]) == pytest.approx(39)


def test_elements_that_training_lacks_are_shown_with_what_a_run_would_take(call: Call) -> None:
    words = ("references", R2SCAN, "--scheme", "lstsq", "--train-size", "16", *FAST)
    [row] = [line.split() for line in call(*words)[1].splitlines() if line.startswith("Cl ")]
    smooth = answered(call("references", R2SCAN, "--scheme", "residual-smooth", "--train-size", "16", *FAST, "--json"))
    assert (row[1], row[2], row[-1]) == ("0", f"{smooth['energies']['Cl']:.3f}".replace("-", "−"), "prior")
    [bare] = [line.split() for line in call(*words, "--missing-references", "fail")[1].splitlines() if line.startswith("Cl ")]
    assert (bare[2], bare[-1]) == ("0.000", "unknown")


def test_learning_curve_ends_at_the_whole_subset(call: Call) -> None:
    code, out, _ = call("references", R2SCAN, "--learning-curve", "--train-size", "16")
    assert code == 0
    assert "elements covered" in out
    row = next(line for line in out.splitlines() if line.startswith("residual-smooth "))
    assert row.split()[-1] == "152.2"  # docs/references.md


def test_silent_holes_of_shipped_models_are_told_and_predictions_go_with_the_dataset(call: Call, home: Path, tmp_path: Path) -> None:
    from xfunc_core.model.named import shipped_checkpoint

    crystal = '{n}\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 energy=-8.0 pbc="T T T"\n{a} 0 0 0\n{b} 2 2 2\n'
    (tmp_path / "holes.xyz").write_text("".join(crystal.format(n=2, a=a, b=b) for a, b in (("Yb", "O"), ("Na", "Po"), ("Na", "Cl"))))
    import_file(tmp_path / "holes.xyz", home / "datasets", name="holes", functional=Functional.R2SCAN, energies="total")
    for model, told in ((shipped_checkpoint("r2scan"), "no reference energy for Yb, Po, without saying so: the energies of 2 of these frames may be off"), ("pretrained", "no reference energy for Po, without saying so: the energies of 1 of these frames may be off")):  # fmt: skip
        code, out, err = call("evaluate", model, "holes")
        assert code == 0, err
        assert told in out
        assert "no reference energy for" not in call("evaluate", model, R2SCAN)[1]
    assert call("predict", "holes")[0] == 0
    store = PredictionStore.of(open_dataset(home / "datasets", "holes")).path
    assert store.is_dir()
    assert call("datasets", "holes", "--delete")[0] == 0
    assert not store.exists()


# --- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["mace", "chgnet", "fairchem", "matpes"])
def test_exported_table_comes_back_with_the_same_errors(call: Call, tmp_path: Path, format_: str) -> None:
    file = tmp_path / "table"
    code, out, err = call("references", R2SCAN, "--scheme", "residual", *FAST, "--export", format_, file)
    assert code == 0, err
    assert "94 reference energies of residual" in out
    data = answered(call("references", R2SCAN, *FAST, "--import", file, "--json"))["schemes"]
    assert data["table"]["test"] == pytest.approx(data["residual"]["test"])
    assert data["table"]["external"]
    if format_ == "mace":
        energies = ast.literal_eval(file.read_text())
        assert list(energies) == list(range(1, 95))


def test_imported_atoms_of_another_code_are_told(call: Call, tmp_path: Path) -> None:
    (tmp_path / "atoms.json").write_text(json.dumps([{"elements": [s], "energy": -0.2 * z} for z, s in enumerate(SYMBOLS[:60], start=1)]))
    code, out, err = call("references", R2SCAN, *FAST, "--import", tmp_path / "atoms.json")
    assert code == 0, err
    assert "but not in the table that was brought along" in out
    shown = call("references", R2SCAN, *FAST, "--import", tmp_path / "atoms.json", "--scheme", "table")
    assert shown[0] == 0
    assert "Table: atoms.json (matpes)" in shown[1]


def test_references_of_a_run_on_these_test_frames_are_told_to_be_leaky(call: Call, home: Path, tmp_path: Path) -> None:
    own = answered(call("references", R2SCAN, "--scheme", "residual", *FAST, "--json"))
    (tmp_path / "references.json").write_text(json.dumps(own))
    dataset = open_dataset(home / "datasets", R2SCAN)
    split = make_plan(FinetuneSettings(R2SCAN), dataset).to_json(dataset)
    for train, leaks in ((split["train"], False), ([*split["train"], split["test"][0]], True)):
        (tmp_path / "split.json").write_text(json.dumps({"train": train}))
        code, out, err = call("references", R2SCAN, *FAST, "--import", tmp_path / "references.json")
        assert code == 0, err
        assert ("was fitted on validation or test frames of this split" in out) is leaks
        assert next(line for line in out.splitlines() if line.startswith("table ")).endswith("leaky") is leaks


# --- the pretrained model's energies ---------------------------------------------------------------


def test_predict_evaluates_once_and_counts(call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = call("predict", "matpes-elements-r2scan")
    assert code == 0, err
    assert "89 of 89 frames" in out
    dataset = open_dataset(home / "datasets", "matpes-elements-r2scan")
    assert predictions(dataset).evaluated.all()
    size = (PredictionStore.of(dataset).path / "energies.bin").stat().st_size
    data = answered(call("predict", "matpes-elements-r2scan", "--json"))
    assert data == {"dataset": "matpes-elements-r2scan", "frames": 89, "evaluated": 89, "left_out": []}
    assert (PredictionStore.of(dataset).path / "energies.bin").stat().st_size == size


def test_predict_in_the_background_and_then_here(call: Call, home: Path) -> None:
    code, out, err = call("predict", "xfunc-dft-pbe", "--background")
    assert code == 0, err
    assert "of 93 frames" in out
    dataset = open_dataset(home / "datasets", "xfunc-dft-pbe")
    assert len(list_runs(jobs_of(dataset))) == 1
    assert answered(call("predict", "xfunc-dft-pbe", "--json"))["evaluated"] == 93  # it waits for the other process, or takes over


# --- what is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        ((R2SCAN, "--refits", "1"), "at least 2"),
        ((R2SCAN, *FAST, "--scheme", "table"), "--import"),
        ((R2SCAN, *FAST, "--export", "word", "a.docx"), "no format of reference tables"),
        ((R2SCAN, *FAST, "--export", "mace", "/nowhere/a"), "cannot be written"),
        ((R2SCAN, *FAST, "--import", "/nowhere/a"), "cannot be read"),
        (("matpes-elements-r2scan",), "part is empty"),
        (("nowhere",), "no dataset 'nowhere'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(call: Call, words: tuple[str, ...], phrase: str) -> None:
    code, out, err = call("references", *words)
    assert (code, out) == (1, "")
    assert phrase in err
    assert "Traceback" not in err
