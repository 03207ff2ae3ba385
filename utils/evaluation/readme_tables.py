"""The tables of the documentation, made from what the runs left in results/, so that no figure is typed by hand.

    python -m utils.evaluation.readme_tables            # writes the blocks of README.md and docs/results.md anew

A block stands between `<!-- table:NAME -->` and `<!-- end -->`. NAME is a folder of results/, and after a slash may
name one group of its objects: `test`, `test/shoes`.
"""
import json
import re
from pathlib import Path

from config import OptionParser, UserError, counted, run_script
from utils.evaluation.report import COLUMNS, format_table
from utils.io.files import atomic_write

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/results.md")
SHOWN = ("cd_l1", "f_0.02", "f_0.04", "f_0.1", "normal", "iou_novel", "iou_input", "psnr_novel", "psnr_input",
         "handles", "no_handles", "mask_iou", "camera_tilt_deg")  # where a run has them
RUNS = ("validation", "test", "baselines", "ablations", "shoes", "photographs_perspective", "photographs_hand",
        "photographs_photo", "five_views", "four_views")  # the folders of results/ that the scripts of runs/ write
NOT_RUN = "*Not run yet for this version.*"  # in the place of a table
BLOCK = re.compile(r"(<!-- table:(\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(results: Path, name: str) -> str:
    """One Markdown table: means of every method; NOT_RUN where a script of runs/ has not been run.

    Args:
        results: folder of the runs' results.
        name: folder in it, and after a slash a group of objects (default all objects).
    Raises:
        UserError: no script writes such results, or they are damaged, or there is no such group in them.
    """
    folder, _, group = name.partition("/")
    path = results / folder / "summary.json"
    if folder in RUNS and not path.exists():
        return NOT_RUN
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        groups, hull = content["groups"], content["beside_hull"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: holds no results for table {name} ({error}); see runs/") from None
    group = group or "all objects"
    if group not in groups:
        raise UserError(f"{path}: has no group {group}; choose from {', '.join(groups)}")
    methods = groups[group]
    metrics = [metric for metric in SHOWN if any(metric in statistics for statistics in methods.values())]
    beside = hull if group == "all objects" else {}
    titles = [COLUMNS[metric][0] for metric in metrics] + (["better than the hull"] if beside else [])
    lines = [["method", "objects", *titles]]
    for method, statistics in methods.items():
        cells = [f"{statistics[metric]['mean']:.{COLUMNS[metric][1]}f}" if metric in statistics else ""
                 for metric in metrics]
        if beside:
            cells.append(f"{beside[method]['better']} of {beside[method]['objects']}" if method in beside else "")
        lines.append([method, str(statistics["objects"]), *cells])
    return format_table(lines, markdown=True)


def with_tables(text: str, results: Path) -> str:
    """A document with every block's table made anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{table(results, block[2])}\n{block[3]}", text)


def main(argv: list[str]) -> None:
    """Write the documents' tables anew."""
    parser = OptionParser(prog="python -m utils.evaluation.readme_tables", description=__doc__.split("\n\n")[0])
    parser.add_argument("--results", default=str(ROOT / "results"), help="folder of results (default results)")
    options = parser.parse_args(argv)
    for name in DOCUMENTS:
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        new = with_tables(old, Path(options.results))
        if new != old:
            with atomic_write(path) as temporary:
                temporary.write_text(new, encoding="utf-8")
        print(f"{name}: {counted(len(BLOCK.findall(new)), 'table')}" + (", written anew" if new != old else ""))


if __name__ == "__main__":
    run_script(main)
