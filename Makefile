# Needs python3 (3.11 to 3.13), make and git. Everything else goes into .venv, in the versions of requirements.lock.
# `make help` lists what there is.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
ARGS ?=

# A house is twenty processes: where no bytecode may be kept, each compiles all of its own before it begins.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint audit bench chaos conform up

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

venv: $(VENV)/installed  ## the environment alone, in .venv (PYTHON=python3.12 chooses the interpreter)

demo: venv  ## everything on this machine, 120 calls, until Ctrl-C (EXIT=1: ends by itself)
	@$(BIN)/trunkline demo $(if $(filter-out 0,$(EXIT)),--exit) $(ARGS)

# Most tests wait more than they work, so several at a time. Houses wait most: two at once, the longest first, each file in one
# worker. What needs no clock of its own (virtual clocks, planted bugs, pure rules, the API, rows) meanwhile takes what they leave of
# the machine. Those that want a carrier's limit used up have it to themselves.
ALONE := tests/system/test_limits_pacing.py tests/system/test_limits_stalls.py
LONGEST := tests/chaos/test_chaos.py tests/system/test_restarts.py tests/chaos/test_crash_points.py tests/system/test_why.py
HOUSES := $(LONGEST) $(filter-out $(LONGEST) $(ALONE),$(wildcard tests/chaos/test_*.py tests/system/test_*.py))
BESIDE := tests/budget tests/lab tests/retry tests/unit/calls tests/web tests/store

test: venv  ## every test, on real Postgres and Redis (ARGS="tests/unit -k retry")
ifneq ($(ARGS),)
	@$(BIN)/python -m pytest $(ARGS)
else
	@status=0; said=$$(mktemp); export TRUNKLINE_FAILED=$$(mktemp); \
	nice -n 10 $(BIN)/python -m pytest -n 2 --timeout 600 $(BESIDE) > "$$said" 2>&1 & beside=$$!; \
	trap 'kill $$beside 2>/dev/null; rm -f "$$said" "$$TRUNKLINE_FAILED"' EXIT; trap 'exit 130' INT TERM; \
	$(BIN)/python -m pytest -n 2 --timeout 300 --dist loadfile --no-loadscope-reorder $(HOUSES) || status=$$?; \
	wait $$beside || status=$$?; cat "$$said"; \
	$(BIN)/python -m pytest -n 3 --ignore tests/chaos --ignore tests/system $(BESIDE:%=--ignore %) || status=$$?; \
	$(BIN)/python -m pytest $(ALONE) || status=$$?; \
	cat "$$TRUNKLINE_FAILED"; exit $$status
endif

lint: venv  ## ruff, mypy --strict, who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# bandit needs nobody. The advisories are PyPI's, or OSV's: without a way there this fails, and so it does for a package that
# nothing is known of, since an audit that asked nobody has found nothing out.
audit: venv  ## bandit on what runs in production, then known weaknesses of what is locked (asks the network; ARGS="-s osv")
	@$(BIN)/bandit --quiet -c pyproject.toml -r $$($(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['tool']['bandit']['targets'])")
	@echo "bandit: nothing found"
	@.ci/audit --must $(ARGS)

bench: venv  ## the list of measurements, or one: NAME=dial (ARGS="--json --check")
	@$(BIN)/python -m bench $(if $(NAME),$(NAME),--list) $(ARGS)

chaos: venv  ## 5,000 calls while every process is killed and some are paused (ARGS="--calls 500"), then every crash point
	@$(BIN)/python -m tests.chaos $(ARGS)
	@TRUNKLINE_CHAOS=all $(BIN)/python -m pytest tests/chaos --ignore tests/chaos/test_chaos.py

conform: venv  ## every answer of the API against its description, at length (EXAMPLES=200 SEED=1 PATHS=/v1/calls PHASES=fuzzing)
	@TRUNKLINE_CONFORM_EXAMPLES=$(or $(EXAMPLES),100) TRUNKLINE_CONFORM_SEED=$(or $(SEED),$$(date +%s)) \
	  TRUNKLINE_CONFORM_PATHS='$(PATHS)' TRUNKLINE_CONFORM_PHASES='$(PHASES)' \
	  $(BIN)/python -m pytest -s tests/web/test_conformance.py $(ARGS)

up: venv  ## the Procfile's processes, with the settings of the environment (DATABASE_URL, REDIS_URL, TRUNKLINE_*)
	@$(BIN)/trunkline up $(ARGS)

# Without a Redis on this machine an interpreter that the wheel of one fits is preferred.
$(BIN)/python:
	@set -e; fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; chosen=; \
	if [ -n "$(PYTHON)" ]; then names="$(PYTHON)"; \
	elif [ -n "$$REDIS_URL" ] || command -v redis-server >/dev/null || command -v valkey-server >/dev/null; then \
	  names="python3 python3.13 python3.12 python3.11"; \
	else names="python3.12 python3.11 python3 python3.13"; fi; \
	for name in $$names; do \
	  if $$name -c "$$fits" 2>/dev/null; then chosen=$$name; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo "No Python 3.11 to 3.13 among: $$names (python3 is $$(python3 --version 2>&1 || echo missing))." >&2; \
	  echo "Install one (Debian 12+: apt install python3 python3-venv; macOS: brew install python@3.12; anywhere: uv python" \
	    "install 3.12), then: make PYTHON=/path/to/python3 ..." >&2; \
	  exit 1; \
	fi; \
	echo "creating $(VENV) with $$($$chosen --version)"; \
	if ! $$chosen -m venv $(VENV); then \
	  rm -rf $(VENV); \
	  echo "$$chosen cannot create a virtual environment. Debian keeps that apart: apt install python3-venv" >&2; \
	  exit 1; \
	fi

# Exactly the lock, nothing resolved. greenswitch is published as source only; setuptools, which builds it and the editable
# install, comes from the lock as well, on platforms too where nothing else asks for it.
$(VENV)/locked: requirements.lock | $(BIN)/python
	@echo "installing requirements.lock into $(VENV) (a minute or two, once)"
	@awk '/^[^ ]/ { take = /^setuptools==/ } take' requirements.lock | sed 's/ ; .* \\$$/ \\/' > $(VENV)/build.txt
	@$(PIP) install --require-hashes --only-binary :all: -r $(VENV)/build.txt
	@$(PIP) install --require-hashes --only-binary :all: --no-binary greenswitch --no-build-isolation -r requirements.lock
	@touch $@

$(VENV)/installed: $(VENV)/locked pyproject.toml
	@PYTHONWARNINGS=ignore $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
