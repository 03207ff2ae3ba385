"""Bring loose images and OBJ meshes into the data layout: the plan first, then copies; nothing is overwritten.

    python -m utils.rename_to_IDs --images loose_images --meshes loose_meshes --output data --dry_run

View words (front, rear, left side, from above, ...) are found in file and folder names in any case; what is left of
the name is the object's id. A folder that holds one object's images may name the object instead.
"""
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from config import IMAGE_EXTENSIONS, VIEW_NAMES, OptionParser, UserError, counted, run_script
from utils.io.files import CannotWrite, atomic_write, check_writable, files_below, no_folder
from utils.mesh.mesh_io import MESH_EXTENSIONS, mesh_dependencies, names_outside
from utils.prepare_dataset import GENERIC_NAMES, clean_id, id_of_mesh, images_of
from utils.views.names import find_view, name_key

GENERIC_FOLDERS = GENERIC_NAMES | {"pictures", "picture", "image", "images", "photos", "views", "renders", "input_images",
                                   "objs"}

Moves = list[tuple[Path, Path]]  # (source, target) of each file


@dataclass
class NamedImage:
    """An image whose view is known: rest is its name without the view; home the folder its object lies in."""

    path: Path
    view: str
    rest: str
    home: Path


def read_images(root: Path) -> tuple[list[NamedImage], dict[Path, str]]:
    """Images below `root` whose view is clear, and {path: reason} for the others and for folders that cannot be read."""
    files, unclear = files_below(root, IMAGE_EXTENSIONS)
    images = []
    for path in files:
        view, rest = find_view(path.stem)
        home = path.parent
        if view == "" and home != root:  # front/shoe1.jpg: the folder is the view
            view, folder_rest = find_view(home.name)
            home, rest = (home.parent, rest) if view and not folder_rest else (home, rest)
            view = view if not folder_rest else ""
        if view:
            images.append(NamedImage(path, view, rest, home))
        else:
            unclear[path] = "two views in its name" if view is None else "no view in its name"
    return images, unclear


def name_images(images: list[NamedImage], root: Path, known_ids: Iterable[str] = ()) -> list[tuple[str, NamedImage]]:
    """Give every image its object's id, spelled as in `known_ids` if it is there: list of (id, NamedImage)."""
    by_home, places = {}, {}
    for image in images:
        by_home.setdefault(image.home, []).append(image)
    named = []  # (id by name, id by folder, NamedImage)
    for home, group in by_home.items():
        folder = clean_id(_telling_folder(home, root))
        views, rests = [p.view for p in group], {name_key(p.rest) for p in group}
        one_object = home != root and len(set(views)) == len(views)
        for image in group:
            # Numbers that differ from view to view (0001_front, 0002_back) name the shot, not the object.
            use_rest = image.rest and not (one_object and (len(rests) > 1 or image.rest.isdigit()))
            name = clean_id(image.rest) if use_rest else folder
            named.append((name, folder if one_object else name, image))
            places.setdefault((name_key(name), image.view), set()).add(home)
    # a/shoe_front and b/shoe_front are two objects, a and b.
    shared = {name for (name, _), homes in places.items() if len(homes) > 1}
    spelling = {name_key(name): name for name in known_ids}
    return [(spelling.setdefault(name_key(name), name), image) for name, image in
            ((by_folder if name_key(by_name) in shared else by_name, image) for by_name, by_folder, image in named)]


def plan_images(named: list[tuple[str, NamedImage]], output: str | Path) -> tuple[Moves, dict[Path, str]]:
    """Where images go: [(source, target)], and {path: reason} for those that cannot."""
    folder, wanted = Path(output) / "input_images", {}
    for object_id, image in named:
        wanted.setdefault((object_id, image.view), []).append(image.path)
    moves, refused = [], {}
    for (object_id, view), paths in sorted(wanted.items()):
        there = images_of(folder, object_id).get(view)
        for path in paths:
            if len(paths) > 1:
                others = ", ".join(str(other) for other in paths if other != path)
                refused[path] = f"would be the {view} view of {object_id}, and so would {others}"
            elif there:
                refused[path] = "has its name already" if _same(there, path) else f"{there} is there already"
            else:
                moves.append((path, folder / f"{object_id}_{view}{path.suffix.lower()}"))
    return moves, refused


def plan_meshes(root: Path, image_ids: Iterable[str], output: str | Path) -> tuple[Moves, dict[Path, str]]:
    """Where OBJ files go with their MTL and textures: [(source, target)], and {path: reason} for those that cannot."""
    known, wanted = {name_key(name): name for name in image_ids}, {}
    files_there, refused = files_below(root, MESH_EXTENSIONS)
    for path in files_there:
        if path.suffix.lower() != ".obj":
            refused[path] = "not an OBJ: python -m utils.prepare_dataset converts it"
            continue
        # An id that images have is the best guess, be it the file's name or a folder's.
        names = [path.stem] + [folder.name for folder in path.parents if folder == root or root in folder.parents]
        match = [known[name_key(name)] for name in names if name_key(name) in known]
        wanted.setdefault(match[0] if match else id_of_mesh(path, root), []).append(path)
    moves = []
    for object_id, paths in sorted(wanted.items()):
        folder = Path(output) / "OBJs" / object_id
        there = sorted(path for path in folder.glob("*") if path.suffix.lower() == ".obj")
        for path in paths:
            files = mesh_dependencies(path)
            outside = [other for other in files if path.parent.resolve() not in other.resolve().parents]
            outside += names_outside(path)
            targets = [folder / path.name] + [folder / other.resolve().relative_to(path.parent.resolve())
                                              for other in files[1:] if other not in outside]
            taken = [target for target in targets if target.exists()]
            if len(paths) > 1:
                others = ", ".join(str(other) for other in paths if other != path)
                refused[path] = f"would be the mesh of {object_id}, and so would {others}"
            elif there or taken:
                same = there and _same(there[0], path)
                refused[path] = "has its name already" if same else f"{(there + taken)[0]} is there already"
            elif outside:
                refused[path] = f"uses {outside[0]} outside its folder: python -m utils.prepare_dataset converts it"
            else:
                moves += zip(files, targets)
    return moves, refused


def lacking_after(moves: Moves, output: str | Path, images: bool, meshes: bool) -> dict[str, str]:
    """What the objects that a plan touches will lack once it is carried out.

    Args:
        moves: list of (source, target).
        output: folder of the data layout.
        images, meshes: bool, whether images and meshes are being brought in (else their absence is no news).
    Returns:
        {id: str}, sorted; objects that lack nothing are absent.
    """
    views, with_mesh, output = {}, set(), Path(output)
    for _, target in moves:
        if target.parent == output / "input_images":
            object_id, _, view = target.stem.rpartition("_")
            views.setdefault(object_id, set(images_of(output / "input_images", object_id))).add(view)
        elif target.suffix.lower() == ".obj":
            with_mesh.add(target.parent.name)
    lacking = {}
    for object_id in sorted(views.keys() | with_mesh):
        shown = views.get(object_id) or set(images_of(output / "input_images", object_id))
        missing = [view for view in VIEW_NAMES if view not in shown]
        if missing and (shown or images):
            lacking[object_id] = f"no image for {', '.join(missing)}"
        if meshes and object_id not in with_mesh and not _has_mesh(output / "OBJs" / object_id):
            lacking[object_id] = ", and ".join(filter(None, [lacking.get(object_id), "no mesh"]))
    return lacking


def shared_materials(moves: Moves) -> dict[Path, list[str]]:
    """MTL files that the meshes of several objects name: {MTL: [id, ...]}."""
    users = {}
    for source, target in moves:
        if source.suffix.lower() == ".mtl":
            users.setdefault(source.resolve(), []).append(target.parent.name)
    return {path: ids for path, ids in users.items() if len(ids) > 1}


def main(argv: list[str]) -> None:
    """Show the plan, then copy or move."""
    parser = OptionParser(prog="python -m utils.rename_to_IDs", description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", help="folder of loose images, searched with its sub-folders")
    parser.add_argument("--meshes", help="folder of loose OBJ files, searched with its sub-folders")
    parser.add_argument("--output", default="data", help="folder of the data layout (default data)")
    parser.add_argument("--dry_run", action="store_true", help="show the plan only")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--copy", action="store_true", help="leave the originals where they are (default)")
    how.add_argument("--move", action="store_true", help="remove the originals once all copies are made")
    options = parser.parse_args(argv)
    if not options.images and not options.meshes:
        raise UserError("nothing to do: name --images and --meshes, or one of them (see --help)")
    for option in ("images", "meshes"):
        folder = getattr(options, option)
        if folder and not Path(folder).is_dir():
            raise UserError(f"--{option} {folder}: {no_folder(folder)}")

    moves, left, ids = [], {}, _ids_there(options.output)
    if options.images:
        images, unclear = read_images(Path(options.images))
        named = name_images(images, Path(options.images), ids)
        ids += [object_id for object_id, _ in named]
        moves, refused = plan_images(named, options.output)
        left |= unclear | refused
    if options.meshes:
        more, refused = plan_meshes(Path(options.meshes), ids, options.output)
        moves, left = moves + more, left | refused
    if not moves and not left:
        raise UserError(f"no images ({', '.join(IMAGE_EXTENSIONS)}) and no OBJ files found")
    width = max(len(str(source)) for source in [source for source, _ in moves] + list(left))
    for source, target in moves:
        print(f"{str(source):<{width}}  ->  {target}")
    for source, reason in left.items():
        print(f"{str(source):<{width}}  left alone: {reason}")
    for path, users in shared_materials(moves).items():
        print(f"warning: {path} is named by the meshes of {', '.join(users)}: each gets a copy; see that their colors "
              "are not one another's (an export of the second may have overwritten the first's)")
    for object_id, what in lacking_after(moves, options.output, options.images, options.meshes).items():
        print(f"warning: {object_id} will be incomplete: {what}")
    if not moves and not all(reason == "has its name already" for reason in left.values()):
        raise UserError("none of the files can be brought into the layout, see the reasons above")
    if options.dry_run:
        print(f"{counted(len(moves), 'file')} would be {'moved' if options.move else 'copied'}, {len(left)} left alone")
        return
    check_writable(options.output)
    failed = _carry_out(moves, options.move)
    for source, reason in failed.items():
        print(f"{source}  left alone: {reason}", file=sys.stderr)
    left |= failed
    done = sum(source not in failed for source, _ in moves)
    print(f"{counted(done, 'file')} {'moved' if options.move else 'copied'}, {len(left)} left alone; check them with "
          f"python load_data.py --obj_dir {options.output}/OBJs --images_dir {options.output}/input_images")
    unclear = [path for path, reason in left.items()
               if reason != "has its name already" and not reason.endswith("is there already")]
    if unclear:
        raise UserError(f"{counted(len(unclear), 'file was', 'files were')} left alone (see above)")


def _carry_out(moves, remove):
    """Copy all, then remove the originals if asked: two meshes may share one texture. Returns {source: why} of the others."""
    failed = {}
    for source, target in moves:
        if target.exists():
            failed[source] = f"{target} appeared meanwhile, and is not overwritten"
            continue
        try:
            with atomic_write(target) as temporary:
                shutil.copyfile(source, temporary)
        except CannotWrite as error:
            if error.no_room:
                raise  # nor is there room for the next one
            failed[source] = str(error)
        except OSError as error:
            failed[source] = f"cannot be copied to {target} ({error.strerror})"
    for source in {source for source, _ in moves if source not in failed} if remove else ():
        try:
            source.unlink()
        except OSError as error:
            print(f"warning: {source} was copied but cannot be removed ({error.strerror})")
    return failed


def _telling_folder(folder, root):
    """The name of `folder`, or of the first one above it up to `root` that is not just "images" or the like."""
    while folder != root and folder.name.lower() in GENERIC_FOLDERS:
        folder = folder.parent
    return folder.resolve().name


def _ids_there(output):
    """Ids that have images in the layout already, sorted."""
    names = {path.stem.rpartition("_")[0] for path in (Path(output) / "input_images").glob("*_*")}
    return sorted(names - {""})


def _has_mesh(folder):
    return any(path.suffix.lower() == ".obj" for path in folder.glob("*"))


def _same(path, other):
    return os.path.realpath(path) == os.path.realpath(other)  # which, unlike resolve, bears links that lead in a circle


if __name__ == "__main__":
    run_script(main)
