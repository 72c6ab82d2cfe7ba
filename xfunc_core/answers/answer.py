"""What a command answers: text for people, data for scripts; and how both are written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

Say = Callable[[str], None]
"""Tells somebody who waits how far the work is; a later text replaces an earlier one."""

_NUMBER = re.compile(r"|–|[−+-]?\d[\d,.]*(/\d+)?( \S+)?|\d+ (min|h) \d\d (s|min)")
"""A cell that reads as a number, with or without a unit: ``−1.2``, ``1,392``, ``17.0 meV/atom``, ``3/30``, ``1 min 05 s``."""


@dataclass(frozen=True)
class Answer:
    """What a command says.

    Attributes:
        text: for people.
        data: for ``--json``; `plain` makes it fit for JSON.
        exit_code: 0 unless the work that was waited for did not succeed.
    """

    text: str
    data: Any
    exit_code: int = 0


def text_table(rows: Iterable[Mapping[str, Any]], nothing: str = "") -> str:
    """Rows as an aligned table: words to the left, numbers to the right; ``nothing`` where there is no row."""
    rows = list(rows)
    if not rows:
        return nothing
    columns = [(name, [str(row.get(name, "")) for row in rows]) for name in dict.fromkeys(key for row in rows for key in row)]
    aligned = [_align(name, cells) for name, cells in columns]
    return "\n".join("  ".join(line).rstrip() for line in zip(*aligned, strict=True))


def text_pairs(pairs: Mapping[str, Any], indent: str = "") -> str:
    """Names and values, one a line, values aligned; empty values are left out."""
    shown = {name: str(value) for name, value in pairs.items() if str(value)}
    width = max(map(len, shown), default=0)
    return "\n".join(f"{indent}{name:<{width}}  {value}" for name, value in shown.items())


def plain(data: Any) -> Any:
    """The same in what JSON knows: NaN and infinities become null, arrays lists, enums their values, paths text."""
    if is_dataclass(data) and not isinstance(data, type):
        data = asdict(data)
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple | set):
        return [plain(value) for value in data]
    if isinstance(data, Enum):
        return data.value
    if isinstance(data, Path):
        return str(data)
    if hasattr(data, "tolist"):  # numpy arrays and numbers
        return plain(data.tolist())
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _align(name: str, cells: list[str]) -> list[str]:
    width = max(map(len, [name, *cells]))
    numeric = all(_is_number(cell) for cell in cells)
    return [cell.rjust(width) if numeric else cell.ljust(width) for cell in [name, *cells]]


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None
