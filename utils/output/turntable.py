"""An animated picture of a result turning once, drawn by the project's own rasterizer."""
from dataclasses import replace
from pathlib import Path

import numpy as np

from utils.io.files import atomic_write
from utils.mesh.mesh import Mesh
from utils.rendering.cameras import VIEW_EXTENT, camera_basis
from utils.rendering.rasterizer import over_white, render

SIZE = 384  # pixels
FRAMES = 36  # ten degrees each
SECONDS = 3.6  # per turn
ELEVATION_DEG = 20.0


def write_turntable(path: str | Path, mesh: Mesh) -> None:
    """Write a turn of `mesh` (utils.mesh.mesh.Mesh, normalized frame) as an animated WebP that repeats."""
    from PIL import Image

    # The circle that the mesh sweeps fits the image
    reach = max(np.hypot(mesh.vertices[:, 0], mesh.vertices[:, 2]).max(), np.abs(mesh.vertices[:, 1]).max())
    reach = np.hypot(reach, np.abs(mesh.vertices[:, 1]).max() * np.sin(np.radians(ELEVATION_DEG)))
    fitted = replace(mesh, vertices=mesh.vertices * min(1.0, 0.98 * VIEW_EXTENT / reach))
    frames = [Image.fromarray(over_white(render(fitted, camera_basis(azimuth, ELEVATION_DEG), SIZE)))
              for azimuth in np.arange(FRAMES) * 360.0 / FRAMES]
    with atomic_write(path) as temporary:
        frames[0].save(temporary, "WEBP", save_all=True, append_images=frames[1:], loop=0, quality=85,
                       duration=round(1000 * SECONDS / FRAMES))
