package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/periplus-dev/periplus/pkg/apis/apps"
)

// SchemeGroupVersion is apps.periplus.dev/v1alpha1.
var SchemeGroupVersion = schema.GroupVersion{Group: apps.GroupName, Version: "v1alpha1"}

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
		&InPlaceSet{}, &InPlaceSetList{},
		&CafeDeployment{}, &CafeDeploymentList{},
		&SidecarSet{}, &SidecarSetList{},
	)
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	return nil
}
