"""The six silhouettes' hull on a grid of 128 cells, beside projecting every cell into every image."""
import numpy as np

from benchmarks.measure import Row, at_most, compare
from config import VIEW_NAMES
from utils.mesh.mesh import textured_mesh
from utils.multiview.visual_hull import grid_axes, hull_box, hull_on_grid, silhouette_sdf
from utils.rendering.cameras import VIEW_BASES, to_pixels
from utils.rendering.rasterizer import render_views
from utils.training_data.synthetic.shoes import make_shoe


def project_every_cell(distances, axes):
    """The obvious way: each cell's place in each image, read bilinearly; the smallest of the six counts."""
    from scipy.ndimage import map_coordinates

    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    hull = np.full(points.shape[:3], np.inf, np.float32)
    for distance, name in zip(distances, VIEW_NAMES):
        places = to_pixels(points.reshape(-1, 3), VIEW_BASES[name], len(distance))
        read = map_coordinates(distance, places[:, 1::-1].T - 0.5, np.float32, order=1, mode="nearest")
        np.minimum(hull, read.reshape(hull.shape), out=hull)
    return hull


def run(rounds, resolution=128, size=256):
    """Rows of time and of the largest difference, in lengths."""
    views = render_views(textured_mesh(*make_shoe(0)[:5]), size)
    masks = np.stack([views[name][..., 3] for name in VIEW_NAMES]) / 255
    distances = silhouette_sdf(masks)
    axes = grid_axes(hull_box(distances), resolution)
    difference = np.abs(hull_on_grid(distances, axes) - project_every_cell(distances, axes)).max()
    cells = " x ".join(str(len(axis)) for axis in axes)
    return [compare(f"silhouette hull on {cells} cells, masks of {size} px",
                    lambda: hull_on_grid(silhouette_sdf(masks), axes),
                    lambda: project_every_cell(silhouette_sdf(masks), axes), rounds, beside="every cell projected"),
            Row("its largest difference, in lengths", float(difference), None, "", at_most(1e-5))]
