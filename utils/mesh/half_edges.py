"""Sides of faces: which of them are one edge of the surface."""
import numpy as np


def shared_edges(faces: np.ndarray) -> np.ndarray:
    """Pairs of face sides that are one edge.

    Side s belongs to face s // 3 and joins that face's corners s % 3 and (s + 1) % 3.

    Args:
        faces: (F, 3) int.
    Returns:
        (E, 2) int64, numbers of sides; of an edge of one face none, of an edge of n faces n - 1 pairs.
    """
    edges = np.sort(np.asarray(faces, np.int64)[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    order = np.lexsort(edges.T)
    same = np.flatnonzero((edges[order[1:]] == edges[order[:-1]]).all(axis=1))
    return np.stack([order[same], order[same + 1]], axis=1)
