"""Colors carried from images to a surface: a painted ball comes back, and nothing wears what hides it."""
import numpy as np
import pytest
import trimesh

from config import VIEW_NAMES
from tests.multiview.test_visual_hull import solid_mesh
from utils.mesh.mesh import Mesh, colored_mesh
from utils.multiview.texture_projection import (
    facing_cosines,
    fill_unseen,
    project_colors,
    surface_colors,
    visibility,
)
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT, Camera, rotation_matrix
from utils.rendering.image_sampling import sample_images
from utils.rendering.rasterizer import over_white, render, render_views

GREEN, RED = (0.1, 0.8, 0.2), (0.9, 0.1, 0.1)


def images_of(mesh, size=128):
    pictures = np.stack(list(render_views(mesh, size).values()))
    return over_white(pictures).astype(np.float32) / 255, pictures[..., 3].astype(np.float32) / 255


def together(first, second):
    return Mesh(np.concatenate([first.vertices, second.vertices]),
                np.concatenate([first.faces, second.faces + len(first.vertices)]),
                *(np.concatenate([getattr(first, name), getattr(second, name)])
                  for name in ("corner_colors", "corner_uvs", "face_texture")))


def themselves(vertices):
    """Vertices as points between corners."""
    corners = np.arange(len(vertices))[:, None]
    return corners, np.ones(corners.shape)


@pytest.fixture(scope="module")
def shaded_roof():
    """A green slab, whose top lies at y = 0, under a smaller red plate that hides its middle from above."""
    slab = trimesh.creation.box(bounds=[[-1, -0.2, -1], [1, 0, 1]]).subdivide().subdivide().subdivide()
    plate = trimesh.creation.box(bounds=[[-0.45, 0.3, -0.45], [0.45, 0.4, 0.45]]).subdivide().subdivide()
    return together(solid_mesh(slab, GREEN), solid_mesh(plate, RED))


def test_a_painted_ball_gets_its_own_colors_back_from_six_images():
    ball = trimesh.creation.icosphere(5, 1.0)
    paint = (ball.vertices + 1) / 2
    images, masks = images_of(colored_mesh(ball.vertices, ball.faces, paint), 256)
    colors, sight = project_colors(ball.vertices, ball.vertices, ball.vertices, ball.faces, images, masks)
    assert sight.min() > 0.1 and colors.dtype == np.float32
    assert np.abs(colors - paint).max() < 0.02
    painted = surface_colors(ball.vertices, ball.faces, *themselves(ball.vertices), images, masks)
    assert np.abs(painted - paint).max() < 0.02 and painted.dtype == np.float32


def hand_held(seed=0):
    rng = np.random.default_rng(seed)
    return [Camera(rotation_matrix(np.radians(rng.uniform(-5, 5, 3))) @ basis, rng.uniform(0.1, 0.25),
                   rng.uniform(0.6, 0.7), rng.uniform(-0.1, 0.1, 2)) for basis in VIEW_BASES.values()]


@pytest.mark.parametrize("count", [6, 4])
def test_a_painted_ball_gets_its_own_colors_back_from_photographs(count):
    ball, cameras = trimesh.creation.icosphere(5, 1.0), hand_held()
    paint = (ball.vertices + 1) / 2
    drawn = np.stack([render(colored_mesh(ball.vertices, ball.faces, paint), camera, 256) for camera in cameras])[:count]
    images, masks = over_white(drawn).astype(np.float32) / 255, drawn[..., 3].astype(np.float32) / 255
    arguments = ball.vertices, ball.vertices, ball.vertices, ball.faces, images, masks
    colors, sight = project_colors(*arguments, cameras[:count])
    seen = sight > 1e-9
    assert np.abs(colors - paint)[seen].max() < 0.02 and seen.mean() > (0.99 if count == 6 else 0.8)
    if count == 6:
        assert np.abs(project_colors(*arguments)[0] - paint).max() > 0.1, "named cameras would not do"


def test_in_perspective_a_camera_sees_the_cap_of_a_ball_that_its_distance_allows():
    ball, cameras = trimesh.creation.icosphere(5, 0.8), hand_held(1)
    points = np.array(ball.vertices)
    cosine = facing_cosines(points, points / 0.8, cameras)
    for row, angle, camera in zip(visibility(points, points, ball.faces, cameras), cosine, cameras):
        height = points @ camera.basis[2] - camera.inverse_distance * 0.8 ** 2  # above the circle where lines touch it
        assert row[height > 0.25].all() and not row[height < -0.1].any()
        assert (angle[height > 0.02] > 0).all() and (angle[height < -0.02] < 0).all()


def test_the_view_that_faces_a_point_most_squarely_counts_with_the_third_power_of_its_cosine():
    ball = trimesh.creation.icosphere(4, 1.0)
    images, masks = images_of(solid_mesh(ball))
    images[:] = 0
    images[VIEW_NAMES.index("front")] = 1.0
    for degrees in (20, 35, 50):
        across, along = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        point = np.array([[across, 0, along]])
        colors, _ = project_colors(point * 0.999, point, ball.vertices, ball.faces, images, np.ones_like(masks))
        assert colors[0] == pytest.approx(np.full(3, along**3 / (along**3 + across**3)), abs=1e-3)


def test_the_white_that_shines_in_at_an_outline_is_taken_out():
    ball = trimesh.creation.icosphere(4, 1.0)
    images, masks = images_of(solid_mesh(ball, RED))
    masks[:] = 0.96
    images[:] = 0.96 * np.array(RED, np.float32) + 0.04
    points = ball.vertices * 0.999
    colors, sight = project_colors(points, ball.vertices, ball.vertices, ball.faces, images, masks)
    assert sight.min() > 0.1 and np.abs(colors - RED).max() < 1e-4


def test_a_hidden_patch_wears_its_own_neighbors_not_what_hides_it(shaded_roof):
    images, masks = images_of(shaded_roof)
    vertices = shaded_roof.vertices
    corners, weights = themselves(vertices)
    colors = surface_colors(vertices, shaded_roof.faces, corners, weights, images, masks)
    under = (vertices[:, 1] == 0) & (np.abs(vertices[:, [0, 2]]) < 0.4).all(axis=1)
    above = (vertices[:, 1] == vertices[:, 1].max()) & (np.abs(vertices[:, [0, 2]]) < 0.4).all(axis=1)
    up = np.tile([0.0, 1, 0], (len(vertices), 1))
    sight = project_colors(vertices, up, vertices, shaded_roof.faces, images, masks)[1]
    assert under.sum() >= 9 and not sight[under].any() and sight[above].min() > 0.9
    assert np.allclose(colors[under], GREEN, atol=0.02)
    assert np.allclose(colors[above], RED, atol=0.02)


@pytest.fixture(scope="module")
def sheet():
    """A thin square sheet, its upper side green, its lower side red; whether each vertex lies inside of its sides."""
    box = trimesh.creation.box([2, 0.02, 2])
    for _ in range(4):
        box = box.subdivide()
    up = box.vertices[:, 1] > 0
    return box, np.where(up[:, None], GREEN, RED), up, np.abs(box.vertices[:, [0, 2]]).max(axis=1)


def test_what_is_not_seen_of_a_thin_wall_takes_no_color_from_its_other_side(sheet):
    box, paint, up, out = sheet
    hidden = up & (out < 0.5)
    colors = fill_unseen(np.where(hidden[:, None], 0, paint), (~hidden).astype(float), *themselves(box.vertices), box.faces,
                         len(box.vertices))
    assert hidden.sum() > 40 and np.abs(colors - paint).max() < 0.01


def test_colors_that_are_trusted_stay_and_half_trusted_ones_are_mixed_with_what_is_around(sheet):
    box, paint, up, out = sheet
    there = *themselves(box.vertices), box.faces, len(box.vertices)
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 1, paint.shape)
    assert np.array_equal(fill_unseen(noise, np.ones(len(noise)), *there), noise.astype(np.float32))
    spot = up & (out < 0.05)
    assert spot.sum() == 1
    mixed = fill_unseen(np.where(spot[:, None], 0, paint), np.where(spot, 0.5, 1), *there)[spot][0]
    assert (mixed > 0.05 * np.array(GREEN)).all() and (mixed < 0.75 * np.array(GREEN)).all()


def test_between_two_colors_an_unseen_surface_changes_from_one_to_the_other_evenly():
    bar = trimesh.creation.box([2, 0.5, 0.5])
    for _ in range(4):
        bar = bar.subdivide()
    x = bar.vertices[:, 0]
    ends = np.abs(x) > 0.99
    paint = np.where(x[:, None] > 0, GREEN, RED)
    colors = fill_unseen(np.where(ends[:, None], paint, 0), ends.astype(float), *themselves(bar.vertices), bar.faces,
                         len(bar.vertices))
    share = (x[:, None] + 1) / 2
    assert np.abs(colors - (share * GREEN + (1 - share) * RED))[~ends].max() < 0.2  # a harmonic function of one coordinate
    middle = np.abs(x) < 0.01
    assert np.abs(colors[middle].mean(axis=0) - (np.add(GREEN, RED)) / 2).max() < 0.01


def test_texels_of_a_gutter_which_lie_beside_their_triangle_do_no_harm(sheet):
    box, paint, up, out = sheet
    corners = np.tile(box.faces, (2, 1))
    weights = np.concatenate([np.full(box.faces.shape, 1 / 3), np.tile([1.4, 0.2, -0.6], (len(box.faces), 1))])
    hidden = np.tile(up[box.faces].all(axis=1) & (out[box.faces] < 0.5).all(axis=1), 2)
    wanted = np.where(up[corners[:, :1]], GREEN, RED)
    colors = fill_unseen(np.where(hidden[:, None], 0, wanted), (~hidden).astype(float), corners, weights, box.faces,
                         len(box.vertices))
    assert hidden.sum() > 100 and np.abs(colors - GREEN)[hidden].max() < 0.01


def test_a_part_of_which_nothing_is_seen_has_the_mean_color_and_with_nothing_seen_at_all_it_is_gray(sheet):
    box, paint, up, out = sheet
    vertices, faces = np.concatenate([box.vertices, box.vertices + 3]), np.concatenate([box.faces, box.faces + len(up)])
    trust = np.repeat([1.0, 0.0], len(up))
    colors = fill_unseen(np.concatenate([np.tile(GREEN, (len(up), 1)), 0 * paint]), trust, *themselves(vertices), faces,
                         len(vertices))
    assert np.allclose(colors, GREEN, atol=1e-5)
    assert np.allclose(fill_unseen(0 * paint, 0 * trust[:len(up)], *themselves(box.vertices), box.faces, len(up)), 0.5)


def test_where_nothing_is_seen_no_color_is_made_up(shaded_roof):
    images, masks = images_of(shaded_roof, 64)
    point, down = np.array([[0.0, 0.3, 0.0]]), np.array([[0.0, -1, 0]])  # the plate's underside, above the slab
    colors, sight = project_colors(point, down, shaded_roof.vertices, shaded_roof.faces, images, masks)
    assert not sight.any() and np.isfinite(colors).all()


def test_pixels_at_an_outline_do_not_bleed_the_white_background_in():
    box = trimesh.creation.box([1.61, 1.13, 0.97])  # outlines within pixels
    images, masks = images_of(solid_mesh(box, RED), 64)
    points, face = trimesh.sample.sample_surface(box, 3000, seed=0)
    corners, weights = box.faces[face], trimesh.triangles.points_to_barycentric(box.triangles[face], points)
    seen = project_colors(points, box.face_normals[face], box.vertices, box.faces, images, masks)[1] > 1e-9
    assert 0.8 < seen.mean() < 1
    assert np.allclose(surface_colors(box.vertices, box.faces, corners, weights, images, masks), RED, atol=0.05)


def test_a_ball_is_seen_on_the_side_of_each_camera():
    ball = trimesh.creation.icosphere(4, 1.0)
    points = ball.vertices * 0.999
    for row, name in zip(visibility(points, ball.vertices, ball.faces), VIEW_NAMES):
        facing = points @ VIEW_BASES[name][2]
        assert row[facing > 0.4].all() and not row[facing < -0.05].any(), name


def test_images_are_read_bilinearly_where_points_project():
    size = 32
    pictures = np.broadcast_to(np.arange(size, dtype=np.float32)[:, None], (6, size, size))
    pictures = np.stack([pictures, pictures.transpose(0, 2, 1)], axis=-1)  # row and column of each pixel
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    for values, name in zip(sample_images(pictures, points), VIEW_NAMES):
        right, up, _ = VIEW_BASES[name] @ points.T
        scale = size / (2 * VIEW_EXTENT)
        row, column = size / 2 - 0.5 - scale * up, size / 2 - 0.5 + scale * right
        assert np.allclose(values, np.stack([row, column], axis=1), atol=1e-4), name


def test_a_point_outside_the_frame_reads_the_border():
    pictures = np.random.default_rng(0).random((6, 8, 8, 1)).astype(np.float32)
    values = sample_images(pictures, np.array([[9.0, 9.0, 9.0]]))
    front = VIEW_NAMES.index("front")
    assert values[front, 0] == pytest.approx(pictures[front, 0, 7], abs=2e-3)
