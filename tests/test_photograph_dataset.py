"""A data folder becomes photographs with true cameras and masks beside them, by the command itself."""
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

import utils.photograph_dataset
from config import VIEW_NAMES, UserError
from utils.mesh.mesh import plain_mesh
from utils.photograph_dataset import read_cameras
from utils.prepare_dataset import write_mesh
from utils.rendering.cameras import project
from utils.views.six_views import read_six_views


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Two boxes in the data layout, one of them off center and not of length 2."""
    folder = tmp_path_factory.mktemp("data")
    for name, edges, center in (("brick", (1, 0.6, 2), (0, 0, 0)), ("slab_2", (30, 4, 12), (7, 1, 90))):
        solid = trimesh.creation.box(edges)
        write_mesh(folder / "OBJs" / name / "model.obj", plain_mesh(solid.vertices + center, solid.faces, (.8, .3, .2)))
    return folder


def photographed(run_script_main, objects, output, *options):
    code, printed, error = run_script_main(utils.photograph_dataset, "--obj_dir", objects / "OBJs", "--output", output,
                                           "--size", 96, *options)
    assert code == 0, error
    return printed


@pytest.mark.parametrize("level, mode, suffix", [("hand", "RGBA", ".png"), ("photo", "RGB", ".jpg")])
def test_images_masks_and_cameras_of_an_object_fit_together(run_script_main, objects, tmp_path, level, mode, suffix):
    printed = photographed(run_script_main, objects, tmp_path, "--level", level)
    assert "2 objects" in printed
    cameras = read_cameras(tmp_path / "cameras" / "slab_2.json")
    assert list(cameras) == list(VIEW_NAMES)
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-4 / 30, 4 / 30) for z in (-12 / 30, 12 / 30)])
    for view, camera in cameras.items():
        with Image.open(tmp_path / "input_images" / f"slab_2_{view}{suffix}") as image:
            assert image.size == (96, 96) and image.mode == mode
        mask = np.asarray(Image.open(tmp_path / "masks" / f"slab_2_{view}.png"))
        column, row = (project(corners, camera)[:, :2].T + 1) * 48  # of the normalized box, worked out by hand above
        rows, columns = np.nonzero(mask >= 128)
        np.testing.assert_allclose([columns.min(), columns.max() + 1, rows.min(), rows.max() + 1],
                                   [column.min(), column.max(), row.min(), row.max()], atol=1.2)


def test_the_project_reads_its_own_photographs(run_script_main, objects, tmp_path):
    photographed(run_script_main, objects, tmp_path, "--level", "hand", "--ids", "brick")
    views = read_six_views(tmp_path / "input_images", object_id="brick")
    true = np.stack([np.asarray(Image.open(tmp_path / "masks" / f"brick_{view}.png")) for view in VIEW_NAMES]) / 255
    np.testing.assert_allclose(views.masks, true, atol=1e-6)


def test_an_object_looks_the_same_alone_and_among_others_and_other_with_another_seed(run_script_main, objects, tmp_path):
    photographed(run_script_main, objects, tmp_path / "all")
    photographed(run_script_main, objects, tmp_path / "alone", "--ids", "slab_2")
    photographed(run_script_main, objects, tmp_path / "seed", "--ids", "slab_2", "--seed", 1)
    name = "input_images/slab_2_left.jpg"
    assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert (tmp_path / "all" / name).read_bytes() != (tmp_path / "seed" / name).read_bytes()
    assert not (tmp_path / "alone" / "input_images" / "brick_left.jpg").exists()


@pytest.mark.parametrize("options, words", [
    (["--ids", "brik"], "holds no mesh of that name"), (["--size", "8"], "must be from 32"),
    (["--seed", "-1"], "must not be negative"), (["--images_dir", "nowhere"], "no such folder"),
    (["--level", "moon"], "invalid choice")])
def test_mistakes_are_named_in_one_line(run_script_main, objects, tmp_path, options, words):
    code, _, error = run_script_main(utils.photograph_dataset, "--obj_dir", objects / "OBJs", "--output", tmp_path,
                                     *options)
    assert code == 2 and words in error and "Traceback" not in error


def test_a_mesh_that_cannot_be_read_is_said_on_stderr_and_costs_no_other(run_script_main, objects, tmp_path):
    data = Path(shutil.copytree(objects / "OBJs", tmp_path / "OBJs"))
    next((data / "brick").glob("*.obj")).write_text("v 0 0 0\n")
    code, out, error = run_script_main(utils.photograph_dataset, "--obj_dir", data, "--output", tmp_path / "out", "--size", 96)
    assert code == 2 and "brick" in error and "left out: " in error and "left out" not in out
    assert error.endswith(f"\nerror: 1 object in {tmp_path}/out, 1 left out (see above)\n") and "slab_2" in out


def test_only_objects_with_images_where_a_folder_is_named(run_script_main, objects, tmp_path):
    (tmp_path / "own").mkdir()
    for view in VIEW_NAMES:
        Image.new("RGB", (8, 8)).save(tmp_path / "own" / f"brick_{view}.png")
    printed = photographed(run_script_main, objects, tmp_path / "out", "--images_dir", tmp_path / "own")
    assert "brick" in printed and "slab_2" not in printed


def test_a_broken_camera_file_is_named(tmp_path):
    (tmp_path / "x.json").write_text("[]")
    for name in ("x.json", "absent.json"):
        with pytest.raises(UserError, match=name):
            read_cameras(tmp_path / name)


def test_somebodys_own_images_are_neither_replaced_nor_doubled(run_script_main, objects, tmp_path):
    own = tmp_path / "input_images" / "brick_top.png"
    own.parent.mkdir()
    Image.new("RGB", (8, 8)).save(own)
    before = own.read_bytes()
    for level in ("hand", "photo"):
        code, out, error = run_script_main(utils.photograph_dataset, "--obj_dir", objects / "OBJs", "--output", tmp_path,
                                           "--size", 96, "--level", level)
        assert code == 2 and "brick_top.png: is no photograph made here" in error and "1 left out" in error
        assert own.read_bytes() == before and "slab_2  6 images" in out
        names = sorted(path.name for path in own.parent.iterdir())
        suffix = ".jpg" if level == "photo" else ".png"
        assert names == sorted(["brick_top.png", *(f"slab_2_{view}{suffix}" for view in VIEW_NAMES)]), "one image of each view"


@pytest.mark.parametrize("output", ["file", "file/deep", "/proc/mito3d"])
def test_a_place_that_cannot_be_written_to_is_said_before_any_work(run_script_main, objects, tmp_path, output):
    (tmp_path / "file").write_text("mine")
    code, out, error = run_script_main(utils.photograph_dataset, "--obj_dir", objects / "OBJs", "--output", tmp_path / output)
    assert code == 2 and error.startswith("error: cannot write to ") and error.count("\n") == 1 and out == ""
