"""Where images and meshes enter: finding objects, reporting what is broken, caching, splitting, batching.

Images themselves are read by utils/views/six_views.py, in training and in inference alike.

    python load_data.py --obj_dir data/OBJs --images_dir data/input_images

reads every object once and reports what is missing or broken, as training would.
"""
import contextlib
import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import PATCH_SIZE, SAMPLE_DIR, VIEW_NAMES, Config, UserError, parse_config, run_script
from utils.io.file_index import read_index, cached_hash, write_index
from utils.io.files import content_hash, atomic_write
from utils.mesh.mesh import normalize, sample_surface
from utils.mesh.mesh_io import mesh_dependencies, read_mesh
from utils.multiview.view_maps import MAP_SIZE
from utils.training_data.augment import AUGMENT_VERSION, augmented
from utils.training_data.field_samples import FIELD_VERSION, render_field_arrays, field_arrays, composite, random_rotation
from utils.training_data.synthetic_shapes import synthetic_shape
from utils.views.six_views import (  # noqa: F401 (offered here too)
    FRAMED,
    UNLIKE,
    Problem,
    SixViews,
    frame_views,
    in_one_line,
    is_framed,
    match_images,
    read_framed_views,
    read_six_views,
    view_problems,
)

SURFACE_VERSION, VIEWS_VERSION = 4, 6  # raise one when what its cache files hold changes meaning
INDEX_NAME = "index.json"  # in the cache: which files have been read before
VARIANT_SHARES = (0.55, 0.2, 0.25)  # of the field's variants: turned, joined with others, a generated solid instead


@dataclass(frozen=True)
class ObjectFiles:
    """The files of one complete object: images is {view name: Path} for all six views."""

    id: str
    mesh: Path
    images: dict


@dataclass(frozen=True)
class CachedObject:
    """An object whose surface samples and images lie in the cache, and the settings that made them."""

    files: ObjectFiles
    surface: Path
    views: Path
    cache_dir: Path
    num_surface_samples: int
    image_size: int
    warnings: tuple  # missing MTL or texture files
    note: str  # how the images were framed, and views that do not match; "" if there is nothing to say

    @property
    def id(self):
        return self.files.id


class UnusableObject(UserError):
    """A mesh or image of one object cannot be used: training goes on without the object."""


def picture_size(image_size):
    """`image_size` in pixels, rounded up to a multiple of the encoder's patch edge (512 -> 518)."""
    return -(-image_size // PATCH_SIZE) * PATCH_SIZE


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
        groups, unknown = match_images(place)
        strays += [(object_id or place.resolve().name, hint) for object_id, hint in unknown]
        for object_id, views in groups.items():
            name = object_id or place.resolve().name
            if name in found:
                problems.append(Problem(name, "two sets of images", f"in {place} too; left out"))
            else:
                found[name] = views
    sets = {}
    for name, views in sorted(found.items()):
        wrong = view_problems(name, views)
        problems += wrong
        if not wrong:
            sets[name] = {view: views[view][0] for view in VIEW_NAMES}
    # A preview beside six good views is no problem; a misspelt view beside five is.
    problems += [Problem(name, "unknown view name", hint) for name, hint in strays if name not in sets]
    if not sets:
        what = in_one_line(problems, names=len(found) > 1) if problems else "no images found"
        raise UserError(f"{folder}: {what}; expected front, back, left, right, top and bottom as <view>.png or "
                        "<id>_<view>.png (or .jpg, .jpeg)")
    return sets, problems


def find_objects(obj_dir, images_dir):
    """Pair meshes with their six images, by name alone.

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
    for path, what in ((obj_dir, "meshes"), (images_dir, "images")):
        if not path.is_dir():
            raise UserError(f"{path}: no such folder of {what}; {_layout(obj_dir, images_dir)}")
    groups, strays = match_images(images_dir)
    nameless = groups.pop("", {})
    problems = [Problem(object_id, "unknown view name", hint) for object_id, hint in strays]
    problems += [Problem("", "image without id", f"{path.name}: expected <id>_{path.name}")
                 for paths in nameless.values() for path in paths]
    objects, folders = [], sorted(path for path in obj_dir.iterdir() if _is_visible_folder(path))
    problems += [Problem(path.stem, "mesh without folder", f"{path.name}: move it to {path.stem}/{path.name}")
                 for path in sorted(obj_dir.glob("*")) if path.suffix.lower() == ".obj" and path.is_file()]
    for folder in folders:
        mesh, wrong = _one_mesh(folder)
        views = groups.pop(folder.name, {})
        if views:
            wrong += view_problems(folder.name, views)
        else:
            wrong.append(Problem(folder.name, "mesh without images", f"expected {folder.name}_front.png, ..."))
        problems += wrong
        if not wrong:
            objects.append(ObjectFiles(folder.name, mesh, {view: views[view][0] for view in VIEW_NAMES}))
    problems += [Problem(name, "images without mesh", f"expected {obj_dir / name}/{name}.obj") for name in groups]
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
    """Folders of meshes and images: the user's, or the shipped sample if nothing was named and none are there."""
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
    if Path(cfg.cache_dir).exists() and not Path(cfg.cache_dir).is_dir():
        raise UserError(f"--cache_dir {cfg.cache_dir}: is a file, and a folder is needed")
    index_path, cached = Path(cfg.cache_dir) / INDEX_NAME, {}
    index = read_index(index_path)
    known = dict(index)
    for files in tqdm(objects, desc="reading objects", unit="object", leave=False,
                       disable=True if quiet else None):
        try:
            cached[files.id] = cache_object(files, cfg.cache_dir, cfg.num_surface_samples, cfg.image_size, index)
        except UnusableObject as error:
            problems.append(Problem(files.id, "unusable file", str(error)))
    if cached and index != known:
        with contextlib.suppress(UserError):  # a full cache that cannot be written to still serves
            write_index(index_path, index)
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
    framed = [entry for entry in cached.values() if entry.note.startswith(FRAMED)]
    if framed:
        print(f"warning: {len(framed)} objects have images that do not fill the frame; "
              f"for {framed[0].id} {framed[0].note}")
    unlike = [entry.id for entry in cached.values() if UNLIKE in entry.note]
    if unlike:
        print(f"warning: in {len(unlike)} objects {UNLIKE}: {', '.join(unlike[:6] + ['...'] * (len(unlike) > 6))}")
    left_out = {problem.id for problem in problems if problem.id} - set(cached)
    print(f"{len(cached)} objects complete, {len(left_out)} left out")


def cache_object(files, cache_dir, num_surface_samples, image_size, index=None):
    """Sample an object's surface and resize its images into two cache files, unless they are there already.

    File names hold a hash of the content of all source files and of the settings, so a changed texture or size
    makes new ones. The same hash seeds the sampling: equal input gives equal samples.

    Args:
        files: ObjectFiles.
        cache_dir: folder.
        num_surface_samples: points K on the surface.
        image_size: image edge in pixels, rounded up by `image_size`.
        index: dict from utils.io.file_index.read_index, by which files that have not changed are known without being
            read; it is added to.
    Returns:
        CachedObject.
    Raises:
        UnusableObject: the mesh or an image cannot be used.
        UserError: the cache cannot be written.
    """
    size, pictures = picture_size(image_size), [files.images[view] for view in VIEW_NAMES]
    index = {} if index is None else index
    try:
        mesh_key = cached_hash(index, files.mesh, lambda: mesh_dependencies(files.mesh))
        images_key = cached_hash(index, pictures[0], lambda: pictures)
    except OSError as error:
        raise UnusableObject(f"{error.filename}: cannot be read ({error.strerror})") from None
    except UserError as error:
        raise UnusableObject(str(error)) from None
    # Mesh samples and images apart: another image size does not sample the mesh again.
    surface_key = content_hash([], mesh_key, SURFACE_VERSION, num_surface_samples)
    views_key = content_hash([], images_key, VIEWS_VERSION, size, VIEW_NAMES)
    surface = Path(cache_dir) / f"{files.id[:100]}-surface-{surface_key}.bin"
    views = Path(cache_dir) / f"{files.id[:100]}-views-{views_key}.npz"
    try:
        warnings = _surface_record(surface)["warnings"] if surface.is_file() else None
        if warnings is None:
            warnings = _store_surface(surface, files.mesh, num_surface_samples, surface_key)
        note = _read_note(views)
        if note is None:
            note = _store_views(views, files, size)
    except OSError as error:
        raise UserError(f"cannot write {error.filename or cache_dir}: {error.strerror}") from None
    except UserError as error:
        raise UnusableObject(str(error)) from None
    if warnings:  # a missing texture may come: such a mesh is looked at anew every time
        index.pop(str(files.mesh.absolute()), None)
    return CachedObject(files, surface, views, Path(cache_dir), num_surface_samples, image_size, tuple(warnings), note)


def load_cached(entry, pictures=True, check=True):
    """Read a cached object; a damaged or deleted cache file is made again.

    Args:
        entry: CachedObject.
        images: False leaves images and masks out.
        check: compare the surface with its checksum too, not with its size alone; that takes four times as long.
    Returns:
        dict of arrays: points, normals, colors (K, 3) float32; images (6, S, S, 3) and masks (6, S, S) uint8.
    Raises:
        UserError: the object's own files have gone or broken since.
    """
    try:
        return _read_arrays(entry, pictures, check)
    except _DAMAGED:
        for path in (entry.surface, entry.views):
            path.unlink(missing_ok=True)
        fresh = cache_object(entry.files, entry.cache_dir, entry.num_surface_samples, entry.image_size)
        return _read_arrays(fresh, pictures, check)


_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def _read_arrays(entry, pictures, check):
    surface = np.fromfile(entry.surface, np.float32).reshape(3, entry.num_surface_samples, 3)
    if check and zlib.crc32(surface) != _surface_record(entry.surface)["crc32"]:
        raise ValueError("damaged")
    arrays = dict(zip(("points", "normals", "colors"), surface))
    if pictures:
        with np.load(entry.views) as views:
            arrays |= {name: views[name] for name in ("images", "masks")}
    return arrays


def _store_surface(path, mesh_path, count, key):
    """Sample a mesh into one (3, K, 3) float32 array: points, normals, colors; returns the mesh's warnings.

    Bare numbers are read in a sixth of the time of an archive; what to check them by lies beside them.
    """
    mesh, warnings = read_mesh(mesh_path)
    mesh.vertices = normalize(mesh.vertices, mesh.faces)
    surface = np.stack(sample_surface(mesh, count, np.random.default_rng(int(key, 16)))).astype(np.float32)
    with atomic_write(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"crc32": zlib.crc32(surface), "warnings": list(warnings)}))
    with atomic_write(path) as temporary:
        surface.tofile(temporary)
    return warnings


def _surface_record(path):
    """What lies beside a cached surface: its checksum and the mesh's warnings; None for both if it has gone."""
    try:
        return json.loads(path.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return {"crc32": None, "warnings": None}


def _store_views(path, files, size):
    """Read six images into a cache file; returns what there is to say of them, or ""."""
    views, note = read_framed_views(files.images, size, files.id)
    with atomic_write(path) as temporary:
        np.savez(temporary, images=np.round(views.images * 255).astype(np.uint8),
                 masks=np.round(views.masks * 255).astype(np.uint8), note=np.array(note or ""))
    return note or ""


def _read_note(path):
    """The note in a cached file of images, or None where the file is absent or cut short."""
    try:
        with np.load(path) as arrays:
            return str(arrays["note"])
    except _DAMAGED:
        return None


# ---- Splitting and batching -----------------------------------------------------------------------------------


def split_objects(ids, validation_fraction, seed, num_folds=0, fold=0, training_share=1.0):
    """Choose the objects held out of training, by a hash of each id: order of listing does not matter.

    Args:
        ids: distinct str.
        validation_fraction: share held out; above 0 at least one object, and one always stays for training.
        seed: int.
        num_folds: 0, or the number k of equal parts of which one is held out, whatever validation_fraction says.
        fold: which of them, 0 to k - 1.
        training_share: share of the other objects that is trained on, at least one; a larger share holds a smaller.
    Returns:
        train_ids, val_ids: sorted lists.
    Raises:
        UserError: fewer objects than folds.
    """
    ranked = _ranked(ids, seed)
    if num_folds:
        if num_folds > len(ranked):
            raise UserError(f"--num_folds {num_folds}: there are only {len(ranked)} objects")
        first, last = (len(ranked) * number // num_folds for number in (fold, fold + 1))
    else:
        first, last = 0, int(len(ranked) * validation_fraction + 0.5)
        if validation_fraction > 0:
            last = min(max(last, 1), len(ranked) - 1)
        last = max(last, 0)
    train_ids = ranked[:first] + ranked[last:]
    if training_share < 1:
        train_ids = _ranked(train_ids, f"{seed}:share")[:max(1, int(len(train_ids) * training_share + 0.5))]
    return sorted(train_ids), sorted(ranked[first:last])


def _ranked(ids, seed):
    """Distinct ids in an order that depends on each of them and the seed alone."""
    return sorted(ids, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


class SixViewDataset:
    """Objects as tensors; a map-style dataset for torch's DataLoader (which needs no base class).

    An item is asked for by its index, or by (index, variant): variant 0 is the object as it is, any other number
    the augmentation of that number, the same whenever it is asked for. It is a dict: id str; variant int; images
    (6, 3, S, S) float32 in [0, 1] over white and masks (6, S, S) float32, both in VIEW_NAMES order; points, normals
    and colors (K, 3) float32 of the true surface in the normalized frame.

    Args:
        cached: list of CachedObject, all of one image size and sample count.
        turns: augmentations include quarter turns.
        images: False leaves images and masks out, for runs that have their features already.
    """

    def __init__(self, cached, turns=False, pictures=True):
        self.cached, self.turns, self.pictures = list(cached), turns, pictures
        self.checked = set()  # indices of the objects whose surface has been compared with its checksum

    def __len__(self):
        return len(self.cached)

    def __getitem__(self, key):
        import torch

        index, variant = key if isinstance(key, tuple) else (key, 0)
        entry = self.cached[index]
        arrays = load_cached(entry, self.pictures, check=index not in self.checked)
        self.checked.add(index)
        if variant:
            arrays = augmented(arrays, variant_rng(entry.id, variant), self.turns)
        item = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if self.pictures:
            item["images"] = item["images"].permute(0, 3, 1, 2).contiguous().float().div_(255)
            item["masks"] = item["masks"].float().div_(255)
        return item | {"id": entry.id, "variant": variant}

    def name(self, key):
        """(id, variant) of the item that `key`, (index, variant), asks for."""
        return self.cached[key[0]].id, key[1]

    def images_key(self, key):
        """str that names the images of item `key`, (index, variant), by their content."""
        entry, variant = self.cached[key[0]], key[1]
        # How far a stretched object is scaled depends on its surface samples too.
        change = (AUGMENT_VERSION, variant, self.turns, entry.surface.name) if variant else ()
        return f"{entry.id[:100]}-{variant}-{content_hash([], entry.views.name, *change)}"


class FieldDataset:
    """Objects as the field model reads them; a map-style dataset.

    An item is asked for by its index or by (index, variant), as in SixViewDataset. Variant 0 has the given images;
    any other is the mesh turned, or joined with others, or in its place a generated solid, drawn by the project's own
    renderer. Each is made when it is first asked for (about a second) and kept in the cache. An item is a dict: id str;
    variant int; and as tensors the arrays of utils.training_data.field_samples.field_arrays.

    Args:
        cached: list of CachedObject.
    """

    def __init__(self, cached):
        self.cached = list(cached)

    def __len__(self):
        return len(self.cached)

    def __getitem__(self, key):
        import torch

        index, variant = key if isinstance(key, tuple) else (key, 0)
        entry, rng = self.cached[index], variant_rng(self.cached[index].id, variant)
        kind = rng.choice(("turned", "joined", "solid"), p=VARIANT_SHARES) if variant else "given"
        parts = [entry] + [self.cached[other] for other in rng.choice(len(self.cached), 2)[:2 * (kind == "joined")]]
        name = content_hash([], FIELD_VERSION, kind, entry.views.name, *(part.surface.name for part in parts))
        path = entry.cache_dir / f"{entry.id[:100]}-field-{variant}-{name}.npz"
        arrays = _read_field(path)
        if arrays is None:
            arrays = make_field_item([part.files for part in parts], kind, rng)
            with atomic_write(path) as temporary:
                np.savez(temporary, **arrays)
        return {name: torch.from_numpy(array) for name, array in arrays.items()} | {"id": entry.id, "variant": variant}


def make_field_item(files, kind, rng):
    """Arrays of one object, or of a variant of it, for the field model: see FieldDataset.

    Args:
        files: list of ObjectFiles: the object, and those it is joined with.
        kind: "given": the object and its images; "turned", "joined": its mesh drawn anew; "solid": a generated one.
        rng: np.random.Generator.
    Returns:
        dict of arrays from utils.training_data.field_samples.field_arrays.
    Raises:
        UserError: a file has gone or broken since it was first read.
    """
    if kind == "solid":
        solids = [synthetic_shape(rng) for _ in range(rng.choice((1, 2, 3), p=(0.7, 0.2, 0.1)))]
        return render_field_arrays(composite(solids, rng) if len(solids) > 1 else solids[0], rng)
    meshes = [read_mesh(each.mesh)[0] for each in files]
    for mesh in meshes:
        mesh.vertices = normalize(mesh.vertices, mesh.faces)
    if kind == "given":
        views, _ = read_framed_views(files[0].images, 2 * MAP_SIZE, files[0].id)
        return field_arrays(meshes[0], views.images, views.masks, rng)
    return render_field_arrays(random_rotation(meshes[0], rng) if kind == "turned" else composite(meshes[:rng.integers(2, 4)], rng), rng)


def _read_field(path):
    """Arrays of a cache file, or None where it is absent or cut short."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in ("maps", "box", "points", "distances")}
    except _DAMAGED:
        return None


def variant_rng(object_id, variant):
    """np.random.Generator of one variant of one object: the same whenever it is asked for."""
    return np.random.default_rng(list(hashlib.sha256(f"{variant}:{object_id}".encode()).digest()))


class EpochSampler:
    """The order of an epoch as a function of (seed, epoch) alone, so a resumed run repeats it without replaying.

    Args:
        count: objects; each comes once an epoch.
        shuffle: in a random order, else in their own.
        seed: int.
        augmentations: how many augmented variants of an object there are beside itself; one of all is drawn for each
            epoch, and (index, variant) handed out instead of the index.
        fresh: an augmented variant is one that no other epoch uses.
    """

    def __init__(self, count, shuffle, seed, augmentations=0, fresh=False):
        self.count, self.shuffle, self.seed, self.epoch = count, shuffle, seed, 0
        self.augmentations, self.fresh = augmentations, fresh

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.count

    def __iter__(self):
        if not self.shuffle:
            return iter(range(self.count))
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(self.count).tolist()
        if not self.augmentations:
            return iter(order)
        variants = rng.integers(0, self.augmentations + 1, self.count)
        if self.fresh:
            variants = np.where(variants > 0, self.epoch + 1, 0)
        return iter(list(zip(order, variants.tolist())))


def make_loader(dataset, batch_size, shuffle, seed, num_workers=0, augmentations=0, fresh=False):
    """A DataLoader whose order is fixed by `loader.sampler.set_epoch(epoch)`, to be called before each epoch.

    accelerate's prepared loaders pass their own `set_epoch(epoch)` on to this sampler; its arguments are as there.

    Returns:
        DataLoader of dicts as in SixViewDataset with a leading batch axis; ids as a list of str.
    """
    from torch.utils.data import DataLoader

    sampler = EpochSampler(len(dataset), shuffle, seed, augmentations, fresh)
    return DataLoader(dataset, batch_size=batch_size, sampler=sampler, num_workers=num_workers,
                      persistent_workers=num_workers > 0)


def main(argv):
    """Print the report on the dataset that the options name."""
    cfg = parse_config(argv, __doc__)
    found = [path for path in resolve_data(cfg, quiet=True)[0].glob("*") if _is_visible_folder(path)]
    usable = len(prepare_objects(cfg)[0])
    if usable < len(found):
        raise UserError(f"{len(found) - usable} of {len(found)} objects cannot be used (see above)")


if __name__ == "__main__":
    run_script(main)
