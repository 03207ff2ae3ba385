"""The learning curve as an image."""
import math

from utils.io.files import atomic_write

PANEL = (480, 320)  # pixels of one panel of the learning curve
MARGIN = (64, 40)  # pixels left and right of a panel's axes, and above and below them
BLUE, GRAY_INK = (31, 90, 180), (120, 120, 120)


def write_curve(path, counts, panels):
    """Draw one panel per metric over the number of training objects, on a logarithmic axis.

    Args:
        path: .png file.
        counts: training objects of each run, rising.
        panels: {title: (means, lows, highs, level)}: three lists as long as `counts`, and a value drawn as a dashed
            line with the word hull, or None.
    """
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (PANEL[0] * len(panels), PANEL[1]), "white")
    draw = ImageDraw.Draw(image)
    for number, (title, (means, lows, highs, level)) in enumerate(panels.items()):
        left, top = PANEL[0] * number + MARGIN[0], MARGIN[1]
        right, bottom = PANEL[0] * (number + 1) - MARGIN[0] // 2, PANEL[1] - MARGIN[1]
        place = _axes(draw, (left, top, right, bottom), title, counts, [*lows, *highs] + [level] * (level is not None))
        if level is not None:
            y = place(counts[0], level)[1]
            for x in range(left, right, 8):
                draw.line([(x, y), (x + 4, y)], fill=GRAY_INK)
            draw.text((right - 28, y - 14), "hull", fill=GRAY_INK)
        points = [place(count, mean) for count, mean in zip(counts, means)]
        draw.line(points, fill=BLUE, width=2)
        for (x, y), count, low, high in zip(points, counts, lows, highs):
            draw.line([(x, place(count, low)[1]), (x, place(count, high)[1])], fill=BLUE)
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=BLUE)
    with atomic_write(path) as temporary:
        image.save(temporary)


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

    draw.rectangle(box, outline=GRAY_INK)
    draw.text((left, top - 20), title, fill="black")
    draw.text((left, bottom + 20), "training objects", fill=GRAY_INK)
    for count in counts:
        draw.text((place(count, low)[0] - 8, bottom + 4), str(count), fill="black")
    for step in range(5):
        value = low + (high - low) * (step + 0.5) / 5
        y = place(counts[0], value)[1]
        draw.text((left - MARGIN[0] + 6, y - 6), f"{value:.4g}", fill="black")
        draw.line([(left - 4, y), (left, y)], fill=GRAY_INK)
    return place
