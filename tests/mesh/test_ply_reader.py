"""PLY in its three encodings, with every place where it keeps colors and texture coordinates."""
import struct

import numpy as np
import pytest
import trimesh

from config import UserError
from tests.mesh.written_files import FOUR, POSITIONS, UVS, area, corner_looks, png
from utils.mesh.mesh_io import mesh_dependencies, read_mesh

XYZ = "property float x\nproperty float y\nproperty float z\n"
FACE = "property list uchar int vertex_indices\n"
ONE = "ply\nformat ascii 1.0\nelement vertex 1\n" + XYZ
ENCODINGS = {"ascii": None, "binary_little_endian": "<", "binary_big_endian": ">"}


def ply(encoding, vertex_header, vertices, face_header, faces, formats, comments="", counts=(None, None)):
    """A PLY: rows of numbers, in binary by struct formats of a vertex and a face, whose lists are given with their length."""
    head = (f"ply\nformat {encoding} 1.0\n{comments}element vertex {counts[0] or len(vertices)}\n{vertex_header}"
            f"element face {counts[1] or len(faces)}\n{face_header}end_header\n").encode()
    if ENCODINGS[encoding] is None:
        return head + "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in [*vertices, *faces]).encode()
    order = ENCODINGS[encoding]
    rows = [struct.pack(order + formats[0], *row) for row in vertices]
    for row in faces:
        form = formats[1](row) if callable(formats[1]) else formats[1]
        rows.append(struct.pack(order + form, *row))
    return head + b"".join(rows)


@pytest.fixture
def read(tmp_path):
    def read_ply(content, name="toy.ply"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_mesh(tmp_path / name)
    return read_ply


def refusal(read, content):
    with pytest.raises(UserError) as error:
        read(content)
    assert "toy.ply" in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_polygons_of_all_sizes_in_every_encoding(read, encoding):
    """Triangles alone, quads alone, and both together; the concave one keeps its notch."""
    points = [[0, 0, 0], [2, 0, 0], [2, 1, 0], [1, 1, 0], [1, 2, 0], [0, 2, 0]]
    for faces, expected in (([[3, 0, 1, 2]], 1), ([[4, 0, 1, 2, 3], [4, 0, 3, 4, 5]], 3), ([[6, 0, 1, 2, 3, 4, 5]], 3),
                            ([[3, 0, 1, 2], [3, 0, 2, 3], [4, 0, 3, 4, 5]], 3)):
        content = ply(encoding, XYZ, points, FACE, faces, ("3f", lambda row: f"B{row[0]}i"))
        mesh, notes = read(content)
        assert area(mesh) == pytest.approx(expected) and notes == []
        assert len(mesh.faces) == sum(row[0] - 2 for row in faces)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind, code, most", [("uchar", "B", 255), ("ushort", "H", 65535), ("float", "f", 1),
                                              ("float", "f", 255)])
def test_vertex_colors_of_every_scale(read, encoding, kind, code, most):
    header = XYZ + "".join(f"property {kind} {name}\n" for name in ("red", "green", "blue"))
    rows = [[*position, most, most // 5 if most > 1 else 0.2, 0] for position in POSITIONS.tolist()]
    mesh, notes = read(ply(encoding, header, rows, FACE, [[4, 0, 1, 2, 3]], ("3f3" + code, "B4i")))
    np.testing.assert_allclose(mesh.corner_colors.reshape(-1, 3), [[1, 0.2, 0]] * 6, atol=0.002)
    assert notes == []


def test_face_colors_and_colors_that_are_no_numbers(read):
    faces = [[3, 0, 1, 2, 255, 0, 0], [3, 0, 2, 3, 0, 0, 255]]
    rgb = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    mesh, _ = read(ply("binary_little_endian", XYZ, POSITIONS.tolist(), FACE + rgb, faces, ("3f", "B3i3B")))
    np.testing.assert_array_equal(mesh.corner_colors[:, 0], [[1, 0, 0], [0, 0, 1]])
    rows = [[*position, np.nan, 1, 0] for position in POSITIONS.tolist()]
    mesh, notes = read(ply("ascii", XYZ + rgb.replace("uchar", "float"), rows, FACE, [[4, 0, 1, 2, 3]], None))
    assert corner_looks(mesh) == ["gray"] * 4 and "4 vertex colors are not numbers" in notes[0]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("names", [("s", "t"), ("u", "v"), ("texture_u", "texture_v")])
def test_texture_coordinates_of_vertices(read, tmp_path, encoding, names):
    (tmp_path / "my skin.png").write_bytes(png())
    header = XYZ + "".join(f"property float {name}\n" for name in names)
    rows = [[*position, *uv] for position, uv in zip(POSITIONS.tolist(), UVS.tolist())]
    content = ply(encoding, header, rows, FACE, [[4, 0, 1, 2, 3]], ("5f", "B4i"), "comment TextureFile my skin.png\n")
    mesh, notes = read(content)
    assert corner_looks(mesh) == FOUR and notes == []
    assert mesh_dependencies(tmp_path / "toy.ply") == [tmp_path / "toy.ply", tmp_path / "my skin.png"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_texture_coordinates_of_corners_and_several_textures(read, tmp_path, encoding):
    """As MeshLab writes them: eight numbers for a quad, and the number of its texture."""
    (tmp_path / "skin.png").write_bytes(png())
    (tmp_path / "blue.png").write_bytes(png(np.full((4, 4, 3), [0, 0, 255], np.uint8)))
    header = FACE + "property list uchar float texcoord\nproperty int texnumber\n"
    comments = "comment TextureFile skin.png\ncomment TextureFile blue.png\n"
    for number, looks in ((0, FOUR), (1, ["blue"] * 4)):
        faces = [[4, 0, 1, 2, 3, 8, *UVS.ravel().tolist(), number]]
        mesh, notes = read(ply(encoding, XYZ, POSITIONS.tolist(), header, faces, ("3f", "B4iB8fi"), comments))
        assert corner_looks(mesh) == looks and notes == [] and len(mesh.textures) == 1
    faces = [[3, 0, 1, 2, 6, *UVS[[0, 1, 2]].ravel(), 0], [3, 0, 2, 3, 6, *UVS[[0, 2, 3]].ravel(), 1]]
    mesh, _ = read(ply(encoding, XYZ, POSITIONS.tolist(), header, faces, ("3f", "B3iB6fi"), comments))
    assert corner_looks(mesh) == ["blue", "green", "blue", "white"] and len(mesh.textures) == 2


def test_textures_that_cannot_be_used_are_named(read, tmp_path):
    rows, face = POSITIONS.tolist(), [[4, 0, 1, 2, 3]]
    mesh, notes = read(ply("ascii", XYZ, rows, FACE, face, None, "comment TextureFile gone.png\n"))
    assert corner_looks(mesh) == ["gray"] * 4 and len(notes) == 1 and "gone.png is missing" in notes[0]
    (tmp_path / "skin.png").write_bytes(png())
    mesh, notes = read(ply("ascii", XYZ, rows, FACE, face, None, "comment TextureFile skin.png\n"))
    assert mesh.textures == [] and "no usable texture coordinates" in notes[0]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_triangle_strips(read, encoding):
    """Two strips in one list, parted by -1: three triangles on one side, then one; all look along +z."""
    order = ENCODINGS[encoding]
    points = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 2, 0], [5, 0, 0], [6, 0, 0], [5, 1, 0]]
    strip = [9, 0, 1, 2, 3, 4, -1, 5, 6, 7]
    head = f"ply\nformat {encoding} 1.0\nelement vertex 8\n{XYZ}element tristrips 1\nproperty list int int vertex_indices\n"
    head = (head + "end_header\n").encode()
    if order is None:
        body = "\n".join(" ".join(map(str, row)) for row in [*points, strip]).encode()
    else:
        body = b"".join(struct.pack(order + "3f", *point) for point in points) + struct.pack(order + "10i", *strip)
    mesh, _ = read(head + body)
    assert len(mesh.faces) == 4 and area(mesh) == pytest.approx(2) and (mesh.normals()[:, 2] > 0.9).all()
    if order is None:  # the same strips as two rows
        text = (head + body).replace(b"tristrips 1", b"tristrips 2").replace(b"9 0 1 2 3 4 -1 5 6 7", b"5 0 1 2 3 4\n3 5 6 7")
        mesh, _ = read(text)
        assert len(mesh.faces) == 4 and area(mesh) == pytest.approx(2) and (mesh.normals()[:, 2] > 0.9).all()


@pytest.mark.parametrize("change", [
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", "\r"),
    lambda text: text.replace("end_header\n", "end_header\n\n\n").replace("element", "\nelement").replace("3 0", "\n\n3 0"),
    lambda text: text.replace("element face", "comment a face\nobj_info none\nelement face"),
    lambda text: text.replace(" ", "\t ").replace("\n", " \n"),
    lambda text: "\ufeff" + text,
    lambda text: "\n" + text,
    lambda text: text.replace("float ", "float64 ").replace("uchar", "uint8").replace(" int ", " int32 "),
    lambda text: text.replace("vertex_indices", "vertex_index"),
    lambda text: text.replace("element face", "element edge 1\nproperty int a\nproperty list uchar int b\nelement face")
                     .replace("3 0 1 2", "7 2 8 9\n3 0 1 2"),
    lambda text: text[:-1],
], ids=["crlf", "cr", "blank-lines", "comments", "tabs", "bom", "blank-first", "type-names", "vertex_index", "other-element",
        "no-last-newline"])
def test_spellings_of_one_triangle(read, change):
    text = f"ply\nformat ascii 1.0\nelement vertex 3\n{XYZ}element face 1\n{FACE}end_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    mesh, notes = read(change(text).encode())
    assert area(mesh) == pytest.approx(0.5) and notes == []


def test_utf16_text_is_read(read):
    text = f"ply\nformat ascii 1.0\nelement vertex 3\n{XYZ}element face 1\n{FACE}end_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    assert area(read(text.encode("utf-16"))[0]) == pytest.approx(0.5)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_that_is_cut_short_says_how_much_is_there(read, encoding):
    faces = [[3, 0, 1, 2], [3, 0, 2, 3], [4, 0, 1, 2, 3]]
    for some in (faces, faces[:2]):  # uneven rows, and rows all alike
        whole = ply(encoding, XYZ, POSITIONS.tolist(), FACE, some, ("3f", lambda row: f"B{row[0]}i"))
        body = whole.index(b"end_header\n") + 11
        for end in range(body, len(whole) - 2):
            assert "ends early" in refusal(read, whole[:end])
    whole = ply(encoding, XYZ, POSITIONS.tolist(), FACE, faces[:1], ("3f", "B3i"), counts=(None, 9))
    assert "9 of face, and 1 are there" in refusal(read, whole)


@pytest.mark.parametrize("counts", [(10**9, None), (None, 10**9), (-1, None), (10**30, None)])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_absurd_counts_are_refused_at_once(read, encoding, counts):
    content = ply(encoding, XYZ, POSITIONS.tolist(), FACE, [[3, 0, 1, 2]], ("3f", "B3i"), counts=counts)
    assert f"ends early: its header says {counts[0] or counts[1]} of" in refusal(read, content)


@pytest.mark.parametrize("content, words", [
    ("ply\nformat ascii 1.0\nelement vertex 3\n" + XYZ, "no PLY header"),
    ("ply\nformat ascii 1.0\nelement vertex three\nend_header\n", "element vertex three"),
    ("ply\nformat ascii 1.0\nelement vertex 1\nproperty colour x\nend_header\n1\n", "property colour x"),
    ("ply\nformat roman 1.0\nend_header\n", "format roman"),
    ("ply\nelement vertex 0\nend_header\n", "names no format"),
    ("ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "no x, y and z"),
    ("ply\nformat ascii 1.0\nelement vertex 1\n" + XYZ + "end_header\n0 0 zero\n", "something else than numbers"),
    ("ply\nformat ascii 1.0\nelement vertex 3\n" + XYZ + "end_header\n0 0 0\n1 0 0\n0 1 0\n", "has no faces"),
    (ONE + f"element face 1\n{FACE}end_header\n0 0 0\n3 0 0 -1\n", "does not exist"),
    (ONE + f"element face 1\n{FACE}end_header\n0 0 0\n3 0 0 0.5\n", "whole numbers"),
    (ONE + f"element face 1\n{FACE}end_header\n0 0 0\n-3 0 0 0\n", "length"),
], ids=range(11))
def test_damaged_headers_and_faces_are_refused_in_words(read, content, words):
    assert words in refusal(read, content)


def test_trimesh_reads_the_same_from_what_it_writes(tmp_path):
    solid = trimesh.creation.icosphere(2)
    solid.visual.vertex_colors = np.random.default_rng(0).integers(0, 256, (len(solid.vertices), 4)).astype(np.uint8)
    for encoding in ("ascii", "binary"):
        (tmp_path / "ball.ply").write_bytes(trimesh.exchange.ply.export_ply(solid, encoding=encoding))
        mesh, _ = read_mesh(tmp_path / "ball.ply")
        np.testing.assert_allclose(mesh.vertices, solid.vertices, atol=1e-6)
        np.testing.assert_array_equal(mesh.faces, solid.faces)
        np.testing.assert_allclose(mesh.corner_colors, solid.visual.vertex_colors[solid.faces][..., :3] / 255, atol=1e-6)
