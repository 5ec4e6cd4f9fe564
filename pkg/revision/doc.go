// Package revision keeps the history of an object's pod template in ControllerRevisions, as the cluster's own controllers do, for all workload
// controllers of ours alike. A revision is the hash that ends a ControllerRevision's name. It is made of the template alone, so objects with the same
// template share it, whatever they are called.
//
// A Book finds what there is, makes what is missing, and deletes what is beyond the limit. What is remembered of its writes until the informer has them is in
// the overlay that its user gives it.
//
// It imports client-go, and of ours pkg/apis for labels and pkg/overlay.
package revision
