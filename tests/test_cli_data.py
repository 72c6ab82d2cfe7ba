"""The commands on data as users and scripts meet them: real files, values read by json, numpy and ASE alone."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest

from xfunc_core import cli

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "xfunc_core" / "data" / "bundled"
SHARED = ROOT.parent / "shared" / "data"
R2SCAN, PBE = "xfunc-dft-r2scan", "xfunc-dft-pbe"
ELEMENTS = ("matpes-elements-pbe", "matpes-elements-r2scan")
COMMANDS = ("import", "imports", "download", "materials-project", "datasets", "check", "frames", "export", "subset", "split", "correlate", "pairs")
PATIENCE = 60.0

Said = tuple[int, str, str]
Call = Callable[..., Said]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data home shared by the tests of this file."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("XFUNC_HOME", str(home))
    monkeypatch.delenv("MP_API_KEY", raising=False)

    def run(*words: object) -> Said:
        capsys.readouterr()
        code = cli.main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def answer(call: Call) -> Callable[..., Any]:
    """The JSON that a command which succeeds answers, read strictly."""

    def run(*words: object) -> Any:
        code, out, err = call(*words, "--json")
        assert code == 0, err
        return parsed(out)

    return run


def parsed(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def documents(file: str) -> dict[str, dict[str, Any]]:
    """Raw bundled documents by id, read with json alone."""
    with gzip.open(BUNDLED / file, "rt") as stream:
        return {d["matpes_id"]: d for d in map(json.loads, stream)}


def symbols(document: dict[str, Any]) -> list[str]:
    return [site["species"][0]["element"] for site in document["structure"]["sites"]]


def largest_force(document: dict[str, Any]) -> float:
    return float(np.linalg.norm(document["forces"], axis=1).max())


@pytest.fixture(scope="module")
def raw() -> dict[str, dict[str, Any]]:
    return documents("xfunc-dft-r2SCAN.jsonl.gz")


# --- help -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_examples(command: str, call: Call) -> None:
    code, out, err = call(command, "--help")
    assert (code, err) == (0, "")
    assert "examples:" in out and f"python -m xfunc_core {command}" in out
    assert not [word for word in ("None)", "False)", "SUPPRESS", "[])", "default: )") if word in out]


def test_help_names_every_command(call: Call) -> None:
    _, out, _ = call("--help")
    assert all(re.search(rf"^ +{command}\b", out, re.MULTILINE) for command in COMMANDS)


def test_help_of_filters_names_the_units_of_every_number(call: Call) -> None:
    for command in ("frames", "export", "subset"):
        _, out, _ = call(command, "--help")
        assert all(f"{key} ({unit})" in out for key, unit in (("energy_per_atom", "eV/atom"), ("largest_force", "eV/Å"), ("pressure", "GPa"), ("largest_moment", "μB")))


@pytest.mark.parametrize("words", [("frames", R2SCAN), ("check", "matpes-elements-pbe"), ("download",), ("imports",), ("pairs", "--how", "material")])
def test_data_commands_load_neither_torch_nor_chgnet(words: tuple[str, ...], home: Path) -> None:
    code = f"import sys\nfrom xfunc_core.cli import main\nmain({list(words)!r})\nprint([m for m in ('torch', 'chgnet', 'streamlit', 'mp_api') if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "XFUNC_HOME": str(home)}, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]"


# --- import -----------------------------------------------------------------------------------


def test_import_reads_shared_matpes_samples_and_pairs_them(call: Call) -> None:
    pbe, r2scan = SHARED / "MatPES-PBE-elements-sample.json.gz", SHARED / "MatPES-R2SCAN-elements-sample.jsonl"
    if not pbe.exists():
        pytest.skip(f"{SHARED} is not here")
    code, out, err = call("import", pbe, "--json")
    assert code == 0, err
    assert parsed(out)["dataset"]["name"] == "matpes-pbe-elements-sample"
    assert parsed(out)["kept"] == len(json.loads(gzip.decompress(pbe.read_bytes())))
    assert call("import", r2scan, "--name", "elements")[0] == 0
    assert call("import", r2scan, "--name", "elements")[0] == 1
    assert call("import", r2scan, "--name", "elements", "--replace")[0] == 0
    found = parsed(call("correlate", "matpes-pbe-elements-sample", "elements", "--json")[1])
    assert 0 < found["n_pairs"] < 89 and found["quantities"]["magmom"]["overall"]["n"] > 0
    assert call("datasets", "elements", "--delete")[1].strip() == "Deleted dataset elements."
    assert call("datasets", "elements")[0] == 1


def test_import_tells_mptrj_by_its_content_and_refuses_the_wrong_format(call: Call) -> None:
    file = SHARED / "MPtrj_sample.json"
    if not file.exists():
        pytest.skip(f"{SHARED} is not here")
    code, _, err = call("import", file, "--format", "matpes")
    assert code == 1 and len(err.splitlines()) == 2
    code, out, err = call("import", file, "--name", "trajectories", "--json")
    assert code == 0, err
    raw = json.loads(file.read_text())
    data = parsed(out)
    assert data["documents"] == sum(map(len, raw.values())) and data["dataset"]["n_materials"] == len(raw)
    assert data["notes"] and all(note in call("datasets", "trajectories")[1] for note in data["notes"])
    call("datasets", "trajectories", "--delete")


def test_import_reports_what_it_left_out_and_masked(call: Call, tmp_path: Path) -> None:
    good = next(iter(documents("xfunc-dft-PBE.jsonl.gz").values()))
    file = tmp_path / "mixed.jsonl"
    file.write_text("\n".join(json.dumps(d) for d in (good, {**good, "matpes_id": "b", "stress": None}, good)))
    code, out, _ = call("import", file)
    assert code == 0 and "2 of 3 documents were kept." in out and "no stress" in out and "occurred before" in out
    data = parsed(call("datasets", "mixed", "--json")[1])
    assert [d["n"] for d in data["dropped"]] == [1] and data["masked"][0]["example"] == "b"
    call("datasets", "mixed", "--delete")


def test_import_says_how_far_it_is(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr("xfunc_core.answers.imports.SAY_SECONDS", 0.0)
    good = next(iter(documents("xfunc-dft-PBE.jsonl.gz").values()))
    file = tmp_path / "many.jsonl"
    file.write_text("\n".join(json.dumps({**good, "matpes_id": str(i)}) for i in range(2001)))
    code, out, err = call("import", file, "--json")
    assert code == 0 and parsed(out)["kept"] == 2001
    lines = err.splitlines()
    assert lines[0] == "Reading many.jsonl …"
    reading = [re.fullmatch(r"Reading · ([\d,]+) frames( · [\d,]+ frames/s)?( · about .+ left)? …", line) for line in lines if line.startswith("Reading ·")]
    counts = [int(found[1].replace(",", "")) for found in reading if found]
    assert len(counts) == len(reading) > 0 and counts == sorted(counts) and counts[-1] <= 2001
    call("datasets", "many", "--delete")


def test_energies_per_atom_are_told_or_said(call: Call, answer: Callable[..., Any], tmp_path: Path, raw: dict[str, dict[str, Any]]) -> None:
    """What is divided by the number of atoms in the file comes back as it was."""
    file = tmp_path / "per-atom.jsonl"
    file.write_text("\n".join(json.dumps({**d, "energy": d["energy"] / len(d["structure"]["sites"])}) for d in raw.values()))
    answer("import", file, "--energies", "per-atom")
    page = answer("frames", "per-atom", "--limit", str(len(raw)))["frames"]
    want = {key: d["energy"] / len(d["structure"]["sites"]) for key, d in raw.items()}
    assert {row["frame_id"]: row["energy_per_atom"] for row in page} == pytest.approx(want, abs=1e-9)
    call("datasets", "per-atom", "--delete")


def test_import_takes_a_folder(answer: Callable[..., Any], call: Call, tmp_path: Path) -> None:
    atoms = ase.Atoms("NaCl", cell=[4, 4, 4], scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], pbc=True)
    for name in ("one", "two"):
        ase.io.write(tmp_path / f"{name}.cif", atoms)
    found = answer("import", tmp_path, "--name", "crystals", "--functional", "pbe")
    assert found["kept"] == 2 and found["dataset"]["labelled"]["energy"] == 0
    call("datasets", "crystals", "--delete")


# --- in the background ------------------------------------------------------------------------


def test_an_import_in_the_background_is_followed_and_dismissed(call: Call, answer: Callable[..., Any]) -> None:
    job = answer("import", BUNDLED / "xfunc-dft-PBE.jsonl.gz", "--name", "behind", "--background")["import"]
    assert job in call("imports")[1]
    code, _, err = call("import", BUNDLED / "xfunc-dft-PBE.jsonl.gz", "--name", "behind", "--background")
    assert code == 1 and "'behind'" in err
    state = ended(answer, job)
    assert state["state"] == "finished", state
    code, out, _ = call("imports", job)
    assert code == 0 and "documents were kept" in out
    assert call("imports", job, "--cancel")[0] == 1
    assert call("imports", job, "--dismiss")[1].strip() == f"Dismissed import {job}."
    assert call("imports", job)[0] == 1
    assert answer("datasets", "behind")["content_sha256"] == answer("datasets", PBE)["content_sha256"]
    call("datasets", "behind", "--delete")


def test_a_failed_import_says_why_and_restarts(call: Call, answer: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "later.jsonl"
    file.write_text("{}")
    job = answer("import", file, "--name", "later", "--background")["import"]
    assert ended(answer, job)["state"] == "failed"
    assert "later.jsonl" in call("imports", job)[1]
    file.write_bytes(gzip.decompress((BUNDLED / "xfunc-dft-PBE.jsonl.gz").read_bytes()))
    assert call("imports", job, "--restart")[0] == 0
    assert ended(answer, job)["state"] == "finished"
    call("datasets", "later", "--delete")


def ended(answer: Callable[..., Any], job: str) -> dict[str, Any]:
    """The import once it is over; a busy machine may take long."""
    deadline = time.monotonic() + PATIENCE
    while (found := answer("imports", job))["state"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


# --- download and the Materials Project -------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """A hub on this machine that holds a real file under the name of a MatPES release; the file."""
    content, name = (BUNDLED / "xfunc-dft-r2SCAN.jsonl.gz").read_bytes(), "MatPES-R2SCAN-2025.2-test.jsonl.gz"
    tree = [{"type": "file", "path": name, "size": len(content), "lfs": {"oid": hashlib.sha256(content).hexdigest()}}]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(tree).encode() if self.path.startswith("/api/") else content
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield content
        server.shutdown()


def test_download_imports_what_the_hub_has_and_leaves_no_file(hub: bytes, call: Call, answer: Callable[..., Any], home: Path) -> None:
    known = {k["file"]: k["title"] for k in answer("download")["known"]}
    info = answer("download", known["MatPES-R2SCAN-2025.2-test"], "--name", "hub-test")["dataset"]
    assert info["n_frames"] == gzip.decompress(hub).count(b"\n") and info["licence"] == "BSD-3-Clause"
    assert info["source_sha256"] == hashlib.sha256(hub).hexdigest()
    assert not list((home / "downloads").rglob("*.gz"))
    code, _, err = call("download", "MatPES-R2SCAN-2025.2-test", "--name", "hub-test")
    assert code == 1 and "already a dataset" in err
    call("datasets", "hub-test", "--delete")


def test_materials_project_imports_what_it_answers(answer: Callable[..., Any], call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is tried with mp-api's own client in tests/data; here only its documents come."""
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]).as_dict()
    entry = {"structure": structure, "energy": -12.0, "composition": {"Mg": 1, "O": 1}, "parameters": {"run_type": "r2SCAN"}, "energy_adjustments": [], "correction": 0.0}
    asked: list[tuple[tuple[str, ...], str]] = []

    def fetch(systems: tuple[str, ...], functional: Any, path: Path, **_: Any) -> Path:
        asked.append((systems, functional.value))
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"material_id": "mp-1", "thermo_type": "R2SCAN", "entries": {"R2SCAN": entry}}) + "\n")
        return path

    monkeypatch.setattr("xfunc_core.data.materials_project.fetch_documents", fetch)
    monkeypatch.setenv("MP_API_KEY", "a" * 32)
    info = answer("materials-project", "O-Mg", "--functional", "r2scan", "--name", "mgo", "--subsystems")["dataset"]
    assert asked == [(("Mg", "O", "Mg-O"), "r2scan")]
    assert (info["n_frames"], info["functional"], info["licence"]) == (1, "r2scan", "CC-BY-4.0")
    assert answer("frames", "mgo")["frames"][0]["energy_per_atom"] == pytest.approx(-6.0)
    assert not list((home / "downloads").rglob("*.jsonl"))
    call("datasets", "mgo", "--delete")


# --- look -------------------------------------------------------------------------------------


def test_datasets_tells_what_is_in_one(answer: Callable[..., Any], call: Call, raw: dict[str, dict[str, Any]]) -> None:
    found = answer("datasets", R2SCAN)
    systems = Counter("-".join(sorted(set(symbols(d)))) for d in raw.values())
    assert {row["chemical_system"]: row["n_frames"] for row in found["chemical_systems"]}.items() <= systems.items()
    assert found["ranges"]["n_atoms"]["low"] == min(len(symbols(d)) for d in raw.values())
    assert found["ranges"]["largest_force"]["high"] <= max(map(largest_force, raw.values())) + 1e-9
    assert found["ranges"]["largest_force"]["unit"] == "eV/Å" and "largest_moment" not in found["ranges"]
    out = call("datasets", R2SCAN)[1]
    assert "Largest force (eV/Å)" in out and "Pressure (GPa)" in out


def test_check_counts_what_numpy_counts(answer: Callable[..., Any], call: Call, raw: dict[str, dict[str, Any]]) -> None:
    found = answer("check", R2SCAN)
    kinds = {finding["kind"]: finding for finding in found["findings"]}
    assert found["n_frames"] == kinds["kept"]["n"] == len(raw)
    frames = Counter(symbol for d in raw.values() for symbol in set(symbols(d)))
    rare = {symbol for symbol, n in frames.items() if n < 10}
    assert set(kinds["rare element"]["frame_ids"]) == {key for key, d in raw.items() if rare & set(symbols(d))}
    code, out, _ = call("check", R2SCAN)
    assert code == 0 and found["verdict"] in out and all(finding["sentence"] in out for finding in found["findings"])


FILTERS: list[tuple[tuple[str, ...], Callable[[dict[str, Any]], bool]]] = [
    ((), lambda d: True),
    (("--any-of", "O,F"), lambda d: bool({"O", "F"} & set(symbols(d)))),
    (("--all-of", "O, Ba"), lambda d: {"O", "Ba"} <= set(symbols(d))),
    (("--only", "Li,Na,F,Cl"), lambda d: set(symbols(d)) <= {"Li", "Na", "F", "Cl"}),
    (("--without", "O", "--any-of", "Mg"), lambda d: "Mg" in symbols(d) and "O" not in symbols(d)),
    (("--system", "O-Mg"), lambda d: set(symbols(d)) == {"O", "Mg"}),
    (("--has", "forces,stress"), lambda d: True),
    (("--has", "magmoms"), lambda d: False),
    (("--hubbard-u", "yes"), lambda d: False),
    (("--contains", "LIF"), lambda d: "lif" in d["matpes_id"].lower()),
    (("--range", "largest_force", "0.5", "any", "--range", "n_atoms", "any", "2"), lambda d: largest_force(d) >= 0.5 and len(symbols(d)) <= 2),
    (("--range", "energy_per_atom", "-8.5", "-3"), lambda d: -8.5 <= d["energy"] / len(symbols(d)) <= -3),
]


@pytest.mark.parametrize(("words", "true"), FILTERS, ids=[" ".join(words) or "all" for words, _ in FILTERS])
def test_frames_are_those_that_json_says(words: tuple[str, ...], true: Callable[[dict[str, Any]], bool], answer: Callable[..., Any], raw: dict[str, dict[str, Any]]) -> None:
    found = answer("frames", R2SCAN, *words, "--limit", "100000")
    want = {key for key, d in raw.items() if true(d)}
    assert {row["frame_id"] for row in found["frames"]} == want
    assert (found["n_frames"], found["n_of"]) == (len(want), len(raw))
    assert "inf" not in found["filter"]


def test_frames_are_sorted_and_paged(answer: Callable[..., Any], call: Call, raw: dict[str, dict[str, Any]]) -> None:
    want = sorted(map(largest_force, raw.values()), reverse=True)[3:8]
    words = ("frames", R2SCAN, "--sort", "largest_force", "--descending", "--offset", "3", "--limit", "5")
    page = answer(*words)["frames"]
    assert [row["largest_force"] for row in page] == pytest.approx(want, abs=1e-9)
    assert all(row["largest_moment"] is None for row in page)
    lines = call(*words)[1].splitlines()
    assert "4 to 8" in lines[0] and len(lines) == 7 and f"{want[0]:.3f}" in lines[2]


def test_pressure_has_the_sign_of_vasp_in_gpa(answer: Callable[..., Any], raw: dict[str, dict[str, Any]]) -> None:
    page = answer("frames", R2SCAN, "--limit", "100000")["frames"]
    stress = {key: np.asarray(d["stress"], dtype=float) for key, d in raw.items()}
    kbar = {key: float(np.trace(s) if s.shape == (3, 3) else s.ravel()[:3].sum()) / 3 for key, s in stress.items()}
    assert {row["frame_id"]: row["pressure"] for row in page} == pytest.approx({key: 0.1 * p for key, p in kbar.items()}, abs=1e-9)


# --- export, subset, split --------------------------------------------------------------------


def test_export_is_what_ase_reads(answer: Callable[..., Any], call: Call, tmp_path: Path, raw: dict[str, dict[str, Any]]) -> None:
    file = tmp_path / "oxides.extxyz"
    found = answer("export", R2SCAN, file, "--all-of", "O")
    want = [d for d in raw.values() if "O" in symbols(d)]
    frames = ase.io.read(file, ":")
    assert found["n_frames"] == len(frames) == len(want)
    for atoms, d in zip(frames, sorted(want, key=lambda d: list(raw).index(d["matpes_id"])), strict=True):
        assert atoms.get_chemical_symbols() == symbols(d)
        assert atoms.get_potential_energy() == pytest.approx(d["energy"], abs=1e-8)
        assert atoms.get_forces() == pytest.approx(np.array(d["forces"]), abs=1e-8)
    assert call("export", R2SCAN, file)[0] == 1
    assert call("export", R2SCAN, file, "--replace")[0] == 0 and len(ase.io.read(file, ":")) == len(raw)


def test_export_as_matpes_comes_back_the_same_and_csv_has_a_row_a_frame(answer: Callable[..., Any], call: Call, tmp_path: Path, raw: dict[str, dict[str, Any]]) -> None:
    assert answer("export", R2SCAN, tmp_path / "again.jsonl")["format"] == "matpes"
    again = {d["matpes_id"]: d for d in map(json.loads, (tmp_path / "again.jsonl").read_text().splitlines())}
    assert again.keys() == raw.keys()
    assert all(np.allclose(again[key]["forces"], d["forces"], atol=1e-8) and again[key]["energy"] == pytest.approx(d["energy"]) for key, d in raw.items())
    answer("export", R2SCAN, tmp_path / "table.txt", "--format", "csv", "--any-of", "F")
    with (tmp_path / "table.txt").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["frame_id"] for row in rows} == {key for key, d in raw.items() if "F" in symbols(d)}


def test_subset_is_a_dataset_that_names_its_parent_and_filter(answer: Callable[..., Any], call: Call, raw: dict[str, dict[str, Any]]) -> None:
    info = answer("subset", R2SCAN, "fluorides", "--any-of", "F", "--title", "Fluorides")["dataset"]
    assert info["n_frames"] == sum("F" in symbols(d) for d in raw.values()) and info["title"] == "Fluorides"
    assert info["source"] == f"{R2SCAN}: any of F" and info["source_sha256"] == answer("datasets", R2SCAN)["content_sha256"]
    assert call("subset", R2SCAN, "fluorides", "--any-of", "F")[0] == 1
    call("datasets", "fluorides", "--delete")


def test_split_follows_a_file_of_matpes(answer: Callable[..., Any], call: Call, raw: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    ids = list(raw)
    (tmp_path / "split.json").write_text(json.dumps({"train": [3, 0], "valid": [5], "test": [1]}))
    found = answer("split", R2SCAN, "--file", str(tmp_path / "split.json"))
    assert {part: found[part]["n_frames"] for part in ("train", "valid", "test")} == {"train": 2, "valid": 1, "test": 1}
    assert [f["frame_id"] for f in answer("frames", f"{R2SCAN}-train")["frames"]] == [ids[0], ids[3]]
    for part in ("train", "valid", "test"):
        assert call("datasets", f"{R2SCAN}-{part}", "--delete")[0] == 0
    code, _, err = call("split", R2SCAN, "--file", str(tmp_path / "none.json"))
    assert code == 1 and "none.json" in err


def test_split_cuts_through_no_material_and_its_parts_make_the_whole(answer: Callable[..., Any], call: Call, raw: dict[str, dict[str, Any]]) -> None:
    answer("split", R2SCAN, "--validation", "0.1", "--test", "0.2", "--seed", "3")
    names = [f"{R2SCAN}-{part}" for part in ("train", "validation", "test")]
    pages = [answer("frames", name, "--limit", "100000")["frames"] for name in names]
    ids = [{row["frame_id"] for row in page} for page in pages]
    assert set.union(*ids) == set(raw) and sum(map(len, ids)) == len(raw)
    materials = [{row["material_id"] for row in page} for page in pages]
    assert not materials[0] & materials[1] and not materials[0] & materials[2] and not materials[1] & materials[2]
    code, _, err = call("split", R2SCAN)
    assert code == 1 and f"{R2SCAN}-train" in err
    for name in names:
        assert call("datasets", name, "--delete")[0] == 0


# --- pairs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["id", "material", "structure"])
def test_every_frame_is_in_a_pair_or_has_a_reason(how: str, answer: Callable[..., Any], call: Call) -> None:
    found = answer("pairs", *ELEMENTS, "--how", how)
    assert found["method"] == how and found["n_pairs"] == len(found["pairs"]) > 0
    for key, name, label in (("pbe", ELEMENTS[0], "PBE"), ("r2scan", ELEMENTS[1], "r²SCAN")):
        paired = {pair[key] for pair in found["pairs"]}
        alone = {row["frame_id"] for row in found["unpaired"] if row["functional"] == label}
        assert paired | alone == {row["frame_id"] for row in answer("frames", name, "--limit", "1000")["frames"]} and not paired & alone
    counted = Counter((row["functional"], row["reason"]) for row in found["unpaired"])
    assert {(row["functional"], row["reason"]): row["n_frames"] for row in found["reasons"]} == counted
    out = call("pairs", *ELEMENTS, "--how", how)[1]
    assert f"{found['n_pairs']} pairs" in out and all(reason in out for _, reason in counted)


def test_correlate_over_materials_compares_energies_alone(answer: Callable[..., Any], call: Call) -> None:
    found = answer("correlate", *ELEMENTS, "--pair", "structure")
    assert found["n_pairs"] == answer("pairs", *ELEMENTS, "--how", "structure")["n_pairs"]
    assert set(found["quantities"]) <= {"total", "referenced", "formation", "within_material", "volume"}
    page = [{row["frame_id"]: row["energy_per_atom"] for row in answer("frames", name, "--limit", "1000")["frames"]} for name in ELEMENTS]
    energy = np.array([(page[0][pair["pbe"]], page[1][pair["r2scan"]]) for pair in answer("pairs", *ELEMENTS, "--how", "structure")["pairs"]])
    assert found["quantities"]["total"]["overall"]["pearson"]["value"] == pytest.approx(np.corrcoef(energy.T)[0, 1], abs=1e-9)
    assert "\n\n\n" not in call("correlate", *ELEMENTS, "--pair", "structure")[1]


# --- tables of relaxed pairs ------------------------------------------------------------------

TABLE = "id,formula,energy_pbe_per_atom,energy_r2scan_per_atom,volume_pbe_per_atom,volume_r2scan_per_atom\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Forty pairs of NaCl and KCl, and two rows that cannot be used."""
    chance = np.random.default_rng(0)
    rows = [f"m{i},{'NaCl' if i % 2 else 'KCl'},{-3 + a},{-7 + i % 2 + a + 0.1 * b},{20 + a},{19 + a + 0.1 * b}\n" for i, (a, b) in enumerate(chance.normal(size=(40, 2)))]
    path = tmp_path / "pairs.csv"
    path.write_text(TABLE + "".join(rows) + "x1,AmO2,1,2,3,4\nx2,NaCl,low,2,3,4\n")
    return path


def test_a_table_of_relaxed_pairs_is_imported_listed_correlated_and_deleted(table: Path, answer: Callable[..., Any], call: Call) -> None:
    rows = [line.split(",") for line in table.read_text().splitlines()[1:41]]
    x, y = np.array([[float(row[2]), float(row[3])] for row in rows]).T
    made = answer("import", table, "--name", "relaxed")
    assert (made["kept"], made["documents"]) == (40, 42) and made["pair_table"]["n_dropped"] == 2
    assert {entry["reason"] for entry in made["dropped"]} == {"Am lies beyond Pu, the last element that CHGNet knows", "energy_pbe_per_atom is 'low', no number"}
    listed = answer("datasets")
    assert [t["name"] for t in listed["pair_tables"]] == ["relaxed"] and "relaxed" not in [d["name"] for d in listed["datasets"]]
    assert answer("datasets", "relaxed")["elements"] == {"Na": 20, "Cl": 40, "K": 20}
    assert [row["document"] for row in answer("pairs", "relaxed")["dropped"]] == [42, 43]
    found = answer("correlate", "relaxed")
    assert set(found["quantities"]) == {"total", "referenced", "volume"}
    assert found["quantities"]["total"]["overall"]["pearson"]["value"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    of_na = answer("correlate", "relaxed", "--quantity", "total", "--all-of", "Na")
    assert of_na["quantities"]["total"]["overall"]["shift"]["value"] == pytest.approx((y - x)[1::2].mean())
    assert answer("correlate", "relaxed", "--quantity", "total", "--contains", "m3")["n_kept"] == 11
    out = call("correlate", "relaxed")[1]
    assert "40 relaxed pairs of 40 materials in relaxed; 2 rows were left out at import." in out and "nan" not in out.lower().replace("nacl", "")
    for words, phrase in (
        (("import", table, "--name", "relaxed"), "already a pair table named 'relaxed'"),
        (("correlate", "relaxed", R2SCAN), "name it alone"),
        (("correlate", "relaxed", "--quantity", "force"), "has no forces"),
        (("correlate", "relaxed", "--has", "forces"), "knows nothing of forces"),
        (("correlate", "relaxed", "--references", "isolated-atoms"), "use --references lstsq"),
        (("import", table, "--name", "other", "--column", "formula"), "write ROLE=NAME"),
    ):
        code, out, err = call(*words)
        assert code == 1 and phrase in err
    assert answer("datasets", "relaxed", "--delete") == {"deleted": "relaxed"}
    assert answer("datasets")["pair_tables"] == []


def test_columns_are_named_and_the_background_imports_tables_too(table: Path, answer: Callable[..., Any], tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(table.read_text().replace("energy_pbe_per_atom,energy_r2scan_per_atom", "A,B"))
    job = answer("import", renamed, "--name", "columns", "--column", "energy_per_atom_pbe=A", "--column", "energy_per_atom_r2scan=B", "--background")["import"]
    deadline = time.monotonic() + PATIENCE
    while answer("imports", job)["state"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.2)
    done = answer("imports", job)
    assert done["state"] == "finished" and done["report"][0] == "40 of 42 documents were kept."
    assert answer("correlate", "columns")["n_pairs"] == 40
    answer("datasets", "columns", "--delete")


# --- what goes wrong --------------------------------------------------------------------------

MISTAKES = [
    (("datasets", "../datasets"), "no dataset"),
    (("import", "/nowhere/file.json"), "/nowhere/file.json"),
    (("import", str(ROOT / "pyproject.toml")), "pyproject.toml"),
    (("import", str(BUNDLED / "xfunc-dft-PBE.jsonl.gz"), "--name", PBE), "comes with xfunc"),
    (("import", str(BUNDLED / "xfunc-dft-PBE.jsonl.gz"), "--name", "No Name"), "no dataset name"),
    (("imports", "nothing"), "no import 'nothing'"),
    (("imports", "--restart"), "Name the import"),
    (("download", "MatPES 1999"), "MatPES 1999"),
    (("materials-project", "Li-O", "--functional", "pbe"), "MP_API_KEY"),
    (("materials-project", "Li-Qq", "--functional", "pbe"), "Li-Qq"),
    (("check", "xfunc-dft-r2sca"), "did you mean"),
    (("frames", R2SCAN, "--any-of", "Xx"), "'Xx'"),
    (("frames", R2SCAN, "--system", "Fe-Xx"), "'Xx'"),
    (("frames", R2SCAN, "--has", "charm"), "'charm'"),
    (("frames", R2SCAN, "--range", "charm", "0", "1"), "'charm'"),
    (("frames", R2SCAN, "--range", "n_atoms", "few", "1"), "'few'"),
    (("frames", R2SCAN, "--range", "n_atoms", "nan", "1"), "'nan'"),
    (("frames", R2SCAN, "--range", "n_atoms", "any", "any"), "n_atoms"),
    (("frames", R2SCAN, "--limit", "0"), "--limit"),
    (("export", R2SCAN, "/nowhere/x.csv"), "/nowhere/x.csv"),
    (("export", R2SCAN, "x.dat"), "--format"),
    (("export", R2SCAN, "/tmp/none.csv", "--has", "magmoms"), "no frame"),
    (("subset", R2SCAN, "No Name"), "no dataset name"),
    (("subset", R2SCAN, "empty", "--has", "magmoms"), "without frames"),
    (("subset", R2SCAN, PBE), "already a dataset"),
    (("split", R2SCAN, "--test", "1.5"), "fractions"),
    (("split", R2SCAN, "--test", "nan"), "fractions"),
    (("pairs", R2SCAN, PBE), "choose one of each"),
    (("correlate", PBE, "matpes-elements-r2scan"), "share no frame"),
]


@pytest.mark.parametrize(("words", "phrase"), MISTAKES, ids=[" ".join(words)[-50:] for words, _ in MISTAKES])
def test_a_mistake_is_one_sentence_on_stderr_for_people_and_for_scripts(words: tuple[str, ...], phrase: str, call: Call) -> None:
    code, out, err = call(*words)
    said = [line for line in err.splitlines() if not line.endswith("…")]
    assert (code, out) == (1, "")
    assert len(said) == 1 and said[0].startswith("xfunc: ") and phrase in said[0]
    code, out, err = call(*words, "--json")
    assert (code, out) == (1, "")
    assert phrase in json.loads(err.splitlines()[-1])["error"]


@pytest.mark.parametrize("words", [("materials-project", "Li-O"), ("frames", R2SCAN, "--sort", "charm"), ("frames", R2SCAN, "--range", "n_atoms", "1"), ("pairs", "--how", "luck"), ("import", "x", "--energies", "each"), ("export", R2SCAN)])
def test_a_command_that_is_not_written_right_ends_with_2(words: tuple[str, ...], call: Call) -> None:
    code, out, err = call(*words)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1 and "--help" in err
