"""glTF 2.0 and GLB: the default scene in its rest pose, base colors only.

Written after the specification (registry.khronos.org/glTF/specs/2.0) and those of its extensions. What is compressed by
Draco or meshopt is refused by name; pictures in formats that Pillow does not know are left out with a note.
"""
import base64
import binascii
import functools
import json
import re
import struct
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from utils.mesh.file_colors import linear_to_srgb, unit_colors, unreadable_colors
from utils.mesh.mesh import GRAY, Mesh, join_meshes
from utils.mesh.referenced_files import TextureStore, Wrapping, decode_text, locate
from utils.mesh.transparency import cut_out

COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
STRIP, FAN, TRIANGLES = 5, 6, 4
WRAPPINGS: dict[int, Wrapping] = {33071: "edge", 33648: "symmetric"}  # CLAMP_TO_EDGE, MIRRORED_REPEAT
MOST_FACES = 20_000_000  # of all copies together: a small file can place one part a million times
MOST_SPARSE = 10_000_000  # items of an accessor that stores only those which are not zero
COMPRESSED = {"KHR_draco_mesh_compression": "Draco", "EXT_meshopt_compression": "meshopt",
              "KHR_meshopt_compression": "meshopt", "MESHOPT_compression": "meshopt"}
# Pictures in formats of an extension: those that Pillow reads, best first, and those that it does not
PICTURE_EXTENSIONS = ("EXT_texture_webp", "EXT_texture_avif", "MSFT_texture_dds")
UNREAD_PICTURES = {"KHR_texture_basisu": "is KTX2, which is not read; export it as PNG or JPEG"}
# Extensions that a file may require without changing its shape or base color beyond what is read here
KNOWN = re.compile(r"KHR_(materials_\w+|mesh_quantization|texture_transform|lights_\w+|animation_\w+|xmp\w*|node_visibility)"
                   r"|EXT_mesh_gpu_instancing|EXT_lights_\w+|VRM\w*|MSFT_packing\w*")


def read_gltf(path: Path, content: bytes) -> tuple[Mesh, list[str]]:
    """Read a .gltf or .glb; arguments, returns and errors as of `obj_reader.read_obj`."""
    try:
        asset = _Asset(path, *_container(content))
        parts = [(primitive, node, world) for node, world in asset.drawn_nodes()
                 for primitive in asset.item("meshes", node["mesh"])["primitives"]]
        if sum(asset.count_faces(primitive) for primitive, _, _ in parts) > MOST_FACES:
            raise ValueError(f"it has more than {MOST_FACES // 10**6} million faces; simplify it first")
        meshes = [mesh for part in parts if len((mesh := asset.primitive_mesh(*part)).faces)]
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError, struct.error, binascii.Error) as error:
        raise ValueError(f"its JSON is not glTF 2.0: {type(error).__name__} {str(error)[:60]}".replace("\n", " ")) from None
    return join_meshes(meshes, asset.store.images), asset.notes + asset.store.problems


def gltf_files(path: Path, content: bytes) -> list[Path]:
    """The buffers and pictures outside a .gltf or .glb that it names, as far as they are there."""
    try:
        document, _ = _container(content)
        uris = [item.get("uri") for kind in ("buffers", "images") for item in document.get(kind, [])]
    except (ValueError, AttributeError, TypeError, struct.error, RecursionError):
        return []
    named = [_locate(path, uri)[0] for uri in uris if isinstance(uri, str) and not uri.startswith("data:")]
    return [place for place in dict.fromkeys(named) if place]


def _container(content: bytes) -> tuple[dict, bytes | None]:
    """The JSON document, and a GLB's own buffer or None."""
    binary = None
    text = content
    if content[:4] == b"glTF":
        if len(content) < 20:
            raise ValueError("it ends early: a GLB has a header of 20 bytes")
        version, length, json_length = struct.unpack_from("<III", content, 4)
        if version != 2:
            raise ValueError(f"it is glTF {version}, and only glTF 2 is read; convert it first")
        if length > len(content) or 20 + json_length > len(content):
            raise ValueError(f"it ends early: its header says {length} bytes, and {len(content)} are there")
        text = content[20:20 + json_length]
        place = 20 + json_length
        while place + 8 <= length and binary is None:
            size, kind = struct.unpack_from("<I4s", content, place)
            if kind == b"BIN\0":
                binary = content[place + 8:place + 8 + size]
            place += 8 + size
    try:
        document = json.loads(decode_text(text).rstrip("\0 \n"))  # padded by zeros against the specification
    except (ValueError, RecursionError):
        raise ValueError("its JSON is damaged") from None
    if not isinstance(document, dict):
        raise ValueError("its JSON is not glTF 2.0")
    if not str(document.get("asset", {}).get("version", "2")).startswith("2"):
        raise ValueError(f"it is glTF {document['asset']['version']}, and only glTF 2 is read; convert it first")
    return document, binary


def _locate(path: Path, uri: str) -> tuple[Path | None, str]:
    """The file that a URI names; many exporters forget to encode, so that the name as it stands counts as well."""
    place, problem = locate(path, urllib.parse.unquote(uri))
    if place is None:
        place = locate(path, uri)[0]
    return place, "" if place else problem


def _integer(value: Any, what: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or value < 0 or value > 2**53:
        raise ValueError(f"its JSON has an impossible {what}: {str(value)[:20]}")
    return value


class _Asset:
    """One document with what has been read of it, for the functions that look things up in it."""

    def __init__(self, path: Path, document: dict, binary: bytes | None):
        self.path, self.document, self.binary = path, document, binary
        self.store, self.notes = TextureStore(), list[str]()
        self._buffers: dict[int, bytes] = {}
        self._worlds: dict[int, np.ndarray] | None = None
        required = document.get("extensionsRequired", [])
        for name in required:
            if name not in COMPRESSED and name not in PICTURE_EXTENSIONS and name not in UNREAD_PICTURES \
                    and not KNOWN.fullmatch(str(name)):
                self.note(f"it needs the extension {str(name)[:60]}, which is not known here and is passed over")

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def item(self, kind: str, index: Any) -> dict:
        """One entry of a list of the document."""
        items, index = self.document.get(kind, []), _integer(index, f"index into {kind}")
        if index >= len(items):
            raise ValueError(f"it names {kind} {index}, and there are {len(items)}")
        return items[index]

    # Numbers

    def accessor(self, index: Any, scaled: bool = True) -> np.ndarray:
        """(count, width) of an accessor; normalized integers become float64 in [-1, 1] unless scaled is False."""
        accessor = self.item("accessors", index)
        kind, width = np.dtype(COMPONENTS[accessor["componentType"]]), WIDTHS[accessor["type"]]
        count, sparse = _integer(accessor["count"], "count"), accessor.get("sparse")
        if "bufferView" in accessor:
            values = self._items(accessor["bufferView"], accessor.get("byteOffset", 0), kind, width, count)
        elif sparse and count <= MOST_SPARSE:
            values = np.zeros((count, width), kind)
        else:
            raise ValueError("it has an accessor without data")
        if sparse:
            number = _integer(sparse["count"], "count")
            where, new = sparse["indices"], sparse["values"]
            places = self._items(where["bufferView"], where.get("byteOffset", 0),
                                 np.dtype(COMPONENTS[where["componentType"]]), 1, number)[:, 0]
            if number and not places.max() < count:
                raise ValueError("a sparse accessor replaces what does not exist")
            values = values.copy()
            values[places.astype(np.int64)] = self._items(new["bufferView"], new.get("byteOffset", 0), kind, width, number)
        if scaled and accessor.get("normalized") and kind.kind in "iu":
            values = np.maximum(values / np.float64(np.iinfo(kind).max), -1)
        return values

    def _items(self, view_index: Any, offset: Any, kind: np.dtype, width: int, count: int) -> np.ndarray:
        """(count, width) of a part of a buffer, checked against the buffer's end before anything is made."""
        view = self.item("bufferViews", view_index)
        data = self._view_data(view)
        offset, size = _integer(offset, "byteOffset"), kind.itemsize * width
        step = _integer(view.get("byteStride", 0), "byteStride") or size
        if count and offset + step * (count - 1) + size > len(data):
            raise ValueError(f"it ends early: {count} items are said to be where {len(data)} bytes are")
        return np.ndarray((count, width), kind, data, offset, (step, kind.itemsize)) if count else np.zeros((0, width), kind)

    def _view_data(self, view: dict) -> memoryview:
        index = _integer(view["buffer"], "buffer")
        if index not in self._buffers:
            self._buffers[index] = self._buffer_data(self.item("buffers", index), index, view)
        data = self._buffers[index]
        start, length = _integer(view.get("byteOffset", 0), "byteOffset"), _integer(view["byteLength"], "byteLength")
        if start + length > len(data):
            raise ValueError(f"it ends early: {start + length} bytes are said to be where {len(data)} are")
        return memoryview(data)[start:start + length]

    def _buffer_data(self, buffer: dict, index: int, view: dict) -> bytes:
        uri = buffer.get("uri")
        if uri is None:
            if index == 0 and self.binary is not None:
                return self.binary
            for name in view.get("extensions", {}):
                self._refuse_compressed(name)
            raise ValueError(f"its buffer {index} has no data")
        if uri.startswith("data:"):
            return _data(uri)
        place, problem = _locate(self.path, uri)
        if place is None:
            raise ValueError(f"its buffer {_shown(uri)} {problem}")
        try:
            return place.read_bytes()
        except OSError as error:
            raise ValueError(f"its buffer {_shown(uri)} cannot be read ({error.strerror})") from None

    def _refuse_compressed(self, name: str) -> None:
        if name in COMPRESSED:
            raise ValueError(f"it is compressed by {COMPRESSED[name]}; export it without compression")

    # Nodes

    def drawn_nodes(self) -> Iterator[tuple[dict, np.ndarray]]:
        """The nodes of the default scene that have a mesh, and their (4, 4) places in the world."""
        nodes, scenes = self.document.get("nodes", []), self.document.get("scenes", [])
        worlds = self.worlds()
        if not nodes:  # a library of parts: each stands where it was made
            yield from (({"mesh": number}, np.eye(4)) for number in range(len(self.document.get("meshes", []))))
        if scenes:
            waiting = list(self.item("scenes", self.document.get("scene", 0)).get("nodes", []))
        else:
            waiting = [index for index in range(len(nodes)) if index in worlds and index not in self.children]
        seen = set()
        waiting.reverse()
        while waiting:
            index = _integer(waiting.pop(), "node")
            node = self.item("nodes", index)
            if index in seen or index not in worlds:
                continue
            seen.add(index)
            if not node.get("extensions", {}).get("KHR_node_visibility", {}).get("visible", True):
                continue
            waiting += reversed(node.get("children", []))
            if "mesh" in node:
                for place in self._instances(node):
                    yield node, worlds[index] @ place

    def worlds(self) -> dict[int, np.ndarray]:
        """(4, 4) of each node that hangs from a root."""
        if self._worlds is not None:
            return self._worlds
        nodes = self.document.get("nodes", [])
        self.children: set[int] = set()
        for node in nodes:
            for child in node.get("children", []):
                if child in self.children:
                    raise ValueError(f"node {child} hangs from two others")
                self.children.add(_integer(child, "node"))
        self._worlds = {}
        waiting = [(index, np.eye(4)) for index in range(len(nodes)) if index not in self.children]
        while waiting:
            index, above = waiting.pop()
            node = self.item("nodes", index)
            self._worlds[index] = above @ _local(node)
            waiting += [(child, self._worlds[index]) for child in node.get("children", [])]
        return self._worlds

    def _instances(self, node: dict) -> Iterator[np.ndarray]:
        """The places relative to its node at which a node's mesh stands: one, unless EXT_mesh_gpu_instancing has more."""
        attributes = node.get("extensions", {}).get("EXT_mesh_gpu_instancing", {}).get("attributes", {})
        parts = {key: np.asarray(self.accessor(attributes[name]), np.float64) for key, name in
                 (("translation", "TRANSLATION"), ("rotation", "ROTATION"), ("scale", "SCALE")) if name in attributes}
        if not parts:
            yield np.eye(4)
        for number in range(min(map(len, parts.values()), default=0)):
            yield _local({key: values[number] for key, values in parts.items()})

    # Primitives

    def count_faces(self, primitive: dict) -> int:
        """Triangles of a primitive, before anything of it is read."""
        mode = primitive.get("mode", TRIANGLES)
        index = primitive.get("indices", primitive["attributes"].get("POSITION"))
        count = _integer(self.item("accessors", index)["count"], "count") if index is not None else 0
        return count // 3 if mode == TRIANGLES else count

    def primitive_mesh(self, primitive: dict, node: dict, world: np.ndarray) -> Mesh:
        """One primitive where its node places it."""
        for name in primitive.get("extensions", {}):
            if name in COMPRESSED and any("bufferView" not in self.item("accessors", index)
                                          for index in primitive["attributes"].values()):
                self._refuse_compressed(name)
        attributes = primitive["attributes"]
        empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((0, 3, 3), np.float32),
                     np.zeros((0, 3, 2), np.float32), np.zeros(0, np.int32))
        mode = primitive.get("mode", TRIANGLES)
        if mode not in (TRIANGLES, STRIP, FAN) or "POSITION" not in attributes:
            return empty  # points and lines
        positions = np.asarray(self.accessor(attributes["POSITION"]), np.float64)
        if positions.shape[1] != 3:
            raise ValueError("its vertices are not three numbers each")
        faces = _triangles(self.accessor(primitive["indices"], scaled=False)[:, 0].astype(np.int64)
                           if "indices" in primitive else np.arange(len(positions)), mode)
        if len(faces) and faces.max() >= len(positions):
            raise ValueError("a face names a vertex that does not exist")
        positions = self._morphed(positions, primitive, node)
        positions, mirrored = self._placed(positions, attributes, node, world)
        return self._painted(positions, faces[:, ::-1] if mirrored else faces, primitive)

    def _morphed(self, positions: np.ndarray, primitive: dict, node: dict) -> np.ndarray:
        """Positions with the weights that node or mesh gives to morph targets."""
        weights = node.get("weights", self.item("meshes", node["mesh"]).get("weights", []))
        for weight, target in zip(weights, primitive.get("targets", [])):
            if weight and "POSITION" in target:
                delta = self.accessor(target["POSITION"])
                if delta.shape != positions.shape:
                    raise ValueError("a morph target has another number of vertices")
                positions = positions + float(weight) * delta
        return positions

    def _placed(self, positions: np.ndarray, attributes: dict, node: dict, world: np.ndarray) -> tuple[np.ndarray, bool]:
        """Positions in the world, and whether they are mirrored; a skin places them by its joints, not by its node."""
        if "skin" not in node or "JOINTS_0" not in attributes or "WEIGHTS_0" not in attributes:
            return positions @ world[:3, :3].T + world[:3, 3], np.linalg.det(world[:3, :3]) < 0
        skin, worlds = self.item("skins", node["skin"]), self.worlds()
        joints = [_integer(joint, "joint") for joint in skin["joints"]]
        places = np.stack([worlds[joint] for joint in joints])
        if "inverseBindMatrices" in skin:
            binds = np.asarray(self.accessor(skin["inverseBindMatrices"]), np.float64)
            if len(binds) < len(joints) or binds.shape[1] != 16:
                raise ValueError("a skin has too few inverse bind matrices")
            places = places @ binds[:len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        total, moved = np.zeros(len(positions)), np.zeros_like(positions)
        number = 0
        while f"JOINTS_{number}" in attributes and f"WEIGHTS_{number}" in attributes:
            indices = self.accessor(attributes[f"JOINTS_{number}"], scaled=False).astype(np.int64)
            weights = np.asarray(self.accessor(attributes[f"WEIGHTS_{number}"]), np.float64)
            if indices.shape != weights.shape or len(indices) != len(positions):
                raise ValueError("a skin has another number of vertices than its mesh")
            if indices.size and not 0 <= indices.min() <= indices.max() < len(joints):
                raise ValueError("a skin names a joint that does not exist")
            for column in range(indices.shape[1]):
                place, weight = places[indices[:, column]], weights[:, column]
                moved += weight[:, None] * (np.einsum("vij,vj->vi", place[:, :3, :3], positions) + place[:, :3, 3])
                total += weight
            number += 1
        moved[total > 0] /= total[total > 0, None]
        moved[total <= 0] = positions[total <= 0]
        return moved, len(joints) > 0 and np.linalg.det(places[0, :3, :3]) < 0

    # Colors

    def _painted(self, positions: np.ndarray, faces: np.ndarray, primitive: dict) -> Mesh:
        """Vertex colors times factor times texture; all are linear light but the texture, which is sRGB."""
        attributes = primitive["attributes"]
        material = self.item("materials", primitive["material"]) if "material" in primitive else None
        factor, texture_info = _base(material or {})
        colors, alphas = self._vertex_colors(attributes, len(positions))
        mesh = Mesh(positions, faces, np.empty((len(faces), 3, 3), np.float32), np.zeros((len(faces), 3, 2), np.float32),
                    np.full(len(faces), -1, np.int32), self.store.images)
        texture = self._texture(texture_info, material or {}) if texture_info else -1
        uvs = self._uvs(texture_info, attributes, len(positions)) if texture_info and texture >= 0 else None
        if texture >= 0 and uvs is None:
            self.note("a texture has no usable texture coordinates and is left out "
                      f"({(material or {}).get('name', 'material ' + str(primitive['material']))})")
        if uvs is not None:
            mesh.face_texture[:] = self.store.wrap(texture, uvs, *self._wrapping(texture_info))  # which changes uvs
            mesh.corner_uvs = uvs[faces]
        if colors is not None:
            mesh.corner_colors[:] = linear_to_srgb((colors * factor[:3]).clip(0, 1))[faces]
        elif material is None or (texture_info and uvs is None and (factor[:3] == 1).all()):
            mesh.corner_colors[:] = GRAY  # its color is not known
        else:
            mesh.corner_colors[:] = linear_to_srgb(factor[:3].clip(0, 1))
        return self._cut(mesh, material or {}, factor[3], None if alphas is None else alphas[faces])

    def _vertex_colors(self, attributes: dict, count: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """COLOR_0 as linear (V, 3) and alpha (V,), or None for either."""
        if "COLOR_0" not in attributes:
            return None, None
        values = self.accessor(attributes["COLOR_0"], scaled=False)
        if len(values) != count or values.shape[1] < 3:
            self.note("its vertex colors are another number than its vertices and are left out")
            return None, None
        if values.dtype.kind == "f":
            good = np.isfinite(values).all(axis=1)
            colors = np.where(good[:, None], values, 0.133)  # GRAY in linear light
            if not good.all():
                self.note(unreadable_colors(int((~good).sum())))
            return colors[:, :3].clip(0, 1), colors[:, 3].clip(0, 1) if values.shape[1] > 3 else None
        alpha = values[:, 3] / np.float64(np.iinfo(values.dtype).max) if values.shape[1] > 3 else None
        return unit_colors(values)[0], alpha

    def _texture(self, info: dict, material: dict) -> int:
        """Number of a texture in the store, or -1 if it cannot be had, which is noted."""
        texture = self.item("textures", info["index"])
        extensions = texture.get("extensions", {})
        sources = [extensions[name]["source"] for name in PICTURE_EXTENSIONS if "source" in extensions.get(name, {})]
        sources += [texture["source"]] if "source" in texture else []
        number = -1
        for source in sources:
            image = self.item("images", source)
            number = self.store.add(source, _image_name(image, source), functools.partial(self._picture, image))
            if number >= 0:
                return number
        for name, problem in UNREAD_PICTURES.items():
            if not sources and name in extensions:
                source = extensions[name].get("source", 0)
                return self.store.lacks(_image_name(self.item("images", source), source), problem)
        if not sources:
            self.store.lacks(f"of {material.get('name', 'a material')}", "has no picture")
        return number

    def _wrapping(self, info: dict | None) -> list[Wrapping]:
        """How a texture goes on to its right and upwards beyond [0, 1]: "repeat", "edge" or "symmetric"."""
        texture = self.item("textures", (info or {})["index"])
        sampler = self.item("samplers", texture["sampler"]) if "sampler" in texture else {}
        return [WRAPPINGS.get(sampler.get(name, 0), "repeat") for name in ("wrapS", "wrapT")]

    def _picture(self, image: dict) -> bytes:
        uri = image.get("uri")
        if uri is None:
            try:
                return bytes(self._view_data(self.item("bufferViews", image["bufferView"])))
            except (KeyError, ValueError):
                raise ValueError("is not in the file") from None
        if uri.startswith("data:"):
            return _data(uri)
        place, problem = _locate(self.path, uri)
        if place is None:
            raise ValueError(problem)
        return place.read_bytes()

    def _uvs(self, info: dict, attributes: dict, count: int) -> np.ndarray | None:
        """Coordinates (V, 2) float32 of a texture, (0, 0) at its lower left, or None if there are none of use."""
        transform = info.get("extensions", {}).get("KHR_texture_transform", {})
        number = _integer(transform.get("texCoord", info.get("texCoord", 0)), "texCoord")
        if f"TEXCOORD_{number}" not in attributes:
            return None
        uvs = np.asarray(self.accessor(attributes[f"TEXCOORD_{number}"]), np.float64)
        if uvs.shape != (count, 2):
            return None
        uvs = np.where(np.isfinite(uvs), uvs, 0)
        if transform:
            # Scaled, then turned counter-clockwise as seen, with v counted downwards, then moved
            angle = float(transform.get("rotation", 0))
            u, v = (uvs * np.float64(transform.get("scale", [1, 1]))).T
            uvs = np.stack([np.cos(angle) * u + np.sin(angle) * v, np.cos(angle) * v - np.sin(angle) * u], axis=1)
            uvs = uvs + np.float64(transform.get("offset", [0, 0]))
        return np.stack([uvs[:, 0], 1 - uvs[:, 1]], axis=1).clip(-1e6, 1e6).astype(np.float32)

    def _cut(self, mesh: Mesh, material: dict, factor: float, alphas: np.ndarray | None) -> Mesh:
        """A mesh without what is wholly transparent (BLEND) or below the cutoff (MASK)."""
        mode = material.get("alphaMode", "OPAQUE")
        if mode not in ("MASK", "BLEND") or not len(mesh.faces):
            return mesh
        cutoff = float(material.get("alphaCutoff", 0.5)) if mode == "MASK" else 0.5 / 255
        level = np.full(len(mesh.faces), factor) if alphas is None else factor * alphas.max(axis=1)
        texture = mesh.face_texture[0]
        alpha = self.store.alphas[texture] if texture >= 0 else None
        shown = np.flatnonzero(level >= cutoff)
        rest = Mesh(mesh.vertices, mesh.faces[shown], mesh.corner_colors[shown], mesh.corner_uvs[shown],
                    mesh.face_texture[shown], mesh.textures)
        if alpha is not None and len(shown):
            mask = alpha / 255 * level[shown].max() >= cutoff
            rest = cut_out(rest, [(np.arange(len(shown)), mask)])
            rest.face_texture[:] = self.store.fill(int(texture), mask)
        if not len(rest.faces):
            self.note(f"{material.get('name', 'a material')} is transparent everywhere, which is passed over")
            return mesh
        return rest


def _data(uri: str) -> bytes:
    """The content of a data URI."""
    head, _, data = uri.partition(",")
    return base64.b64decode(data) if head.endswith(";base64") else urllib.parse.unquote_to_bytes(data)


def _shown(uri: str) -> str:
    name = urllib.parse.unquote(uri).replace("\\", "/")
    return (name if name.startswith("..") else name.rsplit("/", 1)[-1])[:80]


def _image_name(image: dict, index: int) -> str:
    uri = image.get("uri")
    return _shown(uri) if isinstance(uri, str) and not uri.startswith("data:") else str(image.get("name", f"image {index}"))


def _local(node: dict) -> np.ndarray:
    """(4, 4) of a node: its matrix, or translation times rotation times scale."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T  # written column by column
    matrix = np.eye(4)
    x, y, z, w = np.array(node.get("rotation", [0, 0, 0, 1]), np.float64)
    length = np.sqrt(x * x + y * y + z * z + w * w)
    if length > 0:
        x, y, z, w = x / length, y / length, z / length, w / length
    matrix[:3, :3] = [[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                      [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                      [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]]
    matrix[:3, :3] *= np.array(node.get("scale", [1, 1, 1]), np.float64)
    matrix[:3, 3] = np.array(node.get("translation", [0, 0, 0]), np.float64)
    return matrix


def _triangles(index: np.ndarray, mode: int) -> np.ndarray:
    """(T, 3) of a list, strip or fan of vertex indices; in a strip every other triangle is turned."""
    if mode == TRIANGLES or len(index) < 3:
        return index[:len(index) // 3 * 3].reshape(-1, 3)
    if mode == FAN:
        return np.stack([np.full(len(index) - 2, index[0]), index[1:-1], index[2:]], axis=1)
    faces = np.stack([index[:-2], index[1:-1], index[2:]], axis=1)
    faces[1::2] = faces[1::2][:, [1, 0, 2]]
    return faces


def _base(material: dict) -> tuple[np.ndarray, dict | None]:
    """Linear color and alpha (4,) of a material, and its texture or None."""
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
    if glossy is not None:
        factor, texture = glossy.get("diffuseFactor", [1, 1, 1, 1]), glossy.get("diffuseTexture")
    else:
        metal = material.get("pbrMetallicRoughness", {})
        factor, texture = metal.get("baseColorFactor", [1, 1, 1, 1]), metal.get("baseColorTexture")
    factor = np.array(factor, np.float64)
    if factor.shape == (3,):
        factor = np.append(factor, 1.0)
    if factor.shape != (4,) or not np.isfinite(factor).all():
        raise ValueError("a material's color is not four numbers")
    return factor, texture
