# What people and CI run; `make` alone lists it. Needs GNU make 3.81 or newer and Python 3.13 or newer.

PYTHON := .venv/bin/python
LOCAL := .venv/.local-ready
DEV := .venv/.dev-ready
AZURITE := .local/azurite/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo up test lint format package lock clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile

setup: $(LOCAL) $(AZURITE) ## Install what the local stack needs, into .venv and .local

demo: setup ## See it work: from a meeting's end to its attendance report
	@$(PYTHON) -m local demo

up: setup ## Start the local stack and keep it running
	@$(PYTHON) -m local up --subscribe

test: setup $(DEV) ## Run all tests
	@$(PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(DEV) ## Check style and types
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy

format: $(DEV) ## Rewrite the code in the project's style
	@$(PYTHON) -m ruff check --fix
	@$(PYTHON) -m ruff format

package: $(LOCAL) ## Build what is deployed, into .local/package/app.zip
	@$(PYTHON) scripts/package

lock: $(LOCAL) ## Resolve all lock files anew
	@scripts/lock

clean: ## Remove all that was installed, built or kept, the local stack's data too
	rm -rf .venv .local .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LOCAL): requirements-local.txt
	@scripts/install-packages requirements-local.txt
	@touch $@

# --no-compile because msgraph-sdk has some 16,000 modules, of which the tests load few.
$(DEV): requirements-dev.txt | $(LOCAL)
	@scripts/install-packages requirements-dev.txt --no-compile
	@touch $@

$(AZURITE): local/azurite/package.json local/azurite/package-lock.json | $(LOCAL)
	@scripts/install-azurite
	@touch $@
