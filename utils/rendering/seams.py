"""Both sides of a texture's seams read the same color, as a viewer filters it.

The surface has one color at a point, but where charts meet its texels lie at different places on either side, and what
bilinear filtering makes of them differs. The texels beside the seams are corrected as little as makes them agree (Liu et
al. 2017, "Seamless: Seam Erasure and Seam-Aware Decoupling of Shape from Mesh Resolution", section 3).
"""
import numpy as np
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import cg

from utils.mesh.half_edges import shared_edges
from utils.rendering.image_sampling import pixels_around

SAMPLES_PER_TEXEL = 2.0  # along a seam
KEEP = 0.02  # weight of a texel's own color, beside 1 for a sample of the seam on which it has all the weight
ITERATIONS = 40


def erase_seams(texture: np.ndarray, faces: np.ndarray, uvs: np.ndarray, face_uvs: np.ndarray) -> np.ndarray:
    """The texture with texels beside seams corrected so that both sides read alike.

    Args:
        texture: (H, H, C) float32; gutters are painted.
        faces: (F, 3) int; uvs: (T, 2) float in [0, 1]; face_uvs: (F, 3) int, indices into uvs.
    Returns:
        (H, H, C) float32.
    """
    sides = seam_edges(faces, face_uvs)
    if not len(sides):
        return texture
    texels, weights = _bilinear(_places_along(uvs[sides].astype(np.float64) * len(texture)), len(texture))  # (K, side, 4)
    touched, column = np.unique(texels, return_inverse=True)
    signed = (weights * [[[1], [-1]]]).ravel()
    differ = csr_array((signed, (np.repeat(np.arange(len(texels)), 8), column.ravel())), shape=(len(texels), len(touched)))
    flat = texture.reshape(-1, texture.shape[-1]).copy()
    system = differ.T @ differ + KEEP * eye_array(len(touched))
    for channel in range(flat.shape[1]):
        step = differ @ flat[touched, channel]
        flat[touched, channel] -= cg(system, differ.T @ step, maxiter=ITERATIONS, rtol=1e-3)[0].astype(flat.dtype)
    return flat.reshape(texture.shape)


def seam_steps(texture: np.ndarray, faces: np.ndarray, uvs: np.ndarray, face_uvs: np.ndarray) -> np.ndarray:
    """By how much the two sides of a texture's seams differ as a viewer filters them.

    Args:
        texture, faces, uvs, face_uvs: see `erase_seams`.
    Returns:
        (K,) float64 in units of the texture, the largest difference of a channel at points along the seams, about
        SAMPLES_PER_TEXEL of them a texel; empty without seams.
    """
    ends = uvs[seam_edges(faces, face_uvs)].astype(np.float64) * len(texture)
    texels, weights = _bilinear(_places_along(ends), len(texture))
    read = (texture.reshape(-1, texture.shape[-1])[texels] * weights[..., None]).sum(axis=2)
    return np.abs(read[:, 0] - read[:, 1]).max(axis=1)


def seam_edges(faces: np.ndarray, face_uvs: np.ndarray) -> np.ndarray:
    """Edges at which a texture is cut: (E, 2, 2) int64 indices of texture coordinates, of each side the same two ends."""
    faces, face_uvs = np.asarray(faces, np.int64), np.asarray(face_uvs, np.int64)
    edges, ends = (values[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2) for values in (faces, face_uvs))
    turned = edges[:, 0] > edges[:, 1]
    ends[turned] = ends[turned, ::-1]
    pairs = ends[shared_edges(faces)]
    return pairs[(pairs[:, 0] != pairs[:, 1]).any(axis=1)]


def _places_along(ends):
    """Points (K, side, 2) along seams whose two sides have the ends (E, side, end, 2), in texels."""
    count = np.ceil(SAMPLES_PER_TEXEL * np.linalg.norm(ends[:, :, 1] - ends[:, :, 0], axis=2).max(axis=1)).astype(int) + 1
    edge = np.repeat(np.arange(len(ends)), count)
    share = ((np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + 0.5) / count[edge])[:, None, None]
    return ends[edge, :, 0] * (1 - share) + ends[edge, :, 1] * share


def _bilinear(places, size):
    """The four texels (..., 4), flat indices, and their weights (..., 4) by which places (..., 2), in texels from the lower
    left, are read."""
    left, top, across, down = pixels_around(places[..., 0] - 0.5, size - places[..., 1] - 0.5, (size, size))
    texels = np.stack([top * size + left, top * size + left + 1, (top + 1) * size + left, (top + 1) * size + left + 1], axis=-1)
    return texels, np.stack([(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down], axis=-1)
