"""The report of solids whose figures are known, its line, its table and its warning."""
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from utils.mesh.textured_mesh import TexturedMesh
from utils.output.agreement import view_agreement
from utils.output.report import (
    box_sizes,
    count_charts,
    facts,
    mesh_facts,
    object_report,
    report_line,
    report_table,
    unusual,
    unusual_warning,
    view_words,
    wall_warning,
    worst_first,
    write_report,
)
from utils.output.wall_thickness import wall_thickness
from utils.rendering.cameras import Camera
from utils.rendering.rasterizer import render_views
from utils.views.calibration import CalibrationReport


def agreement_of(result):
    return view_agreement(render_views(result.mesh.as_mesh(), 128), result.views.images, result.views.masks)


def bare(solid):
    """A TexturedMesh of a trimesh solid whose every triangle has a chart of its own, a quarter of the texture each at most."""
    count = len(solid.faces)
    uvs = np.tile(np.float32([[0, 0], [0.5, 0], [0, 0.5]]), (count, 1))
    return TexturedMesh(np.asarray(solid.vertices), np.asarray(solid.faces), uvs, np.arange(3 * count).reshape(-1, 3),
                        np.zeros((8, 16, 3), np.uint8))


def test_a_box_has_the_area_volume_and_wall_of_a_box():
    mesh = bare(trimesh.creation.box((2, 1, 0.5)).subdivide().subdivide())
    found = mesh_facts(mesh, wall_thickness(mesh.vertices, mesh.faces))
    assert found["closed"] and (found["parts"], found["handles"]) == (1, 0)
    assert found["area"] == pytest.approx(7) and found["volume"] == pytest.approx(1) and found["size"] == [2, 1, 0.5]
    assert found["thinnest_wall"] == pytest.approx(0.5, abs=1e-4)
    assert (found["texture_px"], found["charts"], found["mirrored_faces"]) == ([16, 8], 12 * 16, 0)
    assert found["uv_use"] == pytest.approx(0.125 * 12 * 16)
    mesh.uvs[:, 0] *= -1
    assert mesh_facts(mesh, np.full(12 * 16, np.nan))["mirrored_faces"] == 12 * 16


def test_a_torus_has_a_handle_and_a_missing_face_opens_it():
    mesh = bare(trimesh.creation.torus(1, 0.3))
    assert mesh_facts(mesh, np.ones(len(mesh.faces)))["handles"] == 1
    opened = replace(mesh, faces=mesh.faces[1:], face_uvs=mesh.face_uvs[1:])
    assert not mesh_facts(opened, np.ones(len(opened.faces)))["closed"]


def test_charts_are_pieces_that_share_texture_coordinates():
    assert count_charts(np.array([[0, 1, 2], [2, 1, 3], [5, 6, 7], [9, 8, 7]])) == 2


def test_a_report_is_plain_json_without_the_day_and_says_what_the_line_says(result, tmp_path):
    report = object_report("leaning", result.mesh, agreement_of(result), 128, made={"seed": None})
    write_report(tmp_path / "one.json", report)
    write_report(tmp_path / "two.json", object_report("leaning", result.mesh, agreement_of(result), 128, made={"seed": None}))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert json.loads((tmp_path / "one.json").read_text()) == report
    assert report["agreement"]["outline_95_px"] < 0.05 and report["agreement"]["psnr_db"] > 40, "it is compared with itself"
    assert report["missing"] == [] and report["cameras"] == {"kind": "named"} and "print" not in report
    line = report_line(report)
    assert line.startswith("leaning: closed, 1 part, 0 handles, 0.95 x 0.60 x 2.00, thinnest wall 0.6")
    assert "px" in line and "dB" in line and "\n" not in line
    assert "px" in view_words(report, "left") and ("surface", "closed, 1 part, 0 handles") in facts(report)


def test_missing_views_and_found_cameras_are_told(result):
    agreement = {view: values for view, values in agreement_of(result).items() if view != "bottom"}
    found = CalibrationReport("found", 4.0, float("nan"), {}, float("inf"), {"front": 1.0, "left": 2.5}, 9)
    mesh = replace(result.mesh, cameras={"front": Camera(np.eye(3), 0.2)}, notes=["seen from afar"])
    report = object_report("leaning", mesh, agreement, 128, found)
    assert report["missing"] == ["bottom"] and view_words(report, "bottom") == "missing"
    assert report["cameras"]["object_lengths"] is None and report["cameras"]["silhouettes_px"] is None
    assert report["cameras"]["views"]["front"]["inverse_distance"] == 0.2
    assert report["notes"] == ["seen from afar"]
    assert ("cameras", "far away, tilts up to 2.5 degrees") in facts(report)
    json.dumps(report, allow_nan=False)


def test_thin_walls_are_warned_about_in_millimeters(result):
    """The box is 2 long and 0.6 thick: at 20 mm it is 6 mm thick."""
    agreement = agreement_of(result)
    report = object_report("leaning", result.mesh, agreement, 128, None, 20.0, 6.5)
    assert report["print"]["thinnest_wall_mm"] == pytest.approx(6, rel=0.01)
    assert report["print"]["size_mm"] == pytest.approx([9.5, 6, 20]) and report["print"]["volume_cm3"] == pytest.approx(0.96)
    warning = wall_warning(report)
    assert "6.00 mm" in warning and "--min_wall_mm 6.5" in warning and "--longest_edge_mm 22" in warning
    assert 0.4 < report["print"]["thinner_share"] < 0.6, "top and bottom: 3.2 of 7.1"
    assert "20.0 mm" in report_line(report) and ("size, mm", "9.5 x 6.0 x 20.0") in facts(report)
    assert wall_warning(object_report("leaning", result.mesh, agreement, 128, None, 20.0, 5.5)) is None
    assert wall_warning(object_report("leaning", result.mesh, agreement, 128)) is None


def test_each_format_is_told_in_the_unit_that_its_file_has(result, tmp_path):
    """The box is 0.95 x 0.6 x 2; what trimesh reads of the files is what the line says of them."""
    edges = {None: "47.5 x 30.0 x 100.0 mm (stl, 3mf), 0.95 x 0.60 x 2.00 (glb, obj)",
             280: "133.0 x 84.0 x 280.0 mm (stl, 3mf, obj), 0.1330 x 0.0840 x 0.2800 m (glb)"}
    for edge, said in edges.items():
        report = object_report("leaning", result.mesh, agreement_of(result), 128, None, edge or 100.0, made={
            "options": {"format": ["stl", "glb", "3mf", "obj"], "longest_edge_mm": edge}})
        assert box_sizes(report) == said and said in report_line(report)
        for numbers, formats in re.findall(r"([\d. x]+)[^(]*\(([^)]*)\)", said):
            for suffix in formats.split(", "):
                path = result.mesh.write(tmp_path / f"box.{suffix}", longest_edge_mm=edge)
                size = trimesh.load(path, force="mesh").extents[[0, 2, 1] if suffix in ("stl", "3mf") else [0, 1, 2]]
                assert [float(number) for number in numbers.split(" x ")] == pytest.approx(size.tolist(), rel=0.01)
    alone = report | {"options": {"format": ["glb"], "longest_edge_mm": 280}}
    assert box_sizes(alone) == "0.1330 x 0.0840 x 0.2800 m"


def test_what_is_beyond_the_usual_is_marked_in_the_line_on_the_page_and_in_the_table(result):
    good = object_report("good", result.mesh, agreement_of(result), 128)
    assert unusual(good) == {} and unusual_warning(good) is None and "unusual" not in report_line(good)
    bad = json.loads(json.dumps(good | {"id": "bad"}))
    bad["mesh"] |= {"closed": False, "parts": 3, "handles": 99}
    bad["agreement"] |= {"outline_mean_px": 0.6, "psnr_db": 11.0}  # of 128 px: as 1.2 of the usual 256
    line, page = report_line(bad), dict(facts(bad))
    assert "open (unusual), 3 parts (unusual), 99 handles (unusual), " in line
    assert "0.60 px (unusual; 95 %: " in line and "11.0 dB (unusual)" in line
    assert page["surface"] == "open (unusual), 3 parts (unusual), 99 handles (unusual)"
    assert page["colors agree to"] == "11.0 dB (unusual)" and "(unusual; " in page["outlines agree to"]
    warning = unusual_warning(bad)
    assert "outlines within 0.5 px" in warning and "15 dB or more" in warning and "look at bad_masks.png" in warning
    heads, *rows = report_table([good, bad]).splitlines()
    assert heads.endswith("unusual") and [row[heads.index("unusual"):].strip() for row in rows] == [
        "closed, parts, handles, outline px, color dB", "-"]
    bad["agreement"]["outline_mean_px"] = 0.4
    assert "outline px" not in unusual(bad)
    bad["agreement"]["views"]["left"]["outline_mean_px"] = 1.1  # a hole that one mask alone has
    assert unusual(bad)["outline px"] == "outlines within 0.5 px, left within 1"


def test_the_worst_comes_first(result):
    good = object_report("good", result.mesh, agreement_of(result), 128)
    far = json.loads(json.dumps(good | {"id": "far"}))
    far["agreement"]["outline_mean_px"] = 3.0
    pale = json.loads(json.dumps(good | {"id": "pale"}))
    pale["agreement"]["psnr_db"] = 12.0
    torn = json.loads(json.dumps(good | {"id": "torn"}))
    torn["mesh"]["closed"] = False
    assert [report["id"] for report in worst_first([good, far, pale, torn])] == ["torn", "far", "pale", "good"]
    lines = report_table([good, far, pale, torn]).splitlines()
    assert [line.split()[0] for line in lines] == ["object", "torn", "far", "pale", "good"] and "NO" in lines[1]
