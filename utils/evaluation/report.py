"""From rows of scores to what is read: means with their uncertainty, tables, and files in a results folder.

A row is a dict: id, method, and one number per metric; a method that failed on an object has no row for it.
"""
import csv
import json
import re
import subprocess
from pathlib import Path

import numpy as np

from config import UserError, counted
from utils.evaluation.plots import write_curve
from utils.io.files import atomic_write

BOOTSTRAP_DRAWS = 2000
# Column title, and digits after the point, of every metric that may occur.
COLUMNS = {"cd_l1": ("cd_l1", 4), "f_0.02": ("F@0.02", 3), "f_0.04": ("F@0.04", 3), "f_0.1": ("F@0.1", 3),
           "normal": ("normal", 3), "iou_novel": ("IoU novel", 3), "iou_input": ("IoU input", 3),
           "psnr_novel": ("PSNR novel", 1), "psnr_input": ("PSNR input", 1), "lpips_novel": ("LPIPS novel", 3),
           "lpips_input": ("LPIPS input", 3), "handles": ("handles too many", 1),
           "no_handles": ("none too many", 2), "parts": ("parts", 1), "watertight": ("watertight", 2),
           "camera_tilt_deg": ("camera tilt deg", 2), "camera_closeness": ("camera 1/distance", 3),
           "mask_iou": ("mask IoU", 3),
           "worst_mask_iou": ("worst mask IoU", 3)}
HULL = "hull"  # the method beside which all others are judged object by object
SYNTHETIC = re.compile(r"shoe_\d{5,}")  # how utils/training_data/synthetic/shoes.py names its shoes


def summarize(rows: list[dict], seed: int = 0, shoes: set[str] = frozenset()) -> dict:
    """Mean, median and bootstrap interval of every metric (Efron 1979), by group of objects and method.

    Args:
        rows: from an evaluation.
        seed: of the bootstrap's draws.
        shoes: ids of real shoes.
    Returns:
        {group: {method: {"objects": int, metric: {"mean", "median", "low", "high"}}}}: groups are "all objects", and
        "synthetic" and "real", or "shoes" and "others", where both occur; low and high bound the 95 % interval of the
        mean.
    """
    groups = {"all objects": rows}
    for inside, outside, belongs in (("synthetic", "real", SYNTHETIC.fullmatch),
                                     ("shoes", "others", shoes.__contains__)):
        members = [row for row in rows if belongs(row["id"])]
        if 0 < len(members) < len(rows):
            groups |= {inside: members, outside: [row for row in rows if not belongs(row["id"])]}
    return {group: {method: _statistics([row for row in members if row["method"] == method], seed)
                    for method in dict.fromkeys(row["method"] for row in members)}
            for group, members in groups.items()}


def read_ids(path: str | Path) -> set[str]:
    """Ids from a file with one a line.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return set(Path(path).read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a list of ids ({error})") from None


def commit_of(folder: str | Path) -> str | None:
    """Commit of the project's files, with "+ changes" where tracked files of code differ from it; None outside git."""
    def git(*arguments):
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "*.py")
        return git("rev-parse", "--short=12", "HEAD").strip() + (" + changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _statistics(rows, seed):
    result = {"objects": len(rows)}
    for metric in [name for name in COLUMNS if any(name in row for row in rows)]:
        values = np.array([row[metric] for row in rows if metric in row])  # an object without cameras has no camera error
        low, high = bootstrap_interval(values, seed)
        result[metric] = {"mean": float(values.mean()), "median": float(np.median(values)), "low": low, "high": high}
    return result


def bootstrap_interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % interval (low, high) of the mean of `values` (K,), by drawing K of them with repetition, many times."""
    draws = np.random.default_rng(seed).integers(0, len(values), (BOOTSTRAP_DRAWS, len(values)))
    low, high = np.quantile(np.asarray(values)[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def compare_with_hull(rows: list[dict]) -> dict[str, dict]:
    """How often, and by how much, each method beats the visual hull on the same objects.

    Args:
        rows: list of dict.
    Returns:
        {method: {"objects", "better", "ratio_f", "ratio_cd"}}: objects both have, those on which the method's F-score
        at 0.02 is above the hull's, and method's mean / hull's mean of that score and of cd_l1. Empty without a hull.
    """
    hull = {row["id"]: row for row in rows if row["method"] == HULL}
    result = {}
    for method in dict.fromkeys(row["method"] for row in rows if row["method"] != HULL):
        pairs = [(row, hull[row["id"]]) for row in rows if row["method"] == method and row["id"] in hull]
        if pairs:
            sums = {name: [sum(row[name] for row in side) for side in zip(*pairs)] for name in ("f_0.02", "cd_l1")}
            result[method] = {"objects": len(pairs), "better": sum(a["f_0.02"] > b["f_0.02"] for a, b in pairs),
                              "ratio_f": sums["f_0.02"][0] / max(sums["f_0.02"][1], 1e-9),
                              "ratio_cd": sums["cd_l1"][0] / max(sums["cd_l1"][1], 1e-9)}
    return result


def score_table(methods: dict[str, dict], markdown: bool = False) -> str:
    """Three lines per method: mean, its 95 % interval, median.

    Args:
        methods: {method: statistics}, one group of `summarize`.
        markdown: a Markdown table instead of aligned columns.
    Returns:
        str.
    """
    metrics = [name for name in COLUMNS if any(name in statistics for statistics in methods.values())]
    lines = [["method", "objects", ""] + [COLUMNS[name][0] for name in metrics]]
    for method, statistics in methods.items():
        shown = {"mean": [], "95 %": [], "median": []}
        for name in metrics:
            if name not in statistics:
                for cells in shown.values():
                    cells.append("")
                continue
            values, digits = statistics[name], COLUMNS[name][1]
            shown["mean"].append(f"{values['mean']:.{digits}f}")
            shown["95 %"].append(f"{values['low']:.{digits}f}..{values['high']:.{digits}f}")
            shown["median"].append(f"{values['median']:.{digits}f}")
        for number, (what, cells) in enumerate(shown.items()):
            lines.append(([method, str(statistics["objects"])] if number == 0 else ["", ""]) + [what] + cells)
    return format_table(lines, markdown)


def hull_table(comparison: dict[str, dict], markdown: bool = False) -> str:
    """`compare_with_hull` as a table, or "" if there is nothing to compare."""
    lines = [["method", "better than the hull (F@0.02)", "its mean F@0.02 / hull's", "its mean cd_l1 / hull's"]]
    lines += [[method, f"{one['better']} of {one['objects']} ({one['better'] / one['objects']:.0%})",
               f"{one['ratio_f']:.2f}", f"{one['ratio_cd']:.2f}"] for method, one in comparison.items()]
    return format_table(lines, markdown) if comparison else ""


def format_table(lines: list[list[str]], markdown: bool = False) -> str:
    """Rows of str, the first one the header, as Markdown or as columns aligned with spaces."""
    if markdown:
        rows = ["| " + " | ".join(line) + " |" for line in lines]
        return "\n".join([rows[0], "| --- " * len(lines[0]) + "|"] + rows[1:])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def report_text(summary: dict[str, dict], comparison: dict[str, dict], protocol: list[str], markdown: bool = False) -> str:
    """Everything a reader needs in one str: protocol (list of str), one table per group, and the hull's table."""
    heading = "## {}\n" if markdown else "{}:"
    parts = [("- " if markdown else "  ") + line for line in protocol]
    for group, methods in summary.items():
        parts += ["", heading.format(group), score_table(methods, markdown)]
    if comparison:
        parts += ["", heading.format("beside the visual hull, object by object"), hull_table(comparison, markdown)]
    return "\n".join(parts) + "\n"


def write_results(folder: str | Path, rows: list[dict], summary: dict, comparison: dict, protocol: dict) -> None:
    """Write objects.csv, summary.json and table.md.

    Args:
        folder: for the three files.
        rows, summary, comparison: see `summarize` and `compare_with_hull`.
        protocol: lines (list of str) for readers; commit and checkpoints for programs.
    """
    folder = Path(folder)
    write_csv(folder / "objects.csv", rows)
    with atomic_write(folder / "summary.json") as temporary:
        content = {"protocol": protocol["lines"], "commit": protocol["commit"], "checkpoints": protocol["checkpoints"],
                   "groups": summary, "beside_hull": comparison}
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    with atomic_write(folder / "table.md") as temporary:
        temporary.write_text(report_text(summary, comparison, protocol["lines"], markdown=True), encoding="utf-8",
                             errors="backslashreplace")  # names of files may be no text


def write_csv(path: str | Path, rows: list[dict]) -> None:
    """Write dicts as CSV, floats with six digits; what a row lacks is left empty."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8",
                                               errors="backslashreplace") as file:  # names of files may be no text
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
                         for row in rows)


# ---- Learning curve -------------------------------------------------------------------------------------------


def write_learning_curve(rows: list[dict], counts: dict[str, int], folder: str | Path) -> None:
    """Write learning_curve.csv and .png, and print whether more objects would help.

    Args:
        rows: list of dict.
        counts: {method: number of training objects}, rising.
        folder: for the two files.
    """
    groups = summarize(rows)["all objects"]
    curve = [name for name in counts if name in groups]
    write_csv(Path(folder) / "learning_curve.csv", [
        {"training_objects": counts[name]} | {f"{metric}_{what}": value for metric in COLUMNS if metric in groups[name]
                                              for what, value in groups[name][metric].items()} for name in curve])
    level = {metric: values["mean"] for metric, values in groups.get(HULL, {}).items() if metric in COLUMNS}
    panels = {}
    for metric in ("cd_l1", "f_0.02", "f_0.1"):
        lines = [[groups[name][metric][what] for name in curve] for what in ("mean", "low", "high")]
        panels[COLUMNS[metric][0]] = (*lines, level.get(metric))
    drawn = write_curve(Path(folder) / "learning_curve.png", [counts[name] for name in curve], panels)
    print(more_objects_help(rows, counts))
    print(f"wrote {folder}/learning_curve.csv" + (" and learning_curve.png" if drawn else
                                                  "; no image, for matplotlib (requirements-dev.txt) is not installed"))


def more_objects_help(rows: list[dict], counts: dict[str, int]) -> str:
    """One line: whether cd_l1 still fell from the second largest training set to the largest, beyond chance.

    Args:
        rows, counts: see `write_learning_curve`.
    Returns:
        str.
    """
    before, after = list(counts)[-2:]
    cd = {name: {row["id"]: row["cd_l1"] for row in rows if row["method"] == name} for name in (before, after)}
    shared = sorted(cd[before].keys() & cd[after].keys())
    gains = np.array([cd[before][name] - cd[after][name] for name in shared])
    low, high = bootstrap_interval(gains, seed=0)
    verdict = ("more scans would help" if low > 0 else "more scans of this kind are not seen to help" if high >= 0 else
               "more scans made it worse: look for bad ones, or train longer")
    change = gains.mean() / np.mean([cd[before][name] for name in shared])
    return (f"{verdict}: from {counts[before]} to {counts[after]} training objects mean cd_l1 fell by {change:.1%} "
            f"(95 % interval of the difference {low:.4f}..{high:.4f}, {counted(len(shared), 'object')})")
