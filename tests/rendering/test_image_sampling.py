"""Bilinear reading against planes, which it must reproduce exactly, and values worked by hand."""
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from config import VIEW_NAMES
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT
from utils.rendering.image_sampling import sample_bilinear, sample_images, sample_on_axes


def test_between_four_pixels_by_hand():
    image = np.float32([[0, 1], [10, 15]])
    columns, rows = np.array([0.0, 1.0, 0.5, 0.25, 1.0]), np.array([0.0, 1.0, 0.5, 0.0, 0.5])
    assert sample_bilinear(image, columns, rows).tolist() == [0, 15, 6.5, 0.25, 8]
    assert sample_bilinear(image[..., None].repeat(3, axis=2), columns, rows).shape == (5, 3)


def test_outside_an_image_its_border_is_read():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    columns, rows = np.array([-5.0, 99.0, 1.0]), np.array([-1.0, 99.0, -0.5])
    assert sample_bilinear(image, columns, rows).tolist() == [0, 11, 1]


@pytest.mark.parametrize("shape", [(7, 9), (64, 33)])
def test_it_agrees_with_scipy_everywhere(shape):
    rng = np.random.default_rng(0)
    image = rng.normal(size=shape).astype(np.float32)
    columns, rows = rng.uniform(-2, shape[1] + 1, 500), rng.uniform(-2, shape[0] + 1, 500)
    expected = map_coordinates(image.astype(np.float64), [rows, columns], order=1, mode="nearest")
    assert sample_bilinear(image, columns, rows) == pytest.approx(expected, abs=1e-6)


def test_a_view_that_shows_its_own_coordinates_is_read_as_the_points_coordinates():
    size, rng = 48, np.random.default_rng(0)
    center = (np.arange(size) + 0.5) * 2 * VIEW_EXTENT / size - VIEW_EXTENT
    shown = np.stack(np.broadcast_arrays(center[None], -center[:, None]), axis=-1).astype(np.float32)
    points = rng.uniform(-1, 1, (200, 3))
    values = sample_images(np.stack([shown] * 6), points)
    axes = [rng.uniform(-1, 1, count) for count in (3, 4, 5)]
    for number, name in enumerate(VIEW_NAMES):
        assert values[number] == pytest.approx(points @ VIEW_BASES[name][:2].T, abs=1e-5)
        for direction in range(2):
            grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ VIEW_BASES[name][direction]
            read = np.broadcast_to(sample_on_axes(shown[..., direction], VIEW_BASES[name], axes), grid.shape)
            assert read == pytest.approx(grid, abs=1e-5)
