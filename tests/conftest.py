"""What the tests of references, model, training and the worker share: real frames, the pretrained network, one thread."""

from __future__ import annotations

import copy
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import install_bundled, open_dataset

if TYPE_CHECKING:
    from xfunc_core.model.network import Engine

os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels for a GPU on the processor; before triton is imported, which torch does now and then

FEW = ["CaO-rs", "MgO-rs", "SrO-rs", "MgS-rs", "NaCl-rs", "NaF-rs", "KCl-rs", "KF-rs", "LiCl-rs", "LiF-rs", "Na2O-fl", "Li2O-fl", "K2O-fl", "CaF2-fl", "SrF2-fl", "SrCl2-fl", "Li2S-fl", "Na2S-fl"]
"""Materials of the bundled set whose elements occur several times among them; two or three atoms each."""


@pytest.fixture(scope="session")
def bundled_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data home with the bundled datasets and ``few``: 18 r²SCAN frames of 18 materials. Not to be changed."""
    home = tmp_path_factory.mktemp("home")
    install_bundled(home / "datasets")
    file = tmp_path_factory.mktemp("few") / "few.jsonl"
    file.write_text("\n".join(json.dumps(document) for document in documents("r2SCAN") if document["matpes_id"] in few_ids()))
    import_file(file, home / "datasets", name="few")
    return home


@pytest.fixture(scope="session")
def few(bundled_home: Path) -> Dataset:
    """The dataset of 18 frames."""
    return open_dataset(bundled_home / "datasets", "few")


@pytest.fixture(scope="session")
def xfunc_dft(bundled_home: Path) -> Dataset:
    """The bundled r²SCAN dataset: GPAW's energy scale, no magnetic moments, and it grows."""
    return open_dataset(bundled_home / "datasets", "xfunc-dft-r2scan")


@pytest.fixture(scope="session")
def elements(bundled_home: Path) -> Dataset:
    """The bundled elemental crystals in r²SCAN: magnetic moments, and cells of one atom."""
    return open_dataset(bundled_home / "datasets", "matpes-elements-r2scan")


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Torch on one thread: small cells gain nothing from more, and two busy processes would wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _denormals_are_back() -> Iterator[None]:
    """Training rounds denormal numbers to 0 for the rest of the process; hypothesis generates them."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def fresh(one_thread: None) -> Callable[[], Engine]:
    """Copies of the pretrained network, loaded once."""
    from xfunc_core.model.initial import load_pretrained

    pretrained = load_pretrained()
    return lambda: copy.deepcopy(pretrained)


def few_ids() -> list[str]:
    return [f"xfunc-{material}-1" for material in FEW]


def documents(functional: str) -> list[dict]:
    """The documents of a bundled file."""
    file = resources.files("xfunc_core.data") / "bundled" / f"xfunc-dft-{functional}.jsonl.gz"
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


@pytest.fixture(scope="session")
def fractions() -> Callable[..., np.ndarray]:
    """Atomic fractions, shape (F, 94), of formulas given as ``{"Na": 1, "Cl": 1}``."""
    from xfunc_core.elements import N_REFERENCED, Z_OF

    def of(*formulas: dict[str, float]) -> np.ndarray:
        counts = np.zeros((len(formulas), N_REFERENCED))
        for row, formula in enumerate(formulas):
            for symbol, count in formula.items():
                counts[row, Z_OF[symbol] - 1] = count
        return counts / counts.sum(axis=1, keepdims=True)

    return of
