"""Colors carried from images to a surface: a painted ball comes back, and nothing wears what hides it."""
import numpy as np
import pytest
import trimesh

from config import VIEW_NAMES
from tests.multiview.test_visual_hull import solid_mesh
from utils.mesh.mesh import Mesh, colored_mesh
from utils.multiview.texture_projection import (
    _nearest_colors,
    facing_cosines,
    project_colors,
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


@pytest.fixture(scope="module")
def shaded_roof():
    """A green slab, whose top lies at y = 0, under a smaller red plate that hides its middle from above."""
    slab = trimesh.creation.box(bounds=[[-1, -0.2, -1], [1, 0, 1]]).subdivide().subdivide()
    plate = trimesh.creation.box(bounds=[[-0.5, 0.3, -0.5], [0.5, 0.4, 0.5]])
    return together(solid_mesh(slab, GREEN), solid_mesh(plate, RED))


def test_a_painted_ball_gets_its_own_colors_back_from_six_images():
    ball = trimesh.creation.icosphere(5, 1.0)
    paint = (ball.vertices + 1) / 2
    images, masks = images_of(colored_mesh(ball.vertices, ball.faces, paint), 256)
    colors, seen = project_colors(ball.vertices, ball.vertices, ball.vertices, ball.faces, images, masks)
    assert seen.all() and colors.dtype == np.float32
    assert np.abs(colors - paint).max() < 0.02


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
    colors, seen = project_colors(*arguments, cameras[:count])
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
    colors, seen = project_colors(points, ball.vertices, ball.vertices, ball.faces, images, masks)
    assert seen.all() and np.abs(colors - RED).max() < 1e-4


def test_a_hidden_patch_wears_its_own_neighbors_not_what_hides_it(shaded_roof):
    images, masks = images_of(shaded_roof)
    x, z = np.random.default_rng(0).uniform(-0.45, 0.45, (2, 200))
    under = np.stack([x, np.zeros(200), z], axis=1)
    beside = under * 0 + [0.8, 0, 0.7]
    up = np.tile([0.0, 1, 0], (200, 1))
    points, normals = np.concatenate([under, beside]), np.concatenate([up, up])
    colors, seen = project_colors(points, normals, shaded_roof.vertices, shaded_roof.faces, images, masks)
    assert not seen[:200].any() and seen[200:].all()
    assert np.allclose(colors, GREEN, atol=0.01)
    above = under + [0, 0.4, 0]
    colors, seen = project_colors(above, up, shaded_roof.vertices, shaded_roof.faces, images, masks)
    assert seen.all() and np.allclose(colors, RED, atol=0.01)


@pytest.mark.slow
def test_an_unseen_point_takes_the_color_of_its_nearest_seen_one_or_of_one_about_as_near():
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(100_000, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)  # a color is the place itself
    beside = ball[:100] * 1.001
    assert np.array_equal(_nearest_colors(beside, ball, ball), ball[:100])
    inside = 0.5 * rng.normal(size=(300, 3)).clip(-1, 1)
    found = np.linalg.norm(_nearest_colors(inside, ball, ball) - inside, axis=1)
    least = np.sqrt(((ball[None] - inside[:, None]) ** 2).sum(axis=2).min(axis=1))
    assert (found - least).max() < 0.01


def test_where_nothing_is_seen_no_color_is_made_up(shaded_roof):
    images, masks = images_of(shaded_roof, 64)
    point, down = np.array([[0.0, 0.3, 0.0]]), np.array([[0.0, -1, 0]])  # the plate's underside, above the slab
    colors, seen = project_colors(point, down, shaded_roof.vertices, shaded_roof.faces, images, masks)
    assert not seen.any() and np.isfinite(colors).all()


def test_pixels_at_an_outline_do_not_bleed_the_white_background_in():
    box = trimesh.creation.box([1.61, 1.13, 0.97])  # outlines within pixels
    images, masks = images_of(solid_mesh(box, RED), 64)
    points, face = trimesh.sample.sample_surface(box, 3000, seed=0)
    colors, seen = project_colors(points, box.face_normals[face], box.vertices, box.faces, images, masks)
    assert np.allclose(colors, RED, atol=0.05) and 0.8 < seen.mean() < 1


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
