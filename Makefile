# What a developer does with Katib, one word each; `make help` lists them.
# Needs Python 3.11 or newer with venv, and make. Everything is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Test processes at once; those of the longer tests wait more than they compute.
JOBS ?= 2
SLOW_JOBS ?= 4
# Other work on a machine makes some tests late that are right. In CI what fails is tried once more, by itself, and that is said:
# what fails again has failed.
ifeq ($(CI),true)
AGAIN = || { printf '\n*** TESTS FAILED. EACH IS TRIED ONCE MORE, ALONE. WHAT PASSES NOW IS NOT RELIABLE AND WANTS MENDING:\n\n'; \
  $(BIN)/pytest -n 0 --last-failed --last-failed-no-failures none -m $(1); }
endif
# Each with a cluster of its own, in a gigabyte and a half of memory.
CLUSTER_JOBS ?= 3

# Stamps: newer than pyproject.toml when what it asks for is installed.
RUN := $(VENV)/.installed-all
DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo >&2 \
	  "Katib needs Python 3.11 or newer, and $(PYTHON) is not. Name another: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; \
	  exit 1; }
	@echo "Setting up $(VENV): a minute or two, once"
	$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml | $(BIN)/pip
	$(PIP) install -e '.[all]'
	@touch $@

$(DEV): pyproject.toml | $(BIN)/pip
	$(PIP) install -e '.[all,dev]'
	@touch $(RUN) $@

.PHONY: venv
venv: $(DEV) ## Set up .venv with all that development needs

.PHONY: demo
demo: $(RUN) ## Tune a small network on this machine and show what came of it
	$(BIN)/python examples/demo.py

.PHONY: test
test: lint ## Lint, then the tests that run all day
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not long and not slow and not cluster" $(call AGAIN,"not long and not slow and not cluster")

.PHONY: test-long
test-long: $(DEV) ## Those that take some minutes more
	$(BIN)/pytest -n $(SLOW_JOBS) --dist worksteal -m "long and not slow and not cluster" $(call AGAIN,"long and not slow and not cluster")

.PHONY: test-slow
test-slow: $(DEV) ## The slowest, and those with database servers and a browser
	$(BIN)/pytest -n $(SLOW_JOBS) --dist worksteal -m "slow and not cluster" $(call AGAIN,"slow and not cluster")

# The tests that want a database server are skipped where there is none, and say so; in CI they count. MySQL comes from Debian's
# unstable suite, which may be broken for a day: then CI goes on without, and the skipped tests say so.
ifeq ($(CI),true)
test-slow: mariadb mysql-if-possible mlflow chromium
endif

.PHONY: mariadb
mariadb: ## Install MariaDB, which the storage tests start privately (Debian or Ubuntu, as root)
	sh tests/install-mariadb.sh

.PHONY: mysql
mysql: ## Put a MySQL beside everything else for the storage tests (Debian; 60 MB to fetch)
	sh tests/install-mysql.sh

.PHONY: mysql-if-possible
mysql-if-possible:
	sh tests/install-mysql.sh || echo >&2 "MySQL COULD NOT BE INSTALLED: nothing is tested on it this time"

.PHONY: mlflow
mlflow: $(DEV) ## Put an MLflow server beside everything else for the model store's tests (a gigabyte)
	$(BIN)/python -m tests.modelstore.mlflow

.PHONY: chromium
chromium: ## Install Chromium, which the dashboard's tests look with (Debian or Ubuntu, as root)
	sh tests/install-chromium.sh

.PHONY: test-cluster
test-cluster: $(DEV) ## The tests on a real Kubernetes cluster (first time: `make cluster`, ten minutes and 3 GB)
	$(BIN)/python -m tests.cluster.prepare
	$(BIN)/pytest -n $(CLUSTER_JOBS) --dist loadscope --no-loadscope-reorder -m cluster tests/cluster $(call AGAIN,cluster)

# KATIB_TEST_KUBECONFIG names a cluster to use, which takes nothing from this machine; in CI the tests may not be skipped.
ifeq ($(CI),true)
test-cluster: cluster
endif

.PHONY: cluster
cluster: $(DEV) ## Install and build what the test cluster is made of (Debian or Ubuntu, as root; Go)
	sh tests/cluster/install.sh
	$(BIN)/python -m tests.cluster.prepare

# Where the random instants come from; the seed is printed, and SEED=N gives the same ones again.
SEED ?=

.PHONY: faults
faults: $(DEV) ## Kill everything at random instants, 200 times on each database (SEED=N)
	$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED))

# Ten minutes of a core. An input that breaks something is named by its number; the same SEED gives the same inputs.
INPUTS ?= 10000
SURFACES ?=

.PHONY: fuzz
fuzz: $(DEV) ## Put 10,000 hostile inputs to every surface (SEED, INPUTS, SURFACES)
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS) $(if $(SEED),--seed $(SEED)) $(SURFACES)

.PHONY: bench-local
bench-local: $(RUN) ## Measure what Katib adds to running the same commands by hand
	$(BIN)/python benchmarks/bench_local.py

.PHONY: bench-controller
bench-controller: $(RUN) ## Measure the controller with 1,000 studies and 10,000 live trials on a simulated worker
	$(BIN)/python -m benchmarks.controller

RESULTS ?= quality.jsonl
SEEDS ?= 10
MINUTES ?= 600
BATCH ?= 1
OURS ?= bayesianoptimization tpe cmaes sobol
QUALITY := run --seeds $(SEEDS) --batch $(BATCH) --minutes $(MINUTES) --results $(RESULTS)

# Hours of one core; what RESULTS has is not run again, so a broken run goes on. One thread: searches are timed by it.
.PHONY: bench-quality
bench-quality: $(RUN) ## Measure what the algorithms find per trial, beside what peers found (SEEDS, MINUTES, BATCH, OURS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.quality $(QUALITY) $(OURS)
	$(BIN)/python -m benchmarks.quality report $(RESULTS)

# What peers find is kept in the repository. They are measured in environments of their own, as one forbids what another wants,
# and torch alone is gigabytes.
PEER ?= optuna
OTHERS ?= $(PEERS_OF_$(PEER))
PEERS_OF_optuna := optuna-tpe optuna-tpe-univariate optuna-cma hyperopt optuna-gp scikit-optimize
PEERS_OF_smac := smac
PEERS_OF_vizier := vizier

.peers-%/.installed: benchmarks/quality/peers/needs/%.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -e '.[suggestion]' -r $<
	@touch $@

.PHONY: bench-quality-peers
bench-quality-peers: .peers-$(PEER)/.installed ## Measure what other libraries find and keep it (PEER=optuna, smac or vizier; OTHERS)
	OMP_NUM_THREADS=1 .peers-$(PEER)/bin/python -m benchmarks.quality $(QUALITY) $(OTHERS)
	.peers-$(PEER)/bin/python -m benchmarks.quality keep $(RESULTS)

.PHONY: bench-quality-quick
bench-quality-quick: $(RUN) ## The same for ours alone, two seeds, 50 trials: some minutes, no tables written
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.quality run --suite synthetic,mixed,models,noisy --trials 50 \
	  --seeds 2 --results quality-quick.jsonl $(OURS)
	$(BIN)/python -m benchmarks.quality score --alone quality-quick.jsonl

# Vizier and Optuna, in an environment of their own; MariaDB is started privately.
PEERS_SERVICE := .peers-service

$(PEERS_SERVICE)/.installed: benchmarks/service/peers.txt
	$(PYTHON) -m venv $(PEERS_SERVICE)
	$(PEERS_SERVICE)/bin/python -m pip --disable-pip-version-check --quiet install -r benchmarks/service/peers.txt
	@touch $@

# A quarter of an hour. Rounds are added to service.jsonl: made again, it has more of them.
.PHONY: bench-service
bench-service: $(DEV) $(PEERS_SERVICE)/.installed ## Measure what clients get of the manager as a study grows, beside peers and limits
	$(BIN)/python -m benchmarks.service run
	$(BIN)/python -m benchmarks.service report

.PHONY: bench-service-quick
bench-service-quick: $(DEV) ## The same for ours and an empty call alone, small studies: a minute, no tables written
	$(BIN)/python -m benchmarks.service run --quick

# Some minutes, after `make cluster`; nodes that run nothing stand for real ones.
.PHONY: bench-kubernetes
bench-kubernetes: $(DEV) ## Measure what Katib adds to creating Pods by hand: 2,000 trials, 200 at once, and 1,000 live Pods
	$(BIN)/python -m tests.cluster.prepare
	$(BIN)/python -m benchmarks.kubernetes

.PHONY: bench-start
bench-start: $(RUN) ## Measure how long users wait for the command line and a manager to start
	$(BIN)/python -m benchmarks.bench_start

.PHONY: bench-flood
bench-flood: $(DEV) ## Measure what a client that floods a manager leaves to the others
	$(BIN)/python -m benchmarks.flood

# Optuna's pruners, in an environment of their own.
.peers-stopping/.installed: benchmarks/stopping/peers.txt pyproject.toml
	$(PYTHON) -m venv .peers-stopping
	.peers-stopping/bin/python -m pip --disable-pip-version-check --quiet install -e '.[suggestion]' -r benchmarks/stopping/peers.txt
	@touch $@

.PHONY: bench-stopping
bench-stopping: .peers-stopping/.installed ## Measure what early stopping saves and what it costs, beside Optuna's pruners
	.peers-stopping/bin/python -m benchmarks.stopping --plot docs/early-stopping.svg

# Optuna's pages, in an environment of their own.
.peers-dashboard/.installed: benchmarks/dashboard/peers.txt
	$(PYTHON) -m venv .peers-dashboard
	.peers-dashboard/bin/python -m pip --disable-pip-version-check --quiet install -r benchmarks/dashboard/peers.txt
	@touch $@

.PHONY: bench-dashboard
bench-dashboard: $(DEV) .peers-dashboard/.installed ## Measure the pages in a browser beside optuna-dashboard (first: `make chromium`)
	$(BIN)/python -m benchmarks.dashboard

.PHONY: bench-suggestion
bench-suggestion: $(DEV) ## Measure what a question to a suggestion service costs as its study grows
	$(BIN)/python benchmarks/bench_suggestion.py

.PHONY: lint
lint: $(DEV) ## Style, types, who may import what, and known weaknesses
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/bandit --quiet --recursive --severity-level medium --configfile pyproject.toml katib deploy
	$(BIN)/python tools/audit.py

.PHONY: proto
proto: $(DEV) ## Generate katib/api/*_pb2* from proto/api.proto
	$(BIN)/python -m grpc_tools.protoc -Ikatib/api=proto --python_out=. --pyi_out=. --grpc_python_out=. proto/api.proto

# Anything that has kustomize in it: kubectl of 1.30 or newer.
KUBECTL ?= kubectl

.PHONY: manifests
manifests: ## Render deploy/katib.yaml from deploy/overlays/default (needs kubectl)
	{ echo '# Rendered by make manifests from deploy/overlays/default. Change that, not this.'; \
	  $(KUBECTL) kustomize deploy/overlays/default; } >deploy/katib.yaml.new
	mv deploy/katib.yaml.new deploy/katib.yaml

# docker, podman or buildah. BASE: another image with Python 3.11 or newer and pip.
BUILDER ?= docker
BASE ?=
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: images
images: ## Build the images katib-manager and katib-suggestion (BUILDER=docker)
	for image in manager suggestion; do \
	  $(BUILDER) build --file Dockerfile.$$image --tag katib-$$image:$(VERSION) --build-arg VERSION=$(VERSION) \
	    $(if $(BASE),--build-arg BASE=$(BASE)) . || exit 1; \
	done

.PHONY: clean
clean: ## Remove .venv, the demo's data and all caches
	rm -rf $(VENV) .demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
