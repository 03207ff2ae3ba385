"""Data echoing: what a batch may hold, how often items come, and that a stop changes nothing."""
from collections import Counter

import pytest
import torch

from utils.training_data import echo
from utils.training_data.echo import EchoingLoader
from utils.training_data.loader import make_loader


class Numbered:
    """Items that know their index and variant."""

    def __len__(self):
        return 10

    def __getitem__(self, key):
        index, variant = key
        return {"id": f"object {index}", "value": torch.tensor([index, variant])}


def echoing(times=3, batch_size=4, seed=7):
    loader = make_loader(Numbered(), 1, shuffle=True, seed=seed, augmentations=5)
    loader.set_epoch = loader.sampler.set_epoch  # as accelerate's prepared loaders have it
    return EchoingLoader(loader, times, batch_size, seed)


def batches_of(loader, epoch):
    loader.set_epoch(epoch)
    return list(loader)


def names(batch):
    return [tuple(value.tolist()) for value in batch["value"]]


def test_every_few_items_come_several_batches_of_all_that_came_before():
    loader = echoing()
    batches = batches_of(loader, 0)
    assert len(batches) == len(loader) == 9, "three parts of ten items, the last of two, three batches each"
    assert [batch["echo"] for batch in batches] == list(range(9))
    fresh = [tuple(item["value"][0].tolist()) for item in read_alone(0)]
    for number, batch in enumerate(batches):
        assert batch["value"].shape == (4, 2) and len(set(names(batch))) == 4, "no item twice in a batch"
        assert set(names(batch)) <= set(fresh[:4 * (number // 3 + 1)])
        assert [f"object {index}" for index, _ in names(batch)] == batch["id"], "what belongs together stays together"


def read_alone(epoch):
    loader = echoing().loader
    loader.set_epoch(epoch)
    return list(loader)


def test_items_of_earlier_epochs_stay_and_all_come_about_equally_often():
    loader = echoing(times=40)
    batches_of(loader, 0)
    seen = Counter(name for batch in batches_of(loader, 1) for name in names(batch))
    before, now = ({tuple(item["value"][0].tolist()) for item in read_alone(epoch)} for epoch in (0, 1))
    assert set(seen) == before | now and before - now
    # 120 batches of 4 from 14, 18 and 20 items: an item of the first epoch is in 4 / 14, 4 / 18 and 4 / 20 of 40 each
    expected = 40 * (4 / 14 + 4 / 18 + 4 / 20)
    for name in before - now:
        assert abs(seen[name] - expected) < 4 * expected**0.5


def test_the_oldest_items_make_room(monkeypatch):
    monkeypatch.setattr(echo, "POOL_ITEMS", 5)
    loader = echoing(times=20)
    late = batches_of(loader, 0)[-20:]
    assert {name for batch in late for name in names(batch)} == {tuple(item["value"][0].tolist())
                                                                  for item in read_alone(0)[-5:]}


def test_a_resumed_run_reads_no_more_than_the_pool_holds_and_draws_the_same(monkeypatch):
    monkeypatch.setattr(echo, "POOL_ITEMS", 15)  # of ten items an epoch
    unbroken, resumed, read = echoing(), echoing(), []
    expected = [batches_of(unbroken, epoch) for epoch in range(5)]
    items = resumed._items
    monkeypatch.setattr(resumed, "_items", lambda epoch: read.append(epoch) or items(epoch))
    assert [names(batch) for batch in batches_of(resumed, 4)] == [names(batch) for batch in expected[4]]
    assert read == [2, 3, 4]
    full = [[read_alone(epoch - 1)[-5:] + read_alone(epoch)] for epoch in (3, 4)]  # what the last batches are drawn from
    places = [[[tuple(item["value"][0].tolist()) for item in pool].index(name) for name in names(expected[epoch][-1])]
              for epoch, (pool,) in zip((3, 4), full)]
    assert places[0] != places[1], "each epoch draws anew"


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_run_that_starts_anew_at_an_epoch_reads_what_the_pool_held(epoch):
    unbroken, resumed = echoing(), echoing()
    expected = [batches_of(unbroken, number) for number in range(epoch + 1)][-1]
    given = batches_of(resumed, epoch)
    assert [names(batch) for batch in given] == [names(batch) for batch in expected]
    assert [names(batch) for batch in batches_of(echoing(seed=8), epoch)] != [names(batch) for batch in expected]
