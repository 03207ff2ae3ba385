"""Where written meshes stand: axes, ground and true size, for each format."""
import numpy as np
import pytest

from config import UserError
from utils.mesh.placement import file_unit, placed

# A box as an object of the normalized frame: 2 tall (y), 1 wide (x), 0.5 deep (z); the last corner is marked: front upper left
BOX = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-1.0, 1.0) for z in (-0.25, 0.25)])
TOP_FRONT_LEFT = np.array([0.5, 1.0, 0.25])


def test_nothing_is_touched_unless_asked_for():
    for suffix in (".obj", ".glb", ".ply"):
        assert placed(BOX, suffix) is BOX
        assert file_unit(suffix) == (None, "")


def test_z_up_puts_the_top_on_z_and_the_front_on_minus_y_without_mirroring():
    for suffix in (".obj", ".ply"):
        x, y, z = placed(BOX, suffix, up="z")[-1]
        assert (x, y, z) == (0.5, -0.25, 1.0)
    turned = placed(np.eye(3), ".obj", up="z")
    assert np.linalg.det(turned) == pytest.approx(1)
    assert placed(BOX, ".glb", up="z") is BOX, "glTF prescribes y up"


def test_the_ground_is_at_zero_of_the_axis_that_points_up():
    for suffix, up, axis in ((".obj", "y", 1), (".obj", "z", 2), (".glb", "y", 1), (".ply", "z", 2)):
        low, high = (extreme[axis] for extreme in (lambda v: (v.min(0), v.max(0)))(placed(BOX, suffix, up, ground=True)))
        assert (low, high) == (0, 2)
    assert BOX[:, 1].min() == -1, "the mesh itself is not moved"


@pytest.mark.parametrize("suffix, edge", [(".obj", 280), (".ply", 280), (".glb", 0.28), (".stl", 280), (".3mf", 280)])
def test_the_longest_edge_is_as_long_as_said_in_millimeters_or_meters(suffix, edge):
    size = np.ptp(placed(BOX, suffix, longest_edge_mm=280), axis=0)
    assert sorted(size / edge) == pytest.approx([0.25, 0.5, 1])
    assert file_unit(suffix, 280) == (pytest.approx(edge), "m" if edge < 1 else "mm")


@pytest.mark.parametrize("suffix", [".stl", ".3mf"])
def test_what_is_printed_stands_upright_on_the_bed(suffix):
    vertices = placed(BOX, suffix)
    assert vertices[:, 2].min() == 0 and vertices[:, 2].max() == pytest.approx(100)
    assert file_unit(suffix) == (100, "mm")
    assert vertices[:, :2].mean(0) == pytest.approx([0, 0])


@pytest.mark.parametrize("changes, word", [({"up": "x"}, "up"), ({"longest_edge_mm": 0}, "longest_edge_mm"),
                                           ({"longest_edge_mm": float("nan")}, "longest_edge_mm")])
def test_wrong_values_are_named(changes, word):
    with pytest.raises(UserError, match=word):
        placed(BOX, ".obj", **changes)
