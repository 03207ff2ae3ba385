"""Which points of space are solid matter, for any mesh: watertight or torn, its faces turned any way.

A point is free if a straight line from it leaves the object in one of many directions, else it is solid. The lines are
not traced: each direction is an orthographic image of depths, and a point in front of what its pixel sees is free.
"""
from dataclasses import dataclass

import numpy as np

from utils.mesh.mesh import sample_surface
from utils.rendering.depth_maps import paired_depth_maps, visible_directions

DIRECTIONS = 66  # spread evenly over the sphere; opposite ones share an image
DEPTH_SIZE = 384  # pixels per edge of the depth images
DEPTH_EXTENT = 1.75  # they cover [-1.75, 1.75]: half the diagonal of a cube of edge 2 is 1.73
THIN_SURFACE_THICKNESS = 0.012  # a face that is free at both sides encloses nothing: it is given this thickness
OFF_SURFACE = 2e-3  # lengths from a surface sample at which each side of it is tried
TANGENT_REACH = 0.03  # lengths within which the distance to a sample's tangent plane stands for that to the surface


@dataclass
class OuterSurface:
    """Samples of the surface between solid and free space, and what decides between the two.

    points, normals: (K, 3) float; normals point to the free side.
    sheet: (K,) bool, free at both sides.
    depth_maps: list of DepthMap from `directional_depth_maps`.
    """

    points: np.ndarray
    normals: np.ndarray
    sheet: np.ndarray
    depth_maps: list


def directional_depth_maps(vertices, faces):
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
    cosine = normals @ np.stack([view.basis[2] for view in depth_maps]).T
    front = (visible_directions(points + OFF_SURFACE * normals, depth_maps) & (cosine > 0.1)).any(axis=1)
    back = (visible_directions(points - OFF_SURFACE * normals, depth_maps) & (cosine < -0.1)).any(axis=1)
    seen = front | back
    normals[back & ~front] *= -1
    return OuterSurface(points[seen], normals[seen], (front & back)[seen], depth_maps)


def signed_distances(points, surface):
    """Signed distance to the outer surface, positive in solid matter; a sheet counts as THIN_SURFACE_THICKNESS thick.

    Args:
        points: (K, 3) float.
        surface: OuterSurface with at least one sample.
    Returns:
        (K,) float32; exact to about the distance between samples, to far less near the surface.
    """
    from scipy.spatial import cKDTree

    distance, index = cKDTree(surface.points).query(points)
    above = np.abs(np.einsum("kj,kj->k", points - surface.points[index], surface.normals[index]))
    distance = np.where(distance < TANGENT_REACH, above, distance)
    solid = ~visible_directions(points, surface.depth_maps).any(axis=1)
    signed = np.where(solid, distance, -distance)
    return np.where(surface.sheet[index] & ~solid, THIN_SURFACE_THICKNESS / 2 - distance, signed).astype(np.float32)
