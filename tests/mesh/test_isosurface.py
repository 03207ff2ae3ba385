"""Surfaces of fields whose zero is known."""
import numpy as np
import pytest
import trimesh

from utils.mesh.isosurface import mesh_from_grid


def as_solid(field, axes, **options):
    return trimesh.Trimesh(*mesh_from_grid(field, axes, **options), process=False)


def test_a_ball_on_cells_that_are_no_cubes_is_closed_looks_outward_and_has_its_volume():
    axes = [np.linspace(-1, 1, 40), np.linspace(-0.9, 1.1, 30) + 2, np.linspace(-1.2, 1, 50)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    ball = as_solid(0.7 - np.sqrt(x**2 + (y - 2) ** 2 + z**2), axes)
    assert ball.is_watertight and ball.is_winding_consistent
    assert ball.volume == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.01)
    assert np.linalg.norm(ball.vertices - [0, 2, 0], axis=1) == pytest.approx(0.7, abs=2e-3)


def test_what_reaches_the_edge_of_the_grid_is_closed_beyond_it():
    axes = [np.linspace(-1, 1, 21)] * 3
    block = as_solid(np.full((21, 21, 21), 0.1, np.float32), axes)
    assert block.is_watertight and 8 < block.volume < 2.2**3


@pytest.mark.parametrize("budget", [60, 400, 5000])
def test_a_budget_of_faces_is_kept_and_leaves_the_mesh_closed(budget):
    axes = [np.linspace(-1.2, 1.2, 60)] * 3
    x, y, z = np.meshgrid(*axes, indexing="ij")
    torus = as_solid(0.3 - np.hypot(np.hypot(x, z) - 0.7, y), axes, faces=budget)
    assert len(torus.faces) <= budget and torus.is_watertight and torus.is_winding_consistent
    if budget > 60:
        assert torus.euler_number == 0 and torus.volume == pytest.approx(2 * np.pi**2 * 0.7 * 0.09, rel=0.05)


def test_a_field_that_is_positive_nowhere_has_no_surface():
    with pytest.raises(ValueError, match="level"):
        mesh_from_grid(np.full((5, 5, 5), -1.0), [np.arange(5.0)] * 3)
