"""OBJ and MTL in the spellings of the programs that write them, all of one square with one picture."""
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import trimesh
from PIL import Image

from config import UserError
from tests.mesh.written_files import FOUR, MTL, OBJ, QUARTERS, area, corner_looks, png
from utils.mesh.mesh_io import mesh_dependencies, names_outside, read_mesh
from utils.mesh.obj_reader import parse_obj

LIBRARY = "mtllib toy.mtl\n"
SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


@pytest.fixture
def read(tmp_path):
    """Function: texts or bytes of toy.obj and toy.mtl and names of pictures -> what `read_mesh` returns."""
    def read_obj(obj, mtl=MTL, pictures=("skin.png",), mtl_name="toy.mtl"):
        for name, content in (("toy.obj", obj), (mtl_name, mtl), *((name, png()) for name in pictures)):
            if content is not None:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_mesh(tmp_path / "toy.obj")
    return read_obj


def textured(result):
    mesh, notes = result
    return corner_looks(mesh) == FOUR and len(mesh.faces) == 2 and notes == []


# Lines


@pytest.mark.parametrize("change", [
    lambda text: text.replace(" ", "\t"),
    lambda text: text.replace(" ", " \t  ").replace("\n", " \t\n"),
    lambda text: "".join("  \t" + line + "\n" for line in text.split("\n")),
    lambda text: "".join(line + " # why\n" if line else "\n" for line in text.split("\n")),
    lambda text: "".join(line + "#why\n" if line[:1] in ("v", "f") else line + "\n" for line in text.split("\n")),
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", "\r"),
    lambda text: "\ufeff" + text,
    lambda text: text.replace("f 1/1 ", "f 1/1 \\\n  "),
    lambda text: text.replace("v 1 1 0", "v 1 \\\r\n1\\\n 0"),
    lambda text: text.replace("f 1/1 2", "# C:\\models\\\nf 1/1 2"),  # a comment that ends in a backslash goes on nowhere
    lambda text: text.replace("3/3\n", "3/3/1\n").replace("v 0 0 0", "vn 0 0 1\nv 0 0 0"),
    lambda text: text.replace("f 1/1 2/2 3/3", "f -4/-4 -3/-3 -2/-2"),
    lambda text: text.replace("\nf ", "\no part\ng left right\ns 1\nl 1 2\np 1\nf ", 1),
    lambda text: text.replace("v 0 0 0", "v 0 0 0 1.0").replace("vt 0 0", "vt 0 0 0"),
    lambda text: text.replace("v 1 0 0", "v 1.0e+00 -0.0 0.").replace("vt 1 0", "vt 1.000000 0.000000e-5"),
    lambda text: text.rstrip("\n"),
    lambda text: text.replace("f ", "\nf ").replace("v ", "\n\nv "),
    lambda text: "\n".join(line for line in text.split("\n") if line[:1] == "f")
                 .join(["", "\n"]).replace("f", "usemtl skin\nf", 1) + text.replace("f ", "# "),
], ids=["tabs", "mixed", "indented", "comments", "tight-comments", "crlf", "cr", "bom", "continued", "continued-twice",
        "comment-backslash", "normals", "negative", "groups", "fourth-value", "numbers", "no-last-newline", "blank-lines",
        "faces-first"])
def test_spellings_of_the_lines(read, change):
    obj = change(LIBRARY + OBJ)
    obj = LIBRARY + obj if "mtllib" not in obj else obj
    assert textured(read(obj))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp1252"])
def test_encodings_of_obj_and_mtl(read, encoding):
    obj, mtl = LIBRARY + "# Größe\n" + OBJ.replace("skin", "häutchen"), MTL.replace("skin", "häutchen")
    assert textured(read(obj.encode(encoding), mtl.encode(encoding), ["häutchen.png"]))


@pytest.mark.parametrize("text, words", [
    ("v 0 0\nf 1 1 1\n", "line 1 (v 0 0): a vertex has three coordinates"),
    ("v 0 0 zero\n", "line 1 (v 0 0 zero): not a number"),
    ("v 0,5 1,5 0\n", "line 1 (v 0,5 1,5 0): not a number"),
    (SQUARE + "f 1 2 x\n", "line 5 (f 1 2 x): not a number"),
    (SQUARE + "f 1 2 0\n", "line 5 (f 1 2 0): indices count from 1"),
    (SQUARE + "\n\nf 1 2 5\n", "line 7: a face names a vertex that does not exist"),
    (SQUARE + "f 1 2 -5\n", "line 5: a face names a vertex that does not exist"),
    (SQUARE + "f 1 2 99999999999999999999999\n", "line 5 (f 1 2 99999999999999999999999): a number is too large"),
    (SQUARE + "f 1 2\n", "has no faces"),
    (SQUARE, "has no faces"),
    ("v nan 0 0\n" + SQUARE + "f 1 2 3\n", "not finite"),
    ("v 1.#QNAN -1.#IND 0\n" + SQUARE + "f 1 2 3\n", "not finite"),
    ("v 1e99 0 0\n" + SQUARE + "f 1 2 3\n", "beyond 1e+60"),
], ids=range(13))
def test_lines_that_make_no_sense_are_named(read, text, words):
    with pytest.raises(UserError) as error:
        read(text)
    assert words in str(error.value) and "toy.obj" in str(error.value) and "\n" not in str(error.value)


def test_a_concave_face_keeps_its_notch(read):
    """An L-shaped prism whose two ends are one face of six corners each: 2 * 0.81 + 6 * 0.5 by hand."""
    outline = [(0, 0), (2, 0), (2, 0.3), (0.3, 0.3), (0.3, 1), (0, 1)]
    text = "".join(f"v {x} {y} {z}\n" for z in (0, 0.5) for x, y in outline) + "f 6 5 4 3 2 1\nf 7 8 9 10 11 12\n"
    text += "".join(f"f {i} {i % 6 + 1} {i % 6 + 7} {i + 6}\n" for i in range(1, 7))
    mesh, _ = read(text)
    assert area(mesh) == pytest.approx(4.62) and len(mesh.faces) == 20
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert solid.is_watertight and solid.volume == pytest.approx(0.81 * 0.5)


# Which material


@pytest.mark.parametrize("obj, mtl", [
    (LIBRARY + OBJ.replace("usemtl skin", "usemtl skin # the upper"), MTL),
    (LIBRARY + OBJ.replace("usemtl skin", "usemtl \"skin\""), MTL),
    (LIBRARY + OBJ.replace("usemtl skin", "usemtl\tskin\t"), MTL.replace("newmtl skin", "newmtl\tskin ")),
    (LIBRARY + OBJ.replace("usemtl skin", "usemtl Skin"), MTL),
    (LIBRARY + OBJ.replace("usemtl skin", "usemtl my  skin"), MTL.replace("newmtl skin", "newmtl my skin")),
    (LIBRARY + OBJ, MTL.replace("newmtl skin", "newmtl skin # the upper")),
    (LIBRARY + OBJ.replace("usemtl skin", "usemtl mat #1"), MTL.replace("newmtl skin", "newmtl mat #1") + "newmtl mat\n"),
    (LIBRARY + OBJ.replace("usemtl skin\n", ""), MTL),
    (OBJ + LIBRARY, MTL),
    (LIBRARY + OBJ, "  newmtl skin\n\tKd 0 0 0 # dark\n\tmap_Kd skin.png\n"),
    (LIBRARY + OBJ, MTL.replace("map_Kd", "MAP_KD")),
    (LIBRARY + OBJ, MTL + "newmtl other\nKd 1 0 0\nmap_Bump bump.png\n"),
], ids=["comment", "quotes", "tabs", "case", "spaces", "newmtl-comment", "hash-in-name", "no-usemtl", "library-last",
        "indented", "upper-case", "two"])
def test_which_material_a_face_has(read, obj, mtl):
    assert textured(read(obj, mtl))


def test_without_usemtl_several_materials_are_a_warning(read):
    mesh, notes = read(LIBRARY + OBJ.replace("usemtl skin\n", ""), MTL + "newmtl other\nKd 1 0 0\n")
    assert corner_looks(mesh) == ["gray"] * 4 and len(notes) == 1 and "usemtl" in notes[0]


def test_without_usemtl_and_without_coordinates_a_texture_is_passed_over(read):
    assert read(LIBRARY + SQUARE + "f 1 2 3 4\n")[1] == []
    assert corner_looks(read(LIBRARY + SQUARE + "f 1 2 3 4\n", "newmtl leaf\nKd 0 1 0\n")[0]) == ["green"] * 4


def test_an_undefined_material_is_a_warning_that_names_it(read):
    mesh, notes = read(LIBRARY + OBJ.replace("usemtl skin", "usemtl upper"), MTL + "newmtl other\n")
    assert corner_looks(mesh) == ["gray"] * 4 and len(notes) == 1 and "upper is not defined in toy.mtl" in notes[0]


@pytest.mark.parametrize("mtl, notes", [("newmtl skin\nKd nan 0 0\n", 1), ("newmtl skin\nKd inf\n", 1),
                                        (MTL + "Kd nan 0 0\n", 0)])
def test_a_color_that_is_no_number_is_a_warning_unless_a_texture_covers_it(read, mtl, notes):
    mesh, said = read(LIBRARY + OBJ, mtl)
    assert len(said) == notes and all("the color of its material skin is not a number; gray" in note for note in said)
    assert corner_looks(mesh) == (FOUR if not notes else ["gray"] * 4)


# Where the MTL is


@pytest.mark.parametrize("line, name", [
    ("mtllib toy.mtl # made by hand", "toy.mtl"), ('mtllib "toy.mtl"', "toy.mtl"), ("mtllib\ttoy.mtl\t", "toy.mtl"),
    ("mtllib mats\\toy.mtl", "mats/toy.mtl"), ("mtllib ./mats/toy.mtl", "mats/toy.mtl"), ("mtllib Toy.MTL", "toy.mtl"),
    ("mtllib my toy.mtl", "my toy.mtl"), ("mtllib \"my toy.mtl\" # x", "my toy.mtl"), ("mtllib #1.mtl", "#1.mtl"),
    ("mtllib C:\\Users\\ann\\toy.mtl", "toy.mtl"), ("mtllib /home/ann/toy.mtl", "toy.mtl"),
    ("mtllib toy.mtl toy.mtl", "toy.mtl"),
    ("mtllib mats/../toy.mtl", "toy.mtl"),
])
def test_where_the_mtl_is(read, tmp_path, line, name):
    (tmp_path / "mats").mkdir()
    picture = "mats/skin.png" if name.startswith("mats") else "skin.png"
    assert textured(read(line + "\n" + OBJ, pictures=[picture], mtl_name=name))
    assert mesh_dependencies(tmp_path / "toy.obj") == [tmp_path / "toy.obj", tmp_path / name, tmp_path / picture]


@pytest.mark.parametrize("line, words", [
    ("mtllib gone.mtl", "gone.mtl is missing"), ("mtllib gone.mtl # by hand", "gone.mtl is missing"),
    ("mtllib my gone.mtl", "my gone.mtl is missing"), ("mtllib C:\\a\\gone.mtl", "gone.mtl is missing")])
def test_a_missing_mtl_is_one_warning(read, line, words):
    _, notes = read(line + "\n" + OBJ, mtl=None)
    assert len(notes) == 1 and words in notes[0]


def test_an_mtl_of_the_obj_s_own_name_is_used_where_none_is_named_or_the_named_one_is_gone(read, tmp_path):
    assert textured(read(OBJ))
    assert mesh_dependencies(tmp_path / "toy.obj") == [tmp_path / name for name in ("toy.obj", "toy.mtl", "skin.png")]
    mesh, notes = read("mtllib before.mtl\n" + OBJ)
    assert corner_looks(mesh) == FOUR and len(notes) == 1 and "before.mtl is missing; toy.mtl is used" in notes[0]
    assert corner_looks(read(OBJ.replace("usemtl skin\n", ""))[0]) == ["gray"] * 4, "nothing speaks of a material"


# Where the picture is


@pytest.mark.parametrize("line, name", [
    ("map_Kd\tskin.png", "skin.png"), ("map_Kd skin.png # albedo", "skin.png"), ('map_Kd "skin.png"', "skin.png"),
    ("map_Kd 'my skin.png'", "my skin.png"), ("map_Kd Skin.PNG", "skin.png"), ("map_Kd  skin.png  ", "skin.png"),
    ("map_Kd -bm 1.0 my skin.png", "my skin.png"), ("map_Kd -s 1 1 1 -o 0 0 0 my skin.png", "my skin.png"),
    ("map_Kd -blendu on -blendv off -mm 0 1 -texres 64 -clamp on skin.png", "skin.png"),
    ("map_Kd -s 1 skin.png", "skin.png"),
    ("map_Kd skin.png -s 1 1 1 -clamp on", "skin.png"), ("map_Kd -skin.png", "-skin.png"),
    ("map_Kd skin#2.png", "skin#2.png"),
    ("map_Kd skin #2.png", "skin #2.png"), ("map_Kd 3 skin.png", "3 skin.png"), ("map_Kd -s 1 1 1 3.png", "3.png"),
    ("map_Kd C:\\Users\\ann\\My Models\\skin.png", "skin.png"), ("map_Kd /home/ann/skin.png", "skin.png"),
    ("map_Kd \\\\server\\share\\skin.png", "skin.png"), ("map_Kd D:/x/skin.png", "textures/skin.png"),
    ("map_Kd file:///home/ann/skin.png", "skin.png"),
    ("map_Kd tex\\skin.png", "tex/skin.png"), ("map_Kd ./Tex/skin.png", "tex/skin.png"), ("map_Kd tex/../skin.png", "skin.png"),
    ("map_Kd lost\\folder\\skin.png", "skin.png"), ("map_Kd \\\n skin.png", "skin.png"),
])
def test_where_the_picture_is(read, tmp_path, line, name):
    (tmp_path / "tex").mkdir()
    assert textured(read(LIBRARY + OBJ, f"newmtl skin\n{line}\nillum 1\n", [name]))
    assert mesh_dependencies(tmp_path / "toy.obj")[2:] == [tmp_path / name]


@pytest.mark.parametrize("options, looks", [
    ("-s 0.5 0.5 1 -o 0 0 0", ["blue"] * 4),  # the lower left quarter
    ("-o 0.5 0.5 0 -s 0.5 0.5 1", ["green"] * 4),
    ("-s 1 -1 1 -o 0 1", ["blue", "white", "red", "green"]),
    ("-o 0.5", ["green", "red", "white", "blue"]),
    ("-o 11e999 nan -s 1e300 1e30", FOUR),  # broken numbers, with nothing to cut out of the mesh by
])
def test_options_scale_and_move_the_coordinates(read, options, looks):
    assert corner_looks(read(LIBRARY + OBJ, f"newmtl skin\nmap_Kd {options} skin.png\n")[0]) == looks
    assert corner_looks(read(LIBRARY + OBJ, f"newmtl skin\nmap_Kd skin.png {options}\n")[0]) == looks


@pytest.mark.parametrize("content, line, words", [
    (None, "map_Kd gone.png", "texture gone.png is missing"), (b"text", "map_Kd gone.png", "gone.png is not an image"),
    (None, "map_Kd C:\\a\\gone.png # x", "texture gone.png is missing"),
    (png()[:60], "map_Kd gone.png", "gone.png is not an image"),
    (b"\xabKTX 20\xbb\r\n\x1a\n", "map_Kd gone.png", "gone.png is KTX2"), (None, "map_Kd -s 1 1 1", "is missing")])
def test_a_picture_that_cannot_be_had_is_one_warning(read, tmp_path, content, line, words):
    if content:
        (tmp_path / "gone.png").write_bytes(content)
    mesh, notes = read(LIBRARY + OBJ, f"newmtl skin\nKd 0 1 0\n{line}\n")
    assert corner_looks(mesh) == ["green"] * 4 and len(notes) == 1 and words in notes[0]


def test_a_picture_of_many_pixels_is_refused_before_it_is_decoded(read, tmp_path):
    """30 000 x 30 000 in the header of a PNG of a few bytes."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(bytes(99))
    (tmp_path / "skin.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (head, body, b"IEND")))
    _, notes = read(LIBRARY + OBJ, pictures=[])
    assert "skin.png has too many pixels" in notes[0]


# Nothing else is read


def test_nothing_outside_the_folder_is_read(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    (tmp_path / "secret.mtl").write_text(MTL)
    (inside / "skin.png").write_bytes(png())
    obj = inside / "toy.obj"
    for name in ("../secret.mtl", "..\\secret.mtl", str(tmp_path / "secret.mtl"), "x/../../secret.mtl"):
        obj.write_text(f"mtllib {name}\n{OBJ}")
        mesh, notes = read_mesh(obj)
        assert corner_looks(mesh) == ["gray"] * 4 and len(notes) == 1 and "secret.mtl lies outside" in notes[0]
        assert mesh_dependencies(obj) == [obj] and len(names_outside(obj)) == 1
    obj.write_text(LIBRARY + OBJ)
    for name in ("../secret.png", "..\\secret.png", str(tmp_path / "secret.png"), "-s 1 1 1 ../secret.png"):
        (inside / "toy.mtl").write_text(f"newmtl skin\nmap_Kd {name}\n")
        mesh, notes = read_mesh(obj)
        assert mesh.textures == [] and len(notes) == 1 and "secret.png lies outside" in notes[0]
        assert mesh_dependencies(obj) == [obj, inside / "toy.mtl"] and "secret.png" in names_outside(obj)[0]
    (inside / "toy.mtl").write_text("newmtl skin\nmap_Kd link.png\n")
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    assert "outside" in read_mesh(obj)[1][0]


def test_a_linked_mesh_finds_what_lies_beside_the_file_or_the_link(tmp_path):
    store, farm = tmp_path / "store", tmp_path / "farm"
    store.mkdir()
    farm.mkdir()
    for name, content in (("toy.obj", (LIBRARY + OBJ).encode()), ("toy.mtl", MTL.encode()), ("skin.png", png())):
        (store / name).write_bytes(content)
        (farm / name).symlink_to(store / name)
    assert textured(read_mesh(farm / "toy.obj"))
    (farm / "toy.obj").unlink()
    (farm / "toy.obj").symlink_to(tmp_path / "gone.obj")
    with pytest.raises(UserError, match="toy.obj: cannot be read"):
        read_mesh(farm / "toy.obj")


# Colors


@pytest.mark.parametrize("scale", [1, 255, 65535])
@pytest.mark.parametrize("extra", ["", " 1"], ids=["rgb", "rgba"])
def test_vertex_colors_of_every_scale(read, scale, extra):
    colors = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.2, 0.4, 0.6)]
    lines = [f"v {x} {y} 0 " + " ".join(f"{value * scale:g}" for value in color) + extra
             for (x, y), color in zip([(0, 0), (1, 0), (1, 1), (0, 1)], colors)]
    mesh, notes = read("\n".join(lines) + "\nf 1 2 3 4\n")
    np.testing.assert_allclose(mesh.corner_colors[0], colors[:3], atol=1e-6)
    assert notes == [] and np.abs(mesh.corner_colors[1] - np.float32(colors[3])).max(axis=1).min() < 1e-6


def test_colors_above_1_by_rounding_stay_on_their_scale(read):
    mesh, _ = read("v 0 0 0 1.0000001 0.5 0\nv 1 0 0 1 0.5 0\nv 1 1 0 1.2 0.5 -0.1\nf 1 2 3\n")
    np.testing.assert_allclose(mesh.corner_colors[0], [[1, 0.5, 0]] * 3, atol=1e-6)


def test_colors_that_are_no_numbers_are_gray_and_counted(read):
    mesh, notes = read("v 0 0 0 nan nan nan\nv 1 0 0 1 0 0\nv 1 1 0 1 0 0\nv 0 1 0\nf 1 2 3\nf 1 3 4\n")
    np.testing.assert_allclose(mesh.corner_colors[0], [[0.4] * 3, [1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(mesh.corner_colors[1, 2], [0.4] * 3)
    assert len(notes) == 1 and "1 vertex color is not a number" in notes[0]


def test_white_on_every_vertex_does_not_hide_the_material(read):
    """Some exporters write 1 1 1 behind every vertex."""
    text = LIBRARY + "".join(line + " 1 1 1\n" for line in SQUARE.split("\n")[:4]) + "usemtl skin\nf 1 2 3 4\n"
    assert corner_looks(read(text, "newmtl skin\nKd 0 1 0\n")[0]) == ["green"] * 4


@pytest.mark.parametrize("line, color", [("Kd 0 1 0", "green"), ("Kd\t0 255 0", "green"), ("kd 0.0 1.0 0.0 # leaf", "green"),
                                         ("Kd 1", "white"), ("Kd spectral x.rfl", "gray"), ("Ks 1 0 0", "gray")])
def test_plain_colors(read, line, color):
    assert corner_looks(read(LIBRARY + SQUARE + "usemtl skin\nf 1 2 3 4\n", f"newmtl skin\n{line}\n")[0]) == [color] * 4


@pytest.mark.parametrize("face", ["f 1 3 4", "f 1/1 3/9 4/4", "f 1/1 3 4/4", "f 1//1 3//1 4//1", "f 1/5 3/3 4/4"])
def test_a_face_without_coordinates_leaves_the_others_their_texture(read, face):
    obj = LIBRARY + OBJ.replace("f 1/1 3/3 4/4", face).replace("usemtl", "vt nan 0\nusemtl")
    mesh, notes = read(obj, MTL.replace("map_Kd", "Kd 0 1 0\nmap_Kd"))
    assert corner_looks(mesh) == ["green", "green", "blue", "white"]
    assert len(notes) == 1 and "faces of skin without texture coordinates stay without texture (1 of 2)" in notes[0]


def test_a_mask_cuts_its_faces(read, tmp_path):
    """map_d shows the left half; what it hides is no surface."""
    mask = np.zeros((32, 32), np.uint8)
    mask[:, :16] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    mesh, notes = read(LIBRARY + OBJ, MTL + "map_d mask.png\n")
    assert area(mesh) == pytest.approx(0.5, rel=0.02) and mesh.vertices[mesh.faces][..., 0].max() < 0.52 and notes == []
    assert tmp_path / "mask.png" in mesh_dependencies(tmp_path / "toy.obj")
    np.testing.assert_array_equal(mesh.textures[0][:, :16], QUARTERS[:, :16])


# Second opinion and size


def test_trimesh_reads_the_same_from_a_plain_file(tmp_path):
    solid = trimesh.creation.icosphere(3)
    solid.apply_scale([1, 2, 3])
    solid.export(tmp_path / "ball.obj")
    mesh, _ = read_mesh(tmp_path / "ball.obj")
    other = trimesh.load(tmp_path / "ball.obj", process=False)
    np.testing.assert_array_equal(mesh.vertices[mesh.faces], other.triangles)


def test_indices_take_few_bytes():
    """Numbers are kept as numbers while the lines are read: a face as a list of Python's takes ten times as much."""
    text = SQUARE + "f 1/1 2/2 3/3\n" * 20_000
    lines = text.count("\n") * 100  # the lines themselves, as strings
    tracemalloc.start()
    parsed = parse_obj(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(parsed.sizes) == 20_000 and peak < lines + 20_000 * 9 * 8 * 3
