"""Stage 1 by named views: images with their cameras to the occupancy of any point of space.

A point inside the visual hull is described once per view by what that view knows of it: color and coverage where it
projects, the distance to the silhouette's boundary there, and how far along the line of sight the hull was entered and will
be left.

What the image shows around that place comes beside it: a 2D U-Net (Ronneberger et al. 2015) turns each image and its
silhouette into features of its pixels, the same for all views (pixel-aligned features: Saito et al. 2019, "PIFu").

A shared MLP and DeepSets pooling (Zaheer et al. 2017) make one feature of the views, so neither the order of the (image,
camera) pairs nor how many there are can matter. The same description on a coarse grid that fills the object's box goes
through a 3D U-Net (Cicek et al. 2016), which sees the object as a whole; a last MLP decides from both (as in Peng et al.
2020, "Convolutional Occupancy Networks"). Every length is measured along a line of sight or in an image, so little has to
be learned and a hundred objects teach it.
"""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from models.loading import load_trained
from models.view_cameras import Cameras, camera_tensors, project
from utils.device import full_precision
from utils.rendering.cameras import ORTHOGRAPHIC, VIEW_EXTENT, Camera

NUM_GEOMETRIC_FEATURES = 13  # numbers per view of a point that are no color: see `FieldModel.per_view_features`
CELL_WIDTH, VOLUME_FEATURES = 32, 16  # of a cell's description per view, and of what the 3D U-Net says of it
IMAGE_CHANNELS, IMAGE_FEATURES = 17, 16  # of what the 2D U-Net reads: maps, whether taken, its camera's axes; and says
IMAGE_LEVELS = 8  # at most: maps of 128 pixels are halved down to one
CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}  # by the number of axes
TANH_SCALE_FINE, TANH_SCALE_COARSE = 0.05, 0.25  # normalized units; distances are also given squeezed to these ranges
COLOR_SIZE = 48  # pixels per edge of the images from which points take their colors
TRUNCATION = 0.3  # normalized units; distances to a silhouette's boundary are cut off here
AMBIGUITY_BAND, MIN_WEIGHT = 0.02, 0.2  # normalized units, share
HULL_MARGIN = 0.01  # normalized units beyond the hull within which points are still learned from
LOGIT_SCALE = 5.0  # outputs start small
POINTS_AT_ONCE = 1 << 16  # bounds the memory of a fine grid
# A logit is no length, but near the surface it grows like one: on a grid beside the hull's distances it counts so many
# normalized units, and beyond a value of so many a grid is not refined.
LOGIT_LENGTH, REFINE_BAND = 0.02, 0.06
# Of earlier checkpoints: arguments that are gone, and the only values with which those checkpoints can be read.
RETIRED_ARGS = {"pictures": False, "target": "occupancy", "token_width": 0, "token_size": 0}


class EncodedObject(NamedTuple):
    """What is worked out once per object: maps (B, S, 7 + D, H, H) with blurred colors, the images' features last, cameras,
    box (B, 2, 3), features of the volume (B, W, G, G, G) or None, views that take no part (B, S) bool or None if all do."""

    maps: torch.Tensor
    cameras: Cameras
    box: torch.Tensor
    volume: torch.Tensor | None = None
    absent: torch.Tensor | None = None


class ConvBlock(nn.Module):
    """Two 3-wide convolutions with GroupNorm and a shortcut: (B, C_in, X, Y[, Z]) -> (B, C_out, X, Y[, Z])."""

    def __init__(self, width_in: int, width_out: int, axes: int) -> None:
        super().__init__()
        conv = CONVOLUTION[axes]
        self.first, self.second = (conv(width, width_out, 3, padding=1) for width in (width_in, width_out))
        self.first_norm, self.second_norm = nn.GroupNorm(8, width_out), nn.GroupNorm(8, width_out)
        self.shortcut = conv(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = F.silu(self.first_norm(self.first(x)))
        return F.silu(self.second_norm(self.second(hidden)) + self.shortcut(x))


class UNet(nn.Module):
    """Small U-Net of images (2 axes) or volumes (3): halves the resolution at each of `widths` but the first.

    (B, width_in, X, Y[, Z]) -> (B, width_out, X, Y[, Z]).

    Args:
        widths: channels per level, multiples of 8.
        axes: 2 or 3.
    """

    def __init__(self, width_in: int, widths: tuple[int, ...], width_out: int, axes: int) -> None:
        super().__init__()
        self.stem = CONVOLUTION[axes](width_in, widths[0], 1)
        self.down = nn.ModuleList(ConvBlock(*pair, axes) for pair in zip((widths[0],) + widths, widths))
        self.up = nn.ModuleList(ConvBlock(fine + coarse, fine, axes) for fine, coarse in zip(widths, widths[1:]))
        self.head = CONVOLUTION[axes](widths[0], width_out, 1)
        self.halved, self.mode = (F.avg_pool2d, "bilinear") if axes == 2 else (F.avg_pool3d, "trilinear")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels = [self.down[0](self.stem(x))]
        for block in self.down[1:]:
            levels.append(block(self.halved(levels[-1], 2)))
        x = levels.pop()
        for block in reversed(self.up):
            fine = levels.pop()
            coarse = F.interpolate(x, size=fine.shape[2:], mode=self.mode, align_corners=False)
            x = block(torch.cat([fine, coarse], dim=1))
        return self.head(x)


class FieldModel(nn.Module):
    """Occupancy of points from images with their cameras.

    Args:
        grid_size: G, cells per edge of the volume that fills the object's box; 0 leaves the volume out.
        volume_widths: channels per level of the 3D U-Net.
        view_width: width of the shared MLP.
        head_width: width of the last MLP.
        use_color: False hides the images' content, so only silhouettes are features.
        stand_ins: each view tells whether its image was taken, or its opposite's silhouette stands in for it.
        image_widths: channels per level of the 2D U-Net; none leaves the images' features out.
    """

    def __init__(self, *, grid_size: int = 24, volume_widths: Sequence[int] = (32, 64, 128, 192), view_width: int = 64,
                 head_width: int = 128, use_color: bool = True, stand_ins: bool = True,
                 image_widths: Sequence[int] = (24, 48, 72, 96, 128)) -> None:
        super().__init__()
        if grid_size % 2 ** (len(volume_widths) - 1):
            raise ValueError(f"grid_size {grid_size} cannot be halved {len(volume_widths) - 1} times")
        if len(image_widths) > IMAGE_LEVELS:
            raise ValueError(f"maps cannot be halved {len(image_widths) - 1} times")
        self.sizes = {"grid_size": grid_size, "volume_widths": list(volume_widths), "view_width": view_width,
                      "head_width": head_width, "use_color": use_color, "stand_ins": stand_ins,
                      "image_widths": list(image_widths)}
        self.grid_size, self.use_color, self.stand_ins = grid_size, use_color, stand_ins
        self.image = UNet(IMAGE_CHANNELS, tuple(image_widths), IMAGE_FEATURES, axes=2) if image_widths else None
        per_view = NUM_GEOMETRIC_FEATURES + 6 * use_color + stand_ins + IMAGE_FEATURES * bool(image_widths)
        self.per_view = nn.Sequential(nn.Linear(per_view, view_width), nn.SiLU(),
                                      nn.Linear(view_width, view_width), nn.SiLU())
        if grid_size:
            self.per_cell = nn.Sequential(nn.Linear(per_view, CELL_WIDTH), nn.SiLU())
            self.volume = UNet(2 * CELL_WIDTH + 7, tuple(volume_widths), VOLUME_FEATURES, axes=3)
        known = 2 * view_width + 7 + VOLUME_FEATURES * bool(grid_size)
        self.head = nn.Sequential(nn.Linear(known, head_width), nn.SiLU(),
                                  nn.Linear(head_width, head_width), nn.SiLU(), nn.Linear(head_width, 1))

    def forward(self, points: torch.Tensor, maps: torch.Tensor, cameras: Cameras,
                box: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """points (B, K, 3), what `encode` takes -> two (B, K): see `query`."""
        scene = self.encode(maps, cameras, box)
        with full_precision(points):
            return self.query(points, scene)

    def encode(self, maps: torch.Tensor, cameras: Cameras, box: torch.Tensor) -> EncodedObject:
        """Work out what all points of an object share.

        Args:
            maps: (B, S, 7, H, H) float from utils.multiview.view_maps, in any order of the views, S at least 1.
            cameras: Cameras of the same views in the same order; where it says so, views take no part.
            box: (B, 2, 3) float, the object's bounding box in the space of the points.
        """
        # Printed text would otherwise appear as relief
        absent = None if bool(cameras.present.all()) else ~cameras.present
        maps = torch.cat([maps, self.image_features(maps, cameras)], dim=2) if self.image else maps
        scene = EncodedObject(_blurred(maps, COLOR_SIZE, channels=3), cameras, box, None, absent)
        if self.grid_size:
            count = self.grid_size
            centers = (torch.arange(count, device=maps.device) + 0.5) * 2 / count - 1
            place = torch.stack(torch.meshgrid(centers, centers, centers, indexing="ij"), dim=-1)
            place = place.reshape(1, -1, 3).expand(len(maps), -1, -1)               # (B, G^3, 3)
            middle, half = box.mean(dim=1, keepdim=True), (box[:, 1:] - box[:, :1]) / 2
            with full_precision(maps):                                              # bf16 would round lengths
                blurred = scene._replace(maps=_blurred(maps, count, channels=4, features=True))
                features, hull = self.per_view_features(middle + place * half * self._margin(), blurred)
                around = _box_coordinates(place, half, hull)
            cells = torch.cat([_pooled(self.per_cell(features), absent), around], dim=-1)  # (B, G^3, 71)
            scene = scene._replace(volume=self.volume(cells.transpose(1, 2).unflatten(2, (count,) * 3)).float())
        return scene

    def query(self, points: torch.Tensor, scene: EncodedObject) -> tuple[torch.Tensor, torch.Tensor]:
        """Decide about points.

        Args:
            points: (B, K, 3) float32.
            scene: EncodedObject from `encode`.
        Returns:
            output: (B, K) float32, logits of occupancy.
            hull: (B, K) float32, signed distance to the visual hull, positive inside. Points outside get an output too;
            that they are free is for the caller to know.
        """
        features, hull = self.per_view_features(points, scene)
        middle, half = scene.box.mean(dim=1, keepdim=True), (scene.box[:, 1:] - scene.box[:, :1]) / 2
        place = (points - middle) / half
        parts = [_pooled(self.per_view(features), scene.absent), _box_coordinates(place, half, hull)]
        if self.grid_size:
            spot = (place / self._margin()).flip(-1)[:, :, None, None]              # grid_sample wants z, y, x
            volume = F.grid_sample(scene.volume, spot, padding_mode="border", align_corners=False)
            parts.append(volume[..., 0, 0].transpose(1, 2))                         # (B, K, 16)
        return self.head(torch.cat(parts, dim=-1)).squeeze(-1).float() * LOGIT_SCALE, hull

    def image_features(self, maps: torch.Tensor, cameras: Cameras) -> torch.Tensor:
        """What each image shows around each of its pixels: maps (B, S, 7, H, H) -> (B, S, IMAGE_FEATURES, H, H) float32."""
        measured = (cameras.measured & cameras.present)[:, :, None, None, None].to(maps.dtype)
        axes = F.normalize(cameras.projection, dim=-1).flatten(2)[..., None, None]  # right, up and toward, as they are now
        colors = (maps[:, :, :3] - 0.5) * measured if self.use_color else torch.zeros_like(maps[:, :, :3])
        known = torch.cat([colors, maps[:, :, 3:4], maps[:, :, 4:5].clamp(-TRUNCATION, TRUNCATION) / TRUNCATION,
                           maps[:, :, 5:], measured.expand_as(maps[:, :, :1]),
                           axes.to(maps.dtype).expand(-1, -1, -1, *maps.shape[3:])], dim=2)
        return self.image(known.flatten(0, 1)).float().unflatten(0, maps.shape[:2])

    def per_view_features(self, points: torch.Tensor, scene: EncodedObject) -> tuple[torch.Tensor, torch.Tensor]:
        """What each view knows of each point.

        Args:
            points: (B, K, 3) float32.
            scene: EncodedObject; its volume is not used.
        Returns:
            features: (B, S, K, M): coverage; distance to the boundary, coarse and fine; depth below the hull's
                entry and above its exit along the line of sight, each coarse and in two fine scales; fraction of the
                chord; direction to the camera; color and its difference from the views' mean, both 0 where no image was
                taken; whether one was; the image's features.
            hull: (B, K), signed distance to the visual hull, positive inside.
        """
        cameras = scene.cameras
        places, depth, w = project(points, cameras)
        values = _read_maps(scene.maps, places)                                     # (B, S, K, 7 + D)
        # From image to space: the map's lengths are right for a reach of VIEW_EXTENT, at the origin's depth
        edge = values[..., 4] * (cameras.stretch * cameras.reach / VIEW_EXTENT)[..., None] * w
        sight = cameras.toward[:, :, None] - cameras.inverse_distance[..., None, None] * points[:, None]
        distance = sight.norm(dim=-1)
        along = distance / w  # a unit of depth is so long on this line of sight
        entry, leave = (values[..., 5] - depth) * along, (values[..., 6] + depth) * along
        share = (entry / (entry + leave).clamp(min=1e-3)).clamp(-0.2, 1.2)
        measures = [values[..., 3], edge.clamp(-TRUNCATION, TRUNCATION) / TRUNCATION, torch.tanh(edge / TANH_SCALE_FINE),
                    entry, torch.tanh(entry / TANH_SCALE_FINE), torch.tanh(entry / TANH_SCALE_COARSE),
                    leave, torch.tanh(leave / TANH_SCALE_FINE), torch.tanh(leave / TANH_SCALE_COARSE), share]
        parts = [torch.stack(measures, dim=-1), sight / distance.unsqueeze(-1)]
        measured = (cameras.measured & cameras.present)[:, :, None, None].to(values.dtype)
        if self.use_color:
            color = (values[..., :3] - 0.5) * measured
            mean = color.sum(dim=1, keepdim=True) / measured.sum(dim=1, keepdim=True).clamp(min=1)
            parts += [color, (color - mean) * measured]
        if self.stand_ins:
            parts.append(measured.expand(-1, -1, points.shape[1], -1))
        parts.append(values[..., 7:])
        if scene.absent is not None:
            edge = edge.masked_fill(scene.absent[..., None], torch.inf)
        return torch.cat(parts, dim=-1), edge.amin(dim=1)

    def _margin(self):
        """The volume is this much longer than the box, so that the box's faces lie between cell centers."""
        return 1 + 2 / self.grid_size

    def model_args(self) -> dict:
        """Plain types from which `load_field_model` builds this model again."""
        return dict(self.sizes)


def _read_maps(maps, places):
    """Read maps (B, S, C, H, H) bilinearly at image coordinates (B, S, K, 2) -> (B, S, K, C)."""
    values = F.grid_sample(maps.flatten(0, 1), places.flatten(0, 1).unsqueeze(1), padding_mode="border",
                           align_corners=False)                                     # (B S, C, 1, K)
    return values.squeeze(2).transpose(1, 2).unflatten(0, maps.shape[:2])


def _blurred(maps, size, channels, features=False):
    """Maps (B, S, 7 + D, H, H), the first `channels` of which, and the last D too, are as size x size pixels show them."""
    parts = list(maps.split([channels, 7 - channels, maps.shape[2] - 7], dim=2))
    for number in (0, 2) if features and parts[2].shape[2] else (0,):
        small = F.adaptive_avg_pool2d(parts[number].flatten(0, 1), size)
        seen = F.interpolate(small, size=maps.shape[3:], mode="bilinear", align_corners=False)
        parts[number] = seen.unflatten(0, maps.shape[:2])
    return torch.cat(parts, dim=2)


def _pooled(features, absent):
    """DeepSets: (B, S, K, D) -> (B, K, 2 D), maximum and mean over views; absent (B, S) bool are left out, or None."""
    # max, not amax, whose gradient is shared among equals by several passes
    if absent is None:
        return torch.cat([features.max(dim=1).values, features.mean(dim=1)], dim=-1)
    absent = absent[:, :, None, None]
    largest = features.masked_fill(absent, -torch.inf).max(dim=1).values
    mean = features.masked_fill(absent, 0).sum(dim=1) / (~absent).sum(dim=1)
    return torch.cat([largest, mean], dim=-1)


def _box_coordinates(place, half, hull):
    """(B, K, 7): place in the box in [-1, 1], the box's half edges, and the distance to the hull."""
    return torch.cat([place, half.expand_as(place), hull.clamp(-TRUNCATION, TRUNCATION).unsqueeze(-1) / TRUNCATION], dim=-1)


def field_loss(output: torch.Tensor, distances: torch.Tensor, hull: torch.Tensor,
               bands: torch.Tensor | None = None) -> torch.Tensor:
    """Binary cross entropy of a batch of points, by how sure their labels are.

    Args:
        output: (B, K) logits from the model.
        distances: (B, K) true signed distances, positive inside.
        hull: (B, K) signed distances to the visual hull; points outside it are known to be free and do not count.
        bands: (B, K) normalized units: points nearer to the surface than this count less, for at some depth there is nothing to
            tell its two sides apart by; in a thin wall less than AMBIGUITY_BAND, or no point of it would count. None:
            AMBIGUITY_BAND for all.
    Returns:
        scalar; 0 if no point counts.
    """
    output, distances = output.float(), distances.float()
    band = AMBIGUITY_BAND if bands is None else bands.float()
    weight = (hull > -HULL_MARGIN).float() * (distances.abs() / band).clamp(MIN_WEIGHT, 1)
    each = F.binary_cross_entropy_with_logits(output, (distances > 0).float(), reduction="none")
    return ((each * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-6)).mean()  # objects weigh alike


def current_checkpoint(model_args: dict, weights: dict) -> tuple[dict, dict]:
    """Arguments and weights of an earlier checkpoint, as this class reads them; those of today's stay as they are.

    Args:
        model_args: what `FieldModel.model_args` gave then; weights: {name: tensor}.
    Returns:
        model_args, weights.
    Raises:
        ValueError: the checkpoint uses a part that is no more.
    """
    args = dict(model_args)
    for name, off in RETIRED_ARGS.items():
        if args.pop(name, off) != off:
            raise ValueError(f"{name} is no part of the field any more")
    args.setdefault("stand_ins", False)
    args.setdefault("image_widths", [])
    return args, weights


def _with_inputs(weights, count):
    """Weights of a model whose views tell `count` numbers more of a point, each of weight 0."""
    return {name: F.pad(value, (0, count)) if name in ("per_view.0.weight", "per_cell.0.weight") else value
            for name, value in weights.items()}


def with_stand_ins(weights: dict) -> dict:
    """Weights of a model without `stand_ins` for one with it, whose outputs stay the same: the new inputs weigh 0."""
    return _with_inputs(weights, 1)


def with_image_features(weights: dict, widths: Sequence[int]) -> dict:
    """Weights of a model without `image_widths` for one with them, whose outputs stay the same: the features weigh 0.

    Args:
        weights: {name: tensor}; widths: channels per level of the 2D U-Net, whose own weights are random, always the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        image = UNet(IMAGE_CHANNELS, tuple(widths), IMAGE_FEATURES, axes=2)
    return _with_inputs(weights, IMAGE_FEATURES) | {f"image.{name}": value for name, value in image.state_dict().items()}


def up_to_date(model_args: dict, weights: dict, image_widths: Sequence[int] = ()) -> tuple[dict, dict]:
    """A checkpoint's model arguments and weights as today's field reads them, with inputs of weight 0 for what is new.

    Args:
        model_args, weights: as in `current_checkpoint`.
        image_widths: of the model that is wanted; a checkpoint that has such features already keeps its own.
    """
    model_args, weights = current_checkpoint(model_args, weights)
    if not model_args["stand_ins"]:
        model_args, weights = model_args | {"stand_ins": True}, with_stand_ins(weights)
    if image_widths and not model_args["image_widths"]:
        model_args = model_args | {"image_widths": list(image_widths)}
        weights = with_image_features(weights, image_widths)
    return model_args, weights


def load_field_model(path: str | Path, model_class: type[FieldModel] = FieldModel,
                     checkpoint: dict | None = None) -> tuple[FieldModel, dict]:
    """A trained FieldModel for use as it is.

    Args:
        path: .pth file written by train_field.py, or a folder written by models/share.py.
        model_class: FieldModel, or a class derived from it.
        checkpoint: what load_checkpoint gave for `path`, where it has been read before.
    Returns:
        model: FieldModel on the CPU, in eval mode and without gradients; checkpoint: dict (see utils.io.checkpoint).
    Raises:
        UserError: the file is missing, damaged, of another kind or does not fit its sizes.
    """
    return load_trained(path, "field", lambda args: model_class(**args), current_checkpoint, checkpoint)


@torch.inference_mode()
def field_on_grid(model: FieldModel, maps: np.ndarray, axes: list[np.ndarray], hull: np.ndarray,
                  cameras: Sequence[Camera] = ORTHOGRAPHIC, measured: Sequence[bool] | None = None) -> np.ndarray:
    """Evaluate a field at the points of a grid that lie in the visual hull, coarse to fine.

    Every second plane of each axis comes first. Between corners that are all deep inside or all far outside nothing
    is asked: the mean of the corners stands there (as in Mescheder et al. 2019, "Occupancy Networks", section 3.3).

    Args:
        model: FieldModel.
        maps: (S, 7, H, H) float32 and axes, hull as in utils.multiview.field_cleanup.enforce_silhouettes, all NumPy.
        cameras: S Camera.
        measured: S bool, False where a mirrored silhouette stands in for an image; None: nowhere.
    Returns:
        (X, Y, Z) float32, logits times LOGIT_LENGTH, positive inside; outside the hull its signed distance.
    """
    device = next(model.parameters()).device
    corners = np.array([[axis[0] + axis[1], axis[-1] + axis[-2]] for axis in axes]).T / 2  # half a cell inside the grid
    box = torch.tensor(corners[None], dtype=torch.float32, device=device)
    seen_by = camera_tensors(cameras, measured, device)
    scene = model.encode(torch.from_numpy(maps)[None].to(device), seen_by, box)

    def answer(wanted):
        """Logits times LOGIT_LENGTH at the grid points where `wanted` (X, Y, Z) bool is true, in C order."""
        if not wanted.any():
            return np.empty(0, np.float32)
        points = np.stack([axis[index] for axis, index in zip(axes, np.nonzero(wanted))], axis=1).astype(np.float32)
        values = [model.query(some[None].to(device), scene)[0][0].cpu()
                  for some in torch.from_numpy(points).split(POINTS_AT_ONCE)]
        return torch.cat(values).numpy() * LOGIT_LENGTH

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
