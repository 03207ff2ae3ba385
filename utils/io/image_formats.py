"""Which kinds of image files are opened at all.

Pillow tells them by their content, not by their names, and hands PostScript to Ghostscript, another program, which runs it.
"""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from PIL.Image import Image

# Those that Pillow (or a reader registered with it, as that of HEIF) decodes itself, as far as it was built with them. MPO is
# JPEG; TGA comes last, for it has no mark of its own.
DECODED = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "AVIF", "HEIF", "JPEG2000", "DDS", "ICO", "PPM", "PCX", "PSD",
           "SGI", "TGA")


def open_with_pillow(source: "Path | BinaryIO") -> "Image":
    """What PIL.Image.open gives for an image of one of these kinds; it raises UnidentifiedImageError for another one."""
    from PIL import Image

    Image.init()
    return Image.open(source, formats=[name for name in DECODED if name in Image.OPEN])
