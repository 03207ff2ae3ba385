"""How near a reconstruction is to its object: surfaces by samples, colors and silhouettes by images.

Both meshes lie in the frame of the reference (its box centerd, its longest edge 2), and nothing is aligned: a shape in
the wrong place or of the wrong size is wrong. Surfaces that cannot be seen from outside do not count, on either side,
so neither the lining of a scanned shoe nor the inner walls of a game model cost anything.
"""
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from utils.evaluation.mesh_topology import topology
from utils.mesh.mesh import Mesh, sample_surface
from utils.rendering.cameras import NOVEL_ANGLES_DEG, VIEW_EXTENT, camera_basis
from utils.rendering.depth_maps import DepthMap, fitted_depth_maps, is_visible
from utils.rendering.rasterizer import over_white, render, render_views

NUM_SAMPLES = 20000  # points on either surface
THRESHOLDS = (0.02, 0.04, 0.1)  # normalized units at which F-scores are taken: 1, 2 and 5 % of the longest edge
DEPTH_SIZE = 512  # pixels; edge of the depth images that say what is visible
EQUAL_PSNR = 100.0  # dB; stands for images without any difference
# From a grid cell to its 26 neighbors.
DIRECTIONS = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)], float)


@dataclass
class GroundTruth:
    """What the reconstructions of one object are compared with, worked out once.

    samples: from `visible_samples`; images and scale: from `evaluation_renders` and `oblique_scale`.
    num_samples, image_size: what a reconstruction is to be judged with as well.
    handles: genus of the object, 0 where its mesh is not watertight and therefore does not tell.
    watertight: whether it is.
    """

    samples: tuple
    images: dict
    scale: float
    num_samples: int
    image_size: int
    handles: int = 0
    watertight: bool = False


def make_ground_truth(mesh: Mesh, num_samples: int = NUM_SAMPLES, image_size: int = 256) -> GroundTruth:
    """The GroundTruth of an object's own mesh, a utils.mesh.mesh.Mesh in the normalized frame."""
    scale, shape = oblique_scale(mesh), topology(mesh.vertices, mesh.faces)
    return GroundTruth(visible_samples(mesh, num_samples, [0, 0]), evaluation_renders(mesh, image_size, scale), scale,
                       num_samples, image_size, shape.handles if shape.watertight else 0, shape.watertight)


def evaluate_mesh(mesh: Mesh, truth: GroundTruth,
                  perceptual: Callable | None = None) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """All scores of one reconstruction.

    Args:
        mesh: utils.mesh.mesh.Mesh in the normalized frame, colored.
        truth: GroundTruth.
        perceptual: from `lpips_distance`, or None.
    Returns:
        scores: {metric: float} as in `surface_scores`, those of `image_scores` with _novel and _input appended, and
            those of `topology_scores`;
        images: the reconstruction's own, as from `evaluation_renders`.
    """
    # Other draws than the truth's: a surface judged against itself gives the floor, not zero.
    scores = surface_scores(visible_samples(mesh, truth.num_samples, [0, 1]), truth.samples)
    images = evaluation_renders(mesh, truth.image_size, truth.scale)
    for cameras, drawn in images.items():
        compared = image_scores(drawn, truth.images[cameras], perceptual)
        scores |= {f"{name}_{cameras}": value for name, value in compared.items()}
    return scores | topology_scores(mesh, truth), images


def topology_scores(mesh: Mesh, truth: GroundTruth) -> dict[str, float]:
    """Handles that a reconstruction has beyond its object's: a wall torn into lace has many.

    Args:
        mesh: utils.mesh.mesh.Mesh.
        truth: GroundTruth.
    Returns:
        dict of float: handles (too many, 0 at least), no_handles (1 where there are none too many, else 0), parts,
        watertight (1 or 0), reference_watertight (1 or 0; where 0, its handles are not known and taken as 0).
    """
    shape = topology(mesh.vertices, mesh.faces)
    extra = max(0, shape.handles - truth.handles)
    return {"handles": float(extra), "no_handles": float(extra == 0), "parts": float(shape.parts),
            "watertight": float(shape.watertight), "reference_watertight": float(truth.watertight)}


def visible_samples(mesh: Mesh, count: int, seed: int | list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Points spread evenly by area over the part of a surface that can be seen from outside.

    Args:
        mesh: utils.mesh.mesh.Mesh with at least one face that has area.
        count: number of points aimed at; a little more or less where part of the surface is hidden.
        seed: int or list of int.
    Returns:
        points (K, 3) and unit face normals (K, 3), float32.
    """
    rng, maps = np.random.default_rng(seed), depth_maps(mesh)
    points, normals, _ = sample_surface(mesh, count, rng)
    seen = is_visible(points, normals, maps)
    if not seen.all():  # as dense on what is visible as if nothing were hidden
        points, normals, _ = sample_surface(mesh, round(count / max(seen.mean(), 1 / count)), rng)
        seen = is_visible(points, normals, maps)
    return points[seen], normals[seen]


def depth_maps(mesh: Mesh) -> list[DepthMap]:
    """What a utils.mesh.mesh.Mesh of any size and place looks like from the 26 directions: list of DepthMap."""
    bases = [camera_basis(np.degrees(np.arctan2(x, z)), np.degrees(np.arctan2(y, np.hypot(x, z))))
             for x, y, z in DIRECTIONS]
    return fitted_depth_maps(mesh.vertices, mesh.faces, bases, DEPTH_SIZE)


def surface_scores(prediction: tuple[np.ndarray, np.ndarray], reference: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Distances between two sampled surfaces.

    F-scores as in Knapitsch et al. 2017, "Tanks and Temples", eq. 4 and 5; normal consistency as in Mescheder et al.
    2019, "Occupancy Networks", without regard to which way a face points.

    Args:
        prediction, reference: pairs of points (K, 3) and unit normals (K, 3) from `visible_samples`.
    Returns:
        dict of float: cd_l1 (half the sum of the two mean nearest distances, unsquared, normalized units);
        f_0.02, f_0.04, f_0.1 and normal, each in [0, 1], larger is better.
    """
    from scipy.spatial import cKDTree

    (points, normals), (true_points, true_normals) = prediction, reference
    forth, matched = cKDTree(true_points).query(points)
    back, matched_back = cKDTree(points).query(true_points)
    scores = {"cd_l1": float(forth.mean() + back.mean()) / 2}
    for threshold in THRESHOLDS:
        precision, recall = (forth <= threshold).mean(), (back <= threshold).mean()
        scores[f"f_{threshold:g}"] = float(2 * precision * recall / max(precision + recall, 1e-12))
    agreement = [np.abs(np.einsum("kj,kj->k", mine, other)).mean()
                 for mine, other in ((normals, true_normals[matched]), (true_normals, normals[matched_back]))]
    return scores | {"normal": float(np.mean(agreement))}


def evaluation_renders(mesh: Mesh, size: int, scale: float) -> dict[str, np.ndarray]:
    """The unlit images on which silhouettes and colors are compared.

    Args:
        mesh: utils.mesh.mesh.Mesh in the normalized frame.
        size: image edge in pixels.
        scale: by which the oblique images are made smaller, see `oblique_scale`.
    Returns:
        dict of (S, size, size, 4) uint8 RGBA: "novel" from the eight oblique cameras, "input" from the six views.
    """
    smaller = replace(mesh, vertices=mesh.vertices * scale)
    return {"novel": np.stack([render(smaller, camera_basis(*angles), size) for angles in NOVEL_ANGLES_DEG]),
            "input": np.stack(list(render_views(mesh, size).values()))}


def oblique_scale(mesh: Mesh) -> float:
    """At most 1: what keeps a mesh, whose diagonal may be longer than the frame, inside every oblique image."""
    axes = np.concatenate([camera_basis(*angles)[:2] for angles in NOVEL_ANGLES_DEG])
    used = mesh.vertices[np.unique(mesh.faces)]
    return min(1.0, 0.97 * VIEW_EXTENT / max(np.abs(used @ axes.T).max(), 1e-9))


def image_scores(prediction: np.ndarray, reference: np.ndarray, perceptual: Callable | None = None) -> dict[str, float]:
    """Compare two sets of images, camera by camera; every figure is the mean over the cameras.

    Args:
        prediction, reference: (S, H, W, 4) uint8 RGBA as from `evaluation_renders`.
        perceptual: function of two (H, W, 3) uint8 images, such as from `lpips_distance`, or None.
    Returns:
        dict of float: iou of the silhouettes (alpha of at least one half) in [0, 1]; psnr in dB over the union of the
        two silhouettes, over white, EQUAL_PSNR at most; and lpips if `perceptual` is given.
    """
    scores = {"iou": [], "psnr": []} | ({"lpips": []} if perceptual else {})
    for mine, true in zip(prediction, reference):
        solid, true_solid = mine[..., 3] >= 128, true[..., 3] >= 128
        union = solid | true_solid
        scores["iou"].append((solid & true_solid).sum() / max(union.sum(), 1))
        mine, true = over_white(mine), over_white(true)
        scores["psnr"].append(psnr(mine[union], true[union]))
        if perceptual:
            scores["lpips"].append(perceptual(mine, true))
    return {name: float(np.mean(values)) for name, values in scores.items()}


def psnr(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 arrays of one shape; EQUAL_PSNR if they are equal or empty."""
    difference = (prediction.astype(np.float64) - reference) / 255
    error = np.mean(difference**2) if difference.size else 0.0
    return min(EQUAL_PSNR, -10 * np.log10(error)) if error > 0 else EQUAL_PSNR


def lpips_distance() -> Callable[[np.ndarray, np.ndarray], float] | None:
    """LPIPS (Zhang et al. 2018) as a function of two (H, W, 3) uint8 images; None where `lpips` is not installed."""
    try:
        import lpips
    except ImportError:
        return None
    import torch

    network = lpips.LPIPS(net="alex", verbose=False)

    def distance(prediction, reference):
        pair = [torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
                for image in (prediction, reference)]
        with torch.inference_mode():
            return float(network(*pair))
    return distance
