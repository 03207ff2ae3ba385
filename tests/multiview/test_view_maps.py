"""Maps of six images against a ball's hull, which is known by formula, and against turned copies of one object."""
import numpy as np
import pytest
import trimesh

from config import VIEW_NAMES
from tests.multiview.test_visual_hull import arms, silhouettes, solid_mesh
from utils.mesh.mesh import plain_mesh
from utils.multiview.view_maps import CHANNELS, MAP_SIZE, view_maps
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT
from utils.rendering.rasterizer import over_white, render_views

PIXEL = 2 * VIEW_EXTENT / MAP_SIZE
COLOR, ALPHA, EDGE, ENTRY, LEAVE = slice(0, 3), 3, 4, 5, 6


def maps_of(mesh, cameras=None):
    named = None if cameras is None else dict(zip(VIEW_NAMES, cameras))
    drawn = np.stack(list(render_views(mesh, 2 * MAP_SIZE, cameras=named).values()))
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
