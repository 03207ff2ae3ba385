"""What the cache of the UV atlas and texel map saves: a texture from it, beside working out both for every mesh.

Colors come from a function of position that costs nothing: what a network would take is the same on both sides.
"""
import tempfile

import numpy as np

from benchmarks.measure import compare, ratio_at_least
from utils.mesh.sphere_template import sphere_template
from utils.rendering.uv_atlas import template_atlas


def bake(vertices, faces, atlas, texture_size):
    """A (texture_size, texture_size, 3) uint8 image whose color is the position of the surface it shows."""
    positions = np.einsum("kcd,kc->kd", vertices[faces[atlas.texel_faces]], atlas.texel_weights)
    image = np.full((texture_size**2, 3), 128, np.uint8)
    image[atlas.texels] = ((positions + 1) * 127.5).astype(np.uint8)
    return image.reshape(texture_size, texture_size, 3)


def run(rounds, num_points=4096, texture_size=1024):
    """One row."""
    template = sphere_template(num_points)

    def again():
        sphere_template.cache_clear()
        return bake(template.points, template.faces, template_atlas(num_points, texture_size), texture_size)

    with tempfile.TemporaryDirectory() as folder:
        def kept():
            return bake(template.points, template.faces, template_atlas(num_points, texture_size, folder),
                        texture_size)

        return [compare(f"cache: UV atlas for a texture bake, {num_points} points, {texture_size} texels", kept, again,
                        rounds, ratio_at_least(5), beside="atlas and texel map made again")]
