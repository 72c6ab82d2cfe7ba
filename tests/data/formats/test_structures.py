"""CIF, POSCAR and pymatgen structures to frames: real minerals against ASE and pymatgen, and files to spoil."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import ase.test
import numpy as np
import pytest
from ase import Atoms
from ase.io import read as ase_read
from ase.io import write as ase_write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

from xfunc_core.data.formats import cif
from xfunc_core.data.formats.structures import passed_over, read_structures, structure_files
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.data.importing import import_file
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

REAL = Path(ase.test.__file__).parent / "testdata"
MINERALS = sorted((REAL / "minerals").glob("*.cif"))


def items(path: Path) -> list[Frame | Rejected]:
    return [item for item in read_structures(path, Functional.PBE) if not isinstance(item, Note)]


def as_structure(frame: Frame) -> Structure:
    return Structure(frame.lattice, frame.numbers.tolist(), frame.positions, coords_are_cartesian=True)


def same(a: Structure, b: Structure) -> bool:
    """Whether two structures have the same atoms in the same cell, in any order and in any image; lattices may be turned."""
    b = b.copy().remove_oxidation_states()
    if a.composition != b.composition or not np.allclose(a.lattice.parameters, b.lattice.parameters, atol=1e-4):
        return False
    taken: set[int] = set()
    for site in a:
        apart = b.frac_coords - site.frac_coords
        distance = np.linalg.norm((apart - np.round(apart)) @ b.lattice.matrix, axis=1)
        here = [i for i in np.flatnonzero(distance < 0.02).tolist() if b[i].specie == site.specie and i not in taken]
        if len(here) != 1:
            return False
        taken.update(here)
    return True


# --- CIF --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MINERALS, ids=lambda path: path.stem)
def test_real_minerals_equal_those_of_ase(path: Path) -> None:
    [frame] = items(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms = ase_read(path)
    assert same(as_structure(frame), Structure(atoms.cell.array, atoms.numbers.tolist(), atoms.positions, coords_are_cartesian=True))
    assert (frame.frame_id, frame.material_id, frame.masked) == (path.stem, path.stem, ("no energy", "no forces", "no stress"))
    assert np.isnan(frame.energy)


def test_real_minerals_equal_those_of_pymatgen() -> None:
    assert len(MINERALS) == 8
    for path in MINERALS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = Structure.from_file(path, primitive=False)
        assert same(as_structure(items(path)[0]), expected), path.stem


@pytest.fixture(scope="module")
def triclinic() -> Structure:
    return Structure(Lattice.from_parameters(5.1, 6.2, 7.3, 81, 97, 108), ["Na", "Fe", "O", "O"], [[0.1, 0.2, 0.3], [0.4, 0.55, 0.6], [0.7, 0.8, 0.95], [-0.2, 1.1, 0.45]])


@pytest.mark.filterwarnings("ignore")
def test_file_of_pymatgen_comes_back(triclinic: Structure, write: Callable[..., Path]) -> None:
    for symprec in (None, 0.01):
        text = triclinic.to(fmt="cif", symprec=symprec)
        assert same(as_structure(items(write(text, "a.cif"))[0]), Structure.from_str(text, fmt="cif"))


BLOCK = """data_{name}
_cell_length_a 4.0(1)
_cell_length_b 4.0
_cell_length_c 4.0
_cell_angle_alpha 90
_cell_angle_beta 90.
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
_publ_section_title
;
loop_
 data_not _cell_length_a 9
;
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy # in full
Na1+ 0 0 0 1.0
'Cl2a' 0.5 0.5 0.5(3) .
"""


def test_blocks_are_structures_of_their_own(write: Callable[..., Path]) -> None:
    first, second = items(write(BLOCK.format(name="a") + "\n" + BLOCK.format(name="b").replace("4.0", "5.0"), "two.cif"))
    assert (first.frame_id, second.frame_id) == ("two", "two-2")
    assert first.numbers.tolist() == second.numbers.tolist() == [11, 17]
    np.testing.assert_allclose(second.positions, [[0, 0, 0], [2.5, 2.5, 2.5]])


@pytest.mark.parametrize("operation", ["x, y, z", "X,Y,Z", "+x,y,z", "x,y,0+z", "1*x,y,z", "x+1,y,z", "x+2/2,y-1.0,z"])
def test_operations_are_read_in_every_spelling(write: Callable[..., Path], operation: str) -> None:
    listed = BLOCK.format(name="a") + f"loop_\n_space_group_symop.operation_xyz\n'x,y,z'\n'{operation}'\n"
    [frame] = items(write(listed, "a.cif"))
    assert frame.numbers.tolist() == [11, 17]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("0 0 0 1.0", "0 0 0 0.5", "only partly occupied"),
        ("0 0 0 1.0", "0 0 ? 1.0", "_atom_site_fract_z is '.', not a number"),
        ("Na1+", "Qq", "site 1 holds 'Qq', which is no element"),
        ("_cell_length_b 4.0", "", "_cell_length_b is '.', not a number"),
        ("_cell_angle_gamma 90", "_cell_angle_gamma 0", "volume of"),
        ("_cell_length_c 4.0", "_cell_length_c 1e400", "volume of|not 3 × 3"),
        ("'P 1'", "'F m -3 m'", "names the space group F m -3 m, but lists no symmetry operations"),
        ("loop_\n_atom", "_space_group_symop_operation_xyz 'x,y'\nloop_\n_atom", "symmetry operation 'x,y' cannot be read"),
        ("loop_\n_atom", "_space_group_symop_operation_xyz 'x,y,1/0'\nloop_\n_atom", "cannot be read"),
        ("loop_\n_atom", "_space_group_symop_operation_xyz 'x,y,__import__(1)'\nloop_\n_atom", "cannot be read"),
        ("loop_\n_atom", "loop_\n_space_group_symop_magn_operation.xyz\nx,y,z,+1\nloop_\n_atom", "magnetic structure"),
        ("0.5(3) .", "0.5(3)", "values of"),
    ],
)
def test_unusable_block_is_rejected_with_its_reason(write: Callable[..., Path], old: str, new: str, words: str) -> None:
    assert old in BLOCK
    first, second = items(write(BLOCK.format(name="a").replace(old, new) + BLOCK.format(name="b"), "a.cif"))
    assert isinstance(first, Rejected)
    assert re.search(words, first.reason)
    assert isinstance(second, Frame)


def test_hundred_thousand_atoms_are_a_structure_and_their_images_have_a_limit(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sites = "".join(f"Si 0.{i:06d} 0 0 1\n" for i in range(100_000))
    text = BLOCK.format(name="a").replace("4.0", "400.0").split("Na1+")[0] + sites
    [frame] = items(write(text, "a.cif"))
    assert frame.n_atoms == 100_000
    monkeypatch.setattr(cif, "MAX_IMAGES", 150_000)
    [item] = items(write(text + "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,-z'\n", "a.cif"))
    assert item == Rejected(1, "a", "its sites have more than 150,000 images")


@pytest.mark.parametrize(
    ("end", "words"),
    [("_cell_length_a", "neither a cell nor atoms"), ("_cell_length_c", "its _cell_length_c is '.', not a number"), ("_publ", "a cell and no atoms"), ("Na1+", "a cell and no atoms"), (" 0 0 0 1.0", "1 sites and 0 values of")],
)
def test_a_file_that_is_cut_off_is_named_wherever_it_ends(write: Callable[..., Path], end: str, words: str) -> None:
    [item] = items(write(BLOCK.format(name="a").split(end)[0], "a.cif"))
    assert isinstance(item, Rejected)
    assert re.search(words, item.reason)


def test_a_block_without_cell_and_atoms_is_passed_over_where_another_has_them(write: Callable[..., Path]) -> None:
    [frame] = items(write("data_global\n_publ_author_name 'A'\n" + BLOCK.format(name="a"), "a.cif"))
    assert frame.n_atoms == 2


# --- POSCAR and JSON --------------------------------------------------------------------------


@pytest.fixture
def with_elements(tmp_path: Path) -> Path:
    """The real POSCAR, its elements named."""
    text = (REAL / "vasp" / "POSCAR_example_1").read_text()
    path = tmp_path / "POSCAR"
    path.write_text(text.replace("\n  18\n", "\n  Ni\n  18\n"))
    return path


def test_real_poscar_without_elements_is_rejected() -> None:
    assert items(REAL / "vasp" / "POSCAR_example_1") == [Rejected(1, "POSCAR_example_1", "it does not name its elements (line 6, which VASP 4 left out)")]


def test_real_poscar_equals_those_of_ase_and_pymatgen(with_elements: Path) -> None:
    path = with_elements
    [frame] = items(path)
    atoms = ase_read(path, format="vasp")
    assert frame.numbers.tolist() == atoms.numbers.tolist()
    np.testing.assert_allclose(frame.positions, atoms.positions, atol=1e-12)
    np.testing.assert_allclose(frame.lattice, atoms.cell.array, atol=1e-12)
    assert same(as_structure(frame), Poscar.from_file(path, check_for_potcar=False).structure)


POSCAR = "a comment\n{scale}\n4 0 0\n0 5 0\n0 0 6\n{symbols}\n1 2\n{mode}\n{rows}"


@pytest.mark.parametrize(
    ("scale", "mode", "rows", "volume"),
    [
        ("1.0", "Direct", "0 0 0\n.5 .5 .5\n.25 0 .75", 120),
        ("2.0 ! twice", "direct", "0 0 0\n.5 .5 .5\n.25 0 .75", 960),
        ("-240", "Selective dynamics\nDirect", "0 0 0 T T F\n.5 .5 .5 T T T\n.25 0 .75 F F F", 240),
        ("1 2 3", "Direct", "0 0 0\n.5 .5 .5\n.25 0 .75", 720),
        ("2.0", "Cartesian", "0 0 0\n2 2.5 3\n1 0 4.5", 960),
        ("2.0", "K", "0 0 0 C\n2 2.5 3 O\n1 0 4.5 O", 960),
    ],
)
def test_poscar_is_read_as_pymatgen_does(write: Callable[..., Path], scale: str, mode: str, rows: str, volume: float) -> None:
    text = POSCAR.format(scale=scale, mode=mode, rows=rows, symbols="C O")
    [frame] = items(write(text, "POSCAR"))
    assert abs(np.linalg.det(frame.lattice)) == pytest.approx(volume)
    np.testing.assert_allclose(np.linalg.solve(frame.lattice.T, frame.positions.T).T, [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0, 0.75]], atol=1e-12)
    if len(scale.split()) == 1:  # pymatgen knows no more
        expected = Poscar.from_str(text).structure
        np.testing.assert_allclose(frame.lattice, expected.lattice.matrix)
        np.testing.assert_allclose(frame.positions, expected.cart_coords, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"symbols": "1 2"}, "does not name its elements"),
        ({"symbols": "C"}, "do not fit its elements"),
        ({"symbols": "C Qq"}, "site 2 holds 'Qq', which is no element"),
        ({"scale": "0"}, "its scale .line 2. is neither"),
        ({"scale": "one"}, "its scale is 'one', not numbers"),
        ({"scale": "1 -1 1"}, "its scale .line 2. is neither"),
        ({"rows": "0 0 0\n.5 .5"}, "its coordinates must have three numbers a line"),
        ({"rows": "0 0 0\n.5 .5 x\n0 0 0"}, "its coordinates is '.5 .5 x', not numbers"),
        ({"rows": "0 0 0\n.5 .5 .5"}, "coordinates is not 3 × 3 numbers"),
        ({"mode": "Direct configuration=     1"}, "it is an XDATCAR"),
        ({"rows": "0 0 nan\n.5 .5 .5\n0 0 0"}, "coordinates are not finite"),
    ],
)
def test_unusable_poscar_is_rejected_with_its_reason(write: Callable[..., Path], change: dict[str, str], words: str) -> None:
    parts = {"scale": "1.0", "mode": "Direct", "rows": "0 0 0\n.5 .5 .5\n.25 0 .75", "symbols": "C O"}
    [item] = items(write(POSCAR.format(**parts | change), "POSCAR"))
    assert isinstance(item, Rejected)
    assert re.search(words, item.reason)


def test_the_trajectory_that_ase_writes_is_refused_and_not_read_as_its_first_frame(tmp_path: Path) -> None:
    frames = [Atoms("NaCl", cell=[4, 4, 4], pbc=True, positions=[[0, 0, 0], [2, 2, x]]) for x in (1.9, 2.0)]
    ase_write(tmp_path / "XDATCAR", frames, format="vasp-xdatcar")
    [item] = items(tmp_path / "XDATCAR")
    assert isinstance(item, Rejected) and "XDATCAR" in item.reason


def test_structures_as_json_are_read_without_decoding(triclinic: Structure, write: Callable[..., Path]) -> None:
    disordered = Structure(Lattice.cubic(4), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    first, second = items(write(json.dumps([triclinic.as_dict(), disordered.as_dict()]), "a.json"))
    assert same(as_structure(first), triclinic)
    assert "not occupied by exactly one element" in second.reason
    assert same(as_structure(items(write(triclinic.to(fmt="json"), "a.json"))[0]), triclinic)


# --- folders and damage -----------------------------------------------------------------------


def test_folder_is_read_file_by_file(tmp_path: Path, root: Path, with_elements: Path) -> None:
    (tmp_path / "all" / "deep").mkdir(parents=True)
    (tmp_path / "all" / "a.cif.gz").write_bytes(gzip.compress(MINERALS[0].read_bytes()))
    (tmp_path / "all" / "deep" / "POSCAR").write_bytes(with_elements.read_bytes())
    (tmp_path / "all" / "deep" / "bad.cif.gz").write_bytes(gzip.compress(MINERALS[0].read_bytes())[:-30])
    (tmp_path / "all" / "read me.txt").write_text("hello")
    (tmp_path / "all" / ".hidden").write_text("hello")
    (tmp_path / "all" / "deep" / "empty.cif").write_text("")
    (tmp_path / "all" / "loop").symlink_to(tmp_path / "all")
    dataset, report = import_file(tmp_path / "all", root, name="d", functional=Functional.R2SCAN)
    assert dataset.table["frame_id"].tolist() == ["a", "deep/POSCAR"]
    assert [entry["frame_id"] for entry in report.dropped] == ["deep/bad", "deep/empty"]
    assert "damaged or cut gzip file" in report.dropped[0]["reason"]
    assert report.dropped[1]["reason"] == "it is empty"
    assert dataset.info.labelled == {"energy": 0, "forces": 0, "stress": 0, "magmoms": 0}
    assert report.notes == ["The structures carry no energies, forces or stress.", "Only CIF files and POSCARs are read in a folder; passed over: read me.txt."]
    assert len(list(structure_files(tmp_path / "all"))) == 4


def test_of_many_files_passed_over_five_are_named(tmp_path: Path) -> None:
    for name in ("a.cif", "POSCAR", *(f"{i}.xyz" for i in range(1205))):
        (tmp_path / name).touch()
    assert passed_over(tmp_path) == "Only CIF files and POSCARs are read in a folder; passed over: 0.xyz, 1.xyz, 10.xyz, 100.xyz, 1000.xyz and 1,200 more."
    assert passed_over(tmp_path / "a.cif") == ""


def test_functional_is_asked_for(root: Path) -> None:
    with pytest.raises(DataError, match="holds structures without labels; say which functional to file them under"):
        import_file(MINERALS[0], root, name="d")


def test_gzip_bomb_stays_small_in_memory(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cif, "MAX_BLOCK", 100_000)
    path = write(gzip.compress(b"data_a\nloop_\n_atom_site_label\n" + b"Na\n" * 300_000, 1), "a.cif.gz")
    tracemalloc.start()
    with pytest.raises(DataError, match="a block is longer than 100,000 characters"):
        items(path)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_and_changed_files_are_read_or_said(tmp_path: Path, data: st.DataObject) -> None:
    real = data.draw(st.sampled_from([MINERALS[0], MINERALS[2], REAL / "vasp" / "POSCAR_example_1"]))
    content = bytearray(real.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        content[at : at + 1] = data.draw(st.binary(max_size=3) | st.sampled_from([b"\n", b";", b"'", b"loop_\n", b"nan", b"1e999", b"\n;\n", b"?"]))
    (tmp_path / "a").write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        for item in items(tmp_path / "a"):
            assert isinstance(item, Frame) or item.reason.isprintable()
    except DataError as error:
        assert str(error).isprintable()
