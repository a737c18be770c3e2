# `make demo` and `make test` need nothing but Python 3.11+, Node 20.19+ and make.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
FRONT := $(shell find labextension/src labextension/style labextension/schema -type f)
CODE := $(shell find llmport_magic -name labextension -prune -o -type f ! -name '*.pyc' -print)
PROJECT := pyproject.toml install.json node_modules/.package-lock.json

# `make test SKIP="browser embedded"` leaves these tests out, and what only they need.
SKIP ?=
MARKS := not integration$(foreach mark,$(SKIP), and not $(mark))
# The quickstart asks the embedded model; the others ask nobody.
NOTEBOOKS := $(filter-out $(if $(filter embedded,$(SKIP)),notebooks/quickstart.ipynb),$(wildcard notebooks/*.ipynb))
# Each in a folder of its own: they run at once, and two of them make a module of one name.
COPIES := test-results/notebooks

# The tests that talk HTTP run on the other HTTP library, too.
OF_THE_WIRE := $(wildcard tests/test_network_*.py) $(patsubst %,tests/test_llm_%.py,cancelling \
	contract contract_failures failures hostile provider safety streaming whole)

# Tests of the byte code cache need one.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test install lint typecheck build clean need-browser need-embedded

demo: $(VENV)/demo.stamp
	$(BIN)/python scripts/demo.py

# On a busy machine the embedded model takes longer for the quickstart than a user would wait.
test: export LLMPORT_BUDGET_SECONDS := 1800
test: export LLMPORT_TOTAL_TIMEOUT := 1800
test: lint typecheck $(filter-out $(SKIP:%=need-%),need-browser need-embedded)
	npm run --silent test
	rm -rf $(COPIES)
	@for notebook in $(NOTEBOOKS); do \
		place="$(COPIES)/$$(basename "$$notebook" .ipynb)" && \
		mkdir -p "$$place" && cp "$$notebook" "$$place" || exit 1; done
	LLMPORT_SANDBOX_SECONDS=120 $(BIN)/python -m pytest -rs --durations=10 -n 4 --dist loadfile --no-loadscope-reorder \
		--nbval-lax --nbval-current-env --nbval-kernel-startup-timeout=240 -m "$(MARKS) and not alone" $(COPIES) tests/browser tests
	$(BIN)/python -m pytest --durations=5 -m "$(MARKS) and alone"
	TEST_TRANSPORT=httpx2 $(BIN)/python -m pytest --quiet -n 2 --dist loadfile $(OF_THE_WIRE)

install: $(VENV)/test.stamp

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	npm run --silent lint

typecheck: install
	$(BIN)/mypy

build: install
	rm -rf dist
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m build --no-isolation

clean:
	rm -rf $(VENV) node_modules build dist demo-output test-results labextension/lib llmport_magic/labextension
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis tsconfig.tsbuildinfo

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: put it on the PATH, or say make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

node_modules/.package-lock.json: package.json package-lock.json .npmrc
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(+(a < 20 || (a == 20 && b < 19)))' 2>/dev/null \
		|| { echo "Node 20.19 or newer is needed: put node and npm on the PATH"; exit 1; }
	npm ci --no-audit --no-fund
	@touch $@

# The demo stands on an ordinary installation, the tests on an editable one.
$(VENV)/demo.stamp: $(BIN)/python $(PROJECT) $(FRONT) $(CODE)
	$(PIP) install '.[embedded,lab]' nbclient
	@rm -f $(VENV)/test.stamp
	@touch $@

$(VENV)/test.stamp: $(BIN)/python $(PROJECT) $(FRONT)
	$(PIP) install --editable '.[embedded,lab,test]'
	$(BIN)/jupyter-builder develop --overwrite .
	@rm -f llmport_magic/labextension/install.json # the wheel takes the one at the root
	@rm -f $(VENV)/demo.stamp
	@touch $@

need-embedded: install
	@for size in small large; do $(BIN)/python -c 'import sys; \
		from llmport_magic.llm.weights import ensure_weights, weights_for; \
		print(weights_for(sys.argv[1]).describe()); print(ensure_weights(sys.argv[1]))' $$size \
		|| exit 1; done

need-browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || sh scripts/install_chromium.sh
