"""The z-buffer against known outlines, hand-placed marks, a ray caster and renders made by another program."""
import csv

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.ndimage import binary_fill_holes
from scipy.spatial import Delaunay

from config import VIEW_NAMES
from utils.mesh.mesh import colored_mesh, normalize, plain_mesh, textured_mesh
from utils.mesh.mesh_io import read_mesh
from utils.rendering.cameras import (
    NOVEL_ANGLES_DEG,
    OPPOSITE_VIEWS,
    VIEW_BASES,
    VIEW_CAMERAS,
    VIEW_EXTENT,
    Camera,
    camera_basis,
    pixel_rays,
    rotation_matrix,
)
from utils.rendering.rasterizer import (
    over_white,
    rasterize,
    rasterize_both_sides,
    rasterize_layers,
    rasterize_views,
    render,
    render_views,
)

FRONT = VIEW_BASES["front"]


def box(center, edges, color):
    solid = trimesh.creation.box(edges)
    return plain_mesh(solid.vertices + center, solid.faces, color)


def join(*meshes):
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    mesh = plain_mesh(np.concatenate([mesh.vertices for mesh in meshes]),
                              np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)]))
    mesh.corner_colors = np.concatenate([mesh.corner_colors for mesh in meshes])
    return mesh


def random_turn(rng):
    return trimesh.transformations.random_rotation_matrix(rng.random(3))[:3, :3]


def bumpy(num_subdivisions=4):
    """A closed mesh with hollows, different from every side."""
    ball = trimesh.creation.icosphere(num_subdivisions)
    x, y, z = ball.vertices.T
    radius = 1 + 0.25 * np.sin(5 * x + 1) * np.cos(4 * y) + 0.2 * np.sin(6 * z + 0.5)
    return normalize(ball.vertices * radius[:, None] * [0.6, 0.8, 1]), ball.faces


# Outlines


@pytest.mark.parametrize("view", VIEW_NAMES)
def test_cube_covers_its_analytic_square(view):
    """The cube's side is 2 of the 2.2 that an image of 220 pixels spans: pixels 10 to 209, exactly."""
    cube = trimesh.creation.box((2, 2, 2))
    seen = rasterize(cube.vertices, cube.faces, VIEW_BASES[view], 220).face_index >= 0
    expected = np.zeros((220, 220), bool)
    expected[10:210, 10:210] = True
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("angles", [(0, 0), (0, 90), NOVEL_ANGLES_DEG[0], NOVEL_ANGLES_DEG[3]])
def test_sphere_covers_its_analytic_disc(angles):
    ball, size = trimesh.creation.icosphere(5), 256
    seen = rasterize(ball.vertices, ball.faces, camera_basis(*angles), size).face_index >= 0
    center = (np.arange(size) + 0.5) * (2 * VIEW_EXTENT / size) - VIEW_EXTENT
    distance = np.hypot(*np.meshgrid(center, center))
    pixel = 2 * VIEW_EXTENT / size
    assert seen[distance < 1 - pixel / 2].all() and not seen[distance > 1 + pixel / 2].any()
    assert seen.mean() == pytest.approx(np.pi / (2 * VIEW_EXTENT) ** 2, rel=2e-3)


def test_depth_of_a_sphere_is_its_height_over_the_view_plane():
    ball, size = trimesh.creation.icosphere(5), 128
    fragments = rasterize(ball.vertices, ball.faces, camera_basis(30, 20), size)
    center = (np.arange(size) + 0.5) * (2 * VIEW_EXTENT / size) - VIEW_EXTENT
    x, y = np.meshgrid(center, -center)
    inner = np.hypot(x, y) < 0.9
    np.testing.assert_allclose(fragments.depth[inner], np.sqrt(1 - (x ** 2 + y ** 2)[inner]), atol=3e-3)
    assert (fragments.depth[fragments.face_index < 0] == -np.inf).all()


@pytest.mark.parametrize("size", [63, 256])
def test_closed_mesh_has_no_cracks_whichever_way_it_is_turned(size):
    rng = np.random.default_rng(0)
    for subdivisions in (0, 2, 5):
        ball = trimesh.creation.icosphere(subdivisions)
        for _ in range(6):
            seen = rasterize(ball.vertices @ random_turn(rng).T, ball.faces, FRONT, size).face_index >= 0
            np.testing.assert_array_equal(seen, binary_fill_holes(seen))


def test_a_flat_sheet_covers_every_pixel_once():
    """Faces of a triangulation, drawn one at a time: no pixel is missed and none is drawn by two."""
    rng, size = np.random.default_rng(1), 97
    for _ in range(5):
        points = np.vstack([rng.uniform(-1.1, 1.1, (60, 2)), [[-1.2, -1.2], [1.2, -1.2], [-1.2, 1.2], [1.2, 1.2]]])
        faces = Delaunay(points).simplices
        vertices = np.column_stack([points, np.zeros(len(points))])
        whole = rasterize(vertices, faces, FRONT, size).face_index
        assert (whole >= 0).all()
        alone = [rasterize(vertices, faces[i:i + 1], FRONT, size).face_index >= 0 for i in range(len(faces))]
        np.testing.assert_array_equal(np.sum(alone, axis=0), np.ones((size, size)))


# Which side shows where


def test_marks_appear_where_the_table_of_views_puts_them():
    """Red at +x, green at +y, blue at +z of a white block, in quarters of the image worked out by hand."""
    mesh = join(box((0, 0, 0), (1, 1, 1), (1, 1, 1)), box((0.8, 0, 0), (0.4, 0.4, 0.4), (1, 0, 0)),
                box((0, 0.8, 0), (0.4, 0.4, 0.4), (0, 1, 0)), box((0, 0, 0.8), (0.4, 0.4, 0.4), (0, 0, 1)))
    red, green, blue, white = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    # view: color in the middle, at the left, right, top and bottom of the image; None where nothing is
    expected = {
        "front": (blue, None, red, green, None),
        "back": (white, red, None, green, None),
        "left": (red, blue, None, green, None),
        "right": (white, None, blue, green, None),
        "top": (green, None, red, None, blue),
        "bottom": (white, None, red, blue, None),
    }
    size = 110
    far = round(0.8 / (2 * VIEW_EXTENT) * size)  # pixels from the middle to a mark's center
    middle = size // 2
    places = [(middle, middle), (middle, middle - far), (middle, middle + far),
              (middle - far, middle), (middle + far, middle)]
    for view, image in render_views(mesh, size).items():
        for (row, column), color in zip(places, expected[view]):
            wanted = (255, 255, 255, 0) if color is None else (*color, 255)
            assert tuple(image[row, column]) == wanted, (view, row, column)


@pytest.mark.parametrize("view, opposite, axis", OPPOSITE_VIEWS)
def test_opposite_views_are_mirror_silhouettes(view, opposite, axis):
    vertices, faces = bumpy()
    seen = {name: rasterize(vertices, faces, VIEW_BASES[name], 128).face_index >= 0 for name in (view, opposite)}
    np.testing.assert_array_equal(np.flip(seen[view], axis), seen[opposite])
    assert (seen[view] != seen[opposite]).any(), "the object must not be symmetric"


@pytest.mark.parametrize("size", [50, 128])
def test_six_views_at_once_equal_six_single_views(size):
    vertices, faces = bumpy()
    together = rasterize_views(vertices, faces, size)
    assert list(together) == list(VIEW_NAMES)
    for name, fragments in together.items():
        single = rasterize(vertices, faces, VIEW_BASES[name], size)
        same = fragments.face_index == single.face_index
        assert same.mean() > 0.999, name
        np.testing.assert_allclose(fragments.barycentric[same], single.barycentric[same], atol=1e-4)
        np.testing.assert_allclose(fragments.depth[same], single.depth[same], atol=1e-5)
        for part in (fragments.face_index, fragments.barycentric, fragments.depth):
            assert part.flags.c_contiguous
    for name, fragments in rasterize_views(vertices, faces, size, weights=False).items():
        assert fragments.barycentric is None
        assert np.array_equal(fragments.face_index, together[name].face_index)
        assert np.array_equal(fragments.depth, together[name].depth)


def test_both_sides_of_a_face_are_drawn():
    vertices = [[-1, -1, 0], [1, -1, 0], [0, 1, 0]]
    for faces in ([[0, 1, 2]], [[0, 2, 1]]):
        for view in ("front", "back"):
            assert (rasterize(vertices, faces, VIEW_BASES[view], 32).face_index == 0).sum() > 300


def test_nearer_face_wins_and_of_equal_depths_the_last():
    vertices = np.array([[-2, -2, 0], [2, -2, 0], [0, 3, 0], [-2, -2, 0.5], [2, -2, 0.5], [0, 3, 0.5]])
    assert (rasterize(vertices, [[3, 4, 5], [0, 1, 2]], FRONT, 16).face_index[8] == 0).all()
    assert (rasterize(vertices, [[3, 4, 5], [0, 1, 2]], VIEW_BASES["back"], 16).face_index[8] == 1).all()
    assert (rasterize(vertices, [[0, 1, 2], [0, 1, 2]], FRONT, 16).face_index[8] == 1).all()
    vertices[3:, 2] = 1e-5
    assert (rasterize(vertices, [[3, 4, 5], [0, 1, 2]], FRONT, 16).face_index[8] == 0).all()


def test_barycentric_weights_rebuild_the_pixel_center():
    vertices, faces = bumpy(3)
    basis, size = camera_basis(35, 25), 120
    fragments = rasterize(vertices, faces, basis, size)
    row, column = np.nonzero(fragments.face_index >= 0)
    weights = fragments.barycentric[row, column]
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    points = np.einsum("kcj,kc->kj", vertices[faces[fragments.face_index[row, column]]], weights) @ basis.T
    pixel = 2 * VIEW_EXTENT / size
    np.testing.assert_allclose(points[:, 0], (column + 0.5) * pixel - VIEW_EXTENT, atol=1e-4)
    np.testing.assert_allclose(points[:, 1], VIEW_EXTENT - (row + 0.5) * pixel, atol=1e-4)
    np.testing.assert_allclose(points[:, 2], fragments.depth[row, column], atol=1e-4)
    assert (fragments.barycentric[fragments.face_index < 0] == 0).all()


# Colors and coverage


def test_alpha_is_the_share_of_the_pixel_that_is_covered():
    """A square whose edges lie a quarter into the outer pixels: 2 of 4 samples per edge, color stays pure."""
    edge = 2 * (3.5 / 8) * 2 * VIEW_EXTENT  # 7 of 8 pixels wide, half a pixel of each outer one
    image = render(box((0, 0, 0), (edge, edge, 1), (1, 0, 0)), FRONT, 8, supersample=2)
    assert image[0, 0].tolist() == [255, 0, 0, 64] and image[0, 4].tolist() == [255, 0, 0, 128]
    assert image[4, 4].tolist() == [255, 0, 0, 255]


def test_texture_appears_upright_in_the_front_view():
    """uv (0, 0) is the lower left: the image's first row is the object's top."""
    texture = np.zeros((2, 2, 3), np.uint8)
    texture[0, 0], texture[0, 1], texture[1, 0], texture[1, 1] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)
    vertices = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
    uvs = [[0, 0], [1, 0], [1, 1], [0, 1]]
    faces = [[0, 1, 2], [0, 2, 3]]
    image = render(textured_mesh(vertices, faces, uvs, faces, texture), FRONT, 44, supersample=1)
    assert [image[row, column, :3].tolist() for row, column in ((4, 4), (4, 40), (40, 4), (40, 40))] == [
        [255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]]


def test_rendering_twice_gives_the_same_bytes():
    vertices, faces = bumpy()
    mesh = colored_mesh(vertices, faces, (vertices + 1) / 2)
    first, second = render_views(mesh, 64), render_views(mesh, 64)
    assert all((first[name] == second[name]).all() for name in VIEW_NAMES)
    single = render(mesh, VIEW_BASES["left"], 64)
    np.testing.assert_array_equal(first["left"], single)


def test_over_white_blends_by_alpha():
    rgba = np.uint8([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 255, 128]]])
    assert over_white(rgba).tolist() == [[[10, 20, 30], [255, 255, 255], [127, 177, 255]]]


# Inputs that draw nothing, or not all


@pytest.mark.parametrize("vertices", [np.zeros((0, 3)), np.zeros((4, 3))])
def test_no_faces_give_an_empty_image(vertices):
    fragments = rasterize(vertices, np.zeros((0, 3), int), FRONT, 12)
    assert (fragments.face_index == -1).all() and (fragments.depth == -np.inf).all()
    assert not fragments.barycentric.any()
    for image in render_views(plain_mesh(vertices, np.zeros((0, 3))), 12).values():
        assert image.shape == (12, 12, 4) and (image == [255, 255, 255, 0]).all()


def test_faces_without_area_or_with_broken_corners_are_left_out():
    sound = [[-9, -9, 0], [9, -9, 0], [0, 9, 0]]
    for broken in ([np.nan, 0, 5], [np.inf, 1, 5], [1, -np.inf, 5], [0, 0, np.inf], [np.inf, -np.inf, np.inf]):
        vertices = np.array(sound + [broken] + [[-9, -9, 9], [9, 9, 9], [0, 0, 9]])
        for angles in ((0, 0), *NOVEL_ANGLES_DEG):
            basis = camera_basis(*angles)
            faces = [[0, 1, 2], [0, 1, 3], [1, 2, 3], [4, 5, 6], [4, 4, 5], [6, 6, 6]]
            with np.errstate(invalid="ignore"):
                fragments = rasterize(vertices @ basis, faces, FRONT, 16)
                turned = rasterize(vertices, faces[:3], basis, 16)
            assert set(np.unique(turned.face_index)) <= {-1, 0} and not np.isnan(turned.depth).any()
            if angles == (0, 0):
                assert (fragments.face_index == 0).all()


def test_a_face_far_outside_the_image_is_cut_at_its_border():
    vertices = np.array([[-1e4, -1e4, 0], [1e4, -1e4, 0], [0, 2e4, 0.5], [5, 5, 1], [6, 5, 1], [5, 6, 1]])
    fragments = rasterize(vertices, [[0, 1, 2], [3, 4, 5]], FRONT, 20)
    assert (fragments.face_index == 0).all() and np.ptp(fragments.depth) < 1e-3


def test_faces_seen_edge_on_never_reach_beyond_their_corners():
    """Slivers far thinner than a pixel, standing exactly over pixel centers, steep in depth."""
    rng, size, count = np.random.default_rng(3), 64, 5000
    pixel = 2 * VIEW_EXTENT / size
    columns = rng.integers(2, 62, count) + 0.5 + rng.normal(size=(3, count)) * 10.0 ** rng.integers(-14, -4, count)
    rows = rng.uniform(2, 62, (3, count))
    depths = rng.uniform(-1, 1, (3, count))
    corners = np.stack([columns * pixel - VIEW_EXTENT, VIEW_EXTENT - rows * pixel, depths], axis=-1)
    fragments = rasterize(corners.reshape(-1, 3), np.arange(3 * count).reshape(3, count).T, FRONT, size)
    seen = fragments.face_index >= 0
    assert seen.any()
    depth = corners[:, fragments.face_index[seen], 2]
    tolerance = 1e-3
    assert (fragments.depth[seen] <= depth.max(axis=0) + tolerance).all()
    assert (fragments.depth[seen] >= depth.min(axis=0) - tolerance).all()


# Another renderer's results


@pytest.mark.parametrize("angles", [(0, 0), (90, 0), (0, -90), NOVEL_ANGLES_DEG[1]])
def test_faces_and_depths_agree_with_a_ray_caster(angles):
    pytest.importorskip("embreex")
    import embreex.rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    vertices, faces = bumpy(5)
    basis, size = camera_basis(*angles), 200
    scene = embreex.rtcore_scene.EmbreeScene()
    TriangleMesh(scene, vertices[faces].astype(np.float32))
    center = (np.arange(size) + 0.5) * (2 * VIEW_EXTENT / size) - VIEW_EXTENT
    x, y = np.meshgrid(center, -center)
    origins = (x[..., None] * basis[0] + y[..., None] * basis[1] + 4 * basis[2]).reshape(-1, 3).astype(np.float32)
    hits = scene.run(origins, np.tile(-basis[2], (size * size, 1)).astype(np.float32), query="INTERSECT", output=True)
    hit_face = np.asarray(hits["primID"]).reshape(size, size)
    fragments = rasterize(vertices, faces, basis, size)
    assert (fragments.face_index == hit_face).mean() >= 0.999
    both = (fragments.face_index >= 0) & (hit_face >= 0)
    distance = np.asarray(hits["tfar"]).reshape(size, size)
    assert (np.abs(fragments.depth[both] - (4 - distance[both])) < 1e-3).mean() >= 0.999


# Perspective


def pixel_centers(size):
    """(size, size, 2) image coordinates, -1 to 1, rightwards and downwards."""
    center = (np.arange(size) + 0.5) * (2 / size) - 1
    return np.stack(np.meshgrid(center, center), axis=-1)


def test_a_near_square_appears_larger_by_the_ratio_of_distances():
    """Camera 4 away, scale 0.5. Edge 1 at depth 2 (half as far): 0.5 * 1 * 2 = half the image; at depth -4 an eighth."""
    camera = Camera(VIEW_BASES["front"], 1 / 4, 0.5, (0.25, 0))
    for depth, pixels in ((2, 40), (0, 20), (-4, 10)):
        vertices = [[-.5, -.5, depth], [.5, -.5, depth], [.5, .5, depth], [-.5, .5, depth]]
        seen = rasterize(vertices, [[0, 1, 2], [0, 2, 3]], camera, 80)
        expected = np.zeros((80, 80), bool)
        expected[40 - pixels // 2:40 + pixels // 2, 50 - pixels // 2:50 + pixels // 2] = True  # shift 0.25: 10 pixels
        np.testing.assert_array_equal(seen.face_index >= 0, expected)
        np.testing.assert_allclose(seen.depth[expected], depth, atol=1e-5)


def test_the_middle_of_a_receding_edge_appears_nearer_its_far_end():
    """A strip from depth 2 to depth -4, seen from 4: w is 1/2 and 2. Halfway across the image, 1 / w is (2 + 1/2) / 2,
    so w = 0.8 and the depth is 4 * (1 - 0.8) = 0.8, not the -1 of an even share; the near end's weight is 0.8."""
    camera = Camera(VIEW_BASES["front"], 1 / 4, 1.0)
    left, right = -0.5 * 0.5, 0.5 * 2  # both ends at |x| = 0.5 in the image
    vertices = [[left, -1, 2], [left, 1, 2], [right, -4, -4], [right, 4, -4]]
    seen = rasterize(vertices, [[0, 2, 3], [0, 3, 1]], camera, 101)
    assert seen.depth[50, 50] == pytest.approx(0.8, abs=1e-5)
    corners = [0, 2, 3] if seen.face_index[50, 50] == 0 else [0, 3, 1]
    near = sum(weight for weight, corner in zip(seen.barycentric[50, 50], corners) if corner in (0, 1))
    assert near == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize("q", [1e-9, 0.05, 0.2, 0.45])
def test_perspective_weights_and_depths_lie_on_the_line_of_sight(q):
    vertices, faces = bumpy(3)
    camera = Camera(rotation_matrix([0.05, -0.1, 0.2]) @ camera_basis(35, 25), q, 0.6, (0.05, -0.1))
    seen = rasterize(vertices, faces, camera, 120)
    row, column = np.nonzero(seen.face_index >= 0)
    assert len(row) > 1500
    weights = seen.barycentric[row, column]
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    points = np.einsum("kcj,kc->kj", vertices[faces[seen.face_index[row, column]]], weights)
    origins, directions = pixel_rays(camera, pixel_centers(120)[row, column])
    np.testing.assert_allclose(origins + seen.depth[row, column, None] * directions, points, atol=2e-4)


@pytest.mark.parametrize("seed", range(3))
def test_perspective_agrees_with_a_ray_caster(seed):
    pytest.importorskip("embreex")
    import embreex.rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    rng, size = np.random.default_rng(seed), 200
    vertices, faces = bumpy(5)
    camera = Camera(random_turn(rng), rng.uniform(0.1, 0.4), rng.uniform(0.5, 0.8), rng.uniform(-0.1, 0.1, 2))
    origins, directions = pixel_rays(camera, pixel_centers(size).reshape(-1, 2))
    scene = embreex.rtcore_scene.EmbreeScene()
    TriangleMesh(scene, vertices[faces].astype(np.float32))
    # From depth 2, which is before the whole object; distances then count depth itself.
    hits = scene.run((origins + 2 * directions).astype(np.float32), -directions.astype(np.float32),
                     query="INTERSECT", output=True)
    near, far = rasterize_both_sides(vertices, faces, camera, size)
    hit_face = np.asarray(hits["primID"]).reshape(size, size)
    assert (near.face_index == hit_face).mean() >= 0.999 and (hit_face >= 0).mean() > 0.1
    both = (near.face_index >= 0) & (hit_face >= 0)
    depth = 2 - np.asarray(hits["tfar"]).reshape(size, size)
    assert (np.abs(near.depth[both] - depth[both]) < 1e-3).mean() >= 0.999
    hits = scene.run((origins - 2 * directions).astype(np.float32), directions.astype(np.float32),
                     query="INTERSECT", output=True)
    depth = np.asarray(hits["tfar"]).reshape(size, size) - 2
    assert (np.abs(-far.depth[both] - depth[both]) < 1e-3).mean() >= 0.995
    np.testing.assert_array_equal(rasterize(vertices, faces, camera, size).depth, near.depth)


def test_faces_that_reach_behind_the_camera_are_left_out():
    camera = Camera(VIEW_BASES["front"], 0.5)  # 2 from the origin
    vertices = np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0], [-1, -1, 1.9], [1, -1, 2.1], [0, 1, 2.0], [0, 0, 3]])
    with np.errstate(all="raise"):
        seen = rasterize(vertices, [[0, 1, 2], [3, 4, 5], [0, 1, 5], [0, 2, 6], [4, 5, 6]], camera, 32)
    assert set(np.unique(seen.face_index)) == {-1, 0} and np.isfinite(seen.depth[seen.face_index == 0]).all()


def test_views_may_have_any_cameras_and_exact_ones_stay_the_same():
    vertices, faces = bumpy(3)
    cameras = {**VIEW_CAMERAS, "back": Camera(VIEW_BASES["back"], 0.2, 0.7)}
    seen, exact = rasterize_views(vertices, faces, 64, cameras), rasterize_views(vertices, faces, 64)
    assert list(seen) == list(VIEW_NAMES)
    for view, fragments in seen.items():
        expected = rasterize(vertices, faces, cameras["back"], 64) if view == "back" else exact[view]
        np.testing.assert_array_equal(fragments.face_index, expected.face_index)
    assert (seen["back"].face_index != exact["back"].face_index).any()
    few = rasterize_views(vertices, faces, 64, {view: cameras[view] for view in ("top", "back")})
    assert list(few) == ["top", "back"]
    np.testing.assert_array_equal(few["top"].depth, rasterize(vertices, faces, VIEW_BASES["top"], 64).depth)


def real_ids(folder):
    with open(folder / "objects.csv") as rows:
        return sorted(row["id"] for row in csv.DictReader(rows))


def check_real_objects(folder, ids):
    """Render objects and compare with the images that another renderer drew of them, 256 pixels wide.

    Measured on all of them: every silhouette equal (IoU 1.0); PSNR against the JPEGs, inside the object, mean 38.7 dB,
    lowest 28.1 dB (print in fine detail, which JPEG blurs); largest median difference 5 of 255.
    """
    ious, psnrs = [], []
    for name in ids:
        mesh, warnings = read_mesh(folder / "OBJs" / name / "model.obj")
        assert not warnings
        mesh.vertices = normalize(mesh.vertices, mesh.faces)
        squares = []
        for view, image in render_views(mesh, 256).items():
            seen = image[..., 3] > 127
            path = folder / "input_images" / f"{name}_{view}.png"
            if path.is_file():
                mask = np.asarray(Image.open(path))[..., 3] > 127
                ious.append((seen & mask).sum() / max((seen | mask).sum(), 1))
                assert seen.mean() <= 0.03 or ious[-1] >= 0.95, (name, view)
            elif seen.any():
                truth = np.asarray(Image.open(path.with_suffix(".jpg")).convert("RGB"), np.float64)
                difference = np.abs(truth - over_white(image))[seen]
                assert np.median(difference) <= 8, (name, view)
                squares.append(np.mean(difference ** 2))
        if squares:
            psnrs.append(10 * np.log10(255 ** 2 / np.mean(squares)))
            assert psnrs[-1] >= 26, name
    assert np.mean(ious) >= 0.99 and np.mean(psnrs) >= 35


@pytest.mark.slow
def test_real_objects_look_as_another_renderer_drew_them(real_objects):
    check_real_objects(real_objects, real_ids(real_objects)[::5])



def test_layers_are_every_hit_of_a_ray_from_the_nearest_to_the_farthest():
    """Two balls, one behind the other: four hits at the center, none in the corner, and everywhere those that trimesh finds."""
    ball = trimesh.creation.icosphere(2, 0.4)
    solid = trimesh.util.concatenate([ball.copy().apply_translation(place) for place in ([0, 0.1, 0.5], [0, -0.1, -0.5])])
    pixel, face, depth = rasterize_layers(solid.vertices, solid.faces, FRONT, 32)
    columns = np.split(depth, np.flatnonzero(np.diff(pixel)) + 1)
    assert all((np.diff(column) < 0).all() and len(column) in (2, 4) for column in columns)
    assert sum(len(column) == 4 for column in columns) > 50
    row, column = np.divmod(np.arange(32 * 32), 32)
    origins = np.stack([(column + 0.5) / 16 - 1, 1 - (row + 0.5) / 16, np.full(32 * 32, 2 / VIEW_EXTENT)], axis=1) * VIEW_EXTENT
    hits, ray, _ = solid.ray.intersects_location(origins, np.tile([0.0, 0, -1], (32 * 32, 1)))
    assert len(hits) == len(pixel)
    order = np.lexsort((-hits[:, 2], ray))
    assert np.array_equal(ray[order], pixel) and np.abs(hits[order, 2] - depth).max() < 1e-4
    nearest = rasterize(solid.vertices, solid.faces, FRONT, 32).face_index.ravel()
    first = np.unique(pixel, return_index=True)[1]
    assert np.array_equal(nearest[pixel[first]], face[first])
