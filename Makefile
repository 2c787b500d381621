# `make demo` and `make test` set everything up by themselves in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS := 1
# Tests start many processes, each of which would compile everything anew.
export PYTHONDONTWRITEBYTECODE :=
# Models without a trained prior head stand beside those that are refined.
ALONE := zero,gfn2-xtb,ani-1x,mini-mace-scratch

.PHONY: help demo test check fuzz docs wheel format clean

help:
	@echo "make demo    install, then run the main job: real models on the mini-ood suite"
	@echo "make test    install, then lint, types and tests"
	@echo "make check   lint, types and tests in the environment that is active"
	@echo "make fuzz    20,000 damaged files through every reader (MUTANTS=, SEED=)"
	@echo "make docs    install, then build the documentation into build/site"
	@echo "make wheel   install, then build a wheel and run it in an environment of its own"
	@echo "make format  let ruff rewrite the sources"

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.demo
	$(BIN)/mlffbench run --suite mini-ood --model $(ALONE) --mode baseline
	$(BIN)/mlffbench run --suite mini-ood
	$(BIN)/mlffbench score runs/mini-ood
	$(BIN)/mlffbench report runs --out runs/report.html

test: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(MAKE) check

check:
	ruff format --check .
	ruff check .
	mypy
	python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

MUTANTS ?= 20000
SEED ?= 1
# Each mutant has 10 s and 1 GB; whatever gets through is printed and fails.
fuzz: $(VENV)/.dev
	PYTHONPATH=tests/fuzz:tests/datasets $(BIN)/python tests/fuzz/fuzz_campaign.py \
	  --mutants $(MUTANTS) --seed $(SEED)

# A broken link, a page outside the navigation or a public name without docstring fails.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow tests/test_wheel.py

format:
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache
