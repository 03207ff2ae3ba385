"""STL in both forms, whole and cut short."""
import struct

import numpy as np
import pytest
import trimesh

from config import UserError
from tests.mesh.written_files import area
from utils.mesh.mesh_io import read_mesh

BOX = trimesh.creation.box((1, 2, 3))
AREA = 2 * (1 * 2 + 2 * 3 + 3 * 1)
BINARY = trimesh.exchange.stl.export_stl(BOX)
TEXT = ("solid my box\n" + "".join(
    "  facet normal 0 0 0\n    outer loop\n" + "".join(f"      vertex {x:g} {y:g} {z:g}\n" for x, y, z in corners)
    + "    endloop\n  endfacet\n" for corners in BOX.triangles.tolist()) + "endsolid my box\n")


def read(tmp_path, content):
    (tmp_path / "toy.stl").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_mesh(tmp_path / "toy.stl")


@pytest.mark.parametrize("content", [
    BINARY, b"solid facet" + BINARY[11:], BINARY + b"made by a program\0", TEXT, TEXT.upper().replace("SOLID", "solid", 1),
    TEXT.replace("\n", "\r\n"), TEXT.replace(" ", "\t"), "\ufeff" + TEXT, TEXT.encode("utf-16"), TEXT.rstrip("\n"),
    TEXT.replace("1.5", "1.5E+00"), TEXT.replace("\n", " ").replace("solid my box", "solid my box\n", 1),
], ids=["binary", "binary-that-says-solid", "binary-with-more-behind", "text", "upper", "crlf", "tabs", "bom", "utf-16",
        "no-newline", "exponent", "one-line"])
def test_a_box_in_every_spelling(tmp_path, content):
    mesh, notes = read(tmp_path, content)
    assert area(mesh) == pytest.approx(AREA) and len(mesh.faces) == 12 and notes == []
    np.testing.assert_allclose(mesh.corner_colors, 0.4)


def test_every_cut_of_a_binary_file_is_refused(tmp_path):
    for end in range(1, len(BINARY), 7):
        with pytest.raises(UserError) as error:
            read(tmp_path, BINARY[:end])
        assert "ends early" in str(error.value) or "has no faces" in str(error.value) and end < 84
    with pytest.raises(UserError, match="header says more triangles .12. than are there .8."):
        read(tmp_path, BINARY[:-200])


def test_every_cut_of_a_text_is_refused_or_a_warning(tmp_path):
    refused = 0
    for end in range(20, len(TEXT) - 12, 31):
        try:
            mesh, notes = read(tmp_path, TEXT[:end])
            assert len(notes) == 1 and "cut short" in notes[0]
        except UserError as error:
            refused += 1
            assert "ends early" in str(error) or "has no faces" in str(error)
    assert refused > 20


@pytest.mark.parametrize("content, words", [
    (bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50), r"more triangles .4294967295. than are there .1."),
    (bytes(80) + struct.pack("<I", 0), "has no faces"), ("solid a\nendsolid a\nfacet", "has no faces"),
    (TEXT.replace("vertex 0.5", "vertex x", 1), "not three numbers"), (TEXT.replace("vertex 0.5", "vertex nan"), "not finite"),
])
def test_damaged_files_are_refused_in_words(tmp_path, content, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, content)
