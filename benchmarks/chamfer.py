"""Chamfer distance, forward and backward, beside SciPy's k-d tree, torch.cdist and the table of all differences.

    python -m benchmarks.chamfer ours 4096      # extra memory of one call in MB: this process does nothing else
"""
import sys

import numpy as np
import torch

from benchmarks.measure import Row, at_most, compare, extra_memory_mb, in_child, ratio_at_least
from models.losses import chamfer_distance, gather_points

NOISE = 0.03  # lengths; about the error of a half-trained model
COLLAPSED = 0.02  # lengths; where an untrained model's points may all lie


def broadcast_chamfer(pred, true):
    """The obvious way: every difference in one (B, N, M, 3) tensor."""
    squared = (pred[:, :, None] - true[:, None]).square().sum(-1)               # (B, N, M)
    return squared.min(2).values.mean() + squared.min(1).values.mean()


def cdist_chamfer(pred, true):
    """What a practitioner writes without thinking of memory: torch.cdist and the smallest of each row and column."""
    distance = torch.cdist(pred, true)                                          # (B, N, M)
    return distance.min(2).values.square().mean() + distance.min(1).values.square().mean()


def tree_chamfer(pred, true):
    """What a practitioner writes for a CPU: SciPy finds the pairs, torch gathers and differentiates them."""
    from scipy.spatial import cKDTree

    total = 0.0
    for query, reference in ((pred, true), (true, pred)):
        index = np.stack([cKDTree(r).query(q)[1] for q, r in zip(query.detach().cpu().numpy(),
                                                                 reference.detach().cpu().numpy())])
        index = torch.from_numpy(index).to(query.device)
        total = total + (query - gather_points(reference, index)).square().sum(-1).mean()
    return total


# What ours is timed beside, with the least ratio that is asked for (None: stated only).
OTHERS = (("scipy cKDTree", tree_chamfer, None), ("torch.cdist", cdist_chamfer, None),
          ("broadcast", broadcast_chamfer, ratio_at_least(40)))


def clouds(batch, points, collapsed, device="cpu"):
    """Predicted and true points of a shoe, both (batch, points, 3) float32; prediction spread about it or collapsed."""
    from utils.mesh.mesh import sample_surface, textured_mesh
    from utils.training_data.synthetic.shoes import make_shoe

    rng, mesh = np.random.default_rng(0), textured_mesh(*make_shoe(0)[:5])
    pred, true = (torch.from_numpy(np.stack([sample_surface(mesh, points, rng)[0] for _ in range(batch)]))
                  for _ in range(2))
    noise = torch.randn(pred.shape, generator=torch.Generator().manual_seed(0))
    pred = noise * COLLAPSED / 3 if collapsed else pred + NOISE * noise
    return pred.to(device).requires_grad_(), true.to(device)


def both_ways(chamfer, pred, true):
    """One forward and backward pass; returns the loss and the gradient."""
    loss = chamfer(pred, true)
    return loss.detach(), torch.autograd.grad(loss, pred)[0]


def run(rounds, device=torch.device("cpu"), points=4096, batches=(1, 4)):
    """Rows of time, extra memory (on a CPU) and error."""
    memory = [memory_row(points)] if device.type == "cpu" else []
    return times(rounds, device, points, batches) + memory + errors(points, device)


def times(rounds, device, points, batches):
    """Rows for each batch size, with predictions spread around the true surface and collapsed to a point."""
    rows = []
    for batch in batches:
        for collapsed in (False, True):
            pred, true = clouds(batch, points, collapsed, device)
            for beside, chamfer, gate in OTHERS:
                rows.append(compare(
                    f"Chamfer forward + backward, B {batch}, {points} points{', collapsed' * collapsed}",
                    lambda: both_ways(chamfer_distance, pred, true), lambda: both_ways(chamfer, pred, true),
                    rounds, gate, device, beside))
    return rows


def memory_row(points):
    """Extra memory of one call, each way in a process of its own."""
    ours, other = (float(in_child("-m", "benchmarks.chamfer", way, points)) for way in ("ours", "broadcast"))
    return Row("its extra memory, B 1", ours, other, "MB", at_most(32), beside="broadcast")


def errors(points, device):
    """Rows of the relative error of loss and gradient against the broadcast version in float64, worst of two clouds."""
    found = []
    for collapsed in (False, True):
        pred, true = clouds(1, points, collapsed)
        truth = both_ways(broadcast_chamfer, pred.detach().double().requires_grad_(), true.double())
        pred, true = pred.detach().to(device).requires_grad_(), true.to(device)
        results = [both_ways(chamfer, pred, true) for chamfer in (chamfer_distance, broadcast_chamfer)]
        found.append([[float((part.cpu().double() - exact).norm() / exact.norm())
                       for part, exact in zip(result, truth)] for result in results])
    worst = torch.tensor(found).amax(0).T.tolist()  # (loss, gradient) by (ours, broadcast)
    return [Row(f"its {name}'s relative error against float64", *error, "", at_most(limit), beside="broadcast")
            for name, limit, error in zip(("loss", "gradient"), (1e-5, 2e-2), worst)]


def main(way, points):
    """Print the extra memory of one call in MB."""
    torch.set_num_threads(1)
    chamfer = {"ours": chamfer_distance, "broadcast": broadcast_chamfer}[way]
    # Plain random points: making a shoe leaves memory to the allocator, which would then be used again unseen.
    pred, true = (torch.rand(1, int(points), 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    pred.requires_grad_()
    both_ways(chamfer, pred[:, :64], true[:, :64])  # loads what there is to load
    print(extra_memory_mb(lambda: both_ways(chamfer, pred, true)))


if __name__ == "__main__":
    main(*sys.argv[1:])
