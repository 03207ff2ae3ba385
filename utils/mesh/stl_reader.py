"""STL, binary and text. It has no colors, and each triangle has its own three vertices."""
import re
from pathlib import Path

import numpy as np

from utils.mesh.mesh import Mesh, plain_mesh
from utils.mesh.referenced_files import decode_text

HEADER = 84  # bytes: 80 of any content, then the number of triangles
TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
NUMBER = r"[-+\w.#]+"


def read_stl(path: Path, content: bytes) -> tuple[Mesh, list[str]]:
    """Read an STL; arguments, returns and errors as of `obj_reader.read_obj`."""
    count = int.from_bytes(content[80:84], "little")
    if len(content) >= HEADER and len(content) == HEADER + count * TRIANGLE.itemsize:
        return _binary(content, count), []
    head = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"solid") and b"facet" in content[:4096].lower() or content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _text(decode_text(content))
    if len(content) < HEADER:
        raise ValueError("it ends early: a binary STL has a header of 84 bytes")
    there = (len(content) - HEADER) // TRIANGLE.itemsize
    if count > there:
        raise ValueError(f"it ends early: its header says more triangles ({count}) than are there ({there})")
    return _binary(content, count), []


def _binary(content: bytes, count: int) -> Mesh:
    corners = np.frombuffer(content, TRIANGLE, count, HEADER)["corners"].reshape(-1, 3)
    return plain_mesh(corners, np.arange(len(corners)).reshape(-1, 3))


def _text(text: str) -> tuple[Mesh, list[str]]:
    lines = re.findall(rf"\bvertex\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})", text, re.IGNORECASE)
    facets = len(re.findall(r"\bfacet\s+normal\b", text, re.IGNORECASE))
    if len(lines) % 3 or facets > len(lines) // 3:
        raise ValueError(f"it ends early: more facets begin ({facets}) than are whole ({len(lines) // 3})")
    ended = re.search(r"\bendsolid\b", text, re.IGNORECASE)
    try:
        corners = np.array([[float(value) for value in line] for line in lines]).reshape(-1, 3)
    except ValueError:
        raise ValueError("a vertex is not three numbers" + ": it ends early" * (not ended)) from None
    notes = [] if ended else ["it has no endsolid line: it may be cut short"]
    return plain_mesh(corners, np.arange(len(corners)).reshape(-1, 3)), notes
