"""Trained models from their checkpoints, for each kind alike; what a file states cannot exhaust the memory."""
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from config import LIMITS, UserError
from utils.io.checkpoint import check_weights, load_checkpoint, load_weights

MOST_LAYERS = 1000  # of anything: building a model takes time for each, whatever device its weights are on


def load_trained(path: str | Path, kind: str, build: Callable[[dict], nn.Module],
                 up_to_date: Callable[[dict, dict], tuple[dict, dict]] | None = None,
                 checkpoint: dict | None = None) -> tuple[nn.Module, dict]:
    """A trained model for use as it is.

    Args:
        path: .pth file written by a training script, or a folder written by models/share.py.
        kind: "geometry", "texture" or "field".
        build: makes the model from a copy of the file's `model_args`.
        up_to_date: function of the file's `model_args` and weights that gives them as today's model reads them; it may
            raise ValueError.
        checkpoint: what load_checkpoint gave for `path`, where it has been read before.
    Returns:
        model: on the CPU, in eval mode and without gradients; checkpoint: dict (see utils.io.checkpoint).
    Raises:
        UserError: the file is missing, damaged, of another kind or does not fit its sizes, or an encoder that it knows
            by name alone is not found.
    """
    checkpoint = checkpoint or load_checkpoint(path, kind)
    args, weights = checkpoint["model_args"], checkpoint["weights"]
    try:
        _check_limits({"image_size": checkpoint["image_size"], **args})
        if up_to_date:
            args, weights = up_to_date(args, weights)
        if args.get("encoder", {"stored": True})["stored"]:
            # First without memory: a damaged or hostile file may state sizes that no machine could allocate.
            with torch.device("meta"):
                check_weights(build(dict(args)), weights, path)
        model = build(dict(args))
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(f"{path}: its sizes fit no {kind} model ({reason})") from None
    load_weights(model, weights, path)
    return model.eval().requires_grad_(False), checkpoint


def _check_limits(args: dict) -> None:
    """Raise ValueError where a size is beyond what the option of its name may be: the sphere template and the sine
    encoding are worked out from these numbers whatever device the weights are on."""
    known = LIMITS | {"num_frequencies": LIMITS["texture_frequencies"], "grid_size": LIMITS["field_grid"],
                      "num_layers": (1, MOST_LAYERS), "num_hidden_layers": (1, MOST_LAYERS)}
    for name, value in [*args.items(), *args.get("encoder", {}).get("architecture", {}).items()]:
        low, high = known.get(name, (None, None))
        if isinstance(value, list) and len(value) > MOST_LAYERS:
            raise ValueError(f"{name} has {len(value)} entries, the most is {MOST_LAYERS}")
        if type(value) in (int, float) and ((low is not None and value < low) or (high is not None and value > high)):
            raise ValueError(f"{name} {value} is not from {low} to {high}")
