#!/usr/bin/env bash
# What more objects, and a larger network, are worth to the field: results/learning_curves, docs/figures/learning_curves.png.
#   runs/learning_curves.sh [FOLDER FOR ITEMS AND RUNS]    (about 15 GB; what is there already goes on where it stopped)
#
# Every run learns from 8000 samples (2000 steps of four), however many objects they are drawn from, and is judged on the
# same 48 real objects. Without features of the images, so that a CPU core does it: 20 minutes a run, and one second for
# each object that no run has asked for before.
set -euo pipefail
. "$(dirname "$0")/data.sh"
work=${1:-data/learning_curves}
samples=8000 runs=()
run() {  # NAME SHARE-OF-THE-306 GENERATED CHANNELS, and how many objects that is
    local name=$1 share=$2 generated=$3 channels=$4 objects=$5
    local last="$work/$name/geometry_field_last.pth" epochs=$(((samples + objects - 1) / objects)) resume=()
    if [ -f "$last" ]; then resume=(--resume); fi
    python train_field.py "${REAL[@]}" --training_share "$share" --field_generated "$generated" --field_widths "$channels" \
        --field_image_widths 0 --field_variants 0 --batch_size_stage1 4 --mixed_precision bf16 --num_epochs_stage1 "$epochs" \
        --validate_every $(((epochs + 9) / 10)) --learning_rate_field 1e-3 --average_weights 0.99 --sheet_objects 0 \
        --cache_dir "$work/items" --checkpoint_dir "$work/$name" --log_dir "$work/$name" "${resume[@]}"
    runs+=("$work/$name")
}
run real_154 0.503 0 16,32,64,96 154
run real_306 1 0 16,32,64,96 306
run mixed_1000 1 694 16,32,64,96 1000
run small_1000 1 694 8,16,32,48 1000
run large_1000 1 694 32,64,128,192 1000
run mixed_8000 1 7694 16,32,64,96 8000
mkdir -p results/learning_curves
python -m utils.compare_runs "${runs[@]}" --output docs/figures/learning_curves.png | tee results/learning_curves/runs.txt
