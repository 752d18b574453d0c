# SPDX-License-Identifier: MIT
# What a person calls; CI calls nothing else. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install
STUBS := build/stubs/.ready
N ?= 1

# Tests about the repository itself: quick, and the first to run.
HOUSE := $(addprefix tests/unit/test_, import_direction.py messages.py spdx.py pyproject.py)
READMES := README.md CONTRIBUTING.md boards/virtual/README.md $(wildcard host/pages/*.md)

.PHONY: help demo test check bench nightly clean

help:
	@echo "make demo     three virtual nodes, from build to report (build/demo)"
	@echo "make test     all tests"
	@echo "make check    style, types, import directions, messages, README"
	@echo "make bench    benchmarks (build/bench)"
	@echo "make nightly  the long campaigns (build/nightly); N= scales them"

# What it takes to run communode: enough for the demo.
$(RUNS): ci/demo.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "communode needs Python 3.11 or later; say which with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo "Python's venv is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r ci/demo.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# And what it takes to test it.
$(READY): ci/constraints.txt $(RUNS)
	$(PIP) --require-hashes -r ci/constraints.txt
	@touch $@

# MicroPython's type stubs replace the standard library's: they live apart from everything else.
$(STUBS): ci/stubs.txt $(READY)
	$(PIP) --require-hashes --no-deps --target build/stubs --upgrade -r ci/stubs.txt
	@touch $@

demo: $(RUNS)
	$(BIN)/communode demo

test: $(READY)
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not nightly and not realtime"
	$(BIN)/python -m pytest -q -m "realtime and not nightly"

check: $(READY) $(STUBS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check -q .
	$(BIN)/mypy
	$(BIN)/python tools/device_types.py build/stubs
	$(BIN)/python tools/check_budgets.py
	$(BIN)/python -m pytest -q $(HOUSE)
	$(BIN)/python tools/readme_blocks.py $(READMES)

bench: $(READY)
	$(BIN)/python -m pytest -q -s --timeout 0 tests/benchmarks --out build/bench

nightly: $(READY)
	COMMUNODE_SCALE=$(N) $(BIN)/python -m pytest -q -m nightly --timeout 0 tests

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
