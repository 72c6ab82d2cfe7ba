"""How a dataset is split: the same controls, by the same keys, wherever references are chosen or trained with."""

from __future__ import annotations

from typing import Any

import streamlit as st

from xfunc_core.training.settings import FinetuneSettings

_DEFAULT = FinetuneSettings(dataset="any")
_NEXT = "next_run_controls"
_LARGEST = 2**31 - 1


def split_controls() -> dict[str, Any]:
    """The settings of the split, by name; kept in the URL and for the session."""
    kept = {"bind": "query-params", "persist_state": "session"}
    left, right = st.columns(2)
    return {
        "validation_fraction": float(left.number_input("Validation fraction", 0.01, 0.5, _DEFAULT.validation_fraction, key="validation_fraction", **kept)),
        "test_fraction": float(right.number_input("Test fraction", 0.01, 0.5, _DEFAULT.test_fraction, key="test_fraction", **kept)),
        "train_size": _whole(left.number_input("Training frames", 1, None, None, placeholder="all", key="train_size", help="A subset of about this many; materials come whole, those that bring a new element first.", **kept)),
        "subset_seed": int(right.number_input("Subset seed", 0, _LARGEST, 0, key="subset_seed", **kept)),
        "split_seed": int(left.number_input("Split seed", 0, _LARGEST, 0, key="split_seed", help="Keep it to compare on the same test set. Materials are split, never the frames of one.", **kept)),
    }


def hand_over(**controls: Any) -> None:
    """Have the controls of these keys hold these values where they are drawn next, which `take_over` does."""
    st.session_state[_NEXT] = controls


def take_over() -> None:
    """Put what was handed over into the controls; to be called before they are drawn."""
    for key, value in st.session_state.pop(_NEXT, {}).items():
        st.session_state[key] = value


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
