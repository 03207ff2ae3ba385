"""Plain procedural footwear: lasts with a sole, hollow shafts, heels, straps; rougher than shoes.py's."""
import numpy as np
from manifold3d import Manifold

from utils.training_data.synthetic.solids import curve, group, loft, superellipse_points, tube, union


def _outline(share, toe, waist, heel):
    """Half widths of a foot at shares (N,) of its length, heel to toe."""
    width = np.interp(share, [0, 0.2, 0.45, 0.72, 1], [0.85 * heel, heel, waist, toe, 0.8 * toe])
    ends = np.sqrt(np.clip(1 - ((share - 0.5) / 0.5) ** 8, 0, 1))
    return np.maximum(width * ends, 0.01)


def shoe(rng: np.random.Generator) -> list[Manifold]:
    """Shoe, boot, clog, slipper or sandal along z, toe in front: parts to unite."""
    share = (1 - np.cos(np.linspace(0, np.pi, 40))) / 2
    half = _outline(share, rng.uniform(0.3, 0.42), rng.uniform(0.22, 0.34), rng.uniform(0.24, 0.32))
    bow = rng.uniform(-0.06, 0.06) * np.sin(np.pi * share)
    z = 2 * share - 1
    heel = rng.choice([0, rng.uniform(0.08, 0.2), rng.uniform(0.2, 0.7)], p=[0.4, 0.35, 0.25])
    rise = heel * (0.5 + 0.5 * np.cos(np.pi * np.clip((share - 0.2) / 0.45, 0, 1)))
    spring = rng.uniform(0, 0.12) * np.clip((share - 0.75) / 0.25, 0, 1) ** 2
    thick = rng.uniform(0.06, 0.2)
    base = rise + spring
    sole = loft([[(b + s * h * 1.06, y + t, zz) for s, t in ((-1, 0), (1, 0), (1, thick), (-1, thick))]
                 for b, h, y, zz in zip(bow, half, base, z)]).as_original()
    parts = [sole]
    if heel > 0.05:
        width, length = rng.uniform(0.2, 0.5) if heel < 0.25 else rng.uniform(0.08, 0.3), rng.uniform(0.15, 0.5)
        block = np.array([[x * width, y, -0.9 + length * zz] for x in (-0.5, 0.5) for y in (0, 0.02) for zz in (0, 1)])
        top = np.array([[x * 0.45, heel + 0.5 * thick, -0.95 + 0.5 * zz] for x in (-0.5, 0.5) for zz in (0, 1)])
        parts.append(Manifold.hull_points(np.concatenate([block, top])))
    kind = rng.random()
    ground = base + thick - 0.02
    if kind < 0.3:
        return parts + _straps(half, bow, ground, z, rng)
    wall = rng.uniform(0.03, 0.06)
    vamp = rng.uniform(0.3, 0.6)
    throat = rng.uniform(-0.1, 0.3)  # z where the opening begins
    collar = rng.uniform(0.45, 0.8)
    shaft = kind > 0.65
    top = np.interp(z, [-1, throat - 0.1, throat + 0.25, 0.7, 1], [collar, collar, vamp * 1.1, vamp * 0.75, 0.12])
    top = np.convolve(np.pad(top, 3, "edge"), np.ones(7) / 7, "valid")
    parts.append(_upper(half, bow, ground, top, z, 0).as_original())
    inner = _upper(half - wall, bow, ground + wall * 0.7, top - wall, z * (1 - wall), 0)
    cutters = [inner] if kind < 0.96 else []
    x, opening = np.interp(-0.45, z, bow), np.interp(-0.4, z, half)
    center = (-0.95 + throat) / 2
    length = (throat + 0.95) / 2
    angle = np.arange(40) / 40 * 2 * np.pi
    oval = superellipse_points(angle, 2.4)

    def ring(y, scale, lean=0.0, less=0.0):
        return np.stack([x + oval[:, 0] * (opening * scale - less), np.full(40, y),
                        center + lean + oval[:, 1] * (length * scale - less)], 1)

    floor = np.interp(-0.4, z, ground) + wall
    if shaft:
        tall = collar + rng.uniform(0.3, 1.6)
        flare = rng.uniform(0.8, 1.15)
        lean = rng.uniform(-0.1, 0.05)
        levels = np.linspace(floor + 0.05, tall, 8)
        scales = np.interp(levels, [floor, collar + 0.1, tall], [0.95, 0.88, flare])
        parts.append(loft([ring(y, s, lean * i / 7) for i, (y, s) in enumerate(zip(levels, scales))]).as_original())
        levels, lean = np.append(levels, tall + 0.3), lean
        scales = np.append(scales, scales[-1])
        cutters.append(loft([ring(y, s, lean * min(i, 7) / 7, wall) for i, (y, s) in enumerate(zip(levels, scales))]))
    else:
        cutters.append(loft([ring(y, 0.93, 0, wall) for y in (floor + 0.1, collar + 0.6)]))
    solid = union(*parts) - union(*cutters)
    extras = []
    if rng.random() < 0.3:  # laces
        bars = [
            tube(curve([(-0.14, y - 0.04, zz), (0, y + 0.05, zz + 0.02), (0.14, y - 0.04, zz)], 10), 0.025, segments=8)
            for zz in np.linspace(throat + 0.03, throat + 0.35, 4) for y in [np.interp(zz, z, top + ground)]
        ]
        extras.append(group(*bars))
    return [solid] + extras


def _upper(half, bow, ground, top, z, lift):
    """Half a loaf over the sole: sections from ground to top, round above."""
    angle = np.linspace(0, np.pi, 25)
    rings = []
    for h, b, g, t, zz in zip(np.maximum(half, 0.004), bow, ground, np.maximum(top, 0.01), z):
        arch = superellipse_points(angle, 2.6)
        rings.append(np.stack([b + h * arch[:, 0], g + lift + (t * arch[:, 1]), np.full(25, zz)], 1))
    return loft(rings)


def _straps(half, bow, ground, z, rng):
    """Thin bands over the foot, and around the heel in some."""
    straps = []
    for at in rng.choice([-0.35, -0.1, 0.15, 0.4, 0.6], rng.integers(1, 4), replace=False):
        h, b, g = (np.interp(at, z, line) for line in (half, bow, ground))
        high = rng.uniform(0.3, 0.5) * (1.15 - 0.4 * at)
        points = [(b - h, g - 0.03, at), (b - 0.9 * h, g + 0.6 * high, at), (b, g + high, at + 0.03),
                  (b + 0.9 * h, g + 0.6 * high, at), (b + h, g - 0.03, at)]
        straps.append(tube(curve(points, 24), 0.022, rng.uniform(2, 6), 5))
    if rng.random() < 0.5:
        h, g = np.interp(-0.4, z, half), np.interp(-0.8, z, ground)
        high = g + rng.uniform(0.25, 0.6)
        points = [(-h, g, -0.35), (-h * 0.9, high, -0.6), (0, high + 0.05, -0.95), (h * 0.9, high, -0.6), (h, g, -0.35)]
        straps.append(tube(curve(points, 30), 0.025, rng.uniform(1, 3), 4))
    return straps
