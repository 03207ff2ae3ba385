"""A picture that compares: the six inputs above six views of the result, and two oblique ones."""
from dataclasses import replace
from pathlib import Path

import numpy as np

from utils.io.files import atomic_write
from utils.mesh.mesh import Mesh
from utils.rendering.cameras import camera_basis
from utils.rendering.rasterizer import over_white, render

MARGIN_PX = 11  # that framing leaves around an object in images of 256 pixels


def write_preview(path: str | Path, images: np.ndarray, mesh: Mesh, drawn: dict) -> None:
    """Write the six inputs above the result from the same cameras, and two oblique views at the right, each with its name.

    Args:
        path: .png file.
        images: (6, S, S, 3) float array in [0, 1].
        mesh: utils.mesh.mesh.Mesh.
        drawn: {view name: (S, S, 4) uint8 RGBA}, the mesh from the cameras of the six images.
    """
    from PIL import Image, ImageDraw

    size = images.shape[1]
    inputs = [np.round(image * 255).astype(np.uint8) for image in images]
    views = [over_white(image) for image in drawn.values()]
    oblique = []
    for basis in (camera_basis(40, 25), camera_basis(220, 25)):
        reach = np.abs(mesh.vertices @ basis[:2].T).max()  # a diagonal may be longer than the frame
        smaller = replace(mesh, vertices=mesh.vertices * min(1.0, 1.05 / reach))
        oblique.append(over_white(render(smaller, basis, size)))
    sheet = np.concatenate([np.concatenate(inputs + oblique[:1], axis=1), np.concatenate(views + oblique[1:], axis=1)])
    picture = Image.fromarray(sheet)
    draw = ImageDraw.Draw(picture)
    for column, view in enumerate([*drawn, None]):  # in the margin that framing leaves
        for row, words in enumerate((view or "mesh", f"{view}, mesh" if view else "mesh")):
            draw.text((column * size + 4, row * size), words, fill=(110, 118, 126), font_size=MARGIN_PX - 1)
    with atomic_write(path) as temporary:
        picture.save(temporary)
