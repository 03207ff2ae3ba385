"""What a reconstruction is: a surface with UV coordinates and one texture image, which can be written to a file."""
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from config import UserError
from utils.io.files import replaced_together, usable_path
from utils.mesh.glb import write_glb
from utils.mesh.mesh import Mesh, textured_mesh
from utils.mesh.mesh_io import write_obj
from utils.mesh.placement import placed
from utils.mesh.plain_formats import write_3mf, write_ply, write_stl

SUFFIXES = (".obj", ".glb", ".ply", ".stl", ".3mf")


@dataclass
class TexturedMesh:
    """A closed triangle mesh with one texture.

    vertices: (V, 3) float64, normalized frame (box centered at the origin, longest edge about 2, +y up, front to +z).
    faces: (F, 3) int64, indices into vertices, counter-clockwise seen from outside.
    uvs: (T, 2) float32 in [0, 1], (0, 0) at the texture's lower left.
    face_uvs: (F, 3) int64, indices into uvs.
    texture: (H, W, 3) uint8 sRGB, first row at the top.
    notes: list of str, one sentence for each thing that was noticed about the views it was made from.
    cameras: {view name: utils.rendering.cameras.Camera} that were found; empty where the images are exact orthographic
        views.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray
    face_uvs: np.ndarray
    texture: np.ndarray
    notes: list = field(default_factory=list)
    cameras: dict = field(default_factory=dict)

    def as_mesh(self) -> Mesh:
        """The same surface as the general mesh type, for drawing and measuring."""
        return textured_mesh(self.vertices, self.faces, self.uvs, self.face_uvs, self.texture)

    def write(self, path: str | Path, *, up: str = "y", ground: bool = False, longest_edge_mm: float | None = None,
              texture_format: str = "png") -> Path:
        """Write a mesh file by the suffix of `path`: .obj (with its .mtl and texture beside it), .glb, .ply (vertex
        colors), .3mf (vertex colors, for printing) or .stl (shape alone, for printing).

        Args:
            path: its folder is made if needed.
            up, ground, longest_edge_mm: how it stands and how large it is, see `utils.mesh.placement.placed`.
            texture_format: "png" or "jpg", for .obj and .glb.
        Returns:
            Path of the mesh file.
        Raises:
            UserError: the suffix is none of these, an argument is wrong, or the file cannot be written.
        """
        path = usable_path(path, "write")
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise UserError(f"{path}: cannot write this format; choose {', '.join(SUFFIXES)}")
        vertices = placed(self.vertices, suffix, up, ground, longest_edge_mm)
        look = self.uvs, self.face_uvs, self.texture
        with replaced_together(path.parent) as new:
            target = new / path.name
            if suffix == ".obj":
                write_obj(target, vertices, self.faces, *look, texture_format)
            elif suffix == ".glb":
                write_glb(target, vertices, self.faces, *look, texture_format)
            elif suffix == ".ply":
                write_ply(target, vertices, self.faces, *look)
            elif suffix == ".stl":
                write_stl(target, vertices, self.faces)
            else:
                write_3mf(target, vertices, self.faces, *look)
        return path
