"""A known similarity is undone; what is already in place stays; a wrong part does not pull."""
import numpy as np
import pytest
import trimesh

from utils.evaluation import metrics
from utils.evaluation.alignment import align_similarity
from utils.evaluation.metrics import visible_samples
from utils.mesh.mesh import normalize, plain_mesh
from utils.rendering.cameras import rotation_matrix


@pytest.fixture(scope="module", autouse=True)
def coarse_depths():
    """What one sees of a bumpy ball is as plain in small depth maps, which cost more than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "DEPTH_SIZE", 128)
        yield


def bumpy():
    ball = trimesh.creation.icosphere(4)
    x, y, z = ball.vertices.T
    radius = 1 + 0.25 * np.sin(5 * x + 1) * np.cos(4 * y) + 0.2 * np.sin(6 * z + 0.5)
    return normalize(ball.vertices * radius[:, None] * [0.6, 0.8, 1]), np.asarray(ball.faces)


@pytest.mark.parametrize("degrees, scale, shift", [
    (0, 1, 0), pytest.param(3, 1.05, 0.03, marks=pytest.mark.slow), (5, 0.94, -0.05)])
def test_a_known_motion_is_undone(degrees, scale, shift):
    vertices, faces = bumpy()
    turn = rotation_matrix(np.radians(degrees) * np.array([0.6, -0.64, 0.48]))
    moved = scale * vertices @ turn.T + shift * np.array([1, -0.5, 0.8])
    back, found = align_similarity(moved, faces, plain_mesh(vertices, faces))
    assert np.linalg.norm(back - vertices, axis=1).max() < 4e-3
    assert found.scale == pytest.approx(1 / scale, abs=3e-3)
    np.testing.assert_allclose(found.rotation, turn.T, atol=3e-3)
    np.testing.assert_allclose(found.apply(moved), back)


def test_a_part_that_is_wrong_does_not_pull():
    vertices, faces = bumpy()
    broken = vertices.copy()
    broken[vertices[:, 1] > 0.62] += [0, 0.25, 0]  # a few per cent of the surface, far off
    back, _ = align_similarity(broken + [0.03, 0, 0], faces, plain_mesh(vertices, faces))
    sound = vertices[:, 1] <= 0.62
    assert np.linalg.norm(back - vertices, axis=1)[sound].max() < 0.02


def test_samples_of_the_reference_may_be_given():
    vertices, faces = bumpy()
    reference = plain_mesh(vertices, faces)
    back, _ = align_similarity(vertices + 0.02, faces, reference, visible_samples(reference, 4000, 5))
    assert np.abs(back - vertices).max() < 4e-3


def test_a_flat_sheet_keeps_what_its_plane_leaves_open():
    vertices = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    faces = [[0, 1, 2], [0, 2, 3]]
    back, _ = align_similarity(vertices + [0, 0, 0.05], faces, plain_mesh(vertices, faces))
    np.testing.assert_allclose(back, vertices, atol=1e-3)
