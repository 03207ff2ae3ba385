"""Images that sum up an evaluation, drawn with Pillow alone: the contact sheet and the learning curve."""

import numpy as np

from utils.evaluation.plots import BLUE
from utils.io.files import atomic_write
from utils.rendering.rasterizer import over_white

TILE = 128  # pixels per image of the contact sheet
LABEL = 16  # pixels of the line of text above each row
SHOWN_CAMERAS = (0, 5)  # of the eight oblique ones: front from above, back from below


def sheet_row(label, inputs, *columns):
    """One row of the contact sheet.

    Args:
        label: str, written above the row.
        inputs: (6, H, H, 3) float in [0, 1], the six images.
        columns: for each of prediction, hull and truth the (8, H, H, 4) uint8 oblique images, or None for blanks.
    Returns:
        (LABEL + TILE, 12 * TILE, 3) uint8.
    """
    from PIL import Image, ImageDraw

    tiles = [np.round(image * 255).astype(np.uint8) for image in inputs]
    for images in columns:
        tiles += [np.full((TILE, TILE, 3), 235, np.uint8) if images is None else over_white(images[camera])
                  for camera in SHOWN_CAMERAS]
    row = Image.new("RGB", (TILE * len(tiles), LABEL + TILE), "white")
    ImageDraw.Draw(row).text((4, 2), label, fill="black")
    for number, tile in enumerate(tiles):
        row.paste(Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.LANCZOS), (number * TILE, LABEL))
    return np.asarray(row)


def write_sheet(path, rows):
    """Stack rows of `sheet_row` under a line that names the columns, and save the image."""
    from PIL import Image, ImageDraw

    head = Image.new("RGB", (rows[0].shape[1], LABEL), "white")
    for column, text in ((0, "six inputs"), (6, "prediction"), (8, "visual hull"), (10, "truth")):
        ImageDraw.Draw(head).text((column * TILE + 4, 2), text, fill=BLUE)
    with atomic_write(path) as temporary:
        Image.fromarray(np.concatenate([np.asarray(head), *rows])).save(temporary)


