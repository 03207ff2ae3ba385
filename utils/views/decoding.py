"""From an image file of any kind that phones, cameras and messengers make to upright sRGB pixels.

The one place that decodes: turned as EXIF says, reduced while it is decoded, converted from the color profile it carries.
"""
import io
import math
import os
import warnings
from pathlib import Path

import numpy as np

from config import UserError
from utils.io.image_formats import open_with_pillow

LARGEST_EDGE = 2048  # px: 50 megapixels would take seconds and a gigabyte, and nothing downstream shows them
SMALLEST_EDGE = 8  # px: below it there is no silhouette to speak of
OPAQUE_FROM = 128  # of 255: alpha that never falls below says nothing about the object
HALF_DIAGONAL_35MM = math.hypot(36, 24) / 2  # mm: equivalent focal lengths compare diagonals (CIPA DCG-001)
SAME_ASPECT = 0.01  # share by which width / height may differ from what EXIF says without a sign of cropping
SRGB_GAMMA = 1 / 2.2  # as PNG takes it
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
EXIF_IFD, ORIENTATION, FOCAL_LENGTH_35MM, EXIF_WIDTH, EXIF_HEIGHT = 0x8769, 0x0112, 41989, 40962, 40963
TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
         7: "TRANSVERSE", 8: "ROTATE_90"}  # PIL.Image.Transpose that brings each EXIF orientation upright


def open_image(path: Path, what: str, size: int | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode an image file.

    Args:
        path: the file; its content decides the format, not its name.
        what: for messages, like "front image".
        size: pixels an edge that are needed; larger files are reduced to at most that or LARGEST_EDGE. None keeps all.
    Returns:
        rgb: (H, W, 3) uint8 sRGB, upright; alpha: (H, W) uint8, or None if it has none that says anything.
    Raises:
        UserError: it cannot be decoded, has too many pixels or too few, or is HEIC and pillow-heif is not installed.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, refused at twice as many pixels, and of damaged notes in TIFF
            pixels = _decode(path, size)
    except Image.DecompressionBombError:
        raise UserError(f"{path}: the {what} has more than {2 * Image.MAX_IMAGE_PIXELS // 10**6} megapixels; "
                        "make it smaller (2000 pixels an edge are plenty)") from None
    except FileNotFoundError:
        why = f"a link to {os.readlink(path)} that leads nowhere" if os.path.islink(path) else "no such file"
        raise UserError(f"{path}: the {what} cannot be read ({why})") from None
    except Exception as error:  # Pillow's decoders raise whatever their parsing meets
        if _is_heif(path):
            raise UserError(f"{path}: the {what} is HEIC{_heif_advice(error)}") from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = error.strerror if isinstance(error, OSError) and error.strerror else reason
        reason = "no image in it" if isinstance(error, Image.UnidentifiedImageError) else reason
        raise UserError(f"{path}: the {what} cannot be read ({reason}); save it again as PNG or JPEG") from None
    if min(pixels.shape[:2]) < SMALLEST_EDGE:
        raise UserError(f"{path}: the {what} is too small ({pixels.shape[1]} x {pixels.shape[0]} pixels)")
    # Many tools write an alpha that is opaque everywhere: it says nothing about the object.
    says_something = pixels.shape[2] == 4 and pixels[..., 3].min() < OPAQUE_FROM
    return pixels[..., :3], pixels[..., 3] if says_something else None


def _decode(path, size):
    """An image file's first frame turned upright: (H, W, 3 or 4) uint8 sRGB."""
    from PIL import Image

    if _is_heif(path):
        import pillow_heif

        pillow_heif.register_heif_opener()
    most = None if size is None else (max(LARGEST_EDGE, size),) * 2
    with open_with_pillow(path) as image:
        turn, profile = _turn_of(image), image.info.get("icc_profile")
        gamma = image.info.get("gamma") if "srgb" not in image.info else None
        if most:
            image.draft(image.mode, most)  # JPEG: decoded at 1/2, 1/4 or 1/8
        if image.mode == "F" or image.mode.startswith("I"):  # floats and 16 bits, which Pillow would clip rather than scale
            gray = np.nan_to_num(np.asarray(image, np.float32)) / (1 if image.mode == "F" else 65535)
            image = Image.fromarray(np.round(gray.clip(0, 1) * 255).astype(np.uint8))
        alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
        image = _to_srgb(image, profile, gamma, alpha)
        if most:
            image.thumbnail(most)
        return np.asarray(image.transpose(Image.Transpose[turn]) if turn else image)


def _turn_of(image):
    """Name of the PIL.Image.Transpose that brings an image upright; None where its EXIF is damaged or says nothing."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # a note beside the pixels, which are as good without
        return None


def _to_srgb(image, profile, gamma, alpha):
    """A PIL image as RGB or RGBA in sRGB; a damaged profile, or one of another kind of image, is passed over.

    `gamma` is what a PNG without a profile says of its values: light to that power (PNG, 11.3.2.2), or None.
    """
    from PIL import ImageCms

    mode = "RGBA" if alpha else "RGB"
    if not profile:
        image = image.convert(mode)
        if gamma and 0.1 <= gamma <= 2 and abs(gamma - SRGB_GAMMA) > 0.01:
            levels = [round(255 * (value / 255) ** (SRGB_GAMMA / gamma)) for value in range(256)]
            image = image.point(levels * 3 + list(range(256)) * alpha)
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image.convert(mode)
        colors = image if image.mode in ("L", "CMYK", "LAB") else image.convert("RGB")
        converted = ImageCms.profileToProfile(colors, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert(mode)
    if alpha:
        converted.putalpha(image.convert("RGBA").getchannel("A"))
    return converted


def _is_heif(path):
    """Whether a file is HEIF with HEVC inside, whatever its name: AVIF has other brands, and Pillow reads it."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError:
        return False
    return head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS and b"avif" not in head


def _heif_advice(error):
    if isinstance(error, ImportError):
        return ": pip install pillow-heif lets it be read, or save it as JPEG"
    return " and cannot be read; save it as JPEG"


def half_field(path: Path) -> float | None:
    """Half the field of view across the longer edge of an image, as a tangent, from EXIF.

    FocalLengthIn35mmFilm compares diagonals: a full-frame image of that focal length has the same field across its
    diagonal. Padded to a square, an image spans twice this tangent at unit distance.

    Args:
        path: image file.
    Returns:
        float > 0; None where EXIF holds no such length, or the image's proportions are not those that the camera
        recorded, for it was cropped since.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_with_pillow(path) as image:
                width, height = image.size
                tags = image.getexif().get_ifd(EXIF_IFD)
        focal = float(tags.get(FOCAL_LENGTH_35MM) or 0)
        recorded = [float(tags.get(tag) or 0) for tag in (EXIF_WIDTH, EXIF_HEIGHT)]
    except Exception:  # a damaged file is named by whoever decodes it, and damaged EXIF is as good as none
        return None
    longer, shorter = max(width, height), min(width, height)
    if not focal > 0:
        return None
    if min(recorded) > 0 and abs(max(recorded) / min(recorded) * shorter / longer - 1) > SAME_ASPECT:
        return None
    return HALF_DIAGONAL_35MM / focal * longer / math.hypot(longer, shorter)
