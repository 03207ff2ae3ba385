"""The field: blind to the order of its views, its measures and its loss as worked by hand."""
import math

import numpy as np
import pytest
import torch

import models.field_model
from config import Config, UserError, config_as_dict
from models.field_model import (
    HULL_MARGIN,
    IMAGE_FEATURES,
    LOGIT_LENGTH,
    MIN_WEIGHT,
    VOLUME_FEATURES,
    EncodedObject,
    FieldModel,
    UNet,
    _blurred,
    field_loss,
    field_on_grid,
    load_field_model,
    up_to_date,
    with_stand_ins,
)
from models.view_cameras import Cameras, camera_tensors, view_cameras
from tests.models.test_view_cameras import hand_held, unlike_mesh
from tests.multiview.test_view_maps import maps_of
from utils.io.checkpoint import save_checkpoint, stored_weights
from utils.multiview.view_maps import CHANNELS
from utils.multiview.visual_hull import grid_axes, hull_on_grid

SMALL = {"grid_size": 8, "volume_widths": (8, 16), "view_width": 16, "head_width": 16, "image_widths": ()}


def small_model(**changes):
    torch.manual_seed(0)
    return FieldModel(**{**SMALL, **changes}).eval()


@pytest.fixture(scope="module")
def seen():
    """Points, maps, cameras and box of an object no two of whose views agree."""
    maps, box = maps_of(unlike_mesh())
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(1, 50, 3, generator=generator) * 1.6 - 0.8
    return points, torch.from_numpy(maps)[None], view_cameras(), torch.from_numpy(box)[None]


# ---- Sets of views, sets of points


WITH_IMAGES = {"image_widths": (8, 16)}


@pytest.mark.parametrize("changes", [{}, {"grid_size": 0}, {"stand_ins": False}, WITH_IMAGES],
                         ids=["whole", "no volume", "no flag", "images' features"])
def test_the_order_of_image_and_camera_pairs_changes_nothing(changes, seen):
    points, maps, cameras, box = seen
    model = small_model(**changes)
    with torch.no_grad():
        expected, hull = model(points, maps, cameras, box)
        assert expected.std() > 1e-4, "an output that is the same everywhere would prove nothing"
        for seed in range(3):
            order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
            output, other = model(points, maps[:, order], Cameras(*(part[:, order] for part in cameras)), box)
            assert torch.allclose(output, expected, atol=1e-5) and torch.equal(other, hull)


def some_views(cameras, chosen, **changes):
    return Cameras(*(part[:, chosen] for part in cameras))._replace(**changes)


@pytest.mark.parametrize("changes", [{}, {"grid_size": 0}, WITH_IMAGES])
def test_views_that_take_no_part_say_nothing_and_leaving_them_out_is_the_same(changes, seen):
    points, maps, cameras, box = seen
    model, four = small_model(**changes), [0, 1, 2, 3]
    present = torch.tensor([[True] * 4 + [False] * 2])
    with torch.no_grad():
        expected, hull = model(points, maps[:, four], some_views(cameras, four), box)
        masked = cameras._replace(present=present)
        output, other = model(points, maps, masked, box)
        painted = maps.clone()
        painted[:, 4:] = torch.rand_like(painted[:, 4:])
        assert torch.allclose(output, expected, atol=1e-5) and torch.equal(other, hull)
        assert torch.equal(model(points, painted, masked, box)[0], output)
        assert (model(points, maps, cameras, box)[0] - output).abs().max() > 1e-3
        both = Cameras(*(torch.cat([part, part]) for part in cameras))
        both = both._replace(present=torch.cat([present, ~present | present]))
        together = model(points.expand(2, -1, -1), maps.expand(2, *maps.shape[1:]), both, box.expand(2, -1, -1))[0]
        assert torch.allclose(together[:1], expected, atol=1e-5), "one object's missing view is no other's"
        assert torch.allclose(together[1:], model(points, maps, cameras, box)[0], atol=1e-5)


def test_a_stand_in_shows_its_silhouette_but_no_color_and_says_that_it_is_one(seen):
    points, maps, cameras, box = seen
    model = small_model()
    stand_in = cameras._replace(measured=torch.tensor([[True] * 5 + [False]]))
    painted = maps.clone()
    painted[:, 5, :3] = torch.rand_like(painted[:, 5, :3])
    features, hull = model.per_view_features(points, EncodedObject(maps, stand_in, box))
    other, _ = model.per_view_features(points, EncodedObject(painted, stand_in, box))
    assert torch.equal(features, other) and not features[:, 5, :, 13:].any()
    assert (features[:, :5, :, -1] == 1).all()
    five = model.per_view_features(points, EncodedObject(maps[:, :5], some_views(cameras, [0, 1, 2, 3, 4]), box))[0]
    assert torch.allclose(features[:, :5], five, atol=1e-6), "the mean color is that of the images there are"
    assert torch.equal(hull, model.per_view_features(points, EncodedObject(maps, cameras, box))[1])
    with torch.no_grad():
        assert (model(points, maps, stand_in, box)[0] - model(points, maps, cameras, box)[0]).abs().max() > 1e-4


def test_features_of_images_see_their_surroundings_and_the_cameras_axes_but_no_color_of_a_stand_in(seen):
    _, maps, cameras, box = seen
    model = small_model(**WITH_IMAGES)
    features = model.image_features(maps, cameras)
    assert features.shape == (1, 6, IMAGE_FEATURES, *maps.shape[3:]) and features.dtype == torch.float32
    painted = maps.clone()
    painted[:, 2, :3, 60:64, 60:64] = 0
    moved = (model.image_features(painted, cameras) - features).abs().amax(dim=2)[0]
    assert moved[2].max() > 1e-4 and not moved[[0, 1, 3, 4, 5]].any(), "one image says nothing in another"
    assert (moved[2] > 1e-6).sum() > 16, "more than the pixels themselves"
    stand_in = cameras._replace(measured=torch.tensor([[True, True, False, True, True, True]]))
    assert torch.equal(model.image_features(painted, stand_in), model.image_features(maps, stand_in))
    turned = cameras._replace(projection=cameras.projection.roll(1, dims=1))
    assert (model.image_features(maps, turned) - features).abs().max() > 1e-4
    points = torch.zeros(1, 1, 3)
    read = model.per_view_features(points, EncodedObject(torch.cat([maps, features], dim=2), cameras, box))[0]
    middle = features[..., 63:65, 63:65].mean(dim=(-2, -1))  # every image shows the origin between its middle pixels
    assert torch.allclose(read[:, :, 0, -IMAGE_FEATURES:], middle, atol=1e-5)


def test_a_image_under_another_camera_changes_the_output(seen):
    points, maps, cameras, box = seen
    model = small_model()
    with torch.no_grad():
        difference = model(points, maps[:, [1, 0, 2, 3, 4, 5]], cameras, box)[0] - model(points, maps, cameras, box)[0]
    assert difference.abs().max() > 1e-3


def test_points_and_objects_of_a_batch_do_not_touch_each_other(seen):
    points, maps, cameras, box = seen
    model = small_model(**WITH_IMAGES)
    two = torch.cat([maps, maps.flip(1)])
    both = Cameras(*(torch.cat([part, part]) for part in cameras))
    with torch.no_grad():
        together, _ = model(torch.cat([points, points]), two, both, torch.cat([box, box * 0.9]))
        first, _ = model(points[:, :7], maps, cameras, box)
        second, _ = model(points, maps.flip(1), cameras, box * 0.9)
    assert torch.allclose(together[:1, :7], first, atol=1e-5) and torch.allclose(together[1:], second, atol=1e-5)


def test_without_color_what_images_show_is_not_seen(seen):
    points, maps, cameras, box = seen
    painted = maps.clone()
    painted[:, :, :3] = torch.rand_like(painted[:, :, :3])
    for use_color in (True, False):
        model = small_model(use_color=use_color, **WITH_IMAGES)
        with torch.no_grad():
            same = torch.equal(model(points, maps, cameras, box)[0], model(points, painted, cameras, box)[0])
        assert same != use_color


@pytest.mark.parametrize("changes", [{}, {"grid_size": 0}, {"stand_ins": False}, {"use_color": False},
                                     WITH_IMAGES])
def test_shapes_types_and_gradients(changes, seen):
    points, maps, cameras, box = seen
    model = small_model(**changes).train()
    output, hull = model(points, maps, cameras, box)
    assert output.shape == hull.shape == (1, 50) and output.dtype == hull.dtype == torch.float32
    field_loss(output, hull, hull).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters() if parameter.ndim > 1)


def test_half_precision_leaves_lengths_and_outputs_in_full(seen):
    points, maps, cameras, box = seen
    model = small_model()
    with torch.no_grad():
        expected, hull = model(points, maps, cameras, box)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output, other = model(points, maps, cameras, box)
    assert output.dtype == torch.float32 and torch.equal(hull, other)
    assert (output - expected).abs().max() < 0.05 * expected.abs().max()


# ---- Measures


def test_the_distance_to_the_hull_is_the_one_on_its_grid(seen):
    _, maps, cameras, box = seen
    axes = [np.linspace(-0.9, 0.9, count) for count in (5, 6, 7)]
    points = torch.tensor(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(1, -1, 3), dtype=torch.float32)
    _, hull = small_model().per_view_features(points, EncodedObject(maps, cameras, box))
    expected = hull_on_grid(maps[0, :, CHANNELS.index("edge")].numpy(), axes)
    assert np.allclose(hull.numpy().reshape(5, 6, 7), expected, atol=1e-5)


def test_measures_of_a_point_by_hand():
    maps = torch.zeros(1, 6, 7, 8, 8)
    values = torch.tensor([0.2, 0.4, 0.6, 1.0, 0.15, 0.8, 0.3])  # color, coverage, edge; z from 0.8 down to -0.3
    maps[0, 0] = values[:, None, None]
    model = small_model(grid_size=0)
    measured, hull = model.per_view_features(torch.tensor([[[0.1, 0.2, 0.25]]]), EncodedObject(maps, view_cameras(), None))
    entry, leave = 0.8 - 0.25, 0.3 + 0.25
    expected = [1.0, 0.5, math.tanh(0.15 / 0.05), entry, math.tanh(entry / 0.05), math.tanh(entry / 0.25),
                leave, math.tanh(leave / 0.05), math.tanh(leave / 0.25), entry / (entry + leave), 0, 0, 1,
                -0.3, -0.1, 0.1, 0.2 * 5 / 6, 0.4 * 5 / 6, 0.6 * 5 / 6, 1]
    assert measured[0, 0, 0].tolist() == pytest.approx(expected, abs=1e-5)
    assert hull.item() == 0, "the other five views lie on their outlines"


def test_the_volume_is_described_and_read_at_the_same_places(seen, monkeypatch):
    points, maps, cameras, box = seen
    box = torch.tensor([[[-1.0, -0.4, -0.7], [1.0, 0.6, 0.5]]])
    model, asked, read = small_model(), [], []
    described = model.per_view_features
    monkeypatch.setattr(model, "per_view_features", lambda where, scene: asked.append(where) or described(where, scene))
    scene = model.encode(maps, cameras, box)
    cells = asked[0].transpose(1, 2).unflatten(2, (8, 8, 8))  # each cell holds its own place
    scene = scene._replace(volume=torch.cat([cells, torch.zeros(1, VOLUME_FEATURES - 3, 8, 8, 8)], dim=1))
    model.head.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    points = box[:, :1] + torch.rand(1, 40, 3) * (box[:, 1:] - box[:, :1])
    model.query(points, scene)
    assert torch.allclose(read[0][..., -VOLUME_FEATURES:][..., :3], points, atol=1e-5)


def test_cells_are_told_of_features_more_coarsely_than_points(seen, monkeypatch):
    _, maps, cameras, box = seen
    model, scenes = small_model(**WITH_IMAGES), []
    described = model.per_view_features
    monkeypatch.setattr(model, "per_view_features", lambda where, scene: scenes.append(scene) or described(where, scene))
    scene = model.encode(maps, cameras, box)
    rough, fine = (some.maps[:, :, 7:].diff(dim=-1).abs().mean() for some in (scenes[0], scene))
    assert 0 < rough < fine / 2


def test_cells_read_colors_and_features_as_coarse_images_show_them_and_distances_as_they_are():
    maps = torch.rand(1, 2, 9, 8, 8)
    coarse = _blurred(maps, 2, channels=4, features=True)
    means = maps.unflatten(3, (2, 4)).unflatten(5, (2, 4)).mean(dim=(4, 6))
    for channel in (0, 3, 7, 8):
        assert torch.allclose(coarse[:, :, channel, ::7, ::7], means[:, :, channel], atol=1e-6), "corners are no mixture"
    assert torch.equal(coarse[:, :, 4:7], maps[:, :, 4:7])
    assert torch.equal(_blurred(maps, 2, channels=3)[:, :, 3:], maps[:, :, 3:])


def test_a_u_net_returns_the_resolution_it_was_given():
    assert UNet(5, (8, 16), 3, axes=3)(torch.rand(2, 5, 8, 4, 8)).shape == (2, 3, 8, 4, 8)
    assert UNet(5, (8, 16), 3, axes=2)(torch.rand(2, 5, 8, 4)).shape == (2, 3, 8, 4)


# ---- Loss


def test_the_occupancy_loss_by_hand():
    output, distances = torch.tensor([[0.0, 2.0, -1.0, 9.0]]), torch.tensor([[0.01, -0.5, 0.0001, -0.3]])
    hull = torch.tensor([[0.1, 0.1, 0.1, -2 * HULL_MARGIN]])  # the last is known to be free
    entropy = [math.log(2), math.log(1 + math.exp(2)), math.log(1 + math.exp(1))]
    weight = [0.5, 1.0, MIN_WEIGHT]
    expected = sum(map(math.prod, zip(entropy, weight))) / sum(weight)
    assert field_loss(output, distances, hull).item() == pytest.approx(expected, rel=1e-6)


def test_in_a_thin_wall_points_count_fully_as_its_band_says():
    output, distances = torch.zeros(1, 2), torch.tensor([[0.006, -0.006]])
    output[0, 1] = 1.0
    hull, bands = torch.ones(1, 2), torch.tensor([[0.006, 0.02]])
    expected = (math.log(2) + 0.3 * math.log(1 + math.e)) / 1.3
    assert field_loss(output, distances, hull, bands).item() == pytest.approx(expected, rel=1e-5)


def test_a_loss_without_points_that_count_is_zero_with_zero_gradients():
    output = torch.tensor([[3.0, -4.0]], requires_grad=True)
    loss = field_loss(output, torch.tensor([[0.1, -0.1]]), torch.tensor([[-1.0, -1.0]]))
    loss.backward()
    assert loss.item() == 0 and not output.grad.any()


def test_the_gradient_pulls_towards_the_truth_and_stays_finite():
    output = torch.tensor([[-80.0, 80.0, 0.0, 0.0]], requires_grad=True)
    distances = torch.tensor([[0.09, -0.09, 0.0, 2.0]])
    field_loss(output, distances, torch.ones(1, 4)).backward()
    assert torch.isfinite(output.grad).all()
    assert output.grad[0, 0] < 0 < output.grad[0, 1] and output.grad[0, 3] < 0


# ---- On a grid


def test_a_field_on_a_grid_is_the_model_inside_the_hull_and_the_hull_outside(seen, monkeypatch):
    maps = seen[1][0].numpy()
    box = seen[3][0].numpy()
    axes = grid_axes(box, 12, smallest=6)
    hull = hull_on_grid(maps[:, CHANNELS.index("edge")], axes)
    model = small_model()
    field = field_on_grid(model, maps, axes, hull)
    assert field.shape == hull.shape and field.dtype == np.float32
    outside = hull <= 0
    assert outside.any() and np.array_equal(field[outside], hull[outside])
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)[~outside]
    with torch.no_grad():
        output, _ = model(torch.tensor(points[None], dtype=torch.float32), seen[1], view_cameras(),
                          torch.tensor(box[None]))
    assert np.allclose(field[~outside], output[0].numpy() * LOGIT_LENGTH, atol=1e-5)
    monkeypatch.setattr(models.field_model, "POINTS_AT_ONCE", 100)
    assert np.allclose(field_on_grid(model, maps, axes, hull), field, atol=1e-6)


def test_on_a_grid_any_cameras_are_used_as_the_model_uses_them():
    cameras = hand_held(1)
    maps, box = maps_of(unlike_mesh(), cameras)
    axes = grid_axes(box, 10, smallest=6)
    hull = hull_on_grid(maps[:, CHANNELS.index("edge")], axes, cameras)
    model, measured = small_model(), [True] * 5 + [False]
    field = field_on_grid(model, maps, axes, hull, cameras, measured)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)[hull > 0]
    with torch.no_grad():
        output, model_hull = model(torch.tensor(points[None], dtype=torch.float32), torch.from_numpy(maps)[None],
                                   camera_tensors(cameras, measured), torch.tensor(box[None]))
    assert np.allclose(field[hull > 0], output[0].numpy() * LOGIT_LENGTH, atol=1e-4)
    assert np.allclose(model_hull[0].numpy(), hull[hull > 0], atol=1e-4), "the model's hull is the grid's"
    assert np.abs(field_on_grid(model, maps, axes, hull) - field).max() > 1e-3


class BallField(FieldModel):
    """Logits of a ball whose surface is 0.02 lengths thick, and how many points were asked for."""

    asked = 0

    def query(self, points, scene):
        self.asked += points.shape[1]
        logits = (0.7 - points.norm(dim=-1)) / LOGIT_LENGTH
        return logits, torch.zeros_like(logits)


@pytest.mark.parametrize("counts", [(40, 41, 42), (39, 40, 41)])
def test_a_grid_is_refined_about_the_surface_alone_and_the_surface_is_the_same(counts, seen):
    axes = [np.linspace(-1.0, 1.0, count) for count in counts]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    ball, hull = 0.7 - np.linalg.norm(points, axis=-1), (0.95 - np.abs(points).max(axis=-1)).astype(np.float32)
    model = BallField(grid_size=0)
    field = field_on_grid(model, seen[1][0].numpy(), axes, hull)
    assert model.asked < 0.6 * (hull > 0).sum()
    assert np.array_equal(field > 0, np.where(hull > 0, ball, hull) > 0)
    near = (np.abs(ball) < 0.05) & (hull > 0)
    assert np.allclose(field[near], ball[near], atol=1e-5)
    assert np.abs(field - ball)[(hull > 0) & (ball < 0.5)].max() < 0.02  # means of corners, away from the center's tip


def test_a_hull_of_one_cell_between_the_coarse_planes_is_still_asked_for(seen):
    axes = [np.linspace(-1.0, 1.0, 7)] * 3
    hull = np.full((7, 7, 7), -0.1, np.float32)
    hull[3, 3, 3] = 0.1
    field = field_on_grid(BallField(grid_size=0), seen[1][0].numpy(), axes, hull)
    assert field[3, 3, 3] == pytest.approx(0.7) and (field == hull).sum() == 7 ** 3 - 1


# ---- Checkpoints


def saved(path, model, kind="field", **changes):
    values = {"model_args": model.model_args(), "weights": stored_weights(model), "image_size": 256,
              "config": config_as_dict(Config()), "epoch": 1, "score": 0.5, "validation_ids": [], "training_ids": []}
    save_checkpoint(path, kind, **(values | changes))
    return path


def test_a_checkpoint_gives_the_same_model_back(seen, tmp_path):
    model = small_model(stand_ins=False, use_color=False)
    loaded, checkpoint = load_field_model(saved(tmp_path / "field.pth", model))
    assert loaded.model_args() == model.model_args() and checkpoint["score"] == 0.5
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    with torch.no_grad():
        assert torch.equal(loaded(*seen)[0], model(*seen)[0])


EARLIER = {"pictures": False, "target": "occupancy", "token_width": 0, "token_size": 0}  # beside today's arguments


def test_an_earlier_checkpoint_still_loads_and_may_be_widened_for_stand_ins_without_changing_what_it_says(seen, tmp_path):
    model = small_model(stand_ins=False)
    args = {name: value for name, value in model.model_args().items() if name != "stand_ins"} | EARLIER
    loaded, checkpoint = load_field_model(saved(tmp_path / "field.pth", model, model_args=args))
    assert not loaded.stand_ins
    wider = small_model(stand_ins=True)
    wider.load_state_dict(with_stand_ins(checkpoint["weights"]))
    with torch.no_grad():
        expected = model(*seen)[0]
        assert torch.equal(loaded(*seen)[0], expected) and torch.allclose(wider(*seen)[0], expected, atol=1e-5)


def test_a_checkpoint_without_images_features_is_widened_always_alike_without_changing_what_it_says(seen):
    model = small_model()
    args, weights = up_to_date(model.model_args(), model.state_dict(), [8, 16])
    torch.manual_seed(9)
    again = up_to_date(model.model_args(), model.state_dict(), [8, 16])[1]
    assert all(torch.equal(again[name], value) for name, value in weights.items())
    wider = FieldModel(**args)
    wider.load_state_dict(weights)
    with torch.no_grad():
        assert torch.allclose(wider(*seen)[0], model(*seen)[0], atol=1e-5)
    kept = up_to_date(wider.model_args(), wider.state_dict(), [24])
    assert kept[0] == args and kept[1].keys() == weights.keys(), "its own features stay"
    wider.zero_grad()
    wider(*seen)[0].sum().backward()
    assert wider.per_view[0].weight.grad[:, -IMAGE_FEATURES:].abs().sum() > 0, "and what weighs 0 can be learned"


@pytest.mark.parametrize("name, value", [("pictures", True), ("target", "distance"), ("token_width", 384)])
def test_a_checkpoint_with_a_part_that_is_gone_is_refused_naming_the_part(name, value, tmp_path):
    model = small_model()
    path = saved(tmp_path / "field.pth", model, model_args=model.model_args() | EARLIER | {name: value})
    with pytest.raises(UserError, match=f"field.pth: .*{name}"):
        load_field_model(path)


def test_defaults_are_those_of_the_configuration():
    model = FieldModel()
    assert model.sizes["grid_size"] == Config.field_grid and tuple(model.sizes["volume_widths"]) == Config.field_widths
    assert tuple(model.sizes["image_widths"]) == Config.field_image_widths


@pytest.mark.parametrize("sizes", [{"grid_size": 8, "unknown": 1}, {"volume_widths": [7]}])
def test_sizes_that_fit_no_model_are_refused_naming_the_file(sizes, tmp_path):
    model = small_model()
    path = saved(tmp_path / "field.pth", model, model_args=model.model_args() | sizes)
    with pytest.raises(UserError, match="field.pth"):
        load_field_model(path)


def test_weights_of_other_sizes_are_refused_naming_file_and_weight(tmp_path):
    path = saved(tmp_path / "field.pth", small_model(), model_args=small_model(view_width=24).model_args())
    with pytest.raises(UserError, match=r"field.pth: weight .* has shape"):
        load_field_model(path)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    path = saved(tmp_path / "other.pth", small_model(), kind="geometry")
    with pytest.raises(UserError, match="other.pth: holds a geometry model where a field model is needed"):
        load_field_model(path)
