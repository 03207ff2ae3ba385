"""Six view features become one, in any order: DeepSets pooling (Zaheer et al. 2017, "Deep Sets")."""
import torch
from torch import nn


class ViewAggregator(nn.Module):
    """Maximum and mean over views, concatenated, through an MLP. Nothing here knows which view is which.

    Args:
        feature_dim: features per view, D.
        output_dim: features of the whole, by default D.
    """

    def __init__(self, feature_dim=768, output_dim=None):
        super().__init__()
        output_dim = output_dim or feature_dim
        self.feature_dim, self.output_dim = feature_dim, output_dim
        self.mlp = nn.Sequential(
            nn.Linear(2 * feature_dim, output_dim), nn.LayerNorm(output_dim), nn.ReLU(),
            nn.Linear(output_dim, output_dim))

    def forward(self, features):
        """features (B, S, D), any number of views S of at least 1 -> (B, output_dim)."""
        # Sorted sums: adding six numbers in another order rounds differently, sorting them first makes the
        # result the same to the last bit whatever order the views came in.
        ordered = features.sort(dim=1).values                                # (B, S, D)
        pooled = torch.cat([ordered[:, -1], ordered.mean(dim=1)], dim=-1)    # (B, 2 D)
        return self.mlp(pooled)                                              # (B, output_dim)
