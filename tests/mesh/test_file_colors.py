"""Scales of colors told apart, and the sRGB curve against the table of its standard."""
import numpy as np
import pytest

from utils.mesh.file_colors import linear_to_srgb, unit_colors


@pytest.mark.parametrize("values, expected", [
    (np.uint8([[255, 51, 0]]), (1, 0.2, 0)), (np.uint16([[65535, 13107, 0, 9]]), (1, 0.2, 0)), ([[1, 0.2, 0]], (1, 0.2, 0)),
    ([[255.0, 51, 0]], (1, 0.2, 0)), ([[65535.0, 13107, 0]], (1, 0.2, 0)), ([[254.5, 51, 0]], (254.5 / 255, 0.2, 0)),
    ([[1.0001, 0.2, -3]], (1, 0.2, 0)), ([[1.9, 0.2, 0]], (1, 0.2, 0)), ([[2.0, 0, 0]], (2 / 255, 0, 0)),
    ([[0, 0, 0]], (0, 0, 0)),
])
def test_the_scale_is_told_by_type_or_by_the_greatest(values, expected):
    colors, num_bad = unit_colors(np.asarray(values))
    np.testing.assert_allclose(colors, [expected], atol=1e-6)
    assert num_bad == 0 and colors.dtype == np.float32


def test_what_is_no_number_is_gray_and_does_not_set_the_scale():
    colors, num_bad = unit_colors(np.array([[np.inf, 0, 0], [0.5, 0, 0], [0, np.nan, 0]]))
    np.testing.assert_allclose(colors, [[0.4] * 3, [0.5, 0, 0], [0.4] * 3])
    assert num_bad == 2 and unit_colors(np.zeros((0, 3)))[0].shape == (0, 3)


def test_srgb_of_linear_light():
    """Middle gray and the ends of the curve's straight part, from IEC 61966-2-1; 8-bit 1, 128 and 188 by hand."""
    linear = np.array([0, 0.0031308, 0.18, 0.21586, 0.5, 1, 1 / 255 / 12.92])
    np.testing.assert_allclose(linear_to_srgb(linear), [0, 0.04045, 0.4614, 128 / 255, 0.7354, 1, 1 / 255], atol=2e-4)
