"""Explore: how PBE and r²SCAN relate, element by element."""

import streamlit as st

from pages._ui import loaders
from pages._ui.choose import choose_dataset
from pages._ui.frame_card import frame_card
from pages._ui.periodic_table import periodic_table
from pages._ui.shell import clicked_frame, empty, page, plain, show, warn
from xfunc_core.data.pairs import PairingMethod
from xfunc_core.explore import ELEMENT_VALUES, component_table, containing, element_table, hover_names
from xfunc_core.plots.correlation import energy_scatter, shift_against_z_figure
from xfunc_core.quantities import ENERGY, Functional, correlation_text, count_text
from xfunc_core.references.paired import available_schemes

_ROWS = 12


def _take_partner() -> None:
    """Other r²SCAN data bring the PBE data of the same frames with them."""
    chosen = next(d for d in loaders.datasets(Functional.R2SCAN) if d.info.name == st.session_state["r2scan"])
    st.session_state["pbe"] = loaders.partner(chosen, loaders.datasets(Functional.PBE))


with page("Explore", "The same frames in PBE and in r²SCAN. What differs is the functional, and mostly a shift per element."):
    pbe_sets, r2scan_sets = loaders.datasets(Functional.PBE), loaders.datasets(Functional.R2SCAN)
    if not pbe_sets or not r2scan_sets:
        empty("database", "Explore needs a PBE and an r²SCAN dataset of the same frames.", "pages/datasets.py", "Import data")
        st.stop()

    left, middle, right, last = st.columns(4)
    with left:
        r2scan = choose_dataset("r²SCAN data", r2scan_sets, "r2scan", "xfunc-dft-r2scan", on_change=_take_partner)
    with middle:
        pbe = choose_dataset("PBE data", pbe_sets, "pbe", loaders.partner(r2scan, pbe_sets))
    with right:
        how = st.selectbox("Paired", list(PairingMethod), format_func=lambda m: m.label, key="pairing", help="How a frame finds its partner in the other functional.")
    pairs = loaders.pairs(pbe, r2scan, how)
    if not len(pairs):
        empty("link_off", f"These two datasets share no frame: {count_text(len(pairs.unpaired))} ids or geometries differ. Choose two that were computed on the same structures, or pair them by material or by structure.")
        st.stop()
    with last:
        scheme = st.selectbox("References", available_schemes(pairs), format_func=lambda s: s.label, help="What is subtracted from each functional's energies before they are compared.")
    for sentence in pairs.sentences() if how is not PairingMethod.BY_ID else []:
        st.caption(plain(sentence))
    found = loaders.exploration(pbe, r2scan, how, scheme)
    energies = found.energies

    st.subheader("Elements", divider="gray")
    value = st.segmented_control("Colour", list(ELEMENT_VALUES), default="shift", format_func=lambda key: ELEMENT_VALUES[key].label, key="colour", label_visibility="collapsed") or "shift"
    shown = ELEMENT_VALUES[value]
    selected = periodic_table(
        energies.by_element[value].dropna().to_dict(),
        key="explore_elements",
        title=shown.label,
        unit=shown.unit,
        counts=energies.by_element["n_frames"].to_dict(),
        diverging=shown.diverging,
        number_format=shown.text,
        short_format=shown.short,
    )
    st.caption(f"Click elements to pick out the frames that contain any of them; the numbers below stay those of all frames. A correlation needs {energies.min_materials} materials; grey means there are fewer.")

    st.subheader("Energies", divider="gray")
    chosen = containing(pairs, selected)
    left, middle, right, last = st.columns(4)
    left.metric("r, raw", correlation_text(energies.pearson_raw), border=True, help="Pearson's r of total energies per atom.")
    middle.metric("r, referenced", correlation_text(energies.pearson_referenced), border=True, help="The same after subtracting each functional's references.")
    right.metric(f"Mean shift ({ENERGY.unit})", ENERGY.value(energies.raw.mean_shift), border=True, help="Of r²SCAN − PBE total energies per atom.")
    last.metric("Frames in both", count_text(energies.n_frames), border=True, help=f"{count_text(len(pairs.unpaired))} frames have no partner; they are listed at the end of the page.")
    mode = st.segmented_control("Energies shown", ["raw", "referenced"], default="raw" if found.references.is_exact else "referenced", format_func=str.capitalize, key="mode", label_visibility="collapsed", required=True)
    scatter, table = st.columns(2)
    with scatter:
        if mode == "referenced" and found.references.is_exact:
            empty("functions", "There are as many reference energies as frames, so nothing is left after subtracting them. Look at the raw energies, or choose other references.")
            clicked = []
        else:
            clicked = show(lambda dark: energy_scatter(energies, hover_names(pairs), mode, chosen, dark), "energies", clickable=True)
    with table:
        elements = element_table(energies, selected)
        st.dataframe(elements, hide_index=True, height=470 if len(elements) > _ROWS else "content")
        st.download_button("Download table (CSV)", energies.by_element.to_csv(), f"{r2scan.info.name}-elements.csv", "text/csv", icon=":material/download:")
    warn(found.caveats())
    row = clicked_frame(clicked)
    if row is None:
        st.caption("Click a point to see its structure.")
    else:
        frame_card([(pairs.r2scan, int(pairs.rows_r2scan[row])), (pairs.pbe, int(pairs.rows_pbe[row]))], key="explore_frame")

    st.subheader("Shift against atomic number", divider="gray")
    show(lambda dark: shift_against_z_figure(energies, dark), "shift")

    st.subheader("Forces, stresses, magnetic moments", divider="gray")
    components = component_table(found)
    if len(components):
        st.dataframe(components, hide_index=True)
        st.caption("Component by component over the paired frames; these need no references.")
    else:
        st.caption("No force, stress or moment is labelled on both sides." if pairs.components_comparable else "Forces, stresses and moments compare frame by frame only: pair by the same id for that.")
    with st.expander(f"Frames without a partner ({count_text(len(pairs.unpaired))})"):
        st.dataframe(pairs.unpaired, hide_index=True)
