"""Share a trained model: a folder of safetensors, configuration and model card, as Hugging Face's hub holds them.

    python -m models.share checkpoints/geometry_field_best.pth my_model/ --results results/mine

`--results` is what `python evaluate.py --output` wrote for that checkpoint: its table goes into the card. The folder takes a
checkpoint's place (`python inference.py --geometry_checkpoint my_model/`), and so does hf://<owner>/<name> once it has been
uploaded. Nothing in it is code, and nothing of it is run.
"""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelHubMixin

from config import OptionParser, UserError, counted, run_script
from models.field_model import FieldModel, load_field_model
from models.geometry_model import GeometryModel, load_geometry_model
from models.texture_model import TextureModel, load_texture_model
from utils.io.checkpoint import COMMANDS, load_checkpoint, stored_weights, without_training_state
from utils.io.files import CannotWrite, check_writable, clear_leftovers, content_hash, replaced_together
from utils.io.model_folder import HUB, WEIGHTS_FILE, is_model_folder, local_model, write_model_folder

WHAT = {"field": "six named views of an object (front, back, left, right, top, bottom) to its shape",
        "geometry": "six images of an object, in any order, to a closed mesh",
        "texture": "six images of an object, in any order, to the color of any point of its surface"}
USE = {"field": "python inference.py my_views/ --geometry_checkpoint FOLDER",
       "geometry": "python inference.py my_views/ --geometry_checkpoint FOLDER",
       "texture": "python inference.py my_views/ --geometry points --texture_checkpoint FOLDER"}


class SharedModel(ModelHubMixin, library_name="MIto3D", license="mit", pipeline_tag="image-to-3d"):
    """What the three models below have beside their networks: `save_pretrained`, `from_pretrained`, `push_to_hub`.

    shared: dict, the checkpoint's content without weights and training state.
    table: Markdown for the model card, or "".
    """

    kind = ""
    shared: dict
    table = ""

    @classmethod
    def from_checkpoint(cls, path: Path | str) -> "SharedModel":
        """A trained model: of a .pth file, or of a folder that `save_pretrained` wrote.

        Raises:
            UserError: see models.loading.load_trained.
        """
        model, checkpoint = LOADERS[cls.kind](path, cls)
        model.shared = without_training_state(checkpoint)
        del model.shared["weights"]
        model.shared["model_args"] = model.model_args()  # as today's model reads them
        return model

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Path | str, *, revision: str | None = None,
                        **unused: Any) -> "SharedModel":
        """A trained model from a folder, or from the hub where there is no folder of that name.

        The mixin's own would read config.json before anything could check it, and fill in weights that are missing.

        Args:
            pretrained_model_name_or_path: folder, or <owner>/<name> on the hub.
            revision: branch, tag or commit on the hub.
        Raises:
            UserError: the hub has no such model, or see models.loading.load_trained.
        """
        name = str(pretrained_model_name_or_path)
        known = Path(name).exists() or name.startswith(HUB)
        return cls.from_checkpoint(local_model(name if known else HUB + name, revision))

    def _save_pretrained(self, save_directory: Path) -> None:
        write_model_folder(save_directory, self.shared | {"weights": stored_weights(self)})  # type: ignore[arg-type]

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """README.md of the folder: what the model is, how it is used, what it scored, what it was trained on."""
        return ModelCard(card_text(self.kind, self.shared, self.table))


class SharedFieldModel(SharedModel, FieldModel):
    """FieldModel that can be saved to a folder and loaded from one or from the hub."""

    kind = "field"


class SharedGeometryModel(SharedModel, GeometryModel):
    """GeometryModel that can be saved to a folder and loaded from one or from the hub."""

    kind = "geometry"


class SharedTextureModel(SharedModel, TextureModel):
    """TextureModel that can be saved to a folder and loaded from one or from the hub."""

    kind = "texture"


LOADERS = {"field": load_field_model, "geometry": load_geometry_model, "texture": load_texture_model}
CLASSES = {each.kind: each for each in (SharedFieldModel, SharedGeometryModel, SharedTextureModel)}


def card_text(kind: str, shared: dict, table: str) -> str:
    """A model card in Markdown, its head in YAML as the hub reads it.

    Args:
        kind: "field", "geometry" or "texture".
        shared: see SharedModel.
        table: Markdown of `evaluate.py`, or "".
    Returns:
        str.
    """
    score = ("No validation score was taken of these weights." if shared["score"] is None else
             f"Validation score: {shared['score']:.5f} (lower is better{_metric(shared)}), on "
             f"{counted(len(shared['validation_ids']), 'object')} that it was not trained on, after epoch {shared['epoch']}.")
    return f"""---
library_name: MIto3D
license: mit
pipeline_tag: image-to-3d
tags: [mito3d, {kind}, multi-view, 3d-reconstruction]
---

# A {kind} model of MIto3D

From {WHAT[kind]}.

    {USE[kind]}

`FOLDER` is this folder, or {HUB}<owner>/<name> where it lies on the hub. In Python:
`{CLASSES[kind].__name__}.from_pretrained(FOLDER)`, from `models.share`.

## Training

Trained on {counted(len(shared.get("training_ids", ())), "object")}. {score}

## Evaluation

{table.strip() or "Not evaluated yet: `python evaluate.py --output DIR`, then share it again with `--results DIR`."}

## License

The code that made it is MIT. Name the objects it was trained on, and their license, before you pass it on.
"""


def _metric(shared):
    return f"; {shared['metric_name']}" if shared.get("metric_name") else ""


def table_of_results(folder: Path | str, checkpoint: Path | str) -> str:
    """The table that evaluate.py wrote, if it is that of a checkpoint.

    Args:
        folder: with summary.json and table.md.
        checkpoint: .pth file.
    Returns:
        str, Markdown.
    Raises:
        UserError: a file is missing or no result, or it judges another checkpoint.
    """
    try:
        summary = json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8"))
        table = (Path(folder) / "table.md").read_text(encoding="utf-8")
        judged = summary["checkpoints"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"--results {folder}: holds no result of python evaluate.py --output {folder}") from None
    if content_hash([checkpoint]) not in judged:
        raise UserError(f"--results {folder}: judges another checkpoint than {checkpoint}; evaluate this one first")
    return table.replace("\n## ", "\n### ")


def main(argv: Sequence[str]) -> None:
    """Write a checkpoint as a folder for sharing."""
    parser = OptionParser(description="Write a checkpoint as a folder of safetensors, configuration and model card.")
    parser.add_argument("checkpoint", help=".pth file of any of the three models")
    parser.add_argument("folder", help="is made; a model that is in it already is replaced")
    parser.add_argument("--results", help="folder written by evaluate.py --output: its table goes into the model card")
    options = parser.parse_args(argv)
    if not Path(options.checkpoint).is_file():
        raise UserError(f"{options.checkpoint}: no such checkpoint")
    table = table_of_results(options.results, options.checkpoint) if options.results else ""
    model = CLASSES[load_checkpoint(options.checkpoint, tuple(COMMANDS))["kind"]].from_checkpoint(options.checkpoint)
    model.table = table
    check_writable(options.folder)
    clear_leftovers(options.folder)
    if Path(options.folder).is_dir() and any(Path(options.folder).iterdir()) and not is_model_folder(options.folder):
        raise UserError(f"{options.folder}: holds other files already; name a folder of its own for the model")
    with replaced_together(options.folder) as new:
        try:
            model.save_pretrained(new)
        except OSError as error:  # of the card, which the mixin writes itself
            raise CannotWrite(options.folder, error) from None
    size = (Path(options.folder) / WEIGHTS_FILE).stat().st_size / 1e6
    print(f"{options.folder}: a {model.kind} model, {size:.1f} MB; README.md is its card")


if __name__ == "__main__":
    run_script(main)
