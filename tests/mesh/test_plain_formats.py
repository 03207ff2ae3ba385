"""PLY, STL and 3MF read again twice: by trimesh, and by their specifications' own layout."""
import struct
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh

from utils.mesh.plain_formats import vertex_colors, write_3mf, write_ply, write_stl

CORE = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"
PACKAGE = "{http://schemas.openxmlformats.org/package/2006/relationships}"


@pytest.fixture(scope="module")
def solid():
    """A box of 30 x 20 x 10 that stands on z = 0."""
    box = trimesh.creation.box((30, 20, 10))
    return np.asarray(box.vertices) + [0, 0, 5], np.asarray(box.faces)


@pytest.fixture(scope="module")
def painted(solid):
    """The box in a texture of four colors, one for the corners of each."""
    uvs = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
    texture = np.uint8([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]).repeat(8, axis=0).repeat(8, axis=1)
    return *solid, uvs, solid[1] % 4, texture


@pytest.fixture(scope="module")
def quarters():
    """A square of two triangles whose corners lie in a red, green, blue and white quarter of its texture."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    uvs = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
    texture = np.uint8([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]).repeat(8, axis=0).repeat(8, axis=1)
    return vertices, faces, uvs, faces, texture


COLORS = [[0, 0, 255], [255, 255, 255], [0, 255, 0], [255, 0, 0]]  # first row of the texture at v = 1


def test_ply_has_the_texture_s_colors_and_normals_on_its_vertices(quarters, tmp_path):
    write_ply(tmp_path / "square.ply", *quarters)
    back = trimesh.load(tmp_path / "square.ply", process=False)
    assert back.visual.vertex_colors[:, :3].tolist() == COLORS and np.array_equal(back.faces, quarters[1])
    # By hand: a header of lines, then rows of six floats and three bytes, then a count and three indices for each face
    header, _, body = (tmp_path / "square.ply").read_bytes().partition(b"end_header\n")
    assert header.startswith(b"ply\nformat binary_little_endian 1.0\n") and b"element vertex 4\n" in header
    assert [line.split()[-1] for line in header.decode().splitlines() if line.startswith("property")] == [
        "x", "y", "z", "nx", "ny", "nz", "red", "green", "blue", "vertex_indices"]
    for number, (vertex, color) in enumerate(zip(quarters[0], COLORS)):
        row = struct.unpack_from("<6f3B", body, 27 * number)
        assert list(row) == [*vertex, 0, 0, 1, *color]
    assert [struct.unpack_from("<B3i", body, 4 * 27 + 13 * number) for number in (0, 1)] == [(3, 0, 1, 2), (3, 0, 2, 3)]
    assert len(body) == 4 * 27 + 2 * 13


def test_a_vertex_on_a_seam_has_the_mean_of_its_sides_and_one_without_a_face_is_gray(quarters):
    vertices, faces, uvs, _, texture = quarters
    vertices = np.concatenate([vertices, [[9, 9, 9]]])
    colors = vertex_colors(vertices, faces, uvs, np.array([[0, 1, 2], [3, 2, 3]]), texture)
    assert colors[0].tolist() == [128, 0, 128], "blue in one face, red in the other"
    assert colors[4].tolist() == [128, 128, 128]


def test_stl_is_binary_with_outward_normals(solid, tmp_path):
    write_stl(tmp_path / "box.stl", *solid)
    back = trimesh.load(tmp_path / "box.stl")
    assert back.is_watertight and back.volume == pytest.approx(6000) and back.bounds[0].tolist() == [-15, -10, 0]
    data = (tmp_path / "box.stl").read_bytes()
    assert not data.startswith(b"solid") and struct.unpack_from("<I", data, 80) == (12,) and len(data) == 84 + 50 * 12
    for number in range(12):
        values = np.array(struct.unpack_from("<12f", data, 84 + 50 * number)).reshape(4, 3)
        assert np.abs(values[0]).max() == 1 and np.dot(values[0], values[1:].mean(0) - [0, 0, 5]) > 0


def test_3mf_is_a_package_whose_model_has_the_same_triangles(solid, painted, tmp_path):
    write_3mf(tmp_path / "my <box> & \"lid\".3mf", *painted)
    with zipfile.ZipFile(tmp_path / "my <box> & \"lid\".3mf") as package:
        assert package.testzip() is None and package.namelist()[0] == "[Content_Types].xml"
        types = ElementTree.fromstring(package.read("[Content_Types].xml"))
        assert {kind.get("Extension") for kind in types} == {"rels", "model"}
        relation, = ElementTree.fromstring(package.read("_rels/.rels")).iter(f"{PACKAGE}Relationship")
        model = ElementTree.fromstring(package.read(relation.get("Target").lstrip("/")))
    assert model.get("unit") == "millimeter"
    item, = model.iter(f"{CORE}item")
    thing, = (thing for thing in model.iter(f"{CORE}object") if thing.get("id") == item.get("objectid"))
    assert thing.get("name") == 'my <box> & "lid"'
    vertices = [[float(vertex.get(axis)) for axis in "xyz"] for vertex in thing.iter(f"{CORE}vertex")]
    triangles = [[int(triangle.get(f"v{i}")) for i in (1, 2, 3)] for triangle in thing.iter(f"{CORE}triangle")]
    assert np.allclose(vertices, solid[0]) and np.array_equal(triangles, solid[1])


def test_trimesh_reads_the_3mf_closed_and_in_millimeters(painted, tmp_path):
    pytest.importorskip("lxml", reason="trimesh reads 3MF through lxml")
    write_3mf(tmp_path / "box.3mf", *painted)
    back = trimesh.load(tmp_path / "box.3mf", force="mesh")
    assert back.is_watertight and back.volume == pytest.approx(6000) and back.bounds[0].tolist() == [-15, -10, 0]


def test_lib3mf_reads_a_closed_box_with_the_color_of_each_corner(painted, tmp_path):
    lib3mf = pytest.importorskip("lib3mf", reason="the 3MF Consortium's own reader")
    write_3mf(tmp_path / "box.3mf", *painted)
    model = lib3mf.get_wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromFile(str(tmp_path / "box.3mf"))
    assert reader.GetWarningCount() == 0
    meshes = model.GetMeshObjects()
    assert meshes.MoveNext() and meshes.Count() == 1
    box = meshes.GetCurrentMeshObject()
    assert box.IsManifoldAndOriented() and box.GetTriangleCount() == 12
    for number, corners in enumerate(painted[1].tolist()):
        assert list(box.GetTriangle(number).Indices) == corners
        shown = box.GetTriangleProperties(number)
        group = model.GetColorGroupByID(shown.ResourceID)
        colors = [group.GetColor(place) for place in shown.PropertyIDs]
        assert [[color.Red, color.Green, color.Blue] for color in colors] == [COLORS[corner % 4] for corner in corners]


def test_the_same_mesh_gives_the_same_bytes(quarters, solid, painted, tmp_path):
    for name, write, content in (("a.ply", write_ply, quarters), ("a.stl", write_stl, solid), ("a.3mf", write_3mf, painted)):
        for folder in ("one", "two"):
            write(tmp_path / folder / name, *content)
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    with zipfile.ZipFile(tmp_path / "one" / "a.3mf") as package:
        assert {entry.date_time for entry in package.infolist()} == {(1980, 1, 1, 0, 0, 0)}, "on any day"
