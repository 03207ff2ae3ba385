"""Procedural things of thin sheets, or shut ones that look like them: boxes, bags, hats, lamps, leaves, pipes, packets.

Each family is a function of a random generator that returns a list of `manifold3d.Manifold`, the object's parts: the
caller unites, normalizes and paints them part by part, so sizes are free.
"""
import numpy as np
from manifold3d import Manifold

from utils.training_data.synthetic.solids import (
    ball,
    box,
    curve,
    group,
    lathe,
    loft,
    reshaped,
    rod,
    rotated,
    slab,
    superellipse_points,
    tube,
    union,
    unit,
    vessel_profiles,
)
from utils.training_data.synthetic.vessels import _cut, outline_factor, wall_radii


def open_box(rng: np.random.Generator) -> list[Manifold]:
    """Box with thin flat walls, open at the top or front: crate, drawer, dumpster; dividers, lid, slots in some."""
    size = np.array([rng.uniform(0.6, 1.4), rng.uniform(0.25, 1.1), rng.uniform(0.5, 1.2)])
    wall, rounding = rng.uniform(0.025, 0.09), rng.choice([0, rng.uniform(0.02, 0.15)])
    shell = box(size, rounding=rounding, chamfer=rng.random() < 0.3).as_original()
    inside = size - 2 * wall
    cavity = box(inside + [0, 2, 0], (0, 1, 0), rounding)
    taper = rng.uniform(0.7, 1) if rng.random() < 0.35 else 1

    def tapered(points):
        scale = taper + (1 - taper) * (points[:, 1:2] / size[1] + 0.5)  # linear: flat walls stay flat
        return points * np.concatenate([scale, np.ones_like(scale), scale], 1)

    parts, cutters = [shell], [cavity]
    kind = rng.random()
    if kind < 0.25:  # hand holes
        hole = box((2 * size[0], 0.25 * size[1], 0.35 * size[2]), (0, 0.2 * size[1], 0), 0.04)
        cutters.append(hole)
    elif kind < 0.4:  # slats
        count = rng.integers(2, 5)
        for level in (np.arange(count) + 0.5) / count - 0.5:
            cutters.append(box((2 * size[0], 0.4 * size[1] / count, size[2] * 0.8), (0, level * size[1], 0)))
            cutters.append(box((size[0] * 0.8, 0.4 * size[1] / count, 2 * size[2]), (0, level * size[1], 0)))
    solid = union(*parts) - union(*cutters)
    if rng.random() < 0.3:  # dividers
        for _ in range(rng.integers(1, 3)):
            at = rng.uniform(-0.35, 0.35)
            solid += (box((wall, size[1] * rng.uniform(0.5, 0.95), size[2] - wall), (at * size[0], -0.02 * size[1], 0))
                      if rng.random() < 0.5 else box((size[0] - wall, size[1] * 0.8, wall), (0, -0.05, at * size[2])))
    solid = solid.warp_batch(tapered)
    extras = []
    if rng.random() < 0.45:  # a lid on its hinge at the back
        lid = group(box((size[0] * 1.02, wall * 1.3, size[2] * 1.02), (0, 0, size[2] * 0.51), rounding))
        if rng.random() < 0.4:  # with a rim of its own
            lid = group(
                box((size[0] * 1.02, 0.2, size[2] * 1.02), (0, 0.08, size[2] * 0.51))
                - box((size[0] * 1.02 - 2 * wall, 0.2, size[2] * 1.02 - 2 * wall), (0, 0.08 - wall, size[2] * 0.51)))
        lid = rotated(lid, 0, -rng.uniform(20, 110))
        extras.append(lid.translate([0, size[1] / 2 - 0.01, -size[2] / 2 + 0.4 * wall]))
    if rng.random() < 0.25:
        extras += _wheels_below(size, rng)
    if rng.random() < 0.2:  # knob or bar
        extras.append(ball(0.07, (0, 0, size[2] / 2 * taper ** 0.5), 20))
    if rng.random() < 0.2:  # front open, as a shelf or a nest box
        return [rotated(union(solid, *extras), 0, 90)]
    return [solid] + extras


def _wheels_below(size, rng):
    radius = rng.uniform(0.06, 0.14)
    return [rod((x * size[0] * 0.38 - 0.04, -size[1] / 2 - 0.3 * radius, z * size[2] * 0.38),
                (x * size[0] * 0.38 + 0.04, -size[1] / 2 - 0.3 * radius, z * size[2] * 0.38), radius)
            for x in (-1, 1) for z in (-1, 1)]


def shell(rng: np.random.Generator) -> list[Manifold]:
    """Cap, helmet, hat, lampshade, bag or tent: a skin with a wide mouth, standing on it."""
    kind = rng.random()
    share = np.linspace(0, 1, 24)
    wall = rng.uniform(0.025, 0.06)
    if kind < 0.35:  # lampshade, bell, funnel: open at both ends or one
        radii, tall = np.interp(share, [0, 0.5, 1], rng.uniform(0.25, 0.8, 3)), rng.uniform(0.5, 1.4)
        outer, inner = vessel_profiles(radii, tall * share, wall, -1 if rng.random() < 0.6 else wall)
        if rng.random() < 0.6:
            hole = lathe(np.stack([np.r_[0, radii - wall, 0], tall * np.r_[0, share, 1]], 1), 48)
            ends = [rod((0, -0.5, 0), (0, 0.01, 0), radii[0] - wall, segments=48),
                    rod((0, tall - 0.01, 0), (0, tall + 0.5, 0), radii[-1] - wall, segments=48)]
            return [lathe(outer, 48).as_original() - union(hole, *ends)]
        return [rotated(lathe(outer, 48).as_original() - lathe(inner, 48), 0, 180)]
    if kind < 0.75:  # cap or helmet: half an ellipsoid, hollow, with a brim or peak
        radii = rng.uniform(0.6, 1, 3) * [0.8, 0.8, 1]
        dome = ball(radii, segments=56).as_original()
        hollow = ball(radii - 1.4 * wall, segments=56)
        parts = [dome]
        if rng.random() < 0.7:
            spread = rng.uniform(1.1, 1.7)
            brim = ball((radii[0] * (1 if rng.random() < 0.5 else spread), 0.05, radii[2] * spread), (0, 0.03, 0), 56)
            parts.append(brim if rng.random() < 0.4 else brim.trim_by_plane([0, 0, 1], 0))
        solid = (union(*parts) - hollow).trim_by_plane([0, 1, 0], 0)
        if rng.random() < 0.4:
            solid += ball(0.08, (0, radii[1], 0), 20)
        return [solid]
    # a bag: soft box, open on top, with two straps
    size = np.array([rng.uniform(0.8, 1.2), rng.uniform(0.7, 1.2), rng.uniform(0.25, 0.5)])
    angle = np.arange(48) / 48 * 2 * np.pi
    section = superellipse_points(angle, rng.uniform(2.5, 6)) * [size[0] / 2, size[2] / 2]
    bulge = 1 + rng.uniform(-0.15, 0.3) * np.sin(np.pi * share)
    rings = np.stack([np.stack([section[:, 0] * b, np.full(48, s * size[1]), section[:, 1] * b ** 2], 1)
                      for s, b in zip(share, bulge)])
    inner = rings * [1 - 2 * wall / size[0], 1, 1 - 2 * wall / size[2]] + [0, wall, 0]
    inner = np.concatenate([inner[:-1], rings[-1:] * [1 - 2 * wall / size[0], 1, 1 - 2 * wall / size[2]] + [0, 0.5, 0]])
    body = loft(rings).as_original()
    straps = []
    for side in (-1, 1):
        arc = np.linspace(0, np.pi, 24)
        path = np.stack([np.cos(arc) * size[0] * 0.25, size[1] * 0.95 + np.sin(arc) * rng.uniform(0.2, 0.5),
                         np.full(24, side * (size[2] / 2 - 0.5 * wall) * bulge[-1] ** 2)], 1)
        straps.append(tube(path, 0.03, 1.2, 4, up=(0, 0, 1)))
    return _cut([body] + straps, [loft(inner)])


def packet(rng: np.random.Generator) -> list[Manifold]:
    """What a shop sells: carton, can, tub with its lid, pouch, ball, book; mostly solid, some with thin flaps."""
    kind = rng.integers(7)
    size = np.array([rng.uniform(0.4, 1.2), rng.uniform(0.3, 1.4), rng.uniform(0.1, 0.8)])
    if kind <= 1:  # carton
        body = box(size, rounding=rng.choice([0, rng.uniform(0.01, 0.1)])).as_original()
        if rng.random() < 0.3:  # gable with a thin fin
            ridge = np.array([[x * size[0] / 2, size[1] / 2 + 0.3, 0] for x in (-1, 1)])
            base = np.array([[x * size[0] / 2, size[1] / 2 - 0.02, z * size[2] / 2] for x in (-1, 1) for z in (-1, 1)])
            fin = box((size[0], 0.2, 0.03), (0, size[1] / 2 + 0.35, 0))
            return [body, Manifold.hull_points(np.concatenate([ridge, base])), fin]
        return [body]
    if kind == 2:  # can: sunken ends, a raised edge
        radius = size[0] * 0.4
        body = rod((0, 0, 0), (0, size[1], 0), radius, segments=56).as_original()
        dents = [rod((0, end - 0.03, 0), (0, end + 0.03, 0), 0.9 * radius, segments=48) for end in (0, size[1])]
        return [body - union(*dents)]
    if kind == 3:  # tub or jar with a wider lid
        radii, heights = wall_radii(str(rng.choice(("mug", "cup"))), rng)
        outer = vessel_profiles(radii, heights, 0.05, 0.05)[0]
        factor = outline_factor(rng)
        lid = [(0, 0.96), (radii[-1] * 1.05, 0.96), (radii[-1] * 1.05, 1.05), (0, 1.05)]
        return [lathe(outer, 56, factor).as_original(), lathe(lid, 56, factor).as_original()]
    if kind == 4:  # pouch: a cushion with thin sealed edges
        angle = np.arange(64) / 64 * 2 * np.pi
        share = np.linspace(-1, 1, 28)
        thick = 0.5 * size[2] * np.sqrt(np.maximum(1 - np.abs(share) ** rng.uniform(2, 5), 0)) + 0.015
        section = superellipse_points(angle, 6) * [size[0] / 2, 1]
        thinner = np.maximum(1 - np.abs(section[:, 0] / section[:, 0].max()) ** 3, 0.05)
        rings = [
            np.stack([section[:, 0],
                      np.full(64, s * size[1] / 2), section[:, 1] * np.maximum(t * thinner, 0.012)], 1)
            for s, t in zip(share, thick)
        ]
        return [loft(rings).as_original()]
    if kind == 5:  # ball, fruit
        radii = rng.uniform(0.7, 1, 3)
        body = ball(radii, segments=56)
        lobes, deep = rng.integers(3, 10), rng.uniform(0, 0.06)
        body = body.warp_batch(lambda points: reshaped(points, lambda angle: 1 + deep * np.cos(lobes * angle)))
        stem = tube(curve([(0, 0.8 * radii[1], 0), (0.02, 1.1 * radii[1], 0), (0.1, 1.3 * radii[1], 0.05)], 12), 0.05)
        return [body.as_original()] + [stem] * (rng.random() < 0.5)
    # Book, laptop or folding sign: two thin panels on one edge.
    thick, depth = rng.uniform(0.03, 0.12), rng.uniform(0.5, 0.9)
    panel = box((1, thick, depth), (0, 0, depth / 2), 0.3 * thick)
    opened = rng.uniform(40, 150)
    other = rotated(panel, 0, -opened)
    both = [panel.as_original(), other.as_original(), rod((-0.5, 0, 0), (0.5, 0, 0), 0.5 * thick, segments=16)]
    if rng.random() < 0.3:
        return [rotated(union(*both), 0, (180 - opened) / 2 + 90)]
    return both


def sheet(rng: np.random.Generator) -> list[Manifold]:
    """Thin curved sheets: leaf, dish, saddle, folded card, flag, umbrella, screen; with a stand in some."""
    wide, high, thick = rng.uniform(0.6, 1.2), rng.uniform(0.6, 1.2), rng.uniform(0.025, 0.06)
    side = 40
    u, v = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij")
    kind, depth = rng.integers(4), rng.uniform(0.1, 0.5)
    if kind == 0:
        lift = depth * sum(
            rng.normal() * np.sin(rng.uniform(1, 4) * (u * np.cos(t) + v * np.sin(t)) + rng.uniform(0, 7))
            for t in rng.uniform(0, 3, 3)) / 2
    elif kind == 1:
        lift = depth * (u ** 2 + rng.choice([-1, 0, 1]) * v ** 2)
    elif kind == 2:
        lift = depth * np.abs(u)
    else:
        lift = depth * 0.5 * np.sin(rng.uniform(2, 8) * u)
    narrow = 1.0
    if rng.random() < 0.5:  # a square's sides drawn in to a leaf or a disc
        narrow = (1 - np.abs(v) ** rng.uniform(1.5, 4)) ** 0.5 * 0.97 + 0.03
    front = np.stack([u * wide * narrow, v * high, lift], -1)
    normal = unit(np.cross(np.gradient(front, axis=0), np.gradient(front, axis=1)))
    solid = slab(front + thick / 2 * normal, front - thick / 2 * normal).as_original()
    if rng.random() < 0.35:
        return [solid.rotate([-90.0, 0, 0])]
    parts = [solid.rotate([rng.uniform(-20, 10), 0, 0])]
    if rng.random() < 0.5:  # on a pole with a foot
        parts.append(group(rod((0, -high - 0.5, 0.02), (0, -0.4 * high, 0.02), 0.04),
                           rod((0, -high - 0.52, 0.02), (0, -high - 0.46, 0.02), 0.45, segments=40)))
    return parts


def lamp(rng: np.random.Generator) -> list[Manifold]:
    """Lamp, plant, umbrella or candlestick: a foot, a pole, and a hollow or leafy top."""
    tall, pole = rng.uniform(0.8, 1.8), rng.uniform(0.025, 0.06)
    foot = rod(
    (0, 0, 0), (0, rng.uniform(
        0.04, 0.12), 0), rng.uniform(
            0.25, 0.45), rng.uniform(
                0.15, 0.4), 40).as_original()
    kind = rng.random()
    if kind < 0.55:
        bend = rng.choice([0, rng.uniform(0.1, 0.5)])
        path = curve([(0, 0.02, 0), (0, 0.6 * tall, 0), (0.5 * bend, tall, 0),
                      (bend, tall - 0.3 * bend, 0)] if bend else [(0, 0.02, 0), (0, 0.5 * tall, 0), (0, tall, 0)], 24)
        share = np.linspace(0, 1, 16)
        low, top, deep = rng.uniform(0.3, 0.6), rng.uniform(0.1, 0.3), rng.uniform(0.3, 0.6)
        radii = low + (top - low) * share ** rng.uniform(0.5, 2)
        outer = np.concatenate([[(0, 0)], np.stack([radii, deep * share], 1), [(0, deep)]])
        wall = rng.uniform(0.02, 0.04)
        hollow = np.concatenate([[(0, -0.5)], [(radii[0] - wall, -0.5)],
                                 np.stack([radii - wall, (deep - 2 * wall) * share], 1), [(0, deep - 2 * wall)]])
        shade = (lathe(outer, 48).as_original() - lathe(hollow, 48)
                 ).translate((path[-1] - [0, 0.75 * deep if not bend else deep - wall, 0]).tolist())
        return [foot, tube(path, pole).as_original(), shade, ball(0.09, path[-1] - [0, 0.5 * deep, 0], 20)]
    pot, cavity = (
    lathe(
        profile, 48) for profile in vessel_profiles(
            np.linspace(
                0.25, 0.35, 8), np.linspace(
                    0, 0.5, 8), 0.04, 0.05))
    soil = rod((0, 0.1, 0), (0, 0.4, 0), 0.28, segments=32)
    leaves = []
    for turn in np.arange(rng.integers(4, 12)) * 2.4:
        out, rise, wide = rng.uniform(0.3, 0.8), rng.uniform(0.3, 1.2), rng.uniform(0.06, 0.14)
        path = curve([(0, 0.3, 0), (0.4 * out, 0.4 + 0.8 * rise, 0), (out, 0.4 + rise * rng.uniform(0.4, 1.1), 0)], 16)
        width = wide * np.sin(np.linspace(0.3, np.pi - 0.1, 16)) + 0.01
        leaf = tube(path, 0.02, up=(1e-3, 1, 0), aspect=1.0) if kind < 0.65 else _leaf(path, width)
        leaves.append(leaf.rotate([0.0, float(np.degrees(turn)), 0.0]))
    return [pot.as_original() - cavity, soil, group(*leaves)]


def _leaf(path, width):
    """A thin blade along a path in the plane z = 0, `width` (N,) its half width along z."""
    tangent = unit(np.gradient(path, axis=0))
    normal = np.cross([0, 0, 1.0], tangent)
    corners = superellipse_points(np.arange(12) / 12 * 2 * np.pi, 2)
    across = width[:, None, None] * corners[None, :, 1:] * np.array([0, 0, 1.0])
    rings = path[:, None] + 0.014 * corners[None, :, :1] * normal[:, None] + across
    return loft(rings)


def tubes(rng: np.random.Generator) -> list[Manifold]:
    """Bent pipes, rings, coils, horseshoes and hoses; some hollow."""
    kind, radius = rng.random(), rng.uniform(0.06, 0.2)
    if kind < 0.3:
        angle = np.arange(64) / 64 * 2 * np.pi
        wobble = rng.uniform(0, 0.3) * np.cos(rng.integers(2, 5) * angle)
        sway = rng.uniform(0, 0.3) * np.sin(2 * angle)
        path = np.stack([np.cos(angle) * (1 + wobble), sway, np.sin(angle) * (1 + wobble)], 1)
        solid = tube(path, radius, rng.uniform(0.4, 2), rng.choice([2, 5]), up=(0, 1, 0), closed=True)
        return [rotated(solid, 0, 90 * rng.integers(2))]
    if kind < 0.5:
        turns = rng.uniform(2, 4.5)
        angle = np.linspace(0, turns * 2 * np.pi, 150)
        path = np.stack([np.cos(angle), angle / (2 * np.pi) * rng.uniform(2.4, 4) * radius, np.sin(angle)], 1)
        return [tube(path, radius, segments=12)]
    points, heading = [np.zeros(3)], unit(rng.normal(size=3))
    for _ in range(rng.integers(3, 7)):  # turns gently enough for a pipe to follow
        points.append(points[-1] + heading * rng.uniform(0.6, 1.2))
        heading = unit(heading + 0.55 * rng.normal(size=3) * [1, 0.6, 1])
    path = curve(points, 48)
    width = min(0.5 * radius * np.ptp(path, 0).max(), 0.22)
    solid = tube(path, width, power=rng.choice([2, 6]), segments=24)
    if rng.random() < 0.6:
        ends = [path[0] - 0.3 * (path[1] - path[0]), path[-1] + 0.3 * (path[-1] - path[-2])]
        core = np.concatenate([ends[:1], path, ends[1:]])
        solid = solid - tube(core, width * rng.uniform(0.6, 0.85), segments=24)
    return [solid]
