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
ANSWERED = 0.2  # fraction of points whose answer is known from which the others are asked of alone
MIN_COSINE = 0.1  # between a surface's normal and a direction in which its side is said to be left
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
        depth = rasterize(placed, faces, np.eye(3), size, weights=False).depth
        maps.append(DepthMap(basis, center, scale, VIEW_EXTENT, depth))
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


def visible_directions(points: np.ndarray, depth_maps: list[DepthMap]) -> np.ndarray:
    """Which directions leave the object from each point: points (K, 3) -> (K, D) bool for D maps."""
    free = np.empty((len(points), len(depth_maps)), bool)
    across = np.ascontiguousarray(points.T, np.float32)
    for number, (view, blocked) in enumerate(_blocked_depths(depth_maps)):
        free[:, number] = _in_front(across, view, blocked)
    return free


def can_leave(points: np.ndarray, depth_maps: list[DepthMap], normals: np.ndarray | None = None) -> np.ndarray:
    """Whether any direction leaves the object from each point, without asking on once one was found.

    Args:
        points: (K, 3) float; depth_maps: from `paired_depth_maps`.
        normals: (K, 3) float; only directions on their side count. None: all.
    Returns:
        (K,) bool.
    """
    free, left = np.zeros(len(points), bool), np.arange(len(points))
    across = np.ascontiguousarray(points.T, np.float32)
    facing = None if normals is None else np.ascontiguousarray(normals.T, np.float32)
    found = np.zeros(len(left), bool)
    for view, blocked in _blocked_depths(depth_maps):
        out = _in_front(across, view, blocked)
        if facing is not None:
            out &= view.basis[2].astype(np.float32) @ facing > MIN_COSINE
        found |= out
        if np.count_nonzero(found) > ANSWERED * len(left):  # leaving points out costs about as much as asking of them
            free[left[found]] = True
            left, across = left[~found], across[:, ~found]
            facing = None if facing is None else facing[:, ~found]
            found = np.zeros(len(left), bool)
    free[left[found]] = True
    return free


def _blocked_depths(depth_maps):
    """Yield each map and, flat, the nearest depth of the four pixels from each pixel on.

    In front of all four: half a pixel of a steep surface must not make a point free.
    """
    for view in depth_maps:
        depth = view.depth
        nearest = depth.copy()
        np.maximum(nearest[:-1], depth[1:], out=nearest[:-1])
        nearest[:, :-1] = np.maximum(nearest[:, :-1], nearest[:, 1:])
        yield view, nearest.ravel()


def _in_front(points, view, blocked):
    """(K,) bool, whether points (3, K) lie in front of what a map of `paired_depth_maps` shows there."""
    size = len(view.depth)
    scale = np.float32(size / (2 * view.extent))
    right, up, toward = view.basis.astype(np.float32) @ points
    column = np.clip(size / 2 - 0.5 + right * scale, 0, size - 1.001).astype(np.int32)
    row = np.clip(size / 2 - 0.5 - up * scale, 0, size - 1.001).astype(np.int32)
    return toward > blocked.take(row * size + column)
