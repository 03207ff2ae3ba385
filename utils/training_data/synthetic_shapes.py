"""Balls, boxes, cans, bottles, bowls and cups by the thousand: simple solids that teach what outlines say of depth.

Each is a loft: a profile of radii along an axis times a cross-section, both superellipses (Barr 1981) with a bend or
two, so that ball, cylinder, box and cone are points of one family. Some are hollowed from one end.
"""
import numpy as np

from utils.mesh.mesh import colored_mesh, normalize

RINGS, SPOKES = 40, 64  # of the outer wall
HOLLOW_SHARE = 0.35  # of all shapes
DARKEST = 0.35  # brightness at the bottom of a cavity; scans carry such shade in their textures


def synthetic_shape(rng):
    """One random solid.

    Args:
        rng: np.random.Generator; equal states give equal shapes.
    Returns:
        utils.mesh.mesh.Mesh, closed, normalized, colored at its vertices.
    """
    height = np.sin(np.linspace(-np.pi / 2, np.pi / 2, RINGS))  # close rings at both ends, where profiles turn
    radius = superellipse(height, rng.choice([2.0, rng.uniform(1.3, 4), rng.uniform(6, 30)], p=[0.3, 0.3, 0.4]))
    radius = radius * (1 + rng.uniform(-0.6, 0.6) * (rng.random() < 0.4) * height)  # conical
    if rng.random() < 0.4:  # waists and bellies
        radius = radius * np.interp(height, np.linspace(-1, 1, 5), rng.uniform(0.5, 1.0, 5))
        radius[1:-1] = (radius[:-2] + 2 * radius[1:-1] + radius[2:]) / 4
    angle = np.arange(SPOKES) / SPOKES * 2 * np.pi
    section = outline(angle, rng.choice([2.0, rng.uniform(2, 5), rng.uniform(6, 30)], p=[0.5, 0.2, 0.3]))
    if rng.random() < 0.25:  # lobes
        section = section * (1 + rng.uniform(0.05, 0.3) * np.cos(rng.integers(2, 7) * angle + rng.uniform(0, 7)))
    hollow = rng.random() < HOLLOW_SHARE
    rings = np.stack([radius, height], axis=1)  # (R, 2): from the axis, along it
    if hollow:
        rings = _hollowed(rings, rng)
    inside = np.arange(len(rings)) >= RINGS
    vertices, faces = _loft(rings, section, angle)
    shade = np.where(inside, np.interp(rings[:, 1], [-1, 1], [DARKEST, 1.0]), 1.0)
    colors = _paint(rng, rings[:, 1], angle) * shade[:, None, None]
    colors = np.concatenate([colors.reshape(-1, 3), colors[[0, -1]].mean(axis=1)])
    vertices = vertices * np.exp(0.35 * rng.normal(size=3))
    if rng.random() < (0.15 if hollow else 0.4):  # lying; openings mostly face up
        order, signs = rng.permutation(3), rng.choice([-1.0, 1.0], 3)
        vertices = vertices[:, order] * signs
        if np.linalg.det(np.eye(3)[order]) * signs.prod() < 0:  # mirrored: faces would look inwards
            faces = faces[:, ::-1]
    return colored_mesh(normalize(vertices, faces), faces, colors.clip(0, 1).astype(np.float32))


def superellipse(position, power):
    """Radius at position in [-1, 1] of |r|^power + |position|^power = 1: a circle at 2, towards a square above."""
    return np.maximum(1 - np.abs(position) ** power, 0) ** (1 / power)


def outline(angle, power):
    """Distance from the center at each angle (radians) of the superellipse |x|^power + |y|^power = 1."""
    return (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power)


def _hollowed(rings, rng):
    """The rings of an outer wall, cut off at a rim, continued down the inside to a floor."""
    rim = rng.integers(RINGS // 2, RINGS - 1)
    wall, floor = rng.uniform(0.02, 0.15), rng.integers(1, RINGS // 3)
    outer = rings[:rim + 1]
    inner = outer[floor:][::-1] * [1 - wall, 1.0]
    outer = np.concatenate([outer, np.repeat(outer[-1:], RINGS - len(outer), axis=0)])  # RINGS rings stay outside
    return np.concatenate([outer, inner])


def _loft(rings, section, angle):
    """Closed surface through rings (R, 2) scaled by a section (S,): vertices (R S + 2, 3), faces (F, 3)."""
    count, spokes = len(rings), len(angle)
    across = rings[:, :1] * section
    vertices = np.stack([across * np.cos(angle), np.broadcast_to(rings[:, 1:], across.shape), across * np.sin(angle)],
                        axis=-1).reshape(-1, 3)
    ends = np.array([[0, rings[0, 1], 0], [0, rings[-1, 1], 0]])
    ring, spoke = np.meshgrid(np.arange(count - 1), np.arange(spokes), indexing="ij")
    here, beside = ring * spokes + spoke, ring * spokes + (spoke + 1) % spokes
    above, diagonal = here + spokes, beside + spokes
    walls = np.concatenate([np.stack([here, above, beside], -1), np.stack([beside, above, diagonal], -1)]).reshape(-1, 3)
    first, last = np.arange(spokes), (count - 1) * spokes + np.arange(spokes)
    start, end = count * spokes, count * spokes + 1
    caps = [np.stack([np.full(spokes, start), first, np.roll(first, -1)], -1),
            np.stack([np.full(spokes, end), np.roll(last, -1), last], -1)]
    return np.concatenate([vertices, ends]), np.concatenate([walls] + caps).astype(np.int64)


def _paint(rng, height, angle):
    """(R, S, 3) colors: one, or bands along the axis, or sectors about it."""
    palette, kind = rng.uniform(0.05, 0.95, (4, 3)), rng.random()
    along = np.searchsorted(np.sort(rng.uniform(-1, 1, 3)), height)[:, None]
    about = np.searchsorted(np.sort(rng.uniform(0, 2 * np.pi, 3)), angle)[None]
    index = 0 * along + 0 * about if kind < 0.4 else along + 0 * about if kind < 0.7 else 0 * along + about
    return palette[index]
