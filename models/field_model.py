"""Stage 1 by named views: six images with their cameras to the occupancy of any point of space.

A point inside the visual hull is described once per view by what that view knows of it: color and coverage where it
projects, the distance to the outline there, and how far along the line of sight the hull was entered and will be left;
if asked for, also by what a frozen DINOv2 says of the patch there (Oquab et al. 2023, "DINOv2").

A shared MLP and DeepSets pooling (Zaheer et al. 2017) make one feature of the six, so the order of the (image, camera)
pairs cannot matter. The same description on a coarse grid that fills the object's box goes through a 3D U-Net (Ronneberger
et al. 2015; Cicek et al. 2016), which sees the object as a whole; a last MLP decides from both (as in Peng et al. 2020,
"Convolutional Occupancy Networks"). Every length is features along a line of sight or in an image, so little has to be
learned and a hundred objects teach it.
"""
import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from config import UserError
from models.encoder import build_encoder, tokens_at
from models.view_cameras import Cameras, view_cameras
from utils.device import full_precision
from utils.io.checkpoint import load_checkpoint, load_weights
from utils.rendering.cameras import VIEW_EXTENT

NUM_GEOMETRIC_FEATURES = 13  # numbers per view of a point that are no color: see `FieldModel.per_view_features`
IMAGE_UNET_WIDTHS, IMAGE_UNET_FEATURES = (16, 32, 64), 12  # of the 2D U-Net
TOKEN_FEATURES = 16  # numbers to which a patch token is reduced
CELL_WIDTH, VOLUME_FEATURES = 32, 16  # of a cell's description per view, and of what the 3D U-Net says of it
TANH_SCALE_FINE, TANH_SCALE_COARSE = 0.05, 0.25  # lengths; distances are also given squeezed to these ranges, to be read finely near 0
COLOR_SIZE = 48  # pixels per edge of the images from which points take their colors
TRUNCATION = 0.3  # lengths; distances to an outline are cut off here
AMBIGUITY_BAND, MIN_WEIGHT = 0.02, 0.2  # lengths, share
HULL_MARGIN = 0.01  # lengths beyond the hull within which points are still learned from
LOGIT_SCALE, DISTANCE_SCALE = 5.0, 0.1  # outputs start small: logits, lengths
POINTS_AT_ONCE = 1 << 16  # bounds the memory of a fine grid
REFINE_BAND = 0.06  # lengths from the surface, by the field's own account, beyond which a grid is not refined
LOGIT_LENGTH = 0.02  # lengths per unit of logit where a logit stands for a distance to the surface


class EncodedObject(NamedTuple):
    """What is worked out once per object: maps (B, S, C, H, H) with blurred colors, cameras, box (B, 2, 3), features of
    the images (B, S, E, h, h) or None, of the volume (B, W, G, G, G), of the patch tokens (B, S, T, p, p) or None."""

    maps: torch.Tensor
    cameras: Cameras
    box: torch.Tensor
    image_features: torch.Tensor
    volume: torch.Tensor
    token_features: torch.Tensor = None


class ConvBlock(nn.Module):
    """Two 3-wide convolutions with GroupNorm and a shortcut: (B, C_in, ...) -> (B, C_out, ...), in 2D or 3D."""

    def __init__(self, width_in, width_out, conv):
        super().__init__()
        self.first, self.second = conv(width_in, width_out, 3, padding=1), conv(width_out, width_out, 3, padding=1)
        self.first_norm, self.second_norm = nn.GroupNorm(8, width_out), nn.GroupNorm(8, width_out)
        self.shortcut = conv(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x):
        hidden = F.silu(self.first_norm(self.first(x)))
        return F.silu(self.second_norm(self.second(hidden)) + self.shortcut(x))


class UNet(nn.Module):
    """Small U-Net: halves the resolution at each of `widths` but the first; (B, width_in, ...) -> (B, width_out, ...).

    Args:
        dimensions: 2 or 3.
        widths: channels per level, multiples of 8.
    """

    def __init__(self, dimensions, width_in, widths, width_out):
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[dimensions]
        self.mode = {2: "bilinear", 3: "trilinear"}[dimensions]
        self.stem = conv(width_in, widths[0], 1)
        self.down = nn.ModuleList(ConvBlock(*pair, conv) for pair in zip((widths[0],) + widths, widths))
        self.up = nn.ModuleList(ConvBlock(fine + coarse, fine, conv) for fine, coarse in zip(widths, widths[1:]))
        self.head = conv(widths[0], width_out, 1)

    def forward(self, x):
        levels = [self.down[0](self.stem(x))]
        for block in self.down[1:]:
            levels.append(block(self.pool(levels[-1], 2)))
        x = levels.pop()
        for block in reversed(self.up):
            fine = levels.pop()
            coarse = F.interpolate(x, size=fine.shape[2:], mode=self.mode, align_corners=False)
            x = block(torch.cat([fine, coarse], dim=1))
        return self.head(x)


class FieldModel(nn.Module):
    """Occupancy (or signed distance) of points from six images with their cameras.

    Args:
        grid_size: G, cells per edge of the volume that fills the object's box; 0 leaves the volume out.
        volume_widths: channels per level of the 3D U-Net.
        pictures: a 2D U-Net over each image's maps adds features to the measures.
        view_width: width of the shared MLP.
        head_width: width of the last MLP.
        use_color: False hides the images' content, so only silhouettes are features.
        target: "occupancy" or "distance", what the output stands for.
        token_width: D, width of the patch tokens that join the measures; 0 leaves them out.
        token_size: pixels per edge of the images from which `encoder` makes them.
        encoder: frozen ImageEncoder that makes the tokens where none are given, or None.
    Raises:
        ValueError: the encoder's tokens are of another width.
    """

    def __init__(self, *, grid_size=32, volume_widths=(24, 48, 96, 128), pictures=True, view_width=64, head_width=128,
                 use_color=True, target="occupancy", token_width=0, token_size=0, encoder=None):
        super().__init__()
        if encoder is not None and encoder.feature_dim != token_width:
            raise ValueError(f"{encoder.name} gives {encoder.feature_dim} features, not {token_width}")
        self.sizes = {"grid_size": grid_size, "volume_widths": list(volume_widths), "pictures": pictures,
                      "view_width": view_width, "head_width": head_width, "use_color": use_color, "target": target,
                      "token_width": token_width, "token_size": token_size}
        self.grid_size, self.use_color, self.target, self.token_size = grid_size, use_color, target, token_size
        self.pictures = UNet(2, 10 if use_color else 7, IMAGE_UNET_WIDTHS, IMAGE_UNET_FEATURES) if pictures else None
        per_view = NUM_GEOMETRIC_FEATURES + 6 * use_color + IMAGE_UNET_FEATURES * pictures + TOKEN_FEATURES * bool(token_width)
        self.per_view = nn.Sequential(nn.Linear(per_view, view_width), nn.SiLU(),
                                      nn.Linear(view_width, view_width), nn.SiLU())
        if grid_size:
            self.per_cell = nn.Sequential(nn.Linear(per_view, CELL_WIDTH), nn.SiLU())
            self.volume = UNet(3, 2 * CELL_WIDTH + 7, tuple(volume_widths), VOLUME_FEATURES)
        known = 2 * view_width + 7 + VOLUME_FEATURES * bool(grid_size)
        self.head = nn.Sequential(nn.Linear(known, head_width), nn.SiLU(),
                                  nn.Linear(head_width, head_width), nn.SiLU(), nn.Linear(head_width, 1))
        self.token_features = nn.Sequential(nn.LayerNorm(token_width),
                                            nn.Linear(token_width, TOKEN_FEATURES)) if token_width else None
        if encoder is not None:  # as a part of the model it follows to the device and, if it has to, into checkpoints
            self.encoder = encoder

    def forward(self, points, maps, cameras, box, tokens=None):
        """points (B, K, 3), what `encode` takes -> two (B, K): see `query`."""
        scene = self.encode(maps, cameras, box, tokens)
        with full_precision(points):
            return self.query(points, scene)

    def encode(self, maps, cameras, box, tokens=None):
        """Work out what all points of an object share.

        Args:
            maps: (B, S, 7, H, H) float from utils.multiview.view_maps, in any order of the views.
            cameras: Cameras of the same views in the same order.
            box: (B, 2, 3) float, the object's bounding box in the space of the points.
            tokens: (B, S, P, D) float, square grids of patch tokens of the same views, row by row; None: the encoder
                makes them from the maps' colors, if the model takes any.
        Returns:
            EncodedObject.
        """
        # Lettering tells nothing of depth, but would be embossed
        scene = EncodedObject(_blurred(maps, COLOR_SIZE, channels=3), cameras, box, None, None)
        if self.pictures:
            scene = scene._replace(image_features=self._image_features(maps, cameras))
        if self.token_features:
            tokens = tokens_at(self.encoder, maps[:, :, :3], self.token_size) if tokens is None else tokens
            scene = scene._replace(token_features=self._token_maps(tokens))
        if self.grid_size:
            count = self.grid_size
            centers = (torch.arange(count, device=maps.device) + 0.5) * 2 / count - 1
            place = torch.stack(torch.meshgrid(centers, centers, centers, indexing="ij"), dim=-1)
            place = place.reshape(1, -1, 3).expand(len(maps), -1, -1)               # (B, G^3, 3)
            middle, half = box.mean(dim=1, keepdim=True), (box[:, 1:] - box[:, :1]) / 2
            with full_precision(maps):                                              # bf16 would round lengths
                blurred = scene._replace(maps=_blurred(maps, count, channels=4))
                features, hull = self.per_view_features(middle + place * half * self._margin(), blurred)
                around = _box_coordinates(place, half, hull)
            cells = torch.cat([_pooled(self.per_cell(features)), around], dim=-1)   # (B, G^3, 71)
            scene = scene._replace(volume=self.volume(cells.transpose(1, 2).unflatten(2, (count,) * 3)).float())
        return scene

    def query(self, points, scene):
        """Decide about points.

        Args:
            points: (B, K, 3) float32.
            scene: EncodedObject from `encode`.
        Returns:
            output: (B, K) float32, positive in solid matter: logits of occupancy, or for the target "distance" lengths.
            hull: (B, K) float32, signed distance to the visual hull, positive inside. Points outside get an output too;
            that they are free is for the caller to know.
        """
        features, hull = self.per_view_features(points, scene)
        middle, half = scene.box.mean(dim=1, keepdim=True), (scene.box[:, 1:] - scene.box[:, :1]) / 2
        place = (points - middle) / half
        parts = [_pooled(self.per_view(features)), _box_coordinates(place, half, hull)]
        if self.grid_size:
            spot = (place / self._margin()).flip(-1)[:, :, None, None]              # grid_sample wants z, y, x
            volume = F.grid_sample(scene.volume, spot, padding_mode="border", align_corners=False)
            parts.append(volume[..., 0, 0].transpose(1, 2))                         # (B, K, 16)
        scale = LOGIT_SCALE if self.target == "occupancy" else DISTANCE_SCALE
        return self.head(torch.cat(parts, dim=-1)).squeeze(-1).float() * scale, hull

    def per_view_features(self, points, scene):
        """What each view knows of each point.

        Args:
            points: (B, K, 3) float32.
            scene: EncodedObject; its volume is not used.
        Returns:
            features: (B, S, K, M): coverage; distance to the outline, in lengths and finely; depth below the hull's
                entry and above its exit, each in lengths and in two fine scales; share of the chord; direction to the
                camera; color and its difference from the views' mean; the image's features; its patch
                tokens' features.
            hull: (B, K), signed distance to the visual hull, positive inside.
        """
        cameras = scene.cameras
        projected = torch.einsum("bsij,bkj->bski", cameras.projection, points)      # (B, S, K, 3)
        values = _read_maps(scene.maps, projected)                                  # (B, S, K, 7)
        along = cameras.scale[:, :, None, 2]
        across = (cameras.scale[:, :, None, 0] * cameras.scale[:, :, None, 1]).sqrt()
        edge = values[..., 4] * across
        entry, leave = ((values[..., 5] - projected[..., 2]) * along, (values[..., 6] + projected[..., 2]) * along)
        share = (entry / (entry + leave).clamp(min=1e-3)).clamp(-0.2, 1.2)
        measures = [values[..., 3], edge.clamp(-TRUNCATION, TRUNCATION) / TRUNCATION, torch.tanh(edge / TANH_SCALE_FINE),
                    entry, torch.tanh(entry / TANH_SCALE_FINE), torch.tanh(entry / TANH_SCALE_COARSE),
                    leave, torch.tanh(leave / TANH_SCALE_FINE), torch.tanh(leave / TANH_SCALE_COARSE), share]
        toward = cameras.toward[:, :, None].expand(-1, -1, points.shape[1], -1)
        parts = [torch.stack(measures, dim=-1), toward]
        if self.use_color:
            color = values[..., :3] - 0.5
            parts += [color, color - color.mean(dim=1, keepdim=True)]
        if self.pictures:
            parts.append(_read_maps(scene.image_features, projected))
        if self.token_features:
            parts.append(_read_maps(scene.token_features, projected))
        return torch.cat(parts, dim=-1), edge.amin(dim=1)

    def _image_features(self, maps, cameras):
        """(B, S, 12, H / 2, H / 2) features of each image, which is seen with its hull but without the others."""
        along = cameras.scale[:, :, 2, None, None]
        alpha, edge, entry, leave = maps[:, :, 3], maps[:, :, 4], maps[:, :, 5], maps[:, :, 6]
        upward = cameras.toward[:, :, 1, None, None].expand_as(alpha)
        seen = [alpha, edge.clamp(-TRUNCATION, TRUNCATION) / TRUNCATION, torch.tanh(edge / TANH_SCALE_FINE), entry * along * alpha,
                leave * along * alpha, (entry + leave) * along, upward]
        seen = torch.stack(seen, dim=2)
        if self.use_color:
            seen = torch.cat([maps[:, :, :3] - 0.5, seen], dim=2)
        features = self.pictures(F.avg_pool2d(seen.flatten(0, 1), 2)).float()
        return features.unflatten(0, maps.shape[:2])

    def _token_maps(self, tokens):
        """Patch tokens (B, S, P, D) as maps (B, S, 16, p, p) that cover what the images do."""
        features = self.token_features(tokens.float()).float()                      # (B, S, P, 16)
        return features.transpose(2, 3).unflatten(3, (math.isqrt(tokens.shape[2]),) * 2)

    def _margin(self):
        """The volume is this much longer than the box, so that the box's faces lie between cell centers."""
        return 1 + 2 / self.grid_size

    def model_args(self):
        """Plain types from which `load_field_model` builds this model again."""
        encoder = {"encoder": self.encoder.description()} if hasattr(self, "encoder") else {}
        return self.sizes | encoder


def _read_maps(maps, projected):
    """Read maps (B, S, C, H, H) bilinearly at projected points (B, S, K, 3) -> (B, S, K, C)."""
    where = torch.stack([projected[..., 0], -projected[..., 1]], dim=-1) / VIEW_EXTENT
    values = F.grid_sample(maps.flatten(0, 1), where.flatten(0, 1).unsqueeze(1), padding_mode="border",
                           align_corners=False)                                     # (B S, C, 1, K)
    return values.squeeze(2).transpose(1, 2).unflatten(0, maps.shape[:2])


def _blurred(maps, size, channels):
    """Maps (B, S, C, H, H), the first `channels` of which are as images of size x size pixels show them."""
    small = F.adaptive_avg_pool2d(maps[:, :, :channels].flatten(0, 1), size)
    seen = F.interpolate(small, size=maps.shape[3:], mode="bilinear", align_corners=False)
    return torch.cat([seen.unflatten(0, maps.shape[:2]), maps[:, :, channels:]], dim=2)


def _pooled(features):
    """DeepSets: (B, S, K, D) -> (B, K, 2 D), maximum and mean over views."""
    largest = features.max(dim=1).values  # not amax, whose gradient is shared among equals by several passes
    return torch.cat([largest, features.mean(dim=1)], dim=-1)


def _box_coordinates(place, half, hull):
    """(B, K, 7): place in the box in [-1, 1], the box's half edges, and the distance to the hull."""
    return torch.cat([place, half.expand_as(place), hull.clamp(-TRUNCATION, TRUNCATION).unsqueeze(-1) / TRUNCATION], dim=-1)


def field_loss(output, distances, hull, target):
    """Loss of a batch of points.

    Args:
        output: (B, K) from the model.
        distances: (B, K) true signed distances, positive in solid matter.
        hull: (B, K) signed distances to the visual hull; points outside it are known to be free and do not count.
        target: "occupancy" (binary cross entropy; points nearer to the surface than AMBIGUITY_BAND count less, for at some depth
            there is nothing to tell its two sides apart by) or "distance" (|difference| of distances cut off at
            DISTANCE_SCALE, in units of it).
    Returns:
        scalar; 0 if no point counts.
    """
    output, distances, weight = output.float(), distances.float(), (hull > -HULL_MARGIN).float()
    if target == "occupancy":
        weight = weight * (distances.abs() / AMBIGUITY_BAND).clamp(MIN_WEIGHT, 1)
        each = F.binary_cross_entropy_with_logits(output, (distances > 0).float(), reduction="none")
    else:
        each = (output - distances.clamp(-DISTANCE_SCALE, DISTANCE_SCALE)).abs() / DISTANCE_SCALE
    return ((each * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-6)).mean()  # objects weigh alike


def load_field_model(path):
    """A trained FieldModel for use as it is.

    Args:
        path: .pth file written by `python train_geometry.py --geometry_decoder field`.
    Returns:
        model: FieldModel on the CPU, in eval mode and without gradients; checkpoint: dict (see utils.io.checkpoint).
    Raises:
        UserError: the file is missing, damaged, of another kind or does not fit its sizes, or an encoder that it knows
            by name alone is not found.
    """
    checkpoint = load_checkpoint(path, "field")
    args = dict(checkpoint["model_args"])
    try:
        encoder = build_encoder(args.pop("encoder"), frozen=True) if "encoder" in args else None
        model = FieldModel(**args, encoder=encoder)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path}: its sizes fit no field model ({error})") from None
    load_weights(model, checkpoint["weights"], path)
    return model.eval().requires_grad_(False), checkpoint


@torch.inference_mode()
def field_on_grid(model, maps, axes, hull):
    """Evaluate a field at the points of a grid that lie in the visual hull, coarse to fine.

    Every second plane of each axis comes first. Between corners that are all deep in matter or all far from it nothing
    is asked: the mean of the corners stands there (as in Mescheder et al. 2019, "Occupancy Networks", section 3.3).

    Args:
        model: FieldModel.
        maps: (6, 7, H, H) float32 and axes, hull as in utils.multiview.field_cleanup.enforce_silhouettes, all NumPy.
    Returns:
        (X, Y, Z) float32, about the signed distance to the surface in lengths, positive in matter; outside the hull
        its distance.
    """
    device = next(model.parameters()).device
    corners = np.array([[axis[0] + axis[1], axis[-1] + axis[-2]] for axis in axes]).T / 2  # half a cell inside the grid
    box = torch.tensor(corners[None], dtype=torch.float32, device=device)
    scene = model.encode(torch.from_numpy(maps)[None].to(device), view_cameras(1, device), box)
    scale = LOGIT_LENGTH if model.target == "occupancy" else 1.0

    def answer(wanted):
        """Values at the grid points where `wanted` (X, Y, Z) bool is true, in C order."""
        if not wanted.any():
            return np.empty(0, np.float32)
        points = np.stack([axis[index] for axis, index in zip(axes, np.nonzero(wanted))], axis=1).astype(np.float32)
        values = [model.query(some[None].to(device), scene)[0][0].cpu()
                  for some in torch.from_numpy(points).split(POINTS_AT_ONCE)]
        return torch.cat(values).numpy() * scale

    inside = hull > 0
    every_second = np.zeros(hull.shape, bool)
    every_second[::2, ::2, ::2] = True
    field = np.full(hull.shape, np.nan, np.float32)
    field[inside & every_second] = answer(inside & every_second)
    least = mean = most = field[::2, ::2, ::2]  # NaN where unknown, which no comparison below takes for sure
    for axis, count in enumerate(hull.shape):
        low = np.arange(count) // 2
        high = np.minimum((np.arange(count) + 1) // 2, low[-1])
        least = np.minimum(least.take(low, axis), least.take(high, axis))
        most = np.maximum(most.take(low, axis), most.take(high, axis))
        mean = (mean.take(low, axis) + mean.take(high, axis)) / 2
    sure = (least > REFINE_BAND) | (most < -REFINE_BAND)
    field = np.where(sure, mean, field)
    open_ones = inside & np.isnan(field)
    field[open_ones] = answer(open_ones)
    return np.where(inside, field, hull)
