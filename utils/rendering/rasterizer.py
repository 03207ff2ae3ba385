"""Images of a mesh, orthographic or in perspective, by a NumPy z-buffer: no OpenGL, no compiler.

Each triangle is cut at its middle corner into an upper and a lower half, each half into one span of pixels per row,
and the pixels of all spans compete by depth. An edge that two triangles share is computed from the same numbers for
both, so between them no pixel is missed and none is drawn twice. Both sides of a face are drawn. Images are drawn
larger and averaged, which smooths silhouettes and textures alike.

In perspective, straight lines stay straight but depth along them does not grow evenly. With d a depth, q the camera's
inverse distance and w = 1 - q d, what is linear across the image is d / w (and 1 / w = 1 + q d / w), which is d itself
where q is 0 and keeps the order of depths: so the pixels compete by d / w, and only the winners are taken back to d.
"""
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from utils.mesh.mesh import Mesh
from utils.rendering.cameras import OPPOSITE_VIEWS, VIEW_CAMERAS, Camera, as_camera, to_pixels

# Pixels of bounding boxes handled at a time: small enough for the processor's cache, and bounds the memory.
CHUNK_PIXELS = 1 << 16
# Square pixels, doubled. A smaller face is seen edge-on: its slope in depth would be made of rounding errors.
SMALLEST_AREA = 1e-6
# Fraction of the camera's distance. A corner nearer to the plane of the camera has no place in the image that rounding
# would not decide.
NEAREST = 1e-6


@dataclass
class Fragments:
    """What each pixel of an image sees.

    face_index: (H, W) int32, -1 where nothing is.
    barycentric: (H, W, 3) float32, weights of that face's corners, 0 where nothing is; None where nobody asked for them.
    depth: (H, W) float32, larger is nearer the camera; -inf where nothing is.
    """

    face_index: np.ndarray
    barycentric: np.ndarray | None
    depth: np.ndarray

    def mirrored(self, axis: int) -> "Fragments":
        """The same image flipped along `axis`: 0 swaps top and bottom, 1 left and right."""
        return Fragments(*(None if part is None else np.ascontiguousarray(np.flip(part, axis))
                           for part in (self.face_index, self.barycentric, self.depth)))


def rasterize(vertices: np.ndarray, faces: np.ndarray, camera: Camera | np.ndarray, size: int,
              weights: bool = True) -> Fragments:
    """Find the nearest face behind every pixel center.

    Args:
        vertices: (V, 3) float, in the normalized frame.
        faces: (F, 3) int.
        camera: utils.rendering.cameras.Camera, or a (3, 3) basis for the exact orthographic one.
        size: image edge in pixels.
        weights: whether barycentric weights are wanted: a quarter of the work.
    Returns:
        Fragments of (size, size) pixels. Where faces lie at exactly one depth the last of them is seen; faces
        without area in the image, with a corner that is not a finite number, or with one at or behind the plane of the
        camera, are not seen.
    """
    return _rasterize(vertices, faces, camera, size, (1,), weights)[0]


def rasterize_views(vertices: np.ndarray, faces: np.ndarray, size: int,
                    cameras: Mapping[str, Camera] = VIEW_CAMERAS, weights: bool = True) -> dict[str, Fragments]:
    """Fragments of several views, {view name: Fragments}; of all six in half the time of six `rasterize` calls.

    Opposite orthographic views propose the same pixels, mirrored; one sees the nearest faces, the other the farthest.

    Args:
        vertices: (V, 3) float, in the normalized frame; faces: (F, 3) int; size: image edge in pixels.
        cameras: {view name: Camera}.
        weights: see `rasterize`.
    Returns:
        dict in the order of `cameras`.
    """
    views = {}
    for name, opposite, axis in OPPOSITE_VIEWS:
        if all(_is_named_view(cameras.get(view), view) for view in (name, opposite)):
            views[name], behind = _rasterize(vertices, faces, cameras[name], size, (1, -1), weights)
            views[opposite] = behind.mirrored(axis)
    return {name: views[name] if name in views else rasterize(vertices, faces, camera, size, weights)
            for name, camera in cameras.items()}


def rasterize_both_sides(vertices: np.ndarray, faces: np.ndarray, camera: Camera | np.ndarray,
                         size: int) -> tuple[Fragments, Fragments]:
    """Two Fragments without weights: the nearest faces, and the farthest along the same lines of sight (their depths negated).

    With an orthographic camera the second is what a camera behind the object sees, its image not mirrored.
    """
    return _rasterize(vertices, faces, camera, size, (1, -1), weights=False)


def rasterize_layers(vertices: np.ndarray, faces: np.ndarray, basis: np.ndarray,
                     size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every face behind every pixel center of an orthographic image, not the nearest alone.

    Args:
        vertices: (V, 3) float, in the normalized frame; faces: (F, 3) int.
        basis: (3, 3) camera axes, as from `camera_basis`.
        size: image edge in pixels.
    Returns:
        pixel: (K,) int64, row * size + column; face: (K,) int64; depth: (K,) float32, larger is nearer the camera.
        Ordered by pixel, and within one from the nearest depth to the farthest.
    """
    points = to_pixels(np.asarray(vertices, np.float64), as_camera(basis), size)
    drawn, corners, area = _faces_in_image(points, np.asarray(faces).reshape(-1, 3), size)
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    parts += [(pixel, drawn.take(index), depth) for pixel, index, depth in _covered_pixels(corners, area, size)]
    pixel, face, depth = (np.concatenate(column) for column in zip(*parts))
    order = np.lexsort((-depth, pixel))
    return pixel[order], face[order], depth[order]


def render(mesh: Mesh, camera: Camera | np.ndarray, size: int, supersample: int = 2) -> np.ndarray:
    """One unlit image of a colored mesh.

    Args:
        mesh: utils.mesh.mesh.Mesh in the normalized frame.
        camera: utils.rendering.cameras.Camera, or a (3, 3) basis for the exact orthographic one.
        size: image edge in pixels.
        supersample: samples per pixel edge.
    Returns:
        (size, size, 4) uint8 RGBA; alpha is the fraction of the pixel that is covered, color is not premultiplied and
        white where nothing is.
    """
    return paint(mesh, rasterize(mesh.vertices, mesh.faces, camera, size * supersample), supersample)


def render_views(mesh: Mesh, size: int, supersample: int = 2,
                 cameras: Mapping[str, Camera] = VIEW_CAMERAS) -> dict[str, np.ndarray]:
    """The views of a mesh in the normalized frame: {view name: (size, size, 4) uint8 RGBA}; see `rasterize_views`."""
    views = rasterize_views(mesh.vertices, mesh.faces, size * supersample, cameras)
    return {name: paint(mesh, fragments, supersample) for name, fragments in views.items()}


def over_white(rgba: np.ndarray) -> np.ndarray:
    """Composite (..., 4) uint8 RGBA over white: (..., 3) uint8."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _is_named_view(camera, view):
    """Whether `camera` (or None) is the exact orthographic one of that name."""
    return camera is not None and camera.is_exact() and np.array_equal(camera.basis, VIEW_CAMERAS[view].basis)


def _rasterize(vertices, faces, camera, size, directions, weights):
    """One Fragments for each of `directions`: 1 sees the largest depth, -1 the smallest (from behind, unmirrored)."""
    camera = as_camera(camera)
    points = to_pixels(np.asarray(vertices, np.float64), camera, size)
    closeness = camera.inverse_distance  # 0: what follows is as it was for orthographic images alone
    if closeness:
        w = 1 - closeness * points[:, 2]
        points[w <= NEAREST] = np.nan
        with np.errstate(invalid="ignore"):
            points[:, 2] /= w
    drawn, corners, area = _faces_in_image(points, np.asarray(faces).reshape(-1, 3), size)
    depths = [np.full(size * size, -np.inf, np.float32) for _ in directions]
    indices = [np.full(size * size, -1, np.int64) for _ in directions]
    for pixel, index, depth in _covered_pixels(corners, area, size):
        for direction, best, nearest in zip(directions, depths, indices):
            toward = depth if direction > 0 else -depth
            np.maximum.at(best, pixel, toward)
            won = np.flatnonzero(toward >= best.take(pixel))
            nearest[pixel.take(won)] = index.take(won)
    if closeness:  # from d / w back to d; -inf, nothing there, stays
        with np.errstate(invalid="ignore"):
            depths = [np.where(index < 0, best, best / (1 + direction * np.float32(closeness) * best))
                      for direction, best, index in zip(directions, depths, indices)]
    shape, barycentric = (size, size), [None] * len(indices)
    if weights:
        planes = _weight_planes(corners, area)
        inverse_w = (1 + closeness * corners[:, 2]).astype(np.float32).T if closeness else None
        barycentric = [_barycentric(size, planes, index, inverse_w).reshape(*shape, 3) for index in indices]
    return [Fragments(_faces_shown(drawn, index).reshape(shape), each, depth.reshape(shape))
            for index, each, depth in zip(indices, barycentric, depths)]


def _faces_in_image(points, faces, size):
    """Leave out faces that hold no pixel center for sure.

    Args:
        points: (V, 3) float64 column, row, depth.
        faces: (F, 3) int.
    Returns:
        drawn: (K,) int64, the faces that are left.
        corners: (3, 3, K) float64: column, row and depth (second axis) of each corner (first axis).
        area: (K,) float64, twice the area in square pixels, signed by the turning direction; never near 0.
    """
    column, row = _first_center(points[:, :2].T, size).take(faces.T, axis=1)
    drawn = np.flatnonzero(((column[0] != column[1]) | (column[0] != column[2]))
                           & ((row[0] != row[1]) | (row[0] != row[2])))
    corners = points.take(faces.take(drawn, axis=0).T, axis=0).transpose(0, 2, 1)
    with np.errstate(invalid="ignore"):  # infinite corners
        (x0, y0, _), (x1, y1, _), (x2, y2, _) = corners
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    sound = np.flatnonzero((np.abs(area) > SMALLEST_AREA) & np.isfinite(area))
    return drawn.take(sound), corners.take(sound, axis=2), area.take(sound)


def _first_center(coordinates, size):
    """The first pixel, 0 to size, whose center does not come before each of `coordinates` (NaN gives 0)."""
    return np.nan_to_num(np.clip(np.ceil(coordinates - 0.5), 0, size)).astype(np.int64)


def _covered_pixels(corners, area, size):
    """Yield (pixel, index into the K faces, depth) of every pixel center in every face, in the order of the faces.

    A center exactly on an edge belongs to the face at its right or below it, so it is covered once.
    """
    start_row, height, lines = _half_triangles(corners, size)
    planes = _depth_planes(corners, area)
    columns = _first_center(corners[:, 0], size)
    pixels = np.cumsum(height * np.repeat(columns.max(axis=0) - columns.min(axis=0), 2))
    bounds = np.searchsorted(pixels, np.arange(CHUNK_PIXELS, pixels[-1] if len(pixels) else 0, CHUNK_PIXELS))
    for begin, end in zip([0, *bounds], [*bounds, len(height)]):
        # One span for each half triangle and row: from the long edge to the short one, or the other way round.
        half, step = _repeat(height[begin:end])
        row = start_row[begin:end].take(half) + step
        half += begin
        long_start, long_slope, short_start, short_slope = lines.take(half, axis=0).T
        one, other = long_start + long_slope * row, short_start + short_slope * row
        first = _first_center(np.minimum(one, other), size)
        count = _first_center(np.maximum(one, other), size) - first
        filled = np.flatnonzero(count)
        first, count, row = first.take(filled), count.take(filled), row.take(filled)
        face = half.take(filled) >> 1
        offset, across, down = planes.take(face, axis=0).T
        depth = offset + across * first + down * row
        # The pixels of all spans.
        span, step = _repeat(count)
        pixel = (row * size + first).take(span) + step
        depth = depth.astype(np.float32).take(span) + across.astype(np.float32).take(span) * step.astype(np.float32)
        yield pixel, face.take(span), depth


def _repeat(counts):
    """For counts (3, 1, 2): which entry, (0, 0, 0, 1, 2, 2), and which repetition of it, (0, 1, 2, 0, 0, 1)."""
    entry = np.repeat(np.arange(len(counts)), counts)
    return entry, np.arange(len(entry)) - (np.cumsum(counts) - counts).take(entry)


def _half_triangles(corners, size):
    """Cut each of K triangles at the row of its middle corner.

    Returns:
        start_row: (2 K,) int64, first row of the upper and the lower half of each face in turn.
        height: (2 K,) int64, number of rows.
        lines: (2 K, 4) float64, the column where the long and the short edge cross a row's center, each as
            (value at row 0, change per row). Undefined where the height is 0.
    """
    order = np.argsort(corners[:, 1], axis=0, kind="stable")
    (xt, xm, xb), (yt, ym, yb) = np.take_along_axis(corners[:, :2].transpose(1, 0, 2), order[None], axis=1)
    rows = _first_center(np.stack([yt, ym, yb], axis=1), size)
    with np.errstate(divide="ignore", invalid="ignore"):  # an edge along a row crosses no other row
        long, upper, lower = _line(xt, yt, xb, yb), _line(xt, yt, xm, ym), _line(xm, ym, xb, yb)
    lines = np.stack([*long, *upper, *long, *lower], axis=1).reshape(-1, 4)
    return rows[:, :2].ravel(), np.diff(rows, axis=1).ravel(), lines


def _line(xa, ya, xb, yb):
    """Column where a line crosses row centers: (value at row 0, change per row); a is the end with the smaller row.

    Always from that end, so that two faces that share an edge get the same numbers.
    """
    slope = (xb - xa) / (yb - ya)
    return xa - (ya - 0.5) * slope, slope


def _depth_planes(corners, area):
    """(K, 3) float64 for each face: depth at the center of pixel (0, 0), change per column, change per row."""
    (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = corners
    across = ((y2 - y0) * (z1 - z0) - (y1 - y0) * (z2 - z0)) / area
    down = ((x1 - x0) * (z2 - z0) - (x2 - x0) * (z1 - z0)) / area
    return np.stack([z0 - across * (x0 - 0.5) - down * (y0 - 0.5), across, down], axis=1)


def _weight_planes(corners, area):
    """(K, 6) float32 for each face: corner 0, then change per column and row of the weights of corners 1 and 2."""
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = corners
    planes = [x0, y0, (y2 - y0) / area, (x0 - x2) / area, (y0 - y1) / area, (x1 - x0) / area]
    return np.stack(planes, axis=1).astype(np.float32)


def _faces_shown(drawn, nearest):
    """(size * size,) int32 numbers of faces from the winners: nearest (size * size,), index into the K drawn faces or -1."""
    face_index = np.full(len(nearest), -1, np.int32)
    seen = np.flatnonzero(nearest >= 0)
    face_index[seen] = drawn.take(nearest.take(seen))
    return face_index


def _barycentric(size, planes, nearest, inverse_w):
    """(size * size, 3) float32 weights of the winners' corners: planes from `_weight_planes`, nearest as in `_faces_shown`.

    inverse_w: (K, 3) float32, 1 / w at the corners of the drawn faces, or None where all are 1.
    """
    barycentric = np.zeros((size * size, 3), np.float32)
    seen = np.flatnonzero(nearest >= 0)
    for pixel in np.split(seen, range(CHUNK_PIXELS, len(seen), CHUNK_PIXELS)):
        index = nearest.take(pixel)
        x0, y0, across1, down1, across2, down2 = planes.take(index, axis=0).T
        row = pixel // size
        # Offsets from corner 0: small numbers, so float32 is exact enough at any image size.
        dx = (pixel - row * size + 0.5).astype(np.float32) - x0
        dy = (row + 0.5).astype(np.float32) - y0
        # Rounding must not take a weight out of [0, 1].
        weight1 = np.maximum(across1 * dx + down1 * dy, 0)
        weight2 = np.maximum(across2 * dx + down2 * dy, 0)
        total = np.maximum(weight1 + weight2, 1)
        weight1, weight2 = weight1 / total, weight2 / total
        weights = np.stack([1 - weight1 - weight2, weight1, weight2], axis=1)
        if inverse_w is not None:  # from fractions of the image's triangle to fractions of the face (Heckbert and Moreton 1991)
            weights = np.maximum(weights, 0) * inverse_w.take(index, axis=0)
            weights /= weights.sum(axis=1, keepdims=True)
        barycentric[pixel] = weights
    return barycentric


def paint(mesh: Mesh, fragments: Fragments, supersample: int) -> np.ndarray:
    """RGBA image of what Fragments of `supersample` times its size see; arguments and result as for `render`."""
    face_index = fragments.face_index.ravel()
    size = len(fragments.face_index) // supersample
    samples = np.zeros((len(face_index), 4), np.float32)  # color, premultiplied; coverage
    seen = np.flatnonzero(face_index >= 0)
    for pixel in np.split(seen, range(CHUNK_PIXELS, len(seen), CHUNK_PIXELS)):
        barycentric = fragments.barycentric.reshape(-1, 3).take(pixel, axis=0)
        samples[pixel, :3] = mesh.colors_at(face_index.take(pixel), barycentric)
    samples[seen, 3] = 1
    grid = samples.reshape(size * supersample, size * supersample, 4)
    total = sum(grid[i::supersample, j::supersample] for i in range(supersample) for j in range(supersample))
    total = total.reshape(-1, 4)
    covered = np.flatnonzero(total[:, 3])
    total = total.take(covered, axis=0)
    total[:, :3] /= total[:, 3:]
    total[:, 3] /= supersample ** 2
    image = np.full((size * size, 4), np.uint8([255, 255, 255, 0]))
    image[covered] = np.round(total * 255).astype(np.uint8)
    return image.reshape(size, size, 4)
