"""Augmentation against the renderer: the changed images of an object are the images of the changed object."""
import copy

import numpy as np
import pytest

from config import VIEW_NAMES
from utils.mesh.mesh import colored_mesh, normalize, sample_surface
from utils.rendering.rasterizer import over_white, render_views
from utils.training_data.augment import (
    MIRROR_X,
    anisotropic_scale,
    apply_signed_permutation,
    augmented,
    color_jitter,
    degrade,
    quarter_turn,
    random_color_map,
)

SIZE = 112
SAME = {"points", "normals", "colors", "images", "masks"}


def lopsided_mesh():
    """Three boxes of different colors, like no mirror image or turn of themselves; in the normalized frame."""
    import trimesh

    boxes = [trimesh.creation.box((0.5, 0.4, 2.0)), trimesh.creation.box((0.5, 0.7, 0.5)),
             trimesh.creation.box((0.4, 0.2, 0.6))]
    for box, place in zip(boxes, ((0.0, 0.2, 0.0), (0.05, 0.7, -0.6), (0.4, 0.1, 0.5))):
        box.apply_translation(place)
    colors = np.repeat([[0.8, 0.3, 0.25], [0.3, 0.4, 0.75], [0.35, 0.7, 0.4]], 8, axis=0)
    whole = trimesh.util.concatenate(boxes)
    return colored_mesh(normalize(whole.vertices), whole.faces, colors)


def arrays_of(mesh, size=SIZE, count=4000):
    views = render_views(mesh, size)
    points, normals, colors = sample_surface(mesh, count, np.random.default_rng(0))
    return {"points": points, "normals": normals, "colors": colors,
            "images": np.stack([over_white(views[name]) for name in VIEW_NAMES]),
            "masks": np.stack([views[name][..., 3] for name in VIEW_NAMES])}


def changed(mesh, vertices):
    other = copy.copy(mesh)
    other.vertices = normalize(vertices, mesh.faces)
    return other


def psnr(a, b):
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b.astype(float)) ** 2), 1e-9))


def iou(a, b):
    a, b = a > 127, b > 127
    return (a & b).sum() / (a | b).sum()


def agree(arrays, truth, decibels, overlap):
    for view in range(6):
        assert psnr(arrays["images"][view], truth["images"][view]) > decibels, VIEW_NAMES[view]
        assert iou(arrays["masks"][view], truth["masks"][view]) > overlap, VIEW_NAMES[view]


def distance_between(points, others):
    from scipy.spatial import cKDTree

    return max(cKDTree(points).query(others)[0].mean(), cKDTree(others).query(points)[0].mean())


@pytest.fixture(scope="module")
def mesh():
    return lopsided_mesh()


@pytest.fixture(scope="module")
def arrays(mesh):
    return arrays_of(mesh)


@pytest.mark.parametrize("matrix", [MIRROR_X, *(quarter_turn(n) for n in (1, 2, 3)), MIRROR_X @ quarter_turn(1)],
                         ids=["mirror", "turn 1", "turn 2", "turn 3", "turn and mirror"])
def test_a_moved_object_has_the_images_of_the_moved_mesh(mesh, arrays, matrix):
    truth = arrays_of(changed(mesh, mesh.vertices @ matrix.T))
    result = apply_signed_permutation(arrays, matrix)
    agree(result, truth, decibels=28, overlap=0.985)  # where a pixel center lies on an edge the tie falls otherwise
    assert np.abs(arrays["images"].astype(int) - truth["images"]).mean() > 5, "the object looks the same after the move"
    assert np.allclose(result["points"], arrays["points"] @ matrix.T, atol=1e-6)
    assert np.allclose(result["normals"], arrays["normals"] @ matrix.T, atol=1e-6)


def test_a_quarter_turn_takes_the_front_to_the_left_side():
    assert np.allclose(quarter_turn(1) @ [0, 0, 1], [1, 0, 0])
    assert np.allclose(quarter_turn(4), np.eye(3))


@pytest.mark.parametrize("factors", [(1.25, 1.0, 0.8), (0.8, 1.2, 1.1), (2.0, 2.0, 2.0)])
def test_a_stretched_object_has_the_images_of_the_stretched_mesh(mesh, arrays, factors):
    other = changed(mesh, mesh.vertices * factors)
    truth = arrays_of(other)
    result = anisotropic_scale(arrays, factors, np.random.default_rng(0))
    agree(result, truth, decibels=28, overlap=0.95)  # an edge through pixel centers may fall to either side
    assert np.ptp(result["points"], axis=0).max() == pytest.approx(2, abs=1e-5)
    assert distance_between(result["points"], truth["points"]) < 0.03
    assert np.allclose(np.linalg.norm(result["normals"], axis=1), 1, atol=1e-5)


def test_samples_of_a_stretched_surface_still_lie_by_area():
    import trimesh

    box = trimesh.creation.box((2.0, 2.0, 2.0))  # all six sides equal; stretched to 2 x 2 x 1, the z sides are larger
    points, normals, colors = sample_surface(colored_mesh(box.vertices, box.faces, np.full((8, 3), 0.5)), 6000,
                                             np.random.default_rng(0))
    result = anisotropic_scale({"points": points, "normals": normals, "colors": colors}, (1, 1, 0.5), np.random.default_rng(1))
    share = np.mean(np.abs(result["normals"][:, 2]) > 0.5)
    assert share == pytest.approx(8 / (8 + 8), abs=0.02), "two sides of 4, four of 2"


def test_normals_of_a_stretched_sphere_are_those_of_the_ellipsoid():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2000, 3)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    result = anisotropic_scale({"points": points, "normals": points, "colors": points}, (1.0, 0.5, 0.7), rng)
    half_axes = np.abs(result["points"]).max(0)
    gradient = result["points"] / half_axes**2  # of x^2/a^2 + y^2/b^2 + z^2/c^2
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    assert np.abs((gradient * result["normals"]).sum(1) - 1).max() < 0.01


def test_a_recolored_object_has_the_images_of_the_recolored_mesh(mesh, arrays):
    matrix, offset = np.array([[0, 0.8, 0.1], [0.9, 0, 0], [0, 0.1, 0.7]]), np.array([0.05, 0.0, 0.1])
    vertex_colors = mesh.colors_at(np.arange(36), np.tile([1.0, 0, 0], (36, 1)))
    palette = np.repeat(vertex_colors[[0, 12, 24]], 8, axis=0)  # a box is 8 vertices and 12 faces
    other = colored_mesh(mesh.vertices, mesh.faces, palette @ matrix.T + offset)
    truth, result = arrays_of(other), color_jitter(arrays, matrix, offset)
    agree(result, truth, decibels=40, overlap=0.999)
    assert np.allclose(result["colors"], truth["colors"], atol=1e-5)
    outside = arrays["masks"] == 0
    assert (result["images"][outside] == 255).all()


def test_one_color_map_serves_images_and_surface_even_where_it_must_be_cut(arrays):
    result = color_jitter(arrays, 3 * np.eye(3), np.full(3, -0.9))
    assert result["colors"].min() == 0 and result["colors"].max() == 1
    seen, count = np.unique(result["images"][arrays["masks"] == 255], axis=0, return_counts=True)
    seen = seen[count > 100]  # not the few pixels in which two boxes meet
    surface = np.unique(np.round(result["colors"] * 255), axis=0)
    assert all(np.abs(surface - color).max(1).min() <= 3 for color in seen), "3: thrice the rounding of the images"


def test_a_random_color_map_keeps_gray_gray():
    for seed in range(20):
        matrix, offset = random_color_map(np.random.default_rng(seed))
        assert np.ptp(matrix @ np.full(3, 0.5) + offset) < 1e-9


def test_wear_leaves_the_surface_and_moves_no_outline_far(arrays):
    for seed in range(10):
        result = degrade(arrays, np.random.default_rng(seed))
        assert all(result[name] is arrays[name] for name in ("points", "normals", "colors"))
        assert min(iou(a, b) for a, b in zip(result["masks"], arrays["masks"])) > 0.75
        assert min(psnr(a, b) for a, b in zip(result["images"], arrays["images"])) > 12


def fine_color(images):
    """Steps from pixel to pixel of color (red less green) beside those of gray: both are equal in any blur or shift, but
    JPEG keeps color at half the resolution."""
    red, green, blue = np.moveaxis(images.astype(np.float32), -1, 0)
    return np.abs(np.diff(red - green, axis=-1)).mean() / np.abs(np.diff(red + green + blue, axis=-1)).mean()


def test_three_in_ten_variants_went_through_jpeg(arrays):
    noise = np.random.default_rng(0).integers(0, 256, arrays["images"].shape).astype(np.uint8)
    ratios = [fine_color(degrade(arrays | {"images": noise}, np.random.default_rng(seed))["images"])
              for seed in range(30)]
    assert 4 <= sum(ratio < 0.8 * fine_color(noise) for ratio in ratios) <= 16, sorted(ratios)


def test_equal_generators_give_equal_variants_and_others_do_not(arrays):
    one, again, other = (augmented(arrays, np.random.default_rng(seed), turns=True) for seed in (3, 3, 4))
    assert one.keys() == SAME and all(np.array_equal(one[name], again[name]) for name in SAME)
    assert all(not np.array_equal(one[name], other[name]) for name in SAME)
    assert all(one[name].dtype == arrays[name].dtype and one[name].shape == arrays[name].shape for name in SAME)


def test_the_surface_changes_alike_without_images(arrays):
    surface = {name: arrays[name] for name in ("points", "normals", "colors")}
    for seed in range(6):
        whole, bare = (augmented(part, np.random.default_rng(seed), turns=True) for part in (arrays, surface))
        assert bare.keys() == surface.keys() and all(np.array_equal(whole[name], bare[name]) for name in surface)


def test_the_object_given_is_left_as_it_was(arrays):
    before = copy.deepcopy(arrays)
    augmented(arrays, np.random.default_rng(0), turns=True)
    assert all(np.array_equal(arrays[name], before[name]) for name in SAME)


def test_points_of_a_variant_project_onto_its_masks(arrays):
    from PIL import Image, ImageFilter

    from utils.rendering.cameras import VIEW_BASES, to_pixels

    for seed in range(8):
        result = augmented(arrays, np.random.default_rng(seed), turns=True)
        for view, mask in zip(VIEW_NAMES, result["masks"]):
            column, row, _ = to_pixels(result["points"], VIEW_BASES[view], SIZE).T.astype(int)
            near = np.asarray(Image.fromarray(mask).filter(ImageFilter.MaxFilter(9)))  # wear moves it by up to 4 pixels
            assert (near[row.clip(0, SIZE - 1), column.clip(0, SIZE - 1)] > 0).all(), (seed, view)
            assert np.mean(mask > 0) > 0.04 and np.mean(near > 0) < 0.5
