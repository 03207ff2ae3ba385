"""Ctrl-C, SIGTERM and kill -9 while training, two runs in one folder, and what a resumed run keeps."""
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

import train_field
import train_geometry
import train_texture
import utils.training_data.field_samples
import utils.training_data.occupancy
from config import Stopped, Terminated
from tests.conftest import as_options
from tests.io.test_run_lock import HOLD, in_another_process
from tests.test_train_field import TINY_FIELD
from tests.test_train_geometry import assert_same_checkpoints, read_log, without_times
from utils.training.interruption import note_signals, signals_restored, stopped

ROOT = Path(__file__).parents[2]
MODULES = {"geometry": train_geometry, "field": train_field, "texture": train_texture}
STAGES = {"geometry": "geometry", "field": "geometry_field", "texture": "texture"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 2)
    monkeypatch.setattr(train_field, "SHIPPED", Path("there is none"))
    for name in ("SURFACE_SAMPLES", "NEAR_POINTS", "FREE_POINTS"):
        monkeypatch.setattr(utils.training_data.field_samples, name, 800)
    monkeypatch.setattr(utils.training_data.occupancy, "DIRECTIONS", 6)


@pytest.fixture(scope="module")
def run_cache(tmp_path_factory):
    """One cache for all runs here: what is learned from is made once for each object."""
    return str(tmp_path_factory.mktemp("run_cache"))


@pytest.fixture
def config_of(tiny_config, tiny_geometry, run_cache, tmp_path):
    """Function: script, settings -> Config of a run in a folder of its own."""
    def make(script, name="run", **changes):
        own = {"geometry": {}, "field": TINY_FIELD, "texture": {"geometry_checkpoint": str(tiny_geometry)}}[script]
        epochs = "num_epochs_stage2" if script == "texture" else "num_epochs_stage1"
        return tiny_config(**{"checkpoint_dir": str(tmp_path / name), "log_dir": str(tmp_path / f"{name}_logs"),
                              epochs: 3, "log_every": 1, "cache_dir": run_cache, **own, **changes})
    return make


def signal_at(step, number, monkeypatch, module):
    """Send this process a signal in the step of that number, as a terminal or a scheduler would."""
    sent = []

    def send(total, parts, at, object_ids):
        if at == step and not sent:
            sent.append(os.kill(os.getpid(), number))
    monkeypatch.setattr(module, "check_finite", send)


@pytest.mark.parametrize("script, number, changes", [
    ("geometry", signal.SIGINT, {"gradient_accumulation_steps": 2}),
    pytest.param("geometry", signal.SIGTERM, {"average_weights": 0.9}, marks=pytest.mark.slow),
    pytest.param("field", signal.SIGTERM, {}, marks=pytest.mark.slow),
    pytest.param("texture", signal.SIGINT, {}, marks=pytest.mark.slow)])
def test_a_signal_lets_the_step_finish_and_a_resumed_run_equals_an_unbroken_one(script, number, changes, config_of, tmp_path,
                                                                                monkeypatch):
    module = MODULES[script]
    expected = module.train(config_of(script, "whole", **changes))
    with monkeypatch.context() as patch:
        step = 2 if "gradient_accumulation_steps" in changes else 5
        signal_at(step, number, patch, module)
        with pytest.raises(Stopped, match=f"{step + 1} steps .1 whole epoch. are saved in .*_last.pth; --resume") as stop:
            module.train(config_of(script, **changes))
    assert stop.value.number == number
    assert torch.load(tmp_path / "run" / f"{STAGES[script]}_last.pth", weights_only=True)["batch"] == 2
    assert module.train(config_of(script, resume=True, **changes)) == expected
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "run", STAGES[script])
    logs = [without_times(read_log(tmp_path / f"{name}_logs", STAGES[script])) for name in ("whole", "run")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_script_says_in_one_line_what_is_saved_and_its_exit_code_names_the_signal(number, code, config_of, monkeypatch,
                                                                                       run_script_main):
    signal_at(1, number, monkeypatch, train_geometry)
    with signals_restored():
        found, _, err = run_script_main(train_geometry, *as_options(config_of("geometry"), "geometry"))
    assert found == code
    assert err.splitlines()[-1].startswith("stopped: 2 steps (0 whole epochs) are saved in ") and "Traceback" not in err


def test_a_second_signal_ends_at_once_and_leaves_nothing_half_written(config_of, tmp_path, monkeypatch):
    def twice(total, parts, at, object_ids):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    monkeypatch.setattr(train_geometry, "check_finite", twice)
    with pytest.raises(Terminated):
        train_geometry.train(config_of("geometry"))
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"geometry_last.pth", "geometry_best.pth"}


def test_a_signal_in_the_last_step_of_all_lets_the_run_end_as_it_would(config_of, monkeypatch):
    signal_at(5, signal.SIGTERM, monkeypatch, train_geometry)
    assert train_geometry.train(config_of("geometry", num_epochs_stage1=1, batch_size_stage1=1, validation_fraction=0.0))


@pytest.mark.parametrize("epoch, step, said", [(0, 1, "1 step (0 whole epochs) is saved in last.pth; --resume"),
                                               (1, 4, "4 steps (1 whole epoch) are saved in last.pth; --resume")])
def test_what_was_done_is_counted_in_good_english(epoch, step, said):
    assert str(stopped([signal.SIGINT], Path("last.pth"), epoch, step)).startswith(said)


def test_signals_do_what_they_did_before_once_the_block_is_left():
    before = signal.getsignal(signal.SIGINT)
    with signals_restored():
        noted = note_signals()
        os.kill(os.getpid(), signal.SIGINT)
        assert noted == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is before


# ---- What a resumed run keeps


def split_of(path):
    saved = torch.load(path, weights_only=True)
    return saved["training_ids"], saved["validation_ids"]


@pytest.mark.parametrize("script", ["geometry", *(pytest.param(script, marks=pytest.mark.slow)
                                                  for script in ("field", "texture"))])
def test_a_resumed_run_keeps_its_split_whatever_objects_come_and_whatever_the_options_say(script, config_of, shoes, tmp_path,
                                                                                          capsys):
    data = shutil.copytree(shoes, tmp_path / "data", ignore=shutil.ignore_patterns("cache"))
    for path in data.rglob("shoe_00004*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    folders = {"obj_dir": str(data / "OBJs"), "images_dir": str(data / "input_images")}
    epochs = "num_epochs_stage2" if script == "texture" else "num_epochs_stage1"
    MODULES[script].train(config_of(script, **folders, **{epochs: 1}))
    last = tmp_path / "run" / f"{STAGES[script]}_last.pth"
    before = split_of(last)
    shutil.copytree(shoes / "OBJs" / "shoe_00004", data / "OBJs" / "shoe_00004")
    for path in (shoes / "input_images").glob("shoe_00004*"):
        shutil.copy(path, data / "input_images")
    capsys.readouterr()
    MODULES[script].train(config_of(script, **folders, resume=True, seed=9, validation_fraction=0.5, **{epochs: 2}))
    assert split_of(last) == before and not set(before[0]) & set(before[1])
    assert "1 object is not part of the run" in capsys.readouterr().out


def test_objects_that_went_are_said_and_another_seed_alone_changes_no_split(config_of, shoes, tmp_path, capsys):
    data = shutil.copytree(shoes, tmp_path / "data", ignore=shutil.ignore_patterns("cache"))
    folders = {"obj_dir": str(data / "OBJs"), "images_dir": str(data / "input_images")}
    train_geometry.train(config_of("geometry", **folders, num_epochs_stage1=1, validation_fraction=0.4))
    train_ids, held_out = split_of(tmp_path / "run" / "geometry_last.pth")
    shutil.rmtree(data / "OBJs" / train_ids[0])
    capsys.readouterr()
    train_geometry.train(config_of("geometry", **folders, num_epochs_stage1=2, validation_fraction=0.4, resume=True, seed=5))
    printed = capsys.readouterr().out
    assert f"1 object of the run in {tmp_path}/run/geometry_last.pth no longer to be found, such as {train_ids[0]}" in printed
    assert split_of(tmp_path / "run" / "geometry_last.pth") == (train_ids[1:], held_out)


@pytest.mark.parametrize("script, rate", [("geometry", "learning_rate_stage1"),
                                          pytest.param("field", "learning_rate_field", marks=pytest.mark.slow),
                                          pytest.param("texture", "learning_rate_stage2", marks=pytest.mark.slow)])
def test_best_is_never_worse_than_no_training_at_all(script, rate, config_of, tmp_path):
    scores = MODULES[script].train(config_of(script, **{rate: 0.5}))
    best = torch.load(tmp_path / "run" / f"{STAGES[script]}_best.pth", weights_only=True)
    assert scores["last"] > scores["start"], "the run must be a bad one for this test to say anything"
    assert best["epoch"] == 0 and best["score"] == scores["best"] <= scores["start"]


def test_a_new_run_keeps_what_resume_would_have_gone_on_from_and_its_log(config_of, tmp_path, capsys):
    train_geometry.train(config_of("geometry", num_epochs_stage1=1))
    last, log = tmp_path / "run" / "geometry_last.pth", tmp_path / "run_logs" / "geometry.jsonl"
    before = last.read_bytes(), log.read_bytes()
    train_geometry.train(config_of("geometry", num_epochs_stage1=1, seed=3))
    assert "geometry_last_previous.pth" in capsys.readouterr().out
    kept = last.with_name("geometry_last_previous.pth"), log.with_name("geometry_previous.jsonl")
    assert tuple(path.read_bytes() for path in kept) == before


# ---- Two runs, and what killed ones leave


@pytest.mark.skipif(os.name != "posix", reason="locks are POSIX's")
@pytest.mark.parametrize("folder, option", [("run", "checkpoint_dir"), ("run_logs", "log_dir")])
def test_a_second_run_in_one_folder_is_refused_until_the_first_is_gone_however_it_went(folder, option, config_of, tmp_path,
                                                                                       run_script_main):
    other = in_another_process(HOLD, tmp_path / folder, "geometry")
    assert other.stdout.readline() == "held\n"
    words = as_options(config_of("geometry", num_epochs_stage1=1), "geometry")
    code, _, err = run_script_main(train_geometry, *words)
    assert code == 2 and err.count("\n") == 1
    assert f"{folder}: another run is writing here (process {other.pid})" in err and f"--{option}" in err
    other.kill()
    other.wait()
    assert (tmp_path / folder / ".geometry.lock").exists(), "a killed process takes nothing away"
    assert run_script_main(train_geometry, *words)[0] == 0
    assert not list((tmp_path / folder).glob(".*"))


@pytest.mark.skipif(os.name != "posix", reason="processes are asked about as POSIX does")
def test_what_killed_processes_left_goes_and_what_others_write_stays(config_of, tmp_path):
    ended = in_another_process("import os; print(os.getpid())")
    number = int(ended.communicate()[0])
    from utils.io.files import _machine, _prefix

    mine = _prefix("geometry_last")
    left = [f".geometry_last-{_machine()}-{number}-abcdefgh.pth", f".x-{_machine()}-{number}-abcdefgh"]
    kept = [f"{mine}abcdefgh.pth", ".geometry_last-00000000-1-abcdefgh.pth", ".profile", f"a-{_machine()}-{number}-abcdefgh"]
    for folder in ("run", "run_logs/geometry", "cache/below"):
        (tmp_path / folder).mkdir(parents=True)
        for name in left + kept:
            (tmp_path / folder / name).write_text("x")
    old = tmp_path / "run" / ".geometry_last-00000000-2-abcdefgh.pth"
    old.write_text("of another machine, days ago")
    os.utime(old, (1e9, 1e9))
    train_geometry.train(config_of("geometry", num_epochs_stage1=1, cache_dir=str(tmp_path / "cache")))
    for folder in ("run", "run_logs/geometry", "cache/below"):
        assert {path.name for path in (tmp_path / folder).iterdir() if path.name in left + kept} == set(kept)
    assert not old.exists()


# ---- The field that inference uses


@pytest.mark.slow
def test_training_judges_the_shipped_field_on_its_held_out_objects(config_of, tmp_path, monkeypatch, capsys):
    from models.field_model import FieldModel
    from utils.io.checkpoint import save_checkpoint, stored_weights

    torch.manual_seed(1)
    model = FieldModel(grid_size=0, view_width=8, head_width=8, image_widths=())
    save_checkpoint(tmp_path / "shipped.pth", "field", model_args=model.model_args(), weights=stored_weights(model),
                    image_size=256, config={}, epoch=1, score=0.5, validation_ids=[])
    monkeypatch.setattr(train_field, "SHIPPED", tmp_path / "shipped.pth")
    train_field.train(config_of("field", num_epochs_stage1=1))
    saved = torch.load(tmp_path / "run" / "geometry_field_best.pth", weights_only=True)
    judged = saved["shipped_field"]["score"]
    assert f"the shipped field has {judged:.5f} on the same objects: inference " in capsys.readouterr().out
    (tmp_path / "shipped.pth").unlink()
    train_field.train(config_of("field", num_epochs_stage1=2, resume=True))
    saved = torch.load(tmp_path / "run" / "geometry_field_last.pth", weights_only=True)
    assert saved["shipped_field"]["score"] == judged, "judged once, when the run began"
