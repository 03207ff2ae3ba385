"""Bring a folder of meshes (OBJ, GLB, GLTF, PLY, OFF, STL) into the data layout, drawing the six images of each.

    python -m utils.prepare_dataset my_meshes --output data --up z --front=-y

writes data/OBJs/<id>/<id>.obj with its MTL and textures, and data/input_images/<id>_<view>.png. What is there already
is left alone, so an interrupted run can be started again. What was made here from another mesh or with other options
carries a mark of them and is made anew; files without such a mark are somebody's own and stay.
"""
import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from config import IMAGE_EXTENSIONS, VIEW_NAMES, OptionParser, UserError, counted, run_script
from utils.io.files import (
    atomic_write,
    check_writable,
    clear_leftovers,
    content_hash,
    files_below,
    no_folder,
    replaced_together,
)
from utils.io.image_formats import open_with_pillow
from utils.mesh.mesh import normalize
from utils.mesh.mesh_io import MESH_EXTENSIONS, mesh_dependencies, read_mesh, write_mesh
from utils.rendering.rasterizer import render_views

# File and folder names that say nothing about the object: the name of the folder above is used instead.
GENERIC_NAMES = {"model", "models", "mesh", "meshes", "scene", "object", "obj", "glb", "textured", "textured_simple",
                 "model_normalized", "texture_mapped", "untitled", "source", "google_16k", "output", "export"}
MARK = "prepared from "  # then a hash of all that a file was made from; a comment in an OBJ, a text in a PNG
FLATTEST = 1e-3  # thickness, as a share of the length, of what has no side to be seen from: a quarter of a pixel
WIDEST = 40  # letters of names that stand in a column: a longer one moves what follows it, not all others
AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}


def clean_id(text: str) -> str:
    """`text` as an object id: letters, digits, dots, dashes and single underscores."""
    return re.sub(r"_+", "_", re.sub(r"[^\w.-]", "_", text)).strip("_.") or "object"


def id_of_mesh(path: Path, root: Path) -> str:
    """The id that a mesh's file name gives, or the first folder above it, up to `root`, whose name says something."""
    path, root = Path(os.path.abspath(path)), Path(os.path.abspath(root))  # a link goes by its own name
    folders = [folder for folder in path.parents if folder == root or root in folder.parents]
    for name in [path.stem] + [folder.name for folder in folders]:
        if name and clean_id(name).lower() not in GENERIC_NAMES:
            return clean_id(name)
    return clean_id(path.stem)


def turn_matrix(up: str, front: str) -> np.ndarray:
    """Rotation that brings the named axes to +y (up) and +z (front).

    Args:
        up, front: "x", "y", "z" with an optional sign, as in "-z".
    Returns:
        (3, 3) float64 with determinant 1, for `vertices @ matrix.T`.
    Raises:
        UserError: an axis has another name, or the two are not perpendicular.
    """
    vectors = []
    for option, text in (("--up", up), ("--front", front)):
        letter = text.lower().lstrip("+-")
        if letter not in AXES or len(text) - len(letter) > 1:
            raise UserError(f"{option} {text}: choose x, y, z, -x, -y or -z")
        vectors.append(np.array(AXES[letter], np.float64) * (-1 if text.startswith("-") else 1))
    if vectors[0] @ vectors[1] != 0:
        raise UserError(f"--up {up} --front {front}: the two axes must be perpendicular")
    return np.stack([np.cross(vectors[0], vectors[1]), vectors[0], vectors[1]])


def find_meshes(folder: str | Path, output: str | Path) -> tuple[dict[str, Path], dict[str, list[Path]], dict[Path, str]]:
    """All meshes below `folder` but not below `output`.

    Returns:
        {id: Path}; {id: [Path, ...]} where names collide; {folder: why} of those that may not be looked into.

    Where both are one folder, what was made there is taken for a source only if nothing else goes by its name.
    """
    folder, output = Path(folder), _real(output)
    if not folder.is_dir():
        raise UserError(f"{folder}: {no_folder(folder, 'folder of meshes')}")
    skip = () if _real(folder) == output else (output,)
    by_id, skipped_meshes = {}, False
    files, unread = files_below(folder, MESH_EXTENSIONS)
    for path in files:
        if any(other in _real(path).parents for other in skip):
            skipped_meshes = True
        else:
            by_id.setdefault(id_of_mesh(path, folder), []).append(path)
    for place, why in unread.items() if not by_id else ():
        raise UserError(f"{place}: {why}")
    if not by_id:
        raise UserError(f"{folder}: holds no mesh ({', '.join(MESH_EXTENSIONS)})"
                        + f" but those below {output}, which are in the layout already" * skipped_meshes)
    for name, paths in by_id.items():
        made_here = [path for path in paths if output / "OBJs" in _real(path).parents and path.suffix.lower() == ".obj"
                     and _mark_of(path) is not None] if len(paths) > 1 else []
        if len(made_here) < len(paths):
            by_id[name] = [path for path in paths if path not in made_here]
    return ({name: paths[0] for name, paths in by_id.items() if len(paths) == 1},
            {name: paths for name, paths in by_id.items() if len(paths) > 1}, unread)


def _real(path):
    """A path without links; unlike Path.resolve it bears those that lead in a circle."""
    return Path(os.path.realpath(path))


def images_of(images_dir: str | Path, object_id: str) -> dict[str, Path]:
    """{view: Path} of one object's images in a folder, which may be absent."""
    return images_by_id(images_dir).get(object_id, {})


def images_by_id(images_dir: str | Path) -> dict[str, dict[str, Path]]:
    """{id: {view: Path}} of all images in a folder, which may be absent: one listing for any number of objects."""
    found = {}
    for path in sorted(Path(images_dir).glob("*_*")):
        object_id, _, word = path.stem.rpartition("_")
        if word.lower() in VIEW_NAMES and path.suffix.lower() in IMAGE_EXTENSIONS:
            found.setdefault(object_id, {})[word.lower()] = path
    return found


def prepare_object(object_id: str, source: str | Path, output: str | Path, turn: np.ndarray, image_size: int,
                   images_dir: str | Path | None = None,
                   listed: Callable[[str | Path], dict] = images_by_id) -> tuple[str, list[str]]:
    """Write one object's mesh and images, as far as they are not there or were made here from something else.

    Args:
        object_id: str.
        source: mesh file of any format.
        output: folder of the data layout.
        turn: (3, 3) from `turn_matrix`.
        image_size: edge of drawn images in pixels.
        images_dir: folder of own images <id>_<view>.*, taken instead of drawing where it has all six.
        listed: function from a folder to what `images_by_id` returns; one that remembers saves listing the folders
            for every object.
    Returns:
        done: str, what was done ("there already", "mesh written (12 faces), 6 images drawn", ...).
        notes: list of str, missing materials.
    Raises:
        UserError: the mesh cannot be read, or only some of the six own images are there.
    """
    folder, images = Path(output) / "OBJs" / object_id, Path(output) / "input_images"
    own = listed(images_dir).get(object_id, {}) if images_dir else {}
    if own and len(own) < 6:
        lacking = ", ".join(view for view in VIEW_NAMES if view not in own)
        raise UserError(f"{images_dir}: has no {lacking} image of {object_id}")
    clear_leftovers(folder)
    with replaced_together(folder) as new_mesh, replaced_together(images) as new_images:
        mesh_path, mesh_done, notes = _prepare_mesh(object_id, source, folder, turn, new_mesh)
        there = listed(images).get(object_id, {})
        made_from = content_hash(mesh_dependencies(mesh_path), image_size)
        missing = [view for view in VIEW_NAMES if view not in there]
        outdated = [view for view in there if _mark_of(there[view]) not in (None, made_from)]
        if own:
            for view in missing:
                with atomic_write(new_images / f"{object_id}_{view}{own[view].suffix.lower()}") as temporary:
                    temporary.write_bytes(own[view].read_bytes())
        elif missing or outdated:
            _draw(mesh_path, new_images, object_id, missing + outdated, image_size, made_from, source)
    done = [mesh_done or "mesh there already"]
    done += [f"{counted(len(missing), 'image')} {'copied' if own else 'drawn'}"] * bool(missing)
    done += [f"{counted(len(outdated), 'image')} drawn anew"] * bool(outdated and not own)
    if len(done) == 1:
        done = [f"{mesh_done}, images there already" if mesh_done else "there already"]
    return ", ".join(done), notes


def _prepare_mesh(object_id, source, folder, turn, new):
    """The object's OBJ, what was done ("" if nothing) and notes; one without a mark of ours is never replaced.

    What has to be made is made in the folder `new`, whose files go to `folder` once the images are drawn as well.
    """
    there = sorted(path for path in folder.glob("*") if path.suffix.lower() == ".obj")
    if there and _real(there[0]) == _real(source):
        return there[0], "", []  # what lies in the layout is not made from itself, turned once more
    made_from = content_hash(mesh_dependencies(source), turn.tolist())
    if there and _mark_of(there[0]) in (None, made_from):
        return there[0], "", []
    mesh, notes = read_mesh(source)
    _refuse_flat(source, mesh)
    mesh.vertices = mesh.vertices @ turn.T
    mesh_path = new / (there[0].name if there else f"{object_id}.obj")
    write_mesh(mesh_path, mesh, MARK + made_from)
    anew = " anew: it was made with other axes or from another mesh" if there else ""
    return mesh_path, f"mesh written ({counted(len(mesh.faces), 'face')}){anew}", notes


def _refuse_flat(source, mesh):
    """Raise UserError if a mesh lies in a plane, as one triangle does: seen along it there is nothing to draw."""
    points = mesh.vertices[np.unique(mesh.faces)]
    points = (points - points.mean(axis=0)) / np.abs(points - points.mean(axis=0)).max()
    extents = np.ptp(points @ np.linalg.eigh(points.T @ points)[1], axis=0)
    if extents.min() < FLATTEST * extents.max():
        raise UserError(f"{source}: is flat: its {counted(len(mesh.faces), 'face lies', 'faces lie')} in one plane, so that it "
                        "cannot be seen from all six sides")


def _mark_of(path):
    """The hash in a file that says what it was made from; None in files that were not made here."""
    if path.suffix.lower() == ".obj":
        with open(path, encoding="utf-8", errors="replace") as file:
            words = file.readline(200).strip().removeprefix("# ")
    else:
        try:
            with open_with_pillow(path) as image:
                words = str(image.info.get("Source", ""))
        except Exception:  # somebody's own broken image: load_data names it
            return None
    return words.removeprefix(MARK) if words.startswith(MARK) else None


def _draw(mesh_path, folder, object_id, views, image_size, made_from, source):
    """Draw the named views of a written mesh; read back, so that images show what training will read."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    try:
        mesh, _ = read_mesh(mesh_path)
    except UserError as error:
        reason = str(error).replace(f"{mesh_path}: ", "")
        raise UserError(f"{source}: cannot be kept as an OBJ of single precision ({reason})") from None
    mesh.vertices = normalize(mesh.vertices, mesh.faces)
    mark = PngInfo()
    mark.add_text("Source", MARK + made_from)
    for view, rgba in render_views(mesh, image_size).items():
        if view in views:
            with atomic_write(folder / f"{object_id}_{view}.png") as temporary:
                Image.fromarray(rgba).save(temporary, pnginfo=mark)


def main(argv: list[str]) -> None:
    """Prepare every mesh below a folder and say what was done with each."""
    parser = OptionParser(prog="python -m utils.prepare_dataset", description=__doc__.split("\n\n")[0])
    parser.add_argument("meshes_dir", help="folder of meshes, searched with its sub-folders")
    parser.add_argument("--output", default="data", help="folder of the data layout (default data)")
    parser.add_argument("--up", default="y", help="the meshes' own up axis: x, y, z, -x, -y or -z (default y)")
    parser.add_argument("--front", default="z", help="the axis their front faces (default z)")
    parser.add_argument("--image_size", type=int, default=512, help="edge of drawn images in pixels (default 512)")
    parser.add_argument("--images_dir", help="your own images, <id>_<view>.png or .jpg, used instead of drawing")
    options = parser.parse_args(_join_signed_axes(argv))
    if not 14 <= options.image_size <= 4096:
        raise UserError(f"--image_size {options.image_size}: must be from 14 to 4096")
    if options.images_dir and not Path(options.images_dir).is_dir():
        raise UserError(f"--images_dir {options.images_dir}: {no_folder(options.images_dir)}")
    turn = turn_matrix(options.up, options.front)
    check_writable(options.output)
    clear_leftovers(Path(options.output) / "input_images")
    meshes, collisions, unread = find_meshes(options.meshes_dir, options.output)
    listed = functools.cache(images_by_id)
    own = listed(options.images_dir) if options.images_dir else {}
    if options.images_dir and meshes and not own.keys() & meshes.keys():
        holds = f"images of {', '.join(sorted(own)[:3])}{', ...' * (len(own) > 3)}" if own else "no images"
        raise UserError(f"--images_dir {options.images_dir}: holds {holds}, and {min(meshes)}_front.png and the like are "
                        "looked for; leave it out, and all images are drawn")

    width = min(WIDEST, max(map(len, list(meshes) + list(collisions))))
    failed = [(name, "several meshes have this name, rename all but one: " + ", ".join(map(str, paths)))
              for name, paths in sorted(collisions.items())]
    for name, source in sorted(meshes.items()):
        try:
            done, notes = prepare_object(name, source, options.output, turn, options.image_size, options.images_dir,
                                         listed)
        except (UserError, OSError) as error:  # OSError: a file that may not be read
            if getattr(error, "no_room", False):
                raise  # nor is there room for the next one
            failed.append((name, str(error)))
            continue
        print(f"{name:<{width}}  {done}", flush=True)
        for note in notes:
            print(f"{'':<{width}}  warning: {note}")
    for name, reason in failed:
        print(f"{name:<{width}}  left out: {reason}", file=sys.stderr)
    for place, why in unread.items():
        print(f"{place}  left out: {why}", file=sys.stderr)
    good = len(meshes) + len(collisions) - len(failed)
    if not good:
        raise UserError(f"{options.meshes_dir}: no mesh could be prepared")
    if failed or unread:
        lost = [str(len(failed))] * bool(failed) + [counted(len(unread), "folder")] * bool(unread)
        raise UserError(f"{counted(good, 'object')} in {options.output}, {' and '.join(lost)} left out (see above)")
    print(f"{counted(good, 'object')} in {options.output}")


def _join_signed_axes(argv):
    """`--front -y` as `--front=-y`: argparse would take -y for an option."""
    joined = []
    for word in argv:
        if joined and joined[-1] in ("--up", "--front") and re.fullmatch(r"-[xyzXYZ]", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


if __name__ == "__main__":
    run_script(main)
