"""Generated solids: repeatable, closed, outward, normalized, and solid where a count of crossings says so."""
import numpy as np
import pytest
import trimesh

import utils.training_data.synthetic_shapes
from utils.training_data.occupancy import outer_surface, signed_distances
from utils.training_data.synthetic_shapes import outline, superellipse, synthetic_shape

SEEDS = range(30)


@pytest.fixture(scope="module")
def shapes():
    return [synthetic_shape(np.random.default_rng(seed)) for seed in SEEDS]


def as_solid(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def test_equal_generators_give_equal_shapes_and_others_do_not(shapes):
    again = synthetic_shape(np.random.default_rng(3))
    for name in ("vertices", "faces", "corner_colors"):
        assert np.array_equal(getattr(shapes[3], name), getattr(again, name))
    assert not np.array_equal(shapes[3].vertices[:500], shapes[4].vertices[:500])


def test_shapes_are_centerd_with_a_longest_edge_of_two(shapes):
    for mesh in shapes:
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        assert low + high == pytest.approx(np.zeros(3), abs=1e-9)
        assert (high - low).max() == pytest.approx(2)


def test_shapes_are_closed_and_their_faces_look_outwards(shapes):
    for seed, mesh in zip(SEEDS, shapes):
        solid = as_solid(mesh)
        assert solid.is_watertight and solid.is_winding_consistent, seed
        assert solid.volume > 0, seed


def test_colors_are_in_range_and_not_all_alike(shapes):
    assert all(((mesh.corner_colors >= 0) & (mesh.corner_colors <= 1)).all() for mesh in shapes)
    assert len({tuple(mesh.corner_colors[0, 0]) for mesh in shapes}) > 20


def test_some_shapes_are_hollow_and_most_are_not(shapes):
    plain = sum(len(mesh.vertices) == utils.training_data.synthetic_shapes.RINGS * utils.training_data.synthetic_shapes.SPOKES + 2
                for mesh in shapes)
    assert len(shapes) / 2 < plain < len(shapes) - 4


def test_a_ball_is_one_of_the_family():
    height, angle = np.linspace(-1, 1, 9), np.linspace(0, 6, 9)
    assert superellipse(height, 2) == pytest.approx(np.sqrt(1 - height ** 2)) and outline(angle, 2) == pytest.approx(1)


def test_high_powers_come_near_a_box():
    assert superellipse(np.array([0.9]), 30) == pytest.approx(1, abs=0.01)
    assert outline(np.array([0, np.pi / 4]), 30) == pytest.approx([1, np.sqrt(2)], rel=0.03)


@pytest.mark.parametrize("hollow", [False, True])
def test_labels_agree_with_a_count_of_crossings(hollow, monkeypatch):
    """Deep in a cavity whose mouth no direction meets, labels may say solid: then only one way is asked for."""
    pytest.importorskip("embreex")
    monkeypatch.setattr(utils.training_data.synthetic_shapes, "HOLLOW_SHARE", float(hollow))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        mesh = synthetic_shape(rng)
        solid = as_solid(mesh)
        points = rng.uniform(-1, 1, (1500, 3)) * solid.extents / 2
        inside = solid.contains(points)
        found = signed_distances(points, outer_surface(mesh, 20_000, rng))
        sure = np.abs(found) > 0.01
        assert (found[inside & sure] > 0).mean() > 0.995, seed
        agree = ((found > 0) == inside)[sure].mean()
        assert agree > (0.93 if hollow else 0.995), seed
