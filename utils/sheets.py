"""Pictures that sum up an evaluation, drawn with Pillow alone: the contact sheet and the learning curve."""
import math

import numpy as np

from utils.files import replacing
from utils.render_views import over_white

TILE = 128  # pixels per picture of the contact sheet
LABEL = 16  # pixels of the line of text above each row
SHOWN_CAMERAS = (0, 5)  # of the eight oblique ones: front from above, back from below
PANEL = (480, 320)  # pixels of one panel of the learning curve
MARGIN = (64, 40)  # pixels left and right of a panel's axes, and above and below them
BLUE, GREY_INK = (31, 90, 180), (120, 120, 120)


def sheet_row(label, inputs, *columns):
    """One row of the contact sheet.

    Args:
        label: str, written above the row.
        inputs: (6, H, H, 3) float in [0, 1], the six pictures.
        columns: for each of prediction, hull and truth the (8, H, H, 4) uint8 oblique pictures, or None for blanks.
    Returns:
        (LABEL + TILE, 12 * TILE, 3) uint8.
    """
    from PIL import Image, ImageDraw

    tiles = [np.round(picture * 255).astype(np.uint8) for picture in inputs]
    for pictures in columns:
        tiles += [np.full((TILE, TILE, 3), 235, np.uint8) if pictures is None else over_white(pictures[camera])
                  for camera in SHOWN_CAMERAS]
    row = Image.new("RGB", (TILE * len(tiles), LABEL + TILE), "white")
    ImageDraw.Draw(row).text((4, 2), label, fill="black")
    for number, tile in enumerate(tiles):
        row.paste(Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.LANCZOS), (number * TILE, LABEL))
    return np.asarray(row)


def write_sheet(path, rows):
    """Stack rows of `sheet_row` under a line that names the columns, and save the picture."""
    from PIL import Image, ImageDraw

    head = Image.new("RGB", (rows[0].shape[1], LABEL), "white")
    for column, text in ((0, "six inputs"), (6, "prediction"), (8, "visual hull"), (10, "truth")):
        ImageDraw.Draw(head).text((column * TILE + 4, 2), text, fill=BLUE)
    with replacing(path) as temporary:
        Image.fromarray(np.concatenate([np.asarray(head), *rows])).save(temporary)


def write_curve(path, counts, panels):
    """Draw one panel per metric over the number of training objects, on a logarithmic axis.

    Args:
        path: .png file.
        counts: training objects of each run, rising.
        panels: {title: (means, lows, highs, level)}: three lists as long as `counts`, and a value drawn as a dashed
            line with the word hull, or None.
    """
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (PANEL[0] * len(panels), PANEL[1]), "white")
    draw = ImageDraw.Draw(picture)
    for number, (title, (means, lows, highs, level)) in enumerate(panels.items()):
        left, top = PANEL[0] * number + MARGIN[0], MARGIN[1]
        right, bottom = PANEL[0] * (number + 1) - MARGIN[0] // 2, PANEL[1] - MARGIN[1]
        place = _axes(draw, (left, top, right, bottom), title, counts, [*lows, *highs] + [level] * (level is not None))
        if level is not None:
            y = place(counts[0], level)[1]
            for x in range(left, right, 8):
                draw.line([(x, y), (x + 4, y)], fill=GREY_INK)
            draw.text((right - 28, y - 14), "hull", fill=GREY_INK)
        points = [place(count, mean) for count, mean in zip(counts, means)]
        draw.line(points, fill=BLUE, width=2)
        for (x, y), count, low, high in zip(points, counts, lows, highs):
            draw.line([(x, place(count, low)[1]), (x, place(count, high)[1])], fill=BLUE)
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=BLUE)
    with replacing(path) as temporary:
        picture.save(temporary)


def _axes(draw, box, title, counts, values):
    """Draw a panel's frame and numbers; returns the function (count, value) -> pixel."""
    left, top, right, bottom = box
    low, high = min(values), max(values)
    margin = (high - low) * 0.1 or 0.1 * abs(high) or 1.0
    low, high = low - margin, high + margin
    first, span = math.log(counts[0]), math.log(counts[-1] / counts[0]) or 1.0

    def place(count, value):
        return (left + 16 + (right - left - 32) * (math.log(count) - first) / span,
                bottom - (bottom - top) * (value - low) / (high - low))

    draw.rectangle(box, outline=GREY_INK)
    draw.text((left, top - 20), title, fill="black")
    draw.text((left, bottom + 20), "training objects", fill=GREY_INK)
    for count in counts:
        draw.text((place(count, low)[0] - 8, bottom + 4), str(count), fill="black")
    for step in range(5):
        value = low + (high - low) * (step + 0.5) / 5
        y = place(counts[0], value)[1]
        draw.text((left - MARGIN[0] + 6, y - 6), f"{value:.4g}", fill="black")
        draw.line([(left - 4, y), (left, y)], fill=GREY_INK)
    return place
