"""Orthographic pictures of a mesh by a NumPy z-buffer: no OpenGL, no compiler.

Each triangle proposes the pixels of its bounding box; those whose centre it covers compete by depth. Both sides of a
face are drawn. Pictures are drawn larger and averaged, which smooths outlines and textures alike.
"""
from dataclasses import dataclass

import numpy as np

from config import VIEW_NAMES
from utils.views import VIEW_BASES, to_pixels

# Pixels proposed at a time: bounds the memory to about 200 MB whatever the mesh.
CHUNK_PIXELS = 1 << 21


@dataclass
class Fragments:
    """What each pixel of a picture sees.

    face_index: (H, W) int32, -1 where nothing is.
    barycentric: (H, W, 3) float32, weights of that face's corners; 0 where nothing is.
    depth: (H, W) float32, larger is nearer the camera; -inf where nothing is.
    """

    face_index: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray


def rasterize(vertices, faces, basis, size):
    """Find the nearest face behind every pixel centre.

    Args:
        vertices: (V, 3) float, in the normalised frame.
        faces: (F, 3) int.
        basis: (3, 3) camera axes from utils.views.
        size: picture edge in pixels.
    Returns:
        Fragments of (size, size) pixels. Where faces lie at exactly one depth the last of them is seen.
    """
    corners = to_pixels(np.asarray(vertices, np.float32), np.asarray(basis, np.float32), size)[faces]  # (F, 3, 3)
    xy, z = corners[..., :2], corners[..., 2]
    # First and past-the-last pixel whose centre can lie inside each triangle's box.
    low = np.clip(np.ceil(xy.min(1) - 0.5), 0, size).astype(np.int64)
    high = np.clip(np.floor(xy.max(1) - 0.5) + 1, 0, size).astype(np.int64)
    extent = np.maximum(high - low, 0)
    (x0, y0), (x1, y1), (x2, y2) = (xy[:, i].T for i in range(3))
    double_area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    counts = extent[:, 0] * extent[:, 1]
    candidates = np.flatnonzero((counts > 0) & (double_area != 0))

    depth = np.full(size * size, -np.inf, np.float32)
    face_index = np.full(size * size, -1, np.int32)
    weights = np.zeros((size * size, 3), np.float32)
    for chunk in _chunks(candidates, counts):
        count = counts[chunk]
        face = np.repeat(chunk, count)
        within = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
        column = low[face, 0] + within % extent[face, 0]
        row = low[face, 1] + within // extent[face, 0]
        # Offsets from corner 0: small numbers, so float32 is exact enough at any picture size.
        dx = (column + 0.5).astype(np.float32) - x0[face]
        dy = (row + 0.5).astype(np.float32) - y0[face]
        scale = 1 / double_area[face]
        w1 = (dx * (y2 - y0)[face] - dy * (x2 - x0)[face]) * scale
        w2 = (dy * (x1 - x0)[face] - dx * (y1 - y0)[face]) * scale
        inside = np.flatnonzero((w1 >= 0) & (w2 >= 0) & (w1 + w2 <= 1))
        face, w1, w2 = face[inside], w1[inside], w2[inside]
        pixel = row[inside] * size + column[inside]
        z0 = z[face, 0]
        near = z0 + w1 * (z[face, 1] - z0) + w2 * (z[face, 2] - z0)
        np.maximum.at(depth, pixel, near)
        won = np.flatnonzero(near >= depth[pixel])
        pixel = pixel[won]
        face_index[pixel] = face[won]
        weights[pixel] = np.stack([1 - w1[won] - w2[won], w1[won], w2[won]], axis=1)
    return Fragments(face_index.reshape(size, size), weights.reshape(size, size, 3), depth.reshape(size, size))


def render(mesh, basis, size, supersample=2):
    """One unlit picture of a coloured mesh.

    Args:
        mesh: utils.mesh_io.Mesh in the normalised frame.
        basis: (3, 3) camera axes from utils.views.
        size: picture edge in pixels.
        supersample: samples per pixel edge.
    Returns:
        (size, size, 4) uint8 RGBA; alpha is the share of the pixel that is covered, colour is not premultiplied.
    """
    fragments = rasterize(mesh.vertices, mesh.faces, basis, size * supersample)
    seen = fragments.face_index >= 0
    premultiplied = np.zeros(seen.shape + (4,), np.float32)
    premultiplied[seen, :3] = mesh.colors_at(fragments.face_index[seen], fragments.barycentric[seen])
    premultiplied[seen, 3] = 1
    mean = premultiplied.reshape(size, supersample, size, supersample, 4).mean(axis=(1, 3))
    alpha = mean[..., 3:]
    color = np.divide(mean[..., :3], alpha, out=np.ones_like(mean[..., :3]), where=alpha > 0)
    return np.round(np.concatenate([color, alpha], axis=-1) * 255).astype(np.uint8)


def render_views(mesh, size, supersample=2):
    """The six views of a mesh in the normalised frame: {view name: (size, size, 4) uint8 RGBA}."""
    return {name: render(mesh, VIEW_BASES[name], size, supersample) for name in VIEW_NAMES}


def over_white(rgba):
    """Composite (..., 4) uint8 RGBA over white: (..., 3) uint8."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _chunks(candidates, counts):
    """Split face indices into runs that propose about CHUNK_PIXELS pixels each."""
    bounds = np.cumsum(counts[candidates]) // CHUNK_PIXELS
    return np.split(candidates, np.flatnonzero(np.diff(bounds)) + 1) if len(candidates) else []
