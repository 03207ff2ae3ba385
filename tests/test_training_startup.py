"""Ten checks to run before a long training: is everything here, does the data fit, does a step work?

    python tests/test_training_startup.py                                # your data/OBJs, or the shipped sample
    python tests/test_training_startup.py --obj_dir D --images_dir I     # any option of the training scripts

Prints one line per check and ends with exit code 1 if one failed. The models here are small ones, so that the checks
take seconds and download nothing; data, device and losses are those of a training with the same options.
"""
import importlib
import math
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import pytest

from config import PRESETS, VIEW_NAMES, Config, UserError, check_config, parse_config

OBJECTS_READ = 2  # of all those found: reading every mesh is the training's work
SMALL = {"encoder_name": "scratch", "encoder_width": 64, "encoder_layers": 2, "encoder_heads": 2, "image_size": 56,
         "num_points": 256, "decoder_hidden": (128, 128), "aggregate_dim": 64, "num_loss_samples": 256,
         "num_surface_samples": 1024, "texture_hidden": 32, "texture_layers": 2, "freeze_image_encoder": False,
         "gradient_checkpointing": False}


class Setup:
    """What the checks share, each piece made once; a check whose piece cannot be made fails with that piece's error."""

    def __init__(self, cfg, cache_dir):
        self.cfg = replace(cfg, **SMALL, cache_dir=str(cache_dir))

    @cache
    def objects(self):
        from load_data import find_objects, resolve_data

        return find_objects(*resolve_data(self.cfg, quiet=True))

    @cache
    def batch(self):
        from load_data import SixViewDataset, cache_object
        from utils.training_data.loader import make_loader

        cfg = self.cfg
        cached = [cache_object(files, cfg.cache_dir, cfg.num_surface_samples, cfg.image_size)
                  for files in self.objects()[0][:OBJECTS_READ]]
        return next(iter(make_loader(SixViewDataset(cached), len(cached), shuffle=False, seed=0)))

    @cache
    def device(self):
        from utils.device import resolve_device

        return resolve_device(self.cfg.device)

    @cache
    def geometry(self):
        import torch

        from models.encoder import load_encoder
        from models.geometry_model import GeometryModel

        cfg = self.cfg
        torch.manual_seed(0)
        return GeometryModel(load_encoder(cfg)[0], num_points=cfg.num_points, decoder_hidden=cfg.decoder_hidden,
                             aggregate_dim=cfg.aggregate_dim).to(self.device())

    @cache
    def texture(self):
        from models.encoder import copy_encoder
        from models.texture_model import TextureModel

        cfg = self.cfg
        return TextureModel(copy_encoder(self.geometry().encoder), aggregate_dim=cfg.aggregate_dim,
                            hidden=cfg.texture_hidden, num_layers=cfg.texture_layers,
                            num_frequencies=cfg.texture_frequencies).to(self.device())

    def losses(self):
        """Loss of both stages on the batch: (geometry total, its parts, color total)."""
        import torch

        from models.losses import color_loss, gather_points, geometry_loss
        from utils.mesh.nearest import nearest_index

        device, batch, geometry = self.device(), self.batch(), self.geometry()
        images, points = batch["images"].to(device), batch["points"].to(device)
        vertices = geometry(images)
        draws = torch.rand(len(points), 256, 3, generator=torch.Generator().manual_seed(0)).to(device)
        weights = {name: getattr(self.cfg, f"lambda_{name}")
                   for name in ("chamfer", "coverage", "laplacian", "edge", "normal")}
        total, parts = geometry_loss(vertices, geometry.template, points, draws, weights)
        positions = vertices.detach()
        true_colors = gather_points(batch["colors"].to(device), nearest_index(positions, points))
        return total, parts, color_loss(self.texture()(images, positions), true_colors)


def check_imports(setup):
    """every package and module imports"""
    for name in ("numpy", "scipy", "torch", "transformers", "accelerate", "trimesh", "PIL", "tqdm", "load_data",
                 "train_geometry", "train_texture", "inference", "models.losses", "utils.rendering.rasterizer"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise AssertionError(f"cannot import {name} ({error}); run: pip install -r requirements.txt") from None
    import torch

    return f"torch {torch.__version__}, transformers {sys.modules['transformers'].__version__}"


def check_settings(setup):
    """the settings and all presets are valid"""
    for preset in PRESETS.values():
        check_config(preset())
    check_config(setup.cfg)
    assert len(VIEW_NAMES) == 6
    return ", ".join(PRESETS)


def check_device(setup):
    """the device is here and computes"""
    import torch

    found = torch.ones(3, device=setup.device()).sum()
    assert found.item() == 3
    return str(setup.device())


def check_dataset(setup):
    """the dataset holds objects to train on, and one to hold out"""
    from utils.training_data.splits import split_objects

    objects, problems = setup.objects()
    assert objects, "no complete object; python load_data.py lists what is missing"
    train_ids, held_out = split_objects([item.id for item in objects], setup.cfg.validation_fraction, setup.cfg.seed)
    assert train_ids and not set(train_ids) & set(held_out)
    return f"{len(train_ids)} to train on, {len(held_out)} held out, problems: {len(problems)}"


def check_mapping(setup):
    """every object's mesh has its own six images"""
    objects, _ = setup.objects()
    assert objects, "no complete object"
    for item in objects:
        assert item.mesh.is_file() and item.mesh.parent.name == item.id, f"{item.id}: its mesh is {item.mesh}"
        assert set(item.images) == set(VIEW_NAMES), f"{item.id}: views {sorted(item.images)}"
        for view, path in item.images.items():
            assert path.is_file() and path.stem.lower() == f"{item.id}_{view}".lower(), f"{item.id}: {view} is {path}"
    return f"{len(objects)} meshes, {6 * len(objects)} images"


def check_sample(setup):
    """a batch has the right shapes and ranges"""
    import torch

    batch = setup.batch()
    count, size = len(batch["id"]), batch["images"].shape[-1]
    assert batch["images"].shape == (count, 6, 3, size, size) and batch["points"].shape == (count, 1024, 3)
    for name in ("images", "colors"):
        assert batch[name].dtype == torch.float32 and 0 <= batch[name].min() and batch[name].max() <= 1, name
    longest = (batch["points"].amax(1) - batch["points"].amin(1)).amax(1)
    assert ((longest > 1.5) & (longest < 2.001)).all(), f"longest edges are {longest.tolist()}, not 2"
    assert (batch["images"] < 0.98).flatten(1).any(1).all(), "an image set is all white"
    return ", ".join(batch["id"])


def check_geometry_model(setup):
    """the geometry model predicts a closed mesh"""
    import torch

    with torch.no_grad():
        vertices = setup.geometry()(setup.batch()["images"].to(setup.device()))
    assert vertices.shape == (len(setup.batch()["id"]), 256, 3) and torch.isfinite(vertices).all()
    faces = setup.geometry().faces
    assert len(faces) == 2 * 256 - 4 and len(faces.unique()) == 256
    return f"{sum(p.numel() for p in setup.geometry().parameters()) / 1e6:.1f} M parameters, {len(faces)} faces"


def check_texture_model(setup):
    """the texture model colors any position"""
    import torch

    images = setup.batch()["images"].to(setup.device())
    positions = torch.rand(len(images), 77, 3).to(setup.device()) * 2 - 1
    with torch.no_grad():
        colors = setup.texture()(images, positions)
    assert colors.shape == (len(images), 77, 3) and 0 <= colors.min() and colors.max() <= 1
    return f"{sum(p.numel() for p in setup.texture().parameters()) / 1e6:.1f} M parameters"


def check_training_step(setup):
    """losses are finite and a few steps lower them"""
    from utils.training.loop import make_optimizer, set_learning_rate

    optimizers = [make_optimizer(model, 0.01, 1.0) for model in (setup.geometry(), setup.texture())]
    history = []
    for _ in range(6):
        total, parts, color = setup.losses()
        assert all(math.isfinite(float(part.detach())) for part in parts.values()), parts
        history.append((total.item(), color.item()))
        (total + color).backward()
        for optimizer in optimizers:
            set_learning_rate(optimizer, 1e-3)
            optimizer.step()
            optimizer.zero_grad()
    before, color_before = history[0]
    after, color_after = (min(losses) for losses in zip(*history[1:]))  # single steps may overshoot
    assert math.isfinite(after + color_after), "the loss is no longer finite"
    assert after < before and color_after < color_before, f"no step lowered the losses: {history}"
    return f"geometry {before:.4f} to {after:.4f}, color {color_before:.4f} to {color_after:.4f}"


def check_checkpoints(setup):
    """saved models load again and predict the same"""
    import torch

    from config import config_as_dict
    from models.geometry_model import load_geometry_model
    from models.texture_model import load_texture_model
    from utils.io.checkpoint import save_checkpoint, stored_weights

    images = setup.batch()["images"].to(setup.device())
    positions = torch.zeros(len(images), 5, 3, device=setup.device())
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for kind, model, load, inputs in (("geometry", setup.geometry(), load_geometry_model, (images,)),
                                          ("texture", setup.texture(), load_texture_model, (images, positions))):
            path = Path(folder) / f"{kind}.pth"
            save_checkpoint(path, kind, model_args=model.model_args(), weights=stored_weights(model), epoch=0, score=None,
                            image_size=setup.cfg.image_size, config=config_as_dict(setup.cfg), validation_ids=[])
            again = load(path)[0].to(setup.device())
            assert torch.allclose(model.eval()(*inputs), again(*inputs), atol=1e-6), kind
    return "both kinds"


CHECKS = (check_imports, check_settings, check_device, check_dataset, check_mapping, check_sample, check_geometry_model,
          check_texture_model, check_training_step, check_checkpoints)


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """The checks of an untouched clone: the shipped sample, on the CPU."""
    return Setup(Config(device="cpu"), tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_before_training(check, setup):
    assert check(setup)


def test_there_are_ten_checks_and_a_failing_one_is_told(monkeypatch, capsys, tmp_path):
    module = sys.modules[__name__]
    assert len(CHECKS) == 10
    monkeypatch.setattr(module, "CHECKS", (check_settings, check_dataset))
    assert main(["--device", "cpu"]) == 0
    assert capsys.readouterr().out.count(" ok ") == 2
    assert main(["--obj_dir", str(tmp_path), "--images_dir", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "FAILED" in printed and str(tmp_path) in printed and "1 of 2 checks failed" in printed


def main(argv):
    """Run the checks with the options of a training; returns the exit code."""
    try:
        cfg = parse_config(argv, __doc__.splitlines()[0])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed, reasons = 0, {}
    with tempfile.TemporaryDirectory() as cache:
        setup = Setup(cfg, cache)
        for number, check in enumerate(CHECKS, start=1):
            try:
                result, told = "ok    ", check(setup)
            except Exception as error:  # whatever goes wrong is what this script is for
                result, failed = "FAILED", failed + 1
                told = str(error).strip() or type(error).__name__
                told = told if isinstance(error, (UserError, AssertionError)) else f"{type(error).__name__}: {told}"
                first = reasons.setdefault(told, number)
                told = told if first == number else f"for the reason of check {first}"
            print(f"{number:2} {result} {check.__doc__} ({told})", flush=True)
    print(f"{failed} of {len(CHECKS)} checks failed" if failed else "all checks passed: ready to train")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
