"""One make command sets everything up: the pins, the script that installs them, and the app's configuration."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import setup_venv

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "requirements.txt"
DEV_PINS = ROOT / "requirements-dev.txt"
CUDA = re.compile(r"^(nvidia-|triton|cuda-)")  # what torch's CUDA build adds on a machine with a GPU


def pins(path: Path) -> dict[str, str]:
    """Name -> version of every requirement line; the whole line must be ``name==version``."""
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    exact = [re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", line) for line in lines if line]
    assert all(exact), f"{path.name} has a line that is no exact pin"
    names = [canonicalize_name(match[1]) for match in exact]
    assert len(set(names)) == len(names), f"{path.name} pins a package twice"
    return dict(zip(names, (match[2] for match in exact), strict=True))


# --- the pins ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PINS, DEV_PINS], ids=lambda path: path.name)
def test_installed_versions_are_the_pinned_ones(path: Path) -> None:
    installed = {name: importlib.metadata.version(name).partition("+")[0] for name in pins(path)}
    assert installed == pins(path)


def test_no_cuda_package_is_pinned() -> None:
    assert [name for name in pins(PINS) if CUDA.match(name)] == ["nvidia-ml-py3"]  # chgnet reads GPU names with it


def test_lock_is_complete() -> None:
    pinned = pins(PINS) | pins(DEV_PINS)
    needed = {
        canonicalize_name(requirement.name): f"needed by {name}"
        for name in pinned
        for requirement in map(Requirement, importlib.metadata.requires(name) or [])
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }
    assert {name: why for name, why in needed.items() if name not in pinned and not CUDA.match(name)} == {}


def test_what_the_product_imports_is_pinned_directly() -> None:
    direct = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", PINS.read_text().partition("--- transitive")[0], re.M)}
    product = [ROOT / "app.py", *(ROOT / "pages").rglob("*.py"), *(ROOT / "xfunc_core").rglob("*.py")]
    own = {"app", "pages", "xfunc_core"} | {path.stem for path in (ROOT / "pages").rglob("*")} | {"triton"}  # which torch brings for a GPU
    distributions = importlib.metadata.packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in product
        if path.exists()
        for module in _outside_modules(path) - own
        if not direct & {canonicalize_name(name) for name in distributions.get(module, [])}
    }
    assert missing == set()


def _outside_modules(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level and node.module}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


# --- make and setup_venv.py -------------------------------------------------------------------


def test_make_alone_lists_its_targets() -> None:
    listed = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^ +make (\w+)", listed, re.M) == ["help", "app", "test", "lint", "clean"]


def test_ci_script_is_executable_bash() -> None:
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What setup_venv would run, in order, with ``.venv`` in an empty folder and no GPU."""
    made: list[tuple[str, ...]] = []

    def make_venv() -> None:
        made.append(("venv",))
        shutil.rmtree(tmp_path / ".venv", ignore_errors=True)
        (tmp_path / ".venv").mkdir()

    def pip(*arguments: str, must: bool = True) -> bool:
        made.append(arguments)
        return True

    monkeypatch.setattr(setup_venv, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(setup_venv, "make_venv", make_venv)
    monkeypatch.setattr(setup_venv, "pip", pip)
    monkeypatch.setattr(setup_venv, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(setup_venv, "is_whole", lambda venv: setup_venv.stamp_of("requirements.txt", venv).exists())
    monkeypatch.delenv("TORCH_INDEX", raising=False)
    return made


def test_first_run_installs_torch_alone_then_the_rest(calls: list) -> None:
    setup_venv.main("app")
    assert calls[0] == ("venv",)
    assert calls[1][-1] == f"torch=={pins(PINS)['torch']}"
    assert "--no-deps" in calls[1] and setup_venv.TORCH_CPU_INDEX in calls[1]
    assert calls[2:] == [("-r", str(PINS))]


def test_second_run_installs_nothing_and_tests_add_only_their_own(calls: list) -> None:
    setup_venv.main("app")
    calls.clear()
    setup_venv.main("app")
    assert calls == []
    setup_venv.main("test")
    assert calls == [("-r", str(DEV_PINS))]


def test_changed_requirements_are_installed_again(calls: list) -> None:
    setup_venv.main("app")
    setup_venv.stamp_of("requirements.txt", setup_venv.VENV).write_text("another hash")
    calls.clear()
    setup_venv.main("app")
    assert calls[-1] == ("-r", str(PINS)) and ("venv",) not in calls


def test_interrupted_installation_is_started_over(calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: str, must: bool = True) -> bool:
        raise KeyboardInterrupt

    setup_venv.main("app")
    setup_venv.stamp_of("requirements.txt", setup_venv.VENV).write_text("another hash")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(setup_venv, "pip", interrupted)
        setup_venv.main("app")
    calls.clear()
    setup_venv.main("app")
    assert calls[0] == ("venv",)


def test_torch_comes_from_the_given_index_and_a_new_one_starts_over(calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    setup_venv.main("app")
    calls.clear()
    monkeypatch.setenv("TORCH_INDEX", "https://example.org/cu")
    setup_venv.main("app")
    assert calls[0] == ("venv",) and "https://example.org/cu" in calls[1]
    calls.clear()
    setup_venv.main("app")
    assert calls == []


def test_torch_falls_back_to_the_default_index(calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: str, must: bool = True) -> bool:
        calls.append(arguments)
        return setup_venv.TORCH_CPU_INDEX not in arguments

    monkeypatch.setattr(setup_venv, "pip", unreachable)
    setup_venv.main("app")
    assert calls[2] == ("--no-deps", f"torch=={pins(PINS)['torch']}")


def test_gpu_gets_the_default_build_with_its_dependencies(calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_venv, "has_nvidia_gpu", lambda: True)
    setup_venv.main("app")
    assert calls[1] == (f"torch=={pins(PINS)['torch']}", "-c", str(PINS))


def test_broken_venv_is_not_whole(tmp_path: Path) -> None:
    setup_venv.stamp_of("requirements.txt", tmp_path).write_text("installed once")
    assert not setup_venv.is_whole(tmp_path)  # no Python in it
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(tmp_path / "gone")
    assert not setup_venv.is_whole(tmp_path)


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0)])
def test_unfit_python_is_refused_in_one_sentence(version: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=rf"needs Python 3\.11, 3\.12 or 3\.13, and this is {version[0]}\.{version[1]}:"):
        setup_venv.check_python()


def test_missing_venv_package_names_the_apt_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match="sudo apt install python3-venv"):
        setup_venv.check_python()


def test_missing_browser_is_a_sentence_for_a_person_and_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    setup_venv.ensure_browser()
    assert "sudo apt install chromium" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    with pytest.raises(SystemExit):
        setup_venv.ensure_browser()


def test_root_gets_the_browser_from_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "apt-get" or len(commands) == 2 else None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(setup_venv, "run", lambda command, **options: commands.append(command))
    setup_venv.ensure_browser()
    assert [command[1] for command in commands] == ["update", "install"] and commands[1][-1] == "chromium"


# --- .streamlit/config.toml -------------------------------------------------------------------

CONFIG = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())


def test_app_answers_this_machine_only_and_reports_to_nobody() -> None:
    assert CONFIG["server"]["address"] == "127.0.0.1"
    assert set(CONFIG["server"]["allowedHosts"]) == {"127.0.0.1", "localhost"}
    assert CONFIG["browser"]["gatherUsageStats"] is False


def test_streamlit_knows_every_option() -> None:
    command = [sys.executable, "-m", "streamlit", "config", "show"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "not a valid config option" not in shown.stdout + shown.stderr
    assert 'address = "127.0.0.1"' in shown.stdout


def channels(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def luminance(rgb: list[float]) -> float:
    """WCAG 2 relative luminance of sRGB channels in 0..1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(ink: str, ground: str, opacity: float = 1.0) -> float:
    """WCAG 2 contrast ratio of *ink*, laid at *opacity* on *ground*."""
    mixed = [opacity * i + (1 - opacity) * g for i, g in zip(channels(ink), channels(ground), strict=True)]
    low, high = sorted([luminance(mixed), luminance(channels(ground))])
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_known_pairs() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_is_readable_on_every_ground(mode: str) -> None:
    theme = CONFIG["theme"][mode]
    side = theme["sidebar"]
    grounds = [t[key] for t in (theme, side) for key in ("backgroundColor", "secondaryBackgroundColor")]
    for ground in grounds:
        for ink in ("textColor", "linkColor", "grayTextColor"):
            assert contrast(theme[ink], ground) >= 4.5, (ink, ground)
        assert contrast(theme["textColor"], ground, opacity=0.6) >= 4.5, ("caption", ground)
    assert contrast(theme["dataframeHeaderTextColor"], theme["dataframeHeaderBackgroundColor"]) >= 4.5


@pytest.mark.parametrize(("mode", "white_on_primary"), [("light", 4.5), ("dark", 4.0)])
def test_primary_colour_is_readable_both_ways(mode: str, white_on_primary: float) -> None:
    # Streamlit writes white on the primary colour in both modes. No colour reaches 4.5 both ways on a dark ground
    # (that would need black itself), so in the dark the text in the colour passes and white comes near.
    theme = CONFIG["theme"][mode]
    assert contrast(theme["primaryColor"], theme["backgroundColor"]) >= 4.5
    assert contrast("#FFFFFF", theme["primaryColor"]) >= white_on_primary
