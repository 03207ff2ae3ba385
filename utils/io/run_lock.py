"""One run at a time in a folder: a lock that the system takes back from a process that has ended, however it ended."""
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from config import UserError
from utils.io.files import CannotWrite, no_empty_folders


@contextlib.contextmanager
def run_lock(folder: str | Path, name: str, advice: str) -> Iterator[None]:
    """Hold `<folder>/.<name>.lock` while the block runs.

    The lock is the process's own (POSIX record locks): worker processes do not inherit it, and it goes with the process.
    The file of a killed one stays behind, which means nothing. On Windows, and in folders of a file system without
    locks, there is none.

    Args:
        folder: made if needed.
        name: of what is locked.
        advice: what to do if another process has it, for the message.
    Raises:
        UserError: another process has it; CannotWrite: the folder cannot be written to.
    """
    if os.name != "posix":
        yield
        return
    path = Path(folder) / f".{name}.lock"
    with no_empty_folders(folder), _held(path, advice):
        yield


@contextlib.contextmanager
def _held(path: Path, advice: str) -> Iterator[None]:
    """Hold the lock on a file while the block runs."""
    import fcntl

    handle = None
    try:
        while handle is None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise CannotWrite(path, error) from None
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                owner = os.read(handle, 20).decode(errors="replace").strip()
                raise UserError(f"{path.parent}: another run is writing here (process {owner or 'unknown'}); "
                                f"{advice}") from None
            except OSError:
                break  # a file system without locks
            if not _names(path, handle):  # the owner before us removed it meanwhile
                os.close(handle)
                handle = None
        with contextlib.suppress(OSError):  # on a full disk only the message of another run would name us
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
    finally:
        if handle is not None:
            os.close(handle)


def _names(path: Path, handle: int) -> bool:
    """Whether a path still leads to the file that is open."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
