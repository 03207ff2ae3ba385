"""Textures as image files: PNG exactly, JPEG nearly."""
import io

import numpy as np
import pytest
from PIL import Image

from config import UserError
from utils.mesh.mesh_io import read_mesh, write_obj
from utils.mesh.texture_file import texture_bytes

# Red and blue in columns of one texel: what halved color resolution would blur into violet
STRIPES = np.tile(np.uint8([[255, 0, 0], [0, 0, 255]]), (64, 32, 1))


def test_png_is_exact_and_jpeg_keeps_single_texels_of_color():
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(texture_bytes(STRIPES, "png")))), STRIPES)
    jpeg = Image.open(io.BytesIO(texture_bytes(STRIPES, "jpg")))
    assert jpeg.format == "JPEG" and np.abs(np.asarray(jpeg).astype(int) - STRIPES).mean() < 8
    with pytest.raises(UserError, match="webp"):
        texture_bytes(STRIPES, "webp")


def test_an_obj_names_its_jpeg_and_is_read_back_with_it(tmp_path):
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)
    face = np.array([[0, 1, 2]])
    write_obj(tmp_path / "flag.obj", corners, face, corners[:, :2], face, STRIPES, "jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flag.jpg", "flag.mtl", "flag.obj"]
    mesh, warnings = read_mesh(tmp_path / "flag.obj")
    assert warnings == [] and np.abs(mesh.textures[0].astype(int) - STRIPES).mean() < 8
