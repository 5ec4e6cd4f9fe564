//go:build integration

package sidecarset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestAPodGetsTheSidecarsOfEverySetThatMeansIt(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{containers: null, initContainers: [{name: mesh, image: "mesh:v1", restartPolicy: Always}]}`)
	w.set("logs", `{volumes: [{name: spool, emptyDir: {}}], containers: [{name: logs, image: "logs:v1", shareVolumes: true, transferEnv: [{names: [ZONE]}], volumeMounts: [{name: spool, mountPath: /spool}]}]}`)
	w.settle()
	w.create(w.template("web-1", func(pod *corev1.Pod) {
		pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "ZONE", Value: "dca"}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
		pod.Spec.Volumes = []corev1.Volume{{Name: "data"}}
	}), w.template("api-1", func(pod *corev1.Pod) { pod.Labels["app"] = "api" }), w.template("web-2", func(pod *corev1.Pod) { pod.Labels[v1alpha1.LabelInject] = "false" }))
	pod := w.pod("web-1")
	if got := containers(pod); got != "mesh=mesh:v1 app=web:v1 logs=logs:v1" {
		t.Errorf("the pod has %s", got)
	}
	logs := pod.Spec.Containers[1]
	if got := fmt.Sprint(logs.Env); got != "[{ZONE dca nil}]" {
		t.Errorf("its environment is %s", got)
	}
	var mounts []string
	for _, m := range logs.VolumeMounts {
		mounts = append(mounts, m.Name+":"+m.MountPath)
	}
	if got := strings.Join(mounts, " "); !strings.HasPrefix(got, "spool:/spool data:/data") || !strings.Contains(got, "serviceaccount") {
		t.Errorf("it mounts %s; want its own, the application's, and the token of the pod", got)
	}
	if got := containers(w.pod("api-1")) + " " + containers(w.pod("web-2")); got != "app=web:v1 app=web:v1" {
		t.Errorf("pods that are not meant have %s", got)
	}
	w.until("status counts them", func() (bool, any) {
		s := w.get("logs").Status
		return s.Matched == 1 && s.Injected == 1 && s.Updated == 1 && s.Missed == 0, s
	})
	w.condition("logs", v1alpha1.ConditionInjecting, "Injecting")
}

func TestADryRunShowsTheSidecarsAndMakesNothing(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{}`)
	before := len(writes.of("POST", "/"+w.ns+"/"))
	got, err := admin.CoreV1().Pods(w.ns).Create(t.Context(), w.template("web-1"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil || containers(got) != "app=web:v1 mesh=mesh:v1" {
		t.Fatalf("a dry run makes %v, %v", got, err)
	}
	if after := len(writes.of("POST", "/"+w.ns+"/")); after != before || len(w.pods()) != 0 {
		t.Errorf("a dry run left %d pods and %d writes", len(w.pods()), after-before)
	}
}

func TestAWebhookThatIsAwayKeepsNoPodFromBeingCreatedAndThePodsAreFound(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{}`)
	hook.stop()
	restarted := false
	defer func() {
		if !restarted {
			if err := hook.start(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}()
	w.until("a second has passed since the set was made", func() (bool, any) { // creation times are whole seconds.
		return time.Since(w.get("mesh").CreationTimestamp.Time) > 2*time.Second, nil
	})
	began := time.Now()
	w.create(w.template("web-1"))
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a pod took %s to be created; want no more than the webhook's timeout", took)
	}
	if got := containers(w.pod("web-1")); got != "app=web:v1" {
		t.Fatalf("the pod has %s", got)
	}
	if got := w.condition("mesh", v1alpha1.ConditionInjecting, "PodsMissed"); !strings.Contains(got, w.ns+"/web-1") {
		t.Errorf("the condition says %q; want the pod's name", got)
	}
	w.until("status counts it", func() (bool, any) {
		s := w.get("mesh").Status
		return s.Missed == 1 && s.Matched == 1 && s.Injected == 0, s
	})
	events, err := admin.CoreV1().Events("").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + w.name("mesh")})
	if err != nil {
		t.Fatal(err)
	}
	w.until("an Event tells of it", func() (bool, any) {
		events, err = admin.CoreV1().Events("").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + w.name("mesh")})
		for _, e := range events.Items {
			if e.Reason == "PodsMissed" && e.Type == corev1.EventTypeWarning {
				return true, nil
			}
		}
		return false, err
	})
	if err := hook.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	restarted = true
	w.settle()
	if err := admin.CoreV1().Pods(w.ns).Delete(t.Context(), "web-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("the pod is gone", func() (bool, any) { return len(w.pods()) == 0, nil })
	w.create(w.template("web-1"))
	if got := containers(w.pod("web-1")); got != "app=web:v1 mesh=mesh:v1" {
		t.Errorf("made anew the pod has %s", got)
	}
	w.condition("mesh", v1alpha1.ConditionInjecting, "Injecting")
}

func TestOlderPodsWaitForTheirNextCreationAndWereNotMissed(t *testing.T) {
	w := newWorld(t)
	w.create(w.template("web-1"))
	w.set("mesh", `{}`)
	w.until("it is counted so", func() (bool, any) {
		s := w.get("mesh").Status
		return s.Matched == 1 && s.WaitingForCreation == 1 && s.Missed == 0, s
	})
	w.condition("mesh", v1alpha1.ConditionInjecting, "Injecting")
}

func TestNewPodsGetThePinnedRevision(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{updateStrategy: {paused: true}}`) // or the pod would be changed to the newest at once.
	first := w.get("mesh").Status.UpdateRevision
	w.spec("mesh", fmt.Sprintf(`{"injectionStrategy":{"revision":%q},"containers":[{"name":"mesh","image":"mesh:v2"}]}`, first))
	w.settle()
	w.create(w.template("web-1"))
	if got := containers(w.pod("web-1")); got != "app=web:v1 mesh=mesh:v1" {
		t.Errorf("the pod has %s; want the pinned revision", got)
	}
	w.spec("mesh", `{"injectionStrategy":{"revision":"nobody"}}`)
	if got := w.condition("mesh", v1alpha1.ConditionInjecting, "RevisionUnknown"); !strings.Contains(got, first) {
		t.Errorf("the condition says %q; want the revisions that there are", got)
	}
	w.spec("mesh", `{"injectionStrategy":{"revision":"","paused":true}}`)
	w.condition("mesh", v1alpha1.ConditionInjecting, "InjectionPaused")
	w.until("the webhook knows", func() (bool, any) {
		got, err := admin.CoreV1().Pods(w.ns).Create(t.Context(), w.template("web-2"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && containers(got) == "app=web:v1", err
	})
}

func TestWhileARevisionIsHeldBackNewPodsGetTheOneBefore(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{updateStrategy: {partition: "100%"}}`)
	w.ready(1)
	w.image("mesh", "v2")
	w.progressing("mesh", "HeldBack")
	w.create(w.template("web-9"))
	if got := containers(w.pod("web-9")); got != "app=web:v1 mesh=mesh:v1" {
		t.Errorf("the pod has %s; want what the held back pods run", got)
	}
}

func TestASpecThatTheAPIServerWouldRefuseInPodsHoldsUpNoPod(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{}`)
	w.spec("mesh", `{"containers":[{"name":"mesh","image":"mesh:v2","livenessProbe":{"httpGet":{"port":0}}}]}`)
	if got := w.progressing("mesh", "InvalidSpec"); !strings.Contains(got, "livenessProbe.httpGet.port") {
		t.Errorf("the condition says %q; want the API server's words", got)
	}
	w.create(w.template("web-1"))
	if got := containers(w.pod("web-1")); got != "app=web:v1 mesh=mesh:v1" {
		t.Errorf("the pod has %s; want the revision before", got)
	}
	w.image("mesh", "v3")
	w.until("the pod gets the next good one", func() (bool, any) { got := w.running("mesh"); return got == "map[mesh:v3:1]", got })
}

func TestSetsThatClaimOneNameAreNamed(t *testing.T) {
	w := newWorld(t)
	w.set("a", `{containers: [{name: proxy, image: "a:v1"}]}`)
	w.set("b", `{containers: [{name: proxy, image: "b:v1"}]}`)
	if got := w.condition("b", v1alpha1.ConditionInjecting, "NameClash"); !strings.Contains(got, "container proxy is SidecarSet "+w.name("a")+"'s") {
		t.Errorf("the condition says %q", got)
	}
	w.create(w.template("web-1"))
	if got := containers(w.pod("web-1")); got != "app=web:v1 proxy=a:v1" {
		t.Errorf("the pod has %s; want the first set's alone", got)
	}
	w.create(w.template("own-1", func(pod *corev1.Pod) { pod.Spec.Containers[0].Name = "proxy" }))
	if got := containers(w.pod("own-1")); got != "proxy=web:v1" {
		t.Errorf("a pod with a container of that name has %s", got)
	}
	w.until("status counts who was left out, with the reason", func() (bool, any) {
		s := w.get("a").Status
		for _, c := range s.Conditions {
			if c.Reason == "PodsMissed" && strings.Contains(c.Message, "own-1 (container proxy is the application's)") {
				return true, nil
			}
		}
		// A pod of the second in which the set was made counts as older.
		return s.WaitingForCreation == 1, s
	})
}
