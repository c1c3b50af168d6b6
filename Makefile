# ID-PreFeR: every command creates or refreshes the environment in .venv by itself.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two processes of four threads are slower than two of one; `make test THREADS=8` on a large machine.
THREADS ?= 1
# Most tests wait for processes of their own: two at a time take little more than half as long as one by one.
WORKERS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OMP_NUM_THREADS ?= $(THREADS)

.PHONY: help install demo test prove check bench judge clean

help: ## list these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(STAMP) ## create .venv and install everything into it (the other commands do so themselves)

demo: $(STAMP) ## personalize on two portraits, restore a third one in a whole picture, write demo-output/
	$(BIN)/idprefer demo

test: $(STAMP) ## the tests, as CI runs them: four to seven minutes on two cores
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

prove: $(STAMP) ## the long evidence; goes on where it was stopped
	$(BIN)/pytest -m prove

check: $(STAMP) ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

bench: $(STAMP) ## how fast: personalizing, restoring, against the plain alternative
	$(BIN)/python -m lab.bench

JUDGE := .work/judges
judge: ## fetch the judge of published figures into .work/judges (7 MB are kept; needs npm)
	@mkdir -p $(JUDGE)
	cd $(JUDGE) && npm pack --silent @vladmandic/human@3.3.6 && \
	  tar xzf vladmandic-human-3.3.6.tgz --strip-components=2 package/models/faceres.json package/models/faceres.bin && \
	  rm vladmandic-human-3.3.6.tgz

clean: ## remove the environment and everything generated
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache demo-output build *.egg-info

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "got $$($(PYTHON) --version), wanted Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) (once; about two minutes)..."
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]' -e clients/python
	@touch $@
