package v1alpha1

const (
	// AnnotationInitiator on a PipelineRun is the name of the user who created it, stamped by admission and immutable.
	AnnotationInitiator = "stages.periplus.dev/initiator"

	// AnnotationLock on a workload in its member is the lock of the release that moves it, as JSON (Lock).
	AnnotationLock = "stages.periplus.dev/lock"

	// LabelRelease on an Approval, an Event or a child names the Release it belongs to.
	LabelRelease = "stages.periplus.dev/release"

	// LabelRootName on a Release is the name of its root PipelineRun, cut to 63 characters.
	LabelRootName = "stages.periplus.dev/root"

	// LabelRootUID on a Release is the UID of its root PipelineRun.
	LabelRootUID = "stages.periplus.dev/root-uid"
)
