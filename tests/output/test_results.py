"""Everything that is written for one object, read again."""
import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from config import VIEW_NAMES, UserError
from inference import FORMATS
from utils.mesh.textured_mesh import SUFFIXES
from utils.output.provenance import file_hash
from utils.output.results import OutputOptions, replaced_note, write_result
from utils.rendering.cameras import VIEW_BASES, VIEW_CAMERAS, Camera, rotation_matrix
from utils.rendering.rasterizer import over_white, render_views

ALL = OutputOptions(FORMATS, texture_format="jpg", longest_edge_mm=280.0, min_wall_mm=1.0, ground=True)
CLOSED = {".obj": 1, ".glb": 0.001, ".ply": 1, ".stl": 1}  # and millimeters of a unit


def test_each_format_is_closed_stands_on_the_ground_and_is_as_long_as_said(result, tmp_path):
    assert tuple(f".{name}" for name in FORMATS) == SUFFIXES
    report = write_result(tmp_path, "leaning", result.mesh, result.views, ALL)
    assert max(report["print"]["size_mm"]) == pytest.approx(280) and report["print"]["min_wall_mm"] == 1
    for suffix, unit in CLOSED.items():
        read = trimesh.load(tmp_path / f"leaning{suffix}", force="mesh", process=False)
        solid = trimesh.Trimesh(read.vertices, read.faces)
        assert solid.is_watertight and solid.is_winding_consistent, suffix
        assert solid.volume == pytest.approx(0.8 * 0.6 * 2 * (140 * unit) ** 3, rel=1e-3), suffix
        up = 2 if suffix == ".stl" else 1
        assert solid.bounds[0, up] == pytest.approx(0, abs=1e-6) and solid.extents.max() == pytest.approx(280 * unit, rel=1e-4)
        assert len(solid.faces) == len(result.mesh.faces), "none is degenerate"


def test_the_preview_shows_the_result_from_the_cameras_of_its_photographs(result, tmp_path):
    turn = rotation_matrix(np.radians([4.0, -5, 3]))
    cameras = {view: Camera(turn @ VIEW_BASES[view], 0.2, 0.7, (0.05, -0.04)) for view in VIEW_NAMES[:4]}  # two are missing
    drawn = render_views(result.mesh.as_mesh(), 128, cameras=VIEW_CAMERAS | cameras)
    views = replace(result.views, images=np.stack([over_white(image) for image in drawn.values()]) / 255)
    write_result(tmp_path, "leaning", replace(result.mesh, cameras=cameras), views, OutputOptions(viewer=False))
    sheet = np.asarray(Image.open(tmp_path / "leaning_preview.png"))[:, :6 * 128]
    assert np.array_equal(sheet[14:128], sheet[142:]), "below the names the same cameras show the same"
    apart = render_views(result.mesh.as_mesh(), 128)[VIEW_NAMES[2]]
    assert np.abs(sheet[128:, 256:384].astype(int) - over_white(apart)).mean() > 5, "which the exact ones do not"


def test_the_sheet_of_masks_shows_what_was_left_out(result, tmp_path):
    """A photograph with a green table, whose object is the right half: the other half stays to be seen, dimmed."""
    photograph, mask = np.full((100, 100, 3), (20, 200, 20), np.uint8), np.zeros((100, 100), np.uint8)
    mask[:, 50:] = 255
    views = replace(result.views, taken=((photograph, mask),) * 6)
    write_result(tmp_path, "leaning", result.mesh, views, OutputOptions(viewer=False))
    left, right = np.asarray(Image.open(tmp_path / "leaning_masks.png")).astype(int)[180, [60, 300]]
    assert left[1] > left[0] + 50 and abs(right - [20, 200, 20]).max() < 3 and right[1] > left[1] + 20


def test_a_size_in_millimeters_is_told_where_there_is_one():
    assert OutputOptions().print_edge_mm() is None and OutputOptions(longest_edge_mm=70.0).print_edge_mm() == 70
    assert OutputOptions(("obj", "3mf")).print_edge_mm() == 100
    assert OutputOptions(("stl",), longest_edge_mm=5.0).print_edge_mm() == 5


def test_the_report_names_hashes_of_what_went_in_and_of_what_came_out(result, tmp_path):
    made = {"device": "cpu", "options": {"grid": 64}, "checkpoints": [{"file": "a.pth", "sha256": "0"}]}
    report = write_result(tmp_path, "leaning", result.mesh, result.views, ALL, masks={"top": result.views.paths[4]},
                          made_with=made)
    assert json.loads((tmp_path / "leaning_report.json").read_text()) == report
    assert {name: file_hash(tmp_path / name) for name in report["files"]} == report["files"]
    assert set(report["files"]) == {f"leaning.{end}" for end in ("obj", "mtl", "jpg", "glb", "ply", "stl", "3mf")}
    assert {view: entry["sha256"] for view, entry in report["inputs"].items()} == {
        view: file_hash(path) for view, path in zip(VIEW_NAMES, result.views.paths)}
    assert list(report["masks"]) == ["top"] and report["options"] == {"grid": 64} and report["seed"] is None
    assert str(tmp_path) not in json.dumps(report) and "torch" in report["versions"]


def test_the_same_result_gives_the_same_bytes_in_every_file(result, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.output.turntable.FRAMES", 3)
    options = replace(ALL, turntable=True)
    for folder in ("one", "two"):
        write_result(tmp_path / folder, "leaning", result.mesh, result.views, options)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 7 + 5, files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_missing_view_is_left_out_of_the_report_and_a_page_that_is_not_wanted_is_not_written(result, tmp_path):
    there = np.array([True] * 5 + [False])
    views = replace(result.views, present=there, paths=[*result.views.paths[:5], None])
    report = write_result(tmp_path, "five", result.mesh, views, OutputOptions(viewer=False))
    assert report["missing"] == ["bottom"] and "bottom" not in report["inputs"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "five.mtl", "five.obj", "five.png", "five_masks.png", "five_preview.png", "five_report.json"]


def test_an_earlier_result_is_not_replaced_without_a_word(result, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    write_result(new, "shoe", result.mesh, result.views, OutputOptions())
    old.mkdir()
    assert replaced_note(old, new, "shoe") is None, "nothing was there"
    (old / "shoe.obj").write_text("my own")
    assert replaced_note(old, new, "shoe") == f"shoe.obj, which lay in {old} without a report, is replaced"
    write_result(old, "shoe", result.mesh, result.views, OutputOptions())
    assert replaced_note(old, new, "shoe") is None, "the same once more"
    write_result(old, "shoe", result.mesh, result.views, OutputOptions(("obj", "glb")))
    assert replaced_note(old, new, "shoe") == f"the earlier result in {old} is replaced; shoe.glb of it stays"
    turned = replace(result.views, paths=[*result.views.paths[1::-1], *result.views.paths[2:]])
    write_result(old, "shoe", result.mesh, turned, OutputOptions())
    assert replaced_note(old, new, "shoe") == f"the earlier result in {old}, of other images, is replaced"
    for path in new.glob("*_viewer.html"):
        path.unlink()
    assert replaced_note(old, new, "shoe").endswith("; shoe_viewer.html of it stays"), "which would show the old mesh"


def test_a_file_in_the_way_is_named(result, tmp_path):
    (tmp_path / "leaning_viewer.html").mkdir()
    with pytest.raises(UserError, match="leaning_viewer.html"):
        write_result(tmp_path, "leaning", result.mesh, result.views, OutputOptions())


def second_reader(path):
    """Vertices, faces and texture coordinates (or None) of a file as read by a program that has nothing to do with trimesh.

    GLB is in tests/mesh/test_glb.py, where the Khronos validator reads it.
    """
    if path.suffix == ".obj":
        reader = pytest.importorskip("tinyobjloader").ObjReader()
        assert reader.ParseFromFile(str(path)), reader.Error()
        attributes, (shape,), (material,) = reader.GetAttrib(), reader.GetShapes(), reader.GetMaterials()
        assert (path.parent / material.diffuse_texname).is_file()
        faces = np.array([corner.vertex_index for corner in shape.mesh.indices]).reshape(-1, 3)
        assert {corner.texcoord_index for corner in shape.mesh.indices} == set(range(len(attributes.texcoords) // 2))
        return np.reshape(attributes.vertices, (-1, 3)), faces, np.array(attributes.texcoords)
    mesh = pytest.importorskip("meshio").read(path)
    return mesh.points, mesh.cells_dict["triangle"], None


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl"])
def test_a_second_reader_finds_the_same_closed_mesh_as_trimesh(result, suffix, tmp_path):
    write_result(tmp_path, "leaning", result.mesh, result.views, replace(ALL, longest_edge_mm=None, ground=False))
    vertices, faces, uvs = second_reader(tmp_path / f"leaning{suffix}")
    assert len(faces) == len(result.mesh.faces) and 0 <= faces.min() and faces.max() < len(vertices)
    other = trimesh.load(tmp_path / f"leaning{suffix}", force="mesh", process=False)
    corners = np.asarray(vertices)[faces]
    np.testing.assert_allclose(corners, other.vertices[other.faces], atol=1e-5 * np.abs(other.vertices).max())
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    solid = trimesh.Trimesh(*(np.array(part) for part in (vertices, faces)))  # corners that STL holds apart are one
    assert areas.min() > 0 and solid.is_watertight and solid.volume > 0
    assert uvs is None or 0 <= np.min(uvs) <= np.max(uvs) <= 1
