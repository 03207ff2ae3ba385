"""Where pictures and meshes enter: finding objects, reading six views, caching, splitting, batching.

`read_six_views` is the one way into the project for pictures, in training and in inference alike.

    python load_data.py --obj_dir data/OBJs --images_dir data/input_images

reads every object once and reports what is missing or broken, as training would.
"""
import difflib
import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import (IMAGE_EXTENSIONS, PATCH_SIZE, SAMPLE_DIR, VIEW_NAMES, Config, UserError, parse_config,
                    run_script)
from utils.files import content_key, replacing
from utils.mesh_io import mesh_dependencies, normalise, read_mesh, sample_surface
from utils.views import VIEW_BASES, VIEW_EXTENT

OTHER_PICTURES = (".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic")  # pictures that are named, but not accepted
FRAME_TOLERANCE = 0.02  # share of a picture's edge by which a box may miss the frame and still count as framed
CACHE_VERSION = 3  # raise it when what a cache file holds changes meaning


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
class ObjectFiles:
    """The files of one complete object: images is {view name: Path} for all six views."""

    id: str
    mesh: Path
    images: dict


@dataclass(frozen=True)
class Problem:
    """One reason why an object is left out, or a file not understood; id is "" where no object can be named."""

    id: str
    what: str
    detail: str


@dataclass(frozen=True)
class CachedObject:
    """An object whose surface samples and pictures lie in the cache, and the settings that made them."""

    files: ObjectFiles
    surface: Path
    views: Path
    cache_dir: Path
    num_surface_samples: int
    image_size: int
    warnings: tuple  # missing MTL or texture files
    note: str  # how the pictures were framed; "" if they were already

    @property
    def id(self):
        return self.files.id


class UnusableObject(UserError):
    """A mesh or picture of one object cannot be used: training goes on without the object."""


def picture_size(image_size):
    """`image_size` in pixels, rounded up to a multiple of the encoder's patch edge (512 -> 518)."""
    return -(-image_size // PATCH_SIZE) * PATCH_SIZE


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
    groups, strays = _match_pictures(folder)
    chosen = object_id if object_id in groups else "" if "" in groups else None
    if chosen is None and object_id is None and len(groups) == 1:
        chosen = next(iter(groups))
    if chosen is None and object_id is None and len(groups) > 1:
        raise UserError(f"{folder}: holds pictures of several objects ({', '.join(sorted(groups))}); name one")
    name = object_id or chosen or folder.resolve().name
    problems = _view_problems(name, groups.get(chosen, {}))
    if problems:
        problems += [Problem(name, "unknown view name", hint) for _, hint in strays]
        raise UserError(f"{folder}: {_in_one_line(problems)}; expected {', '.join(v + '.png' for v in VIEW_NAMES)} "
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
        note: str saying what was done, or None for pictures that were framed already.
    Raises:
        UserError: see read_six_views.
    """
    name, paths = _find_one_object(folder_or_files, object_id)
    squares = [_read_square(path, view, size) for path, view in zip(paths, VIEW_NAMES)]
    views = _stack(name, paths, squares, size)
    if is_framed(views):
        return views, None
    larger = _stack(name, paths, squares, max(1024, 2 * size))
    if is_framed(larger):  # thin tips may fade at `size`, and with them the box
        return views, None
    return frame_views(larger, size)


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


# ---- Finding --------------------------------------------------------------------------------------------------


def find_view_sets(folder):
    """Find the six-view sets to reconstruct.

    Args:
        folder: one object (front.png, ...), many (<id>_front.png, ...), or sub-folders that each hold one.
    Returns:
        sets: {id: {view name: Path}}, sorted by id; complete ones only.
        problems: list of Problem for the others.
    Raises:
        UserError: the folder is absent or holds no complete set; it names id and view.
    """
    folder = Path(folder)
    found, problems, strays = {}, [], []
    subfolders = sorted(path for path in folder.iterdir() if _is_visible_folder(path)) if folder.is_dir() else []
    for place in [folder] + subfolders:
        groups, unknown = _match_pictures(place)
        strays += [(object_id or place.resolve().name, hint) for object_id, hint in unknown]
        for object_id, views in groups.items():
            name = object_id or place.resolve().name
            if name in found:
                problems.append(Problem(name, "two sets of pictures", f"in {place} too; left out"))
            else:
                found[name] = views
    sets = {}
    for name, views in sorted(found.items()):
        wrong = _view_problems(name, views)
        problems += wrong
        if not wrong:
            sets[name] = {view: views[view][0] for view in VIEW_NAMES}
    # A preview beside six good views is no problem; a misspelt view beside five is.
    problems += [Problem(name, "unknown view name", hint) for name, hint in strays if name not in sets]
    if not sets:
        what = _in_one_line(problems, names=len(found) > 1) if problems else "no pictures found"
        raise UserError(f"{folder}: {what}; expected front, back, left, right, top and bottom as <view>.png or "
                        "<id>_<view>.png (or .jpg, .jpeg)")
    return sets, problems


def find_objects(obj_dir, images_dir):
    """Pair meshes with their six pictures, by name alone.

    Args:
        obj_dir: folder of <id>/<anything>.obj.
        images_dir: folder of <id>_<view>.png, .jpg or .jpeg.
    Returns:
        objects: list of ObjectFiles, complete ones, sorted by id.
        problems: list of Problem, everything that does not fit.
    Raises:
        UserError: a folder is absent, or no object is complete.
    """
    obj_dir, images_dir = Path(obj_dir), Path(images_dir)
    for path, what in ((obj_dir, "meshes"), (images_dir, "pictures")):
        if not path.is_dir():
            raise UserError(f"{path}: no such folder of {what}; {_layout(obj_dir, images_dir)}")
    groups, strays = _match_pictures(images_dir)
    nameless = groups.pop("", {})
    problems = [Problem(object_id, "unknown view name", hint) for object_id, hint in strays]
    problems += [Problem("", "picture without id", f"{path.name}: expected <id>_{path.name}")
                 for paths in nameless.values() for path in paths]
    objects, folders = [], sorted(path for path in obj_dir.iterdir() if _is_visible_folder(path))
    problems += [Problem(path.stem, "mesh without folder", f"{path.name}: move it to {path.stem}/{path.name}")
                 for path in sorted(obj_dir.glob("*")) if path.suffix.lower() == ".obj" and path.is_file()]
    for folder in folders:
        mesh, wrong = _one_mesh(folder)
        views = groups.pop(folder.name, {})
        if views:
            wrong += _view_problems(folder.name, views)
        else:
            wrong.append(Problem(folder.name, "mesh without pictures", f"expected {folder.name}_front.png, ..."))
        problems += wrong
        if not wrong:
            objects.append(ObjectFiles(folder.name, mesh, {view: views[view][0] for view in VIEW_NAMES}))
    problems += [Problem(name, "pictures without mesh", f"expected {obj_dir / name}/{name}.obj") for name in groups]
    if not objects:
        raise _nothing_complete(obj_dir, images_dir, problems)
    return objects, sorted(problems, key=lambda problem: problem.id)


def format_problems(problems):
    """Problems as an aligned table: object, problem, detail; "" if there are none."""
    if not problems:
        return ""
    rows = [("object", "problem", "detail")] + [(p.id or "-", p.what, p.detail) for p in problems]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    return "\n".join(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows)


def _match_pictures(folder):
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


def _one_mesh(folder):
    """The OBJ of an object's folder and no problems, or None and why."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    meshes = [path for path in files if path.suffix.lower() == ".obj"]
    if len(meshes) == 1:
        return meshes[0], []
    if meshes:
        return None, [Problem(folder.name, "two meshes", ", ".join(path.name for path in meshes) + ": keep one")]
    if files:
        return None, [Problem(folder.name, "no OBJ file", f"found {files[0].name}; python -m utils.prepare_dataset "
                              "converts GLB, PLY, OFF and STL")]
    return None, [Problem(folder.name, "empty folder", f"expected {folder.name}/{folder.name}.obj")]


def _view_problems(name, views):
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


def _in_one_line(problems, names=False, most=6):
    shown = [(f"{p.id}: " if names and p.id else "") + f"{p.what} {p.detail}" for p in problems[:most]]
    return "; ".join(shown) + (f"; and {len(problems) - most} more" if len(problems) > most else "")


def _is_visible_folder(path):
    return path.is_dir() and not path.name.startswith(".")


def _layout(obj_dir, images_dir):
    return (f"expected {obj_dir}/<id>/<anything>.obj and {images_dir}/<id>_<view>.png (or .jpg, .jpeg) for the views "
            f"{', '.join(VIEW_NAMES)}")


def _nothing_complete(obj_dir, images_dir, problems):
    table = "\n" + format_problems(problems) if problems else ""
    return UserError(f"no complete object; {_layout(obj_dir, images_dir)}{table}")


# ---- Caching --------------------------------------------------------------------------------------------------


def resolve_data(cfg, quiet=False):
    """Folders of meshes and pictures: the user's, or the shipped sample if nothing was named and none are there."""
    untouched = cfg.obj_dir == Config.obj_dir and cfg.images_dir == Config.images_dir
    named = {"obj_dir", "images_dir"} & set(cfg.explicit)
    obj_dir, images_dir = Path(cfg.obj_dir), Path(cfg.images_dir)
    own = obj_dir.is_dir() and any(_is_visible_folder(path) for path in obj_dir.iterdir())
    sample = Path(__file__).parent / SAMPLE_DIR
    if not untouched or named or own or not sample.is_dir():
        return obj_dir, images_dir
    if not quiet:
        print(f"no objects in {cfg.obj_dir}: using the shipped {SAMPLE_DIR} (your own: --obj_dir and --images_dir, or "
              f"put them in {cfg.obj_dir} and {cfg.images_dir})")
    return sample / "OBJs", sample / "input_images"


def prepare_objects(cfg, quiet=False):
    """Find all objects, read each of them once into the cache, and report what cannot be used.

    Args:
        cfg: config.Config; obj_dir, images_dir, cache_dir, num_surface_samples and image_size are used.
        quiet: print nothing (processes other than the first).
    Returns:
        objects: list of ObjectFiles that are complete and readable, sorted by id.
        cached: {id: CachedObject}.
    Raises:
        UserError: no object is usable (the message holds the table of problems), or the cache cannot be written.
    """
    from tqdm import tqdm

    obj_dir, images_dir = resolve_data(cfg, quiet)
    objects, problems = find_objects(obj_dir, images_dir)
    cached = {}
    for files in tqdm(objects, desc="reading objects", unit="object", disable=quiet, leave=False):
        try:
            cached[files.id] = cache_object(files, cfg.cache_dir, cfg.num_surface_samples, cfg.image_size)
        except UnusableObject as error:
            problems.append(Problem(files.id, "unusable file", str(error)))
    if not cached:
        raise _nothing_complete(obj_dir, images_dir, problems)
    if not quiet:
        _report(cached, sorted(problems, key=lambda problem: problem.id))
    return [files for files in objects if files.id in cached], cached


def _report(cached, problems):
    if problems:
        print(format_problems(problems))
    for entry in cached.values():
        for warning in entry.warnings:
            print(f"warning: {warning}")
    framed = [entry for entry in cached.values() if entry.note]
    if framed:
        print(f"warning: {len(framed)} objects have pictures that do not fill the frame; "
              f"for {framed[0].id} {framed[0].note}")
    left_out = {problem.id for problem in problems if problem.id} - set(cached)
    print(f"{len(cached)} objects complete, {len(left_out)} left out")


def cache_object(files, cache_dir, num_surface_samples, image_size):
    """Sample an object's surface and resize its pictures into two cache files, unless they are there already.

    File names hold a hash of the content of all source files and of the settings, so a changed texture or size
    makes new ones. The same hash seeds the sampling: equal input gives equal samples.

    Args:
        files: ObjectFiles.
        cache_dir: folder.
        num_surface_samples: points K on the surface.
        image_size: picture edge in pixels, rounded up by `picture_size`.
    Returns:
        CachedObject.
    Raises:
        UnusableObject: the mesh or a picture cannot be used.
        UserError: the cache cannot be written.
    """
    size, pictures = picture_size(image_size), [files.images[view] for view in VIEW_NAMES]
    try:
        surface_key = content_key(mesh_dependencies(files.mesh), CACHE_VERSION, num_surface_samples)
        views_key = content_key(pictures, CACHE_VERSION, size, VIEW_NAMES)
    except OSError as error:
        raise UnusableObject(f"{error.filename}: cannot be read ({error.strerror})") from None
    except UserError as error:
        raise UnusableObject(str(error)) from None
    # Mesh samples and pictures apart: another picture size does not sample the mesh again.
    surface = Path(cache_dir) / f"{files.id[:100]}-surface-{surface_key}.npz"
    views = Path(cache_dir) / f"{files.id[:100]}-views-{views_key}.npz"
    warnings = _read_text(surface, "warnings")
    if warnings is None:
        warnings = _store(surface, lambda: _surface_arrays(files.mesh, num_surface_samples, surface_key), "warnings")
    note = _read_text(views, "note")
    if note is None:
        note = _store(views, lambda: _view_arrays(files, size), "note")
    return CachedObject(files, surface, views, Path(cache_dir), num_surface_samples, image_size,
                        tuple(warnings), "".join(note))


def load_cached(entry):
    """Read a cached object; a damaged or deleted cache file is made again.

    Args:
        entry: CachedObject.
    Returns:
        dict of arrays: points, normals, colors (K, 3) float32; images (6, S, S, 3) and masks (6, S, S) uint8.
    Raises:
        UserError: the object's own files have gone or broken since.
    """
    try:
        return _read_arrays(entry)
    except _DAMAGED:
        for path in (entry.surface, entry.views):
            path.unlink(missing_ok=True)
        return _read_arrays(cache_object(entry.files, entry.cache_dir, entry.num_surface_samples, entry.image_size))


_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def _read_arrays(entry):
    with np.load(entry.surface) as surface, np.load(entry.views) as views:
        return {name: surface[name] for name in ("points", "normals", "colors")} | {
            name: views[name] for name in ("images", "masks")}


def _read_text(path, name):
    """A list of str kept in a cache file, or None where the file is absent or cut short."""
    try:
        with np.load(path) as arrays:
            return arrays[name].tolist()
    except _DAMAGED:
        return None


def _store(path, make, name):
    try:
        arrays = make()
    except UserError as error:
        raise UnusableObject(str(error)) from None
    try:
        with replacing(path) as temporary:
            np.savez(temporary, **arrays)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    return arrays[name].tolist()


def _surface_arrays(path, count, key):
    mesh, warnings = read_mesh(path)
    mesh.vertices = normalise(mesh.vertices, mesh.faces)
    points, normals, colors = sample_surface(mesh, count, np.random.default_rng(int(key, 16)))
    return {"points": points, "normals": normals, "colors": colors, "warnings": np.array(warnings, np.str_)}


def _view_arrays(files, size):
    views, note = read_framed_views(files.images, size, files.id)
    return {"images": np.round(views.images * 255).astype(np.uint8),
            "masks": np.round(views.masks * 255).astype(np.uint8), "note": np.array([note or ""])}


# ---- Splitting and batching -----------------------------------------------------------------------------------


def split_objects(ids, validation_fraction, seed):
    """Choose the objects held out of training, by a hash of each id: order of listing does not matter.

    Args:
        ids: distinct str.
        validation_fraction: share held out; above 0 at least one object, and one always stays for training.
        seed: int.
    Returns:
        train_ids, val_ids: sorted lists.
    """
    ranked = sorted(ids, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    count = int(len(ranked) * validation_fraction + 0.5)
    if validation_fraction > 0:
        count = min(max(count, 1), len(ranked) - 1)
    count = max(count, 0)
    return sorted(ranked[count:]), sorted(ranked[:count])


class SixViewDataset:
    """Objects as tensors; a map-style dataset for torch's DataLoader (which needs no base class).

    An item is a dict: id str; images (6, 3, S, S) float32 in [0, 1] over white and masks (6, S, S) float32, both in
    VIEW_NAMES order; points, normals and colors (K, 3) float32 of the true surface in the normalised frame.
    """

    def __init__(self, cached):
        """cached: list of CachedObject, all of one image size and sample count."""
        self.cached = list(cached)

    def __len__(self):
        return len(self.cached)

    def __getitem__(self, index):
        import torch

        entry = self.cached[index]
        item = {name: torch.from_numpy(array) for name, array in load_cached(entry).items()}
        item["images"] = item["images"].permute(0, 3, 1, 2).contiguous().float().div_(255)
        item["masks"] = item["masks"].float().div_(255)
        return item | {"id": entry.id}


class EpochSampler:
    """The order of an epoch as a function of (seed, epoch) alone, so a resumed run repeats it without replaying."""

    def __init__(self, count, shuffle, seed):
        self.count, self.shuffle, self.seed, self.epoch = count, shuffle, seed, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.count

    def __iter__(self):
        if not self.shuffle:
            return iter(range(self.count))
        return iter(np.random.default_rng([self.seed, self.epoch]).permutation(self.count).tolist())


def make_loader(dataset, batch_size, shuffle, seed, num_workers=0):
    """A DataLoader whose order is fixed by `loader.sampler.set_epoch(epoch)`, to be called before each epoch.

    accelerate's prepared loaders pass their own `set_epoch(epoch)` on to this sampler.

    Returns:
        DataLoader of dicts as in SixViewDataset with a leading batch axis; ids as a list of str.
    """
    from torch.utils.data import DataLoader

    return DataLoader(dataset, batch_size=batch_size, sampler=EpochSampler(len(dataset), shuffle, seed),
                      num_workers=num_workers, persistent_workers=num_workers > 0)


def main(argv):
    """Print the report on the dataset that the options name."""
    prepare_objects(parse_config(argv, __doc__))


if __name__ == "__main__":
    run_script(main)
