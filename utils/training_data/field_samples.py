"""What the field model learns from: the maps of six images, and points of space with their distance to the surface.

A handful of objects is not many silhouettes, but any mesh can be drawn again: turned, tilted or standing among others
it has other silhouettes and other cavities, all with known truth. Half of what is drawn looks like what people photograph:
seen in perspective by cameras that are known but nearly, under a lamp, roughly masked, now and then without a view.
"""
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from config import VIEW_NAMES
from utils.mesh.mesh import Mesh, normalize
from utils.multiview.view_maps import CHANNELS, MAP_SIZE, mirrored_view, view_maps
from utils.multiview.visual_hull import silhouette_sdf
from utils.rendering.cameras import ORTHOGRAPHIC, VIEW_CAMERAS, VIEW_EXTENT, Camera, rotation_matrix
from utils.rendering.image_sampling import sample_images
from utils.rendering.rasterizer import over_white, render_views
from utils.training_data.occupancy import distances_and_walls, outer_surface
from utils.training_data.simulated_photographs import DISPLAY_GAMMA, Level, corner_normals, random_cameras

FIELD_VERSION = 6  # raise when what `field_arrays` returns changes meaning
SURFACE_SAMPLES = 100_000  # stand for the surface when distances are measured: about 0.01 apart
NEAR_POINTS, FREE_POINTS = 16_000, 8_000  # points drawn around the surface, and evenly in the hull
DRAWN = 4  # times as many are drawn, and those outside the hull, which are free beyond doubt, left out
NEAR_SPREADS = (0.012, 0.05)  # normalized units; standard deviations around the surface, of three and two fifths of the points
THIN_SHARE = 0.3  # of the points around the surface, drawn around thin walls where there are any
# Normalized units from the surface within which a label is less sure: usually, and in the thinnest walls
AMBIGUITY, THINNEST_BAND = 0.02, 0.004
OPPOSITE = {"front": "back", "back": "front", "left": "right", "right": "left", "top": "bottom", "bottom": "top"}

# How objects drawn anew are seen: fractions of them
PERSPECTIVE_SHARE = 0.5  # by cameras in perspective, the others exactly orthographic
LIT_SHARES = (0.15, 0.6)  # under a lamp: of the orthographic ones, of those in perspective
DEGRADED_SHARES = (0.3, 0.6)  # with masks cut as badly as real ones, likewise
MISSING_SHARE = 0.15  # without one to three views
BITE_SHARE = 0.15  # of the objects with degraded masks: one mask has a piece too little or too much
# How cameras are drawn, and how far the ones that the field is told are from them, as calibration leaves them
LARGEST_INVERSE_DISTANCE, TILT_DEG, SHIFT, ZOOM = 0.3, 5.0, 0.06, (1.05, 1.3)
ROTATION_ERROR_DEG, ROLL_ERROR_DEG = 0.5, 0.2  # standard deviations: about the image's two axes, about the line of sight
DISTANCE_ERROR, SCALE_ERROR, SHIFT_ERROR = 0.05, 0.003, 0.003  # relative, relative, image coordinates
GAIN, WHITE_BALANCE = 0.12, 0.03  # largest relative changes of a view's exposure, and of each channel beside it


def field_arrays(mesh: Mesh, images: np.ndarray, masks: np.ndarray, rng: np.random.Generator,
                 cameras: Sequence[Camera] = ORTHOGRAPHIC, missing: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """One object as the field model reads it.

    Args:
        mesh: utils.mesh.mesh.Mesh in the normalized frame.
        images, masks: six images as utils.multiview.view_maps.view_maps takes them.
        rng: np.random.Generator.
        cameras: six Camera.
        missing: names of views that count as not taken: their opposites stand in for them, if they were.
    Returns:
        dict: maps (6, 7, H, H) float16 and box (2, 3) float32 (see utils.multiview.view_maps); points (K, 3) float32;
        distances (K,) float16, positive inside; bands (K,) float16, normalized units from the surface within which the
        label is less sure; bases (6, 3, 3), inverse_distances (6,), scales (6,) and shifts (6, 2) float32 of the cameras;
        measured and present (6,) bool as in models.view_cameras.Cameras.
    """
    cameras = list(cameras)
    measured = np.array([view not in missing for view in VIEW_NAMES])
    present = np.array([view not in missing or OPPOSITE[view] not in missing for view in VIEW_NAMES])
    if missing:
        images, masks = images.copy(), masks.copy()
        for number in np.flatnonzero(present & ~measured):
            other = OPPOSITE[VIEW_NAMES[number]]
            source = VIEW_NAMES.index(other)
            cameras[number], masks[number] = mirrored_view(cameras[source], other, masks[source])
            images[number] = 1
    seen_by = [camera for camera, there in zip(cameras, present) if there]
    maps = np.zeros((len(VIEW_NAMES), len(CHANNELS), MAP_SIZE, MAP_SIZE), np.float32)
    maps[present], box = view_maps(images[present], masks[present], cameras=seen_by)
    surface = outer_surface(mesh, SURFACE_SAMPLES, rng)
    near, free = _points_about(surface, rng), box[0] + rng.random((DRAWN * FREE_POINTS, 3)) * (box[1] - box[0])
    edges = maps[measured, CHANNELS.index("edge")]
    taken = [camera for camera, there in zip(cameras, measured) if there]
    points = np.concatenate([_prefer_inside_hull(some, edges, taken, count)
                             for some, count in ((near, NEAR_POINTS), (free, FREE_POINTS))])
    distances, thickness = distances_and_walls(points, surface)
    # Outside a wall its thickness makes no label surer
    bands = np.where(distances > 0, np.clip(thickness / 2, THINNEST_BAND, AMBIGUITY), AMBIGUITY)
    return {"maps": maps.astype(np.float16), "box": box, "points": points.astype(np.float32),
            "distances": distances.astype(np.float16), "bands": bands.astype(np.float16),
            "bases": np.stack([camera.basis for camera in cameras]).astype(np.float32),
            "inverse_distances": np.array([camera.inverse_distance for camera in cameras], np.float32),
            "scales": np.array([camera.scale for camera in cameras], np.float32),
            "shifts": np.stack([camera.shift for camera in cameras]).astype(np.float32),
            "measured": measured, "present": present}


def _points_about(surface, rng):
    """(DRAWN * NEAR_POINTS, 3) points around a surface, some of them around its thin walls."""
    total, walls = DRAWN * NEAR_POINTS, np.flatnonzero(np.isfinite(surface.thickness))
    chosen = rng.integers(0, len(surface.points), total)
    if len(walls):
        count = int(THIN_SHARE * total)
        chosen[:count] = walls[rng.integers(0, len(walls), count)]
    spread = np.where(rng.random(total) < 0.6, *NEAR_SPREADS)[:, None]
    return (surface.points[chosen] + spread * rng.normal(size=(total, 3)))[rng.permutation(total)]


def _prefer_inside_hull(points, edges, cameras, count):
    """`count` of the points (K, 3), those in the visual hull first; edges (S, H, H), maps' distances to silhouettes."""
    outside = (sample_images(edges[..., None], points, cameras) <= 0).any(axis=(0, 2))
    return points[np.argsort(outside, kind="stable")[:count]]


def render_field_arrays(mesh: Mesh, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """`field_arrays` of a mesh in the normalized frame, from images that the project's own renderer draws.

    Half of them as six exact orthographic renders, half as photographs: see the shares at the top.
    """
    kind = int(rng.random() < PERSPECTIVE_SHARE)
    cameras = _photographic_cameras(mesh, rng) if kind else VIEW_CAMERAS
    shown = _under_lamp(mesh, cameras, rng) if rng.random() < LIT_SHARES[kind] else dict.fromkeys(cameras, mesh)
    if kind or shown["front"] is not mesh:
        drawn = [render_views(shown[view], 2 * MAP_SIZE, cameras={view: camera})[view] for view, camera in cameras.items()]
    else:
        drawn = render_views(mesh, 2 * MAP_SIZE).values()
    drawn = np.stack(list(drawn))
    masks, images = drawn[..., 3].astype(np.float32) / 255, over_white(drawn).astype(np.float32) / 255
    if kind:
        gains = (1 + rng.uniform(-GAIN, GAIN, (6, 1))) * (1 + rng.uniform(-WHITE_BALANCE, WHITE_BALANCE, (6, 3)))
        over = 1 - masks[..., None]
        images = (over + (images - over) * gains[:, None, None].astype(np.float32)).clip(0, 1)
    if rng.random() < DEGRADED_SHARES[kind]:
        masks = degrade_masks(masks, rng)
    told = [_as_calibrated(camera, rng) for camera in cameras.values()] if kind else ORTHOGRAPHIC
    missing = _missing_views(rng) if rng.random() < MISSING_SHARE else ()
    return field_arrays(mesh, images, masks, rng, told, missing)


def _photographic_cameras(mesh, rng):
    """{view name: Camera} in perspective from one common distance, each aimed a little amiss."""
    inverse = max(rng.uniform(0, LARGEST_INVERSE_DISTANCE), 1e-3)
    return random_cameras(mesh, Level(lengths=0.5 / inverse, spread=0.1, tilt_deg=TILT_DEG, shift=SHIFT, zoom=ZOOM), rng)


def _as_calibrated(camera, rng):
    """The camera as it is found from silhouettes: nearly right, least so where they hardly tell."""
    turn = np.radians([ROTATION_ERROR_DEG, ROTATION_ERROR_DEG, ROLL_ERROR_DEG]) * rng.normal(size=3)
    return Camera(rotation_matrix(turn) @ camera.basis, camera.inverse_distance * np.exp(DISTANCE_ERROR * rng.normal()),
                  camera.scale * np.exp(SCALE_ERROR * rng.normal()), camera.shift + SHIFT_ERROR * rng.normal(size=2))


def _missing_views(rng):
    """Names of views that were not taken: the bottom most often, or top and bottom, or any one to three."""
    kind = rng.random()
    if kind < 0.4:
        return ("bottom",)
    if kind < 0.6:
        return ("top", "bottom")
    return tuple(rng.choice(VIEW_NAMES, rng.integers(1, 4), replace=False))


def _under_lamp(mesh, cameras, rng):
    """{view name: Mesh} darkened as a matte surface under one lamp (Lambert), each for the side that its camera sees."""
    elevation, azimuth, ambient = np.radians(rng.uniform(20, 85)), rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.75)
    lamp = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    normals, facing, centers = corner_normals(mesh), mesh.normals(), mesh.vertices[mesh.faces].mean(axis=1)
    shown = {}
    for view, camera in cameras.items():
        away = np.einsum("kj,kj->k", facing, camera.basis[2] - camera.inverse_distance * centers) < 0
        # For the bottom an object is laid upside down, so the lamp is below it
        toward_lamp = normals @ (lamp * [1, -1, 1] if view == "bottom" else lamp)
        lambert = np.where(away[:, None], -toward_lamp, toward_lamp).clip(0)
        light = (ambient + (1 - ambient) * lambert) ** (1 / DISPLAY_GAMMA)
        shown[view] = replace(mesh, corner_colors=mesh.corner_colors * light[..., None].astype(np.float32))
    return shown


def degrade_masks(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Masks as people and networks cut them: boundaries rounded off, all a little too wide or narrow, each differently.

    Now and then one of them lacks a piece at its boundary, or has one too many.

    Args:
        masks: (S, H, H) float32 coverage in [0, 1].
        rng: np.random.Generator.
    Returns:
        (S, H, H) float32 in [0, 1]; a mask that nothing would be left of stays as it was.
    """
    from scipy.ndimage import gaussian_filter

    pixels = silhouette_sdf(masks) * masks.shape[-1] / (2 * VIEW_EXTENT)  # from the boundary, positive inside
    common = rng.uniform(-1, 1)
    bitten = rng.integers(len(masks)) if rng.random() < BITE_SHARE else -1
    worn = []
    for number, (mask, inside) in enumerate(zip(masks, pixels)):
        moved = gaussian_filter(inside, rng.uniform(0.3, 2)) + common + rng.uniform(-0.5, 0.5)
        if number == bitten:
            moved = _bitten(moved, rng)
        cut = np.clip(0.5 + moved, 0, 1)
        worn.append(cut if (cut >= 0.5).any() else mask)
    return np.stack(worn).astype(np.float32)


def _bitten(inside, rng):
    """Signed distances (H, H) in pixels to a boundary that an ellipse has been cut from, or been added to."""
    rows, columns = np.nonzero(np.abs(inside) < 1)
    if not len(rows):
        return inside
    place = rng.integers(len(rows))
    size = len(inside)
    radii = rng.uniform(0.015, 0.06, 2) * size
    row, column = np.mgrid[:size, :size]
    ellipse = (1 - np.hypot((row - rows[place]) / radii[0], (column - columns[place]) / radii[1])) * radii.min()
    return np.minimum(inside, -ellipse) if rng.random() < 0.6 else np.maximum(inside, ellipse)


def random_rotation(mesh: Mesh, rng: np.random.Generator) -> Mesh:
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


def composite(meshes: list[Mesh], rng: np.random.Generator) -> Mesh:
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
    offsets = np.cumsum([0] + [len(mesh.textures) for mesh in meshes])
    together = {name: np.concatenate([getattr(mesh, name) for mesh in meshes])
                for name in ("corner_colors", "corner_uvs")}
    faces = np.concatenate([mesh.faces + count for mesh, count in zip(meshes, counts)])
    texture = np.concatenate([np.where(mesh.face_texture < 0, -1, mesh.face_texture + first)
                              for mesh, first in zip(meshes, offsets)]).astype(np.int32)
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
