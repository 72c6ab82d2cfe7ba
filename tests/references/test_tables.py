"""Tables of other programs: what is written is read back to the last bit, and what is no table is refused in a sentence."""

from __future__ import annotations

import ast
import gzip
import json
from importlib import resources

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from xfunc_core.elements import SYMBOLS, Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional
from xfunc_core.references.published import atomref, matpes_atoms
from xfunc_core.references.tables import TableFormat, read_table, write_table

ENERGY = st.floats(-1e4, 1e4, allow_nan=False).filter(bool)
TABLES = (
    st.lists(st.none() | ENERGY, min_size=94, max_size=94)
    .map(lambda values: np.array([np.nan if v is None else v for v in values]))
    .filter(lambda w: np.isfinite(w).any())
)


@given(TABLES, st.sampled_from([TableFormat.MACE, TableFormat.FAIRCHEM, TableFormat.MATPES]))
def test_what_is_written_is_read_back(energies: np.ndarray, format: TableFormat) -> None:
    found = read_table(write_table(energies, format, Functional.R2SCAN))
    np.testing.assert_array_equal(found.energies, energies)
    assert (found.format, found.left_out) == (format, ())


@given(st.lists(ENERGY, min_size=94, max_size=94))
def test_chgnets_list_is_read_back_as_json_csv_and_lines(energies: list[float]) -> None:
    text = write_table(np.array(energies), TableFormat.CHGNET)
    for again in (text, ",".join(map(repr, energies)), "\n".join(map(repr, energies))):
        np.testing.assert_array_equal(read_table(again).energies, energies)
        assert read_table(again).format is TableFormat.CHGNET


@given(
    st.text(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    ).map(json.dumps)
)
def test_whatever_a_file_holds_it_is_a_table_or_one_sentence(text: str) -> None:
    try:
        assert np.isfinite(read_table(text).energies).any()
    except DataError as error:
        assert str(error).endswith(".")


def test_e0s_as_mace_takes_them() -> None:
    """MACE evaluates the option as a Python literal whose keys are atomic numbers."""
    table = ast.literal_eval(write_table(matpes_atoms(Functional.PBE), TableFormat.MACE))
    assert len(table) == 89 and table[26] == matpes_atoms(Functional.PBE)[25]
    expected = np.full(94, np.nan)
    expected[[0, 7]] = -13.6, -432.5
    for text in (
        "{1: -13.6, 8: -432.5}",
        '{"1": -13.6, "8": -432.5}',
        "1: -13.6\n8: -432.5\n",
        "H: -13.6\nO: -4325e-1",
        "E0s:\n  1: -13.6\n  8: -432.5",
    ):
        np.testing.assert_array_equal(read_table(text).energies, expected)
        assert read_table(text).format is TableFormat.MACE


def test_list_as_fairchem_indexes_it() -> None:
    refs = yaml.safe_load(write_table(atomref("r2scan"), TableFormat.FAIRCHEM))["element_references"]
    assert len(refs) == 119 and refs[0] == 0.0
    assert refs[Z_OF["Fe"]] == atomref("r2scan")[25] and refs[Z_OF["Yb"]] == 0.0
    assert np.isnan(read_table(json.dumps({"refs": {"elem_refs": refs}})).energies[69])


@pytest.mark.parametrize("functional", list(Functional))
def test_isolated_atoms_of_matpes_documents(functional: Functional) -> None:
    """The same 89 atoms through documents, as the Hugging Face files of MatPES have them, one to a line and as a list."""
    documents = [
        {"nsites": 1, "elements": [s], "energy": e, "functional": functional.value}
        for s, e in zip(SYMBOLS, matpes_atoms(functional), strict=False)
        if np.isfinite(e)
    ]
    for text in (json.dumps(documents), "\n".join(map(json.dumps, documents))):
        np.testing.assert_array_equal(read_table(text).energies, matpes_atoms(functional))
        assert read_table(text).format is TableFormat.MATPES


@pytest.mark.parametrize(
    ("file", "functional"), [("MatPES-PBE-Element-Refs.json.gz", Functional.PBE), ("MatPES-r2SCAN-Element-Refs.json.gz", Functional.R2SCAN)]
)
def test_isolated_atoms_of_the_real_element_references(file: str, functional: Functional) -> None:
    content = gzip.decompress((resources.files("xfunc_core.data") / "bundled" / file).read_bytes()).decode()
    np.testing.assert_array_equal(read_table(content).energies, matpes_atoms(functional))
    documents = [{name: value for name, value in document.items() if name != "energy_atomic"} for document in json.loads(content).values()]
    with pytest.raises(DataError, match="^Document 1 of MatPES.json is no isolated atom"):
        read_table(json.dumps(documents), "MatPES.json")  # crystals
    single = [document for document in documents if document["nsites"] == 1]
    with pytest.raises(DataError, match="^Document 1 of MatPES.json is no isolated atom"):
        read_table(json.dumps(single), "MatPES.json")  # crystals of one atom a cell


def test_elements_beyond_plutonium_are_left_out_by_name() -> None:
    found = read_table("{94: -14.2, 95: -15.0}")
    assert found.left_out == ("Am",)
    assert found.energies[93] == -14.2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read|holds no table"),
        ("{1: -1.0, 'H': -2.0}", "names H twice"),
        ('{"H": -1.0, "H": -2.0}', "names H twice"),
        ("{1: 'x'}", "gives H the energy 'x': it must be a number"),
        ("{1: nan}", "cannot be read|gives H the energy"),
        ('{"H": NaN}', "gives H the energy 'nan'"),
        ('{"H": 1e9}', "gives H the energy"),
        ('{"H": null}', "gives H the energy 'None'"),
        ("{'Xx': -1.0}", "'Xx', which is neither an element's symbol nor an atomic number"),
        ("{0: -1.0}", "'0', which is neither"),
        ("{true: 1.0}", "which is neither"),
        ("[1, 2, 3]", "a list of 3 numbers: chgnet's has 94"),
        ("{95: -1.0}", "no reference energy of an element from H to Pu"),
        ("__import__('os').system('true')", "cannot be read|holds no table"),
        ("!!python/object/apply:os.system ['true']", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        read_table(text, "e0s.yaml")
    assert str(refused.value).startswith("e0s.yaml")


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{1: 0x" + "f" * 6000 + "}", "gives H the energy a number of thousands of digits"),
        ("{0x" + "f" * 6000 + ": 1.0}", "names a number of thousands of digits, which is neither"),
        (BOMB + "E0s: {1: *i}", "cannot be read"),
        ("E0s: &a {E0s: *a}", "cannot be read"),
        ("b'" + "a" * 94 + "'", "holds no table"),
        ("H: 1.0\nH: 2.0", "names H twice"),
        ("{1: 1.0, 1: 2.0}", "names 1 twice"),
        ("{'E0s': {8: 1.0, 8: 2.0}}", "names 8 twice"),
        ("- 1.0\n" * 40_000, "cannot be read"),
        ('{"E0s": ' * 900 + "1" + "}" * 900, "holds no table|cannot be read"),
    ],
)
def test_hostile_text_is_refused_at_once(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        read_table(text, "e0s")
    assert len(str(refused.value)) < 300


def test_gap_in_chgnets_list_is_refused() -> None:
    with pytest.raises(DataError, match="Yb, Po, At, Rn, Fr, Ra have none"):
        write_table(atomref("r2scan"), TableFormat.CHGNET)
