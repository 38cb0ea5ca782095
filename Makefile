PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt

.PHONY: demo test numerics check format clean

demo: $(VENV)/.installed  ## train on real handwriting, then use the run
	$(BIN)/python -m benchmarks.demo

# Tests compile hundreds of small programs and run each once: quick compilation beats quick programs.
test: export XLA_FLAGS ?= --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false
test: export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/$(VENV)/jax-cache
test: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
test: $(VENV)/.test  ## every test
	$(BIN)/pytest -n 2 --dist loadfile

# The tests of numbers again, compiled as users compile: fusion may change the order of a sum.
numerics: export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/$(VENV)/jax-cache
numerics: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
numerics: $(VENV)/.test  ## the numerical tests at the optimisation level that users run
	$(BIN)/pytest -n 2 -q tests/probability/test_divergences.py tests/probability/test_priors.py \
	  tests/objectives/test_objective_bounds.py tests/test_training.py

check: $(VENV)/.check $(VENV)/.test  ## style, types, floors, doctests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q --doctest-modules --doctest-glob='*.md' src docs -p no:cacheprovider

format: $(VENV)/.check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python $(SOURCES)
	$(PIP) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.installed
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.check: $(VENV)/.installed
	$(PIP) --editable '.[check]'
	touch $@

clean:
	rm -rf $(VENV) demo-run
