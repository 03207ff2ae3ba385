"""Nearest indices against float64 brute force, on both ways through."""
import numpy as np
import pytest
import torch

import utils.mesh.nearest
from utils.mesh.nearest import nearest_index

BOTH_WAYS = pytest.mark.parametrize("limit", [0, 10**9], ids=["tree", "brute force"])


def cloud(seed, batch, count, dtype=torch.float32):
    return torch.rand(batch, count, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def excess(query, reference, found):
    """How much farther than the nearest reference point each chosen one is, in float64."""
    query, reference = query.double(), reference.double()
    chosen = torch.stack([rows[index] for rows, index in zip(reference, found)])
    nearest = torch.stack([torch.cat([torch.cdist(part[None], rows[None])[0].amin(1) for part in points.split(512)])
                           for points, rows in zip(query, reference)])
    return ((query - chosen).norm(dim=-1) - nearest).abs()


@pytest.mark.parametrize("sizes", [(300, 400), (1, 1), (33, 1), (1, 33), (4096, 8192), (4097, 8192)])
def test_indices_are_those_of_float64_brute_force(sizes):
    query, reference = cloud(0, 2, sizes[0]), cloud(1, 2, sizes[1])
    found = nearest_index(query, reference)
    assert found.shape == (2, sizes[0]) and found.dtype == torch.int64
    assert excess(query, reference, found).max() < 1e-6


@BOTH_WAYS
@pytest.mark.parametrize("offset", [10.0, -1000.0])
def test_clouds_far_from_the_origin_are_matched_as_well(limit, offset, monkeypatch):
    monkeypatch.setattr(utils.mesh.nearest, "BRUTE_FORCE_LIMIT", limit)
    query, reference = cloud(2, 1, 300) + offset, cloud(3, 1, 2000) + offset
    # float32 itself keeps 1e-7 of the offset.
    assert excess(query, reference, nearest_index(query, reference)).max() < 1e-6 * max(1, abs(offset) / 10)


@BOTH_WAYS
def test_both_ways_agree_and_a_point_of_the_reference_finds_itself(limit, monkeypatch):
    monkeypatch.setattr(utils.mesh.nearest, "BRUTE_FORCE_LIMIT", limit)
    reference = cloud(4, 2, 700)
    order = torch.randperm(700, generator=torch.Generator().manual_seed(5))
    assert torch.equal(nearest_index(reference[:, order], reference), order.expand(2, -1))


@BOTH_WAYS
def test_collapsed_clouds_have_an_answer(limit, monkeypatch):
    monkeypatch.setattr(utils.mesh.nearest, "BRUTE_FORCE_LIMIT", limit)
    found = nearest_index(torch.zeros(1, 40, 3), torch.zeros(1, 900, 3))
    assert 0 <= found.min() and found.max() < 900


def test_no_gradient_is_kept_and_other_float_types_are_taken():
    query = cloud(6, 1, 20).requires_grad_()
    reference = cloud(7, 1, 30)
    found = nearest_index(query, reference)
    assert not found.requires_grad
    assert torch.equal(nearest_index(query.double(), reference.double()), found)
    assert nearest_index(query.bfloat16(), reference.bfloat16()).shape == (1, 20)


def test_views_with_strides_are_read_right():
    query, reference = cloud(8, 3, 20), cloud(9, 3, 30)
    turned = query.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(nearest_index(turned, reference), nearest_index(query, reference))
    expanded = reference[:1].expand(3, -1, -1)
    assert torch.equal(nearest_index(query, expanded)[2], nearest_index(query[2:], reference[:1])[0])


def test_no_query_points_and_no_objects_give_empty_answers():
    assert nearest_index(torch.zeros(2, 0, 3), cloud(0, 2, 5)).shape == (2, 0)
    assert nearest_index(torch.zeros(0, 4, 3), torch.zeros(0, 5, 3)).shape == (0, 4)


def test_an_empty_reference_or_wrong_shapes_raise():
    with pytest.raises(ValueError, match="the reference set is empty"):
        nearest_index(cloud(0, 1, 5), torch.zeros(1, 0, 3))
    whole = (1, 5, 3)
    for query, reference in [((5, 3), whole), (whole, (2, 5, 3)), ((1, 5, 2), whole), (whole, (1, 5, 2))]:
        with pytest.raises(ValueError, match="expected"):
            nearest_index(torch.zeros(query), torch.zeros(reference))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_distances(monkeypatch):
    monkeypatch.setattr(utils.mesh.nearest, "DEVICE_TABLE", 1 << 16)  # several blocks
    query, reference = cloud(10, 2, 3000), cloud(11, 2, 4000)
    found = nearest_index(query.cuda(), reference.cuda())
    assert found.device.type == "cuda"
    assert excess(query, reference, found.cpu()).max() < 1e-6
    assert np.mean((found.cpu() == nearest_index(query, reference)).numpy()) > 0.999
