"""Frames as samples, and predictions over many of them."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xfunc_core.data.dataset import Dataset
from xfunc_core.model.predict import predict
from xfunc_core.model.samples import Sample, batches, build_samples

pytestmark = pytest.mark.usefixtures("one_thread")


def test_sample_holds_its_frames_labels(few: Dataset) -> None:
    rows = [3, 0, 17]
    samples, left_out = build_samples(few, rows)
    assert left_out == []
    assert [s.row for s in samples] == rows
    for sample in samples:
        atoms = few.atoms_of(sample.row)
        assert sample.energy == few.table["energy"].iat[sample.row] / sample.n_atoms
        assert sample.graph.atomic_number.tolist() == few.atom_array("numbers")[atoms].tolist()
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
    from pymatgen.core import Lattice, Structure

    atoms = {"numbers": np.array([number]), "forces": np.zeros((1, 3)), "magmoms": np.array([math.nan])}
    return SimpleNamespace(
        atoms_of=lambda row: slice(0, 1),
        atom_array=atoms.__getitem__,
        frame_array={"stress": np.zeros((1, 6))}.__getitem__,
        structure=lambda row: Structure(Lattice.cubic(lattice), [min(number, 94)], [[0, 0, 0]]),
        composition=few.composition[:1],
        energy_per_atom=np.array([0.0]),
        table=few.table,
    )


@pytest.mark.parametrize(("lattice", "number", "reason"), [(6.1, 11, "an atom has no neighbour within 6 Å"), (3.0, 95, "an element beyond plutonium, which CHGNet does not know")])
def test_reason_is_said(few: Dataset, lattice: float, number: int, reason: str) -> None:
    samples, [left_out] = build_samples(crystal(few, lattice, number), [0])
    assert samples == []
    assert left_out == {"frame_id": few.table["frame_id"].iat[0], "reason": reason}


def test_batches_cover_everything_in_order() -> None:
    assert [list(b) for b in batches(range(7), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], 3)) == []


def test_prediction_is_upstreams_frame_by_frame(fresh, mixed: list[Sample]) -> None:
    from chgnet.model import CHGNet

    found = predict(fresh(), mixed, batch_size=4)
    theirs = CHGNet.load(use_device="cpu", verbose=False).predict_graph([s.graph for s in mixed], batch_size=1)
    # float32: batches of another size sum in another order, and angles near 180° amplify it (5e-5 eV/Å seen upstream).
    np.testing.assert_allclose(found.energy, [t["e"] for t in theirs], atol=1e-5)
    np.testing.assert_allclose(found.forces, np.concatenate([t["f"] for t in theirs]), atol=5e-5)
    np.testing.assert_allclose(found.magmoms, np.concatenate([t["m"] for t in theirs]), atol=1e-5)
    stress = np.array([t["s"] for t in theirs])
    np.testing.assert_allclose(found.stress, stress[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], atol=1e-3)  # GPa: 5e-5 eV/Å over an Å
    assert found.stress.shape == (len(mixed), 6)


def test_prediction_leaves_nothing_behind(fresh, mixed: list[Sample]) -> None:
    model = fresh()
    predict(model, mixed)
    assert all(p.grad is None for p in model.parameters())
    assert all(s.graph.atom_frac_coord.grad is None for s in mixed)


def test_no_sample_gives_empty_predictions(fresh) -> None:
    found = predict(fresh(), [])
    assert (found.energy.shape, found.forces.shape, found.stress.shape, found.magmoms.shape) == ((0,), (0, 3), (0, 6), (0,))
