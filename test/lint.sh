#!/usr/bin/env bash
# gofmt, go vet, golangci-lint built from its own module, and generated code that is not what `make generate` makes.
set -euo pipefail
cd "$(dirname "$0")/.."
part() { printf -- '-- %s\n' "$*"; }

part gofmt
bad=$(gofmt -l cmd pkg tasks test)
[ -z "$bad" ] || { echo "not formatted:"; echo "$bad"; exit 1; }

part "go vet"
go vet ./...
go vet -tags e2e,e2ereal,integration,conformance,bench ./test/...

part golangci-lint
mkdir -p .periplus/bin
# Given by its absolute path: `go -C` changes the directory that -o is read in.
CGO_ENABLED=0 go -C test/local/modules/lint build -trimpath -ldflags '-s -w' -o "$PWD/.periplus/bin/golangci-lint" github.com/golangci/golangci-lint/v2/cmd/golangci-lint
.periplus/bin/golangci-lint run --build-tags e2e,e2ereal,integration,conformance,bench ./...

part "generated code"
before=$(git status --porcelain -- pkg config/hub/300-crds config/member/300-crds; git diff -- pkg config | sha256sum)
bash test/codegen/generate.sh >/dev/null
after=$(git status --porcelain -- pkg config/hub/300-crds config/member/300-crds; git diff -- pkg config | sha256sum)
[ "$before" = "$after" ] || { echo "generated code is stale: run make generate and commit"; git status --short -- pkg config; exit 1; }
