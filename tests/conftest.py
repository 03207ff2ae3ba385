"""What several test files share: tiny shoes, a tiny configuration, and a clean slate between runs."""
import os
import sys
from pathlib import Path

# Before torch is imported: the tests are many small sums, which several threads only slow down.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks a hub

import pytest

from config import Config

TINY = {
    "device": "cpu", "encoder_name": "scratch", "encoder_width": 32, "encoder_layers": 1, "encoder_heads": 2,
    "image_size": 56, "num_points": 64, "num_loss_samples": 128, "num_surface_samples": 512, "aggregate_dim": 32,
    "decoder_hidden": (32, 32), "texture_hidden": 16, "texture_layers": 2, "texture_frequencies": 2,
    "learning_rate_stage1": 1e-3, "learning_rate_stage2": 1e-3, "validate_every": 1,
    "sheet_objects": 0,  # drawing takes longer than such a run; tests of the sheet ask for it
}
# Files of more than ten seconds
LONGEST = ("test_inference.py", "test_evaluate.py", "test_train_field.py", "test_photo_consistency.py", "test_shapes.py",
           "test_bad_input_folders.py", "test_calibration.py", "test_benchmarks.py", "test_stress.py")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """The whole suite runs on two cores where there are two, file by file; chosen files run in this process.

    Only if pytest-xdist is installed and no -n was given; a process that it started must not start more.
    """
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS and "PYTEST_XDIST_WORKER" not in os.environ
    if whole and getattr(config.option, "numprocesses", 0) is None and (os.cpu_count() or 1) > 1:
        config.option.numprocesses, config.option.dist = 2, "loadfile"
        config.option.loadscopereorder = False  # by the number of tests in a file, which says little of how long it takes


def pytest_collection_modifyitems(items):
    """The longest files first: one that came last would leave the other core idle."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """Thousands of small files are written here; only a power cut could tell whether each of them reached the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def forget_accelerate():
    """accelerate remembers device and precision of the first run for the life of the process."""
    yield
    if "accelerate" in sys.modules:
        from accelerate.state import AcceleratorState, GradientState, PartialState

        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        PartialState._reset_state()


@pytest.fixture(scope="session")
def real_objects():
    """Folder of real objects in the data layout (OBJs/, input_images/, objects.csv), named by MITO3D_REAL_OBJECTS."""
    folder = Path(os.environ.get("MITO3D_REAL_OBJECTS", ""))
    if not (folder / "objects.csv").is_file():
        pytest.skip("MITO3D_REAL_OBJECTS names no folder of real objects")
    return folder


@pytest.fixture(scope="session")
def shoes(tmp_path_factory):
    """Folder with five synthetic shoes in the data layout."""
    from utils.training_data.synthetic.shoes import write_shoes

    folder = tmp_path_factory.mktemp("shoes")
    write_shoes(range(5), folder, image_size=64, texture_size=64)
    return folder


@pytest.fixture
def tiny_config(shoes, tmp_path):
    """Function: settings by name -> Config of a run over the shoes that takes a second and writes below tmp_path."""
    def make(**changes):
        folders = {"obj_dir": str(shoes / "OBJs"), "images_dir": str(shoes / "input_images"),
                   "cache_dir": str(shoes / "cache"), "checkpoint_dir": str(tmp_path / "checkpoints"),
                   "log_dir": str(tmp_path / "logs")}
        values = {**folders, **TINY, **changes}
        return Config(**values, explicit=frozenset(values))
    return make


@pytest.fixture(scope="session")
def tiny_geometry(tmp_path_factory):
    """Path of an untrained geometry checkpoint with the sizes of `tiny_config`, its encoder included."""
    import torch

    from config import config_as_dict
    from models.encoder import load_encoder
    from models.geometry_model import GeometryModel
    from utils.io.checkpoint import save_checkpoint, stored_weights

    torch.manual_seed(0)
    cfg = Config(**TINY)
    model = GeometryModel(load_encoder(cfg)[0], num_points=cfg.num_points, decoder_hidden=cfg.decoder_hidden,
                          aggregate_dim=cfg.aggregate_dim)
    path = tmp_path_factory.mktemp("geometry") / "geometry_best.pth"
    save_checkpoint(path, "geometry", model_args=model.model_args(), weights=stored_weights(model), image_size=56,
                    config=config_as_dict(cfg), epoch=1, score=0.5, validation_ids=["shoe_00000"])
    return path


@pytest.fixture
def run_script_main(monkeypatch, capsys):
    """Function: (script module, options) -> exit code (0 if it ends well), stdout and stderr of its `main`."""
    def run(script, *argv):
        from config import run_script

        monkeypatch.setattr(sys, "argv", [script.__name__ + ".py", *map(str, argv)])
        capsys.readouterr()
        try:
            run_script(script.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err
    return run


def as_options(cfg, script=None):
    """The settings of a Config that were named, as command-line options: those that a script uses, or all of them."""
    from config import SCRIPTS, options_of

    if script:
        return options_of(script, cfg)
    words = [options_of(each, cfg) for each in SCRIPTS]
    pairs = {pair for some in words for pair in zip(some[::2], some[1::2])}
    return [word for pair in sorted(pairs) for word in pair]
