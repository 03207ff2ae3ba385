"""Training again on parts of the objects, as a user would: by the scripts, each in a process of its own.

What was trained is not trained again, and what was interrupted goes on, so a long series may be stopped at any time.
"""
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config import Config, UserError, options_of, parse_config
from utils.io.checkpoint import load_checkpoint
from utils.io.files import atomic_write

ROOT = Path(__file__).parents[2]
KINDS = ("geometry", "field", "texture")  # of checkpoints
# What a series of trainings sets by itself, for every one of them.
RESERVED = ("obj_dir", "images_dir", "cache_dir", "checkpoint_dir", "log_dir", "geometry_checkpoint", "device", "seed",
            "validation_fraction", "num_folds", "fold", "training_share", "resume")


def check_training_options(passed: list[str]) -> Config:
    """The Config that options of the training scripts give: mistakes are found before hours of training, not after.

    Args:
        passed: list of str.
    Returns:
        Config.
    Raises:
        UserError: an option is mistyped, or one of RESERVED.
    """
    cfg = parse_config(passed, "training")
    taken = sorted(cfg.explicit & set(RESERVED))
    if taken:
        raise UserError(f"--{taken[0]}: cannot stand after --, where options of training stand; if evaluate.py has it "
                        "(see --help), give it before the --")
    return cfg


def train_folds(folder: Path, num_folds: int, arguments: list[str]) -> Iterator[tuple[list[Path], set[str]]]:
    """k trainings, each without one part of the objects, one after the other.

    Args:
        folder: receives fold_0/, fold_1/ ...
        num_folds: parts.
        arguments: options of the training scripts.
    Yields:
        checkpoints of a fold, and the ids of the objects that it did not see.
    """
    for fold in range(num_folds):
        paths = run_training(folder / f"fold_{fold}", [*arguments, "--num_folds", str(num_folds), "--fold", str(fold)])
        yield paths, set(load_checkpoint(paths[0], KINDS)["validation_ids"])


@dataclass(frozen=True)
class ShareRun:
    """A training on a fraction of the objects: its name in tables, its checkpoints, and the ids that none of them saw."""

    name: str
    share: float
    checkpoints: list
    held_out: list


def train_shares(folder: Path, shares: tuple, cfg: Config, arguments: list[str]) -> Iterator[ShareRun]:
    """Trainings on rising fractions of the objects; all hold out the same ones.

    Runs on fewer objects make as many steps: more epochs, so that they lack objects and not training.

    Args:
        folder: receives share_10/ ...
        shares: of the training objects, in (0, 1].
        cfg: what `arguments` give, from `check_training_options`.
        arguments: options of the training scripts.
    """
    for share in shares:
        epochs = [f"--{name}={round(getattr(cfg, name) / share)}"
                  for name in ("num_epochs_stage1", "num_epochs_stage2", "validate_every")]
        paths = run_training(folder / f"share_{share:.0%}".rstrip("%"),
                             [*arguments, *epochs, "--training_share", str(share)])
        yield ShareRun(f"{share:.0%} of training", share, paths, load_checkpoint(paths[0], KINDS)["validation_ids"])


def run_training(folder: Path, arguments: list[str]) -> list[Path]:
    """Train both stages (or the field, which has one) into a folder, unless that is done.

    Args:
        folder: Path; receives checkpoints/, logs/ and training.json.
        arguments: list of str, options of both training scripts.
    Returns:
        list of Path, the best checkpoints: geometry and texture, or the field's alone.
    Raises:
        UserError: training failed, or the folder holds a training with other options.
    """
    record, checkpoints = folder / "training.json", folder / "checkpoints"
    cfg = parse_config(arguments, "training")
    # what is trained: the checkpoint that it writes
    stages = {"field": "geometry_field"} if cfg.geometry_decoder == "field" else {"geometry": "geometry", "texture": "texture"}
    best = [checkpoints / f"{name}_best.pth" for name in stages.values()]
    known = _read_record(record)
    if known and known["arguments"] != arguments:
        raise UserError(f"{folder}: was trained with other options; name another --output, or delete it")
    if known and known["done"] and all(path.is_file() for path in best):
        print(f"{folder}: trained already")
        return best
    _write_record(record, arguments, done=False)
    for stage, name in stages.items():
        command = [sys.executable, str(ROOT / f"train_{stage}.py"), *options_of(stage, cfg),
                   "--checkpoint_dir", str(checkpoints), "--log_dir", str(folder / "logs")]
        command += ["--geometry_checkpoint", str(best[0])] if stage == "texture" else []
        command += ["--resume"] if (checkpoints / f"{name}_last.pth").is_file() else []
        print(f"{folder}: train_{stage}.py", flush=True)
        if subprocess.run(command).returncode:
            raise UserError(f"{folder}: train_{stage}.py failed (see above); the same command goes on from there")
    _write_record(record, arguments, done=True)
    return best


def _read_record(path):
    """What `_write_record` wrote, or None where nothing was trained yet."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        raise UserError(f"{path}: is damaged; delete its folder to train again") from None


def _write_record(path, arguments, done):
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({"arguments": arguments, "done": done}, indent=1) + "\n")
