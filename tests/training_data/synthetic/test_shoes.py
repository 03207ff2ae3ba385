"""Made-up shoes: closed, the right way round, hollow, reproducible; and their files can be continued."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from config import VIEW_NAMES, UserError
from utils.mesh.mesh import textured_mesh
from utils.mesh.mesh_io import read_mesh
from utils.training_data.synthetic.shoes import KINDS, main, make_shoe, write_shoes

SHOES = [make_shoe(seed, 64, kind) for seed, kind in enumerate(KINDS)] + [make_shoe(seed, 64) for seed in (50, 51, 52)]
EACH_SHOE = pytest.mark.parametrize("shoe", SHOES, ids=lambda shoe: shoe.kind)


def heights_above(shoe, x, z):
    """Heights at which a vertical line meets the surface, lowest first."""
    a, b, c = (shoe.vertices[shoe.faces[:, i]].astype(np.float64) for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 2] - a[:, 2]) - (c[:, 0] - a[:, 0]) * (b[:, 2] - a[:, 2])
    area = np.where(area == 0, np.nan, area)
    v = ((x - a[:, 0]) * (c[:, 2] - a[:, 2]) - (c[:, 0] - a[:, 0]) * (z - a[:, 2])) / area
    w = ((b[:, 0] - a[:, 0]) * (z - a[:, 2]) - (x - a[:, 0]) * (b[:, 2] - a[:, 2])) / area
    hit = (v >= 0) & (w >= 0) & (v + w <= 1)
    return np.sort((a[:, 1] + v * (b - a)[:, 1] + w * (c - a)[:, 1])[hit])


@EACH_SHOE
def test_a_shoe_is_one_closed_surface_that_faces_outwards(shoe):
    mesh = trimesh.Trimesh(shoe.vertices, shoe.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume > 0.05
    assert mesh.body_count == 1
    assert (mesh.area_faces > 0).all()
    assert 3000 <= len(shoe.faces) <= 6000


@EACH_SHOE
def test_a_shoe_fills_the_normalized_box(shoe):
    low, high = shoe.vertices.min(0), shoe.vertices.max(0)
    assert np.allclose(low, -high, atol=1e-6)
    assert np.isclose((high - low).max(), 2)
    assert len(np.unique(shoe.faces)) == len(shoe.vertices)


@EACH_SHOE
def test_the_toe_points_to_plus_z_and_the_sole_down(shoe):
    x, y, z = shoe.vertices.T
    share = (z - z.min()) / np.ptp(z)
    assert y[share < 0.6].max() > y[share > 0.75].max()
    # Close to the ground a shoe is as long as it gets; near its top it is not.
    assert np.ptp(z[y < y.min() + 0.3 * np.ptp(y)]) > 1.2 * np.ptp(z[y > y.max() - 0.1 * np.ptp(y)])


@EACH_SHOE
def test_the_opening_leads_down_to_the_insole(shoe):
    x, y, z = shoe.vertices.T
    middle = z.min() + 0.25 * np.ptp(z)
    near = np.abs(z - middle) < 0.05 * np.ptp(z)
    hits = heights_above(shoe, (x[near].min() + x[near].max()) / 2 + 1e-4, middle)
    assert len(hits) == 2  # the insole and the tread, no roof
    collar_above_insole = y[near].max() - hits[1]
    assert collar_above_insole > (0.03 if shoe.kind == "slide" else 0.12)
    assert hits[1] - hits[0] > 0.02  # the sole is solid


@EACH_SHOE
def test_texture_coordinates_and_image_are_usable(shoe):
    assert shoe.uvs.min() >= 0 and shoe.uvs.max() <= 1
    assert shoe.face_uvs.shape == shoe.faces.shape
    assert 0 <= shoe.face_uvs.min() and shoe.face_uvs.max() < len(shoe.uvs)
    assert shoe.texture.shape == (64, 64, 3) and shoe.texture.dtype == np.uint8
    mesh = textured_mesh(*shoe[:5])
    centers = mesh.colors_at(np.arange(len(mesh.faces)), np.full((len(mesh.faces), 3), 1 / 3))
    assert centers.std(axis=0).max() > 0.03


def test_texture_shows_no_seam_at_the_heel():
    for shoe in SHOES:
        mesh = textured_mesh(*shoe[:5])
        corner = np.argwhere(mesh.corner_uvs[..., 0] < 0.03)
        other = np.argwhere(mesh.corner_uvs[..., 0] > 0.97)
        left = {mesh.faces[tuple(at)]: at for at in corner if mesh.corner_uvs[tuple(at)][1] > 0.46}
        right = {mesh.faces[tuple(at)]: at for at in other if mesh.corner_uvs[tuple(at)][1] > 0.46}
        shared = sorted(set(left) & set(right))
        assert shared or shoe.kind == "slide"
        colors = [mesh.colors_at(np.array([side[v][0] for v in shared]), np.eye(3)[[side[v][1] for v in shared]])
                   for side in (left, right)]
        assert np.abs(colors[0] - colors[1]).mean() < 0.1


def test_the_same_seed_gives_the_same_shoe_and_another_a_different_one():
    first, again, other = make_shoe(7), make_shoe(7), make_shoe(8, kind=make_shoe(7).kind)
    assert first.kind == again.kind
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(first[:5], again[:5]))
    assert np.abs(first.vertices.max(0) - other.vertices.max(0)).max() > 1e-3
    assert (first.texture != other.texture).mean() > 0.3
    assert [a.dtype for a in first[:5]] == [np.float32, np.int64, np.float32, np.int64, np.uint8]


def test_seeds_give_every_kind_and_both_feet():
    shoes = [make_shoe(seed, 64) for seed in range(100, 160)]
    assert {shoe.kind for shoe in shoes} == set(KINDS)
    toes = [shoe.vertices[shoe.vertices[:, 2].argmax(), 0] for shoe in shoes]
    assert sum(toe > 0.01 for toe in toes) > 10 and sum(toe < -0.01 for toe in toes) > 10


def test_bad_arguments_are_user_errors():
    with pytest.raises(UserError, match="clog"):
        make_shoe(1, kind="clog")
    with pytest.raises(UserError, match="seed -1"):
        make_shoe(-1)


def test_write_shoes_makes_the_layout_and_continues_without_rewriting(tmp_path):
    assert write_shoes([3, 4], tmp_path, image_size=32, texture_size=64) == 2
    mesh, warnings = read_mesh(tmp_path / "OBJs/shoe_00003/shoe_00003.obj")
    shoe = make_shoe(3, 64)
    assert not warnings and len(mesh.faces) == len(shoe.faces)
    assert np.array_equal(mesh.textures[0], shoe.texture)
    for view in VIEW_NAMES:
        with Image.open(tmp_path / "input_images" / f"shoe_00004_{view}.png") as image:
            assert image.mode == "RGBA" and image.size == (32, 32)
            alpha = np.asarray(image)[..., 3]
            assert alpha.max() == 255 and alpha.min() == 0

    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 2 * (3 + 6)
    before = {path: path.stat().st_mtime_ns for path in files}
    missing = tmp_path / "input_images/shoe_00004_top.png"
    missing.unlink()
    assert write_shoes([3, 4], tmp_path, image_size=32, texture_size=64) == 1
    assert missing.is_file()
    kept = [path for path in files if "shoe_00003" in path.name]
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)


def test_views_only_writes_one_folder_of_six_for_each_shoe(tmp_path):
    main(["--count", "1", "--first_seed", "900001", "--output", str(tmp_path), "--image_size", "32",
          "--texture_size", "64", "--views_only"])
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert names == sorted(f"shoe_900001/{view}.png" for view in VIEW_NAMES)


@pytest.mark.parametrize("options", [["--count", "0"], ["--first_seed", "-1"], ["--image_size", "2"],
                                     ["--texture_size", "8"], ["--count", "many"], ["--shoes", "3"]])
def test_the_command_refuses_nonsense(options, tmp_path):
    with pytest.raises(UserError, match=options[0]):
        main(["--output", str(tmp_path), *options])
    assert not list(tmp_path.iterdir())


def test_the_command_answers_nonsense_in_one_line(tmp_path):
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "utils.training_data.synthetic.shoes", "--count", "-4", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["error: --count -4: must be from 1 to 1000000"]
