"""Folders that cannot be written to and disks that are full: one line that names the file, and no mixture of old and new.

A disk that is full is played by a largest file size of the process; a folder that may not be written to by one below
/proc, which refuses even root.
"""
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from PIL import Image

import inference
import load_data
import train_field
import train_geometry
import utils.training_data.field_samples
from config import VIEW_NAMES, UserError
from models import interpolate, share
from tests.conftest import as_options
from tests.io.test_files import largest_file  # noqa: F401 (a fixture)
from tests.test_bad_input_images import tetrahedron, tiny_field, view_image
from utils import compare_runs, prepare_dataset, rename_to_IDs
from utils.evaluation.report import summarize, write_results
from utils.io import checkpoint
from utils.io.checkpoint import load_checkpoint
from utils.io.files import atomic_write
from utils.mesh.mesh_io import read_mesh
from utils.output import results
from utils.training_data.loader import make_loader
from utils.views import six_views, view_consistency, view_reader

FORBIDDEN = "/proc/mito3d"
NO_TEXT = os.fsdecode(b"caf\xe9")  # a name in Latin-1, as old archives hold them
LONGEST_NAME = 255  # bytes
OBJ = "".join(f"v {x} {y} {z}\n" for x in (0, 1) for y in (0, 1) for z in (0, 1)) + "".join(
    f"f {' '.join(map(str, face))}\n" for face in ((1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5),
                                                   (2, 6, 8, 4)))
needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


def small_preview(path, images, mesh, drawn):
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"preview")


@pytest.fixture
def three(tmp_path, monkeypatch):
    """Options of an inference over the objects a, b and c that takes no time; results of the kind asked for."""
    for name in "abc":
        (tmp_path / "views" / name).mkdir(parents=True)
        for view in VIEW_NAMES:
            view_image(view).save(tmp_path / "views" / name / f"{view}.png")
    monkeypatch.setattr(inference, "reconstruct_field", tetrahedron)
    monkeypatch.setattr(results, "write_preview", small_preview)
    for module in (inference, view_reader):
        monkeypatch.setattr(module, "PREVIEW_SIZE", 96)
    monkeypatch.setattr(inference, "FIELD_SIZES", (96, None))
    monkeypatch.setattr(six_views, "FRAMING_SIZE", 192)
    monkeypatch.setattr(view_consistency, "diagnose_view_swap", lambda *views: None)
    monkeypatch.setattr(inference.Reconstructor, "reader", lambda self, files, name, masks=None: inference.ViewReader(
        files, name, masks, "border", False))
    return [tmp_path / "views", "--output", tmp_path / "out", "--geometry_checkpoint", tiny_field(tmp_path / "f.pth"),
            "--device", "cpu"]


def content_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def large_texture(*_):
    mesh = tetrahedron()
    mesh.texture = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    return mesh


# ---- Inference: one result that cannot be written costs no other


@pytest.mark.parametrize("way, said", [
    ("a file where the object's folder should be", "out/b: File exists"),
    ("a folder where the mesh should be", "out/b/b.obj: Is a directory"),
    pytest.param("a folder where the texture should be", "out/b/b.png: Is a directory", marks=pytest.mark.slow),
    pytest.param("a folder where the preview should be", "out/b/b_preview.png: Is a directory", marks=pytest.mark.slow)])
def test_one_result_that_cannot_be_written_is_named_and_the_others_are_done(way, said, three, tmp_path, run_script_main):
    (tmp_path / "out").mkdir()
    if way.startswith("a file"):
        (tmp_path / "out" / "b").write_text("mine")
    else:
        (tmp_path / said.partition(":")[0]).mkdir(parents=True)
        (tmp_path / "out" / "b" / "b.mtl").write_text("old")
    before = content_below(tmp_path / "out")
    code, out, err = run_script_main(inference, *three)
    assert code == 2 and err.endswith("\nerror: 2 of 3 objects reconstructed, 1 left out (see above)\n")
    assert err.startswith(f"left out: cannot write {tmp_path}/{said}") and err.count("\n") == 2 and "left out" not in out
    assert (tmp_path / "out" / "a" / "a.obj").is_file() and (tmp_path / "out" / "c" / "c.obj").is_file()
    after = content_below(tmp_path / "out")
    assert {name: after[name] for name in before} == before and not [name for name in after if name.startswith("b/") and
                                                                     name not in before]


@pytest.mark.parametrize("suffix", ["obj", pytest.param("glb", marks=pytest.mark.slow)])
def test_a_full_disk_keeps_the_whole_old_result_and_leaves_nothing_of_the_new(suffix, three, tmp_path, monkeypatch,
                                                                              largest_file, run_script_main):  # noqa: F811
    assert run_script_main(inference, *three, "--format", suffix)[0] == 0
    before = content_below(tmp_path / "out")
    monkeypatch.setattr(inference, "reconstruct_field", large_texture)
    largest_file(100_000)
    code, out, err = run_script_main(inference, *three, "--format", suffix)
    assert code == 2 and err.count("\n") == 4 and "0 of 3 objects" in err
    assert err.count("left out: cannot write") == 3 and err.count("File too large") == 3
    assert content_below(tmp_path / "out") == before


def test_a_full_disk_leaves_no_folder_of_a_new_object(three, tmp_path, monkeypatch, largest_file, run_script_main):  # noqa: F811
    monkeypatch.setattr(inference, "reconstruct_field", large_texture)
    largest_file(100_000)
    assert run_script_main(inference, *three)[0] == 2
    assert not (tmp_path / "out").exists()


def test_a_name_too_long_for_its_files_costs_no_other_object(three, tmp_path, run_script_main):
    long = "n" * (LONGEST_NAME - len("_preview.png") + 1)
    (tmp_path / "views" / "b").rename(tmp_path / "views" / long)
    code, out, err = run_script_main(inference, *three)
    assert code == 2 and "2 of 3" in err and "File name too long" in err and not (tmp_path / "out" / long).exists()
    (tmp_path / "views" / long).rename(tmp_path / "views" / long[1:])
    assert run_script_main(inference, *three)[0] == 0
    assert len(list((tmp_path / "out" / long[1:]).iterdir())) == 7


@pytest.mark.parametrize("name", [NO_TEXT, "new\nline", *(
    pytest.param(name, marks=pytest.mark.slow) for name in (" space", "#1", "Gr\u00f6\u00dfe \u978b"))], ids=ascii)
def test_whatever_an_object_is_called_its_results_name_each_other(name, three, tmp_path, run_script_main):
    try:
        (tmp_path / "views" / "b").rename(tmp_path / "views" / name)
    except OSError:
        pytest.skip("no such name on this file system")
    code, out, err = run_script_main(inference, *three, "--format", "obj,glb,ply,3mf")
    assert code == 0 and "left out" not in err, err
    mesh, notes = read_mesh(tmp_path / "out" / name / f"{name}.obj")
    assert len(mesh.textures) == 1 and notes == []
    report = json.loads((tmp_path / "out" / name / f"{name}_report.json").read_text(encoding="utf-8"))
    assert report["id"] == name and len(report["files"]) == 6
    assert all((tmp_path / "out" / name / file).is_file() for file in report["files"])
    assert (tmp_path / "out" / "index.html").read_text(encoding="utf-8").count("<a href") == 3


def test_names_that_are_no_text_are_printed_however_the_terminal_writes(three, tmp_path):
    try:
        (tmp_path / NO_TEXT).mkdir()
    except OSError:
        pytest.skip("no such name on this file system")
    source = ("import sys, config; config.run_script(lambda argv: print(argv[0], 'fa\u00e7ade'))")
    for encoding in ("utf-8", "ascii"):
        done = subprocess.run([sys.executable, "-c", source, NO_TEXT], capture_output=True, cwd=Path(__file__).parents[1],
                              env=os.environ | {"PYTHONIOENCODING": encoding})
        assert done.returncode == 0 and done.stdout.startswith(b"caf\\udce9 fa"), done.stderr


def test_results_of_an_evaluation_hold_names_that_are_no_text(tmp_path):
    rows = [{"id": name, "method": f"{NO_TEXT}.pth", "cd_l1": 0.5} for name in "ab"]
    write_results(tmp_path, rows, summarize(rows), {}, {"lines": [f"checkpoint: {NO_TEXT}.pth"], "commit": None,
                                                        "checkpoints": {f"{NO_TEXT}.pth": "0"}})
    assert (tmp_path / "objects.csv").read_text(encoding="utf-8").count("caf\\udce9.pth") == 2
    assert "checkpoint: caf\\udce9.pth" in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "summary.json").read_text())["checkpoints"] == {f"{NO_TEXT}.pth": "0"}


def test_a_link_to_the_folder_itself_is_not_done_twice(three, tmp_path, run_script_main):
    (tmp_path / "views" / "a" / "again").symlink_to(".")
    (tmp_path / "views" / "again").symlink_to(tmp_path / "views")
    for views, count in ((tmp_path / "views", 3), (tmp_path / "views" / "a", 1)):
        code, out, err = run_script_main(inference, views, *three[1:])
        assert code == 0 and out.count("reconstructed in") == count, err


def test_no_result_takes_the_place_of_an_image_that_it_is_made_from(three, tmp_path, run_script_main):
    (tmp_path / "views" / "b").rename(tmp_path / "views" / "front")
    before = content_below(tmp_path / "views")
    code, out, err = run_script_main(inference, *three, "--output", tmp_path / "views")
    assert code == 2 and "2 of 3" in err
    assert err.startswith(f"left out: {tmp_path}/views/front/front.png: is the front image, and the result's texture would")
    after = content_below(tmp_path / "views")
    assert {name: after[name] for name in before} == before and "a/a.obj" in after and "front/front.obj" not in after
    assert run_script_main(inference, *three, "--output", tmp_path / "views", "--texture_format", "jpg")[0] == 0


@pytest.mark.parametrize("damage, said", [
    (lambda masks: (masks / "b_top.png").write_bytes(mask_file(0)), "b_top.png: the mask of the top view is empty"),
    (lambda masks: (masks / "b_top.png").write_bytes(mask_file(1)), "b_top.png: the top view's mask is empty"),
    (lambda masks: (masks / "b_top.png").symlink_to("gone.png"),
     "b_top.png: the mask of the top view cannot be read (a link to gone.png that leads nowhere)")],
    ids=["empty", "a speck", "a dead link"])
def test_a_mask_that_shows_nothing_is_named_with_its_file(damage, said, three, tmp_path, monkeypatch, run_script_main):
    (tmp_path / "masks").mkdir()
    for view in VIEW_NAMES:
        view_image(view).getchannel("A").save(tmp_path / "masks" / f"b_{view}.png")
    (tmp_path / "masks" / "b_top.png").unlink()
    damage(tmp_path / "masks")
    monkeypatch.setattr(inference.Reconstructor, "reader", lambda self, files, name, masks=None: inference.ViewReader(
        files, name, masks, "border"))
    options = [tmp_path / "views" / "b", *three[1:], "--mask_dir"]
    code, _, err = run_script_main(inference, *options, tmp_path / "masks")
    assert code == 2 and err.startswith(f"error: {tmp_path}/masks/{said}") and err.count("\n") == 1, err
    code, _, err = run_script_main(inference, *options, tmp_path / "f.pth")
    assert code == 2 and err == f"error: --mask_dir {tmp_path}/f.pth: is a file, and a folder is needed\n"


def mask_file(bright):
    """A PNG mask of which so many pixels are the object."""
    mask = np.zeros((480, 480), np.uint8)
    mask[240, 240:240 + bright] = 255
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.slow
def test_what_only_a_field_uses_is_refused_with_a_point_decoder(three, tiny_geometry, tmp_path, run_script_main):
    code, _, err = run_script_main(inference, *three, "--geometry_checkpoint", tiny_geometry, "--cache_dir", tmp_path / "c",
                                   "--texture_size", 64, "--faces", 100)
    assert code == 2 and "--faces: is for the field; leave it out, as " in err and not (tmp_path / "out").exists()


@needs_proc
@pytest.mark.parametrize("options, said", [
    (["--output", FORBIDDEN], f"cannot write to {FORBIDDEN}"),
    (["--output", "/dev/null"], "cannot write to /dev/null: it is a file"),
    (["--output", "/dev/null/deep"], "cannot write to /dev/null/deep")])
def test_an_output_folder_that_cannot_be_made_is_said_before_any_work(options, said, three, run_script_main):
    code, out, err = run_script_main(inference, *three, *options)
    assert code == 2 and err.startswith(f"error: {said}") and err.count("\n") == 1 and "reconstructed" not in out


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_inference_keeps_what_was_finished_and_nothing_half_written(number, code, three, tmp_path, monkeypatch,
                                                                                   run_script_main):
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted(model, reader, *rest):
        if reader.object_id == "c":
            os.kill(os.getpid(), number)
            time.sleep(5)
        return tetrahedron()

    monkeypatch.setattr(inference, "reconstruct_field", interrupted)
    try:
        found, _, err = run_script_main(inference, *three)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert found == code and err == "stopped: what was finished is kept, nothing is half written\n"
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"a", "b"} and (tmp_path / "out" / "a" / "a.obj").is_file()
    assert all(len(list(folder.iterdir())) == 7 for folder in (tmp_path / "out").iterdir())


# ---- Training


@needs_proc
@pytest.mark.parametrize("option", ["checkpoint_dir", "log_dir", "cache_dir"])
@pytest.mark.parametrize("place", [FORBIDDEN, "/dev/null", "/dev/null/deep"])
def test_a_training_whose_folder_cannot_be_written_to_says_so_at_once(option, place, tiny_config, tmp_path, run_script_main):
    cfg = tiny_config(**{option: place})
    code, out, err = run_script_main(train_geometry, *as_options(cfg, "geometry"))
    assert code == 2 and place in err and err.count("\n") == 1 and "Traceback" not in err, err
    assert "no complete object" not in err and "epoch" not in out


def test_a_disk_that_fills_up_while_training_keeps_the_last_whole_checkpoint(tiny_config, tmp_path, monkeypatch,
                                                                             largest_file, run_script_main):  # noqa: F811
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 1)
    cfg = tiny_config(num_epochs_stage1=1)
    assert run_script_main(train_geometry, *as_options(cfg, "geometry"))[0] == 0
    folder = tmp_path / "checkpoints"
    before = content_below(folder)
    largest_file(min(map(len, before.values())) // 2)
    more = tiny_config(num_epochs_stage1=3, resume=True)
    code, _, err = run_script_main(train_geometry, *as_options(more, "geometry"))
    assert code == 2 and err.count("\n") == 1 and "cannot write" in err and "File too large" in err
    assert content_below(folder) == before
    assert load_checkpoint(folder / "geometry_last.pth", "geometry")["epoch"] == 1


class BreaksOff:
    """Items of which the second cannot be made, as when a file goes while it is trained on."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index:
            raise UserError("shoe.obj: has gone")
        return index


def test_what_a_loaders_process_cannot_read_is_one_line_too(run_script_main):
    def main(argv):
        for _ in make_loader(BreaksOff(), 1, False, 0, num_workers=1):
            pass
    code, _, err = run_script_main(SimpleNamespace(main=main, __name__="loading"))
    assert code == 2 and err == "error: shoe.obj: has gone\n"


@pytest.mark.slow
def test_a_log_that_cannot_grow_is_one_line(tiny_config, tmp_path, monkeypatch, run_script_main):
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 1)
    (tmp_path / "logs" / "geometry.jsonl").mkdir(parents=True)
    code, _, err = run_script_main(train_geometry, *as_options(tiny_config(num_epochs_stage1=1), "geometry"))
    assert code == 2 and "geometry.jsonl: Is a directory" in err and err.count("\n") == 1


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_cache_without_room_is_no_fault_of_the_objects(workers, tiny_config, tmp_path, monkeypatch, largest_file,  # noqa: F811
                                                         run_script_main):
    for name in ("SURFACE_SAMPLES", "NEAR_POINTS", "FREE_POINTS"):
        monkeypatch.setattr(utils.training_data.field_samples, name, 500)
    cfg = tiny_config(cache_dir=str(tmp_path / "cache"), num_epochs_stage1=1, field_grid=8, field_widths=(8,),
                      field_image_widths=(0,), num_workers=workers)
    largest_file(1000)
    code, out, err = run_script_main(train_field, *as_options(cfg, "field"))
    assert code == 2 and err.count("\n") == 1 and "cannot write" in err and str(tmp_path / "cache") in err, err
    assert "unusable" not in out + err and not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


# ---- Preparing


@pytest.fixture
def meshes(tmp_path):
    folder = tmp_path / "meshes"
    folder.mkdir()
    for name in ("ball", "cube", "dice"):
        (folder / f"{name}.obj").write_text(OBJ)
    return folder


@needs_proc
@pytest.mark.parametrize("script", [prepare_dataset, rename_to_IDs])
@pytest.mark.parametrize("place", [FORBIDDEN, "/dev/null"])
def test_a_layout_that_cannot_be_written_to_is_one_line(script, place, meshes, run_script_main):
    arguments = [meshes] if script is prepare_dataset else ["--meshes", meshes]
    code, out, err = run_script_main(script, *arguments, "--output", place)
    assert code == 2 and err.startswith(f"error: cannot write to {place}") and err.count("\n") == 1
    assert "left out" not in out


def test_one_object_that_cannot_be_written_is_named_and_the_others_are_prepared(meshes, tmp_path, run_script_main):
    (tmp_path / "data" / "OBJs").mkdir(parents=True)
    (tmp_path / "data" / "OBJs" / "cube").write_text("in the way")
    code, out, err = run_script_main(prepare_dataset, meshes, "--output", tmp_path / "data", "--image_size", 32)
    assert code == 2 and err.endswith(f"\nerror: 2 objects in {tmp_path}/data, 1 left out (see above)\n")
    assert "left out: cannot write" in err and "OBJs/cube" in err
    pictures = sorted(path.name for path in (tmp_path / "data" / "input_images").iterdir())
    assert pictures == sorted(f"{name}_{view}.png" for name in ("ball", "dice") for view in VIEW_NAMES)


def test_a_disk_that_is_full_while_preparing_is_one_line_and_leaves_whole_objects(meshes, tmp_path, largest_file,  # noqa: F811
                                                                                  run_script_main):
    trimesh.creation.icosphere(4).export(meshes / "cube.obj")
    largest_file(20_000)
    code, out, err = run_script_main(prepare_dataset, meshes, "--output", tmp_path / "data", "--image_size", 32)
    assert code == 2 and err.count("\n") == 1 and err.startswith("error: cannot write") and "File too large" in err
    assert {path.name for path in (tmp_path / "data" / "OBJs").iterdir()} == {"ball"}
    assert len(list((tmp_path / "data" / "input_images").iterdir())) == 6


@pytest.mark.parametrize("name, obj", [
    ("flat", "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3\nf 1 3 4\n"),
    ("one triangle", "v 0 0 0\nv 1 0 .3\nv 0 1 .7\nf 1 2 3\n"),
    ("tilted plane", "v 0 0 0\nv 1 .2 .4\nv .4 1 .2\nv 1.4 1.2 .6\nf 1 2 3\nf 2 4 3\n")])
def test_a_mesh_without_depth_is_refused_where_it_is_made(name, obj, tmp_path, run_script_main):
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "thing.obj").write_text(obj)
    code, out, err = run_script_main(prepare_dataset, tmp_path / "meshes", "--output", tmp_path / "data")
    assert code == 2 and "thing.obj: is flat: its" in err and "in one plane" in err and "no mesh could be prepared" in err
    assert not (tmp_path / "data").exists()


def test_a_linked_mesh_is_known_by_the_name_of_the_link(meshes, tmp_path, run_script_main):
    (meshes / "linked.obj").symlink_to(meshes / "cube.obj")
    code, out, _ = run_script_main(prepare_dataset, meshes, "--output", tmp_path / "data", "--image_size", 32)
    assert code == 0 and {path.name for path in (tmp_path / "data" / "OBJs").iterdir()} == {"ball", "cube", "dice", "linked"}


def test_files_left_alone_are_exit_code_2_but_those_in_place_already_are_not(tmp_path, run_script_main):
    (tmp_path / "loose").mkdir()
    for view in VIEW_NAMES:
        Image.new("RGB", (9, 9)).save(tmp_path / "loose" / f"mug {view}.png")
    options = ["--images", tmp_path / "loose", "--output", tmp_path / "data"]
    assert run_script_main(rename_to_IDs, *options)[0] == 0
    shutil.copy(tmp_path / "loose" / "mug front.png", tmp_path / "loose" / "cup front.png")
    assert run_script_main(rename_to_IDs, *options)[0] == 0, "six are there already, one is new"
    shutil.copy(tmp_path / "loose" / "mug front.png", tmp_path / "loose" / "IMG_2001.png")
    shutil.copy(tmp_path / "loose" / "mug front.png", tmp_path / "loose" / "pot front.png")
    code, _, err = run_script_main(rename_to_IDs, *options)
    assert code == 2 and "1 file was left alone" in err


@pytest.mark.parametrize("given", ["data", "data/OBJs"])
def test_preparing_what_was_prepared_changes_nothing(given, meshes, tmp_path, run_script_main):
    options = ["--output", tmp_path / "data", "--image_size", 32]
    assert run_script_main(prepare_dataset, meshes, *options, "--up", "z", "--front=-y")[0] == 0
    before = content_below(tmp_path / "data")
    code, out, err = run_script_main(prepare_dataset, tmp_path / given, *options)
    assert content_below(tmp_path / "data") == before
    if given == "data":
        assert code == 0 and out.count("there already") == 3
    else:
        assert code == 2 and "OBJs: holds no mesh" in err and "which are in the layout already" in err


def test_a_folder_that_is_also_the_output_can_be_prepared_again(meshes, run_script_main):
    options = [meshes, "--output", meshes, "--image_size", 32]
    assert run_script_main(prepare_dataset, *options)[0] == 0
    before = content_below(meshes)
    code, out, err = run_script_main(prepare_dataset, *options)
    assert code == 0 and out.count("there already") == 3 and content_below(meshes) == before, err
    trimesh.creation.icosphere(1).export(meshes / "cube.obj")
    code, out, err = run_script_main(prepare_dataset, *options)
    assert code == 0 and out.count("there already") == 2 and "cube  mesh written (80 faces) anew" in out, err


@pytest.mark.parametrize("images, said", [((), "holds no images, and ball_front.png"),
                                          (("mug",), "holds images of mug, and ball_front.png")])
def test_own_images_of_which_none_is_used_are_said(images, said, meshes, tmp_path, run_script_main):
    (tmp_path / "own").mkdir()
    for name in images:
        Image.new("RGB", (9, 9)).save(tmp_path / "own" / f"{name}_front.png")
    options = [meshes, "--output", tmp_path / "data", "--images_dir"]
    code, out, err = run_script_main(prepare_dataset, *options, tmp_path / "own")
    assert code == 2 and f"--images_dir {tmp_path}/own: {said}" in err and err.count("\n") == 1
    code, out, err = run_script_main(prepare_dataset, *options, meshes / "cube.obj")
    assert code == 2 and "cube.obj: is a file, and a folder is needed" in err and not (tmp_path / "data").exists()


def test_links_that_lead_in_a_circle_are_passed_over(meshes, tmp_path, run_script_main):
    (meshes / "loop.obj").symlink_to("loop.obj")
    (meshes / "folder").symlink_to("folder")
    code, out, _ = run_script_main(prepare_dataset, meshes, "--output", tmp_path / "data", "--image_size", 32)
    assert code == 0 and "3 objects" in out
    loop = meshes / "folder"
    for script, options in ((prepare_dataset, [loop]), (rename_to_IDs, ["--images", loop]), (inference, [loop]),
                            (compare_runs, [loop, meshes])):
        code, _, err = run_script_main(script, *options)
        assert code == 2 and err.startswith("error: ") and str(loop) in err and err.count("\n") == 1, err
    assert compare_runs.short_names([str(loop), str(meshes)]) == ["folder", "meshes"]


def test_an_object_whose_name_is_no_text_is_left_out_of_the_data_layout_by_name(meshes, tmp_path, run_script_main):
    try:
        (tmp_path / NO_TEXT).mkdir()
    except OSError:
        pytest.skip("no such name on this file system")
    run_script_main(prepare_dataset, meshes, "--output", tmp_path / "data", "--image_size", 32)
    for path in sorted((tmp_path / "data").rglob("*cube*"), reverse=True):
        path.rename(path.with_name(path.name.replace("cube", NO_TEXT)))
    objects, problems = load_data.find_objects(tmp_path / "data" / "OBJs", tmp_path / "data" / "input_images")
    assert [files.id for files in objects] == ["ball", "dice"] and [problem.id for problem in problems] == [NO_TEXT]
    assert "rename" in problems[0].detail


# ---- Single files


@pytest.mark.parametrize("script, sources", [(interpolate, 2), (checkpoint, 1)])
def test_a_checkpoint_takes_the_place_of_no_folder_and_no_device(script, sources, tmp_path, run_script_main):
    field = tiny_field(tmp_path / "f.pth")
    (tmp_path / "folder.pth").mkdir()
    os.mkfifo(tmp_path / "pipe.pth")  # stands for /dev/null, which renaming would remove
    for target, said in (("folder.pth", "Is a directory"), ("pipe.pth", "it is a device or a pipe"),
                         ("mixed", "name a file that ends in .pth")):
        code, _, err = run_script_main(script, *[field] * sources, tmp_path / target)
        assert code == 2 and f"{target}: {said}" in err and err.count("\n") == 1, err
    assert (tmp_path / "pipe.pth").is_fifo() and sorted(os.listdir(tmp_path)) == ["f.pth", "folder.pth", "pipe.pth"]


@pytest.mark.parametrize("owner, method", [(Path, "write_bytes"), (share.ModelCard, "save")], ids=["weights", "card"])
@pytest.mark.parametrize("there", [False, True])
def test_a_model_is_shared_as_a_whole_or_not_at_all(owner, method, there, tmp_path, monkeypatch, run_script_main):
    field, folder = tiny_field(tmp_path / "f.pth"), tmp_path / "new" / "model"
    if there:
        assert run_script_main(share, field, folder)[0] == 0
    before = content_below(tmp_path)

    def no_room(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(owner, method, no_room)
    code, _, err = run_script_main(share, field, folder)
    assert code == 2 and err.startswith(f"error: cannot write {folder}") and err.endswith(": No space left on device\n")
    assert "/.new" not in err and content_below(tmp_path) == before and (tmp_path / "new").exists() == there


# ---- What may not be looked into


# Root may read anything, unless it gave that up; who owns the files cannot read those of mode 0 in any case
UNPRIVILEGED = ([] if os.name != "posix" or os.geteuid() else
                ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all"])
needs_rights = pytest.mark.skipif(os.name != "posix" or bool(UNPRIVILEGED) and not shutil.which("setpriv"),
                                  reason="nothing is forbidden here")
RUN = ("import sys, config, importlib\nmodule = importlib.import_module(sys.argv.pop(1))\nsys.argv[0] = 'x'\n"
       "config.run_script(module.main)")


def run_unprivileged(module, *words):
    """Exit code and stderr of a script run by somebody to whom files of mode 0 are closed."""
    done = subprocess.run([*UNPRIVILEGED, sys.executable, "-c", RUN, module, *map(str, words)], capture_output=True, text=True,
                          cwd=Path(__file__).parents[1], timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def closed(meshes):
    """Folders of meshes and of images with a folder and a file among them that may not be read."""
    for view in VIEW_NAMES:
        for name in ("good", "closed", "closed_file"):
            (meshes / name).mkdir(exist_ok=True)
            view_image(view).save(meshes / name / f"{view}.png")
    (meshes / "closed" / "hidden.obj").write_text(OBJ)
    forbidden = [meshes / "closed", meshes / "closed_file" / "top.png", meshes / "dice.obj"]
    for path in forbidden:
        path.chmod(0)
    yield meshes
    for path in forbidden:
        path.chmod(0o755)


@needs_rights
def test_of_many_those_that_may_not_be_read_are_named_and_the_others_are_done(closed, tmp_path):
    code, out, err = run_unprivileged("utils.prepare_dataset", closed, "--output", tmp_path / "data", "--image_size", 32)
    assert code == 2 and f"{closed}/closed  left out: cannot be read (Permission denied)\n" in err and "Traceback" not in err
    assert "dice" in err and err.endswith(f"error: 2 objects in {tmp_path}/data, 1 and 1 folder left out (see above)\n")
    code, out, err = run_unprivileged("utils.rename_to_IDs", "--images", closed, "--output", tmp_path / "data")
    assert code == 2 and "11 files copied, 2 left alone" in out, out + err
    assert "closed_file/top.png  left alone: cannot be copied" in err
    assert err.endswith("error: 2 files were left alone (see above)\n") and err.count("\n") == 2
    names = {path.name for path in (tmp_path / "data" / "input_images").iterdir()}
    assert {f"{name}_{view}.png" for name in ("good", "closed_file") for view in VIEW_NAMES} - names == {"closed_file_top.png"}
    sets, problems = run_unprivileged_sets(closed)
    assert "'good'" in sets and f"closed: unusable folder {closed}/closed: cannot be read (Permission denied)" in problems
    assert "'closed_file'" in sets  # whoever reads it says so


def run_unprivileged_sets(folder):
    code = (f"import load_data\nsets, problems = load_data.find_view_sets({str(folder)!r})\n"
            "print(list(sets), *map(str, problems), sep='@')")
    done = subprocess.run([*UNPRIVILEGED, sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=Path(__file__).parents[1], timeout=120)
    return done.stdout.split("@", 1)


@needs_rights
@pytest.mark.parametrize("module, words", [
    ("inference", ["{closed}"]), ("utils.prepare_dataset", ["{closed}"]), ("utils.rename_to_IDs", ["--images", "{closed}"]),
    ("load_data", ["--obj_dir", "{closed}", "--images_dir", "."]),
    pytest.param("load_data", ["--obj_dir", ".", "--images_dir", "{closed}"], marks=pytest.mark.slow),
    ("utils.photograph_dataset", ["--obj_dir", "{closed}", "--output", "{out}"])], ids=str)
def test_a_folder_that_may_not_be_looked_into_is_one_line(module, words, closed, tmp_path):
    words = [word.format(closed=closed / "closed", out=tmp_path / "out") for word in words]
    code, out, err = run_unprivileged(module, *words)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
    said = f"{closed}/closed: cannot be read (Permission denied)\n"
    assert err.removeprefix("error: ").removeprefix("--obj_dir ") == said or "closed  left alone: cannot be read" in out, err
    assert not (tmp_path / "out").exists()


def test_what_the_system_refuses_without_our_foreseeing_it_is_one_line_with_the_file(run_script_main):
    for number in (errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE):
        def main(argv, number=number):
            raise OSError(number, os.strerror(number), "scan.obj")
        code, _, err = run_script_main(SimpleNamespace(main=main, __name__="reading"))
        assert (code, err) == (2, f"error: scan.obj: {os.strerror(number)}\n")
