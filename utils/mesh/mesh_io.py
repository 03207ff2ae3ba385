"""Reading any colored mesh, and writing OBJ + MTL + texture.

Every source of color (texture, vertex colors, face colors, plain material) ends in one form, `Mesh`, so that
sampling and drawing need to know nothing about file formats. Each format has a reader of its own beside this file:
general readers pass over too much of what files in the wild hold.
"""
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from config import UserError
from utils.io.files import atomic_write
from utils.mesh.gltf_reader import gltf_files, read_gltf
from utils.mesh.mesh import Mesh
from utils.mesh.obj_reader import obj_files, obj_names_outside, read_obj
from utils.mesh.off_reader import read_off
from utils.mesh.ply_reader import ply_files, read_ply
from utils.mesh.smoothing import vertex_normals
from utils.mesh.stl_reader import read_stl
from utils.mesh.texture_file import texture_bytes

READERS = {".obj": read_obj, ".glb": read_gltf, ".gltf": read_gltf, ".ply": read_ply, ".off": read_off, ".stl": read_stl}
OTHER_FILES = {read_obj: obj_files, read_gltf: gltf_files, read_ply: ply_files}
MESH_EXTENSIONS = tuple(READERS)
MOST_PLAIN_COLORS = 64  # more colors than this go to vertices rather than to one material each
LARGEST_COORDINATE = 1e60  # areas and volumes beyond would overflow
MOST_REPEATS = 1e6  # of a texture along a face: float32 has no place within one beyond that
# How files begin that are no mesh whatever they are called, and what to do
STRANGERS = (
    (b"PK\x03\x04", "is a zip archive; unpack it"), (b"\x1f\x8b", "is compressed by gzip; unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it"), (b"Rar!", "is a rar archive; unpack it"),
    (b"Kaydara FBX", "is FBX; export it as GLB"), (b"BLENDER", "is a Blender file; export it as GLB"),
    (b"version https://git-lfs", "is a Git LFS pointer; run git lfs pull"),
    (b"<!DOCTYPE", "is a web page; download it again"), (b"<html", "is a web page; download it again"),
    (b"%PDF", "is a PDF"), (b"\x89PNG", "is an image"), (b"\xff\xd8\xff", "is an image"),
)


def read_mesh(path: str | Path) -> tuple[Mesh, list[str]]:
    """Read a mesh of any supported format with all its parts and colors.

    Args:
        path: .obj (with MTL and textures), .glb, .gltf, .ply, .off or .stl file. Other files that it names are read
            from its own folder and those below, nowhere else.
    Returns:
        mesh: Mesh in the file's own coordinates, polygons divided into triangles, faces without area removed.
        warnings: list of str, one for each MTL or texture that is missing, damaged or cannot be placed, naming it, and
            for whatever else of the file is passed over.
    Raises:
        UserError: the file cannot be read, ends early, has no faces, is compressed, or has vertices that are not finite;
            it names the file.
    """
    path = Path(path)
    content = _content(path)
    try:
        with np.errstate(all="ignore"):  # NaN and infinity are looked for below
            mesh, notes = _reader(path, content)(path, content)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: cannot be read as a mesh ({_in_one_line(error)})") from None
    except MemoryError:
        raise UserError(f"{path}: does not fit into memory") from None
    if not len(mesh.faces):
        raise UserError(f"{path}: has no faces")
    corners = mesh.vertices[mesh.faces]
    if not np.isfinite(corners).all():
        raise UserError(f"{path}: has vertices that are not finite numbers (NaN or infinity)")
    if np.abs(corners).max() > LARGEST_COORDINATE:
        raise UserError(f"{path}: has coordinates beyond {LARGEST_COORDINATE:.0e}; scale it down")
    mesh.corner_uvs = np.nan_to_num(mesh.corner_uvs).clip(-MOST_REPEATS, MOST_REPEATS)
    solid = np.linalg.norm(mesh.normals(), axis=1) > 0
    if not solid.any():
        raise UserError(f"{path}: all its faces have zero area")
    sound = Mesh(mesh.vertices, mesh.faces[solid], mesh.corner_colors[solid], mesh.corner_uvs[solid], mesh.face_texture[solid],
                 mesh.textures)
    return _with_used_textures(sound), [f"{path}: {_in_one_line(note)}" for note in notes]


def mesh_dependencies(path: str | Path) -> list[Path]:
    """The files that decide what `read_mesh` returns: the mesh, and the materials, buffers and textures that it names."""
    path = Path(path)
    content = _content(path)
    try:
        others = OTHER_FILES.get(_reader(path, content), lambda *_: [])
    except UserError:  # no mesh: read_mesh says so
        return [path]
    return [path] + others(path, content)


def names_outside(path: str | Path) -> list[str]:
    """The materials and textures that an OBJ names outside its folder, as written: `read_mesh` does not read them."""
    return obj_names_outside(Path(path), _content(Path(path)))


def _content(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _in_one_line(said):
    """What is said of a file, in which words of its own may stand: no line break of theirs, and nothing a terminal obeys."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(said))


def _reader(path, content):
    """The function that reads a file: by how it begins where that tells, else by its name."""
    if not content.strip():
        raise UserError(f"{path}: has no faces; it is empty")
    for head, problem in STRANGERS:
        if content.lstrip()[:len(head)] == head:
            raise UserError(f"{path}: cannot be read as a mesh: it {problem}")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: cannot be read as a mesh; known formats are {', '.join(MESH_EXTENSIONS)}")
    if content[:4] == b"glTF":
        return read_gltf
    return read_ply if re.match(rb"ply[ \t]*[\r\n]", content) else reader


def _with_used_textures(mesh):
    """A mesh without the textures that no face shows."""
    used = np.unique(mesh.face_texture[mesh.face_texture >= 0])
    new = np.full(len(mesh.textures) + 1, -1, np.int32)  # the last place is that of -1
    new[used] = np.arange(len(used))
    mesh.face_texture, mesh.textures = new[mesh.face_texture], [mesh.textures[number] for number in used]
    return mesh


def beside(path: str | Path, ending: str) -> Path:
    """The file beside an OBJ that it names, or whose MTL does: `<name><ending>`.

    What would end a line, or is no text in any encoding, is an underscore in it: lines have no way to quote a name.
    """
    path = Path(path)
    return path.with_name(re.sub(r"^\s|[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", "_", path.stem) + ending)


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
    image = beside(path, f".{texture_format}")
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
            image = beside(path, f"_{num_materials}.png")
            _write_png(image,
                       np.round(mesh.textures[int(texture)] * (np.float32(tint) / 255)).astype(np.uint8))
            groups.append(FaceGroup(f"Kd 1 1 1\nmap_Kd {image.name}", vertex_index[faces], uv_index[faces]))
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
    library = beside(path, ".mtl")
    title = re.sub(r"\s+", "_", library.stem)  # a space would end the name
    with_material = [group for group in groups if group.material]
    names = iter([title] if len(with_material) == 1 else [f"{title}_{i}" for i in range(len(with_material))])
    lines = [f"# {comment}\n"] if comment else []
    if with_material:
        lines.append(f"mtllib {library.name}\n")
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
        with atomic_write(library) as temporary:
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
