#!/usr/bin/env bash
# Generates deepcopy, clients, listers, informers, knative injection and CRDs from pkg/apis, with the tools that go.mod pins.
set -euo pipefail
cd "$(dirname "$0")/../.."

module=$(go list -m)
apis=(stages/v1alpha1 apps/v1alpha1 fleet/v1alpha1)
dirs=("${apis[@]/#/./pkg/apis/}")
packages=("${apis[@]/#/$module/pkg/apis/}")
header=test/codegen/header.go.txt
client=$module/pkg/client

echo "deepcopy";  go tool deepcopy-gen --output-file zz_generated.deepcopy.go --go-header-file $header "${dirs[@]}"

rm -rf pkg/client
echo "clients";   go tool client-gen --clientset-name versioned --input-base "" --input "$(IFS=,; echo "${packages[*]}")" \
  --output-pkg "$client/clientset" --output-dir pkg/client/clientset --go-header-file $header
echo "listers";   go tool lister-gen --output-pkg "$client/listers" --output-dir pkg/client/listers --go-header-file $header "${dirs[@]}"
echo "informers"; go tool informer-gen --versioned-clientset-package "$client/clientset/versioned" --listers-package "$client/listers" \
  --output-pkg "$client/informers" --output-dir pkg/client/informers --go-header-file $header "${dirs[@]}"
echo "injection"; go tool injection-gen --input-dirs "$(IFS=,; echo "${packages[*]}")" --versioned-clientset-package "$client/clientset/versioned" \
  --external-versions-informers-package "$client/informers/externalversions" --listers-package "$client/listers" \
  --output-package "$client/injection" --output-dir pkg/client/injection --go-header-file $header

echo "crds"
crd=$(mktemp -d); trap 'rm -rf "$crd"' EXIT
go tool controller-gen crd:maxDescLen=200,generateEmbeddedObjectMeta=true paths=./pkg/apis/stages/... paths=./pkg/apis/fleet/... "output:crd:dir=$crd"
# Pod templates are described by the cluster's own documentation: without descriptions the CRD is a tenth of the size.
go tool controller-gen crd:maxDescLen=0,generateEmbeddedObjectMeta=true paths=./pkg/apis/apps/... "output:crd:dir=$crd"
mkdir -p config/hub/300-crds config/member/300-crds
rm -f config/hub/300-crds/*.yaml config/member/300-crds/*.yaml
cp "$crd"/stages.periplus.dev_*.yaml "$crd"/fleet.periplus.dev_*.yaml config/hub/300-crds/
cp "$crd"/apps.periplus.dev_*.yaml config/member/300-crds/
