"""Laying a reconstruction on its reference before it is judged, where images cannot tell the frame exactly.

Photographs fix the common frame only to a degree or so: the names of the views do not say more. What a reconstruction of
photographs is judged by is its shape, so a small rigid motion and scale is allowed first, the same for every method.
"""
from dataclasses import dataclass

import numpy as np

from utils.evaluation.metrics import visible_samples
from utils.mesh.mesh import Mesh, plain_mesh
from utils.rendering.cameras import rotation_matrix

NUM_POINTS = 6000  # on either surface
KEPT = 0.9  # fraction of the points, those nearest to the other surface: parts that are wrong do not pull
MOST_STEPS = 40
CONVERGED = 1e-5  # normalized units; a step that moves every point by less is the last


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation @ x + translation: rotation (3, 3) float64, scale float, translation (3,) float64."""

    rotation: np.ndarray
    scale: float
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points moved."""
        return self.scale * (points @ self.rotation.T) + self.translation


def align_similarity(vertices: np.ndarray, faces: np.ndarray, reference: Mesh,
                     reference_samples: tuple | None = None) -> tuple[np.ndarray, Similarity]:
    """Rotation, translation and scale that lay a mesh on another near it.

    Point-to-plane ICP (Chen and Medioni 1992) from the identity with a scale, over pairs from each surface to the other,
    the nearest KEPT of either; only what can be seen from outside counts.

    Args:
        vertices: (V, 3) float; faces: (F, 3) int; the mesh to be moved.
        reference: utils.mesh.mesh.Mesh in the normalized frame.
        reference_samples: points (K, 3) and unit normals (K, 3) on it, from
            utils.evaluation.metrics.visible_samples; None: drawn here.
    Returns:
        moved: (V, 3) float64.
        similarity: Similarity that was applied; the identity where the mesh has nothing to be seen.
    """
    from scipy.spatial import cKDTree

    points, normals = (part.astype(np.float64) for part in visible_samples(plain_mesh(vertices, faces), NUM_POINTS, 0))
    true_points, true_normals = (part.astype(np.float64) for part in reference_samples or visible_samples(
        reference, NUM_POINTS, 1))
    every = max(1, len(true_points) // NUM_POINTS)
    sparse_points, _sparse_normals = true_points[::every], true_normals[::every]
    found = Similarity(np.eye(3), 1.0, np.zeros(3))
    if not len(points) or not len(true_points):
        return np.asarray(vertices, np.float64), found
    tree = cKDTree(true_points)
    for _ in range(MOST_STEPS):
        moved, turned = found.apply(points), normals @ found.rotation.T
        distance, nearest = tree.query(moved)
        kept = distance <= np.quantile(distance, KEPT)
        distance, back = cKDTree(moved).query(sparse_points)
        kept_back = distance <= np.quantile(distance, KEPT)
        # From each surface to the tangent plane of the other, at the reference's points where the reference leads
        sources = np.concatenate([moved[kept], moved[back[kept_back]]])
        targets = np.concatenate([true_points[nearest[kept]], sparse_points[kept_back]])
        planes = np.concatenate([true_normals[nearest[kept]], turned[back[kept_back]]])
        step = _step(sources, targets, planes)
        found = Similarity(step.rotation @ found.rotation, step.scale * found.scale, step.apply(found.translation))
        if np.abs(step.apply(moved) - moved).max() < CONVERGED:
            break
    return found.apply(np.asarray(vertices, np.float64)), found


def _step(sources, targets, planes):
    """The Similarity that brings points nearest to planes through other points, to first order."""
    center = sources.mean(axis=0)
    arms = sources - center
    # A planar or round object leaves motions open: those stay where they are.
    rows = np.concatenate([np.cross(arms, planes), planes, (arms * planes).sum(axis=1, keepdims=True)], axis=1)
    normal = rows.T @ rows
    solution = np.linalg.solve(normal + 1e-6 * np.trace(normal) / 7 * np.eye(7),
                               rows.T @ ((targets - sources) * planes).sum(axis=1))
    rotation, scale = rotation_matrix(solution[:3]), float(np.exp(solution[6]))
    return Similarity(rotation, scale, center + solution[3:6] - scale * (rotation @ center))
