"""Solid and free space against bodies whose inside is known: whole, open, nested, turned inside out or thin."""
import numpy as np
import pytest
import trimesh

from tests.multiview.test_visual_hull import solid_mesh
from utils.mesh.mesh import plain_mesh
from utils.rendering.depth_maps import can_leave, visible_directions
from utils.training_data.occupancy import (
    DIRECTIONS,
    THIN_SURFACE_THICKNESS,
    directional_depth_maps,
    distances_and_walls,
    outer_surface,
    signed_distances,
)

COUNT = 20_000
BALL_RADIUS = 0.8


def ball(radius=BALL_RADIUS, subdivisions=4):
    return trimesh.creation.icosphere(subdivisions, radius)


def bowl():
    """A half ball with a wall 0.2 thick, open upwards."""
    angles = np.linspace(-np.pi / 2, 0, 24)
    outer, inner = (radius * np.stack([np.cos(angles), np.sin(angles)], axis=1) for radius in (1.0, 0.8))
    turned = trimesh.creation.revolve(np.concatenate([outer, inner[::-1]]), sections=64)
    return turned.vertices[:, [0, 2, 1]], turned.faces[:, ::-1]  # its axis from z to y


def points_between(rng, low, high, count=500):
    """Random points whose distance from the origin lies between two values."""
    directions = rng.normal(size=(count, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(low, high, (count, 1))


def distances_of(mesh, points, count=COUNT):
    return signed_distances(points, outer_surface(mesh, count, np.random.default_rng(0)))


def test_distances_to_a_ball_are_radius_minus_distance_from_its_center():
    points = points_between(np.random.default_rng(1), 0.0, 1.6, 4000)
    truth = BALL_RADIUS - np.linalg.norm(points, axis=1)
    found = distances_of(solid_mesh(ball()), points)
    assert np.abs(found - truth).max() < 0.015 and found.dtype == np.float32
    near = np.abs(truth) < 0.02
    assert near.any() and np.abs(found - truth)[near].max() < 0.004, "finely where the surface is"
    assert ((found > 0) == (truth > 0))[np.abs(truth) > 0.008].all()


def test_distances_to_a_box_are_those_to_its_nearest_face():
    half = np.array([0.9, 0.5, 0.3])
    points = np.random.default_rng(1).uniform(-1, 1, (2000, 3)) * half  # inside
    truth = (half - np.abs(points)).min(axis=1)
    found = distances_of(solid_mesh(trimesh.creation.box(2 * half)), points)
    assert np.abs(found - truth).max() < 0.03 and np.abs(found - truth).mean() < 0.004


@pytest.mark.parametrize("turned", ["all", "half"])
def test_faces_turned_the_wrong_way_change_no_label(turned):
    solid = ball()
    flipped = np.random.default_rng(0).random(len(solid.faces)) < (2 if turned == "all" else 0.5)
    faces = np.where(flipped[:, None], solid.faces[:, ::-1], solid.faces)
    surface = outer_surface(plain_mesh(solid.vertices, faces), COUNT, np.random.default_rng(0))
    assert (np.einsum("kj,kj->k", surface.normals, surface.points) > 0).all(), "normals point to the free side"
    assert not surface.sheet.any()
    rng = np.random.default_rng(1)
    for low, high, solid_there in ((0, 0.77, True), (0.83, 1.5, False)):
        assert ((signed_distances(points_between(rng, low, high), surface) > 0) == solid_there).all()


@pytest.mark.parametrize("turned", [False, True])
def test_faces_that_are_there_twice_change_no_label(turned):
    mesh, points = ball(), points_between(np.random.default_rng(1), 0.3, 1.2)
    again = mesh.faces[:, ::-1] if turned else mesh.faces
    doubled = plain_mesh(mesh.vertices, np.concatenate([mesh.faces, again]))
    expected = BALL_RADIUS - np.linalg.norm(points, axis=1)
    clear = np.abs(expected) > 0.02
    assert np.array_equal(distances_of(doubled, points)[clear] > 0, expected[clear] > 0)


def test_the_inside_of_an_open_bowl_is_free_and_its_wall_is_solid():
    mesh = plain_mesh(*bowl())
    rng = np.random.default_rng(1)

    def below(points, margin):
        return points[points[:, 1] < -margin]

    surface = outer_surface(mesh, COUNT, rng)
    assert (signed_distances(below(points_between(rng, 0, 0.77), 0.05), surface) < 0).all()
    assert (signed_distances(below(points_between(rng, 0.83, 0.97), 0.05), surface) > 0).all()
    assert (signed_distances(below(points_between(rng, 1.03, 1.4), 0.05), surface) < 0).all()
    assert (np.abs(surface.points[surface.sheet][:, 1]) < 0.01).all(), "only beside the rim's edges are both sides free"
    middle = below(points_between(rng, 0.9, 0.9), 0.2)
    assert signed_distances(middle, surface) == pytest.approx(np.full(len(middle), 0.1), abs=0.01)


def test_what_a_closed_box_hides_is_solid_and_leaves_no_surface():
    box, inner = trimesh.creation.box([1.6, 1.6, 1.6]), ball(0.4, 3)
    mesh = solid_mesh(trimesh.util.concatenate([box, inner]))
    surface = outer_surface(mesh, COUNT, np.random.default_rng(0))
    assert np.abs(surface.points).max(axis=1) == pytest.approx(np.full(len(surface.points), 0.8), abs=1e-6)
    rng = np.random.default_rng(1)
    for low, high in ((0, 0.38), (0.42, 0.75)):
        points = points_between(rng, low, high)
        found = signed_distances(points, surface)
        assert found == pytest.approx(0.8 - np.abs(points).max(axis=1), abs=0.03)


@pytest.mark.parametrize("faces", [[[0, 1, 2], [0, 2, 3]], [[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]]],
                         ids=["one side", "both sides"])
def test_a_sheet_has_the_thickness_of_sheets(faces):
    corners = np.array([[-1.0, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]])
    surface = outer_surface(plain_mesh(corners, faces), COUNT, np.random.default_rng(0))
    assert surface.sheet.all()
    points = np.random.default_rng(1).uniform(-0.7, 0.7, (1000, 3)) * [1, 0.04, 1]
    truth = THIN_SURFACE_THICKNESS / 2 - np.abs(points[:, 1])
    found = signed_distances(points, surface)
    assert np.array_equal(found > 0, truth > 0)
    assert np.quantile(np.abs(found - truth), 0.95) < 1e-5 and np.abs(found - truth).max() < THIN_SURFACE_THICKNESS


def test_every_direction_leaves_from_beside_a_ball_but_those_that_meet_it():
    mesh = solid_mesh(ball(0.5))
    images = directional_depth_maps(mesh.vertices, mesh.faces)
    assert len(images) == DIRECTIONS
    toward = np.stack([view.basis[2] for view in images])
    assert np.abs(toward.sum(axis=0)).max() < 1e-9 and np.allclose(np.linalg.norm(toward, axis=1), 1)
    assert ((toward @ toward.T) - 2 * np.eye(DIRECTIONS)).max(axis=1).min() > 0.85, "each has a neighbor within 32 deg"
    points = points_between(np.random.default_rng(0), 0.6, 1.2)
    free = visible_directions(points, images)
    along = points @ toward.T
    clearance = np.sqrt((points ** 2).sum(axis=1)[:, None] - along ** 2)
    meets = (along < 0) & (clearance < 0.48)
    misses = (along > 0) | (clearance > 0.52)
    assert not free[meets].any() and free[misses].all()


def test_whether_any_direction_leaves_is_what_all_directions_say():
    mesh, rng = plain_mesh(*bowl()), np.random.default_rng(5)
    surface, points = outer_surface(mesh, COUNT, rng), rng.uniform(-1.2, 1.2, (3000, 3))
    directions = visible_directions(points, surface.depth_maps)
    assert np.array_equal(can_leave(points, surface.depth_maps), directions.any(axis=1))
    normals = rng.normal(size=points.shape)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    facing = normals @ np.stack([view.basis[2] for view in surface.depth_maps]).T > 0.1
    clear = np.abs(normals @ np.stack([view.basis[2] for view in surface.depth_maps]).T - 0.1).min(axis=1) > 1e-5
    expected = (directions & facing).any(axis=1)
    assert np.array_equal(can_leave(points, surface.depth_maps, normals)[clear], expected[clear])
    assert 0.1 < expected.mean() < directions.any(axis=1).mean()


@pytest.mark.parametrize("thickness", [0.02, 0.04])
def test_the_walls_of_a_thin_plate_are_as_thick_as_it_is_and_its_labels_are_its_own(thickness):
    plate = solid_mesh(trimesh.creation.box([1.6, thickness, 1.2]))
    rng = np.random.default_rng(0)
    surface = outer_surface(plate, 40_000, rng)
    broad = (np.abs(surface.normals[:, 1]) > 0.9) & (np.abs(surface.points[:, [0, 2]]) < 0.5).all(axis=1)
    assert (np.abs(surface.thickness[broad] - thickness) < 1e-6).mean() > 0.99
    points = rng.uniform(-1, 1, (3000, 3)) * [0.7, 0.1, 0.5]
    distances, walls = distances_and_walls(points, surface)
    error, near = np.abs(distances - (thickness / 2 - np.abs(points[:, 1]))), np.abs(points[:, 1]) < thickness / 2 + 0.02
    assert np.quantile(error[near], 0.95) < 1e-4 and error.max() < 0.005
    assert (np.abs(walls - thickness) < 1e-6).mean() > 0.98


def test_a_thick_block_has_no_thin_wall_and_the_gap_between_two_blocks_is_none_either():
    low, high = trimesh.creation.box([1, 0.5, 1]), trimesh.creation.box([1, 0.5, 1])
    low.apply_translation([0, -0.27, 0])
    high.apply_translation([0, 0.27, 0])  # 0.04 apart
    surface = outer_surface(solid_mesh(trimesh.util.concatenate([low, high])), 40_000, np.random.default_rng(0))
    inner = (np.abs(surface.points[:, [0, 2]]) < 0.4).all(axis=1)
    assert inner.sum() > 1000 and np.isinf(surface.thickness[inner]).all()
