"""Uncertain occupancy must not become lace: handles that the field is not sure of are closed by a thin wall.

A level set of a noisy field has many small handles: tears in the wall of a mug, threads between the legs of a horse.
Nearly all of them are gone a little below the level, where walls are thicker. So the set that lies a tolerance below is
shrunk to the level set by removing simple points alone, which changes no topology (Bertrand 1994, "Simple points,
topological numbers and geodesic neighborhoods in cubic grids"; Han, Xu and Prince 2003, "A topology preserving level set
method for geometric deformable models"). Wide openings are dug first, so a cavity stays open at its mouth and is closed at
its tears: what a tear was is then a wall one cell thick. Handles that persist over the whole tolerance stay open.
"""
from functools import lru_cache

import numpy as np

CLEARANCES = (32, 24, 16, 12, 10, 8, 7, 6, 5, 4, 3, 2.5, 2, 1.5, 1)  # cells to the inside; wide openings are dug first
WALL = 0.1  # of a grid step: the value of a cell that is kept although the field says outside

# The 26 neighbors of a cell in a fixed order; bit i of a neighborhood's code is set where neighbor i is inside.
NEIGHBORS = np.array([(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)])
_FACES = sum(1 << i for i, step in enumerate(NEIGHBORS) if np.abs(step).sum() == 1)
_FACES_AND_EDGES = sum(1 << i for i, step in enumerate(NEIGHBORS) if np.abs(step).sum() <= 2)
_ALL = (1 << 26) - 1


@lru_cache(maxsize=1)
def _adjacency():
    """For each of the 26 neighbors the codes of those it touches: by a face (inside), by anything (outside)."""
    apart = np.abs(NEIGHBORS[:, None] - NEIGHBORS[None])
    powers = np.uint32(1) << np.arange(26, dtype=np.uint32)
    return ((apart.sum(-1) == 1) @ powers).astype(np.uint32), ((apart.max(-1) == 1) @ powers).astype(np.uint32)


def is_simple(codes: np.ndarray) -> np.ndarray:
    """Whether removing a cell changes no topology, the inside connected by faces and the outside by corners as well.

    Args:
        codes: (K,) uint32, bit i set where neighbor i of NEIGHBORS is inside.
    Returns:
        (K,) bool: the inside neighbors that touch the cell by a face are connected among its 18 nearest neighbors, the
        outside ones among all 26, and there is at least one of either.
    """
    by_face, by_any = _adjacency()
    inside = codes & np.uint32(_FACES_AND_EDGES)
    touching = codes & np.uint32(_FACES)
    outside = ~codes & np.uint32(_ALL)
    inside_reached = _flood(_lowest_bit(touching), inside, by_face)
    outside_reached = _flood(_lowest_bit(outside), outside, by_any)
    return ((touching != 0) & (touching & ~inside_reached == 0) & (outside != 0) & (outside_reached == outside))


def _lowest_bit(codes):
    return codes & (~codes + np.uint32(1))


def _flood(seeds, allowed, adjacency):
    """All bits of `allowed` (K,) that a path of adjacent allowed bits joins to `seeds` (K,)."""
    reached = seeds
    while True:
        grown = reached
        for bit, touched in enumerate(adjacency):
            grown = grown | ((grown >> np.uint32(bit) & np.uint32(1)) * touched & allowed)
        if (grown == reached).all():
            return reached
        reached = grown


def close_uncertain_handles(field: np.ndarray, hull: np.ndarray, tolerance: float, step: float) -> np.ndarray:
    """A field whose level set at 0 has the topology of the one at `-tolerance`, and differs from its own by thin walls.

    Args:
        field: (X, Y, Z) float32, positive inside: a network's scaled logits (models.field_model.field_on_grid).
        hull: (X, Y, Z) float32, positive in the visual hull; nothing outside it is added.
        tolerance: in the field's own unit; a handle that is gone at this level is closed.
        step: edge of a grid cell, normalized units.
    Returns:
        (X, Y, Z) float32, at least `field` everywhere.
    """
    from scipy.ndimage import binary_fill_holes, distance_transform_edt

    values = np.pad(np.where(hull > 0, field, -np.inf), 1, constant_values=-np.inf)
    kept = binary_fill_holes(values > -tolerance)  # a cavity whose mouth is uncertain is dug from its widest opening
    shape = values.shape
    offsets = NEIGHBORS @ np.array([shape[1] * shape[2], shape[2], 1])
    face_offsets = offsets[np.abs(NEIGHBORS).sum(1) == 1]
    flat = kept.ravel()
    x, y, z = np.unravel_index(np.arange(flat.size), shape)
    subfield = ((x & 1) * 4 + (y & 1) * 2 + (z & 1)).astype(np.int8)  # no two cells of one subfield are neighbors
    clearance = distance_transform_edt(~(values > 0)).ravel()  # cells; 0 where the field says inside
    for level in CLEARANCES:
        pool = flat & (clearance >= level)
        waiting = np.flatnonzero(pool)
        waiting = waiting[~flat[waiting[:, None] + face_offsets].all(axis=1)]  # on the border of what is kept
        while len(waiting):
            removed = []
            for number in range(8):
                cells = waiting[subfield[waiting] == number]
                cells = cells[flat[cells]]
                codes = (flat[cells[:, None] + offsets] << np.arange(26, dtype=np.uint32)).sum(1, dtype=np.uint32)
                gone = cells[is_simple(codes)]
                flat[gone] = False
                removed.append(gone)
            removed = np.concatenate(removed)
            around = np.unique(removed[:, None] + offsets) if len(removed) else removed
            waiting = around[pool[around] & flat[around]]
    inner = (slice(1, -1),) * 3
    walls = kept[inner] & (field <= 0)
    return np.where(walls, np.float32(WALL * step), field)
