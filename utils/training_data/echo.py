"""Data echoing (Choi et al. 2019): where items are slower to make than to learn from, each of them is learned from often."""
from collections import deque
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch.utils.data import DataLoader

POOL_ITEMS = 4096  # the latest items, from which batches are drawn; 1.7 MB each of the field's


class EchoingLoader:
    """Batches drawn at random from the latest items of a loader, several times as many as it has items for.

    In an epoch each item of the loader enters the pool once; after every `batch_size` of them, and after what is left at the
    end, come `times` batches from the pool, which keeps the items of earlier epochs. Batches are a function of seed and
    epoch alone: a resumed run reads again what the pool held.

    Args:
        loader: DataLoader of dicts of tensors and lists, one item in each batch, with `set_epoch`; its tensors stay on the
            device where they are.
        times: batches per `batch_size` items.
        batch_size: items of a batch, drawn without repetition as far as the pool has as many.
        seed: int.
    """

    def __init__(self, loader: DataLoader, times: int, batch_size: int, seed: int) -> None:
        self.loader, self.times, self.batch_size, self.seed = loader, times, batch_size, seed
        self.pool, self.epoch, self.epochs_in_pool = deque(maxlen=POOL_ITEMS), 0, 0

    def __len__(self) -> int:
        return -(-len(self.loader) // self.batch_size) * self.times

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is of."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict]:
        """Batches as the loader's, with "echo" beside them: how many batches of this epoch came before."""
        fill = -(-POOL_ITEMS // len(self.loader))  # epochs whose items fill the pool: earlier ones would not stay
        for earlier in range(max(self.epochs_in_pool, self.epoch - fill), self.epoch):
            self.pool.extend(self._items(earlier))
        self.epochs_in_pool = self.epoch + 1
        items, number = self._items(self.epoch), 0
        while fresh := list(islice(items, self.batch_size)):
            self.pool.extend(fresh)
            for _ in range(self.times):
                rng = np.random.default_rng([self.seed, self.epoch, number])
                chosen = rng.choice(len(self.pool), min(self.batch_size, len(self.pool)), replace=False)
                yield _batch([self.pool[index] for index in chosen]) | {"echo": number}
                number += 1

    def _items(self, epoch):
        """The loader's items of an epoch one by one."""
        self.loader.set_epoch(epoch)
        for batch in self.loader:
            yield {name: values[0] for name, values in batch.items()}


def echoed(loader: DataLoader, times: int, batch_size: int, seed: int) -> DataLoader | EchoingLoader:
    """An EchoingLoader of these arguments; the loader itself where `times` is 1."""
    return EchoingLoader(loader, times, batch_size, seed) if times > 1 else loader


def _batch(items):
    """Items as a batch: tensors stacked, anything else in a list."""
    return {name: torch.stack(values) if torch.is_tensor(values[0]) else list(values)
            for name, values in zip(items[0], zip(*(item.values() for item in items)))}
