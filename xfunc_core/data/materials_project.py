"""Relaxed structures and total energies of the Materials Project: asked for through mp-api with the user's key, kept as JSON lines.

What the documents mean is in `xfunc_core.data.formats.thermo`, which reads them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import requests

from xfunc_core.data.formats.thermo import THERMO_TYPES
from xfunc_core.data.watching import Reading, Stage
from xfunc_core.elements import Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

FIELDS = ("material_id", "thermo_type", "uncorrected_energy_per_atom", "energy_per_atom", "entries")
MOST_ELEMENTS = 8
"""Elements whose systems are all asked for: 255 questions."""
LICENCE = "CC-BY-4.0"
CITATION = "Jain et al., The Materials Project, 10.1063/1.4812323"
KEY = "MP_API_KEY"

_SYSTEM = re.compile(r"[A-Z][a-z]?(-[A-Z][a-z]?)*")


def parse_systems(text: str, *, subsystems: bool = False) -> tuple[str, ...]:
    """Chemical systems as people type them, ``Li-Fe-O, Na-Cl``, each in alphabetical order; with ``subsystems`` also those within each.

    Raises:
        DataError: one of them is none, or has too many elements for all its subsystems.
    """
    found: list[str] = []
    for item in re.split(r"[\s,;]+", text.strip()):
        elements = sorted(set(item.split("-")))
        if not _SYSTEM.fullmatch(item) or not set(elements) <= set(Z_OF):
            raise DataError(f"{item[:40]!r} is no chemical system: write elements joined by dashes, such as Li-Fe-O.")
        if subsystems and len(elements) > MOST_ELEMENTS:
            raise DataError(f"{item} has {len(elements)} elements, too many to ask for all systems within: use at most {MOST_ELEMENTS}.")
        sizes = range(1, len(elements) + 1) if subsystems else (len(elements),)
        found += ["-".join(chosen) for size in sizes for chosen in combinations(elements, size)]
    return tuple(dict.fromkeys(found))


def has_key() -> bool:
    """Whether the environment holds a key of the Materials Project."""
    return bool(os.environ.get(KEY, "").strip())


def fetch_documents(systems: Sequence[str], functional: Functional, path: Path, *, key: str = "", tell: Callable[[Reading], None] | None = None) -> Path:
    """Ask the Materials Project for the thermo documents of chemical systems and keep them in ``path``, one a line.

    Args:
        systems: such as ``Li-O``.
        functional: decides the thermo type.
        path: the file to write; its folder is made if missing.
        key: the user's; that of the environment if empty. It is neither written nor logged.
        tell: called with the documents so far after each system.

    Raises:
        DataError: there is no key, the Materials Project cannot be reached or refuses, or it has nothing; nothing is left then.
    """
    key = key.strip() or os.environ.get(KEY, "").strip()
    if not key:
        raise DataError(f"The Materials Project wants a key: get one at https://next-gen.materialsproject.org/api and set {KEY} before xfunc is started.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("w", encoding="utf-8") as stream:
            n_documents = 0
            for document in _documents(systems, functional, key):
                n_documents += 1
                stream.write(json.dumps(document) + "\n")
                if tell is not None:
                    tell(Reading(Stage.DOWNLOADING, n_documents, None, None))
        if not n_documents:
            raise DataError(f"The Materials Project has no {functional.label} energies ({THERMO_TYPES[functional]}) for {', '.join(systems[:5])}: ask for other systems.")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return path


def _documents(systems: Sequence[str], functional: Functional, key: str) -> Iterator[dict[str, Any]]:
    """Plain dictionaries as the server sends them: mp-api's document models would decode classes that the answer names."""
    from mp_api.client.core.exceptions import MPRestError  # seconds and pymatgen
    from mp_api.client.mprester import MPRester

    problem = ""
    try:
        with MPRester(key, use_document_model=False, mute_progress_bars=True) as client:
            for system in systems:
                yield from client.materials.thermo.search(chemsys=system, thermo_types=[THERMO_TYPES[functional]], fields=list(FIELDS))
    except requests.ConnectionError:
        problem = "it cannot be reached"
    except (MPRestError, requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = _shortened(str(error), key)
    if problem:  # raised here, so that no traceback leads to an error that may hold the key
        raise DataError(f"The Materials Project did not answer as it should ({problem}): check the network and the key, and try again.")


def _shortened(message: str, key: str) -> str:
    """An error message on one line and without the key; of a failed connection only that it failed."""
    words = " ".join(message.replace(key, "…").split())
    return "it cannot be reached" if "Max retries" in words or "NewConnectionError" in words else words[:200] or "no reason given"
