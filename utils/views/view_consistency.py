"""Whether six views can be of one object: boxes, mirrored silhouettes, and the likely mistakes that would explain them.

Nothing here rejects images; it finds what to tell their owner.
"""
import itertools

import numpy as np

from config import VIEW_NAMES
from utils.rendering.cameras import OPPOSITE_VIEWS, VIEW_BASES, VIEW_EXTENT

TOLERANCE = 0.03  # share by which silhouettes and box edges may differ without a note
MOST_CLAUSES = 2  # that a note names; the rest is counted
UNLIKE = "the six views do not fit together"  # how notes begin to say so
GRID = 64  # cells per edge of the box in which views are compared
RIM = 12  # cells that count as the rim of a silhouette
COLOR_WEIGHT = 0.5  # of a difference of colors in [0, 1], against a fraction of a silhouette
CLEARLY = (0.012, 1.4)  # a mistake is named if it explains the views better by this much, and this many times as well
EDGE_NAMES = ("width", "height", "depth")  # of the object's box along x, y, z

# For each view the object's axis (0 x, 1 y, 2 z) that runs along the image's width and height.
VIEW_AXES = np.array([[int(np.abs(VIEW_BASES[view][row]).argmax()) for row in (0, 1)] for view in VIEW_NAMES])


def _view_hypotheses():
    """{words: {view: (the view whose image it should take, quarter turns counter-clockwise)}}."""
    pairs = [pair[:2] for pair in OPPOSITE_VIEWS]
    pairs += [pair for pair in itertools.combinations(VIEW_NAMES, 2) if pair not in pairs]
    hypotheses = {f"{one} and {other} look exchanged": {one: (other, 0), other: (one, 0)} for one, other in pairs}
    for turns, words in ((1, "a quarter turn counter-clockwise"), (2, "half a turn"), (3, "a quarter turn clockwise")):
        other_way = {1: "clockwise", 2: "half a turn", 3: "counter-clockwise"}[turns]
        hypotheses[f"top looks turned ({words} mends it)"] = {"top": ("top", turns)}
        hypotheses[f"bottom looks turned ({words} mends it)"] = {"bottom": ("bottom", turns)}
        hypotheses[f"top and bottom look turned ({words} of top, and {other_way} of bottom, mends it)"] = {
            "top": ("top", turns), "bottom": ("bottom", -turns % 4)}
    return hypotheses


VIEW_HYPOTHESES = _view_hypotheses()


# ---- Boxes ----------------------------------------------------------------------------------------------------


def mask_boxes(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Center (6, 2) and extent (6, 2) in pixels, column then row, of what each mask (6, H, W) covers."""
    centers, extents = np.full((6, 2), np.nan), np.full((6, 2), np.nan)
    for i, mask in enumerate(masks):
        if not mask.any():
            continue
        for k in (0, 1):
            cover = np.pad(mask.max(axis=k) / mask.max(), 1)  # relative: a hair-thin object never reaches full cover
            hits = np.flatnonzero(cover >= 0.5)
            first, last = hits[0], hits[-1]
            # The share by which the outermost pixels are covered says where between pixels the edge lies.
            low = first + 1 - cover[first] - cover[first - 1]
            high = last + cover[last] + cover[last + 1]
            centers[i, k], extents[i, k] = (low + high) / 2 - 1, max(high - low, 0.5)
    return centers, extents


def common_scale(extents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The one box that twelve measures in six scales fit best.

    Each image has a scale of its own (pixels per unit). The six masks give each edge of the object's box four
    times, so six scales and three edges follow by least squares on the logarithms of the twelve extents.

    Args:
        extents: (6, 2) from `mask_boxes`.
    Returns:
        scales: (6,) pixels of each view per unit.
        edges: (3,) of the box along x, y, z; the longest is 2.
        mismatch: (6, 2) how far each measure is from the box, as a fraction of the longer extent of its view.
    """
    # Unknowns: log scale of six views, log edge of three axes. A measure is worth its pixels: one pixel of error
    # is a large fraction of a short extent.
    rows = np.zeros((13, 9))
    rows[np.arange(12), np.repeat(np.arange(6), 2)] = 1
    rows[np.arange(12), 6 + VIEW_AXES.ravel()] = 1
    rows[12, 6:] = 1  # scales and edges are only known up to a common factor
    target = np.append(np.log(extents.ravel()), 0)
    weights = np.append(extents.ravel(), np.nanmax(extents))
    seen = np.isfinite(target)  # a view that is missing says nothing
    solution = np.linalg.lstsq((rows * weights[:, None])[seen], (target * weights)[seen], rcond=None)[0]
    mismatch = np.abs(np.exp((rows @ solution - target)[:12]) - 1).reshape(6, 2)
    longest = np.exp(solution[6:].max()) / 2
    return (np.exp(solution[:6]) * longest, np.exp(solution[6:]) / longest,
            mismatch * extents / extents.max(1)[:, None])


def unequal_edges(masks: np.ndarray) -> list[tuple[str, str, float, str, float]]:
    """Edges of the object's box that the views measure differently, by more than TOLERANCE and three pixels.

    Args:
        masks: (6, H, H) float in [0, 1], in the project's frame.
    Returns:
        list of (edge name, view that shows it longest, length, view that shows it shortest, length) in normalized units.
    """
    pixel = 2 * VIEW_EXTENT / masks.shape[-1]
    lengths = mask_boxes(masks)[1] * pixel
    found = []
    for axis, name in enumerate(EDGE_NAMES):
        views, places = np.nonzero(VIEW_AXES == axis)
        measured = lengths[views, places]
        most, least = measured.argmax(), measured.argmin()
        if measured[most] - measured[least] > max(TOLERANCE * measured[most], 3 * pixel):
            found.append((name, VIEW_NAMES[views[most]], float(measured[most]),
                          VIEW_NAMES[views[least]], float(measured[least])))
    return found


# ---- Silhouettes ----------------------------------------------------------------------------------------------


def silhouette_disagreement(masks: np.ndarray) -> dict[tuple[str, str], tuple[float, float, float]]:
    """How far the silhouettes of opposite views are from mirroring each other, as those of one object do.

    What lies within one pixel of the other silhouette does not count, so hair-thin parts may be a pixel off. It cannot be
    told which of the two is wrong, and the two of a pair exchanged for each other still mirror each other.

    Args:
        masks: (6, H, H) float in [0, 1], in the project's frame.
    Returns:
        {(view, opposite view): (fraction of their common area, 0 to 1, that belongs to one of them alone,
        fraction of its image that the view covers, the same of the opposite view)}.
    """
    from scipy import ndimage

    shares = {}
    for view, other, axis in OPPOSITE_VIEWS:
        pair = [masks[VIEW_NAMES.index(name)] for name in (view, other)]
        # Relative, as in `mask_boxes`: a hair-thin object never reaches full cover.
        one, two = (mask >= 0.5 * mask.max() for mask in (pair[0], np.flip(pair[1], axis)))
        near_one, near_two = (ndimage.binary_dilation(mask, np.ones((3, 3))) for mask in (one, two))
        alone = (one & ~near_two | two & ~near_one).sum() / (one | two).sum()
        shares[view, other] = (float(alone), float(one.mean()), float(two.mean()))
    return shares


# ---- Likely mistakes ------------------------------------------------------------------------------------------


def diagnose_view_swap(images: np.ndarray, masks: np.ndarray) -> tuple[str, float, float] | None:
    """The mistake of naming or turning views that explains the images clearly better than taking them as named.

    Silhouettes alone leave much open: those of a shoe with left and right exchanged could be of a shoe too. Where two
    faces of the box meet, though, both views show the same edge of the object, in the same colors.

    Args:
        images: (6, H, H, 3) float32 in [0, 1], over white.
        masks: (6, H, H) float32 in [0, 1].
    Returns:
        None, or (words, inconsistency as named, inconsistency with the mistake mended), see `_inconsistency`; the words hold
        up to three mistakes that explain the views equally well.
    """
    centers, extents = mask_boxes(masks)
    crops = [_box_crops(*view) for view in zip(images, masks, centers, extents)]
    known = {}  # rims of an image in a role: most hypotheses share most of these
    named = _inconsistency(crops, extents, {}, known)
    inconsistency = {words: _inconsistency(crops, extents, hypothesis, known) for words, hypothesis in VIEW_HYPOTHESES.items()}
    ranked = sorted(inconsistency, key=inconsistency.get)
    best = inconsistency[ranked[0]]
    if named - best < CLEARLY[0] or named < CLEARLY[1] * best:
        return None
    equal = [words for words in ranked[:3] if inconsistency[words] - best < 0.1 * (named - best)]
    return ", or ".join(equal), named, best


def _box_crops(image, mask, center, extent):
    """What lies in a mask's box, stretched over GRID x GRID cells: (GRID, GRID, 4), color and coverage in [0, 1]."""
    from PIL import Image

    low, high = (center - extent / 2).clip(0), (center + extent / 2).clip(max=mask.shape[0])
    layers = np.concatenate([(image - 1 + mask[..., None]), mask[..., None]], axis=2).astype(np.float32)
    layers = np.stack([np.asarray(Image.fromarray(layers[..., k]).resize(
        (GRID, GRID), Image.Resampling.BOX, box=(*low, *high))) for k in range(4)], axis=-1)
    layers[..., :3] = (layers[..., :3] / layers[..., 3:].clip(1e-3)).clip(0, 1)
    return layers


def _inconsistency(crops, extents, hypothesis, known):
    """How badly six views explain each other after a hypothesis, 0 for perfectly.

    The sum of three means: the fraction of a silhouette that the hull of all six does not cover; the mismatch of
    `common_scale`; and, weighted, the difference of colors along the edges where two views meet.
    """
    taken = {view: hypothesis.get(view, (view, 0)) for view in VIEW_NAMES}
    sources = [(VIEW_NAMES.index(source), turns) for source, turns in taken.values()]
    for role, source in enumerate(sources):
        if (role, source) not in known:
            known[role, source] = _silhouette_and_rims(np.rot90(crops[source[0]], source[1]), role)
    silhouettes, rims = zip(*(known[role, source] for role, source in enumerate(sources)))
    turned = np.array([extents[index][::-1] if turns % 2 else extents[index] for index, turns in sources])
    differences = [np.abs(rims[i][face_j][0] - rims[j][face_i][0])[rims[i][face_j][1] & rims[j][face_i][1]]
                   for i, face_i, j, face_j in _MEETING]
    color = np.mean([difference.mean() if difference.size else 0 for difference in differences])
    return float(_uncovered(silhouettes) + common_scale(turned)[2].max(1).mean() + COLOR_WEIGHT * color)


def _uncovered(silhouettes):
    """Mean fraction of six silhouettes that no point of their common hull explains.

    Along each axis the hull's section is what both views allow. A point (x, y) of the front view is explained if
    some z lies in the side view's section at y and in the top view's at x: a product of matrices.
    """
    from scipy import ndimage

    dilated = [ndimage.binary_dilation(mask, np.ones((3, 3))).astype(np.float32) for mask in silhouettes]
    xy, zy, xz = (dilated[i] * dilated[i + 1] for i in (0, 2, 4))  # a cell of tolerance everywhere
    allowed = (xy * (xz @ zy) > 0, zy * (xz.T @ xy) > 0, xz * (xy @ zy.T) > 0)
    return np.mean([1 - (allowed[i // 2] & mask).sum() / max(1, mask.sum())
                    for i, mask in enumerate(silhouettes)])


# The side of the box, (axis, end), that each view looks at.
_FACES = [(int(np.abs(VIEW_BASES[view][2]).argmax()), int(VIEW_BASES[view][2].sum() > 0)) for view in VIEW_NAMES]
# The twelve edges of the box, each as two views and the faces they look at.
_MEETING = [(i, _FACES[i], j, _FACES[j]) for i in range(6) for j in range(i + 1, 6) if _FACES[i][0] != _FACES[j][0]]


def _silhouette_and_rims(crop, role):
    """One view's silhouette along growing x, y, z, and the colors along its four rims.

    Args:
        crop: (GRID, GRID, 4) from `_box_crops`.
        role: index of the view as which it is taken.
    Returns:
        silhouette: (GRID, GRID) bool, [x, y], [z, y] or [x, z].
        rims: {(axis, end): (colors (GRID, 3) along the other axis, (GRID,) bool where there are any)}.
    """
    right, up = VIEW_BASES[VIEW_NAMES[role]][:2]
    crop = np.swapaxes(crop, 0, 1)[:: 1 if right.sum() > 0 else -1, :: -1 if up.sum() > 0 else 1]
    silhouette, rims = crop[..., 3] >= 0.5, {}
    for place, axis in enumerate(VIEW_AXES[role]):
        lines = crop if place == 1 else np.swapaxes(crop, 0, 1)
        for end in (0, 1):
            line = lines[:, ::-1] if end else lines
            near = line[..., 3] >= 0.5
            near &= np.cumsum(near, axis=1) <= RIM
            count = near.sum(1)
            rims[int(axis), end] = ((line[..., :3] * near[..., None]).sum(1) / count.clip(1)[:, None], count > 0)
    return silhouette, rims


# ---- In words -------------------------------------------------------------------------------------------------


def swap_note(images: np.ndarray, masks: np.ndarray) -> str | None:
    """The mistake that `diagnose_view_swap` finds, as a sentence that begins with UNLIKE, or None."""
    mistake = diagnose_view_swap(images, masks)
    if not mistake:
        return None
    words, named, mended = mistake
    return f"{UNLIKE}: {words} (misfit {named:.3f}, {mended:.3f} with that mended)"


def consistency_note(images: np.ndarray, masks: np.ndarray) -> str | None:
    """What does not fit together in six views, for their owner: `swap_note`, else boxes and silhouettes that differ.

    Args:
        images: (6, H, H, 3) float32 in [0, 1], over white; masks: (6, H, H) float32; both in the project's frame.
    Returns:
        str that begins with UNLIKE, or None.
    """
    swapped = swap_note(images, masks)
    if swapped:
        return swapped
    clauses = []
    for (view, other), (alone, _, _) in silhouette_disagreement(masks).items():
        if alone > TOLERANCE:  # of objects that look alike from both sides one picture would do
            one, two = VIEW_NAMES.index(view), VIEW_NAMES.index(other)
            same = np.array_equal(images[one], images[two]) and np.array_equal(masks[one], masks[two])
            clauses.append(f"{view} and {other} are the same picture" if same else
                           f"{view} and {other} do not mirror each other ({100 * alone:.0f} % of their area differs)")
    clauses += [f"the object's {edge} is {most:.2f} in the {longest} view and {least:.2f} in the {shortest} view"
                for edge, longest, most, shortest, least in unequal_edges(masks)]
    if not clauses:
        return None
    more = f" (and {len(clauses) - MOST_CLAUSES} more)" if len(clauses) > MOST_CLAUSES else ""
    return f"{UNLIKE}: {'; '.join(clauses[:MOST_CLAUSES])}{more}"
