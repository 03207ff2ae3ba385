"""The field's training, run: a few steps on tiny shoes, stopped, resumed, overfitted, in two processes."""
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import load_data
import models.field_model
import models.view_cameras
import train_geometry
import utils.training.loop
import utils.training_data.field_samples
import utils.training_data.occupancy
from config import UserError
from load_data import FieldDataset, prepare_objects
from models.encoder import ImageEncoder
from models.field_model import FieldModel, field_on_grid, load_field_model
from models.view_cameras import view_cameras
from tests.conftest import as_options
from tests.models.test_encoder import tiny_backbone
from tests.test_train_geometry import assert_same_checkpoints, run_until, weights_of, without_times
from tests.test_train_geometry import read_log as read_log_of

ROOT = Path(__file__).parents[1]
TINY_FIELD = {"geometry_decoder": "field", "field_grid": 8, "field_widths": (8, 16), "field_points": 200,
              "field_variants": 0, "learning_rate_field": 3e-3}


@pytest.fixture(scope="module")
def field_cache(tmp_path_factory):
    """One cache for all runs here: what the field learns from is made once for each object."""
    return str(tmp_path_factory.mktemp("field_cache"))


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    for name, count in (("SURFACE_SAMPLES", 5000), ("NEAR_POINTS", 1200), ("FREE_POINTS", 800)):
        monkeypatch.setattr(utils.training_data.field_samples, name, count)
    monkeypatch.setattr(utils.training_data.occupancy, "DIRECTIONS", 12)


@pytest.fixture
def field_config(tiny_config, field_cache):
    """Function: settings by name -> Config of a short run of the field."""
    return lambda **changes: tiny_config(**{"cache_dir": field_cache, **TINY_FIELD, **changes})


def read_log(folder):
    return without_times(read_log_of(folder, "geometry_field"))


# ---- A run


@pytest.mark.parametrize("changes", [{}, {"field_target": "distance"}, {"field_grid": 0}, {"field_color": False},
                                     {"field_pictures": True}], ids=["plain", "distance", "no volume", "no color",
                                                                     "images"])
def test_a_run_writes_best_last_and_a_log_and_the_model_comes_back(changes, field_config, tmp_path):
    cfg = field_config(num_epochs_stage1=2, **changes)
    scores = train_geometry.train(cfg)
    lines = read_log(cfg.log_dir)
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert [line.get("step") for line in lines] == [None, 4, 8], "four shoes to train on, one held out"
    assert scores["start"] == lines[0]["validation"] and scores["last"] == lines[2]["validation"]
    assert scores["best"] == min(line["validation"] for line in lines[1:])
    assert all(math.isfinite(value) for line in lines for value in line.values())
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"geometry_field_best.pth",
                                                                            "geometry_field_last.pth"}
    model, checkpoint = load_field_model(tmp_path / "checkpoints" / "geometry_field_last.pth")
    assert checkpoint["image_size"] == 256 and len(checkpoint["validation_ids"]) == 1 and checkpoint["step"] == 8
    made = {"target": cfg.field_target, "grid_size": cfg.field_grid, "use_color": cfg.field_color,
            "pictures": cfg.field_pictures}
    assert made.items() <= model.model_args().items()


def test_the_last_score_is_that_of_the_checkpoint_that_was_written(field_config, tmp_path):
    cfg = field_config(num_epochs_stage1=1)
    scores = train_geometry.train(cfg)
    model, checkpoint = load_field_model(tmp_path / "checkpoints" / "geometry_field_last.pth")
    cached = prepare_objects(cfg, quiet=True)[1]
    item = FieldDataset([cached[name] for name in checkpoint["validation_ids"]])[0]
    chosen = torch.randperm(2000, generator=utils.training.loop.sample_generator(0, "validation", item["id"]))[:200]
    output, hull = model(item["points"][None, chosen], item["maps"][None].float(), view_cameras(), item["box"][None])
    distances = item["distances"][chosen].float()
    entropy = torch.nn.functional.softplus(torch.where(distances > 0, -output[0], output[0]))
    weight = (hull[0] > -0.01) * (distances.abs() / 0.02).clamp(0.2, 1)
    assert scores["last"] == pytest.approx(((entropy * weight).sum() / weight.sum()).item(), rel=1e-4)


def test_equal_seeds_give_equal_weights_and_others_do_not(field_config, tmp_path):
    runs = [field_config(num_epochs_stage1=1, seed=seed, checkpoint_dir=str(tmp_path / str(i)))
            for i, seed in enumerate((3, 3, 4))]
    for cfg in runs:
        train_geometry.train(cfg)
    first, again, other = (weights_of(Path(cfg.checkpoint_dir) / "geometry_field_last.pth") for cfg in runs)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


def test_points_box_and_distances_of_a_changed_space_still_belong_together(field_config, monkeypatch):
    true_loss, forward, given, judged = models.field_model.field_loss, FieldModel.forward, [], []
    monkeypatch.setattr(FieldModel, "forward", lambda self, points, maps, cameras, box, *tokens: given.append(
        (points, box)) or forward(self, points, maps, cameras, box, *tokens))
    monkeypatch.setattr(models.field_model, "field_loss",
                        lambda output, *rest: judged.append(rest) or true_loss(output, *rest))
    train_geometry.train(field_config(num_epochs_stage1=2, validation_fraction=0.0, field_points=2000))
    assert len(given) == len(judged) == 10
    for (points, box), (distances, hull, _) in zip(given, judged):
        half = (box[:, 1] - box[:, 0]) / 2
        assert half.max() == pytest.approx(1, abs=1e-5)
        reach = torch.quantile((points - box.mean(dim=1)).abs() / half, 0.995, dim=1)
        assert ((reach > 0.9) & (reach < 1.05)).all(), "points, which lie in the hull, fill the box on every axis"
        deep = distances > 0.03
        assert deep.sum() > 50 and (hull[deep] > 0).float().mean() > 0.97, "solid matter lies in the hull"


@pytest.mark.parametrize("target, share", [("occupancy", 0.6), ("distance", 0.5)])
def test_one_object_can_be_overfitted(target, share, field_config, tmp_path, monkeypatch):
    same_space = torch.eye(3)[None]
    monkeypatch.setattr(models.view_cameras, "augment_space", lambda box, generators, stretch: (same_space, view_cameras()))
    monkeypatch.setattr(models.view_cameras, "random_colors", lambda maps, generators: maps)
    cfg = field_config(num_epochs_stage1=80, validation_fraction=0.0, training_share=0.001, field_target=target,
                       field_points=2000, learning_rate_field=6e-3)
    train_geometry.train(cfg)
    losses = [line["loss"] for line in read_log(cfg.log_dir)]
    assert sum(losses[-5:]) / 5 < share * losses[0]
    model, checkpoint = load_field_model(tmp_path / "checkpoints" / "geometry_field_last.pth")
    item = FieldDataset([prepare_objects(cfg, quiet=True)[1][checkpoint["training_ids"][0]]])[0]
    output, hull = model(item["points"][None], item["maps"][None].float(), view_cameras(), item["box"][None])
    sure = (hull[0] > 0) & (item["distances"].abs() > 0.03)
    assert ((output[0] > 0) == (item["distances"] > 0))[sure].float().mean() > 0.85


def test_the_mean_of_the_weights_is_what_is_judged_and_kept_as_best(field_config, tmp_path, monkeypatch):
    from torch.optim.swa_utils import AveragedModel

    update, seen = AveragedModel.update_parameters, []
    monkeypatch.setattr(AveragedModel, "update_parameters", lambda self, model: seen.append(
        {name: value.detach().clone() for name, value in model.named_parameters()}) or update(self, model))
    scores = train_geometry.train(field_config(num_epochs_stage1=1, average_weights=0.6))
    assert len(seen) == 4
    mean = seen[0]
    for kept, weights in zip((2 / 11, 3 / 12, 4 / 13), seen[1:]):  # less than 0.6 of a mean of so few
        mean = {name: kept * value + (1 - kept) * weights[name] for name, value in mean.items()}
    best, last = (weights_of(tmp_path / "checkpoints" / f"geometry_field_{name}.pth") for name in ("best", "last"))
    assert all(torch.allclose(best[name], mean[name], atol=1e-6) for name in mean)
    assert all(torch.equal(last[name], seen[-1][name]) for name in mean), "the last ones serve resuming"
    plain = train_geometry.train(field_config(num_epochs_stage1=1, checkpoint_dir=str(tmp_path / "plain")))
    assert scores["last"] != plain["last"] and scores["start"] == plain["start"]


def test_a_run_begins_with_the_weights_it_is_given(field_config, tmp_path):
    first = train_geometry.train(field_config(num_epochs_stage1=2))
    begun = field_config(num_epochs_stage1=1, seed=0, checkpoint_dir=str(tmp_path / "second"),
                         initial_weights=str(tmp_path / "checkpoints" / "geometry_field_last.pth"))
    assert train_geometry.train(begun)["start"] == pytest.approx(first["last"], rel=1e-6)
    spoilt = replace(begun, learning_rate_field=30.0, checkpoint_dir=str(tmp_path / "third"))
    scores = train_geometry.train(spoilt)
    assert scores["last"] > scores["start"] == scores["best"], "what it began with is a rival like any epoch"
    kept, given = weights_of(tmp_path / "third" / "geometry_field_best.pth"), weights_of(begun.initial_weights)
    assert all(torch.equal(kept[name], given[name]) for name in given)
    begun.field_grid = 16
    with pytest.raises(UserError, match="geometry_field_last.pth: was trained with grid_size 8, now it is 16"):
        train_geometry.train(begun)


# ---- Stopping and going on


@pytest.mark.parametrize("changes", [{"field_pictures": True}, {"field_variants": 2, "gradient_accumulation_steps": 2},
                                     {"average_weights": 0.9}], ids=["images", "variants, accumulated", "averaged"])
def test_four_epochs_equal_two_a_stop_and_two_more(changes, field_config, tmp_path, monkeypatch):
    whole, halves = (field_config(num_epochs_stage1=4, checkpoint_dir=str(tmp_path / name),
                                  log_dir=str(tmp_path / name), **changes) for name in ("whole", "halves"))
    expected = train_geometry.train(whole)
    steps = torch.load(tmp_path / "whole" / "geometry_field_last.pth", weights_only=True)["step"] // 4
    run_until(halves, 2 * steps + 1, monkeypatch)  # in the midst of the third epoch
    assert torch.load(tmp_path / "halves" / "geometry_field_last.pth", weights_only=True)["epoch"] == 2
    halves.resume = True
    assert train_geometry.train(halves) == expected
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "halves", "geometry_field")
    assert read_log(tmp_path / "whole") == read_log(tmp_path / "halves")


def test_a_resumed_run_of_other_sizes_or_target_is_refused_naming_file_and_setting(field_config):
    train_geometry.train(field_config(num_epochs_stage1=1))
    for change, words in (({"field_color": False}, "use_color True, now it is False"),
                          ({"field_target": "distance"}, "target occupancy, now it is distance")):
        with pytest.raises(UserError, match=f"geometry_field_last.pth: was trained with {words}"):
            train_geometry.train(field_config(num_epochs_stage1=2, resume=True, **change))


def test_a_running_mean_is_not_lost_by_resuming_without_it(field_config):
    train_geometry.train(field_config(num_epochs_stage1=1, average_weights=0.9))
    with pytest.raises(UserError, match="geometry_field_last.pth: .* go on with --average_weights 0.9"):
        train_geometry.train(field_config(num_epochs_stage1=2, resume=True))


def test_a_score_of_another_target_is_no_rival(field_config, tmp_path):
    best = Path(field_config().checkpoint_dir) / "geometry_field_best.pth"
    train_geometry.train(field_config(num_epochs_stage1=1))
    train_geometry.train(field_config(num_epochs_stage1=1, field_target="distance"))
    assert load_field_model(best)[0].target == "distance"
    assert load_field_model(best.with_name("geometry_field_best_previous.pth"))[0].target == "occupancy"


# ---- Patch tokens


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    """A folder with a small random DINOv2 as transformers writes it."""
    path = tmp_path_factory.mktemp("encoder") / "dinov2"
    tiny_backbone().save_pretrained(path)
    return path


@pytest.fixture
def encoded(monkeypatch):
    """Shapes of all images that any encoder is given."""
    shapes, forward = [], ImageEncoder.forward
    monkeypatch.setattr(ImageEncoder, "forward",
                        lambda self, images: shapes.append(tuple(images.shape)) or forward(self, images))
    return shapes


def field_of(model, cfg, name):
    """What a model makes of one object on a coarse grid of its box."""
    item = FieldDataset([prepare_objects(cfg, quiet=True)[1][name]])[0]
    axes = [torch.linspace(low, high, 8).numpy() for low, high in item["box"].T.tolist()]
    return field_on_grid(model, item["maps"].float().numpy(), axes, torch.ones(8, 8, 8).numpy())


@pytest.mark.parametrize("name", ["folder", "scratch"])
def test_tokens_are_encoded_once_and_the_model_comes_back_with_its_encoder(name, field_config, encoder_folder, encoded,
                                                                           tmp_path):
    cfg = field_config(num_epochs_stage1=2, field_tokens=True, cache_dir=str(tmp_path / "cache"), average_weights=0.5,
                       encoder_name=str(encoder_folder) if name == "folder" else "scratch", image_size=50)
    scores = train_geometry.train(cfg)
    assert encoded == [(1, 6, 3, 56, 56)] * 5, "four objects to train on and one held out, each once"
    assert len(list((tmp_path / "cache" / "features").glob("*/tokens-50-*.npy"))) == 5
    saved = torch.load(tmp_path / "checkpoints" / "geometry_field_last.pth", weights_only=True)
    held = {part for part in ("weights", "average") if any("encoder." in key for key in saved[part])}
    assert held == ({"weights", "average"} if name == "scratch" else set())
    assert saved["model_args"]["encoder"]["stored"] == (name == "scratch")

    encoded.clear()
    assert train_geometry.train(field_config(**{key: getattr(cfg, key) for key in cfg.explicit}
                                             | {"checkpoint_dir": str(tmp_path / "again")})) == scores
    assert encoded == [], "a second run reads what the first one wrote"

    model, checkpoint = load_field_model(tmp_path / "checkpoints" / "geometry_field_last.pth")
    assert checkpoint["model_args"]["token_width"] == 32 and model.token_size == 50
    field = field_of(model, cfg, checkpoint["validation_ids"][0])
    assert field.shape == (8, 8, 8) and np.isfinite(field).all()
    assert encoded == [(1, 6, 3, 56, 56)], "once for the whole grid"


def test_training_and_inference_see_the_same_tokens(field_config, encoder_folder, tmp_path, monkeypatch):
    given, forward = [], FieldModel.forward
    monkeypatch.setattr(FieldModel, "forward", lambda self, points, maps, cameras, box, tokens: given.append(tokens) or
                        forward(self, points, maps, cameras, box, tokens))
    cfg = field_config(num_epochs_stage1=1, field_tokens=True, encoder_name=str(encoder_folder), training_share=0.001,
                       validation_fraction=0.0)
    train_geometry.train(cfg)
    model, checkpoint = load_field_model(tmp_path / "checkpoints" / "geometry_field_last.pth")
    made, tokens_at = [], models.field_model.tokens_at
    monkeypatch.setattr(models.field_model, "tokens_at", lambda *args: made.append(tokens_at(*args)) or made[0])
    field_of(model, cfg, checkpoint["training_ids"][0])
    assert len(given) == len(made) == 1 and torch.equal(given[0], made[0])


@pytest.mark.parametrize("name", ["folder", "scratch"])
def test_four_epochs_with_tokens_equal_two_a_stop_and_two_more(name, field_config, encoder_folder, tmp_path,
                                                               monkeypatch):
    whole, halves = (field_config(num_epochs_stage1=4, checkpoint_dir=str(tmp_path / place), field_tokens=True,
                                  log_dir=str(tmp_path / place), cache_dir=str(tmp_path / "cache"), average_weights=0.5,
                                  encoder_name=str(encoder_folder) if name == "folder" else "scratch")
                     for place in ("whole", "halves"))
    expected = train_geometry.train(whole)
    run_until(halves, 9, monkeypatch)  # in the midst of the third epoch
    halves.resume = True
    assert train_geometry.train(halves) == expected
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "halves", "geometry_field")
    assert read_log(tmp_path / "whole") == read_log(tmp_path / "halves")


def test_a_resumed_run_keeps_the_encoder_and_the_tokens_of_its_checkpoint(field_config, encoded, tmp_path):
    options = {"field_tokens": True, "cache_dir": str(tmp_path / "cache")}
    train_geometry.train(field_config(num_epochs_stage1=1, **options))
    encoded.clear()
    train_geometry.train(field_config(num_epochs_stage1=2, resume=True, seed=7, **options))
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 1, "not those of another random start"


def test_tokens_cannot_be_added_or_left_out_later(field_config, encoder_folder, tmp_path):
    last = tmp_path / "checkpoints" / "geometry_field_last.pth"
    tokens = {"field_tokens": True, "encoder_name": str(encoder_folder)}
    train_geometry.train(field_config(num_epochs_stage1=1, **tokens))
    for changes, words in (({}, "token_width 32, now it is 0"),
                           (tokens | {"image_size": 84}, "token_size 56, now it is 84")):
        with pytest.raises(UserError, match=f"geometry_field_last.pth: was trained with {words}"):
            train_geometry.train(field_config(num_epochs_stage1=2, resume=True, **changes))
    last.unlink()
    train_geometry.train(field_config(num_epochs_stage1=1))
    saved = torch.load(last, weights_only=True)
    for older in (False, True):  # before there were tokens a checkpoint said nothing of them
        if older:
            del saved["model_args"]["token_width"], saved["model_args"]["token_size"]
            torch.save(saved, last)
        with pytest.raises(UserError, match="geometry_field_last.pth: was trained with token_width 0, now it is 32"):
            train_geometry.train(field_config(num_epochs_stage1=2, resume=True, **tokens))


def test_an_encoder_that_was_moved_away_is_said_in_one_line(field_config, encoder_folder, tmp_path):
    moved = tmp_path / "encoder"
    shutil.copytree(encoder_folder, moved)
    train_geometry.train(field_config(num_epochs_stage1=1, field_tokens=True, encoder_name=str(moved)))
    moved.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"{moved}: no such folder") as error:
        load_field_model(tmp_path / "checkpoints" / "geometry_field_last.pth")
    assert "\n" not in str(error.value)


# ---- Items


def test_an_item_is_the_same_from_the_cache_and_made_again_where_that_is_damaged(field_config, tmp_path):
    cfg = field_config(cache_dir=str(tmp_path / "cache"))
    dataset = FieldDataset(list(prepare_objects(cfg, quiet=True)[1].values()))
    made, read = dataset[(0, 3)], dataset[(0, 3)]
    file, = Path(cfg.cache_dir).glob("*-field-*.npz")
    file.write_bytes(file.read_bytes()[:1000])
    again = dataset[(0, 3)]
    assert made["id"] == dataset.cached[0].id and made["variant"] == 3
    for name in ("maps", "box", "points", "distances"):
        assert torch.equal(made[name], read[name]) and torch.equal(made[name], again[name])


def test_variants_are_turned_or_joined_or_solids_each_its_own(field_config, tmp_path, monkeypatch):
    kinds = []
    made = load_data.make_field_item
    monkeypatch.setattr(load_data, "make_field_item",
                        lambda files, kind, rng: kinds.append((kind, len(files))) or made(files, kind, rng))
    monkeypatch.setattr(load_data, "VARIANT_SHARES", (0.4, 0.3, 0.3))  # so that seven hold every kind
    cfg = field_config(cache_dir=str(tmp_path / "cache"))
    dataset = FieldDataset(list(prepare_objects(cfg, quiet=True)[1].values()))
    items = [dataset[(1, variant)] for variant in range(7)]
    assert kinds[0] == ("given", 1) and {kind for kind, _ in kinds[1:]} == {"turned", "joined", "solid"}
    assert all(count == (3 if kind == "joined" else 1) for kind, count in kinds)
    boxes = {tuple(item["box"].flatten().tolist()) for item in items}
    assert len(boxes) == 7
    assert all((item["box"][1] - item["box"][0]).max() == pytest.approx(2, abs=0.03) for item in items[1:])


# ---- What goes wrong


@pytest.mark.parametrize("options, named", [
    (["--geometry_decoder", "voxels"], "--geometry_decoder voxels: choose points or field"),
    (["--field_target", "color"], "--field_target color: choose occupancy or distance"),
    (["--field_grid", "10"], "--field_grid 10: must be a multiple of 8"),
    (["--field_grid", "24", "--field_widths", "32,60"], "--field_widths (32, 60): expected multiples of 8"),
    (["--field_tokens", "--field_color", "false"], "--field_tokens true: tokens tell what images show"),
    (["--field_points", "0"], "--field_points 0: must be at least 1"),
    (["--resume", "--checkpoint_dir", "{tmp}", "--log_dir", "{tmp}"], "geometry_field_last.pth: no such checkpoint")])
def test_wrong_combinations_are_refused_in_one_line(options, named, run_script_main, field_config, tmp_path):
    cfg = field_config()
    data = ["--obj_dir", cfg.obj_dir, "--images_dir", cfg.images_dir, "--cache_dir", cfg.cache_dir, "--device", "cpu",
            "--num_surface_samples", "512", "--image_size", "56", "--geometry_decoder", "field"]
    code, _, errors = run_script_main(train_geometry, *data, *[text.format(tmp=tmp_path) for text in options])
    assert code == 2
    assert errors.startswith("error: ") and named in errors and errors.count("\n") == 1


# ---- The script itself


@pytest.mark.slow
def test_the_script_trains_on_the_shipped_sample_in_one_command(tmp_path):
    command = [sys.executable, "train_geometry.py", "--preset", "fast", "--geometry_decoder", "field",
               "--device", "cpu",
               "--num_epochs_stage1", "1", "--field_variants", "0", "--field_grid", "8", "--field_widths", "8,16",
               "--training_share", "0.3", "--field_points", "500", "--cache_dir", str(tmp_path / "cache"),
               "--obj_dir", "data/sample/OBJs", "--images_dir", "data/sample/input_images",
               "--checkpoint_dir", str(tmp_path), "--log_dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "training on 3 objects, validating on 2" in done.stdout and "epoch 1: loss" in done.stdout
    assert load_field_model(tmp_path / "geometry_field_best.pth")[1]["epoch"] == 1
    start, end = (line["validation"] for line in read_log(tmp_path))
    assert end < start


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(field_config, tmp_path):
    # One object is held out, so the second process has none to validate on.
    two, one = (field_config(num_epochs_stage1=2, checkpoint_dir=str(tmp_path / name), log_dir=str(tmp_path / name),
                             batch_size_stage1=batches) for name, batches in (("two", 1), ("one", 2)))
    train_geometry.train(one)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run([*command, "train_geometry.py", *as_options(two)], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "processes: 2" in done.stdout and done.stdout.count("epoch 1: loss") == 1, "one process talks"
    first, second = read_log(one.log_dir), read_log(two.log_dir)
    assert [line.keys() for line in first] == [line.keys() for line in second]
    for one_line, two_line in zip(first, second):
        assert two_line == pytest.approx(one_line, abs=1e-4)
    weights = [weights_of(tmp_path / name / "geometry_field_last.pth") for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    # Biases before a norm have no gradient but rounding, of whose sign Adam makes a whole step
    apart = {name: (weights[0][name] - weights[1][name]).abs().median().item() for name in weights[0]
             if not name.endswith("bias")}
    assert max(apart.values()) < 1e-4, apart
