"""Objects without end: what six silhouettes and images must teach a field, by the thousand and exactly.

After Zeroverse of LRM-Zero (Xie et al. 2024, arXiv 2406.09371), which showed that shapes from rules alone can train a
reconstruction network; the rules here lean towards what six views leave open: thin walls, cavities, holes and handles.
`python -m utils.training_data.synthetic.shapes --count 48 --sheet sheet.png` draws some, in gray and in color.

Items made of these shapes are cached: whoever changes what a family draws raises object_cache.VARIANTS_VERSION.
"""
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from config import OptionParser, UserError, counted, run_script
from utils.mesh.mesh import Mesh, normalize, textured_mesh

# Families by the module their function is in, and how often they come. About half of all objects have thin walls,
# cavities, holes or handles.
FAMILIES = {
    "vessels": {"vessel": 14, "lidded": 4, "bottle": 4, "plate": 4},
    "containers": {"open_box": 8, "shell": 5, "packet": 7, "sheet": 3, "lamp": 3, "tubes": 3},
    "furniture": {"chair": 5, "armchair": 2, "table": 3, "bed": 2, "shelf": 3, "house": 2},
    "figures": {"figure": 7, "animal": 6, "swimmer": 3},
    "vehicles": {"car": 5, "plane": 4, "tool": 6},
    "footwear": {"shoe": 8},
    "primitives": {"extrusion": 5, "heap": 7, "carved": 4, "frame": 3},
}
FAMILY_WEIGHTS = {name: weight for families in FAMILIES.values() for name, weight in families.items()}
SPACING = 0.13  # longest edge of a face, normalized units: fine enough to bend and to carry shade
LEAST_VOLUME = 2e-3  # normalized units cubed; less is a sliver that no view shows
LEAST_PIECE = 1e-3  # fraction of the largest piece's volume; less is a chip that a cut left behind
MOST_FACES = 60_000  # a finer object is drawn again: it would take seconds to render
TRIES = 20  # draws before the generator gives up; one in a hundred fails
RELIEF_SHARE, BENT_SHARE, STRETCHED_SHARE = 0.1, 0.15, 0.4
LYING_SHARE = 0.06
ON_ITS_OWN = ("heap", "carved", "tubes", "extrusion")  # families without an upright, turned anyhow now and then


def synthetic_shape(rng: np.random.Generator) -> Mesh:
    """One random object.

    Args:
        rng: np.random.Generator; equal states give equal objects.
    Returns:
        utils.mesh.mesh.Mesh, closed, normalized, +y up and its front towards +z, painted.
    """
    return named_shape(rng)[1]


def named_shape(rng: np.random.Generator, family: str | None = None) -> tuple[str, Mesh]:
    """One random object and its family's name.

    Args:
        rng: np.random.Generator.
        family: one of FAMILY_WEIGHTS, or None to draw it.
    Returns:
        name, Mesh as of `synthetic_shape`.
    Raises:
        RuntimeError: TRIES draws in a row came out empty or too fine.
    """
    names = list(FAMILY_WEIGHTS)
    for _ in range(TRIES):
        name = family or names[rng.choice(len(names), p=np.divide(list(FAMILY_WEIGHTS.values()),
                                                                   sum(FAMILY_WEIGHTS.values())))]
        mesh = _shoe(rng) if name == "shoe" and rng.random() < 0.6 else _assembled(name, rng)
        if mesh is not None:
            return name, mesh
    raise RuntimeError(f"{TRIES} draws of {family or 'a synthetic shape'} gave nothing solid")


def _assembled(name, rng):
    """The object of a family, united, deformed, normalized and painted; None where the draw is no use."""
    from utils.training_data.synthetic.solids import subdivided, union
    from utils.training_data.synthetic.textures import painted

    solid = union(*family_function(name)(rng))
    if solid.is_empty():
        return None
    low, high = np.reshape(solid.bounding_box(), (2, 3))
    edge = (high - low).max() / 2
    if solid.volume() < LEAST_VOLUME * edge ** 3:
        return None
    arrays = solid.to_mesh64()
    faces = np.asarray(arrays.tri_verts).astype(np.int64)
    vertices = np.asarray(arrays.vert_properties)[:, :3].astype(np.float64)
    # Runs of triangles that came from one solid; their numbers grow for as long as the process lives.
    counts = np.diff(np.asarray(arrays.run_index, np.int64)) // 3
    _, number = np.unique(np.asarray(arrays.run_original_id, np.int64), return_inverse=True)
    part = np.repeat(number, counts)
    vertices, faces, part = _without_voids(vertices, faces, part)
    if faces is None:
        return None
    vertices, faces, part = subdivided(normalize(vertices), faces, part, SPACING)
    if len(faces) > MOST_FACES:
        return None
    vertices = deformed(vertices, name, rng)
    return painted(normalize(vertices), faces, part, rng)


def _without_voids(vertices, faces, part):
    """The surface without closed cavities, which nobody sees, and without parts of no size; None for faces if empty."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = faces[:, :2].T, faces[:, 1:].T
    rows, columns = np.concatenate([pairs[0][0], pairs[1][0]]), np.concatenate([pairs[0][1], pairs[1][1]])
    count, shell = connected_components(coo_matrix((np.ones(len(rows)), (rows, columns)), (len(vertices),) * 2), False)
    corners = vertices[faces]
    volumes = np.bincount(shell[faces[:, 0]], np.einsum("ij,ij->i", corners[:, 0],
                                                        np.cross(corners[:, 1], corners[:, 2])) / 6, count)
    keep = (volumes > LEAST_PIECE * volumes.max())[shell[faces[:, 0]]]
    if not keep.any():
        return vertices, None, None
    used, compact = np.unique(faces[keep], return_inverse=True)
    _, part = np.unique(part[keep], return_inverse=True)
    return vertices[used], compact.reshape(-1, 3).astype(np.int64), part


def family_function(name: str) -> Callable:
    """The function of a family, from random generator to list of solids; its module is loaded when first asked for."""
    from utils.training_data.synthetic import containers, figures, footwear, furniture, primitives, vehicles, vessels

    modules = {"containers": containers, "figures": figures, "footwear": footwear, "furniture": furniture,
               "primitives": primitives, "vehicles": vehicles, "vessels": vessels}
    return getattr(modules[next(module for module, families in FAMILIES.items() if name in families)], name)


def deformed(vertices: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
    """Vertices (V, 3) in [-1, 1], stretched, bent, twisted, tapered, set in relief or laid down, each now and then."""
    if rng.random() < STRETCHED_SHARE:
        vertices = vertices * np.exp(0.15 * rng.normal(size=3)).clip(0.7, 1.4)
    if rng.random() < BENT_SHARE:
        vertices = (_bent, _twisted, _tapered)[rng.integers(3)](vertices, rng)
    if rng.random() < RELIEF_SHARE:
        vertices = _relief(vertices, rng)
    if name in ON_ITS_OWN and rng.random() < 0.4:
        return vertices @ _turn(rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5), rng.uniform(0, 2 * np.pi)).T
    if rng.random() < LYING_SHARE:
        return vertices @ _turn(rng.uniform(0, 2 * np.pi), np.pi / 2, 0).T
    if rng.random() < 0.5:  # people set things askew
        quarter = np.pi / 2 * rng.integers(0, 4) * (rng.random() < 0.5)
        return vertices @ _turn(quarter + rng.uniform(-0.6, 0.6) * (rng.random() < 0.5), 0, 0).T
    return vertices


def _turn(about_y, about_x, about_z):
    """(3, 3) rotation about z, then x, then y; radians."""
    (cy, cx, cz), (sy, sx, sz) = np.cos([about_y, about_x, about_z]), np.sin([about_y, about_x, about_z])
    return (np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
            @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]))


def _bent(vertices, rng):
    """Bent along y towards x or z, by up to a quarter turn over the height."""
    curvature, axis = rng.uniform(0.15, 0.6) * rng.choice([-1, 1]), rng.choice([0, 2])
    along, across = vertices[:, 1] + 1, vertices[:, axis]
    moved = vertices.copy()
    moved[:, axis] = 1 / curvature - (1 / curvature - across) * np.cos(along * curvature)
    moved[:, 1] = (1 / curvature - across) * np.sin(along * curvature)
    return moved


def _twisted(vertices, rng):
    """Twisted about y by up to 35 degrees a unit."""
    angle = rng.uniform(-0.6, 0.6) * vertices[:, 1]
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * vertices[:, 0] - s * vertices[:, 2], vertices[:, 1],
                    s * vertices[:, 0] + c * vertices[:, 2]], 1)


def _tapered(vertices, rng):
    """Narrower at the top or the bottom."""
    scale = 1 + rng.uniform(-0.35, 0.35) * vertices[:, 1:2]
    return vertices * np.concatenate([scale, np.ones_like(scale), scale], 1)


def _relief(vertices, rng):
    """Every point moved by a few plane waves, the same for both sides of a thin wall: dents and bulges, never holes."""
    for _ in range(rng.integers(2, 6)):
        wave = rng.normal(size=3) * rng.uniform(1, 5)
        push = rng.normal(size=3)
        push *= rng.uniform(0.1, 0.4) / np.linalg.norm(push) / np.linalg.norm(wave) / 2
        vertices = vertices + push * np.sin(vertices @ wave + rng.uniform(0, 7))[:, None]
    return vertices


def _shoe(rng):
    """A shoe of the shoe generator, stretched a little, in its own texture or another paint."""
    from utils.training_data.synthetic.shoes import make_shoe
    from utils.training_data.synthetic.textures import painted

    shoe = make_shoe(int(rng.integers(2 ** 31)), 128)
    vertices = normalize(np.asarray(shoe.vertices, np.float64) * np.exp(0.1 * rng.normal(size=3)))
    if rng.random() < 0.3:
        vertices = normalize(_relief(vertices, rng))
    if rng.random() < 0.4:
        return textured_mesh(vertices, shoe.faces, shoe.uvs, shoe.face_uvs, shoe.texture)
    # Sole, upper and lining: told apart by the rows of the atlas that faces lie in.
    part = np.digitize(shoe.uvs[shoe.face_uvs].mean(axis=1)[:, 1], [0.2, 0.5, 0.8])
    return painted(vertices, np.asarray(shoe.faces, np.int64), np.unique(part, return_inverse=True)[1], rng)


# ------------------------------------------------------------------------------------------------ contact sheet

TILE, LABEL, COLUMNS = 128, 12, 6  # pixels of an image and of the line under it; objects in a row
OBLIQUE = ((35, 25), (215, -15))  # azimuth and elevation in degrees of the two cameras
SHRUNK = 0.8  # so that a box's corners stay in an oblique image
GROUND = 225  # gray level behind colored images, so that white objects show
LAMP = np.array([0.45, 0.75, 0.5])


def gray_image(mesh: Mesh, basis: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8: the mesh in plain gray under one lamp beside the camera, whatever its paint."""
    from utils.rendering.rasterizer import rasterize

    index = rasterize(mesh.vertices, mesh.faces, basis, 2 * size, weights=False).face_index
    normals = mesh.normals() @ np.asarray(basis).T
    facing = np.where(normals @ [0, 0, 1] < 0, 0.0, 0.2 + 0.8 * (normals @ (LAMP / np.linalg.norm(LAMP))).clip(0))
    inverted = normals @ [0, 0, 1] < -0.05  # a face seen from within: drawn red, since a closed solid shows none
    colors = np.where(inverted[:, None], [0.9, 0.1, 0.1], facing[:, None].repeat(3, 1))
    image = np.where((index >= 0)[..., None], colors[index], 1.0)
    return np.round(image.reshape(size, 2, size, 2, 3).mean((1, 3)) * 255).astype(np.uint8)


def draw_sheet(shapes: list[tuple[str, Mesh]], path: str | Path) -> None:
    """Draw objects [(name, Mesh)] to an image file: gray from before and from behind below, then in color."""
    from PIL import Image, ImageDraw

    from utils.rendering.cameras import camera_basis
    from utils.rendering.rasterizer import render

    bases = [camera_basis(*angles) for angles in OBLIQUE]
    rows = -(-len(shapes) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (3 * TILE + 4), rows * (TILE + LABEL)), "white")
    for number, (name, mesh) in enumerate(shapes):
        mesh = replace(mesh, vertices=SHRUNK * mesh.vertices)
        left, top = number % COLUMNS * (3 * TILE + 4), number // COLUMNS * (TILE + LABEL)
        rgba = render(mesh, bases[0], TILE)
        rgba[rgba[..., 3] == 0, :3] = GROUND
        tiles = [gray_image(mesh, basis, TILE) for basis in bases] + [rgba[..., :3]]
        for column, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile), (left + column * TILE, top))
        ImageDraw.Draw(sheet).text((left + 3, top + TILE - 1), f"{name}  {len(mesh.faces)}", fill="black")
    sheet.save(path)


def main(argv: list[str]) -> None:
    """Read the options, draw the sheet, say how long each family took."""
    import time

    parser = OptionParser(description="Draw random objects to a contact sheet, gray and colored.")
    parser.add_argument("--count", type=int, default=48, help="number of objects (default 48)")
    parser.add_argument("--first_seed", type=int, default=0, help="seed of the first; the rest follow it (default 0)")
    parser.add_argument("--family", choices=tuple(FAMILY_WEIGHTS), help="draw one family alone")
    parser.add_argument("--sheet", required=True, help="image file to write")
    options = parser.parse_args(argv)
    if not 1 <= options.count <= 1000 or options.first_seed < 0:
        raise UserError(
            f"--count {options.count} --first_seed {options.first_seed}: need 1 to 1000 objects, seeds from 0")
    shapes, seconds = [], {}
    for seed in range(options.first_seed, options.first_seed + options.count):
        start = time.perf_counter()
        shapes.append(named_shape(np.random.default_rng(seed), options.family))
        seconds.setdefault(shapes[-1][0], []).append(time.perf_counter() - start)
    draw_sheet(shapes, options.sheet)
    for name, spent in sorted(seconds.items()):
        print(f"{name:10s} {counted(len(spent), 'object'):>12s} {np.mean(spent):6.3f} s each, longest {max(spent):.3f} s")


if __name__ == "__main__":
    run_script(main)
