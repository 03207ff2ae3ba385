#!/usr/bin/env bash
# The shipped field from nothing, by one command that goes on where it was stopped when given --resume:
#   runs/weights.sh [OPTIONS OF train_field.py]
# It trains on the objects that data/splits/real_objects.txt says train, and chooses its epoch on the validation ones.
set -euo pipefail
. "$(dirname "$0")/data.sh"
python train_field.py "${REAL[@]}" "$@"
python -m utils.io.checkpoint checkpoints/geometry_field_best.pth checkpoints/pretrained/geometry_field_best.pth --half
