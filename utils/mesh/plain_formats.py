"""Formats without a texture image: PLY and 3MF with vertex colors, and STL; the last two for printing."""
import re
import struct
import zipfile
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from utils.io.files import atomic_write
from utils.mesh.mesh import textured_mesh
from utils.mesh.mesh_io import unit_normals

# Where a 3MF package says what it holds (3MF Core Specification 1.3, chapter 2)
CONTENT_TYPES = """<?xml version="1.0" encoding="UTF-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>
</Types>
"""
RELATIONSHIPS = """<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Target="/3D/3dmodel.model" Id="rel0" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>
</Relationships>
"""
MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<model unit="millimeter" xml:lang="en-US" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
 xmlns:m="http://schemas.microsoft.com/3dmanufacturing/material/2015/02">
<metadata name="Title">%(title)s</metadata>
<metadata name="Application">MIto3D</metadata>
<resources>
<m:colorgroup id="2">
%(colors)s</m:colorgroup>
<object id="1" type="model" name=%(name)s pid="2" pindex="0">
<mesh>
<vertices>
%(vertices)s</vertices>
<triangles>
%(triangles)s</triangles>
</mesh>
</object>
</resources>
<build>
<item objectid="1"/>
</build>
</model>
"""
EPOCH = (1980, 1, 1, 0, 0, 0)  # of the files in a 3MF: the same mesh gives the same bytes on any day
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def vertex_colors(vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray, face_uvs: np.ndarray,
                  texture: np.ndarray) -> np.ndarray:
    """(V, 3) uint8 sRGB, what the texture shows at each vertex; at a seam the mean of its sides, gray where no face is."""
    mesh = textured_mesh(vertices, faces, uvs, face_uvs, texture)
    corners = np.tile(np.eye(3, dtype=np.float32), (len(faces), 1))
    colors = mesh.colors_at(np.repeat(np.arange(len(faces)), 3), corners)
    count = np.bincount(np.ravel(faces), minlength=len(vertices))
    total = np.stack([np.bincount(np.ravel(faces), colors[:, channel], len(vertices)) for channel in range(3)], axis=1)
    return np.round(255 * np.where(count[:, None], total / np.maximum(count, 1)[:, None], 0.5)).astype(np.uint8)


def write_ply(path: str | Path, vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray, face_uvs: np.ndarray,
              texture: np.ndarray) -> None:
    """Write a binary PLY (Turk 1994) with normals and colors on its vertices; arguments as for `write_obj`."""
    properties = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4"),
                  ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    words = {"<f4": "float", "u1": "uchar"}
    rows = np.empty(len(vertices), properties)
    columns = [*np.transpose(vertices), *unit_normals(vertices, faces).T,
               *vertex_colors(vertices, faces, uvs, face_uvs, texture).T]
    for (name, _), column in zip(properties, columns):
        rows[name] = column
    polygons = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    polygons["count"], polygons["corners"] = 3, faces
    header = ["ply", "format binary_little_endian 1.0", "comment MIto3D", f"element vertex {len(vertices)}",
              *(f"property {words[kind]} {name}" for name, kind in properties), f"element face {len(faces)}",
              "property list uchar int vertex_indices", "end_header\n"]
    with atomic_write(path) as temporary:
        temporary.write_bytes("\n".join(header).encode() + rows.tobytes() + polygons.tobytes())


def write_stl(path: str | Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Write a binary STL (3D Systems 1989): vertices (V, 3) float in millimeters, z up; faces (F, 3) int."""
    corners = np.asarray(vertices, np.float32)[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).astype(np.float64)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    rows = np.zeros(len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    rows["normal"], rows["corners"] = normals, corners
    with atomic_write(path) as temporary:  # a header that begins with "solid" would announce text
        temporary.write_bytes(b"MIto3D, millimeters, z up".ljust(80) + struct.pack("<I", len(faces)) + rows.tobytes())


def write_3mf(path: str | Path, vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray, face_uvs: np.ndarray,
              texture: np.ndarray) -> None:
    """Write a 3MF (Core Specification 1.3) with colors on its vertices (Materials Extension 1.2, chapter 3).

    Args:
        vertices: (V, 3) float in millimeters, z up; faces: (F, 3) int, closed; the others as for `write_obj`.
    """
    title = NOT_IN_XML.sub("_", Path(path).stem)
    name = quoteattr(title)
    colors, number = np.unique(vertex_colors(vertices, faces, uvs, face_uvs, texture), axis=0, return_inverse=True)
    corners = np.concatenate([faces, number.ravel()[faces]], axis=1)
    model = MODEL % {
        "title": name[1:-1], "name": name,
        "colors": "".join('<m:color color="#%02X%02X%02X"/>\n' % tuple(row) for row in colors.tolist()),
        "vertices": "".join('<vertex x="%.5f" y="%.5f" z="%.5f"/>\n' % tuple(row) for row in np.asarray(vertices).tolist()),
        "triangles": "".join('<triangle v1="%d" v2="%d" v3="%d" pid="2" p1="%d" p2="%d" p3="%d"/>\n' % tuple(row)
                             for row in corners.tolist())}
    with atomic_write(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as package:
            for inside, text in (("[Content_Types].xml", CONTENT_TYPES), ("_rels/.rels", RELATIONSHIPS),
                                 ("3D/3dmodel.model", model)):
                package.writestr(zipfile.ZipInfo(inside, EPOCH), text, zipfile.ZIP_DEFLATED)
