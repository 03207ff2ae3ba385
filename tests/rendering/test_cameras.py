"""The cameras against the table of views, written out here by hand."""
import numpy as np
import pytest

from config import VIEW_NAMES
from utils.rendering.cameras import (
    NOVEL_ANGLES_DEG,
    OPPOSITE_VIEWS,
    VIEW_ANGLES_DEG,
    VIEW_BASES,
    VIEW_EXTENT,
    camera_basis,
    to_pixels,
)

X, Y, Z = np.eye(3)
# view: (camera stands on, image right, image up)
TABLE = {
    "front": (Z, X, Y),
    "back": (-Z, -X, Y),
    "left": (X, -Z, Y),
    "right": (-X, Z, Y),
    "top": (Y, X, -Z),
    "bottom": (-Y, X, Z),
}


@pytest.mark.parametrize("view", VIEW_NAMES)
def test_view_axes_match_the_table(view):
    toward, right, up = TABLE[view]
    np.testing.assert_array_equal(VIEW_BASES[view], [right, up, toward])


def test_six_views_in_the_order_of_the_config():
    assert list(VIEW_BASES) == list(VIEW_NAMES) == list(VIEW_ANGLES_DEG) == list(TABLE)


@pytest.mark.parametrize("azimuth_deg", [0.0, 22.5, 90.0, 200.0, 359.0])
@pytest.mark.parametrize("elevation_deg", [-90.0, -20.0, 0.0, 30.0, 90.0])
def test_basis_is_right_handed_and_orthonormal(azimuth_deg, elevation_deg):
    basis = camera_basis(azimuth_deg, elevation_deg)
    np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(basis) == pytest.approx(1.0)


def test_camera_stands_at_its_azimuth_and_elevation():
    """Azimuth 90 is on +x; elevation 30 has sine 1/2 above the horizon."""
    np.testing.assert_allclose(camera_basis(90, 30)[2], [np.sqrt(3) / 2, 0.5, 0.0], atol=1e-12)


def test_novel_cameras_are_eight_and_none_of_the_six():
    expected = [(22.5, 30), (67.5, -20), (112.5, 30), (157.5, -20),
                (202.5, 30), (247.5, -20), (292.5, 30), (337.5, -20)]
    assert list(NOVEL_ANGLES_DEG) == expected
    assert not set(NOVEL_ANGLES_DEG) & set(VIEW_ANGLES_DEG.values())


def test_image_covers_the_view_extent_with_row_0_at_the_top():
    corners = np.array([[-VIEW_EXTENT, VIEW_EXTENT, 0.3], [VIEW_EXTENT, -VIEW_EXTENT, -0.3], [0, 0, 0]])
    expected = [[0, 0, 0.3], [100, 100, -0.3], [50, 50, 0]]
    np.testing.assert_allclose(to_pixels(corners, VIEW_BASES["front"], 100), expected, atol=1e-12)


def test_to_pixels_keeps_the_leading_shape():
    assert to_pixels(np.zeros((2, 5, 3)), VIEW_BASES["top"], 32).shape == (2, 5, 3)


@pytest.mark.parametrize("view, opposite, axis", OPPOSITE_VIEWS)
def test_opposite_views_mirror_a_point_along_the_named_axis(view, opposite, axis):
    point, size = np.array([0.31, -0.47, 0.83]), 64
    column, row, depth = to_pixels(point, VIEW_BASES[view], size)
    mirrored = (size - column, row, -depth) if axis == 1 else (column, size - row, -depth)
    np.testing.assert_allclose(to_pixels(point, VIEW_BASES[opposite], size), mirrored, atol=1e-12)
