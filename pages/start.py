"""Start: what xfunc is for, and the way through it."""

import streamlit as st

from pages._ui import loaders
from pages._ui.shell import page
from xfunc_core.quantities import count_text

_STEPS = (
    ("pages/datasets.py", "Datasets", "database", "Bring", "Import your own DFT frames, check them, and see what the bundled sets hold."),
    ("pages/explore.py", "Explore", "scatter_plot", "Look", "See how PBE and r²SCAN energies, forces and stresses of the same frames relate, element by element."),
    ("pages/references.py", "Reference lab", "science", "Choose", "Compare every scheme of reference energies on your data before a run is paid for, and take the best one along."),
    ("pages/finetune.py", "Fine-tune", "model_training", "Transfer", "Move the GGA-trained CHGNet to r²SCAN with one of the paper's four methods. The run goes on when you close the browser."),
    ("pages/results.py", "Results", "target", "Judge", "Compare with DFT before and after: parity plots and errors on materials left out of the fine-tuning."),
    ("pages/scaling.py", "Scaling", "trending_down", "Scale", "How many r²SCAN frames do you need? Train from scratch and by transfer over growing subsets."),
)

with page("xfunc", "Move a machine-learning interatomic potential from one density functional to another."):
    st.markdown(
        "Universal potentials have learnt from millions of GGA energies. r²SCAN is better and scarce, and its energies lie up to "
        "70 eV per atom away. What decides whether a transfer works are the **elemental reference energies** that bring the two "
        "scales together ([Huang et al. 2025](https://doi.org/10.1038/s41524-025-01796-y))."
    )
    for row in (_STEPS[:3], _STEPS[3:]):
        for column, (link, name, icon, label, sentence) in zip(st.columns(3), row, strict=True):
            with column.container(border=True, height="stretch"):
                st.markdown(f"#### :material/{icon}: {label}")
                st.markdown(sentence)
                st.page_link(link, label=f"Open {name}", icon=":material/arrow_forward:")

    st.subheader("On this machine")
    found = loaders.datasets()
    active = [run_id for run_id in loaders.run_ids() if loaders.run(run_id).state().is_active]
    for column, (label, value) in zip(
        st.columns(4),
        (
            ("Datasets", count_text(len(found))),
            ("Frames", count_text(sum(len(d) for d in found))),
            ("Runs", count_text(len(loaders.run_ids()))),
            ("Waiting or running", count_text(len(active))),
        ),
        strict=True,
    ):
        column.metric(label, value, border=True)
    st.page_link("pages/runs.py", label="Open Runs", icon=":material/arrow_forward:")
