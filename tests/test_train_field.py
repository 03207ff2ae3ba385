"""The field's training, run: a few steps on tiny shoes, stopped, resumed, overfitted, in two processes."""
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import train_field
import utils.training_data.field_samples
import utils.training_data.object_cache as object_cache
import utils.training_data.occupancy
from config import UserError
from load_data import FieldDataset, prepare_field_objects
from models.field_model import FieldModel, load_field_model
from models.view_cameras import view_cameras
from tests.conftest import as_options
from tests.test_train_geometry import (
    assert_same_checkpoints,
    few_shoes,
    read_lines,
    run_until,
    weights_moved,
    weights_of,
    without_times,
)
from tests.test_train_geometry import read_log as read_log_of
from utils.training.loop import sample_generator

ROOT = Path(__file__).parents[1]
TINY_FIELD = {"field_grid": 8, "field_widths": (8, 16), "field_image_widths": (0,), "field_points": 200,
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
    monkeypatch.setattr(train_field, "SHIPPED", Path("there is none"))  # what it scores is asked elsewhere


@pytest.fixture
def field_config(tiny_config, field_cache):
    """Function: settings by name -> Config of a short run of the field."""
    return lambda **changes: tiny_config(**{"cache_dir": field_cache, **TINY_FIELD, **changes})


def read_log(folder):
    return without_times(read_log_of(folder, "geometry_field"))


# ---- A run


@pytest.mark.parametrize("changes", [{}, {"field_grid": 0}, {"field_color": False},
                                     pytest.param({"field_image_widths": (8, 16)}, marks=pytest.mark.slow)],
                         ids=["plain", "no volume", "no color", "images' features"])
def test_a_run_writes_best_last_and_a_log_and_the_model_comes_back(changes, field_config, tmp_path):
    cfg = field_config(num_epochs_stage1=2, **changes)
    scores = train_field.train(cfg)
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
    made = {"grid_size": cfg.field_grid, "use_color": cfg.field_color}
    assert made.items() <= model.model_args().items()


def test_the_last_score_is_that_of_the_checkpoint_that_was_written(field_config, tmp_path):
    cfg = field_config(num_epochs_stage1=1)
    scores = train_field.train(cfg)
    model, checkpoint = load_field_model(tmp_path / "checkpoints" / "geometry_field_last.pth")
    cached = prepare_field_objects(cfg, quiet=True)[1]
    item = FieldDataset([cached[name] for name in checkpoint["validation_ids"]])[0]
    chosen = torch.randperm(2000, generator=sample_generator(0, "validation", item["id"]))[:200]
    output, hull = model(item["points"][None, chosen], item["maps"][None].float(), view_cameras(), item["box"][None])
    distances = item["distances"][chosen].float()
    entropy = torch.nn.functional.softplus(torch.where(distances > 0, -output[0], output[0]))
    weight = (hull[0] > -0.01) * (distances.abs() / item["bands"][chosen].float()).clamp(0.2, 1)
    assert scores["last"] == pytest.approx(((entropy * weight).sum() / weight.sum()).item(), rel=1e-4)


def test_equal_seeds_give_equal_weights_and_others_do_not(field_config, tmp_path):
    runs = [field_config(num_epochs_stage1=1, seed=seed, checkpoint_dir=str(tmp_path / str(i)))
            for i, seed in enumerate((3, 3, 4))]
    for cfg in runs:
        train_field.train(cfg)
    first, again, other = (weights_of(Path(cfg.checkpoint_dir) / "geometry_field_last.pth") for cfg in runs)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


@pytest.fixture
def steps_seen(monkeypatch):
    """What each step is given: dicts of maps and box (B, ...) as they lie in the cache, and what the model and the loss
    get instead: given maps, points, box; distances and bands before and after."""
    steps, forward, loss, choose = [], FieldModel.forward, train_field.field_loss, train_field.FieldTask._chosen_points

    def chosen(self, batch, generators):
        points, distances, bands = choose(self, batch, generators)
        steps.append({"maps": batch["maps"].float(), "box": batch["box"], "distances": distances.clone(),
                      "bands": bands.clone()})
        return points, distances, bands

    def recorded(self, points, maps, cameras, box):
        steps[-1] |= {"points": points, "given_maps": maps, "given_box": box}
        return forward(self, points, maps, cameras, box)

    def judged(output, distances, hull, bands):
        steps[-1] |= {"given_distances": distances, "hull": hull, "given_bands": bands}
        return loss(output, distances, hull, bands)

    monkeypatch.setattr(train_field.FieldTask, "_chosen_points", chosen)
    monkeypatch.setattr(FieldModel, "forward", recorded)
    monkeypatch.setattr(train_field, "field_loss", judged)
    return steps


def test_points_box_and_distances_of_a_changed_space_still_belong_together(field_config, steps_seen):
    train_field.train(field_config(num_epochs_stage1=2, validation_fraction=0.0, field_points=2000))
    assert len(steps_seen) == 10
    for step in steps_seen:
        points, box, distances = step["points"], step["given_box"], step["given_distances"]
        half = (box[:, 1] - box[:, 0]) / 2
        assert half.max() == pytest.approx(1, abs=1e-5)
        reach = torch.quantile((points - box.mean(dim=1)).abs() / half, 0.995, dim=1)
        assert ((reach > 0.9) & (reach < 1.05)).all(), "points, which lie in the hull, fill the box on every axis"
        deep = distances > 0.03
        assert deep.sum() > 50 and (step["hull"][deep] > 0).float().mean() > 0.97, "what is inside lies in the hull"
        volumes = [(edges[:, 1] - edges[:, 0]).prod() for edges in (step["box"], box)]
        longer = (volumes[1] / volumes[0]) ** (1 / 3)
        assert torch.allclose(distances, step["distances"] * longer, rtol=1e-4)
        assert torch.allclose(step["given_bands"], step["bands"] * longer, rtol=1e-4)
    assert max(abs(1 - float(step["given_distances"].norm() / step["distances"].norm())) for step in steps_seen) > 0.05


def test_colors_change_in_training_and_neither_in_validation_nor_at_other_channels(field_config, steps_seen):
    train_field.train(field_config(num_epochs_stage1=2))
    trained = [step for step in steps_seen if not torch.equal(step["given_box"], step["box"])]
    validated = [step for step in steps_seen if torch.equal(step["given_box"], step["box"])]
    assert len(trained) == 8 and len(validated) == 3, "at the start and after each epoch"
    assert all(torch.equal(step["given_maps"], step["maps"]) for step in validated)
    changes = [(step["given_maps"] - step["maps"])[:, :, :3].abs().amax() for step in trained]
    assert sum(change > 0.05 for change in changes) > len(changes) / 2
    assert all(torch.equal(step["given_maps"][:, :, 3:], step["maps"][:, :, 3:]) for step in trained)


@pytest.mark.slow
def test_one_object_can_be_overfitted(field_config, shoes, tmp_path, monkeypatch):
    same_space = torch.eye(3)[None]
    monkeypatch.setattr(train_field, "augment_space", lambda box, generators, stretch, cameras: (same_space, cameras))
    monkeypatch.setattr(train_field, "random_colors", lambda maps, generators: maps)
    cfg = field_config(num_epochs_stage1=60, validation_fraction=0.0, training_share=0.001, field_points=1000,
                       learning_rate_field=8e-3)
    train_field.train(cfg)
    losses = [line["loss"] for line in read_log(cfg.log_dir)]
    assert sum(losses[-5:]) / 5 < 0.6 * losses[0]
    model, checkpoint = load_field_model(tmp_path / "checkpoints" / "geometry_field_last.pth")
    item = FieldDataset([prepare_field_objects(cfg, quiet=True)[1][checkpoint["training_ids"][0]]])[0]
    output, hull = model(item["points"][None], item["maps"][None].float(), view_cameras(), item["box"][None])
    sure = (hull[0] > 0) & (item["distances"].abs() > 0.03)
    assert ((output[0] > 0) == (item["distances"] > 0))[sure].float().mean() > 0.85


def test_steps_follow_the_learning_rate_schedule(field_config, tmp_path):
    cfg = field_config(num_epochs_stage1=2, warmup_fraction=0.25, learning_rate_field=0.01, log_every=1)
    train_field.train(cfg)
    # Eight steps, two of them to warm up, then a cosine from 1 to 0.01 in six.
    expected = [0.005, 0.01] + [0.01 * (0.01 + 0.99 * (1 + math.cos(math.pi * step / 6)) / 2) for step in range(6)]
    steps = [line for line in read_lines(cfg.log_dir, "geometry_field") if "during_epoch" in line]
    assert [line["learning_rate"] for line in steps] == pytest.approx(expected)
    saved = torch.load(tmp_path / "checkpoints" / "geometry_field_last.pth", weights_only=True)["optimizer"]
    assert [group["lr"] for group in saved["param_groups"]] == pytest.approx([expected[-1]] * 2)


def test_gradients_are_clipped_before_a_step(field_config, monkeypatch):
    settings = {"num_epochs_stage1": 1, "weight_decay": 0.0, "training_share": 0.001, "learning_rate_field": 0.01}
    free = weights_moved(train_field, field_config(**settings), monkeypatch)
    assert free > 0.005, "Adam's first step is as long as the learning rate"
    assert weights_moved(train_field, field_config(**settings, gradient_clip=1e-12), monkeypatch) < 1e-4 * free


def test_steps_within_an_epoch_are_logged_with_norms_and_times(field_config):
    cfg = field_config(num_epochs_stage1=2, log_every=3)
    train_field.train(cfg)
    lines = read_lines(cfg.log_dir, "geometry_field")
    steps = [line for line in lines if "during_epoch" in line]
    assert [(line["during_epoch"], line["step"]) for line in steps] == [(1, 3), (2, 6)]
    for line in steps + [line for line in lines if line.get("epoch")]:
        assert line["gradient_norm"] > 0 and line["data_seconds"] > 0 and line["step_seconds"] > 0
    epoch = next(line for line in lines if line.get("epoch") == 1)
    assert 4 * (epoch["data_seconds"] + epoch["step_seconds"]) <= epoch["seconds"]


def test_the_mean_of_the_weights_is_what_is_judged_and_kept_as_best(field_config, tmp_path, monkeypatch):
    from torch.optim.swa_utils import AveragedModel

    update, seen = AveragedModel.update_parameters, []
    monkeypatch.setattr(AveragedModel, "update_parameters", lambda self, model: seen.append(
        {name: value.detach().clone() for name, value in model.named_parameters()}) or update(self, model))
    scores = train_field.train(field_config(num_epochs_stage1=1, average_weights=0.6, learning_rate_field=1e-3))
    assert len(seen) == 4
    mean = seen[0]
    for kept, weights in zip((2 / 11, 3 / 12, 4 / 13), seen[1:]):  # less than 0.6 of a mean of so few
        mean = {name: kept * value + (1 - kept) * weights[name] for name, value in mean.items()}
    best, last = (weights_of(tmp_path / "checkpoints" / f"geometry_field_{name}.pth") for name in ("best", "last"))
    assert all(torch.allclose(best[name], mean[name], atol=1e-6) for name in mean)
    assert all(torch.equal(last[name], seen[-1][name]) for name in mean), "the last ones serve resuming"
    plain = train_field.train(field_config(num_epochs_stage1=1, learning_rate_field=1e-3,
                                           checkpoint_dir=str(tmp_path / "plain")))
    assert scores["last"] != plain["last"] and scores["start"] == plain["start"]


def test_a_run_begins_with_the_weights_it_is_given(field_config, tmp_path):
    first = train_field.train(field_config(num_epochs_stage1=2))
    begun = field_config(num_epochs_stage1=1, seed=0, checkpoint_dir=str(tmp_path / "second"),
                         initial_weights=str(tmp_path / "checkpoints" / "geometry_field_last.pth"))
    assert train_field.train(begun)["start"] == pytest.approx(first["last"], rel=1e-6)
    spoilt = replace(begun, learning_rate_field=30.0, checkpoint_dir=str(tmp_path / "third"))
    scores = train_field.train(spoilt)
    assert scores["last"] > scores["start"] == scores["best"], "what it began with is a rival like any epoch"
    kept, given = weights_of(tmp_path / "third" / "geometry_field_best.pth"), weights_of(begun.initial_weights)
    assert all(torch.equal(kept[name], given[name]) for name in given)
    begun.field_grid = 16
    with pytest.raises(UserError, match="geometry_field_last.pth: was trained with grid_size 8, now it is 16"):
        train_field.train(begun)


# ---- Stopping and going on


@pytest.mark.parametrize("changes", [
    pytest.param({"field_variants": 1, "gradient_accumulation_steps": 2, "field_generated": 1, "log_every": 1},
                 marks=pytest.mark.slow),
    pytest.param({"field_variants": 1, "field_echo": 3, "batch_size_stage1": 2, "field_image_widths": (8, 16)},
                 marks=pytest.mark.slow),
    {"average_weights": 0.9, "gradient_accumulation_steps": 2, "log_every": 1}],
    ids=["variants, accumulated", "variants, echoed", "averaged"])
def test_four_epochs_equal_two_a_stop_and_two_more(changes, field_config, tmp_path, monkeypatch):
    whole, halves = (field_config(num_epochs_stage1=4, checkpoint_dir=str(tmp_path / name),
                                  log_dir=str(tmp_path / name), **changes) for name in ("whole", "halves"))
    expected = train_field.train(whole)
    steps = torch.load(tmp_path / "whole" / "geometry_field_last.pth", weights_only=True)["step"] // 4
    run_until(halves, 2 * steps + 1, monkeypatch, train_field.train)  # in the midst of the third epoch
    assert torch.load(tmp_path / "halves" / "geometry_field_last.pth", weights_only=True)["epoch"] == 2
    halves.resume = True
    assert train_field.train(halves) == expected
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "halves", "geometry_field")
    lines = [without_times(read_lines(tmp_path / name, "geometry_field")) for name in ("whole", "halves")]
    assert lines[0] == lines[1]


def test_a_resumed_run_of_other_sizes_is_refused_naming_file_and_setting(field_config):
    train_field.train(field_config(num_epochs_stage1=1))
    with pytest.raises(UserError, match="geometry_field_last.pth: was trained with use_color True, now it is False"):
        train_field.train(field_config(num_epochs_stage1=2, resume=True, field_color=False))


def test_a_running_mean_is_not_lost_by_resuming_without_it(field_config):
    train_field.train(field_config(num_epochs_stage1=1, average_weights=0.9))
    with pytest.raises(UserError, match="geometry_field_last.pth: .* go on with --average_weights 0.9"):
        train_field.train(field_config(num_epochs_stage1=2, resume=True))


# ---- Items


def test_an_item_is_the_same_from_the_cache_and_made_again_where_that_is_damaged(field_config, shoes, tmp_path):
    cfg = field_config(**few_shoes(shoes, tmp_path, 1), cache_dir=str(tmp_path / "cache"))
    dataset = FieldDataset(list(prepare_field_objects(cfg, quiet=True)[1].values()))
    made, read = dataset[(0, 3)], dataset[(0, 3)]
    file, = Path(cfg.cache_dir).glob("*-field-3-*.npz")
    file.write_bytes(file.read_bytes()[:1000])
    again = dataset[(0, 3)]
    assert made["id"] == dataset.cached[0].id and made["variant"] == 3
    for name in ("maps", "box", "points", "distances"):
        assert torch.equal(made[name], read[name]) and torch.equal(made[name], again[name])


@pytest.mark.slow
def test_variants_are_turned_or_joined_or_solids_each_its_own(field_config, tmp_path, monkeypatch):
    kinds, made = [], object_cache.make_variant
    monkeypatch.setattr(object_cache, "make_variant",
                        lambda paths, kind, rng: kinds.append((kind, len(paths))) or made(paths, kind, rng))
    monkeypatch.setattr(object_cache, "VARIANT_SHARES", (0.4, 0.3, 0.3))  # so that six hold every kind
    cfg = field_config(cache_dir=str(tmp_path / "cache"))
    dataset = FieldDataset(list(prepare_field_objects(cfg, quiet=True)[1].values()))
    items = [dataset[(1, variant)] for variant in range(7)]
    assert len(kinds) == 6 and {kind for kind, _ in kinds} == {"turned", "joined", "solid"}
    assert all(count == {"turned": 1, "joined": 3, "solid": 0}[kind] for kind, count in kinds)
    boxes = {tuple(item["box"].flatten().tolist()) for item in items}
    assert len(boxes) == 7
    edges = [float((item["box"][1] - item["box"][0]).max()) for item in items[1:]]
    assert edges == pytest.approx([2] * 6, abs=0.08), "cut masks are at most two pixels wider"


def test_an_item_is_made_again_for_another_mesh_or_image_and_for_no_setting_it_does_not_read(field_config, shoes,
                                                                                            tmp_path):
    cfg = field_config(**few_shoes(shoes, tmp_path, 1), cache_dir=str(tmp_path / "cache"))

    def items():
        prepare_field_objects(cfg, quiet=True)
        return {path.name for path in Path(cfg.cache_dir).iterdir()} - {"index.json"}

    first = items()
    assert len(first) == 1 and "-field-0-" in first.pop(), "neither surfaces nor resized images"
    cfg.image_size, cfg.num_surface_samples = 84, 600
    assert len(items()) == 1
    image = next(Path(cfg.images_dir).glob("*_top.png"))
    image.write_bytes(next(Path(cfg.images_dir).glob("*_bottom.png")).read_bytes())
    assert len(items()) == 2
    mesh = next(Path(cfg.obj_dir).glob("*/*.obj"))
    mesh.write_text(mesh.read_text() + "\nv 0 0 0\n")
    assert len(items()) == 3


@pytest.mark.slow
def test_generated_objects_follow_from_seed_and_number_and_come_from_the_cache(tmp_path, monkeypatch):
    dataset = FieldDataset([], 3, 5, tmp_path)
    assert len(dataset) == 3 and dataset[1]["id"] == "generated 5-1"
    first, another = dataset[1], dataset[(1, 2)]
    assert another["id"] == "generated 5-7", "each of their variants is another object"
    assert not torch.equal(first["points"], another["points"])
    other_folder, other_seed = FieldDataset([], 2, 5, tmp_path / "b")[1], FieldDataset([], 2, 6, tmp_path)[1]
    assert torch.equal(first["points"], other_folder["points"])
    assert not torch.equal(first["points"], dataset[2]["points"])
    assert not torch.equal(first["points"], other_seed["points"])
    monkeypatch.setattr(object_cache, "make_variant", lambda *_: pytest.fail("made again"))
    assert torch.equal(dataset[1]["maps"], first["maps"])


@pytest.mark.slow
def test_generated_objects_alone_are_trained_on_in_other_processes_and_never_validated_on(field_config, tmp_path,
                                                                                         monkeypatch):
    made = object_cache.make_variant

    def noted(paths, kind, rng):
        (tmp_path / f"made by {os.getpid()}").touch()
        return made(paths, kind, rng)

    monkeypatch.setattr(object_cache, "make_variant", noted)
    split = tmp_path / "split.txt"
    split.write_text("".join(f"shoe_{number:05d} {'validation' if number else 'test'}\n" for number in range(5)))
    cfg = field_config(num_epochs_stage1=1, field_generated=3, split_file=str(split), num_workers=2, seed=11)
    scores = train_field.train(cfg)
    makers = {int(path.name.split()[-1]) for path in tmp_path.glob("made by *")}
    assert makers and os.getpid() not in makers
    checkpoint = load_field_model(tmp_path / "checkpoints" / "geometry_field_best.pth")[1]
    assert checkpoint["training_ids"] == [] and read_log(cfg.log_dir)[1]["step"] == 3
    assert checkpoint["validation_ids"] == [f"shoe_{number:05d}" for number in range(1, 5)]
    assert math.isfinite(scores["best"])
    cfg.field_generated = 0
    with pytest.raises(UserError, match="no object is left to train on"):
        train_field.train(cfg)


# ---- What goes wrong


@pytest.mark.parametrize("options, named", [
    (["--field_grid", "10"], "--field_grid 10: must be a multiple of 8"),
    (["--gradient_clip", "0"], "--gradient_clip 0.0: must be at least 1e-12"),
    (["--field_echo", "2", "--gradient_accumulation_steps", "2"], "--gradient_accumulation_steps: goes with no --field_echo"),
    (["--field_grid", "24", "--field_widths", "32,60"], "--field_widths (32, 60): expected multiples of 8"),
    (["--field_points", "0"], "--field_points 0: must be at least 1"),
    (["--resume", "--checkpoint_dir", "{tmp}", "--log_dir", "{tmp}"], "geometry_field_last.pth: no such checkpoint")])
def test_wrong_combinations_are_refused_in_one_line(options, named, run_script_main, field_config, tmp_path):
    cfg = field_config()
    data = ["--obj_dir", cfg.obj_dir, "--images_dir", cfg.images_dir, "--cache_dir", cfg.cache_dir, "--device", "cpu"]
    code, _, errors = run_script_main(train_field, *data, *[text.format(tmp=tmp_path) for text in options])
    assert code == 2
    assert errors.startswith("error: ") and named in errors and errors.count("\n") == 1


# ---- The script itself


@pytest.mark.slow
def test_the_script_trains_on_the_shipped_sample_in_one_command(tmp_path):
    command = [sys.executable, "train_field.py", "--preset", "fast", "--device", "cpu",
               "--num_epochs_stage1", "6", "--field_variants", "0", "--field_grid", "8", "--field_widths", "8,16",
               "--field_image_widths", "0", "--training_share", "0.3", "--field_points", "500",
               "--cache_dir", str(tmp_path / "cache"),
               "--obj_dir", "data/sample/OBJs", "--images_dir", "data/sample/input_images",
               "--checkpoint_dir", str(tmp_path), "--log_dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "training on 3 objects, validating on 2" in done.stdout and "epoch 1: loss" in done.stdout
    assert load_field_model(tmp_path / "geometry_field_best.pth")[1]["epoch"] == 6
    start, *_, end = (line["validation"] for line in read_log(tmp_path) if "validation" in line)
    assert end < start


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(field_config, tmp_path):
    # One object is held out, so the second process has none to validate on.
    two, one = (field_config(num_epochs_stage1=2, checkpoint_dir=str(tmp_path / name), log_dir=str(tmp_path / name),
                             batch_size_stage1=batches) for name, batches in (("two", 1), ("one", 2)))
    train_field.train(one)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run([*command, "train_field.py", *as_options(two, "field")], cwd=ROOT, env=environment,
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
