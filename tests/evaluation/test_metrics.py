"""Scores against solids whose distances, areas and colors are known without the code."""
import sys
import types

import numpy as np
import pytest
import trimesh

from utils.evaluation import metrics
from utils.evaluation.metrics import (
    DIRECTIONS,
    EQUAL_PSNR,
    depth_maps,
    evaluate_mesh,
    evaluation_renders,
    image_scores,
    is_visible,
    lpips_distance,
    make_ground_truth,
    oblique_scale,
    psnr,
    surface_scores,
    visible_samples,
)
from utils.mesh.mesh import Mesh, normalize, plain_mesh, sample_surface, textured_mesh
from utils.mesh.mesh_io import read_mesh
from utils.training_data.synthetic.shoes import make_shoe


@pytest.fixture(scope="module", autouse=True)
def coarse_depths():
    """What the tables' depth maps tell of scans, maps of half their edge tell of spheres and boxes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "DEPTH_SIZE", metrics.DEPTH_SIZE // 2)
        yield


def sphere(radius=1.0, color=(0.4, 0.4, 0.4), subdivisions=3):
    solid = trimesh.creation.icosphere(subdivisions, radius)
    return plain_mesh(solid.vertices, solid.faces, color)


def box(extents=(1.2, 0.8, 2.0)):
    solid = trimesh.creation.box(extents)
    return plain_mesh(solid.vertices, solid.faces)


def together(*meshes):
    """Several meshes without textures as one."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]),
                np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)]),
                *(np.concatenate([getattr(mesh, name) for mesh in meshes])
                  for name in ("corner_colors", "corner_uvs", "face_texture")))


def scores(prediction, reference, count=5000):
    return surface_scores(visible_samples(prediction, count, 1), visible_samples(reference, count, 2))


# ---- Surfaces


def test_a_surface_against_itself_gives_the_floor():
    for mesh in (sphere(), box()):
        found = scores(mesh, mesh, 10000)
        assert found["f_0.1"] == 1 and found["f_0.04"] > 0.98 and found["normal"] > 0.97
        assert 0 < found["cd_l1"] < 0.02


@pytest.mark.parametrize("inner", [0.95, 0.9, 0.8])
def test_spheres_within_each_other_are_as_far_apart_as_their_radii(inner):
    found = scores(sphere(inner), sphere(1.0), 10000)
    assert found["cd_l1"] == pytest.approx(1 - inner, abs=0.005)
    assert found["f_0.02"] == 0
    assert found["f_0.1"] == {0.95: 1, 0.8: 0}.get(inner, found["f_0.1"])  # 0.9 lies on the threshold itself
    assert found["normal"] > 0.99


def test_a_shifted_square_is_as_far_away_as_it_was_shifted():
    square = plain_mesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    shifted = plain_mesh(square.vertices + [0, 0, 0.05], square.faces)
    found = scores(shifted, square, 20000)
    assert found["cd_l1"] == pytest.approx(0.05, abs=0.001)
    assert (found["f_0.04"], found["f_0.1"]) == (0, 1) and found["normal"] == pytest.approx(1)


def test_half_a_surface_has_full_precision_and_half_recall():
    long = plain_mesh([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    half = plain_mesh(long.vertices * [0.5, 1, 1], long.faces)
    found = scores(half, long, 20000)
    # Recall at 0.1 is 1.1 of 2, so F is 2 * 0.55 / 1.55.
    assert found["f_0.1"] == pytest.approx(2 * 0.55 / 1.55, abs=0.01)


@pytest.mark.parametrize("threshold", [0.02, 0.04, 0.1])
def test_each_threshold_lies_where_its_name_says(threshold):
    # A row of points far apart from each other; its partners 0.95 of the threshold away, or 1.05.
    row = np.stack([np.arange(50.0), np.zeros(50), np.zeros(50)], axis=1)
    normals = np.tile([0.0, 1, 0], (50, 1))
    for share, expected in ((0.95, 1.0), (1.05, 0.0)):
        found = surface_scores((row + [0, share * threshold, 0], normals), (row, normals))
        assert found[f"f_{threshold:g}"] == expected and found["cd_l1"] == pytest.approx(share * threshold)
    half = row + np.where(np.arange(50)[:, None] % 2, 0.95, 1.05) * threshold * np.array([0, 1.0, 0])
    assert surface_scores((half, normals), (row, normals))[f"f_{threshold:g}"] == pytest.approx(0.5)


def test_normals_at_right_angles_score_zero():
    points = np.random.default_rng(0).random((100, 3))
    up, across = np.tile([0.0, 1, 0], (100, 1)), np.tile([1.0, 0, 0], (100, 1))
    assert surface_scores((points, up), (points, across))["normal"] == 0
    assert surface_scores((points, up), (points, -up))["normal"] == 1


def test_flipped_faces_change_nothing():
    mesh, reference = box(), sphere()
    flipped = Mesh(mesh.vertices, mesh.faces[:, ::-1], *(getattr(mesh, name) for name in (
        "corner_colors", "corner_uvs", "face_texture")))
    plain, turned = scores(mesh, reference), scores(flipped, reference)
    assert all(abs(plain[name] - turned[name]) < 0.01 for name in plain)
    assert len(visible_samples(flipped, 5000, 0)[0]) == 5000


# ---- What is visible


def test_there_is_one_direction_for_each_neighbor_of_a_cell():
    assert DIRECTIONS.shape == (26, 3) and len({tuple(step) for step in DIRECTIONS.tolist()}) == 26
    assert np.abs(DIRECTIONS).max(1).tolist() == [1] * 26


def test_a_hidden_inner_sphere_changes_nothing():
    shell = sphere(1.0)
    filled = together(shell, sphere(0.7))
    points, _ = visible_samples(filled, 5000, 0)
    assert np.linalg.norm(points, axis=1).min() > 0.97
    assert len(points) == pytest.approx(5000, rel=0.02)
    without, with_it = scores(shell, shell), scores(filled, shell)
    assert with_it["cd_l1"] == pytest.approx(without["cd_l1"], rel=0.05) and with_it["f_0.1"] == 1


def test_the_inside_of_an_open_box_counts_and_that_of_a_closed_one_does_not():
    outer, inner = trimesh.creation.box((1, 1, 1)), trimesh.creation.box((0.9, 0.9, 0.9))
    closed = together(*(plain_mesh(one.vertices, one.faces) for one in (outer, inner)))
    lid = closed.vertices[closed.faces][:, :, 1].min(1) > 0.4  # faces that lie in either top
    opened = plain_mesh(closed.vertices, closed.faces[~lid])

    def share_inside(mesh):
        points, normals, _ = sample_surface(mesh, 6000, np.random.default_rng(0))
        wall = np.abs(points).max(1) < 0.46
        return is_visible(points, normals, depth_maps(mesh))[wall].mean()
    assert share_inside(closed) == 0
    assert share_inside(opened) > 0.95


def test_an_object_far_from_the_frame_and_of_another_size_is_seen_as_well():
    mesh = together(sphere(1.0, subdivisions=3), sphere(0.5, subdivisions=3))
    there = plain_mesh(mesh.vertices * 7 + [30, -5, 2], mesh.faces)
    points, normals, _ = sample_surface(there, 4000, np.random.default_rng(0))
    outer = np.linalg.norm(points - [30, -5, 2], axis=1) > 5
    assert (is_visible(points, normals, depth_maps(there)) == outer).mean() > 0.999


def rays_that_leave(mesh, points, normals):
    """The rule by ray tracing: (K,) bool."""
    pytest.importorskip("embreex", reason="ray tracing is for development only")
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    tracer = RayMeshIntersector(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))
    free = np.zeros(len(points), bool)
    for step in DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True):
        start = points + 1e-3 * step + 1e-3 * normals * np.sign(normals @ step)[:, None]
        free |= ~tracer.intersects_any(start, np.broadcast_to(step, start.shape))
    return free


def agreement(mesh):
    """Share of points of a surface on which the depth images and the rays agree."""
    mesh.vertices = normalize(mesh.vertices, mesh.faces)
    points, normals, _ = sample_surface(mesh, 4000, np.random.default_rng(0))
    return (is_visible(points, normals, depth_maps(mesh)) == rays_that_leave(mesh, points, normals)).mean()


@pytest.mark.parametrize("seed", [3, 18])
def test_visibility_agrees_with_ray_tracing_on_shoes(seed):
    assert agreement(textured_mesh(*make_shoe(seed, texture_size=64)[:5])) > 0.97


@pytest.mark.slow
def test_visibility_agrees_with_ray_tracing_on_real_objects(real_objects):
    paths = sorted(real_objects.glob("OBJs/*/*.obj"))[::9]
    shares = [agreement(read_mesh(path)[0]) for path in paths]
    # Where a model has two faces in nearly one place, rays from between them leave or not as they are offset.
    assert np.mean(shares) > 0.99 and min(shares) > 0.9


# ---- Images


def test_psnr_of_a_known_color_shift():
    # 26 of 255 everywhere: -20 log10(26 / 255) = 19.83 dB.
    image = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(image + np.uint8(26), image) == pytest.approx(19.83, abs=0.005)
    # A quarter of the pixels: the mean square is a quarter, so 6.02 dB more.
    part = image.copy()
    part[:2, :2] += 26
    assert psnr(part, image) == pytest.approx(19.83 + 6.02, abs=0.01)
    assert psnr(image, image) == EQUAL_PSNR


def test_images_of_a_recolored_solid_differ_by_the_shift_of_color_alone():
    true, other = sphere(0.9, (0.4, 0.4, 0.4)), sphere(0.9, (0.6, 0.6, 0.6))
    found, _ = evaluate_mesh(other, make_ground_truth(true, 2000, 64))
    # 0.2 of 1 is 13.98 dB; half-covered pixels at the boundary, blended with white, differ less.
    for cameras in ("novel", "input"):
        assert found[f"iou_{cameras}"] == 1 and found[f"psnr_{cameras}"] == pytest.approx(13.98, abs=0.15)
    found, _ = evaluate_mesh(true, make_ground_truth(true, 2000, 64))
    assert found["psnr_novel"] == found["psnr_input"] == EQUAL_PSNR


def test_silhouette_overlap_of_discs_is_the_ratio_of_their_areas():
    found, _ = evaluate_mesh(sphere(0.5), make_ground_truth(sphere(1.0), 2000, 128))
    assert found["iou_novel"] == pytest.approx(0.25, abs=0.01)
    assert found["iou_input"] == pytest.approx(0.25, abs=0.01)


def test_a_missing_part_costs_psnr_even_where_only_the_truth_is():
    """PSNR is taken over the union: the half that is missing is white where the truth is black."""
    image = np.zeros((1, 10, 10, 4), np.uint8)
    image[..., 3] = 255
    half = image.copy()
    half[:, :5, :, 3] = 0
    found = image_scores(half, image)
    assert found["iou"] == 0.5 and found["psnr"] == pytest.approx(3.01, abs=0.01)  # mean square 1/2


def test_no_oblique_image_cuts_the_diagonal_of_a_cube():
    cube = box((2, 2, 2))
    images = evaluation_renders(cube, 64, oblique_scale(cube))
    assert images["novel"].shape == (8, 64, 64, 4) and images["input"].shape == (6, 64, 64, 4)
    alpha = images["novel"][..., 3]
    assert alpha[:, [0, -1]].max() == 0 and alpha[:, :, [0, -1]].max() == 0 and alpha.any(axis=(1, 2)).all()
    assert oblique_scale(sphere(0.9)) == 1


def test_lpips_is_used_only_where_it_is_installed(monkeypatch):
    import torch

    monkeypatch.setitem(sys.modules, "lpips", None)
    assert lpips_distance() is None

    class Network:
        def __init__(self, **options):
            pass

        def __call__(self, first, second):
            assert first.shape == (1, 3, 32, 32) and first.min() >= -1 and first.max() <= 1
            return torch.abs(first - second).mean().view(1, 1, 1, 1)
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=Network))
    mesh = sphere(subdivisions=2)
    found, _ = evaluate_mesh(mesh, make_ground_truth(mesh, 500, 32), lpips_distance())
    assert found["lpips_novel"] == found["lpips_input"] == 0


@pytest.mark.parametrize("threshold", [0.02, 0.04, 0.1])
def test_each_threshold_lies_between_points_just_nearer_and_just_farther(threshold):
    """Two grids of points, one above the other: every distance is the gap itself."""
    points = np.stack(np.meshgrid(*[np.arange(10.0)] * 2, [0.0]), axis=-1).reshape(-1, 3)
    up = np.tile([0.0, 0, 1], (100, 1))

    def score(gap):
        return surface_scores((points + [0, 0, gap], up), (points, up))[f"f_{threshold:g}"]
    assert score(0.9 * threshold) == 1 and score(1.1 * threshold) == 0
