"""All that is written for one object: the mesh in the formats that were asked for, and what shows and describes it."""
import json
from dataclasses import dataclass
from pathlib import Path

from config import VIEW_NAMES
from utils.mesh.mesh_io import beside
from utils.mesh.placement import PRINT_EDGE_MM, PRINTED
from utils.mesh.textured_mesh import TexturedMesh
from utils.output.agreement import view_agreement
from utils.output.preview import write_preview
from utils.output.provenance import file_hash, named_hash, versions
from utils.output.report import SUFFIX, object_report, write_report
from utils.output.turntable import write_turntable
from utils.output.viewer import write_viewer
from utils.rendering.cameras import VIEW_CAMERAS
from utils.rendering.rasterizer import render_views
from utils.views.calibration import CalibrationReport
from utils.views.mask_sheet import write_mask_sheet
from utils.views.six_views import SixViews


@dataclass(frozen=True)
class OutputOptions:
    """What to write: formats (suffixes without their dot) and, as for `TexturedMesh.write`, how the mesh stands.

    min_wall_mm: walls that are thinner at the printed size are warned about.
    viewer: also a page to look at it; turntable: also an animated picture.
    """

    formats: tuple = ("obj",)
    up: str = "y"
    ground: bool = False
    longest_edge_mm: float | None = None
    texture_format: str = "png"
    min_wall_mm: float | None = None
    viewer: bool = True
    turntable: bool = False

    def print_edge_mm(self) -> float | None:
        """Longest edge in millimeters, where the mesh is given one."""
        printed = any(f".{name}" in PRINTED for name in self.formats)
        return PRINT_EDGE_MM if self.longest_edge_mm is None and printed else self.longest_edge_mm


def write_result(folder: str | Path, name: str, mesh: TexturedMesh, views: SixViews, options: OutputOptions,
                 calibration: CalibrationReport | None = None, masks: dict | None = None,
                 made_with: dict | None = None) -> dict:
    """Write one object's results as `<folder>/<name>.<format>`, `<name>_preview.png` and so on, the report last.

    Args:
        mesh: utils.mesh.textured_mesh.TexturedMesh.
        views: utils.views.six_views.SixViews that it was made from, at the size of the preview.
        calibration: utils.views.calibration.CalibrationReport or None.
        masks: {view name: path} of mask files, or None.
        made_with: options, device and checkpoints, as plain values for the report.
    Returns:
        the report, see `utils.output.report.object_report`.
    Raises:
        UserError: a file cannot be written.
    """
    folder, solid, size = Path(folder), mesh.as_mesh(), views.images.shape[1]
    files = []
    for suffix in options.formats:
        path = mesh.write(folder / f"{name}.{suffix}", up=options.up, ground=options.ground,
                          longest_edge_mm=options.longest_edge_mm, texture_format=options.texture_format)
        files += [path] + [beside(path, ending) for ending in (".mtl", f".{options.texture_format}") if suffix == "obj"]
    drawn = render_views(solid, size, cameras=VIEW_CAMERAS | mesh.cameras)
    write_preview(folder / f"{name}_preview.png", views.images, solid, drawn)
    taken = views.taken or tuple(zip(views.images, views.masks))
    tiles = write_mask_sheet(folder / f"{name}_masks.png",
                             [image if present else None for (image, _), present in zip(taken, views.present)],
                             [mask for _, mask in taken], list(views.confidence))

    inputs = {view: path for view, path, present in zip(VIEW_NAMES, views.paths, views.present) if present}
    agreement = view_agreement({view: drawn[view] for view in inputs}, views.images, views.masks)
    made = {"inputs": {view: named_hash(path) for view, path in inputs.items()},
            "masks": {view: named_hash(path) for view, path in (masks or {}).items()},
            **(made_with or {}), "seed": None, "versions": versions(),  # nothing is drawn at random
            "files": {path.name: file_hash(path) for path in files}}
    report = object_report(name, mesh, agreement, size, calibration, options.print_edge_mm(), options.min_wall_mm, made)
    if options.viewer:
        write_viewer(folder / f"{name}_viewer.html", mesh, tiles, report)
    if options.turntable:
        write_turntable(folder / f"{name}_turntable.webp", solid)
    write_report(folder / f"{name}{SUFFIX}", report)
    return report


def replaced_note(folder: str | Path, new: str | Path, name: str) -> str | None:
    """A sentence about the earlier result in `folder`, before files from `new` take its place.

    Args:
        folder, new: where the earlier result lies, if there is one, and where this one lies; name: the object's.
    Returns:
        str; None where nothing is lost: there is no earlier result, or it was the same.
    """
    folder, new = Path(folder), Path(new)
    files = {path.name for path in new.iterdir()}
    common = sorted(file for file in files if (folder / file).is_file())
    if not common:
        return None
    try:
        before = json.loads((folder / f"{name}{SUFFIX}").read_text(encoding="utf-8"))
        now = json.loads((new / f"{name}{SUFFIX}").read_text(encoding="utf-8"))
        same_images, old_files = before["inputs"] == now["inputs"], {*before["files"]}
    except (OSError, ValueError, KeyError, TypeError):  # no report, or not ours
        return f"{', '.join(common)}, which lay in {folder} without a report, {'is' if len(common) == 1 else 'are'} replaced"
    left = sorted(file for file in old_files | {f"{name}_viewer.html", f"{name}_turntable.webp"}
                  if file not in files and (folder / file).is_file())
    if before == now and not left:
        return None
    stays = f"; {', '.join(left)} of it {'stays' if len(left) == 1 else 'stay'}" if left else ""
    return f"the earlier result in {folder}{'' if same_images else ', of other images,'} is replaced{stays}"
