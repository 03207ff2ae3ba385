"""Procedural vessels with thin walls: mugs, bowls, vases, pitchers, pots under lids, bottles, plates.

What is inside them six silhouettes cannot tell; shade, rims and the network must.

Each family is a function of a random generator that returns a list of `manifold3d.Manifold`, the object's parts: the
caller unites, normalizes and paints them part by part, so sizes are free.
"""
from collections.abc import Callable

import numpy as np
from manifold3d import Manifold

from utils.training_data.synthetic.solids import (
    ball,
    curve,
    group,
    lathe,
    rod,
    rotated,
    superellipse_points,
    tube,
    union,
    unit,
    vessel_profiles,
)

KINDS = ("mug", "cup", "bowl", "vase", "pitcher", "pot", "bucket", "basin", "goblet")
KIND_WEIGHTS = (5, 2, 3, 2, 3, 2, 1, 1, 1)


def vessel(rng: np.random.Generator) -> list[Manifold]:
    """Mug, cup, bowl, vase, pitcher, pot or bucket, open at the top, with or without handles and spout."""
    kind = str(rng.choice(KINDS, p=np.divide(KIND_WEIGHTS, sum(KIND_WEIGHTS))))
    return vessel_of(kind, rng)


def vessel_of(kind: str, rng: np.random.Generator, handles: int | None = None, section: str = "any") -> list[Manifold]:
    """The parts of one kind of vessel: `handles` (None: as its kind has them), `section` "any" or "round"."""
    radii, heights = wall_radii(kind, rng)
    wall = rng.uniform(0.012, 0.06) * (1.6 if rng.random() < 0.2 else 1)
    outer, inner = vessel_profiles(radii, heights, wall, rng.uniform(1, 2) * wall if kind != "goblet" else 0.46)
    factor = outline_factor(rng) if section == "any" else None
    segments = 48 if factor is None else 72
    body, cavity = lathe(outer, segments, factor).as_original(), lathe(inner, segments, factor)
    parts, cutters, rims = [body], [cavity], []
    if rng.random() < 0.3:  # a rolled rim
        ring = np.arange(48) / 48 * 2 * np.pi
        scale = np.ones(48) if factor is None else factor(ring)
        path = np.stack([np.cos(ring) * scale * (radii[-1] - wall / 2), np.full(48, 1.0),
                         np.sin(ring) * scale * (radii[-1] - wall / 2)], 1)
        rims.append(tube(path, wall * rng.uniform(0.6, 1.1), up=(0, 1, 0), segments=10, closed=True))
    if handles is None:
        handles = {"mug": 1, "cup": rng.integers(0, 2), "pitcher": 1, "pot": 2 * rng.integers(0, 2),
                   "vase": 2 * (rng.random() < 0.3)}.get(kind, 0)
    width = np.ones(2) if factor is None else factor(np.array([0.0, np.pi]))
    high, low = rng.uniform(0.8, 0.93), rng.uniform(0.1, 0.4)
    shift = 0.5 * wall
    if handles:
        bulge = rng.uniform(0.2, 0.4) * (0.8 if kind == "vase" else 1)
        low = low if kind != "pot" else high - rng.uniform(0.2, 0.35)
        ends = [(np.interp(level, heights, radii) * width[0] - shift, level) for level in (high, low)]
        grip = handle(*ends, bulge, rng)
        parts.append(grip)
        if handles > 1:
            parts.append(rotated(grip, 1, 180))
    if kind == "pitcher":
        if rng.random() < 0.4:
            outside, inside = spout(radii * width[1], heights, rng)
            parts.append(outside)
            cutters.append(inside)
        else:  # a lip drawn out of the rim
            warp = _lip(rng.uniform(0.3, 0.8))
            return [solid.warp_batch(warp) for solid in _cut(parts, cutters) + rims]
    if kind == "bucket" and rng.random() < 0.8:
        ear, tilt = radii[-1] - 0.3 * wall, rng.uniform(0.05, 1)
        arc = np.linspace(0, np.pi, 30)
        path = np.stack([np.cos(arc) * ear, 0.93 + 1.1 * ear * np.sin(arc) * np.cos(tilt),
                         1.1 * ear * np.sin(arc) * np.sin(tilt)], 1)
        rims.append(tube(path, rng.uniform(0.018, 0.035), up=(1e-3, 0.1, 1)))  # over the mouth, which is cut out
    return _cut(parts, cutters) + rims


def wall_radii(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Outer wall of a kind of vessel from its foot up: radii (N,) and heights (N,), rising."""
    low, high = {
        "mug": (0.35, 0.55),
        "cup": (0.4, 0.7),
        "bowl": (0.9, 1.6),
        "vase": (0.25, 0.45),
        "pitcher": (0.3, 0.5),
        "pot": (0.5, 0.9),
        "bucket": (0.4, 0.6),
        "basin": (1.0, 2.0),
        "goblet": (0.25, 0.5)
    }[kind]
    radius = rng.uniform(low, high)
    share = np.linspace(0, 1, 28)
    if kind == "goblet":  # its cavity begins above the stem
        bowl = wall_radii("cup", rng)[0]
        stem, foot = rng.uniform(0.04, 0.1), rng.uniform(0.5, 0.9)
        share = np.concatenate([np.linspace(0, 0.06, 6), np.linspace(0.1, 0.4, 6), np.linspace(0.44, 1, 28)])
        radii = np.concatenate([
            np.linspace(foot, foot - 0.05, 3),
            np.linspace(foot - 0.1, 2 * stem, 3),
            np.full(6, stem), bowl / bowl.max()
        ])
    elif kind in ("bowl", "basin", "cup"):
        foot, power = rng.uniform(0.25, 0.75), rng.uniform(1.5, 4)
        radii = foot + (1 - foot) * (1 - (1 - share) ** power) ** (1 / power)
    elif kind in ("mug", "bucket", "pot") and rng.random() < 0.6:
        radii = 1 + rng.uniform(-0.3, 0.15) * (1 - share)
        corner = rng.uniform(0.02, 0.3)
        radii = radii - corner * np.maximum(1 - share / 0.15, 0) ** 2
    else:
        knots = rng.uniform(0.5 if kind == "mug" else 0.3, 1, 5)
        radii = curve(np.stack([np.linspace(0, 1, 5), knots, np.zeros(5)], 1), 28)[:, 1].clip(0.15, 1.4)
    return radius * radii / radii.max(), share


def handle(start: tuple[float, float], end: tuple[float, float], bulge: float, rng: np.random.Generator) -> Manifold:
    """A strap from one (x, y) to another in the plane z = 0, bulging towards +x by `bulge`."""
    (x0, y0), (x1, y1) = start, end
    out, drop = max(x0, x1) + bulge, y0 - y1
    kind = rng.random()
    if kind < 0.5:  # ear
        points = [(x0, y0), (out - 0.3 * bulge, y0 + rng.uniform(0, 0.1) * drop),
                  (out, y0 - rng.uniform(0.3, 0.5) * drop), (out - rng.uniform(0.2, 0.5) * bulge, y1 + 0.1 * drop),
                  (x1, y1)]
    elif kind < 0.8:  # round
        middle = (y0 + y1) / 2
        points = [(x0, y0), (out - 0.25 * bulge, y0 - 0.12 * drop), (out, middle),
                  (out - 0.25 * bulge, y1 + 0.12 * drop), (x1, y1)]
    else:  # square
        points = [(x0, y0), (out - 0.15 * bulge, y0), (out, y0 - 0.15 * drop), (out, y1 + 0.15 * drop),
                  (out - 0.15 * bulge, y1), (x1, y1)]
    path = curve([(x, y, 0) for x, y in points], 30)
    thickness = rng.uniform(0.12, 0.3) * bulge
    return tube(path, thickness, rng.uniform(0.8, 2.2), rng.choice([2.0, rng.uniform(2, 6)]), up=(1, 1e-3, 0))


def spout(radii: np.ndarray, heights: np.ndarray, rng: np.random.Generator) -> tuple[Manifold, Manifold]:
    """A pouring tube from the wall towards -x: outer and inner solid."""
    top = heights[-1]
    at = rng.uniform(0.2, 0.55)
    x = -np.interp(at, heights, radii)
    reach, tip = rng.uniform(0.35, 0.7), rng.uniform(0.85, 1.1) * top
    path = curve([(x + 0.12, at - 0.03, 0), (x - 0.35 * reach, at + 0.1, 0),
                  (x - 0.7 * reach, (at + tip) / 2 + 0.05, 0), (x - reach, tip, 0)], 24)
    width = np.interp(np.linspace(0, 1, 24), [0, 0.4, 1], [rng.uniform(0.12, 0.2), 0.1, rng.uniform(0.06, 0.09)])
    wall = rng.uniform(0.2, 0.35)
    longer = np.concatenate([path[:1] + 0.1 * unit(path[:1] - path[1:2]),
                            path, path[-1:] + unit(path[-1:] - path[-2:-1])])
    inside = np.concatenate([width[:1], width, width[-1:]]) * (1 - wall)
    return tube(path, width), tube(longer[:-1], inside[:-1]).as_original() + rod(
        path[-2], path[-1] + 0.3 * unit(path[-1] - path[-2]), width[-1] * (1 - wall), width[-1] * (1 - wall) * 1.2, 16)


def outline_factor(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray] | None:
    """None for a round section, or a function of angles for one with lobes or corners."""
    if rng.random() < 0.72:
        return None
    if rng.random() < 0.5:
        lobes, depth, phase = rng.integers(3, 24), rng.uniform(0.02, 0.1), rng.uniform(0, 7)
        depth = depth * min(1, 6 / lobes)
        return lambda angle: 1 + depth * np.cos(lobes * angle + phase)
    power, stretch = rng.uniform(2, 8), rng.uniform(0.6, 1)
    return lambda angle: np.linalg.norm(superellipse_points(angle, power) * [1, stretch], axis=1)


def _cut(parts, cutters):
    """The united parts less the united cutters, as one solid: walls keep the part they came from, cavities theirs."""
    return [union(*parts) - union(*cutters)]


def _lip(amount):
    """Warp that draws the rim out towards -x."""
    def warp(points):
        angle = np.arctan2(points[:, 2], -points[:, 0])
        out = amount * np.exp(-(angle / 0.4) ** 2) * np.clip((points[:, 1] - 0.65) / 0.35, 0, 1.2) ** 2
        moved = points.copy()
        moved[:, 0] -= out * np.hypot(points[:, 0], points[:, 2])
        return moved
    return warp


def lidded(rng: np.random.Generator) -> list[Manifold]:
    """Teapot, jar, canister or pot under its lid; closed, so nothing is cut out of it, or with the lid ajar."""
    kind = str(rng.choice(("pitcher", "pot", "bowl", "mug", "vase")))
    radii, heights = wall_radii(kind, rng)
    wall, factor = rng.uniform(0.03, 0.06), outline_factor(rng)
    outer, inner = vessel_profiles(radii, heights, wall, 2 * wall)
    body = lathe(outer, 48, factor).as_original()
    rim, rise = radii[-1] * rng.uniform(0.85, 1.12), rng.uniform(0.03, 0.4) * radii[-1]
    share = np.linspace(0, 1, 12)
    dome = np.stack([rim * np.cos(share * np.pi / 2), 0.99 + 0.05 + rise * np.sin(share * np.pi / 2)], 1)
    lid = lathe(np.concatenate([[(0, 0.99), (rim, 0.99)], dome[:-1], [(0, dome[-1, 1])]]), 48, factor).as_original()
    size = rng.uniform(0.06, 0.12)
    knob = ball((size, size * rng.uniform(0.6, 1.2), size), (0, 1.02 + rise + 0.7 * size, 0), 24)
    knob = group(knob, rod((0, 1 + rise - 0.02, 0), (0, 1.03 + rise + 0.3 * size, 0), 0.5 * size))
    parts = [body]
    if rng.random() < 0.5:
        grip = handle((np.interp(0.85, heights, radii) * 0.97, 0.85), (np.interp(0.2, heights, radii) * 0.95, 0.2),
                      rng.uniform(0.2, 0.4), rng)
        parts.append(grip)
        if kind == "pot":
            parts.append(rotated(grip, 1, 180))
        elif rng.random() < 0.7:
            parts.append(spout(radii, heights, rng)[0])
    if rng.random() < 0.6:
        return parts + [lid, knob]
    cavity = lathe(inner, 48, factor)
    lid = union(lid, knob).translate([0, -1, 0])
    tilt = rng.uniform(12, 75)
    lid = rotated(lid.translate([rim, 0, 0]), 2, tilt).translate([-radii[-1] * 0.98, 0.985, 0])
    return _cut(parts, [cavity]) + [lid]


def bottle(rng: np.random.Generator) -> list[Manifold]:
    """Bottle, flask or jug: shoulder and neck, sometimes a hole, a cap, a handle."""
    base, neck = rng.uniform(0.18, 0.4), rng.uniform(0.05, 0.12)
    shoulder, slope = rng.uniform(0.4, 0.8), rng.uniform(0.03, 0.25)
    share = np.linspace(0, 1, 44)
    turn = np.clip((share - shoulder) / slope, 0, 1)
    radii = base + (neck - base) * (turn * turn * (3 - 2 * turn))
    radii = radii - 0.15 * base * np.maximum(1 - share / 0.05, 0) ** 2
    if rng.random() < 0.4:
        radii = radii * (1 + rng.uniform(-0.12, 0.12) * np.sin(share * rng.uniform(4, 14)) * (share < shoulder))
    radii[-4:] += rng.uniform(0, 0.3) * neck
    factor = outline_factor(rng)
    outer, inner = vessel_profiles(radii, share, rng.uniform(0.15, 0.3) * neck, 0.05)
    parts = [lathe(outer, 48, factor).as_original()]
    if rng.random() < 0.2:
        grip = handle((np.interp(0.9, share, radii) * 0.9, 0.9), (np.interp(0.45, share, radii) * 0.95, 0.45), 0.2, rng)
        parts.append(grip)
    if rng.random() < 0.5:
        cap = neck * rng.uniform(1.05, 1.5)
        parts.append(rod((0, 0.95, 0), (0, 1 + rng.uniform(0.02, 0.12), 0), cap, cap * rng.uniform(0.8, 1), 32))
    elif rng.random() < 0.7:
        return _cut(parts, [lathe(inner, 48, factor)])
    return parts


def plate(rng: np.random.Generator) -> list[Manifold]:
    """Plate, saucer, tray or pan: flat, with a raised edge and maybe handles."""
    wall = rng.uniform(0.02, 0.05)
    rise, power = rng.uniform(0.08, 0.35), rng.uniform(2, 8)
    share = np.linspace(0, 1, 20)
    foot = rng.uniform(0.5, 0.93)
    radii = foot + (1 - foot) * share ** rng.uniform(0.4, 1.4)
    outer, inner = vessel_profiles(radii, rise * share, wall, wall)
    stretch = rng.uniform(0.5, 1)
    factor = None if rng.random() < 0.5 else (
        lambda angle: np.linalg.norm(superellipse_points(angle, power) * [1, stretch], axis=1))
    parts, cutters = [lathe(outer, 72, factor).as_original()], [lathe(inner, 72, factor)]
    edge = 1 if factor is None else factor(np.zeros(1))[0]
    kind = rng.random()
    if kind < 0.3:  # pan
        length = rng.uniform(0.7, 1.4)
        path = curve([(edge - 0.03, 0.75 * rise, 0), (edge + 0.4 * length, 0.8 * rise + rng.uniform(0, 0.2), 0),
                      (edge + length, 0.8 * rise + rng.uniform(0, 0.3), 0)], 20)
        grip = tube(path, np.linspace(0.04, rng.uniform(0.04, 0.08), 20), rng.uniform(1, 1.8), 3, up=(0, 1, 0))
        if rng.random() < 0.5:
            grip = grip - rod(path[-3] - [0, 0.3, 0], path[-3] + [0, 0.3, 0], 0.025)
        parts.append(grip)
    elif kind < 0.55:  # two grips
        path = curve([(edge - 0.04, 0.8 * rise, -0.25), (edge + 0.15, 0.9 * rise, -0.15),
                      (edge + 0.15, 0.9 * rise, 0.15), (edge - 0.04, 0.8 * rise, 0.25)], 20)
        grip = tube(path, 0.035, up=(0, 1, 0))
        parts += [grip, rotated(grip, 1, 180)]
    return _cut(parts, cutters)
