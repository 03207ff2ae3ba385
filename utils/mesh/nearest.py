"""Nearest neighbors between point sets: indices only, never a gradient.

The losses gather the pairs found here and differentiate those, which is exact and needs no (N, M) table in memory.
"""
import numpy as np
import torch

# Above this many pairs a k-d tree beats brute force on a CPU; below it brute force is faster and its cost does not
# depend on how the points lie (a collapsed prediction makes a k-d tree six times slower).
BRUTE_FORCE_LIMIT = 4096 * 8192
ROWS = 32  # query points per block: a 32 x 4096 table of float32 stays in the second-level cache
DEVICE_TABLE = 1 << 26  # entries of a block's table on a GPU: 256 MB


@torch.no_grad()
def nearest_index(query: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Index of the nearest reference point for every query point.

    Args:
        query: (B, N, 3) float.
        reference: (B, M, 3) float, M at least 1.
    Returns:
        (B, N) int64 on query's device. Ties and near-ties within float32 rounding may go either way.
    Raises:
        ValueError: reference is empty or the shapes do not fit.
    """
    if (query.ndim != 3 or reference.ndim != 3 or query.shape[0] != reference.shape[0]
            or not query.shape[2] == reference.shape[2] == 3):
        raise ValueError(f"expected (B, N, 3) and (B, M, 3), got {tuple(query.shape)} and {tuple(reference.shape)}")
    if reference.shape[1] == 0:
        raise ValueError("nearest_index: the reference set is empty")
    query, reference = query.detach().float(), reference.detach().float()
    if query.device.type == "cpu":
        search = _brute_force if query.shape[1] * reference.shape[1] <= BRUTE_FORCE_LIMIT else _tree
        pairs = [search(q, r) for q, r in zip(query.numpy(), reference.numpy())]
        return torch.from_numpy(np.stack(pairs)) if pairs else query.new_zeros(query.shape[:2], dtype=torch.int64)
    rows = max(1, DEVICE_TABLE // (query.shape[0] * reference.shape[1]))
    # Differences of coordinates, not a matrix product: exact whatever the matmul precision is set to.
    blocks = [torch.cdist(block, reference, compute_mode="donot_use_mm_for_euclid_dist").argmin(2)
              for block in query.split(rows, dim=1)]
    return torch.cat(blocks, dim=1)


def _brute_force(query, reference):
    """|r|^2 - 2 q.r by one matrix product of inner size 4; both sets centerd first, for float32's sake."""
    center = reference.mean(0)
    query, reference = query - center, reference - center
    left = np.concatenate([-2 * query, np.ones_like(query[:, :1])], axis=1)
    right = np.ascontiguousarray(np.concatenate([reference, (reference**2).sum(1, keepdims=True)], axis=1).T)
    table = np.empty((ROWS, len(reference)), np.float32)
    found = np.empty(len(query), np.int64)
    for start in range(0, len(query), ROWS):
        block = left[start:start + ROWS]
        np.matmul(block, right, out=table[:len(block)])
        table[:len(block)].argmin(1, out=found[start:start + ROWS])
    return found


def _tree(query, reference):
    from scipy.spatial import cKDTree

    return cKDTree(reference).query(query)[1].astype(np.int64)
