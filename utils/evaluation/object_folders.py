"""Objects of several data folders as one collection."""
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from config import VIEW_NAMES, UserError
from utils.views.six_views import match_images, view_problems


@dataclass(frozen=True)
class ObjectFolder:
    """The files of one object: its mesh and {view name: Path} of its six images."""

    id: str
    mesh: Path
    images: dict


def pairs_of_folders(obj_dirs: str, images_dirs: str) -> list[tuple[str, str]]:
    """[(folder of meshes, folder of images)] from two lists with commas, of the same length.

    Raises:
        UserError: the lists differ in length.
    """
    meshes, images = ([one.strip() for one in names.split(",") if one.strip()] for names in (obj_dirs, images_dirs))
    if len(meshes) != len(images):
        raise UserError(f"--obj_dir names {len(meshes)} folders and --images_dir {len(images)}; they go in pairs")
    return list(zip(meshes, images))


def merge_objects(collections: Iterable[list]) -> dict:
    """{id: files} of several lists of objects' files, anything with id and mesh.

    Raises:
        UserError: an id stands in two of them.
    """
    merged: dict = {}
    for files in (files for collection in collections for files in collection):
        if files.id in merged:
            raise UserError(f"{files.id}: is in two folders ({merged[files.id].mesh} and {files.mesh}); rename one")
        merged[files.id] = files
    return merged


def complete_objects(obj_dir: str | Path, images_dir: str | Path) -> list[ObjectFolder]:
    """Every object of a data folder, all of which must be complete.

    Args:
        obj_dir: folder of <id>/<anything>.obj.
        images_dir: folder of <id>_<view>.png, .jpg or .jpeg.
    Raises:
        UserError: a folder is absent, or an object lacks its mesh or a view or has two of one.
    """
    for folder in (obj_dir, images_dir):
        if not Path(folder).is_dir():
            raise UserError(f"{folder}: no such folder")
    groups, found = match_images(Path(images_dir))[0], []
    for folder in sorted(path for path in Path(obj_dir).iterdir() if path.is_dir() and path.name[0] not in "._"):
        meshes, views = sorted(folder.glob("*.obj")), groups.get(folder.name, {})
        if len(meshes) != 1:
            raise UserError(f"{folder}: holds {len(meshes)} OBJ files instead of one")
        for problem in view_problems(folder.name, views):
            raise UserError(f"{folder.name}: {problem.what} {problem.detail}")
        found.append(ObjectFolder(folder.name, meshes[0], {view: views[view][0] for view in VIEW_NAMES}))
    return found
