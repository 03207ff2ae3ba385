"""One image that shows what was taken for the object: each view with its silhouette drawn on it, doubtful ones framed."""
from pathlib import Path

import numpy as np

from config import VIEW_NAMES
from utils.io.files import atomic_write
from utils.views.segmentation import RELIABLE

TILE_EDGE = 360  # px of each view on the sheet
CAPTION = 22  # px below it
LINE = (255, 0, 160)  # magenta: rare on objects and tables
DOUBTFUL, UNTRUSTED = (240, 140, 0), (220, 20, 20)  # orange below RELIABLE, red below half of it
DIMMED = 0.45  # of the brightness that background keeps, so the object stands out


def write_mask_sheet(path: Path, images: list, masks: list, confidences: list) -> list[np.ndarray]:
    """Write views in two rows of three, each with its silhouette's edge drawn and its name and how sure it is below.

    Args:
        path: .png file; it appears only when it is whole.
        images: (H, W, 3) arrays in VIEW_NAMES order, uint8 or float in [0, 1], as photographed or over white; None for
            a view that is missing.
        masks: (H, W) arrays of the same sizes, uint8 or float in [0, 1].
        confidences: floats in [0, 1], as SixViews.confidence.
    Returns:
        list of six (TILE_EDGE, TILE_EDGE, 3) uint8 arrays, the views as drawn, without the words below them.
    """
    from PIL import Image

    tiles = [_tile(*view) for view in zip(VIEW_NAMES, images, masks, confidences)]
    sheet = np.concatenate([np.concatenate(tiles[i:i + 3], axis=1) for i in range(0, len(tiles), 3)], axis=0)
    with atomic_write(Path(path)) as temporary:
        Image.fromarray(sheet).save(temporary)
    return [tile[:TILE_EDGE] for tile in tiles]


def _tile(view, image, mask, confidence):
    """(TILE_EDGE + CAPTION, TILE_EDGE, 3) uint8: one view."""
    from PIL import Image, ImageDraw

    tile = Image.new("RGB", (TILE_EDGE, TILE_EDGE + CAPTION), (255, 255, 255))
    draw, words, color = ImageDraw.Draw(tile), f"{view}: missing", (120, 120, 120)
    if image is not None:
        shown = outlined(image, mask, TILE_EDGE)
        size = shown.shape[1::-1]
        tile.paste(Image.fromarray(shown), ((TILE_EDGE - size[0]) // 2, (TILE_EDGE - size[1]) // 2))
        trust, color = (("not trusted", UNTRUSTED) if confidence < RELIABLE / 2 else ("doubtful", DOUBTFUL)
                        if confidence < RELIABLE else ("", (0, 0, 0)))
        words = f"{view}: {100 * confidence:.0f} % sure" + (f", {trust}" if trust else "")
        if trust:
            draw.rectangle([0, 0, TILE_EDGE - 1, TILE_EDGE - 1], outline=color, width=6)
    draw.text((6, TILE_EDGE + 3), words, fill=color, font_size=13)
    return np.asarray(tile)


def outlined(image: np.ndarray, mask: np.ndarray, edge: int, thick: int = 1) -> np.ndarray:
    """An image with its silhouette's edge drawn on it and the rest dimmed.

    Args:
        image: (H, W, 3), mask: (H, W), uint8 or float in [0, 1].
        edge: pixels of the longer edge of what is returned.
        thick: pixels of the line to either side of the silhouette's edge.
    Returns:
        (h, w, 3) uint8.
    """
    from PIL import Image
    from scipy import ndimage

    scale = edge / max(mask.shape)
    size = tuple(max(1, round(length * scale)) for length in mask.shape[::-1])
    small = np.asarray(Image.fromarray(_as_bytes(image)).resize(size, Image.Resampling.BICUBIC))
    inside = np.asarray(Image.fromarray(_as_bytes(mask)).resize(size, Image.Resampling.BILINEAR)) >= 128
    shown = np.where(inside[..., None], small, DIMMED * small + (1 - DIMMED) * 128).astype(np.uint8)
    padded = np.pad(inside, thick)  # an object at the image's border has an edge there too
    line = (ndimage.binary_dilation(padded, iterations=thick) ^ ndimage.binary_erosion(padded, iterations=thick))
    shown[line[thick:-thick, thick:-thick]] = LINE
    return shown


def _as_bytes(array):
    return array if array.dtype == np.uint8 else np.round(255 * np.asarray(array).clip(0, 1)).astype(np.uint8)
