"""What each command of the CLI does: core in, an answer for people (text) and for scripts (data) out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from xfunc_core.data.home import datasets_root, home, runs_root, sweeps_root
from xfunc_core.data.importing import default_name, import_file
from xfunc_core.data.library import damaged, delete_dataset, install_bundled, list_datasets, open_dataset
from xfunc_core.data.pairs import pair_by_id
from xfunc_core.errors import RunError
from xfunc_core.explore import component_table, element_table, explore
from xfunc_core.quantities import ENERGY, QUANTITIES, Functional, Method, correlation_text, count_text, duration_text
from xfunc_core.references.paired import PairedScheme
from xfunc_core.references.schemes import ElementReferences, Scheme
from xfunc_core.runs.dispatcher import ensure_dispatcher, submit
from xfunc_core.runs.estimate import Estimate, estimate
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.results import RunResults
from xfunc_core.runs.state import RunState
from xfunc_core.runs.sweeps import list_sweeps, open_sweep, sweep_table
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings


@dataclass(frozen=True)
class Answer:
    """What a command says: text for people, data for ``--json``."""

    text: str
    data: Any
    exit_code: int = 0


def import_dataset(file: str, name: str | None, title: str, functional: str | None, replace: bool) -> Answer:
    """Import a file as a dataset."""
    path = Path(file).expanduser()
    labels = Functional(functional) if functional else None
    dataset, report = import_file(path, datasets_root(), name=name or default_name(path), title=title, functional=labels, replace=replace)
    text = "\n".join([f"Dataset {dataset.info.name} ({dataset.functional.label}):", *report.sentences()])
    return Answer(text, {"dataset": dataset.info.__dict__, "report": report.__dict__})


def datasets(name: str | None, delete: bool) -> Answer:
    """List, describe or delete datasets."""
    root = _data()
    if name and delete:
        delete_dataset(root, name)
        return Answer(f"Deleted {name}.", {"deleted": name})
    if name:
        info = open_dataset(root, name).info
        return Answer("\n".join(f"{key:16} {_short(value)}" for key, value in info.__dict__.items()), info.__dict__)
    found = [d.info for d in list_datasets(root)]
    rows = [{"Name": i.name, "Functional": Functional(i.functional).label, "Frames": count_text(i.n_frames), "Materials": count_text(i.n_materials), "Elements": len(i.elements), "Energy scale": i.energy_scale} for i in found]
    return Answer("\n".join([_table(rows), *damaged(root)]), {"datasets": [i.__dict__ for i in found], "damaged": damaged(root)})


def correlate(pbe: str, r2scan: str, references: str) -> Answer:
    """Correlate two datasets."""
    root = _data()
    pairs = pair_by_id(open_dataset(root, pbe), open_dataset(root, r2scan))
    found = explore(pairs, PairedScheme(references))
    e = found.energies
    lines = [
        f"{count_text(len(pairs))} frames of {count_text(e.n_materials)} materials in both functionals; {count_text(len(pairs.unpaired))} without a partner.",
        f"Energy      raw        r = {correlation_text(e.raw.pearson)}   N = {count_text(e.raw.n)}",
        f"            referenced r = {correlation_text(e.pearson_referenced)}   N = {count_text(e.referenced.n if e.referenced else 0)}   ({found.references.scheme.label})",
    ]
    data = {"n_pairs": len(pairs), "unpaired": pairs.unpaired.to_dict("records"), "raw": e.raw.__dict__, "referenced": e.referenced.__dict__ if e.referenced else None, "components": {k: v.__dict__ for k, v in found.components.items()}, "by_element": e.by_element.reset_index().to_dict("records"), "caveats": found.caveats()}
    tables = [component_table(found).to_string(index=False), "", element_table(e).to_string(index=False)]
    return Answer("\n".join([*lines, *found.caveats(), "", *tables]), _plain(data))


def references(settings: FinetuneSettings, scheme: Scheme) -> Answer:
    """Fit references on the training part of a dataset."""
    dataset = open_dataset(_data(), settings.dataset)
    found = fit_references(settings, dataset, scheme)
    rows = [{"Element": symbol, "Frames": count_text(int(n)), "w (eV/atom)": ENERGY.value(w)} for symbol, n, w in zip(found.fitted, found.n_frames[found.n_frames > 0], found.energies[found.n_frames > 0], strict=True)]
    head = f"{found.scheme.label}, fitted on {found.source}. {found.undetermined} combinations are left open."
    return Answer(f"{head}\n{_table(rows)}", found.to_json())


def fit_references(settings: FinetuneSettings, dataset: Any, scheme: Scheme) -> ElementReferences:
    """References of any scheme on the training part that the settings choose; loads the pretrained model if the scheme asks it."""
    from xfunc_core.training.finetune import fit_on_training_part

    return fit_on_training_part(settings, dataset, scheme)


def finetune(settings: FinetuneSettings, wait: bool, dry_run: bool) -> Answer:
    """Submit a run, or show what it would do."""
    dataset = open_dataset(_data(), settings.dataset)
    plan = make_plan(settings, dataset)
    expected = estimate(plan.atoms_per_epoch, settings.epochs, settings.device, list_runs(runs_root()))
    counts = {part: len(getattr(plan.split, part)) for part in ("train", "validation", "test")}
    data = {"settings": settings.to_dict(), "references": settings.scheme.value, "frames": counts, "total_steps": plan.total_steps, "estimated_seconds": expected.seconds, "warnings": plan.warnings(settings)}
    lines = [
        f"{Method(settings.method).label} on {dataset.info.title}: {counts['train']} training, {counts['validation']} validation, {counts['test']} test frames; {count_text(plan.total_steps)} steps, about {_estimate_text(expected)}.",
        *plan.warnings(settings),
    ]
    if dry_run:
        return Answer("\n".join([*lines, json.dumps(settings.to_dict(), indent=1)]), data)
    folder = submit(runs_root(), settings.to_dict())
    if not wait:
        return Answer("\n".join([*lines, f"Run {folder.id} is in the queue; follow it with: python -m xfunc_core runs {folder.id}"]), {**data, "run": folder.id})
    _wait([folder])
    return _outcome(folder, {**data, "run": folder.id})


def runs(run_id: str | None, action: str | None) -> Answer:
    """List runs, or act on one."""
    if run_id is None:
        if action:
            raise RunError(f"Name the run to {action}: python -m xfunc_core runs RUN --{action}.")
        ensure_dispatcher(runs_root())
        found = list_runs(runs_root())
        return Answer(_table([_run_row(f) for f in found]) if found else "There are no runs yet: python -m xfunc_core finetune DATASET starts one.", {"runs": [_run_data(f) for f in found]})
    folder = open_run(run_id)
    if action == "log":
        return Answer(folder.log_tail(), {"run": run_id, "log": folder.log_tail()})
    if action == "cancel":
        folder.request_cancel()
    elif action == "resume":
        folder.retry()
        ensure_dispatcher(runs_root())
    elif action == "delete":
        folder.delete()
        return Answer(f"Deleted {run_id}.", {"deleted": run_id})
    last = [r for r in folder.progress() if r.get("kind") == "epoch"][-1:]
    detail = [f"Epoch {r['epoch']}: validation {_errors_text(r['validation'])}" for r in last]
    return Answer("\n".join([_table([_run_row(folder)]), folder.state().sentence, *detail]), _run_data(folder) | {"last_epoch": last[0] if last else None})


def evaluate(model: str, dataset: str | None) -> Answer:
    """Show a run's errors, or evaluate a model on a dataset."""
    if dataset is None:
        return _outcome(open_run(model), {"run": model})
    from xfunc_core.training.finetune import evaluate_checkpoint

    path = None if model == "pretrained" else Path(model) if Path(model).is_file() else open_run(model).model
    errors, left_out = evaluate_checkpoint(path, open_dataset(_data(), dataset))
    rows = [{"Quantity": q.label, "N": count_text(errors[q.key]["n"]), "MAE": q.error_with_unit(errors[q.key]["mae"]), "RMSE": q.error_with_unit(errors[q.key]["rmse"])} for q in QUANTITIES if q.key in errors]
    said = [f"Left out {f['frame_id']}: {f['reason']}." for f in left_out]
    note = ["All frames of the dataset, those the model was trained on included."] if model != "pretrained" else []
    return Answer("\n".join([_table(rows), *note, *said]), {"model": model, "dataset": dataset, "errors": errors, "left_out": left_out})


def sweep(base: FinetuneSettings, methods: str, sizes: str, n_seeds: int, budget: str, wait: bool, dry_run: bool) -> Answer:
    """Submit a sweep, or list its runs."""
    from xfunc_core.runs.sweeps import submit_sweep
    from xfunc_core.training.sweep import SweepSettings, default_sizes, expand, parse_sizes

    dataset = open_dataset(_data(), base.dataset)
    chosen = parse_sizes(sizes) if sizes else default_sizes(make_plan(base, dataset).n_pool)
    settings = SweepSettings(base, tuple(m.strip() for m in methods.split(",") if m.strip()), chosen, n_seeds, budget)
    sweep_id = time.strftime("sweep-%Y%m%d-%H%M%S")
    planned = expand(settings, dataset, sweep_id)
    seconds = sum(estimate(make_plan(s, dataset).atoms_per_epoch, s.epochs, s.device, list_runs(runs_root())).seconds for s in planned.values())
    head = f"{len(planned)} runs over sizes {', '.join(map(str, chosen))}; about {duration_text(seconds)} one after another."
    data = {"sweep": sweep_id, "runs": list(planned), "estimated_seconds": seconds}
    if dry_run:
        return Answer("\n".join([head, *planned]), data)
    folders = submit_sweep(sweeps_root(), runs_root(), sweep_id, dataset.info.title, budget, {k: s.to_dict() for k, s in planned.items()})
    if not wait:
        return Answer(f"{head}\nSweep {sweep_id} is in the queue; see it with: python -m xfunc_core scaling {sweep_id}", data)
    _wait(folders)
    return scaling(sweep_id, ENERGY.key)


def scaling(sweep_id: str | None, quantity_key: str) -> Answer:
    """Fit the scaling laws of a sweep, or list the sweeps."""
    from xfunc_core.analysis.laws import scaling_laws

    if sweep_id is None:
        found = list_sweeps(sweeps_root())
        text = _table([{"Sweep": s.id, "Data": s.title, "Runs": len(s.run_ids)} for s in found]) if found else "There are no sweeps yet: python -m xfunc_core sweep DATASET starts one."
        return Answer(text, {"sweeps": [s.__dict__ for s in found]})
    quantity = next(q for q in QUANTITIES if q.key == quantity_key)
    table = sweep_table(open_sweep(sweeps_root(), sweep_id), runs_root())
    laws = scaling_laws(table, quantity)
    rows = [{"Run": r.run_id, "State": r.state.label, "Method": r.method, "N": r.size, "Seed": r.seed, f"Test MAE ({quantity.error_unit})": quantity.error(getattr(r, quantity.key))} for r in table.itertuples()]
    fits = [{"Method": m, "Exponent": law.exponent_text, "Runs": law.n_runs} for m, law in laws.by_method.items()]
    data = {"sweep": sweep_id, "quantity": quantity.key, "runs": [r | {"state": r["state"].value} for r in table.to_dict("records")], "laws": {m: law.to_json() for m, law in laws.by_method.items()}, "caveats": laws.caveats}
    return Answer("\n".join([_table(rows), "", _table(fits), *laws.caveats]), _plain(data))


def open_run(run_id: str) -> RunFolder:
    """A run by id.

    Raises:
        RunError: there is none of that id.
    """
    for folder in list_runs(runs_root()):
        if folder.id == run_id:
            return folder
    raise RunError(f"There is no run {run_id!r} in {home()}: `python -m xfunc_core runs` lists them.")


def _data() -> Path:
    install_bundled(datasets_root())
    return datasets_root()


def _outcome(folder: RunFolder, data: Mapping[str, Any]) -> Answer:
    state = folder.state()
    message = (folder.outcome() or {}).get("message", "") or state.sentence
    if state is not RunState.FINISHED:
        return Answer(f"Run {folder.id}: {state.label}. {message}", {**data, "state": state.value, "message": message}, exit_code=1)
    results = RunResults(folder)
    return Answer(f"Run {folder.id}, test part:\n{_table(results.error_table().to_dict('records'))}", {**data, "state": state.value, **results.metrics})


def _wait(folders: Sequence[RunFolder]) -> None:
    while any(folder.state().is_active for folder in folders):
        time.sleep(0.5)


def _run_row(folder: RunFolder) -> dict[str, Any]:
    data = _run_data(folder)
    return {"Run": data["run"], "State": folder.state().label, "Method": data["method"], "Data": data["dataset"], "Epochs": f"{data['epochs_done']}/{data['epochs'] or '?'}"}


def _run_data(folder: RunFolder) -> dict[str, Any]:
    try:
        config = folder.config()
    except RunError as error:
        return {"run": folder.id, "state": folder.state().value, "error": str(error), "method": "", "dataset": "", "epochs": 0, "epochs_done": 0}
    done = sum(1 for r in folder.progress() if r.get("kind") == "epoch")
    return {"run": folder.id, "state": folder.state().value, "method": config.get("method", ""), "dataset": config.get("dataset", ""), "epochs": config.get("epochs", 0), "epochs_done": done}


def _errors_text(errors: Mapping[str, float]) -> str:
    return ", ".join(f"{q.label.lower()} {q.error_with_unit(errors[q.key])}" for q in QUANTITIES if q.key in errors)


def _estimate_text(expected: Estimate) -> str:
    return duration_text(expected.seconds) + ("" if expected.measured_here else " (a first guess: this machine has not finished a run yet)")


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    return pd.DataFrame(rows).to_string(index=False) if rows else "(nothing)"


def _short(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _plain(data: Any) -> Any:
    """NaN becomes null, numpy numbers become numbers: what JSON readers expect."""
    if isinstance(data, Mapping):
        return {str(k): _plain(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(v) for v in data]
    if hasattr(data, "item"):
        data = data.item()
    return None if isinstance(data, float) and data != data else data
