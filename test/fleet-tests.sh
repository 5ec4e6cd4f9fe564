#!/usr/bin/env bash
# Runs the tests that need a fleet on one of their own, and ends it whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."
fleet=$1
# First, because it may fail for want of a network: stories of metrics are told with a real Prometheus.
go run ./test/metrics/get >/dev/null
trap 'bash test/cli.sh local down --dir "$fleet"' EXIT
bash test/cli.sh local up --dir "$fleet" --members 3 --triggers --prometheus
PERIPLUS_CONFORMANCE_KUBECONFIG=$fleet/kubeconfig/m1.yaml PERIPLUS_CONFORMANCE_NODES=simulated go test -tags conformance -count=1 -v -timeout 10m ./test/conformance
go test -tags e2e -count=1 -v -timeout 5m ./test/metrics/...
PERIPLUS_FLEET=$fleet go test -tags e2e -count=1 -v -parallel 4 -timeout 45m ./test/e2e
