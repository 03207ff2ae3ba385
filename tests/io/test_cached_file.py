"""Results in files: made once, and again where a file is damaged."""
import numpy as np
import pytest

from utils.io.cached_file import cached_npz, read_npz


def test_a_result_is_made_once_and_again_where_the_file_is_absent_cut_short_or_changed_within(tmp_path):
    path, calls = tmp_path / "folder" / "result.npz", []

    def make():
        calls.append(0)
        return {"numbers": np.arange(1000, dtype=np.float32), "name": np.array("ball")}

    for _ in range(2):
        arrays = cached_npz(path, make)
        assert (arrays["numbers"] == np.arange(1000)).all() and str(arrays["name"]) == "ball"
    assert len(calls) == 1
    whole = path.read_bytes()
    spot = whole.index(np.float32(500).tobytes())
    for damaged in (b"", whole[:1000], whole[:spot] + b"\xff" + whole[spot + 1:]):
        path.write_bytes(damaged)
        assert read_npz(path) is None
        assert (cached_npz(path, make)["numbers"] == np.arange(1000)).all()
    assert len(calls) == 4 and path.read_bytes() == whole


def test_some_arrays_can_be_asked_for_and_a_file_that_lacks_one_is_made_again(tmp_path):
    path = tmp_path / "result.npz"
    np.savez(path, old=np.zeros(1))
    assert cached_npz(path, lambda: {"a": np.ones(1), "b": np.zeros(1)}, ("a",)).keys() == {"a"}
    assert read_npz(path).keys() == {"a", "b"} and read_npz(tmp_path / "none.npz") is None


def test_what_making_raises_passes_and_leaves_no_file(tmp_path):
    def fail():
        raise KeyError("front")

    with pytest.raises(KeyError):
        cached_npz(tmp_path / "result.npz", fail)
    assert not list(tmp_path.iterdir())
