"""Small inputs that once went wrong, each with what is right; MITO3D_CASES names their folder (<case>/in/...).

What each kind of file must give is tested beside its reader with files that the tests write themselves; these are the
files as they were met.
"""
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from config import VIEW_NAMES, UserError
from utils.mesh.mesh_io import MESH_EXTENSIONS, mesh_dependencies, read_mesh
from utils.prepare_dataset import prepare_object
from utils.views.decoding import open_image

ROOT = Path(__file__).parents[1]
CASES = Path(os.environ.get("MITO3D_CASES") or "nowhere")
NAMES = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (30, 60, 220), "yellow": (235, 210, 40), "gray": (102, 102, 102),
         "middle": (128, 128, 128)}
FOUR = {"red", "green", "blue", "yellow"}  # the picture on each side of the box, once
BOX = (2, 1, 1.4)
AREA = 2 * (2 * 1 + 1 * 1.4 + 1.4 * 2)


@pytest.fixture
def case(request, tmp_path):
    """Function: name -> a copy of that case's folder of inputs, for files that lie in it may be changed."""
    def copied(name):
        if not (CASES / name / "in").is_dir():
            pytest.skip("MITO3D_CASES names no folder of cases")
        return Path(shutil.copytree(CASES / name / "in", tmp_path / name))
    return copied


def only_mesh(folder, name=""):
    found, = (path for path in sorted(folder.rglob(f"{name}*")) if path.suffix.lower() in MESH_EXTENSIONS)
    return found


def points_of(mesh, points):
    """Colors (K, 3) from 0 to 255 at the surface points nearest to given ones, found through trimesh."""
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    closest, _, face = trimesh.proximity.closest_point_naive(solid, points)
    weights = trimesh.triangles.points_to_barycentric(mesh.vertices[mesh.faces[face]], closest)
    return mesh.colors_at(face, weights) * 255


def sides(mesh):
    """For each side of a box, the names of the colors in its four quarters."""
    low, high = mesh.vertices[mesh.faces].min(axis=(0, 1)), mesh.vertices[mesh.faces].max(axis=(0, 1))
    center, half, looks = (low + high) / 2, (high - low) / 2, []
    for axis in range(3):
        for sign in (-1, 1):
            places = [[sign if i == axis else (a, b)[i > (axis + 1) % 3 or (axis == 1 and i == 2)] for i in range(3)]
                      for a in (-0.55, 0.45) for b in (-0.45, 0.55)]
            looks.append([nearest(color) for color in points_of(mesh, center + np.array(places) * half)])
    return looks


def nearest(color):
    """Name of a color, or the color itself if it is none of the known ones."""
    name = min(NAMES, key=lambda name: np.abs(color - NAMES[name]).max())
    return name if np.abs(color - NAMES[name]).max() < 30 else tuple(int(value) for value in color)


def is_box(mesh, faces=12):
    corners = mesh.vertices[mesh.faces]
    return (np.allclose(np.ptp(corners.reshape(-1, 3), axis=0), BOX, atol=1e-4) and len(mesh.faces) == faces
            and trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).area == pytest.approx(AREA))


@pytest.mark.parametrize("name", [
    "glb_specular_glossiness", "glb_uv_normalised_uint16", "map_absolute_windows_path", "map_trailing_comment",
    "map_wrong_case",
    "mtl_options_and_spaces", "mtl_tab_after_map", "mtllib_backslash", "mtllib_comment", "mtllib_quotes", "obj_indented_lines",
    "obj_no_usemtl", "obj_tabs_for_spaces", "obj_usemtl_trailing_comment"])
def test_each_side_shows_the_whole_picture(case, name):
    mesh, notes = read_mesh(only_mesh(case(name)))
    assert is_box(mesh) and notes == [] and all(set(look) == FOUR for look in sides(mesh))


@pytest.mark.parametrize("name, color", [
    ("glb_second_uv_set", "red"), ("glb_texture_transform", "red"), ("mtl_map_options", "blue")])
def test_each_side_shows_one_quarter_of_the_picture(case, name, color):
    mesh, notes = read_mesh(only_mesh(case(name)))
    assert is_box(mesh) and notes == [] and all(set(look) == {color} for look in sides(mesh))


@pytest.mark.parametrize("name", ["glb_skin_below_turned_node", "obj_face_lines_with_tabs", "obj_utf16", "ply_blank_lines"])
def test_plain_boxes_are_whole(case, name):
    mesh, notes = read_mesh(only_mesh(case(name)))
    assert is_box(mesh) and notes == [] and set(sum(sides(mesh), [])) == {"gray"}


@pytest.mark.parametrize("name, words", [
    ("glb_draco_message", "is compressed by Draco; export it without compression"), ("stl_binary_cut_short", "ends early"),
    ("ply_cut_short", "its header says 12 of face, and 5 are there")])
def test_what_cannot_be_read_is_said_in_one_line(case, name, words):
    with pytest.raises(UserError) as error:
        read_mesh(only_mesh(case(name)))
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name, words", [("glb_ktx2_texture_silent", "KTX2"), ("gltf_missing_texture_silent", "gone.png")])
def test_a_picture_that_cannot_be_had_is_a_warning(case, name, words):
    mesh, notes = read_mesh(only_mesh(case(name)))
    assert is_box(mesh) and len(notes) == 1 and words in notes[0]


def test_an_alpha_mask_leaves_the_disc(case):
    mesh, notes = read_mesh(only_mesh(case("glb_alpha_mask")))
    corners = mesh.vertices[mesh.faces]
    area = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).area
    assert 0.3 * AREA < area < 0.6 * AREA and notes == []
    rng = np.random.default_rng(0)
    colors = mesh.colors_at(rng.integers(0, len(corners), 500), rng.dirichlet([1, 1, 1], 500)) * 255
    assert np.abs(colors - NAMES["red"]).max() < 2


@pytest.mark.parametrize("name", [
    "glb_vertex_colours_with_material", "glb_vertex_colour_times_texture", "obj_vertex_colours_255", "obj_nan_colours"])
def test_colors_of_the_corners(case, name):
    """x makes red and y green, at the corners of the box."""
    mesh, notes = read_mesh(only_mesh(case(name)))
    corners, colors = mesh.vertices[mesh.faces].reshape(-1, 3), mesh.corner_colors.reshape(-1, 3)
    assert is_box(mesh) and len(notes) == (name == "obj_nan_colours") and np.isfinite(colors).all()
    low, high = corners.min(axis=0), corners.max(axis=0)
    known = np.abs(colors - 0.4).max(axis=1) > 0.01  # one vertex has none
    expected = ((corners - low) / (high - low) > 0.5)[:, :2]
    assert known.mean() > 0.7 and np.abs(colors[:, :2] - expected)[known].max() < 0.05
    if "texture" in name:  # the nearly white picture is there as well
        assert (mesh.face_texture == 0).all() and mesh.textures[0].mean() < 255


def test_linear_vertex_colors_and_the_same_as_factor(case):
    folder = case("glb_vertex_colours_linear")
    for path in (folder / "grey.glb", folder / "grey_by_factor.glb"):
        assert set(sum(sides(read_mesh(path)[0]), [])) == {"middle"}


def test_percent_encoded_names(case):
    folder = case("gltf_percent_encoded_names")
    mesh, notes = read_mesh(folder / "a" / "toy_a.gltf")
    assert is_box(mesh) and notes == [] and all(set(look) == FOUR for look in sides(mesh))
    mesh, notes = read_mesh(folder / "b" / "toy_b.gltf")
    assert is_box(mesh) and notes == []


def test_one_face_without_coordinates(case):
    mesh, notes = read_mesh(only_mesh(case("obj_some_faces_without_uv")))
    assert is_box(mesh) and (mesh.face_texture == 0).sum() == 11 and len(notes) == 1
    assert sum(set(look) == FOUR for look in sides(mesh)) == 5


def test_a_concave_face_keeps_its_notch(case):
    mesh, _ = read_mesh(only_mesh(case("obj_concave_ngon")))
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).area == pytest.approx(2 * 0.81 + 6 * 0.5)


@pytest.mark.parametrize("name, faces", [("ply_triangle_strips", 6), ("glb_triangle_fan", 12)])
def test_strips_and_fans_are_read_but_what_is_flat_is_not_prepared(case, tmp_path, name, faces):
    path = only_mesh(case(name))
    assert len(read_mesh(path)[0].faces) == faces
    with pytest.raises(UserError, match=f"is flat: its {faces} faces lie in one plane"):
        prepare_object("flat", path, tmp_path / "out", np.eye(3), 32)
    assert not (tmp_path / "out").exists()


def test_a_changed_texture_is_noticed(case, tmp_path):
    folder = case("gltf_changed_texture_unnoticed")
    assert [path.name for path in mesh_dependencies(folder / "toy.gltf")] == ["toy.gltf", "toy.bin", "skin.png"]
    prepare_object("toy", folder / "toy.gltf", tmp_path / "out", np.eye(3), 32)
    assert prepare_object("toy", folder / "toy.gltf", tmp_path / "out", np.eye(3), 32)[0] == "there already"
    Image.new("RGB", (4, 4), (0, 200, 0)).save(folder / "skin.png")
    assert "anew" in prepare_object("toy", folder / "toy.gltf", tmp_path / "out", np.eye(3), 32)[0]
    front = np.asarray(Image.open(tmp_path / "out" / "input_images" / "toy_front.png"))
    assert np.abs(front[16, 16, :3].astype(int) - (0, 200, 0)).max() < 3


# Pictures


def test_a_wide_gamut_profile_is_converted(case):
    """Mean color against the sample shoe that the photographs show, which JPEG leaves as it is; unconverted, blue is 10 off."""
    folder = case("photo_display_p3")
    differences = {}
    for path in (ROOT / "data" / "sample" / "OBJs").iterdir():
        views = [(np.asarray(open_image(folder / f"{view}.jpg", view)[0], int), Image.open(
            ROOT / "data" / "sample" / "input_images" / f"{path.name}_{view}.png").convert("RGBA")) for view in VIEW_NAMES]
        total = []
        for photo, drawn in views:
            rgba = np.asarray(drawn.resize(photo.shape[1::-1]), int)
            inside = rgba[..., 3] == 255
            total.append(photo[inside].mean(axis=0) - rgba[inside][:, :3].mean(axis=0))
        differences[path.name] = np.abs(total).max()
    assert min(differences.values()) < 3


@pytest.mark.slow
def test_pictures_without_a_background_are_a_box_or_said_to_have_none(case, tmp_path, capsys):
    import inference

    inference.main([str(case("picture_fills_frame_pale")), "--output", str(tmp_path / "out"), "--grid", "64", "--texture_size",
                    "128", "--faces", "3000", "--device", "cpu"])
    mesh, _ = read_mesh(next((tmp_path / "out").rglob("*.obj")))
    printed = "".join(capsys.readouterr())
    size = np.ptp(mesh.vertices, axis=0)
    assert np.allclose(size, (1.33, 2, 0.53), atol=0.1) or "no background is left" in printed


def test_every_case_is_tried_here():
    if not CASES.is_dir():
        pytest.skip("MITO3D_CASES names no folder of cases")
    text = Path(__file__).read_text()
    assert [path.name for path in CASES.iterdir() if (path / "in").is_dir() and f'"{path.name}"' not in text] == []
