"""A small result as the pipeline would hand it over: a leaning box in colors that tell its sides apart; and a browser."""
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from PIL import Image

from config import VIEW_NAMES
from utils.mesh.textured_mesh import TexturedMesh
from utils.rendering.rasterizer import render_views
from utils.rendering.uv_atlas import make_atlas
from utils.views.six_views import SixViews

TEXTURE = 256
SIZE = 128


@pytest.fixture(scope="session")
def result(tmp_path_factory):
    """mesh: TexturedMesh, closed, of normalized size; views: SixViews that show exactly it."""
    solid = trimesh.creation.box((0.8, 0.6, 2.0)).subdivide().subdivide().subdivide()
    vertices, faces = np.asarray(solid.vertices), np.asarray(solid.faces)
    vertices[:, 0] += 0.25 * vertices[:, 1]  # front and back differ from their mirror images
    atlas = make_atlas(vertices, faces, TEXTURE)
    points = (vertices[faces[atlas.texel_faces]] * atlas.texel_weights[..., None]).sum(1)
    texture = np.full((TEXTURE * TEXTURE, 3), 128, np.uint8)
    texture[atlas.texels] = np.round(255 * (0.5 + points / [1.4, 0.8, 2.2]).clip(0, 1))
    mesh = TexturedMesh(vertices, faces, atlas.uvs, atlas.face_uvs, texture.reshape(TEXTURE, TEXTURE, 3))
    drawn = np.stack(list(render_views(mesh.as_mesh(), SIZE).values()))
    folder = Path(tmp_path_factory.mktemp("views"))
    paths = [folder / f"{view}.png" for view in VIEW_NAMES]
    for path, image in zip(paths, drawn):
        Image.fromarray(image).save(path)
    alpha = drawn[..., 3:].astype(np.float32) / 255
    views = SixViews("leaning", drawn[..., :3] / np.float32(255) * alpha + 1 - alpha, alpha[..., 0], paths,
                     confidence=np.ones(6))
    return SimpleNamespace(mesh=mesh, views=views)


@pytest.fixture
def browse(tmp_path):
    """Function: (page, address fragment, width, height) -> what Chromium shows, (H, W, 3) uint8, and its console's lines."""
    names = [os.environ.get("MITO3D_BROWSER", ""), "chromium", "chromium-browser", "google-chrome"]
    program = next((found for name in names if name and (found := shutil.which(name))), None)
    if not program:
        pytest.skip("needs Chromium (MITO3D_BROWSER names it where it has another name)")

    def show(page, fragment="", width=912, height=512):
        shot = tmp_path / "shot.png"
        shot.unlink(missing_ok=True)
        # Software rendering: a test machine has no screen and seldom a graphics card
        done = subprocess.run(
            [program, "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
             "--hide-scrollbars", "--force-device-scale-factor=1", f"--window-size={width},{height}",
             f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=5000",
             f"--screenshot={shot}", Path(page).as_uri() + (f"#{fragment}" if fragment else "")],
            capture_output=True, text=True, timeout=100)
        assert shot.is_file(), done.stderr[-2000:]
        return (np.asarray(Image.open(shot).convert("RGB")),
                [line for line in done.stderr.splitlines() if "CONSOLE" in line])
    return show
