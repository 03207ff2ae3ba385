"""The six orthographic cameras of the project, those of photographs, and oblique ones for looking and judging.

This is the only file that spells the cameras out. Frame: right-handed, +y up, the object's front faces +z.

A photograph differs from the exact orthographic view of its name by a small rotation, a finite distance, a zoom and a
shift. `Camera` holds all of it; with p a point of the normalized frame, (r, u, t) the camera's axes and d = p . t its
depth, the projection to image coordinates, which run from -1 to 1 rightwards and downwards, is

    x = s (p . r) / (1 - q d) + shift_x        y = -s (p . u) / (1 - q d) + shift_y

where q = 1 / distance from the origin to the camera (0: orthographic) and s is the scale.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from config import VIEW_NAMES

Array = TypeVar("Array")  # of NumPy or torch

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


def camera_basis(azimuth_deg: float, elevation_deg: float) -> np.ndarray:
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


@dataclass(frozen=True, eq=False)
class Camera:
    """Where an image was taken from.

    basis: (3, 3) float64, rows: image right, image up, toward the camera; orthonormal and right-handed.
    inverse_distance: float, q = 1 / distance from the frame's origin to the camera; 0 is orthographic.
    scale: float above 0, s: image coordinates per normalized unit at the origin's depth.
    shift: (2,) float64, image coordinates (right, down) of what lies on the line from the origin to the camera.
    """

    basis: np.ndarray
    inverse_distance: float = 0.0
    scale: float = 1 / VIEW_EXTENT
    shift: np.ndarray = (0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "basis", np.asarray(self.basis, np.float64))
        object.__setattr__(self, "shift", np.asarray(self.shift, np.float64))

    def is_exact(self) -> bool:
        """Whether the image covers [-1.1, 1.1] of the view plane orthographically, as the six named views do."""
        return bool(self.inverse_distance == 0 and self.scale == 1 / VIEW_EXTENT and not self.shift.any())


VIEW_CAMERAS = {name: Camera(basis) for name, basis in VIEW_BASES.items()}
ORTHOGRAPHIC = tuple(VIEW_CAMERAS.values())  # the six of exact renders, in VIEW_NAMES order


def as_camera(camera: Camera | np.ndarray) -> Camera:
    """A Camera as it is; a bare (3, 3) basis as the exact orthographic camera with these axes."""
    return camera if isinstance(camera, Camera) else Camera(camera)


def onto_image(right: Array, up: Array, w: Array | float, scale: float, shift: Sequence[float]) -> tuple[Array, Array]:
    """The projection above, for NumPy arrays and torch tensors alike, and in any unit of the image.

    Args:
        right, up: p . r and p . u of points p. w: 1 - q d, above 0; 1 for an orthographic camera.
        scale, shift: s and (shift_x, shift_y); for pixels, both in pixels, the shift from the image's upper left corner.
    Returns:
        x, y: rightwards and downwards.
    """
    stretch = scale / w
    return right * stretch + shift[0], shift[1] - up * stretch


def project(points: np.ndarray, camera: Camera | np.ndarray) -> np.ndarray:
    """Image coordinates of points of the normalized frame.

    Args:
        points: (..., 3) float.
        camera: Camera, or a (3, 3) basis for the exact orthographic one.
    Returns:
        (..., 3) float64: x to the right and y downwards, each -1 to 1 across the image; depth toward the camera in
        normalized units (larger is nearer). x and y are NaN at and behind the plane of the camera.
    """
    camera = as_camera(camera)
    return _projected(np.asarray(points, np.float64), camera, camera.scale, camera.shift)


def pixel_rays(camera: Camera | np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lines of sight through points of an image, such that `origin + depth * direction` lies at that depth.

    Args:
        camera: Camera, or a (3, 3) basis for the exact orthographic one.
        xy: (..., 2) float, image coordinates.
    Returns:
        origins, directions: (..., 3) float64; the points of depth 0, and the change per unit of depth (not unit length).
    """
    camera = as_camera(camera)
    right, up, toward = camera.basis
    plane = (np.asarray(xy, np.float64) - camera.shift) / camera.scale
    origins = plane[..., :1] * right - plane[..., 1:] * up
    return origins, toward - camera.inverse_distance * origins


def to_pixels(points: np.ndarray, camera: Camera | np.ndarray, size: int) -> np.ndarray:
    """Project points of the normalized frame into a square image.

    Args:
        points: (..., 3) float.
        camera: Camera, or a (3, 3) basis for the exact orthographic one.
        size: image edge in pixels.
    Returns:
        (..., 3) float: column, row (pixel centers at half-integers) and depth (larger is nearer the camera).
    """
    camera = as_camera(camera)
    return _projected(points, camera, size / (2 / camera.scale), (camera.shift + 1) * (size / 2))


def _projected(points, camera, scale, shift):
    """(..., 3): image coordinates of points (..., 3) in the unit of `scale` and `shift`, and depths; NaN behind the camera."""
    right, up, depth = np.moveaxis(points @ camera.basis.T, -1, 0)
    w = 1 - camera.inverse_distance * depth if camera.inverse_distance else 1
    return np.stack([*onto_image(right, up, np.where(w > 0, w, np.nan), scale, shift), depth], axis=-1)


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """Rotation by |vector| radians about `vector`.

    Args:
        vector: (..., 3) float, radians.
    Returns:
        (..., 3, 3) float64, for `points @ matrix.T` (Rodrigues' formula).
    """
    x, y, z = np.moveaxis(np.asarray(vector, np.float64), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    angle = np.sqrt(x**2 + y**2 + z**2)[..., None, None]
    # sin(a) / a and (1 - cos(a)) / a^2 without a division by 0
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (cross @ cross)


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """The (..., 3) float64 vector in radians, at most pi long, whose `rotation_matrix` is `matrix` (..., 3, 3)."""
    from scipy.spatial.transform import Rotation

    matrix = np.asarray(matrix, np.float64)
    return Rotation.from_matrix(matrix.reshape(-1, 3, 3)).as_rotvec().reshape(matrix.shape[:-1])


def camera_as_dict(camera: Camera) -> dict:
    """A Camera as plain numbers, for JSON."""
    return {"basis": camera.basis.tolist(), "inverse_distance": float(camera.inverse_distance),
            "scale": float(camera.scale), "shift": camera.shift.tolist()}


def camera_from_dict(values: dict) -> Camera:
    """The Camera that `camera_as_dict` wrote."""
    return Camera(values["basis"], values["inverse_distance"], values["scale"], values["shift"])
