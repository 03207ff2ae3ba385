"""Colors of a surface from its images: each point takes the color of the views that see it.

A visible point has one true color; views differ in how squarely they see it and in how near it lies to a silhouette's
boundary, where an image mixes two surfaces.
"""
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array, diags, identity
from scipy.sparse.linalg import splu

from utils.mesh.smoothing import neighbor_mean_matrix, vertex_normals
from utils.multiview.visual_hull import by_name
from utils.rendering.cameras import ORTHOGRAPHIC, Camera, to_pixels
from utils.rendering.image_sampling import sample_images
from utils.rendering.rasterizer import rasterize_views

DEPTH_SIZE = 512  # pixels per edge of the depth images that decide who is seen
DEPTH_TOLERANCE = 0.012  # normalized units; a point this far behind what its pixel sees still counts as seen
SHARPNESS = 3  # power of the cosine: the view that faces a point most squarely counts most
MIN_COVERAGE = 0.95  # of a pixel that gives color: at a boundary it mixes object and background
WELL_SEEN = 0.01  # sight at which a color counts as much as its surroundings: one view at 12 degrees from grazing
SCREEN = 10.0  # weight of a vertex's own color, where it is seen well, beside 1 for its neighbors' mean


def visibility(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray,
               cameras: Sequence[Camera] = ORTHOGRAPHIC) -> np.ndarray:
    """Which views see each point of a mesh's surface.

    Args:
        points: (K, 3) float on the surface.
        vertices, faces: the mesh, (V, 3) float and (F, 3) int, in the normalized frame.
        cameras: S Camera.
    Returns:
        (S, K) bool.
    """
    named = by_name(cameras)
    seen = np.empty((len(named), len(points)), bool)
    for row, (name, fragments) in zip(seen, rasterize_views(vertices, faces, DEPTH_SIZE, named, weights=False).items()):
        column, line, depth = to_pixels(points, named[name], DEPTH_SIZE).T
        pixel = [np.clip(value, 0, DEPTH_SIZE - 1).astype(np.int64) for value in (line, column)]
        row[:] = depth > fragments.depth[tuple(pixel)] - DEPTH_TOLERANCE
    return seen


def facing_cosines(points: np.ndarray, normals: np.ndarray, cameras: Sequence[Camera]) -> np.ndarray:
    """Cosine between normals and the direction to each camera.

    Args:
        points, normals: (K, 3) float, normals of length 1; cameras: S Camera.
    Returns:
        (S, K) float64.
    """
    cosines = []
    for camera in cameras:
        cosine, q = normals @ camera.basis[2], camera.inverse_distance
        if q:  # the camera lies at toward / q
            sight = camera.basis[2] - q * points
            cosine = np.einsum("kj,kj->k", normals, sight) / np.linalg.norm(sight, axis=1)
        cosines.append(cosine)
    return np.stack(cosines)


def surface_colors(vertices: np.ndarray, faces: np.ndarray, corners: np.ndarray, weights: np.ndarray, images: np.ndarray,
                   masks: np.ndarray, cameras: Sequence[Camera] = ORTHOGRAPHIC) -> np.ndarray:
    """Colors of points on a mesh from the views that see them; what none sees well is filled in from around it.

    Args:
        vertices, faces: the mesh, (V, 3) float and (F, 3) int, in the normalized frame.
        corners, weights: (K, C) int and float, the vertices between which each point lies, three or itself alone, and its
            barycentric coordinates.
        images: (S, H, H, 3) float32 sRGB in [0, 1] over white, in the order of `cameras`.
        masks: (S, H, H) float32 in [0, 1].
        cameras: S Camera.
    Returns:
        (K, 3) float32 in [0, 1]; gray where no view sees any of the points.
    """
    points, normals = ((values[corners] * weights[..., None]).sum(axis=1)
                       for values in (vertices, vertex_normals(vertices, faces)))
    colors, sight = project_colors(points, normals, vertices, faces, images, masks, cameras)
    return fill_unseen(colors, sight / (sight + WELL_SEEN), corners, weights, faces, len(vertices))


def project_colors(points: np.ndarray, normals: np.ndarray, vertices: np.ndarray, faces: np.ndarray, images: np.ndarray,
                   masks: np.ndarray, cameras: Sequence[Camera] = ORTHOGRAPHIC) -> tuple[np.ndarray, np.ndarray]:
    """Colors of points on a mesh from the views that see them.

    Args:
        points, normals: (K, 3) float on the mesh, normals of length 1.
        vertices, faces, images, masks, cameras: see `surface_colors`.
    Returns:
        colors: (K, 3) float32, black where no view sees the point; sight: (K,) float64 >= 0, how well views see it: the sum
        of the cosines' third powers.
    """
    sampled = sample_images(np.concatenate([images, masks[..., None]], axis=-1), points, cameras)
    cosine = facing_cosines(points, normals, cameras).clip(0)
    weight = visibility(points, vertices, faces, cameras) * (sampled[..., 3] > MIN_COVERAGE)
    weight = weight * (cosine ** SHARPNESS + 1e-6 * cosine)
    total = weight.sum(axis=0)
    share = sampled[..., 3:].clip(MIN_COVERAGE, 1)
    pure = (sampled[..., :3] - (1 - share)) / share  # without the white that shines in there
    colors = (np.einsum("vk,vkc->kc", weight, pure) / np.maximum(total, 1e-12)[:, None]).clip(0, 1)
    return colors.astype(np.float32), total


def fill_unseen(colors: np.ndarray, trust: np.ndarray, corners: np.ndarray, weights: np.ndarray, faces: np.ndarray,
                count: int) -> np.ndarray:
    """Colors of points on a mesh, those that are not trusted replaced by what spreads over the surface from around them.

    Not by the nearest seen point's: across a thin wall that lies on the other side. The colors at the vertices solve a
    screened Laplace equation: what is seen where something is, and as smooth as may be in between.

    Args:
        colors: (K, 3) float in [0, 1]; trust: (K,) float in [0, 1].
        corners, weights: where the points lie, see `surface_colors`.
        faces: (F, 3) int of a closed mesh; count: vertices of the mesh.
    Returns:
        (K, 3) float32.
    """
    weights = weights.clip(1e-9)  # a gutter's texels lie beside their triangle
    weights = weights / weights.sum(axis=1, keepdims=True)
    between = csr_array((weights.ravel(), corners.ravel(), np.arange(0, corners.size + 1, corners.shape[1])),
                        shape=(len(corners), count))
    points, trusted, share = between.T @ np.ones(len(corners)), between.T @ trust, trust[:, None]
    mean = (between.T @ (share * colors)) / np.maximum(trusted, 1e-12)[:, None]
    screen = SCREEN * trusted / np.maximum(points, 1e-12)
    everywhere = 1e-6  # so that a part of which nothing is seen has a color too
    overall = (trust @ colors) / trust.sum() if trust.any() else 0.5
    system = identity(count) - neighbor_mean_matrix(faces, count) + diags(screen + everywhere)
    smooth = splu(system.tocsc()).solve(screen[:, None] * mean + everywhere * overall)
    return (share * colors + (1 - share) * (between @ smooth)).astype(np.float32)
