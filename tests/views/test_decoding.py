"""Decoding of every kind of file, against pixels that were written or are worked out by hand."""
import io
import math
import sys
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from config import UserError
from tests.mesh.test_mesh_fuzz import damages, fuzz
from utils.views.decoding import half_field, open_image

FOUR = np.array([[(200, 30, 30), (20, 120, 60)], [(30, 40, 160), (128, 128, 128)]], np.uint8)
COLORS = FOUR.repeat(40, 0).repeat(40, 1)


@pytest.mark.parametrize("extension, tolerance", [("webp", 12), ("bmp", 0), ("tiff", 0), ("gif", 4), ("avif", 12),
                                                  ("jfif", 8), ("png", 0)])
def test_every_format_shows_the_colors_that_were_written(tmp_path, extension, tolerance):
    path = tmp_path / f"front.{extension}"
    image = Image.fromarray(COLORS)
    if extension == "gif":
        image.save(path, save_all=True, append_images=[Image.new("RGB", image.size)])  # the first frame counts
    else:
        image.save(path, format="JPEG" if extension == "jfif" else None, quality=95)
    rgb, alpha = open_image(path, "front image")
    assert alpha is None and rgb.shape == COLORS.shape
    for row, column in ((20, 20), (20, 60), (60, 20), (60, 60)):  # away from the edges, where codecs blur
        assert np.abs(rgb[row, column].astype(int) - COLORS[row, column]).max() <= tolerance


def wide_gamut_profile(tmp_path):
    """sRGB with the channels' order turned: what is written red is green. No other profile is so clear to check."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = bytearray(profile)
    tags = {}
    for i in range(int.from_bytes(data[128:132], "big")):
        entry = 132 + 12 * i
        tags[bytes(data[entry:entry + 4])] = entry + 4
    places = {name: bytes(data[tags[name]:tags[name] + 8]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")}
    for name, taken in ((b"rXYZ", b"gXYZ"), (b"gXYZ", b"bXYZ"), (b"bXYZ", b"rXYZ")):
        data[tags[name]:tags[name] + 8] = places[taken]
    return bytes(data).replace("sRGB".encode("utf-16-be"), "turn".encode("utf-16-be")).replace(b"sRGB", b"turn")


@pytest.mark.parametrize("alpha", [False, True])
def test_colors_are_converted_from_the_profile_and_alpha_stays(tmp_path, alpha):
    image = Image.fromarray(COLORS)
    if alpha:
        image.putalpha(Image.fromarray(np.tile(np.arange(80, dtype=np.uint8), (80, 1))))
    image.save(tmp_path / "a.png", icc_profile=wide_gamut_profile(tmp_path))
    rgb, read = open_image(tmp_path / "a.png", "front image")
    assert np.abs(rgb.astype(int) - np.roll(COLORS, 1, axis=-1)).max() <= 3
    assert (read == np.arange(80)).all() if alpha else read is None


def test_a_damaged_profile_and_srgb_itself_change_nothing(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (b"damaged", srgb):
        Image.fromarray(COLORS).save(tmp_path / "a.png", icc_profile=profile)
        assert (open_image(tmp_path / "a.png", "front image")[0] == COLORS).all()


@pytest.mark.parametrize("orientation, turn", [(2, np.fliplr), (3, lambda a: np.rot90(a, 2)), (4, np.flipud),
                                               (6, lambda a: np.rot90(a, -1)), (8, np.rot90),
                                               (5, lambda a: a.swapaxes(0, 1)),
                                               (7, lambda a: np.rot90(a, 2).swapaxes(0, 1))])
def test_exif_turns_bring_the_image_upright(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLORS[:, :60]).save(tmp_path / "a.png", exif=exif)
    assert (open_image(tmp_path / "a.png", "front image")[0] == turn(COLORS[:, :60])).all()


def test_large_images_are_reduced_while_they_are_decoded(tmp_path):
    Image.new("RGB", (5000, 2500), (9, 99, 199)).save(tmp_path / "a.jpg")
    rgb, _ = open_image(tmp_path / "a.jpg", "front image", 640)
    assert rgb.shape == (1024, 2048, 3) and np.abs(rgb.astype(int) - (9, 99, 199)).max() < 4


def test_heic_without_its_reader_is_one_line_whatever_the_file_is_called(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # what makes the import fail
    (tmp_path / "front.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    with pytest.raises(UserError, match="front.jpg: the front image is HEIC: pip install pillow-heif") as caught:
        open_image(tmp_path / "front.jpg", "front image")
    assert "\n" not in str(caught.value)


def test_what_is_no_image_or_too_small_is_named(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(UserError, match=r"a.png: the front image cannot be read \(no image in it\)"):
        open_image(tmp_path / "a.png", "front image")
    Image.new("RGB", (1, 1)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b.png: the front image is too small \(1 x 1 pixels\)"):
        open_image(tmp_path / "b.png", "front image")


def phone_image(path, size, recorded=None, focal=26):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[41989] = focal
    if recorded:
        exif.get_ifd(0x8769).update({40962: recorded[0], 40963: recorded[1]})
    Image.new("RGB", size).save(path, exif=exif)
    return path


def test_half_field_is_that_of_full_frame_across_the_diagonal(tmp_path):
    full_frame = half_field(phone_image(tmp_path / "a.jpg", (360, 240), focal=50))
    assert full_frame == pytest.approx(18 / 50)  # half of 36 mm over 50 mm
    phone = half_field(phone_image(tmp_path / "b.jpg", (300, 400), (4000, 3000)))  # turned and made smaller
    assert math.degrees(2 * math.atan(phone * 5 / 4)) == pytest.approx(79.5, abs=0.1)  # 26 mm: diagonal field


def test_half_field_of_a_cropped_image_or_without_exif_is_unknown(tmp_path):
    assert half_field(phone_image(tmp_path / "a.jpg", (300, 300), (4000, 3000))) is None
    assert half_field(phone_image(tmp_path / "b.jpg", (300, 400), focal=0)) is None
    Image.new("RGB", (30, 40)).save(tmp_path / "c.png")
    assert half_field(tmp_path / "c.png") is None and half_field(tmp_path / "none.jpg") is None


EXIF_OF_TEXT = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\2\0\0\0\3abc\0\0\0\0\0"


@pytest.mark.parametrize("note", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\xff\xff\0\1", EXIF_OF_TEXT, b""],
                         ids=["no TIFF", "beyond its end", "a text", "empty"])
@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_damaged_exif_costs_no_image(note, extension, tmp_path):
    Image.fromarray(COLORS[:, :60]).save(tmp_path / f"a.{extension}", exif=note, quality=95)
    rgb, _ = open_image(tmp_path / f"a.{extension}", "front image")
    assert rgb.shape == (80, 60, 3) and np.abs(rgb[20, 20].astype(int) - COLORS[20, 20]).max() < 13


def test_an_orientation_that_exif_does_not_know_turns_nothing(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 9
    Image.fromarray(COLORS[:, :60]).save(tmp_path / "a.png", exif=exif)
    assert (open_image(tmp_path / "a.png", "front image")[0] == COLORS[:, :60]).all()


def gray_with_gamma(path, gamma, *others):
    """A PNG of linear light to some power, as a renderer writes it: a PNG that says so."""
    info = PngImagePlugin.PngInfo()
    for name, content in ((b"gAMA", int(100_000 * gamma).to_bytes(4, "big")), *others):
        info.add(name, content)
    values = np.round(255 * np.linspace(0, 1, 32) ** gamma).astype(np.uint8)
    Image.fromarray(np.tile(values, (16, 1))).convert("RGB").save(path, pnginfo=info)
    return open_image(path, "front image")[0][0, :, 1].astype(int), values


def test_what_a_png_says_of_its_gamma_is_heeded(tmp_path):
    expected = 255 * np.linspace(0, 1, 32) ** (1 / 2.2)
    for gamma in (1, 1 / 1.8, 1 / 2.2):
        read, values = gray_with_gamma(tmp_path / "a.png", gamma)
        assert np.abs(read[4:] - expected[4:]).max() < 3
        assert gamma > 0.5 or (read == values).all()
    for gamma, others in ((1, [(b"sRGB", b"\0")]), (0, []), (1e-5, []), (40, [])):
        read, values = gray_with_gamma(tmp_path / "a.png", gamma, *others)
        assert (read == values).all(), "sRGB wins, and nonsense is passed over"


@pytest.mark.parametrize("dtype, white", [(np.float32, 1), (np.int32, 65535), (np.uint16, 65535), (np.uint8, 255)])
def test_gray_of_any_depth_is_scaled_to_its_white(dtype, white, tmp_path):
    values = np.tile(np.linspace(0, white, 32).astype(dtype), (16, 1))
    if dtype == np.float32:
        values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    rgb, alpha = open_image(tmp_path / "a.tif", "front image")
    assert alpha is None and np.abs(rgb - np.linspace(0, 255, 32)[None, :, None]).max() < 1


def file_of(kind, mode="RGB", **options):
    """The bytes of a small image file of one kind."""
    stream = io.BytesIO()
    Image.fromarray(COLORS[10:70:3, 10:70:3]).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def exif_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769).update({41989: 26, 40962: 20, 40963: 20})
    return exif.tobytes()


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
IMAGE_FILES = {
    "png": file_of("PNG", "RGBA", exif=exif_turned(), icc_profile=SRGB), "png palette": file_of("PNG", "P", transparency=1),
    "jpg": file_of("JPEG", exif=exif_turned(), icc_profile=SRGB), "jpg cmyk": file_of("JPEG", "CMYK"),
    "jpg phone": file_of("JPEG", exif=exif_turned()), "webp": file_of("WEBP", "RGBA", exif=exif_turned()),
    "tiff": file_of("TIFF", "RGBA", compression="tiff_lzw"), "tiff plain": file_of("TIFF", "CMYK"), "gif": file_of("GIF", "P"),
    "bmp": file_of("BMP"), "avif": file_of("AVIF"),
}


def decoded_or_one_line(path, content):
    """What is in the file decodes to an image as promised, or is refused in one line; nothing else is said or raised."""
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        half = half_field(path)
        try:
            rgb, alpha = open_image(path, "front image", 64)
        except UserError as error:
            assert str(error).startswith(f"{path}: the front image ") and "\n" not in str(error)
        else:
            assert rgb.dtype == np.uint8 and rgb.shape[2:] == (3,) and 8 <= min(rgb.shape[:2]) <= max(rgb.shape[:2]) <= 2048
            assert alpha is None or alpha.dtype == np.uint8 and alpha.shape == rgb.shape[:2] and alpha.min() < 128
    assert half is None or 0 < half < math.inf
    assert [str(one.message) for one in said] == []


@pytest.mark.parametrize("kind", IMAGE_FILES)
def test_damaged_images_are_decoded_or_refused_in_one_line(tmp_path, kind, capfd):
    decoded_or_one_line(tmp_path / "front.png", IMAGE_FILES[kind])
    fuzz(damages(IMAGE_FILES[kind]), lambda content: decoded_or_one_line(tmp_path / "front.png", content), 30)
    assert "tiff" in kind or capfd.readouterr() == ("", ""), "only libtiff says more"
