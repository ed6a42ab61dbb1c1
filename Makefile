# Everything a newcomer needs: `make run` and `make test`. Both make the environment first, if it is not there.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: env run test lint bench clean

run: env
	$(BIN)/pipeline run configs/digits.toml

# In two processes; `.venv/bin/python -m pytest` runs them in one.
test: env
	$(BIN)/python -m tests

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: env
	for name in $$($(BIN)/python -m benchmarks); do $(BIN)/python -m benchmarks.$$name --short || exit 1; done

env: $(READY)

# The stamp comes last, so an installation that was interrupted is done again.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info[:2] == (3, 11), "Python 3.11 is needed: make PYTHON=python3.11"'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

clean:
	rm -rf .venv .cache runs
