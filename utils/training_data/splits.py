"""Which objects are trained on, which are validated on, and which are left alone."""
import hashlib
from collections.abc import Sequence
from pathlib import Path

from config import Config, UserError, counted
from utils.io.split_file import SPLITS, read_split


def split_of_run(cfg: Config, ids: Sequence[str], saved: dict, path: Path | str) -> tuple[list[str], list[str]]:
    """Ids to train on and to validate on: `choose_split` for a new run, `resumed_split` for one that goes on.

    Args:
        cfg: Config; ids: of the objects that are there.
        saved: dict of the checkpoint that is resumed, {} for a new run; path: of it, for messages.
    """
    chosen = choose_split(cfg, ids)
    return resumed_split(saved, ids, chosen, path) if saved else chosen


def choose_split(cfg: Config, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Ids to train on and to validate on, as `cfg` says: by `split_file`, or by `split_objects`.

    Args:
        cfg: Config; split_file, validation_fraction, seed, num_folds, fold, training_share are used.
        ids: of the objects that are there.
    Returns:
        train_ids, validation_ids: sorted lists; what the file calls test is in neither.
    Raises:
        UserError: the file cannot be read, or names an id twice.
    """
    if not cfg.split_file:
        return split_objects(ids, cfg.validation_fraction, cfg.seed, cfg.num_folds, cfg.fold, cfg.training_share)
    named = read_split(cfg.split_file)
    absent = sorted(named.keys() - set(ids))
    if absent:
        print(f"warning: {cfg.split_file} names {counted(len(absent), 'object that is', 'objects that are')} not here, such as "
              f"{absent[0]}")
    parts = {word: sorted(name for name in ids if named.get(name, "train") == word) for word in SPLITS}
    if parts["test"]:
        print(f"{counted(len(parts['test']), 'test object is', 'test objects are')} neither trained on nor validated on")
    return _share(parts["train"], cfg.seed, cfg.training_share), parts["validation"]


def resumed_split(saved: dict, ids: Sequence[str], chosen: tuple[list[str], list[str]],
                  path: Path | str) -> tuple[list[str], list[str]]:
    """The split that a run began with, whatever objects have come since and whatever the options say now.

    Otherwise what was trained on in earlier epochs could be held out in later ones, and its score would mean nothing.

    Args:
        saved: dict of the checkpoint that is resumed.
        ids: of the objects that are there.
        chosen: train_ids, validation_ids that the options would give.
        path: of the checkpoint, for messages.
    Returns:
        train_ids, validation_ids: sorted lists.
    """
    if "training_ids" not in saved:  # an older checkpoint
        return chosen
    kept = (sorted(set(saved["training_ids"]) & set(ids)), sorted(set(saved["validation_ids"]) & set(ids)))
    gone = sorted((set(saved["training_ids"]) | set(saved["validation_ids"])) - set(ids))
    if gone:
        print(f"warning: {counted(len(gone), 'object')} of the run in {path} no longer to be found, such as {gone[0]}")
    new = sorted(set(chosen[0] + chosen[1]) - set(kept[0] + kept[1]))
    if new:
        print(f"{counted(len(new), 'object is', 'objects are')} not part of the run in {path} and left alone, such as {new[0]}"
              "; a new run would use them (--initial_weights lets it begin with what was learned)")
    elif kept != tuple(chosen):
        print(f"the split stays that of the run in {path}, whatever the options say now")
    return kept


def split_objects(ids: Sequence[str], validation_fraction: float, seed: int, num_folds: int = 0, fold: int = 0,
                  training_share: float = 1.0) -> tuple[list[str], list[str]]:
    """Choose the objects held out of training, by a hash of each id: order of listing does not matter.

    Args:
        ids: distinct str.
        validation_fraction: share held out; above 0 at least one object, and one always stays for training.
        seed: int.
        num_folds: 0, or the number k of equal parts of which one is held out, whatever validation_fraction says.
        fold: which of them, 0 to k - 1.
        training_share: fraction of the other objects that is trained on, at least one; a larger share holds a smaller.
    Returns:
        train_ids, val_ids: sorted lists.
    Raises:
        UserError: fewer objects than folds.
    """
    ranked = _ranked(ids, seed)
    if num_folds:
        if num_folds > len(ranked):
            raise UserError(f"--num_folds {num_folds}: more than there are objects ({len(ranked)})")
        first, last = (len(ranked) * number // num_folds for number in (fold, fold + 1))
    else:
        first, last = 0, int(len(ranked) * validation_fraction + 0.5)
        if validation_fraction > 0:
            last = min(max(last, 1), len(ranked) - 1)
        last = max(last, 0)
    return _share(ranked[:first] + ranked[last:], seed, training_share), sorted(ranked[first:last])


def _share(ids, seed, share):
    """Sorted: a fraction of ids, at least one; a larger share holds a smaller."""
    if share < 1:
        ids = _ranked(ids, f"{seed}:share")[:max(1, int(len(ids) * share + 0.5))]
    return sorted(ids)


def _ranked(ids, seed):
    """Distinct ids in an order that depends on each of them and the seed alone."""
    return sorted(ids, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
