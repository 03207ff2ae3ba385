"""From a field to a mesh, on balls and plates whose distances, volumes and normals are known by formula."""
import numpy as np
import pytest
import trimesh

from config import VIEW_NAMES
from tests.multiview.test_texture_projection import hand_held
from tests.multiview.test_visual_hull import silhouettes, solid_mesh
from utils.mesh.isosurface import mesh_from_grid
from utils.mesh.mesh import plain_mesh
from utils.mesh.mesh_repair import SMALLEST_PART, make_manifold, remove_small_mesh_components
from utils.mesh.smoothing import vertex_normals
from utils.multiview.field_cleanup import (
    close_pits,
    cut_off,
    enforce_silhouettes,
    masked_gaussian,
    max_displacement,
    remove_small_components,
)
from utils.multiview.visual_hull import grid_axes, hull_box, hull_on_grid, silhouette_sdf
from utils.rendering.cameras import VIEW_BASES, Camera
from utils.rendering.image_sampling import sample_on_axes
from utils.rendering.rasterizer import render

PLATE = np.array([1.6, 0.2, 1.2])


def grid(count=40, extent=1.1):
    axes = [np.linspace(-extent, extent, count)] * 3
    return axes, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def ball_field(points, radius, center=(0, 0, 0)):
    return (radius - np.linalg.norm(points - np.asarray(center), axis=-1)).astype(np.float32)


def box_field(points, extents):
    return (extents / 2 - np.abs(points)).min(axis=-1).astype(np.float32)


def solid_of(field, axes, faces=None):
    return trimesh.Trimesh(*mesh_from_grid(field, axes, faces), process=False)


@pytest.fixture(scope="module")
def plate():
    """Grid, its points, outline distances and hull of a plate; the cells are 0.06 long."""
    distances = silhouette_sdf(silhouettes(solid_mesh(trimesh.creation.box(PLATE))))
    axes = grid_axes(np.stack([-PLATE / 2, PLATE / 2]), 27, smallest=4)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return axes, points, distances, hull_on_grid(distances, axes)


def uncovered(field, distances, axes, deeper_than):
    """How many lines of sight, farther inside a mask than some length, stay empty."""
    count = 0
    for distance, name in zip(distances, VIEW_NAMES):
        outline = sample_on_axes(distance, VIEW_BASES[name], axes)
        along = int(np.abs(VIEW_BASES[name][2]).argmax())
        count += ((outline > deeper_than) & (field.max(axis=along, keepdims=True) <= 0)).sum()
    return count


# ---- Silhouettes


def test_a_field_that_agrees_with_the_outlines_is_left_as_it_is(plate):
    axes, _, distances, hull = plate
    assert np.array_equal(enforce_silhouettes(hull.copy(), hull, distances, axes), hull)
    dented = np.where(hull > 0.05, hull - 0.01, hull)  # something behind every pixel still
    assert np.array_equal(enforce_silhouettes(dented, hull, distances, axes), dented)


def test_a_plate_emptied_within_its_rim_comes_back_where_the_field_thought_best(plate):
    axes, points, distances, hull = plate
    within = (np.abs(points[..., [0, 2]]) < [0.6, 0.4]).all(axis=-1)
    emptied = np.where(within, -np.abs(points[..., 1] - 0.03) - 0.02, hull).astype(np.float32)
    assert uncovered(emptied, distances, axes, 1e-3) > 100, "there must be something to mend"
    mended = enforce_silhouettes(emptied, hull, distances, axes)
    assert uncovered(mended, distances, axes, 1e-3) == 0
    added = points[(mended > 0) & within]
    assert np.abs(added[:, 1] - 0.03).max() < 0.05, "at the best place, not through the plate's thickness"
    assert np.array_equal(mended[~within], hull[~within])
    worse = within & (np.abs(points[..., 1] - 0.03) > 0.05)
    assert (mended[worse] <= 0).all(), "nothing anywhere else on the line"


def test_where_no_place_is_better_a_line_is_filled_as_far_as_other_views_allow(plate):
    axes, points, distances, hull = plate
    emptied = np.where(points[..., 0] > 0.1, -0.02, hull).astype(np.float32)
    mended = enforce_silhouettes(emptied, hull, distances, axes)
    assert uncovered(mended, distances, axes, 1e-3) == 0
    assert np.array_equal(mended > 0, hull > 0)


def test_outlines_stay_where_they_are_drawn_to_a_tenth_of_a_cell(plate):
    axes, points, distances, hull = plate
    emptied = np.where(points[..., 0] > 0.1, -0.02, hull).astype(np.float32)
    mended = solid_of(enforce_silhouettes(emptied, hull, distances, axes), axes)
    assert mended.is_watertight
    assert mended.bounds[:, [0, 2]] == pytest.approx(np.array([[-0.8, -0.6], [0.8, 0.6]]), abs=0.006)


def test_nothing_is_left_outside_the_outlines(plate):
    axes, points, distances, hull = plate
    full = np.full(hull.shape, 0.3, np.float32)
    cut = enforce_silhouettes(full, hull, distances, axes)
    assert (cut <= hull).all()
    assert not (cut[(np.abs(points) > PLATE / 2 + 0.01).any(axis=-1)] > 0).any()
    assert solid_of(cut, axes).volume == pytest.approx(PLATE.prod(), rel=0.05)


def test_a_ball_of_matter_in_a_tricylinder_is_within_the_outlines_everywhere():
    distances = silhouette_sdf(silhouettes(solid_mesh(trimesh.creation.icosphere(4, 0.9))))
    axes, points = grid()
    hull, ball = hull_on_grid(distances, axes), ball_field(points, 0.9)
    mended = enforce_silhouettes(ball, hull, distances, axes)
    near = np.abs(ball) < 0.05
    assert np.abs(mended - np.minimum(ball, hull))[near].max() < 0.02, "a ball has the outlines of a ball"
    assert np.array_equal((mended > 0)[~near], (ball > 0)[~near])


# ---- Parts


def test_where_the_hull_holds_a_line_s_best_place_down_another_place_on_it_is_raised_all_the_way():
    axes = [np.linspace(-0.5, 0.5, 11)] * 3  # step 0.1
    distances = np.full((6, 64, 64), 0.5, np.float32)
    field, hull = np.full((11, 11, 11), 0.1, np.float32), np.full((11, 11, 11), 0.3, np.float32)
    field[:, 5, 5] = -0.3
    field[2, 5, 5], hull[2, 5, 5] = -0.01, 0.01  # the best place, which the hull lets come to 0.01 only
    field[7, 5, 5] = -0.05
    kept = enforce_silhouettes(field, hull, distances, axes)
    assert kept[:, 5, 5].max() == pytest.approx(0.06, abs=1e-5), "0.6 of a step"


def seen_through(mesh, cameras, size=128):
    return np.stack([render(mesh, camera, size)[..., 3] for camera in cameras]).astype(np.float32) / 255


@pytest.mark.parametrize("chosen", [[0, 1, 2, 3, 4, 5], [0, 2, 4]])
def test_an_emptied_egg_keeps_its_silhouettes_in_photographs_and_stays_within_them(chosen):
    egg = trimesh.creation.icosphere(4, 1.0)
    egg.vertices *= [0.5, 0.4, 0.9]
    cameras = [hand_held()[number] for number in chosen]
    masks = seen_through(plain_mesh(egg.vertices, egg.faces), cameras)
    distances = silhouette_sdf(masks)
    axes = grid_axes(hull_box(distances, cameras), 64)
    hull = hull_on_grid(distances, axes, cameras)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    # A network that carves too much: an egg 0.8 times as large
    field = np.minimum(0.4 * (0.8 - np.linalg.norm(points / [0.5, 0.4, 0.9], axis=-1)), hull).astype(np.float32)
    kept = enforce_silhouettes(field, hull, distances, axes, cameras)
    deepest = 1.5 * max(axis[1] - axis[0] for axis in axes)
    assert (kept <= hull + 1e-6).all() and (kept >= np.minimum(field, deepest) - 1e-6).all()
    vertices, faces = mesh_from_grid(cut_off(kept, axes), axes)
    after = seen_through(plain_mesh(vertices, faces), cameras) >= 0.5
    vertices, faces = mesh_from_grid(cut_off(field, axes), axes)
    before = seen_through(plain_mesh(vertices, faces), cameras) >= 0.5
    for mask, one, other in zip(masks >= 0.5, before, after):
        assert (one & mask).sum() / (one | mask).sum() < 0.8
        assert (other & mask).sum() / (other | mask).sum() > (0.97 if len(chosen) == 6 else 0.95)
    middle = tuple(size // 2 for size in kept.shape)
    assert kept[middle] == pytest.approx(min(field[middle], deepest)), "what is there already is left alone"


def test_almost_named_cameras_enforce_silhouettes_as_the_named_ones_do():
    egg = trimesh.creation.icosphere(4, 1.0)
    egg.vertices *= [0.5, 0.4, 0.9]
    masks = seen_through(plain_mesh(egg.vertices, egg.faces), [Camera(basis) for basis in VIEW_BASES.values()])
    distances = silhouette_sdf(masks)
    axes = grid_axes(hull_box(distances), 48)
    hull, nearly = hull_on_grid(distances, axes), [Camera(basis, 1e-9) for basis in VIEW_BASES.values()]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    field = np.minimum(0.4 * (0.8 - np.linalg.norm(points / [0.5, 0.4, 0.9], axis=-1)), hull).astype(np.float32)
    one = enforce_silhouettes(field, hull, distances, axes)
    exact = [Camera(basis) for basis in VIEW_BASES.values()]
    assert np.array_equal(enforce_silhouettes(field, hull, distances, axes, exact), one)
    other = enforce_silhouettes(field, hull, distances, axes, nearly)
    both = (one > 0) & (other > 0)
    assert both.sum() > 0.9 * ((one > 0) | (other > 0)).sum() and (one > 0).sum() > 1.1 * (field > 0).sum()


def test_specks_go_and_a_second_large_part_stays():
    _, points = grid(48)
    large, second = ball_field(points, 0.5, (-0.5, 0, 0)), ball_field(points, 0.3, (0.6, 0, 0))
    speck = ball_field(points, 0.1, (0.6, 0.8, 0.8))
    assert (0.1 / 0.5) ** 3 < SMALLEST_PART < (0.3 / 0.5) ** 3
    field = np.maximum(np.maximum(large, second), speck)
    kept = remove_small_components(field)
    assert np.array_equal(kept > 0, np.maximum(large, second) > 0)
    assert np.array_equal(np.abs(kept), np.abs(field)), "distances stay, only signs change"


def test_a_closed_void_is_filled_and_an_open_cavity_is_not():
    _, points = grid(48)
    ball, hole = ball_field(points, 0.9), ball_field(points, 0.4)
    hollow = np.minimum(ball, -hole)
    assert np.array_equal(remove_small_components(hollow) > 0, ball > 0)
    shaft = (np.abs(points[..., [0, 2]]).max(axis=-1) < 0.15) & (points[..., 1] > 0)
    opened = np.where(shaft, -0.05, hollow).astype(np.float32)
    assert np.array_equal(remove_small_components(opened), opened)


def test_what_touches_along_an_edge_alone_counts_as_loose_be_it_a_speck_or_a_void():
    block = np.full((20, 20, 20), -1, np.float32)
    block[4:16, 4:16, 4:16] = 1
    block[4, 4] = -1  # a groove
    field = block.copy()
    field[3, 4, 8] = 1  # beside the groove, it touches the block along an edge
    field[5, 5, 8] = -1  # which it touches along an edge from below
    assert np.array_equal(remove_small_components(field) > 0, block > 0)


def test_a_field_in_one_piece_is_left_as_it_is_and_the_input_too():
    _, points = grid(24)
    field = np.maximum(ball_field(points, 0.7), ball_field(points, 0.12, (0.9, 0.9, 0.9)))
    before = field.copy()
    remove_small_components(field)
    assert np.array_equal(field, before)
    ball = ball_field(points, 0.7)
    assert np.array_equal(remove_small_components(ball), ball)


def test_an_emptied_ball_keeps_its_outlines_to_a_fraction_of_a_pixel():
    ball = trimesh.creation.icosphere(4, 0.8)
    distances = silhouette_sdf(silhouettes(solid_mesh(ball)))
    axes = grid_axes(np.array([[-0.8] * 3, [0.8] * 3]), 48)
    hull = hull_on_grid(distances, axes)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    smaller = np.where(hull > 0, ball_field(points, 0.7), hull)  # the outline lies between two extremes: -0.1 and hull
    made = solid_mesh(solid_of(enforce_silhouettes(smaller, hull, distances, axes), axes))
    for mask, mine in zip(distances > 0, silhouettes(made) > 0.5):
        assert (mask & mine).sum() / (mask | mine).sum() > 0.99


def test_where_one_depth_is_likelier_matter_is_kept_there_alone(plate):
    axes, points, distances, hull = plate
    depth = points[..., 1]
    likely = np.where(hull > 0, -0.2 - np.abs(depth - 0.03), hull)
    frame = (np.abs(points[..., 0]) > 0.5) | (np.abs(points[..., 2]) > 0.4)
    likely[frame] = hull[frame]  # so that the other two axes see the object everywhere
    kept = enforce_silhouettes(likely.astype(np.float32), hull, distances, axes) > 0
    middle = ~frame & (hull > 0)
    assert kept[middle].any() and np.abs(depth[middle & kept] - 0.03).max() < 0.04


# ---- Ripples


def test_smoothing_a_field_takes_ripples_out_within_the_hull_and_changes_nothing_outside():
    _, points = grid(32)
    hull = ball_field(points, 0.9)
    slope = points[..., 0].astype(np.float32)
    ripples = 0.1 * (-1.0) ** np.indices(slope.shape).sum(axis=0)
    calm = masked_gaussian((slope + ripples).astype(np.float32), hull, 1.0)
    deep = hull > 0.35
    assert np.abs(calm - slope)[deep].max() < 0.01, "a slope stays a slope"
    assert np.array_equal(calm[hull <= 0], (slope + ripples).astype(np.float32)[hull <= 0])
    assert np.allclose(masked_gaussian(np.full(hull.shape, 0.2, np.float32), hull, 1.0), 0.2)


def test_pits_and_tunnels_are_filled_but_no_gap_below_the_hull_and_no_cavity():
    axes, points = grid(40)
    hull = box_field(points, np.array([2.0, 2.0, 2.0]))
    step = axes[0][1] - axes[0][0]
    solid = box_field(points, np.array([1.8, 1.8, 2.0 - 4 * step]))  # two cells below the hull on one axis
    assert ((close_pits(solid, hull) > 0) == (solid > 0)).all()
    across = np.linalg.norm(points[..., :2] - 0.3, axis=-1)
    tunnel, cavity = (np.minimum(solid, across - width).astype(np.float32) for width in (1.4 * step, 6 * step))
    assert (tunnel <= 0)[solid > 0].any()
    assert ((close_pits(tunnel, hull) > 0) == (solid > 0)).all()
    hollow, filled = (solid > 0) & (cavity <= 0), (close_pits(cavity, hull) > 0) & (cavity <= 0)
    assert filled.sum() < 0.1 * hollow.sum(), "its round wall may become a little squarer"


def test_vertices_on_the_hull_may_hardly_move_and_those_below_it_may(plate):
    _, _, distances, _ = plate
    low, high = -PLATE / 2, PLATE / 2
    on_it = np.array([[low[0], 0, 0], [0.1, high[1], -0.3], [0, 0, high[2]], high])
    below = np.array([[0, 0, 0], [high[0] - 0.02, 0, 0], [0.2, high[1] - 0.01, 0.1]])
    assert max_displacement(on_it, distances) == pytest.approx(0.75 * 2.2 / distances.shape[-1])
    assert np.isinf(max_displacement(below, distances)).all()


# ---- Meshes


def test_the_mesh_of_a_ball_is_closed_outward_and_of_its_volume():
    axes, points = grid(40)
    ball = solid_of(ball_field(points, 0.9, (0.05, -0.1, 0.02)), axes)
    assert ball.is_watertight and ball.is_winding_consistent
    assert ball.volume == pytest.approx(4 / 3 * np.pi * 0.9 ** 3, rel=0.01)
    assert ball.center_mass == pytest.approx([0.05, -0.1, 0.02], abs=1e-3)
    assert np.linalg.norm(ball.vertices - [0.05, -0.1, 0.02], axis=1) == pytest.approx(np.full(len(ball.vertices), 0.9),
                                                                                      abs=2e-3)


def test_cells_may_be_flatter_than_cubes():
    axes = [np.linspace(-1, 1, count) for count in (50, 26, 40)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    ball = solid_of(ball_field(points, 0.7), axes)
    assert ball.is_watertight and ball.bounds == pytest.approx(np.array([[-0.7] * 3, [0.7] * 3]), abs=0.004)


@pytest.mark.parametrize("budget", [200, 1000])
def test_the_face_budget_is_kept_and_the_mesh_stays_closed(budget):
    axes, points = grid(40)
    ball = solid_of(ball_field(points, 0.9), axes, budget)
    assert 0.8 * budget < len(ball.faces) <= budget and ball.is_watertight
    assert ball.volume == pytest.approx(4 / 3 * np.pi * 0.9 ** 3, rel=0.03)
    assert solid_of(ball_field(points, 0.9), axes, 10 ** 6).volume == solid_of(ball_field(points, 0.9), axes).volume


def edge_counts(vertices, faces):
    """How many faces each edge has."""
    sides = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    return np.unique(sides, axis=0, return_counts=True)[1]


@pytest.mark.parametrize("seed", range(3))
def test_a_ragged_field_decimated_hard_is_closed_and_no_edge_has_more_than_two_faces(seed):
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=(24, 24, 24))
    field = gaussian_filter(noise, 1.3).astype(np.float32)
    vertices, faces = mesh_from_grid(field, [np.linspace(-1, 1, 24)] * 3, 1500)
    assert len(faces) <= 1500 and np.isfinite(vertices).all()
    assert (edge_counts(vertices, faces) == 2).all()
    assert trimesh.Trimesh(vertices, faces, process=False).volume > 0


def test_two_boxes_that_touch_along_an_edge_are_parted_there():
    first, second = (trimesh.creation.box(bounds=[[low] * 2 + [-1], [low + 1] * 2 + [1]]) for low in (-1, 0))
    both = trimesh.util.concatenate([first, second])
    both.merge_vertices()
    assert edge_counts(both.vertices, both.faces).max() == 4, "they share an edge"
    vertices, faces = make_manifold(np.array(both.vertices), np.array(both.faces, np.int64))
    assert (edge_counts(vertices, faces) == 2).all()
    parted = trimesh.Trimesh(vertices, faces, process=False)
    assert parted.is_watertight and len(parted.split()) == 2
    assert parted.volume == pytest.approx(4, rel=0.03)
    assert np.abs(vertices).max() <= 1 + 1e-9, "nothing sticks out"


def test_faces_that_lie_back_to_back_are_dropped_and_a_sound_mesh_is_left_as_it_is():
    box = trimesh.creation.box()
    sheet = np.array([[0, 1, 2], [2, 1, 0]]) + len(box.vertices)
    vertices = np.concatenate([box.vertices, [[2.0, 0, 0], [3, 0, 0], [2, 1, 0]]])
    kept, faces = make_manifold(vertices, np.concatenate([box.faces, sheet]))
    assert np.allclose(kept[faces], box.triangles)


def test_matter_up_to_the_edge_of_the_grid_is_closed_there():
    axes, points = grid(24, 1.0)
    half, step = solid_of((0.3 - points[..., 1]).astype(np.float32), axes), 2 / 23
    assert half.is_watertight and half.bounds[1, 1] == pytest.approx(0.3, abs=1e-3)
    assert half.bounds[0] == pytest.approx([-1 - step / 2] * 3, abs=0.51 * step)


def test_vertex_normals_of_a_ball_point_away_from_its_center():
    ball = trimesh.creation.icosphere(3, 0.7)
    vertices = np.concatenate([ball.vertices, [[0, 0, 0]]])  # one that no face uses
    normals = vertex_normals(vertices, ball.faces)
    assert np.abs(normals[:-1] - ball.vertices / 0.7).max() < 0.02
    assert np.linalg.norm(normals[:-1], axis=1) == pytest.approx(np.ones(len(ball.vertices)))
    assert not normals[-1].any()


def test_vertex_normals_are_weighted_by_area():
    vertices = np.array([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])  # areas 4.5 along +z and 1.5 along +x
    assert vertex_normals(vertices, faces)[0] == pytest.approx(np.array([1, 0, 3]) / np.sqrt(10))


def test_of_three_faces_on_the_same_corners_one_is_left_and_the_mesh_stays_closed():
    ball = trimesh.creation.icosphere(1)
    faces = np.concatenate([ball.faces, ball.faces[:1], ball.faces[:1, ::-1]])  # once more, and once from behind
    vertices, faces = make_manifold(np.array(ball.vertices), faces)
    solid = trimesh.Trimesh(vertices, faces, process=False)
    assert len(faces) == len(ball.faces) and solid.is_watertight and solid.volume == pytest.approx(ball.volume)


def test_specks_of_a_mesh_are_dropped_and_parts_are_kept():
    ball, part, speck = (trimesh.creation.icosphere(2, radius) for radius in (0.5, 0.2, 0.05))
    part.apply_translation([0.8, 0, 0])
    speck.apply_translation([-0.8, 0, 0])
    whole = trimesh.util.concatenate([speck, ball, part])
    vertices, faces = remove_small_mesh_components(np.array(whole.vertices), np.array(whole.faces))
    assert len(vertices) == len(ball.vertices) + len(part.vertices) and faces.max() == len(vertices) - 1
    assert vertices[:, 0].min() == pytest.approx(-0.5, abs=1e-3) and vertices[:, 0].max() == pytest.approx(1.0, abs=1e-3)


def test_sheets_that_touch_are_parted_by_more_than_a_file_rounds():
    tiny = trimesh.creation.box([1e-4] * 3)
    two = np.concatenate([tiny.vertices, tiny.vertices + [1e-4, 1e-4, 0]])  # they share one edge
    _, first, new = np.unique(np.round(two, 9), axis=0, return_index=True, return_inverse=True)
    vertices, faces = make_manifold(two[first], new.ravel()[np.concatenate([tiny.faces, tiny.faces + 8])])
    assert len(np.unique(np.round(vertices, 6), axis=0)) == len(vertices) >= 16
