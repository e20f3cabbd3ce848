# Everything a person does with a checkout. `make` alone lists it.
PYTHON ?= python3
ARGS ?=
DATA ?=
BIN := .venv/bin
STACK := $(BIN)/python -m config.stack
# Tests never talk to a real model, whatever the shell has in its environment.
WITH_SERVERS := env -u ANTHROPIC_API_KEY $(STACK) exec --
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--custom-compile-command "make requirements" pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run serve test check lint chaos test-pgbouncer bench bench-retrieval bench-routing bench-cache bench-projection bench-drift bench-planner \
	train-router train-cache requirements clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## prepare .venv
	@$(PYTHON) -I config/stack/virtual_environment.py requirements.txt

setup-dev: ## prepare .venv with the tools for development
	@$(PYTHON) -I config/stack/virtual_environment.py requirements-dev.txt

run: setup ## start everything, ask the sample questions, serve (ARGS=--once stops after the samples)
	@$(STACK) run $(ARGS)

serve: setup ## start everything without the samples
	@$(STACK) serve

test: setup-dev ## run all tests with servers of their own (ARGS goes to pytest)
	@$(WITH_SERVERS) python -m tests.suite $(ARGS)

lint: setup-dev ## format, lint, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint ## everything CI checks: lint, missing migrations, tests
	@$(WITH_SERVERS) python manage.py makemigrations --check --dry-run
	@$(MAKE) --no-print-directory test

chaos: setup-dev ## break everything, for long (the short version is part of make test)
	@CHAOS=long $(WITH_SERVERS) python -m pytest tests/chaos tests/functional/test_interventions.py \
		tests/functional/test_shapes.py tests/functional/test_summarize_document.py $(ARGS)

test-pgbouncer: setup-dev ## the core tests through PgBouncer in transaction mode (needs the program pgbouncer)
	@$(WITH_SERVERS) python -m tests.pgbouncer python -m pytest tests/integration/workflows tests/integration/gateway \
		tests/integration/budgets tests/integration/knowledge tests/integration/api tests/integration/caching $(ARGS)

bench: setup-dev ## measure, print a table, write benchmarks/results.json
	@$(WITH_SERVERS) python -m tests.benchmarks $(ARGS)

bench-retrieval: setup-dev ## measure how well the knowledge base is searched
	@$(WITH_SERVERS) python -m tests.benchmarks.retrieval

bench-routing: setup-dev ## measure how well requests are sent to the tier they need (DATA=folder of public rows)
	@$(BIN)/python -m tests.benchmarks.routing "$(DATA)"

bench-cache: setup-dev ## measure whether kept answers are right, and what they save (DATA=folder of public rows)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.semantic_cache "$(DATA)"
	@env -u ANTHROPIC_API_KEY $(BIN)/python -m tests.benchmarks.cache_traffic "$(DATA)"

bench-projection: setup-dev ## measure how far off the projection of days and months is
	@$(BIN)/python -m tests.benchmarks.projection

bench-drift: setup-dev ## measure how often drift is told of where there is none, and where there is some
	@$(BIN)/python -m tests.benchmarks.drift

bench-planner: setup-dev ## measure how well a run at three times the load is predicted (ARGS=seeds)
	@$(WITH_SERVERS) python -m tests.benchmarks.planner $(ARGS)

train-router: setup-dev ## learn anew how complex a request is (DATA=folder of public rows)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m agentplatform.llm.routing.training "$(DATA)"

train-cache: setup-dev ## learn anew when one answer serves two questions (DATA=folder of public rows)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m agentplatform.llm.caching.training "$(DATA)"

requirements: setup-dev ## pin anew what pyproject.toml asks for
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(COMPILE) --upgrade -o requirements.txt
	@$(COMPILE) --upgrade --extra dev -c requirements.txt -o requirements-dev.txt

clean: ## delete .venv, caches and the data of the home (.agentplatform)
	@if [ -x $(BIN)/python ]; then $(STACK) clean; fi
	@rm -rf .venv .venv-dbos .venv-litellm .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
