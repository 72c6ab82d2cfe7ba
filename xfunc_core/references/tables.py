"""Tables of reference energies as other programs read and write them.

======== ============================================================ ==================================================
chgnet   the 94 weights of AtomRef in the order of Z                  a JSON list, or numbers separated by commas or lines
mace     ``E0s``: energy by atomic number                             a Python dict, JSON or YAML; symbols are taken as well
fairchem energies by Z from 0 to 118, 0 where an element has no data  a JSON or YAML list, bare or under one key
matpes   one document per isolated atom: ``elements``, ``energy``     a JSON list, or JSON lines
======== ============================================================ ==================================================

Text is read as data only: no file can run code. Energies are eV/atom.
"""

from __future__ import annotations

import ast
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import yaml

from xfunc_core.elements import N_REFERENCED, SYMBOLS, Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

LARGEST_TEXT = 2_000_000
"""Characters; a table of documents of 94 atoms has a hundred thousand."""
LARGEST_YAML = 200_000
"""Characters of YAML, which is read slowly; a list of 119 numbers has a few thousand."""
FAIRCHEM_ELEMENTS = 118
_KEYS = ("element_references", "elem_refs", "refs", "coeff", "E0s", "atomic_energies")
LARGEST_ENERGY = 1e5
"""eV/atom that no reference energy reaches."""
_SMALLEST_BOX = 500.0
"""Å³; MatPES puts its atoms into 3,443, and no elemental crystal has so much for one site."""


class TableFormat(Enum):
    """Whose table it is; the value is what files and options call it."""

    CHGNET = "chgnet"
    MACE = "mace"
    FAIRCHEM = "fairchem"
    MATPES = "matpes"


@dataclass(frozen=True)
class Table:
    """A table as it was read.

    Attributes:
        energies: eV/atom, float64, shape (94,), NaN where the table has none.
        format: whose it is.
        left_out: symbols of elements beyond plutonium, for which CHGNet has no reference.
    """

    energies: np.ndarray
    format: TableFormat
    left_out: tuple[str, ...] = ()


def read_table(text: str, name: str = "the table") -> Table:
    """Read a table of any of the formats.

    Args:
        text: content of the file.
        name: of the file, for messages.

    Raises:
        DataError: it is none of them, or an entry is no element or no energy.
    """
    if len(text) > LARGEST_TEXT:
        raise DataError(
            f"{name} has {len(text):,} characters, far too many for a table of {N_REFERENCED} reference energies: choose another file."
        )
    content = _unwrapped(_parsed(text, name))
    if isinstance(content, Mapping) and content and all(isinstance(entry, Mapping) for entry in content.values()):
        content = list(content.values())  # documents by element, as matcalc keeps them
    if isinstance(content, Mapping):
        return _by_element([(key, value) for key, value in content.items()], TableFormat.MACE, name)
    if isinstance(content, Sequence) and content and all(isinstance(entry, Mapping) for entry in content):
        return _by_element([_atom(entry, i, name) for i, entry in enumerate(content, start=1)], TableFormat.MATPES, name)
    if isinstance(content, Sequence) and content and not isinstance(content, str | bytes):
        return _by_position(content, name)
    raise DataError(
        f"{name} holds no table of reference energies: give a list of {N_REFERENCED}, energies by element, or MatPES documents of atoms."
    )


def write_table(energies: np.ndarray, format: TableFormat, functional: Functional | None = None) -> str:
    """A table as text, to the last bit; elements without an energy (NaN) are left out, in fairchem's list they are 0.

    Args:
        energies: eV/atom, shape (94,).
        format: whose.
        functional: named in the documents of `TableFormat.MATPES`.

    Raises:
        DataError: chgnet's list would have a gap.
    """
    known = {z: float(e) for z, e in enumerate(energies, start=1) if math.isfinite(e)}
    if format is TableFormat.CHGNET:
        gaps = [SYMBOLS[z - 1] for z in range(1, N_REFERENCED + 1) if z not in known]
        if gaps:
            raise DataError(
                f"chgnet's list has a number for each of {N_REFERENCED} elements, and {', '.join(gaps)} {'has' if len(gaps) == 1 else 'have'} none: write the format mace, or fill them."
            )
        return json.dumps(list(known.values()))
    if format is TableFormat.MACE:
        return repr(known)
    if format is TableFormat.FAIRCHEM:
        return yaml.safe_dump({"element_references": [known.get(z, 0.0) for z in range(FAIRCHEM_ELEMENTS + 1)]})
    named = {"functional": functional.label.replace("²", "2")} if functional else {}
    return json.dumps([{"elements": [SYMBOLS[z - 1]], "nsites": 1, "energy": e} | named for z, e in known.items()])


def _parsed(text: str, name: str) -> Any:
    """The content by the first of the notations that takes it: JSON, Python, JSON lines, numbers, YAML."""
    stripped = text.strip().lstrip("\ufeff")
    for read in (_json, _python, _json_lines, _numbers, _yaml):
        try:
            return read(stripped)
        except _Twice as error:
            raise DataError(f"{name} names {error} twice: keep one of them.") from error
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, AttributeError, yaml.YAMLError):
            continue
    raise DataError(f"{name} cannot be read as JSON, Python, YAML or numbers: choose another file.")


class _Twice(Exception):
    """A key stands twice in one object."""


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """The pairs as a dictionary.

    Raises:
        _Twice: it would lose one of them.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise _Twice(_shown(key).strip("'"))
    return found


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _python(text: str) -> Any:
    found = ast.literal_eval(text)
    for node in ast.walk(ast.parse(text, mode="eval")):
        if isinstance(node, ast.Dict):
            _once([(ast.literal_eval(key), None) for key in node.keys if key is not None])
    return found


class _Loader(yaml.SafeLoader):
    """Plain YAML: no key twice, and no aliases, by which a few lines stand for more numbers than fit into memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As the parent's, without aliases."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """As the parent's, with each key once."""
        _once([(self.construct_object(key, deep=True), None) for key, _ in node.value])
        return super().construct_mapping(node, deep)


def _yaml(text: str) -> Any:
    if len(text) > LARGEST_YAML:
        raise ValueError
    return yaml.load(text, _Loader)


def _json_lines(text: str) -> list[Any]:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise ValueError
    return [_json(line) for line in lines]


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.replace(",", " ").split()]


def _unwrapped(content: Any) -> Any:
    """The table under the one key it is often kept under."""
    while isinstance(content, Mapping) and (key := next((key for key in _KEYS if key in content), None)):
        content = content[key]
    return content


def _atom(document: Mapping[str, Any], number: int, name: str) -> tuple[Any, Any]:
    """Element and energy of a document: what it says about the isolated atom, or its own energy if it is one."""
    elements = document.get("elements")
    if isinstance(elements, list) and len(elements) == 1:
        if "energy_atomic" in document:
            return elements[0], document["energy_atomic"]
        volume = document.get("volume", math.inf)
        if document.get("nsites", 1) == 1 and isinstance(volume, int | float) and volume > _SMALLEST_BOX:
            return elements[0], document.get("energy")
    raise DataError(
        f"Document {number} of {name} is no isolated atom: each must have one element and one site in an empty box, or energy_atomic."
    )


def _by_element(entries: list[tuple[Any, Any]], format: TableFormat, name: str) -> Table:
    energies, beyond = np.full(N_REFERENCED, np.nan), []
    seen: set[int] = set()
    for key, value in entries:
        z = _atomic_number(key, name)
        if z in seen:
            raise DataError(f"{name} names {SYMBOLS[z - 1]} twice: keep one of them.")
        seen.add(z)
        energy = _energy(value, SYMBOLS[z - 1], name)
        if z > N_REFERENCED:
            beyond.append(SYMBOLS[z - 1])
        else:
            energies[z - 1] = energy
    if not np.isfinite(energies).any():
        raise DataError(f"{name} holds no reference energy of an element from H to Pu: choose another file.")
    return Table(energies, format, tuple(beyond))


def _by_position(content: Sequence[Any], name: str) -> Table:
    if len(content) == N_REFERENCED:
        return _by_element(list(enumerate(content, start=1)), TableFormat.CHGNET, name)
    if len(content) == FAIRCHEM_ELEMENTS + 1:
        return _by_element([(z, e) for z, e in enumerate(content) if z and e != 0.0], TableFormat.FAIRCHEM, name)
    raise DataError(
        f"{name} holds a list of {len(content)} numbers: chgnet's has {N_REFERENCED}, from H, and fairchem's {FAIRCHEM_ELEMENTS + 1}, by Z from 0."
    )


def _atomic_number(key: Any, name: str) -> int:
    if isinstance(key, str) and key.strip() in Z_OF:
        return Z_OF[key.strip()]
    try:
        z = int(str(key)) if not isinstance(key, bool) else 0
    except ValueError:
        z = 0
    if not 1 <= z <= len(SYMBOLS):
        raise DataError(f"{name} names {_shown(key)}, which is neither an element's symbol nor an atomic number: correct it.")
    return z


def _energy(value: Any, symbol: str, name: str) -> float:
    try:
        energy = math.nan if isinstance(value, bool | list | dict) else float(value)
    except (TypeError, ValueError, OverflowError):
        energy = math.nan
    if not abs(energy) < LARGEST_ENERGY:
        raise DataError(f"{name} gives {symbol} the energy {_shown(value)}: it must be a number in eV/atom.")
    return energy


def _shown(value: Any) -> str:
    """What a file holds in some place, short enough for a sentence."""
    if not isinstance(value, str | int | float | complex | None):
        return f"a {type(value).__name__}"
    try:
        return repr(str(value)[:40])
    except ValueError:
        return "a number of thousands of digits"  # Python writes none of those
