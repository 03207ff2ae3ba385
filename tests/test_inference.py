"""inference.py: six images to a mesh on disk, with the shipped weights, and one clear line for everything wrong."""
import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

import inference
from config import VIEW_NAMES, UserError
from models import field_model, texture_model
from models.geometry_model import load_geometry_model
from tests.multiview.test_visual_hull import solid_mesh
from tests.test_bad_input_images import tetrahedron
from utils.evaluation.mesh_topology import topology
from utils.evaluation.metrics import image_scores
from utils.io.chosen_checkpoint import choose_geometry, default_checkpoint
from utils.mesh import smoothing
from utils.mesh.mesh_io import read_mesh
from utils.multiview import photo_consistency, texture_projection
from utils.output.provenance import named_hash
from utils.rendering import seams, uv_atlas
from utils.rendering.cameras import VIEW_BASES, VIEW_CAMERAS, VIEW_EXTENT
from utils.rendering.rasterizer import render, render_views
from utils.views import six_views
from utils.views.six_views import read_framed_views

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "data" / "examples"
EXAMPLE = EXAMPLES / "shoe_900002"
PHOTOGRAPHS = EXAMPLES / "photo_shoe"
COARSE = ("--grid", "64", "--faces", "5000")  # where the shape is not looked at closely
AS_SHOE = (*COARSE, "--texture_size", "512", "--format", "obj,glb")


@pytest.fixture
def views(tmp_path):
    """A copy of one shipped example that a test may damage."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "my_shoe"))


def run(views, output, *options):
    inference.main([str(views), "--output", str(output), "--texture_size", "128", "--device", "cpu", *options])


@pytest.fixture(scope="module")
def shoe(tmp_path_factory):
    """One shipped example as the command makes it, by every step: its views, its folder of results, what was printed."""
    views = Path(shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("shoe") / "my_shoe"))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run(views, views.parent / "out", *AS_SHOE)
    return SimpleNamespace(views=views, folder=views.parent / "out" / "my_shoe", said=said.getvalue())


@pytest.mark.parametrize("sizes, said", [
    ({"grid": "64"}, "--grid 64: choose 16 to 512"), ({"grid": 3}, "--grid 3"), ({"faces": -1}, "--faces -1"),
    ({"texture_size": 1.5}, "--texture_size 1.5"), ({"background": "nope"}, "--background nope"),
])
def test_what_no_option_could_be_is_refused_in_python_too(sizes, said):
    with pytest.raises(UserError, match=said):
        inference.Reconstructor(device="cpu", **sizes)


@pytest.mark.parametrize("views, masks, said", [
    ([str(EXAMPLE / "front.png")], None, "not as a list"),
    ({name: EXAMPLE / f"{name}.png" for name in VIEW_NAMES}, {"top": np.zeros((8, 8), np.uint8)}, "no mask for front"),
    ({name: EXAMPLE / f"{name}.png" for name in VIEW_NAMES},
     {name: np.zeros((8, 8), np.uint8) for name in (*VIEW_NAMES, "frnt")}, "no image for frnt"),
    ({name: EXAMPLE / f"{name}.png" for name in VIEW_NAMES} | {"top": EXAMPLE / "none.png"}, None,
     "none.png: the top image cannot be read .no such file"),
])
def test_views_and_masks_that_do_not_fit_are_one_line_in_python_too(views, masks, said):
    with pytest.raises(UserError, match=said):
        inference.Reconstructor(device="cpu").reconstruct(views, masks)


@pytest.mark.parametrize("names, said", [([], "no image for the views front, back"), (VIEW_NAMES[:2], "at least 3 are needed")])
def test_too_few_views_are_one_line_in_python_too(names, said):
    with pytest.raises(UserError, match=said):
        inference.Reconstructor(device="cpu", allow_missing=True).reconstruct({name: EXAMPLE / f"{name}.png" for name in names})


@pytest.fixture
def hull_alone(monkeypatch):
    """Shapes are the visual hull, painted: for what is asked of options, files and messages, which are made as always."""
    whole = inference.reconstruct_field
    monkeypatch.setattr(inference, "reconstruct_field", lambda model, reader, grid, faces, texture_size, without, stage: whole(
        model, reader, grid, faces, texture_size, frozenset(inference.STEPS), stage))


def shipped_models():
    """The shipped point decoder and texture model, and the size of the images that both read."""
    geometry, checkpoint = load_geometry_model(default_checkpoint("geometry"))
    return geometry, texture_model.load_texture_model(default_checkpoint("texture"))[0], checkpoint["image_size"]


def script(*arguments):
    return subprocess.run([sys.executable, str(ROOT / "inference.py"), *map(str, arguments)], capture_output=True,
                          text=True, timeout=120)


def test_obj_opens_in_trimesh_closed_and_with_a_texture_that_is_not_constant(shoe):
    folder = shoe.folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "my_shoe.glb", "my_shoe.mtl", "my_shoe.obj", "my_shoe.png", "my_shoe_masks.png", "my_shoe_preview.png",
        "my_shoe_report.json", "my_shoe_viewer.html"]
    mesh = trimesh.load(folder / "my_shoe.obj", process=False)
    merged = trimesh.Trimesh(mesh.vertices, mesh.faces)  # process=True joins what texture seams split
    assert merged.is_watertight and merged.is_winding_consistent and merged.volume > 0
    assert np.abs(mesh.vertices).max() < 1.5
    assert np.asarray(mesh.visual.material.image.convert("RGB")).std(axis=(0, 1)).max() > 5
    assert Image.open(folder / "my_shoe_preview.png").size == (7 * 256, 2 * 256)
    assert f"{len(merged.vertices)} vertices, {len(merged.faces)} faces" in shoe.said
    assert "my_shoe: closed, 1 part, " in shoe.said
    report = json.loads((folder / "my_shoe_report.json").read_text())
    assert report["mesh"]["closed"] and report["mesh"]["volume"] == pytest.approx(merged.volume, rel=1e-4)
    assert report["mesh"]["area"] == pytest.approx(merged.area, rel=1e-4) and report["mesh"]["mirrored_faces"] == 0
    assert 0 < report["mesh"]["seam_step_95"] < 2 and report["mesh"]["seam_step_max"] < 30, "of 255"
    assert report["mesh"]["handles"] == (2 - merged.euler_number) / 2
    assert report["agreement"]["outline_mean_px"] < 0.5 and report["agreement"]["psnr_db"] > 18
    assert report["options"]["texture_size"] == 512 and report["device"] == "cpu" and report["seed"] is None
    assert report["checkpoints"] == [named_hash(default_checkpoint("geometry_field"))]
    assert {view: item["file"] for view, item in report["inputs"].items()} == {view: f"{view}.png" for view in VIEW_NAMES}


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(shoe, tmp_path):
    run(shoe.views, tmp_path, *AS_SHOE)
    for path in shoe.folder.iterdir():
        assert path.read_bytes() == (tmp_path / "my_shoe" / path.name).read_bytes(), path.name


def test_the_written_mesh_drawn_again_shows_the_six_images_it_was_made_from(shoe):
    mesh, warnings = read_mesh(shoe.folder / "my_shoe.obj")
    drawn = np.stack(list(render_views(mesh, 256).values()))
    given = read_framed_views({name: shoe.views / f"{name}.png" for name in VIEW_NAMES}, 256, "my_shoe")[0]
    given = np.concatenate([given.images, given.masks[..., None]], axis=-1)
    given = np.round(255 * given).astype(np.uint8)
    scores = [image_scores(mine[None], true[None]) for mine, true in zip(drawn, given)]
    assert not warnings and min(score["iou"] for score in scores) > 0.97
    assert min(score["psnr"] for score in scores) > 18 and np.mean([score["psnr"] for score in scores]) > 21
    assert image_scores(drawn, given[[1, 0, 3, 2, 5, 4]])["psnr"] < 15, "opposite views in exchange"


def test_glb_is_binary_gltf_and_holds_the_same_surface(shoe):
    path = shoe.folder / "my_shoe.glb"
    assert path.read_bytes()[:4] == b"glTF"
    glb, obj = trimesh.load(path, force="mesh"), trimesh.load(shoe.folder / "my_shoe.obj", force="mesh")
    assert np.isclose(glb.area, obj.area, rtol=1e-4)
    assert np.allclose(glb.bounds, obj.bounds, atol=1e-4)


@pytest.mark.slow
def test_all_formats_at_once_for_a_printer_with_a_warning_of_walls_that_are_too_thin(views, tmp_path, capsys, hull_alone):
    run(views, tmp_path, *COARSE, "--format", "stl, GLB,3mf", "--longest_edge_mm", "280", "--min_wall_mm", "60", "--no_viewer")
    assert sorted(path.name for path in (tmp_path / "my_shoe").glob("my_shoe*")) == [
        "my_shoe.3mf", "my_shoe.glb", "my_shoe.stl", "my_shoe_masks.png", "my_shoe_preview.png", "my_shoe_report.json"]
    said = capsys.readouterr().out
    assert re.search(r"my_shoe: walls as thin as \d+\.\d\d mm, \d+\.\d % of the surface under --min_wall_mm 60", said)
    solid = trimesh.load(tmp_path / "my_shoe" / "my_shoe.stl")
    assert solid.is_watertight and solid.bounds[0, 2] == 0 and solid.extents.max() == pytest.approx(280, abs=0.01)
    assert solid.extents.argmax() == 1, "a shoe lies along y of a printer's bed"
    report = json.loads((tmp_path / "my_shoe" / "my_shoe_report.json").read_text())
    assert report["print"]["size_mm"] == pytest.approx(solid.extents[[0, 2, 1]].tolist(), abs=0.01)
    assert report["print"]["min_wall_mm"] == 60 and report["options"]["format"] == ["stl", "glb", "3mf"]


@pytest.mark.slow
def test_texture_of_the_file_shows_on_the_mesh_what_the_model_says(views, tmp_path):
    """A vertex's texture coordinate, looked up in the written image, gives the model's color at that vertex."""
    geometry, texture, size = shipped_models()
    run(views, tmp_path / "out", "--texture_size", "256", "--geometry", "points")
    mesh = trimesh.load(tmp_path / "out" / "my_shoe" / "my_shoe.obj", process=False)
    read = mesh.visual.material.to_color(mesh.visual.uv)[:, :3] / 255.0
    images = torch.from_numpy(read_framed_views(views, size)[0].images).permute(0, 3, 1, 2)[None]
    with torch.no_grad():
        positions = torch.tensor(np.asarray(mesh.vertices), dtype=torch.float32)[None]
        said = texture(images, positions)[0].numpy()
    # Half a texel off across a color edge differs, so the median and the bulk are compared.
    difference = np.abs(read - said).max(1)
    assert np.median(difference) < 0.02 and np.quantile(difference, 0.9) < 0.1


@pytest.mark.slow
def test_a_folder_of_many_objects_gives_one_mesh_each_and_a_bad_one_costs_no_other(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inference, "reconstruct_field", tetrahedron)
    monkeypatch.setattr(inference.Reconstructor, "reader", lambda self, files, name, masks=None: inference.ViewReader(
        files, name, masks, self.background, calibrated=False))  # nor are cameras asked for
    folder = tmp_path / "many"
    folder.mkdir()
    for number in ("a", "b", "c"):
        for path in EXAMPLE.iterdir():
            shutil.copy(path, folder / f"{number}_{path.name}")
    broken = next(folder.glob("b_top.*"))
    broken.write_bytes(broken.read_bytes()[:100])
    next(folder.glob("c_left.*")).unlink()
    with pytest.raises(UserError, match="left out"):
        run(folder, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a"]
    printed = capsys.readouterr()
    assert "per minute" not in printed.out and "left out" not in printed.out  # one object says nothing of many
    assert printed.err.splitlines()[0] == "left out: c: missing view left" and f"left out: {broken}: " in printed.err
    for path in EXAMPLE.iterdir():
        shutil.copy(path, folder / f"b_{path.name}")
        shutil.copy(path, folder / f"c_{path.name}")
    run(folder, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b", "c", "index.html"]
    for name in "abc":
        assert sorted(path.name.removeprefix(name) for path in (tmp_path / "out" / name).iterdir()) == [
            ".mtl", ".obj", ".png", "_masks.png", "_preview.png", "_report.json", "_viewer.html"]
    said = capsys.readouterr().out
    assert re.search(r"3 objects, \d+\.\d per minute", said)
    assert sorted(line.split()[0] for line in said.split("per minute\n")[1].splitlines()[1:4]) == ["a", "b", "c"]
    assert (tmp_path / "out" / "index.html").read_text().count("_viewer.html") == 3
    assert "replaced" not in said, "the first one came out as it was"
    run(folder, tmp_path / "out", "--format", "ply", "--no_viewer")
    said = capsys.readouterr().out
    for name in "abc":
        assert (f"{name}: the earlier result in {tmp_path / 'out' / name} is replaced; {name}.mtl, {name}.obj, {name}.png, "
                f"{name}_viewer.html of it stay\n") in said


@pytest.mark.parametrize("damage, words", [
    ("missing", ["left"]), ("doubled", ["front"]), ("unreadable", ["top"]), ("misnamed", ["bottom"]),
    pytest.param("unreadable by the command itself", ["top"], marks=pytest.mark.slow)])
def test_a_wrong_view_is_named_in_one_line_with_exit_code_2(views, tmp_path, damage, words, run_script_main):
    suffix = next(views.iterdir()).suffix
    if damage == "missing":
        (views / f"left{suffix}").unlink()
    elif damage == "doubled":
        Image.open(views / f"front{suffix}").convert("RGB").save(views / "front.jpeg")
    elif damage.startswith("unreadable"):
        (views / f"top{suffix}").write_bytes(b"no image")
    else:
        (views / f"bottom{suffix}").rename(views / f"botom{suffix}")
    arguments = (views, "--output", tmp_path / "out", "--device", "cpu", "--texture_size", 64)
    if "command" in damage:  # as a user starts it; what is unreadable is noticed last
        result = script(*arguments)
        code, out, err = result.returncode, result.stdout, result.stderr
    else:
        code, out, err = run_script_main(inference, *arguments)
    assert code == 2 and "Traceback" not in err
    said, = err.splitlines()
    assert said.startswith("error: ") and all(word in said for word in words) and "left out" not in out
    assert not list(tmp_path.glob("out/**/*.obj"))


def test_wrong_options_and_checkpoints_are_named(views, tmp_path):
    shipped = ROOT / "checkpoints" / "pretrained"
    cut = tmp_path / "cut.pth"
    cut.write_bytes((shipped / "geometry_best.pth").read_bytes()[:10000])
    for options, words in [
            (["--geometry_checkpoint", str(tmp_path / "none.pth")], "none.pth"),
            (["--geometry_checkpoint", str(cut)], "cut.pth"),
            (["--geometry_checkpoint", str(shipped / "texture_best.pth")], "texture"),
            (["--texture_checkpoint", str(shipped / "geometry_best.pth"), "--geometry", "points"], "holds a geometry"),
            (["--texture_checkpoint", str(shipped / "texture_best.pth")], "takes its colors from the images"),
            (["--grid", "4"], "grid"),
            (["--faces", "3"], "faces"),
            (["--device", "tpu"], "tpu"),
            (["--texture_size", "1"], "texture_size"),
            (["--format", "obj,fbx"], "format fbx"),
            (["--format", ""], "format"),
            (["--format", "glb", "--up", "z"], "up: is for obj and ply"),
            (["--format", "stl", "--texture_format", "jpg"], "texture_format: is for"),
            (["--min_wall_mm", "1"], "longest_edge_mm"),
            (["--longest_edge_mm", "0"], "longest_edge_mm 0"),
            (["--longest_edge_mm", "nan"], "longest_edge_mm nan"),
            (["--geometry", "guess"], "geometry"),
            (["--color", "red"], "--color")]:
        with pytest.raises(UserError, match=words):
            run(views, tmp_path / "out", *options)
    with pytest.raises(UserError, match="nowhere"):
        run(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_models_of_two_image_sizes_work_together(views, tmp_path, monkeypatch):
    """Who has trained only a geometry of his own, at another size, still gets a mesh with the shipped colors."""
    load_texture, seen = texture_model.load_texture_model, []

    def other_size(path):
        texture, checkpoint = load_texture(path)
        texture.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
        return texture, checkpoint | {"image_size": 2 * checkpoint["image_size"]}

    monkeypatch.setattr(texture_model, "load_texture_model", other_size)
    run(views, tmp_path / "out", "--geometry", "points")
    assert (tmp_path / "out" / "my_shoe" / "my_shoe.obj").is_file()
    assert seen == [224]


@pytest.mark.slow
def test_own_masks_decide_what_is_seen(views, tmp_path, capsys, hull_alone):
    """A busy background, which is noted without masks, gives with masks what the plain image gives."""
    masks = tmp_path / "masks"
    masks.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    run(views, tmp_path / "plain", *COARSE)
    for path in sorted(views.iterdir()):
        picture = Image.open(path).convert("RGBA")
        assert picture.getextrema()[3][0] == 0
        picture.getchannel("A").save(masks / f"my_shoe_{path.stem}.png")
        busy = Image.fromarray(noise[:picture.height, :picture.width])
        busy.paste(picture, mask=picture.getchannel("A"))
        path.unlink()
        busy.save(path.with_suffix(".png"))
    capsys.readouterr()
    run(views, tmp_path / "busy", *COARSE, "--background", "border")
    said = capsys.readouterr().out
    assert "my_shoe: " in said and "is not plain" in said and "--mask_dir" in said and "--background model" in said
    run(views, tmp_path / "masked", "--mask_dir", str(masks), *COARSE)
    assert "is not plain" not in capsys.readouterr().out
    plain, busy, masked = (trimesh.load(tmp_path / name / "my_shoe" / "my_shoe.obj").volume
                           for name in ("plain", "busy", "masked"))
    assert masked == pytest.approx(plain, rel=1e-3) and busy > 1.1 * plain
    for view in ("back", "bottom"):  # neither picture nor mask
        (views / f"{view}.png").unlink()
        (masks / f"my_shoe_{view}.png").unlink()
    run(views, tmp_path / "four", "--mask_dir", str(masks), "--allow_missing", *COARSE)
    assert "is not plain" not in capsys.readouterr().out and (tmp_path / "four" / "my_shoe" / "my_shoe.obj").is_file()


def test_masks_that_are_missing_or_do_not_fit_are_named_by_view_with_exit_code_2(views, tmp_path, run_script_main):
    masks = tmp_path / "masks"
    masks.mkdir()
    for view in VIEW_NAMES:
        Image.new("L", (10, 20), 255).save(masks / f"{view}.png")
    rest = ["--output", tmp_path / "out", "--device", "cpu", "--texture_size", 64, "--mask_dir"]
    code, _, err = run_script_main(inference, views, *rest, masks)
    assert code == 2 and "the mask of the front view is 10 x 20 pixels" in err and err.count("\n") == 1
    (masks / "left.png").unlink()
    code, _, err = run_script_main(inference, views, *rest, masks)
    assert code == 2 and "no mask for the left view of my_shoe" in err and err.startswith("error: ")
    code, _, err = run_script_main(inference, views, *rest, tmp_path / "nowhere")
    assert code == 2 and "--mask_dir" in err and "nowhere: no such folder" in err
    assert not list(tmp_path.glob("out/**/*.obj"))


@pytest.mark.slow
def test_the_background_option_is_passed_on_and_excludes_own_masks(views, tmp_path, monkeypatch, run_script_main, hull_alone):
    """The network's answer is that of the border here, which is right: what it sees in photographs is asked below."""
    rest = ["--output", tmp_path / "out", "--device", "cpu", "--texture_size", 64, *COARSE]
    asked = []

    def segment(rgb):
        asked.append(rgb.shape)
        found = six_views.mask_from_border(rgb)
        return found, found.mask.astype(np.float32)

    monkeypatch.setattr(six_views, "segment", segment)
    for path in sorted(views.iterdir()):
        picture = Image.open(path).convert("RGBA")
        Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB").save(path)
    for given, images in (([], 0), (["--background", "border"], 0), (["--background", "model"], 6),
                          (["--remove_background"], 6)):
        asked.clear()
        code, _, err = run_script_main(inference, views, *rest, *given)
        assert (code, err, len(asked)) == (0, "", images), given
    code, _, err = run_script_main(inference, views, *rest, "--background", "model", "--mask_dir", tmp_path)
    assert code == 2 and "not allowed with" in err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_absent_device_is_an_error(views, tmp_path):
    with pytest.raises(UserError, match="cuda"):
        run(views, tmp_path / "out", "--device", "cuda")


def test_help_and_option_errors_load_no_torch():
    code = ("import sys, inference\n"
            "from config import UserError\n"
            "try: inference.parse_options(['--nonsense'])\n"
            "except UserError as error: print(error)\n"
            "print(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)))")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "--nonsense" in result.stdout and result.stdout.strip().endswith("[]")


@pytest.mark.slow
def test_shipped_weights_recognize_held_out_shoes_by_shape_and_color():
    """Of 12 shoes that were not trained on, each reconstruction is nearest to its own shoe for most of them."""
    from models.losses import chamfer_distance
    from utils.mesh.mesh import sample_surface, textured_mesh
    from utils.rendering.rasterizer import over_white, render_views
    from utils.training_data.synthetic.shoes import make_shoe

    geometry, texture, size = shipped_models()
    images, points, colors = [], [], []
    for seed in range(910000, 910012):
        mesh = textured_mesh(*make_shoe(seed)[:5])
        views = render_views(mesh, size)
        images.append(np.stack([over_white(views[name]) for name in VIEW_NAMES]))
        sampled, _, color = sample_surface(mesh, 2048, np.random.default_rng(seed))
        points.append(sampled)
        colors.append(color)
    images = torch.from_numpy(np.stack(images)).permute(0, 1, 4, 2, 3).float() / 255
    points, colors = torch.from_numpy(np.stack(points)), torch.from_numpy(np.stack(colors))
    with torch.no_grad():
        vertices = geometry(images)
        predicted = texture(images, points)  # the colors it gives at the true surface, to judge color by itself
    shape = torch.stack([torch.stack([chamfer_distance(v[None], p[None]) for p in points]) for v in vertices])
    color = (predicted - colors).abs().mean((1, 2))
    other = (predicted.roll(1, 0).mean(1, keepdim=True) - colors).abs().mean((1, 2))
    mean_shape = chamfer_distance(vertices.mean(0, keepdim=True).expand_as(vertices), points)
    assert (shape.argmin(1) == torch.arange(12)).sum() >= 9
    assert shape.diagonal().mean() < 0.5 * mean_shape
    assert color.mean() < 0.8 * other.mean()


def test_a_decoder_and_a_checkpoint_of_the_other_one_are_refused(views, tmp_path, run_script_main):
    code, _, err = run_script_main(inference, views, "--output", tmp_path / "out", "--geometry", "points",
                                   "--geometry_checkpoint", choose_geometry("field")[0])
    assert code == 2 and "--geometry points" in err and "geometry_field_best.pth" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options, files", [
    ((), ["geometry_field_best.pth"]), (("--geometry", "field"), ["geometry_field_best.pth"]),
    (("--geometry", "points"), ["geometry_best.pth", "texture_best.pth"])], ids=["default", "field", "points"])
def test_each_checkpoint_is_read_once(options, files, views, tmp_path, monkeypatch, run_script_main):
    read, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda path, **how: read.append(Path(path).name) or load(path, **how))
    (tmp_path / "a file").touch()  # where nothing can be written: the run ends as soon as the models are there
    code, _, err = run_script_main(inference, views, "--output", tmp_path / "a file", "--texture_size", "128", *options)
    assert code == 2 and "a file: it is a file" in err and read == files


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.slow
def test_a_terminal_shows_what_is_being_done_on_one_line_and_a_log_holds_nothing_of_it(views, tmp_path, monkeypatch, capsys,
                                                                                      hull_alone):
    options = ["--grid", "24", "--faces", "500", "--no_viewer"]
    screen = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", screen)
        run(views, tmp_path / "out", *options)
    assert "\n" not in screen.getvalue(), "one line, replaced again and again"
    shown = [line.strip() for line in screen.getvalue().split("\r")]
    steps = list(dict.fromkeys(line for line in shown if line.startswith("my_shoe: ")))
    assert shown.index("loading models ...") < shown.index(steps[0])
    assert steps == [f"my_shoe: {step} ..." for step in (*inference.STAGES, inference.WRITING)]
    assert shown[-1] == "", "it is gone at the end"
    at_terminal = capsys.readouterr()
    run(views, tmp_path / "again", *options)
    log = capsys.readouterr()
    assert log.err == at_terminal.err == "" and "..." not in log.out
    assert re.sub(r"again|out|[\d.]+ s\b", "", log.out) == re.sub(r"again|out|[\d.]+ s\b", "", at_terminal.out)


def test_of_several_objects_the_terminal_names_the_one_at_work_and_keeps_what_was_said(tmp_path, monkeypatch, hull_alone):
    for name in "ab":
        shutil.copytree(EXAMPLE, tmp_path / "views" / name)
    (tmp_path / "views" / "b" / "top.png").write_bytes(b"")
    screen = Terminal()
    with monkeypatch.context() as patch, pytest.raises(UserError, match="1 of 2 objects"):
        patch.setattr(sys, "stderr", screen)
        run(tmp_path / "views", tmp_path / "out", "--grid", "24", "--faces", "500", "--no_viewer")
    shown = re.split(r"[\r\n]", screen.getvalue())
    assert {f"a (1 of 2): {inference.STAGES[0]} ...", f"b (2 of 2): {inference.STAGES[0]} ..."} <= {
        line.strip() for line in shown}
    said = [line for line in shown if "left out" in line]
    assert len(said) == 1 and said[0].startswith(f"left out: {tmp_path / 'views' / 'b' / 'top.png'}: ")


@pytest.mark.slow
def test_the_models_that_are_used_are_named_with_the_reason_those_of_points_too(tiny_geometry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = inference.Reconstructor(decoder="points", device="cpu", texture_size=64, cache_dir=tmp_path)
    assert re.fullmatch(r"\S+/pretrained/geometry_best.pth \(shipped, for there is no checkpoints/geometry_best.pth\), "
                        r"of colors: \S+/pretrained/texture_best.pth \(shipped, for there is no checkpoints/texture_best.pth\)",
                        made.models)
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(tiny_geometry, tmp_path / "checkpoints")
    made = inference.Reconstructor(decoder="points", device="cpu", texture_size=64, cache_dir=tmp_path)
    assert made.models.startswith("checkpoints/geometry_best.pth (your own; --geometry_checkpoint ")
    assert "texture_best.pth (shipped, " in made.models
    named = inference.Reconstructor(tiny_geometry, default_checkpoint("texture"), "cpu", texture_size=64,
                                    cache_dir=tmp_path)
    assert named.models.count("(named)") == 2
    assert inference.Reconstructor(device="cpu").models.endswith("geometry_field_best.pth (shipped)")


# ---- As a library ---------------------------------------------------------------------------------------------


def ball_views(size, texture):
    """Six orthographic images of a ball of radius 1 whose color at p is texture(p): (H, W, 4) uint8 arrays by view."""
    steps = (np.arange(size) + 0.5) / size * 2 * VIEW_EXTENT - VIEW_EXTENT
    across, up = np.meshgrid(steps, -steps)
    inside = across**2 + up**2 < 1
    toward = np.sqrt(np.where(inside, 1 - across**2 - up**2, 0))
    views = {}
    for name in VIEW_NAMES:
        points = np.stack([across, up, toward], axis=-1) @ VIEW_BASES[name]
        colors = np.where(inside[..., None], texture(points), 1)
        views[name] = np.round(255 * np.concatenate([colors, inside[..., None]], axis=-1)).astype(np.uint8)
    return views


def waves(points):
    """A smooth pattern that differs everywhere: what photo-consistency can hold on to."""
    return 0.5 + 0.4 * np.sin(7 * points + [0, 2, 4])


@pytest.mark.slow
def test_paths_images_and_arrays_give_what_the_command_writes(views, tmp_path, hull_alone):
    run(views, tmp_path / "out", "--grid", "32", "--faces", "1000")
    written = read_mesh(tmp_path / "out" / "my_shoe" / "my_shoe.obj")[0]
    files = {name: views / f"{name}.png" for name in VIEW_NAMES}
    model = inference.Reconstructor(grid=32, faces=1000, texture_size=128, device="cpu")
    for given in (files, {name: Image.open(path) for name, path in files.items()},
                  {name: np.asarray(Image.open(path)) for name, path in files.items()}):
        mesh = model.reconstruct(given, name="my_shoe")
        assert np.allclose(mesh.vertices[mesh.faces], written.vertices[written.faces], atol=1e-6)
        assert np.array_equal(mesh.texture, written.textures[0]) and mesh.notes == []
    path = mesh.write(tmp_path / "mine.glb")
    assert len(trimesh.load(path, force="mesh").faces) == len(mesh.faces)
    with pytest.raises(UserError, match=r"\.fbx"):
        mesh.write(tmp_path / "mine.fbx")
    with pytest.raises(UserError, match="left"):
        model.reconstruct({name: path for name, path in files.items() if name != "left"})
    with pytest.raises(UserError, match="front view is neither"):
        model.reconstruct(files | {"front": 7})
    with pytest.raises(UserError, match="--without paint"):
        inference.Reconstructor(without={"paint"})


@pytest.mark.slow
def test_what_was_noticed_about_the_views_stands_in_the_notes(unpainted):
    views = ball_views(128, waves)
    padded = {name: np.pad(view, ((40, 0), (40, 0), (0, 0))) for name, view in views.items()}
    notes = inference.Reconstructor(grid=32, faces=1000, texture_size=64, device="cpu",
                                    without={"network", "photo_consistency"}).reconstruct(padded).notes
    assert len(notes) == 1 and "cut to the object" in notes[0]


BALL = {"grid": 48, "faces": 4000, "texture_size": 64, "device": "cpu"}  # how a patterned ball is reconstructed


def leave_unpainted(patch):
    """For what is asked of shapes alone: the texture, which is made last, shows nothing, and a ball hides nothing of itself."""
    patch.setattr(texture_projection, "DEPTH_SIZE", 256)
    patch.setattr(uv_atlas, "make_atlas", lambda vertices, faces, size: uv_atlas.Atlas(
        np.zeros((1, 2), np.float32), np.zeros_like(faces), *np.zeros((2, 1), int), np.float32([[1, 0, 0]])))
    patch.setattr(texture_projection, "surface_colors", lambda *_: np.zeros((1, 3)))
    patch.setattr(seams, "erase_seams", lambda texture, *_: texture)


@pytest.fixture
def unpainted(monkeypatch):
    leave_unpainted(monkeypatch)


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    """Reader of six images of a patterned ball, whose shape is known: read and calibrated once."""
    folder = tmp_path_factory.mktemp("ball")
    for name, image in ball_views(256, waves).items():
        Image.fromarray(image).save(folder / f"{name}.png")
    return inference.ViewReader({name: folder / f"{name}.png" for name in VIEW_NAMES}, "ball")


@pytest.fixture(scope="module")
def whole_ball(ball):
    """The ball by every step of the method, and the stages that were announced meanwhile."""
    stages = []
    with pytest.MonkeyPatch.context() as patch:
        leave_unpainted(patch)
        return inference.Reconstructor(**BALL).reconstruct_from(ball, stages.append), stages


@pytest.mark.slow
def test_each_stage_is_announced_once_and_in_its_order(ball, whole_ball, tiny_geometry, tmp_path):
    assert tuple(whole_ball[1]) == inference.STAGES
    model, stages = inference.Reconstructor(tiny_geometry, texture_size=64, device="cpu", cache_dir=tmp_path), []
    model.reconstruct_from(ball, stages.append)
    assert stages == ["reading images", "painting"], "of the point decoder"


def test_every_step_of_the_method_is_in_the_pipeline(ball, whole_ball, unpainted):
    """The hull of six views of a ball has edges; each step takes some away."""
    def distance(mesh):
        return np.abs(np.linalg.norm(mesh.vertices, axis=1) - 1).mean()

    whole = distance(whole_ball[0])
    hull, moved, unmoved = (
        distance(inference.Reconstructor(**BALL, without=without).reconstruct_from(ball))
        for without in ({"network", "silhouettes", "photo_consistency"}, {"network", "silhouettes"}, {"photo_consistency"}))
    assert whole < 0.02 < hull
    assert moved < 0.75 * hull, "the surface is not moved to where the images agree"
    assert unmoved < 0.75 * hull, "the network carves nothing from the hull"
    assert whole < 0.9 * unmoved, "the surface that the network carved is not moved"


@pytest.mark.slow
def test_silhouettes_are_held_and_pits_closed_whatever_the_network_says(ball, monkeypatch, unpainted):
    """A network that leaves half the ball out, and another that drills a narrow hole into it."""
    model = inference.Reconstructor(**BALL, without={"photo_consistency"})

    def half(network, maps, axes, hull, *_):
        return np.where(axes[0][:, None, None] > 0, hull, -0.1).astype(np.float32)

    def drilled(network, maps, axes, hull, *_):
        hole = np.hypot(axes[0][:, None, None], axes[1][None, :, None]) < 0.07  # too wide for smoothing alone to fill
        return np.where(hole & (axes[2] > 0), -0.1, np.minimum(hull, 0.1)).astype(np.float32)

    monkeypatch.setattr(field_model, "field_on_grid", half)
    assert model.reconstruct_from(ball).vertices[:, 0].min() < -0.95
    loose = inference.Reconstructor(**BALL, without={"photo_consistency", "silhouettes"}).reconstruct_from(ball)
    assert loose.vertices[:, 0].min() > -0.2
    monkeypatch.setattr(field_model, "field_on_grid", drilled)
    mesh = model.reconstruct_from(ball)
    axis = np.hypot(*mesh.vertices[:, :2].T) < 0.15
    assert mesh.vertices[axis & (mesh.vertices[:, 2] > 0), 2].min() > 0.9, "the drilled hole is still there"


@pytest.mark.slow
def test_the_contours_of_the_result_are_fitted_to_the_silhouettes(ball, monkeypatch, unpainted):
    """A last step that had shrunk the surface is made good, and not where silhouettes are left out."""
    smooth = smoothing.thin_plate_smooth
    monkeypatch.setattr(smoothing, "thin_plate_smooth", lambda vertices, *rest: 0.98 * smooth(vertices, *rest))
    fitted, short = (inference.Reconstructor(**BALL, without={"photo_consistency", "network", *more}).reconstruct_from(ball)
                     for more in ((), ("silhouettes",)))
    assert np.abs(short.vertices).max(axis=0).max() < 0.99 < np.abs(fitted.vertices).max(axis=0).min()


@pytest.mark.slow
def test_smoothing_moves_no_vertex_of_a_box_by_more_than_two_pixels(monkeypatch, unpainted):
    """All of it lies on the hull, whose edges and corners the silhouettes fix."""
    smooth, moves = smoothing.thin_plate_smooth, []

    def watched(vertices, *rest):
        after = smooth(vertices, *rest)
        moves.append(np.linalg.norm(after - vertices, axis=1).max())
        return after

    monkeypatch.setattr(smoothing, "thin_plate_smooth", watched)
    views = render_views(solid_mesh(trimesh.creation.box([2, 1.2, 0.8])), 256)
    inference.Reconstructor(**BALL, without={"network", "photo_consistency"}).reconstruct(views)
    assert len(moves) == 2 and max(moves) < 2 * (2 * VIEW_EXTENT / 256)


@pytest.mark.slow
def test_a_tunnel_that_the_network_is_unsure_of_is_closed(ball, monkeypatch, unpainted):
    def bored(network, maps, axes, hull, *_):
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)  # along the diagonal no silhouette shows it
        aside = np.linalg.norm(points - points.mean(axis=-1, keepdims=True), axis=-1)
        return np.where(aside < 0.25, -0.01, np.minimum(hull, 0.1)).astype(np.float32)

    monkeypatch.setattr(field_model, "field_on_grid", bored)
    for without, handles in (({"photo_consistency"}, 0), ({"photo_consistency", "handles"}, 1)):
        mesh = inference.Reconstructor(**BALL, without=without).reconstruct_from(ball)
        assert topology(mesh.vertices, mesh.faces).handles == handles


@pytest.mark.slow
def test_a_view_that_was_exposed_less_colors_its_side_no_darker():
    def front_beside_back(views):
        mesh = inference.Reconstructor(grid=48, faces=4000, texture_size=128, device="cpu",
                                       without={"photo_consistency", "network"}).reconstruct(views)
        front, back = (render_views(mesh.as_mesh(), 128)[name][44:84, 44:84, :3].mean() for name in ("front", "back"))
        return front / back

    views = ball_views(256, waves)
    darker = views["front"].copy()
    darker[..., :3] = np.round(0.7 * darker[..., :3])
    assert front_beside_back(views | {"front": darker}) == pytest.approx(front_beside_back(views), rel=0.08)


@pytest.mark.slow
def test_colors_come_from_the_sharp_images():
    """Stripes three pixels wide at 768 pixels: at 256 pixels they would be an even gray."""
    def stripes(points):
        return np.repeat((np.floor(points[..., :1] * 768 / (2 * VIEW_EXTENT) / 3) % 2), 3, axis=-1)

    mesh = inference.Reconstructor(grid=48, faces=4000, texture_size=1024, device="cpu",
                                   without={"network", "photo_consistency"}).reconstruct(ball_views(768, stripes))
    drawn = render_views(mesh.as_mesh(), 768)["front"][300:468, 300:468, 0]
    assert drawn.std() > 80, "even gray has none; black and white in equal shares 127"


# ---- Photographs and missing views ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographed(tmp_path_factory):
    """What the command makes of six photographs, in which the network finds the object: reader, mesh, folder, words."""
    output, made = tmp_path_factory.mktemp("photographed"), SimpleNamespace()
    reconstruct_from = inference.Reconstructor.reconstruct_from

    def kept(self, reader, *stage):
        made.reader, made.mesh = reader, reconstruct_from(self, reader, *stage)
        return made.mesh

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
        patch.setattr(inference.Reconstructor, "reconstruct_from", kept)
        run(PHOTOGRAPHS, output, *COARSE)
    made.folder, made.said = output / "photo_shoe", said.getvalue()
    return made


@pytest.mark.slow
def test_photographs_are_calibrated_and_the_masks_that_were_used_are_drawn(photographed):
    """Taken from 2.5 object lengths, or 5 normalized units, give or take a tenth (data/examples/README.md)."""
    said = photographed.said
    assert re.search(r"photo_shoe: cameras: perspective from about 2\.\d object lengths, tilts up to [2-5]\.\d degrees", said)
    assert "do not fit together" not in said, "perspective explains what does not match"
    assert Image.open(photographed.folder / "photo_shoe_masks.png").size[0] > 600
    mesh = trimesh.load(photographed.folder / "photo_shoe.obj", force="mesh")
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).is_watertight


@pytest.mark.slow
def test_found_cameras_reach_the_mesh_and_explain_the_silhouettes(photographed):
    def agreement(mesh):
        cameras = mesh.cameras or VIEW_CAMERAS
        drawn = [render(mesh.as_mesh(), cameras[name], 256)[..., 3] >= 128 for name in VIEW_NAMES]
        return np.mean([(one & (mask >= 0.5)).sum() / (one | (mask >= 0.5)).sum()
                        for one, mask in zip(drawn, photographed.reader.at(256).masks)])

    distances = [camera.inverse_distance for camera in photographed.mesh.cameras.values()]
    assert len(distances) == 6 and np.median(distances) == pytest.approx(0.2, abs=0.04)
    assert agreement(photographed.mesh) > 0.96
    model = inference.Reconstructor(grid=64, faces=5000, texture_size=64, device="cpu",
                                    without={"cameras", "photo_consistency"})
    reader = model.reader(photographed.reader.files, "shoe")
    reader._squares = photographed.reader._squares  # where the object is seen in the same images
    unknown = model.reconstruct_from(reader)
    assert not unknown.cameras and agreement(unknown) < agreement(photographed.mesh) - 0.03


@pytest.mark.slow
def test_a_missing_view_is_an_error_that_names_the_option_and_then_is_done_without(shoe, views, tmp_path, run_script_main,
                                                                                   monkeypatch):
    (views / "bottom.png").unlink()
    rest = ["--output", tmp_path / "out", "--device", "cpu", "--texture_size", 64, *COARSE]
    code, _, err = run_script_main(inference, views, *rest)
    assert code == 2 and "bottom" in err and "--allow_missing" in err
    code, out, err = run_script_main(inference, views, *rest, "--allow_missing")
    assert (code, err) == (0, "") and "without bottom" in out
    five, six = (trimesh.load(folder / "my_shoe.obj") for folder in (tmp_path / "out" / "my_shoe", shoe.folder))
    assert five.volume == pytest.approx(six.volume, rel=0.1)
    for name in ("left", "right"):
        (views / f"{name}.png").unlink()
    monkeypatch.setattr(photo_consistency, "refine_by_photo_consistency", lambda vertices, *_: vertices)
    assert run_script_main(inference, views, *rest, "--allow_missing")[0] == 0, "front, back and top are enough"
    (views / "top.png").unlink()
    code, _, err = run_script_main(inference, views, *rest, "--allow_missing")
    assert code == 2 and "missing view" in err
