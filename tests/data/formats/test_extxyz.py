"""Extended XYZ to frames: files written by ASE against ASE, signs against finite strain, and files to spoil."""

from __future__ import annotations

import gzip
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import ase.test
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import iread, read
from ase.io import write as ase_write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfunc_core.data.formats import extxyz
from xfunc_core.data.formats.extxyz import read_extxyz
from xfunc_core.data.frame import Frame, Note, Rejected, voigt_to_matrix
from xfunc_core.data.importing import import_file
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

Write = Callable[..., Path]
LINE = 'Lattice="4.0 0.1 0.2 0.0 4.1 0.3 0.0 0.0 4.2" Properties=species:S:1:pos:R:3:forces:R:3 energy=-7.5 functional=PBE pbc="T T T"'
ATOMS = "Na 0.0 0.0 0.0 0.1 0.2 0.3\nCl 2.0 2.0 2.0 -0.1 -0.2 -0.3\n"


def items(path: Path, functional: Functional | None = None) -> list[Frame | Rejected]:
    return [item for item in read_extxyz(path, functional) if not isinstance(item, Note)]


def notes(path: Path, functional: Functional | None = None) -> list[str]:
    return [item.sentence for item in read_extxyz(path, functional) if isinstance(item, Note)]


@pytest.fixture
def one(write: Write) -> Callable[..., Frame | Rejected]:
    """What a frame of two atoms becomes, with its comment line and atoms as given."""

    def read_one(line: str = LINE, atoms: str = ATOMS, functional: Functional | None = None) -> Frame | Rejected:
        [item] = items(write(f"2\n{line}\n{atoms}", "file.xyz"), functional)
        return item

    return read_one


# --- against ASE ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trajectory() -> list[Atoms]:
    """Rattled and sheared alloys with EMT labels, of one, four and eight atoms."""
    rng = np.random.default_rng(0)
    made = []
    for i, size in enumerate([(1, 1, 1), (2, 1, 2), (2, 2, 2), (1, 2, 2)]):
        atoms = bulk("Cu", a=3.6) * size
        atoms.symbols[0] = "Au"
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.03 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.05, seed=i)
        atoms.calc = EMT()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress(), "magmoms": rng.normal(size=len(atoms))}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        made.append(atoms)
    return made


@pytest.mark.parametrize("zipped", [False, True])
def test_frames_equal_those_that_ase_reads(trajectory: list[Atoms], tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / ("a.extxyz.gz" if zipped else "a.extxyz")
    ase_write(path, trajectory, format="extxyz")
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == zipped
    frames = items(path, Functional.PBE)
    for position, (frame, atoms) in enumerate(zip(frames, iread(path, format="extxyz"), strict=True), start=1):
        assert frame.frame_id == frame.material_id == f"a-{position}"
        assert frame.numbers.tolist() == atoms.numbers.tolist()
        np.testing.assert_array_equal(frame.lattice, atoms.cell.array)
        np.testing.assert_array_equal(frame.positions, atoms.positions)
        assert frame.energy == atoms.get_potential_energy()
        np.testing.assert_array_equal(frame.forces, atoms.get_forces())
        np.testing.assert_allclose(frame.stress, atoms.get_stress() / units.GPa, rtol=1e-12)
        np.testing.assert_array_equal(frame.magmoms, atoms.get_magnetic_moments())
        assert frame.masked == ()


def test_stress_pulls_where_the_cell_was_stretched(tmp_path: Path) -> None:
    """The energy of a stretched crystal rises with further strain; by that slope, stress and virial tell sign, unit and order."""
    strained = bulk("Cu", a=3.6)
    strained.set_cell(strained.cell @ np.array([[1.03, 0.01, 0.0], [0.01, 1.02, -0.02], [0.0, -0.02, 1.05]]), scale_atoms=True)

    def energy(strain: np.ndarray) -> float:
        atoms = strained.copy()
        atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
        atoms.calc = EMT()
        return atoms.get_potential_energy()

    slope = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            step = np.zeros((3, 3))
            step[i, j] += 5e-4
            step[j, i] += 5e-4
            slope[i, j] = (energy(step) - energy(-step)) / 2e-3
    strained.calc = EMT()
    ase_stress, volume = strained.get_stress(voigt=False), strained.get_volume()
    rows = " ".join(map(str, strained.cell.array.ravel()))
    path = tmp_path / "a.xyz"
    nine, six, virial = (" ".join(map(str, np.ravel(v))) for v in (ase_stress, strained.get_stress(), -volume * ase_stress))
    path.write_text("".join(f'1\nLattice="{rows}" functional=PBE {member}\nCu 0 0 0\n' for member in (f'stress="{nine}"', f'REF_stress="{six}"', f'virials="{virial}"', f'virial="{virial}"')))
    for frame in items(path):
        np.testing.assert_allclose(voigt_to_matrix(frame.stress), slope / volume / units.GPa, rtol=1e-3, atol=1e-3)
        assert (frame.stress[:3] > 1).all()  # stretched: it pulls
        assert frame.stress[5] > 0.1 > -0.1 > frame.stress[3]  # xy and yz were sheared in opposite senses
    assert [note for note in notes(path) if note.startswith("Stress is −V⁻¹")] == ["Stress is −V⁻¹ times 'virials', with the virial in eV as QUIP and MACE define it (−dE/dε).", "Stress is −V⁻¹ times 'virial', with the virial in eV as QUIP and MACE define it (−dE/dε)."]


def test_mace_files_are_read_by_their_own_keys(trajectory: list[Atoms], tmp_path: Path) -> None:
    """MACE renames labels to REF_*, since ASE takes the plain names away."""
    atoms = trajectory[1].copy()
    atoms.info |= {"REF_energy": -3.25, "REF_stress": np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T, "matpes_id": "x-1", "material_id": "mp-1"}
    atoms.arrays["REF_forces"] = np.arange(12.0).reshape(4, 3)
    ase_write(tmp_path / "a.xyz", atoms, format="extxyz")
    [frame] = items(tmp_path / "a.xyz", Functional.R2SCAN)
    assert (frame.frame_id, frame.material_id, frame.functional, frame.energy) == ("x-1", "mp-1", Functional.R2SCAN, -3.25)
    assert frame.forces.tolist() == atoms.arrays["REF_forces"].tolist()
    np.testing.assert_allclose(frame.stress * units.GPa, atoms.info["REF_stress"][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]])
    assert notes(tmp_path / "a.xyz", Functional.R2SCAN) == [
        "Energies are read from 'REF_energy' as total eV.",
        "Forces are read from 'REF_forces' as eV/Å.",
        "Stress is read from 'REF_stress' as eV/Å³, tension positive, in the order xx yy zz yz xz xy where it has six numbers.",
    ]


def test_real_file_of_ase_has_the_atoms_that_ase_reads() -> None:
    path = Path(ase.test.__file__).parent / "testdata" / "opls_structure_ext.xyz"
    [frame], atoms = items(path, Functional.PBE), read(path, format="extxyz")
    assert frame.numbers.tolist() == atoms.numbers.tolist()
    np.testing.assert_array_equal(frame.positions, atoms.positions)
    assert frame.masked == ("no energy", "no forces", "no stress")


# --- one frame --------------------------------------------------------------------------------


def test_frame_holds_what_the_lines_say(one: Callable[..., Frame]) -> None:
    frame = one()
    assert (frame.functional, frame.energy, frame.numbers.tolist(), frame.hubbard_u, frame.masked) == (Functional.PBE, -7.5, [11, 17], None, ("no stress",))
    assert frame.lattice.tolist() == [[4.0, 0.1, 0.2], [0.0, 4.1, 0.3], [0.0, 0.0, 4.2]]
    assert frame.forces.tolist() == [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]
    assert np.isnan(frame.correction)


@pytest.mark.parametrize("quoted", ['Lattice="4 0 0 0 4 0 0 0 4"', "Lattice='4 0 0 0 4 0 0 0 4'", "Lattice={4 0 0 0 4 0 0 0 4}", "Lattice=[4,0,0,0,4,0,0,0,4]", 'Lattice = "4 0 0 0 4 0 0 0 4"', 'config=x Lattice="_JSON [[4, 0, 0], [0, 4, 0], [0, 0, 4]]"'])
def test_values_are_read_in_every_quotation(one: Callable[..., Frame], quoted: str) -> None:
    frame = one(f"{quoted} flag xc=PBE energy=1", "Na 0 0 0\nCl 2 2 2\n")
    assert frame.lattice.tolist() == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert frame.energy == 1


@pytest.mark.parametrize(
    ("said", "functional", "hubbard_u"),
    [("functional=r2SCAN", Functional.R2SCAN, None), ("xc=pbe", Functional.PBE, None), ("xc=PBE+U", Functional.PBE, True), ("GGA=PE", Functional.PBE, None), ("METAGGA=R2SCAN GGA=PE", Functional.R2SCAN, None), ("METAGGA=-- GGA=PE", Functional.PBE, None), ("xc=r2SCAN+u", Functional.R2SCAN, True)],
)
def test_functional_is_the_one_of_the_frame(one: Callable[..., Frame], said: str, functional: Functional, hubbard_u: bool | None) -> None:
    frame = one(LINE.replace("functional=PBE", said))
    assert (frame.functional, frame.hubbard_u) == (functional, hubbard_u)


@pytest.mark.parametrize(("said", "words"), [("GGA=PS", "computed with 'PBEsol'"), ("METAGGA=SCAN", "computed with 'SCAN'"), ("xc=HSE06", "computed with 'HSE06'"), ("GGA=CA", "computed with 'LDA'"), ("", "does not name its functional")])
def test_other_functionals_are_refused_by_name(one: Callable[..., Frame], said: str, words: str) -> None:
    with pytest.raises(DataError, match=f"file.xyz: frame 1 .*{words}"):
        one(LINE.replace("functional=PBE", said))
    with pytest.raises(DataError, match="computed with PBE, not r²SCAN"):
        one(LINE, functional=Functional.R2SCAN)


@pytest.mark.parametrize(
    ("line", "atoms", "words"),
    [
        (LINE.replace("T T T", "T T F"), ATOMS, "does not repeat in all three directions"),
        (LINE.replace("Lattice", "Gitter"), ATOMS, "has no Lattice"),
        (LINE.replace("4.2", "0.0"), ATOMS, "volume of 0 Å³ for 2 atoms"),
        (LINE.replace("4.2", ""), ATOMS, "lattice matrix is not 3 × 3 numbers"),
        (LINE.replace("4.2", "x"), ATOMS, "its Lattice is .* not numbers"),
        (LINE.replace("energy=-7.5", "energy=low"), ATOMS, "its energy is 'low', not numbers"),
        (LINE.replace("energy=-7.5", 'energy="1 2"'), ATOMS, "its energy is '1 2', not a number"),
        (LINE + ' stress="1 2 3"', ATOMS, "stress is not 6 numbers"),
        (LINE.replace("forces:R:3", "forces:R:4"), ATOMS, "fewer than the 8 columns"),
        (LINE.replace("forces:R:3", "forces:R:2"), ATOMS, "forces is not 2 × 3 numbers"),
        (LINE.replace("forces:R:3", "forces:R:x"), ATOMS, "not name:kind:width"),
        (LINE.replace("forces:R:3", "forces"), ATOMS, "not name:kind:width"),
        (LINE.replace("pos:R:3", "where:R:3"), ATOMS, "coordinates is not 2 × 3 numbers"),
        (LINE.replace("species", "name"), ATOMS, "neither a column species nor a column Z"),
        (LINE.replace("species:S", "Z:I"), ATOMS.replace("Na", "11").replace("Cl", "95"), "column Z holds what CHGNet does not know"),
        (LINE.replace("species:S", "Z:I"), ATOMS.replace("Na", "11").replace("Cl", "1.5"), "column Z holds what CHGNet does not know"),
        (LINE, ATOMS.replace("Na", "Xx"), "site 1 holds 'Xx', which is no element"),
        (LINE, ATOMS.replace("0.1 ", "a "), "column forces does not hold numbers"),
        (LINE, ATOMS.replace("2.0", "nan"), "coordinates are not finite"),
        (LINE + " id=" + "x" * 300, ATOMS, "id has unprintable characters or more than 200"),
    ],
)
def test_unusable_frame_is_rejected_with_its_reason(write: Write, line: str, atoms: str, words: str) -> None:
    good = f"2\n{LINE}\n{ATOMS}"
    first, second, third = items(write(f"{good}2\n{line}\n{atoms}\n{good}", "file.xyz"))
    assert isinstance(first, Frame)
    assert isinstance(second, Rejected)
    assert isinstance(third, Frame)
    assert (second.position, second.frame_id) == (2, "file-2")
    assert re.search(words, second.reason)


@pytest.mark.parametrize(
    ("line", "words"),
    [(LINE.replace("energy=-7.5", "energy=nan"), ("energy is not finite", "no stress")), (LINE.replace("energy=-7.5", ""), ("no energy", "no stress")), (LINE + ' stress="1 2 3 4 5 inf"', ("stress is not finite",)), (LINE.replace("forces", "momenta"), ("no forces", "no stress"))],
)
def test_unusable_label_is_masked(one: Callable[..., Frame], line: str, words: tuple[str, ...]) -> None:
    assert one(line).masked == words


def test_plain_numbers_name_elements_too(one: Callable[..., Frame]) -> None:
    assert one(LINE.replace("species:S", "Z:I"), ATOMS.replace("Na", "11").replace("Cl", "17")).numbers.tolist() == [11, 17]


# --- damage and size --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no frames"),
        (b"three\n", "frame 1 starts with 'three', not with a number of atoms"),
        (b"-1\n\n", "frame 1 starts with '-1'"),
        (b"0\n\n", "frame 1 starts with '0'"),
        (b"99999999999\n\n", "frame 1 starts with '99999999999'"),
        (b"\xc2\xb2\n\n", "frame 1 starts with '²'"),
        (f"2\n{LINE}\n{ATOMS}3\n{LINE}\n{ATOMS}".encode(), "frame 2 announces 3 atoms and ends after 2; the file may be cut"),
        (f"1\n{LINE}\n{ATOMS}".encode(), "frame 2 starts with 'Cl 2.0 2.0 2.0"),
        (b"1\n" + b"x" * 2_000_000, "line 2 is longer than 1,048,576 characters"),
        (bytes(range(256)) * 10, "not a text file in UTF-8"),
        (gzip.compress(f"2\n{LINE}\n{ATOMS}".encode() * 50)[:-20], "damaged or cut gzip file"),
    ],
)
def test_damaged_file_is_said_and_leaves_nothing(write: Write, root: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=f"^file.xyz.*{words}"):
        import_file(write(content, "file.xyz"), root, name="d", format="extxyz", functional=Functional.PBE)
    assert not root.exists() or not list(root.iterdir())


def test_gzip_bomb_stays_small_in_memory(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extxyz, "MAX_FRAME", 100_000)
    path = write(gzip.compress(b"900000\n\n" + b"x" * 500_000 + b"\n" * 20_000_000, 1), "bomb.xyz.gz")
    tracemalloc.start()
    with pytest.raises(DataError, match="frame 1 is longer than 100,000 characters"):
        items(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_hundred_thousand_atoms_are_a_frame(write: Write) -> None:
    path = write('100000\nLattice="200 0 0 0 200 0 0 0 200" xc=PBE energy=-1\n' + "Si 1.25 2.5 3.75\n" * 100_000, "file.xyz")
    [frame] = items(path)
    assert frame.n_atoms == 100_000
    assert frame.positions[-1].tolist() == [1.25, 2.5, 3.75]


def test_memory_does_not_grow_with_the_frames(write: Write) -> None:
    path = write(f"2\n{LINE}\n{ATOMS}" * 5000, "file.xyz")
    tracemalloc.start()
    count = sum(isinstance(item, Frame) for item in read_extxyz(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 5000
    assert peak < 300_000 < path.stat().st_size


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_and_changed_files_are_read_or_said(write: Write, trajectory: list[Atoms], tmp_path: Path, data: st.DataObject) -> None:
    if not (tmp_path / "good.xyz").exists():
        ase_write(tmp_path / "good.xyz", trajectory, format="extxyz")
        assert len(read(tmp_path / "good.xyz", ":")) == 4
    content = bytearray((tmp_path / "good.xyz").read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[at : at + 1] = data.draw(st.binary(max_size=3) | st.sampled_from([b"\n", b'"', b" ", b"=", b"nan", b"1e999", b"\xe2\x80\xae"]))
    try:
        found = items(write(bytes(content[: data.draw(st.integers(1, len(content)))]), "file.xyz"), Functional.PBE)
    except DataError as error:
        assert str(error).isprintable()
        return
    for item in found:
        assert item.frame_id.isprintable()
        if isinstance(item, Rejected):
            assert item.reason.isprintable()
        else:
            assert all(label is None or np.isfinite(label).all() for label in (item.positions, item.lattice, item.forces, item.stress, item.magmoms))
