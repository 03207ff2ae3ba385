"""Kill -9 at random moments of preparing, caching, training and exporting.

    python -m tests.stress.kill --rounds 200 --seed 1

Each stage first runs unbroken. Then it is killed again and again at moments drawn at random, and started again as a user
would: after every kill each file on disk is whole (or a temporary that the next start clears), and what comes out in
the end equals the unbroken run's, byte for byte or, where a file holds times, number for number. POSIX only, for it forks.
"""
import contextlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import inference
import train_field
import train_geometry
import utils.training_data.field_samples
import utils.training_data.occupancy
from config import VIEW_NAMES, OptionParser, options_of, run_script
from tests.conftest import TINY, Config
from tests.test_bad_input_images import tetrahedron, tiny_field, view_image
from tests.test_train_field import TINY_FIELD
from utils import prepare_dataset
from utils.io.files import TEMPORARY
from utils.training_data.synthetic.shoes import write_shoes

OBJECTS = 4


# ---- Stages: a function that does the work in a folder as the scripts do; whether it goes on or begins is its own affair


def prepare(folder, source):
    return prepare_dataset.main, [str(source / "OBJs"), "--output", str(folder), "--image_size", "64"]


def export(folder, source):
    return inference.main, [str(source / "views"), "--output", str(folder), "--device", "cpu", "--texture_size", "64",
                            "--geometry_checkpoint", str(source / "field.pth")]


def train(script, kind, stage, own, folder, source):
    """A training with a cache of its own, resumed where there is something to resume."""
    values = {**TINY, **own, "obj_dir": str(source / "OBJs"), "images_dir": str(source / "input_images"),
              "cache_dir": str(folder / "cache"), "checkpoint_dir": str(folder / "checkpoints"),
              "log_dir": str(folder / "logs"), "num_epochs_stage1": 5}
    if (folder / "checkpoints" / f"{stage}_last.pth").is_file():
        values["resume"] = True
    return script.main, options_of(kind, Config(**values, explicit=frozenset(values)))


def train_points(folder, source):
    return train(train_geometry, "geometry", "geometry", {}, folder, source)


def train_volume(folder, source):
    own = {name: value for name, value in TINY.items() if name in ("device", "validate_every")}
    return train(train_field, "field", "geometry_field", own | TINY_FIELD | {"field_variants": 1}, folder, source)


STAGES = {"prepare": prepare, "train points": train_points, "train field": train_volume, "export": export}


def make_source(folder):
    """What all stages start from: a few objects with images, and the smallest field."""
    write_shoes(range(OBJECTS), folder, image_size=64, texture_size=64)
    for name in ("a", "b", "c"):
        (folder / "views" / name).mkdir(parents=True)
        for view in VIEW_NAMES:
            view_image(view).save(folder / "views" / name / f"{view}.png")
    tiny_field(folder / "field.pth")


def make_quick():
    """Small samples and a reconstruction that takes no time: it is files that are looked at here."""
    train_geometry.MEAN_SHAPE_STEPS = 2
    train_field.SHIPPED = Path("there is none")
    for name in ("SURFACE_SAMPLES", "NEAR_POINTS", "FREE_POINTS"):
        setattr(utils.training_data.field_samples, name, 800)
    utils.training_data.occupancy.DIRECTIONS = 6
    inference.reconstruct_field = tetrahedron
    inference.Reconstructor.reader = lambda self, files, name, masks=None: inference.ViewReader(files, name, masks, "border",
                                                                                               False)


# ---- Starting and killing


def start(stage, folder, source, log):
    """Fork a process that runs a stage; its id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        with open(log, "a") as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main, words = STAGES[stage](folder, source)
            sys.argv = [stage, *words]
            try:
                run_script(main)
                code = 0
            except SystemExit as stop:
                code = stop.code
            except BaseException:
                traceback.print_exc()
    finally:
        os._exit(code)


def wait(process, seconds=None):
    """Exit code of a process, or None if it was killed after so many seconds."""
    ends = None if seconds is None else time.monotonic() + seconds
    while ends is not None and time.monotonic() < ends:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    if ends is not None:
        os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return None if code == -signal.SIGKILL else code


# ---- Looking


def files_below(folder):
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def is_temporary(name):
    return any(TEMPORARY.fullmatch(part) for part in Path(name).parts) or name.endswith(".lock")


def content_of(path):
    """What a file holds, without times; raises whatever reading a damaged file raises."""
    if path.suffix == ".pth":
        return plain(torch.load(path, weights_only=True) | {"config": None})
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name].tobytes() for name in arrays.files}
    if path.name == "index.json":
        json.loads(path.read_text())
        return None
    if path.suffix == ".json":
        return {name: value for name, value in json.loads(path.read_text()).items() if not name.endswith("_dir")}
    if path.suffix == ".jsonl":
        lines = path.read_text().splitlines(True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()  # the one kind of file that grows: a resumed run drops what is half a line
        return [{name: value for name, value in json.loads(line).items() if "seconds" not in name} for line in lines]
    return path.read_bytes()


def plain(value):
    """Tensors as bytes, so that == compares them bit by bit; and no folders or times."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items() if key != "resume" and "seconds" not in str(key)}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def check_whole(folder, expected, final):
    """Assert that every file of a folder is whole, and at the end that all are there and equal to the unbroken run's.

    What a training writes changes from epoch to epoch, so until the end its checkpoints and logs only have to be
    readable; everything else has to equal the unbroken run's at any time.
    """
    found = {}
    for name, path in files_below(folder).items():
        if name.endswith("_previous.jsonl"):  # killed between its first line and its first checkpoint, a run begins anew
            content_of(path)
            continue
        if is_temporary(name):
            assert not final, f"{name} was left"
            continue
        content = content_of(path)
        if path.name == "index.json":  # leaves out files changed within the last seconds: it may be there or not
            continue
        found[name] = content
        if not name.startswith(("checkpoints", "logs")):
            assert name in expected and content == expected[name], f"{name} differs"
        if path.suffix == ".obj" and path.with_suffix(".mtl").name in path.read_text():
            assert path.with_suffix(".mtl").is_file(), f"{name} has no MTL"
    expected = {name: content for name, content in expected.items() if not name.endswith("index.json")}
    if final:
        assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
        different = [name for name in found if found[name] != expected[name] and not name.endswith("_config.json")]
        assert not different, f"{different} differ from the unbroken run"


# ---- Rounds


def run(rounds, seed, most):
    """Kill `rounds` times, at most `most` times before a stage may come to its end.

    Returns:
        {stage: kills}, and how many runs came to their end.
    """
    rng, kills, ended = random.Random(seed), dict.fromkeys(STAGES, 0), 0
    make_quick()
    with tempfile.TemporaryDirectory() as place:
        source, log = Path(place) / "source", Path(place) / "log.txt"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            make_source(source)
        unbroken, seconds = {}, {}
        for stage in STAGES:
            folder, began = Path(place) / "unbroken" / stage, time.monotonic()
            folder.mkdir(parents=True)
            code = wait(start(stage, folder, source, log))
            assert code == 0, f"{stage}: exit code {code}\n{log.read_text()[-3000:]}"
            seconds[stage] = time.monotonic() - began
            unbroken[stage] = {name: content_of(path) for name, path in files_below(folder).items()}
        number = 0
        while sum(kills.values()) < rounds:
            stage, in_a_row, enough = list(STAGES)[number % len(STAGES)], 0, rng.randint(1, most)
            folder, number = Path(place) / "killed" / f"{stage} {number}", number + 1
            folder.mkdir(parents=True)
            while True:
                last = in_a_row == enough or sum(kills.values()) >= rounds
                code = wait(start(stage, folder, source, log), None if last else rng.uniform(0, 0.8 * seconds[stage]))
                if code is not None:
                    assert code == 0, f"{stage}: exit code {code} after {in_a_row} kills\n{log.read_text()[-3000:]}"
                    break
                kills[stage] += 1
                in_a_row += 1
                check_whole(folder, unbroken[stage], final=False)
            check_whole(folder, unbroken[stage], final=True)
            ended += 1
            print(f"{sum(kills.values())} kills: {stage} came to its end after {in_a_row}, equal to the unbroken run",
                  flush=True)
    return kills, ended


def main(argv: list[str]) -> None:
    """What the command line asks for."""
    parser = OptionParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="how many kills")
    parser.add_argument("--most", type=int, default=6, help="kills of one run before it may come to its end")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    kills, ended = run(options.rounds, options.seed, options.most)
    print(f"{sum(kills.values())} kills ({', '.join(f'{stage} {count}' for stage, count in kills.items())}), "
          f"{ended} runs came to their end: every file was whole, every end equal to that of an unbroken run")


if __name__ == "__main__":
    run_script(main)
