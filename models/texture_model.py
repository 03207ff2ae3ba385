"""Stage 2: six images and any 3D position to the color there.

The decoder is a function of position, not of vertex number: it is trained on vertices and on points between them, and
inference asks it at every texel.
"""
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from models.aggregation import ViewAggregator
from models.encoder import build_encoder
from models.loading import load_trained
from utils.device import full_precision


class TextureDecoder(nn.Module):
    """Position and feature vector to RGB: one small MLP for every point, told the object's feature at every layer.

    Args:
        feature_dim: width of the feature vector.
        hidden: width of the hidden layers.
        num_layers: hidden layers.
        num_frequencies: octaves of sines and cosines a position is given as, beside itself (Mildenhall et al. 2020,
            "NeRF", eq. 4): without them an MLP paints only soft blobs.
    """

    def __init__(self, feature_dim: int = 768, hidden: int = 256, num_layers: int = 4, num_frequencies: int = 6) -> None:
        super().__init__()
        self.num_frequencies = num_frequencies
        position_dim = 3 + 6 * num_frequencies
        widths = [position_dim] + [hidden] * num_layers
        self.point_layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:]))
        # The feature's fraction of each layer is worked out once per object, not once per point.
        self.feature_layers = nn.ModuleList(nn.Linear(feature_dim, hidden, bias=False) for _ in range(num_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(num_layers))
        self.head = nn.Linear(hidden, 3)
        self.register_buffer("octaves", math.pi * 2.0 ** torch.arange(num_frequencies), persistent=False)

    def forward(self, positions: Tensor, feature: Tensor) -> Tensor:
        """positions (B, N, 3) in the normalized frame, feature (B, feature_dim) -> (B, N, 3) sRGB in [0, 1]."""
        angles = (positions.unsqueeze(-1) * self.octaves).flatten(2)                       # (B, N, 3 octaves)
        hidden = torch.cat([positions, angles.sin(), angles.cos()], dim=-1)                # (B, N, 3 + 6 octaves)
        for point_layer, feature_layer, norm in zip(self.point_layers, self.feature_layers, self.norms):
            hidden = norm(point_layer(hidden) + feature_layer(feature).unsqueeze(1)).relu()    # (B, N, hidden)
        return self.head(hidden).sigmoid()                                                 # (B, N, 3)


class TextureModel(nn.Module):
    """Encoder, view aggregation and color decoder.

    It has its own encoder and aggregation, which start as copies of the geometry model's: a feature trained for shape
    alone forgets color.

    Args:
        encoder: module with `feature_dim` whose forward gives pooled (B, S, D) and patch tokens.
        aggregate_dim: width of the aggregated feature.
        hidden, num_layers, num_frequencies: see TextureDecoder.
    """

    def __init__(self, encoder: nn.Module, *, aggregate_dim: int = 768, hidden: int = 256, num_layers: int = 4,
                 num_frequencies: int = 6) -> None:
        super().__init__()
        self.encoder = encoder
        self.aggregator = ViewAggregator(encoder.feature_dim, aggregate_dim)
        self.decoder = TextureDecoder(aggregate_dim, hidden, num_layers, num_frequencies)
        self.sizes = {"aggregate_dim": aggregate_dim, "hidden": hidden, "num_layers": num_layers,
                      "num_frequencies": num_frequencies}

    def features(self, images: Tensor, pooled: Tensor | None = None) -> Tensor:
        """images (B, S, 3, H, W) in [0, 1], views in any order, or their pooled features -> (B, aggregate_dim)."""
        if pooled is None:
            pooled, _ = self.encoder(images)                  # (B, S, D)
        with full_precision(pooled):
            return self.aggregator(pooled.float())            # (B, aggregate_dim)

    def forward(self, images: Tensor, positions: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Colors at any positions.

        Args:
            images: (B, S, 3, H, W) float in [0, 1], views in any order; not looked at if `pooled` is given.
            positions: (B, N, 3) float in the normalized frame.
            pooled: (B, S, D) features of the views if the frozen encoder has seen them before, else None.
        Returns:
            (B, N, 3) float32 sRGB in [0, 1].
        """
        feature = self.features(images, pooled)               # (B, aggregate_dim)
        with full_precision(feature):
            return self.decoder(positions.float(), feature)   # (B, N, 3)

    def model_args(self) -> dict:
        """Plain types from which `load_texture_model` builds this model again."""
        return {**self.sizes, "encoder": self.encoder.description()}


def load_texture_model(path: str | Path, model_class: type[TextureModel] = TextureModel) -> tuple[TextureModel, dict]:
    """A trained TextureModel for use as it is.

    Args:
        path: .pth file written by train_texture.py, or a folder written by models/share.py.
        model_class: TextureModel, or a class derived from it.
    Returns:
        model: TextureModel on the CPU, in eval mode and without gradients; checkpoint: dict (see utils.io.checkpoint).
    Raises:
        UserError: the file is missing, damaged, of another kind or does not fit its sizes.
    """
    return load_trained(path, "texture", lambda args: model_class(
        build_encoder(args.pop("encoder"), frozen=True), **args))
