"""Which vertices each pixel of the six views sees, so that colors can be drawn by a weighted sum.

Geometry is fixed when colors are learned, so the rasterization needs no gradient: `models.losses.draw_colors` uses
the result and is differentiable in the colors.
"""
import numpy as np

from config import VIEW_NAMES
from utils.rendering.rasterizer import rasterize_views


def pixel_corners(vertices: np.ndarray, faces: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rasterize a batch of meshes of one connectivity into the six views, in VIEW_NAMES order.

    Args:
        vertices: (B, N, 3) float, normalized frame.
        faces: (F, 3) int.
        size: image edge in pixels, H = W.
    Returns:
        corners: (B, 6, H, W, 3) int64, the corners of the face each pixel sees (those of face 0 for the background).
        weights: (B, 6, H, W, 3) float32, their barycentric weights; 0 for the background.
    """
    objects = [rasterize_views(one, faces, size) for one in vertices]
    views = [[seen[name] for name in VIEW_NAMES] for seen in objects]
    face_index = np.stack([[view.face_index for view in row] for row in views])
    weights = np.stack([[view.barycentric for view in row] for row in views])
    return np.asarray(faces, np.int64)[np.maximum(face_index, 0)], weights
