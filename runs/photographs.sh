#!/usr/bin/env bash
# Simulated photographs of the validation objects at three levels: results/photographs_{perspective,hand,photo}.
# $1: folder for the photographs (about 1 MB an object and level).
set -euo pipefail
. "$(dirname "$0")/data.sh"
photos=${1:-data/photographs}
ids=$(awk '$2 == "validation" { print $1 }' data/splits/real_objects.txt)
for level in perspective hand photo; do
    for objects in "$MITO3D_REAL_OBJECTS" "$MITO3D_MORE_OBJECTS"; do
        there=()
        for id in $ids; do
            if [ -d "$objects/OBJs/$id" ]; then there+=("$id"); fi
        done
        python -m utils.photograph_dataset --obj_dir "$objects/OBJs" --output "$photos/$level/$(basename "$objects")" \
            --level "$level" --ids "${there[@]}"
    done
    images="$photos/$level/$(basename "$MITO3D_REAL_OBJECTS")/input_images"
    images+=",$photos/$level/$(basename "$MITO3D_MORE_OBJECTS")/input_images"
    python evaluate.py --obj_dir "$MITO3D_REAL_OBJECTS/OBJs,$MITO3D_MORE_OBJECTS/OBJs" --images_dir "$images" \
        --split_file data/splits/real_objects.txt --split validation --photographs --methods field,hull \
        --output "results/photographs_$level" "${@:2}"
done
python -m utils.evaluation.readme_tables
