# Everything runs in its own environment, .venv, set up once and again when pyproject.toml or constraints.txt change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

.PHONY: help test demo bench clean

help:
	@echo "make demo   pre-train, fine-tune and compare with scratch on simulated ECGs: demo/report.html"
	@echo "make test   lint, types, import rules and tests"
	@echo "make bench  speed of the parts, in figures"
	@echo "make clean  remove the environment, caches and what demo made"

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile

demo: $(READY)
	$(BIN)/ecgtransfer demo --out demo

bench: $(READY)
	@set -e; for script in benchmarks/bench_*.py; do \
	  echo "== $$script"; $(BIN)/python "$$script"; \
	done

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# torch first: its wheel is by far the largest, and on Linux brings the GPU libraries unless an index
# without them is configured. The same constraints hold for what builds the package itself.
$(READY): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) --version`. Try: make PYTHON=python3.12" >&2; exit 2; }
	@echo "setting up $(VENV) (once; downloads torch and about 125 packages)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) pip setuptools
	$(PIP) torch==2.13.0
	$(PIP) --build-constraint constraints.txt --group dev hatchling -e '.[train,cluster,trackers]'
	@touch $@
