"""Cameras found from silhouettes that are drawn in closed form with known cameras."""
import io
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy import ndimage

from config import VIEW_NAMES, UserError
from tests.multiview.test_silhouette_coherence import BODY, hand_cameras, silhouette
from tests.multiview.test_visual_hull import solid_mesh
from utils.multiview.silhouette_coherence import camera_set
from utils.multiview.visual_hull import hull_box, silhouette_sdf
from utils.rendering.cameras import VIEW_BASES, VIEW_CAMERAS, VIEW_EXTENT, Camera, project, rotation_matrix, rotation_vector
from utils.rendering.rasterizer import render
from utils.views import calibration
from utils.views.calibration import (
    CalibrationReport,
    calibrate_views,
    closeness_from_exif,
    in_normalized_frame,
    named_cameras,
)

NAMED = np.stack([VIEW_BASES[view] for view in VIEW_NAMES])
SIZE = 150


def masks_of(cameras, size=SIZE):
    return np.stack([silhouette(BODY, camera, size) for camera in cameras])


@pytest.fixture(scope="module")
def photographs():
    """Masks and true cameras in the normalized frame."""
    true = hand_cameras(0)
    masks = masks_of(true)
    return masks, in_normalized_frame(camera_set(true), NAMED, masks)


@pytest.fixture(scope="module")
def photographed(photographs):
    """The same, and what calibration finds."""
    cameras, report = calibrate_views(photographs[0])
    return *photographs, camera_set(cameras), report


@pytest.mark.slow
def test_hand_held_cameras_are_found(photographed):
    _, true, found, report = photographed
    assert report.kind == "found"
    assert report.error_before > 0.7 and report.error_after < 0.05
    np.testing.assert_allclose(found.inverse_distances, true.inverse_distances, atol=0.05)
    np.testing.assert_allclose(found.scales / true.scales, 1, atol=0.05)
    np.testing.assert_allclose(found.shifts, true.shifts, atol=0.05)
    turn = np.degrees(np.linalg.norm(rotation_vector(found.bases @ true.bases.swapaxes(1, 2)), axis=1))
    tilt = np.degrees(np.linalg.norm(rotation_vector(NAMED @ true.bases.swapaxes(1, 2)), axis=1))
    assert turn.mean() < 2.5 and np.median(turn) < 0.8 * np.median(tilt)


def test_what_is_found_is_said_in_one_line():
    report = CalibrationReport("found", 3.21, 0.04, {}, 2.52, {"front": 1.0, "back": 2.75}, 9)
    assert report.text() == ("cameras: perspective from about 2.5 object lengths, tilts up to 2.8 degrees; silhouettes fit one "
                             "another to less than 0.1 px, 3.2 px before")


@pytest.mark.slow
def test_the_report_tells_of_the_cameras_that_are_returned(photographed):
    _, _, found, report = photographed
    assert report.lengths == pytest.approx(1 / (2 * np.median(found.inverse_distances)))
    assert list(report.tilts_deg) == list(VIEW_NAMES) == list(report.error_views)
    assert np.mean(list(report.error_views.values())) == pytest.approx(report.error_after)


@pytest.mark.slow
def test_the_found_frame_is_the_normalized_one(photographed):
    masks, _, found, _ = photographed
    box = hull_box(silhouette_sdf(masks.astype(np.float32)), found.as_list())
    np.testing.assert_allclose(box.mean(axis=0), 0, atol=0.015)
    assert (box[1] - box[0]).max() == pytest.approx(2, abs=0.02)
    mean_turn = rotation_vector(NAMED.swapaxes(1, 2) @ found.bases).mean(axis=0)
    np.testing.assert_allclose(mean_turn, 0, atol=1e-5)


@pytest.mark.slow
def test_found_cameras_carve_a_better_hull_than_named_ones(photographed):
    """Share of points of the true body, of which the box is normalized, that every view sees inside its silhouette."""
    masks, _, found, _ = photographed
    rng = np.random.default_rng(0)
    points = np.concatenate([np.array(center) + np.array(radii) * (0.9 * directions / np.linalg.norm(
        directions, axis=1, keepdims=True)) for center, radii in BODY for directions in [rng.normal(size=(300, 3))]])
    def share(cameras):
        kept = np.ones(len(points), bool)
        for camera, mask in zip(cameras, masks):
            column, row = ((project(points, camera)[:, :2].T + 1) * SIZE / 2).astype(int).clip(0, SIZE - 1)
            kept &= mask[row, column] > 0.5
        return kept.mean()
    assert share(found.as_list()) > share(named_cameras(masks)) + 0.05 and share(found.as_list()) > 0.85


def test_exact_orthographic_views_keep_their_cameras():
    cameras, report = calibrate_views(masks_of([VIEW_CAMERAS[view] for view in VIEW_NAMES]))
    assert report.kind == "exact" and report.lengths == np.inf and report.error_after < 0.3
    for view, camera in zip(VIEW_NAMES, cameras):
        assert camera is VIEW_CAMERAS[view]
    assert report.text().startswith("cameras: exact orthographic views")


@pytest.mark.parametrize("quality, size", [(60, 200), (25, 128)])
def test_renders_through_jpeg_keep_their_cameras(quality, size):
    masks = []
    for mask in masks_of([VIEW_CAMERAS[view] for view in VIEW_NAMES], size):
        packed = io.BytesIO()
        Image.fromarray(np.uint8(np.round(mask * 255))).save(packed, "JPEG", quality=quality)
        masks.append(np.asarray(Image.open(packed), np.float32) / 255)
    cameras, report = calibrate_views(np.stack(masks))
    assert report.kind == "exact" and all(camera.is_exact() for camera in cameras)


@pytest.mark.slow
def test_photographs_of_a_can_that_are_framed_like_renders_are_no_renders():
    """Their boxes are those of orthographic views of a can that is a fifth too high: from near by its rims stand out."""
    can = trimesh.creation.cylinder(1.0, 0.8, sections=96)
    can.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    masks = []
    for hand in hand_cameras(2):
        for _ in range(3):  # until the box is centered and as wide as a render's
            mask = render(solid_mesh(can), hand, 2 * SIZE)[..., 3] / 255
            edges = [np.flatnonzero(mask.max(axis=axis) > 0.5)[[0, -1]] + [0, 1] for axis in (0, 1)]
            low, high = np.array(edges).T / SIZE - 1
            grow = 2 / VIEW_EXTENT / (high - low).max()
            hand = replace(hand, scale=hand.scale * grow, shift=(np.array(hand.shift) - (low + high) / 2) * grow)
        masks.append(mask.reshape(SIZE, 2, SIZE, 2).mean(axis=(1, 3)))
    masks = np.stack(masks)

    cameras, report = calibrate_views(masks)
    assert report.kind == "found" and report.error_after < 0.05 < 0.5 < report.error_before < 1
    assert 0.1 < np.median([camera.inverse_distance for camera in cameras]) < 0.3  # 0.2 in truth


@pytest.mark.slow
def test_orthographic_images_of_other_framing_get_scales_and_shifts_alone():
    rng = np.random.default_rng(0)
    true = [Camera(VIEW_BASES[view], 0, rng.uniform(0.6, 0.85), rng.uniform(-0.1, 0.1, 2)) for view in VIEW_NAMES]
    cameras, report = calibrate_views(masks_of(true))
    assert report.kind == "framed" and report.error_after < 0.3
    scales = np.array([camera.scale for camera in cameras]) / [camera.scale for camera in true]
    np.testing.assert_allclose(scales / scales.mean(), 1, atol=0.01)
    for view, camera in zip(VIEW_NAMES, cameras):
        assert camera.inverse_distance == 0
        np.testing.assert_allclose(camera.basis, VIEW_BASES[view], atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("views", [VIEW_NAMES[:5], ("front", "left", "top"), ("front", "back", "left", "top")])
def test_fewer_views_are_calibrated_too(views):
    true = dict(zip(VIEW_NAMES, hand_cameras(0)))
    masks = {view: silhouette(BODY, true[view], SIZE) for view in views}
    cameras, report = calibrate_views(masks)
    assert len(cameras) == len(views) and list(report.tilts_deg) == list(views)
    assert report.error_after < 0.3  # three views that are not opposite contradict each other hardly at all
    if len(views) == 5:
        q = np.array([camera.inverse_distance for camera in cameras])
        np.testing.assert_allclose(q, 0.2, atol=0.08)


@pytest.mark.slow
def test_a_wrong_part_of_one_mask_does_not_carry_the_cameras_away():
    true = hand_cameras(0)
    masks = masks_of(true)
    masks[2, 20:50, 90:120] = 1  # a piece of background taken for the object
    found = camera_set(calibrate_views(masks)[0])
    np.testing.assert_allclose(found.inverse_distances, 0.2, atol=0.08)
    tilts = np.degrees(np.linalg.norm(rotation_vector(NAMED.swapaxes(1, 2) @ found.bases), axis=1))
    assert tilts.max() < 7


@pytest.mark.slow
def test_holes_that_no_body_has_in_all_six_masks_do_not_hold_the_cameras_amiss(photographed):
    masks, _, true_found, _ = photographed
    spoilt = masks.copy()
    for mask in spoilt:
        mask[ndimage.binary_erosion(mask > 0.5, iterations=3)] = 0  # a rim is left
    cameras, report = calibrate_views(spoilt)
    assert report.kind == "found" and report.error_after < 0.05
    np.testing.assert_allclose(camera_set(cameras).shifts, true_found.shifts, atol=0.01)


def test_cameras_found_far_away_give_way_to_better_ones_of_the_filled_outlines(photographs, monkeypatch):
    """However small their error is: holes that are wrong can be explained from far away."""
    masks, _ = photographs
    holed = masks.copy()
    inside = ndimage.distance_transform_edt(masks[0] > 0.5)
    hole = (0, *np.unravel_index(inside.argmax(), inside.shape))
    holed[hole] = 0
    far = CalibrationReport("found", 5.0, 0.5, {}, 8.0, {}, 9)
    near = replace(far, lengths=3.0, error_after=0.05)

    def calibrated(given, *_):
        return list(VIEW_CAMERAS.values()), near if given[hole] else far

    monkeypatch.setattr(calibration, "_calibrated", calibrated)
    assert calibrate_views(holed)[1] is near
    far = replace(far, lengths=4.0)
    assert calibrate_views(holed)[1] is far, "photographs from so near are left as they are"


@pytest.mark.slow
def test_a_focal_length_decides_where_silhouettes_do_not():
    """Of a ball, silhouettes say nothing about distance: what EXIF says stays."""
    ball = (((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),)
    true = [replace_q(camera, 0.28) for camera in hand_cameras(0)]
    masks = np.stack([silhouette(ball, camera, SIZE) for camera in true])
    for q in (0.12, 0.28):
        cameras, report = calibrate_views(masks, closeness=q)
        if report.kind == "found":
            assert np.mean([camera.inverse_distance for camera in cameras]) == pytest.approx(q, abs=0.04)


def replace_q(camera, q):
    return Camera(camera.basis, q, camera.scale, camera.shift)


def test_closeness_from_a_focal_length_by_hand():
    """A 36 mm lens sees 26.57 degrees to either side (tan 1/2). From 4 units away the image's half-width is 2, so half an
    object of length 2 covers half of it."""
    assert closeness_from_exif(36, share=0.5) == pytest.approx(1 / 4)
    assert closeness_from_exif(36, share=1.0, crop=0.5) == pytest.approx(1 / 4)


def test_the_normalized_frame_does_not_depend_on_the_frame_before(photographs):
    masks, true = photographs
    turned = camera_set([Camera(camera.basis @ rotation_matrix([0.02, -0.05, 0.03]).T, camera.inverse_distance * 1.3,
                                camera.scale * 1.3, camera.shift) for camera in true.as_list()])
    again = in_normalized_frame(turned, NAMED, masks)
    np.testing.assert_allclose(again.bases, true.bases, atol=3e-3)
    np.testing.assert_allclose(again.inverse_distances, true.inverse_distances, rtol=0.01)
    np.testing.assert_allclose(again.scales, true.scales, rtol=0.01)


@pytest.mark.parametrize("views, masks, words", [
    (("front", "back"), np.zeros, "at least 3"), (VIEW_NAMES, np.zeros, "front view's mask is empty"),
    (VIEW_NAMES, np.ones, "front view's mask is full")])
def test_masks_that_say_nothing_are_named(views, masks, words):
    given = masks((len(views), 32, 32))
    if len(views) == 2:
        given[:, 8:20, 8:20] = 1
    with pytest.raises(UserError, match=words):
        calibrate_views(given, views)


def test_views_that_do_not_fit_the_masks_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError):
        calibrate_views(np.zeros((3, 8, 8)), ("front", "left", "middle"))
