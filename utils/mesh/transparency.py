"""What a texture's transparency cuts away: laces, leaves and grilles are often pictures on plain faces."""
from collections.abc import Sequence

import numpy as np

from utils.mesh.mesh import Mesh

MOST_SPLITS = 7  # times that a face is divided in four along the edge of a cut: to 1/128 of its length
MOST_PIECES = 200_000  # of all cut faces of one material


def cut_out(mesh: Mesh, cuts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Mesh:
    """A mesh without the parts of its faces where a mask shows nothing.

    Faces that are partly cut are divided until their pieces are as small as the mask's pixels, or MOST_SPLITS or
    MOST_PIECES is reached.

    Args:
        mesh: Mesh.
        cuts: for each mask its faces (K,) int, no face in two, and the mask (H, W) bool, True where there is surface, laid on
            the faces by their corner_uvs and repeating outside [0, 1] as textures do.
    Returns:
        Mesh, perhaps without faces.
    """
    corners = [mesh.vertices[mesh.faces], mesh.corner_uvs.astype(np.float64), mesh.corner_colors]
    whole = np.ones(len(mesh.faces), bool)
    pieces, textures = [], []
    for faces, mask in cuts:
        if mask.all() or not len(faces):
            continue
        whole[faces] = False
        for number, kept in _pieces([values[faces] for values in corners], mask):
            pieces.append(kept)
            textures.append(mesh.face_texture[faces[number]])
    if whole.all():
        return mesh
    positions, uvs, colors = ([part[i] for part in pieces] for i in range(3))
    new = np.concatenate(positions).reshape(-1, 3) if positions else np.zeros((0, 3))
    new_faces = len(mesh.vertices) + np.arange(len(new), dtype=np.int64).reshape(-1, 3)
    return Mesh(np.concatenate([mesh.vertices, new]), np.concatenate([mesh.faces[whole], new_faces]),
                np.concatenate([mesh.corner_colors[whole], *colors]).astype(np.float32),
                np.concatenate([mesh.corner_uvs[whole], *uvs]).astype(np.float32),
                np.concatenate([mesh.face_texture[whole], *textures]).astype(np.int32), mesh.textures)


def _pieces(corners, mask):
    """What a mask leaves of faces, given by their corners' positions, uvs and colors, each (K, 3, n).

    Yields:
        numbers (N,) of the faces, and their corners' values, each (N, 3, n).
    """
    shown = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)  # sums over all pixels above and to the left
    shown[1:, 1:] = mask.cumsum(0).cumsum(1)
    numbers, done = np.arange(len(corners[0])), 0
    for level in range(MOST_SPLITS + 1):
        share, small = _share_shown(corners[1], shown)
        last = level == MOST_SPLITS or done + 4 * ((share > 0) & (share < 1)).sum() > MOST_PIECES
        at_center = _share_shown(corners[1].mean(axis=1, keepdims=True), shown)[0] > 0
        divided = (share > 0) & (share < 1) & ~small & (not last)
        kept = ~divided & np.where((share > 0) & (share < 1), at_center, share == 1)
        done += int(kept.sum())
        yield numbers[kept], [values[kept] for values in corners]
        numbers, corners = np.tile(numbers[divided], 4), [_in_four(values[divided]) for values in corners]
        if not len(numbers):
            return


def _share_shown(uvs, shown):
    """Share of the pixels below each face's box that a mask shows, and whether that box is within 1 x 1 pixel or so."""
    height, width = shown.shape[0] - 1, shown.shape[1] - 1
    low = uvs.min(axis=1)
    tile = np.floor(low)
    low, high = low - tile, uvs.max(axis=1) - tile
    spread = (high > 1 + 1e-6).any(axis=1)  # over the edge of the image, to its other side
    left = np.minimum((low[:, 0] * width).astype(np.int64), width - 1)
    right = np.maximum(np.minimum(np.ceil(high[:, 0] * width).astype(np.int64), width), left + 1)
    top = np.minimum(((1 - high[:, 1].clip(max=1)) * height).astype(np.int64), height - 1)
    bottom = np.maximum(np.minimum(np.ceil((1 - low[:, 1]) * height).astype(np.int64), height), top + 1)
    count = shown[bottom, right] - shown[top, right] - shown[bottom, left] + shown[top, left]
    share = np.where(spread, 0.5, count / ((right - left) * (bottom - top)))
    return share, ~spread & (right - left <= 1) & (bottom - top <= 1)


def _in_four(values):
    """Corners (K, 3, n) of faces -> those of their four quarters (4 K, 3, n)."""
    a, b, c = values[:, 0], values[:, 1], values[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    return np.concatenate([np.stack(quarter, axis=1) for quarter in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])


def fill_hidden(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image whose hidden pixels take the color of the nearest shown one, so that none of theirs shows at the edge.

    Args:
        rgb: (H, W, 3) uint8; mask: (H, W) bool, True where it shows.
    """
    from scipy.ndimage import distance_transform_edt

    if mask.all() or not mask.any():
        return rgb
    rows, columns = distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return rgb[rows, columns]
