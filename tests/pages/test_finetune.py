"""The Fine-tune page: what it says will happen, what it launches, what it refuses."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace

import pytest

from pages._ui import loaders
from xfunc_core.data.library import open_dataset
from xfunc_core.quantities import Method
from xfunc_core.references.missing import MissingReference
from xfunc_core.references.schemes import Scheme
from xfunc_core.runs import devices
from xfunc_core.runs.devices import gpu_ids
from xfunc_core.runs.estimate import SECONDS_PER_ATOM, STARTUP_SECONDS
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.state import RunState
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings
from xfunc_core.training.sweep import SweepSettings

DEFAULT = FinetuneSettings(dataset="xfunc-dft-r2scan")


def said(page) -> dict[str, int]:
    """The numbers in the sentence of what will happen."""
    pattern = r"learns from \*\*([\d,]+)\*\* .* \*\*([\d,]+)\*\* and is tested on \*\*([\d,]+)\*\* .* ([\d,]+) optimiser steps?"
    found = re.search(pattern, page.words())
    return dict(zip(("train", "validation", "test", "steps"), (int(text.replace(",", "")) for text in found.groups()), strict=True))


@pytest.fixture
def planned(home, raw, symbols_of):
    """Counts of a run by its plan, steps and training atoms counted on the raw file."""

    def count(settings: FinetuneSettings) -> tuple[dict[str, int], int]:
        dataset = open_dataset(home / "datasets", settings.dataset)
        plan = make_plan(settings, dataset)
        atoms = {document["matpes_id"]: len(symbols_of(document)) for document in raw[settings.dataset]}
        train = dataset.table["frame_id"].to_numpy()[plan.split.train]
        counts = {part: len(getattr(plan.split, part)) for part in ("train", "validation", "test")}
        return counts | {"steps": math.ceil(len(train) / settings.batch_size) * settings.epochs}, sum(atoms[frame_id] for frame_id in train)

    return count


@pytest.mark.parametrize("method", list(Method))
def test_what_will_happen_and_the_resolved_settings(home, screen, planned, method) -> None:
    page = screen("finetune").choose("references", Scheme.MEAN_SHIFT).choose("method", method)
    settings = FinetuneSettings(dataset=DEFAULT.dataset, method=method.value, references="mean-shift")
    assert said(page) == planned(settings)[0]
    assert page.resolved() == settings.to_dict() | {"references": settings.scheme.value}
    assert page.widget("references").disabled == (not method.fits_references)
    references = "GGA references, one shift" if method.fits_references else "Keep the GGA references"
    assert f"references: {references}." in page.words()


def test_page_starts_from_the_default_settings(home, screen) -> None:
    assert screen("finetune").resolved() == DEFAULT.to_dict()


def test_every_control_reaches_the_settings_and_the_plan(home, screen, planned) -> None:
    page = screen("finetune")
    entries = {"epochs": 3, "learning_rate": 5e-4, "batch_size": 5, "seed": 7, "split_seed": 11, "energy_weight": 2.0, "force_weight": 0.5}
    entries |= {"stress_weight": 0.2, "magmom_weight": 0.0, "huber_delta": 0.2, "validation_fraction": 0.2, "test_fraction": 0.1, "clip": 1.5}
    for key, value in entries.items():
        page.widget(key).set_value(value)
    page.widget("references").set_value(Scheme.LSTSQ)
    page.choose("dataset", "xfunc-dft-pbe")
    entries["references"] = "lstsq"
    entries["max_gradient_norm"] = entries.pop("clip")
    settings = FinetuneSettings(dataset="xfunc-dft-pbe", **entries)
    assert page.resolved() == settings.to_dict()
    assert said(page) == planned(settings)[0]
    assert said(page) != planned(FinetuneSettings(dataset="xfunc-dft-pbe"))[0]


def test_reference_schemes_of_m4(home, screen) -> None:
    page = screen("finetune")
    box = page.widget("references")
    seen = set()
    for index in range(len(box.options)):
        page.widget("references").select_index(index)
        page.run()
        seen.add(page.resolved()["references"])
        assert f"references: {box.options[index]}." in page.words()
    assert seen == {scheme.value for scheme in Scheme} - {"keep", "table"}  # keeping them is M3


@pytest.mark.parametrize("policy", list(MissingReference))
def test_elements_without_a_reference_are_named_and_the_policy_decides(home, screen, planned, policy) -> None:
    page = screen("finetune", train_size="9", split_seed="0").choose("references", Scheme.LSTSQ).choose("missing_references", policy)
    settings = replace(DEFAULT, references="lstsq", train_size=9)
    dataset = open_dataset(home / "datasets", DEFAULT.dataset)
    plan = make_plan(settings, dataset)
    held = set().union(*(dataset.structure(row).symbol_set for row in plan.split.train))
    assert plan.missing and not held & set(plan.missing)
    named = ", ".join(plan.missing)
    if policy is MissingReference.FAIL:
        [sentence] = page.errors()
        assert f"“Least squares on the energies (paper)” gives {named} no reference energy" in sentence and "Launch" not in page.buttons()
        return
    settings = replace(settings, missing_references=policy.value)
    assert page.resolved() == settings.to_dict()
    assert said(page) == planned(settings)[0]
    if policy is MissingReference.DROP:
        n = len(make_plan(settings, dataset).dropped)
        assert n and f"{n} frames are left out, because “Least squares on the energies (paper)” gives {named} no reference energy." in page.words()
    else:
        assert "hold elements that no training frame has" in page.words()


def test_trained_references_have_their_own_start_and_rate(home, screen) -> None:
    page = screen("finetune")
    assert page.widget("reference_start").disabled and page.widget("reference_learning_rate").disabled
    page.choose("references", Scheme.TRAINABLE)
    assert "They start from “The model's residual, smooth in Z” and are trained at 1.0e-02 eV/atom a step." in page.words()
    page.choose("reference_start", "residual").choose("reference_learning_rate", 0.05)
    assert page.resolved() == replace(DEFAULT, references="trainable", reference_start="residual", reference_learning_rate=0.05).to_dict()
    assert "They start from “Least squares on the model's residual” and are trained at 5.0e-02 eV/atom a step." in page.words()
    page.choose("method", Method.M2)
    assert page.resolved()["reference_start"] == "residual"
    page.choose("method", Method.M4).choose("references", Scheme.LSTSQ)
    assert page.resolved() == replace(DEFAULT, references="lstsq").to_dict()


def test_launch_from_an_address_with_settings(home, screen, held_queue) -> None:
    page = screen("finetune", dataset="xfunc-dft · PBE", split_seed="3", train_size="16")
    with held_queue(home):
        page.click("Launch")  # Streamlit refuses to leave a page whose address holds controls, unless told what becomes of them
        [run] = list_runs(home / "runs")
        run.request_cancel()
    assert page.title() == "Runs"
    assert run.config() == replace(DEFAULT, dataset="xfunc-dft-pbe", split_seed=3, train_size=16).to_dict()


def test_processes_and_precision_reach_the_settings(home, screen) -> None:
    page = screen("finetune")
    assert page.widget("precision").disabled  # a CPU has but one
    page.choose("processes", 2).choose("batches", "cost")
    assert page.resolved() == replace(DEFAULT, processes=2, batches="cost").to_dict()
    assert "The queue starts them together, with their share of the threads each." in page.words()
    page.choose("processes", 9)
    assert "9 processes share each batch of 8, so that some have nothing to do" in page.words()


def test_gpus_are_asked_for_one_a_process(home, screen, monkeypatch) -> None:
    monkeypatch.setattr(devices, "available_devices", lambda: ["cpu", "cuda"])
    page = screen("finetune").choose("device", "cuda").choose("precision", "tf32").choose("processes", 3)
    assert page.resolved() == replace(DEFAULT, device="cuda", precision="tf32", processes=3).to_dict()
    assert f"3 processes need a GPU each, and this machine has {len(gpu_ids())} that xfunc may use" in page.words() or len(gpu_ids()) >= 3
    page.choose("device", "cpu")
    assert page.resolved() == replace(DEFAULT, processes=3).to_dict()


def test_two_processes_train_one_run_from_the_page(home, screen, until) -> None:
    page = screen("finetune", train_size="8", validation_fraction="0.08", test_fraction="0.1")
    page.choose("epochs", 1).choose("batch_size", 4).choose("processes", 2).click("Launch")
    [run] = list_runs(home / "runs")
    until(lambda: run.state().is_over and not run.processes())
    assert run.state() is RunState.FINISHED, run.log_tail()
    assert run.config()["processes"] == 2 and run.model.exists()
    [epoch] = [record for record in run.progress() if record["kind"] == "epoch"]
    assert epoch["step"] == math.ceil(len(json.loads(run.split.read_text())["train"]) / 4)  # the steps that one process would take


def test_time_is_a_first_guess_on_a_new_machine(home, screen, planned, seconds_in) -> None:
    page = screen("finetune")
    _, atoms = planned(DEFAULT)
    assert seconds_in(page.metric("Estimated time (a first guess)")) == pytest.approx(STARTUP_SECONDS + SECONDS_PER_ATOM["cpu"] * atoms * DEFAULT.epochs, abs=1)
    assert "first guess" in page.at.metric[0].help


def test_time_is_measured_once_runs_have_finished(trained, screen, raw, seconds_in, symbols_of) -> None:
    timings = [json.loads(path.read_bytes())["timing"] for path in (trained / "runs").glob("*/metrics.json")]
    pace = sorted(timing["seconds"] / timing["atoms_trained"] for timing in timings)[len(timings) // 2]
    dataset = open_dataset(trained / "datasets", DEFAULT.dataset)
    ids = dataset.table["frame_id"].to_numpy()[make_plan(DEFAULT, dataset).split.train]
    atoms = {document["matpes_id"]: len(symbols_of(document)) for document in raw[DEFAULT.dataset]}
    page = screen("finetune")
    assert seconds_in(page.metric("Estimated time")) == pytest.approx(STARTUP_SECONDS + pace * sum(atoms[i] for i in ids) * DEFAULT.epochs, abs=1)
    assert "this machine has finished" in page.at.metric[0].help


def test_one_of_anything_is_said_in_the_singular(home, screen) -> None:
    words = screen("finetune", train_size="1").choose("epochs", 1).words()
    assert "learns from **1** frame, " in words and "1 optimiser step; references" in words
    assert "Only 1 optimiser step: the model will hardly move" in words
    assert "The 1 training frame holds " in words and " but fixes only 1 combination of their reference energies" in words


def test_too_few_steps_are_said(home, screen) -> None:
    page = screen("finetune")
    assert "the model will hardly move" not in page.words()
    page.choose("epochs", 1).choose("batch_size", 1024)
    assert f"Only {said(page)['steps']} optimiser step: the model will hardly move" in page.words()


@pytest.mark.parametrize(
    ("entries", "part"),
    [
        ({"energy_weight": 0.0, "force_weight": 0.0, "stress_weight": 0.0, "magmom_weight": 0.0}, "All four loss weights are 0"),
        ({"dataset": "matpes-elements-r2scan"}, "part is empty"),  # one material an element: none can leave training
        ({"validation_fraction": 0.01, "test_fraction": 0.01, "dataset": "matpes-elements-pbe"}, "part is empty"),
    ],
)
def test_settings_that_cannot_work_are_one_sentence(home, screen, entries, part) -> None:
    page = screen("finetune")
    for key, value in entries.items():
        page.widget(key).set_value(value)
    page.run()
    [sentence] = page.errors()
    assert part in sentence
    assert "Launch" not in page.buttons()
    assert page.widget("epochs").value == DEFAULT.epochs  # the form is still there to be put right


def test_without_data_there_is_a_way_to_some(home, screen) -> None:
    page = screen("start")
    shutil.rmtree(home / "datasets")
    page.go("finetune")
    assert "no dataset to learn from" in page.words()
    assert page.go(page.links()["Import data"]).title() == "Datasets"


def test_launch_puts_one_run_with_the_shown_settings_into_the_queue(home, screen, until) -> None:
    page = screen("finetune").choose("references", Scheme.LSTSQ).choose("method", Method.M3).choose("epochs", 4)
    shown = page.resolved()
    page.click("Launch")
    [run] = list_runs(home / "runs")
    settings = FinetuneSettings(dataset=DEFAULT.dataset, method="M3", references="lstsq", epochs=4).to_dict()
    assert run.config() == settings
    assert shown == settings | {"references": "keep"}
    assert page.title() == "Runs"
    assert page.widget("run").value == run.id
    assert page.table("Run", "State")["Run"].tolist() == [run.id]
    page.click("Cancel")
    until(lambda: run.state().is_over and not run.processes())  # the outcome is on disk before the process has left
    assert run.state() is RunState.CANCELLED
    assert "**Cancelled** · " in page.run().words()


def test_two_launches_are_two_runs(home, screen, held_queue) -> None:
    page = screen("finetune")
    with held_queue(home):
        page.click("Launch").go("finetune").choose("seed", 1).click("Launch")
    runs = list_runs(home / "runs")
    assert sorted(run.config()["seed"] for run in runs) == [0, 1]
    for run in runs:
        run.request_cancel()


def test_a_run_that_failed_to_start_is_not_found_by_the_next(home, screen, held_queue) -> None:
    page = screen("finetune")
    (home / "runs" / "dispatcher.log").mkdir(parents=True)  # the process that starts runs cannot be started
    [sentence] = page.click("Launch").errors()
    assert "could not be started" in sentence
    with held_queue(home):
        (home / "runs" / "dispatcher.log").rmdir()
        page.choose("seed", 1).click("Launch")
        runs = list_runs(home / "runs")
        for run in runs:
            run.request_cancel()
    assert sorted(run.config()["seed"] for run in runs) == [0, 1]


def test_plans_are_kept_until_what_they_rest_on_changes(home, screen) -> None:
    dataset = open_dataset(home / "datasets", DEFAULT.dataset)
    planned = loaders.preview(DEFAULT, dataset)
    assert loaders.preview(DEFAULT, dataset) is planned
    assert loaders.preview(replace(DEFAULT, epochs=3), dataset).plan.total_steps < planned.plan.total_steps
    other = open_dataset(home / "datasets", "xfunc-dft-pbe")
    assert loaders.preview(DEFAULT, other) is not planned
    sweep = SweepSettings(DEFAULT, sizes=(8, 16))
    assert loaders.sweep_preview(sweep, dataset, "s") is loaders.sweep_preview(sweep, dataset, "s")
    run = RunFolder.create(home / "runs", DEFAULT.to_dict())
    run.write_json(run.metrics, {"timing": {"device": "cpu", "seconds": 100.0, "atoms_trained": 10}})
    assert loaders.preview(DEFAULT, dataset) is planned
    run.finish(RunState.FINISHED)
    measured = loaders.preview(DEFAULT, dataset)
    assert measured.estimate.measured_here and not planned.estimate.measured_here
    assert measured.estimate.seconds == pytest.approx(STARTUP_SECONDS + 10 * planned.plan.atoms_per_epoch * DEFAULT.epochs)
