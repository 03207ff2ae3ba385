"""Procedural shapes that stand for nothing: extrusions with holes, heaps, cuts and frames.

After Zeroverse (Xie et al. 2024, arXiv 2406.09371): primitives united, cut out of each other, reduced to edges.

Each family is a function of a random generator that returns a list of `manifold3d.Manifold`, the object's parts: the
caller unites, normalizes and paints them part by part, so sizes are free.
"""
import numpy as np
from manifold3d import CrossSection, JoinType, Manifold

from utils.training_data.synthetic.solids import (
    ball,
    box,
    curve,
    extrude,
    group,
    lathe,
    rod,
    rotated,
    superellipse_points,
    tube,
    union,
    unit,
)


def contour(rng: np.random.Generator) -> np.ndarray:
    """A random closed contour (N, 2) about the origin: star, gear, blob, polygon, letter-like cross."""
    kind = rng.integers(5)
    if kind == 0:
        count = rng.integers(3, 9)
        angle = (np.arange(count) + rng.uniform(-0.2, 0.2, count)) / count * 2 * np.pi
        return np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(0.6, 1, (count, 1))
    angle = np.arange(96) / 96 * 2 * np.pi
    if kind == 1:
        radius = 1 + 0.25 * sum(rng.normal() / k * np.cos(k * angle + rng.uniform(0, 7)) for k in range(2, 6))
    elif kind == 2:
        teeth, depth = rng.integers(5, 16), rng.uniform(0.08, 0.3)
        radius = 1 - depth * (np.sin(teeth * angle) > rng.uniform(-0.3, 0.3))
    elif kind == 3:
        return superellipse_points(angle, rng.uniform(0.7, 8)) * [1, rng.uniform(0.4, 1)]
    else:
        radius = 1 - rng.uniform(0.2, 0.6) * np.abs(np.sin(rng.integers(2, 5) * angle))
    return np.maximum(radius, 0.2)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def extrusion(rng: np.random.Generator) -> list[Manifold]:
    """Plate, bracket, gear, sign or frame: a 2D shape with holes, thin to thick, tapered or twisted in some."""
    section = CrossSection([contour(rng)])
    if rng.random() < 0.3:  # several strokes, as of a letter
        for _ in range(rng.integers(1, 4)):
            ends = rng.choice([-1, -0.5, 0, 0.5, 1], (2, 2)) * 0.9
            along = ends[1] - ends[0]
            if np.linalg.norm(along) > 0.1:
                side = 0.16 * np.array([-along[1], along[0]]) / np.linalg.norm(along)
                section = section + \
                    CrossSection([np.array([ends[0] - side, ends[1] - side, ends[1] + side, ends[0] + side])])
    kind = rng.random()
    if kind < 0.35:
        wall = rng.uniform(0.08, 0.25)
        section = section - section.offset(-wall, JoinType.Round)
    elif kind < 0.85:
        angle = np.arange(24) / 24 * 2 * np.pi
        for _ in range(rng.integers(1, 5)):
            hole = CrossSection([contour(rng) if rng.random() < 0.3 else np.stack([np.cos(angle), np.sin(angle)], 1)])
            section = section - hole.scale((rng.uniform(0.1, 0.35),) * 2).translate(tuple(rng.uniform(-0.5, 0.5, 2)))
    depth = rng.choice([rng.uniform(0.06, 0.3), rng.uniform(0.3, 1.6)])
    if depth > 0.6 and rng.random() < 0.5:
        scale = rng.uniform(0.4, 1)
        solid = rotated(Manifold.extrude(section, depth, 16, rng.uniform(-90, 90), (scale, scale)), 0, -90)
        return [solid]
    solid = extrude(section, depth, rng.choice([0, 1, 2], p=[0.15, 0.35, 0.5]))
    return [solid]


def primitive(rng: np.random.Generator) -> Manifold:
    """One random primitive of about unit size, anyhow turned."""
    kind, size = rng.integers(8), rng.uniform(0.35, 1, 3)
    if kind == 0:
        solid = box(2 * size, rounding=rng.choice([0, rng.uniform(0.05, 0.4)]))
    elif kind == 1:
        solid = ball(size)
    elif kind == 2:
        solid = rod((0, -size[1], 0), (0, size[1], 0), size[0], size[0] * rng.choice([1, rng.uniform(0, 1)]), 36)
    elif kind == 3:
        angle = np.arange(48) / 48 * 2 * np.pi
        solid = tube(np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1)
                     * 0.8, rng.uniform(0.1, 0.3), up=(0, 1, 0), closed=True)
    elif kind == 4:
        solid = extrude([contour(rng)], rng.uniform(0.1, 1.2))
    elif kind == 5:
        radii = rng.uniform(0.15, 1, 6)
        path = curve(np.stack([radii, np.linspace(-1, 1, 6), 0 * radii], 1), 24)
        path[:, 0] = path[:, 0].clip(0.05)
        solid = lathe(np.concatenate([[(0, -1)], path[:, :2], [(0, 1)]]), 40)
    elif kind == 6:
        solid = Manifold.hull_points(rng.normal(size=(rng.integers(5, 20), 3)) * size * 0.7)
    else:
        solid = tube(curve(rng.uniform(-1, 1, (4, 3)), 32), rng.uniform(0.1, 0.3), power=rng.choice([2, 6]))
    return solid.as_original()


def heap(rng: np.random.Generator) -> list[Manifold]:
    """One to nine primitives anyhow, united, some cut away or hollowed (Zeroverse, Xie et al. 2024)."""
    count = rng.integers(1, 10)
    solids = []
    for _ in range(count):
        solid = primitive(rng).scale((rng.uniform(0.3, 1, 3)).tolist())
        solid = solid.rotate((rng.uniform(0, 360, 3) if rng.random() < 0.5 else 90.0 * rng.integers(0, 4, 3)).tolist())
        solids.append(solid.translate((rng.uniform(-0.7, 0.7, 3) * (count > 1)).tolist()))
    kept = union(*solids)
    if rng.random() < 0.5:
        cutters = [primitive(rng).scale([0.5] * 3).translate((rng.uniform(-0.8, 0.8, 3)).tolist())
                             for _ in range(rng.integers(1, 3))]
        kept = kept - union(*cutters)
    return [kept]


def carved(rng: np.random.Generator) -> list[Manifold]:
    """A primitive with its own smaller copy, tunnels, or cuts taken out of it: shells, rings, sockets."""
    solid = primitive(rng)
    kind = rng.random()
    if kind < 0.4:  # shell, opened by a plane or a hole
        solid = solid - solid.scale([rng.uniform(0.75, 0.92)] * 3)
        normal = unit(rng.normal(size=3) * [0.5, 1, 0.5])
        solid = solid.trim_by_plane(normal.tolist(), rng.uniform(-0.5, 0.1))
        if solid.is_empty():
            return [solid]
        if normal[1] > 0:  # the mouth faces up
            solid = solid.rotate([180.0, 0.0, 0.0])
        return [solid]
    for _ in range(rng.integers(1, 4)):
        axis, at = rng.integers(3), rng.uniform(-0.4, 0.4, 3)
        cutter = extrude([contour(rng) * rng.uniform(0.15, 0.4)], rng.choice([5.0, rng.uniform(0.5, 1.5)]), axis)
        solid = solid - cutter.translate(at.tolist())
    return [solid]


def frame(rng: np.random.Generator) -> list[Manifold]:
    """Wireframe: cage, lattice, ladder, rack, basket, tower; thin bars between knots, holes all over."""
    kind, radius = rng.integers(5), rng.uniform(0.025, 0.07)
    size = rng.uniform(0.5, 1, 3)
    if kind <= 1:  # the edges of a box, with bars
        counts = rng.integers(1, 4, 3)
        lines = [np.linspace(-1, 1, n + 1) * s for n, s in zip(counts, size)]
        bars = []
        for axis in range(3):
            others = [i for i in range(3) if i != axis]
            for a in lines[others[0]]:
                for b in lines[others[1]]:
                    edge = abs(abs(a) - size[others[0]]) < 1e-9 or abs(abs(b) - size[others[1]]) < 1e-9
                    if not edge and kind:
                        continue
                    start = np.zeros(3)
                    start[others] = a, b
                    end = start.copy()
                    start[axis], end[axis] = -size[axis] - radius * 0.5, size[axis] + radius * 0.5
                    bars.append(box(np.abs(end - start) + 2 * radius * (np.arange(3) != axis), (start + end) / 2)
                                if kind else rod(start, end, radius, segments=10))
        return [group(*bars)]
    if kind == 2:  # basket: rings and ribs, with a floor
        top, count = rng.uniform(0.7, 1.3), rng.integers(8, 20)
        angle = np.arange(48) / 48 * 2 * np.pi
        circle = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1)
        levels = np.linspace(0, 1, rng.integers(3, 6))
        bars = [tube(circle * (0.7 + (top - 0.7) * level) + [0, level, 0], radius, up=(0, 1, 0), segments=8, closed=True)
                for level in levels]
        for turn in np.arange(count) / count * 2 * np.pi:
            bars.append(
                rod(np.array([np.cos(turn) * 0.7, 0, np.sin(turn) * 0.7]),
                    np.array([np.cos(turn) * top, 1, np.sin(turn) * top]),
                    0.7 * radius,
                    segments=8))
        return [group(*bars), rod((0, -radius, 0), (0, radius, 0), 0.7, segments=40)]
    if kind == 3:  # ladder, fence, rack
        count, tall, wide = rng.integers(3, 9), rng.uniform(1, 2), rng.uniform(0.4, 0.9)
        rungs = [rod((-wide / 2, y, 0), (wide / 2, y, 0), 0.7 * radius, segments=12)
                     for y in np.linspace(0.1, 0.92, count) * tall]
        sides = [box((2 * radius, tall, 3 * radius), (s * wide / 2, tall / 2, 0)) for s in (-1, 1)]
        one = group(*rungs, *sides)
        if rng.random() < 0.4:
            lean = rng.uniform(8, 20)
            one = union(rotated(one.translate([0, -tall, 0]), 0, lean), rotated(one.translate([0, -tall, 0]), 0, -lean))
        return [one]
    # edges of a random hull
    hull = Manifold.hull_points(unit(rng.normal(size=(rng.integers(6, 14), 3))))
    mesh = hull.to_mesh64()
    points = np.asarray(mesh.vert_properties)[:, :3]
    pairs = {tuple(sorted(pair)) for face in np.asarray(mesh.tri_verts)
                   for pair in ((face[0], face[1]), (face[1], face[2]), (face[2], face[0]))}
    bars = [rod(points[a], points[b], radius, segments=10) for a, b in sorted(pairs)]
    return [group(*bars), group(*[ball(radius * rng.uniform(1.0, 1.8), point, 14) for point in points])]
