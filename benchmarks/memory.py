"""Peak memory of both training stages and of inference, for each preset, as a Markdown table.

    python -m benchmarks.memory                              # about half an hour on one core, most of it high_quality
    python -m benchmarks.memory memory_efficient fast

The real scripts run, each in a process of its own, on synthetic shoes and with DINOv2-base of random weights (which
takes as much memory as the trained one): two steps, since an optimizer's own memory is only there from the second,
with a validation and saved checkpoints. On a CPU it is the peak of the whole process, Python and PyTorch included
(about 400 MB); on CUDA what PyTorch allocates on the device. Exit code 1 if `memory_efficient` does not fit 8 GB.
"""
import os
import shutil
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from benchmarks.measure import in_child, memory_mb
from config import PRESETS, SCRATCH_ENCODER, OptionParser, UserError, run_script

SMALL_GPU_MB = 8192  # what memory_efficient must fit


def main(argv):
    """Measure the presets named and print the table."""
    parser = OptionParser(prog="python -m benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=f"of {', '.join(PRESETS)} (default all)")
    parser.add_argument("--device", default="cpu", help="auto, cuda, cuda:N, mps or cpu (default cpu)")
    options = parser.parse_args(argv)
    unknown = [name for name in options.presets if name not in PRESETS]
    if unknown:
        raise UserError(f"{unknown[0]}: no such preset; choose from {', '.join(PRESETS)}")
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes to come: each thread has buffers of its own
    print("| preset | stage 1, MB | stage 2, MB | inference, MB |\n| --- | --- | --- | --- |")
    fits = True
    with tempfile.TemporaryDirectory() as folder:
        encoder = child("save_encoder", Path(folder) / "dinov2-base")
        for preset in options.presets or PRESETS:
            peaks = [float(child(*job, folder, preset, encoder, options.device))
                     for job in (("training", "geometry"), ("training", "texture"), ("inference",))]
            print(f"| `{preset}` | " + " | ".join(f"{peak:,.0f}" for peak in peaks) + " |", flush=True)
            fits &= preset != "memory_efficient" or max(peaks) <= SMALL_GPU_MB
            shutil.rmtree(Path(folder) / preset)
    if not fits:
        print("memory_efficient does not fit 8 GB", file=sys.stderr)
        sys.exit(1)


def child(function, *arguments):
    """The last line printed by one of the functions below in a fresh process."""
    words = ", ".join(repr(str(argument)) for argument in arguments)
    return in_child("-c", f"from benchmarks import memory; memory.{function}({words})")


def save_encoder(folder):
    """Write a DINOv2-base of random weights as transformers does, and print its folder."""
    from transformers import Dinov2Config, Dinov2Model

    Dinov2Model(Dinov2Config(image_size=518, patch_size=14)).save_pretrained(folder)  # otherwise base by default
    print(folder)


def settings(folder, preset, encoder, device):
    """The preset's Config over as many shoes as two steps and a validation need, writing below <folder>/<preset>."""
    from utils.training_data.synthetic.shoes import write_shoes

    cfg, own = PRESETS[preset](), Path(folder) / preset
    count = max(cfg.batch_size_stage1, cfg.batch_size_stage2)
    write_shoes(range(count + 1), own, image_size=512)
    cfg.obj_dir, cfg.images_dir, cfg.cache_dir = str(own / "OBJs"), str(own / "input_images"), str(own / "cache")
    cfg.checkpoint_dir, cfg.log_dir, cfg.device = str(own / "checkpoints"), str(own / "logs"), device
    cfg.num_epochs_stage1 = cfg.num_epochs_stage2 = cfg.validate_every = 2
    if cfg.encoder_name != SCRATCH_ENCODER:
        cfg.encoder_name = encoder
    return cfg


def training(stage, folder, preset, encoder, device):
    """Run a stage and print its peak memory."""
    cfg = settings(folder, preset, encoder, device)
    if stage == "geometry":
        import train_geometry

        # The mean shape's many small steps need no encoder: they cost time, but not memory
        with patch.object(train_geometry, "MEAN_SHAPE_STEPS", 1):
            train_geometry.train(cfg)
    else:
        import train_texture

        train_texture.train(cfg)
    print_peak(device)


def inference(folder, preset, encoder, device):
    """Reconstruct one shoe with the two checkpoints just trained, and print the peak memory."""
    import inference as script
    from utils.training_data.synthetic.shoes import write_shoes

    own = Path(folder) / preset
    write_shoes([0], own / "views", image_size=512, views_only=True)
    script.main([str(own / "views"), "--output", str(own / "output"), "--cache_dir", str(own / "cache"),
                 "--device", device, "--geometry_checkpoint", str(own / "checkpoints" / "geometry_best.pth"),
                 "--texture_checkpoint", str(own / "checkpoints" / "texture_best.pth")])
    print_peak(device)


def print_peak(device_name):
    """Print the peak in MB (2^20 bytes) of what ran on a device so far."""
    import torch

    from utils.device import resolve_device

    device = resolve_device(device_name)
    print(torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else memory_mb())


if __name__ == "__main__":
    run_script(main)
