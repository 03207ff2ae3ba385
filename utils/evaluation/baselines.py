"""Baselines: reconstructions without a network, beside which a network has to prove itself.

Every baseline is a function of an object's files (anything with `id`, `mesh` and `images`, such as
load_data.ObjectFiles) that gives a Mesh in the normalized frame. Those that need training objects are made by a
function of them, and read their images once, through a cache of 64-pixel copies.
"""
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import VIEW_NAMES, UserError
from utils.evaluation.metrics import surface_scores, visible_samples
from utils.io.cached_file import cached_npz
from utils.io.files import content_hash
from utils.io.object_files import ObjectFiles
from utils.mesh.isosurface import mesh_from_grid
from utils.mesh.mesh import Mesh, normalize, plain_mesh, textured_mesh
from utils.mesh.mesh_io import read_mesh
from utils.multiview.texture_projection import surface_colors
from utils.multiview.visual_hull import grid_axes, hull_box, hull_on_grid, silhouette_sdf
from utils.rendering.uv_atlas import make_atlas
from utils.views.six_views import read_framed_views

THUMBNAIL_SIZE = 64  # pixels; enough to tell silhouettes apart, small enough to hold thousands
THUMBNAIL_VERSION = 1  # raise when what a cached thumbnail holds changes meaning
HULL_SIZE = 256  # pixels of the images that the visual hull is cut from
HULL_GRID, TEXTURE_SIZE = 128, 1024  # as inference uses for a field, so that the two are compared at equal means
MEAN_GRID = 48  # cells along each edge of the grid in which training shapes are averaged
MEAN_LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # fractions of training objects that hold a point; the best one is taken
MEAN_JUDGES = 12  # training objects on which the level is chosen
NUM_JUDGE_SAMPLES = 4000  # points on each of their surfaces
LEVEL_THRESHOLD = "f_0.1"  # the score that chooses


@dataclass(frozen=True)
class Thumbnail:
    """Six small images of an object in VIEW_NAMES order: images (6, E, E, 3), masks (6, E, E), both uint8."""

    images: np.ndarray
    masks: np.ndarray

    def mean_color(self) -> np.ndarray:
        """(3,) float64 sRGB in [0, 1], the mean over the masks."""
        return mean_color_of(self.images / 255, self.masks / 255)


def true_mesh(files: ObjectFiles) -> Mesh:
    """The reference itself in the normalized frame: with other samples it gives the floor of every score."""
    mesh, _ = read_mesh(files.mesh)
    mesh.vertices = normalize(mesh.vertices, mesh.faces)
    return mesh


def visual_hull(files: ObjectFiles, grid: int = HULL_GRID, faces: int | None = None, texture_size: int = TEXTURE_SIZE) -> Mesh:
    """The visual hull of the six silhouettes, painted with the images: all that can be had without learning.

    Args:
        files: object's files.
        grid: cells along the longest edge.
        faces: most faces of the mesh; None keeps all.
        texture_size: texels per edge.
    Returns:
        Mesh, closed, with one texture.
    Raises:
        UserError: an image cannot be used, or the six masks have no body in common.
    """
    views, _ = read_framed_views(files.images, HULL_SIZE, files.id)
    distances = silhouette_sdf(views.masks)
    axes = grid_axes(hull_box(distances), grid)
    hull = hull_on_grid(distances, axes)
    if not (hull > 0).any():
        raise UserError(f"{files.id}: the six silhouettes have no body in common")
    return _painted(*mesh_from_grid(hull, axes, faces), views, texture_size)


def _painted(vertices, faces, views, texture_size):
    """A Mesh whose texture takes every texel's color from the images that see it."""
    atlas = make_atlas(vertices, faces, texture_size)
    colors = surface_colors(vertices, faces, faces[atlas.texel_faces], atlas.texel_weights, views.images, views.masks)
    texture = np.full((texture_size * texture_size, 3), 128, np.uint8)
    texture[atlas.texels] = np.round(255 * colors.clip(0, 1))
    return textured_mesh(vertices, faces, atlas.uvs, atlas.face_uvs, texture.reshape(texture_size, texture_size, 3))


def in_mean_color(mesh: Mesh, files: ObjectFiles) -> Mesh:
    """A mesh's shape painted in one color: the mean of the object's six images over their masks."""
    views, _ = read_framed_views(files.images, THUMBNAIL_SIZE, files.id)
    return plain_mesh(mesh.vertices, mesh.faces, mean_color_of(views.images, views.masks))


def always(mesh: Mesh) -> Callable[[ObjectFiles], Mesh]:
    """The baseline that gives one mesh whatever the object: a function of its files."""
    return lambda files: mesh


def mean_color_of(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Mean color (3,) of images (..., 3) over white under masks (...), both float in [0, 1].

    At a silhouette's boundary a pixel holds white as well; that share is taken out, or thin things would come out pale.
    """
    drawn = masks > 0
    total = (images[drawn] - (1 - masks[drawn])[:, None]).sum(0)
    return np.clip(total / max(masks.sum(), 1e-9), 0, 1)


# ---- Training objects -----------------------------------------------------------------------------------------


def thumbnail(files: ObjectFiles, cache_dir: str | Path) -> Thumbnail:
    """The framed images of an object at THUMBNAIL_SIZE, kept in a file named by the content of its images.

    Args:
        files: object's files.
        cache_dir: folder.
    Returns:
        Thumbnail.
    Raises:
        UserError: an image cannot be used, or the cache cannot be written.
    """
    try:
        key = content_hash([files.images[view] for view in VIEW_NAMES], "thumbnail", THUMBNAIL_VERSION, THUMBNAIL_SIZE)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None
    path = Path(cache_dir) / f"{files.id[:100]}-thumbnail-{key}.npz"

    def make():
        views, _ = read_framed_views(files.images, THUMBNAIL_SIZE, files.id)
        return {name: np.round(array * 255).astype(np.uint8)
                for name, array in (("images", views.images), ("masks", views.masks))}

    return Thumbnail(**cached_npz(path, make, ("images", "masks")))


def thumbnails(objects: list[ObjectFiles], cache_dir: str | Path) -> dict[str, Thumbnail]:
    """{id: Thumbnail} of those objects whose images can be used."""
    from tqdm import tqdm

    found = {}
    for files in tqdm(objects, desc="reading training images", unit="object", leave=False, disable=None):
        try:
            found[files.id] = thumbnail(files, cache_dir)
        except UserError as error:
            print(f"not among the baselines' training objects: {error}")  # training leaves it out as well
    if not found:
        raise UserError("none of the training objects has six images that can be used")
    return found


def nearest_object(objects: list[ObjectFiles], cache_dir: str | Path) -> Callable[[ObjectFiles], Mesh]:
    """The baseline that retrieves: of all training objects the one whose six silhouettes fit the input's best.

    Args:
        objects: training objects' files, at least one.
        cache_dir: folder of the thumbnails.
    Returns:
        function of an object's files: the Mesh, with its own colors, of the training object (never the object itself)
        with the highest mean intersection over union of the six silhouettes.
    """
    known, by_id = thumbnails(objects, cache_dir), {files.id: files for files in objects}
    ids = sorted(known)
    packed = np.stack([_silhouette_bits(known[name]) for name in ids])

    def retrieve(files):
        overlaps = _mean_overlaps(_silhouette_bits(thumbnail(files, cache_dir)), packed)
        overlaps[[name == files.id for name in ids]] = -1
        if overlaps.max() < 0:
            raise UserError(f"{files.id}: there is no other training object to retrieve")
        return true_mesh(by_id[ids[int(overlaps.argmax())]])
    return retrieve


def _silhouette_bits(small):
    """(6, E * E / 8) uint8, the six silhouettes as bits."""
    return np.packbits(small.masks.reshape(6, -1) >= 128, axis=1)


def _mean_overlaps(one, many):
    """Mean intersection over union of six bit images (6, K) with each of (T, 6, K): (T,) float64."""
    both = np.bitwise_count(one & many).sum(-1, dtype=np.int64)
    either = np.bitwise_count(one | many).sum(-1, dtype=np.int64)
    return (both / np.maximum(either, 1)).mean(-1)


def mean_object(objects: list[ObjectFiles], cache_dir: str | Path) -> Mesh:
    """The baseline that does not look at the images: the training set's mean shape in its mean color.

    The fraction of training objects whose visual hull holds a cell is averaged over all of them; the mean shape is
    where that share passes a level, and the level is the one with the best F-score on training objects.

    Args:
        objects: training objects' files, at least one.
        cache_dir: folder of the thumbnails.
    Returns:
        Mesh, closed.
    """
    known, by_id = thumbnails(objects, cache_dir), {files.id: files for files in objects}
    axes = [(np.arange(MEAN_GRID) + 0.5) * 2 / MEAN_GRID - 1] * 3
    share = sum((hull_on_grid(silhouette_sdf(small.masks / 255), axes) > 0).astype(np.float32)
                for small in known.values()) / len(known)
    color = np.mean([small.mean_color() for small in known.values()], axis=0)
    judges = [visible_samples(true_mesh(by_id[name]), NUM_JUDGE_SAMPLES, [0, number])
              for number, name in enumerate(sorted(known)[::-(-len(known) // MEAN_JUDGES)])]

    def fitness(mesh):
        mine = visible_samples(mesh, NUM_JUDGE_SAMPLES, 0)
        return np.mean([surface_scores(mine, truth)[LEVEL_THRESHOLD] for truth in judges])

    candidates = [level_mesh(share, level, color) for level in MEAN_LEVELS if (share > level).any()]
    return max(candidates or [level_mesh(share, share.max() / 2, color)], key=fitness)


def level_mesh(field: np.ndarray, level: float, color: np.ndarray) -> Mesh:
    """The closed surface at which a field passes a level.

    Args:
        field: (G, G, G) float, cells that fill [-1, 1] along x, y and z.
        level: float below the field's largest value.
        color: sRGB in [0, 1].
    Returns:
        Mesh.
    """
    # A margin of empty cells closes what reaches the grid's edge.
    axes = [(np.arange(-1, len(field) + 1) + 0.5) * 2 / len(field) - 1] * 3
    return plain_mesh(*mesh_from_grid(np.pad(field, 1) - level, axes), color)
