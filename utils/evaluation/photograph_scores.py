"""What can be said of photographs whose true masks and cameras are known, beside the shape made from them.

Simulated photographs (python -m utils.photograph_dataset) lie in <folder>/input_images, their masks in <folder>/masks,
their cameras in <folder>/cameras.
"""
from pathlib import Path

import numpy as np

from config import VIEW_NAMES
from utils.io.object_files import ObjectFiles
from utils.views.six_views import read_six_views

MASK_SIZE = 320  # pixels at which masks are compared


def mask_scores(files: ObjectFiles) -> dict[str, float]:
    """How well the object was found in its six images.

    Args:
        files: object's files (id, images).
    Returns:
        mask_iou (mean intersection over union of the six masks) and worst_mask_iou (the smallest); empty where true
        masks do not lie beside the images.
    """
    paths = {view: _beside(files, "masks") / f"{files.id}_{view}.png" for view in VIEW_NAMES}
    if not all(path.is_file() for path in paths.values()):
        return {}
    found = read_six_views(files.images, MASK_SIZE, files.id).masks >= 0.5
    true = read_six_views(files.images, MASK_SIZE, files.id, masks=paths).masks >= 0.5
    overlaps = (found & true).sum((1, 2)) / np.maximum((found | true).sum((1, 2)), 1)
    return {"mask_iou": float(overlaps.mean()), "worst_mask_iou": float(overlaps.min())}


def camera_scores(files: ObjectFiles, cameras: dict | None) -> dict[str, float]:
    """How far the cameras that a reconstruction found are from the true ones.

    The six are known up to a common motion, so the rotation that best brings all of them together is taken out first.

    Args:
        files: object's files.
        cameras: {view: camera with basis (3, 3) and inverse_distance} that were found, or None.
    Returns:
        camera_tilt_deg (mean angle) and camera_closeness (mean difference of 1 / distance); empty where none were found
        or the true ones do not lie beside the images.
    """
    path = _beside(files, "cameras") / f"{files.id}.json"
    if not cameras or not path.is_file():
        return {}
    from utils.photograph_dataset import read_cameras

    true = read_cameras(path)
    views = [view for view in true if view in cameras]
    tilts = rotation_differences_deg(np.stack([cameras[view].basis for view in views]),
                                     np.stack([true[view].basis for view in views]))
    closeness = [abs(cameras[view].inverse_distance - true[view].inverse_distance) for view in views]
    return {"camera_tilt_deg": float(tilts.mean()), "camera_closeness": float(np.mean(closeness))}


def rotation_differences_deg(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Angles between bases (S, 3, 3), rows being axes, once the rotation common to all is taken out: (S,) degrees."""
    turns = found.swapaxes(1, 2) @ true  # of the world, as each camera sees it
    left, _, right = np.linalg.svd(turns.sum(axis=0))  # the nearest rotation to their mean (Moakher 2002)
    common = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    cosine = (np.einsum("sij,ij->s", turns, common) - 1) / 2
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


def _beside(files, name) -> Path:
    """The folder of that name beside the folder of an object's images."""
    return Path(files.images[VIEW_NAMES[0]]).parent.parent / name
