#!/usr/bin/env bash
# The demo: one release over two clusters on this machine. Leaves the fleet up; `make down` removes it.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
fleet=$root/.periplus/fleet
examples=docs/examples/productpage

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '   $ %s\n' "$*" >&2; "$@"; }

say "A fleet on this machine: a hub with Tekton, members m1 and m2 with data centres dca and dcb"
bash test/cli.sh local up
export PATH="$root/.periplus/bin:$PATH" KUBECONFIG="$fleet/kubeconfig/all.yaml"

say "An application in both members, held back at partition 100 %"
for m in m1 m2; do run kubectl --context "$m" apply --server-side -f "$examples/workloads.yaml" >/dev/null; done
for f in policies people pipeline; do run kubectl --context hub apply --server-side -f "$examples/$f.yaml" >/dev/null; done
for m in m1 m2; do
  run kubectl --context "$m" -n demo wait inplaceset --all --for=jsonpath='{.status.availableReplicas}'=4 --timeout=120s >/dev/null
done

now=$(kubectl --context m1 -n demo get inplaceset productpage-dca -o jsonpath='{.spec.template.spec.containers[0].image}')
case ${now##*:v} in *[!0-9]*|'') next=v2 ;; *) next=v$((${now##*:v} + 1)) ;; esac
say "alice releases $next (she may; the run is hers for good)"
name=$(sed "s|productpage:v2|productpage:$next|" "$examples/run.yaml" | kubectl --context hub-alice create -f - -o name)
name=${name##*/}
echo "   PipelineRun $name"

say "It goes. When it asks for a confirmation, this demo answers as bob, an SRE, by the CLI:"
echo "   \$ periplus confirm $name --context hub-bob -n demo --message 'canaries look good'"
answer=$(mktemp)
(
  selector=tekton.dev/pipelineRun=$name,tekton.dev/pipelineTask=confirm
  kubectl --context hub -n demo wait customrun -l "$selector" --for=create --timeout=300s
  kubectl --context hub -n demo wait customrun -l "$selector" --for=jsonpath='{.status.conditions[0].reason}'=AwaitingApproval --timeout=300s
  periplus confirm "$name" --context hub-bob -n demo --message 'canaries look good'
) >"$answer" 2>&1 &
bob=$!
code=0
periplus get "$name" --context hub-bob -n demo --watch || code=$?
wait "$bob" || { cat "$answer"; exit 1; }
say "What bob's command said"
tail -1 "$answer" | sed 's/^/   /'
rm -f "$answer"
say "The run as it ended"
periplus get "$name" --context hub-bob -n demo
[ "$code" -eq 0 ] || exit "$code"

cat <<TEXT

The fleet stays up. To go on:

  export PATH=$root/.periplus/bin:\$PATH KUBECONFIG=$fleet/kubeconfig/all.yaml

  kubectl --context m1 -n demo get inplacesets,pods -o wide
  kubectl --context hub -n demo get pipelineruns,customruns,releases
  tkn --context hub -n demo customrun list
  periplus get --context hub-bob -n demo
  kubectl --context hub -n demo describe release

  # an image that cannot be pulled: stops at the canary, m2 is never touched, and finally takes m1 back
  tkn --context hub-alice -n demo pipeline start productpage --param image=registry.example/productpage:bad-v9 --pipeline-timeout 0

  # contexts: hub, m1, m2 (admin); hub-alice (release engineer); hub-bob, hub-carol (SREs)
  make down
TEXT
