"""PostScript is a program, and looking at an image must run none."""
import io

import pytest
from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from config import UserError
from utils.io.image_formats import DECODED, open_with_pillow
from utils.mesh.referenced_files import decode_texture
from utils.views.decoding import half_field, open_image


@pytest.mark.parametrize("head", [b"", b"\xc5\xd0\xd3\xc6" + (30).to_bytes(4, "little") + bytes(22)], ids=["plain", "DOS"])
@pytest.mark.parametrize("name", ["front.png", "front.jpg", "front.tif"])
def test_postscript_under_any_name_is_no_image_and_is_not_run(head, name, tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **options: pytest.fail("a program was run"))
    file = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(file, "EPS")
    (tmp_path / name).write_bytes(head + file.getvalue())
    with pytest.raises(UserError, match="front image cannot be read .no image in it.; save it again as PNG or JPEG"):
        open_image(tmp_path / name, "front image")
    assert half_field(tmp_path / name) is None
    with pytest.raises(ValueError, match="is not an image"):
        decode_texture(head + file.getvalue())


@pytest.mark.parametrize("name", [*(name for name in DECODED if name not in ("HEIF", "PSD")), "MPO"])
def test_every_kind_that_is_named_is_opened(name):
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, name)
    with open_with_pillow(file) as image:
        assert image.convert("RGB").getpixel((8, 8))[0] > 240


@pytest.mark.parametrize("head", [b"8BPS\0\1", b"", b"text", b"\x89PNG", b"II*\0"])
def test_what_is_cut_off_at_once_is_no_image(head):
    with pytest.raises(UnidentifiedImageError):
        open_with_pillow(io.BytesIO(head))
