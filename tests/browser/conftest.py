"""A real Chromium and real Streamlit servers for the browser tests: ``browser_page`` and ``serve``."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_WITHIN = 60  # seconds
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # WebGL without a GPU


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """One browser for the whole session; tests are skipped where there is none."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        pytest.skip("no chromium on this machine")
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def browser_page(chromium) -> Iterator[object]:
    """A page in a context of its own, cut off from everything but this machine."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.route("**/*", lambda route: route.continue_() if "//127.0.0.1:" in route.request.url else route.abort())
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start ``streamlit run script`` from the repository, with XFUNC_HOME in tmp_path; call it for the URL.

    Extra environment variables come as a mapping. The servers end with the test; their output is in ``tmp_path/server-*.log``.
    """
    servers: list[subprocess.Popen[bytes]] = []

    def start(script: str | Path, env: Mapping[str, str] | None = None) -> str:
        port = _free_port()
        log = tmp_path / f"server-{port}.log"
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true", f"--server.port={port}"]
        variables = {**os.environ, "XFUNC_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), **(env or {})}
        with log.open("wb") as output:
            servers.append(subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT))
        url = f"http://127.0.0.1:{port}"
        _wait_until_healthy(url, servers[-1], log)
        return url

    yield start
    for server in servers:
        server.terminate()
    for server in servers:
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.fail(f"streamlit ended with {server.returncode}:\n{log.read_text(errors='replace')}")
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
                if answer.read() == b"ok":
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"streamlit was not healthy within {START_WITHIN} s:\n{log.read_text(errors='replace')}")
