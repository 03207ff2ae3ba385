#!/usr/bin/env bash
# docs/preview.png and docs/contact_sheet.jpg, the pictures of the README. Run from the project's folder, after runs/results.sh test.
set -euo pipefail
output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT
python inference.py data/examples/shoe_900002 --output "$output"
cp "$output/shoe_900002/shoe_900002_preview.png" docs/preview.png
python -c "
import numpy
from PIL import Image
painted, gray = (numpy.asarray(Image.open(f'results/test/contact_sheet{end}.png').convert('RGB')) for end in ('', '_gray'))
rows = [sheet[:len(sheet) * 4 // 12 + 14] for sheet in (painted, gray)]  # the four worst of the twelve objects
Image.fromarray(numpy.concatenate(rows)).save('docs/contact_sheet.jpg', quality=85, optimize=True)"
