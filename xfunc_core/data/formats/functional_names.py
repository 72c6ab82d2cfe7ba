"""The names that files give functionals, and what of them xfunc compares."""

from __future__ import annotations

from enum import Enum

from xfunc_core.data.formats.values import shown
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional


class Labels(Enum):
    """Instead of a functional: nobody asks what the labels are, since the structures alone are wanted."""

    UNASKED = "unasked"


Said = Functional | Labels | None
"""What somebody says of the labels of a file: their functional, that nobody asks, or nothing."""

FUNCTIONALS = {"pbe": Functional.PBE, "r2scan": Functional.R2SCAN}
VASP_GGA = {"pe": "PBE", "ps": "PBEsol", "ca": "LDA", "91": "PW91", "rp": "RPBE", "re": "revPBE", "am": "AM05"}
"""What VASP's tag GGA stands for."""


def functional_named(name: object) -> Functional | None:
    """The functional of that name in any spelling (``PBE``, ``r2SCAN``, ``r²SCAN``), None if xfunc compares no such."""
    return FUNCTIONALS.get(name.strip().lower().replace("²", "2")) if isinstance(name, str) else None


def settle_functional(name: object, said: Said, where: str) -> Functional:
    """The functional of the labels ``where`` (such as ``a.json: document 3``), from its name there or, if None, from what the user said.

    Where nobody asks it is any: PBE.

    Raises:
        DataError: neither says it, they contradict each other, or it is one that xfunc does not compare.
    """
    if isinstance(said, Labels):
        return Functional.PBE
    if name is None:
        if said is None:
            raise DataError(f"{where} does not name its functional; say which one it is (PBE or r2SCAN).")
        return said
    found = functional_named(name)
    if found is None:
        raise DataError(f"{where} was computed with {shown(name)!r}; xfunc compares PBE and r2SCAN only, so leave it out.")
    if said not in (None, found):
        raise DataError(f"{where} says that it was computed with {found.label}, not {said.label}: go by the file, or correct it.")
    return found


def settle_named(name: str | None, said: Said, where: str) -> tuple[Functional, bool | None]:
    """As `settle_functional`, for names that may be VASP tags (``PE``) or end in ``+U``; also whether a Hubbard U was used, None if not said.

    Raises:
        DataError: as `settle_functional`.
    """
    if name is None:
        return settle_functional(None, said, where), None
    plain = name.strip()
    hubbard_u = plain.lower().endswith("+u")
    plain = plain[:-2].strip() if hubbard_u else plain
    return settle_functional(VASP_GGA.get(plain.lower(), plain), said, where), hubbard_u or None
