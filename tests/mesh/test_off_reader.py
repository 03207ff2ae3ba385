"""OFF with its many first lines, colors and cuts."""
import numpy as np
import pytest
import trimesh

from config import UserError
from tests.mesh.written_files import area
from utils.mesh.mesh_io import read_mesh

POINTS = "0 0 0\n2 0 0\n2 1 0\n1 1 0\n1 2 0\n0 2 0\n"
L_SHAPE = "6 0 1 2 3 4 5\n"


def read(tmp_path, text):
    (tmp_path / "toy.off").write_text(text, encoding="utf-8")
    return read_mesh(tmp_path / "toy.off")


@pytest.mark.parametrize("text", [
    "OFF\n6 1 0\n" + POINTS + L_SHAPE, "OFF 6 1 0\n" + POINTS + L_SHAPE, "OFF\n6 1\n" + POINTS + L_SHAPE,
    "# made by hand\n\nOFF # a\n6 1 0 # b\n\n" + POINTS.replace("\n", " # c\n\n") + "\n" + L_SHAPE,
    ("OFF\n6 1 0\n" + POINTS + L_SHAPE).replace("\n", "\r\n").replace(" ", "\t"), "\ufeffOFF\n6 1 0\n" + POINTS + L_SHAPE,
    "off\n6 1 0\n" + POINTS + L_SHAPE, "OFF\n6 1 0\n" + POINTS + L_SHAPE.rstrip() + " 0.4 0.4 0.4\n",
    "NOFF\n6 1 0\n" + POINTS.replace("\n", " 0 0 1\n") + L_SHAPE,
], ids=["plain", "counts-behind", "two-counts", "comments", "crlf-tabs", "bom", "lower", "face-color", "normals"])
def test_a_concave_face_in_every_spelling(tmp_path, text):
    mesh, notes = read(tmp_path, text)
    assert area(mesh) == pytest.approx(3) and len(mesh.faces) == 4 and notes == []
    np.testing.assert_allclose(mesh.corner_colors, 0.4, atol=1e-6)


def test_colors_of_vertices_and_faces(tmp_path):
    triangle = "0 0 0 {0}\n1 0 0 {0}\n0 1 0 {0}\n3 0 1 2 {1}\n"
    for kind, of_vertex, of_face, color in (
            ("COFF", "255 128 0 255", "", (1, 128 / 255, 0)), ("COFF", "1.0 0.5 0.0 1", "", (1, 0.5, 0)),
            ("OFF", "", "0 255 0", (0, 1, 0)), ("OFF", "", "0.0 0.5 0.0", (0, 0.5, 0)), ("OFF", "", "1", (0.4, 0.4, 0.4)),
            ("CNOFF", "1 0 0 0 0 255 255", "", (0, 0, 1))):
        mesh, _ = read(tmp_path, f"{kind}\n3 1 0\n" + triangle.format(of_vertex, of_face))
        np.testing.assert_allclose(mesh.corner_colors[0], [color] * 3, atol=1e-6)


@pytest.mark.parametrize("text, words", [
    ("OFF\n9 1 0\n" + POINTS + L_SHAPE, "ends early"), ("OFF\n6 2 0\n" + POINTS + L_SHAPE, "ends early"),
    ("OFF\n999999999999 1 0\n" + POINTS, "ends early"), ("OFF\n-1 1 0\n" + POINTS, "ends early"),
    ("OFF\n6 1 0\n" + POINTS + "3 0 1 6\n", "does not exist"), ("OFF\n6 1 0\n" + POINTS + "3 0 1\n", "does not exist"),
    ("OFF\n6 1 0\n" + POINTS + "9999999999 0 1\n", "does not exist"), ("OFF\n6 1 0\n" + POINTS + "x 0 1\n", "something else"),
    ("OFF BINARY\n6 1 0\n", "text form"), ("4OFF\n6 1 0\n" + POINTS + L_SHAPE, "three dimensions"),
    ("OFF\n", "three dimensions"),
    ("OFF\n2 1 0\n0 0\n1 1\n2 0 1\n", "fewer than three"), ("Dear reader\n", "no OFF"),
])
def test_damaged_files_are_refused_in_words(tmp_path, text, words):
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_trimesh_reads_the_same_from_what_it_writes(tmp_path):
    solid = trimesh.creation.icosphere(2)
    solid.export(tmp_path / "ball.off")
    mesh, _ = read_mesh(tmp_path / "ball.off")
    np.testing.assert_allclose(mesh.vertices[mesh.faces], solid.triangles, atol=1e-6)
