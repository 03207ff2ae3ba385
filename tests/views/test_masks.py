"""Masks from plain borders, from files and from rembg (a stand-in: the package is optional)."""

import numpy as np
import pytest

from config import VIEW_NAMES, UserError
from utils.views.masks import (
    PLAIN_SHARE,
    fit_mask,
    holes_of,
    mask_from_border,
    open_holes,
    soft_edges,
)


def image_of(mask, background=255, color=(40, 60, 80), noise=0.0):
    """(H, W, 3) uint8: one color where the mask is, before a plain background with noise of that deviation."""
    picture = np.where(mask[..., None], np.float64(color), background)
    picture += np.random.default_rng(0).normal(0, noise, picture.shape) if noise else 0
    return np.round(picture).clip(0, 255).astype(np.uint8)


def square(size=60, low=15, high=45):
    mask = np.zeros((size, size), bool)
    mask[low:high, low:high] = True
    return mask


# ---- Plain borders


@pytest.mark.parametrize("background, noise", [(255, 0), (200, 3), (120, 8)])
def test_a_plain_background_is_recognized_as_such_and_its_noise_is_not_the_object(background, noise):
    found = mask_from_border(image_of(square(), background, noise=noise))
    assert found.plain > 0.97
    assert (found.mask & square()).sum() / (found.mask | square()).sum() > 0.95


@pytest.mark.parametrize("drop", [20, 40])
def test_light_that_falls_off_is_still_plain(drop):
    picture = image_of(square(), 220).astype(np.float64) - drop * np.linspace(0, 1, 60)[:, None, None]
    assert mask_from_border(picture.clip(0, 255).astype(np.uint8)).plain >= 0.95


def test_wall_above_table_and_noise_of_all_colors_are_not_plain():
    picture = image_of(square(), 230)
    picture[36:][~square()[36:]] = (120, 80, 40)
    assert mask_from_border(picture).plain < PLAIN_SHARE
    assert mask_from_border(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)).plain < PLAIN_SHARE


def ring(hole=(20, 30, 18, 24), size=60):
    mask = square(size)
    mask[hole[0]:hole[1], hole[2]:hole[3]] = False
    return mask


def test_holes_are_listed_but_filled_until_the_opposite_view_agrees():
    front = mask_from_border(image_of(ring()))
    assert (front.mask == square()).all() and ((front.holes > 0) == (square() & ~ring())).all()
    back = mask_from_border(image_of(np.fliplr(ring())))
    assert (open_holes(front, back, 1) == ring()).all()
    assert (open_holes(front, mask_from_border(image_of(ring())), 1) == square()).all()  # not mirrored
    bottom = mask_from_border(image_of(np.flipud(ring())))
    assert (open_holes(front, bottom, 0) == ring()).all()
    assert (open_holes(front, holes_of(np.fliplr(ring()) * np.uint8(255)), 1) == ring()).all()


def test_an_opposite_view_of_another_scale_and_place_opens_the_same_holes():
    front = mask_from_border(image_of(ring()))
    large = np.kron(np.fliplr(ring()), np.ones((3, 3), bool))
    back = mask_from_border(image_of(np.pad(large, ((40, 10), (5, 25)))))
    assert (open_holes(front, back, 1) == ring()).all()


def test_a_hole_is_open_too_where_the_opposite_view_looks_past_the_object():
    """A portal whose sill is seen in front alone: behind, tilted, its opening is no hole but open to below."""
    portal, arch = square(), square()
    rows, columns = np.nonzero(square())
    inner = (slice(rows.min() + 6, rows.max() - 5), slice(columns.min() + 6, columns.max() - 5))
    portal[inner] = False
    arch[inner[0].start:, inner[1]] = False
    front, back = mask_from_border(image_of(portal)), mask_from_border(image_of(np.fliplr(arch)))
    assert front.holes.any() and not back.holes.any()
    assert (open_holes(front, back, 1) == portal).all()


def test_paint_of_nearly_the_backgrounds_color_is_no_hole():
    picture = image_of(ring())
    picture[square() & ~ring()] = 248  # within what counts as background beside the object, not in it
    assert not mask_from_border(picture).holes.any()


@pytest.mark.slow
def test_holes_of_real_objects_open_and_no_other_object_is_the_worse_for_it(real_objects):
    """Against the alpha of the project's own renders; the last two have no holes."""
    from utils.mesh.mesh import normalize
    from utils.mesh.mesh_io import read_mesh
    from utils.rendering.cameras import OPPOSITE_VIEWS
    from utils.rendering.rasterizer import over_white, render_views

    for name, gain in (("025_mug", 0.05), ("037_scissors", 0.2), ("050_medium_clamp", 0.12), ("retail_ChairB_01", 0.4),
                       ("036_wood_block", 0), ("017_orange", 0)):
        mesh, _ = read_mesh(next((real_objects / "OBJs" / name).glob("*.obj")))
        mesh.vertices = normalize(mesh.vertices, mesh.faces)
        views = render_views(mesh, 256)
        found = {view: mask_from_border(over_white(views[view])) for view in VIEW_NAMES}
        best = 0
        for one, two, axis in OPPOSITE_VIEWS:
            true = views[one][..., 3] >= 128
            after = open_holes(found[one], found[two], axis)
            score = [(mask & true).sum() / (mask | true).sum() for mask in (found[one].mask, after)]
            assert score[1] >= score[0] - 0.002, (name, one)
            best = max(best, score[1] - score[0])
        assert best >= gain, name


# ---- Mask files


def test_a_mask_of_equal_proportions_is_resized_and_any_other_is_refused_by_view():
    mask = square(30, 5, 25) * np.uint8(255)
    assert fit_mask(mask, (30, 30), "m.png", "left") is mask
    large = fit_mask(mask, (60, 60), "m.png", "left")
    assert large.shape == (60, 60) and large.mean() == pytest.approx(mask.mean(), rel=0.02)
    with pytest.raises(UserError, match="m.png: the mask of the left view is 30 x 30 pixels, its image 40 x 30"):
        fit_mask(mask, (30, 40), "m.png", "left")
    with pytest.raises(UserError, match="m.png: the mask of the left view is empty"):
        fit_mask(mask // 4, (30, 30), "m.png", "left")


# ---- Soft edges


@pytest.mark.parametrize("background", [(255, 255, 255), (40, 90, 160)])
def test_coverage_of_a_disc_is_found_again_from_the_pixels_that_mix(background):
    fine = (np.arange(8 * 80) + 0.5) / 8 - 40.3  # eight samples per pixel edge, off the grid
    disc = (fine[:, None]**2 + fine**2 <= 25.7**2).reshape(80, 8, 80, 8).mean((1, 3))
    color = np.array([200, 40, 20])
    rgb = np.round(disc[..., None] * color + (1 - disc[..., None]) * background).astype(np.uint8)
    pure, alpha = soft_edges(rgb, disc > 0.02, background)
    assert np.abs(alpha / 255 - disc).max() < 0.03
    assert abs((alpha / 255).sum() / (np.pi * 25.7**2) - 1) < 0.002 < (disc > 0.02).sum() / (np.pi * 25.7**2) - 1
    assert (np.abs(pure[alpha > 0].astype(int) - color).max(1) <= 1).mean() > 0.99


def test_a_line_without_inside_keeps_its_hard_mask():
    rgb = np.full((20, 20, 3), 255, np.uint8)
    rgb[9:11] = 128
    _, alpha = soft_edges(rgb, rgb[..., 0] < 250, (255, 255, 255))
    assert (alpha[9:11] == 255).all() and alpha.sum() == 255 * 40


def test_of_an_object_as_pale_as_its_background_the_hard_mask_is_kept():
    disc = np.hypot(*np.mgrid[-20:20, -20:20]) < 14.6
    noise = np.random.default_rng(0).integers(-4, 5, (40, 40, 1))
    rgb = np.where(disc[..., None], 243, 252) + noise * np.ones(3, int)
    _, alpha = soft_edges(rgb.clip(0, 255).astype(np.uint8), disc, (252, 252, 252))
    assert np.array_equal(alpha, np.where(disc, 255, 0))
