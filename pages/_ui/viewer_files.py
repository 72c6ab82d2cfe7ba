"""The files the structure viewer is served from, put together from the installed packages at first use."""

from __future__ import annotations

import shutil
import tempfile
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from xfunc_core.data.home import home

PAGE = Path(__file__).with_name("viewer_page") / "index.html"
REACT = "18.3.1"


def viewer_folder() -> Path:
    """A complete folder with the page and its scripts, in the home's cache; made when it is not there yet.

    Raises:
        OSError: a file is missing from the packages, or the cache cannot be written.
    """
    sources = _sources()
    page = PAGE.read_text(encoding="utf-8")
    versions = f"{_version('dash-mp-components')}-{_version('dash')}-{sha256(page.encode()).hexdigest()[:8]}"
    folder = home() / "cache" / f"viewer-{versions}"
    if not folder.is_dir():
        _assemble(folder, sources, page.replace("VERSIONS", versions))
    return folder


def _sources() -> dict[str, Path]:
    """File name -> where pip has put the file."""
    deps = _package("dash") / "deps"
    return {
        "react.min.js": deps / f"react@{REACT}.min.js",
        "react-dom.min.js": deps / f"react-dom@{REACT}.min.js",
        "prop-types.min.js": deps / "prop-types@15.8.1.min.js",
        "dash_mp_components.min.js": _package("dash_mp_components") / "dash_mp_components.min.js",
    }


def _assemble(folder: Path, sources: dict[str, Path], page: str) -> None:
    """Fill a temporary neighbour and rename it, so that the folder is complete or absent."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".viewer-") as scratch:
        made = Path(scratch) / "viewer"
        made.mkdir()
        for name, source in sources.items():
            shutil.copyfile(source, made / name)
        (made / "index.html").write_text(page, encoding="utf-8")
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another session was faster
                raise


def _package(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"The package {name} is not installed.")
    return Path(spec.origin).parent


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError as error:
        raise FileNotFoundError(f"The package {distribution} is not installed.") from error
