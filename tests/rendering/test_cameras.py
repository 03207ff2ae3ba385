"""The cameras against the table of views, written out here by hand."""
import numpy as np
import pytest

from config import VIEW_NAMES
from utils.rendering.cameras import (
    NOVEL_ANGLES_DEG,
    OPPOSITE_VIEWS,
    VIEW_ANGLES_DEG,
    VIEW_BASES,
    VIEW_CAMERAS,
    VIEW_EXTENT,
    Camera,
    camera_as_dict,
    camera_basis,
    camera_from_dict,
    pixel_rays,
    project,
    rotation_matrix,
    rotation_vector,
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


# Cameras of photographs


def some_camera(seed):
    rng = np.random.default_rng(seed)
    return Camera(rotation_matrix(rng.normal(size=3) * 0.1) @ VIEW_BASES["left"], rng.uniform(0.1, 0.3),
                  rng.uniform(0.5, 1), rng.uniform(-0.2, 0.2, 2))


def test_a_point_in_perspective_is_where_hand_calculation_puts_it():
    """Camera on +z, 4 from the origin. A point at z = 2 is 2 away, half as far: it appears twice as large."""
    camera = Camera(VIEW_BASES["front"], 1 / 4, 0.5, (0.1, -0.2))
    x, y, depth = project([0.6, 0.4, 2.0], camera)
    assert (x, y, depth) == pytest.approx((0.5 * 2 * 0.6 + 0.1, -0.5 * 2 * 0.4 - 0.2, 2.0))
    # of 200 pixels: x = 0.7 lies at column (0.7 + 1) * 100, y = -0.6 at row 40
    np.testing.assert_allclose(to_pixels(np.array([0.6, 0.4, 2.0]), camera, 200), [170, 40, 2.0])
    # and at z = -4, twice as far away as the origin, half as large
    np.testing.assert_allclose(project([0.6, 0.4, -4.0], camera)[:2], [0.5 / 2 * 0.6 + 0.1, -0.5 / 2 * 0.4 - 0.2])


def test_points_at_and_behind_the_camera_have_no_place_in_the_image():
    camera = Camera(VIEW_BASES["front"], 1 / 4)
    places = project([[0.1, 0.1, 3.99], [0.1, 0.1, 4.0], [0.1, 0.1, 5.0]], camera)
    assert np.isfinite(places[0]).all() and np.isnan(places[1:, :2]).all()


@pytest.mark.parametrize("view", VIEW_NAMES)
def test_the_named_cameras_are_the_exact_orthographic_ones(view):
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    camera = VIEW_CAMERAS[view]
    assert camera.is_exact() and not Camera(VIEW_BASES[view], 0.1).is_exact()
    assert not Camera(VIEW_BASES[view], 0, 0.9).is_exact() and not Camera(VIEW_BASES[view], shift=(0, 0.1)).is_exact()
    toward, right, up = TABLE[view]
    x, y, depth = project(points, camera).T
    np.testing.assert_allclose(x, points @ right / 1.1, atol=1e-12)
    np.testing.assert_allclose(y, -(points @ up) / 1.1, atol=1e-12)
    np.testing.assert_allclose(depth, points @ toward, atol=1e-12)
    np.testing.assert_array_equal(to_pixels(points, camera, 77), to_pixels(points, VIEW_BASES[view], 77))
    np.testing.assert_allclose(to_pixels(points, camera, 77)[:, :2], (project(points, camera)[:, :2] + 1) * 38.5)


@pytest.mark.parametrize("seed", range(4))
def test_a_ray_meets_the_point_its_pixel_shows_at_that_points_depth(seed):
    points = np.random.default_rng(seed).uniform(-1, 1, (40, 3))
    for camera in (some_camera(seed), VIEW_BASES["top"]):
        places = project(points, camera)
        origins, directions = pixel_rays(camera, places[:, :2])
        np.testing.assert_allclose(origins + places[:, 2:] * directions, points, atol=1e-12)


def test_all_lines_of_sight_meet_in_the_camera():
    camera = some_camera(5)
    origins, directions = pixel_rays(camera, np.random.default_rng(0).uniform(-1, 1, (20, 2)))
    distance = 1 / camera.inverse_distance
    np.testing.assert_allclose(origins + distance * directions, np.tile(distance * camera.basis[2], (20, 1)), atol=1e-9)


def test_rotations_follow_the_right_hand_and_come_back_as_their_vector():
    quarter = rotation_matrix([0, 0, np.pi / 2])
    np.testing.assert_allclose(quarter @ X, Y, atol=1e-12)
    np.testing.assert_allclose(rotation_matrix(np.zeros(3)), np.eye(3), atol=0)
    vectors = np.random.default_rng(0).normal(size=(20, 3)) * np.array([1e-9, 1e-3, 0.1, 1.0] * 5)[:, None]
    matrices = rotation_matrix(vectors)
    np.testing.assert_allclose(matrices @ matrices.swapaxes(1, 2), np.tile(np.eye(3), (20, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(rotation_vector(matrices), vectors, atol=1e-9)


def test_a_camera_survives_json():
    import json

    camera = some_camera(1)
    again = camera_from_dict(json.loads(json.dumps(camera_as_dict(camera))))
    points = np.random.default_rng(0).uniform(-1, 1, (5, 3))
    np.testing.assert_array_equal(project(points, again), project(points, camera))
