"""Small mesh files that the tests of the readers write themselves, byte by byte after each format's description.

All show the same square, from (0, 0, 0) to (1, 1, 0), with the same picture: red top left, green top right, blue bottom
left, white bottom right. `corner_looks` reads a mesh's color near the square's four corners.
"""
import io
import json
import struct

import numpy as np
import trimesh
from PIL import Image

QUARTERS = np.uint8([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]).repeat(16, axis=0).repeat(16, axis=1)
FOUR = ["red", "green", "blue", "white"]  # what `corner_looks` says of it
NAMES = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1), "gray": (0.4, 0.4, 0.4)}
PLACES = ((0.1, 0.9, 0), (0.9, 0.9, 0), (0.1, 0.1, 0), (0.9, 0.1, 0))  # top left, top right, bottom left, bottom right
POSITIONS = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
UVS = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]])  # (0, 0) at the lower left, as OBJ has it
FACES = np.uint16([0, 1, 2, 0, 2, 3])
OBJ = ("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl skin\n"
       "f 1/1 2/2 3/3\nf 1/1 3/3 4/4\n")
MTL = "newmtl skin\nmap_Kd skin.png\n"
TYPE_CODES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def png(pixels=QUARTERS, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def color_near(mesh, point):
    """Color of a mesh at the surface point nearest `point`, found through trimesh."""
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    _, _, face = trimesh.proximity.closest_point_naive(solid, [point])
    weights = trimesh.triangles.points_to_barycentric(mesh.vertices[mesh.faces[face]], [point])
    return mesh.colors_at(face, weights)[0]


def corner_looks(mesh):
    """The names of the colors near the square's top left, top right, bottom left and bottom right corner."""
    looks = []
    for place in PLACES:
        color = color_near(mesh, place)
        looks += [name for name, value in NAMES.items() if np.abs(color - value).max() < 0.02] or [tuple(color)]
    return looks


def area(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).area


def glb(document, blob=b""):
    """A GLB file from its JSON document and one buffer."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    blob += b"\0" * (-len(blob) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(blob), b"BIN\0") + blob if blob else b""
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


class Gltf:
    """A document under construction: `add` puts an array into its buffer and returns the accessor's number."""

    def __init__(self):
        self.document = {"asset": {"version": "2.0"}, "bufferViews": [], "accessors": []}
        self.blob = b""

    def view(self, content):
        self.blob += b"\0" * (-len(self.blob) % 4)
        self.document["bufferViews"].append({"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(content)})
        self.blob += content
        return len(self.document["bufferViews"]) - 1

    def add(self, values, **more):
        values = np.atleast_2d(np.asarray(values).T).T
        self.document["accessors"].append({
            "bufferView": self.view(values.tobytes()), "componentType": TYPE_CODES[values.dtype.str[1:]],
            "count": len(values), "type": KINDS[values.shape[1]], **more})
        return len(self.document["accessors"]) - 1

    def content(self, uri=None):
        self.document["buffers"] = [{"byteLength": len(self.blob)} | ({"uri": uri} if uri else {})]
        return json.dumps(self.document).encode() if uri else glb(self.document, self.blob)


def square_gltf(material=None, uvs=True, picture=None, picture_uri=None, **attributes):
    """The square as a `Gltf`: one node, one primitive; `attributes` are arrays, or (array, accessor's further keys).

    material: dict or None; its texture, if any, is the picture.
    """
    made = Gltf()
    named = {"POSITION": POSITIONS} | ({"TEXCOORD_0": UVS * [1, -1] + [0, 1]} if uvs else {}) | attributes
    primitive = {"attributes": {}, "indices": made.add(FACES)}
    for name, values in named.items():
        values, more = values if isinstance(values, tuple) else (values, {})
        values = np.asarray(values)
        primitive["attributes"][name] = made.add(values.astype(np.float32) if values.dtype.kind == "f" else values, **more)
    if material is not None:
        made.document["materials"], primitive["material"] = [material], 0
        made.document["textures"] = [{"source": 0}]
        made.document["images"] = [{"uri": picture_uri} if picture_uri else
                                   {"bufferView": made.view(picture or png()), "mimeType": "image/png"}]
    made.document |= {"scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}]}
    return made


TEXTURED = {"name": "skin", "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
