# What a person does with this project. Everything runs in .venv, made from the hash-pinned lock files.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
DATA_DIR ?= ./data
# Two workers, each with whole files: a file's tests share what is dear to build.
PYTEST_ARGS ?= -n 2 --dist loadfile
UV := build/lock-venv/bin/uv
COMPILE := $(UV) pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --quiet
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run-stamp ## Start alloyd on ./data (DATA_DIR=...); installs itself the first time
	@exec $(BIN)/alloyd serve --data-dir $(DATA_DIR)

.PHONY: dev
dev: $(VENV)/.dev-stamp ## Install what tests, checks and packaging need

.PHONY: test
test: $(VENV)/.dev-stamp ## Run the whole test suite
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: check
check: lint test ## Format, lint, types and all tests: what has to be green

.PHONY: lint
lint: $(VENV)/.dev-stamp ## Format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.dev-stamp ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/.dev-stamp ## Measure this machine; prints figures and asserts nothing; BENCH_ARGS="--help" tells more
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

.PHONY: load
load: $(VENV)/.dev-stamp ## 1,000 SSE readers and 200 WebSockets at 200 runs/s: fails on a lost or repeated event, or growth; LOAD_ARGS=--soak
	$(BIN)/python -m tests.load $(LOAD_ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.dev-stamp ## Try every route of /openapi.json with schemathesis and all its checks; FUZZ_ARGS="--max-examples 100"
	$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

.PHONY: package
package: $(VENV)/.dev-stamp ## Build dist/alloyd and the Debian package
	$(BIN)/python packaging/build.py

.PHONY: docs
docs: $(VENV)/.dev-stamp ## Make the generated documents anew
	$(BIN)/python -m alloyd.config.docs
	$(BIN)/python -m alloyd.cli.reference
	$(BIN)/python -m alloyd.db.migrate
	$(BIN)/python -m alloyd.domain.operations.manual

.PHONY: openapi
openapi: $(VENV)/.dev-stamp ## Make openapi.json and alloyd.proto anew, after a change of the API that is meant
	ALLOYD_WRITE_GOLDEN=1 $(BIN)/python -m pytest -q tests/wire/test_openapi_golden.py tests/wire/grpc/test_proto_golden.py

.PHONY: lock
lock: $(UV) ## Make the lock files anew from pyproject.toml
	$(COMPILE) pyproject.toml --group build -o requirements.lock
	$(COMPILE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

.PHONY: clean
clean: ## Remove what was built and installed here; keeps ./data
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find alloyd tests packaging -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@python=$$(PYTHON="$(PYTHON)" sh packaging/find-python) && echo "making $(VENV) with $$($$python --version)" && \
		$$python -m venv --clear $(VENV) && touch $@

$(VENV)/.run-stamp: $(VENV)/.made requirements.lock pyproject.toml
	@echo "installing from requirements.lock"
	@$(PIP) install --no-deps --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.dev-stamp: $(VENV)/.run-stamp requirements-dev.lock
	@echo "installing from requirements-dev.lock"
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

$(UV):
	python=$$(PYTHON="$(PYTHON)" sh packaging/find-python) && $$python -m venv build/lock-venv && \
		build/lock-venv/bin/pip --disable-pip-version-check install --quiet uv
