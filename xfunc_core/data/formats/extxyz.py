"""Extended XYZ, plain or gzip, frame by frame.

Units and signs are those of ASE: energy in eV (total), forces in eV/Å, stress in eV/Å³, positive under
tension, as a 3 × 3 matrix or in Voigt order xx yy zz yz xz xy. A virial is that of QUIP and MACE, in eV:
virial = −dE/dε = −V · stress. Frames are read line by line, so that only one is in memory and every
complaint names its frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xfunc_core.data.formats import comment_line, values
from xfunc_core.data.formats.comment_line import Info
from xfunc_core.data.formats.functional_names import Said, settle_named
from xfunc_core.data.formats.opening import open_lines
from xfunc_core.data.frame import Frame, Note, Rejected, matrix_to_voigt
from xfunc_core.elements import N_REFERENCED
from xfunc_core.errors import DataError
from xfunc_core.quantities import counted

EV_PER_A3_TO_GPA = 160.21766208
"""GPa in one eV/Å³ (CODATA 2014, as in ASE)."""
MAX_ATOMS = 1_000_000
"""Atoms a frame may announce; a frame of 100,000 is read, a damaged count is not waited for."""
MAX_FRAME = 64 << 20
"""Characters a frame may have."""
ENERGY_KEYS = ("energy", "REF_energy", "dft_energy", "free_energy")
FORCE_KEYS = ("forces", "REF_forces", "dft_forces", "force")
STRESS_KEYS = ("stress", "REF_stress", "dft_stress")
VIRIAL_KEYS = ("virial", "virials", "REF_virial", "REF_virials", "dft_virial", "dft_virials")
MAGMOM_KEYS = ("magmoms", "REF_magmoms", "dft_magmoms", "magmom")
FUNCTIONAL_KEYS = ("functional", "xc", "METAGGA", "GGA")
ID_KEYS = ("frame_id", "matpes_id", "id")
MATERIAL_KEYS = ("material_id", "mp_id", "mp-id", "original_mp_id")

_PLAIN = "species:S:1:pos:R:3"

Columns = dict[str, list[list[str]]]


def read_extxyz(path: Path, functional: Said = None) -> Iterator[Frame | Rejected | Note]:
    """Yield a Frame or a Rejected for every frame, in file order, and notes on the keys that were used.

    Args:
        path: gzip or plain.
        functional: what the labels are, for frames whose comment line does not say.

    Raises:
        DataError: the file is unreadable or breaks off, or its functional is unknown or contradicts ``functional``.
    """
    stem = values.shown(path.name.removesuffix(".gz").rsplit(".", 1)[0])
    with open_lines(path) as lines:
        for position, comment, atoms in _blocks(lines, path):
            info = comment_line.read_comment(comment)
            frame_id = f"{stem}-{position}"
            try:
                frame_id = comment_line.text(info, ID_KEYS) or frame_id
                columns = _columns(info, atoms)
                frame = _frame(info, columns, frame_id, functional, f"{path.name}: frame {position}")
            except values.Unusable as problem:
                yield Rejected(position, frame_id, str(problem))
                continue
            yield from _notes(info, columns)
            yield frame


def _blocks(lines: Iterator[str], path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Number, comment line and atom lines of every frame."""
    for position, count in enumerate((line.strip() for line in lines if line.strip()), start=1):
        n_atoms = int(count) if count.isdecimal() and len(count) < 10 else 0
        if not 0 < n_atoms <= MAX_ATOMS:
            raise DataError(f"{path.name}: frame {position} starts with {values.shown(count)!r}, not with a number of atoms: it is no (extended) XYZ file, or is damaged there.")
        comment = next(lines, "")
        atoms: list[str] = []
        size = len(comment)
        while len(atoms) < n_atoms and (line := next(lines, None)) is not None:
            atoms.append(line)
            size += len(line)
            if size > MAX_FRAME:
                raise DataError(f"{path.name}: frame {position} is longer than {MAX_FRAME:,} characters, too long for a frame: leave it out.")
        if len(atoms) < n_atoms:
            raise DataError(f"{path.name}: frame {position} announces {counted(n_atoms, 'atom')} and ends after {len(atoms):,}; the file may be cut, so copy or download it again.")
        yield position, comment, atoms


def _columns(info: Info, atoms: list[str]) -> Columns:
    """The columns of the atom lines by name, as ``Properties=species:S:1:pos:R:3:…`` announces them."""
    announced = info.get("Properties", _PLAIN)
    fields = announced.split(":")
    widths = [int(width) if width.isdecimal() and len(width) < 3 else 0 for width in fields[2::3]]
    if len(fields) % 3 or not all(widths):
        raise values.Unusable(f"its Properties are {values.shown(announced)!r}, not name:kind:width")
    rows = [line.split() for line in atoms]
    if any(len(row) < sum(widths) for row in rows):
        raise values.Unusable(f"one of its lines has fewer than the {sum(widths)} columns that its Properties announce")
    starts = np.cumsum([0, *widths]).tolist()
    return {name: [row[first : first + width] for row in rows] for name, first, width in zip(fields[::3], starts, widths, strict=False)}


def _frame(info: Info, columns: Columns, frame_id: str, said: Said, where: str) -> Frame:
    masked: list[str] = []
    numbers = _numbers(columns)
    n_atoms = len(numbers)
    lattice = _lattice(info, n_atoms)
    functional, hubbard_u = settle_named(_functional(info), said, where)
    return Frame(
        frame_id=frame_id,
        material_id=comment_line.text(info, MATERIAL_KEYS) or frame_id,
        functional=functional,
        numbers=numbers,
        lattice=lattice,
        positions=values.positions(_floats(columns, ("pos",)), n_atoms),
        energy=values.energy(comment_line.number(info, ENERGY_KEYS), masked),
        forces=values.label(_floats(columns, FORCE_KEYS), (n_atoms, 3), "forces", masked),
        stress=_stress(info, lattice, masked),
        magmoms=_magmoms(columns, n_atoms, masked),
        masked=tuple(masked),
        hubbard_u=hubbard_u,
    )


def _numbers(columns: Columns) -> np.ndarray:
    if "species" in columns:
        return np.array([values.atomic_number(row[0], place) for place, row in enumerate(columns["species"], start=1)], dtype=np.uint8)
    numbers = _floats(columns, ("Z",))
    if numbers is None:
        raise values.Unusable("it has neither a column species nor a column Z")
    if not np.isin(numbers, np.arange(1, N_REFERENCED + 1)).all():
        raise values.Unusable("its column Z holds what CHGNet does not know (only hydrogen to plutonium)")
    return numbers[:, 0].astype(np.uint8)


def _lattice(info: Info, n_atoms: int) -> np.ndarray:
    if not comment_line.is_periodic(info):
        raise values.Unusable("its cell does not repeat in all three directions (pbc)")
    rows = comment_line.numbers(info, ("Lattice",))
    if rows is None:
        raise values.Unusable("it has no Lattice, and xfunc reads crystals")
    return values.lattice(rows.reshape(3, 3) if rows.size == 9 else rows, n_atoms)


def _floats(columns: Columns, keys: tuple[str, ...]) -> np.ndarray | None:
    """The numbers of the first of the columns that is there, shape (N, width)."""
    name = next((key for key in keys if key in columns), None)
    if name is None:
        return None
    try:
        return np.array(columns[name], dtype=float)
    except ValueError as error:
        raise values.Unusable(f"its column {name} does not hold numbers") from error


def _magmoms(columns: Columns, n_atoms: int, masked: list[str]) -> np.ndarray | None:
    moments = _floats(columns, MAGMOM_KEYS)
    return None if moments is None else values.moments(moments.ravel(), n_atoms, masked)


def _stress(info: Info, lattice: np.ndarray, masked: list[str]) -> np.ndarray | None:
    """Stress in GPa: the stress if there is one, else −virial/V."""
    virial = not comment_line.used_key(info, STRESS_KEYS) and comment_line.used_key(info, VIRIAL_KEYS)
    scale = -1.0 / abs(float(np.linalg.det(lattice))) if virial else 1.0
    stress = values.label(_voigt(comment_line.numbers(info, VIRIAL_KEYS if virial else STRESS_KEYS)), (6,), "stress", masked)
    return None if stress is None else EV_PER_A3_TO_GPA * scale * stress


def _voigt(numbers: np.ndarray | None) -> np.ndarray | None:
    """Six numbers in Voigt order out of six or nine."""
    if numbers is None or numbers.size != 9:
        return numbers
    matrix = numbers.reshape(3, 3)
    return matrix_to_voigt((matrix + matrix.T) / 2)


def _functional(info: Info) -> str | None:
    """The name that the comment line gives; an empty VASP tag (``--``) gives none."""
    names = [info[key] for key in FUNCTIONAL_KEYS if key in info and info[key].strip("- ").lower() not in ("", "none")]
    return names[0] if names else None


def _notes(info: Info, columns: Columns) -> Iterator[Note]:
    energy, stress, virial = (comment_line.used_key(info, keys) for keys in (ENERGY_KEYS, STRESS_KEYS, VIRIAL_KEYS))
    forces = next((key for key in FORCE_KEYS if key in columns), "")
    if energy:
        yield Note(f"Energies are read from {energy!r} as total eV.")
    if forces:
        yield Note(f"Forces are read from {forces!r} as eV/Å.")
    if stress:
        yield Note(f"Stress is read from {stress!r} as eV/Å³, tension positive, in the order xx yy zz yz xz xy where it has six numbers.")
    elif virial:
        yield Note(f"Stress is −V⁻¹ times {virial!r}, with the virial in eV as QUIP and MACE define it (−dE/dε).")
    if not comment_line.used_key(info, MATERIAL_KEYS):
        yield Note("Some frames name no material (material_id or mp_id): each of these counts as one, so a split may separate frames of one trajectory.")
