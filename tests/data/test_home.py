"""Where xfunc keeps things."""

from __future__ import annotations

from pathlib import Path

import pytest

from xfunc_core.data.home import GRAPH_CACHE_GB, datasets_root, graph_cache_bytes, home, runs_root, sweeps_root
from xfunc_core.errors import ConfigError


def test_chosen_home_holds_everything_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFUNC_HOME", f" {tmp_path}/chosen ")
    assert home() == tmp_path / "chosen"
    assert [datasets_root(), runs_root(), sweeps_root()] == [tmp_path / "chosen" / name for name in ("datasets", "runs", "sweeps")]
    assert list(tmp_path.iterdir()) == []


def test_relative_homes_and_tildes_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for chosen, expected in (("a/../b", tmp_path / "b"), ("~/x", tmp_path / "me" / "x")):
        monkeypatch.setenv("XFUNC_HOME", chosen)
        assert home() == expected


@pytest.mark.parametrize("chosen", [None, "", "  "])
def test_without_a_choice_it_is_the_data_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None) -> None:
    monkeypatch.delenv("XFUNC_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    if chosen is not None:
        monkeypatch.setenv("XFUNC_HOME", chosen)
    assert home().name == "xfunc"
    assert home().is_relative_to(tmp_path)


def test_home_of_an_unknown_user_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFUNC_HOME", "~nobody-of-this-name/x")
    with pytest.raises(ConfigError, match="XFUNC_HOME is '~nobody-of-this-name/x', which leads nowhere .*: set it to a folder"):
        home()


def test_the_graph_cache_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for chosen, size in ((None, GRAPH_CACHE_GB * 10**9), (" ", GRAPH_CACHE_GB * 10**9), ("2.5", 2_500_000_000)):
        monkeypatch.delenv("XFUNC_GRAPH_CACHE_GB", raising=False)
        if chosen is not None:
            monkeypatch.setenv("XFUNC_GRAPH_CACHE_GB", chosen)
        assert graph_cache_bytes() == size
    for chosen in ("much", "0", "-1", "nan", "inf"):
        monkeypatch.setenv("XFUNC_GRAPH_CACHE_GB", chosen)
        with pytest.raises(ConfigError, match=f"XFUNC_GRAPH_CACHE_GB is '{chosen}', which is no size"):
            graph_cache_bytes()
