"""Options that people get wrong, of every script: one line that names the option, exit code 2, and nothing begun."""
from pathlib import Path

import pytest

import evaluate
import inference
import load_data
import train_field
import train_geometry
import train_texture
from config import EXAMPLES_DIR, PRETRAINED_DIR
from models import interpolate, share
from utils import compare_runs, photograph_dataset, prepare_dataset, rename_to_IDs
from utils.io import checkpoint

ROOT = Path(__file__).parents[1]
EXAMPLE, SHIPPED = ROOT / EXAMPLES_DIR / "shoe_900002", ROOT / PRETRAINED_DIR
# script, its options, and what the line has to say
CASES = [
    # unknown, and words that are no option
    (train_field, "--learning_rate 1e-3", ["unrecognized arguments: --learning_rate"]),
    (train_geometry, "--num_epoch_stage1 3", ["unrecognized arguments: --num_epoch_stage1"]),
    (train_texture, "--resum", ["unrecognized arguments: --resum"]),  # an abbreviation is never guessed
    (train_field, "data/OBJs", ["unrecognized arguments: data/OBJs"]),
    (inference, "views --texturesize 64", ["unrecognized arguments: --texturesize"]),
    (inference, "one two", ["unrecognized arguments: two"]),
    (inference, ". /", ["/: one path is wanted, that of a folder"]),
    (evaluate, "--metric cd", ["unrecognized arguments: --metric"]),
    (load_data, "--image 3", ["unrecognized arguments: --image"]),
    (prepare_dataset, "meshes --upaxis z", ["unrecognized arguments: --upaxis"]),
    (rename_to_IDs, "--images . --overwrite", ["unrecognized arguments: --overwrite"]),
    # mistyped
    (train_field, "--field_grid many", ["--field_grid 'many'", "a whole number"]),
    (train_field, "--num_epochs_stage1 2.5", ["--num_epochs_stage1 '2.5'", "a whole number"]),
    (train_geometry, "--learning_rate_stage1 1e", ["--learning_rate_stage1 '1e'", "a number"]),
    (train_geometry, "--decoder_hidden 512,x12,,", ["--decoder_hidden", "whole numbers with commas"]),
    (train_geometry, "--freeze_image_encoder perhaps", ["--freeze_image_encoder 'perhaps'", "true or false"]),
    (train_texture, "--texture_hidden", ["--texture_hidden", "expected one argument"]),
    (inference, "--grid fine", ["--grid", "fine"]),
    (inference, "--output", ["--output", "expected one argument"]),
    # of no size that works
    (train_field, "--batch_size_stage1 -1", ["--batch_size_stage1 -1", "at least 1"]),
    (train_field, "--batch_size_stage1 0", ["--batch_size_stage1 0", "at least 1"]),
    (train_field, "--seed -3", ["--seed -3", "at least 0"]),
    (train_field, "--learning_rate_field -0.1", ["--learning_rate_field -0.1", "at least 0"]),
    (train_field, "--learning_rate_field nan", ["--learning_rate_field nan", "finite"]),
    (train_field, "--weight_decay inf", ["--weight_decay inf", "finite"]),
    (train_field, "--validation_fraction 1.0", ["--validation_fraction 1.0", "at most 0.9"]),
    (train_field, "--field_grid 512", ["--field_grid 512", "at most 256"]),
    (train_field, "--num_workers -1", ["--num_workers -1", "at least 0"]),
    (train_field, "--num_workers 5000", ["--num_workers 5000", "at most 128"]),
    (train_field, "--seed 99999999999", ["--seed 99999999999", "at most 4294967295"]),
    (train_geometry, "--num_points 1000000000", ["--num_points 1000000000", "at most"]),
    (train_geometry, "--image_size 100000", ["--image_size 100000", "at most 4096"]),
    (train_geometry, "--decoder_hidden 0", ["--decoder_hidden (0,)", "above 0"]),
    (inference, "--texture_size -64", ["--texture_size -64"]),
    (inference, "--texture_size 1000000", ["--texture_size 1000000"]),
    (inference, "--grid -1", ["--grid -1"]),
    (inference, "--faces 0", ["--faces 0"]),
    (prepare_dataset, ". --image_size 0", ["--image_size 0"]),
    (prepare_dataset, ". --up w", ["--up w"]),
    (prepare_dataset, ". --up y --front=-y", ["--up y --front -y", "perpendicular"]),
    # words that are none of the choices
    (train_field, "--preset fastest", ["--preset", "fastest"]),
    (train_field, "--mixed_precision fp8", ["--mixed_precision fp8", "bf16"]),
    (train_field, "--device quantum", ["--device quantum"]),
    (inference, "--format max", ["--format", "max"]),
    (inference, "--geometry sdf", ["--geometry", "sdf"]),
    (inference, "--background green", ["--background", "green"]),
    # without effect, or against each other
    (train_field, "--num_points 1024", ["--num_points", "train_field.py does not use it", "train_geometry.py"]),
    (train_geometry, "--field_grid 24", ["--field_grid", "train_geometry.py does not use it"]),
    (train_texture, "--lambda_chamfer 2", ["--lambda_chamfer", "train_texture.py does not use it"]),
    (train_field, "--preset memory_efficient", ["--preset memory_efficient", "changes nothing that train_field.py uses"]),
    (train_field, "--resume --initial_weights x.pth", ["--initial_weights", "leave one of the two out"]),
    (train_field, "--split_file s.txt --num_folds 3", ["--num_folds", "leave one of the two out"]),
    (train_field, "--num_folds 3 --fold 3", ["--fold 3", "below"]),
    (train_field, "--obj_dir a,b --images_dir c", ["--images_dir c", "names 1 folder,"]),
    (inference, "--geometry points --grid 64", ["--grid", "is for the field"]),
    (inference, "--mask_dir . --background model", ["not allowed with"]),
    (train_field, "--obj_dir a, --images_dir b,", ["--obj_dir a,", "a name is empty"]),
    (checkpoint, f"{SHIPPED}/texture_best.pth copy", ["copy: name a file that ends in .pth"]),
    (inference, f"{EXAMPLE} --cache_dir . --geometry field", ["--cache_dir: is for the point decoder"]),
    (evaluate, f"--texture_checkpoint {SHIPPED}/texture_best.pth --methods {SHIPPED}/geometry_field_best.pth",
     ["--texture_checkpoint: is for point decoders"]),
    (rename_to_IDs, "", ["nothing to do"]),
    (rename_to_IDs, "--images . --copy --move", ["not allowed with"]),
    # what they name is not there
    (inference, "nowhere/at/all", ["nowhere/at/all: no such folder"]),
    (inference, "--mask_dir nowhere", ["--mask_dir nowhere: no such folder"]),
    (train_field, "--obj_dir nowhere --images_dir nowhere", ["nowhere: no such folder of meshes"]),
    (train_field, "--obj_dir . --images_dir . --split_file nowhere.txt", ["no complete object"]),
    (prepare_dataset, "nowhere", ["nowhere: no such folder of meshes"]),
    (rename_to_IDs, "--meshes nowhere", ["--meshes nowhere: no such folder"]),
    (checkpoint, "nowhere.pth copy.pth", ["nowhere.pth: no such checkpoint"]),
    (photograph_dataset, "--obj_dir nowhere", ["required: --output"]),
]


@pytest.mark.parametrize("script, words, expected", CASES, ids=[
    f"{script.__name__.split('.')[-1]} {words}".replace(f"{ROOT}/", "") for script, words, _ in CASES])
def test_a_wrong_option_is_one_line_with_code_2_and_nothing_is_begun(script, words, expected, tmp_path, monkeypatch,
                                                                     run_script_main):
    monkeypatch.chdir(tmp_path)
    code, out, err = run_script_main(script, *words.split())
    assert code == 2, (out, err)
    assert err.startswith("error: ") and "Traceback" not in err
    assert err.count("\n") == 1 or "expected ./<id>" in err  # a data folder's layout takes a second line
    assert all(part in err for part in expected), err
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not made, "nothing but empty folders"


@pytest.mark.parametrize("value, said", [("", "is empty"), ("n" * 3000, "is longer than a path can be"),
                                         ("/".join(["n" * 50] * 100), "is longer than a path can be")],
                         ids=["nothing", "a long name", "a long path"])
@pytest.mark.parametrize("script, words", [
    (inference, "VIEWS_DIR"), (inference, "--mask_dir"), (inference, "--output"), (inference, "--geometry_checkpoint"),
    (evaluate, "--obj_dir"), (evaluate, "--output"), (prepare_dataset, "meshes_dir"), (prepare_dataset, ". --output"),
    (train_field, "--obj_dir"), (train_field, "--split_file"), (load_data, "--cache_dir"), (rename_to_IDs, "--images"),
    (photograph_dataset, "--output"), (compare_runs, "runs"), (interpolate, "before"), (share, "checkpoint"),
    (checkpoint, "source")], ids=lambda value: value if isinstance(value, str) else value.__name__.split(".")[-1])
def test_a_text_of_which_nothing_can_come_is_one_line_that_names_the_option(script, words, value, said, tmp_path, monkeypatch,
                                                                            run_script_main):
    monkeypatch.chdir(tmp_path)
    *before, name = words.split()
    code, out, err = run_script_main(script, *before, *([name] if name.startswith("--") else []), value)
    assert code == 2 and err.startswith(f"error: argument {name}: {value[:60]}") and said in err and err.count("\n") == 1, err
    assert len(err) < 250 and not list(tmp_path.iterdir())
