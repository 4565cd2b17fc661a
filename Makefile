# Everything runs from a fresh clone: the first target that needs an environment makes it.
# Needs python3 >= 3.11 and a package index; nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ORACLE := .venv-oracle
SOURCES := compiler runtime grammar tests examples benchmarks docs

.PHONY: help demo fuzz test unit lint types format docs pictures oracle bench clean

help:
	@echo "make demo     train the digit classifier on real data"
	@echo "make test     lint, types and tests"
	@echo "make unit     tests only"
	@echo "make lint     ruff: rules and formatting"
	@echo "make types    pyright, strict"
	@echo "make fuzz     ten minutes of random trials"
	@echo "make format   rewrite sources in the project's format"
	@echo "make docs     rewrite the generated pages of the documentation"
	@echo "make pictures draw those of the documentation again"
	@echo "make oracle   tests against JAX, PyTorch and MLIR (large downloads)"
	@echo "make bench    benchmarks, beside JAX and PyTorch"

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dmc needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

$(ORACLE)/installed: pyproject.toml
	test -x $(ORACLE)/bin/python || $(PYTHON) -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[oracle,bench]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/python examples/digits/data.py
	$(BIN)/dmc train examples/digits/recipe.toml --overwrite
	$(BIN)/dmc ir examples/digits/digits.dm loss --stage all --output examples/digits/run/ir \
		--sizes B=64,net.I=64,net.H=256,net.O=10

test: lint types unit

unit: $(VENV)/installed
	$(BIN)/pytest -n auto

lint: $(VENV)/installed
	$(BIN)/ruff check $(wildcard $(SOURCES))
	$(BIN)/ruff format --check $(wildcard $(SOURCES))

types: $(VENV)/installed
	$(BIN)/pyright

format: $(VENV)/installed
	$(BIN)/ruff check --fix $(wildcard $(SOURCES))
	$(BIN)/ruff format $(wildcard $(SOURCES))

docs: $(VENV)/installed
	$(BIN)/python docs/generate.py

# All of them take minutes. `make pictures PICTURES="vae race"`
pictures: $(VENV)/installed
	$(BIN)/python -m examples $(PICTURES)

oracle: $(ORACLE)/installed
	$(ORACLE)/bin/pytest -n auto -m oracle

# The peers that dmc is timed beside are in the oracles' environment. `make bench BENCH="--only mlp"`
bench: $(ORACLE)/installed
	$(ORACLE)/bin/python -m benchmarks $(BENCH)

# `make fuzz FUZZ="--seconds 3600 --family sources --seed 100000"`
fuzz: $(VENV)/installed
	$(BIN)/python -m tests.fuzz $(FUZZ)

clean:
	rm -rf $(VENV) $(ORACLE) build dist
