"""Which pairs a filter of the Datasets page leaves, and how a pair is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.query import EVERYTHING, LABELS, NUMBERS, Filter, FrameQuery
from xfunc_core.elements import N_REFERENCED, Z_OF
from xfunc_core.errors import ConfigError
from xfunc_core.explore.compared import Source
from xfunc_core.quantities import count_text

TABLE_LABELS = ("energy",)
TABLE_NUMBERS = ("n_atoms", "energy_per_atom", "volume_per_atom")
"""What a table of relaxed pairs can be filtered by; energy and volume are those of r²SCAN."""


def queries_of(source: Source) -> tuple[FrameQuery, ...]:
    """Questions to the datasets of the pairs, PBE first, or to the table: slow to make, quick to ask."""
    return (FrameQuery(source.queried()),) if isinstance(source, PairTable) else (FrameQuery(source.pbe), FrameQuery(source.r2scan))


def kept(source: Source, wanted: Filter, queries: Sequence[FrameQuery]) -> np.ndarray | None:
    """Which pairs pass, shape (P,), bool; None where the filter asks nothing.

    Of a pair both frames must pass, except that a text may be in the ids of either.

    Args:
        source: the pairs.
        wanted: which frames are meant.
        queries: of `queries_of`.

    Raises:
        ConfigError: a table of relaxed pairs is asked for what it does not hold.
    """
    if wanted == EVERYTHING:
        return None
    if isinstance(source, PairTable):
        _check_table(wanted)
        return _passing(queries[0], wanted, len(source), np.arange(len(source)))
    sides = [(queries[0], len(source.pbe), source.rows_pbe), (queries[1], len(source.r2scan), source.rows_r2scan)]
    of_each = replace(wanted, text="", any_of=(), all_of=(), only=(), without=())
    passing = _elements_pass(source.fractions, wanted)
    if of_each != EVERYTHING:
        passing &= np.logical_and(*(_passing(query, of_each, n, rows) for query, n, rows in sides))
    if wanted.text:
        passing &= np.logical_or(*(_passing(query, Filter(text=wanted.text), n, rows) for query, n, rows in sides))
    return passing


def containing(source: Source, symbols: Sequence[str]) -> np.ndarray | None:
    """Which pairs contain any of the elements, shape (P,); None when no element is given."""
    return _elements_pass(source.fractions, Filter(any_of=tuple(symbols))) if symbols else None


def random_part(pairs: np.ndarray, counts: np.ndarray, most: int, what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The pairs, or a random part of them that counts about as many as allowed, ascending, and a sentence that says so.

    Args:
        pairs: shape (K,), ascending.
        counts: shape (K,), what each counts.
        most: what all may count together.
        what: the name of what is counted, such as ``atoms``.
    """
    if counts.sum() <= most:
        return pairs, ()
    order = np.random.default_rng(0).permutation(len(pairs))
    chosen = np.sort(pairs[order[: int(np.searchsorted(np.cumsum(counts[order]), most, side="right"))]])
    return chosen, (
        f"A random {count_text(len(chosen))} of {count_text(len(pairs))} pairs stand for all: together they have more than {count_text(most)} {what}.",
    )


def pair_names(source: Source, pairs: np.ndarray) -> list[str]:
    """Formula and id of the given pairs, such as ``ClNa · mp-22862``."""
    frames = source.frames.iloc[pairs]
    return [f"{formula} · {frame_id}" for formula, frame_id in zip(frames["formula"], frames["frame_id"], strict=True)]


def _elements_pass(fractions: csr_array, wanted: Filter) -> np.ndarray:
    """Which compositions, shape (P, 94), hold the elements that are wanted: the two frames of a pair have one, so it is asked once."""
    passing = np.ones(fractions.shape[0], dtype=bool)
    holds = csr_array((np.ones(fractions.nnz), fractions.indices, fractions.indptr), shape=fractions.shape)
    if wanted.any_of:
        passing &= holds @ _marked(wanted.any_of) > 0
    if wanted.all_of:
        passing &= holds @ _marked(wanted.all_of) == len(set(wanted.all_of))
    if wanted.only:
        passing &= holds @ (1 - _marked(wanted.only)) == 0
    if wanted.without:
        passing &= holds @ _marked(wanted.without) == 0
    return passing


def _marked(symbols: Sequence[str]) -> np.ndarray:
    """1 for the given elements, shape (94,); what is heavier than plutonium, which CHGNet does not know, is nowhere."""
    marks = np.zeros(N_REFERENCED)
    marks[[Z_OF[symbol] - 1 for symbol in symbols if Z_OF[symbol] <= N_REFERENCED]] = 1
    return marks


def _passing(query: FrameQuery, wanted: Filter, n_frames: int, rows: np.ndarray) -> np.ndarray:
    frames = np.zeros(n_frames, dtype=bool)
    frames[query.rows(wanted)] = True
    return frames[rows]


def _check_table(wanted: Filter) -> None:
    asked = [label for label in LABELS if label in wanted.labels and label not in TABLE_LABELS]
    asked += [key for key in NUMBERS if key in {key for key, _, _ in wanted.ranges} and key not in TABLE_NUMBERS]
    asked += ["hubbard_u"] if wanted.hubbard_u is not None else []
    if asked:
        raise ConfigError(
            f"A table of relaxed pairs knows nothing of {asked[0].replace('_', ' ')}: filter by elements, text, {', '.join(TABLE_NUMBERS)}."
        )
