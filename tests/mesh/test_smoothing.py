"""Smoothing as a thin plate: noise goes, what is larger stays."""
import numpy as np
import pytest
import trimesh

from utils.mesh.smoothing import membrane_matrix, thin_plate_smooth


@pytest.fixture(scope="module")
def ball():
    return trimesh.creation.icosphere(4, 1.0)  # 2562 vertices, about 0.07 apart


def test_a_rough_ball_becomes_smooth_and_keeps_its_size(ball):
    rough = ball.vertices * (1 + 0.01 * np.random.default_rng(0).normal(size=(len(ball.vertices), 1)))
    radii = {stiffness: np.linalg.norm(thin_plate_smooth(rough, ball.faces, stiffness), axis=1) for stiffness in (0, 4, 64)}
    assert np.array_equal(thin_plate_smooth(rough, ball.faces, 0), rough)
    assert radii[64].std() < 0.6 * radii[4].std() < 0.3 * radii[0].std()
    assert radii[64].mean() == pytest.approx(1, abs=0.003)


def test_waves_longer_than_the_plate_is_stiff_stay_and_shorter_ones_go(ball):
    longitude = np.arctan2(ball.vertices[:, 0], ball.vertices[:, 2])
    belt = np.abs(ball.vertices[:, 1]) < 0.3

    def left(waves):
        pattern = np.cos(waves * longitude)
        smooth = thin_plate_smooth(ball.vertices * (1 + 0.02 * pattern)[:, None], ball.faces, 16.0)
        return ((np.linalg.norm(smooth, axis=1) - 1) * pattern)[belt].mean() / (0.02 * (pattern[belt] ** 2).mean())

    assert left(3) > 0.95 and left(30) < 0.2  # 30 edges a wave, 3 edges a wave


def test_of_a_coarse_mesh_nothing_larger_than_the_given_length_goes():
    """A wave of half a unit, drawn by vertices that lie 0.15 apart, would go by the same stiffness that leaves it to 0.03."""
    kept = []
    for subdivisions in (3, 5):
        ball = trimesh.creation.icosphere(subdivisions, 1.0)
        pattern = np.cos(12 * np.arctan2(ball.vertices[:, 0], ball.vertices[:, 2]))
        belt = np.abs(ball.vertices[:, 1]) < 0.3
        for length in (np.inf, 0.1):
            smooth = thin_plate_smooth(ball.vertices * (1 + 0.02 * pattern)[:, None], ball.faces, 64.0, length)
            kept.append(((np.linalg.norm(smooth, axis=1) - 1) * pattern)[belt].mean() / (0.02 * (pattern[belt] ** 2).mean()))
    coarse, bounded, fine, same = kept
    assert coarse < 0.4 and bounded > 0.8 and fine > 0.8 and same == pytest.approx(fine, abs=0.05)


def test_no_vertex_is_moved_farther_than_it_may_be(ball):
    rough = ball.vertices * (1 + 0.01 * np.random.default_rng(0).normal(size=(len(ball.vertices), 1)))
    reach = np.where(ball.vertices[:, 1] > 0.5, 1e-3, np.inf)
    moved = np.linalg.norm(thin_plate_smooth(rough, ball.faces, 64.0, reach=reach) - rough, axis=1)
    assert moved[np.isfinite(reach)].max() < 1.001e-3 < 0.01 < moved.max()


def test_a_flat_plate_stays_flat_and_its_triangles_become_more_even():
    plate = trimesh.creation.box([2, 1, 2])
    for _ in range(4):
        plate = plate.subdivide()
    top = (plate.vertices[:, 1] > 0.49) & (np.abs(plate.vertices[:, [0, 2]]) < 0.6).all(axis=1)
    moved = plate.vertices + 0.02 * np.random.default_rng(0).normal(size=plate.vertices.shape) * top[:, None] * [1, 0, 1]
    smooth = thin_plate_smooth(moved, plate.faces, 4.0)
    assert np.abs(smooth[top, 1] - 0.5).max() < 1e-3
    lengths = [np.linalg.norm(np.diff(vertices[plate.edges_unique], axis=1)[:, 0], axis=1)[top[plate.edges_unique].all(axis=1)]
               for vertices in (moved, smooth)]
    assert lengths[1].std() < 0.8 * lengths[0].std()


def test_a_membrane_is_as_stiff_as_the_squares_of_differences_along_the_edges_of_the_chosen(ball):
    values, among = np.random.default_rng(0).normal(size=len(ball.vertices)), ball.vertices[:, 0] > 0.3
    one, other = ball.edges_unique[among[ball.edges_unique].all(axis=1)].T
    matrix = membrane_matrix(ball.faces, among)
    assert values @ matrix @ values == pytest.approx(((values[one] - values[other]) ** 2).sum())
    assert abs(matrix @ np.ones(len(values))).max() < 1e-9
