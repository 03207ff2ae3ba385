"""Handles and parts of solids whose genus is known."""
import numpy as np
import pytest
import trimesh

from utils.evaluation.mesh_topology import Topology, topology
from utils.evaluation.metrics import GroundTruth, make_ground_truth, topology_scores
from utils.mesh.mesh import plain_mesh


def torus():
    return trimesh.creation.torus(1.0, 0.3)


def pretzel():
    """A slab of 5 x 3 cubes with two of them missing: genus 2."""
    cells = np.ones((5, 3, 1), bool)
    cells[1, 1], cells[3, 1] = False, False
    return trimesh.voxel.ops.matrix_to_marching_cubes(np.pad(cells, 1).astype(float))


@pytest.mark.parametrize("solid, expected", [
    (trimesh.creation.icosphere(2), Topology(1, True, 0)), (torus(), Topology(1, True, 1)),
    (pretzel(), Topology(1, True, 2)),
    (trimesh.util.concatenate([torus(), torus().apply_translation([5, 0, 0]), trimesh.creation.box()]),
     Topology(3, True, 2))])
def test_genus_is_summed_over_parts(solid, expected):
    assert topology(solid.vertices, solid.faces) == expected
    # A soup of triangles, as a file with seams gives it, is the same surface.
    soup = solid.vertices[solid.faces].reshape(-1, 3)
    assert topology(soup, np.arange(len(soup)).reshape(-1, 3)) == expected


def test_an_open_surface_counts_as_if_its_holes_were_closed():
    ball, ring = trimesh.creation.icosphere(2), torus()
    assert topology(ball.vertices, ball.faces[1:]) == Topology(1, False, 0)
    assert topology(ball.vertices, np.delete(ball.faces, [0, 200], axis=0)) == Topology(1, False, 0)
    assert topology(ring.vertices, ring.faces[1:]) == Topology(1, False, 1)
    assert topology(np.eye(3), np.zeros((0, 3))) == topology(np.zeros((3, 3)), [[0, 1, 2]]) == Topology(0, False, 0)


def test_handles_too_many_are_those_beyond_the_objects_own():
    def scores(solid, handles, watertight=True):
        truth = GroundTruth((), {}, 1.0, 0, 0, handles, watertight)
        return topology_scores(plain_mesh(solid.vertices, solid.faces), truth)
    assert scores(pretzel(), 0) == {"handles": 2, "no_handles": 0, "parts": 1, "watertight": 1,
                                    "reference_watertight": 1}
    assert scores(pretzel(), 1)["handles"] == 1 and scores(pretzel(), 2)["no_handles"] == 1
    assert scores(trimesh.creation.box(), 1)["handles"] == 0  # too few is not too many


def test_an_open_object_does_not_tell_its_handles():
    ring = torus()
    whole = make_ground_truth(plain_mesh(ring.vertices, ring.faces), 500, 32)
    torn = make_ground_truth(plain_mesh(ring.vertices, ring.faces[1:]), 500, 32)
    assert (whole.handles, whole.watertight, torn.handles, torn.watertight) == (1, True, 0, False)
