"""The six orthographic cameras of the project, and oblique ones for looking and judging.

This is the only file that spells the cameras out. Frame: right-handed, +y up, the object's front faces +z.
"""
import numpy as np

from config import VIEW_NAMES

VIEW_EXTENT = 1.1  # an image covers [-1.1, 1.1] of the view plane: the object's longest edge, 2, and 10 % margin

# view: (azimuth, elevation) in degrees of where the camera stands
VIEW_ANGLES_DEG = {
    "front": (0, 0),
    "back": (180, 0),
    "left": (90, 0),  # the object's own left, +x
    "right": (270, 0),
    "top": (0, 90),
    "bottom": (0, -90),
}

# Cameras that are not among the six, for judging colors and for previews.
NOVEL_ANGLES_DEG = tuple(((i + 0.5) * 45.0, 30.0 if i % 2 == 0 else -20.0) for i in range(8))

# (view, the view from the other side, axis of an (H, W) image along which the two are mirrored)
OPPOSITE_VIEWS = (("front", "back", 1), ("left", "right", 1), ("top", "bottom", 0))


def camera_basis(azimuth_deg, elevation_deg):
    """Axes of an orthographic camera that looks at the origin.

    Args:
        azimuth_deg: degrees about +y, 0 on +z, 90 on +x.
        elevation_deg: degrees above the horizon; 90 looks straight down.
    Returns:
        (3, 3) float64, rows: image right, image up, towards the camera; orthonormal and right-handed.
    """
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    right = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
    toward = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    # Rounding makes the six axis-aligned cameras exact (cos 90 deg is 6e-17, not 0).
    return np.round(np.stack([right, np.cross(toward, right), toward]), 15) + 0.0


VIEW_BASES = {name: camera_basis(*VIEW_ANGLES_DEG[name]) for name in VIEW_NAMES}


def to_pixels(points, basis, size):
    """Project points of the normalized frame into a square image.

    Args:
        points: (..., 3) float.
        basis: (3, 3) from `camera_basis`.
        size: image edge in pixels.
    Returns:
        (..., 3) float: column, row (pixel centers at half-integers) and depth (larger is nearer the camera).
    """
    camera = points @ basis.T
    scale = size / (2 * VIEW_EXTENT)
    return np.stack([size / 2 + camera[..., 0] * scale, size / 2 - camera[..., 1] * scale, camera[..., 2]], axis=-1)
