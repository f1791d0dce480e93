# Every target sets up what it needs: a virtual environment in .venv with this package installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
STAMP := $(VENV)/.installed

.PHONY: help demo test lint types unit test-slow install clean

help:
	@echo "make demo       make phantoms, train ACSNet on them, test and predict (a few minutes)"
	@echo "make test       lint, types and tests (under 10 minutes)"
	@echo "make test-slow  the checks that take longer"
	@echo "make install    only set up $(VENV)"

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "error: $(PYTHON) is older than Python 3.10: name another by make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	rm -rf $(DEMO)
	$(BIN)/python tools/phantom.py --out $(DEMO)/phantoms --benign 120 --malignant 90 --normal 60
	$(BIN)/python tools/train.py configs/acsnet_phantom.yaml --set data.root=$(DEMO)/phantoms --work-dir $(DEMO)/run
	$(BIN)/python tools/test.py --checkpoint $(DEMO)/run/best.safetensors --out $(DEMO)/test
	$(BIN)/python tools/predict.py --checkpoint $(DEMO)/run/best.safetensors --out $(DEMO)/predictions \
		$(foreach id,1 2 3,"$(DEMO)/phantoms/benign/benign ($(id)).png" "$(DEMO)/phantoms/malignant/malignant ($(id)).png") \
		"$(DEMO)/phantoms/normal/normal (1).png"
	@echo
	@echo "overlay pictures: $(DEMO)/predictions/overlays"
	@echo "TensorBoard log:  $(BIN)/tensorboard --logdir $(DEMO)/run/tensorboard"

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/pytest -n 2 -m "not slow" --durations=10

test-slow: $(STAMP)
	$(BIN)/pytest -m slow --durations=10

clean:
	rm -rf $(VENV) $(DEMO) .mypy_cache .pytest_cache .ruff_cache
