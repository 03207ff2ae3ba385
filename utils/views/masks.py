"""Which pixels of an image show the object, where the image does not say: from its border, a mask file, or rembg."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import UserError
from utils.views.view_consistency import common_scale, mask_boxes

PLAIN_SHARE = 0.85  # of the border's pixels must have its color, else the background is not plain
SAME_COLOR = 4  # of 255: how far a hole's median color may be from the border's, beside the border's own spread
SMALLEST_HOLE = 0.0005  # fraction of the object's area
SEEN_THROUGH = 0.8  # fraction of a hole that must be open in the opposite view too
MIXING_REACH = 4  # pixels from a silhouette's boundary to the nearest pixel that is all object
LEAST_CONTRAST = 25  # of 255: color difference from the background below which mixing cannot be told
COVERED_BORDER = 0.9  # fraction of an image's border in a mask from which it looks inverted
BOX_TOLERANCE = 0.01  # by which edges of six views may differ and still be those of one box
NO_BOX = 0.03  # from which they are not
ASPECT_TOLERANCE = 0.02  # by which a mask's width / height may differ from its image's


@dataclass
class BorderMask:
    """The object in front of a plain background.

    mask: (H, W) bool, the object with all holes filled.
    holes: (H, W) int32, numbers the regions inside the object that have exactly the background's color; 0 elsewhere.
    plain: float in [0, 1], fraction of the border that has the background's color.
    color: (3,) int16, the background's color; of a photograph (H, W, 3) float32, that at each pixel; None for a given mask.
    """

    mask: np.ndarray
    holes: np.ndarray
    plain: float
    color: np.ndarray = None


def mask_from_border(rgb: np.ndarray) -> BorderMask:
    """The object in an image with a plain background.

    Background is what has the border's median color and is connected to the border, so white parts inside the
    object stay. Regions inside that look like background are listed as possible holes: `open_holes` decides.

    Args:
        rgb: (H, W, 3) uint8.
    Returns:
        BorderMask.
    """
    from scipy import ndimage

    ring = max(1, min(rgb.shape[:2]) // 100)
    inner = np.zeros(rgb.shape[:2], bool)
    inner[ring:-ring, ring:-ring] = True
    border = rgb[~inner].astype(np.int16)
    color = np.median(border, axis=0).astype(np.int16)
    # JPEG noise around an object on white reaches 10; an uneven background adds its own spread.
    spread = np.median(np.abs(border - color).max(1))
    tolerance = np.clip(10 + 4 * spread, 10, 48)
    similar = (np.abs(rgb - color) <= tolerance).all(-1)
    labels, count = ndimage.label(similar)  # 4-connected: background must not leak through a diagonal line
    outside = np.zeros(count + 1, bool)
    outside[np.unique(labels[~inner])] = True
    outside[0] = False
    mask = ~outside[labels]
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    mask = (sizes >= max(4, sizes.max() / 200))[parts]  # without specks of noise or dust, beside the object
    holes = _holes_like(color, SAME_COLOR + spread, rgb, np.where(mask, labels, 0), SMALLEST_HOLE * mask.sum())
    return BorderMask(mask, holes, float(similar[~inner].mean()), color)


def _holes_like(color, tolerance, rgb, labels, smallest):
    """`labels` without the regions that are small, or whose median color is not that of the background."""
    from scipy import ndimage

    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = sizes >= max(4, smallest)
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        if kept[number]:
            region = rgb[place][labels[place] == number]
            kept[number] = np.abs(np.median(region, axis=0) - color).max() <= tolerance
    return np.where(kept[labels], labels, 0)


def open_holes(view: BorderMask, other: BorderMask, axis: int, reach: float | None = None) -> np.ndarray:
    """The mask of a view with those holes open through which the opposite view sees the background too.

    White paint and a hole look alike from one side. A hole is open from both: at the mirrored place the other view has one
    too, or looks past the object altogether.

    Args:
        view: BorderMask.
        other: BorderMask of the opposite view, of any size and scale.
        axis: of an (H, W) image along which the two are mirrored.
        reach: how far, as a fraction of the object's longer edge, a hole may be from its mirror image, as perspective and
            tilt move it; None for exact views, whose pixels are rounded at most.
    Returns:
        (H, W) bool.
    """
    from PIL import Image
    from scipy import ndimage

    if not view.holes.any() or not other.mask.any():
        return view.mask
    here, there = (tuple(slice(hits[0], hits[-1] + 1) for hits in (np.flatnonzero(one.mask.any(1)),
                                                                    np.flatnonzero(one.mask.any(0))))
                   for one in (view, other))
    height, width = view.mask[here].shape
    holes, beside = (np.asarray(Image.fromarray(np.flip(area[there], axis)).resize((width, height)))
                     for area in (other.holes > 0, ~other.mask))
    seen = np.zeros(view.mask.shape, bool)
    seen[here] = beside | ndimage.binary_dilation(holes, np.ones((3, 3)),
                                                  max(1, round(max(height, width) * (reach or 0.005))))
    sizes = np.maximum(np.bincount(view.holes.ravel()), 1)
    is_open = np.bincount(view.holes.ravel(), seen.ravel()) >= SEEN_THROUGH * sizes
    is_open[0] = False
    return view.mask & ~is_open[view.holes]


def soft_edges(rgb: np.ndarray, mask: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage of boundary pixels, which mix object and background, and their color without the latter.

    A mixed pixel lies on the line between the background's color and that of the nearest pixel well inside the object:
    its place on it is its coverage (the compositing equation, Porter and Duff 1984). A hard mask takes all of them for
    the object, which makes it wider by most of a pixel at each side.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool, holds every pixel that the object touches.
        background: (3,) color of the background.
    Returns:
        rgb: (H, W, 3) uint8, mixed pixels in the object's color; mask: (H, W) uint8.
    """
    from scipy import ndimage

    alpha = np.where(mask, 255, 0).astype(np.uint8)
    inside = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=2, border_value=1)
    edge = np.flatnonzero(mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1))
    if not inside.any() or not len(edge):
        return rgb, alpha
    distance, (row, column) = ndimage.distance_transform_edt(~inside, return_indices=True)
    width = mask.shape[1]
    source = row.ravel()[edge] * width + column.ravel()[edge]
    background = np.asarray(background, np.float32)
    pure = rgb.reshape(-1, 3)[source].astype(np.float32)
    contrast = pure - background
    strength = (contrast**2).sum(1)
    share = ((rgb.reshape(-1, 3)[edge] - background) * contrast).sum(1) / np.maximum(strength, 1e-6)
    # A thin part has no inside near by, and a pale object too little contrast: there the hard mask stays
    known = (distance.ravel()[edge] < MIXING_REACH) & (strength > LEAST_CONTRAST**2) & (share < 1)
    rgb = rgb.copy()
    rgb.reshape(-1, 3)[edge[known]] = np.round(pure[known]).astype(np.uint8)
    alpha.ravel()[edge[known]] = np.round(255 * share[known].clip(0, 1)).astype(np.uint8)
    return rgb, alpha


def holes_of(mask: np.ndarray) -> BorderMask:
    """A given mask, (H, W) uint8, as a BorderMask whose holes are all open."""
    from scipy import ndimage

    solid = mask >= 128
    filled = ndimage.binary_fill_holes(solid)
    return BorderMask(filled, (filled & ~solid).astype(np.int32), 1.0)


def fit_mask(mask: np.ndarray, size: tuple[int, int], path: str | Path, view: str) -> np.ndarray:
    """A mask file's values at the size of its image: equal proportions, resized smoothly if need be.

    Args:
        mask: (H, W) uint8, bright on the object.
        size: (height, width) of the image, turned upright.
        path, view: for messages.
    Returns:
        (height, width) uint8.
    Raises:
        UserError: the proportions differ, or nothing is bright.
    """
    from PIL import Image

    height, width = size
    if abs(mask.shape[1] / mask.shape[0] * height / width - 1) > ASPECT_TOLERANCE:
        raise UserError(f"{path}: the mask of the {view} view is {mask.shape[1]} x {mask.shape[0]} pixels, its image "
                        f"{width} x {height} (turned upright): make both of one shape")
    if mask.max() < 128:
        raise UserError(f"{path}: the mask of the {view} view is empty: the object must be white (or opaque)")
    if mask.shape == (height, width):
        return mask
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR))


def covers_border(mask: np.ndarray) -> bool:
    """Whether a mask, (H, W) uint8, holds nearly all of its image's border, as an inverted one does."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return bool((border >= 128).mean() >= COVERED_BORDER)


def fills_its_images(masks: Sequence[np.ndarray]) -> bool:
    """Whether six images were cut to the object, so that their border shows it and not a background.

    Then the images' own edges are those of a box, while what differs from their border (print, a label) is not.

    Args:
        masks: six (H, W) bool in VIEW_NAMES order, from `mask_from_border`.
    Returns:
        bool; False wherever there is doubt, as for six squares.
    """
    sizes = np.array([mask.shape[::-1] for mask in masks], float)
    if np.ptp(sizes[:, 0] / sizes[:, 1]) < BOX_TOLERANCE:  # views of one shape say nothing of a box
        return False
    found = mask_boxes(np.stack([np.pad(mask, ((0, int(sizes.max()) - mask.shape[0]), (0, int(sizes.max()) - mask.shape[1])))
                                 for mask in masks]).astype(np.float32))[1]
    return bool(common_scale(sizes)[2].max() < BOX_TOLERANCE < NO_BOX < common_scale(found)[2].max())

