"""Masks of known area on faces of known size."""
import numpy as np
import pytest

from tests.mesh.written_files import POSITIONS, UVS, area
from utils.mesh.mesh import textured_mesh
from utils.mesh.transparency import MOST_PIECES, cut_out, fill_hidden

FACES = np.array([[0, 1, 2], [0, 2, 3]])


def square(uvs=UVS):
    return textured_mesh(POSITIONS, FACES, uvs, FACES, np.zeros((8, 8, 3), np.uint8))


def cut(mesh, mask):
    return cut_out(mesh, [(np.arange(len(mesh.faces)), mask)])


def test_a_mask_that_shows_all_or_nothing():
    mesh = square()
    assert cut(mesh, np.ones((4, 4), bool)) is mesh
    assert len(cut(mesh, np.zeros((4, 4), bool)).faces) == 0


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_the_area_left_is_the_mask_s(share):
    mask = np.zeros((32, 32), bool)
    mask[:, :int(32 * share)] = True
    left = cut(square(), mask)
    assert area(left) == pytest.approx(share, rel=0.01) and left.vertices[left.faces][..., 0].max() <= share + 0.02
    mask = np.zeros((32, 32), bool)
    mask[:int(32 * share)] = True  # the image's first rows are at the top
    left = cut(square(), mask)
    assert area(left) == pytest.approx(share, rel=0.01) and left.vertices[left.faces][..., 1].min() >= 1 - share - 0.02


def test_masks_repeat_outside_the_unit_square():
    mask = np.zeros((16, 16), bool)
    mask[:, :8] = True
    left = cut(square(UVS * 4 - 2), mask)  # four stripes and four gaps
    assert area(left) == pytest.approx(0.5, rel=0.05)
    x = left.vertices[left.faces].mean(axis=1)[:, 0] * 4 % 1
    assert (x < 0.6).all()


def test_pieces_keep_coordinates_colors_and_other_faces():
    mesh = square()
    mesh.corner_colors = mesh.vertices[mesh.faces].astype(np.float32)  # a ramp: color is place
    mask = np.zeros((16, 16), bool)
    mask[4:9, 3:12] = True
    left = cut_out(mesh, [(np.array([1]), mask)])
    corners = left.vertices[left.faces]
    np.testing.assert_allclose(left.corner_colors, corners, atol=1e-6)
    np.testing.assert_allclose(left.corner_uvs, corners[..., :2], atol=1e-6)
    assert (left.face_texture == 0).all() and left.faces[0].tolist() == [0, 1, 2]
    assert 0.5 < area(left) < 0.5 + mask.mean()


def test_pieces_are_bounded():
    rng = np.random.default_rng(0)
    many = np.tile(FACES, (20, 1))
    left = cut(textured_mesh(POSITIONS, many, UVS, many, np.zeros((8, 8, 3), np.uint8)), rng.random((512, 512)) < 0.5)
    assert 20_000 < len(left.faces) <= MOST_PIECES and area(left) == pytest.approx(10, rel=0.1)


def test_hidden_pixels_take_the_nearest_shown_color():
    image = np.zeros((1, 5, 3), np.uint8)
    image[0, 1], image[0, 3] = (200, 0, 0), (0, 200, 0)
    shown = np.array([[False, True, False, True, False]])
    filled = fill_hidden(image, shown)
    assert filled[0, [0, 1]].tolist() == [[200, 0, 0]] * 2 and filled[0, [3, 4]].tolist() == [[0, 200, 0]] * 2
    assert fill_hidden(image, np.zeros((1, 5), bool)) is image
