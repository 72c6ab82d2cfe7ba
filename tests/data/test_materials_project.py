"""The Materials Project: thermo documents in the real shape, hand-made with pymatgen, read and asked for over real HTTP."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from pymatgen.analysis.compatibility.mixing_scheme import MaterialsProjectDFTMixingScheme
from pymatgen.core import Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import CompositionEnergyAdjustment, ComputedStructureEntry, ConstantEnergyAdjustment

from xfunc_core.data.formats.thermo import read_thermo
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.data.importing import import_file
from xfunc_core.data.materials_project import fetch_documents, has_key, parse_systems
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

KEY = "k" * 31 + "7"
STRUCTURE = Structure(Lattice.cubic(4.2), ["Li", "Li", "O"], [[0.25, 0.25, 0.25], [0.75, 0.75, 0.75], [0, 0, 0]])
OXIDE = CompositionEnergyAdjustment(-0.687, 1, name="MP2020 anion correction (oxide)", cls=MaterialsProject2020Compatibility().as_dict())
MIXING = ConstantEnergyAdjustment(-5.7, name="MP GGA(+U)/R2SCAN mixing adjustment", cls=MaterialsProjectDFTMixingScheme().as_dict())


def entry(run_type: str, energy: float, *adjustments: Any) -> dict[str, Any]:
    """An entry as the API sends it."""
    made = ComputedStructureEntry(STRUCTURE, energy, entry_id=f"mp-1-{run_type}", parameters={"run_type": run_type}, energy_adjustments=list(adjustments))
    return json.loads(json.dumps(made.as_dict()).replace("NaN", "null"))


def document(material: str = "mp-1960", thermo_type: str = "GGA_GGA+U", **entries: dict[str, Any]) -> dict[str, Any]:
    """A thermo document with the fields that are asked for."""
    made = {key.replace("_U", "+U"): value for key, value in entries.items()}
    first = next(iter(made.values()))
    return {
        "material_id": material,
        "thermo_type": thermo_type,
        "uncorrected_energy_per_atom": first["energy"] / 3,
        "energy_per_atom": (first["energy"] + first["correction"]) / 3,
        "entries": made,
    }


@pytest.fixture
def read(write) -> Any:
    """Frames, rejected documents and notes of documents."""

    def of(documents: list[dict[str, Any]], functional: Functional | None = None) -> tuple[list[Frame], list[Rejected], list[str]]:
        items = list(read_thermo(write(documents), functional))
        return [i for i in items if isinstance(i, Frame)], [i for i in items if isinstance(i, Rejected)], [i.sentence for i in items if isinstance(i, Note)]

    return of


# --- reading ----------------------------------------------------------------------------------


def test_pbe_keeps_the_corrections_of_mp2020_and_tells_them(read) -> None:
    [frame], [], notes = read([document(GGA=entry("GGA", -14.2, OXIDE))])
    assert (frame.frame_id, frame.material_id, frame.functional, frame.hubbard_u) == ("mp-1960", "mp-1960", Functional.PBE, False)
    assert frame.energy == pytest.approx(-14.2 - 0.687)
    assert frame.correction == pytest.approx(-0.687)
    np.testing.assert_allclose(frame.positions, STRUCTURE.cart_coords)
    np.testing.assert_array_equal(frame.numbers, [3, 3, 8])
    assert (frame.forces, frame.stress) == (None, None)
    assert any("MP2020" in note for note in notes)


@pytest.mark.parametrize("packed", [False, True])
def test_mixing_term_is_dropped_from_a_gga_entry(read, packed: bool) -> None:
    mixed = entry("GGA+U", -14.2, OXIDE, MIXING)
    if packed:
        mixed["energy_adjustments"] = json.dumps(mixed["energy_adjustments"])
    [frame], [], notes = read([document(GGA_U=mixed)])
    assert frame.energy == pytest.approx(-14.2 - 0.687)
    assert frame.hubbard_u is True
    assert any("mix functionals were dropped" in note for note in notes)


def test_r2scan_is_uncorrected(read) -> None:
    [frame], [], _ = read([document(thermo_type="R2SCAN", R2SCAN=entry("r2SCAN", -20.5, MIXING))])
    assert (frame.energy, frame.correction, frame.functional) == (-20.5, 0.0, Functional.R2SCAN)


def test_mixed_document_gives_the_functional_that_is_said(read) -> None:
    both = document(thermo_type="GGA_GGA+U_R2SCAN", GGA=entry("GGA", -14.2, OXIDE, MIXING), R2SCAN=entry("R2SCAN", -20.5))
    assert [read([both], f)[0][0].energy for f in Functional] == [pytest.approx(-14.887), -20.5]
    [], [rejected], _ = read([both])
    assert "GGA_GGA+U_R2SCAN" in rejected.reason


def test_of_two_entries_the_one_that_the_document_states_counts(read) -> None:
    two = document(GGA=entry("GGA", -14.2), GGA_U=entry("GGA+U", -12.0))
    assert read([two])[0][0].energy == -14.2
    assert read([two | {"uncorrected_energy_per_atom": -4.0}])[0][0].energy == -12.0


@pytest.mark.parametrize("run_type", ["PBEsol", "SCAN", "HSE06", "GGA_metaGGA"])
def test_other_functionals_are_refused_by_name(read, run_type: str) -> None:
    [], [rejected], _ = read([document(GGA=entry(run_type, -14.2))])
    assert rejected.frame_id == "mp-1960"
    assert f"it was computed with {run_type}" in rejected.reason


def test_kind_of_a_bare_correction_is_not_guessed(read) -> None:
    bare = entry("GGA", -14.2)
    del bare["energy_adjustments"]
    bare["correction"] = -5.7
    [], [rejected], _ = read([document(GGA=bare)])
    assert "does not say of what kind" in rejected.reason
    bare["correction"] = 0.0
    assert read([document(GGA=bare)])[0][0].energy == -14.2


@pytest.mark.parametrize(
    ("path", "value"),
    [("entries", 1), ("entries", {}), ("material_id", None), ("entries.GGA.structure", 1), ("entries.GGA.energy", "x"), ("entries.GGA.composition", {"Li": 4}), ("entries.GGA.composition", [])]
    + [("entries.GGA.energy_adjustments", value) for value in ("{", [1], [{"cls": {}}], 3)],
)
def test_nonsense_is_left_out_with_a_reason(read, path: str, value: object) -> None:
    made = copy.deepcopy(document(GGA=entry("GGA", -14.2, OXIDE)))
    *way, last = path.split(".")
    target = made
    for part in way:
        target = target[part]
    target[last] = value
    [], [rejected], _ = read([made])
    assert rejected.reason


def test_documents_become_a_dataset(write, root: Path) -> None:
    file = write([document(f"mp-{n}", GGA=entry("GGA", -14.2, OXIDE)) for n in (1, 2)])
    dataset, report = import_file(file, root, name="mp", format="materials-project")
    assert dataset.table["frame_id"].tolist() == ["mp-1", "mp-2"]
    assert dataset.info.labelled["forces"] == 0
    assert report.n_kept == 2


# --- asking -----------------------------------------------------------------------------------


@dataclass
class Server:
    """What the server holds and what it was asked."""

    documents: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    status: int = 200
    asked: list[dict[str, str]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of the Materials Project's API on this machine."""
    held = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlparse(self.path)
            if address.path == "/heartbeat":
                return self._send(200, {"status": "OK", "db_version": "2025.09.25", "access_controlled_batch_ids": [], "version": "0.86.4"})
            asked = {key: value[0] for key, value in parse_qs(address.query).items()}
            held.asked.append(asked)
            held.keys.add(self.headers.get("x-api-key"))
            found = held.documents.get(asked.get("chemsys", ""), [])
            first = int(asked.get("_skip", 0))
            page = found[first : first + int(asked["_limit"])]
            return self._send(held.status, {"data": page, "meta": {"total_doc": len(found)}} if held.status == 200 else {"detail": f"Invalid key {KEY}"})

        def _send(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    _use(monkeypatch, f"http://127.0.0.1:{server.server_port}/")
    yield held
    server.shutdown()
    server.server_close()


def _use(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """The client reads the environment when it is imported, so a test sets what it read."""
    from mp_api.client.core.settings import MAPI_CLIENT_SETTINGS

    monkeypatch.setattr(MAPI_CLIENT_SETTINGS, "ENDPOINT", endpoint)
    monkeypatch.delenv("MP_API_KEY", raising=False)


def test_documents_of_each_system_are_kept_as_they_come(project: Server, tmp_path: Path) -> None:
    project.documents = {"Li-O": [document(f"mp-{n}", GGA=entry("GGA", -14.2, OXIDE)) for n in range(1200)], "Li": [document("mp-9999", GGA=entry("GGA", -5.7))]}
    counts: list[int] = []
    path = fetch_documents(["Li-O", "Li", "O"], Functional.PBE, tmp_path / "a" / "mp.jsonl", key=KEY, tell=lambda reading: counts.append(reading.documents))
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert kept == [*project.documents["Li-O"], *project.documents["Li"]]
    assert counts[-1] == len(kept) == 1201
    assert {asked["thermo_types"] for asked in project.asked} == {"GGA_GGA+U"}
    assert set(project.asked[0]["_fields"].split(",")) == {"material_id", "thermo_type", "uncorrected_energy_per_atom", "energy_per_atom", "entries"}
    assert project.keys == {KEY}
    assert KEY not in path.read_text()
    assert [file.name for file in path.parent.iterdir()] == ["mp.jsonl"]


def test_key_comes_from_the_environment(project: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_key()
    with pytest.raises(DataError, match="MP_API_KEY"):
        fetch_documents(["Li"], Functional.PBE, tmp_path / "mp.jsonl")
    monkeypatch.setenv("MP_API_KEY", KEY)
    assert has_key()
    project.documents = {"Li": [document(thermo_type="R2SCAN", R2SCAN=entry("R2SCAN", -5.7))]}
    fetch_documents(["Li"], Functional.R2SCAN, tmp_path / "mp.jsonl")
    assert project.keys == {KEY}
    assert project.asked[0]["thermo_types"].upper() == "R2SCAN"


def test_refused_key_is_one_sentence_without_the_key(project: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project.status = 401
    with pytest.raises(DataError, match="did not answer as it should") as raised:
        fetch_documents(["Li"], Functional.PBE, tmp_path / "a" / "mp.jsonl", key=KEY)
    assert KEY not in str(raised.value)
    assert raised.value.__cause__ is None
    assert KEY not in "".join(capfd.readouterr())
    assert list(tmp_path.iterdir()) == []


def test_key_of_another_make_is_not_shown(project: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="32 characters") as raised:
        fetch_documents(["Li"], Functional.PBE, tmp_path / "mp.jsonl", key="short-secret")
    assert "short-secret" not in str(raised.value)


def test_nothing_found_is_said_and_nothing_left(project: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no PBE energies"):
        fetch_documents(["Li-Pu"], Functional.PBE, tmp_path / "a" / "mp.jsonl", key=KEY)
    assert list(tmp_path.iterdir()) == []


def test_without_network_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _use(monkeypatch, "http://127.0.0.1:9/")
    with pytest.raises(DataError, match="it cannot be reached") as raised:
        fetch_documents(["Li"], Functional.PBE, tmp_path / "a" / "mp.jsonl", key=KEY)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "within", "systems"),
    [("O-Li", False, ("Li-O",)), ("Li-O, Na-Cl;Na-Cl", False, ("Li-O", "Cl-Na")), ("Li-O Li-F", True, ("Li", "O", "Li-O", "F", "F-Li"))],
)
def test_systems_as_people_type_them(text: str, within: bool, systems: tuple[str, ...]) -> None:
    assert parse_systems(text, subsystems=within) == systems


@pytest.mark.parametrize("text", ["", "Xx-O", "li-o", "Li-", "H-He-Li-Be-B-C-N-O-F"])
def test_what_is_no_system_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse_systems(text, subsystems=True)
