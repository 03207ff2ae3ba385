"""The page of one result: one file that needs nothing else, and in a real browser the same picture as our rasterizer's."""
import json
import re

import numpy as np
import pytest

from config import VIEW_NAMES
from utils.output.agreement import view_agreement
from utils.output.report import object_report
from utils.output.viewer import write_viewer
from utils.rendering.rasterizer import over_white, render_views

BACKGROUND = (230, 232, 235)
TILES = [np.full((60, 60, 3), 40 * number, np.uint8) for number in range(6)]


def page_of(result, folder, name="leaning", notes=()):
    agreement = view_agreement(render_views(result.mesh.as_mesh(), 128), result.views.images, result.views.masks)
    report = object_report(name, result.mesh, agreement, 128) | {"notes": list(notes)}
    write_viewer(folder / "page.html", result.mesh, TILES, report)
    return folder / "page.html"


def test_it_is_one_file_that_asks_for_no_other(result, tmp_path):
    page = page_of(result, tmp_path)
    text = page.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"] and page.stat().st_size < 500_000
    assert "default-src 'none'" in text and "__" not in re.sub(r"base64,[^\"]*", "", text)
    assert not re.findall(r"https?://|<link|(?:src|href)=", text)


def test_its_data_are_the_mesh_the_pictures_and_the_report(result, tmp_path):
    text = page_of(result, tmp_path, notes=["one thing"]).read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))
    assert data["title"] == "leaning" and data["notes"] == ["one thing"]
    assert dict(data["facts"])["size"] == "0.950 x 0.600 x 2.000"
    assert [view["name"] for view in data["views"]] == list(VIEW_NAMES)
    assert all(view["picture"].startswith("data:image/jpeg;base64,") and "dB" in view["words"] for view in data["views"])


def test_names_and_notes_cannot_become_part_of_the_page(result, tmp_path):
    evil = "</script><script>alert(1)</script>"
    text = page_of(result, tmp_path, name=evil, notes=[evil, "<!--"]).read_text()
    assert text.count("<script") == 2 and text.count("</script") == 2 and "<title>&lt;/script" in text
    assert json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))["notes"] == [evil, "<!--"]


def test_a_texture_larger_than_the_page_wants_is_shown_smaller(result, tmp_path, monkeypatch):
    whole = page_of(result, tmp_path).stat().st_size
    monkeypatch.setattr("utils.output.viewer.LARGEST_TEXTURE", 32)
    assert page_of(result, tmp_path).stat().st_size < whole - 3000


@pytest.mark.slow
def test_chromium_draws_in_all_three_modes_what_the_rasterizer_draws(result, tmp_path, browse):
    """The canvas is a square of 512 pixels and a named view has no perspective, so the pictures are equal pixel by pixel."""
    page = page_of(result, tmp_path)
    truth = render_views(result.mesh.as_mesh(), 512)
    region = np.s_[60:450, :512]  # below the buttons and above the hint
    for view in ("top", "left"):
        shown, console = browse(page, f"view={view}")
        assert shown.shape == (512, 912, 3) and console == []
        solid, drawn = truth[view][..., 3][region] >= 128, (shown[region] != BACKGROUND).any(axis=-1)
        assert (solid & drawn).sum() / (solid | drawn).sum() > 0.985, view
        difference = np.abs(shown[region].astype(int) - over_white(truth[view])[region])[solid & drawn]
        assert difference.mean() < 3, "the texture lies on it as the rasterizer lays it"
    solid = truth["left"][..., 3][region] >= 128
    gray, console = browse(page, "view=left&mode=gray")
    inside = gray[region][solid].astype(int)
    assert console == [] and np.ptp(inside, axis=1).max() <= 6 and inside.std() > 0.5, "gray, and shaded"
    wire, console = browse(page, "view=left&mode=wireframe")
    lines = (wire[region][solid].astype(int)[:, 2] - wire[region][solid].astype(int)[:, 0]) > 25
    assert console == [] and 0.02 < lines.mean() < 0.6, "blue lines between pale faces"
    lit, console = browse(page, "view=left&light=1")
    assert console == [] and np.abs(lit[region].astype(int) - shown[region]).mean() > 1


@pytest.mark.slow
def test_chromium_shows_a_narrow_page_and_what_it_says(result, tmp_path, browse):
    shown, console = browse(page_of(result, tmp_path), "", 500, 900)
    canvas = shown[60:450]
    assert console == [] and 0.05 < (canvas != BACKGROUND).any(axis=-1).mean() < 0.9
    assert (shown[560:] < 100).all(axis=-1).sum() > 500, "words and dark pictures below"
