"""The comment line of an extended XYZ frame: ``Lattice="5 0 0 0 5 0 0 0 5" energy=-3.2 pbc="T T T"``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from xfunc_core.data.formats.values import Unusable, identifier, shown

Info = Mapping[str, str]

_MEMBER = re.compile(r"""([^\s="']++)\s*+=\s*+("[^"]*"|'[^']*'|\{[^}]*\}|\[[^]]*\]|[^\s"']\S*+)""")
_PUNCTUATION = str.maketrans("[]{},", "     ")
_TRUE = {"t", "true", "1"}


def read_comment(line: str) -> dict[str, str]:
    """The members ``key=value`` of a comment line as texts, without their quotes or brackets."""
    return {key: value[1:-1] if value[0] in "\"'{[" else value for key, value in _MEMBER.findall(line)}


def used_key(info: Info, keys: Sequence[str]) -> str:
    """The first of the keys that is there, '' if none is."""
    return next((key for key in keys if key in info), "")


def number(info: Info, keys: Sequence[str]) -> float | None:
    """The number under the first of the keys that is there; None if none is.

    Raises:
        Unusable: it is no number.
    """
    found = numbers(info, keys)
    if found is not None and len(found) != 1:
        raise Unusable(f"its {used_key(info, keys)} is {shown(info[used_key(info, keys)])!r}, not a number")
    return None if found is None else float(found[0])


def numbers(info: Info, keys: Sequence[str]) -> np.ndarray | None:
    """The numbers, flat, under the first of the keys that is there; None if none is.

    Raises:
        Unusable: they are no numbers.
    """
    key = used_key(info, keys)
    if not key:
        return None
    text = info[key].removeprefix("_JSON ").translate(_PUNCTUATION)
    try:
        return np.array(text.split(), dtype=float)
    except ValueError as error:
        raise Unusable(f"its {key} is {shown(info[key])!r}, not numbers") from error


def is_periodic(info: Info) -> bool:
    """Whether the cell repeats in all three directions; a lattice alone says so."""
    flags = info.get("pbc", "T T T").removeprefix("_JSON ").translate(_PUNCTUATION).split()
    return len(flags) in (1, 3) and all(flag.lower() in _TRUE for flag in flags)


def text(info: Info, keys: Sequence[str]) -> str:
    """The first of the keys that is there as an id, '' if none is.

    Raises:
        Unusable: it is too long or has unprintable characters.
    """
    key = used_key(info, keys)
    return identifier(info.get(key), key)
