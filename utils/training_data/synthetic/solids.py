"""Building blocks of procedural objects: closed solids that unite and subtract exactly (manifold3d), +y up.

Every function returns a `manifold3d.Manifold`, whose surface is closed by construction; unions and differences of them
are closed as well, and their genus is that of the solid, so a mug has one handle and not eight.
"""
from collections.abc import Callable, Sequence

import numpy as np
from manifold3d import CrossSection, JoinType, Manifold, Mesh64, OpType

CORNER = 20  # points of the ball that rounds a box's corner, about


def unit(vector: np.ndarray) -> np.ndarray:
    """`vector` (..., 3) at length 1."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)


def from_arrays(vertices: np.ndarray, faces: np.ndarray) -> Manifold:
    """Solid of a closed triangle mesh: vertices (V, 3) float, faces (F, 3) int; empty where it is not a manifold."""
    corners = np.asarray(vertices, np.float64)[faces]
    if np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0:
        faces = faces[:, ::-1]  # inside out
    return Manifold(Mesh64(np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.uint64)))


def union(*solids: Manifold) -> Manifold:
    """One solid of several; they keep their own identities, by which parts are painted."""
    return Manifold.batch_boolean([solid for solid in solids if not solid.is_empty()], OpType.Add)


def group(*solids: Manifold) -> Manifold:
    """A union that counts as one part, painted alike."""
    return union(*solids).as_original()


def box(size: Sequence[float], center: Sequence[float] = (0, 0, 0), rounding: float = 0.0,
        chamfer: bool = False) -> Manifold:
    """Box of edge lengths `size` (3,) about `center`; edges rounded (or cut off) by `rounding`, a length."""
    size = np.maximum(np.asarray(size, np.float64), 1e-3)
    rounding = min(rounding, 0.49 * size.min())
    if rounding < 1e-3:
        return Manifold.cube(size.tolist(), True).translate(tuple(center))
    signs = np.stack(np.meshgrid(*[[-1, 1]] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    ball = np.eye(3)[None] * signs if chamfer else _ball_points(CORNER)[None]
    points = signs * (size / 2 - rounding) + rounding * ball
    return Manifold.hull_points(points.reshape(-1, 3)).translate(tuple(center))


def _ball_points(count):
    """(count + 6, 3) points on the unit sphere, the six poles among them, so that a rounded box keeps its size."""
    index = np.arange(count) + 0.5
    polar, around = np.arccos(1 - 2 * index / count), np.pi * (1 + 5 ** 0.5) * index
    spiral = np.stack([np.cos(around) * np.sin(polar), np.cos(polar), np.sin(around) * np.sin(polar)], 1)
    return np.concatenate([spiral, np.eye(3), -np.eye(3)])


def ball(radii: float | Sequence[float], center: Sequence[float] = (0, 0, 0), segments: int = 40) -> Manifold:
    """Ellipsoid of half axes `radii` (3,) or one radius."""
    radii = np.broadcast_to(np.asarray(radii, np.float64), 3)
    return Manifold.sphere(1.0, segments).scale(radii.tolist()).translate(tuple(center))


def rod(start: Sequence[float], end: Sequence[float], radius: float, end_radius: float | None = None,
        segments: int = 20) -> Manifold:
    """Cylinder or cone between two points (3,)."""
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    length = np.linalg.norm(end - start)
    solid = Manifold.cylinder(max(length, 1e-3), radius, radius if end_radius is None else end_radius, segments)
    return solid.transform(np.column_stack([_frame(end - start), start]))


def _frame(direction):
    """(3, 3) rotation whose third column is along `direction`."""
    forward = unit(np.asarray(direction, np.float64))
    side = unit(np.cross(np.eye(3)[np.abs(forward).argmin()], forward))
    return np.column_stack([side, np.cross(forward, side), forward])


def rotated(solid: Manifold, axis: int, degrees: float) -> Manifold:
    """Turned about axis 0, 1 or 2 (x, y, z) through the origin."""
    angles = [0.0, 0.0, 0.0]
    angles[axis] = degrees
    return solid.rotate(angles)


def extrude(contours: CrossSection | list[np.ndarray], depth: float, axis: int = 2) -> Manifold:
    """Prism of a 2D shape, `depth` thick about the origin, along axis 0, 1 or 2.

    Args:
        contours: CrossSection or list of (N, 2) closed contours; counter-clockwise ones are solid, the others holes.
        depth: length along the axis.
        axis: 2: contours lie in (x, y); 1: in (x, -z), seen from above; 0: in (-z, y), seen from +x.
    """
    section = contours if isinstance(contours, CrossSection) else CrossSection([np.asarray(c) for c in contours])
    solid = Manifold.extrude(section, depth).translate([0, 0, -depth / 2])
    return solid if axis == 2 else rotated(solid, 1, 90) if axis == 0 else rotated(solid, 0, -90)


def lathe(profile: CrossSection | np.ndarray, segments: int = 56, outline_of: Callable | None = None) -> Manifold:
    """Solid of revolution about y.

    Args:
        profile: CrossSection, or (N, 2) closed polygon of (radius, height), radius >= 0, counter-clockwise.
        segments: corners of its circles.
        outline_of: function from angles (V,) to factors of the radius, for lobed or square vessels; None for round.
    """
    section = profile if isinstance(profile, CrossSection) else CrossSection([np.asarray(profile, np.float64)])
    solid = rotated(Manifold.revolve(section, segments), 0, -90)
    return solid if outline_of is None else solid.warp_batch(lambda points: reshaped(points, outline_of))


def reshaped(points: np.ndarray, outline_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Points (V, 3) moved away from the y axis by the factor `outline_of(angle)`."""
    factor = outline_of(np.arctan2(points[:, 2], points[:, 0]))
    return points * np.stack([factor, np.ones_like(factor), factor], 1)


def vessel_profiles(radii: np.ndarray, heights: np.ndarray, wall: float,
                    floor: float) -> tuple[np.ndarray, CrossSection]:
    """Outer and inner profile of a vessel for `lathe`; the inner one reaches above the rim, to be subtracted.

    Args:
        radii, heights: (N,), the outer wall from the foot up, heights rising.
        wall, floor: thicknesses; the wall's is the same all over, however it slopes.
    Returns:
        outer: (K, 2); inner: CrossSection.
    """
    outer = np.concatenate([[(0, heights[0])], np.stack([radii, heights], 1), [(0, heights[-1])]])
    above = heights[-1] + 1
    right = np.concatenate([np.stack([radii, heights], 1), [(radii[-1], above + 2 * wall)]])
    both = CrossSection([np.concatenate([right, right[::-1] * [-1, 1]])]).offset(-wall, JoinType.Round, 2.0, 16)
    low = heights[0] + max(floor, wall)
    half = CrossSection([np.array([(0, low), (9, low), (9, above), (0, above)])])
    return outer, (both ^ half).simplify(0.05 * wall)


def loft(rings: np.ndarray) -> Manifold:
    """Closed surface through rings (R, S, 3) of S points each, both ends covered by fans; see `from_arrays`."""
    rings = np.asarray(rings, np.float64)
    count, spokes = rings.shape[:2]
    vertices = np.concatenate([rings.reshape(-1, 3), rings[[0, -1]].mean(axis=1)])
    ring, spoke = np.meshgrid(np.arange(count - 1), np.arange(spokes), indexing="ij")
    here, beside = ring * spokes + spoke, ring * spokes + (spoke + 1) % spokes
    walls = [np.stack([here, beside, here + spokes], -1), np.stack([beside, beside + spokes, here + spokes], -1)]
    first = np.arange(spokes)
    last = first + (count - 1) * spokes
    start, end = np.full(spokes, count * spokes), np.full(spokes, count * spokes + 1)
    caps = [np.stack([start, np.roll(first, -1), first], -1), np.stack([end, last, np.roll(last, -1)], -1)]
    faces = np.concatenate([wall.reshape(-1, 3) for wall in walls] + caps)
    return from_arrays(vertices, faces)


def slab(front: np.ndarray, back: np.ndarray) -> Manifold:
    """Solid between two sheets of points (M, N, 3) that correspond, closed along their four sides."""
    rows, columns = front.shape[:2]
    index = np.arange(2 * rows * columns).reshape(2, rows, columns)
    # Once around the border.
    border = np.concatenate([index[:, 0, :-1], index[:, :-1, -1], index[:, -1, :0:-1], index[:, :0:-1, 0]], axis=1)
    quads = [np.stack([index[0, :-1, :-1], index[0, 1:, :-1], index[0, 1:, 1:], index[0, :-1, 1:]], -1).reshape(-1, 4),
             np.stack([index[1, :-1, :-1], index[1, :-1, 1:], index[1, 1:, 1:], index[1, 1:, :-1]], -1).reshape(-1, 4),
             np.stack([border[0], np.roll(border[0], -1), np.roll(border[1], -1), border[1]], -1)]
    quads = np.concatenate(quads)
    faces = np.concatenate([quads[:, (0, 1, 2)], quads[:, (0, 2, 3)]])
    return from_arrays(np.concatenate([front.reshape(-1, 3), back.reshape(-1, 3)]), faces)


def curve(points: np.ndarray, count: int = 32, closed: bool = False) -> np.ndarray:
    """(count, 3) points along the smooth curve through `points` (N, 3), evenly by the cubic's parameter."""
    from scipy.interpolate import CubicSpline

    points = np.asarray(points, np.float64)
    if closed:
        points = np.concatenate([points, points[:1]])
    chord = np.maximum(np.linalg.norm(np.diff(points, axis=0), axis=1), 1e-6)
    knots = np.concatenate([[0], np.cumsum(chord)]) / chord.sum()
    spline = CubicSpline(knots, points, bc_type="periodic" if closed else "natural")
    return spline(np.linspace(0, 1, count, endpoint=not closed))


def tube(path: np.ndarray, radius: float | np.ndarray, aspect: float = 1.0, power: float = 2.0,
         up: Sequence[float] | None = None, segments: int = 16, closed: bool = False) -> Manifold:
    """Sweep of a superellipse along a path.

    Args:
        path: (N, 3) points.
        radius: number or (N,), half width of the section along the path's normal.
        aspect: half width across, over `radius`.
        power: of the superellipse; 2 round, above towards a rectangle.
        up: (3,) direction that the section's first axis keeps near to; None carries it along without twist.
        segments: points of a section.
        closed: the path's end meets its start (give `up`, or twist may leave a seam).
    """
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    path = np.asarray(path, np.float64)
    count = len(path)
    tangents = unit(np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)) if closed else unit(np.gradient(path, axis=0))
    normals = np.empty_like(path)
    normal = _frame(tangents[0])[:, 0] if up is None else np.asarray(up, np.float64)
    for index, tangent in enumerate(tangents):
        towards = normal if up is None else np.asarray(up, np.float64)
        side = towards - tangent * (towards @ tangent)
        normal = unit(side) if np.linalg.norm(side) > 1e-3 else normal
        normals[index] = normal
    across = np.cross(tangents, normals)
    angle = np.arange(segments) / segments * 2 * np.pi
    shape = superellipse_points(angle, power)
    # Where the path turns more sharply than its section is wide, the section would pass through itself.
    following = np.roll(tangents, -1, axis=0) if closed else np.concatenate([tangents[1:], tangents[-1:]])
    steps = np.roll(path, -1, axis=0) - path if closed else np.gradient(path, axis=0)
    turning = np.linalg.norm(following - tangents, axis=1) / np.maximum(np.linalg.norm(steps, axis=1), 1e-9)
    widest = 0.8 / np.maximum(turning * max(1.0, aspect if up is None else 1.0), 1e-6)
    mode, window = "wrap" if closed else "nearest", max(count // 5, 3)
    widest = uniform_filter1d(minimum_filter1d(widest, window, mode=mode), window, mode=mode)
    radius = np.minimum(radius, widest)[:, None, None]
    rings = path[:, None] + radius * (normals[:, None] * shape[:, :1] + aspect * across[:, None] * shape[:, 1:])
    if not closed:
        return loft(rings)
    ring, spoke = np.meshgrid(np.arange(count), np.arange(segments), indexing="ij")
    here, beside = ring * segments + spoke, ring * segments + (spoke + 1) % segments
    ahead, diagonal = (here + segments) % (count * segments), (beside + segments) % (count * segments)
    faces = np.stack([np.stack([here, beside, ahead], -1), np.stack([beside, diagonal, ahead], -1)]).reshape(-1, 3)
    return from_arrays(rings.reshape(-1, 3), faces)


def superellipse_points(angle: np.ndarray, power: float) -> np.ndarray:
    """(S, 2) points of |x|^power + |y|^power = 1 (Barr 1981) at angles (S,) in radians from the center."""
    distance = (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], 1)


def blend(limbs: list[tuple], smoothness: float, cells: int = 60) -> Manifold:
    """Smooth union of capsules and ellipsoids, by marching cubes over their signed distances (Quilez 2013).

    Args:
        limbs: list of (start (3,), end (3,), start radius, end radius, stretch (3,)): a round cone, in space that is
            stretched by `stretch` about its start.
        smoothness: length over which limbs melt into one another.
        cells: of the grid along its longest edge.
    Returns:
        Manifold, maybe of several parts; empty where marching cubes gives no closed surface.
    """
    from skimage.measure import marching_cubes

    starts, ends = np.array([limb[0] for limb in limbs], float), np.array([limb[1] for limb in limbs], float)
    reach = np.array([max(limb[2], limb[3]) * np.max(limb[4]) for limb in limbs])[:, None]
    low = np.minimum(starts, ends).min(0) - reach.max() - smoothness
    high = np.maximum(starts, ends).max(0) + reach.max() + smoothness
    low = np.maximum(low, (np.minimum(starts, ends) - reach).min(0) - 0.5 * smoothness)
    high = np.minimum(high, (np.maximum(starts, ends) + reach).max(0) + 0.5 * smoothness)
    step = (high - low).max() / cells
    low, counts = low - 2 * step, np.ceil((high - low) / step).astype(int) + 5
    axes = [(low[i] + step * np.arange(counts[i])).astype(np.float32) for i in range(3)]
    total = np.full(counts, 4 * smoothness, np.float32)
    for (start, end, first, last, stretch), extent in zip(limbs, reach[:, 0]):
        margin = extent + 3 * smoothness
        near = [slice(*np.searchsorted(axis, (min(start[i], end[i]) - margin, max(start[i], end[i]) + margin)))
                for i, axis in enumerate(axes)]
        stretch = np.asarray(stretch, np.float32)
        offset = [((axes[i][near[i]] - np.float32(start[i])) / stretch[i]).reshape(np.roll([-1, 1, 1], i))
                  for i in range(3)]
        bone = ((np.asarray(end) - start) / stretch).astype(np.float32)
        along = sum(offset[i] * bone[i] for i in range(3)) / max(float(bone @ bone), 1e-9)
        along = np.clip(along, 0, 1)
        distance = np.sqrt(sum((offset[i] - along * bone[i]) ** 2 for i in range(3)))
        distance = (distance - (first + (last - first) * along)) * float(stretch.min())
        view = total[tuple(near)]
        # Polynomial smooth minimum.
        share = np.clip(0.5 + 0.5 * (view - distance) / smoothness, 0, 1)
        view += (distance - view) * share - smoothness * share * (1 - share)
    vertices, faces, _, _ = marching_cubes(-total, 0.0)
    return from_arrays(vertices * step + low, faces[:, ::-1])


def subdivided(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray,
               longest: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same surface with no edge longer than `longest`: all long edges are halved at once, until none is left.

    manifold3d's `refine_to_length` folds flat faces where triangles are thin; halving cannot.

    Args:
        vertices: (V, 3) float64.
        faces: (F, 3) int64, closed.
        part: (F,) int, inherited by what a face is cut into.
        longest: length.
    Returns:
        vertices, faces, part.
    """
    while True:
        pairs = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], -1), axis=-1)
        halved = ((vertices[pairs[..., 0]] - vertices[pairs[..., 1]]) ** 2).sum(-1) > longest ** 2
        if not halved.any():
            return vertices, faces, part
        keys, index = np.unique(pairs[halved] @ [len(vertices), 1], return_inverse=True)
        middle = np.full(faces.shape, -1)
        middle[halved] = len(vertices) + index
        vertices = np.concatenate([vertices, (vertices[keys // len(vertices)] + vertices[keys % len(vertices)]) / 2])
        count, pieces, origins = halved.sum(1), [faces[~halved.any(1)]], [np.flatnonzero(~halved.any(1))]
        for number in (1, 2, 3):
            rows = np.flatnonzero(count == number)
            # Turned so that the halved edges come first: 0-1, then 1-2.
            first = halved[rows].argmax(1) if number != 2 else (~halved[rows]).argmax(1) + 1
            turn = (first[:, None] + np.arange(3)) % 3
            a, b, c = np.take_along_axis(faces[rows], turn, 1).T
            ab, bc, ca = np.take_along_axis(middle[rows], turn, 1).T
            if number == 1:
                cut = [(a, ab, c), (ab, b, c)]
            elif number == 2:
                short = (((vertices[a] - vertices[bc]) ** 2).sum(1) < ((vertices[c] - vertices[ab]) ** 2).sum(1))
                cut = [(ab, b, bc), (a, ab, np.where(short, bc, c)), (np.where(short, a, ab), bc, c)]
            else:
                cut = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
            pieces += [np.stack(corners, 1) for corners in cut]
            origins += [rows] * len(cut)
        faces, part = np.concatenate(pieces), part[np.concatenate(origins)]
