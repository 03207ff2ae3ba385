"""OBJ and MTL, as the many programs that write them spell them."""
import re
from array import array
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.mesh.file_colors import unit_colors, unreadable_colors
from utils.mesh.mesh import GRAY, Mesh
from utils.mesh.referenced_files import TextureStore, decode_text, locate
from utils.mesh.transparency import cut_out
from utils.mesh.triangulation import triangulate

NO_INDEX = np.iinfo(np.int64).min  # a corner without a texture coordinate
# Options of a map_ line and the most words that follow each; some take fewer, as long as they are numbers
MAP_OPTIONS = {"-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-colorspace": 1,
               "-imfchan": 1, "-mm": 2, "-o": 3, "-s": 3, "-t": 3, "-texres": 1, "-type": 1}
NUMBERS_ONLY = {"-mm", "-o", "-s", "-t", "-bm", "-boost", "-texres"}
MOST_REPEATS = 1e6  # of a texture: a scale or an offset beyond that is a broken number and passed over
OPAQUE_FROM = 128  # of 255: the cut of a map_d, which has none of its own


class Material(NamedTuple):
    """One newmtl of an MTL: Kd or None, the values of map_Kd and map_d or "", and the folder they count from."""

    color: tuple[float, ...] | None
    texture: str
    mask: str
    folder: Path


class ObjText(NamedTuple):
    """What the lines of an OBJ say; indices count from 0, a face's corners follow those of the face before it."""

    positions: np.ndarray  # (V, 3) float64
    colors: np.ndarray  # (V, 3) float64 as written, NaN where a vertex has none
    num_colored: int  # vertices that have one, be it NaN
    uvs: np.ndarray  # (T, 2) float64
    corner_vertices: np.ndarray  # (C,) int64
    corner_uvs: np.ndarray  # (C,) int64, NO_INDEX for none
    sizes: np.ndarray  # (P,) int64, corners of each face
    face_materials: np.ndarray  # (P,) int64, index into names, -1 for none
    face_lines: np.ndarray  # (P,) int64, for messages
    names: list[str]  # what usemtl lines say, as written
    libraries: list[str]  # what mtllib lines say, as written


def read_obj(path: Path, content: bytes) -> tuple[Mesh, list[str]]:
    """Read an OBJ with its MTLs and textures.

    Args:
        path: the file, for finding others and for messages.
        content: of the file.
    Returns:
        mesh: Mesh, one face for each triangle of the file's polygons, in the file's order.
        notes: list of str without the file's name, what is missing or could not be used.
    Raises:
        ValueError: a line cannot be understood, or a face names what does not exist; the message names the line.
    """
    text = parse_obj(decode_text(content))
    libraries, notes = find_libraries(path, text.libraries)
    if not libraries and text.names:
        libraries = _library_of_the_same_name(path)
        notes = [f"{note}; {library.name} is used" for library in libraries for note in notes] or notes
    materials = read_materials(libraries)
    wrong = np.flatnonzero((text.corner_vertices < 0) | (text.corner_vertices >= len(text.positions)))
    if len(wrong):
        face = np.searchsorted(np.cumsum(text.sizes), wrong[0], side="right")
        raise ValueError(f"line {text.face_lines[face]}: a face names a vertex that does not exist")
    corners, faces = triangulate(text.positions, text.corner_vertices, text.sizes)
    material_of_face, names = text.face_materials[faces], text.names
    if not names and len(materials) == 1:
        names, material_of_face = list(materials), np.zeros(len(faces), np.int64)  # as other viewers do
    elif not names and len(materials) > 1:
        notes.append("it names no material with usemtl, though its material file has several: it is drawn gray")
    store = TextureStore()
    mesh, mesh_notes = _paint(path, text, corners, material_of_face, [_find(materials, name) for name in names], names,
                              store)
    unknown = [name for name in names if _find(materials, name) is None] if libraries else []
    if unknown:
        notes.append(f"its material {', '.join(unknown[:3])}{', ...' * (len(unknown) > 3)} is not defined in "
                     + ", ".join(library.name for library in libraries[:3]))
    return mesh, notes + store.problems + mesh_notes


def obj_files(path: Path, content: bytes) -> list[Path]:
    """The MTLs of an OBJ and the textures they name, as far as they are there."""
    text = decode_text(content)
    libraries = find_libraries(path, _library_names(text))[0] or (_library_of_the_same_name(path) if "usemtl" in text else [])
    textures = [find_texture(path, material, value)[0] for material in dict.fromkeys(read_materials(libraries).values())
                for value in (material.texture, material.mask) if value]
    return list(dict.fromkeys(libraries + [place for place in textures if place]))


def obj_names_outside(path: Path, content: bytes) -> list[str]:
    """The files that an OBJ or its MTLs name outside its folder, as written: they are not read."""
    libraries, notes = find_libraries(path, _library_names(decode_text(content)))
    problems = [find_texture(path, material, material.texture)[2:] for material in
                dict.fromkeys(read_materials(libraries).values()) if material.texture]
    notes += [f"its texture {name} {problem}" for name, problem in problems]
    return [note.split(" lies outside")[0].removeprefix("its material file ").removeprefix("its texture ")
            for note in notes if " lies outside" in note]


def _library_names(text: str) -> list[str]:
    """What an OBJ's mtllib lines say, as written, without reading its other lines."""
    names = []
    for match in re.finditer(r"mtllib[ \t]([^\n]*)", text):  # searched by its letters: a pattern of lines is far slower
        if not text[text.rfind("\n", 0, match.start()) + 1:match.start()].strip():
            names.append(match.group(1))
    return names


# The OBJ's lines


def parse_obj(text: str) -> ObjText:
    """The lines of an OBJ as arrays.

    Raises:
        ValueError: a v, vt or f line cannot be understood; the message names it.
    """
    positions, colors, uvs = array("d"), array("d"), array("d")
    corner_vertices, corner_uvs = array("q"), array("q")
    sizes, face_materials, face_lines = array("q"), array("q"), array("q")
    names: dict[str, int] = {}
    libraries, material = [], -1
    num_vertices = num_uvs = num_colored = 0
    for number, line in enumerate(_joined_lines(text), 1):
        words = line.split()
        if not words:
            continue
        key = words[0]
        try:
            if key == "v":
                values = _floats(words, line)
                if len(values) < 3:
                    raise ValueError("a vertex has three coordinates")
                positions.extend(values[:3])
                num_colored += len(values) >= 6
                colors.extend(values[3:6] if len(values) >= 6 else (np.nan,) * 3)
                num_vertices += 1
            elif key == "f":
                if "#" in line:
                    words = line.split("#")[0].split()
                for word in words[1:]:
                    parts = word.split("/")
                    index = int(parts[0])
                    if index == 0:
                        raise ValueError("indices count from 1")
                    corner_vertices.append(index - 1 if index > 0 else index + num_vertices)
                    index = int(parts[1]) if len(parts) > 1 and parts[1] else 0
                    corner_uvs.append(index - 1 if index > 0 else index + num_uvs if index else NO_INDEX)
                sizes.append(len(words) - 1)
                face_materials.append(material)
                face_lines.append(number)
            elif key == "vt":
                values = _floats(words, line)
                uvs.extend((values + [0.0, 0.0])[:2])
                num_uvs += 1
            elif key == "usemtl":
                name = line.strip()[len(key):].strip()
                material = names.setdefault(name, len(names)) if name else -1
            elif key == "mtllib":
                libraries.append(line.strip()[len(key):])
        except (ValueError, OverflowError) as error:
            raise ValueError(f"line {number} ({line.strip()[:40]}): {_reason(error)}") from None
    return ObjText(
        np.array(positions, np.float64).reshape(-1, 3), np.array(colors, np.float64).reshape(-1, 3), num_colored,
        np.array(uvs, np.float64).reshape(-1, 2),
        np.array(corner_vertices, np.int64), np.array(corner_uvs, np.int64), np.array(sizes, np.int64),
        np.array(face_materials, np.int64), np.array(face_lines, np.int64), list(names), libraries)


def _joined_lines(text: str) -> list[str]:
    """Lines, those that end in a backslash joined with the next, comments excepted; blank ones keep the numbers."""
    lines = text.split("\n")
    if "\\\n" not in text and "\\ \n" not in text:
        return lines
    joined, waiting, skipped = [], "", 0
    for line in lines:
        if line.rstrip().endswith("\\") and not (waiting or line).lstrip().startswith("#"):
            waiting, skipped = waiting + line.rstrip()[:-1] + " ", skipped + 1
            continue
        joined += [waiting + line] + [""] * skipped
        waiting, skipped = "", 0
    return joined + [waiting]


def _floats(words: list[str], line: str) -> list[float]:
    if "#" in line:
        # Microsoft's runtime prints 1.#QNAN, -1.#IND and 1.#INF for what is no number
        words = re.sub(r"-?1\.#\w*", "nan", line).split("#")[0].split()
    return list(map(float, words[1:8]))


def _reason(error: Exception) -> str:
    text = str(error)
    return "not a number" if text.startswith(("invalid literal", "could not convert", "Exceeds")) else (
        "a number is too large" if isinstance(error, OverflowError) else text)


# The MTLs


def spellings(value: str) -> list[str]:
    """What a name on a line may mean, likeliest first: as it stands, without a comment after it, without quotes."""
    value = value.strip()
    found = [value]
    bare = re.split(r"(?:^|\s)#", value)[0].strip()
    found.append(bare)
    found += [text.strip("\"'").strip() for text in (value, bare)]
    found += re.findall(r"^\"([^\"]+)\"", value)
    return [text for text in dict.fromkeys(found) if text]


def find_libraries(path: Path, values: list[str]) -> tuple[list[Path], list[str]]:
    """The MTL files that mtllib lines name, and notes on those that are not there."""
    found, notes = [], []
    for value in dict.fromkeys(values):
        whole = [locate(path, name) for name in spellings(value)]
        paths = [place for place, _ in whole if place]
        if paths:
            found += paths[:1]
            continue
        bare = spellings(value)[1:2] or spellings(value)[:1]
        words = [quoted or word for text in bare for quoted, word in re.findall(r'"([^"]*)"|(\S+)', text)]
        several = [(name, *locate(path, name)) for name in words]
        if not any(place for _, place, _ in several):  # one name with spaces, which is not there
            several = [(text, *locate(path, text)) for text in bare]
        for name, place, problem in several:
            if place:
                found.append(place)
            else:
                notes.append(f"its material file {_last(name)} {problem}")
    return list(dict.fromkeys(found)), list(dict.fromkeys(notes))


def _library_of_the_same_name(path: Path) -> list[Path]:
    """The MTL that goes by the OBJ's own name, where the OBJ names none that is there: both have often been renamed."""
    place, _ = locate(path, path.stem + ".mtl")
    return [place] if place else []


def read_materials(libraries: list[Path]) -> dict[str, Material]:
    """{name as written: Material} of several MTL files; a later one replaces an earlier one of its name."""
    materials: dict[str, Material] = {}
    for library in libraries:
        try:
            lines = _joined_lines(decode_text(library.read_bytes()))
        except OSError:
            continue
        name = None
        for line in lines:
            words = line.split()
            key = words[0].lower() if words else ""
            value = line.strip()[len(key):].strip()
            if key == "newmtl":
                name = value
                materials[name] = Material(None, "", "", library.parent)
            elif name is None or not value:
                continue
            elif key == "kd":
                materials[name] = materials[name]._replace(color=_color(value))
            elif key == "map_kd":
                materials[name] = materials[name]._replace(texture=value)
            elif key == "map_d":
                materials[name] = materials[name]._replace(mask=value)
    return materials


def _color(value: str) -> tuple[float, ...] | None:
    """Kd as written: three numbers, or one for all three; None if it is given otherwise (a spectrum, XYZ)."""
    try:
        numbers = tuple(float(word) for word in value.split("#")[0].split()[:3])
    except ValueError:
        return None
    return numbers * 3 if len(numbers) == 1 else numbers if len(numbers) == 3 else None


def _find(materials: dict[str, Material], name: str) -> Material | None:
    """The material that a usemtl line names: exactly, or without comment and quotes, or in another case."""
    for wanted in spellings(name):
        if wanted in materials:
            return materials[wanted]
    simple = {key(spelling): material for key in (str, str.casefold) for written, material in materials.items()
              for spelling in spellings(" ".join(written.split()))}
    for key in (str, str.casefold):
        for wanted in spellings(" ".join(name.split())):
            if key(wanted) in simple:
                return simple[key(wanted)]
    return None


def split_map(value: str) -> tuple[str, np.ndarray, np.ndarray]:
    """A map_ line's value: the file's name with what may follow it, and scale (2,) and offset (2,) of coordinates."""
    scale, offset = np.ones(2), np.zeros(2)
    rest = value.strip()
    while True:
        words = rest.split(None, 1)
        if len(words) < 2 or words[0].lower() not in MAP_OPTIONS:
            return rest, scale, offset
        option, rest = words[0].lower(), words[1]
        numbers = []
        for _ in range(MAP_OPTIONS[option]):
            words = rest.split(None, 1)
            if len(words) < 2:
                break
            if option in NUMBERS_ONLY:
                try:
                    numbers.append(float(words[0]))
                except ValueError:
                    break
            rest = words[1]
        if option in ("-s", "-o"):
            changed = scale if option == "-s" else offset
            for axis, number in enumerate(numbers[:2]):
                if abs(number) <= MOST_REPEATS:  # nor NaN
                    changed[axis] = number


def find_texture(path: Path, material: Material, value: str) -> tuple[Path | None, tuple[np.ndarray, np.ndarray], str, str]:
    """The file that a map_ line names.

    Returns:
        place: Path or None.
        transform: scale (2,) and offset (2,) of the coordinates.
        name: of the file, for messages.
        problem: why there is none, or "".
    """
    name, scale, offset = split_map(value)
    candidates = [(spelling, scale, offset) for spelling in spellings(name)]
    # Options after the name, against the format's description
    head = re.split(r"\s(?=-(?:%s)\s)" % "|".join(option[1:] for option in MAP_OPTIONS), name)
    if len(head) > 1:
        _, scale_after, offset_after = split_map(" ".join(head[1:]) + " x")
        candidates += [(spelling, scale_after, offset_after) for spelling in spellings(head[0])]
    problem = "is missing"
    for number, (spelling, *transform) in enumerate(candidates):
        place, reason = locate(path, spelling, material.folder)
        if place:
            return place, (transform[0], transform[1]), _last(spelling), ""
        problem = reason if number == 0 or reason != "is missing" else problem
    shown = spellings(head[0])
    return None, (scale, offset), _last(shown[min(1, len(shown) - 1)]) if shown else "without a name", problem


def _last(name: str) -> str:
    """A file name without the folders before it, which may be another computer's; relative ones that leave stay whole."""
    turned = name.replace("\\", "/").strip("\"'")
    return turned if turned.startswith("..") else turned.rstrip("/").rsplit("/", 1)[-1]


# Colors


def _paint(path: Path, text: ObjText, corners: np.ndarray, material_of_face: np.ndarray,
           materials: list[Material | None], names: list[str], store: TextureStore) -> tuple[Mesh, list[str]]:
    """The triangles with the colors of their materials, textures and vertices, and what is to be said of them."""
    notes = []
    vertices = text.corner_vertices[corners]
    colors = np.full((len(corners), 3, 3), GRAY, np.float32)
    uv_index = text.corner_uvs[corners]
    known = (uv_index >= 0) & (uv_index < len(text.uvs))
    uvs = np.zeros((len(corners), 3, 2))
    uvs[known] = text.uvs[uv_index[known]]
    placed = (known & np.isfinite(uvs).all(axis=2)).all(axis=1)
    face_texture = np.full(len(corners), -1, np.int32)
    vertex_colors = None
    if text.num_colored:
        vertex_colors, num_bad = unit_colors(text.colors)
        num_bad -= len(text.colors) - text.num_colored
        if num_bad:
            notes.append(unreadable_colors(num_bad))
        vertex_colors = None if (vertex_colors == 1).all() else vertex_colors  # white everywhere says nothing
    cuts = []
    for number, (material, name) in enumerate(zip(materials, names)):
        mine = np.flatnonzero(material_of_face == number)
        if material is None or not len(mine):
            continue
        if material.color is not None:
            color, num_bad = unit_colors(np.array([material.color]))
            colors[mine] = color[0]
            if num_bad and not material.texture:
                notes.append(f"the color of its material {name} is not a number; gray stands for it")
        if not material.texture:
            continue
        place, (scale, offset), file_name, problem = find_texture(path, material, material.texture)
        texture = store.add(place, place.name, place.read_bytes) if place else store.lacks(file_name, problem)
        if texture < 0:
            continue
        with_uvs = mine[placed[mine]]
        if not len(with_uvs) and (len(text.uvs) or text.names):  # else nothing says that a texture is meant
            notes.append(f"a texture has no usable texture coordinates and is left out ({name})")
        elif 0 < len(with_uvs) < len(mine):
            notes.append(f"faces of {name} without texture coordinates stay without texture "
                         f"({len(mine) - len(with_uvs)} of {len(mine)})")
        uvs[with_uvs] = uvs[with_uvs] * scale + offset
        face_texture[with_uvs] = texture
        if material.mask and len(with_uvs):
            mask = _mask(path, material, store)
            if mask is not None:
                cuts.append((with_uvs, mask))
                face_texture[with_uvs] = store.fill(texture, mask)
    textured = face_texture >= 0
    if vertex_colors is not None:
        colors[~textured] = vertex_colors[vertices[~textured]]
    colors[textured] = 1  # many exporters leave Kd dark beside a map, and viewers pass it over
    mesh = Mesh(text.positions, vertices, colors, np.where(placed[:, None, None], uvs, 0).astype(np.float32), face_texture,
                store.images)
    rest = cut_out(mesh, cuts)
    if len(mesh.faces) and not len(rest.faces):
        return mesh, notes + ["it is transparent everywhere, which is passed over"]
    return rest, notes


def _mask(path: Path, material: Material, store: TextureStore) -> np.ndarray | None:
    """Where a map_d shows the surface: (H, W) bool, by its alpha if it has any, else by its brightness."""
    place, _, name, problem = find_texture(path, material, material.mask)
    number = store.add(place, place.name, place.read_bytes) if place else store.lacks(name, problem)
    if number < 0:
        return None
    alpha = store.alphas[number]
    return (store.images[number].mean(axis=2) if alpha is None else alpha) >= OPAQUE_FROM
