"""Paint for procedural objects: plain colors, patterns, labels and baked shade, part by part.

A third of all objects are plain, since real objects often are and texture then tells nothing of shape. The others carry
small tiling textures, laid on from the sides, around the axis or from the front. Paint never changes the shape.
"""
import colorsys

import numpy as np

from utils.mesh.mesh import Mesh, sample_surface

PLAIN_SHARE = 0.36  # of all objects: one color, or one for each part
TEXTURE_SIZE = 192  # pixels; a texture repeats, so this is more than a view of 256 pixels shows of it
SHADE_GRID = 80  # cells along an edge of the depth buffers that find cavities
SHADE_SAMPLES = 20_000  # points on the surface that block light: some three for each cell
SHADE_SLACK = 0.1  # normalized units by which a point may lie behind the nearest of its cell and still be seen
SHADED_SHARE = 0.35  # of all objects: scans carry such shade in their textures


def color(rng: np.random.Generator) -> np.ndarray:
    """One sRGB color (3,): white, black and muted ones more often than bright ones, as things are."""
    kind = rng.random()
    if kind < 0.25:
        return np.clip(rng.choice([0.08, 0.5, 0.93]) + rng.uniform(-0.1, 0.1) + 0.02 * rng.normal(size=3), 0, 1)
    saturation = rng.uniform(0.1, 0.5) if kind < 0.6 else rng.uniform(0.5, 1)
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.25, 1)))


def painted(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Mesh:
    """A painted mesh.

    Args:
        vertices: (V, 3) float64, normalized.
        faces: (F, 3) int64.
        part: (F,) int from 0, the part that each face belongs to.
        rng: np.random.Generator.
    Returns:
        utils.mesh.mesh.Mesh; a plain one has no textures.
    """
    count = int(part.max()) + 1
    palette = np.stack([color(rng) for _ in range(count)])
    if rng.random() < 0.35:
        palette[:] = palette[0]
    elif count > 3 and rng.random() < 0.5:  # few colors for many parts
        palette = palette[rng.integers(0, 3, count)]
    colors = palette[part][:, None].repeat(3, axis=1)
    uvs, texture_of, textures = np.zeros((len(faces), 3, 2)), np.full(len(faces), -1), []
    if rng.random() >= PLAIN_SHARE:
        spread = rng.random() < 0.35  # one texture over all parts
        chosen = rng.random(count) < 0.7
        chosen[rng.integers(count)] = True
        for index in range(1 if spread else count):
            mine = np.arange(len(faces)) if spread else np.flatnonzero(part == index)
            if not len(mine) or not (spread or chosen[index]):
                continue
            if rng.random() < 0.2:
                colors[mine] = gradient(vertices[faces[mine]], rng)
                continue
            texture_of[mine] = len(textures)
            textures.append(np.round(pattern(rng) * 255).astype(np.uint8))
            uvs[mine] = texture_coordinates(vertices, faces[mine], rng)
            colors[mine] = 1.0
        if not textures and rng.random() < 0.5:
            colors = colors * rng.uniform(0.9, 1, (len(faces), 1, 1))
    mesh = Mesh(vertices, faces, colors.clip(0, 1).astype(np.float32), uvs.astype(np.float32),
                texture_of.astype(np.int32), textures)
    if rng.random() < SHADED_SHARE:
        blockers = sample_surface(mesh, SHADE_SAMPLES, rng)[0]
        shade = 1 - rng.uniform(0.2, 0.7) * (1 - openness(vertices, blockers))
        mesh.corner_colors *= shade[faces][..., None].astype(np.float32)
    return mesh


def gradient(corners: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(F, 3, 3) colors that run from one to another along a line; corners (F, 3, 3)."""
    direction = rng.normal(size=3)
    along = corners @ (direction / np.linalg.norm(direction))
    share = (along - along.min()) / max(np.ptp(along), 1e-9)
    first, last = color(rng), color(rng)
    return first + (last - first) * share[..., None]


def texture_coordinates(vertices: np.ndarray, faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(F, 3, 2) coordinates: from the nearest of six sides, around the y axis, or from one direction."""
    corners, kind = vertices[faces], rng.random()
    scale = np.exp(rng.uniform(np.log(0.4), np.log(3)))
    if kind < 0.3:
        angle = np.arctan2(corners[..., 2], corners[..., 0]) / (2 * np.pi)
        # A face across the seam goes on past it.
        angle = angle[:, :1] + (angle - angle[:, :1] + 0.5) % 1 - 0.5
        uvs = np.stack([angle * max(round(2 * scale), 1), corners[..., 1] * scale], -1)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        flat = np.abs(normal[:, 1]) > 0.8 * np.linalg.norm(normal, axis=1)  # rays would meet in the middle of a top
        uvs[flat] = corners[flat][..., [0, 2]] * scale
    elif kind < 0.85:
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        axis = np.abs(normal).argmax(1)
        rows = np.arange(len(faces))[:, None], np.arange(3)[None]
        horizontal, vertical = np.array([2, 0, 0])[axis], np.array([1, 2, 1])[axis]
        uvs = scale * np.stack([corners[rows[0], rows[1], horizontal[:, None]],
                                corners[rows[0], rows[1], vertical[:, None]]], -1)
    else:
        across = rng.normal(size=(3, 2)) * [[1], [1], [0.4]]
        uvs = scale * corners @ np.linalg.qr(across)[0]
    return uvs * rng.choice([-1, 1], 2) + rng.random(2)


def openness(vertices: np.ndarray, blockers: np.ndarray) -> np.ndarray:
    """Fraction of the sky that each vertex sees, by depth buffers of points spread over the surface.

    Args:
        vertices: (V, 3), within [-1, 1].
        blockers: (K, 3), dense enough to leave few of the SHADE_GRID ** 2 cells between them empty.
    Returns:
        (V,) in [0, 1]; 1 where 9 of 26 directions are free, as on a flat face.
    """
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    seen, directions = np.zeros(len(vertices)), steps[14:]  # one of each opposite pair: a buffer holds both ends
    for step in directions:
        forward = step / np.linalg.norm(step)
        side = np.cross(forward, np.eye(3)[np.abs(forward).argmin()])
        basis = np.stack([side / np.linalg.norm(side), np.cross(forward, side) / np.linalg.norm(side), forward], 1)
        cells, depths = [], []
        for points in (vertices, blockers):
            x, y, depth = (points @ basis).T
            column, row = ((np.stack([x, y]) / 1.75 + 1) / 2 * SHADE_GRID).astype(int)  # a cube's corner is 1.73 away
            cells.append(column * SHADE_GRID + row)
            depths.append(depth)
        high = np.full(SHADE_GRID ** 2, -9.0)
        low = -high
        np.maximum.at(high, cells[1], depths[1])
        np.minimum.at(low, cells[1], depths[1])
        seen += depths[0] > high[cells[0]] - SHADE_SLACK
        seen += depths[0] < low[cells[0]] + SHADE_SLACK
    return np.clip(seen / 9, 0, 1)


# ------------------------------------------------------------------------------------------------ patterns


def pattern(rng: np.random.Generator) -> np.ndarray:
    """One tiling texture (TEXTURE_SIZE, TEXTURE_SIZE, 3) in [0, 1] of a random kind."""
    image = PATTERNS[rng.choice(len(PATTERNS), p=WEIGHTS)](rng)
    if rng.random() < 0.25:
        image = image * (0.85 + 0.3 * noise(rng, 3)[..., None])
    return image.clip(0, 1)


def noise(rng: np.random.Generator, lowest: float, falloff: float = 1.0, octaves: int = 4) -> np.ndarray:
    """(S, S) tiling fractal noise in [0, 1]: octaves from `lowest` periods per edge, each weaker by 2 ** -falloff."""
    frequency = np.fft.fftfreq(TEXTURE_SIZE) * TEXTURE_SIZE
    size = np.hypot(frequency[:, None], frequency[None])
    band = (size >= lowest * 0.7) & (size <= lowest * 2 ** octaves)
    spectrum = np.where(band, np.maximum(size, 1) ** -(1 + falloff), 0) * np.exp(2j * np.pi * rng.random(size.shape))
    field = np.fft.ifft2(spectrum).real
    return ((field / max(field.std(), 1e-12)) * 0.2 + 0.5).clip(0, 1)


def _grid():
    axis = (np.arange(TEXTURE_SIZE) + 0.5) / TEXTURE_SIZE
    return np.meshgrid(axis, axis)


def _mix(rng, share):
    """Two colors mixed by (S, S) shares."""
    first, last = color(rng), color(rng)
    return first + (last - first) * share[..., None]


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Bands, straight, slanted or wavy, of even or uneven widths."""
    x, y = _grid()
    along = rng.integers(1, 7) * x * rng.integers(0, 2) + rng.integers(1, 9) * y
    if rng.random() < 0.3:
        along = along + rng.uniform(0.05, 0.3) * np.sin(2 * np.pi * rng.integers(1, 4) * x)
    palette = np.stack([color(rng) for _ in range(rng.integers(2, 6))])
    edges = np.sort(rng.random(len(palette) - 1))
    return palette[np.searchsorted(edges, along % 1)]


def checks(rng: np.random.Generator) -> np.ndarray:
    """Checkerboard or plaid."""
    x, y = _grid()
    count = rng.integers(1, 7)
    across, down = (x * count * 2).astype(int) % 2, (y * count * 2).astype(int) % 2
    return _mix(rng, (across ^ down).astype(float) if rng.random() < 0.5 else (across + down) / 2)


def dots(rng: np.random.Generator) -> np.ndarray:
    """Spots in rows, or anyhow and of several sizes."""
    x, y = _grid()
    if rng.random() < 0.5:
        count = rng.integers(2, 8)
        inside = np.hypot((x * count) % 1 - 0.5, (y * count) % 1 - 0.5) < rng.uniform(0.15, 0.4)
        return _mix(rng, inside.astype(float))
    image = np.broadcast_to(color(rng), (TEXTURE_SIZE, TEXTURE_SIZE, 3)).copy()
    for _ in range(rng.integers(5, 30)):
        px, py = rng.random(2)
        apart = np.hypot((x - px + 0.5) % 1 - 0.5, (y - py + 0.5) % 1 - 0.5)
        image[apart < rng.uniform(0.02, 0.12)] = color(rng)
    return image


def clouds(rng: np.random.Generator) -> np.ndarray:
    """Noise between colors: marble, rust, camouflage, a photograph of nothing."""
    field = noise(rng, rng.integers(1, 6), rng.uniform(0, 1.5), 5)
    kind = rng.random()
    if kind < 0.35:
        palette = np.stack([color(rng) for _ in range(rng.integers(2, 5))])
        return palette[np.minimum((field * len(palette)).astype(int), len(palette) - 1)]
    if kind < 0.6:
        return np.stack([noise(rng, rng.integers(1, 4), rng.uniform(0, 1.5)) for _ in range(3)], -1)
    return _mix(rng, np.abs(np.sin(field * rng.uniform(3, 20))) if rng.random() < 0.4 else field)


def speckle(rng: np.random.Generator) -> np.ndarray:
    """Fine grains on a ground: granite, fabric, sand."""
    grains = rng.random((TEXTURE_SIZE, TEXTURE_SIZE)) < rng.uniform(0.02, 0.3)
    if rng.random() < 0.5:
        grains = grains.astype(float) + np.roll(grains, 1, 0) + np.roll(grains, 1, 1)
    return _mix(rng, np.minimum(grains, 1.0))


def wood(rng: np.random.Generator) -> np.ndarray:
    """Grain along the texture's height."""
    x, _ = _grid()
    field = noise(rng, 1, 1.0, 3)
    stretched = np.repeat(field[::4], 4, axis=0)[:TEXTURE_SIZE]
    rings = (x * rng.integers(3, 9) + rng.uniform(0.5, 2) * stretched) % 1
    dark = np.array(colorsys.hsv_to_rgb(rng.uniform(0.05, 0.11), rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.7)))
    fine = 1 - 0.15 * rng.random((1, TEXTURE_SIZE, 1))
    return (dark * fine * (1 + rng.uniform(0.2, 0.5) * np.abs(2 * rings - 1)[..., None])).clip(0, 1)


def bricks(rng: np.random.Generator) -> np.ndarray:
    """Bricks, tiles or planks with joints between them, each of its own brightness."""
    x, y = _grid()
    rows, columns, joint = rng.integers(2, 9), rng.integers(1, 5), rng.uniform(0.02, 0.12)
    rows += rows % 2
    row = (y * rows).astype(int)
    shifted = x * columns + 0.5 * (row % 2)
    inside = ((y * rows) % 1 > joint * rows / 6) & (shifted % 1 > joint * columns / 6)
    tone = rng.uniform(0.7, 1.1, (rows, columns + 1))[row, shifted.astype(int) % columns]
    return np.where(inside[..., None], color(rng) * tone[..., None], color(rng))


def label(rng: np.random.Generator) -> np.ndarray:
    """A ground with a few blocks that carry lines of marks like text."""
    image = np.broadcast_to(color(rng), (TEXTURE_SIZE, TEXTURE_SIZE, 3)).copy()
    for _ in range(rng.integers(1, 4)):
        high, wide = rng.integers(TEXTURE_SIZE // 6, TEXTURE_SIZE // 2, 2)
        top, left = rng.integers(0, TEXTURE_SIZE - high), rng.integers(0, TEXTURE_SIZE - wide)
        image[top:top + high, left:left + wide] = color(rng)
        ink, line = color(rng), rng.integers(5, 14)
        for row in range(top + line // 2, top + high - line, line + line // 2):
            at = left + 4
            while at < left + wide - line:
                length = rng.integers(2, max(line, 4))
                if rng.random() < 0.8:
                    image[row + rng.integers(0, 2):row + line - rng.integers(1, 4), at:at + length] = ink
                    if rng.random() < 0.5:
                        image[row + line // 3:row + line // 2, at:at + length // 2 + 1] = image[top, left]
                at += length + rng.integers(1, 4)
    return image


def cells(rng: np.random.Generator) -> np.ndarray:
    """Patches about random points: mosaic, giraffe, leather."""
    x, y = _grid()
    points = rng.random((rng.integers(8, 40), 2))
    apart = np.stack([np.hypot((x - px + 0.5) % 1 - 0.5, (y - py + 0.5) % 1 - 0.5) for px, py in points])
    nearest = apart.argmin(0)
    two = np.partition(apart, 1, axis=0)[:2]
    palette = np.stack([color(rng) for _ in range(rng.integers(1, 5))])[rng.integers(0, 100, len(points)) % 1]
    palette = palette * rng.uniform(0.6, 1.1, (len(points), 1))
    return np.where((two[1] - two[0] < rng.uniform(0, 0.03))[..., None], color(rng), palette[nearest])


PATTERNS = (stripes, checks, dots, clouds, speckle, wood, bricks, label, cells)
WEIGHTS = np.array([4, 2, 2, 4, 2, 2.5, 1.5, 3, 1.5]) / 22.5
