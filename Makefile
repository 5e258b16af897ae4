# Every target makes .venv itself when it is missing or older than the files that describe it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-from-project-files
ROUNDS ?= 200
MINUTES ?= 60
SEED ?=
JS := tests/judges/js
JS_STAMP := $(JS)/node_modules/.made-from-lock
# Bounds what needs the network but may fail; macOS has no `timeout`.
BOUNDED := $(if $(shell command -v timeout),timeout -k 10 180)
FLIPS ?= 1000
FUZZ_SECONDS ?= 600

.PHONY: demo test lint types imports notebooks bench fixtures judges constraints kill-test official-hour damage fuzz chaos check clean

demo: $(STAMP)
	$(BIN)/kiterec demo

test: $(STAMP) judges
	@[ "$$KITEREC_COMPILED" = 0 ] || $(BIN)/python -m kiterec.compiled
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "kiterec needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo 'setting up $(VENV), once, about a minute' >&2
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint,notebooks]'
	touch $@

# The vendor's JavaScript client, beside its Python client the judge of replays. Without Node.js, npm or network
# its tests are skipped, and say so.
judges:
	@if [ $(JS_STAMP) -nt $(JS)/package-lock.json ]; then exit 0; \
	elif ! command -v npm >/dev/null; then echo 'no npm here: the tests with the JavaScript client are skipped' >&2; \
	elif cd $(JS) && $(BOUNDED) npm ci --ignore-scripts --loglevel=silent; then touch node_modules/$(notdir $(JS_STAMP)); \
	else rm -rf node_modules; echo 'npm ci failed in $(JS): the tests with the JavaScript client are skipped' >&2; fi

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

notebooks: $(STAMP)
	$(BIN)/python notebooks/run.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks

fixtures: $(STAMP)
	$(BIN)/python tests/fixtures/make_recording.py

kill-test: $(STAMP) judges
	$(BIN)/python -m tests.kill_loop --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

official-hour: $(STAMP)
	$(BIN)/python -m tests.official_hour --minutes $(MINUTES) --instruments 3000 $(if $(SEED),--seed $(SEED))

damage: $(STAMP)
	$(BIN)/python -m tests.damage --flips $(FLIPS) $(if $(SEED),--seed $(SEED))

fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(if $(SEED),--seed $(SEED))

chaos: $(STAMP)
	$(BIN)/python -m tests.feed.chaos $(if $(SEED),--seed $(SEED))

# The newest versions that pyproject.toml allows, written down so that every set-up gets the same ones.
constraints:
	rm -rf $(VENV)-newest
	$(PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,lint,notebooks,fuzz]'
	{ echo '# Made by `make constraints`; do not edit.'; \
	  $(VENV)-newest/bin/python -m pip freeze --disable-pip-version-check --exclude-editable | grep -v '^kiterec'; } > constraints.txt
	rm -rf $(VENV)-newest

check: test lint types imports notebooks

clean:
	rm -rf $(VENV) $(JS)/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
