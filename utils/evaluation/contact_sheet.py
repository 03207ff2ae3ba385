"""Contact sheets of an evaluation: the worst objects in color, and the same ones in plain gray.

Painted with photographs a torn wall looks whole; lit and gray it does not, so both are shown.
"""
from pathlib import Path

import numpy as np

from utils.io.files import atomic_write
from utils.mesh.mesh import Mesh, plain_mesh
from utils.rendering.cameras import NOVEL_ANGLES_DEG, camera_basis
from utils.rendering.rasterizer import over_white, render

TILE = 128  # pixels per image of the contact sheet
GRAY_TILE = 256  # pixels per image of the gray one, where small holes are to be seen
LABEL = 16  # pixels of the line of text above each row
SHOWN_CAMERAS = (0, 5)  # of the eight oblique ones: front from above, back from below
BLUE = (31, 90, 180)
GRAY, AMBIENT = 0.75, 0.25  # sRGB of a face that looks into the light, and what one at right angles keeps of it
LIGHT = (-0.4, 0.5, 0.77)  # direction to the lamp in camera axes: from the upper left, behind the camera
COLUMNS = ((0, "six inputs"), (6, "prediction"), (8, "visual hull"), (10, "truth"))  # tile, title
GRAY_COLUMNS = ((0, "prediction"), (2, "visual hull"), (4, "truth"))


def sheet_row(label: str, inputs: np.ndarray, *columns: np.ndarray | None) -> np.ndarray:
    """One row of the contact sheet.

    Args:
        label: written above the row.
        inputs: (6, H, H, 3) float in [0, 1], the six images.
        columns: for each of prediction, hull and truth the (8, H, H, 4) uint8 oblique images, or None for blanks.
    Returns:
        (LABEL + TILE, 12 * TILE, 3) uint8.
    """
    tiles = [np.round(image * 255).astype(np.uint8) for image in inputs]
    for images in columns:
        tiles += [None if images is None else over_white(images[camera]) for camera in SHOWN_CAMERAS]
    return tiles_row(label, tiles, TILE)


def gray_renders(mesh: Mesh, scale: float) -> np.ndarray:
    """A surface without its colors: Lambert shading of one gray, each face lit by its own normal, from either side.

    Args:
        mesh: in the normalized frame.
        scale: by which it is made smaller, see utils.evaluation.metrics.oblique_scale.
    Returns:
        (2, GRAY_TILE, GRAY_TILE, 4) uint8 RGBA from SHOWN_CAMERAS.
    """
    images = []
    for camera in SHOWN_CAMERAS:
        basis = camera_basis(*NOVEL_ANGLES_DEG[camera])
        normals = mesh.normals() @ basis.T
        normals *= np.where(normals[:, 2:] < 0, -1, 1)  # the side that the camera sees
        lit = AMBIENT + (1 - AMBIENT) * (normals @ (np.array(LIGHT) / np.linalg.norm(LIGHT))).clip(0, 1)
        gray = plain_mesh(mesh.vertices * scale, mesh.faces)
        gray.corner_colors = np.broadcast_to(np.float32(GRAY * lit)[:, None, None], (len(lit), 3, 3))
        images.append(render(gray, basis, GRAY_TILE))
    return np.stack(images)


def gray_row(label: str, *columns: np.ndarray | None) -> np.ndarray:
    """One row of the gray contact sheet; `columns` from `gray_renders` for prediction, hull and truth, or None.

    Returns:
        (LABEL + GRAY_TILE, 6 * GRAY_TILE, 3) uint8.
    """
    return tiles_row(label, [None if images is None else over_white(image)
                        for images in columns for image in (images if images is not None else [None] * 2)], GRAY_TILE)


def tiles_row(label: str, tiles: list, size: int) -> np.ndarray:
    """Images side by side below a line of text; None gives a blank."""
    from PIL import Image, ImageDraw

    row = Image.new("RGB", (size * len(tiles), LABEL + size), "white")
    ImageDraw.Draw(row).text((4, 1), label, fill="black", font_size=12)
    for number, tile in enumerate(tiles):
        tile = np.full((size, size, 3), 235, np.uint8) if tile is None else tile
        row.paste(Image.fromarray(tile).resize((size, size), Image.Resampling.LANCZOS), (number * size, LABEL))
    return np.asarray(row)


def write_sheet(path: Path, columns: tuple, rows: list[np.ndarray]) -> None:
    """Stack rows of one kind under a line that names the columns, and save the image.

    Args:
        path: .png file.
        columns: COLUMNS or GRAY_COLUMNS, as the rows are.
        rows: from `sheet_row` or from `gray_row`.
    """
    from PIL import Image, ImageDraw

    head = Image.new("RGB", (rows[0].shape[1], LABEL), "white")
    tile = rows[0].shape[0] - LABEL
    for column, text in columns:
        ImageDraw.Draw(head).text((column * tile + 4, 1), text, fill=BLUE, font_size=12)
    with atomic_write(path) as temporary:
        Image.fromarray(np.concatenate([np.asarray(head), *rows])).save(temporary)
