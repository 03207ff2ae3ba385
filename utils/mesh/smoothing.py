"""Vertex normals, neighbor means, and smoothing."""
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def thin_plate_smooth(vertices: np.ndarray, faces: np.ndarray, stiffness: float, length: float = np.inf,
                      reach: np.ndarray | float = np.inf) -> np.ndarray:
    """The mesh as a thin plate that is drawn to where its vertices were: x that minimizes |x - vertices|^2 + stiffness x'Bx.

    Implicit fairing (Desbrun et al. 1999) with the squared umbrella operator (Kobbelt et al. 1998): what is smaller than
    about stiffness^(1/4) edges goes, and triangles become more even.

    Args:
        vertices: (V, 3) float64; faces: (F, 3) int64 of a closed mesh.
        stiffness: float >= 0.
        length: of coarse meshes the plate is so much less stiff that what is larger than this stays, in units of the vertices.
        reach: (V,) float or one for all, by which a vertex is moved at most.
    Returns:
        (V, 3) float64.
    """
    from scipy.sparse import identity
    from scipy.sparse.linalg import cg

    edge = np.linalg.norm(vertices[faces[:, 1]] - vertices[faces[:, 0]], axis=1).mean()
    stiffness = min(stiffness, (length / edge) ** 4)
    system = identity(len(vertices)) + stiffness * bending_matrix(faces, len(vertices))
    moved = np.stack([cg(system, column, column, rtol=1e-6, maxiter=500)[0] for column in vertices.T], axis=1) - vertices
    return vertices + moved * np.minimum(1, reach / np.maximum(np.linalg.norm(moved, axis=1), 1e-12))[:, None]


def neighbor_mean_matrix(faces: np.ndarray, count: int) -> "csr_matrix":
    """Sparse (count, count) matrix that takes values at the vertices of a closed mesh to the means of their neighbors'.

    Args:
        faces: (F, 3) int; count: vertices of the mesh.
    """
    from scipy.sparse import diags

    links = _links(faces, np.ones(count, bool))
    return diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1)) @ links


def bending_matrix(faces: np.ndarray, count: int) -> "csr_matrix":
    """Sparse (count, count) matrix B of thin-plate stiffness: d' B d is how much values d differ from their neighbors' means.

    Args:
        faces: (F, 3) int; count: vertices of the mesh.
    """
    from scipy.sparse import identity

    bend = identity(count) - neighbor_mean_matrix(faces, count)
    return (bend.T @ bend).tocsr()


def membrane_matrix(faces: np.ndarray, among: np.ndarray) -> "csr_matrix":
    """Sparse (V, V) matrix M: d' M d is the sum of squared differences of values d along all edges between chosen vertices.

    Args:
        faces: (F, 3) int of a closed mesh; among: (V,) bool, the chosen ones.
    """
    from scipy.sparse import diags

    links = _links(faces, among)
    return diags(np.asarray(links.sum(axis=1)).ravel()) - links


def _links(faces, among):
    """Sparse (V, V) matrix of a closed mesh with 1 where an edge joins two of the chosen vertices, among (V,) bool."""
    from scipy.sparse import coo_matrix

    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])  # closed: each edge comes both ways
    ends = ends[among[ends].all(axis=1)]
    return coo_matrix((np.ones(len(ends)), ends.T), shape=(len(among), len(among))).tocsr()


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals at the vertices, the mean of the faces around weighted by area; zero where there are none."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    normals = np.stack([np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), len(vertices)) for axis in range(3)],
                       axis=1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
