"""Views that are exchanged, turned, of another object or all the same, and masks that are wrong: said, and what to do."""
import numpy as np
import pytest
from PIL import Image

from config import VIEW_NAMES, UserError
from tests.test_bad_input_images import view_image
from utils.views.six_views import read_framed_views
from utils.views.view_consistency import UNLIKE

SIZE = 88


@pytest.fixture
def views(tmp_path):
    """{view: path} of an object without symmetry: a step, whose silhouettes all differ."""
    cells = np.zeros((22, 22, 22), bool)  # x, y, z; framed as the project frames, so that nothing has to be cut
    cells[1:21, 4:8, 6:14] = True
    cells[1:7, 8:18, 6:14] = True
    cells[1:7, 14:18, 14:16] = True
    cells[15:19, 4:8, 14:16] = True
    files = {}
    for view, (axis, turn) in {"front": (2, lambda mask: mask.T[::-1]), "back": (2, lambda mask: mask.T[::-1, ::-1]),
                               "left": (0, lambda mask: mask[::-1, ::-1]), "right": (0, lambda mask: mask[::-1]),
                               "top": (1, lambda mask: mask.T), "bottom": (1, lambda mask: mask.T[::-1])}.items():
        alpha = np.kron(turn(cells.any(axis)), np.ones((4, 4)))  # seen from +z: x to the right, y up, and so on
        rgba = np.dstack([np.full((*alpha.shape, 3), 40 + 30 * VIEW_NAMES.index(view)), 255 * alpha]).astype(np.uint8)
        files[view] = tmp_path / f"{view}.png"
        Image.fromarray(rgba).save(files[view])
    return files


def note_on(files, **options):
    return read_framed_views(files, SIZE, "step", **options)[1] or ""


def turned(path, how):
    with Image.open(path) as image:
        image.load()
    image.transpose(how).save(path)


def test_good_views_get_no_warning(views):
    assert UNLIKE not in note_on(views) and "look" not in note_on(views)


@pytest.mark.parametrize("one, two", [("front", "left"), *(
    pytest.param(*pair, marks=pytest.mark.slow) for pair in (("front", "top"), ("left", "bottom")))])
def test_exchanged_views_are_said(one, two, views):
    views[one], views[two] = views[two], views[one]
    note = note_on(views)
    assert "look exchanged" in note and one in note and two in note, note


@pytest.mark.parametrize("view, how", [("top", "ROTATE_90"), ("bottom", "ROTATE_180"), *(
    pytest.param(*case, marks=pytest.mark.slow) for case in (("top", "ROTATE_180"), ("bottom", "ROTATE_270")))])
def test_turned_views_are_said(view, how, views):
    turned(views[view], Image.Transpose[how])
    assert f"{view} look" in note_on(views) or UNLIKE in note_on(views), note_on(views)


@pytest.mark.parametrize("view, how", [("front", "FLIP_TOP_BOTTOM"), ("left", "ROTATE_90"), ("right", "FLIP_LEFT_RIGHT")])
def test_views_that_no_single_mistake_explains_are_said_not_to_fit(view, how, views):
    turned(views[view], Image.Transpose[how])
    assert UNLIKE in note_on(views) or "look" in note_on(views), note_on(views)


def test_a_view_of_another_object_is_said_not_to_fit(views, tmp_path):
    view_image("front").resize((88, 88)).save(views["front"])
    assert UNLIKE in note_on(views)


def test_one_image_under_all_six_names_is_said_not_to_fit(views):
    note = note_on(dict.fromkeys(VIEW_NAMES, views["front"]))
    assert UNLIKE in note or "look" in note


# ---- Masks


@pytest.fixture
def masks(views, tmp_path):
    files = {}
    for view, path in views.items():
        with Image.open(path) as image:
            alpha = image.getchannel("A")
            Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB").save(path)
        files[view] = tmp_path / f"mask_{view}.png"
        alpha.save(files[view])
    return files


def test_inverted_masks_are_turned_and_it_is_said(views, masks):
    good = read_framed_views(views, SIZE, "step", masks)[0]
    for path in masks.values():
        with Image.open(path) as image:
            Image.eval(image, lambda value: 255 - value).save(path)
    mended, note = read_framed_views(views, SIZE, "step", masks)
    assert "inverted" in note and np.array_equal(mended.masks, good.masks)


@pytest.mark.parametrize("damage, said", [
    ("all white", "leave no background in the front view"), ("empty", "the mask of the left view is empty"),
    ("of another shape", "make both of one shape"), ("no image", "mask of the left view cannot be read"),
    ("one pixel", "mask of the left view is too small")])
def test_masks_that_say_nothing_are_refused_by_name(damage, said, views, masks):
    if damage == "all white":
        for path in masks.values():
            Image.new("L", (88, 88), 255).save(path)
    elif damage == "no image":
        masks["left"].write_text("mask")
    else:
        size = {"empty": (88, 88), "of another shape": (88, 40), "one pixel": (1, 1)}[damage]
        Image.new("L", size, 0 if damage == "empty" else 255).save(masks["left"])
    with pytest.raises(UserError, match=said) as refused:
        read_framed_views(views, SIZE, "step", masks)
    assert "mask_" in str(refused.value) and "\n" not in str(refused.value)
