"""When `*_best.pth` is replaced: only by a better score on the same objects."""
import math
from pathlib import Path


class BestCheckpoint:
    """Decides when `*_best.pth` is replaced: only by a better score on the same validation objects.

    Args:
        path: the best checkpoint.
        validation_ids: list of str, this run's validation objects.
        old: dict of the checkpoint already at `path`, or None. If its score was taken on other objects the two cannot
            be compared, and it is moved aside before the first save.
        metric_name: str, what the score measures; where the old one's is another, they cannot be compared either.
    """

    def __init__(self, path: Path | str, validation_ids: list[str], old: dict | None = None,
                 metric_name: str | None = None) -> None:
        self.path = Path(path)
        comparable = (old is not None and old["validation_ids"] == validation_ids and old["score"] is not None
                      and metric_of(old, metric_name) == metric_name)
        self.score = old["score"] if comparable else math.inf
        self.move_aside = old is not None and not comparable
        if comparable:
            print(f"{self.path} scores {self.score:.5f} on these validation objects; only a better one replaces it")

    def improves(self, score: float) -> bool:
        """Whether `score` (lower is better) beats everything before it; remembers it if so."""
        if not score < self.score:
            return False
        self.score = score
        if self.move_aside:
            aside = self.path.with_name(f"{self.path.stem}_previous{self.path.suffix}")
            self.path.replace(aside)
            print(f"{self.path} was judged on other objects; kept as {aside}")
            self.move_aside = False
        return True


def metric_of(checkpoint: dict, default: str | None = None) -> str | None:
    """What a checkpoint's score measures; `default` where it does not say."""
    return checkpoint.get("metric_name", checkpoint.get("scored_by", default))  # the name that older ones use
