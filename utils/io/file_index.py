"""Which files have been read before: so that a start with a full cache opens none of them again.

The cache names its files by the content of their sources. An index beside them remembers, for each source, size and
time of change, and what its content was; as long as both stay, so does the content.
"""
import json
import time
from collections.abc import Callable
from pathlib import Path

from utils.io.files import atomic_write, content_hash

# Nanoseconds; a file that was changed more recently than this may change again within one tick of the clock
MTIME_GRACE_NS = 2e9


def read_index(path: str | Path) -> dict[str, dict]:
    """The index in a JSON file, {source: {"key": str, "files": {path: [size, mtime]}}}; {} if there is none."""
    try:
        index = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def write_index(path: str | Path, index: dict[str, dict]) -> None:
    """Write an index as JSON."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(index))


def cached_hash(index: dict[str, dict], source: str | Path, list_files: Callable[[], list[Path]]) -> str:
    """`content_hash` of a source's files; they are read only if one has changed since the index knew them.

    Args:
        index: dict from `read_index`; what had to be read is added, unless it has changed only just now.
        source: Path of the file that stands for them all.
        list_files: function that gives the list of Path, `source` among them; it may read files, and is called only
            when the index does not know them.
    Returns:
        str.
    Raises:
        OSError: a file cannot be read.
    """
    name, now = str(Path(source).absolute()), time.time_ns()
    try:
        known = index[name]
        if all(_stamp(path) == stamp for path, stamp in known["files"].items()):
            return known["key"]
    except (OSError, KeyError, TypeError, AttributeError):
        pass  # not known, gone, or the index is damaged
    files = [Path(path).absolute() for path in list_files()]
    stamps = {str(path): _stamp(path) for path in files}  # before they are read: a later change is then a change
    key = content_hash(files)
    index.pop(name, None)
    if all(changed < now - MTIME_GRACE_NS for _, changed in stamps.values()):
        index[name] = {"key": key, "files": stamps}
    return key


def _stamp(path):
    """Size in bytes and time of the last change in nanoseconds."""
    found = Path(path).stat()
    return [found.st_size, found.st_mtime_ns]
