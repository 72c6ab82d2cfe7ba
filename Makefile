# xfunc. `make app` and `make test` set up .venv by themselves (setup_venv.py); docs/setup.md says how.
#   PYTHON=python3.12    the Python to make .venv with
#   TORCH_INDEX=URL      the package index to take torch from
#   ARGS='…'             more arguments for streamlit or pytest

PYTHON ?= python3
export TORCH_INDEX

.DEFAULT_GOAL := help
.PHONY: help app test lint clean

help:   ## List what make can do
	@sed -nE 's/^([a-z]+): *## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

app:    ## Open xfunc in the browser (sets itself up the first time)
	@$(PYTHON) setup_venv.py app
	@exec .venv/bin/python -m streamlit run app.py $(ARGS)

test:   ## Run every test (sets itself up the first time)
	@$(PYTHON) setup_venv.py test
	@.venv/bin/python -m pytest $(ARGS)

lint:   ## Check style and imports with ruff
	@$(PYTHON) setup_venv.py test
	@.venv/bin/ruff check .

clean:  ## Remove .venv and the caches; your data and runs stay
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
