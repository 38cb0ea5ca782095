PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt

.PHONY: demo test numerics fuzz check format release-check audit clean

demo: $(VENV)/.installed  ## train on real handwriting, then use the run
	$(BIN)/python -m benchmarks.demo

# Tests compile hundreds of small programs and run each once: quick compilation beats quick programs.
test: export XLA_FLAGS ?= --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false
# Of small matrices every worker's second thread only waits for the first, and takes a core while it does.
test: export OPENBLAS_NUM_THREADS ?= 1
test: export OMP_NUM_THREADS ?= 1
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

# The seed is the day's, and printed with whatever is found; a case that is found becomes a test.
fuzz: export REPARAM_FUZZ_CASES ?= 10000
fuzz: SEED ?= $(shell date +%j)
fuzz: $(VENV)/.test  ## ten thousand hostile documents, files and options, and twenty killed trainings
	$(BIN)/pytest -q -p no:cacheprovider --hypothesis-seed=$(SEED) -k 'no_document or no_value_of or no_bytes' \
	  tests/runs/test_opening.py tests/cli/test_cli_fuzz.py tests/data/test_data_fuzz.py
	PYTHONPATH=tests:tests/cli $(BIN)/python tests/cli/test_cli_resuming.py $$(mktemp -d) $(SEED)

check: $(VENV)/.check $(VENV)/.test  ## style, types, floors, doctests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q --doctest-modules --doctest-glob='*.md' -p no:cacheprovider \
	  src docs release --ignore release/sbom.py

format: $(VENV)/.check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

release-check: $(VENV)/.release  ## pins, licences, two builds alike, a bill of materials, README from the wheel (PYTHONS=…)
	$(BIN)/python -m release

audit: $(VENV)/.release  ## known vulnerabilities of the pins; 3 where no service can be reached
	$(BIN)/python -m release.audit

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

$(VENV)/.release: $(VENV)/.test $(VENV)/.check
	$(PIP) --editable '.[bench,counts,explore,release]'
	touch $@

clean:
	rm -rf $(VENV) demo-run dist
