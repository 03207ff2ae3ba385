"""Which view a file shows, by its name: the project's own `<id>_<view>.png`, and names as people write them.

`Front.JPG`, `shoe front.jpg`, `shoe-front.webp`, `IMG_0001_front.jpeg`, `front (1).jpg`, `view from above.heic`: the word
for the view may stand anywhere, and what is left of the name is the object's id unless it only numbers the shot.
"""
import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config import IMAGE_EXTENSIONS, VIEW_NAMES, UserError
from utils.io.files import entries, no_folder

VIEW_WORDS = {
    "front": "front", "frontal": "front", "frontside": "front",
    "back": "back", "rear": "back", "behind": "back", "backside": "back",
    "left": "left", "leftside": "left", "lft": "left",
    "right": "right", "rightside": "right", "rgt": "right",
    "top": "top", "above": "top", "overhead": "top", "topdown": "top",
    "bottom": "bottom", "below": "bottom", "under": "bottom", "underneath": "bottom", "underside": "bottom",
    "btm": "bottom",
}
# Words around a view word that belong to it ("left side view", "from above"), not to the object's name.
FILLERS = {"view", "views", "side", "from", "img", "image", "photo", "pic", "picture", "render", "shot"}
# What cameras and messengers call a file: a few letters that name the device, then nothing but numbers.
SHOT_NAME = re.compile(r"(img|image|dsc|dscn|dscf|pxl|mvimg|dji|gopr|p|photo|pic|image|scan|whatsapp|wa|edited|copy)*"
                       r"(\d+(img|wa|ms|px)*)*", re.IGNORECASE)
STRAYS_SHOWN = 2  # file names in one message: enough to see what is meant


@dataclass(frozen=True)
class Problem:
    """One reason why an object is left out, or a file not understood; id is "" where no object can be named."""

    id: str
    what: str
    detail: str

    def __str__(self) -> str:
        return (f"{self.id}: " if self.id else "") + f"{self.what} {self.detail}"


def find_view(text: str) -> tuple[str | None, str]:
    """Find the view word in a name.

    Args:
        text: file name without its extension, or a folder's name.
    Returns:
        view: one of config.VIEW_NAMES, "" if there is none, or None if two words compete.
        rest: the name without the view and the words that go with it.
    """
    words = list(re.finditer(r"[^\s_.,+()\[\]-]+", text))
    names = [word.group().lower() for word in words]
    hits = [i for i, name in enumerate(names) if name in VIEW_WORDS]
    if not hits:  # ShoeFront, shoe12front; only at the end, for BackPack is no view
        tail = re.search(r"(?<=[a-z0-9])(Front|Back|Rear|Left|Right|Top|Bottom)$"
                         r"|(?<=\d)(front|back|rear|left|right|top|bottom)$", text)
        return (VIEW_WORDS[tail.group().lower()], text[: tail.start()]) if tail else ("", text)
    content = [i for i, name in enumerate(names) if name not in FILLERS]
    # left_shoe_front is a front view, and so is front_of_left_shoe; front_left could be either.
    pick = hits[-1] if len(hits) == 1 or hits[-1] == content[-1] else hits[0] if hits[0] == content[0] else None
    if pick is None:
        return None, text
    place = content.index(pick)
    for beside in content[max(0, place - 1):place] + content[place + 1:place + 2]:
        if beside in hits and VIEW_WORDS[names[beside]] != VIEW_WORDS[names[pick]]:
            return None, text
    first = last = pick
    while first > 0 and names[first - 1] in FILLERS:
        first -= 1
    while last + 1 < len(names) and names[last + 1] in FILLERS:
        last += 1
    before, after = text[: words[first].start()].rstrip(" _.,+-"), text[words[last].end():].lstrip(" _.,+-")
    return VIEW_WORDS[names[pick]], "_".join(part for part in (before, after) if part.strip(" _.,+()[]-"))


def name_key(text: str) -> str:
    """What two spellings of one id have in common: Nike Air, nike-air and nike_air are the same object."""
    return re.sub(r"[\W_]+", "_", text).strip("_").casefold()


def names_a_shot(rest: str) -> bool:
    """Whether what is left of a name beside its view only numbers the shot, as IMG_0001, (2) and PXL_20240131 do."""
    return bool(SHOT_NAME.fullmatch(re.sub(r"[\W_]+", "", rest)))


def match_images(folder: Path) -> tuple[dict[str, dict[str, list[Path]]], list[tuple[str, str]]]:
    """Sort a folder's images by name.

    `<id>_<view>` is taken as it stands. In other names the view's word is looked for, and ids that differ only in their
    spelling are one. Numbers of shots that differ from view to view (IMG_0001_front, IMG_0002_back) name no object. Six
    images that show each view once are one object, however else they are called.

    Returns:
        groups: {id: {view name: [Path, ...]}}; id is "" for plain front.png.
        strays: list of (id, hint) for images in whose name no view is found.
    Raises:
        UserError: there is no such folder, or it may not be looked into.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give the folder that holds front.png, back.png, left.png, right.png, top.png "
                        "and bottom.png")
    if not folder.is_dir():
        raise UserError(f"{folder}: {no_folder(folder)}")
    groups, loose, strays = {}, [], []
    for path in entries(folder):
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_EXTENSIONS:
            continue
        if not path.is_file() and (path.exists() or not path.is_symlink()):  # view_problems names dead links
            continue
        object_id, _, word = path.stem.rpartition("_")  # ids may hold underscores themselves
        if word.lower() in VIEW_NAMES:
            groups.setdefault(object_id, {}).setdefault(word.lower(), []).append(path)
            continue
        view, rest = find_view(path.stem)
        if view:
            loose.append((view, rest.strip(" _.,+-"), path))
        else:
            hint = did_you_mean(word.lower(), path.stem[: len(path.stem) - len(word)], path.suffix)
            strays.append((object_id, path.name + (" (names two views)" if view is None else hint)))
    spelling = {name_key(object_id): object_id for object_id in groups}
    for view, rest, path in loose:
        object_id = "" if names_a_shot(rest) else spelling.setdefault(name_key(rest), rest)
        groups.setdefault(object_id, {}).setdefault(view, []).append(path)
    return _one_object(_joined_shots(groups)), strays


def _one_object(groups):
    """Groups that together hold each of the six views once are one object without a name, whatever else its images say."""
    views = [view for group in groups.values() for view, paths in group.items() for _ in paths]
    if len(groups) < 2 or sorted(views) != sorted(VIEW_NAMES):
        return groups
    return {"": {view: paths for group in groups.values() for view, paths in group.items()}}


def _joined_shots(groups):
    """Incomplete groups whose ids only number shots, joined to one object without a name if no view is there twice."""
    shots = [object_id for object_id, views in groups.items()
             if names_a_shot(object_id) and not set(VIEW_NAMES) <= views.keys()]
    views = [view for object_id in shots for view, paths in groups[object_id].items() for _ in paths]
    if len(shots) < 2 or len(set(views)) < len(views):
        return groups
    joined = {view: paths for object_id in shots for view, paths in groups[object_id].items()}
    return {**{object_id: views for object_id, views in groups.items() if object_id not in shots}, "": joined}


def view_problems(name: str, views: dict[str, list[Path]], allow_missing: bool = False) -> list[Problem]:
    """Missing and doubled views of one object, and dead links: views is {view name: [Path, ...]}.

    With `allow_missing` three views are enough, if two of them are not opposite each other.
    """
    missing = [view for view in VIEW_NAMES if view not in views]
    pairs = {VIEW_NAMES.index(view) // 2 for view in views}  # front and back, left and right, top and bottom
    enough = allow_missing and len(views) >= 3 and len(pairs) >= 2
    problems = [Problem(name, "missing view", ", ".join(missing))] if missing and not enough else []
    problems += [Problem(name, "dead link for a view",
                         f"{view}: {path.name} leads to {os.readlink(path)}, which is not there")
                 for view, paths in sorted(views.items()) for path in paths if path.is_symlink() and not path.exists()]
    return problems + [Problem(name, "two files for a view", f"{view}: {', '.join(p.name for p in paths)} (keep one)")
                       for view, paths in sorted(views.items()) if len(paths) > 1]


def in_one_line(problems: list[Problem], names: bool = False, most: int = 3) -> str:
    """Problems as one line: what repeats itself is said once, with its first details; `names` adds the objects' ids."""
    grouped = {}
    for problem in problems:
        grouped.setdefault((problem.id if names else "", problem.what), []).append(problem.detail)
    shown = []
    for (object_id, what), details in list(grouped.items())[:most]:
        more = f" and {len(details) - STRAYS_SHOWN} more" if len(details) > STRAYS_SHOWN else ""
        shown.append(str(Problem(object_id, what, ", ".join(details[:STRAYS_SHOWN]) + more)))
    return "; ".join(shown) + (f"; and {len(grouped) - most} more" if len(grouped) > most else "")


def format_problems(problems: Sequence[Problem]) -> str:
    """Problems as an aligned table: object, problem, detail; "" if there are none."""
    if not problems:
        return ""
    rows = [("object", "problem", "detail")] + [(p.id or "-", p.what, p.detail) for p in problems]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    return "\n".join(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows)


def nothing_to_reconstruct(folder: Path, meshes: list[str], found: dict, problems: list[Problem], misnamed: bool,
                           allow_missing: bool) -> UserError:
    """The error for a folder in which no set of views is usable.

    Args:
        folder: where they were looked for.
        meshes: names of meshes there.
        found: {id: {view: paths}}, as far as there are any; problems: what is wrong with them.
        misnamed: some views are there under names that mean none.
        allow_missing: three views, two of them not opposite each other, would have been enough.
    """
    if meshes and not found:
        return UserError(f"{folder}: holds {meshes[0]}{f' and {len(meshes) - 1} more' * (len(meshes) > 1)}: meshes, and "
                         "pictures are wanted, of which a mesh is made (python -m utils.prepare_dataset draws them)")
    what = in_one_line(problems, names=len({problem.id for problem in problems}) > 1) if problems else "no images found"
    return UserError(f"{folder}: {what}; expected front, back, left, right, top and bottom as <view>.png or "
                     f"<id>_<view>.png (or .jpg and the like){_about_missing(found, allow_missing) if not misnamed else ''}")


def _about_missing(found, allow_missing):
    """What --allow_missing could do for objects {id: {view: paths}} whose views are absent, not misnamed; "" if nothing."""
    left = [view_problems(name, views, allow_missing=True) for name, views in found.items()]
    if allow_missing and any(problem.what == "missing view" for problems in left for problem in problems):
        return "; --allow_missing needs at least three views"
    return "; --allow_missing takes three to five" if not (allow_missing or all(left)) else ""


def views_in_words(views: list[str]) -> str:
    """`the top view`, or `the views top, bottom`."""
    return f"the {views[0]} view" if len(views) == 1 else f"the views {', '.join(views)}"


def did_you_mean(word: str, before: str = "", after: str = "") -> str:
    """` (did you mean front?)` for a word that resembles a view's name, else ""."""
    close = difflib.get_close_matches(word.lower(), VIEW_NAMES, 1, 0.6)
    return f" (did you mean {before}{close[0]}{after}?)" if close else ""
