"""What each pixel of the six views sees, against a square whose corners are known."""
import numpy as np

from config import VIEW_NAMES
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT
from utils.rendering.pixel_map import pixel_corners


def test_pixels_interpolate_the_corners_to_their_own_place():
    box = np.array([[x, y, z] for x in (-0.9, 0.9) for y in (-0.6, 0.6) for z in (-0.3, 0.3)])
    faces = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
                      [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])
    size = 32
    corners, weights = pixel_corners(np.stack([box, box / 2]), faces, size)
    assert corners.shape == weights.shape == (2, 6, size, size, 3)
    assert corners.dtype == np.int64 and weights.dtype == np.float32
    center = (np.arange(size) + 0.5) * 2 * VIEW_EXTENT / size - VIEW_EXTENT
    for number, vertices in enumerate((box, box / 2)):
        for view, name in enumerate(VIEW_NAMES):
            covered = weights[number, view].sum(-1) > 0
            half = np.abs(vertices @ VIEW_BASES[name].T).max(axis=0)
            inside = (np.abs(center[None]) < half[0]) & (np.abs(center[:, None]) < half[1])
            assert np.array_equal(covered, inside)
            place = np.einsum("hwcd,hwc->hwd", vertices[corners[number, view]], weights[number, view])
            seen = (place @ VIEW_BASES[name].T)[covered]
            expected = np.stack([*np.broadcast_arrays(center[None], -center[:, None])], axis=-1)[covered]
            assert np.abs(seen[:, :2] - expected).max() < 1e-5
            assert np.abs(seen[:, 2] - half[2]).max() < 1e-5, "the nearest side is seen"
