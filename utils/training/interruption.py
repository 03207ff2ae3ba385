"""Ctrl-C and SIGTERM while training: the step is finished and saved, then the run ends and says so."""
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator

from config import Stopped, Terminated, counted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
WORDS = b"\nstopping after this step; once more stops at once, without saving\n"


@contextlib.contextmanager
def signals_restored() -> Iterator[None]:
    """After the block SIGINT and SIGTERM do what they did before it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # another thread than the main one: nothing was changed
            for number, handler in before.items():
                signal.signal(number, handler)


def note_signals() -> list[int]:
    """From now on the first SIGINT or SIGTERM is only noted; a second one ends the run at once.

    Returns:
        list, empty until the number of a signal is in it. In other threads than the main one it stays empty.
    """
    noted: list[int] = []

    def note(number, frame):
        if noted:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        noted.append(number)
        os.write(2, WORDS)  # print could have been interrupted within itself

    with contextlib.suppress(ValueError):
        for number in SIGNALS:
            signal.signal(number, note)
    return noted


def asked_to_stop(noted: list[int], accelerator: Accelerator) -> bool:
    """Whether a signal was noted in any process: all of them ask, at the same step, and stop at the same step."""
    if accelerator.num_processes == 1:
        return bool(noted)
    count = torch.tensor(float(len(noted)), device=accelerator.device)
    return bool(accelerator.reduce(count, "sum") > 0)


def stopped(noted: list[int], path: Path, epoch: int, step: int) -> Stopped:
    """What ends a run whose state was saved.

    Args:
        noted: from `note_signals`.
        path: of the checkpoint that was written.
        epoch, step: whole epochs and optimizer steps done.
    """
    number = noted[0] if noted else signal.SIGTERM  # another process of the run was asked
    whole = counted(epoch, "whole epoch")
    said = counted(step, f"step ({whole}) is", f"steps ({whole}) are")
    return Stopped(f"{said} saved in {path}; --resume goes on from there", number)
