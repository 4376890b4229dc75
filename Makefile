# make run    the main job on SQLite: sample deals and real loans through the gate
# make test   every test
# make test-every-python   the same under each CPython found
# make bench  dealgate against its peers, into docs/benchmarks.md
# make faults the long fault tests: FAULTS_SEED=7 make faults
# make bench-portfolio, test-portfolio, test-cluster   a whole book: against a peer's loop, row for row, on a cluster
# make test-replay   50,000 stored decisions made again, on SQLite and on PostgreSQL
# make lint   ruff, mypy, import-linter

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATABASE := sqlite:///dealgate.db

# durable_rules is published as source only. The definition lets its last release build and load on CPython 3.13 and
# with gcc 14; on older ones it changes nothing.
ENGINE_CC := $(CC) -O2 -DPyEval_CallObject=PyObject_CallObject

.PHONY: run test test-every-python faults bench bench-ledger bench-memory bench-portfolio bench-compliance bench-service test-portfolio test-replay test-cluster lint lock clean

run: $(READY)
	@$(BIN)/dealgate db upgrade --db $(DATABASE)
	@echo
	@echo "Sample deals under the policy prime-auto (examples/README.md):"
	@echo
	@$(BIN)/dealgate submit examples/deals.jsonl --db $(DATABASE)
	@echo
	@echo "300 real loans from a public SEC filing under the policy securitised-pool (examples/real_loans/README.md):"
	@echo
	@$(BIN)/dealgate submit examples/real_loans/loans.jsonl --policy examples/real_loans/policy.yaml --db $(DATABASE)
	@echo
	@echo "The ledger of what was decided, sealed with a key and anchored in a file (docs/how-to/keep-the-ledger.md):"
	@echo
	@test -f dealgate.key || $(BIN)/dealgate ledger new-key lender.example/ledger -o dealgate.key > dealgate.pub
	@$(BIN)/dealgate ledger seal --key dealgate.key --anchor file:$(CURDIR)/dealgate.anchors --db $(DATABASE)
	@$(BIN)/dealgate ledger verify --key dealgate.pub --anchor dealgate.anchors --db $(DATABASE)
	@echo
	@echo "Stored in dealgate.db. Next: $(BIN)/dealgate decision list, $(BIN)/dealgate evaluate DEAL.json"

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# The suite under every CPython from 3.11 on that this machine has.
test-every-python:
	$(PYTHON) tests/every_python.py

# Tampering, crashes, power loss, cut connections and full disks, at length; shows figures. The short ones run in `make test`.
faults: $(READY)
	$(BIN)/python -m pytest -m faults -v -n auto --dist worksteal --durations 20

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dealgate needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	CC='$(ENGINE_CC)' $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# dealgate against its peers; writes docs/benchmarks.md and docs/benchmarks.svg. About seven minutes on a quiet machine.
bench: $(VENV)/.bench
	$(BIN)/python tests/benchmarks/run.py

# The ledger: submissions against bare INSERTs, verification, sealing, storage; writes docs/benchmarks-ledger.md.
bench-ledger: $(VENV)/.bench
	$(BIN)/python tests/benchmarks/ledger.py

# 1,000,000 evaluations in one process, by one thread and by eight; adds its section to docs/benchmarks.md.
bench-memory: $(VENV)/.bench
	$(BIN)/python tests/benchmarks/run.py --memory

# 1, 10 and 50 million deals on each engine, then 20 GB of Parquet in bounded memory; writes docs/benchmarks-portfolio.md.
bench-portfolio: $(VENV)/.bench
	$(BIN)/python tests/benchmarks/portfolio.py
	$(BIN)/python tests/benchmarks/portfolio.py --large 20

# Ten million decisions in PostgreSQL, and what compliance asks of them; writes docs/benchmarks-compliance.md. About an hour, 30 GB.
bench-compliance: $(VENV)/.bench
	$(BIN)/python tests/benchmarks/compliance.py

# The service on PostgreSQL with 1 to 64 clients, then a soak of 15 minutes; writes docs/benchmarks-service.md.
bench-service: $(VENV)/.bench
	$(BIN)/python tests/benchmarks/service.py
	$(BIN)/python tests/benchmarks/service.py --soak 15

# 100,000 generated deals on every engine against the single deal, column by column.
test-portfolio: $(READY)
	$(BIN)/python tests/portfolio_equality.py

# 50,000 stored decisions made again, all the same; then one altered behind the application's back, which is named.
test-replay: $(READY)
	$(BIN)/python tests/replay_many.py --database sqlite
	$(BIN)/python tests/replay_many.py --database postgresql

# A standalone Spark cluster of two workers, one of which is killed half way.
test-cluster: $(READY)
	$(BIN)/python tests/spark_cluster.py

$(VENV)/.bench: $(READY) requirements-bench.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

# Needs uv; writes the exact versions that development and CI use.
lock:
	uv pip compile pyproject.toml --extra anchors --extra async --extra pictures --extra portfolio --extra postgresql --extra proof --extra service --extra spark \
	  --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --upgrade -o requirements.lock
	uv pip compile --group bench --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --upgrade -o requirements-bench.lock

clean:
	rm -rf $(VENV) build dist *.egg-info dealgate.db dealgate.db-wal dealgate.db-shm dealgate.key dealgate.pub dealgate.anchors
