package fleet

import (
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	listers "github.com/periplus-dev/periplus/pkg/client/listers/fleet/v1alpha1"
)

// DefaultSecretNamespace is where the Secrets with the members' kubeconfigs are, by the published RBAC.
const DefaultSecretNamespace = "periplus-system"

// Options of a Fleet. Members and Hub are required; every other field has a default that is taken where it is zero.
type Options struct {
	// Members lists the Members of the hub, from an informer.
	Members listers.MemberLister
	// Hub reads the Secrets that Members name.
	Hub kubernetes.Interface
	// SecretNamespace is the one namespace of the hub that Secrets are read from; DefaultSecretNamespace.
	SecretNamespace string

	// Clock for heartbeats, lingering and the times shown; the real one. Timeouts of calls are real time always.
	Clock clock.WithDelayedExecution
	// Connect makes the way to a member; the function Connect of this package. Tests give their own (see fleettest).
	Connect func(kubeconfig []byte) (Connection, error)
	// MeterProvider for metrics; OpenTelemetry's global one.
	MeterProvider metric.MeterProvider

	// HeartbeatActive is the time between heartbeats of a member that stages work on; 10 s. All intervals are jittered by a tenth.
	HeartbeatActive time.Duration
	// HeartbeatAtRest is the time between heartbeats of a member that is only looked after (see Attend); 60 s.
	HeartbeatAtRest time.Duration
	// HeartbeatTimeout is how long a heartbeat may take until the member counts as unreachable; 3 s.
	HeartbeatTimeout time.Duration
	// CallTimeout bounds one call of Session.Do, and one read of a Secret; 5 s.
	CallTimeout time.Duration
	// CallsPerMember is how many calls of Session.Do may be under way in one member; 4.
	CallsPerMember int
	// Linger is how long informers that nobody uses go on; 30 s.
	Linger time.Duration
	// WatchGap is how long a watch may be closed, as it is for a moment every few minutes, before its data stops counting as synced; 2 s.
	WatchGap time.Duration
	// SecretInterval is how often the Secret of an answering member is read again; 60 s. That of a member that is Unreachable is read
	// with every heartbeat.
	SecretInterval time.Duration
}

func (o Options) withDefaults() Options {
	if o.SecretNamespace == "" {
		o.SecretNamespace = DefaultSecretNamespace
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Connect == nil {
		o.Connect = Connect
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	if o.CallsPerMember == 0 {
		o.CallsPerMember = 4
	}
	for field, value := range map[*time.Duration]time.Duration{
		&o.HeartbeatActive:  10 * time.Second,
		&o.HeartbeatAtRest:  60 * time.Second,
		&o.HeartbeatTimeout: 3 * time.Second,
		&o.CallTimeout:      5 * time.Second,
		&o.Linger:           30 * time.Second,
		&o.WatchGap:         2 * time.Second,
		&o.SecretInterval:   60 * time.Second,
	} {
		if *field == 0 {
			*field = value
		}
	}
	return o
}
