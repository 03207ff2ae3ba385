"""The UV atlas texel by texel, and its charts the right way round."""
import numpy as np
import pytest
import trimesh
from scipy import ndimage

import utils.rendering.uv_atlas
from config import UserError
from utils.mesh.isosurface import mesh_from_grid
from utils.rendering.uv_atlas import make_atlas, mirrored_charts, template_atlas

GUTTER_PX = 4  # what viewers' filtering needs; on purpose not taken from the code


@pytest.fixture(scope="module")
def atlas():
    return template_atlas(256, 256)


def face_corners(atlas):
    return atlas.uvs[atlas.face_uvs].astype(np.float64)


def texel_centers(texels, size):
    """UV of texel centers; row 0 is at the top, v = 0 at the bottom."""
    row, column = texels // size, texels % size
    return np.stack([(column + 0.5) / size, 1 - (row + 0.5) / size], axis=1)


def on_surface(atlas, size):
    """Which of the atlas's texels lie on a chart rather than in a gutter: their center is in their face."""
    return (atlas.texel_weights.min(axis=1) > -1e-6) & shows_its_center(atlas, size)


def shows_its_center(atlas, size):
    """Which texels show the point that has their own center for its uv, in their face or in its plane."""
    return np.linalg.norm(shown_uv(atlas) - texel_centers(atlas.texels, size), axis=1) < 0.01 / size


def shown_uv(atlas):
    """UV of the surface point that each texel shows."""
    return (face_corners(atlas)[atlas.texel_faces] * atlas.texel_weights[:, :, None]).sum(1)


def test_uvs_lie_in_the_unit_square_and_faces_refer_to_them(atlas):
    assert atlas.uvs.dtype == np.float32 and atlas.uvs.min() >= 0 and atlas.uvs.max() <= 1
    assert min(atlas.uvs.min(), 1 - atlas.uvs.max()) > 0.5 / 256, "nowhere is what lies across the texture's edge mixed in"
    assert atlas.face_uvs.shape == (508, 3) and atlas.face_uvs.min() == 0 and atlas.face_uvs.max() == len(atlas.uvs) - 1


def test_every_face_has_texels_and_every_texel_a_place_in_its_face(atlas):
    assert len(np.unique(atlas.texels)) == len(atlas.texels) and atlas.texels.max() < 256**2
    assert set(atlas.texel_faces[on_surface(atlas, 256)]) == set(range(508))
    assert np.allclose(atlas.texel_weights.sum(1), 1, atol=1e-4)
    assert atlas.texel_weights.min() >= -1, "beyond its face's edge at most by the face's own size"


def test_a_texel_shows_the_surface_point_whose_uv_is_its_center(atlas):
    surface = on_surface(atlas, 256)
    # The true test of every texel whose center some face covers, by the faces' own UV triangles.
    a, b, c = face_corners(atlas).transpose(1, 0, 2)
    centers = texel_centers(np.arange(256**2), 256)
    covered = np.zeros(256**2, bool)
    for p, q, r in zip(a, b, c):
        matrix = np.stack([q - p, r - p], axis=1)
        low, high = np.floor(np.min([p, q, r], axis=0) * 256) - 1, np.ceil(np.max([p, q, r], axis=0) * 256) + 1
        near = np.flatnonzero(((centers * 256 >= low) & (centers * 256 <= high)).all(1))
        v, w = np.linalg.solve(matrix, (centers[near] - p).T)
        inside = (v > 1e-3) & (w > 1e-3) & (v + w < 1 - 1e-3)
        assert not covered[near[inside]].any(), "two faces claim a texel"
        covered[near[inside]] = True
    assert covered.sum() > 0.3 * 256**2
    assert np.isin(np.flatnonzero(covered), atlas.texels[surface]).all()
    assert surface.sum() < 1.05 * covered.sum()


def test_a_gutter_texel_shows_the_nearest_surface_texel_or_beside_it_where_the_face_would_go_on(atlas):
    surface = on_surface(atlas, 256)
    place = np.zeros((256, 256), bool)
    place.ravel()[atlas.texels[surface]] = True
    distance = ndimage.distance_transform_edt(~place)
    painted = np.zeros((256, 256), bool)
    painted.ravel()[atlas.texels] = True
    assert np.array_equal(painted, distance <= GUTTER_PX)
    off = np.linalg.norm(shown_uv(atlas) - texel_centers(atlas.texels, 256), axis=1) * 256
    away, extended = distance.ravel()[atlas.texels], shows_its_center(atlas, 256) & ~surface
    repeated = ~surface & ~extended
    assert np.allclose(off[repeated], away[repeated], atol=0.02)
    assert away[extended].max() < 1.5 and extended.sum() > 0.9 * (~surface & (away < 1.5)).sum()


def test_both_charts_at_a_seam_read_the_same_color():
    """A torus painted with waves, whose color at each point is known. Filtered as viewers do, neither side of a seam is
    off by 4 of 255 on average, and neither differs from the other by more."""
    def waves(points):
        return 0.5 + 0.5 * np.sin(9 * points + [0, 2, 4])

    vertices, faces = torus_with_a_step()
    made = make_atlas(vertices, faces, 512)
    texture = np.zeros((512 * 512, 3), np.uint8)
    texture[made.texels] = np.round(255 * waves((vertices[faces[made.texel_faces]] * made.texel_weights[..., None]).sum(1)))
    edge = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    coordinates = made.uvs[np.concatenate([made.face_uvs[:, [0, 1]], made.face_uvs[:, [1, 2]], made.face_uvs[:, [2, 0]]])]
    turned = edge[:, 0] > edge[:, 1]
    edge[turned], coordinates[turned] = edge[turned][:, ::-1], coordinates[turned][:, ::-1]
    order = np.lexsort(edge.T)
    edge, sides = edge[order][::2], coordinates[order].reshape(-1, 2, 2, 2)  # closed: each edge has two sides
    seam = (sides[:, 0] != sides[:, 1]).any(axis=(1, 2))
    assert seam.sum() > 100
    row, column = np.moveaxis(sides[seam].mean(axis=2) * [512, -512] + [-0.5, 511.5], -1, 0)[::-1]
    read = np.stack([ndimage.map_coordinates(texture.reshape(512, 512, 3)[..., channel].astype(float), [row, column], order=1)
                     for channel in range(3)], axis=-1)
    true = 255 * waves(vertices[edge[seam]].mean(axis=1))
    assert np.abs(read[:, 0] - read[:, 1]).mean() < 2 and np.abs(read - true[:, None]).mean() < 2
    assert np.quantile(np.abs(read[:, 0] - read[:, 1]).max(axis=-1), 0.95) < 8


def test_gutters_of_neighboring_charts_do_not_run_into_each_other(atlas):
    surface = on_surface(atlas, 256)
    place = np.zeros((256, 256), bool)
    place.ravel()[atlas.texels[surface]] = True
    charts, count = ndimage.label(place, structure=np.ones((3, 3)))
    # Twice the gutter less the texel that rasterization may round at either side.
    for chart in range(1, count + 1):
        apart = ndimage.distance_transform_edt(charts != chart)[(charts > 0) & (charts != chart)]
        assert count == 1 or apart.min() > 2 * GUTTER_PX - 2


def test_the_atlas_is_the_same_every_time_and_kept_on_disk(atlas, tmp_path, monkeypatch):
    first = template_atlas(256, 256, tmp_path / "cache")
    kept, = (tmp_path / "cache").iterdir()

    def not_again(*_):
        raise AssertionError("made again")

    with monkeypatch.context() as patch:
        patch.setattr(utils.rendering.uv_atlas, "make_atlas", not_again)
        again = template_atlas(256, 256, tmp_path / "cache")
        with pytest.raises(AssertionError, match="made again"):
            template_atlas(256, 128, tmp_path / "cache")
    for name in vars(atlas):
        assert np.array_equal(getattr(first, name), getattr(atlas, name)), name
        assert np.array_equal(getattr(again, name), getattr(atlas, name)), name
    kept.write_bytes(kept.read_bytes()[:5000])
    assert np.array_equal(template_atlas(256, 256, tmp_path / "cache").texels, atlas.texels)
    assert kept.stat().st_size > 5000, "the damaged file was replaced"


def test_a_cache_folder_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").touch()
    assert len(template_atlas(16, 64, tmp_path / "file").texels) > 0


# ---- Charts are not mirrored


def torus_with_a_step():
    """A closed mesh that is cut into many charts: a torus, marched, beside a box."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij")
    torus = 0.25 - np.hypot(np.hypot(x, z) - 0.65, y)
    box = np.minimum.reduce([0.3 - np.abs(x), 0.5 - np.abs(y - 0.1), 0.3 - np.abs(z)])
    return mesh_from_grid(np.maximum(torus, box).astype(np.float32), [np.linspace(-1, 1, 40)] * 3, faces=3000)


@pytest.mark.parametrize("make", [torus_with_a_step, lambda: (lambda s: (s.vertices, s.faces))(
    trimesh.creation.annulus(0.3, 0.8, 1.0))], ids=["torus", "annulus"])
def test_no_chart_is_mirrored_and_every_uv_belongs_to_one_vertex(make):
    vertices, faces = make()
    made = make_atlas(vertices, faces, 512)
    a, b, c = face_corners(made).transpose(1, 0, 2)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert not mirrored_charts(made.uvs, made.face_uvs).any()
    assert np.abs(area[area < 0]).sum() < 1e-3 * np.abs(area).sum()
    assert np.abs(area).sum() / 2 > 0.3, "the texture is used"
    owner = np.full(len(made.uvs), -1)
    owner[made.face_uvs.ravel()] = np.ravel(faces)
    assert np.array_equal(owner[made.face_uvs], faces)
    # Where a texel looks up its color is where the face's own coordinates put it.
    surface = on_surface(made, 512)
    assert surface.mean() > 0.5 and np.abs(shown_uv(made) - texel_centers(made.texels, 512))[surface].max() < 1e-4


def test_charts_of_equal_shape_get_places_of_their_own():
    solid = trimesh.creation.box((1, 1, 1)).subdivide().subdivide()  # six equal sides
    made = make_atlas(solid.vertices, solid.faces, 256)
    a, b, c = face_corners(made).transpose(1, 0, 2)
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2
    assert on_surface(made, 256).sum() / 256**2 == pytest.approx(area, rel=0.02) and area > 0.5


def test_a_chart_is_mirrored_where_its_area_is_negative():
    uvs = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [3, 0], [2, 1], [3, 1], [9, 9]], np.float32)
    face_uvs = np.array([[0, 1, 2], [3, 5, 4], [4, 5, 6]])
    assert mirrored_charts(uvs, face_uvs).tolist() == [False] * 3 + [True] * 4 + [False]


def test_more_charts_than_a_small_texture_holds_are_one_line():
    solid = trimesh.creation.icosphere(0, 0.01)
    places = np.random.default_rng(0).uniform(-1, 1, (1000, 1, 3))
    vertices = (solid.vertices + places).reshape(-1, 3)
    faces = (solid.faces + len(solid.vertices) * np.arange(1000)[:, None, None]).reshape(-1, 3)
    with pytest.raises(UserError, match=r"--texture_size 64: too small for the \d+ charts of this mesh; choose more"):
        make_atlas(vertices, faces, 64)
