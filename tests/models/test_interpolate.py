"""Weights between two checkpoints, on a tiny field: the ends are the two, the middle is their mean."""
import pytest
import torch

import models.interpolate
from models.field_model import FieldModel, load_field_model
from models.interpolate import interpolate
from utils.evaluation.selection import trained_on
from utils.io.checkpoint import load_checkpoint, save_checkpoint


def saved(path, seed, **sizes):
    torch.manual_seed(seed)
    model = FieldModel(grid_size=8, volume_widths=(8, 16), **{"image_widths": (), **sizes})
    save_checkpoint(path, "field", model_args=model.model_args(), weights=model.state_dict(), image_size=256, config={},
                    epoch=seed, score=0.5, validation_ids=["a"], training_ids=["b"], metric_name="occupancy")
    return path


@pytest.fixture
def two(tmp_path):
    return [saved(tmp_path / f"{seed}.pth", seed) for seed in (1, 2)]


def test_ends_are_the_two_checkpoints_and_the_middle_is_their_mean(two):
    before, after = (load_checkpoint(path, "field") for path in two)
    for fraction in (0, 0.25, 1):
        mixed = interpolate(before, after, fraction)
        for name, value in mixed["weights"].items():
            expected = (1 - fraction) * before["weights"][name] + fraction * after["weights"][name]
            assert torch.allclose(value, expected, atol=1e-6), name
    assert mixed["score"] is None and mixed["training_ids"] == ["b"]  # nobody has scored these weights


def test_what_either_was_trained_on_is_nowhere_held_out(two):
    before, after = (load_checkpoint(path, "field") for path in two)
    before |= {"training_ids": ["shoe", "cup"], "validation_ids": ["hat", "bowl"]}
    after |= {"training_ids": ["cup", "hat"], "validation_ids": ["shoe", "bowl", "vase"]}
    mixed = interpolate(before, after, 0.5)
    assert mixed["training_ids"] == ["cup", "hat", "shoe"] and mixed["validation_ids"] == ["bowl", "vase"]
    objects = ["bowl", "cup", "hat", "shoe", "vase"]
    assert trained_on(mixed, objects, objects) == {"cup", "hat", "shoe"}, "as evaluate.py warns of them"


@pytest.mark.parametrize("which", [0, 1])
def test_where_one_does_not_say_what_it_was_trained_on_only_what_both_held_out_counts_as_new(which, two):
    both = [load_checkpoint(path, "field") for path in two]
    both[0]["validation_ids"], both[1]["validation_ids"] = ["hat", "bowl"], ["bowl", "shoe"]
    del both[which]["training_ids"]
    mixed = interpolate(*both, 0.5)
    assert "training_ids" not in mixed and mixed["validation_ids"] == ["bowl"]
    assert trained_on(mixed, ["bowl", "hat", "shoe"], ["bowl", "hat", "shoe"]) == {"hat", "shoe"}


def test_an_older_checkpoint_counts_its_missing_inputs_as_weight_zero(two, tmp_path):
    older = load_checkpoint(saved(tmp_path / "old.pth", 3, stand_ins=False), "field")
    after = load_checkpoint(two[1], "field")
    name = "per_view.0.weight"
    half = interpolate(older, after, 0.5)["weights"][name]
    assert torch.allclose(half[:, -1], after["weights"][name][:, -1] / 2)
    assert torch.allclose(half[:, :-1], (older["weights"][name] + after["weights"][name][:, :-1]) / 2)


def test_between_a_checkpoint_without_images_features_and_one_with_them_they_count_by_their_share(two, tmp_path):
    after = load_checkpoint(saved(tmp_path / "with.pth", 4, image_widths=(8, 16)), "field")
    mixed = interpolate(load_checkpoint(two[0], "field"), after, 0.25)
    assert mixed["model_args"]["image_widths"] == [8, 16]
    name = "per_view.0.weight"
    assert torch.allclose(mixed["weights"][name][:, -16:], after["weights"][name][:, -16:] / 4)


def test_the_command_writes_a_checkpoint_that_loads_and_refuses_what_does_not_fit(two, tmp_path, run_script_main):
    code, printed, _ = run_script_main(models.interpolate, *two, tmp_path / "mixed.pth")
    assert code == 0 and "mixed.pth" in printed
    assert load_field_model(tmp_path / "mixed.pth")[1]["epoch"] == 2
    other = tmp_path / "other.pth"
    torch.manual_seed(0)
    model = FieldModel(grid_size=8, volume_widths=(16, 16), image_widths=())
    save_checkpoint(other, "field", model_args=model.model_args(), weights=model.state_dict(), image_size=256, config={},
                    epoch=1, score=None, validation_ids=[], training_ids=[], metric_name="occupancy")
    code, _, errors = run_script_main(models.interpolate, two[0], other, tmp_path / "no.pth")
    assert code == 2 and "different sizes" in errors and not (tmp_path / "no.pth").exists()
    code, _, errors = run_script_main(models.interpolate, *two, tmp_path / "no.pth", "--fraction", "1.5")
    assert code == 2 and "--fraction 1.5" in errors
