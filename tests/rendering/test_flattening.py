"""Charts laid flat: what can be unrolled keeps its lengths, what cannot is pressed flat without turning over."""
import numpy as np
import pytest
import trimesh

from utils.rendering.flattening import lay_flat, stretches


def sheet(height, count=24):
    """A triangulated square [-1, 1]^2 with `height(x, y)`, seen from above (+z toward the camera of the front view)."""
    line = np.linspace(-1, 1, count)
    x, y = np.meshgrid(line, line, indexing="ij")
    vertices = np.stack([x, y, height(x, y)], axis=-1).reshape(-1, 3)
    corner = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)).ravel()
    faces = np.concatenate([np.stack([corner, corner + count, corner + count + 1], axis=1),
                            np.stack([corner, corner + count + 1, corner + 1], axis=1)])
    return vertices, faces


def laid(vertices, faces):
    surface = trimesh.Trimesh(vertices, faces, process=False)
    flat, corners = lay_flat(vertices, faces, np.zeros(len(faces), int), surface.face_normals, surface.area_faces)
    return flat[corners], vertices[faces]


def test_a_rolled_sheet_is_unrolled_to_its_true_lengths():
    vertices, faces = sheet(lambda x, y: 0 * x)
    bent = np.stack([np.sin(vertices[:, 0]), vertices[:, 1], np.cos(vertices[:, 0])], axis=1)  # around a cylinder of radius 1
    flat, corners = laid(bent, faces)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        assert np.allclose(np.linalg.norm(flat[:, a] - flat[:, b], axis=1),
                           np.linalg.norm(corners[:, a] - corners[:, b], axis=1), rtol=2e-3)
    width, height = np.ptp(flat.reshape(-1, 2), axis=0)
    assert width == pytest.approx(2, rel=0.01) and height == pytest.approx(2, rel=0.01)  # seen from above: 2 sin 1


def test_a_thorn_that_leans_over_is_pressed_flat_and_the_rest_keeps_its_size():
    vertices, faces = sheet(lambda x, y: 0 * x)
    tip = np.exp(-(vertices[:, 0] ** 2 + vertices[:, 1] ** 2) / 0.01)
    vertices = vertices + tip[:, None] * [0.8, 0, 0.3]
    flat, corners = laid(vertices, faces)
    most, least = stretches(flat, corners)
    assert (least > 0).all(), "none is turned over"
    far = np.linalg.norm(corners.mean(axis=1)[:, :2], axis=1) > 0.6
    assert most[far].max() < 1.2 and least[far].min() > 0.8


def test_a_closed_chart_which_faces_nowhere_has_a_place_all_the_same():
    ball = trimesh.creation.icosahedron()
    flat, _ = laid(ball.vertices, ball.faces)
    alone, _ = laid(np.zeros((3, 3)), np.array([[0, 1, 2]]))
    assert np.isfinite(flat).all() and np.isfinite(alone).all()


def test_stretches_are_the_singular_values_of_the_map_and_the_least_is_negative_in_a_mirror():
    triangle = np.array([[0.0, 0, 5], [1, 0, 5], [0, 1, 5]])
    turn = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3])[:3, :3]
    angle = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    scaled = triangle[:, :2] @ np.diag([3.0, 0.5]) @ angle.T
    most, least = stretches(np.stack([scaled, scaled * [-1, 1], triangle[:, :2]]), np.stack([triangle @ turn.T] * 3))
    assert most == pytest.approx([3, 3, 1]) and least == pytest.approx([0.5, -0.5, 1])
