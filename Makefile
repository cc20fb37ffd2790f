# What people and CI run; `make` alone lists it. Needs GNU make 3.81 or newer and Python 3.13 or newer.

PYTHON := .venv/bin/python
LOCAL := .venv/.local-ready
CLI := .venv/.cli-ready
DEV := .venv/.dev-ready
CHECK := .venv/.check-ready
BUILD := .venv/.build-ready
DOCS := .venv/.docs-ready
SPARK := $(if $(shell command -v java),.venv/.spark-ready)
FUZZ := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),.venv/.fuzz-ready)
AZURITE := .local/azurite/.ready
AXE := .local/axe/.ready
DBT := .local/dbt/.ready
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder

# Byte code is kept, because the local stack and the tests start many programs.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup cli demo up test check lint format storm proof fuzz bench simulate diagnosis package wheel docs schemas pictures audit lock clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile

setup: $(LOCAL) $(AZURITE) ## Install what the local stack needs, into .venv and .local

cli: $(CLI) ## Install the command line, as .venv/bin/attendance

demo: setup ## Show the system, from a meeting's end to its attendance report
	@$(PYTHON) -m local demo

up: setup ## Run the local stack, with a month of meetings, until Ctrl-C
	@$(PYTHON) -m local up --subscribe --history

test: setup $(DEV) ## Run all tests but the heavy ones
	@$(PYTHON) -m pytest $(PARALLEL) -m "not heavy"

check: lint setup $(BUILD) $(DOCS) $(SPARK) $(FUZZ) $(AXE) $(DBT) ## Check style and types and run all tests, as CI does
	@$(PYTHON) -m pytest $(PARALLEL)

lint: $(CHECK) ## Check style and types
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy

format: $(CHECK) ## Rewrite the code in the project's style
	@$(PYTHON) -m ruff check --fix
	@$(PYTHON) -m ruff format

storm: setup $(CLI) $(DEV) ## Ten thousand meetings while everything fails; writes docs/measured/storm.md
	@$(PYTHON) -m tests.storm.storm --page docs/measured

proof: setup $(CLI) $(DEV) ## Faults put into the app, each found by a storm; adds to docs/measured/storm.md
	@$(PYTHON) -m tests.storm.broken --page docs/measured/storm.md

fuzz: setup $(DEV) $(FUZZ) ## A million hostile bodies; writes docs/measured/fuzz.md
	@$(PYTHON) -m tests.fuzz.fuzz --page docs/measured

bench: setup $(CHECK) ## All benchmarks; writes docs/measured/benchmarks.md
	@$(PYTHON) -m benchmarks.bench --page docs/measured

simulate: setup $(CHECK) ## Days of a million meetings, simulated; writes docs/measured/scale.md
	@$(PYTHON) -m benchmarks.simulate --page docs/measured

diagnosis: setup $(CHECK) ## Faults and outcomes, as the command line tells them; writes docs/measured/diagnosis.md
	@$(PYTHON) -m benchmarks.diagnosis --page docs/measured

package: $(LOCAL) ## Build the deployed package, into .local/package
	@$(PYTHON) scripts/package

wheel: $(BUILD) ## Build the command line as a wheel, into .local/package
	@$(PYTHON) scripts/wheel

docs: $(DOCS) ## Build the documents as a site, into .local/site/html
	@$(PYTHON) scripts/site

schemas: $(LOCAL) ## Write the schemas of the tables from their columns
	@$(PYTHON) scripts/schemas

pictures: setup $(CHECK) ## Make the pictures of the documents, from the local stack
	@$(PYTHON) -m local.stack.pictures

audit: $(LOCAL) ## Ask for known vulnerabilities of all locked packages
	@$(PYTHON) scripts/audit

lock: $(LOCAL) ## Update all lock files
	@scripts/lock

clean: ## Remove everything installed, built or stored, also the local stack's data
	rm -rf .venv .local .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LOCAL): requirements-local.txt
	@scripts/install-packages requirements-local.txt
	@touch $@

$(CLI): requirements-cli.txt scripts/attendance
	@scripts/install-packages requirements-cli.txt
	@ln -sf ../../scripts/attendance .venv/bin/attendance
	@touch $@

$(DEV): requirements-dev.txt | $(LOCAL) $(CLI)
	@scripts/install-packages requirements-dev.txt
	@touch $@

$(CHECK): requirements-check.txt | $(DEV)
	@scripts/install-packages requirements-check.txt
	@touch $@

$(BUILD) $(DOCS): .venv/.%-ready: requirements-%.txt | $(LOCAL)
	@scripts/install-packages $<
	@touch $@

.venv/.spark-ready .venv/.fuzz-ready: .venv/.%-ready: requirements-%.txt | $(DEV)
	@scripts/install-packages $<
	@touch $@

$(DBT): requirements-dbt.txt | $(LOCAL)
	@scripts/install-packages $< .local/dbt
	@touch $@

$(AZURITE): local/azurite/package.json local/azurite/package-lock.json | $(LOCAL)
	@scripts/install-npm local/azurite
	@touch $@

$(AXE): tests/axe/package.json tests/axe/package-lock.json | $(LOCAL)
	@scripts/install-npm tests/axe
	@touch $@
