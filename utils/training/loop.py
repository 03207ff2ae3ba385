"""What the training loops share and what does not care about their order: set-up, seeds, learning rate, resuming."""
import contextlib
import hashlib
import math
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from config import Config, UserError, config_as_dict, counted
from utils.device import make_accelerator
from utils.io.checkpoint import load_checkpoint, load_weights, save_checkpoint, stored_weights
from utils.io.files import check_writable, clear_leftovers
from utils.io.run_lock import run_lock
from utils.training.run_log import StepMeter

STATISTICS_OBJECTS = 64  # used to estimate feature mean and deviation when not all are cached


def prepare_run(cfg: Config) -> Accelerator:
    """The device of a run, its folders and its seed; what can fail at once fails here.

    Raises:
        UserError: the device is absent, or a folder cannot be written to.
    """
    accelerator = make_accelerator(cfg.device, cfg.mixed_precision, cfg.gradient_accumulation_steps)
    if accelerator.is_main_process:  # which alone writes there: a trial by another could take its new folder away
        for folder in (cfg.checkpoint_dir, cfg.log_dir):
            check_writable(folder)
        print(f"device: {accelerator.device}, processes: {accelerator.num_processes}, precision: {cfg.mixed_precision}")
    seed_everything(cfg.seed)
    return accelerator


def seed_everything(seed: int) -> None:
    """Seed every generator that training draws from outside `sample_generator` (initial weights, dropout)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (for libraries that draw from the global generator)
    torch.manual_seed(seed)


def sample_generator(seed: int, epoch: int | str, object_id: str | int) -> torch.Generator:
    """A CPU torch.Generator for one object in one epoch.

    All randomness of a sample (order of views, points drawn) comes from here, so it depends neither on the number of
    processes, nor on the batch size, nor on whether the run was stopped and resumed.
    """
    digest = hashlib.sha256(f"{seed}:{epoch}:{object_id}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def shuffled_views(per_view: Tensor | Sequence[Tensor], generators: Sequence[torch.Generator]) -> Tensor:
    """Each object's views in an order of its own.

    Args:
        per_view: list over objects of (S, ...) tensors (images or features), or one (B, S, ...) tensor.
        generators: one per object.
    Returns:
        (B, S, ...) tensor.
    """
    return torch.stack([views[torch.randperm(len(views), generator=generator)]
                        for views, generator in zip(per_view, generators)])


def subsample_points(arrays: Sequence[Tensor], count: int, generators: Sequence[torch.Generator]) -> list[Tensor]:
    """The same `count` random points of each object from several arrays.

    Args:
        arrays: list of (B, K, C) tensors that belong together row by row.
        count: points to draw, without repetition; all K in a random order if there are no more.
        generators: one per object.
    Returns:
        list of (B, min(count, K), C) tensors.
    """
    chosen = torch.stack([torch.randperm(arrays[0].shape[1], generator=generator)[:count] for generator in generators])
    return [torch.stack([rows[index] for rows, index in zip(array, chosen)]) for array in arrays]


def uniform_noise(count: int, width: int, generators: Sequence[torch.Generator]) -> Tensor:
    """(B, count, width) float32 uniform in [0, 1), one generator per object."""
    return torch.stack([torch.rand(count, width, generator=generator) for generator in generators])


def learning_rate_at(step: int, total_steps: int, peak: float, warmup_fraction: float) -> float:
    """Learning rate before step `step` of `total_steps`: linear warm-up to `peak`, then a cosine to a hundredth."""
    warmup = max(1, round(warmup_fraction * total_steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * min(progress, 1.0))) / 2)


def make_optimizer(model: nn.Module, weight_decay: float, encoder_scale: float = 1.0) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over the trainable parameters; biases and norms are not decayed.

    Each parameter group's `scale` is what its learning rate is multiplied by (see `set_learning_rate`): encoder_scale
    for the parameters under `encoder.`, 1 for the others.

    The fused kernel does the same arithmetic in one pass (a third of a step's time with a 29 M decoder on a CPU).
    """
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = encoder_scale if name.startswith("encoder.") else 1.0
            groups.setdefault((scale, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return torch.optim.AdamW([{"params": parameters, "scale": scale, "weight_decay": decay}
                              for (scale, decay), parameters in groups.items()], betas=(0.9, 0.98), fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group `rate` times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


class WeightAverage:
    """Exponential moving average of a model's weights, as torch's AveragedModel keeps it.

    Of the mean `decay` is kept at each step, in the first ones less: (1 + n) / (10 + n) after n steps, where that is
    less, so that a short run does not keep its untrained start (as in TensorFlow's ExponentialMovingAverage).

    Args:
        model: nn.Module, which is copied.
        decay: in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.averaged = AveragedModel(model, multi_avg_fn=self._average)
        self.decay = decay

    @property
    def model(self) -> nn.Module:
        """The model with the mean weights."""
        return self.averaged.module

    def update(self, model: nn.Module) -> None:
        """Take in the weights of `model` after an optimizer step."""
        self.averaged.update_parameters(model)

    def state(self) -> dict:
        """Plain tensors for a checkpoint: without an encoder that is kept by name alone."""
        return {"n_averaged": self.averaged.n_averaged,
                **{f"module.{name}": value for name, value in stored_weights(self.model).items()}}

    def load(self, state: dict) -> None:
        """Go on from what `state` gave."""
        self.averaged.load_state_dict(self.averaged.state_dict() | state)

    def _average(self, means, weights, count):
        count = int(count)
        get_ema_multi_avg_fn(min(self.decay, (1 + count) / (10 + count)))(means, weights, count)


def weight_average(model: nn.Module, decay: float, saved: dict) -> WeightAverage | None:
    """The running mean of a run's weights, as it was in the checkpoint that it goes on from; None if `decay` is 0."""
    if not decay:
        return None
    average = WeightAverage(model, decay)
    average.load(saved.get("average") or {})
    return average


@contextlib.contextmanager
def silence_other_ranks(accelerator: Accelerator) -> Iterator[None]:
    """Within this context stdout is silent in every process but the first: a run in several reads like one."""
    if accelerator.is_main_process:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def one_run_at_a_time(cfg: Config, stage: str, accelerator: Accelerator) -> Iterator[None]:
    """Within this context no other run of the stage writes to this one's folders; what killed runs left there goes.

    Args:
        cfg: Config; checkpoint_dir, log_dir and cache_dir are used.
        stage: the files' name: "geometry", "geometry_field" or "texture".
        accelerator: the first process stands for all.
    Raises:
        UserError: another run is under way.
    """
    with contextlib.ExitStack() as locks:
        if accelerator.is_main_process:
            for option in ("checkpoint_dir", "log_dir"):
                locks.enter_context(run_lock(getattr(cfg, option), stage,
                                             f"wait for it, or give this one another --{option}"))
            clear_leftovers(cfg.checkpoint_dir)
            clear_leftovers(cfg.log_dir, below=True)
            clear_leftovers(cfg.cache_dir, below=True)
        yield


def saved_run(cfg: Config, path: Path, kind: str) -> dict:
    """The checkpoint that a run goes on from: {} for a new run.

    Raises:
        UserError: there is none to resume, or it cannot be used.
    """
    if not cfg.resume:
        return {}
    try:
        return load_checkpoint(path, kind)
    except UserError as error:
        reason = str(error).split("; make one")[0]
        best = path.with_name(path.name.replace("_last", "_best"))
        others = f", or begin with --initial_weights {best}" if best.is_file() and kind != "texture" else ""
        raise UserError(f"{reason}; --resume has nothing to go on from: start anew without it{others}") from None


def move_aside(path: Path, accelerator: Accelerator) -> None:
    """Before a new run: keep the `*_last.pth` of an older one under another name, and say so."""
    if accelerator.is_main_process and path.is_file():
        aside = path.with_name(f"{path.stem}_previous{path.suffix}")
        path.replace(aside)
        print(f"a new run: what --resume would have gone on from is kept as {aside}")


def resume(saved: dict, path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, decay: float = 0.0) -> None:
    """Load the weights and the optimizer of a `*_last.pth`.

    Args:
        saved: dict, the checkpoint; path: of it.
        model, optimizer: changed in place; both before accelerate prepares them.
        decay: of the running mean of the weights that the run will keep; 0: none.
    Raises:
        UserError: its model has other sizes, or it holds a running mean that would be lost.
    """
    check_architecture(saved["model_args"], model.model_args(), path)
    if saved.get("average") and not decay:
        raise UserError(f"{path}: holds a running mean of the weights, which would be lost; go on with "
                        f"--average_weights {saved['config']['average_weights']:g}")
    load_weights(model, saved["weights"], path)
    optimizer.load_state_dict(saved["optimizer"])
    within = f" and {counted(saved['batch'], 'batch', 'batches')} of the next" if saved.get("batch") else ""
    print(f"resumed from {path}: {counted(saved['epoch'], 'epoch')} done{within}")


def begin_with(path: Path | str, kind: str, model: nn.Module,
               up_to_date: Callable = lambda model_args, weights: (model_args, weights)) -> None:
    """Load the weights of a checkpoint that a new run starts from.

    Args:
        path, kind: of the checkpoint; model: of the same sizes.
        up_to_date: function of the checkpoint's model arguments and weights that gives them as today's model reads them.
    Raises:
        UserError: the checkpoint is missing or damaged, or its model has other sizes.
    """
    given = load_checkpoint(path, kind)
    try:
        model_args, weights = up_to_date(given["model_args"], given["weights"])
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    check_architecture(model_args, model.model_args(), path)
    load_weights(model, weights, path)
    print(f"begins with the weights of {path}")


def take_weights(cfg: Config, saved: dict, path: Path, kind: str, model: nn.Module, optimizer: torch.optim.Optimizer,
                 up_to_date: Callable = lambda model_args, weights: (model_args, weights)) -> None:
    """`resume` if the run goes on from a checkpoint, `begin_with` if --initial_weights names one, else nothing."""
    if saved:
        resume(saved, path, model, optimizer, cfg.average_weights)
    elif cfg.initial_weights:
        begin_with(cfg.initial_weights, kind, model, up_to_date)


def where_it_stopped(saved: dict) -> tuple[int, int, float | None, float | None]:
    """Whole epochs and steps that a run has behind it, its first and its last validation score."""
    return saved.get("epoch", 0), saved.get("step", 0), saved.get("start_score"), saved.get("score")


def batches_to_do(accelerator: Accelerator, loader: Iterable, epoch: int, meter: StepMeter, saved: dict) -> Iterable:
    """An epoch's batches without the first ones if a stopped run had done them: `meter` goes on from their sums."""
    loader.set_epoch(epoch)
    if not saved.get("batch") or epoch != saved["epoch"]:
        return loader
    meter.load(saved["meter"])
    if isinstance(loader, DataLoader):
        return accelerator.skip_first_batches(loader, saved["batch"])
    return islice(loader, saved["batch"], None)


def progress(loader: Iterable, epoch: int, epochs: int, active: bool) -> tqdm:
    """The batches of an epoch (counted from 0), with a bar if `active` and on a terminal, without one in a file."""
    return tqdm(loader, desc=f"epoch {epoch + 1}/{epochs}", leave=False, disable=None if active else True, mininterval=0.5)


def show_losses(bar: tqdm, losses: dict[str, Tensor], epochs_left: int) -> None:
    """Write a step's losses and the time that the run will still take behind the bar of `progress`.

    They are read from the device only as often as the bar is drawn, and not at all where there is no bar.

    Args:
        bar: from `progress`; losses: scalars by name; epochs_left: the one under way included.
    """
    if bar.disable or time.monotonic() - getattr(bar, "shown_at", 0.0) < bar.mininterval:
        return
    bar.shown_at = time.monotonic()
    words = [f"{name} {float(value):.4g}" for name, value in losses.items()]
    rate = bar.format_dict["rate"] or (bar.n / bar.format_dict["elapsed"] if bar.n else 0)
    if rate and bar.total:
        words.append(f"{duration((epochs_left * bar.total - bar.n) / rate)} to go")
    bar.set_postfix_str(", ".join(words), refresh=False)


def duration(seconds: float) -> str:
    """A length of time in words that can be taken in at a glance: `40 s`, `12 min`, `3.5 h`."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def save_model(accelerator: Accelerator, path: Path, kind: str, model: nn.Module, cfg: Config, **facts: Any) -> None:
    """Write a checkpoint of a bare model, in the first process alone; facts as for save_checkpoint."""
    if accelerator.is_main_process:
        save_checkpoint(path, kind, model_args=model.model_args(), weights=stored_weights(model),
                        config=config_as_dict(cfg), **facts)


def check_finite(total: Tensor, parts: dict[str, Tensor], step: int, object_ids: Sequence[str]) -> None:
    """Raise UserError naming step, parts and objects if the loss is not a finite number."""
    if torch.isfinite(total):
        return
    values = ", ".join(f"{name} {part.item():.4g}" for name, part in parts.items())
    raise UserError(f"loss is {total.item()} at step {step} on {', '.join(object_ids)} ({values}); earlier epochs, if "
                    f"any, are in *_last.pth. Lower the learning rate, or look at these objects")


def check_architecture(saved: dict, asked: dict, path: Path | str) -> None:
    """Raise UserError naming the first setting in which a checkpoint's model differs from the one asked for.

    Args:
        saved, asked: dicts of plain types, a model's `model_args`.
        path: of the checkpoint.
    """
    for name, value in asked.items():
        before = saved.get(name, type(value)())  # a part that came later is one that older checkpoints do without
        if name != "encoder" and before != value:
            raise UserError(f"{path}: was trained with {name} {before}, now it is {value}; go on with the options "
                            "it was trained with, or start anew without it")


