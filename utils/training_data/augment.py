"""Variants of an object for training: its six images and its surface changed together, so that they still agree.

Everything works on the arrays of one object as `object_cache.load_cached` gives them: points, normals and colors
(K, 3) float32 of the true surface in the normalized frame; images (6, S, S, 3) and masks (6, S, S) uint8 in
VIEW_NAMES order. Where images and masks are left out, the surface is changed as it would be with them. Each function
returns a changed copy and leaves its argument as it was.
"""
import io

import numpy as np
from PIL import Image, ImageFilter

from config import VIEW_NAMES
from utils.mesh.symmetry import MIRROR_X, quarter_turn
from utils.rendering.cameras import VIEW_BASES

AUGMENT_VERSION = 1  # raise when `augmented` draws or does something else: features cached before are then stale
IMAGES = {"images", "masks"}
Arrays = dict[str, np.ndarray]
LUMA = np.array([0.299, 0.587, 0.114])  # fractions of red, green and blue in perceived brightness (ITU-R BT.601)


def augmented(arrays: Arrays, rng: np.random.Generator, turns: bool = False) -> Arrays:
    """A random variant of an object: mirrored, stretched and recolored, its images slightly worn.

    Args:
        arrays: dict of arrays (see above).
        rng: np.random.Generator; equal states give equal variants.
        turns: also turn the object by a random number of quarter turns, for objects whose front means nothing.
    Returns:
        dict of arrays of the same shapes and types.
    """
    if rng.random() < 0.5:
        arrays = apply_signed_permutation(arrays, MIRROR_X)
    if turns:
        arrays = apply_signed_permutation(arrays, quarter_turn(rng.integers(4)))
    arrays = anisotropic_scale(arrays, np.exp(rng.normal(0.0, 0.12, 3).clip(-0.25, 0.25)), rng)
    if rng.random() < 0.8:
        arrays = color_jitter(arrays, *random_color_map(rng))
    return degrade(arrays, rng) if "images" in arrays else arrays


# ---- Shape ----------------------------------------------------------------------------------------------------


def apply_signed_permutation(arrays: Arrays, matrix: np.ndarray) -> Arrays:
    """The object turned or mirrored so that its axes fall on axes: images change places and orientation.

    Args:
        arrays: dict of arrays.
        matrix: (3, 3) signed permutation that takes an old position to its new one.
    Returns:
        dict of arrays; surface colors stay with their points.
    """
    order, flips = zip(*(_seen_as(VIEW_BASES[view] @ matrix) for view in VIEW_NAMES))
    result = dict(arrays)
    for name in IMAGES & arrays.keys():
        result[name] = np.stack([flip(arrays[name][source]) for source, flip in zip(order, flips)])
    for name in ("points", "normals"):
        result[name] = arrays[name] @ matrix.T.astype(np.float32)
    return result


def _seen_as(basis):
    """Index of the view that looks along the same axis as a camera of `basis`, and what brings its image there."""
    source = next(view for view in VIEW_NAMES if VIEW_BASES[view][2] @ basis[2] > 0.5)
    right, up = (basis[row] @ VIEW_BASES[source][:2].T for row in (0, 1))  # in the source image's right and up
    swap = abs(right[1]) > 0.5

    def flip(image):
        image = image.swapaxes(0, 1)[::-1, ::-1] if swap else image  # about the diagonal: right becomes up
        across, upward = (right[1], up[0]) if swap else (right[0], up[1])
        return image[:: int(np.sign(upward)), :: int(np.sign(across))]

    return VIEW_NAMES.index(source), flip


def anisotropic_scale(arrays: Arrays, factors: np.ndarray, rng: np.random.Generator) -> Arrays:
    """The object scaled along each axis, then brought back to the normalized frame.

    Args:
        arrays: dict of arrays.
        factors: (3,) float above 0, along x, y and z.
        rng: np.random.Generator; decides which samples stand for areas that grew or shrank.
    Returns:
        dict of arrays; samples are drawn again from the old ones, so that they still lie by area.
    """
    factors = np.asarray(factors, np.float64)
    before = np.ptp(arrays["points"], axis=0)
    factors = factors * (before.max() / max((before * factors).max(), 1e-9))
    normals = arrays["normals"] / factors
    growth = np.linalg.norm(normals, axis=1)  # a face's area grows by det |A^-T n| under A
    result = dict(arrays)
    chosen = _drawn_by_weight(growth, rng)
    result["points"] = (arrays["points"] * factors)[chosen].astype(np.float32)
    result["normals"] = (normals / np.maximum(growth, 1e-12)[:, None])[chosen].astype(np.float32)
    result["colors"] = arrays["colors"][chosen]
    scales = [np.abs(VIEW_BASES[view][:2]) @ factors for view in VIEW_NAMES]  # along image right and up
    return result | _resampled(arrays, [(across, upward, 0.0, 0.0) for across, upward in scales])


def _drawn_by_weight(weights, rng):
    """As many indices as weights, each as often as its weight says, give or take one (systematic resampling)."""
    count = len(weights)
    shares = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(shares, (np.arange(count) + rng.random()) / count), count - 1)


def _resampled(arrays, windows):
    """Images and masks, each scaled about its center and shifted; white (and no mask) comes in from outside.

    Args:
        arrays: dict of arrays.
        windows: six tuples: scale along image right and up, shift to the right and down in pixels.
    Returns:
        dict of images and masks, or of nothing where there are none.
    """
    changed = {name: np.empty_like(arrays[name]) for name in IMAGES & arrays.keys()}
    for name, images in changed.items():
        center = images.shape[1] / 2
        outside = 0 if name == "masks" else (255, 255, 255)
        for view, (across, upward, right, down) in enumerate(windows):
            inverse = (1 / across, 0, center - (center + right) / across,
                       0, 1 / upward, center - (center + down) / upward)
            images[view] = Image.fromarray(arrays[name][view]).transform(
                images.shape[1:3], Image.Transform.AFFINE, inverse, Image.Resampling.BICUBIC, fillcolor=outside)
    return changed


# ---- Color ---------------------------------------------------------------------------------------------------


def random_color_map(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A color map that keeps what is alike alike: exchanged channels, hue, saturation, contrast and brightness.

    Args:
        rng: np.random.Generator.
    Returns:
        matrix: (3, 3) float64; offset: (3,) float64; a color c in [0, 1] becomes matrix @ c + offset.
    """
    matrix = np.eye(3)[rng.permutation(3)] if rng.random() < 0.5 else np.eye(3)
    matrix = _hue_rotation(rng.uniform(-0.5, 0.5)) @ matrix
    saturation = rng.uniform(0.5, 1.4)
    matrix = (saturation * np.eye(3) + (1 - saturation) * np.outer(np.ones(3), LUMA)) @ matrix
    contrast, brightness = rng.uniform(0.7, 1.25), rng.uniform(-0.15, 0.15)
    return contrast * matrix, np.full(3, 0.5 * (1 - contrast) + brightness)


def _hue_rotation(angle):
    """(3, 3) rotation of colors about the gray axis by `angle` radians (Rodrigues' formula)."""
    axis = np.full(3, 3 ** -0.5)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def color_jitter(arrays: Arrays, matrix: np.ndarray, offset: np.ndarray) -> Arrays:
    """The object in other colors, the same on all six images and on its surface; the background stays white.

    Args:
        arrays: dict of arrays.
        matrix, offset: (3, 3) and (3,) float; a color c in [0, 1] becomes matrix @ c + offset, cut to [0, 1].
    Returns:
        dict of arrays.
    """
    matrix, offset = np.asarray(matrix, np.float32), np.asarray(offset, np.float32)
    arrays = arrays | {"colors": np.clip(arrays["colors"] @ matrix.T + offset, 0, 1)}
    if "images" not in arrays:
        return arrays
    cover = arrays["masks"][..., None].astype(np.float32) / 255
    colors = arrays["images"].astype(np.float32) / 255 - (1 - cover)  # what the object itself adds to a pixel
    # Cut at the covered share, not at 1: a border pixel holds that much object and no more.
    colors = np.clip(colors @ matrix.T + cover * offset, 0, cover) + (1 - cover)
    return arrays | {"images": _as_bytes(colors)}


def _as_bytes(colors):
    return np.round(np.clip(colors, 0, 1) * 255).astype(np.uint8)


# ---- Wear -----------------------------------------------------------------------------------------------------


def degrade(arrays: Arrays, rng: np.random.Generator) -> Arrays:
    """Images as a camera and a careless framing leave them; the surface stays.

    Each image is scaled by up to 3 % and shifted by up to 1.5 % of its edge. The six share a background that is
    not quite white, a slight blur and JPEG's traces, each in some variants only.
    """
    edge = arrays["masks"].shape[1]
    windows = [(scale, scale, *rng.uniform(-0.015, 0.015, 2) * edge) for scale in rng.uniform(0.97, 1.03, 6)]
    arrays = arrays | _resampled(arrays, windows)
    if rng.random() < 0.3:
        tint = rng.uniform(0, 0.05, 3).astype(np.float32)
        away = 1 - arrays["masks"][..., None].astype(np.float32) / 255
        arrays = arrays | {"images": _as_bytes(arrays["images"].astype(np.float32) / 255 - away * tint)}
    if rng.random() < 0.3:
        blur = ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9) * edge / 112)  # pixels; softens, hides no boundary
        arrays = arrays | {"images": _each(arrays["images"], lambda image: image.filter(blur))}
    if rng.random() < 0.3:
        quality = int(rng.integers(50, 95))
        arrays = arrays | {"images": _each(arrays["images"], lambda image: _through_jpeg(image, quality))}
    return arrays


def _each(images, change):
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def _through_jpeg(image, quality):
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=quality)
    return Image.open(stored).convert("RGB")
