# make demo    train a model on real digits and look at it; make test    run every test.
# make mutants spoil each formula and see that the checks of its op notice.
# make sanitize run the tests of the compiled kernels under AddressSanitizer and UBSan.
# make bench-check  is a training step much slower than it was?  On an idle machine.
# make gates   prove the CUDA kernels without a GPU: emulator, sanitizers, NVIDIA's compiler.
# Both create .venv on their first run.  PYTHON names another interpreter (3.11 or newer).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BACKHAND := $(BIN)/backhand
# What an editable install cannot pick up by itself.
BUILD := pyproject.toml setup.py CMakeLists.txt $(shell find csrc bindings -name '*.h' -o -name '*.cpp' -o -name '*.cu')
NATIVE := $(BIN)/python -c \
  'import backhand; print("compiled kernels:", backhand.backends()["native"].reason)'

.PHONY: demo test mutants sanitize gates bench-check lint types clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed-app
	$(BACKHAND) train vae --data mnist-mini --run demo/vae --epochs 60 --resume
	$(BACKHAND) evaluate demo/vae --bound iwae -k 500
	$(BACKHAND) sample demo/vae -o demo/samples.png
	$(BACKHAND) reconstruct demo/vae -o demo/reconstructions.png
	$(BACKHAND) interpolate demo/vae -o demo/interpolation.png
	@echo
	@echo "Pictures:"
	@ls -1 $(CURDIR)/demo/*.png
	@echo "The run, with its configuration and metrics: $(CURDIR)/demo/vae"

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto --dist worksteal

mutants: $(VENV)/installed-test
	$(BIN)/python -m tests.mutants

bench-check: $(VENV)/installed-test
	$(BIN)/python -m backhand.bench.regression results/bench/training.json

sanitize: $(VENV)/installed-test
	$(BIN)/python -m tests.sanitize

gates: $(VENV)/installed-gates
	$(BIN)/python -m tests.gates

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-test
	rm -rf build/typed .mypy_cache  # a cache that saw a module missing goes on saying so
	BACKHAND_NATIVE=0 $(BIN)/python setup.py --quiet build_py --build-lib build/typed
	MYPYPATH=build/typed $(BIN)/mypy -p backhand

clean:
	rm -rf build demo dist core/_native*.so core/_emulated*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf *.egg-info $(VENV)/installed-*
	find core kernels csrc bench tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "backhand needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo \
	  "$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }

$(VENV)/installed-app: $(BIN)/python $(BUILD)
	@echo "Installing backhand into $(VENV) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[app]'
	@$(NATIVE)
	@touch $@

$(VENV)/installed-test: $(BIN)/python $(BUILD)
	@echo "Installing backhand and what its tests need into $(VENV) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[app,test]'
	@$(NATIVE)
	@touch $@ $(VENV)/installed-app

# The pinned packages alone: the kernels are compiled already.
GATES := import tomllib; f = open("pyproject.toml", "rb"); \
  print(*tomllib.load(f)["project"]["optional-dependencies"]["gates"])

$(VENV)/installed-gates: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  $$($(BIN)/python -c '$(GATES)')
	@touch $@
