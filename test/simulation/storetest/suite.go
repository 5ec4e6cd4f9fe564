package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tektonclient "github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
)

// limit of everything that is waited for.
const limit = 20 * time.Second

// API is what the suite runs against: a server that serves our kinds and Tekton's.
type API struct {
	Config *rest.Config
	// Collect, if not nil, lets the garbage collector do all there is to do.
	Collect func()
}

// server is an API with clients, in a namespace of one test's own.
type server struct {
	*testing.T
	API
	ctx       context.Context
	namespace string
	kube      kubernetes.Interface
	periplus  versioned.Interface
	tekton    tektonclient.Interface
}

var namespaces atomic.Int64

func newServer(t *testing.T, api API) *server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*limit)
	t.Cleanup(cancel)
	s := &server{T: t, API: api, ctx: ctx, namespace: fmt.Sprintf("suite-%d", namespaces.Add(1))}
	var err error
	if s.kube, err = kubernetes.NewForConfig(api.Config); err != nil {
		t.Fatal(err)
	}
	if s.periplus, err = versioned.NewForConfig(api.Config); err != nil {
		t.Fatal(err)
	}
	if s.tekton, err = tektonclient.NewForConfig(api.Config); err != nil {
		t.Fatal(err)
	}
	_, err = s.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}, metav1.CreateOptions{})
	s.must(err)
	return s
}

// Run runs the suite.
func Run(t *testing.T, api API) {
	for name, sentence := range sentences() {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { sentence(newServer(t, api)) })
	}
}

func sentences() map[string]func(*server) {
	all := map[string]func(*server){}
	for _, part := range []map[string]func(*server){writes, patches, deletions, pods, customs, reads, watches} {
		for name, sentence := range part {
			all[name] = sentence
		}
	}
	return all
}

func (s *server) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// refused checks that an error is of the right sort, and says the words.
func (s *server) refused(err error, is func(error) bool, words ...string) {
	s.Helper()
	if err == nil {
		s.Fatal("it was not refused")
	}
	if !is(err) {
		s.Fatalf("refused for another reason: %v (%s)", err, apierrors.ReasonForError(err))
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			s.Fatalf("the refusal does not say %q: %v", w, err)
		}
	}
}

// eventually waits for something that the server does by itself.
func (s *server) eventually(what string, done func(context.Context) (bool, error)) {
	s.Helper()
	err := wait.PollUntilContextTimeout(s.ctx, 20*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		if s.Collect != nil {
			s.Collect()
		}
		return done(ctx)
	})
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

func (s *server) pod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	s.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "shop/web:v1"}}},
	}
	for _, c := range change {
		c(pod)
	}
	made, err := s.kube.CoreV1().Pods(s.namespace).Create(s.ctx, pod, metav1.CreateOptions{})
	s.must(err)
	return made
}

func onNode(p *corev1.Pod) { p.Spec.NodeName = "n1" }

func finalized(p *corev1.Pod) { p.Finalizers = []string{"test.periplus.dev/hold"} }

func (s *server) config(name string, change ...func(*corev1.ConfigMap)) *corev1.ConfigMap {
	s.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, c := range change {
		c(cm)
	}
	made, err := s.kube.CoreV1().ConfigMaps(s.namespace).Create(s.ctx, cm, metav1.CreateOptions{})
	s.must(err)
	return made
}

func (s *server) set(name string, change ...func(*appsv1alpha1.InPlaceSet)) *appsv1alpha1.InPlaceSet {
	s.Helper()
	set := &appsv1alpha1.InPlaceSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1alpha1.InPlaceSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "shop/web:v1"}}},
			},
		},
	}
	for _, c := range change {
		c(set)
	}
	made, err := s.periplus.AppsV1alpha1().InPlaceSets(s.namespace).Create(s.ctx, set, metav1.CreateOptions{})
	s.must(err)
	return made
}

func (s *server) release(name string) *stagesv1alpha1.Release {
	s.Helper()
	made, err := s.periplus.StagesV1alpha1().Releases(s.namespace).Create(s.ctx, &stagesv1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       stagesv1alpha1.ReleaseSpec{Root: stagesv1alpha1.RootRef{Kind: "PipelineRun", Name: name, UID: "u"}},
	}, metav1.CreateOptions{})
	s.must(err)
	return made
}
