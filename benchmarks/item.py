"""What the cache of objects saves: one object for training from it, beside reading its files again each time.

With a frozen encoder the loop asks for the surface alone, since the images' features are in memory. An object's
surface is compared with its checksum when it is first read; these are later readings.
"""
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import compare, ratio_at_least
from config import VIEW_NAMES
from load_data import SixViewDataset, cache_object, find_objects


def from_files(files, num_points, image_size):
    """The obvious way: trimesh's loader and sampler with colors, then Pillow; the same arrays as in the cache."""
    from PIL import Image

    pictures = [np.asarray(Image.open(files.images[view]).resize((image_size, image_size))) for view in VIEW_NAMES]
    return *sampled(files.mesh, num_points), np.stack(pictures).astype(np.float32) / 255


def sampled(path, num_points):
    """Points, normals and colors of a mesh file by trimesh."""
    import trimesh

    mesh = trimesh.load(path)
    points, faces, colors = trimesh.sample.sample_surface(mesh, num_points, sample_color=True)
    return points, mesh.face_normals[faces], colors


def run(rounds, num_points=16384, image_size=224, texture_size=256):
    """Rows for the surface alone and for a whole item, of a synthetic shoe with a texture."""
    from utils.training_data.synthetic.shoes import write_shoes

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_shoes([0], folder, texture_size=texture_size)
        files = find_objects(folder / "OBJs", folder / "input_images")[0][0]
        cached = [cache_object(files, folder / "cache", num_points, image_size)]
        surface, whole = SixViewDataset(cached, with_images=False), SixViewDataset(cached)
        return [compare(f"cache: surface of a dataset item, {num_points} colored points", lambda: surface[0],
                        lambda: sampled(files.mesh, num_points), rounds, ratio_at_least(50), beside="trimesh"),
                compare(f"cache: the same with six images of {image_size} px", lambda: whole[0],
                        lambda: from_files(files, num_points, image_size), rounds, beside="trimesh and Pillow")]
