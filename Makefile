PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CORE := $(VENV)/.core-installed
DEV := $(VENV)/.dev-installed
JOBS ?= 2

.PHONY: help demo check test slow leaderboard reference clean

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

demo: $(CORE)  ## the main job: tune and judge a method, its floor and its ceiling; build the leaderboard
	$(BIN)/bench run continual er --results demo/results --jobs $(JOBS)
	$(BIN)/bench run continual finetune --results demo/results --jobs $(JOBS)
	$(BIN)/bench run continual joint --results demo/results --jobs $(JOBS)
	$(BIN)/bench leaderboard build --results demo/results --out demo/site

check: $(DEV)  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(DEV)  ## every test that is not marked slow
	$(BIN)/pytest -n $(JOBS)

slow: $(DEV)  ## the tests that take minutes, or measure time
	$(BIN)/pytest -m slow

leaderboard: $(CORE)  ## the site of the reference results, under site/
	$(BIN)/bench leaderboard build --results results --out site

reference: $(CORE)  ## run again what is stale of the reference results, and nothing else
	$(BIN)/bench refresh --results results --jobs $(JOBS)
	$(BIN)/bench leaderboard describe --results results
	$(BIN)/bench pack --results results

clean:  ## remove what `make` made
	rm -rf $(VENV) demo
