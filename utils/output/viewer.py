"""One HTML file that shows a result: the mesh to turn, beside the pictures it was made from with their outlines.

It opens by a double click, without a network: everything is in the file, and what draws it is WebGL as every browser has
it (viewer.html), no library.
"""
import base64
import html
import io
import json
from pathlib import Path

import numpy as np

from config import VIEW_NAMES
from utils.io.files import atomic_write
from utils.mesh.mesh_io import unit_normals
from utils.mesh.texture_file import TEXTURE_FORMATS, texture_bytes
from utils.mesh.textured_mesh import TexturedMesh
from utils.output.report import facts, legend, view_words
from utils.rendering.cameras import VIEW_ANGLES_DEG, camera_basis

TEMPLATE = Path(__file__).with_name("viewer.html")
START_DEG = (40, 25)  # azimuth and elevation from which the page first shows the mesh, as the preview does
LARGEST_TEXTURE = 2048  # texels per edge; larger ones are shown smaller, so that the page stays a few megabytes
PICTURE_QUALITY = 85  # of the JPEGs of the views


def write_viewer(path: str | Path, mesh: TexturedMesh, tiles: list, report: dict) -> None:
    """Write the page of one result.

    Args:
        path: .html file.
        mesh: utils.mesh.textured_mesh.TexturedMesh.
        tiles: six (H, W, 3) uint8 arrays in VIEW_NAMES order, the views with their outlines drawn (utils.views.mask_sheet).
        report: of `utils.output.report.object_report`.
    """
    views = [{"name": name, "azimuth": VIEW_ANGLES_DEG[name][0], "elevation": VIEW_ANGLES_DEG[name][1],
              "picture": _data_url(_jpeg(tile), "image/jpeg"), "words": view_words(report, name)}
             for name, tile in zip(VIEW_NAMES, tiles)]
    sideways = np.asarray(mesh.vertices) @ camera_basis(*START_DEG)[:2].T
    content = {"azimuth": START_DEG[0], "elevation": START_DEG[1], "half": 1.3 * float(np.abs(sideways).max()),
               "title": report["id"], "views": views, "facts": facts(report), "legend": legend(report),
               "notes": report["notes"], "mesh": _mesh_data(mesh)}
    # No "<" inside the data: nothing in a name or note can end the script element
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    page = TEMPLATE.read_text(encoding="utf-8").replace("__TITLE__", html.escape(report["id"])).replace("__DATA__", text)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")  # names may be no text


def _mesh_data(mesh):
    """Vertices, normals and texture coordinates as small integers in base64, as WebGL takes them."""
    from PIL import Image

    pairs, index = np.unique(np.stack([np.ravel(mesh.faces), np.ravel(mesh.face_uvs)], axis=1), axis=0, return_inverse=True)
    positions = np.asarray(mesh.vertices, np.float64)[pairs[:, 0]]
    extent = float(np.abs(positions).max())
    normals = unit_normals(mesh.vertices, mesh.faces)[pairs[:, 0]]
    uvs = np.asarray(mesh.uvs, np.float64)[pairs[:, 1]] * [1, -1] + [0, 1]  # rows of an image count from its top
    texture = mesh.texture
    if max(texture.shape[:2]) > LARGEST_TEXTURE:
        texture = np.asarray(Image.fromarray(texture).resize((LARGEST_TEXTURE,) * 2, Image.Resampling.BOX))
    return {"count": len(pairs), "extent": extent,
            "position": _base64(np.round(positions / extent * 32767).astype("<i2")),
            "normal": _base64(np.round(normals * 127).astype("i1")),
            "uv": _base64(np.round(uvs.clip(0, 1) * 65535).astype("<u2")),
            "index": _base64(index.ravel().astype("<u2" if len(pairs) <= 65535 else "<u4")),
            "texture": _data_url(texture_bytes(texture, "jpg"), TEXTURE_FORMATS["jpg"])}


def _jpeg(image):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=PICTURE_QUALITY, optimize=True)
    return file.getvalue()


def _base64(array):
    return base64.b64encode(array.tobytes()).decode()


def _data_url(content, kind):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
