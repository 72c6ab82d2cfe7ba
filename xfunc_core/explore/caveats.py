"""What a reader must know before quoting a number about two functionals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xfunc_core.analysis.agreement import RANKED_ROWS_OF_ONE
from xfunc_core.data.pair_table import PairTable
from xfunc_core.explore.compared import COMPARED, ComparedRows, Source, energy_scales, unavailable
from xfunc_core.quantities import count_text, counted, plural
from xfunc_core.references.paired import VASP, PairedReferences, PairedScheme

_ENERGIES = ("total", "referenced", "formation", "within_material")


def caveats(source: Source, rows: ComparedRows, references: PairedReferences | None, n_kept: int) -> list[str]:
    """Sentences on where the energies come from, what was subtracted, and what was left out."""
    return [
        *_nothing(source, rows, n_kept),
        *_references(source, references, n_kept),
        *_scales(source, rows.key),
        *_one_sided(rows),
        *rows.notes,
        *_ranked(rows),
        *_left_out(source, rows),
    ]


def _nothing(source: Source, rows: ComparedRows, n_kept: int) -> Iterator[str]:
    if len(rows):
        return
    if reason := unavailable(source, rows.key):
        yield f"{COMPARED[rows.key].label} cannot be compared here: {reason}."
    elif not len(source):
        yield "There are no pairs: choose two datasets of the same structures, or pair them in another way."
    elif not n_kept:
        yield "No pair passes the filter: widen it."
    else:
        yield f"None of the {counted(n_kept, 'pair')} can be compared in this: {COMPARED[rows.key].label.lower()}."


def _scales(source: Source, key: str) -> Iterator[str]:
    if isinstance(source, PairTable) or key not in _ENERGIES:
        return
    scales = source.pbe.info.energy_scale, source.r2scan.info.energy_scale
    if scales[0] != scales[1]:
        pbe, r2scan = (scale or "not said" for scale in scales)
        yield (
            f"The two datasets do not name one energy scale (PBE: {pbe}; r²SCAN: {r2scan}): where codes or potentials differ, so do the energies, "
            "and the shift is not that of the functional."
        )


def _references(source: Source, references: PairedReferences | None, n_kept: int) -> Iterator[str]:
    if references is None:
        return
    if references.is_exact:
        yield "There are as many reference energies as pairs, so the fit is exact and its referenced correlation says nothing: choose another quantity, or other references."
    if references.scheme is PairedScheme.LSTSQ:
        n_elements = int(np.isfinite(references.pbe).sum())
        n, pairs = references.n_frames, counted(references.n_frames, "pair")
        these = f"{plural(n, 'this', 'these')} same {pairs}" if n_kept == len(source) else f"{plural(n, 'the', 'all')} {pairs} with both energies, whatever the filter"
        yield f"The references are {counted(n_elements, 'number')} per functional fitted on {these}, so the referenced correlation is in-sample."
    if references.undetermined:
        yield f"{', '.join(references.open_elements)} occur in fixed ratios only: their shifts are known in sum, not one by one, and are left blank."
    if references.scheme.is_published and not isinstance(source, PairTable):
        others = [scale for scale in energy_scales(source) if not scale.startswith(VASP)]
        if others:
            yield f"These references are of VASP with the potentials of the Materials Project; the energy scale of the data is {' and '.join(others)}, so they may not fit."


def _one_sided(rows: ComparedRows) -> Iterator[str]:
    if rows.one_sided and len(rows):
        yield "One number for both functionals: mean, median and root mean square are those of the number itself."


def _ranked(rows: ComparedRows) -> Iterator[str]:
    if len(rows) > RANKED_ROWS_OF_ONE and not rows.one_sided:
        yield f"Spearman ρ and Kendall τ are of whole materials taken at random, some {count_text(RANKED_ROWS_OF_ONE)} of {count_text(len(rows))} rows; the tables' files say how many per element."


def _left_out(source: Source, rows: ComparedRows) -> Iterator[str]:
    for reason, n in {}.items() if unavailable(source, rows.key) else rows.left_out.items():
        yield f"Left out: {count_text(n)} {singular(reason) if n == 1 else reason}."


def singular(reason: str) -> str:
    """A reason that begins with a plural, for one: ``pairs without …`` → ``pair without …``."""
    first, _, rest = reason.partition(" ")
    one = f"{first.removesuffix('s')} {rest}"
    return one.replace(" that are the elemental solids", " that is an elemental solid").replace(
        "alone in their material", "alone in its material"
    )
