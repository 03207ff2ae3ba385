"""Weights between those of a model and of what it became by further training.

    python -m models.interpolate checkpoints/pretrained/geometry_field_best.pth checkpoints/geometry_field_best.pth mixed.pth

Further training on other data gains there and forgets a little of what came before; half way between, a model often has
most of both, since the loss hardly rises along the line (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
"""
from collections.abc import Sequence

import torch

from config import OptionParser, UserError, run_script
from models.field_model import up_to_date
from utils.io.checkpoint import load_checkpoint, without_training_state, write_copy


def interpolate(before: dict, after: dict, fraction: float) -> dict:
    """A checkpoint of the field whose weights lie between two.

    Args:
        before, after: dict from utils.io.checkpoint.load_checkpoint; the second was trained from the first.
        fraction: of the way from the first to the second, in [0, 1].
    Returns:
        dict: `after` with other weights, without its training state, and without a score, which was that of its own.
        What either of the two was trained on, these weights have seen: training_ids holds both's, and validation_ids
        what is left of the second's. If one of them does not list its training objects, neither does the result.
    Raises:
        ValueError: the two are not of the same sizes.
    """
    new_args, new_weights = up_to_date(after["model_args"], after["weights"])
    args, weights = up_to_date(before["model_args"], before["weights"], new_args["image_widths"])
    if args != new_args or weights.keys() != new_weights.keys():
        raise ValueError("they are of different sizes, so one was not trained from the other")
    mixed = {name: torch.lerp(weights[name].float(), value.float(), fraction) if value.is_floating_point() else value
             for name, value in new_weights.items()}
    shared = without_training_state(after)
    shared.pop("training_ids", None)
    return shared | {"model_args": new_args, "weights": mixed, "score": None} | _seen(before, after)


def _seen(before, after):
    """The training_ids (absent if not known) and validation_ids of weights that came from both checkpoints."""
    if "training_ids" in before and "training_ids" in after:
        trained = set(before["training_ids"]) | set(after["training_ids"])
        return {"training_ids": sorted(trained), "validation_ids": sorted(set(after["validation_ids"]) - trained)}
    return {"validation_ids": sorted(set(before["validation_ids"]) & set(after["validation_ids"]))}


def main(argv: Sequence[str]) -> None:
    """Write a checkpoint between two."""
    parser = OptionParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", help="checkpoint of a field that training began with")
    parser.add_argument("after", help="checkpoint that it ended with")
    parser.add_argument("target", help="file to write")
    parser.add_argument("--fraction", type=float, default=0.5, help="of the way from before to after (default 0.5)")
    options = parser.parse_args(argv)
    if not 0 <= options.fraction <= 1:
        raise UserError(f"--fraction {options.fraction}: choose 0 to 1")
    before, after = (load_checkpoint(path, "field") for path in (options.before, options.after))
    try:
        mixed = interpolate(before, after, options.fraction)
    except ValueError as error:
        raise UserError(f"{options.before} and {options.after}: {error}") from None
    write_copy(options.target, mixed)


if __name__ == "__main__":
    run_script(main)
