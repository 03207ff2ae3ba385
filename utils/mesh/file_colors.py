"""Colors as mesh files write them, brought to what a `Mesh` holds: sRGB in [0, 1]."""
import numpy as np

from config import counted
from utils.mesh.mesh import GRAY


def unit_colors(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Colors in [0, 1] from whatever scale a file uses.

    Args:
        values: (N, 3 or more) of integers, where the type's greatest is 1; or floats, whose scale is told by the
            greatest: up to 1, to 255 or to 65535, as text files have all three.
    Returns:
        colors: (N, 3) float32, gray where a value is not a number.
        num_bad: how many colors were none.
    """
    values = np.asarray(values)[:, :3]
    if values.dtype.kind in "iub":
        return (values / np.float32(np.iinfo(values.dtype).max)).clip(0, 1).astype(np.float32), 0
    good = np.isfinite(values).all(axis=1)
    known = values[good]
    most = known.max(initial=0.0)
    # A float color may exceed 1 a little by rounding or as high dynamic range; 2 and more, or integers, are another scale
    integers = most > 1 and (known == np.round(known)).all()
    scale = 1.0 if most <= 1 or (most <= 2 and not integers) else 255.0 if most <= 255 else 65535.0
    colors = np.full((len(values), 3), GRAY, np.float32)
    colors[good] = (known / scale).clip(0, 1)
    return colors, int((~good).sum())


def unreadable_colors(num_bad: int) -> str:
    """What is said of a file with vertex colors that are no numbers."""
    return counted(num_bad, "vertex color is not a number; gray stands for it",
                   "vertex colors are not numbers; gray stands for them")


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB of linear light, both in [0, 1] (IEC 61966-2-1); float32."""
    linear = np.asarray(linear)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0) ** (1 / 2.4) - 0.055).astype(np.float32)
