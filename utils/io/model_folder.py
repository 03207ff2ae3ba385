"""A model as a folder for sharing: config.json, model.safetensors and a card, in the way of Hugging Face's hub.

Neither file can hold code. What a checkpoint says beside its weights goes into config.json; see utils/io/checkpoint.py.
"""
import json
from pathlib import Path

from config import UserError
from utils.io.files import atomic_write

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
LARGEST_CONFIG = 1 << 22  # bytes; ids of a hundred thousand objects fit
HUB = "hf://"  # begins the name of a model that is to be fetched: nothing else is looked for in the network


def is_model_folder(path: Path | str) -> bool:
    """Whether a folder claims to hold a shared model."""
    return (Path(path) / CONFIG_FILE).is_file()


def write_model_folder(folder: Path | str, data: dict) -> None:
    """Write config.json and model.safetensors.

    Args:
        folder: made if needed.
        data: a checkpoint's dict of plain types, with its tensors under `weights`.
    """
    from safetensors.torch import save

    folder = Path(folder)
    plain = {name: value for name, value in data.items() if name != "weights"}
    with atomic_write(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(save({name: value.contiguous() for name, value in data["weights"].items()}))
    with atomic_write(folder / CONFIG_FILE) as temporary:
        temporary.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def read_model_folder(folder: Path | str) -> dict:
    """What `write_model_folder` wrote; that it is a checkpoint's content is for the caller to check.

    Returns:
        dict of plain types, with tensors on the CPU under `weights`.
    Raises:
        UserError: a file is missing, damaged, or larger than any that this project writes.
    """
    from safetensors.torch import load_file

    config, weights = Path(folder) / CONFIG_FILE, Path(folder) / WEIGHTS_FILE
    try:
        size = config.stat().st_size
        if size > LARGEST_CONFIG:
            raise UserError(f"{config}: has {size / 1e6:.0f} MB, which no model needs; it is damaged or not to be trusted")
        data = json.loads(config.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("no object in braces")
    except OSError as error:
        raise UserError(f"{config}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{config}: is damaged ({str(error).splitlines()[0][:100]})") from None
    if not weights.is_file():
        raise UserError(f"{weights}: is missing; a model's folder holds {CONFIG_FILE} and {WEIGHTS_FILE}")
    try:
        tensors = load_file(weights)
        return data | {"weights": {name: tensor.clone() for name, tensor in tensors.items()}}
    except Exception:  # of safetensors' own type, or torch's for a type of number that it does not know
        raise UserError(f"{weights}: is damaged or no safetensors file; copy or download it again") from None


def local_model(name: Path | str, revision: str | None = None) -> Path:
    """The path of a model that may still have to be fetched.

    Args:
        name: a path, which is given back as it is, or hf://<owner>/<name> for a model of Hugging Face's hub: its two
            files are fetched once and kept in the hub's cache.
        revision: branch, tag or commit on the hub.
    Raises:
        UserError: the hub is not reachable or has no such model.
    """
    if not str(name).startswith(HUB):
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(name).removeprefix(HUB), revision=revision,
                                      allow_patterns=[CONFIG_FILE, WEIGHTS_FILE]))
    except Exception as error:  # each version of the hub's client raises its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
        raise UserError(f"{name}: cannot be fetched from the hub ({type(error).__name__}: {reason})") from None
