"""A surface moved to where its images agree: a dented ball becomes round again, as far as two views see it."""
import functools

import numpy as np
import pytest
import trimesh

from tests.multiview.test_texture_projection import hand_held, images_of
from utils.mesh.mesh import colored_mesh, plain_mesh
from utils.mesh.smoothing import vertex_normals
from utils.multiview import photo_consistency, texture_projection
from utils.multiview.photo_consistency import (
    CLEARANCE_FRACTION,
    LARGEST_MOVE,
    _step_bounds,
    image_motion,
    refine_by_photo_consistency,
)
from utils.multiview.texture_projection import facing_cosines, visibility
from utils.multiview.visual_hull import silhouette_sdf
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT, Camera, project
from utils.rendering.rasterizer import over_white, render, render_views


@pytest.fixture(scope="module", autouse=True)
def coarse_depths():
    """Who sees what of a ball or a plate is plain in small maps, and asking it costs most of a small mesh's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texture_projection, "DEPTH_SIZE", 128)
        yield


def unit_ball(subdivisions=4):
    """Vertices and faces of a ball, by default as fine as a coarse reconstruction: an edge spans eight pixels."""
    ball = trimesh.creation.icosphere(subdivisions, 1.0)
    return np.array(ball.vertices), np.array(ball.faces)


@functools.cache
def drawn_ball(paint, subdivisions):
    vertices, faces = unit_ball(subdivisions)
    return vertices, faces, *images_of(colored_mesh(vertices, faces, paint(vertices)), 256)


def painted_ball(paint, subdivisions=4):
    """Vertices and faces of a unit ball, and its six images, colored by a function of its vertices."""
    return tuple(array.copy() for array in drawn_ball(paint, subdivisions))


def patterned(points):
    """Waves in all directions, a few pixels to some dozen long."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(24, 3)) * rng.uniform(3, 14, (24, 1))
    waves = np.sin(points @ directions.T + rng.uniform(0, 6, 24))
    return np.clip(0.5 + waves @ rng.normal(size=(24, 3)) * 0.08, 0, 1)


def dented(vertices):
    """The ball's vertices, pushed in by up to 0.04 in broad dents: never out of the hull."""
    depth = 0.02 * (1 + np.sin(4 * vertices[:, 0] + 1) * np.sin(4 * vertices[:, 1]) * np.cos(4 * vertices[:, 2]))
    return vertices * (1 - depth)[:, None]


def seen_by_two(vertices, faces):
    cosine = np.stack([vertices @ basis[2] for basis in VIEW_BASES.values()])
    return ((cosine > 0.3) & visibility(vertices, vertices, faces)).sum(axis=0) >= 2


@pytest.mark.parametrize("exposure", [pytest.param(1.0, marks=pytest.mark.slow), 0.75],
                         ids=["as they are", "one image darker"])
def test_a_patterned_ball_that_was_dented_becomes_round_again(exposure):
    vertices, faces, images, masks = painted_ball(patterned)
    images[2] *= exposure
    start, distances = dented(vertices), silhouette_sdf(masks)
    found = refine_by_photo_consistency(start, faces, images, masks, distances)
    two = seen_by_two(vertices, faces)
    before, after = (np.abs(np.linalg.norm(points, axis=1) - 1)[two] for points in (start, found))
    assert before.mean() > 0.018 and after.mean() < 0.13 * before.mean(), "0.16 where a darker image is not allowed for"
    assert (np.einsum("ij,ij->i", vertex_normals(found, faces), vertices) > 0.8).all(), "nothing folds"


@pytest.mark.slow
def test_a_ball_comes_out_of_its_visual_hull_further_than_one_pass_takes_it():
    vertices, faces, images, masks = painted_ball(patterned, subdivisions=5)
    widest = np.sqrt(1 - vertices**2).max(axis=1)  # the hull is what three cylinders of radius 1 have in common
    found = refine_by_photo_consistency(vertices / widest[:, None], faces, images, masks, silhouette_sdf(masks))
    two = seen_by_two(vertices, faces)
    off = np.abs(np.linalg.norm(found, axis=1) - 1)[two].mean()
    assert off < 0.3 * (1 / widest - 1)[two].mean(), "after one pass 0.36"


@pytest.mark.slow
def test_a_plain_ball_that_light_alone_moves_is_moved_once():
    vertices, faces, images, masks = painted_ball(lambda points: np.full((len(points), 3), 0.6))
    place = np.linspace(-1, 1, images.shape[1])
    for image, mask, angle in zip(images, masks, (0.3, 2, 4, 5, 1, 3)):
        light = 1 + 0.3 * (np.cos(angle) * place[None] + np.sin(angle) * place[:, None])
        image[:] = np.where(mask[..., None] > 0, np.clip(image * light[..., None], 0, 1), 1)
    found = refine_by_photo_consistency(vertices, faces, images, masks, silhouette_sdf(masks))
    off = np.abs(np.linalg.norm(found, axis=1) - 1)[seen_by_two(vertices, faces)].mean()
    assert off < 0.09, "after a second pass 0.13"


def test_points_move_in_each_image_as_they_are_projected_before_and_after_a_step():
    rng, cameras = np.random.default_rng(0), hand_held() + [Camera(basis) for basis in VIEW_BASES.values()]
    points, normals = rng.uniform(-0.8, 0.8, (2, 50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    right, up, cosine = image_motion(points, normals, cameras)
    for number, camera in enumerate(cameras):
        ends = [project(points + sign * 1e-4 * normals, camera)[:, :2] for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / 2e-4 * VIEW_EXTENT
        assert np.allclose(np.stack([right[number], -up[number]], axis=1), expected, atol=1e-5)
        if camera.inverse_distance:
            sight = camera.basis[2] / camera.inverse_distance - points
            assert np.allclose(cosine[number], (sight * normals).sum(axis=1) / np.linalg.norm(sight, axis=1))


@pytest.mark.slow
def test_a_dented_ball_becomes_round_again_in_photographs_whose_cameras_are_known():
    (vertices, faces), cameras = unit_ball(), hand_held()
    drawn = np.stack([render(colored_mesh(vertices, faces, patterned(vertices)), camera, 256) for camera in cameras])
    images, masks = over_white(drawn).astype(np.float32) / 255, drawn[..., 3].astype(np.float32) / 255
    start, distances = dented(vertices), silhouette_sdf(masks)
    found = refine_by_photo_consistency(start, faces, images, masks, distances, cameras)
    seen = visibility(vertices, vertices, faces, cameras) & (facing_cosines(vertices, vertices, cameras) > 0.3)
    two = seen.sum(axis=0) >= 2
    before, after = (np.abs(np.linalg.norm(points, axis=1) - 1)[two] for points in (start, found))
    assert before.mean() > 0.018 and after.mean() < 0.4 * before.mean()


def test_a_true_surface_stays_where_it_is():
    vertices, faces, images, masks = painted_ball(patterned)
    found = refine_by_photo_consistency(vertices, faces, images, masks, silhouette_sdf(masks))
    assert np.linalg.norm(found - vertices, axis=1).mean() < 2e-3


@pytest.mark.slow
def test_a_highlight_that_one_image_alone_shows_does_not_pull_the_surface():
    vertices, faces, images, masks = painted_ball(patterned)
    images[0, 114:142, 186:214] = 1  # front, about x = 0.62: seen from the left as well
    found = refine_by_photo_consistency(vertices, faces, images, masks, silhouette_sdf(masks))
    near = (np.abs(vertices[:, 0] - 0.62) < 0.2) & (np.abs(vertices[:, 1]) < 0.2) & (vertices[:, 2] > 0)
    assert near.sum() > 40 and np.linalg.norm(found - vertices, axis=1)[near].mean() < 0.006


@pytest.mark.slow
def test_a_plain_surface_stays_where_it_is():
    vertices, faces, images, masks = painted_ball(lambda points: np.full_like(points, 0.4))
    start = dented(vertices)
    assert np.abs(refine_by_photo_consistency(start, faces, images, masks, silhouette_sdf(masks)) - start).max() < 1e-3


@pytest.mark.slow
def test_what_lies_on_the_hull_comes_off_it_where_images_disagree_and_outlines_stay():
    vertices, faces, images, masks = painted_ball(patterned)
    reach = np.sqrt(1 - vertices**2).max(axis=1)  # from the nearest of the three axes: the hull is where it is 1
    start = vertices * np.minimum(1 / reach, 1.04)[:, None]
    found = refine_by_photo_consistency(start, faces, images, masks, silhouette_sdf(masks))
    two = seen_by_two(vertices, faces)
    before, after = (np.abs(np.linalg.norm(points, axis=1) - 1)[two] for points in (start, found))
    assert before.mean() > 0.02 and after.mean() < 0.5 * before.mean()
    assert overlap(found, faces, masks) > 0.985


@pytest.mark.slow
def test_images_that_fit_no_surface_cannot_spoil_outlines_or_leave_the_hull():
    vertices, faces, images, masks = painted_ball(patterned, subdivisions=5)
    found = refine_by_photo_consistency(vertices, faces, np.roll(images, 7, axis=2), masks, silhouette_sdf(masks))
    assert overlap(found, faces, masks) > 0.985
    for basis in VIEW_BASES.values():
        assert np.linalg.norm((found @ basis.T)[:, :2], axis=1).max() < 1.01


def test_a_thin_plate_may_not_be_pushed_through_itself_and_a_thick_one_has_all_the_room():
    for thickness, deepest in ((0.1, 0.1 * CLEARANCE_FRACTION), (0.9, LARGEST_MOVE)):
        plate = trimesh.creation.box([1.6, thickness, 1.2]).subdivide().subdivide().subdivide().subdivide()
        middle = np.abs(plate.vertices[:, [0, 2]]).max(axis=1) < 0.3
        inwards, outwards = _step_bounds(np.array(plate.vertices), np.array(plate.vertex_normals))
        assert middle.sum() > 20 and inwards[middle] == pytest.approx(np.full(middle.sum(), -deepest))
        assert (outwards == LARGEST_MOVE).all(), "nothing lies before it"


@pytest.mark.slow
def test_two_sheets_whose_images_lie_behind_each_other_do_not_pass_through_each_other():
    plate = trimesh.creation.box([1.4, 0.1, 1.4])
    for _ in range(4):
        plate = plate.subdivide()
    turn = trimesh.geometry.align_vectors([0, 1, 0], [1, 1, 1])[:3, :3]  # three views see either side
    vertices, faces, normal = np.array(plate.vertices) @ turn.T, np.array(plate.faces), turn @ [0, 1, 0]
    deeper, higher = (images_of(colored_mesh(vertices + shift * normal, faces, patterned(vertices)), 256)[0]
                      for shift in (-0.06, 0.06))
    upper = np.array([basis[2] @ normal > 0 for basis in VIEW_BASES.values()])
    images = np.where(upper[:, None, None, None], deeper, higher)  # each side is drawn 0.06 too deep, beyond the middle
    masks = images_of(colored_mesh(vertices, faces, patterned(vertices)), 256)[1]
    found = refine_by_photo_consistency(vertices, faces, images, masks, silhouette_sdf(masks))
    middle, side = np.abs(plate.vertices[:, [0, 2]]).max(axis=1) < 0.4, np.sign(plate.vertices[:, 1])
    inwards = -((found - vertices) @ normal * side)[middle]
    once = 0.1 * CLEARANCE_FRACTION  # and then that share of what is left between the sheets
    twice = once + (0.1 - 2 * once) * CLEARANCE_FRACTION
    assert twice < 0.05 and inwards.max() <= twice + 1e-9 and inwards.mean() > 0.9 * once


def overlap(vertices, faces, masks):
    """Smallest IoU of the six silhouettes of a mesh with masks."""
    drawn = np.stack(list(render_views(plain_mesh(vertices, faces), masks.shape[-1]).values()))[..., 3] >= 128
    solid = masks >= 0.5
    return ((drawn & solid).sum(axis=(1, 2)) / (drawn | solid).sum(axis=(1, 2))).min()


def test_what_no_two_views_see_goes_no_farther_than_what_is_seen_around_it(monkeypatch):
    """Maximum principle: a ball whose front half alone is seen, and sinks the more the nearer to its rim. By bending alone the
    slope there would go on and the rest would sink deeper than the rim."""
    vertices, faces = unit_ball(3)
    wanted = -0.02 * (1.2 - vertices[:, 2])

    def sinking(reading, now, normals, seen, cameras):
        moved, known = np.linalg.norm(now, axis=1) - 1, 1e4 * (vertices[:, 2] > 0)
        return known, known * (moved - wanted)
    monkeypatch.setattr(photo_consistency, "_photometric_residual", sinking)
    monkeypatch.setattr(photo_consistency, "visibility", lambda *_: None)
    monkeypatch.setattr(photo_consistency, "step_within_hull", lambda at, normals, step, *_: at + step[:, None] * normals)
    bending = photo_consistency.BENDING_WEIGHT * photo_consistency.bending_matrix(faces, len(vertices))
    moved = photo_consistency._gauss_newton(vertices, faces, [None] * 3, None, None, bending, np.full(len(vertices), 1e-4),
                                            (-1.0, 1.0))[1]
    assert moved[vertices[:, 2] > 0.2] == pytest.approx(wanted[vertices[:, 2] > 0.2], abs=2e-3)
    assert moved.min() > -0.027, "0.024 at the rim"
