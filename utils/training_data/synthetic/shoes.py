"""Made-up textured shoes without end, so that the project trains, tests and shows itself before anybody has data.

A shoe is one closed surface. Rings of vertices are stacked from the edge of the tread up the sole, lofted over the
upper to the collar, folded over the rim and led down the inside to the insole; two flat caps close the ends. So a
point is (row along that path, angle around the foot), which is also how the texture is laid out; shoe_colors.py
paints it.
Before normalizing, z runs from 0 (heel) to 1 (toe), y = 0 is the ground and x the width, all in shoe lengths.

    python -m utils.training_data.synthetic.shoes --count 11 --first_seed 16 --output data/sample
    python -m utils.training_data.synthetic.shoes --count 1 --first_seed 900002 --output data/examples --views_only
"""
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from config import VIEW_NAMES, OptionParser, UserError, counted, run_script
from utils.training_data.synthetic.shoe_textures import CAP_BOX, OUTSOLE_TOP, paint, region_uv, smooth_step

SEED_SPACE = 20240611  # keeps these draws apart from other uses of the same small seeds
COLUMNS = 56  # vertices around a ring; even, so that the two sides of the foot face each other
LOFT_ROWS = 18  # rings from the sole to the collar, and again down the inside
SOLE_ROWS = 7  # rings up the side of the sole
ACROSS = 4  # quads across the tread and the insole
THETA_HALF = COLUMNS // 2

# Heights are above the footbed and lengths along z, in shoe lengths. (low, high) of a uniform draw:
# width: half of the ball; fore, heel: sole thickness; toe: height of the toe box; back, side, front: height of the
# collar; throat: z where the opening ends; narrow: opening's width by the ball's; flat: fraction of an ellipse in the
# opening's outline; shaft: height of a boot's top, 0 for none; power: roundness of the toe (2 ellipse, 4 square).
FORMS = {
    "sneaker": dict(width=(.165, .19), fore=(.05, .08), heel=(.07, .11), toe=(.11, .145), back=(.23, .29),
                    side=(.17, .22), front=(.28, .35), throat=(.46, .53), narrow=(.56, .66), power=(2., 2.9)),
    "runner": dict(width=(.17, .2), fore=(.08, .13), heel=(.13, .21), toe=(.105, .135), back=(.24, .3),
                   side=(.17, .21), front=(.28, .35), throat=(.45, .52), narrow=(.54, .62), power=(1.9, 2.5)),
    "high_top": dict(width=(.16, .19), fore=(.045, .075), heel=(.06, .1), toe=(.11, .145), back=(.24, .26),
                     side=(.23, .25), front=(.3, .34), throat=(.47, .52), narrow=(.58, .64), power=(2.1, 2.8),
                     shaft=(.36, .48)),
    "ankle_boot": dict(width=(.155, .185), fore=(.03, .06), heel=(.08, .17), toe=(.105, .15), back=(.24, .26),
                       side=(.23, .25), front=(.3, .34), throat=(.47, .52), narrow=(.56, .64), power=(1.7, 3.),
                       shaft=(.44, .6)),
    "tall_boot": dict(width=(.15, .18), fore=(.03, .07), heel=(.07, .18), toe=(.105, .14), back=(.24, .26),
                      side=(.23, .25), front=(.3, .34), throat=(.46, .5), narrow=(.58, .66), power=(1.7, 2.8),
                      shaft=(.75, 1.25)),
    "loafer": dict(width=(.15, .18), fore=(.025, .045), heel=(.05, .1), toe=(.095, .125), back=(.19, .23),
                   side=(.13, .16), front=(.2, .25), throat=(.53, .61), narrow=(.58, .68), power=(1.6, 3.2)),
    "flat": dict(width=(.145, .175), fore=(.02, .03), heel=(.025, .045), toe=(.065, .085), back=(.16, .2),
                 side=(.09, .12), front=(.085, .11), throat=(.7, .78), narrow=(.7, .78), power=(1.5, 2.8),
                 flat=(.3, .4)),
    "pump": dict(width=(.135, .155), fore=(.018, .03), heel=(.2, .36), toe=(.065, .085), back=(.17, .21),
                 side=(.08, .11), front=(.08, .1), throat=(.68, .76), narrow=(.68, .76), power=(1.35, 2.2),
                 flat=(.3, .4)),
    "sandal": dict(width=(.16, .19), fore=(.04, .08), heel=(.05, .13), toe=(.085, .105), back=(.18, .26),
                   side=(.14, .19), front=(.22, .28), throat=(.48, .56), narrow=(.58, .66), power=(2., 2.8)),
    "slide": dict(width=(.165, .195), fore=(.05, .085), heel=(.06, .1), toe=(.085, .105), back=(.035, .06),
                  side=(.05, .09), front=(.19, .23), throat=(.5, .58), narrow=(.74, .84), power=(2.1, 2.9),
                  flat=(.3, .5)),
}
KINDS = tuple(FORMS)
KIND_WEIGHTS = (5, 4, 3, 3, 2, 3, 2, 2, 2, 1.5)  # sneakers are what people photograph most
HEELED = {"ankle_boot": .8, "tall_boot": .75, "loafer": .9, "pump": 1., "sandal": .25, "flat": .5}  # chance of a block

# Where each ring lies in the height of its region of the texture, from 0 to 1.
SOLE_HEIGHTS = np.array([0, .06, .15, OUTSOLE_TOP, .53, .77, .94, 1])  # the last is the loft's first ring
UPPER_HEIGHTS = np.append(np.linspace(0, .98, LOFT_ROWS), 1)  # the last is the rim
LINING_HEIGHTS = np.linspace(0, 1, LOFT_ROWS)  # from the rim down


class Shoe(NamedTuple):
    """A closed textured shoe in the normalized frame, toe towards +z.

    vertices (V, 3) float32; faces (F, 3) int64; uvs (T, 2) float32 in [0, 1], (0, 0) lower left; face_uvs (F, 3)
    int64 indices into uvs; texture (H, W, 3) uint8 sRGB; kind: one of KINDS.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray
    face_uvs: np.ndarray
    texture: np.ndarray
    kind: str


def make_shoe(seed: int, texture_size: int = 256, kind: str | None = None) -> Shoe:
    """Make the shoe of a seed; the same seed always gives the same arrays.

    Args:
        seed: int >= 0.
        texture_size: texture edge in pixels, at least 64.
        kind: one of KINDS, or None to let the seed choose.
    Returns:
        Shoe.
    Raises:
        UserError: a value is out of range or not a kind.
    """
    from utils.mesh.mesh import normalize

    if seed < 0 or texture_size < 64:
        raise UserError(f"seed {seed}, texture size {texture_size}: need a seed >= 0 and at least 64 pixels")
    if kind is not None and kind not in KINDS:
        raise UserError(f"kind {kind!r}: choose one of {', '.join(KINDS)}")
    rng = np.random.default_rng((SEED_SPACE, seed))
    drawn = rng.choice(KINDS, p=np.divide(KIND_WEIGHTS, sum(KIND_WEIGHTS)))
    form = _draw_form(str(kind or drawn), rng)
    sole, loft, rim, inner = _rings(form)
    vertices, faces, uvs, face_uvs = _build_mesh(form, sole, loft, rim, inner, texture_size)
    spans = {"sole": (SOLE_HEIGHTS, np.concatenate([sole, loft[:1]])), "upper": (UPPER_HEIGHTS[:-1], loft),
             "lining": (LINING_HEIGHTS, loft[::-1])}
    texture = paint(form, spans, texture_size, rng)
    if form.mirror:  # the other foot
        vertices, faces, face_uvs = vertices * (-1, 1, 1), faces[:, ::-1], face_uvs[:, ::-1]
    return Shoe(normalize(vertices).astype(np.float32), np.ascontiguousarray(faces), uvs.astype(np.float32),
                np.ascontiguousarray(face_uvs), texture, form.kind)


# ---------------------------------------------------------------------------------------------------- shape

class Form(SimpleNamespace):
    """All measures of one shoe, in shoe lengths, and three curves that follow from them."""

    def half_width(self, t: np.ndarray) -> np.ndarray:
        """Half width of the sole's outline at share t of its length."""
        from scipy.interpolate import PchipInterpolator

        profile = np.array([self.heel_width, self.heel_width * 1.04, self.waist, 1, .92]) * self.width
        body = PchipInterpolator([0, .15, .42, .72, 1], profile)(t)
        heel = np.clip(1 - t / .2, 0, 1)
        toe = np.clip((t - 1 + self.toe_length) / self.toe_length, 0, 1)
        return body * np.sqrt(1 - heel ** 2) * (1 - toe ** self.power) ** (1 / self.power)

    def center(self, z: np.ndarray) -> np.ndarray:
        """x of the foot's middle line: bent, as left and right feet are."""
        return self.bend * (1.4 * (z - .4) ** 2 - .1)

    def footbed(self, z: np.ndarray) -> np.ndarray:
        """Height of the footbed (the sole's upper edge) at z."""
        rise = smooth_step(z, .66, .12)
        return self.fore + (self.heel - self.fore) * rise + self.spring * np.clip((z - .66) / .34, 0, 1.2) ** 2


def _draw_form(kind, rng):
    """The measures of a shoe of one kind: a Form."""
    ranges = {"shaft": (0, 0), "flat": (.85, 1.), **FORMS[kind]}
    form = Form(kind=kind, **{name: rng.uniform(*ranges[name]) for name in sorted(ranges)})
    sporty = kind in ("sneaker", "runner", "high_top", "slide")
    form.mirror = bool(rng.random() < .5)
    form.bend = rng.uniform(.05, .13)  # how far the outline curves inwards
    form.heel_width = rng.uniform(.68, .8)
    form.waist = rng.uniform(.66, .82) if kind != "slide" else rng.uniform(.8, .9)
    form.toe_length = rng.uniform(.3, .42) if form.power > 1.8 else rng.uniform(.42, .55)
    form.spring = rng.uniform(.01, .05) if sporty else rng.uniform(.0, .03)
    form.flare = rng.uniform(.004, .014) + (.01 if kind == "runner" else .004 if sporty else 0)
    form.bulge = rng.uniform(.004, .012) if sporty else .002
    form.out = rng.uniform(.012, .022) if sporty else .01  # thickness of the outsole
    form.wall = rng.uniform(.018, .026) if sporty else rng.uniform(.012, .017)
    form.pad = rng.uniform(.3, .7) if sporty else 0.
    form.tongue = rng.uniform(.03, .07) if kind in ("sneaker", "runner", "high_top") else 0.
    form.tab = rng.uniform(0, .035) if sporty and kind != "slide" else 0.
    form.heel = max(form.heel, form.fore)
    form.breast = rng.uniform(.2, .27) if rng.random() < HEELED.get(kind, 0) else 0.  # z where a heel block ends
    # A heel block is as wide as the sole, or tapers: stiletto, cone, block.
    form.taper = rng.uniform(.22, .7) if kind == "pump" else rng.uniform(.8, .98)
    form.band = min(form.fore * .8, rng.uniform(.015, .03)) if form.breast else None
    form.theta = _angles(form.breast)
    form.windows = _draw_windows(kind, rng) if kind in ("sandal", "slide") else []
    return form


def _draw_windows(kind, rng):
    """Openings in the upper as (first row, end row, first column, end column) of loft quads; toe at THETA_HALF."""
    toe = int(rng.integers(5, 8))
    top = int(rng.integers(5, 8)) if kind == "sandal" else int(rng.integers(4, 8))
    windows = [(1, top, THETA_HALF - toe, THETA_HALF + toe)]
    if kind == "sandal":
        sides = [[(2, 13, 9, 17)], [(2, 13, 6, 11), (2, 13, 14, 18)], [(2, 14, 4, 16)],
                 [(2, 15, start, start + 3) for start in (3, 7, 11, 15)]][rng.integers(4)]
        windows += sides + [(low, high, COLUMNS - b, COLUMNS - a) for low, high, a, b in sides]
        if rng.random() < .6:  # a second strap over the instep
            windows.append((top + 3, 15, THETA_HALF - 8, THETA_HALF + 8))
    return windows


def _angles(breast):
    """(COLUMNS,) angles around the foot, 0 at the heel, pi at the toe; two columns meet at the heel's breast."""
    half = np.linspace(0, np.pi, THETA_HALF + 1)
    if breast:
        target = np.arccos(1 - 2 * breast)
        column = int(np.argmin(np.abs(half - target)))
        half[column:column + 2] = target - .014, target + .014
    return np.concatenate([half, 2 * np.pi - half[-2:0:-1]])


def _rings(form):
    """The stacked rings: sole (SOLE_ROWS, C, 3), loft (LOFT_ROWS, C, 3), rim (C, 3), inner (LOFT_ROWS - 1, C, 3)."""
    loft = _loft_rings(form)
    outward = np.cross(np.gradient(loft, axis=0), np.roll(loft, -1, axis=1) - np.roll(loft, 1, axis=1))
    outward /= np.linalg.norm(outward, axis=2, keepdims=True) + 1e-12
    s = np.linspace(0, 1, LOFT_ROWS)[:, None, None]
    inner = loft - outward * form.wall * (1 + form.pad * np.exp(-((s - .88) / .12) ** 2))
    row = np.arange(LOFT_ROWS)[:, None]
    floor = form.footbed(inner[..., 2]) + .004 + .001 * row  # rows stay in order above the insole
    inner[..., 1] = np.maximum(inner[..., 1], floor)
    inner[1, :, 1] = floor[1]
    rise = loft[-1] - loft[-2]
    rise /= np.linalg.norm(rise, axis=1, keepdims=True) + 1e-12
    rim = (loft[-1] + inner[-1]) / 2 + rise * form.wall * .4
    return _sole_rings(form), loft, rim, inner[:0:-1]


def _sole_rings(form):
    """(SOLE_ROWS, C, 3): three rings of outsole or heel block, then the band up to the footbed."""
    theta, t = form.theta, (1 - np.cos(form.theta)) / 2
    side, width = np.sign(np.sin(theta)).round(), form.half_width(t)
    spring = form.spring * np.clip((t - .66) / .34, 0, 1) ** 2 + .012 * smooth_step(t, .07, 0)
    top = form.footbed(t)
    if form.breast:
        edge = top - form.band
        ground = np.where(t < form.breast, 0, np.maximum(edge - form.out, 0))
    else:
        edge, ground = spring + form.out, spring
    rings = []
    levels = [(0, ground, -.012), (.12, None, 0), (.5, None, 0), (1, edge, 0)]
    levels += [(share, edge + (top - edge) * share, form.bulge) for share in (.35, .72)] + [(1, top, -.003)]
    for share, height, offset in levels:
        height = ground + (edge - ground) * share if height is None else height
        x = side * width + (form.flare + offset) * np.sin(theta)
        z = t - (form.flare + offset) * np.cos(theta)
        if len(rings) < 3 and form.breast:  # taper the block towards a point under the heel
            shrink = np.where(t < form.breast, 1 - (1 - form.taper) * (1 - share) ** .6, 1)
            x, z = x * shrink, .105 + (z - .105) * shrink
        rings.append(np.stack([x + form.center(z), height, z], axis=1))
    return np.array(rings)


def _loft_rings(form):
    """(LOFT_ROWS, C, 3): a smooth surface through a few key rings, from the footbed's edge to the collar."""
    from scipy.interpolate import CubicSpline

    theta, t = form.theta, (1 - np.cos(form.theta)) / 2
    outline = np.sign(np.sin(theta)).round() * form.half_width(t)

    def ring(z_back, z_front, scale, flat, half_width, back, side, front):
        z = z_back + (z_front - z_back) * t
        x = (1 - flat) * outline * scale + flat * half_width * np.sin(theta)
        # back, side and front heights joined by the lowest cosines that meet them
        mean, sway = (back + front) / 2, (back - front) / 2
        height = (mean + side) / 2 + sway * np.cos(theta) + (mean - side) / 2 * np.cos(2 * theta)
        # High rings do not follow the slope of the sole.
        return np.stack([x + form.center(z), form.footbed(z + flat * .6 * (.25 - z)) + height, z], axis=1)

    opening = form.narrow * form.width
    toe_end = form.throat + .5 * (.95 - form.throat)
    instep = .97 * form.toe + .45 * (form.front - .97 * form.toe)
    back, side, front = form.back, form.side, form.front
    late = .8 if form.shaft else .86  # a shaft goes on upwards, a low collar ends: keeps the rings evenly apart
    keys = [ring(.015, .99, .97, 0, 0, -.012, -.012, -.012),
            ring(-.004, 1.0, 1.02, 0, 0, .28 * back, .32 * side, .45 * form.toe),
            ring(.0, .958, .95, 0, 0, .56 * back, .62 * side, .95 * form.toe),
            ring(.02, toe_end, .9, .4 * form.flat, opening * 1.15, .8 * back, late * side, instep),
            ring(.025, form.throat, .78, form.flat, opening, back, side, front)]
    if form.shaft:
        lean = .02 * form.shaft
        calf = opening * (1 + .25 * max(form.shaft - .5, 0))
        for share in (.5, 1):
            height = front + (form.shaft - front) * share
            keys.append(ring(.03 - lean * share, form.throat - .04 + .03 * share, .8, 1,
                             opening + (calf - opening) * share, height - .02, height - .015 * share, height))
    keys = np.array(keys)
    chord = np.linalg.norm(np.diff(keys, axis=0), axis=2).mean(1)
    knots = np.concatenate([[0], np.cumsum(chord)]) / chord.sum()
    s = np.linspace(0, 1, LOFT_ROWS)
    loft = CubicSpline(knots, keys, axis=0, bc_type="natural")(s)
    rise = smooth_step(s, .75, 1)[:, None]
    loft[..., 1] += rise * form.tongue * np.exp(-((theta - np.pi) / .55) ** 4)
    loft[..., 1] += rise * form.tab * np.exp(-((np.pi - np.abs(theta - np.pi)) / .5) ** 4)
    return loft


# ----------------------------------------------------------------------------------------- triangles and atlas

def _build_mesh(form, sole, loft, rim, inner, size):
    """Join the rings into one closed surface: vertices (V, 3), faces (F, 3), uvs (T, 2), face_uvs (F, 3)."""
    rings = np.concatenate([sole, loft, rim[None], inner])
    rows = len(rings)
    u = np.append(form.theta, 2 * np.pi) / (2 * np.pi)
    regions = (("sole", SOLE_HEIGHTS), ("upper", UPPER_HEIGHTS), ("lining", LINING_HEIGHTS))
    uvs = [region_uv(name, *np.meshgrid(u, heights), size).reshape(-1, 2) for name, heights in regions]
    # A quad between rings i and i + 1 has its own uv rows: one extra where a region ends and the next begins.
    first_uv_row = np.arange(rows - 1)
    first_uv_row += (first_uv_row >= SOLE_ROWS).astype(int) + (first_uv_row >= SOLE_ROWS + LOFT_ROWS)
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(COLUMNS), indexing="ij")
    following = (column + 1) % COLUMNS
    corner = np.stack([row * COLUMNS + column, (row + 1) * COLUMNS + column,
                       (row + 1) * COLUMNS + following, row * COLUMNS + following], axis=-1)
    uv_start = first_uv_row[row] * (COLUMNS + 1) + column
    corner_uv = np.stack([uv_start, uv_start + COLUMNS + 1, uv_start + COLUMNS + 2, uv_start + 1], axis=-1)

    keep = np.ones((rows - 1, COLUMNS), bool)
    walls = []
    for low, high, left, right in form.windows:
        outside = (slice(SOLE_ROWS + low, SOLE_ROWS + high), slice(left, right))
        # Loft ring i is ring SOLE_ROWS + i outside and ring last - i inside.
        last = SOLE_ROWS + 2 * LOFT_ROWS
        keep[outside] = keep[last - high:last - low, left:right] = False
        walls.append(_window_walls(corner[outside], corner_uv[outside], last + SOLE_ROWS))
    quads = np.concatenate([corner[keep]] + [wall for wall, _ in walls])
    quad_uvs = np.concatenate([corner_uv[keep]] + [wall_uv for _, wall_uv in walls])
    faces = [quads[:, (0, 1, 2)], quads[:, (0, 2, 3)]]
    face_uvs = [quad_uvs[:, (0, 1, 2)], quad_uvs[:, (0, 2, 3)]]

    vertices = [rings.reshape(-1, 3)]
    # The tread is laid out by the sole's outline at full size, so a tapering heel keeps its pattern.
    caps = (("tread", 0, rings[SOLE_ROWS - 1], False), ("insole", rows - 1, rings[-1], True))
    for name, ring_row, layout, upwards in caps:
        count, uv_count = sum(map(len, vertices)), sum(map(len, uvs))
        inside, index, triangles = _cap(rings[ring_row], ring_row * COLUMNS, count)
        layout_inside = _cap(layout, 0, 0)[0]
        points = np.concatenate([layout, layout_inside])
        low_z, high_z, low_x, high_x = CAP_BOX
        uvs.append(region_uv(name, (points[:, 2] - low_z) / (high_z - low_z),
                              (points[:, 0] - low_x) / (high_x - low_x), size))
        vertices.append(inside)
        triangles = triangles[:, ::-1] if upwards else triangles
        faces.append(index[triangles])
        face_uvs.append(uv_count + triangles)
    vertices, faces = np.concatenate(vertices), np.concatenate(faces)
    used, faces = np.unique(faces, return_inverse=True)  # windows leave vertices behind
    return vertices[used], faces.reshape(-1, 3), np.concatenate(uvs), np.concatenate(face_uvs)


def _window_walls(corner, corner_uv, mirror_sum):
    """Quads around a hole, from the outer edge to the inner one.

    Args:
        corner, corner_uv: (rows, columns, 4) corners of the outer quads that were removed.
        mirror_sum: outer ring plus the inner ring that lies behind it.
    Returns:
        quads and their uv indices, both (K, 4); a wall shows the color of the outer edge.
    """
    walls, wall_uvs = [], []
    for edge, (a, b) in ((np.s_[:, 0], (0, 1)), (np.s_[-1, :], (1, 2)), (np.s_[:, -1], (2, 3)), (np.s_[0, :], (3, 0))):
        p, q = corner[edge][:, a], corner[edge][:, b]
        behind = [(mirror_sum - end // COLUMNS) * COLUMNS + end % COLUMNS for end in (p, q)]
        walls.append(np.stack([p, q, behind[1], behind[0]], axis=1))
        wall_uvs.append(corner_uv[edge][:, (a, b, b, a)])
    return np.concatenate(walls), np.concatenate(wall_uvs)


def _cap(ring, ring_start, inside_start):
    """Close a ring by strips between its two sides.

    Args:
        ring: (COLUMNS, 3).
        ring_start, inside_start: index of the first vertex of the ring, and of the new ones.
    Returns:
        inside (K, 3) new vertices; index (COLUMNS + K,) of ring and inside in the mesh; triangles (F, 3) into that
        index, facing down.
    """
    near, far = ring[1:THETA_HALF], ring[:THETA_HALF:-1]
    share = (np.arange(1, ACROSS) / ACROSS)[None, :, None]
    inside = (near[:, None] * (1 - share) + far[:, None] * share).reshape(-1, 3)
    strips = np.concatenate([np.arange(1, THETA_HALF)[:, None],
                             COLUMNS + np.arange(len(inside)).reshape(-1, ACROSS - 1),
                             np.arange(COLUMNS - 1, THETA_HALF, -1)[:, None]], axis=1)
    a, b, c, d = strips[:-1, :-1], strips[:-1, 1:], strips[1:, 1:], strips[1:, :-1]
    heel, toe = np.zeros(ACROSS, int), np.full(ACROSS, THETA_HALF)
    triangles = [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3),
                 np.stack([heel, strips[0, :-1], strips[0, 1:]], 1),
                 np.stack([toe, strips[-1, 1:], strips[-1, :-1]], 1)]
    index = np.concatenate([ring_start + np.arange(COLUMNS), inside_start + np.arange(len(inside))])
    return inside, index, np.concatenate(triangles)


# ------------------------------------------------------------------------------------------------ files

def write_shoes(seeds: Iterable[int], output_dir: str | Path, image_size: int = 256, texture_size: int = 256,
                views_only: bool = False) -> int:
    """Write shoes to files; those whose files are all there already are skipped, whatever their sizes.

    Args:
        seeds: iterable of int; seed 12 is named shoe_00012.
        output_dir: gets OBJs/<id>/<id>.obj (.mtl, .png) and input_images/<id>_<view>.png (RGBA).
        image_size, texture_size: edges in pixels.
        views_only: write <output_dir>/<id>/<view>.png and nothing else.
    Returns:
        number of shoes written.
    """
    from tqdm import tqdm

    from utils.mesh.mesh_io import write_obj

    output_dir, written = Path(output_dir), 0
    for seed in tqdm(list(seeds), desc="shoes", unit="shoe"):
        name = f"shoe_{seed:05d}"
        obj = output_dir / "OBJs" / name / f"{name}.obj"
        if views_only:
            images = {view: output_dir / name / f"{view}.png" for view in VIEW_NAMES}
            files = []
        else:
            images = {view: output_dir / "input_images" / f"{name}_{view}.png" for view in VIEW_NAMES}
            files = [obj, obj.with_suffix(".mtl"), obj.with_suffix(".png")]
        if all(path.is_file() for path in [*files, *images.values()]):
            continue
        shoe = make_shoe(seed, texture_size)
        if not views_only:
            write_obj(obj, *shoe[:5])
        _write_views(shoe, images, image_size)
        written += 1
    return written


def _write_views(shoe, paths, size):
    """Draw the six views to paths {view: .png}."""
    from PIL import Image

    from utils.io.files import atomic_write
    from utils.mesh.mesh import textured_mesh
    from utils.rendering.rasterizer import render_views

    for view, image in render_views(textured_mesh(*shoe[:5]), size).items():
        with atomic_write(paths[view]) as temporary:
            Image.fromarray(image).save(temporary, optimize=True)


def main(argv: list[str]) -> None:
    """Read the options, write the shoes, say how many."""
    parser = OptionParser(description="Make textured shoes: meshes with their six views, or the views alone.")
    parser.add_argument("--count", type=int, default=12, help="number of shoes (default 12)")
    parser.add_argument("--first_seed", type=int, default=0, help="seed of the first; the rest follow it (default 0)")
    parser.add_argument("--output", required=True, help="folder to write to")
    parser.add_argument("--image_size", type=int, default=256, help="image edge in pixels (default 256)")
    parser.add_argument("--texture_size", type=int, default=256, help="texture edge in pixels (default 256)")
    parser.add_argument("--views_only", action="store_true", help="write <output>/<id>/<view>.png and nothing else")
    options = parser.parse_args(argv)
    for name, low, high in (("count", 1, 10 ** 6), ("first_seed", 0, 2 ** 31), ("image_size", 16, 4096),
                            ("texture_size", 64, 4096)):
        value = getattr(options, name)
        if not low <= value <= high:
            raise UserError(f"--{name} {value}: must be from {low} to {high}")
    seeds = range(options.first_seed, options.first_seed + options.count)
    count = write_shoes(seeds, options.output, options.image_size, options.texture_size, options.views_only)
    print(f"{counted(count, 'shoe')} written to {options.output}, {options.count - count} there already")


if __name__ == "__main__":
    run_script(main)
