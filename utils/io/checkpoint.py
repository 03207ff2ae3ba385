"""Checkpoints: one dict of plain types and tensors, written whole, loaded as weights only and checked.

    python -m utils.io.checkpoint checkpoints/geometry_best.pth shipped.pth --half

writes a copy without the training state, for sharing (--half: weights as float16).
"""
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from config import LIMITS, VIEW_NAMES, OptionParser, UserError, run_script
from utils.io.files import atomic_write
from utils.io.model_folder import is_model_folder, read_model_folder

FORMAT = 1
SAVED = b"PK\x03\x04"  # how a file begins that torch.save wrote
COMMANDS = {"geometry": "python train_geometry.py", "texture": "python train_texture.py",
            "field": "python train_field.py"}
# Settings that name places on the machine that trained; a copy for sharing is written without them.
PATHS = ("obj_dir", "images_dir", "cache_dir", "checkpoint_dir", "log_dir", "geometry_checkpoint", "initial_weights")
# What inference needs; everything else in a checkpoint serves resuming.
FIELDS = ("format", "kind", "model_args", "weights", "view_names", "image_size", "config", "epoch", "score",
          "validation_ids")


def save_checkpoint(path: str | Path, kind: str, *, model_args: dict, weights: dict[str, torch.Tensor],
                    image_size: int, config: dict, epoch: int, score: float | None, validation_ids: list[str],
                    training_ids: Iterable[str] = (), **training: object) -> None:
    """Write a checkpoint beside its target and rename it.

    Args:
        path: target file.
        kind: "geometry", "field" or "texture".
        model_args: dict of plain types from which the model is built again.
        weights: dict of tensors.
        image_size: image edge in pixels.
        config: dict of plain types.
        epoch: epochs done.
        score: validation score of these weights, lower is better, or None if never validated.
        validation_ids: list of str, the objects the score was taken on.
        training_ids: list of str, the objects trained on.
        training: anything else for resuming (tensors and plain types).
    """
    data = {"format": FORMAT, "kind": kind, "model_args": model_args, "weights": weights,
            "view_names": list(VIEW_NAMES), "image_size": image_size, "config": config, "epoch": epoch,
            "score": score, "validation_ids": validation_ids, "training_ids": list(training_ids),
            **training}
    with atomic_write(path, durable=True) as temporary:
        torch.save(data, temporary)


def load_checkpoint(path: str | Path, kind: str | tuple[str, ...]) -> dict:
    """Read a checkpoint to the CPU and check that it is what the caller needs.

    Args:
        path: .pth file, or a folder that models/share.py wrote.
        kind: "geometry", "field" or "texture", or a tuple of those that will do.
    Returns:
        dict with at least FIELDS.
    Raises:
        UserError: the file is missing, truncated, no checkpoint of this project, of the other kind, or for other views.
    """
    path, kinds = Path(path), (kind,) if isinstance(kind, str) else kind
    command = COMMANDS[kinds[-1]]
    if is_model_folder(path):
        return _checked(read_model_folder(path), path, kinds)
    if not path.is_file():
        what = "is a folder, not a checkpoint" if path.is_dir() else "no such checkpoint"
        raise UserError(f"{path}: {what}; make one with: {command}")
    try:
        with path.open("rb") as file:
            beginning = file.read(1000)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises half a dozen types for a damaged file, in words for those who wrote it
        raise UserError(f"{path}: is damaged or no checkpoint ({_damage(beginning)}); make one with: {command}") from None
    return _checked(data, path, kinds)


def _damage(beginning: bytes) -> str:
    """What a user can see of a file that cannot be loaded, by its first bytes."""
    if not beginning:
        return "it is empty"
    if beginning.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; run git lfs pull"
    if beginning.lstrip()[:5].lower() in (b"<!doc", b"<html"):
        return "it is a web page; download it again"
    if beginning.startswith(SAVED):
        return "some of it is missing, changed or no part of a model; copy or download it again"
    return "it does not begin as one"


def _checked(data, path, kinds):
    """A file's content, if it is a checkpoint that will do."""
    command = COMMANDS[kinds[-1]]
    if isinstance(data, dict) and type(data.get("format")) is int and data["format"] > FORMAT:
        raise UserError(f"{path}: was written by a newer version (format {data['format']}, this one reads {FORMAT}); "
                        f"update the project, or make one with: {command}")
    if not isinstance(data, dict) or data.get("format") != FORMAT or not _is_sound(data):
        raise UserError(f"{path}: is no checkpoint of this version; make one with: {command}")
    if data["kind"] not in kinds:
        raise UserError(f"{path}: holds a {data['kind']} model where a {' or '.join(kinds)} model is needed")
    if data["view_names"] != list(VIEW_NAMES):
        raise UserError(f"{path}: was trained on the views {data['view_names']}, not {list(VIEW_NAMES)}")
    return data


def _is_sound(data: dict) -> bool:
    """Whether a checkpoint holds what its readers rely on, as the types that they expect."""
    types: dict[str, Any] = {"kind": str, "model_args": dict, "weights": dict, "view_names": list, "image_size": int,
                             "config": dict, "epoch": int, "score": (int, float, type(None)), "validation_ids": list}
    return (all(name in data and isinstance(data[name], kind) for name, kind in types.items())
            and LIMITS["image_size"][0] <= data["image_size"] <= LIMITS["image_size"][1])


def load_weights(model: nn.Module, weights: dict[str, torch.Tensor], path: str | Path) -> None:
    """Load a checkpoint's weights strictly; half precision is widened.

    Args:
        model: nn.Module.
        weights: dict of tensors; those of an encoder that is kept by name are absent.
        path: named in the error.
    Raises:
        UserError: a weight is missing, unknown, of another shape, or not finite.
    """
    check_weights(model, weights, path)
    model.load_state_dict(weights, strict=_keeps_encoder(model))


def check_weights(model: nn.Module, weights: dict[str, torch.Tensor], path: str | Path) -> None:
    """Raise UserError unless the weights are finite and have the names and shapes of the model's own.

    Args:
        model, weights, path: as in `load_weights`; the model may lie on the meta device, which takes no memory.
    """
    expected = dict(model.state_dict())
    if not _keeps_encoder(model):
        expected = {name: value for name, value in expected.items() if not name.startswith("encoder.")}
    if expected.keys() != weights.keys():
        name = sorted(expected.keys() ^ weights.keys())[0]
        raise UserError(f"{path}: weight {name} is {'missing' if name in expected else 'unknown'}; the file does not "
                        f"fit its own sizes")
    for name, value in expected.items():
        given = weights[name]
        if not isinstance(given, torch.Tensor) or given.layout != value.layout or given.is_complex():
            raise UserError(f"{path}: weight {name} is no plain tensor of real numbers")
        if value.shape != given.shape:
            raise UserError(f"{path}: weight {name} has shape {tuple(given.shape)}, the model needs {tuple(value.shape)}")
    # Last: a tensor may state any size, whatever the file's, and looking at its values takes that much memory.
    broken = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise UserError(f"{path}: weight {broken[0]} holds values that are not finite")


def stored_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict that goes into a checkpoint: without an encoder that is kept by name alone."""
    return {name: value.detach().cpu() for name, value in model.state_dict().items()
            if _keeps_encoder(model) or not name.startswith("encoder.")}


def _keeps_encoder(model: nn.Module) -> bool:
    """Whether all of a model's weights are stored: False if it has an encoder that is kept by name alone."""
    return not hasattr(model, "encoder") or model.encoder.stored


def without_training_state(data: dict, half: bool = False) -> dict:
    """A checkpoint's content for sharing: what inference needs and which objects were trained on, without the places
    on the machine that trained; with `half` the weights as float16."""
    lean = {name: data[name] for name in (*FIELDS, "training_ids", "metric_name") if name in data}
    lean["config"] = {name: value for name, value in lean["config"].items() if name not in PATHS}
    if half:
        lean["weights"] = {name: value.half() if value.is_floating_point() else value
                           for name, value in lean["weights"].items()}
    return lean


def write_copy(target: str, data: dict) -> None:
    """Write a checkpoint's content to a .pth file, and print how large it came out.

    Raises:
        UserError: the file cannot be written, or has another suffix.
    """
    if Path(target).suffix != ".pth":
        raise UserError(f"{target}: name a file that ends in .pth")
    with atomic_write(target) as temporary:
        torch.save(data, temporary)
    print(f"{target}: {Path(target).stat().st_size / 1e6:.1f} MB")


def main(argv: Sequence[str]) -> None:
    """Write a copy of a checkpoint for sharing."""
    parser = OptionParser(description="Copy a checkpoint without its training state, for sharing.")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--half", action="store_true", help="store the weights as float16")
    options = parser.parse_args(argv)
    data = load_checkpoint(options.source, tuple(COMMANDS))
    write_copy(options.target, without_training_state(data, options.half))


if __name__ == "__main__":
    run_script(main)
