"""MatPES from Hugging Face: which files there are, and a download that goes on where it broke off.

The hub lists a repository's files with their sizes and SHA-256, so a file is looked up before it is fetched and
checked after. ``HF_ENDPOINT`` names another hub, as for Hugging Face's own tools.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from xfunc_core.data.watching import Reading, Stage
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

HUB = "https://huggingface.co"
REPOSITORIES = ("materialyze/matpes", "mavrl/matpes")
"""The same data under its present and its former owner."""
ENDINGS = (".jsonl", ".json.gz", ".jsonl.gz", ".json")
"""The containers in which the files have been published; the first that is there is taken."""
LICENCE = "BSD-3-Clause"
CITATION = "Kaplan et al., MatPES, arXiv 2503.04070"
TRIES = 5
"""How often in a row a download may break off without a new byte."""
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces
_PIECE = 1 << 18


@dataclass(frozen=True)
class KnownFile:
    """A file of MatPES.

    Attributes:
        stem: its name without the ending.
        title: on screen.
        functional: of its labels.
    """

    stem: str
    title: str
    functional: Functional


def _known() -> Iterator[KnownFile]:
    parts = {"": "", "-train": ", training part", "-valid": ", validation part", "-test": ", test part"}
    for functional, name in ((Functional.PBE, "PBE"), (Functional.R2SCAN, "R2SCAN")):
        for part, words in parts.items():
            yield KnownFile(f"MatPES-{name}-2025.2{part}", f"MatPES 2025.2 · {functional.label}{words}", functional)
        yield KnownFile(f"MatPES-{name}-2025.1", f"MatPES 2025.1 · {functional.label}", functional)
        yield KnownFile(f"MatPES-{name}-atoms", f"MatPES isolated atoms · {functional.label}", functional)


KNOWN = {known.title: known for known in _known()}
"""What can be downloaded, by title."""


@dataclass(frozen=True)
class _Located:
    """A file on the hub; ``sha256`` is '' where the hub does not offer it."""

    url: str
    name: str
    size: int
    sha256: str


def download(title: str, folder: Path, tell: Callable[[Reading], None] | None = None) -> Path:
    """Fetch a known file into ``folder``; called again with the same folder, it goes on where it broke off.

    Args:
        title: a key of `KNOWN`.
        folder: where to put it; made when the first byte comes.
        tell: called with how far it is, at each piece.

    Returns:
        The whole file, under the name it has on the hub.

    Raises:
        DataError: there is no such file, the hub cannot be reached, the disk is full, or what came is not what was promised.
    """
    if title not in KNOWN:
        raise DataError(f"{title[:70]!r} is no file that xfunc can download: choose one of those listed.")
    with requests.Session() as session:
        with _said(title, folder):
            located = _locate(session, KNOWN[title])
        final = folder / located.name
        if not final.exists():
            part = folder / f".{located.name}.{located.sha256[:12] or located.size}.part"
            with _said(title, folder):
                _fetch(session, located, part, tell)
                _check(part, located)
                part.replace(final)
    return final


def _locate(session: requests.Session, known: KnownFile) -> _Located:
    hub = os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB
    for repository in REPOSITORIES:
        answer = session.get(f"{hub}/api/datasets/{repository}/tree/main", timeout=_TIMEOUT)
        if answer.status_code == 404:
            continue
        answer.raise_for_status()
        files = {file["path"]: file for file in answer.json() if isinstance(file, dict) and isinstance(file.get("path"), str)}
        for name in (known.stem + ending for ending in ENDINGS):
            if name in files:
                return _described(f"{hub}/datasets/{repository}/resolve/main/{name}", name, files[name])
    raise DataError(f"{known.title} is in none of {' and '.join(REPOSITORIES)} on {hub} any more: download it by hand and import the file.")


def _described(url: str, name: str, file: dict[str, Any]) -> _Located:
    stored = file.get("lfs") if isinstance(file.get("lfs"), dict) else {}
    digest = str(stored.get("oid", ""))
    return _Located(url, name, int(file["size"]), digest if len(digest) == 64 else "")


def _fetch(session: requests.Session, located: _Located, part: Path, tell: Callable[[Reading], None] | None) -> None:
    """Bring ``part`` to its whole size, over as many connections as it takes."""
    tries = 0
    while (have := part.stat().st_size if part.exists() else 0) < located.size:
        with suppress(requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
            _fetch_rest(session, located, part, have, tell)
        now = part.stat().st_size if part.exists() else 0
        tries = 0 if now > have else tries + 1
        if tries >= TRIES:
            raise requests.ConnectionError("the connection breaks off")


def _fetch_rest(session: requests.Session, located: _Located, part: Path, have: int, tell: Callable[[Reading], None] | None) -> None:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with session.get(located.url, headers=headers, timeout=_TIMEOUT, stream=True) as answer:
        answer.raise_for_status()
        goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        n_bytes = have if goes_on else 0
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab" if goes_on else "wb") as stream:
            for piece in answer.iter_content(_PIECE):
                stream.write(piece)
                n_bytes += len(piece)
                if tell is not None:
                    tell(Reading(Stage.DOWNLOADING, 0, n_bytes, located.size))


def _check(part: Path, located: _Located) -> None:
    with part.open("rb") as stream:
        whole = part.stat().st_size == located.size
        same = whole and (not located.sha256 or hashlib.file_digest(stream, "sha256").hexdigest() == located.sha256)
    if not same:
        part.unlink()
        raise DataError(f"{located.name} came with another {'content' if whole else 'size'} than Hugging Face promised, so it was thrown away: try again.")


@contextmanager
def _said(title: str, folder: Path) -> Iterator[None]:
    """Say in a sentence what the network or the disk refuses, and leave no empty folder."""
    try:
        yield
    except (requests.RequestException, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{title} could not be downloaded from Hugging Face ({_reason(error)}): check the network, or download the file elsewhere and import it by its path.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"The disk that holds {folder.parent} is full, so {title} was not downloaded: free some space and restart; what is there stays.") from error
        raise DataError(f"{title} was not downloaded ({error.strerror or error}: {folder}): check the permissions of that place.") from error
    finally:
        if folder.is_dir() and not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"it answers {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "it does not answer"
    return "it cannot be reached" if isinstance(error, requests.ConnectionError) else "its answer makes no sense"
