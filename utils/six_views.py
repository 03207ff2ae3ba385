"""Six pictures of one object, from files to framed arrays: the one way into the project for pictures.

Views are matched by the names of their files, turned upright, masked, laid over white, made square, and (by
`read_framed_views`) brought into the project's frame. Training and inference both read through here.
"""
import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import IMAGE_EXTENSIONS, VIEW_NAMES, UserError
from utils.views import OPPOSITE_VIEWS, VIEW_BASES, VIEW_EXTENT

OTHER_PICTURES = (".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic")  # pictures that are named, but not accepted
FRAME_TOLERANCE = 0.02  # share of a picture's edge by which a box may miss the frame and still count as framed
MIRROR_TOLERANCE = 0.03  # share of their area in which outlines of opposite views may differ without a note
UNLIKE = "opposite views do not mirror each other"  # how notes begin to say so


@dataclass
class SixViews:
    """Six square pictures of one object, in VIEW_NAMES order.

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


def read_six_views(folder_or_files, size=None, object_id=None):
    """Read the six pictures of one object, upright, masked, over white and square.

    Alpha is the mask where a picture has any; else the background is what is connected to the border and has its
    colour. A picture that is not square is padded with white at both sides.

    Args:
        folder_or_files: a folder with front.png, back.png, ... (or <id>_front.png, ...), or {view name: path}.
        size: edge of the pictures in pixels; None keeps the largest edge among the six.
        object_id: which object, in a folder that holds several; also the name given to the result.
    Returns:
        SixViews.
    Raises:
        UserError: the folder is absent; a view is missing, doubled or wrongly named; a picture cannot be read or
            shows nothing. It names the file and the view.
    """
    name, paths = _find_one_object(folder_or_files, object_id)
    squares = [_read_square(path, view, size) for path, view in zip(paths, VIEW_NAMES)]
    return _stack(name, paths, squares, size or max(mask.shape[0] for _, mask in squares))


def _find_one_object(folder_or_files, object_id):
    """The object's name and the paths of its six views in VIEW_NAMES order."""
    if isinstance(folder_or_files, dict):
        name, files = object_id or "", _check_files(folder_or_files, object_id)
    else:
        name, files = _files_of_one_object(Path(folder_or_files), object_id)
    return name, [Path(files[view]) for view in VIEW_NAMES]


def _stack(name, paths, squares, edge):
    """SixViews of `edge` pixels from six pairs of square uint8 picture and mask."""
    images = np.stack([_resize(picture, edge) for picture, _ in squares])
    masks = np.stack([_resize(mask, edge) for _, mask in squares])
    return SixViews(name, images.astype(np.float32) / 255, masks.astype(np.float32) / 255, paths)


def _read_square(path, view, size):
    """One picture: (E, E, 3) uint8 over white and its (E, E) uint8 mask, E being its longer edge."""
    rgb, mask = _open_picture(path, view, size)
    if mask is None:
        mask = _mask_from_border(rgb)
        if not mask.any():
            raise UserError(f"{path}: the {view} view is empty: nothing differs from the background at its border; "
                            "use a plain background of another colour, or a PNG with a transparent one")
    elif not mask.any():
        raise UserError(f"{path}: the {view} view is empty: the picture is fully transparent")
    share = mask[..., None].astype(np.float32) / 255
    over_white = np.round(rgb * share + 255 * (1 - share)).astype(np.uint8)
    height, width = mask.shape
    edge = max(height, width)
    top, left = (edge - height) // 2, (edge - width) // 2
    around = ((top, edge - height - top), (left, edge - width - left))
    return np.pad(over_white, around + ((0, 0),), constant_values=255), np.pad(mask, around)


def _open_picture(path, view, size):
    """Decode a picture: (H, W, 3) uint8 sRGB, and (H, W) uint8 alpha or None if it has none that says anything."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):  # 16-bit greyscale, which Pillow would clip rather than scale
                grey = np.asarray(image, np.float32) / 65535
                image = Image.fromarray(np.round(grey.clip(0, 1) * 255).astype(np.uint8))
            alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
            image = image.convert("RGBA" if alpha else "RGB")
            if size is not None:  # a phone's 12 megapixels would take seconds and a gigabyte for nothing
                image.thumbnail((max(2048, size),) * 2)
            pixels = np.asarray(image)
    except Exception as error:  # Pillow's decoders raise whatever their parsing meets
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = error.strerror if isinstance(error, OSError) and error.strerror else reason
        raise UserError(f"{path}: the {view} picture cannot be read ({reason}); save it again as PNG or JPEG") from None
    # Many tools write an alpha that is opaque everywhere: it says nothing about the object.
    if alpha and pixels[..., 3].min() < 128:
        return pixels[..., :3], pixels[..., 3]
    return pixels[..., :3], None


def _mask_from_border(rgb):
    """The object in a picture with a plain background: (H, W, 3) uint8 -> (H, W) uint8, 255 on the object.

    Background is what has the border's median colour and is connected to the border, so white parts inside the
    object stay. Holes through which the background shows are filled.
    """
    from scipy import ndimage

    ring = max(1, min(rgb.shape[:2]) // 100)
    inner = np.zeros(rgb.shape[:2], bool)
    inner[ring:-ring, ring:-ring] = True
    border = rgb[~inner].astype(np.int16)
    color = np.median(border, axis=0)
    # JPEG noise around an object on white reaches 10; an uneven background adds its own spread.
    tolerance = np.clip(10 + 4 * np.median(np.abs(border - color).max(1)), 10, 48)
    similar = (np.abs(rgb - color.astype(np.int16)) <= tolerance).all(-1)
    labels, count = ndimage.label(similar)  # 4-connected: background must not leak through a diagonal line
    outside = np.zeros(count + 1, bool)
    outside[np.unique(labels[~inner])] = True
    outside[0] = False
    mask = ~outside[labels]
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = sizes >= max(4, sizes.max() / 200)  # specks of noise or dust, beside the object
    return np.where(kept[parts], 255, 0).astype(np.uint8)


def _resize(picture, edge):
    """Antialiased resize of a square (E, E) or (E, E, 3) uint8 picture.

    Colours are already over white, which equals resizing them premultiplied by alpha: nothing bleeds at outlines.
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
        raise UserError(f"no picture for {_views_in_words(missing)}{of}")
    return files


def _files_of_one_object(folder, object_id):
    """The object's name and {view: path}, from a folder of one object or (by object_id) of several."""
    groups, strays = match_pictures(folder)
    chosen = object_id if object_id in groups else "" if "" in groups else None
    if chosen is None and object_id is None and len(groups) == 1:
        chosen = next(iter(groups))
    if chosen is None and object_id is None and len(groups) > 1:
        raise UserError(f"{folder}: holds pictures of several objects ({', '.join(sorted(groups))}); name one")
    name = object_id or chosen or folder.resolve().name
    problems = view_problems(name, groups.get(chosen, {}))
    if problems:
        problems += [Problem(name, "unknown view name", hint) for _, hint in strays]
        raise UserError(f"{folder}: {in_one_line(problems)}; expected {', '.join(v + '.png' for v in VIEW_NAMES)} "
                        "(or .jpg, .jpeg)")
    return name, {view: paths[0] for view, paths in groups[chosen].items()}


# ---- Framing --------------------------------------------------------------------------------------------------


def read_framed_views(folder_or_files, size, object_id=None):
    """`read_six_views` and `frame_views` in one: pictures of `size` pixels that fill the project's frame.

    Pictures that have to be cropped are cut out of larger ones, so that a small object stays sharp. Pictures that are
    framed already come out as `read_six_views(folder_or_files, size)` gives them.

    Args:
        folder_or_files, object_id: see read_six_views.
        size: edge of the pictures in pixels.
    Returns:
        views: SixViews.
        note: str saying what was done and which opposite views do not mirror each other, or None for pictures that
            were framed already and do.
    Raises:
        UserError: see read_six_views.
    """
    name, paths = _find_one_object(folder_or_files, object_id)
    squares = [_read_square(path, view, size) for path, view in zip(paths, VIEW_NAMES)]
    views = _stack(name, paths, squares, size)
    note = None
    if not is_framed(views):
        larger = _stack(name, paths, squares, max(1024, 2 * size))
        if not is_framed(larger):  # thin tips may fade at `size`, and with them the box
            views, note = frame_views(larger, size)
    return views, "; ".join(filter(None, [note, _mirror_note(views)])) or None


def is_framed(views):
    """Whether every view shows the object's box centred and its longest edge spans 2 / 2.2 of the picture."""
    size = views.masks.shape[1]
    centers, extents = _boxes(views.masks)
    edges = np.array([np.median(extents[_AXES == axis]) for axis in range(3)])
    return bool((np.abs(centers - size / 2) <= FRAME_TOLERANCE * size).all()
                and (np.abs(extents - edges[_AXES]) <= FRAME_TOLERANCE * size).all()
                and abs(edges.max() - size / VIEW_EXTENT) <= FRAME_TOLERANCE * size)


def frame_views(views, size=None):
    """Bring a user's own pictures into the frame: box centred, one common scale, longest edge 2 of 2.2.

    Each picture has a scale of its own (pixels per unit). The six masks give each edge of the object's box four
    times, so six scales and three edges follow by least squares on the logarithms of the twelve extents.

    Args:
        views: SixViews.
        size: edge of the pictures to return; None keeps that of `views`.
    Returns:
        views: SixViews, the same object if it was framed already.
        note: one sentence saying what was done, or None.
    """
    if is_framed(views):
        return (views if size in (None, views.masks.shape[1]) else _cut_views(views, None, size)), None
    centers, extents = _boxes(views.masks)
    # Unknowns: log scale of six views, log edge of three axes. A measure is worth its pixels: one pixel of error
    # is a large share of a short extent.
    rows = np.zeros((13, 9))
    rows[np.arange(12), np.repeat(np.arange(6), 2)] = 1
    rows[np.arange(12), 6 + _AXES.ravel()] = 1
    rows[12, 6:] = 1  # scales and edges are only known up to a common factor
    target = np.append(np.log(extents.ravel()), 0)
    weights = np.append(extents.ravel(), extents.max())
    solution = np.linalg.lstsq(rows * weights[:, None], target * weights, rcond=None)[0]
    edges = np.exp(solution[6:])
    half = VIEW_EXTENT * np.exp(solution[:6]) * edges.max() / 2  # pixels from a window's centre to its side
    windows = np.concatenate([centers - half[:, None], centers + half[:, None]], axis=1)

    shape = " x ".join(f"{edge:.2f}" for edge in edges * 2 / edges.max())
    note = f"pictures were cut to the object and brought to one scale (its box measures {shape})"
    # How far each measure is from the common box, as a share of the longer extent of its view.
    mismatch = np.abs(np.exp((rows @ solution - target)[:12]) - 1).reshape(6, 2) * extents / extents.max(1)[:, None]
    if mismatch.max() > 0.08:
        worst = VIEW_NAMES[int(mismatch.max(1).argmax())]
        note += (f"; the views disagree about its box by up to {100 * mismatch.max():.0f} % ({worst} most): "
                 "check that none are swapped, turned or cut off")
    return _cut_views(views, windows, size or views.masks.shape[1]), note


# For each view the object's axis (0 x, 1 y, 2 z) that runs along the picture's width and height.
_AXES = np.array([[int(np.abs(VIEW_BASES[view][row]).argmax()) for row in (0, 1)] for view in VIEW_NAMES])


def _boxes(masks):
    """Centre (6, 2) and extent (6, 2) in pixels, column then row, of what each mask (6, H, W) covers."""
    centers, extents = np.zeros((6, 2)), np.zeros((6, 2))
    for i, mask in enumerate(masks):
        for k in (0, 1):
            cover = np.pad(mask.max(axis=k) / mask.max(), 1)  # relative: a hair-thin object never reaches full cover
            hits = np.flatnonzero(cover >= 0.5)
            first, last = hits[0], hits[-1]
            # The share by which the outermost pixels are covered says where between pixels the edge lies.
            low = first + 1 - cover[first] - cover[first - 1]
            high = last + cover[last] + cover[last + 1]
            centers[i, k], extents[i, k] = (low + high) / 2 - 1, max(high - low, 0.5)
    return centers, extents


def _cut_views(views, windows, size):
    """Antialiased cut of a window (left, top, right, bottom) in pixels out of every picture; None: all of it."""
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


def silhouette_disagreement(views):
    """How far the outlines of opposite views are from mirroring each other, as those of one object do.

    What lies within one pixel of the other outline does not count, so hair-thin parts may be a pixel off. It cannot be
    told which of the two is wrong, and the two of a pair exchanged for each other still mirror each other.

    Args:
        views: SixViews in the project's frame.
    Returns:
        {(view, opposite view): share of their common area, 0 to 1, that belongs to one of them alone}.
    """
    from scipy import ndimage

    shares = {}
    for view, other, axis in OPPOSITE_VIEWS:
        masks = [views.masks[VIEW_NAMES.index(name)] for name in (view, other)]
        # Relative, as in `_boxes`: a hair-thin object never reaches full cover.
        one, two = (mask >= 0.5 * mask.max() for mask in (masks[0], np.flip(masks[1], axis)))
        near_one, near_two = (ndimage.binary_dilation(mask, np.ones((3, 3))) for mask in (one, two))
        shares[view, other] = float((one & ~near_two | two & ~near_one).sum() / (one | two).sum())
    return shares


def _mirror_note(views):
    """The opposite views that do not mirror each other, and how much of them; None if all do."""
    unlike = [f"{view} and {other} differ in {100 * share:.0f} % of their area"
              for (view, other), share in silhouette_disagreement(views).items() if share > MIRROR_TOLERANCE]
    return f"{UNLIKE}: {', '.join(unlike)}" if unlike else None


# ---- Names of files -------------------------------------------------------------------------------------------


def match_pictures(folder):
    """Sort a folder's pictures by name.

    Returns:
        groups: {id: {view name: [Path, ...]}}; id is "" for plain front.png.
        strays: list of (id, hint) for pictures whose name or format is not accepted.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder" if not folder.exists() else f"{folder}: is not a folder")
    groups, strays = {}, []
    for path in sorted(folder.iterdir()):
        extension = path.suffix.lower()
        if path.name.startswith(".") or extension not in IMAGE_EXTENSIONS + OTHER_PICTURES or not path.is_file():
            continue
        object_id, _, word = path.stem.rpartition("_")  # ids may hold underscores themselves
        view = word.lower()
        if extension in OTHER_PICTURES:
            strays.append((object_id, f"{path.name}: save it as PNG or JPEG"))
        elif view in VIEW_NAMES:
            groups.setdefault(object_id, {}).setdefault(view, []).append(path)
        else:
            hint = _did_you_mean(view, path.stem[: len(path.stem) - len(word)], path.suffix)
            strays.append((object_id, path.name + (hint or f" (views are {', '.join(VIEW_NAMES)})")))
    return groups, strays


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
