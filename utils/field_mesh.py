"""From a field on a grid to the mesh that is delivered: silhouettes kept, closed, in one piece or few, of a chosen size.

What the six pictures show is known, whatever the network thinks: no matter projects outside a mask, and some matter lies
behind every pixel inside it.
"""
import numpy as np

from config import VIEW_NAMES
from utils.project_colors import sample_pictures
from utils.views import VIEW_BASES, VIEW_EXTENT
from utils.visual_hull import on_axes

ROUNDS = 3  # over the three axes: what one axis adds may be cut off by another
DEEPEST = 1.5  # grid steps at which a field's values are cut off, below and above 0
THINNEST = 0.6  # of a grid step: what is kept on a line that the field emptied reaches this far above 0
ON_HULL, PIXEL_RIPPLES = 0.25, 0.15  # pixels from the hull's surface; by which a vertex there may be moved
PIT, DEEP = 5, 0.1  # grid steps; lengths from the surface beyond which a field's values make no difference to a pit
TAUBIN_ROUNDS, TAUBIN_STEPS = 10, (0.5, -0.53)  # towards the neighbours' mean and a little farther back
PARTED = 0.02  # share of the way to the middle of its faces by which a corner leaves another at the same place
LEAST_GAP = 2e-5  # lengths between them at least, ten times what a file's decimals keep apart
SMALLEST_PART = 0.02  # share of the largest part's volume below which a loose part is dropped


def enforce_silhouettes(field, hull, distances, axes):
    """Make a field agree with the six outlines: nothing outside them, something behind every pixel inside.

    Where a line of sight inside a mask meets no matter, the field is raised along that whole line until its best place
    just reaches the surface; near an outline by no more than the distance to it, so outlines stay where they are drawn.

    Args:
        field: (X, Y, Z) float32, about the signed distance in lengths, positive in matter.
        hull: (X, Y, Z) float32 from utils.visual_hull.hull_on_grid.
        distances: (6, H, H) from utils.visual_hull.edge_distances.
        axes: three float arrays, coordinates of the grid's planes.
    Returns:
        (X, Y, Z) float32, at most `hull` everywhere.
    """
    step = max(axis[1] - axis[0] for axis in axes)
    field = np.minimum(field, np.minimum(hull, DEEPEST * step))
    outlines = {}
    for distance, name in zip(distances, VIEW_NAMES):
        along = int(np.abs(VIEW_BASES[name][2]).argmax())
        outline = on_axes(distance, VIEW_BASES[name], axes)
        outlines[along] = np.minimum(outlines.get(along, np.inf), outline)
    for _ in range(ROUNDS):
        for along, outline in outlines.items():
            best = np.where(hull > 0, field, -np.inf).max(axis=along, keepdims=True)
            best = np.where(np.isfinite(best), best, 0)
            missing = np.where(outline > 0, np.minimum(outline, THINNEST * step) - best, 0).clip(min=0)
            field = np.where(missing > 0, np.minimum(field + missing, np.maximum(hull, field)), field)
    # A value far below 0 beside one just above it would leave less of that cell than the outline asks for
    return np.maximum(field, -DEEPEST * step)


def smoothed(field, hull, cells):
    """A field averaged over its neighbourhood within the hull, by a Gaussian of `cells` grid steps: fewer ripples."""
    from scipy.ndimage import gaussian_filter

    inside = (hull > 0).astype(np.float32)
    mean = gaussian_filter(field * inside, cells) / np.maximum(gaussian_filter(inside, cells), 1e-3)
    return np.where(inside > 0, mean, field).astype(np.float32)


def without_pits(field, hull):
    """A field whose pits, cracks and tunnels of fewer than PIT grid steps are filled: closing in grey values (Serra 1982).

    Args:
        field, hull: (X, Y, Z) float32, positive in matter and inside the hull.
    Returns:
        (X, Y, Z) float32; outside the hull the field's own values.
    """
    from scipy.ndimage import grey_closing

    bounded = np.where(hull > 0, np.clip(field, -DEEP, DEEP), -DEEP)  # the gap between surface and hull is no pit
    closed = grey_closing(np.pad(bounded, PIT, constant_values=-DEEP), PIT)
    inner = slice(PIT, -PIT)
    return np.where(hull > 0, np.maximum(field, closed[inner, inner, inner]), field).astype(np.float32)


def keep_main_parts(field):
    """The field without loose specks and without closed voids, which no picture can show.

    Args:
        field: (X, Y, Z) float32, positive in matter.
    Returns:
        (X, Y, Z) float32.
    """
    from scipy import ndimage

    field = field.copy()
    parts, count = ndimage.label(field > 0)
    if count > 1:
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        field[(sizes < SMALLEST_PART * sizes.max())[parts] & (field > 0)] *= -1
    empty = np.pad(field <= 0, 1, constant_values=True)
    voids, count = ndimage.label(empty)
    if count > 1:
        closed = (voids != voids[0, 0, 0]) & (voids > 0)
        field[closed[1:-1, 1:-1, 1:-1]] = np.abs(field[closed[1:-1, 1:-1, 1:-1]]) + 1e-4
    return field


def mesh_from_grid(field, axes, faces=None):
    """The surface where a field is 0, by marching cubes (Lorensen and Cline 1987; Lewiner et al. 2003), closed.

    Args:
        field: (X, Y, Z) float32, positive in matter somewhere.
        axes: three float arrays, coordinates of the grid's planes.
        faces: most faces the mesh may have, by quadric decimation (Garland and Heckbert 1997); None keeps all.
    Returns:
        vertices: (V, 3) float64; faces: (F, 3) int64, counter-clockwise seen from outside.
    """
    from skimage.measure import marching_cubes

    steps = np.array([axis[1] - axis[0] for axis in axes])
    vertices, triangles, _, _ = marching_cubes(np.pad(field, 1, constant_values=-float(steps.max())), 0.0,
                                               gradient_direction="ascent", allow_degenerate=False)
    vertices = (vertices - 1) * steps + [axis[0] for axis in axes]
    if faces is not None and len(triangles) > faces:
        from fast_simplification import simplify

        # A little below the budget: parting sheets may add faces
        vertices, triangles = simplify(vertices.astype(np.float32), triangles.astype(np.int32),
                                       target_count=int(0.999 * faces))
        vertices, triangles = make_manifold(vertices.astype(np.float64), triangles.astype(np.int64))
        vertices, triangles = main_parts_of_mesh(vertices, triangles)
    return vertices.astype(np.float64), triangles.astype(np.int64)


def may_move(vertices, distances):
    """(V,) how far each vertex of a mesh in the hull may be moved, in lengths: not far where it lies on the hull's surface.

    There the outlines say what is so, but for the ripples that their pixels leave.

    Args:
        vertices: (V, 3) float in the normalised frame.
        distances: (6, H, H) from utils.visual_hull.edge_distances.
    """
    nearest = sample_pictures(distances[..., None], vertices)[..., 0].min(axis=0)
    return np.where(nearest < ON_HULL * 2 * VIEW_EXTENT / distances.shape[-1],
                    PIXEL_RIPPLES * 2 * VIEW_EXTENT / distances.shape[-1], np.inf)


def without_ripples(vertices, faces, reach):
    """Vertices smoothed without shrinking (Taubin 1995, "A signal processing approach to fair surface design").

    Args:
        vertices: (V, 3) float64; faces: (F, 3) int64.
        reach: (V,) float, lengths by which each vertex is moved at most.
    Returns:
        (V, 3) float64.
    """
    mean = mesh_links(faces, len(vertices))
    smooth = vertices
    for _ in range(TAUBIN_ROUNDS):
        for step in TAUBIN_STEPS:
            smooth = smooth + step * (mean @ smooth - smooth)
    moved = smooth - vertices
    return vertices + moved * np.minimum(1, reach / np.maximum(np.linalg.norm(moved, axis=1), 1e-12))[:, None]


def mesh_links(faces, count):
    """Sparse (count, count) matrix that takes values at the vertices of a closed mesh to the means of their neighbours'.

    Args:
        faces: (F, 3) int; count: vertices of the mesh.
    """
    from scipy.sparse import coo_matrix, diags

    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    links = coo_matrix((np.ones(len(ends)), ends.T), shape=(count, count)).tocsr()
    return diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1)) @ links  # closed: each edge comes both ways


def make_manifold(vertices, faces):
    """Part the sheets of a closed mesh where decimation has made them touch, so that every edge has two faces.

    Faces that lie on each other back to back are dropped in pairs. Where four faces or more meet at an edge, each is
    paired with the next one across the matter between them (Gueziec et al. 2001, "Cutting and stitching"); corners that are
    joined by no pair of faces become vertices of their own, moved apart by a little.

    Args:
        vertices: (V, 3) float64; faces: (F, 3) int64, closed and counter-clockwise from outside.
    Returns:
        vertices, faces: likewise.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    faces = _without_pairs_back_to_back(faces)
    starts, ends = np.arange(faces.size), np.roll(np.arange(faces.size).reshape(-1, 3), -1, axis=1).ravel()
    one, other = np.concatenate(_pairs_of_sides(vertices, faces)).T
    joined = np.concatenate([np.stack([starts[one], ends[other]]), np.stack([ends[one], starts[other]])], axis=1)
    links = coo_matrix((np.ones(joined.shape[1]), tuple(joined)), shape=(faces.size, faces.size))
    _, new = connected_components(links, directed=False)
    old = np.zeros(new.max() + 1, np.int64)
    old[new] = faces.ravel()
    split = np.bincount(old, minlength=len(vertices))[old] > 1
    centres = np.repeat(vertices[faces].mean(axis=1), 3, axis=0)
    toward = np.stack([np.bincount(new, centres[:, axis]) for axis in range(3)], axis=1) / np.bincount(new)[:, None]
    toward = toward - vertices[old]
    share = np.clip(LEAST_GAP / np.maximum(np.linalg.norm(toward, axis=1), 1e-12), PARTED, 0.5)
    vertices = vertices[old] + (share * split)[:, None] * toward
    return _divide_shared_edges(vertices, new.reshape(-1, 3))


def _without_pairs_back_to_back(faces):
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


def main_parts_of_mesh(vertices, faces):
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


def _divide_shared_edges(vertices, faces):
    """Two sheets that run along one edge without being parted at its ends: all but one get a corner in its middle."""
    done = set()
    for pairs in _pairs_of_sides(vertices, faces)[1:]:
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


def _pairs_of_sides(vertices, faces):
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
        _pairs_across_matter(order[begin:begin + size], vertices, faces, low)
        for begin, size in zip(bounds[sizes > 2], sizes[sizes > 2])]


def _pairs_across_matter(sides, vertices, faces, low):
    """Pair the faces around one edge with what bounds the same matter: (K,) side numbers -> (K / 2, 2)."""
    tail, apex = faces[sides // 3, sides % 3], faces[sides // 3, (sides + 2) % 3]
    head = faces[sides // 3, (sides + 1) % 3]
    forward = tail == low[sides]  # runs from the lower vertex to the higher one
    axis = vertices[np.maximum(tail[0], head[0])] - vertices[low[sides[0]]]
    axis = axis / max(np.linalg.norm(axis), 1e-12)
    arms = vertices[apex] - vertices[low[sides]]
    right = np.cross(axis, [1.0, 0, 0] if abs(axis[0]) < 0.9 else [0, 1.0, 0])
    right /= np.linalg.norm(right)
    angle = np.arctan2(arms @ np.cross(axis, right), arms @ right)
    # The normal of a face that runs forward points to greater angles, so its matter lies at smaller ones
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


def vertex_normals(vertices, faces):
    """(V, 3) unit normals at the vertices, the mean of the faces around weighted by area; zero where there are none."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    normals = np.stack([np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), len(vertices)) for axis in range(3)],
                       axis=1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
