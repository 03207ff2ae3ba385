"""Sides of faces that are one edge: of a closed box all, of a strip those inside it."""
import numpy as np
import trimesh

from utils.mesh.half_edges import shared_edges


def test_each_edge_of_a_box_joins_the_faces_that_trimesh_says_are_adjacent():
    box = trimesh.creation.box()
    pairs = shared_edges(box.faces) // 3
    assert len(pairs) == 18  # Euler: 8 vertices, 12 faces
    assert {frozenset(pair) for pair in pairs.tolist()} == {frozenset(pair) for pair in box.face_adjacency.tolist()}


def test_both_sides_of_an_edge_have_the_same_two_ends_and_rims_are_of_one_face():
    faces = np.array([[0, 1, 2], [2, 1, 3], [3, 4, 2]])
    pairs = shared_edges(faces)
    sides = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert [sorted(map(sorted, sides[pair].tolist())) for pair in pairs] == [[[1, 2]] * 2, [[2, 3]] * 2]


def test_an_edge_of_three_faces_gives_two_pairs():
    assert len(shared_edges(np.array([[0, 1, 2], [0, 1, 3], [1, 0, 4]]))) == 2
