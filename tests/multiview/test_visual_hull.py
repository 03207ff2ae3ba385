"""The visual hull against solids whose hull is known by formula: boxes, balls, a torus, a corner of three arms."""
import numpy as np
import pytest
import trimesh

from config import VIEW_NAMES
from utils.mesh.isosurface import mesh_from_grid
from utils.mesh.mesh import plain_mesh
from utils.multiview.visual_hull import grid_axes, hull_box, hull_on_grid, silhouette_sdf
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT
from utils.rendering.image_sampling import sample_on_axes
from utils.rendering.rasterizer import render_views

SIZE = 220  # pixels of 0.01 lengths: solids with round measures have their outlines between pixels
PIXEL = 2 * VIEW_EXTENT / SIZE


def solid_mesh(solid, color=(0.4, 0.4, 0.4)):
    return plain_mesh(solid.vertices, solid.faces, color)


def silhouettes(mesh, size=SIZE):
    return np.stack([image[..., 3] for image in render_views(mesh, size).values()]).astype(np.float32) / 255


def arms():
    """Three arms from a cube along +x, +y and +z, of lengths 1, 0.8 and 0.6: no two views of it are alike."""
    boxes = [trimesh.creation.box(bounds=[[-0.2] * 3, upper])
             for upper in ([1.0, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 0.6])]
    return trimesh.util.concatenate(boxes)


def volume_of(distances, resolution=60):
    axes = grid_axes(hull_box(distances), resolution)
    return trimesh.Trimesh(*mesh_from_grid(hull_on_grid(distances, axes), axes), process=False)


def disc(size, radius, across, down, finer=16):
    """Coverage of each pixel by a disc, and the true signed distance of its center, in pixels."""
    at = (np.arange(size * finer) + 0.5) / finer - size / 2
    covered = (at - across) ** 2 + (at[:, None] - down) ** 2 < radius ** 2
    centers = np.arange(size) + 0.5 - size / 2
    return (covered.reshape(size, finer, size, finer).mean(axis=(1, 3), dtype=np.float32),
            radius - np.hypot(centers - across, centers[:, None] - down))


# ---- Distances to outlines


def test_distances_to_a_disc_are_right_on_average_and_never_off_by_a_pixel():
    rng = np.random.default_rng(0)
    for _ in range(4):
        mask, truth = disc(96, rng.uniform(20, 40), *rng.uniform(-4, 4, 2))
        error = silhouette_sdf(mask[None])[0] / (2 * VIEW_EXTENT / 96) - truth
        near = np.abs(truth) < 2.8
        assert abs(error[near].mean()) < 0.05 and np.abs(error[near]).mean() < 0.06 and np.abs(error[near]).max() < 0.2


@pytest.mark.parametrize("share", [0.0, 0.2, 0.45, 0.55, 0.8, 1.0])
def test_a_straight_outline_is_crossed_within_a_tenth_of_a_pixel(share):
    mask = np.zeros((1, 32, 32), np.float32)
    mask[..., :10], mask[..., 10] = 1, share
    row = silhouette_sdf(mask)[0, 16]
    last = np.flatnonzero(row > 0)[-1]
    crossing = last + 0.5 + row[last] / (row[last] - row[last + 1])
    assert crossing == pytest.approx(10 + share, abs=0.1)


def test_far_from_a_straight_outline_distances_grow_by_a_pixel_each_step():
    mask = np.zeros((1, 32, 32), np.float32)
    mask[..., :10] = 1
    expected = (9.5 - np.arange(32)) * 2 * VIEW_EXTENT / 32
    assert np.allclose(silhouette_sdf(mask)[0], expected, atol=1e-6)


def test_empty_and_full_masks_lie_a_whole_image_from_their_outline():
    distances = silhouette_sdf(np.stack([np.zeros((8, 8)), np.ones((8, 8))]))
    assert (distances[0] == np.float32(-2 * VIEW_EXTENT)).all() and (distances[1] == np.float32(2 * VIEW_EXTENT)).all()


# ---- Hulls


def test_the_hull_of_a_box_is_the_box():
    extents = np.array([2.0, 1.2, 0.7])
    distances = silhouette_sdf(silhouettes(solid_mesh(trimesh.creation.box(extents))))
    assert hull_box(distances) == pytest.approx(np.stack([-extents / 2, extents / 2]), abs=1e-6)
    hull = volume_of(distances)
    assert hull.is_watertight and hull.volume == pytest.approx(extents.prod(), rel=0.003)
    across = np.abs(hull.triangles_center) / (extents / 2)
    flat = (np.abs(across - 1) < 0.002).any(axis=1)
    assert hull.area_faces[flat].sum() > 0.85 * 2 * (2.0 * 1.2 + 2.0 * 0.7 + 1.2 * 0.7), "six flat faces"


def test_the_box_of_a_shifted_box_is_found_on_every_axis():
    lower, upper = [-0.9, -0.3, -0.55], [0.7, 0.85, 0.25]
    found = hull_box(silhouette_sdf(silhouettes(solid_mesh(trimesh.creation.box(bounds=[lower, upper])))))
    assert found == pytest.approx(np.array([lower, upper]), abs=1e-6)


def test_the_box_is_the_mean_of_the_four_views_that_see_an_axis():
    distances = silhouette_sdf(silhouettes(solid_mesh(trimesh.creation.box([1.0, 0.8, 1.2]))))
    wider = silhouette_sdf(silhouettes(solid_mesh(trimesh.creation.box([1.2, 0.8, 1.2]))))
    distances[VIEW_NAMES.index("back")] = wider[VIEW_NAMES.index("back")]  # one of the four that see x: 0.1 on each side
    assert hull_box(distances)[:, 0] == pytest.approx([-0.525, 0.525], abs=0.005)
    assert hull_box(distances)[:, 1:] == pytest.approx(np.array([[-0.4, -0.6], [0.4, 0.6]]), abs=0.005)


def bitten_box():
    """Distances of a box's silhouettes, the front's with a piece missing at one side, and where that piece is."""
    masks = silhouettes(solid_mesh(trimesh.creation.box([1.2, 0.8, 1.0])))
    size = masks.shape[-1]
    front, per_length = VIEW_NAMES.index("front"), size / (2 * VIEW_EXTENT)
    rows = slice(int(size / 2 - 0.2 * per_length), int(size / 2 + 0.2 * per_length))
    columns = slice(int(size / 2 + 0.4 * per_length), size)
    masks[front, rows, columns] = 0
    return masks, front, rows, columns


def test_a_piece_that_one_unsure_view_denies_is_kept_as_the_others_support_it():
    masks, front, rows, columns = bitten_box()
    distances, axes = silhouette_sdf(masks), grid_axes(np.array([[-0.6, -0.4, -0.5], [0.6, 0.4, 0.5]]), 40)
    confidence = np.ones_like(masks)
    assert np.array_equal(hull_on_grid(distances, axes, confidence=confidence), hull_on_grid(distances, axes))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    inside = (np.abs(points) < [0.58, 0.38, 0.48]).all(axis=-1)
    denied = inside & (points[..., 0] > 0.42) & (np.abs(points[..., 1]) < 0.17)
    assert denied.sum() > 100 and not (hull_on_grid(distances, axes) > 0)[denied].any()
    confidence[front, rows, columns] = 0
    kept = hull_on_grid(distances, axes, confidence=confidence)
    assert (kept > 0)[inside].all() and (kept > 0).sum() < 1.1 * inside.sum() * (1.2 * 0.8 / (1.16 * 0.76)) / 0.96
    outside = (np.abs(points) > [0.62, 0.42, 0.52]).any(axis=-1)
    assert not (kept > 0)[outside].any(), "what two views deny is gone however unsure one is"
    confidence[front, rows, columns] = 0.9
    assert not (hull_on_grid(distances, axes, confidence=confidence) > 0)[denied & (points[..., 0] > 0.5)].any()


def test_boxes_between_pixels_are_found_within_half_a_pixel():
    extents = np.array([1.987, 1.234, 0.721])
    found = hull_box(silhouette_sdf(silhouettes(solid_mesh(trimesh.creation.box(extents)), 128)))
    assert found == pytest.approx(np.stack([-extents / 2, extents / 2]), abs=VIEW_EXTENT / 128)


def test_the_hull_of_a_ball_is_the_body_common_to_three_cylinders():
    radius = 0.9
    hull = volume_of(silhouette_sdf(silhouettes(solid_mesh(trimesh.creation.icosphere(5, radius)))))
    assert hull.is_watertight
    assert hull.volume == pytest.approx(8 * (2 - np.sqrt(2)) * radius ** 3, rel=0.008)


def test_the_hull_of_a_torus_keeps_its_hole_but_not_the_roundness_of_its_sides():
    large, small = 0.7, 0.3
    torus = trimesh.creation.torus(large, small, major_sections=96, minor_sections=48)
    turned = torus.vertices[:, [1, 2, 0]]  # its axis from z to y
    axes = [np.linspace(-1, 1, 40)] * 3
    hull = hull_on_grid(silhouette_sdf(silhouettes(plain_mesh(turned, torus.faces))), axes)
    x, y, z = np.meshgrid(*axes, indexing="ij")
    ring = small - np.abs(np.hypot(x, z) - large)
    sides = [small - np.hypot(np.maximum(np.abs(along) - large, 0), y) for along in (x, z)]
    truth = np.minimum(ring, np.minimum(*sides))
    sure = np.abs(truth) > 1.1 * PIXEL
    assert ((hull > 0) == (truth > 0))[sure].all() and sure.mean() > 0.9
    assert hull[20, 20, 20] < 0 and np.abs(hull - truth)[np.abs(truth) < 0.1].max() < 1.5 * PIXEL


def test_three_unlike_arms_come_back_from_views_that_are_all_different():
    truth = arms()
    axes = grid_axes(truth.bounds, 40)
    hull = hull_on_grid(silhouette_sdf(silhouettes(solid_mesh(truth))), axes)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    arm = [np.logical_and(points > -0.2, points < upper).all(axis=-1)
           for upper in ([1.0, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 0.6])]
    assert (hull[np.logical_or.reduce(arm)] > -1e-6).all()
    corner = (points > 0.25).sum(axis=-1) >= 2  # between two arms the view along the third sees nothing
    assert (hull[corner] < 0).all()


def test_a_view_is_read_on_a_grid_where_its_camera_projects():
    rng = np.random.default_rng(0)
    axes = [np.sort(rng.uniform(-1, 1, count)) for count in (3, 4, 5)]
    ramp = np.linspace(-1, 1, 64)
    x, y, z = np.meshgrid(*axes, indexing="ij")
    for name in VIEW_NAMES:
        right, up, _ = np.einsum("ij,jxyz->ixyz", VIEW_BASES[name], np.stack([x, y, z]))
        center = VIEW_EXTENT * 63 / 64  # the outermost pixels' centers
        for image, value in ((np.tile(ramp, (64, 1)), right), (np.tile(-ramp[:, None], (1, 64)), up)):
            read = np.broadcast_to(sample_on_axes(image, VIEW_BASES[name], axes), x.shape)
            assert np.allclose(read, value / center, atol=1e-5), name


# ---- Grids


def test_grid_cells_are_cubes_that_fill_the_box_with_one_cell_around():
    box = np.array([[-1.0, -0.5, 0.0], [1.0, 0.5, 0.8]])
    axes = grid_axes(box, 20)
    assert [len(axis) for axis in axes] == [22, 18, 18], "the short edges have the fewest cells allowed"
    for axis, low, high in zip(axes, *box):
        step = axis[1] - axis[0]
        assert axis[0] == pytest.approx(low - step / 2) and axis[-1] == pytest.approx(high + step / 2)
    assert [len(axis) for axis in grid_axes(box, 100)] == [102, 52, 42]


def test_a_flat_box_has_no_cell_of_length_zero():
    assert all((np.diff(axis) > 0).all() for axis in grid_axes(np.array([[-1.0, 0, -1], [1, 0, 1]]), 32))
