#!/usr/bin/env bash
# Simulated photographs (level photo) of the validation objects without their bottom, and without top and bottom:
# results/five_views and results/four_views, to be held beside results/photographs_photo.
# $1: folder of the photographs that runs/photographs.sh made.
set -euo pipefail
. "$(dirname "$0")/data.sh"
photos=${1:-data/photographs}
images="$photos/photo/$(basename "$MITO3D_REAL_OBJECTS")/input_images,$photos/photo/$(basename "$MITO3D_MORE_OBJECTS")/input_images"
judge() {
    python evaluate.py --obj_dir "$MITO3D_REAL_OBJECTS/OBJs,$MITO3D_MORE_OBJECTS/OBJs" --images_dir "$images" \
        --split_file data/splits/real_objects.txt --split validation --photographs --methods field "$@"
}
judge --views front,back,left,right,top --output results/five_views "${@:2}"
judge --views front,back,left,right --output results/four_views "${@:2}"
python -m utils.evaluation.readme_tables
