"""What the field model learns from: the maps of six images, and points of space with their distance to the surface.

A handful of objects is not many silhouettes, but any mesh can be drawn again: turned, tilted or standing among others
it has other outlines and other cavities, all with known truth.
"""
import numpy as np

from config import VIEW_NAMES
from utils.mesh.mesh import Mesh, normalize
from utils.multiview.view_maps import CHANNELS, MAP_SIZE, view_maps
from utils.multiview.visual_hull import silhouette_sdf
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT
from utils.rendering.rasterizer import over_white, render_views
from utils.training_data.occupancy import outer_surface, signed_distances

FIELD_VERSION = 4  # raise when what `field_arrays` returns changes meaning
SURFACE_SAMPLES = 100_000  # stand for the surface when distances are measured: about 0.01 apart
NEAR_POINTS, FREE_POINTS = 48_000, 24_000  # points drawn about the surface, and evenly in the hull
DRAWN = 4  # times as many are drawn, and those outside the hull, which are free beyond doubt, left out
NEAR_SPREADS = (0.012, 0.05)  # lengths; standard deviations about the surface, of three and two fifths of the points
DEGRADED_FRACTION = 0.3  # of the objects drawn anew whose masks are cut as badly as real ones


def field_arrays(mesh, images, masks, rng):
    """One object as the field model reads it.

    Args:
        mesh: utils.mesh.mesh.Mesh in the normalized frame.
        images, masks: six images as utils.multiview.view_maps.view_maps takes them.
        rng: np.random.Generator.
    Returns:
        dict: maps (6, 7, H, H) float16 and box (2, 3) float32 (see utils.multiview.view_maps); points (K, 3) float32;
        distances (K,) float16, positive in solid matter.
    """
    maps, box = view_maps(images, masks)
    surface = outer_surface(mesh, SURFACE_SAMPLES, rng)
    about = surface.points[rng.integers(0, len(surface.points), DRAWN * NEAR_POINTS)]
    spread = np.where(rng.random(len(about)) < 0.6, *NEAR_SPREADS)[:, None]
    near = about + spread * rng.normal(size=about.shape)
    free = box[0] + rng.random((DRAWN * FREE_POINTS, 3)) * (box[1] - box[0])
    points = np.concatenate([_prefer_inside_hull(near, maps, NEAR_POINTS), _prefer_inside_hull(free, maps, FREE_POINTS)])
    return {"maps": maps.astype(np.float16), "box": box, "points": points.astype(np.float32),
            "distances": signed_distances(points, surface).astype(np.float16)}


def _prefer_inside_hull(points, maps, count):
    """`count` of the points (K, 3), those in the visual hull first."""
    from scipy.ndimage import map_coordinates

    hull, scale = np.full(len(points), np.inf), MAP_SIZE / (2 * VIEW_EXTENT)
    for name, edge in zip(VIEW_NAMES, maps[:, CHANNELS.index("edge")]):
        right, up, _ = VIEW_BASES[name] @ points.T * scale
        middle = MAP_SIZE / 2 - 0.5
        hull = np.minimum(hull, map_coordinates(edge, [middle - up, middle + right], order=1, mode="nearest"))
    return points[np.argsort(hull <= 0, kind="stable")[:count]]


def render_field_arrays(mesh, rng):
    """`field_arrays` of a mesh in the normalized frame, from images that the project's own renderer draws."""
    pictures = np.stack(list(render_views(mesh, 2 * MAP_SIZE).values()))
    masks = pictures[..., 3].astype(np.float32) / 255
    if rng.random() < DEGRADED_FRACTION:
        masks = degrade_masks(masks, rng)
    return field_arrays(mesh, over_white(pictures).astype(np.float32) / 255, masks, rng)


def degrade_masks(masks, rng):
    """Masks as people and networks cut them: outlines rounded off, all a little too wide or narrow, each in its own way.

    Args:
        masks: (S, H, H) float32 coverage in [0, 1].
        rng: np.random.Generator.
    Returns:
        (S, H, H) float32 in [0, 1]; a mask that nothing would be left of stays as it was.
    """
    from scipy.ndimage import gaussian_filter

    pixels = silhouette_sdf(masks) * masks.shape[-1] / (2 * VIEW_EXTENT)  # from the outline, positive inside
    common = rng.uniform(-1, 1)
    worn = []
    for mask, inside in zip(masks, pixels):
        moved = gaussian_filter(inside, rng.uniform(0.3, 2)) + common + rng.uniform(-0.5, 0.5)
        cut = np.clip(0.5 + moved, 0, 1)
        worn.append(cut if (cut >= 0.5).any() else mask)
    return np.stack(worn).astype(np.float32)


def random_rotation(mesh, rng):
    """The mesh turned about +y, now and then tilted, laid on its side, or turned any way; normalized.

    Args:
        mesh: utils.mesh.mesh.Mesh; it is left as it was.
        rng: np.random.Generator.
    Returns:
        Mesh.
    """
    turn, kind = _rotation(1, rng.uniform(0, 360)), rng.random()
    if kind < 0.3:
        turn = _rotation(0, 10 * rng.normal()) @ _rotation(2, 10 * rng.normal()) @ turn
    elif kind < 0.45:
        turn = _rotation(0, rng.choice([90, 180, 270])) @ turn
    elif kind < 0.6:
        turn = _rotation(0, rng.uniform(0, 360)) @ _rotation(1, rng.uniform(0, 360)) @ turn
    return _with_vertices(mesh, mesh.vertices @ turn.T)


def composite(meshes, rng):
    """Several meshes as one object: each turned, scaled and set somewhere, so that they touch, overlap or stand apart.

    Args:
        meshes: list of utils.mesh.mesh.Mesh in the normalized frame.
        rng: np.random.Generator.
    Returns:
        Mesh, normalized.
    """
    placed = []
    for mesh in meshes:
        vertices = mesh.vertices @ _rotation(1, 90 * rng.integers(4)).T
        vertices = vertices * np.exp(0.2 * rng.normal(size=3)) * rng.uniform(0.4, 1.0)
        vertices = vertices + rng.uniform(-0.7, 0.7, 3) * [1.0, 0.6, 1.0]
        if rng.random() < 0.5:  # side by side on the ground
            vertices[:, 1] -= vertices[:, 1].min()
        placed.append(vertices)
    counts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    pictures = np.cumsum([0] + [len(mesh.textures) for mesh in meshes])
    together = {name: np.concatenate([getattr(mesh, name) for mesh in meshes])
                for name in ("corner_colors", "corner_uvs")}
    faces = np.concatenate([mesh.faces + count for mesh, count in zip(meshes, counts)])
    texture = np.concatenate([np.where(mesh.face_texture < 0, -1, mesh.face_texture + first)
                              for mesh, first in zip(meshes, pictures)]).astype(np.int32)
    vertices = normalize(np.concatenate(placed), faces)
    return Mesh(vertices, faces, face_texture=texture, textures=sum((mesh.textures for mesh in meshes), []), **together)


def _with_vertices(mesh, vertices):
    return Mesh(normalize(vertices, mesh.faces), mesh.faces, mesh.corner_colors, mesh.corner_uvs, mesh.face_texture,
                mesh.textures)


def _rotation(axis, angle_deg):
    """(3, 3) rotation about x, y or z (axis 0, 1, 2)."""
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    matrix, (first, second) = np.eye(3), [other for other in range(3) if other != axis]
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix
