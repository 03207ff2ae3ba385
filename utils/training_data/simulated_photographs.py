"""Six images of an object as a person with a phone takes them, from its mesh: for judging, and for training.

Exact orthographic renders flatter whatever was trained on them. Photographs are taken from a few object lengths away, by
hand, under a lamp, on a table; here each of these is drawn with its true camera and mask beside it. Everything comes
from a random generator: tables, floors and walls are generated textures, so nothing has to be shipped or fetched.
"""
from dataclasses import dataclass, replace

import numpy as np

from config import VIEW_NAMES
from utils.mesh.mesh import Mesh, sample_surface
from utils.rendering.cameras import VIEW_BASES, Camera, pixel_rays, project, rotation_matrix
from utils.rendering.rasterizer import render_views

OBJECT_LENGTH = 2.0  # normalized units; the longest box edge
LARGEST_IN_FRAME = 0.99  # image coordinates; a person does not cut the object off at the border
JPEG_QUALITY = 88  # what phones and messengers leave, roughly
DISPLAY_GAMMA = 2.2  # light falls on a surface in linear units; colors are sRGB

TILE_PIXELS = 512  # edge of a generated texture, which repeats
TILE_UNITS = 3.0  # normalized units that it covers
SHADOW_CELLS, SHADOW_REACH = 256, 4.0  # cells of the shadow's map and the normalized units from its center to its edge
SHADOW_POINTS = 20000  # surface points whose shadows are added up
# Normalized units: what stands this high above the table throws a shadow blurred by the second number.
SHADOW_BANDS = ((0.0, 0.15, 0.03), (0.15, 0.5, 0.09), (0.5, np.inf, 0.2))


@dataclass(frozen=True)
class Level:
    """How far from an exact orthographic render the images of a level are.

    lengths: distance of the camera in object lengths; spread: relative, both ways.
    tilt_deg: largest rotation about each axis of the camera; shift: largest, in image coordinates.
    zoom: range of how far beyond the object's largest half-extent the image reaches.
    gain, balance: largest relative change of exposure, and of each color channel beside it.
    scene: whether there is a lamp, a table with a shadow, noise, and no alpha.
    """

    lengths: float
    spread: float = 0.0
    tilt_deg: float = 0.0
    shift: float = 0.0
    zoom: tuple = (1.1, 1.1)
    gain: float = 0.0
    balance: float = 0.0
    scene: bool = False


@dataclass(frozen=True)
class Scene:
    """Where an object is photographed: one place for all six images.

    lamp: (3,) float64, unit direction toward it, above the table; ambient: fraction of light that comes from everywhere.
    table: (TILE_PIXELS, TILE_PIXELS, 3) float32 sRGB, a repeating texture; reach: normalized units to the table's end.
    wall: (3,) float32 sRGB.
    """

    lamp: np.ndarray
    ambient: float
    table: np.ndarray
    reach: float
    wall: np.ndarray

    def of_view(self, view: str) -> "Scene":
        """The scene as the object sees it: for its bottom it is laid upside down, and the lamp is below it then."""
        return replace(self, lamp=self.lamp * [1, -1, 1]) if view == "bottom" else self


HAND = Level(lengths=2.5, spread=0.1, tilt_deg=3.0, shift=0.06, zoom=(1.05, 1.25), gain=0.12, balance=0.03)
LEVELS = {"perspective": Level(lengths=3.0), "hand": HAND, "photo": replace(HAND, scene=True)}


def photograph(mesh: Mesh, level: str | Level, rng: np.random.Generator, size: int = 640,
               supersample: int = 2) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Camera]]:
    """Take the six images of an object.

    Args:
        mesh: utils.mesh.mesh.Mesh in the normalized frame.
        level: name in LEVELS, or a Level.
        rng: numpy Generator.
        size: image edge in pixels.
        supersample: samples per pixel edge.
    Returns:
        images: {view name: (size, size, 4) uint8 RGBA, or (size, size, 3) RGB where the level has a scene (before
            JPEG)}.
        masks: {view name: (size, size) float32 in [0, 1], coverage}.
        cameras: {view name: Camera}, the true ones.
    """
    level = LEVELS[level] if isinstance(level, str) else level
    cameras = random_cameras(mesh, level, rng)
    scene = random_scene(rng) if level.scene else None
    images, masks = {}, {}
    for view, camera in cameras.items():
        shown = lit(mesh, camera, scene.of_view(view)) if level.scene else mesh
        rgba = render_views(shown, size, supersample, {view: camera})[view]
        masks[view] = rgba[..., 3].astype(np.float32) / 255
        color = rgba[..., :3].astype(np.float32) / 255
        if level.scene:
            behind = background(mesh, view, camera, scene.of_view(view), rng, size)
            color = behind + (color - behind) * masks[view][..., None]
        gains = (1 + rng.uniform(-level.gain, level.gain)) * (1 + rng.uniform(-level.balance, level.balance, 3))
        color = color * gains.astype(np.float32)
        if level.scene:
            color += rng.uniform(0.004, 0.012) * rng.standard_normal(color.shape, np.float32)
        color = np.round(color.clip(0, 1) * 255).astype(np.uint8)
        images[view] = color if level.scene else np.where(rgba[..., 3:] > 0, np.dstack([color, rgba[..., 3]]), rgba)
    return images, masks, cameras


# ---- Cameras ---------------------------------------------------------------------------------------------------------


def random_cameras(mesh: Mesh, level: Level, rng: np.random.Generator) -> dict[str, Camera]:
    """{view name: Camera} of a Level; the six share a phone, so the same extent fills the image, up to the zoom."""
    used = mesh.vertices[np.unique(mesh.faces)]
    cameras = {}
    for view in VIEW_NAMES:
        tilt = np.radians(rng.uniform(-level.tilt_deg, level.tilt_deg, 3))
        distance = level.lengths * OBJECT_LENGTH * (1 + rng.uniform(-level.spread, level.spread))
        cameras[view] = Camera(rotation_matrix(tilt) @ VIEW_BASES[view], 1 / distance, 1.0)
    extents = {view: project(used, camera)[:, :2] for view, camera in cameras.items()}
    largest = max(np.abs(places).max() for places in extents.values())
    for view, camera in cameras.items():
        scale = 1 / (largest * rng.uniform(*level.zoom))
        low, high = (extents[view] * scale).min(axis=0), (extents[view] * scale).max(axis=0)
        shift = rng.uniform(-level.shift, level.shift, 2).clip(-LARGEST_IN_FRAME - low, LARGEST_IN_FRAME - high)
        cameras[view] = replace(camera, scale=scale, shift=shift)
    return cameras


# ---- Light -----------------------------------------------------------------------------------------------------------


def random_scene(rng: np.random.Generator) -> Scene:
    """A lamp above, a table or floor, a pale wall: Scene."""
    elevation, azimuth = np.radians(rng.uniform(35, 75)), rng.uniform(0, 2 * np.pi)
    lamp = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    wall = rng.uniform(0.72, 0.95) * (1 + rng.uniform(-0.04, 0.04, 3))
    return Scene(lamp, rng.uniform(0.4, 0.65), random_surface(rng), rng.uniform(4, 8), wall.astype(np.float32))


def lit(mesh: Mesh, camera: Camera, scene: Scene) -> Mesh:
    """The mesh with its colors darkened as a matte surface under a lamp (Lambert), the side that the camera sees.

    Args:
        mesh: utils.mesh.mesh.Mesh; camera: Camera; scene: Scene of the view.
    Returns:
        Mesh that shares all but its corner colors with `mesh`.
    """
    normals = corner_normals(mesh)
    # Both sides of a face are drawn, so the normal that counts is the one on the camera's side.
    centers = mesh.vertices[mesh.faces].mean(axis=1)
    sight = camera.basis[2] - camera.inverse_distance * centers  # to the camera, times its inverse distance
    away = np.einsum("kj,kj->k", mesh.normals(), sight) < 0
    lambert = np.maximum(np.einsum("kcj,j->kc", np.where(away[:, None, None], -normals, normals), scene.lamp), 0)
    light = (scene.ambient + (1 - scene.ambient) * lambert) ** (1 / DISPLAY_GAMMA)
    return replace(mesh, corner_colors=mesh.corner_colors * light[..., None].astype(np.float32))


def corner_normals(mesh: Mesh) -> np.ndarray:
    """(F, 3, 3) unit normals at faces' corners: smooth where the surface bends gently, each face's own at edges.

    Gently: all faces around a corner lie within 40 degrees of their mean normal.
    """
    face_normals = mesh.normals()
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    weighted = np.cross(b - a, c - a)  # length twice the area
    _, place = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)  # seams of textures double vertices
    corners = place.reshape(-1)[mesh.faces]
    total = np.stack([np.bincount(corners.ravel(), np.repeat(weighted[:, i], 3), place.max(initial=0) + 1)
                      for i in range(3)], axis=1)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    smooth = total[corners]
    bend = np.ones(len(total))
    np.minimum.at(bend, corners.ravel(), np.einsum("kcj,kj->kc", smooth, face_normals).ravel())
    gentle = bend > np.cos(np.radians(40))
    return np.where(gentle[corners][..., None], smooth, face_normals[:, None])


# ---- Table, wall and shadow ------------------------------------------------------------------------------------------


def background(mesh: Mesh, view: str, camera: Camera, scene: Scene, rng: np.random.Generator, size: int) -> np.ndarray:
    """What is behind the object: the table that it stands on with its shadow, and a wall beyond.

    Args:
        mesh: utils.mesh.mesh.Mesh in the normalized frame.
        view: view name; for the bottom the object lies upside down, so the table is at its top.
        camera: Camera; scene: Scene of the view.
        rng: numpy Generator; size: image edge in pixels.
    Returns:
        (size, size, 3) float32 sRGB, about [0, 1].
    """
    used = mesh.vertices[np.unique(mesh.faces), 1]
    height = used.max() if view == "bottom" else used.min()
    side = -1 if view == "bottom" else 1  # of the table on which the object is
    center = (np.arange(size) + 0.5) * (2 / size) - 1
    origins, directions = pixel_rays(camera, np.stack(np.meshgrid(center, center), axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = (height - origins[..., 1]) / directions[..., 1]
        # In front of the camera, and not seen from below
        hit = (camera.inverse_distance * depth < 1) & (directions[..., 1] * side > 0)
    points = origins + np.where(hit, depth, 0)[..., None] * directions
    x, z = points[..., 0], points[..., 2]
    hit &= np.hypot(x, z) < scene.reach

    wall = scene.wall * (1 + 0.03 * _resized(_noise(64, 2.2, rng), size)[..., None])
    ground = _read_tile(scene.table, x, z)
    ground *= (1 - _shadow(mesh, height, side, scene, rng)(x, z))[..., None]
    edge = _blurred(hit.astype(np.float32), size / 640)[..., None]  # antialiased
    # Light that falls off to one side, over table and wall alike
    slope = rng.uniform(-0.1, 0.1, 2).astype(np.float32)
    falloff = 1 + slope[0] * center[None, :, None] + slope[1] * center[:, None, None]
    return ((wall + (ground - wall) * edge) * falloff).astype(np.float32)


def _shadow(mesh, height, side, scene, rng):
    """Function of places (x, z) on the table: fraction of light that the object keeps away, in [0, 1]."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    points, _, _ = sample_surface(mesh, SHADOW_POINTS, rng)
    above = (points[:, 1] - height) * side
    cell = 2 * SHADOW_REACH / SHADOW_CELLS

    def density(places, blur, full):
        """Blurred count of shadows per cell, 1 where it is at least `full`."""
        index = np.floor(places / cell + SHADOW_CELLS / 2).astype(int).clip(0, SHADOW_CELLS - 1)
        counts = np.bincount(index[:, 0] * SHADOW_CELLS + index[:, 1], minlength=SHADOW_CELLS**2)
        counts = gaussian_filter(counts.reshape(SHADOW_CELLS, SHADOW_CELLS).astype(np.float32), blur / cell)
        return np.minimum(counts / full, 1)

    # A face seen by the lamp at its mean slant puts about this many points into a cell of its shadow.
    area = np.linalg.norm(np.cross(*np.diff(mesh.vertices[mesh.faces], axis=1).swapaxes(0, 1)), axis=1).sum() / 2
    full = max(SHADOW_POINTS * cell**2 / max(area, 1e-9), 1e-3)
    thrown = points[:, [0, 2]] - scene.lamp[[0, 2]] / abs(scene.lamp[1]) * above[:, None]
    lamp_share = np.zeros((SHADOW_CELLS, SHADOW_CELLS), np.float32)
    for low, high, blur in SHADOW_BANDS:
        band = (above >= low) & (above < high)
        lamp_share = np.maximum(lamp_share, density(thrown[band], blur, full))
    low = np.clip(1 - above / 0.3, 0, 1) > rng.random(len(above))  # the nearer to the table, the darker around
    contact = density(points[low][:, [0, 2]], 0.07, full)
    dark = 1 - (1 - (1 - scene.ambient) * 0.75 * lamp_share) * (1 - 0.45 * contact)
    dark = 1 - (1 - dark) ** (1 / DISPLAY_GAMMA)

    def read(x, z):
        places = np.stack([x, z]) / cell + SHADOW_CELLS / 2 - 0.5
        return map_coordinates(dark, places, np.float32, order=1, mode="constant")
    return read


# ---- Generated textures ----------------------------------------------------------------------------------------------


def random_surface(rng: np.random.Generator) -> np.ndarray:
    """A pale table top, cloth or floor: (TILE_PIXELS, TILE_PIXELS, 3) float32 sRGB that repeats without a seam."""
    kind = rng.choice(["paper", "cloth", "wood", "stone", "tiles", "carpet"], p=[0.3, 0.15, 0.2, 0.15, 0.1, 0.1])
    size = TILE_PIXELS
    base = rng.uniform(0.68, 0.93) * (1 + rng.uniform(-0.05, 0.05, 3))
    if kind == "wood":
        base = rng.uniform(0.55, 0.85) * np.array([1.0, 0.9, 0.76]) * (1 + rng.uniform(-0.03, 0.03, 3))
    across = (np.arange(size) + 0.5) / size
    clouds = _noise(size, 2.5, rng)  # uneven on the scale of the object
    value = 0.02 * clouds
    if kind == "cloth":
        threads = rng.integers(90, 160)
        weave = np.sin(2 * np.pi * threads * across)
        value += 0.02 * weave[:, None] + 0.02 * weave[None] + 0.015 * _noise(size, 0.5, rng)
    elif kind == "wood":
        planks = rng.integers(3, 8)
        grain = _noise(size, 1.4, rng, stretch=rng.uniform(8, 20))
        plank = np.floor(across * planks).astype(int)
        gap = np.abs((across * planks + 0.5) % 1 - 0.5) * size / planks < 1.5  # pixels from the joint
        value += 0.05 * grain + 0.05 * rng.standard_normal(planks)[plank][None] - 0.25 * gap[None]
    elif kind == "stone":
        value += 0.06 * _noise(size, 1.6, rng) + 0.08 * (_noise(size, 1.0, rng) > 1.6) - 0.12 * (
            _noise(size, 1.0, rng) > 1.7)
    elif kind == "tiles":
        count = rng.integers(3, 7)
        joint = np.abs((across * count) % 1 - 0.5) > 0.5 - 2.5 * count / size
        shade = rng.standard_normal((count, count))[np.ix_((across * count).astype(int), (across * count).astype(int))]
        value += 0.02 * shade - 0.16 * (joint[:, None] | joint[None])
    elif kind == "carpet":
        value += 0.09 * _noise(size, 0.6, rng) + 0.05 * _noise(size, 1.6, rng)
    else:
        value += 0.006 * _noise(size, 0.3, rng)
    return (base * (1 + value[..., None])).clip(0.05, 1).astype(np.float32)


def _noise(size, slope, rng, stretch=1.0):
    """(size, size) float32 noise that repeats, of mean 0 and deviation 1, its amplitudes falling as frequency^-slope.

    stretch: how many times longer its forms are along rows of the first axis than across.
    """
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None] * stretch, np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(spectrum * frequency**-slope, s=(size, size))
    return (field / max(field.std(), 1e-12)).astype(np.float32)


def _read_tile(tile, x, z):
    """Colors of the repeating texture at places (H, W) of the plane, read at the sharpness a pixel can hold."""
    from scipy.ndimage import map_coordinates

    texel = TILE_UNITS / TILE_PIXELS
    footprint = np.maximum(np.hypot(*np.gradient(x)), np.hypot(*np.gradient(z))) / texel
    # One level of the pyramid for each pixel; its jumps are too small to see on tables.
    level = np.round(np.log2(np.maximum(footprint, 1))).astype(int).clip(0, 6)
    color = np.empty((*x.shape, 3), np.float32)
    for number in np.unique(level):
        here = level == number
        small = tile.reshape(TILE_PIXELS >> number, 1 << number, TILE_PIXELS >> number, 1 << number, 3).mean(axis=(1, 3))
        places = np.stack([z[here], x[here]]) / (texel * (1 << number)) - 0.5
        for channel in range(3):
            color[here, channel] = map_coordinates(small[..., channel], places, np.float32, order=1, mode="grid-wrap")
    return color


def _resized(values, size):
    """A small (N, N) array drawn large, smoothly."""
    from PIL import Image

    return np.asarray(Image.fromarray(values).resize((size, size), Image.Resampling.BICUBIC))


def _blurred(values, sigma):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(values, sigma)
