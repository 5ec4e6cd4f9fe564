package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/periplus-dev/periplus/pkg/apis/stages"
)

// SchemeGroupVersion is stages.periplus.dev/v1alpha1.
var SchemeGroupVersion = schema.GroupVersion{Group: stages.GroupName, Version: "v1alpha1"}

// Kind returns the group kind of a kind of this group.
func Kind(kind string) schema.GroupKind { return SchemeGroupVersion.WithKind(kind).GroupKind() }

// Resource returns the group resource of a resource of this group.
func Resource(resource string) schema.GroupResource {
	return SchemeGroupVersion.WithResource(resource).GroupResource()
}

var (
	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds this group's types to a scheme.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion,
		&Canary{}, &CanaryList{}, &BetaBatch{}, &BetaBatchList{}, &SidecarUpgrade{}, &SidecarUpgradeList{},
		&Confirm{}, &ConfirmList{},
		&PartitionBump{}, &PartitionBumpList{},
		&ClusterHop{}, &ClusterHopList{},
		&Target{}, &TargetList{},
		&GuardSet{}, &GuardSetList{},
		&Approval{}, &ApprovalList{},
		&Release{}, &ReleaseList{},
		&Rollback{}, &RollbackList{},
		&Soak{}, &SoakList{},
		&Window{}, &WindowList{},
		&Check{}, &CheckList{},
		&Freeze{}, &FreezeList{},
		&Intervention{}, &InterventionList{},
		&ReleasePolicy{}, &ReleasePolicyList{},
		&RunPlan{}, &RunPlanList{},
	)
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	return nil
}
