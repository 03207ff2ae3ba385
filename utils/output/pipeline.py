"""Many objects one after the other: while one is reconstructed the next is read and the last one written."""
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tqdm import tqdm

from config import UserError


def prefetch(executor: ThreadPoolExecutor, function: Callable, items: Iterable) -> Iterator[tuple[Any, Future]]:
    """Pairs of (item, future of function(item)); while one is being used, the next is already under way."""
    previous = None
    for item in items:
        future = executor.submit(function, item)
        if previous:
            yield previous
        previous = (item, future)
    if previous:
        yield previous


def run_pipelined(names: list[str], read: Callable, reconstruct: Callable, write: Callable,
                  waiting: Callable[[str], None] = lambda name: None) -> list[str]:
    """Reconstruct objects one after the other; meanwhile the next is read and the last one written.

    Args:
        names: list of str, the objects.
        read: function(name) -> reader; reconstruct: function(name, reader) -> result;
        write: function(name, reader, result). Each may raise UserError, which is printed and costs no other object,
            or passes if there is no other.
        waiting: called with an object's name when nothing is done but waiting for what is read of it.
    Returns:
        list of str, the objects that were written.
    """
    done, writing = [], None

    def leave_out(error):
        if len(names) == 1:
            raise error
        tqdm.write(f"left out: {error}", file=sys.stderr)

    def finish(name, future):
        try:
            future.result()
            done.append(name)
        except UserError as error:
            leave_out(error)

    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as writer:
        for name, coming in prefetch(reading, read, names):
            try:
                waiting(name)
                reader = coming.result()
                result = reconstruct(name, reader)
            except UserError as error:
                leave_out(error)
                continue
            if writing:
                finish(*writing)  # never more than one result in memory
            writing = name, writer.submit(write, name, reader, result)
        if writing:
            finish(*writing)
    return done
