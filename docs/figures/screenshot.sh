#!/usr/bin/env bash
# docs/viewer.jpg: what Chromium shows of an example's page. Run from the project's folder, with Chromium (or MITO3D_BROWSER).
set -euo pipefail
output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT
python inference.py data/examples/photo_shoe --output "$output"
"${MITO3D_BROWSER:-chromium}" --headless=new --no-sandbox --use-angle=swiftshader --enable-unsafe-swiftshader --hide-scrollbars \
    --user-data-dir="$output/profile" --log-level=3 --window-size=1200,760 --virtual-time-budget=5000 --screenshot="$output/shot.png" \
    "file://$output/photo_shoe/photo_shoe_viewer.html#light=1"
python -c "
from PIL import Image
Image.open('$output/shot.png').convert('RGB').save('docs/viewer.jpg', quality=88, optimize=True)"
