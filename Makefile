# The front door. Every target does its own set-up on a bare machine with Python >= 3.11, make and git.
PYTHON ?= python3
BIN := .venv/bin
# what each target installs, and no more: the demo, the fast tests, everything
EXTRAS_demo := demo
EXTRAS_test := demo,cluster,sweeps,test
EXTRAS_all := demo,cluster,postgres,tensorflow,xgboost,lightgbm,jax,sweeps,mlflow,gpu,test,dev
# tests that need no further framework, no server and no browser; all but whole lives of models that take 10 s or more
FAST := not frameworks and not services and not browser and not slow
PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal
# the last version that runs on the Node.js 18 of Debian 12
AZURITE := 3.35.0
# the last release that can be imported: 1.2.0 imports itself in a circle
PYTDML := 1.1.7
# the release of the client in constraints.txt
MLFLOW := 3.17.2
STAC_VALIDATOR := 0.6.8
# finds what keeps people from using pages; rules of WCAG 2.2
AXE := 4.14.1
# an issuer of tokens, certified by the OpenID Foundation
OIDC_PROVIDER := 9.13.3
MODEL_SIGNING := 1.1.1
# resolves and hashes what images install; the packages of a code location
UV := 0.13.9
EXTRAS_code := --extra demo --extra cluster --extra sweeps --extra mlflow
# with the last release of ol-stac that it can be built with: later ones ask for a newer OpenLayers
STAC_BROWSER := 4.0.1
OL_STAC := 1.1.0
# Natural Earth as TopoJSON
WORLD_ATLAS := 2.0.2

.DEFAULT_GOAL := help
# else each of the many processes would compile our modules anew
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help install azurite pytdml mlflow stac-validator stac-browser oidc-provider axe-core pgstac dvc model-signing export-peers export-eotdl serving-clients demo up hub-screenshots locks images test-images coastlines test test-all test-changed test-random faults mutations lint bench clean

help: ## show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: .venv/with-all .env ## make .venv with everything, pinned: all frameworks, services, tools

.venv/with-%: pyproject.toml setup.py constraints.txt
	@echo "installing pinned versions into .venv for: $* ..."
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS_$*)]'
	@$(BIN)/python -m compileall -q mlops_assets resources
	@touch $@

# dagster and dg read .env in this folder: so they find the demo's history without further ado
.env:
	@mkdir -p workspace/dagster
	@echo "DAGSTER_HOME=$(CURDIR)/workspace/dagster" > $@

azurite: .venv/azurite/$(AZURITE) ## the Azure Blob emulator; tests of az:// are skipped without it (needs node, npm)

.venv/azurite/$(AZURITE): .venv/with-all
	@npm install --prefix .venv/azurite --no-fund --no-audit --loglevel=error azurite@$(AZURITE)
	@touch $@

pytdml: .venv/pytdml/$(PYTDML) ## the reader of TrainingDML-AI, in an environment of its own; its test is skipped without it

.venv/pytdml/$(PYTDML): .venv/with-all
	@$(BIN)/python -m venv .venv/pytdml
	@.venv/pytdml/bin/python -m pip install --quiet --disable-pip-version-check geojson==3.3.0 pydantic==2.14.3
	@.venv/pytdml/bin/python -m pip install --quiet --disable-pip-version-check --no-deps pytdml==$(PYTDML)
	@touch $@

stac-validator: .venv-peers/stac-validator/$(STAC_VALIDATOR) ## stac-api-validator, in an environment of its own; its test is skipped without it

.venv-peers/stac-validator/$(STAC_VALIDATOR): .venv/with-all
	@$(BIN)/python -m venv .venv-peers/stac-validator
	@.venv-peers/stac-validator/bin/python -m pip install --quiet --disable-pip-version-check stac-api-validator==$(STAC_VALIDATOR)
	@touch $@

oidc-provider: .venv-peers/oidc-provider/$(OIDC_PROVIDER) ## an issuer of tokens; its test is skipped without it (needs node, npm)

.venv-peers/oidc-provider/$(OIDC_PROVIDER):
	@npm install --prefix .venv-peers/oidc-provider --no-fund --no-audit --loglevel=error oidc-provider@$(OIDC_PROVIDER)
	@touch $@

axe-core: .venv-peers/axe-core/$(AXE) ## the checker of accessibility; the test of all pages is skipped without it (needs npm)

.venv-peers/axe-core/$(AXE):
	@npm install --prefix .venv-peers/axe-core --no-fund --no-audit --loglevel=error axe-core@$(AXE)
	@touch $@

pgstac: .venv/with-all ## stac-fastapi-pgstac, in an environment of its own; its tests are skipped without it (needs PostGIS, too)
	@$(BIN)/python -c "from benchmarks.peer_environments import install_peer; install_peer('pgstac')"

dvc: .venv/with-all ## DVC, in an environment of its own; its tests are skipped without it
	@$(BIN)/python -c "from benchmarks.peer_environments import install_peer; install_peer('dvc')"

export-peers: .venv/with-all ## MLflow, Triton's client and KServe's SDK, in environments of their own; tests of exports are skipped without them
	@$(BIN)/python -c "from benchmarks.peer_environments import install_peer; [install_peer(f'export-{name}') for name in ('mlflow', 'triton', 'kserve')]"

serving-clients: .venv/with-all ## Triton's HTTP client and schemathesis, in an environment of its own; tests of `mlops serve` are skipped without it
	@$(BIN)/python -c "from benchmarks.peer_environments import install_peer; install_peer('serving-clients')"

export-eotdl: ## EOTDL's client, which needs Python 3.12; its test is skipped without it
	@python3.12 -m venv .venv-peers/export-eotdl
	@.venv-peers/export-eotdl/bin/python -m pip install --quiet --disable-pip-version-check eotdl==2026.6.29

model-signing: .venv/model-signing/$(MODEL_SIGNING) ## the verifier of OpenSSF Model Signing, in an environment of its own; its test is skipped without it

# it needs pyOpenSSL, which it does not declare
.venv/model-signing/$(MODEL_SIGNING): .venv/with-all
	@$(BIN)/python -m venv .venv/model-signing
	@.venv/model-signing/bin/python -m pip install --quiet --disable-pip-version-check model-signing==$(MODEL_SIGNING) pyopenssl==26.4.0
	@touch $@

stac-browser: .venv-peers/stac-browser/$(STAC_BROWSER) ## STAC Browser, built; its test is skipped without it (needs node, npm)

.venv-peers/stac-browser/$(STAC_BROWSER):
	@mkdir -p $(@D)
	@cd $(@D) && npm pack --silent @radiantearth/stac-browser@$(STAC_BROWSER) | xargs tar -xz --strip-components 1 -f
	@cd $(@D) && npm install --no-fund --no-audit --loglevel=error --save-exact ol@10.6.0 ol-stac@$(OL_STAC)
	@cd $(@D) && npx vue-cli-service build --noSourceMaps --historyMode=hash --displayPreview=false
	@touch $@

coastlines: .venv/with-all ## the coastlines of the hub's maps, as they are in the repository (needs npm)
	@mkdir -p .venv/world-atlas
	@cd .venv/world-atlas && npm pack --silent world-atlas@$(WORLD_ATLAS) | xargs tar -xz --strip-components 1 -f
	@.venv/bin/python docs/coastlines.py .venv/world-atlas/land-50m.json mlops_assets/hub/static/land.json

mlflow: .venv/mlflow-server/$(MLFLOW) ## a whole MLflow server, in an environment of its own; its tests are skipped without it

.venv/mlflow-server/$(MLFLOW): .venv/with-all
	@$(BIN)/python -m venv .venv/mlflow-server
	@.venv/mlflow-server/bin/python -m pip install --quiet --disable-pip-version-check mlflow==$(MLFLOW)
	@touch $@

demo: .venv/with-demo .env ## run the main job on the example: land, commit, train, compare, promote, verify, predict
	@$(BIN)/mlops demo

up: .venv/with-demo .env ## the hub, Dagster's daemon and sensors on the demo's workspace; PORT=3000
	@$(BIN)/mlops up --port $(or $(PORT),3000)

# torch 2.13.0+cpu is taken where UV_FIND_LINKS or UV_INDEX offers it; what they name is not written
LOCK = .venv-peers/uv/$(UV)/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11 \
	--python-platform x86_64-manylinux_2_28 --constraint constraints.txt

.venv-peers/uv/$(UV):
	@$(PYTHON) -m venv $@
	@$@/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV)

locks: .venv-peers/uv/$(UV) ## requirements/*.lock: what the images install, with hashes
	@$(LOCK) --output-file requirements/build.lock requirements/build.in
	@$(LOCK) --output-file requirements/serving.lock requirements/serving.in
	@$(LOCK) $(EXTRAS_code) --output-file requirements/code.lock pyproject.toml
	@$(LOCK) $(EXTRAS_code) --extra gpu --output-file requirements/gpu.lock pyproject.toml requirements/gpu.in

test-images: .venv/with-all ## build the images hub and serving, and see them work as their user (root, buildah, debootstrap; ten gigabytes)
	@IMAGES=1 REQUIRE_SERVICES=1 $(PYTEST) -n 0 mlops_assets_tests/deployments/docker/test_images.py

images: ## the images code, hub and serving (needs buildah or docker; BASE=IMAGE with Python 3.11)
	@$(PYTHON) deployments/docker/build.py $(if $(BASE),--base $(BASE))

hub-screenshots: .venv/with-all ## the pictures of the README, from the workspace of `make demo` (needs chromium)
	@$(BIN)/python docs/hub_screenshots.py

test: .venv/with-test ## the fast tests: all that need no further framework, server or browser
	@$(PYTEST) -m "$(FAST)"

test-all: test .venv/with-all ## the fast tests, then those with other frameworks, services and a browser
	@$(PYTEST) -m "not ($(FAST))"

test-changed: .venv/with-test ## the fast tests that a change since the last call concerns; the first call runs all
	@$(BIN)/python -m pytest --testmon -m "$(FAST)"

test-random: .venv/with-test ## the fast tests in a random order; SEED=N for a certain one
	@$(PYTEST) -m "$(FAST)" -p randomly $(if $(SEED),--randomly-seed=$(SEED))

mutations: .venv/with-test ## break the core in 30 places, one after the other, and see the fast tests go red
	@$(BIN)/python -m benchmarks.mutations

faults: .venv/with-all ## kill, cut off, fill and flip what the core relies on, and count what held
	@FAULTS=long $(PYTEST) -m faults

lint: .venv/with-all ## style, types, layers, security
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive mlops_assets resources
	@$(BIN)/hadolint deployments/docker/Dockerfile

bench: .venv/with-all ## measure, and print the tables of benchmarks/README.md
	@$(BIN)/python -m benchmarks

clean: ## remove what was made here, the workspace with all its data too
	rm -rf .venv .env workspace build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
