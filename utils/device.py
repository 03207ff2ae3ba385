"""Choosing the device: the only file that spells cuda, mps and cpu."""
import os

import torch

from config import UserError


def resolve_device(name="auto"):
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
    except RuntimeError:
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


def make_accelerator(device_name, mixed_precision, gradient_accumulation_steps):
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


def full_precision(tensor):
    """Context in which no autocast touches the tensor's device: what needs true float32 runs inside it."""
    return torch.autocast(tensor.device.type, enabled=False)
