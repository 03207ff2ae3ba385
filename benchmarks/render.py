"""Six images of a textured mesh by the NumPy z-buffer, beside Intel's Embree ray caster."""
import importlib.util

import numpy as np

from benchmarks.measure import Row, at_least, compare, ratio_at_least
from utils.mesh.mesh import Mesh, textured_mesh
from utils.rendering.cameras import VIEW_BASES, VIEW_EXTENT
from utils.rendering.rasterizer import over_white, render_views
from utils.training_data.synthetic.shoes import make_shoe

SAME = 2  # of 255: colors that differ by no more are equal


def fine_shoe(cuts, texture_size=1024):
    """A textured shoe whose faces are each cut into cuts^2 equal ones: about 5,000 cuts^2 faces."""
    mesh = textured_mesh(*make_shoe(0, texture_size)[:5])
    steps = [(i, j) for i in range(cuts) for j in range(cuts - i)]
    small = [[(i, j), (i + 1, j), (i, j + 1)] for i, j in steps]
    small += [[(i + 1, j), (i + 1, j + 1), (i, j + 1)] for i, j in steps if i + j < cuts - 1]
    weights = np.array([[(cuts - i - j, i, j) for i, j in one] for one in small]) / cuts      # (cuts^2, 3, 3)
    corners, corner_uvs = (np.einsum("skc,fcd->fskd", weights, values)
                           for values in (mesh.vertices[mesh.faces], mesh.corner_uvs))
    count = corners.shape[0] * corners.shape[1]
    return Mesh(corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3), np.ones((count, 3, 3), np.float32),
                corner_uvs.reshape(count, 3, 2).astype(np.float32), np.zeros(count, np.int32), mesh.textures)


def embree_views(mesh, size):
    """Six (size, size, 3) uint8 images over white: one ray a pixel, colors read as ours are."""
    import embreex.rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    scene = embreex.rtcore_scene.EmbreeScene()
    TriangleMesh(scene, mesh.vertices[mesh.faces].astype(np.float32))
    center = (np.arange(size) + 0.5) * (2 * VIEW_EXTENT / size) - VIEW_EXTENT
    x, y = (part.reshape(-1, 1) for part in np.meshgrid(center, -center))
    images = {}
    for name, basis in VIEW_BASES.items():
        origins = (x * basis[0] + y * basis[1] + 4 * basis[2]).astype(np.float32)
        hits = scene.run(origins, np.tile(-basis[2], (size * size, 1)).astype(np.float32), query="INTERSECT",
                         output=True)
        seen = np.flatnonzero(hits["primID"] >= 0)
        u, v = hits["u"][seen], hits["v"][seen]
        colors = np.ones((size * size, 3), np.float32)
        colors[seen] = mesh.colors_at(hits["primID"][seen], np.stack([1 - u - v, u, v], axis=1))
        images[name] = (colors * 255).round().astype(np.uint8).reshape(size, size, 3)
    return images


def run(rounds, size=512, cuts=3):
    """Rows of time and of equal pixels; none where embreex is not installed."""
    if not importlib.util.find_spec("embreex"):
        print("render: left out, embreex is not installed (pip install -r requirements-dev.txt)")
        return []
    mesh = fine_shoe(cuts)
    ours = {name: over_white(image) for name, image in render_views(mesh, size, supersample=1).items()}
    other = embree_views(mesh, size)
    equal = np.mean([np.abs(ours[name].astype(int) - other[name]).max(-1) <= SAME for name in ours])
    what = f"six views at {size} px, {len(mesh.faces):,} textured faces"
    return [compare(what, lambda: render_views(mesh, size, supersample=1), lambda: embree_views(mesh, size), rounds,
                    ratio_at_least(0.8), beside="embreex"),
            Row("its share of equal pixels", float(equal), None, "", at_least(0.999))]
