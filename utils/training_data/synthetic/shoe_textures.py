"""The look of the made-up shoes: palettes, and paint laid on by where each texel lies on the shoe.

The texture is one image in five regions; shoes.py lays the mesh out in them and this file fills them.
"""
from types import SimpleNamespace

import numpy as np

LEATHER_KINDS = ("ankle_boot", "tall_boot", "loafer", "flat", "pump", "sandal")
LEATHERS = np.array([(28, 26, 27), (58, 36, 26), (98, 58, 34), (145, 88, 48), (182, 132, 84), (214, 186, 150),
                     (110, 28, 34), (40, 48, 66), (120, 112, 100), (236, 228, 214), (92, 94, 62)]) / 255
COLORS = np.array([(242, 242, 240), (226, 222, 212), (34, 34, 37), (92, 95, 100), (168, 170, 172), (30, 44, 84),
                    (38, 92, 178), (86, 164, 220), (186, 32, 38), (232, 92, 52), (246, 186, 42), (42, 122, 76),
                    (150, 204, 120), (92, 52, 132), (232, 138, 172), (206, 44, 116), (36, 150, 152), (196, 166, 128),
                    (120, 82, 56), (202, 232, 60)]) / 255

# The texture's regions as (left, right, bottom, top) fractions of the image.
REGIONS = {"tread": (0, .62, 0, .25), "insole": (.62, 1, 0, .25), "sole": (0, 1, .25, .37),
           "lining": (0, 1, .37, .45), "upper": (0, 1, .45, 1)}
CAP_BOX = (-.06, 1.06, -.27, .27)  # z and x that the tread and insole regions cover
REGION_MARGIN_PX = 1.5  # kept free at a region's border, so that bilinear reading stays inside it
OUTSOLE_TOP = .3  # where the outsole ends, as a fraction of the sole region's height


def paint(form: SimpleNamespace, spans: dict, size: int, rng: np.random.Generator) -> np.ndarray:
    """Paint the texture of a shoe.

    Args:
        form: the measures of the shoe (shoes.Form).
        spans: {"sole", "upper", "lining": (heights (R,) rising from 0 to 1 or less, rings (R, C, 3))}: the rings that
            cross a region, and where in its height.
        size: texture edge in pixels.
        rng: numpy Generator; the same state gives the same texture.
    Returns:
        (size, size, 3) uint8 sRGB.
    """
    palette = _draw_palette(form, rng)
    texels = {name: _texels(form, name, *span, size) for name, span in spans.items()}
    painted = {
        "upper": _paint_upper(form, texels["upper"], palette, rng),
        "sole": _paint_sole(form, texels["sole"], palette, rng),
        "lining": _paint_lining(texels["lining"], palette),
        "tread": _paint_tread(form, *_cap_texels("tread", size), palette, rng),
        "insole": _paint_insole(form, *_cap_texels("insole", size), palette, rng),
    }
    image = np.empty((size, size, 3))
    for name, colors in painted.items():
        rows, columns = _pixel_box(name, size)
        image[size - 1 - rows[:, None], columns] = colors
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def smooth_step(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 at `low` to 1 at `high` (`high` may be the smaller)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


# --------------------------------------------------------------------------------------------- where texels lie

def region_uv(name: str, along: np.ndarray, up: np.ndarray, size: int) -> np.ndarray:
    """Shares of a region, both in [0, 1], as texture coordinates (..., 2)."""
    left, right, bottom, top = REGIONS[name]
    margin = REGION_MARGIN_PX / size
    return np.stack([left + margin + along * (right - left - 2 * margin),
                     bottom + margin + up * (top - bottom - 2 * margin)], axis=-1)


def _texels(form, name, heights, rings, size):
    """Where a region's texels lie on the shoe.

    Args:
        name: region; heights (R,) and rings (R, C, 3): the rings that span it.
        size: texture edge in pixels.
    Returns:
        namespace of (h, w) arrays: x (from the middle line), z, up (height above the footbed), y, s (fraction of the
        region's height), phi (angle from the toe, pi at the heel), d (|x|).
    """
    rows, columns = _pixel_box(name, size)
    s = _pixel_shares(rows, size, *REGIONS[name][2:])
    theta = _pixel_shares(columns, size, *REGIONS[name][:2]) * 2 * np.pi
    i = np.clip(np.searchsorted(heights, s) - 1, 0, len(heights) - 2)
    f = ((s - heights[i]) / (heights[i + 1] - heights[i]))[:, None, None]
    points = rings[i] * (1 - f) + rings[i + 1] * f
    angles = np.append(form.theta, 2 * np.pi)
    j = np.clip(np.searchsorted(angles, theta) - 1, 0, len(form.theta) - 1)
    g = ((theta - angles[j]) / (angles[j + 1] - angles[j]))[:, None]
    x, y, z = np.moveaxis(points[:, j] * (1 - g) + points[:, (j + 1) % len(form.theta)] * g, 2, 0)
    x = x - form.center(z)
    return SimpleNamespace(x=x, y=y, z=z, up=y - form.footbed(z), d=np.abs(x), s=s[:, None] + 0 * x,
                           phi=np.abs(theta - np.pi) + 0 * x)


def _pixel_box(name, size):
    """A region's pixels: rows counted from the image's bottom, and columns."""
    left, right, bottom, top = (round(edge * size) for edge in REGIONS[name])
    return np.arange(bottom, top), np.arange(left, right)


def _pixel_shares(pixels, size, low, high):
    """Inverse of `region_uv` at pixel centers, kept in [0, 1] so that the margin repeats the border."""
    margin = REGION_MARGIN_PX / size
    return np.clip(((pixels + .5) / size - low - margin) / (high - low - 2 * margin), 0, 1)


def _cap_texels(name, size):
    """z and x of a cap region's texels, both (h, w)."""
    rows, columns = _pixel_box(name, size)
    low_z, high_z, low_x, high_x = CAP_BOX
    z = low_z + (high_z - low_z) * _pixel_shares(columns, size, *REGIONS[name][:2])
    x = low_x + (high_x - low_x) * _pixel_shares(rows, size, *REGIONS[name][2:])
    return np.meshgrid(z, x)


# ------------------------------------------------------------------------------------------------------ brushes

def _band(x, low, high, soft=.006):
    """1 between `low` and `high`, 0 outside, with soft edges `soft` wide."""
    return np.clip((x - low) / soft + .5, 0, 1) * np.clip((high - x) / soft + .5, 0, 1)


def _blend(image, mask, color):
    """Paint `color` (3,) or (h, w, 3) over image (h, w, 3), in place, where mask (h, w) is 1."""
    image += mask[..., None] * (color - image)


def _flat(like, color):
    """One color for every texel of an array: (h, w) gives (h, w, 3)."""
    return np.broadcast_to(color, like.shape + (3,)).copy()


def _pattern(p, rng):
    """A seamless pattern in space, (h, w) in [0, 1], for cloth, knit, dots, camouflage and plaid."""
    style = rng.integers(5)
    f = rng.uniform(90, 160)
    if style == 0:  # dots
        return smooth_step(np.sin(f * p.z) * np.sin(f * p.y) + .4 * np.cos(f * p.d), .7, 1.)
    if style == 1:  # knit
        return .5 + .5 * np.sin(2 * f * p.y + 1.5 * np.sin(f * p.z))
    if style == 2:  # camouflage
        a, b, c = rng.uniform(0, 6, 3)
        waves = np.sin(31 * p.z + 17 * p.y + a) + np.sin(43 * p.y - 23 * p.d + b) + np.sin(37 * p.d + 29 * p.z + c)
        return smooth_step(waves, .1, .3)
    if style == 3:  # plaid
        return .5 * (np.sin(.6 * f * p.z) > .4) + .5 * (np.sin(.6 * f * p.y) > .4)
    return smooth_step(np.sin(.7 * f * p.z + .5 * f * p.y), .2, .5)  # slanting stripes


def _panel(image, mask, edge, palette, color):
    """A sewn-on panel: its color, and a darker line along its edge (`edge` (h, w): distance from it)."""
    _blend(image, mask, color)
    _blend(image, .75 * _band(edge, -.004, .004), palette.stitch)


# -------------------------------------------------------------------------------------------------------- parts

def _draw_palette(form, rng):
    """Colors by part, each (3,) sRGB in [0, 1]."""
    def pick(table, last=None):
        color = table[rng.integers(len(table) if last is None else last)]
        return np.clip(color + rng.normal(0, .025, 3), .03, .97)

    def apart(table, *others, last=None):  # the draw farthest from the others of a few: parts must be told apart
        draws = [pick(table, last) for _ in range(4)]
        return max(draws, key=lambda color: min(np.abs(color - other).sum() for other in others))

    leather = form.kind in LEATHER_KINDS and rng.random() < .75
    table = LEATHERS if leather else COLORS
    upper = pick(table)
    second = apart(table, upper) if rng.random() < .65 else np.clip(upper * rng.uniform(.6, .85), 0, 1)
    dark_sole = leather and rng.random() < .8
    sole = pick(LEATHERS, 4) if dark_sole else (pick(COLORS, 2) if rng.random() < .6 else pick(COLORS))
    return SimpleNamespace(
        upper=upper, second=second, accent=apart(COLORS, upper, second), sole=sole,
        outsole=apart(COLORS, sole, last=5) if rng.random() < .5 else sole * .75,
        tread=pick(COLORS) if rng.random() < .3 else np.clip(sole * rng.uniform(.5, .9), .08, 1),
        cap=[upper, second, np.array([.93, .93, .9])][rng.integers(3)],
        lace=apart(COLORS, second, last=6), stitch=np.clip(upper * (.6 if upper.mean() > .3 else 2.2) + .03, 0, .9),
        lining=np.clip(apart(COLORS, upper) * rng.uniform(.45, .8), .05, .9),
        insole=np.clip(pick(np.concatenate([LEATHERS[3:6], COLORS])) * rng.uniform(.6, .9), .05, .9))


def _paint_upper(form, p, palette, rng):
    """The outside of the upper: base, panels, closure, trim."""
    image = _flat(p.z, palette.upper)
    base = rng.integers(6)
    if base == 0:
        _blend(image, smooth_step(p.z, rng.uniform(.1, .4), rng.uniform(.6, .95)), palette.second)
    elif base == 1:
        _blend(image, smooth_step(p.up, .02, form.back), palette.second)
    elif base in (2, 3):
        _blend(image, rng.uniform(.3, .9) * _pattern(p, rng), palette.second)
    if rng.random() < .35:
        image *= 1 + rng.uniform(.05, .14) * rng.standard_normal(p.z.shape)[..., None]
    style = {"sneaker": _sporty, "runner": _sporty, "high_top": _sporty, "sandal": _strapped,
             "slide": _strapped}.get(form.kind, _dressed)
    style(form, p, image, palette, rng)
    _blend(image, _band(p.s, .955, 2), np.clip(palette.lining * 1.25, 0, 1))  # the collar's edge
    image *= (.8 + .2 * smooth_step(p.up, -.01, .05))[..., None]  # less light reaches the corner above the sole
    return image


def _sporty(form, p, image, palette, rng):
    """Toe cap, mudguard, heel counter, side mark, lace panel, as sports shoes have them."""
    if rng.random() < .6:  # toe cap, straight, curved forwards, or as wings
        edge = p.z - rng.uniform(-1.5, 1.2) * p.d ** 2 - rng.uniform(.8, .88)
        _panel(image, _band(edge, 0, 9), edge, palette, palette.cap)
    if rng.random() < .55:  # mudguard
        edge = rng.uniform(.035, .06) + .04 * smooth_step(p.z, .6, 1) - p.up
        _panel(image, _band(edge, 0, 9), edge, palette, [palette.second, palette.accent][rng.integers(2)])
    if rng.random() < .75:  # heel counter
        edge = rng.uniform(.14, .24) - rng.uniform(-.2, .45) * p.up - p.z
        _panel(image, _band(edge, 0, 9), edge, palette, [palette.second, palette.accent, palette.cap][rng.integers(3)])
    _side_mark(p, image, [palette.accent, palette.second, palette.lace][rng.integers(3)], rng)
    if rng.random() < .6:  # heel tab
        back = _band(p.phi, np.pi - rng.uniform(.25, .5), 9, .05)
        _blend(image, back * _band(p.s, rng.uniform(.7, .85), 2), palette.accent)
    _laces(form, p, image, palette, rng)


def _side_mark(p, image, color, rng):
    """Bars, a swoosh, a wave, a band or a disc on both sides."""
    style, slant = rng.integers(6), rng.uniform(.3, 1.1)
    along = p.z + slant * p.up
    side = _band(p.d, .05, 9) * _band(p.phi, .5, 2.4, .05)
    if style <= 1:
        for start in rng.uniform(.4, .5) + np.arange(rng.integers(2, 5)) * .065:
            _blend(image, side * _band(along, start, start + .032) * _band(p.up, .03, .17), color)
    elif style == 2:
        t = (p.z - .2) / .5
        middle = .06 + .13 * (1 - t) ** 2
        _blend(image, side * _band(p.up, middle - .028 * t, middle + .03 * t) * _band(t, 0, 1.1), color)
    elif style == 3:
        middle = .1 + .025 * np.sin(rng.uniform(20, 32) * p.z)
        _blend(image, side * _band(p.up, middle - .014, middle + .014) * _band(p.z, .15, .75), color)
    elif style == 4:
        _blend(image, side * _band(p.up, .08, .125) * _band(p.z, .1, .68), color)
    else:
        _blend(image, side * _band(np.hypot(p.z - .3, p.up - .12), 0, .045), color)


def _laces(form, p, image, palette, rng):
    """Tongue, eyestay, eyelets and laces up the instep (high up the shaft of a boot)."""
    start = rng.uniform(.42, .5) if not form.shaft else rng.uniform(.3, .36)
    along = (p.s - start) / (.95 - start)
    front = (p.phi < 1.3) * _band(along, 0, 1.03, .02)
    wide = rng.uniform(.048, .062)
    edge = wide + .008 - p.d
    _panel(image, front * _band(edge, 0, 9), np.where(front > 0, edge, 9), palette, palette.second)
    _blend(image, front * _band(p.d, -1, wide * .55), palette.cap * .9 + .05)
    count = rng.integers(5, 8) + int(form.shaft * 8)
    cross = rng.random() < .6
    for sign in ((-1, 1) if cross else (0,)):
        phase = along * count + sign * p.x / wide * .5
        bar = _band(np.abs(phase % 1 - .5), -1, .17, .1)
        _blend(image, front * bar * _band(p.d, -1, wide * .85) * _band(along, .03, .97, .02), palette.lace)
    hole = np.hypot((along * count % 1 - .5) * .04, p.d - wide * .85)
    _blend(image, front * _band(hole, -1, .0075, .003), palette.lining * .5)
    if rng.random() < .7:  # the bow
        for side in (-1, 1):
            loop = np.hypot((along - .86) * .16, (p.x - side * .034) * .62)
            _blend(image, front * _band(loop, .010, .019, .004), palette.lace)


def _strapped(form, p, image, palette, rng):
    """Edges and buckles of sandals and slides."""
    if rng.random() < .6:
        _blend(image, .8 * (_band(p.s % .34, .02, .035) + _band(p.s % .34, .30, .315)), palette.stitch)
    if form.kind == "sandal":
        buckle = np.maximum(np.abs(p.z - rng.uniform(.36, .42)) - .012, np.abs(p.s - .86) * .3 - .012)
        _blend(image, _band(p.x, .03, 9) * _band(buckle, -.006, .01), np.array([.8, .72, .5]))
    else:
        style = rng.integers(3)
        if style == 0:
            _blend(image, _band(np.abs(p.z - .68), .02, .05), palette.accent)
        elif style == 1:
            for start in (.6, .68, .76):
                _blend(image, _band(p.z + .2 * p.d, start, start + .035), palette.accent)
        else:
            _blend(image, _band(np.hypot(p.z - .68, p.x), 0, .065), palette.accent)


def _dressed(form, p, image, palette, rng):
    """Seams, saddle, wing tip, gore, laces and straps of boots, loafers, flats and pumps."""
    if rng.random() < (.5 if form.kind != "pump" else .2):  # toe cap or wing tip
        edge = p.z + rng.uniform(-.2, .9) * p.d - rng.uniform(.82, .92)
        _panel(image, _band(edge, 0, 9), edge, palette, [palette.upper * .8, palette.second][rng.integers(2)])
    if rng.random() < .5:  # heel counter
        edge = rng.uniform(.12, .2) + rng.uniform(-.2, .2) * p.up - p.z
        _panel(image, _band(edge, 0, 9), edge, palette, [palette.upper * .85, palette.second][rng.integers(2)])
    if form.kind == "loafer":
        apron = np.where((p.phi < 1.6) & (p.s < .9), p.s - rng.uniform(.48, .56), 9)
        _panel(image, .25 * _band(apron, 0, 8), apron * .4, palette, palette.second)
        if rng.random() < .75:  # saddle strap, with or without a metal bit
            edge = .04 - np.abs(p.z + .1 * p.d - form.throat - .07)
            _panel(image, _band(edge, 0, 9) * (p.phi < 1.9), edge, palette, palette.second)
            metal = palette.accent if rng.random() < .5 else palette.lining * .5
            _blend(image, _band(edge, .026, 9) * _band(p.d, 0, .06), metal)
    elif form.kind in ("flat", "pump"):
        if rng.random() < .5:  # a bow or disc by the throat
            dots = np.hypot((p.z - form.throat - .035) * 1.6, np.minimum(np.abs(p.d - .022), p.d * 2))
            _blend(image, _band(dots, -1, .026) * (p.phi < 1.5), palette.accent)
        if rng.random() < .4:
            _blend(image, _band(p.s, .82, .955), palette.second)
    elif rng.random() < .45:
        _laces(form, p, image, palette, rng)
    else:
        if rng.random() < .6:  # elastic gore of a Chelsea boot
            middle = .24 + .1 * (p.up - .3)
            edge = .075 - .12 * np.clip(.32 - p.up, 0, 1) - np.abs(p.z - middle)
            edge = np.minimum(edge, p.up - .12)
            gore = _band(edge, 0, 9) * (p.d > .03)
            _panel(image, gore, edge, palette, palette.lining * (.7 + .3 * np.sin(500 * p.z))[..., None])
        for level in rng.uniform(.18, .9, rng.integers(0, 3)) * form.shaft:  # straps with a buckle
            edge = .022 - np.abs(p.up - level - .15 * (p.z - .25))
            _panel(image, _band(edge, 0, 9), edge, palette, palette.second)
            buckle = np.maximum(np.abs(edge - .022), np.abs(p.z - .25))
            _blend(image, _band(buckle, -1, .03) * (p.x > .03), palette.accent)
    if form.shaft and rng.random() < .5:  # pull tab, or a cuff
        mask = _band(p.phi, 2.95, 9, .05) if rng.random() < .6 else 1
        _blend(image, mask * _band(p.s, rng.uniform(.84, .92), 2), palette.second)


def _paint_sole(form, p, palette, rng):
    """The side of the sole: outsole or heel block, band, its line and texture."""
    image = _flat(p.z, palette.sole)
    _blend(image, _band(p.s, -1, OUTSOLE_TOP, .03), palette.outsole if not form.breast else palette.outsole * .8)
    if form.kind in ("sneaker", "runner", "high_top", "slide", "sandal"):
        style = rng.integers(5)
        if style == 0:  # line
            low = rng.uniform(.45, .7)
            _blend(image, _band(p.s, low, low + .12, .03), palette.accent)
        elif style == 1:  # ribs at the toe and the heel
            ribs = smooth_step(np.sin(rng.uniform(120, 200) * p.z), -.2, .4) * (1 - _band(p.z, .25, .75))
            _blend(image, .35 * ribs * _band(p.s, .3, .9, .03), palette.stitch)
        elif style == 2:  # cushion window under the heel
            _blend(image, _band(np.hypot((p.z - .2) / 2.2, (p.s - .58) * .1), -1, .04), palette.accent)
        elif style == 3:  # two-tone wedge
            _blend(image, _band(p.s - .9 + .55 * p.z, 0, 9, .03) * _band(p.s, .3, .95, .03), palette.second)
        if rng.random() < .3:
            image *= 1 + .12 * rng.standard_normal(p.z.shape)[..., None]
    elif rng.random() < .6:  # welt with stitches
        _blend(image, _band(p.s, .84, .9, .03) * (np.sin(220 * p.z) > 0), np.clip(palette.sole * 2 + .15, 0, 1))
    image *= (.72 + .28 * smooth_step(1 - p.s, .02, .12))[..., None]  # the ledge under the upper
    return image


def _paint_lining(p, palette):
    """The inside of the upper: darker the deeper."""
    return palette.lining * (1.05 - .6 * smooth_step(p.s, 0, .8))[..., None]


def _paint_insole(form, z, x, palette, rng):
    """The footbed: a logo under the heel, darker to the edges and towards the toe."""
    image = _flat(z, palette.insole)
    x = x - form.center(z)
    logo = rng.integers(3)
    if logo:
        reach = np.hypot((z - .2) / 1.5, x) if logo == 1 else np.maximum(np.abs(z - .2) / 2, np.abs(x))
        _blend(image, _band(reach, .02 if rng.random() < .5 else -1, .045), palette.accent)
    light = .85 if form.kind in ("sandal", "slide") else 1 - .45 * smooth_step(z, .3, .7)
    return image * (light - .25 * smooth_step(np.abs(x), .05, .16))[..., None]


def _paint_tread(form, z, x, palette, rng):
    """The underside: one of several patterns of grooves, a border, and a waist of its own."""
    image = _flat(z, palette.tread)
    f, style = rng.uniform(70, 120), rng.integers(6)
    wave = (np.sin(f * z + f * np.abs(x) * rng.uniform(.4, 1)), np.sin(f * z + 1.5 * np.sin(60 * x)),
            np.maximum(np.sin(f * z), np.sin(f * x)), np.sin(f * z) * np.sin(f * x) * 2 - .4,
            np.sin(f * np.hypot(z - .72, x)), np.sin(f * z))[style]
    smooth = .35 if form.kind in ("pump", "flat", "loafer") else 1.
    _blend(image, smooth * smooth_step(wave, .2, .6), palette.tread * .55 + .02)
    x = x - form.center(z)
    if rng.random() < .6:
        _blend(image, _band(z, .3, .5) * _band(np.abs(x), -1, .07), [palette.accent, palette.sole][rng.integers(2)])
    if rng.random() < .4:
        for middle, reach in ((.72, .11), (.13, .07)):
            _blend(image, _band(np.hypot((z - middle) / 1.2, x), reach - .012, reach), palette.accent)
    return image
