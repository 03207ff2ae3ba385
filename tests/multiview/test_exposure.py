"""Exposures found from what two views share, against gains that were put in."""
import numpy as np
import pytest

from tests.multiview.test_photo_consistency import painted_ball, patterned
from utils.multiview.exposure import apply_gains, balance_exposures
from utils.rendering.cameras import ORTHOGRAPHIC


@pytest.fixture(scope="module")
def ball():
    return painted_ball(lambda points: 0.3 + 0.4 * patterned(points))


def misexposed(images, masks, seed=0):
    gains = np.exp(np.random.default_rng(seed).uniform(-0.12, 0.12, (6, 3)))
    return apply_gains(images, masks, gains), gains


def test_gains_that_were_put_in_are_taken_out_again(ball):
    vertices, faces, images, masks = ball
    wrong, gains = misexposed(images, masks)
    found_images, found = balance_exposures(wrong, masks, ORTHOGRAPHIC, vertices, faces)
    product = found * gains  # the same for all views where all is undone; how bright the whole is cannot be known
    assert np.abs(product / np.exp(np.log(product).mean(axis=0)) - 1).max() < 0.01
    assert np.abs(np.log(found).mean(axis=0)).max() < 0.01
    assert np.abs(gains / gains.mean(axis=0) - 1).max() > 0.08
    background = masks == 0
    assert np.array_equal(found_images[background], images[background])


def test_images_of_one_exposure_stay_the_same_bytes(ball):
    vertices, faces, images, masks = ball
    found, gains = balance_exposures(images, masks, ORTHOGRAPHIC, vertices, faces)
    assert found is images and (gains == 1).all()


def test_a_sticker_that_one_view_alone_shows_does_not_change_its_gain(ball):
    vertices, faces, images, masks = ball
    wrong, gains = misexposed(images, masks, 1)
    clean = balance_exposures(wrong, masks, ORTHOGRAPHIC, vertices, faces)[1]
    wrong[0, 60:200, 40:100] = [0.9, 0.2, 0.5]  # a reflection over half of what the left and right views share with it
    found = balance_exposures(wrong, masks, ORTHOGRAPHIC, vertices, faces)[1]
    assert np.abs(found / clean - 1).max() < 0.03


def test_views_that_share_nothing_keep_their_exposure():
    images, masks = np.ones((6, 64, 64, 3), np.float32), np.zeros((6, 64, 64), np.float32)
    masks[:, 11:53, 11:53] = 1
    images[masks > 0] = 0.5
    images[0][masks[0] > 0] = 0.3
    vertices = np.array([[x, y, 0.75] for x in (-0.3, 0, 0.3) for y in (-0.3, 0, 0.3)])  # seen from the front alone
    faces = np.array([[0, 3, 1], [1, 3, 4], [1, 4, 2], [2, 4, 5], [3, 6, 4], [4, 6, 7], [4, 7, 5], [5, 7, 8]])
    found, gains = balance_exposures(images, masks, ORTHOGRAPHIC, vertices, faces)
    assert (gains == 1).all() and found is images
