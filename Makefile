# make audit   audit PyTorch's own Gaussian code and the common scale parameterizations; writes stability-report.html
# make test    everything that must hold before a change lands: lint, types, tests, the built wheel
# make lint    ruff and mypy alone
# make coverage  the tests with line coverage, which slows them
#
# All work in .venv, which they create. An installed torch of $(PYTHON) is reused; otherwise pip installs the
# pinned one. pip's own settings (PIP_FIND_LINKS, PIP_INDEX_URL, pip.conf) are honoured.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STAGED := .staged
FOLDERS := stabkit reference suites reports tests

.PHONY: audit test lint tests coverage wheel clean

audit: $(READY)
	$(BIN)/stabkit audit zoo:pytorch zoo:gaussian --report html --exit-zero

test: lint tests wheel

lint: $(READY)
	$(BIN)/ruff check $(FOLDERS)
	$(BIN)/ruff format --check $(FOLDERS)
	@rm -rf $(STAGED) && mkdir -p $(STAGED)/stabkit
	@for entry in stabkit/*; do ln -s "$(CURDIR)/$$entry" $(STAGED)/stabkit/; done
	@for folder in reference suites reports; do ln -s "$(CURDIR)/$$folder" $(STAGED)/stabkit/$$folder; done
	cd $(STAGED) && "$(CURDIR)/$(BIN)/mypy" --config-file "$(CURDIR)/pyproject.toml" -p stabkit

tests: $(READY)
	$(BIN)/python -m pytest -n 2

coverage: $(READY)
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term

wheel: $(READY)
	$(BIN)/python tests/install_wheel.py

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "stabkit needs Python 3.11 or newer; run make PYTHON=python3.11"; exit 2; }
	@rm -rf $(VENV)
	@if $(PYTHON) -c 'import torch' 2>/dev/null; then $(PYTHON) -m venv --system-site-packages $(VENV); \
		else $(PYTHON) -m venv $(VENV); fi
	@if $(BIN)/python -c 'import torch' 2>/dev/null; then \
		grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt; \
	else \
		cp constraints.txt $(VENV)/constraints.txt; \
	fi
	$(BIN)/python -m pip install --quiet -c $(VENV)/constraints.txt torch
	$(BIN)/python -m pip install --quiet -c $(VENV)/constraints.txt -e '.[test,lint]' build
	@touch $@

clean:
	rm -rf $(VENV) $(STAGED) build dist *.egg-info .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
