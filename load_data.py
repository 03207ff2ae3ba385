"""Where images and meshes enter: finding objects, reporting what is broken, data sets.

    python load_data.py --obj_dir data/OBJs --images_dir data/input_images

reads every object once and reports what is missing or broken, as training would. utils/views/six_views.py reads images;
utils/training_data/object_cache.py keeps what is made of an object once.
"""
import contextlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from config import SAMPLE_DIR, VIEW_NAMES, Config, UserError, counted, folders, parse_config, run_script
from utils.io.file_index import read_index, write_index
from utils.io.files import content_hash, entries, no_folder
from utils.io.object_files import ObjectFiles
from utils.mesh.mesh_io import MESH_EXTENSIONS
from utils.training_data.augment import AUGMENT_VERSION, augmented
from utils.training_data.loader import leave_signals_to_main
from utils.training_data.object_cache import (
    INDEX_NAME,
    CachedObject,
    FieldObject,
    MakingItems,
    UnusableObject,
    cache_field_object,
    cache_object,
    field_item,
    generated_item,
    load_cached,
    variant_rng,
)
from utils.views.names import Problem, format_problems, match_images, nothing_to_reconstruct, view_problems
from utils.views.six_views import FRAMED
from utils.views.view_consistency import UNLIKE

# ---- Finding --------------------------------------------------------------------------------------------------


def find_view_sets(folder: Path | str, allow_missing: bool = False) -> tuple[dict[str, dict[str, Path]], list[Problem]]:
    """Find the six-view sets to reconstruct.

    Args:
        folder: one object (front.png, ...), many (<id>_front.png, ...), or sub-folders that each hold one.
        allow_missing: three views, two of them not opposite each other, are enough.
    Returns:
        sets: {id: {view name: Path}}, sorted by id; usable ones only.
        problems: list of Problem for the others.
    Raises:
        UserError: the folder is absent or holds no complete set; it names id and view.
    """
    folder = Path(folder)
    if folder.is_file() and folder.suffix.lower() in MESH_EXTENSIONS:
        raise UserError(f"{folder}: is a mesh, and pictures are wanted, of which one is made: give the folder that holds "
                        f"{', '.join(f'{view}.png' for view in VIEW_NAMES[:-1])} and {VIEW_NAMES[-1]}.png "
                        "(python -m utils.prepare_dataset draws them from a folder of meshes)")
    found, problems, strays = {}, [], []
    subfolders = [path for path in entries(folder)  # the images of a link to the folder itself would be done twice
                  if _is_visible_folder(path) and not path.samefile(folder)] if folder.is_dir() else []
    for place in [folder] + subfolders:
        try:
            groups, unknown = match_images(place)
        except UserError as error:
            if place == folder:
                raise
            problems.append(Problem(place.name, "unusable folder", str(error)))
            continue
        strays += [(object_id or Path(os.path.abspath(place)).name, hint) for object_id, hint in unknown]
        for object_id, views in groups.items():
            name = object_id or Path(os.path.abspath(place)).name
            if name in found:
                problems.append(Problem(name, "two sets of images", f"in {place} too; left out"))
            else:
                found[name] = views
    sets = {}
    for name, views in sorted(found.items()):
        wrong = view_problems(name, views, allow_missing)
        problems += wrong
        if not wrong:
            sets[name] = {view: views[view][0] for view in VIEW_NAMES if view in views}
    # A preview beside six good views is no problem; a misspelt view beside five is, and then the reason for the gap.
    unknown = [Problem(name, "unknown view name", hint) for name, hint in strays if name not in sets]
    problems = unknown + problems
    if not sets:
        meshes = [path.name for place in [folder] + subfolders for path in sorted(place.glob("*"))
                  if path.suffix.lower() in MESH_EXTENSIONS and not path.name.startswith(".")]
        raise nothing_to_reconstruct(folder, meshes, found, problems, bool(unknown), allow_missing)
    return sets, problems


def find_objects(obj_dir: Path | str, images_dir: Path | str) -> tuple[list[ObjectFiles], list[Problem]]:
    """Pair meshes with their six images, by name alone.

    Args:
        obj_dir: folder of <id>/<anything>.obj; several with commas.
        images_dir: folder of <id>_<view>.png, .jpg or .jpeg; as many.
    Returns:
        objects: list of ObjectFiles, complete ones, sorted by id.
        problems: list of Problem, everything that does not fit.
    Raises:
        UserError: a folder is absent, or no object is complete.
    """
    found, problems = {}, []
    for place, images in zip(folders(str(obj_dir)), folders(str(images_dir)), strict=True):
        objects, wrong = _find_in(place, images)
        problems += wrong
        for files in objects:
            if files.id in found:
                problems.append(Problem(files.id, "two objects of one id", f"{files.mesh} is left out"))
            found.setdefault(files.id, files)
    if not found:
        raise _nothing_complete(obj_dir, images_dir, problems)
    return [found[name] for name in sorted(found)], sorted(problems, key=lambda problem: problem.id)


def _find_in(obj_dir, images_dir):
    """Complete objects and problems of one folder of meshes and one of images."""
    for path, what in ((obj_dir, "meshes"), (images_dir, "images")):
        if not path.is_dir():
            raise UserError(f"{path}: {no_folder(path, f'folder of {what}')}; {_layout(obj_dir, images_dir)}")
    groups, strays = match_images(images_dir)
    nameless = groups.pop("", {})
    problems = [Problem(object_id, "unknown view name", hint) for object_id, hint in strays]
    problems += [Problem("", "image without id", f"{path.name}: expected <id>_{path.name}")
                 for paths in nameless.values() for path in paths]
    objects = []
    problems += [Problem(path.stem, "mesh without folder", f"{path.name}: move it to {path.stem}/{path.name}")
                 for path in sorted(obj_dir.glob("*")) if path.suffix.lower() == ".obj" and path.is_file()]
    for folder in (path for path in entries(obj_dir) if _is_visible_folder(path)):
        try:
            mesh, wrong = _one_mesh(folder)
        except UserError as error:
            mesh, wrong = None, [Problem(folder.name, "unusable folder", str(error))]
        views = groups.pop(folder.name, {})
        wrong += view_problems(folder.name, views) if views else [
            Problem(folder.name, "mesh without images", f"expected {folder.name}_front.png, ...")]
        problems += wrong
        if not wrong and folder.name.encode(errors="replace").decode() != folder.name:
            problems.append(Problem(folder.name, "name that is no text", "its bytes are no UTF-8; rename folder and images"))
        elif not wrong:
            objects.append(ObjectFiles(folder.name, mesh, {view: views[view][0] for view in VIEW_NAMES}))
    problems += [Problem(name, "images without mesh", f"expected {obj_dir / name}/{name}.obj") for name in groups]
    return objects, problems


def _one_mesh(folder):
    """The OBJ of an object's folder and no problems, or None and why."""
    files = [path for path in entries(folder) if os.path.isfile(path) and not path.name.startswith(".")]
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


# ---- Reading each object once ----------------------------------------------------------------------------------


def resolve_data(cfg: Config, quiet: bool = False) -> tuple[Path, Path]:
    """Folders of meshes and images: the user's, or the shipped sample if nothing was named and none are there."""
    untouched = cfg.obj_dir == Config.obj_dir and cfg.images_dir == Config.images_dir
    named = {"obj_dir", "images_dir"} & set(cfg.explicit)
    obj_dir, images_dir = Path(cfg.obj_dir), Path(cfg.images_dir)
    own = obj_dir.is_dir() and any(_is_visible_folder(path) for path in entries(obj_dir))
    sample = Path(__file__).parent / SAMPLE_DIR
    if not untouched or named or own or not sample.is_dir():
        return obj_dir, images_dir
    if not quiet:
        print(f"no objects in {cfg.obj_dir}: using the shipped {SAMPLE_DIR} (your own: --obj_dir and --images_dir, or "
              f"put them in {cfg.obj_dir} and {cfg.images_dir})")
    return sample / "OBJs", sample / "input_images"


def prepare_objects(cfg: Config, quiet: bool = False) -> tuple[list[ObjectFiles], dict[str, CachedObject]]:
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
    return _prepare(cfg, quiet, partial(cache_object, cache_dir=cfg.cache_dir, image_size=cfg.image_size,
                                        num_surface_samples=cfg.num_surface_samples))


def prepare_field_objects(cfg: Config, quiet: bool = False) -> tuple[list[ObjectFiles], dict[str, FieldObject]]:
    """As `prepare_objects`, but with what the field reads: `num_workers` processes make it."""
    return _prepare(cfg, quiet, partial(cache_field_object, cache_dir=cfg.cache_dir), cfg.num_workers)


def _prepare(cfg: Config, quiet: bool, cache: Callable, num_workers: int = 0):
    obj_dir, images_dir = resolve_data(cfg, quiet)
    objects, problems = find_objects(obj_dir, images_dir)
    if Path(cfg.cache_dir).exists() and not Path(cfg.cache_dir).is_dir():
        raise UserError(f"--cache_dir {cfg.cache_dir}: is a file, and a folder is needed")
    index_path, cached = Path(cfg.cache_dir) / INDEX_NAME, {}
    index = read_index(index_path)
    known = dict(index)

    def bar(steps, what):
        return tqdm(steps, desc=what, total=len(objects), unit="object", leave=False, disable=True if quiet else None)

    if num_workers:  # the others leave in the cache what this process then finds there
        making = DataLoader(MakingItems(objects, cache, index), batch_size=None, num_workers=num_workers,
                            worker_init_fn=leave_signals_to_main)
        for _ in bar(making, "making items"):
            pass
    for files in bar(objects, "reading objects"):
        try:
            cached[files.id] = cache(files, index=index)
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
        print(f"warning: {counted(len(framed), 'object has', 'objects have')} images that do not fill the frame; for "
              f"{framed[0].id} {framed[0].note}")
    unlike = [entry.id for entry in cached.values() if UNLIKE in entry.note]
    if unlike:
        print(f"warning: in {counted(len(unlike), 'object')} {UNLIKE}: {', '.join(unlike[:6] + ['...'] * (len(unlike) > 6))}")
    left_out = {problem.id for problem in problems if problem.id} - set(cached)
    print(f"{counted(len(cached), 'object')} complete, {len(left_out)} left out")


# ---- Data sets ------------------------------------------------------------------------------------------------


class SixViewDataset:
    """Objects as tensors; a map-style dataset for torch's DataLoader (which needs no base class).

    An item is asked for by its index, or by (index, variant): variant 0 is the object as it is, any other number
    the augmentation of that number, the same whenever it is asked for. It is a dict: id str; variant int; images
    (6, 3, S, S) float32 in [0, 1] over white and masks (6, S, S) float32, both in VIEW_NAMES order; points, normals
    and colors (K, 3) float32 of the true surface in the normalized frame.

    Args:
        cached: list of CachedObject, all of one image size and sample count.
        turns: augmentations include quarter turns.
        with_images: False leaves images and masks out, for runs that have their features already.
    """

    def __init__(self, cached: Sequence[CachedObject], turns: bool = False, with_images: bool = True) -> None:
        self.cached, self.turns, self.with_images = list(cached), turns, with_images
        self.checked = set()  # indices of the objects whose surface has been compared with its checksum

    def __len__(self) -> int:
        return len(self.cached)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        index, variant = key if isinstance(key, tuple) else (key, 0)
        entry = self.cached[index]
        arrays = load_cached(entry, self.with_images, check=index not in self.checked)
        self.checked.add(index)
        if variant:
            arrays = augmented(arrays, variant_rng(entry.id, variant), self.turns)
        item = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if self.with_images:
            item["images"] = item["images"].permute(0, 3, 1, 2).contiguous().float().div_(255)
            item["masks"] = item["masks"].float().div_(255)
        return item | {"id": entry.id, "variant": variant}

    def name(self, key: tuple[int, int]) -> tuple[str, int]:
        """(id, variant) of the item that `key`, (index, variant), asks for."""
        return self.cached[key[0]].id, key[1]

    def images_key(self, key: tuple[int, int]) -> str:
        """str that names the images of item `key`, (index, variant), by their content."""
        entry, variant = self.cached[key[0]], key[1]
        # How far a stretched object is scaled depends on its surface samples too.
        change = (AUGMENT_VERSION, variant, self.turns, entry.surface.name) if variant else ()
        return f"{entry.id[:100]}-{variant}-{content_hash([], entry.views.name, *change)}"


class FieldDataset:
    """Objects as the field model reads them, and generated ones beside them; a map-style dataset.

    An item is asked for by its index or by (index, variant), as in SixViewDataset: see
    utils.training_data.object_cache.field_item. Behind the last object come generated ones, each variant another of them.
    An item is a dict: id str; variant int; and as tensors the arrays of utils.training_data.field_samples.field_arrays.

    Args:
        cached: list of FieldObject, which may be empty.
        generated: how many objects are generated.
        seed, cache_dir: which they are, and the folder that keeps them.
    """

    def __init__(self, cached: Sequence[FieldObject], generated: int = 0, seed: int = 0,
                 cache_dir: Path | str | None = None) -> None:
        self.cached, self.generated, self.seed, self.cache_dir = list(cached), generated, seed, cache_dir

    def __len__(self) -> int:
        return len(self.cached) + self.generated

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        index, variant = key if isinstance(key, tuple) else (key, 0)
        if index < len(self.cached):
            arrays, name = field_item(self.cached, index, variant), self.cached[index].id
        else:
            number, variant = index - len(self.cached) + variant * self.generated, 0
            arrays, name = generated_item(self.cache_dir, self.seed, number), f"generated {self.seed}-{number}"
        return {key: torch.from_numpy(array) for key, array in arrays.items()} | {"id": name, "variant": variant}


def main(argv: list[str]) -> None:
    """Print the report on the dataset that the options name."""
    cfg = parse_config(argv, __doc__, "load_data")
    found = [path for place in folders(str(resolve_data(cfg, quiet=True)[0])) for path in place.glob("*")
             if _is_visible_folder(path)]
    usable = len(prepare_objects(cfg)[0])
    if usable < len(found):
        raise UserError(f"{len(found) - usable} of {counted(len(found), 'object')} cannot be used (see above)")


if __name__ == "__main__":
    run_script(main)
