"""Both sides of a texture's seams are read alike, by a reader of its own."""
import numpy as np
import pytest
import trimesh
from scipy import ndimage

from utils.rendering.seams import erase_seams, seam_edges, seam_steps
from utils.rendering.uv_atlas import make_atlas

SIZE = 256


@pytest.fixture(scope="module")
def painted():
    """A ball with a fine pattern in space: faces, atlas and texture, (SIZE, SIZE, 3) float32."""
    ball = trimesh.creation.icosphere(4, 1.0)
    vertices, faces = np.asarray(ball.vertices), np.asarray(ball.faces)
    atlas = make_atlas(vertices, faces, SIZE)
    points = (vertices[faces[atlas.texel_faces]] * atlas.texel_weights[..., None]).sum(1)
    texture = np.full((SIZE * SIZE, 3), 128, np.float32)
    texture[atlas.texels] = 127 + 100 * np.sin(60 * points)
    return faces, atlas, texture.reshape(SIZE, SIZE, 3)


def seams_by_hand(faces, face_uvs):
    """{edge: [(uv of its lower vertex, uv of its higher one) in each of its faces]} of edges whose faces differ in them."""
    sides = {}
    for corners, places in zip(faces.tolist(), face_uvs.tolist()):
        for a, b in ((0, 1), (1, 2), (2, 0)):
            (one, first), (two, second) = sorted([(corners[a], places[a]), (corners[b], places[b])])
            sides.setdefault((one, two), []).append((first, second))
    return {edge: both for edge, both in sides.items() if len(both) == 2 and both[0] != both[1]}


def steps(faces, atlas, texture):
    """Differences (K, 3) between both sides of seams at points along them, filtered as viewers do."""
    ends = atlas.uvs[np.array(list(seams_by_hand(faces, atlas.face_uvs).values()))].astype(float)  # (E, side, end, 2)
    places = np.concatenate([ends[:, :, 0] * (1 - share) + ends[:, :, 1] * share for share in (0.1, 0.5, 0.77)])
    at = [SIZE - places[..., 1] * SIZE - 0.5, places[..., 0] * SIZE - 0.5]
    read = np.stack([ndimage.map_coordinates(texture[..., channel], at, order=1) for channel in range(3)], axis=-1)
    return np.abs(read[:, 0] - read[:, 1])


def test_seams_are_the_edges_whose_two_faces_lie_apart_in_the_texture(painted):
    faces, atlas, _ = painted
    expected = {frozenset(both) for both in seams_by_hand(faces, atlas.face_uvs).values()}
    assert {frozenset(map(tuple, both)) for both in seam_edges(faces, atlas.face_uvs).tolist()} == expected


def test_afterwards_both_sides_read_alike_and_no_texel_away_from_a_seam_has_changed(painted):
    faces, atlas, texture = painted
    before, erased = steps(faces, atlas, texture), erase_seams(texture, faces, atlas.uvs, atlas.face_uvs)
    after = steps(faces, atlas, erased)
    assert np.quantile(before.max(axis=1), 0.95) > 5, "a pattern that shows seams"
    # Of a pattern that repeats every five texels
    assert np.quantile(after.max(axis=1), 0.95) < 0.75 * np.quantile(before.max(axis=1), 0.95)
    assert after.mean() < before.mean() / 2
    for image, by_hand in ((texture, before), (erased, after)):
        measured = seam_steps(image, faces, atlas.uvs, atlas.face_uvs)
        assert np.quantile(measured, 0.95) == pytest.approx(np.quantile(by_hand.max(axis=1), 0.95), rel=0.2)
        assert len(measured) > len(by_hand) / 3 and measured.mean() == pytest.approx(by_hand.max(axis=1).mean(), rel=0.15)
    changed = (erased != texture).any(axis=-1)
    ends = atlas.uvs[np.array(list(seams_by_hand(faces, atlas.face_uvs).values()))].reshape(-1, 2, 2).astype(float) * SIZE
    centers = np.stack([np.arange(SIZE) + 0.5] * 2)
    line = ends[:, 1] - ends[:, 0]
    for row, column in np.argwhere(changed)[::7]:
        offset = [centers[0, column], SIZE - centers[0, row]] - ends[:, 0]
        share = ((offset * line).sum(1) / np.maximum((line**2).sum(1), 1e-12)).clip(0, 1)
        assert np.linalg.norm(offset - share[:, None] * line, axis=1).min() < 1.5
    assert np.abs(erased - texture)[changed].mean() < 5, "details stay"


def test_a_texture_whose_seams_agree_stays_as_it_is(painted):
    faces, atlas, _ = painted
    plain = np.full((SIZE, SIZE, 3), 77, np.float32)
    assert np.array_equal(erase_seams(plain, faces, atlas.uvs, atlas.face_uvs), plain)
    one = np.array([[0, 1, 2]])
    assert seam_steps(plain, faces, atlas.uvs, atlas.face_uvs).max() < 1e-9
    assert not len(seam_steps(plain, one, np.zeros((3, 2)), one))
    assert erase_seams(plain, one, np.zeros((3, 2)), one) is plain, "no seam at all"
