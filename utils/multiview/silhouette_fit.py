"""Bring a mesh's own silhouettes back to those of the images, after smoothing and colors have moved it.

Where a mesh's silhouette falls short of an image's, its contour (the vertices at its rim in that view) moves along its normals
until it reaches the boundary there, and takes its neighborhood along: Gauss-Newton steps of the usual silhouette term
(e.g. Furukawa and Ponce 2009, "Carved visual hulls for image-based modeling") with thin-plate stiffness.
"""
from collections.abc import Sequence

import numpy as np

from utils.mesh.smoothing import bending_matrix, vertex_normals
from utils.multiview.photo_consistency import BENDING_WEIGHT, image_motion
from utils.multiview.visual_hull import by_name, step_within_hull
from utils.rendering.cameras import ORTHOGRAPHIC, VIEW_EXTENT, Camera, to_pixels
from utils.rendering.image_sampling import sample_bilinear, sample_images
from utils.rendering.rasterizer import rasterize_views

ROUNDS = 4  # after each, other vertices make the contour
SIZE = 512  # pixels per edge in which the mesh's silhouettes are drawn
RIM = 1.0  # pixels of them from the silhouette's boundary: vertices that near make the contour
MIN_SINE = 0.5  # of the angle between normal and sight; a contour is where it is 1
FARTHEST = 0.04  # normalized units; a boundary farther off belongs to something that this mesh lacks
CONTOUR_WEIGHT, HOLD_WEIGHT = 30.0, 5.0  # of the contour reaching the boundary, of every vertex staying where it is
OUTLIER = 0.02  # normalized units from which a boundary is less and less believed


def fit_silhouettes(vertices: np.ndarray, faces: np.ndarray, distances: np.ndarray, cameras: Sequence[Camera] = ORTHOGRAPHIC,
                    edge_confidence: np.ndarray | None = None) -> np.ndarray:
    """Move a mesh's contours to the boundaries of the silhouettes.

    Args:
        vertices: (V, 3) float64 in the normalized frame; faces: (F, 3) int64.
        distances: (S, H, H) from utils.multiview.visual_hull.silhouette_sdf, in the order of `cameras`.
        cameras: S Camera.
        edge_confidence: (S, h, h) float in [0, 1], how sure the nearest edge pixel is; None: all are sure.
    Returns:
        (V, 3) float64; moves end at the visual hull, as far as `step_within_hull` holds them.
    """
    down, right = np.gradient(distances, axis=(1, 2))
    boundaries = np.stack([distances, right, -down], axis=-1).astype(np.float32)
    bending = BENDING_WEIGHT * bending_matrix(faces, len(vertices))
    for _ in range(ROUNDS):
        vertices = _step(vertices, faces, boundaries, distances, cameras, edge_confidence, bending)
    return vertices


def _step(vertices, faces, boundaries, distances, cameras, edge_confidence, bending):
    """One step of `fit_silhouettes`; boundaries: (S, H, H, 3) distance and its gradient to the right and upwards."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import cg

    normals = vertex_normals(vertices, faces)
    readings = sample_images(boundaries, vertices, cameras)
    sure = np.ones((len(cameras), len(vertices))) if edge_confidence is None else sample_images(
        edge_confidence[..., None].astype(np.float32), vertices, cameras)[..., 0]
    motion_right, motion_up, _ = image_motion(vertices, normals, cameras)
    curvature, slope = np.zeros(len(vertices)), np.zeros(len(vertices))
    for view, own in enumerate(_own_distances(vertices, faces, cameras)):
        outwards = -readings[view, :, 1:] / np.maximum(np.linalg.norm(readings[view, :, 1:], axis=1, keepdims=True), 1e-9)
        reach = outwards[:, 0] * motion_right[view] + outwards[:, 1] * motion_up[view]
        gap = readings[view, :, 0] - own  # from the mesh's boundary to the silhouette's
        contour = (own < RIM * 2 * VIEW_EXTENT / SIZE) & (reach > MIN_SINE) & (np.abs(gap) < FARTHEST)
        weight = contour * sure[view] * CONTOUR_WEIGHT / (1 + (gap / OUTLIER) ** 2)
        curvature += weight * reach**2
        slope += weight * reach * gap
    system = diags(curvature + HOLD_WEIGHT) + bending
    step, _ = cg(system, slope, rtol=1e-3, maxiter=200, M=diags(1 / system.diagonal()))
    return step_within_hull(vertices, normals, step, distances, cameras)


def _own_distances(vertices, faces, cameras):
    """For each view (V,) how far each vertex is, in normalized units, from the boundary of the mesh's own silhouette."""
    from scipy.ndimage import distance_transform_edt

    named = by_name(cameras)
    for name, fragments in rasterize_views(vertices, faces, SIZE, named, weights=False).items():
        column, row, _ = to_pixels(vertices, named[name], SIZE).T - 0.5
        # Only where there are vertices, and a pixel around: the rest of the image is asked of by none
        left, top = (max(0, int(place.min()) - 1) for place in (column, row))
        covered = fragments.face_index[top:int(row.max()) + 3, left:int(column.max()) + 3] >= 0
        inside = np.where(covered, distance_transform_edt(covered) - 0.5, 0.5 - distance_transform_edt(~covered))
        yield sample_bilinear(inside.astype(np.float32), column - left, row - top) * (2 * VIEW_EXTENT / SIZE)
