"""Colors of a surface from its images: each point takes the color of the views that see it.

A visible point has one true color; views differ in how squarely they see it and in how near it lies to a silhouette's
boundary, where an image mixes two surfaces.
"""
import numpy as np

from utils.multiview.visual_hull import all_cameras, by_name
from utils.rendering.cameras import Camera, to_pixels
from utils.rendering.image_sampling import sample_images
from utils.rendering.rasterizer import rasterize_views

DEPTH_SIZE = 512  # pixels per edge of the depth images that decide who is seen
DEPTH_TOLERANCE = 0.012  # normalized units; a point this far behind what its pixel sees still counts as seen
SHARPNESS = 3  # power of the cosine: the view that faces a point most squarely counts most
MIN_COVERAGE = 0.95  # of a pixel that gives color: at a boundary it mixes object and background
BESIDE, SAMPLE = 0.01, 20_000  # normalized units; points: see `_nearest_colors`


def visibility(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray,
               cameras: list[Camera] | None = None) -> np.ndarray:
    """Which views see each point of a mesh's surface.

    Args:
        points: (K, 3) float on the surface.
        vertices, faces: the mesh, (V, 3) float and (F, 3) int, in the normalized frame.
        cameras: S Camera; None: the six exact orthographic ones.
    Returns:
        (S, K) bool.
    """
    named = by_name(all_cameras(cameras))
    seen = np.empty((len(named), len(points)), bool)
    for row, (name, fragments) in zip(seen, rasterize_views(vertices, faces, DEPTH_SIZE, named).items()):
        column, line, depth = to_pixels(points, named[name], DEPTH_SIZE).T
        pixel = [np.clip(value, 0, DEPTH_SIZE - 1).astype(np.int64) for value in (line, column)]
        row[:] = depth > fragments.depth[tuple(pixel)] - DEPTH_TOLERANCE
    return seen


def facing_cosines(points: np.ndarray, normals: np.ndarray, cameras: list[Camera]) -> np.ndarray:
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


def project_colors(points: np.ndarray, normals: np.ndarray, vertices: np.ndarray, faces: np.ndarray, images: np.ndarray,
                   masks: np.ndarray, cameras: list[Camera] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Colors of points on a mesh from the views that see them; unseen points take their nearest seen one's color.

    Args:
        points, normals: (K, 3) float on the mesh, normals of length 1.
        vertices, faces: the mesh.
        images: (S, H, H, 3) float32 sRGB in [0, 1] over white, in the order of `cameras`.
        masks: (S, H, H) float32 in [0, 1].
        cameras: S Camera; None: the six exact orthographic ones in VIEW_NAMES order.
    Returns:
        colors: (K, 3) float32; seen: (K,) bool, whether a view saw the point.
    """
    cameras = all_cameras(cameras)
    sampled = sample_images(np.concatenate([images, masks[..., None]], axis=-1), points, cameras)
    cosine = facing_cosines(points, normals, cameras).clip(0)
    weight = visibility(points, vertices, faces, cameras) * (sampled[..., 3] > MIN_COVERAGE)
    weight = weight * (cosine ** SHARPNESS + 1e-6 * cosine)
    total = weight.sum(axis=0)
    share = sampled[..., 3:].clip(MIN_COVERAGE, 1)
    pure = (sampled[..., :3] - (1 - share)) / share  # without the white that shines in there
    colors = (np.einsum("vk,vkc->kc", weight, pure) / np.maximum(total, 1e-12)[:, None]).clip(0, 1)
    seen = total > 1e-9
    if seen.any() and not seen.all():
        colors[~seen] = _nearest_colors(points[~seen], points[seen], colors[seen])
    return colors.astype(np.float32), seen


def _nearest_colors(unseen, seen, colors):
    """Colors of unseen points (K, 3): of the nearest of the seen points (N, 3), or of the nearest of a sample of them.

    A search among half a million points that are all about as far away takes long, and a sample is as good there; where a
    seen point is BESIDE an unseen one it is looked for among all.
    """
    from scipy.spatial import cKDTree

    sample = np.random.default_rng(0).permutation(len(seen))[:SAMPLE]
    nearest = sample[cKDTree(seen[sample]).query(unseen)[1]]
    distance, exact = cKDTree(seen).query(unseen, distance_upper_bound=BESIDE)
    return colors[np.where(np.isfinite(distance), exact, nearest)]
