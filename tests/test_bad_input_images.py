"""Images that people and programs get wrong: one folder holds them all, and one run does the good ones and names the bad.

Each case damages one view of a copy of a good object. What is refused leaves nothing behind and is named with its file;
what only looks odd gives the silhouettes of the good object.
"""
import io
import os
import struct
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

import inference
from config import VIEW_NAMES, run_script
from load_data import find_view_sets
from models.field_model import FieldModel
from utils.io.checkpoint import save_checkpoint, stored_weights
from utils.mesh.textured_mesh import TexturedMesh
from utils.multiview.view_maps import MAP_SIZE
from utils.output import results
from utils.views import six_views, view_consistency, view_reader

SIZE = 48


def tiny_field(path):
    """Write a field with random weights, the smallest there is."""
    model = FieldModel(grid_size=0, view_width=8, head_width=8, image_widths=())
    save_checkpoint(path, "field", model_args=model.model_args(), weights=stored_weights(model), image_size=2 * MAP_SIZE,
                    config={}, epoch=1, score=0.5, validation_ids=[])
    return path


def tetrahedron(*_):
    """A reconstruction that takes no time."""
    vertices = np.array([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]], float)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    return TexturedMesh(vertices, faces, np.float32([[0, 0], [1, 0], [0, 1]]), np.tile([0, 1, 2], (4, 1)),
                        np.full((8, 8, 3), 99, np.uint8))


def view_image(view):
    """One view of a box of 2 x 1.2 x 1.6 whose sides each have a color and a stripe: (SIZE, SIZE) RGBA."""
    edges = {"x": 2.0, "y": 1.2, "z": 1.6}
    across, up = {"front": "xy", "back": "xy", "left": "zy", "right": "zy", "top": "xz", "bottom": "xz"}[view]
    half = np.array([edges[across], edges[up]]) / 2.2 / 2 * SIZE
    image = Image.new("RGBA", (SIZE, SIZE), (255, 255, 255, 0))
    box = [*(SIZE / 2 - half), *(SIZE / 2 + half - 1)]
    color = tuple(60 + 20 * VIEW_NAMES.index(view) + shift for shift in (0, 40, 20)) + (255,)
    ImageDraw.Draw(image).rectangle(box, fill=color)
    return image


def over_white(image):
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def png_of(width, height, color_type=2, data=b""):
    """A PNG that claims a size, whatever it holds."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
TOP = view_image("top")


def bomb_in_a_comment():
    info = PngInfo()
    info.add_text("Comment", "x" * (80 << 20), zip=True)
    return encoded(TOP, "PNG", pnginfo=info)


# What is written as the top view, and what the one line about it says; a file name other than top.png comes first.
REFUSED = {
    "truncated PNG": (encoded(NOISE, "PNG")[:6000], "cannot be read"),
    "truncated JPEG": ("top.jpg", encoded(NOISE, "JPEG")[:900], "cannot be read"),
    "truncated WebP": ("top.webp", encoded(NOISE, "WEBP")[:500], "cannot be read"),
    "truncated TIFF": ("top.tif", encoded(NOISE, "TIFF")[:5000], "cannot be read"),
    "truncated BMP": ("top.bmp", encoded(NOISE, "BMP")[:5000], "cannot be read"),
    "truncated GIF": ("top.gif", b"GIF89a", "cannot be read"),
    "zero bytes": (b"", "no image in it"),
    "text named png": (b"this is no image\n", "no image in it"),
    "web page named jpg": ("top.jpg", b"<!DOCTYPE html><title>404</title>", "no image in it"),
    "random bytes named webp": ("top.webp", bytes(range(256)) * 20, "no image in it"),
    "header bomb": (png_of(30_000, 30_000), "megapixels"),
    "size claimed that is not there": (png_of(5000, 5000), "cannot be read"),
    "header of no width": (png_of(0, 10), "cannot be read"),
    "damaged header": (png_of(48, 48).replace(b"IHDR\x00\x00\x00\x30", b"IHDR\x00\x00\x00\x31"), "cannot be read"),
    "bomb in a comment": (bomb_in_a_comment, "cannot be read"),
    "one pixel": (encoded(Image.new("RGB", (1, 1)), "PNG"), "too small (1 x 1 pixels)"),
    "a line": (encoded(Image.new("RGB", (900, 2)), "PNG"), "too small (900 x 2 pixels)"),
    "fully transparent": (encoded(Image.new("RGBA", (SIZE, SIZE)), "PNG"), "fully transparent"),
    "all background": (encoded(Image.new("RGB", (SIZE, SIZE), "white"), "PNG"), "no object is seen"),
    "all gray": ("top.jpg", encoded(Image.new("RGB", (SIZE, SIZE), "gray"), "JPEG"), "no object is seen"),
    "HEIC without content": ("top.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "HEIC"),
}
# What is written as the top view, though oddly: the object has the same silhouettes as if it had been written plainly.
ACCEPTED = {
    "CMYK": ("top.jpg", encoded(over_white(TOP).convert("CMYK"), "JPEG", quality=98)),
    "16-bit gray": (encoded(Image.fromarray(np.asarray(over_white(TOP).convert("L")).astype(np.uint16) * 257), "PNG"),),
    "gray with alpha": (encoded(TOP.convert("LA"), "PNG"),),
    "one bit": (encoded(over_white(TOP).convert("L").point(lambda value: 255 * (value > 250)).convert("1"), "PNG"),),
    "palette with transparency": (encoded(TOP.quantize(8), "PNG"),),
    "animated GIF": ("top.gif", encoded(over_white(TOP), "GIF", save_all=True, append_images=[NOISE, NOISE])),
    "animated PNG": (encoded(TOP, "PNG", save_all=True, append_images=[NOISE.resize((SIZE, SIZE)).convert("RGBA")]),),
    "turned by EXIF": ("top.jpg", encoded(over_white(TOP).transpose(Image.Transpose.ROTATE_90), "JPEG", quality=98,
                                          exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")),
    "JPEG named png": (encoded(over_white(TOP), "JPEG", quality=98),),
    "PNG named jpg": ("top.jpg", encoded(TOP, "PNG")),
    "WebP named png": (encoded(TOP, "WEBP", lossless=True),),
    "upper case": ("TOP.PNG", encoded(TOP, "PNG")),
    "progressive": ("top.jpeg", encoded(over_white(TOP), "JPEG", quality=98, progressive=True)),
    "a thousand times as large": (encoded(TOP.resize((1500, 1500), Image.Resampling.NEAREST), "PNG"),),
    "damaged color profile": (encoded(TOP, "PNG", icc_profile=b"no profile"),),
    "names with spaces": (encoded(TOP, "PNG"),),
    "Schühe à l'été": (encoded(TOP, "PNG"),),
    "-rf": (encoded(TOP, "PNG"),),
    "#%?&;$(id)": (encoded(TOP, "PNG"),),
    "prefix": (encoded(TOP, "PNG"),),
    "prefix_of": (encoded(TOP, "PNG"),),
    "prefix_of_front": (encoded(TOP, "PNG"),),
}
# What is done to the folder of an object, and what is said of it
MISSING = {
    "a folder named as the view": lambda path: path.with_name("top.png").mkdir(),
    "a link that leads nowhere": lambda path: path.with_name("top.png").symlink_to("nowhere.png"),
    "a pipe": lambda path: os.mkfifo(path.with_name("top.png")),
    "a view missing": lambda path: None,
    "a view hidden": lambda path: path.with_name(".top.png").write_bytes(encoded(TOP, "PNG")),
}
DOUBLED = {"two formats": "top.jpg", "two spellings": "Top.png"}


def write_case(folder, case, content):
    """A good object in a folder of its own whose top view is `content`, or another file of that name."""
    for view in VIEW_NAMES:
        if view != "top":
            view_image(view).save(folder / case / f"{view}.png")
    name, data = (content[0], content[1]) if isinstance(content[0], str) else ("top.png", content[0])
    (folder / case / name).write_bytes(data() if callable(data) else data)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """One run over all cases: its exit code, what it printed, its output folder, and the masks of each object."""
    folder, output = tmp_path_factory.mktemp("objects"), tmp_path_factory.mktemp("output")
    good = (encoded(TOP, "PNG"),)
    for case, content in ({"good": good} | REFUSED | ACCEPTED | dict.fromkeys([*MISSING, *DOUBLED], good)).items():
        (folder / case).mkdir()
        write_case(folder, case, content)
    for case, damage in MISSING.items():
        (folder / case / "top.png").unlink()
        damage(folder / case / "top.png")
    for case, name in DOUBLED.items():
        (folder / case / name).write_bytes(encoded(over_white(TOP), "JPEG"))
    checkpoint, masks = tiny_field(output.parent / "tiny_field.pth"), {}

    def reconstruct(model, reader, *rest):
        masks[reader.object_id] = reader.at(96).masks
        return tetrahedron()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "reconstruct_field", reconstruct)
        patch.setattr(inference.Reconstructor, "reader", lambda self, files, name, masks=None: inference.ViewReader(
            files, name, masks, "border", False))  # cameras are not what is asked here
        for module in (inference, view_reader):
            patch.setattr(module, "PREVIEW_SIZE", 96)  # of images of 48 pixels
        patch.setattr(inference, "FIELD_SIZES", (96, None))
        patch.setattr(six_views, "FRAMING_SIZE", 192)
        patch.setattr(view_consistency, "diagnose_view_swap", lambda *views: None)  # nor how the views fit together
        patch.setattr(results, "write_preview", lambda path, images, mesh, drawn: path.write_bytes(b"preview"))
        patch.setattr(sys, "argv", ["inference.py", str(folder), "--output", str(output), "--device", "cpu",
                                    "--geometry_checkpoint", str(checkpoint), "--texture_size", "64"])
        out, err = io.StringIO(), io.StringIO()
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as stop:
            run_script(inference.main)
    return SimpleNamespace(code=stop.value.code, out=out.getvalue(), lines=err.getvalue().splitlines(), folder=folder,
                           output=output, masks=masks)


def test_the_run_ends_with_code_2_one_line_and_no_traceback(batch):
    count = len(REFUSED) + len(ACCEPTED) + len(MISSING) + len(DOUBLED) + 1
    assert batch.code == 2
    *named, last = batch.lines
    assert last == (f"error: {len(ACCEPTED) + 1} of {count} objects reconstructed, {count - len(ACCEPTED) - 1} left out "
                    "(see above)")
    assert all(line.startswith("left out: ") for line in named) and "left out" not in batch.out
    assert "Traceback" not in batch.out and "Warning" not in batch.out


@pytest.mark.parametrize("case", REFUSED)
def test_an_image_that_cannot_be_used_is_named_and_nothing_is_written_for_it(batch, case):
    content = REFUSED[case]
    name = content[0] if isinstance(content[0], str) else "top.png"
    line, = (line for line in batch.lines if f"{batch.folder / case}/" in line)
    assert line.startswith(f"left out: {batch.folder / case / name}: the top ") and content[-1] in line
    assert not (batch.output / case).exists()


@pytest.mark.parametrize("case", ACCEPTED)
def test_an_image_that_is_only_written_oddly_gives_the_same_silhouette(batch, case):
    mine, good = batch.masks[case] > 0.5, batch.masks["good"] > 0.5
    overlap = (mine & good).sum((1, 2)) / (mine | good).sum((1, 2))
    assert overlap.min() > 0.93, overlap
    assert sorted(path.name for path in (batch.output / case).iterdir()) == sorted(
        f"{case}{end}" for end in (".obj", ".mtl", ".png", "_preview.png", "_masks.png", "_report.json", "_viewer.html"))


@pytest.mark.parametrize("case", [*MISSING, *DOUBLED])
def test_a_view_that_is_missing_or_there_twice_is_named_with_its_object(batch, case):
    what = "missing view top" if case in MISSING else f"two files for a view top: {DOUBLED[case]}, top.png (keep one)"
    if case == "a link that leads nowhere":
        what = "dead link for a view top: top.png leads to nowhere.png, which is not there"
    if case == "two spellings" and len(list((batch.folder / case).iterdir())) < 7:
        pytest.skip("this file system takes the two names for one")
    assert [line for line in batch.lines if line.startswith(f"left out: {case}: ")] == [f"left out: {case}: {what}"]
    assert not (batch.output / case).exists()


def test_linked_folders_are_objects_of_their_own(batch, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(batch.folder / "good")
    assert set(find_view_sets(tmp_path)[0]) == {"one", "two"}


def test_nothing_but_finished_results_is_in_the_output_folder(batch):
    assert {path.name for path in batch.output.iterdir()} == {"index.html", "good", *ACCEPTED}
    assert not list(batch.output.rglob(".*"))
