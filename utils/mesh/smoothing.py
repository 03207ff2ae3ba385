"""Vertex normals, neighbor means, and smoothing that does not shrink."""
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TAUBIN_ROUNDS, TAUBIN_STEPS = 10, (0.5, -0.53)  # towards the neighbors' mean and a little farther back


def taubin_smooth(vertices: np.ndarray, faces: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Vertices smoothed without shrinking (Taubin 1995, "A signal processing approach to fair surface design").

    Args:
        vertices: (V, 3) float64; faces: (F, 3) int64.
        reach: (V,) float, normalized units by which each vertex is moved at most.
    Returns:
        (V, 3) float64.
    """
    mean = neighbor_mean_matrix(faces, len(vertices))
    smooth = vertices
    for _ in range(TAUBIN_ROUNDS):
        for step in TAUBIN_STEPS:
            smooth = smooth + step * (mean @ smooth - smooth)
    moved = smooth - vertices
    return vertices + moved * np.minimum(1, reach / np.maximum(np.linalg.norm(moved, axis=1), 1e-12))[:, None]


def neighbor_mean_matrix(faces: np.ndarray, count: int) -> "csr_matrix":
    """Sparse (count, count) matrix that takes values at the vertices of a closed mesh to the means of their neighbors'.

    Args:
        faces: (F, 3) int; count: vertices of the mesh.
    """
    from scipy.sparse import coo_matrix, diags

    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    links = coo_matrix((np.ones(len(ends)), ends.T), shape=(count, count)).tocsr()
    return diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1)) @ links  # closed: each edge comes both ways


def bending_matrix(faces: np.ndarray, count: int) -> "csr_matrix":
    """Sparse (count, count) matrix B of thin-plate stiffness: d' B d is how much values d differ from their neighbors' means.

    Args:
        faces: (F, 3) int; count: vertices of the mesh.
    """
    from scipy.sparse import identity

    bend = identity(count) - neighbor_mean_matrix(faces, count)
    return (bend.T @ bend).tocsr()


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals at the vertices, the mean of the faces around weighted by area; zero where there are none."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    normals = np.stack([np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), len(vertices)) for axis in range(3)],
                       axis=1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
