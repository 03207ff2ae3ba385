"""The views' cameras as tensors, and how training changes what they see without touching a pixel.

An object that is turned by quarter turns, mirrored or stretched is seen by the same images with other cameras: a point
of the new space is taken back to the old one before it is projected.
"""
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from utils.rendering.cameras import VIEW_CAMERAS, Camera


class Cameras(NamedTuple):
    """How each sample's images see its space, which augmentation may have turned, mirrored and stretched.

    projection: (B, S, 3, 3), rows: from a point to image right, image up and depth of the image as it was drawn.
    inverse_distance: (B, S), q of CONVENTIONS' projection, 0 where it is orthographic.
    reach: (B, S), 1 / scale: normalized units of the drawn space, at the origin's depth, per image coordinate.
    shift: (B, S, 2), in image coordinates, right and down.
    stretch: (B, S), how much longer the two axes of the image have become, in their geometric mean.
    toward: (B, S, 3), the axis towards the camera in the space of the points, as long as its unit has become there.
    measured: (B, S) bool: an image was taken; False: the mirrored silhouette of the opposite view stands in for it.
    present: (B, S) bool: there is anything; False: the view takes no part.
    """

    projection: torch.Tensor
    inverse_distance: torch.Tensor
    reach: torch.Tensor
    shift: torch.Tensor
    stretch: torch.Tensor
    toward: torch.Tensor
    measured: torch.Tensor
    present: torch.Tensor

    def to(self, device: torch.device | str) -> "Cameras":
        """The same on another device."""
        return Cameras(*(part.to(device) for part in self))


def stack_cameras(bases: torch.Tensor, inverse_distances: torch.Tensor, scales: torch.Tensor, shifts: torch.Tensor,
                  measured: torch.Tensor | None = None, present: torch.Tensor | None = None) -> Cameras:
    """Cameras of a batch from the numbers of utils.rendering.cameras.Camera.

    Args:
        bases: (B, S, 3, 3), rows: image right, image up, towards the camera; inverse_distances, scales: (B, S);
            shifts: (B, S, 2); all float32.
        measured, present: (B, S) bool, see Cameras; None: all.
    """
    yes = torch.ones_like(scales, dtype=torch.bool)
    return Cameras(bases, inverse_distances, 1 / scales, shifts, torch.ones_like(scales), bases[..., 2, :],
                   yes if measured is None else measured.bool(), yes if present is None else present.bool())


def camera_tensors(cameras: Sequence[Camera], measured: Sequence[bool] | None = None,
                   device: torch.device | str | None = None) -> Cameras:
    """One object's S cameras, as a batch of one.

    Args:
        cameras: S Camera; measured: S bool, False where a mirrored silhouette stands in (None: nowhere).
        device: where the tensors shall be.
    """
    parts = [np.stack([getattr(camera, name) for camera in cameras])[None].astype(np.float32)
             for name in ("basis", "inverse_distance", "scale", "shift")]
    known = None if measured is None else torch.tensor([list(measured)], device=device)
    result = stack_cameras(*(torch.from_numpy(part).to(device) for part in parts), known)
    reach = np.array([[1 / camera.scale for camera in cameras]], np.float32)  # of the exact one: VIEW_EXTENT to the bit
    return result._replace(reach=torch.from_numpy(reach).to(device))


def view_cameras(batch: int = 1, device: torch.device | str | None = None) -> Cameras:
    """Cameras of the six views as CONVENTIONS define them, nothing turned or stretched."""
    cameras = camera_tensors(list(VIEW_CAMERAS.values()), device=device)
    return Cameras(*(part.expand(batch, *part.shape[1:]) for part in cameras))


def project(points: torch.Tensor, cameras: Cameras) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where images show points.

    Args:
        points: (B, K, 3) float32, in front of every camera.
        cameras: Cameras.
    Returns:
        places: (B, S, K, 2), image coordinates in [-1, 1], right and down.
        depth: (B, S, K), along the axis towards the camera, in the space that was drawn.
        w: (B, S, K), 1 - inverse_distance * depth: the point's distance from the camera beside the origin's.
    """
    local = torch.einsum("bsij,bkj->bski", cameras.projection, points)              # (B, S, K, 3)
    depth = local[..., 2]
    w = (1 - cameras.inverse_distance[..., None] * depth).clamp(min=1e-2)
    spread = cameras.reach[..., None] * w
    places = torch.stack([local[..., 0] / spread + cameras.shift[..., None, 0],
                          -local[..., 1] / spread + cameras.shift[..., None, 1]], dim=-1)
    return places, depth, w


def augment_space(box: torch.Tensor, generators: Sequence[torch.Generator], stretch: float,
                  cameras: Cameras | None = None) -> tuple[torch.Tensor, Cameras]:
    """A new space for each sample: turned about +y by quarter turns, mirrored, stretched, and normalized again.

    Args:
        box: (B, 2, 3) float32, the samples' boxes, centered at the origin but for fractions of a pixel.
        generators: one CPU torch.Generator per sample.
        stretch: standard deviation of the logarithm of the factor along each axis, before normalizing.
        cameras: Cameras that see the old space; None: the six exact orthographic ones.
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
    cameras = view_cameras(len(box), box.device) if cameras is None else cameras
    # A unit along an axis of the camera, in the new space; the drawn space may be the end of another change already
    right, up = (torch.einsum("bij,bsj->bsi", matrix, torch.linalg.inv(cameras.projection)[..., axis]).norm(dim=-1)
                 for axis in (0, 1))
    changed = cameras._replace(projection=cameras.projection @ torch.linalg.inv(matrix)[:, None],
                               stretch=(right * up).sqrt(), toward=torch.einsum("bij,bsj->bsi", matrix, cameras.toward))
    return matrix, changed


def transform_points(points: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """points (B, K, 3) of the old space in the new one."""
    return points @ matrix.transpose(1, 2)


def transform_box(box: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Boxes (B, 2, 3) of the old space in the new one, which exchanges axes at most."""
    corners = transform_points(box, matrix)
    return torch.stack([corners.amin(dim=1), corners.amax(dim=1)], dim=1)


def random_colors(maps: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
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
