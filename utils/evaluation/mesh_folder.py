"""Meshes that another program made, one for each object, to be judged beside the project's own."""
from pathlib import Path

from config import UserError
from utils.io.files import entries
from utils.mesh.mesh import Mesh
from utils.mesh.mesh_io import read_mesh

SUFFIXES = (".obj", ".glb", ".gltf", ".ply", ".off", ".stl")


def mesh_of(folder: Path, object_id: str) -> Mesh:
    """The mesh of one object in its own coordinates: `<folder>/<id>.<suffix>`, or the one mesh in `<folder>/<id>/`.

    Raises:
        UserError: there is none, or more than one, or it cannot be read.
    """
    found = [path for suffix in SUFFIXES if (path := folder / f"{object_id}{suffix}").is_file()]
    inside = folder / object_id
    if inside.is_dir():
        found += [path for path in entries(inside) if path.suffix.lower() in SUFFIXES]
    if len(found) != 1:
        what = "no mesh" if not found else "more than one mesh: " + ", ".join(path.name for path in found)
        others = ", ".join(SUFFIXES[1:])
        raise UserError(f"{folder} holds {what} for {object_id}; expected {object_id}.obj (or {others})")
    return read_mesh(found[0])[0]
