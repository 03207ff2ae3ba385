"""Files that are whole or not there: written beside their target, then renamed."""
import contextlib
import errno
import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from config import SHOWN_OF_A_PATH, UserError, path_problem

# What the system says where a file finds no more room: a full disk, a quota, the largest size a process may write.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PROBE_BYTES = 1 << 20  # written to find out whether there is room, where a library hides the system's answer
LONGEST_STEM = 100  # letters of a target's name in that of its temporary file: names end at 255
LEFT_AFTER_S = 24 * 3600  # seconds after which a temporary file of a process that cannot be asked about is left over
# `.<stem>-<machine>-<process>-<random>.<suffix>`: whose a temporary is shows whether it is still being written
TEMPORARY = re.compile(r"\..*-(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-\w{8}(\.\w+)?")
# Read once: asking means setting it for an instant, and a file that another thread makes then is open to all.
UMASK = os.umask(0o077)
os.umask(UMASK)


class CannotWrite(UserError):
    """A file cannot be written: nothing is wrong with what was to be written.

    Args:
        path: target file or folder.
        error: what the system said.
    """

    def __init__(self, path: str | Path, error: OSError | None = None) -> None:
        super().__init__(f"cannot write {path}: {error.strerror or error}" if error else path)
        self.no_room = error is not None and error.errno in NO_ROOM


def usable_path(path: str | Path, what: str) -> Path:
    """A path that a caller gave, as a Path; UserError, which begins with `what` it is of, where no file can have it."""
    if not isinstance(path, (str, Path)):
        raise UserError(f"{what}: a path is wanted, not {'None' if path is None else type(path).__name__}")
    problem = path_problem(path)
    if problem:
        raise UserError(f"{what}: the path {str(path)[:SHOWN_OF_A_PATH]!r} {problem}")
    return Path(path)


def no_folder(path: str | Path, what: str = "folder") -> str:
    """What a path is that is no folder, of `what` it should hold: the end of a sentence that says so."""
    if os.path.exists(path):
        return f"is a file, and a {what} is needed"
    return f"no such {what}" + (f" (a link to {os.readlink(path)} that leads nowhere)" if os.path.islink(path) else "")


def entries(folder: str | Path) -> list[Path]:
    """All that lies in a folder, sorted; UserError if it may not be looked into."""
    try:
        return sorted(Path(folder).iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None


def files_below(folder: str | Path, extensions: Sequence[str]) -> tuple[list[Path], dict[Path, str]]:
    """Files in a folder and all folders below it, but for hidden ones; links to folders are not followed.

    Args:
        folder: which must be there.
        extensions: in lower case, those that count.
    Returns:
        files: sorted.
        unread: {folder: why it may not be looked into}.
    """
    files: list[Path] = []
    unread: dict[Path, str] = {}

    def note(error: OSError) -> None:
        unread[Path(error.filename)] = f"cannot be read ({error.strerror})"

    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = [name for name in names if not name.startswith(".") and os.path.splitext(name)[1].lower() in extensions]
        files += [path for path in (Path(place) / name for name in shown) if os.path.isfile(path)]
    return sorted(files), unread


def _not_replaceable(path: Path) -> OSError | None:
    """Why no file may take a path's place: a folder is there, or a device, which renaming would remove."""
    if path.is_dir():
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return OSError("it is a device or a pipe; name a file") if path.exists() and not path.is_file() else None


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
        CannotWrite: the folder cannot be written to, the target is itself a folder or a device, or the disk or quota is full.
            Other errors of the block pass as they are.
    """
    path = Path(path)
    try:
        in_the_way = _not_replaceable(path)
        if in_the_way:
            raise in_the_way
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_prefix(path.stem), suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise CannotWrite(path, error) from None
    os.close(handle)
    try:
        try:
            yield Path(name)
        except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError where it cannot write
            code = _no_room(error, name)
            if code is None:
                raise
            raise CannotWrite(path, OSError(code, os.strerror(code))) from None
        try:
            os.chmod(name, 0o666 & ~UMASK)  # mkstemp makes files that only their owner can read
            if durable:
                _sync(name)
            os.replace(name, path)
            if durable:
                _sync(path.parent)
        except OSError as error:
            raise CannotWrite(path, error) from None
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def no_empty_folders(folder: str | Path) -> Iterator[None]:
    """What is made within this context of a folder, and of those above it, is removed again if it ends empty."""
    made = [path for path in (Path(folder), *Path(folder).parents) if not os.path.exists(path)]
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty: all went well, or somebody else writes there
            for path in made:
                path.rmdir()


@contextlib.contextmanager
def replaced_together(folder: str | Path) -> Iterator[Path]:
    """Give a temporary folder; its files go to `folder` if the block ends well: all of them, or none.

    Files that belong together, such as a mesh and its texture, never come from two runs: what may fail for want of room
    has been written before the first old file is replaced.

    Args:
        folder: made if needed, and removed again if the block fails and nothing else lies in it.
    Yields:
        Path of the temporary folder, inside `folder`.
    Raises:
        CannotWrite: `folder` cannot be written to, or a folder is in the way of a file. Errors of the block pass.
    """
    folder = Path(folder)
    with no_empty_folders(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=_prefix("new"), dir=folder))
        except OSError as error:
            raise CannotWrite(folder, error) from None
        try:
            yield temporary
            # In the order in which they were written: what names other files comes after them
            files = sorted(temporary.iterdir(), key=lambda path: (path.stat().st_mtime_ns, path.name))
            for path in files:
                in_the_way = _not_replaceable(folder / path.name)
                if in_the_way:
                    raise CannotWrite(folder / path.name, in_the_way)
            try:
                for path in files:
                    os.replace(path, folder / path.name)
            except OSError as error:
                raise CannotWrite(path, error) from None
        except CannotWrite as error:
            error.args = (str(error).replace(str(temporary), str(folder)),)  # nobody knows the temporary folder
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def clear_leftovers(folder: str | Path, below: bool = False) -> None:
    """Remove temporary files and folders that killed processes left in a folder.

    Args:
        folder: which may be absent.
        below: look into its sub-folders too.
    """
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            if _is_left_over(Path(place) / name):
                path = Path(place) / name
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        path.unlink()
        if not below:
            return


def _prefix(stem: str) -> str:
    """How the name of a temporary begins: see TEMPORARY."""
    return f".{stem[:LONGEST_STEM]}-{_machine()}-{os.getpid()}-"


def _machine() -> str:
    """Eight digits for this machine: process numbers say nothing about another one that shares the folder."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _is_left_over(path: Path) -> bool:
    """Whether a path is a temporary whose process has ended, as far as that can be told."""
    found = TEMPORARY.fullmatch(path.name)
    if not found:
        return False
    try:
        if time.time() - path.lstat().st_mtime > LEFT_AFTER_S:
            return True
        if os.name != "posix" or found["machine"] != _machine():
            return False
        os.kill(int(found["process"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # gone meanwhile, or a process of another user
    return False


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
    """Raise UserError if nothing can be written to a folder: before hours of work, not after.

    A folder that is not there is made for the trial, and stays only once something is written into it.
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UserError(f"cannot write to {folder}: it is a file, and a folder is needed")
    try:
        with no_empty_folders(folder):
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
