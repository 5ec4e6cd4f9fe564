// Package cafedeployment is the controller of CafeDeployments: one application across the units of a cluster. One pass sees the deployment's pod sets and pods
// (observe.go), lets pkg/plan decide how many pods each unit keeps and how many of them stay on the old revision, brings each unit's pod sets there
// (podset.go and a file for each type), and reports (status.go, progress.go, events.go).
//
// Pod sets are behind one narrow interface. A unit's replicas, template and partition go in one write by resource version. What a group or a move between
// units is cut from is recorded in status before the first pod moves by it, so the controller may be killed at any write.
//
// Pod sets are found by the controller reference, pods by their pod sets' UIDs. Informers select by the label apps.periplus.dev/cafedeployment; pods of InPlaceSets
// are those that the InPlaceSet controller watches, so that no pod is watched twice.
//
// What it keeps in memory may be lost: the objects that its own writes returned until the informer has them (pkg/overlay), when a status was last
// written, what pods said of themselves, how far a deployment got (pkg/deadline) and which events were told.
//
// It imports client-go, knative.dev/pkg for injection, and of ours pkg/apis, pkg/client, pkg/deadline, pkg/inplace, pkg/plan, pkg/loop, pkg/overlay,
// pkg/revision, and pkg/reconciler/inplaceset for the informer's selector.
package cafedeployment
