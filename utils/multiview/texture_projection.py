"""Colors of a surface from the six images: each point takes the color of the views that see it.

The images are unlit and orthographic, so a seen point has one true color; what differs between views is how squarely
they see it and how near an outline it lies, where an image mixes two surfaces.
"""
import numpy as np

from config import VIEW_NAMES
from utils.rendering.cameras import VIEW_BASES, to_pixels
from utils.rendering.image_sampling import sample_images
from utils.rendering.rasterizer import rasterize_views

DEPTH_SIZE = 512  # pixels per edge of the depth images that decide who is seen
DEPTH_TOLERANCE = 0.012  # lengths; a point this far behind what its pixel sees still counts as seen
SHARPNESS = 3  # power of the cosine: the view that faces a point most squarely counts most


def visibility(points, vertices, faces):
    """Which views see each point of a mesh's surface.

    Args:
        points: (K, 3) float on the surface.
        vertices, faces: the mesh, (V, 3) float and (F, 3) int, in the normalized frame.
    Returns:
        (6, K) bool.
    """
    seen = np.empty((len(VIEW_NAMES), len(points)), bool)
    for row, (name, fragments) in zip(seen, rasterize_views(vertices, faces, DEPTH_SIZE).items()):
        column, line, depth = to_pixels(points, VIEW_BASES[name], DEPTH_SIZE).T
        pixel = [np.clip(value, 0, DEPTH_SIZE - 1).astype(np.int64) for value in (line, column)]
        row[:] = depth > fragments.depth[tuple(pixel)] - DEPTH_TOLERANCE
    return seen


def project_colors(points, normals, vertices, faces, images, masks):
    """Colors of points on a mesh from the views that see them; unseen points take their nearest seen one's color.

    Args:
        points, normals: (K, 3) float on the mesh, normals of length 1.
        vertices, faces: the mesh.
        images: (6, H, H, 3) float32 sRGB in [0, 1], in VIEW_NAMES order.
        masks: (6, H, H) float32 in [0, 1].
    Returns:
        colors: (K, 3) float32; seen: (K,) bool, whether a view saw the point.
    """
    from scipy.spatial import cKDTree

    sampled = sample_images(np.concatenate([images, masks[..., None]], axis=-1), points)
    cosine = np.stack([normals @ VIEW_BASES[name][2] for name in VIEW_NAMES]).clip(0)
    # A pixel at the outline is part background: its color over white says little
    weight = visibility(points, vertices, faces) * (sampled[..., 3] > 0.95) * (cosine ** SHARPNESS + 1e-6 * cosine)
    total = weight.sum(axis=0)
    share = sampled[..., 3:].clip(0.5, 1)
    pure = (sampled[..., :3] - (1 - share)) / share  # without the white that shines in at an outline
    colors = (np.einsum("vk,vkc->kc", weight, pure) / np.maximum(total, 1e-12)[:, None]).clip(0, 1)
    seen = total > 1e-9
    if seen.any() and not seen.all():
        _, nearest = cKDTree(points[seen]).query(points[~seen])
        colors[~seen] = colors[seen][nearest]
    return colors.astype(np.float32), seen
