"""A web page: six pictures in, a textured mesh to turn and to keep.

    pip install -r requirements-app.txt
    python app.py                        # opens http://127.0.0.1:7860 in your browser

Everything happens on this machine; nothing is sent anywhere.
"""
from __future__ import annotations

import os
import re
import shutil
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from config import EXAMPLES_DIR, VIEW_NAMES, OptionParser, UserError, counted, run_script
from inference import FACES, GRID, PREVIEW_SIZE, STAGES, WRITING, Reconstructor, check_sizes
from utils.views.view_reader import LARGEST_IMAGE

if TYPE_CHECKING:  # as in inference.py: heavy imports where they are used
    import gradio as gr
    import numpy as np

ROOT = Path(__file__).parent
EXAMPLE = ROOT / EXAMPLES_DIR / "photo_shoe"
HINTS = {"front": "the toe points at you", "back": "the heel is toward you", "left": "the toe points left",
         "right": "the toe points right", "top": "the toe points down", "bottom": "the toe points up"}
SHOWN_EDGE = 640  # pixels of a picture as the page shows it
KEPT_RESULTS = 8  # of the latest reconstructions; older ones are removed
NO_MESH = ('<div id="no-mesh">The mesh comes here, to be turned: textured, gray or as wireframe; below it how well it agrees '
           "with its pictures.</div>")
# Advice in the words of the command line, and what it means on a page
IN_WORDS = (
    (r"(:|, or|;) (compare the masks image, or )?use (--background model or )?--mask_dir",
     "; a plainer background of another color helps"),
    (r"; use a plain background of another color, or --mask_dir", "; use a plain background of another color"),
    (r" \(see --[a-z_]+\)", ""),
)
CSS = """
#status { min-height: 1.6em; }
.caption { font-size: .9em; padding: 0 .2em; }
.said { min-height: 3.2em; }
.place { gap: 6px !important; }
#model iframe, #no-mesh { width: 100%; height: 680px; border: 1px solid #d5d9dd; border-radius: 8px; }
#no-mesh { display: grid; place-items: center; padding: 3em; text-align: center; opacity: .7; }
footer { display: none !important; }
"""


@dataclass
class Result:
    """Files of one reconstruction, and what is said of it: below each picture, and of all of them."""

    obj_zip: Path
    glb: Path
    stl: Path
    viewer: Path
    beside: dict[str, str]
    notes: list[str]


# ---- Behind the page: no word of gradio -------------------------------------------------------------------------


def show_outline(view: str, path: Path | str) -> tuple[np.ndarray, str]:
    """A picture with what was taken for the object, and a sentence about it.

    Args:
        view: of config.VIEW_NAMES; path: of the picture.
    Returns:
        (h, w, 3) uint8, at most SHOWN_EDGE pixels an edge; str.
    Raises:
        UserError: the picture cannot be read, or shows no object.
    """
    from utils.views.decoding import open_image
    from utils.views.mask_sheet import outlined
    from utils.views.segmentation import RELIABLE
    from utils.views.six_views import read_squares

    read = read_squares({view: path}, LARGEST_IMAGE, view, allow_missing=True)
    square = read.squares[VIEW_NAMES.index(view)]
    rgb, _ = open_image(Path(path), f"{view} image", LARGEST_IMAGE)
    top, left = ((square.mask.shape[0] - length) // 2 for length in rgb.shape[:2])
    mask = square.mask[top:top + rgb.shape[0], left:left + rgb.shape[1]]
    if square.confidence < RELIABLE:
        caption = ("⚠ The outline is doubtful: object and background are hard to tell apart. Follow the line; if it is wrong, "
                   "take the picture again before another color.")
    else:
        caption = "Object found. Does the line follow it all around?"
    if read.note and "doubtful" not in read.note:
        caption = "⚠ " + sentence(read.note)
    return outlined(rgb, mask, SHOWN_EDGE, thick=2), caption


def place_by_name(paths: Sequence[Path | str]) -> tuple[dict[str, Path], list[str]]:
    """Which view each of several pictures shows, by its name.

    Returns:
        {view: Path}; a sentence for each picture that has no place.
    """
    from utils.views.names import find_view

    placed: dict[str, Path] = {}
    left_over = []
    for path in map(Path, paths):
        view = find_view(path.stem)[0]
        if not view:
            left_over.append(f"{path.name}: the name says no view (front, back, left, right, top or bottom).")
        elif view in placed:
            left_over.append(f"{path.name}: {placed[view].name} is the {view} view already.")
        else:
            placed[view] = path
    return placed, left_over


def reconstruct(reconstructor: Reconstructor, pictures: dict[str, Path], folder: Path,
                stage: Callable[[str], None] = lambda name: None) -> Result:
    """Pictures to the files that the page offers.

    Args:
        reconstructor: with allow_missing.
        pictures: {view name: Path}, three to six.
        folder: for the files; it is made.
        stage: called with each of inference.STAGES as it begins, and with "writing files".
    Raises:
        UserError: too few pictures, or one cannot be used, or they have no body in common.
    """
    from utils.output.results import OutputOptions, write_result
    from utils.views.names import view_problems

    if not pictures:
        raise UserError("No pictures yet: drop three to six of them.")
    if view_problems("", {view: [path] for view, path in pictures.items()}, allow_missing=True):
        raise UserError(f"{counted(len(pictures), 'picture is', 'pictures are')} too few: three to six are needed, and two "
                        "of them must not be opposite each other.")
    reader = reconstructor.reader(dict(pictures), "object")
    mesh = reconstructor.reconstruct_from(reader, stage)
    stage(WRITING)
    report = write_result(folder, "mesh", mesh, reader.at(PREVIEW_SIZE), OutputOptions(("obj", "glb", "stl")), reader.report)
    with zipfile.ZipFile(folder / "mesh.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for suffix in ("obj", "mtl", "png"):
            archive.write(folder / f"mesh.{suffix}", f"mesh.{suffix}")
    noticed, notes = beside_pictures(mesh.notes)
    beside = {view: agreement_words(report, view, noticed[view]) for view in pictures}
    files = (folder / f"mesh{end}" for end in (".zip", ".glb", ".stl", "_viewer.html"))
    return Result(*files, beside, unusual_words(report) + notes)


def agreement_words(report: dict, view: str, noticed: Sequence[str] = ()) -> str:
    """What stands below a picture once there is a mesh: what was noticed about it, and how well the mesh shows it."""
    found = report["agreement"]["views"][view]
    words = f"The mesh agrees with it to {found['outline_mean_px']:.2f} px in outline, {found['psnr_db']:.1f} dB in color."
    return " ".join([*(f"⚠ {words}" for words in noticed), words])


def unusual_words(report: dict) -> list[str]:
    """A sentence if the report has figures beyond what is usual, in a list; else none."""
    from utils.output.report import unusual

    found = unusual(report)
    return [f"⚠ Beyond what is usual, which is {', '.join(found.values())}: follow the outlines of the pictures once more, and "
            "see that each is in its place."] if found else []


def framed(viewer: Path) -> str:
    """HTML that shows a viewer's page within this page, with a world of its own."""
    return (f'<iframe title="the mesh and its report" sandbox="allow-scripts" '
            f'srcdoc="{escape(viewer.read_text(encoding="utf-8"))}"></iframe>')


def beside_pictures(notes: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Sort what was noticed by the views that it speaks of.

    Returns:
        {view: sentences} for notes of one or two views; the other sentences.
    """
    beside: dict[str, list[str]] = {view: [] for view in VIEW_NAMES}
    others = []
    for note in (part for line in notes for part in line.split("; ") if not line.startswith("cameras")):
        views = [view for view in VIEW_NAMES if re.search(rf"\b{view}\b", note)]
        for view in views if len(views) <= 2 else ():
            beside[view].append(sentence(note))
        if not 1 <= len(views) <= 2:
            others.append(sentence(note))
    return beside, others + [sentence(note) for note in notes if note.startswith("cameras")]


def sentence(text: str, pictures: Sequence[Path | str] = ()) -> str:
    """A message of the command line as the page says it: a sentence, without options and without folders."""
    for path in pictures:
        text = text.replace(f"{path}: ", f"{Path(path).name}: ").replace(str(path), Path(path).name)
    for pattern, words in IN_WORDS:
        text = re.sub(pattern, words, text)
    text = text.strip()
    if not any(text.startswith(Path(path).name) for path in pictures):  # a file's name stays as it is
        text = text[:1].upper() + text[1:]
    return text + ("" if text.endswith((".", "!", "?")) else ".")


# ---- The page ---------------------------------------------------------------------------------------------------


def page(reconstructor: Reconstructor, results: Path) -> gr.Blocks:
    """The page as gradio Blocks; `results` is a folder for the files that it offers."""
    import gradio as gr

    def drop_zone(view):
        """An image that hands on the file as it was dropped: EXIF tells how a picture was taken, and which way is up."""
        zone = gr.Image(label=view, show_label=False, sources=["upload"], type="filepath", height=190, buttons=[],
                        elem_id=f"picture-{view}")
        zone.preprocess = lambda dropped: dropped.path if dropped else None
        return zone

    def look(view, path):
        """What a picture's place shows, the words below it, and the file if it can be used."""
        if not path:
            return None, "", None
        try:
            return *show_outline(view, path), path
        except UserError as error:
            return None, f"⚠ {sentence(str(error), [path])}", None

    def keep(paths):
        """Which file each place holds from now on, of several at once, and a word about those that have none."""
        placed, left_over = place_by_name(paths)
        words = ["Looking for the object in each picture. Does each line follow it? Then *Make the mesh*."] if placed else []
        return *(str(placed[view]) if view in placed else gr.skip() for view in VIEW_NAMES), " ".join(
            [*(f"⚠ {stray}" for stray in left_over), *words])

    def look_at_all(*paths):
        """Every place in turn, each shown as soon as its outline is known."""
        for number, (view, path) in enumerate(zip(VIEW_NAMES, paths)):
            shown = [gr.skip()] * (3 * len(VIEW_NAMES))
            shown[number::len(VIEW_NAMES)] = look(view, path)
            yield shown

    def run(*paths, progress=gr.Progress()):  # noqa: B008 (this is how gradio hands one in)
        pictures = {view: Path(path) for view, path in zip(VIEW_NAMES, paths) if path}
        steps = [*STAGES, WRITING]
        captions = [gr.skip()] * len(VIEW_NAMES)
        nothing = (NO_MESH, *(gr.DownloadButton(interactive=False) for _ in range(4)))
        try:
            folder = Path(tempfile.mkdtemp(dir=results))
            for old in sorted(results.iterdir(), key=os.path.getmtime)[:-KEPT_RESULTS]:
                shutil.rmtree(old, ignore_errors=True)
            made = reconstruct(reconstructor, pictures, folder,
                               lambda name: progress((steps.index(name), len(steps)), desc=f"{name.capitalize()} ..."))
        except UserError as error:
            return *nothing, f"⚠ {sentence(str(error), list(pictures.values()))}", *captions
        except Exception:
            traceback.print_exc()
            return *nothing, "⚠ Something went wrong that is not the pictures' fault; the terminal says what.", *captions
        captions = [made.beside.get(view, words) for view, words in zip(VIEW_NAMES, captions)]
        return (framed(made.viewer), *(gr.DownloadButton(value=str(path), interactive=True)
                                       for path in (made.obj_zip, made.glb, made.stl, made.viewer)),
                "Done. " + " ".join(made.notes), *captions)

    with gr.Blocks(title="MIto3D", analytics_enabled=False, delete_cache=(3600, 86400)) as blocks:
        gr.Markdown("# MIto3D\nSix pictures of an object, one from each side, become a textured mesh. Stand back three object "
                    "lengths or more and zoom in; plain background; `left` is the object's own left. The hints are for a shoe.")
        places, captions, files = [], [], []
        with gr.Row():
            with gr.Column(scale=5, min_width=420):
                for pair in (VIEW_NAMES[:2], VIEW_NAMES[2:4], VIEW_NAMES[4:]):
                    with gr.Row():
                        for view in pair:
                            with gr.Column(min_width=180, elem_classes="place"):
                                gr.Markdown(f"**{view}**: {HINTS[view]}", elem_classes="caption")
                                places.append(drop_zone(view))
                                captions.append(gr.Markdown(elem_id=f"caption-{view}", elem_classes=["caption", "said"]))
                                files.append(gr.State())
            with gr.Column(scale=6, min_width=420):
                with gr.Row():
                    several = gr.UploadButton("Six files at once", size="md", file_count="multiple", elem_id="several")
                    example = gr.Button("Try an example", size="md", elem_id="example")
                    start = gr.Button("Make the mesh", size="md", variant="primary", elem_id="start")
                status = gr.Markdown("Drop three to six pictures, then *Make the mesh*. It takes about a minute.",
                                     elem_id="status")
                model = gr.HTML(NO_MESH, padding=False, elem_id="model")
                with gr.Row():
                    offers = [gr.DownloadButton(words, size="md", interactive=False, min_width=100,
                                                elem_id=f"download-{words[:3].lower()}")
                              for words in ("OBJ (zip)", "GLB", "STL", "Viewer (HTML)")]

        # A file is kept before it is looked at, so that a hurried click on the last button finds it. This is a page and no
        # programming interface: inference.Reconstructor is that.
        page_only = {"api_visibility": "private"}
        silent = {**page_only, "show_progress": "hidden"}
        for view, place, caption, file in zip(VIEW_NAMES, places, captions, files):
            place.upload(lambda path: path, place, file, **silent).then(
                partial(look, view), file, [place, caption, file], show_progress_on=place, **page_only)
            place.clear(lambda: ("", None), None, [caption, file], **silent)
        for event in (several.upload(keep, several, [*files, status], **silent),
                      example.click(lambda: keep(sorted(map(str, EXAMPLE.iterdir()))), None, [*files, status], **silent)):
            event.then(look_at_all, files, [*places, *captions, *files], **silent)
        start.click(lambda: "Making the mesh ...", None, status, **silent).then(
            run, files, [model, *offers, status, *captions], concurrency_limit=1, show_progress_on=model, **page_only)
    return blocks


def main(argv: list[str]) -> None:
    parser = OptionParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=7860, help="of the page (default 7860)")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in (default 127.0.0.1, this one)")
    parser.add_argument("--no_browser", action="store_true", help="do not open the page")
    parser.add_argument("--device", default="auto", help="auto (cuda, then mps, then cpu), cuda, cuda:N, mps or cpu")
    parser.add_argument("--geometry_checkpoint", metavar="MODEL", help="as in inference.py; a field")
    parser.add_argument("--grid", type=int, default=GRID, help=f"cells along the longest edge (default {GRID})")
    parser.add_argument("--faces", type=int, default=FACES, help=f"most faces of the mesh (default {FACES})")
    options = parser.parse_args(argv)
    check_sizes(grid=options.grid, faces=options.faces)
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")  # before gradio is imported
    try:
        import gradio as gr
    except ImportError:
        raise UserError("the page needs gradio: pip install -r requirements-app.txt") from None
    reconstructor = Reconstructor(options.geometry_checkpoint, device=options.device, grid=options.grid, faces=options.faces,
                                  allow_missing=True)
    with tempfile.TemporaryDirectory(prefix="mito3d-") as results:
        blocks = page(reconstructor, Path(results))
        print(f"model: {reconstructor.models}, device: {reconstructor.device}")
        print(f"the page: http://{options.host}:{options.port} (Ctrl-C ends it)", flush=True)
        try:
            blocks.launch(server_name=options.host, server_port=options.port, inbrowser=not options.no_browser, share=False,
                          css=CSS, theme=gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
                          ssr_mode=False, pwa=False, mcp_server=False, max_file_size="100mb", allowed_paths=[results],
                          footer_links=[], quiet=True)
        except OSError as error:
            raise UserError(f"--port {options.port}: {error}") from None


if __name__ == "__main__":
    run_script(main)
