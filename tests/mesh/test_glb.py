"""GLB files read again by trimesh, by the specification's own layout (tests/mesh/test_mesh_io.py) and by Khronos' validator."""
import io
import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
import trimesh
from PIL import Image

from utils.mesh.glb import write_glb
from utils.rendering.uv_atlas import make_atlas

VALIDATE = """
const validator = require("gltf-validator"), fs = require("fs");
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])))
  .then(report => console.log(JSON.stringify(report)));
"""


@pytest.fixture(scope="module")
def ball():
    """A ball with an atlas and a smooth texture: vertices, faces, uvs, face_uvs, texture."""
    solid = trimesh.creation.icosphere(3)
    atlas = make_atlas(solid.vertices, solid.faces, 128)
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    texture = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], np.uint8(90)), axis=-1)
    return np.asarray(solid.vertices), np.asarray(solid.faces), atlas.uvs, atlas.face_uvs, texture


def document_of(path):
    data = path.read_bytes()
    length, = struct.unpack("<I", data[12:16])
    return json.loads(data[20:20 + length]), data[28 + length:]


def test_everything_carries_the_file_s_name_and_buffers_say_what_they_are_for(ball, tmp_path):
    write_glb(tmp_path / "my ball.glb", *ball)
    document, _ = document_of(tmp_path / "my ball.glb")
    for kind in ("scenes", "nodes", "meshes", "materials", "images"):
        assert [item["name"] for item in document[kind]] == ["my ball"], kind
    assert "extensionsUsed" not in document
    targets = [view.get("target") for view in document["bufferViews"]]
    assert targets == [34962, 34962, 34962, 34963, None]
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])
    back = trimesh.load(tmp_path / "my ball.glb", force="mesh")
    assert len(back.faces) == 1280 and back.volume == pytest.approx(4 / 3 * np.pi, rel=0.02)
    assert np.einsum("vi,vi->v", back.vertex_normals, back.vertices) == pytest.approx(np.ones(len(back.vertices)), abs=0.01)


def test_what_follows_an_odd_number_of_short_indices_begins_at_a_multiple_of_four(tmp_path):
    corners, face = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float), np.array([[0, 1, 2]])
    texture = np.full((2, 2, 3), 77, np.uint8)
    write_glb(tmp_path / "one.glb", corners, face, corners[:, :2], face, texture)
    document, blob = document_of(tmp_path / "one.glb")
    index, image = document["bufferViews"][3:]
    assert (index["byteLength"], image["byteOffset"] - index["byteOffset"]) == (6, 8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(blob[image["byteOffset"]:]))), texture)


@pytest.mark.parametrize("texture_format, kind, off", [("png", "PNG", 0), ("jpg", "JPEG", 6)])
def test_its_texture_is_the_image_that_was_given(ball, tmp_path, texture_format, kind, off):
    write_glb(tmp_path / "ball.glb", *ball, texture_format)
    document, blob = document_of(tmp_path / "ball.glb")
    view = document["bufferViews"][document["images"][0]["bufferView"]]
    image = Image.open(io.BytesIO(blob[view["byteOffset"]:view["byteOffset"] + view["byteLength"]]))
    assert image.format == kind and document["images"][0]["mimeType"] == f"image/{kind.lower()}"
    assert np.abs(np.asarray(image).astype(int) - ball[4]).max() <= off


def test_more_vertices_than_short_indices_can_count_get_long_ones(tmp_path):
    count = 70000
    angle = np.arange(count)
    vertices = np.stack([np.cos(angle), np.sin(angle), angle / count], axis=1)
    faces = np.stack([angle[:-2], angle[1:-1], angle[2:]], axis=1)
    write_glb(tmp_path / "long.glb", vertices, faces, np.full((1, 2), 0.5), np.zeros_like(faces), np.zeros((4, 4, 3), np.uint8))
    back = trimesh.load(tmp_path / "long.glb", force="mesh", process=False)
    assert np.array_equal(back.vertices[back.faces[-1]].astype(np.float32), vertices[faces[-1]].astype(np.float32))


@pytest.mark.parametrize("texture_format", ["png", "jpg"])
def test_the_khronos_validator_finds_nothing(ball, tmp_path, texture_format):
    node = shutil.which("node")
    if not node or subprocess.run([node, "-e", "require.resolve('gltf-validator')"], capture_output=True).returncode:
        pytest.skip("needs node and, on NODE_PATH, npm's gltf-validator")
    write_glb(tmp_path / "ball.glb", *ball, texture_format)
    done = subprocess.run([node, "-e", VALIDATE, str(tmp_path / "ball.glb")], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["issues"]["messages"] == [] and report["info"]["totalTriangleCount"] == 1280
