"""Files are whole or untouched; keys follow content and settings."""
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from config import UserError
from utils.io.files import atomic_write, check_writable, content_hash, no_empty_folders, replaced_together


def test_atomic_write_writes_the_target_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "folder" / "result.txt"
    with atomic_write(target) as temporary:
        assert temporary.suffix == ".txt" and temporary.parent == target.parent
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["result.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_atomic_write_keeps_the_old_content_when_the_block_fails(tmp_path, error):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(error):
        with atomic_write(target) as temporary:
            temporary.write_text("half a")
            raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_atomic_write_tolerates_a_block_that_removed_its_file_and_failed(tmp_path):
    with pytest.raises(ValueError):
        with atomic_write(tmp_path / "result.txt") as temporary:
            temporary.unlink()
            raise ValueError
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_atomic_write_gives_the_permissions_of_an_ordinary_file(tmp_path):
    with atomic_write(tmp_path / "result.txt") as temporary:
        temporary.write_text("x")
    (tmp_path / "plain.txt").write_text("x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("result.txt", "plain.txt")]
    assert modes[0] == modes[1]


def test_atomic_write_names_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file"):
        with atomic_write(tmp_path / "file" / "result.txt"):
            pass


def test_atomic_write_onto_a_folder_is_an_error_that_names_it(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="taken"):
        with atomic_write(tmp_path / "taken") as temporary:
            temporary.write_text("x")
    assert os.listdir(tmp_path) == ["taken"]


@pytest.fixture
def largest_file():
    """Function: no file of this process may grow beyond so many bytes, as on a full disk."""
    resource = pytest.importorskip("resource", reason="limits are POSIX's")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


NOISE = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
WRITERS = {
    "text": lambda path: path.write_text("x" * 200_000),
    "array": lambda path: np.save(path, NOISE),
    "arrays": lambda path: np.savez(path, noise=NOISE),
    "png": lambda path: Image.fromarray(NOISE).save(path),
    "jpeg": lambda path: Image.fromarray(NOISE).save(path, quality=98),
    "tensors": lambda path: torch.save({"noise": torch.from_numpy(NOISE)}, path),
}


@pytest.mark.parametrize("suffix, kind", [(".txt", "text"), (".npy", "array"), (".npz", "arrays"), (".png", "png"),
                                          (".jpg", "jpeg"), (".pth", "tensors")])
def test_a_full_disk_is_one_line_that_names_the_file_and_keeps_the_old_one(tmp_path, largest_file, suffix, kind):
    target = tmp_path / f"result{suffix}"
    target.write_text("old")
    largest_file(40_000)
    with pytest.raises(UserError, match=f"cannot write .*result{suffix}: File too large"):
        with atomic_write(target) as temporary:
            WRITERS[kind](temporary)
    assert target.read_text() == "old" and os.listdir(tmp_path) == [target.name]


def test_errors_that_are_not_the_disks_pass_as_they_are(tmp_path):
    for error in (RuntimeError("of another kind"), OSError("without a number"), FileNotFoundError(2, "gone")):
        with pytest.raises(type(error)) as caught:
            with atomic_write(tmp_path / "result.txt"):
                raise error
        assert caught.value is error
    assert os.listdir(tmp_path) == []


def test_the_process_wide_umask_is_never_changed_by_a_write(tmp_path, monkeypatch):
    def refuse(mask):
        raise AssertionError("another thread may be making a file")

    monkeypatch.setattr(os, "umask", refuse)
    threads = [threading.Thread(target=lambda n=n: _write(tmp_path / f"{n}.txt")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(os.listdir(tmp_path)) == [f"{n}.txt" for n in range(4)]


def _write(path):
    with atomic_write(path) as temporary:
        temporary.write_text("x")


def test_a_durable_write_reaches_the_disk_before_its_name_does(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: events.append("sync") or sync(handle))
    monkeypatch.setattr(os, "replace", lambda *names: events.append("rename") or replace(*names))
    _write(tmp_path / "plain.txt")
    assert events == ["rename"]
    with atomic_write(tmp_path / "checkpoint.pth", durable=True) as temporary:
        temporary.write_text("whole")
    assert events[1:3] == ["sync", "rename"] and (tmp_path / "checkpoint.pth").read_text() == "whole"


def test_content_hash_is_stable_and_short(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    key = content_hash([path], 4096, "even", (1, 2))
    assert key == content_hash([str(path)], 4096, "even", (1, 2))
    assert len(key) == 16 and int(key, 16) >= 0


def test_content_hash_changes_with_content_settings_name_and_boundary(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"bcd")
    b.write_bytes(b"")
    keys = [content_hash([a], 1), content_hash([a], 2), content_hash([a], "1"), content_hash([a]),
            content_hash([a, b], 1)]
    a.write_bytes(b"bce")
    keys.append(content_hash([a], 1))
    a.rename(tmp_path / "c")
    keys.append(content_hash([tmp_path / "c"], 1))
    # The same bytes in a row, split differently between name and content of two files.
    for first, second in ((b"xb", b""), (b"x", b"b")):
        a.write_bytes(first)
        b.write_bytes(second)
        keys.append(content_hash([a, b]))
    assert len(set(keys)) == len(keys)


def test_content_hash_does_not_depend_on_the_folder(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.obj").write_bytes(b"v 0 0 0")
    assert content_hash([tmp_path / "one" / "model.obj"]) == content_hash([tmp_path / "two" / "model.obj"])


def test_a_folder_that_cannot_be_written_to_is_named_before_any_work(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir()), "it stays only once something is written into it"
    (tmp_path / "mine").mkdir()
    check_writable(tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="file"):
        check_writable(tmp_path / "file")


@pytest.mark.parametrize("name, written, left", [("new/deep", False, False), ("new/deep", True, True), ("mine", False, True)])
def test_of_new_folders_those_that_end_empty_go(name, written, left, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(ZeroDivisionError), no_empty_folders(tmp_path / name):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        if written:
            (tmp_path / name / "result").touch()
        raise ZeroDivisionError
    assert (tmp_path / name).exists() == left and (tmp_path / "new").exists() == written


# ---- Files that belong together


def write_pair(folder, text):
    (folder / "a.obj").write_text(text)
    (folder / "a.png").write_text(text)


def test_files_are_replaced_together_or_not_at_all(tmp_path):
    folder = tmp_path / "result"
    with replaced_together(folder) as new:
        write_pair(new, "first")
        assert not (folder / "a.obj").exists(), "not before all is written"
    with pytest.raises(ZeroDivisionError), replaced_together(folder) as new:
        write_pair(new, "second")
        raise ZeroDivisionError
    assert sorted(os.listdir(folder)) == ["a.obj", "a.png"] and (folder / "a.obj").read_text() == "first"
    (folder / "a.png").unlink()
    (folder / "a.png").mkdir()
    with pytest.raises(UserError, match="a.png: Is a directory"), replaced_together(folder) as new:
        write_pair(new, "third")
    assert (folder / "a.obj").read_text() == "first", "looked at before the first is replaced"


def test_a_folder_made_for_what_failed_is_removed_again_and_an_old_one_stays(tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("old", "new"):
        with pytest.raises(ZeroDivisionError), replaced_together(tmp_path / name):
            raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["old"]


def test_a_file_that_names_another_appears_after_it(tmp_path, monkeypatch):
    order, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: order.append(Path(target).name) or replace(source, target))
    with replaced_together(tmp_path / "result") as new:
        for name in ("z.png", "m.mtl", "a.obj"):
            (new / name).write_text("x")
            os.utime(new / name, ns=(len(order), 10**9 * "zma".index(name[0])))
    assert order == ["z.png", "m.mtl", "a.obj"]
