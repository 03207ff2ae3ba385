"""Generated objects: repeatable, closed, outward, normalized, of the genus their kind has, a third of them plain."""
import numpy as np
import pytest
import trimesh
from PIL import Image

import utils.training_data.synthetic.primitives
import utils.training_data.synthetic.vessels
from utils.training_data.occupancy import outer_surface, signed_distances
from utils.training_data.synthetic import shapes as shapes_module
from utils.training_data.synthetic import textures
from utils.training_data.synthetic.shapes import (
    FAMILY_WEIGHTS,
    _assembled,
    deformed,
    main,
    named_shape,
    synthetic_shape,
)
from utils.training_data.synthetic.solids import (
    ball,
    blend,
    box,
    lathe,
    loft,
    rod,
    slab,
    subdivided,
    superellipse_points,
    tube,
    vessel_profiles,
)
from utils.training_data.synthetic.textures import PATTERNS, TEXTURE_SIZE, openness, painted

SEEDS = range(40)
MORE_SEEDS = pytest.mark.parametrize("seeds", [[0], pytest.param([1, 2], marks=pytest.mark.slow)], ids=["one", "more"])


@pytest.fixture(scope="module")
def shapes():
    return [synthetic_shape(np.random.default_rng(seed)) for seed in SEEDS]


def as_solid(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def arrays(solid):
    mesh = solid.to_mesh64()
    return np.asarray(mesh.vert_properties)[:, :3], np.asarray(mesh.tri_verts).astype(np.int64)


def genus(solid):
    """Handles by Euler's number, summed over all closed surfaces."""
    mesh = trimesh.Trimesh(*arrays(solid), process=False)
    return mesh.body_count - mesh.euler_number // 2


@pytest.mark.slow
def test_equal_generators_give_equal_shapes_and_others_do_not(shapes):
    for seed in (0, 3, 5, 8, 13):
        again = synthetic_shape(np.random.default_rng(seed))
        for name in ("vertices", "faces", "corner_colors", "corner_uvs", "face_texture"):
            assert np.array_equal(getattr(shapes[seed], name), getattr(again, name)), (seed, name)
        assert all(np.array_equal(one, other) for one, other in zip(shapes[seed].textures, again.textures))
    assert len({mesh.vertices[:50].tobytes() for mesh in shapes}) == len(shapes)


def test_shapes_are_centered_with_a_longest_edge_of_two(shapes):
    for mesh in shapes:
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        assert low + high == pytest.approx(np.zeros(3), abs=1e-6)
        assert (high - low).max() == pytest.approx(2, abs=1e-6)


@MORE_SEEDS
@pytest.mark.parametrize("family", FAMILY_WEIGHTS)
def test_every_family_gives_closed_solids_that_look_outwards(family, seeds):
    for seed in seeds:
        name, mesh = named_shape(np.random.default_rng(seed), family)
        solid = as_solid(mesh)
        assert name == family
        assert solid.is_watertight and solid.is_winding_consistent and solid.volume > 0, seed
        assert len(np.unique(mesh.faces)) == len(mesh.vertices)


def test_every_family_is_drawn(monkeypatch):
    """The names alone are drawn: objects of each family are made above."""
    monkeypatch.setattr(shapes_module, "_assembled", lambda name, rng: name)
    monkeypatch.setattr(shapes_module, "_shoe", lambda rng: "shoe")
    rng = np.random.default_rng(0)
    assert {named_shape(rng)[0] for _ in range(260)} == set(FAMILY_WEIGHTS)


def test_colors_are_in_range_and_differ(shapes):
    assert all(((mesh.corner_colors >= 0) & (mesh.corner_colors <= 1)).all() for mesh in shapes)
    assert len({tuple(mesh.corner_colors[0, 0]) for mesh in shapes}) > 15


@pytest.mark.slow
def test_a_third_of_all_objects_is_plain(monkeypatch):
    """Plain: no texture, and so few hues that they are those of the parts; shade does not change a hue."""
    monkeypatch.setattr(textures, "TEXTURE_SIZE", 16)
    vertices, faces = arrays(ball(1.0, segments=8))
    part, plain = np.arange(len(faces)) % 4, 0
    for seed in range(400):
        mesh = painted(vertices, faces, part, np.random.default_rng(seed))
        sums = mesh.corner_colors.sum(axis=2, keepdims=True)
        hues = (mesh.corner_colors / np.maximum(sums, 1e-3)).reshape(-1, 3)
        plain += not mesh.textures and len(np.unique(hues.round(2), axis=0)) <= 4
    assert 0.28 < plain / 400 < 0.42


@pytest.mark.parametrize("kind, handles, expected", [("mug", 1, 1), ("bowl", 0, 0), ("pot", 2, 2), ("mug", 0, 0)])
def test_a_vessel_has_as_many_handles_as_its_genus(kind, handles, expected):
    for seed in range(6):
        parts = utils.training_data.synthetic.vessels.vessel_of(kind, np.random.default_rng(seed), handles, section="round")
        assert genus(parts[0]) == expected, seed
        solid = trimesh.Trimesh(*arrays(parts[0]), process=False)  # and is hollow down to a floor
        hits = solid.ray.intersects_location([[0.003, 5, 0.002]], [[0, -1, 0]])[0][:, 1]
        assert len(hits) == 2 and 0 < max(hits) < 0.3 and min(hits) == pytest.approx(0, abs=1e-6), seed


def test_a_vessel_holds_water():
    """Its middle is empty and its floor and walls, of given thickness, are not."""
    heights = np.linspace(0, 1, 20)
    outer, inner = vessel_profiles(np.full(20, 0.5), heights, 0.05, 0.1)
    mug = lathe(outer, 128) - lathe(inner, 128)
    assert mug.volume() == pytest.approx(np.pi * (0.5 ** 2 - 0.45 ** 2 * 0.9), rel=0.02)
    solid = trimesh.Trimesh(*arrays(mug), process=False)
    rays = solid.ray.intersects_location([[-2, 0.5, 0.01]], [[1, 0, 0]])[0][:, 0]
    assert sorted(rays) == pytest.approx([-0.5, -0.45, 0.45, 0.5], abs=2e-3)


def test_a_through_hole_adds_one_and_a_void_none():
    block = box((1, 1, 1))
    assert genus(block) == 0 and block.volume() == pytest.approx(1)
    assert genus(block - box((0.3, 3, 0.3))) == 1
    assert genus(block - box((0.3, 3, 0.3)) - box((3, 0.3, 0.3))) == 3  # two tunnels that cross: a plus of four mouths


def test_closed_cavities_are_dropped(monkeypatch):
    monkeypatch.setattr(utils.training_data.synthetic.primitives, "heap", lambda rng: [box((1, 1, 1)) - box((0.8, 0.8, 0.8))])
    monkeypatch.setattr("utils.training_data.synthetic.shapes.deformed", lambda vertices, name, rng: vertices)
    assert as_solid(_assembled("heap", np.random.default_rng(0))).volume == pytest.approx(8)


def test_an_empty_draw_is_drawn_again(monkeypatch):
    draws = iter([box((1, 1, 1)) - box((2, 2, 2)), ball(1.0)])
    monkeypatch.setattr(utils.training_data.synthetic.primitives, "heap", lambda rng: [next(draws)])
    assert as_solid(named_shape(np.random.default_rng(0), "heap")[1]).volume > 1


def test_blocks_have_the_volumes_of_their_formulas():
    angle = np.arange(96) / 96 * 2 * np.pi
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    assert ball((1, 0.5, 0.25), segments=96).volume() == pytest.approx(4 / 3 * np.pi / 8, rel=0.01)
    assert rod((0, 0, 0), (0, 3, 0), 0.5, 0.25, 96).volume() == pytest.approx(np.pi * (0.25 + 0.125 + 0.0625), rel=0.01)
    ring = tube(circle, 0.2, up=(0, 0, 1), segments=64, closed=True)
    assert ring.volume() == pytest.approx(2 * np.pi ** 2 * 0.2 ** 2, rel=0.01) and genus(ring) == 1
    assert tube(np.stack([0 * angle, angle, 0 * angle], 1), 0.3, 2.0, segments=64).volume() == pytest.approx(
        np.pi * 0.3 * 0.6 * angle[-1], rel=0.01)
    assert loft([circle, circle + [0, 0, 2]]).volume() == pytest.approx(2 * np.pi, rel=0.01)
    assert blend([((0, 0, 0), (0, 2, 0), 0.5, 0.5, (1, 1, 1))], 0.05).volume() == pytest.approx(
        np.pi * 0.25 * 2 + 4 / 3 * np.pi / 8, rel=0.02)
    u, v = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 2, 6), indexing="ij")
    front = np.stack([u, v, np.sin(u)], -1)
    assert slab(front + [0, 0, 0.1], front).volume() == pytest.approx(0.2)
    rounded = box((2, 1, 1), rounding=0.2)
    assert 2 * 0.85 < rounded.volume() < 2 and rounded.bounding_box() == pytest.approx((-1, -0.5, -0.5, 1, 0.5, 0.5))


def test_limbs_melt_only_near_each_other():
    far = blend([((0, 0, 0), (0, 0, 0), 0.3, 0.3, (1, 1, 1)), ((2, 0, 0), (2, 0, 0), 0.3, 0.3, (1, 1, 1))], 0.1, 80)
    assert len(trimesh.Trimesh(*arrays(far), process=False).split()) == 2
    near = blend([((0, 0, 0), (0, 0, 0), 0.3, 0.3, (1, 1, 1)), ((0.55, 0, 0), (0.55, 0, 0), 0.3, 0.3, (1, 1, 1))], 0.1)
    assert genus(near) == 0 and len(trimesh.Trimesh(*arrays(near), process=False).split()) == 1


def test_cut_faces_cover_the_same_surface_and_stay_unfolded():
    vertices, faces = arrays(box((2, 0.02, 1)) - rod((0, -1, 0), (0, 1, 0), 0.3, segments=48))
    before = trimesh.Trimesh(vertices, faces, process=False)
    part = (before.face_normals[:, 1] > 0.5).astype(int)
    fine, cut, parts = subdivided(vertices, faces, part, 0.1)
    after = trimesh.Trimesh(fine, cut, process=False)
    assert after.is_watertight and after.volume == pytest.approx(before.volume)
    assert after.area == pytest.approx(before.area)  # a fold would add to it
    assert after.edges_unique_length.max() <= 0.1
    assert np.array_equal(parts, (after.face_normals[:, 1] > 0.5).astype(int))


def test_a_bowl_is_darker_inside_than_outside():
    heights = np.linspace(0, 1, 20)
    outer, inner = vessel_profiles(np.full(20, 0.5), heights, 0.05, 0.1)
    mesh = trimesh.Trimesh(*arrays(lathe(outer, 64) - lathe(inner, 64)), process=False)
    blockers = trimesh.sample.sample_surface(mesh, 20_000, seed=0)[0]
    low, outside, rim = np.array([[0.3, 0.1, 0]]), np.array([[0.5, 0.5, 0]]), np.array([[0.475, 1.0, 0]])
    deep, open_, top = (openness(points, blockers)[0] for points in (low, outside, rim))
    assert deep < 0.4 and open_ == 1 and top == 1


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_colors_of_more_than_one_kind(pattern):
    spread = [np.ptp(pattern(np.random.default_rng(seed)).clip(0, 1), axis=(0, 1)).max() for seed in range(8)]
    image = pattern(np.random.default_rng(0))
    assert image.shape == (TEXTURE_SIZE, TEXTURE_SIZE, 3) and np.isfinite(image).all()
    assert np.median(spread) > 0.05


def test_deformations_are_mild():
    """No point of a ball leaves it by more than its own radius, whatever is drawn."""
    points = arrays(ball(1.0, segments=24))[0]
    for seed in range(60):
        moved = deformed(points, "vessel", np.random.default_rng(seed))
        assert np.ptp(moved, axis=0).max() < 4 and np.ptp(moved, axis=0).min() > 0.7


def test_a_superellipse_runs_from_circle_to_square():
    angle = np.array([0, np.pi / 4])
    assert np.linalg.norm(superellipse_points(angle, 2), axis=1) == pytest.approx([1, 1])
    assert np.linalg.norm(superellipse_points(angle, 40), axis=1) == pytest.approx([1, np.sqrt(2)], rel=0.03)


@MORE_SEEDS
@pytest.mark.parametrize("family", ["vessel", *(
    pytest.param(name, marks=pytest.mark.slow) for name in ("chair", "figure", "packet"))])
def test_labels_agree_with_a_count_of_crossings(family, seeds):
    """Deep in a cavity whose mouth no direction meets, labels may say solid: then only one way is asked for."""
    pytest.importorskip("embreex")
    for seed in seeds:
        rng = np.random.default_rng(seed)
        mesh = named_shape(rng, family)[1]
        solid = as_solid(mesh)
        points = rng.uniform(-1, 1, (1500, 3)) * solid.extents / 2
        inside = solid.contains(points)
        found = signed_distances(points, outer_surface(mesh, 20_000, rng))
        sure = np.abs(found) > 0.01
        assert (found[inside & sure] > 0).mean() > 0.97, seed
        assert ((found > 0) == inside)[sure].mean() > 0.9, seed


def test_the_command_draws_a_sheet(tmp_path, capsys):
    main(["--count", "3", "--first_seed", "5", "--family", "packet", "--sheet", str(tmp_path / "sheet.png")])
    image = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert image.std() > 20
    assert "packet" in capsys.readouterr().out
