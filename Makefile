# Two commands do the main jobs: `make demo` and `make test`. Both make the environment first, if it is missing.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: setup demo test faults lab check bench clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab,dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/runbooks demo

test: $(READY) check
	$(BIN)/pytest -m 'not faults' --durations=15
	$(BIN)/python -m pytest -p tests.conftest --nbval-lax --nbval-cell-timeout=120 -v runbooks

faults: $(READY)
	$(BIN)/pytest -m faults --durations=10 $(if $(ONLY),-k $(ONLY))

# JupyterLab asks elsewhere for news and newer versions of itself; nothing of a lab leaves this machine.
SILENT := --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate

lab: $(READY)
	$(BIN)/runbooks lab start
	$(BIN)/jupyter lab $(SILENT) runbooks; $(BIN)/runbooks lab stop

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest tests/contract

bench: $(READY)
	$(BIN)/python -m bench $(ONLY)

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
