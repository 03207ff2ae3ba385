"""The six cameras as tensors, and how training changes what they see without touching a pixel.

An object that is turned by quarter turns, mirrored or stretched is seen by the same images with other cameras: a point
of the new space is taken back to the old one before it is projected.
"""
import math
from typing import NamedTuple

import numpy as np
import torch

from config import VIEW_NAMES
from utils.rendering.cameras import VIEW_BASES


class Cameras(NamedTuple):
    """How each sample's six images see its space, which augmentation may have turned, mirrored and stretched.

    projection: (B, S, 3, 3), rows: from a point to image right, image up and depth of the image as it was drawn.
    scale: (B, S, 3), how much longer those three axes have become.
    toward: (B, S, 3), unit vector to the camera in the space of the points.
    """

    projection: torch.Tensor
    scale: torch.Tensor
    toward: torch.Tensor


def view_cameras(batch=1, device=None):
    """Cameras of the six views as CONVENTIONS define them, nothing turned or stretched."""
    bases = torch.tensor(np.stack([VIEW_BASES[name] for name in VIEW_NAMES]), dtype=torch.float32, device=device)
    bases = bases.expand(batch, -1, -1, -1)                                    # (B, S, 3, 3)
    return Cameras(bases, torch.ones_like(bases[..., 0]), bases[:, :, 2])


def augment_space(box, generators, stretch):
    """A new space for each sample: turned about +y by quarter turns, mirrored, stretched, and normalized again.

    Args:
        box: (B, 2, 3) float32, the samples' boxes, centerd at the origin but for fractions of a pixel.
        generators: one CPU torch.Generator per sample.
        stretch: standard deviation of the logarithm of the factor along each axis, before normalizing.
    Returns:
        matrix: (B, 3, 3) float32, takes a point of the old space to the new one.
        cameras: Cameras that see the new space.
    """
    matrices = []
    for corners, generator in zip(box, generators):
        turn = int(torch.randint(4, (), generator=generator))
        mirror = -1.0 if torch.rand((), generator=generator) < 0.5 else 1.0
        factors = torch.exp(stretch * torch.randn(3, generator=generator))
        factors = factors * 2 / ((corners[1] - corners[0]).cpu() * factors).max().clamp(min=1e-3)
        cosine, sine = round(math.cos(turn * math.pi / 2)), round(math.sin(turn * math.pi / 2))
        turned = torch.tensor([[mirror * cosine, 0, mirror * sine], [0, 1, 0], [-sine, 0, cosine]])
        matrices.append(turned * factors)                                      # stretched along the old axes first
    matrix = torch.stack(matrices).to(box.device)
    cameras = view_cameras(len(box), box.device)
    scale = torch.einsum("bsij,bj->bsi", cameras.projection.abs(), matrix.norm(dim=1))
    toward = torch.einsum("bij,bsj->bsi", matrix / matrix.norm(dim=1, keepdim=True), cameras.toward)
    return matrix, Cameras(cameras.projection @ torch.linalg.inv(matrix)[:, None], scale, toward)


def transform_points(points, matrix):
    """points (B, K, 3) of the old space in the new one."""
    return points @ matrix.transpose(1, 2)


def transform_box(box, matrix):
    """Boxes (B, 2, 3) of the old space in the new one, which exchanges axes at most."""
    corners = transform_points(box, matrix)
    return torch.stack([corners.amin(dim=1), corners.amax(dim=1)], dim=1)


def random_colors(maps, generators):
    """Each sample's images in other colors, the same for all six: channels exchanged, brighter, darker, gray or plain.

    Args:
        maps: (B, S, 7, H, H) float from utils.multiview.view_maps: color over white, then coverage.
        generators: one CPU torch.Generator per sample.
    Returns:
        (B, S, 7, H, H); background stays white.
    """
    changed = maps.clone()
    for sample, generator in zip(changed, generators):
        kind, order, gain, bias, gray = (torch.rand((), generator=generator), torch.randperm(3, generator=generator),
                                         torch.rand(3, 1, 1, generator=generator),
                                         torch.rand(3, 1, 1, generator=generator), torch.rand((), generator=generator))
        color = sample[:, :3] if kind < 0.4 else sample[:, order.to(maps.device)]
        color = color * (0.7 + 0.5 * gain).to(maps.device) + (0.2 * bias - 0.1).to(maps.device)
        if kind > 0.9:
            color = color.mean(dim=1, keepdim=True).expand_as(color)
        elif kind > 0.8:
            color = torch.full_like(color, 0.2 + 0.6 * float(gray))
        coverage = sample[:, 3:4]
        sample[:, :3] = color.clamp(0, 1) * coverage + 1 - coverage
    return changed
