"""Timing two ways of doing one thing against each other, and the table that says whether ours is good enough.

Both ways run in one process and take turns (A B, then B A), so that a busy machine slows both. What counts is CPU
time, which neighbors on a shared machine hardly change; on CUDA it is the device's own clock.
"""
import ctypes
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHORTEST_S = 0.05  # quicker calls are timed many at a time: a single one would be lost in the clock's own cost


@dataclass(frozen=True)
class Gate:
    """A limit on a row's ratio or on its own value, from above or below."""

    limit: float
    on_ratio: bool
    at_least: bool


def ratio_at_least(limit):
    """Gate: the other way must cost at least `limit` times as much."""
    return Gate(limit, on_ratio=True, at_least=True)


def at_most(limit):
    """Gate: our own value must not be above `limit`, in the row's unit."""
    return Gate(limit, on_ratio=False, at_least=False)


def at_least(limit):
    """Gate: our own value must not be below `limit`, in the row's unit."""
    return Gate(limit, on_ratio=False, at_least=True)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    what: the claim in words; ours, other: values in `unit` (other None: nothing to compare with); gate: Gate or None;
    ratio: median over rounds of other / ours, or None to take it from the two values; beside: the other way in words.
    """

    what: str
    ours: float
    other: float | None
    unit: str
    gate: Gate | None = None
    ratio: float | None = None
    beside: str = ""

    def times(self):
        """How many times ours the other's value is; None without one or where either is 0."""
        if self.ratio is None and self.other and self.ours:
            return self.other / self.ours
        return self.ratio

    def passes(self):
        """True or False; None where there is no gate. A value that is not a number never passes."""
        if self.gate is None:
            return None
        value = self.times() if self.gate.on_ratio else self.ours
        if value is None:
            return False
        return value >= self.gate.limit if self.gate.at_least else value <= self.gate.limit


def seconds(function, device=None):
    """What one call costs.

    Args:
        function: called without arguments.
        device: torch.device the work runs on, or None for the CPU.
    Returns:
        float, s: CPU time of this process; on CUDA the time between two events on the device; on MPS the time on the
        clock until the device is done, for want of anything better.
    """
    if device is not None and device.type == "cuda":
        import torch

        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        function()
        after.record()
        torch.cuda.synchronize()
        return before.elapsed_time(after) / 1000
    if device is not None and device.type == "mps":
        import torch

        torch.mps.synchronize()
        started = time.perf_counter()
        function()
        torch.mps.synchronize()
        return time.perf_counter() - started
    started = time.process_time()
    function()
    return time.process_time() - started


def compare(what, ours, other, rounds, gate=None, device=None, beside=""):
    """Time two functions in turns and make a Row of it, in milliseconds.

    Args:
        what, gate, beside: see Row.
        ours, other: functions without arguments that do the same work.
        rounds: how often each is timed; the first call of each only warms up.
        device: as in `seconds`.
    Returns:
        Row with the medians of both and the median of the rounds' ratios.
    """
    functions, times = (ours, other), ([], [])
    repeats = []
    for function in functions:
        function()
        repeats.append(max(1, round(SHORTEST_S / max(seconds(function, device), 1e-6))))
    for number in range(rounds):
        for which in ((0, 1), (1, 0))[number % 2]:
            times[which].append(seconds(lambda: [functions[which]() for _ in range(repeats[which])], device)
                                / repeats[which])
    ratio = statistics.median(b / a for a, b in zip(*times))
    return Row(what, *(1000 * statistics.median(each) for each in times), "ms", gate, ratio, beside)


def extra_memory_mb(function):
    """How far this process's memory rises above its present level while `function()` runs, in MB (2^20 bytes).

    Meant for a fresh process, after one small call that loads code: memory that an earlier call has left to the
    allocator would be used again unseen.
    """
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what the allocator keeps for later goes back to the system
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts again from the present level
        before = memory_mb("VmRSS")
    except (OSError, AttributeError):  # no Linux, or its C library is another one
        before = memory_mb()
    function()
    return memory_mb() - before


def memory_mb(field="VmHWM"):
    """Peak (VmHWM) or present (VmRSS) memory of this process in MB; off Linux always the peak.

    Not getrusage where /proc is there: its peak includes that of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def in_child(*arguments):
    """The last line that `python <arguments>` prints, run in the repository's folder.

    Raises:
        RuntimeError: it failed; with what it wrote to stderr.
    """
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{' '.join(map(str, arguments))[:200]}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


HEADER = ("what", "ours", "the other", "ratio", "gate", "")


def cells(row):
    """A Row as the six texts of its line."""
    def value(number):
        return "-" if number is None else f"{number:.3g} {row.unit}".strip() if abs(number) < 1e3 else (
            f"{number:,.0f} {row.unit}".strip())

    gate, times = "-", row.times()
    if row.gate:
        gate = f"{'>=' if row.gate.at_least else '<='} {row.gate.limit:g}"
        gate += "x" if row.gate.on_ratio else f" {row.unit}".rstrip()
    other = value(row.other) + (f" ({row.beside})" if row.beside else "")
    ratio = "-" if times is None else f"{times:,.0f}x" if times >= 100 else f"{times:.3g}x"
    verdict = {None: "stated", True: "pass", False: "FAIL"}[row.passes()]
    return row.what, value(row.ours), other, ratio, gate, verdict


def as_text(rows):
    """Rows as one aligned table."""
    lines = [HEADER] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines)


def as_markdown(rows):
    """Rows as a Markdown table."""
    lines = [HEADER, ("---",) * len(HEADER)] + [cells(row) for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
