"""Frames as samples, and predictions over many of them."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xfunc_core.data.dataset import Dataset
from xfunc_core.model.predict import BATCH_COST, predict, predict_energies
from xfunc_core.model.samples import Sample, build_samples

pytestmark = pytest.mark.usefixtures("one_thread")


def test_sample_holds_its_frames_labels(few: Dataset) -> None:
    rows = [3, 0, 17]
    samples, left_out = build_samples(few, rows)
    assert left_out == []
    assert [s.row for s in samples] == rows
    for sample in samples:
        atoms = few.atoms_of(sample.row)
        assert sample.energy == few.table["energy"].iat[sample.row] / sample.n_atoms
        assert sample.graph.numbers.tolist() == few.atom_array("numbers")[atoms].tolist()
        np.testing.assert_allclose(sample.forces, few.atom_array("forces")[atoms], rtol=6e-8)  # float32
        xx, yy, zz, yz, xz, xy = few.frame_array("stress")[sample.row]
        np.testing.assert_allclose(sample.stress, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], rtol=6e-8)
        assert torch.isnan(sample.magmoms).all()
        np.testing.assert_allclose(sample.composition, few.composition[sample.row])
        assert sample.composition.sum() == pytest.approx(1.0)


def test_magnetic_moments_lose_their_sign(elements: Dataset) -> None:
    row = elements.table["formula"].tolist().index("Mn")
    [sample], _ = build_samples(elements, [row])
    labels = elements.atom_array("magmoms")[elements.atoms_of(row)]
    assert labels.min() < -0.1  # an antiferromagnet
    np.testing.assert_allclose(sample.magmoms, np.abs(labels), rtol=6e-8)


def test_frames_chgnet_cannot_take_are_named_and_not_replaced(elements: Dataset) -> None:
    samples, left_out = build_samples(elements, range(len(elements)))
    assert len(samples) + len(left_out) == len(elements)
    rows = {s.row for s in samples}
    ids = elements.table["frame_id"]
    assert {ids.iat[row] for row in range(len(elements)) if row not in rows} == {frame["frame_id"] for frame in left_out}
    assert [s.row for s in samples] == sorted(rows)


def crystal(few: Dataset, lattice: float, number: int) -> SimpleNamespace:
    """A dataset of one frame, an atom in a cube."""
    atoms = {"numbers": np.array([number]), "positions": np.zeros((1, 3)), "forces": np.zeros((1, 3)), "magmoms": np.array([math.nan])}
    frames = {"stress": np.zeros((1, 6)), "lattice": lattice * np.eye(3)[None]}
    return SimpleNamespace(
        atoms_of=lambda row: slice(0, 1),
        atom_array=atoms.__getitem__,
        frame_array=frames.__getitem__,
        energy_per_atom=np.array([0.0]),
        table=few.table,
    )


@pytest.mark.parametrize(
    ("lattice", "number", "reason"),
    [
        (6.1, 11, "atom 1 has no neighbour within 6 Å"),
        (3.0, 95, "it holds the atomic number 95, and CHGNet knows 1 to 94 (plutonium)"),
        (math.nan, 11, "its lattice holds a number that is not finite"),
    ],
)
def test_reason_is_said(few: Dataset, lattice: float, number: int, reason: str) -> None:
    samples, [left_out] = build_samples(crystal(few, lattice, number), [0])
    assert samples == []
    assert left_out == {"frame_id": few.table["frame_id"].iat[0], "reason": reason}


def test_samples_from_a_cache_are_the_same(few: Dataset, tmp_path: Path) -> None:
    built, again, found = (build_samples(few, [5, 2], cache)[0] for cache in (None, tmp_path, tmp_path))
    assert len(list(tmp_path.iterdir())) == 1
    for sample, *others in zip(built, again, found, strict=True):
        for other in others:
            assert (other.row, other.energy) == (sample.row, sample.energy)
            assert torch.equal(other.forces, sample.forces)
            np.testing.assert_array_equal(other.graph.bond_vector, sample.graph.bond_vector)
            np.testing.assert_array_equal(other.graph.angle_second, sample.graph.angle_second)


# --- predictions ------------------------------------------------------------------------------


def test_prediction_is_upstreams_frame_by_frame(fresh, mixed: list[Sample], upstream_graphs) -> None:
    from chgnet.model import CHGNet

    found = predict(fresh(), mixed)
    theirs = CHGNet.load(use_device="cpu", verbose=False).predict_graph(upstream_graphs, batch_size=1)
    # float32: batches of another size sum in another order, and angles near 180° amplify it (5e-5 eV/Å seen upstream).
    np.testing.assert_allclose(found.energy, [t["e"] for t in theirs], atol=1e-5)
    np.testing.assert_allclose(found.forces, np.concatenate([t["f"] for t in theirs]), atol=5e-5)
    np.testing.assert_allclose(found.magmoms, np.concatenate([t["m"] for t in theirs]), atol=1e-5)
    stress = np.array([t["s"] for t in theirs])
    np.testing.assert_allclose(found.stress, stress[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], atol=1e-3)  # GPa: 5e-5 eV/Å over an Å
    assert found.stress.shape == (len(mixed), 6)


@pytest.mark.parametrize("cost", [1.0, 500.0])
def test_frames_predicted_in_many_batches_keep_their_order_and_values(fresh, mixed: list[Sample], monkeypatch, cost: float) -> None:
    model, told = fresh().double(), []
    whole = predict(model, mixed)
    monkeypatch.setitem(BATCH_COST, "cpu", cost)
    parts = predict(model, mixed, lambda done, total: told.append((done, total)))
    assert told[-1] == (len(mixed), len(mixed)) and len(told) > 1
    done = [d for d, _ in told]
    assert done == sorted(set(done)) and (cost > 1 or done == [1, 2, 3, 4, 5, 6])
    for name in ("energy", "forces", "stress", "magmoms"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-10, rtol=0)


def test_energies_alone_are_those_of_the_whole_prediction(fresh, mixed: list[Sample]) -> None:
    model = fresh()
    energies = predict_energies(model, [sample.graph for sample in mixed])
    np.testing.assert_allclose(energies, predict(model, mixed).energy, atol=1e-6, rtol=0)  # float32
    assert energies.dtype == np.float64


def test_prediction_leaves_nothing_behind(fresh, mixed: list[Sample]) -> None:
    model = fresh()
    predict(model, mixed)
    assert all(p.grad is None for p in model.parameters())


def test_no_sample_gives_empty_predictions(fresh) -> None:
    found = predict(fresh(), [])
    assert (found.energy.shape, found.forces.shape, found.stress.shape, found.magmoms.shape) == ((0,), (0, 3), (0, 6), (0,))
    assert predict_energies(fresh(), []).shape == (0,)
