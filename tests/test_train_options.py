"""Which options each script really reads, found by watching it: the table in config.py has to say the same."""
import copy

import pytest

import load_data
import train_field
import train_geometry
import train_texture
import utils.training.loop
import utils.training_data.field_samples
import utils.training_data.occupancy
from config import Config, option_fields

OPTIONS = {item.name for item in option_fields()}
SHORT = {"num_epochs_stage1": 1, "num_epochs_stage2": 1, "field_grid": 8, "field_widths": (8, 16), "field_image_widths": (0,),
         "field_points": 64, "field_variants": 0, "training_share": 0.001}


class Watched(Config):
    """A Config that notes which of its options are read."""

    def __getattribute__(self, name):
        if name in OPTIONS:
            object.__getattribute__(self, "__dict__").setdefault("read", set()).add(name)
        return super().__getattribute__(name)


def changed(cfg, **changes):
    """dataclasses.replace without reading every field."""
    other = copy.copy(cfg)
    for name, value in changes.items():
        setattr(other, name, value)
    return other


@pytest.mark.parametrize("script, run", [
    ("geometry", train_geometry.train), ("field", train_field.train), ("texture", train_texture.train),
    ("load_data", lambda cfg: load_data.prepare_objects(cfg, quiet=True))], ids=lambda value: str(value)[:9])
def test_a_script_reads_the_options_that_config_says_it_uses_and_no_others(script, run, tiny_config, tiny_geometry,
                                                                           monkeypatch):
    for module in (train_geometry, train_field, train_texture, utils.training.loop):  # records every option, uses none
        monkeypatch.setattr(module, "config_as_dict", lambda cfg: {})
    for module in (train_geometry, train_texture):
        monkeypatch.setattr(module, "replace", changed)
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 1)
    monkeypatch.setattr(utils.training_data.occupancy, "DIRECTIONS", 6)
    for name in ("SURFACE_SAMPLES", "NEAR_POINTS", "FREE_POINTS"):
        monkeypatch.setattr(utils.training_data.field_samples, name, 1000)
    plain = tiny_config(**SHORT, **({"geometry_checkpoint": str(tiny_geometry)} if script == "texture" else {}))
    watched = Watched(**{name: getattr(plain, name) for name in OPTIONS}, explicit=plain.explicit)
    watched.read = set()
    run(watched)
    said = {item.name for item in option_fields() if script in item.metadata["scripts"]}
    assert watched.read == said
