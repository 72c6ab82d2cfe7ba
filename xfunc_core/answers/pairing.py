"""Answers about a PBE and an r²SCAN dataset: which frames belong together, and how their labels correlate."""

from __future__ import annotations

from typing import Any

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_table
from xfunc_core.data.pairing import pair
from xfunc_core.data.pairs import PairingMethod, Pairs
from xfunc_core.elements import Z_OF
from xfunc_core.errors import ConfigError, DataError
from xfunc_core.explore import COMPONENTS, Exploration, component_table, element_table, explore
from xfunc_core.quantities import ENERGY, Functional, correlation_text, count_text
from xfunc_core.references.paired import PairedScheme


def pairs(pbe: str, r2scan: str, how: PairingMethod, say: Say) -> Answer:
    """Pair two datasets, with the reason of every frame that has no partner."""
    found = _paired(pbe, r2scan, how, say)
    reasons = found.reasons().to_dict("records")
    example = found.unpaired.drop_duplicates(["functional", "reason"]).set_index(["functional", "reason"])["frame_id"]
    rows = [{"Without a partner": r["functional"], "Frames": count_text(r["n_frames"]), "Reason": r["reason"], "For example": example[r["functional"], r["reason"]]} for r in reasons]
    head = f"{count_text(len(found))} pairs of {count_text(len(found.pbe))} PBE and {count_text(len(found.r2scan))} r²SCAN frames. {how.sentence}"
    ids = zip(*(d.columns["frame_id"].take(rows).to_pylist() for d, rows in ((found.pbe, found.rows_pbe), (found.r2scan, found.rows_r2scan))), strict=True)
    details = found.details.to_dict("records") or [{}] * len(found)
    data = {
        "method": how,
        "n_pairs": len(found),
        "reasons": reasons,
        "pairs": [{"pbe": a, "r2scan": b, **more} for (a, b), more in zip(ids, details, strict=True)],
        "unpaired": found.unpaired.to_dict("records"),
    }
    return Answer("\n".join([head, "", text_table(rows, "Every frame has a partner.")]), data)


def correlate(pbe: str, r2scan: str, how: PairingMethod, references: str, elements: str, say: Say) -> Answer:
    """Correlate the labels of frames that two datasets share."""
    symbols = _symbols(elements)
    pairs = _paired(pbe, r2scan, how, say)
    if not len(pairs):
        raise DataError(f"{pbe!r} and {r2scan!r} share no frame when paired by {how.value}: import both functionals of the same set, or pair in another way.")
    scheme = PairedScheme(references)
    if scheme is PairedScheme.ISOLATED_ATOMS and not (pairs.pbe.info.isolated_atoms and pairs.r2scan.info.isolated_atoms):
        raise ConfigError(f"{pbe!r} and {r2scan!r} hold no energies of isolated atoms: use --references lstsq.")
    found = explore(pairs, scheme)
    e = found.energies
    head = f"{count_text(len(pairs))} frames of {count_text(e.n_materials)} materials in {Functional.PBE.label} and {Functional.R2SCAN.label}; {count_text(len(pairs.unpaired))} frames without a partner."
    if how is not PairingMethod.BY_ID:
        head += f" {how.sentence}"
    components = component_table(found).to_dict("records")
    parts = [head, "", text_table(_spread_rows(found)), "", *([text_table(components), ""] if components else [])]
    parts += [*found.caveats(), "", text_table(element_table(e, symbols).to_dict("records"), f"No frame holds {', '.join(symbols)}.")]
    return Answer("\n".join(parts), {"method": how} | _correlation_data(found, len(pairs), pairs.unpaired.to_dict("records"), symbols))


def _spread_rows(found: Exploration) -> list[dict[str, str]]:
    spreads = {"as calculated": found.energies.raw, f"minus references ({found.references.scheme.label.lower()})": found.energies.referenced}
    return [
        {
            "Energy": name,
            "N": count_text(s.n),
            "r": correlation_text(s.pearson),
            f"Mean r²SCAN − PBE ({ENERGY.unit})": ENERGY.value(round(s.mean_shift, ENERGY.decimals) + 0.0),  # no −0.000
            "MAE around it": ENERGY.error_with_unit(s.mae),
            "RMSE around it": ENERGY.error_with_unit(s.rmse),
        }
        for name, s in spreads.items()
        if s
    ]


def _correlation_data(found: Exploration, n_pairs: int, unpaired: list[dict[str, Any]], symbols: list[str]) -> dict[str, Any]:
    by_element = found.energies.by_element.reset_index().to_dict("records")
    return {
        "n_pairs": n_pairs,
        "n_materials": found.energies.n_materials,
        "references": found.references.scheme,
        "energy": {"unit": ENERGY.unit, "raw": found.energies.raw, "referenced": found.energies.referenced},
        "components": {q.key: {"unit": q.unit, **vars(found.components[q.key])} for q, _ in COMPONENTS},
        "by_element": [row for row in by_element if not symbols or row["element"] in symbols],
        "caveats": found.caveats(),
        "unpaired": unpaired,
    }


def _symbols(text: str) -> list[str]:
    symbols = [part.strip() for part in text.split(",") if part.strip()]
    for symbol in symbols:
        if symbol not in Z_OF:
            raise ConfigError(f"{symbol!r} in --elements is no element: write symbols like Fe,O.")
    return symbols


def _paired(pbe: str, r2scan: str, how: PairingMethod, say: Say) -> Pairs:
    return pair(find.dataset(pbe), find.dataset(r2scan), how, lambda share, what: say(f"{what} ({100 * share:.0f} %) …"))
