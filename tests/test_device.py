"""Choosing a device: automatically where nothing is named, never silently another one."""
import os

import pytest
import torch

from config import Config, FastTrainingConfig, HighQualityConfig, MemoryEfficientConfig, UserError
from utils.device import (
    full_precision,
    lighter_inference,
    lighter_training,
    make_accelerator,
    out_of_memory_advice,
    resolve_device,
)


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


@pytest.mark.parametrize("error", [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB, max allowed: 9 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
                 "to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to "
                 "allocate 4000000000000 bytes."),
    MemoryError("Unable to allocate 29.1 TiB for an array with shape (4000000000000,) and data type float64"),
])
def test_running_out_of_memory_says_what_to_try_in_one_line(error):
    with pytest.raises(UserError) as caught:
        with out_of_memory_advice(["--batch_size_stage1 1", "--freeze_image_encoder"]):
            raise error
    assert str(caught.value) == ("out of memory; try, in this order: --batch_size_stage1 1, --freeze_image_encoder, "
                                 "or a device with more")
    assert caught.value.__suppress_context__


def test_a_true_allocation_that_fails_is_recognized():
    with pytest.raises(UserError, match="out of memory; no option would lower its need further"):
        with out_of_memory_advice([]):
            torch.empty(1 << 60, dtype=torch.uint8)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("no memory"),
                                   KeyError("front"), KeyboardInterrupt()])
def test_other_errors_pass_the_memory_advice_unchanged(error):
    with pytest.raises(type(error)) as caught:
        with out_of_memory_advice(["--num_points 1024"]):
            raise error
    assert caught.value is error


@pytest.mark.parametrize("cfg, script, expected", [
    (Config(), "geometry", ["--freeze_image_encoder", "--gradient_checkpointing", "--num_points 2048",
                   "--num_loss_samples 2048"]),
    (Config(), "texture", ["--freeze_image_encoder", "--gradient_checkpointing", "--lambda_perceptual 0",
                   "--num_loss_samples 2048"]),
    (FastTrainingConfig(), "geometry", ["--batch_size_stage1 1", "--freeze_image_encoder", "--gradient_checkpointing",
                               "--num_loss_samples 1024"]),
    (HighQualityConfig(), "geometry", ["--freeze_image_encoder", "--image_size 224", "--num_points 4096",
                              "--num_loss_samples 4096"]),
    (MemoryEfficientConfig(), "geometry", ["--num_points 1024", "--num_loss_samples 1024"]),
    (MemoryEfficientConfig(num_points=1024, num_loss_samples=1024), "geometry", []),
    (MemoryEfficientConfig(lambda_perceptual=0.0, num_loss_samples=1024), "texture", []),
])
def test_advice_names_only_what_is_not_turned_yet(cfg, script, expected):
    assert lighter_training(cfg, script) == expected


@pytest.mark.parametrize("cfg", [Config(), FastTrainingConfig(), HighQualityConfig()])
@pytest.mark.parametrize("script", ["geometry", "field", "texture"])
def test_every_option_advised_is_one_the_script_takes(cfg, script):
    from config import parse_config

    for option in lighter_training(cfg, script):
        parse_config(option.split(), "", script)


def test_following_all_advice_leaves_none():
    from config import parse_config

    words = []
    for _ in range(10):
        words += " ".join(lighter_training(parse_config(words, ""), "geometry")).split()
    assert lighter_training(parse_config(words, ""), "geometry") == []


def test_inference_is_advised_a_smaller_texture_then_the_cpu():
    assert lighter_inference(4096, "cuda") == ["--texture_size 2048", "--device cpu"]
    assert lighter_inference(1024, "mps") == ["--device cpu"]
    assert lighter_inference(1024, "cpu") == []
