"""The sphere template against what every closed surface obeys."""
import numpy as np
import pytest
import trimesh

from utils.mesh.sphere_template import sphere_template

EACH_SIZE = pytest.mark.parametrize("num_points", [4, 5, 6, 16, 1024, 2048])


@EACH_SIZE
def test_the_template_is_one_closed_surface_that_faces_outwards(num_points):
    template = sphere_template(num_points)
    mesh = trimesh.Trimesh(template.points, template.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.body_count == 1
    assert mesh.euler_number == 2 and mesh.volume > 0
    assert len(np.unique(template.faces)) == num_points, "every point is a vertex"
    assert (mesh.area_faces > 0).all()
    assert np.allclose(np.linalg.norm(template.points, axis=1), 1, atol=1e-6)


@EACH_SIZE
def test_counts_types_and_edges_are_as_documented(num_points):
    template = sphere_template(num_points)
    assert template.points.shape == (num_points, 3) and template.points.dtype == np.float32
    assert template.faces.shape == (2 * num_points - 4, 3)
    assert template.edges.shape == template.edge_faces.shape == (3 * num_points - 6, 2)
    assert template.faces.dtype == template.edges.dtype == template.edge_faces.dtype == np.int64
    assert (template.edges[:, 0] < template.edges[:, 1]).all()
    assert len(np.unique(template.edges, axis=0)) == len(template.edges)
    assert (template.edge_faces[:, 0] != template.edge_faces[:, 1]).all()
    for side in range(2):
        corners = template.faces[template.edge_faces[:, side]]
        assert (corners[:, :, None] == template.edges[:, None]).any(1).all(), "both ends are corners of the face"


def test_a_fine_template_nearly_fills_the_unit_sphere_with_faces_of_like_size():
    template = sphere_template(2048)
    mesh = trimesh.Trimesh(template.points, template.faces, process=False)
    assert 0.99 < mesh.volume / (4 / 3 * np.pi) < 1
    assert 0.99 < mesh.area / (4 * np.pi) < 1
    assert mesh.area_faces.max() < 2.5 * mesh.area_faces.min()


def test_the_template_is_made_once():
    assert sphere_template(64) is sphere_template(64)
