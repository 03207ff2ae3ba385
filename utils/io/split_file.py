"""Split files: which objects are trained on, validated on, and left for the test."""
from pathlib import Path

from config import UserError
from utils.io.files import atomic_write

SPLITS = ("train", "validation", "test")


def read_split(path: str | Path) -> dict[str, str]:
    """{id: "train", "validation" or "test"} from lines `<id> <word>` or `<id>,<word>`; # begins a comment.

    Raises:
        UserError: the file cannot be read, or a line is of another form or names an id a second time.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a split file ({getattr(error, 'strerror', 'not a text')})") from None
    split: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words or number == 1 and words[0] == "id":  # the head of a table
            continue
        if len(words) != 2 or words[1] not in SPLITS:
            raise UserError(f"{path}, line {number}: expected `<id> train`, `<id> validation` or `<id> test`")
        if words[0] in split:
            raise UserError(f"{path}, line {number}: {words[0]} stands in an earlier line already")
        split[words[0]] = words[1]
    return split


def write_split(path: str | Path, split: dict[str, str], comment: str) -> None:
    """Write a file for `read_split`, sorted by id, below a comment of one or more lines."""
    lines = [f"# {line}" for line in comment.splitlines()] + [f"{name} {split[name]}" for name in sorted(split)]
    with atomic_write(Path(path)) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
