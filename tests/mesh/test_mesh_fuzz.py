"""Damaged mesh files: whatever is in them, a mesh that keeps its promises or one line that names the file.

    MITO3D_FUZZ=20000 python -m pytest tests/mesh/test_mesh_fuzz.py

tries that many damaged files of each kind, other ones each time; without the variable a fixed few.
"""
import copy
import json
import os
import struct
import tracemalloc
import warnings

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config import UserError
from tests.mesh.written_files import MTL, OBJ, POSITIONS, TEXTURED, UVS, glb, png, square_gltf
from utils.mesh.mesh_io import mesh_dependencies, read_mesh

EXAMPLES = int(os.environ.get("MITO3D_FUZZ", 0))
MOST_MEMORY = 6e7  # bytes while a file of a few kilobytes is read
WORDS = [b"0", b"-1", b"1", b"nan", b"inf", b"1e999", b"-0.0", b"4294967295", b"-2147483648", b"99999999999999999999", b"3",
         b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\\\n", b"\t", b" ", b"#", b'"', b"/", b"../", b"..\\", b"//",
         b"mtllib ", b"usemtl ", b"f 1 2 3 4 5\n", b"f -1 -2 -3\n", b"v 1 2 3 4 5 6\n", b"vt\n", b"newmtl ", b"map_Kd -s ",
         b"map_d skin.png\n", b"end_header\n", b"element face 7\n", b"property list uchar int x\n", b"endsolid",
         b"facet normal", b"vertex 1 2", b"OFF", b"\x7f\xff\xff\xff", b"\0\0\xc0\x7f", b"\0\0\x80\x7f"]
NUMBERS = st.sampled_from([0, 1, 2, 3, 5, 255, -1, 10**9, 2**31, 2**53, 10**30, 0.5, -0.5, 1e308, float("nan"), float("inf")])
JSON_VALUES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=4), st.just([]), st.just({}),
                        st.lists(NUMBERS, max_size=4), st.sampled_from(["SCALAR", "VEC3", "MASK", "../x.png", "data:,x"]))


def ply(text_form):
    """A square with colors and coordinates of its vertices, a face with coordinates of its corners, and a strip."""
    rows = [(*position, 255, 0, 0, *uv) for position, uv in zip(POSITIONS.tolist(), UVS.tolist())]
    head = ("ply\nformat %s 1.0\ncomment TextureFile skin.png\nelement vertex 4\nproperty float x\nproperty float y\n"
            "property float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nproperty float s\n"
            "property float t\nelement face 2\nproperty list uchar int vertex_indices\n"
            "property list uchar float texcoord\nelement tristrips 1\nproperty list int int vertex_indices\nend_header\n")
    corners = UVS.ravel().tolist()
    if text_form:
        lines = [" ".join(map(str, row)) for row in rows]
        lines += ["4 0 1 2 3 8 " + " ".join(map(str, corners)), "3 0 1 2 6 0 0 1 0 1 1", "5 0 1 2 -1 3"]
        return (head % "ascii" + "\n".join(lines) + "\n").encode()
    body = b"".join(struct.pack("<3f3B2f", *row) for row in rows)
    body += struct.pack("<B4iB8f", 4, 0, 1, 2, 3, 8, *corners) + struct.pack("<B3iB6f", 3, 0, 1, 2, 6, *corners[:6])
    return (head % "binary_little_endian").encode() + body + struct.pack("<6i", 5, 0, 1, 2, -1, 3)


def rich_gltf():
    """The square with a skin, a sparse accessor, a morph target, vertex colors and a cut texture that is transformed."""
    info = {"index": 0, "extensions": {"KHR_texture_transform": {"scale": [0.5, 2], "rotation": 1, "offset": [1, 2]}}}
    made = square_gltf({"alphaMode": "MASK", "pbrMetallicRoughness": {"baseColorTexture": info}},
                       picture=png(np.full((4, 4, 4), 200, np.uint8)), COLOR_0=np.full((4, 4), 0.5),
                       JOINTS_0=np.zeros((4, 4), np.uint8), WEIGHTS_0=np.float32([[1, 0, 0, 0]] * 4))
    made.document["nodes"] = [{"mesh": 0, "skin": 0, "weights": [0.5]}, {"children": [2]},
                              {"matrix": np.eye(4).ravel().tolist()}]
    made.document["scenes"] = [{"nodes": [0, 1]}]
    made.document["skins"] = [{"joints": [2]}]
    primitive = made.document["meshes"][0]["primitives"][0]
    primitive["targets"] = [{"POSITION": made.add(POSITIONS)}]
    made.document["accessors"][1]["sparse"] = {
        "count": 1, "indices": {"bufferView": made.view(b"\1\0"), "componentType": 5123},
        "values": {"bufferView": made.view(np.float32([2, 0, 0]).tobytes())}}
    made.content()
    return made


OBJ_RICH = "# toy\n" + OBJ.replace("\nv ", "\nv  ") + "f -1/-1 -2/-2 -3/-3 -4/-4\nv 1 1 1 0.5 255 3\nusemtl b\nf 1//1 2//2 5\n"
SEEDS = {
    "obj": {"toy.obj": b"mtllib toy.mtl\n" + OBJ_RICH.encode(), "toy.mtl": MTL.encode(), "skin.png": png()},
    "mtl": {"toy.mtl": (MTL + "newmtl b\nKd 1 0.5 0\nmap_d skin.png\nmap_Kd -s 2 2 -o 1 0 0 skin.png\n").encode(),
            "toy.obj": b"mtllib toy.mtl\n" + OBJ_RICH.encode(), "skin.png": png()},
    "picture": {"skin.png": png(), "toy.mtl": MTL.encode(), "toy.obj": b"mtllib toy.mtl\n" + OBJ_RICH.encode()},
    "ply text": {"toy.ply": ply(True), "skin.png": png()},
    "ply binary": {"toy.ply": ply(False), "skin.png": png()},
    "stl text": {"toy.stl": b"solid toy\n" + 2 * b"facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n"
                 b"vertex 0 1 0\nendloop\nendfacet\n" + b"endsolid toy\n"},
    "stl binary": {"toy.stl": trimesh.exchange.stl.export_stl(trimesh.creation.box())},
    "off": {"toy.off": b"COFF\n4 2 0\n0 0 0 1 0 0 1\n1 0 0 0 1 0 1\n1 1 0 0 0 1 1\n0 1 0 1 1 1 1\n3 0 1 2 9 0 0\n4 0 1 2 3\n"},
    "glb": {"toy.glb": rich_gltf().content()},
    "gltf": {"toy.gltf": square_gltf(TEXTURED, picture_uri="skin.png").content("toy.bin"),
             "toy.bin": square_gltf(TEXTURED, picture_uri="skin.png").blob, "skin.png": png()},
}


@st.composite
def damages(draw, content):
    """The content with a few bytes changed, left out, doubled or put in, or cut short."""
    for _ in range(draw(st.integers(1, 6))):
        if not content:
            break
        place = draw(st.integers(0, len(content) - 1))
        end = min(len(content), place + draw(st.sampled_from([0, 1, 2, 4, 9, 40])))
        kind = draw(st.integers(0, 5))
        if kind <= 2:  # a known nuisance in place of what was there, or between
            content = content[:place] + draw(st.sampled_from(WORDS)) + content[end:]
        elif kind == 3:
            content = content[:place] + draw(st.binary(min_size=1, max_size=4)) + content[end:]
        elif kind == 4:
            content = content[:end] * 2 + content[place:]
        else:
            content = content[:place]
    return content


def spots(value, path=()):
    """The paths of all values in a JSON document."""
    yield path
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from spots(below, (*path, key))


DOCUMENT = rich_gltf().document
SPOTS = [path for path in spots(DOCUMENT) if path]


@st.composite
def documents(draw):
    """A rich glTF document with one to three values replaced or left out."""
    document = copy.deepcopy(DOCUMENT)
    for path in draw(st.lists(st.sampled_from(SPOTS), min_size=1, max_size=3)):
        holder = document
        try:
            for key in path[:-1]:
                holder = holder[key]
            if draw(st.integers(0, 4)) == 0:
                del holder[path[-1]]
            else:
                holder[path[-1]] = copy.deepcopy(draw(JSON_VALUES))  # else two places may share one list
        except (KeyError, IndexError, TypeError):  # gone with what was replaced before
            continue
    return document


def check(folder, files):
    """Write the files and read the first mesh among them: it keeps what `Mesh` promises, or is refused in one line."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    path = next(folder / name for name in files if name.endswith((".obj", ".ply", ".stl", ".off", ".glb", ".gltf")))
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            others = mesh_dependencies(path)
            mesh, notes = read_mesh(path)
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < len(str(path)) + 200
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST_MEMORY
    assert all(other.is_file() and folder in other.parents for other in others)
    assert all("\n" not in note and note.startswith(str(path)) for note in notes)
    assert len(mesh.faces) and 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)
    assert np.isfinite(mesh.vertices[mesh.faces]).all() and (np.linalg.norm(mesh.normals(), axis=1) > 0.9).all()
    assert mesh.corner_colors.dtype == np.float32 and 0 <= mesh.corner_colors.min() <= mesh.corner_colors.max() <= 1
    assert np.isfinite(mesh.corner_uvs).all() and mesh.face_texture.max() < len(mesh.textures)
    shapes = {len(values) for values in (mesh.faces, mesh.corner_colors, mesh.corner_uvs, mesh.face_texture)}
    colors = mesh.colors_at(np.arange(len(mesh.faces)), np.full((len(mesh.faces), 3), 1 / 3))
    assert len(shapes) == 1 and np.isfinite(colors).all()


def fuzz(strategy, body, few):
    """Run `body` on examples of a strategy: a few and always the same, or as many as the variable says."""
    settings(max_examples=EXAMPLES or few, derandomize=not EXAMPLES, database=None, deadline=None,
             suppress_health_check=list(HealthCheck))(given(strategy)(body))()


@pytest.mark.parametrize("few", [15, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_files_give_a_sound_mesh_or_one_line(tmp_path, kind, few):
    check(tmp_path, SEEDS[kind])
    name, *_ = SEEDS[kind]
    fuzz(damages(SEEDS[kind][name]), lambda content: check(tmp_path, SEEDS[kind] | {name: content}), few)


@pytest.mark.slow
def test_damaged_documents_give_a_sound_mesh_or_one_line(tmp_path):
    blob = rich_gltf().blob
    fuzz(documents(), lambda document: check(tmp_path, {"toy.glb": glb(json.loads(json.dumps(document)), blob)}), 150)


def test_the_whole_seeds_are_read(tmp_path):
    """What is damaged above is sound to begin with: else nothing but the refusals would be tried."""
    for number, (kind, files) in enumerate(SEEDS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        path = next(path for path in folder.iterdir() if path.suffix in (".obj", ".ply", ".stl", ".off", ".glb", ".gltf"))
        mesh, _ = read_mesh(path)
        assert len(mesh.faces) >= 2 and ("stl" in kind or "off" in kind or mesh.textures), kind
