"""Reading any colored mesh through trimesh, and writing OBJ + MTL + texture.

Every source of color (texture, vertex colors, face colors, plain material) ends in one form, `Mesh`, so that
sampling and drawing need to know nothing about file formats.
"""
import io
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from config import UserError
from utils.io.files import atomic_write
from utils.mesh.mesh import GRAY, Mesh, plain_mesh
from utils.mesh.smoothing import vertex_normals
from utils.mesh.texture_file import texture_bytes

MESH_EXTENSIONS = (".obj", ".glb", ".gltf", ".ply", ".off", ".stl")
MOST_PLAIN_COLORS = 64  # more colors than this go to vertices rather than to one material each
NO_MATERIAL = "no material"  # stands for the missing one in an OBJ


def read_mesh(path: str | Path) -> tuple[Mesh, list[str]]:
    """Read a mesh of any supported format with all its parts and colors.

    Args:
        path: .obj (with MTL and textures), .glb, .gltf, .ply, .off or .stl file.
    Returns:
        mesh: Mesh in the file's own coordinates, faces without area removed.
        warnings: list of str, one for each MTL or texture that is missing, damaged or cannot be placed, naming it.
    Raises:
        UserError: the file cannot be read, has no faces, or has vertices that are not finite; it names the file.
    """
    import trimesh

    path = Path(path)
    text = _read_text(path) if path.suffix.lower() == ".obj" else ""
    notes = _obj_warnings(path, text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Never with maintain_order: it gives each OBJ vertex one texture coordinate, which breaks every seam.
            scene = _load_obj(path, text) if text else trimesh.load_scene(path, process=False)
        # dump() applies each part's place in the scene; lines and point clouds are left out.
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except Exception as error:  # trimesh's readers raise whatever their parsing meets
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: cannot be read as a mesh ({reason})") from None
    if not parts:
        raise UserError(f"{path}: has no faces")
    notes += [f"{path}: a texture has no usable texture coordinates and is left out ({name})"
              for name in dict.fromkeys(part.visual.material.name for part in parts if _lacks_uvs(part))]
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


def mesh_dependencies(path: str | Path) -> list[Path]:
    """The files that decide what `read_mesh` returns: an OBJ with its MTLs and textures; else the file alone."""
    path = Path(path)
    if path.suffix.lower() != ".obj":
        return [path]
    materials, images, _ = _obj_references(path, _read_text(path))
    return [path] + [other for other in materials + images if other.is_file()]


def write_obj(path: str | Path, vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray, face_uvs: np.ndarray,
              texture: np.ndarray, texture_format: str = "png") -> None:
    """Write a surface with one texture as `<name>.obj`, `<name>.mtl` and `<name>.png`, with smooth vertex normals.

    Args:
        path: the .obj file.
        vertices: (V, 3) float, in the normalized frame: six decimals are written.
        faces: (F, 3) int, indices into vertices.
        uvs: (T, 2) float in [0, 1], (0, 0) at the image's lower left.
        face_uvs: (F, 3) int, indices into uvs.
        texture: (H, W, 3) uint8 sRGB.
        texture_format: "png", or "jpg" for `<name>.jpg`.
    Raises:
        UserError: the files cannot be written.
    """
    path = Path(path)
    image = path.with_suffix(f".{texture_format}")
    with atomic_write(image) as temporary:
        temporary.write_bytes(texture_bytes(texture, texture_format))
    group = FaceGroup(f"Kd 1 1 1\nmap_Kd {image.name}", np.asarray(faces), np.asarray(face_uvs))
    _write_obj_and_mtl(path, np.asarray(vertices), np.asarray(uvs), [group], "%.6f",
                       normals=unit_normals(vertices, faces))


def write_mesh(path: str | Path, mesh: Mesh, comment: str = "") -> None:
    """Write any `Mesh` as OBJ + MTL + PNG textures that `read_mesh` reads back as the same shape and colors.

    Each texture becomes a material (a tint is baked into its image); faces of one plain color share a material;
    other faces keep their colors as `v x y z r g b`, as 3D scanners write them.

    Args:
        path: the .obj file; <name>.mtl and <name>_<number>.png are written beside it, and the OBJ last.
        mesh: Mesh in any units.
        comment: the OBJ's first line, without its #; "" for none.
    Raises:
        UserError: the files cannot be written.
    """
    path = Path(path)
    colors, plain = mesh.corner_colors, mesh.face_texture < 0
    one_color = (colors == colors[:, :1]).all(axis=(1, 2))
    # One group of faces for each texture and tint, or plain color.
    look = np.concatenate([mesh.face_texture[:, None], np.round(colors[:, 0] * 255)], axis=1)
    looks, look_of_face = np.unique(look, axis=0, return_inverse=True)
    look_of_face = look_of_face.reshape(-1)
    on_vertices = not one_color[plain].all() or (looks[:, 0] < 0).sum() > MOST_PLAIN_COLORS

    rows = mesh.vertices[mesh.faces].reshape(-1, 3)
    if on_vertices:
        rows = np.concatenate([rows, np.where(plain[:, None, None], colors, 1).reshape(-1, 3)], axis=1)
    vertices, vertex_index = np.unique(rows, axis=0, return_inverse=True)
    uvs, uv_index = np.unique(mesh.corner_uvs.reshape(-1, 2), axis=0, return_inverse=True)
    vertex_index, uv_index = vertex_index.reshape(-1, 3), uv_index.reshape(-1, 3)

    # What has its color on its vertices comes before any material, which could hide it.
    groups = [FaceGroup("", vertex_index[plain], None)] if on_vertices else []
    num_materials = 0
    for number, (texture, *tint) in enumerate(looks.tolist()):
        faces = np.flatnonzero(look_of_face == number)
        if texture >= 0:
            name = f"{path.stem}_{num_materials}.png"
            _write_png(path.with_name(name),
                       np.round(mesh.textures[int(texture)] * (np.float32(tint) / 255)).astype(np.uint8))
            groups.append(FaceGroup(f"Kd 1 1 1\nmap_Kd {name}", vertex_index[faces], uv_index[faces]))
        elif not on_vertices:
            groups.append(FaceGroup("Kd " + " ".join(f"{value / 255:.6f}" for value in tint), vertex_index[faces],
                                    None))
        else:
            continue
        num_materials += 1
    _write_obj_and_mtl(path, vertices, uvs[:0] if plain.all() else uvs, groups, "%.9g", comment=comment)


class FaceGroup(NamedTuple):
    """Faces of one look: lines of an MTL ("" for none), (F, 3) vertex indices, and (F, 3) uv indices or None."""

    material: str
    faces: np.ndarray
    face_uvs: np.ndarray | None


def _write_obj_and_mtl(path: Path, vertices: np.ndarray, uvs: np.ndarray, groups: list[FaceGroup], number: str, *,
                       normals: np.ndarray | None = None, comment: str = "") -> None:
    """The OBJ and, if a group has a material, its MTL; object and materials carry the file's name.

    Args:
        path: the .obj file.
        vertices: (V, 3) float, or (V, 6) with sRGB colors.
        uvs: (T, 2) float, T 0 if no group has any.
        groups: in the order of the file.
        number: format of a coordinate.
        normals: (V, 3) float or None.
        comment: first line, "" for none.
    """
    title = re.sub(r"\s+", "_", path.stem)  # a space would end the name
    with_material = [group for group in groups if group.material]
    names = iter([title] if len(with_material) == 1 else [f"{title}_{i}" for i in range(len(with_material))])
    lines = [f"# {comment}\n"] if comment else []
    if with_material:
        lines.append(f"mtllib {path.stem}.mtl\n")
    lines.append(f"o {title}\n")
    template = "v" + f" {number}" * 3 + " %.6f" * (vertices.shape[1] - 3) + "\n"
    lines += [template % tuple(row) for row in vertices.tolist()]
    uv_number = "%.7g" if number.endswith("g") else number
    lines += [f"vt {uv_number} {uv_number}\n" % tuple(row) for row in uvs.tolist()]
    if normals is not None:
        lines += ["vn %.4f %.4f %.4f\n" % tuple(row) for row in normals.tolist()]
    materials = []
    for group in groups:
        if group.material:
            name = next(names)
            materials.append(f"newmtl {name}\nKa 0 0 0\nKs 0 0 0\nillum 1\n{group.material}\n")
            lines.append(f"usemtl {name}\n")
        lines += _face_lines(group, normals is not None)
    if materials:
        with atomic_write(path.with_suffix(".mtl")) as temporary:
            temporary.write_text("".join(materials), encoding="utf-8")
    with atomic_write(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def _face_lines(group: FaceGroup, with_normals: bool) -> list[str]:
    """A group's f lines; a normal has its vertex's index."""
    columns = [group.faces]
    if group.face_uvs is not None:
        columns.append(group.face_uvs)
    if with_normals:
        columns.append(group.faces)
    corner = {(False, False): "%d", (True, False): "%d/%d", (False, True): "%d//%d", (True, True): "%d/%d/%d"}[
        (group.face_uvs is not None, with_normals)]
    template = f"f {corner} {corner} {corner}\n"
    rows = np.stack(columns, axis=-1).reshape(len(group.faces), -1) + 1
    return [template % tuple(row) for row in rows.tolist()]


def unit_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float64 unit vertex normals; straight up where no face tells, for viewers want unit length everywhere."""
    normals = vertex_normals(np.asarray(vertices, np.float64), np.asarray(faces))
    normals[np.linalg.norm(normals, axis=1) < 0.5] = (0.0, 1.0, 0.0)
    return normals


def _write_png(path: Path, image: np.ndarray) -> None:
    from PIL import Image

    with atomic_write(path) as temporary:
        Image.fromarray(image).save(temporary)


def _from_trimesh(part):
    """One trimesh.Trimesh with whatever visual it has, as a Mesh."""
    mesh = plain_mesh(part.vertices, part.faces)
    visual = part.visual
    if visual.kind == "texture":
        color, image = _material_look(visual.material)
        vertex_colors = visual.vertex_attributes.get("color", part.vertex_attributes.get("color", ()))
        if image is not None and not _lacks_uvs(part):
            mesh.corner_colors[:] = color
            mesh.corner_uvs = np.nan_to_num(np.asarray(visual.uv, np.float32)[:, :2])[mesh.faces]
            mesh.textures = [image]
            mesh.face_texture[:] = 0
        elif len(vertex_colors) == len(part.vertices):
            mesh.corner_colors = _as_rgb(vertex_colors)[mesh.faces]
        else:
            mesh.corner_colors[:] = color
    elif visual.kind == "vertex":
        mesh.corner_colors = _as_rgb(visual.vertex_colors)[mesh.faces]
    elif visual.kind == "face":
        mesh.corner_colors = np.repeat(_as_rgb(visual.face_colors)[:, None], 3, axis=1)
    return mesh


def _lacks_uvs(part):
    """Whether a trimesh.Trimesh has a texture but not one texture coordinate for each vertex."""
    if part.visual.kind != "texture" or _image(part.visual.material) is None:
        return False
    return part.visual.uv is None or len(part.visual.uv) != len(part.vertices)


def _image(material):
    """The PIL color image of a trimesh material of either kind (glTF, OBJ), or None."""
    image = getattr(material, "baseColorTexture", None)
    return getattr(material, "image", None) if image is None else image


def _material_look(material):
    """A trimesh material's plain color (sRGB, white where a texture carries the color) and its image or None."""
    image = _image(material)
    factor = getattr(material, "baseColorFactor", None)
    if factor is not None:  # glTF: linear light, multiplies the texture
        color = _linear_to_srgb(_as_rgb(np.asarray(factor)))
    elif image is not None:
        color = np.ones(3, np.float32)  # OBJ: many exporters leave Kd dark beside a map, and viewers ignore it
    elif "kd" in getattr(material, "kwargs", {}):
        color = _as_rgb(np.asarray(material.main_color))
    else:
        color = np.full(3, GRAY, np.float32)
    return color, None if image is None else np.asarray(image.convert("RGB"), np.uint8)


def _as_rgb(colors):
    """Colors of any dtype and 3 or 4 channels as (..., 3) float32 in [0, 1]."""
    colors = np.asarray(colors)
    scale = np.iinfo(colors.dtype).max if colors.dtype.kind in "iu" else 1.0
    return np.clip(colors[..., :3].astype(np.float32) / np.float32(scale), 0, 1)


def _linear_to_srgb(linear):
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def _join(meshes):
    """Several parts as one Mesh; equal texture images are kept once for each part that has them."""
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


def _load_obj(path, text):
    """A trimesh scene of an OBJ's text, with what trimesh's reader misses put right before it reads.

    trimesh opens one MTL, looks for images beside the OBJ only, paints what has no material with a gray image,
    and takes an index that counts backwards from the end of the file instead of from its own line.
    """
    import trimesh

    materials, images, mtl_text = _obj_references(path, text)
    text = re.sub(r"^mtllib.*$", "", text.replace("\\\n", " "), flags=re.MULTILINE)
    text = re.sub(r"^([vf][^\n#]*)#.*$", r"\1", text, flags=re.MULTILINE)
    if re.search(r"^f[^\n]*[ /](-|0[ /\n])", text, re.MULTILINE):
        text = _absolute_indices(text)
    # Every material that is used exists, if only as a name; definitions that follow replace it.
    used = [NO_MATERIAL] + re.findall(r"^usemtl[ \t]+(.*?)[ \t]*$", text, re.MULTILINE)
    assets = {str(image): image.read_bytes() for image in images if _is_image(image)}
    assets["materials"] = ("".join(f"newmtl {name}\n" for name in used) + mtl_text).encode()
    text = f"mtllib materials\nusemtl {NO_MATERIAL}\n{text}"
    return trimesh.load_scene(io.BytesIO(text.encode()), file_type="obj", resolver=assets, process=False)


def _read_text(path):
    """A text file with line ends as \\n; a UserError if it cannot be opened."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _absolute_indices(text):
    """An OBJ's text with face indices that count backwards (-1 is the latest) replaced by those from the start.

    Raises:
        ValueError: an index is 0, or counts back beyond the start.
    """
    counts, lines = {"v": 0, "vt": 0, "vn": 0}, text.splitlines()
    for number, line in enumerate(lines):
        words = line.split()
        if words and words[0] in counts:
            counts[words[0]] += 1
        elif words and words[0] == "f":
            corners = [[str(int(index) + 1 + counts[kind]) if index.startswith("-") else index
                        for kind, index in zip(counts, word.split("/"))] for word in words[1:]]
            if any(index and int(index) < 1 for corner in corners for index in corner):
                raise ValueError(f"line {number + 1}: a face names a vertex that does not exist")
            lines[number] = "f " + " ".join("/".join(corner) for corner in corners)
    return "\n".join(lines)


def _obj_references(path, text):
    """What an OBJ's text refers to.

    Returns:
        materials: list of Path, the MTL files, which may not exist.
        images: list of Path, the color images those name, which may not exist.
        mtl_text: str, all the MTLs in one, with the images' full paths.
    """
    materials, images, mtl_lines = [], [], []
    # \n and not ^, which would try every line and is 13 times slower
    for name in re.findall(r"\nmtllib[ \t]+(.*?)\s*$", "\n" + text, re.MULTILINE):
        whole = path.parent / name  # one name with spaces, or several names
        materials += [whole] if whole.is_file() else [path.parent / word for word in name.split()]
    for material in materials:
        for line in material.read_text(errors="replace").splitlines() if material.is_file() else []:
            key, _, name = line.strip().partition(" ")
            if key.lower() == "map_kd" and name.strip():
                images.append(_texture_path(material.parent, name.strip()))
                line = f"map_Kd {images[-1]}"
            mtl_lines.append(line + "\n")
    return materials, images, "".join(mtl_lines)


def _texture_path(folder, name):
    """Path of the image that a map_Kd line names; options such as `-s 1 1 1` come before the name."""
    name = name.replace("\\", "/")
    return folder / (name.split()[-1] if name.startswith("-") else name)


def _obj_warnings(path, text):
    materials, images, _ = _obj_references(path, text)
    notes = [f"{path}: its material file {other.name} is missing" for other in materials if not other.is_file()]
    for image in dict.fromkeys(images):
        if not image.is_file():
            notes.append(f"{path}: its texture {image.name} is missing")
        elif not _is_image(image):
            notes.append(f"{path}: its texture {image.name} is not an image, or a damaged one")
    return notes


def _is_image(path):
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
        return True
    except Exception:  # missing, or not decodable: Pillow raises whatever its decoders meet
        return False
