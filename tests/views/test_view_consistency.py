"""Views that cannot be of one object are noticed, with the mistake that explains them; good ones give no note."""
import time

import numpy as np
import pytest

from config import VIEW_NAMES
from utils.mesh.mesh import textured_mesh
from utils.rendering.cameras import OPPOSITE_VIEWS
from utils.rendering.rasterizer import over_white, render_views
from utils.training_data.synthetic.shoes import make_shoe
from utils.views.six_views import SixViews, frame_views, is_framed
from utils.views.view_consistency import (
    UNLIKE,
    VIEW_HYPOTHESES,
    common_scale,
    consistency_note,
    diagnose_view_swap,
    mask_boxes,
    silhouette_disagreement,
    unequal_edges,
)


def masks_only(**boxes):
    """(6, 40, 40) masks; one is 1 in its box (top, bottom, left, right), or everywhere if none is given."""
    masks = np.ones((6, 40, 40), np.float32)
    for view, (top, bottom, left, right) in boxes.items():
        masks[VIEW_NAMES.index(view)] = 0
        masks[VIEW_NAMES.index(view), top:bottom, left:right] = 1
    return masks


# ---- Outlines and edges


def test_disagreement_is_the_share_that_lies_beyond_one_pixel_and_on_one_side_only():
    shares = silhouette_disagreement(masks_only(front=(10, 30, 5, 35), back=(5, 35, 5, 35)))
    assert list(shares) == [pair[:2] for pair in OPPOSITE_VIEWS]
    # Rows 5 to 8 and 31 to 34 of 30 are too many; rows 9 and 30 are within a pixel.
    assert shares["front", "back"] == pytest.approx((8 / 30, 20 * 30 / 1600, 30 * 30 / 1600))
    assert shares["left", "right"] == shares["top", "bottom"] == (0, 1, 1)


def test_sides_are_mirrored_left_to_right_and_top_and_bottom_up_to_down():
    mirrored = {"front": (0, 9, 0, 20), "back": (0, 9, 20, 40), "left": (0, 9, 0, 20), "right": (0, 9, 20, 40),
                "top": (0, 9, 0, 20), "bottom": (31, 40, 0, 20)}
    assert {share for share, _, _ in silhouette_disagreement(masks_only(**mirrored)).values()} == {0}
    unmirrored = dict.fromkeys(VIEW_NAMES, (0, 9, 0, 20))
    assert min(share for share, _, _ in silhouette_disagreement(masks_only(**unmirrored)).values()) > 0.8


def test_a_hair_may_be_a_pixel_off_and_faint():
    masks = masks_only(front=(0, 40, 10, 11), back=(0, 40, 30, 31)) * 0.3  # mirrored, columns 10 and 9
    assert silhouette_disagreement(masks)["front", "back"][0] == 0
    masks = masks_only(front=(0, 40, 10, 11), back=(0, 40, 31, 32))
    assert silhouette_disagreement(masks)["front", "back"][0] == 1


def box_masks(size=220, **wrong):
    """Masks of a box 1 wide, 0.5 high and 2 deep in the project's frame; view=(width, height) draws one otherwise."""
    seen = {"front": (1, 0.5), "back": (1, 0.5), "left": (2, 0.5), "right": (2, 0.5), "top": (1, 2), "bottom": (1, 2)}
    masks = np.zeros((6, size, size), np.float32)
    for mask, (width, height) in zip(masks, (seen | wrong).values()):
        half = np.round(np.array([height, width]) * size / 4.4).astype(int)
        mask[size // 2 - half[0]:size // 2 + half[0], size // 2 - half[1]:size // 2 + half[1]] = 1
    return masks


def test_an_edge_that_two_views_measure_differently_is_reported_with_both_lengths():
    assert unequal_edges(box_masks()) == []
    assert unequal_edges(box_masks(back=(1.02, 0.5))) == []  # 2 %
    (edge, longest, most, shortest, least), = unequal_edges(box_masks(right=(2, 0.6)))
    assert (edge, longest) == ("height", "right") and shortest in ("front", "back", "left")
    assert (most, least) == pytest.approx((0.6, 0.5), abs=0.011)
    # Of 60 rows 50 are common and two more within a pixel.
    note = consistency_note(np.ones((6, 220, 220, 3), np.float32), box_masks(right=(2, 0.6)))
    assert note.startswith(UNLIKE) and "the object's height is 0.60 in the right view and 0.50 in the" in note
    assert "left and right do not mirror each other (13 % of their area differs)" in note
    assert len(note) < 200, "one line that is read"


def test_six_scales_and_one_box_are_recovered_from_twelve_measures():
    masks, factors = box_masks(), np.array([1, 2, 0.5, 3, 0.25, 1.5])
    extents = mask_boxes(masks)[1] * factors[:, None]
    scales, edges, mismatch = common_scale(extents)
    assert edges == pytest.approx([1, 0.5, 2], rel=0.01) and scales == pytest.approx(100 * factors, rel=0.01)
    assert mismatch.max() < 0.01
    extents[4] = extents[4, ::-1]
    assert common_scale(extents)[2].max() > 0.2


# ---- Likely mistakes


def shoe_views(seed, size=112):
    views = render_views(textured_mesh(*make_shoe(seed)[:5]), size)
    rgba = np.stack([views[view] for view in VIEW_NAMES])
    images = np.stack([over_white(image) for image in rgba]).astype(np.float32) / 255
    return SixViews(f"shoe_{seed}", images, rgba[..., 3].astype(np.float32) / 255, [])


def mistaken(views, mistake):
    """Views as their owner would hand them in by mistake: {view: (view whose image it got, quarter turns)}."""
    images, masks = views.images.copy(), views.masks.copy()
    for view, (source, turns) in mistake.items():
        i, j = VIEW_NAMES.index(view), VIEW_NAMES.index(source)
        images[i], masks[i] = np.rot90(views.images[j], turns), np.rot90(views.masks[j], turns)
    wrong = SixViews(views.id, images, masks, [])
    return wrong if is_framed(wrong) else frame_views(wrong)[0]


def exchange(one, other):
    return {one: (other, 0), other: (one, 0)}


@pytest.mark.parametrize("mistake, words", [
    (exchange("top", "left"), "left and top look exchanged"), (exchange("front", "left"), "front and left look"),
    (exchange("left", "right"), "left and right look exchanged"), (exchange("front", "back"), "front and back look"),
    ({"top": ("top", 1)}, "top looks turned (a quarter turn clockwise"),
    ({"bottom": ("bottom", 3)}, "bottom looks turned (a quarter turn counter-clockwise"),
    ({"top": ("top", 2)}, "top looks turned (half a turn")])
def test_a_mistake_with_a_shoes_views_is_named(mistake, words):
    wrong = mistaken(shoe_views(2), mistake)
    said, named, mended = diagnose_view_swap(wrong.images, wrong.masks)
    assert words in said and mended < named / 1.4
    note = consistency_note(wrong.images, wrong.masks)
    assert note.startswith(UNLIKE) and f"{words}" in note and f"{named:.3f}" in note and f"{mended:.3f}" in note


def test_good_views_give_no_note():
    for seed in range(4):
        views = shoe_views(seed)
        assert consistency_note(views.images, views.masks) is None


def test_lighting_that_differs_from_view_to_view_gives_no_note():
    views, rng = shoe_views(3), np.random.default_rng(0)
    share = views.masks[..., None]
    light = rng.uniform(0.75, 1.1, (6, 1, 1, 1)) * rng.uniform(0.95, 1.05, (6, 1, 1, 3))
    images = ((views.images - 1 + share) * light + 1 - share).clip(0, 1).astype(np.float32)
    assert consistency_note(images, views.masks) is None


def test_one_picture_under_two_names_is_called_so_where_it_cannot_be_both():
    masks = box_masks()
    masks[:2, 60:100, 120:130] = 1  # a handle at the right in the front view, and at the same place in the back view
    images = np.where(masks[..., None] > 0, np.float32([0.2, 0.5, 0.7]), 1).astype(np.float32)
    assert "front and back are the same picture" in consistency_note(images, masks)
    images[0, 80, 125] = 0.4
    assert "front and back do not mirror each other" in consistency_note(images, masks)
    assert "same picture" not in (consistency_note(np.ones_like(images), box_masks()) or ""), "a plain box: it could be both"


def test_a_ball_of_one_color_hides_every_mistake():
    row = np.arange(88) - 43.5
    masks = np.tile((row[:, None] ** 2 + row ** 2 <= 1600).astype(np.float32), (6, 1, 1))
    images = np.where(masks[..., None] > 0, np.float32([0.8, 0.1, 0.1]), 1).astype(np.float32)
    assert diagnose_view_swap(images, masks) is None


def test_silhouettes_alone_betray_a_turned_top_that_fits_the_box():
    """A cube in one gray: its lower half lacks the quarter +x +z, its upper half is a tower at -x -z."""
    solid = np.zeros((40, 40, 40), bool)  # x, y, z
    solid[:, :20] = True
    solid[20:, :20, 20:] = False
    solid[:15, 20:, :15] = True
    front, left, top = solid.any(axis=2).T[::-1], solid.any(axis=0)[::-1, ::-1], solid.any(axis=1).T
    masks = np.stack([front, front[:, ::-1], left, left[:, ::-1], top, top[::-1]])
    masks = np.pad(masks, ((0, 0), (2, 2), (2, 2))).astype(np.float32)
    images = np.where(masks[..., None] > 0, np.float32([0.5] * 3), 1)
    assert diagnose_view_swap(images, masks) is None
    wrong = masks.copy()
    wrong[4:] = np.rot90(masks[4:], 2, axes=(1, 2))  # top and bottom: they still mirror each other
    said, named, mended = diagnose_view_swap(np.where(wrong[..., None] > 0, np.float32([0.5] * 3), 1), wrong)
    # A body as simple as this one leaves open which: exchanged sides would explain the same silhouettes.
    assert ", or " in said and named > 0.05 and mended < 0.01


def test_each_remedy_undoes_its_own_mistake():
    """The words name what mends: applied to a set that has the mistake, they give the true set back."""
    views = shoe_views(0, 28)
    for remedy in VIEW_HYPOTHESES.values():
        mistake = {view: (source, -turns % 4) for view, (source, turns) in remedy.items()}
        masks = views.masks.copy()
        for change in (mistake, remedy):
            before = masks.copy()
            for view, (source, turns) in change.items():
                masks[VIEW_NAMES.index(view)] = np.rot90(before[VIEW_NAMES.index(source)], turns)
        assert (masks == views.masks).all()


def test_the_search_takes_a_fifth_of_a_second_at_most():
    views = shoe_views(1, 224)
    started = time.process_time()
    diagnose_view_swap(views.images, views.masks)
    assert time.process_time() - started < 0.2


@pytest.mark.slow
def test_of_real_objects_few_give_a_note_and_few_mistakes_of_side_and_top_give_none(real_objects):
    """Measured on all 181: 1 % and 96 %."""
    from utils.views.names import match_images
    from utils.views.six_views import read_framed_views

    groups = match_images(real_objects / "input_images")[0]
    sets = [read_framed_views({view: paths[0] for view, paths in groups[name].items()}, 112, name)
            for name in sorted(groups)[::6]]
    assert sum(note is not None for _, note in sets) <= 1
    wrong = [mistaken(views, exchange("left", "top")) for views, _ in sets]
    assert sum(consistency_note(views.images, views.masks) is not None for views in wrong) > 0.8 * len(sets)
