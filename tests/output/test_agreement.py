"""Agreement of a mesh with its pictures, where the disagreement is known."""
import numpy as np
import pytest

from config import VIEW_NAMES
from utils.output.agreement import mean_agreement, outline_distances, view_agreement


def disk(radius, size=128, center=(0.0, 0.0)):
    """Coverage of a disk, its edge exact to a tenth of a pixel."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.clip(radius - np.hypot(x - center[0], y - center[1]) + 0.5, 0, 1)


def test_concentric_disks_lie_apart_by_the_difference_of_their_radii():
    assert outline_distances(disk(40), disk(40)).max() < 1e-9
    for other in (40.5, 42, 37):
        assert outline_distances(disk(40), disk(other)).mean() == pytest.approx(abs(40 - other), abs=0.05)
    shifted = outline_distances(disk(40), disk(40, center=(3, 0)))
    assert shifted.mean() == pytest.approx(3 * 2 / np.pi, abs=0.1) and shifted.max() == pytest.approx(3, abs=0.1)


def test_a_hole_on_one_side_only_counts_and_an_empty_picture_is_as_far_as_its_edge():
    ring = disk(40) - disk(10)
    assert np.quantile(outline_distances(ring, disk(40)), 0.99) == pytest.approx(30, abs=1)
    assert outline_distances(disk(40), np.zeros((128, 128))).tolist() == [128]
    full = outline_distances(np.ones((128, 128)), np.ones((128, 128)))
    assert full.max() == 0, "an object that fills its picture ends at the picture's edge"


def test_colors_are_compared_over_both_silhouettes_for_the_views_that_there_are():
    masks = np.stack([disk(40, 64 * 2)] * 6).astype(np.float32)
    images = np.where(masks[..., None] > 0.5, 0.4, 1.0) * np.ones(3)
    drawn = {}
    for view, brighter in (("front", 0), ("top", 20)):
        rgba = np.full((128, 128, 4), 102 + brighter, np.uint8)
        rgba[..., 3] = np.where(masks[0] > 0.5, 255, 0)
        drawn[view] = rgba
    views = view_agreement(drawn, images, masks)
    assert list(views) == ["front", "top"] and set(views) < set(VIEW_NAMES)
    assert views["top"]["psnr_db"] == pytest.approx(-20 * np.log10(20 / 255), abs=0.01)
    assert views["front"]["psnr_db"] == 100, "equal"
    assert mean_agreement(views)["psnr_db"] == pytest.approx((100 + views["top"]["psnr_db"]) / 2)
