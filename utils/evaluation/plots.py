"""The learning curve as an image."""
from pathlib import Path

from utils.io.files import atomic_write

PANEL_INCHES, DPI = (4.8, 3.2), 100  # of one panel


def write_curve(path: str | Path, counts: list[int], panels: dict) -> bool:
    """Draw one panel per metric over the number of training objects, on a logarithmic axis.

    Args:
        path: .png file.
        counts: training objects of each run, rising.
        panels: {title: (means, lows, highs, level)}: three lists as long as `counts`, and a value drawn as a dashed
            line with the word hull, or None.
    Returns:
        whether it was drawn: False where matplotlib, which only development needs, is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure((PANEL_INCHES[0] * len(panels), PANEL_INCHES[1]), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, (means, lows, highs, level)) in zip(figure.subplots(1, len(panels), squeeze=False)[0],
                                                          panels.items()):
        errors = [[mean - low for mean, low in zip(means, lows)], [high - mean for mean, high in zip(means, highs)]]
        axes.errorbar(counts, means, yerr=errors, marker="o", capsize=3)
        if level is not None:
            axes.axhline(level, color="gray", linestyle="--")
            axes.text(counts[-1], level, "hull", color="gray", ha="right", va="bottom")
        axes.set(title=title, xlabel="training objects", xscale="log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
    return True
