"""What a result was made from and with: enough to make it again, and to tell whether it is the same."""
import hashlib
import platform
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from utils.evaluation.report import commit_of

ROOT = Path(__file__).parents[2]
# The packages that a result depends on
PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "pillow", "trimesh", "fast-simplification", "manifold3d",
            "onnxruntime")


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def named_hash(path: str | Path) -> dict:
    """A file's name, below the project's folder where it lies there, and its hash. No other path is told.

    Of a shared model's folder the files' names and hashes are hashed together.
    """
    path = Path(path).absolute()
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    if not path.is_dir():
        return {"file": name, "sha256": file_hash(path)}
    lines = [f"{file_hash(file)}  {file.name}\n" for file in sorted(path.iterdir()) if file.is_file()]
    return {"file": name, "sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}


@lru_cache(maxsize=1)
def versions() -> dict:
    """Versions of Python, of this project (its commit; None outside git) and of the packages that decide results."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}",
             "mito3d": commit_of(ROOT)}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # onnxruntime is not there for every Python
            found[name] = None
    return found


def run_record(settings: dict, inputs: dict, weights: Iterable[str | Path]) -> dict:
    """What a training run is made from, for the file beside its log.

    Args:
        settings: dict of plain types.
        inputs: hashes, see utils.training_data.object_cache.input_hashes.
        weights: checkpoints that it begins with or builds on; empty names do not count.
    Returns:
        dict: the settings, and beside them versions, inputs, and checkpoints (name and hash of each).
    """
    return settings | {"versions": versions(), "inputs": inputs, "checkpoints": [named_hash(path) for path in weights if path]}
