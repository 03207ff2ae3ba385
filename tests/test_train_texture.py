"""The second stage's loop, run: a few steps on tiny shoes over a tiny geometry model."""
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import models.encoder
import models.losses
import train_geometry
import train_texture
from config import PRETRAINED_DIR, VIEW_NAMES, UserError, config_as_dict
from models.encoder import load_encoder
from models.geometry_model import GeometryModel, load_geometry_model
from models.texture_model import load_texture_model
from tests.test_train_geometry import (
    assert_same_checkpoints,
    few_shoes,
    read_lines,
    read_log,
    run_processes,
    run_until,
    weights_moved,
    weights_of,
    without_times,
)
from utils.io.checkpoint import save_checkpoint, stored_weights


@pytest.fixture
def config(tiny_config, tiny_geometry):
    """As `tiny_config`, with the tiny geometry named and no encoder, so that the geometry's own is copied."""
    def make(**changes):
        cfg = tiny_config(**{"geometry_checkpoint": str(tiny_geometry), "num_epochs_stage2": 1} | changes)
        cfg.explicit -= {"encoder_name"}
        return cfg
    return make


# ---- A run


def test_epochs_write_best_last_and_a_log_that_agree(config, tmp_path):
    cfg = config(num_epochs_stage2=2)
    scores = train_texture.train(cfg)
    lines = read_log(cfg.log_dir, "texture")
    assert [line["epoch"] for line in lines] == [0, 1, 2] and [line.get("step") for line in lines] == [None, 4, 8]
    assert scores["start"] == lines[0]["validation"] and scores["last"] == lines[2]["validation"]
    assert scores["best"] == min(line["validation"] for line in lines[1:])
    assert all(math.isfinite(value) for line in lines for value in line.values())
    for line in lines[1:]:
        expected = sum(getattr(cfg, f"lambda_{part}") * line[part] for part in ("l1l2", "perceptual", "smooth"))
        assert line["loss"] == pytest.approx(expected, rel=1e-5)
    record = json.loads((Path(cfg.log_dir) / "texture_config.json").read_text())
    assert record["checkpoints"][0]["sha256"] == hashlib.sha256(Path(cfg.geometry_checkpoint).read_bytes()).hexdigest()
    assert record["seed"] == cfg.seed and record["versions"]["torch"] == torch.__version__
    for name in ("best", "last"):
        model, checkpoint = load_texture_model(tmp_path / "checkpoints" / f"texture_{name}.pth")
        assert checkpoint["image_size"] == 56
        assert model(torch.rand(1, 6, 3, 56, 56), torch.zeros(1, 7, 3)).shape == (1, 7, 3)


@pytest.mark.parametrize("changes", [
    pytest.param({}, marks=pytest.mark.slow),
    pytest.param({"freeze_image_encoder": True, "lambda_perceptual": 0.0}, marks=pytest.mark.slow),
    pytest.param({"augmentations": 2}, marks=pytest.mark.slow), {"augmentations": 2, "freeze_image_encoder": True}],
    ids=["trained", "frozen", "augmented", "augmented and frozen"])
def test_four_epochs_equal_two_a_stop_and_two_more(changes, config, tmp_path, monkeypatch):
    whole = config(num_epochs_stage2=4, checkpoint_dir=str(tmp_path / "whole"), log_dir=str(tmp_path / "a"), **changes)
    halves = config(num_epochs_stage2=4, checkpoint_dir=str(tmp_path / "halves"), log_dir=str(tmp_path / "b"),
                    **changes)
    expected = train_texture.train(whole)
    run_until(halves, 9, monkeypatch, train_texture.train)
    halves.resume = True
    assert train_texture.train(halves) == expected
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "halves", "texture")
    assert without_times(read_log(tmp_path / "a", "texture")) == without_times(read_log(tmp_path / "b", "texture"))


def test_a_resumed_run_of_other_sizes_is_refused_naming_file_and_setting(config):
    train_texture.train(config())
    with pytest.raises(UserError, match="texture_last.pth: was trained with hidden 16, now it is 32"):
        train_texture.train(config(num_epochs_stage2=2, resume=True, texture_hidden=32))


def test_steps_follow_the_learning_rate_schedule(config, tmp_path):
    cfg = config(num_epochs_stage2=2, warmup_fraction=0.25, learning_rate_stage2=0.01, log_every=1,
                 lambda_perceptual=0.0)
    train_texture.train(cfg)
    # Eight steps, two of them to warm up, then a cosine from 1 to 0.01 in six.
    expected = [0.005, 0.01] + [0.01 * (0.01 + 0.99 * (1 + math.cos(math.pi * step / 6)) / 2) for step in range(6)]
    steps = [line for line in read_lines(cfg.log_dir, "texture") if "during_epoch" in line]
    assert [line["learning_rate"] for line in steps] == pytest.approx(expected)
    saved = torch.load(tmp_path / "checkpoints" / "texture_last.pth", weights_only=True)
    groups = saved["optimizer"]["param_groups"]
    assert all(group["lr"] == pytest.approx(expected[-1] * group["scale"]) for group in groups)
    assert saved["metric_name"] == "l1l2"


def test_gradients_are_clipped_before_a_step(config, monkeypatch):
    settings = {"weight_decay": 0.0, "training_share": 0.001, "learning_rate_stage2": 0.01, "lambda_perceptual": 0.0}
    free = weights_moved(train_texture, config(**settings), monkeypatch)
    assert free > 0.005, "Adam's first step is as long as the learning rate"
    assert weights_moved(train_texture, config(**settings, gradient_clip=1e-12), monkeypatch) < 1e-4 * free


def test_colors_are_smoothed_along_every_edge_of_the_mesh(config, tiny_geometry, monkeypatch):
    given, smooth = [], train_texture.smoothness_loss
    monkeypatch.setattr(train_texture, "smoothness_loss",
                        lambda colors, edges: given.append((colors, edges)) or smooth(colors, edges))
    cfg = config(lambda_perceptual=0.0, log_every=1)
    train_texture.train(cfg)
    faces = load_geometry_model(tiny_geometry)[0].template["faces"].numpy()
    every = {tuple(sorted((int(face[i]), int(face[i - 1])))) for face in faces for i in range(3)}
    steps = [line for line in read_lines(cfg.log_dir, "texture") if "during_epoch" in line]
    for colors, edges in given:
        assert {tuple(sorted(edge)) for edge in edges.tolist()} == every and len(edges) == len(every)
        assert colors.shape == (1, 64, 3), "at the vertices"
    assert all(line["loss"] == pytest.approx(line["l1l2"] + 0.02 * line["smooth"], rel=1e-5) for line in steps)


def test_what_the_geometry_stage_encoded_is_not_encoded_again(tiny_config, tmp_path, monkeypatch):
    settings = {"freeze_image_encoder": True, "augmentations": 2, "lambda_perceptual": 0.0, "num_epochs_stage1": 1,
                "num_epochs_stage2": 2, "cache_dir": str(tmp_path / "cache")}
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 1)
    train_geometry.train(tiny_config(**settings))
    monkeypatch.setattr(models.encoder.ImageEncoder, "forward", lambda *_: pytest.fail("the encoder was called"))
    cfg = tiny_config(**settings)
    cfg.explicit -= {"encoder_name"}
    assert train_texture.train(cfg)["last"] is not None


def test_frozen_features_give_the_losses_that_the_images_give(config, tmp_path):
    """The trained loop reads images, the frozen one cached features; before a step is taken both must agree."""
    starts = [train_texture.train(config(num_epochs_stage2=1, checkpoint_dir=str(tmp_path / str(frozen)),
                                         freeze_image_encoder=frozen))["start"] for frozen in (False, True)]
    assert starts[0] == pytest.approx(starts[1], rel=1e-5)


@pytest.mark.parametrize("frozen", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_variant_is_colored_on_the_shape_of_its_own_images(frozen, config, tiny_geometry, monkeypatch):
    from load_data import SixViewDataset, prepare_objects
    from utils.training_data.loader import EpochSampler

    cfg = config(num_epochs_stage2=5, validation_fraction=0.0, lambda_perceptual=0.0, freeze_image_encoder=frozen,
                 augmentations=1)
    predicted, sample_faces = [], models.losses.sample_faces
    monkeypatch.setattr(train_texture, "sample_faces",
                        lambda vertices, *rest: predicted.append(vertices) or sample_faces(vertices, *rest))
    train_texture.train(cfg)
    geometry, _ = load_geometry_model(tiny_geometry)
    dataset = SixViewDataset(list(prepare_objects(cfg, quiet=True)[1].values()))
    sampler, keys = EpochSampler(len(dataset), True, cfg.seed, augmentations=1, fresh=not frozen), []
    for epoch in range(5):
        sampler.set_epoch(epoch)
        keys += list(sampler)
    assert len(keys) == len(predicted) and {0, 1} <= {variant for _, variant in keys}
    for key, vertices in zip(keys, predicted):
        assert torch.allclose(vertices, geometry(dataset[key]["images"][None]), atol=1e-6), key


def test_geometry_is_left_as_it_is(config, tiny_geometry):
    before = tiny_geometry.read_bytes()
    train_texture.train(config())
    assert tiny_geometry.read_bytes() == before


def test_the_encoder_and_aggregation_start_from_the_geometrys(config, tiny_geometry, tmp_path):
    cfg = config(learning_rate_stage2=0.0, weight_decay=0.0)
    train_texture.train(cfg)
    geometry, texture = weights_of(tiny_geometry), weights_of(tmp_path / "checkpoints" / "texture_last.pth")
    shared = [name for name in texture if name.startswith(("encoder.", "aggregator."))]
    assert shared and all(torch.equal(texture[name], geometry[name]) for name in shared)


def test_best_is_never_overwritten_by_a_worse_run(config, tmp_path):
    good = train_texture.train(config(num_epochs_stage2=2))
    best = tmp_path / "checkpoints" / "texture_best.pth"
    before = best.read_bytes()
    worse = train_texture.train(config(learning_rate_stage2=3.0))
    assert worse["last"] > good["best"], "the second run must be worse for this test to say anything"
    assert best.read_bytes() == before and worse["best"] == good["best"]


# ---- Learning


@pytest.mark.slow
def test_one_objects_colors_can_be_overfitted(config, shoes, tmp_path):
    cfg = config(**few_shoes(shoes, tmp_path, 1), validation_fraction=0.0, num_epochs_stage2=400,
                 learning_rate_stage2=1e-2, texture_hidden=64, texture_frequencies=4, lambda_perceptual=0.0,
                 lambda_smooth=0.0, freeze_image_encoder=True)
    train_texture.train(cfg)
    lines = read_log(cfg.log_dir, "texture")
    # One step draws 128 points, so one epoch's loss is off by a third: the last ten say where it has come to.
    assert np.mean([line["l1l2"] for line in lines[-10:]]) < lines[0]["l1l2"] / 4


def test_the_perceptual_loss_compares_the_mesh_drawn_in_six_views_with_the_true_images(config, monkeypatch):
    drawn, compared = [], []
    draw, distance = models.losses.draw_colors, models.losses.feature_distance
    monkeypatch.setattr(train_texture, "draw_colors", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    monkeypatch.setattr(train_texture, "feature_distance", lambda *given: compared.append(given) or distance(*given))
    cfg = config(validation_fraction=0.0)
    train_texture.train(cfg)
    # The untrained mesh is an ellipsoid 0.6 wide and high and 1.2 long; 56 pixels cover 2.2.
    across, along = 0.6 / 2.2 * 56, 1.2 / 2.2 * 56
    boxes = {"front": (across, across), "back": (across, across), "left": (along, across), "right": (along, across),
             "top": (across, along), "bottom": (across, along)}
    for image, name in zip(drawn[0][0], VIEW_NAMES):
        assert image.shape == (3, 56, 56)
        seen = (image < 0.99).any(0)
        assert (seen.any(0).sum().item(), seen.any(1).sum().item()) == pytest.approx(boxes[name], abs=2.5), name
        assert image[:, ~seen].min() == 1, "white around it"
    assert all(pred.requires_grad and not true.requires_grad for pred, true in compared)
    from load_data import SixViewDataset, prepare_objects

    geometry, _ = load_geometry_model(cfg.geometry_checkpoint)
    shown = [geometry.encoder(item["images"][None])[1]
             for item in SixViewDataset(list(prepare_objects(cfg, quiet=True)[1].values()))]
    for _, true in compared:
        assert any(torch.allclose(true, tokens, atol=1e-5) for tokens in shown), "the views in their order"


def test_a_color_is_that_of_the_nearest_true_point(config, monkeypatch, shoes):
    seen = []

    def record(pred, true):
        seen.append((pred.shape, true))
        return original(pred, true)

    original = models.losses.color_loss
    monkeypatch.setattr(train_texture, "color_loss", record)
    cfg = config(lambda_perceptual=0.0, validation_fraction=0.0)
    train_texture.train(cfg)
    from load_data import SixViewDataset, prepare_objects

    items = list(SixViewDataset(list(prepare_objects(cfg, quiet=True)[1].values())))
    geometry, _ = load_geometry_model(cfg.geometry_checkpoint)
    assert len(seen) == 5
    matched = 0
    for shape, true in seen:
        assert shape == true.shape == (1, 64 + 128, 3), "vertices and points on the surface between them"
        for item in items:
            vertices = geometry(item["images"][None])[0]
            nearest = np.linalg.norm(vertices.numpy()[:, None] - item["points"].numpy()[None], axis=-1).argmin(1)
            matched += bool((true[0, :64] == item["colors"][nearest]).all(-1).float().mean() > 0.98)
    assert matched == 5, "each batch is one object, colored by its own surface"


# ---- What goes wrong


def test_a_loss_that_is_not_finite_stops_naming_step_and_objects(config, monkeypatch):
    original, calls = models.losses.color_loss, []

    def breaks_later(pred, true):
        calls.append(0)
        return original(pred, true) * (math.nan if len(calls) == 2 else 1)

    monkeypatch.setattr(train_texture, "color_loss", breaks_later)
    with pytest.raises(UserError, match=r"loss is nan at step 1 on shoe_0000\d \(l1l2 nan, smooth .*perceptual"):
        train_texture.train(config(validation_fraction=0.0))


def test_a_missing_or_wrong_geometry_checkpoint_is_named_with_code_2(config, tmp_path, run_script_main):
    code, _, errors = run_script_main(train_texture, "--device", "cpu", "--geometry_checkpoint", tmp_path / "none.pth")
    assert code == 2 and f"error: {tmp_path / 'none.pth'}: no such checkpoint" in errors and errors.count("\n") == 1
    cfg = config()
    train_texture.train(cfg)
    texture = tmp_path / "checkpoints" / "texture_best.pth"
    code, _, errors = run_script_main(train_texture, "--device", "cpu", "--geometry_checkpoint", texture)
    assert code == 2 and f"error: {texture}: holds a texture model" in errors and errors.count("\n") == 1


def test_another_image_size_than_the_geometrys_is_refused(config):
    with pytest.raises(UserError, match="--image_size 70: .*geometry_best.pth reads images of 56 pixels"):
        train_texture.train(config(image_size=70))


def test_your_own_geometry_comes_before_the_shipped_one(tiny_config, tmp_path):
    cfg = tiny_config(geometry_checkpoint="")
    assert train_texture.find_geometry(cfg).parts[-3:] == (*Path(PRETRAINED_DIR).parts, "geometry_best.pth")
    own = Path(cfg.checkpoint_dir) / "geometry_best.pth"
    own.parent.mkdir()
    own.touch()
    assert train_texture.find_geometry(cfg) == own
    cfg.geometry_checkpoint = "named.pth"
    assert train_texture.find_geometry(cfg) == Path("named.pth")


def test_an_encoder_of_another_width_can_be_named(tiny_config, tiny_geometry, tmp_path):
    train_texture.train(tiny_config(geometry_checkpoint=str(tiny_geometry), encoder_name="scratch", encoder_width=16,
                                    num_epochs_stage2=1))
    model, _ = load_texture_model(tmp_path / "checkpoints" / "texture_best.pth")
    assert model.encoder.feature_dim == 16 and model.aggregator.output_dim == 32


def test_images_the_geometry_was_trained_on_are_used_at_its_size(config, tmp_path):
    path, cfg = tmp_path / "geometry_70.pth", config()
    cfg.image_size = 70
    model = GeometryModel(load_encoder(cfg.__class__(encoder_name="scratch", encoder_width=32, encoder_layers=1,
                                                     encoder_heads=2, image_size=70))[0],
                          num_points=64, decoder_hidden=(32,), aggregate_dim=32)
    save_checkpoint(path, "geometry", model_args=model.model_args(), weights=stored_weights(model), image_size=70,
                    config=config_as_dict(cfg), epoch=1, score=None, validation_ids=[])
    run = config(geometry_checkpoint=str(path), lambda_perceptual=0.0)
    run.explicit -= {"image_size"}
    train_texture.train(run)
    assert load_texture_model(tmp_path / "checkpoints" / "texture_best.pth")[1]["image_size"] == 70


# ---- Several processes


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(config, tmp_path):
    changes = {"num_epochs_stage2": 2, "freeze_image_encoder": True}
    two = config(**changes, checkpoint_dir=str(tmp_path / "two"), log_dir=str(tmp_path / "two"))
    one = config(**changes, checkpoint_dir=str(tmp_path / "one"), log_dir=str(tmp_path / "one"), batch_size_stage2=2)
    assert "processes: 2" in run_processes("train_texture.py", two, 2)
    train_texture.train(one)
    first, second = (without_times(read_log(cfg.log_dir, "texture")) for cfg in (one, two))
    assert [line.keys() for line in first] == [line.keys() for line in second]
    for one_line, two_line in zip(first, second):
        assert two_line == pytest.approx(one_line, abs=1e-4)
