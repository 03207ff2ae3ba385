"""A folder of meshes of any format becomes the data layout, with shape and colors intact."""
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial import cKDTree

import utils.prepare_dataset
from config import VIEW_NAMES, UserError
from load_data import find_objects
from tests.mesh.written_files import POSITIONS, TEXTURED, png, square_gltf
from utils.mesh.mesh import Mesh, colored_mesh, plain_mesh, sample_surface, textured_mesh
from utils.mesh.mesh_io import read_mesh, write_mesh
from utils.prepare_dataset import clean_id, find_meshes, id_of_mesh, prepare_object, turn_matrix

ROOT = Path(__file__).parents[1]
BALL = trimesh.creation.icosphere(2)


def ball(kind, place):
    """A ball of radius 1 at place * 3 on the x axis, colored by `kind`."""
    vertices, faces = np.asarray(BALL.vertices) + [3 * place, 0, 0], np.asarray(BALL.faces)
    if kind == "plain":
        return plain_mesh(vertices, faces, (1, 0.5, 0.25))
    if kind == "vertex":
        return colored_mesh(vertices, faces, (BALL.vertices + 1) / 2)
    ramp = np.linspace(0, 255, 64)
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[..., 0], texture[..., 1] = ramp[None], ramp[:, None]
    mesh = textured_mesh(vertices, faces, BALL.vertices[:, :2] / 2 + 0.5, faces, texture)
    if kind == "tinted":
        mesh.corner_colors[:] = (0.5, 1, 0.25)
    if kind == "other texture":
        mesh.textures = [255 - texture]
    return mesh


def joined(meshes):
    """Several meshes as one, put together here by hand so that the test does not lean on the reader."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    textures = np.cumsum([0] + [len(mesh.textures) for mesh in meshes])
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]),
                np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)]),
                np.concatenate([mesh.corner_colors for mesh in meshes]),
                np.concatenate([mesh.corner_uvs for mesh in meshes]),
                np.concatenate([np.where(mesh.face_texture < 0, -1, mesh.face_texture + start).astype(np.int32)
                                for mesh, start in zip(meshes, textures)]),
                [texture for mesh in meshes for texture in mesh.textures])


@pytest.mark.parametrize("kinds", [
    ["plain"], ["vertex"], ["texture"], ["tinted"], ["texture", "other texture"], ["texture", "tinted"],
    ["plain", "texture", "other texture"], ["vertex", "texture"], ["vertex", "plain", "texture", "tinted"]],
    ids=" + ".join)
def test_a_written_mesh_reads_back_with_the_same_shape_and_colors(tmp_path, kinds):
    mesh = joined([ball(kind, place) for place, kind in enumerate(kinds)])
    write_mesh(tmp_path / "x.obj", mesh)
    back, notes = read_mesh(tmp_path / "x.obj")
    assert notes == [] and len(back.faces) == len(mesh.faces)
    centers = [m.vertices[m.faces].mean(1) for m in (mesh, back)]
    distance, match = cKDTree(centers[1]).query(centers[0])
    assert distance.max() < 1e-6
    middle = np.full((len(mesh.faces), 3), 1 / 3)
    difference = mesh.colors_at(np.arange(len(middle)), middle) - back.colors_at(match, middle)
    assert np.abs(difference).max() < 2 / 255


def test_many_plain_colors_survive(tmp_path):
    mesh = ball("plain", 0)
    mesh.corner_colors[:] = np.random.default_rng(0).random((len(mesh.faces), 1, 3))
    write_mesh(tmp_path / "x.obj", mesh)
    back, _ = read_mesh(tmp_path / "x.obj")
    _, colors = sample_surface(back, 2000, np.random.default_rng(1))[0::2]
    palette = cKDTree(mesh.corner_colors[:, 0])
    assert palette.query(colors)[0].max() < 2 / 255


def test_turn_brings_up_and_front_to_y_and_z_without_mirroring():
    axes = [sign + letter for letter in "xyz" for sign in ("", "-")]
    unit = {name: np.eye(3)["xyz".index(name[-1])] * (-1 if name[0] == "-" else 1) for name in axes}
    for up in axes:
        for front in axes:
            if up[-1] == front[-1]:
                with pytest.raises(UserError, match="perpendicular"):
                    turn_matrix(up, front)
                continue
            turn = turn_matrix(up, front)
            assert np.linalg.det(turn) == pytest.approx(1)
            assert (turn @ unit[up] == [0, 1, 0]).all() and (turn @ unit[front] == [0, 0, 1]).all()
    for wrong in ("q", "", "--y", "up"):
        with pytest.raises(UserError, match="--up"):
            turn_matrix(wrong, "z")


def test_ids_come_from_telling_names(tmp_path):
    assert clean_id("My  shoe (2).v1") == "My_shoe_2_.v1"
    assert id_of_mesh(tmp_path / "a" / "shoe.obj", tmp_path) == "shoe"
    assert id_of_mesh(tmp_path / "red shoe" / "meshes" / "model.obj", tmp_path) == "red_shoe"
    assert id_of_mesh(tmp_path / "mesh.glb", tmp_path) == clean_id(tmp_path.name)


def test_meshes_are_found_below_but_not_in_the_output(tmp_path):
    for name in ("a/model.obj", "b/shoe.PLY", "c/shoe.stl", "out/OBJs/d/d.obj", ".hidden/e.obj", "f/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    meshes, collisions, _ = find_meshes(tmp_path, tmp_path / "out")
    assert list(meshes) == ["a"] and list(collisions) == ["shoe"] and len(collisions["shoe"]) == 2
    with pytest.raises(UserError, match="holds no mesh"):
        find_meshes(tmp_path / "f", tmp_path / "out")


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "utils.prepare_dataset", *map(str, arguments)], cwd=ROOT,
                          capture_output=True, text=True)


def export_formats(folder):
    folder.mkdir()
    for extension in ("obj", "glb", "ply", "off", "stl"):
        trimesh.creation.box((1, 2, 4)).export(folder / f"box_{extension}.{extension}")


def test_every_format_ends_in_the_layout_and_unreadable_ones_are_named(tmp_path):
    export_formats(tmp_path / "in")
    (tmp_path / "in" / "broken.ply").write_text("nothing")
    done = run(tmp_path / "in", "--output", tmp_path / "out", "--image_size", 32)
    assert done.returncode == 2 and "left out" not in done.stdout
    named, last = done.stderr.splitlines()
    assert named.startswith("broken") and "left out: " in named and "5 objects" in last
    objects, problems = find_objects(tmp_path / "out" / "OBJs", tmp_path / "out" / "input_images")
    assert problems == []
    assert [files.id for files in objects] == [f"box_{extension}" for extension in ("glb", "obj", "off", "ply", "stl")]
    for files in objects:
        image = Image.open(files.images["left"])
        assert image.mode == "RGBA" and image.size == (32, 32)
        # The box is 4 deep (z) and 2 high: the left view shows it twice as wide as high.
        alpha = np.asarray(image)[..., 3] > 127
        assert alpha.any(axis=0).sum() == pytest.approx(2 * alpha.any(axis=1).sum(), abs=2)


def test_axes_turn_the_mesh_before_it_is_drawn(tmp_path):
    export_formats(tmp_path / "in")  # 4 long in z, here declared to be up; 1 wide in x, here the front
    done = run(tmp_path / "in", "--output", tmp_path / "out", "--up", "-z", "--front", "-x", "--image_size", 32)
    assert done.returncode == 0, done.stderr
    mesh, _ = read_mesh(tmp_path / "out" / "OBJs" / "box_stl" / "box_stl.obj")
    assert np.allclose(np.ptp(mesh.vertices, axis=0), [2, 4, 1])


def times_below(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}


def changed(before, after):
    return {path.name for path in after if before.get(path) != after[path]}


def test_what_is_there_is_left_alone_and_what_is_missing_is_added(tmp_path):
    export_formats(tmp_path / "in")
    run(tmp_path / "in", "--output", tmp_path / "out", "--image_size", 32)
    before = times_below(tmp_path / "out")
    (tmp_path / "out" / "input_images" / "box_ply_top.png").unlink()
    done = run(tmp_path / "in", "--output", tmp_path / "out", "--image_size", 32)
    assert done.stdout.count("  there already\n") == 4 and "mesh there already, 1 image drawn" in done.stdout
    assert changed(before, times_below(tmp_path / "out")) == {"box_ply_top.png"}


def test_what_was_made_with_other_options_or_from_another_mesh_is_made_anew(tmp_path):
    source, out = tmp_path / "box.stl", tmp_path / "out"
    mesh, pictures = out / "OBJs" / "box" / "box.obj", {f"box_{view}.png" for view in VIEW_NAMES}
    trimesh.creation.box((1, 2, 4)).export(source)
    turn = turn_matrix("y", "z")
    prepare_object("box", source, out, turn, 32)
    before = times_below(out)
    done, _ = prepare_object("box", source, out, turn, 48)  # other images of the same mesh
    assert done == "mesh there already, 6 images drawn anew" and changed(before, times_below(out)) == pictures
    done, _ = prepare_object("box", source, out, turn_matrix("z", "x"), 48)
    assert "mesh written (12 faces) anew" in done and "6 images drawn anew" in done
    assert np.allclose(np.ptp(read_mesh(mesh)[0].vertices, axis=0), [2, 4, 1])
    trimesh.creation.box((3, 3, 3)).export(source)
    assert "anew" in prepare_object("box", source, out, turn_matrix("z", "x"), 48)[0]
    assert np.allclose(np.ptp(read_mesh(mesh)[0].vertices, axis=0), 3)
    assert prepare_object("box", source, out, turn_matrix("z", "x"), 48)[0] == "there already"


def test_a_mesh_and_images_that_were_not_made_here_are_never_replaced(tmp_path):
    source, out = tmp_path / "box.stl", tmp_path / "out"
    trimesh.creation.box((1, 2, 4)).export(source)
    (out / "OBJs" / "box").mkdir(parents=True)
    trimesh.creation.box((5, 5, 5)).export(out / "OBJs" / "box" / "mine.obj")
    (out / "input_images").mkdir()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(out / "input_images" / "box_top.png")
    (out / "input_images" / "box_left.jpg").write_bytes(b"broken")
    before = times_below(out)
    done, _ = prepare_object("box", source, out, np.eye(3), 32)
    assert done == "mesh there already, 4 images drawn"
    assert changed(before, times_below(out)) == {f"box_{view}.png" for view in ("front", "back", "right", "bottom")}


@pytest.mark.parametrize("vertices, faces", [
    ([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]]),
    ([[0, 0, 0], [1, 2, 3], [5, 1, 1]], [[0, 1, 2]]),
    (np.array([[0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0]]) * 1e6 + 1e8, [[0, 1, 2], [0, 2, 3]]),
    ([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5e-4]], [[0, 1, 2], [0, 1, 3], [1, 2, 3], [0, 2, 3]]),
], ids=["square", "one triangle", "slanted and far", "thinner than a pixel"])
def test_flat_meshes_are_refused_where_they_would_be_made(tmp_path, vertices, faces):
    trimesh.Trimesh(vertices, faces, process=False).export(tmp_path / "flat.ply")
    count = f"{len(faces)} faces lie" if len(faces) > 1 else "1 face lies"
    with pytest.raises(UserError, match=f"flat.ply: is flat: its {count} in one plane"):
        prepare_object("flat", tmp_path / "flat.ply", tmp_path / "out", np.eye(3), 32)
    assert not (tmp_path / "out").exists()
    thin = trimesh.creation.box((1, 1, 0.004))
    thin.export(tmp_path / "thin.ply")
    prepare_object("thin", tmp_path / "thin.ply", tmp_path / "out", np.eye(3), 32)


def test_strangers_named_obj_are_said_to_be_what_they_are_and_links_go_by_their_own_name(tmp_path):
    folder, stores = tmp_path / "in", tmp_path / "store"
    folder.mkdir()
    stores.mkdir()
    with zipfile.ZipFile(folder / "packed.obj", "w") as archive:
        archive.writestr("shoe.obj", "v 0 0 0")
    (folder / "pointer.glb").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (folder / "broken.obj").symlink_to(tmp_path / "gone.obj")
    trimesh.creation.box((1, 2, 4)).export(stores / "model.stl")
    (folder / "linked.stl").symlink_to(stores / "model.stl")
    trimesh.creation.box((1, 2, 4)).export(folder / "model_2.stl")
    done = run(folder, "--output", tmp_path / "out", "--image_size", 32)
    assert done.returncode == 2 and done.stderr.count("\n") == 3 and "Traceback" not in done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() + done.stderr.splitlines()}
    assert "is a zip archive; unpack it" in lines["packed"] and "is a Git LFS pointer" in lines["pointer"]
    assert "mesh written (12 faces)" in lines["linked"] and "mesh written (12 faces)" in lines["model_2"]


def test_a_changed_texture_or_buffer_makes_a_gltf_anew(tmp_path):
    source, out = tmp_path / "toy.gltf", tmp_path / "out"
    made = square_gltf(TEXTURED, picture_uri="skin.png", POSITION=POSITIONS + np.float32([[0, 0, i] for i in (0, 0, 1, 0)]))
    source.write_bytes(made.content("toy.bin"))
    (tmp_path / "toy.bin").write_bytes(made.blob)
    (tmp_path / "skin.png").write_bytes(png())
    turn = np.eye(3)
    prepare_object("toy", source, out, turn, 32)
    assert prepare_object("toy", source, out, turn, 32)[0] == "there already"
    (tmp_path / "skin.png").write_bytes(png(np.full((4, 4, 3), 9, np.uint8)))
    assert "anew" in prepare_object("toy", source, out, turn, 32)[0]
    moved = POSITIONS * 2 + np.float32([[0, 0, i] for i in (0, 0, 1, 0)])
    (tmp_path / "toy.bin").write_bytes(made.blob[:12] + moved.tobytes() + made.blob[60:])
    assert "anew" in prepare_object("toy", source, out, turn, 32)[0]


def test_own_images_are_copied_instead_of_drawn_but_only_as_a_full_set(tmp_path):
    source = tmp_path / "ball.ply"
    BALL.export(source)
    own = tmp_path / "own"
    own.mkdir()
    for view in VIEW_NAMES:
        Image.new("RGB", (8, 8), (9, 9, 9)).save(own / f"ball_{view}.jpg")
    done, _ = prepare_object("ball", source, tmp_path / "out", np.eye(3), 32, own)
    assert "6 images copied" in done
    assert (tmp_path / "out" / "input_images" / "ball_top.jpg").read_bytes() == (own / "ball_top.jpg").read_bytes()
    (own / "ball_top.jpg").unlink()
    with pytest.raises(UserError, match="has no top image of ball"):
        prepare_object("ball", source, tmp_path / "other", np.eye(3), 32, own)


@pytest.mark.parametrize("options, expected", [
    (["--up", "z", "--front", "-z"], "perpendicular"), (["--up", "w"], "--up w"),
    (["--image_size", "3"], "--image_size 3"), (["--images_dir", "nowhere"], "nowhere"),
    (["--nonsense"], "--nonsense")])
def test_bad_options_are_one_line_and_exit_code_2(tmp_path, options, expected):
    export_formats(tmp_path / "in")
    done = run(tmp_path / "in", *options)
    assert done.returncode == 2 and expected in done.stderr and done.stderr.count("\n") == 1


def test_a_folder_without_readable_meshes_is_exit_code_2(tmp_path):
    done = run(tmp_path / "nowhere")
    assert done.returncode == 2 and "nowhere: no such folder" in done.stderr
    (tmp_path / "bad.glb").write_text("nothing")
    done = run(tmp_path, "--output", tmp_path / "out")
    assert done.returncode == 2 and "no mesh could be prepared" in done.stderr and "bad.glb" in done.stderr


def test_folders_are_listed_once_however_many_objects_there_are(tmp_path, monkeypatch, capsys):
    listed, true = [], utils.prepare_dataset.images_by_id
    monkeypatch.setattr(utils.prepare_dataset, "images_by_id", lambda folder: listed.append(folder) or true(folder))
    for name in ("one", "two", "three"):
        trimesh.creation.box((1, 2, 3)).export(tmp_path / f"{name}.ply")
    for _ in range(2):
        utils.prepare_dataset.main([str(tmp_path), "--output", str(tmp_path / "data"), "--image_size", "32"])
    assert len(listed) == 2, "once a run"
    assert capsys.readouterr().out.count("there already") == 3
