"""Scenes made by the real crystal-toolkit, and their plotly drawings, against pymatgen's geometry."""

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from xfunc_core.plots.scene import BONDS_UP_TO, structure_scene
from xfunc_core.plots.structure import VIEW, flat_structure_figure, structure_figure


@pytest.fixture(scope="module")
def salt():
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def atoms(figure):
    return [t for t in figure.data if t.mode == "markers"]


def test_every_atom_is_drawn_where_it_is(salt):
    found = structure_scene(salt)
    figure = structure_figure(found.scene)
    drawn = np.concatenate([np.stack([t.x, t.y, t.z], axis=1) for t in atoms(figure)])
    centred = drawn - drawn.mean(axis=0)
    assert len(drawn) >= len(salt)  # images on the cell's faces come on top
    distances = np.linalg.norm(centred[:, None] - centred, axis=-1)
    assert distances[distances > 0.01].min() == pytest.approx(5.64 / 2)


def test_bonds_are_found_and_colours_belong_to_elements(salt):
    found = structure_scene(salt)
    assert found.has_bonds
    assert list(found.colours) == ["Na", "Cl"]
    assert {t.marker.color for t in atoms(structure_figure(found.scene))} == set(found.colours.values())
    assert json.loads(json.dumps(found.scene)) == found.scene


def test_a_lone_atom_has_no_bonds(salt):
    assert not structure_scene(Structure(Lattice.cubic(20), ["He"], [[0, 0, 0]])).has_bonds


def test_large_structures_are_drawn_without_bonds(salt):
    large = salt.make_supercell(4, in_place=False)
    assert len(large) > BONDS_UP_TO
    assert not structure_scene(large).has_bonds


def test_the_flat_drawing_is_vector_graphics_seen_from_the_front(salt):
    figure = flat_structure_figure(structure_scene(salt).scene)
    assert {t.type for t in figure.data} == {"scatter"}
    np.testing.assert_allclose(VIEW @ VIEW.T, np.eye(3), atol=2e-3)  # a rotation: nothing is stretched


def test_atoms_shrink_in_large_structures(salt):
    small = atoms(structure_figure(structure_scene(salt).scene))[0].marker.size
    large = atoms(structure_figure(structure_scene(salt.make_supercell(3, in_place=False)).scene))[0].marker.size
    assert large < small
