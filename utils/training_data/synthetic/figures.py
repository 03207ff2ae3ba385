"""Procedural figures and animals: chains of limbs that melt into bodies, with hats, skirts, fins and wings.

Each family is a function of a random generator that returns a list of `manifold3d.Manifold`, the object's parts: the
caller unites, normalizes and paints them part by part, so sizes are free.
"""
import numpy as np
from manifold3d import Manifold

from utils.training_data.synthetic.solids import (
    ball,
    blend,
    box,
    curve,
    extrude,
    group,
    lathe,
    loft,
    rod,
    rotated,
    superellipse_points,
)

ROUND = (1.0, 1.0, 1.0)


def figure(rng: np.random.Generator) -> list[Manifold]:
    """Biped: toy, statuette, robot; head, trunk, arms and legs in a pose."""
    leg_length, trunk, girth = rng.uniform(0.3, 0.9), rng.uniform(0.5, 0.9), rng.uniform(0.14, 0.34)
    head, stance = rng.uniform(0.14, 0.4), rng.uniform(0.08, 0.3)
    hip, shoulder = leg_length, leg_length + trunk
    thick = rng.uniform(0.3, 0.75) * girth
    flat = (1, 1, rng.uniform(0.65, 1))
    limbs = [
        ((0, hip, 0), (0, shoulder - 0.4 * girth, 0), girth * rng.uniform(0.7, 1.2), girth, flat),
        ((0, shoulder + 0.7 * head, 0.02), (0, shoulder + 0.9 * head, 0.02), head, head * rng.uniform(0.7, 1), ROUND),
        ((0, shoulder - 0.1, 0), (0, shoulder + 0.5 * head, 0), 0.45 * girth, 0.4 * girth, ROUND)
    ]
    for side in (-1, 1):
        swing = rng.uniform(-0.25, 0.25)
        knee = (side * (stance + 0.02), 0.5 * leg_length, swing)
        foot = (side * (stance + 0.05), 0.07, swing * rng.uniform(0, 1.6))
        limbs += [((side * 0.5 * girth, hip, 0), knee, thick, 0.85 * thick, ROUND),
                  (knee, foot, 0.85 * thick, 0.7 * thick, ROUND),
                  (foot, np.add(foot, (0.02 * side, -0.02, rng.uniform(0.1, 0.25))), 0.75 * thick, 0.6 * thick, ROUND)]
        raise_ = rng.uniform(-1.3, 1.0)
        arm = 0.45 * trunk * rng.uniform(0.7, 1.2)
        elbow = np.array([side * (girth + arm * np.cos(raise_)), shoulder - 0.15 + arm * np.sin(raise_),
                          rng.uniform(-0.1, 0.15)])
        bend = raise_ + rng.uniform(-0.5, 1.2)
        hand = elbow + [side * arm * np.cos(bend) * rng.uniform(-0.3, 1), arm * np.sin(bend), rng.uniform(-0.1, 0.4)]
        limbs += [((side * 0.8 * girth, shoulder - 0.15, 0), elbow, 0.7 * thick, 0.6 * thick, ROUND),
                  (elbow, hand, 0.6 * thick, 0.5 * thick, ROUND), (hand, hand, 0.8 * thick, 0.8 * thick, ROUND)]
    crown = (0, shoulder + 1.5 * head, 0)
    if rng.random() < 0.4:  # ears or horns
        reach, spread = rng.uniform(0.2, 1.4) * head, rng.uniform(0.2, 0.8)
        limbs += [((s * 0.6 * head, crown[1], 0), (s * (0.6 + spread) * head, crown[1] + reach, 0), 0.25 * head,
                   rng.uniform(0.05, 0.25) * head, ROUND) for s in (-1, 1)]
    parts = [_separate_or_blend(limbs, rng)]
    if rng.random() < 0.35:  # hat
        brim = rng.uniform(0.9, 1.6) * head
        parts.append(
            group(
                rod(np.add(crown, (0, -0.1 * head, 0)), np.add(crown, (0, 0, 0)), brim, segments=32),
                rod(crown, np.add(crown, (0, rng.uniform(0.3, 1) * head, 0)), 0.7 * head,
                    rng.uniform(0.1, 0.7) * head, 32)))
    if rng.random() < 0.3:
        parts.append(
            group(
                *[ball(0.16 * head, (s * 0.4 * head, shoulder + 0.95 * head, 0.02 + 0.88 * head), 16)
                  for s in (-1, 1)]))
    if rng.random() < 0.25:
        parts.append(rod((0, -0.06, 0), (0, 0.03, 0), stance + 0.35, segments=40))  # pedestal
    if rng.random() < 0.2:  # staff, sword
        parts.append(rod(hand - [0, rng.uniform(0.2, 0.7), 0.1], hand + [0, rng.uniform(0.3, 0.9), 0.1], 0.035))
    if rng.random() < 0.15:  # cape or skirt, thin
        parts.append(_skirt(hip + 0.3 * trunk, girth, rng))
    return parts


def _skirt(top, girth, rng):
    share = np.linspace(0, 1, 12)
    radii, heights = girth * (2.2 - 1.2 * share), top * (0.4 + 0.6 * share)
    outer = np.concatenate([np.stack([radii, heights], 1), np.stack([radii - 0.05, heights], 1)[::-1]])
    return lathe(outer, 40, None).as_original()


def _separate_or_blend(limbs, rng):
    """The limbs melted together, or as balls and cones that keep their edges."""
    if rng.random() < 0.75:
        return blend(limbs, rng.uniform(0.02, 0.12), 64).as_original()
    solids = []
    for start, end, first, last, stretch in limbs:
        joint = [ball(first * np.asarray(stretch), start, 24), ball(last * np.asarray(stretch), end, 24)]
        solids.append(Manifold.batch_hull(joint))
    return group(*solids)


def animal(rng: np.random.Generator) -> list[Manifold]:
    """Quadruped from mouse to giraffe and dinosaur: trunk, neck, head, ears or horns, tail."""
    length, leg_length = rng.uniform(0.6, 1.2), rng.uniform(0.15, 0.8)
    girth, thick = rng.uniform(0.16, 0.4), rng.uniform(0.05, 0.13)
    hip = leg_length + 0.5 * girth
    front, back = np.array([0, hip * rng.uniform(0.95, 1.15), length / 2]), np.array([0, hip, -length / 2])
    neck = front + [0, rng.uniform(0.05, 0.8), rng.uniform(0.1, 0.4)]
    head = neck + [0, rng.uniform(-0.1, 0.1), rng.uniform(0.08, 0.35)]
    size = rng.uniform(0.09, 0.25)
    limbs = [(back, front, girth * rng.uniform(0.7, 1.2), girth, (rng.uniform(0.75, 1.1), 1, 1)),
             (front, neck, 0.7 * girth, rng.uniform(0.5, 1) * size, ROUND),
             (neck, head, size, rng.uniform(0.5, 0.9) * size, ROUND)]
    for side in (-1, 1):
        for place, end in ((back, -1), (front, 1)):
            stride = rng.uniform(-0.15, 0.15)
            top = place + [side * 0.6 * girth, -0.2 * girth, 0]
            knee = np.array([side * 0.65 * girth, 0.5 * leg_length, place[2] + stride - 0.04 * end])
            foot = np.array([side * 0.65 * girth, thick * 0.6, place[2] + stride])
            limbs += [(top, knee, 1.4 * thick, thick, ROUND), (knee, foot, thick, 0.8 * thick, ROUND),
                      (foot, foot + [0, 0, 0.07], 0.9 * thick, 0.8 * thick, ROUND)]
        reach = rng.uniform(0.5, 2.2) * size
        ear = neck + [side * 0.6 * size, 0.7 * size, 0]
        limbs.append((ear, ear + [side * reach * rng.uniform(0, 0.8), reach, rng.uniform(-0.1, 0.1)], 0.3 * size,
                      rng.uniform(0.1, 0.4) * size, (1, 1, rng.uniform(0.5, 1))))
    tail = curve([
        back, back + [0, rng.uniform(-0.2, 0.3), -0.3],
        back + [rng.uniform(-0.2, 0.2), rng.uniform(-0.3, 0.7), -rng.uniform(0.3, 0.9)]
    ], 7)
    radii = np.linspace(rng.uniform(0.2, 0.7) * girth, rng.uniform(0.02, 0.08), 7)
    limbs += [(tail[i], tail[i + 1], radii[i], radii[i + 1], ROUND) for i in range(6)]
    parts = [_separate_or_blend(limbs, rng)]
    if rng.random() < 0.3:
        eye = neck + [0, 0.4 * size, 0.5 * size]
        parts.append(group(*[ball(0.2 * size, eye + [s * 0.7 * size, 0, 0], 16) for s in (-1, 1)]))
    if rng.random() < 0.15:  # plates along the spine
        fins = [extrude([[(-0.1, 0), (0.1, 0), (0, rng.uniform(0.15, 0.35))]], 0.04, 0).translate(
            (back + (front - back) * s + [0, 0.9 * girth, 0]).tolist()) for s in np.linspace(0, 1, 6)]
        parts.append(group(*fins))
    return parts


def swimmer(rng: np.random.Generator) -> list[Manifold]:
    """Fish, bird, whale or insect: a streamlined body with thin wings, fins and a tail."""
    length, girth = 1.0, rng.uniform(0.12, 0.3)
    share = (1 - np.cos(np.linspace(0, np.pi, 30))) / 2
    radii = girth * np.sqrt(np.maximum(share ** rng.uniform(0.6, 1.2) * (1 - share) ** rng.uniform(0.4, 0.9), 0)) * 2
    angle = np.arange(40) / 40 * 2 * np.pi
    wide, high = rng.uniform(0.4, 1.2), rng.uniform(0.7, 1.2)
    section = superellipse_points(angle, rng.uniform(1.8, 3)) * [wide, high]
    sway = rng.uniform(-0.2, 0.2) * np.sin(share * np.pi * rng.uniform(1, 2))
    rings = [np.stack([section[:, 0] * max(r, 0.012) + sway[i], section[:, 1] * max(r, 0.012),
                       np.full(40, (share[i] - 0.5) * 2 * length)], 1) for i, r in enumerate(radii)]
    parts = [loft(rings).as_original()]
    thick = rng.uniform(0.02, 0.05)
    wing = blade(rng.uniform(0.2, 0.9), rng.uniform(0.15, 0.5), rng.uniform(-0.3, 0.3), thick, rng.uniform(0.3, 0.8))
    wing = wing.rotate([0, 0, rng.uniform(-30, 50)]).translate([wide * girth * 0.3, 0, 0.1])
    parts.append(group(wing, wing.mirror([1, 0, 0])))
    tail = blade(rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.35), -0.25, thick, rng.uniform(0.3, 1.2))
    both = group(tail, tail.mirror([1, 0, 0])).translate([sway[0], 0, -0.88 * length])
    if rng.random() < 0.5:
        both = rotated(both.translate([-sway[0], 0, 0]), 2, 90).translate([sway[0], 0, 0])
    parts.append(both)
    if rng.random() < 0.6:
        fin = rotated(blade(rng.uniform(0.2, 0.45) + girth, rng.uniform(0.15, 0.4), -0.15, thick, 0.4), 2, 90)
        parts.append(fin.as_original())
    if rng.random() < 0.35:  # stands on legs
        parts.append(group(*[rod((s * 0.08, 0, 0), (s * 0.1, -girth * high - 0.35, 0), 0.025) for s in (-1, 1)],
                           *[box((0.1, 0.03, 0.2), (s * 0.1, -girth * high - 0.35, 0.05)) for s in (-1, 1)]))
    return parts


def blade(span: float, chord: float, sweep: float, thick: float, taper: float) -> Manifold:
    """A wing from x = 0 to x = span: an airfoil section of `chord` along z, swept by `sweep`."""
    angle = np.arange(24) / 24 * 2 * np.pi
    rings = []
    for share in np.linspace(0, 1, 9):
        width = chord * (1 + (taper - 1) * share) * (1 if share < 0.95 else 0.7)
        rings.append(np.stack([np.full(24, share * span), thick / 2 * np.sin(angle) * (1.2 - 0.4 * share),
                               width / 2 * np.cos(angle) + sweep * share], 1))
    return loft(rings)
