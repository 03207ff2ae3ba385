"""Split files: read as written, and a line of another form is named."""
import pytest

from config import UserError
from utils.io.split_file import read_split, write_split


def test_a_split_is_read_as_it_was_written(tmp_path):
    sides = {"b": "train", "a": "test", "c": "validation"}
    write_split(tmp_path / "split.txt", sides, "one\ntwo")
    assert read_split(tmp_path / "split.txt") == sides
    assert (tmp_path / "split.txt").read_text().splitlines()[:3] == ["# one", "# two", "a test"]


def test_tables_and_comments_are_read_too(tmp_path):
    (tmp_path / "split.csv").write_text("id,split\nshoe,validation  # chosen by hand\nhat, test\n\ncup train\n")
    assert read_split(tmp_path / "split.csv") == {"shoe": "validation", "hat": "test", "cup": "train"}


@pytest.mark.parametrize("text, words", [("a train\nb dev\n", "line 2: expected"), ("a\n", "line 1: expected"),
                                         ("\na b c\n", "line 2: expected"),
                                         ("a train\na test\n", "line 2: a stands in an earlier line")])
def test_a_line_of_another_form_is_refused_by_its_number(text, words, tmp_path):
    (tmp_path / "split.txt").write_text(text)
    with pytest.raises(UserError, match=f"split.txt, {words}"):
        read_split(tmp_path / "split.txt")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="none.txt: cannot be read as a split file .No such file"):
        read_split(tmp_path / "none.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00train")
    with pytest.raises(UserError, match="binary.txt: cannot be read as a split file .not a text"):
        read_split(tmp_path / "binary.txt")
