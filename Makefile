# Everything that a person or a pipeline runs. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ROOMS := governance lineage policies explain ui
# Strict editable mode links files one by one: a file that came or went needs a reinstall.
LISTING := $(shell find $(ROOMS) -type f -not -path '*/__pycache__/*' | LC_ALL=C sort | cksum | cut -d' ' -f1)

.PHONY: help demo test lint types check bench policies screenshots dev constraints clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t16

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.demo-$(LISTING): $(BIN)/uv pyproject.toml constraints.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --constraint constraints.txt --reinstall-package affidavit --editable '.[all]'
	@rm -f $(VENV)/.demo-*; touch $@

$(VENV)/.dev-$(LISTING): $(BIN)/uv pyproject.toml constraints.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --constraint constraints.txt --reinstall-package affidavit --editable '.[all]' --group dev
	@rm -f $(VENV)/.dev-* $(VENV)/.demo-*; touch $@ $(VENV)/.demo-$(LISTING)

dev: $(VENV)/.dev-$(LISTING) ## create the environment for development

demo: $(VENV)/.demo-$(LISTING) ## install, then run the whole loop on real data
	$(BIN)/affidavit demo

lint: dev ## ruff, formatting and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev ## mypy, strict
	$(BIN)/mypy

test: lint types ## lint, types and tests
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

bench: dev ## speed and memory, with the peers in the same run
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --constraint constraints.txt --group bench
	$(BIN)/python benchmarks/run.py

policies: dev ## compile the policy packs to WebAssembly with the installed opa
	$(BIN)/affidavit policy build policies/packs --output policies

constraints: $(BIN)/uv ## resolve the newest versions into constraints.txt
	(head -1 constraints.txt; $(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --no-header --no-emit-index-url --no-annotate pyproject.toml --all-extras --group dev --group bench) > constraints.tmp
	mv constraints.tmp constraints.txt

screenshots: dev ## photograph every page of the app with the demo's ledger
	$(BIN)/python docs/screenshots.py

clean: ## remove the environment and what was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
