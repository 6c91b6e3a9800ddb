# Two commands do the main jobs: `make demo` and `make test`. Both make the environment first, if it is missing.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: setup demo test faults lab check docs bench etcd-3.4 clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab,dev]'
	@$(BIN)/python -m compileall -q corelib
	@touch $@

demo: $(READY)
	@$(BIN)/runbooks demo

test: $(READY) check
	$(BIN)/pytest -m 'not faults' --durations=15
	$(BIN)/python -m pytest -p tests.conftest --nbval-lax --nbval-cell-timeout=120 -v runbooks

faults: $(READY)
	$(BIN)/pytest -m faults --durations=10 $(if $(ONLY),-k "$(ONLY)")

# JupyterLab asks elsewhere for news and newer versions of itself; nothing of a lab leaves this machine.
SILENT := --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate

# From the project's root, so that the records can be looked at as well; as root Jupyter wants to be told that it may.
JUPYTER := $(BIN)/jupyter lab $(SILENT) --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/runbooks

lab: $(READY)
	$(BIN)/runbooks lab start
	$(JUPYTER) $(if $(filter 0,$(shell id -u)),--allow-root); $(BIN)/runbooks lab stop

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest tests/contract

docs: $(READY)
	$(BIN)/python docs/verifications.py
	$(BIN)/python docs/deployments.py
	$(BIN)/python docs/installs.py

bench: $(READY)
	$(BIN)/python -m bench $(ONLY)

# Debian's etcd 3.4, beside the wheel's 3.5 and not on PATH, where it would win; the matrix skips it where it is missing.
etcd-3.4:
	@sh .ci/etcd-3.4 .cache/etcd-3.4

clean:
	rm -rf .venv .cache build *.egg-info .pytest_cache .mypy_cache .ruff_cache
