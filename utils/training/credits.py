"""Whom to thank: a table of the objects that a checkpoint was trained on, with author, license and address.

    python -m utils.training.credits checkpoints/pretrained/geometry_field_best.pth CREDITS.md \
        --objects A/objects.csv,B/objects.csv --credits B/credits.csv

objects.csv has columns id, source and licence; credits.csv has id, title, author, licence and url.
"""
import csv

from config import OptionParser, UserError, counted, run_script
from utils.io.checkpoint import COMMANDS, load_checkpoint
from utils.io.files import atomic_write


def read_rows(paths: str) -> dict[str, dict[str, str]]:
    """Rows of comma-separated CSV paths by their column `id`.

    Raises:
        UserError: a file cannot be read, or has no column `id`.
    """
    rows = {}
    for path in filter(None, paths.split(",")):
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows |= {row["id"]: row for row in csv.DictReader(file)}
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        except KeyError:
            raise UserError(f"{path}: has no column id") from None
    return rows


def credit_table(ids: list[str], objects: dict[str, dict[str, str]], credits: dict[str, dict[str, str]]) -> str:
    """A Markdown table with one row for each object by a named author, and below it what comes from collections.

    Args:
        ids: objects to credit; those in neither table (generated ones) are left out.
        objects, credits: rows by id, see above.
    Returns:
        str.
    """
    named = [credits[name] for name in sorted(ids) if name in credits]
    rows = [f"| [{_clean(row['title'])}]({row['url']}) | {_clean(row['author'])} | {_clean(row['licence'])} |" for row in named]
    sources: dict[tuple[str, str], int] = {}
    for name in ids:
        if name in objects and name not in credits:
            key = (objects[name]["source"], objects[name]["licence"])
            sources[key] = sources.get(key, 0) + 1
    lines = ["| object | author | license |", "| --- | --- | --- |", *rows, "", "| collection | license | objects |",
             "| --- | --- | --- |", *(f"| {_clean(source)} | {_clean(license)} | {count} |"
                                      for (source, license), count in sorted(sources.items()))]
    return "\n".join(lines) + "\n"


def _clean(text):
    return text.replace("|", "/").replace("[", "(").replace("]", ")").strip()


def main(argv: list[str]) -> None:
    parser = OptionParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="a .pth file that lists its training objects")
    parser.add_argument("output", help="Markdown file to write")
    parser.add_argument("--objects", required=True, metavar="CSV,...", help="columns id, source, licence")
    parser.add_argument("--credits", metavar="CSV,...", help="columns id, title, author, licence, url")
    options = parser.parse_args(argv)
    checkpoint = load_checkpoint(options.checkpoint, tuple(COMMANDS))
    ids = sorted(set(checkpoint.get("training_ids", [])) | set(checkpoint["validation_ids"]))
    table = credit_table(ids, read_rows(options.objects), read_rows(options.credits or ""))
    text = ("# Credits\n\nObjects that the shipped field was trained on or chosen on. Changed: rotated to +y up, meshes and "
            "textures reduced,\nmaterials baked into one texture. None of them is part of this repository.\n\n")
    with atomic_write(options.output) as temporary:
        temporary.write_text(text + table, encoding="utf-8")
    print(f"{options.output}: {counted(len(ids), 'object')}")


if __name__ == "__main__":
    run_script(main)
