"""Six images of one object, from files to framed arrays: the one way into the project for images.

Views are matched by the names of their files, turned upright, masked, laid over white, made square, and (by
`read_framed_views`) brought into the project's frame. Training and inference both read through here.
"""
import difflib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import IMAGE_EXTENSIONS, VIEW_NAMES, UserError
from utils.rendering.cameras import OPPOSITE_VIEWS, VIEW_EXTENT
from utils.views.masks import PLAIN_SHARE, fit_mask, holes_of, mask_from_border, open_holes, soft_edges
from utils.views.view_consistency import UNLIKE, VIEW_AXES, common_scale, consistency_note, mask_boxes  # noqa: F401 (UNLIKE)

OTHER_IMAGES = (".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic")  # images that are named, but not accepted
FRAME_TOLERANCE = 0.02  # share of an image's edge by which a box may miss the frame and still count as framed
FRAMED = "images were cut to the object"  # how notes begin to say so


@dataclass
class SixViews:
    """Six square images of one object, in VIEW_NAMES order.

    id: str, the object's name.
    images: (6, H, H, 3) float32 sRGB in [0, 1], over white.
    masks: (6, H, H) float32 in [0, 1], 1 on the object.
    paths: list of six Path.
    """

    id: str
    images: np.ndarray
    masks: np.ndarray
    paths: list


@dataclass(frozen=True)
class Problem:
    """One reason why an object is left out, or a file not understood; id is "" where no object can be named."""

    id: str
    what: str
    detail: str

    def __str__(self):
        return (f"{self.id}: " if self.id else "") + f"{self.what} {self.detail}"


# ---- Reading six views ----------------------------------------------------------------------------------------


def read_six_views(folder_or_files, size=None, object_id=None, masks=None, remove_background=None):
    """Read the six images of one object, upright, masked, over white and square.

    An image's mask is the file given in `masks`, else its alpha where it has any, else what `remove_background` says,
    else all but what is connected to the border and has its color, and holes seen from both sides.
    An image that is not square is padded with white at both sides.

    Args:
        folder_or_files: a folder with front.png, back.png, ... (or <id>_front.png, ...), or {view name: path}.
        size: edge of the images in pixels; None keeps the largest edge among the six.
        object_id: which object, in a folder that holds several; also the name given to the result.
        masks: {view name: path} of mask files, bright or opaque on the object; see `find_masks`.
        remove_background: function from utils.views.masks.background_remover.
    Returns:
        SixViews.
    Raises:
        UserError: the folder is absent; a view is missing, doubled or wrongly named; an image or mask cannot be read,
            shows nothing, or does not fit the other. It names the file and the view.
    """
    name, paths = _find_one_object(folder_or_files, object_id)
    squares, _ = _read_squares(paths, size, masks, remove_background)
    return _stack(name, paths, squares, size or max(mask.shape[0] for _, mask in squares))


def _find_one_object(folder_or_files, object_id):
    """The object's name and the paths of its six views in VIEW_NAMES order."""
    if isinstance(folder_or_files, dict):
        name, files = object_id or "", _check_files(folder_or_files, object_id)
    else:
        name, files = _files_of_one_object(Path(folder_or_files), object_id)
    return name, [Path(files[view]) for view in VIEW_NAMES]


def _stack(name, paths, squares, edge):
    """SixViews of `edge` pixels from six pairs of square uint8 image and mask."""
    images = np.stack([_resize(picture, edge) for picture, _ in squares])
    masks = np.stack([_resize(mask, edge) for _, mask in squares])
    return SixViews(name, images.astype(np.float32) / 255, masks.astype(np.float32) / 255, paths)


def _read_squares(paths, size, masks, remove_background):
    """Six pairs of (E, E, 3) uint8 image over white and (E, E) uint8 mask, E its longer edge; and a note or None."""
    pictures, found, busy = [], {}, []
    for view, path in zip(VIEW_NAMES, paths):
        rgb, alpha = _open_image(path, f"{view} image", size)
        if masks:
            alpha = _read_mask(masks[view], view, rgb.shape[:2])
        elif alpha is None and remove_background:
            alpha = remove_background(rgb)
            if alpha.max() < 128:
                raise UserError(f"{path}: --remove_background finds no object in the {view} view; use --mask_dir")
        elif alpha is None:
            found[view] = mask_from_border(rgb)
            if not found[view].mask.any():
                raise UserError(f"{path}: the {view} view is empty: nothing differs from the background at its border; "
                                "use a plain background of another color, or a PNG with a transparent one")
            busy += [view] * (found[view].plain < PLAIN_SHARE)
        elif not alpha.any():
            raise UserError(f"{path}: the {view} view is empty: the image is fully transparent")
        pictures.append((rgb, alpha))
    squares = [_square_over_white(*((rgb, alpha) if alpha is not None else _cut_out(view, rgb, found, pictures)))
               for view, (rgb, alpha) in zip(VIEW_NAMES, pictures)]
    return squares, _busy_note(busy)


def _cut_out(view, rgb, found, pictures):
    """Image and (H, W) uint8 mask of an object in front of a plain background, holes open and edges soft."""
    other, axis = next((two if one == view else one, axis) for one, two, axis in OPPOSITE_VIEWS if view in (one, two))
    opposite = found[other] if other in found else holes_of(pictures[VIEW_NAMES.index(other)][1])
    return soft_edges(rgb, open_holes(found[view], opposite, axis), found[view].color)


def _busy_note(views):
    if not views:
        return None
    return (f"the background of {_views_in_words(views)} is not plain at the border (or the object is cut off), so its "
            "outline is a guess: use --remove_background (needs the package rembg) or your own masks (--mask_dir)")


def _square_over_white(rgb, mask):
    """An image over white and its mask, padded at both sides to a square."""
    share = mask[..., None].astype(np.float32) / 255
    over_white = np.round(rgb * share + 255 * (1 - share)).astype(np.uint8)
    height, width = mask.shape
    edge = max(height, width)
    top, left = (edge - height) // 2, (edge - width) // 2
    around = ((top, edge - height - top), (left, edge - width - left))
    return np.pad(over_white, around + ((0, 0),), constant_values=255), np.pad(mask, around)


def _read_mask(path, view, size):
    """A mask file at its image's size (height, width): its alpha if it has any, else its brightness."""
    rgb, alpha = _open_image(path, f"mask of the {view} view", None)
    return fit_mask(rgb.max(axis=2) if alpha is None else alpha, size, path, view)


def _open_image(path, what, size):
    """Decode an image: (H, W, 3) uint8 sRGB, and (H, W) uint8 alpha or None if it has none that says anything."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it refuses above twice as many pixels
            pixels = _decode(path, size)
    except Image.DecompressionBombError:
        raise UserError(f"{path}: the {what} has more than {2 * Image.MAX_IMAGE_PIXELS // 10**6} megapixels; "
                        "make it smaller (2000 pixels an edge are plenty)") from None
    except Exception as error:  # Pillow's decoders raise whatever their parsing meets
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = error.strerror if isinstance(error, OSError) and error.strerror else reason
        raise UserError(f"{path}: the {what} cannot be read ({reason}); save it again as PNG or JPEG") from None
    # Many tools write an alpha that is opaque everywhere: it says nothing about the object.
    says_something = pixels.shape[2] == 4 and pixels[..., 3].min() < 128
    return pixels[..., :3], pixels[..., 3] if says_something else None


def _decode(path, size):
    """An image file turned upright: (H, W, 3 or 4) uint8, of at most 2048 or `size` pixels an edge; None: any."""
    from PIL import Image, ImageOps

    most = None if size is None else (max(2048, size),) * 2  # 12 megapixels would take seconds and a gigabyte
    with Image.open(path) as image:
        if most:
            image.draft(image.mode, most)  # JPEG: decoded at 1/2, 1/4 or 1/8
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16-bit grayscale, which Pillow would clip rather than scale
            gray = np.asarray(image, np.float32) / 65535
            image = Image.fromarray(np.round(gray.clip(0, 1) * 255).astype(np.uint8))
        alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
        image = image.convert("RGBA" if alpha else "RGB")
        if most:
            image.thumbnail(most)
        return np.asarray(image)


def _resize(picture, edge):
    """Antialiased resize of a square (E, E) or (E, E, 3) uint8 image.

    Colors are already over white, which equals resizing them premultiplied by alpha: nothing bleeds at outlines.
    """
    from PIL import Image

    if picture.shape[0] == edge:
        return picture
    return np.asarray(Image.fromarray(picture).resize((edge, edge), Image.Resampling.BICUBIC))


def _check_files(files, object_id):
    """{view: path} with all six views, or a UserError."""
    of = f" of {object_id}" if object_id else ""
    unknown = [view for view in files if view not in VIEW_NAMES]
    if unknown:
        raise UserError(f"unknown view {unknown[0]!r}{of}{_did_you_mean(unknown[0])}; expected {', '.join(VIEW_NAMES)}")
    missing = [view for view in VIEW_NAMES if view not in files]
    if missing:
        raise UserError(f"no image for {_views_in_words(missing)}{of}")
    return files


def _files_of_one_object(folder, object_id):
    """The object's name and {view: path}, from a folder of one object or (by object_id) of several."""
    groups, strays = match_images(folder)
    chosen = object_id if object_id in groups else "" if "" in groups else None
    if chosen is None and object_id is None and len(groups) == 1:
        chosen = next(iter(groups))
    if chosen is None and object_id is None and len(groups) > 1:
        raise UserError(f"{folder}: holds images of several objects ({', '.join(sorted(groups))}); name one")
    name = object_id or chosen or folder.resolve().name
    problems = view_problems(name, groups.get(chosen, {}))
    if problems:
        problems += [Problem(name, "unknown view name", hint) for _, hint in strays]
        raise UserError(f"{folder}: {in_one_line(problems)}; expected {', '.join(v + '.png' for v in VIEW_NAMES)} "
                        "(or .jpg, .jpeg)")
    return name, {view: paths[0] for view, paths in groups[chosen].items()}


# ---- Framing --------------------------------------------------------------------------------------------------


def read_framed_views(folder_or_files, size, object_id=None, masks=None, remove_background=None):
    """`read_six_views` and `frame_views` in one: images of `size` pixels that fill the project's frame.

    Images that have to be cropped are cut out of larger ones, so that a small object stays sharp. Images that are
    framed already come out as `read_six_views(folder_or_files, size)` gives them.

    Args:
        folder_or_files, object_id, masks, remove_background: see read_six_views.
        size: edge of the images in pixels.
    Returns:
        views: SixViews.
        note: str saying what was done (it begins with FRAMED), what does not fit together (UNLIKE) and whose background
            is not plain; None for images that were framed already and are in order.
    Raises:
        UserError: see read_six_views.
    """
    name, paths = _find_one_object(folder_or_files, object_id)
    squares, busy = _read_squares(paths, size, masks, remove_background)
    views = _stack(name, paths, squares, size)
    note = None
    if not is_framed(views):
        larger = _stack(name, paths, squares, max(1024, 2 * size))
        if not is_framed(larger):  # thin tips may fade at `size`, and with them the box
            views, note = frame_views(larger, size)
    return views, "; ".join(filter(None, [note, consistency_note(views.images, views.masks), busy])) or None


def is_framed(views):
    """Whether every view shows the object's box centerd and its longest edge spans 2 / 2.2 of the image."""
    size = views.masks.shape[1]
    centers, extents = mask_boxes(views.masks)
    edges = np.array([np.median(extents[VIEW_AXES == axis]) for axis in range(3)])
    return bool((np.abs(centers - size / 2) <= FRAME_TOLERANCE * size).all()
                and (np.abs(extents - edges[VIEW_AXES]) <= FRAME_TOLERANCE * size).all()
                and abs(edges.max() - size / VIEW_EXTENT) <= FRAME_TOLERANCE * size)


def frame_views(views, size=None):
    """Bring a user's own images into the frame: box centerd, one common scale, longest edge 2 of 2.2.

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
    return SixViews(views.id, np.stack(images), np.stack(masks), views.paths)


# ---- Names of files -------------------------------------------------------------------------------------------


def match_images(folder):
    """Sort a folder's images by name.

    Returns:
        groups: {id: {view name: [Path, ...]}}; id is "" for plain front.png.
        strays: list of (id, hint) for images whose name or format is not accepted.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder" if not folder.exists() else f"{folder}: is not a folder")
    groups, strays = {}, []
    for path in sorted(folder.iterdir()):
        extension = path.suffix.lower()
        if path.name.startswith(".") or extension not in IMAGE_EXTENSIONS + OTHER_IMAGES or not path.is_file():
            continue
        object_id, _, word = path.stem.rpartition("_")  # ids may hold underscores themselves
        view = word.lower()
        if extension in OTHER_IMAGES:
            strays.append((object_id, f"{path.name}: save it as PNG or JPEG"))
        elif view in VIEW_NAMES:
            groups.setdefault(object_id, {}).setdefault(view, []).append(path)
        else:
            hint = _did_you_mean(view, path.stem[: len(path.stem) - len(word)], path.suffix)
            strays.append((object_id, path.name + (hint or f" (views are {', '.join(VIEW_NAMES)})")))
    return groups, strays


def find_masks(folder, object_id, alone):
    """The six mask files of an object.

    Args:
        folder: holds <id>_<view>.png, <id>/<view>.png, or plain <view>.png if there is one object only.
        object_id: str.
        alone: bool, whether no other object is to be reconstructed.
    Returns:
        {view name: Path}.
    Raises:
        UserError: the folder is absent, or a view has no mask or two; the line names it.
    """
    folder = Path(folder)
    groups, _ = match_images(folder)
    below = match_images(folder / object_id)[0] if object_id and (folder / object_id).is_dir() else {}
    files = groups.get(object_id) or below.get("") or below.get(object_id) or (groups.get("", {}) if alone else {})
    missing = [view for view in VIEW_NAMES if view not in files]
    if missing:
        raise UserError(f"{folder}: no mask for {_views_in_words(missing)} of {object_id} (expected "
                        f"{object_id}_{missing[0]}.png{f' or {missing[0]}.png' if alone else ''}, and the like)")
    doubled = [view for view in VIEW_NAMES if len(files[view]) > 1]
    if doubled:
        raise UserError(f"{folder}: two masks for the {doubled[0]} view of {object_id}: "
                        f"{', '.join(path.name for path in files[doubled[0]])} (keep one)")
    return {view: files[view][0] for view in VIEW_NAMES}


def view_problems(name, views):
    """Missing and doubled views of one object: views is {view name: [Path, ...]}."""
    missing = [view for view in VIEW_NAMES if view not in views]
    problems = [Problem(name, "missing view", ", ".join(missing))] if missing else []
    return problems + [Problem(name, "two files for a view", f"{view}: {', '.join(p.name for p in paths)} (keep one)")
                       for view, paths in sorted(views.items()) if len(paths) > 1]


def _did_you_mean(word, before="", after=""):
    close = difflib.get_close_matches(word.lower(), VIEW_NAMES, 1, 0.6)
    return f" (did you mean {before}{close[0]}{after}?)" if close else ""


def _views_in_words(views):
    return f"the {views[0]} view" if len(views) == 1 else f"the views {', '.join(views)}"


def in_one_line(problems, names=False, most=6):
    shown = [str(p) if names else f"{p.what} {p.detail}" for p in problems[:most]]
    return "; ".join(shown) + (f"; and {len(problems) - most} more" if len(problems) > most else "")
