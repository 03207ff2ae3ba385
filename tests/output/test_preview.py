"""The sheet that compares inputs with the result."""
import numpy as np
from PIL import Image

from utils.output.preview import write_preview
from utils.rendering.rasterizer import over_white, render_views


def test_inputs_stand_above_the_same_views_of_the_mesh_and_two_oblique_ones_beside(result, tmp_path):
    drawn = render_views(result.mesh.as_mesh(), 128)
    images = np.linspace(0, 1, 6)[:, None, None, None] * np.ones((6, 128, 128, 3))
    write_preview(tmp_path / "sheet.png", images, result.mesh.as_mesh(), drawn)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (256, 7 * 128, 3)
    for number, (image, mine) in enumerate(zip(images, drawn.values())):
        column = np.s_[128 * number:128 * (number + 1)]
        assert (sheet[:128, column] == round(255 * image[0, 0, 0])).all()
        assert np.array_equal(sheet[128:, column], over_white(mine))
    for row in (sheet[:128, 6 * 128:], sheet[128:, 6 * 128:]):
        assert 0.1 < (row < 250).any(axis=-1).mean() < 0.9
        assert row[[0, -1]].min() == 255 and row[:, [0, -1]].min() == 255, "not cut off"
