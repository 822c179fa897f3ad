# One word for each thing a developer does. CI runs the same words.

VENV   := .venv/bin
# Probes need root; everything else does not.
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PYTEST := $(SUDO) $(VENV)/python -m pytest -p no:cacheprovider

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | \
	    awk -F'\t' '{printf "  %-18s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## everything that running needs: system packages, virtual environment, BPF objects
	@scripts/setup.sh run

.PHONY: setup-dev
setup-dev: ## the same, and what tests and checks need
	@scripts/setup.sh dev

.PHONY: demo
demo: setup ## run the whole system on an example agent; JSON=1 for one JSON object at the end
	@$(SUDO) $(VENV)/agentsight demo $(if $(JSON),--json)

.PHONY: up
up: setup ## the whole system on this machine, until Ctrl-C
	@$(SUDO) $(VENV)/agentsight up

.PHONY: test
test: setup-dev ## all tests, with real probes and servers; of the fault matrix a short selection
	@$(PYTEST) tests -m "not matrix and not docker"

.PHONY: test-unit
test-unit: setup-dev ## tests without root and servers
	@$(VENV)/python -m pytest -p no:cacheprovider tests/unit tests/property tests/golden tests/contract

.PHONY: test-integration
test-integration: setup-dev ## tests with real servers on loopback
	@$(PYTEST) tests/integration -m "not matrix"

.PHONY: test-bpf
test-bpf: setup-dev ## tests with the real kernel
	@$(PYTEST) tests/bpf

.PHONY: tls-coverage
tls-coverage: setup-dev ## all TLS libraries with real clients (Go, Java, Bun too); writes docs/tls-coverage.md
	@scripts/setup.sh tls
	@$(SUDO) env TLS_COVERAGE_WRITE=1 $(VENV)/python -m pytest -p no:cacheprovider tests/bpf/test_tls_coverage.py

.PHONY: test-cluster
test-cluster: setup-dev ## the whole fault matrix on a real cluster; writes bench/results/faults.md
	@$(SUDO) $(VENV)/python -m bench.faults

.PHONY: check
check: setup-dev ## ruff, mypy strict, import directions, clang-format, stale generated files
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports
	@$(VENV)/clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')
	@scripts/gen_proto.sh --check
	@$(VENV)/python scripts/gen_config_reference.py --check
	@$(VENV)/python scripts/gen_chart_schema.py --check
	@$(VENV)/python scripts/gen_dashboards.py --check

.PHONY: fmt
fmt: setup-dev ## format everything
	@$(VENV)/ruff check --fix-only .
	@$(VENV)/ruff format .
	@$(VENV)/clang-format -i $$(git ls-files '*.c' '*.h')

.PHONY: proto
proto: setup-dev ## generate core/agentsight_core/pb from proto/
	@scripts/gen_proto.sh

.PHONY: bpf
bpf: ## compile the BPF objects and the drain
	@scripts/build_bpf.sh

.PHONY: golden
golden: setup-dev ## rewrite the expected results of golden tests; read the diff
	@GOLDEN_REWRITE=1 $(VENV)/python -m pytest -p no:cacheprovider tests/golden

.PHONY: bench
bench: setup-dev ## all measurements; bench/README.md says what they mean
	@$(SUDO) $(VENV)/python -m bench

.PHONY: bench-overhead
bench-overhead: setup-dev ## what watching costs, against none, upstream's tools and bpftrace; 25 minutes
	@$(if $(SUDO),$(SUDO) -E) $(VENV)/python -m bench.overhead

.PHONY: build
build: setup-dev ## a wheel with the BPF objects in it
	@scripts/build_bpf.sh
	@$(VENV)/pip wheel --quiet --no-deps --wheel-dir dist .

.PHONY: wheels
wheels: setup ## the wheels that the images are made of, into dist/wheels
	@scripts/make_wheels.sh

.PHONY: images
images: wheels ## container images: agent, aggregator, cli, nats, etcd; BASE_IMAGE=… for another base
	@scripts/build_images.sh

.PHONY: sbom
sbom: setup-dev ## CycloneDX lists of what is in the images of `make images`, into dist/sbom
	@scripts/make_sbom.sh

.PHONY: test-deploy
test-deploy: setup-dev ## images, compose and a cluster in containers, with a real Docker (installed if need be)
	@$(SUDO) scripts/setup_docker.sh
	@$(PYTEST) tests/deploy tests/cluster tests/bpf -m docker

.PHONY: test-jaeger
test-jaeger: setup-dev ## a real Jaeger v2 reads our spans; JAEGER_BIN=… names it, nothing brings it along
	@test -x "$(JAEGER_BIN)" || { echo "JAEGER_BIN must name the program of a Jaeger v2: docs/jaeger.md" >&2; exit 1; }
	@JAEGER_BIN="$(JAEGER_BIN)" $(VENV)/python -m pytest -p no:cacheprovider tests/integration/test_jaeger.py

.PHONY: test-phoenix
test-phoenix: setup-dev ## a real Arize Phoenix (850 MB, in an environment of its own) reads our spans
	@scripts/setup_phoenix.sh
	@$(VENV)/python -m pytest -p no:cacheprovider tests/integration/test_phoenix.py

.PHONY: test-helm
test-helm: setup-dev ## the Helm chart: lint, renders, schemas of Kubernetes, Pod Security, settings
	@$(VENV)/python -m pytest -p no:cacheprovider tests/deploy/test_helm_chart.py tests/golden/chart

.PHONY: test-kubernetes
test-kubernetes: setup-dev ## the chart on a real API server; KUBE_APISERVER_BIN=… names it, nothing brings it along
	@test -x "$(KUBE_APISERVER_BIN)" || { echo "KUBE_APISERVER_BIN must name a kube-apiserver: docs/install-helm.md" >&2; exit 1; }
	@KUBE_APISERVER_BIN="$(KUBE_APISERVER_BIN)" $(VENV)/python -m pytest -p no:cacheprovider tests/deploy/test_helm_install.py

.PHONY: clean
clean: ## remove everything that was built
	@rm -rf .venv .setup dist build
	@rm -f agent/agentsight_agent/bpf/*.bcc.c agent/agentsight_agent/bpf/*.o agent/agentsight_agent/bpf/*.so
