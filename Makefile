# make run: set up and start the proxy on 127.0.0.1:4000.   make test: set up and pass the tests.
# The environment is made in .venv from the hashed locks in requirements/; nothing else is touched.

# Empty: the best one of this machine (tools/choose_python.sh).
PYTHON ?=
BIN := .venv/bin
ARGS ?=

.PHONY: setup run demo test test-thorough test-pythons test-browser test-agents test-litellm test-deploy test-image manifests image coverage mutants check check-types check-rules check-js format bench bench-peers cost flame e2e lock docs site test-site dist dist-check release clean
.DEFAULT_GOAL := run
# Many images set it, and then every process would compile and pytest rewrite all files again.
unexport PYTHONDONTWRITEBYTECODE

setup: .venv/.run

run: .venv/.run  ## start the proxy: the demo, unless llmproxy.yaml or API keys are there
	@$(BIN)/llmproxy serve --or-demo $(ARGS)

demo: .venv/.run
	@$(BIN)/llmproxy demo $(ARGS)

test: .venv/.dev  ## every test but the benchmarks, the real models, the real browser and the agents; with ARGS, pytest ARGS
ifeq ($(strip $(ARGS)),)
	@$(BIN)/pytest -m "not clock" -n 8 --dist loadfile --no-loadscope-reorder --reruns 1
	@$(BIN)/pytest -m clock -n 2 --dist loadfile --reruns 2
else
	@$(BIN)/pytest $(ARGS)
endif

test-thorough: .venv/.dev  ## the same, with all examples of the property tests
	@HYPOTHESIS_PROFILE=thorough $(MAKE) test

test-pythons:  ## the tests with each supported Python that this machine has
	@sh tools/pythons.sh $(ARGS)

coverage: .venv/.dev  ## the share of each file that the tests of one process reach
	@$(BIN)/coverage run -m pytest -m "not clock" --ignore tests/system --ignore tests/clients $(ARGS)
	@$(BIN)/coverage report

mutants: .venv/.dev  ## change the rules one line at a time, and print the changes that no test notices
	@$(BIN)/python tools/mutants.py $(ARGS)

test-browser: .venv/.browser  ## the dashboard in Debian's Chromium; with PICTURES=1 leaves pictures in tests/browser/work
	@chromium=$$(sh tools/chromium.sh) && CHROMIUM="$$chromium" $(BIN)/python -m pytest tests/browser -n 3 --dist loadgroup $(or $(ARGS),--reruns 1)

test-agents: .venv/.dev  ## Codex itself, from npm, against what is translated for it
	@sh tools/agents.sh $(ARGS)

test-litellm: .venv/.dev  ## routing beside LiteLLM's own Router, and its SDK as a client; installs LiteLLM into .venv-litellm
	@sh tools/litellm.sh $(ARGS)

test-deploy: .venv/.dev .venv/.deploy  ## Dockerfile, compose file, chart, manifests and units, with their linters and schemas
	@sh tools/deploy.sh
	@$(BIN)/python -m pytest tests/deploy $(ARGS)

manifests: .venv/.deploy  ## write ops/kubernetes from the chart in ops/helm
	@$(BIN)/python tools/manifests.py

test-image: .venv/.dev  ## replay the Dockerfile on a root file system of Debian, and serve in it; as root, some minutes
	@sh tools/image_root.sh .venv/image
	@LLMPROXY_IMAGE_BASE=.venv/image $(BIN)/python -m pytest tests/deploy/test_image.py $(ARGS)

image:  ## build the image with Docker; ARGS="--build-arg EXTRAS=postgres"
	@docker build -t llmproxy-gateway $(ARGS) --build-arg REVISION="$$(git rev-parse HEAD)" \
		--build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' llmproxy/__init__.py)" .

check: .venv/.dev  ## format, lint, types, layers, size budget, generated docs
	@$(MAKE) --no-print-directory -j 2 check-types check-rules

check-types: .venv/.dev
	@$(BIN)/mypy

check-rules: .venv/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/python tools/budget.py
	@$(BIN)/python tools/reference.py --check

check-js: .venv/bin/python  ## the types of the dashboard's scripts, with npm's TypeScript; skipped without npm
	@sh tools/check_js.sh

format: .venv/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: .venv/.dev  ## regenerate the pages of docs/reference and docs/llmproxy.schema.json
	@$(BIN)/python tools/reference.py

site: .venv/.docs  ## build the documentation as a site in site/: offline; warnings and misspelt words are errors
	@$(BIN)/codespell *.md docs ops llmproxy tools
	@$(BIN)/sphinx-build -q -W --keep-going -j auto -b html -d .venv/.sphinx docs site
	@echo "Written: site/index.html"

test-site: .venv/.dev site  ## the links, anchors and assets of the built site
	@$(BIN)/python -m pytest tests/site $(ARGS)

bench: .venv/.bench  ## nginx, LLMProxy and direct, side by side; writes bench/RESULTS.md
	@$(BIN)/python bench/run.py $(ARGS)

# A network of its own: one of the peers listens on every address.
bench-peers: .venv/.bench .venv-peers/.ready  ## CPU per call and chunk beside other gateways of PyPI, in one run
	@unshare -rn sh -c 'ip link set lo up && exec $(BIN)/python bench/peers.py $(ARGS)'

cost: .venv/.run  ## what a call and a chunk cost, in instructions and bytecodes; ARGS="--functions 20" names the dearest
	@$(BIN)/python bench/cost.py $(ARGS)

flame: .venv/.dev .venv/.bench  ## a flame graph under load in bench/work/flame.svg; ARGS=--native draws C functions, too
	@$(BIN)/python bench/flame.py $(ARGS)

e2e: .venv/.e2e  ## against two real llama.cpp servers
	@$(BIN)/python -m pytest tests/e2e -s $(ARGS)

lock: .venv/.dev  ## resolve the locks again (needed after a change of dependencies)
	@sh tools/lock.sh

.venv/bin/python:
	@sh tools/venv.sh $(PYTHON)

.venv/.run: requirements/run.txt pyproject.toml | .venv/bin/python
	@echo "Installing LLMProxy into .venv (up to a minute) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

.venv/.dev .venv/.bench .venv/.browser .venv/.deploy .venv/.docs .venv/.e2e: .venv/.%: requirements/%.txt .venv/.run
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

.venv-peers/.ready: requirements/peers.txt | .venv/bin/python
	@echo "Installing the other gateways into .venv-peers ..."
	@rm -rf .venv-peers && $(BIN)/python -m venv .venv-peers
	@.venv-peers/bin/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

dist: .venv/.dev  ## build wheel, source archive, SBOM and licences of this commit into dist/
	@$(BIN)/python tools/dist.py $(ARGS)

dist-check: .venv/.dev  ## install what is in dist/ into empty environments, and ask each demo once
	@$(BIN)/python tools/dist_check.py $(ARGS) dist/*.whl

release: .venv/.dev  ## check that this commit can be released, and build it; docs/project/releasing.md
	@$(BIN)/python tools/release.py $(ARGS)

clean:
	rm -rf .venv .venv-litellm .venv-peers .venv-pythons site dist bench/work tests/browser/work
