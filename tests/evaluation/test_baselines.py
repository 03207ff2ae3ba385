"""Baselines that need no network: each gives what its name says, on objects whose answer is known."""
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from PIL import Image

from config import VIEW_NAMES, UserError
from utils.evaluation import baselines, metrics
from utils.evaluation.baselines import (
    in_mean_color,
    level_mesh,
    mean_color_of,
    mean_object,
    nearest_object,
    thumbnail,
    true_mesh,
)
from utils.mesh.mesh import normalize, plain_mesh
from utils.rendering.rasterizer import render_views


def write_solid(folder, name, solid, color):
    """An object of one color in its own units, with the project's images of it; returns its files."""
    (folder / "OBJs" / name).mkdir(parents=True)
    (folder / "input_images").mkdir(exist_ok=True)
    mesh_path = folder / "OBJs" / name / f"{name}.obj"
    mesh_path.write_text("".join("v %f %f %f\n" % tuple(3 * row + 5) for row in solid.vertices)
                         + "".join("f %d %d %d\n" % tuple(row + 1) for row in solid.faces))
    mesh = plain_mesh(normalize(solid.vertices), solid.faces, color)
    images = {}
    for view, image in render_views(mesh, 96).items():
        images[view] = folder / "input_images" / f"{name}_{view}.png"
        Image.fromarray(image).save(images[view])
    return SimpleNamespace(id=name, mesh=mesh_path, images=images)


@pytest.fixture
def coarse_judges(monkeypatch):
    """Levels are judged on coarse depth maps, which cost more than all else here."""
    monkeypatch.setattr(metrics, "DEPTH_SIZE", 96)


@pytest.fixture(scope="module")
def solids(tmp_path_factory):
    """Files by name: balls, a plate and a stick."""
    folder = tmp_path_factory.mktemp("solids")
    ball = trimesh.creation.icosphere(3)
    return {name: write_solid(folder, name, solid, color) for name, solid, color in (
        ("ball", ball, (1.0, 0.0, 0.0)),
        ("egg", trimesh.Trimesh(ball.vertices * [1, 0.9, 0.9], ball.faces), (0.0, 1.0, 0.0)),
        ("plate", trimesh.creation.box((2, 0.2, 2)), (0.0, 0.0, 1.0)),
        ("stick", trimesh.creation.box((0.2, 0.2, 2)), (1.0, 1.0, 0.0)))}


def test_true_mesh_lies_in_the_normalized_frame(solids):
    mesh = true_mesh(solids["plate"])
    assert np.allclose([mesh.vertices.min(0), mesh.vertices.max(0)], [[-1, -0.1, -1], [1, 0.1, 1]], atol=1e-5)


def test_nearest_retrieves_the_most_similar_silhouettes_and_never_the_object_itself(solids, tmp_path):
    retrieve = nearest_object(list(solids.values()), tmp_path)
    assert np.ptp(retrieve(solids["ball"]).vertices, axis=0) == pytest.approx([2, 1.8, 1.8], abs=0.01)
    assert np.ptp(retrieve(solids["egg"]).vertices, axis=0) == pytest.approx([2, 2, 2], abs=0.01)
    # Among a plate and a ball, a stick overlaps the plate more (its side views are the stick's).
    retrieve = nearest_object([solids["ball"], solids["plate"]], tmp_path)
    assert np.ptp(retrieve(solids["stick"]).vertices, axis=0) == pytest.approx([2, 0.2, 2], abs=0.01)
    with pytest.raises(UserError, match="no other training object"):
        nearest_object([solids["ball"]], tmp_path)(solids["ball"])


def test_overlap_of_silhouettes_is_intersection_over_union():
    masks = np.zeros((2, 6, 16, 16), np.uint8)
    masks[0, :, :, :8], masks[1, :, :, 4:12] = 255, 255  # 4 of 12 columns in common
    one, other = (baselines._silhouette_bits(SimpleNamespace(masks=mask)) for mask in masks)
    assert baselines._mean_overlaps(one, np.stack([one, other])) == pytest.approx([1, 1 / 3])


@pytest.mark.slow
def test_mean_of_equal_objects_is_that_object_in_its_color(solids, tmp_path, coarse_judges):
    mesh = mean_object([solids["ball"]], tmp_path)
    # Six round silhouettes leave a body with edges around the ball: between radius 1 and sqrt(3 / 2).
    distance = np.linalg.norm(mesh.vertices, axis=1)
    assert distance.min() > 0.96 and distance.max() < 1.25
    assert mesh.corner_colors.reshape(-1, 3).mean(0) == pytest.approx([1, 0, 0], abs=0.02)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).is_watertight


def test_mean_shape_lies_between_the_training_objects(solids, tmp_path, coarse_judges):
    mesh = mean_object([solids["plate"], solids["stick"]], tmp_path)
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert 0.15 < (high - low)[0] <= 2.05 and high[2] - low[2] == pytest.approx(2, abs=0.1)
    assert (high - low)[1] == pytest.approx(0.2, abs=0.06)
    assert mesh.corner_colors[0, 0] == pytest.approx([0.5, 0.5, 0.5], abs=0.03)


def test_level_of_a_field_is_where_it_should_be():
    at = (np.arange(40) + 0.5) * 2 / 40 - 1
    distance = np.sqrt(at[:, None, None]**2 + at[None, :, None]**2 + at[None, None, :]**2)
    mesh = level_mesh(1 - distance, 0.4, (0, 0, 0))  # the field is 0.4 on the sphere of radius 0.6
    assert np.linalg.norm(mesh.vertices, axis=1) == pytest.approx(0.6, abs=0.01)
    ball = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert ball.is_watertight and ball.volume == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=0.03), "faces look outward"


def test_what_reaches_the_edge_of_the_grid_of_a_level_is_closed():
    mesh = level_mesh(np.ones((8, 8, 8)), 0.5, (0, 0, 0))
    box = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert box.is_watertight and box.volume == pytest.approx(8, rel=0.05)


def test_mean_color_paints_the_shape_it_is_given(solids):
    shape = plain_mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])
    painted = in_mean_color(shape, solids["egg"])
    assert (painted.vertices == shape.vertices).all()
    assert painted.corner_colors[0, 0] == pytest.approx([0, 1, 0], abs=0.02)


def test_mean_color_weighs_by_the_mask_and_leaves_out_the_white_at_boundaries():
    images, masks = np.ones((6, 2, 2, 3)), np.zeros((6, 2, 2))
    images[:, 0, 0], masks[:, 0, 0] = 0.9, 1.0
    images[0, 0, 1], masks[0, 0, 1] = 0.6, 0.5  # half covered by 0.2, half white
    assert mean_color_of(images, masks) == pytest.approx([(6 * 0.9 + 0.5 * 0.2) / 6.5] * 3)


def test_hull_contains_its_object_and_fits_its_silhouettes(solids):
    mesh = baselines.visual_hull(solids["plate"], grid=64, texture_size=128)
    assert np.abs(mesh.vertices).max(0) == pytest.approx([1, 0.1, 1], abs=0.03)
    faces, middle = np.arange(len(mesh.faces)), np.full((len(mesh.faces), 3), 1 / 3)
    assert np.median(mesh.colors_at(faces, middle), axis=0) == pytest.approx([0, 0, 1], abs=0.05)


def test_thumbnails_are_read_once_and_a_damaged_one_is_made_again(solids, tmp_path, monkeypatch):
    first = thumbnail(solids["ball"], tmp_path)
    assert first.images.shape == (6, 64, 64, 3) and first.masks.shape == (6, 64, 64)
    monkeypatch.setattr(baselines, "read_framed_views", lambda *_: pytest.fail("read again"))
    again = thumbnail(solids["ball"], tmp_path)
    assert (again.images == first.images).all() and (again.masks == first.masks).all()
    monkeypatch.undo()
    path, = tmp_path.glob("ball-*.npz")
    path.write_bytes(path.read_bytes()[:50])
    assert (thumbnail(solids["ball"], tmp_path).masks == first.masks).all()


def test_an_unusable_training_object_is_left_out_and_none_at_all_is_an_error(solids, tmp_path):
    broken = SimpleNamespace(id="broken", mesh=None, images=dict.fromkeys(VIEW_NAMES, tmp_path / "no.png"))
    assert set(baselines.thumbnails([broken, solids["ball"]], tmp_path)) == {"ball"}
    with pytest.raises(UserError, match="none of the training objects"):
        baselines.thumbnails([broken], tmp_path)
