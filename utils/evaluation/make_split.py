"""Which real objects train, which validate and which are the test set, on which nothing is chosen.

    python -m utils.evaluation.make_split --obj_dir A/OBJs,B/OBJs --images_dir A/input_images,B/input_images \\
        --objects A/objects.csv,B/objects.csv --keep data/splits/first_field.txt --output data/splits/real_objects.txt

The rule. Near duplicates (utils.evaluation.near_duplicates: surfaces up to quarter turns and mirror images, or all six
images) form groups, and a group stays on one side. A group with an object that an earlier field was trained on (--keep)
trains; one with an object that field was validated on validates. All other groups are taken in the order of the SHA-256
of their smallest id: into the test set until it holds --test_shoes shoes and --test_others others, then into validation
until --validation_shoes and --validation_others more are there, and the rest trains. Nobody picks.
"""
import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from config import VIEW_NAMES, OptionParser, UserError, counted, run_script
from utils.evaluation import near_duplicates
from utils.io.files import atomic_write, entries, no_folder
from utils.io.object_files import ObjectFiles, merge_objects, pairs_of_folders
from utils.io.split_file import SPLITS, read_split, write_split
from utils.views.names import match_images, view_problems

SHAPE_DISTANCE = 0.03  # cd_l1; wider than the leak check's: two finishes of one figure are 0.0298 apart


def groups_of(ids: Iterable[str], pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Connected components: objects that a chain of pairs joins stand in one group, an object without pairs alone.

    Args:
        ids: all objects.
        pairs: (id, id), both among `ids`.
    Returns:
        list of sorted lists, by their first id.
    """
    leader = {name: name for name in ids}

    def find(name):
        while leader[name] != name:
            name = leader[name]
        return name

    for one, other in pairs:
        first, second = sorted((find(one), find(other)))
        leader[second] = first
    groups: dict[str, list[str]] = {}
    for name in sorted(leader):
        groups.setdefault(find(name), []).append(name)
    return list(groups.values())


def assign(groups: list[list[str]], shoes: set[str], keep: dict[str, str], test: dict[bool, int],
           validation: dict[bool, int]) -> dict[str, str]:
    """The side of every object, by the rule that this module states.

    Args:
        groups: from `groups_of`.
        shoes: ids of shoes; a group that holds one counts among the shoes.
        keep: {id: "train" or "validation"} of an earlier model.
        test, validation: {True: shoes, False: others}, the least that each is to hold beside kept ones.
    Returns:
        {id: "train", "validation" or "test"}.
    """
    sides, held = {}, {"test": {True: 0, False: 0}, "validation": {True: 0, False: 0}}
    wanted = {"test": test, "validation": validation}
    for group in sorted(groups, key=lambda group: hashlib.sha256(group[0].encode()).hexdigest()):
        kept, shoe = {keep[name] for name in group if name in keep}, not shoes.isdisjoint(group)
        if kept:
            side = "train" if "train" in kept else "validation"
        else:
            side = next((name for name in wanted if held[name][shoe] < wanted[name][shoe]), "train")
            if side != "train":
                held[side][shoe] += len(group)
        sides |= dict.fromkeys(group, side)
    for side, counts in held.items():
        for shoe, count in counts.items():
            if count < wanted[side][shoe]:
                raise UserError(f"{side}: only {count} {'shoes' if shoe else 'others'} are left to choose from, "
                                f"{wanted[side][shoe]} were asked for")
    return sides


def read_shoes(paths: Iterable[str | Path]) -> set[str]:
    """Ids whose `shoe` column says True in CSV files with the columns id and shoe.

    Raises:
        UserError: a file cannot be read or lacks a column.
    """
    shoes = set()
    for path in paths:
        try:
            with open(path, newline="", encoding="utf-8") as file:
                shoes |= {row["id"] for row in csv.DictReader(file) if row["shoe"].strip().lower() == "true"}
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        except KeyError as error:
            raise UserError(f"{path}: has no column {error}") from None
    return shoes


def complete_objects(obj_dir: str | Path, images_dir: str | Path) -> list[ObjectFiles]:
    """Every object of a data folder, all of which must be complete.

    Args:
        obj_dir: folder of <id>/<anything>.obj.
        images_dir: folder of <id>_<view>.png, .jpg or .jpeg.
    Raises:
        UserError: a folder is absent, or an object lacks its mesh or a view or has two of one.
    """
    for folder in (obj_dir, images_dir):
        if not Path(folder).is_dir():
            raise UserError(f"{folder}: {no_folder(folder)}")
    groups, found = match_images(Path(images_dir))[0], []
    for folder in (path for path in entries(obj_dir) if path.is_dir() and path.name[0] not in "._"):
        meshes, views = sorted(folder.glob("*.obj")), groups.get(folder.name, {})
        if len(meshes) != 1:
            raise UserError(f"{folder}: holds {len(meshes)} OBJ files instead of one")
        for problem in view_problems(folder.name, views):
            raise UserError(f"{folder.name}: {problem.what} {problem.detail}")
        found.append(ObjectFiles(folder.name, meshes[0], {view: views[view][0] for view in VIEW_NAMES}))
    return found


def duplicate_pairs(objects: list[ObjectFiles], cache_dir: str | Path) -> list[tuple[float, str, str]]:
    """All pairs of near duplicates in one list of objects.

    Args:
        cache_dir: folder of small copies of the images.
    Returns:
        list of (distance, id, id), nearest first; a pair that is alike in shape and in images occurs once.
    Raises:
        UserError: an object cannot be read.
    """
    points, images = near_duplicates.describe(objects, cache_dir)
    if len(points) < len(objects):
        raise UserError(f"{counted(len(objects) - len(points), 'object')} cannot be read (see above); a split is of all "
                        "objects")
    found: dict[tuple[str, str], float] = {}
    for alike in (near_duplicates.similar_shapes(points, points, SHAPE_DISTANCE),
                  near_duplicates.similar_images(images, images)):
        for distance, one, other in alike:
            if one != other:
                pair = (min(one, other), max(one, other))
                found[pair] = min(distance, found.get(pair, np.inf))
    return sorted((distance, *pair) for pair, distance in found.items())


def main(argv: list[str]) -> None:
    """Read all objects, look for near duplicates, and write the split."""
    parser = OptionParser(prog="python -m utils.evaluation.make_split", description=__doc__.split("\n\n")[0])
    parser.add_argument("--obj_dir", required=True, help="folders of meshes, with commas")
    parser.add_argument("--images_dir", required=True, help="folders of images, with commas, in the same order")
    parser.add_argument("--objects", required=True, help="CSV files with the columns id and shoe, with commas")
    parser.add_argument("--keep", help="file of lines <id> train|validation, an earlier model's, which stay")
    parser.add_argument("--output", required=True, help="file to write")
    parser.add_argument("--shoes", help="file to write the ids of the shoes to, one a line")
    parser.add_argument("--cache_dir", default="data/cache", help="keeps small copies of images (default data/cache)")
    for name, count in (("test_shoes", 14), ("test_others", 46), ("validation_shoes", 8), ("validation_others", 15)):
        parser.add_argument(f"--{name}", type=int, default=count, help=f"at least so many (default {count})")
    options = parser.parse_args(argv)

    objects = merge_objects(complete_objects(*pair) for pair in pairs_of_folders(options.obj_dir, options.images_dir))
    keep = read_split(options.keep) if options.keep else {}
    shoes = read_shoes(options.objects.split(","))
    pairs = duplicate_pairs(list(objects.values()), options.cache_dir)
    for distance, one, other in pairs:
        print(f"near duplicates ({distance:.4f}): {one}, {other}")
    sides = assign(groups_of(objects, [pair[1:] for pair in pairs]), shoes, keep,
                   {True: options.test_shoes, False: options.test_others},
                   {True: options.validation_shoes, False: options.validation_others})
    counts = {side: [sum(sides[name] == side and (name in shoes) == shoe for name in sides) for shoe in (True, False)]
              for side in SPLITS}
    summary = "; ".join(f"{side}: {counted(shoe, 'shoe')}, {counted(other, 'other')}" for side, (shoe, other) in counts.items())
    write_split(options.output, sides, f"Made by utils/evaluation/make_split.py, which states the rule.\n{summary}")
    if options.shoes:
        with atomic_write(Path(options.shoes)) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in sorted(shoes & sides.keys())), encoding="utf-8")
    print(f"{summary}\nwrote {options.output}")


if __name__ == "__main__":
    run_script(main)
