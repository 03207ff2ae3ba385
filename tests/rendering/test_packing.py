"""Charts packed into a square, checked by their own geometry."""
import numpy as np
import pytest
from scipy.spatial import cKDTree

from utils.rendering.packing import pack_charts


def rectangles(sizes):
    """Corners (2 C, 3, 2) of rectangles (width, height), all at one place, and which rectangle each belongs to."""
    unit = np.array([[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]], float)
    return np.concatenate([unit * size for size in np.asarray(sizes, float)]), np.repeat(np.arange(len(sizes)), 2)


def ring(inner, outer, parts=40):
    """Corners (2 parts, 3, 2) of a ring about (3, -2)."""
    turn = np.exp(2j * np.pi * np.arange(parts + 1) / parts)
    inside, outside = (np.stack([turn.real, turn.imag], axis=1) * radius + [3, -2] for radius in (inner, outer))
    return np.concatenate([np.stack([inside[:-1], outside[:-1], outside[1:]], axis=1),
                           np.stack([inside[:-1], outside[1:], inside[1:]], axis=1)])


def on_edges(corners, number=200):
    """Points (F, 3 number, 2) along the edges of faces."""
    along = np.linspace(0, 1, number)[:, None]
    return np.concatenate([corners[:, None, k] * (1 - along) + corners[:, None, k - 1] * along for k in range(3)], axis=1)


def placed(corners, chart, texture_size, gutter):
    """Packed corners in texels, checked to lie in the square, and the share of it that they use."""
    shift, edge = pack_charts(corners, chart, texture_size, gutter)
    places = (corners + shift[chart][:, None]) / edge
    assert places.min() >= -1e-12 and places.max() <= 1 + 1e-12
    right, up = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    return places * texture_size, np.abs(right[:, 0] * up[:, 1] - right[:, 1] * up[:, 0]).sum() / 2


@pytest.mark.parametrize("texture_size", [128, 512, 2048])
def test_any_two_charts_are_a_gutter_apart(texture_size):
    rng = np.random.default_rng(3)
    corners, chart = rectangles(rng.uniform(0.05, 1, (24, 2)))
    turn = np.exp(1j * rng.uniform(0, 6, 24))[chart]  # at any angle
    z = (corners[..., 0] + 1j * corners[..., 1]) * turn[:, None]
    corners = np.stack([z.real, z.imag], axis=-1)
    texels, use = placed(corners, chart, texture_size, 8)
    points = on_edges(texels)
    for one in range(24):
        mine, others = points[chart == one].reshape(-1, 2), points[chart != one].reshape(-1, 2)
        assert cKDTree(others).query(mine)[0].min() > 8 - texture_size / 200, "as near as points on the edges tell"
    assert use > {128: 0.2, 512: 0.45, 2048: 0.55}[texture_size]


def test_four_equal_squares_fill_the_texture():
    texels, use = placed(*rectangles([(1, 1)] * 4), 1024, 8)
    assert use > 0.95
    assert len(np.unique(texels.mean(axis=1).round(-2), axis=0)) > 3


def test_long_charts_lie_side_by_side_and_none_is_turned():
    corners, chart = rectangles([(8, 1)] * 5 + [(1, 3)] * 6)
    texels, use = placed(corners, chart, 1024, 8)
    scale = np.ptp(texels[chart == 0], axis=(0, 1))[0] / 8
    for number, (width, height) in enumerate([(8, 1)] * 5 + [(1, 3)] * 6):
        assert np.ptp(texels[chart == number], axis=(0, 1)) == pytest.approx([width * scale, height * scale])
    assert use > 0.7


def test_a_chart_goes_into_another_s_hole():
    square, _ = rectangles([(0.5, 0.5)])
    corners = np.concatenate([ring(0.8, 1.0), square])
    chart = np.repeat([0, 1], [80, 2])
    texels, _ = placed(corners, chart, 512, 4)
    center = texels[chart == 0].reshape(-1, 2).mean(axis=0)
    radius = np.linalg.norm(texels[chart == 0].reshape(-1, 2) - center, axis=1)
    assert np.linalg.norm(texels[chart == 1].reshape(-1, 2) - center, axis=1).max() < radius.min()
    assert radius.max() > 0.49 * 512, "so that the ring fills the square"


def test_the_unit_of_the_corners_does_not_matter_and_the_result_is_the_same_every_time():
    corners, chart = rectangles(np.random.default_rng(1).uniform(0.1, 1, (15, 2)))
    shift, edge = pack_charts(corners, chart, 256, 2)
    again, same = pack_charts(corners, chart, 256, 2)
    assert np.array_equal(shift, again) and edge == same
    larger, wide = pack_charts(1024 * corners, chart, 256, 2)
    assert np.array_equal(larger, 1024 * shift) and wide == 1024 * edge


def test_charts_without_area_get_places_and_too_many_charts_none():
    corners, chart = rectangles([(1, 1), (0, 0), (0.5, 0)])
    texels, _ = placed(corners, chart, 64, 2)
    assert np.isfinite(texels).all()
    assert pack_charts(*rectangles([(1, 1)] * 600), 64, 8) is None
    assert pack_charts(*rectangles([(1, 1)] * 600), 1024, 8) is not None


def test_charts_and_the_same_ones_lying_down_use_the_texture_alike():
    sizes = np.random.default_rng(1).uniform(0.1, 1, (10, 2))
    use = [placed(*rectangles(turned), 512, 2)[1] for turned in (sizes, sizes[:, ::-1])]
    assert min(use) > 0.76 and use[0] == pytest.approx(use[1], abs=0.02)  # of rows from below alone: 0.73
