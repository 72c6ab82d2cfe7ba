"""Public r²SCAN and GGA energies of the same materials, kept beside the repository."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xfunc_core.elements import N_REFERENCED, SYMBOLS

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def materials_project():
    """Energies (F,), composition (F, 94), ids (F,) and the two CHGNet references (94,), NaN where unknown."""
    if not (DATA / "mp_gga_r2scan_pairs.csv").is_file():
        pytest.skip(f"the public energies are not in {DATA}; they are not part of the repository")
    pairs = pd.read_csv(DATA / "mp_gga_r2scan_pairs.csv")
    table = pd.read_csv(DATA / "element_references.csv").sort_values("Z")
    composition = np.zeros((len(pairs), N_REFERENCED))
    for row, counts in enumerate(pairs["composition"]):
        for symbol, count in json.loads(counts).items():
            composition[row, SYMBOLS.index(symbol)] = count
    composition /= composition.sum(axis=1, keepdims=True)
    pbe, r2scan = (table[c].to_numpy() for c in ("chgnet_AtomRef_MPtrj", "chgnet_AtomRef_MP_r2SCAN"))
    unknown = np.abs(r2scan) < 1e-9
    references = np.where(unknown, np.nan, pbe), np.where(unknown, np.nan, r2scan)
    return pairs["e_gga_per_atom"], pairs["e_r2scan_per_atom"], composition, pairs["material_id"], references
