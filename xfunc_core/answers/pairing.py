"""Answers about pairs: which frames of a PBE and an r²SCAN dataset belong together, and where ``correlate`` gets its pairs from."""

from __future__ import annotations

from collections.abc import Sequence

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_table
from xfunc_core.answers.data import by_reason
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pairing import pair
from xfunc_core.data.pairs import PairingMethod, Pairs
from xfunc_core.errors import ConfigError
from xfunc_core.explore.compared import Source
from xfunc_core.quantities import count_text, counted

DEFAULT = ("xfunc-dft-pbe", "xfunc-dft-r2scan")
"""The datasets that are paired when none is named."""


def source_of(names: Sequence[str], how: PairingMethod, say: Say) -> Source:
    """A table of relaxed pairs by its name, or two datasets paired; what is not named is taken from `DEFAULT`.

    Raises:
        DataError: there is nothing of that name.
        ConfigError: a table is named beside a dataset.
    """
    tables = [name for name in names if find.is_pair_table(name)]
    if tables and len(names) == 1:
        return find.pair_table(tables[0])
    if tables:
        raise ConfigError(f"{tables[0]!r} is a table of relaxed pairs, which holds both functionals: name it alone.")
    pbe, r2scan = (*names, *DEFAULT[len(names) :])
    return pair(find.dataset(pbe), find.dataset(r2scan), how, lambda share, what: say(f"{what} ({100 * share:.0f} %) …"))


def pairs(names: Sequence[str], how: PairingMethod, say: Say) -> Answer:
    """Pair two datasets, with the reason of every frame that has no partner; or list what a table of relaxed pairs left out."""
    found = source_of(names, how, say)
    return _table(found) if isinstance(found, PairTable) else _pairs(found, how)


def _pairs(found: Pairs, how: PairingMethod) -> Answer:
    reasons = found.reasons().to_dict("records")
    example = found.unpaired.drop_duplicates(["functional", "reason"]).set_index(["functional", "reason"])["frame_id"]
    rows = [
        {
            "Without a partner": r["functional"],
            "Frames": count_text(r["n_frames"]),
            "Reason": r["reason"],
            "For example": example[r["functional"], r["reason"]],
        }
        for r in reasons
    ]
    head = f"{counted(len(found), 'pair')} of {count_text(len(found.pbe))} PBE and {count_text(len(found.r2scan))} r²SCAN frames. {how.sentence}"
    ids = zip(
        *(d.columns["frame_id"].take(rows).to_pylist() for d, rows in ((found.pbe, found.rows_pbe), (found.r2scan, found.rows_r2scan))),
        strict=True,
    )
    details = found.details.to_dict("records") or [{}] * len(found)
    data = {
        "method": how,
        "n_pairs": len(found),
        "reasons": reasons,
        "pairs": [{"pbe": a, "r2scan": b, **more} for (a, b), more in zip(ids, details, strict=True)],
        "unpaired": found.unpaired.to_dict("records"),
    }
    return Answer("\n".join([head, "", text_table(rows, "Every frame has a partner.")]), data)


def _table(found: PairTable) -> Answer:
    dropped = found.report()["dropped"]
    rows = [{"Rows left out": count_text(r["n"]), "Reason": r["reason"], "For example": r["example"]} for r in by_reason(dropped)]
    data = {
        "method": None,
        "n_pairs": len(found),
        "pairs": found.frames.to_dict("records"),
        "dropped": dropped,
        "notes": found.report().get("notes", []),
    }
    return Answer("\n".join([*found.sentences(), "", text_table(rows, "No row was left out.")]), data)
