"""Walls of solids whose thickness is known, at any angle to the images that measure it."""
import numpy as np
import pytest
import trimesh

from utils.output.wall_thickness import thinnest_wall, wall_thickness
from utils.rendering.cameras import rotation_matrix


def turned(solid, vector=(0.3, -0.5, 0.7)):
    return np.asarray(solid.vertices) @ rotation_matrix(np.array(vector)).T, np.asarray(solid.faces)


@pytest.mark.parametrize("wall", [0.2, 0.05, 0.01])
@pytest.mark.parametrize("vector", [(0, 0, 0), (0.3, -0.5, 0.7)])
def test_a_tube_is_as_thick_as_the_difference_of_its_radii(wall, vector):
    vertices, faces = turned(trimesh.creation.annulus(0.8 - wall, 0.8, 1.0, sections=96).subdivide(), vector)
    assert thinnest_wall(vertices, faces, wall_thickness(vertices, faces)) == pytest.approx(wall, rel=0.01)


def test_a_slab_is_measured_everywhere_and_its_edges_are_no_walls():
    vertices, faces = turned(trimesh.creation.box((1.5, 1.0, 0.25)).subdivide().subdivide())
    thickness = wall_thickness(vertices, faces)
    sides = np.round(np.unique(np.round(thickness[np.isfinite(thickness)], 3)), 3)
    assert set(sides) <= {0.25, 1.0, 1.5} and np.nanmin(thickness) == pytest.approx(0.25, abs=1e-4)


def test_a_thin_fin_on_a_thick_body_is_found_and_a_single_sliver_is_not():
    body = trimesh.creation.box((1, 1, 1)).subdivide().subdivide().subdivide()
    fin = trimesh.creation.box((0.03, 0.6, 0.6)).subdivide().subdivide()
    fin.apply_translation([0, 0, 0.9])
    vertices, faces = turned(trimesh.util.concatenate([body, fin]))
    thickness = wall_thickness(vertices, faces)
    assert thinnest_wall(vertices, faces, thickness) == pytest.approx(0.03, rel=0.02)
    alone = np.full(len(faces), 1.0)
    alone[0] = 1e-6
    assert thinnest_wall(vertices, faces, alone) == 1.0
    assert thinnest_wall(vertices, faces, np.full(len(faces), np.nan)) is None


def test_size_does_not_matter():
    vertices, faces = turned(trimesh.creation.box((1.5, 1.0, 0.25)).subdivide())
    assert thinnest_wall(100 * vertices, faces, wall_thickness(100 * vertices, faces)) == pytest.approx(25, rel=1e-3)
