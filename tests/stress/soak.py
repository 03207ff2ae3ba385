"""Long runs in one process: memory stays flat, no file stays open, and time grows with the number of objects alone.

    python -m tests.stress.soak                                  # 500 objects, 2000 epochs, 10 000 objects
    python -m tests.stress.soak --objects 100 --epochs 300 --prepared 1000

Memory is what the process occupies after the first fifth and at the end; it may differ by 5 %. Linux only (/proc).
"""
import contextlib
import io
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import inference
import load_data
import train_geometry
from config import VIEW_NAMES, Config, OptionParser, run_script
from tests.conftest import TINY
from tests.test_bad_input_folders import OBJ
from tests.test_bad_input_images import tiny_field, view_image
from utils import prepare_dataset
from utils.output import results
from utils.training.run_log import RunLog
from utils.training_data.synthetic.shoes import write_shoes

GROWTH = 1.05  # largest memory at the end over that after the first fifth
LINEAR = 1.35  # largest time for an object among twice as many, over that among half of them


def state():
    """Megabytes that this process occupies, and how many files it holds open."""
    with open("/proc/self/statm") as file:
        megabytes = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return megabytes, len(os.listdir("/proc/self/fd"))


def judge(what, states):
    """One line on a run's states; AssertionError if memory grew or files stayed open."""
    (before, open_before), (after, open_after) = states[len(states) // 5], states[-1]
    line = f"{what}: {before:.0f} -> {after:.0f} MB, {open_before} -> {open_after} open files"
    assert after <= GROWTH * before and open_after <= open_before, line
    return line


def quiet(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return function(*arguments)


def soak_inference(count, folder):
    """Many objects through inference.py, each read, reconstructed and written as always, if coarsely."""
    first = folder / "views" / "object 0"
    first.mkdir(parents=True)
    for view in VIEW_NAMES:
        view_image(view).save(first / f"{view}.png")
    for number in range(1, count):
        (folder / "views" / f"object {number}").symlink_to(first)
    states, write = [], results.write_preview
    results.write_preview = lambda *arguments: states.append(state()) or write(*arguments)
    quiet(inference.main, [str(folder / "views"), "--output", str(folder / "out"), "--device", "cpu", "--grid", "16",
                           "--faces", "200", "--texture_size", "64",
                           "--geometry_checkpoint", str(tiny_field(folder / "field.pth"))])
    results.write_preview = write
    assert len(states) == count
    return judge(f"{count} objects through inference", states)


def soak_training(epochs, folder):
    """Many epochs of a tiny training, saved and logged after each."""
    quiet(write_shoes, range(2), folder, 64, 64)
    train_geometry.MEAN_SHAPE_STEPS = 2
    states, write = [], RunLog.write
    RunLog.write = lambda self, *arguments, **values: states.append(state()) or write(self, *arguments, **values)
    values = {**TINY, "obj_dir": str(folder / "OBJs"), "images_dir": str(folder / "input_images"),
              "num_epochs_stage1": epochs, **{name: str(folder / name) for name in ("cache_dir", "checkpoint_dir", "log_dir")}}
    quiet(train_geometry.train, Config(**values, explicit=frozenset(values)))
    RunLog.write = write
    assert len(states) == epochs + 1
    return judge(f"{epochs} epochs", states)


def soak_preparation(count, folder):
    """Many small meshes prepared, then started with twice: the second time nothing has to be made."""
    seconds = {}
    for objects in (count // 2, count):
        place = folder / str(objects)
        for number in range(objects):
            path = place / "meshes" / f"cube_{number}.obj"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# {number}\n" + OBJ)
        cfg = Config(**{**TINY, "image_size": 14, "num_surface_samples": 16, "obj_dir": str(place / "data" / "OBJs"),
                        "images_dir": str(place / "data" / "input_images"), "cache_dir": str(place / "cache")})
        for what, work in (
                ("prepared", lambda: prepare_dataset.main([str(place / "meshes"), "--output", str(place / "data"),
                                                           "--image_size", "32"])),
                ("first start", lambda: load_data.prepare_objects(cfg)),
                ("next start", lambda: load_data.prepare_objects(cfg))):
            began = time.process_time()
            quiet(work)
            seconds[what, objects] = time.process_time() - began
    lines = []
    for what in ("prepared", "first start", "next start"):
        few, many = seconds[what, count // 2] / (count // 2), seconds[what, count] / count
        lines.append(f"{what} {1000 * few:.2f} -> {1000 * many:.2f} ms each")
        assert many <= LINEAR * few, lines[-1]
    return f"{count // 2} -> {count} objects: " + ", ".join(lines)


def main(argv: list[str]) -> None:
    """What the command line asks for."""
    parser = OptionParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=500, help="through inference; 0: none")
    parser.add_argument("--epochs", type=int, default=2000, help="of a tiny training; 0: none")
    parser.add_argument("--prepared", type=int, default=10_000, help="objects through preparation and start-up; 0: none")
    options = parser.parse_args(argv)
    for count, soak in ((options.prepared, soak_preparation), (options.epochs, soak_training),
                        (options.objects, soak_inference)):
        if count:
            with tempfile.TemporaryDirectory() as folder:
                began = time.process_time()
                print(soak(count, Path(folder)), f"({time.process_time() - began:.0f} s of processor time)", flush=True)


if __name__ == "__main__":
    run_script(main)
