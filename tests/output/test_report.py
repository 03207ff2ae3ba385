"""The report of solids whose figures are known, its line, its table and its warning."""
import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from utils.mesh.textured_mesh import TexturedMesh
from utils.output.agreement import view_agreement
from utils.output.report import (
    count_charts,
    facts,
    mesh_facts,
    object_report,
    report_line,
    report_table,
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
    assert "20.0 mm" in report_line(report) and ("in millimeters", "9.5 x 6.0 x 20.0") in facts(report)
    assert wall_warning(object_report("leaning", result.mesh, agreement, 128, None, 20.0, 5.5)) is None
    assert wall_warning(object_report("leaning", result.mesh, agreement, 128)) is None


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
