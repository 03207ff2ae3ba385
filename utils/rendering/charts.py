"""A surface cut into few, large charts, each laid flat: none mirrored, none stretched far, none lying on itself.

Charts begin as what faces one of the six directions, once normals are smoothed over the surface; small ones go to a
neighbor. A chart that cannot be laid flat is cut in two, at first around what lies on it, then where its normals differ
most; at last what is small is joined again wherever that can be laid flat.
"""
import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from utils.mesh.half_edges import shared_edges
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT
from utils.rendering.flattening import lay_flat, stretches
from utils.rendering.rasterizer import rasterize_layers

SMOOTHING = 0.06  # normalized units over which normals are smoothed before they choose a direction
CREASE = 0.1  # what flows over a sharp edge, of what flows over a smooth surface: borders of charts keep to sharp edges
SMALL = 0.004  # of the whole area: smaller charts go to a neighbor
LARGEST_STRETCH = 1.7  # of a face in any direction, either way
STRETCHED_AREA = 0.02  # of a chart, which may be stretched further
CHECK_PX = 2048  # edge of the image in which a chart that lies on itself shows
CUTS = 12  # rounds after which faces that still cannot be laid flat together get a chart each
LOCAL_CUTS, LOCAL_AREA = 2, 0.3  # rounds in which what a chart has wrong is cut out, if it is at most this share of it
RINGS = 2  # of faces around it
CUT_SMOOTHING, LEAST_CUT = 0.1, 0.1  # of the root of a chart's area, and of its area: normals are smoothed and pieces joined
JOINS = 6  # rounds of joining small charts


def cut_into_charts(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Charts of a mesh, each laid flat at about its true size, none mirrored.

    Args:
        vertices: (V, 3) float; faces: (F, 3) int.
    Returns:
        flat: (T, 2) float64, in units of the vertices; each chart as one sees it, upright, but they lie over each other.
        face_flat: (F, 3) int64, indices into flat, which no two charts share.
        chart: (F,) int64, numbered from 0.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    normals, areas = _normals_and_areas(vertices, faces)
    links = _face_links(vertices, faces, normals)
    axes = np.stack([basis[2] for basis in VIEW_BASES.values()])

    # By direction; what cannot be laid flat is cut until it can
    chart = _pieces(links, (_smoothed(normals, links, areas, SMOOTHING) @ axes.T).argmax(axis=1))
    chart = _without_small(chart, links, areas, SMALL * areas.sum())
    flat, todo = np.zeros((len(faces), 3, 2)), np.arange(len(faces))
    for number in range(CUTS + 1):
        flat[todo], guilty, wrong = _try(vertices, faces, chart, normals, areas, todo)
        todo, guilty = todo[wrong], guilty[wrong]
        if not len(todo):
            break
        if number < CUTS:
            chart = _cut_in_two(chart, todo, guilty, links, normals, areas, number)
        else:  # every face by itself: that is flat
            chart[todo] = chart.max() + 1 + np.arange(len(todo))
            flat[todo] = _try(vertices, faces, chart, normals, areas, todo)[0]

    # Small ones are joined again; no pair is tried twice
    refused: set[tuple[int, int]] = set()
    for _ in range(JOINS):
        joined = _joined(chart, links, areas, refused)
        todo = np.flatnonzero(np.isin(joined, joined[joined != chart]))
        if not len(todo):
            break
        new, _, wrong = _try(vertices, faces, joined, normals, areas, todo)
        refused |= set(zip(chart[todo[wrong]].tolist(), joined[todo[wrong]].tolist()))
        good = todo[~wrong]
        chart[good], flat[good] = joined[good], new[~wrong]
    _, chart = np.unique(chart, return_inverse=True)
    _, index, face_flat = np.unique(chart[:, None] * len(vertices) + faces, return_index=True, return_inverse=True)
    return flat.reshape(-1, 2)[index], face_flat.reshape(-1, 3), chart


def _try(vertices, faces, chart, normals, areas, rows):
    """Charts of the faces `rows` (K,) laid flat: their corners (K, 3, 2), the faces guilty of what is wrong
    (K,) bool, and all faces of charts where something is (K,) bool."""
    flat, corners = lay_flat(vertices, faces[rows], chart[rows], normals[rows], areas[rows])
    wrong, guilty = _wrong_charts(flat[corners], vertices[faces[rows]], chart[rows], areas[rows], areas.sum())
    return flat[corners], guilty, np.isin(chart[rows], wrong)


def _joined(chart, links, areas, refused):
    """Charts (F,) in which small ones have the number of a neighbor: each neighbor takes at most one of them."""
    border, size = _borders(chart, links).tolil(), np.bincount(chart, areas)
    joined, taken = np.arange(len(size)), np.zeros(len(size), bool)
    for one, other in refused:
        if max(one, other) < len(size):
            border[one, other] = 0
    border = border.tocsr()
    to, most = border.argmax(axis=1).ravel(), border.max(axis=1).toarray().ravel()
    small = np.flatnonzero((most > 0) & (size < SMALL * areas.sum()))
    for one in small[np.argsort(-most[small])].tolist():
        if not taken[one] and not taken[to[one]]:
            joined[one], taken[one], taken[to[one]] = to[one], True, True
    return joined[chart]


def _borders(chart, links):
    """(C, C) csr: length of the border between charts."""
    member = csr_array((np.ones(len(chart)), (np.arange(len(chart)), chart)), shape=(len(chart), chart.max() + 1))
    border = (member.T @ links @ member).tolil()
    border.setdiag(0)
    return border.tocsr()


def _normals_and_areas(vertices, faces):
    """Unit normals (F, 3), zero where a face has no area, and areas (F,)."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    return cross / np.maximum(length, 1e-300)[:, None], length / 2


def _face_links(vertices, faces, normals):
    """(F, F) symmetric csr: length of the edge that two faces share, less at creases, in units of the vertices."""
    sides = shared_edges(faces)
    one, other = sides.T // 3
    face, corner = np.divmod(sides[:, 0], 3)
    length = np.linalg.norm(vertices[faces[face, corner]] - vertices[faces[face, (corner + 1) % 3]], axis=1)
    flow = length * np.einsum("kj,kj->k", normals[one], normals[other]).clip(CREASE, 1) + 1e-12
    half = coo_array((flow, (one, other)), shape=(len(faces), len(faces)))
    return csr_array(half + half.T)


def _smoothed(values, links, areas, scale):
    """Values (F, K) of faces, smoothed over about `scale` on the surface: one implicit step of diffusion."""
    # Between the middles of two faces lies about the root of their area
    links = diags_array(np.broadcast_to(scale**2, len(areas)) / np.sqrt(areas.mean())) @ links
    system = diags_array(areas + links.sum(axis=1) + 1e-15) - links
    return splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A").solve(areas[:, None] * values)


def _pieces(links, labels):
    """(F,) int64: connected pieces of faces of one label."""
    links = links.tocoo()
    same = labels[links.row] == labels[links.col]
    inside = coo_array((np.ones(same.sum(), np.int8), (links.row[same], links.col[same])), shape=links.shape)
    return connected_components(inside, directed=False)[1].astype(np.int64)


def _without_small(chart, links, areas, least):
    """Charts (F,), those of less than `least` area joined to the neighbor with which they share the longest border."""
    while True:
        _, chart = np.unique(chart, return_inverse=True)
        border = _borders(chart, links)
        first = np.unique(chart, return_index=True)[1]
        small = np.bincount(chart, areas) < np.broadcast_to(least, len(chart))[first]
        joins = np.flatnonzero(small & (border.max(axis=1).toarray().ravel() > 0))
        if not len(joins):
            return chart
        to = border.argmax(axis=1).ravel()[joins]
        chart = connected_components(coo_array((np.ones(len(to)), (joins, to)), shape=border.shape), directed=False)[1][chart]


def _wrong_charts(flat, triangles, chart, areas, total):
    """Numbers of the charts that lie on themselves or are stretched too far, and which faces (F,) bool make them so."""
    most, least = stretches(flat, triangles)
    stretched = (most > LARGEST_STRETCH) | (least < 1 / LARGEST_STRETCH)
    too_far = np.bincount(chart, areas * stretched) > STRETCHED_AREA * np.bincount(chart, areas)
    covered = np.zeros(len(chart), bool)
    covered[_covered_twice(flat, chart, total)] = True
    guilty = covered | stretched & too_far[chart]
    return np.unique(chart[guilty]), guilty


def _covered_twice(flat, chart, total):
    """Indices of faces that lie on others of their chart: all charts are drawn beside each other, none larger than a
    texture of CHECK_PX would show it; total: area of the surface."""
    _, chart = np.unique(chart, return_inverse=True)
    low, high = np.full((chart.max() + 1, 2), np.inf), np.full((chart.max() + 1, 2), -np.inf)
    np.minimum.at(low, chart, flat.min(axis=1))
    np.maximum.at(high, chart, flat.max(axis=1))
    grid = int(np.ceil(np.sqrt(len(low))))
    cell = np.stack(np.divmod(np.arange(len(low)), grid), axis=1)
    scale = np.minimum(0.98 / np.maximum((high - low).max(axis=1), 1e-300), grid / np.sqrt(2 * total))  # half of it is used
    placed = ((flat - low[chart][:, None]) * scale[chart][:, None, None] + cell[chart][:, None] + 0.01) / grid
    image = np.concatenate([(2 * placed.reshape(-1, 2) - 1) * VIEW_EXTENT, np.zeros((3 * len(flat), 1))], axis=1)
    pixel, face, _ = rasterize_layers(image, np.arange(len(image)).reshape(-1, 3), np.eye(3), CHECK_PX)
    twice = np.flatnonzero(pixel[1:] == pixel[:-1])
    return face[np.concatenate([twice, twice + 1])]


def _cut_in_two(chart, rows, guilty, links, normals, areas, number):
    """Charts (F,) in which those of the faces `rows` are cut: around `guilty` faces, or where smoothed normals differ most.

    number: of the round; the later, the less is smoothed and joined, so that at last every chart is cut.
    """
    chart, (_, old) = chart.copy(), np.unique(chart[rows], return_inverse=True)
    links = links[rows][:, rows].tocoo()
    inside = old[links.row] == old[links.col]
    links = csr_array((links.data[inside], (links.row[inside], links.col[inside])), shape=links.shape)
    normals, areas = normals[rows], areas[rows]
    total = np.maximum(np.bincount(old, areas), 1e-300)
    mean = np.stack([np.bincount(old, areas * normals[:, axis]) for axis in range(3)], axis=1) / total[:, None]
    apart = normals - mean[old]
    spread = np.stack([np.bincount(old, areas * apart[:, i] * apart[:, j]) for i in range(3) for j in range(3)], axis=1)
    direction = np.linalg.eigh(spread.reshape(-1, 3, 3))[1][:, :, -1]
    scale = CUT_SMOOTHING * np.sqrt(total[old] / 2**number)
    side = _smoothed(np.einsum("fj,fj->f", apart, direction[old])[:, None], links, areas, scale)[:, 0] > 0
    if number < LOCAL_CUTS:
        for _ in range(RINGS):
            guilty = guilty | (links @ guilty > 0)
        local = (np.bincount(old, areas * guilty) < LOCAL_AREA * total)[old]
        side = np.where(local, guilty, side)
        guilty = guilty & local
    else:
        guilty = np.zeros(len(rows), bool)
    least = np.where(guilty, 0, LEAST_CUT * total[old] / 2**number)
    chart[rows] = chart.max() + 1 + _without_small(_pieces(links, side), links, areas, least)
    return chart
