"""The visual hull of six silhouettes: the largest body whose silhouettes are the six masks (Laurentini 1994).

Everything is measured by distance, never by yes and no: a mask becomes the signed distance to its boundary, exact to a
fraction of a pixel, and the hull at a point is the smallest of its six distances. Surfaces drawn at 0 are therefore
smooth however coarse the grid.
"""
from collections.abc import Sequence

import numpy as np

from config import VIEW_NAMES
from utils.rendering.cameras import ORTHOGRAPHIC, VIEW_BASES, VIEW_EXTENT, Camera
from utils.rendering.image_sampling import sample_images, sample_on_axes, sample_on_grid

EXACT_WITHIN = 3  # pixels from a silhouette's boundary
BOX_REACH = 1.4  # normalized units from the origin within which the hull of cameras in perspective is looked for
BOX_CELLS = (40, 64)  # points per edge of the grids on which its box is measured, coarse and fine


def silhouette_sdf(masks: np.ndarray) -> np.ndarray:
    """Signed distance of every pixel center to the boundary of its mask, the line where its coverage is one half.

    Near the boundary the distance is that to the line itself (marching squares), elsewhere that to the nearest pixel of
    the other side, corrected by that pixel's coverage (Gustavson and Strand 2011, "Anti-aliased Euclidean distance
    transform"), which is twenty times faster and off by a fraction of a pixel.

    Args:
        masks: (S, H, H) float in [0, 1], coverage.
    Returns:
        (S, H, H) float32, positive on the object, in normalized units; -2 * VIEW_EXTENT everywhere for an
        empty mask and the opposite for a full one.
    """
    from scipy.ndimage import distance_transform_edt
    from scipy.spatial import cKDTree

    pixel = 2 * VIEW_EXTENT / masks.shape[-1]
    distances = np.empty(masks.shape, np.float32)
    for mask, out in zip(np.asarray(masks, np.float32), distances):
        solid = mask >= 0.5
        if solid.all() or not solid.any():
            out[:] = 2 * VIEW_EXTENT if solid.all() else -2 * VIEW_EXTENT
            continue
        for here, sign in ((solid, 1), (~solid, -1)):
            away, (row, column) = distance_transform_edt(here, return_indices=True)
            reach = away - np.abs(mask[row, column] - 0.5)
            out[here] = (sign * pixel * reach)[here]
        near = np.argwhere(np.abs(out) < EXACT_WITHIN * pixel)
        exact, _ = cKDTree(_contour_points(mask)).query(near)
        out[tuple(near.T)] = np.where(solid[tuple(near.T)], pixel, -pixel) * exact
    return distances


def _contour_points(mask):
    """(K, 2) points in pixels (row, column) along the lines where coverage is one half, a quarter pixel apart."""
    from skimage.measure import find_contours

    return np.concatenate([line[:-1] + share * np.diff(line, axis=0) for line in find_contours(mask, 0.5)
                           for share in (0, 0.25, 0.5, 0.75, 1)])


def hull_on_grid(distances: np.ndarray, axes: list[np.ndarray], cameras: Sequence[Camera] = ORTHOGRAPHIC,
                 confidence: np.ndarray | None = None) -> np.ndarray:
    """The hull's signed distance, positive inside (exact at its surface, at most the true one elsewhere).

    In perspective a silhouette's distance is taken from the image back to the depth of the point, so that the values of
    all views are comparable in space. Where a view is unsure, the one that denies a point most is believed as far as it
    is sure, and for the rest the one that denies it second most: a bad silhouette alone deletes nothing that the others
    support.

    Args:
        distances: (S, H, H) from `silhouette_sdf`, in the order of `cameras`.
        axes: three float arrays, coordinates of the grid's planes.
        cameras: S Camera.
        confidence: (S, H, H) float in [0, 1], how sure it is that each pixel shows the object or does not; None: 1.
    Returns:
        (len(x), len(y), len(z)) float32.
    """
    hull = np.full([len(axis) for axis in axes], np.inf, np.float32)
    if confidence is None or len(cameras) < 2:
        for distance, camera in zip(distances, cameras):
            np.minimum(hull, view_on_grid(distance, camera, axes), out=hull)
        return hull
    second, sure = hull.copy(), np.ones_like(hull)
    for distance, certainty, camera in zip(distances, confidence, cameras):
        values = view_on_grid(distance, camera, axes)
        certainty = _read_on_grid(certainty, camera, axes)
        lowest = values < hull
        second = np.minimum(second, np.where(lowest, hull, values))
        sure, hull = np.where(lowest, certainty, sure), np.minimum(hull, values)
    return np.where(sure < 1, hull + (1 - sure) * (second - hull), hull).astype(np.float32)


def are_named(cameras: Sequence[Camera]) -> bool:
    """Whether the cameras are ORTHOGRAPHIC ones: the six exact views in VIEW_NAMES order."""
    return len(cameras) == len(VIEW_NAMES) and all(
        camera.is_exact() and np.array_equal(camera.basis, VIEW_BASES[name])
        for camera, name in zip(cameras, VIEW_NAMES))


def by_name(cameras: Sequence[Camera]) -> dict[str | int, Camera]:
    """The cameras for utils.rendering.rasterizer.rasterize_views, in their order: under the names of the six exact ones it
    draws opposite views at once; others are numbered."""
    return dict(zip(VIEW_NAMES if are_named(cameras) else range(len(cameras)), cameras))


def view_on_grid(distance: np.ndarray, camera: Camera, axes: list[np.ndarray]) -> np.ndarray:
    """One view's signed silhouette distance at a grid's points, normalized units.

    Args:
        distance: (H, H) from `silhouette_sdf`; camera, axes: see `hull_on_grid`.
    Returns:
        float32 array that broadcasts to (len(x), len(y), len(z)).
    """
    if _along_axes(camera):
        return sample_on_axes(distance, camera.basis, axes)
    values, w = sample_on_grid(distance, camera, axes)
    return values * w / np.float32(camera.scale * VIEW_EXTENT)


def _read_on_grid(image, camera, axes):
    """An image's values where a camera shows a grid's points, as `view_on_grid` broadcasts them."""
    return sample_on_axes(image, camera.basis, axes) if _along_axes(camera) else sample_on_grid(image, camera, axes)[0]


def _along_axes(camera):
    """Whether all lines of sight of a camera run along an axis of the frame, unscaled: its image can be read row by row."""
    return camera.is_exact() and (np.abs(camera.basis).max(axis=1) == 1).all()


def hull_box(distances: np.ndarray, cameras: Sequence[Camera] = ORTHOGRAPHIC) -> np.ndarray:
    """The hull's bounding box.

    Of the six exact orthographic views each axis is seen by four, whose mean is taken. Of any others it is measured on a
    grid around the hull, which is first looked for on a coarse one.

    Args:
        distances: (S, H, H) from `silhouette_sdf`, in the order of `cameras`.
        cameras: S Camera.
    Returns:
        (2, 3) float64, lower and upper corner in the normalized frame. Where the silhouettes have no body in common it
        means nothing: ask whether `hull_on_grid` in it is positive anywhere.
    """
    if not are_named(cameras):
        return _box_on_grid(distances, cameras)
    size = distances.shape[-1]
    found = [[], [], []]
    for distance, name in zip(distances, VIEW_NAMES):
        for row, profile in ((0, distance.max(axis=0)), (1, distance.max(axis=1))):
            first, last = _crossings(profile)
            ends = (np.array([first, last]) + 0.5) / size * 2 * VIEW_EXTENT - VIEW_EXTENT
            direction = VIEW_BASES[name][row] * (1 if row == 0 else -1)  # rows of an image run downwards
            axis = np.abs(direction).argmax()
            found[axis].append(np.sort(ends * direction[axis]))
    return np.stack([np.mean(ends, axis=0) for ends in found], axis=1)


def _box_on_grid(distances, cameras):
    """`hull_box` of any cameras: on a coarse grid of the whole frame, then on a finer one about what was found."""
    box = np.array([[-BOX_REACH] * 3, [BOX_REACH] * 3])
    for count, last in ((BOX_CELLS[0], False), (BOX_CELLS[1], True)):
        axes = [np.linspace(low, high, count) for low, high in box.T]
        steps = (box[1] - box[0]) / (count - 1)
        hull = hull_on_grid(distances, axes, cameras)
        # Half a cell's diagonal below 0 the hull may still lie between the points of a coarse grid
        hull = hull if last else hull + np.float32(np.linalg.norm(steps) / 2)
        if not (hull > 0).any():
            return np.array([[-VIEW_EXTENT] * 3, [VIEW_EXTENT] * 3]) if not last else box
        ends = [_crossings(hull.max(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
        low, high = box[0] + np.array(ends).T * steps
        box = np.stack([low, high] if last else [low - steps / 2, high + steps / 2]).clip(-BOX_REACH, BOX_REACH)
    return box


def surface_clearance(distances: np.ndarray, points: np.ndarray, cameras: Sequence[Camera]) -> np.ndarray:
    """(K,) the hull's signed distance at points (K, 3), positive inside; distances, cameras as for `hull_on_grid`."""
    values = sample_images(distances[..., None], points, cameras)[..., 0]
    for row, camera in zip(values, cameras):
        if not camera.is_exact():
            row *= (1 - camera.inverse_distance * (points @ camera.basis[2])) / (camera.scale * VIEW_EXTENT)
    return values.min(axis=0)


def step_within_hull(vertices: np.ndarray, normals: np.ndarray, step: np.ndarray, distances: np.ndarray,
                     cameras: Sequence[Camera]) -> np.ndarray:
    """Vertices moved along their normals, outwards about as far as the hull reaches.

    What lies beyond goes back by as much as it lacks, along its normal: where that leans by an angle a from the hull's own,
    a share of 1 - cos a stays outside.

    Args:
        vertices, normals: (V, 3) float; step: (V,) float, normalized units, positive outwards.
        distances, cameras: as for `hull_on_grid`.
    Returns:
        (V, 3) float.
    """
    moved = vertices + step[:, None] * normals
    beyond = -surface_clearance(distances, moved, cameras)
    return moved - np.clip(beyond, 0, step.clip(0))[:, None] * normals


def _crossings(profile):
    """Where a line of values first rises above 0 and last falls below it, in fractions of a step."""
    inside = np.flatnonzero(profile > 0)
    if not len(inside):
        return 0.0, len(profile) - 1.0
    first, last = inside[0], inside[-1]
    before = profile[first] / (profile[first] - profile[first - 1]) if first > 0 else 0.5
    after = profile[last] / (profile[last] - profile[last + 1]) if last + 1 < len(profile) else 0.5
    return first - before, last + after


def grid_axes(box: np.ndarray, resolution: int, smallest: int = 16) -> list[np.ndarray]:
    """Grid planes that fill a box: `resolution` cells along its longest edge, cubic cells, one cell of margin around.

    Args:
        box: (2, 3) float, lower and upper corner.
        resolution: cells along the longest edge.
        smallest: cells along a short edge at least (which then are flatter than cubes).
    Returns:
        list of three float64 arrays, coordinates of the cell centers along x, y and z.
    """
    lengths = np.maximum(box[1] - box[0], 1e-3)
    counts = np.maximum(np.ceil(lengths / lengths.max() * resolution), smallest).astype(int)
    return [low + (np.arange(-1, count + 1) + 0.5) * length / count
            for low, length, count in zip(box[0], lengths, counts)]

