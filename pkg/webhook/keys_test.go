package webhook

import (
	"crypto/x509"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	testclock "k8s.io/utils/clock/testing"
)

var (
	noon  = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	hosts = []string{"periplus-webhook.periplus-system.svc", "127.0.0.1"}
)

// answers says whether a client that trusts a bundle is answered, for each of the hosts.
func answers(t *testing.T, bundle []byte, k keys, now time.Time) bool {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	cert := k.certificate(servedCert, servedKey)
	if cert == nil {
		return false
	}
	for _, host := range hosts {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now}); err != nil {
			t.Logf("%s at %s: %v", host, now, err)
			return false
		}
	}
	return true
}

// plant is the Secret and the registration, and what an API server trusts that reads the registration late.
type plant struct {
	t         *testing.T
	clock     *testclock.FakePassiveClock
	kube      *kubefake.Clientset
	r         *rotation
	apiServer []byte
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{t: t, clock: testclock.NewFakePassiveClock(noon)}
	p.kube = kubefake.NewClientset(&admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: Registration}, Webhooks: []admissionv1.MutatingWebhook{{Name: "a"}, {Name: "b"}},
	})
	p.start()
	return p
}

// start a replica that knows nothing.
func (p *plant) start() {
	f := informers.NewSharedInformerFactory(p.kube, 0)
	p.r = &rotation{
		kube: p.kube, clock: p.clock, secret: types.NamespacedName{Namespace: "periplus-system", Name: SecretName}, registration: Registration, hosts: hosts,
		secrets: synced{f.Core().V1().Secrets().Informer()}, registrations: synced{f.Admissionregistration().V1().MutatingWebhookConfigurations().Informer()},
		enqueueAfter: func(time.Duration) {},
	}
	p.catchUp()
}

// pass with caches that have caught up.
func (p *plant) pass() {
	p.t.Helper()
	p.catchUp()
	if err := p.r.reconcile(p.t.Context(), p.r.secret); err != nil {
		p.t.Fatal(err)
	}
	p.catchUp()
}

func (p *plant) catchUp() {
	p.t.Helper()
	if secret, err := p.kube.CoreV1().Secrets("periplus-system").Get(p.t.Context(), SecretName, metav1.GetOptions{}); err == nil {
		_ = p.r.secrets.GetIndexer().Update(secret)
	}
	registration, err := p.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(p.t.Context(), Registration, metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	_ = p.r.registrations.GetIndexer().Update(registration)
	if string(registration.Webhooks[0].ClientConfig.CABundle) != string(registration.Webhooks[1].ClientConfig.CABundle) {
		p.t.Fatal("the webhooks of one registration trust different certificates")
	}
	p.apiServer = registration.Webhooks[0].ClientConfig.CABundle
}

func (p *plant) keys() keys {
	secret, err := p.r.read()
	if err != nil || secret == nil {
		p.t.Fatalf("there is no Secret: %v", err)
	}
	return secret.Data
}

func TestACertificateChangesWithoutARequestThatFails(t *testing.T) {
	p := newPlant(t)
	p.pass()
	first := string(p.keys()[servedCert])
	if !answers(t, p.apiServer, p.keys(), p.clock.Now()) {
		t.Fatal("the first certificate is not trusted")
	}
	lag := [][]byte{p.apiServer, p.apiServer} // of an API server that reads the registration 40 s late.
	changes := 0
	for day := range 400 {
		p.clock.SetTime(p.clock.Now().Add(24 * time.Hour))
		for range 8 { // each day some passes, 20 s apart.
			before := string(p.keys()[servedCert])
			p.pass()
			if !answers(t, lag[0], p.keys(), p.clock.Now()) {
				t.Fatalf("at %s an API server that is 40 s late is not answered", p.clock.Now())
			}
			if string(p.keys()[servedCert]) != before {
				changes++
			}
			lag = [][]byte{lag[1], p.apiServer}
			p.clock.SetTime(p.clock.Now().Add(20 * time.Second))
		}
		if day%50 == 0 {
			p.start() // a replica that takes over must not begin anew.
		}
	}
	if changes < 5 || changes > 8 {
		t.Errorf("the certificate changed %d times in 400 days; want about every 60", changes)
	}
	if string(p.keys()[servedCert]) == first {
		t.Error("the first certificate is served still")
	}
}

func TestWhatBecomesOfASecretThatCannotBeUsed(t *testing.T) {
	cert, key, err := newPair(hosts, noon)
	if err != nil {
		t.Fatal(err)
	}
	old, oldKey, err := newPair(hosts, noon.Add(-lifetime-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		have   keys
		served []byte // what is to be served; nil for a new one.
		next   bool
	}{
		{"nothing is made anew", keys{}, nil, false},
		{"what somebody damaged is made anew", keys{servedCert: []byte("x"), servedKey: key}, nil, false},
		{"a key of another certificate is no key", keys{servedCert: cert, servedKey: oldKey}, nil, false},
		{"one that ended while we were away is replaced at once", keys{servedCert: old, servedKey: oldKey}, nil, false},
		{"by the next one where there is one", keys{servedCert: old, servedKey: oldKey, nextCert: cert, nextKey: key}, cert, false},
		{"one that is good stays", keys{servedCert: cert, servedKey: key}, cert, false},
	} {
		got, _, err := c.have.step(hosts, noon, false)
		if err != nil {
			t.Fatal(err)
		}
		if !answers(t, got.trusted(), got, noon) {
			t.Errorf("%s: what is served is not trusted", c.name)
		}
		if c.served != nil && string(got[servedCert]) != string(c.served) || (len(got[nextCert]) > 0) != c.next {
			t.Errorf("%s: something else is served", c.name)
		}
	}
	moved, _, err := keys{servedCert: cert, servedKey: key}.step(append(hosts, "10.0.0.1"), noon, false)
	if err != nil || string(moved[servedCert]) != string(cert) || len(moved[nextCert]) == 0 {
		t.Errorf("another address makes %v keys, %v; want a next certificate beside the one that is served", len(moved), err)
	}
}
