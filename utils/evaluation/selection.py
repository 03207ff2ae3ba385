"""Which objects of a data set are judged, and whether a checkpoint has seen them."""
import os
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from config import Config, UserError, counted
from utils.io.split_file import SPLITS, read_split
from utils.training_data.splits import split_objects

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Selection:
    """Which objects are judged: lists of ids, and where the split comes from."""

    train: list
    judged: list
    origin: str


def select(ids: list[str], checkpoint: dict | None, options: Namespace) -> Selection:
    """The objects that --split names, by --split_file or else by `choose_split`.

    Raises:
        UserError: there are none, or an object has no line in the split file.
    """
    if options.split_file:
        sides = read_split(options.split_file)
        unknown = sorted(set(ids) - sides.keys())
        if unknown:
            raise UserError(f"{unknown[0]}: has no line in {options.split_file} ({counted(len(unknown), 'such object')})")
        parts = {side: sorted(name for name in ids if sides[name] == side) for side in SPLITS}
        path = Path(os.path.realpath(options.split_file))
        origin = f"as {path.relative_to(ROOT) if path.is_relative_to(ROOT) else options.split_file} lists them"
    else:
        train, held_out, origin = choose_split(ids, checkpoint, options)
        parts = {"train": train, "validation": held_out}
    parts |= {"val": parts["validation"], "all": sorted(ids)}
    if not parts[options.split]:
        raise UserError(f"--split {options.split}: holds no object ({len(ids)} in all); choose --split all")
    return Selection(parts["train"], parts[options.split], f"--split {options.split}, {origin}")


def choose_split(ids: list[str], checkpoint: dict | None, options: Namespace) -> tuple[list[str], list[str], str]:
    """Training and held-out ids: the checkpoint's own record where it has one of these objects, else by id and seed.

    Args:
        ids: list of str.
        checkpoint: dict of a geometry checkpoint, or None where only baselines are judged.
        options: of evaluate.py; --seed or --validation_fraction replace the checkpoint's record.
    Returns:
        train_ids, val_ids, and str saying where the split comes from.
    """
    trained = checkpoint["config"] if checkpoint else {}
    own = options.seed is None and options.validation_fraction is None
    recorded = set(checkpoint["validation_ids"]) & set(ids) if checkpoint and own else set()
    if recorded:
        return sorted(set(ids) - recorded), sorted(recorded), "as the checkpoint records it"
    seed = options.seed if options.seed is not None else trained.get("seed", Config.seed)
    fraction = options.validation_fraction
    if fraction is None:
        fraction = trained.get("validation_fraction", Config.validation_fraction)
    folds = (trained.get("num_folds", 0), trained.get("fold", 0)) if own else (0, 0)
    return *split_objects(ids, fraction, seed, *folds), f"by id, seed {seed}, fraction {fraction}"


def trained_on(checkpoint: dict, judged_ids: Iterable[str], all_ids: Iterable[str]) -> set[str]:
    """Which of the judged objects the checkpoint was trained on, as far as it tells.

    A checkpoint that does not list its training objects lists those that were held out: where some of the data set are
    among them, the rest may have been trained on; where none is, it was trained on other data.

    Args:
        checkpoint: dict of a checkpoint.
        judged_ids, all_ids: iterables of str; the second are all objects of the data set.
    Returns:
        set of str.
    """
    if checkpoint.get("training_ids"):
        return set(judged_ids) & set(checkpoint["training_ids"])
    held_out = set(checkpoint["validation_ids"])
    return set(judged_ids) - held_out if held_out & set(all_ids) else set()
