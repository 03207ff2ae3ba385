"""glTF as its exporters write it: colors and places worked out by hand after the specification."""
import base64
import json
import struct
import tracemalloc

import numpy as np
import pytest
import trimesh

from config import UserError
from tests.mesh.written_files import (
    FACES,
    FOUR,
    POSITIONS,
    QUARTERS,
    TEXTURED,
    UVS,
    Gltf,
    area,
    color_near,
    corner_looks,
    glb,
    png,
    square_gltf,
)
from utils.mesh.mesh_io import mesh_dependencies, read_mesh

HALF_GRAY = 0.21586  # linear light of sRGB 128 / 255


@pytest.fixture
def read(tmp_path):
    """Function: Gltf or bytes -> what `read_mesh` returns for it as a GLB."""
    def read_glb(made):
        path = tmp_path / "toy.glb"
        path.write_bytes(made if isinstance(made, bytes) else made.content())
        return read_mesh(path)
    return read_glb


def refusal(read, made):
    with pytest.raises(UserError) as error:
        read(made)
    assert "toy.glb" in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def textured(**info):
    """A material with a texture whose textureInfo has further keys."""
    return {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, **info}}}


# Colors


def test_a_texture_s_first_row_is_at_the_top(read):
    mesh, notes = read(square_gltf(TEXTURED))
    assert corner_looks(mesh) == FOUR and notes == [] and len(mesh.faces) == 2


@pytest.mark.parametrize("kind, most", [(np.float32, 1), (np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("channels", [3, 4])
def test_vertex_colors_are_linear_in_every_type(read, kind, most, channels):
    values = np.full((4, channels), HALF_GRAY * most)
    values[:, 0] = most
    colors = (values if kind is np.float32 else np.round(values)).astype(kind)
    more = {} if kind is np.float32 else {"normalized": True}
    for material in (None, {"pbrMetallicRoughness": {}}, {}):
        mesh, notes = read(square_gltf(material, uvs=False, COLOR_0=(colors, more)))
        np.testing.assert_allclose(mesh.corner_colors.reshape(-1, 3), [[1, 128 / 255, 128 / 255]] * 6, atol=0.005)
        assert notes == []


def test_factor_times_vertex_color_times_texture(read):
    """0.5 * 0.5 in linear light is sRGB 0.537; the picture's black stays black, its white becomes that product."""
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "baseColorFactor": [0.5, 0.5, 0.5, 1]}}
    mesh, _ = read(square_gltf(material, COLOR_0=np.full((4, 3), 0.5)))
    np.testing.assert_allclose(color_near(mesh, (0.9, 0.1, 0)), [0.537] * 3, atol=0.002)
    np.testing.assert_allclose(color_near(mesh, (0.1, 0.9, 0)), [0.537, 0, 0], atol=0.002)
    mesh, _ = read(square_gltf({"pbrMetallicRoughness": {"baseColorFactor": [HALF_GRAY] * 3 + [1]}}, uvs=False))
    np.testing.assert_allclose(mesh.corner_colors, 128 / 255, atol=0.002)


def test_vertex_colors_that_are_no_numbers_are_gray_and_said(read):
    mesh, notes = read(square_gltf(uvs=False, COLOR_0=np.float32([[np.nan] * 3, [1, 0, 0], [1, 0, 0], [1, 0, 0]])))
    assert np.isfinite(mesh.corner_colors).all() and len(notes) == 1 and "1 vertex color is not a number" in notes[0]


def test_what_has_no_color_is_gray_and_a_bare_material_is_white(read):
    assert corner_looks(read(square_gltf(uvs=False))[0]) == ["gray"] * 4
    assert corner_looks(read(square_gltf({"name": "x"}, uvs=False))[0]) == ["white"] * 4


def test_specular_glossiness_shows_its_diffuse_texture_and_factor(read):
    glossy = {"diffuseTexture": {"index": 0}, "specularFactor": [0.2, 0.2, 0.2], "glossinessFactor": 0.9}
    material = {"extensions": {"KHR_materials_pbrSpecularGlossiness": glossy}}
    mesh, _ = read(square_gltf(material))
    assert corner_looks(mesh) == FOUR
    np.testing.assert_array_equal(mesh.textures[0], QUARTERS)
    np.testing.assert_array_equal(mesh.corner_colors, 1)
    glossy["diffuseFactor"] = [0, 1, 0, 1]
    assert corner_looks(read(square_gltf(material))[0])[3] == "green"


# Texture coordinates


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_normalized_texture_coordinates(read, kind):
    values = np.round((UVS * [1, -1] + [0, 1]) * np.iinfo(kind).max).astype(kind)
    mesh, _ = read(square_gltf(TEXTURED, TEXCOORD_0=(values, {"normalized": True})))
    assert corner_looks(mesh) == FOUR


def test_quantized_mesh_with_its_scale_in_node_and_texture_transform(read):
    """What gltfpack writes: whole numbers everywhere (KHR_mesh_quantization), scaled by node and KHR_texture_transform."""
    uvs = np.round((UVS * [1, -1] + [0, 1]) * 4095).astype(np.uint16)
    made = square_gltf(textured(extensions={"KHR_texture_transform": {"scale": [1 / 4095] * 2}}),
                       POSITION=(np.round(POSITIONS * 1000).astype(np.int16), {}), TEXCOORD_0=(uvs, {}))
    made.document["nodes"] = [{"mesh": 0, "scale": [0.001] * 3}]
    made.document["extensionsRequired"] = ["KHR_mesh_quantization", "KHR_texture_transform"]
    mesh, notes = read(made)
    assert corner_looks(mesh) == FOUR and area(mesh) == pytest.approx(1) and notes == []
    made = square_gltf(TEXTURED, POSITION=((POSITIONS * 127).astype(np.int8), {"normalized": True}))
    assert area(read(made)[0]) == pytest.approx(1)


@pytest.mark.parametrize("info, looks", [
    ({"scale": [0.5, 0.5]}, ["red"] * 4),
    ({"scale": [0.5, 0.5], "offset": [0.5, 0]}, ["green"] * 4),
    ({"scale": [0.5, 0.5], "offset": [0, 0.5]}, ["blue"] * 4),
    ({"scale": [1, -1], "offset": [0, 1]}, ["blue", "white", "red", "green"]),  # "inverts the T axis", says the extension
    # "Only the lower left quadrant of the source image, rotated clockwise 90 degrees", says the extension of this one
    ({"offset": [0, 1], "rotation": np.pi / 2, "scale": [0.5, 0.5]}, ["blue"] * 4),
    # The whole image turned clockwise by a quarter: what was at its left is at the top
    ({"offset": [0, 1], "rotation": np.pi / 2}, ["blue", "red", "white", "green"]),
])
def test_texture_transform(read, info, looks):
    extension = {"KHR_texture_transform": info}
    assert corner_looks(read(square_gltf(textured(extensions=extension)))[0]) == looks
    glossy = {"diffuseTexture": {"index": 0, "extensions": extension}}
    assert corner_looks(read(square_gltf({"extensions": {"KHR_materials_pbrSpecularGlossiness": glossy}}))[0]) == looks


def test_the_second_set_of_coordinates_is_used_where_the_texture_names_it(read):
    second = (UVS * [1, -1] + [0, 1]) / 2
    assert corner_looks(read(square_gltf(textured(texCoord=1), TEXCOORD_1=second))[0]) == ["red"] * 4
    extension = {"KHR_texture_transform": {"texCoord": 1}}
    assert corner_looks(read(square_gltf(textured(extensions=extension), TEXCOORD_1=second))[0]) == ["red"] * 4
    mesh, notes = read(square_gltf(textured(texCoord=3)))
    assert mesh.textures == [] and len(notes) == 1 and "no usable texture coordinates" in notes[0]


@pytest.mark.parametrize("wrap, looks", [
    (None, [*FOUR]), (10497, [*FOUR]), (33648, ["white", "blue", "green", "red"]), (33071, ["green"] * 4)])
def test_beyond_its_edges_a_texture_repeats_or_is_mirrored_or_goes_on(read, wrap, looks):
    """The square one image to the right of the image and one above it."""
    made = square_gltf(TEXTURED, TEXCOORD_0=UVS * [1, -1] + [1, 0])
    if wrap:
        made.document["samplers"] = [{"wrapS": wrap, "wrapT": wrap}]
        made.document["textures"][0]["sampler"] = 0
    mesh, notes = read(made)
    assert corner_looks(mesh) == looks and notes == []


def test_a_texture_laid_far_beyond_its_edges_is_not_copied_for_ever(read):
    made = square_gltf(TEXTURED, TEXCOORD_0=UVS * 1000)
    made.document["samplers"] = [{"wrapS": 33071, "wrapT": 33648}]
    made.document["textures"][0]["sampler"] = 0
    mesh, notes = read(made)
    assert sum(texture.nbytes for texture in mesh.textures) < 10_000 and len(notes) == 1 and "far beyond" in notes[0]


# Accessors


def test_sparse_accessors_replace_some_values_or_stand_on_zeros(read):
    for with_base in (True, False):
        made = square_gltf(TEXTURED)
        accessor = made.document["accessors"][1]
        assert accessor["type"] == "VEC3" and accessor["count"] == 4
        accessor["sparse"] = {
            "count": 2, "indices": {"bufferView": made.view(np.uint16([1, 2]).tobytes()), "componentType": 5123},
            "values": {"bufferView": made.view(np.float32([[2, 0, 0], [2, 1, 0]]).tobytes())}}
        if not with_base:
            del accessor["bufferView"]
        mesh, _ = read(made)
        corners = mesh.vertices[[0, 1, 2, 3]]
        expected = [[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0] if with_base else [0, 0, 0]]
        np.testing.assert_array_equal(corners, expected)


def test_interleaved_accessors(read):
    made = Gltf()
    rows = np.concatenate([POSITIONS, UVS * [1, -1] + [0, 1]], axis=1).astype(np.float32)
    view, indices = made.view(rows.tobytes()), made.add(FACES)
    made.document["bufferViews"][view]["byteStride"] = 20
    made.document["accessors"] += [
        {"bufferView": view, "componentType": 5126, "count": 4, "type": "VEC3"},
        {"bufferView": view, "byteOffset": 12, "componentType": 5126, "count": 4, "type": "VEC2"}]
    made.document |= {
        "materials": [TEXTURED], "textures": [{"source": 0}], "images": [{"bufferView": made.view(png())}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 1, "TEXCOORD_0": 2}, "indices": indices, "material": 0}]}]}
    mesh, _ = read(made)
    assert corner_looks(mesh) == FOUR and area(mesh) == pytest.approx(1)


@pytest.mark.parametrize("mode, index", [(5, [0, 1, 3, 2]), (6, [0, 1, 2, 3]), (5, None), (6, None)])
def test_strips_and_fans(read, mode, index):
    """With indices and without; every triangle looks along +z, as the square's vertices are ordered for."""
    made = square_gltf(TEXTURED)
    primitive = made.document["meshes"][0]["primitives"][0]
    primitive["mode"] = mode
    if index is None:
        del primitive["indices"]
        order = [0, 1, 3, 2] if mode == 5 else [0, 1, 2, 3]
        primitive["attributes"] = {"POSITION": made.add(POSITIONS[order]),
                                   "TEXCOORD_0": made.add((UVS * [1, -1] + [0, 1]).astype(np.float32)[order])}
    else:
        primitive["indices"] = made.add(np.uint16(index))
    mesh, _ = read(made)
    assert len(mesh.faces) == 2 and corner_looks(mesh) == FOUR and (mesh.normals()[:, 2] > 0.99).all()


def test_points_and_lines_are_passed_over(read):
    made = square_gltf(TEXTURED)
    primitives = made.document["meshes"][0]["primitives"]
    primitives += [primitives[0] | {"mode": mode} for mode in (0, 1, 2, 3)]
    assert len(read(made)[0].faces) == 2
    primitives[:1] = []
    assert "has no faces" in refusal(read, made)


# Nodes


def boxed(made):
    """Width, height and depth of what is read."""
    return np.ptp(made.vertices[np.unique(made.faces)], axis=0).round(5).tolist()


TURN = {"rotation": [0, 0, np.sqrt(0.5), np.sqrt(0.5)]}  # a quarter turn about z: x to y


def test_only_the_default_scene_is_read(read):
    made = square_gltf()
    made.document["nodes"] = [{"mesh": 0}, {"mesh": 0, "scale": [3, 3, 3]}, {"mesh": 0, "scale": [5, 5, 5]}]
    made.document |= {"scenes": [{"nodes": [0]}, {"nodes": [1]}], "scene": 1}
    assert area(read(made)[0]) == pytest.approx(9)
    del made.document["scene"]
    assert area(read(made)[0]) == pytest.approx(1)
    del made.document["scenes"]
    assert area(read(made)[0]) == pytest.approx(1 + 9 + 25)


def test_parts_without_nodes_stand_where_they_were_made(read):
    made = square_gltf(TEXTURED)
    for key in ("nodes", "scenes", "scene"):
        del made.document[key]
    assert corner_looks(read(made)[0]) == FOUR


def test_json_padded_by_zeros_or_marked_as_utf8(read, tmp_path):
    made = square_gltf(TEXTURED)
    text = json.dumps(made.document | {"buffers": [{"byteLength": len(made.blob)}]}).encode()
    text += b"\0" * (4 - len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(made.blob), b"BIN\0") + made.blob
    assert corner_looks(read(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)[0]) == FOUR
    (tmp_path / "toy.gltf").write_bytes(b"\xef\xbb\xbf" + square_gltf(TEXTURED, picture_uri="p.png").content("b.bin"))
    (tmp_path / "p.png").write_bytes(png())
    (tmp_path / "b.bin").write_bytes(square_gltf(TEXTURED, picture_uri="p.png").blob)
    assert corner_looks(read_mesh(tmp_path / "toy.gltf")[0]) == FOUR


def test_node_matrices_and_mirrors(read):
    """A matrix is written column by column; a mirrored part keeps its outside outside."""
    made = square_gltf()
    made.document["nodes"] = [{"children": [1], **TURN}, {"mesh": 0, "scale": [2, 1, 1]}]
    assert boxed(read(made)[0]) == [1, 2, 0]
    made.document["nodes"] = [{"mesh": 0, "matrix": [0, 2, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1]}]
    mesh, _ = read(made)
    np.testing.assert_allclose(sorted(mesh.vertices.tolist()), [[4, 6, 7], [4, 8, 7], [5, 6, 7], [5, 8, 7]])
    made.document["nodes"] = [{"mesh": 0, "scale": [-1, 1, 1]}]
    assert (read(made)[0].normals()[:, 2] > 0.99).all()


def skinned(made, joint_node=None, bind=None):
    """A square with two joints: what is left hangs from node 1, what is right from node 2, all below a turned node 3."""
    document = made.document
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    right = (POSITIONS[:, 0] > 0.5).astype(np.uint8)
    attributes["JOINTS_0"] = made.add(np.stack([right, right * 0, right * 0, right * 0], axis=1))
    attributes["WEIGHTS_0"] = made.add(np.float32([[1, 0, 0, 0]] * 4))
    document["nodes"] = [{"mesh": 0, "skin": 0}, {}, joint_node or {},
                         {"children": [0], "scale": [0.01] * 3, **TURN}]
    document["scenes"] = [{"nodes": [1, 2, 3]}]
    document["skins"] = [{"joints": [1, 2]}]
    if bind is not None:
        document["skins"][0]["inverseBindMatrices"] = made.add(np.float32([np.eye(4).T.ravel(), np.asarray(bind).T.ravel()]))
    return made


def test_a_skinned_mesh_is_placed_by_its_joints_alone(read):
    assert boxed(read(skinned(square_gltf()))[0]) == [1, 1, 0]
    assert boxed(read(skinned(square_gltf(), {"translation": [1, 0, 0]}))[0]) == [2, 1, 0]
    bind = np.eye(4)
    bind[0, 3] = -1  # brings the joint's place, x = 1, to its origin; the joint stands at 4
    assert boxed(read(skinned(square_gltf(), {"translation": [4, 0, 0]}, bind))[0]) == [4, 1, 0]


def test_morph_targets_and_instances(read):
    made = square_gltf()
    made.document["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": made.add(POSITIONS * np.float32([2, 0, 0]))}]
    assert boxed(read(made)[0]) == [1, 1, 0]
    made.document["meshes"][0]["weights"] = [0.5]
    assert boxed(read(made)[0]) == [2, 1, 0]
    made = square_gltf()
    made.document["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": {
        "TRANSLATION": made.add(np.float32([[0, 0, 0], [9, 0, 0]])), "SCALE": made.add(np.float32([[1] * 3, [2] * 3]))}}}
    mesh, _ = read(made)
    assert len(mesh.faces) == 4 and boxed(mesh) == [11, 2, 0]


# Transparency


def disc_picture():
    """A red disc on transparent black."""
    y, x = np.mgrid[:64, :64] + 0.5
    inside = (x - 32)**2 + (y - 32)**2 < 24**2
    return np.where(inside[..., None], np.uint8([255, 0, 0, 255]), np.uint8([0, 0, 0, 0])).astype(np.uint8)


@pytest.mark.parametrize("mode", ["MASK", "BLEND"])
def test_what_an_alpha_mask_hides_is_no_surface(read, mode):
    mesh, notes = read(square_gltf(TEXTURED | {"alphaMode": mode}, picture=png(disc_picture())))
    assert notes == [] and area(mesh) == pytest.approx(np.pi * (24 / 64)**2, rel=0.03)
    points = mesh.vertices[mesh.faces].reshape(-1, 3)
    assert np.linalg.norm(points[:, :2] - 0.5, axis=1).max() < 24 / 64 + 0.03
    rng = np.random.default_rng(0)
    colors = mesh.colors_at(rng.integers(0, len(mesh.faces), 300), rng.dirichlet([1, 1, 1], 300))
    np.testing.assert_allclose(colors, [[1, 0, 0]] * 300, atol=1e-6)


def test_another_material_with_the_same_picture_keeps_it_as_it_is(read):
    """What a mask hides is recolored for the masked faces alone."""
    made = square_gltf(TEXTURED | {"alphaMode": "MASK"}, picture=png(disc_picture()))
    made.document["materials"].append(TEXTURED)
    primitives = made.document["meshes"][0]["primitives"]
    primitives.append(primitives[0] | {"material": 1})
    made.document["meshes"].append({"primitives": [primitives.pop()]})
    made.document["nodes"].append({"mesh": 1, "translation": [0, 0, 5]})
    made.document["scenes"][0]["nodes"] = [0, 1]
    mesh, _ = read(made)
    np.testing.assert_allclose(color_near(mesh, (0.02, 0.02, 5)), (0, 0, 0), atol=1e-6)
    np.testing.assert_allclose(color_near(mesh, (0.5, 0.13, 0)), (1, 0, 0), atol=1e-6)


def test_without_a_mode_alpha_is_passed_over_and_nothing_vanishes_whole(read):
    assert area(read(square_gltf(TEXTURED, picture=png(disc_picture())))[0]) == pytest.approx(1)
    hidden = np.zeros((8, 8, 4), np.uint8)
    mesh, notes = read(square_gltf(TEXTURED | {"alphaMode": "MASK"}, picture=png(hidden)))
    assert area(mesh) == pytest.approx(1) and "transparent everywhere" in notes[0]
    glass = {"alphaMode": "BLEND", "pbrMetallicRoughness": {"baseColorFactor": [1, 1, 1, 0.2]}}
    mesh, notes = read(square_gltf(glass, uvs=False))
    assert area(mesh) == pytest.approx(1) and notes == []
    mesh, notes = read(square_gltf(TEXTURED | {"alphaMode": "BLEND"}, picture=png(np.full((4, 4, 4), 60, np.uint8))))
    assert area(mesh) == pytest.approx(1) and notes == []


# Files beside it


@pytest.mark.parametrize("uri, name", [
    ("my%20skin.png", "my skin.png"), ("my skin.png", "my skin.png"), ("100%25.png", "100%.png"), ("a%2.png", "a%2.png"),
    ("tex\\skin.png", "tex/skin.png"), ("./tex/Skin.PNG", "tex/skin.png"), ("C:\\Users\\ann\\skin.png", "skin.png"),
    ("/home/ann/skin.png", "skin.png"), ("file:///home/ann/skin.png", "textures/skin.png"), ("sch%C3%B6n.png", "schön.png"),
    ("my%20skin.png", "my%20skin.png"),
])
def test_buffers_and_pictures_are_found_by_what_exporters_call_them(tmp_path, uri, name):
    for part in ("picture", "buffer"):
        folder = tmp_path / part
        (folder / name).parent.mkdir(parents=True)
        made = square_gltf(TEXTURED, picture_uri=uri if part == "picture" else "p.png")
        (folder / "toy.gltf").write_bytes(made.content(uri if part == "buffer" else "b.bin"))
        (folder / (name if part == "picture" else "p.png")).write_bytes(png())
        (folder / (name if part == "buffer" else "b.bin")).write_bytes(made.blob)
        mesh, notes = read_mesh(folder / "toy.gltf")
        assert corner_looks(mesh) == FOUR and notes == []
        others = [folder / name, folder / ("b.bin" if part == "picture" else "p.png")]
        assert sorted(mesh_dependencies(folder / "toy.gltf")) == sorted([folder / "toy.gltf", *others])


def test_data_uris(tmp_path):
    made = square_gltf(TEXTURED, picture_uri="data:image/png;base64," + base64.b64encode(png()).decode())
    path = tmp_path / "toy.gltf"
    path.write_bytes(made.content("data:application/octet-stream;base64," + base64.b64encode(made.blob).decode()))
    assert corner_looks(read_mesh(path)[0]) == FOUR and mesh_dependencies(path) == [path]


@pytest.mark.parametrize("picture, words", [(None, "gone.png is missing"), (b"text", "gone.png is not an image"),
                                            (b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(99), "gone.png is KTX2")])
def test_a_texture_that_cannot_be_had_is_named_and_the_factor_stands_in(tmp_path, picture, words):
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "baseColorFactor": [0, 1, 0, 1]}}
    made = square_gltf(material, picture_uri="gone.png")
    (tmp_path / "toy.glb").write_bytes(made.content())
    if picture:
        (tmp_path / "gone.png").write_bytes(picture)
    mesh, notes = read_mesh(tmp_path / "toy.glb")
    assert len(notes) == 1 and words in notes[0] and "toy.glb" in notes[0] and corner_looks(mesh) == ["green"] * 4


@pytest.mark.parametrize("image", [{"bufferView": 99}, {"bufferView": -1}, {}])
def test_a_picture_that_the_file_lacks_is_a_warning(read, image):
    made = square_gltf(TEXTURED)
    made.document["images"] = [image | {"name": "leather"}]
    mesh, notes = read(made)
    assert mesh.textures == [] and len(mesh.faces) == 2 and len(notes) == 1 and "leather is not in the file" in notes[0]


def test_basis_pictures_are_named_unless_there_is_another(read):
    made = square_gltf(TEXTURED)
    made.document["images"].append({"name": "leather", "bufferView": made.view(b"\xabKTX 20\xbb"), "mimeType": "image/ktx2"})
    made.document["textures"] = [{"extensions": {"KHR_texture_basisu": {"source": 1}}}]
    made.document["extensionsRequired"] = ["KHR_texture_basisu"]
    mesh, notes = read(made)
    assert mesh.textures == [] and len(notes) == 1 and "leather is KTX2" in notes[0]
    made.document["textures"][0]["source"] = 0
    assert corner_looks(read(made)[0]) == FOUR


@pytest.mark.parametrize("extension, kind", [("EXT_texture_webp", "WEBP"), ("EXT_texture_avif", "AVIF")])
def test_pictures_of_newer_formats(read, extension, kind):
    from PIL import features

    if not features.check(kind.lower()):
        pytest.skip(f"this Pillow has no {kind}")
    made = square_gltf(TEXTURED, picture=png(kind=kind))
    made.document["textures"] = [{"extensions": {extension: {"source": 0}}}]
    mesh, _ = read(made)
    np.testing.assert_allclose(color_near(mesh, (0.1, 0.9, 0)), (1, 0, 0), atol=0.05)


def test_nothing_outside_the_folder_is_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    for uri in ("../secret.png", "%2E%2E/secret.png", "..\\secret.png", str(tmp_path / "secret.png")):
        path = tmp_path / "in" / "toy.glb"
        path.write_bytes(square_gltf(TEXTURED, picture_uri=uri).content())
        mesh, notes = read_mesh(path)
        assert mesh.textures == [] and "secret.png" in notes[0] and "outside" in notes[0]
        assert mesh_dependencies(path) == [path]
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret.png")
    path.write_bytes(square_gltf(TEXTURED, picture_uri="link.png").content())
    assert "outside" in read_mesh(path)[1][0]


# What is refused


def test_compressed_meshes_are_refused_by_name(read):
    made = square_gltf()
    primitive = made.document["meshes"][0]["primitives"][0]
    primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}
    assert len(read(made)[0].faces) == 2, "the plain data that some exporters leave beside it is read"
    del made.document["accessors"][primitive["attributes"]["POSITION"]]["bufferView"]
    assert "compressed by Draco; export it without" in refusal(read, made)
    for name in ("EXT_meshopt_compression", "KHR_meshopt_compression"):
        made = square_gltf()
        made.document["bufferViews"][1] |= {"buffer": 1, "extensions": {name: {"buffer": 0, "mode": "ATTRIBUTES"}}}
        content = json.loads(made.content("x.bin"))
        content["buffers"] = [{"byteLength": len(made.blob)}, {"byteLength": 999, "extensions": {name: {"fallback": True}}}]
        assert "compressed by meshopt; export it without" in refusal(read, glb(content, made.blob))


def test_an_unknown_extension_that_the_file_needs_is_said(read):
    made = square_gltf()
    made.document["extensionsRequired"] = ["KHR_materials_unlit", "ACME_cubes"]
    assert [note.split(": ")[1] for note in read(made)[1]] == [
        "it needs the extension ACME_cubes, which is not known here and is passed over"]


def changed(change):
    made = square_gltf(TEXTURED)
    change(made.document)
    return made.content()


@pytest.mark.parametrize("content, words", [
    (square_gltf().content()[:-30], "ends early"),
    (square_gltf().content()[:30], "ends early"),
    (square_gltf().content()[:15], "ends early"),
    (struct.pack("<4sII", b"glTF", 1, 20) + bytes(20), "glTF 1"),
    (glb({"asset": {"version": "1.0"}}), "glTF 1.0"),
    (changed(lambda d: d["accessors"][1].update(count=10**9)), "ends early"),
    (changed(lambda d: d["bufferViews"][1].update(byteLength=10**9)), "ends early"),
    (changed(lambda d: d["accessors"][1].update(count=-4)), "impossible count"),
    (changed(lambda d: d["accessors"][0].update(byteOffset=10**12)), "ends early"),
    (changed(lambda d: d["accessors"][1].pop("bufferView")), "without data"),
    (changed(lambda d: d["nodes"][0].update(mesh=7)), "meshes 7"),
    (changed(lambda d: d["nodes"][0].update(children=[0])), "has no faces"),
    (changed(lambda d: d.update(nodes=[{"mesh": 0, "children": [1]}, {}, {"children": [1]}])), "hangs from two"),
    (changed(lambda d: d["meshes"][0].update(primitives=3)), "not glTF 2.0"),
    (changed(lambda d: d.update(nodes=[{"mesh": 0, "translation": [1e308 * 10, 0, 0]}])), "not finite"),
    (b"glTF" + bytes(100), "glTF 0"),
], ids=range(16))
def test_damaged_files_are_refused_in_one_line(read, content, words):
    assert words in refusal(read, content)


def test_a_face_beyond_the_vertices_is_refused(read):
    made = square_gltf()
    made.document["meshes"][0]["primitives"][0]["indices"] = made.add(np.uint16([0, 1, 9]))
    assert "vertex that does not exist" in refusal(read, made)


def test_a_sparse_accessor_beyond_its_end_is_refused(read):
    made = square_gltf()
    made.document["accessors"][1]["sparse"] = {
        "count": 1, "indices": {"bufferView": made.view(b"\4\0"), "componentType": 5123},
        "values": {"bufferView": made.view(np.float32([2, 0, 0]).tobytes())}}
    assert "replaces what does not exist" in refusal(read, made)


def test_sizes_that_are_only_claimed_take_no_memory(read):
    """10^9 vertices of a sparse accessor, and 1200 nodes that place one mesh of 20 000 faces."""
    made = square_gltf()
    accessor = made.document["accessors"][1]
    del accessor["bufferView"]
    accessor |= {"count": 10**9, "sparse": {"count": 0, "indices": {"bufferView": 0, "componentType": 5123},
                                            "values": {"bufferView": 0}}}
    assert "without data" in refusal(read, made)
    made = square_gltf()
    made.document["meshes"][0]["primitives"][0]["indices"] = made.add(np.tile(FACES, 10_000))
    made.document["nodes"] = [{"mesh": 0}] * 1200
    made.document["scenes"] = [{"nodes": list(range(1200))}]
    tracemalloc.start()
    assert "million faces" in refusal(read, made)
    assert tracemalloc.get_traced_memory()[1] < 1e8
    tracemalloc.stop()


def test_trimesh_reads_the_same_from_a_plain_file(tmp_path):
    """A second reader, where it has no known faults: several parts, textures, places and factors."""
    scene = trimesh.Scene()
    for number, solid in enumerate((trimesh.creation.box((1, 2, 3)), trimesh.creation.icosphere(1))):
        solid.visual = trimesh.visual.ColorVisuals(solid, vertex_colors=np.uint8([[200, 10, 90, 255]] * len(solid.vertices)))
        scene.add_geometry(solid, transform=trimesh.transformations.rotation_matrix(0.3 + number, [1, 2, 3], [number] * 3))
    scene.export(tmp_path / "toy.glb")
    mesh, _ = read_mesh(tmp_path / "toy.glb")
    other = trimesh.load(tmp_path / "toy.glb").to_geometry()
    assert area(mesh) == pytest.approx(other.area)
    np.testing.assert_allclose(np.sort(mesh.vertices[mesh.faces].mean(1), axis=0), np.sort(other.triangles_center, axis=0),
                               atol=1e-6)
