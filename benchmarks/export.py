"""Writing OBJ + MTL + PNG, beside trimesh's exporter."""
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.bake import bake
from benchmarks.measure import compare, ratio_at_least
from utils.mesh.mesh_io import write_obj
from utils.mesh.sphere_template import sphere_template
from utils.rendering.uv_atlas import template_atlas


def export_trimesh(path, vertices, faces, uvs, texture):
    """The obvious way: one vertex for each texture coordinate, exported with a material."""
    import trimesh
    from PIL import Image

    material = trimesh.visual.material.SimpleMaterial(image=Image.fromarray(texture))
    mesh = trimesh.Trimesh(vertices, faces, process=False,
                           visual=trimesh.visual.TextureVisuals(uv=uvs, material=material))
    mesh.export(path)


def run(rounds, num_points=4096, texture_size=1024):
    """One row: the template with a texture baked from a smooth function of position, as a network's colors are."""
    template, atlas = sphere_template(num_points), template_atlas(num_points, texture_size)
    texture = bake(template.points, template.faces, atlas, texture_size)
    split = np.empty(len(atlas.uvs), np.int64)  # the vertex that each texture coordinate belongs to
    split[atlas.face_uvs.ravel()] = template.faces.ravel()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("ours.obj", "other.obj")]
        return [compare(f"OBJ + MTL + PNG, {len(template.faces)} faces, {texture_size} texels",
                        lambda: write_obj(paths[0], template.points, template.faces, atlas.uvs, atlas.face_uvs,
                                          texture),
                        lambda: export_trimesh(paths[1], template.points[split], atlas.face_uvs, atlas.uvs, texture),
                        rounds, ratio_at_least(1), beside="trimesh")]
