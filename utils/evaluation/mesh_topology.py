"""Parts, holes and handles of a triangle mesh, counted from its faces alone."""
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Topology:
    """What a surface is, whatever its shape.

    parts: connected components.
    watertight: whether every edge belongs to exactly two faces.
    handles: genus summed over the parts, (2 - Euler number) / 2 each; a part that is open counts as if each loop of its
        boundary were closed by a disk.
    """

    parts: int
    watertight: bool
    handles: int


def topology(vertices: np.ndarray, faces: np.ndarray) -> Topology:
    """Count the parts and handles of a surface.

    Unless the faces are closed as they are indexed, corners at exactly one place are one vertex, since files often part
    them along seams of the texture; faces that thereby lose their area, and vertices without a face, do not count.

    Args:
        vertices: (V, 3) float.
        faces: (F, 3) int.
    Returns:
        Topology; one without parts where there are no faces. Where more than two faces share an edge the surface is no
        manifold and the number of handles is only a guess.
    """
    used, faces = np.unique(np.asarray(faces, np.int64), return_inverse=True)
    faces = faces.reshape(-1, 3)
    found = _count(faces)
    if found.watertight:
        return found
    _, place = np.unique(np.asarray(vertices, np.float64)[used], axis=0, return_inverse=True)
    return _count(place.ravel()[faces])


def _count(faces):
    """Topology of faces (F, 3) int64 by their indices alone."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    if not len(faces):
        return Topology(0, False, 0)
    used, faces = np.unique(faces, return_inverse=True)
    faces, count = faces.reshape(-1, 3), len(used)

    def components(links):
        weights = np.ones(len(links), np.int8)
        return connected_components(coo_matrix((weights, links.T), shape=(count, count)), directed=False)[0]

    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges, sharing = np.unique(sides, axis=0, return_counts=True)
    parts, boundary = components(edges), edges[sharing == 1]
    # Vertices off the boundary are components of their own, which are taken out of the count.
    loops = components(boundary) - (count - len(np.unique(boundary))) if len(boundary) else 0
    euler = count - len(edges) + len(faces) + loops
    return Topology(int(parts), bool((sharing == 2).all()), int(round((2 * parts - euler) / 2)))
