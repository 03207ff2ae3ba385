"""The course of a training run as an image: losses and validation score against the epoch, drawn with Pillow alone.

    python -m utils.training.plot_log logs/geometry.jsonl geometry_curve.png
"""
import json
import math
from pathlib import Path

from PIL import Image, ImageDraw

from config import OptionParser, UserError, run_script
from utils.io.files import atomic_write

SIZE = (720, 420)  # pixels
MARGINS = (70, 24, 20, 44)  # left, top, right, bottom of the plot, pixels
LINES = (("loss", (70, 110, 190)), ("validation", (200, 70, 50)))  # fields of the log, and their colors


def read_log(path: Path | str) -> dict[str, list[tuple[int, float]]]:
    """The curves in a log of `utils.training.run_log.RunLog`.

    Args:
        path: .jsonl file, one dict a line, with `epoch` those of whole epochs.
    Returns:
        dict: each field of LINES to a list of (epoch, value); values that are not above 0 are left out, for the axis is
        logarithmic.
    Raises:
        UserError: the file is missing, is no such log, or holds none of the fields.
    """
    try:
        records = [json.loads(line) for line in Path(path).read_text().splitlines()]
        curves = {name: [(record["epoch"], record[name]) for record in records
                         if "during_epoch" not in record and record.get(name, 0) > 0]
                  for name, _ in LINES}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: is no log of a training run; expected one like logs/geometry.jsonl") from None
    if not any(curves.values()):
        raise UserError(f"{path}: holds no epoch yet")
    return curves


def draw_curve(curves: dict[str, list[tuple[int, float]]], title: str) -> Image.Image:
    """Draw curves over a logarithmic axis.

    Args:
        curves: as from `read_log`.
        title: str.
    Returns:
        PIL.Image, RGB.
    """
    points = [point for curve in curves.values() for point in curve]
    last = max(max(epoch for epoch, _ in points), 1)
    ticks = ticks_between(min(value for _, value in points), max(value for _, value in points))
    low, high = math.log(ticks[0]), math.log(ticks[-1])
    left, top, right, bottom = MARGINS[0], MARGINS[1], SIZE[0] - MARGINS[2], SIZE[1] - MARGINS[3]

    def place(epoch, value):
        return (left + epoch / last * (right - left),
                bottom - (math.log(value) - low) / (high - low) * (bottom - top))

    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    for value in ticks:
        _, y = place(0, value)
        draw.line((left, y, right, y), fill=(225, 225, 225))
        draw.text((left - 8, y), f"{value:g}", fill=(60, 60, 60), anchor="rm")
    for epoch in sorted({round(last * i / 6) for i in range(7)}):
        draw.text((place(epoch, ticks[0])[0], bottom + 8), str(epoch), fill=(60, 60, 60), anchor="ma")
    draw.text(((left + right) / 2, SIZE[1] - 6), "epoch", fill=(60, 60, 60), anchor="md")
    draw.text((left, 6), title, fill="black")
    for row, (name, color) in enumerate(LINES):
        line = [place(*point) for point in curves[name]]
        if len(line) > 1:
            draw.line(line, fill=color, width=2)
        for x, y in line:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=color)
        draw.text((right - 4, top + 6 + 14 * row), name, fill=color, anchor="ra")
    return image


def ticks_between(low: float, high: float) -> list[float]:
    """Round values (1, 2 and 5 times powers of ten), at least two, that enclose `low` and `high`."""
    steps = [digit * 10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 2)
             for digit in (1, 2, 5)]
    first = max(index for index, value in enumerate(steps) if value <= low * (1 + 1e-9))
    last = min(index for index, value in enumerate(steps) if value >= high * (1 - 1e-9))
    return steps[first:max(last, first + 1) + 1]


def main(argv: list[str]) -> None:
    parser = OptionParser(description="Draw a training log.")
    parser.add_argument("log", help="for instance logs/geometry.jsonl")
    parser.add_argument("image", help="PNG file to write")
    options = parser.parse_args(argv)
    image = draw_curve(read_log(options.log), Path(options.log).stem)
    with atomic_write(options.image) as temporary:
        image.save(temporary, "PNG")
    print(options.image)


if __name__ == "__main__":
    run_script(main)
