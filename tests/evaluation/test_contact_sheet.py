"""Contact sheets: gray shading by hand-worked values, and the worst objects first."""
import numpy as np
import pytest
import trimesh

from utils.evaluation.contact_sheet import AMBIENT, GRAY, GRAY_TILE, LABEL, LIGHT, SHOWN_CAMERAS, gray_renders, gray_row
from utils.mesh.mesh import Mesh, plain_mesh
from utils.rendering.cameras import NOVEL_ANGLES_DEG, camera_basis


def facing_square(camera, flipped=False):
    """A square that faces a camera, painted red."""
    right, up, _ = camera_basis(*NOVEL_ANGLES_DEG[camera])
    corners = [-right - up, right - up, right + up, up - right]
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return plain_mesh(0.5 * np.array(corners), faces[:, ::-1] if flipped else faces, (1, 0, 0))


@pytest.mark.parametrize("flipped", [False, True])
def test_a_face_toward_the_camera_has_lamberts_gray_from_either_side(flipped):
    image = gray_renders(facing_square(SHOWN_CAMERAS[0], flipped), 1.0)[0]
    # cos of the angle to the lamp is the z component of its unit vector
    cosine = LIGHT[2] / np.sqrt(sum(value**2 for value in LIGHT))
    expected = round(255 * GRAY * (AMBIENT + (1 - AMBIENT) * cosine))
    middle = image[GRAY_TILE // 2, GRAY_TILE // 2]
    assert middle[:3] == pytest.approx([expected] * 3, abs=1) and middle[3] == 255


def test_gray_shows_shape_that_paint_hides():
    box = trimesh.creation.box((1, 1, 1))
    image = gray_renders(plain_mesh(box.vertices, box.faces, (0.2, 0.9, 0.1)), 1.0)[0]
    grays = image[image[..., 3] == 255][:, :3]
    assert np.ptp(grays, axis=1).max() == 0
    assert len(np.unique(grays[:, 0])) >= 3  # three sides, three grays


def test_row_has_two_images_for_each_column_and_blanks_where_there_is_no_hull():
    mesh = facing_square(0)
    row = gray_row("shoe", gray_renders(mesh, 1.0), None, gray_renders(mesh, 1.0))
    assert row.shape == (LABEL + GRAY_TILE, 6 * GRAY_TILE, 3)
    assert (row[LABEL:, 2 * GRAY_TILE:4 * GRAY_TILE] == 235).all()
    assert isinstance(mesh, Mesh) and (mesh.corner_colors[..., 0] == 1).all()  # the mesh itself keeps its paint
