"""The record of a training run: JSON lines for epochs and for steps within them, their curves as an image, TensorBoard
where it is installed."""
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image

from utils.io.files import CannotWrite, atomic_write
from utils.training.plot_log import draw_run

DRAW_EVERY_S = 10  # seconds between two drawings of the curves, unless there is a new validation score to be seen


class RunLog:
    """JSON lines in `<log_dir>/<stage>.jsonl`, the config beside it; curves in `<log_dir>/<stage>/curves.png`, and there
    too TensorBoard's events if it is installed.

    An epoch's line has the key `epoch`; the line of a step within it has `during_epoch` and `step`.

    Args:
        log_dir: folder.
        stage: "geometry", "geometry_field" or "texture".
        config: dict of plain types.
        resumed_epoch: epochs already done, whose lines are kept (later ones are dropped), or None for a new run, whose
            file replaces an older one, which is kept as `<stage>_previous.jsonl`.
        resumed_step: steps already done; the lines of steps within the next epoch are kept up to it.
        active: False in all processes but the first: nothing is written.
    """

    def __init__(self, log_dir: Path | str, stage: str, config: dict, resumed_epoch: int | None = None,
                 active: bool = True, resumed_step: int = 0) -> None:
        self.path, self.board = Path(log_dir) / f"{stage}.jsonl", None
        self.folder = Path(log_dir) / stage  # of what is to be looked at
        self.active, self.drawn_at, self.epochs = active, 0.0, []
        if not active:
            return
        lines = []
        if resumed_epoch is not None and self.path.is_file():
            lines = [line for line in self.path.read_text().splitlines() if _is_done(line, resumed_epoch, resumed_step)]
        elif self.path.is_file() and self.path.stat().st_size:
            self.path.replace(self.path.with_name(f"{stage}_previous.jsonl"))
        self.epochs = [values for values in map(json.loads, lines) if "epoch" in values]
        with atomic_write(self.path) as temporary:
            temporary.write_text("".join(line + "\n" for line in lines))
        with atomic_write(self.path.with_name(f"{stage}_config.json")) as temporary:
            temporary.write_text(json.dumps(config, indent=1) + "\n")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print(f"log: {self.path} (no TensorBoard events: pip install tensorboard)")
            return
        self.board = SummaryWriter(str(self.folder), purge_step=resumed_epoch)

    def write(self, epoch: int, **values: float) -> None:
        """Record one epoch: numbers by name."""
        self._write({"epoch": epoch, **values}, "", epoch)
        self.epochs.append({"epoch": epoch, **values})
        if self.active and ("validation" in values or time.monotonic() - self.drawn_at > DRAW_EVERY_S):
            self._draw()
            self.drawn_at = time.monotonic()

    def write_step(self, epoch: int, step: int, **values: float) -> None:
        """Record one step: numbers by name, and the epoch (counted from 1) that it belongs to."""
        self._write({"during_epoch": epoch, "step": step, **values}, "steps/", step)

    def show(self, path: Path, epoch: int) -> None:
        """Give an image to TensorBoard as well, if it is installed."""
        if self.active and self.board:
            self.board.add_image(path.stem, np.asarray(Image.open(path).convert("RGB")), epoch, dataformats="HWC")

    def _draw(self):
        image = draw_run(self.epochs, self.path.stem)
        if image:
            with atomic_write(self.folder / "curves.png") as temporary:
                image.save(temporary, "PNG")

    def _write(self, values, group, position):
        if not self.active:
            return
        try:
            with open(self.path, "a") as file:
                file.write(json.dumps(values) + "\n")
        except OSError as error:
            raise CannotWrite(self.path, error) from None
        for name, value in values.items():
            if self.board and name not in ("epoch", "during_epoch"):
                self.board.add_scalar(group + name, value, position)
        if self.board:
            self.board.flush()


def _is_done(line, epoch, step):
    """Whether a log line is of the first `epoch` epochs and `step` steps; False for one that a crash left half written."""
    try:
        values = json.loads(line)
        if "epoch" in values:
            return values["epoch"] <= epoch
        return values["during_epoch"] <= epoch or values["step"] <= step
    except (ValueError, KeyError, TypeError):
        return False


class StepMeter:
    """Means of what a loop measures at each step, over an epoch and over the steps since it was last asked.

    The sums stay on the device until then. `data_seconds` is the time from the end of one step to the next batch,
    `step_seconds` that from the batch to the end of its step.
    """

    def __init__(self) -> None:
        self.epoch, self.recent = {}, {}
        self.begun = self.clock = time.perf_counter()

    @property
    def batches(self) -> int:
        """Batches of the epoch that are done."""
        return self.epoch["step_seconds"][1] if self.epoch else 0

    def seconds(self) -> float:
        """Time since the meter was made."""
        return time.perf_counter() - self.begun

    def timed(self, batches: Iterable) -> Iterator:
        """The batches, each noted as soon as it is there."""
        for batch in batches:
            self._add("data_seconds", self._lap())
            yield batch

    def step_done(self, **values: torch.Tensor | float) -> None:
        """To be called at the end of a step, with its numbers by name."""
        for name, value in values.items():
            self._add(name, value.detach() if isinstance(value, torch.Tensor) else value)
        self._add("step_seconds", self._lap())

    def state(self, accelerator: Accelerator) -> dict:
        """The sums as plain types for a checkpoint, means over the processes, all of which have to ask."""
        return {which: {name: [self._mean(total, accelerator), count] for name, (total, count) in sums.items()}
                for which, sums in (("epoch", self.epoch), ("recent", self.recent))}

    def load(self, state: dict) -> None:
        """Go on from what `state` gave."""
        self.epoch, self.recent = ({name: (total, count) for name, (total, count) in state[which].items()}
                                   for which in ("epoch", "recent"))

    def epoch_means(self, accelerator: Accelerator) -> dict[str, float]:
        """Mean of each number over all steps, and over the processes, all of which have to ask."""
        return self._means(self.epoch, accelerator)

    def recent_means(self, accelerator: Accelerator) -> dict[str, float]:
        """As `epoch_means`, but over the steps since this was asked before."""
        recent, self.recent = self.recent, {}
        return self._means(recent, accelerator)

    def _add(self, name, value):
        for sums in (self.epoch, self.recent):
            total, count = sums.get(name, (0.0, 0))
            sums[name] = total + value, count + 1

    def _lap(self):
        before, self.clock = self.clock, time.perf_counter()
        return self.clock - before

    def _means(self, sums, accelerator):
        return {name: self._mean(total, accelerator) / count for name, (total, count) in sums.items()}

    @staticmethod
    def _mean(total, accelerator):
        return float(accelerator.reduce(torch.as_tensor(total, dtype=torch.float32, device=accelerator.device), "mean"))
