"""The first stage's loop, run: a few steps on tiny shoes, stopped, resumed, overfitted, in two processes."""
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import models.encoder
import models.losses
import train_field
import train_geometry
import train_texture
from config import UserError
from models.geometry_model import load_geometry_model
from tests.conftest import as_options
from utils.training.plot_log import read_epoch_lines

ROOT = Path(__file__).parents[1]
ONLY_CHAMFER = {"lambda_coverage": 0.0, "lambda_laplacian": 0.0, "lambda_edge": 0.0, "lambda_normal": 0.0}


class Interrupted(Exception):
    pass


@pytest.fixture(autouse=True)
def short_mean_shape(monkeypatch):
    """The start from the mean shape takes longer than all else in these tests; one of them runs it in full."""
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 3)


def run_until(cfg, step, monkeypatch, train=train_geometry.train):
    """Train, but break off in the step of that number, as a power cut would."""
    with monkeypatch.context() as patch:
        def stop(total, parts, at, object_ids):
            if at >= step:
                raise Interrupted
        patch.setattr(sys.modules[train.__module__], "check_finite", stop)
        with pytest.raises(Interrupted):
            train(cfg)


def weights_moved(module, cfg, monkeypatch):
    """The largest change of any weight in one training, from right before its first step to its last checkpoint."""
    models, make_optimizer = [], module.make_optimizer

    def remember(model, *rest):
        models.append((model, {name: value.detach().clone() for name, value in model.named_parameters()}))
        return make_optimizer(model, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(module, "make_optimizer", remember)
        module.train(cfg)
    model, before = models[0]
    return max((value.detach() - before[name]).abs().max().item() for name, value in model.named_parameters())


def weights_of(path):
    return torch.load(path, weights_only=True)["weights"]


def read_log(folder, stage="geometry"):
    return read_epoch_lines(Path(folder) / f"{stage}.jsonl")


def read_lines(folder, stage="geometry"):
    """All lines of a log, those of steps too."""
    return [json.loads(line) for line in (Path(folder) / f"{stage}.jsonl").read_text().splitlines()]


def without_times(lines):
    return [{name: value for name, value in line.items() if not name.endswith("seconds")} for line in lines]


def assert_same_checkpoints(first_folder, second_folder, stage):
    """Last and best of two runs hold the same weights, bit by bit, and the same epoch and score."""
    for name in ("last", "best"):
        first, second = (torch.load(Path(folder) / f"{stage}_{name}.pth", weights_only=True)
                         for folder in (first_folder, second_folder))
        assert first["weights"].keys() == second["weights"].keys()
        assert all(torch.equal(first["weights"][key], second["weights"][key]) for key in first["weights"])
        assert first["epoch"] == second["epoch"] and first["score"] == second["score"]


def few_shoes(shoes, folder, count):
    """A folder with the first `count` of the shoes."""
    for obj in sorted((shoes / "OBJs").iterdir())[:count]:
        shutil.copytree(obj, folder / "OBJs" / obj.name)
        (folder / "input_images").mkdir(exist_ok=True)
        for image in (shoes / "input_images").glob(f"{obj.name}_*"):
            shutil.copy(image, folder / "input_images")
    return {"obj_dir": str(folder / "OBJs"), "images_dir": str(folder / "input_images")}


# ---- A run


def test_an_epoch_writes_best_last_and_a_log_that_agree(tiny_config, tmp_path):
    cfg = tiny_config(num_epochs_stage1=2)
    scores = train_geometry.train(cfg)
    lines = read_log(cfg.log_dir)
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert [line.get("step") for line in lines] == [None, 4, 8], "four shoes to train on, one held out"
    assert scores["start"] == lines[0]["validation"] and scores["last"] == lines[2]["validation"]
    assert scores["best"] == min(line["validation"] for line in lines[1:])
    assert all(math.isfinite(value) for line in lines for value in line.values())
    settings = json.loads((tmp_path / "logs" / "geometry_config.json").read_text())
    assert settings["num_points"] == 64 and settings["decoder_hidden"] == [32, 32]
    assert settings["versions"]["torch"] == torch.__version__ and settings["checkpoints"] == []
    assert len(settings["inputs"]) == 5, "what was validated on as well"
    for name in ("best", "last"):
        model, checkpoint = load_geometry_model(tmp_path / "checkpoints" / f"geometry_{name}.pth")
        assert checkpoint["image_size"] == 56 and len(checkpoint["validation_ids"]) == 1
        assert model(torch.rand(1, 6, 3, 56, 56)).shape == (1, 64, 3)
    assert checkpoint["epoch"] == 2 and checkpoint["step"] == 8
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"geometry_best.pth", "geometry_last.pth"}


def test_the_parts_of_the_log_add_up_to_the_loss(tiny_config):
    cfg = tiny_config(num_epochs_stage1=1)
    train_geometry.train(cfg)
    line = read_log(cfg.log_dir)[1]
    expected = sum(getattr(cfg, f"lambda_{part}") * line[part]
                   for part in ("chamfer", "coverage", "laplacian", "edge", "normal"))
    assert line["loss"] == pytest.approx(expected, rel=1e-5)


def test_steps_follow_the_learning_rate_schedule(tiny_config, tmp_path):
    cfg = tiny_config(num_epochs_stage1=2, warmup_fraction=0.25, learning_rate_stage1=0.01, log_every=1)
    train_geometry.train(cfg)
    # Eight steps, two of them to warm up, then a cosine from 1 to 0.01 in six.
    expected = [0.005, 0.01] + [0.01 * (0.01 + 0.99 * (1 + math.cos(math.pi * step / 6)) / 2) for step in range(6)]
    steps = [line for line in read_lines(cfg.log_dir) if "during_epoch" in line]
    assert [line["learning_rate"] for line in steps] == pytest.approx(expected)
    assert {"loss", "chamfer", "gradient_norm", "data_seconds", "step_seconds"} < steps[0].keys()
    saved = torch.load(tmp_path / "checkpoints" / "geometry_last.pth", weights_only=True)["optimizer"]
    scales = {group["scale"] for group in saved["param_groups"]}
    assert scales == {1.0, cfg.encoder_learning_rate_scale}
    assert all(group["lr"] == pytest.approx(expected[-1] * group["scale"]) for group in saved["param_groups"])


def test_gradients_are_clipped_before_a_step(tiny_config, monkeypatch):
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 0)
    monkeypatch.setattr(train_geometry.PointsTask, "fit_mean_shape", lambda *_: None)
    settings = {"num_epochs_stage1": 1, "weight_decay": 0.0, "training_share": 0.001, "learning_rate_stage1": 0.01}
    free = weights_moved(train_geometry, tiny_config(**settings), monkeypatch)
    assert free > 0.005, "Adam's first step is as long as the learning rate"
    assert weights_moved(train_geometry, tiny_config(**settings, gradient_clip=1e-12), monkeypatch) < 1e-4 * free


def test_equal_seeds_give_equal_weights_and_others_do_not(tiny_config, tmp_path):
    runs = [tiny_config(num_epochs_stage1=1, seed=seed, checkpoint_dir=str(tmp_path / str(i)))
            for i, seed in enumerate((3, 3, 4))]
    for cfg in runs:
        train_geometry.train(cfg)
    first, again, other = (weights_of(Path(cfg.checkpoint_dir) / "geometry_last.pth") for cfg in runs)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["decoder.head.weight"], other["decoder.head.weight"])


def test_without_held_out_objects_best_is_the_last_epoch(tiny_config, tmp_path, capsys):
    scores = train_geometry.train(tiny_config(num_epochs_stage1=1, validation_fraction=0.0))
    assert scores == {"start": None, "best": None, "last": None}
    assert "no objects were held out" in capsys.readouterr().out
    best, last = (weights_of(tmp_path / "checkpoints" / f"geometry_{name}.pth") for name in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in best)


# ---- Stopping and going on


@pytest.mark.parametrize("changes", [
    pytest.param({}, marks=pytest.mark.slow), pytest.param({"freeze_image_encoder": True}, marks=pytest.mark.slow),
    {"augmentations": 2, "gradient_accumulation_steps": 2, "gradient_checkpointing": True},
    pytest.param({"augmentations": 2}, marks=pytest.mark.slow),
    pytest.param({"augmentations": 2, "freeze_image_encoder": True}, marks=pytest.mark.slow)],
    ids=["trained", "frozen", "augmented and accumulated", "augmented", "augmented and frozen"])
def test_four_epochs_equal_two_a_stop_and_two_more(changes, tiny_config, tmp_path, monkeypatch):
    whole = tiny_config(num_epochs_stage1=4, checkpoint_dir=str(tmp_path / "whole"), log_dir=str(tmp_path / "a"),
                        **changes)
    halves = tiny_config(num_epochs_stage1=4, checkpoint_dir=str(tmp_path / "halves"), log_dir=str(tmp_path / "b"),
                         **changes)
    expected = train_geometry.train(whole)
    steps = torch.load(tmp_path / "whole" / "geometry_last.pth", weights_only=True)["step"] // 4
    run_until(halves, 2 * steps + 1, monkeypatch)  # in the midst of the third epoch
    assert torch.load(tmp_path / "halves" / "geometry_last.pth", weights_only=True)["epoch"] == 2
    halves.resume = True
    assert train_geometry.train(halves) == expected
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "halves", "geometry")
    assert without_times(read_log(tmp_path / "a")) == without_times(read_log(tmp_path / "b"))


def test_a_second_run_with_a_frozen_encoder_encodes_nothing_and_learns_the_same(tiny_config, tmp_path, monkeypatch):
    settings = {"num_epochs_stage1": 2, "freeze_image_encoder": True, "augmentations": 2,
                "cache_dir": str(tmp_path / "cache")}
    first = train_geometry.train(tiny_config(checkpoint_dir=str(tmp_path / "a"), **settings))
    monkeypatch.setattr(models.encoder.ImageEncoder, "forward", lambda *_: pytest.fail("the encoder was called"))
    assert train_geometry.train(tiny_config(checkpoint_dir=str(tmp_path / "b"), **settings)) == first


def test_resuming_with_nothing_to_resume_names_the_file(tiny_config, tmp_path):
    with pytest.raises(UserError, match="geometry_last.pth: no such checkpoint"):
        train_geometry.train(tiny_config(resume=True))


def test_best_is_never_overwritten_by_a_worse_run(tiny_config, tmp_path, capsys):
    good = train_geometry.train(tiny_config(num_epochs_stage1=2))
    best = tmp_path / "checkpoints" / "geometry_best.pth"
    before = best.read_bytes()
    capsys.readouterr()
    worse = train_geometry.train(tiny_config(num_epochs_stage1=2, learning_rate_stage1=0.3))
    assert worse["last"] > good["best"], "the second run must be worse for this test to say anything"
    assert best.read_bytes() == before
    assert worse["best"] == good["best"]
    assert "only a better one replaces it" in capsys.readouterr().out


def test_a_best_of_other_validation_objects_is_moved_aside(tiny_config, tmp_path):
    train_geometry.train(tiny_config(num_epochs_stage1=1))
    old = (tmp_path / "checkpoints" / "geometry_best.pth").read_bytes()
    train_geometry.train(tiny_config(num_epochs_stage1=1, validation_fraction=0.5))
    assert (tmp_path / "checkpoints" / "geometry_best_previous.pth").read_bytes() == old
    assert len(load_geometry_model(tmp_path / "checkpoints" / "geometry_best.pth")[1]["validation_ids"]) == 3


# ---- Learning


@pytest.mark.slow
def test_one_batch_can_be_overfitted_from_its_images(tiny_config, shoes, tmp_path, monkeypatch):
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 0)
    cfg = tiny_config(**few_shoes(shoes, tmp_path, 2), validation_fraction=0.0, batch_size_stage1=2,
                      num_epochs_stage1=100, num_points=128, num_loss_samples=512, learning_rate_stage1=3e-3,
                      **ONLY_CHAMFER)
    train_geometry.train(cfg)
    lines = read_log(cfg.log_dir)
    assert lines[-1]["chamfer"] < lines[0]["chamfer"] / 10
    # Each image set must give its own shoe, not both the mean of the two.
    model, _ = load_geometry_model(tmp_path / "checkpoints" / "geometry_last.pth")
    from load_data import SixViewDataset, prepare_objects

    items = list(SixViewDataset(list(prepare_objects(cfg, quiet=True)[1].values())))
    table = [[models.losses.chamfer_distance(model(shown["images"][None]), other["points"][None]).item()
              for other in items] for shown in items]
    assert table[0][0] < table[0][1] / 2 and table[1][1] < table[1][0] / 2


@pytest.mark.slow
def test_training_starts_from_the_mean_shape_of_the_training_objects(tiny_config, monkeypatch, capsys):
    monkeypatch.undo()
    cfg = tiny_config(num_epochs_stage1=1)
    start = train_geometry.train(cfg)["start"]
    printed = capsys.readouterr().out
    mean_shape = float(printed.split("whatever the images: validation ")[1].split()[0])
    assert mean_shape < start / 1.5


def test_a_frozen_encoder_keeps_its_weights_and_a_trained_one_moves(tiny_config, tmp_path):
    for frozen in (True, False):
        cfg = tiny_config(num_epochs_stage1=1, freeze_image_encoder=frozen, checkpoint_dir=str(tmp_path / str(frozen)))
        train_geometry.train(cfg)
    from models.encoder import load_encoder

    torch.manual_seed(0)
    start = load_encoder(tiny_config())[0].state_dict()
    frozen, trained = (weights_of(tmp_path / name / "geometry_last.pth") for name in ("True", "False"))
    assert all(torch.equal(value, frozen[f"encoder.{name}"]) for name, value in start.items())
    moved = [name for name, value in start.items() if not torch.equal(value, trained[f"encoder.{name}"])]
    assert set(start) - set(moved) == {"backbone.embeddings.mask_token"}


def test_two_batches_of_one_accumulated_equal_a_batch_of_two(tiny_config, tmp_path):
    results = {}
    for name, batch, accumulated in (("together", 2, 1), ("accumulated", 1, 2), ("apart", 1, 1)):
        cfg = tiny_config(num_epochs_stage1=1, batch_size_stage1=batch, gradient_accumulation_steps=accumulated,
                          checkpoint_dir=str(tmp_path / name), learning_rate_stage1=1e-3, warmup_fraction=0.0)
        train_geometry.train(cfg)
        saved = torch.load(tmp_path / name / "geometry_last.pth", weights_only=True)
        results[name] = torch.cat([value.flatten() for value in saved["weights"].values()]), saved["step"]
    assert [results[name][1] for name in ("together", "accumulated", "apart")] == [2, 2, 4]
    difference = (results["together"][0] - results["accumulated"][0]).norm()
    assert difference < 0.01 * (results["together"][0] - results["apart"][0]).norm()
    assert difference < 1e-4


# ---- What goes wrong


def test_a_loss_that_is_not_finite_stops_naming_step_parts_and_objects(tiny_config, tmp_path, monkeypatch):
    true_loss, calls = models.losses.geometry_loss, []

    def breaks_later(vertices, *arguments):
        total, parts = true_loss(vertices, *arguments)
        calls.append(vertices.requires_grad)
        return (total * math.nan if calls.count(True) == 3 else total), parts

    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 0)
    monkeypatch.setattr(train_geometry, "geometry_loss", breaks_later)
    with pytest.raises(UserError) as stopped:
        train_geometry.train(tiny_config(num_epochs_stage1=1, batch_size_stage1=2, validation_fraction=0.0))
    message = str(stopped.value)
    assert "loss is nan at step 2 on shoe_0000" in message and "chamfer 0." in message and "coverage" in message
    left, = (tmp_path / "checkpoints").iterdir()
    assert left.name == "geometry_last.pth" and torch.load(left, weights_only=True)["step"] == 0, "as it began"


def test_a_named_empty_folder_is_an_error_with_code_2_and_no_fallback(tmp_path, run_script_main):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "views").mkdir()
    code, printed, errors = run_script_main(
        train_geometry, "--preset", "fast", "--device", "cpu", "--obj_dir", tmp_path / "nothing", "--images_dir",
        tmp_path / "views", "--checkpoint_dir", tmp_path / "run" / "checkpoints", "--log_dir", tmp_path / "run" / "logs",
        "--cache_dir", tmp_path)
    assert code == 2
    assert "error: no complete object" in errors and str(tmp_path / "nothing") in errors
    assert "Traceback" not in errors and "using the shipped" not in printed
    assert not (tmp_path / "run").exists(), "nothing was written, so no folder was needed"


@pytest.mark.parametrize("script, own, foreign", [
    (train_geometry, "--num_points", "--field_grid"), (train_field, "--field_grid", "--num_points"),
    (train_texture, "--texture_hidden", "--learning_rate_stage1")], ids=["geometry", "field", "texture"])
def test_help_offers_what_the_script_uses_and_nothing_else(script, own, foreign, run_script_main):
    code, printed, _ = run_script_main(script, "--help")
    assert code == 0 and own in printed and "--preset" in printed and foreign not in printed


def test_the_field_is_trained_elsewhere_which_is_said_in_one_line(run_script_main):
    code, _, errors = run_script_main(train_geometry, "--geometry_decoder", "field")
    assert code == 2 and "python train_field.py" in errors and errors.count("\n") == 1


@pytest.mark.parametrize("options, named", [(["--learning_rat", "1"], "--learning_rat"),
                                            (["--num_points", "many"], "--num_points"),
                                            (["--preset", "slow"], "slow"),
                                            (["--device", "tpu"], "--device tpu"),
                                            (["--device", "cuda:99"], "--device cuda:99")])
def test_bad_options_are_named_in_one_line_with_code_2(options, named, run_script_main):
    code, _, errors = run_script_main(train_geometry, *options)
    assert code == 2
    assert errors.startswith("error: ") and named in errors and errors.count("\n") == 1


# ---- Several processes


def run_processes(script, cfg, count):
    """Start a training script under torch's launcher on `count` CPU processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count), script]
    options = as_options(cfg, script.removeprefix("train_").removesuffix(".py"))
    done = subprocess.run([*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(tiny_config, tmp_path, monkeypatch):
    monkeypatch.undo()
    # One object is held out, so the second process has none to validate on.
    two = tiny_config(num_epochs_stage1=2, checkpoint_dir=str(tmp_path / "two"), log_dir=str(tmp_path / "two"))
    one = tiny_config(num_epochs_stage1=2, checkpoint_dir=str(tmp_path / "one"), log_dir=str(tmp_path / "one"),
                      batch_size_stage1=2)
    printed = run_processes("train_geometry.py", two, 2)
    assert "processes: 2" in printed and printed.count("epoch 1: loss") == 1, "one process talks"
    train_geometry.train(one)
    first, second = without_times(read_log(one.log_dir)), without_times(read_log(two.log_dir))
    assert [line.keys() for line in first] == [line.keys() for line in second]
    for one_line, two_line in zip(first, second):
        assert two_line == pytest.approx(one_line, abs=1e-4)
    weights = [weights_of(tmp_path / name / "geometry_best.pth") for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
