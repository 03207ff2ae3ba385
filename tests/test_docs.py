"""What README and docs say can be run is run, and what they name is there."""
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trimesh

from config import Config, option_fields

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "checkpoints" / "pretrained" / "README.md"])
SCRIPTS = ("inference.py", "evaluate.py", "load_data.py", "utils/prepare_dataset.py", "utils/rename_to_IDs.py",
           "utils/io/checkpoint.py", "utils/training_data/synthetic_shoes.py", "tests/stress/kill.py")


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


def test_the_example_of_the_python_page_runs(tmp_path):
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL).group(1)
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "example.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{example}")
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "(512, 512, 3)" in done.stdout
    assert 5000 < len(trimesh.load(tmp_path / "output" / "shoe.glb", force="mesh").faces) <= 10000
