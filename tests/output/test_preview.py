"""The sheet that compares inputs with the result."""
import numpy as np
from PIL import Image

from utils.output.preview import MARGIN_PX, write_preview
from utils.rendering.rasterizer import over_white, render_views


def test_inputs_stand_above_the_same_views_of_the_mesh_and_two_oblique_ones_beside(result, tmp_path):
    drawn = render_views(result.mesh.as_mesh(), 128)
    images = np.linspace(0, 1, 6)[:, None, None, None] * np.ones((6, 128, 128, 3))
    write_preview(tmp_path / "sheet.png", images, result.mesh.as_mesh(), drawn)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (256, 7 * 128, 3)
    for number, (image, mine) in enumerate(zip(images, drawn.values())):
        column = np.s_[128 * number:128 * (number + 1)]
        assert (sheet[MARGIN_PX + 2:128, column] == round(255 * image[0, 0, 0])).all()
        assert np.array_equal(sheet[128 + MARGIN_PX + 2:, column], over_white(mine)[MARGIN_PX + 2:])
    blank = np.full((6, 128, 128, 3), 1.0)
    write_preview(tmp_path / "blank.png", blank, result.mesh.as_mesh(), drawn)
    names = (np.asarray(Image.open(tmp_path / "blank.png"))[:128, :6 * 128] < 200).any(axis=-1).reshape(128, 6, 128)
    assert names.any(axis=(0, 2)).all() and names.any(axis=(1, 2)).nonzero()[0].max() <= MARGIN_PX + 1, "small, at the top"
    for row in (sheet[MARGIN_PX + 2:128, 6 * 128:], sheet[128 + MARGIN_PX + 2:, 6 * 128:]):
        assert 0.1 < (row < 250).any(axis=-1).mean() < 0.9
        assert row[[0, -1]].min() == 255 and row[:, [0, -1]].min() == 255, "not cut off"
