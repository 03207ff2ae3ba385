"""Which checkpoints are used where none is named: your own or the shipped ones, and why."""
from pathlib import Path

from config import PRETRAINED_DIR, UserError
from utils.io.checkpoint import load_checkpoint
from utils.io.files import content_hash

ROOT = Path(__file__).parents[2]


def default_checkpoint(kind: str) -> Path:
    """Your own best checkpoint of a kind (geometry, geometry_field or texture), else the shipped one."""
    own = Path("checkpoints") / f"{kind}_best.pth"
    return own if own.is_file() else ROOT / PRETRAINED_DIR / f"{kind}_best.pth"


def choose_of_points(kind: str) -> tuple[Path, str]:
    """The checkpoint of one of the point decoder's two models (geometry or texture), and why it is this one."""
    path = default_checkpoint(kind)
    if PRETRAINED_DIR not in path.as_posix():
        return path, f"your own; --{kind}_checkpoint {ROOT / PRETRAINED_DIR / path.name} takes the shipped one"
    return path, f"shipped, for there is no checkpoints/{path.name}"


def choose_geometry(decoder: str = "field") -> tuple[Path, str]:
    """The geometry checkpoint of a decoder ("field" or "points"), and why it is this one.

    A point decoder that you trained never takes the field's place unasked: the field gives the better shapes. Nor does
    your own field take the shipped one's unless it scored better on the same objects, which neither was chosen for: a
    test drive of minutes is no better than days of training.
    """
    if decoder == "points":
        return choose_of_points("geometry")
    own, shipped = Path("checkpoints") / "geometry_field_best.pth", ROOT / PRETRAINED_DIR / "geometry_field_best.pth"
    if not own.is_file():
        return shipped, "shipped"
    if not shipped.is_file():
        return own, "your own"
    try:
        saved = load_checkpoint(own, "field")
    except UserError as error:
        return shipped, f"shipped; {str(error).split('; make one')[0]}"
    score, other = saved["score"], saved.get("shipped_field")
    ask = f"--geometry_checkpoint {own} takes your own"
    if score is None or other is None or other["content"] != content_hash([shipped]):
        return shipped, f"shipped, for your own was not compared with it; {ask}"
    words = f"{score:.5f} on held-out objects, the shipped one {other['score']:.5f}"
    return (own, f"your own, {words}") if score < other["score"] else (shipped, f"shipped, for your own has {words}; {ask}")
