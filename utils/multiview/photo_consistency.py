"""Move a surface to where the images that see it agree about its color.

A point that two views see has one color, read in both where it projects. Where the
surface lies too deep or too high the two read different spots: the difference, and how it changes as the point moves
along its normal, say how far it is off. (Faugeras and Keriven 1998, "Variational principles, surface evolution, PDE's,
level set methods and the stereo problem"; on meshes Vu et al. 2012, "High accuracy and visibility-consistent dense
multiview stereo".) Plain surfaces stay where they are.
"""
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from utils.mesh.smoothing import bending_matrix, membrane_matrix, vertex_normals
from utils.multiview.field_cleanup import ON_HULL
from utils.multiview.texture_projection import visibility
from utils.multiview.visual_hull import step_within_hull
from utils.rendering.cameras import ORTHOGRAPHIC, VIEW_EXTENT, Camera, to_pixels
from utils.rendering.image_sampling import sample_images

BLURS_PX = (4, 2, 1)  # of images of 256 pixels, coarse to fine: a blur reaches about as far as a match is looked for
ROUNDS = 4  # for each blur
MIN_COSINE = 0.2  # between normal and view: flatter than this an image is too foreshortened
INSIDE = 0.99  # coverage from which an image shows the object alone
OUTLIER_COLOR = 0.15  # difference of colors in [0, 1] from which two views are less and less believed
BENDING_WEIGHT = 50.0  # bending weight relative to the photometric term
MEMBRANE_WEIGHT = 5.0  # of edges between vertices of which images say nothing: by bending alone a slope beside them would go on
ROUNDING = 1e-6  # of curvature: what sums of zeros may differ from zero by
ANCHOR_WEIGHT = 0.02  # how much each vertex is held where it was, likewise
HULL_ANCHOR_WEIGHT, SILHOUETTE_ANCHOR_WEIGHT = 1.0, 100.0  # of vertices on the hull, of those that hold a silhouette
SEGMENT_PX, SLACK = 5, 0.003  # pixels of a boundary that are held once; normalized units
LARGEST_STEP, LARGEST_MOVE = 0.01, 0.2  # normalized units, in one round and in all
CONVERGING = 0.6  # of the first pass's mean move: a second pass that moves more is chasing what no point of the surface shows
CLEARANCE_FRACTION, NEIGHBORS = 0.35, 64  # of the distance to what lies against a vertex; among how many it is looked for


def refine_by_photo_consistency(vertices: np.ndarray, faces: np.ndarray, images: np.ndarray, masks: np.ndarray,
                                distances: np.ndarray, cameras: Sequence[Camera] = ORTHOGRAPHIC) -> np.ndarray:
    """Move vertices along their normals until views that see the same spot agree about its color.

    First what lies on the hull is held but loosely: a silhouette says that something lies on each line of sight that
    touches it, not where. What then is still outmost holds that piece of the silhouette, and the rest of the hull's
    surface is left to the images. A second pass starts from there: what has left the hull is held by it no longer, and what
    two views see from its new place could not be seen before. It counts only where it comes to rest; on a surface
    whose images differ by light or gloss every pass drifts on, and the first is enough.

    Args:
        vertices: (V, 3) float64 in the normalized frame; faces: (F, 3) int64, closed.
        images: (S, H, H, 3) float32 sRGB in [0, 1] over white, in the order of `cameras`; masks: (S, H, H) float32 in
            [0, 1].
        distances: (S, h, h) from utils.multiview.visual_hull.silhouette_sdf.
        cameras: S Camera.
    Returns:
        (V, 3) float64; moves end at the visual hull, as far as `step_within_hull` holds them.
    """
    readings = [_colors_and_gradients(images, masks, blur * images.shape[1] / 256) for blur in BLURS_PX]
    stiffness = BENDING_WEIGHT * bending_matrix(faces, len(vertices))
    first = _pass(vertices, faces, readings, distances, cameras, stiffness)
    second = _pass(first, faces, readings, distances, cameras, stiffness)
    moves = [np.linalg.norm(after - before, axis=1).mean() for before, after in ((vertices, first), (first, second))]
    return second if moves[1] < CONVERGING * moves[0] else first


def _pass(vertices, faces, readings, distances, cameras, stiffness):
    """`refine_by_photo_consistency` once: vertices (V, 3) that hold the silhouettes where the images leave them outmost."""
    pieces, room = _silhouette_segments(vertices, distances, cameras), _step_bounds(vertices, vertex_normals(vertices, faces))
    hold = np.where((pieces >= 0).any(axis=0), HULL_ANCHOR_WEIGHT, ANCHOR_WEIGHT)
    _, moved = _gauss_newton(vertices, faces, readings, distances, cameras, stiffness, hold, room)
    hold = np.where(_silhouette_vertices(pieces, moved), SILHOUETTE_ANCHOR_WEIGHT, hold)
    return _gauss_newton(vertices, faces, readings, distances, cameras, stiffness, hold, room)[0]


def _silhouette_segments(vertices, distances, cameras):
    """(S, V) int: which piece of each view's silhouette each vertex touches, by number, or -1 where it touches none."""
    size = distances.shape[-1]
    gaps = sample_images(distances[..., None], vertices, cameras)[..., 0]
    pieces = np.empty(gaps.shape, int)
    for number, camera in enumerate(cameras):
        column, row, _ = (to_pixels(vertices, camera, size) // SEGMENT_PX).astype(int).T
        touches = gaps[number] < ON_HULL * 2 * VIEW_EXTENT / size
        pieces[number] = np.where(touches, (number * size + row) * size + column, -1)
    return pieces


def _step_bounds(vertices, normals):
    """How far each vertex may go, inwards (negative) and outwards, (V,) each: sheets may not pass through each other.

    What lies against a vertex is looked for among its neighbors in space that face the other way.
    """
    from scipy.spatial import cKDTree

    apart, near = cKDTree(vertices).query(vertices, NEIGHBORS, distance_upper_bound=LARGEST_MOVE / CLEARANCE_FRACTION)
    found = near < len(vertices)
    near = np.where(found, near, 0)
    against = found & (np.einsum("vj,vkj->vk", normals, normals[near]) < -0.2)
    ahead = np.einsum("vj,vkj->vk", normals, vertices[near] - vertices[:, None]) > 0
    behind, before = (np.where(against & side, apart, np.inf).min(axis=1) for side in (~ahead, ahead))
    return -np.minimum(CLEARANCE_FRACTION * behind, LARGEST_MOVE), np.minimum(CLEARANCE_FRACTION * before, LARGEST_MOVE)


def _silhouette_vertices(pieces, moved):
    """Which vertices hold the silhouettes: of those that touch one piece of a boundary, the ones the images leave outmost.

    Args:
        pieces: (S, V) int from `_silhouette_segments`; moved: (V,) float, normalized units by which each went outwards.
    Returns:
        (V,) bool.
    """
    outmost = np.full(pieces.max() + 2, -np.inf)
    np.maximum.at(outmost, pieces, np.broadcast_to(moved, pieces.shape))
    return ((pieces >= 0) & (moved >= outmost[pieces] - SLACK)).any(axis=0)


def _gauss_newton(vertices, faces, readings, distances, cameras, stiffness, hold, room):
    """Gauss-Newton with robust weights (Geman and McClure 1987) and thin-plate stiffness, over ever sharper images.

    Where images say nothing of the surface, since no two show it or it is plain, it goes along with its surroundings, as a
    membrane does that is laid over them.

    Args:
        vertices, faces, distances, cameras: as in `refine_by_photo_consistency`.
        readings: list of what `_colors_and_gradients` gives, coarse to fine.
        stiffness: (V, V) sparse; hold: (V,) float, how much each vertex is held where it was; room: from `_step_bounds`.
    Returns:
        vertices: (V, 3) float64; moved: (V,) float64, normalized units by which each went along its normal.
    """
    from scipy.sparse import diags
    from scipy.sparse.linalg import cg

    moved = np.zeros(len(vertices))
    for reading in readings:
        for number in range(ROUNDS):
            normals = vertex_normals(vertices, faces)
            if number % 2 == 0:
                seen = visibility(vertices, vertices, faces, cameras)
            curvature, slope = _photometric_residual(reading, vertices, normals, seen, cameras)
            stiff = stiffness + MEMBRANE_WEIGHT * membrane_matrix(faces, curvature < ROUNDING)
            system = diags(curvature + hold) + stiff
            right = -slope - stiff @ moved - hold * moved
            step, _ = cg(system, right, rtol=1e-3, maxiter=100, M=diags(1 / system.diagonal()))
            step = np.clip(step, -LARGEST_STEP, LARGEST_STEP)
            step = np.clip(moved + step, *room) - moved
            vertices, moved = step_within_hull(vertices, normals, step, distances, cameras), moved + step
    return vertices, moved


def _colors_and_gradients(images, masks, blur_px):
    """(S, H, H, 10) float32: color blurred within the mask, its slope per pixel to the right and down, coverage."""
    from scipy.ndimage import gaussian_filter

    over = (0, blur_px, blur_px, 0)
    coverage = gaussian_filter(masks[..., None], over)
    own = np.clip(images - (1 - masks[..., None]), 0, 1)  # without the white that shines in at a boundary
    colors = gaussian_filter(own, over) / np.maximum(coverage, 1e-3)
    down, right = np.gradient(colors, axis=(1, 2))
    return np.concatenate([colors, right, down, masks[..., None]], axis=-1).astype(np.float32)


def _photometric_residual(readings, vertices, normals, seen, cameras):
    """How much all pairs of views disagree at each vertex, as it moves along its normal: second and first derivative.

    Args:
        readings: from `_colors_and_gradients`.
        vertices, normals: (V, 3) float; seen: (S, V) bool; cameras: S Camera.
    Returns:
        curvature, slope: (V,) float, of half the weighted squared difference of colors; per normalized unit.
    """
    values = sample_images(readings, vertices, cameras)
    right, up, cosine = image_motion(vertices, normals, cameras)
    per_length = readings.shape[1] / (2 * VIEW_EXTENT)
    slopes = (values[..., 3:6] * right[..., None] - values[..., 6:9] * up[..., None]) * per_length
    usable = seen & (cosine > MIN_COSINE) & (values[..., 9] > INSIDE)
    curvature, slope = np.zeros(len(vertices)), np.zeros(len(vertices))
    for one, other in combinations(range(len(cameras)), 2):
        both = np.flatnonzero(usable[one] & usable[other])
        if not len(both):
            continue
        difference = values[one, both, :3] - values[other, both, :3]
        difference = difference - np.median(difference, axis=0)
        change = slopes[one, both] - slopes[other, both]
        weight = np.minimum(cosine[one, both], cosine[other, both])
        weight = weight / (1 + (np.linalg.norm(difference, axis=1) / OUTLIER_COLOR) ** 2)
        curvature[both] += weight * (change**2).sum(axis=1)
        slope[both] += weight * (change * difference).sum(axis=1)
    return curvature, slope


def image_motion(points: np.ndarray, normals: np.ndarray, cameras: Sequence[Camera]) -> tuple[np.ndarray, ...]:
    """How points move in each image as they move along their normals.

    Args:
        points, normals: (V, 3) float; cameras: S Camera.
    Returns:
        right, up: (S, V) float64, per normalized unit, in units of 1 / VIEW_EXTENT of half the image: in the exact orthographic
            cameras the normal's own components.
        cosine: (S, V) float64, between the normal and the direction to the camera.
    """
    bases = np.stack([camera.basis for camera in cameras])
    right, up, toward = np.moveaxis(normals @ bases.transpose(0, 2, 1), -1, 0)  # (S, V) each
    for number, camera in enumerate(cameras):
        if camera.is_exact():
            continue
        # x = s X / w with w = 1 - q depth: both X and w change as the point moves
        x, y, depth = (points @ camera.basis.T).T
        q, w = camera.inverse_distance, 1 - camera.inverse_distance * depth
        away, stretch = q * toward[number] / w, camera.scale * VIEW_EXTENT / w
        right[number], up[number] = (right[number] + x * away) * stretch, (up[number] + y * away) * stretch
        sight = camera.basis[2] - q * points
        toward[number] = np.einsum("vj,vj->v", normals, sight) / np.linalg.norm(sight, axis=1)
    return right, up, toward
