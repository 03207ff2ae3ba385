"""What the validation objects look like at this point of a training run: one image that is renewed as it goes.

A score says whether a model gets better; this shows at what. Drawing takes a small share of the time that is trained.
"""
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.evaluation.baselines import true_mesh
from utils.evaluation.contact_sheet import SHOWN_CAMERAS, TILE, gray_renders, tiles_row, write_sheet
from utils.evaluation.metrics import oblique_scale
from utils.mesh.isosurface import mesh_from_grid
from utils.mesh.mesh import Mesh, colored_mesh
from utils.multiview.field_cleanup import cut_off, enforce_silhouettes, smooth_and_close
from utils.multiview.texture_projection import surface_colors
from utils.multiview.view_maps import view_maps
from utils.multiview.visual_hull import grid_axes, hull_on_grid, silhouette_sdf
from utils.rendering.cameras import NOVEL_ANGLES_DEG, camera_basis
from utils.rendering.rasterizer import over_white, render
from utils.views.six_views import SixViews, read_framed_views

IMAGE_SIZE = 256  # pixels; what the field reads
GRID = 48  # cells along the longest edge at which a field is drawn: a glance, not a measurement
FACES = 4000  # most faces of its mesh
LARGEST_SHARE = 0.05  # of the time since training began that sheets may take, but for the first and the last one


class ValidationSheet:
    """`<folder>/validation_objects.png`: for a few objects the six inputs, the prediction and the truth.

    Args:
        folder: of the image.
        objects: ObjectFiles of this process's validation objects.
        count: most objects on the sheet, taken at even steps from all; 0: no sheet.
        painted: predictions have colors of their own; False: only their shape is shown.
        active: False in all processes but the first.
    """

    def __init__(self, folder: Path | str, objects: Sequence[Any], count: int, painted: bool, active: bool = True) -> None:
        count = min(count, len(objects)) if active else 0
        self.path, self.painted = Path(folder) / "validation_objects.png", painted
        self.numbers = [number * len(objects) // count for number in range(count)]
        self.objects = [objects[number] for number in self.numbers]
        self.begun, self.spent = time.monotonic(), 0.0
        self._read: list[tuple[SixViews, Mesh]] = []  # views and truth, read when the first sheet is drawn

    def due(self, last: bool) -> bool:
        """Whether to draw at this validation: the first and the last time, and between them while there is time for it."""
        affordable = self.spent <= LARGEST_SHARE * (time.monotonic() - self.begun)
        return bool(self.objects) and (last or affordable or not self._read)

    def draw(self, predict: Callable[[int, SixViews], Mesh | None], title: str) -> None:
        """Draw the sheet anew.

        Args:
            predict: function of an object's number in `objects` and of its views (IMAGE_SIZE pixels): a Mesh in the
                normalized frame, or None if there is none.
            title: of the sheet, such as the epoch and the score.
        """
        began = time.monotonic()
        if not self._read:
            self._read = [(read_framed_views(one.images, IMAGE_SIZE, one.id)[0], true_mesh(one)) for one in self.objects]
        rows = [self._row(views, predict(number, views), truth) for number, (views, truth) in zip(self.numbers, self._read)]
        columns = ["prediction", *["its shape"] * self.painted, "truth", "its shape"]
        write_sheet(self.path, ((0, title), *((6 + 2 * place, text) for place, text in enumerate(columns))), rows)
        self.spent += time.monotonic() - began

    def _row(self, views, prediction, truth):
        scale = oblique_scale(truth)
        tiles = [np.round(image * 255).astype(np.uint8) for image in views.images]
        for mesh, painted in ((prediction, self.painted), (truth, True)):
            tiles += (_painted(mesh, scale) if mesh else [None, None]) * painted
            tiles += [over_white(image) for image in gray_renders(mesh, scale)] if mesh else [None, None]
        return tiles_row(views.id, tiles, TILE)


def _painted(mesh, scale):
    """Images of a mesh with its colors from SHOWN_CAMERAS."""
    smaller = replace(mesh, vertices=mesh.vertices * scale)
    return [over_white(render(smaller, camera_basis(*NOVEL_ANGLES_DEG[camera]), TILE)) for camera in SHOWN_CAMERAS]


def mesh_of_field(views: SixViews, answer: Callable) -> Mesh | None:
    """A field's surface, held to the silhouettes and painted with the images: inference's steps as far as they are quick.

    Args:
        views: six views of IMAGE_SIZE pixels by the exact orthographic cameras.
        answer: answer(maps, axes, hull) -> (X, Y, Z) float, as models.field_model.field_on_grid has it.
    Returns:
        Mesh; None if the silhouettes have no body in common.
    """
    distances = silhouette_sdf(views.masks)
    maps, box = view_maps(views.images, views.masks, distances)
    axes = grid_axes(box, GRID)
    hull = hull_on_grid(distances, axes)
    if not (hull > 0).any():
        return None
    field = smooth_and_close(answer(maps, axes, hull), hull)
    vertices, faces = mesh_from_grid(cut_off(enforce_silhouettes(field, hull, distances, axes), axes), axes, FACES)
    itself = np.arange(len(vertices))[:, None]
    colors = surface_colors(vertices, faces, itself, np.ones(itself.shape), views.images, views.masks)
    return colored_mesh(vertices, faces, colors)
