"""Names that mesh files use, and the file each must lead to; what formats of pictures become."""
import io
import os

import numpy as np
import pytest
from PIL import Image

from tests.mesh.written_files import QUARTERS, png
from utils.mesh import referenced_files
from utils.mesh.referenced_files import TextureStore, decode_text, decode_texture, locate


@pytest.mark.parametrize("content, text", [
    ("a\u00e4\nb".encode(), "a\u00e4\nb"), ("a\u00e4".encode("cp1252"), "a\u00e4"), (b"a\r\nb\rc\n", "a\nb\nc\n"),
    ("v 1 2".encode("utf-16"), "v 1 2"), ("v 1 2".encode("utf-16-le"), "v 1 2"), ("v 1 2".encode("utf-16-be"), "v 1 2"),
    ("\ufeffv 1".encode("utf-8"), "v 1"), ("v 1".encode("utf-32"), "v 1"), (b"", ""), (b"\xff\xfe", ""), (b"a\x81", "a\ufffd"),
])
def test_texts_of_every_encoding(content, text):
    assert decode_text(content) == text


@pytest.fixture
def folder(tmp_path):
    for name in ("home/toy.obj", "home/skin.png", "home/tex/Skin 2.png", "home/both.png", "home/BOTH.png",
                 "home/textures/x.png", "home/sch\u00f6n.png", "outside.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path / "home"


@pytest.mark.parametrize("name, found", [
    ("skin.png", "skin.png"), ("./skin.png", "skin.png"), ("SKIN.png", "skin.png"), ("tex/skin 2.PNG", "tex/Skin 2.png"),
    ("tex\\Skin 2.png", "tex/Skin 2.png"), ("tex/../skin.png", "skin.png"), ("both.png", "both.png"), ("Both.png", None),
    ("gone/skin.png", "skin.png"), ("x.png", "textures/x.png"), ("C:\\x\\x.png", "textures/x.png"), ("/skin.png", "skin.png"),
    ("c:skin.png", None), ("scho\u0308n.png", "sch\u00f6n.png"), ("tex", None), ("", None), ("..", None), (".", None),
    ("a\0b", None), ("x" * 5000, None), ("/" * 5000 + "skin.png", "skin.png"), ("../" * 500 + "skin.png", "skin.png"),
])
def test_a_name_leads_to_the_file_it_means(folder, name, found):
    path, problem = locate(folder / "toy.obj", name)
    assert path == (folder / found if found else None) and bool(problem) == (not found)


def test_the_folder_of_the_file_that_names_it_comes_first(folder):
    (folder / "tex" / "skin.png").write_text("")
    assert locate(folder / "toy.obj", "skin.png", folder / "tex")[0] == folder / "tex" / "skin.png"
    assert locate(folder / "toy.obj", "both.png", folder / "tex")[0] == folder / "both.png"
    assert locate(folder / "toy.obj", "../skin.png", folder / "tex")[0] == folder / "skin.png"


def test_a_relative_mesh_path_works_as_well(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert locate(referenced_files.Path("home/toy.obj"), "skin.png")[0] == folder / "skin.png"


@pytest.mark.parametrize("name", ["../outside.png", "tex/../../outside.png", "../OUTSIDE.png", "../gone.png"])
def test_what_leaves_the_folder_is_said_and_not_followed(folder, name, monkeypatch):
    listed, true = [], os.listdir
    monkeypatch.setattr(referenced_files.os, "listdir", lambda path: listed.append(path) or true(path))
    path, problem = locate(folder / "toy.obj", name)
    assert path is None and "outside its folder" in problem
    assert all(path == folder or folder in path.parents for path in listed), "no folder of others is looked into"


def test_links_that_leave_the_folder_are_not_followed(folder):
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    (folder / "links").symlink_to(folder.parent)
    (folder / "fine.png").symlink_to(folder / "skin.png")
    for name in ("link.png", "links/outside.png"):
        assert locate(folder / "toy.obj", name) == (None, referenced_files.OUTSIDE)
    assert locate(folder / "toy.obj", "fine.png")[0] == folder / "fine.png"


@pytest.mark.parametrize("mode, value, expected", [
    ("RGB", (10, 20, 30), (10, 20, 30)), ("L", 77, (77, 77, 77)), ("1", 1, (255, 255, 255)), ("P", 0, (0, 0, 0)),
    ("RGBA", (10, 20, 30, 40), (10, 20, 30)), ("LA", (77, 40), (77, 77, 77)), ("I;16", 128 * 257, (128, 128, 128)),
    ("I", 128 * 257, (128, 128, 128)), ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
    ("F", 0.5, (128, 128, 128)), ("F", float("nan"), (0, 0, 0)),
])
def test_pictures_of_every_mode(mode, value, expected):
    file = io.BytesIO()
    Image.new(mode, (3, 2), value).save(file, "TIFF" if mode in ("CMYK", "I", "F") else "PNG")
    rgb, alpha = decode_texture(file.getvalue())
    assert rgb.shape == (2, 3, 3) and rgb.dtype == np.uint8 and np.abs(rgb[0, 0].astype(int) - expected).max() <= 1
    assert (alpha is not None) == mode.endswith("A") and (alpha is None or (alpha == 40).all())


def test_a_store_decodes_each_picture_once_and_names_what_it_cannot(monkeypatch):
    store, reads = TextureStore(), []

    def read():
        reads.append(1)
        return png()

    assert store.add("a", "a.png", read) == store.add("a", "a.png", read) == 0 and len(reads) == 1
    assert store.add("b", "b.png", lambda: b"text") == store.add("b", "b.png", lambda: b"text") == -1
    assert store.problems == ["its texture b.png is not an image, or a damaged one"]
    np.testing.assert_array_equal(store.images[0], QUARTERS)
    monkeypatch.setattr(referenced_files, "MOST_TEXELS", 1500)  # one of 32 x 32, not two
    assert store.add("c", "c.png", png) == -1 and "too large" in store.problems[1] and len(store.images) == 1
