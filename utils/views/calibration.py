"""Where six photographs were taken from, found from their silhouettes alone.

The images are named, so each camera is known to a few degrees; perspective, tilts, zooms and shifts are not. They are
found by making the silhouettes fit together (utils/multiview/silhouette_coherence.py) with Levenberg and Marquardt's
method on robust errors. Exact orthographic images keep their exact cameras: found ones are taken only where they explain
the silhouettes clearly better than the named ones do.
"""
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from config import VIEW_NAMES, UserError
from utils.multiview.silhouette_coherence import (
    DEEPEST,
    PARAMETERS,
    CameraSet,
    camera_set,
    clearances,
    make_silhouettes,
)
from utils.multiview.visual_hull import hull_box, silhouette_sdf
from utils.rendering.cameras import VIEW_BASES, VIEW_CAMERAS, VIEW_EXTENT, Camera, rotation_matrix, rotation_vector

WORKING_SIZE = 320  # pixels; masks are averaged down to this, which keeps boundaries exact to a tenth of a pixel
FEWEST_VIEWS = 3
# (boundary points a view, depths along a line, scale of robust errors in pixels, most steps), coarse to fine
STAGES = ((60, 40, 8.0, 12), (100, 56, 2.0, 12), (160, 72, 0.7, 20))
TYPICAL_ERROR = 0.4  # pixels of the working size, of a good mask
POINTS_WORTH = 40  # independent observations that a boundary gives: neighboring points say the same
TILT_DEG = 2.5  # standard deviation that a hand-held camera is expected to be off its named direction
TYPICAL_CLOSENESS, CLOSENESS_SPREAD = 0.17, 0.06  # 1 / normalized units: from two object lengths away to five
PHONE_SPREAD = 0.02  # 1 / normalized units, by which the closeness of images of one session differs
EXIF_SPREAD = 0.02  # the same, of what a focal length says: the object's depth and the crop are known to a tenth
FRAME_SPREAD = 0.3  # of log scales and shifts, about those that the boxes of the masks give
GAUGE_SPREAD = 0.01  # of the frame's place (normalized units) and log scale, which silhouettes leave open
MOST_TRIALS = 6  # of shorter and shorter steps
SMALLEST_GAIN = 1e-4  # share by which a step must lower the sum of squares for the next to be worth taking

# Images whose boxes lie as the named cameras draw them are renders, or masks of renders: fraction of the image's half-width.
FRAMED_WITHIN = 0.04
EXACT_ERROR = 1.2  # pixels of the working size: what JPEG and border masks do to renders at most, on most objects
SURELY_EXACT = 0.25  # the same, of clean renders: at most 0.18 on 47 real objects; photographs of a can leave 0.9
RENDER_CLOSENESS = 0.08  # 1 / normalized units; framed like a render, images from farther away than this are taken for one
CLEARLY = 0.7  # found cameras leave at most this fraction of the error of simpler ones
LEAST_GAIN = 0.5  # pixels of the working size that they win at least
NEARLY_ALL = 0.1  # found cameras that leave this fraction are right, however far away: noise they cannot explain so well


@dataclass(frozen=True)
class CalibrationReport:
    """What was found, and how well it explains the silhouettes.

    kind: "exact" (the named orthographic views, framed as rendered), "framed" (named and orthographic, but each with a
        scale and shift of its own) or "found" (rotations and distances too).
    error_before, error_after: mean over boundary points of the pixels by which lines of sight miss the hull of the other
        views, for named orthographic cameras (of the best scale and shift where the images are not framed as renders are) and
        for those returned; pixels of the given masks.
    error_views: {view name: the same after, for one view}.
    lengths: distance of the cameras in object lengths (median of the views), inf for orthographic ones.
    tilts_deg: {view name: angle by which its camera is turned from its named direction}.
    steps: number of steps of the optimization.
    """

    kind: str
    error_before: float
    error_after: float
    error_views: dict
    lengths: float
    tilts_deg: dict
    steps: int

    def text(self) -> str:
        """One line for the console and the report."""
        after = f"{self.error_after:.1f} px" if self.error_after >= 0.05 else "less than 0.1 px"
        if self.kind == "exact":
            return f"cameras: exact orthographic views; silhouettes fit one another to {after}"
        if self.kind == "framed":
            return f"cameras: orthographic views, each with its own scale and shift; silhouettes fit one another to {after}"
        where = (f"perspective from about {self.lengths:.1f} object lengths" if self.lengths < 20
                 else "nearly orthographic")
        return (f"cameras: {where}, tilts up to {max(self.tilts_deg.values()):.1f} degrees; silhouettes fit one another to "
                f"{after}, {self.error_before:.1f} px before")


def calibrate_views(masks: np.ndarray | dict[str, np.ndarray], views: Sequence[str] = VIEW_NAMES,
                    closeness: float | Sequence[float] | None = None) -> tuple[list[Camera], CalibrationReport]:
    """Find the cameras of named images from their silhouettes.

    Args:
        masks: (S, H, H) float in [0, 1], coverage, of any framing; or {view name: (H, H)}, and `views` is not used.
        views: names of the S views, from 3 to 6 different ones.
        closeness: inverse distance q in 1 / normalized units that EXIF gives (see `closeness_from_exif`), one float or
            one for each view with NaN where unknown; None: unknown.
    Returns:
        cameras: list of S utils.rendering.cameras.Camera, in the frame in which their rotations average to none and the
            box of the visual hull is centered with longest edge 2 (exact ones: VIEW_CAMERAS as they are).
        report: CalibrationReport.
    Raises:
        UserError: a mask is empty or full, or there are fewer than three views or only opposite ones.
    """
    if isinstance(masks, dict):
        views, masks = tuple(masks), np.stack(list(masks.values()))
    views, masks = tuple(views), np.asarray(masks, np.float32)
    _check(masks, views)
    cameras, report = _calibrated(masks, views, closeness)
    far_away = report.kind == "found" and report.lengths > 1 / (2 * RENDER_CLOSENESS)  # photographs hardly are
    if report.error_after <= EXACT_ERROR * masks.shape[-1] / WORKING_SIZE and not far_away:
        return cameras, report
    filled = np.stack([_without_holes(mask) for mask in masks])
    if (filled != masks).any():
        of_outlines, outlines = _calibrated(filled, views, closeness)
        if outlines.kind == "found" and outlines.error_after < CLEARLY * report.error_after:
            return of_outlines, outlines
    return cameras, report


def _calibrated(masks, views, closeness):
    """`calibrate_views` of masks as they are."""
    named = np.stack([VIEW_BASES[view] for view in views])
    fine = make_silhouettes(masks, STAGES[-1][0], WORKING_SIZE)
    to_given = masks.shape[-1] / fine.size

    exact, start = camera_set([VIEW_CAMERAS[view] for view in views]), _from_boxes(masks, views)
    exact_error = _mean_errors(fine, exact)
    like_render = (np.abs(np.log(start.scales * VIEW_EXTENT)).max() < FRAMED_WITHIN
                   and np.abs(start.shifts).max() < FRAMED_WITHIN)
    if like_render and exact_error.mean() <= SURELY_EXACT:
        return _result("exact", exact, exact_error, exact_error, views, to_given, 0)
    framed, _, steps = _fit(fine, start, named, frames_only=True)
    if like_render:
        kind, simple, simple_error = "exact", exact, exact_error
    else:
        kind, simple, simple_error = "framed", framed, _mean_errors(fine, framed)
    cameras, error = simple, simple_error
    found, more = _find(fine, (start, framed), named, masks, closeness)
    found_error = _mean_errors(fine, found)
    better = found_error.mean() < min(CLEARLY * simple_error.mean(), simple_error.mean() - LEAST_GAIN)
    render = like_render and np.median(found.inverse_distances) < RENDER_CLOSENESS
    if better and (not render or found_error.mean() < NEARLY_ALL * simple_error.mean()):
        kind, cameras, error = "found", found, found_error
    if kind != "exact":  # once more: the last steps were taken freely
        cameras = in_normalized_frame(cameras, named, masks)
    return _result(kind, cameras, error, simple_error, views, to_given, steps + more)


def named_cameras(masks: np.ndarray, views: Sequence[str] = VIEW_NAMES) -> list[Camera]:
    """Orthographic cameras in their named directions, each with the scale and shift that fits the boxes of the masks.

    Args:
        masks: (S, H, H) float in [0, 1]; views: their names.
    Returns:
        list of S Camera: what is known of images without looking at their silhouettes' course.
    """
    return _from_boxes(np.asarray(masks, np.float32), tuple(views)).as_list()


def closeness_from_exif(focal_35mm: float, share: float, crop: float = 1.0) -> float:
    """Inverse distance of the camera that a focal length gives.

    Args:
        focal_35mm: focal length in millimeters for a frame of 36 x 24 mm (EXIF FocalLengthIn35mmFilm).
        share: fraction of the image's half-width that half the object's longest edge covers.
        crop: width of the image over that of the photograph it was cut from.
    Returns:
        float, 1 / normalized units: share * tan(half the field of view).
    """
    return share * crop * 18.0 / focal_35mm


def in_normalized_frame(cameras: CameraSet, named: np.ndarray, masks: np.ndarray) -> CameraSet:
    """Fix what silhouettes leave open: the common rotation, translation and scale.

    Args:
        cameras: CameraSet of S; named: (S, 3, 3) bases of the named views; masks: (S, H, H) float in [0, 1].
    Returns:
        CameraSet in the frame in which rotations average to none and the hull's box is centered with longest edge 2.
    """
    cameras = _without_common_rotation(cameras, named)
    distances = silhouette_sdf(_small(masks))
    for _ in range(2):  # the first box may be cut off by the grid that looks for it
        box = hull_box(distances, cameras.as_list())
        cameras = _recentered(cameras, box.mean(axis=0), (box[1] - box[0]).max() / 2)
    return cameras


def _without_holes(mask):
    """A mask (H, W) with its enclosed holes filled: they are found less surely than outer outlines, and may keep cameras amiss.

    The rays through an outer outline touch the object whether it has holes or not.
    """
    from scipy import ndimage

    solid = mask >= 0.5
    return np.where(ndimage.binary_fill_holes(solid) & ~solid, 1, mask)


def lacks_silhouette(mask: np.ndarray) -> str:
    """What is wrong with a mask (H, W) that shows no outline, with a place for the view's name; "" if it shows one."""
    inside = mask >= 0.5
    return "" if inside.any() and not inside.all() else (
        f"the {{}} view's mask is {'full' if inside.any() else 'empty'}: it has no silhouette; give a mask of the object")


def _check(masks, views):
    unknown = [view for view in views if view not in VIEW_NAMES]
    if unknown or len(set(views)) != len(views) or len(views) != len(masks):
        raise ValueError(f"views {views} do not name {len(masks)} masks")
    for view, mask in zip(views, masks):
        if lacks_silhouette(mask):
            raise UserError(lacks_silhouette(mask).format(view))
    directions = {int(np.abs(VIEW_BASES[view][2]).argmax()) for view in views}
    if len(views) < FEWEST_VIEWS or len(directions) < 2:
        raise UserError(f"the views {', '.join(views)} do not fix their cameras: at least {FEWEST_VIEWS} are needed, not "
                        "all of them opposite each other")


# ---- The two ends: first guess and last word -------------------------------------------------------------------------


def _from_boxes(masks, views):
    """CameraSet of named orthographic cameras whose scales and shifts follow from the boxes of the masks.

    Each view shows two edges of the object's box at its own scale: log extent = log scale + log edge, by least squares.
    """
    size, rows, values, centers = masks.shape[-1], [], [], []
    for number, (view, mask) in enumerate(zip(views, masks)):
        for row, profile in ((0, mask.max(axis=0)), (1, mask.max(axis=1))):
            inside = np.flatnonzero(profile >= 0.5)
            low, high = inside[0] / size * 2 - 1, (inside[-1] + 1) / size * 2 - 1
            equation = np.zeros(len(views) + 3)
            equation[[number, len(views) + np.abs(VIEW_BASES[view][row]).argmax()]] = 1
            rows.append(equation)
            values.append(np.log(high - low))
            centers.append((low + high) / 2)
    solution = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    seen = np.abs(rows).sum(axis=0)[len(views):] > 0
    unit = np.log(2) - solution[len(views):][seen].max()  # the longest edge is 2
    return CameraSet(np.stack([VIEW_BASES[view] for view in views]), np.zeros(len(views)),
                     np.exp(solution[:len(views)] - unit), np.array(centers).reshape(-1, 2))


def _first_closeness(closeness, count):
    """(count,) inverse distances to begin with."""
    if closeness is None:
        return np.full(count, TYPICAL_CLOSENESS)
    given = np.broadcast_to(np.asarray(closeness, float), count)
    return np.where(np.isfinite(given), given, TYPICAL_CLOSENESS).clip(0, 0.5 / DEEPEST)


def _result(kind, cameras, error, before, views, to_given, steps):
    """List of Camera, and the CalibrationReport."""
    listed = [VIEW_CAMERAS[view] for view in views] if kind == "exact" else cameras.as_list()
    q = float(np.median(cameras.inverse_distances))
    tilts = [np.degrees(np.linalg.norm(rotation_vector(VIEW_BASES[view].T @ basis)))
             for view, basis in zip(views, cameras.bases)]
    return listed, CalibrationReport(
        kind=kind, error_before=float(np.mean(before) * to_given), error_after=float(error.mean() * to_given),
        error_views={view: float(each * to_given) for view, each in zip(views, error)},
        lengths=1 / (2 * q) if q > 0 else np.inf, tilts_deg={view: float(tilt) for view, tilt in zip(views, tilts)},
        steps=steps)


def _mean_errors(silhouettes, cameras):
    """(S,) mean over a view's boundary points of the pixels by which lines of sight miss the others' hull."""
    clearance, _ = clearances(silhouettes, cameras, STAGES[-1][1])
    return np.maximum(-clearance, 0).reshape(len(cameras.scales), -1).mean(axis=1)


# ---- Optimization ----------------------------------------------------------------------------------------------------


def _find(silhouettes, starts, named, masks, closeness):
    """Cameras with everything free, the best of several ways to begin, in the normalized frame.

    Args:
        silhouettes: Silhouettes; starts: CameraSets to begin with, but for their inverse distances; named: (S, 3, 3).
        masks: (S, H, H); closeness: see `calibrate_views`.
    Returns:
        CameraSet, and the number of steps taken.
    """
    ends, steps = [], 0
    for start in starts:
        cameras = replace(start, inverse_distances=_first_closeness(closeness, len(named)))
        for stage in STAGES:
            cameras, cost, more = _fit(silhouettes, cameras, named, (stage,), closeness)
            steps += more
        ends.append((cost, len(ends), in_normalized_frame(cameras, named, masks)))
    cameras, _, more = _fit(silhouettes, min(ends)[2], named, STAGES[-1:], closeness)
    return cameras, steps + more


def _fit(silhouettes, cameras, named, stages=STAGES, closeness=None, frames_only=False):
    """Cameras under which the silhouettes fit together best: Levenberg and Marquardt's method.

    Args:
        silhouettes: Silhouettes; cameras: CameraSet to begin with; named: (S, 3, 3) bases of the named views.
        stages: of STAGES; closeness: see `calibrate_views`.
        frames_only: whether scales and shifts alone may change.
    Returns:
        CameraSet; the cost at the end; and the number of steps taken.
    """
    first, steps = cameras, 0
    free = np.zeros((len(named), PARAMETERS), bool)
    free[:, 3:6] = True
    free[:] |= not frames_only
    free = np.flatnonzero(free.ravel())
    for num_points, num_depths, robust, most in stages:
        some = _thinned(silhouettes, num_points)

        def system(at, some=some, num_depths=num_depths, robust=robust):
            """Residuals and Jacobian of data and priors together."""
            return [np.concatenate(parts) for parts in zip(_robust_system(some, at, num_depths, robust),
                                                           _priors(at, first, named, closeness))]
        residual, jacobian = system(cameras)
        cost, damping = residual @ residual, 1e-3
        for _ in range(most):
            normal = jacobian[:, free].T @ jacobian[:, free]
            slope = jacobian[:, free].T @ residual
            for _ in range(MOST_TRIALS):
                step = np.zeros(len(named) * PARAMETERS)
                step[free] = -np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), slope)
                trial = cameras.moved(step.reshape(-1, PARAMETERS))
                trial_residual, trial_jacobian = system(trial)
                trial_cost = trial_residual @ trial_residual
                steps += 1
                if trial_cost < cost:
                    break
                damping *= 5
            if trial_cost >= cost:
                break
            gain = 1 - trial_cost / cost
            cameras, cost, residual, jacobian = trial, trial_cost, trial_residual, trial_jacobian
            damping = max(damping / 4, 1e-6)
            if gain < SMALLEST_GAIN:
                break
    return cameras, cost, steps


def _thinned(silhouettes, count):
    """The same with about `count` of the boundary points of each view."""
    step = max(1, round(silhouettes.points.shape[1] / count))
    return replace(silhouettes, points=silhouettes.points[:, ::step])


def _robust_system(silhouettes, cameras, num_depths, robust):
    """Residuals whose squares sum to a robust cost of what lines of sight miss, and their Jacobian.

    Geman and McClure's e^2 / (1 + e^2): a line far off, such as one at a wrong part of a mask, counts at most once.
    """
    clearance, jacobian = clearances(silhouettes, cameras, num_depths)
    error = np.maximum(-clearance, 0) / robust
    weight = np.sqrt(POINTS_WORTH / silhouettes.points.shape[1]) * robust / TYPICAL_ERROR
    residual = error / np.sqrt(1 + error**2)
    change = np.where(error > 0, -(1 + error**2) ** -1.5 / robust, 0)
    return weight * residual, weight * change[:, None] * jacobian


def _priors(cameras, first, named, closeness):
    """Residuals that draw cameras toward what is likely, and their Jacobian over all parameters."""
    views = len(named)
    tilt = rotation_vector(named.swapaxes(1, 2) @ cameras.bases)  # of the transposed rotation: the negative vector
    q = cameras.inverse_distances
    # The mean over the views of how far the frame has moved in space, and been scaled.
    over = 1 / (2 / 3 * views * first.scales)[:, None]  # a direction is seen by two of three axes
    to_space = np.stack([named[:, 0] * over, -named[:, 1] * over], axis=1)  # (S, 2, 3): from shifts
    parts = [-tilt.ravel() / np.radians(TILT_DEG),
             np.einsum("vk,vkj->j", cameras.shifts - first.shifts, to_space) / GAUGE_SPREAD,
             (np.log(cameras.scales) - np.log(first.scales)) / FRAME_SPREAD,
             [(np.log(cameras.scales) - np.log(first.scales)).mean() / GAUGE_SPREAD],
             ((cameras.shifts - first.shifts) / FRAME_SPREAD).ravel(),
             (q - q.mean()) / PHONE_SPREAD]
    index = np.arange(views * PARAMETERS).reshape(views, PARAMETERS)
    one = np.eye(views * PARAMETERS)
    alike = (np.eye(views) - 1 / views) / PHONE_SPREAD
    rows = [one[index[:, :3].ravel()] / np.radians(TILT_DEG),
            np.einsum("vkj,vkp->jp", to_space, one[index[:, 4:6]]) / GAUGE_SPREAD, one[index[:, 3]] / FRAME_SPREAD,
            one[index[:, 3]].mean(axis=0, keepdims=True) / GAUGE_SPREAD, one[index[:, 4:6].ravel()] / FRAME_SPREAD,
            alike @ one[index[:, 6]]]
    known = np.full(views, np.nan) if closeness is None else np.broadcast_to(np.asarray(closeness, float), views)
    said = np.isfinite(known)
    if said.any():
        parts.append((q - known)[said] / EXIF_SPREAD)
        rows.append(one[index[said, 6]] / EXIF_SPREAD)
    else:
        parts.append([(q.mean() - TYPICAL_CLOSENESS) / CLOSENESS_SPREAD])
        rows.append(one[index[:, 6]].mean(axis=0, keepdims=True) / CLOSENESS_SPREAD)
    return np.concatenate(parts), np.concatenate(rows)


# ---- The common frame ------------------------------------------------------------------------------------------------


def _without_common_rotation(cameras, named):
    """The cameras in the frame in which their rotations from the named directions average to none."""
    for _ in range(5):  # the mean of rotations, by tangent vectors (Karcher)
        common = -rotation_vector(named.swapaxes(1, 2) @ cameras.bases).mean(axis=0)
        cameras = replace(cameras, bases=cameras.bases @ rotation_matrix(common))
    return cameras


def _recentered(cameras, center, unit):
    """The cameras in a frame whose origin is at `center` and whose unit is `unit` of the present one.

    The camera stays where it is; as its axis is to pass through the new origin it is turned by the little that takes, by
    which lines of sight change in the second order only.
    """
    toward = cameras.bases[:, 2]
    q, depth = cameras.inverse_distances, toward @ center
    w = 1 - q * depth
    # The axis turns by q * (what lies across it) / w: r' = r + a t, u' = u + b t
    across, up = cameras.bases[:, 0] @ center, cameras.bases[:, 1] @ center
    turn = np.stack([up * q / w, -across * q / w, np.zeros_like(q)], axis=1)  # in the camera's own axes
    world = np.einsum("vij,vi->vj", cameras.bases, turn)
    bases = cameras.bases @ rotation_matrix(world).swapaxes(1, 2)
    stretch = cameras.scales / w
    shifts = cameras.shifts + np.stack([across * stretch, -up * stretch], axis=1)
    return CameraSet(bases, q * unit / w, stretch * unit, shifts)


def _small(masks):
    from PIL import Image

    size = min(masks.shape[-1], WORKING_SIZE)
    return np.stack([np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.BOX)) for mask in masks])
