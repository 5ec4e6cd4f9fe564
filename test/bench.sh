#!/usr/bin/env bash
# Measures on the fleet that PERIPLUS_FLEET names, else on one of its own, which ends whatever happens. The rest of the arguments go to the benchmarks, -run and its
# pattern first. Where only benchmarks are chosen that need no fleet, none is started.
set -euo pipefail
cd "$(dirname "$0")/.."
fleet=$1
shift
pattern=
if [ "${1:-}" = -run ]; then pattern=$2; fi
chosen=$(go test -tags bench -list "$pattern" ./test/bench | grep ^Test || true)
if [ -z "$chosen" ]; then
  echo "no benchmark is called $pattern" >&2
  exit 2
fi
if [ "$chosen" != TestTruth ] && [ -z "${PERIPLUS_FLEET:-}" ]; then
  export PERIPLUS_FLEET=$fleet
  trap 'bash test/cli.sh local down --dir "$PERIPLUS_FLEET"' EXIT
  if [ "$chosen" = TestInPlace ] || [ "$chosen" = TestSidecar ]; then
    bash test/cli.sh local up --dir "$PERIPLUS_FLEET" --members 1 --nodes 10
  else
    bash test/cli.sh local up --dir "$PERIPLUS_FLEET" --members 3
  fi
fi
export PERIPLUS_BENCH_OUT=${PERIPLUS_BENCH_OUT:-$PWD/.periplus/bench}
go test -tags bench -count=1 -v -timeout 2h ./test/bench "$@"
