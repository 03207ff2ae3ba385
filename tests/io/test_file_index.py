import json
import os
import time

import pytest

from utils.io.file_index import cached_hash, read_index, write_index
from utils.io.files import content_hash


def aged(path, content, seconds=60):
    """Write a file as if that many seconds ago."""
    path.write_bytes(content)
    then = time.time_ns() - seconds * 10**9
    os.utime(path, ns=(then, then))
    return path


def refuse():
    raise AssertionError("files were listed, and so read, again")


def test_unchanged_files_are_known_without_being_read_also_after_the_index_was_written(tmp_path):
    mesh, texture = aged(tmp_path / "a.obj", b"v 0 0 0"), aged(tmp_path / "a.png", b"image")
    index = {}
    key = cached_hash(index, mesh, lambda: [mesh, texture])
    assert key == content_hash([mesh, texture])
    write_index(tmp_path / "index.json", index)
    assert cached_hash(read_index(tmp_path / "index.json"), mesh, refuse) == key


@pytest.mark.parametrize("change", [
    lambda path: aged(path, b"other content"),  # another size
    lambda path: aged(path, b"IMAGE", 30),  # another time
    lambda path: path.unlink()])
def test_a_changed_or_absent_file_is_read_again(tmp_path, change):
    mesh, texture = aged(tmp_path / "a.obj", b"v 0 0 0"), aged(tmp_path / "a.png", b"image")
    index = {}
    key = cached_hash(index, mesh, lambda: [mesh, texture])
    change(texture)
    assert cached_hash(index, mesh, lambda: [path for path in (mesh, texture) if path.exists()]) != key


def test_a_file_changed_a_moment_ago_is_not_trusted(tmp_path):
    mesh = tmp_path / "a.obj"
    mesh.write_bytes(b"v 0 0 0")
    index = {}
    cached_hash(index, mesh, lambda: [mesh])
    assert index == {}


def test_a_damaged_index_is_as_good_as_none(tmp_path):
    mesh = aged(tmp_path / "a.obj", b"v 0 0 0")
    for text in ("", "[1]", "{", json.dumps({str(mesh): 3}), json.dumps({str(mesh): {"files": []}})):
        (tmp_path / "index.json").write_text(text)
        assert cached_hash(read_index(tmp_path / "index.json"), mesh, lambda: [mesh]) == content_hash([mesh])
    assert read_index(tmp_path / "absent.json") == {}
