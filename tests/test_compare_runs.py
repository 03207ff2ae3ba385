"""Two runs in one plot: the right logs are paired, the better one is drawn lower, and what cannot be compared is said."""
import json

import numpy as np
import pytest
from PIL import Image

from utils import compare_runs
from utils.training.plot_log import MARGINS, PALETTE, SIZE


def write_run(folder, stage, scores, seconds=60.0):
    folder.mkdir(exist_ok=True, parents=True)
    lines = [{"epoch": epoch, "validation": score, "loss": 2 * score, "seconds": seconds}
             for epoch, score in enumerate(scores)]
    (folder / f"{stage}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_two_runs_are_drawn_into_one_plot_the_better_one_lower(tmp_path, run_script_main):
    one, two = write_run(tmp_path / "a", "geometry", [1.0] * 5), write_run(tmp_path / "b", "geometry", [1.0, .1, .1, .1, .1])
    write_run(tmp_path / "b", "texture", [1.0])  # which only one of them has
    code, out, _ = run_script_main(compare_runs, one, two, "--output", tmp_path / "both.png")
    image = np.asarray(Image.open(tmp_path / "both.png"))
    assert code == 0 and image.shape == (SIZE[1], SIZE[0], 3), "one panel: the stage that both have"
    right = SIZE[0] - MARGINS[2]
    rows = [np.flatnonzero((image[MARGINS[1] + 80:, right] == color).all(-1)).mean() for color in PALETTE[:2]]
    assert rows[0] < rows[1], "a is at 1, b at 0.1: lower is better"
    assert "geometry a: 4 epochs in 5 min, best validation 1.00000 at epoch 0, last 1.00000, loss 2.00000" in out
    assert "geometry b: 4 epochs in 5 min, best validation 0.10000 at epoch 1, last 0.10000, loss 0.20000" in out


def test_runs_whose_epochs_differ_in_length_are_drawn_over_steps(tmp_path, run_script_main):
    """Two runs of 400 steps, one of four epochs: both end at the right edge; without steps the one of one epoch ends early."""
    for steps in (True, False):
        for name, length in (("a", 100), ("b", 400)):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            lines = [{"epoch": 0, "validation": 1.0}] + [
                {"epoch": 1 + number, "validation": 0.5 if name == "a" else 0.1} | ({"step": done} if steps else {})
                for number, done in enumerate(range(length, 401, length))]
            (folder / "geometry.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert run_script_main(compare_runs, tmp_path / "a", tmp_path / "b", "--output", tmp_path / "x.png")[0] == 0
        image = np.asarray(Image.open(tmp_path / "x.png"))[MARGINS[1] + 80:SIZE[1] - MARGINS[3]]
        last = [np.flatnonzero((image == color).all(-1).any(axis=0)).max() for color in PALETTE[:2]]
        right = SIZE[0] - MARGINS[2]
        assert last[0] == pytest.approx(right, abs=3) and (last[1] == pytest.approx(right, abs=3)) == steps


def test_runs_may_be_named_by_their_files_and_by_folders_of_the_same_name(tmp_path, run_script_main):
    one, two = (write_run(tmp_path / name / "logs", "geometry_field", [0.5, 0.4]) for name in "xy")
    code, out, _ = run_script_main(compare_runs, one, two, "--output", tmp_path / "1.png")
    assert code == 0 and "x/logs" in out and "y/logs" in out
    code, _, _ = run_script_main(compare_runs, one / "geometry_field.jsonl", two / "geometry_field.jsonl", "--output",
                                 tmp_path / "2.png")
    assert code == 0 and (tmp_path / "2.png").is_file()
    code, _, _ = run_script_main(compare_runs, one / "geometry_field", two / "geometry_field", "--output", tmp_path / "3.png")
    assert code == 0


@pytest.mark.parametrize("names, message", [
    (["a"], "name 2 to"), (["a", "gone"], "holds no log"), (["a", "a"], "named twice"), (["a", "c"], "no log in common")])
def test_what_cannot_be_compared_is_said_and_nothing_is_written(names, message, tmp_path, run_script_main):
    write_run(tmp_path / "a", "geometry", [1.0])
    write_run(tmp_path / "c", "texture", [1.0])
    code, _, err = run_script_main(compare_runs, *[tmp_path / name for name in names], "--output", tmp_path / "x.png")
    assert code == 2 and message in err and not (tmp_path / "x.png").exists()
