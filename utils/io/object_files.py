"""The files of objects, from one data folder or several."""
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from config import UserError, counted


@dataclass(frozen=True)
class ObjectFiles:
    """The files of one complete object: images is {view name: Path} for all six views."""

    id: str
    mesh: Path
    images: dict[str, Path]


def pairs_of_folders(obj_dirs: str, images_dirs: str) -> list[tuple[str, str]]:
    """[(folder of meshes, folder of images)] from two lists with commas, of the same length.

    Raises:
        UserError: the lists differ in length.
    """
    meshes, images = ([one.strip() for one in names.split(",") if one.strip()] for names in (obj_dirs, images_dirs))
    if len(meshes) != len(images):
        raise UserError(f"--obj_dir names {counted(len(meshes), 'folder')} and --images_dir {len(images)}; they go in pairs")
    return list(zip(meshes, images))


def merge_objects(collections: Iterable[list[ObjectFiles]]) -> dict[str, ObjectFiles]:
    """{id: files} of several lists of objects.

    Raises:
        UserError: an id stands in two of them.
    """
    merged: dict[str, ObjectFiles] = {}
    for files in (files for collection in collections for files in collection):
        if files.id in merged:
            raise UserError(f"{files.id}: is in two folders ({merged[files.id].mesh} and {files.mesh}); rename one")
        merged[files.id] = files
    return merged
