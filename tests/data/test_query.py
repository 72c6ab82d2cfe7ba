"""Answers of DuckDB against the same questions put to numpy and plain Python, on real and on odd frames."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.library import install_bundled, open_dataset
from xfunc_core.data.query import EVERYTHING, LABELS, NUMBERS, Filter, FrameQuery
from xfunc_core.elements import SYMBOLS, Z_OF
from xfunc_core.errors import ConfigError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("datasets")
    install_bundled(root)
    return open_dataset(root, "xfunc-dft-r2scan")


@pytest.fixture(scope="module")
def elements(dataset: Dataset) -> Dataset:
    return open_dataset(dataset.path.parent, "matpes-elements-pbe")


@pytest.fixture(scope="module")
def query(dataset: Dataset) -> FrameQuery:
    return FrameQuery(dataset)


def frames(dataset: Dataset) -> list[dict]:
    """Every frame as plain values, computed from the arrays."""
    found = []
    for row in range(len(dataset)):
        atoms = dataset.atoms_of(row)
        forces, moments = dataset.atom_array("forces")[atoms], dataset.atom_array("magmoms")[atoms]
        n = int(dataset.table["n_atoms"][row])
        found.append(
            {
                "symbols": {SYMBOLS[z - 1] for z in dataset.atom_array("numbers")[atoms]},
                "n_atoms": n,
                "energy_per_atom": dataset.table["energy"][row] / n,
                "above_fit": float(dataset.frame_array("above_fit")[row]),
                "largest_force": float(np.sqrt((forces**2).sum(axis=1)).max()),
                "pressure": -float(np.trace(np.diag(dataset.frame_array("stress")[row][:3])) / 3),
                "largest_moment": float(np.abs(moments).max()),
                "volume_per_atom": abs(dataset.structure(row).volume) / n,
                "text": f"{dataset.table['frame_id'][row]}\n{dataset.table['material_id'][row]}\n{dataset.table['formula'][row]}".lower(),
            }
        )
    return found


def accepts(wanted: Filter, frame: dict) -> bool:
    symbols = frame["symbols"]
    return (
        (not wanted.any_of or bool(symbols & set(wanted.any_of)))
        and symbols >= set(wanted.all_of)
        and (not wanted.only or symbols <= set(wanted.only))
        and not symbols & set(wanted.without)
        and (not wanted.chemical_system or symbols == set(wanted.chemical_system.split("-")))
        and (not wanted.text or wanted.text.lower() in frame["text"])
        and all(not math.isnan(frame[k]) and (low is None or frame[k] >= low) and (high is None or frame[k] <= high) for k, low, high in wanted.ranges if (low, high) != (None, None))
    )


COMMON = st.lists(st.sampled_from(["O", "Mg", "Li", "F", "Zn", "S", "Na", "Xe"]), max_size=3, unique=True).map(tuple)
RANGES = st.lists(st.tuples(st.sampled_from(sorted(NUMBERS)), st.one_of(st.none(), st.floats(-20, 20)), st.one_of(st.none(), st.floats(-20, 20))), max_size=2).map(tuple)
FILTERS = st.builds(Filter, any_of=COMMON, all_of=COMMON, only=COMMON, without=COMMON, chemical_system=st.sampled_from(["", "", "Mg-O", "O-Mg", "Li-F"]), text=st.sampled_from(["", "", "MgO", "xfunc-", "%", "_", "'", "zz"]), ranges=RANGES)


@settings(max_examples=80, deadline=None)
@given(wanted=FILTERS)
def test_a_filter_finds_exactly_the_frames_it_describes(dataset: Dataset, query: FrameQuery, wanted: Filter) -> None:
    plain = frames_of(dataset)
    expected = [row for row, frame in enumerate(plain) if accepts(wanted, frame)]
    assert query.rows(wanted).tolist() == expected
    assert query.count(wanted) == len(expected)
    counts = Counter(symbol for row in expected for symbol in plain[row]["symbols"])
    found = query.element_counts(wanted)
    assert found == dict(counts)
    assert list(found) == sorted(found, key=Z_OF.__getitem__)
    assert query.n_materials(wanted) == dataset.table["material_id"].iloc[expected].nunique()


_FRAMES: dict[str, list[dict]] = {}


def frames_of(dataset: Dataset) -> list[dict]:
    return _FRAMES.setdefault(dataset.info.name, frames(dataset))


def test_numbers_are_those_of_the_arrays(elements: Dataset) -> None:
    page = FrameQuery(elements).page(limit=1000)
    for row, frame in enumerate(frames_of(elements)):
        for name in NUMBERS:
            assert page[name][row] == pytest.approx(frame[name], rel=1e-9, nan_ok=True), (row, name)


def test_energy_above_the_fit_is_scikit_learns_residual(dataset: Dataset) -> None:
    x, y = dataset.composition, dataset.energy_per_atom
    model = LinearRegression(fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(dataset.frame_array("above_fit"), y - model.predict(x), atol=1e-8)


@pytest.mark.parametrize("number", sorted(NUMBERS))
def test_a_histogram_counts_every_frame_that_has_the_number_once(dataset: Dataset, elements: Dataset, number: str) -> None:
    for one in (dataset, elements):
        values = np.array([frame[number] for frame in frames_of(one)], dtype=float)
        values = values[np.isfinite(values)]
        span = FrameQuery(one).span(number)
        if span is None:
            assert not len(values)
            continue
        assert values.min() - 1e-9 <= span[0] <= span[1] <= values.max() + 1e-9
        edges = np.linspace(span[0], span[1], 11)
        counts = FrameQuery(one).histogram(number, edges)
        assert counts.sum() == len(values)
        inner = np.histogram(np.clip(values, edges[0], np.nextafter(edges[-1], edges[0])), edges)[0]
        on_an_edge = int((np.abs(values[:, None] - edges) < 1e-9).any(axis=1).sum())  # may fall either way
        assert np.abs(np.cumsum(counts) - np.cumsum(inner)).max() <= on_an_edge


@pytest.mark.parametrize("order", sorted(NUMBERS))
def test_pages_put_together_are_the_sorted_whole_with_missing_values_last(elements: Dataset, order: str) -> None:
    query = FrameQuery(elements)
    for descending in (False, True):
        pages = [query.page(order_by=order, descending=descending, offset=offset, limit=10) for offset in range(0, len(elements), 10)]
        rows = [row for page in pages for row in page.index]
        assert sorted(rows) == list(range(len(elements)))
        values = np.array([page[order].to_numpy() for page in [query.page(limit=1000)]][0])[rows]
        known = values[np.isfinite(values)]
        assert np.isfinite(values[: len(known)]).all()
        assert (np.diff(known) * (-1 if descending else 1) >= 0).all()


def test_labels_and_systems_are_counted(dataset: Dataset, elements: Dataset, query: FrameQuery) -> None:
    assert query.label_counts() == dataset.info.labelled
    assert FrameQuery(elements).label_counts() == elements.info.labelled
    systems = query.chemical_systems()
    expected = Counter("-".join(sorted(frame["symbols"])) for frame in frames_of(dataset))
    assert dict(zip(systems["chemical_system"], systems["n_frames"], strict=True)) == dict(expected.most_common(50)) or len(expected) > 50
    assert systems["n_frames"].is_monotonic_decreasing
    for label in LABELS:
        assert query.count(Filter(labels=(label,))) == dataset.info.labelled[label]


def test_a_filter_reads_as_a_sentence() -> None:
    wanted = Filter(any_of=("Fe", "O"), without=("H",), labels=("forces",), hubbard_u=False, text="mp-", ranges=(("above_fit", None, 0.5), ("n_atoms", 2, None), ("pressure", -1, 1), ("largest_force", None, None)))
    assert wanted.words() == "any of Fe, O; none of H; with forces; without Hubbard U; id or formula contains mp-; above fit at most 0.5; n atoms at least 2; pressure at least -1 and at most 1"
    assert EVERYTHING.words() == "all frames"


def test_unknown_hubbard_u_is_neither_with_nor_without(query: FrameQuery) -> None:
    assert query.count(Filter(hubbard_u=True)) == query.count(Filter(hubbard_u=False)) == 0


def test_nothing_found_is_answered_too(query: FrameQuery) -> None:
    nothing = Filter(any_of=("Xe",))
    assert (query.count(nothing), query.element_counts(nothing), len(query.page(nothing))) == (0, {}, 0)
    assert query.span("above_fit", nothing) is None
    assert query.histogram("above_fit", np.linspace(0, 1, 5), nothing).tolist() == [0] * 4


@pytest.mark.parametrize(("make", "words"), [(lambda: Filter(any_of=("Xx",)), "'Xx' is no element"), (lambda: Filter(chemical_system="Fe-?"), "'\\?' is no element"), (lambda: Filter(labels=("bandgap",)), "'bandgap' cannot be filtered"), (lambda: Filter(ranges=(("x; drop", 0, 1),)), "cannot be filtered")])
def test_what_names_nothing_is_refused(make, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_frames_cannot_be_sorted_by_what_is_not_there(query: FrameQuery) -> None:
    with pytest.raises(ConfigError, match="sorted by 'mood'"):
        query.page(order_by="mood")


def test_a_query_cannot_read_other_files(query: FrameQuery, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(Exception, match="disabled"):
        query._connection.execute(f"SELECT * FROM '{tmp_path}/secret.csv'")
    assert query.count(EVERYTHING) > 0
