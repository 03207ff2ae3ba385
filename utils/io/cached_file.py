"""Results kept in files: read where they are whole, made again where they are absent or damaged."""
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from utils.io.files import atomic_write

# What NumPy and zipfile raise for files that are absent, cut short, or changed within.
READ_ERRORS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray] | None:
    """Arrays of an npz file, each compared with the checksum that the archive holds.

    Args:
        path: of the file.
        names: of the arrays to read; None: all.
    Returns:
        dict of arrays; None where the file is absent or damaged, or lacks one of the names.
    """
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in (arrays.files if names is None else names)}
    except READ_ERRORS:
        return None


def cached_npz(path: Path, make: Callable[[], dict[str, np.ndarray]],
               names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of an npz file, which is made first where it is absent or damaged.

    Several processes may ask for one file: each writes it whole, and the last one stays.

    Args:
        path: of the file, named by whatever its content depends on; not compressed, so that it loads fast.
        make: function without arguments that gives the dict of arrays.
        names: of the arrays to return; None: all.
    Returns:
        dict of arrays.
    Raises:
        UserError: the file cannot be written; and whatever `make` raises.
    """
    arrays = read_npz(path, names)
    if arrays is None:
        made = make()
        with atomic_write(path) as temporary:
            np.savez(temporary, **made)  # type: ignore[arg-type]
        arrays = made if names is None else {name: made[name] for name in names}
    return arrays
