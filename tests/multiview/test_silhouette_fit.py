"""A mesh's silhouettes brought back to those of the images: balls and their silhouettes, whose radii are known."""
import numpy as np
import pytest
import trimesh

from tests.multiview.test_texture_projection import hand_held, images_of
from utils.mesh.mesh import plain_mesh
from utils.multiview.silhouette_fit import FARTHEST, fit_silhouettes
from utils.multiview.visual_hull import silhouette_sdf, surface_clearance
from utils.rendering.cameras import VIEW_BASES, VIEW_CAMERAS
from utils.rendering.rasterizer import render_views

BALL = trimesh.creation.icosphere(5, 1.0)
VERTICES, FACES = np.array(BALL.vertices), np.array(BALL.faces)
TOWARD = np.stack([basis[2] for basis in VIEW_BASES.values()])
CONTOUR = (np.abs(VERTICES @ TOWARD.T) < 0.03).any(axis=1)  # on one of the three great circles that views see edge-on
AWAY = (np.abs(VERTICES @ TOWARD.T) > 0.4).all(axis=1)  # in the middle of an octant


@pytest.fixture(scope="module")
def distances():
    """Of the silhouettes of a unit ball in the six exact views."""
    return silhouette_sdf(images_of(plain_mesh(VERTICES, FACES), 256)[1])


def iou(vertices, cameras=VIEW_CAMERAS):
    masks = [np.stack([image[..., 3] >= 128 for image in render_views(plain_mesh(points, FACES), 256, 2, cameras).values()])
             for points in (vertices, VERTICES)]
    return (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()


def test_contours_that_fell_short_reach_the_boundary_and_the_rest_stays(distances):
    fitted = fit_silhouettes(0.98 * VERTICES, FACES, distances)
    radius = np.linalg.norm(fitted, axis=1)
    assert np.median(radius[CONTOUR]) == pytest.approx(1, abs=0.004)
    assert np.median(radius[AWAY]) == pytest.approx(0.98, abs=0.002)
    assert iou(0.98 * VERTICES) < 0.97 and iou(fitted) > 0.99


def test_a_mesh_that_fits_stays_where_it_is(distances):
    assert np.linalg.norm(fit_silhouettes(VERTICES, FACES, distances) - VERTICES, axis=1).max() < 0.004


@pytest.mark.slow
def test_contours_reach_boundaries_in_photographs_too():
    cameras = hand_held()
    views = dict(enumerate(cameras))
    masks = np.stack([image[..., 3] for image in render_views(plain_mesh(VERTICES, FACES), 256, 2, views).values()])
    fitted = fit_silhouettes(0.98 * VERTICES, FACES, silhouette_sdf(masks.astype(np.float32) / 255), cameras)
    assert iou(0.98 * VERTICES, views) < 0.97 and iou(fitted, views) > 0.988


def test_an_edge_that_is_unsure_pulls_as_much_less(distances):
    sure = np.ones_like(distances)
    sure[0] = sure[1] = 0  # front and back: the great circle in the plane of x and y
    fitted = np.linalg.norm(fit_silhouettes(0.98 * VERTICES, FACES, distances, edge_confidence=sure), axis=1)
    circles = np.abs(VERTICES @ TOWARD.T) < 0.03
    unsure = circles[:, 0] & ~circles[:, 2:].any(axis=1) & (np.abs(VERTICES @ TOWARD[2:].T) > 0.3).all(axis=1)
    assert np.median(fitted[unsure]) < 0.984
    assert np.median(fitted[circles[:, 2]]) > 0.995


@pytest.mark.slow
def test_a_boundary_too_far_off_belongs_to_something_else(distances):
    small = (1 - FARTHEST - 0.02) * VERTICES
    np.testing.assert_allclose(fit_silhouettes(small, FACES, distances), small, atol=1e-6)


def test_nothing_leaves_the_hull_by_its_own_move(distances):
    rough = VERTICES * (0.975 + 0.02 * np.random.default_rng(0).random((len(VERTICES), 1)))
    fitted = fit_silhouettes(rough, FACES, distances)
    assert surface_clearance(distances, fitted, list(VIEW_CAMERAS.values())).min() > -2e-3


@pytest.mark.slow
def test_what_sticks_out_is_drawn_in(distances):
    fitted = fit_silhouettes(1.015 * VERTICES, FACES, distances)
    assert np.median(np.linalg.norm(fitted, axis=1)[CONTOUR]) == pytest.approx(1, abs=0.005)
