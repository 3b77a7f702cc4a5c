# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
BIN := .venv/bin
NOGIL := .venv-nogil/bin
DOCS := .venv-docs/bin
RELEASE := .venv-release/bin

.DEFAULT_GOAL := help

help: ## show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "untorn needs Python 3.11 or later: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	    { echo "cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

.venv-nogil/ready: pyproject.toml | .venv/ready
	@python=$$($(BIN)/python tools/nogil.py) && $$python -m venv --clear .venv-nogil
	$(NOGIL)/python tools/install.py
	@touch $@

.venv-docs/ready: pyproject.toml | .venv/ready
	$(BIN)/python -m venv --clear .venv-docs
	$(DOCS)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

.venv-release/ready: pyproject.toml | .venv/ready
	$(BIN)/python -m venv --clear .venv-release
	$(RELEASE)/python -m pip install --quiet --disable-pip-version-check -e '.[release]'
	@touch $@

ENGINE_READERS = none mmap_lock vma_lock rcu
READERS = $(ENGINE_READERS) smaps gentle maps query psutil

bench: .venv/ready ## mmap/munmap latency under maps readers, simulated, on this kernel, in the engine: table and bench.svg
	$(BIN)/untorn bench --target sim:6.18 --target live --target engine $(READERS:%=--reader %) --plot bench.svg --json bench.json

# The nearest to be had on each side of each change (6.17: maps, 6.18: PROCMAP_QUERY, 7.2: smaps).
KERNELS ?= 6.12 6.16 6.17 6.18 7.1 7.2 7.3
# Runs of each reader: one is enough for a table, and good to a factor of 3 where stalls are long.
SAMPLES ?= 1

kernels: .venv/ready ## before and after on stock kernels in QEMU: table, kernels.svg and kernels.html
	$(BIN)/untorn kernels fetch $(KERNELS)
	$(BIN)/untorn bench $(KERNELS:%=--target vm:%) \
	    --reader none --reader maps --reader smaps --reader query --reader gentle --reader 'gentle, smaps' \
	    --virtual-time --nsamples $(SAMPLES) --duration 5 --mb 128 --gap 1500 --busyduration 5 --locks --plot kernels.svg --json kernels.json --html kernels.html

# From files of `untorn bench --json`: of `make kernels`, and of `--target live`.
SIM_KERNELS ?= kernels.json

sim-kernels: .venv/ready ## the simulation held against what make kernels measured: table and docs/simulation-kernels.svg
	$(BIN)/python benchmarks/sim_against_kernels.py $(SIM_KERNELS)

# Those that users have: long series, those before and after a change, and the newest.
CONFORM_KERNELS ?= 6.1 6.12 6.16 6.18 7.1 7.2 7.3

conform-kernels: .venv/ready ## the engine against stock kernels in QEMU: 20,000 operations of three seeds each
	$(BIN)/untorn kernels fetch $(CONFORM_KERNELS)
	$(BIN)/untorn conform $(CONFORM_KERNELS:%=--target vm:%) --seed 1 --seed 2 --seed 3

conform-programs: .venv/ready ## the engine against what real programs do: those of Debian that this machine has
	$(BIN)/python benchmarks/real_programs.py

bench-micro: .venv/ready ## speed of the engine's parts at 1,000 to 1,000,000 VMAs
	$(BIN)/python benchmarks/micro.py

bench-readers: .venv/ready ## who reads the maps of a large process how fast
	$(BIN)/python benchmarks/readers.py

bench-counting: .venv/ready ## how long it takes to know what is in memory, of a process and of all
	$(BIN)/python benchmarks/counting.py

bench-stall: .venv/ready ## who stalls a process how long, by its resident memory: table and memory-stall.svg
	$(BIN)/python benchmarks/memory_stall.py

bench-mount: .venv/ready ## how long an agent stalls a process through a mount, and what the mount costs
	$(BIN)/python benchmarks/mount_stall.py
	$(BIN)/python benchmarks/mount_cost.py

bench-load: .venv/ready ## a mount while many clients read, and while processes come and go
	$(BIN)/python benchmarks/mount_load.py

bench-nogil: .venv-nogil/ready ## the engine with and without the GIL: two tables
	PYTHON_GIL=1 $(NOGIL)/untorn bench $(ENGINE_READERS:%=--reader %)
	PYTHON_GIL=0 $(NOGIL)/untorn bench $(ENGINE_READERS:%=--reader %)

sim-sweep: .venv/ready ## where each way of reading maps breaks down, simulated: tables, sim-sweep.json and .svg
	$(BIN)/python benchmarks/sim_sweep.py

sim-timeline: .venv/ready ## who held what while the mapper waited, simulated: sim-timeline.svg
	$(BIN)/python benchmarks/sim_timeline.py

check-orders: .venv/ready ## every default scenario under Linux's memory orders, and with each order taken away: minutes
	$(BIN)/untorn check --memory linux
	$(BIN)/untorn check --memory linux --mutant all

bench-checker: .venv/ready ## schedules per second of the checker
	$(BIN)/python benchmarks/checker.py

soak: .venv/ready ## ten minutes of random writers and readers, invariants checked; a hundred mounts killed
	$(BIN)/python -m pytest tests/test_soak.py --soak-seconds 600 --timeout 1200 -s
	$(BIN)/python -m pytest tests/serve/test_mount_kills.py --mount-kills 100 --timeout 3600 -s

test: lint tests ## lint, types and tests; TESTS="tests/cli/test_doctor.py -x" for some of them

tests: .venv/ready ## the tests alone; TESTS as above
	$(BIN)/python -m pytest $(TESTS)

test-nogil: .venv-nogil/ready ## the tests on CPython without the GIL, which is found, or made; TESTS as above
	PYTHON_GIL=0 $(NOGIL)/python -m pytest $(TESTS)

test-all: .venv-release/ready ## the tests on every Python from 3.11 to 3.14 that is here; TESTS as above
	$(RELEASE)/nox --sessions tests -- $(TESTS)

docs: .venv-docs/ready ## the site, in site/; its links, its examples, and each page in a browser
	NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs build --quiet
	$(DOCS)/python -m pytest tests/docs

dist: .venv-release/ready ## wheel and sdist, in dist/, tried in an empty environment
	rm -rf dist man
	$(RELEASE)/python tools/manual.py man
	$(RELEASE)/python -m build --outdir dist .
	$(RELEASE)/twine check --strict dist/*
	$(RELEASE)/python -m pytest tests/dist

figures: .venv/ready ## put what commands wrote (FIGURES="bench.json kernels.json") into the pages
	$(BIN)/python tools/figures.py $(FIGURES)

lint: .venv/ready ## ruff, mypy --strict, and which way imports go
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/imports.py

clean: ## remove what the other targets made
	rm -rf .nox .venv .venv-nogil .venv-docs .venv-release dist man site bench.svg bench.json kernels.svg kernels.json kernels.html memory-stall.svg memory-stall-*.json sim-sweep.json sim-sweep.part sim-sweep.svg sim-timeline.svg .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help bench kernels sim-kernels conform-kernels conform-programs bench-micro bench-readers bench-counting bench-stall bench-mount bench-load bench-nogil sim-sweep sim-timeline check-orders bench-checker soak test tests test-nogil test-all docs dist figures lint clean
