"""When `*_best.pth` is replaced: only by a better score on the same objects."""
import math
from pathlib import Path

from config import UserError
from utils.io.checkpoint import load_checkpoint


class BestCheckpoint:
    """Decides when `*_best.pth` is replaced: only by a better score on the same validation objects.

    Args:
        path: the best checkpoint.
        validation_ids: list of str, this run's validation objects.
        old: dict of the checkpoint already at `path`; None: there is none that can be read. If its score was taken on
            other objects the two cannot be compared, and what lies at `path` is moved aside before the first save.
        metric_name: str, what the score measures; where the old one's is another, they cannot be compared either.
        active: False in all processes but the first: no file is touched.

    Its `epoch` is that of the model which the run itself kept there; 0: none so far, or what the run began with.
    """

    def __init__(self, path: Path | str, validation_ids: list[str], old: dict | None = None,
                 metric_name: str | None = None, active: bool = True) -> None:
        self.path, self.epoch = Path(path), 0
        comparable = (old is not None and old["validation_ids"] == validation_ids and old["score"] is not None
                      and metric_of(old, metric_name) == metric_name)
        self.score = old["score"] if comparable else math.inf
        self.move_aside = active and not comparable and (old is not None or self.path.is_file())
        if comparable:
            print(f"{self.path} scores {self.score:.5f} on these validation objects; only a better one replaces it")

    def improves(self, score: float) -> bool:
        """Whether `score` (lower is better) beats everything before it; remembers it if so."""
        if not score < self.score:
            return False
        self.score = score
        self.make_way()
        return True

    def make_way(self) -> None:
        """Before a save: move what cannot be compared with this run aside, once."""
        if self.move_aside:
            aside = self.path.with_name(f"{self.path.stem}_previous{self.path.suffix}")
            self.path.replace(aside)
            print(f"what was {self.path} before cannot be compared with this run; kept as {aside}")
            self.move_aside = False


def read_best(path: Path, kind: str) -> dict | None:
    """The checkpoint at `path`; None if there is none, or if it cannot be used, which is said in a line."""
    if not path.is_file():
        return None
    try:
        return load_checkpoint(path, kind)
    except UserError as error:
        print(f"warning: {str(error).split('; make one')[0]}; this run's best will take its place")
        return None


def metric_of(checkpoint: dict, default: str | None = None) -> str | None:
    """What a checkpoint's score measures; `default` where it does not say."""
    return checkpoint.get("metric_name", checkpoint.get("scored_by", default))  # the name that older ones use
