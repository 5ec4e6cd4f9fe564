# What people type. Everything else is a command of its own that these call.

.DEFAULT_GOAL := help
.PHONY: help build up down demo tutorial test unit simulate integration e2e e2e-real e2e-real-long fleet-tests fleet-12 bench conformance lint generate verify-generated

TEST_FLEET := $(CURDIR)/.periplus/test-fleet
PERIPLUS   := bash test/cli.sh

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## one release over two clusters on this machine, live; leaves the fleet up
	bash test/demo/demo.sh

tutorial: ## a fleet of three members with a Prometheus, for docs/tutorial.md
	$(PERIPLUS) local up --members 3 --prometheus
	@echo; echo "Read on in docs/tutorial.md; export FLEET=$(CURDIR)/.periplus/fleet"

build: ## build everything a local fleet runs, once per version
	$(PERIPLUS) local build

up: ## bring a local fleet up, or repair it: a hub with Tekton, two members, simulated nodes
	$(PERIPLUS) local up

down: ## end the local fleet and remove everything it wrote
	$(PERIPLUS) local down
	[ -d $(TEST_FLEET) ] || rm -rf .periplus/bin .periplus/cli

test: unit integration fleet-tests ## every test that needs no root

unit: ## planners, guards, the frame, the CLI: without a fleet
	go test -timeout 40m ./...

simulate: ## whole releases in memory while things break: SEEDS many, from FIRST on
	go test -count=1 -timeout 24h -run TestWholeReleases ./test/simulation -seeds $(or $(SEEDS),300) -first $(or $(FIRST),1)

integration: build ## what a real API server decides, and lb with a real HAProxy (Debian's, fetched where there is none)
	go test -tags integration -count=1 ./test/integration/...

fleet-tests: ## conformance of the nodes and whole releases, on a fleet of their own that ends with them
	bash test/fleet-tests.sh $(TEST_FLEET)

e2e: ## whole releases, on a fleet that stays up in .periplus/test-fleet (E2E_RUN chooses tests)
	$(PERIPLUS) local up --dir $(TEST_FLEET) --members 3 --triggers --prometheus
	PERIPLUS_FLEET=$(TEST_FLEET) go test -tags e2e -count=1 -parallel 4 -timeout 45m -run '$(E2E_RUN)' ./test/e2e

e2e-real: ## conformance and in-place changes on real kubelets and containers (Linux, root, Debian's containerd), on a fleet that ends with them
	bash test/e2e-real.sh $(CURDIR)/.periplus/real

e2e-real-long: ## the long one of these: 100,000 requests and 500 pod changes in place without a failed request, half an hour
	PERIPLUS_REAL_REQUESTS=100000 PERIPLUS_REAL_CHANGES=500 bash test/e2e-real.sh $(CURDIR)/.periplus/real -run NoRequestFailsWhilePodsAreChangedInPlace

fleet-12: ## a release over twelve members on one machine, ten of them lean: 8 GB of memory, ten minutes; the fleet ends with it
	bash test/fleet-12.sh $(CURDIR)/.periplus/fleet-12

bench: ## the figures of docs/benchmarks.md, on a fleet of three members that ends with it (BENCH chooses; Truth needs no fleet; PERIPLUS_FLEET names one to reuse)
	bash test/bench.sh $(CURDIR)/.periplus/bench-fleet -run '$(BENCH)'

conformance: up ## check that the nodes of the local fleet behave as the kubelet does where we depend on it
	PERIPLUS_CONFORMANCE_KUBECONFIG=$${PERIPLUS_CONFORMANCE_KUBECONFIG:-$(CURDIR)/.periplus/fleet/kubeconfig/m1.yaml} \
		PERIPLUS_CONFORMANCE_NODES=$${PERIPLUS_CONFORMANCE_NODES:-simulated} go test -tags conformance -count=1 ./test/conformance

lint: ## gofmt, go vet, golangci-lint, stale generated code
	bash test/lint.sh

generate: ## deepcopy, clients, CRDs
	bash test/codegen/generate.sh
