package v1alpha1

const (
	// LabelInPlaceSet on a pod names the InPlaceSet that owns it. Informers select by it, so that only our pods are watched.
	LabelInPlaceSet = "apps.periplus.dev/inplaceset"

	// LabelCafeDeployment on a pod, a pod set and a ControllerRevision names the CafeDeployment that it belongs to. Informers select by it.
	LabelCafeDeployment = "apps.periplus.dev/cafedeployment"
	// OfCafeDeployments selects what CafeDeployments have beside InPlaceSets: ReplicaSets, StatefulSets, ControllerRevisions and the pods of these. The pods of
	// InPlaceSets are left out: those have an informer of their own.
	OfCafeDeployments = LabelCafeDeployment + ",!" + LabelInPlaceSet

	// LabelCafeRevision on a pod of a CafeDeployment is the deployment's revision that the pod is of: the same in all units, where the pod set's own
	// revision differs by the unit's nodes. It is part of the pod sets' templates.
	LabelCafeRevision = "apps.periplus.dev/revision"

	// AnnotationConfirmed on a CafeDeployment is "false" while it waits after a group; whoever sets it "true" lets the next begin.
	AnnotationConfirmed = "apps.periplus.dev/upgrade-confirmed"

	// AnnotationUnitReplicas on a ReplicaSet of a CafeDeployment is how many pods the unit is to keep in all of its ReplicaSets together. While pods go from one to
	// another there are fewer.
	AnnotationUnitReplicas = "apps.periplus.dev/unit-replicas"

	// LabelUnit names the unit (data centre, zone or cell) that an InPlaceSet and its pods belong to.
	// A set without it is a unit by itself, named like the set.
	LabelUnit = "apps.periplus.dev/unit"

	// LabelRevision on a pod is the revision whose template it was made of or last changed to: the hash that ends the
	// ControllerRevision's name. It is the standard label of the cluster's own controllers.
	LabelRevision = "controller-revision-hash"

	// ReadinessGateInService is the readiness gate that our pods carry: False takes the pod out of Services before a change.
	ReadinessGateInService = "apps.periplus.dev/in-service"

	// AnnotationUpdate on a pod is the record of the change in progress or last done, as JSON (see pkg/inplace).
	AnnotationUpdate = "apps.periplus.dev/update"

	// AnnotationClaims on a pod lists what was on it when its gate was last closed, comma-separated: finalizers of load balancers and hooks, and labels of hooks
	// as key=value. They must return before the pod counts as available again.
	AnnotationClaims = "apps.periplus.dev/claims"

	// AnnotationSameNode on a pod names the node of the pod that it takes the place of, and until when it waits for room there: <node> <time in RFC 3339>.
	AnnotationSameNode = "apps.periplus.dev/same-node"

	// BalancerPrefix begins the finalizers of load balancers: lb.periplus.dev/<name>. A load-balancer controller puts its own on a pod before it registers the
	// pod's address, and takes it away once the address is out.
	BalancerPrefix = "lb.periplus.dev/"

	// LabelSidecars on a pod says that SidecarSets had to do with its creation: "injected", or "skipped" where none of those that matched could be put in.
	// Informers select by it. AnnotationSidecars says which, and what became of them.
	LabelSidecars = "apps.periplus.dev/sidecars"

	// LabelSidecarSet on a ControllerRevision names the SidecarSet that it belongs to. Informers select by it.
	LabelSidecarSet = "apps.periplus.dev/sidecarset"

	// SidecarSetPrefix begins the labels sidecarset.apps.periplus.dev/<set> of injected pods; the value is the revision of the set that the pod was made with or
	// last changed to.
	SidecarSetPrefix = "sidecarset.apps.periplus.dev/"

	// AnnotationSidecars on a pod is the record of what SidecarSets put into it, as JSON (see pkg/sidecar).
	AnnotationSidecars = "apps.periplus.dev/sidecars"

	// LabelInject on a pod or namespace, set "false", keeps SidecarSets out.
	LabelInject = "apps.periplus.dev/inject"

	// AnnotationHolder on a pod whose gate is closed for a change names who closed it, as <kind>/<name>: nobody else opens it, or changes the pod.
	AnnotationHolder = "apps.periplus.dev/holder"

	// FinalizerSidecarSet keeps a SidecarSet until what it began is brought to its end, and its onDelete is done.
	FinalizerSidecarSet = "apps.periplus.dev/sidecarset"
)
