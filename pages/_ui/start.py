"""What every visit needs before a page draws: the bundled data in place, and the queue alive."""

from __future__ import annotations

import streamlit as st

from pages._ui.shell import plain
from xfunc_core.data.home import datasets_root, runs_root
from xfunc_core.data.library import install_bundled
from xfunc_core.errors import XfuncError
from xfunc_core.runs.dispatcher import ensure_dispatcher
from xfunc_core.runs.folder import list_runs


def prepare_home() -> None:
    """Install bundled data once per server and home, and wake the dispatcher when runs are waiting."""
    try:
        _install(str(datasets_root()))
        if any(run.state().is_active for run in list_runs(runs_root())):
            ensure_dispatcher(runs_root())
    except (XfuncError, OSError) as error:
        st.error(plain(f"{error} xfunc keeps its data in {datasets_root().parent}; set XFUNC_HOME to choose another place."))


@st.cache_resource(show_spinner="Putting the bundled data in place …")
def _install(root: str) -> None:
    install_bundled(datasets_root())
