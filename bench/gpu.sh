#!/usr/bin/env bash
# All GPU measurements: `bash bench/gpu.sh --out gpu.json`; `--help` explains.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
for package in lob-core marl-envs marl-algos; do
    PYTHONPATH="$root/packages/$package/src${PYTHONPATH:+:$PYTHONPATH}"
done
export PYTHONPATH
exec "${PYTHON:-python3}" "$root/bench/gpu.py" "$@"
