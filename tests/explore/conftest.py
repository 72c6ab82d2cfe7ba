"""Hand-made pairs with known numbers, and the table of real relaxed pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xfunc_core.data.importing import import_file
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pair_table_import import import_pair_table
from xfunc_core.data.pairing import pair
from xfunc_core.data.pairs import PairingMethod, Pairs

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
MakePairs = Callable[..., Pairs]


def document(frame: str, functional: str, symbols: Sequence[str], energy: float | None, **more: Any) -> dict[str, Any]:
    """A MatPES document of a cubic cell of 4 Å, at rest unless ``more`` says otherwise."""
    sites = [{"species": [{"element": s, "occu": 1}], "abc": [i / len(symbols)] * 3} for i, s in enumerate(symbols)]
    for site, moment in zip(sites, more.pop("magmoms", []), strict=False):
        site["properties"] = {"magmom": moment}
    structure = {"lattice": {"matrix": (more.pop("length", 4.0) * np.eye(3)).tolist()}, "sites": sites}
    content = {
        "matpes_id": frame,
        "functional": functional,
        "structure": structure,
        "energy": energy,
        "forces": [[0.0] * 3] * len(symbols),
        "stress": [0.0] * 6,
    }
    return content | more


@pytest.fixture
def make(tmp_path: Path) -> MakePairs:
    """Pairs of frames given as (symbols, what PBE has, what r²SCAN has), each with ``energy`` and whatever else `document` takes."""

    def of(*frames: tuple[Sequence[str], dict[str, Any], dict[str, Any]], how: PairingMethod = PairingMethod.BY_ID) -> Pairs:
        for side, name in ((1, "PBE"), (2, "r2SCAN")):
            content = [document(f"f{i}", name, frame[0], **{"energy": None, **frame[side]}) for i, frame in enumerate(frames)]
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return pair(
            *(
                import_file(tmp_path / f"{name}.json", tmp_path / "datasets", name=name.lower(), replace=True)[0]
                for name in ("PBE", "r2SCAN")
            ),
            how,
        )

    return of


@pytest.fixture
def make_table(tmp_path: Path) -> Callable[[str], PairTable]:
    """A table of a text: material_id,formula,e_pbe_per_atom,e_r2scan_per_atom and what the header adds."""

    def of(rows: str, more: str = "") -> PairTable:
        (tmp_path / "t.csv").write_text(f"material_id,formula,e_pbe_per_atom,e_r2scan_per_atom{more}\n{rows}")
        return import_pair_table(tmp_path / "t.csv", tmp_path / "tables", name="t", energies="per-atom", replace=True)[0]

    return of


@pytest.fixture(scope="session")
def real_pairs(tmp_path_factory: pytest.TempPathFactory) -> PairTable:
    """1,392 relaxed pairs of the Materials Project; test input, not part of the repository."""
    file = SHARED / "mp_gga_r2scan_pairs.csv"
    if not file.exists():
        pytest.skip(f"{file} is not there; it is no part of the repository")
    return import_pair_table(file, tmp_path_factory.mktemp("tables"), name="mp")[0]
