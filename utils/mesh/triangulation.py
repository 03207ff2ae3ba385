"""Polygons as triangles: each divided in its own plane, so that a notch stays a notch."""
import numpy as np

FLAT = 1e-9  # share of its polygon's area below which a triangle has none


def triangulate(vertices: np.ndarray, corners: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide polygons into triangles of the same side.

    Convex polygons are fanned from their first corner where that gives triangles of one side; others are
    divided by clipping ears (Manifold's triangulator), seen along their normal (Newell's).

    Args:
        vertices: (V, 3) float.
        corners: (C,) int, the polygons' indices into vertices, one after the other.
        sizes: (P,) int, corners of each polygon; those with fewer than three give no triangle.
    Returns:
        triangles: (T, 3) int64, places in `corners`, in the polygons' order.
        polygons: (T,) int64, the polygon of each.
    """
    sizes = np.asarray(sizes, np.int64)
    starts = np.cumsum(sizes) - sizes
    if (sizes == 3).all():
        return np.arange(len(corners), dtype=np.int64).reshape(-1, 3), np.arange(len(sizes), dtype=np.int64)
    triangles, polygons = [], []
    for size in np.unique(sizes[sizes >= 3]):
        mine = np.flatnonzero(sizes == size)
        fan = np.stack([np.zeros(size - 2, np.int64), np.arange(1, size - 1), np.arange(2, size)], axis=1)
        places = np.repeat(fan[None], len(mine), axis=0)
        if size > 3:
            points = vertices[corners[starts[mine, None] + np.arange(size)]]
            for number in np.flatnonzero(~_one_sided(points, fan)):
                places[number] = _divide(points[number], fan)
        triangles.append((starts[mine, None, None] + places).reshape(-1, 3))
        polygons.append(np.repeat(mine, size - 2))
    if not triangles:
        return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    order = np.argsort(np.concatenate(polygons), kind="stable")
    return np.concatenate(triangles)[order], np.concatenate(polygons)[order]


def _one_sided(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Whether all triangles look along their polygon's normal and have area: points (P, n, 3) -> (P,) bool."""
    with np.errstate(all="ignore"):
        normal = _newell(points)
        a, b, c = (points[:, triangles[:, corner]] for corner in range(3))
        along = np.einsum("pti,pi->pt", np.cross(b - a, c - a), normal)
        return (along > FLAT * (normal**2).sum(axis=1, keepdims=True)).all(axis=1)


def _newell(points: np.ndarray) -> np.ndarray:
    """Normals of polygons, twice their area long: (P, n, 3) -> (P, 3)."""
    spokes = points - points[:, :1]
    return np.cross(spokes[:, 1:-1], spokes[:, 2:]).sum(axis=1)


def _divide(points: np.ndarray, fan: np.ndarray) -> np.ndarray:
    """Triangles of one polygon that a fan does not fit: (n, 3) points -> (n - 2, 3) places; the fan if nothing fits."""
    with np.errstate(all="ignore"):
        spokes = (points - points[0]) / np.abs(points - points[0]).max()
        normal = _newell(spokes[None])[0]
        normal = normal / np.linalg.norm(normal)
        right = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
        flat = np.stack([spokes @ right, spokes @ np.cross(normal, right)], axis=1)
    if not np.isfinite(flat).all():
        return fan  # without area, or not of numbers
    import manifold3d

    found = np.asarray(manifold3d.triangulate([flat]), np.int64)
    return found if found.shape == fan.shape else fan
