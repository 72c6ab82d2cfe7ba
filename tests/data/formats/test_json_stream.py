"""Documents out of files of any container, any size, and in any state."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfunc_core.data.formats import json_stream
from xfunc_core.data.formats.json_stream import read_documents, read_members, read_nested
from xfunc_core.data.formats.opening import open_file
from xfunc_core.errors import DataError

SMALL = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(max_size=12)
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=12)
OBJECTS = st.dictionaries(st.text(max_size=5), DOCUMENTS, max_size=4)
INDENTS = st.sampled_from([None, 0, 1, 40])


def save(path: Path, text: str, zipped: bool) -> Path:
    path.write_bytes(gzip.compress(text.encode(), 1) if zipped else text.encode())
    return path


# --- the three containers ---------------------------------------------------------------------


@SMALL
@given(st.lists(DOCUMENTS, max_size=6), st.integers(1, 70), INDENTS, st.booleans(), st.booleans())
def test_list_reads_back_equal(tmp_path: Path, documents: list[Any], chunk: int, indent: int | None, ascii_only: bool, zipped: bool) -> None:
    path = save(tmp_path / "a", json.dumps(documents, indent=indent, ensure_ascii=ascii_only), zipped)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK", chunk)
        assert list(read_documents(path)) == [(None, document) for document in documents]


@SMALL
@given(OBJECTS, st.lists(DOCUMENTS, max_size=5), st.integers(1, 70), st.sampled_from(["\n", "\r\n", "\n\n", " "]), st.booleans())
def test_lines_read_back_equal(tmp_path: Path, first: dict[str, Any], rest: list[Any], chunk: int, end: str, zipped: bool) -> None:
    first = {"matpes_id": "1"} | first  # a file of lines that starts with an object, as all known ones do
    path = save(tmp_path / "a", end.join(json.dumps(document) for document in [first, *rest]), zipped)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK", chunk)
        assert list(read_documents(path)) == [(None, document) for document in [first, *rest]]


@SMALL
@given(OBJECTS, st.dictionaries(st.text(max_size=5), DOCUMENTS, max_size=5), st.integers(1, 70), INDENTS, st.booleans())
def test_object_of_documents_reads_back_equal(tmp_path: Path, first: dict[str, Any], rest: dict[str, Any], chunk: int, indent: int | None, zipped: bool) -> None:
    content = {"first": {"structure": {}} | first} | {key: value for key, value in rest.items() if key != "first"}
    path = save(tmp_path / "a", json.dumps(content, indent=indent), zipped)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK", chunk)
        assert list(read_documents(path)) == list(content.items())


@SMALL
@given(st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=5), DOCUMENTS, max_size=4) | st.integers() | st.lists(st.integers(), max_size=3), max_size=4), st.integers(1, 70), INDENTS, st.booleans())
def test_nested_objects_read_back_equal(tmp_path: Path, content: dict[str, Any], chunk: int, indent: int | None, zipped: bool) -> None:
    path = save(tmp_path / "a", json.dumps(content, indent=indent), zipped)
    flat = [(outer, inner, value) for outer, entry in content.items() for inner, value in (entry.items() if isinstance(entry, dict) else [("", entry)])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK", chunk)
        assert list(read_nested(path)) == flat
        assert list(read_members(path)) == list(content.items())


@pytest.mark.parametrize(
    ("content", "words"),
    [("[1]", "an object is missing"), ("", "an object is missing"), ('{"a": {"b": 1}', "a comma or '}' is missing"), ('{"a": {"b": 1,}}', "missing after the last comma"), ('{"a": {"b": 1}} 3', "text after the end"), ('{"a": {3: 1}}', "a key is missing"), ('{"a": {"b": ' + "[" * 100_000, "nested too deeply")],
)
def test_broken_nesting_is_said(write: Callable[..., Path], content: str, words: str) -> None:
    for read in (read_nested, read_members):
        with pytest.raises(DataError, match=f"^file.jsonl: document .*({words}|not valid JSON)"):
            list(read(write(content)))


@pytest.mark.parametrize("chunk", range(1, 14))
def test_number_cut_anywhere_by_the_window_is_whole(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    numbers = [-1.5e-10, 1234567, 0.25, 2e+99, float("-inf"), True, 0]
    text = "[-1.5e-10, 1234567, 0.25, 2e+99, -Infinity, true, 0"
    assert [value for _, value in read_documents(write(text + "]"))] == numbers
    assert [value for _, value in read_documents(write('{"a": 1}\n' + text[1:].replace(",", "\n")))] == [{"a": 1}, *numbers]


def test_real_files_read_back_equal(shared: Path, raw: Callable[[Path], list[Any]]) -> None:
    for name in ("MatPES-PBE-Element-Refs.json.gz", "MatPES-PBE-elements-sample.json.gz", "MatPES-R2SCAN-elements-sample.jsonl", "MPtrj_sample.json", "dft/xfunc-dft-PBE.jsonl.gz"):
        assert [document for _, document in read_documents(shared / name)] == raw(shared / name)


def test_first_member_larger_than_a_chunk_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 64)
    line = {"metadata": {"long": "x" * 5000}, "structure": {}}
    assert list(read_documents(save(tmp_path / "lines", json.dumps(line), False))) == [(None, line)]
    assert list(read_documents(save(tmp_path / "object", json.dumps({"a": line, "b": 1}), True))) == [("a", line), ("b", 1)]


def test_numbers_beyond_json_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a", "\ufeff[NaN, 1e999, -Infinity, 1" + "0" * 400 + "]", False)
    (_, nan), *rest = read_documents(path)
    assert nan != nan
    assert [value for _, value in rest] == [float("inf"), float("-inf"), 10**400]


# --- damage -----------------------------------------------------------------------------------


@SMALL
@given(st.data())
def test_cut_at_any_byte_is_said(tmp_path: Path, bundled_folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(path.name for path in bundled_folder.iterdir())))
    whole = (bundled_folder / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(DataError, match=name):
        list(read_documents(tmp_path / name))


@SMALL
@given(st.data())
def test_cut_in_plain_lines_is_said_or_leaves_whole_documents(tmp_path: Path, bundled_folder: Path, data: st.DataObject) -> None:
    lines = gzip.decompress((bundled_folder / "xfunc-dft-PBE.jsonl.gz").read_bytes()).splitlines(keepends=True)[:4]
    whole = b"".join(lines)
    ends = [sum(map(len, lines[:n])) - newline for n in range(1, 5) for newline in (0, 1)]
    cut = data.draw(st.integers(0, len(whole)) | st.sampled_from(ends))
    (tmp_path / "cut.jsonl").write_bytes(whole[:cut])
    try:
        read = [document for _, document in read_documents(tmp_path / "cut.jsonl")]
    except DataError:
        assert cut not in ends
    else:
        assert cut in ends
        assert read == [json.loads(line) for line in lines[: len(read)]]
        assert read


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: choose a file with frames"),
        (b" \n\t ", "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not a text file in UTF-8"),
        (bytes(100), "is no JSON file"),
        (b"\x1f\x8b", "damaged or cut gzip file"),
        (b"\x1f\x8b\x08\x00garbage garbage garbage", "damaged or cut gzip file"),
        (gzip.compress(b"[1, 2]")[:-1], "damaged or cut gzip file"),
        (b"energy,forces\n1,2\n", r"is no JSON file \(it starts with 'e'\)"),
        (b"[1, 2", "document 3 is not valid JSON"),
        (b"[1, 2,]", "document is missing after the last comma"),
        (b"[1 2]", "a comma or ']' is missing"),
        (b"[1] 2", "text after the end"),
        (b'{"a": {"structure": 1}, 3: 4}', "a key is missing"),
        (b'{"a": {"structure": 1}, "b"  4}', "a ':' is missing"),
        (b'{"a": {"structure": 1} "b": 4}', "a comma or '}' is missing"),
        (b'{"a": {"structure": 1}', "document 2 is not valid JSON"),
        (b'{"a": 1}\n{"b": }\n', "document 2 is not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[" + b"1" * 5000 + b"]", "Exceeds the limit"),
    ],
)
def test_what_is_no_json_is_said(write: Callable[..., Path], content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        list(read_documents(write(content)))
    assert str(caught.value).startswith("file.jsonl")


def test_documents_before_the_damage_come_first(write: Callable[..., Path]) -> None:
    reader = read_documents(write(b'[{"a": 1}, {"b": 2}, {"c": '))
    assert [next(reader), next(reader)] == [(None, {"a": 1}), (None, {"b": 2})]
    with pytest.raises(DataError, match="document 3"):
        next(reader)


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in ((tmp_path, "not a file"), (tmp_path / "pipe", "not a file"), (Path("/dev/zero"), "not a file"), (tmp_path / "none", "No such file"), (tmp_path / "a\0b", "null")):
        with pytest.raises(DataError, match=words):
            list(read_documents(path))
        with pytest.raises(DataError, match=words):
            open_file(path)


# --- limits -----------------------------------------------------------------------------------


def test_document_at_the_limit_is_read_and_beyond_it_is_said(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_DOCUMENT", 1000)
    good = '"' + "x" * 998 + '"'
    assert [len(value) for _, value in read_documents(write(f"[{good}, {good}]"))] == [998, 998]
    with pytest.raises(DataError, match="document 2 is longer than 1,000 characters"):
        list(read_documents(write(f'[{good}, "{"x" * 5000}"]')))
    with pytest.raises(DataError, match="document 1 is longer than 1,000 characters"):
        list(read_documents(write('{"a": "' + "x" * 5000)))


@pytest.mark.parametrize("content", [b'["' + b"x" * 30_000_000, b"[1," + b" " * 30_000_000 + b"2", b'{"structure": "' + b"x" * 30_000_000], ids=["text", "space", "line"])
def test_gzip_bomb_stays_small_in_memory(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(json_stream, "MAX_DOCUMENT", 200_000)
    monkeypatch.setattr(json_stream, "CHUNK", 10_000)
    path = write(gzip.compress(content, 1))
    tracemalloc.start()
    with pytest.raises(DataError, match="longer than|not valid JSON"):
        list(read_documents(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def characters_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Characters handed to the decoder in all, and decoder calls, until a file is read or refused."""
    lengths: list[int] = []

    class Counting(json.JSONDecoder):
        def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
            lengths.append(len(s) - idx)
            return super().raw_decode(s, idx)

    monkeypatch.setattr(json_stream.json, "JSONDecoder", Counting)
    with suppress(DataError):
        list(read_documents(path))
    return sum(lengths), len(lengths)


def test_document_over_many_chunks_is_decoded_in_linear_work(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 100)
    path = write("[[" + "1, " * 100_000 + "1]]")
    assert characters_read(path, monkeypatch)[0] < 4 * path.stat().st_size


def test_mistake_early_in_a_large_file_is_found_without_reading_on(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 1000)
    path = write("[" + '{"a": oops},' * 10_000 + "1]")
    with pytest.raises(DataError, match=r"document 1 is not valid JSON \(Expecting value\)"):
        list(read_documents(path))
    assert characters_read(path, monkeypatch)[1] == 1
