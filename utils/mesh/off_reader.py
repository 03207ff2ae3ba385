"""OFF, with colors of vertices (COFF) or faces where it has them."""
from pathlib import Path

import numpy as np

from utils.mesh.file_colors import unit_colors, unreadable_colors
from utils.mesh.mesh import GRAY, Mesh
from utils.mesh.referenced_files import decode_text
from utils.mesh.triangulation import triangulate


def read_off(path: Path, content: bytes) -> tuple[Mesh, list[str]]:
    """Read an OFF; arguments, returns and errors as of `obj_reader.read_obj`."""
    lines = [words for line in decode_text(content).split("\n") if (words := line.split("#")[0].split())]
    kind = lines[0][0].upper() if lines else ""
    if not kind.endswith("OFF") or "BINARY" in [word.upper() for word in lines[0]]:
        raise ValueError("it is no OFF in text form")
    lines[0] = lines[0][1:]  # the counts may follow on the same line
    lines = lines[0:] if lines[0] else lines[1:]
    if kind[:-3].strip("STCN") or not lines:
        raise ValueError("it is no OFF of three dimensions")
    num_vertices, num_faces = _numbers(lines[0][:2], int)
    rows = lines[1:]
    if min(num_vertices, num_faces) < 0 or num_vertices + num_faces > len(rows):
        raise ValueError(f"it ends early: {len(rows)} of the lines for its vertices ({num_vertices}) and faces "
                         f"({num_faces}) follow")
    vertices = [_numbers(words) for words in rows[:num_vertices]]
    if any(len(values) < 3 for values in vertices):
        raise ValueError("a vertex has fewer than three coordinates")
    positions = np.array([values[:3] for values in vertices], np.float64).reshape(-1, 3)
    corners, sizes, face_colors = [], [], []
    for words in rows[num_vertices:num_vertices + num_faces]:
        size = _numbers(words[:1], int)[0]
        indices = _numbers(words[1:1 + size], int) if size > 0 else []
        if len(indices) != size or any(not 0 <= index < num_vertices for index in indices):
            raise ValueError("a face names a vertex that does not exist")
        corners += indices
        sizes.append(size)
        face_colors.append(_face_color(words[1 + size:]))
    places, faces = triangulate(positions, np.array(corners, np.int64), np.array(sizes, np.int64))
    triangles = np.array(corners, np.int64)[places].reshape(-1, 3)
    colors = np.array(face_colors, np.float32).reshape(-1, 1, 3)[faces].repeat(3, axis=1)
    notes = []
    start = 6 if "N" in kind[:-3] else 3  # normals come before colors
    if "C" in kind[:-3] and all(len(values) >= start + 3 for values in vertices):
        of_vertices, num_bad = unit_colors(np.array([values[start:start + 3] for values in vertices]).reshape(-1, 3))
        colors = of_vertices[triangles]
        notes = [unreadable_colors(num_bad)] * bool(num_bad)
    return Mesh(positions, triangles, colors, np.zeros((len(triangles), 3, 2), np.float32),
                np.full(len(triangles), -1, np.int32)), notes


def _numbers(words: list[str], kind: type = float) -> list:
    try:
        values = [kind(word) for word in words]
        if not values or (kind is int and max(map(abs, values)) > 2**53):
            raise ValueError
    except ValueError:
        raise ValueError(f"it has something else than numbers: {' '.join(words)[:40]}") from None
    return values


def _face_color(words: list[str]) -> tuple[float, ...]:
    """The color after a face's indices: whole numbers to 255 or fractions to 1; gray where there is none."""
    try:
        values = [float(word) for word in words[:3]]
    except ValueError:
        values = []
    if len(values) < 3 or not np.isfinite(values).all():
        return (GRAY,) * 3
    scale = 1.0 if any("." in word for word in words[:3]) else 255.0
    return tuple(min(max(value / scale, 0.0), 1.0) for value in values)
