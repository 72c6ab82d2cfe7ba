"""The command line as users and scripts meet it: real files, real runs, values checked by numpy alone."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xfunc_core import cli, commands
from xfunc_core.answers import sweeps
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.state import RunState
from xfunc_core.training.settings import FinetuneSettings

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "xfunc_core" / "data" / "bundled"
SHARED = ROOT.parent / "shared" / "data"
R2SCAN, PBE = "xfunc-dft-r2scan", "xfunc-dft-pbe"
COMMANDS = ("predict", "references", "finetune", "runs", "evaluate", "sweep", "scaling")
TINY = ("--train-size", "8", "--epochs", "2")

Said = tuple[int, str, str]
Call = Callable[..., Said]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data home shared by the tests of this file; runs that still work in it are cancelled at the end.

    One thread a process: small cells gain nothing from more, and busy processes would wait for each other.
    """
    path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OMP_NUM_THREADS", "1")
        patched.setenv("XFUNC_CPU_SLOTS", str(os.cpu_count() or 1))
        yield path
    for run in (path / "runs").glob("*/config.json"):
        (run.parent / "cancel").touch()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(state(run) in ("queued", "running") for run in in_process_runs(path)):
        time.sleep(0.2)


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("XFUNC_HOME", str(home))

    def run(*words: str) -> Said:
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        capsys.readouterr()
        code = cli.main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


def shell(home: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does."""
    environment = {**os.environ, "XFUNC_HOME": str(home)}
    return subprocess.run([sys.executable, "-m", "xfunc_core", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, **options)


def in_process_runs(home: Path) -> list[Any]:
    from xfunc_core.runs.folder import list_runs

    return list_runs(home / "runs")


def state(run: Any) -> str:
    return run.state().value


def documents(file: str) -> dict[str, dict[str, Any]]:
    """Raw bundled documents by id, read with json alone."""
    with gzip.open(BUNDLED / file, "rt") as stream:
        return {d["matpes_id"]: d for d in map(json.loads, stream)}


def parsed(text: str) -> Any:
    """JSON as a strict reader takes it: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """PBE and r²SCAN documents of one id."""
    pbe, r2scan = documents("xfunc-dft-PBE.jsonl.gz"), documents("xfunc-dft-r2SCAN.jsonl.gz")
    return [(pbe[key], r2scan[key]) for key in sorted(pbe.keys() & r2scan.keys())]


@pytest.fixture(scope="module")
def finished(home: Path) -> dict[str, Any]:
    """A finished tiny run, submitted as a script does it; what it said on stderr is kept under ``said``."""
    done = shell(home, "finetune", R2SCAN, *TINY, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout) | {"said": done.stderr}


# --- help and startup -------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_examples(command: str, call: Call) -> None:
    code, out, err = call(command, "--help")
    assert (code, err) == (0, "")
    assert "examples:" in out and f"python -m xfunc_core {command}" in out
    assert "None)" not in out and "False)" not in out and "SUPPRESS" not in out


def test_help_walks_through_all_commands_and_names_the_home(call: Call, home: Path) -> None:
    code, out, _ = call("--help")
    assert code == 0 and str(home) in out
    assert all(command in out for command in COMMANDS)


def test_every_setting_is_an_option_with_its_sentence_and_default(call: Call) -> None:
    from dataclasses import fields

    from xfunc_core.training.settings import FinetuneSettings

    _, out, _ = call("finetune", "--help")
    shown = " ".join(out.split())
    for field in fields(FinetuneSettings):
        if field.name not in ("dataset", "sweep"):
            assert f"--{field.name.replace('_', '-')}" in out
            assert commands._sentences()[field.name], f"{field.name} has no sentence"
            assert f"(default: {'none' if field.default is None else field.default})" in shown


@pytest.mark.parametrize("words", [("--help",), ("datasets",), ("correlate",), ("runs",), ("scaling",), ("finetune", R2SCAN, "--dry-run"), ("finetune", "--help")])
def test_light_commands_load_neither_torch_nor_chgnet(words: tuple[str, ...], home: Path) -> None:
    code = f"import sys\nfrom xfunc_core.cli import main\nmain({list(words)!r})\nprint([m for m in ('torch', 'chgnet', 'streamlit') if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "XFUNC_HOME": str(home)}, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]"


# --- data -------------------------------------------------------------------------------------


def test_datasets_counts_are_those_of_the_files(call: Call) -> None:
    code, out, _ = call("datasets", "--json")
    by_name = {d["name"]: d for d in parsed(out)["datasets"]}
    raw = documents("xfunc-dft-r2SCAN.jsonl.gz").values()
    info = by_name[R2SCAN]
    assert code == 0 and info["functional"] == "r2scan"
    assert info["n_frames"] == len(raw)
    assert info["n_atoms"] == sum(len(d["structure"]["sites"]) for d in raw)
    assert info["n_materials"] == len({d["provenance"]["material_id"] for d in raw})


def test_datasets_table_is_aligned_and_names_the_functional_as_on_screen(call: Call) -> None:
    _, out, _ = call("datasets")
    lines = out.splitlines()
    at = lines[0].index("Functional")
    assert {line[at:].split()[0] for line in lines[1:]} == {"PBE", "r²SCAN"}


def test_one_dataset_is_described_with_its_quality_licence_and_energy_scale(call: Call) -> None:
    code, out, _ = call("datasets", PBE)
    assert code == 0
    assert "CC0-1.0" in out and "not converged to production standard" in out and "GPAW" in out


def test_correlation_equals_numpy_on_the_raw_files(call: Call, pairs: list[Any]) -> None:
    found = parsed(call("correlate", "--json")[1])
    energy = np.array([[a["energy"] / len(a["structure"]["sites"]), b["energy"] / len(b["structure"]["sites"])] for a, b in pairs])
    forces = np.concatenate([np.stack([np.ravel(a["forces"]), np.ravel(b["forces"])], axis=1) for a, b in pairs])
    assert found["n_pairs"] == found["n_kept"] == len(pairs)
    overall = {key: quantity["overall"] for key, quantity in found["quantities"].items()}
    assert overall["total"]["pearson"]["value"] == pytest.approx(np.corrcoef(energy.T)[0, 1], abs=1e-9)
    assert overall["total"]["shift"]["value"] == pytest.approx((energy[:, 1] - energy[:, 0]).mean(), abs=1e-9)
    assert overall["total"]["pearson"]["low"] < overall["total"]["pearson"]["value"] < overall["total"]["pearson"]["high"]
    assert overall["force"]["n"] == len(forces)
    assert overall["force"]["mae"]["value"] == pytest.approx(np.abs(forces[:, 1] - forces[:, 0]).mean(), abs=1e-9)
    stress = -0.1 * np.array([np.ravel([a["stress"], b["stress"]]).reshape(2, -1) for a, b in pairs])
    assert overall["stress"]["rmse"]["value"] == pytest.approx(np.sqrt(((stress[:, 1] - stress[:, 0]) ** 2).mean()), rel=1e-9)
    assert "magmom" not in found["quantities"] and "volume" not in found["quantities"]  # not labelled; one geometry


def test_referenced_correlation_equals_a_least_squares_fit_by_numpy(call: Call, pairs: list[Any]) -> None:
    found = parsed(call("correlate", "--json")[1])
    symbols = sorted({site["species"][0]["element"] for a, _ in pairs for site in a["structure"]["sites"]})
    x = np.array([[np.mean([site["species"][0]["element"] == s for site in a["structure"]["sites"]]) for s in symbols] for a, _ in pairs])
    w, rest = [], []
    for which in (0, 1):
        energy = np.array([pair[which]["energy"] / len(pair[which]["structure"]["sites"]) for pair in pairs])
        w.append(np.linalg.lstsq(x, energy, rcond=None)[0])
        rest.append(energy - x @ w[-1])
    assert found["quantities"]["referenced"]["overall"]["pearson"]["value"] == pytest.approx(np.corrcoef(rest)[0, 1], abs=1e-6)
    shifts = {row["element"]: row for row in found["shifts"]["by_element"]}
    assert shifts["O"]["shift"] == pytest.approx((w[1] - w[0])[symbols.index("O")], abs=1e-6)
    assert shifts["O"]["low"] < shifts["O"]["shift"] < shifts["O"]["high"]
    assert shifts["Hf"]["shift"] is None  # in one material with another element that is nowhere else


def test_correlate_shows_n_mae_and_rmse_with_units(call: Call, pairs: list[Any]) -> None:
    code, out, _ = call("correlate", "--elements", "O")
    assert code == 0
    assert "PBE" in out and "r²SCAN" in out and "meV/atom" in out and "meV/Å" in out and "GPa" in out
    assert "MAE" in out and "RMSE" in out and f"{len(pairs):,}" in out
    n = sum(any(site["species"][0]["element"] == "O" for site in a["structure"]["sites"]) for a, _ in pairs)
    rows = [line.split() for line in out.splitlines() if line.startswith("O ")]
    assert [row[1] for row in rows] == [str(n)]


def test_elements_that_no_pair_holds_are_named_beside_those_that_some_do(call: Call) -> None:
    out = call("correlate", "--quantity", "total", "--elements", "O,Mn")[1]
    assert "No pair holds Mn." in out and any(line.startswith("O ") for line in out.splitlines())
    assert "No pair holds" not in call("correlate", "--quantity", "total", "--elements", "O")[1]


def test_one_quantity_is_filtered_attributed_and_split_by_chemistry(call: Call, pairs: list[Any]) -> None:
    words = ("correlate", "--quantity", "force", "--any-of", "O,F", "--range", "largest_force", "any", "0.6", "--chemistry")
    found = parsed(call(*words, "--json")[1])

    def largest(document: dict[str, Any]) -> float:
        return float(np.linalg.norm(document["forces"], axis=1).max())

    kept = [p for p in pairs if {"O", "F"} & set(elements(p[0])) and max(map(largest, p)) <= 0.6]
    of_oxygen = [np.stack([a["forces"], b["forces"]])[:, [s == "O" for s in elements(a)]] for a, b in kept]
    x, y = np.concatenate([part.reshape(2, -1) for part in of_oxygen], axis=1)
    force = found["quantities"]["force"]
    assert (found["n_kept"], found["attribution"]) == (len(kept), "own")
    assert force["by_element"]["O"]["n"] == len(x)
    assert force["by_element"]["O"]["rmse"]["value"] == pytest.approx(np.sqrt(np.square(y - x).mean()))
    assert force["by_chemistry"]["oxides"]["n"] == sum(3 * len(elements(a)) for a, _ in kept if "O" in elements(a) and "F" not in elements(a))
    out = call(*words)[1]
    assert "the element of the atom that it belongs to" in out and "oxides: contain O" in out
    assert f"{len(kept)} of them pass the filter (any of O, F; largest force at most 0.6)" in out


def elements(document: dict[str, Any]) -> list[str]:
    return [site["species"][0]["element"] for site in document["structure"]["sites"]]


# --- references -------------------------------------------------------------------------------


def test_default_references_are_the_best_without_training_when_frames_are_few(call: Call) -> None:
    schemes = parsed(call("references", R2SCAN, "--train-size", "32", "--refits", "2", "--json")[1])["schemes"]
    test = {name: errors["test"]["mae"] for name, errors in schemes.items() if name != "trainable"}
    assert min(test, key=test.get) == FinetuneSettings.references
    assert test["lstsq"] < test["keep"]


# --- fine-tuning and runs ---------------------------------------------------------------------


def test_dry_run_starts_nothing_and_prints_settings_that_start_the_same_run(call: Call, home: Path, tmp_path: Path) -> None:
    before = len(in_process_runs(home))
    code, out, _ = call("finetune", R2SCAN, "--dry-run", "--json", "--method", "m3".upper(), "--max-gradient-norm", "5", "--huber-delta", "0.2")
    data = parsed(out)
    assert code == 0 and data["settings"]["max_gradient_norm"] == 5.0 and data["references"] == "keep"
    assert sum(data["frames"].values()) == len(documents("xfunc-dft-r2SCAN.jsonl.gz"))
    (tmp_path / "config.json").write_text(out)
    again = parsed(call("finetune", "--config", tmp_path / "config.json", "--seed", "3", "--dry-run", "--json")[1])
    assert again["settings"] == data["settings"] | {"seed": 3}
    assert len(in_process_runs(home)) == before


def test_wait_keeps_stdout_for_json_and_says_on_stderr_what_runs(finished: dict[str, Any]) -> None:
    assert finished["state"] == "finished" and finished["epochs_done"] == 2
    assert finished["run"] in finished["said"] and "train" in finished["said"]
    assert set(finished["errors"]) == {"validation", "test"}


def test_errors_are_those_of_the_saved_predictions(finished: dict[str, Any], call: Call) -> None:
    with np.load(Path(finished["path"]) / "predictions.npz") as arrays:
        for part in ("test", "validation"):
            code, out, _ = call("evaluate", finished["run"], "--part", part, "--json")
            errors = parsed(out)["errors"][part]
            for stage in ("zero_shot", "start", "trained"):
                for key, name in (("energy", "energy"), ("force", "forces"), ("stress", "stress")):
                    gap = (arrays[f"{part}/{stage}/{name}"] - arrays[f"{part}/label/{name}"]).ravel()
                    assert errors[stage][key]["n"] == gap.size
                    assert errors[stage][key]["mae"] == pytest.approx(np.abs(gap).mean(), rel=1e-6)
                    assert errors[stage][key]["rmse"] == pytest.approx(np.sqrt((gap**2).mean()), rel=1e-6)


def test_a_runs_model_predicts_what_the_run_saved(finished: dict[str, Any], call: Call, tmp_path: Path) -> None:
    code, _, err = call("predict", R2SCAN, "--model", finished["run"], "--out", tmp_path / "out.json")
    assert code == 0, err
    document = json.loads((tmp_path / "out.json").read_text())
    said = {frame["frame_id"]: frame for frame in document["frames"]}
    assert document["model"] == finished["run"]
    with np.load(Path(finished["path"]) / "predictions.npz") as arrays:
        found = [said[frame_id] for frame_id in arrays["test/frame_id"]]
        for key, values in (("energy_per_atom", [f["energy_per_atom"] for f in found]), ("forces", np.concatenate([f["forces"] for f in found])), ("stress", [f["stress"] for f in found])):
            np.testing.assert_allclose(values, arrays[f"test/trained/{key.removesuffix('_per_atom')}"], atol=1e-4)  # float32 in other batches


def test_evaluate_shows_three_stages_with_n_mae_and_rmse_in_the_units_of_errors(finished: dict[str, Any], call: Call) -> None:
    code, out, err = call("evaluate", finished["run"])
    energy = finished["errors"]["test"]["trained"]["energy"]
    assert (code, err) == (0, "")
    for stage in ("Zero-shot, GGA references", "Before training, this run's references", "Fine-tuned"):
        assert stage in out
    row = next(line for line in out.splitlines() if line.startswith("Energy") and "Fine-tuned" in line).split()
    assert row[1] == "meV/atom"
    assert row[-3:] == [str(energy["n"]), f"{1000 * energy['mae']:,.1f}", f"{1000 * energy['rmse']:,.1f}"]


def test_evaluate_a_run_on_a_dataset_says_what_it_was_trained_on(finished: dict[str, Any], call: Call) -> None:
    code, out, _ = call("evaluate", finished["run"], R2SCAN)
    assert code == 0
    assert f"{finished['frames']['train']} of these frames were trained on: " in out
    assert f"{finished['frames']['train']} of these frames were trained on, with r²SCAN labels: " in call("evaluate", finished["run"], PBE)[1]


def test_evaluate_a_run_says_which_elements_have_no_fitted_reference(finished: dict[str, Any], call: Call) -> None:
    fitted = set(json.loads((Path(finished["path"]) / "references.json").read_text())["n_frames"])
    held = [{site["species"][0]["element"] for site in d["structure"]["sites"]} for d in documents("xfunc-dft-r2SCAN.jsonl.gz").values()]
    lacking, n = sorted(set().union(*held) - fitted), sum(bool(symbols - fitted) for symbols in held)
    assert lacking and 0 < n < len(held)
    data = parsed(call("evaluate", finished["run"], R2SCAN, "--json")[1])
    assert sorted(data["without_fitted_reference"]["elements"]) == lacking
    assert data["without_fitted_reference"]["n_frames"] == n
    [sentence] = [note for note in data["notes"] if "without a fitted reference" in note]
    assert sentence.startswith(f"{n} of these frames hold elements") and all(symbol in sentence for symbol in lacking)
    assert sentence in call("evaluate", finished["run"], R2SCAN)[1]
    assert parsed(call("evaluate", "pretrained", R2SCAN, "--json")[1])["without_fitted_reference"] == {"elements": [], "n_frames": 0}


def test_evaluate_the_pretrained_model_on_any_dataset(call: Call) -> None:
    code, out, _ = call("evaluate", "pretrained", "matpes-elements-pbe", "--json")
    errors = parsed(out)["errors"]
    assert code == 0 and errors["magmom"]["n"] > 0
    assert errors["energy"]["mae"] < errors["energy"]["rmse"]


def test_evaluate_says_whether_model_and_labels_are_of_one_kind(finished: dict[str, Any], call: Call, tmp_path: Path) -> None:
    gap, functionals = "the energy error holds that gap, too", "the model is of {}, the labels are {}"
    mp, matpes, gpaw = "VASP, Materials Project settings", "VASP, MatPES settings", "GPAW 26.7.0 PAW reference atoms"
    unknown = tmp_path / "best.pt"
    unknown.write_bytes((Path(finished["path"]) / "model.pt").read_bytes())
    for model, dataset, told, not_told in (
        ("pretrained", "matpes-elements-pbe", [mp, matpes, gap], ["the labels are"]),
        ("0.3.0", R2SCAN, [functionals.format("PBE", "r²SCAN"), mp, gpaw, gap], []),
        ("r2scan", "matpes-elements-pbe", [functionals.format("r²SCAN", "PBE"), gap], []),
        (finished["run"], R2SCAN, [f"both r²SCAN on the energy scale of {gpaw}"], [gap]),
        (unknown, R2SCAN, [f"labels: {gpaw}"], [gap, "the model is of"]),
    ):
        code, out, err = call("evaluate", model, dataset)
        assert code == 0, err
        [note] = [line for line in out.splitlines() if "scale of " in line]
        assert all(phrase.lower() in note.lower() for phrase in told) and not any(phrase in note for phrase in not_told), note


def test_evaluate_on_data_without_labels_says_so(call: Call, tmp_path: Path) -> None:
    (tmp_path / "POSCAR").write_text("Cu\n1.0\n3.6 0 0\n0 3.6 0\n0 0 3.6\nCu\n1\nDirect\n0 0 0\n")
    assert call("import", tmp_path / "POSCAR", "--functional", "pbe", "--name", "unlabelled")[0] == 0
    code, out, err = call("evaluate", "pretrained", "unlabelled")
    assert (code, out) == (1, "") and "no labels to compare with" in err and "predict unlabelled --model pretrained --out FILE" in err


def test_runs_shows_settings_progress_and_outcome(finished: dict[str, Any], call: Call) -> None:
    code, out, _ = call("runs", finished["run"])
    assert code == 0
    for text in ("Finished", "epoch 2 of 2 (100 %)", "batch_size", "train_size", "Fine-tuned", finished["path"]):
        assert text in out
    data = parsed(call("runs", finished["run"], "--json")[1])
    assert data["settings"]["train_size"] == 8 and data["fraction"] == 1.0 and data["title"]
    listed = parsed(call("runs", "--json")[1])["runs"]
    assert finished["run"] in [run["run"] for run in listed]
    assert finished["run"] in call("runs")[1]


def test_log_of_a_run(finished: dict[str, Any], call: Call) -> None:
    assert "Evaluating." in call("runs", finished["run"], "--log")[1]
    assert len(call("runs", finished["run"], "--log", "--lines", "1")[1].splitlines()) == 1


def test_a_finished_run_is_neither_cancelled_nor_resumed(finished: dict[str, Any], call: Call) -> None:
    for action, word in (("--cancel", "nothing to cancel"), ("--resume", "cannot be resumed")):
        code, out, err = call("runs", finished["run"], action)
        assert (code, out) == (1, "") and word in err


def test_cancel_resume_and_delete(call: Call, home: Path) -> None:
    code, out, _ = call("finetune", R2SCAN, "--train-size", "8", "--epochs", "5000", "--json")
    run = parsed(out)["run"]
    code, _, err = call("runs", run, "--delete")
    assert code == 1 and "cancel it" in err
    folder = next(r for r in in_process_runs(home) if r.id == run)
    wait_until(lambda: folder.checkpoint.exists())
    assert parsed(call("runs", run, "--json")[1])["state"] == "running"
    assert call("runs", run, "--cancel")[0] == 0
    wait_until(lambda: state(folder) == "cancelled" and not folder.processes())
    code, out, _ = call("evaluate", run)
    assert code == 1 and "Cancelled" in out
    done = parsed(call("runs", run, "--json")[1])["epochs_done"]
    assert call("runs", run, "--resume")[0] == 0
    wait_until(lambda: parsed(call("runs", run, "--json")[1])["epochs_done"] > done)
    epochs = [record["epoch"] for record in folder.progress() if record["kind"] == "epoch"]
    assert epochs == sorted(set(epochs))  # it went on, and did not begin again
    call("runs", run, "--cancel")
    wait_until(lambda: state(folder) == "cancelled" and not folder.processes())
    assert call("runs", run, "--delete")[1].strip() == f"Deleted run {run}."
    assert call("runs", run)[0] == 1


def wait_until(true: Callable[[], bool], patience: float = 60.0) -> None:
    """Wait for something to come true; a machine that is busy may take long, so only its absence fails."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_here_works_in_this_process_and_leaves_nothing_in_the_queue(home: Path) -> None:
    done = shell(home, "finetune", R2SCAN, *TINY, "--here", "--json")
    data = parsed(done.stdout)
    assert done.returncode == 0 and data["state"] == "finished"
    assert "Evaluating." in done.stderr
    assert "Evaluating." in (Path(data["path"]) / "log.txt").read_text()
    assert json.loads((Path(data["path"]) / "launch.json").read_text())["slot"] == "here"


# --- sweeps and scaling -----------------------------------------------------------------------


def test_sweep_dry_run_lists_runs_with_equal_steps(call: Call, home: Path) -> None:
    code, out, _ = call("sweep", R2SCAN, "--sizes", "8,16", "--seeds", "2", "--methods", "m1,M4", "--dry-run", "--json")
    data = parsed(out)
    assert code == 0 and len(data["runs"]) == 8 and data["sizes"] == [8, 16]
    epochs = {(s["train_size"], s["epochs"]) for s in data["settings"].values()}
    assert epochs == {(8, 60), (16, 30)}
    assert not list((home / "sweeps").glob("*.json"))


def test_a_tiny_sweep_gives_a_law_that_numpy_gives_too(home: Path, call: Call) -> None:
    words = ("sweep", R2SCAN, "--methods", "M4", "--sizes", "4,10", "--seeds", "1", "--epochs", "1", "--name", "tiny")
    done = shell(home, *words, "--here", "--json")
    assert done.returncode == 0, done.stderr
    data = parsed(done.stdout)
    assert [run["state"] for run in data["runs"]] == ["finished", "finished"]
    sizes, errors = np.array([[run["size"], run["energy"]] for run in data["runs"]]).T
    assert data["laws"]["M4"]["exponent"] == pytest.approx(np.polyfit(np.log10(sizes), np.log10(errors), 1)[0], rel=1e-6)
    assert data["laws"]["M4"]["exponent_interval"] == [None, None]  # two runs say nothing about scatter
    assert data["caveats"]
    started = {run.id: run.created_at for run in in_process_runs(home)}
    assert shell(home, *words, "--wait", "--json").returncode == 0  # the same sweep again starts nothing
    assert {run.id: run.created_at for run in in_process_runs(home)} == started
    code, _, err = call(*words, "--epochs", "2")
    assert code == 1 and "other settings" in err
    _, out, _ = call("scaling", "tiny", "--runs", "--paper")
    assert "2 of 2 runs finished" in out and "tiny-m4-n4-s0" in out and "Exponent" in out and "meV/atom" in out
    assert "not measured here: Huang et al. 2025" in out and "−0.301" in out
    assert "tiny" in call("scaling")[1]
    magnetic = parsed(call("scaling", "tiny", "--quantity", "magmom", "--json")[1])
    assert magnetic["laws"] == {} and magnetic["runs"][0]["magmom"] is None


def share_in(said: list[str], work: Callable[[RunFolder], None]) -> None:
    """One job of an array that shares in the work of a sweep of two runs."""
    base = FinetuneSettings(R2SCAN, epochs=1)
    sweeps.sweep(base, "M4", "8,16", 1, "epochs", "array", wait=False, dry_run=False, work=work, say=said.append)


@pytest.fixture
def lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunFolder]:
    """The two runs of a sweep whose job was killed at each."""
    monkeypatch.setenv("XFUNC_HOME", str(tmp_path))
    share_in([], lambda run: run.record_launch(None, "here"))
    found = in_process_runs(tmp_path)
    assert [state(run) for run in found] == ["lost", "lost"]
    return found


def test_two_jobs_of_an_array_that_see_one_lost_run_go_on(lost: list[RunFolder], monkeypatch: pytest.MonkeyPatch) -> None:
    retry, worked = RunFolder.retry, []

    def after_another_job(run: RunFolder) -> None:
        retry(run)
        retry(run)

    def work(run: RunFolder) -> None:
        worked.append(run.id)
        run.finish(RunState.FAILED, "Enough.")

    monkeypatch.setattr(RunFolder, "retry", after_another_job)
    share_in([], work)
    assert sorted(worked) == sorted(run.id for run in lost) == ["array-m4-n16-s0", "array-m4-n8-s0"]


def test_a_lost_run_that_cannot_be_taken_up_is_said_and_the_others_are_worked_on(lost: list[RunFolder]) -> None:
    held, free = sorted(lost, key=lambda run: run.id)
    said: list[str] = []
    worked: list[str] = []

    def work(run: RunFolder) -> None:
        worked.append(run.id)
        run.finish(RunState.FAILED, "Enough.")

    with exclusive(held.lock_file):
        share_in(said, work)
    assert worked == [free.id]
    assert f"Run {held.id} is still held by a process: cancel it and try again in a few seconds." in said


# --- what goes wrong --------------------------------------------------------------------------

MISTAKES = [
    (("datasets", "xfunc-dft-r2sca"), "did you mean 'xfunc-dft-r2scan'?"),
    (("datasets", "../datasets"), "no dataset"),
    (("datasets", PBE, "--delete"), "comes with xfunc"),
    (("datasets", "--delete"), "Name the dataset"),
    (("import", "/nowhere/file.json"), "/nowhere/file.json"),
    (("import", str(ROOT / "pyproject.toml")), "pyproject.toml"),
    (("correlate", R2SCAN, PBE), "choose one of each"),
    (("correlate", PBE, "matpes-elements-r2scan"), "share no frame"),
    (("correlate", "--references", "isolated-atoms"), "isolated atoms"),
    (("correlate", "--elements", "Xx"), "'Xx'"),
    (("correlate", "--quantity", "volume"), "pair by material or by structure"),
    (("correlate", "--quantity", "total", "--attribution", "own"), "use contains or weighted"),
    (("correlate", "--attribution", "own"), "give --quantity"),
    (("correlate", "--has", "magmoms"), "widen it"),
    (("finetune",), "dataset"),
    (("finetune", R2SCAN, "--epochs", "0"), "epochs"),
    (("finetune", R2SCAN, "--train-size", "100000000"), "100000000"),
    (("finetune", "--config", str(ROOT / "README.nothing")), "cannot be read"),
    (("finetune", "--config", str(ROOT / "pyproject.toml")), "not JSON"),
    (("sweep", R2SCAN, "--sizes", "8,x"), "8,x"),
    (("sweep", R2SCAN, "--sizes", "8"), "two training sizes"),
    (("sweep", R2SCAN, "--sizes", "8,100000000"), "100000000"),
    (("sweep", R2SCAN, "--methods", "M9"), "M9"),
    (("sweep", R2SCAN, "--name", "a/b", "--sizes", "4,8"), "a/b"),
    (("runs", "nothing"), "no run 'nothing'"),
    (("runs", "--cancel"), "Name the run"),
    (("evaluate", "nothing"), "no model 'nothing'"),
    (("evaluate", "nothing", PBE), "no model 'nothing'"),
    (("evaluate", "/nowhere.pt", PBE), "no file /nowhere.pt"),
    (("evaluate", "/nowhere.pt"), "no file /nowhere.pt"),
    (("evaluate", "r2scan"), "Name the dataset"),
    (("evaluate", "pretrained"), "Name the dataset"),
    (("evaluate", str(ROOT / "pyproject.toml"), PBE), "pyproject.toml"),
    (("scaling", "nothing"), "no sweep 'nothing'"),
]


@pytest.mark.parametrize(("words", "phrase"), MISTAKES, ids=[" ".join(words)[-50:] for words, _ in MISTAKES])
def test_a_mistake_is_one_sentence_on_stderr_for_people_and_for_scripts(words: tuple[str, ...], phrase: str, call: Call) -> None:
    code, out, err = call(*words)
    said = [line for line in err.splitlines() if not line.endswith("…")]
    assert (code, out) == (1, "")
    assert len(said) == 1 and said[0].startswith("xfunc: ") and phrase in said[0]
    code, out, err = call(*words, "--json")
    assert (code, out) == (1, "")
    assert phrase in json.loads(err.splitlines()[-1])["error"]


@pytest.mark.parametrize("words", [("bogus",), (), ("finetune", R2SCAN, "--epochs", "many"), ("finetune", R2SCAN, "--method", "M9"), ("finetune", R2SCAN, "--wait", "--dry-run"), ("runs", "x", "--canc")])
def test_a_command_that_is_not_written_right_ends_with_2(words: tuple[str, ...], call: Call) -> None:
    code, out, err = call(*words)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1 and "--help" in err
    if words:
        assert json.loads(call(*words, "--json")[2])["error"]


def test_cuda_without_a_gpu_is_refused_before_anything_is_queued(call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xfunc_core.answers.training.gpu_ids", lambda: ())
    before = len(in_process_runs(home))
    for command in (("finetune", R2SCAN), ("sweep", R2SCAN, "--sizes", "4,8")):
        code, _, err = call(*command, "--device", "cuda")
        assert code == 1 and "no GPU" in err
        assert "no GPU" in call(*command, "--device", "cuda", "--dry-run")[1]
    assert len(in_process_runs(home)) == before


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = shell(tmp_path / "file", "datasets")
    assert done.returncode == 1 and done.stdout == ""
    assert "XFUNC_HOME" in done.stderr and "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_error(home: Path) -> None:
    command = f"{sys.executable} -m xfunc_core correlate --json | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env={**os.environ, "XFUNC_HOME": str(home)}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "Correlating …\n")


def test_a_full_disk_under_stdout_is_a_sentence(home: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "xfunc_core", "datasets"], cwd=ROOT, env={**os.environ, "XFUNC_HOME": str(home)}, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr


def test_interrupted_waiting_ends_with_130_and_says_that_runs_go_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xfunc_core.answers.data.datasets", interrupted)
    code, out, err = call("datasets")
    assert (code, out) == (130, "") and err == "xfunc: Interrupted; runs in the queue go on.\n"


def test_a_terminal_without_unicode_gets_substitutes(home: Path) -> None:
    environment = {**os.environ, "XFUNC_HOME": str(home), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "xfunc_core", "datasets"], cwd=ROOT, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"r?SCAN" in done.stdout


def test_numbers_without_value_become_null(call: Call) -> None:
    found = parsed(call("correlate", "matpes-elements-pbe", "matpes-elements-r2scan", "--json")[1])
    assert any(row["pearson"]["value"] is None for row in found["quantities"]["total"]["by_element"].values())


def test_progress_in_a_terminal_changes_one_line_and_leaves_it_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = cli.Progress()
    progress("epoch 1 of 30")
    progress("epoch 2")
    progress.end()
    shown = sys.stderr.getvalue()
    assert "\n" not in shown
    assert shown.split("\r") == ["", "epoch 1 of 30", "epoch 2".ljust(len("epoch 1 of 30")), " " * len("epoch 2"), ""]
