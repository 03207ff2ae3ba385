"""Procedural vehicles and tools: wheels and axles, wings and struts, handles, blades, tines and rings.

Each family is a function of a random generator that returns a list of `manifold3d.Manifold`, the object's parts: the
caller unites, normalizes and paints them part by part, so sizes are free.
"""
import numpy as np
from manifold3d import CrossSection, Manifold

from utils.training_data.synthetic.figures import blade
from utils.training_data.synthetic.furniture import slats
from utils.training_data.synthetic.solids import (
    ball,
    box,
    curve,
    extrude,
    group,
    loft,
    rod,
    rotated,
    superellipse_points,
    tube,
    union,
)


def wheel(radius: float, width: float, rng: np.random.Generator) -> Manifold:
    """A wheel about the x axis: disc, tire, or with spokes and holes."""
    solid = rod((-width / 2, 0, 0), (width / 2, 0, 0), radius, segments=36)
    kind = rng.random()
    if kind < 0.35:
        dent = rod((0.25 * width, 0, 0), (width, 0, 0), 0.65 * radius, segments=28)
        return solid - dent - dent.mirror([1, 0, 0]) + rod((-width / 2, 0, 0), (width / 2, 0, 0), 0.2 * radius)
    if kind < 0.6:
        hole = solid - rod((-width, 0, 0), (width, 0, 0), 0.78 * radius, segments=32)
        spokes = [rotated(box((0.5 * width, 1.8 * radius, 0.12 * radius)), 0, turn) for turn in np.arange(3) * 60]
        return union(hole, rod((-width / 2, 0, 0), (width / 2, 0, 0), 0.2 * radius), *spokes)
    return solid


def car(rng: np.random.Generator) -> list[Manifold]:
    """Car, truck, bus or cart on wheels; body, cabin, bumpers, bed; wheel arches in some."""
    length, width, radius = rng.uniform(1.4, 2.4), rng.uniform(0.6, 1.0), rng.uniform(0.14, 0.32)
    low, high = rng.uniform(0.6, 1.2) * radius, rng.uniform(0.25, 0.5)
    soft = rng.uniform(0.01, 0.12)
    kind = rng.random()
    body = box((width, high, length), (0, low + high / 2, 0), soft).as_original()
    axle = length * rng.uniform(0.28, 0.38)
    parts, extras = [body], []
    roof = low + high
    if kind < 0.45:  # car: cabin as a tapered loft
        back, front, tall = -length * rng.uniform(0.2, 0.48), length * rng.uniform(0.05, 0.3), rng.uniform(0.2, 0.4)
        slope, shrink = rng.uniform(0, 0.3), rng.uniform(0.7, 0.95)
        lower = np.array([[-1, back], [1, back], [1, front], [-1, front]]) * [width * 0.47, 1]
        upper = np.array([[-1, back + slope * 0.7], [1, back + slope * 0.7],
                         [1, front - slope], [-1, front - slope]]) * [width * 0.47 * shrink, 1]
        cabin = Manifold.hull_points(np.concatenate(
            [np.insert(lower, 1, roof - 0.03, 1), np.insert(upper, 1, roof + tall, 1)]))
        if rng.random() < 0.4:
            cabin = cabin - box((2 * width, 0.55 * tall, 0.7 * (front - back - slope)),
                                (0, roof + 0.5 * tall, (front + back) / 2 - 0.1 * slope))
            cabin = cabin + box((0.6 * width, 0.1, 0.3), (0, roof, (front + back) / 2))
        parts.append(cabin.as_original())
    elif kind < 0.7:  # truck with a bed
        cab = rng.uniform(0.25, 0.4) * length
        center = (0, roof + 0.15, length / 2 - cab / 2 - 0.05)
        parts.append(box((width, rng.uniform(0.3, 0.6), cab), center, soft).as_original())
        bed_length = length - cab - 0.15
        wall, tall = 0.05, rng.uniform(0.15, 0.6)
        center = (0, roof + tall / 2 - 0.02, -length / 2 + bed_length / 2 + 0.02)
        cargo = box((width, tall, bed_length), center)
        if rng.random() < 0.7:
            cargo = cargo - box((width - 2 * wall, tall, bed_length - 2 * wall), np.add(center, (0, wall, 0)))
        parts.append(cargo.as_original())
    elif kind < 0.85:  # open cart, pulled by a bar
        hollow = box((width - 0.12, high, length - 0.12), (0, low + high / 2 + 0.06, 0))
        parts = [body - hollow]
        extras.append(tube(curve([(0, low + 0.1, length / 2 - 0.1), (0, low + 0.2,
                      length * 0.8), (0, low + 0.9, length * 1.0)], 12), 0.035))
        extras.append(rod((-0.2, low + 0.9, length), (0.2, low + 0.9, length), 0.04))
    else:  # bus, train, camper
        parts.append(box((width *
        0.98, rng.uniform(0.3, 0.7), length *
        rng.uniform(0.8, 1)), (0, roof +
        0.15, 0), soft).as_original())
        if rng.random() < 0.4:
            extras.append(rod((0, roof, length * 0.3), (0, roof + 0.8, length * 0.3), 0.1, 0.14))
    places = [(s, z) for s in (-1, 1) for z in ((-axle, axle) if rng.random() < 0.85 else (-axle, 0, axle))]
    thick = rng.uniform(0.1, 0.25)
    one = wheel(radius, thick, rng).as_original()
    wheels = union(*[one.translate([s * (width / 2 + rng.uniform(0, 0.01)), radius, z]) for s, z in places])
    arches = group(*[
        rod((s * width / 2 - 0.7 * thick, radius, z), (s * width / 2 + 0.7 * thick, radius, z),
            1.2 * radius,
            segments=28) for s, z in places
    ])
    axles = group(*[rod((-width / 2, radius, z), (width / 2, radius, z), 0.25 * radius)
                  for z in {z for _, z in places}])
    if rng.random() < 0.5 and low < radius and kind < 0.7:
        parts = [part - arches for part in parts]
    if rng.random() < 0.4:
        extras.append(group(*[box((width * 1.02, 0.08, 0.08), (0, low + 0.08, s * length / 2), 0.03) for s in (-1, 1)]))
    return parts + extras + [wheels, axles]


def plane(rng: np.random.Generator) -> list[Manifold]:
    """Airplane, biplane, glider or rocket: fuselage, wings, tail, propeller, struts, landing gear."""
    girth = rng.uniform(0.09, 0.2)
    share = np.linspace(0, 1, 24)
    radii = girth * np.interp(share, [0, 0.05, 0.3, 0.75, 0.93, 1], [0.25, 0.35,
                              rng.uniform(0.6, 1), 1, rng.uniform(0.6, 0.9), 0.15])
    angle = np.arange(32) / 32 * 2 * np.pi
    section = superellipse_points(angle, rng.uniform(2, 4))
    body = loft([np.concatenate([section * r, np.full((32, 1), 2 * s - 1)], 1)
                for r, s in zip(radii, share)]).as_original()
    span, chord, thick = rng.uniform(0.5, 1.2), rng.uniform(0.2, 0.5), rng.uniform(0.03, 0.06)
    half = blade(span, chord, rng.uniform(-0.6, 0.1), thick, rng.uniform(0.3, 1)).rotate([0, 0, rng.uniform(-3, 9)])
    wing = group(half, half.mirror([1, 0, 0]))
    level = rng.choice([-0.6, 0, 0.8]) * girth
    biplane = rng.random() < 0.3
    level = -0.6 * girth if biplane else level
    at = rng.uniform(0.0, 0.4)
    parts = [body, wing.translate([0, level, at])]
    if biplane:
        rise = rng.uniform(0.3, 0.5)
        parts.append(wing.translate([0, level + rise, at + 0.05]))
        parts.append(
            group(*[
                rod((s * x, level, at + z), (s * x, level + rise + 0.04, at + 0.05 + z), 0.018, segments=10)
                for s in (-1, 1) for x in (0.12, 0.75 * span) for z in (-0.06, 0.06)
            ]))
    tail = blade(rng.uniform(0.2, 0.45), rng.uniform(0.15, 0.3), -0.12, thick, 0.6)
    parts.append(
        group(tail, tail.mirror([1, 0, 0]), rotated(blade(rng.uniform(0.2, 0.45), 0.28, -0.15, thick, 0.5), 2,
                                                    90)).translate([0, 0.2 * radii[1], -0.85]))
    if rng.random() < 0.6:
        prop = group(
            *[
                rotated(box((0.05, rng.uniform(0.5, 0.9), 0.025)), 2, 180 / 3 * i + 20)
                for i in range(rng.integers(1, 4))
            ], ball((0.06, 0.06, 0.1), segments=20))
        parts.append(prop.translate([0, 0, 1.0]))
    elif rng.random() < 0.6:  # engines under the wings, hollow
        engine = rod((0, 0, -0.14), (0, 0, 0.14), 0.085, segments=28) - rod((0, 0, 0), (0, 0, 0.3), 0.065, segments=24)
        parts.append(group(*[engine.translate([s * 0.4 * span, level - 0.09, at - 0.02]) for s in (-1, 1)]))
    if rng.random() < 0.6:
        gear = [union(rod((s * 0.08, -0.5 * girth, 0.45), (s * 0.2, -girth - 0.2, 0.5), 0.02),
                      wheel(0.09, 0.05, rng).translate([s * 0.2, -girth - 0.2, 0.5])) for s in (-1, 1)]
        parts.append(group(*gear))
    if rng.random() < 0.5:
        parts.append(ball((0.6 * girth, 0.55 * girth, 0.25), (0, 0.8 * girth, 0.35), 24))
    return parts


def tool(rng: np.random.Generator) -> list[Manifold]:
    """Hammer, spoon, fork, screwdriver, wrench, brush, scissors or key; lying or standing."""
    kind = rng.integers(8)
    length, grip = rng.uniform(1.0, 1.8), rng.uniform(0.05, 0.11)
    share = np.linspace(0, 1, 24)
    radii = grip * (1 + rng.uniform(0, 0.3) * np.sin(share * rng.uniform(3, 14)))
    haft = tube(np.stack([0 * share, share * length, 0 * share], 1), radii,
                rng.uniform(0.6, 1), rng.choice([2, 5]), up=(1, 0, 0)).as_original()
    if kind == 0:  # hammer, mallet, axe
        head = rng.uniform(0.3, 0.6)
        block = box((head, rng.uniform(0.16, 0.3), rng.uniform(0.14, 0.28)), (0, length, 0), rng.choice([0, 0.04]))
        parts = [
        haft, group(
        block, rod(
            (-head / 2 - 0.1, length, 0), (-head / 2 + 0.05, length, 0), 0.12, segments=28))]
        if rng.random() < 0.5:
            parts.append(
                Manifold.hull_points(
                    np.array([[head / 2 - 0.05, length - 0.06, z]
                              for z in (-0.07, 0.07)] + [[head / 2 - 0.05, length + 0.06, z] for z in (-0.07, 0.07)]
                             + [[head / 2 + 0.35, length - 0.2, z]
                                for z in (-0.01, 0.01)] + [[head / 2 + 0.35, length + 0.1, z] for z in (-0.01, 0.01)])))
    elif kind == 1:  # spoon, ladle
        size, deep = rng.uniform(0.18, 0.4), rng.uniform(0.3, 0.9)
        bowl = ball((size, 1.3 * size, deep * size), (0, length + size, 0), 44).trim_by_plane([0, 0, -1], -0.02)
        scoop = ball((0.88 * size, 1.18 * size, deep * size - 0.04), (0, length + size, 0.03), 44)
        thin = haft.scale([1, 1, 0.5]).translate([0, 0.1, -0.02])
        parts = [union(bowl, thin) - scoop]
    elif kind == 2:  # fork, comb, rake
        count, wide = rng.integers(2, 6), rng.uniform(0.3, 0.7)
        tines = [rod((x, length + 0.1, 0), (x, length + rng.uniform(0.4, 0.6), 0.03), 0.03, 0.02, 12)
                 for x in (np.arange(count) / (count - 1) - 0.5) * wide]
        parts = [haft, group(box((wide + 0.06, 0.14, 0.07), (0, length + 0.07, 0), 0.02), *tines)]
    elif kind == 3:  # screwdriver, chisel, knife
        blade = box((rng.uniform(0.05, 0.3), 0.8, 0.035), (0, length + 0.35, 0))
        if rng.random() < 0.5:
            blade = rod((0, length - 0.05, 0), (0, length + 0.8, 0), 0.04)
        wide = haft.scale([2, 0.8, 2]).translate([0, 0.2 * length, 0])
        parts = [wide, blade]
    elif kind == 4:  # wrench
        angle = np.arange(40) / 40 * 2 * np.pi
        rim = np.stack([np.cos(angle), np.sin(angle)], 1)
        size = rng.uniform(0.16, 0.28)
        shank = CrossSection([np.array([[-0.09, 0], [0.09, 0], [0.09, length], [-0.09, length]])])
        section = CrossSection([rim * size + [0, length]]) + CrossSection([rim * size * 0.9]) + shank
        jaw = rim[::7] * size * 0.6 + [0, length + rng.uniform(0, 0.5) * size]
        section = section - CrossSection([jaw]) - CrossSection([rim * size * 0.5])
        parts = [extrude(section, rng.uniform(0.06, 0.14))]
    elif kind == 5:  # brush, broom
        wide, deep = rng.uniform(0.2, 0.6), rng.uniform(0.08, 0.2)
        parts = [haft, box((wide, 0.16, deep), (0, length + 0.05, 0), 0.03).as_original()]
        if rng.random() < 0.5:
            parts.append(slats((0, length + 0.3, 0), (wide * 0.95, 0.4, deep * 0.8), rng.integers(4, 9), 0, 0.6))
        else:
            parts.append(box((wide * 0.95, 0.4, deep * 0.8), (0, length + 0.3, 0), 0.03).as_original())
    elif kind == 6:  # scissors, pliers
        angle = np.arange(36) / 36 * 2 * np.pi
        loop = np.stack([0.2 * np.cos(angle) + 0.17, 0.28 * np.sin(angle) + 0.2, 0 * angle], 1)
        ring = tube(loop, 0.045, 1, up=(0, 0, 1), closed=True)
        arm = Manifold.hull_points(
            np.array([[x, y, z] for z in (0.0, 0.05)
                      for x, y in ((0.12, 0.42), (0.22, 0.45), (-0.1, 1.1), (-0.02, 1.0), (-0.02, length + 0.4))]))
        half = group(ring, arm)
        spread = rng.uniform(-2, 14)
        turned = [half.translate([0, -0.8, 0]).rotate([0, 0, spread]),
                  half.mirror([1, 0, 0]).translate([0, -0.8, -0.045]).rotate([0, 0, -spread])]
        parts = turned + [rod((0, 0, -0.08), (0, 0, 0.08), 0.05)]
    else:  # key, magnifier, racket, paddle, mirror
        angle = np.arange(44) / 44 * 2 * np.pi
        size = rng.uniform(0.25, 0.5)
        loop = np.stack([size * np.cos(angle), length + size * rng.uniform(1, 1.4)
                        * (1 + np.sin(angle)) - 0.03, 0 * angle], 1)
        parts = [haft, tube(loop, 0.05, rng.uniform(0.7, 1.5), up=(0, 0, 1), closed=True)]
        if rng.random() < 0.3:
            parts.append(extrude([loop[:, :2]], 0.03))
        elif rng.random() < 0.5:
            low, high = loop[:, 1].min(), loop[:, 1].max()
            mesh = [box((2 * size, 0.02, 0.02), (0, y, 0)) for y in np.linspace(low, high, 9)[1:-1]]
            mesh += [box((0.02, high - low, 0.02), (x, (low + high) / 2, 0)) for x in np.linspace(-size, size, 7)[1:-1]]
            inside = extrude([loop[:, :2]], 0.2)
            parts.append((union(*mesh) ^ inside).as_original())
    solid = union(*parts)
    if rng.random() < 0.5:  # lying, along x or z
        solid = rotated(solid, 0, rng.choice([-90, 90]))
        solid = rotated(solid, 1, rng.choice([0, 90]))
    return [solid]
