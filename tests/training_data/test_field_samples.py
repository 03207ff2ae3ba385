"""What the field learns from: balls whose distances are known, and meshes turned and joined without loss."""
import numpy as np
import pytest
import trimesh

import utils.training_data.field_samples
import utils.training_data.occupancy
from config import VIEW_NAMES
from tests.multiview.test_visual_hull import arms, solid_mesh
from utils.mesh.mesh import plain_mesh, textured_mesh
from utils.multiview.view_maps import MAP_SIZE
from utils.rendering.cameras import VIEW_BASES, Camera, to_pixels
from utils.rendering.rasterizer import over_white, render_views
from utils.training_data.field_samples import (
    composite,
    degrade_masks,
    field_arrays,
    random_rotation,
    render_field_arrays,
)

FEW_SAMPLES = (("SURFACE_SAMPLES", 20_000), ("NEAR_POINTS", 3000), ("FREE_POINTS", 2000))
ORTHOGRAPHIC = (("PERSPECTIVE_SHARE", 0), ("MISSING_SHARE", 0), ("LIT_SHARES", (0, 0)), ("DEGRADED_SHARES", (0, 0)))
PHOTOGRAPHED = (("PERSPECTIVE_SHARE", 1), ("MISSING_SHARE", 0), ("LIT_SHARES", (0, 0)), ("DEGRADED_SHARES", (0, 0)),
                ("ROTATION_ERROR_DEG", 0), ("ROLL_ERROR_DEG", 0), ("DISTANCE_ERROR", 0), ("SCALE_ERROR", 0),
                ("SHIFT_ERROR", 0), ("GAIN", 0), ("WHITE_BALANCE", 0))


@pytest.fixture
def few_samples(monkeypatch):
    for name, count in FEW_SAMPLES:
        monkeypatch.setattr(utils.training_data.field_samples, name, count)


@pytest.fixture
def rough_labels(few_samples, monkeypatch):
    """Where nothing is asked of the labels, for which a solid is looked at from all sides."""
    monkeypatch.setattr(utils.training_data.occupancy, "DIRECTIONS", 6)


@pytest.fixture
def orthographic(monkeypatch):
    """Objects drawn anew are seen by the six exact cameras, as they are."""
    for name, share in ORTHOGRAPHIC:
        monkeypatch.setattr(utils.training_data.field_samples, name, share)


@pytest.fixture(scope="module")
def ball_arrays():
    """What the field learns from of a ball that the six exact cameras see."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in FEW_SAMPLES + ORTHOGRAPHIC:
            patch.setattr(utils.training_data.field_samples, name, value)
        return render_field_arrays(ball_mesh(), np.random.default_rng(0))


@pytest.fixture(scope="module")
def photographed_arrays():
    """The same, seen in perspective by cameras that are known exactly; nothing is asked of its labels."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in FEW_SAMPLES + PHOTOGRAPHED:
            patch.setattr(utils.training_data.field_samples, name, value)
        patch.setattr(utils.training_data.occupancy, "DIRECTIONS", 6)
        return render_field_arrays(ball_mesh(), np.random.default_rng(3))


@pytest.fixture
def photographed(monkeypatch):
    """Objects drawn anew are seen in perspective, by cameras that are known exactly."""
    for name, share in PHOTOGRAPHED:
        monkeypatch.setattr(utils.training_data.field_samples, name, share)


def ball_mesh():
    return solid_mesh(trimesh.creation.icosphere(4, 1.0), (0.2, 0.6, 0.4))


def textured(color):
    """A triangle with a texture of one color (0 to 255)."""
    corners = np.array([[-1.0, -1, 0], [1, -1, 0], [0, 1, 0]])
    return textured_mesh(corners, [[0, 1, 2]], np.zeros((3, 2)), [[0, 1, 2]], np.full((2, 2, 3), color, np.uint8))


def sorted_edges(mesh):
    corners = mesh.vertices[mesh.faces]
    return np.sort(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).ravel())


# ---- Arrays


def test_points_of_a_ball_come_with_their_true_distances(ball_arrays):
    arrays = ball_arrays
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        "maps": ((6, 7, MAP_SIZE, MAP_SIZE), "float16"), "box": ((2, 3), "float32"),
        "points": ((5000, 3), "float32"), "distances": ((5000,), "float16"), "bands": ((5000,), "float16"),
        "bases": ((6, 3, 3), "float32"), "inverse_distances": ((6,), "float32"), "scales": ((6,), "float32"),
        "shifts": ((6, 2), "float32"), "measured": ((6,), "bool"), "present": ((6,), "bool")}
    truth = 1 - np.linalg.norm(arrays["points"], axis=1)
    error = np.abs(arrays["distances"] - truth)
    assert error.max() < 0.03 and error.mean() < 0.005
    assert np.abs(arrays["box"] - [[-1] * 3, [1] * 3]).max() < 0.01


def test_most_points_lie_about_the_surface_and_the_rest_evenly_in_the_hull(ball_arrays):
    points = ball_arrays["points"]
    near, free = np.abs(1 - np.linalg.norm(points[:3000], axis=1)), points[3000:]
    assert np.median(near) < 0.02 and np.quantile(near, 0.99) < 0.15
    assert np.abs(free).max() < 1.01 and np.abs(free.mean(axis=0)).max() < 0.06
    # The hull of a ball is what three cylinders share, of volume 8 (2 - sqrt 2)
    assert (np.linalg.norm(free, axis=1) < 1).mean() == pytest.approx(4 / 3 * np.pi / (16 - 8 * 2 ** 0.5), abs=0.03)
    for axis in range(3):
        assert np.linalg.norm(np.delete(points, axis, axis=1), axis=1).max() < 1.02


def test_equal_generators_give_equal_arrays(rough_labels):
    first, second = (render_field_arrays(ball_mesh(), np.random.default_rng(7)) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_given_images_decide_the_maps_and_the_mesh_the_labels(few_samples):
    images = np.ones((6, 2 * MAP_SIZE, 2 * MAP_SIZE, 3), np.float32)
    masks = np.zeros(images.shape[:3], np.float32)
    masks[:, 64:192, 64:192] = 1  # a cube of edge 1.1
    images[masks > 0] = [0.5, 0.25, 0.75]
    arrays = field_arrays(ball_mesh(), images, masks, np.random.default_rng(0))
    assert arrays["box"] == pytest.approx(np.array([[-0.55] * 3, [0.55] * 3]), abs=1e-5)
    assert np.abs(arrays["points"][3000:]).max() < 0.5501, "even points lie in the images' box"
    assert (arrays["maps"][:, :3, 50, 50] == np.float16([0.5, 0.25, 0.75])).all()
    assert np.abs(arrays["distances"] - (1 - np.linalg.norm(arrays["points"], axis=1))).max() < 0.03


def test_in_perspective_points_of_a_ball_project_into_its_silhouettes_through_the_cameras_given(photographed_arrays):
    arrays = photographed_arrays
    assert (arrays["inverse_distances"] > 0).all() and np.abs(arrays["shifts"]).max() > 0.001
    assert np.abs(arrays["bases"] @ arrays["bases"].transpose(0, 2, 1) - np.eye(3)).max() < 1e-6
    assert max(np.abs(basis - VIEW_BASES[view]).max() for basis, view in zip(arrays["bases"], VIEW_NAMES)) > 0.01
    assert np.abs(arrays["box"] - [[-1] * 3, [1] * 3]).max() < 0.015
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(2000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for number in range(6):
        camera = Camera(arrays["bases"][number], arrays["inverse_distances"][number], arrays["scales"][number],
                        arrays["shifts"][number])
        edge = arrays["maps"][number, 4].astype(np.float32)
        for radius, inside in ((0.97, True), (1.2, False)):
            column, row, _ = to_pixels(directions * radius, camera, MAP_SIZE).T.clip(0, MAP_SIZE - 1).astype(int)
            # Outside the ball only what the camera sees beside it is outside its silhouette
            beside = np.abs(directions @ camera.basis[2] - camera.inverse_distance * radius) < 0.05
            read = edge[row, column][beside | inside]
            assert (read > -0.01).all() if inside else (read < 0.01).all()


@pytest.mark.slow
def test_told_cameras_are_near_the_true_ones_but_not_the_same(photographed_arrays, rough_labels, photographed,
                                                                 monkeypatch):
    monkeypatch.setattr(utils.training_data.field_samples, "ROTATION_ERROR_DEG", 0.5)
    told = render_field_arrays(ball_mesh(), np.random.default_rng(3))
    between = np.einsum("sij,sij->s", photographed_arrays["bases"], told["bases"])
    angles = np.degrees(np.arccos(((between - 1) / 2).clip(-1, 1)))
    assert 0.2 < np.sqrt((angles ** 2).mean()) < 1.5


@pytest.mark.parametrize("missing", [pytest.param(("bottom",), marks=pytest.mark.slow), ("top", "bottom"),
                                     pytest.param(("left", "front"), marks=pytest.mark.slow)])
def test_missing_views_are_replaced_by_their_opposites_or_take_no_part(missing, rough_labels):
    mesh = solid_mesh(arms())
    mesh.vertices = mesh.vertices / np.abs(mesh.vertices).max()
    drawn = np.stack(list(render_views(mesh, 2 * MAP_SIZE).values()))
    images, masks = over_white(drawn).astype(np.float32) / 255, drawn[..., 3].astype(np.float32) / 255
    whole = field_arrays(mesh, images, masks, np.random.default_rng(0))
    arrays = field_arrays(mesh, images, masks, np.random.default_rng(0), missing=missing)
    assert whole["measured"].all() and whole["present"].all()
    for number, view in enumerate(VIEW_NAMES):
        assert arrays["measured"][number] == (view not in missing)
        if arrays["measured"][number]:
            assert np.array_equal(arrays["maps"][number, :5], whole["maps"][number, :5])
        elif arrays["present"][number]:  # opposite silhouettes of an orthographic object are mirror images
            assert np.abs(arrays["maps"][number, 3:5] - whole["maps"][number, 3:5]).max() < 0.02
            assert np.abs(arrays["bases"][number] - VIEW_BASES[view]).max() < 1e-6
        else:
            assert not arrays["maps"][number].any()
    assert arrays["present"].sum() == (4 if missing == ("top", "bottom") else 6)


def test_a_lamp_darkens_what_is_turned_away_from_it_and_leaves_silhouettes_alone(photographed_arrays, rough_labels,
                                                                                      photographed, monkeypatch):
    plain = photographed_arrays["maps"]
    monkeypatch.setattr(utils.training_data.field_samples, "LIT_SHARES", (1, 1))
    lit = render_field_arrays(ball_mesh(), np.random.default_rng(3))["maps"]
    assert np.array_equal(lit[:, 3:], plain[:, 3:])
    full = (plain[:, 3] == 1)
    ratio = lit[:, 1][full].astype(np.float32) / plain[:, 1][full]
    assert ratio.max() <= 1.01 and ratio.min() < 0.9 and ratio.std() > 0.02


def test_points_in_a_thin_wall_count_fully_from_half_its_thickness_on(ball_arrays, few_samples, orthographic):
    plate = solid_mesh(trimesh.creation.box([2, 0.024, 1.2]))
    arrays = render_field_arrays(plate, np.random.default_rng(0))
    inside = arrays["distances"] > 0
    assert inside.sum() > 500 and (arrays["bands"][~inside] == np.float16(0.02)).all()
    assert np.median(arrays["bands"][inside].astype(float)) == pytest.approx(0.012, abs=1e-3)
    assert (ball_arrays["bands"] == np.float16(0.02)).all()


def test_a_bite_changes_one_mask_alone_at_one_place_of_its_outline(monkeypatch):
    rows, columns = np.mgrid[:128, :128] + 0.5
    masks = np.stack([np.clip(40.5 - np.hypot(rows - 64, columns - 64), 0, 1)] * 6).astype(np.float32)
    monkeypatch.setattr(utils.training_data.field_samples, "BITE_SHARE", 0)
    whole = degrade_masks(masks, np.random.default_rng(2))
    monkeypatch.setattr(utils.training_data.field_samples, "BITE_SHARE", 1)
    lost, gained = 0, 0
    for seed in range(30):
        bitten = degrade_masks(masks, np.random.default_rng(seed))
        areas = bitten.sum(axis=(1, 2))
        odd = np.abs(areas - np.median(areas)).argmax()
        change = bitten[odd].sum() - np.median(areas)
        lost, gained = lost + (change < -20), gained + (change > 20)
    assert lost > 5 and gained > 2
    assert np.ptp(whole.sum(axis=(1, 2))) < 300


def test_worn_masks_are_a_little_wider_or_narrower_and_softer_and_a_speck_survives():
    rows, columns = np.mgrid[:128, :128] + 0.5
    disc = np.clip(40.5 - np.hypot(rows - 64, columns - 64), 0, 1).astype(np.float32)
    speck = np.zeros_like(disc)
    speck[60, 60] = 1
    masks = np.stack([disc] * 5 + [speck])
    radii = []
    for seed in range(12):
        worn = degrade_masks(masks, np.random.default_rng(seed))
        assert worn.shape == masks.shape and worn.min() >= 0 and worn.max() <= 1
        assert (worn.reshape(6, -1).max(axis=1) >= 0.5).all()
        radii.append(np.sqrt(worn[:5].sum(axis=(1, 2)) / np.pi) - 40)
    radii = np.array(radii)
    assert np.abs(radii).max() < 2 and radii.std() > 0.3, "pixels"
    assert np.ptp(radii, axis=1).min() > 0.05, "each image in its own way"


# ---- Turned and joined


def test_turned_meshes_keep_their_shape_and_are_normalized():
    mesh = solid_mesh(arms())
    edges = sorted_edges(mesh)
    for seed in range(20):
        other = random_rotation(mesh, np.random.default_rng(seed))
        low, high = other.vertices.min(axis=0), other.vertices.max(axis=0)
        assert low + high == pytest.approx(np.zeros(3), abs=1e-9) and (high - low).max() == pytest.approx(2)
        ratio = sorted_edges(other) / edges
        assert ratio == pytest.approx(np.full(len(edges), ratio[0])), "turned and scaled, nothing else"
        assert as_volume(other) == pytest.approx(as_volume(mesh) * ratio[0] ** 3), "and not mirrored"
    assert mesh.vertices is not other.vertices and np.array_equal(sorted_edges(mesh), edges)


def as_volume(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume


def test_some_turned_meshes_stand_and_some_lie():
    tall = plain_mesh(*(lambda box: (box.vertices, box.faces))(trimesh.creation.box([0.2, 2.0, 0.2])))
    heights = [np.ptp(random_rotation(tall, np.random.default_rng(seed)).vertices[:, 1]) for seed in range(40)]
    assert sum(height > 1.99 for height in heights) >= 12 and sum(height < 1 for height in heights) >= 3


def test_joined_meshes_keep_all_faces_and_are_normalized():
    parts = [ball_mesh(), solid_mesh(arms()), ball_mesh()]
    for seed in range(6):
        mesh = composite(parts, np.random.default_rng(seed))
        assert len(mesh.vertices) == sum(len(part.vertices) for part in parts)
        assert len(mesh.faces) == sum(len(part.faces) for part in parts) == len(mesh.corner_colors)
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        assert low + high == pytest.approx(np.zeros(3), abs=1e-9) and (high - low).max() == pytest.approx(2)
        pieces = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).split(only_watertight=False)
        assert len(pieces) >= 3 and all(piece.volume > 0 for piece in pieces), "no part is turned inside out"


def test_joined_meshes_keep_their_own_textures():
    parts = [textured(10), solid_mesh(trimesh.creation.box(), (0.5, 0.5, 0.5)), textured(200)]
    mesh = composite(parts, np.random.default_rng(0))
    assert len(mesh.textures) == 2
    assert mesh.face_texture.tolist() == [0] + [-1] * 12 + [1]
    colors = mesh.colors_at([0, 5, 13], np.full((3, 3), 1 / 3))
    assert colors == pytest.approx(np.array([[10 / 255] * 3, [0.5] * 3, [200 / 255] * 3]), abs=1e-5)
