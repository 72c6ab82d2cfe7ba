"""Explore: how PBE and r²SCAN relate, quantity by quantity and element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages._ui import loaders
from pages._ui.downloads import table_download
from pages._ui.filters import ELEMENT_MODES, RANGES, frame_filter
from pages._ui.frame_card import frame_card, pair_card
from pages._ui.pair_source import choose_source
from pages._ui.periodic_table import element_box, element_chart
from pages._ui.shell import clicked_frame, empty, page, plain, sentences, show, warn
from xfunc_core.analysis.agreement import MIN_MATERIALS, Agreement
from xfunc_core.analysis.groups import CHEMISTRIES, Attribution
from xfunc_core.analysis.paper import PEARSON_RAW, PEARSON_REFERENCED
from xfunc_core.data.query import EVERYTHING, LABELS
from xfunc_core.errors import DataError
from xfunc_core.explore.compared import COMPARED, N_TITLES, Source
from xfunc_core.explore.element_values import (
    COUNTS,
    cell_text,
    element_counts,
    element_values,
    elements_of,
    row_table,
    rows_of,
    standing_out,
    untold_elements,
)
from xfunc_core.explore.exploration import Exploration
from xfunc_core.explore.lacking import available, lacking_sentence
from xfunc_core.explore.selection import TABLE_NUMBERS, pair_names
from xfunc_core.explore.shifts import WHY, scale_sentence, shift_table
from xfunc_core.explore.statistics import Statistic, statistics_of
from xfunc_core.explore.tables import (
    PARTS,
    agreed_by_element,
    chemistry_table,
    element_table,
    furthest_table,
    number_table,
    overall_reasons,
    overall_words,
    reason_table,
)
from xfunc_core.plots.agreement import agreement_figure
from xfunc_core.plots.importances import importance_figure
from xfunc_core.plots.one_sided import one_sided_figure
from xfunc_core.plots.shifts import shift_figure
from xfunc_core.plots.theme import literal
from xfunc_core.quantities import ENERGY, TOO_FEW, correlation_text, count_text, counted, short_text
from xfunc_core.references.paired import PairedScheme, available_schemes

_PICK = "pick"
_MODES = {_PICK: "stand out", **ELEMENT_MODES}
_HINTS = {
    True: "Click elements to have them stand out below; click again to let go. To filter the pairs by them, press *any of* or another word above.",
    False: "Click elements: only pairs that pass count, in every colour, figure and number below; click again to let go.",
}
_ELEMENTS = "explore_elements"
_ROWS = 12
_COUNT_WIDTH, _NUMBER_WIDTH = 84, 216
"""Pixels of columns: three statistics with their intervals are as wide as a page on 1400 pixels."""
_LISTED = 1000
"""Rows sent to the browser of what may be hundreds of thousands."""


def _ask(key: loaders.SourceKey, source: Source, quantities: list[str]) -> loaders.Asked:
    """Which quantity, what is subtracted and how it is shared among elements; the filter comes later."""
    left, middle, right = st.columns(3)
    first = "referenced" if "referenced" in quantities else quantities[0]
    quantity = left.selectbox("Quantity", quantities, index=quantities.index(first), format_func=lambda k: COMPARED[k].label, key="quantity", bind="query-params", persist_state="session")
    compared, scheme = COMPARED[quantity], PairedScheme.LSTSQ
    if quantity != "referenced":
        right = middle  # no gap
    else:
        scheme = middle.selectbox("References", available_schemes(source), format_func=lambda s: s.label, key="subtracted", help="What is subtracted from each functional's energies before they are compared.", bind="query-params", persist_state="session")
    attribution = right.selectbox("Counts for an element", compared.attributions, format_func=lambda a: a.label, key=f"attribution_{'atoms' if compared.of_atoms else 'frames'}", help="Which rows the numbers of an element are made of.", bind="query-params", persist_state="session")
    st.caption(scheme.sentence if quantity == "referenced" else compared.sentence)
    return loaders.Asked(key, quantity, scheme.value, attribution.value, EVERYTHING)


def _element_controls(statistics: Mapping[str, Statistic]) -> tuple[str, str]:
    """What the periodic table is coloured by, and how the chosen elements are meant."""
    left, right = st.columns(2, vertical_alignment="bottom")
    shown = left.selectbox("Colour", list(statistics), format_func=lambda k: statistics[k].label, key="colour", bind="query-params", persist_state="session")
    mode = right.segmented_control("Chosen elements", list(_MODES), default=_PICK, format_func=_MODES.get, required=True, key="elements_mode", help="They stand out, and the numbers stay those of all pairs; or pairs are filtered by them, and every number with the pairs.", bind="query-params", persist_state="session")
    st.caption(_HINTS[mode == _PICK])
    return shown, mode


def _filtered(asked: loaders.Asked, source: Source, mode: str, chosen: list[str]) -> loaders.Asked:
    """The same with the filter of the controls."""
    known = (LABELS, RANGES) if source.has_structures else ((), TABLE_NUMBERS)
    return replace(asked, wanted=frame_filter([] if mode == _PICK else chosen, "any_of" if mode == _PICK else mode, "pairs", *known))


def _element_chart(found: Exploration, shown: Statistic, chosen: list[str]) -> None:
    """The periodic table in the colours of a statistic."""
    quantity = found.rows.compared.quantity
    element_chart(
        element_values(found, shown),
        chosen,
        key=_ELEMENTS,
        title=shown.label,
        unit=shown.unit_of(quantity),
        counts=element_counts(found),
        diverging=shown.middle is not None,
        middle=shown.middle or 0.0,
        reach=shown.reach,
        log=shown.key in COUNTS,
        untold=untold_elements(found, shown),
        number_format=lambda value: shown.text(quantity, value),
        short_format=lambda value: cell_text(shown, quantity, value),
    )


def _words(asked: loaders.Asked, found: Exploration) -> list[str]:
    """What is printed on every figure."""
    said = [Attribution(asked.attribution).sentence]
    said += [f"References: {PairedScheme(asked.scheme).label}"] if found.references else []
    return said + ([f"Filter: {literal(asked.wanted.words())}"] if asked.wanted != EVERYTHING else [])


def _agreement(asked: loaders.Asked, found: Exploration, chosen: list[str]) -> DeltaGenerator:
    """Every value, or their density, beside a place for the statistics, which is given back; a click shows the pair."""
    compared, rows, words, selected = found.rows.compared, found.rows, _words(asked, found), rows_of(found, chosen)

    def draw(dark: bool) -> go.Figure:
        if compared.one_sided:
            return one_sided_figure(rows.y, compared.quantity, found.quick.n_materials, words=words, selected=selected, dark=dark)
        return _scatter(found, words, selected, dark)

    left, right = st.columns(2)
    with left:
        clicked = show(draw, f"agreement_{asked.source.content[0][:8]}", clickable=not compared.one_sided, name=f"explore-{compared.key}", numbers=lambda: row_table(found))
    statistics = right.empty()
    _statistics(found, statistics, ranks=False)
    with right:
        warn(found.caveats)
    pair = clicked_frame(clicked)
    if pair is None or not 0 <= pair < len(found.source):
        if not compared.one_sided:
            st.caption("Click a point to see its structure and both labels; *Largest differences* below lists the outliers." if found.source.has_structures else "Click a point to see what the table knows of the pair; *Largest differences* below lists the outliers.")
    else:
        _card(found, pair, "explore_frame")
    return statistics


def _card(found: Exploration, pair: int, key: str) -> None:
    """Structure and labels of a pair, or what its table knows of it."""
    source = found.source
    if source.has_structures:
        frame_card([(source.r2scan, int(source.rows_r2scan[pair])), (source.pbe, int(source.rows_pbe[pair]))], key=key)
    else:
        pair_card(source, pair)


def _statistics(found: Exploration, place: DeltaGenerator, ranks: bool) -> None:
    """All numbers of all rows; ranks take longest, so that everything else is drawn before."""
    with place.container():
        st.table(overall_words(found, ranks), border="horizontal")
        warn(overall_reasons(found, ranks))


def _scatter(found: Exploration, words: list[str], selected: np.ndarray | None, dark: bool) -> go.Figure:
    rows, compared = found.rows, found.rows.compared
    quantity = replace(compared.quantity, label=compared.label)
    return agreement_figure(rows.x, rows.y, quantity, found.quick, names=lambda pairs: pair_names(found.source, pairs), ids=rows.pair, words=words, selected=selected, dark=dark)


def _tabs(asked: loaders.Asked, found: Exploration, chosen: list[str]) -> None:
    """What is worked out only when it is looked at."""
    contents = {"Shift against Z": _shifts, "Per element": _per_element, "Per chemistry": _per_chemistry, "Largest differences": _furthest, "The paper's figures": _paper, "Left out": _left_out}
    for tab, draw in zip(st.tabs(list(contents), on_change="rerun", key="explore_tab", bind="query-params"), contents.values(), strict=True):
        if tab.open:
            with tab, sentences(stop=False):
                draw(asked, found, chosen)


def _per_element(asked: loaders.Asked, found: Exploration, chosen: list[str]) -> None:
    keys = _part(found)
    _wide(element_table(found, chosen, keys))
    _reasons(agreed_by_element(found, chosen, keys), found, "Element", keys)
    table_download(lambda: number_table(found.by_element, found.rows.compared, "element"), f"explore-{asked.quantity}-elements")
    st.caption(f"{Attribution(asked.attribution).sentence} Intervals of 95 % resample materials; {TOO_FEW} means fewer than {MIN_MATERIALS} materials.")


def _per_chemistry(asked: loaders.Asked, found: Exploration, chosen: list[str]) -> None:
    keys = _part(found)
    _wide(chemistry_table(found, keys))
    _reasons(found.by_chemistry, found, "Chemistry", keys)
    table_download(lambda: number_table(found.by_chemistry, found.rows.compared, "chemistry"), f"explore-{asked.quantity}-chemistries")
    with st.expander("What belongs where"):
        st.markdown("\n".join(f"- **{name}** {words}" for name, words in CHEMISTRIES.items()))


def _furthest(asked: loaders.Asked, found: Exploration, chosen: list[str]) -> None:
    table = furthest_table(found)
    st.caption("Those furthest from the median, whether the figure shows them or not. Choose a row to see the pair.")
    event = st.dataframe(table, hide_index=True, height=_height(table), key=f"furthest_{asked.quantity}", on_select="rerun", selection_mode="single-row")
    for row in event.selection.rows:
        if row < len(table):
            _card(found, int(table.index[row]), "explore_furthest")


def _shifts(asked: loaders.Asked, found: Exploration, chosen: list[str]) -> None:
    shifts = loaders.shifts(asked.source, asked.scheme)
    show(lambda dark: shift_figure(shifts, "Shift of the reference energy", (f"References: {PairedScheme(asked.scheme).label}", "all pairs, unfiltered"), dark, chosen), "shift", name="explore-shifts", numbers=shifts.reset_index)
    if words := scale_sentence(found.source):
        st.caption(plain(words))
    element_chart(
        dict(shifts["shift"]), chosen, key="explore_shifts", box=_ELEMENTS, title="Shift of the reference energy", unit=ENERGY.unit,
        counts=dict(shifts["n_frames"]), diverging=True, number_format=ENERGY.value, short_format=short_text,
    )  # fmt: skip
    table = shift_table(shifts.loc[shifts.index.isin(chosen)] if chosen else shifts)
    _wide(table)


def _part(found: Exploration) -> tuple[str, ...]:
    """Which statistics a table has; a one-sided quantity has few, which need no choice."""
    if found.rows.one_sided:
        return ()
    return PARTS[st.segmented_control("Statistics", list(PARTS), default=next(iter(PARTS)), required=True, key="statistics", bind="query-params", persist_state="session", label_visibility="collapsed")]


def _reasons(agreed: Mapping[str, Agreement], found: Exploration, title: str, keys: tuple[str, ...]) -> None:
    table = reason_table(agreed, found.rows.compared, title, keys)
    if len(table):
        with st.expander("Why some numbers or intervals are missing", icon=":material/help:"):
            st.dataframe(table, hide_index=True)


def _wide(table: pd.DataFrame) -> None:
    """A table whose first column stays where the others, on a narrow screen, are scrolled; counts leave the room to intervals."""
    counts = (*N_TITLES.values(), "Materials")
    widths = dict.fromkeys(counts, _COUNT_WIDTH) | {WHY: None}
    look = {name: st.column_config.Column(width=widths.get(name, _NUMBER_WIDTH)) for name in table.columns[1:]}
    look[table.columns[0]] = st.column_config.Column(pinned=True)
    st.dataframe(table, hide_index=True, height=_height(table), column_config=look)


def _height(table: pd.DataFrame) -> int | str:
    return 470 if len(table) > _ROWS else "content"


def _paper(asked: loaders.Asked, explored: Exploration, chosen: list[str]) -> None:
    figures = loaders.papers(asked)
    left, right = st.columns(2)
    for column, part, words in ((left, figures.total, "as they are"), (right, figures.referenced, f"References: {PairedScheme(asked.scheme).label}")):
        with column:
            st.markdown(f"**{part.rows.compared.label}**")
            show(lambda dark, part=part, words=words: _scatter(part, [words], None, dark), f"paper_{part.rows.key}", name=f"explore-paper-{part.rows.key}", numbers=lambda part=part: row_table(part))
    st.caption(f"Huang et al. 2025 print Pearson's coefficient (their ρ, r here) as {correlation_text(PEARSON_RAW)} before and {correlation_text(PEARSON_REFERENCED)} after, on relaxed entries of the Materials Project with their own references.")
    st.markdown("**What the difference of formation energies depends on**")
    try:
        found = figures.importances
    except DataError as error:
        st.info(plain(str(error)), icon=":material/info:")
        return
    words = ("a decision tree on atomic fractions", f"its error on materials left out {ENERGY.error_with_unit(found.rmse_held_out)}", f"spread of the difference among them {ENERGY.error_with_unit(found.std_held_out)}")
    show(lambda dark: importance_figure(found.table, found.n, words, dark), "importances", name="explore-importances", numbers=lambda: found.table.reset_index())
    st.caption("The paper shows impurity importance divided by the number of atoms; it favours elements that occur in many ratios. Permutation importance, on materials that the tree has not seen, does not: trust what both agree on.")


def _left_out(asked: loaders.Asked, found: Exploration, chosen: list[str]) -> None:
    source, unpaired = found.source, found.source.unpaired
    words = ("frame has no partner", "frames have no partner") if source.has_structures else ("row of the file was left out", "rows of the file were left out")
    st.caption(f"{counted(len(unpaired), *words)}.")
    if len(unpaired):
        st.dataframe(unpaired.head(_LISTED), hide_index=True)
        table_download(lambda: unpaired, f"explore-left-out-{asked.source.content[0][:8]}")
    if len(unpaired) > _LISTED:
        st.caption(f"The first {count_text(_LISTED)} are listed; the file has all.")


with page("Explore", "The same structures in PBE and in r²SCAN: what agrees, what shifts, quantity by quantity and element by element."):
    key = choose_source()
    if key is None:
        st.stop()
    source = loaders.source(key)
    if not len(source):
        empty("link_off", f"These two datasets share no frame: {counted(len(source.unpaired), 'id or geometry differs', 'ids or geometries differ')}. Choose two that were computed on the same structures, or pair them by material or by structure.")
        st.stop()
    lacking = loaders.lacking(key)
    quantities = available(lacking)
    if not quantities:
        empty("label_off", "No label is known on both sides of these pairs, so nothing can be compared.")
        st.stop()
    asked = _ask(key, source, quantities)
    if lacking:
        st.caption(lacking_sentence(lacking))
    statistics = statistics_of(COMPARED[asked.quantity])
    st.subheader("Elements", divider="gray")
    colour, mode = _element_controls(statistics)
    table = st.container()
    chosen = element_box(elements_of(source), _ELEMENTS)
    asked = _filtered(asked, source, mode, chosen)
    found = loaders.explored(asked)
    if asked.wanted != EVERYTHING:
        st.caption(plain(f"{count_text(found.n_kept)} of {counted(len(source), 'pair')}: {asked.wanted.words()}."))
    outstanding = chosen if mode == _PICK else []
    if outstanding:
        st.caption(standing_out(found, outstanding))
    with table:
        _element_chart(found, statistics[colour], chosen)
    st.subheader(found.rows.compared.label, divider="gray")
    if not len(found.rows):
        empty("filter_alt_off", plain(" ".join(found.caveats)))
        st.stop()
    place = _agreement(asked, found, outstanding)
    _tabs(asked, found, outstanding)
    _statistics(found, place, ranks=True)
