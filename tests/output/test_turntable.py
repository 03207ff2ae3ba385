"""A turn of a result, frame by frame."""
import numpy as np
from PIL import Image, ImageSequence

from utils.output.turntable import FRAMES, SIZE, write_turntable


def test_it_turns_once_without_being_cut_off_and_repeats(result, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.output.turntable.FRAMES", 8)
    monkeypatch.setattr("utils.output.turntable.SIZE", 96)
    write_turntable(tmp_path / "turn.webp", result.mesh.as_mesh())
    write_turntable(tmp_path / "again.webp", result.mesh.as_mesh())
    assert (tmp_path / "turn.webp").read_bytes() == (tmp_path / "again.webp").read_bytes()
    with Image.open(tmp_path / "turn.webp") as movie:
        assert (movie.format, movie.size, movie.n_frames, movie.info["loop"]) == ("WEBP", (96, 96), 8, 0)
        frames = np.stack([np.asarray(frame.convert("RGB"), np.float32) for frame in ImageSequence.Iterator(movie)])
    border = np.concatenate([frames[:, [0, -1]].reshape(-1, 3), frames[:, :, [0, -1]].reshape(-1, 3)])
    assert border.min() > 240, "white all around"
    wide = [np.ptp(np.nonzero((frame < 200).any(axis=(0, 2)))[0]) for frame in frames]
    assert wide[2] > 1.6 * wide[0] and wide[6] > 1.6 * wide[4], "its side is longer than its front"
    assert np.abs(frames[0] - frames[4]).mean() > 5, "front and back differ"
    assert FRAMES == 36 and SIZE == 384
