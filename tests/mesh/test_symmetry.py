"""Turns and mirror images of an object that stands upright."""
import numpy as np

from utils.mesh.symmetry import quarter_turn, standing_symmetries


def test_a_quarter_turn_takes_the_front_to_the_left_and_four_are_none():
    assert (quarter_turn(1) @ [0, 0, 1]).tolist() == [1, 0, 0] and (quarter_turn(1) @ [0, 1, 0]).tolist() == [0, 1, 0]
    assert np.array_equal(quarter_turn(4), np.eye(3)) and np.array_equal(quarter_turn(-1), quarter_turn(3))
    assert (quarter_turn(2) @ [1, 2, 3]).tolist() == [-1, 2, -3]


def test_the_eight_symmetries_are_a_group_that_keeps_what_is_up():
    eight = standing_symmetries()
    assert len({one.tobytes() for one in (matrix + 0.0 for matrix in eight)}) == 8
    assert sorted(np.linalg.det(eight).round().tolist()) == [-1] * 4 + [1] * 4
    for one in eight:
        assert (one @ [0, 1, 0]).tolist() == [0, 1, 0] and np.array_equal(one @ one.T, np.eye(3))
        assert all(any(np.array_equal(one @ other, third) for third in eight) for other in eight)
