"""The field: blind to the order of its views, its measures and its loss as worked by hand."""
import math

import numpy as np
import pytest
import torch

import models.field_model
from config import Config, UserError, config_as_dict
from models.encoder import ImageEncoder, tokens_at
from models.field_model import (
    HULL_MARGIN,
    LOGIT_LENGTH,
    MIN_WEIGHT,
    VOLUME_FEATURES,
    EncodedObject,
    FieldModel,
    UNet,
    field_loss,
    field_on_grid,
    load_field_model,
)
from models.view_cameras import Cameras, view_cameras
from tests.models.test_encoder import tiny_backbone
from tests.models.test_view_cameras import unlike_mesh
from tests.multiview.test_view_maps import maps_of
from utils.io.checkpoint import save_checkpoint, stored_weights
from utils.multiview.view_maps import CHANNELS
from utils.multiview.visual_hull import grid_axes, hull_on_grid

SMALL = {"grid_size": 8, "volume_widths": (8, 16), "pictures": True, "view_width": 16, "head_width": 16}


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


@pytest.mark.parametrize("changes", [{}, {"grid_size": 0}, {"pictures": False}, {"target": "distance"}],
                         ids=["whole", "no volume", "no images", "distance"])
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


def test_a_image_under_another_camera_changes_the_output(seen):
    points, maps, cameras, box = seen
    model = small_model()
    with torch.no_grad():
        difference = model(points, maps[:, [1, 0, 2, 3, 4, 5]], cameras, box)[0] - model(points, maps, cameras, box)[0]
    assert difference.abs().max() > 1e-3


def test_points_and_objects_of_a_batch_do_not_touch_each_other(seen):
    points, maps, cameras, box = seen
    model = small_model()
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
        model = small_model(use_color=use_color)
        with torch.no_grad():
            same = torch.equal(model(points, maps, cameras, box)[0], model(points, painted, cameras, box)[0])
        assert same != use_color


@pytest.mark.parametrize("changes", [{}, {"grid_size": 0}, {"pictures": False}, {"use_color": False}])
def test_shapes_types_and_gradients(changes, seen):
    points, maps, cameras, box = seen
    model = small_model(**changes).train()
    output, hull = model(points, maps, cameras, box)
    assert output.shape == hull.shape == (1, 50) and output.dtype == hull.dtype == torch.float32
    field_loss(output, hull, hull, "occupancy").backward()
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
    _, hull = small_model().per_view_features(points, EncodedObject(maps, cameras, box, torch.zeros(1, 6, 12, 64, 64), None))
    expected = hull_on_grid(maps[0, :, CHANNELS.index("edge")].numpy(), axes)
    assert np.allclose(hull.numpy().reshape(5, 6, 7), expected, atol=1e-5)


def test_measures_of_a_point_by_hand():
    maps = torch.zeros(1, 6, 7, 8, 8)
    values = torch.tensor([0.2, 0.4, 0.6, 1.0, 0.15, 0.8, 0.3])  # color, coverage, edge; z from 0.8 down to -0.3
    maps[0, 0] = values[:, None, None]
    model = small_model(pictures=False, grid_size=0)
    measured, hull = model.per_view_features(torch.tensor([[[0.1, 0.2, 0.25]]]),
                                    EncodedObject(maps, view_cameras(), None, None, None))
    entry, leave = 0.8 - 0.25, 0.3 + 0.25
    expected = [1.0, 0.5, math.tanh(0.15 / 0.05), entry, math.tanh(entry / 0.05), math.tanh(entry / 0.25),
                leave, math.tanh(leave / 0.05), math.tanh(leave / 0.25), entry / (entry + leave), 0, 0, 1,
                -0.3, -0.1, 0.1, 0.2 * 5 / 6, 0.4 * 5 / 6, 0.6 * 5 / 6]
    assert measured[0, 0, 0].tolist() == pytest.approx(expected, abs=1e-5)
    assert hull.item() == 0, "the other five views lie on their outlines"


def test_the_volume_is_described_and_read_at_the_same_places(seen, monkeypatch):
    points, maps, cameras, box = seen
    box = torch.tensor([[[-1.0, -0.4, -0.7], [1.0, 0.6, 0.5]]])
    model, asked, read = small_model(pictures=False), [], []
    described = model.per_view_features
    monkeypatch.setattr(model, "per_view_features", lambda where, scene: asked.append(where) or described(where, scene))
    scene = model.encode(maps, cameras, box)
    cells = asked[0].transpose(1, 2).unflatten(2, (8, 8, 8))  # each cell holds its own place
    scene = scene._replace(volume=torch.cat([cells, torch.zeros(1, VOLUME_FEATURES - 3, 8, 8, 8)], dim=1))
    model.head.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    points = box[:, :1] + torch.rand(1, 40, 3) * (box[:, 1:] - box[:, :1])
    model.query(points, scene)
    assert torch.allclose(read[0][..., -VOLUME_FEATURES:][..., :3], points, atol=1e-5)


def test_a_u_net_returns_the_resolution_it_was_given():
    for dimensions, shape in ((2, (16, 12)), (3, (8, 4, 8))):
        output = UNet(dimensions, 5, (8, 16), 3)(torch.rand(2, 5, *shape))
        assert output.shape == (2, 3, *shape)


# ---- Patch tokens


@pytest.mark.parametrize("grid_size", [8, 0])
def test_the_order_of_image_camera_and_tokens_changes_nothing(grid_size, seen):
    points, maps, cameras, box = seen
    model = small_model(token_width=10, grid_size=grid_size)
    tokens = torch.randn(1, 6, 9, 10, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected, _ = model(points, maps, cameras, box, tokens)
        for seed in range(3):
            order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
            turned = Cameras(*(part[:, order] for part in cameras))
            output, _ = model(points, maps[:, order], turned, box, tokens[:, order])
            assert torch.allclose(output, expected, atol=1e-5)
            assert (model(points, maps[:, order], turned, box, tokens)[0] - expected).abs().max() > 1e-3
            assert (model(points, maps, cameras, box, tokens[:, order])[0] - expected).abs().max() > 1e-3


def test_tokens_are_read_where_a_point_projects_by_hand():
    model = small_model(pictures=False, grid_size=0, token_width=3)
    model.token_features = torch.nn.Identity()  # of 4 x 4 patches, each of which knows its view, row and column
    tokens = torch.tensor([[view, row, column] for view in range(6) for row in range(4) for column in range(4)])
    maps, point = torch.zeros(1, 6, 7, 8, 8), torch.tensor([[[0.11, 0.44, -0.55]]])
    scene = model.encode(maps, view_cameras(), None, tokens.float().view(1, 6, 16, 3))
    measured, _ = model.per_view_features(point, scene)
    # A patch is 0.55 long, the first one's center at -0.825: x is at 1.7, -x at 1.3, z at 0.5, -z at 2.5, y in row 0.7
    expected = [[0, 0.7, 1.7], [1, 0.7, 1.3], [2, 0.7, 2.5], [3, 0.7, 0.5], [4, 0.5, 1.7], [5, 2.5, 1.7]]
    assert torch.allclose(measured[0, :, 0, -3:], torch.tensor(expected), atol=1e-5)


def test_cells_and_points_are_told_of_tokens_and_the_weights_learn_from_both(seen):
    points, maps, cameras, box = seen
    model, tokens = small_model(token_width=10), torch.randn(1, 6, 9, 10)
    with torch.no_grad():
        one, other = (model.encode(maps, cameras, box, some) for some in (tokens, tokens.flip(2)))
        assert (one.volume - other.volume).abs().max() > 1e-3
        assert (model.per_view_features(points, one)[0] - model.per_view_features(points, other)[0]).abs().max() > 0.1
    output, hull = model(points, maps, cameras, box, tokens)
    field_loss(output, hull, hull, "occupancy").backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.token_features.parameters())


@pytest.fixture
def with_encoder():
    """A model with an encoder of its own, whose backbone is random."""
    encoder = ImageEncoder(tiny_backbone(), frozen=True)
    return small_model(token_width=32, token_size=50, encoder=encoder)


def test_a_model_without_tokens_given_makes_them_of_the_colors(seen, with_encoder):
    points, maps, cameras, box = seen
    with torch.no_grad():
        tokens = tokens_at(with_encoder.encoder, maps[:, :, :3], 50)
        assert tokens.shape == (1, 6, 16, 32)
        expected = with_encoder(points, maps, cameras, box, tokens)[0]
        assert torch.equal(with_encoder(*seen)[0], expected)
        painted = maps.clone()
        painted[:, :, :3] = 1 - maps[:, :, :3]
        assert not torch.equal(with_encoder(points, painted, cameras, box)[0],
                               with_encoder(points, painted, cameras, box, tokens)[0])


def test_no_gradient_reaches_the_encoder(seen, with_encoder):
    output, hull = with_encoder.train()(*seen)
    assert not with_encoder.encoder.backbone.training
    field_loss(output, hull, hull, "occupancy").backward()
    assert all(parameter.grad is None for parameter in with_encoder.encoder.parameters())
    assert all(parameter.grad is not None for parameter in with_encoder.token_features.parameters())


def test_a_model_without_tokens_has_no_weights_or_encoder_for_them(seen):
    model = small_model()
    assert not any("token" in name or "encoder" in name for name in model.state_dict())
    assert "encoder" not in model.model_args() and not hasattr(model, "encoder")
    assert model.encode(*seen[1:]).token_features is None


# ---- Loss


def test_the_occupancy_loss_by_hand():
    output, distances = torch.tensor([[0.0, 2.0, -1.0, 9.0]]), torch.tensor([[0.01, -0.5, 0.0001, -0.3]])
    hull = torch.tensor([[0.1, 0.1, 0.1, -2 * HULL_MARGIN]])  # the last is known to be free
    entropy = [math.log(2), math.log(1 + math.exp(2)), math.log(1 + math.exp(1))]
    weight = [0.5, 1.0, MIN_WEIGHT]
    expected = sum(map(math.prod, zip(entropy, weight))) / sum(weight)
    assert field_loss(output, distances, hull, "occupancy").item() == pytest.approx(expected, rel=1e-6)


def test_the_distance_loss_by_hand():
    output, distances = torch.tensor([[0.02, -0.05, 0.5]]), torch.tensor([[0.3, -0.04, -0.3]])
    hull = torch.tensor([[0.1, -HULL_MARGIN / 2, -1.0]])
    assert field_loss(output, distances, hull, "distance").item() == pytest.approx((0.8 + 0.1) / 2, rel=1e-5)


@pytest.mark.parametrize("target", ["occupancy", "distance"])
def test_a_loss_without_points_that_count_is_zero_with_zero_gradients(target):
    output = torch.tensor([[3.0, -4.0]], requires_grad=True)
    loss = field_loss(output, torch.tensor([[0.1, -0.1]]), torch.tensor([[-1.0, -1.0]]), target)
    loss.backward()
    assert loss.item() == 0 and not output.grad.any()


@pytest.mark.parametrize("target", ["occupancy", "distance"])
def test_the_gradient_pulls_towards_the_truth_and_stays_finite(target):
    output = torch.tensor([[-80.0, 80.0, 0.0, 0.0]], requires_grad=True)
    distances = torch.tensor([[0.09, -0.09, 0.0, 2.0]])
    field_loss(output, distances, torch.ones(1, 4), target).backward()
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
    model = BallField(grid_size=0, pictures=False)
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
    field = field_on_grid(BallField(grid_size=0, pictures=False), seen[1][0].numpy(), axes, hull)
    assert field[3, 3, 3] == pytest.approx(0.7) and (field == hull).sum() == 7 ** 3 - 1


# ---- Checkpoints


def saved(path, model, kind="field", **changes):
    values = {"model_args": model.model_args(), "weights": stored_weights(model), "image_size": 256,
              "config": config_as_dict(Config()), "epoch": 1, "score": 0.5, "validation_ids": [], "training_ids": []}
    save_checkpoint(path, kind, **(values | changes))
    return path


def test_a_checkpoint_gives_the_same_model_back(seen, tmp_path):
    model = small_model(target="distance", use_color=False)
    loaded, checkpoint = load_field_model(saved(tmp_path / "field.pth", model))
    assert loaded.model_args() == model.model_args() and checkpoint["score"] == 0.5
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    with torch.no_grad():
        assert torch.equal(loaded(*seen)[0], model(*seen)[0])


def test_a_checkpoint_from_before_there_were_tokens_still_loads(seen, tmp_path):
    model = small_model()
    args = {name: value for name, value in model.model_args().items() if not name.startswith("token")}
    assert len(args) == 7
    loaded, _ = load_field_model(saved(tmp_path / "field.pth", model, model_args=args))
    with torch.no_grad():
        assert torch.equal(loaded(*seen)[0], model(*seen)[0])


def test_a_checkpoint_holds_an_encoder_that_has_no_name_and_gives_it_back(seen, with_encoder, tmp_path):
    path = saved(tmp_path / "field.pth", with_encoder)
    loaded, checkpoint = load_field_model(path)
    assert any(name.startswith("encoder.backbone") for name in checkpoint["weights"])
    with torch.no_grad():
        assert torch.equal(loaded(*seen)[0], with_encoder(*seen)[0])


def test_an_encoder_of_another_width_is_refused_naming_the_file(with_encoder, tmp_path):
    path = saved(tmp_path / "field.pth", with_encoder, model_args=with_encoder.model_args() | {"token_width": 24})
    with pytest.raises(UserError, match="field.pth: .*gives 32 features, not 24"):
        load_field_model(path)


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
