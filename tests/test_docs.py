"""What README and docs say can be run is run, and what they name is there."""
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trimesh

import config
from config import Config, option_fields, parse_config
from tests.training.test_plot_log import write_log

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "checkpoints" / "pretrained" / "README.md"])
SCRIPTS = ("inference.py", "evaluate.py", "load_data.py", "utils/prepare_dataset.py", "utils/rename_to_IDs.py",
           "utils/io/checkpoint.py", "utils/training_data/synthetic/shoes.py", "utils/compare_runs.py", "models/share.py",
           "app.py", "tests/stress/kill.py")
TRAINING = {"train_geometry": "geometry", "train_field": "field", "train_texture": "texture", "load_data": "load_data"}
# Programs that are not ours or have no options; nothing that is not known here or in the project is ever started
OTHERS = {"pytest", "venv", "tests.test_training_startup", "tests.test_permutation_invariance"}
TOOLS = {"pip", "tensorboard", "ruff", "mypy"}


def documented_commands():
    """(page, words) of each command line in the docs: those of shell blocks, and those within text."""
    found = []
    pages = [page for page in PAGES if page.parent.name != "pretrained"]  # which tells how an earlier version was run
    for page in [*pages, ROOT / "CONTRIBUTING.md"]:
        text = page.read_text().replace("\\\n", " ")
        fences = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
        lines = [line for language, block in fences.findall(text) if language in ("", "bash") for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", fences.sub("", text))
        for command in (part.strip() for line in lines for part in line.split("&&")):
            if re.match(rf"(python|torchrun|accelerate|{'|'.join(TOOLS)}) |\S+\.sh\b|\.ci/run", command):
                found.append((page.name, shlex.split(command, comments=True)))
    return found


def test_the_first_screen_has_the_two_setup_lines_and_the_page_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    for line in ("pip install -r requirements.txt && python inference.py",
                 "pip install -r requirements-dev.txt && python -m pytest"):
        assert line in lines[:25]
    assert len(lines) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_every_named_file_is_there(page):
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for name in re.findall(r"`((?:utils|models|tests|docs|runs|benchmarks|data)/[\w/.]*\w+\.(?:py|md|sh|txt))`", text):
        assert (ROOT / name).exists(), name


def test_every_option_named_in_the_docs_is_one_of_some_script():
    known = {f"--{item.name}" for item in option_fields(Config)} | {"--preset", "--help"}
    known |= {"--nproc_per_node", "--logdir"}  # torchrun, tensorboard
    for script in SCRIPTS:
        known |= set(re.findall(r"\"(--\w+)\"", (ROOT / script).read_text()))
    for page in PAGES:
        named = set(re.findall(r"(?<![\w-])(--[a-z]\w*)", page.read_text()))
        assert named <= known, f"{page.name}: {sorted(named - known)}"


@pytest.mark.slow
def test_the_examples_of_the_python_page_run(tmp_path):
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    example = "".join(examples)
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "example.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{example}")
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(examples) == 2 and "(512, 512, 3)" in done.stdout
    for said in re.findall(r"print\(\w+(?:\.notes)?\)  # (\S.*)", examples[1]):
        assert f"\n{said}\n" in done.stdout, "as the page has it"
    assert (tmp_path / "output" / "shoe_of_five.glb").is_file()
    assert 5000 < len(trimesh.load(tmp_path / "output" / "shoe.glb", force="mesh").faces) <= 10000


class Parsed(Exception):
    """A command line was understood."""


def check_command(words, monkeypatch):
    """Let a command's own parser read its options, and nothing more."""
    if words[0].endswith((".sh", "/run")):
        assert (ROOT / words[0]).is_file()
        return
    if words[0] in TOOLS:
        assert all((ROOT / word).is_file() for word in words if word.startswith("requirements"))
        return
    words = [word for word in words if word not in ("...", "OPTIONS")]
    if words == ["accelerate", "launch"]:
        return
    start = next(number for number, word in enumerate(words) if word == "-m" or word.endswith(".py"))
    name = words[start + 1] if words[start] == "-m" else words[start].removesuffix(".py").replace("/", ".")
    options = words[start + 1 + (words[start] == "-m"):]
    if name in OTHERS:
        return
    if name in TRAINING:
        parse_config(options, "", TRAINING[name])
        return
    name = "benchmarks.__main__" if name == "benchmarks" else name
    assert (ROOT / f"{name.replace('.', '/')}.py").is_file(), "no program of this project"
    module = importlib.import_module(name)

    def parse(parser, argv):
        plain(parser, argv)
        raise Parsed

    plain = config.OptionParser.parse_args
    with monkeypatch.context() as patch, pytest.raises(Parsed):
        patch.setattr(config.OptionParser, "parse_args", parse)
        module.main(options)


def test_every_command_in_the_docs_is_understood_by_the_program_that_it_names(monkeypatch):
    commands = documented_commands()
    assert len(commands) > 25 and {"README.md", "faq.md", "training.md"} <= {page for page, _ in commands}
    for page, words in commands:
        try:
            check_command(words, monkeypatch)
        except (Exception, pytest.fail.Exception) as error:
            pytest.fail(f"{page}: {' '.join(words)}: {error}")


@pytest.mark.parametrize("line", ["python inference.py --gird 64", "python train_field.py --num_points 3", "runs/none.sh",
                                  "python -m utils.nothing", "python -m timeit 1", "pip install -r requirements-none.txt"])
def test_a_command_that_would_fail_is_noticed(line, monkeypatch):
    with pytest.raises(Exception):  # noqa: B017 (of whatever kind)
        check_command(line.split(), monkeypatch)


def test_the_quick_commands_of_the_docs_run_as_they_stand(tmp_path, monkeypatch, run_script_main):
    for folder in ("my_meshes", "meshes", "pictures"):
        (tmp_path / folder).mkdir()
    trimesh.creation.box((1, 2, 3)).export(tmp_path / "my_meshes" / "box.obj")
    shutil.copy(tmp_path / "my_meshes" / "box.obj", tmp_path / "meshes" / "box 1.obj")
    for view in config.VIEW_NAMES:
        shutil.copy(ROOT / "data" / "examples" / "shoe_900002" / f"{view}.png", tmp_path / "pictures" / f"box 1 {view}.png")
    for run in "ab":
        (tmp_path / "logs" / run).mkdir(parents=True)
        write_log(tmp_path / "logs" / run / "geometry_field.jsonl", [{"epoch": 1, "loss": 0.3, "validation": 0.2}])
    monkeypatch.chdir(tmp_path)
    known = {" ".join(words) for _, words in documented_commands()}
    for line, made in (("python -m utils.prepare_dataset my_meshes/ --output data", "data/input_images/box_front.png"),
                       ("python load_data.py --obj_dir D --images_dir I", None),
                       ("python -m utils.rename_to_IDs --images pictures --meshes meshes --output data --dry_run", None),
                       ("python -m utils.compare_runs logs/a logs/b", "comparison.png")):
        assert line in known, f"no page has {line}"
        words = line.replace(" D ", " data/OBJs ").replace(" I", " data/input_images").split()
        name = words[2] if words[1] == "-m" else words[1].removesuffix(".py")
        code, _, err = run_script_main(importlib.import_module(name), *words[3 if words[1] == "-m" else 2:])
        assert code == 0, f"{line}: {err}"
        assert made is None or (tmp_path / made).is_file()
