# Kefu Lab. `make demo` and `make test` do all the set-up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?=
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := True

.PHONY: help env demo test lint quick serve mlflow labelstudio lab notebooks doctor constraints clean
.DEFAULT_GOAL := help

help:        ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

env: $(VENV)/.installed ## the environment, pinned by constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "Kefu Lab needs Python 3.11 or 3.12; say which: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check \
	  -c constraints.txt -e '.[train,label,office,lab,dev]'
	@touch $@

demo: env    ## from the embedded corpus to two champions, served; shows their answers
	$(BIN)/kefu evaluate
	$(BIN)/kefu promote --reason "make demo"
	$(BIN)/kefu package
	$(BIN)/kefu knowledge import
	$(BIN)/kefu demo

test: lint   ## lint, types and all tests
	$(BIN)/python -m pytest

quick: env   ## the tests that take seconds
	$(BIN)/python -m pytest -m "not slow"

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: env   ## the inference service on http://127.0.0.1:3000 (API page: /docs)
	$(BIN)/kefu serve --port $(or $(PORT),3000)

mlflow: env  ## runs and registered models on http://127.0.0.1:5000
	$(BIN)/python -m experiments.ui --port $(or $(PORT),5000)

labelstudio: env ## Label Studio on http://127.0.0.1:8080, with a login that is ready
	$(BIN)/kefu label up --port $(or $(PORT),8080)

lab: env     ## JupyterLab in notebooks/ on http://127.0.0.1:8888
	$(BIN)/jupyter lab --port $(or $(PORT),8888) --notebook-dir . \
	  --LabApp.default_url=/lab/tree/notebooks/01-explore-chats.ipynb

notebooks: env ## run the notebooks on this project, and keep copies with pictures in docs/notebooks
	$(BIN)/python -m experiments.render_notebooks

doctor: env  ## what is in order on this machine, and the mend of what is not
	$(BIN)/kefu doctor

constraints: env ## resolve constraints.txt anew
	$(BIN)/python -m pip install -q uv
	{ echo "# Versions tested together (Python 3.11 and 3.12). Made by: make constraints"; \
	  $(BIN)/uv pip compile pyproject.toml --all-extras --python-version 3.11 --universal -q \
	  --no-annotate --no-header; } > constraints.new && mv constraints.new constraints.txt
	{ echo "# Label Studio and what it needs, in an environment of its own. Made by: make constraints"; \
	  echo label-studio==1.23.2 | $(BIN)/uv pip compile - --python-version 3.11 --universal -q \
	  --no-annotate --no-header; } > server.new && mv server.new labeling/server-requirements.txt

clean:       ## remove the environment and everything that was made (not the corpus)
	rm -rf $(VENV) .kefu models data/interim data/processed serving/champions.json
