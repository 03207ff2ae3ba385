"""Two or more training runs in one plot: their validation scores, and thinner their losses.

    python -m utils.compare_runs logs/a logs/b

A run is named by its log folder (what `--log_dir` said) or by one of the .jsonl files in it. They are drawn over optimizer
steps where all of them tell these, for epochs of more objects are longer, else over epochs. Scores can only be compared where
both runs were judged on the same objects by the same measure.
"""
import os
from pathlib import Path

from config import OptionParser, UserError, counted, run_script
from utils.io.files import atomic_write
from utils.training.loop import duration
from utils.training.plot_log import PALETTE, curve, draw_lines, read_epoch_lines, stacked


def logs_of(run: str) -> dict[str, Path]:
    """{stage: .jsonl file} of a run that is named by a folder or by a file.

    Raises:
        UserError: there is no log.
    """
    path = Path(run)
    if path.is_file():
        return {path.stem: path}
    beside = path.with_name(f"{path.name}.jsonl")  # logs/geometry, where its curves are, means logs/geometry.jsonl
    found = {log.stem: log for log in sorted(path.glob("*.jsonl")) if not log.stem.endswith("_previous")}
    found = found or ({path.name: beside} if beside.is_file() else {})
    if not found:
        raise UserError(f"{run}: holds no log of a training run (such as geometry_field.jsonl)")
    return found


def short_names(runs: list[str]) -> list[str]:
    """Names that tell the runs apart: the last part of each path, or as many as are needed."""
    parts = [Path(os.path.realpath(run)).with_suffix("").parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"{runs[0]}: the same run is named twice")


def lighter(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """A color half way to white."""
    return tuple((value + 255) // 2 for value in color)  # type: ignore[return-value]


def summary_line(name: str, records: list[dict]) -> str:
    """What a run came to: epochs, hours, best and last validation score, last training loss."""
    scores = curve(records, "validation")
    best = min(scores, key=lambda point: point[1], default=None)
    seconds = sum(record.get("seconds", 0) for record in records)
    return (f"{name}: {counted(records[-1]['epoch'], 'epoch')} in {duration(seconds)}, "
            + (f"best validation {best[1]:.5f} at epoch {best[0]}, last {scores[-1][1]:.5f}" if best else "not validated")
            + (f", loss {records[-1]['loss']:.5f}" if "loss" in records[-1] else ""))


def main(argv: list[str]) -> None:
    parser = OptionParser(description="Draw training runs into one plot.")
    parser.add_argument("runs", nargs="+", help="two or more log folders, or .jsonl files")
    parser.add_argument("--output", default="comparison.png", help="PNG file to write (default comparison.png)")
    options = parser.parse_args(argv)
    if not 2 <= len(options.runs) <= len(PALETTE):
        raise UserError(f"name 2 to {len(PALETTE)} runs")
    names, logs = short_names(options.runs), [logs_of(run) for run in options.runs]
    files = all(Path(run).is_file() for run in options.runs)
    stages = [""] if files else [stage for stage in logs[0] if all(stage in log for log in logs)]
    if not stages:
        raise UserError(f"{options.runs[0]}: has {', '.join(logs[0])}, but the runs have no log in common")
    panels = []
    for stage in stages:
        records = [read_epoch_lines(log[stage] if stage else next(iter(log.values()))) for log in logs]
        by_steps = all("step" in line for record in records for line in record if line["epoch"] > 0)
        axis = "step" if by_steps else "epoch"
        lines = [(f"{name} {field}", shade, curve(record, field, axis))
                 for name, color, record in zip(names, PALETTE, records)
                 for field, shade in (("validation", color), ("loss", lighter(color)))]
        lines = [line for line in lines if line[2]]
        if not lines:
            continue
        panels.append(draw_lines(lines, stage, axis))
        for name, record in zip(names, records):
            print(summary_line(f"{stage} {name}".strip(), record) if record else f"{stage} {name}: no epoch yet".strip())
    if not panels:
        raise UserError(f"{', '.join(options.runs)}: hold no epoch yet")
    with atomic_write(options.output) as temporary:
        stacked(panels).save(temporary, "PNG")
    print(options.output)


if __name__ == "__main__":
    run_script(main)
