"""How a mesh's surface lies in a square texture, and which point of it each texel shows."""
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import UserError
from utils.io.cached_file import read_npz
from utils.io.files import atomic_write
from utils.mesh.sphere_template import sphere_template
from utils.rendering.charts import cut_into_charts
from utils.rendering.packing import pack_charts

ATLAS_VERSION = 6  # raise when the same mesh gets another atlas: cached ones are then made again
BORDER_PX = 1.0  # texels kept free along the texture's edge: beyond it viewers that repeat a texture read its other side
GUTTER_PX = 4  # texels painted beyond each chart's edge, so that viewers' filtering finds no background
# The nearest of them, which bilinear filtering mixes into the edge itself, show where their face would go on: both charts
# at a seam then read the same color there. Where a sliver would reach far, texels repeat what is nearest, as the others do.
EXTENDED_PX = 1.5
LEAST_WEIGHT = -1.0


@dataclass(frozen=True)
class Atlas:
    """How the template's surface lies in a square texture.

    uvs: (T, 2) float32 in [0, 1], (0, 0) at the lower left.
    face_uvs: (F, 3) int64, indices into uvs.
    texels: (K,) int64, flat indices (row * size + column, row 0 at the top) of texels on the surface or in a gutter.
    texel_faces: (K,) int64, the face each of them shows.
    texel_weights: (K, 3) float32, barycentric place in that face, from LEAST_WEIGHT where a gutter texel beside the chart
        shows the face's plane beyond its edge; other gutter texels repeat their nearest surface texel.
    """

    uvs: np.ndarray
    face_uvs: np.ndarray
    texels: np.ndarray
    texel_faces: np.ndarray
    texel_weights: np.ndarray


def template_atlas(num_points: int, texture_size: int, cache_dir: str | Path | None = None) -> Atlas:
    """UV atlas of the sphere template, and the surface point that each texel shows.

    Args:
        num_points: points of the template.
        texture_size: texture edge in texels.
        cache_dir: folder that keeps the result (about a second of work at 1024), or None.
    Returns:
        Atlas.
    """
    cached = Path(cache_dir) / f"atlas{ATLAS_VERSION}_{num_points}_{texture_size}.npz" if cache_dir else None
    arrays = read_npz(cached, list(Atlas.__dataclass_fields__)) if cached else None
    if arrays:
        return Atlas(**arrays)
    template = sphere_template(num_points)
    atlas = make_atlas(template.points, template.faces, texture_size)
    if cached:
        try:
            with atomic_write(cached) as temporary:
                np.savez(temporary, **vars(atlas))
        except UserError:
            pass  # a read-only folder costs the second of work again, no more
    return atlas


def make_atlas(vertices: np.ndarray, faces: np.ndarray, texture_size: int) -> Atlas:
    """UV atlas of any mesh, and the surface point that each texel shows.

    Args:
        vertices: (V, 3) float; faces: (F, 3) int.
        texture_size: texture edge in texels.
    Returns:
        Atlas; its face_uvs belong to `faces` row by row.
    """
    from scipy.ndimage import distance_transform_edt

    from utils.rendering.cameras import VIEW_EXTENT
    from utils.rendering.rasterizer import rasterize

    uvs, face_uvs = _unwrap(vertices, faces, texture_size)

    # Texels are found by the renderer itself: the UV square becomes the image of a front view.
    flat = np.concatenate([(2 * uvs - 1) * VIEW_EXTENT, np.zeros((len(uvs), 1))], axis=1)
    fragments = rasterize(flat, face_uvs, np.eye(3), texture_size)
    covered = fragments.face_index >= 0
    distance, (row, column) = distance_transform_edt(~covered, return_indices=True)
    wanted = np.flatnonzero(distance <= GUTTER_PX)
    source = (row * texture_size + column).ravel()[wanted]
    texel_faces = fragments.face_index.ravel()[source].astype(np.int64)
    weights = fragments.barycentric.reshape(-1, 3)[source]
    beside = np.flatnonzero((distance.ravel()[wanted] > 0) & (distance.ravel()[wanted] <= EXTENDED_PX))
    beyond = _weights_at(wanted[beside], uvs[face_uvs[texel_faces[beside]]].astype(np.float64), texture_size)
    near = np.flatnonzero((beyond >= LEAST_WEIGHT).all(axis=1))  # a face without area gives NaN, which is not
    weights[beside[near]] = beyond[near]
    return Atlas(uvs.astype(np.float32), face_uvs, wanted, texel_faces, weights)


def _weights_at(texels, corners, texture_size):
    """Barycentric weights (K, 3) of the centers of texels (K,) in triangles of the texture (K, 3, 2)."""
    row, column = np.divmod(texels, texture_size)
    centers = np.stack([column + 0.5, texture_size - row - 0.5], axis=1) / texture_size
    right, up, offset = (corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], centers - corners[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        one = (offset[:, 0] * up[:, 1] - offset[:, 1] * up[:, 0]) / (right[:, 0] * up[:, 1] - right[:, 1] * up[:, 0])
        two = (right[:, 0] * offset[:, 1] - right[:, 1] * offset[:, 0]) / (right[:, 0] * up[:, 1] - right[:, 1] * up[:, 0])
    return np.stack([1 - one - two, one, two], axis=1)


def _unwrap(vertices, faces, texture_size):
    """Charts of a mesh, packed upright: uvs (T, 2) float32 in [0, 1] and face_uvs (F, 3) int64."""
    flat, face_flat, chart = cut_into_charts(vertices, faces)
    packed = pack_charts(flat[face_flat], chart, texture_size, 2 * GUTTER_PX)
    if packed is None:
        raise UserError(f"--texture_size {texture_size}: too small for the {chart.max() + 1} charts of this mesh; choose more")
    shift, edge = packed
    of_place = np.zeros(len(flat), np.int64)
    of_place[face_flat] = chart[:, None]
    border = BORDER_PX / texture_size
    return (border + (1 - 2 * border) * (flat + shift[of_place]) / edge).clip(0, 1).astype(np.float32), face_flat


def mirrored_charts(uvs: np.ndarray, face_uvs: np.ndarray) -> np.ndarray:
    """Which texture coordinates belong to a chart whose image is mirror-written: its area in the texture is negative.

    Args:
        uvs: (T, 2) float, (0, 0) at the lower left.
        face_uvs: (F, 3) int64, indices into uvs; faces that share an index belong to one chart.
    Returns:
        (T,) bool.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([face_uvs[:, :2], face_uvs[:, 1:]])
    links = coo_matrix((np.ones(len(ends)), ends.T), shape=(len(uvs), len(uvs)))
    count, chart = connected_components(links, directed=False)
    corners = uvs[face_uvs].astype(np.float64)
    right, up = (corners[:, corner] - corners[:, 0] for corner in (1, 2))
    area = np.bincount(chart[face_uvs[:, 0]], right[:, 0] * up[:, 1] - right[:, 1] * up[:, 0], count)
    return area[chart] < 0
