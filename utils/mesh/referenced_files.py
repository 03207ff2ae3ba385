"""Files that a mesh file names: its text decoded, its textures found and decoded, whatever program wrote the names.

Nothing outside the folder of the mesh is read: a mesh from a stranger must not bring other files of this computer into
a data set. A name that leads elsewhere, as absolute paths do, still finds a file of that name beside the mesh.
"""
import codecs
import io
import os
import re
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from utils.io.image_formats import open_with_pillow
from utils.mesh.transparency import fill_hidden

BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
                    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
ELSEWHERE = re.compile(r"(?:[A-Za-z]:)?/|file:", re.IGNORECASE)  # how an absolute path begins, backslashes turned
TEXTURE_FOLDERS = ("textures", "texture", "images", "maps", "materials")  # where downloads keep what paths have lost
MOST_TEXELS = 2**29  # of all textures of one mesh: 1.5 GB in memory
MOST_TILES = 8  # copies of a texture beyond its edges that are made where it does not repeat
NEARLY = 1e-3  # of a texture's edge: coordinates that miss 0 or 1 by so little do not go beyond it
Wrapping = Literal["repeat", "edge", "symmetric"]  # the last two as np.pad has them
OUTSIDE = "lies outside its folder, where nothing is read; copy it beside the mesh"
KTX_HEAD = b"\xabKTX "


def decode_text(content: bytes) -> str:
    """A text file's content with line ends as \\n, in whatever encoding: marked, UTF-16 without a mark, UTF-8, Windows."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            text = content[len(mark):].decode(encoding, "replace")
            break
    else:
        head = content[:64]
        if len(head) > 3 and head[1::2].count(0) * 2 > len(head[1::2]) and not any(byte == 0 for byte in head[::2]):
            text = content.decode("utf-16-le", "replace")
        elif len(head) > 3 and head[::2].count(0) * 2 > len(head[::2]) and not any(byte == 0 for byte in head[1::2]):
            text = content.decode("utf-16-be", "replace")
        else:
            try:
                text = content.decode("utf-8")
            except UnicodeDecodeError:
                text = content.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def locate(mesh_path: Path, name: str, folder: Path | None = None) -> tuple[Path | None, str]:
    """The file that a mesh, or a material file of it, names.

    Args:
        mesh_path: the mesh file.
        name: as it is written there: relative or absolute, with either slash, perhaps in another case.
        folder: folder of the file that names it, tried before the mesh's own.
    Returns:
        path: Path below the mesh's folder, or None.
        problem: "" or why there is none, to follow the name: "is missing", "lies outside ...".
    """
    root = Path(os.path.abspath(mesh_path)).parent
    folders = [Path(os.path.abspath(folder))] if folder and Path(os.path.abspath(folder)) != root else []
    folders.append(root)
    parts = [part for part in name.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    if "\0" in name or not parts or parts[-1] == "..":
        return None, "is missing"
    absolute = ELSEWHERE.match(name.strip().replace("\\", "/"))
    if absolute:
        places = [(Path("/"), parts)] if name.strip().startswith("/") else []
    else:
        places = [(start, parts) for start in folders]
    places += [(start, parts[-1:]) for start in folders + [root / below for below in TEXTURE_FOLDERS]]
    outside = False
    for start, steps in places:
        path = _follow(start, steps, root)
        if path is None:
            continue
        if _is_below(path, root, mesh_path):
            return path, ""
        outside = True
    left = ".." in parts and not _stays_below(folders[0], parts, root)
    return None, OUTSIDE if outside or left else "is missing"


def _follow(start: Path, parts: list[str], root: Path) -> Path | None:
    """The file that a path leads to, names compared without case where only one fits; None if there is none."""
    path = start
    for part in parts:
        if part == "..":
            path = path.parent
        elif os.path.lexists(path / part):
            path = path / part
        else:
            if path != root and root not in path.parents:
                return None  # no folder of others is listed
            try:
                alike = [entry for entry in os.listdir(path) if _key(entry) == _key(part)]
            except OSError:
                return None
            if len(alike) != 1:
                return None
            path = path / alike[0]
    return path if os.path.isfile(path) else None


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _stays_below(start: Path, parts: list[str], root: Path) -> bool:
    end = Path(os.path.normpath(start.joinpath(*parts)))
    return root in end.parents


def _is_below(path: Path, root: Path, mesh_path: Path) -> bool:
    """Whether a file, its links followed, lies below the mesh's folder or below that of the file a linked mesh is."""
    end = Path(os.path.realpath(path))
    return any(Path(os.path.realpath(home)) in end.parents for home in (root, Path(os.path.realpath(mesh_path)).parent))


def decode_texture(content: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """An image file's pixels.

    Returns:
        rgb: (H, W, 3) uint8 sRGB; alpha: (H, W) uint8, or None if the image has none.
    Raises:
        ValueError: it cannot be decoded; the message says why, to follow the file's name.
    """
    from PIL import Image

    if content.startswith(KTX_HEAD):
        raise ValueError("is KTX2, which is not read; export it as PNG or JPEG")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_with_pillow(io.BytesIO(content)) as image:
                if image.mode.startswith("I"):  # 16 bits a channel, which Pillow would clip rather than scale
                    image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
                elif image.mode == "F":  # 1 is white
                    image = Image.fromarray(np.round(255 * np.nan_to_num(np.asarray(image)).clip(0, 1)).astype(np.uint8))
                if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
                    pixels = np.asarray(image.convert("RGBA"), np.uint8)
                    return np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3])
                return np.asarray(image.convert("RGB"), np.uint8), None
    except Image.DecompressionBombError:
        raise ValueError("has too many pixels") from None
    except Exception:  # Pillow's decoders raise whatever their parsing meets
        raise ValueError("is not an image, or a damaged one") from None


class TextureStore:
    """The textures of one mesh, each decoded once, and what could not be.

    images: list of (H, W, 3) uint8.
    alphas: list of (H, W) uint8 or None, as many.
    problems: list of str, "its texture <name> <what is wrong>".
    """

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self.alphas: list[np.ndarray | None] = []
        self.problems: list[str] = []
        self._known: dict[object, int] = {}
        self._texels = 0

    def add(self, key: object, name: str, read: Callable[[], bytes]) -> int:
        """Number of a texture in `images`, or -1 if it cannot be had, which `problems` then says once.

        Args:
            key: equal for what is the same image.
            name: for messages.
            read: gives the image file's content; raises OSError or ValueError.
        """
        if key not in self._known:
            self._known[key] = -1
            try:
                rgb, alpha = decode_texture(read())
                self._texels += rgb.shape[0] * rgb.shape[1]
                if self._texels > MOST_TEXELS:
                    raise ValueError("is one texture too many: all of them together are too large")
            except OSError as error:
                self.problems.append(f"its texture {name} cannot be read ({error.strerror})")
            except ValueError as error:
                self.problems.append(f"its texture {name} {error}")
            else:
                self._known[key] = len(self.images)
                self.images.append(rgb)
                self.alphas.append(alpha)
        return self._known[key]

    def wrap(self, number: int, uvs: np.ndarray, *modes: Wrapping) -> int:
        """Number of a texture that repeats where a given one goes on in another way beyond its edges.

        Args:
            number: of the given one.
            uvs: (V, 2) float32 of all vertices that it is laid on; changed to those of the texture returned.
            modes: for u and v "repeat", "edge" (the border pixels go on) or "symmetric" (every other one is mirrored).
        """
        low = np.floor(uvs.min(axis=0, initial=0) + NEARLY)
        high = np.ceil(uvs.max(axis=0, initial=1) - NEARLY)
        for axis, mode in enumerate(modes):
            before, after = int(-low[axis]), int(high[axis]) - 1  # tiles to add on either side
            if mode == "repeat" or not before + after:
                continue
            image, alpha = self.images[number], self.alphas[number]
            if self._texels + image.size // 3 * (1 + before + after) > MOST_TEXELS or before + after > MOST_TILES:
                self._say("a texture is laid far beyond its edges, where it repeats instead of ending")
                continue
            key, image_axis = (number, axis, before, after, mode), 1 - axis
            size = image.shape[image_axis]
            pads = [(0, 0)] * 2
            pads[image_axis] = (before * size, after * size) if axis == 0 else (after * size, before * size)
            if key not in self._known:
                self._known[key] = len(self.images)
                self.images.append(np.pad(image, [*pads, (0, 0)], mode))
                self.alphas.append(None if alpha is None else np.pad(alpha, pads, mode))
                self._texels += self.images[-1].size // 3
            number = self._known[key]
            uvs[:, axis] = (uvs[:, axis] + before) / (1 + before + after)
        return number

    def fill(self, number: int, mask: np.ndarray) -> int:
        """Number of a texture as it is where a mask (H, W) of bool shows it, and elsewhere of the nearest shown color."""
        if mask.shape != self.images[number].shape[:2] or mask.all() or not mask.any():
            return number
        key = (number, "filled", mask.tobytes())
        if key not in self._known:
            self._known[key] = len(self.images)
            self.images.append(fill_hidden(self.images[number], mask))
            self.alphas.append(self.alphas[number])
            self._texels += mask.size
        return self._known[key]

    def lacks(self, name: str, problem: str) -> int:
        """Note a texture that was not found; returns -1, the number of none."""
        self._say(f"its texture {name} {problem}")
        return -1

    def _say(self, note: str) -> None:
        if note not in self.problems:
            self.problems.append(note)
