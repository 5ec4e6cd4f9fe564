#!/usr/bin/env bash
# Builds the periplus command where it is not built, saying so while it takes long, and runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
go build -o .periplus/cli/periplus ./cmd/periplus &
build=$!
said=0
while kill -0 "$build" 2>/dev/null; do
  sleep 0.2
  if ((SECONDS >= said + 10)); then
    said=$SECONDS
    echo "  ${SECONDS}s  … building the periplus command (minutes the first time, then seconds)" >&2
  fi
done
wait "$build"
exec .periplus/cli/periplus "$@"
