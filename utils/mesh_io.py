"""Reading any coloured mesh through trimesh, and writing OBJ + MTL + PNG or GLB.

Every source of colour (texture, vertex colours, face colours, plain material) ends in one form, `Mesh`, so that
sampling and drawing need to know nothing about file formats.
"""
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from config import UserError
from utils.files import replacing

MESH_EXTENSIONS = (".obj", ".glb", ".gltf", ".ply", ".off", ".stl")
GREY = 0.7  # sRGB of a surface that has no colour of its own


@dataclass
class Mesh:
    """Triangles with a colour at every point: corner colour times texture.

    vertices: (V, 3) float64, positions.
    faces: (F, 3) int64, indices into vertices.
    corner_colors: (F, 3, 3) float32, sRGB in [0, 1] at each face's corners.
    corner_uvs: (F, 3, 2) float32, texture coordinates; (0, 0) is a texture's lower left.
    face_texture: (F,) int32, index into textures, -1 for none.
    textures: list of (H, W, 3) uint8 sRGB pictures, first row at the top.
    """

    vertices: np.ndarray
    faces: np.ndarray
    corner_colors: np.ndarray
    corner_uvs: np.ndarray
    face_texture: np.ndarray
    textures: list = field(default_factory=list)

    def colors_at(self, face_index, barycentric):
        """Colour of points on the surface.

        Args:
            face_index: (K,) int.
            barycentric: (K, 3) float, weights of the face's three corners, summing to 1.
        Returns:
            (K, 3) float32 sRGB in [0, 1]; textures are read bilinearly and repeat outside [0, 1].
        """
        barycentric = np.asarray(barycentric, np.float32)
        colors = np.einsum("kcj,kc->kj", self.corner_colors[face_index], barycentric)
        for number, texture in enumerate(self.textures):
            hit = np.flatnonzero(self.face_texture[face_index] == number)
            uv = np.einsum("kcj,kc->kj", self.corner_uvs[face_index[hit]], barycentric[hit])
            colors[hit] *= _read_texture(texture, uv)
        return colors

    def normals(self):
        """(F, 3) float64 unit face normals by the right-hand rule; zero for a face without area."""
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        cross = np.cross(b - a, c - a)
        length = np.linalg.norm(cross, axis=1, keepdims=True)
        return np.divide(cross, length, out=np.zeros_like(cross), where=length > 0)


def plain_mesh(vertices, faces, color=(GREY, GREY, GREY)):
    """A `Mesh` of one colour: vertices (V, 3), faces (F, 3), color sRGB in [0, 1]."""
    faces = np.asarray(faces, np.int64)
    return Mesh(np.asarray(vertices, np.float64), faces,
                np.broadcast_to(np.float32(color), (len(faces), 3, 3)).copy(),
                np.zeros((len(faces), 3, 2), np.float32), np.full(len(faces), -1, np.int32))


def textured_mesh(vertices, faces, uvs, face_uvs, texture):
    """A `Mesh` with one texture: uvs (T, 2), face_uvs (F, 3) indices into uvs, texture (H, W, 3) uint8."""
    mesh = plain_mesh(vertices, faces, (1, 1, 1))
    mesh.corner_uvs = np.asarray(uvs, np.float32)[face_uvs]
    mesh.face_texture[:] = 0
    mesh.textures = [np.asarray(texture, np.uint8)]
    return mesh


def colored_mesh(vertices, faces, vertex_colors):
    """A `Mesh` with one sRGB colour in [0, 1] per vertex: vertex_colors (V, 3)."""
    mesh = plain_mesh(vertices, faces)
    mesh.corner_colors = np.asarray(vertex_colors, np.float32)[mesh.faces]
    return mesh


def normalise(vertices, faces=None):
    """Centre the bounding box at the origin and scale its longest edge to 2 (the normalised frame).

    Args:
        vertices: (V, 3) float.
        faces: (F, 3) int or None; if given, only vertices that a face uses count for the box.
    Returns:
        (V, 3) float64. A single point goes to the origin.
    """
    vertices = np.asarray(vertices, np.float64)
    used = vertices if faces is None else vertices[np.unique(faces)]
    low, high = used.min(0), used.max(0)
    edge = (high - low).max()
    return (vertices - (low + high) / 2) * (2 / edge if edge > 0 else 1.0)


def sample_surface(mesh, count, rng):
    """Points spread evenly over the surface by area, with normals and colours.

    Args:
        mesh: Mesh with at least one face that has area.
        count: number of points K.
        rng: numpy Generator.
    Returns:
        points (K, 3), normals (K, 3) unit, colours (K, 3) sRGB in [0, 1]; all float32.
    """
    corners = mesh.vertices[mesh.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    # Stratified: one draw in each of `count` equal slices of the total area spreads better than free draws.
    slices = (np.arange(count) + rng.random(count)) / count
    cumulative = np.cumsum(areas)
    face_index = np.searchsorted(cumulative, slices * cumulative[-1], side="right").clip(max=len(areas) - 1)
    root, other = np.sqrt(rng.random(count)), rng.random(count)
    barycentric = np.stack([1 - root, root * (1 - other), root * other], axis=1)
    points = np.einsum("kcj,kc->kj", corners[face_index], barycentric)
    colors = mesh.colors_at(face_index, barycentric)
    return points.astype(np.float32), mesh.normals()[face_index].astype(np.float32), colors.astype(np.float32)


def read_mesh(path):
    """Read a mesh of any supported format with all its parts and colours.

    Args:
        path: .obj (with MTL and textures), .glb, .gltf, .ply, .off or .stl file.
    Returns:
        mesh: Mesh in the file's own coordinates, faces without area removed.
        warnings: list of str, one for each missing MTL or texture file, naming it.
    Raises:
        UserError: the file cannot be read, has no faces, or has vertices that are not finite; it names the file.
    """
    import trimesh

    path = Path(path)
    notes = _missing_materials(path) if path.suffix.lower() == ".obj" else []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scene = trimesh.load_scene(path, process=False, maintain_order=True)
        # dump() applies each part's place in the scene; lines and point clouds are left out.
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except Exception as error:  # trimesh's readers raise whatever their parsing meets
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: cannot be read as a mesh ({reason})") from None
    if not parts:
        raise UserError(f"{path}: has no faces")
    mesh = _join([_from_trimesh(part) for part in parts])
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise UserError(f"{path}: a face names a vertex that does not exist")
    if not np.isfinite(mesh.vertices[mesh.faces]).all():
        raise UserError(f"{path}: has vertices that are not finite numbers (NaN or infinity)")
    solid = np.linalg.norm(mesh.normals(), axis=1) > 0
    if not solid.any():
        raise UserError(f"{path}: all its faces have zero area")
    keep = Mesh(mesh.vertices, mesh.faces[solid], mesh.corner_colors[solid], mesh.corner_uvs[solid],
                mesh.face_texture[solid], mesh.textures)
    return keep, notes


def mesh_dependencies(path):
    """The files that decide what `read_mesh` returns: an OBJ with its MTLs and textures; else the file alone."""
    path = Path(path)
    if path.suffix.lower() != ".obj":
        return [path]
    materials, textures = _obj_references(path)
    return [path] + [other for other in materials + textures if other.is_file()]


def write_obj(path, vertices, faces, uvs, face_uvs, texture):
    """Write `<name>.obj`, `<name>.mtl` and `<name>.png` side by side; the OBJ names the MTL, the MTL the picture.

    Args:
        path: the .obj file.
        vertices: (V, 3) float.
        faces: (F, 3) int, indices into vertices.
        uvs: (T, 2) float in [0, 1], (0, 0) at the picture's lower left.
        face_uvs: (F, 3) int, indices into uvs.
        texture: (H, W, 3) uint8 sRGB.
    """
    from PIL import Image

    path = Path(path)
    with replacing(path.with_suffix(".png")) as temporary:
        Image.fromarray(texture).save(temporary)
    with replacing(path.with_suffix(".mtl")) as temporary:
        temporary.write_text(f"newmtl surface\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {path.stem}.png\n")
    corners = np.stack([faces, face_uvs], axis=-1).reshape(len(faces), 6) + 1
    lines = [f"mtllib {path.stem}.mtl\nusemtl surface\n"]
    lines += ["v %.6f %.6f %.6f\n" % tuple(row) for row in np.asarray(vertices).tolist()]
    lines += ["vt %.6f %.6f\n" % tuple(row) for row in np.asarray(uvs).tolist()]
    lines += ["f %d/%d %d/%d %d/%d\n" % tuple(row) for row in corners.tolist()]
    with replacing(path) as temporary:
        temporary.write_text("".join(lines))


def write_glb(path, vertices, faces, uvs, face_uvs, texture):
    """Write one binary glTF file; arguments as in `write_obj`. Vertices are split where texture seams meet."""
    import trimesh
    from PIL import Image

    # One glTF vertex for each distinct (position, texture coordinate) pair.
    pairs, index = np.unique(np.stack([np.ravel(faces), np.ravel(face_uvs)], axis=1), axis=0, return_inverse=True)
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.fromarray(texture), metallicFactor=0.0, roughnessFactor=1.0)
    mesh = trimesh.Trimesh(
        np.asarray(vertices, np.float64)[pairs[:, 0]], index.reshape(-1, 3), process=False,
        visual=trimesh.visual.TextureVisuals(uv=np.asarray(uvs, np.float64)[pairs[:, 1]], material=material))
    with replacing(path) as temporary:
        temporary.write_bytes(trimesh.exchange.gltf.export_glb(trimesh.Scene(mesh)))


def _read_texture(texture, uv):
    """Bilinear, repeating read of a (H, W, 3) uint8 picture at uv (K, 2); returns (K, 3) float32 in [0, 1]."""
    height, width = texture.shape[:2]
    x = (uv[:, 0] % 1.0) * width - 0.5
    y = (1.0 - uv[:, 1] % 1.0) * height - 0.5
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
    left, right = x0 % width, (x0 + 1) % width
    top, bottom = y0 % height, (y0 + 1) % height
    upper = texture[top, left] * (1 - fx) + texture[top, right] * fx
    lower = texture[bottom, left] * (1 - fx) + texture[bottom, right] * fx
    return ((upper * (1 - fy) + lower * fy) / 255.0).astype(np.float32)


def _from_trimesh(part):
    """One trimesh.Trimesh with whatever visual it has, as a Mesh."""
    mesh = plain_mesh(part.vertices, part.faces)
    visual = part.visual
    if visual.kind == "texture":
        color, image = _material_look(visual.material)
        mesh.corner_colors[:] = color
        if image is not None and visual.uv is not None and len(visual.uv) == len(part.vertices):
            mesh.corner_uvs = np.nan_to_num(np.asarray(visual.uv, np.float32)[:, :2])[mesh.faces]
            mesh.textures = [image]
            mesh.face_texture[:] = 0
        elif len(visual.vertex_attributes.get("color", ())) == len(part.vertices):
            mesh.corner_colors = _as_rgb(visual.vertex_attributes["color"])[mesh.faces]
    elif visual.kind == "vertex":
        mesh.corner_colors = _as_rgb(visual.vertex_colors)[mesh.faces]
    elif visual.kind == "face":
        mesh.corner_colors = np.repeat(_as_rgb(visual.face_colors)[:, None], 3, axis=1)
    return mesh


def _material_look(material):
    """A trimesh material's plain colour (sRGB, white where a texture carries the colour) and its picture or None."""
    image = getattr(material, "baseColorTexture", None)
    image = getattr(material, "image", None) if image is None else image
    factor = getattr(material, "baseColorFactor", None)
    if factor is not None:  # glTF: linear light, multiplies the texture
        color = _linear_to_srgb(_as_rgb(np.asarray(factor)))
    elif image is not None:
        color = np.ones(3, np.float32)  # OBJ: many exporters leave Kd dark beside a map, and viewers ignore it
    else:
        color = _as_rgb(np.asarray(material.main_color))
    if image is None:
        return color, None
    image = image if image.mode in ("RGB", "RGBA", "L", "P") else image.convert("RGB")
    return color, np.asarray(image.convert("RGB"), np.uint8)


def _as_rgb(colors):
    """Colours of any dtype and 3 or 4 channels as (..., 3) float32 in [0, 1]."""
    colors = np.asarray(colors)
    scale = np.iinfo(colors.dtype).max if colors.dtype.kind in "iu" else 1.0
    return np.clip(colors[..., :3].astype(np.float32) / np.float32(scale), 0, 1)


def _linear_to_srgb(linear):
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def _join(meshes):
    """Several parts as one Mesh; equal texture pictures are kept once for each part that has them."""
    vertex_start = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    texture_start = np.cumsum([0] + [len(mesh.textures) for mesh in meshes])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, vertex_start)]),
        np.concatenate([mesh.corner_colors for mesh in meshes]),
        np.concatenate([mesh.corner_uvs for mesh in meshes]),
        np.concatenate([np.where(mesh.face_texture < 0, -1, mesh.face_texture + start).astype(np.int32)
                        for mesh, start in zip(meshes, texture_start)]),
        [texture for mesh in meshes for texture in mesh.textures],
    )


def _obj_references(path):
    """The MTL files an OBJ names, and the colour pictures those name, as paths that may not exist."""
    materials, textures = [], []
    with open(path, errors="replace") as lines:
        materials = [path.parent / line.split(None, 1)[1].strip() for line in lines
                     if line.startswith("mtllib") and len(line.split()) > 1]
    for material in materials:
        if material.is_file():
            for line in material.read_text(errors="replace").splitlines():
                words = line.split()
                if len(words) > 1 and words[0].lower() == "map_kd":
                    # Options such as -s 1 1 1 come before the name; a name may hold spaces.
                    name = line.split(None, 1)[1].strip() if not words[1].startswith("-") else words[-1]
                    textures.append(material.parent / name)
    return materials, textures


def _missing_materials(path):
    try:
        materials, textures = _obj_references(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    missing = [f"{path}: its material file {other.name} is missing" for other in materials if not other.is_file()]
    return missing + [f"{path}: its texture {other.name} is missing" for other in textures if not other.is_file()]
