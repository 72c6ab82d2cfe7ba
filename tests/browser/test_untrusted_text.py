"""Text that others wrote, in a real browser: shown letter by letter, and nothing is fetched for it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
PICTURE = "![x](http://127.0.0.1:9/leak.png)"
ODD = [
    PICTURE,
    "[a](http://127.0.0.1:9) <http://127.0.0.1:9> http://127.0.0.1:9/page www.example.org a@example.org",
    "<img src='http://127.0.0.1:9/html.png'> &lt;b&gt;",
    ":red[x] :material/home: :streamlit: :smile: :blue-badge[y] a:b:c 12:30",
    "$x^2$ $$y$$ `code` *em* **strong** __init__ _u_ ~~gone~~",
    r"# head \* \[x] {a}:{b} [^1]",
    "> quote",
    "- item",
]
SCRIPT = """
import json, sys
import streamlit as st
from pages._ui.frame_card import frame_card
from pages._ui.shell import plain, warn
from xfunc_core.data.home import datasets_root
from xfunc_core.data.library import open_dataset

frame_card([(open_dataset(datasets_root(), "odd"), 0)], key="card")
for text in json.loads({texts!r}):
    with st.container(key=f"text-{{text[:4].encode().hex()}}"):
        st.error(plain(text))
        warn([text])
if "raw" in st.query_params:
    st.markdown(json.loads({texts!r})[0])
st.markdown("drawn to its end")
"""


@pytest.fixture
def url(serve, tmp_path: Path) -> str:
    """A served page with the frame card of a frame whose id is a picture, and with every odd text."""
    from xfunc_core.data.importing import import_file

    with gzip.open(ROOT / "xfunc_core/data/bundled/xfunc-dft-r2SCAN.jsonl.gz", "rt") as stream:
        document = json.loads(next(stream))
    (tmp_path / "odd.jsonl").write_text(json.dumps(document | {"matpes_id": PICTURE}))
    import_file(tmp_path / "odd.jsonl", tmp_path / "home" / "datasets", name="odd")
    script = tmp_path / "odd_page.py"
    script.write_text(SCRIPT.format(texts=json.dumps(ODD)))
    return serve(script)


def opened(page, url: str, query: str = "") -> list[str]:
    """Addresses other than the server's that the page asks for."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url + query)
    page.get_by_text("drawn to its end").wait_for()
    page.wait_for_timeout(1000)  # for what a browser fetches late
    return [address for address in asked if not address.startswith((url, url.replace("http", "ws"), "data:", "blob:"))]


def test_texts_are_shown_letter_by_letter_and_fetch_nothing(browser_page, url) -> None:
    assert opened(browser_page, url) == []
    assert browser_page.locator("[data-testid=stMarkdown] img, [data-testid=stAlert] img").count() == 0
    browser_page.get_by_text(f"{PICTURE} · ").wait_for()
    for text in ODD:
        places = browser_page.locator(f".st-key-text-{text[:4].encode().hex()} :is([data-testid=stMarkdownContainer], [data-testid=stCaptionContainer])").all()
        assert len(places) == 2  # the error and the caveat
        for shown in places:
            assert shown.inner_text().removeprefix("info").strip() == text
            assert shown.locator("img, a, code, em, strong, del, .katex, h1, blockquote, li").count() == 0


def test_a_picture_that_is_not_escaped_would_be_fetched(browser_page, url) -> None:
    assert opened(browser_page, url, "?raw=1") == ["http://127.0.0.1:9/leak.png"]
