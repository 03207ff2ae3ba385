"""Files are whole or untouched; keys follow content and settings."""
import os
import stat

import pytest

from config import UserError
from utils.io.files import atomic_write, content_hash


def test_replacing_writes_the_target_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "folder" / "result.txt"
    with atomic_write(target) as temporary:
        assert temporary.suffix == ".txt" and temporary.parent == target.parent
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["result.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_replacing_keeps_the_old_content_when_the_block_fails(tmp_path, error):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(error):
        with atomic_write(target) as temporary:
            temporary.write_text("half a")
            raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_replacing_tolerates_a_block_that_removed_its_file_and_failed(tmp_path):
    with pytest.raises(ValueError):
        with atomic_write(tmp_path / "result.txt") as temporary:
            temporary.unlink()
            raise ValueError
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_replacing_gives_the_permissions_of_an_ordinary_file(tmp_path):
    with atomic_write(tmp_path / "result.txt") as temporary:
        temporary.write_text("x")
    (tmp_path / "plain.txt").write_text("x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("result.txt", "plain.txt")]
    assert modes[0] == modes[1]


def test_replacing_names_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file"):
        with atomic_write(tmp_path / "file" / "result.txt"):
            pass


def test_replacing_onto_a_folder_is_an_error_that_names_it(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="taken"):
        with atomic_write(tmp_path / "taken") as temporary:
            temporary.write_text("x")
    assert os.listdir(tmp_path) == ["taken"]


def test_content_key_is_stable_and_short(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    key = content_hash([path], 4096, "even", (1, 2))
    assert key == content_hash([str(path)], 4096, "even", (1, 2))
    assert len(key) == 16 and int(key, 16) >= 0


def test_content_key_changes_with_content_settings_name_and_boundary(tmp_path):
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


def test_content_key_does_not_depend_on_the_folder(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.obj").write_bytes(b"v 0 0 0")
    assert content_hash([tmp_path / "one" / "model.obj"]) == content_hash([tmp_path / "two" / "model.obj"])


def test_a_folder_that_cannot_be_written_to_is_named_before_any_work(tmp_path):
    from utils.io.files import check_writable

    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="file"):
        check_writable(tmp_path / "file")
