"""A surface in few charts: none mirrored, none lying on itself, all of them about as large as the surface."""
import numpy as np
import pytest
import trimesh

from utils.mesh.isosurface import mesh_from_grid
from utils.rendering.charts import cut_into_charts


def knobbly():
    """A ball with a handle, a deep bowl-shaped bite and thorns: much that no single chart could show."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 56)] * 3, indexing="ij")
    ball = 0.6 - np.sqrt(x**2 + y**2 + z**2)
    ring = 0.09 - np.hypot(np.hypot(x - 0.6, y) - 0.3, z)
    bite = np.sqrt(x**2 + (y - 0.6) ** 2 + z**2) - 0.42
    thorns = np.maximum(0.05 - np.hypot(x, y + 0.2), 0.05 - np.hypot(x + 0.3, y - 0.1)) - 0.2 * np.abs(z) ** 9
    thorns = np.minimum(thorns, 0.8 - np.abs(z))
    return mesh_from_grid(np.minimum(np.maximum.reduce([ball, ring, thorns]), bite).astype(np.float32),
                          [np.linspace(-1, 1, 56)] * 3, faces=4000)


def box():
    solid = trimesh.creation.box((0.8, 0.6, 2.0)).subdivide().subdivide().subdivide()
    return np.asarray(solid.vertices), np.asarray(solid.faces)


def signed_areas(flat, face_flat):
    a, b, c = flat[face_flat].transpose(1, 0, 2)
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def area_twice_covered(triangles, step):
    """Area that more than one of the triangles (F, 3, 2) covers: of points on a grid, how many each of them holds."""
    low = triangles.reshape(-1, 2).min(axis=0)
    held = np.zeros(np.ceil(np.ptp(triangles.reshape(-1, 2), axis=0) / step).astype(int) + 2, int)
    for corners in triangles:
        first, last = (np.floor((corners.min(axis=0) - low) / step), np.ceil((corners.max(axis=0) - low) / step))
        matrix = np.stack([corners[1] - corners[0], corners[2] - corners[0]], axis=1)
        if abs(np.linalg.det(matrix)) < 1e-12:
            continue
        i, j = np.meshgrid(*(np.arange(int(a), int(b) + 1) for a, b in zip(first, last)), indexing="ij")
        points = np.stack([i, j], axis=-1).reshape(-1, 2)
        u, v = np.linalg.solve(matrix, ((points + 0.5) * step + low - corners[0]).T)
        inside = points[(u > 1e-6) & (v > 1e-6) & (u + v < 1 - 1e-6)]
        held[inside[:, 0].clip(0, held.shape[0] - 1), inside[:, 1].clip(0, held.shape[1] - 1)] += 1
    return (held > 1).sum() * step**2


def test_a_box_lies_flat_in_its_six_sides_true_to_size_and_upright():
    vertices, faces = box()
    flat, face_flat, chart = cut_into_charts(vertices, faces)
    assert chart.max() == 5
    normals = trimesh.Trimesh(vertices, faces, process=False).face_normals
    for number in range(6):
        mine = chart == number
        assert np.ptp(normals[mine], axis=0).max() < 1e-9, "one side each"
        places, corners = flat[face_flat[mine]], vertices[faces[mine]]
        for a, b in ((0, 1), (1, 2), (2, 0)):  # isometric: every edge keeps its length
            assert np.allclose(np.linalg.norm(places[:, a] - places[:, b], axis=1),
                               np.linalg.norm(corners[:, a] - corners[:, b], axis=1), atol=1e-6)
        if abs(normals[mine][0, 1]) < 0.5:  # of the four upright sides, up is up
            rise = places[..., 1] - corners[..., 1]
            assert np.ptp(rise) < 1e-6
    assert (signed_areas(flat, face_flat) > 0).all()


@pytest.fixture(scope="module")
def cut():
    vertices, faces = knobbly()
    return vertices, faces, *cut_into_charts(vertices, faces)


def test_charts_are_few_connected_and_share_no_place(cut):
    vertices, faces, flat, face_flat, chart = cut
    assert chart.max() + 1 <= 24
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    inside = mesh.face_adjacency[(chart[mesh.face_adjacency[:, 0]] == chart[mesh.face_adjacency[:, 1]])]
    assert len(trimesh.graph.connected_components(inside, nodes=np.arange(len(faces)))) == chart.max() + 1
    of_place = [set(chart[(face_flat == place).any(axis=1)]) for place in range(0, len(flat), 7)]
    assert all(len(owners) == 1 for owners in of_place)
    vertex = np.full(len(flat), -1)
    vertex[face_flat] = faces
    assert np.array_equal(vertex[face_flat], faces), "a place belongs to one vertex"


def test_no_chart_lies_on_itself_or_is_mirrored_and_sizes_are_true(cut):
    vertices, faces, flat, face_flat, chart = cut
    areas, true = signed_areas(flat, face_flat), trimesh.Trimesh(vertices, faces, process=False).area_faces
    assert all(areas[chart == number].sum() > 0 for number in range(chart.max() + 1))
    assert -areas[areas < 0].sum() < 1e-3 * true.sum()
    assert areas.sum() == pytest.approx(true.sum(), rel=0.1)
    assert true[(areas < true / 3) | (areas > 3 * true)].sum() < 0.03 * true.sum()
    # A texture of 1024 texels shows about 300 of them per unit
    twice = sum(area_twice_covered(flat[face_flat[chart == number]], 1 / 300) for number in range(chart.max() + 1))
    assert twice < 20 / 300**2


def test_a_ramp_that_winds_over_itself_is_cut_though_none_of_its_faces_turns_over():
    angle, radius = np.meshgrid(np.linspace(0, 4 * np.pi, 120), np.linspace(0.3, 0.8, 8), indexing="ij")
    vertices = np.stack([radius * np.sin(angle), 0.08 * angle - 0.5, radius * np.cos(angle)], axis=-1).reshape(-1, 3)
    corner = (np.arange(119)[:, None] * 8 + np.arange(7)).ravel()
    faces = np.concatenate([np.stack([corner, corner + 1, corner + 9], axis=1),
                            np.stack([corner, corner + 9, corner + 8], axis=1)])
    flat, face_flat, chart = cut_into_charts(vertices, faces)
    assert 2 <= chart.max() + 1 <= 4
    assert all(area_twice_covered(flat[face_flat[chart == number]], 0.005) < 3 * 0.005**2 for number in range(chart.max() + 1))


def test_a_closed_part_too_small_for_a_chart_of_its_own_is_cut_all_the_same():
    vertices, faces = box()
    ball = trimesh.creation.icosphere(1, 0.02)
    both = np.concatenate([vertices, ball.vertices + [0, 0.9, 0]]), np.concatenate([faces, ball.faces + len(vertices)])
    flat, face_flat, chart = cut_into_charts(*both)
    mine = np.unique(chart[len(faces):])
    assert 2 <= len(mine) <= 8
    assert sum(area_twice_covered(flat[face_flat[chart == number]], 0.002) for number in mine) < 30 * 0.002**2


def test_the_same_mesh_is_cut_the_same_way():
    one, two = cut_into_charts(*box()), cut_into_charts(*box())
    assert all(np.array_equal(a, b) for a, b in zip(one, two))
