"""Maps of six images against a ball's hull, which is known by formula, and against turned copies of one object."""
import numpy as np
import pytest
import trimesh

from config import VIEW_NAMES
from tests.multiview.test_visual_hull import arms, silhouettes, solid_mesh
from utils.mesh.mesh import plain_mesh
from utils.multiview.view_maps import CHANNELS, MAP_SIZE, mirrored_view, view_maps
from utils.multiview.visual_hull import hull_on_grid, silhouette_sdf
from utils.rendering.cameras import ORTHOGRAPHIC, VIEW_BASES, VIEW_EXTENT, Camera, pixel_rays, rotation_matrix
from utils.rendering.image_sampling import sample_images
from utils.rendering.rasterizer import over_white, render_views

PIXEL = 2 * VIEW_EXTENT / MAP_SIZE
OPPOSITE = {"front": "back", "back": "front", "left": "right", "right": "left", "top": "bottom", "bottom": "top"}
COLOR, ALPHA, EDGE, ENTRY, LEAVE = slice(0, 3), 3, 4, 5, 6


def maps_of(mesh, cameras=ORTHOGRAPHIC):
    drawn = np.stack(list(render_views(mesh, 2 * MAP_SIZE, cameras=dict(zip(VIEW_NAMES, cameras))).values()))
    return view_maps(over_white(drawn).astype(np.float32) / 255, drawn[..., 3].astype(np.float32) / 255, cameras=cameras)


@pytest.fixture(scope="module")
def ball():
    """Center, radius, maps and box of a ball that is off center, so that no two opposite views agree in depth."""
    center, radius = np.array([0.13, -0.08, 0.21]), 0.75
    solid = trimesh.creation.icosphere(4, radius)
    return center, radius, *maps_of(plain_mesh(solid.vertices + center, solid.faces, (0.9, 0.5, 0.1)))


def places(name, center):
    """Image right and up of the map's pixel centers, from the ball's center."""
    at = (np.arange(MAP_SIZE) + 0.5) * PIXEL - VIEW_EXTENT
    right, up, _ = VIEW_BASES[name] @ center
    return at[None] - right, -at[:, None] - up


@pytest.mark.parametrize("name", VIEW_NAMES)
def test_a_ball_is_entered_and_left_where_two_cylinders_end(name, ball):
    center, radius, maps, _ = ball
    right, up = places(name, center)
    inside = np.hypot(right, up) < radius - 2 * PIXEL
    reach = np.sqrt((radius ** 2 - np.maximum(np.abs(right), np.abs(up)) ** 2).clip(0)) * np.ones_like(inside)
    depth = VIEW_BASES[name][2] @ center
    sure = inside & (reach > 0.3)  # near the rim the surface runs along the line of sight
    entry, leave = maps[VIEW_NAMES.index(name), ENTRY], maps[VIEW_NAMES.index(name), LEAVE]
    assert np.abs(entry - (depth + reach))[sure].max() < 1.2 * PIXEL
    assert np.abs(leave - (reach - depth))[sure].max() < 1.2 * PIXEL
    assert abs((entry - (depth + reach))[sure].mean()) < 0.3 * PIXEL
    outside = np.hypot(right, up) > radius + PIXEL
    assert not entry[outside].any() and not leave[outside].any()


@pytest.mark.parametrize("name", VIEW_NAMES)
def test_edge_alpha_and_color_of_a_ball_are_those_of_its_disc(name, ball):
    center, radius, maps, _ = ball
    right, up = places(name, center)
    truth = radius - np.hypot(right, up)
    view = maps[VIEW_NAMES.index(name)]
    assert np.abs(view[EDGE] - truth)[np.abs(truth) < 0.2].max() < PIXEL
    assert (view[ALPHA][truth > PIXEL] == 1).all() and (view[ALPHA][truth < -PIXEL] == 0).all()
    shown = np.array([0.9, 0.5, 0.1])[:, None]
    assert np.allclose(view[COLOR][:, truth > PIXEL], shown, atol=0.003)
    assert (view[COLOR][:, truth < -PIXEL] == 1).all(), "the background is white"


def hand_held(seed):
    rng = np.random.default_rng(seed)
    return [Camera(rotation_matrix(np.radians(rng.uniform(-5, 5, 3))) @ basis, rng.uniform(0.1, 0.3), rng.uniform(0.6, 0.7),
                   rng.uniform(-0.1, 0.1, 2)) for basis in VIEW_BASES.values()]


def cone(camera, center, radius, points):
    """Signed distance of points (K, 3) to the cone of a camera's lines that touch a ball, positive inside."""
    eye = camera.basis[2] / camera.inverse_distance
    axis = center - eye
    length = np.linalg.norm(axis)
    sine = radius / length
    along = (points - eye) @ axis / length
    aside = np.sqrt(np.maximum(((points - eye) ** 2).sum(axis=-1) - along ** 2, 0))
    return along * sine - aside * np.sqrt(1 - sine ** 2)


@pytest.fixture(scope="module")
def photographed_ball():
    center, radius, cameras = np.array([0.13, -0.08, 0.21]), 0.7, hand_held(0)
    solid = trimesh.creation.icosphere(4, radius)
    return center, radius, cameras, *maps_of(plain_mesh(solid.vertices + center, solid.faces), cameras)


def test_in_perspective_a_ball_s_hull_is_what_its_six_cones_share(photographed_ball):
    center, radius, cameras, maps, box = photographed_ball
    axes = [np.linspace(low - 0.1, high + 0.1, 40) for low, high in box.T]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    truth = np.min([cone(camera, center, radius, points) for camera in cameras], axis=0)
    hull = hull_on_grid(maps[:, EDGE], axes, cameras)
    sure = np.abs(truth) > 0.5 * PIXEL
    assert ((hull > 0) == (truth > 0))[sure].all() and (truth > 0).mean() > 0.2
    near = np.abs(truth) < 0.05
    assert np.abs(hull - truth)[near].max() < PIXEL and abs((hull - truth)[near].mean()) < 0.15 * PIXEL
    rim = np.argwhere(truth > 0)
    corners = [[axis[part] for axis, part in zip(axes, ends)] for ends in (rim.min(axis=0), rim.max(axis=0))]
    step = max(axis[1] - axis[0] for axis in axes)
    assert np.abs(box - corners).max() < step


def test_in_perspective_lines_of_sight_enter_and_leave_where_the_cones_end(photographed_ball):
    center, radius, cameras, maps, _ = photographed_ball
    for number, camera in enumerate(cameras):
        rows, columns = np.nonzero(maps[number, EDGE] > 3 * PIXEL)
        rows, columns = rows[::7], columns[::7]
        origins, directions = pixel_rays(camera, (np.stack([columns, rows], axis=1) + 0.5) * 2 / MAP_SIZE - 1)
        depths = np.linspace(-1.3, 1.3, 1041)
        others = [other for other in cameras if other is not camera]
        inside = np.array([(np.min([cone(other, center, radius, origins + depth * directions) for other in others], axis=0) > 0)
                           for depth in depths[::4]])
        first, last = depths[::4][inside.argmax(axis=0)], depths[::4][::-1][inside[::-1].argmax(axis=0)]
        entry, leave = (maps[number, channel, rows, columns] for channel in (ENTRY, LEAVE))
        assert np.quantile(np.abs(entry - last), 0.98) < 1.5 * PIXEL and np.quantile(np.abs(leave + first), 0.98) < 1.5 * PIXEL
        assert abs(np.median(entry - last)) < 0.5 * PIXEL


def test_given_the_six_named_cameras_maps_are_the_same_bytes_and_almost_named_ones_give_almost_the_same(ball):
    mesh = solid_mesh(arms())
    expected, box = maps_of(mesh)
    named = [Camera(basis) for basis in VIEW_BASES.values()]
    maps, other = maps_of(mesh, named)
    assert np.array_equal(maps, expected) and np.array_equal(other, box)
    distances = silhouette_sdf(silhouettes(mesh, 256))
    drawn = np.stack(list(render_views(mesh, 2 * MAP_SIZE).values()))
    nearly = [Camera(basis, 1e-9) for basis in VIEW_BASES.values()]
    maps, other = view_maps(over_white(drawn).astype(np.float32) / 255, drawn[..., 3].astype(np.float32) / 255,
                            distances, nearly)
    assert np.abs(other - box).max() < PIXEL / 2
    assert np.array_equal(maps[:, :5], expected[:, :5])
    assert np.quantile(np.abs(maps[:, 5:] - expected[:, 5:]), 0.995) < 0.01


@pytest.mark.parametrize("view", VIEW_NAMES)
def test_a_mirrored_view_says_of_every_point_what_its_opposite_says(view):
    camera = hand_held(4)[VIEW_NAMES.index(view)]
    image = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    points = np.random.default_rng(1).uniform(-0.6, 0.6, (200, 3))
    stand_in, mirrored = mirrored_view(camera, view, image)
    read, other = (sample_images(each[None, ..., None], points, [which]) for each, which in
                   ((image, camera), (mirrored, stand_in)))
    assert np.allclose(read, other, atol=1e-5) and read.std() > 0.1
    exact, _ = mirrored_view(Camera(VIEW_BASES[view]), view, image)
    assert exact.is_exact() and np.array_equal(exact.basis, VIEW_BASES[OPPOSITE[view]])


@pytest.mark.parametrize("count", [3, 4, 5])
def test_maps_of_fewer_views_are_those_of_their_own_hull(count):
    mesh = solid_mesh(trimesh.creation.box([1.2, 0.8, 1.6]))
    chosen = [VIEW_NAMES.index(view) for view in ("front", "left", "top", "back", "right")[:count]]
    drawn = np.stack(list(render_views(mesh, 2 * MAP_SIZE).values()))[chosen]
    cameras = [Camera(VIEW_BASES[VIEW_NAMES[number]]) for number in chosen]
    maps, box = view_maps(over_white(drawn).astype(np.float32) / 255, drawn[..., 3].astype(np.float32) / 255, cameras=cameras)
    assert maps.shape[0] == count
    assert np.abs(box - np.array([[-0.6, -0.4, -0.8], [0.6, 0.4, 0.8]])).max() < PIXEL / 2
    for each, camera in zip(maps, cameras):
        depth = np.abs(camera.basis[2] @ [0.6, 0.4, 0.8])
        inside = each[EDGE] > 2 * PIXEL
        assert np.abs(each[ENTRY][inside] - depth).max() < PIXEL and np.abs(each[LEAVE][inside] - depth).max() < PIXEL


def test_the_box_of_a_ball_is_its_diameter(ball):
    center, radius, _, box = ball
    assert box == pytest.approx(np.stack([center - radius, center + radius]), abs=PIXEL / 2)
    assert box.dtype == np.float32


def test_channels_are_as_many_as_named_and_finite(ball):
    maps = ball[2]
    assert maps.shape == (6, len(CHANNELS), MAP_SIZE, MAP_SIZE) and maps.dtype == np.float32
    assert np.isfinite(maps).all()


def test_a_turned_object_shows_in_each_view_what_another_view_showed():
    solid = arms()
    turned = solid.vertices @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]).T  # +z to +x: its front becomes its left
    maps, _ = maps_of(solid_mesh(solid))
    other, _ = maps_of(plain_mesh(turned, solid.faces))
    for shows, showed in (("left", "front"), ("back", "left"), ("right", "back"), ("front", "right")):
        difference = np.abs(other[VIEW_NAMES.index(shows)] - maps[VIEW_NAMES.index(showed)])
        assert difference[EDGE].max() < 0.6 * PIXEL and np.quantile(difference, 0.99) < 0.6 * PIXEL, (shows, showed)
    # and the top view turns in its own plane, towards the image's right
    top = VIEW_NAMES.index("top")
    assert np.quantile(np.abs(other[top] - np.rot90(maps[top], 1, axes=(1, 2))), 0.99) < 0.6 * PIXEL


def test_images_without_an_object_give_finite_maps_and_the_whole_frame_as_box():
    size = 2 * MAP_SIZE
    maps, box = view_maps(np.ones((6, size, size, 3), np.float32), np.zeros((6, size, size), np.float32))
    assert np.isfinite(maps).all() and not maps[:, [ALPHA, ENTRY, LEAVE]].any()
    assert box == pytest.approx(np.array([[-VIEW_EXTENT] * 3, [VIEW_EXTENT] * 3]), abs=PIXEL)


def test_four_pixels_become_their_mean():
    images, masks = np.ones((6, 256, 256, 3), np.float32), silhouettes(solid_mesh(trimesh.creation.box([1, 1, 1])), 256)
    images[:, ::2, 1::2], masks[0, 100, 100] = 0.2, 0.5
    maps, _ = view_maps(images, masks)
    assert np.allclose(maps[:, COLOR], (0.2 + 3) / 4, atol=1e-6)
    assert maps[0, ALPHA, 50, 50] == pytest.approx(0.875)
