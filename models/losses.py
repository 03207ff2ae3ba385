"""Losses as pure functions of tensors: no device, no config, no logging.

Distances are in normalized units (longest edge 2), colors are sRGB in [0, 1]. Everything is computed in float32,
whatever precision the network ran in.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

from utils.mesh.nearest import nearest_index


def gather_points(points: Tensor, index: Tensor) -> Tensor:
    """points (B, M, C), index (B, N) int64 -> (B, N, C)."""
    return points.gather(1, index.unsqueeze(-1).expand(-1, -1, points.shape[-1]))


def nearest_squared(query: Tensor, reference: Tensor) -> Tensor:
    """Squared distance from every query point to its nearest reference point.

    Args:
        query: (B, N, 3); reference: (B, M, 3), M at least 1.
    Returns:
        (B, N) float32, differentiable in both sets through the matched pairs.
    """
    query, reference = query.float(), reference.float()
    return (query - gather_points(reference, nearest_index(query, reference))).square().sum(-1)


def chamfer_distance(pred: Tensor, true: Tensor) -> Tensor:
    """Bidirectional Chamfer distance (Fan et al. 2017, "A Point Set Generation Network", eq. 1, as means).

    Args:
        pred: (B, N, 3); true: (B, M, 3), both at least one point.
    Returns:
        scalar: mean squared nearest distance pred to true plus the same true to pred. 0 for equal sets.
    """
    return nearest_squared(pred, true).mean() + nearest_squared(true, pred).mean()


def coverage_loss(pred: Tensor, true: Tensor, worst: float = 0.05) -> Tensor:
    """How far the worst-covered part of the true surface is from the prediction.

    A missing strap holds 2 % of a shoe's points, so it moves Chamfer's mean by 2 % of its squared distance. Here it
    is the mean over the worst 5 % alone, unsquared, so the gradient on a missing part does not fade as it nears.

    Args:
        pred: (B, N, 3); true: (B, M, 3).
        worst: fraction of each object's true points that counts, in (0, 1].
    Returns:
        scalar: mean distance, in normalized units, of each object's worst-covered true points to their nearest predicted ones.
    """
    return worst_mean(nearest_squared(true, pred), worst)


def worst_mean(squared: Tensor, worst: float = 0.05) -> Tensor:
    """Mean root of the largest `worst` fraction of (B, M) squared distances: `coverage_loss` without the search."""
    count = max(1, round(worst * squared.shape[1]))
    # The root's slope is infinite at 0; 1e-12 is (1e-6)^2, far below any distance that matters.
    return (squared.topk(count, dim=1).values + 1e-12).sqrt().mean()


def laplacian_loss(vertices: Tensor, edges: Tensor) -> Tensor:
    """Mean squared offset of a vertex from the mean of its neighbors (uniform Laplacian, Desbrun et al. 1999).

    Args:
        vertices: (B, N, 3); edges: (E, 2) int64, each edge once, every vertex on at least one.
    Returns:
        scalar. 0 where every vertex is the mean of its neighbors.
    """
    vertices = vertices.float()
    first, second = edges.T
    total = torch.zeros_like(vertices).index_add(1, first, vertices[:, second]).index_add(1, second, vertices[:, first])
    degree = torch.bincount(edges.reshape(-1), minlength=vertices.shape[1]).to(vertices.dtype)
    return (total / degree[:, None] - vertices).square().sum(-1).mean()


def edge_length_loss(vertices: Tensor, edges: Tensor) -> Tensor:
    """Relative spread of edge lengths: mean of (length / mean length - 1)^2, per object, so size does not matter.

    Args:
        vertices: (B, N, 3); edges: (E, 2) int64.
    Returns:
        scalar. 0 where all edges of an object are equally long.
    """
    vertices = vertices.float()
    length = ((vertices[:, edges[:, 0]] - vertices[:, edges[:, 1]]).square().sum(-1) + 1e-12).sqrt()
    return (length / length.mean(1, keepdim=True) - 1).square().mean()


def normal_consistency_loss(vertices: Tensor, faces: Tensor, edge_faces: Tensor) -> Tensor:
    """Mean of 1 - cos of the angle between the normals of two faces that share an edge.

    Args:
        vertices: (B, N, 3); faces: (F, 3) int64; edge_faces: (E, 2) int64.
    Returns:
        scalar in [0, 2]. 0 for a plane; a face without area counts as at right angles to its neighbors.
    """
    a, b, c = (vertices.float()[:, faces[:, i]] for i in range(3))
    # The cross product of small faces is near 1e-6, so it is normalized without normalize()'s floor of 1e-12 biting.
    normals = F.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=1e-20)
    return (1 - (normals[:, edge_faces[:, 0]] * normals[:, edge_faces[:, 1]]).sum(-1)).mean()


def sample_faces(vertices: Tensor, faces: Tensor, draws: Tensor) -> Tensor:
    """Points on a predicted surface, spread by area.

    Args:
        vertices: (B, N, 3); faces: (F, 3) int64.
        draws: (B, K, 3) uniform in [0, 1): where in the total area, and where in the face.
    Returns:
        (B, K, 3), differentiable in vertices (which face was drawn is not).
    """
    vertices = vertices.float()
    corners = vertices[:, faces]  # (B, F, 3, 3)
    with torch.no_grad():
        edges = corners[:, :, 1:] - corners[:, :, :1]
        cumulative = torch.linalg.cross(edges[:, :, 0], edges[:, :, 1]).norm(dim=-1).cumsum(1)
        place = draws[..., 0] * cumulative[:, -1:]
        face = torch.searchsorted(cumulative, place.contiguous(), right=True).clamp(max=len(faces) - 1)
        root = draws[..., 1].sqrt()
        weights = torch.stack([1 - root, root * (1 - draws[..., 2]), root * draws[..., 2]], dim=-1)
    drawn = corners.gather(1, face[..., None, None].expand(-1, -1, 3, 3))
    return (drawn * weights.unsqueeze(-1)).sum(2)


def geometry_loss(vertices: Tensor, template: dict[str, Tensor], true_points: Tensor, draws: Tensor,
                  weights: dict[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
    """Everything stage 1 minimizes.

    Args:
        vertices: (B, N, 3) predicted.
        template: dict of int64 tensors `faces` (F, 3), `edges` (E, 2), `edge_faces` (E, 2).
        true_points: (B, M, 3) sampled on the true surface by area.
        draws: (B, K, 3) uniform in [0, 1), for `sample_faces`.
        weights: dict of floats `chamfer`, `coverage`, `laplacian`, `edge`, `normal`; parts of weight 0 are left out.
    Returns:
        total: scalar; parts: dict of unweighted scalars by name. Chamfer is the mean of the vertices' and the surface
        samples'; coverage is the samples'.
    """
    parts = {}
    if weights["chamfer"] or weights["coverage"]:
        samples = sample_faces(vertices, template["faces"], draws)
        to_samples = nearest_squared(true_points, samples)
        if weights["chamfer"]:
            of_samples = nearest_squared(samples, true_points).mean() + to_samples.mean()
            parts["chamfer"] = (of_samples + chamfer_distance(vertices, true_points)) / 2
        if weights["coverage"]:
            parts["coverage"] = worst_mean(to_samples)
    if weights["laplacian"]:
        parts["laplacian"] = laplacian_loss(vertices, template["edges"])
    if weights["edge"]:
        parts["edge"] = edge_length_loss(vertices, template["edges"])
    if weights["normal"]:
        parts["normal"] = normal_consistency_loss(vertices, template["faces"], template["edge_faces"])
    total = sum((weights[name] * part for name, part in parts.items()), vertices.sum() * 0.0)
    return total, parts


def color_loss(pred: Tensor, true: Tensor) -> Tensor:
    """L1 + L2 between colors: mean |difference| + mean squared difference; (..., 3) each, sRGB in [0, 1]."""
    difference = pred.float() - true.float()
    return difference.abs().mean() + difference.square().mean()


def smoothness_loss(colors: Tensor, edges: Tensor) -> Tensor:
    """Mean absolute color difference along mesh edges: colors (B, N, 3), edges (E, 2) int64."""
    colors = colors.float()
    return (colors[:, edges[:, 0]] - colors[:, edges[:, 1]]).abs().mean()


def draw_colors(colors: Tensor, pixel_vertices: Tensor, pixel_weights: Tensor) -> Tensor:
    """Images of colored vertices through a fixed rasterization; differentiable in the colors.

    Args:
        colors: (B, N, 3).
        pixel_vertices: (B, S, H, W, 3) int64, the three vertices each pixel sees.
        pixel_weights: (B, S, H, W, 3) float, their weights, summing to 1; all 0 where the background shows.
    Returns:
        (B, S, 3, H, W) float32 over white.
    """
    batch, views, height, width, _ = pixel_vertices.shape
    corner = gather_points(colors.float(), pixel_vertices.reshape(batch, -1)).view(batch, views, height, width, 3, 3)
    covered = pixel_weights.sum(-1, keepdim=True)
    return ((corner * pixel_weights.unsqueeze(-1)).sum(-2) + (1 - covered)).permute(0, 1, 4, 2, 3)


def feature_distance(pred_tokens: Tensor, true_tokens: Tensor) -> Tensor:
    """Perceptual distance: mean squared difference of unit-length patch features (B, S, P, D), in [0, 4].

    After Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features", with DINOv2's patch tokens as features.
    """
    return (F.normalize(pred_tokens.float(), dim=-1) - F.normalize(true_tokens.float(), dim=-1)).square().sum(-1).mean()
