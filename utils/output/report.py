"""The report of one result: what the mesh is, how well it agrees with its pictures, and what it was made from.

It holds no time and no folder's path, so the same pictures, options and versions give the same bytes.
"""
import json
from pathlib import Path

import numpy as np

from config import VIEW_NAMES, counted
from utils.evaluation.mesh_topology import topology
from utils.evaluation.report import format_table
from utils.io.files import atomic_write
from utils.mesh.placement import file_unit
from utils.mesh.textured_mesh import TexturedMesh
from utils.output.agreement import mean_agreement
from utils.output.wall_thickness import thinnest_wall, wall_thickness
from utils.rendering.cameras import camera_as_dict
from utils.rendering.seams import seam_steps
from utils.rendering.uv_atlas import mirrored_charts
from utils.views.calibration import CalibrationReport

FORMAT = 1  # raise when a field changes its meaning
SUFFIX = "_report.json"
# Beyond these a figure is called unusual. Every second validation object (25), as exact renders: outlines at most 0.40 px
# apart, colors 18.6 dB or more, one with two parts, two with more handles. Every fourth (12), as simulated photographs of
# the level photo: four are beyond both 1 px and 15 dB, all three with a mask of an IoU below 0.9 among them. Of the objects
# in results/*/objects.csv all are closed and 9 of 156 have several parts.
FAR_PX, FAR_IMAGE_PX = 1.0, 256  # mean distance of outlines, in images of this edge
VIEW_FAR = 2.0  # times as far in one view alone
LOW_DB = 15.0
MANY_HANDLES = 20
UNUSUAL = "unusual"  # the word that stands beside such a figure


def object_report(name: str, mesh: TexturedMesh, agreement: dict, image_px: int,
                  calibration: CalibrationReport | None = None, longest_edge_mm: float | None = None,
                  min_wall_mm: float | None = None, made: dict | None = None) -> dict:
    """Everything that is said about a result, as plain values for JSON.

    Args:
        name: the object's id.
        mesh: utils.mesh.textured_mesh.TexturedMesh.
        agreement: of `utils.output.agreement.view_agreement`; image_px: edge of the images it was measured on.
        calibration: utils.views.calibration.CalibrationReport, or None where cameras were not looked for.
        longest_edge_mm: true length, or None; min_wall_mm: walls thinner than this are warned about, or None.
        made: what else is to be told (inputs, options, versions).
    Returns:
        dict; docs/formats.md says what each field means.
    """
    thickness = wall_thickness(mesh.vertices, mesh.faces)
    report = {"format": FORMAT, "id": name, "mesh": mesh_facts(mesh, thickness),
              "agreement": {"image_px": image_px, **mean_agreement(agreement), "views": agreement},
              "missing": [view for view in VIEW_NAMES if view not in agreement],
              "cameras": _cameras(mesh, calibration), "notes": list(mesh.notes)}
    if longest_edge_mm is not None:
        report["print"] = print_facts(mesh, report["mesh"], thickness, longest_edge_mm, min_wall_mm)
    return _rounded(report | (made or {}))


def mesh_facts(mesh: TexturedMesh, thickness: np.ndarray) -> dict:
    """What a mesh is, in normalized units: counts, topology, size, area, volume, walls, and its use of the texture."""
    found = topology(mesh.vertices, mesh.faces)
    corners = mesh.vertices[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = mesh.uvs[mesh.face_uvs].astype(np.float64)
    sides = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    steps = seam_steps(mesh.texture, mesh.faces, mesh.uvs, mesh.face_uvs)
    charts, mirrored = count_charts(mesh.face_uvs), mirrored_charts(mesh.uvs, mesh.face_uvs)
    return {"vertices": len(mesh.vertices), "faces": len(mesh.faces), "closed": found.watertight, "parts": found.parts,
            "handles": found.handles, "size": np.ptp(mesh.vertices, axis=0).tolist(),
            "area": float(np.linalg.norm(cross, axis=1).sum() / 2),
            "volume": float(np.einsum("fj,fj->", corners[:, 0], cross) / 6),
            "thinnest_wall": thinnest_wall(mesh.vertices, mesh.faces, thickness),
            "texture_px": list(mesh.texture.shape[1::-1]), "charts": charts,
            "seam_step_95": float(np.quantile(steps, 0.95)) if len(steps) else 0.0,
            "seam_step_max": float(steps.max(initial=0.0)), "mirrored_faces": int(mirrored[mesh.face_uvs[:, 0]].sum()),
            "uv_use": float(np.abs(sides[0][:, 0] * sides[1][:, 1] - sides[0][:, 1] * sides[1][:, 0]).sum() / 2)}


def count_charts(face_uvs: np.ndarray) -> int:
    """Number of connected pieces of a texture atlas: face_uvs (F, 3) int, indices into texture coordinates."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    used, index = np.unique(face_uvs, return_inverse=True)
    index = index.reshape(-1, 3)
    ends = np.concatenate([index[:, :2], index[:, 1:]])
    links = coo_matrix((np.ones(len(ends), np.int8), ends.T), shape=(len(used), len(used)))
    return int(connected_components(links, directed=False)[0])


def print_facts(mesh: TexturedMesh, in_units: dict, thickness: np.ndarray, longest_edge_mm: float,
                min_wall_mm: float | None) -> dict:
    """`mesh_facts` (in_units) in millimeters, and the share of the surface that is thinner than min_wall_mm."""
    scale, wall = longest_edge_mm / max(in_units["size"]), in_units["thinnest_wall"]
    facts = {"size_mm": [edge * scale for edge in in_units["size"]], "volume_cm3": in_units["volume"] * scale ** 3 / 1000,
             "thinnest_wall_mm": None if wall is None else wall * scale, "min_wall_mm": min_wall_mm}
    if min_wall_mm is not None:
        corners = mesh.vertices[mesh.faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        with np.errstate(invalid="ignore"):
            facts["thinner_share"] = float(area[thickness * scale < min_wall_mm].sum() / area.sum())
    return facts


def wall_warning(report: dict) -> str | None:
    """One sentence if walls are too thin to print at the size that was asked for, else None."""
    facts = report.get("print", {})
    wall, least = facts.get("thinnest_wall_mm"), facts.get("min_wall_mm")
    if wall is None or least is None or wall >= least:
        return None
    edge = max(facts["size_mm"])
    return (f"walls as thin as {wall:.2f} mm, {100 * facts['thinner_share']:.1f} % of the surface under --min_wall_mm "
            f"{least:g}: print it larger (--longest_edge_mm {np.ceil(edge * least / max(wall, 1e-6)):.0f}), or thicken it")


def unusual(report: dict) -> dict[str, str]:
    """Figures that are beyond what is usual for this project's results: {column of the report's table: what is usual}."""
    mesh, agreement = report["mesh"], report["agreement"]
    far_px = FAR_PX * agreement["image_px"] / FAR_IMAGE_PX
    worst, view_px = max(((view, found["outline_mean_px"]) for view, found in agreement["views"].items()),
                         key=lambda pair: pair[1])
    alone = f", {worst} within {VIEW_FAR * far_px:g}" if view_px > VIEW_FAR * far_px else ""
    found = {"closed": (not mesh["closed"], "closed"), "parts": (mesh["parts"] > 1, "1 part"),
             "handles": (mesh["handles"] > MANY_HANDLES, f"at most {MANY_HANDLES} handles"),
             "outline px": (agreement["outline_mean_px"] > far_px or alone, f"outlines within {far_px:g} px{alone}"),
             "color dB": (agreement["psnr_db"] < LOW_DB, f"colors to {LOW_DB:g} dB or more")}
    return {column: usual for column, (beyond, usual) in found.items() if beyond}


def unusual_warning(report: dict) -> str | None:
    """One sentence if a figure is beyond what is usual, else None."""
    found = unusual(report)
    return (f"beyond what is usual for a field ({', '.join(found.values())}): look at {report['id']}_masks.png and "
            f"{report['id']}_preview.png") if found else None


def box_sizes(report: dict) -> str:
    """Edges of the box with their unit, for each format where formats differ in it."""
    edges = np.array(report["mesh"]["size"])
    if "print" not in report:
        return " x ".join(f"{edge:.2f}" for edge in edges)
    options = report.get("options") or {"format": ["stl"], "longest_edge_mm": max(report["print"]["size_mm"])}
    formats: dict[str, list[str]] = {}
    for name in options["format"]:
        longest, unit = file_unit(f".{name}", options["longest_edge_mm"])
        scale, digits = (1, 2) if longest is None else (longest / edges.max(), 1 if unit == "mm" else 4)
        formats.setdefault(f"{' x '.join(f'{edge:.{digits}f}' for edge in scale * edges)} {unit}".rstrip(), []).append(name)
    return ", ".join(size + (f" ({', '.join(names)})" if len(formats) > 1 else "") for size, names in formats.items())


def report_line(report: dict) -> str:
    """The report in one line."""
    mesh, (surface, outlines, colors) = report["mesh"], _in_words(report)
    wall, unit = (report["print"]["thinnest_wall_mm"], " mm") if "print" in report else (mesh["thinnest_wall"], "")
    digits = 2 if unit else 3
    return (f"{report['id']}: {surface}, {box_sizes(report)}, thinnest wall "
            f"{'none' if wall is None else f'{wall:.{digits}f}{unit}'}; agrees with its pictures: outlines to {outlines}, "
            f"colors to {colors}; "
            f"{100 * mesh['uv_use']:.0f} % of the texture in {counted(mesh['charts'], 'chart')}")


def report_table(reports: list) -> str:
    """One line per result, worst first: those whose outlines agree least with the pictures."""
    lines = [("object", "outline px", "95 %", "color dB", "closed", "parts", "handles", "thinnest wall", "texture used",
              "unusual")]
    for report in worst_first(reports):
        mesh, agreement, wall = report["mesh"], report["agreement"], report["mesh"]["thinnest_wall"]
        lines.append((report["id"], f"{agreement['outline_mean_px']:.2f}", f"{agreement['outline_95_px']:.2f}",
                      f"{agreement['psnr_db']:.1f}", "yes" if mesh["closed"] else "NO", str(mesh["parts"]),
                      str(mesh["handles"]), "none" if wall is None else f"{wall:.3f}", f"{100 * mesh['uv_use']:.0f} %",
                      ", ".join(unusual(report)) or "-"))
    return format_table(lines)


def worst_first(reports: list) -> list:
    """Reports sorted: open meshes, then the largest distance between outlines, then the lowest PSNR."""
    return sorted(reports, key=lambda report: (report["mesh"]["closed"], -report["agreement"]["outline_mean_px"],
                                               report["agreement"]["psnr_db"], report["id"]))


def facts(report: dict) -> list:
    """Pairs of str that a page shows: name and value."""
    mesh, wall, cameras = report["mesh"], report["mesh"]["thinnest_wall"], report["cameras"]
    surface, outlines, colors = _in_words(report)
    pairs = [("outlines agree to", outlines), ("colors agree to", colors), ("surface", surface),
             ("vertices, faces", f"{mesh['vertices']}, {mesh['faces']}"),
             ("size", " x ".join(f"{edge:.3f}" for edge in mesh["size"])),
             ("area, volume", f"{mesh['area']:.3f}, {mesh['volume']:.3f}"),
             ("thinnest wall", "none" if wall is None else f"{wall:.3f}")]
    if "print" in report:
        size = " x ".join(f"{edge:.1f}" for edge in report["print"]["size_mm"])
        wall = report["print"]["thinnest_wall_mm"]
        pairs += [("size, mm", size), ("thinnest wall, mm", "none" if wall is None else f"{wall:.2f}")]
    pairs.append(("texture", f"{mesh['texture_px'][0]} px, {100 * mesh['uv_use']:.0f} % used, "
                             f"{counted(mesh['charts'], 'chart')}"))
    if cameras["kind"] == "found":
        away = cameras["object_lengths"]
        pairs.append(("cameras", f"{f'{away:.1f} lengths away' if away else 'far away'}, tilts up to "
                                 f"{max(cameras['tilts_deg'].values()):.1f} degrees"))
    return pairs


def legend(report: dict) -> str:
    """What the figures of a page mean that nobody can guess."""
    return (f"px: how far the outlines of mesh and picture lie apart, in pictures of {report['agreement']['image_px']} px. "
            f"dB: how alike their colors are; usual is {LOW_DB:g} or more. Lengths: the longest edge is 2.")


def view_words(report: dict, view: str) -> str:
    """What the report says of one view, a few words: distance of its outlines and color difference."""
    found = report["agreement"]["views"].get(view)
    return f"{found['outline_mean_px']:.2f} px, {found['psnr_db']:.1f} dB" if found else "missing"


def write_report(path: str | Path, report: dict) -> None:
    """Write a report as JSON."""
    with atomic_write(path) as temporary:
        # A name of bytes that are no text is written as JSON escapes, which give the same name when read
        temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8",
                             errors="backslashreplace")


def _in_words(report):
    """What is said of the surface, of the outlines and of the colors, with a word beside each figure that is unusual."""
    mesh, agreement, beyond = report["mesh"], report["agreement"], unusual(report)

    def marked(text, column):
        return f"{text} ({UNUSUAL})" if column in beyond else text

    surface = ", ".join([marked("closed" if mesh["closed"] else "open", "closed"),
                         marked(counted(mesh["parts"], "part"), "parts"),
                         marked(counted(mesh["handles"], "handle"), "handles")])
    return (surface, f"{agreement['outline_mean_px']:.2f} px ({f'{UNUSUAL}; ' * ('outline px' in beyond)}95 %: "
            f"{agreement['outline_95_px']:.2f})", marked(f"{agreement['psnr_db']:.1f} dB", "color dB"))


def _cameras(mesh, calibration):
    """How the cameras were found."""
    if calibration is None:
        return {"kind": "named"}
    return {"kind": calibration.kind, "object_lengths": float(calibration.lengths),
            "tilts_deg": {view: float(angle) for view, angle in calibration.tilts_deg.items()},
            "silhouettes_px": float(calibration.error_after),
            "views": {view: camera_as_dict(camera) for view, camera in mesh.cameras.items()}}


def _rounded(value):
    """Floats to six decimals, all the way down; None for what is not finite, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value
