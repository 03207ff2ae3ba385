"""Documented tables are what results/ holds, to the letter."""
import json
import re
import subprocess

import pytest

import evaluate
from config import UserError
from utils.evaluation import readme_tables, report
from utils.evaluation.readme_tables import BLOCK, DOCUMENTS, ROOT, table, with_tables

ROWS = [{"id": f"{kind}_{number}", "method": method, "seconds": 1.0, "cd_l1": 0.01 * number, "f_0.02": value,
         "handles": float(number)}
        for method, value in (("field", 0.75), ("hull", 0.5)) for kind, number in (("shoe", 1), ("cup", 2), ("cup", 3))]


@pytest.fixture
def results(tmp_path):
    """A results folder as evaluate.py writes it, of three objects, one of them a shoe."""
    summary = report.summarize(ROWS, shoes={"shoe_1"})
    report.write_results(tmp_path / "small", ROWS, summary, report.compare_with_hull(ROWS),
                         {"lines": ["three objects"], "commit": "abc", "checkpoints": {"x.pth": "0123"}})
    return tmp_path


def test_tables_hold_the_means_of_all_objects_or_of_a_group(results):
    assert table(results, "small").splitlines() == [
        "| method | objects | cd_l1 | F@0.02 | handles too many | better than the hull |",
        "| --- | --- | --- | --- | --- | --- |", "| field | 3 | 0.0200 | 0.750 | 2.0 | 3 of 3 |",
        "| hull | 3 | 0.0200 | 0.500 | 2.0 |  |"]
    assert "| field | 1 | 0.0100 | 0.750 | 1.0 |" in table(results, "small/shoes")
    assert json.loads((results / "small" / "summary.json").read_text())["checkpoints"] == {"x.pth": "0123"}
    for name, words in (("none", "holds no results"), ("small/planes", "choose from all objects, shoes, others")):
        with pytest.raises(UserError, match=words):
            table(results, name)


def test_only_what_stands_between_the_marks_is_written_anew(results):
    text = "before\n<!-- table:small/shoes -->\nold\n<!-- end -->\nbetween <!-- end -->\n<!-- table:small -->\n<!-- end -->\n"
    new = with_tables(text, results)
    assert new.startswith("before\n<!-- table:small/shoes -->\n| method |") and "old" not in new
    assert "\nbetween <!-- end -->\n" in new and new.count("| hull |") == 2 and with_tables(new, results) == new


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_show_what_results_give(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert with_tables(text, ROOT / "results") == text, "run python -m utils.evaluation.readme_tables"
    if name.startswith("docs"):
        assert BLOCK.findall(text)


def test_results_say_which_commit_and_weights_they_are_of():
    for path in (ROOT / "results").glob("*/summary.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert re.fullmatch("[0-9a-f]{12}", content["commit"]), f"{path}: of files that no commit holds"
        assert all(len(key) >= 8 for key in content["checkpoints"].values())
        assert (path.parent / "objects.csv").is_file() and (path.parent / "table.md").is_file()


def test_command_says_what_is_missing(tmp_path, run_script_main, monkeypatch):
    monkeypatch.setattr(readme_tables, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    for name in DOCUMENTS:
        (tmp_path / name).write_text("<!-- table:absent -->\n<!-- end -->\n")
    code, _, err = run_script_main(readme_tables, "--results", tmp_path)
    assert code == 2 and "absent" in err and "see runs/" in err


@pytest.mark.parametrize("path", sorted((ROOT / "runs").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_of_runs_parse_and_name_only_options_that_exist(path, capsys):
    assert subprocess.run(["bash", "-n", str(path)]).returncode == 0
    commands = " ".join(path.read_text().replace("\\\n", " ").splitlines())
    named = [words for words in re.findall(r"python evaluate\.py(.*?)(?:python|done|$)", commands)]
    with pytest.raises(SystemExit):
        evaluate.parse_options(["--help"])
    known = set(re.findall(r"--\w+", capsys.readouterr().out))
    assert {option for words in named for option in re.findall(r"--\w+", words)} <= known


def test_scripts_that_need_data_say_so():
    import os

    environment = {name: value for name, value in os.environ.items() if not name.startswith("MITO3D_")}
    for name in ("results.sh", "ablations.sh", "weights.sh", "photographs.sh", "baselines.sh"):
        run = subprocess.run(["bash", str(ROOT / "runs" / name)], env=environment, capture_output=True, text=True)
        assert run.returncode and "MITO3D_REAL_OBJECTS" in run.stderr
