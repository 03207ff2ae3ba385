"""Evaluate reconstructions against ground-truth meshes.

    python evaluate.py --obj_dir D --images_dir I                      # held-out objects, model and baselines
    python evaluate.py --obj_dir A,B --images_dir C,D --split_file data/splits/real_objects.txt --split validation
    python evaluate.py --methods model,hull,checkpoints/other.pth      # geometry checkpoints side by side
    python evaluate.py --methods model --without network --without photo_consistency   # what each step is worth
    python evaluate.py --methods model --method other=their_meshes/    # meshes of another program beside ours
    python evaluate.py --leak_check                                    # near duplicates across the split
    python evaluate.py --folds 5 -- --preset fast                      # trains five times, with the options after --
    python evaluate.py --learning_curve -- --preset fast               # trains on 10, 30 and 100 % of the objects

Prints a table and writes objects.csv, summary.json, table.md and two contact sheets: contact_sheet.png in color and
contact_sheet_gray.png without. Without --obj_dir and --images_dir it judges the shipped sample, or your data/.
"""
from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from config import VIEW_NAMES, Config, OptionParser, UserError, counted, run_script
from inference import STEPS

if TYPE_CHECKING:  # a mistyped option answers at once, so what is heavy is imported where it is used
    from utils.evaluation.metrics import GroundTruth
    from utils.io.object_files import ObjectFiles
    from utils.mesh.mesh import Mesh

ROOT = Path(__file__).parent
LEARNED = ("model", "field", "points")  # names that stand for checkpoints
KINDS = ("geometry", "field", "texture")  # of checkpoints
BASELINES = ("floor", "mean_shape", "nearest", "hull", "mean_color")
TEXTURE_SIZE = 1024  # texels, as inference writes unless told otherwise
SHARES = (0.1, 0.3, 1.0)  # of the training objects, for the learning curve
SHOES_FILE = "data/splits/real_shoes.txt"  # ids that are shown apart


def parse_options(argv: list[str]) -> tuple[Namespace, list[str]]:
    """Options of this script, and the list of those after `--`, which are the training scripts'."""
    argv, passed = (argv[:argv.index("--")], argv[argv.index("--") + 1:]) if "--" in argv else (argv, [])
    parser = OptionParser(description=__doc__.splitlines()[0])
    parser.add_argument("--obj_dir", help="<obj_dir>/<id>/<anything>.obj; several folders with commas")
    parser.add_argument("--images_dir", help="<images_dir>/<id>_<view>.{png,jpg,jpeg}; as many folders, in that order")
    parser.add_argument("--split", choices=["val", "validation", "train", "test", "all"], default="val",
                        help="which objects (default val, the same as validation; test needs --split_file)")
    parser.add_argument("--split_file", help="lines of <id> and train, validation or test, such as "
                                             "data/splits/real_objects.txt (default: as the checkpoint was trained)")
    parser.add_argument("--shoes", default=str(ROOT / SHOES_FILE),
                        help=f"file of ids whose figures are also shown apart (default {SHOES_FILE})")
    parser.add_argument("--methods", default=",".join(("model", *BASELINES)),
                        help="with commas: model (what inference uses), field, points (your own of the two decoders, or the "
                             "shipped one where there is none), "
                             f"geometry checkpoints by path, {', '.join(BASELINES)} (default: model and baselines)")
    parser.add_argument("--without", action="append", default=[], metavar="STEPS",
                        help="one more row: the first model without these steps (with commas: "
                             f"{', '.join(STEPS)}); may be given several times")
    parser.add_argument("--method", action="append", default=[], metavar="NAME=DIR", dest="meshes",
                        help="one more row: meshes of another program, DIR/<id>.{obj,glb,gltf,ply,off,stl} or one such "
                             "file in DIR/<id>/, in the normalized frame; may be given several times")
    parser.add_argument("--photographs", action="store_true",
                        help="the images are photographs (see python -m utils.photograph_dataset): meshes are laid on "
                             "the reference by a rigid motion and scale first; masks/ beside the images is compared")
    parser.add_argument("--views", default=",".join(VIEW_NAMES),
                        help="the field is given these of the six (default all; at least three, two of them not opposite "
                             "each other); judged on all six as ever")
    parser.add_argument("--texture_checkpoint", help="default: texture_best.pth beside a named geometry checkpoint, "
                                                     "else what inference uses")
    parser.add_argument("--output", default="results", help="folder for the results (default results)")
    parser.add_argument("--seed", type=int, help="of the split (default: as the checkpoint was trained)")
    parser.add_argument("--validation_fraction", type=float, help="share held out (default: as for --seed)")
    parser.add_argument("--samples", type=int, default=20000, help="points on either surface (default 20000)")
    parser.add_argument("--picture_size", type=int, default=256, help="pixels of the judging images (default 256)")
    parser.add_argument("--sheet_rows", type=int, default=12, help="worst objects on the contact sheets (default 12)")
    parser.add_argument("--grid", type=int, default=128,
                        help="cells along the longest edge, for a field and for the hull (default 128)")
    parser.add_argument("--faces", type=int, default=20000,
                        help="most faces of a field's mesh and of the hull's (default 20000)")
    parser.add_argument("--leak_check", action="store_true", help="only look for near duplicates across the split")
    parser.add_argument("--folds", type=int, default=0, help="train this many times, each on all but one part")
    parser.add_argument("--learning_curve", action="store_true", help="train on 10, 30 and 100 %% of the objects")
    parser.add_argument("--device", default="auto", help="auto (cuda, then mps, then cpu), cuda, cuda:N, mps or cpu")
    parser.add_argument("--cache_dir", default=str(ROOT / "data" / "cache"), help="small copies of images, UV atlas")
    options = parser.parse_args(argv)
    options.views = _given_views(options.views)
    _check_ranges(options)
    _check_modes(options, passed)
    options.methods = list(dict.fromkeys(_words(options.methods)))
    options.meshes = _mesh_folders(options.meshes)
    options.without = [_words(steps) for steps in options.without]
    for name in options.methods:
        if name not in LEARNED + BASELINES and not name.endswith(".pth"):
            raise UserError(f"--methods {name}: choose from {', '.join(LEARNED + BASELINES)}, or name a geometry .pth")
    if not options.methods and not options.meshes:
        raise UserError("--methods: name at least one")
    learned = [name for name in options.methods if name not in BASELINES]
    if options.without and not learned:
        raise UserError("--without: leaves out steps of a model; name model or a checkpoint in --methods")
    others = [name for name in options.methods if name not in ("model", "field", "floor") and not name.endswith(".pth")]
    if len(options.views) < len(VIEW_NAMES) and others:
        raise UserError(f"--views: fewer than six are for the field, and {others[0]} wants all; leave it out of --methods")
    if "mean_color" in options.methods and not (learned or options.folds or options.learning_curve):
        raise UserError("--methods mean_color: paints a model's shape; name model or a checkpoint as well")
    return options, passed


def _words(text):
    return [word.strip() for word in text.split(",") if word.strip()]


def _check_ranges(options):
    for name, low, high in (("samples", 100, 1 << 22), ("picture_size", 32, 2048), ("sheet_rows", 0, 200),
                            ("grid", 16, 512), ("faces", 100, 10**7), ("seed", 0, 1 << 62),
                            ("validation_fraction", 0, 0.9), ("folds", 0, 1000)):
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise UserError(f"--{name} {value}: choose {low} to {high}")


def _check_modes(options, passed):
    """Options that exclude or need each other: none is silently without effect."""
    trains = options.folds or options.learning_curve
    if options.folds == 1:
        raise UserError("--folds 1: one part leaves nothing to train on; choose 2 or more")
    if sum([options.leak_check, options.folds > 0, options.learning_curve]) > 1:
        raise UserError("--leak_check, --folds and --learning_curve: choose one")
    if passed and not trains:
        raise UserError(f"{passed[0]}: options after -- are for training, which only --folds and --learning_curve do")
    if options.split == "test" and not options.split_file:
        raise UserError("--split test: needs --split_file, which says what the test set is")
    if options.split_file and (options.seed is not None or options.validation_fraction is not None):
        raise UserError("--split_file: says which objects are held out; leave --seed and --validation_fraction out")
    several = [name for name in ("obj_dir", "images_dir") if "," in (getattr(options, name) or "")]
    fewer = len(options.views) < len(VIEW_NAMES)
    if trains and (options.split_file or several or options.without or options.meshes or options.photographs or fewer):
        raise UserError("--folds and --learning_curve: split the objects of one folder themselves; leave --split_file, "
                        "--without, --method, --photographs, --views and further folders out")


def _given_views(text):
    """The names in --views in VIEW_NAMES order."""
    from utils.views.names import did_you_mean, view_problems

    given = set(_words(text))
    for name in sorted(given - set(VIEW_NAMES)):
        raise UserError(f"--views {name}{did_you_mean(name)}: choose from {', '.join(VIEW_NAMES)}")
    if view_problems("", dict.fromkeys(given, ()), allow_missing=True):
        raise UserError(f"--views {text}: at least three are needed, two of them not opposite each other")
    return [name for name in VIEW_NAMES if name in given]


def _mesh_folders(named):
    """{name: Path} of --method NAME=DIR."""
    from utils.io.files import no_folder

    folders = {}
    for text in named:
        name, sign, folder = text.partition("=")
        if not (name and sign and folder):
            raise UserError(f"--method {text}: expected NAME=DIR")
        if name in LEARNED + BASELINES or name in folders:
            raise UserError(f"--method {name}: the name is taken; choose another")
        if not Path(folder).is_dir():
            raise UserError(f"--method {name}: {folder}: {no_folder(folder)}")
        folders[name] = Path(folder)
    return folders


# ---- Methods --------------------------------------------------------------------------------------------------


def reconstructor(paths: list, options: Namespace, without: Iterable[str] = ()) -> Callable:
    """Images to mesh by the checkpoints of `checkpoint_paths`.

    Args:
        paths: geometry checkpoint, and texture checkpoint unless the first holds a field.
        options: of this script; device, grid, faces, cache_dir and views are used.
        without: steps of inference.STEPS to leave out.
    Returns:
        function of an object's files that gives a utils.mesh.textured_mesh.TexturedMesh in the normalized frame.
    Raises:
        UserError: a checkpoint is missing or wrong (here), or an image is (from the function).
    """
    from inference import Reconstructor

    model = Reconstructor(paths[0], paths[1] if len(paths) > 1 else None, str(options.device), grid=options.grid,
                          faces=options.faces, texture_size=TEXTURE_SIZE, cache_dir=options.cache_dir,
                          without=frozenset(without), allow_missing=len(options.views) < len(VIEW_NAMES))
    return lambda files: model.reconstruct_from(model.reader({view: files.images[view] for view in options.views}, files.id))


def checkpoint_paths(name: str, texture_checkpoint: str | None = None) -> list[Path]:
    """The checkpoint files that a name in --methods stands for: geometry, and texture unless that is a field."""
    from utils.io.checkpoint import load_checkpoint
    from utils.io.chosen_checkpoint import choose_geometry, default_checkpoint

    kinds = {"field": "geometry_field", "points": "geometry"}
    if name == "model":
        geometry, _ = choose_geometry()
    else:
        geometry = default_checkpoint(kinds[name]) if name in kinds else Path(name)
    if load_checkpoint(geometry, ("geometry", "field"))["kind"] == "field":
        return [geometry]
    beside = None if name in LEARNED else geometry.with_name("texture_best.pth")
    texture = texture_checkpoint or (beside if beside and beside.is_file() else default_checkpoint("texture"))
    return [geometry, Path(texture)]


def baselines_of(options: Namespace) -> list[str]:
    """The baselines among --methods."""
    return [name for name in options.methods if name in BASELINES]


def make_methods(learned: dict, baselines: list[str], train_objects: list, options: Namespace) -> dict[str, Callable]:
    """Functions from an object's files to its Mesh or TexturedMesh, by name, in the order in which they are to be run.

    Args:
        learned: {name: function from `reconstructor`}.
        baselines: names from BASELINES; mean_color paints the first of `learned`.
        train_objects: list of ObjectFiles.
        options: of this script; grid, faces and cache_dir are used.
    """
    from utils.evaluation import baselines as free

    methods = {name: _remembering(run) for name, run in learned.items()}
    if {"mean_shape", "nearest"} & set(baselines) and not train_objects:
        raise UserError("mean_shape and nearest need training objects, and there are none here; leave them out of "
                        "--methods")
    shape = next(iter(methods.values()), None)
    factories = {
        "floor": lambda: free.true_mesh,
        "hull": lambda: lambda files: free.visual_hull(files, options.grid, options.faces, TEXTURE_SIZE),
        "nearest": lambda: free.nearest_object(train_objects, options.cache_dir),
        "mean_shape": lambda: free.always(free.mean_object(train_objects, options.cache_dir)),
        "mean_color": lambda: lambda files: free.in_mean_color(shape(files), files),
    }
    return methods | {name: factories[name]() for name in baselines}


def _remembering(run):
    """`run` that keeps its last result: mean_color paints the same mesh again."""
    last = {}

    def method(files):
        if files.id not in last:
            last.clear()
            last[files.id] = run(files)
        return last[files.id]
    return method


# ---- Judging --------------------------------------------------------------------------------------------------


@dataclass
class Judgment:
    """One object, judged.

    rows: {method: dict of id, method, seconds and scores}; meshes: {method: Mesh} as it was compared; renders: {method:
    (8, H, W, 4) uint8 oblique images}; truth: GroundTruth, None if the object itself cannot be read; true_mesh: Mesh;
    left_out: number of reconstructions, or 1 for the object, that gave nothing.
    """

    files: ObjectFiles
    truth: GroundTruth | None = None
    true_mesh: Mesh | None = None
    rows: dict = field(default_factory=dict)
    meshes: dict = field(default_factory=dict)
    renders: dict = field(default_factory=dict)
    left_out: int = 0


def evaluate_objects(objects: list, methods: dict[str, Callable], options: Namespace) -> Iterator[Judgment]:
    """Judge every method on every object, one Judgment at a time; what is left out is printed."""
    from tqdm import tqdm

    from utils.evaluation.baselines import true_mesh
    from utils.evaluation.metrics import lpips_distance, make_ground_truth

    perceptual = lpips_distance()
    if perceptual is None:
        print("LPIPS is not measured: the package lpips is not installed")
    for files in tqdm(objects, desc="judging", unit="object", leave=False, disable=None):
        judgment = Judgment(files)
        try:
            judgment.true_mesh = true_mesh(files)
            judgment.truth = make_ground_truth(judgment.true_mesh, options.samples, options.picture_size)
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            judgment.left_out = 1
            yield judgment
            continue
        for name, method in methods.items():
            try:
                _judge_method(judgment, name, method, perceptual, options.photographs)
            except UserError as error:
                print(f"left out: {name} on {files.id}: {error}", file=sys.stderr)
                judgment.left_out += 1
        yield judgment


def _judge_method(judgment, name, method, perceptual, photographs):
    """Add one method's mesh, scores and images to a Judgment."""
    import numpy as np

    from utils.evaluation.metrics import evaluate_mesh
    from utils.evaluation.photograph_scores import camera_scores
    from utils.mesh.mesh import Mesh

    started = time.perf_counter()
    made = method(judgment.files)
    seconds = time.perf_counter() - started
    mesh = made if isinstance(made, Mesh) else made.as_mesh()
    if not len(mesh.faces) or not np.isfinite(mesh.vertices).all():
        raise UserError("the mesh is empty or has vertices that are not finite")
    if photographs:
        from utils.evaluation.alignment import align_similarity

        moved, _ = align_similarity(mesh.vertices, mesh.faces, judgment.true_mesh, judgment.truth.samples)
        mesh = replace(mesh, vertices=moved)
    scores, images = evaluate_mesh(mesh, judgment.truth, perceptual)
    if photographs:
        scores |= camera_scores(judgment.files, getattr(made, "cameras", None))
    judgment.rows[name] = {"id": judgment.files.id, "method": name, "seconds": seconds} | scores
    judgment.meshes[name], judgment.renders[name] = mesh, images["novel"]


def collect(judgments: Iterable[Judgment], options: Namespace) -> SimpleNamespace:
    """Rows of all judgments, and contact sheet rows of the worst: rows, sheet [(score, painted, gray)], left_out."""
    rows, sheet, left_out = [], [], 0
    for judgment in judgments:
        left_out += judgment.left_out
        rows += _with_photograph_scores(judgment) if options.photographs else judgment.rows.values()
        sheet = keep_worst(sheet, judgment, options.sheet_rows)
    return SimpleNamespace(rows=rows, sheet=sheet, left_out=left_out)


def _with_photograph_scores(judgment):
    """Rows of a Judgment with what its photographs' masks are worth, the same for every method."""
    from utils.evaluation.photograph_scores import mask_scores

    scores = mask_scores(judgment.files) if judgment.rows else {}
    return [row | scores for row in judgment.rows.values()]


def keep_worst(sheet: list, judgment: Judgment, count: int) -> list:
    """`sheet`, with this object's rows if its first method is among the `count` with the lowest F-score at 0.02.

    Args:
        sheet: list of (F-score, row in color, gray row), lowest first.
    """
    from utils.evaluation.contact_sheet import TILE, gray_renders, gray_row, sheet_row
    from utils.views.six_views import read_framed_views

    shown = next(iter(judgment.rows), None)
    if shown is None or not count:
        return sheet
    scores = judgment.rows[shown]
    score = scores["f_0.02"]
    if len(sheet) >= count and score >= sheet[-1][0]:
        return sheet
    label = (f"{judgment.files.id}   {shown}: F@0.02 {score:.3f}, F@0.1 {scores['f_0.1']:.3f}, "
             f"cd_l1 {scores['cd_l1']:.4f}, PSNR novel {scores['psnr_novel']:.1f}, "
             f"handles too many {scores['handles']:.0f}")
    inputs = read_framed_views(judgment.files.images, 2 * TILE, judgment.files.id)[0].images
    painted = sheet_row(label, inputs, judgment.renders[shown], judgment.renders.get("hull"),
                        judgment.truth.images["novel"])
    gray = gray_row(label, *(None if mesh is None else gray_renders(mesh, judgment.truth.scale) for mesh in (
        judgment.meshes[shown], judgment.meshes.get("hull"), judgment.true_mesh)))
    return sorted([*sheet, (score, painted, gray)], key=lambda entry: entry[0])[:count]


def report(judged: SimpleNamespace, what: str, checkpoints: Iterable[Path], options: Namespace) -> None:
    """Print the tables and write every file of the results folder.

    Args:
        judged: from `collect`.
        what: which objects these are, for the protocol.
        checkpoints: of all learned methods.
        options: of this script; output and shoes are used.
    """
    from utils.evaluation.contact_sheet import COLUMNS, GRAY_COLUMNS, write_sheet
    from utils.evaluation.protocol import protocol_of
    from utils.evaluation.report import compare_with_hull, read_ids, report_text, summarize, write_results

    if not judged.rows:
        raise UserError("no object could be judged (see above)")
    protocol = protocol_of(options, len({row["id"] for row in judged.rows}), what, checkpoints, TEXTURE_SIZE)
    summary, comparison = summarize(judged.rows, shoes=read_ids(options.shoes)), compare_with_hull(judged.rows)
    print("\n" + report_text(summary, comparison, protocol["lines"]))
    output = Path(options.output)
    write_results(output, judged.rows, summary, comparison, protocol)
    if judged.sheet:
        write_sheet(output / "contact_sheet.png", COLUMNS, [painted for _, painted, _ in judged.sheet])
        write_sheet(output / "contact_sheet_gray.png", GRAY_COLUMNS, [gray for _, _, gray in judged.sheet])
    print(f"wrote {output}/table.md, objects.csv, summary.json"
          + (", contact_sheet.png and contact_sheet_gray.png" if judged.sheet else ""))


# ---- Which objects --------------------------------------------------------------------------------------------


def data_folders(options: Namespace) -> list[tuple]:
    """Pairs of a folder of meshes and one of images that the options name, or the default of training."""
    from load_data import resolve_data
    from utils.io.object_files import pairs_of_folders

    if options.obj_dir and options.images_dir and "," in options.obj_dir + options.images_dir:
        return pairs_of_folders(options.obj_dir, options.images_dir)
    named = {name: getattr(options, name) for name in ("obj_dir", "images_dir") if getattr(options, name)}
    return [resolve_data(Config(**named, explicit=frozenset(named)))]


def find_data(options: Namespace) -> tuple[dict, int]:
    """The complete objects that the options name: ObjectFiles by id, and how many of those asked about were left out."""
    from load_data import find_objects
    from utils.io.object_files import merge_objects
    from utils.io.split_file import read_split

    found = [find_objects(*pair) for pair in data_folders(options)]
    sides = read_split(options.split_file) if options.split_file else {}
    asked = {"validation" if options.split == "val" else options.split}
    if {"mean_shape", "nearest"} & set(options.methods):  # which are made of training objects
        asked.add("train")
    problems = [problem for _, several in found for problem in several
                if "all" in asked or sides.get(problem.id) in {None, *asked}]
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    return merge_objects(objects for objects, _ in found), len(problems)


# ---- Training several times -----------------------------------------------------------------------------------


def common_options(options: Namespace) -> list[str]:
    """What every training gets from this script's own options."""
    (obj_dir, images_dir), = data_folders(options)
    named = {"obj_dir": obj_dir, "images_dir": images_dir, "cache_dir": options.cache_dir, "device": options.device}
    named |= {name: getattr(options, name) for name in ("seed", "validation_fraction")
              if getattr(options, name) is not None}
    return [text for name, value in named.items() for text in (f"--{name}", str(value))]


def run_folds(objects: dict, options: Namespace, passed: list[str]) -> int:
    """k-fold: every object is judged by a model that did not see it; returns how many were left out."""
    from utils.evaluation.cross_validation import check_training_options, train_folds

    check_training_options(passed)
    checkpoints = []

    def judgments():
        for paths, held_out in train_folds(Path(options.output), options.folds, common_options(options) + passed):
            checkpoints.extend(paths)
            train = [files for name, files in objects.items() if name not in held_out]
            methods = make_methods({"model": reconstructor(paths, options)}, baselines_of(options), train, options)
            unseen = [files for name, files in objects.items() if name in held_out]
            yield from evaluate_objects(unseen, methods, options)

    judged = collect(judgments(), options)
    what = (f"each by the one of {options.folds} models that was not trained on it (whose best epoch was chosen by the "
            "loss on its held-out objects)")
    report(judged, what, checkpoints, options)
    return judged.left_out


def run_learning_curve(objects: dict, options: Namespace, passed: list[str]) -> int:
    """Scores against the number of training objects, all on the same held-out ones; returns how many were left out."""
    from utils.evaluation.cross_validation import check_training_options, train_shares
    from utils.evaluation.report import write_learning_curve

    cfg = check_training_options(passed)
    runs = list(train_shares(Path(options.output), SHARES, cfg, common_options(options) + passed))
    held_out = runs[-1].held_out
    counts = {run.name: max(1, int((len(objects) - len(held_out)) * run.share + 0.5)) for run in runs}
    learned = {run.name: reconstructor(run.checkpoints, options) for run in reversed(runs)}
    train = [files for name, files in objects.items() if name not in held_out]
    methods = make_methods(learned, baselines_of(options), train, options)
    unseen = [objects[name] for name in held_out if name in objects]
    judged = collect(evaluate_objects(unseen, methods, options), options)
    what = "held out of all trainings; each made the same number of steps"
    checkpoints = [path for run in runs for path in run.checkpoints]
    report(judged, what, checkpoints, options)
    write_learning_curve(judged.rows, counts, options.output)
    return judged.left_out


# ---- The script -----------------------------------------------------------------------------------------------


def learned_methods(paths: dict, options: Namespace) -> dict[str, Callable]:
    """{name: function} of every model, of the first one without steps, and of other programs' meshes."""
    from utils.evaluation.mesh_folder import mesh_of

    methods = {name: reconstructor(files, options) for name, files in paths.items()}
    for steps in options.without:
        first = next(iter(paths))
        methods[f"{first} without {' + '.join(steps)}"] = reconstructor(paths[first], options, steps)
    return methods | {name: (lambda files, folder=folder: mesh_of(folder, files.id))
                      for name, folder in options.meshes.items()}


def warn_of_training_objects(stages: dict, judged: list[str], all_ids: Iterable[str]) -> None:
    """Print which of the judged objects a checkpoint has seen."""
    from utils.evaluation.selection import trained_on

    for name, pair in stages.items():
        for checkpoint in pair:
            known = trained_on(checkpoint, judged, all_ids)
            if known:
                what = "was trained on" if checkpoint.get("training_ids") else "does not list what it was trained on, perhaps"
                print(f"warning: {name}'s {checkpoint['kind']} checkpoint {what} {len(known)} of them: "
                      + ", ".join(sorted(known)[:5]) + ("..." if len(known) > 5 else ""))


def run_once(objects: dict, options: Namespace) -> int:
    """Judge the methods that the options name on one split; returns how many were left out."""
    from utils.device import resolve_device
    from utils.evaluation.selection import select
    from utils.io.checkpoint import load_checkpoint

    names = [name for name in options.methods if name not in BASELINES]
    paths = {name: checkpoint_paths(name, options.texture_checkpoint) for name in names}
    stages = {name: [load_checkpoint(path, KINDS) for path in pair] for name, pair in paths.items()}
    if options.texture_checkpoint and not any(len(pair) > 1 for pair in paths.values()):
        raise UserError("--texture_checkpoint: is for point decoders, and --methods names none; leave it out")
    selection = select(list(objects), stages[names[0]][0] if names else None, options)
    print(f"{len(selection.judged)} of {counted(len(objects), 'object')} to be judged ({selection.origin})")
    warn_of_training_objects(stages, selection.judged, objects)
    options.device = resolve_device(options.device)
    methods = make_methods(learned_methods(paths, options), baselines_of(options),
                           [objects[name] for name in selection.train], options)
    judged = collect(evaluate_objects([objects[name] for name in selection.judged], methods, options), options)
    report(judged, selection.origin, [path for pair in paths.values() for path in pair], options)
    return judged.left_out


def run_leak_check(objects: dict, options: Namespace) -> None:
    """Look for near duplicates across the split of the options (or of the checkpoint that inference uses)."""
    from utils.evaluation.near_duplicates import check_leaks
    from utils.evaluation.selection import select
    from utils.io.checkpoint import load_checkpoint

    names = [name for name in options.methods if name not in BASELINES]
    first = load_checkpoint(checkpoint_paths(names[0])[0], KINDS) if names else None
    selection = select(list(objects), first, options)
    print(f"{counted(len(selection.judged), 'held-out object')} beside {len(selection.train)} for training "
          f"({selection.origin})")
    check_leaks([objects[name] for name in selection.train], [objects[name] for name in selection.judged],
                options.cache_dir)


def main(argv: list[str]) -> None:
    options, passed = parse_options(argv)
    objects, left_out = find_data(options)

    from utils.io.files import check_writable

    check_writable(options.cache_dir if options.leak_check else options.output)
    if options.leak_check:
        run_leak_check(objects, options)
    elif options.folds:
        left_out += run_folds(objects, options, passed)
    elif options.learning_curve:
        left_out += run_learning_curve(objects, options, passed)
    else:
        left_out += run_once(objects, options)
    if left_out:
        raise UserError(f"{counted(left_out, 'object or reconstruction was', 'objects or reconstructions were')} left out "
                        "(see above)")


if __name__ == "__main__":
    run_script(main)
