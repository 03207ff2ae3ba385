"""The short forms of tests/stress: a few kills, a hundred epochs."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def stress(name, *options):
    done = subprocess.run([sys.executable, "-m", f"tests.stress.{name}", *map(str, options)], cwd=ROOT, capture_output=True,
                          text=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_whatever_is_killed_leaves_whole_files_and_ends_equal_to_an_unbroken_run():
    said = stress("kill", "--rounds", 6, "--most", 2)
    counts = [int(number) for number in re.findall(r"\d+", said)]
    assert counts[0] == 6 and "every end equal" in said


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc is Linux's")
def test_memory_stays_flat_over_many_epochs_and_no_file_stays_open():
    """The short form: time for an object is too noisy to be judged beside other tests."""
    assert re.match(r"120 epochs: \d+ -> \d+ MB", stress("soak", "--objects", 0, "--prepared", 0, "--epochs", 120))
