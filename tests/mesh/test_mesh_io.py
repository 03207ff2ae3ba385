"""Reading hand-written files of every format, sampling known solids, writing and reading back."""
import json
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image

from config import UserError
from tests.mesh.written_files import TEXTURED as TEXTURED_GLTF
from tests.mesh.written_files import square_gltf
from utils.mesh.glb import write_glb
from utils.mesh.mesh import GRAY, Mesh, _read_texture, normalize, plain_mesh, sample_surface, textured_mesh
from utils.mesh.mesh_io import mesh_dependencies, read_mesh, write_obj
from utils.rendering.cameras import VIEW_BASES
from utils.rendering.rasterizer import render

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
SQUARE_UVS = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
TEXTURED = SQUARE + SQUARE_UVS + "usemtl paint\nf 1/1 2/2 3/3 4/4\n"
# First row is the top: red, green above blue, white.
QUARTERS = np.uint8([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]])
RED, GREEN, BLUE, GRAY = (1, 0, 0), (0, 1, 0), (0, 0, 1), (GRAY,) * 3


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, np.ndarray):
            Image.fromarray(content).save(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)
        return path
    return write_file


def triangles(mesh):
    """Each face's corners and color at its middle, in an order that does not depend on the file's."""
    colors = mesh.colors_at(np.arange(len(mesh.faces)), np.full((len(mesh.faces), 3), 1 / 3))
    return sorted((mesh.vertices[face].tolist(), np.round(color, 3).tolist())
                  for face, color in zip(mesh.faces, colors))


def color_near(mesh, point):
    """Color of a mesh at the surface point nearest `point`, found through trimesh."""
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    _, _, face = trimesh.proximity.closest_point_naive(solid, [point])
    corners = mesh.vertices[mesh.faces[face]]
    weights = trimesh.triangles.points_to_barycentric(corners, [point])
    return mesh.colors_at(face, weights)[0]


# OBJ


def test_obj_texture_lands_with_the_image_s_first_row_at_v_1(write):
    write("quarters.png", QUARTERS)
    write("m.mtl", "newmtl paint\nKd 0.1 0.1 0.1\nmap_Kd quarters.png\n")
    mesh, warnings = read_mesh(write("m.obj", "mtllib m.mtl\n" + TEXTURED))
    assert warnings == [] and len(mesh.faces) == 2
    for point, color in (((0.1, 0.9, 0), RED), ((0.9, 0.9, 0), GREEN),
                         ((0.1, 0.1, 0), BLUE), ((0.9, 0.1, 0), (1, 1, 1))):
        np.testing.assert_allclose(color_near(mesh, point), color, atol=1e-6)


def test_obj_vertex_colors_are_blended(write):
    for scale in ("1", "255"):
        text = f"v 0 0 0 {scale} 0 0\nv 1 0 0 0 {scale} 0\nv 0 1 0 0 0 {scale}\nf 1 2 3\n"
        mesh, _ = read_mesh(write("m.obj", text))
        np.testing.assert_allclose(mesh.colors_at([0], [[0.5, 0.25, 0.25]])[0], (0.5, 0.25, 0.25), atol=0.004)


def test_obj_vertex_colors_survive_texture_coordinates_without_a_material(write):
    mesh, _ = read_mesh(write("m.obj", "v 0 0 0 1 0 0\nv 1 0 0 1 0 0\nv 0 1 0 1 0 0\nvt 0 0\nf 1/1 2/1 3/1\n"))
    np.testing.assert_allclose(mesh.corner_colors[0], [RED] * 3)


def test_obj_plain_colors_of_several_materials_parts_and_mtl_files(write):
    write("a.mtl", "newmtl red\nKd 1 0 0\n")
    write("b c.mtl", "newmtl blue\nKd 0 0 1\n")
    text = ("mtllib a.mtl\nmtllib b c.mtl\n" + SQUARE + "v 0 0 5\no first\nusemtl red\nf 1 2 3\n"
            "o second\ng left\nusemtl blue\nf 1 3 5\ng right\nusemtl red\nf 1 4 5\n")
    mesh, warnings = read_mesh(write("m.obj", text))
    p = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 5]]
    expected = sorted([([p[0], p[1], p[2]], list(RED)), ([p[0], p[2], p[4]], list(BLUE)),
                       ([p[0], p[3], p[4]], list(RED))])
    assert triangles(mesh) == expected and warnings == []


def test_obj_two_mtl_names_on_one_line(write):
    write("a.mtl", "newmtl red\nKd 1 0 0\n")
    write("b.mtl", "newmtl blue\nKd 0 0 1\n")
    mesh, _ = read_mesh(write("m.obj", "mtllib a.mtl b.mtl\n" + SQUARE + "usemtl red\nf 1 2 3\nusemtl blue\nf 1 3 4\n"))
    assert sorted(color for _, color in triangles(mesh)) == sorted([list(RED), list(BLUE)])


@pytest.mark.parametrize("line", ["map_Kd my tex.png", "map_Kd -s 1 1 1 plain.png",
                                  "map_Kd .\\plain.png", "map_kd  plain.png "])
def test_obj_texture_names_with_spaces_options_and_backslashes_in_another_folder(write, line):
    for name in ("my tex.png", "plain.png"):
        write("look/" + name, QUARTERS)
    write("look/m.mtl", f"newmtl paint\n{line}\n")
    mesh, warnings = read_mesh(write("m.obj", "mtllib look/m.mtl\n" + TEXTURED))
    assert warnings == []
    np.testing.assert_array_equal(mesh.textures[0], QUARTERS)


def test_obj_textured_and_plain_parts_together(write):
    write("quarters.png", QUARTERS)
    write("m.mtl", "newmtl paint\nmap_Kd quarters.png\nnewmtl red\nKd 1 0 0\n")
    text = "mtllib m.mtl\n" + SQUARE + SQUARE_UVS + "usemtl red\nf 1 2 3\nusemtl paint\nf 1/1 3/3 4/4\n"
    mesh, _ = read_mesh(write("m.obj", text))
    np.testing.assert_allclose(color_near(mesh, (0.9, 0.1, 0)), RED, atol=1e-6)
    np.testing.assert_allclose(color_near(mesh, (0.05, 0.95, 0)), RED, atol=1e-6)  # the texture's red quarter
    np.testing.assert_allclose(color_near(mesh, (0.04, 0.1, 0)), BLUE, atol=1e-6)


def test_obj_texture_seams_keep_both_coordinates_of_a_vertex(write):
    """Two faces share an edge but read the two halves of an image."""
    write("halves.png", np.uint8([[[255, 0, 0]] * 4 + [[0, 0, 255]] * 4] * 8))
    write("m.mtl", "newmtl paint\nmap_Kd halves.png\n")
    text = ("mtllib m.mtl\nusemtl paint\n" + SQUARE + "vt 0.1 0.1\nvt 0.2 0.2\nvt 0.8 0.8\nvt 0.9 0.9\n"
            "f 1/1 2/2 3/1\nf 1/3 3/4 4/3\n")
    mesh, _ = read_mesh(write("m.obj", text))
    np.testing.assert_allclose(color_near(mesh, (0.6, 0.4, 0)), RED, atol=1e-6)
    np.testing.assert_allclose(color_near(mesh, (0.4, 0.6, 0)), BLUE, atol=1e-6)


@pytest.mark.parametrize("polygon", [
    [(0, 0), (2, 0), (2, 2), (0, 2)],
    [(0, 0), (2, 0), (3, 1), (2, 2), (0, 2), (-1, 1)],
    [(1, 0.5), (0, 2), (0, 0), (2, 0), (2, 2)],  # concave; a fan from its first corner fills it
])
def test_obj_polygons_are_filled(write, polygon):
    face = " ".join(str(i + 1) for i in range(len(polygon)))
    text = "".join(f"v {x} {y} 0\n" for x, y in polygon) + f"f {face}\n"
    mesh, _ = read_mesh(write("m.obj", text))
    x, y = np.array(polygon).T
    shoelace = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2
    corners = mesh.vertices[mesh.faces]
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] / 2
    assert len(areas) == len(polygon) - 2 and areas.sum() == pytest.approx(shoelace) and (areas > 0).all()


def test_obj_quads_and_triangles_mixed(write):
    mesh, _ = read_mesh(write("m.obj", SQUARE + "v 2 0 0\nf 1 2 3 4\nf 2 5 3\n"))
    assert len(mesh.faces) == 3 and trimesh.Trimesh(mesh.vertices, mesh.faces).area == pytest.approx(1.5)


def test_obj_negative_indices_count_back_from_their_own_line(write):
    write("quarters.png", QUARTERS)
    write("m.mtl", "newmtl paint\nmap_Kd quarters.png\n")
    text = ("mtllib m.mtl\nusemtl paint\n" + SQUARE + SQUARE_UVS + "f -4/-4 -3/-3 -2/-2 -1/-1\n"
            "v 5 0 0\nv 6 0 0\nv 5 1 0\nvt 0 1\nf -3/-1 -2/-1 -1/-1\n")
    mesh, _ = read_mesh(write("m.obj", text))
    assert sorted(mesh.vertices[mesh.faces].max(axis=1)[:, 0].tolist()) == [1, 1, 6]
    np.testing.assert_allclose(color_near(mesh, (0.9, 0.95, 0)), GREEN, atol=1e-6)
    np.testing.assert_allclose(color_near(mesh, (5.2, 0.2, 0)), RED, atol=1e-6)


@pytest.mark.parametrize("text", [
    (SQUARE + "f 1 2 3 4\n").replace("\n", "\r\n"),
    SQUARE + "f 1 2 \\\n3 4\n",
    "# made by hand\n" + SQUARE + "f 1 2 3 4 # the only face\n",
    "\ufeff" + SQUARE + "vn 0 0 1\ns off\nl 1 2\nf 1//1 2//1 3//1 4//1\n",
    SQUARE + "f 1 2 3 4",
    SQUARE + "f 1 1 2\nf 1 2 3 4\n",  # a face without area is dropped
    "v nan nan nan\n" + SQUARE + "f 2 3 4 5\n",  # no face uses it
], ids=["crlf", "continued", "comments", "bom-normals-lines", "no-last-newline", "flat-face", "unused-nan"])
def test_obj_spellings_of_one_square(write, text):
    mesh, warnings = read_mesh(write("m.obj", text))
    assert warnings == [] and len(mesh.faces) == 2
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).area == pytest.approx(1)
    np.testing.assert_allclose(mesh.corner_colors, np.broadcast_to(GRAY, (2, 3, 3)))


# Other formats

PLY_HEAD = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
PLY_RGB = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
PLY_FACE = "element face 1\nproperty list uchar int vertex_indices\n"


def test_ply_vertex_colors(write):
    text = PLY_HEAD + PLY_RGB + PLY_FACE + "end_header\n0 0 0 255 0 0\n1 0 0 0 255 0\n0 1 0 0 0 255\n3 0 1 2\n"
    mesh, _ = read_mesh(write("m.ply", text))
    np.testing.assert_allclose(mesh.corner_colors[0], [RED, GREEN, BLUE])


def test_ply_face_colors(write):
    text = PLY_HEAD + PLY_FACE + PLY_RGB + "end_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2 0 255 0\n"
    mesh, _ = read_mesh(write("m.ply", text))
    np.testing.assert_allclose(mesh.corner_colors[0], [GREEN] * 3)


def test_off_and_stl_are_gray(write):
    off = write("m.off", "OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n")
    stl = write("m.stl", "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\n"
                "endloop\nendfacet\nendsolid a\n")
    binary = write("b.stl", trimesh.exchange.stl.export_stl(trimesh.creation.box()))
    for path, area in ((off, 1), (stl, 0.5), (binary, 6)):
        mesh, warnings = read_mesh(path)
        assert warnings == [] and trimesh.Trimesh(mesh.vertices, mesh.faces).area == pytest.approx(area)
        assert np.allclose(mesh.corner_colors, GRAY)


def glb(document, blob):
    """A GLB file from its JSON document and one buffer, byte by byte after the glTF 2.0 specification."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    blob += b"\0" * (-len(blob) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def triangle_glb():
    """One triangle placed twice: as it is, and twice as large at x = 10; linear base color (1, 0.2158605, 0)."""
    positions = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    document = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"mesh": 0}, {"children": [2], "translation": [10, 0, 0]}, {"mesh": 0, "scale": [2, 2, 2]}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [1, 0.2158605, 0, 1]}}],
        "buffers": [{"byteLength": 42}],
        "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": 36},
                        {"buffer": 0, "byteOffset": 36, "byteLength": 6}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 0]},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"}],
    }
    return glb(document, positions.tobytes() + np.uint16([0, 1, 2]).tobytes())


def test_glb_node_transforms_are_applied_and_linear_color_becomes_srgb(write):
    mesh, _ = read_mesh(write("m.glb", triangle_glb()))
    corners = sorted(mesh.vertices[mesh.faces].tolist())
    assert corners == [[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[10, 0, 0], [12, 0, 0], [10, 2, 0]]]
    # sRGB 128/255 is 0.2158605 in linear light.
    np.testing.assert_allclose(mesh.corner_colors.reshape(-1, 3), [[1, 128 / 255, 0]] * 6, atol=0.01)


# What is missing or damaged


@pytest.mark.parametrize("mtl, image, named, color", [
    (None, None, "m.mtl", GRAY),
    ("newmtl paint\nKd 0.2 0.4 0.6\nmap_Kd gone.png\n", None, "gone.png", (0.2, 0.4, 0.6)),
    ("newmtl paint\nKd 0.2 0.4 0.6\nmap_Kd bad.png\n", b"this is not an image", "bad.png", (0.2, 0.4, 0.6)),
    ("newmtl other\nKd 0 1 0\n", None, None, GRAY),
], ids=["no-mtl", "no-texture", "damaged-texture", "undefined-material"])
def test_missing_or_damaged_materials_are_warned_about_by_name(write, mtl, image, named, color):
    if mtl:
        write("m.mtl", mtl)
    if image:
        write("bad.png", image)
    path = write("model.obj", "mtllib m.mtl\n" + TEXTURED)
    mesh, warnings = read_mesh(path)
    np.testing.assert_allclose(mesh.corner_colors, np.broadcast_to(color, (2, 3, 3)), atol=0.003)
    assert mesh.textures == []
    if named:
        assert len(warnings) == 1 and named in warnings[0] and str(path) in warnings[0]


def test_image_that_breaks_off_is_warned_about(write):
    path = write("cut.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:3000])
    write("m.mtl", "newmtl paint\nmap_Kd cut.png\n")
    _, warnings = read_mesh(write("m.obj", "mtllib m.mtl\n" + TEXTURED))
    assert len(warnings) == 1 and "cut.png" in warnings[0]


def test_texture_without_coordinates_is_warned_about(write):
    write("quarters.png", QUARTERS)
    write("m.mtl", "newmtl paint\nmap_Kd quarters.png\n")
    for face in ("f 1 2 3\n", "f 1/1 2/9 3/1\n"):
        mesh, warnings = read_mesh(write("m.obj", "mtllib m.mtl\n" + SQUARE + "vt 0 0\nusemtl paint\n" + face))
        assert len(warnings) == 1 and "paint" in warnings[0] and mesh.textures == []


@pytest.mark.parametrize("name, content", [
    ("nan.obj", "v nan 0 0\nv 1 0 0\nv 1 1 0\nf 1 2 3\n"),
    ("inf.obj", "v inf 0 0\nv 1 0 0\nv 1 1 0\nf 1 2 3\n"),
    ("points.obj", SQUARE),
    ("flat.obj", SQUARE + "f 1 1 2\n"),
    ("beyond.obj", SQUARE + "f 1 2 9\n"),
    ("zero.obj", SQUARE + "f 1 2 3\nf 0 1 2\n"),
    ("back.obj", SQUARE + "f 1 2 3\nf -9 1 2\n"),
    ("empty.obj", ""),
    ("prose.obj", "Dear reader,\nthis is a letter.\n"),
    ("bytes.obj", bytes(range(256)) * 8),
    ("empty.glb", b""),
    ("cut.glb", triangle_glb()[:400]),
    ("cut_late.glb", triangle_glb()[:-20]),
    ("prose.glb", b"this is a letter, not a mesh " * 9),
    ("empty.ply", ""),
    ("points.ply", PLY_HEAD + "end_header\n0 0 0\n1 0 0\n0 1 0\n"),
    ("beyond.ply", PLY_HEAD + PLY_FACE + "end_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n"),
    ("empty.off", ""),
    ("cut.off", "OFF\n4 1 0\n0 0 0\n1 0 0\n"),
    ("empty.stl", b""),
    ("prose.stl", b"q" * 200),
    ("letter.txt", "Dear reader"),
    ("zip.obj", b"PK\x03\x04" + bytes(40)), ("zip.glb", b"PK\x03\x04" + bytes(40)), ("page.obj", "<!DOCTYPE html><html>"),
    ("pointer.ply", "version https://git-lfs.github.com/spec/v1\n"), ("fbx.obj", b"Kaydara FBX Binary  \0"),
    ("picture.obj", b"\x89PNG\r\n\x1a\n"), ("huge.obj", "v 1e200 0 0\nv 0 1e200 0\nv 0 0 1\nf 1 2 3\n"),
    ("blank.ply", " \n\n"),
])
def test_files_that_are_no_mesh_are_refused_by_name(write, name, content):
    path = write(name, content)
    with pytest.raises(UserError) as error:
        read_mesh(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("words", ["2.0\n", "1\r\n2", "\x1b[2J", "\u2028"])
def test_words_of_a_file_break_no_line_and_command_no_terminal(write, words):
    document = {"asset": {"version": words}, "meshes": []}
    with pytest.raises(UserError) as error:
        read_mesh(write("toy.gltf", json.dumps(document)))
    gone = square_gltf(TEXTURED_GLTF, picture_uri=f"{words}.png")
    write("toy.bin", gone.blob)
    _, notes = read_mesh(write("toy.gltf", gone.content("toy.bin")))
    assert len(notes) == 1 and all(text.isprintable() for text in (str(error.value), *notes))


@pytest.mark.parametrize("name", ["gone.obj", "gone.glb", "folder.obj"])
def test_paths_that_cannot_be_opened_are_refused_by_name(tmp_path, name):
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(UserError, match=name):
        read_mesh(tmp_path / name)


def test_mesh_dependencies_are_the_files_that_exist(write):
    obj = write("m.obj", "mtllib m.mtl\nmtllib gone.mtl\n" + TEXTURED)
    mtl = write("m.mtl", "newmtl paint\nmap_Kd quarters.png\nnewmtl other\nmap_Kd gone.png\n")
    image = write("quarters.png", QUARTERS)
    assert mesh_dependencies(obj) == [obj, mtl, image]
    assert mesh_dependencies(write("m.glb", triangle_glb())) == [obj.with_suffix(".glb")]


@pytest.mark.parametrize("name", ["shoe.obj", "shoe.stl", "shoe.gltf"])
def test_a_file_s_beginning_tells_its_format_better_than_its_name(write, name):
    assert len(read_mesh(write(name, triangle_glb()))[0].faces) == 2
    text = PLY_HEAD + PLY_FACE + "end_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    assert len(read_mesh(write(name, text))[0].faces) == 1


def test_dependencies_of_what_is_no_mesh_are_the_file_alone(write):
    for name, content in (("a.obj", b"PK\x03\x04"), ("b.obj", b""), ("c.glb", b"glTF"), ("d.ply", b"ply\n"), ("e.gltf", b"[]")):
        path = write(name, content)
        assert mesh_dependencies(path) == [path]


def test_texture_coordinates_too_far_out_to_have_a_place_are_kept_finite(write):
    write("quarters.png", QUARTERS)
    write("m.mtl", "newmtl paint\nmap_Kd quarters.png\n")
    mesh, _ = read_mesh(write("m.obj", "mtllib m.mtl\n" + TEXTURED.replace("vt 1 1", "vt 1e300 -1e300")))
    assert np.isfinite(mesh.corner_uvs).all() and np.isfinite(mesh.colors_at([0, 1], np.full((2, 3), 1 / 3))).all()


def test_textures_that_no_face_shows_are_not_kept(write):
    write("quarters.png", QUARTERS)
    write("m.mtl", "newmtl other\nmap_Kd quarters.png\nnewmtl paint\nmap_Kd quarters.png\nnewmtl red\nKd 1 0 0\n")
    text = "mtllib m.mtl\n" + SQUARE + SQUARE_UVS + "usemtl other\nf 1/1 1/1 2/2\nusemtl red\nf 1/1 3/3 4/4\n"
    assert read_mesh(write("m.obj", text))[0].textures == []


# Colors of a texture


def read_at(u, v, texture=QUARTERS):
    return _read_texture(texture, np.float32([[u, v]]))[0]


def test_texture_is_blended_between_texel_centers():
    np.testing.assert_allclose(read_at(0.25, 0.75), RED, atol=1e-6)
    np.testing.assert_allclose(read_at(0.5, 0.75), (0.5, 0.5, 0), atol=1e-6)
    np.testing.assert_allclose(read_at(0.5, 0.5), (0.5, 0.5, 0.5), atol=1e-6)
    np.testing.assert_allclose(read_at(0.25, 0.625), (0.75, 0, 0.25), atol=1e-6)


def test_texture_edges_do_not_mix_with_the_opposite_edge():
    corners = [(0, 1, RED), (1, 1, GREEN), (0, 0, BLUE), (1, 0, (1, 1, 1)), (0.999, 0.999, GREEN)]
    for u, v, color in corners:
        np.testing.assert_allclose(read_at(u, v), color, atol=1e-6)
    # The same beside a point that does lie outside.
    uv = np.float32([corner[:2] for corner in corners] + [(1.25, 0.75)])
    np.testing.assert_allclose(_read_texture(QUARTERS, uv), [*(color for *_, color in corners), RED], atol=1e-5)


def test_texture_repeats_outside_the_unit_square():
    for u, v in ((1.25, 0.75), (-0.75, 0.75), (0.25, 3.75), (0.25, -1.25)):
        np.testing.assert_allclose(read_at(u, v), RED, atol=1e-5)


def test_several_textures_and_plain_faces_keep_their_own_colors():
    vertices = np.arange(27).reshape(9, 3)
    mesh = plain_mesh(vertices, np.arange(9).reshape(3, 3), (0.5, 0.5, 0.5))
    mesh.face_texture[:] = [1, -1, 0]
    mesh.textures = [np.full((2, 2, 3), 255, np.uint8), np.full((3, 5, 3), 51, np.uint8)]
    colors = mesh.colors_at([0, 1, 2, 0], np.full((4, 3), 1 / 3))
    np.testing.assert_allclose(colors[:, 0], [0.1, 0.5, 0.5, 0.1], atol=1e-6)
    assert colors.dtype == np.float32 and mesh.colors_at([], np.zeros((0, 3))).shape == (0, 3)


# Sampling and the normalized frame


def two_colored_box():
    """2 x 1 x 0.5, red where the face looks along x, blue elsewhere; the sides' areas are 0.5, 1 and 2, twice each."""
    solid = trimesh.creation.box((2, 1, 0.5))
    mesh = plain_mesh(solid.vertices, solid.faces, BLUE)
    mesh.corner_colors[np.abs(solid.face_normals[:, 0]) > 0.5] = RED
    return mesh


def test_samples_fall_on_each_side_by_its_area():
    points, normals, _ = sample_surface(two_colored_box(), 7000, np.random.default_rng(0))
    counts = [(normals @ axis > 0.99).sum() for axis in np.vstack([np.eye(3), -np.eye(3)])]
    areas = np.array([0.5, 1.0, 2.0] * 2)
    expected = 7000 * areas / areas.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 15.1  # chi-square, 5 degrees of freedom: 1 in 100
    assert points.dtype == normals.dtype == np.float32


def test_samples_lie_on_the_surface_with_its_normals_and_colors():
    points, normals, colors = sample_surface(two_colored_box(), 500, np.random.default_rng(1))
    half = np.array([1, 0.5, 0.25])
    assert (np.abs(points) <= half + 1e-6).all()
    np.testing.assert_allclose((points * normals).sum(axis=1), np.abs(normals) @ half, atol=1e-6)
    np.testing.assert_allclose(colors, np.where(np.abs(normals[:, :1]) > 0.5, RED, BLUE), atol=1e-6)


def test_samples_are_even_within_a_triangle():
    """Of a triangle cut into four equal ones by its edges' middles, each gets a quarter."""
    mesh = plain_mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])
    x, y, _ = sample_surface(mesh, 4000, np.random.default_rng(2))[0].T
    counts = np.array([(x > 0.5).sum(), (y > 0.5).sum(), (x + y < 0.5).sum()])
    assert (np.abs(counts - 1000) < 4 * np.sqrt(4000 * 0.25 * 0.75)).all()


def test_samples_are_the_same_for_the_same_generator():
    first, second = (sample_surface(two_colored_box(), 50, np.random.default_rng(3)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second))


def test_faces_without_area_get_no_samples():
    mesh = plain_mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 1, 2], [2, 2, 2]])
    mesh.corner_colors[[0, 2]] = RED
    assert not (sample_surface(mesh, 200, np.random.default_rng(4))[2][:, 1] < 0.1).any()


def test_normalized_longest_edge_is_2_about_the_origin():
    vertices = normalize([[1, 5, 0], [4, 6, 1], [2, 5.5, 0.5]])
    np.testing.assert_allclose(vertices.min(axis=0), [-1, -1 / 3, -1 / 3])
    np.testing.assert_allclose(vertices.max(axis=0), [1, 1 / 3, 1 / 3])


def test_normalizing_ignores_vertices_that_no_face_uses():
    vertices = normalize([[0, 0, 0], [1, 0, 0], [0, 1, 0], [99, 99, 99]], [[0, 1, 2]])
    np.testing.assert_allclose(vertices[:3], [[-1, -1, 0], [1, -1, 0], [-1, 1, 0]])
    np.testing.assert_array_equal(normalize([[3, 4, 5]]), [[0, 0, 0]])


def test_normals_follow_the_right_hand_rule_and_are_zero_without_area():
    mesh = plain_mesh([[0, 0, 0], [2, 0, 0], [0, 3, 0]], [[0, 1, 2], [0, 2, 1], [1, 1, 2]])
    np.testing.assert_array_equal(mesh.normals(), [[0, 0, 1], [0, 0, -1], [0, 0, 0]])


# Writing


@pytest.fixture
def painted():
    """A box with a seam: each of its twelve triangles has its own place in an image with its own colors."""
    solid = trimesh.creation.box((2, 1.4, 0.8))
    rng = np.random.default_rng(5)
    texture = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    uvs = rng.random((36, 2)).round(5)
    return solid.vertices.astype(np.float32), np.asarray(solid.faces), uvs, np.arange(36).reshape(12, 3), texture


def views_of(mesh):
    return [render(mesh, VIEW_BASES[name], 96).astype(int) for name in ("front", "left", "bottom")]


@pytest.mark.parametrize("write_mesh, suffix", [(write_obj, ".obj"), (write_glb, ".glb")])
def test_written_mesh_looks_the_same_when_read_back(tmp_path, painted, write_mesh, suffix):
    write_mesh(tmp_path / f"out{suffix}", *painted)
    mesh, warnings = read_mesh(tmp_path / f"out{suffix}")
    assert warnings == [] and isinstance(mesh, Mesh)
    for again, first in zip(views_of(mesh), views_of(textured_mesh(*painted))):
        assert (again[..., 3] == first[..., 3]).all()
        assert (np.abs(again - first).max(axis=-1) <= 2).mean() > 0.999


def test_obj_names_its_mtl_and_the_mtl_its_image(tmp_path, painted):
    write_obj(tmp_path / "new" / "shoe 1.obj", *painted)
    folder = tmp_path / "new"
    assert sorted(path.name for path in folder.iterdir()) == ["shoe 1.mtl", "shoe 1.obj", "shoe 1.png"]
    lines = (folder / "shoe 1.obj").read_text().splitlines()
    assert "mtllib shoe 1.mtl" in lines and "usemtl shoe_1" in lines and "o shoe_1" in lines
    mtl = (folder / "shoe 1.mtl").read_text().splitlines()
    assert "newmtl shoe_1" in mtl and "map_Kd shoe 1.png" in mtl
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "shoe 1.png")), painted[4])
    assert sum(line.startswith("v ") for line in lines) == 8 and sum(line.startswith("f ") for line in lines) == 12
    assert mesh_dependencies(folder / "shoe 1.obj") == [folder / f"shoe 1{end}" for end in (".obj", ".mtl", ".png")]


def test_obj_has_a_unit_normal_at_each_vertex_that_trimesh_reads(tmp_path, painted):
    """A box's corner looks along the mean of its three sides' normals, weighted by their areas and triangles."""
    write_obj(tmp_path / "box.obj", *painted)
    lines = [line.split() for line in (tmp_path / "box.obj").read_text().splitlines()]
    normals = np.array([words[1:] for words in lines if words[0] == "vn"], float)
    assert normals.shape == (8, 3) and np.linalg.norm(normals, axis=1) == pytest.approx(np.ones(8), abs=1e-3)
    assert (np.sign(normals) == np.sign(painted[0])).all(), "outward at each corner"
    corners = [corner.split("/") for words in lines if words[0] == "f" for corner in words[1:]]
    assert all(len(corner) == 3 and corner[0] == corner[2] for corner in corners)
    back = trimesh.load(tmp_path / "box.obj", process=False)
    assert isinstance(back, trimesh.Trimesh) and back.visual.material.name == "box"
    match = np.abs(back.vertices[:, None] - painted[0]).sum(axis=2).argmin(axis=1)
    assert back.vertex_normals == pytest.approx(normals[match], abs=1e-3)


def test_a_vertex_without_a_face_has_a_unit_normal_all_the_same(tmp_path, painted):
    vertices = np.concatenate([painted[0], [[0, 0, 0]]])
    write_obj(tmp_path / "x.obj", vertices, *painted[1:])
    assert "vn 0.0000 1.0000 0.0000" in (tmp_path / "x.obj").read_text().splitlines()


def test_glb_is_binary_gltf_with_v_counted_from_the_top(tmp_path, painted):
    """Parsed by hand: glTF's (0, 0) is the image's upper left, so v is one minus ours."""
    vertices, faces, uvs, face_uvs, texture = painted
    path = tmp_path / "my shoe.glb"
    write_glb(path, *painted)
    data = path.read_bytes()
    magic, version, length, json_length, json_kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, json_kind) == (b"glTF", 2, len(data), b"JSON")
    document = json.loads(data[20:20 + json_length])
    blob = data[28 + json_length:]

    def values(index, dtype, width):
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        return np.frombuffer(blob, dtype, accessor["count"] * width, start).reshape(-1, width)

    primitive, = document["meshes"][0]["primitives"]
    index_type = {5125: np.uint32, 5123: np.uint16}[document["accessors"][primitive["indices"]]["componentType"]]
    index = values(primitive["indices"], index_type, 1).ravel()
    positions = values(primitive["attributes"]["POSITION"], np.float32, 3)[index]
    coordinates = values(primitive["attributes"]["TEXCOORD_0"], np.float32, 2)[index]
    np.testing.assert_allclose(positions, vertices[faces.ravel()], atol=1e-6)  # upright: +y stays up
    normals = values(primitive["attributes"]["NORMAL"], np.float32, 3)[index]
    assert np.linalg.norm(normals, axis=1) == pytest.approx(np.ones(36), abs=1e-5)
    assert (np.sign(normals) == np.sign(vertices[faces.ravel()])).all()
    assert all("matrix" not in node or np.array_equal(node["matrix"], np.eye(4).ravel()) for node in document["nodes"])
    assert document["meshes"][0]["name"] == "my shoe" and document["materials"][0]["name"] == "my shoe"
    assert "my shoe" in [node.get("name") for node in document["nodes"]]
    np.testing.assert_allclose(coordinates, np.column_stack([uvs[:, 0], 1 - uvs[:, 1]])[face_uvs.ravel()], atol=1e-6)
    material = document["materials"][primitive["material"]]["pbrMetallicRoughness"]
    assert material["metallicFactor"] == 0 and "baseColorTexture" in material


def test_writing_the_same_mesh_twice_gives_the_same_bytes(tmp_path, painted):
    for write_mesh, suffixes in ((write_obj, (".obj", ".mtl", ".png")), (write_glb, (".glb",))):
        for folder in ("one", "two"):
            write_mesh(tmp_path / folder / f"out{suffixes[0]}", *painted)
        for suffix in suffixes:
            assert (tmp_path / "one" / f"out{suffix}").read_bytes() == (tmp_path / "two" / f"out{suffix}").read_bytes()
