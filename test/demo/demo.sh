#!/usr/bin/env bash
# The demo: one release over two clusters on this machine. Leaves the fleet up; `make down` removes it.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
fleet=$root/.periplus/fleet
examples=docs/examples/bookshop

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '   $ %s\n' "$*" >&2; "$@"; }

say "A fleet on this machine: a hub with Tekton, members m1 and m2 with data centres dca and dcb"
bash test/cli.sh local up
export PATH="$root/.periplus/bin:$PATH" KUBECONFIG="$fleet/kubeconfig/all.yaml"

say "One application of ten pods in both members, five in each data centre, held back at partition 100 %"
for m in m1 m2; do run kubectl --context "$m" apply --server-side -f "$examples/workloads.yaml" >/dev/null; done
for f in policies people pipeline; do run kubectl --context hub apply --server-side -f "$examples/$f.yaml" >/dev/null; done
for m in m1 m2; do
  run kubectl --context "$m" -n demo wait cafedeployment bookshop --for=jsonpath='{.status.availableReplicas}'=10 --timeout=120s >/dev/null
done

now=$(kubectl --context m1 -n demo get cafedeployment bookshop -o jsonpath='{.spec.template.spec.containers[0].image}')
case ${now##*:v} in *[!0-9]*|'') next=v2 ;; *) next=v$((${now##*:v} + 1)) ;; esac
wish=$(mktemp --suffix=.yaml)
trap 'rm -f "$wish"' EXIT
sed "s|bookshop:v2|bookshop:$next|" "$examples/run.yaml" >"$wish"
say "What a release of $next would do. Nothing moves yet:"
echo "   \$ periplus plan -f $examples/run.yaml --context hub-alice"
periplus plan -f "$wish" --context hub-alice

say "alice releases $next (she may; the run is hers for good)"
name=$(kubectl --context hub-alice create -f "$wish" -o name)
name=${name##*/}
echo "   PipelineRun $name"

say "It goes. When it asks for a confirmation, this demo answers as bob, an SRE, by the CLI:"
echo "   \$ periplus confirm $name --context hub-bob -n demo --message 'six of ten look good'"
answer=$(mktemp)
(
  selector=tekton.dev/pipelineRun=$name,tekton.dev/pipelineTask=confirm
  kubectl --context hub -n demo wait customrun -l "$selector" --for=create --timeout=300s
  kubectl --context hub -n demo wait customrun -l "$selector" --for=jsonpath='{.status.conditions[0].reason}'=AwaitingApproval --timeout=300s
  periplus confirm "$name" --context hub-bob -n demo --message 'six of ten look good'
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

  kubectl --context m1 -n demo get cafedeployments,inplacesets,pods -o wide
  periplus history cafedeployment/bookshop --context m1 -n demo
  kubectl --context hub -n demo get pipelineruns,customruns,releases
  tkn --context hub -n demo customrun list
  periplus get --context hub-bob -n demo
  kubectl --context hub -n demo describe release

  # an image that cannot be pulled: stops at the first two pods, m2 is never touched, and finally takes m1 back
  tkn --context hub-alice -n demo pipeline start bookshop --param image=registry.example/bookshop:bad-v9 --pipeline-timeout 0

  # contexts: hub, m1, m2 (admin); hub-alice (release engineer); hub-bob, hub-carol (SREs)
  make down
TEXT
