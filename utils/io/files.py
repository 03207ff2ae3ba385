"""Files that are whole or not there: written beside their target, then renamed."""
import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from config import UserError

# What the system says where a file finds no more room: a full disk, a quota, the largest size a process may write.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PROBE_BYTES = 1 << 20  # written to find out whether there is room, where a library hides the system's answer
# Read once: asking means setting it for an instant, and a file that another thread makes then is open to all.
UMASK = os.umask(0o077)
os.umask(UMASK)


@contextlib.contextmanager
def atomic_write(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it onto `path` if the block ends well, else remove it.

    Args:
        path: target file; its folder is made if needed.
        durable: wait until the content is on the disk before renaming, so that not even a power cut leaves an empty
            file under the target's name; for what took hours to make.
    Yields:
        Path of the temporary file, with the target's suffix.
    Raises:
        UserError: the folder cannot be written to, the target is itself a folder, or the disk or quota is full.
            Other errors of the block pass as they are.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    os.close(handle)
    try:
        try:
            yield Path(name)
        except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError where it cannot write
            code = _no_room(error, name)
            if code is None:
                raise
            raise UserError(f"cannot write {path}: {os.strerror(code)}") from None
        try:
            os.chmod(name, 0o666 & ~UMASK)  # mkstemp makes files that only their owner can read
            if durable:
                _sync(name)
            os.replace(name, path)
            if durable:
                _sync(path.parent)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _no_room(error: Exception, name: str) -> int | None:
    """The error number if a block failed for want of room, else None.

    NumPy, Pillow and torch report some failed writes without the system's number; whether there is room is then found
    out by writing a little more to the same file.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in NO_ROOM else None
    try:
        with open(name, "ab") as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as probe:
        return probe.errno if probe.errno in NO_ROOM else None
    return None


def _sync(path: str | Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    if os.name != "posix" and Path(path).is_dir():
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_writable(folder: str | Path) -> None:
    """Make a folder if needed and raise UserError if nothing can be written there: before hours of work, not after."""
    if Path(folder).exists() and not Path(folder).is_dir():
        raise UserError(f"cannot write to {folder}: it is a file, and a folder is needed")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None


def content_hash(paths: Sequence[str | Path], *settings: object) -> str:
    """Hash of the content of files and of settings: equal keys mean a cached result is still good.

    Args:
        paths: files, in a fixed order.
        settings: anything whose repr is stable (numbers, strings, tuples).
    Returns:
        str, 16 hexadecimal digits.
    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for path in paths:
        content = Path(path).read_bytes()
        # With its length, so that one file's end cannot pass for the next one's beginning.
        digest.update(repr((Path(path).name, len(content))).encode())
        digest.update(content)
    return digest.hexdigest()[:16]
