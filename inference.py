"""Six images in, a textured mesh out.

    python inference.py                      # the shipped examples
    python inference.py my_views/            # one object (front.png ...) or many (<id>_front.png ...)

Writes <output>/<id>/<id>.obj with its .mtl and .png (or what --format names), <id>_viewer.html to look at it in a
browser, <id>_preview.png (the six inputs above six views of the result, and two oblique ones), <id>_masks.png and
<id>_report.json (docs/formats.md).
"""
from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

from config import EXAMPLES_DIR, VIEW_NAMES, OptionParser, UserError, counted, run_script
from utils.views.view_reader import PREVIEW_SIZE, ViewReader

if TYPE_CHECKING:  # `--help` and a mistyped option answer at once, so what is heavy is imported where it is used
    from argparse import Namespace

    from models.field_model import FieldModel
    from models.geometry_model import GeometryModel
    from models.texture_model import TextureModel
    from utils.mesh.textured_mesh import TexturedMesh
    from utils.rendering.uv_atlas import Atlas
    from utils.views.six_views import SixViews

ROOT = Path(__file__).parent
GRID, FACES = 128, 20000  # of a field's mesh, unless asked otherwise
TEXTURE_SIZE = 1024  # texels per edge, unless asked otherwise
# Option, smallest, largest, usual value
RANGES = (("grid", 16, 512, GRID), ("faces", 100, 10**7, FACES), ("texture_size", 64, 8192, TEXTURE_SIZE))
FORMATS = ("obj", "glb", "ply", "stl", "3mf")
# What the report tells of the command line: all that changes the mesh files, but for paths
RESULT_OPTIONS = ("grid", "faces", "texture_size", "background", "allow_missing", "format", "texture_format", "up", "ground",
                  "longest_edge_mm", "min_wall_mm")
MIN_WALL_MM = 0.8  # two lines of a usual 0.4 mm nozzle
# Steps of the field's method, which may be left out to measure what they are worth
STEPS = ("cameras", "network", "silhouettes", "handles", "photo_consistency")
STAGES = ("reading images", "finding cameras", "carving the shape", "moving the surface", "painting")  # in this order
WRITING = "writing files"  # what follows them
HANDLE_TOLERANCE = 0.02  # of a field's values, a logit of 1; handles that are gone this far below its level are closed
STIFFNESS = (64.0, 4.0)  # of a field's surface, before and after images move it: see thin_plate_smooth
SMOOTHED = 0.1  # normalized units; what is larger is never smoothed away
KINDS = {"points": "geometry", "field": "field"}  # of the checkpoints of the two decoders
FIELD_SIZES = (PREVIEW_SIZE, None)  # of the images that a field reads: for its shape, and for its colors, all they have
TEXELS_AT_ONCE = 1 << 17  # bounds the memory of coloring, whatever the texture size


def parse_options(argv: list[str]) -> Namespace:
    parser = OptionParser(description=__doc__.splitlines()[0])
    parser.add_argument("views", nargs="?", metavar="VIEWS_DIR",
                        help="folder of one object (front.png ...), of many (<id>_front.png ...), or of such folders; "
                             "default: the shipped examples")
    parser.add_argument("--output", default="output", help="folder for the results (default output)")
    parser.add_argument("--geometry", choices=["field", "points"], help="decoder; field: from the six named views (default); "
                        "points: from images alone, in any order")
    parser.add_argument("--geometry_checkpoint", metavar="MODEL", help="a .pth, a folder written by models.share, or "
                        "hf://<owner>/<name> (default: the shipped one, until your own field in checkpoints/ scores better on "
                        "the objects that its training held out; points: your own, if there is one)")
    parser.add_argument("--grid", type=int, help=f"field: cells along the longest edge (default {GRID})")
    parser.add_argument("--faces", type=int, help=f"field: most faces of the mesh (default {FACES})")
    parser.add_argument("--texture_checkpoint", metavar="MODEL", help="points: the same for colors")
    outline = parser.add_mutually_exclusive_group()
    outline.add_argument("--mask_dir", metavar="DIR", help="your own masks, white or opaque on the object: "
                         "<id>_<view>.png, <id>/<view>.png, or <view>.png if there is one object")
    outline.add_argument("--background", choices=["auto", "model", "border"], default="auto", help="how the object is "
                         "found in images without transparency: border: all but the border's color; model: by a network "
                         "(U2-Net-p); auto (default): border for plain renders, else model")
    outline.add_argument("--remove_background", dest="background", action="store_const", const="model",
                         help="the same as --background model")
    parser.add_argument("--allow_missing", action="store_true", help="field: three to five views are enough, if two of "
                        "them are not opposite each other")
    parser.add_argument("--device", default="auto", help="auto (cuda, then mps, then cpu), cuda, cuda:N, mps or cpu")
    parser.add_argument("--texture_size", type=int, help=f"texels per edge of the texture (default {TEXTURE_SIZE})")
    parser.add_argument("--format", metavar="NAMES", default="obj", help=f"any of {', '.join(FORMATS)}, with commas "
                        "between (default obj, which writes .obj, .mtl and .png)")
    parser.add_argument("--texture_format", choices=["png", "jpg"], help="of obj and glb (default png)")
    parser.add_argument("--up", choices=["y", "z"], help="axis that points up in obj and ply (default y); glb is always y "
                        "up, stl and 3mf always z up")
    parser.add_argument("--ground", action="store_true", help="stand the mesh on 0 instead of centering it there")
    parser.add_argument("--longest_edge_mm", type=float, metavar="MM", help="true length of the longest edge: coordinates "
                        "are millimeters then, in glb meters (default 100 for stl and 3mf)")
    parser.add_argument("--min_wall_mm", type=float, metavar="MM",
                        help=f"warn of walls thinner than this (default {MIN_WALL_MM} for stl and 3mf)")
    parser.add_argument("--no_viewer", dest="viewer", action="store_false",
                        help="without <id>_viewer.html, the page that shows a mesh in a browser")
    parser.add_argument("--turntable", action="store_true", help="also write an animated picture, <id>_turntable.webp")
    parser.add_argument("--cache_dir", help="points: keeps the UV atlas between runs (default data/cache)")
    try:
        options = parser.parse_args(argv)
    except UserError as error:
        for word in argv:
            if str(error).startswith(f"unrecognized arguments: {word}") and Path(word).exists():
                raise UserError(f"{word}: one path is wanted, that of a folder: it holds the six pictures of an object, or "
                                "such folders") from None
        raise
    options.of_field = [name for name in ("grid", "faces") if getattr(options, name) is not None]
    for name, _, _, usual in RANGES:
        if getattr(options, name) is None:
            setattr(options, name, usual)
        elif options.geometry == "points" and name != "texture_size":
            raise UserError(f"--{name}: is for the field; leave it out with --geometry points")
    check_sizes(grid=options.grid, faces=options.faces, texture_size=options.texture_size)
    check_output_options(options)
    if options.mask_dir and not Path(options.mask_dir).is_dir():
        from utils.io.files import no_folder

        raise UserError(f"--mask_dir {options.mask_dir}: {no_folder(options.mask_dir)}")
    return options


def check_sizes(**sizes: int) -> None:
    """Raise UserError where one of `grid`, `faces` and `texture_size`, as far as given, is no whole number from its range."""
    ranges = {name: (low, high) for name, low, high, _ in RANGES}
    for name, size in sizes.items():
        low, high = ranges[name]
        if not isinstance(size, Integral) or not low <= size <= high:
            raise UserError(f"--{name} {size}: choose {low} to {high}")


def check_output_options(options: Namespace) -> None:
    """Bring what says how results are written into the form of `OutputOptions`; refuse what would have no effect."""
    options.format = tuple(dict.fromkeys(word.strip().lower().removeprefix(".") for word in options.format.split(",")))
    for name in options.format:
        if name not in FORMATS:
            raise UserError(f"--format {name or '(nothing)'}: choose any of {', '.join(FORMATS)}, with commas between")
    chosen = set(options.format)
    for option, users in (("up", {"obj", "ply"}), ("texture_format", {"obj", "glb"})):
        if getattr(options, option) and not chosen & users:
            raise UserError(f"--{option}: is for {' and '.join(sorted(users))}; leave it out with --format "
                            f"{','.join(options.format)}")
    printed = bool(chosen & {"stl", "3mf"})
    if options.min_wall_mm is not None and options.longest_edge_mm is None and not printed:
        raise UserError("--min_wall_mm: say how large the object is with --longest_edge_mm")
    for option in ("longest_edge_mm", "min_wall_mm"):
        value = getattr(options, option)
        if value is not None and not 0.001 <= value <= 1e6:
            raise UserError(f"--{option} {value:g}: choose 0.001 to 1000000 millimeters")
    options.up, options.texture_format = options.up or "y", options.texture_format or "png"
    if options.min_wall_mm is None and printed:
        options.min_wall_mm = MIN_WALL_MM


class Reconstructor:
    """Six named images to a textured mesh. The models are loaded once, for as many objects as there are.

        from inference import Reconstructor

        mesh = Reconstructor().reconstruct({"front": "front.png", "back": "back.png", ...})
        mesh.write("shoe.glb")

    Args:
        geometry_checkpoint: .pth, folder or hf://<owner>/<name> of a field or point decoder; None: see
            utils.io.chosen_checkpoint.choose_geometry.
        texture_checkpoint: the same, for a point decoder alone (a field takes its colors from the images); None: your own,
            else the shipped one.
        device: auto (cuda, then mps, then cpu), cuda, cuda:N, mps or cpu.
        grid: cells along the object's longest edge at which a field is evaluated.
        faces: most faces of a field's mesh.
        texture_size: texels per edge of the texture.
        cache_dir: folder that keeps the point decoder's UV atlas, or None.
        without: steps of the field's method to leave out, for measuring what each is worth: any of STEPS.
        background: how the object is found in images without transparency: auto, model (U2-Net-p) or border.
        allow_missing: three to five views are enough, if two of them are not opposite each other (field only).
        decoder: "field" or "points", which the geometry checkpoint then has to hold; None: whichever it holds.
    Raises:
        UserError: a checkpoint is missing or wrong, the device is absent, or a step is unknown.
    """

    def __init__(self, geometry_checkpoint: str | Path | None = None, texture_checkpoint: str | Path | None = None,
                 device: str = "auto", *, grid: int = GRID, faces: int = FACES, texture_size: int = TEXTURE_SIZE,
                 cache_dir: str | Path | None = None, without: frozenset = frozenset(), background: str = "auto",
                 allow_missing: bool = False, decoder: str | None = None) -> None:
        from utils.device import resolve_device
        from utils.io.checkpoint import load_checkpoint
        from utils.io.chosen_checkpoint import choose_geometry, choose_of_points
        from utils.io.files import usable_path
        from utils.io.model_folder import local_model
        from utils.views.six_views import check_background

        check_sizes(grid=grid, faces=faces, texture_size=texture_size)
        check_background(background)
        if decoder not in (None, *KINDS):
            raise UserError(f"--geometry {decoder}: choose {' or '.join(KINDS)}")
        for path, option in ((geometry_checkpoint, "--geometry_checkpoint"), (texture_checkpoint, "--texture_checkpoint"),
                             (cache_dir, "--cache_dir")):
            if path is not None:
                usable_path(path, option)
        if isinstance(without, str) or not isinstance(without, Iterable):
            raise UserError(f"--without {without}: give a set of steps, any of {', '.join(STEPS)}")
        steps = tuple(without)
        unknown = [step for step in steps if step not in STEPS]
        if unknown:
            raise UserError(f"--without {unknown[0]}: no such step; choose from {', '.join(STEPS)}")
        chosen, why = (geometry_checkpoint, "named") if geometry_checkpoint else choose_geometry(decoder or "field")
        self.geometry_checkpoint = local_model(chosen)
        self.device, self.texture_size = resolve_device(device), texture_size
        self.grid, self.faces, self.without = grid, faces, frozenset(steps)
        self.background, self.allow_missing = background, allow_missing
        checkpoint = load_checkpoint(self.geometry_checkpoint, tuple(KINDS.values()))
        if decoder and checkpoint["kind"] != KINDS[decoder]:
            raise UserError(f"--geometry {decoder}: {self.geometry_checkpoint} holds the other decoder; leave one of the two "
                            "out")
        self.checkpoints = [self.geometry_checkpoint]
        self.models = f"{self.geometry_checkpoint} ({why})"  # and why these, for people
        self._is_field = checkpoint["kind"] == "field"
        if self._is_field:
            if texture_checkpoint:
                raise UserError(f"{texture_checkpoint}: a field takes its colors from the images; leave "
                                "--texture_checkpoint out, or choose --geometry points")
            self._load_field(checkpoint)
            return
        chosen, why_colors = (texture_checkpoint, "named") if texture_checkpoint else choose_of_points("texture")
        self.checkpoints.append(local_model(chosen))
        self.models += f", of colors: {self.checkpoints[1]} ({why_colors})"
        self._load_points(checkpoint, cache_dir)

    def _load_field(self, checkpoint):
        from models.field_model import load_field_model

        self._field = load_field_model(self.geometry_checkpoint, checkpoint=checkpoint)[0].to(self.device)
        self.sizes: tuple = FIELD_SIZES

    def _load_points(self, checkpoint, cache_dir):
        from models.geometry_model import load_geometry_model
        from models.texture_model import load_texture_model
        from utils.rendering.uv_atlas import template_atlas

        geometry, first = load_geometry_model(self.geometry_checkpoint, checkpoint=checkpoint)
        texture, second = load_texture_model(self.checkpoints[1])
        if self.allow_missing:
            raise UserError("--allow_missing: is for the field; the point decoder wants all six views")
        self._geometry, self._texture = geometry.to(self.device), texture.to(self.device)
        self._atlas = template_atlas(geometry.decoder.num_points, self.texture_size, cache_dir)
        self.sizes = (first["image_size"], second["image_size"])

    def reconstruct(self, views: dict, masks: dict | None = None, name: str = "object") -> TexturedMesh:
        """Reconstruct one object.

        Args:
            views: {view name: path, PIL image, or (H, W, 3 or 4) uint8 array} for all six of config.VIEW_NAMES.
            masks: the same for masks, white or opaque on the object; None: transparency, else a plain background.
            name: for messages.
        Returns:
            TexturedMesh; its `notes` say what was noticed about the views.
        Raises:
            UserError: an image cannot be used, or the six silhouettes have no body in common.
        """
        from utils.views.six_views import check_views

        for images in (views, {} if masks is None else masks):
            if not isinstance(images, dict):
                raise UserError(f"{name}: images are given as {{view name: image}}, not as a {type(images).__name__}")
        check_views(views, name, self.allow_missing)  # whose names become those of files
        alone = [view for view in views | masks if (view in views) != (view in masks)] if masks else []
        if alone:
            raise UserError(f"{name}: masks are for all views that are given or for none; no "
                            f"{'mask' if alone[0] in views else 'image'} for {alone[0]}")
        with tempfile.TemporaryDirectory() as folder:
            places = Path(folder) / "views", Path(folder) / "masks"
            files = _as_files(views, places[0], name, "{} view")
            mask_files = _as_files(masks, places[1], name, "mask of the {} view") if masks else None
            try:
                return self.reconstruct_from(self.reader(files, name, mask_files))
            except UserError as error:
                ours = [path for path in (*files.values(), *(mask_files or {}).values()) if path.parent in places]
                for path in ours:  # which nobody has heard of
                    error.args = (str(error).replace(f"{path}: ", f"{name}: "),)
                raise

    def reader(self, files: dict, name: str, masks: dict | None = None) -> ViewReader:
        """A reader of one object's image files, as this reconstructor wants them read."""
        calibrated = self._is_field and "cameras" not in self.without  # the point decoder knows no cameras
        return ViewReader(files, name, masks, self.background, calibrated, self.allow_missing)

    def reconstruct_from(self, reader: ViewReader, stage: Callable[[str], None] = lambda name: None) -> TexturedMesh:
        """`reconstruct` for images that a ViewReader reads; `sizes` are those it will be asked for.

        `stage` is called with each of STAGES as it begins (a point decoder has the first and the last).
        """
        from utils.multiview.visual_hull import are_named

        stage(STAGES[0])
        if self._is_field:
            mesh = reconstruct_field(self._field, reader, self.grid, self.faces, self.texture_size, self.without, stage)
        else:
            shape_views, color_views = (reader.at(size) for size in self.sizes)
            stage(STAGES[-1])  # vertices take no time beside the colors of all texels
            mesh = reconstruct_points(self._geometry, self._texture, shape_views, color_views, self._atlas, self.texture_size)
        mesh.notes = list(reader.notes)
        views = reader.at(PREVIEW_SIZE)
        names = [name for name, present in zip(VIEW_NAMES, views.present) if present]
        mesh.cameras = {} if are_named(reader.cameras) else dict(zip(names, reader.cameras))
        return mesh


def reconstruct_field(model: FieldModel, reader: ViewReader, grid: int, num_faces: int, texture_size: int,
                      without: frozenset = frozenset(),
                      stage: Callable[[str], None] = lambda name: None) -> TexturedMesh:
    """Six images to a textured mesh by a field.

    Args:
        model: FieldModel in eval mode.
        reader: of the object's images.
        grid, num_faces, texture_size, without: see `Reconstructor`.
        stage: see `Reconstructor.reconstruct_from`.
    Returns:
        TexturedMesh.
    Raises:
        UserError: the six masks have no body in common.
    """
    import numpy as np

    from models.field_model import field_on_grid
    from utils.mesh.isosurface import mesh_from_grid
    from utils.mesh.smoothing import thin_plate_smooth
    from utils.mesh.textured_mesh import TexturedMesh
    from utils.multiview.exposure import apply_gains, balance_exposures
    from utils.multiview.field_cleanup import (
        cut_off,
        enforce_silhouettes,
        max_displacement,
        remove_small_components,
        smooth_and_close,
    )
    from utils.multiview.handles import close_uncertain_handles
    from utils.multiview.photo_consistency import refine_by_photo_consistency
    from utils.multiview.silhouette_fit import fit_silhouettes
    from utils.multiview.texture_projection import surface_colors
    from utils.multiview.view_maps import seen_by_network, view_maps
    from utils.multiview.visual_hull import grid_axes, hull_on_grid, silhouette_sdf
    from utils.rendering.seams import erase_seams
    from utils.rendering.uv_atlas import make_atlas

    # What the silhouettes say, by the cameras that they agree on best
    views, sharp = (reader.at(size) for size in FIELD_SIZES)
    stage(STAGES[1])
    there, cameras = views.present, reader.cameras
    images, masks, sharp_images, sharp_masks = views.images[there], views.masks[there], sharp.images[there], sharp.masks[there]
    sure = None if views.edge_confidence is None else views.edge_confidence[there]
    distances = silhouette_sdf(masks)
    seen = seen_by_network(images, masks, distances, cameras, there)
    maps, box = view_maps(seen.images, seen.masks, seen.distances, seen.cameras)
    axes = grid_axes(box, grid)
    hull = hull_on_grid(distances, axes, cameras, sure)
    if not (hull > 0).any():
        raise UserError(f"{views.id}: the six silhouettes have no body in common; is each image under its right name?")

    # What the network carves from it, held to the silhouettes
    stage(STAGES[2])
    field = hull if "network" in without else field_on_grid(model, maps, axes, hull, seen.cameras, seen.measured)
    field = smooth_and_close(field, hull)
    if "silhouettes" not in without:
        field = enforce_silhouettes(field, hull, distances, axes, cameras)
    if "handles" not in without:
        field = close_uncertain_handles(field, hull, HANDLE_TOLERANCE, max(axis[1] - axis[0] for axis in axes))
    vertices, faces = mesh_from_grid(remove_small_components(cut_off(field, axes)), axes, num_faces)

    # Without the network's noise the surface goes where the images, as if all had been exposed alike, agree about its color
    stage(STAGES[3])
    reach = max_displacement(vertices, distances, cameras)
    vertices = thin_plate_smooth(vertices, faces, STIFFNESS[0], SMOOTHED, reach)
    if "silhouettes" not in without:
        vertices = fit_silhouettes(vertices, faces, distances, cameras, sure)
    images, gains = balance_exposures(images, masks, cameras, vertices, faces)
    if "photo_consistency" not in without:
        vertices = refine_by_photo_consistency(vertices, faces, images, masks, distances, cameras)
    reach = max_displacement(vertices, distances, cameras)
    vertices = thin_plate_smooth(vertices, faces, STIFFNESS[1], SMOOTHED, reach)
    if "silhouettes" not in without:
        vertices = fit_silhouettes(vertices, faces, distances, cameras, sure)
    sharp_images = sharp_images if (gains == 1).all() else apply_gains(sharp_images, sharp_masks, gains)

    # Every texel takes its color from the images that see it
    stage(STAGES[4])
    atlas = make_atlas(vertices, faces, texture_size)
    colors = surface_colors(vertices, faces, faces[atlas.texel_faces], atlas.texel_weights, sharp_images, sharp_masks, cameras)
    texture = np.empty((texture_size * texture_size, 3), np.float32)
    texture[:] = 255 * colors.mean(0)  # texels that no face shows
    texture[atlas.texels] = 255 * colors
    texture = erase_seams(texture.reshape(texture_size, texture_size, 3), faces, atlas.uvs, atlas.face_uvs)
    return TexturedMesh(vertices, faces, atlas.uvs, atlas.face_uvs, np.round(texture.clip(0, 255)).astype(np.uint8))


def reconstruct_points(geometry: GeometryModel, texture: TextureModel, shape_views: SixViews, color_views: SixViews,
                       atlas: Atlas, texture_size: int) -> TexturedMesh:
    """Six images, in any order, to a textured mesh by the point decoder and the texture model.

    Args:
        geometry, texture: the two models on one device, in eval mode.
        shape_views, color_views: SixViews of the same images at the size that either model reads.
        atlas: utils.rendering.uv_atlas.Atlas of the geometry's template.
        texture_size: texels per edge of the texture.
    Returns:
        TexturedMesh.
    """
    import numpy as np
    import torch

    from utils.mesh.textured_mesh import TexturedMesh

    device = geometry.faces.device
    shape_images, color_images = (torch.from_numpy(views.images).permute(0, 3, 1, 2)[None].to(device)
                                  for views in (shape_views, color_views))          # (1, 6, 3, S, S)
    with torch.inference_mode():
        vertices = geometry(shape_images)[0]
        feature = texture.features(color_images)
        corners = geometry.faces[torch.from_numpy(atlas.texel_faces).to(device)]
        weights = torch.from_numpy(atlas.texel_weights).to(device)
        colors = torch.cat([
            texture.decoder((vertices[index] * weight.unsqueeze(-1)).sum(1)[None], feature)[0]
            for index, weight in zip(corners.split(TEXELS_AT_ONCE), weights.split(TEXELS_AT_ONCE))])
    image = np.empty((texture_size * texture_size, 3), np.uint8)
    colors = (colors.cpu().numpy() * 255).round().astype(np.uint8)
    image[:] = colors.mean(0).round()  # texels that no face shows: the mean color, for far-off mip levels
    image[atlas.texels] = colors
    return TexturedMesh(vertices.cpu().numpy(), geometry.faces.cpu().numpy(), atlas.uvs, atlas.face_uvs,
                        image.reshape(texture_size, texture_size, 3))


def _as_files(images: dict, folder: Path, name: str, what: str) -> dict:
    """{view: path}: images that are no files yet are written to a folder, so that all are read in one way.

    `name` is the object's and `what` says what the image of a view is, for messages.
    """
    import numpy as np
    from PIL import Image

    from utils.io.files import usable_path

    files = {}
    for view, image in images.items():
        if isinstance(image, (str, Path)):
            files[view] = usable_path(image, f"{name}: the {what.format(view)}")
            continue
        folder.mkdir(exist_ok=True)
        files[view] = folder / f"{view}.png"
        try:
            (image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image))).save(files[view])
        except (TypeError, ValueError, OSError) as error:
            raise UserError(f"{name}: the {what.format(view)} is neither a path, nor a PIL image, nor a uint8 array "
                            f"({error})") from None
    return files


def main(argv: list[str]) -> None:
    options = parse_options(argv)
    started = time.perf_counter()

    # Inputs first: a folder that cannot be used is said before anything heavy is loaded
    from load_data import find_view_sets
    from utils.views.six_views import find_masks

    sets, problems = find_view_sets(options.views or ROOT / EXAMPLES_DIR, options.allow_missing)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)

    from tqdm import tqdm

    from utils.device import lighter_inference, out_of_memory_advice
    from utils.io.files import check_writable, clear_leftovers, replaced_together
    from utils.output.gallery import write_gallery
    from utils.output.pipeline import run_pipelined
    from utils.output.provenance import named_hash
    from utils.output.report import report_line, report_table, unusual_warning, wall_warning
    from utils.output.results import OutputOptions, replaced_note, write_result

    # One line that is replaced, at a terminal alone: what is printed meanwhile goes above it by tqdm.write
    status_line = partial(tqdm, bar_format="{desc}", leave=False, disable=None)
    with status_line(desc="loading models ..."):
        reconstructor = Reconstructor(options.geometry_checkpoint, options.texture_checkpoint, options.device,
                                      grid=options.grid, faces=options.faces, texture_size=options.texture_size,
                                      cache_dir=options.cache_dir or ROOT / "data" / "cache",
                                      background=options.background, allow_missing=options.allow_missing,
                                      decoder=options.geometry)
    used, other = "the field", "the point decoder"
    without_effect = ["cache_dir"] * bool(options.cache_dir)
    if len(reconstructor.checkpoints) > 1:
        used, other, without_effect = other, used, options.of_field
    if without_effect:
        raise UserError(f"--{without_effect[0]}: is for {other}; leave it out, as {reconstructor.checkpoints[0]} holds {used}")
    check_writable(options.output)
    print(f"model: {reconstructor.models}, device: {reconstructor.device}, ready in {time.perf_counter() - started:.1f} s")
    wanted = OutputOptions(options.format, options.up, options.ground, options.longest_edge_mm, options.texture_format,
                           options.min_wall_mm, options.viewer, options.turntable)
    made_with = {"checkpoints": [named_hash(path) for path in reconstructor.checkpoints],
                 "device": str(reconstructor.device),
                 "options": {option: getattr(options, option) for option in RESULT_OPTIONS}}
    seconds, reports, order, status = {}, {}, list(sets), status_line()

    def show(name, step):
        place = f" ({order.index(name) + 1} of {len(order)})" if len(order) > 1 else ""
        status.set_description_str(f"{name}{place}: {step} ...")

    def read(name):
        began, masks = time.perf_counter(), None
        texture = Path(options.output) / name / f"{name}.{options.texture_format}"
        for view, path in sets[name].items():  # an object called front, in the folder that holds it
            if texture.exists() and texture.samefile(path):
                raise UserError(f"{path}: is the {view} image, and the result's texture would replace it; choose another "
                                "--output, or rename the folder")
        if options.mask_dir:
            masks = find_masks(options.mask_dir, name, alone=len(sets) == 1, views=sets[name])
        reader = reconstructor.reader(sets[name], name, masks)
        for size in (PREVIEW_SIZE, *reconstructor.sizes):
            reader.at(size)
        seconds[name] = [time.perf_counter() - began]
        return reader

    def reconstruct(name, reader):
        began = time.perf_counter()
        if reader.calibrated:
            show(name, STAGES[1])  # which the notes speak of
        for note in reader.notes:
            tqdm.write(f"{name}: {note}")
        with out_of_memory_advice(lighter_inference(options.texture_size, reconstructor.device.type)):
            mesh = reconstructor.reconstruct_from(reader, partial(show, name))
        seconds[name].append(time.perf_counter() - began)
        show(name, WRITING)
        return mesh

    def write(name, reader, mesh):
        began, folder = time.perf_counter(), Path(options.output) / name
        clear_leftovers(folder)
        with replaced_together(folder) as new:
            reports[name] = report = write_result(new, name, mesh, reader.at(PREVIEW_SIZE), wanted, reader.report,
                                                  reader.masks, made_with)
            replaced = replaced_note(folder, new, name)
        if replaced:
            tqdm.write(f"{name}: {replaced}")
        tqdm.write(f"{folder / name}.{', .'.join(options.format)}: {counted(len(mesh.vertices), 'vertex', 'vertices')}, "
                   f"{counted(len(mesh.faces), 'face')}; read in {seconds[name][0]:.2f} s, reconstructed in "
                   f"{seconds[name][1]:.2f} s, wrote in {time.perf_counter() - began:.2f} s")
        tqdm.write(report_line(report))
        for warning in filter(None, (unusual_warning(report), wall_warning(report))):
            tqdm.write(f"{name}: {warning}")

    began = time.perf_counter()
    with status:
        done = run_pipelined(order, read, reconstruct, write, lambda name: show(name, STAGES[0]))
    if len(done) > 1:
        print(f"{counted(len(done), 'object')}, {60 * len(done) / (time.perf_counter() - began):.1f} per minute")
        print(report_table(list(reports.values())))
        print(f"all of them: {write_gallery(options.output)}")
    if problems or len(done) < len(sets):
        count = len(set(sets) | {problem.id for problem in problems})
        raise UserError(f"{len(done)} of {counted(count, 'object')} reconstructed, {count - len(done)} left out (see above)")


if __name__ == "__main__":
    run_script(main)
