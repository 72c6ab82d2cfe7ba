"""xfunc in the browser: ``make app``. This file only routes; each page lies in ``pages/``."""

from pathlib import Path

import streamlit as st

from pages._ui.start import prepare_home

st.set_page_config(page_title="xfunc", page_icon=str(Path(__file__).parent / "pages" / "_ui" / "icon.png"), layout="wide")

navigation = st.navigation(
    {
        "": [st.Page("pages/start.py", title="Start", icon=":material/home:", default=True)],
        "Look": [
            st.Page("pages/explore.py", title="Explore", icon=":material/scatter_plot:"),
            st.Page("pages/datasets.py", title="Datasets", icon=":material/database:"),
        ],
        "Train": [
            st.Page("pages/references.py", title="Reference lab", icon=":material/science:"),
            st.Page("pages/finetune.py", title="Fine-tune", icon=":material/model_training:"),
            st.Page("pages/runs.py", title="Runs", icon=":material/list_alt:"),
            st.Page("pages/results.py", title="Results", icon=":material/target:"),
            st.Page("pages/scaling.py", title="Scaling", icon=":material/trending_down:"),
        ],
    }
)
prepare_home()
navigation.run()
