"""Many regular MatPES documents at once: parsed into columns by Arrow, which holds no lock of Python's meanwhile.

Arrow is told what a document must look like. What is absent, null, of another type, of another length or given twice
makes the whole text irregular, and others look closer. Numbers come out correctly rounded, as from Python's parser.
"""

from __future__ import annotations

import json
import re

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from xfunc_core.data.batch import FrameBatch, provenance_text
from xfunc_core.data.formats.json_blocks import Irregular
from xfunc_core.data.formats.matpes import ISOLATED
from xfunc_core.data.formats.values import MAX_ID, MIN_VOLUME_PER_ATOM
from xfunc_core.data.frame import cartesian
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.quantities import KBAR_TO_GPA, Functional

_NUMBERS = pa.list_(pa.float64())
_SITE = pa.struct(
    [
        ("species", pa.list_(pa.struct([("element", pa.string()), ("occu", pa.float64())]))),
        ("abc", _NUMBERS),
        ("properties", pa.struct([("magmom", pa.float64())])),
    ]
)
_DOCUMENT = pa.schema(
    [
        ("matpes_id", pa.string()),
        ("functional", pa.string()),
        ("structure", pa.struct([("lattice", pa.struct([("matrix", pa.list_(_NUMBERS)), ("pbc", pa.list_(pa.bool_()))])), ("sites", pa.list_(_SITE))])),
        ("energy", pa.float64()),
        ("energy_atomic", pa.float64()),
        ("forces", pa.list_(_NUMBERS)),
        ("stress", _NUMBERS),
        ("provenance", pa.struct([("material_id", pa.string()), ("original_mp_id", pa.string())])),
    ]
)
_AS_GIVEN = arrow_json.ParseOptions(explicit_schema=_DOCUMENT, unexpected_field_behavior="ignore")
_SYMBOLS = pa.array(SYMBOLS[:N_REFERENCED])
_FUNCTIONALS = {"PBE": Functional.PBE, "r2SCAN": Functional.R2SCAN, "R2SCAN": Functional.R2SCAN}
_PROVENANCE = re.compile(rb'"provenance"(?:\s*:\s*(null|\{[^{}]*\}))?')
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_AFTER_NUMBER = np.frombuffer(b",]} \t\r\n", dtype=np.uint8)


def regular_frames(text: bytes, n_documents: int | None = None) -> FrameBatch | None:
    """The frames of documents with white space between them; None if one of them is irregular or the functionals differ.

    Args:
        text: the documents.
        n_documents: how many they must be; None: any number.
    """
    try:
        documents = _parsed(text)
        if n_documents not in (None, len(documents)):
            raise Irregular("documents that are not separated as the others")
        return _batch(documents, text)
    except (ValueError, pa.ArrowException, RecursionError):  # no UTF-8 and Irregular are of the first kind
        return None


def _parsed(text: bytes) -> pa.RecordBatch:
    if not text.isascii():
        text.decode()
    if not text.lstrip().startswith(b"{"):
        raise Irregular("no objects")
    if b"\\" in text and (b"\\u006" in text or b"\\u007" in text):
        raise Irregular("escaped letters, which may spell a key")
    whole = arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1)
    table = arrow_json.read_json(pa.BufferReader(text), read_options=whole, parse_options=_AS_GIVEN)
    (documents,) = table.to_batches()
    return documents


def _batch(documents: pa.RecordBatch, text: bytes) -> FrameBatch:
    column, n_documents = documents.column, len(documents)
    functionals = column("functional").unique().to_pylist()
    if len(functionals) != 1 or functionals[0] not in _FUNCTIONALS or column("energy_atomic").null_count < n_documents:
        raise Irregular("several functionals or none, or energies of atoms")
    lattice = _full(column("structure")).field("lattice")
    sites, n_atoms = _items(column("structure").field("sites"))
    cells = _vectors(_full(lattice).field("matrix"), np.full(n_documents, 3)).reshape(-1, 3, 3)
    frame_ids = column("matpes_id")
    materials = pc.coalesce(*column("provenance").flatten(), frame_ids)
    batch = FrameBatch(
        functional=_FUNCTIONALS[functionals[0]],
        frame_ids=_plain(frame_ids),
        material_ids=_plain(materials),
        n_atoms=n_atoms,
        numbers=_atomic_numbers(sites),
        lattice=cells,
        positions=_positions(sites, cells, n_atoms),
        energy=_finite(column("energy")),
        correction=np.full(n_documents, np.nan),
        forces=_vectors(column("forces"), n_atoms),
        stress=KBAR_TO_GPA * _finite(_items(column("stress"), 6)[0]).reshape(-1, 6),
        magmoms=_moments(sites, n_atoms),
        hubbard_u=[None] * n_documents,
        provenance=_provenances(text, column("provenance")),
    )
    _check_cells(batch, lattice.field("pbc"))
    _check_zeros(batch, text)
    return batch


def _full(array: pa.Array) -> pa.Array:
    if array.null_count:
        raise Irregular("something is absent")
    return array


def _items(lists: pa.ListArray, length: int | None = None) -> tuple[pa.Array, np.ndarray]:
    """The items of all lists one after another, and how many each list has, at least one or exactly ``length``."""
    counts = np.diff(_full(lists).offsets.to_numpy()).astype(np.int64)
    if (counts != length).any() if length else (counts < 1).any():
        raise Irregular("a list of another length")
    return lists.flatten(), counts


def _finite(array: pa.Array) -> np.ndarray:
    numbers = _full(array).to_numpy()
    if not np.isfinite(numbers).all():
        raise Irregular("a number is not finite")
    return numbers


def _vectors(lists: pa.ListArray, n_rows: np.ndarray) -> np.ndarray:
    """Rows of three numbers of all lists, shape (rows, 3); each list has as many rows as it should."""
    rows, counts = _items(lists)
    if not np.array_equal(counts, n_rows):
        raise Irregular("a list of another length")
    return _finite(_items(rows, 3)[0]).reshape(-1, 3)


def _atomic_numbers(sites: pa.StructArray) -> np.ndarray:
    species, _ = _items(_full(sites).field("species"), 1)
    if (_finite(_full(species).field("occu")) != 1.0).any():
        raise Irregular("a site is partly occupied")
    return (_full(pc.index_in(species.field("element"), _SYMBOLS)).to_numpy() + 1).astype(np.uint8)


def _positions(sites: pa.StructArray, cells: np.ndarray, n_atoms: np.ndarray) -> np.ndarray:
    fractional = _finite(_items(sites.field("abc"), 3)[0]).reshape(-1, 3)
    with np.errstate(all="ignore"):
        positions = cartesian(fractional, np.repeat(cells, n_atoms, axis=0))
    if not np.isfinite(positions).all():
        raise Irregular("a position is not finite")
    return positions


def _moments(sites: pa.StructArray, n_atoms: np.ndarray) -> np.ndarray:
    """μB, shape (A,); NaN where no site of a frame has one."""
    (column,) = sites.field("properties").flatten()
    moments = column.to_numpy(zero_copy_only=False)
    absent = column.is_null().to_numpy(zero_copy_only=False)
    first = np.cumsum(n_atoms) - n_atoms
    n_absent = np.add.reduceat(absent, first, dtype=np.int64)
    if not np.isfinite(moments[~absent]).all() or ((n_absent != 0) & (n_absent != n_atoms)).any():
        raise Irregular("a moment is not finite or only some are there")
    return moments


def _plain(texts: pa.StringArray) -> list[str]:
    """Ids that the careful reader would leave as they are."""
    found = _full(texts).to_pylist()
    joined = "".join(found)
    lengths = list(map(len, found))
    if not joined.isprintable() or min(lengths) < 1 or max(lengths) > MAX_ID or (" " in joined and any(text != text.strip() for text in found)):
        raise Irregular("an id that is not plain")
    return found


def _provenances(text: bytes, column: pa.StructArray) -> list[str]:
    """The provenance of every document as text.

    Arrow cannot keep what it was not told of, so they are looked for in the text. Each document that has one adds at least
    one find; if there are as many finds as such documents, none of them lies elsewhere.
    """
    there = column.is_valid().to_numpy(zero_copy_only=False)
    found = _PROVENANCE.findall(text)
    objects = [entry for entry in found if entry != b"null"]
    if len(objects) != there.sum() or b"" in found:
        raise Irregular("a provenance that is nested, or the word elsewhere")
    long_number = 19 * b"0" in b" ".join(objects).translate(_DIGITS)
    parse = json.loads if long_number else orjson.loads  # orjson rounds whole numbers of more than 64 bits
    texts = map(provenance_text, map(parse, objects))
    return [next(texts) if is_there else "{}" for is_there in there.tolist()]


def _check_cells(batch: FrameBatch, pbc: pa.ListArray) -> None:
    given = pbc.drop_null()
    if len(given) and not pc.all(_full(_items(given, 3)[0])).as_py():
        raise Irregular("a cell does not repeat in all three directions")
    with np.errstate(all="ignore"):
        volume = np.abs(np.linalg.det(batch.lattice))
        shortest = np.linalg.norm(batch.lattice, axis=2).min(axis=1)
    if not ((volume > MIN_VOLUME_PER_ATOM * batch.n_atoms) & (volume < np.inf)).all():
        raise Irregular("a cell is degenerate")
    if ((batch.n_atoms == 1) & (shortest > 0.999 * ISOLATED)).any():
        raise Irregular("an atom alone, whose energy is that element's reference")


def _check_zeros(batch: FrameBatch, text: bytes) -> None:
    """Refuse ``-0``: a whole number, so zero to Python's parser, and minus zero to Arrow's."""
    characters = np.frombuffer(text, dtype=np.uint8)
    minus = np.flatnonzero(characters[:-2] == ord("-"))
    zero = minus[characters[minus + 1] == ord("0")] + 2
    if np.isin(characters[zero], _AFTER_NUMBER).any():
        raise Irregular("minus zero as a whole number")
