#!/usr/bin/env bash
# The main table: the field beside the hull and the other baselines, on the real objects of one split.
#   runs/results.sh validation       -> results/validation
#   runs/results.sh test             -> results/test: nothing is chosen on it, so run it once, at the end
set -euo pipefail
. "$(dirname "$0")/data.sh"
split=${1:-validation}
python evaluate.py "${REAL[@]}" --split "$split" --methods field,hull --output "results/$split" "${@:2}"
python -m utils.evaluation.readme_tables
