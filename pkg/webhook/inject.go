package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
)

const (
	// InjectPath is where the API server asks.
	InjectPath = "/inject"
	// ReadyPath answers 200 once the replica can answer the API server.
	ReadyPath = "/readyz"
	// mostBody is the greatest request that is read: a pod has at most 1.5 MiB in etcd, and comes with the old one.
	mostBody = 8 << 20
	// askFor is how long the API server is asked about a namespace that the cache does not have yet.
	askFor = 500 * time.Millisecond
	// longestWarning is what clients show of one.
	longestWarning = 256
)

// handler answers the API server.
type handler struct {
	book       *book
	namespaces corelisters.NamespaceLister
	kube       kubernetes.Interface
	synced     func() bool
	warn       func(msg string, keysAndValues ...any)
	metrics    *metrics
}

func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+InjectPath, h.inject)
	mux.HandleFunc("GET "+ReadyPath, func(w http.ResponseWriter, _ *http.Request) {
		if !h.synced() {
			http.Error(w, "starting: informers are not synced", http.StatusServiceUnavailable)
		}
	})
	return mux
}

func (h *handler) inject(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	h.metrics.request(r.Context(), h.respond(w, r), time.Since(began))
}

func (h *handler) respond(w http.ResponseWriter, r *http.Request) result {
	if !h.synced() {
		http.Error(w, "starting: informers are not synced", http.StatusServiceUnavailable)
		return resultRefused
	}
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody)).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, fmt.Sprintf("reading an AdmissionReview: %v", err), http.StatusBadRequest)
		return resultRefused
	}
	response, came := h.answer(r.Context(), review.Request)
	response.UID = review.Request.UID
	review.Request, review.Response = nil, response
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(&review); err != nil {
		h.warn("Answering the API server", "error", err)
		return resultFailed
	}
	return came
}

// answer allows, whatever is wrong: what could not be put in is said in a warning, and found by the controller.
func (h *handler) answer(ctx context.Context, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, result) {
	response := &admissionv1.AdmissionResponse{Allowed: true}
	came := resultNotMeant
	patch, skips, err := h.decide(ctx, request)
	switch {
	case err != nil:
		h.warn("A pod is created without sidecars", "namespace", request.Namespace, "name", request.Name, "error", err)
		skips = append(skips, "Periplus puts no sidecars into this pod: "+err.Error())
		came = resultFailed
	case len(skips) > 0:
		came = resultLeftOut
	case patch != nil:
		came = resultInjected
	}
	for _, skip := range skips {
		response.Warnings = append(response.Warnings, skip[:min(len(skip), longestWarning)])
	}
	if patch != nil {
		kind := admissionv1.PatchTypeJSONPatch
		response.PatchType, response.Patch = &kind, patch
	}
	return response, came
}

func (h *handler) decide(ctx context.Context, request *admissionv1.AdmissionRequest) (patch []byte, skips []string, err error) {
	if request.Operation != admissionv1.Create || request.Resource.Resource != "pods" || request.SubResource != "" {
		return nil, nil, nil
	}
	pod := &corev1.Pod{}
	if err := json.Unmarshal(request.Object.Raw, pod); err != nil {
		return nil, nil, fmt.Errorf("reading the pod: %w", err)
	}
	pod.Namespace = request.Namespace
	namespace, err := h.namespace(ctx, request.Namespace)
	if err != nil {
		return nil, nil, err
	}
	return h.book.patch(pod, namespace)
}

// namespace of a pod. A new one may not be in the cache yet.
func (h *handler) namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	if namespace, err := h.namespaces.Get(name); err == nil {
		return namespace, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	namespace, err := h.kube.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	return namespace, nil
}
