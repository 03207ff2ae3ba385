"""Depth maps of a box whose sides are known, and what can be seen past it."""
import numpy as np
import pytest
import trimesh

from utils.rendering.cameras import VIEW_BASES
from utils.rendering.depth_maps import fitted_depth_maps, is_visible, paired_depth_maps, visible_directions

BASES = [VIEW_BASES[name] for name in ("front", "left", "top")]


@pytest.fixture(scope="module")
def box():
    solid = trimesh.creation.box((1.2, 0.8, 2.0))
    return solid.vertices + [3.0, -1.0, 0.5], solid.faces


def test_a_fitted_map_shows_the_near_side_whatever_the_size_and_place(box):
    vertices, faces = box
    for factor in (1.0, 50.0):
        for view, depth in zip(fitted_depth_maps(vertices * factor, faces, BASES, 64), (1.0, 0.6, 0.4)):
            assert view.depth[32, 32] / view.scale == pytest.approx(depth * factor, rel=1e-5)
            inside = np.isfinite(view.depth)
            assert max(inside.any(axis=0).mean(), inside.any(axis=1).mean()) > 0.92 and not inside[0].any()


def test_paired_maps_are_a_view_and_its_opposite(box):
    vertices, faces = box[0] - [3.0, -1.0, 0.5] + [0, 0, 0.25], box[1]
    maps = paired_depth_maps(vertices, faces, BASES, 64, extent=1.75)
    assert len(maps) == 6
    assert [view.depth[32, 32] for view in maps] == pytest.approx([1.25, 0.75, 0.6, 0.6, 0.4, 0.4], abs=1e-5)
    for near, far in (maps[:2], maps[2:4], maps[4:]):
        assert np.array_equal(np.isfinite(near.depth), np.isfinite(far.depth))
        assert np.array_equal(near.basis[:2], far.basis[:2]) and np.array_equal(near.basis[2], -far.basis[2])


def test_a_point_in_the_shadow_of_a_plate_is_seen_from_the_other_directions_only():
    plate = np.array([[-1.0, -1, 0.5], [1, -1, 0.5], [1, 1, 0.5], [-1, 1, 0.5]]), np.array([[0, 1, 2], [0, 2, 3]])
    points = np.array([[0.0, 0, 0], [0, 0, 1.0]])
    free = visible_directions(points, paired_depth_maps(*plate, BASES, 128, extent=1.75))
    # Front, back, left, right, top, bottom: the plate lies across the line to the front, or to the back.
    assert free.tolist() == [[False, True, True, True, True, True], [True, False, True, True, True, True]]


def test_a_side_is_visible_unless_something_lies_before_it(box):
    vertices, faces = box
    plate = vertices[[np.argmax(vertices @ [1, 1, 1])]] + np.array([[0, 0, 0.3], [-2, 0, 0.3], [-2, -2, 0.3]])
    hidden = np.concatenate([vertices, plate]), np.concatenate([faces, [[8, 9, 10]]])
    front = np.array([[3.0 - 0.3, -1.0 + 0.1, 1.5]]), np.array([[0.0, 0, 1]])
    assert is_visible(*front, fitted_depth_maps(vertices, faces, BASES[:1], 256)).all()
    assert not is_visible(*front, fitted_depth_maps(*hidden, BASES[:1], 256)).any()
    assert not is_visible(*front, fitted_depth_maps(vertices, faces, BASES[1:], 256)).any(), "edge-on says nothing"
