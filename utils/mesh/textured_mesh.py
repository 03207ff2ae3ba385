"""What a reconstruction is: a surface with UV coordinates and one texture image, which can be written to a file."""
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from config import UserError
from utils.io.files import replaced_together
from utils.mesh.mesh import Mesh, textured_mesh
from utils.mesh.mesh_io import write_glb, write_obj

WRITERS = {".obj": write_obj, ".glb": write_glb}


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

    def write(self, path: str | Path) -> Path:
        """Write `<name>.obj` with its .mtl and .png beside it, or `<name>.glb`, by the suffix of `path`.

        Returns:
            Path of the mesh file.
        Raises:
            UserError: the suffix is neither .obj nor .glb, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in WRITERS:
            raise UserError(f"{path}: cannot write this format; choose {' or '.join(WRITERS)}")
        with replaced_together(path.parent) as new:
            WRITERS[path.suffix.lower()](new / path.name, self.vertices, self.faces, self.uvs, self.face_uvs, self.texture)
        return path
