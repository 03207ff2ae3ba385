"""How a run judges its models on objects held out of training, keeps the best one, and what it says at its end."""
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from config import counted
from utils.training.best_checkpoint import BestCheckpoint
from utils.training.loop import save_model
from utils.training.run_log import RunLog


def validation_mean(model: nn.Module, batches: Iterable[dict], score: Callable[[nn.Module, dict], Tensor],
                    accelerator: Accelerator) -> float | None:
    """Mean score over the held-out objects of all processes, the model in eval mode and without gradients.

    Args:
        model: the bare model: processes may hold unequal numbers of batches, and a wrapped one would wait for more.
        batches: of this process's fraction of the objects.
        score: score(model, batch) -> scalar tensor, the mean over the batch's objects.
        accelerator: accelerate.Accelerator.
    Returns:
        float; None if no process has a batch.
    """
    model.eval()
    total = torch.zeros(2, device=accelerator.device)
    with torch.no_grad():
        for batch in batches:
            value = score(model, batch)
            total += len(batch["id"]) * torch.stack([value, torch.ones_like(value)])
    model.train()
    total = accelerator.reduce(total)
    return float(total[0] / total[1]) if total[1] else None


def keep_if_better(accelerator: Accelerator, best: BestCheckpoint, model: nn.Module, epoch: int, score: float,
                   facts: dict) -> bool:
    """Whether a model's score beats everything before it; if so, it becomes the best checkpoint.

    Args:
        model: the bare model; epoch: whole epochs it was trained; facts: as for save_model.
    """
    if not best.improves(score):
        return False
    save_model(accelerator, best.path, model=model, epoch=epoch, score=score, **facts)
    best.epoch = epoch
    return True


def judge_start(accelerator: Accelerator, task: Any, model: nn.Module, origin: str, best: BestCheckpoint, log: RunLog,
                facts: dict) -> float:
    """Score of what a run begins with, logged and said. It competes for best: that is never worse than no training.

    Args:
        task: has validation_loader and validation_score(model, batch).
        model: the bare model; origin: where its weights come from, for the line; facts: as for save_model.
    """
    score = validation_mean(model, task.validation_loader, task.validation_score, accelerator)
    log.write(0, validation=score)
    print(f"epoch 0 ({origin}): validation {score:.5f}")
    keep_if_better(accelerator, best, model, 0, score, facts)
    return score


def show_objects(sheet: Any, log: RunLog, task: Any, model: nn.Module, epoch: int, score: float, last: bool) -> None:
    """Draw what a model makes of the held-out objects, if a drawing is due.

    Args:
        sheet: ValidationSheet; task: has predicted_mesh(model, number, views).
        model: the bare model, of that epoch and score; last: of the run's last epoch.
    """
    if sheet.due(last=last):
        sheet.draw(partial(task.predicted_mesh, model), f"epoch {epoch}, validation {score:.5f}")
        log.show(sheet.path, epoch)


def end_run(accelerator: Accelerator, best: BestCheckpoint, last_path: Path, model: nn.Module, epochs: int,
            first_epoch: int, option: str, facts: dict) -> None:
    """Wait for all processes and say what was written; where nothing was held out, the last model counts as the best.

    Args:
        last_path: of the last epoch's checkpoint; model: the bare model after the last epoch.
        epochs, first_epoch: asked for, and done before this run; option: that asks for more epochs.
        facts: as for save_model.
    """
    if not facts["validation_ids"] and first_epoch < epochs:
        best.make_way()
        save_model(accelerator, best.path, model=model, epoch=epochs, score=None, **facts)
        print("no objects were held out, so best is the last epoch's")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if first_epoch >= epochs:
        print(f"nothing to do: {counted(first_epoch, 'epoch is', 'epochs are')} done; raise --{option}")
    elif facts["validation_ids"] and not best.epoch:
        start = f"epoch {first_epoch + 1}" if first_epoch else "the first epoch"
        print(f"wrote {last_path}; {best.path} stays what it was before {start} ({best.score:.5f}), which none beat")
    else:
        print(f"wrote {best.path} and {last_path}")
