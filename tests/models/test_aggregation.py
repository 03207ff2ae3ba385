"""DeepSets pooling: what it computes, and that order, number and twins of views matter as they should."""
import itertools

import pytest
import torch

from models.aggregation import ViewAggregator


def features(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_maximum_and_mean_go_through_the_mlp():
    torch.manual_seed(0)
    aggregator, given = ViewAggregator(8, 5), features(0, 3, 6, 8)
    pooled = torch.cat([given.max(1).values, given.mean(1)], dim=1)
    assert torch.allclose(aggregator(given), aggregator.mlp(pooled), atol=1e-6)
    assert aggregator(given).shape == (3, 5)


def test_all_720_orders_give_the_same_bits():
    torch.manual_seed(0)
    aggregator, given = ViewAggregator(16), features(1, 1, 6, 16)
    orders = torch.tensor(list(itertools.permutations(range(6))))
    with torch.no_grad():
        results = aggregator(given[0][orders])
    assert (results == results[:1]).all(0).float().mean() == 1


def test_every_view_counts():
    torch.manual_seed(0)
    aggregator, given = ViewAggregator(16), features(2, 1, 6, 16)
    with torch.no_grad():
        before = aggregator(given)
        for view in range(6):
            other = given.clone()
            other[:, view] += 0.1
            assert (aggregator(other) - before).abs().max() > 1e-3


def test_any_number_of_views_and_batch_size_one_in_train_mode():
    aggregator = ViewAggregator(8).train()
    assert aggregator(features(3, 1, 1, 8)).shape == (1, 8)
    assert torch.allclose(aggregator(features(3, 1, 3, 8)), aggregator(features(3, 1, 3, 8).repeat(1, 2, 1)), atol=1e-6)


def test_the_default_is_the_card_s_768_back_to_768():
    aggregator = ViewAggregator()
    assert sum(parameter.numel() for parameter in aggregator.parameters()) == (
        2 * 768 * 768 + 768 + 2 * 768 + 768 * 768 + 768)
    assert not any("BatchNorm" in type(module).__name__ for module in aggregator.modules())


def test_statistics_bring_features_to_mean_zero_and_deviation_one():
    aggregator, given = ViewAggregator(8), 5 + 3 * features(4, 50, 6, 8)
    seen = []
    aggregator.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    aggregator.set_statistics(given.reshape(-1, 8))
    aggregator(given)
    assert torch.allclose(seen[0][:, 8:].mean(0), torch.zeros(8), atol=1e-5)
    assert aggregator.feature_std.tolist() == pytest.approx(given.reshape(-1, 8).std(0).tolist(), rel=1e-5)
    assert {"feature_mean", "feature_std"} <= set(aggregator.state_dict()), "inference needs them too"


def test_a_feature_that_never_changes_stays_finite():
    aggregator = ViewAggregator(4)
    aggregator.set_statistics(torch.ones(10, 4))
    assert torch.isfinite(aggregator(torch.ones(1, 6, 4))).all()


def test_views_of_equal_features_share_the_gradient():
    torch.manual_seed(0)
    aggregator, given = ViewAggregator(8), features(5, 2, 6, 8).requires_grad_()
    aggregator(given).square().sum().backward()
    assert torch.isfinite(given.grad).all() and (given.grad.abs().sum(-1) > 0).all(), "the mean reaches every view"
