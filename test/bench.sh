#!/usr/bin/env bash
# Measures on the fleet that PERIPLUS_FLEET names, else on one of its own, which ends whatever happens. The rest of the arguments go to the benchmarks.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${PERIPLUS_FLEET:-}" ]; then
  export PERIPLUS_FLEET=$1
  trap 'bash test/cli.sh local down --dir "$PERIPLUS_FLEET"' EXIT
  bash test/cli.sh local up --dir "$PERIPLUS_FLEET" --members 3
fi
shift
export PERIPLUS_BENCH_OUT=${PERIPLUS_BENCH_OUT:-$PWD/.periplus/bench}
go test -tags bench -count=1 -v -timeout 2h ./test/bench "$@"
