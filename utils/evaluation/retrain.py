"""Training both stages again, as a user would: by the two scripts, each in a process of its own.

What was trained is not trained again, and what was interrupted goes on, so a long series may be stopped at any time.
"""
import json
import subprocess
import sys
from pathlib import Path

from config import UserError, parse_config
from utils.io.files import atomic_write

ROOT = Path(__file__).parents[1]
# What a series of trainings sets by itself, for every one of them.
RESERVED = ("obj_dir", "images_dir", "cache_dir", "checkpoint_dir", "log_dir", "geometry_checkpoint", "device", "seed",
            "validation_fraction", "num_folds", "fold", "training_share", "resume")


def check_training_options(passed):
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


def run_training(folder, arguments):
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
    field = parse_config(arguments, "training").geometry_decoder == "field"
    stages = {"geometry": "geometry_field"} if field else {"geometry": "geometry", "texture": "texture"}
    best = [checkpoints / f"{name}_best.pth" for name in stages.values()]
    known = _read_record(record)
    if known and known["arguments"] != arguments:
        raise UserError(f"{folder}: was trained with other options; name another --output, or delete it")
    if known and known["done"] and all(path.is_file() for path in best):
        print(f"{folder}: trained already")
        return best
    _write_record(record, arguments, done=False)
    for stage, name in stages.items():
        command = [sys.executable, str(ROOT / f"train_{stage}.py"), *arguments, "--checkpoint_dir", str(checkpoints),
                   "--log_dir", str(folder / "logs"), "--geometry_checkpoint", str(best[0])]
        command += ["--resume"] if (checkpoints / f"{name}_last.pth").is_file() else []
        print(f"{folder}: training {stage}", flush=True)
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
