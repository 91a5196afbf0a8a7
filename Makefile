# Everything a clone needs is made here: a virtual environment, what goes into it, and the commands that use it.
# Python 3.11 or newer is all that must be there; `make PYTHON=python3.12 test` picks one. The functions run on the version that
# deploys them, so that 3.13 is taken where it is installed: AWS supports it until 2029.

PYTHON ?= $(shell python3.13 -c '' 2> /dev/null && echo python3.13 || echo python3)
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
EXPLORATIONS := tests/simulation tests/bench tests/infra tests/test_long_run.py tests/test_cloud.py \
	$(addprefix tests/domain/test_,model.py real_crons.py cron.py preview.py address.py) $(addprefix tests/aws/test_,schedule_expression.py serialization.py)
CLOUD := .build/end-to-end
CONSOLE_TESTS := tests/console/pages
NODE := .build/console
# The files pin all that is needed (tests/test_requirements.py holds them to it), so there is nothing to resolve. The pip of a new environment is
# as old as its Python, and may be twice as slow: the pinned one comes first. It compiles nothing: Python does what it loads, and for the tests,
# where a dozen processes would begin with the same, compileall does before they start, on every core, all but what is large and seldom loaded.
# The many packages of the tests come by uv, four times as fast; where it finds no registry, pip, which also reads a pip.conf.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-compile
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/(sympy|mpmath|networkx|mypyc?|pip|pygments|sqlalchemy|setuptools|graphql|aiohttp|git|cyclonedx|cfnlint)/'
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command 'make update'

# Containers often ask for no bytecode. The tests start a hundred processes here, and each would compile all of Resona anew.
unexport PYTHONDONTWRITEBYTECODE

# `make` alone lists the targets: the texts after `##`.
.PHONY: help run test browser coverage check format soak mutants bench deploy smoke destroy acceptance e2e lock update audit vendor load pictures clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: export PORT := $(PORT)
run: $(VENV)/serves ## serve on this laptop, at PORT (8000)
	@case "$$PORT" in ""|*[!0-9]*) echo "PORT must be a number from 1 to 65535, for example: make run PORT=8000" >&2; exit 1;; esac; \
		exec $(BIN)/chalice local --stage local --no-autoreload --port "$$PORT"

# `make check` has the walls. Two parts side by side: what waits for a laptop's Resona leaves the processors idle half the time, and the rest takes what it leaves.
test: $(VENV)/tests ## run the tests, offline after the installation
	@$(PYTEST) --numprocesses 3 --dist loadgroup tests/acceptance > $(VENV)/acceptance.log 2>&1 & laptop=$$!; \
	trap 'kill $$laptop 2> /dev/null' EXIT INT TERM; \
	nice -n 10 $(PYTEST) --numprocesses 2 --dist loadgroup --ignore=tests/acceptance --ignore=tests/test_walls.py $(CONSOLE_TESTS:%=--ignore=%); others=$$?; \
	wait $$laptop; accepted=$$?; cat $(VENV)/acceptance.log; \
	echo "Left out: the tests of the console, which need a browser: make browser"; \
	exit $$((others + accepted))

browser: $(VENV)/tests ## test the console in a headless Chromium
	@$(BIN)/python -m tests.console.browser && $(PYTEST) --numprocesses 2 --dist loadgroup -rs $(CONSOLE_TESTS)

coverage: $(VENV)/tests ## count the lines that the fast tests reach
	$(PYTEST) --numprocesses 2 --ignore=tests/acceptance $(CONSOLE_TESTS:%=--ignore=%) $(EXPLORATIONS:%=--ignore=%) \
		--cov --cov-report=term-missing:skip-covered --cov-fail-under=95

check: $(VENV)/tests ## run ruff, mypy, cfn-lint, biome, tsc and the walls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m infra.template | $(BIN)/cfn-lint
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory $(NODE)/installed && \
		$(NODE)/node_modules/.bin/biome ci --config-path=tests/console chalicelib/api/console && \
		$(NODE)/node_modules/.bin/tsc --project tests/console; \
	else echo "Left out: biome and TypeScript's checker over the console's scripts and styles, which needs node and npm"; fi
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(PYTEST) tests/test_walls.py

format: $(VENV)/tests ## format the code and apply ruff's safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(VENV)/tests ## run the explorations that take hours; can be stopped and continued
	RESONA_SOAK=1 $(PYTEST) --numprocesses 2 --dist loadgroup
	$(BIN)/python -m tests.simulation bugs
	$(BIN)/python -m tests.simulation soak

# MUTANTS="--seed 14 --count 50 chalicelib/usecases": a draw to repeat, how many, and where; tests/mutants.py says how.
mutants: $(VENV)/tests ## change random single points and list what no fast test notices
	@$(BIN)/python -m tests.mutants --uncounted "$(EXPLORATIONS)" $(MUTANTS)

bench: $(VENV)/tests ## print the measurements: costs, limits, bursts, lateness, sending
	$(BIN)/python -m tests.bench.costs
	$(BIN)/python -m tests.bench.bill
	$(BIN)/python -m tests.bench.cpu
	$(BIN)/python -m tests.bench.limits
	$(BIN)/python -m tests.bench.idle_wakes
	$(BIN)/python -m tests.bench.bursts
	$(BIN)/python -m tests.bench.lateness
	$(BIN)/python -m tests.bench.sending
	$(BIN)/python -m tests.bench.plain
	$(BIN)/python -m tests.bench.imports

# PARAMETERS="AlarmEmail=you@example.com LogRetentionDays=90": of infra/template.yaml; they stay until they are given again.
deploy: $(VENV)/serves ## deploy STAGE to AWS and test it
	@$(BIN)/python -m infra.deploy stack --stage "$(STAGE)" $(PARAMETERS:%=--parameter %)
	@$(BIN)/chalice deploy --stage "$(STAGE)" --connection-timeout 120
	@$(BIN)/python -m infra.deploy finish --stage "$(STAGE)"
	@$(BIN)/python -m tests.smoke --stage "$(STAGE)"

smoke: $(VENV)/serves ## test a deployed STAGE
	@$(BIN)/python -m tests.smoke --stage "$(STAGE)"

destroy: $(VENV)/serves ## remove a deployed STAGE, but keep its data
	@$(BIN)/python -m infra.deploy destroy --stage "$(STAGE)" $(if $(YES),--yes)

# A deployed stage, which RESONA_URL and RESONA_KEY name; tests/acceptance/remote.py says what else can be set.
acceptance: $(VENV)/tests ## run the acceptance tests against RESONA_URL with RESONA_KEY
	@$(BIN)/python -m tests.acceptance

# What `make deploy` deploys, by the same commands, to an AWS on this machine, and the acceptance suite against it. On Linux.
e2e: $(VENV)/tests $(CLOUD)/installed ## deploy to an AWS emulated on this machine, and test it there
	@$(BIN)/python -m tests.e2e

# `lock` pins what the .in files ask for and keeps the pins that are there; `update` raises all of them to the newest.
update: RAISE := --upgrade
update: lock ## raise every pinned version to the newest

lock: $(VENV)/tests ## pin what the .in files ask for, keeping existing pins
	$(LOCK) $(RAISE) --generate-hashes requirements.in --output-file requirements.txt
	$(LOCK) $(RAISE) infra/local/requirements.in --output-file infra/local/requirements.txt
	$(LOCK) $(RAISE) requirements-dev.in --output-file requirements-dev.txt
	$(LOCK) $(RAISE) tests/e2e/lambda.in --output-file tests/e2e/lambda.txt
	$(LOCK) $(RAISE) tests/e2e/ministack.in --output-file tests/e2e/ministack.txt

# Without --strict, what no advisory service could be asked about would count as sound. One file after the other, since they may pin differently.
audit: $(VENV)/tests ## look for known vulnerabilities in the pinned versions
	@failed=0; for pins in requirements infra/local/requirements requirements-dev tests/e2e/lambda tests/e2e/ministack; do \
		echo "Asking about $$pins.txt"; \
		$(BIN)/pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement $$pins.txt || failed=1; \
	done; exit $$failed

vendor: $(VENV)/tests $(NODE)/installed ## copy the console's libraries from npm into the repository
	@$(BIN)/python -m tests.console.vendor

load: $(VENV)/tests ## measure the console with 10,000 jobs and 100,000 runs
	@$(BIN)/python -m tests.console.load

pictures: $(VENV)/tests ## take pictures of every screen and state of the console
	@$(BIN)/python -m tests.console.pictures

clean: ## remove the virtual environment and all caches
	rm -rf .build
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Resona needs Python 3.11 or newer; name one with PYTHON=, for example: make PYTHON=python3.12 run"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/serves: infra/local/requirements.txt requirements.txt | $(BIN)/python
	@echo "Installing what Resona needs (once)"
	@$(PIP) "$$(grep '^pip==' $<)"
	@$(PIP) --requirement $<
	@touch $@

$(VENV)/tests: requirements-dev.txt infra/local/requirements.txt requirements.txt | $(BIN)/python
	@echo "Installing what the tests need (once)"
	@$(PIP) "$$(grep '^pip==' $<)" "$$(grep '^uv==' $<)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --requirement $< || $(PIP) --requirement $<
	@$(COMPILE) $(VENV)/lib app.py chalicelib infra tests || true
	@touch $@ $(VENV)/serves

$(NODE)/installed: tests/console/package.json tests/console/package-lock.json
	@echo "Installing what checks the console's scripts (once)"
	@mkdir -p $(NODE) && cp tests/console/package.json tests/console/package-lock.json $(NODE)
	@npm ci --prefix $(NODE) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# The cloud, and what the functions find there, are no part of what the tests are made of: their pins are others.
$(CLOUD)/installed: tests/e2e/ministack.txt tests/e2e/lambda.txt | $(BIN)/python
	@echo "Installing ministack (once)"
	@for name in ministack lambda; do \
		$(BIN)/python -m venv --clear $(CLOUD)/$$name && \
		$(CLOUD)/$$name/bin/python -m pip install --quiet --disable-pip-version-check --no-input --requirement tests/e2e/$$name.txt || exit 1; \
	done
	@touch $@
