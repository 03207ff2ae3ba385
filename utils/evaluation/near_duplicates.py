"""Near duplicates across the split: a held-out object that stands in the training set under another name.

Scans of one product in two sizes, a left and a right shoe, a mesh saved twice: a network that remembers does well on
such an object without having learned anything.
"""
import sys
from pathlib import Path

import numpy as np

from config import UserError, counted
from utils.mesh.symmetry import standing_symmetries

SHAPE_DISTANCE = 0.02  # cd_l1 below which two meshes are called near duplicates: 1 % of the longest edge
IMAGE_DISTANCE = 0.05  # root mean square color difference, sRGB in [0, 1], below which six images are
NUM_POINTS = 8192  # of each surface; two samplings of one surface then lie about 0.01 apart
CELLS = 8  # per edge of the grid whose filling describes a shape
THUMBNAIL = 16  # pixels per edge of the images that are compared
CANDIDATES = 5  # training objects that are looked at closely for each held-out one


def shape_descriptor(points: np.ndarray) -> np.ndarray:
    """(CELLS**3,) float32 unit vector: the square root of the fraction of points (K, 3) in each cell of a grid."""
    cell = ((points + 1) * CELLS / 2).astype(int).clip(0, CELLS - 1)
    share = np.bincount(np.ravel_multi_index(cell.T, (CELLS,) * 3), minlength=CELLS**3) / len(points)
    return np.sqrt(share).astype(np.float32)


def similar_shapes(train: dict[str, np.ndarray], held_out: dict[str, np.ndarray],
                   threshold: float = SHAPE_DISTANCE) -> list[tuple[float, str, str]]:
    """Pairs of nearly equal surfaces, whichever way they are turned or mirrored.

    A coarse descriptor picks a few candidates by one matrix product; only those are compared by their points.

    Args:
        train, held_out: {id: (K, 3) float points on the surface in the normalized frame}.
        threshold: cd_l1, normalized units.
    Returns:
        list of (distance, held-out id, training id), nearest first.
    """
    from scipy.spatial import cKDTree

    if not train or not held_out:
        return []
    ids, pairs = list(train), []
    known = np.stack([shape_descriptor(train[name]) for name in ids])
    for name, points in held_out.items():
        placed = [points @ rotation.T for rotation in standing_symmetries()]
        likeness = known @ np.stack([shape_descriptor(one) for one in placed]).T  # (T, 8)
        for index in np.argsort(-likeness.max(1), kind="stable")[:CANDIDATES]:
            mine, other = placed[int(likeness[index].argmax())], train[ids[index]]
            distance = (cKDTree(other).query(mine)[0].mean() + cKDTree(mine).query(other)[0].mean()) / 2
            if distance < threshold:
                pairs.append((float(distance), name, ids[index]))
    return sorted(pairs)


def small_images(images: np.ndarray) -> np.ndarray:
    """Block means of (6, E, E, 3) uint8 images, E a multiple of THUMBNAIL: (6, THUMBNAIL, THUMBNAIL, 3) float32."""
    block = images.shape[1] // THUMBNAIL
    return images.reshape(6, THUMBNAIL, block, THUMBNAIL, block, 3).mean(axis=(2, 4), dtype=np.float32) / 255


def similar_images(train: dict[str, np.ndarray], held_out: dict[str, np.ndarray],
                   threshold: float = IMAGE_DISTANCE) -> list[tuple[float, str, str]]:
    """Pairs of objects whose six images are nearly equal.

    Args:
        train, held_out: {id: (6, E, E, 3) float32 from `small_images`, white where nothing is}.
        threshold: root mean square difference over what is not white in both.
    Returns:
        list of (distance, held-out id, training id), nearest first.
    """
    if not train or not held_out:
        return []
    ids, pairs = list(train), []
    known = np.stack([train[name].ravel() for name in ids])
    squared = (known**2).sum(1)
    for name, images in held_out.items():
        for index in np.argsort(squared - 2 * known @ images.ravel(), kind="stable")[:CANDIDATES]:
            other = train[ids[index]]
            drawn = (np.minimum(images, other) < 0.99).any(-1)
            distance = np.sqrt(((images - other)[drawn]**2).mean()) if drawn.any() else 0.0
            if distance < threshold:
                pairs.append((float(distance), name, ids[index]))
    return sorted(pairs)


def check_leaks(train: list, held_out: list, cache_dir: str | Path) -> int:
    """Print pairs of near duplicates across a split.

    Args:
        train, held_out: lists of objects' files (id, mesh, images).
        cache_dir: folder of small copies of the images.
    Returns:
        number of pairs.
    """
    from utils.evaluation.baselines import THUMBNAIL_SIZE

    sides = [describe(side, cache_dir) for side in (train, held_out)]
    (points, images), (held_points, held_images) = sides
    found = [("meshes", SHAPE_DISTANCE, similar_shapes(points, held_points)),
             ("images", IMAGE_DISTANCE, similar_images(images, held_images))]
    for what, threshold, pairs in found:
        print(f"{counted(len(pairs), 'pair')} of held-out and training {what} nearer than {threshold} (" + (
            "cd_l1, over quarter turns and mirror images" if what == "meshes" else
            f"color difference of {THUMBNAIL_SIZE // 4} px images, sRGB in [0, 1]") + ")")
        for distance, name, other in pairs:
            print(f"  {distance:.4f}  held out {name}  training {other}")
    return sum(len(pairs) for _, _, pairs in found)


def describe(objects: list, cache_dir: str | Path) -> tuple[dict, dict]:
    """What near duplicates are found by: {id: points (NUM_POINTS, 3)} and {id: small images}.

    What cannot be read is printed and left out.
    """
    from tqdm import tqdm

    from utils.evaluation.baselines import thumbnail, true_mesh
    from utils.mesh.mesh import sample_surface

    points, images = {}, {}
    for files in tqdm(objects, desc="reading objects", unit="object", leave=False, disable=None):
        try:
            small = small_images(thumbnail(files, cache_dir).images)
            points[files.id] = sample_surface(true_mesh(files), NUM_POINTS, np.random.default_rng(0))[0]
            images[files.id] = small
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
    return points, images
