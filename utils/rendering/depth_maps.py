"""What can be seen from outside: orthographic depth maps of an object from many directions, and two questions to them.

A point of a surface is visible, and a point of space is outside, where a straight line from it leaves the object. The
lines are not traced: the first surface along a line is what the depth map of its direction holds.
"""
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from utils.rendering.cameras import VIEW_EXTENT
from utils.rendering.rasterizer import rasterize, rasterize_both_sides

GRAZING = 0.1  # |cos|; a face seen flatter than this (84 degrees) is judged from the other directions
FILLED = 2.1  # edge of what an object's longer image side fills of the 2 VIEW_EXTENT = 2.2 of a fitted map


@dataclass(frozen=True)
class DepthMap:
    """An orthographic view of an object.

    basis: (3, 3) float64, rows: image right, image up, towards the camera.
    center: (3,) float64, and scale: camera coordinates of a point p are (basis @ p - center) * scale.
    extent: the image covers [-extent, extent] of the first two camera coordinates.
    depth: (H, H) float32, the third camera coordinate of the nearest surface; -inf where nothing is.
    """

    basis: np.ndarray
    center: np.ndarray
    scale: float
    extent: float
    depth: np.ndarray


def fitted_depth_maps(vertices: np.ndarray, faces: np.ndarray, bases: Iterable[np.ndarray],
                      size: int) -> list[DepthMap]:
    """Depth maps that an object of any size and place fills, one for each camera.

    Args:
        vertices: (V, 3) float; faces: (F, 3) int.
        bases: (3, 3) camera axes, as from `camera_basis`.
        size: edge of the maps in pixels.
    Returns:
        list of DepthMap.
    """
    used, maps = vertices[np.unique(faces)], []
    for basis in bases:
        camera = used @ basis.T
        low, high = camera.min(0), camera.max(0)
        center, scale = (low + high) / 2, FILLED / max((high - low)[:2].max(), 1e-9)
        placed = (vertices @ basis.T - center) * scale
        maps.append(DepthMap(basis, center, scale, VIEW_EXTENT, rasterize(placed, faces, np.eye(3), size).depth))
    return maps


def paired_depth_maps(vertices: np.ndarray, faces: np.ndarray, bases: Iterable[np.ndarray], size: int,
                      extent: float) -> list[DepthMap]:
    """Two depth maps for each camera, its own and that of the camera opposite: both come from one rasterization.

    Args:
        vertices: (V, 3) float, within `extent` of the origin; faces: (F, 3) int.
        bases: (3, 3) camera axes.
        size: edge of the maps in pixels.
        extent: the maps cover [-extent, extent].
    Returns:
        list of DepthMap, twice as many as cameras, each followed by its opposite, in whose image points lie at the
        same place (its basis is left-handed).
    """
    maps, shrink = [], VIEW_EXTENT / extent
    for basis in bases:
        near, far = rasterize_both_sides(vertices * shrink, faces, basis, size)
        maps += [DepthMap(turned, np.zeros(3), 1.0, extent, fragments.depth / shrink)
                 for turned, fragments in ((basis, near), (basis * [[1], [1], [-1]], far))]
    return maps


def is_visible(points: np.ndarray, normals: np.ndarray, maps: list[DepthMap]) -> np.ndarray:
    """Which points of a surface one of the directions leaves unobstructed. Both sides of a face count.

    A depth map knows depths at pixel centers, so a point is moved along its own face to the center of its pixel
    and compared there: however steep its face, it then equals the first hit where nothing is before it.

    Args:
        points: (K, 3) float, on the surface.
        normals: (K, 3) float, unit face normals there.
        maps: from `fitted_depth_maps`.
    Returns:
        (K,) bool.
    """
    visible = np.zeros(len(points), bool)
    for view in maps:
        size, extent = len(view.depth), view.extent
        pixel = 2 * extent / size
        left = np.flatnonzero(~visible)
        camera, normal = (points[left] @ view.basis.T - view.center) * view.scale, normals[left] @ view.basis.T
        faced = np.flatnonzero(np.abs(normal[:, 2]) >= GRAZING)
        left, camera, normal = left[faced], camera[faced], normal[faced]
        column = ((camera[:, 0] + extent) / pixel).astype(int).clip(0, size - 1)
        row = ((extent - camera[:, 1]) / pixel).astype(int).clip(0, size - 1)
        across = (column + 0.5) * pixel - extent - camera[:, 0]
        up = extent - (row + 0.5) * pixel - camera[:, 1]
        own = camera[:, 2] - (normal[:, 0] * across + normal[:, 1] * up) / normal[:, 2]
        visible[left[own >= view.depth[row, column] - pixel / 2]] = True
    return visible


def visible_directions(points: np.ndarray, maps: list[DepthMap]) -> np.ndarray:
    """Which directions leave the object from each point of space.

    Args:
        points: (K, 3) float.
        maps: from `paired_depth_maps`.
    Returns:
        (K, D) bool for D maps.
    """
    free = np.empty((len(points), len(maps)), bool)
    for number, view in enumerate(maps):
        size = len(view.depth)
        pixels = size / (2 * view.extent)
        right, up, toward = ((points @ view.basis.T - view.center) * view.scale).T
        column = np.clip(size / 2 - 0.5 + right * pixels, 0, size - 1.001).astype(np.int64)
        row = np.clip(size / 2 - 0.5 - up * pixels, 0, size - 1.001).astype(np.int64)
        corner, flat = row * size + column, view.depth.ravel()
        # In front of all four pixels around it: half a pixel of a steep surface must not make a point free
        nearest = np.maximum.reduce([flat[corner + step] for step in (0, 1, size, size + 1)])
        free[:, number] = toward > nearest
    return free
