"""Finding, reporting, caching, splitting and batching, on files drawn by hand."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import load_data
from config import VIEW_NAMES, Config, UserError
from load_data import (
    SixViewDataset,
    cache_object,
    find_objects,
    find_view_sets,
    format_problems,
    load_cached,
    prepare_objects,
    resolve_data,
)
from tests.views.test_six_views import RED, WHITE, draw_box, write_views
from utils.mesh.mesh import GRAY
from utils.training_data import object_cache
from utils.training_data.loader import EpochSampler, make_loader
from utils.training_data.object_cache import input_hashes, padded_image_size
from utils.training_data.splits import choose_split, split_objects
from utils.views.six_views import read_framed_views

ROOT = Path(__file__).parents[1]
BOX_OBJ = "".join(f"v {x} {y} {z}\n" for x in (-0.5, 0.5) for y in (-0.25, 0.25) for z in (-1, 1)) + (
    "f 1 2 4 3\nf 5 7 8 6\nf 1 5 6 2\nf 3 4 8 7\nf 1 3 7 5\nf 2 6 8 4\n")


def write_object(root, name, obj=BOX_OBJ, **drawing):
    (root / "OBJs" / name).mkdir(parents=True)
    (root / "OBJs" / name / f"{name}.obj").write_text(obj)
    write_views(root / "input_images", f"{name}_", **drawing)


def config_for(root, **settings):
    values = {"num_surface_samples": 500, "image_size": 28} | settings
    return Config(obj_dir=str(root / "OBJs"), images_dir=str(root / "input_images"), cache_dir=str(root / "cache"),
                  explicit=frozenset({"obj_dir", "images_dir"}), **values)


# ---- Finding


def test_view_sets_are_found_in_one_folder_many_names_or_sub_folders(tmp_path):
    write_views(tmp_path / "shoe")
    assert list(find_view_sets(tmp_path / "shoe")[0]) == ["shoe"]
    write_views(tmp_path / "boot")
    write_views(tmp_path, "left_flat_")
    sets, problems = find_view_sets(tmp_path)
    assert list(sets) == ["boot", "left_flat", "shoe"] and problems == []
    assert sets["boot"]["top"] == tmp_path / "boot" / "top.png"


def test_incomplete_view_sets_are_reported_and_the_others_kept(tmp_path):
    write_views(tmp_path, "a_")
    write_views(tmp_path, "b_", skip=("top",))
    draw_box("top").save(tmp_path / "b_tpo.png")
    sets, problems = find_view_sets(tmp_path)
    assert list(sets) == ["a"]
    assert [(p.id, p.what) for p in problems] == [("b", "unknown view name"), ("b", "missing view")], "the reason first"
    assert str(problems[1]) == "b: missing view top"
    assert "b_tpo.png (did you mean b_top.png?)" in format_problems(problems)


def test_a_folder_without_a_complete_set_raises(tmp_path):
    with pytest.raises(UserError, match="no images found"):
        find_view_sets(tmp_path)
    write_views(tmp_path, skip=("top", "left"))
    with pytest.raises(UserError, match="missing view left, top"):
        find_view_sets(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        find_view_sets(tmp_path / "nowhere")


@pytest.mark.parametrize("names, said", [
    (["shoe.obj", "shoe.mtl", "shoe.png"], "holds shoe.obj: meshes, and pictures are wanted"),
    (["a.glb", "b.GLB", "c.ply"], "holds a.glb and 2 more: meshes, and pictures are wanted"),
    (["shoe/model.obj", "hat/model.obj", "hat/skin.jpg"], "holds model.obj and 1 more: meshes, and pictures are wanted")])
def test_a_folder_of_meshes_is_told_from_one_of_pictures(names, said, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UserError) as refused:
        find_view_sets(tmp_path)
    assert f"{tmp_path}: {said}" in str(refused.value) and "unknown view" not in str(refused.value)
    (tmp_path / "front.png").touch()  # one picture that shows a view: what is missing are the others
    with pytest.raises(UserError, match="missing view back, left, right, top, bottom"):
        find_view_sets(tmp_path)


@pytest.mark.parametrize("names, first, advice", [
    (["IMG_1.jpg", "IMG_2.jpg"], "unknown view name IMG_1.jpg, IMG_2.jpg", None),
    # each has a front and a back alone, and what is wrong with the others is their names
    ([f"{name}_{view}.jpg" for name in "ab" for view in ("front", "back", "l", "r", "oben")],
     "a: unknown view name a_l.jpg, a_oben.jpg and 1 more; b: unknown view name b_l.jpg", None),
    # enough for --allow_missing, if the sixth were not there under another name
    ([f"{view}.png" for view in (*VIEW_NAMES[:5], "sole")], "unknown view name sole.png; missing view bottom", None),
    ([f"{view}.png" for view in VIEW_NAMES[:5]], "missing view bottom", "takes three to five"),
    ([f"{view}.png" for view in VIEW_NAMES[:2]], "missing view left, right, top, bottom", None),
    (["front.jpg", *(f"{view}.png" for view in VIEW_NAMES)], "two files for a view front: front.jpg, front.png", None)])
def test_allow_missing_is_spoken_of_where_a_view_is_absent_and_not_misnamed(names, first, advice, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(UserError) as refused:
        find_view_sets(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}: {first}")
    assert ("--allow_missing" in str(refused.value)) == bool(advice) and (advice or "") in str(refused.value)


def test_too_few_for_allow_missing_is_said_with_what_it_needs(tmp_path):
    for view in VIEW_NAMES[:2]:
        (tmp_path / f"{view}.png").touch()
    with pytest.raises(UserError, match="--allow_missing needs at least three views"):
        find_view_sets(tmp_path, allow_missing=True)


def test_a_mesh_in_place_of_a_folder_is_told_that_it_is_one(tmp_path):
    (tmp_path / "shoe.GLB").touch()
    with pytest.raises(UserError, match="shoe.GLB: is a mesh, and pictures are wanted.* the folder that holds front.png"):
        find_view_sets(tmp_path / "shoe.GLB")
    with pytest.raises(UserError, match="no such folder"):
        find_view_sets(tmp_path / "none.glb")


def test_every_mapping_problem_is_reported_at_once(tmp_path):
    for name in ("good", "shoe_00012", "no_images", "two_objs", "missing", "doubled", "misspelt", "empty", "glb"):
        write_object(tmp_path, name)
    images, meshes = tmp_path / "input_images", tmp_path / "OBJs"
    for path in images.glob("no_images_*"):
        path.unlink()
    (meshes / "two_objs" / "second.obj").write_text(BOX_OBJ)
    (images / "missing_top.png").unlink()
    (images / "missing_left.png").unlink()
    draw_box("front").save(images / "doubled_front.jpg")
    (images / "misspelt_front.png").rename(images / "misspelt_frnt.png")
    (meshes / "empty" / "empty.obj").unlink()
    (meshes / "glb" / "glb.obj").rename(meshes / "glb" / "glb.glb")
    write_views(images, "no_mesh_")
    (meshes / "loose.obj").write_text(BOX_OBJ)
    draw_box("front").save(images / "front.png")
    (images / "._good_front.png").write_text("what some systems leave behind")
    objects, problems = find_objects(meshes, images)
    assert [files.id for files in objects] == ["good", "shoe_00012"]
    assert objects[1].images["back"].name == "shoe_00012_back.png"
    found = {(p.id, p.what) for p in problems}
    assert found == {
        ("no_images", "mesh without images"), ("two_objs", "two meshes"), ("missing", "missing view"),
        ("doubled", "two files for a view"), ("misspelt", "missing view"), ("misspelt", "unknown view name"),
        ("empty", "empty folder"), ("glb", "no OBJ file"), ("no_mesh", "images without mesh"),
        ("loose", "mesh without folder"), ("", "image without id")}
    table = format_problems(problems).splitlines()
    assert len(table) == 1 + len(problems)
    assert len({line.index(p.what) for line, p in zip(table[1:], problems)}) == 1  # columns are aligned
    assert any("left, top" in line for line in table)
    assert any("misspelt_frnt.png (did you mean misspelt_front.png?)" in line for line in table)


def test_absent_folders_and_no_complete_object_say_the_layout(tmp_path):
    with pytest.raises(UserError, match="no such folder of meshes.*<id>_<view>.png"):
        find_objects(tmp_path / "OBJs", tmp_path)
    (tmp_path / "OBJs" / "lonely").mkdir(parents=True)
    with pytest.raises(UserError, match="no complete object.*<id>_<view>.png(?s:.*)lonely +empty folder"):
        find_objects(tmp_path / "OBJs", tmp_path)


# ---- Caching


def cached_box(root, obj=BOX_OBJ, count=4000, image_size=28, name="box"):
    if not (root / "OBJs" / name).exists():
        write_object(root, name, obj)
    files = find_objects(root / "OBJs", root / "input_images")[0][0]
    return cache_object(files, root / "cache", count, image_size)


def test_cached_samples_lie_on_the_normalized_box_with_its_normals(tmp_path):
    arrays = load_cached(cached_box(tmp_path))
    points, normals = arrays["points"], arrays["normals"]
    half = np.array([0.5, 0.25, 1.0])  # its longest edge is 2 already
    assert points.shape == (4000, 3) and points.dtype == np.float32 and np.abs(points).max() <= 1 + 1e-6
    axis = np.abs(normals).argmax(1)
    assert np.allclose(points[np.arange(4000), axis], (np.sign(normals) * half)[np.arange(4000), axis], atol=1e-6)
    # By area: the faces towards +-y have 2 of the box's 7 square units each pair counted once -> 4 / 7.
    assert (axis == 1).mean() == pytest.approx(4 / 7, abs=0.01)
    assert arrays["images"].shape == (6, 28, 28, 3) and arrays["images"].dtype == np.uint8
    assert arrays["masks"].shape == (6, 28, 28)


def test_normalizing_scales_and_centers_before_sampling(tmp_path):
    moved = "".join(" ".join(["v"] + [str(10 + 5 * float(x)) for x in line.split()[1:]]) + "\n"
                    if line[0] == "v" else line + "\n" for line in BOX_OBJ.splitlines())
    points = load_cached(cached_box(tmp_path, moved))["points"]
    assert np.allclose(points.max(0), [0.5, 0.25, 1], atol=0.01)
    assert np.allclose(points.min(0), [-0.5, -0.25, -1], atol=0.01)


def test_cache_is_reused_and_made_again_when_a_source_changes(tmp_path):
    textured = "mtllib t.mtl\n" + BOX_OBJ.replace("f 1", "vt 0.5 0.5\nusemtl t\nf 1")
    for corner in range(1, 9):
        textured = textured.replace(f" {corner} ", f" {corner}/1 ").replace(f" {corner}\n", f" {corner}/1\n")
    textured = "".join(line if line[0] == "f" else line.replace("/1", "") for line in textured.splitlines(True))
    write_object(tmp_path, "box", textured)
    folder = tmp_path / "OBJs" / "box"
    (folder / "t.mtl").write_text("newmtl t\nKd 1 1 1\nmap_Kd t.png\n")
    Image.new("RGB", (4, 4), (255, 0, 0)).save(folder / "t.png")
    first = cached_box(tmp_path)
    assert np.allclose(load_cached(first)["colors"], [1, 0, 0]) and first.warnings == ()
    stamps = first.surface.stat().st_mtime_ns, first.views.stat().st_mtime_ns
    again = cached_box(tmp_path)
    assert (again.surface.stat().st_mtime_ns, again.views.stat().st_mtime_ns) == stamps

    Image.new("RGB", (4, 4), (0, 255, 0)).save(folder / "t.png")
    second = cached_box(tmp_path)
    assert second.surface != first.surface and second.views == first.views
    assert np.allclose(load_cached(second)["colors"], [0, 1, 0])

    draw_box("front", color=(0, 0, 255)).save(tmp_path / "input_images" / "box_front.png")
    third = cached_box(tmp_path)
    assert third.surface == second.surface and third.views != second.views
    assert cached_box(tmp_path, image_size=40).surface == third.surface  # another size does not sample again
    assert cached_box(tmp_path, count=100).surface != third.surface


def test_a_damaged_or_deleted_cache_file_is_made_again(tmp_path):
    entry = cached_box(tmp_path)
    good = load_cached(entry)
    entry.surface.write_bytes(entry.surface.read_bytes()[:3000])
    entry.views.unlink()
    again = load_cached(entry)
    assert all((good[name] == again[name]).all() for name in good)  # the seed is the key: the same samples
    damaged = bytearray(entry.surface.read_bytes())
    damaged[2000] ^= 255
    entry.surface.write_bytes(damaged)
    assert (load_cached(entry)["points"] == good["points"]).all()
    entry.surface.write_text("")
    assert (load_cached(cached_box(tmp_path))["points"] == good["points"]).all()


QUAD = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
COLORED = {
    "plain material": ("mtllib m.mtl\n" + QUAD + "usemtl blue\nf 1 2 3 4\n", [[0, 0, 1]]),
    "two materials": ("mtllib m.mtl\n" + QUAD + "usemtl blue\nf 1 2 3\nusemtl green\nf 1 3 4\n",
                      [[0, 0, 1], [0, 1, 0]]),
    "two parts": ("mtllib m.mtl\no a\n" + QUAD + "usemtl blue\nf 1 2 3 4\no b\n" + QUAD.replace("0\n", "1\n")
                  + "usemtl green\nf 5 6 7 8\n", [[0, 0, 1], [0, 1, 0]]),
    "vertex colors": (QUAD.replace("\n", " 1 0 0\n") + "f 1 2 3 4\n", [[1, 0, 0]]),
    "no color": (QUAD + "f 1 2 3 4\n", [[GRAY] * 3]),
}


@pytest.mark.parametrize("case", COLORED)
def test_colors_of_every_kind_reach_the_cache(tmp_path, case):
    obj, expected = COLORED[case]
    write_object(tmp_path, "x", obj)
    (tmp_path / "OBJs" / "x" / "m.mtl").write_text("newmtl blue\nKd 0 0 1\nnewmtl green\nKd 0 1 0\n")
    entry = cached_box(tmp_path, count=400, name="x")
    assert entry.warnings == ()
    colors = load_cached(entry)["colors"]
    assert np.allclose(np.unique(colors.round(2), axis=0), sorted(expected), atol=0.01)


SHAPES = {  # area, in the normalized frame, of the part with z < 0 relative to all
    "quad and pentagon": ("v 0 0 0\nv 2 0 0\nv 2 1 0\nv 0 1 0\nv 0 0 1\nv 2 0 1\nv 2 1 1\nv 1 1 1\nv 0 1 1\n"
                          "f 1 2 3 4\nf 5 6 7 8 9\n", 0.5),
    "negative indices": ("v 0 0 0\nv 2 0 0\nv 2 1 0\nf -3 -2 -1\nv 0 0 1\nv 2 0 1\nv 2 1 1\nv 0 1 1\n"
                         "f -4 -3 -2 -1\n", 1 / 3),
}


@pytest.mark.parametrize("case", SHAPES)
def test_polygons_and_relative_indices_keep_their_area(tmp_path, case):
    obj, below = SHAPES[case]
    points = load_cached(cached_box(tmp_path, obj, count=3000))["points"]
    assert (points[:, 2] < 0).mean() == pytest.approx(below, abs=0.01)


def test_prepare_reports_unusable_files_with_all_other_problems_and_goes_on(tmp_path, capsys):
    for name in ("good", "no_faces", "nan", "bad_image", "missing"):
        write_object(tmp_path, name)
    write_object(tmp_path, "no_mtl", "mtllib lost.mtl\n" + BOX_OBJ)
    write_object(tmp_path, "no_texture", "mtllib here.mtl\n" + BOX_OBJ)
    meshes, images = tmp_path / "OBJs", tmp_path / "input_images"
    (meshes / "no_texture" / "here.mtl").write_text("newmtl a\nmap_Kd lost.png\n")
    (meshes / "no_faces" / "no_faces.obj").write_text("v 0 0 0\nv 1 0 0\n")
    (meshes / "nan" / "nan.obj").write_text(BOX_OBJ.replace("v -0.5 -0.25 -1\n", "v nan 0 0\n"))
    (images / "bad_image_top.png").write_bytes(b"")
    (images / "missing_back.png").unlink()
    objects, cached = prepare_objects(config_for(tmp_path))
    text = capsys.readouterr().out
    assert [files.id for files in objects] == sorted(cached) == ["good", "no_mtl", "no_texture"]
    assert "3 objects complete, 4 left out" in text
    for name, part in [("no_faces", "has no faces"), ("nan", "not finite"), ("missing", "back"),
                       ("bad_image", "bad_image_top.png: the top")]:
        assert any(line.startswith(name) and part in line for line in text.splitlines()), name
    assert "no_mtl.obj: its material file lost.mtl is missing" in text and "its texture lost.png is missing" in text
    prepare_objects(config_for(tmp_path))
    assert "its texture lost.png is missing" in capsys.readouterr().out  # said again when all comes from the cache
    prepare_objects(config_for(tmp_path), quiet=True)
    assert capsys.readouterr() == ("", "")


def test_prepare_raises_when_nothing_is_usable_or_the_cache_cannot_be_written(tmp_path):
    write_object(tmp_path, "flat", "v 0 0 0\nv 1 0 0\n")
    with pytest.raises(UserError, match="no complete object(?s:.*)flat.obj: has no faces"):
        prepare_objects(config_for(tmp_path), quiet=True)
    write_object(tmp_path, "box")
    (tmp_path / "file").write_text("")
    cfg = config_for(tmp_path)
    cfg.cache_dir = str(tmp_path / "file" / "cache")
    with pytest.raises(UserError, match="cannot write"):
        prepare_objects(cfg, quiet=True)


def test_images_of_training_are_framed_like_those_of_inference(tmp_path, capsys):
    write_object(tmp_path, "own", size=200, scale=45, shift=(20, -15))
    _, cached = prepare_objects(config_for(tmp_path, image_size=42))
    assert "do not fill the frame" in capsys.readouterr().out
    views, _ = read_framed_views(find_view_sets(tmp_path / "input_images")[0]["own"], 42)
    assert (load_cached(cached["own"])["images"] == np.round(views.images * 255)).all()


def test_objects_whose_opposite_views_differ_are_counted_and_still_used(tmp_path, capsys):
    write_object(tmp_path, "good")
    write_object(tmp_path, "odd")
    image = Image.new("RGB", (88, 88), WHITE)
    ImageDraw.Draw(image).ellipse([24, 34, 63, 53], fill=RED)  # as wide and high as the box
    image.save(tmp_path / "input_images" / "odd_front.png")
    for _ in range(2):  # read, then from the cache
        assert len(prepare_objects(config_for(tmp_path, image_size=84))[0]) == 2
        text = capsys.readouterr().out
        assert "warning: in 1 object the six views do not fit together: odd\n" in text
        assert "do not fill the frame" not in text


# ---- Which data


def test_untouched_defaults_use_the_sample_and_say_so(tmp_path, monkeypatch, capsys):
    write_object(tmp_path / "data" / "sample", "box")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load_data, "__file__", str(tmp_path / "load_data.py"))
    obj_dir, images_dir = resolve_data(Config())
    assert (obj_dir.parent, images_dir.parent) == (tmp_path / "data" / "sample",) * 2
    assert "data/sample" in capsys.readouterr().out
    named = Config(explicit=frozenset({"obj_dir"}))
    assert resolve_data(named) == (Path("data/OBJs"), Path("data/input_images"))
    (tmp_path / "data" / "OBJs" / "mine").mkdir(parents=True)
    assert resolve_data(Config())[0] == Path("data/OBJs")


# ---- Splitting and batching


def test_split_depends_on_ids_and_seed_alone():
    ids = [f"shoe_{i}" for i in range(40)]
    train, held_out = split_objects(ids, 0.15, 0)
    assert len(held_out) == 6 and sorted(train + held_out) == sorted(ids)
    assert split_objects(ids[::-1], 0.15, 0) == (train, held_out)
    assert split_objects(ids, 0.15, 1)[1] != held_out
    # Another object changes sides for itself and at most one other.
    after = split_objects(ids + ["boot"], 0.15, 0)[1]
    assert len(set(after) ^ set(held_out)) <= 2


@pytest.mark.parametrize("count, fraction, expected",
                         [(1, 0.15, 0), (2, 0.15, 1), (2, 0.9, 1), (10, 0.0, 0), (12, 0.15, 2)])
def test_split_keeps_one_object_on_each_side(count, fraction, expected):
    train, held_out = split_objects([str(i) for i in range(count)], fraction, 3)
    assert (len(train), len(held_out)) == (count - expected, expected)


@pytest.mark.parametrize("count, folds", [(10, 5), (11, 3), (7, 7), (181, 5)])
def test_folds_hold_out_every_object_once(count, folds):
    ids = [f"shoe_{i}" for i in range(count)]
    parts = [split_objects(ids, 0.15, 3, folds, fold) for fold in range(folds)]
    assert sorted(name for _, held_out in parts for name in held_out) == sorted(ids)
    assert all(sorted(train + held_out) == sorted(ids) for train, held_out in parts)
    sizes = [len(held_out) for _, held_out in parts]
    assert max(sizes) - min(sizes) <= 1
    assert parts[1] == split_objects(ids[::-1], 0.9, 3, folds, 1)
    assert parts != [split_objects(ids, 0.15, 4, folds, fold) for fold in range(folds)]
    with pytest.raises(UserError, match="--num_folds"):
        split_objects(ids, 0.15, 3, count + 1, 0)


def test_a_smaller_training_share_lies_in_a_larger_one_and_leaves_the_held_out_alone():
    ids = [f"shoe_{i}" for i in range(120)]
    whole, held_out = split_objects(ids, 0.15, 0)
    tenth, third = (split_objects(ids, 0.15, 0, training_share=share) for share in (0.1, 0.3))
    assert (len(tenth[0]), len(third[0]), len(whole)) == (10, 31, 102)
    assert set(tenth[0]) < set(third[0]) < set(whole) and tenth[1] == third[1] == held_out
    assert len(split_objects(["a", "b"], 0.5, 0, training_share=0.001)[0]) == 1


def test_several_folders_are_read_as_one_and_an_id_counts_once(tmp_path, capsys):
    for folder, names in (("a", ("one", "two")), ("b", ("two", "three"))):
        for name in names:
            write_object(tmp_path / folder, name)
    cfg = config_for(tmp_path / "a")
    cfg.obj_dir, cfg.images_dir = (f"{tmp_path}/a/{name},{tmp_path}/b/{name}" for name in ("OBJs", "input_images"))
    cached = prepare_objects(cfg)[1]
    assert sorted(cached) == ["one", "three", "two"]
    assert cached["two"].files.mesh.is_relative_to(tmp_path / "a")
    assert cached["three"].files.images["top"].is_relative_to(tmp_path / "b")
    assert "two objects of one id" in capsys.readouterr().out


def test_a_split_file_says_who_is_trained_on_validated_on_and_left_alone(tmp_path, capsys):
    path = tmp_path / "split.csv"
    path.write_text("id,split\nshoe,validation  # chosen by hand\nhat, test\n\ncup train\nboot,validation\ngone,test\n")
    cfg = Config(split_file=str(path))
    assert choose_split(cfg, ["shoe", "hat", "cup", "boot", "unlisted"]) == (["cup", "unlisted"], ["boot", "shoe"])
    printed = capsys.readouterr().out
    assert "1 object that is not here, such as gone" in printed and "1 test object is" in printed
    cfg.training_share = 0.5
    assert len(choose_split(cfg, ["shoe", "hat", "cup", "boot", "unlisted"])[0]) == 1
    assert choose_split(Config(seed=3), ["a", "b", "c"]) == split_objects(["a", "b", "c"], 0.15, 3)


def test_batches_hold_tensors_of_the_promised_shape_and_range(tmp_path):
    torch = pytest.importorskip("torch")
    for name in ("a", "b", "c"):
        write_object(tmp_path, name)
    _, cached = prepare_objects(config_for(tmp_path, image_size=30), quiet=True)
    loader = make_loader(SixViewDataset(cached.values()), 2, shuffle=False, seed=0)
    batch = next(iter(loader))
    assert batch["id"] == ["a", "b"] and len(loader) == 2
    assert batch["images"].shape == (2, 6, 3, 42, 42) and batch["masks"].shape == (2, 6, 42, 42)
    assert all(batch[name].shape == (2, 500, 3) for name in ("points", "normals", "colors"))
    assert all(batch[name].dtype == torch.float32 for name in batch if name not in ("id", "variant"))
    assert batch["images"].min() >= 0 and batch["images"].max() == 1 and batch["masks"].max() == 1
    assert torch.allclose(batch["images"][0, 0, :, 21, 21] * 255, torch.tensor([200.0, 30, 30]), atol=1)


def test_order_of_an_epoch_is_a_function_of_seed_and_epoch():
    orders = {}
    for seed in (0, 1):
        sampler = EpochSampler(20, shuffle=True, seed=seed)
        for epoch in (0, 1, 2):
            sampler.set_epoch(epoch)
            orders[seed, epoch] = tuple(sampler)
            assert sorted(orders[seed, epoch]) == list(range(20))
    assert len(set(orders.values())) == 6
    resumed = EpochSampler(20, shuffle=True, seed=1)
    resumed.set_epoch(2)  # without going through epochs 0 and 1
    assert tuple(resumed) == orders[1, 2]
    assert list(EpochSampler(3, shuffle=False, seed=1)) == [0, 1, 2]


def test_an_augmented_epoch_holds_each_object_once_as_one_of_its_variants():
    seen = set()
    for epoch in range(40):
        sampler = EpochSampler(5, shuffle=True, seed=1, augmentations=2)
        sampler.set_epoch(epoch)
        indices, variants = zip(*sampler)
        assert sorted(indices) == list(range(5)) and set(variants) <= {0, 1, 2}
        seen |= set(sampler)
    assert len(seen) == 15, "five objects of three variants each"


def test_fresh_augmentations_never_come_twice():
    sampler = EpochSampler(5, shuffle=True, seed=1, augmentations=2, fresh=True)
    drawn = []
    for epoch in range(40):
        sampler.set_epoch(epoch)
        drawn += [key for key in sampler if key[1]]
    assert len(drawn) == len(set(drawn)) and len(drawn) == pytest.approx(200 * 2 / 3, rel=0.2)


def test_a_variant_is_the_same_whenever_it_is_asked_for_and_differs_from_the_others(tmp_path):
    torch = pytest.importorskip("torch")
    write_object(tmp_path, "a")
    _, cached = prepare_objects(config_for(tmp_path, image_size=28), quiet=True)
    dataset, other = SixViewDataset(cached.values()), SixViewDataset(cached.values(), with_images=False)
    as_it_is, plain, first, again, second = (dataset[key] for key in (0, (0, 0), (0, 1), (0, 1), (0, 2)))
    assert torch.equal(as_it_is["images"], plain["images"]) and as_it_is["variant"] == 0 and first["variant"] == 1
    for name in ("images", "masks", "points", "normals"):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], as_it_is[name]) and not torch.equal(first[name], second[name])
    bare = other[0, 1]
    assert "images" not in bare and "masks" not in bare and torch.equal(bare["points"], first["points"])


def test_images_key_follows_the_images_the_size_and_the_variant(tmp_path):
    write_object(tmp_path, "a")

    def keys(turns=False, **settings):
        _, cached = prepare_objects(config_for(tmp_path, **settings), quiet=True)
        dataset = SixViewDataset(cached.values(), turns)
        return [dataset.images_key((0, variant)) for variant in (0, 1, 2)]

    first = keys(image_size=28)
    assert len(set(first)) == 3 and keys(image_size=28) == first
    assert not set(first) & set(keys(image_size=42))
    turned = keys(image_size=28, turns=True)
    assert turned[0] == first[0] and turned[1] != first[1], "an object as it is knows no turns"
    from PIL import ImageOps

    image = tmp_path / "input_images" / "a_front.png"
    ImageOps.posterize(Image.open(image).convert("RGB"), 2).save(image)
    assert not set(first) & set(keys(image_size=28))


def test_prepared_loader_passes_the_epoch_on(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    loader = make_loader(list(range(20)), 4, shuffle=True, seed=5)
    prepared = accelerate.Accelerator(cpu=True).prepare_data_loader(loader)
    expected = EpochSampler(20, shuffle=True, seed=5)
    for epoch in (3, 0):
        prepared.set_epoch(epoch)
        expected.set_epoch(epoch)
        assert [int(i) for batch in prepared for i in batch] == list(expected)


def test_image_size_is_rounded_up_to_whole_patches():
    assert [padded_image_size(size) for size in (14, 15, 112, 224, 512, 518)] == [14, 28, 112, 224, 518, 518]


# ---- The script


def test_script_reports_and_its_exit_code_says_whether_objects_were_left_out(tmp_path, run_script_main):
    write_object(tmp_path, "good")
    write_object(tmp_path, "bad", skip=("top",))
    options = ("--obj_dir", tmp_path / "OBJs", "--images_dir", tmp_path / "input_images", "--cache_dir", tmp_path / "c")
    code, printed, errors = run_script_main(load_data, *options)
    assert code == 2 and "1 object complete, 1 left out" in printed
    assert "bad     missing view  top" in printed and "error: 1 of 2 objects cannot be used" in errors
    shutil.rmtree(tmp_path / "OBJs" / "bad")
    assert run_script_main(load_data, *options)[0] == 0
    (tmp_path / "input_images" / "good_top.png").unlink()
    code, _, errors = run_script_main(load_data, *options)
    assert code == 2 and "no complete object" in errors
    code, _, errors = run_script_main(load_data, "--obj_dir", tmp_path / "nowhere")
    assert code == 2 and errors.count("\n") == 1 and "nowhere" in errors


@pytest.mark.slow
def test_it_is_a_script_too():
    done = subprocess.run([sys.executable, "load_data.py", "--obj_dir", "nowhere"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "nowhere" in done.stderr


def test_real_objects_are_complete(real_objects):
    objects, problems = find_objects(real_objects / "OBJs", real_objects / "input_images")
    assert len(objects) == 181 and problems == []


def test_a_second_start_reads_no_mesh_and_no_image_but_notices_a_changed_texture(tmp_path, monkeypatch):
    from utils.io import file_index

    write_object(tmp_path, "box")
    texture = tmp_path / "OBJs" / "box" / "skin.png"
    (texture.parent / "skin.mtl").write_text("newmtl a\nmap_Kd skin.png\n")
    mesh = texture.parent / "box.obj"
    mesh.write_text("mtllib skin.mtl\n" + mesh.read_text())
    Image.new("RGB", (4, 4), "red").save(texture)
    for path in tmp_path.rglob("*.*"):
        os.utime(path, (1e9, 1e9))
    first = prepare_objects(config_for(tmp_path), quiet=True)[1]["box"]

    def refuse(*_):
        raise AssertionError("a source file was read again")
    with monkeypatch.context() as patch:
        patch.setattr(object_cache, "mesh_dependencies", refuse)
        patch.setattr(file_index, "content_hash", refuse)
        assert prepare_objects(config_for(tmp_path), quiet=True)[1]["box"] == first
    Image.new("RGB", (4, 4), "blue").save(texture)
    assert prepare_objects(config_for(tmp_path), quiet=True)[1]["box"].surface != first.surface


def test_a_cache_that_is_a_file_is_named_and_an_index_that_cannot_be_written_costs_nothing(tmp_path):
    write_object(tmp_path, "box")
    (tmp_path / "file").write_text("")
    cfg = config_for(tmp_path)
    cfg.cache_dir = str(tmp_path / "file")
    with pytest.raises(UserError, match="--cache_dir .*file: is a file"):
        prepare_objects(cfg, quiet=True)
    for path in tmp_path.rglob("*.*"):
        os.utime(path, (1e9, 1e9))
    (tmp_path / "cache" / "index.json").mkdir(parents=True)
    assert len(prepare_objects(config_for(tmp_path), quiet=True)[0]) == 1


def test_the_record_of_inputs_changes_with_the_file_that_changed(shoes, tmp_path):
    data = shutil.copytree(shoes, tmp_path / "data", ignore=shutil.ignore_patterns("cache", "*00003*", "*00004*"))

    def record():
        objects, _ = find_objects(data / "OBJs", data / "input_images")
        return input_hashes(objects, tmp_path / "no_cache")

    before = record()
    assert len(before) == 3 and record() == before and len({word for pair in before.values() for word in pair}) == 6
    Image.new("RGB", (9, 9)).save(data / "input_images" / "shoe_00001_top.png")
    next((data / "OBJs" / "shoe_00002").glob("*.png")).write_bytes(b"another texture")
    changed = {(name, place) for name, pair in record().items() for place in (0, 1) if pair[place] != before[name][place]}
    assert changed == {("shoe_00001", 1), ("shoe_00002", 0)}
