"""Reading images between their pixels. Tensors are read by torch's grid_sample, textures by utils.mesh.mesh."""
from collections.abc import Sequence

import numpy as np

from utils.rendering.cameras import ORTHOGRAPHIC, VIEW_EXTENT, Camera, onto_image, to_pixels

NEAREST = 1e-3  # smallest fraction of the camera's distance at which a point is still projected


def sample_bilinear(image: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Read an image at fractional indices, bilinearly; outside, its border is read.

    Args:
        image: (H, W) or (H, W, C) float, both edges at least 2.
        columns, rows: (...) float, indices of pixel centers (0 is the first center, not the image's edge).
    Returns:
        (...) or (..., C) float32.
    """
    left, top, across, down = pixels_around(columns, rows, image.shape[:2])
    if image.ndim == 3:
        across, down = across[..., None], down[..., None]
    upper = image[top, left] * (1 - across) + image[top, left + 1] * across
    lower = image[top + 1, left] * (1 - across) + image[top + 1, left + 1] * across
    return (upper * (1 - down) + lower * down).astype(np.float32)


def pixels_around(columns: np.ndarray, rows: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """The four pixels among which a place lies, those nearest to it where it lies outside the image.

    Args:
        columns, rows: (...) float, as for `sample_bilinear`.
        size: height and width of the image, both at least 2.
    Returns:
        left, top: (...) int64, index of the upper left of the four; across, down: (...) float in [0, 1], how far the place
        is from there to the others.
    """
    height, width = size
    columns, rows = columns.clip(0, width - 1), rows.clip(0, height - 1)
    left, top = np.minimum(columns, width - 2).astype(np.int64), np.minimum(rows, height - 2).astype(np.int64)
    return left, top, columns - left, rows - top


def sample_on_axes(image: np.ndarray, basis: np.ndarray, axes: Sequence[np.ndarray]) -> np.ndarray:
    """Read a view's image on the lines of a grid of the normalized frame, bilinearly.

    Args:
        image: (H, H) float.
        basis: (3, 3), one of utils.rendering.cameras.VIEW_BASES (its rows lie along the axes).
        axes: three float arrays, the coordinates of the grid's planes along x, y and z.
    Returns:
        float32 array that broadcasts to (len(x), len(y), len(z)): of length 1 along the line of sight.
    """
    size, (across, down) = len(image), (np.abs(basis[:2]).argmax(axis=1))
    scale = size / (2 * VIEW_EXTENT)
    columns = size / 2 - 0.5 + basis[0, across] * axes[across] * scale
    rows = size / 2 - 0.5 - basis[1, down] * axes[down] * scale
    values = sample_bilinear(image, columns[None], rows[:, None])
    plane = values if down < across else values.T
    return np.expand_dims(plane, 3 - across - down)


def sample_on_grid(image: np.ndarray, camera: Camera, axes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Read an image of any camera at all points of a grid of the normalized frame, bilinearly.

    Args:
        image: (H, H) float.
        camera: its Camera.
        axes: three float arrays, the coordinates of the grid's planes along x, y and z.
    Returns:
        values: (len(x), len(y), len(z)) float32; outside the image its border is read.
        w: the same shape, float32; 1 - inverse_distance * depth: how much larger a step there is than it looks, beside
            one at the origin's depth.
    """
    import torch
    import torch.nn.functional as F

    x, y, z = (torch.from_numpy(np.asarray(axis, np.float32)).reshape(shape)
               for axis, shape in zip(axes, ((-1, 1, 1), (1, -1, 1), (1, 1, -1))))
    right, up, toward = ((x * float(row[0]) + y * float(row[1])) + z * float(row[2]) for row in camera.basis)
    w = (1 - camera.inverse_distance * toward).clamp_(min=NEAREST)
    places = torch.stack(onto_image(right, up, w, camera.scale, camera.shift.tolist()), dim=-1)
    plane = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]
    values = F.grid_sample(plane, places.reshape(1, 1, -1, 2), padding_mode="border", align_corners=False)
    return values.reshape(w.shape).numpy(), w.numpy()


def sample_images(images: np.ndarray, points: np.ndarray, cameras: Sequence[Camera] = ORTHOGRAPHIC) -> np.ndarray:
    """Read all images where they show the points, bilinearly.

    Args:
        images: (S, H, H, C) float32, in the order of `cameras`.
        points: (K, 3) float, in the normalized frame, in front of every camera.
        cameras: S Camera.
    Returns:
        (S, K, C) float32; outside an image its border is read.
    """
    size = images.shape[1]
    values = np.empty((len(cameras), len(points), images.shape[-1]), np.float32)
    for image, out, camera in zip(images, values, cameras):
        column, row, _ = to_pixels(points, camera, size).T - 0.5
        out[:] = sample_bilinear(image, column, row)
    return values
