package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/client/injection/kube/informers/apps/v1/controllerrevision/filtered"
	"knative.dev/pkg/client/injection/kube/informers/core/v1/namespace"
	filteredfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/system"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/boot"
	"github.com/periplus-dev/periplus/pkg/client/injection/informers/apps/v1alpha1/sidecarset"
	"github.com/periplus-dev/periplus/pkg/loop"
)

// Names of our objects in the cluster.
const (
	Service      = "periplus-webhook"
	SecretName   = "periplus-webhook-certificate"
	Registration = "sidecars.apps.periplus.dev"
)

// patience with requests at the end.
const patience = 5 * time.Second

// Options of the binary.
type Options struct {
	// Address to serve HTTPS on, host:port.
	Address string
	// Hosts that the certificate is for, beside the Service's names: comma-separated names or addresses by which API servers reach a webhook that is not behind the
	// Service.
	Hosts string
}

// Bind the options to flags.
func (o *Options) Bind(fs *flag.FlagSet) {
	fs.StringVar(&o.Address, "webhook-address", ":8443", "host:port where the API server is answered")
	fs.StringVar(&o.Hosts, "webhook-hosts", "", "further host names or addresses that the certificate is for, comma-separated")
}

func (o *Options) hosts() []string {
	ns := system.Namespace()
	hosts := []string{Service + "." + ns + ".svc", Service + "." + ns, Service + "." + ns + ".svc.cluster.local"}
	for host := range strings.SplitSeq(o.Hosts, ",") {
		if host = strings.TrimSpace(host); host != "" {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// WithSelector tells injection which ControllerRevisions are watched. It goes into the context before the informers are made.
func WithSelector(ctx context.Context) context.Context {
	return filteredfactory.WithSelectors(ctx, v1alpha1.LabelSidecarSet)
}

// NewController serves, and returns the controller of the certificates. The context must come from WithSelector.
func NewController(o *Options) injection.ControllerConstructor {
	return func(ctx context.Context, _ configmap.Watcher) *controller.Impl {
		logger := logging.FromContext(ctx)
		kube := kubeclient.Get(ctx)
		sets, revisions, namespaces := sidecarset.Get(ctx), filtered.Get(ctx, v1alpha1.LabelSidecarSet).Informer(), namespace.Get(ctx)
		must(revisions.AddIndexers(cache.Indexers{byRevision: indexByRevision}))
		must(namespaces.Informer().SetTransform(onlyLabels))
		b := &book{sets: sets.Lister(), revisions: revisions.GetIndexer(), system: system.Namespace(), matchers: map[string]matcher{}, contents: map[string]content{}}
		handle(sets.Informer(), func(*v1alpha1.SidecarSet) {}, func(set *v1alpha1.SidecarSet) { b.forget(set.Name) })

		s := &serving{}
		meter := otel.Meter("periplus.dev/webhook")
		measured, err := newMetrics(meter)
		must(err)
		must(observe(meter, s, &ages{clock: clock.RealClock{}, seen: map[string]heard{}, versions: map[string]func() string{
			"sidecarsets": sets.Informer().LastSyncResourceVersion, "controllerrevisions": revisions.LastSyncResourceVersion, "namespaces": namespaces.Informer().LastSyncResourceVersion,
		}}))
		h := &handler{
			book: b, namespaces: namespaces.Lister(), kube: kube, warn: logger.Warnw, metrics: measured,
			synced: func() bool {
				return sets.Informer().HasSynced() && revisions.HasSynced() && namespaces.Informer().HasSynced()
			},
		}
		if err := serve(ctx, o.Address, h.routes(), s); err != nil {
			logger.Fatalw("Serving --webhook-address", "error", err)
		}
		return newRotation(ctx, kube, o.hosts(), s)
	}
}

// newRotation watches one Secret and one registration, and keeps both.
func newRotation(ctx context.Context, kube kubernetes.Interface, hosts []string, s *serving) *controller.Impl {
	secret := types.NamespacedName{Namespace: system.Namespace(), Name: SecretName}
	inNamespace := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithNamespace(secret.Namespace), informers.WithTweakListOptions(named(SecretName)))
	everywhere := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTweakListOptions(named(Registration)))
	r := &rotation{
		kube: kube, clock: clock.RealClock{}, secret: secret, registration: Registration, hosts: hosts,
		secrets: inNamespace.Core().V1().Secrets().Informer(), registrations: everywhere.Admissionregistration().V1().MutatingWebhookConfigurations().Informer(),
	}
	impl := loop.New(ctx, loop.Config{
		Name: "webhook-certificate", Concurrency: 1, Reconcile: r.reconcile,
		List: func() ([]types.NamespacedName, error) { return []types.NamespacedName{secret}, nil },
	})
	r.enqueueAfter = func(d time.Duration) { impl.EnqueueKeyAfter(secret, d) }
	handle(r.secrets, func(now *corev1.Secret) { s.take(now); impl.EnqueueKey(secret) }, func(*corev1.Secret) { impl.EnqueueKey(secret) })
	handle(r.registrations, func(*admissionv1.MutatingWebhookConfiguration) { impl.EnqueueKey(secret) }, func(*admissionv1.MutatingWebhookConfiguration) {})
	inNamespace.Start(ctx.Done())
	everywhere.Start(ctx.Done())
	impl.EnqueueKey(secret) // where nothing is there yet, no event comes; and without an election nobody lists the keys.
	return impl
}

func named(name string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
	}
}

// serve until the binary ends: pods are created while it drains, too.
func serve(ctx context.Context, address string, routes http.Handler, s *serving) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", address, err)
	}
	server := &http.Server{
		Handler: routes, ReadHeaderTimeout: patience, ReadTimeout: patience, IdleTimeout: 2 * time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate},
	}
	logger := logging.FromContext(ctx)
	go func() {
		if err := server.ServeTLS(listener, "", ""); err != nil && !errors.Is(err, http.ErrServerClosed) {
			logger.Fatalw("Serving the API server", "error", err)
		}
	}()
	boot.AtEnd(ctx, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		_ = server.Shutdown(last) // the process ends anyway.
	})
	return nil
}

// onlyLabels keeps of a namespace what sets select by.
func onlyLabels(object any) (any, error) {
	if ns, ok := object.(*corev1.Namespace); ok {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns.Name, UID: ns.UID, ResourceVersion: ns.ResourceVersion, Labels: ns.Labels}}, nil
	}
	return object, nil
}

func handle[T any](informer cache.SharedIndexInformer, set, gone func(T)) {
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			if now, ok := object.(T); ok {
				set(now)
			}
		},
		UpdateFunc: func(_, object any) {
			if now, ok := object.(T); ok {
				set(now)
			}
		},
		DeleteFunc: func(object any) {
			if lost, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = lost.Obj
			}
			if last, ok := object.(T); ok {
				gone(last)
			}
		},
	})
	must(err)
}

// must stops the start: informers refuse transforms, indexers and handlers only after they were started.
func must(err error) {
	if err != nil {
		panic(fmt.Errorf("wiring the webhook: %w", err))
	}
}
