"""Changed cameras against the truly turned, mirrored and stretched mesh, drawn anew by the renderer."""
import numpy as np
import pytest
import torch
import trimesh

from config import VIEW_NAMES
from models.field_model import EncodedObject, FieldModel
from models.view_cameras import (
    augment_space,
    camera_tensors,
    project,
    random_colors,
    stack_cameras,
    transform_box,
    transform_points,
    view_cameras,
)
from tests.multiview.test_view_maps import maps_of
from tests.multiview.test_visual_hull import solid_mesh
from utils.mesh.mesh import normalize, plain_mesh
from utils.rendering.cameras import VIEW_BASES, Camera, pixel_rays, rotation_matrix, to_pixels

COVERAGE, ENTRY, LEAVE, TOWARD = 0, 3, 6, slice(10, 13)  # columns of what `describe` measures


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def unlike_mesh():
    """A lying egg with a knob and a colored half: no turn or mirror leaves it as it was."""
    egg, knob = trimesh.creation.icosphere(4, 1.0), trimesh.creation.icosphere(3, 0.3)
    egg.vertices *= [0.6, 0.45, 1.0]
    knob.vertices += [0.35, 0.4, 0.5]
    both = trimesh.util.concatenate([egg, knob])
    mesh = solid_mesh(both)
    mesh.vertices = normalize(both.vertices)
    mesh.corner_colors[:] = np.where(both.triangles_center[:, 2] > 0.1, 0.9, 0.2)[:, None, None]
    return mesh


@pytest.fixture(scope="module")
def object_maps():
    mesh = unlike_mesh()
    maps, box = maps_of(mesh)
    return mesh, torch.from_numpy(maps)[None], torch.from_numpy(box)[None]


def described(points, maps, cameras, box):
    model = FieldModel(grid_size=0, image_widths=())
    measured, hull = model.per_view_features(points, EncodedObject(maps, cameras, box))
    return measured[0].numpy(), hull[0].numpy()


# ---- The six as they are


def test_the_cameras_project_as_the_renderer_does():
    cameras, points = view_cameras(2), torch.rand(5, 3)
    assert cameras.projection.shape == (2, 6, 3, 3) and (cameras.stretch == 1).all()
    assert (cameras.inverse_distance == 0).all() and cameras.measured.all() and cameras.present.all()
    for number, name in enumerate(VIEW_NAMES):
        column, row, depth = to_pixels(points.numpy(), VIEW_BASES[name], 220).T
        right, up, toward = (cameras.projection[1, number] @ points.T).numpy()
        assert np.allclose([110 + 100 * right, 110 - 100 * up, toward], [column, row, depth], atol=1e-4), name
        assert cameras.toward[1, number].numpy() == pytest.approx(VIEW_BASES[name][2])


# ---- A changed space


def test_equal_generators_give_equal_spaces_whatever_the_batch():
    box = torch.tensor([[[-1.0, -0.5, -0.4], [1, 0.5, 0.4]], [[-0.2, -1, -0.6], [0.2, 1, 0.6]]])
    together, cameras = augment_space(box, generators(5, 6), 0.25)
    alone, own = augment_space(box[1:], generators(6), 0.25)
    assert torch.equal(together[1:], alone)
    assert all(torch.equal(whole[1:], part) for whole, part in zip(cameras, own))
    assert not torch.equal(augment_space(box[:1], generators(7), 0.25)[0],
                           augment_space(box[:1], generators(8), 0.25)[0])


def test_a_space_exchanges_axes_keeps_up_and_fills_the_normalized_frame():
    box = torch.tensor([[[-1.0, -0.5, -0.4], [1, 0.5, 0.4]]]).expand(40, -1, -1)
    matrix, _ = augment_space(box, generators(*range(40)), 0.25)
    assert ((matrix != 0).sum(dim=1) == 1).all() and ((matrix != 0).sum(dim=2) == 1).all()
    assert (matrix[:, 1, 1] > 0).all(), "nothing stands on its head"
    assert len({tuple(sign.flatten().tolist()) for sign in matrix.sign()}) == 8, "four turns, mirrored or not"
    moved = transform_box(box, matrix)
    assert (moved[:, 1] - moved[:, 0]).amax(dim=1).numpy() == pytest.approx(np.full(40, 2))
    assert moved.sum(dim=1).abs().max() < 1e-6 and (moved[:, 1] > moved[:, 0]).all()


def test_cameras_see_moved_points_where_the_old_ones_saw_them():
    box, points = torch.tensor([[[-1.0, -0.5, -0.4], [1, 0.5, 0.4]]]).expand(8, -1, -1), torch.rand(8, 10, 3) - 0.5
    matrix, cameras = augment_space(box, generators(*range(8)), 0.25)
    old = torch.einsum("bsij,bkj->bski", view_cameras(8).projection, points)
    new = torch.einsum("bsij,bkj->bski", cameras.projection, transform_points(points, matrix))
    assert torch.allclose(old, new, atol=1e-5)


def test_a_unit_along_a_camera_axis_becomes_as_long_as_its_camera_says():
    box = torch.tensor([[[-1.0, -0.5, -0.4], [1, 0.5, 0.4]]]).expand(40, -1, -1)
    matrix, cameras = augment_space(box, generators(*range(40)), 0.25)
    step = torch.einsum("bsij,bsj->bsi", cameras.projection, cameras.toward)
    assert torch.allclose(step[..., 2], torch.ones(40, 6), atol=1e-5) and step[..., :2].abs().max() < 1e-5
    lengths = torch.linalg.inv(cameras.projection).norm(dim=2)  # of the steps that move one image axis by 1
    assert torch.allclose((lengths[..., 0] * lengths[..., 1]).sqrt(), cameras.stretch, atol=1e-5)
    assert torch.allclose(lengths[..., 2], cameras.toward.norm(dim=-1), atol=1e-5)


def hand_held(seed, count=6):
    """Cameras a person might hold, one for each view."""
    rng = np.random.default_rng(seed)
    return [Camera(rotation_matrix(np.radians(rng.uniform(-5, 5, 3))) @ basis, rng.uniform(0.1, 0.3), rng.uniform(0.6, 0.8),
                   rng.uniform(-0.1, 0.1, 2)) for basis in list(VIEW_BASES.values())[:count]]


def test_points_project_in_perspective_as_the_renderer_projects_them():
    cameras, points = hand_held(0), np.random.default_rng(1).uniform(-1, 1, (30, 3)).astype(np.float32)
    places, depth, w = project(torch.from_numpy(points)[None], camera_tensors(cameras))
    for number, camera in enumerate(cameras):
        column, row, toward = to_pixels(points, camera, 2).T
        assert np.allclose(places[0, number].numpy(), np.stack([column - 1, row - 1], axis=1), atol=1e-5)
        assert np.allclose(depth[0, number].numpy(), toward, atol=1e-5)
        assert np.allclose(w[0, number].numpy(), 1 - camera.inverse_distance * toward, atol=1e-5)
    arrays = [torch.from_numpy(np.stack([getattr(camera, name) for camera in cameras])[None].astype(np.float32))
              for name in ("basis", "inverse_distance", "scale", "shift")]
    for one, other in zip(stack_cameras(*arrays), camera_tensors(cameras)):
        assert torch.allclose(one, other) if one.dtype != torch.bool else torch.equal(one, other)


def test_in_perspective_directions_and_lengths_are_those_of_the_line_of_sight_after_any_change_of_space():
    cameras, box = hand_held(2), torch.tensor([[[-1.0, -0.5, -0.4], [1, 0.5, 0.4]]])
    matrix, changed = augment_space(box, generators(5), 0.3, camera_tensors(cameras))
    maps = torch.zeros(1, 6, 7, 8, 8)
    maps[:, :, 5] = 5.0  # every line enters at depth 5 and leaves at depth -5
    maps[:, :, 6] = 5.0
    old = torch.rand(1, 20, 3, generator=generators(1)[0]) - 0.5
    points = transform_points(old, matrix)
    measured, _ = described(points, maps, changed, transform_box(box, matrix))
    for number, camera in enumerate(cameras):
        eye = camera.basis[2] / camera.inverse_distance @ matrix[0].numpy().T
        sight = eye - points[0].numpy()
        assert np.allclose(measured[number][:, TOWARD], sight / np.linalg.norm(sight, axis=1, keepdims=True), atol=1e-4)
        origin, direction = pixel_rays(camera, to_pixels(old[0].numpy(), camera, 2)[:, :2] - 1)
        for column, depth in ((ENTRY, 5.0), (LEAVE, -5.0)):
            end = (origin + depth * direction) @ matrix[0].numpy().T
            # The hull's end lies before or behind the camera, which lengths along the line do not mind
            assert np.allclose(measured[number][:, column], np.linalg.norm(end - points[0].numpy(), axis=1), rtol=1e-3)


def test_in_perspective_the_distance_to_a_ball_s_outline_is_right_at_its_rim():
    cameras = [Camera(camera.basis, 0.25, 0.6) for camera in hand_held(3)]
    solid = trimesh.creation.icosphere(4, 0.8)
    maps, box = maps_of(solid_mesh(solid), cameras)
    camera = cameras[0]
    height = 0.25 * 0.8 ** 2  # depth of the circle where lines from the eye touch the ball
    rim = np.sqrt(0.8 ** 2 - height ** 2)
    angles = np.linspace(0, 6, 40)
    circle = rim * (np.cos(angles)[:, None] * camera.basis[0] + np.sin(angles)[:, None] * camera.basis[1])
    for offset in (-0.06, 0.0, 0.06):
        points = (circle * (rim + offset) / rim + height * camera.basis[2]).astype(np.float32)
        measured, _ = described(torch.from_numpy(points)[None], torch.from_numpy(maps)[None], camera_tensors(cameras),
                                torch.from_numpy(box)[None])
        edge = np.arctanh(measured[0][:, 2].clip(-0.999, 0.999)) * 0.05
        assert np.abs(edge + offset).max() < 0.012, offset


@pytest.mark.parametrize("seed", [1, 2, 4, 8, 16])  # every turn, two of them mirrored
def test_what_cameras_see_and_measure_is_as_if_the_changed_mesh_were_drawn(seed, object_maps):
    mesh, maps, box = object_maps
    matrix, cameras = augment_space(box, generators(seed), 0.25)
    drawn, drawn_box = maps_of(plain_mesh(mesh.vertices @ matrix[0].numpy().T, mesh.faces))
    new_box = transform_box(box, matrix)
    assert new_box[0].numpy() == pytest.approx(drawn_box, abs=0.012)
    points = transform_points((torch.rand(1, 2000, 3, generator=generators(9)[0]) * 2 - 1) * box[:, 1:], matrix)
    seen, hull = described(points, maps, cameras, new_box)
    true, true_hull = described(points, torch.from_numpy(drawn)[None], view_cameras(), new_box)
    inside = true_hull > 0.05
    assert inside.mean() > 0.2
    taken = []
    for view in seen:
        other = int((true[:, 0, TOWARD] @ view[0, TOWARD]).argmax())
        taken.append(other)
        for column in (COVERAGE, ENTRY, LEAVE):
            difference = np.abs(view[inside][:, column] - true[other][inside][:, column])
            assert np.median(difference) < 0.012 and np.quantile(difference, 0.95) < 0.06
    assert sorted(taken) == list(range(6)), "each camera stands where one of the six stands"
    assert ((hull > 0) == (true_hull > 0))[np.abs(true_hull) > 0.03].all()


@pytest.mark.parametrize("seed", range(3))
def test_distances_to_outlines_scale_exactly_where_nothing_is_stretched_unevenly(seed, object_maps):
    mesh, maps, box = object_maps
    matrix, cameras = augment_space(box * 0.5, generators(seed), 0)  # as if the object were half as large
    larger = matrix[0].det().abs().item() ** (1 / 3)
    assert larger == pytest.approx(2, rel=0.01)
    points = (torch.rand(1, 1000, 3, generator=generators(9)[0]) * 2 - 1) * 0.9
    moved = transform_points(points, matrix)
    _, old = described(points, maps, view_cameras(), box)
    _, hull = described(moved, maps, cameras, box)
    assert np.allclose(hull, larger * old, atol=1e-4)
    drawn, _ = maps_of(plain_mesh(mesh.vertices @ matrix[0].numpy().T / larger, mesh.faces))
    _, true = described(moved / larger, torch.from_numpy(drawn)[None], view_cameras(), box)
    assert np.abs(hull / larger - true).max() < 0.02


# ---- Colors


def test_random_colors_change_the_object_alone_and_all_views_alike():
    maps = torch.rand(12, 6, 7, 8, 8)
    maps[:, :, 3] = (torch.rand(12, 6, 8, 8) > 0.5).float()
    maps[:, :, :3] = torch.where(maps[:, :, 3:4] > 0, maps[:, :, :3], torch.ones(()))
    maps[:, 1] = maps[:, 0]  # two views that show the same
    before = maps.clone()
    changed = random_colors(maps, generators(*range(12)))
    assert torch.equal(maps, before)
    assert torch.equal(changed[:, :, 3:], maps[:, :, 3:])
    background = maps[:, :, 3:4].expand(-1, -1, 3, -1, -1) == 0
    assert (changed[:, :, :3][background] == 1).all()
    assert (changed >= 0).all() and (changed <= 1).all()
    assert torch.equal(changed[:, 0], changed[:, 1])
    assert ((changed - maps).abs().amax(dim=(1, 2, 3, 4)) > 0.01).all()
    assert torch.equal(random_colors(maps[3:4], generators(3)), changed[3:4]), "whatever the batch"


def test_half_covered_pixels_stay_half_white():
    maps = torch.ones(1, 6, 7, 2, 2)
    maps[:, :, 3] = 0.5
    assert (random_colors(maps, generators(0))[:, :, :3] >= 0.5).all()
