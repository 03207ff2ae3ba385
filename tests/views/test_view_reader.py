"""One object's images as reconstruction asks for them; by whole reconstructions: tests/test_inference.py."""
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from config import EXAMPLES_DIR, VIEW_NAMES
from utils.views import six_views, view_consistency
from utils.views.view_reader import CALIBRATION_SIZE, PREVIEW_SIZE, ViewReader

ROOT = Path(__file__).parents[2]
FILES = {name: ROOT / EXAMPLES_DIR / "shoe_900002" / f"{name}.png" for name in VIEW_NAMES}


def test_images_are_framed_once_for_the_three_sizes_of_a_field(tmp_path, monkeypatch):
    for name, path in FILES.items():  # in the middle of twice as much white, as nobody renders
        Image.fromarray(np.pad(np.asarray(Image.open(path).convert("RGB")), ((128, 128), (128, 128), (0, 0)),
                               constant_values=255)).resize((96, 96)).save(tmp_path / f"{name}.png")
    made, stack = [], six_views._stack
    monkeypatch.setattr(six_views, "_stack", lambda *args: made.append(args[-1]) or stack(*args))
    reader = ViewReader({name: tmp_path / f"{name}.png" for name in VIEW_NAMES}, "shoe")
    sizes = [reader.at(size).images.shape[1] for size in (PREVIEW_SIZE, CALIBRATION_SIZE, None)]
    assert sizes == [PREVIEW_SIZE, CALIBRATION_SIZE, PREVIEW_SIZE], "the largest image is smaller than that"
    assert sorted(made) == sorted(set(made)), "what each size is cut from is made once"


@pytest.mark.slow
def test_exchanged_views_are_searched_for_and_named_once(monkeypatch):
    searches, search = [], view_consistency.diagnose_view_swap
    monkeypatch.setattr(view_consistency, "diagnose_view_swap", lambda *views: searches.append(1) or search(*views))
    wrong = ViewReader(FILES | {"left": FILES["top"], "top": FILES["left"]}, "shoe")
    assert [note for note in wrong.notes if "left and top look exchanged" in note] and len(searches) == 1
    assert not ViewReader(FILES, "shoe").notes and len(searches) == 2
