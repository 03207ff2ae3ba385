"""Point decoder and geometry model: sizes counted by hand, closed meshes, one object or four."""
import pytest
import torch
import trimesh
from torch import nn

from config import UserError, config_as_dict
from models.encoder import load_encoder
from models.geometry_model import START_RADII, GeometryModel, PointCloudDecoder, load_geometry_model
from utils.io.checkpoint import save_checkpoint, stored_weights


class FakeEncoder(nn.Module):
    """Mean color of each view through one layer; stands for any encoder."""

    def __init__(self, feature_dim=16):
        super().__init__()
        self.feature_dim, self.stored, self.frozen = feature_dim, True, False
        self.layer = nn.Linear(3, feature_dim)

    def forward(self, images):
        pooled = self.layer(images.mean((-2, -1)))
        return pooled, pooled[:, :, None]


def pictures(batch, seed=0, size=14):
    return torch.rand(batch, 6, 3, size, size, generator=torch.Generator().manual_seed(seed))


def small_model(**changes):
    torch.manual_seed(0)
    return GeometryModel(FakeEncoder(), **{"num_points": 64, "decoder_hidden": (32, 32), "aggregate_dim": 24} | changes)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_default_decoder_has_the_cards_layers_and_parameters():
    decoder = PointCloudDecoder(num_points=4096)
    widths = [module.out_features for module in decoder.modules() if isinstance(module, nn.Linear)]
    assert widths == [1024, 2048, 2048, 12288]
    norms = [module.normalized_shape[0] for module in decoder.modules() if isinstance(module, nn.LayerNorm)]
    assert norms == [1024, 2048, 2048]
    linear = (768 * 1024 + 1024) + (1024 * 2048 + 2048) + (2048 * 2048 + 2048) + (2048 * 12288 + 12288)
    assert count(decoder) == linear + 2 * (1024 + 2048 + 2048) == 32_271_360
    assert not any("BatchNorm" in type(module).__name__ for module in decoder.modules())


@pytest.mark.parametrize("num_points", [4, 64, 1024])
def test_an_untrained_prediction_is_a_small_closed_ellipsoid(num_points):
    torch.manual_seed(0)
    model = GeometryModel(FakeEncoder(), num_points=num_points).eval()
    with torch.no_grad():
        vertices = model(pictures(2))
    for one in vertices:
        mesh = trimesh.Trimesh(one.numpy(), model.faces.numpy(), process=False)
        assert mesh.is_watertight and mesh.is_winding_consistent and mesh.euler_number == 2 and mesh.volume > 0
        assert mesh.area_faces.min() > 0
    ideal = model.decoder.start
    assert (vertices - ideal).abs().max() < 0.1 and (vertices - ideal).std() < 0.02
    assert (vertices[0] - vertices[1]).abs().max() > 0, "it depends on the images from the start"
    if num_points == 1024:
        assert ideal.amax(0).tolist() == pytest.approx(START_RADII, rel=0.02)


def test_batch_size_one_trains_and_every_parameter_gets_a_gradient():
    model = small_model().train()
    model(pictures(1)).square().sum().backward()
    assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert model.encoder.layer.weight.grad.abs().max() > 0


@pytest.mark.slow
def test_batch_one_and_batch_four_agree(tiny_config):
    torch.manual_seed(0)
    model = GeometryModel(load_encoder(tiny_config())[0], num_points=256, decoder_hidden=(64,)).eval()
    nn.init.normal_(model.decoder.head.weight, std=0.1)
    images = pictures(4, size=56)
    with torch.no_grad():
        together = model(images)
        assert torch.allclose(torch.cat([model(images[i:i + 1]) for i in range(4)]), together, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-2


def test_features_seen_before_replace_the_images():
    model = small_model()
    images = pictures(2)
    assert torch.equal(model(None, pooled=model.encoder(images)[0]), model(images))


def test_the_template_s_connectivity_travels_with_the_model_but_not_with_its_weights():
    model = small_model()
    assert model.template["faces"].shape == (124, 3) and model.template["edges"].shape == (186, 2)
    assert model.template["edge_faces"].shape == (186, 2)
    assert model.to("meta").template["faces"].device.type == "meta"
    assert not {"faces", "edges", "edge_faces", "decoder.start"} & set(model.state_dict())


def test_vertices_stay_float32_under_autocast():
    model = small_model().eval()
    nn.init.normal_(model.decoder.head.weight, std=0.1)
    pooled = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = model(None, pooled=pooled)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert model(pictures(1)).dtype == torch.float32
            assert torch.equal(model(None, pooled=pooled), plain), "nothing after the encoder is rounded"


def test_a_saved_model_predicts_the_same(tiny_config, tmp_path):
    torch.manual_seed(0)
    cfg = tiny_config()
    model = GeometryModel(load_encoder(cfg)[0], num_points=64, decoder_hidden=(32, 16), aggregate_dim=24).eval()
    model.aggregator.set_statistics(torch.randn(50, 32))
    save_checkpoint(tmp_path / "g.pth", "geometry", model_args=model.model_args(), weights=stored_weights(model),
                    epoch=1, score=None, image_size=56, config=config_as_dict(cfg), validation_ids=[])
    again, checkpoint = load_geometry_model(tmp_path / "g.pth")
    images = pictures(2, size=56)
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
    assert not again.training and not any(parameter.requires_grad for parameter in again.parameters())
    assert checkpoint["image_size"] == 56


def test_a_model_whose_sizes_do_not_fit_its_weights_is_refused(tiny_geometry, tmp_path):
    data = torch.load(tiny_geometry, weights_only=True)
    data["model_args"]["num_points"] = 65
    torch.save(data, tmp_path / "g.pth")
    with pytest.raises(UserError, match=r"g.pth: weight decoder.head\.\w+ has shape \(192.*\), the model needs \(195"):
        load_geometry_model(tmp_path / "g.pth")


@pytest.mark.parametrize("args, message", [
    ({"num_points": 10**9}, "num_points 1000000000 is not from 4 to"),
    ({"decoder_hidden": [1 << 40]}, "does not fit its own sizes"),
    ({"decoder_hidden": [1 << 20, 1 << 20]}, "the model needs .1048576"),
    ({"aggregate_dim": "many"}, "fit no geometry model"),
    ({"unheard_of": 1}, "fit no geometry model"),
])
def test_sizes_that_the_weights_do_not_account_for_are_refused_before_memory_is_taken(tiny_geometry, tmp_path, args,
                                                                                      message):
    resource = pytest.importorskip("resource")
    data = torch.load(tiny_geometry, weights_only=True)
    data["model_args"] |= args
    torch.save(data, tmp_path / "g.pth")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=f"g.pth: .*{message}"):
        load_geometry_model(tmp_path / "g.pth")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


def test_an_encoder_of_impossible_size_is_refused_as_well(tiny_geometry, tmp_path):
    data = torch.load(tiny_geometry, weights_only=True)
    data["model_args"]["encoder"]["architecture"] |= {"hidden_size": 1 << 20}
    torch.save(data, tmp_path / "g.pth")
    with pytest.raises(UserError, match="g.pth: "):
        load_geometry_model(tmp_path / "g.pth")
