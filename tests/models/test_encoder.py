"""The image encoder against transformers' own forward pass, and every way to name one; random weights, no network."""
import socket
import time

import pytest
import torch
from torch import nn

import models.encoder
from config import Config, UserError, config_as_dict
from models.encoder import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageEncoder,
    build_encoder,
    cached_features,
    copy_encoder,
    encode_dataset,
    load_encoder,
    sine_positions,
)
from models.geometry_model import GeometryModel
from tests.conftest import TINY
from utils.io.checkpoint import save_checkpoint, stored_weights


def tiny_backbone(**changes):
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    backbone = Dinov2Model(Dinov2Config(**{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                                           "image_size": 56, "patch_size": 14} | changes))
    for parameter in backbone.parameters():  # transformers starts some at 0, where a mistake would not show
        nn.init.normal_(parameter, std=0.1)
    return backbone.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as transformers writes it."""
    path = tmp_path_factory.mktemp("dinov2")
    tiny_backbone().save_pretrained(path)
    return path


def pictures(size=56, batch=2, seed=0):
    return torch.rand(batch, 6, 3, size, size, generator=torch.Generator().manual_seed(seed))


def config_with(name, named=True, **changes):
    return Config(encoder_name=str(name), explicit=frozenset({"encoder_name"} if named else ()), **changes)


# ---- What it computes


def test_features_are_those_of_transformers_own_forward(folder):
    from transformers import Dinov2Model

    encoder, size = load_encoder(config_with(folder, image_size=70))
    assert size == 70
    images = pictures()
    pooled, tokens = encoder.eval()(images)
    reference = Dinov2Model.from_pretrained(folder, attn_implementation="eager").eval()
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    for view in range(6):  # one by one, not six in a batch
        normal = (images[:, view] - mean[:, None, None]) / std[:, None, None]
        output = reference(normal).last_hidden_state
        assert torch.allclose(tokens[:, view], output[:, 1:], atol=1e-5)
        assert torch.allclose(pooled[:, view], output[:, 0] + output[:, 1:].mean(1), atol=1e-5)
    assert pooled.shape == (2, 6, 32) and tokens.shape == (2, 6, 16, 32) and encoder.feature_dim == 32


def test_imagenet_statistics_are_those_dinov2_was_trained_with():
    from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    assert list(IMAGENET_MEAN) == list(IMAGENET_DEFAULT_MEAN) and list(IMAGENET_STD) == list(IMAGENET_DEFAULT_STD)


def test_512_pixels_become_518_and_multiples_of_14_stay(monkeypatch):
    encoder, seen = ImageEncoder(tiny_backbone(num_hidden_layers=1)).eval(), []
    encoder.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    with torch.no_grad():
        _, tokens = encoder(pictures(512, 1)[:, :1])
        assert seen.pop() == (1, 3, 518, 518) and tokens.shape == (1, 1, 37 * 37, 32)
        constant = torch.full((1, 1, 3, 50, 60), 0.25)
        encoder(constant)
        assert seen.pop() == (1, 3, 56, 70)
        encoder(pictures(56, 1))
        assert seen.pop() == (6, 3, 56, 56), "six views in one batch"


def test_attention_runs_through_sdpa(folder, monkeypatch):
    calls = []
    original = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention",
                        lambda *args, **options: calls.append(1) or original(*args, **options))
    for name in (folder, "scratch"):
        encoder, _ = load_encoder(config_with(name, encoder_width=32, encoder_layers=2, encoder_heads=2, image_size=56))
        encoder(pictures(56, 1))
        assert len(calls) == 2, "once a layer"
        calls.clear()


# ---- Frozen or trained


def test_a_frozen_encoder_stays_in_eval_mode_and_gets_no_gradient(folder):
    encoder, _ = load_encoder(config_with(folder, freeze_image_encoder=True))
    assert not encoder.train().backbone.training
    assert nn.Sequential(encoder).train() and not encoder.backbone.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    pooled, _ = encoder(pictures())
    assert not pooled.requires_grad
    # Drawn images do get one through it: the perceptual loss needs that.
    images = pictures().requires_grad_()
    encoder(images)[1].square().sum().backward()
    assert images.grad.abs().max() > 0


def test_a_trained_encoder_trains_every_weight_but_the_mask_token(folder):
    encoder, _ = load_encoder(config_with(folder))
    assert encoder.train().backbone.training
    pooled, tokens = encoder(pictures())
    (pooled.square().sum() + tokens.square().sum()).backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == [
        "backbone.embeddings.mask_token"]


def test_gradient_checkpointing_gives_the_same_loss_and_gradients(folder):
    results = []
    for checkpointing in (False, True):
        encoder = load_encoder(config_with(folder, gradient_checkpointing=checkpointing))[0].train()
        assert encoder.backbone.is_gradient_checkpointing == checkpointing
        runs = []
        encoder.backbone.encoder.layer[0].norm1.register_forward_hook(lambda *_: runs.append(1))
        loss = encoder(pictures())[0].square().mean()
        loss.backward()
        results.append((loss.item(), {name: parameter.grad for name, parameter in encoder.named_parameters()
                                      if parameter.grad is not None}, len(runs)))
    (plain, plain_gradients, once), (checkpointed, gradients, twice) = results
    assert plain == checkpointed and (once, twice) == (1, 2)
    assert plain_gradients.keys() == gradients.keys()
    assert all(torch.allclose(plain_gradients[name], gradients[name], atol=1e-7) for name in gradients)


# ---- Names


def test_scratch_is_random_small_and_knows_places():
    cfg = Config(encoder_name="scratch", encoder_width=48, encoder_layers=3, encoder_heads=4, image_size=50)
    torch.manual_seed(0)
    encoder, size = load_encoder(cfg)
    assert size == 50 and encoder.feature_dim == 48 and encoder.backbone.config.num_hidden_layers == 3
    assert encoder.backbone.embeddings.position_embeddings.shape == (1, 1 + 16, 48), "56 pixels hold 4 x 4 patches"
    assert torch.equal(encoder.backbone.embeddings.position_embeddings[0, 1:], sine_positions(16, 48))
    torch.manual_seed(1)
    other = load_encoder(cfg)[0].state_dict()
    assert not torch.equal(other["backbone.embeddings.patch_embeddings.projection.weight"],
                           encoder.state_dict()["backbone.embeddings.patch_embeddings.projection.weight"])


@pytest.mark.parametrize("width", [192, 32, 30, 3])
def test_every_place_has_its_own_sines(width):
    places = sine_positions(64, width)
    assert places.shape == (64, width) and places.abs().max() <= 0.5
    if width >= 30:
        assert torch.cdist(places, places).add(torch.eye(64)).min() > 0.01


def test_a_cached_hub_name_is_loaded_without_asking_anyone(folder, tmp_path, monkeypatch):
    import huggingface_hub

    snapshot = tmp_path / "models--someone--tiny-dinov2" / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    (tmp_path / "models--someone--tiny-dinov2" / "refs").mkdir()
    (tmp_path / "models--someone--tiny-dinov2" / "refs" / "main").write_text(snapshot.name)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(models.encoder, "_hub_trouble", lambda name: pytest.fail("the hub was asked"))
    encoder, _ = load_encoder(config_with("someone/tiny-dinov2"))
    assert torch.equal(encoder.state_dict()["backbone.layernorm.weight"],
                       load_encoder(config_with(folder))[0].state_dict()["backbone.layernorm.weight"])


@pytest.fixture
def silent_hub(monkeypatch):
    """A hub that takes connections and never answers, as behind a firewall that drops packets."""
    import huggingface_hub

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_url",
                        lambda name, file: f"http://127.0.0.1:{listener.getsockname()[1]}/{name}/{file}")
    load_encoder(config_with("scratch", encoder_width=8, encoder_heads=1, encoder_layers=1))  # imports are not timed
    yield
    listener.close()


def small_checkpoint(path, image_size=42):
    """A geometry checkpoint with an encoder of 32 features in it."""
    torch.manual_seed(3)
    cfg = Config(**TINY | {"image_size": image_size})
    model = GeometryModel(load_encoder(cfg)[0], num_points=16, decoder_hidden=(8,), aggregate_dim=8)
    save_checkpoint(path, "geometry", model_args=model.model_args(), weights=stored_weights(model), epoch=1, score=0.1,
                    image_size=image_size, config=config_as_dict(cfg), validation_ids=[])
    return model.encoder


def test_the_untouched_default_falls_back_within_five_seconds_and_says_so(silent_hub, tmp_path, monkeypatch, capsys):
    shipped = small_checkpoint(tmp_path / "shipped.pth")
    monkeypatch.setattr(models.encoder, "SMALL_ENCODER", str(tmp_path / "shipped.pth"))
    monkeypatch.setattr(models.encoder.Config, "encoder_name", "nobody/has-this")
    started = time.perf_counter()
    encoder, size = load_encoder(config_with("nobody/has-this", named=False))
    assert time.perf_counter() - started < 5
    assert size == 42, "the image size that the shipped encoder was trained with"
    assert all(torch.equal(value, shipped.state_dict()[name]) for name, value in encoder.state_dict().items())
    assert encoder.stored, "its weights go into the checkpoints made with it"
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and "using the shipped small encoder" in printed and "--encoder_name" in printed


def test_an_encoder_named_by_hand_never_falls_back(silent_hub, tmp_path, monkeypatch):
    small_checkpoint(tmp_path / "shipped.pth")
    monkeypatch.setattr(models.encoder, "SMALL_ENCODER", str(tmp_path / "shipped.pth"))
    monkeypatch.setattr(models.encoder.Config, "encoder_name", "nobody/has-this")
    monkeypatch.setattr(models.encoder, "HUB_PATIENCE_S", 1.3)
    for cfg in (config_with("nobody/has-this"), config_with("nobody/has-that", named=False)):
        with pytest.raises(UserError, match=f"--encoder_name {cfg.encoder_name}: no such folder"):
            load_encoder(cfg)


def test_a_image_size_named_by_hand_outlives_the_fallback(tmp_path, monkeypatch):
    small_checkpoint(tmp_path / "shipped.pth")
    monkeypatch.setattr(models.encoder, "SMALL_ENCODER", str(tmp_path / "shipped.pth"))
    monkeypatch.setattr(models.encoder.Config, "encoder_name", "nobody/has-this")
    cfg = Config(encoder_name="nobody/has-this", image_size=84, explicit=frozenset({"image_size"}))
    assert load_encoder(cfg)[1] == 84


def test_offline_is_said_at_once(monkeypatch):
    started = time.perf_counter()
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        load_encoder(config_with("nobody/has-this"))
    assert time.perf_counter() - started < 2


def test_without_a_shipped_encoder_the_default_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(models.encoder, "SMALL_ENCODER", str(tmp_path / "none.pth"))
    monkeypatch.setattr(models.encoder.Config, "encoder_name", "nobody/has-this")
    with pytest.raises(UserError, match="nobody/has-this"):
        load_encoder(config_with("nobody/has-this", named=False))


def test_a_folder_that_holds_no_dinov2_is_refused(tmp_path):
    from transformers import BertConfig, BertModel

    (tmp_path / "empty").mkdir()
    BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=10,
                         max_position_embeddings=8)).save_pretrained(tmp_path / "bert")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "config.json").write_text("this is no json")
    tiny_backbone().save_pretrained(tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    for name in ("empty", "bert", "text", "cut"):
        with pytest.raises(UserError, match=f"--encoder_name {tmp_path / name}: "):
            load_encoder(config_with(tmp_path / name))


def test_an_incomplete_dinov2_is_refused_rather_than_filled_with_random_weights(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny_backbone().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="1 weight is missing, the first is layernorm.weight"):
        load_encoder(config_with(tmp_path))


def test_a_geometry_checkpoint_gives_its_encoder(tmp_path):
    inside = small_checkpoint(tmp_path / "mine.pth")
    encoder, size = load_encoder(config_with(tmp_path / "mine.pth", image_size=56))
    assert size == 56 and encoder.name == "mine.pth"
    assert all(torch.equal(value, inside.state_dict()[name]) for name, value in encoder.state_dict().items())
    with pytest.raises(UserError, match="none.pth: no such checkpoint"):
        load_encoder(config_with("none.pth"))


# ---- Copies and checkpoints


def test_only_a_frozen_encoder_known_by_name_stays_out_of_checkpoints(folder, tmp_path):
    small_checkpoint(tmp_path / "mine.pth")
    for name, frozen, stored in [(folder, True, False), (folder, False, True), ("scratch", True, True),
                                 (tmp_path / "mine.pth", True, True)]:
        encoder, _ = load_encoder(config_with(name, freeze_image_encoder=frozen, encoder_width=32, encoder_heads=2))
        assert encoder.stored is stored
        assert copy_encoder(encoder, frozen=True).stored is stored
        assert copy_encoder(encoder, frozen=False).stored is True


def test_a_description_is_plain_and_builds_the_same_encoder(folder):
    import json

    for name in (folder, "scratch"):
        encoder, _ = load_encoder(config_with(name, encoder_width=32, encoder_heads=2, image_size=56))
        description = encoder.description()
        assert json.loads(json.dumps(description)) == description
        again = build_encoder(description, frozen=True)
        again.load_state_dict(encoder.state_dict())
        assert torch.equal(again(pictures())[0], encoder.eval()(pictures())[0])
        assert again.frozen and again.stored == encoder.stored


def test_a_frozen_encoder_kept_by_name_is_found_again_under_it(folder):
    encoder, _ = load_encoder(config_with(folder, freeze_image_encoder=True))
    again = build_encoder(encoder.description(), frozen=True)
    assert torch.equal(again(pictures())[0], encoder(pictures())[0])
    with pytest.raises(UserError, match="/gone"):
        build_encoder(encoder.description() | {"name": "/gone"}, frozen=True)


def test_a_copy_shares_no_weights():
    encoder = ImageEncoder(tiny_backbone())
    twin = copy_encoder(encoder)
    with torch.no_grad():
        twin.backbone.layernorm.weight.add_(1)
    assert not torch.equal(encoder.backbone.layernorm.weight, twin.backbone.layernorm.weight)


def test_a_dataset_is_encoded_object_by_object():
    encoder = ImageEncoder(tiny_backbone(), frozen=True)
    images = pictures(batch=3)
    loader = [{"id": ["a", "b"], "images": images[:2]}, {"id": ["c"], "images": images[2:]}]
    pooled = encode_dataset(encoder, loader, torch.device("cpu"))
    assert list(pooled) == ["a", "b", "c"]
    assert torch.allclose(torch.stack(list(pooled.values())), encoder(images)[0], atol=1e-6)


# ---- Cached features


@pytest.fixture
def dataset(shoes, tmp_path):
    from load_data import SixViewDataset, prepare_objects

    cfg = Config(obj_dir=str(shoes / "OBJs"), images_dir=str(shoes / "input_images"), cache_dir=str(shoes / "cache"),
                 image_size=28, num_surface_samples=512, explicit=frozenset({"obj_dir", "images_dir"}))
    return SixViewDataset(list(prepare_objects(cfg, quiet=True)[1].values())[:2])


class Counting(ImageEncoder):
    """An encoder that counts the objects it sees."""

    seen = 0

    def forward(self, images):
        self.seen += len(images)
        return super().forward(images)


def counting_encoder(seed=0):
    encoder = Counting(tiny_backbone(), frozen=True)
    encoder.backbone.layernorm.weight.add_(seed)
    return encoder


def one_process():
    from accelerate import Accelerator

    return Accelerator(cpu=True)


@pytest.mark.parametrize("together", [1, 3])  # of four: one pass is not full
def test_cached_features_are_the_encoders_own_of_each_variant(together, dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(models.encoder.ENCODED_TOGETHER, "cpu", together)
    encoder = counting_encoder()
    features = cached_features(encoder, dataset, 2, tmp_path, one_process())
    assert set(features) == {(dataset.cached[i].id, variant) for i in (0, 1) for variant in (0, 1)}
    for index, variant in ((0, 0), (1, 1)):
        expected = encoder(dataset[index, variant]["images"][None])[0][0]
        assert torch.allclose(features[dataset.cached[index].id, variant], expected, atol=1e-6)


def test_a_second_start_encodes_nothing_and_a_larger_one_only_what_is_new(dataset, tmp_path):
    first, second, more = counting_encoder(), counting_encoder(), counting_encoder()
    once = cached_features(first, dataset, 2, tmp_path, one_process())
    again = cached_features(second, dataset, 2, tmp_path, one_process())
    assert (first.seen, second.seen) == (4, 0)
    assert all(torch.equal(once[key], again[key]) for key in once)
    cached_features(more, dataset, 3, tmp_path, one_process())
    assert more.seen == 2, "the third variant of two objects"


def test_other_weights_or_another_architecture_have_features_of_their_own(dataset, tmp_path):
    cached_features(counting_encoder(), dataset, 1, tmp_path, one_process())
    other = counting_encoder(seed=1)
    cached_features(other, dataset, 1, tmp_path, one_process())
    same_weights = counting_encoder()
    same_weights.backbone.config.layer_norm_eps = 0.5  # alters the arithmetic, not the weights
    cached_features(same_weights, dataset, 1, tmp_path, one_process())
    assert other.seen == same_weights.seen == 2


def test_encoding_that_was_stopped_goes_on_and_a_cut_file_is_made_again(dataset, tmp_path):
    class PowerCut(Exception):
        pass

    class Stopping(Counting):
        def forward(self, images):
            if self.seen == 3:
                raise PowerCut
            return super().forward(images)

    stopping = Stopping(tiny_backbone(), frozen=True)
    with pytest.raises(PowerCut):
        cached_features(stopping, dataset, 2, tmp_path, one_process())
    files = sorted(tmp_path.rglob("*.npz"))
    assert len(files) == 3
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[:len(whole) // 2])
    resumed = counting_encoder()
    cached_features(resumed, dataset, 2, tmp_path, one_process())
    assert resumed.seen == 2 and files[0].read_bytes() == whole
    assert not list(tmp_path.rglob(".*.npz")), "no temporary file is left"
