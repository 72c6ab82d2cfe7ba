"""The arrows of docs/architecture.md, read off the syntax trees, and what the pages may load at start."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "chgnet", "crystal_toolkit")  # seconds and hundreds of megabytes each
UNSAFE = ("pickle", "cloudpickle", "dill", "shelve", "monty.serialization", "monty.json.MontyDecoder")  # run what they read
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
ENGINE = ("xfunc_core/model/", "xfunc_core/training/", "xfunc_core/worker.py")
ENTRANCES = ("xfunc_core/worker.py", "xfunc_core/import_worker.py", "xfunc_core/prediction_worker.py", "xfunc_core/cli.py", "xfunc_core/commands.py", "xfunc_core/__main__.py")
FORBIDDEN = {  # folder: the core modules that it must not import
    "xfunc_core/runs/": ("training", "model", "plots"),
    "xfunc_core/analysis/": ("data", "model", "training", "runs", "plots"),
    "xfunc_core/data/": ("analysis", "model", "training", "runs", "plots"),
    "xfunc_core/references/": ("model", "training", "runs", "plots"),
    "xfunc_core/lab/": ("model", "plots", "training.finetune", "training.loop", "training.loss"),
    "xfunc_core/model/": ("training", "runs", "plots"),
    "xfunc_core/training/": ("runs", "plots"),
}
PLOTS_MAY = ("plots", "analysis", "quantities", "elements", "errors")


# --- the checker ------------------------------------------------------------------------------


def sources() -> list[Path]:
    """Every Python file of the product: the app, its pages and the core."""
    folders = [path for name in ("xfunc_core", "pages") for path in (ROOT / name).rglob("*.py")]
    return sorted(path for path in [ROOT / "app.py", *folders] if path.exists())


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Dotted names of everything imported in *tree*; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def at_import(tree: ast.Module) -> ast.Module:
    """The part of a module that runs when it is imported: no function bodies, no TYPE_CHECKING blocks."""

    class Outside(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None: ...

        visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

        def visit_If(self, node: ast.If) -> ast.AST:
            return ast.Module(node.orelse, []) if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    return Outside().visit(ast.parse(ast.unparse(tree)))


def within(name: str, *packages: str) -> bool:
    """Whether the dotted *name* is one of *packages* or lies inside one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def violations(path: str, source: str) -> list[str]:
    """What the file at *path* (from the repository root) does against the architecture, a phrase each."""
    tree = ast.parse(source)
    names = set(imported(tree, path.rpartition("/")[0].replace("/", ".")))
    core = {name.removeprefix("xfunc_core.") for name in names if name.startswith("xfunc_core.")}
    found = [f"imports {name}, which runs what it reads" for name in names if within(name, *UNSAFE)]
    found += list(_unsafe_calls(tree))
    if VAGUE_NAMES & set(path.removesuffix(".py").split("/")):
        found.append("has a name that says nothing")
    if path.startswith("xfunc_core/"):
        found += _core_violations(path, tree, names, core)
    elif path == "app.py" or path.startswith("pages/"):
        top = imported(at_import(tree), path.rpartition("/")[0].replace("/", "."))
        found += [f"imports {name} at its top" for name in top if within(name, *HEAVY)]
    return sorted(found)


def _core_violations(path: str, tree: ast.Module, names: set[str], core: set[str]) -> list[str]:
    found = [f"imports {name}" for name in names if within(name, "streamlit", "pages", "app")]
    if not path.startswith(ENGINE) or path == "xfunc_core/training/settings.py":
        found += [f"imports {name}" for name in names if within(name, "torch", "chgnet")]
    for folder, forbidden in FORBIDDEN.items():
        if path.startswith(folder):
            found += [f"imports xfunc_core.{name}" for name in core if within(name, *forbidden)]
    if path.startswith("xfunc_core/plots/"):
        found += [f"imports xfunc_core.{name}" for name in core if not within(name, *PLOTS_MAY)]
    if path not in ENTRANCES:
        found += [f"imports xfunc_core.{name}" for name in core if within(name, "cli", "commands", "worker", "import_worker", "prediction_worker")]
    if path != "xfunc_core/cli.py":
        found += ["prints" for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"]
    return found


def _unsafe_calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if function == "torch.load" and options.get("weights_only") != "True":
            yield "calls torch.load without weights_only=True"
        if options.get("allow_pickle", "False") != "False" or function.endswith("read_pickle"):
            yield f"calls {function} so that it unpickles"
        if function.split(".")[-1] in {"MontyDecoder", "loadfn"}:
            yield f"calls {function}, which builds whatever class a file names"


def loaded_at_start(modules: list[str], folder: Path = ROOT) -> list[str]:
    """Which heavy packages a fresh Python has loaded after importing *modules*, run in *folder*."""
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    code += f"print('loaded:', *[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, *modules], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1].split()[1:]


def modules_the_pages_load() -> list[str]:
    """Modules that app.py and the pages import at their top, streamlit's own included."""
    found = set()
    for path in sources():
        relative = path.relative_to(ROOT)
        if relative.parts[0] != "xfunc_core":
            for name in imported(at_import(ast.parse(path.read_text())), ".".join(relative.parts[:-1])):
                found.add(_as_module(name))
    return sorted(found - {"__future__"})


def _as_module(name: str) -> str:
    """``xfunc_core.plots.theme.palette`` is in module ``xfunc_core.plots.theme``; outside packages stay whole."""
    parts = name.split(".")
    if parts[0] not in {"xfunc_core", "pages"}:
        return parts[0]
    while len(parts) > 1 and not (ROOT.joinpath(*parts).is_dir() or ROOT.joinpath(*parts).with_suffix(".py").exists()):
        parts.pop()
    return ".".join(parts)


def modules_without_the_engine() -> list[str]:
    """Core modules that a page may import: all but model, training (its settings stay) and the entrances."""
    paths = [path.relative_to(ROOT).as_posix() for path in (ROOT / "xfunc_core").rglob("*.py")]
    light = [path for path in paths if not path.startswith(ENGINE) or path == "xfunc_core/training/settings.py"]
    return sorted(path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in light if path not in ENTRANCES)


# --- the product keeps to it ------------------------------------------------------------------


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_file_keeps_to_the_architecture(path: Path) -> None:
    assert violations(path.relative_to(ROOT).as_posix(), path.read_text()) == []


def test_pages_start_without_torch_chgnet_or_crystal_toolkit() -> None:
    assert loaded_at_start(modules_the_pages_load()) == []


def test_core_modules_for_pages_load_without_torch_chgnet_or_crystal_toolkit() -> None:
    modules = modules_without_the_engine()
    assert "xfunc_core.quantities" in modules
    assert loaded_at_start(modules) == []


# --- and the checker can fail -----------------------------------------------------------------

WRONG = [
    ("xfunc_core/analysis/a.py", "import streamlit as st", "imports streamlit"),
    ("xfunc_core/data/a.py", "def f():\n    from streamlit import cache_data", "imports streamlit.cache_data"),
    ("xfunc_core/data/a.py", "from pages._ui import loaders", "imports pages._ui.loaders"),
    ("xfunc_core/data/a.py", "import torch.nn", "imports torch.nn"),
    ("xfunc_core/training/settings.py", "def f():\n    import torch", "imports torch"),
    ("xfunc_core/cli.py", "from chgnet.model import CHGNet", "imports chgnet.model.CHGNet"),
    ("xfunc_core/runs/a.py", "from xfunc_core.training import settings", "imports xfunc_core.training.settings"),
    ("xfunc_core/runs/a.py", "from ..model.predict import predict", "imports xfunc_core.model.predict.predict"),
    ("xfunc_core/analysis/a.py", "from xfunc_core import data", "imports xfunc_core.data"),
    ("xfunc_core/analysis/a.py", "import xfunc_core.plots.theme", "imports xfunc_core.plots.theme"),
    ("xfunc_core/plots/a.py", "from xfunc_core.data.pairs import pairs", "imports xfunc_core.data.pairs.pairs"),
    ("xfunc_core/plots/a.py", "from xfunc_core.runs import folder", "imports xfunc_core.runs.folder"),
    ("xfunc_core/training/a.py", "from xfunc_core.runs.folder import RunFolder", "imports xfunc_core.runs.folder.RunFolder"),
    ("xfunc_core/lab/a.py", "def f():\n    from xfunc_core.training import finetune", "imports xfunc_core.training.finetune"),
    ("xfunc_core/runs/a.py", "from xfunc_core import worker", "imports xfunc_core.worker"),
    ("xfunc_core/data/a.py", "print(1)", "prints"),
    ("xfunc_core/utils.py", "", "has a name that says nothing"),
    ("pages/helpers/a.py", "", "has a name that says nothing"),
    ("app.py", "import torch", "imports torch at its top"),
    ("pages/a.py", "if True:\n    from crystal_toolkit.core import scene", "imports crystal_toolkit.core.scene at its top"),
    ("pages/a.py", "def f():\n    import pickle", "imports pickle, which runs what it reads"),
    ("xfunc_core/model/a.py", "import torch\ntorch.load('x')", "calls torch.load without weights_only=True"),
    ("xfunc_core/model/a.py", "import torch\ntorch.load('x', weights_only=False)", "calls torch.load without weights_only=True"),
    ("xfunc_core/data/a.py", "np.load('x', allow_pickle=True)", "calls np.load so that it unpickles"),
    ("xfunc_core/data/a.py", "json.loads(s, cls=MontyDecoder)\nMontyDecoder()", "calls MontyDecoder, which builds whatever class a file names"),
    ("xfunc_core/data/a.py", "from monty.json import MontyDecoder", "imports monty.json.MontyDecoder, which runs what it reads"),
    ("xfunc_core/data/a.py", "from monty.serialization import loadfn", "imports monty.serialization.loadfn, which runs what it reads"),
]

RIGHT = [
    ("xfunc_core/model/a.py", "import torch\ntorch.load('x', weights_only=True)"),
    ("xfunc_core/training/a.py", "from chgnet.model import CHGNet\nfrom xfunc_core.model import predict"),
    ("xfunc_core/worker.py", "import torch\nfrom xfunc_core.training import loop"),
    ("xfunc_core/plots/a.py", "from xfunc_core.analysis.scaling import fit\nfrom xfunc_core.quantities import label"),
    ("xfunc_core/runs/a.py", "command = ['-m', 'xfunc_core.worker']"),
    ("xfunc_core/cli.py", "print(1)"),
    ("xfunc_core/data/a.py", "np.load('x', allow_pickle=False)"),
    ("pages/a.py", "import streamlit\ndef f():\n    import torch"),
    ("pages/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
]


@pytest.mark.parametrize(("path", "source", "phrase"), WRONG)
def test_checker_finds(path: str, source: str, phrase: str) -> None:
    assert violations(path, source) == [phrase]


@pytest.mark.parametrize(("path", "source"), RIGHT)
def test_checker_passes(path: str, source: str) -> None:
    assert violations(path, source) == []


def test_start_check_sees_a_heavy_package_behind_another_module(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "light.py").write_text("import torch")
    assert loaded_at_start(["light"], tmp_path) == ["torch"]
    assert loaded_at_start(["json"], tmp_path) == []
