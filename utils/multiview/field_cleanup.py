"""From a field on a grid to the mesh that is delivered: silhouettes kept, closed, in one piece or few, of a chosen size.

The silhouettes are known, whatever the network predicts: nothing of the object projects outside a mask, and something of
it lies behind every pixel inside.
"""
from collections.abc import Sequence

import numpy as np

from config import VIEW_NAMES
from utils.mesh.mesh_repair import SMALLEST_PART
from utils.multiview.visual_hull import are_named
from utils.rendering.cameras import ORTHOGRAPHIC, VIEW_BASES, VIEW_EXTENT, Camera, pixel_rays
from utils.rendering.image_sampling import sample_images, sample_on_axes, sample_on_grid

SMOOTHING = 0.7  # grid steps; standard deviation of the Gaussian over a field
ROUNDS = 3  # over the three axes: what one axis adds may be cut off by another
DEEPEST = 1.5  # grid steps at which a field's values are cut off, above 0 and (for marching cubes) below
THINNEST = 0.6  # of a grid step: what is kept on a line that the field emptied reaches this far above 0
LINES_AT_ONCE = 4096  # bounds the memory of following lines of sight through a field
ON_HULL, PIXEL_RIPPLES = 0.25, 0.75  # pixels from the hull's surface; by which a vertex there may be moved
PIT, DEEP = 5, 0.1  # grid steps; normalized units from the surface beyond which a field's values make no difference to a pit


def enforce_silhouettes(field: np.ndarray, hull: np.ndarray, distances: np.ndarray, axes: list[np.ndarray],
                        cameras: Sequence[Camera] = ORTHOGRAPHIC) -> np.ndarray:
    """Make a field agree with the silhouettes: nothing outside them, something behind every pixel inside.

    Where a line of sight inside a mask stays empty, the field is raised along that whole line until its best place
    just reaches the surface; near a silhouette's boundary by no more than the distance to it, so boundaries stay in
    place.

    Args:
        field: (X, Y, Z) float32, positive inside: a network's scaled logits (models.field_model.field_on_grid), which are
            compared with lengths, though they grow like them near the surface alone.
        hull: (X, Y, Z) float32 from utils.multiview.visual_hull.hull_on_grid.
        distances: (S, H, H) from utils.multiview.visual_hull.silhouette_sdf, in the order of `cameras`.
        axes: three float arrays, coordinates of the grid's planes.
        cameras: S Camera.
    Returns:
        (X, Y, Z) float32, at most `hull` everywhere.
    """
    step = max(axis[1] - axis[0] for axis in axes)
    field = np.minimum(field, np.minimum(hull, DEEPEST * step))
    if not are_named(cameras):
        for distance, camera in zip(distances, cameras):
            field = _behind_every_pixel(field, hull, distance, axes, camera, step)
        return field
    silhouettes = {}
    for distance, name in zip(distances, VIEW_NAMES):
        along = int(np.abs(VIEW_BASES[name][2]).argmax())
        sdf2d = sample_on_axes(distance, VIEW_BASES[name], axes)
        silhouettes[along] = np.minimum(silhouettes.get(along, np.inf), sdf2d)
    for _ in range(ROUNDS):
        for along, sdf2d in silhouettes.items():
            best = np.where(hull > 0, field, -np.inf).max(axis=along, keepdims=True)
            best = np.where(np.isfinite(best), best, 0)
            missing = np.where(sdf2d > 0, np.minimum(sdf2d, THINNEST * step) - best, 0).clip(min=0)
            field = np.where(missing > 0, np.minimum(field + missing, np.maximum(hull, field)), field)
    return field


def cut_off(field: np.ndarray, axes: list[np.ndarray]) -> np.ndarray:
    """A field for marching cubes: a value far below 0 beside one just above it would leave less than that cell."""
    return np.maximum(field, -DEEPEST * max(axis[1] - axis[0] for axis in axes))


def _behind_every_pixel(field, hull, distance, axes, camera, step):
    """`enforce_silhouettes` for one view of any camera: what each line of sight lacks is given to all cells on it.

    Args:
        field, hull, axes: as there; distance: (H, H); camera: Camera; step: the grid's.
    Returns:
        (X, Y, Z) float32.
    """
    import torch
    import torch.nn.functional as F

    # One line for each pixel of an image as fine as the grid, at the origin's depth
    size = int(np.clip(np.ceil(2 / (camera.scale * step)), 8, 1024))
    sdf2d = torch.from_numpy(np.ascontiguousarray(distance, np.float32))[None, None]
    sdf2d = F.interpolate(sdf2d, (size, size), mode="bilinear", align_corners=False)[0, 0].numpy()
    sdf2d = sdf2d / np.float32(camera.scale * VIEW_EXTENT)
    rows, columns = np.nonzero(sdf2d > 0)
    if not len(rows):
        return field
    origins, directions = pixel_rays(camera, (np.stack([columns, rows], axis=1) + 0.5) * 2 / size - 1)
    ends = np.array([[axis[0], axis[-1]] for axis in axes])
    corners = np.stack(np.meshgrid(*ends), axis=-1).reshape(-1, 3) @ camera.basis[2]
    depths = np.arange(corners.min(), corners.max() + step / 2, step / 2).astype(np.float32)
    middle, half = ends.mean(axis=1), (ends[:, 1] - ends[:, 0]) / 2
    start, change = (torch.from_numpy(np.ascontiguousarray(each[:, ::-1], np.float32))  # grid_sample wants z, y, x
                     for each in ((origins - middle) / half, directions / half))
    grid = torch.from_numpy(np.ascontiguousarray(field, np.float32))[None, None]
    best = np.concatenate([
        F.grid_sample(grid, (one[:, None] + torch.from_numpy(depths)[:, None] * other[:, None])[None, None],
                      padding_mode="border", align_corners=True)[0, 0, 0].amax(dim=1).numpy()
        for one, other in zip(start.split(LINES_AT_ONCE), change.split(LINES_AT_ONCE))])
    missing = np.zeros((size, size), np.float32)
    missing[rows, columns] = (np.minimum(sdf2d[rows, columns], THINNEST * step) - best).clip(min=0)
    if not missing.any():
        return field
    missing, _ = sample_on_grid(missing, camera, axes)
    return np.where(missing > 0, np.minimum(field + missing, np.maximum(hull, field)), field)


def masked_gaussian(field: np.ndarray, hull: np.ndarray, cells: float) -> np.ndarray:
    """A field averaged over its neighborhood within the hull, by a Gaussian of `cells` grid steps: fewer ripples."""
    from scipy.ndimage import gaussian_filter

    inside = (hull > 0).astype(np.float32)
    mean = gaussian_filter(field * inside, cells) / np.maximum(gaussian_filter(inside, cells), 1e-3)
    return np.where(inside > 0, mean, field).astype(np.float32)


def smooth_and_close(field: np.ndarray, hull: np.ndarray) -> np.ndarray:
    """A network's field as it is carved from the hull: smoothed, its pits closed, nothing outside.

    Args:
        field, hull: (X, Y, Z) float32, positive inside.
    Returns:
        (X, Y, Z) float32.
    """
    return np.minimum(close_pits(masked_gaussian(field, hull, SMOOTHING), hull), hull)


def close_pits(field: np.ndarray, hull: np.ndarray) -> np.ndarray:
    """A field whose pits, cracks and tunnels of fewer than PIT grid steps are filled: closing in gray values (Serra 1982).

    Args:
        field, hull: (X, Y, Z) float32, positive inside the object and the hull.
    Returns:
        (X, Y, Z) float32; outside the hull the field's own values.
    """
    from scipy.ndimage import grey_closing

    bounded = np.where(hull > 0, np.clip(field, -DEEP, DEEP), -DEEP)  # the gap between surface and hull is no pit
    closed = grey_closing(np.pad(bounded, PIT, constant_values=-DEEP), PIT)
    inner = slice(PIT, -PIT)
    return np.where(hull > 0, np.maximum(field, closed[inner, inner, inner]), field).astype(np.float32)


def remove_small_components(field: np.ndarray) -> np.ndarray:
    """The field without loose specks and without closed voids, which no image can show.

    Inside and outside alike hang together by faces alone: where cells touch at an edge or a corner marching cubes may join
    the one or the other, by their values, so a speck or a void that holds on by no more than that goes too.

    Args:
        field: (X, Y, Z) float32, positive inside.
    Returns:
        (X, Y, Z) float32.
    """
    from scipy import ndimage

    field = field.copy()
    parts, count = ndimage.label(field > 0)
    if count > 1:
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        field[(sizes < SMALLEST_PART * sizes.max())[parts] & (field > 0)] *= -1
    empty = np.pad(field <= 0, 1, constant_values=True)
    voids, count = ndimage.label(empty)
    if count > 1:
        closed = (voids != voids[0, 0, 0]) & (voids > 0)
        field[closed[1:-1, 1:-1, 1:-1]] = np.abs(field[closed[1:-1, 1:-1, 1:-1]]) + 1e-4
    return field


def max_displacement(vertices: np.ndarray, distances: np.ndarray, cameras: Sequence[Camera] = ORTHOGRAPHIC) -> np.ndarray:
    """(V,) largest move of each vertex of a mesh in the hull, in normalized units: small where it lies on the hull's surface.

    There the silhouettes fix the surface, but for the ripples that their pixels leave.

    Args:
        vertices: (V, 3) float in the normalized frame.
        distances: (S, H, H) from utils.multiview.visual_hull.silhouette_sdf, in the order of `cameras`.
        cameras: S Camera.
    """
    nearest = sample_images(distances[..., None], vertices, cameras)[..., 0].min(axis=0)
    pixel = 2 * VIEW_EXTENT / distances.shape[-1]
    ripple = np.full(len(vertices), PIXEL_RIPPLES * pixel)
    if not are_named(cameras):  # a pixel there is so long in space
        ripple *= np.mean([1 / (camera.scale * VIEW_EXTENT) for camera in cameras])
    return np.where(nearest < ON_HULL * pixel, ripple, np.inf)
