# The project's commands. `make help` lists them.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-bench
TESTBEDS := .venv-testbeds

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-monetdb monetdb test test-testbeds check format lint types contracts docs coverage bench bench-search lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $(READY)

setup: $(READY) ## create .venv from the lock file

demo: $(READY) ## run the main job: choose the hyperparameters of an image classifier
	$(BIN)/optiprov optimize experiments/digits/optimization.py --seed 1

demo-monetdb: $(READY) ## run a short demo with its provenance in MonetDB
	$(BIN)/python -m tests.monetdb.demo

monetdb: $(READY) ## fetch the engine of MonetDB, for tests
	$(BIN)/python -m tests.monetdb.engine

test: $(READY) ## run the tests
	-@$(BIN)/python -m tests.monetdb.engine
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

$(TESTBEDS)/.ready: tests/enoslib/requirements.lock pyproject.toml
	$(PYTHON) -m venv $(TESTBEDS)
	$(TESTBEDS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	$(TESTBEDS)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

test-testbeds: $(TESTBEDS)/.ready ## run the tests that need EnOSlib, in an environment of their own
	$(TESTBEDS)/bin/python -m pytest --confcutdir tests/enoslib -p no:cacheprovider tests/enoslib

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(READY) ## check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY) ## check types
	$(BIN)/mypy

contracts: $(READY) ## check which package imports which
	$(BIN)/lint-imports --no-cache

docs: $(READY) ## write the references in the documentation from the code
	$(BIN)/python docs/write_cli_reference.py
	$(BIN)/python docs/write_api_reference.py
	$(BIN)/python docs/write_store_reference.py

coverage: $(READY) ## run the tests and show which lines they do not reach
	$(BIN)/python -m pytest --cov --cov-report=term-missing

check: lint types contracts test test-testbeds ## all that CI checks

$(PEERS)/.ready: experiments/overhead/requirements.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

bench: $(READY) $(PEERS)/.ready ## measure overhead, queries and deploying beside the peers (FlowCept needs redis-server)
	$(BIN)/python experiments/overhead/benchmark.py --peers $(PEERS)/bin/python

bench-search: $(READY) ## measure how good the searchers are, beside the peers that are installed
	$(BIN)/python -m experiments.search_quality.benchmark

lock: $(READY) ## write requirements.lock, and those of the other environments, anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra ansible --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
		--upgrade --output-file requirements.lock
	$(BIN)/python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
		print(*p['optional-dependencies']['bench'], sep='\n')" | \
	$(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" --upgrade \
		--output-file experiments/overhead/requirements.lock
	$(BIN)/python -c "import re, tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
		needed = 'click jinja2 paho-mqtt pyyaml rich editables hatchling pytest pytest-timeout'.split(); \
		some = [r for r in [*p['dependencies'], *p['optional-dependencies']['dev']] if re.split('[<>=]', r)[0] in needed]; \
		print(*some, *p['optional-dependencies']['testbeds'], sep='\n')" | \
	$(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" --upgrade \
		--output-file tests/enoslib/requirements.lock

clean: ## remove what the commands made, results excepted
	rm -rf $(VENV) $(PEERS) $(TESTBEDS) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
