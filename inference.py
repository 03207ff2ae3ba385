"""Six images in, a textured mesh out.

    python inference.py                      # the shipped examples
    python inference.py my_views/            # one object (front.png ...) or many (<id>_front.png ...)

Writes <output>/<id>/<id>.obj with its .mtl and .png (or <id>.glb), and <id>_preview.png: the six inputs above six
views of the result, and two oblique ones.
"""
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from config import EXAMPLES_DIR, PRETRAINED_DIR, OptionParser, UserError, run_script

ROOT = Path(__file__).parent
PREVIEW_SIZE = 256  # pixels per image of the preview; what the field reads too, so images are read once
GRID, FACES = 128, 20000  # of a field's mesh, unless asked otherwise
SMOOTHING = 0.7  # grid steps; standard deviation of the Gaussian over a field
KINDS = {"points": "geometry", "field": "field"}  # of the checkpoints of the two decoders
LARGEST_IMAGE = 1024  # pixels; colors are taken from images of at most this size
FIELD_SIZES = (PREVIEW_SIZE, None)  # of the images that a field reads: for its shape, and for its colors
TEXELS_AT_ONCE = 1 << 17  # bounds the memory of coloring, whatever the texture size


def parse_options(argv):
    parser = OptionParser(description=__doc__.splitlines()[0])
    parser.add_argument("views", nargs="?", metavar="VIEWS_DIR",
                        help="folder of one object (front.png ...), of many (<id>_front.png ...), or of such folders; "
                             "default: the shipped examples")
    parser.add_argument("--output", default="output", help="folder for the results (default output)")
    parser.add_argument("--geometry", choices=["field", "points"], help="decoder; field: from the six named views; "
                        "points: from images alone, in any order (default: what you trained, else field)")
    parser.add_argument("--geometry_checkpoint", help="default: your own in checkpoints/, else the shipped one")
    parser.add_argument("--grid", type=int, help=f"field: cells along the longest edge (default {GRID})")
    parser.add_argument("--faces", type=int, help=f"field: most faces of the mesh (default {FACES})")
    parser.add_argument("--texture_checkpoint", help="points: default your own, else the shipped one")
    outline = parser.add_mutually_exclusive_group()
    outline.add_argument("--mask_dir", metavar="DIR", help="your own masks, white or opaque on the object: "
                         "<id>_<view>.png, <id>/<view>.png, or <view>.png if there is one object")
    outline.add_argument("--remove_background", action="store_true", help="find the object in images without "
                         "transparency by rembg, an optional package (default: background is plain at the border)")
    parser.add_argument("--device", default="auto", help="auto (cuda, then mps, then cpu), cuda, cuda:N, mps or cpu")
    parser.add_argument("--texture_size", type=int, default=1024, help="texels per edge of the texture (default 1024)")
    parser.add_argument("--format", choices=["obj", "glb"], default="obj", help="obj writes .obj, .mtl and .png")
    parser.add_argument("--cache_dir", default=str(ROOT / "data" / "cache"), help="keeps the UV atlas between runs")
    options = parser.parse_args(argv)
    if not 64 <= options.texture_size <= 8192:
        raise UserError(f"--texture_size {options.texture_size}: choose 64 to 8192")
    for name, low, high, usual in (("grid", 16, 512, GRID), ("faces", 100, 10**7, FACES)):
        value = getattr(options, name)
        if value is not None and options.geometry == "points":
            raise UserError(f"--{name}: is for the field; leave it out with --geometry points")
        if value is not None and not low <= value <= high:
            raise UserError(f"--{name} {value}: choose {low} to {high}")
        setattr(options, name, usual if value is None else value)
    if options.mask_dir and not Path(options.mask_dir).is_dir():
        raise UserError(f"--mask_dir {options.mask_dir}: no such folder")
    return options


class TexturedShape(NamedTuple):
    """A mesh as it is written.

    vertices (N, 3) float in the normalized frame; faces (F, 3) int; uvs (T, 2) float32 in [0, 1]; face_uvs (F, 3) int,
    indices into uvs; image (H, W, 3) uint8.
    """

    vertices: object
    faces: object
    uvs: object
    face_uvs: object
    texture: object


def load_reconstructor(geometry_checkpoint, texture_checkpoint, device, *, texture_size=1024, grid=GRID, num_faces=FACES,
                       cache_dir=None):
    """Everything between images and mesh as one function, for whichever decoder the geometry checkpoint holds.

    Args:
        geometry_checkpoint: path.
        texture_checkpoint: path, or None for your own best, else the shipped one; a field, which takes its colors from
            the images, has none.
        device: torch.device.
        texture_size: texels per edge of the texture.
        grid: cells along the longest edge of the object at which a field is evaluated.
        num_faces: most faces of a field's mesh.
        cache_dir: folder that keeps the point decoder's UV atlas, or None.
    Returns:
        function of `read` that gives a TexturedShape; read(size) gives SixViews of `size` pixels, read(None) of as many
        as the images have, up to LARGEST_IMAGE. Its attribute `sizes` holds the sizes that it will ask for.
    Raises:
        UserError: a checkpoint is missing or wrong.
    """
    from utils.io.checkpoint import load_checkpoint

    if load_checkpoint(geometry_checkpoint, ("geometry", "field"))["kind"] == "field":
        from models.field_model import load_field_model

        if texture_checkpoint:
            raise UserError(f"{texture_checkpoint}: a field takes its colors from the images; leave "
                            "--texture_checkpoint out, or choose --geometry points")
        field = load_field_model(geometry_checkpoint)[0].to(device)

        def run(read):
            return reconstruct_field(field, read, grid, num_faces, texture_size)
        run.sizes = FIELD_SIZES
        return run

    import torch

    from models.geometry_model import load_geometry_model
    from models.texture_model import load_texture_model
    from utils.rendering.uv_atlas import template_atlas

    geometry, first = load_geometry_model(geometry_checkpoint)
    texture, second = load_texture_model(texture_checkpoint or default_checkpoint("texture"))
    geometry, texture, sizes = geometry.to(device), texture.to(device), (first["image_size"], second["image_size"])
    atlas = template_atlas(geometry.decoder.num_points, texture_size, cache_dir)
    faces = geometry.faces.cpu().numpy()

    def run(read):
        images = [torch.from_numpy(read(size).images).permute(0, 3, 1, 2) for size in sizes]
        vertices, picture = reconstruct(geometry, texture, *images, atlas, texture_size)
        return TexturedShape(vertices, faces, atlas.uvs, atlas.face_uvs, picture)
    run.sizes = sizes
    return run


def default_checkpoint(kind):
    """Your own best checkpoint of a kind (geometry, geometry_field or texture), else the shipped one."""
    return _own_checkpoint(kind) or ROOT / PRETRAINED_DIR / f"{kind}_best.pth"


def _own_checkpoint(kind):
    """Path of the best checkpoint you trained of a kind, or None."""
    own = Path("checkpoints") / f"{kind}_best.pth"
    return own if own.is_file() else None


def choose_geometry(decoder=None):
    """The geometry checkpoint to use: of the decoder asked for; else your own, the field first; else the shipped field.

    Args:
        decoder: "points", "field" or None.
    Returns:
        Path.
    """
    if decoder:
        return default_checkpoint("geometry" if decoder == "points" else "geometry_field")
    return (_own_checkpoint("geometry_field") or _own_checkpoint("geometry")
            or default_checkpoint("geometry_field"))


def reconstruct_field(model, read, grid, num_faces, texture_size):
    """Six images to a textured shape by a field.

    Args:
        model: FieldModel in eval mode.
        read, grid, num_faces, texture_size: see `load_reconstructor`.
    Returns:
        TexturedShape.
    Raises:
        UserError: the six masks have no body in common.
    """
    import numpy as np

    from models.field_model import field_on_grid
    from utils.mesh.isosurface import mesh_from_grid
    from utils.mesh.smoothing import taubin_smooth, vertex_normals
    from utils.multiview.field_cleanup import (
        close_pits,
        enforce_silhouettes,
        masked_gaussian,
        max_displacement,
        remove_small_components,
    )
    from utils.multiview.photo_consistency import refine_by_photo_consistency
    from utils.multiview.texture_projection import project_colors
    from utils.multiview.view_maps import view_maps
    from utils.multiview.visual_hull import grid_axes, hull_on_grid, silhouette_sdf
    from utils.rendering.uv_atlas import make_atlas

    views, sharp = (read(size) for size in FIELD_SIZES)
    distances = silhouette_sdf(views.masks)
    maps, box = view_maps(views.images, views.masks, distances)
    axes = grid_axes(box, grid)
    hull = hull_on_grid(distances, axes)
    if not (hull > 0).any():
        raise UserError(f"{views.id}: the six outlines have no body in common; is each image under its right name?")
    field = close_pits(masked_gaussian(field_on_grid(model, maps, axes, hull), hull, SMOOTHING), hull)
    field = remove_small_components(enforce_silhouettes(field, hull, distances, axes))
    vertices, faces = mesh_from_grid(field, axes, num_faces)
    vertices = taubin_smooth(vertices, faces, max_displacement(vertices, distances))
    vertices = refine_by_photo_consistency(vertices, faces, views.images, views.masks, distances)
    still = np.isfinite(max_displacement(vertices, distances))  # the outlines' ripples are out already
    vertices = taubin_smooth(vertices, faces, np.where(still, 0, np.inf))

    atlas = make_atlas(vertices, faces, texture_size)
    corners, weights = faces[atlas.texel_faces], atlas.texel_weights[..., None]
    points, normals = ((values[corners] * weights).sum(1) for values in (vertices, vertex_normals(vertices, faces)))
    colors, seen = project_colors(points, normals, vertices, faces, sharp.images, sharp.masks)
    picture = np.empty((texture_size * texture_size, 3), np.uint8)
    picture[:] = np.round(255 * colors[seen].mean(0)) if seen.any() else 128  # texels that no face shows
    picture[atlas.texels] = np.round(255 * colors.clip(0, 1))
    return TexturedShape(vertices, faces, atlas.uvs, atlas.face_uvs,
                         picture.reshape(texture_size, texture_size, 3))


def image_reader(files, object_id, masks=None, remove_background=None):
    """`read` for a reconstructor: a function of a size that reads an object's six images once per size.

    Args:
        files, object_id, masks, remove_background: see utils.views.six_views.read_framed_views.
    Returns:
        function of a size in pixels (None: as many as the largest image has, up to LARGEST_IMAGE) that gives
        SixViews; its attribute `note` holds what the first reading had to say, or None.
    """
    from PIL import Image

    from utils.views.six_views import read_framed_views

    kept = {}

    def read(size):
        if size is None:
            size = PREVIEW_SIZE
            for path in files.values():
                with Image.open(path) as picture:
                    size = max(size, min(max(picture.size), LARGEST_IMAGE))
        if size not in kept:
            views, note = read_framed_views(files, size, object_id, masks, remove_background)
            read.note = note if not kept else read.note
            kept[size] = views
        return kept[size]
    read.note = None
    return read


def reconstruct(geometry, texture, shape_images, color_images, atlas, texture_size):
    """Six images to vertices and a texture.

    Args:
        geometry, texture: the two models on one device.
        shape_images, color_images: (6, 3, S, S) float32 tensors in [0, 1], the same images at the size that either
            model reads, in VIEW_NAMES order (any order gives the same result).
        atlas: utils.rendering.uv_atlas.Atlas of the geometry's template.
        texture_size: edge of the texture in texels.
    Returns:
        vertices: (N, 3) float32 array; image: (texture_size, texture_size, 3) uint8 array.
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
    picture[:] = colors.mean(0).round()  # texels that no face shows: the mean color, for far-off mip levels
    picture[atlas.texels] = colors
    return vertices.cpu().numpy(), picture.reshape(texture_size, texture_size, 3)


def write_mesh(folder, object_id, shape, file_format):
    """Write a TexturedShape to `<folder>/<object_id>.obj` + .mtl + .png, or .glb; returns the mesh's path."""
    from utils.mesh.mesh_io import write_glb, write_obj

    path = Path(folder) / f"{object_id}.{file_format}"
    {"obj": write_obj, "glb": write_glb}[file_format](path, *shape)
    return path


def write_preview(path, images, mesh):
    """Write the six inputs above six views of the result, and two oblique views at the right.

    Args:
        path: .png file.
        images: (6, S, S, 3) float array in [0, 1].
        mesh: utils.mesh.mesh.Mesh.
    """
    import numpy as np
    from PIL import Image

    from utils.io.files import atomic_write
    from utils.rendering.cameras import camera_basis
    from utils.rendering.rasterizer import over_white, render, render_views

    inputs = [np.asarray(Image.fromarray((image * 255).round().astype(np.uint8))
                         .resize((PREVIEW_SIZE, PREVIEW_SIZE), Image.Resampling.LANCZOS)) for image in images]
    views = [over_white(picture) for picture in render_views(mesh, PREVIEW_SIZE).values()]
    oblique = []
    for basis in (camera_basis(40, 25), camera_basis(220, 25)):
        reach = np.abs(mesh.vertices @ basis[:2].T).max()  # a diagonal may be longer than the frame
        smaller = replace(mesh, vertices=mesh.vertices * min(1.0, 1.05 / reach))
        oblique.append(over_white(render(smaller, basis, PREVIEW_SIZE)))
    sheet = np.concatenate([np.concatenate(inputs + oblique[:1], axis=1), np.concatenate(views + oblique[1:], axis=1)])
    with atomic_write(path) as temporary:
        Image.fromarray(sheet).save(temporary)


def one_ahead(executor, function, items):
    """Pairs of (item, future of function(item)); while one is being used, the next is already under way."""
    previous = None
    for item in items:
        future = executor.submit(function, item)
        if previous:
            yield previous
        previous = (item, future)
    if previous:
        yield previous


def main(argv):
    options = parse_options(argv)
    started = time.perf_counter()

    # Inputs first: a folder that cannot be used is said before anything heavy is loaded
    from load_data import find_view_sets
    from utils.views.masks import background_remover
    from utils.views.six_views import find_masks

    sets, problems = find_view_sets(options.views or ROOT / EXAMPLES_DIR)
    for problem in problems:
        print(f"left out: {problem}")
    remove_background = background_remover() if options.remove_background else None

    from utils.device import lighter_inference, out_of_memory_advice, resolve_device
    from utils.io.checkpoint import load_checkpoint
    from utils.io.files import check_writable
    from utils.mesh.mesh import textured_mesh

    device = resolve_device(options.device)
    geometry = options.geometry_checkpoint or choose_geometry(options.geometry)
    if options.geometry and load_checkpoint(geometry, ("geometry", "field"))["kind"] != KINDS[options.geometry]:
        raise UserError(f"--geometry {options.geometry}: {geometry} holds the other decoder; leave one of the two out")
    run = load_reconstructor(geometry, options.texture_checkpoint, device, texture_size=options.texture_size,
                             grid=options.grid, num_faces=options.faces, cache_dir=options.cache_dir)
    check_writable(options.output)
    print(f"model: {geometry}, device: {device}, ready in {time.perf_counter() - started:.1f} s")

    def read_ahead(object_id):
        """Read an object's images; returns `read`, see `image_reader`."""
        masks = find_masks(options.mask_dir, object_id, alone=len(sets) == 1) if options.mask_dir else None
        read = image_reader(sets[object_id], object_id, masks, remove_background)
        for size in (PREVIEW_SIZE, *run.sizes):
            read(size)
        return read

    def write(object_id, read, shape, seconds):
        """Write an object's mesh and preview, and say so."""
        began, folder = time.perf_counter(), Path(options.output) / object_id
        path = write_mesh(folder, object_id, shape, options.format)
        write_preview(folder / f"{object_id}_preview.png", read(PREVIEW_SIZE).images, textured_mesh(*shape))
        print(f"{path}: {len(shape.vertices)} vertices, {len(shape.faces)} faces; reconstructed in {seconds:.2f} s, "
              f"wrote in {time.perf_counter() - began:.2f} s")

    # While one object is reconstructed, the next is read and the last one written
    began, done, writing = time.perf_counter(), 0, None
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        for object_id, coming in one_ahead(reader, read_ahead, sets):
            try:
                read = coming.result()
                if read.note:
                    print(f"{object_id}: {read.note}")
                started = time.perf_counter()
                with out_of_memory_advice(lighter_inference(options.texture_size, device.type)):
                    shape = run(read)
            except UserError as error:  # the other objects still get their meshes
                print(f"left out: {error}")
                continue
            if writing:
                writing.result()  # never more than one in memory; a full disk is said here
            writing = writer.submit(write, object_id, read, shape, time.perf_counter() - started)
            done += 1
        if writing:
            writing.result()
    if done > 1:
        print(f"{done} objects, {60 * done / (time.perf_counter() - began):.1f} per minute")
    if problems or done < len(sets):
        count = len(set(sets) | {problem.id for problem in problems})
        raise UserError(f"{done} of {count} objects reconstructed, the others were left out (see above)")


if __name__ == "__main__":
    run_script(main)
