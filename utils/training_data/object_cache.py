"""What training reads of each object, made from its mesh and images once and kept in files named by content.

The point decoder and the texture read sampled surfaces and resized images (`CachedObject`); the field reads maps and
labeled points (`FieldObject`). Neither makes what the other one reads.
"""
import contextlib
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import PATCH_SIZE, VIEW_NAMES, UserError
from utils.io.cached_file import READ_ERRORS, cached_npz, read_npz
from utils.io.file_index import cached_hash, read_index
from utils.io.files import CannotWrite, atomic_write, content_hash
from utils.io.object_files import ObjectFiles
from utils.mesh.mesh import Mesh, normalize, sample_surface
from utils.mesh.mesh_io import mesh_dependencies, read_mesh
from utils.multiview.view_maps import MAP_SIZE
from utils.training_data.field_samples import (
    FIELD_VERSION,
    composite,
    field_arrays,
    random_rotation,
    render_field_arrays,
)
from utils.training_data.synthetic.shapes import synthetic_shape
from utils.views.six_views import read_framed_views

INDEX_NAME = "index.json"  # in the cache: which files have been read before
SURFACE_VERSION, VIEWS_VERSION = 4, 6  # raise one when what its cache files hold changes meaning
# Raise when variants or generated objects are drawn otherwise, be it here, in field_samples.py (random_rotation, composite),
# in any file of synthetic/: those cached before are then stale.
VARIANTS_VERSION = 1
VARIANT_SHARES = (0.55, 0.2, 0.25)  # of the field's variants: turned, joined with others, a generated solid instead
SOLIDS = ((1, 2, 3), (0.7, 0.2, 0.1))  # how many solids a generated object is made of, and how often
NOTES = ("note", "warnings")  # arrays of a field item that are not for the network


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
    def id(self) -> str:
        return self.files.id


@dataclass(frozen=True)
class FieldObject:
    """An object whose item for the field lies in the cache, and hashes of what it is made from."""

    files: ObjectFiles
    cache_dir: Path
    mesh_key: str  # of the mesh and the files it names
    images_key: str  # of the six images
    warnings: tuple  # as in CachedObject
    note: str

    @property
    def id(self) -> str:
        return self.files.id


class UnusableObject(UserError):
    """A mesh or image of one object cannot be used: training goes on without the object."""


def padded_image_size(image_size: int) -> int:
    """`image_size` in pixels, rounded up to a multiple of the encoder's patch edge (512 -> 518)."""
    return -(-image_size // PATCH_SIZE) * PATCH_SIZE


def source_hashes(files: ObjectFiles, index: dict) -> tuple[str, str]:
    """Hashes of the content of an object's mesh (with all files it names) and of its images.

    Args:
        files: ObjectFiles.
        index: dict from utils.io.file_index.read_index, by which files that have not changed are known without being
            read; it is added to.
    Returns:
        two str.
    Raises:
        UnusableObject: a file cannot be read.
    """
    images = [files.images[view] for view in VIEW_NAMES]
    try:
        return (cached_hash(index, files.mesh, lambda: mesh_dependencies(files.mesh)),
                cached_hash(index, images[0], lambda: images))
    except OSError as error:
        raise UnusableObject(f"{error.filename}: cannot be read ({error.strerror})") from None
    except UserError as error:
        raise UnusableObject(str(error)) from None


def input_hashes(objects: Sequence[ObjectFiles], cache_dir: str | Path) -> dict[str, list[str]]:
    """{id: [hash of its mesh with all files that it names, hash of its images]}, for a record of what was trained on.

    The cache's index knows unchanged files without their being read.
    """
    index = read_index(Path(cache_dir) / INDEX_NAME)
    return {files.id: list(source_hashes(files, index)) for files in objects}


class MakingItems:
    """Cached items as a side effect of reading a data set, so that a DataLoader's processes make them.

    Args:
        objects: list of ObjectFiles.
        cache: cache_object or cache_field_object with all but files and index given (functools.partial).
        index: as in `source_hashes`.
    """

    def __init__(self, objects: list[ObjectFiles], cache: Callable, index: dict) -> None:
        self.objects, self.cache, self.index = objects, cache, index

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, position: int) -> int:
        with contextlib.suppress(UserError):  # said by the process that reads it next
            self.cache(self.objects[position], index=dict(self.index))
        return position


def variant_rng(object_id: str, variant: int) -> np.random.Generator:
    """The random numbers of one variant of one object: the same whenever it is asked for."""
    return np.random.default_rng(list(hashlib.sha256(f"{variant}:{object_id}".encode()).digest()))


# ---- Surfaces and images ----------------------------------------------------------------------------------------


def cache_object(files: ObjectFiles, cache_dir: Path | str, num_surface_samples: int, image_size: int,
                 index: dict | None = None) -> CachedObject:
    """Sample an object's surface and resize its images into two cache files, unless they are there already.

    File names hold a hash of the content of all source files and of the settings, so a changed texture or size
    makes new ones. The same hash seeds the sampling: equal input gives equal samples.

    Args:
        files: ObjectFiles.
        cache_dir: folder.
        num_surface_samples: points K on the surface.
        image_size: image edge in pixels, rounded up by `padded_image_size`.
        index: as in `source_hashes`.
    Returns:
        CachedObject.
    Raises:
        UnusableObject: the mesh or an image cannot be used.
        UserError: the cache cannot be written.
    """
    size, index = padded_image_size(image_size), {} if index is None else index
    mesh_key, images_key = source_hashes(files, index)
    # Mesh samples and images apart: another image size does not sample the mesh again.
    surface_key = content_hash([], mesh_key, SURFACE_VERSION, num_surface_samples)
    views_key = content_hash([], images_key, VIEWS_VERSION, size, VIEW_NAMES)
    surface = Path(cache_dir) / f"{files.id[:100]}-surface-{surface_key}.bin"
    views = Path(cache_dir) / f"{files.id[:100]}-views-{views_key}.npz"
    try:
        warnings = _surface_record(surface)["warnings"] if surface.is_file() else None
        if warnings is None:
            warnings = _store_surface(surface, files.mesh, num_surface_samples, surface_key)
        note = cached_npz(views, lambda: _view_arrays(files, size), ("note",))["note"]
    except CannotWrite:
        raise
    except OSError as error:
        raise UserError(f"cannot write {error.filename or cache_dir}: {error.strerror}") from None
    except UserError as error:
        raise UnusableObject(str(error)) from None
    if warnings:  # a missing texture may come: such a mesh is looked at anew every time
        index.pop(str(files.mesh.absolute()), None)
    return CachedObject(files, surface, views, Path(cache_dir), num_surface_samples, image_size, tuple(warnings),
                        str(note))


def load_cached(entry: CachedObject, with_images: bool = True, check: bool = True) -> dict[str, np.ndarray]:
    """Read a cached object; a damaged or deleted cache file is made again.

    Args:
        entry: CachedObject.
        with_images: False leaves images and masks out.
        check: compare the surface with its checksum too, not with its size alone; that takes four times as long.
    Returns:
        dict of arrays: points, normals, colors (K, 3) float32; images (6, S, S, 3) and masks (6, S, S) uint8.
    Raises:
        UserError: the object's own files have gone or broken since.
    """
    try:
        return _read_arrays(entry, with_images, check)
    except READ_ERRORS:
        for path in (entry.surface, entry.views):
            path.unlink(missing_ok=True)
        # By the content that the files have now: what lies under a name is always made from what the name says
        fresh = cache_object(entry.files, entry.cache_dir, entry.num_surface_samples, entry.image_size)
        return _read_arrays(fresh, with_images, check)


def _read_arrays(entry, with_images, check):
    surface = np.fromfile(entry.surface, np.float32).reshape(3, entry.num_surface_samples, 3)
    if check and zlib.crc32(surface) != _surface_record(entry.surface)["crc32"]:
        raise ValueError("damaged")
    arrays = dict(zip(("points", "normals", "colors"), surface))
    if with_images:
        views = read_npz(entry.views, ("images", "masks"))
        if views is None:
            raise ValueError("damaged")
        arrays |= views
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


def _view_arrays(files, size):
    """Six images of `size` pixels as bytes, their masks, and the note on them."""
    views, note = read_framed_views(files.images, size, files.id)
    return {"images": np.round(views.images * 255).astype(np.uint8),
            "masks": np.round(views.masks * 255).astype(np.uint8), "note": np.array(note or "")}


# ---- Items of the field -----------------------------------------------------------------------------------------


def cache_field_object(files: ObjectFiles, cache_dir: Path | str, index: dict | None = None) -> FieldObject:
    """Make the item of an object as it is, unless it is there already.

    Args:
        files: ObjectFiles.
        cache_dir: folder.
        index: as in `source_hashes`.
    Returns:
        FieldObject.
    Raises:
        UnusableObject: the mesh or an image cannot be used.
        UserError: the cache cannot be written.
    """
    index = {} if index is None else index
    mesh_key, images_key = source_hashes(files, index)
    entry = FieldObject(files, Path(cache_dir), mesh_key, images_key, (), "")
    try:
        notes = cached_npz(_given_path(entry), lambda: _given_item(files), NOTES)
    except CannotWrite:
        raise
    except OSError as error:
        raise UserError(f"cannot write {error.filename or cache_dir}: {error.strerror}") from None
    except UserError as error:
        raise UnusableObject(str(error)) from None
    if notes["warnings"].size:  # a missing texture may come: such a mesh is looked at anew every time
        index.pop(str(files.mesh.absolute()), None)
    return FieldObject(files, Path(cache_dir), mesh_key, images_key, tuple(notes["warnings"].tolist()),
                       str(notes["note"]))


def field_item(entries: list[FieldObject], index: int, variant: int) -> dict[str, np.ndarray]:
    """One of many objects, or a variant of it, as the field model reads it.

    Args:
        entries: all FieldObject of a data set: those that an object may be joined with.
        index: which of them.
        variant: 0: the object and its images; any other number: its mesh turned, or joined with others, or in its
            place a generated solid, drawn by the project's own renderer.
    Returns:
        dict of arrays from utils.training_data.field_samples.field_arrays, from the cache or made (about a second).
    Raises:
        UserError: a file has gone or broken since it was first read, or the cache cannot be written.
    """
    entry = entries[index]
    if not variant:
        arrays = cached_npz(_given_path(entry), lambda: _given_item(entry.files))
        return {name: array for name, array in arrays.items() if name not in NOTES}
    rng = variant_rng(entry.id, variant)
    kind = rng.choice(("turned", "joined", "solid"), p=VARIANT_SHARES)
    others = rng.choice(len(entries), 2) if kind == "joined" else []
    parts = {"turned": [entry], "joined": [entry, *(entries[other] for other in others)], "solid": []}[kind]
    made_from = content_hash([], FIELD_VERSION, VARIANTS_VERSION, MAP_SIZE, entry.id, str(kind),
                             *(part.mesh_key for part in parts))
    return cached_npz(entry.cache_dir / f"{entry.id[:100]}-field-{variant}-{made_from}.npz",
                      lambda: make_variant([part.files.mesh for part in parts], str(kind), rng))


def generated_item(cache_dir: Path | str, seed: int, number: int) -> dict[str, np.ndarray]:
    """A generated object as the field model reads it: as `field_item`, from its number and the seed alone."""
    made_from = content_hash([], FIELD_VERSION, VARIANTS_VERSION, MAP_SIZE)
    # A folder for each thousand: file systems and people are slow in folders of many files
    path = Path(cache_dir) / "generated" / f"{seed}-{number // 1000:04d}" / f"{number:07d}-{made_from}.npz"
    return cached_npz(path, lambda: make_variant([], "solid", variant_rng(f"generated {seed}", number)))


def make_variant(mesh_paths: list[Path], kind: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A new object for the field model, with images that the project's own renderer draws.

    Args:
        mesh_paths: of the object and of those it may be joined with; none for a solid.
        kind: "turned", "joined" or "solid".
        rng: np.random.Generator.
    Returns:
        dict of arrays from utils.training_data.field_samples.field_arrays.
    Raises:
        UserError: a mesh has gone or broken since it was first read.
    """
    if kind == "solid":
        meshes = [synthetic_shape(rng) for _ in range(rng.choice(SOLIDS[0], p=SOLIDS[1]))]
        return render_field_arrays(composite(meshes, rng) if len(meshes) > 1 else meshes[0], rng)
    meshes = [_normalized_mesh(path)[0] for path in mesh_paths]
    if kind == "turned":
        return render_field_arrays(random_rotation(meshes[0], rng), rng)
    return render_field_arrays(composite(meshes[:rng.integers(2, 4)], rng), rng)


def _given_path(entry):
    made_from = content_hash([], FIELD_VERSION, MAP_SIZE, VIEW_NAMES, entry.id, entry.mesh_key, entry.images_key)
    return entry.cache_dir / f"{entry.id[:100]}-field-0-{made_from}.npz"


def _given_item(files):
    """The item of an object and its own images, with what there is to say of both."""
    mesh, warnings = _normalized_mesh(files.mesh)
    views, note = read_framed_views(files.images, 2 * MAP_SIZE, files.id)
    arrays = field_arrays(mesh, views.images, views.masks, variant_rng(files.id, 0))
    return arrays | {"note": np.array(note or ""), "warnings": np.array(warnings, dtype=str)}


def _normalized_mesh(path: Path) -> tuple[Mesh, list[str]]:
    mesh, warnings = read_mesh(path)
    mesh.vertices = normalize(mesh.vertices, mesh.faces)
    return mesh, warnings
