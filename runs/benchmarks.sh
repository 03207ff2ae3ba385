#!/usr/bin/env bash
# Speed and memory of the parts, on this machine: results/benchmarks/table.md. Needs no data of yours.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p results/benchmarks
python -m benchmarks --markdown results/benchmarks/table.md "$@"
