"""Documents that are no usable frame, or one with a label missing: named, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfunc_core.data.formats.matpes import read_matpes
from xfunc_core.data.frame import Frame, Rejected
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

Make = Callable[..., dict[str, Any]]
Write = Callable[..., Path]
NAN, INF = float("nan"), float("inf")
WRONG = [None, True, False, 0, -1, 10**400, 1e308, NAN, INF, "", "1.5", "Fe", "../x", "a\0b", "\ud800", "é" * 300, [], [[]], [1, 2, 3], [[1, 2], [3]], ["a"] * 6, [None] * 6, {}, {"magmom": {}}, [{}], [{"species": {}}]]


# --- left out ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("matpes_id", None, "no matpes_id"),
        ("matpes_id", "  ", "no matpes_id"),
        ("matpes_id", ["a"], "matpes_id is no text"),
        ("matpes_id", True, "matpes_id is no text"),
        ("matpes_id", "a\nb", "unprintable"),
        ("matpes_id", "a\ud800", "unprintable"),
        ("matpes_id", "a\u202eb", "unprintable"),
        ("matpes_id", "a" * 201, "more than 200"),
        ("provenance.original_mp_id", {"a": 1}, "original_mp_id is no text"),
        ("provenance.original_mp_id", "\0", "original_mp_id has unprintable"),
        ("structure", None, "no sites"),
        ("structure", {"sites": []}, "no sites"),
        ("structure.lattice", [], "lattice matrix is not 3 × 3 numbers"),
        ("structure.lattice.matrix", [[1, 2], [3, 4]], "lattice matrix is not 3 × 3 numbers"),
        ("structure.lattice.matrix.0.0", "5.6", "lattice matrix is not 3 × 3 numbers"),
        ("structure.lattice.matrix.0.0", NAN, "volume of nan"),
        ("structure.lattice.matrix.0", [0, 0, 0], "volume of 0 Å³ for 2 atoms"),
        ("structure.lattice.matrix", [[1e200, 0, 0], [0, 1e200, 0], [0, 0, 1e200]], "volume of inf"),
        ("structure.sites.1", 3, "site 2 is not occupied by exactly one"),
        ("structure.sites.1.species", [{"element": "Fe", "occu": 0.5}, {"element": "Co", "occu": 0.5}], "site 2 is not occupied by exactly one"),
        ("structure.sites.1.species.0.occu", 0.5, "site 2 is only partly occupied"),
        ("structure.sites.1.species.0.element", "Xx", "site 2 holds 'Xx', which is no element"),
        ("structure.sites.1.species.0.element", ["Na"], "site 2 holds 'a list', which is no element"),
        ("structure.sites.1.species.0.element", "Am", "site 2 holds Am, and CHGNet knows only hydrogen to plutonium"),
        ("structure.sites.1.abc", [0, 0], "coordinates is not 2 × 3 numbers"),
        ("structure.sites.1.abc", [0, 0, "x"], "coordinates is not 2 × 3 numbers"),
        ("structure.sites.1.abc", [0, 0, None], "coordinates are not finite"),
        ("structure.sites.1.abc", [0, 0, 1e308], "coordinates are not finite"),
        ("energy", True, "energy is 'True', not a number"),
        ("energy", "-6.5", "energy is '-6.5', not a number"),
        ("energy", [-6.5], "energy is 'a list', not a number"),
        ("forces", [[0, 0, 0]], "forces is not 2 × 3 numbers"),
        ("forces", [[0, 0, True], [0, 0, 0]], "forces is not 2 × 3 numbers"),
        ("forces", {"a": 1}, "forces is not 2 × 3 numbers"),
        ("stress", [1, 2, 3, 4, 5], "stress is not 6 numbers"),
        ("stress", [1, 2, 3], "stress is not 3 × 3 numbers"),
        ("stress", "none", "stress is not 6 numbers"),
    ],
)
def test_unusable_document_is_rejected_with_its_reason(document: Make, write: Write, path: str, value: object, words: str) -> None:
    good, bad = document("good"), document("bad", {path: value})
    first, second, third = read_matpes(write([good, bad, good]))
    assert isinstance(second, Rejected)
    assert second.position == 2
    assert words in second.reason
    assert second.reason.isprintable()
    assert second.frame_id.isprintable()
    assert path == "matpes_id" or second.frame_id == "bad"
    assert isinstance(first, Frame)
    assert isinstance(third, Frame)


@pytest.mark.parametrize("stray", [3, None, [], "text", {}, {"energy": 1.0}, {"functional": "SCAN"}])
def test_stray_document_is_rejected_on_its_own(document: Make, write: Write, stray: object) -> None:
    items = list(read_matpes(write(json.dumps([document(), stray]))))
    assert isinstance(items[0], Frame)
    assert isinstance(items[1], Rejected)
    assert items[1].reason in ("it is no JSON object", "it has no structure")


def test_rejected_document_without_id_goes_by_its_key(document: Make, write: Write) -> None:
    [first, second] = read_matpes(write(json.dumps({"a": document(), "b\n": document(changes={"matpes_id": None})})))
    assert isinstance(first, Frame)
    assert second == Rejected(2, r"'b\n'", "it has no matpes_id")


# --- kept with a missing label ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "label", "words"),
    [
        ("energy", None, "energy", "no energy"),
        ("energy", NAN, "energy", "energy is not finite"),
        ("energy", 10**400, "energy", "energy is not finite"),
        ("forces", None, "forces", "no forces"),
        ("forces", [[0, 0, NAN], [0, 0, 0]], "forces", "forces are not finite"),
        ("forces", [[0, 0, None], [0, 0, 0]], "forces", "forces are not finite"),
        ("forces", [[0, 0, 10**400], [0, 0, 0]], "forces", "forces are not finite"),
        ("stress", None, "stress", "no stress"),
        ("stress", [INF, 0, 0, 0, 0, 0], "stress", "stress is not finite"),
        ("stress", [[NAN, 0, 0], [0, 0, 0], [0, 0, 0]], "stress", "stress is not finite"),
        ("structure.sites.0.properties", [], "magmoms", "magmoms are not a finite number on every site"),
        ("structure.sites.0.properties.magmom", None, "magmoms", "magmoms are not a finite number on every site"),
        ("structure.sites.0.properties.magmom", NAN, "magmoms", "magmoms are not a finite number on every site"),
        ("structure.sites.0.properties.magmom", [0, 0, 1], "magmoms", "magmoms are not a finite number on every site"),
        ("structure.sites.0.properties.magmom", 10**400, "magmoms", "magmoms are not a finite number on every site"),
    ],
)
def test_unusable_label_is_masked_and_the_others_stay(document: Make, write: Write, path: str, value: object, label: str, words: str) -> None:
    [frame] = read_matpes(write([document(changes={path: value})]))
    assert frame.masked == (words,)
    there = {"energy": np.isfinite(frame.energy)} | {name: getattr(frame, name) is not None for name in ("forces", "stress", "magmoms")}
    assert {name for name, present in there.items() if not present} == {label}


def test_sites_without_moments_are_no_fault(document: Make, write: Write, absent: object) -> None:
    for none in (absent, None, {}, []):
        [frame] = read_matpes(write([document(changes={"structure.sites.0.properties": none, "structure.sites.1.properties": none})]))
        assert frame.magmoms is None
        assert frame.masked == ()


# --- files refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "first document has no 'structure'"),
        ('[{"a": 1}]', "first document has no 'structure'"),
        ("[3]", "first document has no 'structure'"),
    ],
)
def test_json_that_is_no_matpes_is_refused(write: Write, content: str, words: str) -> None:
    with pytest.raises(DataError, match=f"^file.jsonl is .*{words}.*MatPES JSON or JSON.lines"):
        list(read_matpes(write(content)))


def test_real_mptrj_is_refused_by_name(shared: Path) -> None:
    with pytest.raises(DataError, match="MPtrj_sample.json is nested like MPtrj, not like MatPES: name its format, mptrj"):
        list(read_matpes(shared / "MPtrj_sample.json"))


@pytest.mark.parametrize(("name", "shown"), [("SCAN", "SCAN"), ("PBEsol", "PBEsol"), ("", ""), (["PBE"], "a list"), (True, "True"), ("\ud800", r"\\ud800"), ("x" * 99, "x" * 60)])
def test_other_functional_is_refused_by_name(document: Make, write: Write, name: object, shown: str) -> None:
    with pytest.raises(DataError, match=f"file.jsonl: document 2 was computed with .*{shown}.*; xfunc compares PBE and r2SCAN only") as caught:
        list(read_matpes(write([document(), document("b", {"functional": name})]), Functional.PBE))
    assert str(caught.value).isprintable()


def test_missing_functional_is_asked_for(document: Make, write: Write, absent: object) -> None:
    with pytest.raises(DataError, match="document 1 does not name its functional; say which one"):
        list(read_matpes(write([document(changes={"functional": absent})])))


def test_functional_said_by_the_user_does_not_overrule_the_file(document: Make, write: Write) -> None:
    with pytest.raises(DataError, match="document 1 says that it was computed with PBE, not r²SCAN"):
        list(read_matpes(write([document()]), Functional.R2SCAN))


# --- anything anywhere ------------------------------------------------------------------------


def paths(value: Any, way: str = "") -> Iterator[str]:
    """Dotted paths of everything in a document."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield f"{way}{key}"
        yield from paths(inner, f"{way}{key}.")


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_wrong_types_anywhere_are_a_frame_a_rejection_or_said(document: Make, write: Write, absent: object, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(paths(document()))))
    value = data.draw(st.sampled_from(WRONG) | st.just(absent))
    try:
        items = list(read_matpes(write([document("a"), document("b", {path: value})]), data.draw(st.sampled_from([None, Functional.PBE]))))
    except DataError as error:
        assert path == "functional"
        assert str(error).isprintable()
        return
    assert len(items) == 2
    item = items[1]
    if isinstance(item, Rejected):
        assert item.reason.isprintable()
        return
    assert item.lattice.shape == (3, 3)
    assert item.positions.shape == (len(item.numbers), 3)
    assert np.isfinite(item.positions).all()
    assert all(label is None or np.isfinite(label).all() for label in (item.forces, item.stress, item.magmoms))
    assert {"energy is not finite", "no energy"} & set(item.masked) if np.isnan(item.energy) else np.isfinite(item.energy)
