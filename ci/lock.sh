#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Write the lock files anew from pyproject.toml, for every system, with hashes:
#   ci/constraints.txt   all extras: what `make test` and CI install
#   ci/demo.txt          the same versions of what `make demo` needs, so that a bare machine needs no compiler
# Run it after changing dependencies; read the difference before committing it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
"$python" -m pip install --quiet uv

lock() {  # output file, head line, arguments
    local output=$1 head=$2
    shift 2
    "$python" -m uv pip compile "$@" --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --no-header --no-annotate --quiet --output-file "$output.new"
    { echo "# $head; written by ci/lock.sh."; cat "$output.new"; } > "$output"
    rm "$output.new"
}

lock ci/constraints.txt "What was tested, with hashes" pyproject.toml --all-extras
echo hatchling > ci/demo.in  # builds the checkout's own package
lock ci/demo.txt "What make demo installs: a part of constraints.txt" \
    pyproject.toml ci/demo.in --extra virtual --constraints ci/constraints.txt
rm ci/demo.in
