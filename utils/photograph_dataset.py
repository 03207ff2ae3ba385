"""Six simulated photographs of every object of a data folder, with their true cameras and masks beside them.

    python -m utils.photograph_dataset --obj_dir data/OBJs --images_dir data/input_images --output photos --level hand

Levels: perspective (3 object lengths away, exactly aimed, alpha), hand (2.5 lengths, tilted, shifted, zoomed, other
exposure, alpha) and photo (as hand, with a lamp, a shadow on a table, noise, JPEG, no alpha). Writes
<output>/input_images/<id>_<view>.png or .jpg, <output>/masks/<id>_<view>.png and <output>/cameras/<id>.json. The same
object, level and seed give the same files.
"""
import json
import sys
import time
from pathlib import Path

import numpy as np

from config import VIEW_NAMES, OptionParser, UserError, counted, run_script
from utils.io.files import atomic_write, check_writable, entries, no_folder
from utils.mesh.mesh import Mesh
from utils.rendering.cameras import Camera

CAMERAS_HELP = ("image x = scale * (p . right) / (1 - inverse_distance * (p . toward)) + shift[0], y downwards likewise "
                "from -(p . up); -1 to 1 across the image; basis rows: right, up, toward the camera")


def object_rng(object_id: str, level: str, seed: int) -> np.random.Generator:
    """The numpy Generator of one object's photographs: independent of the order and number of objects."""
    from zlib import crc32

    return np.random.default_rng([seed, crc32(object_id.encode(errors="surrogatepass")), crc32(level.encode())])


def write_photographs(object_id: str, mesh: Mesh, level: str, seed: int, size: int, output: str | Path) -> dict[str, Path]:
    """Photograph one object and write the images, masks and cameras.

    Args:
        object_id: str; mesh: utils.mesh.mesh.Mesh in the normalized frame.
        level: name in utils.training_data.simulated_photographs.LEVELS; seed: int; size: image edge in pixels.
        output: folder.
    Returns:
        {view name: Path} of the images.
    """
    from PIL import Image

    from utils.rendering.cameras import camera_as_dict
    from utils.training_data.simulated_photographs import JPEG_QUALITY, LEVELS, photograph

    images, masks, cameras = photograph(mesh, level, object_rng(object_id, level, seed), size)
    suffix, options = (".jpg", {"quality": JPEG_QUALITY}) if LEVELS[level].scene else (".png", {})
    paths, output = {}, Path(output)
    record = {"id": object_id, "level": level, "seed": seed, "size": size, "projection": CAMERAS_HELP,
              "cameras": {view: camera_as_dict(cameras[view]) for view in VIEW_NAMES}}
    with atomic_write(_mark_of(object_id, output)) as temporary:  # first: it tells the images that follow from somebody's own
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for view in VIEW_NAMES:
        paths[view] = output / "input_images" / f"{object_id}_{view}{suffix}"
        with atomic_write(paths[view]) as temporary:
            Image.fromarray(images[view]).save(temporary, **options)
        with atomic_write(output / "masks" / f"{object_id}_{view}.png") as temporary:
            Image.fromarray(np.round(masks[view] * 255).astype(np.uint8)).save(temporary)
        paths[view].with_suffix(".png" if suffix == ".jpg" else ".jpg").unlink(missing_ok=True)  # of another level
    return paths


def _mark_of(object_id, output):
    """The file that is there for every object whose images in a folder were made here."""
    return Path(output) / "cameras" / f"{object_id}.json"


def read_cameras(path: str | Path) -> dict[str, Camera]:
    """{view name: Camera} from a file that `write_photographs` wrote.

    Raises:
        UserError: it is absent or is no such file.
    """
    from utils.rendering.cameras import camera_from_dict

    try:
        views = json.loads(Path(path).read_bytes())["cameras"]
        return {view: camera_from_dict(views[view]) for view in VIEW_NAMES if view in views}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: holds no cameras of photographs") from None


def mesh_files(obj_dir: str | Path, ids: list[str]) -> dict[str, Path]:
    """{id: Path of its OBJ} of a data folder, all or those named.

    Raises:
        UserError: no such folder, no mesh in it, or none of a named object.
    """
    obj_dir = Path(obj_dir)
    if not obj_dir.is_dir():
        raise UserError(f"--obj_dir {obj_dir}: {no_folder(obj_dir)}")
    found = {folder.name: [path for path in entries(folder) if path.suffix.lower() == ".obj"]
             for folder in entries(obj_dir) if folder.is_dir() and not folder.name.startswith(".")}
    found = {name: paths for name, paths in found.items() if paths}
    if not found:
        raise UserError(f"--obj_dir {obj_dir}: holds no <id>/<anything>.obj")
    absent = [name for name in ids if name not in found]
    if absent:
        raise UserError(f"--ids {absent[0]}: {obj_dir} holds no mesh of that name")
    several = [name for name in ids or found if len(found[name]) > 1]
    if several:
        raise UserError(f"{obj_dir / several[0]}: holds {len(found[several[0]])} OBJ files; keep one")
    return {name: found[name][0] for name in ids or found}


def main(argv: list[str]) -> None:
    """Photograph every object of a data folder and say where the images are."""
    parser = OptionParser(prog="python -m utils.photograph_dataset", description=__doc__.split("\n\n")[0])
    parser.add_argument("--obj_dir", default="data/OBJs", help="meshes, <id>/<anything>.obj (default data/OBJs)")
    parser.add_argument("--images_dir", help="only objects with images there are photographed (default: all)")
    parser.add_argument("--output", required=True, help="folder to write to")
    parser.add_argument("--level", choices=("perspective", "hand", "photo"), default="photo",
                        help="how far from exact orthographic renders (default photo)")
    parser.add_argument("--seed", type=int, default=0, help="of cameras, light, tables (default 0)")
    parser.add_argument("--size", type=int, default=640, help="image edge in pixels (default 640)")
    parser.add_argument("--ids", nargs="+", default=[], metavar="ID", help="objects to photograph (default all)")
    options = parser.parse_args(argv)
    if not 32 <= options.size <= 4096:
        raise UserError(f"--size {options.size}: must be from 32 to 4096")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: must not be negative")
    meshes = mesh_files(options.obj_dir, options.ids)
    if options.images_dir:
        meshes = _pictured(meshes, Path(options.images_dir))

    from utils.mesh.mesh import normalize
    from utils.mesh.mesh_io import read_mesh
    from utils.prepare_dataset import images_by_id

    check_writable(options.output)
    width, failed, there = max(map(len, meshes)), [], images_by_id(Path(options.output) / "input_images")
    for name, path in meshes.items():
        started = time.perf_counter()
        try:
            if name in there and not _mark_of(name, options.output).is_file():
                raise UserError(f"{next(iter(there[name].values()))}: is no photograph made here, and would be replaced or "
                                "be there twice; choose another --output")
            mesh, _ = read_mesh(path)
        except UserError as error:
            failed.append(name)
            print(f"{name:<{width}}  left out: {error}", file=sys.stderr, flush=True)
            continue
        mesh.vertices = normalize(mesh.vertices, mesh.faces)
        write_photographs(name, mesh, options.level, options.seed, options.size, options.output)
        print(f"{name:<{width}}  6 images ({time.perf_counter() - started:.1f} s)", flush=True)
    if failed:
        raise UserError(f"{counted(len(meshes) - len(failed), 'object')} in {options.output}, {len(failed)} left out (see "
                        "above)")
    print(f"{counted(len(meshes), 'object')} in {Path(options.output) / 'input_images'}")


def _pictured(meshes, images_dir):
    """Those of the meshes that have all six images in a folder."""
    from utils.prepare_dataset import images_by_id

    if not images_dir.is_dir():
        raise UserError(f"--images_dir {images_dir}: {no_folder(images_dir)}")
    complete = {name for name, views in images_by_id(images_dir).items() if len(views) == len(VIEW_NAMES)}
    meshes = {name: path for name, path in meshes.items() if name in complete}
    if not meshes:
        raise UserError(f"--images_dir {images_dir}: holds no complete set of six images for a mesh")
    return meshes


if __name__ == "__main__":
    run_script(main)
