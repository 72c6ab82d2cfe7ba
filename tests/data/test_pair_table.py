"""Relaxed-pair tables: parsed values against json, csv and pymatgen; every row kept or listed; whole tables or none."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfunc_core.data.formulas import hill_formula, parse_composition, parse_formula
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pair_table_columns import plain_name
from xfunc_core.data.pair_table_import import (
    damaged_pair_tables,
    delete_pair_table,
    import_pair_table,
    is_pair_table,
    list_pair_tables,
    open_pair_table,
)
from xfunc_core.elements import SYMBOLS, Z_OF
from xfunc_core.errors import DataError

HEADER = "material_id,formula,e_gga_per_atom,e_r2scan_per_atom"

Import = Callable[..., PairTable]


@pytest.fixture
def table(tmp_path: Path, root: Path) -> Import:
    """Import a text as the table ``t``."""

    def of(text: str | bytes, file: str = "t.csv", **options: object) -> PairTable:
        path = tmp_path / file
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return import_pair_table(path, root, name="t", **options)[0]

    return of


def reasons(found: PairTable) -> list[tuple[int, str]]:
    return [(entry["document"], entry["reason"]) for entry in found.report()["dropped"]]


# --- real pairs -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> PairTable:
    return import_pair_table(shared / "mp_gga_r2scan_pairs.csv", tmp_path_factory.mktemp("tables"), name="mp")[0]


def test_every_row_of_the_real_table_is_kept_with_its_numbers(real: PairTable, shared: Path) -> None:
    rows = list(csv.DictReader((shared / "mp_gga_r2scan_pairs.csv").open()))
    assert len(real) == len(rows) == 1392 and real.info.n_dropped == 0
    for name, column in (
        ("energy_pbe", "e_gga_per_atom"),
        ("energy_r2scan", "e_r2scan_per_atom"),
        ("formation_energy_pbe", "hf_gga"),
        ("formation_energy_r2scan", "hf_r2scan"),
    ):
        np.testing.assert_array_equal(real.label(name), [float(row[column]) for row in rows])
    assert np.isnan(real.volume_pbe).all() and real.info.labelled["volume_pbe"] == 0
    for row, fractions in zip(rows, real.composition, strict=True):
        counts = json.loads(row["composition"])
        expected = np.zeros(94)
        expected[[Z_OF[s] - 1 for s in counts]] = np.array(list(counts.values())) / sum(counts.values())
        np.testing.assert_allclose(fractions, expected)
    assert list(real.frames["material_id"]) == [row["material_id"] for row in rows]
    assert len(real.info.elements) == 81 and real.info.elements["O"] == 541


def test_the_real_formulas_are_read_as_pymatgen_reads_them(shared: Path) -> None:
    from pymatgen.core import Composition

    for row in csv.DictReader((shared / "mp_gga_r2scan_pairs.csv").open()):
        expected = Composition(json.loads(row["composition"])).fractional_composition.as_dict()
        for text in (row["formula"], row["reduced"], row["composition"]):  # hydrates are written with a dot
            counts = parse_composition(text)
            assert {s: n / sum(counts.values()) for s, n in counts.items()} == pytest.approx(expected)


def test_the_reduced_formula_is_that_of_datasets(real: PairTable) -> None:
    from xfunc_core.data.writer import formula

    for text, row in list(zip(real.frames["formula"], real.composition * real.frames["n_atoms"].to_numpy()[:, None], strict=True))[::20]:
        numbers = np.repeat(np.arange(1, 95), np.rint(row).astype(int))
        assert text == formula(numbers)


def test_totals_under_the_name_of_energies_per_atom_are_refused_and_the_other_way_round(
    real: PairTable, shared: Path, table: Import
) -> None:
    rows = list(csv.DictReader((shared / "mp_gga_r2scan_pairs.csv").open()))
    n_atoms = [sum(json.loads(row["composition"]).values()) for row in rows]

    def text(names: tuple[str, str], factor: Callable[[int], float]) -> str:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["material_id", "composition", *names])
        for i, row in enumerate(rows):
            writer.writerow(
                [row["material_id"], row["composition"], *(float(row[c]) * factor(i) for c in ("e_gga_per_atom", "e_r2scan_per_atom"))]
            )
        return out.getvalue()

    totals, per_atom = (lambda i: n_atoms[i]), (lambda i: 1.0)
    with pytest.raises(DataError, match="'energy_pbe' of t.csv should hold totals and looks like energies per atom"):
        table(text(("energy_pbe", "energy_r2scan"), per_atom))
    with pytest.raises(DataError, match="'e_pbe_per_atom' of t.csv should hold energies per atom and looks like totals"):
        table(text(("e_pbe_per_atom", "e_r2scan_per_atom"), totals))
    np.testing.assert_allclose(table(text(("energy_pbe", "energy_r2scan"), totals)).energy_pbe, real.energy_pbe)
    said = table(text(("energy_pbe", "energy_r2scan"), per_atom), energies="per-atom", replace=True)
    np.testing.assert_array_equal(said.energy_r2scan, real.energy_r2scan)
    assert any("because you said so" in note for note in said.report()["notes"])


# --- columns ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("E_r²SCAN (eV/atom)", "e_r2scan_per_atom"),
        ("GGA/GGA+U", "gga_gga_u"),
        ("Energy PBE [eV]", "energy_pbe"),
        ("e_pbe_per_atom (eV/atom)", "e_pbe_per_atom"),
        ("Volume PBE (Å³/atom)", "volume_pbe_per_atom"),
    ],
)
def test_names_are_compared_without_their_dress(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@pytest.mark.parametrize("mark", [",", "\t", ";", "|"])
@pytest.mark.parametrize("packed", [False, True])
def test_any_delimiter_is_told_and_gzip_by_content(mark: str, packed: bool, table: Import) -> None:
    text = "# a comment\n" + f"{HEADER}\nmp-1,NaCl,-3.5,-7.25\n".replace(",", mark)
    found = table(gzip.compress(text.encode()) if packed else text, file="t.txt")
    assert (found.energy_pbe[0], found.energy_r2scan[0]) == (-3.5, -7.25)
    assert found.frames["line"].tolist() == [3]


def test_the_user_names_columns(table: Import) -> None:
    found = table(
        "who;what;a;b\nmp-1;Fe2O3;−6.5;-12\n",
        columns={"formula": "what", "energy_per_atom_pbe": "a", "energy_per_atom_r2scan": "b", "material_id": "who"},
    )
    assert (found.energy_pbe[0], found.frames["material_id"][0], found.frames["formula"][0]) == (-6.5, "mp-1", "Fe2O3")


def test_totals_volumes_and_formation_energies(table: Import) -> None:
    found = table(
        "id,mp_id,formula,nsites,energy_pbe,energy_r2scan,volume_pbe,volume_r2scan_per_atom,hf_pbe,hf_r2scan\na,mp-1,MgO,8,-40,-80,160,19,-2.5,-3\n"
    )
    assert (found.energy_pbe[0], found.energy_r2scan[0]) == (-5.0, -10.0)
    assert (found.volume_pbe[0], found.volume_r2scan[0]) == (20.0, 19.0)
    assert (found.label("formation_energy_pbe")[0], found.label("formation_energy_r2scan")[0]) == (-2.5, -3.0)
    assert found.frames.loc[0, ["frame_id", "material_id", "n_atoms"]].tolist() == ["a", "mp-1", 8]


@pytest.mark.parametrize(
    ("text", "options", "phrase"),
    [
        ("", {}, "is empty"),
        ("\n\n", {}, "is empty"),
        ("a,b\n1,2\n", {}, "No column holds the energies of PBE .* the columns are a, b"),
        ("formula,e_pbe_per_atom\nNaCl,1\n", {}, "No column holds the energies of r²SCAN"),
        ("e_pbe,e_r2scan\n1,2\n", {}, "No column holds formulas"),
        (
            f"{HEADER},energy_per_atom_pbe\nmp-1,NaCl,1,2,3\n",
            {},
            "'e_gga_per_atom' and 'energy_per_atom_pbe' may both be energy_per_atom_pbe",
        ),
        (f"{HEADER}\nmp-1,NaCl,1,2\n", {"columns": {"formula": "x"}}, "No column is named 'x'"),
        (f"{HEADER}\nmp-1,NaCl,1,2\n", {"columns": {"colour": "formula"}}, "'colour' is no column of a pair table"),
        (f"{HEADER}\nmp-1,NaCl,1,2\n", {"energies": "both"}, "'total' or 'per-atom'"),
        (f"{HEADER}\n", {}, "holds no pair: choose"),
        (f"{HEADER}\nmp-1,Xx,1,2\n", {}, "holds no pair; its line 2 was left out because 'Xx' in 'Xx' is no element"),
        ("formula,energy_pbe,energy_r2scan\nNaCl,1,2\n", {}, "nothing tells the number of atoms"),
        (b"\xff\xfe\x00formula", {}, "not a text file in UTF-8"),
        (b"\x1f\x8b\x08\x00broken", {}, "damaged or cut gzip"),
    ],
)
def test_what_is_no_table_is_one_sentence_and_leaves_nothing(
    text: str | bytes, options: dict, phrase: str, table: Import, root: Path
) -> None:
    with pytest.raises(DataError, match=phrase):
        table(text, **options)
    assert list_pair_tables(root) == [] and not (root.exists() and list(root.iterdir()))


# --- rows -------------------------------------------------------------------------------------


def test_every_row_that_is_left_out_is_listed_with_its_line_and_reason(table: Import) -> None:
    lines = [
        HEADER,
        "mp-1,NaCl,-1,-2",
        "mp-2,,-1,-2",
        "mp-3,AmO2,-1,-2",
        "mp-4,NaQ,-1,-2",
        "mp-5,NaCl,low,-2",
        "",
        "mp-6,NaCl,-1",
        "mp-1,NaCl,-1,-2",
        ",NaCl,-1,-3",
        "mp-7,NaCl,inf,-2",
        "mp-8,Na(Cl,-1,-2",
        "mp-1,NaCl,-1.5,-2.5",
        "mp-9,NaCl,-1,1e300",
        "mp-9,NaCl,-1,-2e6",
    ]
    found = table("\n".join(lines))
    assert reasons(found) == [
        (3, "it has no formula"),
        (4, "Am lies beyond Pu, the last element that CHGNet knows"),
        (5, "'Q' in 'NaQ' is no element"),
        (6, "e_gga_per_atom is 'low', no number"),
        (8, "it has 3 fields and the header 4"),
        (9, "it repeats line 2"),
        (10, "it has no material id"),
        (11, "e_gga_per_atom is 'inf', no number"),
        (12, "'Na(Cl' is no formula"),
        (14, "1e+300 eV/atom is no energy"),
        (15, "-2e+06 eV/atom is no energy"),
    ]
    assert found.frames[["frame_id", "material_id", "line"]].to_numpy().tolist() == [["mp-1", "mp-1", 2], ["mp-1#2", "mp-1", 13]]
    assert found.info.n_materials == 1 and found.info.n_dropped == 11


def test_a_repeated_id_is_left_out(table: Import) -> None:
    found = table("id,formula,e_pbe_per_atom,e_r2scan_per_atom\na,NaCl,1,2\nb,NaCl,1,2\na,KCl,1,2\n")
    assert reasons(found) == [(4, "its id occurred before, in line 2")]


def test_a_formula_that_contradicts_the_composition_is_left_out(table: Import) -> None:
    text = 'material_id,formula,composition,e_pbe_per_atom,e_r2scan_per_atom\nm1,NaCl,"{""Na"": 4, ""Cl"": 4}",1,2\nm2,NaCl,"{""Na"": 4, ""K"": 4}",1,2\nm3,rock salt,Na4Cl4,1,3\n'
    found = table(text)
    assert [line for line, _ in reasons(found)] == [3]
    assert found.frames["n_atoms"].tolist() == [8, 8]


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "1e400", "1e308", "true", "NaN", '""2""', "null", "[1]"])
def test_a_composition_of_absurd_numbers_is_left_out(number: str, table: Import) -> None:
    header = "material_id,composition,e_pbe_per_atom,e_r2scan_per_atom"
    found = table(f'{header}\nm1,"{{""N"": {number}}}",-1,-2\nm2,N2,-1,-2\n')
    (left_out,) = reasons(found)
    assert left_out[0] == 2 and ("atoms of N" in left_out[1] or "holds what is no number" in left_out[1])


def test_labels_that_are_absent_are_kept_and_counted(table: Import) -> None:
    found = table(f"{HEADER}\nmp-1,NaCl,,-2\nmp-2,NaCl,-1,nan\nmp-3,NaCl,-1,-2\n")
    assert np.isnan(found.energy_pbe).tolist() == [True, False, False]
    assert (found.info.labelled["energy_pbe"], found.info.labelled["energy_r2scan"]) == (2, 2)
    assert found.report()["notes"] == ["1 of 3 rows have no energy in PBE.", "1 of 3 rows have no energy in r²SCAN."]


# --- store ------------------------------------------------------------------------------------


def test_tables_are_listed_opened_replaced_and_deleted(table: Import, root: Path) -> None:
    table(f"{HEADER}\nmp-1,NaCl,-1,-2\n")
    assert [t.info.name for t in list_pair_tables(root)] == ["t"]
    with pytest.raises(DataError, match="already a pair table named 't'"):
        table(f"{HEADER}\nmp-1,NaCl,-1,-3\n")
    assert open_pair_table(root, "t").energy_r2scan[0] == -2
    before = open_pair_table(root, "t").info.content_sha256
    table(f"{HEADER}\nmp-1,NaCl,-1,-3\n", replace=True)
    assert open_pair_table(root, "t").energy_r2scan[0] == -3 and open_pair_table(root, "t").info.content_sha256 != before
    delete_pair_table(root, "t")
    assert list_pair_tables(root) == [] and list(root.iterdir()) == []
    for ask in (open_pair_table, delete_pair_table):
        with pytest.raises(DataError, match="There is no pair table 't'"):
            ask(root, "t")
        with pytest.raises(DataError, match="is no dataset name"):
            ask(root, "../t")


@pytest.mark.parametrize("file", ["table.json", "pairs.arrow"])
@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"[]", lambda b: b""])
def test_a_damaged_table_is_named_and_the_others_are_listed(file: str, spoil: Callable[[bytes], bytes], table: Import, root: Path) -> None:
    table(f"{HEADER}\nmp-1,NaCl,-1,-2\n")
    (root / "t").rename(root / "good")
    path = table(f"{HEADER}\nmp-1,NaCl,-1,-2\n").path / file
    path.write_bytes(spoil(path.read_bytes()))
    assert [t.info.name for t in list_pair_tables(root)] == ["good"]
    (sentence,) = damaged_pair_tables(root)
    assert sentence.startswith("Pair table 't' is damaged") and "import it again" in sentence
    delete_pair_table(root, "t")


def test_a_full_disk_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{HEADER}\n" + "".join(f"mp-{i},NaCl,-1,-{i}\n" for i in range(20_000)))
    with pytest.raises(DataError, match="disk is full"):
        import_pair_table(path, small_disk / "tables", name="t")
    assert list((small_disk / "tables").iterdir()) == []


def test_pair_tables_are_told_from_other_files(shared: Path, tmp_path: Path) -> None:
    assert is_pair_table(shared / "mp_gga_r2scan_pairs.csv")
    assert not is_pair_table(shared / "element_references.csv")
    assert not is_pair_table(shared / "MPtrj_sample.json")
    assert not is_pair_table(tmp_path)


# --- properties -------------------------------------------------------------------------------

SYMBOL = st.sampled_from(SYMBOLS[:94])
COUNTS = st.dictionaries(SYMBOL, st.integers(1, 40), min_size=1, max_size=6)
NUMBER = st.one_of(st.none(), st.floats(-1e4, 1e4))


@given(COUNTS)
def test_a_formula_comes_back(counts: dict[str, int]) -> None:
    text = "".join(f"{symbol}{n}" for symbol, n in counts.items())
    assert parse_formula(text) == counts
    divisor = math.gcd(*counts.values())
    assert parse_formula(hill_formula(counts)) == {symbol: n / divisor for symbol, n in counts.items()}


@given(COUNTS, COUNTS, st.integers(2, 9))
def test_brackets_and_hydrates_add_up(inner: dict[str, int], outer: dict[str, int], factor: int) -> None:
    a, b = ("".join(f"{symbol}{n}" for symbol, n in counts.items()) for counts in (inner, outer))
    expected = {symbol: outer.get(symbol, 0) + factor * inner.get(symbol, 0) for symbol in inner.keys() | outer.keys()}
    assert parse_formula(f"{b}({a}){factor}") == parse_formula(f"{b}·{factor}{a}") == parse_formula(f"{b} [{a}]{factor}") == expected


@given(st.text(max_size=30))
def test_no_text_breaks_the_formula_parser(text: str) -> None:
    try:
        counts = parse_composition(text)
    except DataError:
        return
    assert counts and all(n > 0 and math.isfinite(n) for n in counts.values()) and set(counts) <= set(SYMBOLS)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), COUNTS, NUMBER, NUMBER), min_size=1, max_size=12))
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, dict[str, int], float | None, float | None]]
) -> None:
    folder = tmp_path_factory.mktemp("p")
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER.replace("formula", "composition").split(","))
        for material, counts, *energies in rows:
            writer.writerow([f"m{material}", json.dumps(counts), *("" if e is None else repr(e) for e in energies)])
    found, report = import_pair_table(folder / "t.csv", folder / "tables", name="t", energies="per-atom")
    texts = [repr(row) for row in rows]  # as they are written: 0.0 and −0.0 are two texts
    kept = [row for i, row in enumerate(rows) if texts[i] not in texts[:i]]
    assert report.n_documents == len(rows) == len(found) + len(found.report()["dropped"])
    for name, i in (("energy_pbe", 2), ("energy_r2scan", 3)):
        np.testing.assert_array_equal(found.label(name), [np.nan if row[i] is None else row[i] for row in kept])
    np.testing.assert_allclose(found.composition.sum(axis=1), 1.0)
    assert found.frames["material_id"].tolist() == [f"m{row[0]}" for row in kept]
    assert found.frames["frame_id"].is_unique and len(np.unique(found.materials)) == found.info.n_materials


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: (HEADER + "\n" + text).encode())))
def test_no_file_breaks_the_import(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("p")
    (folder / "t.csv").write_bytes(content)
    try:
        found, report = import_pair_table(folder / "t.csv", folder / "tables", name="t")
    except DataError:
        assert not (folder / "tables").exists() or not list((folder / "tables").iterdir())
    else:
        assert len(found) + len(report.dropped) == report.n_documents
