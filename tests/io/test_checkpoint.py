"""Checkpoints: whole, plain, strict; every damaged one is named."""
import re

import pytest
import torch
from torch import nn

import utils.io.checkpoint
from config import VIEW_NAMES, UserError
from models.geometry_model import load_geometry_model
from utils.io.checkpoint import FIELDS, load_checkpoint, load_weights, save_checkpoint, stored_weights


class Model(nn.Module):
    """Something with an encoder, as both stages have."""

    def __init__(self, stored=True):
        super().__init__()
        self.encoder, self.head = nn.Linear(2, 3), nn.Linear(3, 1)
        self.encoder.stored = stored


def save(path, model, kind="geometry", **changes):
    save_checkpoint(path, kind, **{"model_args": {"num_points": 4, "hidden": [8]}, "weights": stored_weights(model),
                                   "image_size": 56, "config": {"seed": 0}, "epoch": 3, "score": 0.25,
                                   "validation_ids": ["a", "b"]} | changes)
    return path


def test_what_is_saved_is_loaded_as_plain_types(tmp_path):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters())
    model.head(model.encoder(torch.ones(1, 2))).sum().backward()
    optimizer.step()
    path = save(tmp_path / "new folder" / "g.pth", model, optimizer=optimizer.state_dict(), step=7, start_score=None)
    data = torch.load(path, weights_only=True)
    assert set(FIELDS) | {"training_ids", "optimizer", "step", "start_score"} == set(data)
    assert data["view_names"] == list(VIEW_NAMES) and data["model_args"] == {"num_points": 4, "hidden": [8]}
    loaded = load_checkpoint(path, "geometry")
    assert (loaded["epoch"], loaded["score"], loaded["step"], loaded["validation_ids"]) == (3, 0.25, 7, ["a", "b"])
    again = Model()
    load_weights(again, loaded["weights"], path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    state = loaded["optimizer"]["state"][0]["exp_avg"]
    assert torch.equal(state, optimizer.state_dict()["state"][0]["exp_avg"])


def test_a_missing_file_names_itself_and_the_command_that_makes_it(tmp_path):
    for kind in ("geometry", "texture"):
        with pytest.raises(UserError, match=rf"none\.pth: no such checkpoint; make one with: python train_{kind}\.py"):
            load_checkpoint(tmp_path / "none.pth", kind)
    with pytest.raises(UserError, match="is a folder, not a checkpoint"):
        load_checkpoint(tmp_path, "geometry")


@pytest.mark.parametrize("kept", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_named(kept, tmp_path):
    path = save(tmp_path / "cut.pth", Model())
    content = path.read_bytes()
    path.write_bytes(content[:int(kept * len(content))])
    with pytest.raises(UserError, match=r"cut\.pth: is damaged or no checkpoint"):
        load_checkpoint(path, "geometry")


@pytest.mark.parametrize("content, said", [
    (b"", "it is empty"), (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer; run git lfs pull"),
    (b"\n<!DOCTYPE html><title>Sign in</title>", "it is a web page; download it again"),
    (b"<html>", "it is a web page; download it again"), (b"v 0 0 0\n", "it does not begin as one"),
    (bytes(5000), "it does not begin as one"),
    (None, "some of it is missing, changed or no part of a model; copy or download it again")])
def test_damage_is_told_in_a_users_words(content, said, tmp_path):
    path = save(tmp_path / "cut.pth", Model())
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(UserError) as refused:
        load_checkpoint(path, "geometry")
    assert str(refused.value).startswith(f"{path}: is damaged or no checkpoint ({said}")
    assert str(refused.value).endswith("; make one with: python train_geometry.py")
    assert not re.search(r"zip|pickl|archive|header|Error", str(refused.value), re.IGNORECASE)


def test_a_file_that_would_run_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return print, ("sprung",)

    torch.save({"format": 1, "trap": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(UserError, match=r"trap\.pth: is damaged or no checkpoint"):
        load_checkpoint(tmp_path / "trap.pth", "geometry")


def test_other_files_of_torch_are_no_checkpoints(tmp_path):
    whole = torch.load(save(tmp_path / "g.pth", Model()), weights_only=True)
    others = [torch.zeros(3), {}, [1, 2], whole | {"format": 0}, whole | {"view_names": 6},
              whole | {"image_size": 10**9}, whole | {"weights": []},
              {key: whole[key] for key in FIELDS if key != "model_args"}]
    for other in others:
        torch.save(other, tmp_path / "other.pth")
        with pytest.raises(UserError, match=r"other\.pth: is no checkpoint of this version"):
            load_checkpoint(tmp_path / "other.pth", "geometry")


def test_the_wrong_kind_and_other_views_are_refused(tmp_path):
    path = save(tmp_path / "t.pth", Model(), "texture")
    with pytest.raises(UserError, match=r"t\.pth: holds a texture model where a geometry model is needed"):
        load_checkpoint(path, "geometry")
    data = torch.load(path, weights_only=True)
    torch.save(data | {"view_names": ["front", "back"]}, path)
    with pytest.raises(UserError, match=r"t\.pth: was trained on the views \['front', 'back'\]"):
        load_checkpoint(path, "texture")


@pytest.mark.parametrize("break_it, message", [
    (lambda weights: weights.pop("head.bias"), r"weight head\.bias is missing"),
    (lambda weights: weights.update(extra=torch.zeros(1)), "weight extra is unknown"),
    (lambda weights: weights.update({"head.bias": torch.zeros(2)}),
     r"weight head\.bias has shape \(2,\).* needs \(1,\)"),
    (lambda weights: weights["encoder.weight"][0].fill_(float("nan")), r"weight encoder\.weight holds .*not finite"),
    (lambda weights: weights["head.weight"][0].fill_(float("inf")), r"weight head\.weight holds .*not finite"),
])
def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(break_it, message):
    model = Model()
    weights = {name: value.clone() + 1 for name, value in model.state_dict().items()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    break_it(weights)
    with pytest.raises(UserError, match=rf"my\.pth: {message}"):
        load_weights(model, weights, "my.pth")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_encoder_kept_by_name_is_neither_saved_nor_touched():
    model = Model(stored=False)
    weights = stored_weights(model)
    assert set(weights) == {"head.weight", "head.bias"}
    other = Model(stored=False)
    encoder = other.encoder.weight.clone()
    load_weights(other, weights, "my.pth")
    assert torch.equal(other.head.weight, model.head.weight) and torch.equal(other.encoder.weight, encoder)
    with pytest.raises(UserError, match="unknown"):
        load_weights(other, Model().state_dict(), "my.pth")


def test_saved_weights_are_a_copy_on_the_cpu_without_gradient():
    assert all(value.device.type == "cpu" and not value.requires_grad for value in stored_weights(Model()).values())


@pytest.mark.parametrize("half", [False, True])
def test_the_copy_command_leaves_out_the_training_state(half, tiny_geometry, tmp_path, run_script_main):
    source, target = tmp_path / "any_name.pth", tmp_path / "shared" / "copy.pth"
    torch.save(torch.load(tiny_geometry, weights_only=True) | {"optimizer": {"state": {}}, "step": 3}, source)
    code, printed, _ = run_script_main(utils.io.checkpoint, source, target, *["--half"] * half)
    assert code == 0 and "copy.pth" in printed and "MB" in printed
    data = torch.load(target, weights_only=True)
    assert set(data) == set(FIELDS) | {"training_ids"}
    floats = [value.dtype for value in data["weights"].values() if value.is_floating_point()]
    assert set(floats) == {torch.float16 if half else torch.float32}
    whole, copy = load_geometry_model(source)[0], load_geometry_model(target)[0]
    images = torch.rand(1, 6, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert copy(images).dtype == torch.float32
        assert torch.allclose(copy(images), whole(images), atol=2e-3 if half else 0)
    assert all(parameter.dtype == torch.float32 for parameter in copy.parameters())


def test_the_copy_command_names_a_missing_source(tmp_path, run_script_main):
    code, _, errors = run_script_main(utils.io.checkpoint, tmp_path / "texture_best.pth", tmp_path / "copy.pth")
    assert code == 2 and "texture_best.pth: no such checkpoint" in errors
    assert not (tmp_path / "copy.pth").exists()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = save(tmp_path / "g.pth", Model())
    before = path.read_bytes()

    def disk_full(data, target):
        with open(target, "wb") as file:
            file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError):
        save(path, Model())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["field", "texture"])
def test_the_copy_command_takes_every_kind_whatever_the_file_is_called(kind, tiny_geometry, tmp_path, run_script_main):
    torch.save(torch.load(tiny_geometry, weights_only=True) | {"kind": kind}, tmp_path / "a.pth")
    assert run_script_main(utils.io.checkpoint, tmp_path / "a.pth", tmp_path / "b.pth")[0] == 0
    assert torch.load(tmp_path / "b.pth", weights_only=True)["kind"] == kind
