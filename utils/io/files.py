"""Files that are whole or not there: written beside their target, then renamed."""
import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from config import UserError


@contextlib.contextmanager
def atomic_write(path):
    """Give a temporary path beside `path`; rename it onto `path` if the block ends well, else remove it.

    Args:
        path: target file; its folder is made if needed.
    Yields:
        Path of the temporary file, with the target's suffix.
    Raises:
        UserError: the folder cannot be written to, or the target is itself a folder.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    os.close(handle)
    try:
        yield Path(name)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)  # mkstemp makes files that only their owner can read
        try:
            os.replace(name, path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def check_writable(folder):
    """Make a folder if needed and raise UserError if nothing can be written there: before hours of work, not after."""
    if Path(folder).exists() and not Path(folder).is_dir():
        raise UserError(f"cannot write to {folder}: it is a file, and a folder is needed")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None


def content_hash(paths, *settings):
    """Hash of the content of files and of settings: equal keys mean a cached result is still good.

    Args:
        paths: files, in a fixed order.
        settings: anything whose repr is stable (numbers, strings, tuples).
    Returns:
        str, 16 hexadecimal digits.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for path in paths:
        content = Path(path).read_bytes()
        # With its length, so that one file's end cannot pass for the next one's beginning.
        digest.update(repr((Path(path).name, len(content))).encode())
        digest.update(content)
    return digest.hexdigest()[:16]
