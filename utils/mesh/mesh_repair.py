"""Closed meshes stay closed and two-manifold after decimation; loose specks go."""
import numpy as np

PARTED = 0.02  # fraction of the way to the middle of its faces by which a corner leaves another at the same place
LEAST_GAP = 2e-5  # normalized units between them at least, ten times what a file's decimals keep apart
SMALLEST_PART = 0.02  # fraction of the largest part's volume below which a loose part is dropped


def make_manifold(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part the sheets of a closed mesh where decimation has made them touch, so that every edge has two faces.

    Faces that lie on each other back to back are dropped in pairs. Where four faces or more meet at an edge, each is
    paired with the next one across the inside between them (Gueziec et al. 2001, "Cutting and stitching"); corners
    that are joined by no pair of faces become vertices of their own, moved apart by a little.

    Args:
        vertices: (V, 3) float64; faces: (F, 3) int64, closed and counter-clockwise from outside.
    Returns:
        vertices, faces: likewise.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    faces = _drop_coincident_faces(faces)
    starts, ends = np.arange(faces.size), np.roll(np.arange(faces.size).reshape(-1, 3), -1, axis=1).ravel()
    one, other = np.concatenate(_pair_half_edges(vertices, faces)).T
    joined = np.concatenate([np.stack([starts[one], ends[other]]), np.stack([ends[one], starts[other]])], axis=1)
    links = coo_matrix((np.ones(joined.shape[1]), tuple(joined)), shape=(faces.size, faces.size))
    _, new = connected_components(links, directed=False)
    old = np.zeros(new.max() + 1, np.int64)
    old[new] = faces.ravel()
    split = np.bincount(old, minlength=len(vertices))[old] > 1
    centers = np.repeat(vertices[faces].mean(axis=1), 3, axis=0)
    toward = np.stack([np.bincount(new, centers[:, axis]) for axis in range(3)], axis=1) / np.bincount(new)[:, None]
    toward = toward - vertices[old]
    share = np.clip(LEAST_GAP / np.maximum(np.linalg.norm(toward, axis=1), 1e-12), PARTED, 0.5)
    vertices = vertices[old] + (share * split)[:, None] * toward
    return _split_shared_edges(vertices, new.reshape(-1, 3))


def _drop_coincident_faces(faces):
    """Faces (F, 3) less each two on the same corners that look opposite ways: of three, one is left."""
    first = faces.argmin(axis=1)[:, None]
    turned = np.take_along_axis(faces, (first + np.arange(3)) % 3, axis=1)  # the lowest corner first
    sign = np.where(turned[:, 1] < turned[:, 2], 1, -1)
    _, group = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True)
    group = group.ravel()
    left = np.bincount(group, sign).astype(int)[group]  # in excess of the other side's
    side = 2 * group + (sign > 0)
    order = np.argsort(side, kind="stable")
    number = np.empty(len(faces), int)  # among the faces of the same corners and side
    number[order] = np.arange(len(faces)) - np.searchsorted(side[order], side[order])
    return faces[(sign * left > 0) & (number < np.abs(left))]


def remove_small_mesh_components(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A closed mesh without its loose specks, such as decimation leaves, and without unused vertices.

    Args:
        vertices: (V, 3) float64; faces: (F, 3) int64.
    Returns:
        vertices, faces: likewise; parts of at least SMALLEST_PART of the largest one's volume.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    links = coo_matrix((np.ones(len(ends)), ends.T), shape=(len(vertices),) * 2)
    part = connected_components(links, directed=False)[1][faces[:, 0]]
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    volumes = np.abs(np.bincount(part, np.einsum("fi,fi->f", a, np.cross(b, c))))
    used, new = np.unique(faces[volumes[part] >= SMALLEST_PART * volumes.max()], return_inverse=True)
    return vertices[used], new.reshape(-1, 3)


def _split_shared_edges(vertices, faces):
    """Two sheets that run along one edge without being parted at its ends: all but one get a corner in its middle."""
    done: set[int] = set()
    for pairs in _pair_half_edges(vertices, faces)[1:]:
        for sides in pairs[1:]:
            if done & set(sides // 3):
                continue  # a face can be divided once
            done |= set(sides // 3)
            (u, v), corners = faces[sides[0] // 3, [sides[0] % 3, (sides[0] + 1) % 3]], faces[sides // 3]
            middle = (vertices[u] + vertices[v]) / 2
            middle += PARTED * (vertices[corners].mean(axis=(0, 1)) - middle)
            halves = np.repeat(corners, 2, axis=0)
            halves[[0, 2]] = np.where(halves[[0, 2]] == v, len(vertices), halves[[0, 2]])
            halves[[1, 3]] = np.where(halves[[1, 3]] == u, len(vertices), halves[[1, 3]])
            vertices, faces = np.concatenate([vertices, middle[None]]), faces.copy()
            faces[sides // 3] = halves[[0, 2]]
            faces = np.concatenate([faces, halves[[1, 3]]])
    return vertices, faces


def _pair_half_edges(vertices, faces):
    """Pairs of face sides that make one edge: a list of (K, 2), first all edges of two faces, then each other edge.

    Side s belongs to face s // 3 and runs from that face's corner s % 3 to the next.
    """
    tails, heads = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    low, high = np.minimum(tails, heads), np.maximum(tails, heads)
    order = np.lexsort([high, low])
    bounds = np.flatnonzero((np.diff(low[order], prepend=-1) != 0) | (np.diff(high[order], prepend=-1) != 0))
    sizes = np.diff(np.append(bounds, len(order)))
    plain = bounds[sizes == 2]
    return [np.stack([order[plain], order[plain + 1]], axis=1)] + [
        _pair_across_inside(order[begin:begin + size], vertices, faces, low)
        for begin, size in zip(bounds[sizes > 2], sizes[sizes > 2])]


def _pair_across_inside(sides, vertices, faces, low):
    """Pair the faces around one edge with what bounds the same solid: (K,) side numbers -> (K / 2, 2)."""
    tail, apex = faces[sides // 3, sides % 3], faces[sides // 3, (sides + 2) % 3]
    head = faces[sides // 3, (sides + 1) % 3]
    forward = tail == low[sides]  # runs from the lower vertex to the higher one
    axis = vertices[np.maximum(tail[0], head[0])] - vertices[low[sides[0]]]
    axis = axis / max(np.linalg.norm(axis), 1e-12)
    arms = vertices[apex] - vertices[low[sides]]
    right = np.cross(axis, [1.0, 0, 0] if abs(axis[0]) < 0.9 else [0, 1.0, 0])
    right /= np.linalg.norm(right)
    angle = np.arctan2(arms @ np.cross(axis, right), arms @ right)
    # The normal of a face that runs forward points to greater angles, so its inside lies at smaller ones
    turn = np.argsort(angle)
    firsts = [place for place in range(len(turn)) if forward[turn[place]]]
    pairs, taken = [], set()
    for place in firsts:
        for step in range(1, len(turn)):
            match = turn[(place - step) % len(turn)]
            if not forward[match] and match not in taken:
                taken.add(match)
                pairs.append((sides[turn[place]], sides[match]))
                break
    return np.array(pairs, np.int64).reshape(-1, 2)
