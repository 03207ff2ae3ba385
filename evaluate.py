"""The judge: reconstruct objects whose meshes are known, and compare.

    python evaluate.py --obj_dir D --images_dir I                      # held-out objects, model and baselines
    python evaluate.py --methods model,hull,checkpoints/other.pth      # geometry checkpoints side by side
    python evaluate.py --leak_check                                    # near duplicates across the split
    python evaluate.py --folds 5 -- --preset fast                      # trains five times, with the options after --
    python evaluate.py --learning_curve -- --preset fast               # trains on 10, 30 and 100 % of the objects

Prints a table and writes objects.csv, summary.json, table.md and contact_sheet.png. Without --obj_dir and
--images_dir it judges the shipped sample, or your data/ if you have any.
"""
import time
from pathlib import Path

from config import PATCH_SIZE, Config, OptionParser, UserError, run_script

ROOT = Path(__file__).parent
LEARNED = ("model", "field", "points")  # names that stand for checkpoints
KINDS = ("geometry", "field", "texture")  # of checkpoints
BASELINES = ("floor", "mean_shape", "nearest", "hull", "mean_color")
TEXTURE_SIZE = 1024  # texels, as inference writes unless told otherwise
SHARES = (0.1, 0.3, 1.0)  # of the training objects, for the learning curve


def parse_options(argv):
    """Options of this script, and the list of those after `--`, which are the training scripts'."""
    argv, passed = (argv[:argv.index("--")], argv[argv.index("--") + 1:]) if "--" in argv else (argv, [])
    parser = OptionParser(description=__doc__.splitlines()[0])
    parser.add_argument("--obj_dir", help="<obj_dir>/<id>/<anything>.obj")
    parser.add_argument("--images_dir", help="<images_dir>/<id>_<view>.{png,jpg,jpeg}")
    parser.add_argument("--split", choices=["val", "train", "all"], default="val", help="which objects (default val)")
    parser.add_argument("--methods", default=",".join(("model",) + BASELINES),
                        help="with commas: model (what inference uses), field, points (the two decoders), "
                             f"geometry checkpoints by path, {', '.join(BASELINES)} (default: model and baselines)")
    parser.add_argument("--texture_checkpoint", help="default: texture_best.pth beside a named geometry checkpoint, "
                                                     "else what inference uses")
    parser.add_argument("--output", default="results", help="folder for the results (default results)")
    parser.add_argument("--seed", type=int, help="of the split (default: as the checkpoint was trained)")
    parser.add_argument("--validation_fraction", type=float, help="share held out (default: as for --seed)")
    parser.add_argument("--samples", type=int, default=20000, help="points on either surface (default 20000)")
    parser.add_argument("--picture_size", type=int, default=256, help="pixels of the judging images (default 256)")
    parser.add_argument("--sheet_rows", type=int, default=12, help="worst objects on the contact sheet (default 12)")
    parser.add_argument("--grid", type=int, default=128, help="cells along the longest edge for a field (default 128)")
    parser.add_argument("--faces", type=int, default=20000, help="most faces of a field's mesh (default 20000)")
    parser.add_argument("--leak_check", action="store_true", help="only look for near duplicates across the split")
    parser.add_argument("--folds", type=int, default=0, help="train this many times, each on all but one part")
    parser.add_argument("--learning_curve", action="store_true", help="train on 10, 30 and 100 %% of the objects")
    parser.add_argument("--device", default="auto", help="auto (cuda, then mps, then cpu), cuda, cuda:N, mps or cpu")
    parser.add_argument("--cache_dir", default=str(ROOT / "data" / "cache"), help="small copies of images, UV atlas")
    options = parser.parse_args(argv)
    for name, low, high in (("samples", 100, 1 << 22), ("picture_size", 32, 2048), ("sheet_rows", 0, 200),
                            ("grid", 16, 512), ("faces", 100, 10**7), ("seed", 0, 1 << 62),
                            ("validation_fraction", 0, 0.9), ("folds", 0, 1000)):
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise UserError(f"--{name} {value}: choose {low} to {high}")
    if options.folds == 1:
        raise UserError("--folds 1: one part leaves nothing to train on; choose 2 or more")
    if sum([options.leak_check, options.folds > 0, options.learning_curve]) > 1:
        raise UserError("--leak_check, --folds and --learning_curve: choose one")
    if passed and not (options.folds or options.learning_curve):
        raise UserError(f"{passed[0]}: options after -- are for training, which only --folds and --learning_curve do")
    options.methods = list(dict.fromkeys(name.strip() for name in options.methods.split(",") if name.strip()))
    for name in options.methods:
        if name not in LEARNED + BASELINES and not name.endswith(".pth"):
            raise UserError(f"--methods {name}: choose from {', '.join(LEARNED + BASELINES)}, or name a geometry .pth")
    if not options.methods:
        raise UserError("--methods: name at least one")
    return options, passed


# ---- Methods --------------------------------------------------------------------------------------------------


def reconstructor(paths, device, options):
    """Images to mesh by the checkpoints of `checkpoint_paths`.

    Args:
        paths: geometry checkpoint, and texture checkpoint unless the first holds a field.
        device: torch.device.
        options: of this script; grid, faces and cache_dir are used.
    Returns:
        function of {view name: path} and an object's id that gives a utils.mesh.mesh.Mesh in the normalized frame.
    Raises:
        UserError: a checkpoint is missing or wrong (here), or an image is (from the function).
    """
    from inference import Reconstructor, ViewReader

    model = Reconstructor(paths[0], paths[1] if len(paths) > 1 else None, str(device), texture_size=TEXTURE_SIZE,
                          grid=options.grid, faces=options.faces, cache_dir=options.cache_dir)
    return lambda files, object_id: model.reconstruct_from(ViewReader(files, object_id)).as_mesh()


def checkpoint_paths(name, texture_checkpoint=None):
    """The checkpoint files that a name in --methods stands for: geometry, and texture unless that is a field."""
    from inference import choose_geometry, default_checkpoint
    from utils.io.checkpoint import load_checkpoint

    geometry = Path(choose_geometry("field" if name == "model" else name) if name in LEARNED else name)
    if load_checkpoint(geometry, ("geometry", "field"))["kind"] == "field":
        return [geometry]
    beside = None if name in LEARNED else geometry.with_name("texture_best.pth")
    texture = texture_checkpoint or (beside if beside and beside.is_file() else default_checkpoint("texture"))
    return [geometry, Path(texture)]


def baselines_of(options):
    """The baselines among --methods."""
    return [name for name in options.methods if name in BASELINES]


def make_methods(learned, baselines, train_objects, cache_dir):
    """Functions from an object's files to its Mesh, by name.

    Args:
        learned: {name: function from `reconstructor`}.
        baselines: names from BASELINES; mean_color paints the first of `learned`.
        train_objects: list of load_data.ObjectFiles.
        cache_dir: folder of small copies of the training images.
    Returns:
        {name: function of an ObjectFiles}, in the order in which they are to be run.
    """
    from utils.evaluation import baselines as free

    methods = {name: _remembering(run) for name, run in learned.items()}
    if {"mean_shape", "nearest"} & set(baselines) and not train_objects:
        raise UserError("mean_shape and nearest need training objects, and there are none here; leave them out of "
                        "--methods")
    for name in baselines:
        if name == "floor":
            methods[name] = free.true_mesh
        elif name == "hull":
            methods[name] = free.visual_hull
        elif name == "nearest":
            methods[name] = free.nearest_object(train_objects, cache_dir)
        elif name == "mean_shape":
            mean = free.mean_object(train_objects, cache_dir)
            methods[name] = lambda files: mean
        elif name == "mean_color":
            shape = next(iter(methods.values()))
            methods[name] = lambda files: free.in_mean_color(shape(files), files)
    return methods


def _remembering(run):
    """`run` as a function of ObjectFiles that keeps its last result: mean_color paints the same mesh again."""
    last = {}

    def method(files):
        if files.id not in last:
            last.clear()
            last[files.id] = run(files.images, files.id)
        return last[files.id]
    return method


# ---- Judging --------------------------------------------------------------------------------------------------


def evaluate_objects(objects, methods, options, rows, sheet):
    """Judge every method on every object.

    Args:
        objects: list of ObjectFiles.
        methods: from `make_methods`.
        options: of this script.
        rows: list to which one dict for each object and method is added: id, method, seconds, scores.
        sheet: list of (F-score, row of the contact sheet), to which the worst are added.
    Returns:
        number of objects, or reconstructions of them, that were left out.
    """
    import numpy as np
    from tqdm import tqdm

    from utils.evaluation.baselines import true_mesh
    from utils.evaluation.metrics import evaluate_mesh, lpips_distance, make_ground_truth

    perceptual, left_out = lpips_distance(), 0
    for files in tqdm(objects, desc="judging", unit="object", leave=False, disable=None):
        try:
            truth = make_ground_truth(true_mesh(files), options.samples, options.picture_size)
        except UserError as error:
            print(f"left out: {error}")
            left_out += 1
            continue
        drawn, scores = {}, {}
        for name, method in methods.items():
            started = time.perf_counter()
            try:
                mesh = method(files)
            except UserError as error:
                print(f"left out: {name} on {files.id}: {error}")
                left_out += 1
                continue
            seconds = time.perf_counter() - started
            if not len(mesh.faces) or not np.isfinite(mesh.vertices).all():
                print(f"left out: {name} on {files.id}: the mesh is empty or has vertices that are not finite")
                left_out += 1
                continue
            scores[name], pictures = evaluate_mesh(mesh, truth, perceptual)
            drawn[name] = pictures["novel"]
            rows.append({"id": files.id, "method": name, "seconds": seconds} | scores[name])
        shown = next(iter(methods))
        if shown in scores and options.sheet_rows:
            _keep_worst(sheet, files, shown, scores[shown], drawn, truth, options.sheet_rows)
    return left_out


def _keep_worst(sheet, files, shown, scores, drawn, truth, count):
    """Add an object's row to `sheet` if it is among the `count` with the lowest F-score at 0.02."""
    from utils.evaluation.contact_sheet import TILE, sheet_row
    from utils.views.six_views import read_framed_views

    score = scores["f_0.02"]
    if len(sheet) >= count and score >= sheet[-1][0]:
        return
    label = (f"{files.id}   {shown}: F@0.02 {score:.3f}, F@0.1 {scores['f_0.1']:.3f}, cd_l1 {scores['cd_l1']:.4f}, "
             f"PSNR novel {scores['psnr_novel']:.1f}")
    inputs = read_framed_views(files.images, 2 * TILE, files.id)[0].images
    sheet.append((score, sheet_row(label, inputs, drawn[shown], drawn.get("hull"), truth.images["novel"])))
    sheet.sort(key=lambda entry: entry[0])
    del sheet[count:]


def report(rows, sheet, protocol, output):
    """Print the tables and write every file of the results folder."""
    from utils.evaluation.contact_sheet import write_sheet
    from utils.evaluation.report import compare_with_hull, report_text, summarize, write_results

    if not rows:
        raise UserError("no object could be judged (see above)")
    summary, comparison = summarize(rows), compare_with_hull(rows)
    print("\n" + report_text(summary, comparison, protocol))
    write_results(output, rows, summary, comparison, protocol)
    if sheet:
        write_sheet(Path(output) / "contact_sheet.png", [row for _, row in sheet])
    print(f"wrote {output}/table.md, objects.csv, summary.json" + (" and contact_sheet.png" if sheet else ""))


def protocol_lines(options, count, what, checkpoints):
    """What a reader must know to take the figures for what they are: list of str.

    Args:
        options: of this script.
        count: objects judged.
        what: str, which objects these are.
        checkpoints: list of Path.
    """
    from utils.evaluation.metrics import THRESHOLDS
    from utils.io.files import content_hash

    thresholds = ", ".join(f"{value:g}" for value in THRESHOLDS)
    return [
        f"objects: {count}, {what}",
        "frame: the reference's box centerd at the origin, its longest edge 2; predictions compared as they are, "
        "no alignment",
        f"surfaces: {options.samples} samples on either by area, seeded; a sample counts if one of the 26 directions "
        "to a grid cell's neighbors leaves the object unobstructed; cd_l1 is half the sum of both mean nearest "
        f"distances; F-scores at {thresholds}",
        f"images: unlit, {options.picture_size} px; novel: 8 oblique cameras (azimuth 22.5 + 45 i, elevation +30 and "
        "-20 in turn); input: the six views; PSNR in dB over the union of both silhouettes, over white",
        "95 %: bootstrap interval of the mean over objects, 2000 draws, seed 0",
    ] + [f"checkpoint: {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}, content {content_hash([path])}"
         for path in dict.fromkeys(checkpoints)]


# ---- Which objects --------------------------------------------------------------------------------------------


def data_folders(options):
    """The folders of meshes and images that the options name, or the defaults of training."""
    from load_data import resolve_data

    named = {name: getattr(options, name) for name in ("obj_dir", "images_dir") if getattr(options, name)}
    return resolve_data(Config(**named, explicit=frozenset(named)))


def find_data(options):
    """The complete objects that the options name; returns ObjectFiles by id, and how many were left out."""
    from load_data import find_objects

    objects, problems = find_objects(*data_folders(options))
    for problem in problems:
        print(f"left out: {problem}")
    return {files.id: files for files in objects}, len(problems)


def choose_split(ids, checkpoint, options):
    """Training and held-out ids: the checkpoint's own record where it has one of these objects, else by id and seed.

    Args:
        ids: list of str.
        checkpoint: dict of a geometry checkpoint, or None where only baselines are judged.
        options: of this script; --seed or --validation_fraction replace the checkpoint's record.
    Returns:
        train_ids, val_ids, and str saying where the split comes from.
    """
    from load_data import split_objects

    trained = checkpoint["config"] if checkpoint else {}
    own = options.seed is None and options.validation_fraction is None
    recorded = set(checkpoint["validation_ids"]) & set(ids) if checkpoint and own else set()
    if recorded:
        return sorted(set(ids) - recorded), sorted(recorded), "as the checkpoint records it"
    seed = options.seed if options.seed is not None else trained.get("seed", Config.seed)
    fraction = options.validation_fraction
    if fraction is None:
        fraction = trained.get("validation_fraction", Config.validation_fraction)
    folds = (trained.get("num_folds", 0), trained.get("fold", 0)) if own else (0, 0)
    return *split_objects(ids, fraction, seed, *folds), f"by id, seed {seed}, fraction {fraction}"


def trained_on(checkpoint, judged_ids, all_ids):
    """Which of the judged objects the checkpoint was trained on.

    A checkpoint that does not list its training objects lists those that were held out: where some of the data set are
    among them, the rest were trained on; where none is, it was trained on other data.

    Args:
        checkpoint: dict of a checkpoint.
        judged_ids, all_ids: iterables of str; the second are all objects of the data set.
    Returns:
        set of str.
    """
    if checkpoint.get("training_ids"):
        return set(judged_ids) & set(checkpoint["training_ids"])
    held_out = set(checkpoint["validation_ids"])
    return set(judged_ids) - held_out if held_out & set(all_ids) else set()


def check_leaks(train_objects, held_out_objects, cache_dir):
    """Print pairs of near duplicates across the split; returns how many there are."""
    from tqdm import tqdm

    from load_data import UnusableObject, cache_object, load_cached
    from utils.evaluation import near_duplicates
    from utils.evaluation.baselines import THUMBNAIL_SIZE, thumbnails

    points, pictures, sides = {}, {}, []
    for side in (train_objects, held_out_objects):
        for files in tqdm(side, desc="reading objects", unit="object", leave=False, disable=None):
            try:
                entry = cache_object(files, cache_dir, near_duplicates.NUM_POINTS, PATCH_SIZE)
            except UnusableObject as error:
                print(f"left out: {error}")
                continue
            points[files.id] = load_cached(entry)["points"]
        for name, small in thumbnails(side, cache_dir).items():
            pictures[name] = near_duplicates.small_images(small.images)
        sides.append([files.id for files in side])

    def split(values):
        return [{name: values[name] for name in side if name in values} for side in sides]

    found = [("meshes", near_duplicates.SHAPE_DISTANCE, near_duplicates.similar_shapes(*split(points))),
             ("images", near_duplicates.IMAGE_DISTANCE, near_duplicates.similar_images(*split(pictures)))]
    for what, threshold, pairs in found:
        print(f"{len(pairs)} pairs of held-out and training {what} nearer than {threshold} (" + (
            "cd_l1, over quarter turns and mirror images" if what == "meshes" else
            f"color difference of {THUMBNAIL_SIZE // 4} px images, sRGB in [0, 1]") + ")")
        for distance, held_out, train in pairs:
            print(f"  {distance:.4f}  held out {held_out}  training {train}")
    return sum(len(pairs) for _, _, pairs in found)


# ---- Training several times -----------------------------------------------------------------------------------


def common_options(options):
    """What every training gets from this script's own options: list of str."""
    obj_dir, images_dir = data_folders(options)
    named = {"obj_dir": obj_dir, "images_dir": images_dir, "cache_dir": options.cache_dir, "device": options.device}
    named |= {name: getattr(options, name) for name in ("seed", "validation_fraction")
              if getattr(options, name) is not None}
    return [text for name, value in named.items() for text in (f"--{name}", str(value))]


def run_folds(objects, options, passed):
    """k-fold: every object is judged by a model that did not see it; returns how many were left out."""
    from utils.device import resolve_device
    from utils.evaluation.retrain import check_training_options, run_training
    from utils.io.checkpoint import load_checkpoint

    check_training_options(passed)
    common = common_options(options) + passed
    rows, sheet, left_out, checkpoints = [], [], 0, []
    for fold in range(options.folds):
        folder = Path(options.output) / f"fold_{fold}"
        paths = run_training(folder, common + ["--num_folds", str(options.folds), "--fold", str(fold)])
        held_out = set(load_checkpoint(paths[0], KINDS)["validation_ids"])
        train = [files for name, files in objects.items() if name not in held_out]
        learned = {"model": reconstructor(paths, resolve_device(options.device), options)}
        methods = make_methods(learned, baselines_of(options), train, options.cache_dir)
        left_out += evaluate_objects([files for name, files in objects.items() if name in held_out], methods, options,
                                     rows, sheet)
        checkpoints += paths
    what = (f"each by the one of {options.folds} models that was not trained on it (whose best epoch was chosen by the "
            "loss on its held-out objects)")
    report(rows, sheet, protocol_lines(options, len({row["id"] for row in rows}), what, checkpoints), options.output)
    return left_out


def run_learning_curve(objects, options, passed):
    """Scores against the number of training objects, all on the same held-out ones; returns how many were left out.

    Runs on fewer objects make as many steps: more epochs, so that they lack objects and not training.
    """
    from utils.device import resolve_device
    from utils.evaluation.report import write_learning_curve
    from utils.evaluation.retrain import check_training_options, run_training
    from utils.io.checkpoint import load_checkpoint

    cfg, common = check_training_options(passed), common_options(options) + passed
    device, learned, counts, checkpoints = resolve_device(options.device), {}, {}, []
    for share in SHARES:
        epochs = [f"--{name}={round(getattr(cfg, name) / share)}"
                  for name in ("num_epochs_stage1", "num_epochs_stage2", "validate_every")]
        paths = run_training(Path(options.output) / f"share_{share:.0%}".rstrip("%"),
                           common + epochs + ["--training_share", str(share)])
        checkpoint = load_checkpoint(paths[0], KINDS)
        held_out, name = checkpoint["validation_ids"], f"{share:.0%} of training"
        learned[name] = reconstructor(paths, device, options)
        counts[name] = max(1, int((len(objects) - len(held_out)) * share + 0.5))
        checkpoints += paths
    train = [files for name, files in objects.items() if name not in held_out]
    methods = make_methods(dict(reversed(learned.items())), baselines_of(options), train, options.cache_dir)
    rows, sheet = [], []
    left_out = evaluate_objects([objects[name] for name in held_out if name in objects], methods, options, rows, sheet)
    what = "held out of all trainings; each made the same number of steps"
    report(rows, sheet, protocol_lines(options, len({row["id"] for row in rows}), what, checkpoints), options.output)
    write_learning_curve(rows, counts, options.output)
    return left_out


# ---- The script -----------------------------------------------------------------------------------------------


def run_once(objects, options):
    """Judge the methods that the options name on one split; returns how many were left out."""
    from utils.device import resolve_device
    from utils.io.checkpoint import load_checkpoint

    names = [name for name in options.methods if name not in BASELINES]
    if not names and "mean_color" in options.methods:
        raise UserError("--methods mean_color: paints a model's shape; name model or a checkpoint as well")
    paths = {name: checkpoint_paths(name, options.texture_checkpoint) for name in names}
    stages = {name: [load_checkpoint(path, KINDS) for path in pair] for name, pair in paths.items()}
    first = stages[names[0]][0] if names else None
    train_ids, held_out_ids, origin = choose_split(list(objects), first, options)
    judged = {"val": held_out_ids, "train": train_ids, "all": sorted(objects)}[options.split]
    if not judged:
        raise UserError(f"--split {options.split}: holds no object ({len(objects)} in all); choose --split all")
    print(f"{len(judged)} of {len(objects)} objects are judged (--split {options.split}, {origin})")
    for name, pair in stages.items():
        for checkpoint in pair:
            known = trained_on(checkpoint, judged, objects)
            if known:
                print(f"warning: {name}'s {checkpoint['kind']} checkpoint was trained on {len(known)} of them: "
                      + ", ".join(sorted(known)[:5]) + ("..." if len(known) > 5 else ""))

    device = resolve_device(options.device)
    learned = {name: reconstructor(pair, device, options) for name, pair in paths.items()}
    methods = make_methods(learned, baselines_of(options), [objects[name] for name in train_ids], options.cache_dir)
    rows, sheet = [], []
    left_out = evaluate_objects([objects[name] for name in judged], methods, options, rows, sheet)
    protocol = protocol_lines(options, len({row["id"] for row in rows}), f"--split {options.split}, {origin}",
                              [path for pair in paths.values() for path in pair])
    report(rows, sheet, protocol, options.output)
    return left_out


def run_leak_check(objects, options):
    """Look for near duplicates across the split of the options (or of the checkpoint that inference uses)."""
    from utils.io.checkpoint import load_checkpoint

    names = [name for name in options.methods if name not in BASELINES]
    first = load_checkpoint(checkpoint_paths(names[0])[0], KINDS) if names else None
    train_ids, held_out_ids, origin = choose_split(list(objects), first, options)
    print(f"{len(held_out_ids)} held-out objects beside {len(train_ids)} for training ({origin})")
    check_leaks([objects[name] for name in train_ids], [objects[name] for name in held_out_ids], options.cache_dir)


def main(argv):
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
        raise UserError(f"{left_out} objects or reconstructions were left out (see above)")


if __name__ == "__main__":
    run_script(main)
