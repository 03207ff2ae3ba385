"""Choosing a device: automatically where nothing is named, never silently another one."""
import os

import pytest
import torch

from config import UserError
from utils.device import full_precision, make_accelerator, resolve_device


@pytest.fixture
def machine(monkeypatch):
    """Function: pretend that this machine has so many CUDA devices, and MPS or not."""
    def pretend(cuda, mps):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    return pretend


@pytest.mark.parametrize("cuda, mps, expected", [(1, True, "cuda"), (1, False, "cuda"), (0, True, "mps"),
                                                 (0, False, "cpu")])
def test_auto_is_cuda_then_mps_then_cpu(cuda, mps, expected, machine):
    machine(cuda, mps)
    assert resolve_device("auto").type == expected


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_a_device_that_is_here_is_the_one_named(name, machine):
    machine(2, True)
    assert str(resolve_device(name)) == name


@pytest.mark.parametrize("name, cuda", [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2), ("mps", 2)])
def test_a_named_device_that_is_absent_is_an_error_naming_it(name, cuda, machine):
    machine(cuda, False)
    with pytest.raises(UserError, match=f"--device {name}: this machine has none"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "xpu", "meta", "cpu:cpu"])
def test_an_unknown_device_is_an_error_naming_the_choices(name, machine):
    machine(1, True)
    with pytest.raises(UserError, match=f"--device {name}: unknown; choose auto, cuda, cuda:N, mps or cpu"):
        resolve_device(name)


def test_the_accelerator_takes_device_and_accumulation():
    accelerator = make_accelerator("cpu", "no", 3)
    assert accelerator.device.type == "cpu" and accelerator.gradient_accumulation_steps == 3
    assert accelerator.num_processes == 1 and accelerator.mixed_precision == "no"
    assert os.environ.get("ACCELERATE_TORCH_DEVICE") is None


def test_an_absent_device_never_reaches_the_accelerator(machine):
    machine(0, False)
    with pytest.raises(UserError, match="--device cuda"):
        make_accelerator("cuda", "no", 1)


def test_autocast_is_off_inside_full_precision():
    first, second = torch.rand(4, 4), torch.rand(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (first @ second).dtype == torch.bfloat16
        with full_precision(first):
            assert (first @ second).dtype == torch.float32
