# Two commands on a fresh machine: `make demo` and `make test`. Both set everything up in .venv first.

PYTHON ?= python3
# An index that has PyTorch's CPU build (PyTorch's installation page names it): 4 GB less to download where there is no GPU.
TORCH_INDEX ?=
PYTEST_OPTIONS ?=
# So many processes run the tests; `tests/conftest.py` says which of them stay together.
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
SOURCES := src tests examples scripts $(wildcard benchmarks)

.DEFAULT_GOAL := help
.PHONY: help setup demo cluster test unit lint format bench docs lock clean

help:  ## Say what can be made
	@echo 'make setup    install everything into .venv (once; TORCH_INDEX=URL takes PyTorch from there, PYTHON=... another Python)'
	@echo 'make demo     train, evaluate and predict on handwritten digits, with two workers on this machine'
	@echo 'make cluster  run HDFS and YARN on this machine until Ctrl-C, to try things out on (needs Maven)'
	@echo 'make test     run all tests in JOBS=2 processes (PYTEST_OPTIONS="-k archive" narrows them)'
	@echo 'make unit     run the tests that need no Spark'
	@echo 'make lint     check style, types, the layers of the package and the Dockerfile'
	@echo 'make format   lay the source out as the style checker wants it'
	@echo 'make docs     check that every example in README.md and examples/ runs'
	@echo 'make bench    measure speed and accuracy, print a table'
	@echo 'make lock     resolve the pinned versions in constraints.txt anew'
	@echo 'make clean    remove everything that was made, .venv included'

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt overrides.txt scripts/setup.sh
	@PYTHON='$(PYTHON)' TORCH_INDEX='$(TORCH_INDEX)' VENV='$(VENV)' sh scripts/setup.sh
	@touch $@

demo: setup
	$(BIN)/python examples/demo.py

cluster: setup
	$(BIN)/python -m sparkweave.testing.cluster

test: setup
	$(BIN)/python -m pytest --numprocesses $(JOBS) --no-loadscope-reorder $(PYTEST_OPTIONS)

unit: setup
	$(BIN)/python -m pytest tests/unit --numprocesses $(JOBS) --no-loadscope-reorder $(PYTEST_OPTIONS)

lint: setup
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint deploy/Dockerfile

format: setup
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: setup
	$(BIN)/python -m benchmarks

docs: setup
	$(BIN)/python -m pytest tests/integration/test_examples.py $(PYTEST_OPTIONS)

lock: setup
	$(BIN)/uv pip compile pyproject.toml --all-extras --override overrides.txt --universal --python-version 3.11 \
	    --no-header --no-annotate --upgrade --output-file constraints.txt

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests examples scripts -name __pycache__ -type d -prune -exec rm -rf {} +
