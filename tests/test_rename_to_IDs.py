"""Loose files find their place by the words in their names; nothing is overwritten."""
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from config import VIEW_NAMES
from load_data import find_objects
from utils.rename_to_IDs import find_view, name_images, read_images

ROOT = Path(__file__).parents[1]
OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


@pytest.mark.parametrize("name, view, rest", [
    ("shoe_front", "front", "shoe"), ("Front", "front", ""), ("nike-air REAR view", "back", "nike-air"),
    ("boot from above", "top", "boot"), ("boot.underside", "bottom", "boot"), ("left side of boot", "left", "of boot"),
    ("view_right_shoe12", "right", "shoe12"), ("ShoeTop", "top", "Shoe"), ("shoe12bottom", "bottom", "shoe12"),
    ("left_shoe_front", "front", "left_shoe"), ("left_boot_left_side", "left", "left_boot"),
    ("front_left", None, "front_left"), ("shoe_top_front", None, "shoe_top_front"),
    ("hunchback", "", "hunchback"), ("BackPack", "", "BackPack"), ("upper", "", "upper")])
def test_view_words_are_found_and_taken_out_of_the_name(name, view, rest):
    assert find_view(name) == (view, rest)


def draw(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (len(str(path)) % 255, 0, 0)).save(path)


@pytest.mark.parametrize("names, ids", [
    ([f"shoe_{v}.png" for v in VIEW_NAMES], {"shoe"}),
    ([f"{v}/shoe{i}.png" for v in VIEW_NAMES for i in (1, 2)], {"shoe1", "shoe2"}),
    ([f"boot/{v}.jpg" for v in VIEW_NAMES] + [f"shoe/{v}.jpg" for v in VIEW_NAMES], {"boot", "shoe"}),
    ([f"boot/000{i}_{v}.jpg" for i, v in enumerate(VIEW_NAMES)], {"boot"}),
    ([f"boot/images/{v}.jpg" for v in VIEW_NAMES], {"boot"}),
    ([f"photos/boot_{v}.jpg" for v in VIEW_NAMES], {"boot"}),
    ([f"{o}/shoe_{v}.jpg" for v in VIEW_NAMES for o in "ab"], {"a", "b"}),
    ([f"all/{o}-{v}.jpg" for v in VIEW_NAMES for o in ("boot", "flat")], {"boot", "flat"}),
    (["Nike Air front.png", "nike_air-back.png"], {"Nike_Air"})])
def test_objects_are_named_by_what_is_left_or_by_their_folder(tmp_path, names, ids):
    for name in names:
        draw(tmp_path / name)
    pictures, unclear = read_images(tmp_path)
    named = name_images(pictures, tmp_path)
    assert unclear == {} and {object_id for object_id, _ in named} == ids
    assert len({(object_id, image.view) for object_id, image in named}) == len(names)


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "utils.rename_to_IDs", *map(str, arguments)], cwd=ROOT,
                          capture_output=True, text=True)


@pytest.fixture
def loose(tmp_path):
    """Two objects' loose images and meshes, one mesh with a material and a texture."""
    for view in VIEW_NAMES:
        draw(tmp_path / "images" / f"Boot {view.upper()} view.png")
        draw(tmp_path / "images" / "flat" / f"{view}.jpeg")
    meshes = tmp_path / "meshes"
    (meshes / "flat").mkdir(parents=True)
    (meshes / "boot.obj").write_text("mtllib boot.mtl\n" + OBJ)
    (meshes / "boot.mtl").write_text("newmtl a\nmap_Kd maps/leather.png\n")
    draw(meshes / "maps" / "leather.png")
    (meshes / "flat" / "model.obj").write_text(OBJ)
    return tmp_path


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def options(root):
    return "--images", root / "images", "--meshes", root / "meshes", "--output", root / "data"


def test_dry_run_shows_the_plan_and_touches_nothing(loose):
    before = files_below(loose)
    done = run(*options(loose), "--dry_run")
    assert done.returncode == 0 and files_below(loose) == before
    assert f"->  {loose / 'data' / 'input_images' / 'Boot_front.png'}" in done.stdout
    assert "16 files would be copied, 0 left alone" in done.stdout


def test_files_reach_the_layout_with_their_materials(loose):
    before = files_below(loose)
    done = run(*options(loose))
    assert done.returncode == 0, done.stderr
    objects, problems = find_objects(loose / "data" / "OBJs", loose / "data" / "input_images")
    assert [files.id for files in objects] == ["Boot", "flat"] and problems == []
    folder = loose / "data" / "OBJs" / "Boot"
    assert sorted(files_below(folder)) == ["boot.mtl", "boot.obj", "maps/leather.png"]
    assert (folder / "maps" / "leather.png").read_bytes() == before["meshes/maps/leather.png"]
    assert {name: files_below(loose)[name] for name in before} == before  # copies: the originals stay


def test_move_removes_the_originals_even_where_two_meshes_share_a_texture(loose):
    (loose / "meshes" / "sandal.obj").write_text("mtllib boot.mtl\n" + OBJ)
    done = run(*options(loose), "--move")
    assert done.returncode == 0, done.stderr
    assert not files_below(loose / "images") and not files_below(loose / "meshes")
    for name in ("Boot", "sandal"):
        assert (loose / "data" / "OBJs" / name / "maps" / "leather.png").is_file()


def test_nothing_is_overwritten_and_a_second_run_says_so(loose):
    run(*options(loose))
    draw(loose / "images" / "flat" / "back.jpeg")
    (loose / "meshes" / "flat" / "model.obj").write_text(OBJ + OBJ)
    before = files_below(loose / "data")
    done = run(*options(loose))
    assert files_below(loose / "data") == before
    assert done.returncode == 2 and "none of the files" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.count("is there already") == 14
    draw(loose / "images" / "new front.png")
    done = run(*options(loose))
    assert done.returncode == 0 and "1 file copied, 14 left alone" in done.stdout
    assert (loose / "data" / "input_images" / "new_front.png").is_file()


def test_the_plan_names_objects_that_will_be_incomplete_and_what_they_lack(loose):
    for name in ("Boot LEFT view.png", "Boot TOP view.png"):
        (loose / "images" / name).unlink()
    (loose / "meshes" / "flat" / "model.obj").unlink()
    (loose / "meshes" / "lonely.obj").write_text(OBJ)
    lines = run(*options(loose), "--dry_run").stdout.splitlines()
    assert [line for line in lines if line.startswith("warning: ")] == [
        "warning: Boot will be incomplete: no image for left, top",
        "warning: flat will be incomplete: no mesh",
        "warning: lonely will be incomplete: no image for front, back, left, right, top, bottom"]


def test_what_is_in_the_layout_already_counts_towards_complete_objects(loose):
    (loose / "data" / "input_images").mkdir(parents=True)
    (loose / "images" / "Boot TOP view.png").rename(loose / "data" / "input_images" / "Boot_top.png")
    assert "incomplete" not in run(*options(loose), "--dry_run").stdout
    done = run("--images", loose / "images", "--output", loose / "data", "--dry_run")
    assert "incomplete" not in done.stdout  # no meshes were asked for


def test_two_objects_that_name_one_mtl_are_a_warning(loose):
    assert "named by" not in run(*options(loose), "--dry_run").stdout
    (loose / "meshes" / "sandal.obj").write_text("mtllib boot.mtl\n" + OBJ)
    text = run(*options(loose), "--dry_run").stdout
    assert f"warning: {loose.resolve() / 'meshes' / 'boot.mtl'} is named by the meshes of Boot, sandal" in text


def test_what_is_unclear_or_would_collide_is_left_alone_and_named(loose):
    for name in ("boot_front.jpg", "mystery.png", "boot_front_left.png", "flat_top.webp"):
        draw(loose / "images" / name)
    (loose / "meshes" / "chair.stl").write_text("")
    (loose / "meshes" / "flat.obj").write_text(OBJ)
    (loose / "meshes" / "far.obj").write_text("mtllib ../far.mtl\n" + OBJ)
    (loose / "far.mtl").write_text("newmtl a\n")
    text = run(*options(loose), "--dry_run").stdout
    lines = {Path(line.split("  left alone: ")[0].strip()).name: line.split("  left alone: ")[1]
             for line in text.splitlines() if "  left alone: " in line}
    assert "would be the front view of" in lines["boot_front.jpg"] and "Boot FRONT view.png" in lines["boot_front.jpg"]
    assert "boot_front.jpg" in lines["Boot FRONT view.png"]
    assert lines["mystery.png"] == "no view in its name" and lines["boot_front_left.png"] == "two views in its name"
    assert "would be the top view of flat" in lines["flat_top.webp"] and "prepare_dataset" in lines["chair.stl"]
    assert "would be the mesh of flat" in lines["flat.obj"] and "outside its folder" in lines["far.obj"]


def test_a_mesh_whose_texture_lies_elsewhere_is_left_alone(loose):
    """Moved alone it would lose its texture without a word."""
    (loose / "meshes" / "far.obj").write_text("mtllib near.mtl\n" + OBJ)
    (loose / "meshes" / "near.mtl").write_text("newmtl a\nmap_Kd ../far.png\n")
    draw(loose / "far.png")
    text = run(*options(loose), "--dry_run").stdout
    assert "uses ../far.png outside its folder: python -m utils.prepare_dataset" in text


def test_renaming_in_place_leaves_good_names_alone(tmp_path):
    images = tmp_path / "data" / "input_images"
    for name in ("shoe_front.png", "Shoe back.png"):
        draw(images / name)
    done = run("--images", images, "--output", tmp_path / "data", "--move")
    assert done.returncode == 0, done.stderr
    assert "has its name already" in done.stdout and len(files_below(images)) == 2


@pytest.mark.parametrize("wrong, expected", [
    ([], "--images"), (["--images", "nowhere"], "nowhere"), (["--copy", "--move"], "not allowed with"),
    (["--x"], "--x")])
def test_bad_options_are_one_line_and_exit_code_2(wrong, expected):
    done = run(*wrong)
    assert done.returncode == 2 and expected in done.stderr and done.stderr.count("\n") == 1
