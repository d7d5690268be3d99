# make demo [NP=2]   the main job, demos/rabi.py, serially or on NP ranks
# make test          all tests, of one process (as many at a time as there are cores) and on 2 and 3 ranks
# make test-without-petsc   the tests in a second environment that has no PETSc
# make lint          ruff and mypy
# make docs          the documentation site, in site/
# make wheel         sdist and wheel, in dist/, tried in a fresh environment without PETSc (wheel-test is the same)
# make info          what a bug report needs
# Each does its own set-up first, once; see docs/installation.md.

SHELL := /bin/bash
PYTHON_VENV := .venv/bin/python
READY := .venv/ready
NP ?= 1
CORES ?= $(shell n=$$(nproc 2>/dev/null || echo 1); echo $$((n < 8 ? n : 8)))
ARGS ?=

ifeq ($(NP),1)
RUN := $(PYTHON_VENV)
else
RUN := $(PYTHON_VENV) -m dfpde mpirun -n $(NP)
endif

.PHONY: help demo test test-without-petsc lint docs wheel wheel-test info setup distclean

help:
	@sed -n 's/^# //p' Makefile

demo: $(READY)
	$(RUN) demos/rabi.py $(ARGS)

## 5: none of the tests that ARGS names is for several ranks
test: $(READY)
	$(PYTHON_VENV) -m pytest -n $(CORES) --dist loadfile $(ARGS)
	$(PYTHON_VENV) -m dfpde mpirun -n 2 -- -m pytest -p no:cacheprovider $(ARGS) || [ $$? -eq 5 ]
	$(PYTHON_VENV) -m dfpde mpirun -n 3 -- -m pytest -p no:cacheprovider $(ARGS) || [ $$? -eq 5 ]

test-without-petsc:
	scripts/test_without_petsc.sh $(ARGS)

lint: $(READY)
	$(PYTHON_VENV) -m ruff check
	$(PYTHON_VENV) -m mypy

docs: $(READY)
	$(PYTHON_VENV) -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(PYTHON_VENV) -m mkdocs build --strict

wheel wheel-test:
	scripts/wheel_test.sh

info: $(READY)
	$(PYTHON_VENV) -m dfpde info

setup: $(READY)

ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY) # this directory was moved or copied, and its .venv refers to the old place
endif

$(READY): pyproject.toml scripts/setup.sh
	@scripts/setup.sh
	@echo $(CURDIR) > $@

distclean:
	rm -rf .venv .venv-without-petsc out site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
