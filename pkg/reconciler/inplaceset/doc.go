// Package inplaceset is the controller of InPlaceSets. One pass reads everything first (observe.go, revision.go), lets two pure packages decide
// (pkg/plan: how many pods and which; pkg/inplace: the next step of each), makes the writes (pods.go, update.go), and reports (status.go, events.go).
// A pass holds nothing over to the next one: whatever is found is taken on from there, so the controller may be killed at any write.
//
// What it keeps in memory is there to be fast or gentle and may be lost: the objects that its own writes returned until the informer has them
// (pkg/overlay), since when a pod is out of service (drains.go; lost, the wait starts anew), when a status was last written, which pod names
// somebody else has taken, which pods are being taken out of service (pkg/taken) and which sets wait for a disruption budget (ledger.go; lost, no write is under way any more), how
// many pods there were (lost, status says it), which pods go because they are too many, which waits were told,
// which events are gathered for one pass (gather.go), and how far a set got (deadline.go; lost, status says from where on).
//
// Pods are found by the label apps.periplus.dev/inplaceset and the controller reference. A pod that has one of the two only, or does not match the
// set's selector, is left alone. A pod's name is made of the set's UID and the lowest number that is free, so that a create which is made
// twice fails the second time.
//
// It imports client-go, knative.dev/pkg for injection, and of ours pkg/apis, pkg/client, pkg/deadline, pkg/inplace, pkg/plan, pkg/loop, pkg/overlay,
// pkg/revision and pkg/taken.
package inplaceset
