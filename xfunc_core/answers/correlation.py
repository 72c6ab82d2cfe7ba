"""The answer of ``correlate``: how the labels of a PBE and an r²SCAN dataset, or of a table of relaxed pairs, agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from xfunc_core.analysis.agreement import Agreement
from xfunc_core.analysis.groups import CHEMISTRIES, Attribution
from xfunc_core.answers.answer import Answer, Say, text_table
from xfunc_core.answers.pairing import source_of
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pairs import PairingMethod
from xfunc_core.data.query import EVERYTHING, Filter
from xfunc_core.elements import Z_OF
from xfunc_core.errors import ConfigError, DataError
from xfunc_core.explore.compared import COMPARED, Source, unavailable
from xfunc_core.explore.element_values import elements_of
from xfunc_core.explore.exploration import Exploration, explore
from xfunc_core.explore.lacking import available, lacking, lacking_sentence
from xfunc_core.explore.selection import kept, queries_of
from xfunc_core.explore.shifts import element_shifts, shift_table
from xfunc_core.explore.statistics import STATISTICS
from xfunc_core.explore.tables import chemistry_table, element_table, overall_table
from xfunc_core.quantities import ENERGY, Functional, count_text, counted
from xfunc_core.references.paired import PairedReferences, PairedScheme, available_schemes, paired_references


@dataclass(frozen=True)
class Wanted:
    """What ``correlate`` is asked for.

    Attributes:
        how: how frames are paired.
        references: value of a `PairedScheme`.
        quantity: a key of `COMPARED`; '' for an overview.
        attribution: value of an `Attribution`; '' for the usual way.
        elements: symbols separated by commas, the rows of the element table; '' for all.
        chemistry: whether chemistries are listed, too.
        frames: which frames count.
    """

    how: PairingMethod = PairingMethod.BY_ID
    references: str = PairedScheme.LSTSQ.value
    quantity: str = ""
    attribution: str = ""
    elements: str = ""
    chemistry: bool = False
    frames: Filter = EVERYTHING


@dataclass(frozen=True)
class _Found:
    """All that an answer is made of.

    Attributes:
        source: the pairs.
        wanted: what is asked for, and ``symbols``, the elements that are listed; all if none.
        references: what is subtracted from energies.
        lacking: why each quantity that cannot be compared cannot, by key.
        shown: explorations by key, at least one.
        shifts: the shift of every element, in an overview; else None.
    """

    source: Source
    wanted: Wanted
    symbols: list[str]
    references: PairedReferences
    lacking: dict[str, str]
    shown: dict[str, Exploration]
    shifts: pd.DataFrame | None

    @property
    def first(self) -> Exploration:
        return next(iter(self.shown.values()))


def correlate(names: Sequence[str], wanted: Wanted, say: Say) -> Answer:
    """Correlate the labels of the pairs of two datasets, or of a table: one quantity, or all that have rows at a glance.

    Raises:
        DataError: there are no such data, no pairs, or none that pass the filter.
        ConfigError: what is asked for makes no sense for these data.
    """
    symbols = _symbols(wanted.elements)
    source = source_of(names, wanted.how, say)
    _check(source, " and ".join(map(repr, names)) or "The default datasets", wanted)
    mask = _mask(source, wanted.frames)
    say("Correlating …")
    references = paired_references(source, PairedScheme(wanted.references))
    reasons = {} if wanted.quantity else lacking(source)
    shown = _explorations(source, references, wanted, mask, reasons)
    shifts = None if wanted.quantity else element_shifts(source, references)
    found = _Found(source, wanted, symbols, references, reasons, shown, shifts)
    caveats = _caveats(found)
    return Answer(_text(found, caveats), _data(found, caveats))


def _text(found: _Found, caveats: list[str]) -> str:
    tables = _tables(found) if found.shifts is None else _overview(found, shift_table(found.shifts))
    overall = text_table(overall_table(_with_rows(found.shown).values()).to_dict("records"))
    return "\n".join([_head(found), "", overall, "", *caveats, "", *tables]).rstrip()


def _data(found: _Found, caveats: list[str]) -> dict[str, Any]:
    source, wanted, shifts = found.source, found.wanted, found.shifts
    return {
        "method": None if isinstance(source, PairTable) else wanted.how,
        "filter": wanted.frames.words(),
        "n_pairs": len(source),
        "n_kept": found.first.n_kept,
        "references": found.references.scheme,
        "attribution": found.first.attribution,
        "quantities": {key: _quantity_data(one, found.symbols, wanted) for key, one in _with_rows(found.shown).items()},
        "shifts": None if shifts is None else {"unit": ENERGY.unit, "by_element": _shift_data(shifts, found.symbols)},
        "caveats": caveats,
        "unpaired": source.unpaired.to_dict("records"),
    }


def _with_rows(shown: dict[str, Exploration]) -> dict[str, Exploration]:
    """Those with rows, or all where none has any; the caveats say why others have none."""
    return {key: one for key, one in shown.items() if len(one.rows)} or shown


def _check(source: Source, named: str, wanted: Wanted) -> None:
    """Refuse what these data cannot answer."""
    if not len(source):
        raise DataError(
            f"{named} share no frame when paired by {wanted.how.value}: import both functionals of the same set, or pair in another way."
        )
    if PairedScheme(wanted.references) not in available_schemes(source):
        others = " or ".join(scheme.value for scheme in available_schemes(source))
        raise ConfigError(f"{named} have no energies of isolated atoms: use --references {others}.")
    if wanted.quantity and (reason := unavailable(source, wanted.quantity)):
        raise DataError(f"{COMPARED[wanted.quantity].label} cannot be compared here: {reason}.")


def _mask(source: Source, frames: Filter) -> np.ndarray | None:
    if frames == EVERYTHING:
        return None
    mask = kept(source, frames, queries_of(source))
    if not mask.any():
        raise DataError(f"None of the {counted(len(source), 'pair')} passes the filter ({frames.words()}): widen it.")
    return mask


def _explorations(source: Source, references: PairedReferences, wanted: Wanted, mask: np.ndarray | None, reasons: dict[str, str]) -> dict[str, Exploration]:
    attribution = Attribution(wanted.attribution) if wanted.attribution else None
    if wanted.quantity:
        return {wanted.quantity: explore(source, wanted.quantity, references, attribution, mask)}
    if attribution:
        raise ConfigError("An attribution is that of one quantity: give --quantity, too.")
    return {key: explore(source, key, references, None, mask) for key in available(reasons)}


def _head(found: _Found) -> str:
    source, wanted = found.source, found.wanted
    n_materials = len(set(source.materials.tolist()))
    if isinstance(source, PairTable):
        head = f"{counted(len(source), 'relaxed pair')} of {counted(n_materials, 'material')} in {source.info.title}; {counted(source.info.n_dropped, 'row was', 'rows were')} left out at import."
    else:
        head = f"{counted(len(source), 'pair')} of {counted(n_materials, 'material')} in {Functional.PBE.label} and {Functional.R2SCAN.label}; {counted(len(source.unpaired), 'frame')} without a partner."
        head += "" if wanted.how is PairingMethod.BY_ID else f" {wanted.how.sentence}"
    return head + ("" if wanted.frames == EVERYTHING else f" {count_text(found.first.n_kept)} of them pass the filter ({wanted.frames.words()}).")


def _caveats(found: _Found) -> list[str]:
    """What to know of each quantity, once, and which one it is about, where there are several; of an overview also what is not in it."""
    shown, said = found.shown, {}
    for key, one in shown.items():
        for sentence in one.caveats:
            said.setdefault(sentence, []).append(key)
    several = len(shown) > 1
    lines = [
        f"{COMPARED[keys[0]].label}: {sentence}" if several and len(keys) == 1 and keys[0] != "referenced" else sentence
        for sentence, keys in said.items()
    ]
    scheme = found.references.scheme
    lines = [f"References: {scheme.label}. {scheme.sentence}", *lines] if "referenced" in shown else lines
    absent = [symbol for symbol in found.symbols if symbol not in elements_of(found.source)]
    lines += [f"No pair holds {', '.join(absent)}."] if absent else []
    if found.shifts is None:
        return lines
    filtered = ["The shifts per element, with their pairs and materials, are those of all pairs, whatever the filter; the coefficients are of those that pass."] if found.wanted.frames != EVERYTHING else []
    return list(filter(None, [*lines, *filtered, lacking_sentence(found.lacking)]))


def _tables(found: _Found) -> list[str]:
    one, symbols = found.first, found.symbols
    table = element_table(one, symbols).to_dict("records")
    return [one.attribution.sentence, text_table(table, _no_element(symbols)), *(_chemistries(one) if found.wanted.chemistry else [])]


def _overview(found: _Found, shifts: pd.DataFrame) -> list[str]:
    """Per element the shift, and Pearson's coefficient before and after; chemistries of the referenced energies."""
    shown, symbols = _with_rows(found.shown), found.symbols
    rows = shifts[shifts["Element"].isin(symbols)] if symbols else shifts
    for key, name in (("total", "r raw"), ("referenced", "r referenced")):
        if key in shown:
            by_element = shown[key].by_element
            rows = rows.assign(
                **{name: [STATISTICS["pearson"].words(by_element.get(symbol, Agreement(0, 0)), ENERGY) for symbol in rows["Element"]]}
            )
    table = text_table(rows.to_dict("records"), _no_element(symbols))
    return [table, *(_chemistries(shown["referenced"]) if found.wanted.chemistry and "referenced" in shown else [])]


def _no_element(symbols: list[str]) -> str:
    return f"No pair holds {', '.join(symbols)}." if symbols else "No element has a row."


def _chemistries(found: Exploration) -> list[str]:
    definitions = "\n".join(f"{name}: {words}." for name, words in CHEMISTRIES.items())
    return ["", text_table(chemistry_table(found).to_dict("records")), "", definitions]


def _quantity_data(found: Exploration, symbols: list[str], wanted: Wanted) -> dict[str, Any]:
    key, compared = found.rows.key, found.rows.compared
    data = {
        "label": compared.label,
        "unit": compared.quantity.unit,
        "overall": _plain(found.overall, found),
        "left_out": found.rows.left_out,
    }
    if key in ((wanted.quantity,) if wanted.quantity else ("total", "referenced")):
        data["by_element"] = {symbol: _plain(one, found) for symbol, one in found.by_element.items() if not symbols or symbol in symbols}
    if wanted.chemistry and key == (wanted.quantity or "referenced"):
        data["by_chemistry"] = {name: _plain(one, found) for name, one in found.by_chemistry.items()}
    return data


def _plain(one: Agreement, found: Exploration) -> dict[str, Any]:
    """Counts and estimates; of a one-sided quantity mean and root mean square alone."""
    whole = asdict(one)
    if not found.rows.one_sided:
        return whole
    return {"n": one.n, "n_materials": one.n_materials, "mean": whole["shift"], "rms": whole["rmse"]}


def _shift_data(shifts: pd.DataFrame, symbols: list[str]) -> list[dict[str, Any]]:
    return [row for row in shifts.reset_index().to_dict("records") if not symbols or row["element"] in symbols]


def _symbols(text: str) -> list[str]:
    symbols = [part.strip() for part in text.split(",") if part.strip()]
    for symbol in symbols:
        if symbol not in Z_OF:
            raise ConfigError(f"{symbol!r} in --elements is no element: write symbols like Fe,O.")
    return symbols
