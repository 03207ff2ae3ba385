"""What a reader must know to take an evaluation's figures for what they are."""
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from config import VIEW_NAMES
from utils.evaluation.metrics import THRESHOLDS
from utils.evaluation.report import commit_of
from utils.io.files import content_hash

ROOT = Path(__file__).parents[2]


def protocol_of(options: Namespace, count: int, what: str, checkpoints: Iterable[Path], texture_size: int) -> dict:
    """What a reader must know to take the figures for what they are.

    Args:
        options: of evaluate.py.
        count: objects judged.
        what: which objects these are.
        checkpoints: of all learned methods.
        texture_size: texels per edge of the meshes' textures.
    Returns:
        dict: lines (list of str), commit (str or None), checkpoints ({path: content hash}).
    """
    thresholds = ", ".join(f"{value:g}" for value in THRESHOLDS)
    placed = ("predictions laid on it by a rigid motion and scale (point-to-plane ICP from the identity, the nearest "
              "90 % of the points), the images are photographs" if options.photographs else
              "predictions compared as they are, no alignment")
    hashes = {str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path): content_hash([path])
              for path in dict.fromkeys(checkpoints)}
    commit = commit_of(ROOT)
    surfaces = (f"surfaces: {options.samples} samples on either by area, seeded; a sample counts if one of the 26 "
                "directions to a grid cell's neighbors leaves the object unobstructed; cd_l1 is half the sum of both "
                f"mean nearest distances; F-scores at {thresholds}")
    images = (f"images: unlit, {options.picture_size} px; novel: 8 oblique cameras (azimuth 22.5 + 45 i, elevation +30 "
              "and -20 in turn); input: the six views; PSNR in dB over the union of both silhouettes, over white")
    handles = ("handles too many: genus summed over the parts, (2 - Euler number) / 2, less the reference's (0 where "
               "it is not watertight), 0 at least; none too many: fraction of objects")
    lines = [
        f"objects: {count}, {what}",
        *([f"given: {', '.join(options.views)} alone"] if len(options.views) < len(VIEW_NAMES) else []),
        f"frame: the reference's box centered at the origin, its longest edge 2; {placed}",
        surfaces,
        images,
        handles,
        f"budgets: field and hull at grid {options.grid}, at most {options.faces} faces, {texture_size} px texture",
        "95 %: bootstrap interval of the mean over objects, 2000 draws, seed 0",
    ]
    lines += [f"checkpoint: {name}, content {key}" for name, key in hashes.items()]
    lines += [f"commit: {commit}"] if commit else []
    return {"lines": lines, "commit": commit, "checkpoints": hashes}
