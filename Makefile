# What people type. Everything else is a command of its own that these call.

.DEFAULT_GOAL := help
.PHONY: help build up down conformance test demo lint generate

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build everything a local fleet runs, once per version
	go run ./cmd/periplus local build

up: ## bring a local fleet up, or repair it: a hub with Tekton, two members, simulated nodes
	go run ./cmd/periplus local up

down: ## end the local fleet and remove everything it wrote
	go run ./cmd/periplus local down

conformance: up ## check that the nodes of the local fleet behave as the kubelet does where we depend on it
	PERIPLUS_CONFORMANCE_KUBECONFIG=$${PERIPLUS_CONFORMANCE_KUBECONFIG:-$(CURDIR)/.periplus/fleet/kubeconfig/m1.yaml} \
		go test -tags conformance -count=1 ./test/conformance

test: ## every test that needs no root
	go test ./...

demo: up ## one release across the fleet, live
	@echo "the demo is not here yet"; exit 1

lint: ## format, vet
	@test -z "$$(gofmt -l cmd pkg tasks test)" || { gofmt -l cmd pkg tasks test; exit 1; }
	go vet ./...

generate: ## generated code
	go generate ./...
