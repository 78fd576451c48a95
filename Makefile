# make speak TEXT="..." VOCODER=diffwave|wavegrad OUT=hello.wav, make test, make test-fast, make lint
PYTHON ?= python3
VENV ?= .venv
TEXT ?= hello
VOCODER ?= diffwave
OUT ?= hello.wav
BIN = $(VENV)/bin
# A worker a core, each file in one of them so that its fixtures are made once, in the order of tests/conftest.py.
WORKERS = -n auto --dist loadfile --no-loadscope-reorder

.PHONY: speak test test-fast fuzz soak lint docs install clean

speak: $(VENV)/.installed
	$(BIN)/tts --text "$(TEXT)" --vocoder_name "$(VOCODER)" --out_path "$(OUT)"

test: $(VENV)/.tested
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(WORKERS)

# The core alone: no Coqui TTS, benchmark or recipes; about a minute.
test-fast: $(VENV)/.tested
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(WORKERS) tests/commands tests/diffusion tests/english \
		tests/importers tests/networks tests/spectral tests/training tests/test_audio.py tests/test_core.py tests/test_vocoder.py

# Thousands of bad inputs, counted by what became of them: results/robustness/.
fuzz: $(VENV)/.tested
	OMP_NUM_THREADS=1 $(BIN)/python tests/robustness/fuzz.py --write

# Coqui's server under 200 requests, half of them bad, and kills of training, fine-tuning and vocoding: some minutes.
soak: $(VENV)/.tested
	OMP_NUM_THREADS=1 $(BIN)/python tests/robustness/soak.py

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/mypy tts_diffvoc eval
	$(BIN)/lint-imports --no-cache

# The pages of docs/, into build/docs/index.html.
docs: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs,eval]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict

install: $(VENV)/.installed

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

# diffwave and wavegrad are the public packages that ours is compared with; their own pins are not ours. Of resemblyzer
# only the weights are used: what it depends on needs a C compiler, or has long been part of Python.
$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test]"
	$(BIN)/python -m pip install -q --no-deps diffwave==0.1.7 wavegrad==0.1.5 resemblyzer==0.1.4
	$(BIN)/python -m pip install -q -c constraints.txt pesq pyworld \
		|| echo "pesq and pyworld need a C compiler: the tests of PESQ and of pitch are skipped."
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
