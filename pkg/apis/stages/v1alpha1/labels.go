package v1alpha1

const (
	// AnnotationInitiator on a PipelineRun is the name of the user who created it, stamped by admission and immutable.
	AnnotationInitiator = "stages.periplus.dev/initiator"

	// AnnotationRetryOf on a PipelineRun names the PipelineRun that it retries: it joins that one's Release. Its creator sets it; it never changes.
	AnnotationRetryOf = "stages.periplus.dev/retry-of"

	// AnnotationRelease on a PipelineRun names the Release that it belongs to as a child of a ClusterHop. Admission lets only controllers set it. On a
	// CustomRun, where Tekton copies it to together with what a Pipeline's author wrote, it says nothing.
	AnnotationRelease = "stages.periplus.dev/release"

	// AnnotationParent on a PipelineRun is the ClusterHop that made it, as <CustomRun>/<uid>. As trustworthy as AnnotationRelease.
	AnnotationParent = "stages.periplus.dev/parent"

	// AnnotationCarrier on a PipelineRun that a ClusterHop made says what it was made for, as <pipeline task of the hop>/<member>. As trustworthy as AnnotationRelease.
	AnnotationCarrier = "stages.periplus.dev/carrier"

	// AnnotationAttempt on a PipelineRun that a ClusterHop made is the attempt of the hop that made it, from 1. As trustworthy as AnnotationRelease.
	AnnotationAttempt = "stages.periplus.dev/attempt"

	// AnnotationSettled on a PipelineRun that a ClusterHop made is when the hop was done with its member: the run succeeded, the silent period passed, the
	// guards let it go on. Only controllers set it, once: an attempt or a retry that comes later does not do the member again.
	AnnotationSettled = "stages.periplus.dev/settled"

	// AnnotationOnBehalfOf on a PipelineRun names the person for whom a ServiceAccount started it. It counts where a ReleasePolicy believes that
	// account (onBehalfOf); it never changes.
	AnnotationOnBehalfOf = "stages.periplus.dev/on-behalf-of"

	// AnnotationLock on a workload in its member is the lock of the release that moves it, as JSON (Lock).
	AnnotationLock = "stages.periplus.dev/lock"

	// LabelRelease on an Approval, an Event or a child names the Release it belongs to.
	LabelRelease = "stages.periplus.dev/release"

	// LabelRootName on a Release is the name of its root PipelineRun, cut to 63 characters.
	LabelRootName = "stages.periplus.dev/root"

	// LabelRootUID on a Release is the UID of its root PipelineRun.
	LabelRootUID = "stages.periplus.dev/root-uid"
)
