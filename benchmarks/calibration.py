"""Are cameras found from silhouettes as good as true ones? Simulated photographs of your own meshes, and their hulls.

    python -m benchmarks.calibration --obj_dir data/OBJs --ids shoe_1 mug_2 --levels hand photo

For each object and level: the error in pixels before and after, how far the found cameras are from the true ones in the
common frame, the time, and how near the visual hulls with named, found and true cameras are to the object once laid on
it by a small similarity.
"""
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded

import numpy as np

from config import VIEW_NAMES, OptionParser, UserError, run_script
from utils.evaluation.alignment import align_similarity
from utils.evaluation.metrics import surface_scores, visible_samples
from utils.mesh.isosurface import mesh_from_grid
from utils.mesh.mesh import normalize, plain_mesh
from utils.mesh.mesh_io import read_mesh
from utils.multiview.silhouette_coherence import camera_set
from utils.multiview.visual_hull import grid_axes, hull_box, hull_on_grid, silhouette_sdf
from utils.photograph_dataset import mesh_files, object_rng
from utils.rendering.cameras import VIEW_BASES, rotation_vector
from utils.training_data.simulated_photographs import LEVELS, photograph
from utils.views.calibration import calibrate_views, in_normalized_frame, named_cameras

SAMPLES = 20000  # points on either surface
METRICS = ("f_0.02", "f_0.04", "cd_l1")


def camera_errors(found, true, masks, views):
    """How far cameras are from the true ones once both are in the normalized frame.

    Args:
        found, true: lists of Camera; masks: (S, H, H) float; views: their names.
    Returns:
        dict of float: rotation_deg (mean over the views), closeness (mean difference of inverse distances), scale
        (largest relative difference), shift (largest, image coordinates).
    """
    named = np.stack([VIEW_BASES[view] for view in views])
    one, other = (in_normalized_frame(camera_set(cameras), named, masks) for cameras in (found, true))
    turn = rotation_vector(one.bases @ other.bases.swapaxes(1, 2))
    return {"rotation_deg": float(np.degrees(np.linalg.norm(turn, axis=1)).mean()),
            "closeness": float(np.abs(one.inverse_distances - other.inverse_distances).mean()),
            "scale": float(np.abs(one.scales / other.scales - 1).max()),
            "shift": float(np.abs(one.shifts - other.shifts).max())}


def hull_scores(masks, cameras, reference, reference_samples, resolution):
    """Scores of the visual hull with given cameras, laid on the reference first: a dict as from `surface_scores`."""
    distances = silhouette_sdf(masks)
    axes = grid_axes(hull_box(distances, cameras), resolution)
    hull = hull_on_grid(distances, axes, cameras)
    if not (hull > 0).any():
        return {"cd_l1": np.nan, "f_0.02": 0.0, "f_0.04": 0.0}
    vertices, faces = mesh_from_grid(hull, axes)
    vertices, _ = align_similarity(vertices, faces, reference, reference_samples)
    return surface_scores(visible_samples(plain_mesh(vertices, faces), SAMPLES, [0, 1]), reference_samples)


def main(argv):
    """Measure every object at every level; print a line for each and the means."""
    parser = OptionParser(prog="python -m benchmarks.calibration", description=__doc__.splitlines()[0])
    parser.add_argument("--obj_dir", default="data/OBJs", help="meshes, <id>/<anything>.obj (default data/OBJs)")
    parser.add_argument("--ids", nargs="+", default=[], metavar="ID", help="objects (default all)")
    parser.add_argument("--levels", nargs="+", default=list(LEVELS), choices=list(LEVELS), help="(default all)")
    parser.add_argument("--views", nargs="+", default=list(VIEW_NAMES), choices=VIEW_NAMES, help="(default all six)")
    parser.add_argument("--seed", type=int, default=0, help="of the photographs (default 0)")
    parser.add_argument("--size", type=int, default=640, help="image edge in pixels (default 640)")
    parser.add_argument("--resolution", type=int, default=96, help="cells along a hull's longest edge (default 96)")
    parser.add_argument("--no_hulls", action="store_true", help="cameras only")
    options = parser.parse_args(argv)
    if options.size < 64 or options.resolution < 16:
        raise UserError("--size must be at least 64 and --resolution at least 16")
    meshes = mesh_files(options.obj_dir, options.ids)
    width = max(map(len, meshes))
    for level in options.levels:
        rows = []
        print(f"\n{level}\n{'object':<{width}}  px before  after  turn deg  1/distance  scale    s   " + "   ".join(
            f"{metric} named found  true" for metric in METRICS if not options.no_hulls), flush=True)
        for name, path in meshes.items():
            mesh, _ = read_mesh(path)
            mesh.vertices = normalize(mesh.vertices, mesh.faces)
            rows.append(measure(name, mesh, level, options))
            print(f"{name:<{width}}  {line(rows[-1])}", flush=True)
        print(f"{'mean':<{width}}  {line({key: np.nanmean([row[key] for row in rows]) for key in rows[0]})}", flush=True)


def measure(name, mesh, level, options):
    """One row: {what: float}."""
    _, all_masks, all_cameras = photograph(mesh, level, object_rng(name, level, options.seed), options.size)
    masks = np.stack([all_masks[view] for view in options.views])
    true = [all_cameras[view] for view in options.views]
    started = time.process_time()
    found, report = calibrate_views(masks, options.views)
    row = {"seconds": time.process_time() - started, "before": report.error_before, "after": report.error_after}
    row |= camera_errors(found, true, masks, options.views)
    if not options.no_hulls:
        samples = visible_samples(mesh, SAMPLES, [0, 0])
        for kind, cameras in (("named", named_cameras(masks, options.views)), ("found", found), ("true", true)):
            scores = hull_scores(masks, cameras, mesh, samples, options.resolution)
            row |= {f"{metric} {kind}": scores[metric] for metric in METRICS}
    return row


def line(row):
    """A row as text."""
    text = (f"{row['before']:9.2f}  {row['after']:5.2f}  {row['rotation_deg']:8.2f}  {row['closeness']:10.3f}  "
            f"{row['scale']:5.3f}  {row['seconds']:3.1f}")
    if "cd_l1 true" in row:
        for metric in METRICS:
            digits = 4 if metric == "cd_l1" else 3
            text += "   " + " " * len(metric) + "".join(
                f"{row[f'{metric} {kind}']:6.{digits}f}" for kind in ("named", "found", "true"))
    return text


if __name__ == "__main__":
    run_script(main)
