"""How thick the walls of a closed surface are, for printing: along lines of sight from 13 sides.

A line that enters a wall and leaves it has a length inside; between two parallel faces the wall is that length times the
cosine of the angle to their normal, whatever the direction of the line. Only faces that look away from each other bound a
wall: at a ridge or corner, where the two sides of every solid meet, there is none.
"""
import numpy as np

from utils.rendering.cameras import VIEW_EXTENT
from utils.rendering.rasterizer import rasterize_layers

SIZE = 192  # pixels per edge of each image; a face smaller than one may be missed, its neighbors are not
OPPOSED = -0.7  # cosine of the faces' normals, at most; about 45 degrees
STEEPEST = 0.5  # cosine between line and normal, at least: a wall seen under a flatter angle is seen better from elsewhere
# One of each pair of opposite directions to the 26 neighbors of a grid cell
DIRECTIONS = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) > (0, 0, 0)]


def wall_thickness(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Thickness of the wall behind each face.

    Args:
        vertices: (V, 3) float, within the normalized frame (any rotation of it fits the images).
        faces: (F, 3) int, closed, counter-clockwise seen from outside.
    Returns:
        (F,) float64 in the units of the vertices; NaN for a face with no other one across from it, or too small to be
        hit.
    """
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    reach = np.linalg.norm(vertices, axis=1).max()
    shrink = VIEW_EXTENT / max(reach, 1e-300)
    thickness = np.full(len(faces), np.inf)
    for direction in DIRECTIONS:
        basis = _basis(direction)
        pixel, face, depth = rasterize_layers(vertices * shrink, faces, basis, SIZE)
        cosine = (normals @ basis[2])[face]
        entry = np.flatnonzero((pixel[:-1] == pixel[1:]) & (cosine[:-1] > STEEPEST) & (cosine[1:] < -STEEPEST))
        near, far = face[entry], face[entry + 1]
        wall = np.einsum("kj,kj->k", normals[near], normals[far]) < OPPOSED
        entry, near, far = entry[wall], near[wall], far[wall]
        width = (depth[entry] - depth[entry + 1]) / shrink * np.maximum(cosine[entry], -cosine[entry + 1])
        np.minimum.at(thickness, near, width)
        np.minimum.at(thickness, far, width)
    return np.where(np.isfinite(thickness), thickness, np.nan)


def thinnest_wall(vertices: np.ndarray, faces: np.ndarray, thickness: np.ndarray, share: float = 0.01) -> float | None:
    """The thickness below which a share of the surface's area lies: a minimum that no single sliver decides.

    Args:
        vertices, faces: the surface; thickness: (F,) from `wall_thickness`.
        share: of the area that has a thickness.
    Returns:
        float in the units of the vertices; None where no face has one across from it.
    """
    known = np.flatnonzero(np.isfinite(thickness))
    if not len(known):
        return None
    corners = vertices[faces[known]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    order = np.argsort(thickness[known])
    cumulative = np.cumsum(area[order])
    return float(thickness[known][order[np.searchsorted(cumulative, share * cumulative[-1])]])


def _basis(direction):
    """Rows right, up and toward of a camera that stands in `direction` (three numbers): (3, 3) float64, orthonormal."""
    toward = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    right = np.cross([0.0, 1.0, 0.0] if abs(toward[1]) < 0.9 else [1.0, 0.0, 0.0], toward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(toward, right), toward])
