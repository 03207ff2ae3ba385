"""Triangles with a color at every point, whatever file they come from: the one mesh type of the project."""
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

GRAY = 0.4  # sRGB of a surface without a color of its own; the gray that trimesh draws such a surface with


@dataclass
class Mesh:
    """Triangles with a color at every point: corner color times texture.

    vertices: (V, 3) float64, positions.
    faces: (F, 3) int64, indices into vertices.
    corner_colors: (F, 3, 3) float32, sRGB in [0, 1] at each face's corners.
    corner_uvs: (F, 3, 2) float32, texture coordinates; (0, 0) is a texture's lower left.
    face_texture: (F,) int32, index into textures, -1 for none.
    textures: list of (H, W, 3) uint8 sRGB images, first row at the top.
    """

    vertices: np.ndarray
    faces: np.ndarray
    corner_colors: np.ndarray
    corner_uvs: np.ndarray
    face_texture: np.ndarray
    textures: list = field(default_factory=list)

    def colors_at(self, face_index: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Color of points on the surface.

        Args:
            face_index: (K,) int.
            barycentric: (K, 3) float, weights of the face's three corners, summing to 1.
        Returns:
            (K, 3) float32 sRGB in [0, 1]; textures are read bilinearly and repeat outside [0, 1].
        """
        face_index, barycentric = np.asarray(face_index, np.int64), np.asarray(barycentric, np.float32)
        colors = np.einsum("kcj,kc->kj", self.corner_colors.take(face_index, axis=0), barycentric)
        texture_index = self.face_texture.take(face_index)
        for number, texture in enumerate(self.textures):
            hit = np.flatnonzero(texture_index == number)
            corner_uvs = self.corner_uvs.take(face_index.take(hit), axis=0)
            uv = np.einsum("kcj,kc->kj", corner_uvs, barycentric.take(hit, axis=0))
            # take and a plain product are several times faster than `colors[hit] *= ...` where one texture covers all.
            colors[hit if len(hit) < len(colors) else ...] *= _read_texture(texture, uv)
        return colors

    def normals(self) -> np.ndarray:
        """(F, 3) float64 unit face normals by the right-hand rule; zero for a face without area."""
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        cross = np.cross(b - a, c - a)
        length = np.linalg.norm(cross, axis=1, keepdims=True)
        return np.divide(cross, length, out=np.zeros_like(cross), where=length > 0)


def plain_mesh(vertices: np.ndarray, faces: np.ndarray, color: np.ndarray | Sequence[float] = (GRAY,) * 3) -> Mesh:
    """A `Mesh` of one color: vertices (V, 3), faces (F, 3), color sRGB in [0, 1]."""
    faces = np.asarray(faces, np.int64)
    return Mesh(np.asarray(vertices, np.float64), faces,
                np.broadcast_to(np.asarray(color, np.float32), (len(faces), 3, 3)).copy(),
                np.zeros((len(faces), 3, 2), np.float32), np.full(len(faces), -1, np.int32))


def textured_mesh(vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray, face_uvs: np.ndarray, texture: np.ndarray) -> Mesh:
    """A `Mesh` with one texture: uvs (T, 2), face_uvs (F, 3) indices into uvs, texture (H, W, 3) uint8."""
    mesh = plain_mesh(vertices, faces, (1, 1, 1))
    mesh.corner_uvs = np.asarray(uvs, np.float32)[face_uvs]
    mesh.face_texture[:] = 0
    mesh.textures = [np.asarray(texture, np.uint8)]
    return mesh


def colored_mesh(vertices: np.ndarray, faces: np.ndarray, vertex_colors: np.ndarray) -> Mesh:
    """A `Mesh` with one sRGB color in [0, 1] per vertex: vertex_colors (V, 3)."""
    mesh = plain_mesh(vertices, faces)
    mesh.corner_colors = np.asarray(vertex_colors, np.float32)[mesh.faces]
    return mesh


def join_meshes(meshes: list[Mesh], textures: list) -> Mesh:
    """Several parts that share one list of textures as one `Mesh`: a list of Mesh -> Mesh, empty for none."""
    start = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    parts = [mesh if not first else Mesh(mesh.vertices, mesh.faces + first, mesh.corner_colors, mesh.corner_uvs,
                                         mesh.face_texture) for mesh, first in zip(meshes, start)]
    if not parts:
        return plain_mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    vertices, faces, colors, uvs, texture = (
        np.concatenate([getattr(mesh, name) for mesh in parts])
        for name in ("vertices", "faces", "corner_colors", "corner_uvs", "face_texture"))
    return Mesh(vertices, faces, colors, uvs, texture, textures)


def normalize(vertices: np.ndarray, faces: np.ndarray | None = None) -> np.ndarray:
    """Center the bounding box at the origin and scale its longest edge to 2 (the normalized frame).

    Args:
        vertices: (V, 3) float.
        faces: (F, 3) int or None; if given, only vertices that a face uses count for the box.
    Returns:
        (V, 3) float64. A single point goes to the origin.
    """
    vertices = np.asarray(vertices, np.float64)
    used = vertices if faces is None else vertices[np.unique(faces)]
    low, high = used.min(0), used.max(0)
    edge = (high - low).max()
    return (vertices - (low + high) / 2) * (2 / edge if edge > 0 else 1.0)


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points spread evenly over the surface by area, with normals and colors.

    Args:
        mesh: Mesh with at least one face that has area.
        count: number of points K.
        rng: numpy Generator.
    Returns:
        points (K, 3), normals (K, 3) unit, colors (K, 3) sRGB in [0, 1]; all float32.
    """
    corners = mesh.vertices[mesh.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    # Stratified: one draw in each of `count` equal slices of the total area spreads better than free draws.
    slices = (np.arange(count) + rng.random(count)) / count
    cumulative = np.cumsum(areas)
    face_index = np.searchsorted(cumulative, slices * cumulative[-1], side="right").clip(max=len(areas) - 1)
    root, other = np.sqrt(rng.random(count)), rng.random(count)
    barycentric = np.stack([1 - root, root * (1 - other), root * other], axis=1)
    points = np.einsum("kcj,kc->kj", corners[face_index], barycentric)
    colors = mesh.colors_at(face_index, barycentric)
    return points.astype(np.float32), mesh.normals()[face_index].astype(np.float32), colors.astype(np.float32)


def _read_texture(texture, uv):
    """Bilinear read of a (H, W, 3) uint8 image at uv (K, 2) float32; returns (K, 3) float32 in [0, 1].

    The image repeats outside [0, 1], but its opposite edges are never mixed: most textures are atlases.
    """
    height, width = texture.shape[:2]
    outside = (uv < 0) | (uv > 1)
    if outside.any():  # 1.0 itself is the image's far edge, which a remainder would turn into 0
        uv = np.where(outside, uv % 1, uv)
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = x - left.astype(np.float32), y - top.astype(np.float32)
    texels = texture.reshape(-1, 3)
    total = np.zeros((3, len(uv)), np.float32)  # channels first: long rows are what NumPy is fast at
    for row, column, weight in ((top, left, (1 - fx) * (1 - fy)), (top, right, fx * (1 - fy)),
                                (bottom, left, (1 - fx) * fy), (bottom, right, fx * fy)):
        total += texels.take(row * width + column, axis=0).T * (weight / 255)
    return np.ascontiguousarray(total.T)
