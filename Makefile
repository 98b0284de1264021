# Two commands matter: `make serve` runs a gateway here, `make test` runs everything that is tested.

ifndef PYTHON
PYTHON := $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$name" && break; done)
endif

VENV := .venv
BIN := $(VENV)/bin
LOCAL := .local
LISTEN ?= 127.0.0.1:8443
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock
ROOT := $(filter 0,$(shell id -u))
TESTS = env -u REQUESTS_CA_BUNDLE -u CURL_CA_BUNDLE $(BIN)/python -m pytest -n 3 --dist worksteal \
	$(if $(ROOT),,-m "not root")

# The official openstorage client has an environment of its own: its distribution overwrites parts of `google`.
OPENSTORAGE_CLIENT := build/openstorage-client

# Cinder, Manila and Glance, as they are installed, with this distribution beside them.
OPENSTACK := build/openstack
OPENSTACK_TESTS = env -u REQUESTS_CA_BUNDLE -u CURL_CA_BUNDLE $(OPENSTACK)/bin/python -m pytest \
	$(if $(ROOT),,-m "not root") tests/openstack

# The stock libStorage client, for tests that root runs: it writes into its user's home, wherever HOME points.
REXRAY := build/rexray
REXRAY_MODULE := tests/clients/libstorage/rexray
GO = $(firstword $(shell command -v go) $(wildcard /usr/local/go/bin/go /usr/lib/go/bin/go))

# Swift, as it is installed: a second S3 store.
SWIFT := build/swift

# Ansible, with the one collection that the tests use.
ANSIBLE := build/ansible

# Real ZFS, in a virtual machine that scripts/zfsvm makes once (root) and starts for each run.
ZFS_GUEST := scripts/zfsvm
ZFS_PACKAGES := build/zfs-packages
ZFS_SERVERS := btrfs-progs,nfs-ganesha,nfs-ganesha-vfs,dbus,libnfs-utils,tgt,libiscsi-bin,qemu-utils,qemu-block-extra
ZFS_TIMEOUT ?= 5400
ZFS_TESTS ?= tests/zfs
ZFS_RUN := $(ZFS_GUEST) run --no-build --tree . --exclude $(VENV) --exclude .git --exclude .mypy_cache \
	--exclude .ruff_cache --exclude $(notdir $(OPENSTORAGE_CLIENT)) --exclude $(OPENSTACK) --exclude $(SWIFT) --exclude $(ANSIBLE) \
	--exclude $(notdir $(REXRAY)) --timeout $(ZFS_TIMEOUT) --mem 2048 \
	--env PYTHONPATH=/srv/tree:/srv/tree/$(ZFS_PACKAGES)

.PHONY: serve test test-openstack test-cinder test-manila test-ansible test-swift coverage lint docs proto bench clean test-packages test-zfs bench-zfs record-zfs docs-zfs zfs-guest

serve: $(VENV)/.serve $(LOCAL)/config.toml
	@scripts/welcome $(LOCAL)
	@exec env GATEWAY__LOG__FORMAT=console $(BIN)/gateway serve --config $(LOCAL)/config.toml

test: $(VENV)/.test $(OPENSTORAGE_CLIENT)/.installed $(OPENSTACK)/.installed $(ANSIBLE)/.installed test-packages $(if $(ROOT),$(REXRAY)) lint
	$(TESTS)
	$(MAKE) --no-print-directory test-ansible test-openstack

# The part of them that drives the services of OpenStack. No process can import both Cinder and Manila.
test-openstack: test-packages
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target test-cinder test-manila

test-cinder: $(OPENSTACK)/.installed
	$(OPENSTACK_TESTS)/cinder tests/openstack/test_cinder_*.py

test-manila: $(OPENSTACK)/.installed
	$(OPENSTACK_TESTS) --ignore=tests/openstack/cinder --ignore-glob='*/test_cinder_*.py'

# The modules of netapp.ontap, in playbooks that belong to one file of tests each.
test-ansible: $(VENV)/.test $(ANSIBLE)/.installed
	$(TESTS) --dist loadfile --ansible tests/ansible

# What of the package no test goes through. It takes half as long again.
coverage: $(VENV)/.test $(OPENSTORAGE_CLIENT)/.installed test-packages $(if $(ROOT),$(REXRAY))
	$(TESTS) --cov --cov-report=term:skip-covered

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# As root it opens a small pool of every driver; otherwise the kept records of those that need root are used.
docs: $(VENV)/.test
	$(BIN)/python -m gateway.testing.pages

# The Python of proto/, which is kept beside the code that uses it.
proto: $(VENV)/.test
	$(BIN)/python scripts/make-proto

bench: $(VENV)/.test
	env -u REQUESTS_CA_BUNDLE -u CURL_CA_BUNDLE $(BIN)/python -m bench

# The object stores' content cases on Swift; they take minutes, so they are asked for.
test-swift: $(VENV)/.test $(SWIFT)/.installed test-packages
	$(TESTS) -o timeout=600 --swift tests/swift

test-zfs: zfs-guest
	$(ZFS_RUN) -- 'python3 -m pytest -p no:cacheprovider -o timeout=900 --zfs -v $(ZFS_TESTS)'

bench-zfs: zfs-guest
	$(ZFS_RUN) -- 'python3 bench/zfs.py'

# Writes anew what the replayed transcripts say; look at the difference before keeping it.
record-zfs: zfs-guest
	$(ZFS_RUN) --out tests/unit/zfs_transcripts -- 'python3 scripts/record-zfs "$$OUT"'

# The record of what a ZFS pool can do, for `make docs`.
docs-zfs: zfs-guest
	$(ZFS_RUN) --out docs/backends -- 'python3 -m gateway.testing.pages zfs gateway.backends.zfs:ZfsBackend "$$OUT"'

zfs-guest: $(ZFS_PACKAGES)/.installed
	$(ZFS_GUEST) build --packages $(ZFS_SERVERS)

# The distribution itself is there for its entry points; its code is taken from the tree.
$(ZFS_PACKAGES)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	$(INSTALL) --target $(ZFS_PACKAGES) --upgrade --python-version 3.11 --only-binary :all: \
		aiohttp boto3 click cryptography googleapis-common-protos grpcio grpcio-health-checking grpcio-reflection \
		httpx msgspec multidict netapp-ontap prometheus-client protobuf PyJWT structlog \
		pytest pytest-asyncio pytest-timeout
	$(INSTALL) --target $(ZFS_PACKAGES) --upgrade --no-deps .
	@touch $@

# Without the dependencies that only its `connector` has: kubernetes, and thirty more with it.
$(OPENSTORAGE_CLIENT)/.installed: requirements.lock | $(VENV)/.test
	$(BIN)/python -m venv --clear --without-pip $(OPENSTORAGE_CLIENT)
	PIP_PYTHON=$(OPENSTORAGE_CLIENT)/bin/python $(INSTALL) --no-deps \
		grpcio libopenstorage-openstorage protobuf typing_extensions
	@touch $@

# By uv, because pip takes minutes for so many packages.
$(OPENSTACK)/.installed: tests/openstack/requirements.lock pyproject.toml | $(VENV)/.test
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(OPENSTACK)
	$(BIN)/uv pip install --quiet --python $(OPENSTACK)/bin/python --requirement $< --editable .
	@touch $@

$(SWIFT)/.installed: tests/swift/requirements.lock | $(VENV)/.test
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(SWIFT)
	$(BIN)/uv pip install --quiet --python $(SWIFT)/bin/python --requirement $<
	@touch $@

$(ANSIBLE)/.installed: tests/ansible/requirements.lock tests/ansible/collection.lock | $(VENV)/.test
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(ANSIBLE)
	$(BIN)/uv pip install --quiet --python $(ANSIBLE)/bin/python --requirement $<
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $(ANSIBLE) \
		--requirement tests/ansible/collection.lock
	scripts/unpack-collection $(ANSIBLE)/ansible-*.whl netapp.ontap $(ANSIBLE)/collections
	rm $(ANSIBLE)/ansible-*.whl
	@touch $@

# Its own main package and the dependencies of its lock file, with the executors that the tests use.
$(REXRAY): $(REXRAY_MODULE)/go.mod $(REXRAY_MODULE)/go.sum | test-packages
	cd $(REXRAY_MODULE) && CGO_ENABLED=0 $(or $(GO),go) build -mod=readonly -buildvcs=false -trimpath \
		-tags 'client isilon vfs' -o $(CURDIR)/$@ github.com/rexray/rexray

# What `make serve` keeps in .local, the account among it, stays.
clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find gateway tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

test-packages:
	@scripts/test-packages

$(LOCAL)/config.toml: | $(VENV)/.serve
	$(BIN)/gateway init --config-dir $(LOCAL) --listen $(LISTEN) --pool auto --pool memory

$(BIN)/python:
	$(if $(PYTHON),,$(error Python 3.11 or later is needed and was not found; say where it is with PYTHON=/path/to/python3))
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml requirements.lock | $(BIN)/python
	$(INSTALL) --editable '.[fast]'
	@touch $@

$(VENV)/.test: pyproject.toml requirements.lock | $(BIN)/python
	$(INSTALL) --editable '.[test]'
	@touch $@
