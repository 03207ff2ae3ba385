"""Batches in an order that is a function of seed and epoch alone."""
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader


class EpochSampler:
    """The order of an epoch as a function of (seed, epoch) alone, so a resumed run repeats it without replaying.

    Args:
        count: objects; each comes once an epoch.
        shuffle: in a random order, else in their own.
        seed: int.
        augmentations: how many augmented variants of an object there are beside itself; one of all is drawn for each
            epoch, and (index, variant) handed out instead of the index.
        fresh: an augmented variant is one that no other epoch uses.
    """

    def __init__(self, count: int, shuffle: bool, seed: int, augmentations: int = 0, fresh: bool = False) -> None:
        self.count, self.shuffle, self.seed, self.epoch = count, shuffle, seed, 0
        self.augmentations, self.fresh = augmentations, fresh

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator:
        if not self.shuffle:
            return iter(range(self.count))
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(self.count).tolist()
        if not self.augmentations:
            return iter(order)
        variants = rng.integers(0, self.augmentations + 1, self.count)
        if self.fresh:
            variants = np.where(variants > 0, self.epoch + 1, 0)
        return iter(list(zip(order, variants.tolist())))


def make_loader(dataset: Any, batch_size: int, shuffle: bool, seed: int, num_workers: int = 0, augmentations: int = 0,
                fresh: bool = False) -> DataLoader:
    """A DataLoader whose order is fixed by `loader.sampler.set_epoch(epoch)`, to be called before each epoch.

    accelerate's prepared loaders pass their own `set_epoch(epoch)` on to this sampler; its arguments are as there.

    Returns:
        DataLoader of dicts as in SixViewDataset with a leading batch axis; ids as a list of str.
    """
    sampler = EpochSampler(len(dataset), shuffle, seed, augmentations, fresh)
    return DataLoader(dataset, batch_size=batch_size, sampler=sampler, num_workers=num_workers,
                      persistent_workers=num_workers > 0, worker_init_fn=leave_signals_to_main)


def leave_signals_to_main(worker: int) -> None:
    """`worker_init_fn`: Ctrl-C, which the terminal sends to all processes, is the main one's affair; its word to end
    is obeyed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
