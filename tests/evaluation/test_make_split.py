"""The split of the real objects: the stated rule, and the files that the repository ships."""
import shutil
from pathlib import Path

import pytest

from config import UserError
from utils.evaluation import make_split
from utils.evaluation.make_split import assign, groups_of
from utils.io.split_file import read_split

SPLITS = Path(__file__).parents[2] / "data" / "splits"
NOTHING = {True: 0, False: 0}


def test_chains_of_pairs_are_one_group():
    assert groups_of("abcdef", [("a", "b"), ("e", "b"), ("d", "c")]) == [["a", "b", "e"], ["c", "d"], ["f"]]


def test_a_group_stays_on_one_side_and_that_of_a_trained_object_trains():
    groups = [["old_train", "new"], ["old_val", "twin"], ["mixed_train", "mixed_val"], ["free", "free_twin"]]
    keep = {"old_train": "train", "old_val": "validation", "mixed_train": "train", "mixed_val": "validation"}
    sides = assign(groups, set(), keep, NOTHING | {False: 1}, NOTHING)
    assert sides == {"old_train": "train", "new": "train", "old_val": "validation", "twin": "validation",
                     "mixed_train": "train", "mixed_val": "train", "free": "test", "free_twin": "test"}


def test_free_groups_are_taken_in_the_order_of_their_hash():
    # sha256 begins ca97 for a, 3e23 for b, 2e7d for c, 18ac for d: printf a | sha256sum
    sides = assign([["a"], ["b"], ["c"], ["d"]], {"a", "c"}, {}, {True: 1, False: 1}, {True: 0, False: 1})
    assert sides == {"c": "test", "d": "test", "b": "validation", "a": "train"}
    with pytest.raises(UserError, match="only 2 shoes are left"):
        assign([["a"], ["c"]], {"a", "c"}, {}, {True: 3, False: 0}, NOTHING)


def test_shipped_test_set_was_seen_by_no_earlier_field():
    sides, earlier = read_split(SPLITS / "real_objects.txt"), read_split(SPLITS / "first_field.txt")
    shoes = set((SPLITS / "real_shoes.txt").read_text().split())
    test = {name for name, side in sides.items() if side == "test"}
    assert len(sides) == 414 and len(shoes) == 45 and shoes <= sides.keys()
    assert len(test & shoes) >= 12 and len(test - shoes) >= 40 and not test & earlier.keys()
    assert all(sides[name] == "train" for name, side in earlier.items() if side == "train")
    assert sum(sides[name] == "validation" and name in shoes for name in sides) >= 8


def test_command_puts_a_copied_object_beside_its_original(shoes, tmp_path, run_script_main):
    second = tmp_path / "second"
    shutil.copytree(shoes / "OBJs" / "shoe_00001", second / "OBJs" / "copy")
    for path in (shoes / "input_images").glob("shoe_00001_*"):
        (second / "input_images").mkdir(exist_ok=True)
        shutil.copy(path, second / "input_images" / path.name.replace("shoe_00001", "copy"))
    (tmp_path / "objects.csv").write_text("id,shoe\nshoe_00000,True\ncopy,False\n")
    (tmp_path / "keep.txt").write_text("shoe_00001 train\n")
    arguments = ["--obj_dir", f"{shoes / 'OBJs'},{second / 'OBJs'}", "--images_dir",
                 f"{shoes / 'input_images'},{second / 'input_images'}", "--objects", tmp_path / "objects.csv", "--keep",
                 tmp_path / "keep.txt", "--output", tmp_path / "split.txt", "--cache_dir", tmp_path / "cache",
                 "--test_shoes", 1, "--test_others", 0, "--validation_shoes", 0, "--validation_others", 0]
    code, out, err = run_script_main(make_split, *arguments)
    assert code == 0, err
    sides = read_split(tmp_path / "split.txt")
    assert "copy, shoe_00001" in out and sides["copy"] == sides["shoe_00001"] == "train"
    assert sides["shoe_00000"] == "test" and "validation" not in sides.values()
    code, _, err = run_script_main(make_split, *arguments[:3], shoes / "input_images", *arguments[4:])
    assert code == 2 and "go in pairs" in err
