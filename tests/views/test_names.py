"""Names of files as people write them, against the views that a reader would take them for."""
from pathlib import Path

import pytest

from config import VIEW_NAMES, UserError
from utils.views.names import Problem, in_one_line, match_images, names_a_shot


def touch(folder: Path, names) -> Path:
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize("pattern, object_id", [
    ("{}.JPG", ""), ("shoe {}.jpg", "shoe"), ("shoe-{}.webp", "shoe"), ("{} (1).jpg", ""), ("{}_1.jpg", ""),
    ("old_shoe_7_{}.png", "old_shoe_7"), ("{}.jfif", ""), ("{}.avif", ""), ("photo {} view.HEIC", ""),
    ("left_shoe_{}.tiff", "left_shoe"), ("mug {} side.bmp", "mug"),
])
def test_six_files_of_one_pattern_are_one_object(tmp_path, pattern, object_id):
    groups, strays = match_images(touch(tmp_path, [pattern.format(view.capitalize()) for view in VIEW_NAMES]))
    assert strays == [] and list(groups) == [object_id] and set(groups[object_id]) == set(VIEW_NAMES)


@pytest.mark.parametrize("pattern", ["IMG_{:04d}_{}.jpeg", "{:04d} {}.png", "PXL_20240131_12{:04d}_{}.jpg",
                                     "DSC0{}-{}.jpg"])
def test_numbers_of_shots_that_differ_from_view_to_view_name_no_object(tmp_path, pattern):
    groups, _ = match_images(touch(tmp_path, [pattern.format(i, view) for i, view in enumerate(VIEW_NAMES)]))
    assert list(groups) == [""] and set(groups[""]) == set(VIEW_NAMES)


def test_numbered_objects_with_all_their_views_stay_apart(tmp_path):
    groups, _ = match_images(touch(tmp_path, [f"{number}_{view}.png" for number in (1, 2) for view in VIEW_NAMES]))
    assert set(groups) == {"1", "2"}


@pytest.mark.parametrize("names", [
    ["Shoe FRONT view.JPG", "shoe-Left (1).jpeg", "seen from behind.JPEG", "RIGHT.jpg", "view from above.Jpg",
     "IMG 2006 Bottom copy.jpg"],
    ["red shoe_front.jpg", "red shoe_back.jpg", "red shoe_left.jpg", "red shoe_right.jpg", "red shoe TOP (1).jpg",
     "red shoe_bottom.jpg"]])
def test_six_images_that_show_each_view_once_are_one_object_whatever_else_they_are_called(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    groups, strays = match_images(tmp_path)
    assert not strays and set(groups) == {""} and set(groups[""]) == set(VIEW_NAMES)
    (tmp_path / "Boot_front.jpg").touch()  # a second front: no longer one object's six
    assert len(match_images(tmp_path)[0]) > 1


def test_spellings_of_one_name_are_one_object_and_other_words_for_views_are_known(tmp_path):
    names = ["Nike Air front.jpg", "nike-air rear.jpg", "nike_air_left.jpg", "nike air right.jpg",
             "nike air from above.jpg", "Nike-Air underside.png"]
    groups, strays = match_images(touch(tmp_path, names))
    assert list(groups) == ["nike_air"] and set(groups["nike_air"]) == set(VIEW_NAMES) and strays == []


def test_what_names_no_view_or_two_is_a_stray_and_a_misspelling_is_mended(tmp_path):
    _, strays = match_images(touch(tmp_path, ["frnt.png", "front left.jpg", "IMG_2001.jpg", "notes.txt", ".front.png"]))
    assert [hint for _, hint in strays] == ["IMG_2001.jpg", "frnt.png (did you mean front.png?)",
                                            "front left.jpg (names two views)"]
    with pytest.raises(UserError, match="nowhere: no such folder"):
        match_images(tmp_path / "nowhere")


@pytest.mark.parametrize("rest, shot", [("IMG_0001", True), ("(2)", True), ("20240131_120000", True),
                                        ("IMG-20240131-WA0003", True),
                                        ("shoe", False), ("shoe_900002", False), ("p7 boot", False)])
def test_a_shot_is_told_from_a_name(rest, shot):
    assert names_a_shot(rest) == shot


def test_six_files_of_one_kind_are_said_once_and_shortly():
    line = in_one_line([Problem("mug", "unknown view name", f"IMG_200{i}.jpg") for i in range(6)])
    assert line == "unknown view name IMG_2000.jpg, IMG_2001.jpg and 4 more"


def test_a_file_where_a_folder_belongs_is_told_what_to_give(tmp_path):
    (tmp_path / "shoe.glb").write_bytes(b"glTF")
    with pytest.raises(UserError, match="shoe.glb: is a file; give the folder that holds front.png, back.png"):
        match_images(tmp_path / "shoe.glb")
