# `make compare` and `make test` need git, make and a Python >= 3.12, nothing else.
# The first call makes .venv and installs into it; later calls find it ready.

VENV := .venv
BIN := $(VENV)/bin
# Exported so that .ci/find-python tries it first.
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help compare test statistical lint benchmark docs release-check test-matrix clean

# Pages of the gallery are run, once, and run again where they changed: EXECUTE=off shows them as they stand.
EXECUTE := on

help:
	@echo "make compare      sample a real model with auto, SGLD, ADVI and NUTS; table, plots, draws"
	@echo "make test         the tests"
	@echo "make statistical  the slow and the statistical tests; a skip is a failure"
	@echo "make lint         ruff and mypy"
	@echo "make benchmark    speed beside loops by hand and other libraries; docs/benchmarks.md"
	@echo "make docs         the site, into build/docs; EXECUTE=off does not run the gallery"
	@echo "make release-check  wheel and sdist, each installed bare: the README's example, and types in a user's file"
	@echo "make test-matrix    quick tests on each Python that is there, with the lowest and the newest PyMC"
	@echo "make clean        remove .venv, caches and results"

compare: $(VENV)/.installed
	$(BIN)/python -m models compare flights

test: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --durations 15 --durations-min 3

statistical: $(VENV)/.installed
	$(BIN)/python -m pytest -m "slow or statistical" --no-skips

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks.speed

docs: $(VENV)/.installed-docs
	DOCS_EXECUTE=$(EXECUTE) $(BIN)/python -m sphinx -W --keep-going -b html -d build/doctrees docs build/docs
	@echo "Open build/docs/index.html"

release-check: $(VENV)/.installed
	$(BIN)/python -m tests.release check

test-matrix: $(VENV)/.installed
	$(BIN)/python -m tests.release matrix

clean:
	rm -rf $(VENV) .venv-peers docs/generated results build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find models pymc_sgld tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml
	@if [ ! -x $(BIN)/python ]; then \
	    python=$$(sh .ci/find-python) || exit 1; \
	    echo "Making $(VENV) with $$python ($$("$$python" --version))"; \
	    "$$python" -m venv $(VENV) || exit 1; \
	fi
	@echo "Installing pymc-sgld and what it needs into $(VENV), once; this takes a minute or two"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable ".[dev]"
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "Installing what the site is built with into $(VENV), once"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable ".[docs]"
	@touch $@
