# Everything runs in .venv, which the first target that needs it makes. `make help` lists the targets.
CHAR   ?= atlas
CLIP   ?= walk.bvh
ENGINE ?=
ARGS   ?=

MIMIC  := .venv/bin/mimic-pipe
PIP    := .venv/bin/python -m pip install --no-compile --quiet --disable-pip-version-check --constraint constraints.txt
SOURCE  = $(if $(findstring /,$(CLIP)),$(CLIP),raw_mocap/$(CLIP))
NAME    = $(patsubst %.keyframes,%,$(basename $(notdir $(CLIP))))
RESULT  = processed/$(CHAR)/$(NAME)
PHYSICS = $(if $(ENGINE),--engine $(ENGINE))
BASE   := .venv/.base
DEV    := .venv/.dev
TRAIN  := .venv/.train
VIEW   := .venv/.view

.DEFAULT_GOAL := help
.PHONY: help setup setup-train samples inspect ingest map retarget phase gains validate export render report view characters schema \
        train evaluate push skill skills evaluate-all ablate test check format bench bench-train results results-gains gallery clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo "Variables: CHAR=$(CHAR) CLIP=$(CLIP) ENGINE=mujoco|pybullet ARGS='more options of the command'"

setup: $(BASE)  ## make .venv and install what retargeting needs
setup-train: $(TRAIN)  ## the same and what training needs (torch)

samples: $(BASE)  ## write the sample clips into raw_mocap/
	$(MIMIC) samples $(ARGS)
inspect: $(BASE)  ## what is in raw_mocap/CLIP: skeleton, unit, up axis, roles
	$(MIMIC) inspect $(SOURCE) $(ARGS)
ingest: $(BASE)  ## read and clean raw_mocap/CLIP
	$(MIMIC) ingest $(SOURCE) $(ARGS)
map: $(BASE)  ## print the proposed joint map of CLIP onto CHAR
	$(MIMIC) map $(SOURCE) --char $(CHAR) $(ARGS)
retarget: $(BASE)  ## raw_mocap/CLIP onto CHAR: clip, gains, quality
	$(MIMIC) retarget $(SOURCE) --char $(CHAR) $(ARGS)
phase: $(BASE)  ## choose the cycle of the retargeted clip again
	$(MIMIC) phase $(RESULT) $(ARGS)
gains: $(BASE)  ## derive the PD gains of the retargeted clip again
	$(MIMIC) gains $(RESULT) $(ARGS)
validate: $(BASE)  ## measure the retargeted clip: yes or no
	$(MIMIC) validate $(RESULT) $(ARGS)
export: $(BASE)  ## the retargeted clip in another format: ARGS='--format bvh'
	$(MIMIC) export $(RESULT) $(ARGS)
render: $(BASE)  ## a moving picture of the retargeted clip
	$(MIMIC) render $(RESULT) -o $(RESULT)/$(NAME).gif $(ARGS)
report: $(BASE)  ## all that is known of the retargeted clip, as one HTML page
	$(MIMIC) report $(RESULT) $(ARGS)
view: $(VIEW)  ## the retargeted clip in a browser; ARGS='--save walk.html' writes a page
	$(MIMIC) view $(RESULT) $(ARGS)
characters: $(BASE)  ## the bodies there are
	$(MIMIC) characters list $(ARGS)
schema: $(BASE)  ## JSON Schema of a file: ARGS=clip
	$(MIMIC) schema $(or $(ARGS),clip)

train: $(TRAIN)  ## a policy that performs the retargeted clip, into policies/
	$(MIMIC) train $(RESULT) $(PHYSICS) $(ARGS)
evaluate: $(TRAIN)  ## normalised return of policies/CHAR/CLIP
	$(MIMIC) evaluate policies/$(CHAR)/$(NAME) $(PHYSICS) $(ARGS)
push: $(TRAIN)  ## how hard a push the policy survives, by phase and direction
	$(MIMIC) push policies/$(CHAR)/$(NAME) $(PHYSICS) $(ARGS)

skill: $(TRAIN)  ## raw_mocap/CLIP to a policy of CHAR: retarget, validate, train, evaluate, push
	$(MIMIC) skill $(SOURCE) --char $(CHAR) $(ARGS)
skills: $(TRAIN)  ## every skill of train/skills.toml, and docs/results/skills.md
	$(MIMIC) skills $(ARGS)
evaluate-all: $(TRAIN)  ## measure every policy in policies/ again
	$(MIMIC) evaluate-all $(ARGS)
ablate: $(TRAIN)  ## train the retargeted clip with and without RSI and early termination: docs/results/ablation.md
	$(MIMIC) ablate $(RESULT) $(ARGS)

test: $(DEV)  ## all tests
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n auto --dist worksteal $(ARGS)
check: $(DEV)  ## formatting, lint, types, tests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/pyright
	$(MAKE) test
format: $(DEV)  ## format the code
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .
bench: $(DEV)  ## the speed tables
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks $(ARGS)
results: $(DEV)  ## docs/results/retarget.md again: every sample and clip on both bodies (10 minutes)
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.results_retarget $(ARGS)
results-gains: $(DEV)  ## docs/results/gains.md again: the gains of every walk, tried in both engines (1 minute)
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.results_gains $(ARGS)
gallery: $(BASE)  ## docs/gallery.md again: every sample on every body, and their film (5 minutes)
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.gallery $(ARGS)
bench-train: $(TRAIN)  ## samples per second of training
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/bench_train.py $(ARGS)
clean:  ## remove .venv and caches; raw_mocap/ and processed/ stay
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@for python in $(PYTHON) python3.11 python3 python; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then \
	    echo "making .venv with $$python" >&2; \
	    "$$python" -m venv .venv && touch $@ && exit 0; \
	    echo "$$python cannot make a virtual environment; on Debian and Ubuntu: sudo apt-get install python3.11-venv" >&2; \
	    exit 1; \
	  fi; \
	done; \
	echo "mimic-pipe needs Python 3.11, the newest that PyBullet has wheels for; found: $$(python3 --version 2>&1)." >&2; \
	echo "Install it beside yours (Debian/Ubuntu: sudo apt-get install python3.11 python3.11-venv · macOS: brew install" >&2; \
	echo "python@3.11 · anywhere: uv python install 3.11, or pyenv install 3.11), then: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
	exit 1

$(BASE): .venv/.made pyproject.toml constraints.txt
	@echo "installing what retargeting needs" >&2
	@$(PIP) --editable .
	@touch $@
$(DEV): $(TRAIN)
	@echo "installing what the tests need" >&2
	@$(PIP) --editable '.[dev]'
	@touch $@
$(VIEW): $(BASE)
	@echo "installing what the viewer needs" >&2
	@$(PIP) --editable '.[view]'
	@touch $@
$(TRAIN): $(BASE)
	@echo "installing what training needs" >&2
	@$(PIP) --editable '.[train]'
	@touch $@
