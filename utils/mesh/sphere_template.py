"""The sphere whose points become the vertices of every predicted mesh: its faces, edges and UV atlas.

The connectivity never changes, so it is worked out once for a number of points and so is the atlas.
"""
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class SphereTemplate:
    """A closed mesh of genus 0.

    points: (N, 3) float32 on the unit sphere.
    faces: (2N - 4, 3) int64, counter-clockwise seen from outside.
    edges: (3N - 6, 2) int64, each once, lower index first.
    edge_faces: (3N - 6, 2) int64, the two faces that share each edge.
    """

    points: np.ndarray
    faces: np.ndarray
    edges: np.ndarray
    edge_faces: np.ndarray


@lru_cache(maxsize=8)
def sphere_template(num_points: int) -> SphereTemplate:
    """Triangulated Fibonacci sphere (Gonzalez 2010, "Measurement of areas on a sphere using Fibonacci lattices").

    Args:
        num_points: N, at least 4.
    Returns:
        SphereTemplate.
    """
    from scipy.spatial import ConvexHull

    index = np.arange(num_points) + 0.5
    height = 1 - 2 * index / num_points
    angle = index * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    points = np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1)
    faces = ConvexHull(points).simplices.astype(np.int64)
    a, b, c = (points[faces[:, i]] for i in range(3))
    inward = np.einsum("fj,fj->f", np.cross(b - a, c - a), a + b + c) < 0
    faces[inward] = faces[inward][:, ::-1]
    faces = faces[np.lexsort(faces.T[::-1])]  # qhull's order may differ between versions; ours may not
    sides = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, which = np.unique(sides, axis=0, return_inverse=True)
    edge_faces = (np.argsort(which.ravel(), kind="stable") // 3).reshape(-1, 2)  # every edge has two faces
    return SphereTemplate(points.astype(np.float32), faces, edges, edge_faces)


