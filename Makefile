# `make` builds the environment and the whole demo report; `make test` runs the tests. See README.md.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test test-slow test-gpu check format lock clean-env

demo: $(READY)
	@$(BIN)/snakemake --cores all || { ls .snakemake/locks/* >/dev/null 2>&1 && echo "If it was killed, and no other \
	Snakemake works here: $(BIN)/snakemake --unlock, then make again goes on from where it was."; exit 1; }
	@echo "The page: reports/demo/index.html"

test: $(READY)
	$(BIN)/python -m pytest

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# On a machine with a GPU: the tests that need one and `mspn bench train`, into one JSON. It makes no environment and
# needs no network: PYTHON is one that has torch (2.11 or later) and the other packages; see docs/performance.md.
GPU_REPORT ?= results/bench/train-gpu.json
test-gpu:
	$(PYTHON) -m tests.gpu_report $(GPU_REPORT)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --dry-run --quiet
	$(BIN)/snakemake --dry-run --quiet --config scale=smoke

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# Pins every package, direct or not, at what is installed now; environment.yml is kept in step by hand, a test
# compares them.
lock: $(READY)
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	touch $@

clean-env:
	rm -rf $(VENV)
