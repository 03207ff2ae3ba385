"""What both loops share: rates by hand, randomness per object, the log, the keeper of the best."""
import io
import json
import math
import sys
import time
import types

import pytest
import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from config import Config, UserError
from utils.training import loop, run_log
from utils.training.best_checkpoint import BestCheckpoint
from utils.training.loop import (
    WeightAverage,
    check_finite,
    duration,
    learning_rate_at,
    make_optimizer,
    prepare_run,
    progress,
    sample_generator,
    seed_everything,
    set_learning_rate,
    show_losses,
    shuffled_views,
    silence_other_ranks,
    subsample_points,
    uniform_noise,
)
from utils.training.plot_log import SIZE, read_epoch_lines
from utils.training.run_log import RunLog, StepMeter

# ---- Learning rate


def test_the_rate_rises_in_equal_steps_then_falls_on_a_cosine_to_a_hundredth():
    rates = [learning_rate_at(step, 100, 2.0, 0.1) for step in range(101)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(2 * (0.01 + 0.99 / 2)), "half way down"
    assert rates[10 + 30] == pytest.approx(2 * (0.01 + 0.99 * 0.75)), "cos 60 degrees is a half"
    assert rates[100] == pytest.approx(0.02)
    assert all(later < earlier for earlier, later in zip(rates[10:], rates[11:]))


def test_the_rate_of_very_short_runs_is_sound():
    assert learning_rate_at(0, 1, 1.0, 0.05) == 1.0
    assert learning_rate_at(0, 2, 1.0, 0.0) == 1.0
    assert learning_rate_at(500, 100, 1.0, 0.1) == pytest.approx(0.01), "beyond the end it stays"
    assert learning_rate_at(49, 100, 1.0, 1.0) == pytest.approx(0.5)
    assert all(0 < learning_rate_at(step, total, 1.0, share) <= 1 for total in range(1, 6) for step in range(total)
               for share in (0.0, 0.3, 1.0))


# ---- Optimizer


class TwoParts(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.head, self.norm = nn.Linear(2, 3), nn.Linear(3, 1), nn.LayerNorm(3)
        self.head.bias.requires_grad_(False)


def test_matrices_alone_decay_and_the_encoder_has_its_own_scale():
    model = TwoParts()
    optimizer = make_optimizer(model, 0.1, 0.25)
    set_learning_rate(optimizer, 2.0)
    found = {id(parameter): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups
             for parameter in group["params"]}
    assert found == {id(model.encoder.weight): (0.5, 0.1), id(model.encoder.bias): (0.5, 0.0),
                     id(model.head.weight): (2.0, 0.1), id(model.norm.weight): (2.0, 0.0),
                     id(model.norm.bias): (2.0, 0.0)}


# ---- Randomness


def test_a_generator_depends_on_seed_epoch_and_object_and_on_nothing_else():
    def draw(*key):
        return torch.rand(4, generator=sample_generator(*key)).tolist()

    first = draw(0, 3, "shoe")
    torch.manual_seed(5)
    assert draw(0, 3, "shoe") == first
    others = [draw(1, 3, "shoe"), draw(0, 4, "shoe"), draw(0, 3, "boot"), draw(0, "validation", "shoe"),
              draw(0, 33, "shoe")]
    assert all(other != first for other in others) and len(set(map(tuple, others))) == len(others)


def test_a_sample_is_the_same_in_any_batch():
    views, points = torch.rand(3, 6, 2), torch.rand(3, 50, 3)

    def generators(names):
        return [sample_generator(0, 1, name) for name in names]

    together = (shuffled_views(views, generators("abc")), *subsample_points([points], 20, generators("abc")),
                uniform_noise(7, 3, generators("abc")))
    alone = (shuffled_views(views[1:2], generators("b")), *subsample_points([points[1:2]], 20, generators("b")),
             uniform_noise(7, 3, generators("b")))
    for whole, one in zip(together, alone):
        assert torch.equal(whole[1:2], one)


def test_views_are_shuffled_whole_and_differently_for_each_object():
    views = torch.arange(6.0)[None, :, None].expand(40, 6, 4)
    shuffled = shuffled_views(views, [sample_generator(0, 0, i) for i in range(40)])
    assert (shuffled == shuffled[..., :1]).all(), "a view stays together"
    assert torch.equal(shuffled[..., 0].sort(1).values, views[..., 0])
    assert len({tuple(row.tolist()) for row in shuffled[..., 0]}) > 30
    assert torch.equal(shuffled_views(list(views), [sample_generator(0, 0, i) for i in range(40)]), shuffled)


def test_points_are_drawn_without_repetition_and_alike_from_arrays_that_belong_together():
    points = torch.arange(100.0).view(1, 100, 1).expand(2, -1, 3)
    first, second = subsample_points([points, -points], 30, [sample_generator(0, 0, i) for i in range(2)])
    assert first.shape == (2, 30, 3) and torch.equal(first, -second)
    assert all(len(row[:, 0].unique()) == 30 for row in first) and not torch.equal(first[0], first[1])
    every, = subsample_points([points], 500, [sample_generator(0, 0, i) for i in range(2)])
    assert torch.equal(every.sort(1).values, points)


def test_uniform_draws_lie_below_one():
    draws = uniform_noise(20000, 3, [sample_generator(0, 0, "a")])
    assert draws.shape == (1, 20000, 3) and draws.dtype == torch.float32
    assert draws.min() >= 0 and draws.max() < 1 and draws.mean().item() == pytest.approx(0.5, abs=0.01)


def test_seeding_covers_python_numpy_and_torch():
    import random

    import numpy as np

    drawn = []
    for _ in range(2):
        seed_everything(7)
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))  # noqa: NPY002 (what is seeded)
    assert drawn[0] == drawn[1]


# ---- Stopping


def test_only_a_loss_that_is_not_finite_stops():
    parts = {"chamfer": torch.tensor(0.5, requires_grad=True), "edge": torch.tensor(math.nan)}
    check_finite(torch.tensor(1.0), parts, 0, ["a"])
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(UserError, match=r"is (nan|-?inf) at step 12 on left, right \(chamfer 0\.5, edge nan\)"):
            check_finite(torch.tensor(value), parts, 12, ["left", "right"])


# ---- Validation and other processes


class One:
    """An accelerator of one process on the CPU, or what another process sees of several."""

    def __init__(self, is_main_process=True):
        self.device, self.is_main_process = torch.device("cpu"), is_main_process

    def reduce(self, value, reduction="sum"):
        return value


def test_other_processes_are_silent_within_the_context_and_speak_after_it(capsys):
    with silence_other_ranks(One(is_main_process=False)):
        print("second")
    print("after")
    with silence_other_ranks(One()):
        print("first")
    assert capsys.readouterr().out == "after\nfirst\n"


def test_a_weight_average_keeps_less_of_the_first_steps():
    model = torch.nn.Linear(1, 1, bias=False)
    average, mean = WeightAverage(model, 0.5), None
    for count, weight in enumerate((4.0, 8.0, 16.0, 0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 11.0)):
        model.weight.data.fill_(weight)
        average.update(model)
        kept = min(0.5, (1 + count) / (10 + count))
        mean = weight if mean is None else kept * mean + (1 - kept) * weight
    assert average.model.weight.item() == pytest.approx(mean)
    again = WeightAverage(model, 0.5)
    again.load(average.state())
    assert again.model.weight.item() == average.model.weight.item() and again.averaged.n_averaged == 10


# ---- Log


def lines(log):
    return [json.loads(line) for line in log.path.read_text().splitlines()]


def test_the_log_is_one_object_a_line_with_the_settings_beside_it(tmp_path):
    log = RunLog(tmp_path / "logs", "geometry", {"seed": 3})
    log.write(0, validation=0.5)
    log.write(1, loss=0.25, seconds=1)
    assert lines(log) == [{"epoch": 0, "validation": 0.5}, {"epoch": 1, "loss": 0.25, "seconds": 1}]
    assert log.path == tmp_path / "logs" / "geometry.jsonl"
    assert json.loads((tmp_path / "logs" / "geometry_config.json").read_text()) == {"seed": 3}


def test_a_resumed_log_drops_what_comes_after_and_a_new_one_starts_over(tmp_path):
    log = RunLog(tmp_path, "geometry", {})
    for epoch in range(5):
        log.write(epoch, loss=1.0)
    resumed = RunLog(tmp_path, "geometry", {}, resumed_epoch=2)
    resumed.write(3, loss=2.0)
    assert [(line["epoch"], line["loss"]) for line in lines(resumed)] == [(0, 1), (1, 1), (2, 1), (3, 2)]
    RunLog(tmp_path, "texture", {}, resumed_epoch=2)  # with nothing to keep
    assert lines(RunLog(tmp_path, "geometry", {})) == []


def test_a_resumed_log_survives_a_last_line_that_a_power_cut_left_half_written(tmp_path):
    log = RunLog(tmp_path, "geometry", {})
    log.write(1, loss=1.0)
    with open(log.path, "a") as file:
        file.write('{"epoch": 2, "lo')
    assert [line["epoch"] for line in lines(RunLog(tmp_path, "geometry", {}, resumed_epoch=1))] == [1]


def test_steps_have_lines_of_their_own_and_go_with_their_epoch(tmp_path):
    log = RunLog(tmp_path, "geometry", {})
    log.write_step(1, 5, loss=2.0)
    log.write(1, loss=1.0)
    log.write_step(2, 10, loss=0.5)
    assert lines(log) == [{"during_epoch": 1, "step": 5, "loss": 2.0}, {"epoch": 1, "loss": 1.0},
                          {"during_epoch": 2, "step": 10, "loss": 0.5}]
    assert read_epoch_lines(log.path) == [{"epoch": 1, "loss": 1.0}]
    assert lines(RunLog(tmp_path, "geometry", {}, resumed_epoch=1)) == lines(log)[:2]


def test_without_tensorboard_a_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # makes the import fail
    RunLog(tmp_path, "geometry", {})
    assert "no TensorBoard" in capsys.readouterr().out


def test_a_meter_gives_means_since_it_was_asked_and_of_the_epoch():
    meter = StepMeter()
    for value in meter.timed([1.0, 2.0, 6.0]):
        if value > 1:
            time.sleep(0.01)
        meter.step_done(loss=torch.tensor(value))
        if value == 2:
            assert meter.recent_means(One())["loss"] == 1.5
    assert meter.recent_means(One())["loss"] == 6 and meter.epoch_means(One())["loss"] == 3
    assert meter.epoch_means(One())["step_seconds"] >= 0.02 / 3 > meter.epoch_means(One())["data_seconds"]


def test_other_processes_write_nothing(tmp_path):
    log = RunLog(tmp_path / "logs", "geometry", {}, active=False)
    log.write(1, loss=1.0)
    assert not (tmp_path / "logs").exists()


# ---- Best


def test_best_is_only_ever_improved(tmp_path):
    keeper = BestCheckpoint(tmp_path / "best.pth", ["a"])
    told = [keeper.improves(score) for score in (0.5, 0.6, 0.5, 0.4, math.nan, 0.41)]
    assert told == [True, False, False, True, False, False]
    assert keeper.score == 0.4


def test_an_older_best_on_the_same_objects_has_to_be_beaten(tmp_path, capsys):
    keeper = BestCheckpoint(tmp_path / "best.pth", ["a", "b"], {"validation_ids": ["a", "b"], "score": 0.3})
    assert "0.30000" in capsys.readouterr().out
    assert not keeper.improves(0.31) and keeper.improves(0.29)
    assert not list(tmp_path.iterdir())


def test_a_score_of_another_metric_cannot_be_compared(tmp_path):
    for name in ("metric_name", "scored_by"):
        old = {"validation_ids": ["a"], "score": 0.1, name: "distance"}
        assert BestCheckpoint(tmp_path / "best.pth", ["a"], old, "occupancy").move_aside
        assert BestCheckpoint(tmp_path / "best.pth", ["a"], old, "distance").score == 0.1


@pytest.mark.parametrize("old", [{"validation_ids": ["c"], "score": 0.1}, {"validation_ids": ["a"], "score": None}])
def test_an_older_best_that_cannot_be_compared_is_moved_aside_once(old, tmp_path):
    path = tmp_path / "best.pth"
    path.write_text("old")
    keeper = BestCheckpoint(path, ["a"], old)
    assert path.read_text() == "old", "not before there is something better to put there"
    assert keeper.improves(0.9)
    assert not path.exists() and (tmp_path / "best_previous.pth").read_text() == "old"
    path.write_text("new")
    assert keeper.improves(0.8)
    assert path.read_text() == "new" and (tmp_path / "best_previous.pth").read_text() == "old"


def test_curves_are_drawn_at_a_validation_and_otherwise_every_ten_seconds(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run_log.time, "monotonic", lambda: now[0])
    log, path = RunLog(tmp_path, "geometry", {}), tmp_path / "geometry" / "curves.png"
    log.write(0, validation=0.5)
    first = path.read_bytes()
    log.write(1, loss=0.4, chamfer=0.3)
    assert path.read_bytes() == first
    now[0] += 11
    log.write(2, loss=0.3, chamfer=0.2)
    second = path.read_bytes()
    assert second != first and Image.open(path).size == (SIZE[0], 2 * SIZE[1]), "the loss's parts have a panel of their own"
    log.write(3, loss=0.2, chamfer=0.1, validation=0.3)
    assert path.read_bytes() != second
    resumed = RunLog(tmp_path, "geometry", {}, resumed_epoch=2)
    resumed.write(3, loss=0.2, chamfer=0.1, validation=0.3)
    whole = RunLog(tmp_path / "other", "geometry", {})
    for epoch, values in enumerate(({"validation": 0.5}, {"loss": 0.4, "chamfer": 0.3}, {"loss": 0.3, "chamfer": 0.2},
                                    {"loss": 0.2, "chamfer": 0.1, "validation": 0.3})):
        whole.write(epoch, **values)
    now[0] += 11
    whole._draw()
    assert path.read_bytes() == (tmp_path / "other" / "geometry" / "curves.png").read_bytes(), "earlier epochs are there"


def test_curves_show_up_without_a_validation_too_and_only_the_first_process_draws(tmp_path):
    RunLog(tmp_path / "a", "geometry", {}).write(1, loss=0.4)
    assert (tmp_path / "a" / "geometry" / "curves.png").is_file()
    RunLog(tmp_path / "b", "geometry", {}, active=False).write(1, loss=0.4, validation=0.1)
    assert not (tmp_path / "b").exists()


def test_a_sheet_is_given_to_tensorboard_where_there_is_one(tmp_path):
    given = []
    log = RunLog(tmp_path, "geometry", {})
    Image.new("RGB", (30, 20), (255, 0, 0)).save(tmp_path / "validation_objects.png")
    log.board = None
    log.show(tmp_path / "validation_objects.png", 3)
    log.board = types.SimpleNamespace(add_image=lambda *args, **options: given.append((args, options)))
    log.show(tmp_path / "validation_objects.png", 3)
    ((name, image, epoch), options), = given
    assert (name, image.shape, epoch, options) == ("validation_objects", (20, 30, 3), 3, {"dataformats": "HWC"})


# ---- What a terminal shows


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self):
        return True


def test_a_bar_shows_the_losses_and_the_time_of_all_epochs_to_come(monkeypatch):
    screen, now = Terminal(), [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(loop, "tqdm", lambda *args, **options: tqdm(*args, **options, file=screen, ncols=120))
    bar = progress([1] * 10, 2, 5, True)
    bar._time = lambda: now[0]
    bar.start_t = bar.last_print_t = 0.0
    for number, _ in enumerate(bar):
        now[0] += 2.0
        if number == 4:
            bar.refresh()
        show_losses(bar, {"loss": torch.tensor(0.25), "chamfer": torch.tensor(0.125)}, epochs_left=3)
    shown = screen.getvalue()
    assert "epoch 3/5" in shown and "loss 0.25, chamfer 0.125" in shown
    assert bar.postfix.endswith("42 s to go"), "two of 30 batches are left, at 2 s each, but for the one under way"


def test_without_a_terminal_there_is_no_bar_and_no_loss_is_read():
    class Unread:
        def __float__(self):
            raise AssertionError("reading waits for the device")

    for bar in (progress([1, 2], 0, 1, False), progress([1, 2], 0, 1, True)):  # stderr of a test is no terminal
        for _ in bar:
            show_losses(bar, {"loss": Unread()}, 1)


@pytest.mark.parametrize("seconds, text", [(0.4, "0 s"), (99, "99 s"), (120, "2 min"), (5400, "90 min"), (12600, "3.5 h")])
def test_a_duration_is_in_words(seconds, text):
    assert duration(seconds) == text


def test_of_several_processes_the_first_alone_tries_the_folders(tmp_path, monkeypatch):
    """Another's trial makes and removes a folder that is not there, while the first one opens its lock in it."""
    cfg = Config(checkpoint_dir=str(tmp_path / "checkpoints"), log_dir=str(tmp_path / "logs"))
    first, other = (types.SimpleNamespace(is_main_process=main, device="cpu", num_processes=2) for main in (True, False))
    tried = []
    monkeypatch.setattr(loop, "check_writable", tried.append)
    for accelerator, folders in ((first, [cfg.checkpoint_dir, cfg.log_dir]), (other, [])):
        tried.clear()
        monkeypatch.setattr(loop, "make_accelerator", lambda *_, made=accelerator: made)
        assert prepare_run(cfg) is accelerator and tried == folders
