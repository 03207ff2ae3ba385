"""Inside/outside labels for any mesh: watertight or torn, its faces turned any way.

A point is free if a straight line from it leaves the object in one of many directions, else it is solid. The lines are
not traced: each direction is an orthographic image of depths, and a point in front of what its pixel sees is free.
"""
from dataclasses import dataclass

import numpy as np

from utils.mesh.mesh import Mesh, sample_surface
from utils.rendering.depth_maps import DepthMap, can_leave, paired_depth_maps

DIRECTIONS = 66  # spread evenly over the sphere; opposite ones share an image
DEPTH_SIZE = 384  # pixels per edge of the depth images
DEPTH_EXTENT = 1.75  # they cover [-1.75, 1.75]: half the diagonal of a cube of edge 2 is 1.73
THIN_SURFACE_THICKNESS = 0.024  # a face that is free at both sides encloses nothing: it is given this thickness, which
#                                 a grid of 128 cells along the longest edge (0.016) cannot miss
WALL_REACH = 0.05  # normalized units up to which the solid under a surface sample counts as a thin wall
WALL_SAMPLES, WALL_NEIGHBORS = 12_000, 32  # surface samples among which a wall's other side is looked for
WALL_ASIDE = 0.03  # normalized units that a sample of the other side may lie beside the normal
OFF_SURFACE = 2e-3  # normalized units from a surface sample at which each side of it is tried
TANGENT_REACH = 0.03  # normalized units within which the distance to a sample's tangent plane stands for that to the surface


@dataclass
class OuterSurface:
    """Samples of the surface between solid and free space, and what decides between the two.

    points, normals: (K, 3) float; normals point to the free side.
    sheet: (K,) bool, free at both sides.
    thickness: (K,) float, normalized units through the solid below each sample; 0 for a sheet, inf from WALL_REACH on.
    depth_maps: list of DepthMap from `directional_depth_maps`.
    """

    points: np.ndarray
    normals: np.ndarray
    sheet: np.ndarray
    thickness: np.ndarray
    depth_maps: list[DepthMap]


def directional_depth_maps(vertices: np.ndarray, faces: np.ndarray) -> list[DepthMap]:
    """Depths of the outermost surface seen from DIRECTIONS directions.

    Args:
        vertices: (V, 3) float in the normalized frame; faces: (F, 3) int.
    Returns:
        list of DepthMap.
    """
    half = DIRECTIONS // 2
    height = (np.arange(half) + 0.5) / half  # Fibonacci lattice on the upper half of the sphere
    angle, radius = np.arange(half) * np.pi * (3 - np.sqrt(5)), np.sqrt(1 - height**2)
    bases = []
    for toward in np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1):
        right = np.cross([0.0, 1.0, 0.0] if toward[1] < 0.9 else [1.0, 0.0, 0.0], toward)
        right /= np.linalg.norm(right)
        bases.append(np.stack([right, np.cross(toward, right), toward]))
    return paired_depth_maps(vertices, faces, bases, DEPTH_SIZE, DEPTH_EXTENT)


def outer_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> OuterSurface:
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
    """How thick the solid below each surface sample is, as far as it is thin.

    Args:
        points, normals: (K, 3) float, samples of a surface, normals of length 1 pointing outwards.
        rng: np.random.Generator, which chooses the samples that stand for the other side.
    Returns:
        (K,) float, normalized units along the normal to the nearest sample of a surface that faces the other way; inf
        where there is none within WALL_REACH.
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
    """Signed distance to the outer surface, positive inside; a sheet counts as THIN_SURFACE_THICKNESS thick.

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
