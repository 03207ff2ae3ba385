"""Stage 1: six images to the vertices of a closed mesh.

Encoder, DeepSets over the views, and an MLP that moves the points of a sphere: connectivity is fixed, so every
prediction is a closed mesh with known neighbors, and the order of the images cannot matter.
"""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.aggregation import ViewAggregator
from models.encoder import build_encoder
from models.loading import load_trained
from utils.device import full_precision
from utils.mesh.sphere_template import sphere_template

# Half-axes of the ellipsoid that an untrained decoder predicts (width, height, length): small, and longer than wide
# as shoes are, so no face starts without area and no vertex without its own neighborhood.
START_RADII = (0.3, 0.3, 0.6)


class PointCloudDecoder(nn.Module):
    """One feature vector to num_points 3D points: an MLP with LayerNorm, which works at batch size 1.

    Args:
        num_points: N, points of the sphere template.
        feature_dim: width of the feature vector.
        hidden: hidden widths.
    """

    def __init__(self, num_points: int = 4096, feature_dim: int = 768, hidden: Sequence[int] = (1024, 2048, 2048)) -> None:
        super().__init__()
        self.num_points = num_points
        layers, width = [], feature_dim
        for next_width in hidden:
            layers += [nn.Linear(width, next_width), nn.LayerNorm(next_width), nn.ReLU()]
            width = next_width
        self.mlp = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_points * 3)
        # A small head: the untrained prediction is the ellipsoid, give or take 0.01.
        nn.init.normal_(self.head.weight, std=0.01 / width**0.5)
        nn.init.zeros_(self.head.bias)
        start = torch.from_numpy(sphere_template(num_points).points * np.float32(START_RADII))
        self.register_buffer("start", start, persistent=False)  # (N, 3)

    def forward(self, feature: Tensor) -> Tensor:
        """feature (B, feature_dim) -> (B, N, 3) vertices in the normalized frame."""
        offsets = self.head(self.mlp(feature)).view(-1, self.num_points, 3)    # (B, N, 3)
        return self.start + offsets                                            # (B, N, 3)


class GeometryModel(nn.Module):
    """Encoder, view aggregation and point decoder.

    Args:
        encoder: module with `feature_dim` whose forward gives pooled (B, S, D) and patch tokens.
        num_points: vertices of the mesh.
        decoder_hidden: hidden widths of the point decoder.
        aggregate_dim: width of the aggregated feature.
    """

    def __init__(self, encoder: nn.Module, *, num_points: int = 4096,
                 decoder_hidden: Sequence[int] = (1024, 2048, 2048), aggregate_dim: int = 768) -> None:
        super().__init__()
        self.encoder = encoder
        self.aggregator = ViewAggregator(encoder.feature_dim, aggregate_dim)
        self.decoder = PointCloudDecoder(num_points, aggregate_dim, decoder_hidden)
        self.sizes = {"num_points": num_points, "decoder_hidden": list(decoder_hidden), "aggregate_dim": aggregate_dim}
        template = sphere_template(num_points)
        for name in ("faces", "edges", "edge_faces"):
            self.register_buffer(name, torch.from_numpy(getattr(template, name)), persistent=False)

    @property
    def template(self) -> dict[str, Tensor]:
        """The mesh's connectivity for the losses: faces (F, 3), edges (E, 2), edge_faces (E, 2), all int64."""
        return {"faces": self.faces, "edges": self.edges, "edge_faces": self.edge_faces}

    def features(self, images: Tensor, pooled: Tensor | None = None) -> Tensor:
        """images (B, S, 3, H, W) in [0, 1], views in any order, or their pooled features -> (B, aggregate_dim)."""
        if pooled is None:
            pooled, _ = self.encoder(images)                  # (B, S, D)
        with full_precision(pooled):
            return self.aggregator(pooled.float())            # (B, aggregate_dim)

    def forward(self, images: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Predict vertices.

        Args:
            images: (B, S, 3, H, W) float in [0, 1], views in any order; not looked at if `pooled` is given.
            pooled: (B, S, D) features of the views if the frozen encoder has seen them before, else None.
        Returns:
            (B, N, 3) float32, vertices in the normalized frame.
        """
        feature = self.features(images, pooled)               # (B, aggregate_dim)
        with full_precision(feature):                         # 8 bits of bf16 would round vertices to 0.004
            return self.decoder(feature)                      # (B, N, 3)

    def model_args(self) -> dict:
        """Plain types from which `load_geometry_model` builds this model again."""
        return {**self.sizes, "encoder": self.encoder.description()}


def load_geometry_model(path: str | Path, model_class: type[GeometryModel] = GeometryModel,
                        checkpoint: dict | None = None) -> tuple[GeometryModel, dict]:
    """A trained GeometryModel for use as it is.

    Args:
        path: .pth file written by train_geometry.py, or a folder written by models/share.py.
        model_class: GeometryModel, or a class derived from it.
        checkpoint: what load_checkpoint gave for `path`, where it has been read before.
    Returns:
        model: GeometryModel on the CPU, in eval mode and without gradients; checkpoint: dict (see utils.io.checkpoint).
    Raises:
        UserError: the file is missing, damaged, of another kind or does not fit its sizes.
    """
    return load_trained(path, "geometry", lambda args: model_class(
        build_encoder(args.pop("encoder"), frozen=True), **args), checkpoint=checkpoint)
