"""What a VASP calculation was set up to do: its functional and its Hubbard U, from the tags that it wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xfunc_core.data.formats.functional_names import VASP_GGA, Labels, Said, functional_named
from xfunc_core.data.formats.values import Unusable, shown
from xfunc_core.data.frame import Note
from xfunc_core.quantities import Functional

Tags = Mapping[str, str]
"""INCAR tags by name, as the texts that VASP wrote."""

MP_HUBBARD_U = {"Co": 3.32, "Cr": 3.7, "Fe": 5.3, "Mn": 3.9, "Mo": 4.38, "Ni": 6.2, "V": 3.25, "W": 6.2}
"""eV; what the Materials Project applies in oxides and fluorides, and only there."""

_LEXCH = {"1": "LDA", "2": "LDA", "3": "LDA", "7": "PW91", "8": "PBE", "9": "RPBE", "14": "PBEsol"}
_POTENTIALS = {"PAW_PBE": "PBE", "PAW_GGA": "PW91", "PAW": "LDA", "US": "LDA", "PBE": "PBE"}
_EMPTY = ("", "--", "NONE", "F", ".FALSE.", "FALSE")


@dataclass(frozen=True)
class Setup:
    """The settings of one calculation that xfunc asks about."""

    functional: Functional
    hubbard_u: bool


def settle_setup(tags: Tags, potentials: Sequence[str], said: Said) -> Setup:
    """Functional and Hubbard U of a calculation.

    Args:
        tags: of INCAR, as far as known.
        potentials: titles of the pseudopotentials, such as ``PAW_PBE Ni 02Aug2007``.
        said: what the user says the functional is; where nobody asks it is any.

    Raises:
        Unusable: it is one that xfunc does not compare, it is not known, or it contradicts ``said``.
    """
    if isinstance(said, Labels):
        return Setup(Functional.PBE, False)
    name = _functional_name(tags, potentials) or (said.label if said else None)
    if name is None:
        raise Unusable("it does not name its functional; say which one it is (PBE or r2SCAN)")
    functional = functional_named(name)
    if functional is None:
        raise Unusable(f"it was computed with {shown(name)}, and xfunc compares PBE and r2SCAN only")
    if said not in (None, functional):
        raise Unusable(f"it was computed with {functional.label}, not {said.label}")
    return Setup(functional, _is_true(tags.get("LDAU")) and any(_hubbard_u(tags)))


def hubbard_notes(setup: Setup, tags: Tags, symbols: Sequence[str]) -> Iterator[Note]:
    """What a reader should know about the U of a calculation whose species are ``symbols``, in the order of the tags."""
    if not setup.hubbard_u:
        return
    with_mp_u = {"O", "F"} & set(symbols)
    for symbol, used in zip(symbols, _hubbard_u(tags), strict=False):
        expected = MP_HUBBARD_U.get(symbol, 0.0) if with_mp_u else 0.0
        if abs(used - expected) > 1e-3:
            where = "with O or F" if with_mp_u else "without O and F"
            yield Note(f"Some calculations use a Hubbard U of {used:g} eV for {symbol}, where the Materials Project uses {expected:g} eV ({where}): their energies do not mix with its own.")
    if setup.functional is Functional.R2SCAN:
        yield Note("Some r²SCAN calculations use a Hubbard U; the Materials Project uses none with r²SCAN.")


def read_incar(text: str) -> dict[str, str]:
    """The tags of an INCAR that say more than that something is off."""
    tags: dict[str, str] = {}
    for statement in re.split(r"[\n;]", text):
        name, equals, value = re.split(r"[#!]", statement)[0].partition("=")
        if equals and is_set(value):
            tags[name.strip().upper()] = value.strip()
    return tags


def is_set(text: str) -> bool:
    """Whether a tag says more than that it is off."""
    return text.strip().upper() not in _EMPTY


def _functional_name(tags: Tags, potentials: Sequence[str]) -> str | None:
    """What the tags and potentials amount to, None if they do not say."""
    if _is_true(tags.get("LHFCALC")):
        return "HSE06" if tags.get("HFSCREEN", "").strip().startswith(("0.2", ".2")) else "a hybrid functional (LHFCALC)"
    name = _semilocal_name(tags, potentials)
    if _is_true(tags.get("LUSE_VDW")):
        return f"{name or 'a functional'} with a non-local van der Waals functional (LUSE_VDW)"
    if tags.get("IVDW", "0").strip() not in ("", "0") or _is_true(tags.get("LVDW")):
        return f"{name or 'a functional'} with a dispersion correction (IVDW = {shown(tags.get('IVDW', '1').strip())})"
    return name


def _semilocal_name(tags: Tags, potentials: Sequence[str]) -> str | None:
    metagga, gga = (tags.get(tag, "").strip().upper() for tag in ("METAGGA", "GGA"))
    if is_set(metagga):
        return "a meta-GGA that it does not name" if metagga in ("T", ".TRUE.") else metagga
    if is_set(gga):
        return VASP_GGA.get(gga.lower(), gga)
    if tags.get("LEXCH", "").strip() in _LEXCH:
        return _LEXCH[tags["LEXCH"].strip()]
    kinds = {title.split()[0] for title in potentials if title.split()}
    return _POTENTIALS.get(kinds.pop()) if len(kinds) == 1 else None


def _is_true(text: str | None) -> bool:
    return text is not None and text.strip().strip(".").upper().startswith("T")


def _hubbard_u(tags: Tags) -> list[float]:
    """U − J in eV of every species; J counts in Dudarev's scheme."""
    found = [_numbers(tags.get(tag, "")) for tag in ("LDAUU", "LDAUJ")]
    return [u - (found[1][i] if i < len(found[1]) else 0.0) for i, u in enumerate(found[0])]


def _numbers(text: str) -> list[float]:
    try:
        return [float(entry) for entry in text.split()]
    except ValueError:
        return []
