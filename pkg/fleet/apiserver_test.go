package fleet_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const goodToken = "open-sesame"

// apiServer serves /readyz, /version and the pods of one namespace over HTTP/2, as much of the real protocol as informers use.
type apiServer struct {
	t    testing.TB
	http *httptest.Server
	addr string

	mu       sync.Mutex
	rv       int
	pods     map[string]*corev1.Pod
	watchers map[chan []byte]struct{}
	token    string
	notReady bool
	noWatch  bool
	beats    chan struct{} // while set, each answer of /readyz takes one from here
	hold     chan struct{} // while set and open, watches get no answer
	late     chan struct{} // while set and open, watches that go on from where another broke off get an answer, but no events
	lists    int           // lists and watches that began with a list
}

func newAPIServer(t testing.TB) *apiServer {
	t.Helper()
	s := &apiServer{t: t, pods: map[string]*corev1.Pod{}, watchers: map[chan []byte]struct{}{}, token: goodToken, rv: 1}
	s.start("127.0.0.1:0")
	t.Cleanup(s.stop)
	return s
}

func (s *apiServer) start(addr string) {
	s.t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		s.t.Fatalf("listening on %s: %v", addr, err)
	}
	s.addr = l.Addr().String()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	srv.Listener = l
	srv.EnableHTTP2 = true
	srv.StartTLS()
	s.http = srv
}

// stop makes the server vanish: connections break, new ones are refused.
func (s *apiServer) stop() {
	s.http.CloseClientConnections()
	s.cutWatches()
	s.http.Close()
}

func (s *apiServer) restart() { s.start(s.addr) }

func (s *apiServer) set(change func(*apiServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// cutWatches ends all watches as a server does that wants its clients to go elsewhere.
func (s *apiServer) cutWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		close(w)
		delete(s.watchers, w)
	}
}

func (s *apiServer) watches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watchers)
}

func (s *apiServer) listed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists
}

func (s *apiServer) addPod(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rv++
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, ResourceVersion: strconv.Itoa(s.rv)},
	}
	s.pods[name] = p
	for w := range s.watchers {
		w <- event("ADDED", p)
	}
}

func event(kind string, obj any) []byte {
	raw, err := json.Marshal(obj)
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, `{"type":%q,"object":%s}`+"\n", kind, raw)
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	token, notReady, beats := s.token, s.notReady, s.beats
	s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+token {
		status(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized")
		return
	}
	if r.URL.Path == "/readyz" {
		wait(r, beats)
	}
	switch {
	case r.URL.Path == "/readyz" && notReady:
		http.Error(w, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed", http.StatusInternalServerError)
	case r.URL.Path == "/readyz":
		_, _ = fmt.Fprint(w, "ok")
	case r.URL.Path == "/version":
		_, _ = fmt.Fprint(w, `{"gitVersion":"v1.36.3"}`)
	case r.URL.Path == "/api/v1/namespaces/shop/pods" && r.URL.Query().Get("watch") != "":
		s.watch(w, r)
	case r.URL.Path == "/api/v1/namespaces/shop/pods":
		s.list(w)
	default:
		status(w, http.StatusNotFound, metav1.StatusReasonNotFound, "no such thing")
	}
}

func status(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Reason: reason, Message: message, Code: int32(code),
	})
}

func (s *apiServer) list(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	out := corev1.PodList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"},
		ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.rv)},
	}
	for _, p := range s.pods {
		out.Items = append(out.Items, *p)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// wait waits for a gate to open, where there is one.
func wait(r *http.Request, gate chan struct{}) {
	if gate == nil {
		return
	}
	select {
	case <-gate:
	case <-r.Context().Done():
	}
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	hold, late := s.hold, s.late
	s.mu.Unlock()
	wait(r, hold)
	s.mu.Lock()
	if s.noWatch {
		s.mu.Unlock()
		status(w, http.StatusForbidden, metav1.StatusReasonForbidden, "pods is forbidden: cannot watch")
		return
	}
	events := make(chan []byte, 64)
	since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	initial := r.URL.Query().Get("sendInitialEvents") == "true"
	if initial {
		s.lists++
		since = 0
	}
	for _, p := range s.pods {
		if rv, _ := strconv.Atoi(p.ResourceVersion); rv > since {
			events <- event("ADDED", p)
		}
	}
	if initial {
		events <- event("BOOKMARK", &corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.Itoa(s.rv),
				Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}},
		})
	}
	s.watchers[events] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, events)
		s.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	if !initial {
		wait(r, late)
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			if _, err := w.Write(e); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	}
}

func (s *apiServer) kubeconfig(token string) []byte { return s.kubeconfigAt(s.addr, token) }

// kubeconfigAt is for a server that is reached by another address.
func (s *apiServer) kubeconfigAt(addr, token string) []byte {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
	return kubeconfigOf(s.t, "https://"+addr, ca, token)
}

func kubeconfigOf(t testing.TB, server string, ca []byte, token string) []byte {
	t.Helper()
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["c"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	cfg.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token}
	cfg.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	cfg.CurrentContext = "x"
	raw, err := clientcmd.Write(*cfg)
	if err != nil {
		t.Fatalf("writing a kubeconfig: %v", err)
	}
	return raw
}
