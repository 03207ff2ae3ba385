#!/usr/bin/env bash
# Synthetic shoes that nothing was trained on, made here: needs no data of yours. results/shoes.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data/synthetic_shoes_500}
python -m utils.training_data.synthetic.shoes --count 500 --first_seed 20000 --image_size 128 --output "$data"
python evaluate.py --obj_dir "$data/OBJs" --images_dir "$data/input_images" --seed 0 --validation_fraction 0.03 \
    --methods field,hull,nearest,mean_shape,floor,mean_color --output results/shoes "${@:2}"
python -m utils.evaluation.readme_tables
