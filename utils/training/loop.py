"""What both training loops share and what does not care about their order: seeds, learning rate, records, best."""
import hashlib
import math
import sys

import torch

from config import UserError

STATISTICS_OBJECTS = 64  # whose features set the aggregation's mean and deviation, where not all are encoded anyway


def seed_everything(seed):
    """Seed every generator that training draws from outside `sample_generator` (initial weights, dropout)."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def sample_generator(seed, epoch, object_id):
    """A CPU torch.Generator for one object in one epoch.

    All randomness of a sample (order of views, points drawn) comes from here, so it depends neither on the number of
    processes, nor on the batch size, nor on whether the run was stopped and resumed.
    """
    digest = hashlib.sha256(f"{seed}:{epoch}:{object_id}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def shuffled_views(per_view, generators):
    """Each object's views in an order of its own.

    Args:
        per_view: list over objects of (S, ...) tensors (images or features), or one (B, S, ...) tensor.
        generators: one per object.
    Returns:
        (B, S, ...) tensor.
    """
    return torch.stack([views[torch.randperm(len(views), generator=generator)]
                        for views, generator in zip(per_view, generators)])


def subsample_points(arrays, count, generators):
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


def uniform_noise(count, width, generators):
    """(B, count, width) float32 uniform in [0, 1), one generator per object."""
    return torch.stack([torch.rand(count, width, generator=generator) for generator in generators])


def learning_rate_at(step, total_steps, peak, warmup_fraction):
    """Learning rate before step `step` of `total_steps`: linear warm-up to `peak`, then a cosine to a hundredth of it."""
    warmup = max(1, round(warmup_fraction * total_steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * min(progress, 1.0))) / 2)


def make_optimizer(model, weight_decay, encoder_scale):
    """AdamW (Loshchilov and Hutter 2019) over the trainable parameters; biases and norms are not decayed.

    Each parameter group's `scale` is what its learning rate is to be multiplied by (see `set_learning_rate`): encoder_scale for
    the parameters under `encoder.`, 1 for the others.

    The fused kernel does the same arithmetic in one pass (a third of a step's time with a 29 M decoder on a CPU).
    """
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = encoder_scale if name.startswith("encoder.") else 1.0
            groups.setdefault((scale, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return torch.optim.AdamW([{"params": parameters, "scale": scale, "weight_decay": decay}
                              for (scale, decay), parameters in groups.items()], betas=(0.9, 0.98), fused=True)


def set_learning_rate(optimizer, rate):
    """Give every parameter group `rate` times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def running_mean(share):
    """How torch's AveragedModel is to average: `share` of the mean is kept at each step, less in the first ones.

    With (1 + n) / (10 + n) after n steps, where that is less, a short run does not keep its untrained start (as in
    TensorFlow's ExponentialMovingAverage).
    """
    def average(means, weights, count):
        torch._foreach_lerp_(means, weights, 1 - min(share, (1 + int(count)) / (10 + int(count))))
    return average


def silence_other_ranks(accelerator):
    """Silence stdout in every process but the first, so that a run in several processes reads like one."""
    if not accelerator.is_main_process:
        import os

        sys.stdout = open(os.devnull, "w")


def check_finite(total, parts, step, object_ids):
    """Raise UserError naming step, parts and objects if the loss is not a finite number."""
    if torch.isfinite(total):
        return
    values = ", ".join(f"{name} {part.item():.4g}" for name, part in parts.items())
    raise UserError(f"loss is {total.item()} at step {step} on {', '.join(object_ids)} ({values}); earlier epochs, if "
                    f"any, are in *_last.pth. Lower the learning rate, or look at these objects")


def check_architecture(saved, asked, path):
    """Raise UserError naming the first setting in which a checkpoint's model differs from the one asked for.

    Args:
        saved, asked: dicts of plain types, a model's `model_args`.
        path: of the checkpoint.
    """
    for name, value in asked.items():
        before = saved.get(name, 0)  # a part that came later is one that older checkpoints do without
        if name != "encoder" and before != value:
            raise UserError(f"{path}: was trained with {name} {before}, now it is {value}; go on with the options "
                            "it was trained with, or start anew without it")


