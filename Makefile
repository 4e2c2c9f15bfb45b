# The commands that people use. `make demo` and `make test` need Rust, git,
# make, a C compiler and perl (libgit2 and OpenSSL are built from source).

CARGO ?= cargo
# A program beside a test is built with the features that tests have, so that
# nothing is compiled twice.
WITH_TESTS := --test licences
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help demo test test-deps lint crds docs bench soak helm chart-docs static static-test image image-archive builders envtest peers test-peers e2e e2e-node e2e-kind bench-shared

# What people have around the controllers, as it is: suites of their own, which
# say that they were skipped where the programs were not built.
GITEA_SUITES := gitea gitea_faults gitea_forge gitea_alike
ARGOCD_SUITES := argocd argocd_cases argocd_faults argocd_sources argocd_many argocd_same

# The end-to-end suites that run on every Kubernetes API: tests/tests/*.rs.
OTHER_SUITES := chart installed licences pods static_binary $(GITEA_SUITES) $(ARGOCD_SUITES)
E2E_SUITES := $(patsubst %,--test %,$(filter-out $(OTHER_SUITES),$(patsubst tests/tests/%.rs,%,$(wildcard tests/tests/*.rs))))

# Those that also run where the controllers are the chart's pods.
PODS_SUITES := --test pods --test quickstart --test one_branch

# What `make e2e` runs on: BACKEND=sandbox or envtest, or, where KUBECONFIG is
# given on the command line (never from the environment), that cluster.
ifeq ($(origin KUBECONFIG),command line)
BACKEND := cluster
E2E_FLAGS := -- --test-threads 1
else
BACKEND ?= sandbox
E2E_FLAGS :=
endif

help: ## show this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## build, start the sandbox, run the quick start (ARGS=--serve stays up)
	$(CARGO) run --quiet --locked --release -p supercargo -- demo $(ARGS)

test: ## all tests; end to end in the sandbox and, with Go, on a real API server
	@if [ -n "$$KUBEBUILDER_ASSETS" ] || command -v go >/dev/null; then $(MAKE) --no-print-directory envtest; fi
	$(CARGO) test --locked --workspace
	@if [ -n "$$KUBEBUILDER_ASSETS" ] || command -v go >/dev/null; then \
	  $(MAKE) --no-print-directory e2e BACKEND=envtest && \
	  echo "=== end to end on: the sandbox, and a real kube-apiserver with RBAC ==="; \
	else \
	  echo "=== end to end on: the sandbox ONLY. Install Go, or set KUBEBUILDER_ASSETS, to run it on a real kube-apiserver too ==="; \
	fi

# What builds the programs that the tests start.
builders:
	@$(CARGO) build --quiet --locked --workspace $(WITH_TESTS) --bin envtest --bin peers

envtest: builders ## build kube-apiserver and etcd for the tests (Go; minutes, once)
	$(TARGET)/debug/envtest build

peers: builders ## build Gitea and Argo CD for the tests (Go; many minutes, once)
	$(TARGET)/debug/peers build

test-peers: ## the suites with a real Gitea and a real Argo CD
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory peers envtest helm; else \
	  echo "=== no Go here: what was not built before is SKIPPED ===" >&2; fi
	$(CARGO) test --locked --workspace $(addprefix --test ,$(GITEA_SUITES))
	E2E_BACKEND=envtest $(CARGO) test --locked --workspace $(addprefix --test ,$(ARGOCD_SUITES)) -- --test-threads 2

# `--workspace` keeps the features, and so what has been compiled, as they are.
e2e: ## the end-to-end suite: BACKEND=sandbox|envtest, or KUBECONFIG=... for a cluster
	@mkdir -p $(TARGET)/envtest && : > $(TARGET)/envtest/used-rights
	E2E_BACKEND=$(BACKEND) E2E_USED_RIGHTS=$(abspath $(TARGET))/envtest/used-rights \
	  $(CARGO) test --locked --workspace $(E2E_SUITES) $(E2E_FLAGS)
	@if [ $(BACKEND) = envtest ]; then $(TARGET)/debug/unused-rights $(TARGET)/envtest/used-rights; fi

# The suites with the chart's pods for controllers. Both take the image that
# `make image-archive` packs, and say so where they cannot run.
e2e-node: builders ## the same with the chart's pods on a real node of this machine (Linux, root)
	@why=$$(tests/node/run --check); if [ -n "$$why" ]; then \
	  echo "=== SKIPPED: the chart's pods on a real node:" $$why "(\`make test-deps\` installs what is missing) ==="; exit 0; fi; \
	set -e; $(MAKE) --no-print-directory helm image-archive; \
	$(TARGET)/debug/envtest build-node; \
	$(CARGO) test --locked --workspace $(PODS_SUITES) --no-run; \
	E2E_BACKEND=pods CARGO_NET_OFFLINE=true tests/node/run $(IMAGE_ARCHIVE) -- \
	  $(CARGO) test --locked --workspace $(PODS_SUITES) -- --test-threads 1 $(E2E_FILTER); \
	echo "=== end to end on: the chart's pods on a real node ==="

e2e-kind: ## the same on a kind cluster, which it makes and deletes (Docker, kind, kubectl)
	@why=$$(tests/kind/run --check); if [ -n "$$why" ]; then \
	  echo "=== SKIPPED: the chart's pods on a kind cluster:" $$why "==="; exit 0; fi; \
	set -e; $(MAKE) --no-print-directory helm image-archive; \
	$(CARGO) test --locked --workspace $(PODS_SUITES) --no-run; \
	E2E_BACKEND=pods tests/kind/run $(IMAGE_ARCHIVE) -- \
	  $(CARGO) test --locked --workspace $(PODS_SUITES) -- --test-threads 1 $(E2E_FILTER); \
	echo "=== end to end on: the chart's pods on a kind cluster ==="

test-deps: ## install the Debian packages that some tests use (as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-registry lighttpd lighttpd-mod-openssl openssh-server libfaketime redis-server \
	  containerd runc containernetworking-plugins iptables iproute2

lint: ## formatting and clippy, warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

crds: ## write crds/*.yaml from the types
	$(CARGO) run --quiet --locked -p api --example crds

docs: ## write docs/steps/*.md from the step kinds
	$(CARGO) run --quiet --locked -p supercargo --example step_docs

bench: ## benchmarks, with the figures printed
	$(CARGO) run --quiet --locked --release -p supercargo -- demo --runs 20
	$(CARGO) bench --locked -p e2e
	$(CARGO) bench --locked -p expr
	$(CARGO) bench --locked -p git
	$(CARGO) bench --locked -p sources
	$(CARGO) run --quiet --locked --release -p sources --example git_discovery

# Another program's harness, where it is there: see tests/bench/README.md.
bench-shared: envtest $(if $(filter real,$(ARGO)),peers) ## the scenarios of ../shared/bench (SCENARIO='s1_latency runs=10', ARGO=real for a real Argo CD)
	$(CARGO) build --locked --release -p supercargo
	tests/bench/run $(or $(SCENARIO),s1_latency runs=10)

soak: ## the tests that must hold many times in a row (TIMES=20)
	for i in $$(seq $(or $(TIMES),20)); do \
		$(CARGO) test --locked -p e2e && \
		$(CARGO) test --locked -p promotion --lib -- fault_tests crash_tests durability secret_tests argocd && \
		$(CARGO) test --locked -p git --test all -- intents batch && \
		$(CARGO) test --locked -p controllers --lib -- promotion || exit 1; \
	done

# Helm, as a Go tool: what it takes a cluster to be, where none is asked, is set here.
HELM_KUBERNETES ?= 36
helm: target/helm/helm ## build helm for the chart's tests (needs Go)
target/helm/helm: tests/helm/go.mod tests/helm/go.sum
	cd tests/helm && CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -o ../../$@ -ldflags "-s -w \
	  -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$(HELM_KUBERNETES) \
	  -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=$(HELM_KUBERNETES)" \
	  helm.sh/helm/v3/cmd/helm

chart-docs: ## write the chart's README and values schema from its values.yaml
	$(CARGO) run --quiet --locked -p e2e --example chart_docs

# glibc linked in: the binary needs no shared library (docs/decisions.md).
# STATIC_PROFILE=release is quicker to build, and is what the tests take.
STATIC_TARGET ?= $(shell uname -m)-unknown-linux-gnu
STATIC_PROFILE ?= dist
STATIC_BINARY = $(TARGET)/$(STATIC_TARGET)/$(STATIC_PROFILE)/supercargo
static: ## build the image's binary: target/<machine>/dist/supercargo
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --locked --profile $(STATIC_PROFILE) --target $(STATIC_TARGET) -p supercargo --bin supercargo

static-test: STATIC_PROFILE = release
static-test: static ## build it, and see that it needs nothing around it
	E2E_STATIC_BINARY=$(abspath $(STATIC_BINARY)) $(CARGO) test --locked --workspace --test static_binary

# The image as an archive, without a container engine: what the tests' clusters load.
VERSION := $(shell sed -n 's/^appVersion: //p' charts/supercargo/Chart.yaml)
IMAGE_ARCHIVE := $(TARGET)/image.tar
image-archive: STATIC_PROFILE = release
image-archive: static
	tests/node/image Dockerfile $(STATIC_BINARY) $(IMAGE_ARCHIVE) \
	  ghcr.io/supercargo/supercargo:$(VERSION) ghcr.io/supercargo/supercargo:next

IMAGE ?= supercargo:latest
image: ## build the container image, where a container engine runs
	@docker info >/dev/null 2>&1 || { echo "SKIPPED: no container engine runs here; \`make static\` builds the image's binary"; exit 0; }; \
	docker build --build-arg SUPERCARGO_GIT_COMMIT=$$(git rev-parse HEAD) -t $(IMAGE) .
