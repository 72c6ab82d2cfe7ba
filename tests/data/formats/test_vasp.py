"""VASP's vasprun.xml and OUTCAR to frames: real files against ASE and pymatgen, faithful small ones, and files to spoil."""

from __future__ import annotations

import gzip
import os
import shutil
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import ase.test
import numpy as np
import pytest
from ase import Atoms, units
from ase.io import read as ase_read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.io.vasp import Outcar, Vasprun

from xfunc_core.data.formats.vasp import read_vasp, vasp_files
from xfunc_core.data.formats.vasp_setup import read_incar
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.data.importing import import_file
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

REAL = Path(ase.test.__file__).parent / "testdata" / "vasp"


def items(path: Path, functional: Functional | None = None) -> list[Frame | Rejected]:
    return [item for item in read_vasp(path, functional) if not isinstance(item, Note)]


def notes(path: Path) -> list[str]:
    return [item.sentence for item in read_vasp(path) if isinstance(item, Note)][2:]


def reasons(path: Path, functional: Functional | None = None) -> list[str]:
    return [item.reason if isinstance(item, Rejected) else "" for item in items(path, functional)]


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a real file, under any name."""

    def make(real: str, name: str = "") -> Path:
        target = tmp_path / (name or real)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REAL / real, target)
        return target

    return make


def change(path: Path, *replacements: tuple[str, str]) -> Path:
    text = path.read_text(encoding="latin-1")
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text, encoding="latin-1")
    return path


PBE_CARBON = ("  PAW C 22Mar2012", "  PAW_PBE C 22Mar2012")


@pytest.fixture
def dfpt(copy: Callable[..., Path]) -> Path:
    """NaCl, PBE, one ionic step."""
    return copy("vasprun_dfpt.xml")


@pytest.fixture
def diamond(copy: Callable[..., Path]) -> Path:
    """Diamond under PSTRESS, its potential renamed to PBE's."""
    return change(copy("vasprun_pstress.xml"), PBE_CARBON)


@pytest.fixture
def outcar(copy: Callable[..., Path]) -> Path:
    """Eighteen nickel atoms in a box, PBE, one ionic step."""
    return copy("OUTCAR_example_1", "OUTCAR")


# --- against ASE and pymatgen -----------------------------------------------------------------


def assert_as_ase(frame: Frame, atoms: Atoms) -> None:
    assert frame.numbers.tolist() == atoms.numbers.tolist()
    np.testing.assert_allclose(frame.lattice, atoms.cell.array, atol=1e-12)
    np.testing.assert_allclose(frame.positions, atoms.positions, atol=1e-8)
    assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=2e-7)
    np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-12)
    np.testing.assert_allclose(frame.stress, atoms.get_stress() / units.GPa, rtol=1e-9, atol=1e-12)


def test_vasprun_equals_what_ase_and_pymatgen_read(dfpt: Path) -> None:
    [frame] = items(dfpt)
    assert_as_ase(frame, ase_read(dfpt, format="vasp-xml"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = Vasprun(dfpt, parse_potcar_file=False, exception_on_bad_xml=False)
    step = other.ionic_steps[-1]
    assert frame.energy == pytest.approx(float(other.final_energy), abs=1e-7)
    np.testing.assert_array_equal(frame.forces, step["forces"])
    kbar = np.array(step["stress"])
    np.testing.assert_allclose(frame.stress, [-0.1 * kbar[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))])
    np.testing.assert_allclose(frame.lattice, step["structure"].lattice.matrix)
    assert other.parameters["GGA"].upper() == "PE"
    assert (frame.functional, frame.hubbard_u, frame.correction) == (Functional.PBE, False, 0.0)
    assert (frame.frame_id, frame.material_id) == ("vasprun_dfpt-1", "vasprun_dfpt")


def test_energy_under_pressure_is_no_enthalpy(diamond: Path) -> None:
    [frame] = items(diamond)
    assert_as_ase(frame, ase_read(diamond, format="vasp-xml"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = Vasprun(diamond, parse_potcar_file=False)
    last = other.ionic_steps[-1]["electronic_steps"][-1]
    assert frame.energy == pytest.approx(last["e_0_energy"], abs=2e-7)
    assert frame.energy < other.ionic_steps[-1]["e_fr_energy"] - 0.005  # 1 kbar times 11.4 Å³ is 7 meV


def test_outcar_equals_what_ase_and_pymatgen_read(outcar: Path) -> None:
    [frame] = items(outcar)
    assert_as_ase(frame, ase_read(outcar, format="vasp-out"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = Outcar(outcar)
    assert frame.energy == pytest.approx(float(other.final_energy), abs=1e-9)
    assert (frame.functional, frame.hubbard_u) == (Functional.PBE, False)


# --- small, but as VASP writes them -----------------------------------------------------------


def calculation(volume: float, energy: float, steps: int = 5, extra: str = "") -> str:
    """A <calculation> of a cubic cell of Fe and O; the e_0_energy at its end is wrong, as VASP writes it."""
    a = volume ** (1 / 3)
    scsteps = "".join(f'<scstep><energy><i name="e_fr_energy">{energy + 1.0 / k - 1.0 / steps} </i><i name="e_0_energy">{energy + 0.25 + 1.0 / k - 1.0 / steps} </i></energy></scstep>' for k in range(1, steps + 1))
    return f"""<calculation>{scsteps}
      <structure><crystal><varray name="basis"><v>{a} 0 0</v><v>0 {a} 0</v><v>0 0 {a}</v></varray><i name="volume">{volume}</i><varray name="rec_basis"><v>1 2 3</v></varray></crystal>
      <varray name="positions"><v>0 0 0</v><v>0.5 0.5 0.25</v></varray><varray name="selective"><v type="logical">F F F</v></varray></structure>
      <varray name="forces"><v>0.1 0.2 0.3</v><v>-0.1 -0.2 -0.3</v></varray>
      {extra}<energy><i name="e_fr_energy">{energy}</i><i name="e_wo_entrp">{energy}</i><i name="e_0_energy">999</i></energy></calculation>"""


STRESS = '<varray name="stress"><v>10 1 2</v><v>1 20 3</v><v>2 3 30</v></varray>'


def vasprun(incar: str = "", steps: str = "", potentials: tuple[str, str] = ("PAW_PBE Fe_pv 02Aug2007", "PAW_PBE O 08Apr2002"), parameters: str = "") -> str:
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling><generator><i name="program" type="string">vasp </i></generator><incar>{incar}</incar>
<parameters><separator name="electronic"><i type="int" name="NELM">    60</i></separator>
<separator name="electronic exchange-correlation"><i type="string" name="GGA">--</i><i type="logical" name="LHFCALC"> F  </i></separator>{parameters}</parameters>
<atominfo><atoms>2</atoms><types>2</types>
<array name="atoms"><dimension dim="1">ion</dimension><set><rc><c>Fe</c><c>   1</c></rc><rc><c>O </c><c>   2</c></rc></set></array>
<array name="atomtypes"><set><rc><c>   1</c><c>Fe</c><c>55.8</c><c>14.0</c><c>  {potentials[0]}  </c></rc><rc><c>   1</c><c>O </c><c>16.0</c><c>6.0</c><c>  {potentials[1]}  </c></rc></set></array></atominfo>
<structure name="initialpos"><crystal><varray name="basis"><v>9 9 9</v></varray></crystal></structure>
{steps or calculation(64.0, -12.5, extra=STRESS)}
<structure name="finalpos"><varray name="positions"><v>7 7 7</v></varray></structure></modeling>"""


TAG = '<i type="string" name="{}">{}</i>'
R2SCAN = TAG.format("METAGGA", "R2scan ")
U = '<i type="logical" name="LDAU"> T  </i><v name="LDAUU">  {} {}</v><v name="LDAUJ">  0.0 0.0</v>'


def test_every_ionic_step_is_a_frame_with_its_own_labels(write: Callable[..., Path]) -> None:
    steps = calculation(64.0, -12.5, extra=STRESS) + calculation(70.0, -12.25) + calculation(75.0, -12.0, steps=60, extra=STRESS) + calculation(80.0, -11.5, steps=0)
    first, second, third, fourth = items(write(vasprun(R2SCAN, steps), "vasprun.xml"))
    assert (first.frame_id, first.material_id, first.functional, first.numbers.tolist()) == ("vasprun-1", "vasprun", Functional.R2SCAN, [26, 8])
    np.testing.assert_allclose(first.positions, [[0, 0, 0], [2, 2, 1]])
    np.testing.assert_allclose(first.stress, [-1, -2, -3, -0.3, -0.2, -0.1])
    assert first.energy == -12.25  # −12.5 at the end, and 0.25 from free energy to zero smearing
    assert (second.energy, second.stress, second.masked) == (-12.0, None, ("no stress",))
    assert np.linalg.det(second.lattice) == pytest.approx(70.0)
    assert third == Rejected(3, "vasprun-3", "its electrons did not converge within NELM = 60 steps")
    assert fourth == Rejected(4, "vasprun-4", "it has no electronic steps (VASP's own machine-learned force field makes such steps)")


@pytest.mark.parametrize(
    ("incar", "functional", "hubbard_u"),
    [("", Functional.PBE, False), (R2SCAN, Functional.R2SCAN, False), (TAG.format("GGA", "PE"), Functional.PBE, False), (U.format(5.3, 0), Functional.PBE, True), (U.format(0, 0), Functional.PBE, False), (TAG.format("METAGGA", "--"), Functional.PBE, False)],
)
def test_functional_and_u_are_read_from_the_file(write: Callable[..., Path], incar: str, functional: Functional, hubbard_u: bool) -> None:
    path = write(vasprun(incar), "vasprun.xml")
    for said in (None, functional):
        [frame] = items(path, said)
        assert (frame.functional, frame.hubbard_u) == (functional, hubbard_u)
    other = next(f for f in Functional if f is not functional)
    assert reasons(path, other) == [f"it was computed with {functional.label}, not {other.label}"]


@pytest.mark.parametrize(
    ("incar", "potential", "name"),
    [
        (TAG.format("GGA", "PS"), "PAW_PBE", "PBEsol"),
        (TAG.format("METAGGA", "SCAN"), "PAW_PBE", "SCAN"),
        (TAG.format("METAGGA", "RSCAN"), "PAW_PBE", "RSCAN"),
        (TAG.format("LHFCALC", "T") + '<i name="HFSCREEN">0.2</i>', "PAW_PBE", "HSE06"),
        (TAG.format("LHFCALC", ".TRUE."), "PAW_PBE", "a hybrid functional .LHFCALC."),
        ("", "PAW", "LDA"),
        ("", "PAW_GGA", "PW91"),
        (TAG.format("GGA", "RP"), "PAW_PBE", "RPBE"),
        (TAG.format("GGA", "MK") + TAG.format("LUSE_VDW", "T"), "PAW_PBE", "MK with a non-local van der Waals functional"),
        ('<i type="int" name="IVDW">    12</i>', "PAW_PBE", "PBE with a dispersion correction .IVDW = 12."),
        (R2SCAN + '<i type="int" name="IVDW">    13</i>', "PAW_PBE", "R2SCAN with a dispersion correction"),
    ],
)
def test_other_functionals_are_refused_by_name(write: Callable[..., Path], root: Path, incar: str, potential: str, name: str) -> None:
    path = write(vasprun(incar, potentials=(f"{potential} Fe 1", f"{potential} O 1")), "vasprun.xml")
    with pytest.raises(DataError, match=f"vasprun.xml holds no usable frame; .* because it was computed with {name}.*, and xfunc compares PBE and r2SCAN only"):
        import_file(path, root, name="d", format="vasp")


def test_unknown_functional_is_what_the_user_says(write: Callable[..., Path]) -> None:
    path = write(vasprun(potentials=("PAW_PBE Fe", "Mystery O")), "vasprun.xml")
    assert reasons(path) == ["it does not name its functional; say which one it is (PBE or r2SCAN)"]
    assert items(path, Functional.R2SCAN)[0].functional is Functional.R2SCAN


def test_u_that_is_not_the_one_of_the_materials_project_is_told(write: Callable[..., Path]) -> None:
    assert notes(write(vasprun(U.format(5.3, 0)), "vasprun.xml")) == []
    assert notes(write(vasprun(U.format(4.0, 0)), "vasprun.xml")) == ["Some calculations use a Hubbard U of 4 eV for Fe, where the Materials Project uses 5.3 eV (with O or F): their energies do not mix with its own."]
    assert notes(write(vasprun(R2SCAN + U.format(5.3, 0)), "vasprun.xml")) == ["Some r²SCAN calculations use a Hubbard U; the Materials Project uses none with r²SCAN."]
    without = vasprun(U.format(5.3, 0), potentials=("PAW_PBE Fe 1", "PAW_PBE S 1"))
    assert "uses 0 eV (without O and F)" in notes(write(without, "vasprun.xml"))[0]


def test_zirconium_is_read_from_its_potential(write: Callable[..., Path]) -> None:
    """VASP writes its symbol as r."""
    text = vasprun(potentials=("PAW_PBE Zr_sv 04Jan2005", "PAW_PBE O 1")).replace("<c>Fe</c>", "<c>r </c>")
    assert items(write(text, "vasprun.xml"))[0].numbers.tolist() == [40, 8]


def test_outcar_steps_moments_and_convergence(outcar: Path) -> None:
    head, end = outcar.read_text().split("----------------------------------------- Iteration    1(   1)", 1)
    step = "----------------------------------------- Iteration    1(   1)" + end.split(" total amount of memory")[0]
    table = "\n magnetization (x)\n\n# of ion       s       p       d       tot\n------------------------------------------\n" + "".join(f"{i:5}        0.001   0.002   0.6 {i / 10:9.3f}\n" for i in range(1, 19)) + "--------\ntot  1 2 3 4\n"
    vasp_6 = step.replace("aborting loop because EDIFF is reached", "aborting loop EDIFF was not reached (unconverged)")
    vasp_5 = step.replace("aborting loop because EDIFF is reached", "")
    static = "\n".join(line for line in step.splitlines() if "in kB" not in line)
    with_moments = step.replace("  FORCE on cell", table + "  FORCE on cell", 1)
    outcar.write_text(head + with_moments + vasp_6 + vasp_5 + static)
    first, second, third, fourth = items(outcar)
    np.testing.assert_allclose(first.magmoms, np.arange(1, 19) / 10)
    assert second.reason == "its electrons did not converge (EDIFF was not reached)"
    assert third.reason == "its electrons did not converge (VASP does not say that EDIFF was reached)"
    assert (fourth.stress, fourth.magmoms, fourth.masked) == (None, None, ("no stress",))
    assert first.energy == fourth.energy == -68.23102426


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("LEXCH   =     8", "LEXCH   =    14", "computed with PBEsol"),
        ("GGA     =    --", "GGA     =    PS", "computed with PBEsol"),
        ("METAGGA=      F ", "METAGGA=   SCAN ", "computed with SCAN"),
        ("METAGGA=      F ", "METAGGA=      T ", "computed with a meta-GGA that it does not name"),
        ("LHFCALC =     F", "LHFCALC =     T", "computed with a hybrid functional"),
        ("ions per type =              18", "ions per type =              9 9", "does not say which atoms it has"),
        ("ions per type =              18", "ions per type =              17", "breaks off within a step|coordinates|"),
        ("PAW_PBE Ni", "PAW_PBE Xx", "site 1 holds 'Xx', which is no element"),
        ("-4.58894", "********", "its stress are not numbers|stress"),
    ],
)
def test_outcar_that_is_no_use_says_why(outcar: Path, old: str, new: str, reason: str) -> None:
    [item] = items(change(outcar, (old, new)))
    if isinstance(item, Rejected):
        assert any(words and words in item.reason for words in reason.split("|"))
    else:
        assert old.startswith("ions")  # one atom fewer is a consistent file too


def test_r2scan_of_outcar_is_found_in_it_or_beside_it(outcar: Path) -> None:
    outcar.with_name("INCAR").write_text("SYSTEM = x ! METAGGA = SCAN\nISMEAR = 0; METAGGA = r2scan # of course\n")
    assert items(outcar)[0].functional is Functional.R2SCAN
    outcar.with_name("INCAR").unlink()
    assert items(outcar)[0].functional is Functional.PBE
    assert items(change(outcar, ("METAGGA=      F ", "METAGGA= R2SCAN ")))[0].functional is Functional.R2SCAN
    assert read_incar("A = 1;b=2 # c = 3\n! D = 4\nLDAU = .FALSE.\nE =\n") == {"A": "1", "B": "2"}


# --- folders ----------------------------------------------------------------------------------


def test_folder_is_walked_and_every_calculation_answers_for_itself(copy: Callable[..., Path], tmp_path: Path, root: Path) -> None:
    copy("OUTCAR_example_1", "all/ni/OUTCAR")
    copy("vasprun_dfpt.xml", "all/nacl/static/vasprun.xml")
    change(copy("OUTCAR_example_1", "all/nacl/static/OUTCAR"), ("PAW_PBE Ni", "PAW_PBE Fe"))  # vasprun.xml counts
    copy("vasprun_pstress.xml", "all/lda/vasprun.xml")
    (tmp_path / "all" / "relaxed").mkdir()
    (tmp_path / "all" / "relaxed" / "vasprun.relax1.xml.gz").write_bytes(gzip.compress((REAL / "vasprun_dfpt.xml").read_bytes()))
    (tmp_path / "all" / "relaxed" / "vasprun.relax2.xml.gz").write_bytes(gzip.compress((REAL / "vasprun_dfpt.xml").read_bytes())[:-99])
    copy("vasprun_dfpt.xml", "all/notes.txt")
    (tmp_path / "all" / "loop").symlink_to(tmp_path / "all")
    os.mkfifo(tmp_path / "all" / "relaxed" / "OUTCAR.pipe")
    found = {item.frame_id: item for item in items(tmp_path / "all")}
    assert list(found) == ["lda", "nacl/static-1", "ni-1", "relaxed.pipe", "relaxed.relax1-1", "relaxed.relax2"]
    assert found["nacl/static-1"].numbers.tolist() == [11, 17]
    assert "computed with LDA" in found["lda"].reason
    assert "not a file but" in found["relaxed.pipe"].reason
    assert "damaged or cut gzip file" in found["relaxed.relax2"].reason
    dataset, report = import_file(tmp_path / "all", root, name="d", format="vasp")
    assert dataset.table["frame_id"].tolist() == ["nacl/static-1", "ni-1", "relaxed.relax1-1"]
    assert [entry["document"] for entry in report.dropped] == [1, 4, 6]
    assert len(list(vasp_files(tmp_path / "all"))) == 6
    before = dataset.info.source_sha256
    change(tmp_path / "all" / "ni" / "OUTCAR", ("NELM", "MLEN"))
    assert import_file(tmp_path / "all", root, name="e", format="vasp")[0].info.source_sha256 != before


def test_folder_without_calculations_is_said(tmp_path: Path, root: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no vasprun.xml and no OUTCAR at any depth"):
        import_file(tmp_path / "empty", root, name="d", format="vasp")


@pytest.mark.parametrize("name", ["a\nb", "x" * 201, "e\u202e", os.fsdecode(b"\xff")])
def test_name_of_a_folder_that_no_id_can_hold_is_rejected(copy: Callable[..., Path], tmp_path: Path, name: str) -> None:
    [item] = items(copy("vasprun_dfpt.xml", f"all/{name}/vasprun.xml").parents[1])
    assert isinstance(item, Rejected)
    assert item.reason == "its path has unprintable characters or more than 200"
    assert item.frame_id.isprintable()


# --- damage -----------------------------------------------------------------------------------


def test_steps_before_the_end_of_a_cut_file_are_kept(write: Callable[..., Path], outcar: Path) -> None:
    text = vasprun(steps=calculation(64.0, -12.5) + calculation(70.0, -12.25))
    first, second = items(write(text[: text.rindex("<varray name=\"forces\">")], "vasprun.xml"))
    assert isinstance(first, Frame)
    assert "XML breaks off or is damaged" in second.reason
    whole = outcar.read_text()
    start = whole.index("----------------------------------------- Iteration    1(   1)")
    outcar.write_text(whole + whole[start : start + 50_000])
    first, second = items(outcar)
    assert isinstance(first, Frame)
    assert second.reason == "it breaks off within a step"


ENTITIES = '<!DOCTYPE modeling [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE modeling [<!ENTITY e SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (ENTITIES + "<modeling>&b;</modeling>", "declares a document type, which VASP never does"),
        (EXTERNAL + "<modeling>&e;</modeling>", "declares a document type, which VASP never does"),
        ((ENTITIES + "<modeling>&b;</modeling>").encode("utf-16"), "not a text file in UTF-8"),
        ("<modeling>&undeclared;</modeling>", "XML breaks off or is damaged"),
        ("<modeling>" + "<a>" * 100_000, "nested too deeply"),
        ("<html></html>", "is no vasprun.xml"),
        ("<modeling><incar><i name='A'>" + "x" * 100_000, "more than 10,000 characters"),
        ("<modeling></modeling>", "holds no frames"),
        ("<?xml version='1.0' encoding='rot13'?><modeling></modeling>", "unknown encoding|breaks off or is damaged"),
        ("<?xml version='1.0' encoding='klingon'?><modeling></modeling>", "unknown encoding|breaks off or is damaged"),
        ("nothing of VASP", "is no OUTCAR, or breaks off before its first step"),
    ],
)
def test_other_xml_is_refused_at_once(write: Callable[..., Path], root: Path, content: str | bytes, reason: str) -> None:
    path = write(content, "vasprun.xml")
    with pytest.raises(DataError, match=reason) as caught:
        import_file(path, root, name="d", format="vasp")
    assert str(caught.value).isprintable()
    assert not root.exists() or not list(root.iterdir())


@pytest.mark.parametrize("start", ["<modeling><dos>", "<modeling><calculation>", "no XML"])
def test_gzip_bomb_stays_small_in_memory(write: Callable[..., Path], start: str) -> None:
    path = write(gzip.compress(start.encode() + b"\n     some text" * 500_000, 1), "vasprun.xml.gz")
    tracemalloc.start()
    [item] = items(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(item, Rejected)
    assert peak < 3_000_000


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_and_changed_files_are_read_or_said(tmp_path: Path, data: st.DataObject) -> None:
    real = data.draw(st.sampled_from(["vasprun_dfpt.xml", "small", "OUTCAR_example_1"]))
    content = bytearray(vasprun(R2SCAN).encode() if real == "small" else (REAL / real).read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        content[at : at + 1] = data.draw(st.binary(max_size=3) | st.sampled_from([b"\n", b"<", b"</v>", b"nan", b"*", b"1e999", b"-", b"\xff"]))
    path = tmp_path / "vasprun.xml"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        found = items(path)
    except DataError as error:
        assert str(error).isprintable()
        return
    for item in found:
        assert item.frame_id.isprintable()
        if isinstance(item, Rejected):
            assert item.reason.isprintable()
        else:
            assert all(label is None or np.isfinite(label).all() for label in (item.positions, item.lattice, item.forces, item.stress, item.magmoms))
