"""The color decoder is a function of position and of the object, nothing else."""
import pytest
import torch

from config import config_as_dict
from models.texture_model import TextureDecoder, TextureModel, load_texture_model
from tests.models.test_geometry_model import FakeEncoder, pictures
from utils.io.checkpoint import save_checkpoint, stored_weights


def positions(seed, batch, count):
    return torch.rand(batch, count, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def small_decoder():
    torch.manual_seed(0)
    return TextureDecoder(feature_dim=8, hidden=32, num_layers=2, num_frequencies=4).eval()


def small_model():
    torch.manual_seed(0)
    return TextureModel(FakeEncoder(), aggregate_dim=24, hidden=32, num_layers=2, num_frequencies=4)


def test_colors_are_rgb_between_zero_and_one_for_any_input():
    decoder = small_decoder()
    for scale in (1, 1e3):
        colors = decoder(scale * positions(0, 2, 500), scale * torch.randn(2, 8))
        assert colors.shape == (2, 500, 3) and 0 <= colors.min() and colors.max() <= 1


def test_a_position_has_the_same_color_whatever_other_points_are_asked():
    decoder, points, feature = small_decoder(), positions(1, 2, 300), torch.randn(2, 8)
    with torch.no_grad():
        whole = decoder(points, feature)
        order = torch.randperm(300)
        assert torch.allclose(decoder(points[:, order], feature), whole[:, order], atol=1e-6)
        assert torch.allclose(decoder(points[:, 7:8], feature), whole[:, 7:8], atol=1e-6)
        doubled = decoder(torch.cat([points, points], dim=1), feature)
    assert torch.allclose(doubled[:, :300], doubled[:, 300:], atol=1e-6)


def test_color_depends_on_position_and_on_each_objects_own_feature():
    decoder, points, feature = small_decoder(), positions(2, 1, 300).expand(2, -1, -1), torch.randn(2, 8)
    with torch.no_grad():
        colors = decoder(points, feature)
        assert colors[0].std(0).min() > 1e-3
        assert (colors[0] - colors[1]).abs().max() > 1e-2
        assert torch.allclose(decoder(points[1:], feature[1:]), colors[1:], atol=1e-6)


def test_higher_octaves_tell_closer_positions_apart():
    points = torch.tensor([[[0.3, 0.1, 0.2], [0.302, 0.1, 0.2]]])
    changes = []
    for octaves in (0, 8):
        torch.manual_seed(0)
        decoder = TextureDecoder(feature_dim=8, hidden=64, num_layers=1, num_frequencies=octaves)
        with torch.no_grad():
            hidden = decoder(points, torch.zeros(1, 8))
        changes.append((hidden[0, 0] - hidden[0, 1]).norm().item())
    assert changes[1] > 10 * changes[0]


def test_the_parameter_count_is_that_of_the_layers():
    decoder = TextureDecoder()
    inputs = 3 + 6 * 6
    expected = (inputs * 256 + 256) + 3 * (256 * 256 + 256) + 4 * 768 * 256 + 4 * 2 * 256 + (256 * 3 + 3)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == expected


def test_batch_size_one_trains_and_batches_agree():
    model, images, points = small_model().train(), pictures(4), positions(3, 4, 50)
    model(images[:1], points[:1]).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        apart = torch.cat([model(images[i:i + 1], points[i:i + 1]) for i in range(4)])
        assert torch.allclose(model(images, points), apart, atol=1e-6)


def test_features_seen_before_replace_the_images():
    model, images, points = small_model(), pictures(2), positions(4, 2, 50)
    assert torch.equal(model(None, points, pooled=model.encoder(images)[0]), model(images, points))


def test_colors_are_float32_under_autocast():
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert small_model()(pictures(1), positions(5, 1, 20)).dtype == torch.float32


def test_a_saved_model_colors_the_same(tiny_config, tmp_path):
    from models.encoder import load_encoder

    torch.manual_seed(0)
    cfg = tiny_config()
    model = TextureModel(load_encoder(cfg)[0], aggregate_dim=24, hidden=16, num_layers=3, num_frequencies=2).eval()
    save_checkpoint(tmp_path / "t.pth", "texture", model_args=model.model_args(), weights=stored_weights(model),
                    epoch=1, score=0.5, image_size=56, config=config_as_dict(cfg), validation_ids=["a"])
    again, checkpoint = load_texture_model(tmp_path / "t.pth")
    images, points = pictures(2, size=56), positions(6, 2, 100)
    with torch.no_grad():
        assert torch.equal(again(images, points), model(images, points))
    assert not again.training and not any(parameter.requires_grad for parameter in again.parameters())
    assert checkpoint["score"] == pytest.approx(0.5)
