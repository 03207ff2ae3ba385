"""The order of the six images must not matter: neither for the shape nor for the colors.

    python tests/test_permutation_invariance.py [GEOMETRY.pth TEXTURE.pth]

Uses the two checkpoints named, else the shipped ones, else fresh weights; exit code 1 if a prediction moves by
1e-5 or more.
"""
import itertools
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import pytest
import torch

from config import PRETRAINED_DIR, FastTrainingConfig, UserError

LIMIT = 1e-5
VIEWS = 6
# The reverse, one swap, one turn of the cycle, and five at random.
ORDERS = [(5, 4, 3, 2, 1, 0), (0, 2, 1, 3, 4, 5), (1, 2, 3, 4, 5, 0),
          *random.Random(0).sample(list(itertools.permutations(range(VIEWS))), 5)]


def fresh_models():
    """Both models of the fast preset with random weights, and their image size."""
    from models.encoder import copy_encoder, load_encoder
    from models.geometry_model import GeometryModel
    from models.texture_model import TextureModel

    torch.manual_seed(0)
    encoder, size = load_encoder(FastTrainingConfig())
    geometry = GeometryModel(encoder, num_points=512, decoder_hidden=(128, 128))
    torch.nn.init.normal_(geometry.decoder.head.weight, std=0.05)  # as far from the start as a trained head is
    return geometry.eval(), TextureModel(copy_encoder(encoder)).eval(), size


def shipped_models(folder=ROOT / PRETRAINED_DIR):
    """Both shipped models and their image size, or None where there are none."""
    paths = [Path(folder) / f"{kind}_best.pth" for kind in ("geometry", "texture")]
    return loaded_models(*paths) if all(path.is_file() for path in paths) else None


def loaded_models(geometry_path, texture_path):
    from models.geometry_model import load_geometry_model
    from models.texture_model import load_texture_model

    geometry, checkpoint = load_geometry_model(geometry_path)
    return geometry, load_texture_model(texture_path)[0], checkpoint["image_size"]


@torch.no_grad()
def largest_changes(geometry, texture, size, batch=2):
    """How far predictions move when views change places.

    Args:
        geometry, texture: the two models, in eval mode.
        size: image edge in pixels.
    Returns:
        list of (order, largest change of a coordinate, of a color); how far the shape moves, and the colors, when
        one of the images is another one (which must show).
    """
    images = torch.rand(batch, VIEWS, 3, size, size, generator=torch.Generator().manual_seed(1))
    positions = torch.rand(batch, 300, 3, generator=torch.Generator().manual_seed(2)) * 2 - 1
    vertices, colors = geometry(images), texture(images, positions)
    changes = []
    for order in ORDERS:
        turned = images[:, list(order)]
        changes.append((order, (geometry(turned) - vertices).abs().max().item(),
                        (texture(turned, positions) - colors).abs().max().item()))
    images[:, 2] = 0
    other_shape, other_colors = geometry(images) - vertices, texture(images, positions) - colors
    return changes, other_shape.abs().max().item(), other_colors.abs().max().item()


@pytest.mark.parametrize("models", [fresh_models, shipped_models], ids=["fresh", "shipped"])
def test_permuting_the_views_changes_nothing_but_another_image_does(models):
    found = models()
    if found is None:
        pytest.skip("no shipped checkpoints")
    changes, other_shape, other_colors = largest_changes(*found, batch=1)
    for order, shape, colors in changes:
        assert shape < LIMIT and colors < LIMIT, order
    assert other_shape > 100 * LIMIT and other_colors > 100 * LIMIT, "the images are not looked at"


def test_any_number_of_views_is_taken():
    geometry, _, size = fresh_models()
    with torch.no_grad():
        images = torch.rand(1, 3, 3, size, size)
        assert geometry(images).shape == (1, 512, 3)
        # Twice the same views have the same maximum and the same mean.
        assert torch.allclose(geometry(images), geometry(images.repeat(1, 2, 1, 1, 1)), atol=LIMIT)


@pytest.mark.slow
def test_the_script_tells_a_model_that_minds_the_order(monkeypatch, capsys):
    module = sys.modules[__name__]
    monkeypatch.setattr(module, "ORDERS", ORDERS[:2])
    assert main([]) == 0
    assert capsys.readouterr().out.count(" ok ") == len(ORDERS)

    def minds_the_order():
        geometry, texture, size = fresh_models()
        geometry.encoder.register_forward_hook(
            lambda _, __, output: (output[0] * torch.linspace(0.99, 1.01, VIEWS)[:, None], output[1]))
        return geometry, texture, size

    monkeypatch.setattr(module, "shipped_models", minds_the_order)
    assert main([]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert main(["missing.pth", "missing.pth"]) == 2


def main(argv):
    """Print one line per permutation; returns the exit code."""
    if len(argv) not in (0, 2):
        print("usage: python tests/test_permutation_invariance.py [GEOMETRY.pth TEXTURE.pth]", file=sys.stderr)
        return 2
    try:
        models = loaded_models(*argv) if argv else shipped_models()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    origin = " and ".join(argv) if argv else "the shipped weights" if models else "fresh weights"
    print(f"models: {origin}")
    models = models or fresh_models()
    changes, _, _ = largest_changes(*models)
    failed = 0
    for order, shape, colors in changes:
        good = shape < LIMIT and colors < LIMIT
        failed += not good
        print(f"views {order}: {'ok    ' if good else 'FAILED'} vertices move by {shape:.1e}, colors by {colors:.1e}")
    print(f"{failed} of {len(changes)} orders changed a prediction" if failed else
          "the order of the views does not matter")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
