"""The sheet of validation objects: what is drawn is what was predicted, and drawing keeps to its share of the time."""
import types
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

import train_field
import train_geometry
import train_texture
import utils.training_data.field_samples
import utils.training_data.occupancy
from config import VIEW_NAMES
from load_data import find_objects
from tests.test_train_geometry import assert_same_checkpoints
from utils.evaluation import validation_sheet
from utils.evaluation.contact_sheet import LABEL, TILE
from utils.evaluation.validation_sheet import GRID, ValidationSheet, mesh_of_field
from utils.mesh.mesh import plain_mesh
from utils.mesh.sphere_template import sphere_template
from utils.rendering.cameras import VIEW_CAMERAS
from utils.rendering.rasterizer import rasterize
from utils.views.six_views import read_framed_views


@pytest.fixture(scope="module")
def objects(shoes):
    return find_objects(shoes / "OBJs", shoes / "input_images")[0]


def tile(path, row, column):
    image = np.asarray(Image.open(path).convert("RGB"))
    top = LABEL + row * (LABEL + TILE) + LABEL
    return image[top:top + TILE, column * TILE:(column + 1) * TILE]


def drawn_width(image):
    """Columns of a tile in which something stands before the white."""
    return np.flatnonzero((image < 250).any(axis=(0, 2))).size


def test_each_row_has_six_inputs_the_prediction_and_the_truth_painted_and_gray(objects, tmp_path):
    ball = sphere_template(200)
    green = plain_mesh(0.5 * ball.points.astype(float), ball.faces, (0, 1, 0))
    asked = []

    def predict(number, views):
        asked.append((number, views.id))
        return green

    sheet = ValidationSheet(tmp_path, objects, 2, painted=True)
    sheet.draw(predict, "epoch 3")
    path = tmp_path / "validation_objects.png"
    assert asked == [(0, objects[0].id), (2, objects[2].id)], "at even steps of five"
    assert Image.open(path).size == (14 * TILE, LABEL + 2 * (LABEL + TILE))
    for row in range(2):
        painted, gray = tile(path, row, 6), tile(path, row, 8)
        middle = painted[TILE // 2, TILE // 2]
        assert tuple(middle) == (0, 255, 0) and np.ptp(gray[TILE // 2, TILE // 2]) == 0
        assert drawn_width(painted) == pytest.approx(0.5 * TILE / 1.1, abs=4), "a ball half as wide as the frame's box"
        assert drawn_width(tile(path, row, 0)) > 10 and drawn_width(tile(path, row, 12)) > 10
    assert (tile(path, 0, 10) != tile(path, 1, 10)).any()


def test_without_colors_a_column_less_and_an_empty_prediction_leaves_blanks(objects, tmp_path):
    ValidationSheet(tmp_path, objects, 1, painted=False).draw(lambda number, views: None, "epoch 1")
    path = tmp_path / "validation_objects.png"
    assert Image.open(path).size[0] == 12 * TILE
    assert (tile(path, 0, 6) == 235).all()


def test_drawing_takes_its_share_of_the_time_but_for_the_first_and_the_last_sheet(objects, tmp_path, monkeypatch):
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(validation_sheet.time, "monotonic", lambda: clock.now)

    def slow(number, views):
        clock.now += 10
        return

    sheet = ValidationSheet(tmp_path, objects, 1, painted=False)
    assert sheet.due(last=False), "the first one whatever it costs"
    sheet.draw(slow, "")
    assert sheet.spent == 10
    clock.now = 150
    assert not sheet.due(last=False) and sheet.due(last=True)
    clock.now = 201
    assert sheet.due(last=False), "10 s are 5 % of 200 s"
    for idle in (ValidationSheet(tmp_path, objects, 0, False), ValidationSheet(tmp_path, objects, 4, False, active=False),
                 ValidationSheet(tmp_path, [], 4, False)):
        assert not idle.due(last=True)


def test_a_fields_answer_is_held_to_the_silhouettes_and_painted_by_the_images(objects):
    views, _ = read_framed_views(objects[0].images, 256, objects[0].id)
    whole = mesh_of_field(views, lambda maps, axes, hull: np.full_like(hull, 9))  # which would fill space
    assert 0.95 < np.abs(whole.vertices).max() < 1 + 3 / GRID, "nothing lies outside the visual hull"
    volumes = [as_trimesh(mesh).volume for mesh in (whole, mesh_of_field(views, lambda maps, axes, hull: hull - 0.05))]
    assert volumes[1] < 0.93 * volumes[0], "what the field says is drawn, not the hull"
    empty = mesh_of_field(views, lambda maps, axes, hull: np.full_like(hull, -1))  # against what the silhouettes show
    drawn = rasterize(empty.vertices, empty.faces, VIEW_CAMERAS["left"], 256).face_index >= 0
    known = views.masks[VIEW_NAMES.index("left")] > 0.5
    assert (drawn & known).sum() > 0.85 * (drawn | known).sum()
    inside = views.images[0][views.masks[0] > 0.9]
    assert np.abs(whole.corner_colors.mean((0, 1)) - inside.mean(0)).max() < 0.35
    nothing = replace(views, masks=views.masks * 0)
    assert mesh_of_field(nothing, None) is None


def as_trimesh(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


# ---- In the loops


@pytest.mark.parametrize("script, stage, columns, frozen", [
    pytest.param(train_geometry, "geometry", 12, True, marks=pytest.mark.slow),
    pytest.param(train_geometry, "geometry", 12, False, marks=pytest.mark.slow),
    pytest.param(train_texture, "texture", 14, True, marks=pytest.mark.slow), (train_texture, "texture", 14, False),
    pytest.param(train_field, "geometry_field", 14, False, marks=pytest.mark.slow)], ids=lambda value: str(value)[:9])
def test_a_run_renews_sheet_and_curves_and_trains_the_same_bits_as_without(script, stage, columns, frozen, tiny_config,
                                                                           tiny_geometry, tmp_path, monkeypatch):
    for name in ("SURFACE_SAMPLES", "NEAR_POINTS", "FREE_POINTS"):
        monkeypatch.setattr(utils.training_data.field_samples, name, 1000)
    monkeypatch.setattr(utils.training_data.occupancy, "DIRECTIONS", 12)
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 1)
    draw, modes = ValidationSheet.draw, []

    def watched(sheet, predict, title):
        draw(sheet, predict, title)
        modes.append(predict.args[0].training)  # of the model that is drawn

    monkeypatch.setattr(ValidationSheet, "draw", watched)
    changes = {"num_epochs_stage1": 2, "num_epochs_stage2": 2, "freeze_image_encoder": frozen, "field_grid": 8,
               "field_widths": (8, 16), "field_image_widths": (0,), "field_points": 64, "field_variants": 0,
               "validation_fraction": 0.4,
               **({"geometry_checkpoint": str(tiny_geometry), "lambda_perceptual": 0.0} if stage == "texture" else {})}
    for name, count in (("with", 2), ("without", 0)):
        script.train(tiny_config(**changes, sheet_objects=count, checkpoint_dir=str(tmp_path / name),
                                 log_dir=str(tmp_path / name)))
    assert modes and all(modes), "it goes on in training mode"
    assert_same_checkpoints(tmp_path / "with", tmp_path / "without", stage)
    sheet = Image.open(tmp_path / "with" / stage / "validation_objects.png")
    assert sheet.size == (columns * TILE, LABEL + 2 * (LABEL + TILE))
    assert not (tmp_path / "without" / stage / "validation_objects.png").exists()
    assert (tmp_path / "without" / stage / "curves.png").is_file()
    if stage != "geometry_field":  # whose answer may be empty after two epochs
        assert drawn_width(tile(sheet.filename, 0, 6)) > 10
