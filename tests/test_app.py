"""The web page: what stands behind it, without gradio; and the page itself in a real browser, with real pictures."""
import html
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

import app
from config import VIEW_NAMES, UserError
from inference import STAGES, ViewReader
from utils.mesh.textured_mesh import TexturedMesh
from utils.views.mask_sheet import LINE

ROOT = Path(__file__).parents[1]
SHOE = sorted((ROOT / "data" / "examples" / "photo_shoe").iterdir())
RENDERS = {view: ROOT / "data" / "examples" / "shoe_900002" / f"{view}.png" for view in VIEW_NAMES}


# ---- Behind the page


def test_the_outline_is_drawn_where_the_picture_changes_from_object_to_background(tmp_path):
    picture = np.full((300, 400, 3), 230, np.uint8)
    picture[100:200, 150:250] = (20, 60, 140)
    Image.fromarray(picture).save(tmp_path / "box.png")
    shown, caption = app.show_outline("left", tmp_path / "box.png")
    assert shown.shape == (480, 640, 3), "not padded to a square"
    rows, columns = np.nonzero((shown == LINE).all(-1))
    assert [rows.min(), rows.max(), columns.min(), columns.max()] == pytest.approx([160, 320, 240, 400], abs=3)
    assert [rows.min() + rows.max(), columns.min() + columns.max()] == pytest.approx([479, 639], abs=1), "on the edge itself"
    assert tuple(shown[240, 320]) == (20, 60, 140) and shown[20, 20, 0] < 200, "the rest is dimmed"
    assert caption.startswith("Object found")


@pytest.mark.slow
def test_a_real_photograph_lies_on_its_side_no_more_and_its_object_is_found():
    shown, caption = app.show_outline("front", SHOE[0])
    line = (shown == LINE).all(-1)
    rows, columns = np.nonzero(line)
    assert line.sum() > 300 and caption.startswith("Object found")
    assert rows.max() - rows.min() > columns.max() - columns.min(), "a boot from its front is higher than wide"


@pytest.mark.parametrize("content, words", [(b"hello", "cannot be read"), (b"", "cannot be read")])
def test_what_is_no_picture_is_said_in_a_sentence_without_folders(content, words, tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        app.show_outline("top", path)
    said = app.sentence(str(error.value), [path])
    assert said.startswith("notes.jpg: the top image") and said.endswith(".") and str(tmp_path) not in said


def test_messages_lose_the_options_of_the_command_line():
    for note in ("the silhouette of top is doubtful: compare the masks image, or use --mask_dir",
                 "the background of left is not plain (or the object is cut off), so its silhouette is a guess: use "
                 "--background model or --mask_dir",
                 "the front view is empty: no object is seen in front of the background; use a plain background of another "
                 "color, or --mask_dir", "masks are from border colors, for rembg is not installed (see --background)"):
        said = app.sentence(note)
        assert "--" not in said and said[0].isupper() and said.endswith(".")


def test_what_was_noticed_stands_beside_the_picture_it_speaks_of():
    beside, others = app.beside_pictures([
        "cameras: perspective from about 2.5 object lengths", "the silhouette of top is doubtful; top looks turned",
        "left and right look exchanged", "images were cut to the object", "front, left and right are dark"])
    assert beside["top"] == ["The silhouette of top is doubtful.", "Top looks turned."]
    assert beside["left"] == beside["right"] == ["Left and right look exchanged."] and beside["front"] == []
    assert others == ["Images were cut to the object.",
                      "Front, left and right are dark.", "Cameras: perspective from about 2.5 object lengths."]


def test_several_files_find_their_places_by_name_and_strays_are_named():
    placed, left_over = app.place_by_name([*SHOE, Path("x/shoe.jpg"), Path("x/other_top.png")])
    assert placed == {view: next(path for path in SHOE if path.stem.endswith(view)) for view in VIEW_NAMES}
    assert len(left_over) == 2 and left_over[0].startswith("shoe.jpg: the name says no view")
    assert left_over[1].startswith("other_top.png:") and "is the top view already" in left_over[1]


class Boxes:
    """Stands in for a Reconstructor: whatever the pictures show, it is a box."""

    def reader(self, files, name):
        self.files = files
        return ViewReader(files, name, calibrated=False)

    def reconstruct_from(self, reader, stage):
        for name in STAGES:
            stage(name)
        box = trimesh.creation.box((1, 2, 1))
        return TexturedMesh(np.asarray(box.vertices), np.asarray(box.faces), np.zeros((1, 2), np.float32),
                            np.zeros_like(box.faces), np.full((4, 4, 3), 200, np.uint8), notes=["left looks turned"])


def test_the_files_that_are_offered_open_and_each_stage_is_announced(tmp_path):
    """A box of (1, 2, 1) is no shoe: the page says so of the whole, and below each picture by how much."""
    stages, boxes = [], Boxes()
    made = app.reconstruct(boxes, RENDERS, tmp_path / "r", stages.append)
    assert stages == [*STAGES, "writing files"] and boxes.files == RENDERS
    assert trimesh.load(made.glb, force="mesh").volume == pytest.approx(2)
    solid = trimesh.load(made.stl)
    # For a printer: 100 mm along the longest edge, standing on z = 0
    assert solid.is_watertight and solid.volume == pytest.approx(2 * 50**3, rel=1e-4) and solid.bounds[0, 2] == pytest.approx(0)
    with zipfile.ZipFile(made.obj_zip) as archive:
        assert sorted(archive.namelist()) == ["mesh.mtl", "mesh.obj", "mesh.png"]
    assert made.beside["left"].startswith("⚠ Left looks turned. The mesh agrees with it to ")
    far = {view: float(re.search(r"to (\d+\.\d\d) px in outline, \d+\.\d dB in color\.$", made.beside[view])[1])
           for view in VIEW_NAMES}
    assert min(far.values()) > 2
    assert len(made.notes) == 1 and made.notes[0].startswith("⚠ Beyond what is usual, which is outlines within 1 px, ")
    assert "--" not in made.notes[0] and "png" not in made.notes[0]
    frame = app.framed(made.viewer)
    inside = html.unescape(re.fullmatch(r'<iframe [^>]*sandbox="allow-scripts" srcdoc="([^"]*)"></iframe>', frame)[1])
    assert inside == made.viewer.read_text() and "closed, 1 part, 0 handles" in inside


@pytest.mark.parametrize("views, words", [((), "No pictures yet"), (("front", "left"), "2 pictures are too few"),
                                          (("front", "back"), "2 pictures are too few")])
def test_too_few_pictures_are_refused_before_any_work(views, words, tmp_path):
    with pytest.raises(UserError, match=words):
        app.reconstruct(None, {view: RENDERS[view] for view in views}, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_without_gradio_one_line_says_what_to_install(run_script_main, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    code, _, err = run_script_main(app, "--no_browser")
    assert code == 2 and err == "error: the page needs gradio: pip install -r requirements-app.txt\n"


def test_an_option_out_of_range_is_refused_before_anything_is_loaded(run_script_main):
    code, _, err = run_script_main(app, "--grid", 4)
    assert code == 2 and err == "error: --grid 4: choose 16 to 512\n"


# ---- In a browser


@pytest.fixture(scope="module")
def address():
    """The page, served by the script itself in a process of its own."""
    pytest.importorskip("gradio", reason="the page needs gradio: pip install -r requirements-app.txt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "app.py", "--no_browser", "--device", "cpu", "--port", str(port), "--grid", "48",
                               "--faces", "4000"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, server.stdout.read()
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(20)


def test_the_page_offers_no_programming_interface_and_leaves_no_file_behind(tmp_path):
    pytest.importorskip("gradio", reason="the page needs gradio: pip install -r requirements-app.txt")
    blocks = app.page(None, tmp_path)
    assert {function.api_visibility for function in blocks.fns.values()} == {"private"}
    assert blocks.analytics_enabled is False
    assert not (ROOT / "app.pyi").exists(), "gradio writes a stub beside a file that derives components"


@pytest.fixture
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="to drive a browser: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=[
            "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"])
        yield opened
        opened.close()


def said(page, name):
    return page.inner_text(f"#{name}")


def wait_for(page, name, words, seconds=240):
    """Until an element says one of some words; returns what it says."""
    end = time.monotonic() + seconds
    while not any(word in said(page, name) for word in words):
        assert time.monotonic() < end, f"#{name} says {said(page, name)!r}"
        page.wait_for_timeout(200)
    return said(page, name)


@pytest.mark.slow
def test_six_photographs_become_a_mesh_in_a_browser_and_nothing_leaves_the_machine(address, browser, tmp_path):
    """With MITO3D_PAGE_PICTURE=docs/page.jpg it also makes the picture of the documentation."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    outside, errors = [], []
    page.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:"))
            else outside.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#start")

    # What cannot be used is said below its place, in a sentence
    (tmp_path / "holiday.jpg").write_text("no picture")
    page.set_input_files("#picture-top input[type=file]", tmp_path / "holiday.jpg")
    assert wait_for(page, "caption-top", ["⚠"]).startswith("⚠ holiday.jpg: the top image cannot be read")
    page.click("#start")
    assert "No pictures yet" in wait_for(page, "status", ["⚠"])

    # One at a time, or several at once
    page.set_input_files("#picture-front input[type=file]", SHOE[0])
    wait_for(page, "caption-front", ["Object found"])
    assert page.locator("#picture-front img").count() == 1
    with page.expect_file_chooser() as chooser:
        page.click("#several")
    chooser.value.set_files(SHOE[1:])
    for view in VIEW_NAMES:
        wait_for(page, f"caption-{view}", ["Object found"])

    # The mesh: stages are announced, it is drawn, and its files open
    page.click("#start")
    seen = set()
    end = time.monotonic() + 600
    while not said(page, "status").startswith(("Done", "⚠")) or not seen:
        seen |= {name for name in STAGES if name in page.inner_text("body").lower()}
        assert time.monotonic() < end
        page.wait_for_timeout(100)
    assert said(page, "status").startswith("Done") and len(seen) >= 3
    frame = page.frame_locator("#model iframe")
    frame.get_by_role("button", name="Gray").wait_for()
    colored = drawn_colors(frame, tmp_path)
    assert colored.max() > 60, "painted"
    frame.get_by_role("button", name="Gray").click()
    assert np.quantile(drawn_colors(frame, tmp_path), 0.98) < 12, "gray"
    frame.get_by_role("button", name="Textured").click()
    drawn_colors(frame, tmp_path)
    before, box = Image.open(tmp_path / "canvas.png").convert("RGB"), frame.locator("canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 150, middle[1])
    page.mouse.up()
    drawn_colors(frame, tmp_path)
    after = Image.open(tmp_path / "canvas.png").convert("RGB")
    assert np.abs(np.asarray(before).astype(int) - np.asarray(after))[60:-50].mean() > 5, "dragging turns it"
    frame.get_by_role("button", name="Reset").click()

    # Whether to trust it: the report beside the mesh, and of each picture below it
    report = frame.locator("table").inner_text()
    for name in ("outlines agree to", "colors agree to", "closed, 1 part, ", "area, volume", "thinnest wall", "cameras"):
        assert name in report
    for view in VIEW_NAMES:
        assert re.search(r"agrees with it to \d\.\d\d px in outline, \d\d\.\d dB", said(page, f"caption-{view}"))
    for name, suffix in (("glb", ".glb"), ("stl", ".stl"), ("obj", ".zip"), ("vie", ".html")):
        with page.expect_download() as coming:
            page.click(f"#download-{name}")
        file = tmp_path / f"got{suffix}"
        coming.value.save_as(file)
        if suffix == ".zip":
            assert zipfile.ZipFile(file).testzip() is None
        elif suffix == ".html":
            assert "<title>mesh</title>" in file.read_text()
        else:
            assert 1000 < len(trimesh.load(file, force="mesh").faces) <= 4000
    wanted = os.environ.get("MITO3D_PAGE_PICTURE")
    if wanted:
        page.evaluate("scrollTo(0, 0)")
        page.mouse.move(0, 0)
        Image.open(save(page, tmp_path / "page.png")).convert("RGB").save(wanted, quality=85, optimize=True)
    assert outside == [] and errors == []


def drawn_colors(frame, folder):
    """How far from gray the pixels of the mesh are that the viewer shows: (K,) int; it fills a fair part of its canvas."""
    frame.locator("canvas").page.wait_for_timeout(1500)  # until it is drawn
    picture = np.asarray(Image.open(save(frame.locator("canvas"), folder / "canvas.png")).convert("RGB")).astype(int)
    picture = picture[60:-50]  # without buttons and hint
    drawn = np.abs(picture - picture[5, 5]).max(-1) > 30
    assert 0.03 < drawn.mean() < 0.8 and drawn[:, drawn.shape[1] // 2].any(), "a shoe stands in the viewer"
    return np.ptp(picture[drawn], axis=1)


def save(what, path):
    what.screenshot(path=path)
    return path
