"""What every page does with text that others wrote, and with errors."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from pages._ui.shell import plain


@pytest.mark.parametrize("text", ["3 of 3 documents were kept.", "mp-1234_r2scan-0.5", "a_b.c: no energy (for example x-1), 50 %", "The sizes '8, many' are not: write them like 8, 16.", "N > 5 · r²SCAN − PBE!"])
def test_ordinary_text_stays_as_it_is(text) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![x](y)", r"!\[x\](y)"),
        ("[x](y)", r"\[x\](y)"),
        ("*a* `b` $c$ ~~d~~", r"\*a\* \`b\` \$c\$ \~\~d\~\~"),
        ("__a__ _b_ c_d", r"\_\_a\_\_ \_b\_ c_d"),
        ("a\\b", r"a\\b"),
        ("<b> &amp; #1", r"\<b> \&amp; \#1"),
        ("> a", r"\> a"),
        ("a\n\n    b", "a b"),
        (":red[x]", r"\::small[]red\[x\]"),
        (":material/home:", r"\::small[]material/home:"),
        ("http://x", r"http\::small[]//x"),
        ("www.x.org", "www:small[].x.org"),
        ("{a}:{b}", r"\{a\}\::small[]\{b\}"),
    ],
)
def test_marks_lose_their_meaning(text, shown) -> None:
    assert plain(text) == shown


def refused() -> None:
    from pathlib import Path

    import streamlit as st

    from pages._ui.shell import sentences

    with sentences():
        Path("/nowhere/file.json").write_bytes(b"")
    st.markdown("not reached")


def said() -> None:
    from pages._ui.shell import sentences
    from xfunc_core.errors import DataError

    with sentences():
        raise DataError("The frame ![x](y) has no energy.")


def test_what_the_system_refuses_is_one_sentence() -> None:
    page = AppTest.from_function(refused).run()
    assert not page.exception and not page.markdown
    assert [error.value for error in page.error] == ["The system refuses: No such file or directory (/nowhere/file.json)."]


def test_sentences_show_what_a_file_says_literally() -> None:
    assert [error.value for error in AppTest.from_function(said).run().error] == [r"The frame !\[x\](y) has no energy."]
