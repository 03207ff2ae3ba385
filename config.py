"""Every setting of MIto3D in one place, and the few constants that training and inference must agree on.

Only the standard library is imported here, so `--help` and a mistyped option answer at once.

    python train_geometry.py --preset fast --num_epochs_stage1 2 --learning_rate_stage1 1e-4
"""
import argparse
import dataclasses
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

# The six orthographic views, by name and in this order everywhere (utils/rendering/cameras.py has their cameras).
VIEW_NAMES = ("front", "back", "left", "right", "top", "bottom")
IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif")
PATCH_SIZE = 14  # pixels; DINOv2's patch edge, so image sizes are rounded up to a multiple of it
SCRATCH_ENCODER = "scratch"  # encoder_name of the small DINOv2 that starts from random weights
SAMPLE_DIR = "data/sample"  # shipped shoes: what untouched defaults train on
EXAMPLES_DIR = "data/examples"  # shipped six-view folders: what untouched defaults reconstruct
PRETRAINED_DIR = "checkpoints/pretrained"  # shipped weights


class UserError(Exception):
    """Something the user can mend: shown as one line, exit code 2, no traceback."""


@dataclass
class Config:
    """Defaults for a first real training: DINOv2-base, 4096 points. Every field is also `--field value`."""

    # Where things are (paths; relative ones start at the current folder)
    obj_dir: str = "data/OBJs"  # <obj_dir>/<id>/<anything>.obj; none of your own there: data/sample is used
    images_dir: str = "data/input_images"  # <images_dir>/<id>_<view>.{png,jpg,jpeg}
    cache_dir: str = "data/cache"  # sampled surfaces and resized images; safe to delete
    checkpoint_dir: str = "checkpoints"  # geometry_best.pth, geometry_last.pth and the same for texture
    log_dir: str = "logs"  # one JSON line per epoch, and TensorBoard events if it is installed

    # Data
    image_size: int = 224  # pixels; images are resized to this (rounded up to a multiple of 14)
    num_surface_samples: int = 16384  # points cached per object, by area: the true surface
    validation_fraction: float = 0.15  # share of objects held out of training (at least one)
    num_folds: int = 0  # 0: hold out validation_fraction; k: hold out one of k equal parts instead
    fold: int = 0  # which of the num_folds parts is held out, counted from 0
    training_share: float = 1.0  # share of the objects not held out that is trained on, for learning curves
    augmentations: int = 0  # changed copies of each training object; a frozen encoder's features of all are cached
    augment_turns: bool = False  # copies are also turned by quarter turns: for objects whose front means nothing
    num_workers: int = 0  # loader processes; 0 reads in the training process
    seed: int = 0  # split, initial weights, shuffling, sampling

    # Run
    device: str = "auto"  # auto = cuda, then mps, then cpu; a named device that is absent is an error
    mixed_precision: str = "no"  # no | bf16; the losses stay float32
    resume: bool = False  # continue from the stage's *_last.pth
    initial_weights: str = ""  # checkpoint of the same sizes to begin with, such as a shipped one; stage 1

    # Image encoder
    encoder_name: str = "facebook/dinov2-base"  # hub name | local folder | a geometry .pth | scratch
    freeze_image_encoder: bool = False  # True: encoder in eval mode, no gradient, not stored in checkpoints
    gradient_checkpointing: bool = False  # recompute activations in backward: less memory, about 1.3x the time
    encoder_width: int = 256  # features per token of the `scratch` encoder
    encoder_layers: int = 4  # transformer blocks of the `scratch` encoder
    encoder_heads: int = 4  # attention heads of the `scratch` encoder
    encoder_learning_rate_scale: float = 0.1  # encoder's rate / the rest's; near 1 its features collapse to one value
    aggregate_dim: int = 768  # width of the one feature vector that six views become

    # Geometry (stage 1)
    geometry_decoder: str = "points"  # points: one vector to a closed mesh | field: six named views to occupancy
    num_points: int = 4096  # vertices of the predicted mesh; 2048 or 1024 save memory, 8192 for quality
    decoder_hidden: tuple = (1024, 2048, 2048)  # hidden widths of the point decoder
    num_loss_samples: int = 4096  # points per object and step, on the true and on the predicted surface
    batch_size_stage1: int = 1  # objects per step and process
    num_epochs_stage1: int = 50  # passes over the training objects
    learning_rate_stage1: float = 5e-5  # peak; linear warm-up, then cosine
    lambda_chamfer: float = 1.0  # squared distances, both directions
    lambda_coverage: float = 0.02  # distance of the worst-covered 5 % of the true surface
    lambda_laplacian: float = 1.0  # vertices pulled to the mean of their neighbors: fewer spikes
    lambda_edge: float = 0.003  # spread of edge lengths: fewer slivers
    lambda_normal: float = 0.02  # bending between neighboring faces

    # Field (stage 1 with --geometry_decoder field)
    field_grid: int = 24  # cells per edge of the volume that sees the object as a whole; 0 leaves it out
    field_widths: tuple = (32, 64, 128, 192)  # channels per level of the volume's U-Net, multiples of 8
    field_images: bool = False  # a small U-Net over each image adds features to what is measured
    field_tokens: bool = False  # patch tokens of a frozen encoder_name, encoded once and cached, join what is measured
    field_color: bool = True  # False: silhouettes alone, whatever the images show
    field_target: str = "occupancy"  # occupancy | distance: what the network learns to tell of a point
    field_points: int = 4096  # points of space per object and step
    field_variants: int = 3  # each training object drawn anew, turned or among others; made in the first epochs
    field_stretch: float = 0.25  # standard deviation of the logarithm by which objects are stretched along each axis
    learning_rate_field: float = 1e-3  # peak, in place of learning_rate_stage1

    # Texture (stage 2)
    geometry_checkpoint: str = ""  # empty: checkpoints/geometry_best.pth if you trained one, else the shipped one
    texture_hidden: int = 256  # width of the color MLP
    texture_layers: int = 4  # its hidden layers
    texture_frequencies: int = 6  # octaves of the sine encoding of a position
    batch_size_stage2: int = 1  # objects per step and process
    num_epochs_stage2: int = 30  # passes over the training objects
    learning_rate_stage2: float = 1e-4  # peak; linear warm-up, then cosine
    lambda_l1l2: float = 1.0  # |difference| + squared difference of sRGB in [0, 1]
    lambda_perceptual: float = 0.1  # distance of DINOv2 features of drawn and true views
    lambda_smooth: float = 0.02  # color difference along mesh edges

    # Optimization (both stages)
    weight_decay: float = 0.01  # AdamW, on matrices only
    warmup_fraction: float = 0.05  # share of all steps spent warming up
    average_weights: float = 0.0  # share of their running mean kept per step, which is judged and kept as best; stage 1
    gradient_clip: float = 1.0  # largest gradient norm
    gradient_accumulation_steps: int = 1  # batches added up before a step
    validate_every: int = 5  # epochs between validations (the last epoch is always validated)

    # Names of the fields the user set by hand: these never fall back to shipped data or weights.
    explicit: frozenset = field(default_factory=frozenset, repr=False, compare=False)


@dataclass
class FastTrainingConfig(Config):
    """A test drive in minutes on a CPU: a small encoder from random weights, nothing to download."""

    encoder_name: str = SCRATCH_ENCODER
    image_size: int = 112
    encoder_width: int = 192
    encoder_learning_rate_scale: float = 0.01
    num_points: int = 1024
    num_loss_samples: int = 2048
    decoder_hidden: tuple = (512, 512)
    batch_size_stage1: int = 4
    batch_size_stage2: int = 4
    num_epochs_stage1: int = 10
    num_epochs_stage2: int = 6
    learning_rate_stage1: float = 3e-4
    learning_rate_stage2: float = 5e-4


@dataclass
class HighQualityConfig(Config):
    """A long run on a large GPU: full-size images, 8192 points."""

    image_size: int = 518
    num_points: int = 8192
    num_loss_samples: int = 8192
    num_surface_samples: int = 32768
    texture_hidden: int = 512
    texture_layers: int = 6
    num_epochs_stage1: int = 200
    num_epochs_stage2: int = 100
    gradient_checkpointing: bool = True


@dataclass
class MemoryEfficientConfig(Config):
    """A small GPU or laptop: frozen encoder, half the points, one object at a time."""

    freeze_image_encoder: bool = True
    gradient_checkpointing: bool = True
    num_points: int = 2048
    num_loss_samples: int = 2048


PRESETS = {
    "default": Config,
    "fast": FastTrainingConfig,
    "high_quality": HighQualityConfig,
    "memory_efficient": MemoryEfficientConfig,
}

# (smallest, largest) accepted values; a field that is absent here takes any value of its type.
LIMITS = {
    "image_size": (PATCH_SIZE, 4096),
    "num_surface_samples": (16, 1 << 22),
    "validation_fraction": (0.0, 0.9),
    "num_folds": (0, None),
    "fold": (0, None),
    "training_share": (0.001, 1.0),
    "augmentations": (0, 1000),
    "num_workers": (0, None),
    "seed": (0, None),
    "encoder_width": (1, None),
    "encoder_layers": (1, None),
    "encoder_heads": (1, None),
    "aggregate_dim": (1, None),
    "num_points": (4, 1 << 18),
    "num_loss_samples": (1, 1 << 18),
    "field_grid": (0, 256),
    "field_points": (1, 72_000),
    "field_stretch": (0.0, 1.0),
    "field_variants": (0, 1000),
    "batch_size_stage1": (1, None),
    "batch_size_stage2": (1, None),
    "num_epochs_stage1": (1, None),
    "num_epochs_stage2": (1, None),
    "texture_hidden": (1, None),
    "texture_layers": (1, None),
    "texture_frequencies": (0, 16),
    "weight_decay": (0.0, None),
    "warmup_fraction": (0.0, 1.0),
    "average_weights": (0.0, 0.99999),
    "gradient_accumulation_steps": (1, None),
    "validate_every": (1, None),
}


def check_config(cfg):
    """Refuse values that cannot work, naming the option.

    Args:
        cfg: a Config.
    Returns:
        the same Config.
    Raises:
        UserError: a value has the wrong type, is out of range, or is none of the choices.
    """
    for item in option_fields(type(cfg)):
        value, kind = getattr(cfg, item.name), type(item.default)
        if kind is float and type(value) is int:
            value = float(value)
            setattr(cfg, item.name, value)
        if type(value) is not kind:
            raise UserError(f"--{item.name} {value!r}: expected {_kind_name(kind)}")
        low, high = LIMITS.get(item.name, (None, None))
        if item.name.startswith(("lambda_", "learning_rate_", "gradient_clip", "encoder_learning_rate")):
            low = 0.0
        if kind in (int, float):
            if value != value or value in (float("inf"), float("-inf")):
                raise UserError(f"--{item.name} {value}: must be a finite number")
            if low is not None and value < low:
                raise UserError(f"--{item.name} {value}: must be at least {low}")
            if high is not None and value > high:
                raise UserError(f"--{item.name} {value}: must be at most {high}")
    if not cfg.decoder_hidden or any(type(width) is not int or width < 1 for width in cfg.decoder_hidden):
        raise UserError(f"--decoder_hidden {cfg.decoder_hidden}: expected whole numbers above 0, like 1024,2048")
    if cfg.num_folds == 1:
        raise UserError("--num_folds 1: one part leaves nothing to train on; choose 2 or more, or 0")
    if cfg.fold >= max(cfg.num_folds, 1):
        raise UserError(f"--fold {cfg.fold}: must be below --num_folds {cfg.num_folds}")
    if not cfg.field_widths or any(width < 8 or width % 8 for width in cfg.field_widths):
        raise UserError(f"--field_widths {cfg.field_widths}: expected multiples of 8, like 24,48,96")
    for name, choices in (("geometry_decoder", ("points", "field")), ("field_target", ("occupancy", "distance"))):
        if getattr(cfg, name) not in choices:
            raise UserError(f"--{name} {getattr(cfg, name)}: choose {' or '.join(choices)}")
    if cfg.field_grid % 2 ** (len(cfg.field_widths) - 1):
        raise UserError(f"--field_grid {cfg.field_grid}: must be a multiple of {2 ** (len(cfg.field_widths) - 1)}, as "
                        f"--field_widths has {len(cfg.field_widths)} levels")
    if cfg.resume and cfg.initial_weights:
        raise UserError("--initial_weights: a resumed run goes on with its own; leave one of the two out")
    if cfg.field_tokens and not cfg.field_color:
        raise UserError("--field_tokens true: tokens tell what images show, which --field_color false hides")
    if cfg.mixed_precision not in ("no", "bf16"):
        raise UserError(f"--mixed_precision {cfg.mixed_precision}: choose no or bf16")
    if cfg.encoder_width % cfg.encoder_heads:
        raise UserError(f"--encoder_width {cfg.encoder_width}: must be a multiple of --encoder_heads {cfg.encoder_heads}")
    return cfg


def option_fields(config_class=Config):
    """The dataclass fields that are command-line options: all but the record of which were named."""
    return [item for item in dataclasses.fields(config_class) if item.name != "explicit"]


def config_as_dict(cfg):
    """The options of `cfg` as plain types (str, int, float, bool, list), for checkpoints and logs."""
    plain = {item.name: getattr(cfg, item.name) for item in option_fields(type(cfg))}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def parse_config(argv, description):
    """Turn `--preset NAME` and `--field value` options into a checked config.

    Args:
        argv: list of str, without the program's name.
        description: str, shown by `--help`.
    Returns:
        a Config (or the preset's subclass) whose `explicit` holds the names given in `argv`.
    Raises:
        UserError: an option is unknown, mistyped or out of range.
    """
    parser = OptionParser(description=description)
    parser.add_argument("--preset", choices=PRESETS, default="default", help="starting values for all options below")
    # `--help` shows the comment beside each field of Config: one text, in one place.
    source = Path(__file__).read_text(encoding="utf-8")
    comments = dict(re.findall(r"^    (\w+): \w+ = .*?  # (.*)$", source.split("class FastTraining")[0], re.MULTILINE))
    for item in option_fields():
        shown = ",".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
        flag = {"nargs": "?", "const": "true"} if isinstance(item.default, bool) else {}
        parser.add_argument(f"--{item.name}", metavar=type(item.default).__name__, default=None,
                            help=f"{comments[item.name]} (default {shown})".replace("%", "%%"), **flag)
    options = vars(parser.parse_args(argv))
    cfg = PRESETS[options.pop("preset")]()
    named = {name: text for name, text in options.items() if text is not None}
    for name, text in named.items():
        setattr(cfg, name, _parse_value(name, text, type(getattr(cfg, name))))
    cfg.explicit = frozenset(named)
    return check_config(cfg)


def _parse_value(name, text, kind):
    try:
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if kind is tuple:
            return tuple(int(part) for part in text.replace("x", ",").split(","))
        return kind(text)
    except (KeyError, ValueError):
        raise UserError(f"--{name} {text!r}: expected {_kind_name(kind)}") from None


def _kind_name(kind):
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text",
            tuple: "whole numbers with commas, like 1024,2048"}[kind]


class OptionParser(argparse.ArgumentParser):
    """argparse that never guesses abbreviations and reports a bad option as one UserError line."""

    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message):
        raise UserError(f"{message} (see --help)")


def run_script(main):
    """Run `main(argv)` for a script: a UserError becomes one line on stderr and exit code 2."""
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
