# One word per habit. Everything runs in .venv, made by `make setup`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: setup fmt lint types layers test test-fast test-kernels check demo bench wheel clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: setup
	$(BIN)/gift demo

bench: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/step.py --out results/bench/cpu.json

test: setup
	$(BIN)/pytest -n auto --dist worksteal

test-fast: setup
	$(BIN)/pytest -n auto --dist worksteal -m "not slow"

# CPU kernels round by instruction set: the suite must pass with each of them.
test-kernels: setup
	for set in default avx2 avx512; do ATEN_CPU_CAPABILITY=$$set $(BIN)/pytest -n auto --dist worksteal || exit 1; done

fmt: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

layers: setup
	$(BIN)/lint-imports

check: lint types layers test

wheel: setup
	rm -rf dist
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps -w dist .
	$(BIN)/python -m zipfile -l dist/*.whl | grep -q gift_micro/models/diffusion/unet

clean:
	rm -rf .venv build dist
