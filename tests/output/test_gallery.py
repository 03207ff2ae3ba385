"""The page of a folder of results: worst first, every link leads somewhere, and strangers' files do not matter."""
import json
import re
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from utils.output.gallery import write_gallery

NAMES = ("plain", "two words & <i>100%#?")


def put_result(folder, name, outline, viewer=True):
    report = {"format": 1, "id": name, "notes": [], "mesh": {
        "closed": True, "parts": 1, "handles": 0, "size": [1, 1, 2], "thinnest_wall": 0.1, "uv_use": 0.5, "charts": 9,
        "vertices": 8, "faces": 12, "area": 10, "volume": 2, "texture_px": [64, 64]}, "cameras": {"kind": "exact"},
        "agreement": {"image_px": 256, "outline_mean_px": outline, "outline_95_px": 1.0, "psnr_db": 25.0,
                      "views": {"front": {"outline_mean_px": outline, "outline_95_px": 1.0, "psnr_db": 25.0}}}}
    place = folder / name
    place.mkdir(parents=True)
    (place / f"{name}_report.json").write_text(json.dumps(report))
    sheet = np.full((64, 224, 3), 255, np.uint8)
    sheet[:32, 192:] = (200, 0, 0)  # the oblique view of the upper row
    Image.fromarray(sheet).save(place / f"{name}_preview.png")
    if viewer:
        (place / f"{name}_viewer.html").write_text("<p>viewer")


def test_every_result_has_a_card_worst_first_that_leads_to_its_page(tmp_path):
    put_result(tmp_path, NAMES[0], 0.2)
    put_result(tmp_path, NAMES[1], 3.0)
    put_result(tmp_path, "bare", 1.0, viewer=False)
    page = write_gallery(tmp_path)
    text = page.read_text()
    assert page == tmp_path / "index.html" and "<title>3 results" in text
    links = [unquote(link) for link in re.findall(r'<a href="([^"]*)"', text)]
    assert links == [f"{NAMES[1]}/{NAMES[1]}_viewer.html", "bare/bare_preview.png", "plain/plain_viewer.html"]
    assert all((tmp_path / unquote(link)).is_file() for link in re.findall(r'(?:href|src)="([^"]*)"', text))
    assert "<i>100" not in text and "&lt;i&gt;100%#?" in text
    cards = text.split("<a ")[1:]
    assert [re.findall(r'class="unusual"><dt>(.*?)</dt><dd>(.*?)<', card) for card in cards] == [
        [("outlines agree to", "3.00 px (unusual; 95 %: 1.00)")], [], []]
    assert all("closed, 1 part, 0 handles" in card and "1.000 x 1.000 x 2.000" in card for card in cards)
    assert "pictures of 256 px" in text


def test_what_is_no_report_of_ours_is_left_out(tmp_path):
    assert write_gallery(tmp_path) is None and not (tmp_path / "index.html").exists()
    put_result(tmp_path, "good", 1.0)
    for name, text in (("cut", '{"id": "cut"'), ("other", '{"id": "other", "score": 7}'), ("list", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}_report.json").write_text(text)
    (tmp_path / "good" / "x_report.json").write_text((tmp_path / "good" / "good_report.json").read_text())
    text = write_gallery(tmp_path).read_text()
    assert text.count("<a ") == 1 and "<title>1 result</title>" in text


@pytest.mark.slow
def test_chromium_shows_the_results_in_their_frames(tmp_path, browse):
    for number in range(3):
        put_result(tmp_path, f"object_{number}", number)
    shown, console = browse(write_gallery(tmp_path), "", 800, 500)
    assert console == []
    red = (shown == (200, 0, 0)).all(axis=-1)
    assert red.sum() > 3 * 150**2, "three pictures, cut to the view at an angle"
