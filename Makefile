# `make` builds the environment and the whole demo report; `make test` runs the tests. See README.md.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test test-slow test-gpu check format lock clean-env

# After a kill it goes on by itself; where a lock was left, the last line says what to do.
demo: $(READY)
	@began=$$(date +%s); $(BIN)/snakemake --cores all --rerun-incomplete || \
		{ $(BIN)/mspn doctor --failures .snakemake/log --since $$began; exit 1; }
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

# PyPI's torch for Linux brings CUDA's libraries along, about 5.5 GB in all; with CPU=1 it comes without, about 1 GB.
CPU_TORCH := https://download.pytorch.org/whl/cpu

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
ifdef CPU
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --index-url $(CPU_TORCH) --extra-index-url \
	    https://pypi.org/simple "$$(grep '^torch==' requirements.lock)+cpu"
endif
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	touch $@

clean-env:
	rm -rf $(VENV)
