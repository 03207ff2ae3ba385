"""How long inference.py takes until it could begin, beside importing what such scripts usually import.

Every run is a fresh process; what counts is its CPU time, reported by itself.
"""
import json
import statistics
import tempfile

from benchmarks.measure import Row, at_most, in_child

USUAL = "from transformers import AutoModel, AutoImageProcessor\nimport trimesh, scipy.spatial, torch\n"
HEAVY = ("torch", "numpy", "scipy", "trimesh", "transformers", "accelerate", "PIL")
UNUSED = ("trimesh", "accelerate", "skimage", "torchvision", "tqdm")  # by a run that writes OBJ, atlas kept

# Runs inference.py with the given options up to the line that says it is ready, or to its end.
RUN = """
import builtins, contextlib, io, json, runpy, sys, time
say, ready = print, False
def stop_when_ready(*words, **options):
    global ready
    say(*words, **options)
    if "ready in" in " ".join(map(str, words)):
        ready = True
        raise SystemExit(0)
builtins.print = stop_when_ready
sys.argv = ["inference.py", *sys.argv[1:]]
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    try:
        runpy.run_path("inference.py", run_name="__main__")
    except SystemExit as stop:
        code = stop.code or 0
"""
REPORT = """
loaded = sorted({name.split(".")[0] for name in sys.modules})
builtins.print = say
say(json.dumps({"seconds": time.process_time(), "loaded": loaded, "code": code, "ready": ready}))
"""
ENCODER = "import sys, json, time, builtins\nsay, code, ready = print, 0, False\nfrom transformers import Dinov2Model\n"
IMPORTS = "import sys, json, time, builtins\nsay, code, ready = print, 0, False\n" + USUAL


def child(code, *argv):
    """What a fresh Python reports after `code`: CPU seconds, names of the packages loaded, exit code."""
    return json.loads(in_child("-c", code + REPORT, *argv))


def until_ready(options):
    """`child` of inference.py up to its line that says it is ready.

    Raises:
        RuntimeError: it ended without saying so: what an early error costs must not pass for a quick start.
    """
    report = child(RUN, *options)
    if not report["ready"]:
        raise RuntimeError(f"inference.py ended with exit code {report['code']} before it was ready; run it by hand")
    return report


def run(rounds):
    """Rows: ready to run (stated), what --help and a mistyped option load, and what a run loads in vain."""
    with tempfile.TemporaryDirectory() as folder:
        options = ("--device", "cpu", "--output", folder)
        until_ready(options)  # warms the disk's cache
        pairs = []
        for number in range(rounds):
            turn = 1 if number % 2 == 0 else -1
            sides = (lambda: until_ready(options), lambda: child(IMPORTS))[::turn]
            pairs.append([side() for side in sides][::turn])
    ours, other = ([1000 * pair[i]["seconds"] for pair in pairs] for i in (0, 1))
    ready = Row("inference.py until its models are ready", statistics.median(ours), statistics.median(other), "ms",
                ratio=statistics.median(b / a for a, b in zip(ours, other)), beside="usual imports alone")
    in_vain = set(pairs[0][0]["loaded"]) & set(UNUSED) - set(child(ENCODER)["loaded"])
    rows = [ready, Row("packages it loads in vain, transformers' own aside", len(in_vain), None, "", at_most(0),
                       beside=", ".join(sorted(in_vain)))]
    for what, argv, expected in (("--help", ("--help",), 0), ("a mistyped option", ("--outptu", "x"), 2)):
        report = child(RUN, *argv)
        if report["code"] != expected:
            raise RuntimeError(f"inference.py {' '.join(argv)}: exit code {report['code']} instead of {expected}")
        rows.append(Row(f"heavy packages that {what} loads", len(set(report["loaded"]) & set(HEAVY)), None, "",
                        at_most(0)))
        rows.append(Row(f"{what}, until it ends", 1000 * report["seconds"], statistics.median(other), "ms"))
    return rows
