"""Masks and cameras of photographs against ones known by construction."""
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from config import VIEW_NAMES
from utils.evaluation.photograph_scores import camera_scores, mask_scores, rotation_differences_deg
from utils.rendering.cameras import VIEW_BASES

BASES = np.stack([VIEW_BASES[name] for name in VIEW_NAMES])


def files_in(folder, masks):
    """Six images of a black square on white, 64 px, and masks beside them."""
    image, paths = np.full((64, 64, 3), 255, np.uint8), {}
    image[16:48, 16:48] = 0
    for name in ("input_images", "masks"):
        (folder / name).mkdir()
    for view, mask in zip(VIEW_NAMES, masks):
        paths[view] = folder / "input_images" / f"cup_{view}.png"
        Image.fromarray(image).save(paths[view])
        Image.fromarray(np.uint8(255 * mask)).save(folder / "masks" / f"cup_{view}.png")
    return SimpleNamespace(id="cup", images=paths)


def test_mask_iou_is_the_share_in_common(tmp_path):
    masks = np.zeros((6, 64, 64))
    masks[:, 16:48, 16:48] = 1
    masks[5, 16:48, 32:48] = 0  # the true object is half of what is dark in the last view
    found = mask_scores(files_in(tmp_path, masks))
    assert found["worst_mask_iou"] == pytest.approx(0.5, abs=0.02)
    assert found["mask_iou"] == pytest.approx(5.5 / 6, abs=0.01)
    (tmp_path / "masks" / "cup_top.png").unlink()
    assert mask_scores(files_in_again(tmp_path)) == {}


def files_in_again(folder):
    return SimpleNamespace(id="cup", images={view: folder / "input_images" / f"cup_{view}.png" for view in VIEW_NAMES})


def test_a_common_rotation_is_no_error_and_a_tilt_of_one_view_is():
    common = Rotation.from_rotvec([0.1, -0.2, 0.05]).as_matrix()
    assert rotation_differences_deg(BASES @ common, BASES) == pytest.approx(np.zeros(6), abs=1e-5)
    tilted = BASES.copy()
    tilted[2] = BASES[2] @ Rotation.from_rotvec(np.radians([0, 6, 0])).as_matrix()
    # One of six is off by 6 degrees: the mean takes 1, and 5 and five times 1 are left.
    assert rotation_differences_deg(tilted, BASES) == pytest.approx([1, 1, 5, 1, 1, 1], abs=0.01)


def test_cameras_that_were_not_found_or_are_not_known_give_nothing(tmp_path):
    files = SimpleNamespace(id="cup", images=dict.fromkeys(VIEW_NAMES, tmp_path / "input_images" / "cup_front.png"))
    assert camera_scores(files, None) == camera_scores(files, {"front": None}) == {}
