"""Charts of a surface laid flat, as rigidly as possible (Liu et al. 2008, "A Local/Global Approach to Mesh Parameterization").

A place in the plane is a complex number. Where faces still turn over, as at thorns, what surrounds them is pressed flat.
"""
import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import splu

from utils.rendering.cameras import VIEW_BASES

ROUNDS = 12  # of turning each face and laying all by one system
COTANGENTS = 0.05, 20.0  # of angles, by which edges count: neither a right angle nor a thin face may rule
# Rings of faces around a fold that are pressed flat with it, and whether the chart's rim stays; tried in this order
PRESSED = (1, True), (2, True), (4, True), (1, False), (2, False)


def lay_flat(vertices: np.ndarray, faces: np.ndarray, chart: np.ndarray, normals: np.ndarray,
             areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every chart in the plane at about its true size, as one sees it from where it faces, upright.

    Args:
        vertices: (V, 3) float; faces: (F, 3) int64.
        chart: (F,) int64, which chart each face belongs to.
        normals, areas: (F, 3) and (F,) float, of the faces.
    Returns:
        flat: (T, 2) float64, in units of the vertices; charts lie over each other. Large folds are left.
        corners: (F, 3) int64, indices into flat, which no two charts share.
    """
    _, chart = np.unique(chart, return_inverse=True)
    own, corners = np.unique(chart[:, None] * len(vertices) + faces, return_inverse=True)
    corners, place, owner = corners.reshape(-1, 3), vertices[own % len(vertices)], own // len(vertices)

    # At first as it is seen
    toward = np.stack([np.bincount(chart, areas * normals[:, axis]) for axis in range(3)], axis=1)
    length, bases = np.linalg.norm(toward, axis=1, keepdims=True), np.stack(list(VIEW_BASES.values()))
    toward = np.where(length > 0, toward / np.maximum(length, 1e-300), bases[0, 2])  # a chart without area faces anywhere
    right = bases[(toward @ bases[:, 2].T).argmax(axis=1), 0]
    up = np.cross(toward, right)
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    right = np.cross(up, toward)
    flat = np.einsum("kj,kj->k", place, right[owner]) + 1j * np.einsum("kj,kj->k", place, up[owner])

    # Each face's own edges, in the plane of the face, and the cotangents of the angles across from them
    rest = own_plane(vertices[faces])
    edges = np.roll(rest, -1, axis=1) - rest
    across = np.conj(np.roll(edges, 1, axis=1)) * -np.roll(edges, -1, axis=1)
    weights = np.abs(across.real / np.maximum(np.abs(across.imag), 1e-12)).clip(*COTANGENTS)
    here, there = corners.ravel(), np.roll(corners, -1, axis=1).ravel()
    fixed = np.zeros(len(flat))
    fixed[np.unique(owner, return_index=True)[1]] = 1  # of each chart one vertex stays where it is
    half = coo_array((weights.ravel(), (here, there)), shape=(len(flat),) * 2)
    solver = splu((diags_array(half.sum(axis=0) + half.sum(axis=1) + fixed) - half - half.T).tocsc(),
                  permc_spec="MMD_AT_PLUS_A")
    for _ in range(ROUNDS):
        turn = (weights * (flat[there] - flat[here]).reshape(-1, 3) * np.conj(edges)).sum(axis=1)
        turn /= np.maximum(np.abs(turn), 1e-300)
        pull = (weights * turn[:, None] * edges).ravel()
        wanted = np.stack([np.bincount(there, part, len(flat)) - np.bincount(here, part, len(flat)) + fixed * at
                           for part, at in ((pull.real, flat.real), (pull.imag, flat.imag))], axis=1)
        flat = solver.solve(wanted) @ [1, 1j]
    for rings, rim_stays in PRESSED:
        shape = flat[corners]
        folded = (np.conj(shape[:, 1] - shape[:, 0]) * (shape[:, 2] - shape[:, 0])).imag <= 0
        if not folded.any():
            break
        flat = _pressed(flat, corners, folded, rings, rim_stays)
    return np.stack([flat.real, flat.imag], axis=1), corners


def _pressed(flat, corners, folded, rings, rim_stays):
    """Places (T,) complex in which those inside of `folded` faces (F,) bool, and of `rings` around them, are the means of
    their neighbors' (Tutte 1963): what juts out is pressed flat where it stands."""
    here, there = corners.ravel(), np.roll(corners, -1, axis=1).ravel()
    edges = csr_array((np.ones(len(here)), (here, there)), shape=(len(flat),) * 2)
    for _ in range(rings):
        touched = np.zeros(len(flat), bool)
        touched[corners[folded]] = True
        folded = touched[corners].any(axis=1)
    stays = np.zeros(len(flat), bool)
    stays[corners[~folded]] = True
    if rim_stays:
        stays[np.concatenate((edges - edges.T).nonzero())] = True  # on an edge of one face
    free = np.flatnonzero(~stays)
    if not len(free):
        return flat
    near = (edges + edges.T)[free]
    system = diags_array(near.sum(axis=1) + 1e-9) - near[:, free]  # a little more: a chart that is free as a whole
    pull = near @ np.where(stays, flat, 0)
    pressed = flat.copy()
    pressed[free] = splu(system.tocsc()).solve(np.stack([pull.real, pull.imag], axis=1)) @ [1, 1j]
    return pressed


def own_plane(triangles: np.ndarray) -> np.ndarray:
    """(F, 3) complex: corners of triangles (F, 3, 3) in their own plane, counter-clockwise, the first at 0."""
    one, two = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    length = np.maximum(np.linalg.norm(one, axis=1), 1e-300)
    along = np.einsum("fj,fj->f", one, two) / length
    away = np.linalg.norm(np.cross(one, two), axis=1) / length
    return np.stack([np.zeros(len(one)), length, along + 1j * away], axis=1)


def stretches(flat: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much longer than on the surface lengths in a face are, at most and at least.

    Args:
        flat: (F, 3, 2) float, corners in the plane; triangles: (F, 3, 3) float, on the surface.
    Returns:
        most, least: (F,) float64, the least below 0 where a face is turned over; NaN where it has no area.
    """
    # A linear map of the plane is z -> p z + q conj(z), with singular values |p| + |q| and |p| - |q|
    laid = flat[..., 0] + 1j * flat[..., 1]
    (a, b), (c, d) = ((shape[:, 1] - shape[:, 0], shape[:, 2] - shape[:, 0]) for shape in (own_plane(triangles), laid))
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = a * np.conj(b) - np.conj(a) * b
        p, q = (c * np.conj(b) - d * np.conj(a)) / cross, (d * a - c * b) / cross
        return np.abs(p) + np.abs(q), np.abs(p) - np.abs(q)
