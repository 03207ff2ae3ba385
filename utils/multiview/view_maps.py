"""What each of the framed images knows of every line of sight, as maps of one small size.

Color and coverage are the image's own; the distance to the silhouette's boundary and where the line enters and leaves
the visual hull are measured from all six masks together. A point of space is described by reading these maps where it projects.
"""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from config import VIEW_NAMES
from utils.multiview.visual_hull import are_named, hull_box, hull_on_grid, silhouette_sdf
from utils.rendering.cameras import OPPOSITE_VIEWS, ORTHOGRAPHIC, VIEW_BASES, VIEW_EXTENT, Camera, pixel_rays

MAP_SIZE = 128  # pixels per edge of the maps; the images are read at twice that
CHANNELS = ("red", "green", "blue", "alpha", "edge", "entry", "exit")


def view_maps(images: np.ndarray, masks: np.ndarray, distances: np.ndarray | None = None,
              cameras: Sequence[Camera] = ORTHOGRAPHIC) -> tuple[np.ndarray, np.ndarray]:
    """Maps of framed images.

    Args:
        images: (S, 2 * MAP_SIZE, 2 * MAP_SIZE, 3) float32 sRGB in [0, 1] over white, in the order of `cameras`.
        masks: (S, 2 * MAP_SIZE, 2 * MAP_SIZE) float32 coverage in [0, 1].
        distances: `silhouette_sdf(masks)` where the caller has them already: they are most of the work here.
        cameras: S Camera.
    Returns:
        maps: (S, 7, MAP_SIZE, MAP_SIZE) float32, channels as in CHANNELS: color; coverage; signed distance to the
            boundary (positive inside), where the image spans 2 * VIEW_EXTENT; depth at which the line of sight enters
            the hull, along the axis towards the camera; minus the depth at which it leaves. Both depths are 0 where the
            line misses the hull.
        box: (2, 3) float32, lower and upper corner of the hull.
    """
    if distances is None:
        distances = silhouette_sdf(masks)
    box = hull_box(distances, cameras)
    maps = np.zeros((len(masks), len(CHANNELS), MAP_SIZE, MAP_SIZE), np.float32)
    maps[:, :3] = np.moveaxis(_halved(images), -1, 1)
    maps[:, 3] = _halved(masks)
    maps[:, 4] = _halved(distances)
    if are_named(cameras):
        centers = (np.arange(MAP_SIZE) + 0.5) / MAP_SIZE * 2 * VIEW_EXTENT - VIEW_EXTENT
        hull = hull_on_grid(maps[:, 4], [centers] * 3)
        for number, name in enumerate(VIEW_NAMES):
            maps[number, 5], maps[number, 6] = _entry_and_exit(_seen_from(hull, VIEW_BASES[name]), centers)
    else:
        step = 2 * VIEW_EXTENT / MAP_SIZE  # a plane on each side of the box, so that every line starts outside the hull
        counts = np.ceil((box[1] - box[0]) / step).astype(int) + 4
        axes = [(low + high) / 2 + (np.arange(count) - (count - 1) / 2) * step for low, high, count in zip(*box, counts)]
        hull = hull_on_grid(maps[:, 4], axes, cameras)
        for each, camera in zip(maps, cameras):
            each[5], each[6] = _entry_and_exit_along_rays(hull, axes, camera, each[4])
    return maps, box.astype(np.float32)


class SeenViews(NamedTuple):
    """Views as the network takes them, S of them; where `measured` is False the opposite's silhouette stands in.

    images: (S, H, H, 3); masks: (S, H, H); distances: (S, H, H); cameras: S Camera;
    measured: (S,) bool, or None if all are.
    """

    images: np.ndarray
    masks: np.ndarray
    distances: np.ndarray
    cameras: Sequence[Camera]
    measured: np.ndarray | None


def seen_by_network(images: np.ndarray, masks: np.ndarray, distances: np.ndarray, cameras: Sequence[Camera],
                    present: np.ndarray) -> SeenViews:
    """The views that were taken, with mirrored silhouettes in the place of missing ones whose opposites are there.

    Args:
        images, masks, distances: of the present views, in VIEW_NAMES order.
        cameras: of the present views.
        present: (6,) bool.
    Returns:
        SeenViews, the present views first.
    """
    if present.all():
        return SeenViews(images, masks, distances, cameras, None)
    names = [name for name, there in zip(VIEW_NAMES, present) if there]
    parts = [list(images), list(masks), list(distances), list(cameras)]
    for one, other, _ in OPPOSITE_VIEWS:
        if (one in names) != (other in names):
            view = one if one in names else other
            number = names.index(view)
            camera, mask, distance = mirrored_view(cameras[number], view, masks[number], distances[number])
            for part, value in zip(parts, (np.ones_like(images[0]), mask, distance, camera)):
                part.append(value)
    measured = np.arange(len(parts[0])) < len(names)
    return SeenViews(np.stack(parts[0]), np.stack(parts[1]), np.stack(parts[2]), parts[3], measured)


def mirrored_view(camera: Camera, view: str, *arrays: np.ndarray) -> tuple:
    """What stands in for a missing view: the silhouette of its opposite, seen along the same rays from behind.

    In perspective no camera behind the object sees that silhouette. Behind the object the rays run together again, so the
    stand-in's inverse distance is negative: what it says of a point is exactly what its opposite says, and no more.

    Args:
        camera: Camera of the view that is there.
        view: its name in VIEW_NAMES.
        arrays: images or masks of it, (H, H, ...).
    Returns:
        the stand-in's Camera, then the arrays mirrored left to right (top and bottom: upside down).
    """
    flip = 0 if view in ("top", "bottom") else 1
    across, down = (1, -1) if flip == 0 else (-1, 1)  # what becomes of image coordinates
    basis = camera.basis * np.array([[across], [down], [-1]])
    stand_in = Camera(basis, -camera.inverse_distance, camera.scale, camera.shift * (across, down))
    return (stand_in, *(np.flip(array, flip) for array in arrays))


def _entry_and_exit_along_rays(hull, axes, camera, edge):
    """`_entry_and_exit` of any camera: depths along the pixels' own lines of sight.

    Args:
        hull: (X, Y, Z) float32, signed distances that are negative at the grid's sides; axes: its planes, cubic cells.
        camera: Camera; edge: (H, H), signed distance to its silhouette, outside which nothing is looked for.
    Returns:
        entry, leave: (H, H) float32.
    """
    import torch
    import torch.nn.functional as F

    rows, columns = np.nonzero(edge > -2 * VIEW_EXTENT / len(edge))
    entry, leave = np.zeros_like(edge), np.zeros_like(edge)
    corners = np.stack(np.meshgrid(*[(axis[0], axis[-1]) for axis in axes]), axis=-1).reshape(-1, 3) @ camera.basis[2]
    step = axes[0][1] - axes[0][0]
    depths = np.arange(corners.min(), corners.max() + step, step)
    if not len(rows):
        return entry, leave
    origins, directions = pixel_rays(camera, (np.stack([columns, rows], axis=1) + 0.5) * 2 / len(edge) - 1)
    middle = np.array([(axis[0] + axis[-1]) / 2 for axis in axes])
    half = np.array([(axis[-1] - axis[0]) / 2 for axis in axes])
    start = torch.from_numpy(((origins - middle) / half)[:, ::-1].astype(np.float32).copy())  # grid_sample: z, y, x
    change = torch.from_numpy((directions / half)[:, ::-1].astype(np.float32).copy())
    places = start[:, None] + torch.from_numpy(depths.astype(np.float32))[:, None] * change[:, None]
    values = F.grid_sample(torch.from_numpy(hull)[None, None], places[None, None], padding_mode="border",
                           align_corners=True)[0, 0, 0].numpy()
    entry[rows, columns], leave[rows, columns] = _first_and_last(values, depths)
    return entry, leave


def _first_and_last(values, depths):
    """Largest and minus the smallest depth at which lines of values (K, D) cross 0; 0 where they stay below."""
    inside, ends = values > 0, []
    hit, step = inside.any(axis=1), depths[1] - depths[0]
    for line, solid, at in ((values[:, ::-1], inside[:, ::-1], depths[::-1]), (values, inside, -depths)):
        first = solid.argmax(axis=1)
        here, before = (np.take_along_axis(line, (first - shift).clip(0)[:, None], axis=1)[:, 0] for shift in (0, 1))
        share = np.clip(here / np.maximum(here - before, 1e-6), 0, 1)
        ends.append(np.where(hit, at[first] + share * step, 0))
    return ends


def _halved(images):
    """(S, 2H, 2H, ...) -> (S, H, H, ...), the mean of each four pixels."""
    return (images[:, ::2, ::2] + images[:, 1::2, ::2] + images[:, ::2, 1::2] + images[:, 1::2, 1::2]) / 4


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
