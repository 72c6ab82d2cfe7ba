"""How often intervals hold the truth, on simulated pairs of known statistics; the whole table is in docs/data.md."""

import math

import numpy as np
import pytest

from benchmarks.coverage import Setting, coverage, truth
from xfunc_core.analysis.agreement import STATISTICS, agreement

REPLICATES = 1000
NOISE = 2 * math.sqrt(0.93 * 0.07 / REPLICATES), 2 * math.sqrt(0.97 * 0.03 / REPLICATES)
"""Two standard errors of a simulated coverage of 93 and of 97 %."""


@pytest.mark.parametrize(
    "setting",
    [
        Setting(12, "one", 0.5, heavy=False),
        Setting(30, "unequal", 0.9, heavy=False),
        Setting(50, "three", 0.0, heavy=True),
        Setting(50, "one", 0.99, heavy=True),
    ],
    ids=str,
)
def test_nominal_95_percent_cover_93_to_97(setting):
    for name, found in coverage(setting, REPLICATES).items():
        assert 0.93 - NOISE[0] <= found.held <= 0.97 + NOISE[1], (name, found)
        assert found.given > 0.9, (name, found)


def test_rows_taken_for_independent_would_cover_far_less():
    setting, rng = Setting(20, "unequal", 0.9, heavy=False), np.random.default_rng(0)
    expected, held = truth(0.9, heavy=False), dict.fromkeys(STATISTICS, 0)
    for _ in range(200):
        x, y, _ = setting.draw(rng)
        found = agreement(x, y, np.arange(x.size))
        for name in STATISTICS:
            held[name] += getattr(found, name).low <= expected[name] <= getattr(found, name).high
    assert max(held[name] / 200 for name in ("shift", "spread", "kendall")) < 0.85
