# Two commands do everything: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
DATA ?= data
HTTP ?= 127.0.0.1:8080
DICOM ?= 127.0.0.1:11112
AET ?= PACS
VIEWER_SOURCES := $(shell find viewer -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

.PHONY: help setup run test lint unit soak bench clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: .venv/ready pacs/portal/built/index.html ## .venv with everything for development, and the built page

run: setup ## start the archive on this machine; DEMO=1 loads a CT and an MR study first
ifneq ($(filter 1 yes true,$(DEMO)),)
	@$(BIN)/python config/demo.py --data $(DATA)
endif
	exec $(BIN)/pacs serve --data $(DATA) --http $(HTTP) --dicom $(DICOM) --aet $(AET)

test: setup lint ## install what the tests need and run them all
	@./config/install-test-tools
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile -m 'not alone' --durations=15
	$(BIN)/python -m pytest -m alone --durations=5
	cd viewer && npm test

lint: .venv/ready ## style, types, and the layer rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## measure against Orthanc, pynetdicom, storescp, nginx; at 1 M studies; 8 x 2 GB (90 minutes, 30 GB)
	@./config/install-test-tools --peers
	$(BIN)/python -m benchmarks.side_by_side
	$(BIN)/python -m benchmarks.ingest_at_scale
	$(BIN)/python -m benchmarks.memory --folder .
	$(BIN)/python -m benchmarks.hot_paths
	$(BIN)/python -m benchmarks.hot_paths --ingest
	$(BIN)/python -m benchmarks.metadata
	$(BIN)/python -m benchmarks.rendered
	$(BIN)/python -m benchmarks.transcoding
	$(BIN)/python -m benchmarks.search --studies 1000 100000 1000000

soak: setup ## long runs: thousands of crashes, fuzzing, 8 x 2 GB at once (hours; PACS_POWER_CUTS=300 for fewer)
	@./config/install-test-tools
	PACS_SOAK=1 $(BIN)/python -m pytest tests/crash tests/hostile tests/part10 tests/dimse tests/dicomweb \
		tests/pixels tests/storage tests/ingest tests/contract --timeout=7200 --durations=15

clean: ## remove the environment and the built page, keep the data
	rm -rf .venv viewer/node_modules pacs/portal/built

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make setup PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || ./config/install-test-tools --venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

pacs/portal/built/index.html: $(VIEWER_SOURCES)
	@command -v npm >/dev/null || { echo "Node 20 with npm is needed to build the page"; exit 1; }
	cd viewer && npm ci --no-audit --no-fund --loglevel=error && npm run build
	@touch $@
