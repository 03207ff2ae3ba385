"""The field's answer for points of space, beside the same arithmetic written plainly in NumPy."""
import numpy as np
import torch

from benchmarks.measure import Row, at_most, compare, ratio_at_least
from models.field_model import TANH_SCALE_COARSE, TANH_SCALE_FINE, TRUNCATION, FieldModel
from models.view_cameras import view_cameras
from utils.mesh.mesh import textured_mesh
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT
from utils.training_data.field_samples import render_field_arrays
from utils.training_data.synthetic.shoes import make_shoe


def silu(x):
    return x / (1 + np.exp(-x))


def layers(sequence, x):
    """A stack of torch's linear layers with SiLU between them, on an array."""
    for layer in sequence:
        x = silu(x) if isinstance(layer, torch.nn.SiLU) else x @ layer.weight.numpy().T + layer.bias.numpy()
    return x


def read_linearly(grid, place):
    """Read (C, ...) on a regular grid at fractional indices, a list of (K,), linearly: (K, C); its border goes on."""
    whole = [np.clip(np.floor(index), 0, size - 2).astype(int) for index, size in zip(place, grid.shape[1:])]
    share = [np.clip(index - low, 0, 1) for index, low in zip(place, whole)]
    total = 0
    for corner in np.ndindex(*(2,) * len(place)):
        weight = np.prod([part if step else 1 - part for part, step in zip(share, corner)], axis=0)
        total = total + weight[:, None] * grid[(slice(None), *(low + step for low, step in zip(whole, corner)))].T
    return total


def obvious_field(model, maps, box, volume, points):
    """`FieldModel.query` in NumPy: maps (6, 7 + D, H, H), box (2, 3), volume (C, G, G, G), points (K, 3) -> (K,)."""
    size, values, depths = maps.shape[-1], [], []
    for image, basis in zip(maps, VIEW_BASES.values()):
        right, up, depth = basis @ points.T
        scale, middle = size / (2 * VIEW_EXTENT), size / 2 - 0.5
        values.append(read_linearly(image, [middle - up * scale, middle + right * scale]))
        depths.append(depth)
    values, depths = np.stack(values), np.stack(depths)                        # (6, K, 7 + D), (6, K)
    edge, entry, leave = values[..., 4], values[..., 5] - depths, values[..., 6] + depths
    share = np.clip(entry / np.maximum(entry + leave, 1e-3), -0.2, 1.2)
    fine, coarse = TANH_SCALE_FINE, TANH_SCALE_COARSE
    geometric = [values[..., 3], np.clip(edge, -TRUNCATION, TRUNCATION) / TRUNCATION, np.tanh(edge / fine),
                 entry, np.tanh(entry / fine), np.tanh(entry / coarse),
                 leave, np.tanh(leave / fine), np.tanh(leave / coarse), share]
    toward = np.broadcast_to(np.stack([basis[2] for basis in VIEW_BASES.values()])[:, None], (*edge.shape, 3))
    color = values[..., :3] - 0.5
    per_view = np.concatenate([np.stack(geometric, -1), toward, color, color - color.mean(0),
                               values[..., 7:]], -1)
    features = layers(model.per_view, per_view)
    middle, half, hull = box.mean(0), (box[1] - box[0]) / 2, edge.min(0)
    place = (points - middle) / half
    cells = ((place / (1 + 2 / model.grid_size) + 1) * model.grid_size - 1) / 2
    known = [features.max(0), features.mean(0), place, np.broadcast_to(half, place.shape),
             np.clip(hull, -TRUNCATION, TRUNCATION)[:, None] / TRUNCATION, read_linearly(volume, list(cells.T))]
    return 5 * layers(model.head, np.concatenate(known, axis=1))[:, 0]


def run(rounds, num_points=1 << 18):
    """Rows of time, with weights of the default sizes, and of the largest difference in logits."""
    shoe = render_field_arrays(textured_mesh(*make_shoe(0)[:5]), np.random.default_rng(0))
    maps, box = shoe["maps"].astype(np.float32), shoe["box"]
    torch.manual_seed(0)
    model = FieldModel(stand_ins=False).eval().requires_grad_(False)
    with torch.inference_mode():
        scene = model.encode(torch.from_numpy(maps)[None], view_cameras(1), torch.from_numpy(box)[None])
    points = np.random.default_rng(1).uniform(box[0], box[1], (num_points, 3)).astype(np.float32)
    plain = [array.astype(np.float32) for array in (scene.maps[0].numpy(), box, scene.volume[0].numpy(), points)]

    def ours():
        with torch.inference_mode():
            return torch.cat([model.query(some[None], scene)[0][0] for some in torch.from_numpy(points).split(1 << 16)])

    difference = np.abs(ours().numpy() - obvious_field(model, *plain)).max()
    return [compare(f"field at {num_points} points", ours, lambda: obvious_field(model, *plain), rounds,
                    ratio_at_least(1.5), beside="NumPy"),
            Row("its largest difference, in logits", float(difference), None, "", at_most(1e-3))]
