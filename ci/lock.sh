#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Write ci/constraints.txt anew from pyproject.toml: every package of every extra, for every system, with hashes.
# Run it after changing dependencies; read the difference before committing it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
"$python" -m pip install --quiet uv
"$python" -m uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet --output-file ci/constraints.new
{
    echo "# What was tested, with hashes; written by ci/lock.sh."
    cat ci/constraints.new
} > ci/constraints.txt
rm ci/constraints.new
