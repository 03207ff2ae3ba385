"""The lock that keeps two runs out of one folder: held by a process, not by a file that is there."""
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from config import UserError
from utils.io.run_lock import run_lock

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks are POSIX's")
HOLD = """
import sys, time
from utils.io.run_lock import run_lock
with run_lock(sys.argv[1], sys.argv[2], "wait"):
    print("held", flush=True)
    time.sleep(60)
"""


def in_another_process(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], cwd=ROOT,
                            stdout=subprocess.PIPE, text=True)


def test_a_lock_keeps_others_out_names_its_owner_and_goes_with_it(tmp_path):
    other = in_another_process(HOLD, tmp_path / "new", "geometry")
    assert other.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"another run is writing here .process {other.pid}.; wait for it"):
        with run_lock(tmp_path / "new", "geometry", "wait for it"):
            raise AssertionError("two at once")
    with run_lock(tmp_path / "new", "texture", "wait for it"):
        pass  # another stage of training
    other.kill()
    other.wait()
    with run_lock(tmp_path / "new", "geometry", "wait for it"):
        assert (tmp_path / "new" / ".geometry.lock").read_text() == f"{os.getpid()}\n"
    assert not list((tmp_path / "new").iterdir())


def test_what_goes_wrong_inside_lets_the_lock_go(tmp_path):
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path, "geometry", ""):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_folder_made_for_the_lock_goes_with_it_unless_something_else_was_written(tmp_path):
    with run_lock(tmp_path / "new" / "run", "geometry", ""):
        pass
    assert not list(tmp_path.iterdir())
    with run_lock(tmp_path / "run", "geometry", ""):
        (tmp_path / "run" / "geometry_last.pth").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["geometry_last.pth"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*file"), run_lock(tmp_path / "file", "geometry", ""):
        pass
