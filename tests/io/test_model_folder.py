"""A model's folder: what is written comes back, and what is damaged or boastful is named before it is believed."""
import json

import pytest
import torch

from config import UserError
from utils.io.checkpoint import load_checkpoint
from utils.io.model_folder import (
    CONFIG_FILE,
    LARGEST_CONFIG,
    WEIGHTS_FILE,
    is_model_folder,
    local_model,
    read_model_folder,
    write_model_folder,
)


@pytest.fixture
def folder(tmp_path):
    """A folder with a small content of plain types and tensors."""
    write_model_folder(tmp_path / "m", {"kind": "field", "sizes": [1, 2], "note": "größer",
                                        "weights": {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2).half()}})
    return tmp_path / "m"


def test_plain_types_and_tensors_come_back_and_an_independent_reader_agrees(folder):
    from safetensors import safe_open

    data = read_model_folder(folder)
    assert is_model_folder(folder) and (data["kind"], data["sizes"], data["note"]) == ("field", [1, 2], "größer")
    assert data["weights"]["a"].tolist() == [[0, 3], [1, 4], [2, 5]] and data["weights"]["b"].dtype == torch.float16
    with safe_open(folder / WEIGHTS_FILE, "pt") as file:
        assert sorted(file.keys()) == ["a", "b"]


@pytest.mark.parametrize("file, content, message", [
    (CONFIG_FILE, b"{not json", r"config\.json: is damaged"),
    (CONFIG_FILE, b"[1, 2]", "no object in braces"),
    (CONFIG_FILE, b"[" * 100_000, r"config\.json: is damaged"),
    (CONFIG_FILE, b'{"a": "\xff"}', r"config\.json: is damaged"),
    (CONFIG_FILE, b" " * (LARGEST_CONFIG + 1), "4 MB, which no model needs"),
    (WEIGHTS_FILE, b"", r"model\.safetensors: is damaged"),
    (WEIGHTS_FILE, (1 << 60).to_bytes(8, "little") + b"{}", r"model\.safetensors: is damaged"),
    (WEIGHTS_FILE, b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.", r"model\.safetensors: is damaged"),
])
def test_a_damaged_or_oversized_file_is_named_in_one_line(folder, file, content, message):
    (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_model_folder(folder)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert file == CONFIG_FILE or str(error.value).endswith("no safetensors file; copy or download it again")


def test_missing_weights_are_named(folder):
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: is missing"):
        read_model_folder(folder)


def test_a_folder_of_something_else_is_no_checkpoint(folder):
    with pytest.raises(UserError, match="is no checkpoint of this version"):
        load_checkpoint(folder, "field")
    (folder / CONFIG_FILE).write_text(json.dumps({"format": 1}))
    with pytest.raises(UserError, match="is no checkpoint of this version"):
        load_checkpoint(folder, "field")


def test_a_path_stays_a_path_and_the_hub_is_asked_only_by_its_prefix(tmp_path, monkeypatch):
    import huggingface_hub

    asked = []

    def fetch(name, **options):
        asked.append((name, options["revision"], tuple(options["allow_patterns"])))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert str(local_model("owner/name")) == "owner/name" and not asked
    assert local_model("hf://owner/name", "v1") == tmp_path
    assert asked == [("owner/name", "v1", (CONFIG_FILE, WEIGHTS_FILE))], "two files, neither of which can hold code"


def test_a_hub_out_of_reach_is_one_line():
    with pytest.raises(UserError, match="hf://owner/name: cannot be fetched from the hub") as error:  # tests are offline
        local_model("hf://owner/name")
    assert "\n" not in str(error.value)
