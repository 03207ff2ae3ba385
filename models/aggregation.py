"""Six view features become one, in any order: DeepSets pooling (Zaheer et al. 2017, "Deep Sets")."""
import torch
from torch import Tensor, nn


class ViewAggregator(nn.Module):
    """Maximum and mean over views, concatenated, through an MLP. Nothing here knows which view is which.

    Features are first brought to mean 0 and deviation 1 by statistics that `set_statistics` takes once from training
    images (two buffers, no BatchNorm: nothing depends on the batch). An encoder's features differ by a tenth of
    their size from object to object; without this the shared nine tenths drown what tells objects apart.

    Args:
        feature_dim: features per view, D.
        output_dim: features of the whole, by default D.
    """

    def __init__(self, feature_dim: int = 768, output_dim: int | None = None) -> None:
        super().__init__()
        output_dim = output_dim or feature_dim
        self.feature_dim, self.output_dim = feature_dim, output_dim
        self.register_buffer("feature_mean", torch.zeros(feature_dim))
        self.register_buffer("feature_std", torch.ones(feature_dim))
        self.mlp = nn.Sequential(
            nn.Linear(2 * feature_dim, output_dim), nn.LayerNorm(output_dim), nn.ReLU(),
            nn.Linear(output_dim, output_dim))

    @torch.no_grad()
    def set_statistics(self, features: Tensor) -> None:
        """Take mean and deviation from sample features (K, D), K at least 2."""
        self.feature_mean.copy_(features.mean(0))
        self.feature_std.copy_(features.std(0).clamp(min=1e-4))

    def forward(self, features: Tensor) -> Tensor:
        """features (B, S, D), any number of views S of at least 1 -> (B, output_dim)."""
        # Sorted sums: adding six numbers in another order rounds differently, sorting them first makes the
        # result the same to the last bit whatever order the views came in.
        features = (features - self.feature_mean) / self.feature_std         # (B, S, D)
        ordered = features.sort(dim=1).values                                # (B, S, D)
        pooled = torch.cat([ordered[:, -1], ordered.mean(dim=1)], dim=-1)    # (B, 2 D)
        return self.mlp(pooled)                                              # (B, output_dim)
