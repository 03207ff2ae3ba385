"""What each of six framed images knows of every line of sight, as maps of one small size.

Color and coverage are the image's own; the distance to the outline and where the line enters and leaves the visual
hull are measured from all six masks together. A point of space is described by reading these maps where it projects.
"""
import numpy as np

from config import VIEW_NAMES
from utils.multiview.visual_hull import hull_box, hull_on_grid, silhouette_sdf
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT

MAP_SIZE = 128  # pixels per edge of the maps; the images are read at twice that
CHANNELS = ("red", "green", "blue", "alpha", "edge", "entry", "exit")


def view_maps(images, masks, distances=None):
    """Maps of six framed images.

    Args:
        images: (6, 2 * MAP_SIZE, 2 * MAP_SIZE, 3) float32 sRGB in [0, 1] over white, in VIEW_NAMES order.
        masks: (6, 2 * MAP_SIZE, 2 * MAP_SIZE) float32 coverage in [0, 1].
        distances: `silhouette_sdf(masks)` where the caller has them already: they are most of the work here.
    Returns:
        maps: (6, 7, MAP_SIZE, MAP_SIZE) float32, channels as in CHANNELS: color; coverage; signed distance to the
            outline (positive inside); depth at which the line of sight enters the hull, along the axis towards the
            camera; minus the depth at which it leaves. Both depths are 0 where the line misses the hull.
        box: (2, 3) float32, lower and upper corner of the hull.
    """
    if distances is None:
        distances = silhouette_sdf(masks)
    box = hull_box(distances)
    maps = np.zeros((len(VIEW_NAMES), len(CHANNELS), MAP_SIZE, MAP_SIZE), np.float32)
    maps[:, :3] = np.moveaxis(_halved(images), -1, 1)
    maps[:, 3] = _halved(masks)
    maps[:, 4] = _halved(distances)
    centers = (np.arange(MAP_SIZE) + 0.5) / MAP_SIZE * 2 * VIEW_EXTENT - VIEW_EXTENT
    hull = hull_on_grid(maps[:, 4], [centers] * 3)
    for number, name in enumerate(VIEW_NAMES):
        maps[number, 5], maps[number, 6] = _entry_and_exit(_seen_from(hull, VIEW_BASES[name]), centers)
    return maps, box.astype(np.float32)


def _halved(pictures):
    """(S, 2H, 2H, ...) -> (S, H, H, ...), the mean of each four pixels."""
    return (pictures[:, ::2, ::2] + pictures[:, 1::2, ::2] + pictures[:, ::2, 1::2] + pictures[:, 1::2, 1::2]) / 4


def _seen_from(grid, basis):
    """(X, Y, Z) grid as (row, column, depth) of an axis-aligned camera; depth grows towards the camera."""
    right, up, toward = (np.abs(row).argmax() for row in basis)
    turned = grid.transpose(up, right, toward)
    if basis[1].sum() > 0:  # rows run against image up
        turned = turned[::-1]
    if basis[0].sum() < 0:
        turned = turned[:, ::-1]
    return turned[..., ::-1] if basis[2].sum() < 0 else turned


def _entry_and_exit(hull, centers):
    """Depth at which each line enters the hull, and minus the depth at which it leaves; 0 where it misses.

    Args:
        hull: (H, W, D) signed distances, depth growing towards the camera.
        centers: (D,) depths of the grid's planes, symmetric about 0.
    """
    count, step = len(centers), centers[1] - centers[0]
    inside = hull > 0
    hit = inside.any(axis=-1)
    ends = []
    for values, solid in ((hull[..., ::-1], inside[..., ::-1]), (hull, inside)):  # from the camera, then from behind
        first = solid.argmax(axis=-1)
        here, before = (np.take_along_axis(values, np.clip(first - shift, 0, count - 1)[..., None], axis=-1)[..., 0]
                        for shift in (0, 1))
        share = np.clip(here / np.maximum(here - before, 1e-6), 0, 1)  # of a step back to where the distance is 0
        ends.append(np.where(hit, -centers[first] + share * step, 0))
    return ends
