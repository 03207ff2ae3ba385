"""Draw the figures of docs/photographing.md and docs/method.md.

    python docs/figures/make_figures.py             # all of them
    python docs/figures/make_figures.py cameras     # one: cameras, distance, turning, pipeline

Every image of the shoe in them is rendered by the project's own cameras, so no figure shows a view the wrong way round.
Needs matplotlib (requirements-dev.txt); pipeline also runs the shipped model, which takes a minute.
"""
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from PIL import Image

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
sys.path.insert(0, str(ROOT))

from config import VIEW_NAMES  # noqa: E402
from utils.mesh.mesh import Mesh, textured_mesh  # noqa: E402
from utils.rendering.cameras import VIEW_BASES, Camera, camera_basis, project  # noqa: E402
from utils.rendering.rasterizer import over_white, render  # noqa: E402
from utils.training_data.synthetic.shapes import gray_image  # noqa: E402
from utils.training_data.synthetic.shoes import make_shoe  # noqa: E402

SHOE_SEED = 900020  # a green sneaker with laces: neither side nor sole can be taken for another
PIPELINE_EXAMPLE = "shoe_900002"
DPI = 110
COLORS = 128  # of a figure's palette: drawings need no more, and stay below 120 KB
INK, RED, GREEN = "#222222", "#c53030", "#2f855a"
TABLE = "#d9c7a8"
VIEW_COLORS = {"front": "#c53030", "back": "#975a16", "left": "#2b6cb0", "right": "#6b46c1", "top": "#2f855a",
               "bottom": "#4a5568"}


# ---- Pieces --------------------------------------------------------------------------------------------------------


def shoe() -> Mesh:
    """The shoe of all figures, in the normalized frame."""
    return textured_mesh(*make_shoe(SHOE_SEED, 512)[:5])


def rendered(mesh: Mesh, camera: Camera | np.ndarray, size: int = 220) -> np.ndarray:
    """(size, size, 4) uint8 RGBA render by a Camera or (3, 3) basis."""
    return render(mesh, camera, size)


def cropped(rgba: np.ndarray) -> np.ndarray:
    """An RGBA image without its transparent border."""
    rows, columns = np.flatnonzero(rgba[..., 3].any(1)), np.flatnonzero(rgba[..., 3].any(0))
    return rgba[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]


def place(axes, image: np.ndarray, x: float, y: float, width: float, zorder: float = 2) -> None:
    """Draw an image centered at (x, y), `width` wide, in the units of the axes."""
    height = width * image.shape[0] / image.shape[1]
    axes.imshow(image, extent=(x - width / 2, x + width / 2, y - height / 2, y + height / 2), zorder=zorder,
                interpolation="antialiased")


def framed(axes, image: np.ndarray, x: float, y: float, width: float, color: str, title: str = "",
           below: str = "") -> None:
    """A photograph: an image over white in a frame, its name above and a remark below."""
    image = over_white(image) if image.shape[-1] == 4 else image
    axes.add_patch(Rectangle((x - width / 2, y - width / 2), width, width, facecolor="white", edgecolor=color, lw=2,
                             zorder=3))
    place(axes, image, x, y, width * 0.97, zorder=3.5)
    if title:
        axes.text(x, y + width / 2 + 0.03 * width, title, ha="center", va="bottom", color=color, weight="bold",
                  fontsize=11)
    if below:
        axes.text(x, y - width / 2 - 0.05 * width, below, ha="center", va="top", color=INK, fontsize=9)


def phone(axes, x: float, y: float, toward: tuple[float, float], length: float = 0.28, color: str = INK) -> None:
    """A phone seen from its edge, its lens toward a direction."""
    angle = np.degrees(np.arctan2(toward[1], toward[0]))
    turn = matplotlib.transforms.Affine2D().rotate_deg_around(x, y, angle) + axes.transData
    axes.add_patch(FancyBboxPatch((x - 0.03, y - length / 2), 0.05, length, boxstyle="round,pad=0.012", facecolor=color,
                                  edgecolor=color, transform=turn, zorder=5))
    axes.add_patch(Rectangle((x + 0.025, y - 0.05), 0.06, 0.1, facecolor="#4a90d9", edgecolor=color, lw=0.8,
                             transform=turn, zorder=5))


def arrow(axes, start: tuple[float, float], end: tuple[float, float], color: str = INK, curve: float = 0.0,
          width: float = 1.6, style: str = "-|>") -> None:
    """An arrow between two points; curve: its bulge as a fraction of its length."""
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=14, color=color, lw=width, zorder=4,
                                   connectionstyle=f"arc3,rad={curve}"))


def blank(width: float, height: float, span: tuple[float, float, float, float]):
    """A figure of so many inches whose only axes cover (left, right, bottom, top) in equal units."""
    figure = plt.figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set_aspect("equal")

    def finish(name: str) -> None:
        axes.set_xlim(*span[:2])
        axes.set_ylim(*span[2:])
        save(figure, name)
    return axes, finish


def save(figure, name: str) -> None:
    """Write docs/figures/<name>.png in a small palette."""
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    write(image, name)
    plt.close(figure)


def write(image: Image.Image, name: str) -> None:
    path = FOLDER / f"{name}.png"
    image.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {image.width} x {image.height} px, {path.stat().st_size / 1024:.0f} KB")


# ---- Figures -------------------------------------------------------------------------------------------------------


def cameras() -> None:
    """The six camera positions around a shoe, each with the photograph that it takes."""
    mesh, seen_from = shoe(), camera_basis(32, 24)
    axes, finish = blank(10, 7.4, (-4.6, 4.6, -3.4, 3.4))
    place(axes, rendered(mesh, seen_from, 440), 0, 0, 2.2 * 1.1, zorder=2)
    far, photograph_at = 2.0, {"front": (-2.1, -2.2), "left": (3.4, -1.1), "back": (2.3, 2.1), "right": (-3.5, 0.9),
                               "top": (-1.5, 2.3), "bottom": (1.5, -2.45)}
    for view in VIEW_NAMES:
        color, basis = VIEW_COLORS[view], VIEW_BASES[view]
        spot = seen_from[:2] @ basis[2] * far
        axes.plot(*np.stack([spot, spot * 0.2], 1), ls=(0, (4, 3)), color=color, lw=1.4, zorder=1)
        # The phone's screen, drawn as the rectangle that it is in space
        corners = [far * basis[2] + 0.24 * (right * basis[0] + up * basis[1])
                   for right, up in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        axes.add_patch(Polygon(np.array(corners) @ seen_from[:2].T, facecolor=color, edgecolor="white", zorder=4))
        x, y = photograph_at[view]
        axes.plot((spot[0], x), (spot[1], y), color=color, lw=1.2, zorder=0.5)
        framed(axes, rendered(mesh, basis), x, y, 1.25, color, view)
    ends = {"+x": (1, 0, 0), "+y": (0, 1, 0), "+z": (0, 0, 1)}
    origin = np.array([-3.9, -2.9])
    for name, axis in ends.items():
        tip = seen_from[:2] @ np.array(axis) * 0.6
        arrow(axes, origin, origin + tip, INK, width=1.3)
        axes.text(*(origin + tip * 1.25), name, ha="center", va="center", fontsize=9)
    for view, words in (("top", "toe down"), ("bottom", "toe up"), ("left", "toe to the left"),
                        ("right", "toe to the right"), ("front", "toe toward you"), ("back", "heel toward you")):
        x, y = photograph_at[view]
        axes.text(x, y - 0.68, words, ha="center", va="top", fontsize=9.5)
    finish("cameras")


def distance() -> None:
    """The same shoe from one length and from five: what closeness does to its proportions."""
    mesh = shoe()
    side = cropped(rendered(mesh, VIEW_BASES["right"], 300))
    axes, finish = blank(10, 4.65, (-0.4, 11.2, 0.05, 5.45))
    for row, (lengths, color, words) in enumerate(((1, RED, "too close: 1 object length"),
                                                   (4, GREEN, "good: 4 object lengths, zoomed in"))):
        y = 4.0 - 2.75 * row
        length = 1.3
        where = 0.9 + length / 2
        axes.text(0.0, y + 1.12, words, color=color, weight="bold", fontsize=12)
        axes.add_patch(Rectangle((0.0, y - 0.37), 7.9, 0.09, facecolor=TABLE, edgecolor="none"))
        place(axes, side, where, y + 0.0, length)
        lens = where + lengths * length
        phone(axes, lens, y + 0.12, (-1, 0), 0.42)
        for ray_x, ray_y in ((where, 0.27), (where + length / 2, -0.27)):
            axes.plot([lens - 0.08, ray_x], [y + 0.12, y + ray_y], color=color, lw=1.0, ls=(0, (4, 3)), zorder=1)
        arrow(axes, (where, y - 0.55), (lens, y - 0.55), INK, width=1.0, style="<|-|>")
        ratio = (lengths + 0.5) / (lengths - 0.5)
        axes.text((where + lens) / 2 if lengths > 1 else where + 0.1, y - 0.62,
                  f"for a 30 cm shoe: {0.3 * lengths:.1f} m", ha="center" if lengths > 1 else "left", va="top",
                  fontsize=9.5)
        camera = Camera(VIEW_BASES["front"], 1 / (2 * lengths), 1.0)
        camera = replace(camera, scale=0.92 / np.abs(project(mesh.vertices, camera)[:, :2]).max())
        framed(axes, rendered(mesh, camera, 260), 9.9, y + 0.15, 2.0, color)
        axes.text(8.8, y + 0.15, f"the toe looks\n{ratio:.1f} times as\nlarge as the\nheel", ha="right", va="center",
                  fontsize=9.5, color=color)
    finish("distance")


def turning() -> None:
    """Quarter turns on the table for four photographs, then top and bottom."""
    mesh = shoe()
    axes, finish = blank(10, 8.6, (-0.2, 13.8, -6.2, 5.84))
    views = {view: rendered(mesh, VIEW_BASES[view]) for view in VIEW_NAMES}
    from_above = cropped(views["top"])
    axes.text(0, 5.4, "1  The phone stays where it is. Turn the object by quarter turns, clockwise as seen from above.",
              fontsize=12, weight="bold")
    for turn, view in enumerate(("front", "left", "back", "right")):
        x = 1.6 + 3.5 * turn
        axes.add_patch(plt.Circle((x, 3.75), 1.15, facecolor=TABLE, edgecolor="#b59f78", lw=1.2))
        seen = np.rot90(from_above, -turn)
        place(axes, seen, x, 3.75, 1.7 * seen.shape[1] / max(seen.shape[:2]))
        phone(axes, x, 2.2, (0, 1), 0.42)
        framed(axes, views[view], x, 0.75, 1.75, VIEW_COLORS[view])
        axes.text(x, -0.22, view, ha="center", va="top", color=VIEW_COLORS[view], weight="bold", fontsize=11)
        if turn:
            arrow(axes, (x - 2.25, 4.55), (x - 1.25, 4.55), INK, -0.35)
    axes.text(0.0, 2.2, "table,\nfrom above", fontsize=8.5, va="center")

    axes.text(0, -1.3, "2  Top and bottom: photograph from straight above ...", fontsize=12, weight="bold")
    axes.text(8.2, -1.3, "... or lay the object on its side", fontsize=12, weight="bold")
    side = cropped(views["right"])
    for x, view, shown, words in ((1.4, "top", side, "toe toward you:\nit points down"),
                                  (5.3, "bottom", np.rot90(side, 2), "upside down, toe away\nfrom you: it points up")):
        axes.add_patch(Rectangle((x - 1.4, -5.1), 2.8, 0.12, facecolor=TABLE, edgecolor="none"))
        height = 1.9 * shown.shape[0] / shown.shape[1]
        place(axes, shown, x - 0.25, -4.98 + height / 2, 1.9)
        phone(axes, x - 0.25, -2.2, (0, -1), 0.5)
        axes.plot([x - 0.25, x - 0.25], [-2.4, -3.8], ls=(0, (4, 3)), color=VIEW_COLORS[view], lw=1.2, zorder=1)
        _person(axes, x + 1.15, -5.0)
        framed(axes, views[view], x + 1.15 + 0.75 - 0.55, -2.6, 1.35, VIEW_COLORS[view], view)
        axes.text(x, -5.3, words, ha="center", va="top", fontsize=9.5)
    # Lying on its left side, the sole toward the phone: the toe is at the right of what the phone sees.
    framed(axes, np.rot90(views["bottom"], -1), 9.3, -3.7, 1.9, "#718096", "as taken", "lying on its left side, sole\n"
           "toward the phone: toe to the right")
    arrow(axes, (10.4, -3.4), (11.5, -3.4), INK, -0.35)
    axes.text(10.95, -3.65, "turn it by a\nquarter turn\ncounter-\nclockwise", ha="center", va="top", fontsize=9)
    framed(axes, views["bottom"], 12.6, -3.7, 1.9, VIEW_COLORS["bottom"], "bottom", "toe up")
    finish("turning")


def _person(axes, x: float, y: float) -> None:
    """You, small, at the table's side."""
    axes.add_patch(plt.Circle((x, y + 0.72), 0.13, facecolor="#718096", edgecolor="none", zorder=3))
    axes.add_patch(FancyBboxPatch((x - 0.12, y + 0.05), 0.24, 0.42, boxstyle="round,pad=0.05", facecolor="#718096",
                                  edgecolor="none", zorder=3))
    axes.text(x, y + 0.95, "you", ha="center", fontsize=8.5, color="#4a5568")


def pipeline() -> None:
    """A shipped example from six images to a textured mesh: the result of each step in gray, then the textured one."""
    from inference import STEPS, Reconstructor

    folder, size = ROOT / "data" / "examples" / PIPELINE_EXAMPLE, 320
    images = {view: next(folder.glob(f"{view}.*")) for view in VIEW_NAMES}
    oblique = camera_basis(35, 32)
    steps = {"visual hull": frozenset(STEPS), "field": frozenset({"photo_consistency"}), "refined surface": frozenset()}
    tiles = {}
    for name, without in steps.items():
        mesh = Reconstructor(without=without, texture_size=1024).reconstruct(images).as_mesh()
        fit = min(1.0, 1.05 / np.abs(mesh.vertices @ oblique[:2].T).max())
        mesh = replace(mesh, vertices=mesh.vertices * fit)
        tiles[name] = gray_image(mesh, oblique, size)
    tiles["textured mesh"] = over_white(render(mesh, oblique, size))
    shown = [np.flatnonzero((tile < 250).any((0, 2))) for tile in tiles.values()]
    window = slice(max(0, min(columns[0] for columns in shown) - 8), max(columns[-1] for columns in shown) + 9)
    tiles = {name: tile[:, window] for name, tile in tiles.items()}
    small = size // 2
    inputs = [np.asarray(Image.open(images[view]).convert("RGBA").resize((small, small), Image.Resampling.LANCZOS))
              for view in VIEW_NAMES]
    inputs = [over_white(image) for image in inputs]
    tiles = {"six images": np.concatenate([np.concatenate(inputs[i::2], axis=1) for i in (0, 1)], axis=0), **tiles}
    gap, caption = 26, 26
    width = sum(tile.shape[1] for tile in tiles.values()) + gap * (len(tiles) - 1)
    figure = plt.figure(figsize=(width / 100, (size + caption) / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    left = 0
    for number, (name, tile) in enumerate(tiles.items()):
        axes.imshow(tile, extent=(left, left + tile.shape[1], caption, caption + size), interpolation="nearest")
        axes.text(left + tile.shape[1] / 2, caption / 2, name, ha="center", va="center", fontsize=12)
        left += tile.shape[1]
        if number + 1 < len(tiles):
            arrow(axes, (left + 2, caption + size / 2), (left + gap - 2, caption + size / 2), INK, width=2)
        left += gap
    axes.set_xlim(0, width)
    axes.set_ylim(0, size + caption)
    save(figure, "pipeline")


FIGURES = {"cameras": cameras, "distance": distance, "turning": turning, "pipeline": pipeline}


def main(argv: list[str]) -> None:
    """Draw the named figures, or all."""
    unknown = [name for name in argv if name not in FIGURES]
    if unknown:
        raise SystemExit(f"unknown figure {unknown[0]!r}: choose {', '.join(FIGURES)}")
    for name in argv or FIGURES:
        FIGURES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
