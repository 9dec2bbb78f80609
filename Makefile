PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CORE := $(VENV)/.core-installed
DEV := $(VENV)/.dev-installed
JOBS ?= 2

.PHONY: help demo check test slow docs leaderboard reference clean

help:  ## this text
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $(CORE) $@

demo: $(CORE)  ## the main job: tune and judge replay between its floor and its bound; print the board
	$(BIN)/bench run continual er finetune joint --results demo/results --jobs $(JOBS)
	$(BIN)/bench leaderboard freeze 'continual/*' --reference finetune --ceiling joint --bound joint --results demo/results
	$(BIN)/bench leaderboard show continual --results demo/results
	$(BIN)/bench leaderboard build --results demo/results --out demo/site

check: $(DEV)  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(DEV)  ## every test that is not marked slow
	$(BIN)/pytest -n $(JOBS)

slow: $(DEV)  ## the tests that take minutes, or measure time
	$(BIN)/pytest -m slow

docs: $(DEV)  ## what README and docs/ take from --help, the rooms and results/, written anew
	$(BIN)/python tests/documents.py

leaderboard: $(CORE)  ## the site of the reference results, under site/
	$(BIN)/bench leaderboard build --results results --out site

reference: $(CORE)  ## run again what is stale of the reference results, and nothing else
	$(BIN)/bench refresh --results results --jobs $(JOBS)
	$(BIN)/bench leaderboard describe --results results
	$(BIN)/bench pack --results results

clean:  ## remove what `make` made
	rm -rf $(VENV) demo
