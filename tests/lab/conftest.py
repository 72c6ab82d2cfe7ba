"""The bundled r²SCAN set on its default split, with what the pretrained model says of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from xfunc_core.data.dataset import Dataset
from xfunc_core.lab.comparison import compare
from xfunc_core.lab.evidence import Evidence, gather
from xfunc_core.lab.results import Comparison
from xfunc_core.predictions import evaluate, predictions
from xfunc_core.training.settings import FinetuneSettings

NAME = "xfunc-dft-r2scan"


@pytest.fixture(scope="session")
def gathered(xfunc_dft: Dataset, one_thread: None) -> Callable[..., Evidence]:
    """The evidence for any settings on the bundled set."""
    evaluate(xfunc_dft, np.arange(len(xfunc_dft)))
    return lambda **settings: gather(FinetuneSettings(NAME, **settings), xfunc_dft, predictions(xfunc_dft))


@pytest.fixture(scope="session")
def evidence(gathered: Callable[..., Evidence]) -> Evidence:
    """On the default split."""
    return gathered()


@pytest.fixture(scope="session")
def comparison(evidence: Evidence) -> Comparison:
    """Of all schemes, with fewer refits than users get."""
    return compare(evidence, n_refits=30)
