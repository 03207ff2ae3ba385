"""Six pictures in, a textured mesh out.

    python inference.py                      # the shipped examples
    python inference.py my_views/            # one object (front.png ...) or many (<id>_front.png ...)

Writes <output>/<id>/<id>.obj with its .mtl and .png (or <id>.glb), and <id>_preview.png: the six inputs above six
views of the result, and two oblique ones.
"""
import time
from dataclasses import replace
from pathlib import Path

from config import EXAMPLES_DIR, PRETRAINED_DIR, OptionParser, UserError, run_script

ROOT = Path(__file__).parent
PREVIEW_SIZE = 256  # pixels per picture of the preview
TEXELS_AT_ONCE = 1 << 17  # bounds the memory of colouring, whatever the texture size


def parse_options(argv):
    parser = OptionParser(description=__doc__.splitlines()[0])
    parser.add_argument("views", nargs="?", metavar="VIEWS_DIR",
                        help="folder of one object (front.png ...), of many (<id>_front.png ...), or of such folders; "
                             "default: the shipped examples")
    parser.add_argument("--output", default="output", help="folder for the results (default output)")
    parser.add_argument("--geometry", choices=["points"], default="points", help="decoder; points: from pictures alone")
    parser.add_argument("--geometry_checkpoint", help="default: checkpoints/geometry_best.pth if you trained one, else "
                                                      "the shipped one")
    parser.add_argument("--texture_checkpoint", help="default: checkpoints/texture_best.pth, else the shipped one")
    outline = parser.add_mutually_exclusive_group()
    outline.add_argument("--mask_dir", metavar="DIR", help="your own masks, white or opaque on the object: "
                         "<id>_<view>.png, <id>/<view>.png, or <view>.png if there is one object")
    outline.add_argument("--remove_background", action="store_true", help="find the object in pictures without "
                         "transparency by rembg, an optional package (default: background is plain at the border)")
    parser.add_argument("--device", default="auto", help="auto (cuda, then mps, then cpu), cuda, cuda:N, mps or cpu")
    parser.add_argument("--texture_size", type=int, default=1024, help="texels per edge of the texture (default 1024)")
    parser.add_argument("--format", choices=["obj", "glb"], default="obj", help="obj writes .obj, .mtl and .png")
    parser.add_argument("--cache_dir", default=str(ROOT / "data" / "cache"), help="keeps the UV atlas between runs")
    options = parser.parse_args(argv)
    if not 64 <= options.texture_size <= 8192:
        raise UserError(f"--texture_size {options.texture_size}: choose 64 to 8192")
    if options.mask_dir and not Path(options.mask_dir).is_dir():
        raise UserError(f"--mask_dir {options.mask_dir}: no such folder")
    return options


def load_models(geometry_checkpoint, texture_checkpoint, device):
    """Load both stages for use.

    Args:
        geometry_checkpoint, texture_checkpoint: paths, or None for your own best, else the shipped one.
        device: torch.device.
    Returns:
        geometry: GeometryModel; texture: TextureModel; sizes: (int, int), the edge in pixels of the pictures each reads.
    Raises:
        UserError: a file is missing or wrong.
    """
    from models.geometry_model import load_geometry_model
    from models.texture_model import load_texture_model

    paths = [named or default_checkpoint(kind)
             for kind, named in (("geometry", geometry_checkpoint), ("texture", texture_checkpoint))]
    geometry, first = load_geometry_model(paths[0])
    texture, second = load_texture_model(paths[1])
    print(f"models: {paths[0]}, {paths[1]}")
    return geometry.to(device), texture.to(device), (first["image_size"], second["image_size"])


def default_checkpoint(kind):
    """Your own best checkpoint of a kind, else the shipped one."""
    own = Path("checkpoints") / f"{kind}_best.pth"
    return own if own.is_file() else ROOT / PRETRAINED_DIR / f"{kind}_best.pth"


def reconstruct(geometry, texture, shape_images, color_images, atlas, texture_size):
    """Six pictures to vertices and a texture.

    Args:
        geometry, texture: the two models on one device.
        shape_images, color_images: (6, 3, S, S) float32 tensors in [0, 1], the same pictures at the size that either
            model reads, in VIEW_NAMES order (any order gives the same result).
        atlas: utils.template.Atlas of the geometry's template.
        texture_size: edge of the texture in texels.
    Returns:
        vertices: (N, 3) float32 array; picture: (texture_size, texture_size, 3) uint8 array.
    """
    import numpy as np
    import torch

    device = geometry.faces.device
    with torch.inference_mode():
        vertices = geometry(shape_images[None].to(device))[0]
        feature = texture.features(color_images[None].to(device))
        corners = geometry.faces[torch.from_numpy(atlas.texel_faces).to(device)]
        weights = torch.from_numpy(atlas.texel_weights).to(device)
        colors = torch.cat([
            texture.decoder((vertices[index] * weight.unsqueeze(-1)).sum(1)[None], feature)[0]
            for index, weight in zip(corners.split(TEXELS_AT_ONCE), weights.split(TEXELS_AT_ONCE))])
    picture = np.empty((texture_size * texture_size, 3), np.uint8)
    colors = (colors.cpu().numpy() * 255).round().astype(np.uint8)
    picture[:] = colors.mean(0).round()  # texels that no face shows: the mean colour, for far-off mip levels
    picture[atlas.texels] = colors
    return vertices.cpu().numpy(), picture.reshape(texture_size, texture_size, 3)


def write_mesh(folder, object_id, vertices, faces, atlas, picture, file_format):
    """Write `<folder>/<object_id>.obj` + .mtl + .png, or .glb; returns the mesh's path. Shapes as in `reconstruct`."""
    from utils.mesh_io import write_glb, write_obj

    path = Path(folder) / f"{object_id}.{file_format}"
    write = {"obj": write_obj, "glb": write_glb}[file_format]
    write(path, vertices, faces, atlas.uvs, atlas.face_uvs, picture)
    return path


def write_preview(path, images, mesh):
    """Write the six inputs above six views of the result, and two oblique views at the right.

    Args:
        path: .png file.
        images: (6, 3, S, S) float array in [0, 1].
        mesh: utils.mesh_io.Mesh.
    """
    import numpy as np
    from PIL import Image

    from utils.files import replacing
    from utils.render_views import over_white, render, render_views
    from utils.views import camera_basis

    inputs = [np.asarray(Image.fromarray((np.moveaxis(image, 0, -1) * 255).round().astype(np.uint8))
                         .resize((PREVIEW_SIZE, PREVIEW_SIZE), Image.Resampling.LANCZOS)) for image in images]
    views = [over_white(picture) for picture in render_views(mesh, PREVIEW_SIZE).values()]
    oblique = []
    for basis in (camera_basis(40, 25), camera_basis(220, 25)):
        reach = np.abs(mesh.vertices @ basis[:2].T).max()  # a diagonal may be longer than the frame
        smaller = replace(mesh, vertices=mesh.vertices * min(1.0, 1.05 / reach))
        oblique.append(over_white(render(smaller, basis, PREVIEW_SIZE)))
    sheet = np.concatenate([np.concatenate(inputs + oblique[:1], axis=1), np.concatenate(views + oblique[1:], axis=1)])
    with replacing(path) as temporary:
        Image.fromarray(sheet).save(temporary)


def main(argv):
    options = parse_options(argv)
    started = time.perf_counter()

    # Inputs first: a folder that cannot be used is said before anything heavy is loaded
    from load_data import find_view_sets, read_framed_views
    from utils.masks import background_remover
    from utils.six_views import find_masks

    sets, problems = find_view_sets(options.views or ROOT / EXAMPLES_DIR)
    for problem in problems:
        print(f"left out: {problem}")
    remove_background = background_remover() if options.remove_background else None

    import torch

    from utils.device import resolve_device
    from utils.files import check_writable
    from utils.mesh_io import textured_mesh
    from utils.template import template_atlas

    device = resolve_device(options.device)
    geometry, texture, sizes = load_models(options.geometry_checkpoint, options.texture_checkpoint, device)
    check_writable(options.output)
    atlas = template_atlas(geometry.decoder.num_points, options.texture_size, options.cache_dir)
    faces = geometry.faces.cpu().numpy()
    print(f"device: {device}, ready in {time.perf_counter() - started:.1f} s")

    done = 0
    for object_id, files in sets.items():
        started = time.perf_counter()
        try:
            masks = find_masks(options.mask_dir, object_id, alone=len(sets) == 1) if options.mask_dir else None
            read_sets = {size: read_framed_views(files, size, object_id, masks, remove_background)
                         for size in set(sizes)}
        except UserError as error:  # the other objects still get their meshes
            print(f"left out: {error}")
            continue
        note = read_sets[sizes[0]][1]
        if note:
            print(f"{object_id}: {note}")
        images = [torch.from_numpy(read_sets[size][0].images).permute(0, 3, 1, 2) for size in sizes]
        read = time.perf_counter()
        vertices, picture = reconstruct(geometry, texture, *images, atlas, options.texture_size)
        predicted = time.perf_counter()
        folder = Path(options.output) / object_id
        path = write_mesh(folder, object_id, vertices, faces, atlas, picture, options.format)
        mesh = textured_mesh(vertices, faces, atlas.uvs, atlas.face_uvs, picture)
        write_preview(folder / f"{object_id}_preview.png", images[1].numpy(), mesh)
        written = time.perf_counter()
        print(f"{path}: {len(vertices)} vertices, {len(faces)} faces; read {read - started:.2f} s, predicted "
              f"{predicted - read:.2f} s, wrote {written - predicted:.2f} s")
        done += 1
    if problems or done < len(sets):
        raise UserError(f"{done} objects reconstructed, some were left out (see above)")


if __name__ == "__main__":
    run_script(main)
