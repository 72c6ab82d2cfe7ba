"""Each check finds what was put in, nothing in sound data, and its numbers are those of plain Python on the raw files."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from xfunc_core.data.checks.energies import check_corrections, check_energy_scale, check_hubbard_u
from xfunc_core.data.checks.imported import MOST_REASONS, check_ids, check_import
from xfunc_core.data.checks.labels import LARGE_FORCE, check_energies, check_forces, check_missing_labels
from xfunc_core.data.checks.stress_sign import check_stress_sign, pressure_trend
from xfunc_core.data.checks.structures import FEW, check_duplicates, check_elements, check_isolated_atoms, check_overlap
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.frame import Frame
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import open_dataset
from xfunc_core.data.validation import CHECKS, Finding, FindingKind, Severity, validate
from xfunc_core.data.writer import DatasetWriter
from xfunc_core.elements import Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

Raw = Callable[[Path], list[dict[str, Any]]]
Write = Callable[..., Dataset]
SOUND = {"dropped": [], "masked": []}


def frame(name: str, symbols: tuple[str, ...] = ("Na", "Cl"), a: float = 4.0, **changes: Any) -> Frame:
    """A sound frame with all labels, somewhat different for each name."""
    n = len(symbols)
    rng = np.random.default_rng(list(name.encode()))
    labels = {"energy": -3.0 * n, "forces": rng.normal(0, 0.1, (n, 3)), "stress": rng.normal(0, 1, 6), "magmoms": np.zeros(n), "correction": 0.0, "hubbard_u": False}
    numbers = np.array([Z_OF[s] for s in symbols], dtype=np.uint8)
    return Frame(name, name, Functional.PBE, numbers, a * np.eye(3), rng.uniform(0, a, (n, 3)), **(labels | changes))


@pytest.fixture
def write(root: Path) -> Write:
    def to_dataset(frames: list[Frame], report: dict[str, Any] = SOUND, functional: str = "pbe") -> Dataset:
        with DatasetWriter(root, "set") as writer:
            for item in frames:
                writer.add(item)
            return Dataset(writer.finish(report=report, replace=True, title="", functional=functional, source="", source_sha256=""))

    return to_dataset


def many(n: int = FEW, **changes: Any) -> list[Frame]:
    return [frame(f"f{i}", **changes) for i in range(n)]


def only(findings: Any) -> Finding:
    """The one finding there is; its ids are as many as it says."""
    (finding,) = findings
    assert finding.n == len(finding.frame_ids)
    return finding


# --- the report -------------------------------------------------------------------------------


def test_sound_data_has_no_warning(write: Write) -> None:
    report = validate(write(many(40)))
    assert report.warnings == ()
    assert report.verdict == "Nothing was found that is in the way of using this dataset."
    assert {f.kind for f in report.findings} == {FindingKind.KEPT, FindingKind.HUBBARD_U}


def test_report_reads_well_and_goes_to_a_file(write: Write) -> None:
    dataset = write([*many(40), frame("alone", ("He",), a=15.0)])
    report = validate(dataset)
    assert report.verdict == "2 things to look at before using this dataset."
    table = report.table()
    assert table["Severity"].tolist() == ["warning"] * 2 + ["info"] * 2
    assert table["Finding"].tolist()[:2] == ["Rare element", "Isolated atom"]
    content = json.loads(json.dumps(report.to_json()))
    assert (content["dataset"], content["n_frames"], content["content_sha256"]) == ("set", 41, dataset.info.content_sha256)
    assert [f["frame_ids"] for f in content["findings"] if f["kind"] == "isolated atom"] == [["alone"]]
    assert [f["sentence"] for f in content["findings"]] == [f.sentence for f in report.findings]


def test_structures_without_any_label_are_looked_at_too(write: Write) -> None:
    bare = [frame(f"f{i}", energy=math.nan, forces=None, stress=None, magmoms=None, correction=math.nan, hubbard_u=None) for i in range(FEW)]
    report = validate(write(bare))
    assert [f.sentence for f in report.findings if f.kind is FindingKind.MISSING_LABEL] == [f"No frame has {label}." for label in ("energies", "forces", "stresses", "magnetic moments")]
    assert {f.kind for f in report.warnings} == {FindingKind.MISSING_LABEL}


def test_progress_rises_to_one(write: Write) -> None:
    told: list[tuple[float, str]] = []
    validate(write(many(3)), lambda share, text: told.append((share, text)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert len(told) == len(CHECKS) + 1


@pytest.mark.parametrize("name", ["matpes-elements-pbe", "matpes-elements-r2scan", "xfunc-dft-pbe", "xfunc-dft-r2scan"])
def test_bundled_data_can_be_trusted(bundled_root: Path, name: str) -> None:
    report = validate(open_dataset(bundled_root, name))
    assert {f.kind for f in report.warnings} <= {FindingKind.RARE_ELEMENT, FindingKind.ODD_ENERGY}
    assert all(f.sentence.endswith(".") and "nan" not in f.sentence for f in report.findings)


def test_kinds_have_names_for_a_reader() -> None:
    assert all(kind.label and kind.label[0].isupper() for kind in FindingKind)


# --- import -----------------------------------------------------------------------------------


def test_what_the_import_left_out_and_masked_is_listed_by_reason(write: Write) -> None:
    report = {
        "documents": 7,
        "dropped": [{"document": 1, "frame_id": "x", "reason": "it is odd"}, {"document": 3, "frame_id": "", "reason": "it has no structure"}, {"document": 4, "frame_id": "y", "reason": "it is odd"}],
        "masked": [{"frame_id": "f0", "reason": "no stress"}],
        "notes": ["Stress was guessed."],
    }
    kept, odd, bare, masked, note = check_import(write(many(4), report))
    assert kept.sentence == "Kept: 4 frames of 7 documents, 8 atoms, 4 materials, 2 elements."
    assert (odd.sentence, odd.frame_ids, odd.severity) == ("Left out: 2, because it is odd.", ("x", "y"), Severity.WARNING)
    assert (bare.sentence, bare.frame_ids) == ("Left out: 1, because it has no structure.", ("document 3",))
    assert (masked.sentence, masked.frame_ids, masked.severity) == ("Kept with a missing label: 1, because no stress.", ("f0",), Severity.INFO)
    assert (note.sentence, note.kind) == ("Stress was guessed.", FindingKind.NOTE)


def test_real_import_is_told_with_every_id(document: Callable[..., dict[str, Any]], tmp_path: Path, root: Path) -> None:
    path = tmp_path / "f.jsonl"
    documents = [document("a"), document("a"), document("b", {"structure": None}), document("c", {"stress": None})]
    path.write_text("".join(json.dumps(d) + "\n" for d in documents))
    findings = list(check_import(import_file(path, root, name="set")[0]))
    dropped = {name: f.sentence for f in findings if f.kind is FindingKind.DROPPED for name in f.frame_ids}
    assert set(dropped) == {"a", "b"}
    assert "occurred before" in dropped["a"]
    assert [f.frame_ids for f in findings if f.kind is FindingKind.MASKED] == [("c",)]


def test_thousands_of_reasons_share_one_finding(write: Write) -> None:
    report = {"dropped": [{"document": i, "frame_id": f"d{i}", "reason": f"reason {i}"} for i in range(100)], "masked": []}
    dropped = [f for f in check_import(write(many(1), report)) if f.kind is FindingKind.DROPPED]
    assert len(dropped) == MOST_REASONS + 1
    assert sum(f.n for f in dropped) == 100
    assert {name for f in dropped for name in f.frame_ids} == {f"d{i}" for i in range(100)}


def test_damaged_report_is_named(write: Write) -> None:
    dataset = write(many(1))
    (dataset.path / "report.json").write_text("[]")
    with pytest.raises(DataError, match="report.json"):
        validate(dataset)


def test_ids_that_occur_twice_are_named(write: Write) -> None:
    assert list(check_ids(write(many(3)))) == []
    found = only(check_ids(write([*many(3), frame("f1", a=4.5)])))
    assert found.frame_ids == ("f1", "f1")
    assert "1 id of 2 of 4 frames (50.0 %)" in found.sentence


# --- labels -----------------------------------------------------------------------------------


def test_missing_labels_are_named(write: Write) -> None:
    frames = [frame("a"), frame("b", energy=math.nan), frame("c", forces=None), frame("d", stress=None, magmoms=None)]
    found = list(check_missing_labels(write(frames)))
    assert [(f.frame_ids, f.severity.value) for f in found] == [(("b",), "warning"), (("c",), "warning"), (("d",), "warning"), (("d",), "info")]
    assert found[0].sentence.startswith("Without energies: 1 of 4 frames (25.0 %)")
    assert [f.sentence for f in check_missing_labels(write([frame("a", magmoms=None)]))] == ["No frame has magnetic moments."]


def test_large_forces_are_named(write: Write) -> None:
    edge, beyond = np.zeros((2, 3)), np.zeros((2, 3))
    edge[0], beyond[1] = [LARGE_FORCE, 0, 0], [-60, 0, 80]
    found = only(check_forces(write([frame("a", forces=edge), frame("b", forces=beyond), frame("c", forces=None), frame("d", forces=beyond / 1.5)])))
    assert found.frame_ids == ("b", "d")
    assert found.sentence == "Forces above 50.000 eV/Å: 2 of 4 frames (50.0 %), up to 100.000 eV/Å in b."


def test_odd_energies_are_named_with_the_criterion(write: Write) -> None:
    rng = np.random.default_rng(0)
    energy = -3.0 + rng.normal(0, 0.2, 60)
    energy[7] = 2.5
    dataset = write([frame(f"f{i}", energy=2 * e) for i, e in enumerate(energy)])
    found = only(check_energies(dataset))
    assert found.frame_ids == ("f7",)
    residual = energy - energy.mean()  # one composition: the fit is the mean
    sigma = 1.4826 * np.median(np.abs(residual - np.median(residual)))
    assert f"more than {10 * sigma:.3f} eV/atom" in found.sentence
    assert f"robust standard deviation {sigma:.3f}" in found.sentence
    assert f"the furthest {residual[7] - np.median(residual):.3f} eV/atom in f7" in found.sentence.replace("−", "-")


def test_equal_energies_have_no_odd_ones(write: Write) -> None:
    assert list(check_energies(write([frame(f"f{i}", energy=-6.0 + 0.4 * (i == 0)) for i in range(30)]))) == []
    assert list(check_energies(write([frame("a", energy=math.nan)]))) == []


# --- energies ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def materials(shared: Path) -> list[tuple[tuple[str, ...], float]]:
    """Elements of the cell and r²SCAN energy in eV/atom of 1,392 materials of the Materials Project."""
    pairs = pd.read_csv(shared / "mp_gga_r2scan_pairs.csv")
    symbols = [tuple(s for s, n in json.loads(c).items() for _ in range(round(n))) for c in pairs["composition"]]
    return list(zip(symbols, pairs["e_r2scan_per_atom"], strict=True))


@pytest.mark.parametrize(("power", "said"), [(1, ""), (0, "look as if they were per atom: over"), (2, "look as if they were multiplied by the number of atoms twice")])
def test_energies_that_are_no_totals_are_told(write: Write, materials: list[tuple[tuple[str, ...], float]], power: int, said: str) -> None:
    dataset = write([frame(f"f{i}", symbols, a=30.0, energy=e * len(symbols) ** power) for i, (symbols, e) in enumerate(materials)])
    found = list(check_energy_scale(dataset))
    assert len(found) == bool(said)
    assert all(said in f.sentence and f.severity is Severity.WARNING for f in found)


def test_corrections_are_counted_and_the_largest_named(write: Write) -> None:
    frames = [frame("a", correction=-1.4), frame("b", correction=0.0), frame("c", ("Na", "Cl", "Na", "Cl"), correction=-2.0), frame("d")]
    found = only(check_corrections(write(frames)))
    assert found.frame_ids == ("a", "c")
    assert found.sentence.startswith("Corrected energies: 2 of 4 frames (50.0 %), by up to −0.700 eV/atom in a.")
    assert list(check_corrections(write(many(3)))) == []
    unknown = only(check_corrections(write([frame("a", correction=math.nan), frame("b")])))
    assert (unknown.frame_ids, unknown.severity) == (("a",), Severity.INFO)


def test_corrected_and_unknown_energies_are_mixed(write: Write) -> None:
    corrected, mixed = check_corrections(write([frame("a", correction=-1.4), frame("b", correction=math.nan)]))
    assert corrected.frame_ids == ("a",)
    assert (mixed.kind, mixed.frame_ids, mixed.severity) == (FindingKind.MIXED_ENERGIES, ("b",), Severity.WARNING)


def test_corrected_r2scan_is_suspicious(write: Write) -> None:
    found = only(check_corrections(write([replace(frame("a", correction=-5.7), functional=Functional.R2SCAN)], functional="r2scan")))
    assert "r²SCAN energies need none" in found.sentence


def test_hubbard_u_is_counted_and_mixing_told(write: Write) -> None:
    counted, mixed = check_hubbard_u(write([frame("a", hubbard_u=True), frame("b"), frame("c", hubbard_u=None), frame("d", hubbard_u=True, correction=-1.0)]))
    assert counted.sentence == "Hubbard U: 2 frames with, 1 frame without, 1 frame of which the source does not say."
    assert counted.frame_ids == ("a", "d")
    assert (mixed.kind, mixed.frame_ids) == (FindingKind.MIXED_ENERGIES, ("a",))
    assert len(list(check_hubbard_u(write([frame("a", hubbard_u=True), frame("b", hubbard_u=True)])))) == 1


# --- structures -------------------------------------------------------------------------------


def test_copies_and_contradictions_are_named(write: Write) -> None:
    a, b = frame("a"), frame("b")
    frames = [a, replace(a, frame_id="copy of a"), b, replace(b, frame_id="b again", energy=-5.0), frame("c")]
    copies, conflicts = check_duplicates(write(frames))
    assert (copies.kind, copies.frame_ids) == (FindingKind.DUPLICATE, ("a", "copy of a"))
    assert copies.sentence.startswith("Copies: 2 of 5 frames (40.0 %) are only 1 different structure (same elements, cell and positions within 0.001 Å")
    assert (conflicts.kind, conflicts.frame_ids) == (FindingKind.CONFLICT, ("b", "b again"))
    assert "differ by up to 500.0 meV/atom" in conflicts.sentence


def test_isolated_atoms_are_counted(write: Write) -> None:
    far = replace(frame("far", ("Na", "Cl"), a=20.0), positions=np.array([[0, 0, 0], [0, 0, 10.0]]))
    found = only(check_isolated_atoms(write([frame("near"), far, frame("one", ("He",), a=6.1)])))
    assert found.frame_ids == ("far", "one")
    assert found.sentence.startswith("Isolated atoms: 3 in 2 of 3 frames (66.7 %) have no neighbour within 6 Å")


def test_overlapping_atoms_are_named(write: Write) -> None:
    close = replace(frame("close"), positions=np.array([[0, 0, 0.1], [0, 0, 3.9]]))  # through the wall of a cell of 4 Å
    found = only(check_overlap(write([replace(frame("near"), positions=np.array([[0, 0, 0], [2.0, 2, 2]])), close])))
    assert (found.kind, found.severity, found.frame_ids) == (FindingKind.OVERLAP, Severity.WARNING, ("close",))
    assert found.sentence.startswith("Overlapping atoms: 1 of 2 frames (50.0 %) have atoms closer than 0.3 Å")


def test_rare_elements_are_those_of_the_raw_file(bundled_root: Path, bundled_folder: Path, raw: Raw) -> None:
    documents = raw(bundled_folder / "xfunc-dft-PBE.jsonl.gz")
    holds = {d["matpes_id"]: {site["species"][0]["element"] for site in d["structure"]["sites"]} for d in documents}
    counts = Counter(symbol for symbols in holds.values() for symbol in symbols)
    rare = {symbol for symbol, n in counts.items() if n < FEW}
    found = only(check_elements(open_dataset(bundled_root, "xfunc-dft-pbe")))
    assert found.frame_ids == tuple(name for name, symbols in holds.items() if symbols & rare)
    assert f"{len(rare)} of {len(counts)}" in found.sentence


def test_an_element_in_enough_frames_is_not_rare(write: Write) -> None:
    assert list(check_elements(write(many(FEW)))) == []
    assert only(check_elements(write(many(FEW - 1)))).sentence.startswith(f"Elements in fewer than {FEW} frames: 2 of 2 (Na 9, Cl 9)")


# --- sign of the stress -----------------------------------------------------------------------


def birch_murnaghan(volume: float, v0: float, bulk: float, slope: float = 4.5) -> float:
    """Pressure in GPa, compression positive."""
    x = (v0 / volume) ** (1 / 3)
    return 1.5 * bulk * (x**7 - x**5) * (1 + 0.75 * (slope - 4) * (x**2 - 1))


def equations_of_state(sign: float, n_materials: int = 15, span: float = 0.1, noise: float = 0.0) -> list[Frame]:
    rng = np.random.default_rng(4)
    frames = []
    for m in range(n_materials):
        v0, bulk = rng.uniform(40, 90), 10 ** rng.uniform(0.5, 2.5)
        for i, strain in enumerate(np.linspace(1 - span / 2, 1 + span / 2, 4)):
            pressure = birch_murnaghan(strain * v0, v0, bulk) + noise * bulk * rng.standard_normal()
            stress = np.array([-pressure, -pressure, -pressure, *rng.normal(0, 5, 3)]) * sign
            frames.append(replace(frame(f"m{m}-{i}", a=(strain * v0) ** (1 / 3), stress=stress), material_id=f"m{m}"))
    return frames


def test_wrong_sign_of_the_stress_is_told(write: Write) -> None:
    found = only(check_stress_sign(write(equations_of_state(-1))))
    assert found.severity is Severity.WARNING
    assert found.sentence.startswith("The stress seems to have the wrong sign: in 15 of 15 materials")
    assert found.frame_ids[:4] == ("m0-0", "m0-1", "m0-2", "m0-3") and found.n == 60
    found = only(check_stress_sign(write(equations_of_state(1))))
    assert (found.severity, found.n) == (Severity.INFO, 0)


@pytest.mark.parametrize(("options"), [{"n_materials": 9}, {"span": 0.02}, {"noise": 1.0}], ids=["few materials", "little change of volume", "other things move the pressure"])
@pytest.mark.parametrize("sign", [1, -1])
def test_sign_of_the_stress_is_left_open_where_it_cannot_be_told(write: Write, sign: float, options: dict[str, float]) -> None:
    assert list(check_stress_sign(write(equations_of_state(sign, **options)))) == []


def test_trend_is_that_of_a_straight_line_through_each_material(write: Write) -> None:
    dataset = write([*equations_of_state(1, 12, noise=0.15), frame("no stress", stress=None)])
    trend = pressure_trend(dataset)
    table = pd.DataFrame({"m": dataset.table["material_id"], "v": np.log(dataset.columns["volume"].to_numpy()), "p": dataset.columns["pressure"].to_numpy()}).dropna()
    slopes = {m: np.polyfit(t["v"], t["p"], 1)[0] for m, t in table.groupby("m") if np.ptp(t["v"]) >= 0.03}
    rising = {m for m, slope in slopes.items() if slope > 0}
    assert (trend.rising, trend.falling) == (len(rising), len(slopes) - len(rising))
    assert set(dataset.table["material_id"].iloc[trend.rows_rising]) == rising
