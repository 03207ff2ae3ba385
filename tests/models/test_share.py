"""Sharing: a model that went through a folder answers as before, and a folder that lies is refused."""
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import inference
from config import PRETRAINED_DIR, UserError
from models import share
from models.field_model import FieldModel
from models.share import SharedFieldModel, SharedGeometryModel, SharedTextureModel, table_of_results
from models.view_cameras import view_cameras
from utils.io.checkpoint import load_checkpoint
from utils.io.files import content_hash

ROOT = Path(__file__).parents[2]
SHIPPED = {SharedFieldModel: "geometry_field", SharedGeometryModel: "geometry", SharedTextureModel: "texture"}
BOX = torch.tensor([[[-1.0, -1, -1], [1, 1, 1]]])


def shipped(model_class):
    return ROOT / PRETRAINED_DIR / f"{SHIPPED[model_class]}_best.pth"


@torch.no_grad()
def answer(model):
    """What a model of any kind says of fixed images."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(model, FieldModel):
        maps, points = torch.rand(1, 6, 7, 32, 32, generator=generator), torch.rand(1, 50, 3, generator=generator) - 0.5
        return model(points, maps, view_cameras(1, "cpu"), BOX)[0]
    images = torch.rand(1, 6, 3, 56, 56, generator=generator)
    if isinstance(model, SharedTextureModel):
        return model(images, torch.rand(1, 50, 3, generator=generator) - 0.5)
    return model(images)


@pytest.fixture(scope="module")
def shared_field(tmp_path_factory):
    """The shipped field as a folder."""
    folder = tmp_path_factory.mktemp("shared") / "field"
    share.main([str(shipped(SharedFieldModel)), str(folder)])
    return folder


@pytest.fixture
def field_copy(shared_field, tmp_path):
    """A copy of it to tamper with, and a function that changes its config.json."""
    folder = tmp_path / "field"
    folder.mkdir()
    for path in shared_field.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())

    def change(**values):
        data = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(data | values | {
            "model_args": data["model_args"] | values.get("model_args", {})}))
    return folder, change


@pytest.mark.parametrize("model_class", [
    SharedFieldModel, *(pytest.param(other, marks=pytest.mark.slow) for other in (SharedGeometryModel, SharedTextureModel))],
    ids=lambda value: value.kind)
def test_a_model_that_went_through_a_folder_gives_equal_outputs(model_class, tmp_path):
    first = model_class.from_checkpoint(shipped(model_class))
    first.save_pretrained(tmp_path / "once")
    second = model_class.from_pretrained(tmp_path / "once")
    assert torch.equal(answer(first), answer(second)) and answer(first).std() > 0
    second.save_pretrained(tmp_path / "twice")
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


def test_a_folder_takes_the_place_of_its_checkpoint(shared_field):
    one, two = (load_checkpoint(path, "field") for path in (shipped(SharedFieldModel), shared_field))
    assert two["validation_ids"] == one["validation_ids"] and two["score"] == one["score"]
    reconstructor = inference.Reconstructor(shared_field, device="cpu")
    assert reconstructor.sizes == inference.FIELD_SIZES
    with pytest.raises(UserError, match="holds a field model where a texture model is needed"):
        load_checkpoint(shared_field, "texture")


@pytest.mark.parametrize("changes, message", [
    ({"model_args": {"grid_size": 10**9}}, "grid_size 1000000000 is not from 0 to 256"),
    ({"model_args": {"view_width": 10**12}}, "weight .* has shape|sizes fit no"),
    ({"model_args": {"volume_widths": [8] * 100_000}}, "100000 entries"),
    ({"model_args": {"volume_widths": "os.system"}}, "sizes fit no field model"),
    ({"model_args": {"code": "import os"}}, "sizes fit no field model"),
    ({"image_size": 10**9}, "is no checkpoint of this version"),
    ({"view_names": 5}, "is no checkpoint of this version"),
    ({"kind": ["field"]}, "is no checkpoint of this version"),
])
def test_a_configuration_that_lies_is_refused_in_one_line(field_copy, changes, message):
    folder, change = field_copy
    change(**changes)
    with pytest.raises(UserError, match=message) as error:
        SharedFieldModel.from_pretrained(folder)
    assert "\n" not in str(error.value)


def test_weights_that_are_missing_or_too_many_or_not_finite_are_refused(field_copy):
    folder, _ = field_copy
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[0]
    for changed, message in (({key: value for key, value in weights.items() if key != name}, f"{name} is missing"),
                             (weights | {"more": torch.ones(1)}, "more is unknown"),
                             (weights | {name: weights[name] * torch.nan}, "not finite")):
        save_file(changed, folder / "model.safetensors")
        with pytest.raises(UserError, match=message):
            SharedFieldModel.from_pretrained(folder)


def test_the_card_holds_the_table_of_the_checkpoint_that_was_judged(tmp_path, run_script_main):
    checkpoint, results = shipped(SharedFieldModel), tmp_path / "results"
    results.mkdir()
    (results / "table.md").write_text("- objects: 27\n\n## all objects\n\n| method | F@0.02 |\n| --- | --- |\n"
                                      "| field | 0.788 |\n")
    summary = {"checkpoints": {"x.pth": content_hash([checkpoint])}}
    (results / "summary.json").write_text(json.dumps(summary))
    code, out, _ = run_script_main(share, checkpoint, tmp_path / "m", "--results", results)
    card = (tmp_path / "m" / "README.md").read_text()
    assert code == 0 and "23.6 MB" in out
    assert card.startswith("---\n") and "license: mit" in card and "| field | 0.788 |" in card and "### all objects" in card
    assert "Trained on 306 objects. No validation score" in card
    with pytest.raises(UserError, match="judges another checkpoint"):
        table_of_results(results, shipped(SharedGeometryModel))
    with pytest.raises(UserError, match="holds no result"):
        table_of_results(tmp_path, checkpoint)
    code, _, _ = run_script_main(share, checkpoint, tmp_path / "m")  # again, over what is there
    assert code == 0 and "Not evaluated yet" in (tmp_path / "m" / "README.md").read_text()


def test_a_folder_with_other_files_and_a_missing_checkpoint_are_refused(tmp_path, run_script_main):
    (tmp_path / "README.md").write_text("mine")
    code, _, err = run_script_main(share, shipped(SharedFieldModel), tmp_path)
    assert code == 2 and "holds other files" in err and (tmp_path / "README.md").read_text() == "mine"
    code, _, err = run_script_main(share, tmp_path / "gone.pth", tmp_path / "m")
    assert code == 2 and "gone.pth: no such checkpoint" in err and not (tmp_path / "m").exists()


def test_a_name_that_is_no_folder_is_asked_of_the_hub():
    with pytest.raises(UserError, match="hf://owner/name: cannot be fetched"):
        SharedFieldModel.from_pretrained("owner/name")
