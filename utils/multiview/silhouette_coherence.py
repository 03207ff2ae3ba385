"""How well silhouettes fit together under given cameras, and how cameras have to move for them to fit better.

A line of sight through a point of one silhouette's boundary touches the object, so it must at least touch the visual
hull of all the other silhouettes. By how many pixels it misses that hull is its error; it is 0 for the true cameras
(silhouette coherence: Hernandez, Schmitt and Cipolla, PAMI 2007). With D_w the signed distance to the silhouette of view
w, positive inside, and P(t) the point at depth t of the line, the clearance is max over t of min over w of D_w(P(t)),
and the error is what it lacks to 0.

Derivatives are exact. Near the best depth every D_w is a straight line in t, and max-min of lines is where a rising and
a falling one cross: a mean of the two, with weights that cancel t. By the envelope theorem the same mean of the two
gradients is the clearance's gradient.
"""
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from utils.multiview.visual_hull import silhouette_sdf
from utils.rendering.cameras import VIEW_EXTENT, Camera, onto_image, rotation_matrix

PARAMETERS = 7  # of a camera: rotation (3, radians about the frame's axes), log scale, shift (2), inverse distance
PADDING = 0.25  # fraction of the image's edge added on each side, so that distances are known beyond the frame
DEEPEST = 1.35  # normalized units; depths of the object lie between this and its negative
BORDER = 1.5  # pixels; a boundary point this near to the image's border may be the border's doing
REFINEMENTS = 3  # times that the best depth is worked out anew from straight lines
SURELY_INSIDE = 3.0  # pixels; a line that passes the hull this deep has no error, so its depth need not be exact


@dataclass(frozen=True)
class Silhouettes:
    """What is needed of S masks, in pixels of their working size.

    distances: (S, E, E) float32, signed distance to the boundary in pixels, positive inside; the image and a margin.
    points: (S, N, 2) float64, image coordinates of points on the boundaries, evenly spread.
    size: pixels across an image, without the margin; margin: pixels on each side.
    """

    distances: np.ndarray
    points: np.ndarray
    size: int
    margin: int


@dataclass(frozen=True)
class CameraSet:
    """S cameras as arrays: bases (S, 3, 3), inverse_distances (S,), scales (S,), shifts (S, 2); all float64."""

    bases: np.ndarray
    inverse_distances: np.ndarray
    scales: np.ndarray
    shifts: np.ndarray

    def moved(self, step: np.ndarray) -> "CameraSet":
        """The cameras after a step of (S, PARAMETERS); the inverse distances stay from 0 to what DEEPEST allows."""
        return replace(self, bases=self.bases @ rotation_matrix(step[:, :3]).swapaxes(1, 2),
                       scales=self.scales * np.exp(step[:, 3]), shifts=self.shifts + step[:, 4:6],
                       inverse_distances=(self.inverse_distances + step[:, 6]).clip(0, 0.6 / DEEPEST))

    def as_list(self) -> list[Camera]:
        """List of S Camera."""
        return [Camera(*each) for each in zip(self.bases, self.inverse_distances, self.scales, self.shifts)]


def camera_set(cameras: Sequence[Camera]) -> CameraSet:
    """A sequence of Camera as a CameraSet."""
    return CameraSet(np.stack([camera.basis for camera in cameras]),
                     np.array([camera.inverse_distance for camera in cameras], float),
                     np.array([camera.scale for camera in cameras], float),
                     np.stack([camera.shift for camera in cameras]))


def make_silhouettes(masks: np.ndarray, num_points: int, working_size: int) -> Silhouettes:
    """Distances and boundary points of masks, at most `working_size` pixels wide.

    Args:
        masks: (S, H, H) float in [0, 1], coverage; each has a boundary.
        num_points: points per view.
        working_size: pixels; larger masks are averaged down, which keeps their boundaries exact to a fraction of one.
    Returns:
        Silhouettes.
    """
    from PIL import Image

    size = min(masks.shape[-1], working_size)
    if size < masks.shape[-1]:
        masks = np.stack([np.asarray(Image.fromarray(np.asarray(mask, np.float32)).resize(
            (size, size), Image.Resampling.BOX)) for mask in masks])
    margin = int(np.ceil(PADDING * size))
    padded = np.pad(masks, ((0, 0), (margin, margin), (margin, margin)))
    distances = silhouette_sdf(padded) * np.float32(padded.shape[-1] / (2 * VIEW_EXTENT))
    points = np.stack([_boundary_points(mask, num_points) for mask in masks])
    return Silhouettes(distances, points, size, margin)


def _boundary_points(mask, count):
    """(count, 2) image coordinates along the lines where coverage is one half, evenly by length."""
    from skimage.measure import find_contours

    size = len(mask)
    segments = []
    for line in find_contours(np.pad(mask, 1), 0.5):
        places = line[:, ::-1] - 0.5  # pixels, x and y, of the image without the padding; its corner is (0, 0)
        segments.append(np.stack([places[:-1], places[1:]], axis=1))
    segments = np.concatenate(segments)
    middle = segments.mean(axis=1)
    inner = ((middle > BORDER) & (middle < size - BORDER)).all(axis=1)
    segments = segments[inner] if inner.any() else segments
    lengths = np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1)
    ends = np.cumsum(lengths)
    wanted = (np.arange(count) + 0.5) / count * ends[-1]
    index = np.searchsorted(ends, wanted).clip(max=len(ends) - 1)
    share = 1 - (ends[index] - wanted) / np.maximum(lengths[index], 1e-12)
    places = segments[index, 0] + share[:, None] * (segments[index, 1] - segments[index, 0])
    return places * (2 / size) - 1


def clearances(silhouettes: Silhouettes, cameras: CameraSet, num_depths: int) -> tuple[np.ndarray, np.ndarray]:
    """By how much each boundary point's line of sight enters the hull of the other silhouettes, and its derivatives.

    Args:
        silhouettes: Silhouettes of S views; cameras: CameraSet of S; num_depths: places looked at along each line.
    Returns:
        clearance: (S * N,) float64, pixels of the working size; negative where the line misses the hull.
        jacobian: (S * N, S * PARAMETERS) float64, its derivatives; rows of lines SURELY_INSIDE are 0.
    """
    views, count = silhouettes.points.shape[:2]
    origins, directions = _rays(silhouettes.points, cameras)
    depths = np.linspace(-DEEPEST, DEEPEST, num_depths)
    coarse = _smallest_distances(silhouettes, cameras, origins, directions, depths)
    best = coarse.argmax(axis=-1)
    clearance = np.take_along_axis(coarse, best[..., None], axis=-1)[..., 0].astype(np.float64).ravel()
    rows = np.flatnonzero(clearance < SURELY_INSIDE)
    own = rows // count
    jacobian = np.zeros((views * count, views * PARAMETERS))
    if len(rows):
        origin, direction = origins.reshape(-1, 3)[rows], directions.reshape(-1, 3)[rows]
        depth, reach = depths[best].ravel()[rows], depths[1] - depths[0]
        distance, gradient = _distances_at(silhouettes, cameras, origin + depth[:, None] * direction, own)
        for _ in range(REFINEMENTS):
            _, step = _crossing(distance, np.einsum("nwj,nj->nw", gradient, direction), reach)
            trial = (depth + step).clip(-DEEPEST, DEEPEST)
            there, its_gradient = _distances_at(silhouettes, cameras, origin + trial[:, None] * direction, own)
            better = there.min(axis=1) > distance.min(axis=1)  # where lines are bent, a step may lead astray
            depth[better], distance[better], gradient[better] = trial[better], there[better], its_gradient[better]
            reach = reach / 2
        weights, _ = _crossing(distance, np.einsum("nwj,nj->nw", gradient, direction), reach)
        clearance[rows] = np.einsum("nw,nw->n", weights, np.where(weights > 0, distance, 0))
        points = origin + depth[:, None] * direction
        jacobian[rows] = _jacobian(silhouettes, cameras, points, origin, depth, own, gradient, weights)
    return clearance, jacobian


def _rays(points, cameras):
    """Origins and directions (S, N, 3) of lines of sight, as utils.rendering.cameras.pixel_rays gives them."""
    plane = (points - cameras.shifts[:, None]) / cameras.scales[:, None, None]
    right, up, toward = (cameras.bases[:, None, row] for row in range(3))
    origins = plane[..., :1] * right - plane[..., 1:] * up
    return origins, toward - cameras.inverse_distances[:, None, None] * origins


def _smallest_distances(silhouettes, cameras, origins, directions, depths):
    """(S, N, K) float32: at each depth of each line, the smallest distance among the other views, by nearest pixel."""
    views, edge = len(origins), silhouettes.distances.shape[-1]
    smallest = np.full((*origins.shape[:2], len(depths)), np.inf, np.float32)
    depths = depths.astype(np.float32)
    half = silhouettes.size / 2
    for view in range(views):
        others = [other for other in range(views) if other != view]
        # Along a line, the three local coordinates change evenly with depth.
        start = (origins[others] @ cameras.bases[view].T).astype(np.float32)[..., None]
        change = (directions[others] @ cameras.bases[view].T).astype(np.float32)[..., None]
        w = 1 - np.float32(cameras.inverse_distances[view]) * (start[:, :, 2] + change[:, :, 2] * depths)
        column, row = onto_image(start[:, :, 0] + change[:, :, 0] * depths, start[:, :, 1] + change[:, :, 1] * depths,
                                 np.maximum(w, 1e-3), np.float32(cameras.scales[view] * half),
                                 cameras.shifts[view] * half + (half + silhouettes.margin))
        index = (row.clip(0, edge - 1).astype(np.int32) * edge + column.clip(0, edge - 1).astype(np.int32))
        smallest[others] = np.minimum(smallest[others], silhouettes.distances[view].ravel().take(index))
    return smallest


def _distances_at(silhouettes, cameras, points, own):
    """What all views say of points on lines of sight.

    Args:
        points: (n, 3) float64; own: (n,) int, the view that each point's line belongs to.
    Returns:
        distance: (n, S) pixels, inf for a line's own view; gradient: (n, S, 3) in space, 0 there.
    """
    distance = np.full((len(points), len(cameras.scales)), np.inf)
    gradient = np.zeros((*distance.shape, 3))
    for view in range(distance.shape[1]):
        here = np.flatnonzero(own != view)
        value, slope, local, w = _read_view(silhouettes, cameras, view, points[here])
        right, up, toward = cameras.bases[view]
        q, stretch = cameras.inverse_distances[view], (cameras.scales[view] / w)[:, None]
        # x = s X / w + ..., w = 1 - q d: both X and w change with the point
        dx = stretch * (right + (local[:, :1] * q / w[:, None]) * toward)
        dy = -stretch * (up + (local[:, 1:2] * q / w[:, None]) * toward)
        distance[here, view] = value
        gradient[here, view] = slope[:, :1] * dx + slope[:, 1:] * dy
    return distance, gradient


def _read_view(silhouettes, cameras, view, points):
    """Signed distance (n,) in pixels where a view sees points, its slope (n, 2) per image coordinate, local, w."""
    local = points @ cameras.bases[view].T
    w = np.maximum(1 - cameras.inverse_distances[view] * local[:, 2], 1e-3)
    half, edge = silhouettes.size / 2, silhouettes.distances.shape[-1]
    x, y = onto_image(local[:, 0], local[:, 1], w, cameras.scales[view], cameras.shifts[view])
    column = ((x + 1) * half + silhouettes.margin - 0.5).clip(0, edge - 1.001)
    row = ((y + 1) * half + silhouettes.margin - 0.5).clip(0, edge - 1.001)
    left, top = column.astype(int), row.astype(int)
    across, down = column - left, row - top
    image = silhouettes.distances[view]
    a, b, c, d = image[top, left], image[top, left + 1], image[top + 1, left], image[top + 1, left + 1]
    upper, lower = a + (b - a) * across, c + (d - c) * across
    slope = np.stack([(b - a) * (1 - down) + (d - c) * down, lower - upper], axis=1) * half
    return upper + (lower - upper) * down, slope, local, w


def _crossing(distance, slope, reach):
    """Where the smallest of straight lines is largest.

    Args:
        distance: (n, S) values at the present depth, inf for lines that do not count; slope: (n, S) per unit of depth.
        reach: how far the lines can be trusted, in depth.
    Returns:
        weights: (n, S), at most two of them not 0, that sum to 1 and cancel the slopes where two lines cross; one alone
            where nothing crosses in reach.
        step: (n,) to the best depth, at most `reach`.
    """
    number = np.arange(len(distance))
    lowest = distance.argmin(axis=1)
    weights = np.zeros_like(distance)
    weights[number, lowest] = 1
    step = np.sign(slope[number, lowest]) * reach
    # Duality of linear programs: the largest minimum is the smallest crossing of a rising and a falling line.
    counts = np.isfinite(distance)
    value = np.where(counts, distance, 0)
    rising, falling = slope[:, :, None], slope[:, None]
    span = rising - falling
    pair = (rising > 0) & (falling <= 0) & (span > 1e-9) & counts[:, :, None] & counts[:, None]
    share = np.where(pair, -falling / np.where(pair, span, 1), 0)  # of the rising line
    crossing = np.where(pair, share * value[:, :, None] + (1 - share) * value[:, None], np.inf)
    views = distance.shape[1]
    flat = crossing.reshape(len(distance), -1).argmin(axis=1)
    up, down = flat // views, flat % views
    found = pair[number, up, down]
    to_crossing = np.where(found, (value[number, down] - value[number, up]) / np.where(
        found, span[number, up, down], 1), step)
    near = found & (np.abs(to_crossing) <= reach)
    step = np.where(found, to_crossing.clip(-reach, reach), step)
    weights[near] = 0
    weights[number[near], up[near]] = share[number, up, down][near]
    weights[number[near], down[near]] += 1 - share[number, up, down][near]
    return weights, step


def _jacobian(silhouettes, cameras, points, origin, depth, own, gradient, weights):
    """(n, S * PARAMETERS): derivatives of the weighted mean of distances by all cameras' parameters."""
    views = len(cameras.scales)
    result = np.zeros((len(points), views, PARAMETERS))
    for view in range(views):
        here = np.flatnonzero(weights[:, view] > 0)
        if not len(here):
            continue
        weight = weights[here, view, None]
        _, slope, local, w = _read_view(silhouettes, cameras, view, points[here])
        place = np.stack([local[:, 0], -local[:, 1]], axis=1) * (cameras.scales[view] / w)[:, None]  # without the shift
        result[here, view, :3] += weight * np.cross(gradient[here, view], points[here])
        result[here, view, 3] += weight[:, 0] * (slope * place).sum(axis=1)
        result[here, view, 4:6] += weight * slope
        result[here, view, 6] += weight[:, 0] * (slope * place).sum(axis=1) * local[:, 2] / w
    # The line's own camera moves the point.
    pull = np.einsum("nw,nwj->nj", weights, gradient)
    number, q = np.arange(len(points)), cameras.inverse_distances[own]
    nearer, scale = 1 - q * depth, cameras.scales[own]
    right, up = cameras.bases[own, 0], cameras.bases[own, 1]
    result[number, own, :3] += np.cross(points, pull)
    result[number, own, 3] -= nearer * (pull * origin).sum(axis=1)
    result[number, own, 4] -= nearer / scale * (pull * right).sum(axis=1)
    result[number, own, 5] += nearer / scale * (pull * up).sum(axis=1)
    result[number, own, 6] -= depth * (pull * origin).sum(axis=1)
    return result.reshape(len(points), -1)
