"""What is in a dataset at a glance, against the arrays."""

from __future__ import annotations

import numpy as np
import pytest

from xfunc_core.data.library import install_bundled, open_dataset
from xfunc_core.data.overview import COLUMNS, DRAWN, axis, comparison, distributions_of, page_table
from xfunc_core.data.query import EVERYTHING, NUMBERS, Filter, FrameQuery


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    install_bundled(root)
    return [open_dataset(root, name) for name in ("xfunc-dft-r2scan", "matpes-elements-pbe")]


def test_every_number_has_a_label_and_every_drawn_number_is_one(pair):
    assert set(COLUMNS) == set(NUMBERS) >= set(DRAWN)
    assert axis(COLUMNS["pressure"]) == "Pressure (GPa)"
    assert axis(COLUMNS["n_atoms"]) == "Atoms in the cell"


def test_distributions_share_their_edges_and_count_every_frame(pair):
    queries = [FrameQuery(dataset) for dataset in pair]
    found = {d.number: d for d in distributions_of(queries)}
    for number, distribution in found.items():
        assert np.allclose(np.diff(distribution.edges), distribution.edges[1] - distribution.edges[0])
        for dataset, query, counts in zip(pair, queries, distribution.counts, strict=True):
            assert counts.sum() == np.isfinite(query.page(limit=10**6)[number]).sum(), (number, dataset.info.name)
    assert found["largest_moment"].counts[0].sum() == 0  # our set has no moments, MatPES has
    assert found["largest_moment"].counts[1].sum() > 0


def test_whole_numbers_stand_in_bins_of_their_own(pair):
    [atoms] = [d for d in distributions_of([FrameQuery(pair[0])]) if d.number == "n_atoms"]
    values, counts = np.unique(pair[0].table["n_atoms"], return_counts=True)
    drawn = {round((a + b) / 2): int(n) for a, b, n in zip(atoms.edges, atoms.edges[1:], atoms.counts[0], strict=False) if n}
    if values.max() - values.min() < 48:
        assert drawn == dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_what_nobody_has_is_left_out(pair):
    assert "largest_moment" not in {d.number for d in distributions_of([FrameQuery(pair[0])])}
    assert distributions_of([FrameQuery(pair[0])], Filter(any_of=("Xe",))) == []


def test_the_comparison_counts(pair):
    table = comparison([FrameQuery(d) for d in pair], ["ours", "theirs"])
    assert table.loc["Frames"].tolist() == [f"{len(d):,}" for d in pair]
    assert table.loc["Elements"].tolist() == [str(len(d.info.elements)) for d in pair]
    assert table.loc["With magmoms"].tolist() == [f"{d.info.labelled['magmoms']:,}" for d in pair]


def test_a_page_has_units_in_its_column_names(pair):
    table = page_table(FrameQuery(pair[0]), EVERYTHING, "energy_per_atom", False, 0, 5)
    assert {"Formula", "Id", "Material", "Energy (eV/atom)", "Largest force (eV/Å)", "Volume (Å³/atom)"} <= set(table.columns)
    assert table["Energy (eV/atom)"].tolist() == sorted(pair[0].energy_per_atom)[:5]
