"""The record of a training run: one JSON line per epoch, and TensorBoard where it is installed."""
import json
import math
from pathlib import Path

from utils.io.files import atomic_write


class RunLog:
    """One JSON line per epoch in `<log_dir>/<stage>.jsonl`, the config beside it, TensorBoard if it is installed.

    Args:
        log_dir: folder.
        stage: "geometry" or "texture".
        config: dict of plain types.
        resumed_epoch: epochs already done, whose lines are kept (later ones are dropped), or None for a new run, whose
            file replaces an older one.
        active: False in all processes but the first: nothing is written.
    """

    def __init__(self, log_dir, stage, config, resumed_epoch=None, active=True):
        self.path, self.board = Path(log_dir) / f"{stage}.jsonl", None
        self.active = active
        if not active:
            return
        lines = []
        if resumed_epoch is not None and self.path.is_file():
            lines = [line for line in self.path.read_text().splitlines() if _epoch_of(line) <= resumed_epoch]
        with atomic_write(self.path) as temporary:
            temporary.write_text("".join(line + "\n" for line in lines))
        with atomic_write(self.path.with_name(f"{stage}_config.json")) as temporary:
            temporary.write_text(json.dumps(config, indent=1) + "\n")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self.board = SummaryWriter(str(Path(log_dir) / stage), purge_step=resumed_epoch)

    def write(self, epoch, **values):
        """Record one epoch: numbers by name."""
        if not self.active:
            return
        with open(self.path, "a") as file:
            file.write(json.dumps({"epoch": epoch, **values}) + "\n")
        for name, value in values.items():
            if self.board:
                self.board.add_scalar(name, value, epoch)
        if self.board:
            self.board.flush()


def _epoch_of(line):
    """Epoch of a log line; infinity for one that a crash left half written."""
    try:
        return json.loads(line)["epoch"]
    except (ValueError, KeyError):
        return math.inf
