package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// rotation keeps the Secret with the certificates, and the registration that publishes them.
type rotation struct {
	kube          kubernetes.Interface
	clock         clock.PassiveClock
	secret        types.NamespacedName
	registration  string
	hosts         []string
	secrets       cache.SharedIndexInformer
	registrations cache.SharedIndexInformer
	enqueueAfter  func(time.Duration)

	mu sync.Mutex
	// published is since when this process has seen the registration trust which certificate to come. It may be too late, never too early.
	published      []byte
	publishedSince time.Time
}

// reconcile the Secret, and then what is published of it. It is called by one replica alone.
func (r *rotation) reconcile(ctx context.Context, _ types.NamespacedName) error {
	if !r.secrets.HasSynced() || !r.registrations.HasSynced() {
		r.enqueueAfter(time.Second)
		return nil
	}
	secret, err := r.read()
	if err != nil {
		return err
	}
	have := keys{}
	if secret != nil {
		have = secret.Data
	}
	registration := r.registered()
	want, again, err := have.step(r.hosts, r.clock.Now(), r.settled(have, registration))
	if err != nil {
		return err
	}
	if !want.equal(have) {
		// Another may have been made that this process does not see yet; its event comes. Only what is kept is published.
		if made, err := r.write(ctx, secret, want); err != nil || !made {
			return err
		}
	}
	if again > 0 {
		r.enqueueAfter(min(again, 12*time.Hour))
	}
	return r.publish(ctx, registration, want)
}

func (r *rotation) read() (*corev1.Secret, error) {
	object, there, err := r.secrets.GetIndexer().GetByKey(r.secret.String())
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", r.secret, err)
	}
	if secret, ok := object.(*corev1.Secret); ok && there {
		return secret, nil
	}
	return nil, nil
}

func (r *rotation) registered() *admissionv1.MutatingWebhookConfiguration {
	object, _, err := r.registrations.GetIndexer().GetByKey(r.registration)
	if err != nil {
		return nil
	}
	registration, _ := object.(*admissionv1.MutatingWebhookConfiguration)
	return registration
}

// settled says whether the next certificate has been published for long enough.
func (r *rotation) settled(k keys, registration *admissionv1.MutatingWebhookConfiguration) bool {
	next := k[nextCert]
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(next) == 0 || registration == nil || !trusts(registration, next) {
		r.published = nil
		return false
	}
	if !bytes.Equal(r.published, next) {
		r.published, r.publishedSince = next, r.clock.Now()
	}
	return r.clock.Since(r.publishedSince) >= settle
}

func trusts(registration *admissionv1.MutatingWebhookConfiguration, cert []byte) bool {
	for i := range registration.Webhooks {
		if !bytes.Contains(registration.Webhooks[i].ClientConfig.CABundle, cert) {
			return false
		}
	}
	return true
}

func (r *rotation) write(ctx context.Context, secret *corev1.Secret, want keys) (made bool, err error) {
	client := r.kube.CoreV1().Secrets(r.secret.Namespace)
	if secret == nil {
		_, err = client.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: r.secret.Name, Namespace: r.secret.Namespace, Labels: map[string]string{"app.kubernetes.io/part-of": "periplus"}},
			Type:       corev1.SecretTypeTLS, Data: want,
		}, metav1.CreateOptions{})
	} else {
		secret = secret.DeepCopy()
		secret.Data = want
		_, err = client.Update(ctx, secret, metav1.UpdateOptions{})
	}
	switch {
	case apierrors.IsAlreadyExists(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("writing the certificates of the webhook into Secret %s: %w", r.secret, err)
	}
	return true, nil
}

// publish what API servers are to trust. Where there is no registration, nobody calls us.
func (r *rotation) publish(ctx context.Context, registration *admissionv1.MutatingWebhookConfiguration, k keys) error {
	if registration == nil {
		return nil
	}
	bundle := k.trusted()
	wanted := registration.DeepCopy()
	changed := false
	for i := range wanted.Webhooks {
		if of := &wanted.Webhooks[i].ClientConfig; !bytes.Equal(of.CABundle, bundle) {
			of.CABundle, changed = bundle, true
		}
	}
	if !changed {
		return nil
	}
	if _, err := r.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(ctx, wanted, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("publishing the certificate of the webhook in MutatingWebhookConfiguration %s: %w", r.registration, err)
	}
	return nil
}

// serving is the certificate that this replica answers with.
type serving struct {
	pair atomic.Pointer[tls.Certificate]
}

// take the certificate of a Secret. One that cannot be read changes nothing.
func (s *serving) take(secret *corev1.Secret) {
	if pair, err := tls.X509KeyPair(secret.Data[servedCert], secret.Data[servedKey]); err == nil {
		s.pair.Store(&pair)
	}
}

func (s *serving) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := s.pair.Load(); pair != nil {
		return pair, nil
	}
	return nil, fmt.Errorf("the webhook has no certificate yet")
}
