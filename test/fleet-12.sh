#!/usr/bin/env bash
# Carries a release over twelve members on a fleet of its own, shows what that takes, and ends it whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."
fleet=$1
trap 'bash test/cli.sh local down --dir "$fleet"' EXIT
bash test/cli.sh local up --dir "$fleet" --members 12 --lean 10
PERIPLUS_FLEET=$fleet go test -tags e2e,twelve -count=1 -v -timeout 20m -run TwelveMembers ./test/e2e
bash test/cli.sh local status --dir "$fleet"
