"""Which points of space are solid matter, for any mesh: watertight or torn, its faces turned any way.

A point is free if a straight line from it leaves the object in one of many directions, else it is solid. The lines are
not traced: each direction is an orthographic image of depths, and a point in front of what its pixel sees is free.
"""
from dataclasses import dataclass

import numpy as np

from utils.mesh.mesh import sample_surface
from utils.rendering.cameras import VIEW_EXTENT
from utils.rendering.rasterizer import rasterize_both_sides

DIRECTIONS = 66  # spread evenly over the sphere; opposite ones share an image
DEPTH_SIZE = 384  # pixels per edge of the depth images
DEPTH_EXTENT = 1.75  # they cover [-1.75, 1.75]: half the diagonal of a cube of edge 2 is 1.73
THIN_SURFACE_THICKNESS = 0.024  # a face that is free at both sides encloses nothing: it is given this thickness, which
#                                 a grid of 128 cells along the longest edge (0.016) cannot miss
WALL_REACH = 0.05  # lengths up to which the matter under a surface sample counts as a thin wall
WALL_SAMPLES, WALL_NEIGHBORS = 12_000, 32  # surface samples among which a wall's other side is looked for
WALL_ASIDE = 0.03  # lengths that a sample of the other side may lie beside the normal
OFF_SURFACE = 2e-3  # lengths from a surface sample at which each side of it is tried
ANSWERED = 0.2  # share of points whose answer is known from which the others are asked of alone
MIN_COSINE = 0.1  # between a surface's normal and a direction in which its side is said to be left
TANGENT_REACH = 0.03  # lengths within which the distance to a sample's tangent plane stands for that to the surface


@dataclass
class OuterSurface:
    """Samples of the surface between solid and free space, and what decides between the two.

    points, normals: (K, 3) float; normals point to the free side.
    sheet: (K,) bool, free at both sides.
    thickness: (K,) float, lengths through the matter below each sample; 0 for a sheet, inf from WALL_REACH on.
    depth_maps: list of (basis (3, 3), depth (H, H)) from `directional_depth_maps`.
    """

    points: np.ndarray
    normals: np.ndarray
    sheet: np.ndarray
    thickness: np.ndarray
    depth_maps: list


def directional_depth_maps(vertices, faces):
    """Depths of the outermost surface seen from DIRECTIONS directions.

    Args:
        vertices: (V, 3) float in the normalized frame; faces: (F, 3) int.
    Returns:
        list of basis (3, 3) (rows: image right, up, towards the camera) and depth (H, H) float32, larger is nearer.
    """
    half = DIRECTIONS // 2
    height = (np.arange(half) + 0.5) / half  # Fibonacci lattice on the upper half of the sphere
    angle, radius = np.arange(half) * np.pi * (3 - np.sqrt(5)), np.sqrt(1 - height**2)
    depth_maps, shrink = [], VIEW_EXTENT / DEPTH_EXTENT
    for toward in np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1):
        right = np.cross([0.0, 1.0, 0.0] if toward[1] < 0.9 else [1.0, 0.0, 0.0], toward)
        right /= np.linalg.norm(right)
        basis = np.stack([right, np.cross(toward, right), toward])
        near, far = rasterize_both_sides(vertices * shrink, faces, basis, DEPTH_SIZE)
        depth_maps += [(basis, near.depth / shrink), (basis * [[1], [1], [-1]], far.depth / shrink)]
    return depth_maps


def visible_directions(points: np.ndarray, depth_maps: list) -> np.ndarray:
    """Which directions leave the object from each point: points (K, 3) -> (K, DIRECTIONS) bool."""
    free = np.empty((len(points), len(depth_maps)), bool)
    across = np.ascontiguousarray(points.T, np.float32)
    for number, (basis, blocked) in enumerate(_blocked_depths(depth_maps)):
        free[:, number] = _in_front(across, basis, blocked)
    return free


def can_leave(points: np.ndarray, depth_maps: list, normals: np.ndarray | None = None) -> np.ndarray:
    """Whether any direction leaves the object from each point, without asking on once one was found.

    Args:
        points: (K, 3) float; depth_maps: from `directional_depth_maps`.
        normals: (K, 3) float; only directions on their side count. None: all.
    Returns:
        (K,) bool.
    """
    free, left = np.zeros(len(points), bool), np.arange(len(points))
    across = np.ascontiguousarray(points.T, np.float32)
    facing = None if normals is None else np.ascontiguousarray(normals.T, np.float32)
    found = np.zeros(len(left), bool)
    for basis, blocked in _blocked_depths(depth_maps):
        out = _in_front(across, basis, blocked)
        if facing is not None:
            out &= basis[2].astype(np.float32) @ facing > MIN_COSINE
        found |= out
        if np.count_nonzero(found) > ANSWERED * len(left):  # leaving points out costs about as much as asking of them
            free[left[found]] = True
            left, across = left[~found], across[:, ~found]
            facing = None if facing is None else facing[:, ~found]
            found = np.zeros(len(left), bool)
    free[left[found]] = True
    return free


def _blocked_depths(depth_maps):
    """Yield each direction's basis and, flat, the nearest depth of the four pixels from each pixel on.

    In front of all four: half a pixel of a steep surface must not make a point free.
    """
    for basis, depth in depth_maps:
        nearest = depth.copy()
        np.maximum(nearest[:-1], depth[1:], out=nearest[:-1])
        nearest[:, :-1] = np.maximum(nearest[:, :-1], nearest[:, 1:])
        yield basis, nearest.ravel()


def _in_front(points, basis, blocked):
    """(K,) bool, whether points (3, K) lie in front of what a direction's image shows there."""
    scale = np.float32(DEPTH_SIZE / (2 * DEPTH_EXTENT))
    right, up, toward = basis.astype(np.float32) @ points
    column = np.clip(DEPTH_SIZE / 2 - 0.5 + right * scale, 0, DEPTH_SIZE - 1.001).astype(np.int32)
    row = np.clip(DEPTH_SIZE / 2 - 0.5 - up * scale, 0, DEPTH_SIZE - 1.001).astype(np.int32)
    return toward > blocked.take(row * DEPTH_SIZE + column)


def outer_surface(mesh, count, rng):
    """Sample the part of a mesh's surface that some direction sees.

    Args:
        mesh: utils.mesh.mesh.Mesh in the normalized frame.
        count: samples drawn by area; those inside the object are dropped.
        rng: np.random.Generator.
    Returns:
        OuterSurface.
    """
    depth_maps = directional_depth_maps(mesh.vertices, mesh.faces)
    points, normals, _ = sample_surface(mesh, count, rng)
    points, normals = points.astype(np.float64), normals.astype(np.float64)
    front = can_leave(points + OFF_SURFACE * normals, depth_maps, normals)
    back = can_leave(points - OFF_SURFACE * normals, depth_maps, -normals)
    seen = front | back
    normals[back & ~front] *= -1
    points, normals, sheet = points[seen], normals[seen], (front & back)[seen]
    return OuterSurface(points, normals, sheet, np.where(sheet, 0, wall_thickness(points, normals, rng)), depth_maps)


def wall_thickness(points: np.ndarray, normals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How thick the matter below each surface sample is, as far as it is thin.

    Args:
        points, normals: (K, 3) float, samples of a surface, normals of length 1 pointing out of the matter.
        rng: np.random.Generator, which chooses the samples that stand for the other side.
    Returns:
        (K,) float, lengths along the normal to the nearest sample of a surface that faces the other way; inf where there
        is none within WALL_REACH.
    """
    from scipy.spatial import cKDTree

    chosen = rng.permutation(len(points))[:WALL_SAMPLES]
    if not len(chosen):
        return np.empty(0)
    some, tree = points[chosen], cKDTree(points[chosen])
    _, near = tree.query(some, min(WALL_NEIGHBORS, len(some)), distance_upper_bound=WALL_REACH + WALL_ASIDE)
    near = near.reshape(len(some), -1)
    found, near = near < len(some), np.where(near < len(some), near, 0)
    offset = some[near] - some[:, None]
    below = -np.einsum("kij,kj->ki", offset, normals[chosen])
    aside = np.linalg.norm(offset + below[..., None] * normals[chosen][:, None], axis=-1)
    opposite = np.einsum("kij,kj->ki", normals[chosen][near], normals[chosen]) < -0.5
    other_side = found & opposite & (below > 0) & (below < WALL_REACH) & (aside < WALL_ASIDE)
    thickness = np.where(other_side, below, np.inf).min(axis=1)
    return thickness[tree.query(points)[1]]


def signed_distances(points: np.ndarray, surface: OuterSurface) -> np.ndarray:
    """(K,) float32, the distances of `distances_and_walls` alone."""
    return distances_and_walls(points, surface)[0]


def distances_and_walls(points: np.ndarray, surface: OuterSurface) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance to the outer surface, positive in solid matter; a sheet counts as THIN_SURFACE_THICKNESS thick.

    Args:
        points: (K, 3) float.
        surface: OuterSurface with at least one sample.
    Returns:
        distances: (K,) float32; exact to about the distance between samples, to far less near the surface.
        thickness: (K,) float32, of the wall below the nearest sample: see OuterSurface; a sheet's is what it is given.
    """
    from scipy.spatial import cKDTree

    distance, index = cKDTree(surface.points).query(points)
    above = np.abs(np.einsum("kj,kj->k", points - surface.points[index], surface.normals[index]))
    distance = np.where(distance < TANGENT_REACH, above, distance)
    solid = ~can_leave(points, surface.depth_maps)
    signed = np.where(solid, distance, -distance)
    signed = np.where(surface.sheet[index] & ~solid, THIN_SURFACE_THICKNESS / 2 - distance, signed)
    thickness = np.where(surface.sheet[index], THIN_SURFACE_THICKNESS, surface.thickness[index])
    return signed.astype(np.float32), thickness.astype(np.float32)
