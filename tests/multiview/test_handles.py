"""Closing uncertain handles: topology by the Euler characteristic of solids whose genus is known."""
import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import euler_number

from utils.multiview.handles import NEIGHBORS, close_uncertain_handles, is_simple

COUNT = 48
STEP = 2 / COUNT
AXIS = (np.arange(COUNT) + 0.5) * STEP - 1
X, Y, Z = np.meshgrid(AXIS, AXIS, AXIS, indexing="ij")
HULL = np.full((COUNT,) * 3, 1.0, np.float32)
FAR = 0.4  # normalized units: sure to be outside


def handles(field):
    """Number of handles of {field > 0}, connected by faces, if it is one piece without voids: 1 - Euler number."""
    inside = np.pad(field > 0, 1)
    assert ndimage.label(inside)[1] == 1 and ndimage.label(~inside, np.ones((3, 3, 3)))[1] == 1
    return 1 - euler_number(inside, connectivity=1)


def cup(height=0.6):
    """Signed distance, about, of a thin-walled cup that is open at the top (+y)."""
    radius = np.hypot(X, Z)
    outer = np.minimum(0.7 - radius, height - np.abs(Y))
    inner = np.minimum(0.58 - radius, Y + height - 0.12)
    return np.minimum(outer, -inner).astype(np.float32)


def torn(field, depth, at=(0.0, 0.64), size=0.15):
    """A hole through the cup's wall at height at[0] on the +z side, where the field is `-depth`."""
    tear = (np.hypot(X, Y - at[0]) < size) & (np.abs(Z - at[1]) < 0.15)
    return np.where(tear & (field > -depth), np.float32(-depth), field)


def test_simple_points_are_those_whose_removal_changes_neither_side():
    """Against connected components of each 3 x 3 x 3 block, counted by another library."""
    rng = np.random.default_rng(0)
    blocks = rng.random((3000, 26)) < rng.uniform(0.05, 0.95, (3000, 1))
    codes = (blocks << np.arange(26)).sum(1).astype(np.uint32)
    place = NEIGHBORS + 1
    near18 = np.abs(NEIGHBORS).sum(1) <= 2
    faces = np.abs(NEIGHBORS).sum(1) == 1
    for block, said in zip(blocks, is_simple(codes)):
        inside, outside = np.zeros((3, 3, 3), bool), np.zeros((3, 3, 3), bool)
        inside[tuple(place[near18 & block].T)] = True
        outside[tuple(place[~block].T)] = True
        parts = ndimage.label(inside)[0][tuple(place[faces & block].T)]
        expected = len(set(parts)) == 1 and ndimage.label(outside, np.ones((3, 3, 3)))[1] == 1
        assert said == expected


@pytest.mark.parametrize("depth, expected", [(0.01, 0), (FAR, 1)], ids=["uncertain", "certain"])
def test_a_tear_is_closed_where_the_field_is_unsure_and_stays_where_it_is_sure(depth, expected):
    field = torn(cup(), depth)
    assert handles(cup()) == 0 and handles(field) == 1
    assert handles(close_uncertain_handles(field, HULL, 0.03, STEP)) == expected


@pytest.mark.parametrize("depth", [0.01, FAR], ids=["all of it uncertain", "its mouth uncertain"])
def test_a_cavity_stays_open_at_its_mouth_and_is_closed_at_a_tear(depth):
    """The cup's mouth and a narrow tear in its wall are both just below 0, its inside as well or far below."""
    inner = (np.hypot(X, Z) < 0.58) & (Y > -0.48) & (Y < 0.6)
    field = np.where(inner, np.float32(np.where(Y < 0.45, -depth, -0.01)), cup())
    field = torn(field, 0.01)
    closed = close_uncertain_handles(field, HULL, 0.03, STEP)
    assert handles(closed) == 0
    column = closed[COUNT // 2, :, COUNT // 2]  # along the cup's axis
    assert (column[AXIS > -0.4] <= 0).all(), "there is a lid on the cup"
    walls = (closed > 0) & (field <= 0)
    assert 0 < walls.sum() < 150, "a wall one cell thick over a tear of about 40 cells"
    assert np.hypot(X[walls], Y[walls]).max() < 0.2 and Z[walls].min() > 0.4


def test_what_is_inside_stays_and_the_hull_is_not_left():
    field = torn(cup(), 0.01)
    hull = np.where(Z > 0.63, np.float32(-1), HULL)  # cuts through the tear
    field = np.where(hull > 0, field, np.float32(-0.3))
    closed = close_uncertain_handles(field, hull, 0.03, STEP)
    assert (closed >= field).all()
    assert not (closed[hull <= 0] > 0).any()


def test_a_ring_keeps_its_hole():
    ring = (0.2 - np.hypot(np.hypot(X, Z) - 0.6, Y)).astype(np.float32)
    assert handles(ring) == 1
    assert np.array_equal(close_uncertain_handles(ring, HULL, 0.03, STEP) > 0, ring > 0)
