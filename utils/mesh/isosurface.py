"""From values on a grid to the closed surface where they are 0: the one marching cubes of the project."""
from collections.abc import Sequence

import numpy as np

from utils.mesh.mesh_repair import make_manifold, remove_small_mesh_components


def mesh_from_grid(field: np.ndarray, axes: Sequence[np.ndarray],
                   faces: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The surface where a field is 0, by marching cubes (Lorensen and Cline 1987; Lewiner et al. 2003), closed.

    Args:
        field: (X, Y, Z) float, positive inside the surface and somewhere at all.
        axes: three float arrays, coordinates of the grid's planes, evenly spaced. What is positive at the grid's own
            edge is closed beyond it.
        faces: most faces the mesh may have, by quadric decimation (Garland and Heckbert 1997); None keeps all.
    Returns:
        vertices: (V, 3) float64; faces: (F, 3) int64, counter-clockwise seen from outside.
    Raises:
        ValueError: the field is positive nowhere.
    """
    from skimage.measure import marching_cubes

    steps = np.array([axis[1] - axis[0] for axis in axes])
    vertices, triangles, _, _ = marching_cubes(np.pad(field, 1, constant_values=-float(steps.max())), 0.0,
                                               gradient_direction="ascent", allow_degenerate=False)
    vertices = (vertices - 1) * steps + [axis[0] for axis in axes]
    if faces is not None and len(triangles) > faces:
        from fast_simplification import simplify

        # A little below the budget: parting sheets may add faces
        vertices, triangles = simplify(vertices.astype(np.float32), triangles.astype(np.int32),
                                       target_count=int(0.999 * faces))
        vertices, triangles = make_manifold(vertices.astype(np.float64), triangles.astype(np.int64))
        vertices, triangles = remove_small_mesh_components(vertices, triangles)
    return vertices.astype(np.float64), triangles.astype(np.int64)
