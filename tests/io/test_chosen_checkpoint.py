"""Which field is used where none is named."""
from pathlib import Path

import pytest
import torch

from models.field_model import load_field_model
from tests.test_bad_input_images import tiny_field
from utils.io.chosen_checkpoint import choose_geometry
from utils.io.files import content_hash

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("own, shipped, chosen", [(0.2, 0.3, "own"), (0.3, 0.3, "shipped"), (0.4, 0.3, "shipped"),
                                                  (None, 0.3, "shipped"), (0.2, None, "shipped")])
def test_your_own_field_is_used_once_it_beats_the_shipped_one_on_the_same_objects(own, shipped, chosen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tiny_field(tmp_path / "checkpoints" / "geometry_field_best.pth")
    data = torch.load(path, weights_only=True)
    content = content_hash([ROOT / "checkpoints" / "pretrained" / "geometry_field_best.pth"])
    judged = {"shipped_field": {"content": content, "score": shipped}} if shipped is not None else {}
    torch.save(data | {"score": own} | judged, path)
    found, why = choose_geometry()
    assert ("pretrained" in str(found)) == (chosen == "shipped") and chosen in why
    if chosen == "shipped":
        assert "--geometry_checkpoint checkpoints/geometry_field_best.pth takes your own" in why
    if own == 0.2 and shipped:
        torch.save(data | {"score": own, "shipped_field": {"content": "of an earlier one", "score": shipped}}, path)
        assert "was not compared" in choose_geometry()[1]


def test_your_own_damaged_field_is_said_and_the_shipped_one_is_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "geometry_field_best.pth").write_bytes(b"cut")
    path, why = choose_geometry()
    assert load_field_model(path) and "pretrained" in str(path) and "geometry_field_best.pth: is damaged" in why
