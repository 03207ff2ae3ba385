"""What callers from Python get wrong: one sentence that names the argument or the view, whatever its type."""
import os
import tempfile

import numpy as np
import pytest
from PIL import Image

import inference
from config import VIEW_NAMES, UserError
from tests.test_bad_input_images import tetrahedron, tiny_field, view_image

LONG = "n" * 3000
ARRAYS = {view: np.asarray(view_image(view)) for view in VIEW_NAMES}
MASKS = {view: array[..., 3] for view, array in ARRAYS.items()}


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    return tiny_field(tmp_path_factory.mktemp("field") / "field.pth")


@pytest.fixture(scope="module")
def reconstructor(field):
    return inference.Reconstructor(field, device="cpu", texture_size=64)


def said_of(function, *arguments, **options):
    """The one sentence of the UserError that a call raises."""
    with pytest.raises(UserError) as refused:
        function(*arguments, **options)
    text = str(refused.value)
    assert "\n" not in text and len(text) < 300
    return text


@pytest.mark.parametrize("options, said", [
    ({"decoder": "x"}, "--geometry x: choose points or field"), ({"decoder": ["field"]}, "--geometry ['field']: choose"),
    ({"decoder": ""}, "--geometry : choose"),
    ({"device": None}, "--device None: unknown"), ({"device": ["cpu"]}, "--device ['cpu']: unknown"),
    ({"without": None}, "--without None: give a set of steps"), ({"without": "network"}, "--without network: give a set"),
    ({"without": [1, "x"]}, "no such step"), ({"without": [["network"]]}, "--without ['network']: no such step"),
    ({"background": None}, "--background None: choose"), ({"grid": "x"}, "--grid x: choose"), ({"faces": None}, "--faces None"),
    ({"geometry_checkpoint": 5}, "--geometry_checkpoint: a path is wanted, not int"),
    ({"geometry_checkpoint": ""}, "--geometry_checkpoint: the path '' is empty"),
    ({"geometry_checkpoint": LONG}, "is longer than a path can be"),
    ({"texture_checkpoint": "a\0b"}, "--texture_checkpoint: the path 'a\\x00b' holds a character that no path can have"),
    ({"cache_dir": "a\ud800"}, "--cache_dir: the path 'a\\ud800' holds a character")], ids=ascii)
def test_an_argument_of_the_reconstructor_that_cannot_be_is_named(options, said, field):
    assert said in said_of(inference.Reconstructor, **{"geometry_checkpoint": field, "device": "cpu"} | options)


@pytest.mark.parametrize("views, masks, said", [
    ({1: "x"}, None, "unknown view 1 of shoe; expected front"), ({None: "x"}, None, "unknown view None"),
    ({("front",): "x"}, None, "unknown view ('front',)"), ({"../../x": ARRAYS["top"]}, None, "unknown view '../../x' of shoe"),
    ({"tpo": "x"}, None, "unknown view 'tpo' of shoe (did you mean top?)"),
    ({"top": None}, None, "shoe: the top view is neither a path, nor a PIL image"),
    ({"top": b"top.png"}, None, "shoe: the top view is neither a path"),
    ({"top": ""}, None, "shoe: the top view: the path '' is empty"), ({"top": "a\0b"}, None, "shoe: the top view: the path 'a"),
    ({"top": LONG}, None, "shoe: the top view: the path 'nnn"),
    ({"top": ARRAYS["top"][:3]}, None, "shoe: the top image is too small (48 x 3 pixels)"),
    ({"top": ARRAYS["top"] * 0}, None, "shoe: the top view is empty"),
    ({}, {1: "x"}, "shoe: masks are for all views that are given or for none"), ({}, [1], "not as a list"),
    ({}, {"top": None}, "shoe: the mask of the top view is neither a path"),
    ({}, {"top": MASKS["top"] / 255}, "shoe: the mask of the top view is neither a path, nor a PIL image, nor a uint8 array"),
    ({}, {"top": MASKS["top"] * 0}, "shoe: the mask of the top view is empty"),
    ({}, {"top": MASKS["top"][:3]}, "shoe: the mask of the top view is too small"),
    ({}, {view: mask | 255 for view, mask in MASKS.items()}, "shoe: the masks leave no background in the front view")])
def test_an_image_that_cannot_be_used_is_named_by_what_it_is_and_no_temporary_file(views, masks, said, reconstructor, tmp_path,
                                                                                   monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    masks = MASKS | masks if isinstance(masks, dict) else masks
    text = said_of(reconstructor.reconstruct, ARRAYS | views, masks, "shoe")
    assert said in text and str(tmp_path) not in text and not list(tmp_path.iterdir()), text


def test_a_file_that_cannot_be_used_keeps_its_own_name(reconstructor, tmp_path):
    Image.new("RGB", (3, 3)).save(tmp_path / "small.png")
    assert said_of(reconstructor.reconstruct, ARRAYS | {"top": tmp_path / "small.png"}, None, "shoe").startswith(
        f"{tmp_path}/small.png: the top image is too small")


@pytest.mark.parametrize("path, options, said", [
    (None, {}, "write: a path is wanted, not None"), (5, {}, "write: a path is wanted, not int"),
    ("", {}, "write: the path '' is empty"),
    ("a\0b.obj", {}, "holds a character that no path can have"), (LONG + ".obj", {}, "is longer than a path can be"),
    ("a", {}, "a: cannot write this format"), ("field.pth/a.obj", {}, "cannot write field.pth: File exists"),
    ("pipe.glb", {}, "cannot write pipe.glb: it is a device or a pipe"),
    ("a.stl", {"longest_edge_mm": 1e39}, "longest_edge_mm 1e+39: choose a length above 0, at most 1000000"),
    ("a.stl", {"longest_edge_mm": "x"}, "longest_edge_mm x: choose a length"),
    ("a.stl", {"longest_edge_mm": [1]}, "longest_edge_mm [1]: choose a length"),
    ("a.ply", {"up": ["z"]}, "up ['z']: choose y or z"), ("a.obj", {"texture_format": None}, "texture_format None: choose"),
    ("a.glb", {"texture_format": ["png"]}, "texture_format ['png']: choose png or jpg")], ids=lambda value: str(value)[:30])
def test_a_place_or_a_size_that_cannot_be_is_said_and_nothing_is_written(path, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "field.pth").write_text("in the way")
    os.mkfifo(tmp_path / "pipe.glb")
    assert said in said_of(tetrahedron().write, path, **options)
    assert sorted(os.listdir(tmp_path)) == ["field.pth", "pipe.glb"]
