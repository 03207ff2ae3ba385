"""evaluate.py: the right objects, the right numbers in the right files, and one clear line for everything wrong."""
import csv
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

import evaluate
from config import VIEW_NAMES, UserError
from load_data import find_objects
from tests.conftest import as_options
from utils.evaluation import contact_sheet, cross_validation, metrics, near_duplicates, report
from utils.evaluation.baselines import true_mesh
from utils.evaluation.protocol import protocol_of
from utils.evaluation.selection import choose_split, trained_on
from utils.io.split_file import write_split
from utils.mesh.mesh import plain_mesh
from utils.multiview import texture_projection
from utils.training_data.splits import split_objects

QUICK = ("--samples", 500, "--picture_size", 32, "--grid", 32, "--faces", 2000, "--device", "cpu")


@pytest.fixture(scope="module", autouse=True)
def coarse_scores():
    """Textures and depth maps as fine as inference's and the tables' cost more than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "TEXTURE_SIZE", 128)
        patch.setattr(metrics, "DEPTH_SIZE", 128)
        patch.setattr(texture_projection, "DEPTH_SIZE", 128)
        yield


def read_csv(path):
    """Rows of a CSV file as dicts."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def folders(shoes):
    return ("--obj_dir", shoes / "OBJs", "--images_dir", shoes / "input_images")


@pytest.fixture(scope="module")
def result(shoes, tmp_path_factory):
    """Results folder of the shipped model and two baselines on two of the five shoes, and what was printed."""
    import contextlib
    import io

    output, printed = tmp_path_factory.mktemp("results"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        evaluate.main(list(map(str, (
            *folders(shoes), *QUICK, "--grid", 24, "--faces", 800, "--validation_fraction", 0.4,
            "--methods", "model,floor,hull",
            "--sheet_rows", 1, "--output", output, "--cache_dir", output / "cache"))))
    return output, printed.getvalue()


# ---- What is written


def test_every_object_and_method_has_a_row_and_the_table_shows_their_mean(result):
    output, printed = result
    rows = read_csv(output / "objects.csv")
    assert len(rows) == 2 * 3 and len({(row["id"], row["method"]) for row in rows}) == 6
    summary = json.loads((output / "summary.json").read_text())["groups"]["all objects"]
    for method in ("model", "floor", "hull"):
        mine = np.array([float(row["cd_l1"]) for row in rows if row["method"] == method])
        assert summary[method]["objects"] == 2
        assert summary[method]["cd_l1"]["mean"] == pytest.approx(mine.mean(), rel=1e-4)
        assert summary[method]["cd_l1"]["median"] == pytest.approx(np.median(mine), rel=1e-4)
        assert f"{mine.mean():.4f}" in printed and f"{mine.mean():.4f}" in (output / "table.md").read_text()


def test_floor_is_perfect_and_the_shipped_model_is_not(result):
    groups = json.loads((result[0] / "summary.json").read_text())["groups"]["all objects"]
    assert groups["floor"]["f_0.1"]["mean"] > 0.95 and groups["floor"]["psnr_novel"]["mean"] == 100
    assert 0.01 < groups["model"]["cd_l1"]["mean"] < 0.2 and groups["model"]["psnr_novel"]["mean"] < 40
    assert groups["floor"]["cd_l1"]["mean"] < groups["model"]["cd_l1"]["mean"]
    assert groups["hull"]["iou_input"]["mean"] > 0.9


def test_protocol_is_stated_with_the_content_of_the_checkpoints(result):
    from utils.io.files import content_hash

    key = content_hash([evaluate.checkpoint_paths("model")[0]])
    for text in (result[1], (result[0] / "table.md").read_text()):
        assert key in text and "500 samples" in text and "26 directions" in text and "objects: 2" in text
        assert "22.5 + 45 i" in text and "0.02, 0.04, 0.1" in text and "no alignment" in text


def test_contact_sheet_shows_as_many_objects_as_asked_for(result):
    with Image.open(result[0] / "contact_sheet.png") as image:
        tile, label = contact_sheet.TILE, contact_sheet.LABEL
        assert image.size == (12 * tile, label + (label + tile))
    with Image.open(result[0] / "contact_sheet_gray.png") as image:
        tile = contact_sheet.GRAY_TILE
        assert image.size == (6 * tile, contact_sheet.LABEL + (contact_sheet.LABEL + tile))


def test_worst_objects_come_first_on_the_sheet(shoes):
    objects, _ = find_objects(shoes / "OBJs", shoes / "input_images")
    pictures, kept = np.zeros((8, 32, 32, 4), np.uint8), []
    truth, mesh = SimpleNamespace(images={"novel": pictures}, scale=1.0), plain_mesh(np.eye(3), [[0, 1, 2]])
    for files, score in zip(objects, (0.5, 0.2, 0.9, 0.1, 0.3)):
        scores = {"f_0.02": score, "f_0.1": 1.0, "cd_l1": 0.1, "psnr_novel": 20.0, "handles": 0.0}
        kept = evaluate.keep_worst(kept, evaluate.Judgment(files, truth, mesh, {"model": scores}, {"model": mesh},
                                                           {"model": pictures}), 3)
    assert [entry[0] for entry in kept] == [0.1, 0.2, 0.3]


@pytest.mark.slow
def test_what_cannot_be_judged_is_left_out_with_exit_code_2(shoes, tmp_path, run_script_main):
    import shutil

    data = tmp_path / "data"
    shutil.copytree(shoes / "OBJs", data / "OBJs")
    shutil.copytree(shoes / "input_images", data / "input_images")
    next((data / "OBJs" / "shoe_00001").glob("*.obj")).write_text("v 0 0 0\n")
    next((data / "input_images").glob("shoe_00002_top.*")).unlink()
    code, out, err = run_script_main(evaluate, *folders(data), *QUICK, "--split", "all", "--methods", "floor",
                                     "--output", tmp_path / "out", "--cache_dir", tmp_path / "cache")
    assert code == 2 and err.endswith("\nerror: 2 objects or reconstructions were left out (see above)\n")
    one, other = sorted(line for line in err.splitlines() if line.startswith("left out: "))
    assert "shoe_00001" in one and other == "left out: shoe_00002: missing view top" and "left out: " not in out
    rows = read_csv(tmp_path / "out" / "objects.csv")
    assert {row["id"] for row in rows} == {"shoe_00000", "shoe_00003", "shoe_00004"}


@pytest.mark.parametrize("methods, said", [("floor", {"shoe_00002"}), ("floor,nearest", {"shoe_00001", "shoe_00002"})])
def test_only_objects_that_are_asked_about_count_as_left_out(methods, said, shoes, tmp_path, capsys):
    split, images = tmp_path / "split.txt", tmp_path / "input_images"
    split.write_text("shoe_00000 test\nshoe_00001 train\nshoe_00002 validation\nshoe_00003 validation\nshoe_00004 train\n")
    images.mkdir()
    for number in (3, 4):
        for path in (shoes / "input_images").glob(f"shoe_0000{number}_*"):
            (images / path.name).symlink_to(path)
    options, _ = evaluate.parse_options(["--obj_dir", str(shoes / "OBJs"), "--images_dir", str(images), "--split_file",
                                         str(split), "--split", "val", "--methods", methods])
    objects, left_out = evaluate.find_data(options)
    lines = [line.split()[2].rstrip(":") for line in capsys.readouterr().err.splitlines()]
    assert set(objects) == {"shoe_00003", "shoe_00004"} and left_out == len(said) and set(lines) == said


@pytest.mark.parametrize("options, words", [
    (["--methods", "modle"], "modle"), (["--methods", "none.pth"], "none.pth"), (["--methods", ","], "at least one"),
    (["--samples", "0"], "--samples"), (["--folds", "1"], "--folds"), (["--methods", "mean_color"], "mean_color"),
    (["--folds", "2", "--leak_check"], "choose one"), (["--obj_dir", "nowhere"], "nowhere"),
    (["--folds", "2", "--", "--num_epochs_stage1", "x"], "num_epochs_stage1"), (["--", "--preset", "fast"], "--preset"),
    (["--folds", "2", "--", "--seed", "3"], "--seed"), (["--validation_fraction", "2"], "--validation_fraction"),
    (["--split", "test"], "--split_file"), (["--split_file", "nowhere.txt"], "nowhere.txt"),
    (["--split_file", "x", "--seed", "3"], "--seed"), (["--method", "other"], "NAME=DIR"),
    (["--method", "hull=."], "the name is taken"), (["--method", "other=nowhere"], "no such folder"),
    (["--method", f"other={__file__}"], "is a file, and a folder is needed"),
    (["--methods", "hull", "--without", "network"], "--without"),
    (["--without", "colors", "--methods", "model"], "colors"),
    (["--folds", "2", "--without", "network"], "leave"),
    (["--views", "front,bak,left", "--methods", "field"], "back"), (["--views", "front,back", "--methods", "field"], "three"),
    (["--views", "front,left,top", "--methods", "field,hull"], "hull wants all"),
    (["--views", "front,left,top", "--methods", "points"], "points wants all"),
    (["--folds", "2", "--views", "front,left,top"], "--views"),
    (["--shoes", "nowhere.txt", "--methods", "floor"], "nowhere.txt")])
def test_bad_options_are_one_line_and_nothing_is_written(shoes, tmp_path, run_script_main, options, words):
    code, _, err = run_script_main(evaluate, *folders(shoes), "--output", tmp_path / "out", *options)
    assert code == 2 and len(err.strip().splitlines()) == 1 and words in err
    assert not list(tmp_path.rglob("*.*"))


# ---- Which objects


def checkpoint(validation_ids, **config):
    return {"validation_ids": validation_ids, "config": {"seed": 4, "validation_fraction": 0.3} | config}


def options(**changes):
    return SimpleNamespace(**{"seed": None, "validation_fraction": None} | changes)


def test_held_out_objects_are_those_that_the_checkpoint_records():
    ids = [f"object_{number}" for number in range(20)]
    train, held_out, _ = choose_split(ids, checkpoint(["object_3", "object_7", "elsewhere"]), options())
    assert held_out == ["object_3", "object_7"] and sorted(train + held_out) == sorted(ids)


def test_without_a_record_the_split_is_that_of_training_with_the_same_settings():
    ids = [f"object_{number}" for number in range(20)]
    assert choose_split(ids, checkpoint(["elsewhere"]), options())[:2] == split_objects(ids, 0.3, 4)
    asked = choose_split(ids, checkpoint(["object_3"]), options(seed=9, validation_fraction=0.5))[:2]
    assert asked == split_objects(ids, 0.5, 9)
    folds = checkpoint([], num_folds=4, fold=2)
    assert choose_split(ids, folds, options())[:2] == split_objects(ids, 0.3, 4, 4, 2)


def test_objects_of_the_training_set_are_recognized():
    ids = ["a", "b", "c", "d"]
    assert trained_on(checkpoint(["a"]), ["a", "b"], ids) == {"b"}
    assert trained_on(checkpoint(["elsewhere"]), ["a", "b"], ids) == set()
    listed = checkpoint(["a"]) | {"training_ids": ["c"]}
    assert trained_on(listed, ["a", "b", "c"], ids) == {"c"}


@pytest.mark.slow
def test_judging_training_objects_is_warned_of(shoes, tiny_geometry, tmp_path, run_script_main):
    code, out, _ = run_script_main(evaluate, *folders(shoes), *QUICK, "--split", "train", "--methods", tiny_geometry,
                                   "--output", tmp_path / "out", "--cache_dir", tmp_path)
    assert code == 0 and "checkpoint does not list what it was trained on, perhaps 4 of them: " in out
    assert "4 of 5 objects to be judged" in out
    code, out, _ = run_script_main(evaluate, *folders(shoes), *QUICK, "--methods", tiny_geometry,
                                   "--output", tmp_path / "out", "--cache_dir", tmp_path)
    assert code == 0 and "warning: " not in out and "1 of 5 objects to be judged" in out


def test_mean_color_paints_the_models_own_shape_and_predicts_it_once(shoes):
    objects, _ = find_objects(shoes / "OBJs", shoes / "input_images")
    calls = []

    def model(files):
        calls.append(files.id)
        return plain_mesh(np.eye(3), [[0, 1, 2]])
    options, _ = evaluate.parse_options([])
    methods = evaluate.make_methods({"model": model}, ["mean_color"], [], options)
    meshes = [methods[name](objects[0]) for name in ("model", "mean_color")]
    assert calls == [objects[0].id] and (meshes[0].vertices == meshes[1].vertices).all()
    with pytest.raises(UserError, match="need training objects"):
        evaluate.make_methods({}, ["nearest"], [], options)


def test_model_is_what_inference_uses_and_field_is_your_own(tmp_path, monkeypatch):
    """A field of one's own that was never compared with the shipped one does not take its place."""
    monkeypatch.chdir(tmp_path)
    shipped = evaluate.ROOT / "checkpoints" / "pretrained" / "geometry_field_best.pth"
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(shipped, tmp_path / "checkpoints")
    assert evaluate.checkpoint_paths("model") == [shipped]
    assert [path.resolve() for path in evaluate.checkpoint_paths("field")] == [tmp_path / "checkpoints" / shipped.name]


def test_a_model_is_given_the_views_that_are_named_and_is_judged_on_all(shoes, monkeypatch):
    import inference

    class Recorded:
        def __init__(self, *_, allow_missing, **__):
            self.allow_missing = allow_missing

        def reader(self, files, name):
            return self.allow_missing, list(files), name

        def reconstruct_from(self, reader):
            return reader
    monkeypatch.setattr(inference, "Reconstructor", Recorded)
    files = find_objects(shoes / "OBJs", shoes / "input_images")[0][0]
    for words, missing, given in ((["--views", "top, front,left"], True, ["front", "left", "top"]),
                                  ([], False, list(VIEW_NAMES))):
        options, _ = evaluate.parse_options(["--methods", "field", *words])
        assert evaluate.reconstructor(["field.pth"], options)(files) == (missing, given, files.id)
        said = [line for line in protocol_of(options, 1, "all", [], 64)["lines"] if line.startswith("given: ")]
        assert said == (["given: front, left, top alone"] if missing else [])


@pytest.mark.slow
def test_reconstructor_gives_what_inference_writes(shoes, tmp_path):
    """The same vertices as the mesh that inference.py writes for the same images."""
    import inference

    files, sizes = find_objects(shoes / "OBJs", shoes / "input_images")[0][0], ("--grid", "32", "--faces", "2000")
    options, _ = evaluate.parse_options(["--cache_dir", str(tmp_path), *sizes, "--device", "cpu"])
    mesh = evaluate.reconstructor(evaluate.checkpoint_paths("model"), options)(files)
    single = tmp_path / "views" / files.id
    single.mkdir(parents=True)
    for view, path in files.images.items():
        (single / f"{view}{path.suffix}").write_bytes(path.read_bytes())
    inference.main([str(single), "--output", str(tmp_path / "out"), "--texture_size", "64", *sizes, "--device", "cpu"])
    written = trimesh.load(tmp_path / "out" / files.id / f"{files.id}.obj", process=False)
    assert np.asarray(written.bounds) == pytest.approx(np.stack([mesh.vertices.min(0), mesh.vertices.max(0)]), abs=1e-4)
    assert mesh.texture.std() > 1


def test_a_split_file_says_what_is_judged_over_several_folders(shoes, tmp_path, run_script_main):
    import shutil

    second = tmp_path / "second"
    for name in ("shoe_00003", "shoe_00004"):
        shutil.copytree(shoes / "OBJs" / name, second / "OBJs" / f"more_{name}")
        for path in (shoes / "input_images").glob(f"{name}_*"):
            (second / "input_images").mkdir(exist_ok=True)
            shutil.copy(path, second / "input_images" / f"more_{path.name}")
    sides = dict.fromkeys([f"shoe_0000{number}" for number in range(5)], "train")
    sides |= {"shoe_00001": "validation", "more_shoe_00003": "test", "more_shoe_00004": "test", "shoe_00002": "test"}
    write_split(tmp_path / "split.txt", sides, "")
    (tmp_path / "shoes.txt").write_text("shoe_00002\n")
    arguments = ("--obj_dir", f"{shoes / 'OBJs'},{second / 'OBJs'}", "--images_dir",
                 f"{shoes / 'input_images'},{second / 'input_images'}", *QUICK, "--methods", "floor", "--cache_dir",
                 tmp_path / "cache", "--shoes", tmp_path / "shoes.txt", "--sheet_rows", 0)
    for split, expected in (("test", {"shoe_00002", "more_shoe_00003", "more_shoe_00004"}), ("val", {"shoe_00001"})):
        code, out, err = run_script_main(evaluate, *arguments, "--split_file", tmp_path / "split.txt", "--split", split,
                                         "--output", tmp_path / split)
        assert code == 0, err
        assert {row["id"] for row in read_csv(tmp_path / split / "objects.csv")} == expected
        assert f"{len(expected)} of 7 objects to be judged" in out
    groups = json.loads((tmp_path / "test" / "summary.json").read_text())["groups"]
    assert groups["shoes"]["floor"]["objects"] == 1 and groups["others"]["floor"]["objects"] == 2
    write_split(tmp_path / "short.txt", {"shoe_00000": "train"}, "")
    code, _, err = run_script_main(evaluate, *arguments, "--split_file", tmp_path / "short.txt", "--output",
                                   tmp_path / "none")
    assert code == 2 and "has no line in" in err and "(6 such objects)" in err


@pytest.mark.slow
def test_steps_are_left_out_and_other_programs_meshes_are_judged_beside(shoes, tmp_path, run_script_main):
    """Each switch gives a row of its own, and the rows differ; the truth handed in as a mesh scores as the floor."""
    objects, _ = find_objects(shoes / "OBJs", shoes / "input_images")
    (tmp_path / "theirs").mkdir()
    mesh = true_mesh(objects[0])
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(tmp_path / "theirs" / f"{objects[0].id}.ply")
    (tmp_path / "split.txt").write_text("".join(
        f"{files.id} {'test' if files is objects[0] else 'train'}\n" for files in objects))
    code, out, err = run_script_main(
        evaluate, *folders(shoes), *QUICK, "--split_file", tmp_path / "split.txt", "--split", "test", "--methods",
        "model,hull,floor", "--without", "network", "--without", "silhouettes,photo_consistency", "--method",
        f"theirs={tmp_path / 'theirs'}", "--output", tmp_path / "out", "--cache_dir", tmp_path / "cache")
    assert code == 0, err
    rows = {row["method"]: row for row in read_csv(tmp_path / "out" / "objects.csv")}
    assert list(rows) == ["model", "model without network", "model without silhouettes + photo_consistency", "theirs",
                          "hull", "floor"]
    assert len({rows[name]["cd_l1"] for name in rows}) >= 5
    assert float(rows["theirs"]["cd_l1"]) == pytest.approx(float(rows["floor"]["cd_l1"]), rel=0.01)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert len(summary["checkpoints"]) == 1 and "LPIPS is not measured" in out


@pytest.mark.slow
def test_photographs_are_judged_after_a_rigid_motion_and_scale(shoes, tmp_path, run_script_main):
    """The truth itself, turned, moved and made smaller: far away as it is, and the floor once it is laid back."""
    pytest.importorskip("utils.evaluation.alignment")
    objects, _ = find_objects(shoes / "OBJs", shoes / "input_images")
    (tmp_path / "theirs").mkdir()
    mesh = true_mesh(objects[0])
    turn = trimesh.transformations.rotation_matrix(np.radians(3), [1, 2, 3])[:3, :3]
    trimesh.Trimesh(0.95 * mesh.vertices @ turn.T + [0.03, -0.02, 0.04], mesh.faces, process=False).export(
        tmp_path / "theirs" / f"{objects[0].id}.ply")
    (tmp_path / "split.txt").write_text("".join(
        f"{files.id} {'test' if files is objects[0] else 'train'}\n" for files in objects))
    scores = {}
    for name, switch in (("as they are", []), ("photographs", ["--photographs"])):
        code, _, err = run_script_main(
            evaluate, *folders(shoes), "--samples", 5000, "--picture_size", 64, "--split_file", tmp_path / "split.txt",
            "--split", "test", "--methods", "floor", "--method", f"theirs={tmp_path / 'theirs'}", *switch, "--output",
            tmp_path / name, "--cache_dir", tmp_path / "cache")
        assert code == 0, err
        rows = {row["method"]: row for row in read_csv(tmp_path / name / "objects.csv")}
        scores[name] = {method: float(row["f_0.04"]) for method, row in rows.items()}
    assert scores["as they are"]["theirs"] < 0.8
    assert scores["photographs"]["theirs"] == pytest.approx(scores["photographs"]["floor"], abs=0.02)
    assert "rigid motion and scale" in (tmp_path / "photographs" / "table.md").read_text()
    assert "no alignment" in (tmp_path / "as they are" / "table.md").read_text()


# ---- Statistics


def rows_of(method, values, prefix="shoe_0000"):
    return [{"id": f"{prefix}{number}", "method": method, "f_0.02": value, "cd_l1": 1 - value}
            for number, value in enumerate(values)]


def test_bootstrap_interval_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = report.bootstrap_interval(values, 0)
    reach = 1.96 * values.std() / 20  # 95 % lie within so many standard errors, 90 % within 1.64 of them
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.1 * reach)
    assert report.bootstrap_interval(np.array([3.0]), 0) == (3, 3)
    assert report.bootstrap_interval(values, 0) == (low, high)


def test_synthetic_and_real_objects_are_shown_apart_where_both_occur():
    mixed = rows_of("model", [0.2, 0.4]) + rows_of("model", [0.9], prefix="mug_")
    groups = report.summarize(mixed)
    assert [groups[name]["model"]["f_0.02"]["mean"] for name in ("all objects", "synthetic", "real")] == pytest.approx(
        [0.5, 0.3, 0.9])
    assert list(report.summarize(mixed[:2])) == ["all objects"]
    assert set(report.summarize(rows_of("model", [1], "shoe_red_") + mixed[2:])) == {"all objects"}


def test_comparison_with_the_hull_is_object_by_object():
    rows = rows_of("hull", [0.5, 0.5, 0.5, 0.5]) + rows_of("model", [0.6, 0.4, 0.7])
    found = report.compare_with_hull(rows)["model"]
    assert (found["objects"], found["better"]) == (3, 2)
    assert found["ratio_f"] == pytest.approx(1.7 / 1.5) and found["ratio_cd"] == pytest.approx(1.3 / 1.5)
    assert report.compare_with_hull(rows_of("model", [0.5])) == {}


def test_markdown_and_plain_tables_hold_the_same_cells():
    groups = report.summarize(rows_of("model", [0.25, 0.75]))
    plain, markdown = (report.score_table(groups["all objects"], kind) for kind in (False, True))
    cells = [cell.strip() for cell in markdown.splitlines()[2].strip("|").split("|")]
    assert cells == ["model", "2", "mean", "0.5000", "0.500"] and plain.splitlines()[1].split() == cells


# ---- Near duplicates


def bumpy(seed, count=3000):
    """Points on a star-shaped surface of its own, scaled into the frame."""
    rng = np.random.default_rng(seed)
    points = np.random.default_rng(99).normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    waves, phase = rng.normal(size=(4, 3)) * 2, rng.random(4) * 6
    points *= 1 + 0.25 * np.sin(points @ waves.T + phase).sum(1, keepdims=True) / 2
    low, high = points.min(0), points.max(0)
    return ((points - (low + high) / 2) * 2 / (high - low).max()).astype(np.float32)


def test_a_turned_or_mirrored_copy_is_found_among_others():
    train = {f"t{seed}": bumpy(seed) for seed in range(30)}
    turn = np.float32([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    held_out = {"turned": train["t7"] @ turn.T, "mirrored": train["t11"] * np.float32([-1, 1, 1]),
                "both": (train["t13"] * np.float32([-1, 1, 1])) @ turn.T @ turn.T, "other": bumpy(1000)}
    pairs = near_duplicates.similar_shapes(train, held_out)
    assert {(name, source) for _, name, source in pairs} == {("turned", "t7"), ("mirrored", "t11"), ("both", "t13")}
    assert max(pairs)[0] < 1e-5
    assert near_duplicates.similar_shapes({}, held_out) == near_duplicates.similar_shapes(train, {}) == []


def test_nearly_equal_images_are_found_by_what_is_drawn():
    rng = np.random.default_rng(0)
    pictures = {f"t{number}": np.full((6, 16, 16, 3), 1, np.float32) for number in range(20)}
    for picture in pictures.values():
        picture[:, 6:10, 6:10] = rng.random((6, 4, 4, 3)) * 0.9
    noisy = pictures["t4"].copy()
    noisy[:, 6:10, 6:10] += 0.02
    pairs = near_duplicates.similar_images(pictures, {"same": noisy, "shifted": np.roll(pictures["t5"], 4, 2)})
    assert [(name, source) for _, name, source in pairs] == [("same", "t4")]
    assert pairs[0][0] == pytest.approx(0.02, abs=1e-3)  # white around it does not dilute the difference


def test_leak_check_names_a_copied_shoe(shoes, tmp_path, run_script_main):
    import shutil

    data = tmp_path / "data"
    shutil.copytree(shoes / "OBJs", data / "OBJs")
    shutil.copytree(shoes / "input_images", data / "input_images")
    held_out = split_objects([f"shoe_{number:05d}" for number in range(5)] + ["copy"], 0.2, 0)[1]
    source = next(f"shoe_{number:05d}" for number in range(5)
                  if (f"shoe_{number:05d}" in held_out) != ("copy" in held_out))
    shutil.copytree(data / "OBJs" / source, data / "OBJs" / "copy")
    for path in (data / "input_images").glob(f"{source}_*"):
        shutil.copy(path, path.with_name(path.name.replace(source, "copy")))
    code, out, _ = run_script_main(evaluate, *folders(data), "--leak_check", "--methods", "hull", "--seed", 0,
                                   "--validation_fraction", 0.2, "--cache_dir", tmp_path / "cache")
    lines = [line for line in out.splitlines() if "copy" in line and source in line]
    assert code == 0 and len(lines) == 2 and "1 pair of held-out" in out


# ---- Training several times


@pytest.fixture
def fake_training(monkeypatch):
    """Records the commands that would train, and writes empty checkpoints."""
    commands = []

    def run(command):
        from pathlib import Path

        commands.append(command)
        stage = "geometry" if "train_geometry.py" in command[1] else "texture"
        folder = Path(command[command.index("--checkpoint_dir") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stage}_best.pth").touch()
        (folder / f"{stage}_last.pth").touch()
        return SimpleNamespace(returncode=0)
    monkeypatch.setattr(cross_validation.subprocess, "run", run)
    return commands


def test_what_is_trained_is_not_trained_again_and_other_options_are_refused(fake_training, tmp_path):
    best = cross_validation.run_training(tmp_path / "fold_0", ["--preset", "fast"])
    assert [path.name for path in best] == ["geometry_best.pth", "texture_best.pth"] and len(fake_training) == 2
    assert all("--resume" not in command and command[2:4] == ["--preset", "fast"] for command in fake_training)
    assert fake_training[1][fake_training[1].index("--geometry_checkpoint") + 1] == str(best[0])
    assert cross_validation.run_training(tmp_path / "fold_0", ["--preset", "fast"]) == best and len(fake_training) == 2
    with pytest.raises(UserError, match="other options"):
        cross_validation.run_training(tmp_path / "fold_0", ["--preset", "default"])


def test_an_interrupted_training_goes_on(fake_training, tmp_path, monkeypatch):
    folder = tmp_path / "fold_0"
    whole = cross_validation.subprocess.run

    def broken(command):
        return SimpleNamespace(returncode=1) if "train_texture.py" in command[1] else whole(command)
    monkeypatch.setattr(cross_validation.subprocess, "run", broken)
    with pytest.raises(UserError, match="train_texture.py failed"):
        cross_validation.run_training(folder, [])
    monkeypatch.setattr(cross_validation.subprocess, "run", whole)
    cross_validation.run_training(folder, [])
    assert "--resume" in fake_training[1] and "--resume" not in fake_training[2]


def test_more_objects_help_only_if_the_gain_is_beyond_chance():
    counts, rng = {"few": 30, "all": 100}, np.random.default_rng(0)
    few = 0.1 + 0.01 * rng.random(30)

    def verdict(after):
        rows = [{"id": str(i), "method": name, "cd_l1": value} for name, values in (("few", few), ("all", after))
                for i, value in enumerate(values)]
        return report.more_objects_help(rows, counts)
    assert verdict(few * 0.8).startswith("more scans would help: from 30 to 100") and "20.0%" in verdict(few * 0.8)
    assert "not seen to help" in verdict(few + rng.normal(0, 0.01, 30))
    assert "worse" in verdict(few * 1.3)


def test_learning_curve_draws_and_tabulates_every_share(tmp_path, capsys):
    rows = []
    for name, level in (("10 %", 0.3), ("30 %", 0.2), ("100 %", 0.1), ("hull", 0.15)):
        rows += [{"id": str(i), "method": name, "cd_l1": level + 0.001 * i, "f_0.02": 1 - level, "f_0.1": 1 - level / 2}
                 for i in range(5)]
    report.write_learning_curve(rows, {"10 %": 10, "30 %": 30, "100 %": 100}, tmp_path)
    table = read_csv(tmp_path / "learning_curve.csv")
    assert [row["training_objects"] for row in table] == ["10", "30", "100"]
    assert float(table[1]["cd_l1_mean"]) == pytest.approx(0.202)
    printed = capsys.readouterr().out
    assert "more scans would help" in printed
    assert (tmp_path / "learning_curve.png").is_file() or "matplotlib" in printed


@pytest.mark.slow
def test_folds_judge_every_object_once_by_a_model_that_did_not_see_it(shoes, tiny_config, tmp_path, run_script_main):
    cfg = tiny_config(num_epochs_stage1=1, num_epochs_stage2=1)
    ours = {"obj_dir", "images_dir", "cache_dir", "checkpoint_dir", "log_dir", "device"}
    arguments = (*folders(shoes), *QUICK, "--methods", "model,nearest", "--folds", 2, "--output", tmp_path / "out",
                 "--cache_dir", cfg.cache_dir, "--", *as_options(replace(cfg, explicit=cfg.explicit - ours)))
    code, out, err = run_script_main(evaluate, *arguments)
    assert code == 0, err
    rows = read_csv(tmp_path / "out" / "objects.csv")
    assert sorted(row["id"] for row in rows if row["method"] == "model") == [f"shoe_0000{n}" for n in range(5)]
    held_out = [torch.load(tmp_path / "out" / f"fold_{fold}" / "checkpoints" / "geometry_best.pth",
                           weights_only=True)["validation_ids"] for fold in (0, 1)]
    assert sorted(held_out[0] + held_out[1]) == [f"shoe_0000{n}" for n in range(5)]
    code, out, err = run_script_main(evaluate, *arguments)
    assert code == 0 and out.count("trained already") == 2


@pytest.mark.slow
def test_learning_curve_trains_on_shares_and_says_whether_more_would_help(shoes, tiny_config, tmp_path,
                                                                          run_script_main):
    cfg = tiny_config(num_epochs_stage1=1, num_epochs_stage2=1)
    ours = {"obj_dir", "images_dir", "cache_dir", "checkpoint_dir", "log_dir", "device"}
    code, out, err = run_script_main(
        evaluate, *folders(shoes), *QUICK, "--methods", "model,hull", "--learning_curve", "--validation_fraction", 0.4,
        "--output", tmp_path / "out", "--cache_dir", cfg.cache_dir, "--",
        *as_options(replace(cfg, explicit=cfg.explicit - ours)))
    assert code == 0, err
    assert "more scans" in out and (tmp_path / "out" / "learning_curve.png").is_file()
    rows = read_csv(tmp_path / "out" / "objects.csv")
    assert {row["method"] for row in rows} == {"10% of training", "30% of training", "100% of training", "hull"}
    epochs = [torch.load(tmp_path / "out" / f"share_{share}" / "checkpoints" / "geometry_last.pth",
                         weights_only=True)["epoch"] for share in (10, 30, 100)]
    assert epochs == [10, 3, 1]  # as many steps on a tenth of the objects
