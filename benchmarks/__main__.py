"""Is MIto3D as fast and as frugal as it says? One table, against the obvious way or a peer, with a gate on each line.

    python -m benchmarks                     # everything: about ten minutes on one core
    python -m benchmarks chamfer render      # some of it
    python -m benchmarks --markdown FILE     # the table for the README too

Exit code 1 if a gate fails. Memory and scale are measured by `python -m benchmarks.memory` and `.scale`.
"""
import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path

# One thread for both sides, and before NumPy is loaded: on shared cores more threads measure the neighbors.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

from config import OptionParser, UserError, run_script  # noqa: E402 (the threads come first)

# Each is a file of this folder whose run(rounds) returns rows; another one joins here by its name.
BENCHMARKS = ("chamfer", "step", "item", "render", "hull", "field", "bake", "export", "start")
ON_DEVICE = ("chamfer", "step")  # whose run also takes the device; the others' work is the processor's


def main(argv):
    """Run what is named, print the table, and leave with code 1 if a gate fails."""
    parser = OptionParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default all)")
    parser.add_argument("--rounds", type=int, default=5, help="times each side is timed; the median counts (default 5)")
    parser.add_argument("--device", default="cpu",
                        help="where chamfer and step run (default cpu); gates are for the CPU")
    parser.add_argument("--markdown", metavar="FILE", help="write the table there too")
    options = parser.parse_args(argv)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        raise UserError(f"{unknown[0]}: no such benchmark; choose from {', '.join(BENCHMARKS)}")
    if options.rounds < 1:
        raise UserError(f"--rounds {options.rounds}: must be at least 1")
    rows = []
    for name in options.names or BENCHMARKS:
        print(f"running {name}", file=sys.stderr, flush=True)
        rows += run_one(name, options.rounds, options.device)
    finish(rows, options.markdown)


def run_one(name, rounds, device_name="cpu"):
    """The rows of one benchmark; off the CPU they have no gates."""
    import torch

    from utils.device import resolve_device

    torch.set_num_threads(1)
    module = importlib.import_module(f"benchmarks.{name}")
    if name not in ON_DEVICE:
        return module.run(rounds)
    device = resolve_device(device_name)
    rows = module.run(rounds, device)
    return rows if device.type == "cpu" else [replace(row, gate=None) for row in rows]


def finish(rows, markdown=None):
    """Print the table, write it as Markdown if a file is named, and exit with 1 if a gate fails."""
    from benchmarks.measure import as_markdown, as_text
    from utils.io.files import atomic_write

    print(as_text(rows))
    if markdown:
        with atomic_write(Path(markdown)) as temporary:
            temporary.write_text(as_markdown(rows), encoding="utf-8")
    failed = [row.what for row in rows if row.passes() is False]
    if failed:
        print(f"{len(failed)} gates failed: {'; '.join(failed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
