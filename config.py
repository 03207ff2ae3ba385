"""Every setting of MIto3D in one place, and the few constants that training and inference must agree on.

Only the standard library is imported here, so `--help` and a mistyped option answer at once.

    python train_geometry.py --preset fast --num_epochs_stage1 2 --learning_rate_stage1 1e-4
"""
import argparse
import dataclasses
import errno
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

# The six orthographic views, by name and in this order everywhere (utils/rendering/cameras.py has their cameras).
VIEW_NAMES = ("front", "back", "left", "right", "top", "bottom")
IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif")
PATCH_SIZE = 14  # pixels; DINOv2's patch edge, so image sizes are rounded up to a multiple of it
SCRATCH_ENCODER = "scratch"  # encoder_name of the small DINOv2 that starts from random weights
SAMPLE_DIR = "data/sample"  # shipped shoes: what untouched defaults train on
EXAMPLES_DIR = "data/examples"  # shipped six-view folders: what untouched defaults reconstruct
PRETRAINED_DIR = "checkpoints/pretrained"  # shipped weights
SHOWN_OF_A_PATH = 60  # letters, of one that is longer than any can be
# What the system answers where a file is none of our making: rights, a disk or network that fails, links in a circle, no room
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ELOOP, errno.ESTALE, errno.EMFILE, errno.ENFILE,
           errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ETIMEDOUT)
KEPT = "what was finished is kept, nothing is half written"
BROKEN_PIPE = 13  # SIGPIPE, which Windows does not have


class UserError(Exception):
    """Something the user can mend: shown as one line, exit code 2, no traceback."""


class Stopped(Exception):
    """A signal ended the run after what it had done was saved: shown as one line, exit code 128 + its number."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends the run as Ctrl-C does, so that what is half written is removed."""


# The scripts that read a Config, in groups: what an option names is what it changes (see `refuse_unused`).
SCRIPTS = {"geometry": "train_geometry.py", "field": "train_field.py", "texture": "train_texture.py",
           "load_data": "load_data.py"}
GEOMETRY, FIELD, TEXTURE = ("geometry",), ("field",), ("texture",)
STAGE1, CLASSIC, TRAINING = ("geometry", "field"), ("geometry", "texture"), ("geometry", "field", "texture")
DATA = TRAINING + ("load_data",)


def option(default: Any, scripts: tuple, text: str) -> Any:
    """A field of Config that is a command-line option: its default, the scripts that use it, and its `--help`."""
    return field(default=default, metadata={"scripts": scripts, "help": text})


@dataclass
class Config:
    """Defaults for a first real training: DINOv2-base, 4096 points. Every field is also `--field value`."""

    # Where things are (paths; relative ones start at the current folder)
    obj_dir: str = option("data/OBJs", DATA,
                          "<obj_dir>/<id>/<anything>.obj; several with commas; without any: data/sample is used")
    images_dir: str = option("data/input_images", DATA, "<images_dir>/<id>_<view>.{png,jpg,jpeg}; one for each obj_dir")
    cache_dir: str = option("data/cache", DATA, "what is made from meshes and images once; safe to delete")
    checkpoint_dir: str = option("checkpoints", TRAINING,
                                 "geometry_best.pth, geometry_last.pth and the same for texture")
    log_dir: str = option("logs", TRAINING, "JSON lines, curves, a sheet of validation objects, TensorBoard events")

    # Data
    image_size: int = option(224, CLASSIC + ("load_data",),
                             "pixels; images are resized to this (rounded up to a multiple of 14)")
    num_surface_samples: int = option(16384, CLASSIC + ("load_data",),
                                      "points cached per object, by area: the true surface")
    validation_fraction: float = option(0.15, TRAINING, "fraction of objects held out of training (at least one)")
    num_folds: int = option(0, TRAINING, "0: hold out validation_fraction; k: hold out one of k equal parts instead")
    fold: int = option(0, TRAINING, "which of the num_folds parts is held out, counted from 0")
    split_file: str = option("", TRAINING, "lines `<id> train|validation|test` instead of a split by id; others are "
                             "trained on, test objects are left alone")
    training_share: float = option(1.0, TRAINING,
                                   "fraction of the objects not held out that is trained on, for learning curves")
    augmentations: int = option(0, CLASSIC,
                                "changed copies of each training object; a frozen encoder's features of all are cached")
    augment_turns: bool = option(False, CLASSIC,
                                 "copies are also turned by quarter turns: for objects whose front means nothing")
    num_workers: int = option(0, TRAINING, "loader processes; 0 reads in the training process")
    seed: int = option(0, TRAINING, "split, initial weights, shuffling, sampling")

    # Run
    device: str = option("auto", TRAINING, "auto = cuda, then mps, then cpu; a named device that is absent is an error")
    mixed_precision: str = option("no", TRAINING, "no | bf16; the losses stay float32")
    resume: bool = option(False, TRAINING, "continue from the stage's *_last.pth")
    initial_weights: str = option("", STAGE1,
                                  "checkpoint of the same sizes to begin with, such as a shipped one")

    # Image encoder
    encoder_name: str = option("facebook/dinov2-base", CLASSIC, "hub name | local folder | a geometry .pth | scratch")
    freeze_image_encoder: bool = option(False, CLASSIC,
                                        "True: encoder in eval mode, no gradient, not stored in checkpoints")
    gradient_checkpointing: bool = option(False, CLASSIC,
                                          "recompute activations in backward: less memory, about 1.3x the time")
    encoder_width: int = option(256, CLASSIC, "features per token of the `scratch` encoder")
    encoder_layers: int = option(4, CLASSIC, "transformer blocks of the `scratch` encoder")
    encoder_heads: int = option(4, CLASSIC, "attention heads of the `scratch` encoder")
    encoder_learning_rate_scale: float = option(0.1, CLASSIC,
                                                "encoder's rate / the rest's; near 1 all features become one value")
    aggregate_dim: int = option(768, GEOMETRY, "width of the one feature vector that six views become")

    # Geometry (stage 1)
    geometry_decoder: str = option("points", GEOMETRY,
                                   "points: one vector to a closed mesh (field: see train_field.py)")
    num_points: int = option(4096, GEOMETRY,
                             "vertices of the predicted mesh; 2048 or 1024 save memory, 8192 for quality")
    decoder_hidden: tuple = option((1024, 2048, 2048), GEOMETRY, "hidden widths of the point decoder")
    num_loss_samples: int = option(4096, CLASSIC,
                                   "points per object and step, on the true and on the predicted surface")
    batch_size_stage1: int = option(1, STAGE1, "objects per step and process")
    num_epochs_stage1: int = option(50, STAGE1, "passes over the training objects")
    learning_rate_stage1: float = option(5e-5, GEOMETRY, "peak; linear warm-up, then cosine")
    lambda_chamfer: float = option(1.0, GEOMETRY, "squared distances, both directions")
    lambda_coverage: float = option(0.02, GEOMETRY, "distance of the worst-covered 5 % of the true surface")
    lambda_laplacian: float = option(1.0, GEOMETRY, "vertices pulled to the mean of their neighbors: fewer spikes")
    lambda_edge: float = option(0.003, GEOMETRY, "spread of edge lengths: fewer slivers")
    lambda_normal: float = option(0.02, GEOMETRY, "bending between neighboring faces")

    # Field (train_field.py)
    field_grid: int = option(24, FIELD, "cells per edge of the volume that sees the object as a whole; 0 leaves it out")
    field_widths: tuple = option((32, 64, 128, 192), FIELD, "channels per level of the volume's U-Net, multiples of 8")
    field_image_widths: tuple = option((24, 48, 72, 96, 128), FIELD,
                                       "channels per level of the images' own U-Net, multiples of 8; 0 leaves it out")
    field_color: bool = option(True, FIELD, "False: silhouettes alone, whatever the images show")
    field_points: int = option(4096, FIELD, "points of space per object and step")
    field_variants: int = option(3, FIELD,
                                 "each training object drawn anew, turned or among others; made in the first epochs")
    field_stretch: float = option(0.25, FIELD,
                                  "standard deviation of the logarithm by which objects are stretched along each axis")
    field_generated: int = option(0, FIELD, "generated objects beside the real ones, each variant of them another")
    field_echo: int = option(1, FIELD, "batches for each batch of items that is read, drawn from the latest 4096 items, which "
                                       "stay on the device (7 GB): for a GPU that is faster than items are made")
    learning_rate_field: float = option(1e-3, FIELD, "peak; linear warm-up, then cosine")

    # Texture (stage 2)
    geometry_checkpoint: str = option("", TEXTURE,
                                      "empty: checkpoints/geometry_best.pth if you trained one, else the shipped one")
    texture_hidden: int = option(256, TEXTURE, "width of the color MLP")
    texture_layers: int = option(4, TEXTURE, "its hidden layers")
    texture_frequencies: int = option(6, TEXTURE, "octaves of the sine encoding of a position")
    batch_size_stage2: int = option(1, TEXTURE, "objects per step and process")
    num_epochs_stage2: int = option(30, TEXTURE, "passes over the training objects")
    learning_rate_stage2: float = option(1e-4, TEXTURE, "peak; linear warm-up, then cosine")
    lambda_l1l2: float = option(1.0, TEXTURE, "|difference| + squared difference of sRGB in [0, 1]")
    lambda_perceptual: float = option(0.1, TEXTURE, "distance of DINOv2 features of drawn and true views")
    lambda_smooth: float = option(0.02, TEXTURE, "color difference along mesh edges")

    # Optimization (both stages)
    weight_decay: float = option(0.01, TRAINING, "AdamW, on matrices only")
    warmup_fraction: float = option(0.05, TRAINING, "fraction of all steps spent warming up")
    average_weights: float = option(0.0, STAGE1,
                                    "decay of the weights' running mean, which is what is validated and kept as best")
    gradient_clip: float = option(1.0, TRAINING, "largest gradient norm; 1e9 clips nothing")
    gradient_accumulation_steps: int = option(1, TRAINING, "batches added up before a step")
    log_every: int = option(50, TRAINING, "optimizer steps between lines of the log within an epoch; 0: none")
    validate_every: int = option(5, TRAINING, "epochs between validations (the last epoch is always validated)")
    sheet_objects: int = option(4, TRAINING, "validation objects drawn beside the truth as training goes; 0: none")

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
    "num_workers": (0, 128),  # each takes 0.3 GB: thousands bring a machine down
    "seed": (0, 2**32 - 1),  # what NumPy takes
    "encoder_width": (1, None),
    "encoder_layers": (1, None),
    "encoder_heads": (1, None),
    "aggregate_dim": (1, None),
    "num_points": (4, 1 << 18),
    "num_loss_samples": (1, 1 << 18),
    "field_grid": (0, 256),
    "field_points": (1, 24_000),
    "field_stretch": (0.0, 1.0),
    "field_variants": (0, 1000),
    "field_generated": (0, 10_000_000),
    "field_echo": (1, 1000),
    "log_every": (0, None),
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
    "gradient_clip": (1e-12, None),  # by 0 nothing would be learned
    "gradient_accumulation_steps": (1, None),
    "validate_every": (1, None),
    "sheet_objects": (0, 100),
}


# Options that take one of a few words.
CHOICES = {"geometry_decoder": ("points", "field"), "mixed_precision": ("no", "bf16")}

# What cannot work together: each is true for a Config that is to be refused, with the message for it.
COMBINATIONS: list[tuple[Callable, Callable]] = [
    (lambda cfg: not cfg.decoder_hidden or min(cfg.decoder_hidden) < 1,
     lambda cfg: f"--decoder_hidden {cfg.decoder_hidden}: expected whole numbers above 0, like 1024,2048"),
    (lambda cfg: cfg.num_folds == 1,
     lambda cfg: "--num_folds 1: one part leaves nothing to train on; choose 2 or more, or 0"),
    (lambda cfg: cfg.fold >= max(cfg.num_folds, 1),
     lambda cfg: f"--fold {cfg.fold}: must be below --num_folds {cfg.num_folds}"),
    (lambda cfg: cfg.split_file and cfg.num_folds,
     lambda cfg: "--num_folds: --split_file says what is held out; leave one of the two out"),
    (lambda cfg: cfg.split_file and "validation_fraction" in cfg.explicit,
     lambda cfg: "--validation_fraction: --split_file says what is held out; leave one of the two out"),
    (lambda cfg: not all(name.strip() for name in f"{cfg.obj_dir},{cfg.images_dir}".split(",")),
     lambda cfg: f"--obj_dir {cfg.obj_dir} and --images_dir {cfg.images_dir}: a name is empty; no comma belongs at the end"),
    (lambda cfg: len(folders(cfg.obj_dir)) != len(folders(cfg.images_dir)),
     lambda cfg: f"--images_dir {cfg.images_dir}: names {counted(len(folders(cfg.images_dir)), 'folder')}, --obj_dir "
                 f"{len(folders(cfg.obj_dir))}; give one for each, in the same order"),
    (lambda cfg: not cfg.field_widths or any(width < 8 or width % 8 for width in cfg.field_widths),
     lambda cfg: f"--field_widths {cfg.field_widths}: expected multiples of 8, like 24,48,96"),
    (lambda cfg: cfg.field_image_widths != (0,) and (len(cfg.field_image_widths) > 8 or
                                                     any(width < 8 or width % 8 for width in cfg.field_image_widths)),
     lambda cfg: f"--field_image_widths {cfg.field_image_widths}: expected at most 8 multiples of 8, like 24,48,72, or 0"),
    (lambda cfg: cfg.field_grid % 2 ** (len(cfg.field_widths) - 1),
     lambda cfg: f"--field_grid {cfg.field_grid}: must be a multiple of {2 ** (len(cfg.field_widths) - 1)}, as "
                 f"--field_widths has {counted(len(cfg.field_widths), 'level')}"),
    (lambda cfg: cfg.resume and cfg.initial_weights,
     lambda cfg: "--initial_weights: a resumed run goes on with its own; leave one of the two out"),
    (lambda cfg: cfg.field_echo > 1 and cfg.gradient_accumulation_steps > 1,
     lambda cfg: "--gradient_accumulation_steps: goes with no --field_echo; raise --batch_size_stage1 instead"),
    (lambda cfg: cfg.encoder_width % cfg.encoder_heads,
     lambda cfg: f"--encoder_width {cfg.encoder_width}: must be a multiple of --encoder_heads {cfg.encoder_heads}"),
]


def folders(names: str) -> list[Path]:
    """The folders that `obj_dir` or `images_dir` names, separated by commas."""
    return [Path(name.strip()) for name in names.split(",")]


def check_config(cfg: "Config") -> "Config":
    """Refuse values that cannot work, naming the option.

    Args:
        cfg: a Config; whole numbers given for fractions become float.
    Returns:
        the same Config.
    Raises:
        UserError: a value has the wrong type, is out of range, is none of the choices, or does not go with another.
    """
    for item in option_fields(type(cfg)):
        setattr(cfg, item.name, _checked_value(item.name, getattr(cfg, item.name), type(item.default)))
    for name, choices in CHOICES.items():
        if getattr(cfg, name) not in choices:
            raise UserError(f"--{name} {getattr(cfg, name)}: choose {' or '.join(choices)}")
    for is_wrong, message in COMBINATIONS:
        if is_wrong(cfg):
            raise UserError(message(cfg))
    return cfg


def _checked_value(name, value, kind):
    """`value` as `kind`; UserError if it is of another type or out of range."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or kind is tuple and any(type(part) is not int for part in value):
        raise UserError(f"--{name} {value!r}: expected {_kind_name(kind)}")
    if kind not in (int, float):
        return value
    if not math.isfinite(value):
        raise UserError(f"--{name} {value}: must be a finite number")
    low, high = LIMITS.get(name, (None, None))
    if name.startswith(("lambda_", "learning_rate_", "encoder_learning_rate")):
        low = 0.0
    if low is not None and value < low:
        raise UserError(f"--{name} {value}: must be at least {low}")
    if high is not None and value > high:
        raise UserError(f"--{name} {value}: must be at most {high}")
    return value


def refuse_unused(cfg: "Config", script: str) -> None:
    """Raise UserError for the first option the user set by hand that a script does not use.

    Args:
        cfg: Config; its `explicit` names the options.
        script: a key of SCRIPTS.
    """
    for item in option_fields():
        users = item.metadata["scripts"]
        if item.name in cfg.explicit and script not in users:
            raise UserError(f"--{item.name}: {SCRIPTS[script]} does not use it, it is for "
                            f"{' and '.join(SCRIPTS[user] for user in users)}")


def preset_helps(preset: str, script: str) -> bool:
    """Whether a preset changes any option that a script uses."""
    return any(getattr(PRESETS[preset], item.name) != item.default and script in item.metadata["scripts"]
               for item in option_fields())


def options_of(script: str, cfg: "Config") -> list[str]:
    """The preset and the options set by hand that a script uses, as its command line: for programs that run several."""
    preset = next(name for name, kind in PRESETS.items() if kind is type(cfg))
    words = ["--preset", preset] if preset_helps(preset, script) else []
    for item in option_fields():
        if item.name in cfg.explicit and script in item.metadata["scripts"]:
            value = getattr(cfg, item.name)
            words += [f"--{item.name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return words


def option_fields(config_class: type = Config) -> list[dataclasses.Field]:
    """The dataclass fields that are command-line options: all but the record of which were named."""
    return [item for item in dataclasses.fields(config_class) if item.name != "explicit"]


def config_as_dict(cfg: Config) -> dict:
    """The options of `cfg` as plain types (str, int, float, bool, list), for checkpoints and logs."""
    plain = {item.name: getattr(cfg, item.name) for item in option_fields(type(cfg))}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def parse_config(argv: Sequence[str], description: str, script: str | None = None) -> Config:
    """Turn `--preset NAME` and `--field value` options into a checked config.

    Args:
        argv: list of str, without the program's name.
        description: str, shown by `--help`.
        script: a key of SCRIPTS, whose options alone are offered and accepted; None: all are.
    Returns:
        a Config (or the preset's subclass) whose `explicit` holds the names given in `argv`.
    Raises:
        UserError: an option is unknown, mistyped, out of range, or of no use to the script.
    """
    parser = OptionParser(description=description)
    parser.add_argument("--preset", choices=PRESETS, default="default", help="starting values for all options below")
    for item in option_fields():
        shown = ",".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
        unused = script and script not in item.metadata["scripts"]
        flag: dict[str, Any] = {"nargs": "?", "const": "true"} if isinstance(item.default, bool) else {}
        parser.add_argument(f"--{item.name}", metavar=type(item.default).__name__, default=None,
                            help=argparse.SUPPRESS if unused else
                            f"{item.metadata['help']} (default {shown})".replace("%", "%%"), **flag)
    options = vars(parser.parse_args(argv))
    preset = options.pop("preset")
    if script and preset != "default" and not preset_helps(preset, script):
        raise UserError(f"--preset {preset}: changes nothing that {SCRIPTS[script]} uses")
    cfg = PRESETS[preset]()
    named = {name: text for name, text in options.items() if text is not None}
    for name, text in named.items():
        setattr(cfg, name, _parse_value(name, text, type(getattr(cfg, name))))
    cfg.explicit = frozenset(named)
    if script:
        refuse_unused(cfg, script)
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


def path_problem(path: str | Path) -> str | None:
    """Why no file can have this path, as the end of a sentence; None if one could."""
    if not str(path):
        return "is empty"
    try:
        os.lstat(path)
    except OSError as error:
        return "is longer than a path can be" if error.errno == errno.ENAMETOOLONG else None
    except ValueError:
        return "holds a character that no path can have"
    return None


def _given_text(text: str) -> str:
    """The value of an option that is text, be it a list with commas; argparse's error where nothing can come of it."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a value, or leave it out")
    problem = next(filter(None, map(path_problem, filter(None, text.split(",")))), None)
    if problem:
        raise argparse.ArgumentTypeError(f"{text[:SHOWN_OF_A_PATH]}... {problem}")
    return text


class OptionParser(argparse.ArgumentParser):
    """argparse that never guesses abbreviations and reports a bad option as one UserError line."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)
        self.register("type", None, _given_text)  # of every option that is text

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


def run_script(main: Callable[[list[str]], Any]) -> None:
    """Run `main(argv)` for a script: what a user can mend, and what a signal ended, is one line on stderr.

    Exit codes: 0 all done; 1 a bug of ours, with its traceback; 2 a UserError; 130 Ctrl-C; 143 SIGTERM; 141 nobody reads
    what is printed any more.
    """
    _open_closed_streams()
    if hasattr(sys.stdout, "reconfigure"):  # names of files may hold bytes that are no text, or letters the terminal lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        signal.signal(signal.SIGTERM, terminate)
    except ValueError:
        pass  # not in the main thread: whoever runs us there takes care of signals
    code, said, failed = None, "", None
    try:
        if not _has_folder():
            raise UserError("the folder that this was started in is gone; change into another one")
        main(sys.argv[1:])
    except SystemExit as stop:  # --help
        code = stop.code or 0
    except UserError as error:
        code, said = 2, f"error: {what_was_said(error)}"
    except OSError as error:
        failed = error
    except Stopped as stop:
        code, said = 128 + stop.number, f"stopped: {stop}"
    except KeyboardInterrupt as stop:
        code, said = 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT), f"stopped: {KEPT}"
    lost = _print_at_last("\n" if failed else "", sys.stdout)
    if lost and code is None:
        code, said = 2, f"error: what is printed cannot be written ({lost.strerror}); {KEPT}"
        if isinstance(lost, BrokenPipeError):
            code, said = 128 + BROKEN_PIPE, f"stopped: nobody reads what is printed any more; {KEPT}"
    elif failed and failed.errno == errno.ENAMETOOLONG:
        code, said = 2, f"error: {str(failed.filename)[:SHOWN_OF_A_PATH]}... is longer than a path can be"
    elif failed and failed.filename is not None and failed.errno in REFUSED:
        code, said = 2, f"error: {failed.filename}: {failed.strerror}"
    elif failed:
        raise failed
    _print_at_last(said and said + "\n", sys.stderr)
    if code is not None:
        sys.exit(code)


def _open_closed_streams():
    """Give what is printed to a stream that was closed from the start a place: else the next file opened would get it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for as long as we run)


def _has_folder():
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


def _print_at_last(text, stream):
    """Write out what was printed, and `text`; the OSError if that fails, after which all of the stream goes nowhere."""
    try:
        print(text, end="", file=stream, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # Python tries what is left once more at its very end
        return error
    return None


def what_was_said(error: UserError) -> str:
    """The message of an error; one that a DataLoader's process raised comes with its traceback, at whose end it stands."""
    text = str(error).strip()
    return text.splitlines()[-1].partition(": ")[2] if "Original Traceback" in text else text


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what it counts: `1 view`, `2 views`; `many` where it is not `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def terminate(number: int, frame: Any) -> None:
    """Handler of SIGTERM."""
    raise Terminated
