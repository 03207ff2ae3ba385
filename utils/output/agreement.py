"""How well a result shows what its pictures show: whether to trust it, without knowing the truth."""
import numpy as np

from config import VIEW_NAMES
from utils.evaluation.metrics import psnr
from utils.rendering.rasterizer import over_white


def view_agreement(drawn: dict, images: np.ndarray, masks: np.ndarray) -> dict:
    """Compare a mesh, drawn from the cameras of its pictures, with those pictures.

    Args:
        drawn: {view name: (H, H, 4) uint8 RGBA}, unlit, for the views that there are.
        images: (6, H, H, 3) float in [0, 1], over white, in VIEW_NAMES order; masks: (6, H, H) float in [0, 1].
    Returns:
        {view name: dict}: outline_mean_px and outline_95_px, mean and 95 % quantile of the distances between the two
        outlines, both ways, in pixels of these images; psnr_db over the union of the two silhouettes.
    """
    result = {}
    for name, mine in drawn.items():
        image, mask = images[VIEW_NAMES.index(name)], masks[VIEW_NAMES.index(name)]
        distances = outline_distances(mine[..., 3] / 255.0, mask)
        union = (mine[..., 3] >= 128) | (mask >= 0.5)
        given = np.round(255 * image).astype(np.uint8)
        result[name] = {"outline_mean_px": float(distances.mean()), "outline_95_px": float(np.quantile(distances, 0.95)),
                        "psnr_db": float(psnr(over_white(mine)[union], given[union]))}
    return result


def mean_agreement(views: dict) -> dict:
    """The plain mean over views of each figure of `view_agreement`."""
    return {key: float(np.mean([view[key] for view in views.values()]))
            for key in ("outline_mean_px", "outline_95_px", "psnr_db")}


def outline_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances from each point of either outline to the other outline.

    Args:
        one, other: (H, H) float in [0, 1], coverage; an outline is where it is one half.
    Returns:
        (K,) float64 pixels; the image's edge alone where one of them has no outline.
    """
    from scipy.spatial import cKDTree
    from skimage.measure import find_contours

    # A background pixel all around: an object cut off by the image has an outline there too
    outlines = [find_contours(np.pad(np.asarray(mask, np.float64), 1), 0.5) for mask in (one, other)]
    if not all(outlines):
        return np.array([float(len(one))])
    points = [np.concatenate(outline) for outline in outlines]
    return np.concatenate([cKDTree(points[1]).query(points[0])[0], cKDTree(points[0]).query(points[1])[0]])
