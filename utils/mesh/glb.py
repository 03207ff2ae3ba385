"""Writing one binary glTF 2.0 file by its specification, section by section: nothing in it depends on an exporter."""
import json
import struct
from pathlib import Path

import numpy as np

from utils.io.files import atomic_write
from utils.mesh.mesh_io import unit_normals
from utils.mesh.texture_file import TEXTURE_FORMATS, texture_bytes

FLOAT, UNSIGNED_INT, UNSIGNED_SHORT = 5126, 5125, 5123  # component types (5.1.3)
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963  # what a buffer view is for (5.11.5)
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071  # how a texture is read (5.26)


def write_glb(path: str | Path, vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray, face_uvs: np.ndarray,
              texture: np.ndarray, texture_format: str = "png") -> None:
    """Write a surface with one texture as one .glb file; node, mesh, material and image carry the file's name.

    Args:
        path: the .glb file.
        vertices, faces, uvs, face_uvs, texture: as for `utils.mesh.mesh_io.write_obj`, +y up.
        texture_format: "png" or "jpg".
    Raises:
        UserError: the file cannot be written.
    """
    name = Path(path).stem.encode(errors="replace").decode()  # bytes that are no text have no place in JSON
    # One glTF vertex for each distinct (position, texture coordinate) pair; v counts from the image's top.
    pairs, index = np.unique(np.stack([np.ravel(faces), np.ravel(face_uvs)], axis=1), axis=0, return_inverse=True)
    positions = np.asarray(vertices, np.float32)[pairs[:, 0]]
    normals = unit_normals(vertices, faces)[pairs[:, 0]].astype(np.float32)
    coordinates = (np.asarray(uvs, np.float32)[pairs[:, 1]] * [1, -1] + [0, 1]).clip(0, 1).astype(np.float32)
    short = len(pairs) < 0xFFFF  # the largest index means "start anew" (3.7.2.1)
    parts = [(positions, FLOAT, "VEC3", ARRAY_BUFFER), (normals, FLOAT, "VEC3", ARRAY_BUFFER),
             (coordinates, FLOAT, "VEC2", ARRAY_BUFFER),
             (index.ravel().astype(np.uint16 if short else np.uint32), UNSIGNED_SHORT if short else UNSIGNED_INT, "SCALAR",
              ELEMENT_ARRAY_BUFFER)]
    blob, views, accessors = b"", [], []
    for number, (array, component, kind, target) in enumerate(parts):
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": array.nbytes, "target": target})
        accessors.append({"bufferView": number, "componentType": component, "count": len(array), "type": kind})
        blob += _padded(array.astype(array.dtype.newbyteorder("<")).tobytes())
    accessors[0] |= {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    image = texture_bytes(texture, texture_format)
    views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(image)})
    blob += _padded(image)
    document = {
        "asset": {"version": "2.0", "generator": "MIto3D"},
        "scene": 0, "scenes": [{"name": name, "nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0}],
        "meshes": [{"name": name, "primitives": [
            {"attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}, "indices": 3, "material": 0}]}],
        "materials": [{"name": name, "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0}}],
        "textures": [{"sampler": 0, "source": 0}],
        "samplers": [{"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR, "wrapS": CLAMP_TO_EDGE,
                      "wrapT": CLAMP_TO_EDGE}],
        "images": [{"name": name, "bufferView": len(parts), "mimeType": TEXTURE_FORMATS[texture_format]}],
        "buffers": [{"byteLength": len(blob)}], "bufferViews": views, "accessors": accessors,
    }
    text = _padded(json.dumps(document, separators=(",", ":")).encode(), b" ")
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob
    with atomic_write(path) as temporary:
        temporary.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def _padded(data: bytes, filler: bytes = b"\0") -> bytes:
    """Data up to the next multiple of four bytes, where every chunk and buffer view begins (4.4.3)."""
    return data + filler * (-len(data) % 4)
