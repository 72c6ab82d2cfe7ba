"""Every reference scheme side by side: what the pretrained network would do with each one's references before fine-tuning.

Nothing here asks the model: its energies came with the evidence, and references only add x·w.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xfunc_core.elements import SYMBOLS
from xfunc_core.lab.evidence import Evidence
from xfunc_core.lab.measuring import Candidate, measure
from xfunc_core.lab.recommendation import recommend
from xfunc_core.lab.results import Comparison, Coverage, Unavailable
from xfunc_core.lab.tables import of_settings
from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.energy_scale import scheme_scale
from xfunc_core.references.fits import ReferenceScheme
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.published import silent_holes_in
from xfunc_core.references.refits import errors_of, held_out_errors, refits
from xfunc_core.references.schemes import SCHEMES, Scheme
from xfunc_core.references.solvers import n_containing, triangle
from xfunc_core.references.starting import Start

REFITS = 100
REFITS_OF_MANY = 50
"""Where the training subset has more than `MANY` frames and their draws matter less."""
MANY = 1000
MOST_TO_CROSS_VALIDATE = 20_000
"""Training frames above which the validation part alone decides; it then has thousands of frames."""


def compare(
    evidence: Evidence,
    table: ElementReferences | None = None,
    n_refits: int | None = None,
    seed: int = 0,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Fit every scheme that the data can feed on the training subset and lay their errors side by side.

    Args:
        evidence: the parts with what the model says of them.
        table: references that were brought along, compared with the schemes; None takes those of the settings, if they have some.
        n_refits: refits for the intervals; None for 100, or 50 with more than 1,000 training frames.
        seed: of the draws and folds.
        tell: called with the number of refits done and of all.

    Raises:
        ConfigError: no training frame can be used.
    """
    frames = evidence.train.frames
    count = n_refits or (REFITS if len(evidence.train) <= MANY else REFITS_OF_MANY)
    candidates = _candidates(evidence, count, seed, tell)
    table = table or of_settings(evidence.settings)
    if table is not None:
        candidates.append(_of_table(evidence, table, np.isfinite(candidates[0].held_out)))
    results = [measure(candidate, evidence) for candidate in candidates]
    reduced = triangle(frames.composition, frames.energy_per_atom)
    return Comparison(
        dataset=evidence.dataset,
        title=evidence.title,
        n_train=len(evidence.train),
        n_validation=len(evidence.validation),
        n_test=len(evidence.test),
        test_rows=evidence.test.rows,
        test_materials=evidence.test.materials,
        n_elements=len(reduced.present),
        rank=reduced.rank,
        n_refits=count,
        w_gga=evidence.w_gga,
        n_frames=frames.n_frames,
        n_materials=evidence.train.n_materials_with,
        results=tuple(results),
        unavailable=tuple(Unavailable(scheme.key, _lack(scheme, frames)) for scheme in SCHEMES.values() if frames.lacks(scheme.needs)),
        recommendation=recommend(results, evidence.test.materials, len(evidence.validation)),
        coverage=_coverage(evidence, table),
        left_out=evidence.left_out,
    )


def _candidates(evidence: Evidence, count: int, seed: int, tell: Callable[[int, int], None]) -> list[Candidate]:
    """The schemes that can be used, in the order of `Scheme`."""
    train, fills = evidence.train, evidence.settings.fills_gaps
    usable = [scheme for scheme in SCHEMES.values() if not train.frames.lacks(scheme.needs)]
    bare = [scheme.fit(train.frames) for scheme in usable]
    present = _present(evidence)  # what stands in for elements in no frame need not be worked out again and again
    starts = [Start(scheme, fills and bool(_unknown(one)[present].any())) for scheme, one in zip(usable, bare, strict=True)]
    prior = SCHEMES[Scheme.SMOOTH].fit(train.frames)
    found = [one.filled(prior) if fills else one for one in bare]
    moved = _moved(starts, found, evidence, count, seed, tell)
    held = _held_out(starts, found, evidence, seed)
    scales = [scheme_scale(scheme.key, train.frames) for scheme in usable]
    return [Candidate(s.key, s.label, *rest) for s, *rest in zip(usable, found, moved, held, scales, strict=True)]


def _moved(
    starts: Sequence[Start],
    found: Sequence[ElementReferences],
    evidence: Evidence,
    count: int,
    seed: int,
    tell: Callable[[int, int], None],
) -> list[np.ndarray]:
    """Energies of each scheme over the refits; what is not fitted does not move and comes once."""
    fitted = [start for start in starts if start.scheme.key.is_fitted and start.scheme.key is not Scheme.TRAINABLE]
    drawn = refits(fitted, evidence.train.frames, evidence.train.materials, count, seed, lambda done: tell(done, count))
    by_key = {start.scheme.key: drawn[:, place] for place, start in enumerate(fitted)}
    if Scheme.SMOOTH in by_key:
        by_key[Scheme.TRAINABLE] = by_key[Scheme.SMOOTH]  # its start, before training
    return [by_key.get(start.scheme.key, references.energies[None]) for start, references in zip(starts, found, strict=True)]


def _held_out(starts: Sequence[Start], found: Sequence[ElementReferences], evidence: Evidence, seed: int) -> np.ndarray:
    """Errors on training frames left out in turn, then on the validation frames, eV/atom, shape (schemes, frames)."""
    train = evidence.train
    on_validation = errors_of(np.array([references.energies for references in found]), evidence.validation.frames)
    if len(train) > MOST_TO_CROSS_VALIDATE:
        return on_validation
    return np.concatenate([held_out_errors(starts, train.frames, train.materials, seed=seed), on_validation], axis=1)


def _of_table(evidence: Evidence, table: ElementReferences, compared: np.ndarray) -> Candidate:
    """References that were brought along, on the same held-out frames as the schemes, shape (frames,), bool."""
    known = ~_unknown(table)
    frames = evidence.train.frames
    scale = scheme_scale(Scheme.TABLE, frames, np.where(known, table.energies, np.nan), f"the references of {table.source}")
    start = table.filled(SCHEMES[Scheme.SMOOTH].fit(frames)) if evidence.settings.fills_gaps else table
    errors = np.concatenate([errors_of(start.energies, part.frames) for part in (evidence.train, evidence.validation)])
    held_out = np.where(compared, errors[-len(compared) :], np.nan)
    return Candidate(Scheme.TABLE, f"Table: {table.source}", start, start.energies[None], held_out, scale)


def _coverage(evidence: Evidence, table: ElementReferences | None) -> Coverage:
    present = _present(evidence)
    held = present[None].astype(float)
    off_table = [symbol for symbol in table.having(Status.UNKNOWN) if present[SYMBOLS.index(symbol)]] if table else []
    lacking = tuple(SYMBOLS[i] for i in np.flatnonzero(_not_in_training(evidence)))
    return Coverage(lacking, silent_holes_in(held, "mptrj"), silent_holes_in(held, "r2scan"), tuple(off_table))


def _present(evidence: Evidence) -> np.ndarray:
    """Elements of any frame, shape (94,), bool."""
    return np.any([n_containing(part.frames.composition) > 0 for part in evidence.parts.values()], axis=0)


def _unknown(references: ElementReferences) -> np.ndarray:
    return np.array([status is Status.UNKNOWN for status in references.status])


def _not_in_training(evidence: Evidence) -> np.ndarray:
    """Elements of the validation or test frames that no training frame holds, shape (94,), bool."""
    train, *others = (n_containing(part.frames.composition) > 0 for part in evidence.parts.values())
    return np.any(others, axis=0) & ~train


def _lack(scheme: ReferenceScheme, frames: ReferenceFrames) -> str:
    return f"It needs {', and '.join(need.value for need in frames.lacks(scheme.needs))}, which these data do not come with."
