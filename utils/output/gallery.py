"""A page with a picture of every result in a folder, worst first, each leading to its viewer."""
import html
import json
import os
from pathlib import Path
from urllib.parse import quote

from config import counted
from utils.io.files import atomic_write
from utils.output.report import SUFFIX, UNUSUAL, facts, legend, worst_first

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s</title>
<style>
  body { margin: 0; padding: 20px 24px; font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
         color: #22262b; background: #e6e8eb; }
  h1 { font-size: 20px; margin: 0 0 4px; }
  p { margin: 0 0 16px; color: #5d666f; }
  main { display: grid; grid-template-columns: repeat(auto-fill, minmax(265px, 1fr)); gap: 14px; }
  a { display: block; background: #fff; border: 1px solid #d5d9dd; border-radius: 8px; overflow: hidden; color: inherit;
      text-decoration: none; }
  a:hover { border-color: #6c7782; }
  /* The preview holds two rows of seven pictures; the window shows the last of one row, the result seen at an angle. */
  .window { aspect-ratio: 1; overflow: hidden; position: relative; background: #fff; }
  .window img { position: absolute; width: 700%%; max-width: none; right: 0; top: 0; }
  .window::before { content: ""; position: absolute; z-index: 1; width: 25%%; height: 6%%; background: #fff; }  /* its name */
  a:hover .window img { top: -100%%; }
  b { display: block; padding: 8px 12px 0; overflow-wrap: anywhere; }
  dl { margin: 0; padding: 4px 12px 10px; font-size: 12px; color: #5d666f; }
  dl div { display: flex; justify-content: space-between; gap: 10px; }
  dt { white-space: nowrap; }
  dd { margin: 0; text-align: right; }
  .unusual { color: #b3261e; }
</style>
</head>
<body>
<h1>%(title)s</h1>
<p>Worst first. %(legend)s</p>
<main>
%(cards)s</main>
</body>
</html>
"""
CARD = """<a href="%(page)s"><div class="window"><img loading="lazy" alt="" src="%(preview)s"></div><b>%(name)s</b>
<dl>
%(rows)s</dl></a>
"""
ROW = """<div%(mark)s><dt>%(name)s</dt><dd>%(value)s</dd></div>
"""
SHOWN = ("outlines agree to", "colors agree to", "surface", "size", "thinnest wall")  # of the facts; the viewer has all


def write_gallery(folder: str | Path) -> Path | None:
    """Write `index.html` of all results below a folder, those of earlier runs included.

    Args:
        folder: where `<id>/<id>_report.json`, `<id>_preview.png` and, unless left out, `<id>_viewer.html` lie.
    Returns:
        Path of the page; None where there is no result.
    """
    folder, reports = Path(folder), []
    for path in sorted(folder.glob(f"*/*{SUFFIX}")):
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            facts(report), legend(report)
        except (OSError, ValueError, KeyError, TypeError):  # not ours, or of another version
            continue
        if path.name == f"{path.parent.name}{SUFFIX}" and report["id"] == path.parent.name:
            reports.append(report)
    if not reports:
        return None
    cards = []
    for report in worst_first(reports):
        name = report["id"]
        viewer = folder / name / f"{name}_viewer.html"
        page = viewer if viewer.is_file() else folder / name / f"{name}_preview.png"
        cards.append(CARD % {"page": quote(os.fsencode(page.relative_to(folder).as_posix())),
                             "preview": quote(os.fsencode(f"{name}/{name}_preview.png")), "name": html.escape(name),
                             "rows": "".join(ROW % {"name": html.escape(row), "value": html.escape(value),
                                                    "mark": ' class="unusual"' if UNUSUAL in value else ""}
                                             for row, value in facts(report) if row in SHOWN)})
    path = folder / "index.html"
    with atomic_write(path) as temporary:
        temporary.write_text(PAGE % {"title": counted(len(reports), "result"), "legend": html.escape(legend(reports[0])),
                                     "cards": "".join(cards)}, encoding="utf-8",
                             errors="backslashreplace")  # names may be no text
    return path
