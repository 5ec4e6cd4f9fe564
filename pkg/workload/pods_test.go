package workload

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestWhatTheKubeletSaysOfAnEarlierImageIsNotHeldAgainstTheNewOne(t *testing.T) {
	waiting := func(reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	for name, tc := range map[string]struct {
		state    corev1.ContainerState
		observed int64
		updated  bool
		want     bool
	}{
		"a crash loop of the new image":                      {waiting("CrashLoopBackOff", "back-off 10s"), 2, true, true},
		"a crash loop of the old image, not yet replaced":    {waiting("CrashLoopBackOff", "back-off 10s"), 2, false, false},
		"a failed pull of the new image":                     {waiting("ImagePullBackOff", `Back-off pulling image "shop/web:v2"`), 2, false, true},
		"a failed pull of the old image, still shown":        {waiting("ImagePullBackOff", `Back-off pulling image "shop/web:bad"`), 2, false, false},
		"anything the kubelet said before it saw the change": {waiting("ImagePullBackOff", `Back-off pulling image "shop/web:v2"`), 1, true, false},
		"a first failed pull is tried again":                 {waiting("ErrImagePull", `failed to pull "shop/web:v2"`), 2, true, false},
		"a container that is being made":                     {waiting("ContainerCreating", ""), 2, true, false},
		"a running container":                                {corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, 2, true, false},
		"a configuration that the new container cannot get":  {waiting("CreateContainerConfigError", "secret not found"), 2, true, true},
		"an image name that can be no name":                  {waiting("InvalidImageName", `Failed to apply default image tag "shop/web:v2"`), 2, false, true},
		"an image that is not there and may not be pulled":   {waiting("ErrImageNeverPull", `Container image "shop/web:v2" is not present`), 2, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Generation: 2},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "shop/web:v2"}}},
				Status:     corev1.PodStatus{ObservedGeneration: tc.observed, ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: tc.state}}},
			}
			if got := isFailing(pod, tc.updated, nil); got != tc.want {
				t.Errorf("failing: %v", got)
			}
		})
	}
}

func TestWhenAPodBeganAndWhenItsReadinessChanged(t *testing.T) {
	made := metav1.NewTime(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	changed := metav1.NewTime(made.Add(time.Hour))
	set := &appsv1alpha1.InPlaceSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "u"}}
	for name, tc := range map[string]struct {
		record   string
		gate     corev1.ConditionStatus
		begun    time.Time
		takenOut bool
	}{
		"a pod that was never changed":                 {"", corev1.ConditionTrue, made.Time, false},
		"a pod that was changed in place":              {`{"time":"2026-01-01T13:00:00Z"}`, corev1.ConditionTrue, changed.Time, false},
		"a pod whose record somebody damaged":          {`{`, corev1.ConditionTrue, made.Time, false},
		"a pod that is taken out to be changed, later": {"", corev1.ConditionFalse, made.Time, true},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{
					Name: "web-0", Namespace: "shop", CreationTimestamp: made, Annotations: map[string]string{},
					OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1alpha1.SchemeGroupVersion.WithKind("InPlaceSet"))},
				},
				Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
					{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: changed},
					{Type: appsv1alpha1.ReadinessGateInService, Status: tc.gate, Reason: "Changing"},
				}},
			}
			if tc.record != "" {
				pod.Annotations[appsv1alpha1.AnnotationUpdate] = tc.record
			}
			inf := newPodInformer(nil, "shop", "")
			if err := inf.GetStore().Add(pod); err != nil {
				t.Fatal(err)
			}
			u := Unit{}
			if err := (&inPlaceSets{clock: clocktesting.NewFakePassiveClock(changed.Time)}).addPods(&u, set, inf); err != nil || len(u.Pods) != 1 {
				t.Fatalf("%v, %v", u.Pods, err)
			}
			p := u.Pods[0]
			if !p.Begun.Equal(tc.begun) || !p.ReadyChanged.Equal(changed.Time) || p.TakenOut != tc.takenOut {
				t.Errorf("begun %s, readiness changed %s, taken out %v", p.Begun, p.ReadyChanged, p.TakenOut)
			}
		})
	}
}
