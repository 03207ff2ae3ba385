"""Six images of one object, from files to framed arrays: the one way into the project for images.

Views are matched by the names of their files, turned upright, masked, laid over white, made square, and (by
`read_framed_views`) brought into the project's frame. Training and inference both read through here.
"""
import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from config import VIEW_NAMES, UserError
from utils.rendering.cameras import OPPOSITE_VIEWS, VIEW_EXTENT
from utils.views.decoding import half_field, open_image
from utils.views.masks import (
    PLAIN_SHARE,
    covers_border,
    fills_its_images,
    fit_mask,
    holes_of,
    mask_from_border,
    open_holes,
    soft_edges,
)
from utils.views.names import (
    Problem,
    did_you_mean,
    in_one_line,
    match_images,
    view_problems,
    views_in_words,
)
from utils.views.segmentation import (
    HOLE_REACH,
    RELIABLE,
    Silhouette,
    check_each_other,
    coverage,
    edge_confidence,
    is_plain,
    model_problem,
    restore_overlooked,
    seen_through_from_behind,
    segment,
    surely_object,
)
from utils.views.view_consistency import VIEW_AXES, common_scale, consistency_note, mask_boxes

BACKGROUNDS = ("auto", "model", "border")  # how objects are found in images without transparency
FRAME_TOLERANCE = 0.02  # fraction of an image's edge by which a box may miss the frame and still count as framed
FRAMING_SIZE = 1024  # pixels at least of the images that are cut to their objects: in smaller ones thin tips fade
TAKEN_EDGE = 720  # px that are kept of an image as it was taken
FRAMED = "images were cut to the object"  # how notes begin to say so


@dataclass
class SixViews:
    """Six square images of one object, in VIEW_NAMES order.

    id: str, the object's name.
    images: (6, H, H, 3) float32 sRGB in [0, 1], over white.
    masks: (6, H, H) float32 in [0, 1], 1 on the object.
    paths: list of six Path.
    edge_confidence: (6, H, H) float32 in [0, 1], how sure the nearest edge pixel of the silhouette is; None where all
        masks were given (mask files, transparency) or are of plain renders: they are sure.
    confidence: (6,) float in [0, 1], mean of the above over each silhouette's edge; 1 for a view whose mask is sure.
    half_fields: six float or None, tangent of half the field of view that an image spans, from EXIF.
    present: (6,) bool, False for a view that is missing: its image is white and its mask empty.
    taken: six pairs of an image (E, E, 3) and its mask (E, E), uint8, all of what was photographed, to show what was taken
        for the object; an image with transparency is over white. At most TAKEN_EDGE pixels; () where nothing was read.
    """

    id: str
    images: np.ndarray
    masks: np.ndarray
    paths: list
    edge_confidence: np.ndarray | None = None
    confidence: np.ndarray | None = None
    half_fields: tuple = (None,) * 6
    present: np.ndarray = field(default_factory=lambda: np.ones(6, bool))
    taken: tuple = ()


# ---- Reading six views ----------------------------------------------------------------------------------------


def read_six_views(folder_or_files: str | Path | dict, size: int | None = None, object_id: str | None = None,
                   masks: dict | None = None, background: str = "auto") -> SixViews:
    """Read the six images of one object, upright, masked, over white and square.

    An image's mask is the file given in `masks`, else its alpha where it has any,
    else by `background`: `border` takes all but what is connected to the border and has its color, and holes seen from
    both sides; `model` asks a network (utils/views/segmentation.py); `auto` is `border` for plain renders, else `model`
    where it is installed.
    An image that is not square is padded with white at both sides.

    Args:
        folder_or_files: a folder with front.png, back.png, ... (or <id>_front.png, ...), or {view name: path}.
        size: edge of the images in pixels; None keeps the largest edge among the six.
        object_id: which object, in a folder that holds several; also the name given to the result.
        masks: {view name: path} of mask files, bright or opaque on the object; see `find_masks`.
        background: auto, model or border.
    Returns:
        SixViews.
    Raises:
        UserError: the folder is absent; a view is missing, doubled or wrongly named; an image or mask cannot be read,
            shows nothing, or does not fit the other. It names the file and the view.
    """
    name, paths = _find_one_object(folder_or_files, object_id)
    squares, _ = _read_squares(paths, size, masks, background)
    return _stack(name, paths, squares, size or max(square.mask.shape[0] for square in squares))


def check_background(background: str) -> None:
    """Raise UserError where `background` is none of BACKGROUNDS."""
    if background not in BACKGROUNDS:
        raise UserError(f"--background {background}: choose {', '.join(BACKGROUNDS)}")


def _find_one_object(folder_or_files, object_id, allow_missing=False):
    """The object's name and the paths of its six views in VIEW_NAMES order, None for one that is (and may be) missing."""
    if isinstance(folder_or_files, dict):
        name, files = object_id or "", check_views(folder_or_files, object_id, allow_missing)
    else:
        name, files = _files_of_one_object(Path(folder_or_files), object_id)
    return name, [Path(files[view]) if view in files else None for view in VIEW_NAMES]


@dataclass
class _View:
    """One view on its way: rgb (H, W, 3) uint8, mask (H, W) uint8, sure (H, W) float32 and its mean, or None and 1.

    taken: as SixViews has it, with the background, where there is one.
    """

    rgb: np.ndarray
    mask: np.ndarray
    sure: np.ndarray | None = None
    confidence: float = 1.0
    half_field: float | None = None
    taken: tuple | None = None


def _stack(name, paths, squares, edge):
    """SixViews of `edge` pixels from six square _View."""
    images = np.stack([_resize(square.rgb, edge) for square in squares])
    masks = np.stack([_resize(square.mask, edge) for square in squares])
    sure = None
    if any(square.sure is not None for square in squares):
        sure = np.stack([np.ones((edge, edge), np.float32) if square.sure is None
                         else _resize(square.sure, edge).clip(0, 1) for square in squares])
    return SixViews(name, images.astype(np.float32) / 255, masks.astype(np.float32) / 255, paths, sure,
                    np.array([square.confidence for square in squares]), tuple(square.half_field for square in squares),
                    np.array([path is not None for path in paths]), tuple(square.taken for square in squares))


def _read_squares(paths, size, masks, background="auto"):
    """Six square _View over white, E x E where E is the longer edge of each, and a note or None."""
    check_background(background)
    views, notes, photographs = [], [], {}
    for view, path in zip(VIEW_NAMES, paths):
        if path is None:
            views.append(_View(np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8), np.uint8), confidence=0.0))
            continue
        rgb, alpha = open_image(path, f"{view} image", size)
        if masks:
            alpha = _read_mask(masks[view], view, rgb.shape[:2])
        elif alpha is not None and not alpha.any():
            raise UserError(f"{path}: the {view} view is empty: the image is fully transparent")
        views.append(_View(rgb, alpha, half_field=half_field(path)))
        photographs[view] = None if alpha is not None and not masks else rgb
    given = [view.mask is not None for view in views]
    if all(given):
        notes.append(_mend_inverted(views, paths, masks))
    else:
        notes.append(_find_objects(views, paths, given, background))
    squares = [_square_over_white(view, photographs.get(name)) for name, view in zip(VIEW_NAMES, views)]
    return squares, "; ".join(filter(None, notes)) or None


def _mend_inverted(views, paths, masks):
    """Turn given masks that are white around the object, and say so; refuse those that leave nothing out."""
    given = {name: (view, path) for name, view, path in zip(VIEW_NAMES, views, paths) if path is not None}
    views = [view for view, _ in given.values()]
    if not all(covers_border(view.mask) for view in views):
        return None
    what = "masks" if masks else "transparency of the images"
    for name, (view, path) in given.items():
        if view.mask.min() >= 128:
            raise UserError(f"{masks[name] if masks else path}: the {what} leave{'' if masks else 's'} no background in the "
                            f"{name} view; only the object must be white (or opaque)")
    for view in views:
        view.mask = 255 - view.mask
    return f"the {what} showed the background in all six views, and were inverted"


def _find_objects(views, paths, given, background):
    """Fill in the masks of views that have none, by border or network; returns a note or None."""
    wanted = [i for i, known in enumerate(given) if not known]
    note = None
    if background == "auto":
        background = "border"
        if not all(is_plain(views[i].rgb) for i in wanted):
            problem = model_problem()
            background = "border" if problem else "model"
            note = problem and f"masks are from border colors, for {problem} (see --background)"
    by_model = background == "model"
    found, levels, busy = {}, {}, []
    for i in wanted:
        view = VIEW_NAMES[i]
        if by_model:
            found[view], levels[view] = segment(views[i].rgb)
        else:
            found[view] = mask_from_border(views[i].rgb)
            busy += [view] * (found[view].plain < PLAIN_SHARE)
        if not found[view].mask.any():
            raise UserError(f"{paths[i]}: the {view} view is empty: no object is seen in front of the background; "
                            "use a plain background of another color, or --mask_dir")
    if by_model:
        found, levels = _restored({view: views[VIEW_NAMES.index(view)].rgb for view in found}, found, levels)
    filled = not by_model and len(wanted) == 6 and fills_its_images([found[view].mask for view in VIEW_NAMES])
    if filled:
        for view in views:
            view.mask = np.full(view.rgb.shape[:2], 255, np.uint8)
        return "no background is left around the object: all of each image was taken for it"
    cut = {VIEW_NAMES[i]: _cut_out(VIEW_NAMES[i], views, found, levels) for i in wanted}
    sure = {}
    if by_model or busy:  # a plain render's silhouettes are sure
        sure = check_each_other({view: Silhouette(alpha, *edge_confidence(views[VIEW_NAMES.index(view)].rgb, alpha,
                                                                         levels.get(view)))
                                 for view, (_, alpha) in cut.items()})
    for view, (rgb, alpha) in cut.items():
        one = views[VIEW_NAMES.index(view)]
        one.rgb, one.mask = rgb, alpha
        if view in sure:
            one.sure, one.confidence = sure[view].edge_confidence, sure[view].confidence
    doubtful = [view for view in sure if sure[view].confidence < RELIABLE and view not in busy]
    return "; ".join(filter(None, [note, _busy_note(busy), doubtful and (
        f"the silhouette of {views_in_words(doubtful)} is doubtful: compare the masks image, or use --mask_dir")])) or None


def _restored(images, found, levels):
    """`found` and `levels` with the parts and holes that opposite views show of the object: see `restore_overlooked` and
    `seen_through_from_behind`."""
    sees = {view: surely_object(images[view], found[view], levels[view]) for view in found}
    pairs = [(view, other, axis) for one, two, axis in OPPOSITE_VIEWS for view, other in ((one, two), (two, one))
             if one in found and two in found]
    better = {view: restore_overlooked(images[view], found[view], levels[view], found[other], sees[other], axis)
              for view, other, axis in pairs}
    found = found | {view: mask for view, (mask, _) in better.items()}
    levels = levels | {view: level for view, (_, level) in better.items()}
    opened = {view: seen_through_from_behind(images[view], found[view], found[other], levels[other], axis)
              for view, other, axis in pairs}
    return found | opened, levels


def _cut_out(view, views, found, levels):
    """Image and (H, W) uint8 mask of an object in front of its background, holes open and edges soft."""
    other, axis = next((two if one == view else one, axis) for one, two, axis in OPPOSITE_VIEWS if view in (one, two))
    opposite = found[other] if other in found else holes_of(views[VIEW_NAMES.index(other)].mask)
    rgb, mask = views[VIEW_NAMES.index(view)].rgb, open_holes(found[view], opposite, axis,
                                                                     HOLE_REACH if view in levels else None)
    return coverage(rgb, mask, levels[view]) if view in levels else soft_edges(rgb, mask, found[view].color)


def _busy_note(views):
    return (f"the background of {views_in_words(views)} is not plain (or the object is cut off), so its silhouette is a "
            "guess: use --background model or --mask_dir") if views else None


def _square_over_white(view, photograph=None):
    """A _View over white, padded at both sides to a square; `photograph` is its image with the background, (H, W, 3)."""
    share = view.mask[..., None].astype(np.float32) / 255
    over_white = np.round(view.rgb * share + 255 * (1 - share)).astype(np.uint8)
    height, width = view.mask.shape
    edge = max(height, width)
    top, left = (edge - height) // 2, (edge - width) // 2
    around = ((top, edge - height - top), (left, edge - width - left))
    square, mask = np.pad(over_white, around + ((0, 0),), constant_values=255), np.pad(view.mask, around)
    shown = square if photograph is None else np.pad(photograph, around + ((0, 0),), constant_values=255)
    return replace(view, rgb=square, mask=mask,
                   taken=tuple(_resize(image, min(edge, TAKEN_EDGE)) for image in (shown, mask)),
                   sure=None if view.sure is None else np.pad(view.sure, around, mode="edge"))


def _read_mask(path, view, size):
    """A mask file at its image's size (height, width): its alpha if it has any, else its brightness."""
    rgb, alpha = open_image(path, f"mask of the {view} view")
    return fit_mask(rgb.max(axis=2) if alpha is None else alpha, size, path, view)


def _resize(image, edge):
    """Antialiased resize of a square (E, E) or (E, E, 3) uint8 image.

    Colors are already over white, which equals resizing them premultiplied by alpha: nothing bleeds at boundaries.
    """
    from PIL import Image

    if image.shape[0] == edge:
        return image
    return np.asarray(Image.fromarray(image).resize((edge, edge), Image.Resampling.BICUBIC))


def check_views(files: dict, object_id: str | None, allow_missing: bool = False) -> dict:
    """{view: image} as given; UserError if a view is unknown, or missing where it may not be."""
    of = f" of {object_id}" if object_id else ""
    unknown = [view for view in files if view not in VIEW_NAMES]
    if unknown:
        meant = did_you_mean(unknown[0]) if isinstance(unknown[0], str) else ""
        raise UserError(f"unknown view {unknown[0]!r}{of}{meant}; expected {', '.join(VIEW_NAMES)}")
    missing = [view for view in VIEW_NAMES if view not in files]
    if missing and not (allow_missing and files):
        raise UserError(f"no image for {views_in_words(missing)}{of}")
    return files


def _files_of_one_object(folder, object_id):
    """The object's name and {view: path}, from a folder of one object or (by object_id) of several."""
    groups, strays = match_images(folder)
    chosen = object_id if object_id in groups else "" if "" in groups else None
    if chosen is None and object_id is None and len(groups) == 1:
        chosen = next(iter(groups))
    if chosen is None and object_id is None and len(groups) > 1:
        raise UserError(f"{folder}: holds images of several objects ({', '.join(sorted(groups))}); name one")
    name = object_id or chosen or Path(os.path.realpath(folder)).name
    problems = view_problems(name, groups.get(chosen, {}))
    if problems:
        problems = [Problem(name, "unknown view name", hint) for _, hint in strays] + problems
        raise UserError(f"{folder}: {in_one_line(problems)}; expected {', '.join(VIEW_NAMES)} in the names")
    return name, {view: paths[0] for view, paths in groups[chosen].items()}


# ---- Framing --------------------------------------------------------------------------------------------------


def read_framed_views(folder_or_files: str | Path | dict, size: int, object_id: str | None = None,
                      masks: dict | None = None, background: str = "auto") -> tuple[SixViews, str | None]:
    """`read_six_views` and `frame_views` in one: images of `size` pixels that fill the project's frame.

    Images that have to be cropped are cut out of larger ones, so that a small object stays sharp. Images that are
    framed already come out as `read_six_views(folder_or_files, size)` gives them.

    Args:
        folder_or_files, object_id, masks, background: see read_six_views.
        size: edge of the images in pixels.
    Returns:
        views: SixViews.
        note: str saying what was done (it begins with FRAMED), what does not fit together (UNLIKE) and whose background
            is not plain; None for images that were framed already and are in order.
    Raises:
        UserError: see read_six_views.
    """
    read = read_squares(folder_or_files, size, object_id, masks, background)
    views, note = framed_views(read, [size])[size]
    return views, "; ".join(filter(None, [note, consistency_note(views.images, views.masks), read.note])) or None


@dataclass
class SquareViews:
    """Six images as they were read, square and masked, before they are framed.

    name: of the object; paths: six Path, None for a view that is missing; squares: six _View; note: what there is to say
    of their masks, or None.
    """

    name: str
    paths: list
    squares: list
    note: str | None

    @property
    def largest(self) -> int:
        """Pixels per edge of the largest image."""
        return max(square.mask.shape[0] for square in self.squares)


def read_squares(folder_or_files: str | Path | dict, size: int | None, object_id: str | None = None,
                 masks: dict | None = None, background: str = "auto", allow_missing: bool = False) -> SquareViews:
    """Read and mask the images of one object, once for all sizes that `framed_views` is asked for.

    Args:
        folder_or_files, object_id, masks, background: see read_six_views.
        size: largest edge in pixels that will be asked for; larger images are decoded smaller.
        allow_missing: views may be missing.
    Raises:
        UserError: see read_six_views.
    """
    name, paths = _find_one_object(folder_or_files, object_id, allow_missing)
    squares, note = _read_squares(paths, size, masks, background)
    return SquareViews(name, paths, squares, note)


def framed_views(read: SquareViews, sizes: Iterable[int]) -> dict[int, tuple[SixViews, str | None]]:
    """Images that fill the project's frame, at several sizes.

    Args:
        read: SquareViews.
        sizes: edges of the images in pixels.
    Returns:
        {size: views, and a sentence saying how they were framed, or None}.
    """
    square = functools.cache(lambda edge: _stack(read.name, read.paths, read.squares, edge))
    framed: dict[int, tuple[SixViews, str | None]] = {}
    for size in sizes:
        framed[size] = square(size), None
        if not is_framed(square(size)):
            enough = min(2 * size, max(size, read.largest))  # no image holds more than it has
            larger = square(max(FRAMING_SIZE, enough))
            if not is_framed(larger):  # thin tips may fade at `size`, and with them the box
                framed[size] = frame_views(larger, size)
    return framed


def is_framed(views: SixViews) -> bool:
    """Whether every view shows the object's box centered and its longest edge spans 2 / 2.2 of the image."""
    size = views.masks.shape[1]
    there = views.present
    centers, extents = (boxes[there] for boxes in mask_boxes(views.masks))
    edges = np.array([np.median(extents[VIEW_AXES[there] == axis]) for axis in range(3)
                      if (VIEW_AXES[there] == axis).any()])
    known = np.cumsum([(VIEW_AXES[there] == axis).any() for axis in range(3)]) - 1
    return bool((np.abs(centers - size / 2) <= FRAME_TOLERANCE * size).all()
                and (np.abs(extents - edges[known[VIEW_AXES[there]]]) <= FRAME_TOLERANCE * size).all()
                and abs(edges.max() - size / VIEW_EXTENT) <= FRAME_TOLERANCE * size)


def frame_views(views: SixViews, size: int | None = None) -> tuple[SixViews, str | None]:
    """Bring a user's own images into the frame: box centered, one common scale, longest edge 2 of 2.2.

    Each image has a scale of its own, which follows from the boxes of the six masks (`common_scale`).

    Args:
        views: SixViews.
        size: edge of the images to return; None keeps that of `views`.
    Returns:
        views: SixViews, the same object if it was framed already.
        note: one sentence saying what was done, or None.
    """
    if is_framed(views):
        return (views if size in (None, views.masks.shape[1]) else _cut_views(views, None, size)), None
    centers, extents = mask_boxes(views.masks)
    scales, edges, _ = common_scale(extents)
    half = VIEW_EXTENT * scales[:, None]  # pixels from a window's center to its side
    windows = np.concatenate([centers - half, centers + half], axis=1)
    windows[~views.present] = [0, 0, views.masks.shape[1], views.masks.shape[1]]
    note = f"{FRAMED} and brought to one scale (its box measures {' x '.join(f'{edge:.2f}' for edge in edges)})"
    return _cut_views(views, windows, size or views.masks.shape[1]), note


def _cut_views(views, windows, size):
    """Antialiased cut of a window (left, top, right, bottom) in pixels out of every image; None: all of it."""
    from PIL import Image

    edge = views.masks.shape[1]
    windows = np.tile([0, 0, edge, edge], (6, 1)) if windows is None else windows
    pad = max(0, int(np.ceil(max(-windows.min(), windows.max() - edge))))

    def cut(channel, window, fill):
        padded = Image.fromarray(np.pad(channel, pad, constant_values=fill))
        return np.asarray(padded.resize((size, size), Image.Resampling.BICUBIC, box=tuple(window + pad))).clip(0, 1)

    images = [np.stack([cut(image[..., c], window, 1) for c in range(3)], axis=-1)
              for image, window in zip(views.images, windows)]
    masks = [cut(mask, window, 0) for mask, window in zip(views.masks, windows)]
    sure = views.edge_confidence
    if sure is not None:
        sure = np.stack([cut(one, window, 1) for one, window in zip(sure, windows)])
    spans = (windows[:, 2] - windows[:, 0]) / edge  # of what an image showed, by its window: so much of its field
    fields = tuple(field and field * span for field, span in zip(views.half_fields, spans))
    return replace(views, images=np.stack(images), masks=np.stack(masks), edge_confidence=sure, half_fields=fields)


# ---- Names of files -------------------------------------------------------------------------------------------


def find_masks(folder: str | Path, object_id: str, alone: bool, views: Iterable[str] = VIEW_NAMES) -> dict[str, Path]:
    """The mask files of an object, one for each of its views.

    Args:
        folder: holds <id>_<view>.png, <id>/<view>.png, or plain <view>.png if there is one object only.
        object_id: str.
        alone: bool, whether no other object is to be reconstructed.
        views: names of the views that there are.
    Returns:
        {view name: Path}.
    Raises:
        UserError: the folder is absent, or a view has no mask or two; the line names it.
    """
    folder = Path(folder)
    groups, _ = match_images(folder)
    below = match_images(folder / object_id)[0] if object_id and (folder / object_id).is_dir() else {}
    files = groups.get(object_id) or below.get("") or below.get(object_id) or (groups.get("", {}) if alone else {})
    wanted = [view for view in VIEW_NAMES if view in views]
    missing = [view for view in wanted if view not in files]
    if missing:
        raise UserError(f"{folder}: no mask for {views_in_words(missing)} of {object_id} (expected "
                        f"{object_id}_{missing[0]}.png{f' or {missing[0]}.png' if alone else ''}, and the like)")
    doubled = [view for view in wanted if len(files[view]) > 1]
    if doubled:
        raise UserError(f"{folder}: two masks for the {doubled[0]} view of {object_id}: "
                        f"{', '.join(path.name for path in files[doubled[0]])} (keep one)")
    return {view: files[view][0] for view in wanted}
