# make demo [DATA=FOLDER] [NAME=NAME] [RECIPE=NAME] [SERVE=0] | test | lint | bench | pictures | lock      Needs Python 3.11 or newer, and nothing else.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
DATA ?=
NAME ?=
RECIPE ?=
SERVE ?= 1
PORT ?= 8501
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint bench pictures lock browser clean
help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

# A stamp is written last, so an install that broke off is taken up again.
.venv/runtime: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with PYTHON=python3.12")'
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	touch $@

.venv/development: requirements-dev.lock .venv/runtime
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	touch $@

demo: .venv/runtime  ## ingest to export, then the dashboard on 127.0.0.1:8501 (phantoms, or DATA=FOLDER; SERVE=0 stops after the jobs)
	$(BIN)/python -m jobs demo $(if $(DATA),--data "$(DATA)") $(if $(NAME),--name "$(NAME)") $(if $(RECIPE),--recipe "$(RECIPE)") $(if $(filter 0,$(SERVE)),--no-serve) --port $(PORT)

browser:
	@command -v chromium >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { echo "error: the tests need chromium; install it with your package manager" >&2; exit 1; }; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; }

lint: .venv/development  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: .venv/development browser lint  ## lint, then every test, on both databases and in a real browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: .venv/development browser  ## every benchmark's ratio, both sides measured in the same run
	@for file in benchmarks/bench_*.py; do PYTHONPATH=. $(BIN)/python $$file; done

pictures: .venv/development browser  ## every page as a PNG, light and dark, in docs/pictures, of what PNEUMOSCOPE_ARTIFACTS holds
	$(BIN)/python -m tests.e2e.take_pictures

lock:  ## pin every dependency with its hashes, for all platforms, from requirements.txt and requirements-dev.txt
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet uv
	compile() { .venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" "$$@"; }
	compile requirements.txt -o requirements.lock
	compile requirements.txt requirements-dev.txt -o requirements-dev.lock

clean:  ## remove the environment; results in artifacts/ stay
	rm -rf .venv
