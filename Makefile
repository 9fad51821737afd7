# make repro   raw faces to ranked, evaluated models (dvc repro)
# make test    the tests
# make ui      MLflow's page on this project's runs
# make serve   the page and the API on the shipped model
# Each makes .venv first when it is not there, with the versions of constraints.txt; serve a small one, .venv-serve.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
EXTRAS ?= train,serve,sweep,test
# What is installed stands in the file's name, and for which Python and folder: another is not taken for there. The
# programs of an environment name the folder it was made in, and its libraries lie in one named after the version.
NAMED := $(subst /,_,$(PYTHON))-$(shell $(PYTHON) -c \
  'import os, sys, zlib; print("%d.%d-%08x" % (*sys.version_info[:2], zlib.crc32(os.fsencode(os.getcwd()))))')-
INSTALLED := .venv/installed-$(NAMED)$(EXTRAS)
INSTALLED_SERVE := .venv-serve/installed-$(NAMED)serve
export PATH := $(BIN):$(PATH)

.PHONY: repro test lint ui serve install install-serve

repro: install
	@git rev-parse --git-dir > /dev/null 2>&1 || \
	  { echo "DVC works in a git repository only: git init, then make repro again" >&2; exit 2; }
	dvc repro

test: install
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: install
	ruff check .
	ruff format --check .

ui: install
	@echo "MLflow's page: http://127.0.0.1:$(or $(PORT),5000); choose Model training there (end with Ctrl-C)"
	mlflow ui --backend-store-uri "sqlite:///$(CURDIR)/mlruns/mlflow.db" --host 127.0.0.1 --port $(or $(PORT),5000)

serve: install-serve
	.venv-serve/bin/python -m pipeline.serve $(if $(PORT),port=$(PORT))

install: $(INSTALLED)
install-serve: $(INSTALLED_SERVE)

$(INSTALLED): WANTED = $(EXTRAS)
$(INSTALLED_SERVE): WANTED = serve
$(INSTALLED) $(INSTALLED_SERVE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@test "$$($(@D)/bin/python -VV 2>&1)" = "$$($(PYTHON) -VV 2>&1)" && \
	  grep -qsF "$(CURDIR)/$(@D)/bin/python" $(@D)/bin/pip || \
	  $(PYTHON) -m venv --clear --without-pip $(@D)  # else one of another Python or folder would go on with that
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(WANTED)]'
	@rm -f $(filter-out $(@D)/installed-$(NAMED)%,$(wildcard $(@D)/installed*)) && touch $@  # of another Python
