"""The README and the docs: what they link to is there, and the commands they name exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    missing = [link for link in links if link and not (page.parent / link).exists()]
    assert not missing


def test_make_knows_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    goals = set(re.findall(r"^make (\w+)", text, re.M))
    assert goals == {"app", "test"}
    for goal in goals:
        assert subprocess.run(["make", "-n", goal], cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize("page", ["README.md", "docs/setup.md"])
def test_what_apt_is_to_install_is_all_that_is_called(page: str) -> None:
    """A compiler included: without one CHGNet runs, but slower."""
    [packages] = re.findall(r"sudo apt install (git [\w+ -]+)", (ROOT / page).read_text())
    assert set(packages.split()) == {"git", "make", "g++", "python3-venv"}


def test_every_command_that_a_page_names_exists() -> None:
    named = {command for page in PAGES for command in re.findall(r"-m xfunc_core ([a-z][a-z-]+)", page.read_text())}
    help_text = subprocess.run([sys.executable, "-m", "xfunc_core", "--help"], cwd=ROOT, capture_output=True, text=True).stdout
    known = set(re.findall(r"^ {4}([a-z][a-z-]+)\b", help_text, re.M))
    assert {"import", "datasets", "correlate", "references", "finetune", "runs", "evaluate", "sweep", "scaling"} <= known
    assert named <= known


def test_pictures_are_of_a_size_to_look_at() -> None:
    from PIL import Image

    for name in ("explore.png", "results.png"):
        width, height = Image.open(ROOT / "docs" / "images" / name).size
        assert width >= 1000 and height >= 700
