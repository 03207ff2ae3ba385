"""Does the cost of an object stay the same from ten objects to a thousand? A table, and an image of it.

    python -m benchmarks.scale                               # 10, 100, 1000 synthetic shoes: about an hour on one core
    python -m benchmarks.scale --largest 100 --image scale.png
    python -m benchmarks.scale --meshes data/OBJs            # your own meshes, <id>/<anything>.obj

Times are CPU seconds of one process with one thread; an epoch's are what the training log says, on the clock.
"""
import contextlib
import io
import json
import math
import os
import shutil
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded

import numpy as np

from config import FastTrainingConfig, OptionParser, UserError, run_script

COUNTS = (10, 100, 1000, 10_000, 100_000)
LINEAR = 1.1  # exponent of cost over count up to which we call it linear: timing itself is off by a tenth
STAGES = ("prepare", "cache", "start, cache warm", "epoch, frozen", "inference")


def main(argv):
    """Measure every stage at every count; print the table and draw it."""
    parser = OptionParser(prog="python -m benchmarks.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=1000, help="largest number of objects (default 1000)")
    parser.add_argument("--meshes", help="folder of <id>/<anything>.obj to take objects from; default: made up")
    parser.add_argument("--image", default="output/scale.png", help="log-log image (default output/scale.png)")
    options = parser.parse_args(argv)
    counts = [count for count in COUNTS if count <= options.largest]
    if not counts:
        raise UserError(f"--largest {options.largest}: must be at least {COUNTS[0]}")
    totals = {stage: [] for stage in STAGES}
    with tempfile.TemporaryDirectory() as folder:
        sources = find_sources(options.meshes, counts[-1], Path(folder) / "made")
        print(f"{'objects':>8}  " + "  ".join(f"{stage:>18}" for stage in STAGES) + "   (ms an object)", flush=True)
        for count in counts:
            seconds = measure(sources[:count], Path(folder) / str(count))
            for stage in STAGES:
                totals[stage].append(seconds[stage])
            each = (f"{1000 * seconds[stage] / count:>18.2f}" for stage in STAGES)
            print(f"{count:>8}  " + "  ".join(each), flush=True)
            shutil.rmtree(Path(folder) / str(count))
    for stage in STAGES:
        print(verdict(stage, counts, totals[stage]))
    draw(options.image, counts, totals)
    print(options.image)


def find_sources(meshes, count, made):
    """Folders of `count` objects, each with an OBJ: the first of those in `meshes`, or made up below `made`."""
    if meshes is None:
        from utils.mesh.mesh_io import write_obj
        from utils.training_data.synthetic.shoes import make_shoe

        for seed in range(count):
            write_obj(made / f"shoe_{seed:06d}" / "model.obj", *make_shoe(seed)[:5])
        meshes = made
    if not Path(meshes).is_dir():
        raise UserError(f"--meshes {meshes}: no such folder")
    found = sorted(path for path in Path(meshes).iterdir() if path.is_dir())
    if len(found) < count:
        raise UserError(f"--meshes {meshes}: holds {len(found)} objects, {count} are needed; lower --largest")
    return found[:count]


def measure(sources, folder):
    """Total seconds of every stage for these objects.

    Args:
        sources: list of folders, one for each object.
        folder: gets everything that is written.
    Returns:
        dict of float, s, by STAGES.
    """
    import torch

    import inference
    import train_geometry
    from load_data import prepare_objects
    from utils import prepare_dataset

    torch.set_num_threads(1)
    for source in sources:
        shutil.copytree(source, folder / "meshes" / source.name)
    cfg = FastTrainingConfig(
        obj_dir=str(folder / "data" / "OBJs"), images_dir=str(folder / "data" / "input_images"), device="cpu",
        cache_dir=str(folder / "cache"), checkpoint_dir=str(folder / "checkpoints"), log_dir=str(folder / "logs"),
        freeze_image_encoder=True, num_epochs_stage1=2, validate_every=2, sheet_objects=0)

    def epoch():
        train_geometry.train(cfg)
        return json.loads((folder / "logs" / "geometry.jsonl").read_text().splitlines()[-1])["seconds"]

    return {
        "prepare": cpu_seconds(lambda: prepare_dataset.main(
            [str(folder / "meshes"), "--output", str(folder / "data"), "--image_size", "256"])),
        "cache": cpu_seconds(lambda: prepare_objects(cfg, quiet=True)),
        "start, cache warm": cpu_seconds(lambda: prepare_objects(cfg, quiet=True)),
        "epoch, frozen": quietly(epoch),
        "inference": cpu_seconds(lambda: inference.main(
            [cfg.images_dir, "--output", str(folder / "output"), "--device", "cpu", "--texture_size", "256"])),
    }


def quietly(function):
    """What a function returns; what it prints is dropped."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return function()


def cpu_seconds(function):
    """CPU seconds that one call of a function takes, quietly."""
    started = time.process_time()
    quietly(function)
    return time.process_time() - started


def exponent(counts, seconds):
    """k of the power law seconds ~ counts^k between the last two counts: 1 is linear."""
    return math.log(seconds[-1] / seconds[-2]) / math.log(counts[-1] / counts[-2])


def verdict(stage, counts, seconds):
    """One line that says whether a stage grows linearly or better."""
    if len(counts) < 2:
        return f"{stage}: one count only"
    power = exponent(counts, seconds)
    words = "linear or better" if power <= LINEAR else "WORSE than linear"
    return f"{stage}: {words} (grows as objects^{power:.2f} from {counts[-2]} to {counts[-1]})"


COLORS = ((214, 69, 65), (31, 119, 180), (44, 160, 44), (148, 103, 189), (255, 127, 14))


def draw(path, counts, totals, size=(760, 520)):
    """Write a log-log image of total seconds over objects, a line for each stage.

    Args:
        path: .png file.
        counts: list of int, two at least for lines.
        totals: dict of lists of float, s, above 0.
        size: width and height in pixels.
    """
    from PIL import Image, ImageDraw

    from utils.io.files import atomic_write

    left, right, top, bottom = 70, size[0] - 150, 20, size[1] - 50
    decades_x = (math.floor(math.log10(counts[0])), math.ceil(math.log10(counts[-1])) + (counts[0] == counts[-1]))
    logs = np.log10([max(value, 1e-6) for values in totals.values() for value in values])
    decades_y = (math.floor(logs.min()), max(math.ceil(logs.max()), math.floor(logs.min()) + 1))

    def place(count, seconds):
        x = (math.log10(count) - decades_x[0]) / (decades_x[1] - decades_x[0])
        y = (math.log10(max(seconds, 1e-6)) - decades_y[0]) / (decades_y[1] - decades_y[0])
        return left + x * (right - left), bottom - y * (bottom - top)

    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    for power in range(decades_x[0], decades_x[1] + 1):
        x = place(10**power, 10.0 ** decades_y[0])[0]
        pen.line([(x, top), (x, bottom)], fill=(225, 225, 225))
        pen.text((x, bottom + 8), f"{10**power:,}", fill="black", anchor="ma")
    for power in range(decades_y[0], decades_y[1] + 1):
        y = place(10 ** decades_x[0], 10.0**power)[1]
        pen.line([(left, y), (right, y)], fill=(225, 225, 225))
        pen.text((left - 8, y), f"{10.0**power:g} s", fill="black", anchor="rm")
    for color, (stage, values) in zip(COLORS, totals.items()):
        points = [place(count, value) for count, value in zip(counts, values)]
        pen.line(points, fill=color, width=3)
        for x, y in points:
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=color)
        pen.text((points[-1][0] + 10, points[-1][1]), stage, fill=color, anchor="lm")
    pen.text(((left + right) / 2, size[1] - 8), "objects", fill="black", anchor="mb")
    with atomic_write(Path(path)) as temporary:
        image.save(temporary)


if __name__ == "__main__":
    run_script(main)
