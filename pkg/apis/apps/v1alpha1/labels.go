package v1alpha1

const (
	// LabelInPlaceSet on a pod names the InPlaceSet that owns it. Informers select by it, so that only our pods are watched.
	LabelInPlaceSet = "apps.periplus.dev/inplaceset"

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
)
