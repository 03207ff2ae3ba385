"""The drawn course of a run: figures come out where the axis says, and bad logs are named."""
import json

import numpy as np
import pytest

from config import UserError
from utils.training import plot_log
from utils.training.plot_log import (
    LINES,
    MARGINS,
    PALETTE,
    SIZE,
    draw_curve,
    draw_lines,
    draw_run,
    read_log,
    round_step,
    ticks_between,
)


def write_log(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def rows_of(image, color, column):
    """Rows in which a column of the image has a color."""
    return np.flatnonzero((np.asarray(image)[:, column] == color).all(-1))


def test_a_log_gives_both_curves_and_skips_epochs_without_a_score(tmp_path):
    log = write_log(tmp_path / "a.jsonl", [{"epoch": 0, "validation": 0.5}, {"epoch": 1, "loss": 0.3},
                                           {"epoch": 2, "loss": 0.2, "validation": 0.1}])
    assert read_log(log) == {"loss": [(1, 0.3), (2, 0.2)], "validation": [(0, 0.5), (2, 0.1)]}


def test_ticks_are_round_and_enclose_the_values():
    assert ticks_between(0.0031, 0.042) == pytest.approx([0.002, 0.005, 0.01, 0.02, 0.05])
    assert ticks_between(0.1, 0.1) == pytest.approx([0.1, 0.2])
    assert ticks_between(0.52, 0.69) == pytest.approx([0.5, 0.6, 0.7]), "half of the plot would stay empty"


def test_a_falling_score_is_drawn_from_the_top_left_to_the_bottom_right():
    image = draw_curve({"loss": [], "validation": [(0, 1.0), (10, 0.01)]}, "a")
    left, top, right, bottom = MARGINS[0], MARGINS[1], SIZE[0] - MARGINS[2], SIZE[1] - MARGINS[3]
    color = dict(LINES)["validation"]
    assert abs(rows_of(image, color, left + 1).mean() - top) < 3
    assert abs(rows_of(image, color, right - 1).max() - bottom) < 3
    middle = rows_of(image, color, (left + right) // 2).mean()
    assert abs(middle - (top + bottom) / 2) < 3, "0.1 lies half way between 1 and 0.01 on a logarithmic axis"


@pytest.mark.parametrize("least, step", [(0.2, 1), (1, 1), (1.7, 2), (2.1, 5), (6, 10), (38.5, 50), (4001 / 6, 1000)])
def test_epochs_are_counted_off_in_round_steps(least, step):
    assert round_step(least) == step


def test_names_stand_above_the_plot_where_they_hide_no_curve():
    curves = [("a long name", PALETTE[0], [(epoch, 1.0) for epoch in range(9)]), ("b", PALETTE[1], [(0, 0.1), (8, 0.1)])]
    image = np.asarray(draw_lines(curves, "title"))
    for (_, color, _), row in zip(curves, (MARGINS[1], SIZE[1] - MARGINS[3])):
        rows = np.flatnonzero((image == color).all(-1).any(axis=1))
        assert rows.min() < MARGINS[1] - 8, "the name"
        assert abs(rows[rows >= MARGINS[1] - 4] - row).max() <= 3, "the curve alone"


def test_names_that_do_not_fit_into_one_row_go_on_in_the_next():
    curves = [(f"a long name {number}" + " more" * 4, (10 + number, 0, 0), [(0, 1.0), (1, 0.9)]) for number in range(9)]
    image = np.asarray(draw_lines(curves, "title")).astype(int)
    row, column = np.nonzero(np.abs(image[:100] - [14, 0, 0]).max(axis=-1) < 9)
    assert column.min() > MARGINS[0] - 4 and column.max() < SIZE[0] - MARGINS[2] + 4, "none leaves the image"
    lowest = max(np.flatnonzero((image == color).all(-1)[:140].any(axis=1)).min() for _, color, _ in curves[-1:])
    assert 40 < lowest < 100, "three rows and more"


@pytest.mark.parametrize("text, message", [("", "no epoch yet"), ("hello\n", "is no log"), ("[1]\n", "is no log"),
                                           ('{"step": 1, "loss": 2}\n', "is no log")])
def test_what_is_no_log_is_named(tmp_path, text, message):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_log(path)


def test_the_command_writes_a_image_and_a_missing_log_leaves_none(tmp_path, run_script_main):
    from PIL import Image

    log = write_log(tmp_path / "geometry.jsonl", [{"epoch": 0, "validation": 0.5}, {"epoch": 1, "loss": 0.3}])
    code, out, _ = run_script_main(plot_log, log, tmp_path / "a.png")
    assert code == 0 and "a.png" in out and Image.open(tmp_path / "a.png").size == SIZE
    code, _, err = run_script_main(plot_log, tmp_path / "gone.jsonl", tmp_path / "b.png")
    assert code == 2 and "gone.jsonl" in err and not (tmp_path / "b.png").exists()


def test_parts_of_the_loss_have_a_panel_of_their_own_and_what_is_no_part_is_left_out():
    rest = {"step": 7, "learning_rate": 1e-3, "gradient_norm": 2.0, "seconds": 9.0, "data_seconds": 1.0, "step_seconds": 8.0}
    lines = [{"epoch": epoch, "loss": 0.3, **rest} for epoch in (1, 2)]
    assert draw_run(lines, "a").size == SIZE, "no parts, no second panel"
    image = draw_run([line | {"chamfer": 0.1} for line in lines], "a")
    assert image.size == (SIZE[0], 2 * SIZE[1])
    second = np.asarray(image)[SIZE[1]:]
    assert [(second == color).all(-1).any() for color in PALETTE[:5]] == [True] + 4 * [False]
    assert draw_run([{"epoch": 0}], "a") is None
