"""The learning curve: what is drawn where, read back from the image."""
import sys

import numpy as np
import pytest
from PIL import Image

from utils.evaluation.plots import DPI, PANEL_INCHES, write_curve


def blue_rows(path):
    """Height of the blue curve in each column of an image that has any, from the left."""
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    blue = (image[..., 2] - image[..., 0] > 100)
    return [np.flatnonzero(column).mean() for column in blue.T if column.any()]


def test_a_rising_score_rises_and_a_falling_distance_falls(tmp_path):
    pytest.importorskip("matplotlib")
    rising, falling = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    for name, values in (("rising", rising), ("falling", falling)):
        assert write_curve(tmp_path / f"{name}.png", [10, 30, 100], {"F@0.02": (values, values, values, None)})
    up, down = (blue_rows(tmp_path / f"{name}.png") for name in ("rising", "falling"))
    assert up[0] > up[-1] + 50 and down[0] < down[-1] - 50  # rows count downwards
    assert Image.open(tmp_path / "rising.png").size == tuple(round(DPI * inches) for inches in PANEL_INCHES)


def test_the_hull_is_a_dashed_line_of_its_own(tmp_path):
    pytest.importorskip("matplotlib")
    values = [0.1, 0.2]
    for name, level in (("without", None), ("with", 0.15)):
        write_curve(tmp_path / f"{name}.png", [10, 100], {"cd_l1": (values, values, values, level)})
    first, second = (np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int)
                     for name in ("without", "with"))
    gray = (np.abs(second - 128).max(-1) < 3) & (np.abs(first - 128).max(-1) >= 3)
    assert gray.sum(axis=1).max() > 100  # one row of the image


def test_without_matplotlib_nothing_is_drawn_and_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert write_curve(tmp_path / "a.png", [1, 2], {"x": ([1, 2], [1, 2], [1, 2], None)}) is False
    assert not (tmp_path / "a.png").exists()
