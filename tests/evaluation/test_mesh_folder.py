"""Meshes of other programs are found by id in either layout."""
import numpy as np
import pytest
import trimesh

from config import UserError
from utils.evaluation.mesh_folder import mesh_of


def test_a_mesh_is_found_beside_others_or_in_a_folder_of_its_own(tmp_path):
    trimesh.creation.box((1, 2, 3)).export(tmp_path / "cup.ply")
    (tmp_path / "shoe").mkdir()
    trimesh.creation.icosphere(2, 0.5).export(tmp_path / "shoe" / "result.glb")
    (tmp_path / "shoe" / "preview.png").touch()
    assert np.ptp(mesh_of(tmp_path, "cup").vertices, axis=0) == pytest.approx([1, 2, 3])
    assert np.abs(mesh_of(tmp_path, "shoe").vertices).max() == pytest.approx(0.5, abs=1e-3)


def test_none_or_two_meshes_are_one_clear_line(tmp_path):
    trimesh.creation.box().export(tmp_path / "cup.ply")
    trimesh.creation.box().export(tmp_path / "cup.stl")
    with pytest.raises(UserError, match="no mesh for shoe; expected shoe.obj"):
        mesh_of(tmp_path, "shoe")
    with pytest.raises(UserError, match="more than one mesh: cup.ply, cup.stl"):
        mesh_of(tmp_path, "cup")
