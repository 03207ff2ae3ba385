"""Coherence of silhouettes against bodies whose silhouettes are known in closed form, and numerical derivatives."""
import numpy as np
import pytest

from config import VIEW_NAMES
from utils.multiview.silhouette_coherence import camera_set, clearances, make_silhouettes
from utils.multiview.visual_hull import hull_box, hull_on_grid, silhouette_sdf
from utils.rendering.cameras import VIEW_BASES, VIEW_CAMERAS, Camera, pixel_rays, rotation_matrix

# Ellipsoids (center, radii) that together look different from every side; their common box is worked out by hand:
# x from -0.55 to 0.35, y from -0.35 to 0.65, z from -0.95 to 0.95, so this is what takes it to the normalized frame.
PARTS = (((0.0, -0.1, 0.0), (0.35, 0.25, 0.95)), ((0.1, 0.2, -0.5), (0.2, 0.45, 0.3)), ((-0.25, 0.0, 0.55), (0.3, 0.15, 0.2)))
BODY = tuple(((np.array(center) - [-0.1, 0.15, 0]) / 0.95, np.array(radii) / 0.95) for center, radii in PARTS)
BALL = (((0.0, 0.0, 0.0), (0.8, 0.8, 0.8)),)


def silhouette(body, camera, size, samples=3):
    """(size, size) coverage: a line of sight meets an ellipsoid where a quadratic has a root."""
    center = (np.arange(size * samples) + 0.5) * (2 / (size * samples)) - 1
    origins, directions = pixel_rays(camera, np.stack(np.meshgrid(center, center), axis=-1))
    hit = np.zeros(origins.shape[:2], bool)
    for middle, radii in body:
        start, along = (origins - middle) / radii, directions / radii
        a, b, c = (along**2).sum(-1), (start * along).sum(-1), (start**2).sum(-1) - 1
        hit |= b * b >= a * c
    return hit.reshape(size, samples, size, samples).mean(axis=(1, 3))


def hand_cameras(seed, tilt_deg=2.5, q=0.2):
    rng = np.random.default_rng(seed)
    return [Camera(rotation_matrix(np.radians(rng.uniform(-tilt_deg, tilt_deg, 3))) @ VIEW_BASES[view],
                   q * rng.uniform(0.92, 1.08), rng.uniform(0.65, 0.75), rng.uniform(-0.05, 0.05, 2))
            for view in VIEW_NAMES]


def silhouettes_of(body, cameras, size=160, points=60):
    return make_silhouettes(np.stack([silhouette(body, camera, size) for camera in cameras]), points, 320)


@pytest.mark.parametrize("q", [0.0, 0.2])
def test_under_true_cameras_every_line_of_sight_touches_the_hull(q):
    cameras = hand_cameras(0, q=q)
    clearance, _ = clearances(silhouettes_of(BODY, cameras), camera_set(cameras), 64)
    assert clearance.shape == (6 * 60,) and clearance.min() > -0.4


def test_a_line_misses_the_hull_by_as_much_as_its_image_is_shifted():
    """A ball of 0.8 / 1.1 of the half-image: shifted by 5 pixels upwards in the front view, its lowest line of sight lies
    5 pixels inside the others' hull and its highest 5 pixels outside."""
    size, pixels = 160, 5
    silhouettes = silhouettes_of(BALL, [VIEW_CAMERAS[view] for view in VIEW_NAMES], size, 180)
    silhouettes.points[0, :, 1] -= pixels * 2 / size
    clearance, _ = clearances(silhouettes, camera_set([VIEW_CAMERAS[view] for view in VIEW_NAMES]), 64)
    front = clearance[:180]
    # Above the ball only the left and right views count: their silhouettes end as high as the ball does.
    assert front[silhouettes.points[0, :, 1].argmin()] == pytest.approx(-pixels, abs=0.3)
    assert front[silhouettes.points[0, :, 1].argmax()] > 2


def test_derivatives_are_those_of_finite_differences():
    rng = np.random.default_rng(1)
    cameras = camera_set(hand_cameras(2))
    silhouettes = silhouettes_of(BODY, hand_cameras(2))
    moved = cameras.moved(rng.normal(size=(6, 7)) * [0.04, 0.04, 0.04, 0.02, 0.02, 0.02, 0.02])
    clearance, jacobian = clearances(silhouettes, moved, 64)
    missing = clearance < -0.5
    assert missing.sum() > 40
    for parameter in range(7):
        step = np.zeros((6, 7))
        step[:, parameter] = rng.normal(size=6) * 1e-5
        plus, minus = (clearances(silhouettes, moved.moved(sign * step), 64)[0] for sign in (1, -1))
        error = np.abs((plus - minus) / 2 - jacobian @ step.ravel())[missing] / 1e-5
        assert np.median(error) < 1e-3, parameter
        assert np.quantile(error, 0.8) < 5, parameter  # of some 100; a few lie on creases of the distance


def test_moving_all_cameras_alike_changes_nothing():
    """The frame's own rotation is invisible, for any cameras: rows of the Jacobian cancel."""
    silhouettes, cameras = silhouettes_of(BODY, hand_cameras(3)), camera_set(hand_cameras(4))
    _, jacobian = clearances(silhouettes, cameras, 64)
    common = jacobian.reshape(len(jacobian), 6, 7)[:, :, :3].sum(axis=1)
    assert np.abs(common).max() < 1e-6 * np.abs(jacobian).max()


def test_the_hull_of_named_cameras_is_the_orthographic_one():
    cameras = [VIEW_CAMERAS[view] for view in VIEW_NAMES]
    distances = silhouette_sdf(np.stack([silhouette(BODY, camera, 96) for camera in cameras]))
    axes = [np.linspace(-1, 1, 20), np.linspace(-0.9, 0.8, 17), np.linspace(-1, 1, 23)]
    np.testing.assert_allclose(hull_on_grid(distances, axes, cameras), hull_on_grid(distances, axes), atol=1e-5)


def test_a_near_cameras_hull_measures_distances_in_space():
    """A ball of radius 0.8 seen in perspective: at the center every silhouette is 0.8 D / sqrt(D^2 - 0.64) away."""
    q, scale = 0.25, 0.7
    cameras = [Camera(VIEW_BASES[view], q, scale) for view in VIEW_NAMES]
    distances = silhouette_sdf(np.stack([silhouette(BALL, camera, 256) for camera in cameras]))
    middle = hull_on_grid(distances, [np.zeros(1)] * 3, cameras)[0, 0, 0]
    assert middle == pytest.approx(0.8 * 4 / np.sqrt(16 - 0.64), abs=0.01)
    # Toward the camera, at depth 0.5, w = 1 - 0.125: the same cone is narrower by that share.
    nearer = hull_on_grid(distances[:1], [np.zeros(1), np.zeros(1), np.array([0.5])], cameras[:1])[0, 0, 0]
    assert nearer == pytest.approx(0.8 * 4 / np.sqrt(16 - 0.64) * 0.875, abs=0.01)
    box = hull_box(distances, cameras)
    np.testing.assert_allclose(box, [[-0.8] * 3, [0.8] * 3], atol=0.07)  # the hull of cones is a little larger
    assert (np.abs(box) > 0.79).all()
