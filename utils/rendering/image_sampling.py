"""Reading images between their pixels."""
import numpy as np

from config import VIEW_NAMES
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT, to_pixels


def sample_on_axes(image, basis, axes):
    """Read a view's image on the lines of a grid of the normalized frame, bilinearly.

    Args:
        image: (H, H) float.
        basis: (3, 3), one of utils.rendering.cameras.VIEW_BASES (its rows lie along the axes).
        axes: three float arrays, the coordinates of the grid's planes along x, y and z.
    Returns:
        float32 array that broadcasts to (len(x), len(y), len(z)): of length 1 along the line of sight.
    """
    from scipy.ndimage import map_coordinates

    size, (across, down) = len(image), (np.abs(basis[:2]).argmax(axis=1))
    scale = size / (2 * VIEW_EXTENT)
    columns = size / 2 - 0.5 + basis[0, across] * axes[across] * scale
    rows = size / 2 - 0.5 - basis[1, down] * axes[down] * scale
    values = map_coordinates(image, np.meshgrid(rows, columns, indexing="ij"), np.float32, order=1, mode="nearest")
    plane = values if down < across else values.T
    return np.expand_dims(plane, 3 - across - down)


def sample_images(images, points):
    """Read all six images where they show the points, bilinearly.

    Args:
        images: (6, H, H, C) float32, in VIEW_NAMES order.
        points: (K, 3) float, in the normalized frame.
    Returns:
        (6, K, C) float32; outside an image its border is read.
    """
    size = images.shape[1]
    values = np.empty((len(VIEW_NAMES), len(points), images.shape[-1]), np.float32)
    for image, out, name in zip(images, values, VIEW_NAMES):
        column, row, _ = (to_pixels(points, VIEW_BASES[name], size).T - 0.5).clip(0, size - 1.001)
        left, top = column.astype(np.int64), row.astype(np.int64)
        right_share, low_share = (column - left)[:, None], (row - top)[:, None]
        upper = image[top, left] * (1 - right_share) + image[top, left + 1] * right_share
        lower = image[top + 1, left] * (1 - right_share) + image[top + 1, left + 1] * right_share
        out[:] = upper * (1 - low_share) + lower * low_share
    return values
