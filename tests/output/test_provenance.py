"""Hashes and versions that a result can be made again from."""
import hashlib
import platform

import numpy

from config import EXAMPLES_DIR
from utils.output.provenance import ROOT, file_hash, named_hash, versions


def test_a_hash_is_sha256_and_no_folder_outside_the_project_is_told(tmp_path):
    content = b"abc" * 1_000_000
    (tmp_path / "secret folder").mkdir()
    path = tmp_path / "secret folder" / "front.png"
    path.write_bytes(content)
    assert file_hash(path) == hashlib.sha256(content).hexdigest()
    assert named_hash(path) == {"file": "front.png", "sha256": hashlib.sha256(content).hexdigest()}
    assert named_hash(ROOT / EXAMPLES_DIR / "README.md")["file"] == f"{EXAMPLES_DIR}/README.md"


def test_the_hash_of_a_shared_model_changes_with_each_of_its_files(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"1")
    hashes = {named_hash(tmp_path)["sha256"]}
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"2")
        hashes.add(named_hash(tmp_path)["sha256"])
    assert len(hashes) == 3


def test_versions_are_those_that_run():
    found = versions()
    assert found["python"] == platform.python_version() and found["numpy"] == numpy.__version__
    assert found["torch"] and "mito3d" in found
