# The commands that people use. `make demo` and `make test` need Rust, git,
# make, a C compiler and perl (libgit2 and OpenSSL are built from source).

CARGO ?= cargo

.PHONY: help demo test lint crds docs bench soak

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## build, start the sandbox, run the quick start (ARGS=--serve stays up)
	$(CARGO) run --quiet --locked --release -p supercargo -- demo $(ARGS)

test: ## all tests: units, end to end in the sandbox, documentation
	$(CARGO) test --locked --workspace

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

soak: ## the tests that must hold many times in a row (TIMES=20)
	for i in $$(seq $(or $(TIMES),20)); do $(CARGO) test --locked -p e2e || exit 1; done
