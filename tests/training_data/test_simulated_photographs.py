"""Simulated photographs against bodies whose silhouettes, shading and shadows are known in closed form."""
import numpy as np
import pytest
import trimesh

from config import VIEW_NAMES
from utils.mesh.mesh import colored_mesh, normalize, plain_mesh
from utils.rendering.cameras import VIEW_BASES, Camera, project, rotation_vector
from utils.training_data.simulated_photographs import (
    LEVELS,
    Level,
    Scene,
    background,
    corner_normals,
    lit,
    photograph,
    random_cameras,
    random_surface,
)


def ball(color=(1, 1, 1), subdivisions=4):
    solid = trimesh.creation.icosphere(subdivisions)
    return plain_mesh(solid.vertices, solid.faces, color)


def brick():
    solid = trimesh.creation.box((1.0, 0.6, 2.0))
    return colored_mesh(solid.vertices, solid.faces, (solid.vertices + 1) / 2)


def white_scene(lamp, ambient=0.5, reach=6.0):
    return Scene(np.asarray(lamp, float), ambient, np.full((512, 512, 3), 0.8, np.float32), reach, np.float32([.9] * 3))


def test_a_ball_seen_from_three_lengths_fills_its_tangent_cone():
    """The silhouette of a unit ball from distance D has radius s D / sqrt(D^2 - 1), which the zoom makes 1 / 1.1."""
    images, masks, cameras = photograph(ball(), "perspective", np.random.default_rng(0), 160)
    distance = 3 * 2
    for view in VIEW_NAMES:
        camera = cameras[view]
        assert camera.inverse_distance == pytest.approx(1 / distance)
        np.testing.assert_array_equal(camera.basis, VIEW_BASES[view])
        # The nearest vertices of the mesh to the tangent circle fall short of it by less than 1 %
        assert camera.scale * distance / np.sqrt(distance**2 - 1) == pytest.approx(1 / 1.1, rel=1e-2)
        radius = camera.scale * distance / np.sqrt(distance**2 - 1)
        assert masks[view].mean() == pytest.approx(np.pi * radius**2 / 4, rel=5e-3)
        assert images[view].shape == (160, 160, 4) and images[view].dtype == np.uint8
        np.testing.assert_array_equal(images[view][..., 3], np.round(masks[view] * 255))


@pytest.mark.parametrize("level", ["hand", "photo"])
def test_cameras_keep_to_the_ranges_of_their_level(level):
    found = [random_cameras(brick(), LEVELS[level], np.random.default_rng(seed)) for seed in range(60)]
    cameras = [(view, camera) for views in found for view, camera in views.items()]
    lengths = np.array([1 / camera.inverse_distance / 2 for _, camera in cameras])
    assert 2.25 <= lengths.min() < 2.3 and 2.7 < lengths.max() <= 2.75
    tilts = np.degrees([rotation_vector(camera.basis @ VIEW_BASES[view].T) for view, camera in cameras])
    assert 2.8 < tilts.max() <= 3.01 and -3.01 <= tilts.min() < -2.8  # up to three small turns about each axis
    shifts = np.array([camera.shift for _, camera in cameras])
    assert 0.05 < np.abs(shifts).max() <= 0.06
    for views in found:
        scales = [camera.scale for camera in views.values()]
        assert 1 < max(scales) / min(scales) <= 1.25 / 1.05
    for _, camera in cameras:
        places = project(brick().vertices, camera)
        assert np.abs(places[:, :2]).max() <= 0.99 + 1e-9, "the object is cut off"


def test_masks_are_what_the_true_cameras_project():
    mesh = brick()
    _, masks, cameras = photograph(mesh, "hand", np.random.default_rng(3), 200)
    for view, camera in cameras.items():
        column, row = (project(mesh.vertices, camera)[:, :2].T + 1) * 100
        rows, columns = np.nonzero(masks[view] >= 0.5)
        box = [columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]
        np.testing.assert_allclose(box, [column.min(), column.max(), row.min(), row.max()], atol=1.5)


def test_exposure_changes_by_at_most_its_range_and_each_view_has_its_own():
    images, masks, _ = photograph(ball((0.5, 0.5, 0.5)), "hand", np.random.default_rng(1), 64)
    gains = np.array([images[view][masks[view] == 1][0, :3] / (0.5 * 255) for view in VIEW_NAMES])
    assert np.ptp(gains.mean(axis=1)) > 0.03
    assert gains.min() > 0.88 * 0.97 - 0.01 and gains.max() < 1.12 * 1.03 + 0.01
    balance = gains / gains.mean(axis=1, keepdims=True)
    assert 0.005 < np.abs(balance - 1).max() < 0.045


def test_the_same_generator_takes_the_same_photographs():
    first, again = (photograph(brick(), "photo", np.random.default_rng(7), 64) for _ in range(2))
    other = photograph(brick(), "photo", np.random.default_rng(8), 64)
    for view in VIEW_NAMES:
        assert first[0][view].shape == (64, 64, 3)
        np.testing.assert_array_equal(first[0][view], again[0][view])
        assert (first[0][view] != other[0][view]).any()


def test_a_matte_ball_is_brightest_toward_the_lamp_and_ambient_in_its_shade():
    """Lambert: with the lamp at azimuth 90 (on +x), the face at +x gets everything, the one at -x the ambient share."""
    mesh, camera = ball(), Camera(VIEW_BASES["front"], 0.2)
    colors = lit(mesh, camera, white_scene([1, 0, 0], ambient=0.3)).corner_colors.mean(axis=(1, 2))
    centers = mesh.vertices[mesh.faces].mean(axis=1)
    seen = centers @ camera.basis[2] > 0.25  # faces before the horizon of the camera
    expected = (0.3 + 0.7 * np.maximum(centers[:, 0], 0)) ** (1 / 2.2)
    np.testing.assert_allclose(colors[seen], expected[seen], atol=0.02)
    turned = plain_mesh(mesh.vertices, mesh.faces[:, ::-1], (1, 1, 1))  # which way faces are wound must not matter
    np.testing.assert_allclose(lit(turned, camera, white_scene([1, 0, 0], 0.3)).corner_colors.mean(axis=(1, 2)), colors,
                               atol=1e-6)


def test_edges_of_a_box_stay_sharp_and_a_ball_becomes_smooth():
    box, round_one = brick(), ball(subdivisions=2)
    np.testing.assert_allclose(corner_normals(box), np.repeat(box.normals()[:, None], 3, axis=1), atol=1e-9)
    corners = round_one.vertices[round_one.faces]
    assert np.einsum("kcj,kcj->kc", corner_normals(round_one), corners).min() > 0.995


def test_the_shadow_falls_away_from_the_lamp_and_touches_the_object():
    """A brick of height 0.6 under a lamp at 45 degrees on +x: its shadow reaches 0.6 beyond its edge at -x."""
    camera = Camera(VIEW_BASES["top"], 0.01, 0.25)
    shown = background(brick(), "top", camera, white_scene([np.sqrt(.5), np.sqrt(.5), 0], 0.4), np.random.default_rng(0),
                       256)[..., 0]
    wide = Camera(VIEW_BASES["top"], 0.01, 0.25)

    def at(x, z):  # brightness of the table, free of the falloff by comparing both sides' far ends
        column, row = (project([x, -0.3, z], wide)[:2] + 1) * 128
        return shown[int(row), int(column)]
    lit_side, shadow_side, far = at(1.2, 0), at(-0.8, 0), at(-2.5, 0)
    assert shadow_side < 0.85 * lit_side and far > 0.9 * lit_side
    assert at(0.55, 0) < 0.97 * at(1.2, 0), "contact darkens the table at the lit side too"


def test_side_views_show_a_wall_above_the_horizon_and_the_table_below():
    """An untilted camera at the height of the object's center: the table is seen only below the middle of the image."""
    scene = white_scene([0, 1, 0])
    scene.table[:] = (0.2, 0.9, 0.2)
    shown = background(brick(), "front", Camera(VIEW_BASES["front"], 0.2, 0.7), scene, np.random.default_rng(0), 128)
    green = shown[..., 1] > 2 * shown[..., 0]
    assert not green[:60].any() and green[-4:].all()
    under = background(brick(), "bottom", Camera(VIEW_BASES["bottom"], 0.2, 0.7), scene.of_view("bottom"),
                       np.random.default_rng(0), 128)
    assert (under[..., 1] > 2 * under[..., 0]).all(), "seen from below, the object lies upside down on the table"


def test_generated_tables_are_pale_differ_and_repeat_without_a_seam():
    surfaces = [random_surface(np.random.default_rng(seed)) for seed in range(24)]
    brightness = np.array([surface.mean() for surface in surfaces])
    assert brightness.min() > 0.4 and brightness.max() < 1 and np.ptp(brightness) > 0.1
    busy = np.array([surface.std(axis=(0, 1)).mean() for surface in surfaces])
    assert busy.min() < 0.03 < 0.05 < busy.max()
    for surface in surfaces:
        assert surface.shape == (512, 512, 3) and surface.dtype == np.float32
        step = np.abs(np.diff(surface, axis=0)).mean()
        assert np.abs(surface[0] - surface[-1]).mean() < 2.5 * step + 0.02


def test_a_level_of_ones_own_can_be_passed():
    _, _, cameras = photograph(brick(), Level(lengths=1.6), np.random.default_rng(0), 48)
    assert all(camera.inverse_distance == pytest.approx(1 / 3.2) for camera in cameras.values())


def test_thin_and_open_meshes_can_be_photographed():
    vertices = normalize(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]))
    images, masks, _ = photograph(plain_mesh(vertices, [[0, 1, 2]]), "photo", np.random.default_rng(0), 64)
    assert masks["front"].mean() > 0.1 and masks["left"].mean() < 0.05
    assert all(np.isfinite(image).all() for image in images.values())
