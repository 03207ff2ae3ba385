#!/usr/bin/env bash
# The classic path and the baselines that need no images of the object or no network, on one split: results/baselines.
set -euo pipefail
. "$(dirname "$0")/data.sh"
split=${1:-test}
python evaluate.py "${REAL[@]}" --split "$split" --methods points,hull,nearest,mean_shape,floor --output results/baselines \
    "${@:2}"
python -m utils.evaluation.readme_tables
