"""One exposure for all images of an object: photographs are each exposed and white-balanced on their own.

A point that two views see has one color, so where all shared points differ alike the exposures do (Brown and Lowe 2007,
"Automatic Panoramic Image Stitching using Invariant Features", section 6). Without this, textures show a step wherever
the view changes from which they are taken.
"""
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from utils.multiview.texture_projection import facing_cosines, visibility
from utils.rendering.cameras import Camera
from utils.rendering.image_sampling import sample_images

GAIN_SPREAD = 0.15  # standard deviation of a gain's logarithm, by which gains are held at 1 where little is shared
PAIR_NOISE = 0.1  # the same of the ratio of two colors of one point, from which a pair is less and less believed
ALIKE = 30.0  # points that say as much as one point alone: neighbors share their errors
MIN_COSINE = 0.3  # between normal and view: flatter than this an image is too foreshortened
MIN_COVERAGE = 0.99  # from which a pixel shows the object alone
DARKEST, BRIGHTEST = 0.04, 0.98  # in [0, 1]: outside these a color says nothing of exposure
BLUR_PX = 1.5  # of images of 256 pixels: so that a surface that is a little off still compares like with like
ROUNDS = 12  # of reweighting
NEGLIGIBLE = 0.01  # largest relative gain that is left alone: images of one exposure stay as they are


def balance_exposures(images: np.ndarray, masks: np.ndarray, cameras: Sequence[Camera], vertices: np.ndarray,
                      faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images as if all had been exposed alike, by one gain per view and channel.

    Args:
        images: (S, H, H, 3) float32 sRGB in [0, 1] over white; masks: (S, H, H) float32 in [0, 1].
        cameras: S Camera.
        vertices, faces: the surface, (V, 3) float and (F, 3) int, in the normalized frame.
    Returns:
        images: (S, H, H, 3) float32, over white as before.
        gains: (S, 3) float64, by which the object's colors were multiplied; their geometric mean over views is about 1.
    """
    from utils.mesh.smoothing import vertex_normals

    colors, usable = _shared_colors(images, masks, cameras, vertices, vertex_normals(vertices, faces), faces)
    gains = np.stack([_gains_of_channel(colors[..., channel], usable) for channel in range(3)], axis=1)
    if np.abs(gains - 1).max() < NEGLIGIBLE:
        return images, np.ones_like(gains)
    return apply_gains(images, masks, gains), gains


def apply_gains(images: np.ndarray, masks: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Multiply the object's colors, and not the white around it, in images (S, H, H, 3) by gains (S, 3)."""
    white = 1 - masks[..., None]
    return ((images - white) * gains[:, None, None].astype(np.float32) + white).clip(0, 1)


def _shared_colors(images, masks, cameras, vertices, normals, faces):
    """Colors (S, V, 3) of vertices in each view, and whether (S, V) bool each may be compared."""
    from scipy.ndimage import gaussian_filter

    blur = (0, BLUR_PX * images.shape[1] / 256, BLUR_PX * images.shape[1] / 256, 0)
    coverage = gaussian_filter(masks[..., None], blur)
    own = gaussian_filter((images - (1 - masks[..., None])).clip(0, 1), blur) / np.maximum(coverage, 1e-3)
    values = sample_images(np.concatenate([own, masks[..., None]], axis=-1).astype(np.float32), vertices, cameras)
    usable = visibility(vertices, vertices, faces, cameras) & (facing_cosines(vertices, normals, cameras) > MIN_COSINE)
    return values[..., :3], usable & (values[..., 3] > MIN_COVERAGE)


def _gains_of_channel(values, usable):
    """Gains (S,) of one channel from values (S, V) in [0, 1]: robust least squares on logarithms of ratios.

    With x the logarithm of a gain and y that of a value, x_i + y_i = x_j + y_j for each point that views i and j share.
    """
    usable = usable & (values > DARKEST) & (values < BRIGHTEST)
    logarithms = np.log(values.clip(DARKEST, 1))
    pairs = []
    for one, other in combinations(range(len(values)), 2):
        both = usable[one] & usable[other]
        if both.any():
            pairs.append((one, other, logarithms[one, both] - logarithms[other, both]))
    found = np.zeros(len(values))
    for _ in range(ROUNDS):
        system, right = np.eye(len(values)) / GAIN_SPREAD**2, np.zeros(len(values))
        for one, other, difference in pairs:
            rest = found[one] - found[other] + difference
            weight = 1 / (1 + (rest / PAIR_NOISE) ** 2) ** 2 / (PAIR_NOISE**2 * ALIKE)
            total, pull = weight.sum(), (weight * difference).sum()
            system[[one, other], [one, other]] += total
            system[[one, other], [other, one]] -= total
            right[one], right[other] = right[one] - pull, right[other] + pull
        found = np.linalg.solve(system, right)
    return np.exp(found)
