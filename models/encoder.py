"""The image encoder: any DINOv2 of transformers, six views in one batch (Oquab et al. 2023, "DINOv2").

Attention runs through PyTorch's scaled_dot_product_attention. The encoder owns its normalisation, so callers hand it
plain images in [0, 1] and cannot normalize twice.
"""
import copy
import hashlib
import math
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from config import PATCH_SIZE, PRETRAINED_DIR, SCRATCH_ENCODER, Config, UserError, counted
from utils.io.cached_file import read_npz
from utils.io.checkpoint import load_checkpoint
from utils.io.files import atomic_write

if TYPE_CHECKING:  # slow to import, and inference has no need of it
    from accelerate import Accelerator

# The statistics DINOv2 was trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# The fields of Dinov2Config that decide a backbone's shape and arithmetic; a checkpoint stores them.
ARCHITECTURE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "mlp_ratio", "hidden_act", "layer_norm_eps",
                "image_size", "patch_size", "num_channels", "qkv_bias", "layerscale_value", "use_swiglu_ffn")
HUB_PATIENCE_S = 4.0  # how long to wait for a hub that does not answer before doing without it
ENCODED_TOGETHER = {"cpu": 1}  # objects of six images at once, by device; 8 elsewhere
SMALL_ENCODER = f"{PRETRAINED_DIR}/geometry_best.pth"  # shipped: what default runs use where no hub is reachable


class ImageEncoder(nn.Module):
    """A DINOv2 backbone over stacked views.

    Args:
        backbone: transformers Dinov2Model.
        name: where the weights came from (hub name, folder, .pth, or scratch).
        frozen: True keeps it in eval mode and without gradient.
        gradient_checkpointing: recompute activations in the backward pass.
    """

    def __init__(self, backbone: nn.Module, *, name: str = SCRATCH_ENCODER, frozen: bool = False,
                 gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.backbone, self.name, self.frozen = backbone, name, frozen
        # Whether a checkpoint must hold the weights: yes unless they are exactly those of a hub name or folder.
        self.stored = not frozen or name == SCRATCH_ENCODER or name.endswith(".pth")
        self.feature_dim = backbone.config.hidden_size
        self.patch_size = backbone.config.patch_size
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        backbone.requires_grad_(not frozen)
        mask_token = getattr(backbone.embeddings, "mask_token", None)
        if mask_token is not None:
            mask_token.requires_grad_(False)  # only masked pre-training uses it; several processes would wait for it
        if gradient_checkpointing and not frozen:
            backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.train()

    def train(self, mode: bool = True) -> "ImageEncoder":
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode every view.

        Args:
            images: (B, S, 3, H, W) float in [0, 1], sRGB; edges that are no multiple of the patch are enlarged to one.
        Returns:
            pooled: (B, S, D), each view's class token plus the mean of its patch tokens. DINOv2's own linear probes
                use both; the mean also carries an image's content before a class token has learned to.
            tokens: (B, S, P, D), its P patch tokens, row by row.
        """
        batch, views, _, height, width = images.shape
        pixels = images.reshape(batch * views, 3, height, width)
        size = tuple(-(-edge // self.patch_size) * self.patch_size for edge in (height, width))
        if size != (height, width):
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
        pixels = (pixels - self.mean) / self.std
        with torch.set_grad_enabled(torch.is_grad_enabled() and (not self.frozen or images.requires_grad)):
            output = self.backbone(pixels)
        tokens = output.last_hidden_state[:, 1:].reshape(batch, views, -1, self.feature_dim)
        return output.pooler_output.view(batch, views, -1) + tokens.mean(2), tokens

    def description(self) -> dict:
        """Plain types from which `build_encoder` makes this encoder again, given its weights."""
        architecture = {key: getattr(self.backbone.config, key) for key in ARCHITECTURE}
        return {"name": self.name, "stored": self.stored, "architecture": architecture}


def build_encoder(description: dict, *, frozen: bool = False, gradient_checkpointing: bool = False) -> ImageEncoder:
    """An encoder from a checkpoint's description; weights that the checkpoint holds are still to be loaded.

    Args:
        description: dict from `ImageEncoder.description`.
        frozen, gradient_checkpointing: as in ImageEncoder.
    Returns:
        ImageEncoder.
    Raises:
        UserError: the weights are not in the checkpoint and cannot be found under their name.
    """
    options = {"name": description["name"], "frozen": frozen, "gradient_checkpointing": gradient_checkpointing}
    stored = description["stored"]
    backbone = _new_backbone(**description["architecture"]) if stored else _pretrained_backbone(description["name"])
    encoder = ImageEncoder(backbone, **options)
    encoder.stored = stored or not frozen
    return encoder


def copy_encoder(encoder: ImageEncoder, *, frozen: bool = False, gradient_checkpointing: bool = False) -> ImageEncoder:
    """A second encoder with the same weights, which then train on their own; arguments as in ImageEncoder."""
    twin = ImageEncoder(copy.deepcopy(encoder.backbone), name=encoder.name, frozen=frozen,
                        gradient_checkpointing=gradient_checkpointing)
    twin.stored = encoder.stored or not frozen
    return twin


def load_encoder(cfg: Config) -> tuple[ImageEncoder, int]:
    """The encoder a training run starts from.

    Args:
        cfg: Config; encoder_name is a hub name, a folder saved by transformers, a geometry checkpoint or `scratch`.
            If it is the untouched default and neither cached nor reachable, the shipped small encoder takes its place
            and one line says so.
    Returns:
        encoder: ImageEncoder on the CPU.
        image_size: image edge in pixels that suits it: cfg's, or what the shipped small encoder was trained with.
    Raises:
        UserError: an encoder named by the user cannot be loaded.
    """
    name = cfg.encoder_name
    options = {"frozen": cfg.freeze_image_encoder, "gradient_checkpointing": cfg.gradient_checkpointing}
    if name == SCRATCH_ENCODER:
        backbone = _new_backbone(
            hidden_size=cfg.encoder_width, num_hidden_layers=cfg.encoder_layers, num_attention_heads=cfg.encoder_heads,
            image_size=-(-cfg.image_size // PATCH_SIZE) * PATCH_SIZE, patch_size=PATCH_SIZE)
        positions = backbone.embeddings.position_embeddings
        with torch.no_grad():
            positions[0, 1:] = sine_positions(positions.shape[1] - 1, cfg.encoder_width)
        return ImageEncoder(backbone, name=SCRATCH_ENCODER, **options), cfg.image_size
    if name.endswith(".pth"):
        return _encoder_of_checkpoint(name, options)[0], cfg.image_size
    try:
        return ImageEncoder(_pretrained_backbone(name), name=name, **options), cfg.image_size
    except UserError as error:
        if "encoder_name" in cfg.explicit or name != Config.encoder_name:
            raise
        shipped = Path(__file__).parents[1] / SMALL_ENCODER
        if not shipped.is_file():
            raise
        print(f"encoder: {name} is neither cached nor reachable ({error.__cause__ or 'offline'}); using the shipped "
              f"small encoder. For the real one run once with a connection, or pass --encoder_name FOLDER")
        encoder, its_size = _encoder_of_checkpoint(str(shipped), options)
        return encoder, cfg.image_size if "image_size" in cfg.explicit else its_size


@torch.no_grad()
def encode_dataset(encoder: nn.Module, loader: Iterable[dict], device: torch.device) -> dict[str, Tensor]:
    """Pooled features of every object that a loader yields.

    Args:
        encoder: ImageEncoder on `device`.
        loader: yields dicts with `id` (list of str) and `images` (B, S, 3, H, W).
        device: torch.device.
    Returns:
        dict: id to (S, D) float32 on the CPU.
    """
    pooled = {}
    for batch in loader:
        pooled.update(zip(batch["id"], encoder(batch["images"].to(device))[0].float().cpu()))
    return pooled


@torch.no_grad()
def cached_features(encoder: nn.Module, dataset: Dataset, variants: int, cache_dir: str | Path,
                    accelerator: "Accelerator") -> dict[tuple[str, int], Tensor]:
    """Pooled features of every object and variant, for a frozen encoder: each image is encoded once for all runs.

    The files are named by the images' content, the encoder's weights and the variant, and written one by one: both
    stages read the same ones, and a run that was stopped goes on where it was. Several processes share the work.

    Args:
        encoder: ImageEncoder on the accelerator's device.
        dataset: load_data.SixViewDataset with images.
        variants: how many variants of each object, the first being the object as it is.
        cache_dir: folder; the features go to its sub-folder `features`.
        accelerator: accelerate.Accelerator.
    Returns:
        dict: (id, variant) to (S, D) float32 on the CPU.
    Raises:
        UserError: the cache cannot be written.
    """
    from tqdm import tqdm

    folder = Path(cache_dir) / "features" / weights_key(encoder)
    paths = {(index, variant): folder / f"{dataset.images_key((index, variant))}.npz"
             for index in range(len(dataset)) for variant in range(variants)}
    pooled = {key: _read_features(path) for key, path in paths.items()}
    accelerator.wait_for_everyone()  # all have looked before one writes, so all agree on what is missing
    missing = [key for key, features in pooled.items() if features is None]
    own_share = missing[accelerator.process_index::accelerator.num_processes]
    together = ENCODED_TOGETHER.get(accelerator.device.type, 8)
    for begin in tqdm(range(0, len(own_share), together), desc="encoding", leave=False,
                      disable=None if accelerator.is_main_process else True):
        keys = own_share[begin:begin + together]
        pooled_views, _ = encoder(torch.stack([dataset[key]["images"] for key in keys]).to(accelerator.device))
        for key, features in zip(keys, pooled_views.float().cpu().numpy()):
            with atomic_write(paths[key]) as temporary:
                np.savez(temporary, features=features)
    accelerator.wait_for_everyone()
    pooled |= {key: _read_features(paths[key]) for key in missing}
    return {dataset.name(key): features for key, features in pooled.items()}


def weights_key(encoder: nn.Module) -> str:
    """Hash of an encoder's architecture and weights, 16 hexadecimal digits: equal keys mean equal features."""
    digest = hashlib.sha256(repr(encoder.description()["architecture"]).encode())
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]


def _read_features(path):
    """Tensor from a file of features, or None where it is absent or damaged."""
    arrays = read_npz(path, ("features",))
    return torch.from_numpy(arrays["features"]) if arrays else None


def sine_positions(count: int, width: int) -> Tensor:
    """Sines and cosines of a square grid's rows and columns (He et al. 2022, "Masked Autoencoders", section 3).

    DINOv2's own random start is fifty times weaker than what a patch's content adds, so an untrained encoder would
    hardly know where in an image it saw something.

    Args:
        count: patches, a square number; width: features.
    Returns:
        (count, width) float32 in [-0.5, 0.5].
    """
    edge = round(count**0.5)
    octaves = 4 * math.pi * 10.0 ** (-3 * torch.arange(width // 4) / (width // 4))
    row, column = torch.meshgrid(*[torch.linspace(-1, 1, edge)] * 2, indexing="ij")
    angles = [place.reshape(-1, 1) * octaves for place in (column, row)]
    waves = torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1) / 2
    return torch.nn.functional.pad(waves, (0, width - waves.shape[1]))


def _encoder_of_checkpoint(path, options):
    """The encoder inside a geometry checkpoint, and the image size it was trained with."""
    checkpoint = load_checkpoint(path, "geometry")
    description = checkpoint["model_args"]["encoder"]
    encoder = build_encoder(description, **options)
    if description["stored"]:
        encoder.load_state_dict({key.removeprefix("encoder."): value for key, value in checkpoint["weights"].items()
                                 if key.startswith("encoder.")})
        # By file name alone: the weights go into the new checkpoint, so the path is a note of origin.
        encoder.name = Path(path).name
    return encoder, checkpoint["image_size"]


def _new_backbone(**architecture):
    from transformers import Dinov2Config, Dinov2Model

    return Dinov2Model(Dinov2Config(**architecture, attn_implementation="sdpa"))


def _pretrained_backbone(name):
    """A Dinov2Model from a local folder, the local cache, or the hub, in this order."""
    from transformers import Dinov2Model

    options = {"attn_implementation": "sdpa", "dtype": torch.float32}
    if Path(name).is_dir():
        return _from_pretrained(Dinov2Model, name, "is not a folder saved by transformers' Dinov2Model",
                                **options, local_files_only=True)
    try:
        return _from_pretrained(Dinov2Model, name, "is not cached", **options, local_files_only=True)
    except UserError:
        reason = _hub_trouble(name)
        if reason:
            raise UserError(f"--encoder_name {name}: no such folder, not in the local cache, and the hub does not "
                            f"offer it ({reason}); give a folder with config.json and model.safetensors") from None
    return _from_pretrained(Dinov2Model, name, "cannot be loaded from the hub", **options)


def _from_pretrained(model_class, name, trouble, **options):
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, report = model_class.from_pretrained(name, output_loading_info=True, **options)
    except Exception as error:  # a damaged weights file raises a type of its reader's own
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"--encoder_name {name}: {trouble} ({reason})") from None
    finally:
        logging.set_verbosity(level)
    missing = sorted(key for key in report["missing_keys"] if "mask_token" not in key)
    if missing:  # transformers would fill these with random numbers
        raise UserError(f"--encoder_name {name}: is no complete DINOv2, {counted(len(missing), 'weight is', 'weights are')} "
                        f"missing, the first is {missing[0]}")
    return model


def _hub_trouble(name):
    """None if the hub answers for `name` within HUB_PATIENCE_S, else a short reason. One try, in a thread: a name
    server that stays silent cannot be given a time limit otherwise."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    answer = []

    def ask():
        try:
            get_hf_file_metadata(hf_hub_url(name, "config.json"), timeout=HUB_PATIENCE_S - 1)
            answer.append(None)
        except Exception as error:  # each version of the hub's client raises its own
            answer.append(type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_PATIENCE_S)
    return answer[0] if answer else f"no answer within {HUB_PATIENCE_S:.0f} s"
