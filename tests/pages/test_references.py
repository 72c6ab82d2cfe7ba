"""The Reference lab: what it says before and after the network is asked, what it compares, where it leads."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.elements.lib import policies

from pages._ui.shell import plain
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import open_dataset
from xfunc_core.predictions import evaluate, predictions
from xfunc_core.quantities import Functional, Method
from xfunc_core.references.published import atomref, matpes_atoms
from xfunc_core.references.schemes import SCHEMES, ReferenceFrames, Scheme
from xfunc_core.references.tables import read_table
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.queue import LOCK_NAME
from xfunc_core.runs.state import RunState
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings

NAME = "xfunc-dft-r2scan"
EVALUATE = "Evaluate the pretrained network"


@pytest.fixture(scope="session")
def energies(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pretrained network says of the bundled r²SCAN set, by the real network. Not to be changed."""
    home = tmp_path_factory.mktemp("energies")
    shutil.copytree(installed / "datasets" / NAME, home / "datasets" / NAME)
    dataset = open_dataset(home / "datasets", NAME)
    evaluate(dataset, np.arange(len(dataset)))
    return home / "predictions"


@pytest.fixture
def lab(home: Path, energies: Path, screen):
    """Opens the page of a home where the network was asked."""
    shutil.copytree(energies, home / "predictions")
    return lambda **query: screen("references", **query)


def schemes(page) -> pd.DataFrame:
    """The table of schemes, by name."""
    return page.table("Name", "Test MAE (meV/atom)").set_index("Name")


def bring(page, name: str, text: str):
    """Upload a table."""
    [upload] = page.at.get("file_uploader")
    upload.set_value((name, text.encode(), "text/plain"))
    return page.run()


def _finished_run(home: Path, run_id: str, split_seed: int) -> None:
    """A run's references and split as a worker writes them, without the training."""
    dataset = open_dataset(home / "datasets", NAME)
    settings = FinetuneSettings(NAME, references="residual", split_seed=split_seed)
    split = make_plan(settings, dataset)
    run = RunFolder.create(home / "runs", settings.to_dict(), run_id=run_id)
    said = predictions(dataset)
    rows = split.split.train
    frames = ReferenceFrames.of(dataset, rows, model_energy=said.energy[rows], w_gga=said.references)
    run.write_json(run.references, SCHEMES[Scheme.RESIDUAL].fit(frames).to_json())
    run.write_json(run.split, split.to_json(dataset))
    run.finish(RunState.FINISHED)


# --- before the network is asked ------------------------------------------------------------------


def test_schemes_without_a_network_are_shown_and_the_others_named(home, screen) -> None:
    page = screen("references")
    assert EVALUATE in page.buttons()
    assert "has not been evaluated on 93 of these 93 frames yet" in page.words()
    assert "The 65 training frames determine 39 combinations of 43 elements' references." in page.words()
    assert plain("Al and Pt only ever occur 2:1 here: only 2 Al + Pt is determined.") in page.words()
    [table] = [frame.value for frame in page.at.dataframe]
    assert len(table) == 8
    row = table.set_index("Scheme").loc["Least squares on the energies (paper)"]
    dataset = open_dataset(home / "datasets", NAME)
    assert row["N"] == "14" and row["From"] == f"65 training frames of {dataset.info.name}"
    assert "These need the network's energies: GGA references, one shift, Least squares on the model's residual" in page.words()
    assert not (home / "predicting").exists()  # nothing is started by looking


def test_network_is_asked_once_in_the_background_and_then_everything_is_there(home, screen, until) -> None:
    page = screen("references").click(EVALUATE)
    [job] = list_runs(home / "predicting")
    assert job.config()["rows"] == [[0, 92]]
    until(lambda: job.state().is_over)
    assert job.state() is RunState.FINISHED, job.log_tail()
    page.run()
    assert EVALUATE not in page.buttons()
    assert schemes(page).loc["residual-smooth", "Test MAE (meV/atom)"] == "47.9"
    assert not len(predictions(open_dataset(home / "datasets", NAME)).lacking(np.arange(93)))


def test_waiting_is_shown_and_can_be_cancelled(home, screen, until) -> None:
    page = screen("references")
    (home / "predicting").mkdir()
    with exclusive(home / "predicting" / LOCK_NAME):  # nothing starts the job
        page.click(EVALUATE)
        assert EVALUATE not in page.buttons()
        assert "It is done once and kept; you can leave this page." in page.words()
        page.click("Cancel")
        [job] = list_runs(home / "predicting")
        assert job.cancel_requested()
    page.run()
    until(lambda: job.state().is_over)
    assert job.state() is RunState.CANCELLED
    assert EVALUATE in page.run().buttons()
    assert [warning.value for warning in page.at.warning] == [plain(job.explanation())]


# --- all schemes ----------------------------------------------------------------------------------


def test_every_scheme_has_its_errors_and_one_is_recommended(lab, array) -> None:
    page = lab()
    table = schemes(page)
    assert list(table.index[:2]) == ["residual-smooth", "trainable"] and len(table) == 14
    assert table.loc["keep", ["Test MAE (meV/atom)", "Test RMSE (meV/atom)", "N test", "95 % over refits"]].tolist() == ["4,567.0", "5,625.8", "14", "–"]
    assert table.loc["residual-smooth", ["Test MAE (meV/atom)", "Test RMSE (meV/atom)", "Note"]].tolist() == ["47.9", "58.3", "recommended"]
    assert table.loc["isolated-atoms", "Note"] == "another energy scale"
    assert "#### :material/recommend: The model's residual, smooth in Z" in page.words()
    assert "It also has the lowest test MAE of all schemes: 47.9 meV/atom on 14 frames of 14 materials." in page.words()
    assert "Isolated atoms of MatPES (VASP) in r²SCAN do not fit the energy scale of these data" in page.words()
    drawn = {trace["name"]: float(array(trace["x"])[0]) for trace in page.figure("lab_comparison")["data"] if trace["name"] in table["Scheme"].tolist()}
    assert drawn["Keep the GGA references"] == pytest.approx(4567.03, abs=0.01) and drawn["The model's residual, smooth in Z"] == pytest.approx(47.924, abs=0.001)
    assert "nan" not in page.words().lower()
    assert page.metric("Held-out MAE (meV/atom)") == "89.2" and page.metric("Test MAE (meV/atom)") == "47.9"
    assert page.metric("95 % of the test MAE (meV/atom)") == table.loc["residual-smooth", "95 % over refits"]
    assert [metric.delta for metric in page.at.metric] == ["N = 69 frames not fitted to", "N = 14 test frames", "100 refits on resampled materials"]


def test_trained_references_are_said_to_equal_their_start(lab) -> None:
    page = lab(lab_scheme="Trained along with the network")
    table = schemes(page)
    assert table.loc["trainable", "Test MAE (meV/atom)"] == table.loc["residual-smooth", "Test MAE (meV/atom)"]
    assert table.loc["trainable", "Note"] == "equals its start before training"
    tie = "“Trained along with the network” starts from “The model's residual, smooth in Z”: before training the two are the same"
    assert page.words().count(tie) == 2  # by the figure, and where it is looked at closely
    assert ":gray-badge[equals its start before training]" in page.words()


def test_code_names_are_not_used_for_schemes_on_screen(lab) -> None:
    page = lab(lab_tab="Learning curve")
    named = {scheme.value for scheme in Scheme if scheme.value != "table"}
    for key in ("lab_comparison", "lab_curve_test_mae"):
        figure = page.figure(key)
        said = {trace.get("name") for trace in figure["data"]} | {note["text"].strip("</b>") for note in figure["layout"]["annotations"]}
        assert not named & said and "Least squares on the energies (paper)" in said


def test_split_is_in_the_url_and_changes_the_numbers(lab) -> None:
    page = lab(train_size="32")
    assert page.widget("train_size").value == 32
    table = schemes(page)
    assert table.loc["residual-smooth", "Test MAE (meV/atom)"] == "96.1"  # docs/references.md
    assert table.loc["lstsq", "Test MAE (meV/atom)"] == "1,763.8"


def test_one_scheme_closely(lab, cells, as_number) -> None:
    page = lab(lab_scheme="Least squares on the energies (paper)")
    assert page.widget("lab_scheme").value == "lstsq"
    assert "Test MAE **529.6 meV/atom**, RMSE 890.0 meV/atom, N = 14, largest in " in page.words()
    assert "In files and on the command line: lstsq." in page.words()
    shift = cells(page.figure("lab_elements_table_0"))
    page.choose("lab_colour", "w")
    w = cells(page.figure("lab_elements_table_0"))
    assert set(w) == set(shift) and len(w) == 43
    gga = atomref("mptrj")
    assert as_number(w["O"].split()[0]) - as_number(shift["O"].split()[0]) == pytest.approx(gga[7], abs=0.02)
    labels = {button.label for button in page.at.get("download_button")}
    assert {"chgnet", "MACE", "fairchem", "MatPES"} <= labels


@pytest.mark.parametrize(
    ("tab", "part"),
    [
        ("Diagnostics", "No choice of references changes the 26 independent reaction energies among these frames"),
        ("Residuals per element", "Training frames: what the references leave"),
        ("Learning curve", "Subsets of one order are nested"),
    ],
)
def test_tabs_are_filled_when_opened(lab, tab, part) -> None:
    assert part in lab(lab_tab=tab).words()


def test_figures_of_the_tabs(lab, array) -> None:
    page = lab(lab_tab="Shift against Z")
    figure = page.figure("lab_shift")
    [points] = [trace for trace in figure["data"] if trace["name"].startswith("This scheme")]
    z, shift = array(points["x"]).astype(float), array(points["y"])
    assert len(z) == 43
    assert f"{np.polyfit(z, shift, 1)[0]:.2f} eV per Z".replace("-", "−") in json.dumps(figure["layout"], ensure_ascii=False)
    page = lab(lab_tab="Learning curve")
    curve = next(trace for trace in page.figure("lab_curve_test_mae")["data"] if trace.get("name") == "The model's residual, smooth in Z")
    assert array(curve["x"]).tolist() == [4, 8, 16, 32, 65]
    assert array(curve["y"])[-1] == pytest.approx(47.924, abs=0.001)


# --- a table of one's own -------------------------------------------------------------------------


def test_table_is_judged_beside_the_schemes_and_its_scale_is_told(lab) -> None:
    atoms = matpes_atoms(Functional.R2SCAN)
    text = repr({z: float(e) for z, e in enumerate(atoms, start=1) if np.isfinite(e)})
    page = bring(lab(), "atoms.txt", text)
    assert plain("atoms.txt (mace): 89 elements.") in page.words()
    table = schemes(page)
    assert table.loc["table", "Test MAE (meV/atom)"] == table.loc["isolated-atoms", "Test MAE (meV/atom)"]  # the same numbers
    assert table.loc["table", "Note"] == "another energy scale"
    assert re.search(r"The references of atoms\.txt .*do not fit the energy scale of these data", page.words())
    page.choose("lab_scheme", "table")
    assert Scheme.TABLE.sentence in page.words()
    page.click("Remove the table")
    assert "table" not in schemes(page).index
    assert page.widget("lab_scheme").value == "residual-smooth"


def test_file_that_is_no_table_is_one_sentence(lab) -> None:
    page = bring(lab(), "notes.txt", "dear diary")
    [sentence] = page.errors()
    assert "notes.txt holds no table of reference energies" in sentence
    assert "table" not in schemes(page).index


def test_references_of_a_run_are_compared_and_their_leak_is_told(lab, home) -> None:
    _finished_run(home, "earlier", split_seed=1)
    page = lab()
    page.choose("table_of_run", "earlier")
    assert schemes(page).loc["table", "Note"] == "leaky"  # its split is another one
    assert "was fitted on validation or test frames of this split: its errors here flatter it." in page.words()
    page.choose("split_seed", 1)
    row = schemes(page).loc[["table", "residual"], "Test MAE (meV/atom)"]
    assert row["table"] == row["residual"] and "leaky" not in schemes(page)["Note"].tolist()


def test_leak_of_a_table_is_told_before_during_and_after_the_run_that_starts_from_it(lab, home, screen, held_queue, work) -> None:
    dataset = open_dataset(home / "datasets", NAME)
    _finished_run(home, "earlier", split_seed=1)
    learnt = set(json.loads((home / "runs" / "earlier" / "split.json").read_text())["train"])
    page = lab(train_size="10", validation_fraction="0.08", test_fraction="0.1").choose("table_of_run", "earlier")
    page.choose("lab_scheme", "table").at.button(key="use_chosen").click()
    page.run().choose("epochs", 1)
    split = make_plan(FinetuneSettings.from_dict(page.resolved()), dataset).to_json(dataset)
    held_back = {*split["validation"], *split["test"]}
    n = len(held_back & learnt)
    assert 0 < n < len(held_back)
    assert f"was fitted on {n} of the {len(held_back)} validation and test frames (leak)" in page.words()
    with held_queue(home):
        page.click("Launch")
    [run] = [run for run in list_runs(home / "runs") if run.id != "earlier"]
    assert run.config()["reference_table_run"] == "earlier"
    assert work(run) == 0, run.log_tail()
    said = json.loads(run.references.read_text())
    assert (said["external"], said["leaky"]) == (True, True)
    for name, query in (("runs", {"run": run.id}), ("results", {"result_run": run.id})):
        assert any("were fitted on validation or test frames of its own split" in w.value for w in screen(name, **query).at.warning)
    # its references, brought along in their turn, still have the first run's frames behind them
    again = lab(split_seed="1").choose("table_of_run", run.id)
    assert schemes(again).loc["table", "Note"].split(", ")[-1] == "leaky"


# --- on to a run ----------------------------------------------------------------------------------


def test_scheme_and_split_go_to_a_run(lab, monkeypatch, caplog) -> None:
    monkeypatch.setattr(policies, "_shown_default_value_warning", False)  # Streamlit says it once a process
    page = lab(train_size="32", split_seed="1", lab_scheme="Robust least squares")
    page.at.button(key="use_chosen").click()
    page.run()
    assert page.title() == "Fine-tune"
    assert not page.at.warning and not policies._shown_default_value_warning and "Session State" not in caplog.text
    settings = page.resolved()
    assert (settings["references"], settings["method"], settings["dataset"]) == ("robust", "M4", NAME)
    assert (settings["train_size"], settings["split_seed"], settings["reference_table"]) == (32, 1, "")


def test_keeping_them_is_m3(lab) -> None:
    page = lab(lab_scheme="Keep the GGA references")
    page.at.button(key="use_chosen").click()
    page.run()
    assert page.widget("method").value is Method.M3


def test_table_goes_into_the_runs_settings(lab, home, held_queue) -> None:
    page = bring(lab(), "e0s.txt", "{1: -3.5, 8: -9.5, 26: -15.25}").choose("lab_scheme", "table")
    page.at.button(key="use_chosen").click()
    page.run()
    assert page.widget("references").value is Scheme.TABLE
    assert "references: A table that was brought along" in page.words()
    with held_queue(home):
        page.click("Launch")
        [run] = list_runs(home / "runs")
        run.request_cancel()
    config = run.config()
    assert config["references"] == "table" and config["reference_table_name"] == "e0s.txt (mace)"
    energies = read_table(config["reference_table"]).energies
    assert energies[[0, 7, 25]].tolist() == [-3.5, -9.5, -15.25] and np.isfinite(energies).sum() == 3


# --- what cannot be compared ----------------------------------------------------------------------


def test_without_data_there_is_a_way_to_some(home, screen) -> None:
    page = screen("start")
    shutil.rmtree(home / "datasets")
    page.go("references")
    assert "no dataset to choose references for" in page.words()
    assert page.go(page.links()["Import data"]).title() == "Datasets"


def test_dataset_that_cannot_be_split_is_one_sentence(home, screen) -> None:
    [sentence] = screen("references").choose("dataset", "matpes-elements-r2scan").errors()
    assert "part is empty" in sentence


def test_dataset_without_energies_is_one_sentence(home, screen, raw, tmp_path) -> None:
    documents = [{key: value for key, value in d.items() if "energy" not in key} for d in raw[NAME]]
    (tmp_path / "mute.jsonl").write_text("\n".join(map(json.dumps, documents)))
    import_file(tmp_path / "mute.jsonl", home / "datasets", name="mute-r2scan")
    [sentence] = screen("references").choose("dataset", "mute-r2scan").errors()
    assert "No frame of the train part of" in sentence and "has an energy" in sentence


def test_one_training_frame_and_elements_it_lacks(lab) -> None:
    page = lab(train_size="1", lab_tab="Diagnostics")
    table = schemes(page)
    assert table.loc["residual-smooth", "N test"] == "14"
    assert "in no training frame with an energy: their references are a prior's guess" in page.words()
    assert not table.isin(["nan"]).any(axis=None)
    assert "The training frames determine 1 combination of " in page.words()
    assert not re.search(r"\b1 (frames|combinations|elements|materials|orders|refits|energies)\b", page.words())
    for tab in ("Residuals per element", "Shift against Z", "Learning curve"):
        assert "nan" not in lab(train_size="1", lab_tab=tab).words().lower()
