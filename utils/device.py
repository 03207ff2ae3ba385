"""Choosing the device, and what to try when its memory runs out: the only file that spells cuda, mps and cpu."""
import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from config import Config, UserError

if TYPE_CHECKING:  # slow to import, and inference has no need of it
    from accelerate import Accelerator


def resolve_device(name: str = "auto") -> torch.device:
    """The torch device a run uses.

    Args:
        name: auto (cuda, then mps, then cpu), cuda, cuda:N, mps or cpu.
    Returns:
        torch.device.
    Raises:
        UserError: the name is unknown, or that device is absent on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cuda", "mps", "cpu"):
        raise UserError(f"--device {name}: unknown; choose auto, cuda, cuda:N, mps or cpu")
    absent = {
        "cuda": not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count(),
        "mps": not torch.backends.mps.is_available(),
        "cpu": False,
    }[device.type]
    if absent:
        raise UserError(f"--device {name}: this machine has none; use --device auto or cpu")
    return device


def make_accelerator(device_name: str, mixed_precision: str, gradient_accumulation_steps: int) -> "Accelerator":
    """A Hugging Face Accelerator bound to `device_name`, or to this process's own device under a launcher.

    Args:
        device_name: as in `resolve_device`.
        mixed_precision: "no" or "bf16".
        gradient_accumulation_steps: batches per optimizer step.
    Returns:
        accelerate.Accelerator.
    Raises:
        UserError: the device is absent.
    """
    from accelerate import Accelerator

    device = resolve_device(device_name)
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if device.type == "cuda" and not launched:
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)  # the launcher gives each process its own otherwise
    return Accelerator(cpu=device.type == "cpu", mixed_precision=mixed_precision,
                       gradient_accumulation_steps=gradient_accumulation_steps)


def full_precision(tensor: torch.Tensor) -> torch.autocast:
    """Context in which no autocast touches the tensor's device: what needs true float32 runs inside it."""
    return torch.autocast(tensor.device.type, enabled=False)


# What the allocators of CUDA, MPS and the CPU (Linux, Windows) say; torch's own error class exists from 2.5 on only.
OUT_OF_MEMORY = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "DefaultCPUAllocator: can't allocate memory",
                 "DefaultCPUAllocator: not enough memory")


@contextlib.contextmanager
def out_of_memory_advice(options: list[str]) -> Iterator[None]:
    """Within this context, running out of memory becomes a UserError that says what to try.

    Args:
        options: list of str, in the order to try, such as `lighter_training` gives; empty if nothing is left to try.
    Raises:
        UserError: memory ran out, on a GPU or on the CPU. Any other error passes as it is.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)):
            raise
        advice = f"try, in this order: {', '.join(options)}" if options else "no option would lower its need further"
        raise UserError(f"out of memory; {advice}, or a device with more") from None


def lighter_training(cfg: Config, script: str) -> list[str]:
    """The options that lower a training run's memory, as far as `cfg` has not turned them yet.

    Those that change neither the result nor its quality much come first.

    Args:
        cfg: Config.
        script: "geometry", "field" or "texture" (a key of config.SCRIPTS).
    Returns:
        list of str such as "--batch_size_stage1 1", in the order to try.
    """
    stage, options = 2 if script == "texture" else 1, []
    if script == "field" and cfg.field_echo > 1:
        options.append("--field_echo 1")
    if getattr(cfg, f"batch_size_stage{stage}") > 1:
        options.append(f"--batch_size_stage{stage} 1")
    if script == "field":
        return options + _halved(cfg, "field_points", 1024) + ["--field_grid 16"] * (cfg.field_grid > 16)
    if not cfg.freeze_image_encoder:
        options.append("--freeze_image_encoder")
        if not cfg.gradient_checkpointing:
            options.append("--gradient_checkpointing")
    if stage == 2 and cfg.lambda_perceptual > 0:
        options.append("--lambda_perceptual 0")
    if stage == 1:  # stage 2 takes both from the geometry checkpoint
        options += ["--image_size 224"] * (cfg.image_size > 224) + _halved(cfg, "num_points", 1024)
    return options + _halved(cfg, "num_loss_samples", 1024)


def lighter_inference(texture_size: int, device_type: str) -> list[str]:
    """The options of inference.py that lower its memory: list of str, in the order to try."""
    smaller = [f"--texture_size {max(1024, texture_size // 2)}"] if texture_size > 1024 else []
    return smaller + ["--device cpu"] * (device_type != "cpu")


def _halved(cfg, name, smallest):
    """The option that halves a setting, not below `smallest`; [] where it is that small already."""
    value = getattr(cfg, name)
    return [f"--{name} {max(smallest, value // 2)}"] if value > smallest else []
