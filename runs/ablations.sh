#!/usr/bin/env bash
# What each step of the field's method is worth, on the validation objects: results/ablations.
set -euo pipefail
. "$(dirname "$0")/data.sh"
python evaluate.py "${REAL[@]}" --split validation --methods field,hull,mean_color --output results/ablations \
    --without photo_consistency --without network --without silhouettes --without network,photo_consistency "$@"
python -m utils.evaluation.readme_tables
