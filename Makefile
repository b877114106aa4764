# Everything starts here: each target installs what it needs into .venv, from pyproject.toml at the versions of constraints.txt.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DEMO_DIR ?= demo
# Stores that others wrote, for the slow tests: Azurite (npm) and OpenStack Swift (pip).
EMULATORS := .emulators
AIRFLOW := .airflow
EMULATOR_FILES := registration_pipeline_tests/stores/emulators
# The fast tier writes and flushes tens of thousands of small files: in memory, where a gigabyte is free, it waits for no disk.
MEMORY = $(shell test -w /dev/shm && test "$$(df --output=avail /dev/shm | tail -1)" -gt 1000000 && echo /dev/shm)

# Pip compiles on one core, which is half of its time; what no test imports, or one of them alone, would be most of it.
COMPILE = $(BIN)/python -m compileall -qq -j 0 -x '$(NEVER_IMPORTED)' $(VENV)/lib || true
NEVER_IMPORTED := /(tests?|azure/ai|kubernetes|lexers|moto|mpmath|mypyc?|networkx|pip|setuptools|sympy)/

# Hundreds of tests start the command in a new process; without compiled modules each would compile the package, and pytest its tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := setup
.PHONY: setup setup-dev emulators demo dev test test-fast test-slow test-airflow test-ui soak lint format check-definitions docs bench lock chromium media-tools postgres redis faketime clean

setup: $(VENV)/.installed  ## the environment to run the product and the demo
setup-dev: $(VENV)/.installed-dev  ## the same with test and lint tools

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --constraint constraints.txt --editable '.[demo]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --no-compile --constraint constraints.txt --editable '.[azure,celery,demo,gcs,k8s,media,otel,postgres]' --group dev
	$(COMPILE)
	touch $(VENV)/.installed $@

emulators: $(EMULATORS)/.installed  ## the stores that slow tests start; needs npm

$(EMULATORS)/.installed: $(addprefix $(EMULATOR_FILES)/,package.json package-lock.json requirements.txt binaries.txt)
	@command -v npm >/dev/null || { apt-get update -qq && apt-get install -y -qq npm >/dev/null; } \
	  || { echo 'Install Node.js 20 or newer with npm for the slow tests.' >&2; exit 1; }
	mkdir -p $(EMULATORS)
	cp $(EMULATOR_FILES)/package.json $(EMULATOR_FILES)/package-lock.json $(EMULATORS)
	npm ci --prefix $(EMULATORS) --ignore-scripts --no-audit --no-fund --loglevel error
	$(PYTHON) -m venv $(EMULATORS)/swift
	$(EMULATORS)/swift/bin/python -m pip --disable-pip-version-check --quiet install --requirement $(EMULATOR_FILES)/requirements.txt
	$(PYTHON) -m venv $(EMULATORS)/binaries
	$(EMULATORS)/binaries/bin/python -m pip --disable-pip-version-check --quiet install --requirement $(EMULATOR_FILES)/binaries.txt
	touch $@

demo: setup  ## the whole main job on generated media, a local S3 server and the sandbox
	$(BIN)/registration-pipeline demo --dir "$(DEMO_DIR)" $(DEMO_OPTIONS)

dev: setup  ## the Dagster UI on the demo, until Ctrl-C
	$(BIN)/registration-pipeline demo --dir "$(DEMO_DIR)" --ui $(DEMO_OPTIONS)

test: test-fast test-slow  ## all tests except those in a browser

test-fast: setup-dev  ## no servers, no crashes
	$(if $(MEMORY),TMPDIR=$(MEMORY)) $(BIN)/python -m pytest -q -m 'not slow and not ui' -n 2 --dist worksteal

test-slow: export MAKE_DEMO := $(MAKE)
test-slow: setup-dev emulators media-tools postgres redis faketime  ## real servers, crashes, the demo, thousands of objects
	$(if $(MEMORY),TMPDIR=$(MEMORY)) $(BIN)/python -m pytest -q -m 'slow and not ui' -n 5 --dist loadfile --no-loadscope-reorder --durations=10

test-airflow: setup-dev $(AIRFLOW)/.installed  ## the example's DAG in a real Airflow 3; minutes, and not part of .ci/run
	AIRFLOW_PYTHON=$(CURDIR)/$(AIRFLOW)/bin/python $(BIN)/python -m pytest -q registration_pipeline_tests/airflow

$(AIRFLOW)/.installed: registration_pipeline_tests/airflow/requirements.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip --disable-pip-version-check --quiet install --requirement registration_pipeline_tests/airflow/requirements.txt
	touch $@

test-ui: setup-dev chromium  ## the Dagster UI in Chromium
	$(BIN)/python -m pytest -q -m ui

soak: export TEST_DOSES := soak
soak: export HYPOTHESIS_PROFILE := thorough
soak: setup-dev emulators media-tools postgres redis faketime  ## before a release: every campaign at length, about an hour; prints what it counted
	$(BIN)/python -m pytest -q -m '(soak or hypothesis) and not ui' -n 4 --dist load --durations=10

lint: setup-dev  ## ruff and mypy strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check-definitions: export REGISTRATION_CONFIG := $(CURDIR)/examples/registration.yaml
check-definitions: export VIRTUAL_ENV := $(CURDIR)/$(VENV)
check-definitions: export PATH := $(CURDIR)/$(BIN):$(PATH)
check-definitions: setup-dev  ## the code location loads, for dg and for dagster, and so does the project of another team
	dg check toml
	dg check defs
	dagster definitions validate -w workspace.yaml
	cd examples/foreign_project && PYTHONPATH=src dg check defs
	cd examples/foreign_project && PYTHONPATH=src dg list components | grep BucketRegistration

docs: export NO_MKDOCS_2_WARNING := 1
docs: setup-dev  ## the docs as a site, in site/; a broken link or anchor fails
	$(BIN)/mkdocs build --quiet

bench: setup-dev  ## print every figure of docs/benchmarks.md
	$(BIN)/python -m benchmarks

lock: $(VENV)/bin/python  ## install the newest allowed versions and write them down
	$(PIP) install --upgrade --upgrade-strategy eager --editable '.[azure,celery,demo,gcs,k8s,media,otel,postgres]' --group dev
	( echo '# Exact versions that the tests ran with: `make lock` writes this file, every make target installs with it.'; \
	  $(BIN)/python -m pip freeze --exclude-editable ) > constraints.txt
	$(BIN)/python deploy/docker/lock.py write

chromium:
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
	  || { echo 'Install Chromium (Debian package chromium) for the browser tests.' >&2; exit 1; }

media-tools:  ## what the probes of media are compared with
	@for tool in ffmpeg ffprobe exiftool qpdf; do command -v $$tool >/dev/null || missing=1; done; \
	  test -z "$$missing" || { apt-get update -qq && apt-get install -y -qq ffmpeg libimage-exiftool-perl qpdf >/dev/null; } \
	  || { echo 'Install FFmpeg, ExifTool and qpdf (Debian packages ffmpeg, libimage-exiftool-perl, qpdf) for the slow tests.' >&2; exit 1; }

postgres:  ## what teams keep Dagster's events in; a test and a benchmark start a server of their own
	@command -v initdb >/dev/null || ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 \
	  || { apt-get update -qq && apt-get install -y -qq postgresql >/dev/null; } \
	  || { echo 'Install Postgres (Debian package postgresql) for the slow tests.' >&2; exit 1; }

redis:  ## the broker between Celery workers; tests start one of their own
	@command -v redis-server >/dev/null || { apt-get update -qq && apt-get install -y -qq redis-server >/dev/null; } \
	  || { echo 'Install Redis (Debian package redis-server) for the slow tests.' >&2; exit 1; }

faketime:  ## clocks that are wrong, for the campaign of two hosts
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq faketime >/dev/null; } \
	  || { echo 'Install Debian package faketime for the slow tests.' >&2; exit 1; }

clean:  ## remove the environment and the demo
	rm -rf $(VENV) $(EMULATORS) $(AIRFLOW) $(DEMO_DIR) site .mypy_cache .ruff_cache .pytest_cache .hypothesis
