"""Procedural furniture: legs, slats, boards, frames and cushions, and houses.

Each family is a function of a random generator that returns a list of `manifold3d.Manifold`, the object's parts: the
caller unites, normalizes and paints them part by part, so sizes are free.
"""
from collections.abc import Sequence

import numpy as np
from manifold3d import Manifold

from utils.training_data.synthetic.solids import ball, box, group, lathe, loft, rod, rotated, union


def leg(x: float, z: float, top: float, radius: float, splay: float, square: bool) -> Manifold:
    """One leg from the ground to `top` under (x, z), leaning outwards by `splay`."""
    foot = np.array([x * (1 + splay), 0, z * (1 + splay)])
    if not square:
        return rod(foot, (x, top, z), radius * 0.8, radius)
    angle = np.pi / 4 + np.arange(4) * np.pi / 2
    corner = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1) * radius * 1.2
    return loft([foot + 0.75 * corner, np.array([x, top, z]) + corner])


def slats(center: Sequence[float], size: Sequence[float], count: int, axis: int, thickness_share: float = 0.6,
          rounding: float = 0.0) -> Manifold:
    """`count` bars filling a box of `size` about `center`, side by side along `axis`."""
    size, center = np.array(size, float), np.array(center, float)
    width = size[axis] / count
    bars = []
    for index in range(count):
        at, extent = center.copy(), size.copy()
        at[axis] += (index + 0.5) * width - size[axis] / 2
        extent[axis] = width * thickness_share
        bars.append(box(extent, at, rounding))
    return group(*bars)


def chair(rng: np.random.Generator) -> list[Manifold]:
    """Chair, stool, bench or armchair with legs, back, arms and rungs."""
    width, depth, high = rng.uniform(0.8, 1.1), rng.uniform(0.75, 1.0), rng.uniform(0.6, 1.1)
    if rng.random() < 0.15:
        width *= rng.uniform(1.5, 2.5)
    thick, radius, square = rng.uniform(0.04, 0.16), rng.uniform(0.03, 0.07), rng.random() < 0.6
    rounding = rng.choice([0, 0.4 * thick])
    inset = rng.uniform(0.0, 0.05) + radius
    x, z = width / 2 - inset, depth / 2 - inset
    splay = rng.choice([0, rng.uniform(0.05, 0.3)])
    parts = []
    if rng.random() < 0.15:  # one column on a foot
        parts.append(group(rod((0, 0, 0), (0, high, 0), 1.2 * radius),
                     rod((0, 0, 0), (0, 0.06, 0), 0.4 * width, segments=36)))
    else:
        parts.append(group(*[leg(sx * x, sz * z, high, radius, splay, square) for sx in (-1, 1) for sz in (-1, 1)]))
        if rng.random() < 0.5:
            level = rng.uniform(0.25, 0.6) * high
            grow = 1 + splay * (1 - level / high)
            rungs = [rod((sx * x * grow, level, -z * grow), (sx * x * grow, level, z * grow), 0.6 * radius, segments=12)
                     for sx in (-1, 1)]
            rungs.append(
                rod((-x * grow, level, 0), (x * grow, level, 0), 0.6 * radius, segments=12) if rng.random() <
                0.5 else rod((-x * grow, level, -z * grow), (x * grow, level, -z * grow), 0.6 * radius, segments=12))
            parts.append(group(*rungs))
    seat = (rod((0, high - thick / 2, 0), (0, high + thick / 2, 0), width / 2, segments=48).scale([1, 1, depth / width])
            if rng.random() < 0.2 else box((width, thick, depth), (0, high, 0), rounding)).as_original()
    if rng.random() < 0.15:
        seat = slats((0, high, 0), (width, thick, depth), rng.integers(4, 8), rng.choice([0, 2]), 0.75)
        seat = group(seat, *[box((width, 0.8 * thick, 0.06), (0, high - 0.3 * thick, s * z)) for s in (-1, 1)],
                     *[box((0.06, 0.8 * thick, depth), (s * x, high - 0.3 * thick, 0)) for s in (-1, 1)])
    parts.append(seat)
    if rng.random() < 0.3:
        parts.append(box((0.94 * width, 0.12, 0.94 * depth), (0, high + thick / 2 + 0.04, 0), 0.055).as_original())
    if rng.random() < 0.85:
        parts += _chair_back(width, depth, high, radius, rng)
    if rng.random() < 0.3:
        rest = high + rng.uniform(0.25, 0.4)
        for side in (-1, 1):
            arm = [box((2.4 * radius, 1.4 * radius, depth), (side * (width / 2 - radius), rest, 0), 0.5 * radius),
                   rod((side * (width / 2 - radius), high, z), (side * (width / 2 - radius), rest, z), radius)]
            parts.append(group(*arm))
    return parts


def _chair_back(width, depth, high, radius, rng):
    tall, lean, kind = rng.uniform(0.5, 1.1), rng.uniform(0, 0.2), rng.random()
    thick = rng.uniform(0.04, 0.1)
    if kind < 0.3:
        back = box((width, tall, thick), (0, tall / 2, 0), rng.choice([0, 0.4 * thick]))
        if rng.random() < 0.4:
            back = back - box((width * 0.6, tall * rng.uniform(0.2, 0.6), 1), (0, tall * 0.55, 0), 0.05)
    else:
        posts = [rod((s * (width / 2 - radius), 0, 0), (s * (width / 2 - radius), tall, 0), radius) for s in (-1, 1)]
        rail = box((width, rng.uniform(0.08, 0.25), thick), (0, tall - 0.08, 0), 0.3 * thick)
        inner = width - 2 * radius
        if kind < 0.65:
            fill = slats((0, tall / 2, 0), (inner, tall, 0.6 * thick), rng.integers(2, 7), 0, rng.uniform(0.25, 0.6))
        else:
            fill = slats((0, tall * 0.55, 0), (inner + radius, tall * 0.8, 0.6 * thick), rng.integers(2, 5), 1,
                         rng.uniform(0.3, 0.6))
        back = union(*posts, rail, fill)
    shear = np.array([[1, 0, 0, 0], [0, 1, 0, high - 0.02], [0, -lean, 1, -depth / 2 + max(radius, thick / 2)]], float)
    return [back.as_original().transform(shear)]


def armchair(rng: np.random.Generator) -> list[Manifold]:
    """Sofa or armchair: soft boxes, cushions, short feet."""
    width, depth = rng.choice([rng.uniform(0.9, 1.2), rng.uniform(1.6, 2.4)]), rng.uniform(0.8, 1.1)
    seat, back, arm = rng.uniform(0.3, 0.5), rng.uniform(0.75, 1.1), rng.uniform(0.45, 0.7)
    thick, soft = rng.uniform(0.12, 0.25), rng.uniform(0.02, 0.1)
    parts = [box((width, seat - 0.05, depth), (0, seat / 2 + 0.1, 0), soft).as_original(),
             rotated(box((width, back - 0.1, thick), (0, back / 2, 0), soft), 0, -rng.uniform(0, 12))
             .translate([0, 0.1, -depth / 2 + thick / 2]).as_original()]
    if rng.random() < 0.85:
        parts.append(group(*[box((thick, arm, depth), (s * (width + 0.8 * thick) / 2, arm / 2 + 0.1, 0), soft)
                             for s in (-1, 1)]))
    if rng.random() < 0.8:
        count = max(1, round(width / 0.8))
        parts.append(group(*[box((width / count - 0.02, 0.18, depth * 0.8), ((i + 0.5) * width / count - width / 2,
                                  seat + 0.13, 0.08), 0.08) for i in range(count)]))
    parts.append(group(*[leg(sx * width * 0.45, sz * depth * 0.42, 0.15, 0.04, rng.choice([0, 0.1]), True)
                         for sx in (-1, 1) for sz in (-1, 1)]))
    return parts


def table(rng: np.random.Generator) -> list[Manifold]:
    """Table, desk, or table on one column; drawers and under-shelves in some."""
    width, depth, high = rng.uniform(0.8, 2), rng.uniform(0.6, 1.1), rng.uniform(0.4, 1.1)
    thick, radius, square = rng.uniform(0.03, 0.12), rng.uniform(0.03, 0.08), rng.random() < 0.6
    round_top = rng.random() < 0.25
    top = (rod((0, high, 0), (0, high + thick, 0), width / 2, segments=56).scale([1, 1, depth / width]) if round_top
           else box((width, thick, depth), (0, high + thick / 2, 0), rng.choice([0, 0.4 * thick]))).as_original()
    parts = [top]
    x, z = (width * 0.33, depth * 0.33) if round_top else (width / 2 - 1.5 * radius, depth / 2 - 1.5 * radius)
    if rng.random() < 0.2:
        profile = np.stack([radius * rng.uniform(0.7, 2, 9), np.linspace(0, high, 9)], 1)
        column = lathe(np.concatenate([[(0, 0)], profile, [(0, high)]]), 32)
        feet = [box((0.8 * width, 0.07, 0.12), (0, 0.035, 0)), box((0.12, 0.07, 0.8 * depth), (0, 0.035, 0))]
        parts.append(group(column, *feet))
    else:
        parts.append(group(*[leg(sx * x, sz * z, high + 0.01, radius, rng.choice([0, 0.12]), square)
                             for sx in (-1, 1) for sz in (-1, 1)]))
        if rng.random() < 0.5 and not round_top:
            drop = rng.uniform(0.08, 0.25)
            parts.append(group(*[box((2 * x, drop, 0.04), (0, high - drop / 2 + 0.01, s * z)) for s in (-1, 1)],
                               *[box((0.04, drop, 2 * z), (s * x, high - drop / 2 + 0.01, 0)) for s in (-1, 1)]))
        if rng.random() < 0.25:
            parts.append(box((2 * x + radius, 0.04, 2 * z + radius),
                         (0, rng.uniform(0.15, 0.4) * high, 0)).as_original())
        if rng.random() < 0.25 and not round_top:
            parts.append(box((width * 0.3, high * 0.5, depth * 0.85), (width * 0.3, high * 0.76, 0)).as_original())
    return parts


def bed(rng: np.random.Generator) -> list[Manifold]:
    """Bed: frame, mattress, head and foot boards with slats or panels, pillows; a bunk in some."""
    width, length, high = rng.uniform(0.9, 1.8), 2.0, rng.uniform(0.25, 0.5)
    board = [rng.uniform(0.5, 1.2), rng.uniform(0.3, 0.7)]
    parts = [group(*[box((0.05, 0.18, length), (s * width / 2, high, 0)) for s in (-1, 1)],
                   box((width, 0.05, length), (0, high - 0.03, 0)))]
    parts.append(box((width - 0.08, rng.uniform(0.15, 0.25), length - 0.1), (0, high + 0.12, 0), 0.06).as_original())
    for end, tall in zip((-1, 1), board):
        z, kind = end * length / 2, rng.random()
        posts = [box((0.08, tall, 0.08), (s * width / 2, tall / 2, z), 0.015) for s in (-1, 1)]
        if kind < 0.5:
            fill = box((width, tall - high + 0.05, 0.05), (0, (tall + high) / 2 - 0.05, z))
        else:
            fill = union(slats((0, (tall + high) / 2, z), (width, tall - high, 0.035), rng.integers(5, 12), 0, 0.3),
                         box((width, 0.06, 0.06), (0, tall - 0.03, z)), box((width, 0.06, 0.05), (0, high, z)))
        parts.append(group(*posts, fill))
    if rng.random() < 0.7:
        parts.append(group(*[box((0.4 * width, 0.12, 0.35), (s * 0.24 * width, high + 0.28, -length / 2 + 0.3), 0.055)
                             for s in (-1, 1)]))
    if rng.random() < 0.15:
        upper = union(*parts).as_original().translate([0, rng.uniform(0.9, 1.2), 0])
        parts.append(upper)
        parts.append(group(*[box((0.08, 1.4, 0.08), (sx * width / 2, 0.7, sz * length / 2))
                     for sx in (-1, 1) for sz in (-1, 1)]))
    return parts


def shelf(rng: np.random.Generator) -> list[Manifold]:
    """Shelf or cabinet: thin boards about open compartments, backed or open, with doors or drawers in some."""
    width, high, depth, wall = rng.uniform(
    0.5, 1.5), rng.uniform(
        0.6, 2), rng.uniform(
            0.3, 0.6), rng.uniform(
                0.025, 0.06)
    backed = rng.random() < 0.6
    columns, rows = rng.integers(1, 4), rng.integers(2, 6)
    body = box((width, high, depth), (0, high / 2, 0)).as_original()
    holes, extras = [], []
    across, up = (width - wall) / columns, (high - wall) / rows
    for i in range(columns):
        for j in range(rows):
            center = (-width / 2 + wall / 2 + (i + 0.5) * across, wall / 2 + (j + 0.5) * up, wall if backed else 0)
            kind = rng.random()
            if kind < 0.75:
                holes.append(box((across - wall, up - wall, depth if backed else 2 * depth), center))
                if rng.random() < 0.15:  # things on it
                    thing = rng.uniform(0.3, 0.9) * (up - wall)
                    extras.append(box((0.3 * across, thing, 0.4 * depth),
                                  (center[0], center[1] - up / 2 + thing / 2 + 0.4 * wall, 0)))
            else:
                extras.append(group(box((across - 1.5 * wall, up - 1.5 * wall, 0.06), (*center[:2], depth / 2)),
                                    ball(0.03, (center[0], center[1], depth / 2 + 0.05), 12)))
    solid = body - group(*holes) if holes else body
    if rng.random() < 0.3:
        extras.append(group(*[leg(sx * 0.44 * width, sz * 0.4 * depth, 0.2, 0.03, 0, True).translate([0, -0.19, 0])
                              for sx in (-1, 1) for sz in (-1, 1)]))
    return [solid] + extras


def house(rng: np.random.Generator) -> list[Manifold]:
    """House, castle or tower: boxes under roofs, with windows, doors and chimneys."""
    parts, holes = [], []
    for _ in range(rng.integers(1, 4)):
        size = np.array([rng.uniform(0.5, 1.2), rng.uniform(0.4, 1.4), rng.uniform(0.5, 1.2)])
        at = rng.uniform(-0.5, 0.5, 3) * [1, 0, 1] * bool(parts)
        parts.append(box(size, at + [0, size[1] / 2, 0]).as_original())
        tall, over = rng.uniform(0.2, 0.7), rng.uniform(1, 1.2)
        kind = rng.random()
        corners = np.array([[x, 0, z] for x in (-1, 1) for z in (-1, 1)]) * size / 2 * over
        ridge = np.array([[0, tall, z] for z in (-1, 1)]) * [1, 1, size[2] / 2 * over * (1 if kind < 0.5 else 0.3)]
        if kind < 0.8:
            parts.append(Manifold.hull_points(np.concatenate(
                [corners, corners + [0, 0.04, 0], ridge])).translate((at + [0, size[1] - 0.02, 0]).tolist()))
        else:  # battlements
            for x in np.linspace(-1, 1, 5)[:, None] * [size[0] / 2 - 0.06]:
                parts.append(
                    group(*[
                        box((0.12, 0.15, 0.12), at + [x[0], size[1] + 0.05, s * (size[2] / 2 - 0.06)]) for s in (-1, 1)
                    ]))
        for level in np.arange(0.25, size[1] - 0.15, 0.32):
            holes += [box((0.13, 0.17, 0.12), at + [x, level, s * size[2] / 2])
                          for x in np.arange(-0.3, 0.4, 0.3) * size[0] for s in (-1, 1)]
    if rng.random() < 0.4:
        parts.append(box((0.13, rng.uniform(0.6, 1), 0.13), (0.2, 1.0, 0.1)).as_original())
    return [union(*parts) - group(*holes)]
