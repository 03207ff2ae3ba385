"""The benchmarks run and their gates judge rightly. No test here asks how fast anything is."""
import importlib
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import bake, chamfer, export, field, hull, item, measure, memory, render, scale, step
from benchmarks.measure import (
    Row,
    as_markdown,
    as_text,
    at_least,
    at_most,
    compare,
    extra_memory_mb,
    in_child,
    ratio_at_least,
)

table = importlib.import_module("benchmarks.__main__")
CPU = torch.device("cpu")
TINY_ENCODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def once(monkeypatch):
    """Each side is called once a round, however quick it is."""
    monkeypatch.setattr(measure, "SHORTEST_S", 0.0)


def are_finite(rows):
    return rows and all(math.isfinite(value) for row in rows for value in (row.ours, row.other, row.times())
                        if value is not None)


# Gates


@pytest.mark.parametrize("ours, other, gate, expected", [
    (2.0, 80.0, ratio_at_least(40), True), (2.0, 79.0, ratio_at_least(40), False),
    (32.0, 800.0, at_most(32), True), (32.1, 800.0, at_most(32), False), (0.0, 800.0, at_most(32), True),
    (0.999, None, at_least(0.999), True), (0.998, None, at_least(0.999), False),
    (1.0, None, ratio_at_least(1), False), (float("nan"), None, at_most(32), False),
    (float("nan"), None, at_least(0.999), False), (5.0, 1.0, None, None),
])
def test_a_gate_passes_at_its_limit_and_not_beyond(ours, other, gate, expected):
    assert Row("what", ours, other, "ms", gate).passes() is expected


def test_the_median_of_ratios_counts_and_not_the_ratio_of_medians():
    assert Row("what", 1.0, 1.0, "ms", ratio_at_least(2), ratio=3.0).passes() is True
    assert Row("what", 1.0, 5.0, "ms", ratio_at_least(4), ratio=3.0).passes() is False


def test_both_sides_take_turns_and_the_ratio_is_the_rounds_median(monkeypatch, once):
    order, costs = [], {"a": iter([1, 2, 2, 2, 9]), "b": iter([1, 8, 6, 10, 9])}

    def seconds(function, device=None):
        before = len(order)
        function()
        return next(costs[order[before]])

    monkeypatch.setattr(measure, "seconds", seconds)
    row = compare("what", lambda: order.append("a"), lambda: order.append("b"), rounds=3)
    assert "".join(order) == "aabb" + "ab" + "ba" + "ab"
    assert row.ratio == 4.0 and (row.ours, row.other) == (2000, 8000)  # the rounds' ratios are 4, 3 and 5


def test_quick_calls_are_timed_many_at_a_time(monkeypatch):
    calls = []
    monkeypatch.setattr(measure, "SHORTEST_S", 1.0)
    monkeypatch.setattr(measure, "seconds", lambda function, device=None: (function(), 0.1)[1])
    row = compare("what", lambda: calls.append(0), lambda: None, rounds=1)
    assert len(calls) == 1 + 1 + 10 and row.ours == pytest.approx(10.0)


def test_cpu_seconds_are_work_and_not_waiting():
    import time

    assert measure.seconds(lambda: time.sleep(0.3)) < 0.1


def test_the_table_is_aligned_and_says_what_failed():
    rows = [Row("short", 1.0, 80.0, "ms", ratio_at_least(40)), Row("a longer claim", 64.0, None, "MB", at_most(32)),
            Row("no gate", 1234.5, 1.0, "ms", beside="peer")]
    lines = as_text(rows).splitlines()
    assert len(lines) == 4 and len({line.index(word) for line, word in zip(lines[1:], ("1 ms", "64 MB", "1,234"))}) == 1
    assert lines[1].split()[-4:] == ["80x", ">=", "40x", "pass"] and lines[2].split()[-4:] == ["<=", "32", "MB", "FAIL"]
    assert "(peer)" in lines[3] and lines[3].endswith("stated")
    assert as_markdown(rows).splitlines()[3] == "| a longer claim | 64 MB | - | - | <= 32 MB | FAIL |"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere only rises above the old peak are seen")
def test_extra_memory_is_what_a_call_takes_for_a_while():
    assert extra_memory_mb(lambda: np.ones(96 << 20, np.uint8).sum()) == pytest.approx(96, abs=8)
    assert extra_memory_mb(lambda: None) < 8


def test_a_child_that_fails_raises_with_what_it_said():
    with pytest.raises(RuntimeError, match="exit code 3\n.*no luck"):
        in_child("-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)")
    assert in_child("-c", "print('noise'); print('42')") == "42"


# The command


def test_a_failed_gate_is_exit_code_1_and_the_table_is_written(run_script_main, monkeypatch, tmp_path):
    rows = {"chamfer": [Row("good", 1.0, 80.0, "ms", ratio_at_least(40))],
            "render": [Row("bad", 1.0, 8.0, "ms", ratio_at_least(40))]}
    monkeypatch.setattr(table, "run_one", lambda name, rounds, device: rows[name])
    code, out, err = run_script_main(table, "chamfer", "--markdown", tmp_path / "table.md")
    assert code == 0 and "good" in out and "| good |" in (tmp_path / "table.md").read_text()
    code, out, err = run_script_main(table, "chamfer", "render")
    assert code == 1 and "FAIL" in out and "1 gates failed: bad" in err


def test_everything_runs_where_nothing_is_named(run_script_main, monkeypatch):
    names = []
    monkeypatch.setattr(table, "run_one", lambda name, rounds, device: names.append(name) or [])
    run_script_main(table)
    assert tuple(names) == table.BENCHMARKS


@pytest.mark.parametrize("script, argv, words", [
    (table, ["chamfre"], "chamfre: no such benchmark; choose from chamfer, step"),
    (table, ["--rounds", "0"], "--rounds 0: must be at least 1"),
    (memory, ["small"], "small: no such preset; choose from default, fast"),
    (scale, ["--largest", "9"], "--largest 9: must be at least 10"),
    (scale, ["--meshes", "nowhere"], "--meshes nowhere: no such folder"),
])
def test_a_wrong_option_is_one_line_naming_it(script, argv, words, run_script_main):
    code, out, err = run_script_main(script, *argv)
    assert code == 2 and err.startswith(f"error: {words}") and err.count("\n") == 1


def test_off_the_cpu_rows_are_stated_without_gates(monkeypatch):
    monkeypatch.setattr("utils.device.resolve_device", torch.device)
    monkeypatch.setattr(chamfer, "run", lambda rounds, device: [Row("what", 1.0, 2.0, "ms", ratio_at_least(40))])
    assert table.run_one("chamfer", 1, "cuda")[0].passes() is None
    assert table.run_one("chamfer", 1, "cpu")[0].passes() is False


# Each benchmark, small


def test_chamfer_times_and_errors_are_finite(once):
    assert are_finite(chamfer.times(1, CPU, points=32, batches=(1, 2)))
    rows = chamfer.errors(256, CPU)
    assert are_finite(rows) and all(row.passes() for row in rows)


def test_the_broadcast_chamfer_is_the_mean_squared_distance_both_ways():
    pred, true = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]]), torch.tensor([[[0.0, 0, 2]]])
    for _, other, _ in chamfer.OTHERS:
        assert float(other(pred, true)) == pytest.approx((4 + 5) / 2 + 4)


@pytest.mark.slow
def test_chamfer_memory_is_measured_in_two_processes():
    row = chamfer.memory_row(1024)
    table_mb = 3 * 1024**2 * 4 / 2**20  # the tensor of all differences, held more than once by the other way
    assert 0 <= row.ours < table_mb < row.other


@pytest.mark.slow
def test_the_step_is_finite_and_both_ways_minimize_the_same_loss(once):
    rows = step.run(1, num_points=16, image_size=28, decoder_hidden=(16,), architecture=TINY_ENCODER)
    assert are_finite(rows)
    model = step.random_model(28, 16, (16,), TINY_ENCODER)
    generator = torch.Generator().manual_seed(0)
    vertices, true, draws = (torch.rand(2, count, 3, generator=generator) for count in (16, 40, 24))
    weights = {"chamfer": 1.0, "coverage": 0.5, "laplacian": 0.3, "edge": 0.2, "normal": 0.1}
    ours, _ = step.geometry_loss(vertices, model.template, true, draws, weights)
    torch.testing.assert_close(step.broadcast_loss(vertices, model.template, true, draws, weights), ours)


@pytest.mark.slow
def test_dataset_items_are_finite_and_the_other_way_reads_the_same_object(once, shoes):
    assert are_finite(item.run(1, num_points=64, image_size=28, texture_size=64))
    files = item.find_objects(shoes / "OBJs", shoes / "input_images")[0][0]
    points, normals, colors, images = item.from_files(files, 64, 28)
    assert points.shape == normals.shape == (64, 3) and len(colors) == 64 and images.shape[:3] == (6, 28, 28)
    assert np.abs(points).max() <= 1 + 1e-4  # the shoe fills the normalized frame


def test_rendering_is_finite_and_embree_sees_the_same(once):
    pytest.importorskip("embreex")
    rows = render.run(1, size=64, cuts=1)
    assert are_finite(rows) and rows[1].ours > 0.99


def test_a_finer_shoe_has_the_same_surface_in_more_faces():
    coarse, fine = render.fine_shoe(1, 64), render.fine_shoe(3, 64)
    assert len(fine.faces) == 9 * len(coarse.faces)

    def area(mesh):
        a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
        return np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2

    assert area(fine) == pytest.approx(area(coarse))


def test_the_hull_is_finite_and_equals_every_cell_projected(once):
    rows = hull.run(1, resolution=12, size=48)
    assert are_finite(rows) and rows[1].passes()


@pytest.mark.slow
def test_the_field_equals_its_arithmetic_written_in_numpy(once):
    rows = field.run(1, num_points=2000)
    assert are_finite(rows) and rows[1].ours < 1e-5


def test_baking_and_export_are_finite(once):
    assert are_finite(bake.run(1, num_points=48, texture_size=64))
    assert are_finite(export.run(1, num_points=48, texture_size=64))


@pytest.mark.slow
def test_the_start_is_measured_and_help_loads_nothing_heavy():
    from benchmarks import start

    rows = {row.what: row for row in start.run(1)}
    assert are_finite(list(rows.values()))
    assert rows["heavy packages that --help loads"].passes()
    assert rows["heavy packages that a mistyped option loads"].passes()


def test_a_run_that_ends_before_it_is_ready_is_no_quick_start(monkeypatch):
    from benchmarks import start

    monkeypatch.setattr(start, "child", lambda code, *argv: {"code": 2, "ready": False, "seconds": 0.1, "loaded": []})
    with pytest.raises(RuntimeError, match="exit code 2 before it was ready"):
        start.run(1)


# Memory and scale


def test_memory_prints_a_row_for_each_preset_and_fails_above_8_gb(run_script_main, monkeypatch, tmp_path):
    peaks = iter([700, 800, 900, 8000, 8191, 1000, 8000, 8193, 1000])

    def child(function, *arguments):
        if function == "save_encoder":
            return "encoder"
        own = tmp_path.__class__(arguments[-4]) / arguments[-3]
        own.mkdir(exist_ok=True)
        return str(next(peaks))

    monkeypatch.setattr(memory, "child", child)
    code, out, _ = run_script_main(memory, "fast", "memory_efficient")
    assert code == 0 and out.splitlines()[2:] == ["| `fast` | 700 | 800 | 900 |",
                                                  "| `memory_efficient` | 8,000 | 8,191 | 1,000 |"]
    code, _, err = run_script_main(memory, "memory_efficient")
    assert code == 1 and "does not fit 8 GB" in err


@pytest.mark.slow
def test_memory_of_a_tiny_preset_is_measured_through_both_stages_and_inference(monkeypatch, tmp_path, capsys):
    from config import PRESETS, FastTrainingConfig
    from tests.conftest import TINY

    monkeypatch.setitem(PRESETS, "tiny", lambda: FastTrainingConfig(**{**TINY, "batch_size_stage1": 1}))
    for job in (lambda *a: memory.training("geometry", *a), lambda *a: memory.training("texture", *a),
                memory.inference):
        job(tmp_path, "tiny", "unused", "cpu")
        assert float(capsys.readouterr().out.splitlines()[-1]) > 50


def test_costs_that_grow_as_the_square_are_worse_than_linear():
    counts = [10, 100]
    assert scale.exponent(counts, [1.0, 10.0]) == pytest.approx(1)
    assert scale.exponent(counts, [1.0, 100.0]) == pytest.approx(2)
    assert "WORSE" in scale.verdict("stage", counts, [1.0, 100.0])
    assert "linear or better" in scale.verdict("stage", counts, [1.0, 9.0])
    assert "one count only" in scale.verdict("stage", [10], [1.0])


def test_the_image_shows_every_line_in_its_color(tmp_path):
    scale.draw(tmp_path / "new" / "scale.png", [10, 100, 1000], {"a": [1.0, 10.0, 100.0], "b": [0.5, 0.5, 0.5]})
    image = np.asarray(Image.open(tmp_path / "new" / "scale.png").convert("RGB")).reshape(-1, 3)
    for color in scale.COLORS[:2]:
        assert (image == color).all(axis=1).sum() > 500
    assert not (image == scale.COLORS[2]).all(axis=1).any()


@pytest.mark.slow
def test_scale_measures_every_stage_of_made_up_objects(run_script_main, monkeypatch, tmp_path):
    import train_geometry

    monkeypatch.setattr(scale, "COUNTS", (2, 4))
    monkeypatch.setattr(train_geometry, "MEAN_SHAPE_STEPS", 1)
    code, out, _ = run_script_main(scale, "--image", tmp_path / "scale.png")
    lines = out.splitlines()
    assert code == 0 and [line.split()[0] for line in lines[1:3]] == ["2", "4"]
    assert all(float(number) > 0 for line in lines[1:3] for number in line.split()[1:])
    assert sum("objects^" in line for line in lines) == len(scale.STAGES) and (tmp_path / "scale.png").is_file()
