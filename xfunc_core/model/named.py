"""Which checkpoint a model's name means: one that comes with chgnet, a run's, or a file. No torch here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xfunc_core.data.home import runs_root, typed_path
from xfunc_core.data.importing import SCALES
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import DataError, RunError
from xfunc_core.quantities import Functional
from xfunc_core.references.published import SILENT_HOLES

SHIPPED = {
    "0.3.0": "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
    "r2scan": "pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
    "0.2.0": "pretrained/0.2.0/chgnet_0.2.0_e30f77s348m32.pth.tar",
}
"""Checkpoints that come with chgnet, by upstream's names."""
PRETRAINED = "pretrained"
"""Another name of 0.3.0, what every transfer starts from."""
MEANT = "pretrained (which is 0.3.0), r2scan or 0.2.0 of chgnet, a run, or the path of a CHGNet checkpoint"
"""What may be named, for sentences."""
RUN_MODEL, RUN_METRICS, RUN_REFERENCES = "model.pt", "metrics.json", "references.json"
"""In a run's folder, as `xfunc_core.runs.files` names them."""
_ENDINGS = (".pt", ".pth", ".tar")


@dataclass(frozen=True)
class NamedModel:
    """A checkpoint, and what is known of it without loading it.

    Attributes:
        title: its name in sentences and in files: ``chgnet 0.3.0``, a run's id, a file's name.
        path: of the checkpoint.
        run: folder of the run that it is from; None if it is from none.
        functional: of the energies that it learnt; None if not known.
        energy_scale: which code and potentials these refer to; '' if not known.
        without_reference: elements in no frame that its reference energies were fitted to, by symbol, as far as known.
    """

    title: str
    path: Path
    run: Path | None = None
    functional: Functional | None = None
    energy_scale: str = ""
    without_reference: tuple[str, ...] = ()


def named_model(name: str) -> NamedModel:
    """The checkpoint that a name means; a name of chgnet's counts before a run, and a run before a path.

    Raises:
        RunError: it is a run that has no model yet.
        DataError: it is nothing of all that.
    """
    version = "0.3.0" if name == PRETRAINED else name
    if version in SHIPPED:
        functional = Functional.R2SCAN if version == "r2scan" else Functional.PBE  # PBE with a Hubbard U for some
        holes = SILENT_HOLES["r2scan" if version == "r2scan" else "mptrj"]
        return NamedModel(f"chgnet {version}", shipped_checkpoint(version), None, functional, SCALES["mptrj"], holes)
    run = named_run(name)
    if run is None:
        return _of_file(typed_path(name), name)
    if not (run / RUN_MODEL).is_file():
        raise RunError(f"Run {run.name} has no model yet: `python -m xfunc_core runs {run.name}` says how far it is.")
    return _of_run(run)


def named_run(name: str) -> Path | None:
    """The folder of the run of that id, or at that path; None if it is none."""
    folders = [runs_root() / name] if Path(name).name == name else []
    return next((folder for folder in (*folders, typed_path(name)) if (folder / "config.json").is_file()), None)


def shipped_checkpoint(name: str) -> Path:
    """The file of a checkpoint that comes with chgnet: ``0.3.0``, ``r2scan`` or ``0.2.0``; found without importing chgnet.

    Raises:
        DataError: chgnet or the file is not there.
    """
    package = find_spec("chgnet")
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        if (path := Path(folder) / SHIPPED[name]).is_file():
            return path
    raise DataError(f"CHGNet {name} is missing from this Python: install chgnet 0.4.2 again.")


def _of_file(path: Path, name: str) -> NamedModel:
    if path.is_file():
        is_of_run = path.name == RUN_MODEL and (path.parent / "config.json").is_file()
        return _of_run(path.resolve().parent) if is_of_run else NamedModel(path.name.encode(errors="replace").decode(), path)
    if path.is_dir():
        raise DataError(f"{path} is a folder, and no run's: name {MEANT}.")
    if path.name != name or path.suffix in _ENDINGS:
        raise DataError(f"There is no file {path}: check the path of the model.")
    known = [PRETRAINED, *SHIPPED, *(folder.name for folder in runs_root().glob("*") if (folder / RUN_MODEL).is_file())]
    near = get_close_matches(name, known, n=1)
    raise DataError(f"There is no model {name[:70]!r}: {f'did you mean {near[0]!r}? Name' if near else 'name'} {MEANT}.")


def _of_run(folder: Path) -> NamedModel:
    learnt_from = _object(folder / RUN_METRICS).get("dataset")
    said = learnt_from if isinstance(learnt_from, dict) else {}
    functional = next((f for f in Functional if f.value == said.get("functional")), None)
    n_frames = _object(folder / RUN_REFERENCES).get("n_frames")
    lacking = tuple(symbol for symbol in SYMBOLS[:N_REFERENCED] if not n_frames.get(symbol)) if isinstance(n_frames, dict) else ()
    return NamedModel(folder.name, folder / RUN_MODEL, folder, functional, str(said.get("energy_scale") or ""), lacking)


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one if there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
