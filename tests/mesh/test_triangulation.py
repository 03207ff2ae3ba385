"""Polygons of known area, convex and not, lying anywhere in space."""
import numpy as np
import pytest
import trimesh

from utils.mesh.triangulation import triangulate

L_SHAPE = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
# A square with a square hole, as one outline that runs in along a bridge and out again
WITH_HOLE = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1), (1, 1)]
STAR = [(np.cos(a) * (1 + i % 2), np.sin(a) * (1 + i % 2)) for i, a in enumerate(np.arange(24) * np.pi / 12)]
COMB = [(0, 0), (9, 0)] + [(9 - i, 1 if i % 2 else 5) for i in range(10)]
SPIRAL = [(r * np.cos(r), r * np.sin(r)) for r in np.arange(1, 20, 0.2)]
SPIRAL = SPIRAL + [((r - 0.5) * np.cos(r), (r - 0.5) * np.sin(r)) for r in np.arange(1, 20, 0.2)[::-1]]
SHAPES = {"triangle": [(0, 0), (1, 0), (0, 1)], "quad": [(0, 0), (2, 0), (2, 1), (0, 1)],
          "dart": [(0, 0), (2, 2), (0, 1), (-2, 2)], "L": L_SHAPE, "hole": WITH_HOLE, "star": STAR, "comb": COMB,
          "spiral": SPIRAL, "point on an edge": [(0, 0), (1, 0), (2, 0), (2, 2), (0, 2)]}


def shoelace(points):
    x, y = np.array(points, float).T
    return np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2


def areas_along(points, triangles, normal):
    a, b, c = (points[triangles[:, i]] for i in range(3))
    return np.cross(b - a, c - a) @ normal / 2


def placed(points, seed):
    """The points of a plane somewhere in space, and its normal."""
    turn = trimesh.transformations.random_rotation_matrix(np.random.default_rng(seed).random(3))[:3, :3]
    return np.column_stack([points, np.zeros(len(points))]) @ turn.T + [30, -4, 2], turn[:, 2]


@pytest.mark.parametrize("name", SHAPES)
def test_a_polygon_is_covered_once_and_not_left(name):
    """Every corner as the first, both ways around, anywhere in space: areas of one sign that add up to the polygon's."""
    outline = np.array(SHAPES[name], float)
    for seed, start in enumerate(range(0, len(outline), max(1, len(outline) // 8))):
        for way in (1, -1):
            points, normal = placed(np.roll(outline, start, axis=0)[::way], seed)
            triangles, polygons = triangulate(points, np.arange(len(points)), np.array([len(points)]))
            areas = areas_along(points, triangles, normal) * np.sign(shoelace(outline)) * way
            assert len(triangles) == len(points) - 2 and (polygons == 0).all()
            assert areas.min() > -1e-9 and areas.sum() == pytest.approx(abs(shoelace(outline)))


def test_a_notch_stays_empty():
    points, _ = placed(np.array(L_SHAPE, float), 1)
    triangles, _ = triangulate(points, np.arange(6), np.array([6]))
    solid = trimesh.Trimesh(points, triangles, process=False)
    inside, _ = placed(np.array([(1.5, 0.5), (0.5, 1.5), (0.9, 0.9)]), 1)
    outside, _ = placed(np.array([(1.5, 1.5), (1.1, 1.1), (1.9, 1.2)]), 1)
    assert trimesh.proximity.closest_point_naive(solid, inside)[1].max() < 1e-9
    assert trimesh.proximity.closest_point_naive(solid, outside)[1].min() > 0.09


def test_polygons_of_all_sizes_keep_their_order_and_corners():
    points = np.column_stack([np.array(L_SHAPE, float), np.zeros(6)])
    corners = np.array([0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5, 0, 1, 0, 1, 2, 3])
    triangles, polygons = triangulate(points, corners, np.array([3, 6, 3, 2, 4]))
    assert polygons.tolist() == [0] + [1] * 4 + [2] + [4] * 2
    assert (np.diff(triangles[polygons != 1].min(axis=1)) >= 0).all()
    assert all(set(corners[triangle]) <= set(corners[3:9]) for triangle in triangles[polygons == 1])
    assert len(triangulate(points, corners[:2], np.array([2]))[0]) == 0
    assert len(triangulate(points, corners[:0], np.array([], int))[0]) == 0


@pytest.mark.parametrize("points", [
    np.zeros((5, 3)), np.full((5, 3), np.nan), np.outer(np.arange(5), [1, 2, 3]), np.full((5, 3), 1e300),
    np.array([[0, 0, 0], [2, 2, 0], [2, 0, 0], [0, 2, 0], [5, 5, 5.0]])], ids=["point", "nan", "line", "huge", "crossed"])
def test_polygons_without_an_inside_give_triangles_all_the_same(points):
    triangles, _ = triangulate(points, np.arange(5), np.array([5]))
    assert triangles.shape == (3, 3) and 0 <= triangles.min() <= triangles.max() < 5


def test_a_bent_quad_is_divided_along_the_diagonal_that_does_not_fold():
    points = np.array([[0, 0, 0], [2, 2, 0.1], [0, 1, 0], [-2, 2, 0.1]])
    triangles, _ = triangulate(points, np.arange(4), np.array([4]))
    assert (areas_along(points, triangles, np.array([0, 0, 1.0])) > 0).all()
