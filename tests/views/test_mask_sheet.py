"""The sheet of silhouettes: where lines and frames lie, read back from the file."""
import numpy as np
from PIL import Image

from utils.views.mask_sheet import DOUBTFUL, LINE, TILE_EDGE, UNTRUSTED, write_mask_sheet


def test_each_silhouette_is_drawn_and_only_doubtful_views_are_framed(tmp_path):
    images = [np.full((90, 90, 3), 200, np.uint8)] * 5 + [None]
    mask = np.zeros((90, 90), np.float32)
    mask[30:60, 30:60] = 1
    write_mask_sheet(tmp_path / "a_masks.png", images, [mask] * 5 + [None], [1, 0.4, 0.1, 0.9, 0.6, 0])
    sheet = np.asarray(Image.open(tmp_path / "a_masks.png"))
    rows_of_tiles = (sheet[:TILE_EDGE], sheet[sheet.shape[0] // 2:][:TILE_EDGE])
    tiles = [row[:, c * TILE_EDGE:(c + 1) * TILE_EDGE] for row in rows_of_tiles for c in (0, 1, 2)]
    for number, tile in enumerate(tiles):
        rows, columns = np.nonzero((tile == LINE).all(-1))
        if number == 5:  # a view that is missing
            assert not len(rows)
            continue
        assert abs(rows.min() - 120) <= 2 and abs(rows.max() - 239) <= 2 and abs(columns.min() - 120) <= 2
        assert not (tile[150:210, 150:210] == LINE).all(-1).any()
    frames = [tuple(tile[100, 2]) for tile in tiles]
    assert frames[1] == DOUBTFUL and frames[2] == UNTRUSTED
    assert not {frames[0], frames[3], frames[4], frames[5]} & {DOUBTFUL, UNTRUSTED}
