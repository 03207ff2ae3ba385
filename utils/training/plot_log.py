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
ROW = 18  # of names above it, pixels
LINES = (("loss", (70, 110, 190)), ("validation", (200, 70, 50)))  # fields of the log, and their colors
PALETTE = ((70, 110, 190), (200, 70, 50), (60, 150, 80), (150, 90, 180), (220, 140, 30), (90, 90, 90))
# Numbers of an epoch that are no part of its loss
NO_PARTS = ("epoch", "step", "learning_rate", "loss", "validation", "gradient_norm", "seconds", "data_seconds", "step_seconds")
Color = tuple[int, int, int]
Curve = list[tuple[int, float]]  # (epoch or step, value)


def read_epoch_lines(path: Path | str) -> list[dict]:
    """The lines of whole epochs in a log of `utils.training.run_log.RunLog`.

    Args:
        path: .jsonl file, one dict a line, with `epoch` those of whole epochs.
    Returns:
        list of dict, each with the number `epoch`.
    Raises:
        UserError: the file is missing or is no such log.
    """
    try:
        records = [json.loads(line) for line in Path(path).read_text().splitlines()]
        epochs = [record for record in records if "during_epoch" not in record]
        if any(not isinstance(record["epoch"], int) for record in epochs):
            raise ValueError("an epoch is no whole number")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: is no log of a training run; expected one like logs/geometry.jsonl") from None
    return epochs


def curve(records: list[dict], name: str, axis: str = "epoch") -> Curve:
    """(epoch, value) of one field, or (step, value), values that are not above 0 left out: their axis is logarithmic."""
    return [(record.get(axis, 0), record[name]) for record in records  # a line from before training has no step
            if isinstance(record.get(name), (int, float)) and 0 < record[name] < math.inf]


def read_log(path: Path | str) -> dict[str, Curve]:
    """The curves in a log of `utils.training.run_log.RunLog`.

    Args:
        path: see `read_epoch_lines`.
    Returns:
        dict: each field of LINES to its `curve`.
    Raises:
        UserError: the file is missing, is no such log, or holds none of the fields.
    """
    records = read_epoch_lines(path)
    curves = {name: curve(records, name) for name, _ in LINES}
    if not any(curves.values()):
        raise UserError(f"{path}: holds no epoch yet")
    return curves


def draw_curve(curves: dict[str, Curve], title: str) -> Image.Image:
    """Draw loss and validation score over a logarithmic axis.

    Args:
        curves: as from `read_log`.
        title: str.
    Returns:
        PIL.Image, RGB.
    """
    return draw_lines([(name, color, curves[name]) for name, color in LINES], title)


def draw_lines(lines: list[tuple[str, Color, Curve]], title: str, axis: str = "epoch") -> Image.Image:
    """Draw any curves over a logarithmic axis.

    Args:
        lines: (name, color, curve), at least one of the curves with a point.
        title, axis: str, what stands above the plot and below it.
    Returns:
        PIL.Image, RGB.
    """
    points = [point for _, _, line in lines for point in line]
    last = max(max(epoch for epoch, _ in points), 1)
    ticks = ticks_between(min(value for _, value in points), max(value for _, value in points))
    low, high = math.log(ticks[0]), math.log(ticks[-1])
    left, right, bottom = MARGINS[0], SIZE[0] - MARGINS[2], SIZE[1] - MARGINS[3]
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)

    # Names stand above the plot, where they hide no curve, in as many rows as they need
    draw.text((left, 4), title, fill="black", font_size=13)
    x, top = left + round(draw.textlength(title, font_size=13)) + 28, MARGINS[1]
    for name, color, _ in lines:
        width = round(draw.textlength(name, font_size=13))
        if x + width > right:
            x, top = left, top + ROW
        draw.text((x, top - MARGINS[1] + 4), name, fill=color, font_size=13)
        x += width + 14

    def place(epoch, value):
        return (left + epoch / last * (right - left),
                bottom - (math.log(value) - low) / (high - low) * (bottom - top))

    for value in ticks:
        _, y = place(0, value)
        draw.line((left, y, right, y), fill=(225, 225, 225))
        draw.text((left - 8, y), f"{value:g}", fill=(60, 60, 60), anchor="rm", font_size=12)
    for epoch in range(0, last + 1, round_step(last / 6)):
        draw.text((place(epoch, ticks[0])[0], bottom + 8), str(epoch), fill=(60, 60, 60), anchor="ma", font_size=12)
    draw.text(((left + right) / 2, SIZE[1] - 6), axis, fill=(60, 60, 60), anchor="md", font_size=12)
    for _, color, line in lines:
        placed = [place(*point) for point in line]
        if len(placed) > 1:
            draw.line(placed, fill=color, width=2)
        for x, y in placed:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=color)
    return image


def draw_run(records: list[dict], title: str) -> Image.Image | None:
    """A run's loss and validation score, and below them the parts of its loss, where it has any.

    Args:
        records: as from `read_epoch_lines`.
        title: str.
    Returns:
        PIL.Image, RGB; None if nothing can be drawn yet.
    """
    parts = [name for name in dict.fromkeys(name for record in records for name in record) if name not in NO_PARTS]
    groups = [[(name, color, curve(records, name)) for name, color in LINES],
              [(name, PALETTE[number % len(PALETTE)], curve(records, name)) for number, name in enumerate(parts)]]
    drawn = [draw_lines(group, text) for group, text in zip(groups, (title, "parts of the loss"))
             if any(line for _, _, line in group)]
    return stacked(drawn) if drawn else None


def stacked(images: list[Image.Image]) -> Image.Image:
    """Images of SIZE one below the other."""
    sheet = Image.new("RGB", (SIZE[0], SIZE[1] * len(images)))
    for number, image in enumerate(images):
        sheet.paste(image, (0, number * SIZE[1]))
    return sheet


def ticks_between(low: float, high: float) -> list[float]:
    """Round values, at least two, that enclose `low` and `high`: 1, 2 and 5 times powers of ten, or 1 to 9 times if they lie
    within a factor of 3."""
    digits = range(1, 10) if high < 3 * low else (1, 2, 5)
    steps = [digit * 10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 2)
             for digit in digits]
    first = max(index for index, value in enumerate(steps) if value <= low * (1 + 1e-9))
    last = min(index for index, value in enumerate(steps) if value >= high * (1 - 1e-9))
    return steps[first:max(last, first + 1) + 1]


def round_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20 ... that is not below `least`."""
    return next(digit * 10**power for power in range(20) for digit in (1, 2, 5) if digit * 10**power >= least)


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
