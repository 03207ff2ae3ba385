"""Charts packed into a square: each stays upright and in its shape, and goes to the first place that is free.

What is free is known by cells. Charts go one after the other, the largest first (by their longer side, then by their area),
each to the lowest, then leftmost place in which none of its cells is taken: also into another's hollow or hole.
"""
import numpy as np
from scipy.ndimage import distance_transform_edt

CELLS, FIRST_USE = 256, 0.6  # along the square, if the charts use this share of it
LEAST_USE = 0.02  # share below which charts and what is kept free around them do not fit
GROWTH, PRECISION = 1.1, 0.01  # of the square's edge, from one try to the next, and at the end
SMALL = 8  # cells: smaller charts count as their bounding box, as few such boxes differ
BAND = 64  # rows of places that are looked at together
# What of a bounding box charts are sorted by, and whether the leftmost place counts more than the lowest
WAYS = (max, False), (max, True), (np.prod, False), (np.prod, True)


def pack_charts(corners: np.ndarray, chart: np.ndarray, texture_size: int, gutter: float) -> tuple[np.ndarray, float] | None:
    """Where charts go in the smallest square found that holds them all.

    Args:
        corners: (F, 3, 2) float64, faces of charts laid flat, in any unit.
        chart: (F,) int64, which chart each face belongs to, numbered from 0.
        texture_size: texels per edge of the square.
        gutter: texels kept free between any two charts.
    Returns:
        shift: (C, 2) float64, in the corners' unit: what brings each chart to its place, between 0 and `edge`.
        edge: of the square, in the corners' unit.
        None: there are too many charts for this texture.
    """
    low = np.full((chart.max() + 1, 2), np.inf)
    np.minimum.at(low, chart, corners.min(axis=1))
    corners = corners - low[chart][:, None]
    right, up = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.abs(right[:, 0] * up[:, 1] - right[:, 1] * up[:, 0]).sum() / 2
    cells = min(CELLS, texture_size)
    cell = np.sqrt(max(area, 1e-12) / FIRST_USE) / cells
    shapes = _covered_cells(corners / cell, chart)
    largest = int(cells * np.sqrt(FIRST_USE / LEAST_USE))
    margin = _reach(gutter, largest, texture_size)
    distances = [distance_transform_edt(~np.pad(shape, int(margin))) for shape in shapes]

    def places_in(size, way):
        near = [distance <= _reach(gutter, size, texture_size) for distance in distances]
        return _first_places(shapes, near, size, *way)

    # The smallest square lies between one that is too small and one that is not; then other ways may do with less
    too_small, size, best = int(np.sqrt(FIRST_USE) * cells), cells, None
    while best is None:
        best = places_in(size, WAYS[0])
        if best is None:
            too_small, size = size, int(np.ceil(GROWTH * size))
            if size > largest:
                return None
    while size - too_small > max(1, PRECISION * size):
        middle = (too_small + size) // 2
        places = places_in(middle, WAYS[0])
        if places is None:
            too_small = middle
        else:
            size, best = middle, places
    for way in WAYS[1:]:
        while (places := places_in(smaller := int((1 - PRECISION) * size), way)) is not None:
            size, best = smaller, places
    return best * cell - low, size * cell


def _reach(gutter, size, texture_size):
    """Cells between the centers of any two that different charts may cover: points in them are nearer by up to sqrt(2)."""
    return gutter * size / texture_size + np.sqrt(2)


def _covered_cells(corners, chart):
    """The unit cells that each chart's faces touch: (rows, columns) bool, row 0 at y = 0.

    Points half a cell apart on every face find them, as any cell's inscribed circle that a face covers holds one.
    """
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    parts = np.maximum(2, 2 ** np.ceil(np.log2(np.maximum(2 * longest, 1))).astype(int))
    width, keys = int(corners.max()) + 1, []
    for number in np.unique(parts):
        one, two = np.nonzero(np.tri(number + 1)[::-1])
        weights = np.stack([one, two, number - one - two], axis=1) / number
        column, row = np.moveaxis(np.floor(np.einsum("kc,fcd->fkd", weights, corners[parts == number])).astype(np.int64), -1, 0)
        keys.append(np.unique((chart[parts == number][:, None] * width + row) * width + column))
    owner, row, column = np.unravel_index(np.unique(np.concatenate(keys)), (chart.max() + 1, width, width))
    ends, shapes = np.searchsorted(owner, np.arange(chart.max() + 2)), []
    for start, end in zip(ends[:-1], ends[1:]):
        shape = np.zeros((row[start:end].max() + 1, column[start:end].max() + 1), bool)
        shape[row[start:end], column[start:end]] = True
        shapes.append(shape | (max(shape.shape) < SMALL))
    return shapes


def _first_places(shapes, near, size, order, turned):
    """Where the charts' lower left cells go in a square of `size`: (C, 2) int64 columns and rows, or None.

    Args:
        shapes: per chart (rows, columns) bool, the cells it covers.
        near: per chart the cells that no other may cover, with an equal margin on all sides.
        order: of a bounding box, what charts are sorted by.
        turned: the leftmost place counts more than the lowest.
    """
    if turned:
        places = _first_places([shape.T for shape in shapes], [shape.T for shape in near], size, order, False)
        return None if places is None else places[:, ::-1]
    taken, before = np.zeros((size, size), bool), np.zeros((size, size + 1), np.int32)  # and how many are, left of each
    places, lowest = np.zeros((len(shapes), 2), np.int64), {}
    for number in sorted(range(len(shapes)), key=lambda number: (-order(shapes[number].shape), -shapes[number].sum())):
        shape, margin = shapes[number], (near[number].shape[0] - shapes[number].shape[0]) // 2
        kind = shape.shape, shape.tobytes()  # where the last chart of this very shape found no room, this one finds none
        row, column = _first_free(before, shape, lowest.get(kind, 0))
        if row is None:
            return None
        places[number], lowest[kind] = (column, row), row
        row, column = row - margin, column - margin
        rows, columns = np.add(np.nonzero(near[number]), [[row], [column]])
        inside = (np.minimum(rows, columns) >= 0) & (np.maximum(rows, columns) < size)
        taken[rows[inside], columns[inside]] = True
        changed = slice(max(row, 0), row + near[number].shape[0])
        np.cumsum(taken[changed], axis=1, out=before[changed, 1:])
    return places


def _first_free(before, shape, first):
    """Row, from `first` on, and column of the lowest, then leftmost place where a shape covers no cell that is taken.

    Each run of a shape's row, from one edge to the next, holds as many taken cells as `before` rises along it.
    """
    rows, columns = len(before) - shape.shape[0] + 1, before.shape[1] - shape.shape[1]
    edges = np.argwhere(np.diff(np.pad(shape, ((0, 0), (1, 1))).astype(np.int8), axis=1))
    starts, ends = edges[::2].tolist(), edges[1::2].tolist()
    for low in range(first, rows if columns > 0 else 0, BAND):
        high = min(low + BAND, rows)
        blocked = np.zeros((high - low, columns), np.int32)
        for (row, start), (_, end) in zip(starts, ends):
            blocked += before[low + row:high + row, end:end + columns]
            blocked -= before[low + row:high + row, start:start + columns]
        free = np.flatnonzero(blocked.ravel() == 0)
        if len(free):
            return low + free[0] // columns, free[0] % columns
    return None, None
