"""Where a written mesh stands: its size, the axis that points up, and the ground."""
from numbers import Real

import numpy as np

from config import UserError

PRINTED = (".stl", ".3mf")  # millimeters, z up, on the bed: what slicers expect
LARGEST_MM = 1e6  # a kilometer
PRINT_EDGE_MM = 100.0  # longest edge of what is printed, unless asked otherwise
METERS = (".glb",)  # glTF 2.0 prescribes meters and +y up; importers turn it to their own axes


def file_unit(suffix: str, longest_edge_mm: float | None = None) -> tuple[float | None, str]:
    """Longest edge of the box in a file of one format, and its unit; None and "" where the normalized units are kept.

    Args:
        suffix, longest_edge_mm: see `placed`.
    """
    if longest_edge_mm is None and suffix in PRINTED:
        longest_edge_mm = PRINT_EDGE_MM
    if longest_edge_mm is None:
        return None, ""
    return (longest_edge_mm / 1000, "m") if suffix in METERS else (longest_edge_mm, "mm")


def placed(vertices: np.ndarray, suffix: str, up: str = "y", ground: bool = False,
           longest_edge_mm: float | None = None) -> np.ndarray:
    """Vertices of the normalized frame as a file of one format has them.

    Args:
        vertices: (V, 3) float, +y up, front to +z.
        suffix: of the file. .stl and .3mf are always in millimeters, with z up, on z = 0; .glb always has y up.
        up: "y", or "z" for OBJ and PLY in the axes of CAD and Blender: front to -y.
        ground: put the lowest point at 0; else the box stays centered at the origin.
        longest_edge_mm: true length of the longest edge of the box: coordinates are millimeters then, in .glb meters.
            None: as they are, longest edge about 2; PRINT_EDGE_MM for what is printed.
    Returns:
        (V, 3) float64; the given array itself where nothing changes.
    Raises:
        UserError: `up` is neither y nor z, or the length is not from its range.
    """
    if up not in ("y", "z"):
        raise UserError(f"up {up}: choose y or z")
    if longest_edge_mm is not None and not (isinstance(longest_edge_mm, Real) and 0 < longest_edge_mm <= LARGEST_MM):
        raise UserError(f"longest_edge_mm {longest_edge_mm}: choose a length above 0, at most {LARGEST_MM:.0f}")
    printed = suffix in PRINTED
    if printed and longest_edge_mm is None:
        longest_edge_mm = PRINT_EDGE_MM
    if longest_edge_mm is not None:
        vertices = vertices * (longest_edge_mm / np.ptp(vertices, axis=0).max() / (1000 if suffix in METERS else 1))
    vertical = 1
    if printed or (up == "z" and suffix not in METERS):
        vertices = vertices[:, [0, 2, 1]] * [1, -1, 1]
        vertical = 2
    if printed or ground:
        vertices = vertices.copy()
        vertices[:, vertical] -= vertices[:, vertical].min()
    return vertices
