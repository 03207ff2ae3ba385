"""Scores on held-out objects, the best model that they choose, and what a run says at its end."""
import pytest
import torch

from tests.training.test_loop import One
from utils.training import judging
from utils.training.best_checkpoint import BestCheckpoint
from utils.training.judging import end_run, keep_if_better, validation_mean


class Alone(One):
    """An accelerator of one process that a run can end."""

    def wait_for_everyone(self):
        pass

    end_training = wait_for_everyone


@pytest.fixture
def saved(monkeypatch):
    """(epoch, score) of every checkpoint that would have been written."""
    written = []
    monkeypatch.setattr(judging, "save_model", lambda accelerator, path, epoch, score, **rest: written.append((epoch, score)))
    return written


def test_validation_is_in_eval_mode_without_gradients_and_weighs_objects_alike():
    model, modes = torch.nn.Sequential(torch.nn.Dropout(0.5)), []
    batches = [{"id": ["a", "b", "c"], "x": torch.full((64,), 1.0)}, {"id": ["d"], "x": torch.full((64,), 5.0)}]

    def score(network, batch):
        modes.append((network.training, torch.is_grad_enabled()))
        return network(batch["x"]).mean()

    assert validation_mean(model, batches, score, One()) == pytest.approx((3 * 1 + 5) / 4), "nothing dropped"
    assert modes == [(False, False)] * 2 and model.training
    assert validation_mean(model, [], score, One()) is None


def test_only_a_better_model_is_kept_and_whoever_improves_it_says_so(saved, tmp_path, capsys):
    best, ids = BestCheckpoint(tmp_path / "best.pth", ["a"]), {"validation_ids": ["a"]}
    for epoch, score, better in ((0, 0.6, True), (1, 0.7, False), (2, 0.5, True), (3, 0.5, False)):
        assert keep_if_better(Alone(), best, None, epoch, score, ids) == better
    assert saved == [(0, 0.6), (2, 0.5)]
    end_run(Alone(), best, tmp_path / "last.pth", None, 3, 0, "num_epochs_stage1", ids)
    assert capsys.readouterr().out == f"wrote {tmp_path}/best.pth and {tmp_path}/last.pth\n"


def test_where_no_epoch_was_better_best_is_said_to_stay(saved, tmp_path, capsys):
    best, ids = BestCheckpoint(tmp_path / "best.pth", ["a"]), {"validation_ids": ["a"]}
    assert keep_if_better(Alone(), best, None, 0, 0.6, ids) and not keep_if_better(Alone(), best, None, 1, 0.7, ids)
    end_run(Alone(), best, tmp_path / "last.pth", None, 1, 0, "num_epochs_stage1", ids)
    assert capsys.readouterr().out == (f"wrote {tmp_path}/last.pth; {tmp_path}/best.pth stays what it was before the first "
                                       "epoch (0.60000), which none beat\n")
    end_run(Alone(), best, tmp_path / "last.pth", None, 1, 1, "num_epochs_stage1", ids)
    assert capsys.readouterr().out == "nothing to do: 1 epoch is done; raise --num_epochs_stage1\n"


def test_without_held_out_objects_the_last_model_is_the_best(saved, tmp_path, capsys):
    best, nobody = BestCheckpoint(tmp_path / "best.pth", []), {"validation_ids": []}
    end_run(Alone(), best, tmp_path / "last.pth", None, 5, 2, "num_epochs_stage2", nobody)
    assert saved == [(5, None)] and capsys.readouterr().out.startswith("no objects were held out, so best is the last epoch's")
    end_run(Alone(), best, tmp_path / "last.pth", None, 5, 5, "num_epochs_stage2", nobody)
    assert len(saved) == 1, "it was written by the run that did the epochs"
