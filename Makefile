# The commands that people use. `make demo` and `make test` need Rust, git,
# make, a C compiler and perl (libgit2 and OpenSSL are built from source).

CARGO ?= cargo

.PHONY: help demo test test-deps lint crds docs bench soak helm chart-docs static image

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## build, start the sandbox, run the quick start (ARGS=--serve stays up)
	$(CARGO) run --quiet --locked --release -p supercargo -- demo $(ARGS)

test: ## all tests: units, end to end in the sandbox, documentation
	$(CARGO) test --locked --workspace

test-deps: ## install the Debian packages that some tests use (as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-registry

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
	$(CARGO) bench --locked -p sources

soak: ## the tests that must hold many times in a row (TIMES=20)
	for i in $$(seq $(or $(TIMES),20)); do \
		$(CARGO) test --locked -p e2e && \
		$(CARGO) test --locked -p promotion --lib -- fault_tests crash_tests secret_tests argocd && \
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
STATIC_TARGET ?= $(shell uname -m)-unknown-linux-gnu
static: ## build the image's binary: target/<machine>/dist/supercargo
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --locked --profile dist --target $(STATIC_TARGET) -p supercargo --bin supercargo

IMAGE ?= supercargo:latest
image: ## build the container image, where a container engine runs
	@docker info >/dev/null 2>&1 || { echo "SKIPPED: no container engine runs here; \`make static\` builds the image's binary"; exit 0; }; \
	docker build --build-arg SUPERCARGO_GIT_COMMIT=$$(git rev-parse HEAD) -t $(IMAGE) .
