#!/usr/bin/env bash
# Brings up a fleet with real nodes in a directory of its own, runs the conformance list and the stories of test/real on it, and ends it whatever happens. What real
# nodes need of Debian is installed where it is not there and we may.
set -euo pipefail
cd "$(dirname "$0")/.."
fleet=$1
shift

export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
lacks=()
for need in containerd:containerd runc:runc ip:iproute2 haproxy:haproxy; do
  command -v "${need%%:*}" >/dev/null || lacks+=("${need##*:}")
done
[ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || lacks+=(containernetworking-plugins)
if [ ${#lacks[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${lacks[*]}" >&2
  apt-get -q update >&2
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${lacks[@]}" >&2
fi

trap 'bash test/cli.sh local down --dir "$fleet"' EXIT
bash test/cli.sh local up --dir "$fleet" --nodes-kind real --members 1
go run ./test/real/images "$fleet"
PERIPLUS_CONFORMANCE_KUBECONFIG=$fleet/kubeconfig/m1.yaml PERIPLUS_CONFORMANCE_NODES=real go test -tags conformance -count=1 -v -timeout 15m ./test/conformance
PERIPLUS_FLEET=$fleet go test -tags e2ereal -count=1 -v -timeout 1h ./test/real/... "$@"
