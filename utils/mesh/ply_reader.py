"""PLY, text and binary: faces or triangle strips, colors of vertices or faces, texture coordinates of vertices or corners."""
import re
import struct
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.mesh.file_colors import unit_colors, unreadable_colors
from utils.mesh.mesh import GRAY, Mesh
from utils.mesh.referenced_files import TextureStore, decode_text, locate
from utils.mesh.triangulation import triangulate

TYPES = {"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
         "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
         "double": "f8", "float64": "f8"}
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
LONGEST_HEADER = 1 << 20
COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
COORDINATES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
FACE_LISTS = ("vertex_indices", "vertex_index")


class Property(NamedTuple):
    name: str
    type: str  # of NumPy
    count_type: str  # of a list's length; "" for a single value


class Element(NamedTuple):
    name: str
    rows: int
    properties: list[Property]


class ListColumn(NamedTuple):
    values: np.ndarray  # of all rows, one after the other
    sizes: np.ndarray  # (rows,) int64


def read_ply(path: Path, content: bytes) -> tuple[Mesh, list[str]]:
    """Read a PLY; arguments, returns and errors as of `obj_reader.read_obj`."""
    elements, order, comments, body = _header(content)
    columns = _read_text(elements, body) if order == "" else _read_binary(elements, body, order)
    if "vertex" not in columns or not {"x", "y", "z"} <= columns["vertex"].keys():
        raise ValueError("its vertices have no x, y and z")
    vertex, face = columns["vertex"], columns.get("face", {})
    positions = np.stack([np.asarray(vertex[axis], np.float64) for axis in "xyz"], axis=1)
    lists = next((face[name] for name in FACE_LISTS if isinstance(face.get(name), ListColumn)), None)
    corners, sizes = (lists.values, lists.sizes) if lists else (np.zeros(0, np.int64), np.zeros(0, np.int64))
    _check_indices(corners, len(positions))
    places, faces = triangulate(positions, corners, sizes)
    triangles = np.concatenate([corners[places].reshape(-1, 3), _strips(columns, len(positions))])
    colors, notes = _colors(vertex, face, triangles, faces)
    mesh = Mesh(positions, triangles, colors, np.zeros((len(triangles), 3, 2), np.float32),
                np.full(len(triangles), -1, np.int32))
    store = TextureStore()
    _add_textures(path, mesh, store, comments, vertex, face, places, sizes)
    if store.images and (mesh.face_texture < 0).all():
        notes.append(f"a texture has no usable texture coordinates and is left out ({_texture_names(comments)[0]})")
    return mesh, store.problems + notes


def ply_files(path: Path, content: bytes) -> list[Path]:
    """The textures that a PLY's header names, as far as they are there."""
    try:
        comments = _header(content)[2]
    except ValueError:
        return []
    return [place for name in _texture_names(comments) if (place := locate(path, name)[0])]


# The header


def _header(content: bytes) -> tuple[list[Element], str, list[str], bytes]:
    """Elements, byte order ("" for text), comments, and what follows."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or content[:3] == b"\xef\xbb\xbf":
        content = decode_text(content).encode()
    content = content.lstrip(b" \t\r\n") if content[:3] != b"ply" else content
    end = re.search(rb"[\r\n][ \t]*end_header[ \t]*(\r\n|\n|\r)?", content[:LONGEST_HEADER])
    if not content.startswith(b"ply") or not end:
        raise ValueError("it has no PLY header")
    order, comments, elements = None, [], []
    for line in decode_text(content[:end.start()]).split("\n")[1:]:
        words = line.split()
        if not words or words[0] == "obj_info":
            continue
        try:
            if words[0] == "comment":
                comments.append(line.strip()[len("comment"):].strip())
            elif words[0] == "format":
                order = ORDERS[words[1]]
            elif words[0] == "element":
                elements.append(Element(words[1], int(words[2]), []))
            elif words[:2] == ["property", "list"]:
                elements[-1].properties.append(Property(words[4], TYPES[words[3]], TYPES[words[2]]))
            elif words[0] == "property":
                elements[-1].properties.append(Property(words[2], TYPES[words[1]], ""))
            else:
                raise ValueError
        except (ValueError, IndexError, KeyError):
            raise ValueError(f"its header has a line that PLY does not have: {line.strip()[:40]}") from None
        if elements and (elements[-1].rows < 0 or elements[-1].rows > len(content)):
            raise ValueError(f"it ends early: its header says {elements[-1].rows} of {elements[-1].name}")
    if order is None:
        raise ValueError("its header names no format")
    return elements, order, comments, content[end.end():]


def _ends_early(element: Element, found: int) -> ValueError:
    return ValueError(f"it ends early: its header says {element.rows} of {element.name}, and {found} are there")


# The rows: {element: {property: array, or ListColumn}}


def _read_text(elements: list[Element], body: bytes) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            numbers = np.fromstring(decode_text(body), dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            raise ValueError("it has something else than numbers after its header") from None
    columns, place = {}, 0
    for element in elements:
        rows, place = _rows_of_numbers(element, numbers, place)
        columns[element.name] = {
            item.name: ListColumn(_typed(values.values, item), values.sizes) if isinstance(values, ListColumn)
            else _typed(values, item) for item, values in zip(element.properties, rows)}
    return columns


def _typed(values: np.ndarray, item: Property) -> np.ndarray:
    """Numbers from a text in the type that the header says; indices stay wide, so that none wraps around."""
    kind = np.dtype(item.type)
    if kind.kind == "f":
        return values
    if not ((np.abs(values) <= 2.0**53) & (values == np.round(values))).all():
        raise ValueError(f"{item.name} has something else than whole numbers")
    return values.astype(np.int64) if item.count_type else values.clip(*_limits(kind)).astype(kind)


def _limits(kind: np.dtype) -> tuple[int, int]:
    info = np.iinfo(kind)
    return int(info.min), int(info.max)


def _rows_of_numbers(element: Element, numbers: np.ndarray, place: int) -> tuple[list, int]:
    """Columns of one element from the numbers of a text, and where the next element begins."""
    properties, left = element.properties, len(numbers) - place
    if not any(item.count_type for item in properties) or not element.rows:
        width = len(properties)
        if element.rows * width > left:
            raise _ends_early(element, left // max(width, 1))
        table = numbers[place:place + element.rows * width].reshape(element.rows, width)
        return [table[:, i] for i in range(width)], place + table.size
    # All rows alike, as in a mesh of triangles alone
    layout = _text_layout(properties, numbers, place)
    width = layout[-1][1] if layout else 0
    if layout and element.rows * width <= left:
        table = numbers[place:place + element.rows * width].reshape(element.rows, width)
        if all((table[:, begin - 1] == end - begin).all() for (begin, end), item in zip(layout, properties)
               if item.count_type):
            return [ListColumn(table[:, begin:end].reshape(-1), np.full(element.rows, end - begin, np.int64))
                    if item.count_type else table[:, begin] for (begin, end), item in zip(layout, properties)
                    ], place + table.size
    parts: list[list] = [[] for _ in properties]
    sizes: list[list[int]] = [[] for _ in properties]
    for row in range(element.rows):
        for number, item in enumerate(properties):
            begin, end = place, place + 1
            if item.count_type and place < len(numbers):
                begin, end = place + 1, place + 1 + _length(numbers[place])
                sizes[number].append(end - begin)
            if end > len(numbers) or begin > len(numbers):
                raise _ends_early(element, row)
            parts[number].append(numbers[begin:end])
            place = end
    joined = [np.concatenate(part) if part else np.zeros(0) for part in parts]
    return [ListColumn(values, np.array(size, np.int64)) if item.count_type else values
            for values, size, item in zip(joined, sizes, properties)], place


def _text_layout(properties: list[Property], numbers: np.ndarray, place: int) -> list[tuple[int, int]]:
    """Where the values of each property begin and end in the first row; [] if that is not there."""
    layout, start = [], 0
    for item in properties:
        size = 1
        if item.count_type:
            if place + start >= len(numbers):
                return []
            size, start = _length(numbers[place + start]), start + 1
        layout.append((start, start + size))
        start += size
    return layout


def _length(value: float) -> int:
    if not 0 <= value <= 2**31 or value != int(value):
        raise ValueError("a list has no possible length")
    return int(value)


def _read_binary(elements: list[Element], body: bytes, order: str) -> dict:
    columns, place = {}, 0
    for element in elements:
        rows, place = _rows_of_bytes(element, body, place, order)
        columns[element.name] = {
            item.name: ListColumn(values.values.astype(np.int64) if values.values.dtype.kind in "iu" else values.values,
                                  values.sizes) if isinstance(values, ListColumn) else values.astype(item.type)
            for item, values in zip(element.properties, rows)}
    return columns


def _rows_of_bytes(element: Element, body: bytes, place: int, order: str) -> tuple[list, int]:
    """Columns of one element from a binary body, and where the next element begins."""
    properties = element.properties
    if not properties or not element.rows:
        return [ListColumn(np.zeros(0, item.type), np.zeros(0, np.int64)) if item.count_type else np.zeros(0, item.type)
                for item in properties], place
    lengths = _first_lengths(properties, body, place, order)
    if lengths is not None:  # all rows alike, as in a mesh of triangles alone
        fields: list[tuple] = []
        for number, (item, length) in enumerate(zip(properties, lengths)):
            if item.count_type:
                fields.append((f"n{number}", order + item.count_type))
            fields.append((f"v{number}", order + item.type, (length,) if item.count_type else ()))
        row = np.dtype(fields)
        if row.itemsize * element.rows <= len(body) - place:
            table = np.frombuffer(body, row, element.rows, place)
            if all((table[f"n{number}"] == length).all() for number, (item, length) in enumerate(zip(properties, lengths))
                   if item.count_type):
                return [ListColumn(table[f"v{number}"].reshape(-1), np.full(element.rows, length, np.int64))
                        if item.count_type else table[f"v{number}"]
                        for number, (item, length) in enumerate(zip(properties, lengths))], place + table.nbytes
        elif not any(item.count_type for item in properties):
            raise _ends_early(element, (len(body) - place) // row.itemsize)
    return _uneven_rows(element, body, place, order)


def _first_lengths(properties: list[Property], body: bytes, place: int, order: str) -> list[int] | None:
    """Lengths of the lists in the first row, 1 for single values; None if the row is not there."""
    lengths = []
    for item in properties:
        length = 1
        if item.count_type:
            size = np.dtype(item.count_type).itemsize
            if place + size > len(body):
                return None
            length = _length(float(np.frombuffer(body, order + item.count_type, 1, place)[0]))
            place += size
        place += length * np.dtype(item.type).itemsize
        if place > len(body):
            return None
        lengths.append(length)
    return lengths


def _uneven_rows(element: Element, body: bytes, place: int, order: str) -> tuple[list, int]:
    properties = element.properties
    codes = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f4": "f", "f8": "d"}
    counts = [struct.Struct(order + codes[item.count_type]) if item.count_type else None for item in properties]
    widths = [np.dtype(item.type).itemsize for item in properties]
    parts: list[list] = [[] for _ in properties]
    sizes: list[list[int]] = [[] for _ in properties]
    for row in range(element.rows):
        for number, (count, width) in enumerate(zip(counts, widths)):
            length = 1
            if count is not None:
                if place + count.size > len(body):
                    raise _ends_early(element, row)
                length = _length(count.unpack_from(body, place)[0])
                place += count.size
            if place + length * width > len(body):
                raise _ends_early(element, row)
            parts[number].append(body[place:place + length * width])
            sizes[number].append(length)
            place += length * width
    columns = []
    for item, part, size in zip(properties, parts, sizes):
        values = np.frombuffer(b"".join(part), order + item.type)
        columns.append(ListColumn(values, np.array(size, np.int64)) if item.count_type else values)
    return columns, place


# What the columns mean


def _check_indices(corners: np.ndarray, num_vertices: int) -> None:
    if corners.dtype.kind != "i":
        raise ValueError("its faces are not lists of whole numbers")
    if len(corners) and not (0 <= corners.min() and corners.max() < num_vertices):
        raise ValueError("a face names a vertex that does not exist")


def _strips(columns: dict, num_vertices: int) -> np.ndarray:
    """The triangles (T, 3) of triangle strips, in which -1 begins a new one and every other triangle is turned."""
    strips = next((values for values in columns.get("tristrips", {}).values() if isinstance(values, ListColumn)), None)
    if strips is None or not len(strips.values):
        return np.zeros((0, 3), np.int64)
    bounds = np.cumsum(strips.sizes)[:-1]
    values = np.insert(strips.values, bounds, -1)
    _check_indices(values[values >= 0], num_vertices)
    triangles = np.stack([values[:-2], values[1:-1], values[2:]], axis=1)
    begin = np.maximum.accumulate(np.where(values < 0, np.arange(len(values)), -1))[:-2]  # the latest mark before each
    odd = (np.arange(len(triangles)) - begin - 1) % 2 == 1
    triangles[odd] = triangles[odd][:, [1, 0, 2]]
    return triangles[(triangles >= 0).all(axis=1)]


def _named(columns: dict, names: tuple) -> np.ndarray | None:
    """The first of several groups of columns that is there, side by side, or None."""
    for group in names:
        if all(isinstance(columns.get(name), np.ndarray) for name in group):
            return np.stack([columns[name] for name in group], axis=1)
    return None


def _colors(vertex: dict, face: dict, triangles: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Corner colors (T, 3, 3): of the vertices, else of the faces, else gray."""
    colors = np.full((len(triangles), 3, 3), GRAY, np.float32)
    of_vertices, of_faces, num_bad = _named(vertex, COLORS), _named(face, COLORS), 0
    if of_vertices is not None:
        values, num_bad = unit_colors(of_vertices)
        colors = values[triangles]
    elif of_faces is not None:
        values, num_bad = unit_colors(of_faces)
        colors[:len(faces)] = values[faces][:, None]
    return colors, [unreadable_colors(num_bad)] * bool(num_bad)


def _texture_names(comments: list[str]) -> list[str]:
    """The images that `comment TextureFile <name>` lines name, in their order."""
    return [match.group(1).strip().strip("\"'") for comment in comments
            if (match := re.match(r"texturefile\s+(\S.*)", comment, re.IGNORECASE))]


def _add_textures(path: Path, mesh: Mesh, store: TextureStore, comments: list[str], vertex: dict, face: dict,
                  places: np.ndarray, sizes: np.ndarray) -> None:
    """Give a mesh the textures that comments name, by the coordinates of its corners, else of its vertices."""
    numbers = []
    for name in _texture_names(comments):
        place, problem = locate(path, name)
        numbers.append(store.add(place, place.name, place.read_bytes) if place else store.lacks(name, problem))
    if not numbers:
        return
    of_corners, of_vertices = face.get("texcoord"), _named(vertex, COORDINATES)
    uvs = None
    texture_of_face = np.zeros(len(sizes), np.int64)
    if isinstance(of_corners, ListColumn) and (of_corners.sizes == 2 * sizes).all() and len(places):
        uvs = of_corners.values.reshape(-1, 2)[places]
        if isinstance(face.get("texnumber"), np.ndarray):
            texture_of_face = np.asarray(face["texnumber"], np.int64)
    elif of_vertices is not None:
        uvs = of_vertices[mesh.faces]
    if uvs is None:
        return
    count = len(uvs)  # triangles of strips have no coordinates of their own
    faces = np.searchsorted(np.cumsum(sizes), places[:, 0], side="right") if len(places) else np.zeros(0, np.int64)
    texture = np.full(count, numbers[0])
    named = texture_of_face[faces]
    texture[:len(faces)] = np.where((named >= 0) & (named < len(numbers)),
                                    np.array(numbers)[named.clip(0, len(numbers) - 1)], -1)
    good = np.isfinite(uvs).all(axis=(1, 2)) & (texture >= 0)
    mesh.corner_uvs[:count] = np.where(good[:, None, None], uvs, 0)
    mesh.face_texture[:count] = np.where(good, texture, -1)
    mesh.corner_colors[:count][good] = 1
    mesh.textures = store.images
