# Everything runs in a virtual environment of its own, .venv, built from requirements.lock.
# Needed: make and Python >= 3.11. uv, where there is one, only makes it faster.

SHELL  := /bin/sh
BIN    := .venv/bin
PYTHON_CANDIDATES := python3.13 python3.12 python3.11 python3

# The environment is current when a file of this name exists: it changes with what it is built from.
STAMP  := .venv/.built-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')

# Libraries that only `make bench` uses, to compare with. Apart, so that nobody else has them.
PEERS := .venv/peers/.built-$(shell cksum < benchmarks/peers.lock | tr ' ' '-')

# Folders of tests that need no server.
UNIT_TESTS := $(wildcard tests/unit tests/architecture)
SOURCES    := $(wildcard orchestrator workers migrations examples tests benchmarks docs)

MAKEFLAGS += --no-print-directory

# Some machines set these for all programs. Without bytecode every process starts in twice the time,
# and a strange path or environment would mix other packages with ours.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup demo tour dev test lint check chaos mutants bench lock clean

help:  ## Show this list
	@echo "Targets:"
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "  make %-7s %s\n", $$1, $$2 }'

setup: $(STAMP)  ## Build .venv from the lock file (nothing to do when it is current)
	@:

demo: $(STAMP)  ## Audit a real code base with a tree of agents (SOURCE=path for another one)
	@$(BIN)/orchestrator demo $(if $(SOURCE),--source "$(SOURCE)")

tour: $(STAMP)  ## Prove six things that are promised, each with what it shows
	@$(BIN)/orchestrator demo --tour

dev: $(STAMP)  ## Run the whole stack until Ctrl-C
	@$(BIN)/orchestrator dev

test: $(STAMP)  ## Run all tests, on real servers
	@$(BIN)/pytest

lint: $(STAMP)  ## Format, lint, types, floors
	@echo "format"; $(BIN)/ruff format --check --quiet $(SOURCES) || { echo "To repair: .venv/bin/ruff format"; exit 1; }
	@echo "lint";   $(BIN)/ruff check --quiet $(SOURCES)
	@echo "types";  $(BIN)/mypy --no-error-summary
	@echo "floors"; $(BIN)/lint-imports > .venv/floors.log || { cat .venv/floors.log; exit 1; }

check: lint  ## The same, and the unit tests
	@echo "unit tests"; $(BIN)/pytest -q $(UNIT_TESTS)

chaos: $(STAMP)  ## Kill, cut and wipe everything under load, and judge all rules (MINUTES=5 SEED=7)
	@$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes "$(MINUTES)") $(if $(SEED),--seed "$(SEED)")

mutants: $(STAMP)  ## Seed hundreds of mistakes into the gate's scripts; its models must find each (an hour)
	@$(BIN)/python -m tests.gate.mutants

bench: $(STAMP) $(PEERS)  ## Measure latency and throughput, beside bare Celery, other libraries and the floor
	@$(BIN)/python -m benchmarks

lock:  ## Resolve the dependencies again into requirements.lock (needs uv)
	@uv pip compile pyproject.toml --all-extras --universal --upgrade --generate-hashes \
	    --no-annotate --no-header --quiet --output-file requirements.lock
	@uv pip compile --group peers --overrides requirements.lock --universal --upgrade --generate-hashes \
	    --no-annotate --no-header --quiet --output-file benchmarks/peers.lock

clean:  ## Remove .venv and all caches (the data in .orchestrator stay)
	@rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +

$(STAMP):
	@python=; unfit=; \
	for one in $(PYTHON_CANDIDATES); do \
	  $$one -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  $$one -c 'import ensurepip, venv' 2>/dev/null && python=$$one && break; \
	  unfit=$$one; \
	done; \
	rm -rf .venv; \
	if uv --version >/dev/null 2>&1 && [ -n "$$python$$unfit" ]; then \
	  $(MAKE) -s .with-uv PYTHON=$${python:-$$unfit} && touch $@ && exit 0; \
	  echo "uv could not do it; trying pip"; rm -rf .venv; \
	fi; \
	if [ -n "$$python" ]; then $(MAKE) -s .with-pip PYTHON=$$python && touch $@ && exit 0 || exit 1; fi; \
	if [ -n "$$unfit" ]; then \
	  echo "$$unfit cannot make virtual environments. On Debian or Ubuntu: apt install $$unfit-venv" >&2; \
	else \
	  echo "There is no Python >= 3.11 here (looked for: $(PYTHON_CANDIDATES))." >&2; \
	  echo "On Debian or Ubuntu: apt install python3 python3-venv" >&2; \
	fi; exit 1

# uv must use the Python that is here: a download would be a need for another network address.
.PHONY: .with-uv .with-pip
.with-uv: export UV_PYTHON_DOWNLOADS := never
.with-uv:
	@echo "Building .venv with uv"
	@uv venv --quiet --python "$(PYTHON)" .venv
	@uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes --no-deps -r requirements.lock
	@uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .

PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
.with-pip:
	@echo "Building .venv with pip"
	@"$(PYTHON)" -m venv .venv
	@$(PIP) install --progress-bar off --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .

# Without them the benchmark still runs, and says what it was not compared with.
$(PEERS): | $(STAMP)
	@echo "Adding what is only compared with, into .venv/peers"
	@rm -rf .venv/peers && mkdir -p .venv/peers
	@uv pip install --quiet --python $(BIN)/python --target .venv/peers --require-hashes --no-deps \
	    -r benchmarks/peers.lock 2>/dev/null \
	  || $(PIP) install --progress-bar off --target .venv/peers --require-hashes --no-deps \
	    -r benchmarks/peers.lock \
	  || { echo "They could not be installed; measuring without them."; exit 0; }; touch $@
