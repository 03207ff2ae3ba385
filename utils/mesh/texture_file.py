"""A texture as the bytes of an image file."""
import io

import numpy as np

from config import UserError

TEXTURE_FORMATS = {"png": "image/png", "jpg": "image/jpeg"}  # by suffix, with their media types
JPEG_QUALITY = 92  # with full color resolution: a texture's charts are small, and their edges lie side by side


def texture_bytes(texture: np.ndarray, texture_format: str = "png") -> bytes:
    """Encode a (H, W, 3) uint8 sRGB image as "png" (exact) or "jpg" (a third of the size).

    Raises:
        UserError: another format is asked for.
    """
    from PIL import Image

    if texture_format not in tuple(TEXTURE_FORMATS):
        raise UserError(f"texture_format {texture_format}: choose {' or '.join(TEXTURE_FORMATS)}")
    file = io.BytesIO()
    if texture_format == "png":
        Image.fromarray(texture).save(file, "PNG")
    else:
        Image.fromarray(texture).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return file.getvalue()
