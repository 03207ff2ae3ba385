"""Checkpoint files that are damaged, foreign or hostile: one line with the path, exit code 2, no code run, no memory taken."""
import io
import pickle
import resource
import sys
import zipfile

import pytest
import torch

import inference
import train_field
import train_geometry
from config import UserError
from models.geometry_model import load_geometry_model
from models.texture_model import load_texture_model
from tests.conftest import as_options
from tests.test_bad_input_images import tiny_field
from utils.io.checkpoint import load_checkpoint

MORE_MEMORY = 1 << 30  # bytes beyond what the process has: a file that claims more than it holds takes none of it


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Path of a good field checkpoint, and what it holds."""
    path = tiny_field(tmp_path_factory.mktemp("field") / "field.pth")
    return path, torch.load(path, weights_only=True)


@pytest.fixture
def little_memory():
    """Within this test the process gets no more than MORE_MEMORY beyond what it has."""
    if not sys.platform.startswith("linux"):
        pytest.skip("limits of memory are Linux's")
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MORE_MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


class RunsCode:
    """What unpickles by calling a function."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (self.mark, "w")


def renamed_weight(data):
    weights = dict(data["weights"])
    weights["head.9.weight"] = weights.pop("head.0.weight")
    return data | {"weights": weights}


def other_weight(change):
    """A change of one weight of a checkpoint."""
    return lambda data: data | {"weights": data["weights"] | {"head.0.weight": change(data["weights"]["head.0.weight"])}}


def other_size(name, value):
    return lambda data: data | {"model_args": data["model_args"] | {name: value}}


# What is done to the bytes of the file, and what the line says
BYTES = {
    "empty": (lambda content: b"", "is damaged or no checkpoint"),
    "its first thousand bytes": (lambda content: content[:1000], "is damaged or no checkpoint"),
    "all but its last bytes": (lambda content: content[:-30], "is damaged or no checkpoint"),
    "text": (lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "is damaged or no checkpoint"),
    "web page": (lambda content: b"<!DOCTYPE html><title>Sign in</title>", "is damaged or no checkpoint"),
    "zeros": (lambda content: bytes(len(content)), "is damaged or no checkpoint"),
    "another zip": (lambda content: other_zip(), "is damaged or no checkpoint"),
    "a plain pickle": (lambda content: pickle.dumps({"format": 1, "kind": "field"}, protocol=2), "no checkpoint"),
}
# What is done to its content, and what the line says
CONTENTS = {
    "a tensor": (lambda data: torch.zeros(3), "is no checkpoint of this version"),
    "the weights alone": (lambda data: data["weights"], "is no checkpoint of this version"),
    "without its sizes": (lambda data: {key: value for key, value in data.items() if key != "model_args"},
                          "is no checkpoint of this version"),
    "a future version": (lambda data: data | {"format": 7}, "newer version (format 7, this one reads 1); update"),
    "a version that is a word": (lambda data: data | {"format": "7"}, "is no checkpoint of this version"),
    "an unknown kind": (lambda data: data | {"kind": "voxels"}, "holds a voxels model"),
    "a texture": (lambda data: data | {"kind": "texture"}, "holds a texture model where a geometry or field model"),
    "other views": (lambda data: data | {"view_names": ["north", "south"]}, "was trained on the views"),
    "views that are a number": (lambda data: data | {"view_names": 6}, "is no checkpoint of this version"),
    "images of 10^9 pixels": (lambda data: data | {"image_size": 10**9}, "is no checkpoint of this version"),
    "weights in a list": (lambda data: data | {"weights": list(data["weights"].values())},
                          "is no checkpoint of this version"),
    "no weights": (lambda data: data | {"weights": {}}, "is missing; the file does not fit its own sizes"),
    "a weight of another name": (renamed_weight, "the file does not fit its own sizes"),
    "a weight of another shape": (other_weight(lambda value: value[:3]), "weight head.0.weight has shape (3,"),
    "a weight that is a word": (other_weight(lambda value: "0.5"), "head.0.weight is no plain tensor"),
    "a sparse weight": (other_weight(lambda value: value.to_sparse()), "head.0.weight is no plain tensor"),
    "a complex weight": (other_weight(lambda value: value + 1j), "head.0.weight is no plain tensor"),
    "NaN": (other_weight(lambda value: value * float("nan")), "head.0.weight holds values that are not finite"),
    "infinity": (other_weight(lambda value: value / 0), "head.0.weight holds values that are not finite"),
    "a weight that claims 10^12 values": (other_weight(lambda value: torch.zeros(1).expand(10**6, 10**6)),
                                          "weight head.0.weight has shape (1000000, 1000000)"),
    "other sizes": (other_size("head_width", 9), "has shape"),
    "a width of 10^9": (other_size("head_width", 10**9), "has shape"),
    "a grid of 10^9": (other_size("grid_size", 10**9), "grid_size 1000000000 is not from 0 to 256"),
    "channels of 10^9": (lambda data: data | {"model_args": data["model_args"] | {
        "grid_size": 8, "volume_widths": [8 * 10**8, 8 * 10**8]}}, "field.pth"),
    "images halved below a pixel": (other_size("image_widths", [8] * 12), "fit no field model"),
    "a negative width": (other_size("view_width", -8), "fit no field model"),
    "a width that is a word": (other_size("view_width", "wide"), "fit no field model"),
    "a size nobody knows": (other_size("depth", 3), "fit no field model"),
}


def other_zip():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return stream.getvalue()


def assert_refused(path, expected, tmp_path, run_script_main):
    code, out, err = run_script_main(inference, "--geometry_checkpoint", path, "--output", tmp_path / "out", "--device", "cpu")
    assert code == 2 and err.startswith(f"error: {path}: ") and err.count("\n") == 1 and expected in err, err
    assert "Traceback" not in out + err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", BYTES)
def test_a_damaged_file_is_one_line_that_names_it(case, field, tmp_path, run_script_main):
    path, (damage, expected) = tmp_path / "damaged.pth", BYTES[case]
    path.write_bytes(damage(field[0].read_bytes()))
    assert_refused(path, expected, tmp_path, run_script_main)


@pytest.mark.parametrize("case", CONTENTS)
def test_a_file_of_other_content_is_one_line_that_names_it(case, field, tmp_path, run_script_main, little_memory):
    path, (change, expected) = tmp_path / "field.pth", CONTENTS[case]
    torch.save(change(field[1]), path)
    assert_refused(path, expected, tmp_path, run_script_main)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # which is what the trap is written in
def test_a_pickle_that_would_run_code_is_not_run(field, tmp_path, run_script_main):
    path, mark = tmp_path / "trap.pth", tmp_path / "code was run"
    for save in (lambda: torch.save(field[1] | {"config": RunsCode(str(mark))}, path),
                 lambda: path.write_bytes(pickle.dumps(RunsCode(str(mark))))):
        save()
        assert_refused(path, "is damaged or no checkpoint", tmp_path, run_script_main)
        assert not mark.exists()


@pytest.mark.parametrize("name, value, load", [("num_points", 10**9, load_geometry_model),
                                               ("aggregate_dim", 10**9, load_geometry_model),
                                               ("hidden", 10**9, load_texture_model),
                                               ("num_frequencies", 10**9, load_texture_model)])
def test_sizes_claimed_by_the_other_kinds_take_no_memory(name, value, load, tiny_geometry, tmp_path, little_memory):
    data = torch.load(tiny_geometry, weights_only=True)
    if load is load_texture_model:
        args = {"encoder": data["model_args"]["encoder"], "aggregate_dim": 32, "hidden": 16, "num_layers": 2,
                "num_frequencies": 2}
        data |= {"kind": "texture", "model_args": args}
    data["model_args"] |= {name: value}
    torch.save(data, tmp_path / "claims.pth")
    with pytest.raises(UserError, match="claims.pth: ") as refused:
        load(tmp_path / "claims.pth")
    assert "\n" not in str(refused.value)


# ---- In training


def test_a_damaged_last_says_what_to_do_instead_of_resuming(tiny_config, tmp_path, run_script_main):
    cfg = tiny_config(resume=True, num_epochs_stage1=1)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "geometry_last.pth").write_bytes(b"PK\3\4 cut")
    (folder / "geometry_best.pth").write_bytes(b"anything")
    code, _, err = run_script_main(train_geometry, *as_options(cfg, "geometry"))
    assert code == 2 and err.count("\n") == 1 and "geometry_last.pth: is damaged" in err
    assert "start anew without it" in err and "--initial_weights" in err and "geometry_best.pth" in err
    assert (folder / "geometry_last.pth").read_bytes() == b"PK\3\4 cut"


def test_a_damaged_best_does_not_keep_a_run_from_starting_and_is_kept(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 1)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "geometry_best.pth").write_bytes(b"PK\3\4 cut")
    train_geometry.train(tiny_config(num_epochs_stage1=1))
    printed = capsys.readouterr().out
    assert "geometry_best.pth: is damaged" in printed and "make one with" not in printed
    assert (folder / "geometry_best_previous.pth").read_bytes() == b"PK\3\4 cut"
    assert load_checkpoint(folder / "geometry_best.pth", "geometry")["kind"] == "geometry"


@pytest.mark.parametrize("content, expected", [
    (None, "no such checkpoint"), (b"cut", "is damaged"), ("geometry", "holds a geometry model where a field model")])
def test_initial_weights_that_cannot_be_used_are_named(content, expected, tiny_config, tiny_geometry, tmp_path,
                                                       run_script_main, monkeypatch):
    path = tmp_path / "start.pth"
    if content:
        path.write_bytes(tiny_geometry.read_bytes() if content == "geometry" else content)
    monkeypatch.setattr(train_field, "prepare_field_objects", lambda cfg, quiet: ([], {}))
    monkeypatch.setattr(train_field, "split_of_run", lambda *_: ([], []))
    cfg = tiny_config(initial_weights=str(path), field_generated=1, field_grid=0)
    code, _, err = run_script_main(train_field, *as_options(cfg, "field"))
    assert code == 2 and err.startswith(f"error: {path}: ") and expected in err and err.count("\n") == 1, err
